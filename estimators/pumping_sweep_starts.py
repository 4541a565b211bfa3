"""Where the fit of sweeps begins: crossings of half the counts, and a scan of the decay."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .pumping_chain import ChainValues
from .pumping_moments import BinnedRamp, area_moments
from .pumping_posterior import Coordinates

Array = NDArray[np.float64]

_TRIALS = 10
# ln of scan rates r/gamma and of half the hysteresis widths that belong to them, large N
_LOG_RATES = np.log([0.01, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 512.0, 4096.0])
_LOG_LAGS = np.log(
    0.5
    * np.array(
        [0.01, 0.09994, 0.29845, 0.9596, 1.8017, 3.2264, 5.5089, 9.0414, 14.406, 22.466, 34.492,
         78.733, 258.4]
    )
)  # fmt: skip


def sweep_start(atoms: int, ramps: Sequence[BinnedRamp], coordinates: Coordinates) -> Array:
    """(ln u_c, ln gamma, ln a, b): the best of a scan over gamma, u_c from the crossings."""
    shortest = min(ramp.ramp.duration / ramp.ramp.bins for ramp in ramps)
    longest = max(ramp.ramp.duration for ramp in ramps)
    decays = np.geomspace(0.3 / longest, 0.3 / shortest, _TRIALS)
    prior = coordinates.all[1].prior
    if prior is not None:
        decays = np.array([prior.value])
    best, top = coordinates.centre, -math.inf
    for decay in decays:
        critical = _critical(atoms, ramps, float(decay))
        known = coordinates.all[0].prior
        choices = [critical] if known is None else [critical, known.value]
        for choice in choices:
            score, half_rate, background = _line(atoms, ramps, choice, float(decay))
            if score > top:
                top = score
                best = np.array(
                    [math.log(choice), math.log(decay), math.log(half_rate), background]
                )
    return np.clip(best, coordinates.lower, coordinates.upper)


def _critical(atoms: int, ramps: Sequence[BinnedRamp], decay: float) -> float:
    """u_c from the knob at half of the counts' range, less the lag of the sweep."""
    rates = [ramp.means / ramp.durations for ramp in ramps]
    half = 0.5 * (min(float(r.min()) for r in rates) + max(float(r.max()) for r in rates))
    found, weights = [], []
    for ramp, rate in zip(ramps, rates, strict=True):
        middles = 0.5 * (ramp.edges[1:] + ramp.edges[:-1])
        crossing = _crossing(middles, rate - half)
        knob = ramp.ramp.pump(crossing)
        speed = 0.5 * atoms * abs(ramp.ramp.stop - ramp.ramp.start) / ramp.ramp.duration / knob
        lag = math.exp(float(np.interp(math.log(speed / decay), _LOG_RATES, _LOG_LAGS)))
        sign = 1.0 if ramp.ramp.stop > ramp.ramp.start else -1.0
        found.append(knob / max(1.0 + 2.0 * sign * lag / atoms, 0.1))
        weights.append(ramp.sweeps)
    return float(np.average(found, weights=weights))


def _crossing(places: Array, values: Array) -> float:
    """Middle of all places where the values change sign; the middle of the sweep without one."""
    changes = np.flatnonzero(np.sign(values[1:]) * np.sign(values[:-1]) < 0.0)
    if not changes.size:
        return 0.5
    share = values[changes] / (values[changes] - values[changes + 1])
    return float(np.median(places[changes] + share * (places[changes + 1] - places[changes])))


def _line(
    atoms: int, ramps: Sequence[BinnedRamp], critical: float, decay: float
) -> tuple[float, float, float]:
    """Minus chi-square, a and b >= 0 of a weighted line through mean counts."""
    columns, targets = [], []
    for ramp in ramps:
        values = ChainValues(critical, decay, 1.0, 0.0)
        areas = area_moments(atoms, ramp, values, covariance=False).areas
        weight = np.sqrt(ramp.sweeps / (ramp.means + 1.0))
        columns.append(np.column_stack([areas + ramp.durations, ramp.durations]) * weight[:, None])
        targets.append(ramp.means * weight)
    table, target = np.vstack(columns), np.concatenate(targets)
    half_rate, background = np.linalg.lstsq(table, target, rcond=None)[0]
    if background < 0.0 or half_rate <= 0.0:
        half_rate = float(table[:, 0] @ target) / max(float(table[:, 0] @ table[:, 0]), 1e-300)
        background = 0.0
    half_rate = max(float(half_rate), 1e-12)
    rest = target - table @ np.array([half_rate, background])
    return -float(rest @ rest), half_rate, float(background)
