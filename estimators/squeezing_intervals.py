"""Variances with honest intervals for any moderate kurtosis: Bonett's interval, MOVER.

The interval of a variance is ln s^2 +- z c sqrt[(g4 - (n-3)/n)/(n-1)], c = n/(n-z), with the
kurtosis g4 about a trimmed mean (Bonett 2006); its upper limit is that of Hall's transformation
of the mean square (1992) where that lies higher, because a sample without its rare wide shots
has both a small variance and a small kurtosis. Differences and ratios of independent numbers
take their limits from the limits of both (MOVER; ratio after Donner and Zou 2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata, trim_mean

from .estimate import GoodnessOfFit

Array = NDArray[np.float64]
Limits = tuple[float, float]

FEWEST_SHOTS = 6
LARGEST_KURTOSIS = 6.0  # above it Bonett's interval needs MANY_SHOTS
MANY_SHOTS = 1000
_HIGHEST = 100.0  # times the sample's variance: beyond it the upper limit says nothing


@dataclass(frozen=True, slots=True)
class Measured:
    """A number with its standard deviation and the limits of its interval."""

    value: float
    std: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SampleVariance(Measured):
    """Unbiased variance of a sample; `kurtosis` is 3 for a Gaussian."""

    kurtosis: float = 3.0
    shots: int = 0

    @property
    def flagged(self) -> bool:
        """Whether the interval is known to cover too little."""
        return self.kurtosis > LARGEST_KURTOSIS and self.shots < MANY_SHOTS


def sample_variance(values: Array, level: float, least_kurtosis: float = 0.0) -> SampleVariance:
    """Unbiased variance with Bonett's interval, its upper limit lifted for skewness.

    Args:
        values: (n,), at least `FEWEST_SHOTS`.
        level: confidence level.
        least_kurtosis: of the law by its model; a smaller one of the sample is not believed.

    Raises:
        ValueError: on too few values or a level outside (0, 1).
    """
    n = values.size
    if n < FEWEST_SHOTS:
        raise ValueError(
            f"A variance with an interval needs at least {FEWEST_SHOTS} shots, but there are {n}."
        )
    z = normal_quantile(level)
    value = float(values.var(ddof=1))
    if value == 0.0:
        return SampleVariance(0.0, 0.0, 0.0, 0.0, 3.0, n)
    kurtosis = max(trimmed_kurtosis(values), least_kurtosis)
    error = math.sqrt(max(kurtosis - (n - 3.0) / n, 1.0 / n) / (n - 1.0))
    reach = z * n / max(n - z, 1.0) * error
    low, high = value * math.exp(-reach), value * math.exp(reach)
    high = max(high, min(skewed_limit(values, z), _HIGHEST * value))
    return SampleVariance(value, value * error, low, high, kurtosis, n)


def skewed_limit(values: Array, z: float) -> float:
    """Upper limit of the variance as the mean of squares, by Hall's transformation."""
    n = values.size
    squares = (values - values.mean()) ** 2 * n / (n - 1.0)
    mean = float(squares.mean())
    off = squares - mean
    second = float(np.mean(off**2))
    if second <= 0.0:
        return mean
    skew = float(np.mean(off**3)) / second**1.5 / math.sqrt(n)
    if skew < 1e-6:
        return mean
    turned = 1.0 - skew * (z + skew / 6.0)
    quantile = 3.0 / skew * (math.copysign(abs(turned) ** (1.0 / 3.0), turned) - 1.0)
    return float(mean - math.sqrt(second / (n - 1.0)) * quantile)


def trimmed_kurtosis(values: Array) -> float:
    """n sum (x - trimmed mean)^4 / (sum (x - mean)^2)^2, trimmed by 1/(2 sqrt(n-4)) each side."""
    n = values.size
    share = min(0.5 / math.sqrt(max(n - 4.0, 1.0)), 0.49)
    centre = float(trim_mean(values, share))
    second = float(np.sum((values - values.mean()) ** 2))
    return n * float(np.sum((values - centre) ** 4)) / second**2


