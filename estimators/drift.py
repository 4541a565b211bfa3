"""A quantity that wanders: random-walk filter with the diffusion estimated, and steps found.

    x_k = x_{k-1} + sqrt(q (t_k - t_{k-1})) N(0, 1),   value_k = x_k + std_k N(0, 1).

For every diffusion q of a list the Kalman filter is exact and its evidence known; the answer
is the mixture of all of them. A step shows in the innovations of the filter, or in the
residuals of data that should be constant, by the largest excursion of their sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import kolmogorov, ndtr, ndtri
from scipy.stats import chi2

from .estimate import Estimate, GoodnessOfFit, Quantity
from .records import RecordError, good_shots, read_column, refuse_unknown

Array = NDArray[np.float64]

_DIFFUSIONS = 25
_FEWEST = 20  # innovations before a check is made
_LEAST_STEP_P = 1e-4


class DriftFilter:
    """Value of a drifting quantity now, from measurements with known errors.

    Args:
        diffusion: q, variance per unit of time, when it is known; else its (low, high), flat
            in ln q in between.
        start: (mean, std) of the quantity before the first measurement.
        unit: of the quantity.

    Raises:
        ValueError: on values outside these rules.
    """

    def __init__(
        self,
        diffusion: float | tuple[float, float],
        start: tuple[float, float],
        unit: str = "",
    ) -> None:
        if isinstance(diffusion, tuple):
            low, high = diffusion
            if not 0.0 < low < high < math.inf:
                raise ValueError(
                    f"Argument `diffusion` must rise and be above zero, but is {diffusion!r}."
                )
            self._q: Array = np.geomspace(low, high, _DIFFUSIONS)
        else:
            if not (math.isfinite(diffusion) and diffusion >= 0.0):
                raise ValueError(
                    f"Argument `diffusion` must not be negative, but is {diffusion!r}."
                )
            self._q = np.array([diffusion], dtype=np.float64)
        if not (math.isfinite(start[0]) and 0.0 < start[1] < math.inf):
            raise ValueError(
                f"Argument `start` must be a finite mean and a std above 0, but is {start!r}."
            )
        self._mean = np.full(self._q.size, float(start[0]))
        self._variance = np.full(self._q.size, float(start[1]) ** 2)
        self._evidence = np.zeros(self._q.size)
        self._start, self._unit = start, unit
        self._time: float | None = None
        self._innovations: list[float] = []
        self._times: list[float] = []

    @property
    def measurements(self) -> int:
        """Measurements used so far."""
        return len(self._innovations)

    @property
    def diffusions(self) -> Array:
        """(k,) diffusions whose filters run side by side; one where it is known."""
        return self._q.copy()

    @property
    def innovations(self) -> Array:
        """Standardised one-step predictions' errors; independent N(0, 1) while the model holds."""
        return np.array(self._innovations)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in measurements in the order of time.

        Args:
            records: "time" (shots,) not falling, "value" (shots,), "std" (shots,) above zero;
                "status" (shots,), optional.

        Raises:
            RecordError: on missing columns, wrong shapes, or a time that falls; nothing of
                the block is kept.
        """
        refuse_unknown(records, ("time", "value", "std"))
        shots = np.shape(records.get("value", ()))
        total = shots[0] if len(shots) == 1 else 0
        good = good_shots(records, total)
        time, value, std = (
            read_column(records, name, (total,), good, lowest=least)
            for name, least in (("time", -np.inf), ("value", -np.inf), ("std", 1e-300))
        )
        before = self._time if self._time is not None else -math.inf
        if time.size and np.any(np.diff(np.concatenate([[before], time])) < 0.0):
            raise RecordError(
                "Column `time` must not fall, within a block and from block to block; sort the "
                "measurements first."
            )
        self._filter(time, value, std)

    def _filter(self, time: Array, value: Array, std: Array) -> None:
        """Kalman steps of every diffusion; what the check needs is worked out for all at once."""
        if not time.size:
            return
        before = float(time[0]) if self._time is None else self._time
        grown = np.outer(np.diff(np.concatenate([[before], time])), self._q)
        misses, totals = np.empty_like(grown), np.empty_like(grown)
        mean, variance = self._mean, self._variance
        squares = std * std
        for k in range(time.size):
            predicted = variance + grown[k]
            totals[k] = predicted + squares[k]
            misses[k] = value[k] - mean
            share = predicted / totals[k]
            mean = mean + share * misses[k]
            variance = predicted - share * predicted
        gained = -0.5 * (misses * misses / totals + np.log(totals))
        evidence = np.cumsum(np.vstack([self._evidence, gained]), axis=0)
        weights = np.exp(evidence[:-1] - evidence[:-1].max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        # the mixture's own distribution function: exactly uniform while the model holds
        below = np.einsum("kq,kq->k", weights, ndtr(misses / np.sqrt(totals)))
        self._innovations.extend(ndtri(np.clip(below, 1e-16, 1.0 - 1e-16)).tolist())
        self._times.extend(time.tolist())
        self._mean, self._variance, self._evidence = mean, variance, evidence[-1]
        self._time = float(time[-1])

    def estimate(self, level: float = 0.95) -> Estimate:
        """The quantity at the last measurement, and the diffusion."""
        weights = self._weights()
        mean = float(weights @ self._mean)
        variance = float(weights @ (self._variance + (self._mean - mean) ** 2))
        low, high = (self._quantile(weights, p) for p in _tails(level))
        std = math.sqrt(variance)
        quantities = {"value": Quantity(mean, std, (low, high), level, self._unit)}
        flags = []
        if self._q.size > 1:
            quantities["diffusion"], note = self._diffusion(weights, level)
            flags.extend(note)
        check = None
        diagnostics: dict[str, object] = {"interval": "posterior, equal tails"}
        if self.measurements >= _FEWEST:
            square = float(np.sum(self.innovations**2))
            p_value = 2.0 * min(
                float(chi2.sf(square, self.measurements)),
                float(chi2.cdf(square, self.measurements)),
            )
            check = GoodnessOfFit(
                square, min(p_value, 1.0), self.measurements, "chi-square of the innovations"
            )
            step = find_step(self.innovations)
            diagnostics["step_p_value"] = step.p_value
            diagnostics["step_time"] = self._times[step.index]
            if step.p_value < _LEAST_STEP_P:
                flags.append(
                    f"a step or trend about time {self._times[step.index]:.6g} "
                    f"(p = {step.p_value:.1e}): not a random walk"
                )
            if check.p_value < 1e-4:
                flags.append(
                    f"the errors given do not describe the scatter (p = {check.p_value:.1e})"
                )
        elif not self.measurements:
            flags.append("no measurements: the interval is that of the prior")
        elif self.measurements == 1:
            flags.append("one measurement: nothing checks the errors given")
        return Estimate(
            estimator="drift",
            shots=self.measurements,
            quantities=quantities,
            names=("value",),
            covariance=np.array([[variance]]),
            goodness_of_fit=check,
            diagnostics={"flags": flags, **diagnostics},
            assumptions=(
                "random walk with independent Gaussian steps",
                "measurement errors Gaussian, independent, of the standard deviations given",
                f"before the first measurement {self._start[0]:g} +- {self._start[1]:g}",
            ),
            identifiable=(-math.inf, math.inf),
        )

    def _weights(self) -> Array:
        weights = np.exp(self._evidence - self._evidence.max())
        normalised: Array = weights / weights.sum()
        return normalised

    def _quantile(self, weights: Array, probability: float) -> float:
        """Of the mixture of normal distributions, by bisection."""
        spread = np.sqrt(self._variance)
        low = float((self._mean - 12.0 * spread).min())
        high = float((self._mean + 12.0 * spread).max())
        for _ in range(80):
            middle = 0.5 * (low + high)
            if float(weights @ ndtr((middle - self._mean) / spread)) < probability:
                low = middle
            else:
                high = middle
        return 0.5 * (low + high)

    def _diffusion(self, weights: Array, level: float) -> tuple[Quantity, list[str]]:
        logs = np.log(self._q)
        mean = float(weights @ logs)
        std = math.sqrt(max(float(weights @ (logs - mean) ** 2), 0.0))
        half = 0.5 * float(logs[1] - logs[0])
        edges = np.append(logs - half, logs[-1] + half)
        summed = np.concatenate([[0.0], np.cumsum(weights)])
        low, high = (math.exp(float(np.interp(p, summed, edges))) for p in _tails(level))
        value = math.exp(mean)
        unit = f"{self._unit}^2/time" if self._unit else "1/time"
        note = []
        if max(float(weights[0]), float(weights[-1])) > 0.5 * (1.0 - level):
            note.append("the diffusion is not determined within its range")
        quantity = Quantity(value, value * std, (min(low, value), max(high, value)), level, unit)
        return quantity, note


@dataclass(frozen=True, slots=True)
class Step:
    """Where a series changes most.

    Attributes:
        index: first point after the change.
        statistic: largest excursion of the tied-down sum, in standard deviations.
        p_value: chance of such an excursion without a change; a little too large for short series.
    """

    index: int
    statistic: float
    p_value: float


def find_step(series: ArrayLike, std: float = 1.0) -> Step:
    """The largest excursion of the sum of a series about its mean (Kolmogorov's distribution).

    Args:
        series: independent values of standard deviation `std`.

    Raises:
        ValueError: on fewer than two values, or ones that are not finite.
    """
    values = np.asarray(series, dtype=np.float64)
    if values.ndim != 1 or values.size < 2 or not np.all(np.isfinite(values)):
        raise ValueError(
            f"Argument `series` must hold at least 2 finite values, but has shape {values.shape}."
        )
    if not std > 0.0:
        raise ValueError(f"Argument `std` must be above zero, but is {std!r}.")
    bridge = np.abs(np.cumsum(values - values.mean()))[:-1] / (std * math.sqrt(values.size))
    place = int(np.argmax(bridge))
    statistic = float(bridge[place])
    return Step(place + 1, statistic, float(kolmogorov(statistic)))


@dataclass(frozen=True, slots=True)
class SteadyBound:
    """Least variance of a filter that has run long, and the memory it has, in measurements."""

    std: float
    memory: float = field(compare=False)


def drift_bounds(diffusion: float, interval: float, std: float) -> SteadyBound:
    """Kalman bound of a random walk measured every `interval` with errors `std`."""
    grown = diffusion * interval
    predicted = 0.5 * (grown + math.sqrt(grown * grown + 4.0 * grown * std * std))
    gain = predicted / (predicted + std * std)
    return SteadyBound(std * math.sqrt(gain), 1.0 / gain)


def _tails(level: float) -> tuple[float, float]:
    if not 0.0 < level < 1.0:
        raise ValueError(f"Argument `level` must lie in (0, 1), but is {level!r}.")
    return 0.5 * (1.0 - level), 0.5 * (1.0 + level)
