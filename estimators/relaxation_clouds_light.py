"""Where the cumulant equations know the light of few atoms: held against six, solved exactly.

The photons' variance and what they share with the atoms are of leading order in 1/N. What that
leaves out falls as 1/N at equal N Gamma: 6 and 12 atoms differ by 1.8 to 2.6 (Omega/N Gamma = .5 to
2, Delta/Omega = .3 to 1, Omega t to 10). So the exact solution of six tells it for any number.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..models.cumulant_populations import RelaxingClouds, cloud_moments
from ..models.relaxation_outcomes import relaxing_outcomes
from ..models.two_ensembles import TwoEnsembles

Array = NDArray[np.float64]

SOLVED = 6.0
"""Atoms in each ensemble that are solved exactly."""

LARGEST = 0.2
"""Error of a correlation, or of the variance over itself, beyond which light is left out."""

SURE = 200.0
"""Atoms from which on the light is known wherever the atoms are."""

_LONGEST = 60.0  # Omega t that is looked at: later, the light of fewer atoms is left out
_MOST_LOOKS = 200


def light_known(clouds: RelaxingClouds, holds: Array, efficiency: float) -> NDArray[np.bool_]:
    """(T,) whether the light counted until the end of a hold has the moments of the equations.

    The error that is compared is the largest up to the hold: it does not go away, it swings.

    Args:
        clouds: the rates; the decay of single atoms is left out.
        holds: (T,) rising.
        efficiency: of the counter; what it does not see dilutes the error.
    """
    known = np.ones(holds.size, dtype=np.bool_)
    if clouds.atoms >= SURE:
        return known
    wrong, times = light_errors(clouds, holds, efficiency)
    worst = np.maximum.accumulate(wrong) * SOLVED / clouds.atoms
    at = np.searchsorted(times, holds)
    inside = at < times.size
    known[~inside] = False
    known[inside] = worst[at[inside]] < LARGEST
    return known


def light_errors(clouds: RelaxingClouds, holds: Array, efficiency: float) -> tuple[Array, Array]:
    """Largest error of six atoms' light, correlation or relative variance, and its times."""
    end = min(float(holds[-1]), _LONGEST / clouds.rabi_frequency)
    looks = min(math.ceil(4.0 * clouds.rabi_frequency * end) + 2, _MOST_LOOKS)
    times = np.union1d(holds[holds <= end], np.linspace(0.0, end, looks))
    scale = clouds.atoms / SOLVED
    decay, exchange = clouds.collective_decay * scale, clouds.exchange * scale
    drive = clouds.rabi_frequency, clouds.detuning_difference
    pair = TwoEnsembles(0.5 * SOLVED, *drive, exchange, decay)
    mean, exact = _exact(pair, times)
    few = RelaxingClouds(SOLVED, *drive, exchange, 0.0, decay)
    closed = cloud_moments(few, times).covariance
    light = mean / efficiency + exact[:, 2, 2]
    spread = np.sqrt(np.maximum(np.stack([exact[:, 0, 0], exact[:, 1, 1], light], axis=1), 1e-12))
    off = np.abs(closed - exact)[:, 2] / (spread * spread[:, 2:])
    wrong = np.where(np.isfinite(off), off, np.inf).max(axis=1)
    return np.where(mean > 1e-6, wrong, 0.0), times


def _exact(pair: TwoEnsembles, times: Array) -> tuple[Array, Array]:
    """Mean photons (T,), and covariance (T, 3, 3) of atoms and photons, these in normal order."""
    solved = relaxing_outcomes(pair, times, photons=True)
    if solved.photons is None:
        raise ArithmeticError("The photons of the exact solution are missing.")
    n = np.arange(round(2 * pair.spin) + 1.0)
    weights = np.stack(np.broadcast_arrays(n[:, None], n[None, :]))  # n1, n2
    p, k = solved.probability, solved.photons.mean
    mean = np.stack([*np.einsum("aij,tij->at", weights, p), k.sum(axis=(1, 2))], axis=1)
    second = np.empty((times.size, 3, 3))
    second[:, :2, :2] = np.einsum("aij,bij,tij->tab", weights, weights, p)
    second[:, :2, 2] = second[:, 2, :2] = np.einsum("aij,tij->ta", weights, k)
    second[:, 2, 2] = solved.photons.pairs.sum(axis=(1, 2))
    return mean[:, 2], second - mean[:, :, None] * mean[:, None, :]
