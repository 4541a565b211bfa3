r"""Time elements for linear equations with a tridiagonal matrix that is linear in a ramp.

dy/dt = [P + s(t) Q] y + source,   s(t) = start + rate t,

is solved by Radau IIA collocation with eight stages (order 15 at the ends, 8 within) in
elements of adapted length. The stages of all unknowns make one banded system, solved
directly: stiffness costs nothing, and slow ramps take long elements, so the number of
elements follows the shape of the solution and not the duration.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray
from scipy.linalg import get_lapack_funcs

Array = NDArray[np.float64]

STAGES = 8
_SHORTEST = 1e-12
_GROWTH = 3.0
_FACTOR: Any = get_lapack_funcs("gbtrf", dtype="float64")
_SOLVE: Any = get_lapack_funcs("gbtrs", dtype="float64")


@dataclass(frozen=True, slots=True)
class TridiagonalRamp:
    """P + s Q; each is (3, n): rows [i, i-1], [i, i] and [i, i+1] of the matrix.

    Entries that would lie outside the matrix are ignored.
    """

    constant: Array = field(repr=False)
    slope: Array = field(repr=False)

    @property
    def size(self) -> int:
        """n, the number of unknowns."""
        return int(self.constant.shape[1])

    def at(self, s: float) -> Array:
        """The three rows at one s."""
        return self.constant + s * self.slope


@dataclass(frozen=True, slots=True)
class Element:
    """The solution on one element: a polynomial in time for every unknown.

    Attributes:
        start: time at which it begins.
        length: its duration.
        values: (n, 9, columns) at the times start + length * NODES (0 first, 1 last).
    """

    start: float
    length: float
    values: Array = field(repr=False)

    @property
    def end(self) -> Array:
        """(n, columns) at the end."""
        last: Array = self.values[:, -1]
        return last


@dataclass(frozen=True, slots=True)
class Tableau:
    """Nodes (0 and the eight Radau points) and what follows from them, on [0, 1].

    Attributes:
        nodes: (9,) times.
        derivative: (8, 9), slopes at the Radau points from values at all nodes.
        weights: (9,) integration weights, exact for polynomials of degree 8.
        to_legendre: (9, 9) from values to Legendre coefficients.
    """

    nodes: Array
    derivative: Array
    weights: Array
    to_legendre: Array

    def interpolate(self, values: Array, fractions: Array) -> Array:
        """Values along the last axis (9) at fractions of the element."""
        return values @ (self.to_legendre.T @ legendre.legvander(2.0 * fractions - 1.0, STAGES).T)


@lru_cache(maxsize=1)
def tableau() -> Tableau:
    """The constants of the method."""
    radau = np.zeros(STAGES + 1)
    radau[STAGES], radau[STAGES - 1] = 1.0, -1.0
    points = np.sort(legendre.legroots(radau).real)
    for _ in range(3):
        points -= legendre.legval(points, radau) / legendre.legval(points, legendre.legder(radau))
    points[-1] = 1.0
    nodes = np.concatenate(([0.0], 0.5 * (1.0 + points)))
    differences = nodes[:, None] - nodes[None, :] + np.eye(STAGES + 1)
    barycentric = 1.0 / differences.prod(axis=1)
    derivative = barycentric[None, :] / barycentric[:, None] / differences
    np.fill_diagonal(derivative, 0.0)
    np.fill_diagonal(derivative, -derivative.sum(axis=1))
    to_legendre: Array = np.linalg.inv(legendre.legvander(2.0 * nodes - 1.0, STAGES)).astype(
        np.float64
    )
    return Tableau(nodes, derivative[1:], to_legendre[0], to_legendre)


class ElementSolver:
    """Solves single elements of one ramp; the factors are shared by all right-hand sides."""

    def __init__(self, ramp: TridiagonalRamp) -> None:
        self._ramp = ramp
        rule = tableau()
        n, k = ramp.size, STAGES
        # LAPACK's band storage: entry (row, column) lies in line 2k + row - column; the
        # unknown of component l at stage i is number l k + i.
        self._template = np.zeros((3 * k + 1, n, k))
        for i in range(k):
            for j in range(k):
                self._template[2 * k + i - j, :, j] = rule.derivative[i, j + 1]

    def solve(
        self, state: Array, start: float, rate: float, length: float, source: Array | None = None
    ) -> Array:
        """Values at the nine nodes of one element, (n, 9, columns).

        Args:
            state: (n, columns) at the beginning.
            start: s at the beginning.
            rate: ds/dt.
            length: duration of the element.
            source: (n, 8, columns) at the Radau points, if any.
        """
        return Factors(self, start, rate, length).solve(state, source)

    def bands(self, start: float, rate: float, length: float) -> Array:
        """The banded matrix of one element."""
        k = STAGES
        s = start + rate * length * tableau().nodes[1:]
        matrix = self._template.copy()
        lines = self._ramp.constant[:, :, None] + self._ramp.slope[:, :, None] * s
        lines *= length
        matrix[2 * k] -= lines[1]
        matrix[3 * k, :-1] -= lines[0, 1:]
        matrix[k, 1:] -= lines[2, :-1]
        return matrix.reshape(3 * k + 1, -1)


class Factors:
    """One element's matrix, factored."""

    def __init__(self, solver: ElementSolver, start: float, rate: float, length: float) -> None:
        self._length = length
        bands = solver.bands(start, rate, length)
        self._lu, self._pivots, info = _FACTOR(bands, STAGES, STAGES, overwrite_ab=1)
        if info != 0:
            raise ArithmeticError(f"The element of length {length!r} at s = {start!r} is singular.")

    def solve(self, state: Array, source: Array | None = None) -> Array:
        """Values at the nine nodes from the state at the beginning, (n, 9, columns)."""
        n, columns = state.shape
        right = -tableau().derivative[:, 0][None, :, None] * state[:, None, :]
        if source is not None:
            right = right + self._length * source
        flat, _ = _SOLVE(self._lu, STAGES, STAGES, right.reshape(n * STAGES, columns), self._pivots)
        values = np.empty((n, STAGES + 1, columns))
        values[:, 0] = state
        values[:, 1:] = flat.reshape(n, STAGES, columns)
        return values


def elements(
    ramp: TridiagonalRamp,
    state: Array,
    start: float,
    rate: float,
    duration: float,
    *,
    tolerance: float,
    first: float | None = None,
) -> Iterator[Element]:
    """March over a duration and yield one element after the other.

    Args:
        ramp: the matrix.
        state: (n,) at time 0.
        start: s at time 0.
        rate: ds/dt.
        duration: time to cover, above zero.
        tolerance: largest root of the sum of squares, over the unknowns, of the two last
            Legendre coefficients of an element.
        first: length of the first attempt; an eighth of the duration by default.
    """
    solver = ElementSolver(ramp)
    project = tableau().to_legendre[-2:].T
    time, length = 0.0, min(duration, first or 0.125 * duration)
    current = state[:, None]
    while time < duration:
        last = length >= duration - time
        length = duration - time if last else length
        values = solver.solve(current, start + rate * time, rate, length)
        tail = values[:, :, 0] @ project
        error = float(np.sqrt(np.sum(tail * tail)))
        scale = 0.85 * (tolerance / max(error, 1e-300)) ** (1.0 / STAGES)
        if error > tolerance and length > _SHORTEST * duration:
            length *= min(0.9, max(0.1, scale))
            continue
        yield Element(time, length, values)
        current = values[:, -1]
        time = duration if last else time + length
        length *= min(_GROWTH, max(0.3, scale))
