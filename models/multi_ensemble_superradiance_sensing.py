"""Distributed sensing with many ensembles: squeezing matrix, squeezing coefficient, design.

Each ensemble picks up a phase phi_k about S_Y,k and S_X,k is read; wanted is n.phi. Shen et
al., "Multi-ensemble superradiance for distributed quantum sensing", Eqs. 19-25, 113-125. The
direction n is used as given; sum |n_k| = 1 is the normalisation for which the best shot-noise
variance is 1/N. With m_k = n_k/sqrt(N p_k),

    xi2 = m^T Xi2 m / m^T m,   Var(n.phi) = xi2 sum_k n_k^2/(N p_k) = m^T Xi2 m per shot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from ._checks import finite, positive, whole
from .multi_ensemble_superradiance import (
    CoupledEnsembles,
    OperatingPoint,
    curvature_in_range,
    operating_point,
    real_vector,
)
from .multi_ensemble_superradiance_dark import DarkState, dark_state_at_curvature

Array = NDArray[np.float64]

_LEAST_FRACTION = 1e-12


@dataclass(frozen=True, slots=True)
class DirectionFigures:
    """How well one combination n.phi of the phases can be read.

    Attributes:
        direction: n, one entry per ensemble.
        squeezing_matrix: Xi2.
        mssc: xi2 along n, the metrological (multiparameter) spin-squeezing coefficient
            (Shen Eqs. 20, 119-120).
        smallest_eigenvalue: least xi2 that any direction has (Shen Eq. 121).
        shot_noise_variance: of n.phi per shot, uncorrelated atoms (Shen Eq. 124).
        variance: of n.phi per shot (Shen Eq. 123).
    """

    direction: tuple[float, ...]
    squeezing_matrix: Array = field(repr=False)
    mssc: float
    smallest_eigenvalue: float
    shot_noise_variance: float
    variance: float

    @property
    def gain_db(self) -> float:
        """-10 log10(xi2): positive when better than uncorrelated atoms."""
        return -10.0 * math.log10(self.mssc)

    def std(self, shots: int) -> float:
        """Standard deviation of n.phi from the mean of `shots` shots."""
        return math.sqrt(self.variance / whole(shots, "shots", least=1))


@dataclass(frozen=True, slots=True)
class SensorDesign:
    """Uniform coupling for one direction (Shen Eqs. 23-25, 122-124).

    Attributes:
        members: indices of the entries of n that are not zero; the others get no atoms.
        atom_numbers: whole N_k of the members, largest remainders rounded up.
        point: operating point of these ensembles, couplings sign(n_k).
        variance: of n.phi per shot at large N with the rounded atom numbers.
        ideal_variance: K (sum |n|)^2/N, that of unrounded fractions.
    """

    members: tuple[int, ...]
    atom_numbers: tuple[int, ...]
    point: OperatingPoint
    variance: float
    ideal_variance: float


@dataclass(frozen=True, slots=True)
class BestFractions:
    """Fractions of least variance at given couplings and curvature.

    Attributes:
        fractions: p_k.
        variance_per_atom: N Var(n.phi) per shot.
        mssc: xi2 along n at these fractions.
    """

    fractions: tuple[float, ...]
    variance_per_atom: float
    mssc: float


def shot_noise_variance(direction: ArrayLike, fractions: ArrayLike, atoms: int) -> float:
    """sum_k n_k^2/(N p_k) per shot; least, (sum |n|)^2/N, at p_k = |n_k| (Shen Eq. 124)."""
    n = _direction(direction)
    p = _fractions(fractions, n.size)
    return float(n**2 @ (1.0 / p)) / whole(atoms, "atoms", least=1)


def squeezing_coefficient(
    direction: ArrayLike, fractions: ArrayLike, squeezing_matrix: ArrayLike
) -> float:
    """xi2 along n, a Rayleigh quotient of the squeezing matrix (Shen Eqs. 20, 120)."""
    n = _direction(direction)
    m = n / np.sqrt(_fractions(fractions, n.size))
    matrix = _square(squeezing_matrix, n.size)
    return float(m @ matrix @ m) / float(m @ m)


def squeezing_matrix_from_moments(
    atom_numbers: ArrayLike, covariance: ArrayLike, lengths: ArrayLike
) -> Array:
    """sqrt(N_k N_l) Cov(S_X,k, S_X,l)/(R_k R_l), R_k the mean spin's length (Shen Eq. 21).

    The paper divides by <S_Z,k> on a fixed axis; the length needs no frame and agrees at
    large N.

    Raises:
        ValueError: when an N_k or R_k is not above zero, or the shapes differ.
    """
    numbers = _above_zero(atom_numbers, "atom_numbers")
    scale = np.sqrt(numbers) / _above_zero(lengths, "lengths", numbers.size)
    matrix: Array = np.outer(scale, scale) * _square(covariance, numbers.size)
    return matrix


def detection_noise(atom_numbers: ArrayLike, noise: ArrayLike, contrast: ArrayLike) -> Array:
    """What detection adds to the squeezing matrix: diag 4 sigma_k^2/(N_k zeta_k^2).

    Args:
        atom_numbers: N_k.
        noise: rms error of S_X,k in spin units; two counted ports of rms s each give s/sqrt(2).
        contrast: zeta_k = 2 R_k/N_k.
    """
    numbers = _above_zero(atom_numbers, "atom_numbers")
    sigma = real_vector(noise, "noise", numbers.size)
    zeta = _above_zero(contrast, "contrast", numbers.size)
    added: Array = np.diag(4.0 * sigma**2 / (numbers * zeta**2))
    return added


def direction_figures(
    direction: ArrayLike,
    fractions: ArrayLike,
    atoms: int,
    squeezing_matrix: ArrayLike,
) -> DirectionFigures:
    """Variance and squeezing along n from any squeezing matrix (Shen Eqs. 20, 119-124)."""
    n = _direction(direction)
    matrix = _square(squeezing_matrix, n.size)
    shot_noise = shot_noise_variance(n, fractions, atoms)
    xi2 = squeezing_coefficient(n, fractions, matrix)
    return DirectionFigures(
        direction=tuple(n.tolist()),
        squeezing_matrix=matrix,
        mssc=xi2,
        smallest_eigenvalue=float(np.linalg.eigvalsh(matrix)[0]),
        shot_noise_variance=shot_noise,
        variance=xi2 * shot_noise,
    )


def sensing_figures(
    ensembles: CoupledEnsembles, curvature: float, direction: ArrayLike | None = None
) -> DirectionFigures:
    """Figures of the driven dark state at a curvature, large N (Shen Eqs. 20-22).

    Args:
        ensembles: the ensembles.
        curvature: K in (0, 1].
        direction: n; without it the direction of least xi2, n_k = sqrt(p_k) w_k with w the
            eigenvector of Shen Eq. 17, scaled to sum |n_k| = 1.
    """
    state = dark_state_at_curvature(ensembles, curvature)
    if direction is None:
        best = np.sqrt(ensembles.p) * state.optimal_direction
        n = best / np.abs(best).sum()
    else:
        n = real_vector(direction, "direction", ensembles.p.size)
    return direction_figures(n, ensembles.p, ensembles.atoms, state.covariance_x)


def design_for_direction(
    direction: ArrayLike, atoms: int, curvature: float, collective_decay: float = 1.0
) -> SensorDesign:
    """Fractions |n_k|, couplings sign(n_k): xi2 = K and Var = K/N (Shen Eqs. 23-25, 122-125).

    The design of choice, but not the least variance at equal K: unequal couplings can lie a
    few per cent lower (see `best_fractions`), against what the paper says.

    Raises:
        ValueError: when n is zero, or N too small for every member to get an atom.
    """
    n = _direction(direction)
    total = whole(atoms, "atoms", least=1)
    k = curvature_in_range(curvature)
    members = np.flatnonzero(n)
    share = np.abs(n[members]) / np.abs(n).sum()
    numbers = _rounded(share, total)
    if min(numbers) < 1:
        raise ValueError(
            f"Argument `atoms` must give every entry of n that is not zero an atom, but {atoms!r} "
            f"split as {share.tolist()} rounds to {numbers}."
        )
    ensembles = CoupledEnsembles.from_atom_numbers(
        numbers, np.sign(n[members]).tolist(), collective_decay
    )
    norm2 = float(np.abs(n).sum()) ** 2
    rounded = float(n[members] ** 2 @ (1.0 / ensembles.p))
    return SensorDesign(
        members=tuple(members.tolist()),
        atom_numbers=tuple(numbers),
        point=operating_point(ensembles, k),
        variance=(rounded - (1.0 - k) * norm2) / total,
        ideal_variance=k * norm2 / total,
    )


def best_fractions(
    couplings: Sequence[float], direction: ArrayLike, curvature: float
) -> BestFractions:
    """Fractions that minimise N Var(n.phi) at fixed couplings and curvature, large N.

    Unequal couplings can go below N Var = K, the value of uniform coupling, where the paper
    calls uniform coupling optimal. A local search, from the fractions |n_k| and from those
    that align n with the squeezed mode.

    Raises:
        ValueError: when an entry of n is zero (leave that ensemble out), or K outside (0, 1].
    """
    n = _direction(direction)
    eta = real_vector(couplings, "couplings", n.size)
    k = curvature_in_range(curvature)
    if np.any(n == 0.0):
        raise ValueError(
            "Argument `direction` must have no zero entry (leave that ensemble out), "
            f"but is {direction!r}."
        )

    def fractions_of(logits: Array) -> Array:
        """Fractions from logarithms of p_k/p_M."""
        logs = np.append(logits, 0.0)
        p = np.maximum(np.exp(logs - logs.max()), _LEAST_FRACTION)
        shares: Array = p / p.sum()
        return shares

    def scaled_variance(logits: Array) -> float:
        p = fractions_of(logits)
        ensembles = CoupledEnsembles(tuple(p.tolist()), tuple(eta.tolist()), 1)
        return dark_state_at_curvature(ensembles, k).variance_along(n / np.sqrt(p))

    starts = [np.log(np.abs(n / n[-1]))[:-1]]
    if eta.all():
        starts.append(np.log(np.abs(n / n[-1] * eta[-1] / eta))[:-1])
    if n.size == 1:
        return BestFractions((1.0,), scaled_variance(starts[0]), k)
    found = [
        minimize(
            scaled_variance, start, method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-13}
        )
        for start in starts
    ]
    best = min(found, key=lambda result: float(result.fun))
    p = fractions_of(best.x)
    value = float(best.fun)
    return BestFractions(tuple(p.tolist()), value, value / float(n**2 @ (1.0 / p)))


def moment_matrix(ensembles: CoupledEnsembles, squeezing_matrix: ArrayLike) -> Array:
    """M = diag(sqrt N_k) Xi2^-1 diag(sqrt N_k), the information in S_X (Shen Eqs. 115-117)."""
    root = np.sqrt(ensembles.atom_numbers)
    inverse = np.linalg.inv(_square(squeezing_matrix, root.size)).astype(np.float64)
    matrix: Array = np.outer(root, root) * inverse
    return matrix


def quantum_fisher_matrix(state: DarkState) -> Array:
    """Quantum Fisher matrix of the phases, large N: the moment matrix itself.

    Stronger than the paper's bound (Shen Eq. 117): reading S_X is optimal also where the dark
    state is mixed.
    """
    return moment_matrix(state.ensembles, state.covariance_x)


def pure_state_fisher_bound(state: DarkState) -> Array:
    """4 Cov(S_Y,k, S_Y,l) = diag(sqrt N) Gamma_p diag(sqrt N) (Shen Eqs. 132-134).

    Met only by a pure state, tan(phi) = 0.
    """
    root = np.sqrt(state.ensembles.atom_numbers)
    matrix: Array = np.outer(root, root) * state.covariance_p
    return matrix


def combination_weights(direction: ArrayLike, lengths: ArrayLike) -> Array:
    """Weights a_k = -n_k/R_k: n.phi is estimated by sum_k a_k x_k, x_k the read S_X,k.

    For small phases, <S_X,k> = -R_k sin(phi_k) (Shen Eq. 113).
    """
    n = _direction(direction)
    weights: Array = -n / _above_zero(lengths, "lengths", n.size)
    return weights


def pattern_variance(
    ensembles: CoupledEnsembles, squeezing_matrix: ArrayLike, pattern: ArrayLike
) -> float:
    """Variance per shot of f where phi_k = g_k f with a known pattern g: 1/(g^T M g)."""
    g = real_vector(pattern, "pattern", ensembles.p.size)
    if not g.any():
        raise ValueError(f"Argument `pattern` must not be zero, but is {pattern!r}.")
    return 1.0 / float(g @ moment_matrix(ensembles, squeezing_matrix) @ g)


def encoding_angles(
    ensembles: CoupledEnsembles, theta: float, reverse: Sequence[bool] | None = None
) -> Array:
    """Angle about x, per ensemble, that turns S_Y,k onto the laboratory's z axis.

    pi/2 - theta_k; where `reverse` is true -pi/2 - theta_k, which turns the sign of that phase
    and so serves a negative n_k without a negative coupling.
    """
    size = ensembles.p.size
    flags = [False] * size if reverse is None else [bool(flag) for flag in reverse]
    if len(flags) != size:
        raise ValueError(
            f"Argument `reverse` must hold {size} flags, one per ensemble, but is {reverse!r}."
        )
    quarter = np.where(flags, -0.5 * math.pi, 0.5 * math.pi)
    angles: Array = quarter - ensembles.eta * finite(theta, "theta")
    return angles


def collective_decay_from_cavity(coupling: float, linewidth: float) -> float:
    """Gamma = 4 g^2/kappa for g (a S^+ + h.c.) and cavity energy decay kappa >> g sqrt(N)."""
    return 4.0 * positive(coupling, "coupling") ** 2 / positive(linewidth, "linewidth")


def _direction(direction: ArrayLike) -> Array:
    n = real_vector(direction, "direction")
    if not n.any():
        raise ValueError(f"Argument `direction` must not be zero, but is {direction!r}.")
    return n


def _fractions(fractions: ArrayLike, size: int) -> Array:
    p = real_vector(fractions, "fractions", size)
    if p.min() <= 0.0 or abs(math.fsum(p) - 1.0) > 1e-9:
        raise ValueError(
            f"Argument `fractions` must be above zero and add to 1, but is {fractions!r}."
        )
    return p


def _above_zero(values: ArrayLike, name: str, size: int | None = None) -> Array:
    vector = real_vector(values, name, size)
    if vector.min() <= 0.0:
        raise ValueError(f"Argument `{name}` must be above zero throughout, but is {values!r}.")
    return vector


def _square(matrix: ArrayLike, size: int) -> Array:
    square = np.array(matrix, dtype=np.float64)
    if square.shape != (size, size) or not np.isfinite(square).all():
        raise ValueError(
            f"A matrix for {size} ensembles must be finite and of shape ({size}, {size}), "
            f"but has shape {square.shape}."
        )
    return square


def _rounded(share: Array, total: int) -> list[int]:
    """Whole numbers that add to `total`, by largest remainder."""
    exact = share * total
    numbers = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - numbers), kind="stable")
    numbers[order[: total - int(numbers.sum())]] += 1
    return [int(x) for x in numbers]
