"""Draws from a table by inversion of its cumulative sum, with a guide in place of a bisection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_GUIDES_PER_CELL = 2
_CHUNK = 1 << 15  # draws and guide of a chunk stay in the second cache


def cells_of(ladder: Array, draws: Array) -> NDArray[np.int64]:
    """The cell of each draw: the first whose cumulative probability exceeds it.

    The answer is that of a bisection, `searchsorted(ladder, draws, side="right")` cut at the
    last cell, draw by draw. The total is divided into equal parts and the first cell of each
    part is kept (the guide of Chen and Asau): most draws are then one look away from theirs,
    and the few that are not are bisected. In a table of 40 401 cells a draw costs a tenth of a
    bisection, which misses the cache at most of its 16 steps.

    Args:
        ladder: (cells,) cumulative sum of probabilities, not falling, its last entry positive.
        draws: (shots,) uniform in [0, ladder[-1]).

    Returns:
        (shots,) indices of cells.
    """
    last = ladder.size - 1
    if draws.size < ladder.size:  # the guide would cost more than it saves
        return np.minimum(np.searchsorted(ladder, draws, side="right"), last).astype(np.int64)
    parts = _GUIDES_PER_CELL * ladder.size
    step = ladder[-1] / parts
    guide = np.searchsorted(ladder, step * np.arange(parts + 1), side="right").astype(np.int32)
    above = np.append(ladder, np.inf)
    below = np.insert(above, 0, -np.inf)
    cells = np.empty(draws.size, dtype=np.int64)
    for start in range(0, draws.size, _CHUNK):
        part = draws[start : start + _CHUNK]
        found = guide[np.minimum(part / step, parts).astype(np.int32)]
        found += above[found] <= part
        missed = np.flatnonzero((above[found] <= part) | (below[found] > part))
        found[missed] = np.searchsorted(ladder, part[missed], side="right")
        cells[start : start + _CHUNK] = found
    return np.minimum(cells, last)
