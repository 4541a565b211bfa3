"""What a prediction is: named parameters with units in, quantities with units and sources out."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

Value: TypeAlias = float | list[Any] | str | None
Kind: TypeAlias = Literal["number", "list", "text"]

_ON_THE_COMMAND_LINE: Mapping[str, tuple[str, ...]] = {
    "spin": ("S",),
    "atoms": ("N", "S"),
    "ensembles": ("L", "fractions"),
    "rabi_frequency": ("Omega",),
    "detuning": ("delta",),
    "detuning_difference": ("Delta",),
    "detunings": ("deltas",),
    "edge_detuning": ("Delta_e",),
    "bulk_detuning": ("Delta_b",),
    "exchange": ("chi",),
    "collective_decay": ("Gamma",),
    "single_decay": ("gamma",),
    "times": ("t",),
    "angle": ("phi",),
    "detection_noise": ("sigma",),
    "squeezing": ("r",),
    "relaxation": ("gamma_minus",),
    "dephasing": ("gamma_z",),
    "phase": ("alpha",),
    "transmission": ("eta",),
    "pump": ("w",),
    "curvature": ("K",),
}
"""The models' own names of their arguments, and what a model here may call them."""


class PredictionError(ValueError):
    """Parameters that are missing, unknown, unreadable, or outside a model's rules."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a model.

    Attributes:
        name: ASCII name, as typed on the command line.
        unit: Unit; rates are in units of the collective decay unless the meaning says otherwise.
        meaning: One phrase.
        default: Value when not given; None means it must be given, unless `optional`.
        kind: A number, a list of numbers (comma separated), or a word.
        optional: May be left out, and some quantities with it.
        infinite: Whether ``inf`` is allowed.
    """

    name: str
    unit: str
    meaning: str
    default: float | str | None = None
    kind: Kind = "number"
    optional: bool = False
    infinite: bool = False

    def read(self, given: Any) -> Any:
        """The value of a text or number.

        Raises:
            PredictionError: When it cannot be read, is not a number, or is infinite and may not be.
        """
        if self.kind == "text":
            return str(given)
        if self.kind == "list":
            parts = given.split(",") if isinstance(given, str) else list(np.atleast_1d(given))
            return tuple(self._number(part) for part in parts)
        return self._number(given)

    def _number(self, given: Any) -> float:
        try:
            value = float(given)
        except (TypeError, ValueError):
            raise PredictionError(
                f"Parameter `{self.name}` must be a number, but is {given!r}."
            ) from None
        if math.isnan(value) or (math.isinf(value) and not self.infinite):
            raise PredictionError(f"Parameter `{self.name}` must be finite, but is {given!r}.")
        return value


@dataclass(frozen=True, slots=True)
class Predicted:
    """One figure of merit: a number or nested list of numbers, its unit, and where it comes from.

    The value is None where the quantity does not exist; `remark` then says why.
    """

    value: Value
    unit: str
    source: str
    remark: str = ""

    def to_json(self) -> dict[str, Any]:
        """Value, unit and source in JSON's types; a remark only where there is one."""
        document = {"value": _plain(self.value), "unit": self.unit, "source": self.source}
        return document | ({"remark": self.remark} if self.remark else {})


@dataclass(frozen=True, slots=True)
class Prediction:
    """The figures of merit of one model at one set of parameters."""

    model: str
    parameters: Mapping[str, Any]
    quantities: Mapping[str, Predicted]

    def to_json(self) -> dict[str, Any]:
        """The stable JSON form of a prediction."""
        return {
            "model": self.model,
            "parameters": {k: _plain(v) for k, v in self.parameters.items()},
            "quantities": {k: q.to_json() for k, q in self.quantities.items()},
        }


@dataclass(frozen=True, slots=True)
class Model:
    """A system of the papers whose figures of merit can be asked for by name.

    Attributes:
        name: Name on the command line.
        title: One line.
        paper: The paper it follows.
        parameters: What may be given.
        compute: Pure function from the read parameters (absent ones are None) to quantities.
        example: Parameters that make a sensible example.
    """

    name: str
    title: str
    paper: str
    parameters: tuple[Parameter, ...]
    compute: Callable[[Mapping[str, Any]], dict[str, Predicted]]
    example: Mapping[str, str] = field(default_factory=dict)

    def predict(self, given: Mapping[str, Any]) -> Prediction:
        """Read the parameters and compute.

        Raises:
            PredictionError: With every missing, unknown or unreadable parameter, or with what the
                model refuses.
        """
        values = self.read(given)
        try:
            quantities = self.compute(values)
        except PredictionError:
            raise
        except ValueError as error:
            raise PredictionError(f"{self.name}: {self.renamed(str(error))}") from error
        except MemoryError as error:
            raise PredictionError(
                f"{self.name}: these parameters need more memory than there is; take a smaller one."
            ) from error
        shown = {k: v for k, v in values.items() if v is not None}
        return Prediction(self.name, shown, quantities)

    def renamed(self, refusal: str) -> str:
        """A refusal in which the models' own names, in backticks, are this model's parameters."""
        known = [p.name for p in self.parameters]

        def typed(found: re.Match[str]) -> str:
            own = found[1]
            if own in known:
                return f"`{own}`"
            names = (n for n in _ON_THE_COMMAND_LINE.get(own, ()) if n in known)
            return f"`{next(names, own)}`"

        return re.sub(r"`(\w+)`", typed, refusal)

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters by name; PredictionError with every mistake at once."""
        known = [p.name for p in self.parameters]
        problems = []
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f" (did you mean `{near[0]}`?)" if near else ""
                problems.append(f"unknown parameter `{name}`{hint}")
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name in given:
                try:
                    values[parameter.name] = parameter.read(given[parameter.name])
                except PredictionError as error:
                    problems.append(str(error))
            elif parameter.default is not None:
                values[parameter.name] = parameter.default
            elif parameter.optional:
                values[parameter.name] = None
            else:
                problems.append(f"parameter `{parameter.name}` is missing: {parameter.meaning}")
        if problems:
            raise PredictionError(
                f"{self.name}: {'; '.join(p.rstrip('.') for p in problems)}. "
                f"Parameters: {', '.join(known)}."
            )
        return values


def _plain(value: Any) -> Any:
    """JSON's types; what is not finite becomes text (inf) or None (nan)."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        if math.isnan(number):
            return None
        return number if math.isfinite(number) else ("inf" if number > 0 else "-inf")
    return value
