r"""The gates that exchange the detunings of two neighbouring ensembles.

A gate is a phase for each total spin J of the two ensembles,

    U = sum_J e^{i theta_J} P_J,   theta_0 = 0

(Chu Eq. 22), with P_J the projector on J. It leaves S_l + S_{l+1} alone and turns
H(…, d_l, d_{l+1}, …) into H(…, d_{l+1}, d_l, …) when the phases obey Chu Eq. 24. Source:
Chu et al., "Reconfigurable dissipative entanglement", Sec. IV A.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

from ._checks import dimension_of, finite

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]
_Block = tuple[NDArray[np.intp], NDArray[np.intp], Array]


def swap_phases(spin: float, first: float, second: float, exchange: float) -> ComplexArray:
    r"""Phase factors $e^{i\theta_J}$, J = 0 … 2S, of the gate for (first, second) (Chu Eq. 24).

    Args:
        spin: S of both ensembles.
        first: detuning of the left ensemble before the swap.
        second: detuning of the right ensemble before the swap.
        exchange: chiral exchange chi, in the unit of the detunings.

    Equal detunings give ones. A difference far above chi*S swaps the two ensembles; in
    between the gate entangles them.
    """
    dimension = dimension_of(spin)
    difference = finite(first, "first") - finite(second, "second")
    if difference == 0.0:
        return np.ones(dimension, dtype=np.complex128)
    return detuning_phases(dimension, -difference, finite(exchange, "exchange"))


def detuning_phases(dimension: int, shift: float, exchange: float) -> ComplexArray:
    """Running product over J of (X - i chi (J+1)) / (-X - i chi (J+1)), ones where X = 0.

    X = `shift` is minus the detuning difference that the gate exchanges; this is the form
    of the phases in Chu Eqs. C2 and D3.
    """
    phases = np.ones(dimension, dtype=np.complex128)
    if shift != 0.0:
        ladder = 1j * exchange * np.arange(1, dimension)
        phases[1:] = np.cumprod((shift - ladder) / (-shift - ladder))
    return phases


def apply_spectrum(amplitudes: ComplexArray, axis: int, spectrum: ComplexArray) -> ComplexArray:
    """Apply sum_J spectrum[J] P_J to the axes `axis` and `axis`+1 of a tensor.

    Every axis of `amplitudes` touched here has length 2S+1 with m descending. The
    arithmetic is (4/3)(2S+1) multiply-adds for each amplitude.
    """
    dimension = spectrum.size
    left = int(np.prod(amplitudes.shape[:axis], dtype=np.int64))
    grouped = amplitudes.reshape(left, dimension * dimension, -1)
    result = np.empty_like(grouped)
    for rows, totals, vectors in _blocks(dimension):
        gate = (vectors * spectrum[totals]) @ vectors.T
        part = grouped[:, rows, :].transpose(1, 0, 2)
        turned = gate @ part.reshape(rows.size, -1)
        result[:, rows, :] = turned.reshape(part.shape).transpose(1, 0, 2)
    return result.reshape(amplitudes.shape)


def spectral_gate(spectrum: ComplexArray) -> ComplexArray:
    """The matrix sum_J spectrum[J] P_J as (2S+1, 2S+1, 2S+1, 2S+1) [m1, m2, m1', m2']."""
    dimension = spectrum.size
    identity = np.eye(dimension * dimension, dtype=np.complex128)
    shape = (dimension,) * 4
    return apply_spectrum(identity.reshape(shape), 0, spectrum)


@lru_cache(maxsize=4)
def _blocks(dimension: int) -> tuple[_Block, ...]:
    """For each m1+m2: the basis states, the J that occur, and the eigenvectors of S1.S2.

    The eigenvalues J(J+1)/2 - S(S+1) rise with J, so the order tells J and the signs of
    the eigenvectors do not matter.
    """
    spin = 0.5 * (dimension - 1)
    blocks: list[_Block] = []
    for total in range(2 * dimension - 1):
        i = np.arange(max(0, total - dimension + 1), min(total, dimension - 1) + 1)
        m1, m2 = spin - i, spin - (total - i)
        lower = np.sqrt((spin + m1) * (spin - m1 + 1.0))[:-1]
        higher = np.sqrt((spin - m2) * (spin + m2 + 1.0))[:-1]
        vectors: Array = np.ones((1, 1))
        if i.size > 1:
            vectors = np.asarray(
                eigh_tridiagonal(m1 * m2, 0.5 * lower * higher)[1], dtype=np.float64
            )
        least = abs(dimension - 1 - total)
        blocks.append((i * dimension + total - i, np.arange(least, dimension), vectors))
    return tuple(blocks)
