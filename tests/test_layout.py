"""The house's structure: which way imports go, and who alone may do what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

PACKAGE = ROOT / "src" / "reproven"
MODULES = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in PACKAGE.rglob("*.py")}
COMMANDS = ("training", "proof", "promotion", "survival", "sweeping", "comparing")
#: Each module imports only from the ones before it.
ORDER = [
    ["errors.py"],
    ["options.py", "registration.py", "arithmetic.py", "address.py", "metrics.py", "summary.py", "paired.py"],
    ["texts.py", "archive.py", "inert.py"],
    ["initialisation.py"],
    ["recipe.py"],
    ["record.py", "blueprint.py", "networks.py", "data.py", "optimizers.py", "histograms.py", "axes.py"],
    ["study.py", "grouping.py"],
    ["proposals.py", "swept.py"],
    ["page.py", "digests.py", "training.py", "evaluation.py", "difference.py", "figures.py", "interval.py"],
    ["comparison.py"],
    ["comparison_words.py", "comparison_figures.py"],
    ["comparison_page.py"],
    ["environment.py", "artifacts.py", "verdict.py", "journal.py", "stopping.py"],
    ["trial.py", "pickles.py", "elsewhere.py", "logbook.py"],
    ["recording.py", "checkpoint.py", "manifest.py", "mlmodel.py", "serving.py"],
    ["run.py"],
    ["pictures.py"],
    ["store.py", "tracking.py"],
    ["delivery.py", "evidence.py", "explanation.py", "registry.py", "nested.py"],
    ["candidates.py"],
    ["verbs/revive.py", "verbs/train.py", "verbs/weights.py", "verbs/runs.py", "verbs/audit.py"],
    ["verbs/predict.py", "verbs/replay.py", "verbs/bundle.py", "verbs/draw.py", "verbs/compare.py"],
    ["verbs/promote.py", "verbs/resume.py", "verbs/sync.py", "verbs/doctor.py"],
    ["worker.py"],
    ["executors.py"],
    ["verbs/sweep.py"],
    ["cli/group.py"],
    ["cli/options.py"],
    [
        "cli/training.py",
        "cli/proof.py",
        "cli/promotion.py",
        "cli/survival.py",
        "cli/sweeping.py",
        "cli/comparing.py",
    ],
    ["cli/__init__.py"],
    ["__main__.py"],
]


def imports(text: str) -> set[str]:
    """The modules of this package that a text imports, as file names."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module == "reproven":
            found |= {f"{alias.name}.py" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "reproven.cli":
            names = {f"cli/{alias.name}.py" for alias in node.names}
            found |= names if names <= set(MODULES) else {"cli/__init__.py"}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reproven."):
            found.add(f"{str(node.module).removeprefix('reproven.').replace('.', '/')}.py")
    return found & set(MODULES)


def test_imports_go_one_way() -> None:
    listed = [name for row in ORDER for name in row]
    assert sorted(listed) == sorted(set(MODULES) - {"__init__.py", "verbs/__init__.py"})
    for number, row in enumerate(ORDER):
        before = {name for earlier in ORDER[:number] for name in earlier}
        for name in row:
            assert imports(MODULES[name]) <= before, name


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"^\s*(import|from) mlflow\b", {"store.py", "registry.py", "run.py", "mlmodel.py"}),
        (r"\btorch\.load\(|\bpickle\b\.|\bUnpickler\b|\bmarshal\b|(?<![.\w])(eval|exec)\(", set()),
        (
            r"\bprint\(|\bclick\.echo\(",
            {
                f"cli/{name}.py"
                for name in (
                    "training",
                    "proof",
                    "promotion",
                    "survival",
                    "sweeping",
                    "comparing",
                    "options",
                    "group",
                )
            },
        ),
        (r"^\s*(import|from) matplotlib\b", {"figures.py", "comparison_figures.py"}),
        (r"^\s*(import|from) scipy\b", {"paired.py"}),
        (r"^\s*(import|from) jinja2\b", {"comparison_page.py"}),
        (r"\bsubprocess\b", {"environment.py", "elsewhere.py"}),
        (r"\bpyplot\b|\bmlflow\.(start_run|log_\w+|autolog)\(", set()),
    ],
)
def test_one_module_alone_does_it(pattern: str, allowed: set[str]) -> None:
    found = {name for name, text in MODULES.items() if re.search(pattern, text, re.MULTILINE)}
    assert found == allowed


def test_a_model_takes_along_the_modules_that_it_imports_and_no_others() -> None:
    from reproven.mlmodel import MODULES as TAKEN

    reached, ahead = set(), ["serving.py"]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += imports(MODULES[name])
    assert {f"{name}.py" for name in TAKEN} == reached | {"__init__.py"}


def test_no_file_grows_without_limit() -> None:
    sizes = {name: len(text.splitlines()) for name, text in MODULES.items()}
    assert max(sizes.values()) <= 440, sizes


def test_no_path_of_a_machine_is_in_the_project() -> None:
    skipped = {".git", ".venv", "mlruns", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}
    pattern = re.compile(r"/(home|root|work|tmp)/[a-z]")
    suffixes = {".py", ".md", ".toml", ".yaml", ""}
    for path in ROOT.rglob("*"):
        ours = path.suffix in suffixes and not skipped & set(path.parts) and path != Path(__file__)
        if path.is_file() and ours:
            assert not pattern.search(path.read_text(errors="ignore")), path


@pytest.mark.parametrize(
    "name",
    [
        "store",
        "evidence",
        "verbs.replay",
        "verbs.audit",
        "verbs.resume",
        "verbs.sync",
        "verbs.doctor",
        "verbs.compare",
    ],
)
def test_a_record_can_be_looked_up_before_torch_is_there(name: str) -> None:
    code = f"import sys, reproven.{name}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
