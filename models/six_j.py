"""Wigner 6j symbols of four equal spins, stable for spins of hundreds.

Four spins S coupled to a total spin 0 have two natural bases: spins 1,2 and 3,4 first
coupled to j each, or 2,3 and 1,4 to j' each. The matrix between them is a table of 6j
symbols; it rules the large-drive limits of four ensembles and of chains. Source: Chu et
al., "Reconfigurable dissipative entanglement", Apps. C and D.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

from ._checks import dimension_of

Array = NDArray[np.float64]


def six_j_table(spin: float) -> Array:
    r"""The 6j symbols W[j, j'] = {S S j; S S j'} for j, j' = 0 … 2S.

    Args:
        spin: S, a positive multiple of 1/2; S = 500 takes 0.2 s.

    Returns:
        Symmetric (2S+1, 2S+1) array; sum_j (2j+1)(2j'+1) W[j,j'] W[j,j''] is 1 for
        j' = j'' and 0 otherwise (Chu Eq. C12).

    Raises:
        ValueError: when `spin` is not a positive multiple of 1/2.

    S2.S3 is tridiagonal in the basis of j and has the eigenvalues j'(j'+1)/2 - S(S+1), so
    its eigenvectors are the table: no factorials, O(S^2) storage. Symmetric to 1e-13 at
    S = 500.
    """
    return _table(dimension_of(spin)).copy()


@lru_cache(maxsize=4)
def _table(dimension: int) -> Array:
    atoms = dimension - 1
    j = np.arange(dimension, dtype=np.float64)
    low = j[:-1]
    diagonal = -0.25 * j * (j + 1.0)
    off = (atoms - low) * (atoms + low + 2.0) * (low + 1.0)
    off /= 4.0 * np.sqrt((2.0 * low + 1.0) * (2.0 * low + 3.0))
    _, vectors = eigh_tridiagonal(diagonal, off)
    vectors = vectors * np.where(vectors[0] < 0.0, -1.0, 1.0)
    signs = np.where((atoms + np.arange(dimension)) % 2 == 0, 1.0, -1.0)
    root = np.sqrt(2.0 * j + 1.0)
    table: Array = vectors * signs / np.outer(root, root)
    table.flags.writeable = False
    return table
