"""The best squeezing with single-spin decay against cooperativity (Chu Eq. 14).

The estimate xi^2 ~ Delta/2Omega + gamma t, Gamma t ~ few/(S Delta/Omega), puts the optimum at
xi^2 ~ 1/sqrt(SC), Delta/Omega ~ 1/sqrt(SC), C = Gamma/gamma. The numbers in front come from
the cumulant equations with the large-spin variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._checks import dimension_of, positive
from .cumulants import DecayingEnsembles
from .cumulants_exact import exact_trajectory
from .cumulants_trajectory import CumulantTrajectory, cumulant_trajectories

Array = NDArray[np.float64]

_DRIVES = (0.75, 4.0)  # Omega / (S Gamma): below, relaxation is slow and the closure fails
_RATIOS = (1.5, 6.0)  # Delta/Omega sqrt(SC)
_FIRST_TIME = 4.0  # S Delta/Omega Gamma t: earlier the moments still ring
_POINTS = 60
_STRETCH = 1.15

LARGEST_EXACT = 3.0
"""Largest S of `exact_optimum`."""


@dataclass(frozen=True, slots=True)
class CumulantOptimum:
    """The best working point with single-spin decay, rates in units of Gamma.

    Attributes:
        spin: S of each ensemble.
        cooperativity: C = Gamma/gamma.
        xi2: squeezing that holds from `time` to 1.15 `time`.
        detuning_ratio: Delta/Omega.
        drive: Omega / (S Gamma).
        time: Gamma t.
    """

    spin: float
    cooperativity: float
    xi2: float
    detuning_ratio: float
    drive: float
    time: float

    @property
    def scaled_xi2(self) -> float:
        """xi^2 sqrt(SC): between 2.2 and 3.5 for C = 0.1 … 10."""
        return self.xi2 * math.sqrt(self.spin * self.cooperativity)


def optimum_estimate(spin: float, cooperativity: float) -> CumulantOptimum:
    """Chu Eq. 14 with measured prefactors, without integrating anything.

    xi^2 = 2.6/sqrt(SC) at Delta/Omega = 3/sqrt(SC), Omega = 2 S Gamma and
    Gamma t = 10/(S Delta/Omega). Good to about 15 % for C = 0.1 … 1 and 35 % at C = 10, for
    S of 100 and more; the minimum is flat.
    """
    scale = _scale(spin, cooperativity)
    return CumulantOptimum(spin, cooperativity, 2.6 / scale, 3.0 / scale, 2.0, scale / (0.3 * spin))


def exact_optimum(spin: float, cooperativity: float) -> CumulantOptimum:
    """Least xi^2 of few atoms over Delta/Omega and t at Omega = 2 S Gamma, by the exact equations.

    For S up to 3: beyond, and for the law, the estimate. The minimum is flat in the drive (a few
    per cent from S Gamma to 4 S Gamma), and few atoms bend the law: xi^2 ends at 3/(4(S+1)) however
    large the cooperativity. A second at S = 2, some 10 s at S = 3.

    Raises:
        ValueError: on a larger spin, or a cooperativity that is not above zero.
    """
    _scale(spin, cooperativity)
    if spin > LARGEST_EXACT:
        raise ValueError(
            f"Argument `spin` must be at most {LARGEST_EXACT:g} here, but is {spin:g}: use "
            "optimum_estimate or cumulant_optimum."
        )
    times = np.linspace(0.1, 14.0, 140)
    drive = 2.0

    def least(ratio: float) -> CumulantOptimum:
        rabi = drive * spin
        pair = DecayingEnsembles(spin, rabi, ratio * rabi, 1.0 / cooperativity)
        found = exact_trajectory(pair, times, rtol=1e-5).xi2
        at = int(np.argmin(found))
        return CumulantOptimum(
            spin, cooperativity, float(found[at]), ratio, drive, float(times[at])
        )

    best = min(map(least, np.geomspace(0.3, 2.0, 7)), key=_xi2_of)
    for stretch in (1.15, 1.05):
        around = [best.detuning_ratio / stretch, best.detuning_ratio * stretch]
        best = min([best, *map(least, around)], key=_xi2_of)
    return best


def _xi2_of(found: CumulantOptimum) -> float:
    return found.xi2


def cumulant_optimum(
    spin: float, cooperativity: float, *, longest: float | None = None, rtol: float = 1e-6
) -> CumulantOptimum:
    """Least large-spin xi^2 over Delta/Omega, Omega and t, all atoms down at t = 0.

    While the moments ring, the closed variance dips through zero and means nothing there:
    the least value is sought that holds over a stretch of time from t to 1.15 t. Drives
    between 0.75 and 4 S Gamma are searched.

    Args:
        spin: S of each ensemble.
        cooperativity: C = Gamma/gamma, above zero.
        longest: end of the search in S Delta/Omega Gamma t; by default 25 max(1, sqrt(C)), and
            25 C up to C = 10: the cumulant equations relax too slowly, most of all at large C
            (at C = 10 the least value is reached at 43, 68 and 135 for S = 100, 300 and 1000),
            where the least value creeps down far beyond.
        rtol: relative accuracy of each step.

    Cost grows as sqrt(S) max(C, sqrt(C)): 3 s at S = 100, about 15 s at S = 1000 (C = 1).

    Raises:
        ValueError: on a spin or cooperativity outside these rules, or when no stretch of
            time gives a positive variance.
    """
    scale = _scale(spin, cooperativity)
    reach = max(1.0, min(cooperativity, 10.0), math.sqrt(cooperativity))
    end = 25.0 * reach if longest is None else longest
    if positive(end, "longest") <= _FIRST_TIME * _STRETCH:
        raise ValueError(
            f"Argument `longest` must exceed {_FIRST_TIME * _STRETCH:g}, but is {longest!r}."
        )
    ratios, drives = np.geomspace(*_RATIOS, 7), np.geomspace(*_DRIVES, 5)
    best = _search(spin, cooperativity, ratios / scale, drives, end, rtol)
    ratios = best.detuning_ratio * np.geomspace(0.85, 1.0 / 0.85, 5)
    drives = np.clip(best.drive * np.geomspace(0.75, 1.0 / 0.75, 5), *_DRIVES)
    finer = _search(spin, cooperativity, ratios, drives, end, rtol)
    return min(best, finer, key=lambda found: found.xi2)


def held_minimum(times: Array, values: Array, stretch: float = _STRETCH) -> tuple[float, float]:
    """The least value that holds from t to `stretch` t, and that t; nan counts as infinite.

    Args:
        times: (n,) ascending, above zero.
        values: (n,) values at the times.
        stretch: above 1.

    Returns:
        (t, value); value is infinite when nothing holds.
    """
    filled = np.where(np.isfinite(values), values, np.inf)
    ends = np.searchsorted(times, stretch * times, side="right")
    full = np.flatnonzero(stretch * times <= times[-1] * (1.0 + 1e-12))
    held = np.array([filled[k : ends[k]].max() for k in full])
    if not held.size:
        return float(times[0]), math.inf
    place = int(held.argmin())
    return float(times[full[place]]), float(held[place])


def _search(
    spin: float, cooperativity: float, ratios: Array, drives: Array, end: float, rtol: float
) -> CumulantOptimum:
    """The best of all combinations of detuning ratio and drive."""
    points = [(ratio, drive) for ratio in ratios for drive in drives]
    sets = [
        DecayingEnsembles(spin, drive * spin, drive * spin * ratio, 1.0 / cooperativity)
        for ratio, drive in points
    ]
    grid = np.geomspace(_FIRST_TIME, end, _POINTS)
    times = np.array([grid / (spin * ratio) for ratio, _ in points])
    found = cumulant_trajectories(sets, times, rtol=rtol)
    held = [held_minimum(times[k], row) for k, row in enumerate(_trusted(found))]
    place = int(np.argmin([value for _, value in held]))
    time, xi2 = held[place]
    if not math.isfinite(xi2):
        raise ValueError(
            f"Arguments `spin` = {spin!r} and `cooperativity` = {cooperativity!r} give no stretch "
            "of time with a positive variance: the cumulant equations do not hold there."
        )
    ratio, drive = points[place]
    return CumulantOptimum(spin, cooperativity, xi2, float(ratio), float(drive), time)


def _trusted(found: CumulantTrajectory) -> Array:
    return np.where(found.physical, found.large_spin_xi2, np.nan)


def _scale(spin: float, cooperativity: float) -> float:
    dimension_of(spin)
    return math.sqrt(spin * positive(cooperativity, "cooperativity"))
