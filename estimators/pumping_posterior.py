"""Coordinates of the pumping estimators: logarithms of what is above zero, priors, reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from .estimate import Estimate, GoodnessOfFit, Quantity
from .pumping_beliefs import Calibrated
from .scoring import Objective, Optimum, Point, inverse_on, maximise, profile_limit

Array = NDArray[np.float64]

POOR_FIT = 1e-4
_MOST, _STUCK = 150, 50  # evaluations; those after which another start is looked for
_UNKNOWN = 0.2  # of the width of its range: a std beyond it means "not determined"


@dataclass(frozen=True, slots=True)
class Coordinate:
    """One free number: x = ln value, or the value itself when `linear`.

    Attributes:
        name: of the quantity.
        unit: of its value.
        lower, upper: bounds of x.
        prior: what a calibration says; None is flat in x.
        linear: whether x is the value itself.
    """

    name: str
    unit: str
    lower: float
    upper: float
    prior: Calibrated | None = None
    linear: bool = False

    @property
    def centre(self) -> float:
        """Of the prior, in x."""
        if self.prior is None:
            return 0.5 * (self.lower + self.upper)
        return self.prior.value if self.linear else math.log(self.prior.value)

    @property
    def spread(self) -> float:
        """Standard deviation of the prior in x; infinite without one."""
        if self.prior is None:
            return math.inf
        return self.prior.std if self.linear else self.prior.std / self.prior.value

    def natural(self, x: float) -> float:
        """The value at x."""
        return x if self.linear else math.exp(x)


class Coordinates:
    """All free numbers of a fit, with their box and their priors."""

    def __init__(self, coordinates: Sequence[Coordinate]) -> None:
        self.all = tuple(coordinates)
        self.names = tuple(c.name for c in self.all)
        self.lower: Array = np.array([c.lower for c in self.all])
        self.upper: Array = np.array([c.upper for c in self.all])
        self.centre: Array = np.array([c.centre for c in self.all])
        self.weight: Array = np.array([c.spread**-2.0 for c in self.all])

    def natural(self, x: Array) -> Array:
        """Values at x."""
        return np.array([c.natural(float(v)) for c, v in zip(self.all, x, strict=True)])

    def with_prior(self, x: Array, value: float, gradient: Array, information: Array) -> Point:
        """A log-likelihood's value, gradient and information, with the priors added."""
        pull = self.weight * (x - self.centre)
        return Point(
            x,
            value - 0.5 * float(pull @ (x - self.centre)),
            gradient - pull,
            information + np.diag(self.weight),
        )

    def slopes(self, x: Array) -> Array:
        """d value/dx."""
        return np.array(
            [1.0 if c.linear else c.natural(float(v)) for c, v in zip(self.all, x, strict=True)]
        )


def fit_with_limits(
    objective: Objective,
    start: Array,
    level: float,
    profiled: Sequence[int],
    again: Callable[[Array], Array] | None = None,
) -> tuple[Optimum, dict[int, tuple[float, float]]]:
    """Maximum, and profile-likelihood limits in x of the given coordinates.

    Where a profile finds a higher point, the fit begins again from it; where scoring gets
    stuck, from `again` of the place.
    """
    optimum = maximise(objective, start, iterations=_STUCK if again else _MOST)
    if again is not None and not optimum.converged:
        other = maximise(objective, again(optimum.point.x))
        worse = other.point.value < optimum.point.value
        optimum = maximise(objective, optimum.point.x) if worse else other
    drop = 0.5 * float(chi2.ppf(level, 1))
    limits: dict[int, tuple[float, float]] = {}
    for _ in range(3):
        best, limits = optimum.point, {}
        for index in profiled:
            ends = []
            for side in (-1, 1):
                end, _, seen = profile_limit(objective, optimum, index, side, drop)
                ends.append(end)
                best = seen if seen.value > best.value else best
            limits[index] = (ends[0], ends[1])
        if best.value < optimum.point.value + 1e-3:
            break
        optimum = maximise(objective, best.x)
    return optimum, limits


