r"""What counting finds while two ensembles relax: joint distribution of the atoms, exactly.

P(n1, n2; t) is the diagonal of the density matrix of Chu Eq. 2 in the product basis, from all
atoms down, n_j = S + m_j atoms of ensemble j being up. With it come its derivatives by the
logarithms of the rates: with X = (rho, d rho/d theta, …) the equation

    X' = (L rho, L d rho + (dL/d theta) rho, …)

is propagated in one pass by the polynomials of `relaxation_propagator`; the derivative by the
decay rate follows from the others, because only products of rates and time matter.

Symmetry (not in the paper): conjugation with a turn by pi about z maps Delta to -Delta and
leaves populations alone; exchange of the ensembles maps (Delta, chi) to (-Delta, -chi). So P
does not tell the sign of Delta and is symmetric in n1, n2 without exchange; with exchange its
asymmetry has the sign of chi.

With the photons K that left the cavity until t come E[K; n1, n2] and E[K(K-1); n1, n2], moments
on each outcome: with J rho = Gamma L rho L^+ the jump,

    mu' = L mu + J rho,        nu' = L nu + 2 J mu,

again in the same pass (derivatives of P_z, z per photon, at z = 1). A detector that sees a share
eta of the photons has eta mu and eta^2 nu.

All (2S+1)^2 states are kept: for small spins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ._checks import dimension_of, not_negative
from .relaxation_generator import Array, Generator, Matrix, generator, spectral_ellipse
from .relaxation_propagator import Ellipse, dense_output, propagate, rising_times
from .spins import coupled_amplitudes
from .two_ensembles import TwoEnsembles

LARGEST_SPIN = 6.0
"""Largest spin that is followed: 169 states, a second or two for a preparation."""

_TRACE_ERROR = 1e-7
_STEP = 1e-5  # relative step in time of the derivative by the decay rate


@dataclass(frozen=True, slots=True, eq=False)
class RelaxingOutcomes:
    """P(n1, n2; t) while the pair relaxes, and how it changes with the rates.

    Attributes:
        parameters: the pair.
        times: (T,) rising.
        probability: (T, 2S+1, 2S+1), n1 and n2 ascending.
        slopes: (k, T, 2S+1, 2S+1), derivatives by ln Gamma, ln Omega, ln Delta, and by chi
            itself where that was asked for; empty without derivatives.
        photons: what left the cavity meanwhile, where that was asked for.
    """

    parameters: TwoEnsembles
    times: Array
    probability: Array = field(repr=False)
    slopes: Array = field(repr=False)
    photons: RelaxingPhotons | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True, eq=False)
class RelaxingPhotons:
    """Photons K that left the cavity from the start to t, on each outcome of the atoms.

    Attributes:
        mean: (T, 2S+1, 2S+1), E[K; n1, n2]: over the probability the mean of such shots, summed
            up that of all.
        slopes: (k, T, 2S+1, 2S+1), as the slopes of the probability.
        pairs: (T, 2S+1, 2S+1), E[K(K-1); n1, n2].
    """

    mean: Array
    slopes: Array
    pairs: Array


def relaxing_outcomes(
    parameters: TwoEnsembles,
    times: Sequence[float] | Array,
    *,
    derivatives: bool = False,
    exchange: bool = False,
    photons: bool = False,
) -> RelaxingOutcomes:
    """Joint distribution of the atoms at each time after starting from all atoms down.

    Args:
        parameters: the pair; time counts in the inverse unit of its rates.
        times: rising, not negative.
        derivatives: whether slopes are wanted; takes two to three times as long.
        exchange: whether the slope by chi is wanted too (complex numbers: twice the time).
        photons: whether the photons' moments are wanted too (twice the time, and a bit).

    Raises:
        ValueError: on a spin above `LARGEST_SPIN`, on times that fall or are negative.
        ArithmeticError: when the propagation loses the trace (not seen in practice).
    """
    wanted = rising_times(times)
    system = relaxing_system(parameters)
    rates = _rate_matrices(parameters, system, exchange) if derivatives else ()
    picks = _Diagonal.of(parameters, system)
    ellipse, measured, _ = _follow(system, rates, float(wanted[-1]), picks.entries, photons)
    tables = picks.tables(dense_output(ellipse, wanted, measured))
    each = 1 + len(rates)
    slopes: tuple[Array, ...] = (np.zeros((0, 0, 0, 0)), np.zeros((0, 0, 0, 0)))
    if derivatives:
        ends = [
            picks.tables(dense_output(ellipse, wanted * (1.0 + step), measured))
            for step in (_STEP, -_STEP)
        ]
        by_time = (ends[0] - ends[1]) / (2.0 * _STEP)
        slopes = tuple(
            _with_decay(by_time[first], tables[first + 1 : first + each], parameters, exchange)
            for first in (0, each if photons else 0)
        )
    light = RelaxingPhotons(tables[each], slopes[1], tables[-1]) if photons else None
    return RelaxingOutcomes(parameters, wanted, tables[0], slopes[0], light)


def _with_decay(by_time: Array, others: Array, parameters: TwoEnsembles, exchange: bool) -> Array:
    """The slopes with that by ln Gamma first, which follows from ln t and the others."""
    by_decay = by_time - others[0] - others[1]
    if exchange:
        by_decay -= parameters.exchange * others[2]
    return np.concatenate([by_decay[None], others])


def relaxed_state(parameters: TwoEnsembles, time: float) -> NDArray[np.complex128]:
    """Density matrix after `time` from all atoms down, in the product basis.

    Returns:
        (d^2, d^2) with d = 2S+1; row n1 d + n2 is |n1, n2>, n_j = S + m_j atoms up.

    Raises:
        ValueError: on a spin above `LARGEST_SPIN` or a negative time.
        ArithmeticError: when the propagation loses the trace (not seen in practice).
    """
    duration = not_negative(time, "time")
    system = relaxing_system(parameters)
    phi = system.all_down()
    rho: Matrix = np.multiply.outer(phi, phi)
    if duration > 0.0:
        _, _, stacked = _follow(system, (), duration, None, False)
        rho = stacked[:, 0, :]
    turned = to_product_basis(system)
    state = turned @ rho @ turned.conj().T
    normalised: NDArray[np.complex128] = state / np.trace(state).real
    return normalised


def emission_rate(parameters: TwoEnsembles, state: NDArray[np.complex128]) -> float:
    """Gamma <J+ J->, photons per time that leave the cavity; zero in the dark state only."""
    lower = _total_lowering(parameters.spin)
    emitted = np.trace((lower.T @ lower) @ state).real
    return float(parameters.collective_decay * emitted)


def emission_in(parameters: TwoEnsembles, window: tuple[float, float]) -> float:
    """Mean photons per time that leave the cavity in a window after starting from all down.

    Raises:
        ValueError: on a spin above `LARGEST_SPIN`, or on a window that ends before it begins.
    """
    found = relaxing_outcomes(parameters, window, photons=True).photons
    until = np.zeros(2) if found is None else found.mean.sum(axis=(1, 2))
    return float((until[1] - until[0]) / max(window[1] - window[0], 1e-300))


def relaxing_system(parameters: TwoEnsembles) -> Generator:
    """The generator of a pair that is small enough for all its states to be kept."""
    if parameters.spin > LARGEST_SPIN:
        raise ValueError(
            f"Argument `parameters` must have a spin of at most {LARGEST_SPIN:g} for the exact "
            f"outcomes of a relaxing pair, but has {parameters.spin:g}."
        )
    return generator(parameters)


def to_product_basis(system: Generator) -> NDArray[np.complex128]:
    """Amplitudes of |n1, n2> from those of the generator's states and gauge, (d^2, states)."""
    gauge = (-1j) ** ((system.total + system.projection) % 4)
    turned: NDArray[np.complex128] = _coupling(system.parameters.spin, system) * gauge
    return turned


