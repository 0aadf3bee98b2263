"""README and docs: commands run as printed, the output shown is what comes out, links lead somewhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import commands_page
import reproven
from conftest import ROOT
from readers import PAGES, Reader, Step, steps

TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}
#: Commands that a page cannot run in passing, and the test that runs each.
ELSEWHERE = {
    "make run": "test_the_two_commands_of_a_new_clone",
    "make verify": "test_the_two_commands_of_a_new_clone",
    "pip install .": "test_an_empty_environment_trains_replays_and_revives_without_the_repository",
    "pip install '.[search,dask,excel]'": "test_the_lock_is_exact_within_every_range_and_installed_here",
    "mlflow run . --env-manager uv": "test_mlflow_run_builds_its_environment_with_uv",
    "mlflow run ~/src/reproven --env-manager local": "test_mlflow_run_is_one_run_whatever_the_spelling",
    "mlflow run GIT_URL --version main --env-manager local": "test_mlflow_run_from_a_git_uri",
}
#: What no test runs, as the page itself says.
UNTRIED = {
    "mlflow run . --env-manager conda": "the one form\nthat our tests do not run",
    "make mutants": "no test runs these",
    ".venv/bin/mutmut run 'reproven.values.record.*'": "no test runs these",
    ".venv/bin/mutmut show reproven.values.record.x_short__mutmut_1": "no test runs these",
}
#: Pages whose steps take long.
SLOW = (
    *("docs/tutorial.md", "docs/how-to/sweep.md", "docs/how-to/cluster.md", "docs/how-to/compare.md"),
    *("docs/how-to/resume.md", "docs/how-to/project.md", "docs/explanation/boston.md"),
    *("docs/how-to/server.md", "docs/how-to/own-network.md", "docs/how-to/paper.md"),
    *("docs/how-to/train.md", "docs/how-to/promote.md", "docs/how-to/install.md", "docs/how-to/verify.md"),
    *("docs/explanation/tables.md", "docs/explanation/verdicts.md"),
)


def asked(page: str) -> list[Step]:
    return [step for step in steps(TEXTS[page]) if step.text not in (*ELSEWHERE, *UNTRIED)]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page
        for page in TEXTS
        if any(step.kind in ("command", "script") for step in asked(page))
    ],
)
def test_a_page_does_what_it_says_from_top_to_bottom(page: str, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    try:
        for step in asked(page):
            reader.does(step)
    finally:
        reader.leaves()


def test_what_a_page_cannot_run_is_run_by_a_test() -> None:
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    shown = {step.text for text in TEXTS.values() for step in steps(text)}
    for command, test in ELSEWHERE.items():
        assert command in shown, command
        assert f"def {test}(" in tests, test
    for command, words in UNTRIED.items():
        pages = [page for page, text in TEXTS.items() if command in {step.text for step in steps(text)}]
        assert pages
        assert all(words in TEXTS[page] for page in pages), command


def test_links_and_pictures_are_there() -> None:
    for page, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if not target.startswith("https://"):
                assert ((ROOT / page).parent / target).is_file(), (page, target)


def test_make_knows_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for text in TEXTS.values():
        for target in set(re.findall(r"(?<![\w.])make ([a-z-]+)(?=[`\n ]{1,2})", text)) & _commands(text):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def _commands(text: str) -> set[str]:
    """What stands behind `make` where that is code."""
    code = re.findall(r"`make ([a-z-]+)`", text)
    return {*code, *(step.text.split()[1] for step in steps(text) if step.text.startswith("make "))}


def test_readme_is_read_in_three_minutes() -> None:
    assert len(TEXTS["README.md"].splitlines()) <= 160


def test_the_page_of_commands_is_click_s_own_help() -> None:
    """`make docs` writes it."""
    assert TEXTS["docs/reference/cli.md"] == commands_page.page()


def test_every_public_name_is_in_the_reference_and_says_what_it_is() -> None:
    listed = re.findall(r"^::: reproven\.(\w+)$", TEXTS["docs/reference/python.md"], re.MULTILINE)
    assert sorted(listed) == sorted(set(reproven.__all__) - {"__version__"})
    for name in listed:
        assert (getattr(reproven, name).__doc__ or "").strip(), name


def public_methods() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Methods that belong to a class with a public name."""
    homes = {home: name for name, home in reproven._HOMES.items()}
    for home in homes:
        path = ROOT / "src" / f"{home.replace('.', '/')}.py"
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and node.name in reproven._HOMES:
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("__"):
                        yield f"{node.name}.{inner.name}", inner


def test_every_public_method_says_what_it_does() -> None:
    assert [name for name, function in public_methods() if not ast.get_docstring(function)] == []
