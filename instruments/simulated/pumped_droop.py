"""Pumping through a third level that is not far off: the rate falls as atoms are excited.

The rate out of n excited atoms is w/(1 + (droop (n+1))^2), droop = gamma_r/(2 delta) (Shimshi &
Shahmoon, "Dissipative phase transition and metrology in collectively pumped superradiance",
Eq. B15). The populations follow from the matrix of all jumps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from .pumped_shot import PumpStep

Array = NDArray[np.float64]


def drooping_populations(state: Array, decay: float, droop: float, step: PumpStep) -> Array:
    """(N+1,) p_n after one step; rates angular."""
    moved = expm(jumps(state.size - 1, step.rate, decay, droop) * step.duration) @ state
    kept: Array = np.maximum(moved, 0.0)
    return kept / float(kept.sum())


def jumps(atoms: int, pump: float, decay: float, droop: float) -> Array:
    """(N+1, N+1) the matrix of dp/dt, columns to rows."""
    below = np.arange(atoms, dtype=np.float64)
    climb = (atoms - below) * (below + 1.0)
    up = pump * climb / (1.0 + (droop * (below + 1.0)) ** 2)
    down = decay * climb
    matrix: Array = np.diag(up, -1) + np.diag(down, 1)
    return matrix - np.diag(matrix.sum(axis=0))
