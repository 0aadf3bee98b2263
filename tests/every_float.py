"""Holds functions of one number against C's long double, for every float32 or every so-many-th of them.

`python tests/every_float.py` takes all 2³² of them, which lasts minutes a function; `--every 1009` some.
long double of x86-64 has 64 bits, and its functions are off by a few units in the last place at most (source:
https://sourceware.org/glibc/manual/latest/html_node/Errors-in-Math-Functions.html); where 2⁻⁵³ more or less
would round to another float32, which is so for some dozens of all 2³² numbers, mpmath's digits decide.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import mpmath
import numpy as np

from reproven.arithmetic import functions

#: In C, of a long double x; and in digits, of an mpmath number.
BY_NAME: dict[str, tuple[str, Callable[[mpmath.mpf], mpmath.mpf]]] = {
    "exp": ("expl(x)", mpmath.exp),
    "expm1": ("expm1l(x)", mpmath.expm1),
    "log": ("logl(x)", mpmath.log),
    "log1p": ("log1pl(x)", mpmath.log1p),
    "tanh": ("tanhl(x)", mpmath.tanh),
    "sigmoid": ("1 / (1 + expl(-x))", lambda x: 1 / (1 + mpmath.exp(-x))),
    "softplus": ("x > 50 ? x + expl(-x) : log1pl(expl(x))", lambda x: mpmath.log1p(mpmath.exp(x))),
    "sin": ("sinl(x)", mpmath.sin),
    "cos": ("cosl(x)", mpmath.cos),
    "erf": ("erfl(x)", mpmath.erf),
    "ndtr": ("erfcl(-x * SQRT_HALF) / 2", mpmath.ncdf),
    "gelu_slope": (
        "erfcl(-x * SQRT_HALF) / 2 + x * expl(-x * x / 2) * SQRT_HALF * M_2_SQRTPIl / 2",
        lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x),
    ),
    "gelu": (
        # x / 2 and less than 2⁻²⁵⁰ more, where half of all x / 2 lie half way between two float32
        "fabsl(x) < 0x1p-125L ? x / 2 + 0x1p-160L : x * (erfcl(-x * SQRT_HALF) / 2)",
        lambda x: x * mpmath.ncdf(x),
    ),
}
KERNEL = """
#include <math.h>
#include <string.h>
#define M_2_SQRTPIl 1.128379167095512573896158903121545172L
#define SQRT_HALF 0.707106781186547524400844362104849039L
#define NEAR 0x1p-53L
static float at(unsigned bits) { float x; memcpy(&x, &bits, 4); return x; }
#define FUNCTION(name, formula) \\
  void of_##name(unsigned start, unsigned every, long count, \\
                 float *x_, float *found, unsigned char *is_open) { \\
    for (long i = 0; i < count; i++) { \\
      x_[i] = at(start + every * (unsigned)i); \\
      long double x = x_[i], y = formula; \\
      found[i] = (float)y; \\
      is_open[i] = isfinite(y) && (float)(y - fabsl(y) * NEAR) != (float)(y + fabsl(y) * NEAR); \\
    } \\
  }
"""
AT_ONCE = 1 << 20


def compiled(folder: str) -> ctypes.CDLL:
    """The functions in C, by their names."""
    source, library = Path(folder, "functions.c"), Path(folder, "functions.so")
    own = "\n".join(f"FUNCTION({name}, {formula})" for name, (formula, _) in BY_NAME.items())
    source.write_text(KERNEL + own, encoding="utf-8")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-lm"], check=True)
    return ctypes.CDLL(str(library))


def differing(name: str, library: ctypes.CDLL, every: int) -> tuple[int, int, list[float]]:
    """How many numbers were looked at, how many of them by digits, and for which another is the nearest."""
    x, expected = np.empty(AT_ONCE, np.float32), np.empty(AT_ONCE, np.float32)
    is_open = np.empty(AT_ONCE, np.uint8)
    pointers = [ctypes.c_void_p(one.ctypes.data) for one in (x, expected, is_open)]
    in_c, in_digits, wrong = library[f"of_{name}"], BY_NAME[name][1], []
    total, by_digits = -(-(1 << 32) // every), 0
    for start in range(0, total, AT_ONCE):
        count = min(AT_ONCE, total - start)
        in_c(ctypes.c_uint(start * every), ctypes.c_uint(every), ctypes.c_long(count), *pointers)
        for place in np.flatnonzero(is_open[:count]):
            expected[place] = nearest_by_digits(in_digits, float(x[place]))
            by_digits += 1
        with np.errstate(all="ignore"):
            found = getattr(functions, name)(x[:count])
        same = (found == expected[:count]) | (np.isnan(found) & np.isnan(expected[:count]))
        wrong += x[:count][~same].tolist()
    return total, by_digits, wrong


def nearest_by_digits(function: Callable[[mpmath.mpf], mpmath.mpf], x: float) -> np.float32:
    """By digits, between the two float32 that may be the nearest."""
    with mpmath.workprec(600), np.errstate(all="ignore"):
        exact = function(mpmath.mpf(x))
        near = np.float32(float(exact))
        around = [near, *(np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf))]
        return min(
            around, key=lambda one: (abs(mpmath.mpf(float(one)) - exact), int(one.view(np.uint32)) & 1)
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(BY_NAME), metavar="name", help=", ".join(BY_NAME))
    parser.add_argument("--every", type=int, default=1, help="every so-many-th float32 (default 1: all)")
    asked = parser.parse_args(arguments)
    is_wrong = False
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(folder)
        for name in asked.names:
            total, by_digits, wrong = differing(name, library, asked.every)
            is_wrong = is_wrong or bool(wrong)
            shown = f"{len(wrong)} differ{' at ' if wrong else ''}{', '.join(map(repr, wrong[:3]))}"
            print(f"{name:<10} {total:>13,} float32, {by_digits} by digits: {shown}", flush=True)
    return int(is_wrong)


if __name__ == "__main__":
    raise SystemExit(main())
