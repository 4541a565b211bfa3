r"""Photon counts of independent atoms: the exact law behind calibrations with pulses.

    P(y) = sum_n Bin(n; N, p) Poisson(y; g n + b)

p of every setting comes from a curve, gain g and background b are free. With few atoms up their
photons stand in separate peaks g apart, so that g needs no other calibration; a Gaussian of the
same mean and variance would lose that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtri, pdtr, xlogy
from scipy.stats import chi2

from .calibrations_fit import Fitted, Groups, Likelihood, Parameter, Prediction, scaled
from .estimate import GoodnessOfFit
from .scoring import Optimum, Point, inverse_on, maximise

Array = NDArray[np.float64]

_LEAST_P = 1e-9
_RIVALS = 3


class Populations(Protocol):
    """Probability of finding an atom up as a function of parameters, at some settings."""

    @property
    def parameters(self) -> Sequence[Parameter]: ...
    def populations(self, theta: Array) -> tuple[Array, Array]:
        """(K,) probabilities and their (P, K) slopes."""
        ...


class CountingCurve(Protocol):
    """A curve whose readings are a mixture over atom numbers of Poissonian counts."""

    @property
    def parameters(self) -> Sequence[Parameter]: ...
    def evaluate(self, theta: Array) -> Prediction:
        """Mean and variance of the counts at every setting, with their slopes."""
        ...

    def law(self, theta: Array, counts: Array, place: NDArray[np.intp]) -> tuple[Array, Array]:
        """ln P of each reading (without ln y!), and its (P, readings) slopes."""
        ...

    def mixture(self, theta: Array) -> tuple[Array, Array]:
        """(K, n) probability of each atom number at every setting, (n,) mean counts of each."""
        ...


@dataclass(frozen=True, slots=True)
class CountingBeliefs:
    """What is known of atoms and detector before a calibration.

    Attributes:
        atoms: N of each ensemble.
        gain_range: (low, high) counts per atom, in which the gain is searched.
        background_range: (low, high) counts.
        gain: (mean, std) of an earlier calibration to be believed, or None.
        background: (mean, std) of an earlier calibration to be believed, counts, or None.

    Raises:
        ValueError: on an atom number below 1, ranges that are empty or not positive, priors
            outside them.
    """

    atoms: int
    gain_range: tuple[float, float]
    background_range: tuple[float, float]
    gain: tuple[float, float] | None = None
    background: tuple[float, float] | None = None

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> CountingBeliefs:
        """Beliefs as JSON keeps them: ranges and priors as lists."""
        pairs: dict[str, Any] = {
            k: v if v is None else (v[0], v[1]) for k, v in stored.items() if k != "atoms"
        }
        return cls(int(stored["atoms"]), **pairs)

    def __post_init__(self) -> None:
        if not self.atoms >= 1:
            raise ValueError(f"Argument `atoms` must be at least 1, but is {self.atoms!r}.")
        for name in ("gain", "background"):
            low, high = getattr(self, f"{name}_range")
            if not 0.0 < low < high < math.inf:
                raise ValueError(
                    f"Argument `{name}_range` must be 0 < low < high, but is ({low!r}, {high!r})."
                )
            prior = getattr(self, name)
            if prior is not None and not (low <= prior[0] <= high and prior[1] > 0.0):
                raise ValueError(
                    f"Argument `{name}` must be (mean inside ({low!r}, {high!r}), std > 0), but is "
                    f"{prior!r}."
                )


@dataclass(frozen=True, slots=True, eq=False)
class CountedCurve:
    """Mean and variance of the counts: parameters of the populations, then gain, background."""

    source: Populations
    beliefs: CountingBeliefs

    @property
    def parameters(self) -> Sequence[Parameter]:
        known = self.beliefs
        return [
            *self.source.parameters,
            Parameter("gain", "counts/atom", *known.gain_range, known.gain),
            Parameter("background", "counts", *known.background_range, known.background),
        ]

    def evaluate(self, theta: Array) -> Prediction:
        """Means and variances of the law, with their slopes."""
        p, slopes = self.populations(theta)
        gain, background, atoms = theta[-2], theta[-1], self.beliefs.atoms
        light, one = gain * atoms * p, np.ones_like(p)
        d_mean = np.vstack([gain * atoms * slopes, atoms * p, one])
        by_p = gain * atoms * (1.0 + gain * (1.0 - 2.0 * p))
        by_gain = atoms * p * (1.0 + 2.0 * gain * (1.0 - p))
        d_variance = np.vstack([by_p * slopes, by_gain, one])
        mean = light + background
        return Prediction(mean, d_mean, mean + gain * light * (1.0 - p), d_variance)

    def populations(self, theta: Array) -> tuple[Array, Array]:
        """Of the curve behind, away from 0 and 1 where the law has no slope."""
        p, slopes = self.source.populations(theta[:-2])
        return np.clip(p, _LEAST_P, 1.0 - _LEAST_P), slopes

    def law(self, theta: Array, counts: Array, place: NDArray[np.intp]) -> tuple[Array, Array]:
        """ln P of each reading, and its slopes; see `law_of_counts`."""
        p, slopes = self.populations(theta)
        logs, scores = law_of_counts(counts, p[place], theta[-2], theta[-1], self.beliefs.atoms)
        return logs, np.vstack([slopes[:, place] * scores[0], scores[1:]])

    def mixture(self, theta: Array) -> tuple[Array, Array]:
        """Binomial atoms, and their mean counts."""
        number = np.arange(self.beliefs.atoms + 1.0)
        p, _ = self.populations(theta)
        share = np.exp(_log_binomial(p, number, self.beliefs.atoms))
        return share, theta[-2] * number + theta[-1]


@dataclass(frozen=True, slots=True, eq=False)
class CountedLikelihood(Likelihood):
    """The exact log-likelihood; every reading keeps its place among the settings.

    Attributes:
        counts: (readings,) counts.
        place: (readings,) index of the setting of each.
    """

    counts: Array
    place: NDArray[np.intp]

    def evaluate(self, x: Array) -> Point:
        """Value, gradient, and the sum of outer products of the readings' scores."""
        theta = self.theta(x)
        logs, scores = _counted(self).law(theta, self.counts, self.place)
        value, gradient, information = float(logs.sum()), scores.sum(axis=1), scores @ scores.T
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


