"""Which code ran: what a record says of it, and what is refused where it must be clean, is what is loaded."""

from __future__ import annotations

import json
import os
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT

#: Tells what a record would say of the code that is loaded, and why it is refused where it must be clean.
PROGRAM = """
import json, sys
from reproven.errors import InvalidInput
from reproven.machine import code, environment
from reproven.own.sources import Sources
found = code.code_state()
told = {"commit": found and found.commit, "patch": found and found.patch}
for name, ask in (
    ("refused", lambda: (code.require_clean(found), code.require_own_clean(Sources()))),
    ("unrecorded", lambda: told.update(source=code.code(found).source_sha256)),
):
    try:
        ask()
    except InvalidInput as error:
        told[name] = str(error)
print(json.dumps({**told, "beside": {name: str(path) for name, path in environment.beside().items()}}))
"""
WHO = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")
LOOP = "reproven/training/loop.py"


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with this package in it."""
    folder = tmp_path_factory.mktemp("committed") / "clone"
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", folder / "src", ignore=ignored)
    (folder / ".gitignore").write_text("__pycache__\n*.so\n")
    for words in (["init", "-q"], ["add", "."], [*WHO, "commit", "-q", "-m", "all"]):
        git(folder, *words)
    return folder


@pytest.fixture
def clone(committed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(committed, tmp_path / "clone", symlinks=True)


def told(clone: Path, **variables: str) -> dict[str, Any]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(clone / "src"),
        "PYTHONDONTWRITEBYTECODE": "1",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def edit(clone: Path) -> None:
    with (clone / "src" / LOOP).open("a") as file:
        file.write("# edited\n")


def applied(clone: Path, patch: str, folder: Path) -> Path:
    """What the commit and a patch make, anew."""
    git(clone, "worktree", "add", "-q", "--detach", str(folder))
    (folder.parent / "code.patch").write_text(patch)
    git(folder, "apply", str(folder.parent / "code.patch"))
    return folder


def test_what_is_as_committed_is_clean(clone: Path) -> None:
    found = told(clone)
    assert (found["patch"], found.get("refused"), found["beside"]) == ("", None, {})
    assert found["commit"] == git(clone, "rev-parse", "HEAD").strip()


@pytest.mark.parametrize(
    "mark", ["--assume-unchanged", pytest.param("--skip-worktree", marks=pytest.mark.slow)]
)
def test_a_file_that_git_was_told_to_overlook_differs_all_the_same(clone: Path, mark: str) -> None:
    edit(clone)
    git(clone, "update-index", mark, f"src/{LOOP}")
    found = told(clone)
    assert "+# edited" in found["patch"]
    assert f"src/{LOOP} differ from the commit" in found["refused"]
    assert git(clone, "status", "--porcelain") == ""  # the user's own marks stay


@pytest.mark.slow
def test_a_sparse_checkout_is_clean(clone: Path) -> None:
    (clone / "large").mkdir()
    (clone / "large" / "data").write_text("x")
    git(clone, "add", "large")
    git(clone, *WHO, "commit", "-q", "-m", "more")
    git(clone, "sparse-checkout", "set", "src")
    assert not (clone / "large").exists()
    assert told(clone)["patch"] == ""


SETTINGS = {
    "diff.external": "echo external",
    "diff.noprefix": "true",
    "diff.mnemonicPrefix": "true",
    "diff.context": "0",
    "diff.submodule": "log",
    "diff.relative": "true",
    "color.ui": "always",
    "color.diff": "always",
    "core.trustctime": "false",
    "core.fsmonitor": "false",
}


def test_the_patch_applies_whatever_git_is_set_to(clone: Path, tmp_path: Path) -> None:
    edit(clone)
    for name, value in SETTINGS.items():
        git(clone, "config", name, value)
    (clone / ".git" / "info" / "attributes").write_text("*.py diff=mine\n")
    git(clone, "config", "diff.mine.command", "echo mine")
    git(clone, "config", "diff.mine.textconv", "true")
    patch = told(clone, GIT_EXTERNAL_DIFF="echo external", GIT_DIFF_OPTS="-u0")["patch"]
    again = applied(clone, patch, tmp_path / "again")
    assert (again / "src" / LOOP).read_bytes() == (clone / "src" / LOOP).read_bytes()


def test_no_variable_leads_to_another_repository(clone: Path, tmp_path: Path) -> None:
    edit(clone)
    other = tmp_path / "other"
    shutil.copytree(clone, other)
    git(other, *WHO, "commit", "-q", "-a", "-m", "other")
    lead = {"GIT_DIR": f"{other}/.git", "GIT_WORK_TREE": str(other), "GIT_INDEX_FILE": f"{other}/.git/index"}
    found = told(clone, **lead, GIT_OBJECT_DIRECTORY=f"{other}/.git/objects")
    assert found["commit"] == git(clone, "rev-parse", "HEAD").strip()
    assert "+# edited" in found["patch"]


@pytest.mark.parametrize(
    "kind", ["package", *(pytest.param(one, marks=pytest.mark.slow) for one in ("bytecode", "extension"))]
)
def test_a_module_that_git_does_not_know_is_in_the_patch_and_in_the_digest(
    clone: Path, tmp_path: Path, kind: str
) -> None:
    before = told(clone)["source"]
    folder = clone / "src" / "reproven" / "training"
    new = {
        "package": folder / "loop" / "__init__.py",  # which comes before loop.py
        "bytecode": folder / "more.pyc",
        "extension": folder / "loop.so",  # which git is told to ignore
    }[kind]
    new.parent.mkdir(exist_ok=True)
    new.write_bytes(b"\0new\n" if kind != "package" else b"new = True\n")
    found = told(clone)
    assert new.relative_to(clone).as_posix() in found["refused"]
    assert found["source"] != before
    again = applied(clone, found["patch"], tmp_path / "again")
    assert (again / new.relative_to(clone)).read_bytes() == new.read_bytes()
    assert git(clone, "fsck", "--unreachable") == ""  # nothing was written to the user's repository


def shadow(clone: Path, kind: str) -> Path:
    """Bytecode of another code beside a source, as Python would take it."""
    source = clone / "src" / "reproven" / "errors.py"
    text = source.read_text()
    at = source.stat()
    source.write_text(text.replace("0.75", "0.76"))
    mode = {
        "unchecked": py_compile.PycInvalidationMode.UNCHECKED_HASH,
        "backdated": py_compile.PycInvalidationMode.TIMESTAMP,
    }[kind]
    os.utime(source, ns=(at.st_atime_ns, at.st_mtime_ns))
    py_compile.compile(str(source), doraise=True, invalidation_mode=mode)
    source.write_text(text)
    os.utime(source, ns=(at.st_atime_ns, at.st_mtime_ns))
    return source


@pytest.mark.parametrize("kind", ["unchecked", pytest.param("backdated", marks=pytest.mark.slow)])
def test_bytecode_of_other_code_is_refused(clone: Path, kind: str) -> None:
    source = shadow(clone, kind)
    found = told(clone)
    words = f"Other code than {source} says is imported in its place. Remove __pycache__ beside it."
    assert found["refused"] == words
    assert ("unrecorded" in found) == (
        kind == "unchecked"
    )  # to compile all of it takes too long in every run


@pytest.mark.slow
def test_unchecked_bytecode_of_the_source_itself_is_taken(clone: Path) -> None:
    source = clone / "src" / "reproven" / "errors.py"
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(source), doraise=True, invalidation_mode=mode)
    found = told(clone)
    assert "refused" not in found
    assert "unrecorded" not in found


def test_source_that_changed_after_its_import_is_not_recorded(clone: Path) -> None:
    edited = f"from pathlib import Path; Path(r'{clone}/src/{LOOP}').open('a').write('# edited')\n"
    program = PROGRAM.replace("found = code.code_state()", f"{edited}found = code.code_state()")
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert "changed after it was imported: other code runs. Start Python anew." in done.stdout


@pytest.mark.parametrize(
    "name", ["sitecustomize", *(pytest.param(one, marks=pytest.mark.slow) for one in ("yaml", "random"))]
)
def test_what_stands_before_an_installed_module_is_recorded_and_refused(clone: Path, name: str) -> None:
    beside = clone / "src" / f"{name}.py"
    text = "" if name != "random" else Path(os.__file__).with_name("random.py").read_text()
    beside.write_text(text + ("import yaml\n" if name == "sitecustomize" else ""))
    (clone / ".git" / "info" / "exclude").write_text(f"{name}.py\n")
    program = PROGRAM.replace("import json, sys", f"import json, sys, {name}")
    environment = {**os.environ, "PYTHONPATH": str(clone / "src")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["beside"] == {name: str(beside)}
    assert f"imported is {name} from {beside}, which no package brings" in found["refused"]
