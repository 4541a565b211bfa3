"""The engine of calibrations: settings in groups, a law of the readings, a curve, a fit.

Shots of one setting share a mean, so that (number, sum, sum of squares) of every setting is all
the data there is. The curve gives means (and variances) with their slopes; scoring maximises the
likelihood times the Gaussian priors; intervals are profile intervals; the check compares the
settings' means with the curve and the scatter within settings with the law.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from .estimate import Quantity
from .scoring import Optimum, Point, maximise, profile_limit

Array = NDArray[np.float64]
LawName = Literal["binomial", "poisson", "gaussian"]

_AMBIGUOUS = 6.0  # fall of the log-likelihood below which a second maximum counts
_APART = 4.0  # standard deviations that make a maximum another one


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Shots by setting: (K,) number, sum, sum of squares about the mean; settings by name."""

    settings: Mapping[str, Array]
    number: Array
    total: Array
    scatter: Array
    trials: float = 1.0

    @property
    def mean(self) -> Array:
        """(K,) mean reading of each setting."""
        return self.total / self.number

    @property
    def shots(self) -> int:
        """All shots."""
        return int(self.number.sum())


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """A curve at given parameters: (K,) means, variances; (P, K) slopes of both."""

    mean: Array
    d_mean: Array
    variance: Array | None = None
    d_variance: Array | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a curve.

    Attributes:
        name: in the result.
        unit: of its value.
        low: lower bound.
        high: upper bound.
        prior: (mean, standard deviation) of a calibration, or None.
    """

    name: str
    unit: str
    low: float
    high: float
    prior: tuple[float, float] | None = None


class Curve(Protocol):
    """Means of the readings as a function of the parameters."""

    @property
    def parameters(self) -> Sequence[Parameter]: ...
    def evaluate(self, theta: Array) -> Prediction: ...


@dataclass(frozen=True, slots=True, eq=False)
class Likelihood:
    """Log-likelihood and priors of a curve in scaled parameters x = (theta - origin)/scale."""

    curve: Curve
    law: LawName
    groups: Groups
    origin: Array
    scale: Array
    lower: Array = field(init=False)
    upper: Array = field(init=False)

    def __post_init__(self) -> None:
        low = np.array([p.low for p in self.curve.parameters])
        high = np.array([p.high for p in self.curve.parameters])
        object.__setattr__(self, "lower", (low - self.origin) / self.scale)
        object.__setattr__(self, "upper", (high - self.origin) / self.scale)

    def theta(self, x: Array) -> Array:
        """Parameters in their units."""
        return self.origin + self.scale * x

    def evaluate(self, x: Array) -> Point:
        """Value, gradient and expected information at x."""
        theta = self.theta(x)
        value, gradient, information = log_likelihood(
            self.curve.evaluate(theta), self.law, self.groups
        )
        for index, parameter in enumerate(self.curve.parameters):
            if parameter.prior is not None:
                mean, std = parameter.prior
                pull = (theta[index] - mean) / std
                value -= 0.5 * pull * pull
                gradient[index] -= pull / std
                information[index, index] += 1.0 / std**2
        return Point(
            x, value, gradient * self.scale, information * np.outer(self.scale, self.scale)
        )


def log_likelihood(
    predicted: Prediction, law: LawName, groups: Groups
) -> tuple[float, Array, Array]:
    """Value without constants, gradient (P,), expected information (P, P)."""
    number, total = groups.number, groups.total
    if law == "gaussian":
        return _gaussian(predicted, groups)
    if law == "poisson":
        mean = np.maximum(predicted.mean, 1e-9)
        value = float(total @ np.log(mean) - number @ mean)
        pull, weight = total / mean - number, number / mean
    else:
        p = np.clip(predicted.mean, 1e-9, 1.0 - 1e-9)
        tries = number * groups.trials
        value = float(total @ np.log(p) + (tries - total) @ np.log1p(-p))
        pull, weight = (total - tries * p) / (p * (1.0 - p)), tries / (p * (1.0 - p))
    slopes = predicted.d_mean
    return value, slopes @ pull, (slopes * weight) @ slopes.T


def _gaussian(predicted: Prediction, groups: Groups) -> tuple[float, Array, Array]:
    variance, d_variance = predicted.variance, predicted.d_variance
    if variance is None or d_variance is None:
        raise ValueError("A Gaussian law needs a curve that gives the variance.")
    number, slopes = groups.number, predicted.d_mean
    variance = np.maximum(variance, 1e-300)
    off = groups.mean - predicted.mean
    squares = groups.scatter + number * off * off
    value = -0.5 * float(np.sum(squares / variance + number * np.log(variance)))
    by_variance = 0.5 * (squares / variance - number) / variance
    gradient = slopes @ (number * off / variance) + d_variance @ by_variance
    information = (slopes * (number / variance)) @ slopes.T
    information += (d_variance * (0.5 * number / variance**2)) @ d_variance.T
    return value, gradient, information


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fit: parameters, covariance, the likelihood at the best point, other maxima."""

    likelihood: Likelihood
    optimum: Optimum
    others: tuple[Optimum, ...]

    @property
    def theta(self) -> Array:
        """Best parameters."""
        return self.likelihood.theta(self.optimum.point.x)

    @property
    def covariance(self) -> Array:
        """Inverse information in the parameters' units."""
        scale = self.likelihood.scale
        covariance: Array = self.optimum.covariance * np.outer(scale, scale)
        return covariance


