r"""One ensemble with collective and single-atom processes, exactly, at N of order a hundred.

    d rho/dt = -i [Omega J_x + Delta J_z + chi J_+ J_-, rho]
             + Gamma D[J_-] rho + Lambda D[J_+] rho
             + sum over atoms of (gamma_- D[sigma^-] + gamma_+ D[sigma^+] + gamma_z D[sigma^z]) rho

with Pauli sigma^z, as in Mamaev Eq. S59: a coherence of one atom decays at
2 gamma_z + (gamma_- + gamma_+)/2. (PIQS' `dephasing` is 4 gamma_z.) The state stays unchanged
by permutations of the atoms: some N^3/6 numbers in place of 4^N, and half of them without
detuning and exchange, in the gauge of `permutation_symmetric_generator`, which also cites the
rates. Without drive, coherences of different m - m' do not mix, and only those of the start
are kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import gammaln

from ._checks import finite, not_negative, whole
from .permutation_symmetric_generator import Assembly, Ladder
from .relaxation_propagator import rising_times
from .two_mode_squeezing_propagation import evolve_vector_gently, steady_vector

Array = NDArray[np.float64]

MOST_ATOMS = 120
"""Largest N of an evolution; 150 000 numbers, twice as many with detuning or exchange."""

MOST_ATOMS_STEADY = 60
"""Largest N of a steady state with drive, whose sparse factors fill up."""


@dataclass(frozen=True, slots=True)
class SymmetricEnsemble:
    """N alike atoms; angular rates in one unit.

    Args:
        atoms: N, at least 1.
        rabi_frequency: Omega, the drive about x.
        detuning: Delta, of the atoms from the drive.
        exchange: chi of J_+ J_-.
        collective_decay: Gamma.
        collective_pumping: Lambda.
        decay: gamma_- of every atom.
        pumping: gamma_+ of every atom.
        dephasing: gamma_z of every atom, for D[sigma^z] with the Pauli matrix.

    Raises:
        ValueError: on values that are not finite, negative rates, or no atoms.
    """

    atoms: int
    rabi_frequency: float = 0.0
    detuning: float = 0.0
    exchange: float = 0.0
    collective_decay: float = 0.0
    collective_pumping: float = 0.0
    decay: float = 0.0
    pumping: float = 0.0
    dephasing: float = 0.0

    def __post_init__(self) -> None:
        whole(self.atoms, "atoms", least=1)
        for name in ("rabi_frequency", "detuning", "exchange"):
            finite(getattr(self, name), name)
        for entry in fields(self)[4:]:
            not_negative(getattr(self, entry.name), entry.name)


@dataclass(frozen=True, slots=True)
class CoherentStart:
    """All atoms alike and pure, pointing along the polar angle from +z and the azimuth from x."""

    polar: float
    azimuth: float = 0.0

    def __post_init__(self) -> None:
        finite(self.polar, "polar")
        finite(self.azimuth, "azimuth")


@dataclass(frozen=True, slots=True)
class DickeStart:
    """The symmetric state |N/2, m>; m is checked against N when it is used."""

    projection: float


ALL_UP = CoherentStart(0.0)
ALL_DOWN = CoherentStart(math.pi)


@dataclass(frozen=True, slots=True)
class SymmetricMoments:
    """Means of one ensemble over time, spins in units of hbar.

    Attributes:
        parameters: the ensemble and its rates.
        times: (n,), in the inverse unit of the rates; infinity for a steady state.
        spin: (n, 3), <J_x>, <J_y>, <J_z>.
        second: (n, 3, 3), <J_a J_b + J_b J_a>/2.
        emission: (n,), <J_+ J_->.
        purity: (n,), tr rho^2.
    """

    parameters: SymmetricEnsemble
    times: Array = field(repr=False)
    spin: Array = field(repr=False)
    second: Array = field(repr=False)
    emission: Array = field(repr=False)
    purity: Array = field(repr=False)

    @property
    def spin_z(self) -> Array:
        """<J_z>."""
        return np.asarray(self.spin[:, 2])

    @property
    def covariance(self) -> Array:
        """(n, 3, 3), the symmetrised covariance of the spin."""
        return np.asarray(self.second - self.spin[:, :, None] * self.spin[:, None, :])

    @property
    def total_square(self) -> Array:
        """<J^2>, N/2 (N/2 + 1) as long as no atom acts on its own."""
        return np.asarray(np.trace(self.second, axis1=1, axis2=2))

    @property
    def xi2(self) -> Array:
        """Wineland parameter N min Var(J_perp)/|<J>|^2; infinite where <J> vanishes."""
        length = np.linalg.norm(self.spin, axis=1)
        found = np.full(length.size, math.inf)
        for place in np.flatnonzero(length > 1e-12 * self.parameters.atoms):
            # rows 1 and 2 of the second factor span the plane across the mean spin
            across = np.linalg.svd(self.spin[place][None, :])[2][1:]
            least = float(np.linalg.eigvalsh(across @ self.covariance[place] @ across.T)[0])
            found[place] = self.parameters.atoms * least / length[place] ** 2
        return found


def symmetric_evolution(
    parameters: SymmetricEnsemble,
    times: Sequence[float] | Array,
    start: CoherentStart | DickeStart = ALL_DOWN,
) -> SymmetricMoments:
    """Evolve a symmetric pure state.

    Args:
        parameters: the ensemble, at most 120 atoms.
        times: rising, not negative, in the inverse unit of the rates.
        start: state at time zero.

    Raises:
        ValueError: on falling times, too many atoms, or an m that N atoms do not have.
    """
    wanted = rising_times(times)
    _at_most(parameters, MOST_ATOMS, "an evolution; use the cumulant expansion or mean field")
    ladder = Ladder.of(parameters.atoms)
    real, imaginary = _start(ladder, start)
    sector = _Sector(parameters, ladder, real, imaginary)
    found, distinct = np.unique(wanted, return_inverse=True)
    vectors = evolve_vector_gently(sector.generator, sector.start, found)[distinct]
    return sector.moments(vectors, wanted)


def symmetric_steady_state(parameters: SymmetricEnsemble) -> SymmetricMoments:
    """The steady state, as moments of one time at infinity.

    Raises:
        ValueError: where it depends on the start (single atoms must decay or be pumped, or
            dephase together with a drive or a collective jump), or on more than 60 atoms
            with drive (120 without).
    """
    p = parameters
    moved = p.rabi_frequency != 0.0 or max(p.collective_decay, p.collective_pumping) > 0.0
    if max(p.decay, p.pumping) == 0.0 and not (p.dephasing > 0.0 and moved):
        raise ValueError(
            "Arguments `decay` and `pumping` must not both be 0 here, unless `dephasing` is "
            "above 0 together with a drive or a collective rate: the steady state then depends "
            "on the start; use symmetric_evolution."
        )
    limit = MOST_ATOMS if p.rabi_frequency == 0.0 else MOST_ATOMS_STEADY
    _at_most(p, limit, "a steady state; use a long symmetric_evolution")
    ladder = Ladder.of(p.atoms)
    sector = _Sector(p, ladder, ladder.diagonal / p.atoms, np.zeros(ladder.size))
    vector = steady_vector(sector.generator, sector.trace)
    return sector.moments(vector[None, :], np.array([math.inf]))


class _Sector:
    """The elements that a start reaches, as one real vector: B where it is needed, then A."""

    def __init__(
        self, parameters: SymmetricEnsemble, ladder: Ladder, real: Array, imaginary: Array
    ) -> None:
        self._parameters = parameters
        self._ladder = ladder
        apart = ladder.row - ladder.column
        if parameters.rabi_frequency == 0.0:
            reached = np.isin(apart, apart[(real != 0.0) | (imaginary != 0.0)])
        else:
            reached = np.ones(ladder.size, dtype=bool)
        turning = _turning(parameters, ladder)
        mixed = bool(np.any(turning[reached] != 0.0) or np.any(imaginary != 0.0))
        self._real = np.flatnonzero(reached)
        self._imaginary = np.flatnonzero(reached & ~ladder.diagonal & mixed)
        assembly = _assembled(parameters, ladder)
        a, b = self._real, self._imaginary
        own = assembly.matrix(antisymmetric=False)[a][:, a]
        if b.size:
            mirror = assembly.matrix(antisymmetric=True)[b][:, b]
            across = sparse.csr_array(sparse.diags_array(turning))
            blocks = [[mirror, -across[b][:, a]], [across[a][:, b], own]]
            own = sparse.csr_array(sparse.block_array(blocks))
        self.generator = own
        self.start: Array = np.concatenate((imaginary[b], real[a]))
        # the last entry is a population, where steady_vector puts the trace
        self.trace: Array = np.concatenate((np.zeros(b.size), ladder.diagonal[a].astype(float)))

    def moments(self, vectors: Array, times: Array) -> SymmetricMoments:
        """Means of states given one per row."""
        x = self._ladder
        vectors = vectors / (vectors @ self.trace)[:, None]  # takes out the drift of rounding
        imaginary, real = np.split(vectors, [self._imaginary.size], axis=1)

        def mean(weights: Array) -> Array:
            return np.asarray(real @ weights[self._real])

        def mean_of_imaginary(weights: Array) -> Array:
            return np.asarray(imaginary @ weights[self._imaginary])

        once, middle = _lowering(x, 1), 0.5 * (x.left + x.right)
        twice = _lowering(x, 2)
        on = x.diagonal
        square_z, level = mean(on * x.left**2), on * x.spin * (x.spin + 1.0)
        planar, uneven = mean(level) - square_z, -mean(twice)
        spin = np.stack([mean_of_imaginary(once), mean(once), mean(on * x.left)], axis=1)
        xy = 0.5 * mean_of_imaginary(twice)
        xz, yz = mean_of_imaginary(once * middle), mean(once * middle)
        xx, yy = 0.5 * (planar + uneven), 0.5 * (planar - uneven)
        rows = [[xx, xy, xz], [xy, yy, yz], [xz, yz, square_z]]
        counts = np.where(on, 1.0, 2.0) / _copies(x)
        purity = real**2 @ counts[self._real] + imaginary**2 @ counts[self._imaginary]
        emission = planar + mean(on * x.left)
        second = np.moveaxis(np.array(rows), 2, 0)
        return SymmetricMoments(self._parameters, times, spin, second, emission, purity)


def _assembled(parameters: SymmetricEnsemble, ladder: Ladder) -> Assembly:
    """Everything in the generator that is real."""
    p, n = parameters, float(parameters.atoms)
    both = ladder.left + ladder.right
    assembly = Assembly(ladder)
    assembly.drive(p.rabi_frequency)
    assembly.collective(p.collective_decay, -1)
    assembly.collective(p.collective_pumping, 1)
    assembly.local(p.decay, -1)
    assembly.local(p.pumping, 1)
    assembly.local(4.0 * p.dephasing, 0)  # the jump sigma^z is twice s_z
    assembly.loss(0.5 * p.decay * (n + both) + 0.5 * p.pumping * (n - both) + n * p.dephasing)
    return assembly


def _turning(parameters: SymmetricEnsemble, ladder: Ladder) -> Array:
    """Frequency of the phase of every element, from detuning and exchange."""
    x = ladder
    emission = x.row * (x.doubled - x.row + 1.0) - x.column * (x.doubled - x.column + 1.0)
    turn = parameters.detuning * (x.row - x.column) + parameters.exchange * emission
    return np.asarray(turn, dtype=np.float64)


def _lowering(ladder: Ladder, order: int) -> Array:
    """The elements of J_-^order from m to m' = m - order; 0 elsewhere."""
    result = np.where(ladder.row - ladder.column == order, 1.0, 0.0)
    for down in range(order):
        level = ladder.row - down
        square = level * (ladder.doubled - level + 1.0)
        result = result * np.sqrt(np.maximum(square, 0.0))
    return np.asarray(result)


