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

Kind = Literal["aom_amplitude", "aom_power", "linear", "counts"]
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
