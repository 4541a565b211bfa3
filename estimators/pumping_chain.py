r"""The hidden birth-death chain behind the counts of a sweep: filter, score and information.

    dp_n/dt = gamma (u/u_c) [...] + gamma [...],   y_k ~ Poisson(dt [a (1 + x) + b]), x = 2n/N - 1.

Motion and counting are split symmetrically: half a bin of motion, the counts of the bin,
half a bin. The motion over a bin is a rational function of the tridiagonal generator
(order 5, damped for fast modes). Derivatives by ln u_c, ln gamma, ln a and b ride along, and
their increments from bin to bin are martingale differences, whose products add up to the
information. Small ensembles are filtered level by level, large ones in Gram polynomials.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded
from scipy.special import gammaln

from ..models.pumped_superradiance_modes import mode_ramp, modes_needed, population_ramp
from ..models.pumped_superradiance_records import quadrature
from ..models.pumped_superradiance_stepping import TridiagonalRamp

Array = NDArray[np.float64]

_LEVELS = 300  # atoms up to which the levels themselves are filtered
_FLOOR = 1e-9  # counts; keeps the logarithm of an empty bin's mean finite
_EXPANDED = 2.0  # roots of k: fewer counts than these are beyond the expansion in k
_SEEN = 0.25  # counts^2: bins that are predicted with less variance are no test of the model
_LOWEST = -12.0  # ln(u/u_c) at the beginning of a sweep


@dataclass(frozen=True, slots=True, eq=False)
class Ramp:
    """Sweeps that share one ramp of the pump.

    Attributes:
        start, stop: the knob at the beginning and the end.
        duration: of the sweep.
        counts: (sweeps, bins).
    """

    start: float
    stop: float
    duration: float
    counts: Array

    @property
    def bins(self) -> int:
        """Bins of a sweep."""
        return int(self.counts.shape[1])

    @property
    def sweeps(self) -> int:
        """Sweeps in hand."""
        return int(self.counts.shape[0])

    def pump(self, fraction: float) -> float:
        """The knob at a fraction of the sweep."""
        return self.start + (self.stop - self.start) * fraction


@dataclass(frozen=True, slots=True)
class ChainValues:
    """u_c, gamma, a, b."""

    critical: float
    decay: float
    half_rate: float
    background: float


@dataclass(frozen=True, slots=True, eq=False)
class Surprise:
    """How far counts lie from what the filter predicted, z = (y - mean)/std given the past.

    Sums of z^2 - 1 and of z times the z before, in the thirds of the sweeps: their mean is
    zero under the model, bin for bin, whatever came before.

    Attributes:
        sums: (6,).
        noise: (6, 6) sums of products.
        slopes: (6, 4) sums of products with the score's steps, minus the derivatives by
            the parameters.
    """

    sums: Array
    noise: Array
    slopes: Array


@dataclass(frozen=True, slots=True, eq=False)
class Filtered:
    """Log-likelihood of each sweep, its score (sweeps, 4), and the information (4, 4).

    The order is ln u_c, ln gamma, ln a, b.
    """

    logs: Array
    scores: Array
    information: Array
    surprise: Surprise | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Where distributions live: generator P + s Q, x of the nodes, and the way to the nodes."""

    ramp: TridiagonalRamp
    x: Array
    sums: Array
    basis: Array | None
    uniform: Array


def space_of(atoms: int, largest_s: float, sharpness: float = 0.0) -> Space:
    """Levels for few atoms, Gram polynomials for many.

    Args:
        atoms: N.
        largest_s: largest |s| of the sweeps.
        sharpness: a/gamma; posteriors are (2 gamma/a)^(1/4) wide.
    """
    wanted = modes_needed(atoms, largest_s) + math.ceil(10.0 * sharpness**0.25)
    last = min(atoms, 32 * math.ceil(wanted / 32))
    if atoms <= _LEVELS and (sharpness > 0.0 or last == atoms):
        x = np.linspace(-1.0, 1.0, atoms + 1)
        ones = np.ones(atoms + 1)
        return Space(population_ramp(atoms), x, ones, None, ones / (atoms + 1.0))
    nodes, basis = quadrature(1.0 / atoms, last)
    return Space(mode_ramp(1.0 / atoms, last), nodes, basis[0], basis, basis[0])