def _copies(ladder: Ladder) -> Array:
    """How many copies of J there are in N spins 1/2."""
    n, d = float(ladder.atoms), ladder.doubled
    logs = gammaln(n + 1.0) - gammaln(0.5 * (n - d) + 1.0) - gammaln(0.5 * (n + d) + 2.0)
    return np.asarray((d + 1.0) * np.exp(logs), dtype=np.float64)


def _start(ladder: Ladder, start: CoherentStart | DickeStart) -> tuple[Array, Array]:
    """A and B of a pure state of J = N/2."""
    n = ladder.atoms
    levels = np.arange(n + 1)
    real, imaginary = np.zeros(ladder.size), np.zeros(ladder.size)
    top = slice(0, (n + 1) * (n + 2) // 2)
    row, column = ladder.row[top], ladder.column[top]
    if isinstance(start, DickeStart):
        level = finite(start.projection, "projection") + 0.5 * n
        if level != round(level) or not 0 <= level <= n:
            raise ValueError(
                f"Argument `projection` must be one of {-0.5 * n:g}, {1 - 0.5 * n:g}, …, "
                f"{0.5 * n:g} for {n} atoms, but is {start.projection!r}."
            )
        real[top] = (row == level) & (column == level)
        return real, imaginary
    half = 0.5 * start.polar
    up, down = (0.0 if abs(v) < 1e-16 else v for v in (math.cos(half), math.sin(half)))
    choices = np.exp(0.5 * (gammaln(n + 1) - gammaln(levels + 1) - gammaln(n - levels + 1)))
    amplitudes = choices * up**levels * down ** (n - levels)
    weight = amplitudes[row] * amplitudes[column]
    # the gauge holds a quarter turn; exactly along +y or -y nothing imaginary is left
    quarter = (0.5 * math.pi - start.azimuth) % (2.0 * math.pi)
    angle = quarter * (row - column)
    real[top] = weight * np.cos(angle)
    if min(quarter % math.pi, math.pi - quarter % math.pi) > 1e-15:
        imaginary[top] = np.where(row > column, weight * np.sin(angle), 0.0)
    return real, imaginary


def _at_most(parameters: SymmetricEnsemble, limit: int, what: str) -> None:
    if parameters.atoms > limit:
        raise ValueError(
            f"Argument `atoms` must not exceed {limit} for {what} instead, but is "
            f"{parameters.atoms}."
        )
