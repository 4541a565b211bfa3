"""Whether shots show a fringe at all: where there is none, no phase is determined.

A likelihood whose contrast is believed finds some phase in any shots. Shots without contrast are
better described by counts that scatter about one mean as independent atoms make them. Were the
fringe there, that description would exceed the fit's by a factor K in a share 1/K of data sets
at most (Markov), whatever the number of shots.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import binom, poisson

Array = NDArray[np.float64]

_CLEARLY = 20.0  # log-likelihood: e^9.2 for one in 10^4, the rest for means and priors
_FRINGED = 2.0  # times the variance of flat counts: not worth a closer look
NO_FRINGE = "counts without any fringe describe the shots better than the fit does"


def without_fringe(
    counts: Array,
    detector: tuple[float, float, float],
    log_likelihood: float,
    *,
    exact: bool = False,
) -> bool:
    """Whether flat counts describe the shots clearly better than a fit does.

    Args:
        counts: (shots, ports).
        detector: N of each port, counts per atom, background counts.
        log_likelihood: of the fit, for counts, its log-prior included.
        exact: whether the fit tells single atoms; else counts are normal, as in its model.
    """
    atoms, gain, background = detector
    mean = counts.mean(axis=0)
    share = np.clip((mean - background) / (gain * atoms), 0.0, 1.0)
    variance = gain**2 * atoms * share * (1.0 - share) + np.maximum(mean, 0.25)
    if (counts.var(axis=0) > _FRINGED * variance).any():
        return False
    if exact:
        flat = sum(
            _atoms_and_counts(column, detector, float(p))
            for column, p in zip(counts.T, share, strict=True)
        )
    else:
        off = np.square(counts - mean) / variance + np.log(2.0 * math.pi * variance)
        flat = -0.5 * float(off.sum())
    return flat > log_likelihood + _CLEARLY


def _atoms_and_counts(column: Array, detector: tuple[float, float, float], share: float) -> float:
    """ln of the product over shots of sum_n Binomial(n; N, p) Poisson(y; g n + b)."""
    atoms, gain, background = detector
    number = np.arange(round(atoms) + 1.0)
    law = binom.logpmf(number, round(atoms), share)
    values, times = np.unique(column, return_counts=True)
    each = poisson.logpmf(values[:, None], np.maximum(gain * number + background, 1e-9))
    return float(times @ logsumexp(law + each, axis=1))
