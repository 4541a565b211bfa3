"""Compilation by numba, with its results kept on disk; loads numba when imported.

Only pages named `*_kernel` import this one, and they are imported by the function that
needs them, on its first call: a quarter of a second for numba itself, some five more to
compile a kernel where no earlier process has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function compiled on its first call.

    Products and sums may be fused and sums taken in another order, which changes rounding
    only; a division by zero gives what numpy gives.
    """
    settings: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}
    try:
        made: Any = numba.njit(cache=True, **settings)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        made = numba.njit(**settings)(function)
    result: Function = made
    return result
