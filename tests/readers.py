"""Pages of README and docs, read as what they ask a reader to do: files, commands and scripts, in order.

A block of `sh` holds commands. A block of `console` holds commands after `$ `, each with what it
prints; `…` stands for anything, and a line of its own for any lines. `# exit code 1` behind a command
says that it is not 0. A command that shows `Killed` or `^C` is stopped so, once it has a checkpoint. A
block of `python` or `yaml` that begins with `# name.py` is that file; another one of `python` is a
script, with what it prints in a block of `text` right behind it. An id of a run stands for the one that
a reader has in its place.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import programs
from programs import MLFLOW, ROOT, SOURCE
from servers import free_port

_BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w./-]+\.\w+)\n")
_CODE = re.compile(r"\s+# exit code (\d+)$")
_ID = re.compile(r"\b[0-9a-f]{32}\b")
_SHELL = re.compile(r"[|&;<>$`*{~]|^\w+=")
_STOPS = {"Killed": signal.SIGKILL, "^C": signal.SIGINT}
#: Ports that pages name; each reader has others in their place.
PORTS = ("5000", "8786")
#: What a program that is left running says once others can ask it, by how its command begins.
_READY = {
    "mlflow": "Application startup complete",
    "dask scheduler": "Scheduler at:",
    "dask worker": "Registered to:",
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@dataclass(frozen=True, slots=True)
class Step:
    """What a reader does: a file that is written, a command, or a script; and what is shown of its output."""

    kind: str
    text: str
    shown: tuple[str, ...] | None = None
    code: int = 0


def steps(page: str) -> Iterator[Step]:
    """What a page asks for, in its order."""
    blocks = [(kind, _dedented(text, indent)) for indent, kind, text in _BLOCK.findall(page)]
    for (kind, text), (after, output) in pairwise([*blocks, ("", "")]):
        if kind == "sh":
            yield from (_command(line, None) for line in _lines(text))
        elif kind == "console":
            for said in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                line, *shown = _lines(said)
                yield _command(line, tuple(shown))
        elif kind in ("python", "yaml") and (name := _FILE.match(text)):
            yield Step(name[1], text)
        elif kind == "python":
            yield Step("script", text, tuple(output.splitlines()) if after == "text" else None)


def _dedented(text: str, indent: str) -> str:
    return "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))


def _lines(text: str) -> list[str]:
    return re.sub(r"\\\n\s*", "", text).splitlines()


def _command(line: str, shown: tuple[str, ...] | None) -> Step:
    code = _CODE.search(line)
    plain = re.sub(r"\s{2,}# .*$", "", _CODE.sub("", line)).strip()
    return Step("command", plain, shown, int(code[1]) if code else 0)


@dataclass
class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    folder: Path
    ids: dict[str, str] = field(default_factory=dict)
    behind: list[subprocess.Popen[bytes]] = field(default_factory=list)
    ports: dict[str, str] = field(default_factory=lambda: {port: str(free_port()) for port in PORTS})

    def __post_init__(self) -> None:
        for name in ("src", "examples", "MLproject", "conda.yaml"):
            (self.folder / name).symlink_to(ROOT / name)

    def does(self, step: Step) -> None:
        """Does it, and sees that it ends as the page says, with the output that it shows."""
        text = self._meant(step.text)
        if step.kind not in ("command", "script"):
            (self.folder / step.kind).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / step.kind).write_text(text)
        elif text.endswith(" &"):
            self._leaves_running(text)
        elif step.shown and step.shown[0] in _STOPS:
            self._stops(text, step)
        else:
            done = self._runs(step.kind, text)
            assert done.returncode == step.code, done.stdout
            if step.shown is not None:
                self._compares(step.shown, done.stdout.splitlines())

    def _meant(self, text: str) -> str:
        for shown, real in self.ids.items():
            text = text.replace(shown, real)
        for shown, real in self.ports.items():
            text = text.replace(f":{shown}", f":{real}").replace(f"--port {shown}", f"--port {real}")
        return text

    @property
    def _environment(self) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
        programs_here = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
        return {**own, "PATH": programs_here, "REPROVEN_STATE": str(self.folder / "state")}

    def _runs(self, kind: str, text: str) -> subprocess.CompletedProcess[str]:
        how: dict[str, Any] = {"cwd": self.folder, "env": self._environment, "stderr": subprocess.STDOUT}
        if kind == "script":
            (self.folder / ".script.py").write_text(text)
            return programs.run(ROOT / "tests" / "snippet.py", ".script.py", **how)
        first, *words = shlex.split(text)
        if first in ("reproven", "mlflow") and not _SHELL.search(text):
            return programs.run(SOURCE if first == "reproven" else MLFLOW, *words, **how)
        return subprocess.run(["bash", "-c", text], **how, stdout=subprocess.PIPE, text=True, check=False)

    def _stops(self, text: str, step: Step) -> None:
        """Starts a training, and stops it when it has a checkpoint more than there was."""
        before = self._checkpoints()
        how: dict[str, Any] = {"cwd": self.folder, "env": self._environment, "stderr": subprocess.STDOUT}
        with programs.start(SOURCE, *shlex.split(text)[1:], **how) as process:
            while process.poll() is None and not self._checkpoints() - before:
                time.sleep(0.02)
            process.send_signal(_STOPS[str((step.shown or ("",))[0])])
            printed = process.communicate()[0]
        assert process.returncode in (step.code, 128 - step.code), printed  # as a shell and as Python say it
        self._compares((step.shown or ())[1:], printed.splitlines())

    def _checkpoints(self) -> set[Path]:
        return set(self.folder.glob("state/*/checkpoint-*"))

    def _leaves_running(self, text: str) -> None:
        """Starts a program, and waits until it says that it can be asked."""
        said = self.folder / f".said-{len(self.behind)}"
        with said.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", f"exec {text.removesuffix(' &')}"],
                cwd=self.folder,
                env=self._environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.behind.append(process)
        (ready,) = (words for start, words in _READY.items() if text.startswith(start))
        while ready not in said.read_text():
            assert process.poll() is None, said.read_text()
            time.sleep(0.1)

    def _compares(self, shown: tuple[str, ...], printed: list[str]) -> None:
        place, is_open = 0, False
        for line in shown:
            if line.strip() == "…":
                is_open = True
                continue
            there = range(place, len(printed)) if is_open else [place]
            place = next((at + 1 for at in there if at < len(printed) and self._fits(line, printed[at])), -1)
            assert place > 0, f"{line!r} is not in\n" + "\n".join(printed)
            is_open = False
        assert is_open or place == len(printed), "\n".join(printed[place:])

    def _fits(self, shown: str, printed: str) -> bool:
        parts = re.split(r"(…|\b[0-9a-f]{32}\b)", self._meant(shown))
        pattern = "".join(
            ".*" if part == "…" else "([0-9a-f]{32})" if self._is_new(part) else re.escape(part)
            for part in parts
        )
        found = re.fullmatch(pattern, printed.rstrip())
        if found:
            self.ids.update(zip(filter(self._is_new, parts), found.groups(), strict=True))
        return found is not None

    def _is_new(self, part: str) -> bool:
        return bool(_ID.fullmatch(part)) and part not in self.ids.values()

    def leaves(self) -> None:
        """Ends what was left running."""
        for process in self.behind:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait()
