"""Several ensembles that share one drive and one collective decay: mean field and potential.

Ensemble k holds N_k = p_k N atoms (a collective spin N_k/2) and couples with the relative
strength eta_k, of either sign. With S^a = sum_k eta_k S_k^a,

    d rho/dt = -i [Omega S^x, rho] + Gamma D[S^-] rho = Gamma D[A] rho,   A = S^- + i Omega/Gamma.

From the ground state the mean spins stay in the y-z plane at the angles theta_k = eta_k theta,
and theta slides down a potential V(theta). Equation numbers: Shen et al., "Multi-ensemble
superradiance for distributed quantum sensing". Its normalisation of eta is not used: couplings
are taken as given, and Gamma belongs to eta = 1. The scaling eta -> s eta, theta -> theta/s,
Omega -> Omega/s, Gamma -> Gamma/s^2 changes no covariance and no rate. hbar = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from ._checks import finite, positive, whole

Array = NDArray[np.float64]

_SUM_TOLERANCE = 1e-9
_POINTS_PER_HALF_TURN = 64
_CHUNK = 4096
_FIRST_CHUNK = 64
_MOST_CHUNKS = 512
_NEUTRAL = 1e-9
_RELATIVE = np.float64(4.0) * np.finfo(np.float64).eps


def real_vector(values: ArrayLike, name: str, size: int | None = None) -> Array:
    """Return a new float vector; raise ValueError unless finite, not empty and of that size."""
    vector = np.array(values, dtype=np.float64, ndmin=1)
    if vector.ndim != 1 or vector.size == 0 or not np.isfinite(vector).all():
        raise ValueError(
            f"Argument `{name}` must be a list of finite numbers, at least one, but is {values!r}."
        )
    if size is not None and vector.size != size:
        raise ValueError(
            f"Argument `{name}` must hold {size} numbers, one per ensemble, but is {values!r}."
        )
    return vector


def time_grid(times: ArrayLike) -> Array:
    """Return times as a float vector; raise ValueError unless they start at 0 or later and rise."""
    grid = real_vector(times, "times")
    if grid[0] < 0.0 or np.any(np.diff(grid) < 0.0):
        raise ValueError(f"Argument `times` must be ascending from 0 or later, but is {times!r}.")
    return grid


def curvature_in_range(curvature: float) -> float:
    """Return K; raise ValueError unless it lies in (0, 1]."""
    value = float(curvature)
    if not 0.0 < value <= 1.0:
        raise ValueError(
            "Argument `curvature` must lie in (0, 1] (a stable point has K > 0, the ground state "
            f"K = 1), but is {curvature!r}."
        )
    return value


@dataclass(frozen=True, slots=True)
class CoupledEnsembles:
    """The ensembles, in angular rates of one unit.

    Args:
        fractions: p_k = N_k/N, each above zero, adding to 1.
        couplings: eta_k, finite, of either sign; zero marks a spectator.
        atoms: N, a whole number of at least 1.
        collective_decay: Gamma of a coupling 1, above zero.

    Raises:
        ValueError: on any value outside these rules, or when every coupling is zero.
    """

    fractions: tuple[float, ...]
    couplings: tuple[float, ...]
    atoms: int
    collective_decay: float = 1.0

    def __post_init__(self) -> None:
        p = real_vector(self.fractions, "fractions")
        eta = real_vector(self.couplings, "couplings", p.size)
        if p.min() <= 0.0 or abs(math.fsum(p) - 1.0) > _SUM_TOLERANCE:
            raise ValueError(
                "Argument `fractions` must be above zero and add to 1, but is "
                f"{self.fractions!r}, which adds to {math.fsum(p):.12g}."
            )
        if not eta.any():
            raise ValueError(
                f"Argument `couplings` must not all be zero, but is {self.couplings!r}."
            )
        object.__setattr__(self, "fractions", tuple(p.tolist()))
        object.__setattr__(self, "couplings", tuple(eta.tolist()))
        object.__setattr__(self, "atoms", whole(self.atoms, "atoms", least=1))
        positive(self.collective_decay, "collective_decay")

    @classmethod
    def from_atom_numbers(
        cls, atom_numbers: Sequence[int], couplings: Sequence[float], collective_decay: float = 1.0
    ) -> CoupledEnsembles:
        """Build from the N_k, whole numbers of at least 1."""
        numbers = [whole(n, "atom_numbers", least=1) for n in atom_numbers]
        if not numbers:
            raise ValueError(f"Argument `atom_numbers` must not be empty, but is {atom_numbers!r}.")
        total = sum(numbers)
        fractions = tuple(n / total for n in numbers)
        return cls(fractions, tuple(couplings), total, collective_decay)

    @property
    def p(self) -> Array:
        """The fractions as an array."""
        return np.array(self.fractions)

    @property
    def eta(self) -> Array:
        """The couplings as an array."""
        return np.array(self.couplings)

    @property
    def weights(self) -> Array:
        """w_k = p_k eta_k^2 / nu (Shen Eq. 6)."""
        strength = self.p * self.eta**2
        weights: Array = strength / strength.sum()
        return weights

    @property
    def nu(self) -> float:
        """sum_k p_k eta_k^2 (Shen Eq. 6)."""
        return float(self.p @ self.eta**2)

    @property
    def uniform(self) -> bool:
        """Whether all |eta_k| are equal: the total spin is then conserved."""
        size = np.abs(self.eta)
        return bool(np.all(size == size[0]))

    @property
    def atom_numbers(self) -> Array:
        """N_k = N p_k; whole numbers only where the fractions make them so."""
        return self.atoms * self.p

    @property
    def unit_drive(self) -> float:
        """N Gamma/2, the unit of the drive."""
        return 0.5 * self.atoms * self.collective_decay


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Where the drive balances the decay at a wanted curvature.

    Attributes:
        ensembles: what it is a point of.
        curvature: K.
        theta: angle of the mean spins, smallest positive one with this K, radians.
        drive: Omega(theta) (Shen Eq. 7).
        relaxation_rate: kappa_r = N Gamma nu K, at which the variance relaxes.
        curvature_per_drive: dK/dOmega, growing in size as 1/K towards the critical drive.
        critical_theta: first angle with K = 0.
        critical_drive: Omega above which no stable point is left.
    """

    ensembles: CoupledEnsembles
    curvature: float
    theta: float
    drive: float
    relaxation_rate: float
    curvature_per_drive: float
    critical_theta: float
    critical_drive: float


