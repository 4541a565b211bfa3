"""Two ensembles driven and decaying together: their pure, entangled steady state.

Two spins S (2S atoms each) share a drive Omega and a collective decay Gamma, and differ
in detuning by Delta (+Delta/2 and -Delta/2). The steady state is

    |psi> = sum_J c_J |J, -J>,   J = 0 … 2S the total spin,

dark to the cavity. Conventions: hbar = 1, all rates in one angular unit, ensemble 1 is
the left tensor factor, and a phase phi is written by U = exp[-i phi (S1z - S2z)].
Equation numbers: Chu et al., "Reconfigurable dissipative entanglement".
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ._checks import between, dimension_of, finite, positive, whole

_DROPPED_WEIGHT = 1e-20
_SERIES_BELOW = 0.05


@dataclass(frozen=True, slots=True)
class TwoEnsembles:
    """Parameters of the pair, angular rates in one unit (for instance rad/s).

    Args:
        spin: S of each ensemble, a positive multiple of 1/2.
        rabi_frequency: common drive Omega, above zero.
        detuning_difference: Delta, ensemble 1 at +Delta/2, ensemble 2 at -Delta/2.
        exchange: chiral exchange chi; +collective_decay is the one-way cascade 1 -> 2.
        collective_decay: Gamma, above zero. It sets how fast the state forms, not which.

    Raises:
        ValueError: on any value outside these rules, or when Delta and chi are both zero
            (the steady state is then not unique).
    """

    spin: float
    rabi_frequency: float
    detuning_difference: float
    exchange: float = 0.0
    collective_decay: float = 1.0

    def __post_init__(self) -> None:
        dimension_of(self.spin)
        positive(self.rabi_frequency, "rabi_frequency")
        finite(self.detuning_difference, "detuning_difference")
        finite(self.exchange, "exchange")
        positive(self.collective_decay, "collective_decay")
        if self.detuning_difference == 0.0 and self.exchange == 0.0:
            raise ValueError(
                "Argument `detuning_difference` must not be 0 when `exchange` is 0, but both are: "
                "the pair then has 2S+1 dark states and its steady state depends on the start."
            )

    @property
    def detuning_ratio(self) -> float:
        """Delta/Omega."""
        return float(self.detuning_difference / self.rabi_frequency)


@dataclass(frozen=True, slots=True)
class SteadyState:
    """The steady state and its figures of merit; spins in units of hbar.

    Attributes:
        parameters: what it is the steady state of.
        amplitudes: complex c_J, J = 0 … J_max, with c_0 > 0 (Chu Eq. 8).
        weights: p_J = |c_J|^2; they add to 1, the J left out hold less than 1e-20.
        mean_J: <J> = -<S1z + S2z>.
        variance: Var(S1x+S2x) = Var(S1y+S2y) = <J>/2.
        variance_z: Var(S1z + S2z).
        qfi: quantum Fisher information of phi (Chu Eq. 10); 4S for uncorrelated atoms.
        spin_length_x: <S1x - S2x>, signed; negative for Delta > 0 (Chu Eq. 11).
        spin_length_y: <S1y - S2y>; zero without exchange.
    """

    parameters: TwoEnsembles
    amplitudes: NDArray[np.complex128] = field(repr=False)
    weights: NDArray[np.float64] = field(repr=False)
    mean_J: float
    variance: float
    variance_z: float
    qfi: float
    spin_length_x: float
    spin_length_y: float

    @property
    def spin_length(self) -> float:
        """Signed contrast of the Ramsey signal: <S1x - S2x> without exchange.

        With exchange the length is sqrt(X^2+Y^2), with the sign of X, along `azimuth`.
        """
        return math.copysign(math.hypot(self.spin_length_x, self.spin_length_y), self.spin_length_x)

    @property
    def azimuth(self) -> float:
        """Direction atan2(Y, X) of the spin length in the x-y plane, radians."""
        return math.atan2(self.spin_length_y, self.spin_length_x)

    @property
    def xi2(self) -> float:
        """Wineland squeezing 4S Var / length^2 of the two ensembles (Chu Eq. 12)."""
        return 4.0 * self.parameters.spin * self.variance / self.spin_length**2


def steady_state(parameters: TwoEnsembles) -> SteadyState:
    """Solve the pair exactly (Chu Eqs. 8-12); S up to 1e6 and beyond.

    Without exchange the figures of merit are closed forms; with exchange they are sums
    over J.
    """
    amplitudes, weights = _amplitudes(parameters)
    if parameters.exchange == 0.0:
        mean, qfi = _closed_forms(parameters.spin, parameters.detuning_ratio)
        x, y = -0.25 * parameters.detuning_ratio * qfi, 0.0
    else:
        mean, qfi, x, y = _sums(parameters, weights)
    deviation = np.arange(weights.size) - mean
    return SteadyState(
        parameters=parameters,
        amplitudes=amplitudes,
        weights=weights,
        mean_J=mean,
        variance=0.5 * mean,
        variance_z=float(weights @ deviation**2),
        qfi=qfi,
        spin_length_x=x,
        spin_length_y=y,
    )


def relaxation_time_bound(
    state: SteadyState, infidelity: float = 1e-3, start_fidelity: float = 0.0
) -> float:
    """Least time in which the state can form, in the inverse unit of the rates.

    The fidelity F(t) with the steady state obeys dF/dt <= 4 Gamma Var (1 - F), hence
    t >= ln[(1 - F(0)) / infidelity] / (4 Gamma Var): about seven times the bound of
    Chu Eq. 13 at an infidelity of 1e-3. Holds with exchange as well.
    """
    infidelity = between(infidelity, 0.0, 1.0, "infidelity")
    start = finite(start_fidelity, "start_fidelity")
    if not 0.0 <= start < 1.0:
        raise ValueError(
            f"Argument `start_fidelity` must lie in [0, 1), but is {start_fidelity!r}."
        )
    rate = 4.0 * state.parameters.collective_decay * state.variance
    return max(0.0, math.log((1.0 - start) / infidelity) / rate)


def relaxation_time_estimate(state: SteadyState, infidelity: float = 1e-3) -> float:
    """Expected time from all atoms down to the wanted infidelity, never below the bound.

    Gamma t = 8/Var at an infidelity of 1e-3 covers exact dynamics for S|Delta|/Omega >= 2
    and a drive of at least S*Gamma (measured 5 to 8); towards small S|Delta|/Omega the
    factor rises to 16, where the gap of the secular limit takes over. Other infidelities
    scale with their logarithm.

    Raises:
        ValueError: with exchange, for which no such measurement exists.
    """
    if state.parameters.exchange != 0.0:
        raise ValueError(
            "Argument `state` must have exchange 0 for this estimate, but has "
            f"{state.parameters.exchange!r}; use relaxation_time_bound."
        )
    infidelity = between(infidelity, 0.0, 1.0, "infidelity")
    kappa = state.parameters.spin * abs(state.parameters.detuning_ratio)
    factor = 8.0 + 4.0 * max(0.0, 2.0 - kappa)
    logarithm = math.log(infidelity) / math.log(1e-3)
    estimate = factor * logarithm / (state.parameters.collective_decay * state.variance)
    return max(estimate, relaxation_time_bound(state, infidelity))


def log_weights_derivative(
    spin: float, ratio: float, max_J: int | None = None
) -> NDArray[np.float64]:
    """d ln p_J / d ln(Delta/Omega) = 2 (J - <J>), J = 0 … max_J, without exchange.

    Args:
        spin: S.
        ratio: Delta/Omega, not zero.
        max_J: last J; by default as many as `steady_state` keeps.
    """
    dimension_of(spin)
    if finite(ratio, "ratio") == 0.0:
        raise ValueError("Argument `ratio` must not be 0.")
    mean, _ = _closed_forms(spin, ratio)
    last = _last_J(spin, ratio) if max_J is None else whole(max_J, "max_J")
    return 2.0 * (np.arange(last + 1, dtype=np.float64) - mean)


def _last_J(spin: float, ratio: float) -> int:
    """The J above which the weights hold less than 1e-20 (no exchange)."""
    reach = (2.0 * spin + 1.0) * math.asinh(0.5 * abs(ratio))
    return min(round(2.0 * spin), math.ceil(reach + 9.0 * math.sqrt(0.5 * reach) + 15.0))


def _amplitudes(
    parameters: TwoEnsembles,
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """c_J and p_J by the recursion in J, summed in logarithms outward from the largest p_J."""
    atoms = round(2.0 * parameters.spin)
    chi = parameters.exchange / parameters.rabi_frequency
    ratio = parameters.detuning_ratio
    last = _last_J(parameters.spin, ratio) if chi == 0.0 else atoms
    k = np.arange(last, dtype=np.float64)
    couplings = -(ratio - 1j * chi * (k + 1.0))
    log_steps = 2.0 * np.log(np.abs(couplings)) + (
        np.log(atoms - k) + np.log(atoms + k + 2.0) - np.log(2.0 * k + 2.0) - np.log(2.0 * k + 3.0)
    )
    top = int(np.argmax(np.concatenate(([0.0], np.cumsum(log_steps)))))
    logs = np.zeros(last + 1)
    logs[top + 1 :] = np.cumsum(log_steps[top:])
    logs[:top] = -np.cumsum(log_steps[:top][::-1])[::-1]
    weights: NDArray[np.float64] = np.exp(logs)
    weights /= weights.sum()
    tail = np.cumsum(weights[::-1])[::-1]
    kept = max(1, int(np.count_nonzero(tail > _DROPPED_WEIGHT))) if chi != 0.0 else last + 1
    turns = np.cumprod(couplings / np.abs(couplings))
    amplitudes = np.sqrt(weights[:kept]).astype(np.complex128)
    amplitudes[1:] *= turns[: kept - 1]
    return amplitudes, weights[:kept]


def _closed_forms(spin: float, ratio: float) -> tuple[float, float]:
    """<J> and the QFI without exchange: Langevin-like closed forms in u = asinh(Delta/2Omega)."""
    n = 2.0 * spin + 1.0
    y = abs(ratio)
    z = 2.0 * math.asinh(0.5 * y)
    # bracket = [n coth(n z) - coth(z)] / z, by series where the two terms nearly cancel
    if n * z < _SERIES_BELOW:
        z2 = z * z
        bracket = (n**2 - 1.0) / 3.0 - z2 * (
            (n**4 - 1.0) / 45.0 - z2 * (2.0 * (n**6 - 1.0) / 945.0 - z2 * (n**8 - 1.0) / 4725.0)
        )
    else:
        bracket = (n / math.tanh(n * z) - 1.0 / math.tanh(z)) / z
    tilt = bracket / math.hypot(1.0, 0.5 * y)
    return 0.5 * y * z * tilt, 4.0 * (z / y) * tilt


def _sums(
    parameters: TwoEnsembles, weights: NDArray[np.float64]
) -> tuple[float, float, float, float]:
    """<J>, QFI, <S1x-S2x> and <S1y-S2y> as sums over J."""
    atoms = round(2.0 * parameters.spin)
    j = np.arange(weights.size, dtype=np.float64)
    squares = (atoms - j) * (atoms + j + 2.0) / (2.0 * j + 3.0)  # B^2 of the step J -> J+1
    drive = parameters.rabi_frequency
    mean = float(weights @ j)
    qfi = 4.0 * float(weights @ squares)
    x = -parameters.detuning_ratio * 0.25 * qfi
    y = parameters.exchange / drive * float(weights @ ((j + 1.0) * squares))
    return mean, qfi, x, y
