"""Calibrations: the map between what an instrument is set to and what the atoms feel.

A calibration is a law with a few parameters, known with a covariance, on a
stated domain where it is monotone. `Calibration.forward` goes from the
instrument's side (RF power in W, coil current in A, atoms in front of the
detector) to the physicist's (Hz, counts); `Calibration.inverse` back. The
relative gradient carries the parameters' uncertainty to any setpoint.

======================  =========================================  ==================
kind                    law                                        parameters
======================  =========================================  ==================
``aom_amplitude``       y = f_max sin((pi/2) sqrt(x / P_sat))      ``f_max P_sat``
``aom_power``           y = G_max sin^2((pi/2) sqrt(x / P_sat))    ``G_max P_sat``
``opo_squeezing``       y = 2 artanh(pump_max sin(the same angle))  ``pump_max P_sat``
``linear``              y = slope x + offset                       ``slope offset``
``counts``              y = gain x + background                    ``gain background``
======================  =========================================  ==================

The field behind an AOM follows the sine of its drive, its power the square of
the sine: a Rabi frequency is of the first kind, a rate of the second.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import CalibrationError
from .laws import LAWS, Kind, Law

__all__ = ["Calibration", "Kind"]

_ROUNDING = 1e-9
"""Share of the domain's width by which a value may lie outside: rounding, not a wish."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """One monotone law with its parameters, their covariance, and where it holds.

    Args:
        kind: Which law; see the table of the module.
        parameters: Value of each parameter, by name.
        covariance: Covariance of the parameters, in their units, in the order
            of `names`; shape (number of parameters, number of parameters).
        domain: Smallest and largest argument of `forward`.
        input_unit, output_unit: Units of the argument and of the result.
        date: When it was taken.
        input_name, output_name: What the two sides are called.
        conditions: Under which conditions it holds, e.g. ``{"gate_time": 5e-3}``.

    Raises:
        CalibrationError: If the law is not monotone on its domain, a parameter
            is missing, or the covariance is not one.
    """

    kind: Kind
    parameters: Mapping[str, float]
    covariance: NDArray[np.float64]
    domain: tuple[float, float]
    input_unit: str
    output_unit: str
    date: datetime.date
    input_name: str = ""
    output_name: str = ""
    conditions: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """Read a calibration file; see `calibration_file` for its form.

        Raises:
            CalibrationError: With every mistake of the file, each with its line.
        """
        from .calibration_file import load_calibration

        return load_calibration(path)

    def __post_init__(self) -> None:
        if self.kind not in LAWS:
            raise CalibrationError(
                f"Argument `kind` must be one of {', '.join(LAWS)}, but is {self.kind!r}"
            )
        ordered = {name: float(self.parameters[name]) for name in self._checked_names()}
        covariance = np.array(self.covariance, dtype=float)
        covariance.setflags(write=False)
        object.__setattr__(self, "parameters", MappingProxyType(ordered))
        object.__setattr__(self, "conditions", MappingProxyType(dict(self.conditions)))
        object.__setattr__(self, "covariance", covariance)
        object.__setattr__(self, "domain", (float(self.domain[0]), float(self.domain[1])))
        self._check_covariance()
        self._check_domain()

    def _checked_names(self) -> tuple[str, ...]:
        names = LAWS[self.kind].names
        if set(self.parameters) != set(names):
            raise CalibrationError(
                f"A calibration of kind {self.kind!r} has the parameters {', '.join(names)}, "
                f"but was given {', '.join(self.parameters) or 'none'}"
            )
        for name in names:
            if not math.isfinite(self.parameters[name]):
                raise CalibrationError(f"Parameter `{name}` must be finite")
        return names

    def _check_covariance(self) -> None:
        size = len(self.names)
        matrix = self.covariance
        if matrix.shape != (size, size) or not np.all(np.isfinite(matrix)):
            raise CalibrationError(
                f"The covariance must be a finite {size} x {size} matrix in the order "
                f"{', '.join(self.names)}, but has the shape {matrix.shape}"
            )
        scale = np.sqrt(np.maximum(np.diag(matrix), 0.0))
        unit = np.where(scale > 0, scale, 1.0)
        correlation = matrix / np.outer(unit, unit)
        symmetric = np.allclose(correlation, correlation.T, rtol=0, atol=1e-12)
        if not symmetric or np.linalg.eigvalsh(correlation).min() < -1e-10:
            raise CalibrationError(
                "The covariance must be symmetric and have no negative eigenvalue: check the "
                "correlations between the parameters"
            )

    def _check_domain(self) -> None:
        low, high = self.domain
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise CalibrationError(
                f"The domain must be two finite numbers, the smaller first, but is [{low}, {high}]"
            )
        problem = self._law.problem(self._values, low, high)
        if problem:
            raise CalibrationError(
                f"A calibration of kind {self.kind!r} with {self._listed()} on the domain "
                f"[{low:g}, {high:g}] {self.input_unit} cannot be inverted: {problem}"
            )

    @property
    def _law(self) -> Law:
        return LAWS[self.kind]

    @property
    def _values(self) -> tuple[float, ...]:
        return tuple(self.parameters.values())

    def _listed(self) -> str:
        return ", ".join(f"{name} = {value:g}" for name, value in self.parameters.items())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters in the order of the covariance and of every gradient."""
        return self._law.names

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest value that `forward` takes on the domain."""
        ends = [self._law.forward(self._values, x) for x in self.domain]
        return min(ends), max(ends)

    def forward(self, x: float) -> float:
        """The physicist's value, in `output_unit`, at the instrument's value `x`.

        Raises:
            CalibrationError: If `x` lies outside the domain.
        """
        return self._law.forward(self._values, self._inside(x, self.domain, self.input_unit))

    def inverse(self, y: float) -> float:
        """The instrument's value, in `input_unit`, that gives `y`.

        Raises:
            CalibrationError: If no value of the domain gives `y`.
        """
        inside = self._inside(y, self.range, self.output_unit)
        low, high = self.domain
        return min(max(self._law.inverse(self._values, inside), low), high)

    def _inside(self, value: float, limits: tuple[float, float], unit: str) -> float:
        low, high = limits
        slack = _ROUNDING * (high - low)
        if not low - slack <= value <= high + slack:
            what = (self.output_name if unit == self.output_unit else self.input_name) or "value"
            raise CalibrationError(
                f"{what} {value:g} {unit} lies outside [{low:g}, {high:g}] {unit}, where the "
                f"calibration of {self.date.isoformat()} holds: stay inside, or calibrate further"
            )
        return min(max(float(value), low), high)

    def gradient(self, x: float) -> NDArray[np.float64]:
        """dy/dp for each parameter p, at the instrument's value `x`."""
        inside = self._inside(x, self.domain, self.input_unit)
        return np.array(self._law.gradient(self._values, inside), dtype=float)

    def relative_gradient(self, x: float) -> NDArray[np.float64]:
        """d ln y / d ln p for each parameter p, at the instrument's value `x`.

        Raises:
            CalibrationError: If y = 0 at `x`.
        """
        relative: NDArray[np.float64] = self.gradient(x) * self._values / self._nonzero(x)
        return relative

    @property
    def relative_covariance(self) -> NDArray[np.float64]:
        """Covariance of the logarithms of the parameters; a parameter that is 0 has none."""
        values = np.array(self._values)
        inverse = np.divide(1.0, values, out=np.zeros_like(values), where=values != 0)
        return self.covariance * np.outer(inverse, inverse)

    def std(self, x: float) -> float:
        """Standard deviation of y at `x` from the parameters' covariance, in `output_unit`."""
        gradient = self.gradient(x)
        return math.sqrt(max(float(gradient @ self.covariance @ gradient), 0.0))

    def relative_std(self, x: float) -> float:
        """Standard deviation of ln y at `x`."""
        return self.std(x) / abs(self._nonzero(x))

    def _nonzero(self, x: float) -> float:
        y = self.forward(x)
        if y == 0:
            raise CalibrationError(
                f"The relative uncertainty at {x:g} {self.input_unit} is undefined: the "
                "calibration gives 0 there"
            )
        return y

    def at_gate(self, gate_time: float) -> Calibration:
        """A ``counts`` calibration for another gate time [s]: gain and background scale with it.

        Raises:
            CalibrationError: If this is no ``counts`` calibration with a ``gate_time``.
        """
        known = self.conditions.get("gate_time")
        if self.kind != "counts" or known is None or gate_time <= 0:
            raise CalibrationError(
                "Only a calibration of kind 'counts' with the condition `gate_time` can be "
                f"scaled to a (positive) gate time, not {self.kind!r} to {gate_time!r} s"
            )
        factor = gate_time / known
        return replace(
            self,
            parameters={name: value * factor for name, value in self.parameters.items()},
            covariance=self.covariance * factor**2,
            conditions={**self.conditions, "gate_time": gate_time},
        )

    def to_json(self) -> dict[str, Any]:
        """Everything that the calibration says, in JSON's types; the source of its `hash`."""
        return {
            "kind": self.kind,
            "date": self.date.isoformat(),
            "input": {
                "name": self.input_name,
                "unit": self.input_unit,
                "domain": list(self.domain),
            },
            "output": {"name": self.output_name, "unit": self.output_unit},
            "parameters": dict(self.parameters),
            "covariance": self.covariance.tolist(),
            "conditions": dict(self.conditions),
        }

    @property
    def hash(self) -> str:
        """sha256 of the content (not of comments and layout of a file)."""
        content = json.dumps(self.to_json(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(content.encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return self.to_json() == other.to_json() if isinstance(other, Calibration) else False

    def __hash__(self) -> int:
        return hash(self.hash)