@dataclass(frozen=True, slots=True)
class StationaryPoint:
    """A zero of V'(theta): its angle, curvature K, and whether it is a minimum (K > 0)."""

    theta: float
    curvature: float
    stable: bool


def superradiance_potential(
    ensembles: CoupledEnsembles, theta: ArrayLike, drive: float = 0.0
) -> Array:
    """V(theta), a rate, with V(0) = 0 (Shen Eq. 3 undriven, Eq. 28 driven)."""
    angles = np.asarray(theta, dtype=np.float64)
    half = 0.5 * np.multiply.outer(angles, ensembles.eta)
    value: Array = 2.0 * ensembles.unit_drive * (np.sin(half) ** 2 @ ensembles.p)
    return value - finite(drive, "drive") * angles


def superradiance_curvature(ensembles: CoupledEnsembles, theta: ArrayLike) -> Array:
    """K(theta) = V''(theta)/(N Gamma nu/2), from -1 to 1 (Shen Eqs. 5-6)."""
    return 1.0 - _missing_curvature(ensembles, np.asarray(theta, dtype=np.float64))


def balanced_drive(ensembles: CoupledEnsembles, theta: ArrayLike) -> Array:
    """Omega(theta) = (N Gamma/2) sum_k p_k eta_k sin(eta_k theta) (Shen Eq. 7)."""
    eta = ensembles.eta
    sines = np.sin(np.multiply.outer(np.asarray(theta, dtype=np.float64), eta))
    drive: Array = ensembles.unit_drive * (sines @ (ensembles.p * eta))
    return drive


def relaxation_rate(ensembles: CoupledEnsembles, theta: float) -> float:
    """kappa_r = N Gamma nu K = 2 V'' of the one damped mode (Shen Eq. 12)."""
    k = float(superradiance_curvature(ensembles, finite(theta, "theta")))
    return 2.0 * ensembles.unit_drive * ensembles.nu * k


def angle_for_curvature(ensembles: CoupledEnsembles, curvature: float) -> float:
    """Smallest theta >= 0 with K(theta) = curvature, to machine precision (Shen Eq. 5).

    Raises:
        ValueError: when the curvature lies outside (0, 1], or when it is not met within
            2^21 steps of pi/(64 max|eta|).
    """
    missing = 1.0 - curvature_in_range(curvature)
    if missing == 0.0:
        return 0.0
    return _first_angle(ensembles, missing)


def operating_point(ensembles: CoupledEnsembles, curvature: float) -> OperatingPoint:
    """Angle and drive for a wanted curvature (Shen Eqs. 5-7).

    The drive rises with theta up to the critical drive, so each K in (0, 1] has one point on
    this branch. Where the couplings differ, the dark state there is a plateau: see
    `multi_ensemble_superradiance_exact`.
    """
    theta = angle_for_curvature(ensembles, curvature)
    critical = _first_angle(ensembles, 1.0)
    stiffness = ensembles.unit_drive * ensembles.nu * curvature
    eta = ensembles.eta
    slope = -float((ensembles.weights * eta) @ np.sin(eta * theta))
    return OperatingPoint(
        ensembles=ensembles,
        curvature=float(curvature),
        theta=theta,
        drive=float(balanced_drive(ensembles, theta)),
        relaxation_rate=2.0 * stiffness,
        curvature_per_drive=slope / stiffness,
        critical_theta=critical,
        critical_drive=float(balanced_drive(ensembles, critical)),
    )


