r"""Correlation lengths, string order and AKLT fidelity of the chain.

The string correlator of the cells k and l is

    < Z_k exp[i phi sum_{q=k}^{l-1} Z_q] Z_l >,   Z_q = S_{2q}^z + S_{2q+1}^z.

In the large-drive limit it tends to a constant, the string order; at a finite drive it
decays over L_string, which grows as the square of the drive. Lengths count ensembles,
two for each cell. Equation numbers: Chu et al., "Reconfigurable dissipative
entanglement", Sec. V D and App. D.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ._checks import finite, whole
from .chain import (
    Chain,
    aklt_amplitudes,
    cell_amplitudes,
    cell_tensor,
    cells_between,
    coupled_cell_tensor,
    left_boundary,
)
from .many_ensembles import pair_amplitudes
from .six_j import six_j_table
from .spins import magnetic_numbers

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]


def rank_eigenvalues(chain: Chain) -> Array:
    r"""Transfer-matrix eigenvalues of the large-drive limit by rank k = 0 … 2S, O(S^2).

    $\lambda_k = \sum_J |f_J|^2 \frac{2J+1}{2S+1} (-1)^{2S+J+k} \{S S k; S S J\}$, each
    2k+1 times; lambda_0 = 1. Correlations of spin components decay as lambda_1^cells. The
    paper has the case S = 1/2, lambda_1 = (|f_0|^2 - |f_1|^2)/4 (Chu Eq. D26).
    """
    weights = np.abs(cell_amplitudes(chain)) ** 2
    j = np.arange(weights.size)
    signs = np.where(j % 2 == 0, 1.0, -1.0)
    overall = 1.0 if chain.dimension % 2 else -1.0
    summed = six_j_table(chain.spin) @ (signs * weights * (2.0 * j + 1.0))
    eigenvalues: Array = overall * signs * summed / chain.dimension
    return eigenvalues


def transfer_eigenvalues(chain: Chain, angle: float = 0.0) -> ComplexArray:
    """Eigenvalues of the transfer matrix with exp(i angle Z) in each cell, at any drive.

    (2S+1)^2 numbers, largest modulus first (Chu Eq. D14). Angle 0 is the ordinary one.

    Raises:
        ValueError: when 2S+1 exceeds 32.
    """
    tensor = cell_tensor(chain)
    values = np.linalg.eigvals(_transfer(tensor, tensor, _string(chain, angle)))
    return values[np.argsort(-np.abs(values), kind="stable")].astype(np.complex128)


def correlation_length(chain: Chain) -> float:
    """L_corr = -2/ln|lambda|, with the second largest eigenvalue (Chu Eq. D25).

    The reach of the longest correlation of any kind. Zero where all other eigenvalues vanish,
    as on Delta_b^2 = Delta_e^2 in the large-drive limit.
    """
    if chain.rabi_frequency == math.inf:
        moduli = np.abs(rank_eigenvalues(chain)[1:])
    else:
        moduli = np.abs(transfer_eigenvalues(chain)[1:])
    return _length(float(moduli.max()))


def spin_correlation_length(chain: Chain) -> float:
    """Length over which <S_k^z S_l^z> itself decays in the large-drive limit (Chu Eq. 35).

    A spin is a tensor of rank 1, so lambda_1 of `rank_eigenvalues` decides. The paper
    takes the second largest eigenvalue, which for S >= 1 can have another rank: then
    `correlation_length` is longer.

    Raises:
        ValueError: at a finite drive, where ranks mix.
    """
    if chain.rabi_frequency != math.inf:
        raise ValueError(
            "Argument `chain` must have an infinite rabi_frequency here, but has "
            f"{chain.rabi_frequency!r}; use correlation_length."
        )
    return _length(abs(float(rank_eigenvalues(chain)[1])))


def string_length(chain: Chain, angle: float = math.pi) -> float:
    """L_string = -2/ln|lambda_G| of the string correlator's decay (Chu Eq. D28).

    Infinite in the large-drive limit. At the AKLT detunings (2/3)(Omega/chi)^2 from
    Omega = 5 chi on. What is rounded is 1 - |lambda_G|: the relative error is about 1e-15 times
    the length, below 1e-9 up to a million ensembles.
    """
    finite(angle, "angle")
    if chain.rabi_frequency == math.inf or _full_turns(angle):
        return math.inf
    return _length(float(np.abs(transfer_eigenvalues(chain, angle)[0])))


def string_order(chain: Chain, angle: float = math.pi) -> float:
    """The string correlator at infinite distance.

    In the large-drive limit the closed form (Chu Eq. 38), any S: positive at angle pi for
    half-integer S, zero for integer S, 4/9 for AKLT. At a finite drive it is zero, but for
    full turns, where no string is left and the square of <Z> remains.
    """
    if chain.rabi_frequency == math.inf:
        return order_of_amplitudes(cell_amplitudes(chain), angle)
    if not _full_turns(finite(angle, "angle")):
        return 0.0
    tensor = cell_tensor(chain)
    left = _left_fixed_point(chain, tensor)
    mean = left @ _transfer(tensor, tensor, _cell_spin(chain)) @ _identity(chain)
    return float(mean.real**2)


def order_of_amplitudes(amplitudes: ComplexArray, angle: float) -> float:
    """String order at infinite distance for given f_J (Chu Eqs. 38-39)."""
    spin = 0.5 * (amplitudes.size - 1)
    j = np.arange(amplitudes.size, dtype=np.float64)
    strength = (j * (j + 1.0) * (2.0 * j + 1.0)) @ np.abs(amplitudes) ** 2
    strength /= 2.0 * spin * (spin + 1.0) * amplitudes.size**3
    m = magnetic_numbers(spin)
    return float((strength * (m @ np.sin(m * finite(angle, "angle")))) ** 2)


def string_correlation(chain: Chain, cells: int, angle: float = math.pi) -> float:
    """Real part of the string correlator `cells` apart, deep in a long chain, at any drive.

    Chu Eq. D15. The imaginary part is zero in the large-drive limit and at angle pi.

    Raises:
        ValueError: when `cells` is below 1 or 2S+1 exceeds 32.
    """
    tensor = cell_tensor(chain)
    left = _left_fixed_point(chain, tensor)
    return _correlator(chain, tensor, left, whole(cells, "cells", least=1), angle)


def finite_string_correlation(
    chain: Chain, ensembles: int, first: int, last: int, angle: float = math.pi
) -> float:
    """The same between the cells `first` < `last` of a chain of L ensembles.

    Cells are numbered 1 … L/2-1; cell q holds the ensembles 2q and 2q+1. This is the mean
    of `string_correlator` over shots.

    Raises:
        ValueError: on cells outside the chain, or 2S+1 above 32.
    """
    check_cells(ensembles, first, last)
    tensor = cell_tensor(chain)
    boundary = left_boundary(chain)
    left = (boundary.T @ boundary.conj()).ravel()
    plain = _transfer(tensor, tensor, np.ones((chain.dimension,) * 2))
    for _ in range(first - 1):
        left = left @ plain
    return _correlator(chain, tensor, left, last - first, angle)


def aklt_fidelity(chain: Chain, ensembles: int) -> float:
    """Fidelity of a chain of L ensembles with the ideal AKLT state of spin 2S in its cells.

    The target has the same dangling spins S at its two ends: for S = 1/2 it is the
    large-drive limit of `aklt_chain`. Drive and detunings of `chain` are as they are.
    """
    cells = cells_between(ensembles)
    singlet = pair_amplitudes(chain.spin, 0.0, 0.0, math.inf)
    boundary = left_boundary(chain)
    overlap = (boundary.T @ singlet.conj()).ravel()
    if cells:
        target = coupled_cell_tensor(aklt_amplitudes(chain.spin))
        step = _transfer(cell_tensor(chain), target, np.ones((chain.dimension,) * 2))
        for _ in range(cells):
            overlap = overlap @ step
    return float(abs(overlap @ _identity(chain)) ** 2)


def check_cells(ensembles: int, first: int, last: int) -> None:
    """Refuse cells that are not 1 <= first < last <= L/2 - 1."""
    cells = cells_between(ensembles)
    whole(first, "first", least=1)
    if not first < whole(last, "last", least=1) <= cells:
        raise ValueError(
            f"Argument `last` must lie above `first` = {first} and not exceed the {cells} cells "
            f"of {ensembles} ensembles, but is {last!r}."
        )


def _correlator(
    chain: Chain, tensor: ComplexArray, left: ComplexArray, distance: int, angle: float
) -> float:
    string = _string(chain, angle)
    spin = _cell_spin(chain)
    vector = _transfer(tensor, tensor, spin) @ _identity(chain)
    step = _transfer(tensor, tensor, string)
    for _ in range(distance - 1):
        vector = step @ vector
    return float((left @ _transfer(tensor, tensor, spin * string) @ vector).real)


def _transfer(ket: ComplexArray, bra: ComplexArray, weights: NDArray[np.inexact]) -> ComplexArray:
    """sum_ab w[a,b] A[ab] (x) conj(B[ab]) as a matrix from (beta, beta') to (alpha, alpha')."""
    dimension = ket.shape[0]
    square = dimension * dimension
    weighted = (ket * weights[:, :, None, None]).reshape(square, square)
    product = (weighted.T @ bra.reshape(square, square).conj()).reshape((dimension,) * 4)
    return product.transpose(0, 2, 1, 3).reshape(square, square)


def _left_fixed_point(chain: Chain, tensor: ComplexArray) -> ComplexArray:
    """The bond's density matrix deep in the chain: left eigenvector of eigenvalue 1, trace 1."""
    plain = _transfer(tensor, tensor, np.ones((chain.dimension,) * 2))
    identity = _identity(chain)
    # adding the projector on the known eigenvalue makes the singular system regular
    system = np.eye(plain.shape[0]) - plain.T + np.outer(identity, identity)
    return np.linalg.solve(system, identity).astype(np.complex128)


def _identity(chain: Chain) -> Array:
    """The right fixed point: A is isometric from alpha to (m_a, m_b, beta)."""
    return np.eye(chain.dimension).ravel()


def _cell_spin(chain: Chain) -> Array:
    m = magnetic_numbers(chain.spin)
    total: Array = m[:, None] + m[None, :]
    return total


def _string(chain: Chain, angle: float) -> ComplexArray:
    turns: ComplexArray = np.exp(1j * finite(angle, "angle") * _cell_spin(chain))
    return turns


def _full_turns(angle: float) -> bool:
    """Whether exp(i angle Z) is 1 for the whole numbers Z."""
    return abs(math.remainder(angle, 2.0 * math.pi)) < 1e-12


def _length(modulus: float) -> float:
    if modulus < 1e-14:
        return 0.0
    return math.inf if modulus >= 1.0 else -2.0 / math.log(modulus)
