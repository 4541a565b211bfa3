r"""Collectively pumped superradiance: steady state, its moments and what they tell about w.

N atoms in their symmetric states (j = N/2) decay together at the rate gamma and are pumped
together at the rate w:

    d rho/dt = gamma D[J-] rho + w D[J+] rho,   D[A] rho = A rho A^+ - {A^+ A, rho}/2.

Scaled variables: s = N (w/gamma - 1)/2 and x = 2 m/N in [-1, 1]; the transition lies at
|s| of about 1. All rates in one angular unit. Equation numbers: Shimshi & Shahmoon,
"Dissipative phase transition and metrology in collectively pumped superradiance" (2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._checks import finite, not_negative, positive, whole

Array = NDArray[np.float64]

_MOST_LEVELS = 20_000_000
_SERIES_BELOW = 0.5
# coth y - 1/y = sum_k a_k y^(2k+1); -a_k (2k+1) are the coefficients of 1/sinh^2 y - 1/y^2
_LANGEVIN_SERIES = (
    1 / 3,
    -1 / 45,
    2 / 945,
    -1 / 4725,
    2 / 93555,
    -1382 / 638512875,
    4 / 18243225,
    -3617 / 162820783125,
    87734 / 38979295480125,
    -349222 / 1531329465290625,
    310732 / 13447856940643125,
    -472728182 / 201919571963756521875,
)


@dataclass(frozen=True, slots=True)
class PumpedEnsemble:
    """Parameters of the ensemble, angular rates in one unit (for instance rad/s).

    Args:
        atoms: N, at least 1.
        pump: w, the collective pumping rate, at least 0.
        decay: gamma, the collective decay rate, above zero.
        pump_remainder: what rounding took from w, so that w - gamma keeps its digits at
            N = 1e9; `PumpedEnsemble.at` fills it in. No larger than the rounding of w.

    Raises:
        ValueError: on any value outside these rules.
    """

    atoms: int
    pump: float
    decay: float = 1.0
    pump_remainder: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "atoms", whole(self.atoms, "atoms", least=1))
        not_negative(self.pump, "pump")
        positive(self.decay, "decay")
        if abs(finite(self.pump_remainder, "pump_remainder")) > 1e-15 * (self.pump + self.decay):
            raise ValueError(
                "Argument `pump_remainder` must not exceed the rounding of `pump` "
                f"({self.pump!r}), but is {self.pump_remainder!r}."
            )

    @classmethod
    def at(cls, atoms: int, scaled_pump: float, decay: float = 1.0) -> PumpedEnsemble:
        """The ensemble at s = N (w/gamma - 1)/2, exact in s at any N.

        Raises:
            ValueError: when s is below -N/2 (w would be negative), or N or gamma break
                their rules.
        """
        number = whole(atoms, "atoms", least=1)
        s = finite(scaled_pump, "scaled_pump")
        if 2.0 * s < -number:
            raise ValueError(
                f"Argument `scaled_pump` must be at least -N/2 = {-0.5 * number:g} "
                f"(no pumping), but is {scaled_pump!r}."
            )
        rate = positive(decay, "decay")
        step = 2.0 * s / number * rate
        pump = rate + step
        return cls(number, pump, rate, step - (pump - rate))

    @property
    def excess(self) -> float:
        """w/gamma - 1."""
        return ((self.pump - self.decay) + self.pump_remainder) / self.decay

    @property
    def scaled_pump(self) -> float:
        """s = N (w/gamma - 1)/2; s = +-1 bounds the transition, w = gamma (1 +- 2/N)."""
        return 0.5 * self.atoms * self.excess

    @property
    def log_ratio(self) -> float:
        """X = ln(w/gamma) = -beta (below Eq. 2); -inf without pumping."""
        if self.pump == 0.0:
            return -math.inf
        if abs(self.excess) < 0.5:
            return math.log1p(self.excess)
        return math.log(self.pump) - math.log(self.decay)


@dataclass(frozen=True, slots=True)
class PumpedSteadyState:
    """The steady state's moments and information; spins in units of hbar.

    Attributes:
        parameters: what it is the steady state of.
        mean: <Jz>, from -N/2 to N/2.
        variance: Var Jz = d<Jz>/d ln w.
        fisher_information: of w in one readout of Jz, Var/w^2 (Eqs. D3, D6; the state is
            diagonal for every w, so it is the quantum Fisher information as well).
        flux: gamma <J+J-> = w <J-J+>, the rate of photons on either cavity mode; peaks at
            about gamma N^2/6, a marker of the transition of its own.
        record_information_rate: Fisher information of w per unit time when every jump
            upward is seen, <J-J+>/w.
    """

    parameters: PumpedEnsemble
    mean: float
    variance: float
    fisher_information: float
    flux: float
    record_information_rate: float

    @property
    def scaled_mean(self) -> float:
        """<x> = 2 <Jz>/N."""
        return 2.0 * self.mean / self.parameters.atoms

    @property
    def scaled_variance(self) -> float:
        """Var x = 4 Var Jz/N^2."""
        return 4.0 * self.variance / self.parameters.atoms**2

    @property
    def pump_uncertainty(self) -> float:
        """Standard deviation of w from one readout of Jz, w/sqrt(Var Jz).

        At w = gamma it is gamma sqrt(12/(N(N+2))): Eq. 5, printed for large N.
        """
        return math.inf if self.variance == 0.0 else self.parameters.pump / math.sqrt(self.variance)


def pumped_steady_state(parameters: PumpedEnsemble) -> PumpedSteadyState:
    """Moments of p_m ~ (w/gamma)^m (Eq. 3) in closed form, any N.

    <Jz> = (N+1)/2 f((N+1)X/2) - f(X/2)/2 with f(y) = coth y - 1/y is exact. The printed
    Eq. 4 (E7) is its limit of large N: up to one atom low below the transition (3 % at
    N = 100), at most 0.16 atoms above it.
    """
    x = parameters.log_ratio
    mean, variance = _moments(parameters.atoms, x)
    w, excess = parameters.pump, parameters.excess
    n = float(parameters.atoms)
    # d<Jz>/dt = 0 gives (w/gamma - 1) <J-J+> = 2 <Jz>, without the cancellation in <m^2>
    raised = n * (n + 2.0) / 6.0 if excess == 0.0 else 2.0 * mean / excess
    return PumpedSteadyState(
        parameters=parameters,
        mean=mean,
        variance=variance,
        fisher_information=_ratio(variance, w, w),
        flux=w * raised if w > 0.0 else 0.0,
        record_information_rate=_ratio(raised, w, 1.0),
    )


def log_populations(parameters: PumpedEnsemble) -> Array:
    """ln p_m of the steady state (Eq. 3), m = -N/2 … N/2 ascending, any contrast.

    Raises:
        ValueError: without pumping (the logarithms diverge), or when N exceeds 2e7.
    """
    n = _levels_allowed(parameters.atoms) - 1
    x = parameters.log_ratio
    if x == -math.inf:
        raise ValueError("Argument `pump` must be above zero for log populations, but is 0.0.")
    below = np.arange(n + 1, dtype=np.float64) if x < 0.0 else np.arange(n, -1, -1.0)
    return -abs(x) * below - _log_sum(n, abs(x))


def populations(parameters: PumpedEnsemble) -> Array:
    """p_m of the steady state (Eq. 3), m = -N/2 … N/2 ascending."""
    if parameters.pump == 0.0:
        empty = np.zeros(_levels_allowed(parameters.atoms))
        empty[0] = 1.0
        return empty
    return np.exp(log_populations(parameters))


def inversion_limit(scaled_pump: float) -> tuple[float, float]:
    """<x> = coth s - 1/s and Var x = 1/s^2 - 1/sinh^2 s, the limit of large N (Eq. 4)."""
    s = finite(scaled_pump, "scaled_pump")
    return _langevin(s), _langevin_slope(s)


def relaxation_rate_cumulant(parameters: PumpedEnsemble) -> float:
    """w + gamma + 2 (w - gamma) <Jz> (Eq. E5; Eq. 7 is its large-N form 2 gamma s coth s).

    Third cumulants are left out: exact at w = gamma and right far away, but up to 60 %
    above the gap at |s| of about 3.2 for every N >= 20. Use `relaxation_gap` for the gap
    and `integrated_correlation_time` for noise. The printed Eq. E2 has the sign of its two
    terms in (w - gamma) reversed; Eqs. E4 and E5 do not.
    """
    mean = pumped_steady_state(parameters).mean
    gamma = parameters.decay
    return float(parameters.pump + gamma + 2.0 * gamma * parameters.excess * mean)


def total_sensitivity_printed(
    atoms: int,
    rate: float,
    time: float,
    *,
    decay: float = 1.0,
    range_factor: float = 1.0,
    exponent: float = 0.61,
) -> float:
    """Std of w after a time of scans, as printed in Eq. 9.

    It takes the width of the hysteresis for an uncertainty. The width is deterministic and
    averages out between scans up and down, so this is pessimistic for fast scans, and the
    exponent is a local slope: `scan_precision` has the computed value.

    Args:
        atoms: N.
        rate: r = ds/dt of the scan, in the unit of `decay`.
        time: T of all scans together.
        decay: gamma.
        range_factor: C, the range of a scan over its uncertainty.
        exponent: eta of the width at fast scans.
    """
    number = whole(atoms, "atoms", least=1)
    speed = positive(rate, "rate") / positive(decay, "decay")
    cost = positive(range_factor, "range_factor") / (decay * positive(time, "time"))
    widening = max(1.0, speed ** (1.5 * finite(exponent, "exponent")))
    return float(decay / number * math.sqrt(cost / speed) * widening)


def _ratio(above: float, below: float, again: float) -> float:
    """above/below/again, infinite where the pump is off."""
    return above / below / again if below > 0.0 else math.inf


def _levels_allowed(atoms: int) -> int:
    """N + 1, unless N is too large to list populations."""
    if atoms > _MOST_LEVELS:
        raise ValueError(
            f"Argument `atoms` must be at most {_MOST_LEVELS} where every population is "
            f"listed, but is {atoms!r}; the moments of pumped_steady_state have no such limit."
        )
    return int(atoms) + 1


def _log_sum(n: int, slope: float) -> float:
    """ln sum_{k=0}^{n} e^{-slope k}, slope >= 0."""
    if slope == 0.0:
        return math.log(n + 1.0)
    return math.log(-math.expm1(-(n + 1.0) * slope)) - math.log(-math.expm1(-slope))


def _moments(atoms: int, x: float) -> tuple[float, float]:
    """<Jz> and Var Jz of p_m ~ e^{x m}."""
    n1 = atoms + 1.0
    if math.isinf(x):
        return -0.5 * atoms, 0.0
    y = 0.5 * n1 * x
    mean = 0.5 * n1 * _langevin(y) - 0.5 * _langevin(0.5 * x)
    if abs(y) > 1.0:  # the two 1/x^2 cancel: leave both out
        variance = 0.25 * _inverse_sinh_square(0.5 * x) - 0.25 * n1**2 * _inverse_sinh_square(y)
    else:
        variance = 0.25 * n1**2 * _langevin_slope(y) - 0.25 * _langevin_slope(0.5 * x)
    return mean, variance


def _inverse_sinh_square(y: float) -> float:
    """1/sinh^2 y; where the square of sinh would overflow, its leading exponential."""
    return 4.0 * math.exp(-2.0 * abs(y)) if abs(y) > 300.0 else 1.0 / math.sinh(y) ** 2


def _langevin(y: float) -> float:
    """coth y - 1/y."""
    if abs(y) < _SERIES_BELOW:
        return y * _power_series(_LANGEVIN_SERIES, y * y)
    return 1.0 / math.tanh(y) - 1.0 / y


def _langevin_slope(y: float) -> float:
    """1/y^2 - 1/sinh^2 y."""
    if abs(y) < _SERIES_BELOW:
        return _power_series([a * (2 * k + 1) for k, a in enumerate(_LANGEVIN_SERIES)], y * y)
    return 1.0 / (y * y) - _inverse_sinh_square(y)


def _power_series(coefficients: list[float] | tuple[float, ...], z: float) -> float:
    """sum_k a_k z^k by Horner's rule."""
    total = 0.0
    for coefficient in reversed(coefficients):
        total = total * z + coefficient
    return total
