r"""Means and covariances of the counts in the bins of a sweep, and the fit to mean counts.

    mean_k = a (A_k + d_k) + b d_k,   Cov(y_k, y_l) = delta_kl mean_k + a^2 Cov(A_k, A_l),

A_k = int x dt over bin k of length d_k. The covariance follows by propagating x p(t_k)
through the same equations as p. The fit weighs mean counts with the inverse of this
covariance: its errors are right whatever the shape of the counts' distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..models.pumped_superradiance_modes import apply_x, couplings
from .pumping_chain import ChainValues, Motion, Ramp, Space, space_of, stationary
from .pumping_posterior import Coordinates
from .scoring import Optimum, Point, maximise

Array = NDArray[np.float64]

_MOST_BINS = 32  # of a ramp, for the fit to means
_STEP = 0.05  # of 1/gamma
_SCALED_STEP = 0.2  # of s
_ROUNDS = 2  # renewals of the covariance


@dataclass(frozen=True, slots=True, eq=False)
class BinnedRamp:
    """Mean counts of one ramp in merged bins.

    Attributes:
        ramp: where it comes from.
        edges: (bins + 1,) fractions of the sweep.
        means: (bins,) counts averaged over sweeps.
        sweeps: how many.
    """

    ramp: Ramp
    edges: Array
    means: Array
    sweeps: int

    @property
    def durations(self) -> Array:
        """(bins,) lengths of the merged bins."""
        lengths: Array = np.diff(self.edges) * self.ramp.duration
        return lengths


@dataclass(frozen=True, slots=True, eq=False)
class AreaMoments:
    """Of A_k = int x dt: means, slopes by (ln u_c, ln gamma), covariance (None: not asked)."""

    areas: Array
    slopes: Array
    covariance: Array | None


def merged(ramp: Ramp) -> BinnedRamp:
    """Neighbouring bins added up, to at most 32."""
    size = math.ceil(ramp.bins / _MOST_BINS)
    starts = np.arange(0, ramp.bins, size)
    means = np.add.reduceat(ramp.counts.mean(axis=0), starts)
    edges = np.append(starts, ramp.bins) / ramp.bins
    return BinnedRamp(ramp, edges, means, ramp.sweeps)


def area_moments(
    atoms: int,
    ramp: BinnedRamp,
    values: ChainValues,
    *,
    covariance: bool,
    steps_for: ChainValues | None = None,
) -> AreaMoments:
    """Moments of int x dt over the bins of a ramp begun in its steady state.

    Args:
        atoms: N.
        ramp: the merged bins.
        values: u_c and gamma; a and b do not matter.
        covariance: whether it is wanted.
        steps_for: values whose steps are taken; the same ones throughout a fit keep the
            result smooth.
    """
    sweep, chosen = ramp.ramp, steps_for or values
    ends = [0.5 * atoms * (sweep.pump(f) / chosen.critical - 1.0) for f in (0.0, 1.0)]
    space = space_of(atoms, 1.2 * max(abs(ends[0]), abs(ends[1])))
    pace = max(chosen.decay / _STEP, abs(ends[1] - ends[0]) / sweep.duration / _SCALED_STEP)
    return _AreaSolver(space, atoms, ramp, values, pace).run(covariance)


class _AreaSolver:
    """March along the ramp; columns for the responses to x in each bin so far."""

    def __init__(
        self, space: Space, atoms: int, ramp: BinnedRamp, values: ChainValues, pace: float
    ) -> None:
        self._space, self._atoms, self._ramp, self._values = space, atoms, ramp, values
        self._motion = Motion(space, atoms)
        self._pace = pace
        self._b = couplings(1.0 / atoms, space.x.size)

    def run(self, covariance: bool) -> AreaMoments:
        """All bins."""
        ramp, values = self._ramp, self._values
        bins = ramp.durations.size
        areas, noise = np.zeros((bins, 3)), np.zeros((bins, bins))
        ratio = math.log(max(ramp.ramp.start, 1e-300) / values.critical)
        first, slope = stationary(self._space, self._atoms, ratio)
        nodes = np.stack([first, np.zeros_like(first), slope], axis=1)
        basis = self._space.basis
        state = (nodes if basis is None else basis @ nodes)[:, :, None]
        past = np.zeros((len(state), 1, 0))
        for k in range(bins):
            past = np.concatenate([past, np.zeros((len(state), 1, 1))], axis=2)
            length = float(ramp.durations[k])
            steps = self._steps(length)
            h = length / steps
            middle, pitch = ramp.edges[k], (ramp.edges[k + 1] - ramp.edges[k]) / steps
            moments = [self._first_moment(state[:, :, 0])]
            held = [self._first_moment(past[:, 0])]
            source = self._source(state)
            for j in range(steps):
                pump = ramp.ramp.pump(middle + (j + 0.5) * pitch)
                state = self._motion.step(state, values, pump, h)
                moments.append(self._first_moment(state[:, :, 0]))
                if covariance:
                    past[:, 0, k] += 0.5 * h * source
                    past = self._motion.step(past, values, pump, h)
                    source = self._source(state)
                    past[:, 0, k] += 0.5 * h * source
                    held.append(self._first_moment(past[:, 0]))
            areas[k] = h * _simpson(np.array(moments))
            if covariance:
                noise[k, : k + 1] = h * _trapezoid(np.array(held))
        if not covariance:
            return AreaMoments(areas[:, 0], areas[:, [2, 1]], None)
        below = np.tril(noise, -1)
        whole = below + below.T + np.diag(2.0 * np.diag(noise))
        return AreaMoments(areas[:, 0], areas[:, [2, 1]], whole)

    def _steps(self, length: float) -> int:
        """An even number of steps, short against 1/gamma and the transition."""
        return 2 * max(1, math.ceil(0.5 * length * self._pace))

    def _first_moment(self, state: Array) -> Array:
        """sum x p for each column of (levels, columns)."""
        if self._space.basis is None:
            moment: Array = self._space.x @ state
            return moment
        return np.asarray(self._b[1] * state[1], dtype=np.float64)

    def _source(self, state: Array) -> Array:
        """(x - <x>) p."""
        p = state[:, 0, 0]
        if self._space.basis is None:
            moved: Array = self._space.x * p
        else:
            moved = apply_x(self._b, p)
        centred: Array = moved - float(self._first_moment(state[:, :1, 0])[0]) * p
        return centred


class MeanFit:
    """Objective of the fit to mean counts, the covariance of the counts held fixed.

    Args:
        atoms: N.
        ramps: mean counts.
        coordinates: of ln u_c, ln gamma, ln a, b.
        precisions: inverse covariance of the counts of one sweep, for each ramp.
        steps_for: values whose time steps are taken.
    """

    def __init__(
        self,
        atoms: int,
        ramps: Sequence[BinnedRamp],
        coordinates: Coordinates,
        precisions: Sequence[Array],
        steps_for: ChainValues,
    ) -> None:
        self._steps_for = steps_for
        self._atoms, self._ramps, self._coordinates = atoms, ramps, coordinates
        self._precisions = precisions
        self.lower, self.upper = coordinates.lower, coordinates.upper

    def evaluate(self, x: Array) -> Point:
        """Minus half the chi-square plus log-prior."""
        value, gradient, information = 0.0, np.zeros(4), np.zeros((4, 4))
        for ramp, precision in zip(self._ramps, self._precisions, strict=True):
            mean, slopes, _ = expected_counts(
                self._atoms, ramp, values_at(x), covariance=False, steps_for=self._steps_for
            )
            weighed = precision * ramp.sweeps
            off = ramp.means - mean
            value -= 0.5 * float(off @ weighed @ off)
            gradient += slopes.T @ (weighed @ off)
            information += slopes.T @ weighed @ slopes
        return self._coordinates.with_prior(x, value, gradient, information)


def expected_counts(
    atoms: int,
    ramp: BinnedRamp,
    values: ChainValues,
    *,
    covariance: bool,
    steps_for: ChainValues | None = None,
) -> tuple[Array, Array, Array]:
    """Mean counts, slopes (bins, 4) by ln u_c, ln gamma, ln a and b, covariance of one sweep."""
    moments = area_moments(atoms, ramp, values, covariance=covariance, steps_for=steps_for)
    a, b, lengths = values.half_rate, values.background, ramp.durations
    from_atoms = a * (moments.areas + lengths)
    mean = np.maximum(from_atoms + b * lengths, 1e-9)
    slopes = np.column_stack([a * moments.slopes, from_atoms, lengths])
    noise = np.diag(mean)
    if moments.covariance is not None:
        noise = noise + a * a * moments.covariance
    return mean, slopes, noise


def fit_means(
    atoms: int, ramps: Sequence[BinnedRamp], coordinates: Coordinates, start: Array
) -> Optimum:
    """Generalised least squares with the covariance of the fitted model."""
    x = np.clip(start, coordinates.lower, coordinates.upper)
    optimum = None
    for _ in range(_ROUNDS):
        noises = [expected_counts(atoms, r, values_at(x), covariance=True)[2] for r in ramps]
        precisions = [np.asarray(np.linalg.inv(noise), dtype=np.float64) for noise in noises]
        objective = MeanFit(atoms, ramps, coordinates, precisions, values_at(x))
        optimum = maximise(objective, x, iterations=30)
        x = optimum.point.x
    if optimum is None:
        raise ArithmeticError("The fit to mean counts made no round.")
    return optimum


def values_at(x: Array) -> ChainValues:
    """u_c, gamma, a, b at coordinates (ln u_c, ln gamma, ln a, b)."""
    return ChainValues(math.exp(x[0]), math.exp(x[1]), math.exp(x[2]), max(float(x[3]), 0.0))


def _simpson(values: Array) -> Array:
    """Sum over equal steps of length 1, an even number of them."""
    total: Array = (
        values[0] + values[-1] + 4.0 * values[1:-1:2].sum(axis=0) + 2.0 * values[2:-1:2].sum(axis=0)
    ) / 3.0
    return total


def _trapezoid(values: Array) -> Array:
    total: Array = values.sum(axis=0) - 0.5 * (values[0] + values[-1])
    return total
