"""Posterior of one or two parameters on a grid, fed by looking up outcomes in a table.

The table holds ln P(outcome | parameters) with the points of the grid contiguous for each
outcome (shot-major), so that a block of shots costs one pass over the rows that occurred.
What is kept is the histogram of outcomes, a sufficient statistic: no answer depends on how
the shots were divided into blocks, or on their order. The engine knows no physics.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

LARGEST_BYTES = 2**28
_FINE = 2001  # points of a refined one-parameter posterior
_WIDE = 8.0  # standard deviations about the mean that are refined
_FLOOR = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """One parameter: its name, unit, and rising points.

    Raises:
        ValueError: with fewer than four points, or points that do not rise.
    """

    name: str
    points: Array = field(repr=False)
    unit: str = ""

    def __post_init__(self) -> None:
        points = np.array(self.points, dtype=np.float64)
        if points.ndim != 1 or points.size < 4 or not np.all(np.diff(points) > 0.0):
            raise ValueError(
                f"Axis `{self.name}` must have at least 4 points that rise, "
                f"but has shape {points.shape}."
            )
        points.setflags(write=False)
        object.__setattr__(self, "points", points)


class OutcomeTable:
    """ln P(outcome | point of the grid).

    Args:
        probabilities: (outcomes, points), each column a distribution over the outcomes.
        outliers: share of every distribution that is spread evenly over the outcomes: what
            the model calls impossible must not decide alone.

    Raises:
        ValueError: when a column does not sum to 1, or the table would not fit the memory.
    """

    def __init__(self, probabilities: Array, outliers: float = 0.0) -> None:
        table = np.asarray(probabilities, dtype=np.float64)
        check_size(table.shape)
        sums = table.sum(axis=0)
        if table.ndim != 2 or np.any(table < -1e-9) or np.any(np.abs(sums - 1.0) > 1e-6):
            raise ValueError(
                "Argument `probabilities` must be (outcomes, points) with columns that sum to 1, "
                f"but has shape {table.shape} and sums from {sums.min():.6g} to {sums.max():.6g}."
            )
        mixed = (1.0 - outliers) * np.maximum(table, 0.0) + outliers / len(table)
        self.logs: Array = np.ascontiguousarray(np.log(np.maximum(mixed, _FLOOR)))

    @property
    def outcomes(self) -> int:
        """Number of outcomes."""
        return len(self.logs)

    def histogram(self, outcomes: Whole) -> Whole:
        """How often each outcome occurs."""
        return np.bincount(outcomes, minlength=self.outcomes).astype(np.int64)

    def log_likelihood(self, histogram: Whole) -> Array:
        """(points,) summed ln P of all shots in a histogram."""
        seen = np.flatnonzero(histogram)
        total: Array = histogram[seen].astype(np.float64) @ self.logs[seen]
        return total


class GridPosterior:
    """Log-prior plus log-likelihoods on the product of one or two axes.

    Args:
        axes: one or two.
        log_prior: (points of the axes) in any normalisation; flat without it.
    """

    def __init__(self, axes: Sequence[Axis], log_prior: Array | None = None) -> None:
        if not 1 <= len(axes) <= 2:
            raise ValueError(
                f"A grid holds one or two parameters, but got {len(axes)}; "
                "use `ParticlePosterior` for more."
            )
        self.axes = tuple(axes)
        shape = tuple(axis.points.size for axis in self.axes)
        prior = np.zeros(shape) if log_prior is None else np.asarray(log_prior, dtype=np.float64)
        if prior.shape != shape:
            raise ValueError(
                f"Argument `log_prior` must have shape {shape}, but has shape {prior.shape}."
            )
        self._log = prior.copy()

    def absorb(self, log_likelihood: Array) -> None:
        """Add summed log-likelihoods, given on the grid or flattened."""
        self._log += np.asarray(log_likelihood, dtype=np.float64).reshape(self._log.shape)

    @property
    def log_weights(self) -> Array:
        """ln of the posterior, largest value 0."""
        logs: Array = self._log - self._log.max()
        return logs

    @property
    def weights(self) -> Array:
        """Probability of every point; the points are taken as cells of equal size."""
        weights = np.exp(self.log_weights)
        normalised: Array = weights / weights.sum()
        return normalised

    def marginal(self, axis: int = 0) -> Array:
        """Probability of the points of one axis."""
        weights = self.weights
        summed: Array = weights if weights.ndim == 1 else weights.sum(axis=1 - axis)
        return summed

    def mean(self) -> Array:
        """(axes,) posterior means."""
        return np.array([self.refined(k).mean for k in range(len(self.axes))])

    def covariance(self) -> Array:
        """(axes, axes) posterior covariance; the diagonal from the refined marginals."""
        marginals = [self.refined(k) for k in range(len(self.axes))]
        matrix = np.diag([marginal.std**2 for marginal in marginals])
        if len(self.axes) == 2:
            x, y = (axis.points for axis in self.axes)
            weights = self.weights
            off = np.outer(x - weights.sum(1) @ x, y - weights.sum(0) @ y)
            spread = [math.sqrt(float(self.marginal(k) @ self._centred(k) ** 2)) for k in (0, 1)]
            if min(spread) > 0.0:
                correlation = float((weights * off).sum()) / (spread[0] * spread[1])
                matrix[0, 1] = matrix[1, 0] = correlation * math.sqrt(matrix[0, 0] * matrix[1, 1])
        return matrix

    def refined(self, axis: int = 0) -> Marginal:
        """The marginal of one axis, interpolated where the grid is coarse beside its width."""
        points = self.axes[axis].points
        weights = self.marginal(axis)
        logs = np.log(np.maximum(weights, _FLOOR))
        mean = float(weights @ points)
        step = float(np.diff(points).max())
        width = math.sqrt(float(weights @ (points - mean) ** 2)) + step
        low, high = max(points[0], mean - _WIDE * width), min(points[-1], mean + _WIDE * width)
        fine = low + (high - low) * (np.arange(_FINE) + 0.5) / _FINE
        # the logarithm is smooth where the posterior is a narrow peak between two points
        fine_logs = np.asarray(CubicSpline(points, np.maximum(logs, logs.max() - 600.0))(fine))
        density = np.exp(fine_logs - fine_logs.max())
        return Marginal(fine, density / density.sum(), (float(points[0]), float(points[-1])))

    def _centred(self, axis: int) -> Array:
        points = self.axes[axis].points
        centred: Array = points - float(self.marginal(axis) @ points)
        return centred


@dataclass(frozen=True, slots=True, eq=False)
class Marginal:
    """A one-parameter posterior on equal cells: centres, their probabilities, the prior's range."""

    points: Array
    weights: Array
    limits: tuple[float, float]

    @property
    def mean(self) -> float:
        """Posterior mean."""
        return float(self.weights @ self.points)

    @property
    def std(self) -> float:
        """Posterior standard deviation."""
        return math.sqrt(max(float(self.weights @ (self.points - self.mean) ** 2), 0.0))

    def quantile(self, probability: float) -> float:
        """Point below which a probability lies, linear inside a cell."""
        half = 0.5 * float(self.points[1] - self.points[0])
        edges = np.append(self.points - half, self.points[-1] + half)
        summed = np.concatenate([[0.0], np.cumsum(self.weights)])
        return float(np.interp(probability, summed, edges))

    def interval(self, level: float) -> tuple[float, float]:
        """Shortest interval with the wanted probability."""
        lower = np.linspace(0.0, 1.0 - level, 201)
        half = 0.5 * float(self.points[1] - self.points[0])
        edges = np.append(self.points - half, self.points[-1] + half)
        summed = np.concatenate([[0.0], np.cumsum(self.weights)])
        lows, highs = (np.interp(lower + shift, summed, edges) for shift in (0.0, level))
        best = int(np.argmin(highs - lows))
        return (
            max(float(lows[best]), self.limits[0]),
            min(float(highs[best]), self.limits[1]),
        )


def check_size(shape: Sequence[int]) -> None:
    """Refuse a table beyond the memory cap, and say what would do.

    Raises:
        ValueError: naming the size.
    """
    size = 8 * math.prod(shape)
    if size > LARGEST_BYTES:
        raise ValueError(
            f"A table of {' x '.join(str(n) for n in shape)} numbers needs {size / 2**20:.0f} MiB, "
            f"more than the {LARGEST_BYTES // 2**20} MiB allowed; fewer points or wider bins of "
            "counts would do, or a Gaussian ring for large ensembles."
        )
