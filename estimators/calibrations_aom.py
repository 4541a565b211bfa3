r"""Light behind an acousto-optic modulator against its radio-frequency power.

y(P) = A sin^2[(pi/2) sqrt(P/P_sat)] + b + noise,      noise Gaussian, its width free or known
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
from .estimate import Estimate

Array = NDArray[np.float64]

_COLUMNS = (Column("power", 0.0),)
_GRID = 200
_NAME = "AOM transmission"


class AomCalibration:
    """Amplitude, saturation power and background of an AOM.

    Args:
        reading_std: standard deviation of a reading, or None: free.
        saturation_range: (low, high) of P_sat, W.

    Raises:
        ValueError: on a range that is empty or a width that is not positive.
    """

    def __init__(
        self,
        saturation_range: tuple[float, float] = (0.01, 100.0),
        reading_std: float | None = None,
    ) -> None:
        low, high = saturation_range
        if not 0.0 < low < high < math.inf:
            raise ValueError(
                f"Argument `saturation_range` must be 0 < low < high, but is {saturation_range!r}."
            )
        if reading_std is not None and not reading_std > 0.0:
            raise ValueError(f"Argument `reading_std` must be positive, but is {reading_std!r}.")
        self.saturation_range, self.reading_std = saturation_range, reading_std
        self._readings = Readings("reading", _COLUMNS)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: reading (V, or any unit), power (W), status."""
        self._readings.add(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """saturation_power (W), amplitude, background (units of the reading), reading_std.

        With fewer than five powers nothing is determined, and a flag says so.

        Raises:
            RecordError: on no good reading.
        """
        groups = self._readings.groups()
        curve = AomCurve(
            groups.settings["power"], self.saturation_range, self.reading_std, _span(groups)
        )
        missing = self._readings.missing(groups, 5)
        if missing:
            rejected = self._readings.rejected
            return undetermined(_NAME, curve.parameters, groups, level, missing, rejected=rejected)
        fitted = fit(curve, "gaussian", groups, _starts(curve, groups))
        flags = []
        if groups.settings["power"].max() < 0.3 * float(fitted.theta[0]):
            flags.append("powers stay below .3 of saturation: P_sat rests on little curvature")
        return result(
            _NAME,
            fitted,
            level,
            variance_parameters=0 if self.reading_std else 1,
            rejected=self._readings.rejected,
            flags=flags,
            assumptions=("Gaussian noise of one width at every power; sin^2 law",),
        )


@dataclass(frozen=True, slots=True, eq=False)
class AomCurve:
    """Readings as a function of P_sat, A, b[, width]."""

    power: Array
    saturation_range: tuple[float, float]
    reading_std: float | None
    span: float

    @property
    def parameters(self) -> Sequence[Parameter]:
        rows = [
            Parameter("saturation_power", "W", *self.saturation_range),
            Parameter("amplitude", "reading", 0.0, 1e3 * self.span),
            Parameter("background", "reading", -10.0 * self.span, 10.0 * self.span),
        ]
        if self.reading_std is None:
            rows.append(Parameter("reading_std", "reading", 1e-9 * self.span, self.span))
        return rows

    def evaluate(self, theta: Array) -> Prediction:
        """Means, and the variance of a reading."""
        saturation, amplitude, background = theta[:3]
        angle = 0.5 * math.pi * np.sqrt(self.power / saturation)
        square = np.sin(angle) ** 2
        slopes = [
            -0.5 * amplitude * np.sin(2.0 * angle) * angle / saturation,
            square,
            np.ones_like(square),
        ]
        if self.reading_std is None:
            slopes.append(np.zeros_like(square))
        d_variance = np.zeros((len(slopes), square.size))
        width = theta[3] if self.reading_std is None else self.reading_std
        if self.reading_std is None:
            d_variance[3] = 2.0 * width
        variance = np.full(square.size, float(width) ** 2)
        mean: Array = amplitude * square + background
        return Prediction(mean, np.stack(slopes), variance, d_variance)


def aom_bounds(truth: Sequence[float], power: Array, reading_std: float) -> Array:
    """Covariance bound of (P_sat, A, b) for one reading of the given width at each power."""
    empty = np.zeros(power.size)
    curve = AomCurve(power, (1e-6, 1e6), reading_std, float(truth[1]))
    groups = Groups({}, np.ones(power.size), empty, empty)
    return bound_of(curve, "gaussian", groups, np.asarray(truth, dtype=np.float64))


def _span(groups: Groups) -> float:
    return float(np.ptp(groups.mean)) or max(float(np.abs(groups.mean).max()), 1e-12)


def _starts(curve: AomCurve, groups: Groups) -> list[Array]:
    low, high = curve.saturation_range
    losses = []
    for saturation in np.geomspace(low, high, _GRID):
        square = np.sin(0.5 * math.pi * np.sqrt(curve.power / saturation)) ** 2
        losses.append((*_line(square, groups), saturation))
    # Every dip of the loss is a start: beyond saturation the law is periodic.
    loss = np.array([row[0] for row in losses])
    edge = np.r_[np.inf, loss, np.inf]
    dips = np.flatnonzero((loss <= edge[:-2]) & (loss <= edge[2:]))
    starts = []
    for place in dips[np.argsort(loss[dips])[:4]]:
        left, amplitude, background, saturation = losses[place]
        width = [] if curve.reading_std else [math.sqrt(left / groups.shots) + 1e-6 * curve.span]
        starts.append(np.array([saturation, amplitude, background, *width]))
    return starts


def _line(column: Array, groups: Groups) -> tuple[float, float, float]:
    """Least squares of y = A column + b: loss with the scatter within settings, A >= 0, b."""
    number, total = groups.number, groups.number.sum()
    mean, level = float(column @ number) / total, float(groups.total.sum()) / total
    off = column - mean
    power = max(float((off * off) @ number), 1e-300)
    amplitude = max(float(off @ (groups.total - number * level)) / power, 0.0)
    residual = groups.mean - level - amplitude * off
    loss = float((residual**2) @ number) + float(groups.scatter.sum())
    return loss, amplitude, level - amplitude * mean
