"""A tracking server that lies about a run's files: nothing is written outside, and nothing is believed."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from reproven import audit
from reproven.errors import StoreError
from reproven.files.manifest import file_sha256
from reproven.machine import environment
from reproven.store.tags import SEAL

RUN = "0" * 32


class _Liar(BaseHTTPRequestHandler):
    """Serves the files of a folder as a run's, as `lie` has them."""

    folder: Path
    lie: str

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        asked = parse_qs(address.query).get("path", [""])[0].removeprefix("files").strip("/")
        if address.path.endswith("/runs/get"):
            self._say(self._run())
        elif address.path.endswith("/mlflow-artifacts/artifacts"):
            self._say({"files": self._listed(asked)})
        elif name := address.path.partition("/artifacts/files/")[2]:
            self._send(name)
        else:
            self._say({})

    def _run(self) -> object:
        info = {"run_id": RUN, "run_uuid": RUN, "experiment_id": "0", "status": "FINISHED", "start_time": 1}
        about = {"artifact_uri": "mlflow-artifacts:/files", "lifecycle_stage": "active", "run_name": "r"}
        tags = [{"key": SEAL, "value": file_sha256(self.folder / "manifest.json")}]
        return {"run": {"info": {**info, **about}, "data": {"tags": tags}}}

    def _listed(self, inner: str) -> list[object]:
        there = sorted((self.folder / inner).iterdir()) if (self.folder / inner).is_dir() else []
        found: list[object] = [{"path": path.name, "is_dir": path.is_dir(), "file_size": 1} for path in there]
        if self.lie == "outside" and not inner:
            found.append({"path": "../../outside", "is_dir": False, "file_size": 1})
        return found

    def _send(self, name: str) -> None:
        self.send_response(200)
        self.end_headers()
        if self.lie == "endless" and name == "losses.csv":
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except OSError:
                return
        other = "outcome.json" if self.lie == "another" and name == "losses.csv" else name
        self.wfile.write((self.folder / other).read_bytes())

    def _say(self, value: object) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_: object) -> None: ...


@contextmanager
def liar(bundle: Path, lie: str) -> Iterator[str]:
    handler = type("Liar", (_Liar,), {"folder": bundle, "lie": lie})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    (tmp_path / "a" / "copies").mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a" / "copies"))


def test_a_path_that_leads_outside_is_refused(bundle: Path, tmp_path: Path) -> None:
    with liar(bundle, "outside") as address, pytest.raises(StoreError, match="Cannot fetch the files"):
        audit(RUN, tracking_uri=address)
    assert list(tmp_path.rglob("outside")) == []
    assert list((tmp_path / "a" / "copies").iterdir()) == []


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_file_without_end_is_given_up(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "LARGEST_FILE", 1 << 20)
    with liar(bundle, "endless") as address, pytest.raises(StoreError, match="Cannot fetch the files"):
        audit(RUN, tracking_uri=address)
    gc.collect()  # MLflow leaves the connection of a download that failed to the collector


def test_another_file_is_a_finding(bundle: Path) -> None:
    with liar(bundle, "another") as address:
        found = audit(RUN, tracking_uri=address).findings
    assert any("losses.csv" in finding for finding in found)
