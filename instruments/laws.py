"""The laws behind the calibrations: value, inverse, gradient, and where each is monotone."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

COPPER = 3.93e-3
"""Relative change of copper's resistance per K, at 20 degC (annealed copper, IEC 60028)."""
COLD = 20.0
"""degC at which `COPPER` and a coil's cold resistance are stated."""

Kind = Literal["aom_amplitude", "aom_power", "opo_squeezing", "linear", "counts"]
Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Law:
    """A law with two parameters ``p``.

    Attributes:
        names: Names of the parameters, in the order of `Values`.
        units: Units of argument and result; None where any will do.
        forward: y(p, x).
        inverse: x(p, y) on the monotone branch.
        gradient: (dy/dp1, dy/dp2) at (p, x).
        problem: Why (p, low, high) is not monotone on [low, high], or None.
    """

    names: tuple[str, ...]
    units: tuple[str, str] | None
    forward: Callable[[Values, float], float]
    inverse: Callable[[Values, float], float]
    gradient: Callable[[Values, float], Values]
    problem: Callable[[Values, float, float], str | None]


def copper_temperature(resistance: float, cold_resistance: float) -> float:
    """Mean temperature in degC of a copper winding, from its resistance now and at 20 degC."""
    return COLD + (resistance / cold_resistance - 1.0) / COPPER


def _angle(p: Values, x: float) -> float:
    """(pi/2) sqrt(x / P_sat): the diffraction angle of an AOM in units of its maximum."""
    return math.pi / 2 * math.sqrt(x / p[1])


def _power(p: Values, sine: float) -> float:
    return p[1] * (2 / math.pi * math.asin(min(sine, 1.0))) ** 2


def _amplitude_gradient(p: Values, x: float) -> Values:
    angle = _angle(p, x)
    return math.sin(angle), -p[0] * math.cos(angle) * angle / (2 * p[1])


def _rate_gradient(p: Values, x: float) -> Values:
    angle = _angle(p, x)
    return math.sin(angle) ** 2, -p[0] * math.sin(2 * angle) * angle / (2 * p[1])


def _aom_problem(p: Values, low: float, high: float) -> str | None:
    if p[0] <= 0 or p[1] <= 0:
        return "both parameters must be positive"
    if low < 0:
        return "RF power cannot be negative"
    if high > p[1]:
        return f"the diffraction passes its maximum at P_sat = {p[1]:g}: end the domain below"
    return None


def _opo_squeezing(p: Values, x: float) -> float:
    """r of an OPO below threshold whose pump passes an AOM: e^(-2r) = ((1-s)/(1+s))^2, at the
    centre of its line, without loss; s^2 is the pump's power over its threshold's."""
    return 2.0 * math.atanh(p[0] * math.sin(_angle(p, x)))


def _opo_gradient(p: Values, x: float) -> Values:
    angle = _angle(p, x)
    slope = 2.0 / (1.0 - (p[0] * math.sin(angle)) ** 2)
    return slope * math.sin(angle), -slope * p[0] * math.cos(angle) * angle / (2 * p[1])


def _opo_problem(p: Values, low: float, high: float) -> str | None:
    problem = _aom_problem(p, low, high)
    if problem is None and p[0] * math.sin(_angle(p, high)) >= 1.0:
        problem = "the OPO passes its threshold: end the domain below"
    return problem


def _line_problem(p: Values, low: float, high: float) -> str | None:
    return "its slope is 0" if p[0] == 0 else None


def _counts_problem(p: Values, low: float, high: float) -> str | None:
    if p[0] <= 0:
        return "the gain must be positive"
    if p[1] < 0:
        return "the background cannot be negative"
    if low < 0:
        return "a number of atoms cannot be negative"
    return None


def _line(p: Values, x: float) -> float:
    return p[0] * x + p[1]


def _line_inverse(p: Values, y: float) -> float:
    return (y - p[1]) / p[0]


def _line_gradient(p: Values, x: float) -> Values:
    return x, 1.0