def stationary(space: Space, atoms: int, log_ratio: float) -> tuple[Array, Array]:
    """Node amplitudes of p_n ~ e^{n X} and their derivative by ln u_c."""
    number = 0.5 * atoms * (1.0 + space.x)
    exponent = max(log_ratio, _LOWEST) * number
    state = space.uniform * np.exp(exponent - exponent.max())
    state /= float(space.sums @ state)
    mean = float(space.sums @ (number * state))
    return state, -(number - mean) * state


class Motion:
    """Steps of the master equation, compiled where numba is at hand."""

    def __init__(self, space: Space, atoms: int, *, use_numba: bool = True) -> None:
        self._ramp, self._atoms = space.ramp, atoms
        self._advance = _functions(use_numba)[0]

    def step(self, state: Array, values: ChainValues, pump: float, time: float) -> Array:
        """(levels, parts, columns) after `time` at the knob `pump`.

        Part 0 is a distribution, 1 and 2 (where present) its derivatives by ln gamma and
        ln u_c, the rest derivatives by what does not enter the motion.
        """
        ratio = pump / values.critical
        scale = values.decay * time
        a = scale * self._ramp.at(0.5 * self._atoms * (ratio - 1.0))
        by = (-0.5 * self._atoms * ratio * scale) * self._ramp.slope
        out = np.empty_like(state)
        self._advance(state, a[0], a[1], a[2], by[0], by[1], by[2], _REAL, _PAIR, out)
        return out


