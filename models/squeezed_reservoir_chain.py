"""Atoms at given places along the squeezed waveguide: disorder, its plateau and its lifetime.

Phases theta_i = z_i/zeta are taken as they are, never modulo 2 pi: |theta_i - theta_j| enters
the exchange. The master equation (Bai & An Eq. 3 with Eqs. 5, 6) is the sum of two collective
ones of the form of Eq. 7,

    C = sum_i cos(theta_i) s_i  with (n, M)   and   S = sum_i sin(theta_i) s_i  with (n, -M),

two jump operators without loss, plus H = Delta_N sum_i s_i^+ s_i
+ (A/2) sum_(i != j) sin|theta_i - theta_j| s_i^+ s_j.

Any disorder breaks the permutation symmetry, and the true steady state is then a mixture of
total spins that differs from the collective one however small the disorder is, unlike in
Bai & An Fig. 4d. The collective state is a plateau in time; `chain_plateau` gives its height
and how long it lasts, and a chain's squeezing should be read from that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.interpolate import CubicSpline
from scipy.linalg import lu_factor, lu_solve

from ._checks import finite, not_negative, positive, whole
from .squeezed_reservoir import SqueezedReservoir, squeezed_steady_state
from .squeezed_reservoir_dynamics import ascending
from .squeezed_reservoir_generator import (
    HermitianCoordinates,
    evolve,
    lossy_jumps,
    parity_coordinates,
)

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_MOST_ATOMS = 6
_POINTS_PER_OCTAVE = 6
_LARGEST_CONDITION = 1e12
_LONGEST = 1e12


@dataclass(frozen=True, slots=True)
class SqueezedChain:
    """Atoms along the waveguide; rates in one angular unit.

    Args:
        phases: theta_i = z_i/zeta, radians, 2 to 6 of them, not reduced modulo 2 pi.
        squeezing: r of the field before any loss, at least 0.
        detuning: Delta_N; Bai & An use cosh(2r) Delta.
        phase: alpha of the squeezed field.
        transmission: eta in (0, 1].
        collective_decay: A, above zero.

    Raises:
        ValueError: on any value outside these rules.
    """

    phases: tuple[float, ...]
    squeezing: float
    detuning: float = 0.0
    phase: float = 0.0
    transmission: float = 1.0
    collective_decay: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "phases", tuple(finite(p, "phases") for p in self.phases))
        if not 2 <= len(self.phases) <= _MOST_ATOMS:
            raise ValueError(
                f"Argument `phases` must hold 2 to {_MOST_ATOMS} values, but has "
                f"{len(self.phases)}: the density matrix of a disordered chain has 4^N elements."
            )
        self.collective  # noqa: B018 - checks the other arguments

    @property
    def atoms(self) -> int:
        """N."""
        return len(self.phases)

    @property
    def collective(self) -> SqueezedReservoir:
        """The same reservoir with all atoms at equivalent places (Bai & An Eq. 7)."""
        return SqueezedReservoir(
            len(self.phases),
            self.squeezing,
            self.detuning,
            self.phase,
            self.transmission,
            self.collective_decay,
        )


@dataclass(frozen=True, slots=True)
class ChainCouplings:
    """Couplings of all pairs in units of A, matrices (N, N).

    Attributes:
        exchange: Delta_ij = -sin|theta_i - theta_j| / 2 (Bai & An Eq. 5).
        gamma_minus: cos(theta_i - theta_j), of the n and n+1 terms (Eq. 6).
        gamma_plus: cos(theta_i + theta_j), of the M terms (Eq. 6).
    """

    exchange: Array
    gamma_minus: Array
    gamma_plus: Array


@dataclass(frozen=True, slots=True)
class ChainState:
    """First and second moments of the total spin of a chain.

    Attributes:
        atoms: N.
        mean: <Sx>, <Sy>, <Sz>.
        covariance: symmetrised covariance (3, 3).
        purity: tr rho^2.
    """

    atoms: int
    mean: Array = field(repr=False)
    covariance: Array = field(repr=False)
    purity: float

    @property
    def sz(self) -> float:
        """<Sz>."""
        return float(self.mean[2])

    @property
    def spin_length(self) -> float:
        """|<S>|."""
        return float(np.linalg.norm(self.mean))

    @property
    def v_min(self) -> float:
        """Smallest variance normal to the mean spin."""
        axis = self.mean / self.spin_length if self.spin_length > 0.0 else np.array([0, 0, 1.0])
        plane = np.linalg.svd(axis[None, :])[2][1:]
        return float(np.linalg.eigvalsh(plane @ self.covariance @ plane.T)[0])

    @property
    def xi2(self) -> float:
        """Wineland parameter N V_min / |<S>|^2."""
        length = self.spin_length
        return math.inf if length == 0.0 else self.atoms * self.v_min / length**2

    @property
    def gain(self) -> float:
        """1/xi2."""
        return 1.0 / self.xi2


@dataclass(frozen=True, slots=True)
class ChainPlateau:
    """The squeezing of a disordered chain before it decays.

    Attributes:
        gain: 1/xi2 of the plateau, that of the collective steady state of the same reservoir.
        lifetime: time from t = 0 after which 1/xi2 stays below steady + (plateau - steady)/e,
            to 1e-3; 0 when the disorder lets no plateau form, infinite when the steady state
            is as good.
        steady_gain: 1/xi2 of the true steady state.
        peak_gain: largest 1/xi2 on the way from all atoms down, to 1e-4; it may exceed the
            plateau.
        peak_time: when.
    """

    gain: float
    lifetime: float
    steady_gain: float
    peak_gain: float
    peak_time: float


def displaced_phases(atoms: int, displacement: float, rng: np.random.Generator) -> Array:
    """theta_i = 2 pi i + w chi_i/zeta, chi_i uniform in [-1, 1] (Bai & An Fig. 4).

    Args:
        atoms: N.
        displacement: w/zeta.
        rng: source of the displacements.
    """
    number = whole(atoms, "atoms", least=1)
    reach = not_negative(displacement, "displacement")
    phases: Array = 2.0 * math.pi * np.arange(number) + rng.uniform(-reach, reach, number)
    return phases


def chain_couplings(phases: Sequence[float]) -> ChainCouplings:
    """Delta_ij and gamma_ij^(-,+) of all pairs in units of A (Bai & An Eqs. 5, 6)."""
    theta = np.array([finite(p, "phases") for p in phases])
    difference = theta[:, None] - theta[None, :]
    total = theta[:, None] + theta[None, :]
    return ChainCouplings(-0.5 * np.sin(np.abs(difference)), np.cos(difference), np.cos(total))


def chain_steady_state(chain: SqueezedChain) -> ChainState:
    """The true steady state (Bai & An Eq. 3 set to zero).

    Raises:
        ValueError: where it depends on the start, for instance because atoms at equivalent
            places conserve their total spin.
    """
    system = _System.of(chain)
    return _moments(system, _steady(system))


def chain_evolution(
    chain: SqueezedChain, times: Sequence[float], tolerance: float = 1e-9
) -> list[ChainState]:
    """States at several times after starting with all atoms down (Bai & An Figs. 4a-c).

    Args:
        chain: where the atoms are and what reaches them.
        times: ascending, not negative, in the inverse unit of the rates.
        tolerance: of the state, in the Hilbert-Schmidt norm.
    """
    system = _System.of(chain)
    instants = chain.collective_decay * ascending(times)
    start = system.ground()
    rows = evolve(system.generator, start, instants, positive(tolerance, "tolerance"))
    return [_moments(system, row) for row in rows]


def chain_plateau(chain: SqueezedChain) -> ChainPlateau:
    """Plateau of the squeezing of a disordered chain, and how long it lasts.

    Raises:
        ValueError: as `chain_steady_state`, and without squeezing, where nothing happens.
    """
    positive(chain.squeezing, "squeezing")
    system = _System.of(chain)
    steady = _moments(system, _steady(system)).gain
    plateau = squeezed_steady_state(chain.collective).gain
    level = steady + (plateau - steady) / math.e
    state, now = system.ground(), 0.0
    steps = 2.0 ** (np.arange(1, 6 * _POINTS_PER_OCTAVE + 1) / _POINTS_PER_OCTAVE)
    grid = 0.05 / chain.atoms * steps
    logs: list[float] = []
    gains: list[float] = []
    while not gains or (gains[-1] > level and plateau > steady and now < _LONGEST):
        rows = evolve(system.generator, state, grid - now, 1e-9)
        logs += np.log(grid).tolist()
        gains += [_moments(system, row).gain for row in rows]
        state, now = rows[-1], float(grid[-1])
        grid = now * steps
    curve = CubicSpline(logs, gains)
    turning = [float(x) for x in curve.derivative().roots(extrapolate=False)]
    top = max([*turning, logs[-1]], key=lambda x: float(curve(x)))
    falls = [math.exp(float(x)) for x in curve.solve(level, extrapolate=False)]
    lifetime = max(falls, default=0.0) if plateau > steady else math.inf
    unit = chain.collective_decay
    return ChainPlateau(plateau, lifetime / unit, steady, float(curve(top)), math.exp(top) / unit)


@dataclass(frozen=True, slots=True)
class _System:
    """A chain's generator in units of A, in coordinates of even parity."""

    chain: SqueezedChain
    coordinates: HermitianCoordinates
    generator: sparse.csc_array
    functionals: ComplexArray  # rows: trace, Sx, Sy, Sz, then Sa Sb symmetrised, row by row

    @classmethod
    def of(cls, chain: SqueezedChain) -> _System:
        atoms = chain.atoms
        lowering = _lowering_operators(atoms)
        theta = np.array(chain.phases)
        reservoir = chain.collective
        jumps: list[sparse.csr_array] = []
        for weights, sign in ((np.cos(theta), 1.0), (np.sin(theta), -1.0)):
            mode = _weighted(weights, lowering)
            jumps += lossy_jumps(reservoir.occupation, sign * reservoir.correlation, mode)
        exchange = np.sin(np.abs(theta[:, None] - theta[None, :]))
        hamiltonian = sparse.csr_array((2**atoms, 2**atoms), dtype=np.complex128)
        for i, left in enumerate(lowering):
            row = 0.5 * exchange[i]
            row[i] = reservoir.relative_detuning
            hamiltonian = sparse.csr_array(hamiltonian + left.T @ _weighted(row, lowering))
        ups = np.array([bin(state).count("1") for state in range(2**atoms)])
        coordinates = parity_coordinates(ups % 2)
        total = _weighted(np.ones(atoms), lowering)
        return cls(
            chain,
            coordinates,
            coordinates.superoperator(hamiltonian, jumps),
            _moment_functionals(coordinates, total),
        )

    def ground(self) -> Array:
        """All atoms down."""
        rho = np.zeros((2**self.chain.atoms,) * 2, dtype=np.complex128)
        rho[0, 0] = 1.0
        return self.coordinates.of(rho)


