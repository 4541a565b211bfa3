"""Exponential of a dissipative generator by Faber polynomials on an ellipse.

The spectrum of L lies left of the imaginary axis, so it fits in an ellipse through 0 with
semi-axes a along the real and b along the imaginary direction, centred at -a. With

    z(u) = -a + (a+b)/2 u + (a-b)/2 / u,        |u| = 1 on the ellipse,

exp(t L) = sum_k c_k(t) F_k(L), and c_k(t) are the Fourier coefficients of exp(t z(u)).
The F_k obey a three-term recursion, so one step may be longer than that of a Runge-Kutta
method by the number of terms, each term then reaching about twice as far; and because
the F_k do not know t, every expectation value inside the step costs only scalars.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

Array = NDArray[np.float64]
Matrix = NDArray[Any]

_NEGLIGIBLE = 1e-13


@dataclass(frozen=True, slots=True)
class Ellipse:
    """Semi-axes of the ellipse that holds the spectrum, in the unit of the rates."""

    real: float
    imaginary: float

    def enlarged(self, factor: float) -> Ellipse:
        """The same ellipse with both semi-axes `factor` times as long."""
        return Ellipse(factor * self.real, factor * self.imaginary)

    def coefficients(self, times: Array) -> Array:
        """c_k(t) as (times, terms); the terms left out are below 1e-13."""
        longest = float(np.max(times))
        reach = longest * self.imaginary + 9.0 * math.sqrt(longest * self.real) + 40.0
        points = 1 << math.ceil(math.log2(2.5 * reach))
        angle = 2.0 * math.pi * np.arange(points) / points
        z = self.real * (np.cos(angle) - 1.0) + 1j * self.imaginary * np.sin(angle)
        values = np.fft.fft(np.exp(times[:, None] * z), axis=1)[:, : points // 2].real / points
        used = np.flatnonzero(np.abs(values).max(axis=0) > _NEGLIGIBLE)
        coefficients: Array = values[:, : used[-1] + 1]
        return coefficients


def propagate(
    recursion: Callable[[float, float], Callable[[Matrix, Matrix, float], None]],
    start: Matrix,
    ellipse: Ellipse,
    duration: float,
    measure: Callable[[Matrix], Array] | None = None,
) -> tuple[Matrix, Array]:
    """exp(duration * L) start, and `measure` of every F_k(L) start.

    Args:
        recursion: of (scale, shift), returns a function (now, before, back) that does
            before <- scale (L + shift) now - back * before in place.
        start: array to start from; left as it is.
        ellipse: holds the spectrum of L. When it does not, the result grows without bound.
        duration: length of the step.
        measure: linear expectation values of an array, or None.

    Returns:
        The array after the step, and the values (terms, …) that `dense_output` turns into
        expectation values at any time up to `duration`.
    """
    weights = ellipse.coefficients(np.array([duration]))[0]
    scale = 2.0 / (ellipse.real + ellipse.imaginary)
    back = (ellipse.real - ellipse.imaginary) / (ellipse.real + ellipse.imaginary)
    advance = recursion(scale, ellipse.real)
    now, before, work = start.copy(), np.zeros_like(start), np.empty_like(start)
    total: Matrix = weights[0] * start
    measured = [] if measure is None else [measure(now)]
    for k in range(1, weights.size):
        advance(now, before, (2.0 if k == 2 else 1.0) * back)
        before, now = now, before
        if abs(weights[k]) > _NEGLIGIBLE:
            np.multiply(now, weights[k], out=work)
            total += work
        if measure is not None:
            measured.append(measure(now))
    return total, np.array(measured)


def dense_output(ellipse: Ellipse, times: Array, measured: Array) -> Array:
    """Expectation values (times, values) inside a step made by `propagate`."""
    coefficients = ellipse.coefficients(np.asarray(times, dtype=np.float64))
    terms = min(coefficients.shape[1], measured.shape[0])
    values: Array = coefficients[:, :terms] @ measured[:terms]
    return values


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a relaxation: where it starts, how long it is, what `propagate` measured.

    The first of the seven values is the trace, the last the fidelity, not yet divided by it.
    """

    start: float
    duration: float
    ellipse: Ellipse
    measured: Array

    def at(self, times: Array) -> Array:
        """Expectations (times, 7), not yet divided by the trace."""
        return dense_output(self.ellipse, np.maximum(times - self.start, 0.0), self.measured)

    def fidelity(self, time: float) -> float:
        """F at one time."""
        row = self.at(np.array([time]))[0]
        return float(row[6] / row[0])


def rising_times(times: Sequence[float] | Array) -> Array:
    """Times as an array; ValueError unless they start at 0 or later and never fall."""
    wanted = np.atleast_1d(np.asarray(times, dtype=np.float64))
    if (
        wanted.ndim != 1
        or wanted.size == 0
        or not np.all(np.isfinite(wanted))
        or wanted[0] < 0.0
        or np.any(np.diff(wanted) < 0.0)
    ):
        raise ValueError(f"Argument `times` must rise from 0 or later, but is {times!r}.")
    return wanted


def crossing(excess: Callable[[float], float], start: float, end: float) -> float:
    """The time in [start, end] at which a falling `excess` reaches 0; start when it is there."""
    if excess(start) <= 0.0:
        return start
    root: Any = brentq(excess, start, end, xtol=1e-9 * end)
    return float(root)
