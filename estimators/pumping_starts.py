"""Where the fits of pumping scans begin: least squares on mean counts, u_c on a grid."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .pumping_beliefs import SnapshotBeliefs

Array = NDArray[np.float64]

_SERIES = 0.05
_KEPT = 3


def number_moments(atoms: float, log_ratios: Array) -> tuple[Array, Array]:
    """Mean and variance of n for p_n ~ e^{n X}, elementwise in X, in closed form."""
    size = atoms + 1.0
    first, slope = _langevin(0.5 * size * log_ratios)
    edge, edge_slope = _langevin(0.5 * log_ratios)
    mean = 0.5 * atoms + 0.5 * size * first - 0.5 * edge
    return mean, np.maximum(0.25 * size**2 * slope - 0.25 * edge_slope, 0.0)


def snapshot_starts(beliefs: SnapshotBeliefs, pairs: Array, repeats: Array) -> list[Array]:
    """A few (u_c, g, b), each the best of its neighbourhood by weighted least squares."""
    pumps, place = np.unique(pairs[:, 0], return_inverse=True)
    shots = np.bincount(place, repeats).astype(np.float64)
    means = np.bincount(place, repeats * pairs[:, 1]) / shots
    seen = pumps > 0.0
    logs = np.log(pumps[seen])
    if seen.sum() < 3:
        return _by_moments(beliefs.atoms, logs, means[seen], pairs, repeats)
    grid = _grid(beliefs, logs)
    scores, fits = [], []
    for critical in grid:
        score, gain, background = _line(
            beliefs.atoms, logs - critical, means[seen], shots[seen], beliefs
        )
        scores.append(score)
        fits.append(np.array([math.exp(critical), gain, background]))
    return [fits[i] for i in _minima(np.array(scores))[:_KEPT]]


def _grid(beliefs: SnapshotBeliefs, logs: Array) -> Array:
    """ln u_c: the pumps themselves (at most 60), values between them, and a little beyond."""
    chosen = np.quantile(logs, np.linspace(0.0, 1.0, min(60, 3 * logs.size)))
    width = 4.0 / beliefs.atoms
    parts: list[Array] = [chosen, np.array([logs.min() - width, logs.max() + width])]
    if beliefs.critical_pump is not None:
        known = math.log(beliefs.critical_pump.value)
        parts.append(known + beliefs.critical_pump.std / beliefs.critical_pump.value * _NEAR)
    grid: Array = np.unique(np.concatenate(parts))
    return grid


_NEAR = np.linspace(-3.0, 3.0, 13)


def _line(
    atoms: float, ratios: Array, means: Array, shots: Array, beliefs: SnapshotBeliefs
) -> tuple[float, float, float]:
    """Chi-square, slope g and offset b >= 0 of mean counts against mean n."""
    number, spread = number_moments(atoms, ratios)
    variance = np.maximum(means, 1.0)
    gain = background = score = 0.0
    for _ in range(3):
        w = shots / variance
        centre, level = float(w @ number) / w.sum(), float(w @ means) / w.sum()
        off = number - centre
        below = float(w @ off**2)
        gain = float(w @ (off * means)) / below if below > 1e-12 else 0.0
        gain = max(gain, 1e-3 * level / max(centre, 1e-3), 1e-9)
        background = level - gain * centre
        if background < 0.0:
            gain, background = level / max(centre, 1e-9), 0.0
        variance = np.maximum(gain * number + background + gain**2 * spread, 1e-3)
        rest = means - gain * number - background
        score = float((shots / variance) @ rest**2) + float(np.log(variance).sum())
    if beliefs.gain is not None:
        gain = min(max(gain, 0.7 * beliefs.gain.value), 1.4 * beliefs.gain.value)
    return score, gain, background


def _by_moments(
    atoms: float, logs: Array, means: Array, pairs: Array, repeats: Array
) -> list[Array]:
    """With one or two pumps: g and b from mean and variance of the counts, for each of many s."""
    mean = float(repeats @ pairs[:, 1] / repeats.sum())
    variance = float(repeats @ (pairs[:, 1] - mean) ** 2 / repeats.sum())
    centre = float(logs.mean())
    starts = []
    for scaled in (-30.0, -10.0, -5.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0):
        number, spread = number_moments(atoms, np.array([2.0 * scaled / atoms]))
        gain = math.sqrt(max(variance - mean, 0.01 * mean) / max(float(spread[0]), 1e-6))
        gain = min(gain, mean / max(float(number[0]), 1e-9))
        background = max(mean - gain * float(number[0]), 0.0)
        starts.append(np.array([math.exp(centre - 2.0 * scaled / atoms), gain, background]))
    return starts


def _minima(scores: Array) -> list[int]:
    """Local minima, the lowest first."""
    padded = np.concatenate([[np.inf], scores, [np.inf]])
    low = np.flatnonzero((scores <= padded[:-2]) & (scores <= padded[2:]))
    return [int(i) for i in low[np.argsort(scores[low], kind="stable")]]


def _langevin(y: Array) -> tuple[Array, Array]:
    """coth y - 1/y and its slope, elementwise."""
    small = np.abs(y) < _SERIES
    safe = np.where(small, 1.0, y)
    bounded = np.clip(safe, -300.0, 300.0)
    value = np.where(small, y / 3.0 - y**3 / 45.0, 1.0 / np.tanh(bounded) - 1.0 / safe)
    slope = np.where(small, 1.0 / 3.0 - y**2 / 15.0, 1.0 / safe**2 - 1.0 / np.sinh(bounded) ** 2)
    return value, slope
