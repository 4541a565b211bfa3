r"""A chain of ensembles whose steady state is a matrix product state.

L ensembles (L even) have the detunings Delta_e/2 at the left end, -Delta_e/2 at the right
end, and +Delta_b/2, -Delta_b/2 in the cells (2k, 2k+1) between. Their steady state is

    psi(m_1 … m_L) = v[m_1] A[m_2, m_3] A[m_4, m_5] … e[m_L]

with one cell tensor A of bond dimension 2S+1 and e the unit vectors. In the large-drive
limit A^{Jm} is a Clebsch-Gordan coefficient times a number f_J; for S = 1/2 one choice of
detunings makes it the AKLT state of spin 1. Conventions: hbar = 1, angular rates in one
unit, m and bond indices in the order S … -S, cells and ensembles numbered from 1. Equation
numbers: Chu et al., "Reconfigurable dissipative entanglement", Sec. V and App. D.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._checks import dimension_of, finite, positive, whole
from .many_ensembles import DEFAULT_MEMORY_LIMIT, ManyEnsembles, check_memory, pair_amplitudes
from .many_ensembles_swaps import apply_spectrum, detuning_phases, spectral_gate, swap_phases
from .six_j import six_j_table

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_LARGEST_BOND = 32


@dataclass(frozen=True, slots=True)
class Chain:
    """Parameters of the chain, angular rates in one unit; its length is given later.

    Args:
        spin: S of each ensemble.
        edge_detuning: Delta_e; the first and last ensemble at +-Delta_e/2.
        bulk_detuning: Delta_b; within a cell +Delta_b/2, then -Delta_b/2.
        exchange: chiral exchange chi, not zero.
        rabi_frequency: common drive Omega, above zero; infinite by default.

    Raises:
        ValueError: on any value outside these rules. Without exchange a chain of more
            than one cell has no unique steady state.
    """

    spin: float
    edge_detuning: float
    bulk_detuning: float
    exchange: float
    rabi_frequency: float = math.inf

    def __post_init__(self) -> None:
        dimension_of(self.spin)
        finite(self.edge_detuning, "edge_detuning")
        finite(self.bulk_detuning, "bulk_detuning")
        if finite(self.exchange, "exchange") == 0.0:
            raise ValueError("Argument `exchange` must not be 0 in a chain.")
        if self.rabi_frequency != math.inf:
            positive(self.rabi_frequency, "rabi_frequency")

    @property
    def dimension(self) -> int:
        """2S+1: the states of one ensemble and the bond dimension."""
        return dimension_of(self.spin)

    def detunings(self, ensembles: int) -> tuple[float, ...]:
        """d_1 … d_L of a chain of L ensembles (Chu Fig. 7a)."""
        cells = cells_between(ensembles)
        edge, bulk = 0.5 * self.edge_detuning, 0.5 * self.bulk_detuning
        return (edge, *((bulk, -bulk) * cells), -edge)

    def as_many(self, ensembles: int) -> ManyEnsembles:
        """The same chain as parameters of the general solver."""
        return ManyEnsembles(
            self.spin, self.rabi_frequency, self.detunings(ensembles), self.exchange
        )


def aklt_chain(exchange: float, rabi_frequency: float = math.inf) -> Chain:
    """S = 1/2, Delta_e = 0, Delta_b = sqrt(2) chi: AKLT at infinite drive (Chu Eq. 34)."""
    return Chain(0.5, 0.0, math.sqrt(2.0) * exchange, exchange, rabi_frequency)


def cell_amplitudes(chain: Chain) -> ComplexArray:
    """f_J of the large-drive limit, J = 0 … 2S (Chu Eq. D11); O(S^2), any S.

    sum_J (2J+1)|f_J|^2 = (2S+1)^2 (Chu Eq. D12). All f_J = 1 is the dimer state, only
    f_2S different from 0 the AKLT state of spin 2S. The drive in `chain` does not enter.
    """
    edge, bulk = chain.edge_detuning, chain.bulk_detuning
    inner = detuning_phases(chain.dimension, 0.5 * (edge + bulk), chain.exchange)
    outer = detuning_phases(chain.dimension, 0.5 * (edge - bulk), chain.exchange)
    j = np.arange(chain.dimension)
    signs = np.where(j % 2 == 0, 1.0, -1.0)
    table = six_j_table(chain.spin)
    middle = outer * (2.0 * j + 1.0) * (table @ (signs * inner * (2.0 * j + 1.0)))
    return np.asarray(signs * (table @ middle), dtype=np.complex128)


def aklt_amplitudes(spin: float) -> ComplexArray:
    """f_J of the AKLT state of spin 2S: all zero but f_2S = (2S+1)/sqrt(4S+1).

    For S > 1/2 no detunings reach it; it is the state to compare with.
    """
    dimension = dimension_of(spin)
    amplitudes = np.zeros(dimension, dtype=np.complex128)
    amplitudes[-1] = dimension / math.sqrt(2.0 * dimension - 1.0)
    return amplitudes


def cell_tensor(chain: Chain) -> ComplexArray:
    """A[m_a, m_b, alpha, beta] of one cell, at any drive (Chu Eqs. D1 and D8).

    Isometric from alpha to (m_a, m_b, beta). O((2S+1)^5) multiply-adds.

    Raises:
        ValueError: when 2S+1 exceeds 32.
    """
    dimension = check_bond(chain)
    edge, bulk = 0.5 * chain.edge_detuning, 0.5 * chain.bulk_detuning
    pair = pair_amplitudes(chain.spin, chain.bulk_detuning, chain.exchange, chain.rabi_frequency)
    start = np.einsum("xa,bc->xabc", np.eye(dimension), pair)  # x: the incoming bond
    first = swap_phases(chain.spin, -edge, bulk, chain.exchange)
    second = swap_phases(chain.spin, -edge, -bulk, chain.exchange)
    turned = apply_spectrum(apply_spectrum(start, 1, first), 2, second)
    return np.ascontiguousarray(turned.transpose(1, 2, 0, 3))


def coupled_cell_tensor(amplitudes: ComplexArray) -> ComplexArray:
    r"""A[m_a, m_b, alpha, beta] from f_J (Chu Eqs. 32 and D10), in the product basis.

    $[A^{Jm}]_{\alpha\beta} = (-1)^{S+\beta} \langle S,\alpha;S,-\beta|J,m\rangle f_J
    / \sqrt{2S+1}$; for S = 1/2 that makes A^{00} = -(f_0/2) times the identity, where
    Chu Eq. 33 prints f_0/sqrt(2). Takes any f_J with sum (2J+1)|f_J|^2 = (2S+1)^2.
    """
    dimension = amplitudes.size
    down = np.arange(dimension)[::-1]  # S + beta, which is also the index of -beta
    signs = np.where(down % 2 == 0, 1.0, -1.0) / math.sqrt(dimension)
    gate = spectral_gate(amplitudes.astype(np.complex128))
    return np.ascontiguousarray(signs * gate[:, :, :, ::-1])


def left_boundary(chain: Chain) -> ComplexArray:
    """v[m_1, alpha] of the first ensemble: the pair state of Delta_e (Chu Eq. D5)."""
    return pair_amplitudes(chain.spin, chain.edge_detuning, chain.exchange, chain.rabi_frequency)


def chain_amplitudes(
    chain: Chain, ensembles: int, memory_limit: float = DEFAULT_MEMORY_LIMIT
) -> ComplexArray:
    """All (2S+1)^L amplitudes of the chain, multiplied out (Chu Eq. D1).

    Raises:
        ValueError: on an odd number of ensembles, or when 48 (2S+1)^L bytes exceed the limit.
    """
    cells = cells_between(ensembles)
    check_memory(chain.dimension, ensembles, memory_limit)
    psi = left_boundary(chain)
    tensor = cell_tensor(chain) if cells else psi
    for _ in range(cells):
        psi = np.tensordot(psi, tensor, (-1, 2))
    return psi


def cells_between(ensembles: int) -> int:
    """Number of cells L/2 - 1 in a chain of L ensembles; L must be even and at least 2."""
    count = whole(ensembles, "ensembles", least=2)
    if count % 2:
        raise ValueError(f"Argument `ensembles` must be even, but is {ensembles!r}.")
    return count // 2 - 1


def check_bond(chain: Chain) -> int:
    """Return 2S+1; refuse a cell tensor that would be too large to work with."""
    if chain.dimension > _LARGEST_BOND:
        raise ValueError(
            f"Argument `chain` must have 2S+1 <= {_LARGEST_BOND} for its cell tensor, but has "
            f"{chain.dimension}; the closed forms of the large-drive limit hold for any spin."
        )
    return chain.dimension
