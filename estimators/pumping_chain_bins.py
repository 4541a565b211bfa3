"""What the length of the bins costs the chain's answer: measured from bins twice as long.

The filter takes a bin's counts at its middle, corrected to fourth order for what the atoms do
within the bin. What is left falls with a high power of the bin: two neighbouring bins taken as one
are off by 2.5 times as much with 6 atoms, by 10 with 100 (scores at the truth over 1200 sweeps,
a gamma dt^2 of .1 to 2). So the score of such pairs at the fitted values, which would be about
zero, tells how far the answer can be trusted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .pumping_chain import Ramp
from .scoring import Objective, Optimum

Array = NDArray[np.float64]

FURTHEST = 12.0
"""Standard deviations of a shift by pairs of bins beyond which it measures nothing."""

_FEWEST = 8  # bins of a ramp that can be taken in pairs


def share_of(atoms: int) -> float:
    """What single bins are off by, of the shift that pairs of bins show."""
    return 0.15 + 1.5 / atoms


def in_pairs(ramps: Sequence[Ramp]) -> list[Ramp]:
    """Sweeps with neighbouring bins added up, a last odd one left; none where a ramp has few."""
    if any(ramp.bins < _FEWEST for ramp in ramps):
        return []
    return [_paired(_cut(ramp, ramp.bins - ramp.bins % 2)) for ramp in ramps]


def shift_by_bins(
    objective_of: Callable[[Sequence[Ramp]], Objective], ramps: Sequence[Ramp], optimum: Optimum
) -> Array:
    """By how much each coordinate would move if bins were twice as long; zero where it is held.

    Args:
        objective_of: the posterior of given ramps.
        ramps: the sweeps.
        optimum: of their posterior.
    """
    longer, x, gradient = in_pairs(ramps), optimum.point.x, optimum.point.gradient
    if not longer:
        return np.zeros_like(x)
    if any(ramp.bins % 2 for ramp in ramps):
        even = [_cut(ramp, ramp.bins - ramp.bins % 2) for ramp in ramps]
        gradient = objective_of(even).evaluate(x).gradient
    pairs = objective_of(longer).evaluate(x)
    if not math.isfinite(pairs.value):
        return np.full_like(x, np.inf)
    moved: Array = optimum.covariance @ (pairs.gradient - gradient)
    return moved


def widened(optimum: Optimum, error: Array) -> Optimum:
    """The optimum with one more error, common to all coordinates."""
    held = optimum.point.information @ error
    information = optimum.point.information - np.outer(held, held) / (1.0 + float(error @ held))
    return replace(optimum, point=replace(optimum.point, information=information))


def furthest(optimum: Optimum, shift: Array) -> float:
    """The largest shift, in standard deviations."""
    spreads = np.sqrt(np.diag(optimum.covariance))
    return float(np.abs(shift / np.where(spreads > 0.0, spreads, np.inf)).max())


def tells_more(chain: Optimum, error: Array, means: Optimum) -> bool:
    """Whether the chain, `error` included, knows more than the mean counts: variances' product."""
    free = chain.free & means.free
    both = np.diag(chain.covariance) + error**2
    return bool(np.log(both[free]).sum() <= np.log(np.diag(means.covariance)[free]).sum())


def _cut(ramp: Ramp, bins: int) -> Ramp:
    if bins == ramp.bins:
        return ramp
    share = bins / ramp.bins
    return Ramp(ramp.start, ramp.pump(share), ramp.duration * share, ramp.counts[:, :bins])


def _paired(ramp: Ramp) -> Ramp:
    pairs = ramp.counts.reshape(ramp.sweeps, -1, 2).sum(axis=2)
    return Ramp(ramp.start, ramp.stop, ramp.duration, pairs)
