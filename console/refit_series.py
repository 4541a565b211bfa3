"""What the figure of a refit shows: series of data with errors, and what the fit says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_MOST_PLACES = 60
_MOST_BLOCKS = 25
_SHARED = 3.0  # degrees of freedom that the scatter of all places lends to each


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Points of one kind.

    Attributes:
        x, y, error: (points,) data with the standard deviation of each point.
        fit: (points,) what the fit says there; None: nothing.
        curve: (x, y) of the fit on a finer grid; None: the points are joined.
        label: in the legend; "" where there is one series.
        joined: whether a line between the fitted points means something.
        residual: (points,) in standard deviations, where (y - fit)/error is not the right one.
    """

    x: Array
    y: Array
    error: Array
    fit: Array | None = None
    curve: tuple[Array, Array] | None = None
    label: str = ""
    joined: bool = True
    residual: Array | None = None

    def deviations(self) -> Array:
        """Residuals in standard deviations, from the mean where there is no fit."""
        if self.residual is not None:
            return self.residual
        smooth = self.y.mean() if self.fit is None else self.fit
        off: Array = (self.y - smooth) / safe_errors(self.error)
        return off


@dataclass(frozen=True, slots=True)
class Panel:
    """Series of one figure, with the labels of its axes."""

    series: Sequence[Series]
    xlabel: str
    ylabel: str


def safe_errors(errors: Array) -> Array:
    """Errors of points whose scatter is nothing by chance are those of the others."""
    typical = float(np.median(errors[errors > 0.0])) if np.any(errors > 0.0) else 1.0
    found: Array = np.where(errors > 0.1 * typical, errors, typical)
    return found


def by_place(
    x: Array, y: Array, fit: Array | None = None, label: str = "", *, joined: bool = True
) -> Series:
    """Means at each place, or in 60 bins where places are many, with the errors of the means."""
    places, group = np.unique(x, return_inverse=True)
    if places.size > _MOST_PLACES:
        edges = np.linspace(places[0], places[-1], _MOST_PLACES + 1)
        group = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, _MOST_PLACES - 1)
        group = np.unique(group, return_inverse=True)[1]
        places = np.bincount(group, x) / np.bincount(group)
    means, errors = _means(group, y, fit)
    smooth = None if fit is None else np.bincount(group, fit) / np.bincount(group)
    return Series(places, means, errors, smooth, label=label, joined=joined)


def along_the_run(values: Array, fit: float, label: str = "") -> Series:
    """Means of blocks of shots in the order they were taken, against one number."""
    blocks = int(np.clip(values.size // 4, 1, _MOST_BLOCKS))
    group = (np.arange(values.size) * blocks) // max(values.size, 1)
    means, errors = _means(group, values, None)
    shot = np.bincount(group, np.arange(values.size)) / np.bincount(group)
    return Series(shot, means, errors, np.full(means.size, fit), label=label)


def histogram(values: Array, label: str = "") -> Series:
    """Shots in bins a third of a standard deviation wide, and the Gaussian of the same variance."""
    mean, std = float(values.mean()), float(values.std(ddof=1)) or 1.0
    edges = mean + std * np.linspace(-4.0, 4.0, 25)
    number = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].astype(np.float64)
    middle = 0.5 * (edges[1:] + edges[:-1])
    expected = _gauss(middle, mean, std) * values.size * (edges[1] - edges[0])
    fine = np.linspace(edges[0], edges[-1], 200)
    curve = _gauss(fine, mean, std) * values.size * (edges[1] - edges[0])
    error = np.sqrt(np.maximum(expected, 1.0))
    return Series(middle, number, error, expected, (fine, curve), label)


def variance_error(variance: Array, number: Array) -> Array:
    """Standard deviation of a sample variance of Gaussian shots."""
    found: Array = variance * np.sqrt(2.0 / np.maximum(number - 1.0, 1.0))
    return found


def _means(group: NDArray[np.intp], y: Array, fit: Array | None) -> tuple[Array, Array]:
    """Mean of each group and its error, from the scatter within it.

    In small groups the scatter of all counts for as much as four shots; without two shots anywhere
    it is that about the fit.
    """
    number = np.bincount(group).astype(np.float64)
    means = np.bincount(group, y) / number
    squares, free = np.bincount(group, (y - means[group]) ** 2), number - 1.0
    if free.sum() > 0.0:
        pooled = squares.sum() / free.sum()
    else:
        pooled = float(np.mean((y - (y.mean() if fit is None else fit)) ** 2))
    variance = (squares + _SHARED * pooled) / (free + _SHARED)
    return means, np.sqrt(variance / number)


def _gauss(x: Array, mean: float, std: float) -> Array:
    found: Array = np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2.0 * np.pi))
    return found