def mean_with_limits(values: Array, level: float) -> Measured:
    """Mean with a normal interval widened as Student's t is."""
    from scipy.stats import t

    n = values.size
    if n < 2:
        raise ValueError(f"A mean with an interval needs at least 2 shots, but there are {n}.")
    error = float(values.std(ddof=1)) / math.sqrt(n)
    reach = float(t.ppf(0.5 + 0.5 * level, n - 1)) * error
    value = float(values.mean())
    return Measured(value, error, value - reach, value + reach)


def difference(first: Measured, second: Measured) -> Measured:
    """first - second, independent (MOVER)."""
    value = first.value - second.value
    down = math.hypot(first.value - first.low, second.high - second.value)
    up = math.hypot(first.high - first.value, second.value - second.low)
    return Measured(value, math.hypot(first.std, second.std), value - down, value + up)


def total(first: Measured, second: Measured) -> Measured:
    """first + second, independent (MOVER)."""
    value = first.value + second.value
    down = math.hypot(first.value - first.low, second.value - second.low)
    up = math.hypot(first.high - first.value, second.high - second.value)
    return Measured(value, math.hypot(first.std, second.std), value - down, value + up)


def ratio_limits(first: Measured, second: Measured) -> Limits:
    """Limits of first/second, independent (Donner and Zou); second well above zero.

    An infinite upper limit: the interval of `second` reaches zero.
    """
    product = first.value * second.value
    low_divisor = second.high * (2.0 * second.value - second.high)
    high_divisor = second.low * (2.0 * second.value - second.low)
    low_root = product**2 - first.low * (2.0 * first.value - first.low) * low_divisor
    high_root = product**2 - first.high * (2.0 * first.value - first.high) * high_divisor
    if low_divisor > 0.0:
        low = (product - math.sqrt(max(low_root, 0.0))) / low_divisor
    else:
        low = min(first.low, 0.0) / second.value
    if second.low <= 0.0:
        return low, math.inf
    return low, (product + math.sqrt(max(high_root, 0.0))) / high_divisor


def normal_quantile(level: float) -> float:
    """z of a two-sided interval.

    Raises:
        ValueError: when the level is not inside (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"Argument `level` must lie in (0, 1), but is {level!r}.")
    return float(norm.ppf(0.5 + 0.5 * level))


def stationarity(values: Array) -> GoodnessOfFit | None:
    """Are the shots exchangeable? Neighbours, trend of the mean, trend of the spread.

    Ranks only, so that it holds for any distribution; the smallest of the three p-values is
    corrected for their number. None below 10 shots or when all values are equal.
    """
    n = values.size
    if n < 10 or np.all(values == values[0]):
        return None
    ranks, order = rankdata(values), np.arange(1.0, n + 1.0)
    spread = rankdata(np.abs(values - np.median(values)))
    scatter = float(np.sum((ranks - ranks.mean()) ** 2))
    neumann = float(np.sum(np.diff(ranks) ** 2)) / scatter
    variance = 4.0 * (n - 2.0) * (5.0 * n**2 - 2.0 * n - 9.0)
    variance /= 5.0 * n * (n + 1.0) * (n - 1.0) ** 2
    scores = [(neumann - 2.0) / math.sqrt(variance)]
    for column in (ranks, spread):
        if np.ptp(column) > 0.0:
            scores.append(float(np.corrcoef(column, order)[0, 1]) * math.sqrt(n - 1.0))
    largest = max(abs(score) for score in scores)
    least = 2.0 * float(norm.sf(largest))
    p_value = -math.expm1(len(scores) * math.log1p(-least)) if least < 1.0 else 1.0
    return GoodnessOfFit(largest, p_value, len(scores), "ranks: neighbours, drift, spread")
