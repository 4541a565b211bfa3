"""Entanglement and quantum Fisher information of L ensembles.

Generators are sums of S_l^z with weights: U = exp[-i phi sum_l v_l S_l^z]. Ensembles are
numbered from 1. Equation numbers: Chu et al., "Reconfigurable dissipative entanglement".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import svdvals

from ._checks import finite
from .many_ensembles import ManyEnsembleState
from .spins import ladder_elements, magnetic_numbers

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]


@dataclass(frozen=True, slots=True, eq=False)
class SpinMoments:
    """First and second moments of all spin components, in units of hbar.

    Attributes:
        mean: (L, 3), <S_l^a> for a = x, y, z.
        covariance: (L, 3, L, 3), half the anticommutator less the product of the means.
    """

    mean: Array = field(repr=False)
    covariance: Array = field(repr=False)


def schmidt_weights(state: ManyEnsembleState, ensembles: Sequence[int]) -> Array:
    """Weights (squared Schmidt coefficients, descending) between `ensembles` and the rest.

    Args:
        state: the steady state.
        ensembles: numbers from 1 of the ensembles on one side; neither none nor all.

    Raises:
        ValueError: on a number outside 1 … L, given twice, or on an empty side.
    """
    count = state.parameters.ensembles
    inside = [_label(number, count) - 1 for number in ensembles]
    if len(set(inside)) != len(inside) or not 0 < len(inside) < count:
        raise ValueError(
            f"Argument `ensembles` must name some but not all of {count} ensembles once, "
            f"but is {tuple(ensembles)!r}."
        )
    outside = [axis for axis in range(count) if axis not in inside]
    matrix = state.amplitudes.transpose(inside + outside)
    singular: Array = np.asarray(
        svdvals(matrix.reshape(state.parameters.dimension ** len(inside), -1))
    )
    return np.square(singular)


def entanglement_entropy(state: ManyEnsembleState, ensembles: Sequence[int]) -> float:
    """Von Neumann entropy in nats of the named ensembles (Chu Fig. 5)."""
    weights = schmidt_weights(state, ensembles)
    kept = weights[weights > 0.0]
    return float(-(kept @ np.log(kept)))


def entanglement_entropies(state: ManyEnsembleState) -> dict[tuple[int, ...], float]:
    """Entropy in nats of every bipartition, named by its smaller side.

    Of two sides of equal size the one with ensemble 1 names it: 2^(L-1) - 1 entries.
    """
    count = state.parameters.ensembles
    entropies = {}
    for size in range(1, count // 2 + 1):
        for side in combinations(range(1, count + 1), size):
            if 2 * size < count or side[0] == 1:
                entropies[side] = entanglement_entropy(state, side)
    return entropies


def qfi_matrix(state: ManyEnsembleState) -> Array:
    """Quantum Fisher information matrix 4 Cov(S_k^z, S_l^z) of the local phases (Chu Eq. 27)."""
    count = state.parameters.ensembles
    m = magnetic_numbers(state.parameters.spin)
    populations = state.populations
    means = np.empty(count)
    for k in range(count):
        means[k] = m @ _marginal(populations, (k,))
    covariance = np.empty((count, count))
    for k in range(count):
        covariance[k, k] = _marginal(populations, (k,)) @ (m - means[k]) ** 2
        for other in range(k + 1, count):
            joint = _marginal(populations, (k, other))
            covariance[k, other] = (m - means[k]) @ joint @ (m - means[other])
            covariance[other, k] = covariance[k, other]
    matrix: Array = 4.0 * covariance
    return matrix


def weighted_qfi(matrix: ArrayLike, weights: Sequence[float]) -> float:
    """v^T F v: information on phi in exp[-i phi sum_l v_l S_l^z] from a QFI matrix.

    The SQL for weights of +-1 on L ensembles of 2S atoms is 2 S L.
    """
    information = np.asarray(matrix, dtype=np.float64)
    v = _weights(weights, information.shape[0], "weights")
    return float(v @ information @ v)


def dephased_qfi(
    state: ManyEnsembleState, weights: Sequence[float], noise: Sequence[Sequence[int]]
) -> float:
    """QFI of sum_l v_l S_l^z after complete dephasing by other such generators.

    Args:
        state: the steady state.
        weights: v_l of the wanted phase.
        noise: integer weights of each generator whose phase is unknown in every shot,
            uniform over a full turn: (1, …, 1) is a common phase, (3, 1, -1, -3) a
            gradient. An empty list gives the pure state's QFI.

    Dephasing leaves a mixture of pure states, one for each set of eigenvalues of the noise
    generators; these states are orthogonal and commute with the wanted generator, so the
    information is the weighted sum of their own 4 Var (Chu Sec. IV B and Fig. 6c).
    """
    count = state.parameters.ensembles
    v = _weights(weights, count, "weights")
    m = magnetic_numbers(state.parameters.spin)
    populations = state.populations
    generator = _diagonal([value * m for value in v]).ravel()
    doubled = 2.0 * m  # whole numbers, so that the sums below are exact
    key = np.zeros(populations.size, dtype=np.int64)
    for row in noise:
        integers = _whole_weights(row, count)
        values = _diagonal([value * doubled for value in integers]).ravel().astype(np.int64)
        _, key = np.unique(key * (np.ptp(values) + 1) + values - values.min(), return_inverse=True)
    p = populations.ravel()
    block = np.bincount(key, weights=p)
    first = np.bincount(key, weights=p * generator)
    mean = np.divide(first, block, out=np.zeros_like(first), where=block > 0.0)
    return float(4.0 * p @ (generator - mean[key]) ** 2)


def spin_moments(state: ManyEnsembleState) -> SpinMoments:
    """Means and symmetrised covariances of S_l^x, S_l^y, S_l^z for all ensembles."""
    psi = state.amplitudes
    count = state.parameters.ensembles
    vectors = np.stack([part.ravel() for axis in range(count) for part in _components(psi, axis)])
    flat = psi.ravel()
    mean = (vectors @ flat.conj()).real
    gram = (vectors.conj() @ vectors.T).real
    return SpinMoments(
        mean=mean.reshape(count, 3),
        covariance=(gram - np.outer(mean, mean)).reshape(count, 3, count, 3),
    )


def linear_readout_information(state: ManyEnsembleState, azimuth: float = 0.0) -> Array:
    r"""Information on the local phases that the mean counts carry, (L, L) matrix.

    A pi/2 pulse about the axis at `azimuth` a in the x-y plane reads S_l^y cos a -
    S_l^x sin a of each ensemble; its mean moves with the phase of ensemble l by
    S_l^x cos a + S_l^y sin a. With signal slopes D and covariance C the matrix is
    D C^-1 D, never above the QFI matrix; in the large-drive limit it vanishes, and the
    phases must be read from correlations.
    """
    angle = finite(azimuth, "azimuth")
    moments = spin_moments(state)
    along = np.array([np.cos(angle), np.sin(angle), 0.0])
    across = np.array([-np.sin(angle), np.cos(angle), 0.0])
    slopes = moments.mean @ along
    covariance = np.einsum("a,kalb,b->kl", across, moments.covariance, across)
    information: Array = slopes[:, None] * np.linalg.pinv(covariance, hermitian=True) * slopes
    return information


def _components(psi: ComplexArray, axis: int) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    """S^x psi, S^y psi, S^z psi for the ensemble of one axis."""
    moved = np.moveaxis(psi, axis, 0)
    spin = 0.5 * (moved.shape[0] - 1)
    shape = (-1,) + (1,) * (moved.ndim - 1)
    ladder = ladder_elements(spin).reshape(shape)
    up, down = np.zeros_like(moved), np.zeros_like(moved)
    up[:-1] = ladder * moved[1:]
    down[1:] = ladder * moved[:-1]
    parts = (
        0.5 * (up + down),
        -0.5j * (up - down),
        magnetic_numbers(spin).reshape(shape) * moved,
    )
    x, y, z = (np.moveaxis(part, 0, axis) for part in parts)
    return x, y, z


def _marginal(populations: Array, axes: tuple[int, ...]) -> Array:
    others = tuple(axis for axis in range(populations.ndim) if axis not in axes)
    marginal: Array = populations.sum(axis=others)
    return marginal


def _diagonal(rows: Sequence[Array]) -> Array:
    """sum_l rows[l][i_l] as a tensor with one axis for each ensemble."""
    total = rows[0]
    for row in rows[1:]:
        total = np.add.outer(total, row)
    return total


def _label(number: int, count: int) -> int:
    if number != int(number) or not 1 <= number <= count:
        raise ValueError(
            f"Argument `ensembles` must hold numbers from 1 to {count}, but holds {number!r}."
        )
    return int(number)


def _weights(weights: Sequence[float], count: int, name: str) -> Array:
    v = np.asarray(weights, dtype=np.float64)
    if v.shape != (count,) or not np.isfinite(v).all():
        raise ValueError(f"Argument `{name}` must hold {count} finite numbers, but is {weights!r}.")
    return v


def _whole_weights(weights: Sequence[int], count: int) -> Array:
    v = _weights(weights, count, "noise")
    if (v != np.rint(v)).any():
        raise ValueError(
            f"Argument `noise` must hold whole numbers (scale them first), but holds {weights!r}."
        )
    return v
