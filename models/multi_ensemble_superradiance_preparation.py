"""Couplings of one size, finite N: how long to hold, and at which curvature.

Below the best steady-state curvature the exact steady state holds atoms that escaped from the
well, but escape is slow: a finite hold after the pulse does better. Not in the paper; its
setting is Shen et al., "Multi-ensemble superradiance for distributed quantum sensing", Fig. 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize_scalar

from ._checks import positive, whole
from .multi_ensemble_superradiance import CoupledEnsembles, curvature_in_range, operating_point
from .multi_ensemble_superradiance_exact import evolve_exact
from .multi_ensemble_superradiance_uniform import (
    best_uniform_curvature,
    uniform_dark_state_at_curvature,
)

_MOST_ATOMS = 300
_LONGEST = 15.0
_POINTS = 76


@dataclass(frozen=True, slots=True)
class UniformPreparation:
    """A pulse to |theta> and a hold under the balancing drive.

    Attributes:
        atoms: N.
        curvature: K.
        hold_time: best hold, in the inverse unit of the rates.
        relaxations: kappa_r times the hold time.
        xi2: squeezing at that time, for any split into ensembles.
        steady_xi2: squeezing after an endless hold.
    """

    atoms: int
    curvature: float
    hold_time: float
    relaxations: float
    xi2: float
    steady_xi2: float


def best_hold(atoms: int, curvature: float, collective_decay: float = 1.0) -> UniformPreparation:
    """Hold of least xi2, up to 15/kappa_r, at a curvature: exact dynamics of N equivalent atoms.

    Args:
        atoms: N, from 2 to 300 (one run costs about N^3).
        curvature: K in (0, 1).
        collective_decay: Gamma for couplings of size 1.

    Raises:
        ValueError: outside these ranges.
    """
    n = whole(atoms, "atoms", least=2)
    if n > _MOST_ATOMS:
        raise ValueError(
            f"Argument `atoms` must not exceed {_MOST_ATOMS} for exact dynamics, but is {atoms!r}."
        )
    k = curvature_in_range(curvature)
    if k == 1.0:
        raise ValueError(f"Argument `curvature` must lie in (0, 1) here, but is {curvature!r}.")
    gamma = positive(collective_decay, "collective_decay")
    point = operating_point(CoupledEnsembles((1.0,), (1.0,), n, gamma), k)
    grid = np.linspace(0.0, _LONGEST, _POINTS)
    levels = [n + 1]
    history = evolve_exact(
        point.ensembles, point.theta, grid / point.relaxation_rate, levels=levels
    )
    curve = CubicSpline(grid, [math.log(moments.smallest_eigenvalue) for moments in history])
    fine = np.linspace(0.0, _LONGEST, 100 * (_POINTS - 1) + 1)
    values = curve(fine)
    best = int(np.argmin(values))
    return UniformPreparation(
        atoms=n,
        curvature=k,
        hold_time=float(fine[best]) / point.relaxation_rate,
        relaxations=float(fine[best]),
        xi2=math.exp(float(values[best])),
        steady_xi2=uniform_dark_state_at_curvature(n, k).xi2,
    )


def best_uniform_preparation(atoms: int, collective_decay: float = 1.0) -> UniformPreparation:
    """Curvature and hold of least xi2 together; K to about 0.5 %, xi2 to 1e-4.

    About ten runs of `best_hold`: seconds at N = 100.
    """
    steady = best_uniform_curvature(atoms)
    low, high = 0.6 * steady.curvature, min(1.2 * steady.curvature, 0.99)

    def squeezing(curvature: float) -> float:
        return best_hold(atoms, curvature, collective_decay).xi2

    found: Any = minimize_scalar(
        squeezing, bounds=(low, high), method="bounded", options={"xatol": 3e-3 * high}
    )
    return best_hold(atoms, float(found.x), collective_decay)
