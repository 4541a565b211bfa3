"""The highest maximum of a schedule's posterior: scan, scoring, and a second look at the gain."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .ellipse_posterior import LEAST_OUTLIERS
from .schedule_posterior import SchedulePosterior
from .scoring import Optimum, maximise, maximise_strictly

Array = NDArray[np.float64]

_SCAN_SHOTS = 200
_SCAN_STEP = 0.3  # of 1/sqrt(quantum Fisher information)
_STARTS = 3
_FIRST_STEPS = 5
_HOPELESS = 30.0
_MANY_STRAYS = 0.1  # share of stray shots that is doubted
_STRICT_STEPS = 30
_GAIN_STEP = 0.2  # atoms of a full port
_GAIN_REACH = 4.0  # standard deviations
_MOST_GAINS = 80  # on either side
_GAIN_SHOTS, _GAIN_SIGNALS = 40, 150


def search_schedule(posterior: SchedulePosterior) -> Optimum:
    """The highest maximum: a scan of the signal, then scoring from the best of it."""
    scale = min(part.likelihood.fringe_scale for part in posterior.parts)
    low, high = posterior.lower[0], posterior.upper[0]
    grid = np.linspace(low, high, max(60, math.ceil((high - low) / (_SCAN_STEP * scale))) + 1)
    totals = posterior.scan(grid, _SCAN_SHOTS)
    padded = np.concatenate([[-np.inf], totals, [-np.inf]])
    tops = np.flatnonzero((totals >= padded[:-2]) & (totals > padded[2:]))
    best = sorted(tops.tolist(), key=lambda i: -totals[i])[:_STARTS]
    first = [
        maximise(posterior, posterior.start(float(grid[i])), iterations=_FIRST_STEPS) for i in best
    ]
    highest = max(one.point.value for one in first)
    done: list[Optimum] = []
    for one in sorted(first, key=lambda one: -one.point.value):
        near = any(abs(one.point.x[0] - other.point.x[0]) < 0.2 * scale for other in done)
        if near or one.point.value < highest - _HOPELESS:
            continue
        done.append(one if one.converged else maximise(posterior, one.point.x))
    top = max(done, key=lambda one: one.point.value)
    return _without_strays(posterior, grid, top) if top.point.x[-1] > _MANY_STRAYS else top


def _without_strays(posterior: SchedulePosterior, grid: Array, best: Optimum) -> Optimum:
    """The best optimum when the gain is scanned, and no shot may be stray until it has come near.

    A gain some standard deviations off puts most shots of a narrow ring outside of it: scoring
    then rather calls them all stray than moves the gain, and stays there.
    """
    beliefs = posterior.beliefs.shared
    std = math.sqrt(float(np.asarray(beliefs.covariance)[2, 2]))
    if std == 0.0:
        return best
    steps = math.ceil(_GAIN_REACH * std * beliefs.atoms / _GAIN_STEP)
    gains = np.linspace(-1.0, 1.0, 2 * min(steps, _MOST_GAINS) + 1) * _GAIN_REACH * std
    signals = grid[:: math.ceil(grid.size / _GAIN_SIGNALS)]
    found: list[tuple[float, Array]] = []
    for gain in gains.tolist():
        totals = posterior.scan(signals, _GAIN_SHOTS, gain) - 0.5 * (gain / std) ** 2
        start = posterior.start(float(signals[totals.argmax()]), LEAST_OUTLIERS, gain)
        found.append((float(totals.max()), start))
    found.sort(key=lambda pair: -pair[0])
    starts = [start for _, start in found[:_STARTS]]
    best, _ = maximise_strictly(
        posterior, starts, best, iterations=_STRICT_STEPS, enough=_MANY_STRAYS
    )
    return best
