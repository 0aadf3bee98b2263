"""`python tests/commands_page.py`, as `make docs` does first: writes the page of commands from their help."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from reproven.cli import main

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "cli.md"
_HEAD = """# Commands

What `reproven COMMAND --help` prints. Exit codes: 0 well, 1 a finding, 2 trouble; those of `replay` are
[its own](../explanation/verdicts.md).
"""


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *_parts()])


def _parts() -> Iterator[str]:
    context = click.Context(main, info_name="reproven", **main.context_settings)
    yield f"```text\n{main.get_help(context)}\n```\n"
    for name in main.list_commands(context):
        command = main.commands[name]
        inner = click.Context(command, info_name=name, parent=context)
        yield f"## {name}\n\n```text\n{command.get_help(inner)}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page())
