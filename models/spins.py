"""One spin S and pairs of equal spins: rotation matrices and coupling coefficients.

A spin S stands for 2S spin-1/2 atoms in their symmetric states. Matrices here have
rows and columns in the order m = S, S-1, …, -S (descending).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from ._checks import dimension_of, finite, whole

Array = NDArray[np.float64]

_RESCALE_ABOVE = 1e100


def magnetic_numbers(spin: float) -> Array:
    """Return m = S, S-1, …, -S."""
    dimension = dimension_of(spin)
    return float(spin) - np.arange(dimension, dtype=np.float64)


def ladder_elements(spin: float) -> Array:
    """Return sqrt((S-m)(S+m+1)) for the steps m -> m+1, from m = S-1 down to m = -S."""
    m = magnetic_numbers(spin)[1:]
    return np.sqrt((spin - m) * (spin + m + 1.0))


def wigner_d(spin: float, beta: float) -> Array:
    r"""Wigner's small d matrix, $d_{m'm}(\beta) = \langle m'|e^{-i\beta S_y}|m\rangle$.

    Args:
        spin: S, a positive multiple of 1/2.
        beta: rotation angle in radians.

    Returns:
        Real orthogonal matrix (2S+1, 2S+1); rows m' and columns m both descending.

    Raises:
        ValueError: when `spin` is not a positive multiple of 1/2 or `beta` not finite.

    At pi/2 the recursion from the edge row is stable for any S; any other angle follows
    from the pi/2 matrix, which holds the eigenvectors of S_y (absolute error about 1e-14
    at S = 50).
    """
    dimension = dimension_of(spin)
    beta = finite(beta, "beta")
    quarter = _quarter_turn(dimension)
    if beta == math.pi / 2.0:
        return quarter.copy()
    return _turn(quarter, spin, beta)


def wigner_d_derivative(spin: float, beta: float) -> Array:
    r"""$\partial d_{m'm}/\partial\beta = [-iS_y\,d(\beta)]_{m'm}$, rows and columns descending."""
    matrix = wigner_d(spin, beta)
    half = 0.5 * ladder_elements(spin)[:, None]
    derivative = np.zeros_like(matrix)
    derivative[:-1] = -half * matrix[1:]
    derivative[1:] += half * matrix[:-1]
    return derivative


def coupled_amplitudes(spin: float, total: int) -> Array:
    r"""Clebsch-Gordan coefficients $\langle S,\mu;S,-J-\mu|J,-J\rangle$ (Condon-Shortley).

    Args:
        spin: S of both ensembles.
        total: J, from 0 to 2S.

    Returns:
        2S-J+1 real amplitudes for mu = -S, -S+1, …, S-J (ascending), with a relative error of
        1e-12 near the largest at S = 1e6. Exchanging the two spins, mu -> -J-mu, multiplies by
        (-1)^(2S-J).
    """
    atoms = dimension_of(spin) - 1
    j = whole(total, "total")
    if j > atoms:
        raise ValueError(f"Argument `total` must not exceed 2S = {atoms}, but is {total!r}.")
    size = atoms - j + 1
    up = np.arange(size // 2, size - 1, dtype=np.float64)  # S + mu; the second spin has 2S-J-up
    partner = atoms - j - up
    steps = 0.5 * np.log((j + up + 1.0) * partner / ((atoms - up) * (up + 1.0)))
    sizes = mirrored_from_middle(steps, size)
    amplitudes: Array = np.where((atoms - j + np.arange(size)) % 2 == 0, sizes, -sizes)
    return amplitudes


def mirrored_from_middle(log_steps: Array, size: int) -> Array:
    """Normalised sizes, largest in the middle and the same on both sides.

    `log_steps` are the logarithms of the ratios of neighbours from index size // 2 up. Summed
    outward from the largest, the logarithms keep their digits where gammas would lose nine.
    """
    right = np.exp(np.concatenate(([0.0], np.cumsum(log_steps))))
    sizes = np.concatenate((right[::-1][: size // 2], right))
    return np.asarray(sizes / np.linalg.norm(sizes), dtype=np.float64)


@lru_cache(maxsize=4)
def _quarter_turn(dimension: int) -> Array:
    """d(pi/2) by recursion in the row m', down from the edge row m' = S."""
    spin = 0.5 * (dimension - 1)
    m = spin - np.arange(dimension)
    log_scale = 0.5 * (
        gammaln(dimension) - gammaln(spin + m + 1.0) - gammaln(spin - m + 1.0)
    ) - spin * math.log(2.0)
    signs = np.where(np.arange(dimension) % 2 == 0, 1.0, -1.0)
    matrix = np.zeros((dimension, dimension))
    previous, current = np.zeros(dimension), signs.copy()
    matrix[0] = current * np.exp(log_scale)
    half = (dimension + 1) // 2
    for row in range(half - 1):
        top = spin - row
        step = 2.0 * m * current - math.sqrt((spin - top) * (spin + top + 1.0)) * previous
        previous, current = current, step / math.sqrt((spin - top + 1.0) * (spin + top))
        # Columns far from their classically allowed rows start below the smallest double:
        # the running values carry the growth, the logarithm the scale.
        large = np.abs(current) > _RESCALE_ABOVE
        if large.any():
            size = np.where(large, np.abs(current), 1.0)
            current, previous = current / size, previous / size
            log_scale = log_scale + np.log(size)
        matrix[row + 1] = current * np.exp(log_scale)
    matrix[half:] = signs * matrix[: dimension - half][::-1]
    matrix.flags.writeable = False
    return matrix


def _turn(quarter: Array, spin: float, beta: float) -> Array:
    """d(beta) from the eigenvectors of S_y, folded onto mu >= 0 (mu < 0 repeats it)."""
    dimension = quarter.shape[0]
    half = (dimension + 1) // 2
    mu = spin - np.arange(half)
    fold = np.where(mu == 0.0, 1.0, 2.0)
    upper = quarter[:half]
    even = upper.T @ (upper * (fold * np.cos(beta * mu))[:, None])
    odd = upper.T @ (upper * (fold * np.sin(beta * mu))[:, None])
    k = np.arange(dimension)
    steps = (k[None, :] - k[:, None]) % 4  # m' - m modulo 4
    cosine = np.array([1.0, 0.0, -1.0, 0.0])
    sine = np.array([0.0, 1.0, 0.0, -1.0])
    matrix: Array = cosine[steps] * even + sine[steps] * odd
    return matrix
