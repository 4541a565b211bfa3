"""Relaxation of two ensembles on a window of states that moves with their density matrix.

All atoms down is one state; the drive carries it through the coupled states |J, m> as a
small cloud, which spreads, falls to small J and ends in the steady state. Only states
inside a window around the cloud are propagated, one range of m for each J: for two turns
of the drive the window is as wide as the cloud can reach within the next step, later it
holds what had weight during the last turn. A step that lets weight reach the
edge is done again with a wider one. See `relaxation_kernel` for the compiled loops.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .relaxation_generator import Array, Generator, Matrix, spectral_ellipse
from .relaxation_propagator import Ellipse, Step

_NEGLIGIBLE = 1e-13
_REACH_AT_FIRST = 30.0  # length of a step in units of 1/(imaginary semi-axis), while it spreads
_REACH = 200.0
_TRACE_ERROR = 1e-10  # of a step without loss over the edge
_TRIES = 12
_SPEED = 2.0  # at most, of a cloud, in units of its hopping element
_NEARLY_ALL = 0.76  # part of the states from which on a step takes them all
_SPREADING = 2.0  # turns of the drive during which the cloud may still grow
_SHRINK = 0.95  # the window is changed when at most this part of it remains

Indices = NDArray[np.int64]
Unsigned = NDArray[np.uint64]


def kernel() -> ModuleType | None:
    """The compiled loops, or None where numba is not installed."""
    try:
        return import_module(".relaxation_kernel", __package__)
    except ImportError:
        return None


@dataclass(frozen=True, slots=True)
class Window:
    """Ranges of m, one for each J = 0 … 2S; empty where lowest > highest."""

    lowest: Array
    highest: Array

    def widened(self, in_m: float, in_j: int) -> Window:
        """The window of everything that steps of `in_m` and `in_j` reach."""
        size = self.lowest.size
        lowest, highest = np.full(size, np.inf), np.full(size, -np.inf)
        for step in range(-min(in_j, size - 1), min(in_j, size - 1) + 1):
            to = slice(max(step, 0), size + min(step, 0))
            of = slice(max(-step, 0), size + min(-step, 0))
            np.minimum(lowest[to], self.lowest[of], out=lowest[to])
            np.maximum(highest[to], self.highest[of], out=highest[to])
        j = np.arange(size)
        return Window(np.maximum(lowest - in_m, -j), np.minimum(highest + in_m, j))

    def joined(self, other: Window) -> Window:
        """The smallest window around both."""
        return Window(
            np.minimum(self.lowest, other.lowest), np.maximum(self.highest, other.highest)
        )

    def states(self, system: Generator) -> Indices:
        """Positions of the states inside."""
        j, m = system.total, system.projection
        return np.flatnonzero((m >= self.lowest[j]) & (m <= self.highest[j]))

    def edge(self, system: Generator) -> Indices:
        """Positions of the states inside that have a neighbour outside."""
        size = self.lowest.size
        j, m = system.total, system.projection
        low = np.concatenate([[-np.inf], self.lowest, [-np.inf]])
        high = np.concatenate([[np.inf], self.highest, [np.inf]])
        open_edge = ((m == self.lowest[j]) & (m > -j)) | ((m == self.highest[j]) & (m < j))
        inner = (np.abs(m) < j) & ((m < low[j]) | (m > high[j]))
        outer = (j < size - 1) & ((m < low[j + 2]) | (m > high[j + 2]))
        inside = (m >= self.lowest[j]) & (m <= self.highest[j])
        return np.flatnonzero(inside & (open_edge | inner | outer))


def window_around(system: Generator, weights: Array, discard: float) -> Window:
    """The window that holds all but `discard` of the weight of each state."""
    size = int(system.total[-1]) + 1
    order = np.argsort(weights)
    held = np.ones(system.size, dtype=bool)
    held[order[np.cumsum(np.maximum(weights[order], 0.0)) <= discard]] = False
    j, m = system.total[held], system.projection[held]
    lowest, highest = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(lowest, j, m)
    np.maximum.at(highest, j, m)
    return Window(lowest, highest)


@dataclass(frozen=True, slots=True)
class Tables:
    """A generator as `relaxation_kernel` wants it, without the scale."""

    blocks: Unsigned
    couplings: Array
    neighbours: Unsigned
    places: Unsigned
    values: Array


def tables(system: Generator) -> Tables:
    """Blocks, couplings and expectation values of a generator without exchange."""
    n, j, m = system.size, system.total, system.projection
    position = np.arange(1, n + 1)
    _, first = np.unique(j, return_index=True)
    start = np.append(first, n) + 1
    table = np.zeros((int(j[-1]) + 2, 2 * int(np.abs(m).max()) + 1), dtype=np.int64)
    table[j, m] = position  # negative m counts from the end
    outer = table[j + 1, m]
    inner = np.where(j > 0, table[j - 1, m], 0)
    couplings = np.zeros((5, n + 2))
    couplings[0, 1:-1] = -0.5 * system.decay
    couplings[1, 2:-1] = system.drift.diagonal(-1)
    couplings[1, start[1:-1]] = 0.0
    has_outer = np.flatnonzero(outer)
    rate = np.asarray(system.drift[outer[has_outer] - 1, has_outer]).ravel()
    couplings[2, outer[has_outer]] = rate
    couplings[3, has_outer + 1] = rate
    couplings[4, 1:-1] = system.jump
    neighbours = np.zeros((2, n + 2), dtype=np.int64)
    neighbours[0, 1:-1], neighbours[1, 1:-1] = inner, outer
    blocks = np.zeros((2, start.size), dtype=np.int64)
    blocks[0] = start
    has_inner = np.flatnonzero(inner)
    of = np.searchsorted(start, has_inner + 1, side="right") - 1
    blocks[1, of] = has_inner + 1 - inner[has_inner]
    places, values = _expectations(system)
    return Tables(blocks.astype(np.uint64), couplings, neighbours.astype(np.uint64), places, values)


def _expectations(system: Generator) -> tuple[Unsigned, Array]:
    """The seven of `Generator.expectations` as elements of the lower half."""
    rows, columns, values = system.observables
    n = system.size
    dark = np.flatnonzero(system.target)
    one, other = (part.ravel() for part in np.meshgrid(dark, dark, indexing="ij"))
    every = np.arange(n)
    left = np.concatenate([every, columns, one]) + 1
    right = np.concatenate([every, rows, other]) + 1
    weights = np.zeros((left.size, 7))
    weights[:n, 0] = 1.0
    weights[:n, 5] = system.projection
    weights[n : n + rows.size, 1:5] = np.real(values).T
    weights[n + rows.size :, 6] = system.target[one] * system.target[other]
    # an element and its mirror image are one
    code, entry = np.unique(
        np.maximum(left, right) * (n + 2) + np.minimum(left, right), return_inverse=True
    )
    summed = np.zeros((code.size, 7))
    np.add.at(summed, entry, weights)
    return code.astype(np.uint64), summed


def propagate_half(
    loops: ModuleType, table: Tables, start: Matrix, ellipse: Ellipse, duration: float
) -> tuple[Matrix, Array]:
    """As `relaxation_propagator.propagate`, on the lower half in its frame of zeros."""
    weights = ellipse.coefficients(np.array([duration]))[0]
    weights = np.append(weights, np.zeros(1 - weights.size % 2))  # one, then pairs
    scale = 2.0 / (ellipse.real + ellipse.imaginary)
    back = (ellipse.real - ellipse.imaginary) / (ellipse.real + ellipse.imaginary)
    couplings = scale * table.couplings
    couplings[4] = math.sqrt(scale) * table.couplings[4]
    width = start.shape[0]
    now, before = start.ravel().copy(), np.zeros(start.size)
    total: Matrix = weights[0] * start.ravel()
    work = np.empty(width)
    measured = np.empty((weights.size, 7))
    loops.expect(now, table.places, table.values, measured[0])
    for k in range(1, weights.size, 2):
        backs = (back, (2.0 if k == 1 else 1.0) * back)
        loops.advance_twice(
            now,
            before,
            total,
            table.blocks,
            couplings,
            table.neighbours,
            scale * ellipse.real,
            backs,
            (weights[k], weights[k + 1]),
            work,
        )
        loops.expect(before, table.places, table.values, measured[k])
        loops.expect(now, table.places, table.values, measured[k + 1])
    loops.mirror(total, table.blocks, width)
    return total.reshape(start.shape), measured


def _tight_ellipse(system: Generator) -> Ellipse:
    """Closer than `spectral_ellipse`, for loops that notice when the trace runs away."""
    found = spectral_ellipse(system)
    fastest = float(np.max(system.decay, initial=0.0))
    return Ellipse(0.8 * found.real, found.imaginary - 0.1 * fastest)


class _Cloud:
    """The density matrix on its window, and what chooses the next window."""

    def __init__(self, loops: ModuleType, whole: Generator, discard: float) -> None:
        parameters = whole.parameters
        self._loops, self._whole, self._discard = loops, whole, discard
        self._turn = (
            2.0
            * math.pi
            / math.hypot(parameters.rabi_frequency, 0.5 * parameters.detuning_difference)
        )
        in_m = float(np.abs(whole.drift.diagonal(-1)).max(initial=0.0))
        elements = abs(sp.tril(whole.drift, -2)).tocoo().data
        in_j = float(elements.max(initial=0.0))
        self._speeds = (_SPEED * in_m, _SPEED * in_j)
        self._first_duration = _REACH_AT_FIRST / _tight_ellipse(whole).imaginary
        self._margins = {True: 2, False: 1}  # while the cloud spreads, and later
        down = whole.all_down()
        self._recent: list[tuple[float, Array]] = [(0.0, down)]
        self.now = 0.0
        self._window: Window
        self._states: Indices
        self._rho: Matrix
        self._table: Tables
        self._ellipse: Ellipse
        self._enter(window_around(whole, down, 0.0) if discard > 0.0 else self._everything())

    def step(self, stop: float) -> Step:
        """Advance by one step, in a wider window when weight arrives at the edge."""
        for _ in range(_TRIES):
            self._follow()
            longest = _REACH / self._ellipse.imaginary
            if self._spreading and self._states.size < self._whole.size:
                longest = self._first_duration
            duration = min(longest, stop - self.now) or longest  # whole when only t = 0 is asked
            after, measured = propagate_half(
                self._loops, self._table, self._rho, self._ellipse, duration
            )
            weights = np.zeros(self._whole.size)
            weights[self._states] = np.diagonal(after)[1:-1]
            leaked = float(weights[self._window.edge(self._whole)].sum())
            lost = float(np.trace(self._rho) - weights.sum())
            if not abs(lost) < _TRACE_ERROR + 10.0 * leaked + 0.1 * self._discard:
                self._ellipse = self._ellipse.enlarged(1.1)
            elif leaked > 10.0 * self._discard > 0.0:
                self._margins[self._spreading] *= 2
            else:
                return self._arrive(duration, after, weights, measured)
        raise ArithmeticError(
            f"The propagation of {self._whole.parameters} lost its trace; "
            "choose a smaller `discard`."
        )

    def _arrive(self, duration: float, rho: Matrix, weights: Array, measured: Array) -> Step:
        done = Step(self.now, duration, self._ellipse, measured)
        self.now += duration
        self._rho = rho
        self._recent.append((self.now, weights))
        while len(self._recent) > 1 and self._recent[1][0] <= self.now - self._turn:
            self._recent.pop(0)
        return done

    @property
    def _spreading(self) -> bool:
        return self.now < _SPREADING * self._turn

    def _everything(self) -> Window:
        j = np.arange(self._whole.total[-1] + 1.0)
        return Window(-j, j)

    def _enter(self, window: Window) -> None:
        """Take up a window, with what the one before holds of it."""
        states = window.states(self._whole)
        moved = np.zeros((states.size + 2, states.size + 2))
        if self.now == 0.0:
            down = self._whole.all_down()[states]
            moved[1:-1, 1:-1] = np.multiply.outer(down, down)
        else:
            _, of, to = np.intersect1d(
                self._states, states, assume_unique=True, return_indices=True
            )
            moved[np.ix_(to + 1, to + 1)] = self._rho[np.ix_(of + 1, of + 1)]
        self._window, self._states, self._rho = window, states, moved
        system = self._whole.restricted(states)
        self._table, self._ellipse = tables(system), _tight_ellipse(system)

    def _follow(self) -> None:
        """Change the window where the cloud needs another, or much less of it."""
        if self._discard == 0.0:
            return
        wanted = self._wanted()
        held = self._states.size
        inside = wanted.joined(self._window).states(self._whole).size == held
        if not inside or wanted.states(self._whole).size <= _SHRINK * held:
            self._enter(wanted)

    def _wanted(self) -> Window:
        margin = self._margins[self._spreading]
        if not self._spreading:
            recent = np.max([weights for _, weights in self._recent], axis=0)
            return window_around(self._whole, recent, self._discard).widened(margin, margin)
        around = window_around(self._whole, self._recent[-1][1], self._discard)
        in_m, in_j = (math.ceil(speed * self._first_duration) + margin for speed in self._speeds)
        moving = around.widened(in_m, in_j)
        # Short steps ask for more terms than a window of nearly all states saves.
        nearly_all = moving.states(self._whole).size > _NEARLY_ALL * self._whole.size
        return self._everything() if nearly_all else moving


def window_steps(
    loops: ModuleType, whole: Generator, discard: float, stop: float
) -> Iterator[Step]:
    """Propagate all atoms down step by step inside a moving window.

    Args:
        loops: the compiled loops, from `kernel`.
        whole: the generator on all states, without exchange.
        discard: weight that each window may leave outside; 0 keeps all states.
        stop: time up to which steps are wanted.

    Raises:
        ArithmeticError: when the propagation loses the trace (not seen in practice).
    """
    cloud = _Cloud(loops, whole, discard)
    while cloud.now == 0.0 or cloud.now < stop:
        yield cloud.step(stop)