def _rate_matrices(parameters: TwoEnsembles, system: Generator, exchange: bool) -> tuple[Any, ...]:
    """dK/d ln Omega, dK/d ln Delta, dK/d chi: differences of drifts, which are linear in them."""
    decay = sp.diags_array(0.5 * system.decay)
    spin, rabi = parameters.spin, parameters.rabi_frequency
    tiny = 1e-30  # what a pair must not lack, small enough to be lost in the sums

    def drift(omega: float, delta: float, chi: float) -> Any:
        pair = TwoEnsembles(spin, omega, delta, chi, parameters.collective_decay)
        return generator(pair).drift + decay

    by_rabi = drift(rabi, tiny * rabi, 0.0)
    by_detuning = drift(tiny * rabi, parameters.detuning_difference or tiny * rabi, 0.0)
    if not exchange:
        return by_rabi, by_detuning
    return by_rabi, by_detuning, drift(tiny * rabi, 0.0, 1.0)


def _follow(
    system: Generator, rates: tuple[Any, ...], duration: float, entries: Any, photons: bool
) -> tuple[Ellipse, Array, Matrix]:
    """Propagate all atoms down with its derivatives; a wider ellipse where one is too small."""
    each = 1 + len(rates)
    size, blocks = system.size, 2 * each + 1 if photons else each
    kind = np.result_type(system.drift.dtype, *(one.dtype for one in rates))
    start: Matrix = np.zeros((size, blocks, size), dtype=kind)
    phi = system.all_down()
    start[:, 0, :] = np.multiply.outer(phi, phi)
    ellipse = spectral_ellipse(system)
    steps = max(duration, 1e-12)
    for _ in range(6):
        recursion = _stacked(system, rates, kind, photons)
        end, measured = propagate(recursion, start, ellipse, steps, entries)
        lost = 1.0 - float(np.real(np.trace(end[:, 0, :])))
        if abs(lost) < _TRACE_ERROR:
            return ellipse, measured, end
        ellipse = ellipse.enlarged(1.25)
    raise ArithmeticError(f"The propagation of {system.parameters} lost its trace.")


