"""`python snippet.py FILE`: runs a script of a page; what it imports may be there already."""

from __future__ import annotations

import runpy
import sys

if __name__ == "__main__":
    sys.path[0] = ""
    runpy.run_path(sys.argv[1], run_name="__main__")
