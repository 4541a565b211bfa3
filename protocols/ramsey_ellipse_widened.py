"""Wider intervals where shots in a row resemble each other: their scores add up as well.

The estimate is that of independent shots; its variance V (1 + 2 sum of the scores' correlations),
with the score of the phase less what the nuisances explain (Godambe's information).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..estimators import EllipseBeliefs, Estimate, Quantity, ScheduleBeliefs
from ..estimators.likelihood_table import LARGEST_SPIN, TableLikelihood
from ..estimators.schedule_bounds import table_of

Array = NDArray[np.float64]

_STRAY = 3e-3
_NUISANCES = ("detuning_ratio", "pulse_area", "gain", "background")
_KNOBS = ("detuning_scale", "pulse_rabi_scale")
_WIDENED = ("phase", "signal")


def widened(
    found: Estimate,
    beliefs: EllipseBeliefs | ScheduleBeliefs,
    counts: Array,
    setting: Array,
    lags: int,
) -> Estimate:
    """The estimate with the standard deviations and intervals that such shots give.

    Args:
        found: For independent shots.
        beliefs: Nuisances, with their calibrations.
        counts, setting: In the order in which they were taken.
        lags: Shots over which they resemble each other.
    """
    if isinstance(beliefs, EllipseBeliefs) and beliefs.spin > LARGEST_SPIN:
        return found
    scores = efficient_scores(found, beliefs, counts, setting)
    power = float(scores @ scores)
    alike = sum(float(scores[lag:] @ scores[:-lag]) for lag in range(1, lags + 1)) / power
    if alike <= 0.0 or not math.isfinite(alike):
        return found
    more = 2.0 * alike / power
    quantities = dict(found.quantities)
    for name in _WIDENED:
        quantities[name] = _wider(found[name], more)
    low, high = quantities["phase"].interval
    within = (max(low, 0.0), min(high, math.pi / 2))
    quantities["phase"] = replace(quantities["phase"], interval=within)
    scale = np.ones(len(found.covariance))
    first = found.names[0]
    scale[0] = quantities[first].std / found[first].std
    return replace(
        found,
        quantities=quantities,
        covariance=found.covariance * np.outer(scale, scale),
        diagnostics={**found.diagnostics, "scores_alike": 1.0 + 2.0 * alike},
    )


def efficient_scores(
    found: Estimate, beliefs: EllipseBeliefs | ScheduleBeliefs, counts: Array, setting: Array
) -> Array:
    """(shots,) scores of the phase, less what the nuisances within their calibrations explain."""
    values = [found[name].value for name in _NUISANCES]
    nuisances = np.array([*np.log(values[:3]), values[3]])
    knobs = 2 if isinstance(beliefs, ScheduleBeliefs) else 0
    rows = np.zeros((len(counts), 5 + knobs))
    for kind in np.unique(setting).astype(int).tolist():
        own = setting == kind
        if isinstance(beliefs, ScheduleBeliefs):
            one = beliefs.settings[kind]
            table = table_of(beliefs, one.prepared)
            moved = np.log([found[name].value for name in _KNOBS])
            phase = found["signal"].value + one.bias_phase + float(one.slopes @ moved)
            turn = one.slopes
        else:
            table, phase, turn = TableLikelihood(beliefs), found["phase"].value, np.zeros(0)
        density, slopes = table.evaluate(counts[own], phase, nuisances)
        floor = _STRAY * float(np.median(density))
        own_rows = slopes / (density + floor)[:, None]
        rows[own] = np.column_stack([own_rows, own_rows[:, :1] * turn])
    directions = beliefs.directions
    target, others = rows[:, 0], rows[:, 1:] @ directions
    inner = others.T @ others + np.eye(directions.shape[1])
    explained: Array = target - others @ np.linalg.solve(inner, others.T @ target)
    return explained


def _wider(quantity: Quantity, more: float) -> Quantity:
    std = math.sqrt(quantity.std**2 + more)
    ratio = std / quantity.std
    low, high = (quantity.value + ratio * (end - quantity.value) for end in quantity.interval)
    return replace(quantity, std=std, interval=(low, high))
