"""Two ensembles whose detunings, drives, couplings or spins do not match, exactly.

The pure steady state (Chu Eqs. 4-9) needs equal spins, one drive, one cavity coupling and
detunings +Delta/2, -Delta/2. Otherwise the steady state is unique but mixed; here it is the
null vector of the whole Liouvillian (Chu Eq. 2 with a subscript on every parameter),

    d rho/dt = -i[H, rho] + Gamma D[g_1 S_1^- + g_2 S_2^-] rho,
    H = sum_a [Omega_a S_a^x + delta_a S_a^z] + (i chi/2)(S_1^+ S_2^- - S_1^- S_2^+)

(the exchange as in `two_ensembles`, without the couplings g). The paper treats the matched
case only. Exact, hence for small spins. Not covered: couplings that differ inside an
ensemble, and dephasing by motion.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import MatrixRankWarning, splu

from ._checks import dimension_of, finite, not_negative, positive
from .spins import ladder_elements, magnetic_numbers
from .two_ensembles import TwoEnsembles

Array = NDArray[np.float64]
Pair = tuple[float, float]

MOST_LEVELS = 100
"""Largest (2 S_1 + 1)(2 S_2 + 1): S = 4.5 for both."""

_NOT_UNIQUE_ABOVE = 1e11


@dataclass(frozen=True, slots=True)
class MismatchedPair:
    """Two ensembles with parameters of their own, angular rates in one unit.

    Args:
        spins: S_1 and S_2, positive multiples of 1/2; (2 S_1 + 1)(2 S_2 + 1) at most 100.
        rabi_frequencies: Omega_1 and Omega_2, not negative, not both zero.
        detunings: delta_1 and delta_2.
        couplings: g_1 and g_2, relative amplitudes in the cavity's jump g_1 S_1^- + g_2 S_2^-,
            above zero.
        exchange: chi.
        collective_decay: Gamma, above zero.

    Raises:
        ValueError: on any value outside these rules.
    """

    spins: Pair
    rabi_frequencies: Pair
    detunings: Pair
    couplings: Pair = (1.0, 1.0)
    exchange: float = 0.0
    collective_decay: float = 1.0

    def __post_init__(self) -> None:
        for name in ("spins", "rabi_frequencies", "detunings", "couplings"):
            if len(getattr(self, name)) != 2:
                raise ValueError(
                    f"Argument `{name}` must hold one value for each of the 2 ensembles, but is "
                    f"{getattr(self, name)!r}."
                )
        levels = math.prod(dimension_of(spin, "spins") for spin in self.spins)
        if levels > MOST_LEVELS:
            raise ValueError(
                f"Argument `spins` must have (2 S1 + 1)(2 S2 + 1) of at most {MOST_LEVELS}, but "
                f"{self.spins!r} has {levels}: the Liouvillian is too large."
            )
        for drive in self.rabi_frequencies:
            not_negative(drive, "rabi_frequencies")
        if not any(self.rabi_frequencies):
            raise ValueError("Argument `rabi_frequencies` must not be (0, 0).")
        for detuning in self.detunings:
            finite(detuning, "detunings")
        for coupling in self.couplings:
            positive(coupling, "couplings")
        finite(self.exchange, "exchange")
        positive(self.collective_decay, "collective_decay")


@dataclass(frozen=True, slots=True)
class MixedSteadyState:
    """The steady state and its figures of merit; spins in units of hbar, J = S1 + S2.

    Attributes:
        parameters: what it is the steady state of.
        density_matrix: rho in the basis |m1, m2>, both descending, ensemble 1 left.
        purity: tr rho^2.
        mean_sum: <Jx>, <Jy>, <Jz>.
        covariance: (3, 3) symmetrised covariance of Jx, Jy, Jz.
        spin_length_x: <S1x - S2x>.
        spin_length_y: <S1y - S2y>.
        emission_rate: Gamma <L^+ L> of the jump L; zero only in the pure, dark state.
    """

    parameters: MismatchedPair
    density_matrix: NDArray[np.complex128] = field(repr=False)
    purity: float
    mean_sum: Array
    covariance: Array
    spin_length_x: float
    spin_length_y: float
    emission_rate: float

    @property
    def spin_length(self) -> float:
        """sqrt(<S1x - S2x>^2 + <S1y - S2y>^2), not negative."""
        return math.hypot(self.spin_length_x, self.spin_length_y)

    @property
    def azimuth(self) -> float:
        """Direction of the spin length in the x-y plane, radians."""
        return math.atan2(self.spin_length_y, self.spin_length_x)

    @property
    def xi2(self) -> float:
        """Wineland parameter N Var/length^2 along the quadrature of steepest signal.

        The quadrature of J is perpendicular to the spin length (rotated by its azimuth, as
        with exchange), N = 2 S_1 + 2 S_2; 1 is the standard quantum limit. Infinite when
        the spin length vanishes.
        """
        return self.xi2_along(self.azimuth + 0.5 * math.pi)

    @property
    def best_quadrature(self) -> float:
        """Angle in the x-y plane of the quadrature of J with the least phase variance.

        It trades slope for a lower variance, and differs from the steepest one only when
        the covariance is tilted against the spin length, as by a common detuning.
        """
        weights = np.linalg.solve(self.covariance[:2, :2], self._slopes())
        return math.atan2(weights[1], weights[0])

    @property
    def best_xi2(self) -> float:
        """Wineland parameter along `best_quadrature`; at most `xi2`."""
        return self.xi2_along(self.best_quadrature)

    def xi2_along(self, angle: float) -> float:
        """N Var(J_n)/(d<J_n>/dphi)^2 for n = (cos angle, sin angle) in the x-y plane."""
        direction = np.array([math.cos(angle), math.sin(angle)])
        slope = float(direction @ self._slopes())
        if slope == 0.0:
            return math.inf
        variance = float(direction @ self.covariance[:2, :2] @ direction)
        return 2.0 * sum(self.parameters.spins) * variance / slope**2

    def _slopes(self) -> Array:
        """d<Jx>/dphi, d<Jy>/dphi: the phase turns ensemble 1 by phi and 2 by -phi about z."""
        return np.array([-self.spin_length_y, self.spin_length_x])


def mismatched(
    pair: TwoEnsembles,
    *,
    common_detuning: float = 0.0,
    drive_imbalance: float = 0.0,
    coupling_imbalance: float = 0.0,
    second_spin: float | None = None,
) -> MismatchedPair:
    """A matched pair with faults put in.

    Args:
        pair: the matched parameters.
        common_detuning: added to both detunings, angular, in the pair's unit.
        drive_imbalance: eps in Omega (1 + eps), Omega (1 - eps), within [-1, 1].
        coupling_imbalance: eps in the couplings 1 + eps, 1 - eps, strictly within (-1, 1).
        second_spin: S of ensemble 2 in place of the pair's.
    """
    offset = finite(common_detuning, "common_detuning")
    eps = finite(drive_imbalance, "drive_imbalance")
    if abs(eps) > 1.0:
        raise ValueError(
            f"Argument `drive_imbalance` must lie within [-1, 1], but is {drive_imbalance!r}."
        )
    tilt = finite(coupling_imbalance, "coupling_imbalance")
    if abs(tilt) >= 1.0:
        raise ValueError(
            "Argument `coupling_imbalance` must lie strictly within (-1, 1), but is "
            f"{coupling_imbalance!r}."
        )
    half, drive = 0.5 * pair.detuning_difference, pair.rabi_frequency
    return MismatchedPair(
        spins=(pair.spin, pair.spin if second_spin is None else second_spin),
        rabi_frequencies=(drive * (1.0 + eps), drive * (1.0 - eps)),
        detunings=(offset + half, offset - half),
        couplings=(1.0 + tilt, 1.0 - tilt),
        exchange=pair.exchange,
        collective_decay=pair.collective_decay,
    )


def mixed_steady_state(parameters: MismatchedPair) -> MixedSteadyState:
    """Solve for the null vector of the Liouvillian by sparse elimination.

    Cost: 0.15 s at S = 3 (2401 unknowns), 5 s and 0.5 GB at S = 4.5 (10 000). The accuracy is
    about 1e-15 over the relaxation gap in units of Gamma.

    Raises:
        ValueError: when the steady state is not unique, as for a matched pair with neither
            detuning nor exchange.
    """
    lower, sz = _spin_operators(parameters.spins)
    hamiltonian = _hamiltonian(parameters, lower, sz)
    jump = math.sqrt(parameters.collective_decay) * (
        parameters.couplings[0] * lower[0] + parameters.couplings[1] * lower[1]
    )
    rho = _null_state(parameters, hamiltonian, jump)
    return _observed(parameters, rho, lower, sz, jump)


def _observed(
    parameters: MismatchedPair,
    rho: NDArray[np.complex128],
    lower: tuple[Any, Any],
    sz: tuple[Any, Any],
    jump: Any,
) -> MixedSteadyState:
    sx = [0.5 * (op + op.T) for op in lower]
    sy = [-0.5j * (op.T - op) for op in lower]

    def mean(operator: Any) -> float:
        return float((operator @ rho).trace().real)

    total = [a + b for a, b in (sx, sy, sz)]
    means = np.array([mean(component) for component in total])
    covariance = np.array([[mean(a @ b) for b in total] for a in total]) - np.outer(means, means)
    return MixedSteadyState(
        parameters=parameters,
        density_matrix=rho,
        purity=float(np.sum(np.abs(rho) ** 2)),
        mean_sum=means,
        covariance=covariance,
        spin_length_x=mean(sx[0] - sx[1]),
        spin_length_y=mean(sy[0] - sy[1]),
        emission_rate=max(0.0, mean(jump.T @ jump)),
    )


def _spin_operators(spins: Pair) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """S_1^-, S_2^- and S_1^z, S_2^z as sparse matrices over |m1, m2>, both descending."""
    steps = [sparse.diags(ladder_elements(spin), -1, format="csr") for spin in spins]
    levels = [sparse.diags(magnetic_numbers(spin), 0, format="csr") for spin in spins]
    one = [sparse.identity(dimension_of(spin), format="csr") for spin in spins]

    def place(first: Any, second: Any) -> Any:
        return sparse.kron(first, second, format="csr")

    lower = place(steps[0], one[1]), place(one[0], steps[1])
    return lower, (place(levels[0], one[1]), place(one[0], levels[1]))


def _hamiltonian(parameters: MismatchedPair, lower: tuple[Any, Any], sz: tuple[Any, Any]) -> Any:
    terms = 0.5j * parameters.exchange * (lower[0].T @ lower[1] - lower[0] @ lower[1].T)
    for a in range(2):
        terms = terms + 0.5 * parameters.rabi_frequencies[a] * (lower[a] + lower[a].T)
        terms = terms + parameters.detunings[a] * sz[a]
    return terms


def _null_state(parameters: MismatchedPair, hamiltonian: Any, jump: Any) -> NDArray[np.complex128]:
    """The density matrix that the Liouvillian leaves alone, one equation being its trace."""
    size = hamiltonian.shape[0]
    one = sparse.identity(size, format="csr")
    drift = -1j * hamiltonian - 0.5 * (jump.T @ jump)
    full = sparse.kron(drift, one) + sparse.kron(one, drift.conj()) + sparse.kron(jump, jump)
    # The equations of the diagonal add to zero: the first is redundant and makes room.
    keep = np.ones(size**2)
    keep[0] = 0.0
    diagonal = np.arange(size) * (size + 1)
    where = (np.zeros(size, dtype=np.intp), diagonal)
    trace = sparse.coo_matrix((np.ones(size), where), shape=(size**2, size**2))
    matrix = (sparse.diags(keep) @ full + trace).tocsc()
    target = np.zeros(size**2, dtype=np.complex128)
    target[0] = 1.0
    probe = np.random.default_rng(0).standard_normal((size**2, 2)) @ np.array([1.0, 1j])
    solution, growth = target, math.inf
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MatrixRankWarning)
            factors = splu(matrix)
        solution, growth = factors.solve(target), np.abs(factors.solve(probe)).max()
    except RuntimeError as error:
        if "singular" not in str(error):
            raise
    if not growth < _NOT_UNIQUE_ABOVE:
        raise ValueError(
            f"Argument `parameters` must have one steady state only, but {parameters!r} has "
            "several: give it a detuning, an exchange or an imbalance."
        )
    rho = solution.reshape(size, size)
    rho = 0.5 * (rho + rho.conj().T)
    return np.asarray(rho / rho.trace().real, dtype=np.complex128)
