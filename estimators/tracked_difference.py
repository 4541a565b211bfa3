r"""A signal against a reference that drifts, both measured now and then.

    signal_k = D + s x(t_k) + noise,    reference_j = x(t_j) + noise,    x: a random walk

D and x(0) are free (flat), the walk's diffusion q is weighted over a list by the likelihood of
what both leave over (REML). For every q the answer is exact; D is the mixture of all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr
from scipy.stats import chi2

from .estimate import GoodnessOfFit, Quantity

Array = NDArray[np.float64]

_DIFFUSIONS = 33
_FEWEST = 4


@dataclass(frozen=True, slots=True)
class TrackedDifference:
    """What came of it.

    Attributes:
        difference: D; None before the first signal and the first reference.
        reference: x at the last measurement; None before the first reference.
        diffusion: q, variance of the reference per unit of time; None without a reference.
        goodness_of_fit: Of all measurements at the most likely q; None for fewer than four.
        expected_diffusion: Mean of q, which predicts the drift's variance; above the geometric
            mean that `diffusion` states, the more so the less is known.
    """

    difference: Quantity | None
    reference: Quantity | None
    diffusion: Quantity | None
    goodness_of_fit: GoodnessOfFit | None
    expected_diffusion: float = math.inf


@dataclass(frozen=True, slots=True)
class TrackedSeries:
    """Measurements in any order.

    Attributes:
        time: (n,) middle of each.
        value: (n,) its answer.
        std: (n,) standard deviation.
        is_reference: (n,) whether it measured the reference.
        sensitivity: s, how much the signal follows the reference.

    Raises:
        ValueError: On unequal lengths or standard deviations that are not positive.
    """

    time: Array
    value: Array
    std: Array
    is_reference: NDArray[np.bool_]
    sensitivity: float = 1.0

    def __post_init__(self) -> None:
        sizes = {one.shape for one in (self.time, self.value, self.std, self.is_reference)}
        if len(sizes) != 1 or self.time.ndim != 1:
            raise ValueError(f"Measurements must be one column each, but have shapes {sizes}.")
        if not (np.isfinite(self.value).all() and (self.std > 0.0).all()):
            raise ValueError("Measurements must be finite, with standard deviations above zero.")

    def estimate(
        self, diffusion: tuple[float, float], level: float = 0.95, unit: str = ""
    ) -> TrackedDifference:
        """The difference, the reference now, the diffusion within a range.

        Args:
            diffusion: (low, high) of q, flat in ln q in between.
            level: Of the intervals.
            unit: Of the values.
        """
        if not self.is_reference.any():
            return TrackedDifference(None, None, None, None)
        q = np.geomspace(*diffusion, _DIFFUSIONS)
        both = bool((~self.is_reference).any())
        solved = [self._solve(float(one), both) for one in q]
        logs = np.array([one.evidence for one in solved])
        weights = np.exp(logs - logs.max())
        weights /= weights.sum()
        now = _mixture(weights, np.array([one.now for one in solved]), level, unit)
        difference = None
        if both:
            difference = _mixture(
                weights, np.array([one.difference for one in solved]), level, unit
            )
        check = None
        degrees = self.time.size - (2 if both else 1)
        if self.time.size >= _FEWEST:
            misfit = solved[int(np.argmax(logs))].misfit
            check = GoodnessOfFit(
                misfit, float(chi2.sf(misfit, degrees)), degrees, "residuals of all measurements"
            )
        known = _logarithmic(weights, q, level, unit)
        return TrackedDifference(difference, now, known, check, float(weights @ q))

    def difference_std(self, diffusion: float) -> float:
        """Standard deviation of D at a known diffusion."""
        return math.sqrt(self._solve(diffusion, True).difference[1])

    def _solve(self, diffusion: float, both: bool) -> _Solved:
        """Generalised least squares of x at the last measurement, and D."""
        follow = np.where(self.is_reference, 1.0, self.sensitivity)
        # Counted back from the last measurement, where the walk is asked for.
        back = self.time.max() - self.time
        walk = diffusion * np.minimum.outer(back, back) * np.outer(follow, follow)
        factor = cho_factor(walk + np.diag(self.std**2), lower=True)
        design = follow[:, None]
        if both:
            design = np.column_stack([follow, ~self.is_reference])
        weighted = cho_solve(factor, design)
        information = design.T @ weighted
        covariance = np.linalg.inv(information)
        found = covariance @ (weighted.T @ self.value)
        off = self.value - design @ found
        misfit = float(off @ cho_solve(factor, off))
        volume = 2.0 * float(np.log(np.diag(factor[0])).sum())
        evidence = -0.5 * (volume + float(np.linalg.slogdet(information)[1]) + misfit)
        last = (float(found[1]), float(covariance[1, 1])) if both else (0.0, 1.0)
        return _Solved((float(found[0]), float(covariance[0, 0])), last, evidence, misfit)


@dataclass(frozen=True, slots=True)
class _Solved:
    """Mean and variance of both at one diffusion, and how likely it is."""

    now: tuple[float, float]
    difference: tuple[float, float]
    evidence: float
    misfit: float


def _mixture(weights: Array, parts: Array, level: float, unit: str) -> Quantity:
    """Of normal distributions (q, 2) by their weights; the interval by bisection."""
    means, variances = parts.T
    mean = float(weights @ means)
    std = math.sqrt(float(weights @ (variances + (means - mean) ** 2)))
    widths = np.sqrt(variances)

    def quantile(probability: float) -> float:
        low, high = float((means - 12.0 * widths).min()), float((means + 12.0 * widths).max())
        for _ in range(80):
            middle = 0.5 * (low + high)
            below = float(weights @ ndtr((middle - means) / widths)) < probability
            low, high = (middle, high) if below else (low, middle)
        return 0.5 * (low + high)

    tail = 0.5 * (1.0 - level)
    return Quantity(mean, std, (quantile(tail), quantile(1.0 - tail)), level, unit)


def _logarithmic(weights: Array, q: Array, level: float, unit: str) -> Quantity:
    """The diffusion: its geometric mean, and equal tails."""
    logs = np.log(q)
    mean = float(weights @ logs)
    std = math.sqrt(float(weights @ (logs - mean) ** 2))
    summed = np.cumsum(weights) - 0.5 * weights
    tail = 0.5 * (1.0 - level)
    low, high = (math.exp(float(np.interp(p, summed, logs))) for p in (tail, 1.0 - tail))
    value = math.exp(mean)
    named = f"{unit}^2/s" if unit else "1/s"
    return Quantity(value, value * std, (min(low, value), max(high, value)), level, named)