def law_of_counts(
    counts: Array, p: Array, gain: float, background: float, atoms: int
) -> tuple[Array, Array]:
    """ln P of each reading (without ln y!), and its (3, readings) slopes in p, g, b."""
    number = np.arange(atoms + 1.0)
    mean = gain * number + background
    ways = gammaln(atoms + 1.0) - gammaln(number + 1.0) - gammaln(atoms - number + 1.0)
    odds = np.log(p) - np.log1p(-p)
    logs = np.outer(counts, np.log(mean)) + np.outer(odds, number) + (ways - mean)
    top = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - top)
    total = weights.sum(axis=1)
    weights /= total[:, None]
    value = top[:, 0] + np.log(total) + atoms * np.log1p(-p)
    atoms_up = weights @ number
    by_p = (atoms_up - atoms * p) / (p * (1.0 - p))
    by_gain = counts * (weights @ (number / mean)) - atoms_up
    by_background = counts * (weights @ (1.0 / mean)) - 1.0
    return value, np.stack([by_p, by_gain, by_background])


@dataclass(frozen=True, slots=True, eq=False)
class CountedReadings:
    """Counts with the settings that they belong to: (readings,) and the settings by name."""

    counts: Array
    place: NDArray[np.intp]
    groups: Groups

    @classmethod
    def of(cls, counts: Array, settings: dict[str, Array]) -> CountedReadings:
        """Sort readings by their settings; the order of shots and blocks does not matter."""
        names = list(settings)
        table = np.stack([settings[name] for name in names])
        distinct, place = np.unique(table, axis=1, return_inverse=True)
        place = place.reshape(-1)
        order = np.lexsort((counts, place))
        counts, place = counts[order], place[order]
        number = np.bincount(place).astype(np.float64)
        total = np.bincount(place, weights=counts).astype(np.float64)
        off = counts - (total / number)[place]
        scatter = np.bincount(place, weights=off * off).astype(np.float64)
        known = dict(zip(names, distinct, strict=True))
        return cls(counts, place, Groups(known, number, total, scatter))


def fit_counts(curve: CountingCurve, data: CountedReadings, starts: Sequence[Array]) -> Fitted:
    """Best of the maxima reached from the starts, and those that nearly match it."""
    first = _scaled(curve, data, np.asarray(starts[0], dtype=np.float64))
    found = []
    for start in starts:
        x = (np.asarray(start, dtype=np.float64) - first.origin) / first.scale
        found.append(maximise(first, np.clip(x, first.lower, first.upper)))
    best = max(found, key=lambda optimum: optimum.point.value)
    likelihood = _scaled(curve, data, first.theta(best.point.x))
    again = maximise(likelihood, np.zeros(len(curve.parameters)))
    rivals: list[Optimum] = []
    for optimum in found:
        if optimum.point.value > again.point.value - 6.0 and len(rivals) < _RIVALS:
            theta = first.theta(optimum.point.x)
            rivals.append(maximise(likelihood, (theta - likelihood.origin) / likelihood.scale))
    return Fitted(likelihood, again, tuple(rivals))


def approximate(curve: CountingCurve, data: CountedReadings, start: Array) -> tuple[float, Array]:
    """Log-likelihood and maximum of Gaussian counts with the law's moments: cheap, for starts."""
    likelihood = scaled(curve, "gaussian", data.groups, start)
    found = maximise(likelihood, np.zeros(start.size), iterations=40)
    return found.point.value, likelihood.theta(found.point.x)


def gains_that_fit(
    curve: CountingCurve, data: CountedReadings, theta: Array, gains: Array, most: int = 3
) -> list[Array]:
    """Starts like `theta` with the best of some gains: the peaks of an atom more or less."""
    values, points = [], []
    limits = curve.parameters[-2]
    for gain in np.clip(gains, limits.low, limits.high):
        trial = np.array(theta, dtype=np.float64)
        trial[-2] = gain
        points.append(trial)
        values.append(float(curve.law(trial, data.counts, data.place)[0].sum()))
    edge = np.r_[-np.inf, values, -np.inf]
    peaks = np.flatnonzero((edge[1:-1] >= edge[:-2]) & (edge[1:-1] >= edge[2:]))
    best = peaks[np.argsort(-np.array(values)[peaks])[:most]]
    return [points[one] for one in best]