def _lowering_operators(atoms: int) -> list[sparse.csr_array]:
    """s_i on 2^N states; the i-th bit of a state's number is 1 when atom i is up."""
    numbers = np.arange(2**atoms)
    found = []
    for i in range(atoms):
        up = numbers[(numbers >> i) & 1 == 1]
        entries = (np.ones(up.size), (up - (1 << i), up))
        found.append(sparse.csr_array(entries, shape=(2**atoms, 2**atoms)))
    return found


def _weighted(weights: Array, operators: Sequence[sparse.csr_array]) -> sparse.csr_array:
    """sum_i w_i O_i."""
    total = weights[0] * operators[0]
    for weight, operator in zip(weights[1:], operators[1:], strict=True):
        total = total + weight * operator
    return sparse.csr_array(total)


def _moment_functionals(
    coordinates: HermitianCoordinates, lowering: sparse.csr_array
) -> ComplexArray:
    """Rows that give trace, means and symmetrised second moments of the total spin."""
    raising = sparse.csr_array(lowering.T)
    sz = sparse.csr_array(0.5 * (raising @ lowering - lowering @ raising))
    spins = [0.5 * (raising + lowering), -0.5j * (raising - lowering), sz]
    one = sparse.eye_array(coordinates.dimension)
    second = [0.5 * (a @ b + b @ a) for a in spins for b in spins]
    return np.stack([coordinates.functional(sparse.csr_array(o)) for o in [one, *spins, *second]])


