"""`python killed.py FUNCTION COUNT MOMENT …`: `reproven …`, killed with SIGKILL at one moment.

FUNCTION is `module.name` or `module.class.name` in the package; the process kills itself at its COUNTth call,
when it begins or once it has ended (MOMENT).
"""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import signal
import sys
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, "src"))  # noqa: PTH118, PTH120


def die_at(function: str, count: int, moment: str) -> None:
    *path, name = function.split(".")
    inner: list[str] = []
    while True:
        try:
            owner: Any = importlib.import_module(".".join(["reproven", *path]))
            break
        except ModuleNotFoundError:
            inner.insert(0, path.pop())
    for part in inner:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), itertools.count(1)

    @functools.wraps(original)
    def call(*arguments: Any, **named: Any) -> Any:
        last = next(calls) == count
        if last and moment == "begins":
            os.kill(os.getpid(), signal.SIGKILL)
        found = original(*arguments, **named)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, name, call)
    for module in [module for key, module in sys.modules.items() if key.startswith("reproven.")]:
        if getattr(module, name, None) is original:  # imported by its name already
            setattr(module, name, call)


if __name__ == "__main__":
    die_at(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    from reproven.cli import main

    main(sys.argv[4:], prog_name="reproven")