def fit(curve: Curve, law: LawName, groups: Groups, starts: Sequence[Array]) -> Fitted:
    """Best of the maxima reached from the starts, and those that nearly match it."""
    first = scaled(curve, law, groups, starts[0])
    found = []
    for start in starts:
        x = (np.asarray(start, dtype=np.float64) - first.origin) / first.scale
        found.append(maximise(first, np.clip(x, first.lower, first.upper)))
    best = max(found, key=lambda optimum: optimum.point.value)
    # Scaled anew at the maximum, where the information describes the shape.
    likelihood = scaled(curve, law, groups, first.theta(best.point.x))
    again = maximise(likelihood, np.zeros(len(curve.parameters)))
    rivals = []
    for optimum in found:
        if optimum.point.value > again.point.value - _AMBIGUOUS:
            theta = first.theta(optimum.point.x)
            rivals.append(maximise(likelihood, (theta - likelihood.origin) / likelihood.scale))
    return Fitted(likelihood, again, tuple(rivals))


def scaled(curve: Curve, law: LawName, groups: Groups, theta: Array) -> Likelihood:
    """The likelihood with parameters measured in their own conditional errors at theta."""
    low = np.array([p.low for p in curve.parameters])
    high = np.array([p.high for p in curve.parameters])
    origin = np.clip(np.asarray(theta, dtype=np.float64), low, high)
    information = log_likelihood(curve.evaluate(origin), law, groups)[2]
    width = high - low
    scale = 1.0 / np.sqrt(np.maximum(np.diag(information), 1.0 / width**2))
    for index, parameter in enumerate(curve.parameters):
        if parameter.prior is not None:
            scale[index] = min(scale[index], parameter.prior[1])
    return Likelihood(curve, law, groups, origin, scale)


def quantities_of(fitted: Fitted, level: float) -> tuple[dict[str, Quantity], list[str]]:
    """Every parameter with its profile interval, and flags in words."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"Argument `level` must lie in (0, 1), but is {level!r}.")
    likelihood, optimum = fitted.likelihood, fitted.optimum
    drop = 0.5 * float(chi2.ppf(level, 1))
    theta, std = fitted.theta, np.sqrt(np.maximum(np.diag(fitted.covariance), 0.0))
    flags: list[str] = []
    if not optimum.converged:
        flags.append("the fit did not converge")
    result: dict[str, Quantity] = {}
    for index, parameter in enumerate(likelihood.curve.parameters):
        ends = []
        for side in (-1, 1):
            x, bounded, _ = profile_limit(likelihood, optimum, index, side, drop)
            ends.append(float(likelihood.origin[index] + likelihood.scale[index] * x))
            if bounded:
                flags.append(f"{parameter.name} is open toward its bound {ends[-1]:.6g}")
        spread = float(std[index]) or (ends[1] - ends[0]) / 4.0
        rivals = [
            float(likelihood.theta(other.point.x)[index])
            for other in fitted.others
            if abs(likelihood.theta(other.point.x)[index] - theta[index]) > _APART * spread
        ]
        if rivals:
            flags.append(
                f"{parameter.name} is ambiguous: {', '.join(f'{r:.6g}' for r in sorted(rivals))} "
                f"fits as well as {theta[index]:.6g}"
            )
            ends = [min(ends[0], *rivals) - 2.0 * spread, max(ends[1], *rivals) + 2.0 * spread]
            spread = max(spread, (ends[1] - ends[0]) / 4.0)
        value = float(theta[index])
        interval = (min(ends[0], value), max(ends[1], value))
        result[parameter.name] = Quantity(value, spread, interval, level, parameter.unit)
    return result, flags