def quantities_of(
    coordinates: Coordinates,
    optimum: Optimum,
    limits: Mapping[int, tuple[float, float]],
    level: float,
) -> tuple[dict[str, Quantity], Array, list[str]]:
    """Quantities, their covariance, and names of those that the data leave open."""
    x, covariance = optimum.point.x, _covariance(coordinates, optimum)
    reach = float(norm.ppf(0.5 + 0.5 * level))
    slopes = coordinates.slopes(x)
    quantities, open_names = {}, []
    for index, c in enumerate(coordinates.all):
        std = math.sqrt(max(float(covariance[index, index]), 0.0))
        width = c.upper - c.lower
        at_bound, resting = not optimum.free[index], c.linear and x[index] <= c.lower
        if at_bound and (resting or c.prior is not None):
            std = _one_sided(optimum, index)
        elif std > _UNKNOWN * width or at_bound:
            open_names.append(c.name)
            quantities[c.name] = Quantity(
                c.natural(float(x[index])),
                _whole(c) / math.sqrt(12.0),
                (c.natural(c.lower), c.natural(c.upper)),
                level,
                c.unit,
            )
            continue
        low, high = limits.get(index, (x[index] - reach * std, x[index] + reach * std))
        low, high = max(min(low, x[index]), c.lower), min(max(high, x[index]), c.upper)
        quantities[c.name] = Quantity(
            c.natural(float(x[index])),
            std * float(slopes[index]),
            (c.natural(float(low)), c.natural(float(high))),
            level,
            c.unit,
        )
    return quantities, covariance * np.outer(slopes, slopes), open_names


def undetermined(
    estimator: str,
    coordinates: Coordinates,
    reason: str,
    level: float,
    assumptions: tuple[str, ...],
    facts: Mapping[str, Any],
) -> Estimate:
    """The prior where there is one, else the whole range, with the reason."""
    reach = float(norm.ppf(0.5 + 0.5 * level))
    quantities, stds = {}, []
    for c in coordinates.all:
        low, high = c.lower, c.upper
        std = _whole(c) / math.sqrt(12.0)
        if math.isfinite(c.spread):
            low, high = (
                max(low, c.centre - reach * c.spread),
                min(high, c.centre + reach * c.spread),
            )
            std = c.prior.std if c.prior is not None else std
        middle = min(max(c.centre, low), high)
        interval = (c.natural(low), c.natural(high))
        quantities[c.name] = Quantity(c.natural(middle), std, interval, level, c.unit)
        stds.append(std)
    first = coordinates.all[0]
    facts = dict(facts)
    shots = int(facts.pop("shots", 0))
    return Estimate(
        estimator=estimator,
        shots=shots,
        quantities=quantities,
        names=coordinates.names,
        covariance=np.diag(np.square(stds)),
        goodness_of_fit=None,
        diagnostics={"flags": [f"not determined: {reason}"], "converged": False, **facts},
        assumptions=assumptions,
        identifiable=(first.natural(first.lower), first.natural(first.upper)),
    )


def common_flags(
    optimum: Optimum, check: GoodnessOfFit | None, open_names: Sequence[str]
) -> list[str]:
    """Warnings that every fit shares."""
    flags = [
        f"{name} is not determined by these data: its interval is its whole range"
        for name in open_names
    ]
    if not optimum.converged:
        flags.append("the fit did not converge")
    if check is not None and check.p_value < POOR_FIT:
        flags.append(
            f"the model does not describe the counts (p = {check.p_value:.1e}); the intervals "
            "cannot be relied on"
        )
    return flags


def check_level(level: float) -> None:
    """Refuse a confidence level that is not a probability."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"Argument `level` must lie in (0, 1), but is {level!r}.")


def _covariance(coordinates: Coordinates, optimum: Optimum) -> Array:
    """Of all coordinates; what ran to a bound that only limits the search is not known there."""
    free = optimum.free.copy()
    for index, c in enumerate(coordinates.all):
        resting = c.linear and optimum.point.x[index] <= c.lower
        free[index] |= c.prior is None and not resting
    return inverse_on(optimum.point.information, free)


def _whole(c: Coordinate) -> float:
    return c.natural(c.upper) - c.natural(c.lower)


def _one_sided(optimum: Optimum, index: int) -> float:
    """Std of a coordinate that rests on its bound, from its own curvature."""
    curvature = float(optimum.point.information[index, index])
    return 1.0 / math.sqrt(curvature) if curvature > 0.0 else 0.0