def filter_sweeps(
    space: Space,
    atoms: int,
    ramp: Ramp,
    values: ChainValues,
    *,
    use_numba: bool = True,
    with_surprise: bool = False,
) -> Filtered:
    """Run the filter over all sweeps of one ramp."""
    motion, weigh = Motion(space, atoms, use_numba=use_numba), _functions(use_numba)[1]
    bins, sweeps, bin_time = ramp.bins, ramp.sweeps, ramp.duration / ramp.bins
    distinct, rows = np.unique(ramp.counts, return_inverse=True)
    rows = np.ascontiguousarray(rows.reshape(ramp.counts.shape).T)
    weights, top, slopes = emission(space, atoms, distinct, values, bin_time)
    first, slope = stationary(space, atoms, _log_ratio(ramp.start, values.critical))
    state = np.zeros((space.x.size, 5, sweeps))
    state[:, 0], state[:, 2] = first[:, None], slope[:, None]
    state = _turn(space, state, to_nodes=False)
    state = motion.step(state, values, ramp.pump(0.25 / bins), 0.5 * bin_time)
    steps, totals = np.empty((5, sweeps)), np.zeros(sweeps)
    scores, information = np.zeros((4, sweeps)), np.zeros((4, 4))
    watch = _Watch(space, atoms, values, bin_time) if with_surprise else None
    for k in range(bins):
        state = _turn(space, state, to_nodes=True)
        if watch is not None:
            watch.predict(state[:, 0], ramp.counts[:, k])
        weigh(state, rows[k], weights, *slopes, space.sums, steps)
        if not np.all(steps[0] > 0.0):
            return Filtered(np.full(sweeps, -np.inf), scores.T, information)
        totals += np.log(steps[0]) + top[rows[k]]
        scores += steps[1:]
        information += steps[1:] @ steps[1:].T
        if watch is not None:
            watch.add(steps[1:], (3 * k) // bins)
        state = _turn(space, state, to_nodes=False)
        if k < bins - 1:
            state = motion.step(state, values, ramp.pump((k + 1.0) / bins), bin_time)
    order = [1, 0, 2, 3]  # parts begin with gamma, coordinates with u_c
    surprise = None if watch is None else watch.result(order)
    return Filtered(totals, scores[order].T, information[np.ix_(order, order)], surprise)


class _Watch:
    """Gathers `Surprise` while the filter runs."""

    def __init__(self, space: Space, atoms: int, values: ChainValues, bin_time: float) -> None:
        self._sums = space.sums
        self._mean = bin_time * (values.half_rate * (1.0 + space.x) + values.background)
        jumps = 2.0 * values.decay * np.maximum(1.0 - space.x**2 + 2.0 / atoms, 0.0)
        within = bin_time**3 / 12.0 * values.half_rate**2 * jumps  # see `emission`
        poisson = self._mean**2 + self._mean
        self._square = poisson - np.minimum(within, 0.5 * poisson)
        self._z: Array | None = None
        self._pair: Array = np.zeros((2, 0))
        self._total = Surprise(np.zeros(6), np.zeros((6, 6)), np.zeros((6, 4)))

    def predict(self, weights: Array, counts: Array) -> None:
        """From the distribution before the counts of a bin."""
        mean = (self._sums * self._mean) @ weights
        variance = np.maximum((self._sums * self._square) @ weights - mean**2, 1e-12)
        seen = variance > _SEEN  # one count among none is far from normal
        z = np.where(seen, (counts - mean) / np.sqrt(variance), 0.0)
        before = np.zeros_like(z) if self._z is None else self._z
        self._pair, self._z = np.stack([np.where(seen, z * z - 1.0, 0.0), z * before]), z

    def add(self, steps: Array, third: int) -> None:
        """With the score's steps of the bin."""
        at = slice(2 * third, 2 * third + 2)
        self._total.sums[at] += self._pair.sum(axis=1)
        self._total.noise[at, at] += self._pair @ self._pair.T
        self._total.slopes[at] += self._pair @ steps.T

    def result(self, order: list[int]) -> Surprise:
        """The sums, parameters in the order of the coordinates."""
        total = self._total
        return Surprise(total.sums, total.noise, total.slopes[:, order])


def emission(
    space: Space, atoms: int, counts: Array, values: ChainValues, bin_time: float
) -> tuple[Array, Array, tuple[Array, Array, Array]]:
    """Probabilities of counts given x at the middle of the bin, and slopes of their logarithm.

    x moves within the bin, so that its average spreads less about the past than its value
    at the middle. The correction of fourth order (Takahashi and Imada) takes that from
    Poisson's law P: ln P - k (P_y - 2 P_(y-1) + P_(y-2))/P_y, k = dt^3/24 times the rate of
    (change of the counting rate)^2 by jumps. It is an expansion in k/mean^2, which
    `_expansion_mean` keeps within its range where a bin has next to no counts.

    Returns:
        Probabilities over e^top (counts, nodes), top (counts,), and the slopes of their
        logarithms by ln gamma, ln a and b.
    """
    from_atoms = bin_time * values.half_rate * (1.0 + space.x)
    mean = np.maximum(from_atoms + bin_time * values.background, _FLOOR)
    y = counts[:, None]
    nu = 1.0 / atoms
    jumps = 2.0 * values.decay * (1.0 - space.x**2 + 2.0 * nu)
    k = bin_time**3 / 24.0 * values.half_rate**2 * np.maximum(jumps, 0.0)
    inside, by_inside, by_log_k = _expansion_mean(mean, k)
    bend = 1.0 - 2.0 * y / inside + y * (y - 1.0) / inside**2
    turn = -k * (2.0 * y / inside**2 - 2.0 * y * (y - 1.0) / inside**3)
    by_mean = y / mean - 1.0 + turn * by_inside
    logs = y * np.log(mean) - mean - gammaln(y + 1.0) - k * bend
    by_decay = -k * bend + turn * by_log_k
    top = logs.max(axis=1)
    by_rate = by_mean * from_atoms + 2.0 * by_decay
    return np.exp(logs - top[:, None]), top, (by_decay, by_rate, by_mean * bin_time)


def _expansion_mean(mean: Array, k: Array) -> tuple[Array, Array, Array]:
    """The mean that the correction sees, and its slopes by the mean and by ln k.

    It is the mean itself from 2 sqrt(k) on, and falls smoothly to sqrt(k) for none: otherwise
    a count where none is expected would be certain, and pull the background to zero.
    """
    edge = np.maximum(_EXPANDED * np.sqrt(k), _FLOOR)
    low = mean < edge
    share = np.where(low, mean / edge, 1.0)
    inside = np.where(low, 0.5 * edge * (1.0 + share**2), mean)
    return inside, share, 0.25 * edge * (1.0 - share**2)


def _turn(space: Space, state: Array, *, to_nodes: bool) -> Array:
    if space.basis is None:
        return state
    matrix = space.basis.T if to_nodes else space.basis
    turned: Array = (matrix @ state.reshape(len(state), -1)).reshape(state.shape)
    return turned


def _log_ratio(pump: float, critical: float) -> float:
    return math.log(max(pump, 1e-300)) - math.log(critical)


def advance(
    state: Array,
    sub: Array,
    diagonal: Array,
    sup: Array,
    by_sub: Array,
    by_diagonal: Array,
    by_sup: Array,
    real: Array,
    pair: Array,
    out: Array,
) -> None:
    """The compiled function of the same name, in numpy."""
    levels, parts, columns = state.shape
    out[:] = 0.0
    poles = ((real[0], real[1], 1.0), (complex(*pair[:2]), complex(*pair[2:]), 2.0))
    for pole, share, times in poles:
        bands = np.zeros((3, levels), dtype=type(pole))
        bands[0, 1:], bands[1], bands[2, :-1] = sup[:-1], diagonal - pole, sub[1:]
        passive = [0, *range(3, parts)]
        right = state[:, passive].reshape(levels, -1).astype(bands.dtype)
        found = np.empty((levels, parts, columns), dtype=bands.dtype)
        found[:, passive] = solve_banded((1, 1), bands, right).reshape(levels, -1, columns)
        if parts == 1:
            out += times * (share * found).real
            continue
        value = found[:, 0]
        moved = by_diagonal[:, None] * value
        moved[1:] += by_sub[1:, None] * value[:-1]
        moved[:-1] += by_sup[:-1, None] * value[1:]
        turned = np.stack([state[:, 1] - state[:, 0] - pole * value, state[:, 2] - moved], axis=1)
        found[:, 1:3] = solve_banded((1, 1), bands, turned.reshape(levels, -1)).reshape(
            levels, 2, columns
        )
        out += times * (share * found).real


def weigh(
    state: Array,
    counts: NDArray[np.intp],
    weights: Array,
    by_decay: Array,
    by_rate: Array,
    by_background: Array,
    sums: Array,
    steps: Array,
) -> None:
    """The compiled function of the same name, in numpy."""
    state *= weights[counts].T[:, None, :]
    state[:, 1] += state[:, 0] * by_decay[counts].T
    state[:, 3] += state[:, 0] * by_rate[counts].T
    state[:, 4] += state[:, 0] * by_background[counts].T
    steps[:] = np.tensordot(sums, state, axes=(0, 0))
    state /= steps[0]
    steps[1:] /= steps[0]
    state[:, 1:] -= state[:, :1] * steps[1:]


@functools.cache
def _functions(use_numba: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """advance and weigh, compiled where numba can be had."""
    if use_numba:
        try:
            from . import pumping_kernel
        except ImportError:
            return advance, weigh
        return pumping_kernel.advance, pumping_kernel.weigh
    return advance, weigh


def _partial_fractions() -> tuple[Array, Array]:
    """Poles and residues of the (2, 3) Pade approximant of e^z: the real pole, and one of two."""
    above = np.polynomial.Polynomial([1.0, 2.0 / 5.0, 1.0 / 20.0])
    below = np.polynomial.Polynomial([1.0, -3.0 / 5.0, 3.0 / 20.0, -1.0 / 60.0])
    roots = below.roots()
    residues = above(roots) / below.deriv()(roots)
    real, pair = int(np.argmin(np.abs(roots.imag))), int(np.argmax(roots.imag))
    return (
        np.array([roots[real].real, residues[real].real]),
        np.array([roots[pair].real, roots[pair].imag, residues[pair].real, residues[pair].imag]),
    )


_REAL, _PAIR = _partial_fractions()
