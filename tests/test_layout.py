"""The house's structure: which way imports go, and who alone may do what."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

from conftest import ROOT

#: Each wing (or file at the top) imports only from those before it, and from itself.
WINGS = (
    *(
        "_version",
        "errors",
        "arithmetic",
        "operations",
        "blocks",
        "networks",
        "own",
        "files",
        "serving",
        "recipes",
        "values",
        "pages",
        "machine",
        "tables",
        "training",
    ),
    *("store", "logbooks", "runs", "proof", "comparisons", "sweeps", "__init__", "cli", "__main__"),
)
PACKAGE = ROOT / "src" / "reproven"
TEXTS = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): text
    for path in PACKAGE.rglob("*.py")
    if (text := path.read_text())
}
MOST_MODULES, MOST_LINES = 12, 350


def imports(name: str) -> set[str]:
    """The modules of this package that one imports, at its top, late or for its types."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(TEXTS[name])):
        if isinstance(node, ast.Import):
            assert not any(alias.name.split(".")[0] == "reproven" for alias in node.names), name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, name
            if (node.module or "").split(".")[0] == "reproven":
                found |= set(_meant(str(node.module), [alias.name for alias in node.names]))
    return found - {name}


def _meant(module: str, names: list[str]) -> Iterator[str]:
    inner = module.removeprefix("reproven").removeprefix(".")
    for name in names:
        whole = f"{inner}.{name}".removeprefix(".")
        yield whole if whole in TEXTS else inner or "__init__"


def wing(name: str) -> str:
    return name.split(".")[0]


def test_imports_go_one_way() -> None:
    assert {wing(name) for name in TEXTS} == set(WINGS)
    for name in TEXTS:
        for other in imports(name):
            assert WINGS.index(wing(other)) <= WINGS.index(wing(name)), f"{name} imports {other}"


def test_no_wing_has_a_ring() -> None:
    TopologicalSorter({name: imports(name) for name in TEXTS}).prepare()  # raises CycleError


def test_a_wing_says_what_it_is_and_imports_nothing() -> None:
    for name in {wing(name) for name in TEXTS if "." in name}:
        tree = ast.parse(TEXTS[name])
        lines = (ast.get_docstring(tree) or "").replace("\n\n", "\n").splitlines()
        assert len(lines) == 3, name
        assert lines[1].startswith("It stands "), name
        assert lines[2].startswith("It never "), name
        assert len(tree.body) == 1 or name == "cli", name


def test_no_wing_and_no_file_grows_without_limit() -> None:
    for name in {wing(name) for name in TEXTS}:
        assert sum(wing(other) == name for other in TEXTS) - 1 <= MOST_MODULES, name
    assert {name: n for name, text in TEXTS.items() if (n := len(text.splitlines())) > MOST_LINES} == {}


def test_no_two_names_are_mistaken_for_one_another() -> None:
    """No two files of one name, and none told from another by its ending alone; a face of the command line
    bears the name of its wing."""
    names = sorted(name.split(".")[-1] for name in TEXTS if "." in name and wing(name) != "cli")
    assert len(names) == len(set(names))
    for one, other in pairwise(names):
        same = len(os.path.commonprefix([one, other]))  # noqa: RUF071
        assert same < min(6, len(one), len(other)), (one, other)
    faces = {name.split(".")[1] for name in TEXTS if name.startswith("cli.")}
    assert faces - set(WINGS) == {"group", "printing", "reading", "streams"}


@pytest.mark.parametrize(
    ("what", "pattern", "allowed"),
    [
        ("imports MLflow", r"^\s*(import|from) mlflow\b", {"store", "serving"}),
        ("starts processes", r"\bsubprocess\b|\bos\.(fork|exec|spawn|system)", {"machine"}),
        ("prints", r"\bprint\(|\bclick\.echo\(", {"cli"}),
        ("reads options", r"^\s*(import|from) click\b", {"cli"}),
        ("reads saved models", r"\bimport pickletools\b|\bimport zipfile\b", {"files", "tables"}),
        ("draws", r"^\s*(import|from) matplotlib\b", {"training", "comparisons"}),
        ("tests hypotheses", r"^\s*(import|from) scipy\b(?! import special)", {"comparisons"}),
        ("makes pages", r"^\s*(import|from) jinja2\b", {"pages"}),
        ("searches", r"^\s*(import|from) optuna\b", {"sweeps"}),
        ("trains in other processes", r"\bconcurrent\.futures\b|\bmultiprocessing\b", {"sweeps"}),
        ("unpickles", r"\btorch\.load\(|\bpickle\b\.|\bUnpickler\b|\bmarshal\b", set()),
        ("runs texts", r"(?<![.\w])(eval|exec)\(", set()),
        ("keeps global state", r"\bpyplot\b|\bmlflow\.(start_run|log_\w+|autolog)\(", set()),
    ],
)
def test_one_wing_alone_does_it(what: str, pattern: str, allowed: set[str]) -> None:
    found = {wing(name) for name, text in TEXTS.items() if re.search(pattern, text, re.MULTILINE)}
    assert found == allowed, what


def test_values_import_nothing_heavy() -> None:
    used = set()
    for name in (name for name in TEXTS if wing(name) in ("recipes", "values")):
        used |= set(re.findall(r"^(?:import|from) (\w+)", TEXTS[name], re.MULTILINE))
    assert used <= {"reproven", *sys.stdlib_module_names}


def test_a_model_takes_along_the_modules_that_it_imports_and_no_others() -> None:
    from reproven.store.mlmodel import MODULES

    reached: set[str] = set()
    ahead = ["serving"]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += imports(name)
    wings = {wing(name) for name in reached if "." in name}
    assert set(MODULES) == reached | wings | {"__init__", "_version"}


def test_no_path_of_a_machine_is_in_the_project() -> None:
    caches = {".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", "mutants"}
    skipped = {".git", ".venv", "mlruns", *caches}
    pattern = re.compile(r"/(home|root|work|tmp)/[a-z]")
    suffixes = {".py", ".md", ".toml", ".yaml", ""}
    looked_at = 0
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in skipped]
        for path in (Path(folder, name) for name in names):
            if path.suffix in suffixes and path != Path(__file__):
                assert not pattern.search(path.read_text(errors="ignore")), path
                looked_at += 1
    assert looked_at > 100


def test_a_record_can_be_looked_up_before_torch_is_there() -> None:
    """Its arithmetic is chosen before torch is imported, and a look needs none of it."""
    names = (
        *("store.store", "proof.evidence", "proof.replay", "proof.audit", "logbooks.sync", "logbooks.doctor"),
        *("runs.train", "runs.resume", "runs.latest", "comparisons.compare", "sweeps.sweep", "cli"),
    )
    code = f"import importlib, sys\nfor name in {names}:\n    importlib.import_module('reproven.' + name)\n"
    code += "    assert 'torch' not in sys.modules, name\n"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_docs_name_tests_and_files_that_exist() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = page.read_text()
        for name in re.findall(r"`(test_\w+)`", text):
            assert f"def {name}(" in tests, f"{page.name}: {name}"
        for name in re.findall(r"`((?:\w+/)+(?:\w+\.py)?)`", text):
            assert (ROOT / name).exists() or (PACKAGE / name).exists(), f"{page.name}: {name}"
