"""A collective spin in a squeezed reservoir: its squeezed steady state.

N two-level atoms at equivalent places of a waveguide fed with broadband squeezed vacuum act
as one spin j = N/2 (Bai & An Eq. 7),

    d rho/dt = -i Delta_N [Sz, rho] + (A/2) [n D(S+, S-) + (n+1) D(S-, S+)
                                              - M D(S+, S+) - M* D(S-, S-)] rho,
    D(a, b) rho = 2 a rho b - rho b a - b a rho,
    n = eta sinh^2 r,  M = eta sinh r cosh r e^(i alpha).

The mean spin points along -z and the noise ellipse lies in the x-y plane. Equation numbers:
Bai & An, "Generating stable spin squeezing by squeezed-reservoir engineering". There eta = 1
and Delta_N = cosh(2r) Delta; here Delta_N is given as it is (`detuning`), since the published
scaling N^-0.54 (Eq. 9) is set by that shift: tuning the squeezed carrier to cancel it gives
2/(N+2) for even N. The exponent is a fit to N < 300, too: the limit is N^-1/2.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from scipy.optimize import minimize_scalar

from ._checks import finite, not_negative, positive, whole
from .squeezed_reservoir_exact import (
    dark_spin_length,
    last_antidiagonal,
    moment_series,
)
from .squeezed_reservoir_lossy import lossy_moments


@dataclass(frozen=True, slots=True)
class SqueezedReservoir:
    """Parameters of the spin and its reservoir (Bai & An Eq. 7), rates in one angular unit.

    Args:
        atoms: N, at least 1.
        squeezing: r of the field before any loss, at least 0.
        detuning: Delta_N, the coefficient of Sz in the frame of the squeezed carrier.
        phase: alpha of the squeezed field, radians.
        transmission: eta, the power fraction of the squeezed field that arrives, in (0, 1].
        collective_decay: A, above zero.

    Raises:
        ValueError: on any value outside these rules.
    """

    atoms: int
    squeezing: float
    detuning: float = 0.0
    phase: float = 0.0
    transmission: float = 1.0
    collective_decay: float = 1.0

    def __post_init__(self) -> None:
        whole(self.atoms, "atoms", least=1)
        _squeezing(self.squeezing, "squeezing")
        finite(self.detuning, "detuning")
        finite(self.phase, "phase")
        transmitted(self.transmission)
        positive(self.collective_decay, "collective_decay")

    @property
    def relative_detuning(self) -> float:
        """Delta_N / A."""
        return float(self.detuning / self.collective_decay)

    @property
    def occupation(self) -> float:
        """n, photons per mode of the squeezed field that reaches the atoms."""
        return float(self.transmission * math.sinh(self.squeezing) ** 2)

    @property
    def correlation(self) -> complex:
        """M, its anomalous correlation."""
        size = self.transmission * math.sinh(self.squeezing) * math.cosh(self.squeezing)
        return size * cmath.exp(1j * self.phase)


@dataclass(frozen=True, slots=True)
class SqueezedState:
    """Second moments of a state whose mean spin lies along z; spins in units of hbar.

    Attributes:
        atoms: N.
        sz: <Sz>.
        planar: <Sx^2 + Sy^2> = j(j+1) - <Sz^2>.
        s_minus2: <S_-^2>, complex.
        v_min: smallest variance in the x-y plane; with detuning and no loss a difference of
            moments, good to about 1e-14 of `planar`.
        error: estimated relative error of `xi2` from a truncated basis; 0 for exact methods.
    """

    atoms: int
    sz: float
    planar: float
    s_minus2: complex
    v_min: float
    error: float = 0.0

    @property
    def sz2(self) -> float:
        """<Sz^2>."""
        return 0.25 * self.atoms * (self.atoms + 2.0) - self.planar

    @property
    def v_max(self) -> float:
        """Largest variance in the x-y plane."""
        return self.planar - self.v_min

    @property
    def spin_length(self) -> float:
        """|<S>| = |<Sz>|."""
        return abs(self.sz)

    @property
    def xi2(self) -> float:
        """Wineland parameter N V_min / |<S>|^2; infinite without a mean spin."""
        if self.sz == 0.0:
            return math.inf
        return self.atoms * self.v_min / self.sz**2

    @property
    def gain(self) -> float:
        """1/xi2: how many times fewer atoms do as well as uncorrelated ones."""
        return 1.0 / self.xi2

    @property
    def angle(self) -> float:
        """Squeezed axis in the x-y plane, [0, pi) from x: (pi - arg <S_-^2>)/2.

        pi/2 - alpha/2 without detuning; a detuning turns it, and so the analysis phase.
        """
        return (0.5 * (math.pi - cmath.phase(self.s_minus2))) % math.pi

    def variance(self, angle: float) -> float:
        """Variance of cos(angle) Sx + sin(angle) Sy: what a Ramsey analysis phase selects."""
        turned = self.s_minus2 * cmath.exp(2j * finite(angle, "angle"))
        return 0.5 * (self.planar + turned.real)


@dataclass(frozen=True, slots=True)
class SqueezingOptimum:
    """The squeezing r of least xi2, and the steady state there."""

    squeezing: float
    state: SqueezedState

    @property
    def xi2(self) -> float:
        """Wineland parameter at the optimum."""
        return self.state.xi2


def squeezed_steady_state(parameters: SqueezedReservoir) -> SqueezedState:
    """Steady state of Bai & An Eq. 7 for any N, r, detuning, phase and loss.

    Without loss it is exact (their Eq. 8, in the form of `squeezed_reservoir_exact`): 0.05 s
    at N = 1e4 near the optimum, at once for even N without detuning. With loss a linear
    system is solved: exactly to N = 120, in a truncated basis above (see `error`).

    Raises:
        ValueError: with loss, where the truncated basis would be too large.
    """
    return steady_states(parameters, [parameters.squeezing])[0]


def steady_states(
    parameters: SqueezedReservoir, squeezings: Iterable[float]
) -> list[SqueezedState]:
    """Steady states at several r and one detuning; one table serves all of them without loss.

    `parameters.squeezing` is not used.
    """
    values = [_squeezing(value, "squeezings") for value in squeezings]
    if not values:
        return []
    atoms, delta = parameters.atoms, parameters.relative_detuning
    turn = cmath.exp(1j * parameters.phase)
    if parameters.transmission < 1.0:
        return [_lossy(replace(parameters, squeezing=value), turn) for value in values]
    if delta == 0.0 and atoms % 2 == 0:
        return [_dark(atoms, value, turn) for value in values]
    series = moment_series(atoms, delta, last_antidiagonal(atoms, max(values)))
    states = []
    for value in values:
        sz, planar, pair = series.moments(value)
        v_min = 0.5 * (planar - abs(pair))
        states.append(SqueezedState(atoms, sz, planar, pair * turn, v_min))
    return states


def squeezing_optimum(
    atoms: int,
    *,
    detuning: float = 0.0,
    shift: float = 0.0,
    transmission: float = 1.0,
    low: float = 0.0,
    high: float | None = None,
) -> SqueezingOptimum:
    """Least xi2 over r at Delta_N/A = detuning + shift cosh(2r).

    shift = 1 is the setting of Bai & An Fig. 3 (their Delta = A), where the carrier stays at
    the bare transition; shift = 0 is a carrier that follows the shifted one.

    Args:
        atoms: N.
        detuning: constant part of Delta_N/A.
        shift: Delta/A.
        transmission: eta, in (0, 1].
        low: smallest r.
        high: largest r, by default ln(N)/2 + 3/2.

    For even N with neither detuning nor shift nor loss, xi2 falls towards 2/(N+2) for r to
    infinity without a minimum, and `high` is returned.
    """
    atoms = whole(atoms, "atoms", least=1)
    transmitted(transmission)
    low = _squeezing(low, "low")
    high = 0.5 * math.log(atoms) + 1.5 if high is None else _squeezing(high, "high")
    if not low < high:
        raise ValueError(f"Argument `high` must be above low = {low:g}, but is {high!r}.")
    base = SqueezedReservoir(atoms, low, finite(detuning, "detuning"), transmission=transmission)
    finite(shift, "shift")

    def state(r: float) -> SqueezedState:
        there = base.detuning + shift * math.cosh(2.0 * r)
        return squeezed_steady_state(replace(base, squeezing=float(r), detuning=there))

    grid = [low + (high - low) * i / 24.0 for i in range(25)]
    if shift == 0.0:
        values = [point.xi2 for point in steady_states(base, grid)]
    else:
        values = []
        for r in grid:  # far beyond the optimum each point costs more: stop there
            values.append(state(r).xi2)
            if values[-1] > 3.0 * min(values):
                break
    best = min(range(len(values)), key=values.__getitem__)
    bracket = (grid[max(best - 1, 0)], grid[min(best + 1, 24)])
    found = minimize_scalar(
        lambda r: state(r).xi2, bounds=bracket, method="bounded", options={"xatol": 1e-7}
    )
    point = state(float(found.x))
    if values[best] <= point.xi2:  # at an end of the range
        return SqueezingOptimum(grid[best], state(grid[best]))
    return SqueezingOptimum(float(found.x), point)


def gaussian_xi2(parameters: SqueezedReservoir) -> float:
    """xi2 for N to infinity: 1 + 2n - 2|M| / sqrt(1 + 4 (Delta_N / (N A))^2).

    Linear (Holstein-Primakoff) limit: 3 % low at N = 1000, 8 % at N = 100 at the optimum
    r of Bai & An Fig. 3; never below 1 - eta.
    """
    lag = 2.0 * parameters.relative_detuning / parameters.atoms
    # 1 + 2n - 2|M| = 1 - eta + eta e^(-2r), kept apart from the rest at large r
    eta = parameters.transmission
    aligned = (1.0 - eta) + eta * math.exp(-2.0 * parameters.squeezing)
    root = math.hypot(1.0, lag)
    return aligned + 2.0 * abs(parameters.correlation) * lag**2 / (root * (1.0 + root))


def gaussian_optimum(atoms: int, shift: float) -> tuple[float, float]:
    """(r, xi2) of least `gaussian_xi2` at Delta_N/A = shift cosh(2r), to leading order in N.

    xi2 = (4/3)^(3/4) sqrt(shift/N): the exponent is -1/2, where Bai & An Eq. 9 gives a
    finite-size fit (1.64 N^-0.54; r = 0.27 ln N - 0.11).
    """
    number = whole(atoms, "atoms", least=1)
    ratio = positive(shift, "shift")
    r = 0.25 * math.log(number) + 0.125 * math.log(4.0 / 3.0) - 0.25 * math.log(ratio)
    return r, (4.0 / 3.0) ** 0.75 * math.sqrt(ratio / number)


def squeezing_from_decibels(decibels: float) -> float:
    """r of an input squeezing in dB: r = dB ln(10)/20; 15 dB is r = 1.727."""
    return not_negative(decibels, "decibels") * math.log(10.0) / 20.0


def transmitted(value: float) -> float:
    """Return a power transmission in (0, 1]; raise ValueError otherwise."""
    number = finite(value, "transmission")
    if not 0.0 < number <= 1.0:
        raise ValueError(f"Argument `transmission` must lie in (0, 1], but is {value!r}.")
    return number


def _squeezing(value: float, name: str) -> float:
    """Return r in [0, 20]: above, e^(-2r) is lost against 1 in double precision."""
    number = not_negative(value, name)
    if number > 20.0:
        raise ValueError(f"Argument `{name}` must not exceed 20, but is {value!r}.")
    return number


def _dark(atoms: int, squeezing: float, turn: complex) -> SqueezedState:
    """The pure steady state: V_min = e^(-2r) |<Sz>|/2, V_max = e^(2r) |<Sz>|/2."""
    length = dark_spin_length(atoms, squeezing)
    small = 0.5 * length * math.exp(-2.0 * squeezing)
    large = 0.5 * length * math.exp(2.0 * squeezing)
    return SqueezedState(atoms, -length, small + large, (large - small) * turn, small)


def _lossy(parameters: SqueezedReservoir, turn: complex) -> SqueezedState:
    """Steady state with loss; the phase is turned in afterwards."""
    moments = lossy_moments(
        parameters.atoms,
        parameters.occupation,
        abs(parameters.correlation),
        parameters.relative_detuning,
    )
    return SqueezedState(
        parameters.atoms,
        moments.sz,
        moments.planar,
        moments.pair * turn,
        moments.v_min,
        moments.error,
    )
