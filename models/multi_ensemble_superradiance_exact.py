"""Finite ensembles with any couplings: the master equation in local excitation ladders.

In the local frame of each ensemble (turned about x by theta_k) the product state |theta> has no
excitation. Ladders n = 0 … n_max with exact matrix elements describe the way to the dark state,
whatever N; with n_max = N_k they are complete. Shen et al., "Multi-ensemble superradiance for
distributed quantum sensing", Eqs. 1, 8, 10, 21. With |n> -> i^n |n> everything is real.

Where |eta_k| differ and the drive is on, the exact steady state is unique and remembers nothing
of the start: what the paper calls the steady state is a plateau, best read at 10 to 20/kappa_r.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import expm, solve_triangular
from scipy.sparse import csr_array, eye_array, kron

from ._checks import finite, positive, whole
from .multi_ensemble_superradiance import (
    CoupledEnsembles,
    balanced_drive,
    superradiance_curvature,
    time_grid,
)
from .multi_ensemble_superradiance_dark import dark_state
from .multi_ensemble_superradiance_sensing import squeezing_matrix_from_moments

Array = NDArray[np.float64]

_MOST_STATES = 1500
_COMPLETE_UP_TO = 300
_KRYLOV = 36
_WHOLE = 1e-6


@dataclass(frozen=True, slots=True)
class ExactMoments:
    """Moments of one state, spins in units of hbar; <S^x> = 0 throughout.

    Attributes:
        mean_spins: (M, 3), laboratory x, y, z.
        covariance_x: (M, M), Cov(S_x,k, S_x,l).
        squeezing_matrix: (M, M), by the lengths of the mean spins (Shen Eq. 21).
        smallest_eigenvalue: of the squeezing matrix.
        purity: Tr rho^2.
        photon_rate: Gamma <A^dag A>.
        leakage: largest population of a ladder's last level; zero where it is complete.
    """

    mean_spins: Array = field(repr=False)
    covariance_x: Array = field(repr=False)
    squeezing_matrix: Array = field(repr=False)
    smallest_eigenvalue: float
    purity: float
    photon_rate: float
    leakage: float


def evolve_exact(
    ensembles: CoupledEnsembles,
    theta: float,
    times: ArrayLike,
    drive: float | None = None,
    levels: Sequence[int] | None = None,
    leakage_limit: float = 1e-6,
) -> tuple[ExactMoments, ...]:
    """Follow the master equation from the product state |theta> (Shen Eqs. 1, 8).

    Args:
        ensembles: with whole atom numbers N p_k.
        theta: angle of the product state and of the local frames, radians.
        times: ascending times from 0 or later, in the inverse unit of the rates.
        drive: Omega; by default the one that balances the decay at theta.
        levels: ladder levels per ensemble, n_max + 1, at most N_k + 1. By default complete up
            to 300 states in all, beyond that about 16 + 15 times the expected excitations.
        leakage_limit: largest population of a ladder's last level that is accepted.

    Returns:
        One `ExactMoments` per time, to about 1e-10.

    Raises:
        ValueError: when an N p_k is not whole, the ladders hold more than 1500 states in all, or
            the state reaches their ends (it then leaves the well, or needs more levels).
    """
    grid = time_grid(times)
    numbers = whole_atom_numbers(ensembles)
    angle = finite(theta, "theta")
    sizes = _ladder_sizes(ensembles, numbers, angle, levels)
    offset = 0.0
    if drive is not None:
        offset = finite(drive, "drive") - float(balanced_drive(ensembles, angle))
    space = _Ladders(ensembles, numbers, sizes, angle, offset / ensembles.collective_decay)
    start = np.zeros((space.dimension, space.dimension))
    start[0, 0] = 1.0
    limit = positive(leakage_limit, "leakage_limit")
    found = []
    for time, rho in zip(grid, _trajectory(space, start, grid), strict=True):
        moments = space.moments(rho)
        if moments.leakage > limit:
            raise ValueError(
                f"Argument `levels` must hold the state, but with {sizes} levels a last one has "
                f"the population {moments.leakage:.1e} > {limit:g} at time {time:g}; "
                "give more levels, or shorter times where the state leaves its well."
            )
        found.append(moments)
    return tuple(found)


def follow_exact(
    ensembles: CoupledEnsembles, steps: Sequence[tuple[float, float]]
) -> tuple[NDArray[np.complex128], ExactMoments]:
    """Density matrix after several constant drives one after the other, all atoms down before.

    Args:
        ensembles: with whole atom numbers N p_k.
        steps: (duration, Omega) of each, in the inverse unit of the rates and in theirs.

    Returns:
        The density matrix in the product basis |n_1, …, n_M>, atoms up ascending, the last
        ensemble's fastest; and its moments.

    Raises:
        ValueError: when an N p_k is not whole, or there are more than 1500 states.
    """
    numbers = whole_atom_numbers(ensembles)
    sizes = _ladder_sizes(ensembles, numbers, 0.0, [n + 1 for n in numbers])
    space = _Ladders(ensembles, numbers, sizes, 0.0, 0.0)
    rho = np.zeros((space.dimension, space.dimension))
    rho[0, 0] = 1.0
    for duration, drive in steps:
        ratio = finite(drive, "steps") / ensembles.collective_decay
        space = _Ladders(ensembles, numbers, sizes, 0.0, ratio)
        (rho,) = _trajectory(space, rho, time_grid([duration]))
    up = np.indices(sizes).reshape(len(sizes), -1).sum(axis=0)
    phases = np.array([1.0, 1j, -1.0, -1j])[up % 4]  # the ladders are real as i^n |n>
    turned = rho.astype(np.complex128) * np.outer(phases, phases.conj())
    return turned, space.moments(rho)


def exact_steady_state(ensembles: CoupledEnsembles, drive: float) -> ExactMoments:
    """rho = (A^dag A)^-1/Z, what driven unequal couplings reach in the end.

    It solves D[A] rho = 0 exactly for any couplings. Not the dark state of Shen Eqs. 13-15:
    that one is a plateau, see `evolve_exact`.

    Raises:
        ValueError: when the couplings are all of one size (the total spin is conserved: use
            `uniform_dark_state`) or one is zero (that ensemble never changes), when the drive
            is zero (many dark states), or above 1500 states.
    """
    if ensembles.uniform and len(ensembles.couplings) > 1:
        raise ValueError(
            "Argument `ensembles` must have couplings of different sizes, or one member, for a "
            f"unique steady state, but has {ensembles.couplings!r}; use uniform_dark_state."
        )
    if 0.0 in ensembles.couplings:
        raise ValueError(
            "Argument `ensembles` must have no coupling of zero for a unique steady state, but "
            f"has {ensembles.couplings!r}."
        )
    if finite(drive, "drive") == 0.0:
        raise ValueError(
            f"Argument `drive` must not be 0 for a unique steady state, but is {drive!r}."
        )
    numbers = whole_atom_numbers(ensembles)
    sizes = _ladder_sizes(ensembles, numbers, 0.0, [n + 1 for n in numbers])
    space = _Ladders(ensembles, numbers, sizes, 0.0, drive / ensembles.collective_decay)
    # in the laboratory frame A only lowers: triangular in the order of the ladders
    inverse = solve_triangular(space.jump.toarray(), np.eye(space.dimension))
    rho = inverse @ inverse.T
    return space.moments(rho / np.trace(rho))


def whole_atom_numbers(ensembles: CoupledEnsembles) -> list[int]:
    """The N_k as integers; raise ValueError when N p_k is not whole for some k."""
    exact = ensembles.atom_numbers
    numbers = np.round(exact)
    if np.any(np.abs(exact - numbers) > _WHOLE):
        raise ValueError(
            "Argument `fractions` must give whole atom numbers for an exact state, but "
            f"{ensembles.atoms} atoms split into {exact.tolist()}."
        )
    return [int(n) for n in numbers]


def _ladder_sizes(
    ensembles: CoupledEnsembles, numbers: list[int], theta: float, levels: Sequence[int] | None
) -> list[int]:
    complete = [n + 1 for n in numbers]
    if levels is not None:
        if len(levels) != len(numbers):
            raise ValueError(
                f"Argument `levels` must hold {len(numbers)} numbers, one per ensemble, "
                f"but is {levels!r}."
            )
        wanted = [whole(x, "levels", least=2) for x in levels]
        sizes = [min(a, b) for a, b in zip(wanted, complete, strict=True)]
    elif math.prod(complete) <= _COMPLETE_UP_TO:
        sizes = complete
    elif float(superradiance_curvature(ensembles, theta)) > 0.0:
        excited = dark_state(ensembles, theta).excitations
        sizes = [min(n, 16 + math.ceil(15.0 * x)) for n, x in zip(complete, excited, strict=True)]
        sizes = [s if eta else 2 for s, eta in zip(sizes, ensembles.couplings, strict=True)]
    else:
        sizes = complete
    states = math.prod(sizes)
    if states > _MOST_STATES:
        raise ValueError(
            f"Argument `levels` must give at most {_MOST_STATES} states in all, but {sizes} give "
            f"{states}; for equal couplings use one ensemble, else evolve_moments."
        )
    return sizes


class _Ladders:
    """Real matrices of the ensembles in their local ladders, and moments of a real state."""

    def __init__(
        self,
        ensembles: CoupledEnsembles,
        numbers: list[int],
        sizes: list[int],
        theta: float,
        offset: float,
    ) -> None:
        self.ensembles, self.numbers, self.sizes = ensembles, numbers, sizes
        self.dimension = math.prod(sizes)
        self.angles = ensembles.eta * theta
        self.jump = offset * eye_array(self.dimension, format="csr")
        self._swing: list[csr_array] = []  # S_X = i times this
        self._swing_square: list[csr_array] = []
        self._turned: list[csr_array] = []  # S_Y = minus this
        for k, (n, size) in enumerate(zip(numbers, sizes, strict=True)):
            lower = _lowering(n, size + 1)
            swing = 0.5 * (lower - lower.T)
            half = 0.5 * self.angles[k]
            cut = lower[:size, :size]
            local = math.cos(half) ** 2 * cut - math.sin(half) ** 2 * cut.T
            local = local + math.sin(self.angles[k]) * np.diag(np.arange(float(size)))
            self.jump = self.jump + ensembles.couplings[k] * self._embed(local, k)
            self._swing.append(self._embed(swing[:size, :size], k))
            self._swing_square.append(self._embed(-(swing @ swing)[:size, :size], k))
            self._turned.append(self._embed(0.5 * (cut + cut.T), k))
        self.jump = csr_array(self.jump)

    def _embed(self, matrix: Array, place: int) -> csr_array:
        before = math.prod(self.sizes[:place])
        after = math.prod(self.sizes[place + 1 :])
        inner = kron(csr_array(matrix), eye_array(after), format="csr")
        return csr_array(kron(eye_array(before), inner, format="csr"))

    def moments(self, rho: Array) -> ExactMoments:
        """All moments; rho real, symmetric, of trace 1."""
        count = len(self.numbers)
        covariance = np.empty((count, count))
        swung = [x @ rho for x in self._swing]
        for k in range(count):
            covariance[k, k] = _trace(self._swing_square[k], rho)
            for j in range(k):
                covariance[j, k] = covariance[k, j] = -_trace(self._swing[j], swung[k])
        populations = np.diag(rho).reshape(self.sizes)
        means, leakage = np.zeros((count, 3)), 0.0
        for k, n in enumerate(self.numbers):
            levels = populations.sum(axis=tuple(j for j in range(count) if j != k))
            y = -_trace(self._turned[k], rho)
            z = float(levels @ np.arange(levels.size)) - 0.5 * n
            cosine, sine = math.cos(self.angles[k]), math.sin(self.angles[k])
            means[k] = [0.0, cosine * y - sine * z, sine * y + cosine * z]
            if levels.size <= n and self.ensembles.couplings[k] != 0.0:
                leakage = max(leakage, float(levels[-1]))
        lengths = np.linalg.norm(means, axis=1)
        matrix = squeezing_matrix_from_moments(self.numbers, covariance, lengths)
        light = _trace(csr_array(self.jump.T @ self.jump), rho)
        return ExactMoments(
            mean_spins=means,
            covariance_x=covariance,
            squeezing_matrix=matrix,
            smallest_eigenvalue=float(np.linalg.eigvalsh(matrix)[0]),
            purity=float(np.sum(rho * rho)),
            photon_rate=self.ensembles.collective_decay * light,
            leakage=leakage,
        )


def _lowering(atoms: int, levels: int) -> Array:
    """S_- on n = 0 … levels-1: sqrt(n (N - n + 1)) from n to n - 1, zero beyond n = N."""
    n = np.arange(1.0, levels)
    return np.diag(np.sqrt(np.maximum(n * (atoms - n + 1.0), 0.0)), 1)


def _trace(sparse: csr_array, dense: Array) -> float:
    """Tr(sparse dense)."""
    return float(sparse.T.multiply(dense).sum())


def _trajectory(space: _Ladders, start: Array, grid: Array) -> Iterator[Array]:
    """rho at the times of `grid`, each a real symmetric matrix.

    Only the upper triangle is propagated, so that no antisymmetric rounding can grow.
    """
    size = space.dimension
    rows, columns = np.triu_indices(size)
    fold = np.where(rows == columns, 1.0, math.sqrt(2.0))
    flat = rows * size + columns
    mirrored = columns * size + rows
    place = np.empty((size, size), dtype=np.intp)
    place[rows, columns] = place[columns, rows] = np.arange(rows.size)
    jump, back = space.jump, csr_array(space.jump.T)
    gamma = space.ensembles.collective_decay

    def unpack(packed: Array) -> Array:
        rho: Array = (packed / fold).take(place)
        return rho

    def change(packed: Array) -> Array:
        half = jump @ unpack(packed)
        rate: Array = np.asarray(jump @ half.T - back @ half)
        folded: Array = (0.5 * gamma) * (rate.take(flat) + rate.take(mirrored)) * fold
        return folded

    for packed in _krylov(change, start.take(flat) * fold, grid):
        rho = unpack(packed)
        yield rho / np.trace(rho)


def _krylov(
    change: Callable[[Array], Array], start: Array, grid: Array, tolerance: float = 1e-12
) -> Iterator[Array]:
    """exp(L t) start at the times of `grid`, L linear, by Arnoldi steps with error control.

    One basis serves every step length: the longest that keeps the local error below its share
    of the tolerance is taken, and the times inside it come from the same basis.
    """
    end, now, state = float(grid[-1]), 0.0, start
    pending = 0
    stride = end
    while pending < grid.size and grid[pending] <= 0.0:
        yield state
        pending += 1
    while pending < grid.size:
        basis, small, norm, exact = _arnoldi(change, state)
        span = end - now
        stride = min(span, 2.0 * stride)
        while not exact and stride > 1e-12 * end:
            error = norm * abs(float(expm(stride * small)[-1, 0]))
            if error <= tolerance * max(stride / end, 1e-3):
                break
            stride *= 0.8
        stride = span if exact else stride
        while pending < grid.size and grid[pending] <= now + stride * (1.0 + 1e-14):
            yield norm * (expm((grid[pending] - now) * small)[:, 0] @ basis)
            pending += 1
        state = norm * (expm(stride * small)[:, 0] @ basis)
        now += stride


def _arnoldi(change: Callable[[Array], Array], start: Array) -> tuple[Array, Array, float, bool]:
    """Orthonormal basis (rows), the generator in it with its residual row, norm, completeness."""
    size = min(_KRYLOV, start.size)
    basis = np.zeros((size + 1, start.size))
    small = np.zeros((size + 1, size + 1))
    norm = float(np.linalg.norm(start))
    basis[0] = start / norm
    scale = 0.0
    for j in range(size):
        vector = change(basis[j])
        before = float(np.linalg.norm(vector))
        scale = max(scale, before)
        overlap = basis[: j + 1] @ vector
        vector -= overlap @ basis[: j + 1]
        after = float(np.linalg.norm(vector))
        if after < 0.3 * before:  # cancellation: once more
            again = basis[: j + 1] @ vector
            vector -= again @ basis[: j + 1]
            overlap += again
            after = float(np.linalg.norm(vector))
        small[: j + 1, j] = overlap
        if after <= 1e-15 * scale:
            return basis[: j + 1], small[: j + 1, : j + 1], norm, True
        small[j + 1, j] = after
        basis[j + 1] = vector / after
    return basis, small, norm, False
