"""Gains and backgrounds from which the search of an ellipse's maximum starts.

Where single atoms are resolved the likelihood in the gain is a comb: a gain that moves every
peak by one atom fits nearly as well. Offsets within four prior standard deviations are tried on
some of the shots and the best three kept.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .ellipse_beliefs import EllipseBeliefs
from .ellipse_posterior import EllipsePosterior, ShotLikelihood
from .likelihood_table import TableLikelihood

Array = NDArray[np.float64]

_RESOLVED_BELOW = 0.4  # counting noise in atoms below which single atoms show in the counts
_TOOTH = 0.2  # atoms of a full port
_REACH = 4.0  # standard deviations
_MOST_GAINS, _MOST_BACKGROUNDS = 80, 3  # on either side
_SHOTS, _PHASES = 150, 80
_KEPT = 3


def detector_starts(
    posterior: EllipsePosterior,
    likelihood: ShotLikelihood,
    beliefs: EllipseBeliefs,
    counts: Array,
    phases: Array,
) -> list[tuple[Array, float]]:
    """Nuisances worth a scan of the phase, with the prior's price of each.

    Args:
        posterior: of the shots.
        likelihood: their model.
        beliefs: of the detector.
        counts: (shots, 2).
        phases: of the scan; some of them are tried here.
    """
    centre, covariance = beliefs.centre, np.asarray(beliefs.covariance)
    if not isinstance(likelihood, TableLikelihood) or beliefs.counting_noise >= _RESOLVED_BELOW:
        return [(centre, 0.0)]
    gain_std, background_std = math.sqrt(covariance[2, 2]), math.sqrt(covariance[3, 3])
    gains = _offsets(gain_std, _TOOTH / beliefs.atoms, _MOST_GAINS)
    backgrounds = _offsets(background_std, _TOOTH * beliefs.gain, _MOST_BACKGROUNDS)
    offsets = np.zeros((gains.size * backgrounds.size, 4))
    offsets[:, 2] = np.repeat(gains, backgrounds.size)
    offsets[:, 3] = np.tile(backgrounds, gains.size)
    if len(offsets) == 1:
        return [(centre, 0.0)]
    some = counts[:: max(1, len(counts) // _SHOTS)]
    coarse = phases[:: max(1, len(phases) // _PHASES)] if len(phases) > 200 else phases
    prices = 0.5 * (_square(offsets[:, 2], gain_std) + _square(offsets[:, 3], background_std))
    densities = likelihood.scan_detectors(some, coarse, centre + offsets)
    scores = np.concatenate([posterior.log_sums(one).max(axis=-1) for one in densities]) - prices
    best = np.argsort(-scores, kind="stable")[:_KEPT]
    return [(centre + offsets[i], float(prices[i])) for i in best]


def _offsets(std: float, tooth: float, most: int) -> Array:
    """Offsets within four standard deviations, a fraction of a tooth apart."""
    steps = min(most, math.floor(_REACH * std / tooth))
    if steps == 0:
        return np.zeros(1)
    return np.linspace(-_REACH * std, _REACH * std, 2 * steps + 1)


def _square(offset: Array, std: float) -> Array:
    return (offset / std) ** 2 if std > 0.0 else np.zeros_like(offset)