def _scaled(curve: CountingCurve, data: CountedReadings, theta: Array) -> CountedLikelihood:
    parameters = curve.parameters
    low = np.array([p.low for p in parameters])
    high = np.array([p.high for p in parameters])
    origin = np.clip(theta, low, high)
    plain = CountedLikelihood(
        curve, "poisson", data.groups, origin, np.ones(origin.size), data.counts, data.place
    )
    information = plain.evaluate(np.zeros(origin.size)).information
    scale = 1.0 / np.sqrt(np.maximum(np.diag(information), 1.0 / (high - low) ** 2))
    return CountedLikelihood(curve, "poisson", data.groups, origin, scale, data.counts, data.place)


def _counted(likelihood: Likelihood) -> CountingCurve:
    return cast(CountingCurve, likelihood.curve)


def check_counts(fitted: Fitted) -> GoodnessOfFit | None:
    """Every reading's place in its law as a normal number: means and scatter of the settings."""
    likelihood = fitted.likelihood
    if not isinstance(likelihood, CountedLikelihood):
        raise TypeError("the check of counts needs a fit of counts")
    curve, place, theta = _counted(likelihood), likelihood.place, fitted.theta
    share, mean = curve.mixture(theta)
    counts = likelihood.counts[:, None]
    earlier = np.maximum(counts - 1.0, 0.0)
    below, upto = (np.sum(share[place] * pdtr(y, mean), axis=1) for y in (earlier, counts))
    below = np.where(likelihood.counts > 0.0, below, 0.0)
    normal = ndtri(np.clip(0.5 * (below + upto), 1e-12, 1.0 - 1e-12))
    size = likelihood.groups.number
    middle = np.bincount(place, weights=normal) / size
    free = int(fitted.optimum.free.sum())
    pulls = [
        ((theta[i] - one.prior[0]) / one.prior[1]) ** 2
        for i, one in enumerate(curve.parameters)
        if one.prior is not None
    ]
    tests: list[tuple[float, int]] = []
    degrees = size.size + len(pulls) - free
    if degrees >= 1:
        tests.append((float(np.sum(size * middle**2) + np.sum(pulls)), degrees))
    within = int(size.sum()) - size.size
    if within >= 4:
        tests.append((float(np.sum((normal - middle[place]) ** 2)), within))
    if not tests:
        return None
    # Too much scatter and too little are both wrong; means can only be too far off.
    ps = [float(chi2.sf(*tests[0]))] if degrees >= 1 else []
    if within >= 4:
        tail = float(chi2.sf(*tests[-1]))
        ps.append(2.0 * min(tail, 1.0 - tail))
    least = min(ps)
    p_value = 1.0 - (1.0 - least) ** len(ps) if least > 1e-8 else len(ps) * least
    return GoodnessOfFit(
        sum(s for s, _ in tests),
        p_value,
        sum(d for _, d in tests),
        "places of the counts in their laws: means of the settings and scatter within them",
    )


def _log_binomial(p: Array, number: Array, atoms: int) -> Array:
    ways = gammaln(atoms + 1.0) - gammaln(number + 1.0) - gammaln(atoms - number + 1.0)
    logs: Array = ways + xlogy(number, p[:, None]) + xlogy(atoms - number, 1.0 - p[:, None])
    return logs


def counting_bounds(curve: CountingCurve, theta: Array, readings: Array) -> Array:
    """Covariance bound of all parameters, priors included.

    The expectation is summed over counts that are finely spaced in the square root, where the
    law is smooth.

    Args:
        curve: at K settings.
        theta: true parameters, gain and background last.
        readings: (K,) readings of each setting.
    """
    nodes, width = _nodes(float(curve.mixture(theta)[1].max()))
    norm = gammaln(nodes + 1.0)
    information = np.zeros((theta.size, theta.size))
    for index, times in enumerate(readings):
        logs, scores = curve.law(theta, nodes, np.full(nodes.size, index, dtype=np.intp))
        information += times * ((scores * (width * np.exp(logs - norm))) @ scores.T)
    for index, parameter in enumerate(curve.parameters):
        if parameter.prior is not None:
            information[index, index] += 1.0 / parameter.prior[1] ** 2
    return inverse_on(information, np.ones(theta.size, bool))


def _nodes(largest: float) -> tuple[Array, Array]:
    """Counts from 0 to beyond the largest mean, a quarter of their noise apart, and widths."""
    nodes, last = [0.0], largest + 12.0 * math.sqrt(largest) + 20.0
    while nodes[-1] < last:
        nodes.append(nodes[-1] + max(1.0, math.floor(0.25 * math.sqrt(nodes[-1]))))
    grid = np.array(nodes)
    steps = np.diff(grid)
    return grid, 0.5 * (np.r_[1.0, steps] + np.r_[steps, steps[-1]])
