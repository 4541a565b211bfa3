"""Dark states of many ensembles at large N: covariances, spectrum, entanglement, time dependence.

In the local frame of each ensemble S_X = sqrt(N_k/2) x_k and S_Y = -sqrt(N_k/2) p_k, with
[x, p] = i. From the product state |theta> one mode c = (u.x + i v.p)/sqrt(2) is damped at
kappa_r = N Gamma nu K and the others stay as they are (Shen Eqs. 9-15). Covariances are
<{R_a, R_b}>: the vacuum is the identity, the variance of x_k half a diagonal entry. Errors are
O(1/N). Where the couplings differ and the drive is on, this state is a long-lived plateau, not
the steady state the paper calls it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import between, finite
from .multi_ensemble_superradiance import (
    CoupledEnsembles,
    angle_for_curvature,
    real_vector,
    relaxation_rate,
    superradiance_curvature,
)

Array = NDArray[np.float64]

_PARALLEL = 1e-12
_NO_ANGLE = 1e-100  # of 1 - K: its square must not underflow


@dataclass(frozen=True, slots=True)
class DarkState:
    """The Gaussian dark state reached from the product state |theta> (Shen Eqs. 13-18).

    Attributes:
        ensembles: the ensembles.
        theta: angle of the mean spins, radians.
        curvature: K in (0, 1].
        tan_phi: tangent of the angle between u and v; zero for couplings of one size.
        u: vector of the damped mode on x (Shen Eq. 91).
        v: vector of the damped mode on p, u_k cos(theta_k) (Shen Eq. 91).
    """

    ensembles: CoupledEnsembles
    theta: float
    curvature: float
    tan_phi: float
    u: Array = field(repr=False)
    v: Array = field(repr=False)

    @property
    def covariance_x(self) -> Array:
        """Gamma_x, squeezed block and squeezing matrix at large N (Shen Eqs. 14, 22)."""
        return _block(self.u, self.v, 1.0 + 1.0 / self.curvature, 1.0)

    @property
    def covariance_p(self) -> Array:
        """Gamma_p, antisqueezed block (Shen Eq. 15)."""
        return _block(self.v, self.u, 1.0 + float(self.v @ self.v), 1.0)

    @property
    def cos_phi(self) -> float:
        """1/(|u||v|), between K and 1 (Shen Eq. 91)."""
        return 1.0 / math.hypot(1.0, self.tan_phi)

    @property
    def purity(self) -> float:
        """Tr rho^2 of the Gaussian state, equal to cos(phi) (Shen Eq. 131)."""
        return self.cos_phi

    @property
    def smallest_eigenvalue(self) -> float:
        """Least eigenvalue of Gamma_x and of the whole covariance (Shen Eqs. 16, 103)."""
        k, t = self.curvature, self.tan_phi
        sine2 = t * t / (1.0 + t * t)
        return 2.0 * k / (1.0 + k + math.sqrt((1.0 - k) ** 2 + 4.0 * k * sine2))

    @property
    def largest_eigenvalue_x(self) -> float:
        """Greatest eigenvalue of Gamma_x (Shen Eq. 98)."""
        return _greatest(self.curvature, self.tan_phi, self.u.size)

    @property
    def smallest_eigenvalue_p(self) -> float:
        """Least eigenvalue of Gamma_p (Shen Eq. 100)."""
        other = 1.0 / float(self.v @ self.v)
        if self.u.size == 1:
            return 1.0 / self.curvature
        trace = other - 1.0 + self.tan_phi**2 * (1.0 + other)
        root = math.hypot(trace, 2.0 * self.tan_phi)
        return other * (1.0 + self.tan_phi**2) / (1.0 + 0.5 * (trace + root))

    @property
    def optimal_direction(self) -> Array:
        """Unit eigenvector of the least eigenvalue, largest entry positive (Shen Eqs. 17, 99)."""
        e1, e2, missing = self._plane()
        k, t = self.curvature, self.tan_phi
        psi = 0.5 * math.atan2(2.0 * k * t, missing + (1.0 + k) * t * t)
        vector = e1 if e2 is None else math.cos(psi) * e1 - math.sin(psi) * e2
        vector = vector * math.copysign(1.0, vector[np.argmax(np.abs(vector))])
        return vector

    @property
    def mixedness(self) -> Array:
        """Gamma_x - Gamma_p^-1 = tan^2(phi) e2 e2^T, zero for a pure state (Shen Eqs. 18, 112)."""
        _, e2, _ = self._plane()
        if e2 is None:
            return np.zeros((self.u.size, self.u.size))
        return self.tan_phi**2 * np.outer(e2, e2)

    @property
    def excitations(self) -> Array:
        """Mean number of local excitations of each ensemble; validity asks << N_k/2."""
        u, v = self.u, self.v
        x = -2.0 * u * v + (1.0 + 1.0 / self.curvature) * v**2
        p = -2.0 * u * v + (1.0 + float(v @ v)) * u**2
        mean: Array = 0.25 * (x + p)
        return mean

    @property
    def relaxation_rate(self) -> float:
        """kappa_r = N Gamma nu K (Shen Eq. 12)."""
        return relaxation_rate(self.ensembles, self.theta)

    @property
    def total_photons(self) -> float:
        """Mean number of photons emitted on the way, sum_k (w_k/K) sin^4(theta_k/2)."""
        half = 0.5 * self.ensembles.eta * self.theta
        return float(self.ensembles.weights @ np.sin(half) ** 4) / self.curvature

    def variance_along(self, vector: ArrayLike) -> float:
        """m^T Gamma_x m without forming the matrix: O(M), for many coupling classes."""
        m = real_vector(vector, "vector", self.u.size)
        along = float(self.v @ m)
        across = float(self.u @ m)
        return float(m @ m) + along * ((1.0 + 1.0 / self.curvature) * along - 2.0 * across)

    def _plane(self) -> tuple[Array, Array | None, float]:
        """Orthonormal e1 along u and e2 towards v (None where parallel), and 1 - K.

        v - K u has the entries u_k (cos(theta_k) - K), free of cancellation at small angles.
        """
        deficit = _deficits(self.ensembles, self.theta)
        missing = float(self.ensembles.weights @ deficit)
        e1 = self.u * math.sqrt(self.curvature)
        if missing < _NO_ANGLE or self.tan_phi * self.curvature <= _PARALLEL * missing:
            return e1, None, missing
        e2 = self.u * (missing - deficit)
        return e1, e2 / math.sqrt(float(e2 @ e2)), missing


@dataclass(frozen=True, slots=True)
class Relaxation:
    """The Gaussian state on its way from |theta> to the dark state.

    Attributes:
        times: (T,) in the inverse unit of the rates.
        covariance_x: (T, M, M).
        covariance_p: (T, M, M).
        smallest_eigenvalue: (T,) least eigenvalue of covariance_x.
        photon_rate: (T,) photons emitted per time.
    """

    times: Array = field(repr=False)
    covariance_x: Array = field(repr=False)
    covariance_p: Array = field(repr=False)
    smallest_eigenvalue: Array = field(repr=False)
    photon_rate: Array = field(repr=False)


def dark_state(ensembles: CoupledEnsembles, theta: float) -> DarkState:
    """The dark state at a stable angle, with the drive that balances it there (Shen Eqs. 9-15).

    Raises:
        ValueError: when `theta` is not finite or K(theta) is not above zero.
    """
    angle = finite(theta, "theta")
    k = float(superradiance_curvature(ensembles, angle))
    if k <= 0.0:
        raise ValueError(
            "Argument `theta` must be a stable angle, with a curvature above zero, but is "
            f"{theta!r} with curvature {k:.6g}."
        )
    weights, eta = ensembles.weights, ensembles.eta
    deficit = _deficits(ensembles, angle)
    spread = math.sqrt(float(weights @ (deficit - float(weights @ deficit)) ** 2))
    if ensembles.uniform:
        spread = 0.0
    u = np.sign(eta) * np.sqrt(weights / k)
    return DarkState(ensembles, angle, k, spread / k, u, u * np.cos(eta * angle))


def dark_state_at_curvature(ensembles: CoupledEnsembles, curvature: float) -> DarkState:
    """The driven dark state at a wanted K in (0, 1], on the branch from theta = 0."""
    return dark_state(ensembles, angle_for_curvature(ensembles, curvature))


def relax(state: DarkState, times: ArrayLike) -> Relaxation:
    """Covariances at times after the product state |theta>, drive balanced.

    Not in the paper: with s = exp(-kappa_r t/2),
    Gamma_x(t) = 1 - (1-s)(u v^T + v u^T) + [(1-s^2) + |u|^2 (1-s)^2] v v^T,
    and Gamma_p(t) with u and v exchanged.

    Raises:
        ValueError: when a time is negative or not finite.
    """
    grid = real_vector(times, "times")
    if grid.min() < 0.0:
        raise ValueError(f"Argument `times` must not be negative, but is {times!r}.")
    rate = state.relaxation_rate
    done = -np.expm1(-0.5 * rate * grid)  # 1 - s
    u2, v2 = 1.0 / state.curvature, float(state.v @ state.v)
    decayed = -np.expm1(-rate * grid)
    x = np.array(
        [_block(state.u, state.v, a + u2 * b * b, b) for a, b in zip(decayed, done, strict=True)]
    )
    p = np.array(
        [_block(state.v, state.u, a + v2 * b * b, b) for a, b in zip(decayed, done, strict=True)]
    )
    light = rate * state.total_photons * np.exp(-rate * grid)
    least = np.linalg.eigvalsh(x)[:, 0].astype(np.float64)
    return Relaxation(grid, x, p, least, light)


def hold_time(state: DarkState, residual: float) -> float:
    """Time after which the distance to the dark state has shrunk to `residual`.

    ln(1/residual)/kappa_r for couplings of one size, twice that otherwise (cross terms with
    the undamped modes relax at half the rate).

    Raises:
        ValueError: unless `residual` lies strictly between 0 and 1.
    """
    factor = 1.0 if state.ensembles.uniform else 2.0
    return factor * -math.log(between(residual, 0.0, 1.0, "residual")) / state.relaxation_rate


def log_negativity(state: DarkState, part: Sequence[int]) -> tuple[float, float]:
    """Entanglement of some ensembles with the rest, and the least symplectic eigenvalue.

    Args:
        state: the dark state.
        part: indices (from 0) of the ensembles on one side; neither none nor all.

    Returns:
        E_N = -sum_j log2 min(1, nu_j), and the least nu_j, of the partial transpose.

    Raises:
        ValueError: on an index outside 0 … M-1, or an empty side.
    """
    size = state.u.size
    chosen = set(part)
    if not chosen or len(chosen) >= size or not chosen <= set(range(size)):
        raise ValueError(
            f"Argument `part` must name some, not all, of the ensembles 0 … {size - 1}, "
            f"but is {part!r}."
        )
    flip = np.array([1.0 if k in chosen else -1.0 for k in range(size)])
    # similar to a symmetric matrix, so that the eigenvalues come out real
    root = np.linalg.cholesky(state.covariance_x)
    mirrored = flip[:, None] * state.covariance_p * flip
    symplectic = np.sqrt(np.linalg.eigvalsh(root.T @ mirrored @ root))
    return float(-np.log2(np.minimum(1.0, symplectic)).sum()), float(symplectic[0])


def _deficits(ensembles: CoupledEnsembles, theta: float) -> Array:
    """1 - cos(theta_k), exact at small angles."""
    deficits: Array = 2.0 * np.sin(0.5 * ensembles.eta * theta) ** 2
    return deficits


def _block(u: Array, v: Array, square: float, cross: float) -> Array:
    """1 - cross (u v^T + v u^T) + square v v^T."""
    mixed = np.outer(u, v)
    matrix: Array = np.eye(u.size) - cross * (mixed + mixed.T) + square * np.outer(v, v)
    return matrix


def _greatest(curvature: float, tangent: float, size: int) -> float:
    if size == 1:
        return curvature
    trace = curvature - 1.0 + tangent**2 * (1.0 + curvature)
    return 1.0 + 0.5 * (trace + math.hypot(trace, 2.0 * tangent))
