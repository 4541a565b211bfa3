"""Mean-field motion of many ensembles: the sliding angle, its light, and the Dicke burst.

Shen et al., "Multi-ensemble superradiance for distributed quantum sensing", Eqs. 4, 26-27.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from ._checks import finite
from .multi_ensemble_superradiance import CoupledEnsembles, balanced_drive, time_grid

Array = NDArray[np.float64]


def emission_rate(ensembles: CoupledEnsembles, theta: ArrayLike) -> Array:
    """Photons per time R = (dV/d theta)^2/Gamma of the undriven product state (Shen Eq. 4)."""
    rate: Array = balanced_drive(ensembles, theta) ** 2 / ensembles.collective_decay
    return rate


def mean_field_angle(
    ensembles: CoupledEnsembles, start: float, times: ArrayLike, drive: float = 0.0
) -> Array:
    """theta(t) from d theta/dt = Omega - Omega(theta) (Shen Eqs. 26-27).

    Uniform undriven ensembles follow tan(theta/2) = tan(theta_0/2) exp(-N Gamma t/2), the
    Dicke burst; anything else is integrated to 1e-11.

    Args:
        ensembles: the ensembles.
        start: theta at time 0, radians.
        times: ascending times from 0 or later, in the inverse unit of the rates.
        drive: Omega, constant.
    """
    grid = time_grid(times)
    angle, omega = finite(start, "start"), finite(drive, "drive")
    if ensembles.uniform and omega == 0.0:
        eta = abs(ensembles.couplings[0])
        turns = 2.0 * math.pi * round(eta * angle / (2.0 * math.pi))
        shrink = np.exp(-ensembles.unit_drive * eta**2 * grid)
        closed: Array = (
            turns + 2.0 * np.arctan(np.tan(0.5 * (eta * angle - turns)) * shrink)
        ) / eta
        return closed
    if grid[-1] == 0.0:
        return np.full(grid.size, angle)

    def speed(_: float, theta: Array) -> Array:
        return omega - balanced_drive(ensembles, theta)

    solution = solve_ivp(
        speed, (0.0, grid[-1]), [angle], method="DOP853", t_eval=grid, rtol=1e-11, atol=1e-14
    )
    path: Array = solution.y[0]
    return path


def dicke_burst_peak(ensembles: CoupledEnsembles, start: float) -> tuple[float, float]:
    """Time and photon rate of the burst's maximum, N^2 Gamma eta^2/4, uniform and undriven.

    Args:
        ensembles: with one common |eta|.
        start: theta at time 0, in (0, pi/|eta|); at or below pi/(2|eta|) the burst only falls.

    Raises:
        ValueError: when the couplings differ, or `start` lies outside its range.
    """
    if not ensembles.uniform:
        raise ValueError(
            "Argument `ensembles` must have couplings of one size for a Dicke burst, but has "
            f"{ensembles.couplings!r}."
        )
    eta = abs(ensembles.couplings[0])
    angle = eta * finite(start, "start")
    if not 0.0 < angle < math.pi:
        raise ValueError(f"Argument `start` must lie in (0, pi/|eta|), but is {start!r}.")
    if angle <= 0.5 * math.pi:
        return 0.0, float(emission_rate(ensembles, start))
    rate = ensembles.unit_drive * eta**2
    return math.log(math.tan(0.5 * angle)) / rate, rate * 0.5 * ensembles.atoms
