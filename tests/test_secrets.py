"""No secret of the environment gets into a record, a store or an answer."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from reproven import Recipe, export, replay, train, weights
from reproven.cli import main
from reproven.recipes.blueprint import Blueprint

#: Where people keep secrets; each has a value of its own, which is looked for in every byte that is written.
NAMES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_CLIENT_SECRET"),
    *("GOOGLE_API_KEY", "GITHUB_TOKEN", "CI_JOB_TOKEN", "HF_TOKEN", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"),
    *("DATABRICKS_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    *(
        "WANDB_API_KEY",
        "PGPASSWORD",
        "SSH_AUTH_SOCK",
        "MY_PASSWORD",
        "HOSTNAME",
        "SLURM_JOB_USER",
        "TORCH_HOME",
    ),
)
#: And where a URL has one in it.
URLS = ("HTTPS_PROXY", "HTTP_PROXY", "PIP_INDEX_URL", "DATABASE_URL", "SENTRY_DSN")


def secret(name: str) -> str:
    return f"S3CR3T-{name.lower()}-{'x' * 20}"


@pytest.fixture
def secretive(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment full of secrets."""
    for name in NAMES:
        monkeypatch.setenv(name, secret(name))
    for name in URLS:
        monkeypatch.setenv(name, f"https://user:{secret(name)}@example.invalid/")


@pytest.mark.usefixtures("secretive")
def test_no_secret_of_the_environment_is_in_any_file_that_a_run_leaves(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    MlflowClient(tracking_uri=uri).create_experiment("e", artifact_location=str(tmp_path / "artifacts"))
    made = train(Recipe(epochs=2), tracking_uri=uri, experiment="e", register_model="m", alias="champion")
    export(made.run_id, tmp_path / "bundle", tracking_uri=uri)
    weights(Blueprint(), tracking_uri=uri, experiment="e")
    assert replay(made.run_id, tracking_uri=uri).exit_code in (0, 1)  # as the machine's threads would have it
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 80
    assert {tmp_path / "mlflow.db", tmp_path / "bundle" / "environment.json"} <= set(files)
    for path in files:
        content = path.read_bytes()
        for spelled in (b"S3CR3T", "S3CR3T".encode("utf-16-le"), base64.b64encode(b"S3CR3T")):
            assert spelled not in content, path
    assert b'"variables"' in (tmp_path / "bundle" / "environment.json").read_bytes()


@pytest.mark.parametrize("uri", ["http://me:S3CR3T@127.0.0.1:9/", "nothing://me:S3CR3T@127.0.0.1/"])
def test_no_password_of_a_store_is_told(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for line in (["runs"], ["seal", "0" * 32], ["export", "0" * 32, "folder"]):
        done = CliRunner().invoke(main, [*line, "--tracking-uri", uri], prog_name="reproven")
        assert done.exit_code == 2
        assert "S3CR3T" not in done.output
        assert "127.0.0.1" in done.output