def stationary_points(
    ensembles: CoupledEnsembles, lower: float, upper: float, drive: float = 0.0
) -> tuple[StationaryPoint, ...]:
    """All theta in [lower, upper] where the potential is flat, ascending (Shen Eqs. 7, 29, Fig. 2).

    Points with |K| < 1e-9 (touching roots) are neither minimum nor maximum and are left out.

    Raises:
        ValueError: unless lower < upper, both finite, and fewer than 2^21 steps apart.
    """
    low, high = finite(lower, "lower"), finite(upper, "upper")
    if not low < high:
        raise ValueError(f"Argument `upper` must exceed `lower` = {lower!r}, but is {upper!r}.")
    if high - low > _CHUNK * _MOST_CHUNKS * _step(ensembles):
        raise ValueError(
            f"Argument `upper` must lie within {_CHUNK * _MOST_CHUNKS} steps of pi/(64 max|eta|) "
            f"of `lower` = {lower!r}, but is {upper!r}."
        )
    bias = finite(drive, "drive") / ensembles.unit_drive

    def force(theta: Array) -> Array:
        return balanced_drive(ensembles, theta) / ensembles.unit_drive - bias

    def slope(theta: Array) -> Array:
        return ensembles.nu * superradiance_curvature(ensembles, theta)

    points = []
    for theta in _roots(force, slope, low, high, _step(ensembles)):
        k = float(superradiance_curvature(ensembles, theta))
        if abs(k) >= _NEUTRAL:
            points.append(StationaryPoint(theta, k, k > 0.0))
    return tuple(points)


def _missing_curvature(ensembles: CoupledEnsembles, theta: Array) -> Array:
    """1 - K = 2 sum_k w_k sin^2(theta_k/2), without cancellation near K = 1."""
    half = 0.5 * np.multiply.outer(theta, ensembles.eta)
    missing: Array = 2.0 * (np.sin(half) ** 2 @ ensembles.weights)
    return missing


def _step(ensembles: CoupledEnsembles) -> float:
    return math.pi / (_POINTS_PER_HALF_TURN * float(np.abs(ensembles.eta).max()))


def _first_angle(ensembles: CoupledEnsembles, missing: float) -> float:
    """Smallest theta > 0 with 1 - K(theta) = missing."""
    weights, eta = ensembles.weights * ensembles.eta, ensembles.eta
    if ensembles.uniform:
        return 2.0 * math.asin(math.sqrt(0.5 * missing)) / abs(ensembles.couplings[0])

    def distance(theta: Array) -> Array:
        return _missing_curvature(ensembles, theta) - missing

    def slope(theta: Array) -> Array:
        rise: Array = np.sin(np.multiply.outer(theta, eta)) @ weights
        return rise

    step = _step(ensembles)
    first, count = 0, _FIRST_CHUNK  # most angles lie within the first half turn
    while first < _CHUNK * _MOST_CHUNKS:
        roots = _roots(distance, slope, first * step, (first + count) * step, step)
        if roots:
            return roots[0]
        first, count = first + count, min(2 * count, _CHUNK)
    raise ValueError(
        f"Argument `curvature` must be met within {_CHUNK * _MOST_CHUNKS} steps of "
        f"pi/(64 max|eta|), but {1.0 - missing:g} is not, with the couplings {ensembles.couplings}."
    )


def _roots(
    value: Callable[[Array], Array],
    slope: Callable[[Array], Array],
    low: float,
    high: float,
    step: float,
) -> list[float]:
    """Sign changes of `value` on [low, high], ascending; pairs between grid points included."""
    grid = np.linspace(low, high, max(2, math.ceil((high - low) / step) + 1))
    values, slopes = value(grid), slope(grid)

    def refine(function: Callable[[Array], Array], left: float, right: float) -> float:
        def scalar(x: float) -> float:
            return float(function(np.array(x)))

        root, _ = brentq(scalar, left, right, xtol=1e-300, rtol=_RELATIVE, full_output=True)
        return float(root)

    roots = [float(x) for x in grid[values == 0.0]]
    crossing = values[:-1] * values[1:] < 0.0
    roots += [refine(value, grid[i], grid[i + 1]) for i in np.flatnonzero(crossing)]
    # Between two points of one sign a turn towards zero may hide a pair of roots.
    turning = (values[:-1] * values[1:] > 0.0) & (values[:-1] * slopes[:-1] < 0.0)
    turning &= slopes[:-1] * slopes[1:] < 0.0
    for i in np.flatnonzero(turning):
        extreme = refine(slope, grid[i], grid[i + 1])
        if float(value(np.array(extreme))) * values[i] < 0.0:
            roots.append(refine(value, grid[i], extreme))
            roots.append(refine(value, extreme, grid[i + 1]))
    return sorted(roots)
