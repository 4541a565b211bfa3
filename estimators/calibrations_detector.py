r"""Gain, background and dead time of a counting detector.

Gain and background: at light or atom levels k with atom numbers that fluctuate as Poisson's law
(or as Bin(N, p_k)),

    Var y = mu + g (mu - b) [- (mu - b)^2/N],       every mean mu_k free:

the mean-variance line with the errors of both axes in one Gaussian likelihood of the counts.
Dead time: r = a x + b at relative light x counts m = T r/(1 + r tau) with variance
T r/(1 + r tau)^3 (the counter is not paralysed by light that it misses).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from .calibrations_check import bound_of, result, undetermined
from .calibrations_fit import Fitted, Groups, Parameter, Prediction, fit
from .calibrations_records import Column, Readings
from .estimate import Estimate, GoodnessOfFit

Array = NDArray[np.float64]

_LINE = "detector gain from the mean-variance line"
_DEAD = "dead time"


class DetectorCalibration:
    """Counts per atom and background from the mean-variance line.

    Args:
        atoms: N where atom numbers are binomial; None: Poisson.
        background: (mean, std) of a dark measurement, or None: from the line alone.
        largest_gain: upper bound of g, counts per atom.

    Raises:
        ValueError: on values that cannot be.
    """

    def __init__(
        self,
        atoms: float | None = None,
        background: tuple[float, float] | None = None,
        largest_gain: float = 1e5,
    ) -> None:
        if atoms is not None and not atoms >= 1.0:
            raise ValueError(f"Argument `atoms` must be at least 1, but is {atoms!r}.")
        if background is not None and not (background[0] >= 0.0 and background[1] > 0.0):
            raise ValueError(f"Argument `background` must be (>= 0, > 0), but is {background!r}.")
        if not largest_gain > 0.0:
            raise ValueError(f"Argument `largest_gain` must be positive, but is {largest_gain!r}.")
        self.atoms, self.background, self.largest_gain = atoms, background, largest_gain
        self._readings = Readings("counts", (Column("light", 0.0),))

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts, light (label of the level, any scale), status."""
        self._readings.add(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """gain (counts/atom), background (counts).

        With fewer than three levels nothing is determined, and a flag says so.

        Raises:
            RecordError: on no good shot.
        """
        groups = self._readings.groups()
        curve = LineCurve(groups.mean, self.atoms, self.background, self.largest_gain)
        missing = self._readings.missing(groups, 3)
        if missing:
            rejected = self._readings.rejected
            return undetermined(_LINE, curve.parameters, groups, level, missing, rejected=rejected)
        fitted = fit(curve, "gaussian", groups, [self._start(groups)])
        answer = result(
            _LINE,
            fitted,
            level,
            rejected=self._readings.rejected,
            assumptions=(
                "atom numbers Poisson" if self.atoms is None else f"{self.atoms:g} atoms, binomial",
                "Gaussian counts with the variance of the line; every mean free",
            ),
            goodness=_check_line(fitted),
        )
        return answer

    def _start(self, groups: Groups) -> Array:
        variance = groups.scatter / np.maximum(groups.number - 1.0, 1.0)
        excess, mean = variance - groups.mean, groups.mean
        if self.atoms is not None:
            excess = excess + mean**2 / self.atoms
        share = groups.number / np.maximum(variance, 1.0) ** 2
        share = share / share.sum()
        middle, level = float(share @ mean), float(share @ excess)
        below = float(share @ (mean - middle) ** 2)
        slope = float(share @ ((mean - middle) * excess)) / below if below > 0.0 else 0.0
        shift = level - slope * middle
        gain = float(np.clip(slope, 1e-6 * self.largest_gain, self.largest_gain))
        background = float(np.clip(-shift / gain, 0.0, mean.min()))
        if self.background is not None:
            background = self.background[0]
        return np.array([gain, background, *mean])


@dataclass(frozen=True, slots=True, eq=False)
class LineCurve:
    """Means and variances as a function of g, b, mu_1 … mu_K."""

    means: Array
    atoms: float | None
    background: tuple[float, float] | None
    largest_gain: float

    @property
    def parameters(self) -> Sequence[Parameter]:
        top = float(self.means.max()) * 2.0 + 100.0
        lowest = float(self.means.min())
        return [
            Parameter("gain", "counts/atom", 0.0, self.largest_gain),
            Parameter("background", "counts", 0.0, max(lowest, 1.0), self.background),
            *(Parameter(f"mean_{k}", "counts", 1e-9, top) for k in range(self.means.size)),
        ]

    def evaluate(self, theta: Array) -> Prediction:
        """Every mean is its own parameter; the variance is the line."""
        gain, background, mean = theta[0], theta[1], theta[2:]
        light, inverse = mean - background, 0.0 if self.atoms is None else 1.0 / self.atoms
        variance = mean + gain * light - inverse * light**2
        size = mean.size
        d_mean = np.vstack([np.zeros((2, size)), np.eye(size)])
        by_light = gain - 2.0 * inverse * light
        d_variance = np.vstack([light, -by_light, np.diag(1.0 + by_light)])
        floor = 1e-3 * np.maximum(mean, 1.0)
        held = variance < floor
        return Prediction(
            mean, d_mean, np.where(held, floor, variance), np.where(held, 0.0, d_variance)
        )


def _check_line(fitted: Fitted) -> GoodnessOfFit | None:
    """Sample variances against the line: gamma deviance with Bartlett's correction."""
    groups = fitted.likelihood.groups
    seen = groups.number > 1.0
    predicted = fitted.likelihood.curve.evaluate(fitted.theta)
    prior = fitted.likelihood.curve.parameters[1].prior
    pull = 0.0 if prior is None else ((fitted.theta[1] - prior[0]) / prior[1]) ** 2
    degrees = int(seen.sum()) - int(fitted.optimum.free[:2].sum()) + (prior is not None)
    if degrees < 1 or predicted.variance is None:
        return None
    free = groups.number[seen] - 1.0
    ratio = np.maximum(groups.scatter[seen] / free / predicted.variance[seen], 1e-12)
    deviance = float(np.sum(free * (ratio - 1.0 - np.log(ratio)) / (1.0 + 1.0 / (3.0 * free))))
    statistic = deviance + pull
    return GoodnessOfFit(
        statistic, float(chi2.sf(statistic, degrees)), degrees, "variances against the line"
    )


def detector_bounds(
    gain: float,
    background: float,
    light: Array,
    shots: int,
    atoms: float | None = None,
    background_prior: tuple[float, float] | None = None,
) -> Array:
    """(2, 2) covariance bound of (g, b) for `shots` at each mean light (counts above b)."""
    means = background + light
    curve = LineCurve(means, atoms, background_prior, 10.0 * gain + 1.0)
    empty = np.zeros(light.size)
    groups = Groups({}, np.full(light.size, float(shots)), empty, empty)
    bound = bound_of(curve, "gaussian", groups, np.array([gain, background, *means]))
    return bound[:2, :2]


class DeadTimeCalibration:
    """Dead time from counts at known relative light levels.

    Args:
        gate: T, s.
        largest_rate: upper bound of the rate at light 1, 1/s.
        background: (mean, std) of the dark rate, 1/s, or None: free.

    Raises:
        ValueError: on values that are not positive.
    """

    def __init__(
        self, gate: float, largest_rate: float = 1e9, background: tuple[float, float] | None = None
    ) -> None:
        if not (gate > 0.0 and largest_rate > 0.0):
            raise ValueError(
                f"Arguments `gate` and `largest_rate` must be positive, but are {gate!r} and "
                f"{largest_rate!r}."
            )
        self.gate, self.largest_rate, self.background = gate, largest_rate, background
        self._readings = Readings("counts", (Column("light", 0.0),))

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts, light (relative, known), status."""
        self._readings.add(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """dead_time (s), rate at light 1 and background_rate (1/s).

        With fewer than three light levels nothing is determined, and a flag says so.

        Raises:
            RecordError: on no good shot.
        """
        groups = self._readings.groups()
        curve = DeadTimeCurve(
            groups.settings["light"], self.gate, self.largest_rate, self.background
        )
        missing = self._readings.missing(groups, 3)
        if missing:
            rejected = self._readings.rejected
            return undetermined(_DEAD, curve.parameters, groups, level, missing, rejected=rejected)
        fitted = fit(curve, "gaussian", groups, _dead_time_starts(curve, groups))
        return result(
            _DEAD,
            fitted,
            level,
            rejected=self._readings.rejected,
            assumptions=("a counter that is not paralysed; light levels exact; Poisson light",),
        )


@dataclass(frozen=True, slots=True, eq=False)
class DeadTimeCurve:
    """Counts as a function of tau, a, b."""

    light: Array
    gate: float
    largest_rate: float
    background: tuple[float, float] | None

    @property
    def parameters(self) -> Sequence[Parameter]:
        top = self.largest_rate
        return [
            Parameter("dead_time", "s", 0.0, self.gate),
            Parameter("rate", "1/s", 0.0, top),
            Parameter("background_rate", "1/s", 0.0, top, self.background),
        ]

    def evaluate(self, theta: Array) -> Prediction:
        """Mean T r/(1 + r tau), variance T r/(1 + r tau)^3."""
        tau, a, b = theta
        rate = np.maximum(a * self.light + b, 1e-3 / self.gate)
        live = 1.0 / (1.0 + rate * tau)
        mean, variance = self.gate * rate * live, self.gate * rate * live**3
        by_rate = np.stack([np.zeros_like(rate), self.light, np.ones_like(rate)])
        d_mean = self.gate * live**2 * by_rate
        d_mean[0] = -self.gate * (rate * live) ** 2
        d_variance = self.gate * live**3 * (1.0 - 3.0 * rate * tau * live) * by_rate
        d_variance[0] = -3.0 * self.gate * rate**2 * live**4
        return Prediction(mean, d_mean, variance, d_variance)


def dead_time_bounds(curve: DeadTimeCurve, truth: Sequence[float], shots: int) -> Array:
    """(3, 3) covariance bound of (tau, a, b) for `shots` at each light level."""
    empty = np.zeros(curve.light.size)
    groups = Groups({}, np.full(curve.light.size, float(shots)), empty, empty)
    return bound_of(curve, "gaussian", groups, np.asarray(truth, dtype=np.float64))


def _dead_time_starts(curve: DeadTimeCurve, groups: Groups) -> list[Array]:
    """1/m = tau/T + 1/(T r): rates for a few dead times, the line through them."""
    fastest = float(groups.mean.max()) / curve.gate
    starts = []
    for share in (0.0, 0.1, 0.3, 0.6):
        tau = share / max(fastest, 1.0 / curve.gate)
        rate = groups.mean / curve.gate / np.maximum(1.0 - groups.mean * tau / curve.gate, 0.1)
        slope, shift = np.polyfit(curve.light, rate, 1)
        starts.append(np.array([tau, max(slope, 1e-6), max(shift, 0.0)]))
    return starts
