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
    """

    parameters: TwoEnsembles
    times: Array
    probability: Array = field(repr=False)
    slopes: Array = field(repr=False)


def relaxing_outcomes(
    parameters: TwoEnsembles,
    times: Sequence[float] | Array,
    *,
    derivatives: bool = False,
    exchange: bool = False,
) -> RelaxingOutcomes:
    """Joint distribution of the atoms at each time after starting from all atoms down.

    Args:
        parameters: the pair; time counts in the inverse unit of its rates.
        times: rising, not negative.
        derivatives: whether slopes are wanted; takes two to three times as long.
        exchange: whether the slope by chi is wanted too (complex numbers: twice the time).

    Raises:
        ValueError: on a spin above `LARGEST_SPIN`, on times that fall or are negative.
        ArithmeticError: when the propagation loses the trace (not seen in practice).
    """
    wanted = rising_times(times)
    system = _system(parameters)
    rates = _rate_matrices(parameters, system, exchange) if derivatives else ()
    picks = _Diagonal.of(parameters, system)
    ellipse, measured, _ = _follow(system, rates, float(wanted[-1]), picks.entries)
    probability = picks.tables(dense_output(ellipse, wanted, measured))
    if not derivatives:
        return RelaxingOutcomes(parameters, wanted, probability[0], np.zeros((0, 0, 0, 0)))
    ends = [
        picks.tables(dense_output(ellipse, wanted * (1.0 + step), measured))[0]
        for step in (_STEP, -_STEP)
    ]
    by_decay = (ends[0] - ends[1]) / (2.0 * _STEP) - probability[1] - probability[2]
    if exchange:
        by_decay -= parameters.exchange * probability[3]
    slopes = np.concatenate([by_decay[None], probability[1:]])
    return RelaxingOutcomes(parameters, wanted, probability[0], slopes)


def relaxed_state(parameters: TwoEnsembles, time: float) -> NDArray[np.complex128]:
    """Density matrix after `time` from all atoms down, in the product basis.

    Returns:
        (d^2, d^2) with d = 2S+1; row n1 d + n2 is |n1, n2>, n_j = S + m_j atoms up.

    Raises:
        ValueError: on a spin above `LARGEST_SPIN` or a negative time.
        ArithmeticError: when the propagation loses the trace (not seen in practice).
    """
    duration = not_negative(time, "time")
    system = _system(parameters)
    phi = system.all_down()
    rho: Matrix = np.multiply.outer(phi, phi)
    if duration > 0.0:
        _, _, stacked = _follow(system, (), duration, None)
        rho = stacked[:, 0, :]
    gauge = (-1j) ** ((system.total + system.projection) % 4)
    turned = _coupling(parameters.spin, system) * gauge
    state = turned @ rho @ turned.conj().T
    normalised: NDArray[np.complex128] = state / np.trace(state).real
    return normalised


def emission_rate(parameters: TwoEnsembles, state: NDArray[np.complex128]) -> float:
    """Gamma <J+ J->, photons per time that leave the cavity; zero in the dark state only."""
    lower = _total_lowering(parameters.spin)
    emitted = np.trace((lower.T @ lower) @ state).real
    return float(parameters.collective_decay * emitted)


def _system(parameters: TwoEnsembles) -> Generator:
    if parameters.spin > LARGEST_SPIN:
        raise ValueError(
            f"Argument `parameters` must have a spin of at most {LARGEST_SPIN:g} for the exact "
            f"outcomes of a relaxing pair, but has {parameters.spin:g}."
        )
    return generator(parameters)


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
    system: Generator, rates: tuple[Any, ...], duration: float, entries: Any
) -> tuple[Ellipse, Array, Matrix]:
    """Propagate all atoms down with its derivatives; a wider ellipse where one is too small."""
    size, blocks = system.size, 1 + len(rates)
    kind = np.result_type(system.drift.dtype, *(one.dtype for one in rates))
    start: Matrix = np.zeros((size, blocks, size), dtype=kind)
    phi = system.all_down()
    start[:, 0, :] = np.multiply.outer(phi, phi)
    ellipse = spectral_ellipse(system)
    steps = max(duration, 1e-12)
    for _ in range(6):
        end, measured = propagate(_stacked(system, rates, kind), start, ellipse, steps, entries)
        lost = 1.0 - float(np.real(np.trace(end[:, 0, :])))
        if abs(lost) < _TRACE_ERROR:
            return ellipse, measured, end
        ellipse = ellipse.enlarged(1.25)
    raise ArithmeticError(f"The propagation of {system.parameters} lost its trace.")


def _stacked(
    system: Generator, rates: tuple[Any, ...], kind: Any
) -> Callable[[float, float], Callable[[Matrix, Matrix, float], None]]:
    """The recursion of `propagate` for (n, blocks, n): the state, and its derivatives."""
    size, blocks = system.size, 1 + len(rates)

    def recursion(scale: float, shift: float) -> Callable[[Matrix, Matrix, float], None]:
        half = scale * (system.drift + 0.5 * shift * sp.eye_array(size, format="csr"))
        turned = [(scale * one).tocsr() for one in rates]
        weights = scale * np.multiply.outer(system.jump[:-1], system.jump[:-1])[:, None, :]

        def advance(now: Matrix, before: Matrix, back: float) -> None:
            left = (half @ now.reshape(size, -1)).reshape(size, blocks, size)
            first = np.ascontiguousarray(now[:, 0, :])
            for index, one in enumerate(turned, 1):
                left[:, index, :] += one @ first
            before *= -back
            before += left
            other = left.transpose(2, 1, 0)
            before += other if kind.kind == "f" else other.conj()
            before[:-1, :, :-1] += weights * now[1:, :, 1:]

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
