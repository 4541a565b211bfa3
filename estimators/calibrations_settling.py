r"""Settling after a step: when does it begin, how fast is it, where does it end.

y(t) = y_0 for t < t_0,     y_1 + (y_0 - y_1) e^{-(t - t_0)/tau} after      (Gaussian noise)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .calibrations_check import bound_of, result, undetermined
from .calibrations_fit import Groups, Parameter, Prediction, fit
from .calibrations_records import Column, Readings
from .estimate import Estimate, Quantity

Array = NDArray[np.float64]

_NAME = "settling"
_DELAYS, _CONSTANTS = 40, 24
_LONGEST = 1e6  # s: the end of the range of times while nothing is known of them


class SettlingCalibration:
    """Delay, time constant and levels of a step, and the time to settle.

    Args:
        tolerance: share of the step that is left when it counts as settled.
        reading_std: standard deviation of a reading, or None: free.

    Raises:
        ValueError: on a tolerance outside (0, 1) or a width that is not positive.
    """

    def __init__(self, tolerance: float = 1e-3, reading_std: float | None = None) -> None:
        if not 0.0 < tolerance < 1.0:
            raise ValueError(f"Argument `tolerance` must lie in (0, 1), but is {tolerance!r}.")
        if reading_std is not None and not reading_std > 0.0:
            raise ValueError(f"Argument `reading_std` must be positive, but is {reading_std!r}.")
        self.tolerance, self.reading_std = tolerance, reading_std
        self._readings = Readings("reading", (Column("time"),))

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: reading, time after the command (s), status."""
        self._readings.add(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """time_constant, delay (s), before, after (reading), settled_after (s).

        With fewer than six times nothing is determined, and a flag says so.

        Raises:
            RecordError: on no good reading.
        """
        groups = self._readings.groups()
        span = float(np.ptp(groups.mean)) or max(float(np.abs(groups.mean).max()), 1e-12)
        curve = StepCurve(groups.settings["time"], self.reading_std, span)
        weight, rejected = math.log(1.0 / self.tolerance), self._readings.rejected
        missing = self._readings.missing(groups, 6)
        if missing:
            any_time = [Parameter(name, "s", 0.0, _LONGEST) for name in ("time_constant", "delay")]
            rows = [*any_time, *curve.parameters[2:]]
            nothing = undetermined(_NAME, rows, groups, level, missing, rejected=rejected)
            return _with(nothing, "settled_after", nothing["delay"])
        fitted = fit(curve, "gaussian", groups, _starts(curve, groups))
        answer = result(
            _NAME,
            fitted,
            level,
            variance_parameters=0 if self.reading_std else 1,
            rejected=rejected,
            flags=_flags(fitted.theta, fitted.covariance),
            assumptions=("one exponential after a delay; noise of one width",),
        )
        tau, delay = fitted.theta[0], fitted.theta[1]
        turn = np.array([weight, 1.0])
        std = math.sqrt(max(float(turn @ fitted.covariance[:2, :2] @ turn), 0.0))
        ratio = (answer["time_constant"].interval[1] - tau) / max(
            float(answer["time_constant"].std), 1e-300
        )
        value = float(delay + weight * tau)
        settled = Quantity(value, std, (value - ratio * std, value + ratio * std), level, "s")
        return _with(answer, "settled_after", settled)


@dataclass(frozen=True, slots=True, eq=False)
class StepCurve:
    """Readings as a function of tau, t_0, y_0, y_1[, width]."""

    time: Array
    reading_std: float | None
    span: float

    @property
    def parameters(self) -> Sequence[Parameter]:
        first, last = float(self.time.min()), float(self.time.max())
        length, reach = last - first, 1e3 * self.span
        rows = [
            Parameter("time_constant", "s", 1e-4 * length, 10.0 * length),
            Parameter("delay", "s", first, last),
            Parameter("before", "reading", -reach, reach),
            Parameter("after", "reading", -reach, reach),
        ]
        if self.reading_std is None:
            rows.append(Parameter("reading_std", "reading", 1e-9 * self.span, self.span))
        return rows

    def evaluate(self, theta: Array) -> Prediction:
        """Means, and the variance of a reading."""
        tau, delay, before, after = theta[:4]
        late = np.maximum(self.time - delay, 0.0) / tau
        left = np.exp(-late)
        step = before - after
        begun = self.time > delay
        slopes = [
            step * left * late / tau,
            np.where(begun, step * left / tau, 0.0),
            left,
            1.0 - left,
        ]
        if self.reading_std is None:
            slopes.append(np.zeros_like(left))
        d_variance = np.zeros((len(slopes), left.size))
        width = theta[4] if self.reading_std is None else self.reading_std
        if self.reading_std is None:
            d_variance[4] = 2.0 * width
        variance = np.full(left.size, float(width) ** 2)
        mean: Array = after + step * left
        return Prediction(mean, np.stack(slopes), variance, d_variance)


def settling_bounds(truth: Sequence[float], time: Array, reading_std: float) -> Array:
    """Covariance bound of (tau, t_0, y_0, y_1) for one reading at each time."""
    curve = StepCurve(time, reading_std, abs(truth[3] - truth[2]))
    empty = np.zeros(time.size)
    groups = Groups({}, np.ones(time.size), empty, empty)
    return bound_of(curve, "gaussian", groups, np.asarray(truth, dtype=np.float64))


def _starts(curve: StepCurve, groups: Groups) -> list[Array]:
    time, number = curve.time, groups.number
    length = float(np.ptp(time))
    found = []
    for delay in np.linspace(time.min(), time.max() - 0.05 * length, _DELAYS):
        for tau in np.geomspace(3e-3, 2.0, _CONSTANTS) * length:
            left = np.exp(-np.maximum(time - delay, 0.0) / tau)
            design = np.stack([left, 1.0 - left])
            normal = (design * number) @ design.T + 1e-9 * np.eye(2)
            levels = np.linalg.solve(normal, design @ groups.total)
            residual = groups.mean - levels @ design
            found.append((float((residual**2) @ number), tau, delay, *levels))
    found.sort(key=lambda row: row[0])
    starts = []
    for row in found[:40:10]:
        loss = row[0] + float(groups.scatter.sum())
        width = [] if curve.reading_std else [math.sqrt(loss / groups.shots) + 1e-6 * curve.span]
        starts.append(np.array([*row[1:], *width]))
    return starts


def _flags(theta: Array, covariance: Array) -> list[str]:
    step = abs(float(theta[3] - theta[2]))
    error = math.sqrt(max(float(covariance[2, 2] + covariance[3, 3] - 2.0 * covariance[2, 3]), 0.0))
    return [] if step > 4.0 * error else ["no step above the noise: nothing is determined"]


def _with(answer: Estimate, name: str, quantity: Quantity) -> Estimate:
    import dataclasses

    return dataclasses.replace(answer, quantities={**answer.quantities, name: quantity})