def _stacked(
    system: Generator, rates: tuple[Any, ...], kind: Any, photons: bool
) -> Callable[[float, float], Callable[[Matrix, Matrix, float], None]]:
    """The recursion of `propagate` for (n, blocks, n): the state, and its derivatives.

    With photons the same of their means follows, and last their pairs.
    """
    each = 1 + len(rates)
    size, blocks = system.size, 2 * each + 1 if photons else each
    starts = (0, each) if photons else (0,)

    def recursion(scale: float, shift: float) -> Callable[[Matrix, Matrix, float], None]:
        half = scale * (system.drift + 0.5 * shift * sp.eye_array(size, format="csr"))
        turned = [(scale * one).tocsr() for one in rates]
        weights = scale * np.multiply.outer(system.jump[:-1], system.jump[:-1])[:, None, :]

        def advance(now: Matrix, before: Matrix, back: float) -> None:
            left = (half @ now.reshape(size, -1)).reshape(size, blocks, size)
            for begin in starts:
                first = np.ascontiguousarray(now[:, begin, :])
                for index, one in enumerate(turned, begin + 1):
                    left[:, index, :] += one @ first
            before *= -back
            before += left
            other = left.transpose(2, 1, 0)
            before += other if kind.kind == "f" else other.conj()
            jumped = weights * now[1:, :, 1:]
            before[:-1, :, :-1] += jumped
            if photons:
                before[:-1, each : 2 * each, :-1] += jumped[:, :each]
                before[:-1, -1, :-1] += 2.0 * jumped[:, each]

        return advance

    return recursion


@dataclass(frozen=True, slots=True, eq=False)
class _Diagonal:
    """Elements of rho that populations of the product basis need, and how they add up."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    weights: Any  # sparse (d^2, elements)
    dimension: int

    @classmethod
    def of(cls, parameters: TwoEnsembles, system: Generator) -> _Diagonal:
        """Pairs of states of the same m; rho is Hermitian, so one half of them will do."""
        coupling = _coupling(parameters.spin, system)
        rows, columns = np.nonzero(
            np.equal.outer(system.projection, system.projection)
            & np.greater_equal.outer(system.total, system.total)
        )
        gauge = (-1j) ** ((system.total[rows] - system.total[columns]) % 4)
        twice = np.where(rows == columns, 1.0, 2.0)
        weights = coupling[:, rows] * coupling[:, columns] * (twice * gauge)
        return cls(rows, columns, sp.csr_array(weights), dimension_of(parameters.spin))

    def entries(self, stacked: Matrix) -> Matrix:
        """The elements of every block, (elements * blocks,)."""
        return stacked[self.rows, :, self.columns].ravel()

    def tables(self, elements: Matrix) -> Array:
        """(blocks, T, d, d) from (T, elements * blocks)."""
        times = elements.shape[0]
        stacked = elements.reshape(times, self.rows.size, -1).transpose(1, 2, 0)
        blocks = stacked.shape[1]
        summed = (self.weights @ stacked.reshape(self.rows.size, -1)).real
        shaped = summed.reshape(self.dimension, self.dimension, blocks, times)
        return np.ascontiguousarray(shaped.transpose(2, 3, 0, 1))


def _coupling(spin: float, system: Generator) -> Array:
    """<n1, n2|J, m>, (d^2, states): |J, -J> raised step by step."""
    dimension = dimension_of(spin)
    raising = _total_lowering(spin).T
    coupling = np.zeros((dimension**2, system.size))
    for total in range(dimension):
        up = np.arange(dimension - total)
        column = np.zeros(dimension**2)
        column[up * dimension + (dimension - 1 - total - up)] = coupled_amplitudes(spin, total)
        for m in range(-total, total + 1):
            coupling[:, total * total + total + m] = column
            if m < total:
                column = raising @ column / np.sqrt((total - m) * (total + m + 1.0))
    return coupling


def _total_lowering(spin: float) -> Any:
    """S1^- + S2^- in the product basis, atoms up ascending."""
    dimension = dimension_of(spin)
    n = np.arange(1.0, dimension)
    lower = sp.diags_array(np.sqrt(n * (dimension - n)), offsets=1)
    one = sp.eye_array(dimension)
    return (sp.kron(lower, one) + sp.kron(one, lower)).tocsr()