def _moments(system: _System, coordinates: Array) -> ChainState:
    """Moments of a state, divided by its trace."""
    values = (system.functionals @ coordinates).real
    trace = float(values[0])
    mean = values[1:4] / trace
    second = values[4:].reshape(3, 3) / trace
    rho = system.coordinates.matrix(coordinates / trace)
    purity = float(np.vdot(rho, rho).real)
    return ChainState(system.chain.atoms, mean, second - np.outer(mean, mean), purity)


def _steady(system: _System) -> Array:
    """Coordinates of the steady state, by a dense solve."""
    matrix = system.generator.toarray()
    matrix[0] = system.functionals[0].real  # the populations' equations add to zero
    source = np.zeros(matrix.shape[0])
    source[0] = 1.0
    if not np.linalg.cond(matrix, 1) < _LARGEST_CONDITION:
        raise ValueError(
            "Argument `phases` must make the steady state unique, but at "
            f"{system.chain.phases!r} it depends on the start: atoms at (nearly) equivalent "
            "places conserve their total spin; for a chain without disorder use "
            "squeezed_steady_state."
        )
    factors = lu_factor(matrix)
    solution = lu_solve(factors, source)
    solution += lu_solve(factors, source - matrix @ solution)
    return np.asarray(solution, dtype=np.float64)
