"""Couplings of one size: the exact state of any number of atoms.

All atoms are then equivalent, whatever the split into ensembles: the steady state lives in the
symmetric states of one spin J = N/2 and is (A^dag A)^-1/Z with A = S^- + i Omega/Gamma. Shen et
al., "Multi-ensemble superradiance for distributed quantum sensing", Fig. 3 and Eqs. 23, 125.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas
from scipy.optimize import minimize_scalar
from scipy.special import gammaln, lambertw

from ._checks import not_negative, positive, whole
from .multi_ensemble_superradiance import curvature_in_range, real_vector

Array = NDArray[np.float64]

_MOST_ATOMS_IN_FULL = 10**8
_LEAST_DRIVE = 1e-100
_MOST_ATOMS = 10**12
_MOST_LEVELS = 10**7
_DEEP = 50.0
_WINDOW_LOG = 100.0
_triangular_band_solve: Callable[..., Array] = vars(blas)["dtbsv"]  # not in the stubs

_BLOCK = 8192
_BITS_PER_BLOCK = 500.0
_RESCALE_ABOVE = 1e100
_LEAST_ATOMS_OF_EXPANSION = 20


@dataclass(frozen=True, slots=True)
class UniformDarkState:
    """Exact steady state of N equivalent atoms, spins in units of hbar.

    Attributes:
        atoms: N.
        drive_ratio: Omega/Gamma for |eta| = 1.
        spin_y: <S^y>; <S^x> = 0.
        spin_z: <S^z>.
        variance_x: Var S^x.
        log_norm: ln Tr (A^dag A)^-1; infinite without drive.
        photon_number: <A^dag A> = (N+1)/Z; times Gamma it is the residual photon rate.
    """

    atoms: int
    drive_ratio: float
    spin_y: float
    spin_z: float
    variance_x: float
    log_norm: float
    photon_number: float

    @property
    def length(self) -> float:
        """Length of the mean spin."""
        return math.hypot(self.spin_y, self.spin_z)

    @property
    def xi2(self) -> float:
        """N Var S^x/length^2: eigenvalue along e for any split; the least one where squeezed."""
        return self.atoms * self.variance_x / self.length**2


@dataclass(frozen=True, slots=True)
class UniformExpansion:
    """Large-N expansion of the uniform steady state at a curvature K.

    Attributes:
        spin_z: <S^z>.
        length: length of the mean spin.
        log_norm: ln Tr (A^dag A)^-1.
        xi2: squeezing; the last term is escape over the barrier 2N (artanh K - K).
    """

    spin_z: float
    length: float
    log_norm: float
    xi2: float


@dataclass(frozen=True, slots=True)
class BestCurvature:
    """Curvature of least steady-state xi2 at N atoms, and that xi2."""

    atoms: int
    curvature: float
    xi2: float


def uniform_dark_state(atoms: int, drive_ratio: float) -> UniformDarkState:
    """Exact steady state from the ground state's symmetric space (Shen Fig. 3).

    One positive recursion over N + 1 levels; where the barrier 2N (artanh K - K) exceeds 50,
    only over the levels inside the well, with the rest below rounding.

    Args:
        atoms: N; up to 1e8, and up to 1e12 where the well is that deep and narrow enough.
        drive_ratio: Omega/Gamma with couplings of size 1 (otherwise Omega/(Gamma |eta|)),
            zero or at least 1e-100.

    Raises:
        ValueError: on a negative drive, or more atoms than the method holds.
    """
    n = whole(atoms, "atoms", least=1)
    omega = not_negative(drive_ratio, "drive_ratio")
    if n > _MOST_ATOMS:
        raise ValueError(f"Argument `atoms` must not exceed {_MOST_ATOMS}, but is {atoms!r}.")
    if omega == 0.0:
        return UniformDarkState(n, 0.0, 0.0, -0.5 * n, 0.25 * n, math.inf, 0.0)
    if omega < _LEAST_DRIVE:
        raise ValueError(
            f"Argument `drive_ratio` must be 0 or at least {_LEAST_DRIVE:g}, "
            f"but is {drive_ratio!r}."
        )
    square = (1.0 - 2.0 * omega / n) * (1.0 + 2.0 * omega / n)
    if square > 0.0 and n >= 100 and barrier(n, math.sqrt(square)) > _DEEP:
        deep = _inside_the_well(n, omega, math.sqrt(square))
        if deep is not None:
            return deep
    if n > _MOST_ATOMS_IN_FULL:
        raise ValueError(
            f"Argument `atoms` must not exceed {_MOST_ATOMS_IN_FULL} unless the state fills less "
            f"than {_MOST_LEVELS} levels of a deep well (2N (artanh K - K) > {_DEEP:g}), "
            f"but is {atoms!r} with drive_ratio {drive_ratio!r}."
        )
    return _over_all_levels(n, omega)


def uniform_dark_state_at_curvature(atoms: int, curvature: float) -> UniformDarkState:
    """The same at Omega = (N Gamma/2) sqrt(1-K^2), K in (0, 1] (Shen Eq. 7)."""
    k = curvature_in_range(curvature)
    n = whole(atoms, "atoms", least=1)
    return uniform_dark_state(n, 0.5 * n * math.sqrt((1.0 - k) * (1.0 + k)))


def barrier(atoms: int, curvature: float) -> float:
    """2N (artanh K - K), logarithm of the escape time out of the well, uniform couplings."""
    k = curvature_in_range(curvature)
    n = whole(atoms, "atoms", least=1)
    if k < 0.02:  # artanh K - K by series, where the two nearly cancel
        return 2.0 * n * k**3 * (1.0 / 3.0 + k**2 / 5.0 + k**4 / 7.0 + k**6 / 9.0)
    return math.inf if k == 1.0 else 2.0 * n * (math.atanh(k) - k)


def uniform_squeezing_matrix(
    state: UniformDarkState, fractions: Sequence[float], signs: Sequence[float] | None = None
) -> Array:
    """Squeezing matrix of any split of a uniform state, exact at any N.

    Args:
        state: the steady state, or one made of any exact moments of equivalent atoms.
        fractions: p_k, above zero, adding to 1.
        signs: of the couplings, +1 or -1; all +1 by default.

    Raises:
        ValueError: when the fractions do not add to 1 or a sign is neither +1 nor -1.
    """
    return split_squeezing_matrix(state.atoms, state.variance_x, state.length, fractions, signs)


def split_squeezing_matrix(
    atoms: int,
    variance_x: float,
    length: float,
    fractions: Sequence[float],
    signs: Sequence[float] | None = None,
) -> Array:
    """(N^2/4R^2) [(1-4q) 1 + 4 q N e e^T], q the pair correlation, e_k = sign_k sqrt(p_k).

    Its eigenvalue N Var/R^2 along e (the least one wherever it is squeezed; below the best
    curvature an orthogonal direction may be lower) is the same for all fractions, which is why the
    paper's Fig. 3 does not depend on them. R is the length of the mean spin.
    """
    n = whole(atoms, "atoms", least=1)
    p = real_vector(fractions, "fractions")
    if p.min() <= 0.0 or abs(math.fsum(p) - 1.0) > 1e-9:
        raise ValueError(
            f"Argument `fractions` must be above zero and add to 1, but is {fractions!r}."
        )
    sign = np.ones(p.size) if signs is None else real_vector(signs, "signs", p.size)
    if np.any(np.abs(sign) != 1.0):
        raise ValueError(f"Argument `signs` must hold +1 and -1 only, but is {signs!r}.")
    spread = positive(variance_x, "variance_x")
    pair = 0.0 if n == 1 else 4.0 * (spread - 0.25 * n) / (n * (n - 1.0))
    e = sign * np.sqrt(p)
    scale = (0.5 * n / positive(length, "length")) ** 2
    matrix: Array = scale * ((1.0 - pair) * np.eye(p.size) + pair * n * np.outer(e, e))
    return matrix


def uniform_expansion(atoms: int, curvature: float) -> UniformExpansion:
    """Large-N expansion; xi2 within 0.5 % near the best K for 50 <= N <= 1e6, 2 % at N = 20.

    Do not use it far below the best curvature, where the escape term is no longer small.

    Raises:
        ValueError: below 20 atoms, or for K outside (0, 1).
    """
    n = whole(atoms, "atoms", least=_LEAST_ATOMS_OF_EXPANSION)
    k = curvature_in_range(curvature)
    if k == 1.0:
        raise ValueError(f"Argument `curvature` must lie in (0, 1) here, but is {curvature!r}.")
    depth = barrier(n, k)
    escape = 2.0 * n * k / (3.0 * math.pi * (1.0 + k) ** 2) * math.exp(-depth)
    return UniformExpansion(
        spin_z=0.5 * n * (-k + (1.0 - k) ** 2 / (2.0 * k**2 * n)),
        length=0.5 * n * (1.0 - (1.0 - k) ** 2 / (2.0 * k * n)),
        log_norm=depth + 2.0 * math.atanh(k) + math.log(2.0 * math.pi / (n * k)),
        xi2=k + (1.0 - k) ** 2 * (1.0 - 0.5 / k**2) / n + escape,
    )


def best_curvature_estimate(atoms: int) -> float:
    """(3y/2N)^(1/3) with y = -W_-1(-pi/2N): within 0.4 % at N = 1e6, 9 % high at N = 100."""
    n = whole(atoms, "atoms", least=10)
    y = -float(lambertw(-math.pi / (2.0 * n), -1).real)
    return float((1.5 * y / n) ** (1.0 / 3.0))


def best_uniform_curvature(atoms: int) -> BestCurvature:
    """Least exact steady-state xi2 over K in (0, 1) (Shen Fig. 3b).

    No power law: the local exponent goes from -0.19 at N = 10 to -0.31 at N = 1e6. A finite
    hold time does better still, see `best_uniform_preparation`.

    Args:
        atoms: N, from 2 to 1e8.
    """
    n = whole(atoms, "atoms", least=2)
    middle = best_curvature_estimate(n) if n >= 10 else 0.7
    low, high = math.log(0.6 * middle), min(math.log(1.25 * middle), -1e-6)

    def squeezing(log_curvature: float) -> float:
        return uniform_dark_state_at_curvature(n, math.exp(log_curvature)).xi2

    found: Any = minimize_scalar(
        squeezing, bounds=(low, high), method="bounded", options={"xatol": 1e-7}
    )
    return BestCurvature(n, math.exp(float(found.x)), float(found.fun))


def _over_all_levels(n: int, omega: float) -> UniformDarkState:
    """r_N = 1, r_i = 1 + (s_{i+1}/omega)^2 r_{i+1}, the diagonal of the state, from the top.

    Each block of levels is one triangular band solve; between blocks the sums are rescaled by
    powers of two, which rounds nothing.
    """
    most_bits = max(2.0 * math.log2(0.5 * (n + 1.0) / omega), 1.0 / 16.0)
    length = max(1, min(_BLOCK, int(_BITS_PER_BLOCK / most_bits)))
    band = np.zeros((2, length), order="F")
    r, one, bits = 1.0, 1.0, 0
    sums = np.array([1.0, n, n])  # of r_i, i r_i and s_i^2 r_i
    high = n
    while high > 0:
        low = max(0, high - length)
        level = np.arange(float(low), float(high))
        squares = level * (n + 1.0 - level)
        count = high - low
        band[0, :count] = squares / -(omega**2)
        source = np.full(count, one)
        source[-1] += high * (n + 1.0 - high) / omega**2 * r
        block = _triangular_band_solve(1, band[:, :count], source, overwrite_x=1, diag=1)
        sums += [block.sum(), level @ block, squares @ block]
        r = float(block[0])
        if sums[0] > _RESCALE_ABOVE:
            shift = math.frexp(float(sums[0]))[1]
            bits += shift
            sums *= math.ldexp(1.0, -shift)
            r, one = math.ldexp(r, -shift), math.ldexp(1.0, -min(bits, 2000))
        high = low
    total, excited, offset = (float(x) for x in sums)
    log_norm = math.log(total) + bits * math.log(2.0) - 2.0 * math.log(omega)
    return _assemble(n, omega, excited / total, offset / (total * omega), log_norm)


def _inside_the_well(n: int, omega: float, k: float) -> UniformDarkState | None:
    """The same from the levels around the bottom of the well alone; None where too many.

    There rho_ii/rho_{i-1,i-1} = (omega/s_i)^2 up to the escape, exp(-barrier), and the sum
    that starts the recursion is the mirror image of the one that ends it.
    """
    centre = round(0.5 * n * (1.0 - k))
    width = math.sqrt(0.25 * n * (1.0 - k) * (1.0 + k) / k)  # standard deviation of the level
    reach = math.ceil(16.0 * width + _WINDOW_LOG)
    first, last = max(0, centre - reach), min(n, centre + reach)
    mirrored = n - centre
    if 2 * (last - first) >= n or last >= mirrored or last - first > _MOST_LEVELS:
        return None
    up = np.arange(first + 1.0, last + 1.0)
    squares = up * (n + 1.0 - up)
    logs = np.concatenate(([0.0], np.cumsum(2.0 * math.log(omega) - np.log(squares))))
    weights = np.exp(logs - logs.max())
    total = float(weights.sum())
    edges = logs[[0, -1]] - logs.max()
    if edges[1] > -_WINDOW_LOG or (first > 0 and edges[0] > -_WINDOW_LOG):
        return None
    # C_i = sum_{l <= i} ln (s_l/omega)^2; with C_N = 2 ln(N!) - 2N ln(omega) the upper sum
    # mirrors the lower one: sum_j e^{C_j} = e^{C_N} sum_i e^{-C_i}.
    sum_logs = float(logs.max()) + math.log(total) - _log_product(n, first, omega)
    log_norm = 2.0 * sum_logs + _log_product(n, n, omega) - 2.0 * math.log(omega)
    levels = np.arange(float(first), last + 1.0)
    excited = centre + float(weights @ (levels - centre)) / total
    offsets = weights[1:] @ (squares / omega)
    return _assemble(n, omega, excited, float(offsets) / total, log_norm)


def _log_product(n: int, i: int, omega: float) -> float:
    """ln prod_{l=1}^{i} (s_l/omega)^2."""
    factorials = gammaln(i + 1.0) + gammaln(n + 1.0) - gammaln(n - i + 1.0)
    return float(factorials) - 2.0 * i * math.log(omega)


def _assemble(
    n: int, omega: float, excited: float, spin_y: float, log_norm: float
) -> UniformDarkState:
    spin_z = excited - 0.5 * n
    inverse = math.exp(-log_norm) if log_norm > -700.0 else math.inf
    extra = n * (n + 2.0) * (n + 1.0) / (12.0 * omega**2) * inverse
    return UniformDarkState(
        atoms=n,
        drive_ratio=omega,
        spin_y=spin_y,
        spin_z=spin_z,
        variance_x=extra - 0.5 * spin_z,
        log_norm=log_norm,
        photon_number=(n + 1.0) * inverse,
    )
