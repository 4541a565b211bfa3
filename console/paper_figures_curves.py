"""What the pictures of `paper_figures` share: curves within a budget of time, and the marks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from ..models.predictions import Prediction

Array = NDArray[np.float64]
Rows = tuple[Array, Array]
"""Abscissae (n,), and values (n, k), of k curves."""

BUDGET = 1.0
"""Seconds for each family of curves; two to four families make a picture."""

_MARK: dict[str, Any] = {"marker": "*", "ms": 12, "color": "tab:red", "mec": "k", "mew": 0.6}
_LEAST_POINTS = 5


def sampled(
    function: Callable[[float], Sequence[float]],
    grid: ArrayLike,
    own: float = math.inf,
    budget: float = BUDGET,
) -> Rows:
    """Values along the grid, ends first and then ever finer, until `budget` seconds are over.

    The user's `own` point (if finite) comes first of all, so that it lies on the curve. At least
    five points are computed. Points that the function refuses (ValueError) are left out.
    """
    values = np.union1d(np.asarray(grid, dtype=np.float64), [own] if math.isfinite(own) else [])
    order = _coarse_first(values.size)
    if math.isfinite(own):
        order = list(dict.fromkeys([int(np.searchsorted(values, own)), *order]))
    found: dict[float, Sequence[float]] = {}
    started = time.monotonic()
    for done, index in enumerate(order):
        if done >= _LEAST_POINTS and time.monotonic() - started > budget:
            break
        try:
            found[float(values[index])] = function(float(values[index]))
        except ValueError:
            continue
    places = sorted(found)
    return np.array(places), np.array([found[x] for x in places], dtype=np.float64)


def _coarse_first(size: int) -> list[int]:
    """All indices below `size`, by halving the steps: 0, last, middle, quarters …"""
    order = dict.fromkeys([0, size - 1])
    step = size - 1
    while step > 1:
        step = (step + 1) // 2
        order |= dict.fromkeys(range(0, size, step))
    return list(order)


def mark(axes: Axes, x: float, y: Any, label: str) -> None:
    """The user's point, where the quantity exists."""
    if isinstance(y, int | float) and math.isfinite(x) and math.isfinite(y):
        axes.plot([x], [y], label=label, zorder=5, ls="none", **_MARK)


def value_of(prediction: Prediction, name: str) -> Any:
    one = prediction.quantities.get(name)
    return None if one is None else one.value


def around(value: float, low: float, high: float, points: int, least: float = 0.0) -> Array:
    """A grid from `low` to `high`, widened to hold `value` with some room."""
    top = max(high, 1.25 * value if value > 0.0 else high)
    bottom = max(least, min(low, value - 0.1 * abs(top - value)))
    return np.linspace(bottom, top, points)
