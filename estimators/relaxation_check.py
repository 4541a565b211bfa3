"""Do exact relaxing states describe the counts? Sums of the counts' moments, hold by hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..models.relaxation_outcomes import RelaxingOutcomes
from .estimate import GoodnessOfFit
from .pumping_check import residual_test
from .pumping_posterior import Coordinates
from .scoring import Optimum

Array = NDArray[np.float64]

_LEAST_IN_GROUP = 25
_MOST_GROUPS = 16
_STEP = 1e-5
_POWERS = ((1, 0), (0, 1), (2, 0), (0, 2), (1, 1))
_TEST = "means, variances and correlation of the counts by hold, and the calibrations"


def check_relaxation(
    coordinates: Coordinates,
    optimum: Optimum,
    outcomes: RelaxingOutcomes,
    shots: Array,
    counts: Sequence[tuple[Array, Array]],
    spin: float,
    light: tuple[Array, Array, Array] | None = None,
) -> GoodnessOfFit | None:
    """Chi-square of the moments of groups of shots at like holds; None for too few shots.

    Args:
        coordinates: of the fit; the rates first, the last two are ln gain and background.
        optimum: the fit.
        outcomes: distributions and slopes at the fitted rates.
        shots: (T,) shots at each hold.
        counts: for each hold distinct counts (k, 2) and how often each was seen.
        spin: S.
        light: for each hold the sum of the light's residuals on the outcomes of the atoms, its
            variance, and how the fitted sum changes with each coordinate, (T, coordinates).
    """
    groups = groups_of(shots)
    if groups is None:
        return None
    x = optimum.point.x
    gain, background = math.exp(x[-2]), float(x[-1])
    tables, slopes = outcomes.probability, outcomes.slopes
    expected, covariance = _moments(tables, gain, background, spin)
    members = (groups[None, :] == np.arange(groups.max() + 1)[:, None]).astype(float)
    seen = np.array([_sums(y, repeats, gain, background, spin) for y, repeats in counts])
    residual = members @ (seen - shots[:, None] * expected)
    noise = np.einsum("gt,tij->gij", members * shots, covariance)
    design = np.stack(
        [
            *(
                members @ (shots[:, None] * _raw(one, gain, background, gain, background, spin))
                for one in slopes
            ),
            *np.zeros((x.size - 2 - len(slopes), *residual.shape)),
            *_detector_slopes(members, shots, tables, gain, background, spin),
        ],
        axis=-1,
    )
    count = residual.size
    block = np.zeros((count, count))
    width = len(_POWERS)
    for number, one in enumerate(noise):
        place = slice(number * width, (number + 1) * width)
        block[place, place] = one + 1e-9 * np.diag(np.diag(one)) + 1e-12 * np.eye(width)
    flat, whole = residual.ravel(), design.reshape(count, -1)
    if light is not None:
        flat = np.concatenate([flat, members @ light[0]])
        whole = np.concatenate([whole, members @ light[2]])
        spread = np.diag(members @ light[1])
        block = np.block(
            [[block, np.zeros((count, len(spread)))], [np.zeros((len(spread), count)), spread]]
        )
    root = np.sqrt(coordinates.weight)
    held = root > 0.0
    return residual_test(
        flat,
        block,
        whole,
        optimum.covariance,
        (root * (x - coordinates.centre))[held],
        np.diag(root)[held],
        _TEST if light is None else _TEST.replace(" of the counts", " of the counts and light"),
    )


def groups_of(shots: Array) -> NDArray[np.intp] | None:
    """Group of each hold: neighbours together until there are enough shots."""
    total = float(shots.sum())
    count = int(min(_MOST_GROUPS, total // _LEAST_IN_GROUP))
    if count < 1:
        return None
    middle = (np.cumsum(shots) - 0.5 * shots) / total
    raw = np.minimum((middle * count).astype(np.intp), count - 1)
    return np.unique(raw, return_inverse=True)[1].astype(np.intp)


def _sums(counts: Array, repeats: Array, gain: float, background: float, spin: float) -> Array:
    """Sums over shots of u1, u2, u1^2, u2^2, u1 u2 with u = (y - b)/g - S."""
    u1, u2 = ((counts - background) / gain - spin).T
    return np.array([repeats @ (u1**a * u2**b) for a, b in _POWERS])


def _moments(tables: Array, gain: float, background: float, spin: float) -> tuple[Array, Array]:
    """Mean (T, 5) and covariance (T, 5, 5) of the five products for one shot."""
    mean = _raw(tables, gain, background, gain, background, spin)
    second = np.array(
        [
            [_product(tables, gain, background, spin, a + c, b + d) for c, d in _POWERS]
            for a, b in _POWERS
        ]
    )
    return mean, np.moveaxis(second, 2, 0) - mean[:, :, None] * mean[:, None, :]


def _raw(
    tables: Array, gain: float, background: float, scale: float, offset: float, spin: float
) -> Array:
    """(T, 5) expectations of the products of u = (y - offset)/scale - S."""
    powers = _of_counts(gain, background, scale, offset, tables.shape[1], spin)
    return np.stack(
        [np.einsum("tij,i,j->t", tables, powers[a], powers[b]) for a, b in _POWERS], axis=-1
    )


def _product(tables: Array, gain: float, background: float, spin: float, a: int, b: int) -> Array:
    powers = _of_counts(gain, background, gain, background, tables.shape[1], spin)
    found: Array = np.einsum("tij,i,j->t", tables, powers[a], powers[b])
    return found


def _of_counts(
    gain: float, background: float, scale: float, offset: float, size: int, spin: float
) -> Array:
    """(5, size): E[u^k|n], k = 0 … 4, of Poisson counts y of n atoms."""
    mean = gain * np.arange(size) + background
    middle = (mean - offset) / scale - spin
    second, third = mean / scale**2, mean / scale**3
    fourth = mean / scale**4 + 3.0 * second**2
    found = np.stack(
        [
            np.ones(size),
            middle,
            middle**2 + second,
            middle**3 + 3.0 * middle * second + third,
            middle**4 + 6.0 * middle**2 * second + 4.0 * middle * third + fourth,
        ]
    )
    return np.asarray(found, dtype=np.float64)


def _detector_slopes(
    members: Array, shots: Array, tables: Array, gain: float, background: float, spin: float
) -> list[Array]:
    """By ln gain and by background, the scale of u staying what it is."""
    found = []
    wide = _STEP * (1.0 + background)
    for by_gain, by_background, step in ((_STEP, 0.0, _STEP), (0.0, wide, wide)):
        upper, lower = (
            _raw(
                tables,
                gain * math.exp(side * by_gain),
                background + side * by_background,
                gain,
                background,
                spin,
            )
            for side in (1, -1)
        )
        found.append(members @ (shots[:, None] * (upper - lower) / (2.0 * step)))
    return found