LAWS: Mapping[str, Law] = MappingProxyType(
    {
        "aom_amplitude": Law(
            names=("f_max", "P_sat"),
            units=("W", "Hz"),
            forward=lambda p, x: p[0] * math.sin(_angle(p, x)),
            inverse=lambda p, y: _power(p, y / p[0]),
            gradient=_amplitude_gradient,
            problem=_aom_problem,
        ),
        "aom_power": Law(
            names=("G_max", "P_sat"),
            units=("W", "Hz"),
            forward=lambda p, x: p[0] * math.sin(_angle(p, x)) ** 2,
            inverse=lambda p, y: _power(p, math.sqrt(max(y, 0.0) / p[0])),
            gradient=_rate_gradient,
            problem=_aom_problem,
        ),
        "opo_squeezing": Law(
            names=("pump_max", "P_sat"),
            units=("W", "1"),
            forward=_opo_squeezing,
            inverse=lambda p, y: _power(p, math.tanh(max(y, 0.0) / 2) / p[0]),
            gradient=_opo_gradient,
            problem=_opo_problem,
        ),
        "linear": Law(
            ("slope", "offset"), None, _line, _line_inverse, _line_gradient, _line_problem
        ),
        "counts": Law(
            ("gain", "background"),
            ("atoms", "counts"),
            _line,
            _line_inverse,
            _line_gradient,
            _counts_problem,
        ),
    }
)


@dataclass(frozen=True, slots=True)
class RamanExchange:
    """Exchange of ensembles at one distance by a pair of Raman tones Omega and i Omega.

    Ordinary frequencies in Hz: chi = (2/delta_c) (Omega G/delta_e)^2 (Chu et al., App. G).

    Attributes:
        coupling: G, half the single-atom vacuum Rabi splitting.
        excited_detuning: delta_e of the tones from the excited state.
        cavity_detuning: delta_c of the Raman transition from the cavity; gives chi its sign.
    """

    coupling: float
    excited_detuning: float
    cavity_detuning: float

    def exchange(self, minus: float, plus: float) -> float:
        """chi of the two Rabi frequencies; of unequal ones their product counts."""
        factor = self.coupling / self.excited_detuning
        return 2.0 * factor**2 * minus * plus / self.cavity_detuning

    def rabi_frequency(self, exchange: float) -> float:
        """Rabi frequency of both tones that gives chi (of the sign of `cavity_detuning`)."""
        return math.sqrt(exchange / self.exchange(1.0, 1.0))


@dataclass(frozen=True, slots=True)
class TwoModeRaman:
    """The two Raman couplings of one cavity mode: O_1 by `minus`, O_2^+ by `plus`.

    Ordinary frequencies in Hz throughout. With the two-photon couplings
    G = g Omega/(2 Delta) of the two tones, gamma = 4 (G_-^2 - G_+^2)/kappa and
    tanh r = G_+/G_- (Mamaev et al., generalised two-mode squeezing, S54-S56).

    Attributes:
        coupling: g of one atom and the cavity.
        linewidth: kappa, the cavity's loss rate of energy.
        detunings: (Delta_-, Delta_+) of the tones from the excited state.
        halved: Whether a Rabi frequency Omega stands for H = (Omega/2)|e><s| + h.c.,
            as in a flopping frequency; else for H = Omega |e><s| + h.c.
    """

    coupling: float
    linewidth: float
    detunings: tuple[float, float]
    halved: bool = True

    def couplings(self, minus: float, plus: float) -> tuple[float, float]:
        """|G_-|, |G_+| of two Rabi frequencies."""
        factor = self.coupling * (0.5 if self.halved else 1.0)
        low, high = self.detunings
        return factor * minus / abs(low), factor * plus / abs(high)

    def rates(self, minus: float, plus: float) -> tuple[float, float]:
        """(r, gamma) of two Rabi frequencies.

        Raises:
            ValueError: If G_+ is not below G_-: there is no steady state.
        """
        low, high = self.couplings(minus, plus)
        if not high < low:
            raise ValueError(
                f"|G_+| = {high:.6g} Hz is not below |G_-| = {low:.6g} Hz: there is no steady state"
            )
        return math.atanh(high / low), 4.0 * (low**2 - high**2) / self.linewidth

    def rabi_frequencies(self, squeezing: float, decay: float) -> tuple[float, float]:
        """The two Rabi frequencies that give r = `squeezing` and gamma = `decay`."""
        unit = self.couplings(1.0, 1.0)
        scale = 0.5 * math.sqrt(decay * self.linewidth)
        return scale * math.cosh(squeezing) / unit[0], scale * math.sinh(squeezing) / unit[1]

    def squeezing_std(self, squeezing: float, minus: float, plus: float) -> float:
        """Std of r from the relative stds of the two Rabi frequencies: d tanh r = dr/cosh^2 r."""
        return 0.5 * math.sinh(2.0 * squeezing) * math.hypot(minus, plus)
