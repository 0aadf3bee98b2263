"""Rendering: a template and values become HTML that asks nothing of any other place.

Names, texts and params come from stores and records that others write to: every template escapes all of them,
and a page forbids the browser to load anything.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

#: What a browser may load for a page: pictures that are in it, and its own style.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("reproven"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def rendered(template: str, **values: Any) -> str:
    """A template with its values, as HTML.

    Args:
        template: Its file's name, in the folder `templates`.
        **values: What it names; `policy` is there already.
    """
    return _templates().get_template(template).render(policy=POLICY, **values)
