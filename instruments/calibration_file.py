"""Calibration files: YAML that a physicist reads and edits, checked strictly.

```yaml
kind: aom_amplitude
date: 2026-11-02
input: {name: RF power, unit: W, domain: [1.0e-4, 1.2]}
output: {name: Rabi frequency, unit: Hz}
parameters:
  f_max: {value: 60.0e3, unit: Hz, relative_std: 0.02}
  P_sat: {value: 1.6, unit: W, relative_std: 0.02}
correlations:                  # optional; 0 where not given
  - [f_max, P_sat, 0.3]
conditions: {gate_time: 5.0e-3}  # optional
note: Rabi flopping against RF power   # optional
```
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from ruamel.yaml.comments import CommentedMap

from .calibration import Calibration
from .errors import CalibrationError
from .laws import LAWS, Kind
from .yaml_lines import Problems, line_of, read_mapping, suggestion, validated

__all__ = ["load_calibration", "parse_calibration"]

Number = Annotated[float, Field(allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Input(_Section):
    name: str = ""
    unit: str
    domain: Annotated[list[Number], Field(min_length=2, max_length=2)]


class _Output(_Section):
    name: str = ""
    unit: str


class _Parameter(_Section):
    value: Number
    unit: str = ""
    std: Spread | None = None
    relative_std: Spread | None = None

    @model_validator(mode="after")
    def _one_spread(self) -> _Parameter:
        if (self.std is None) == (self.relative_std is None):
            raise ValueError("give either `std` (in the parameter's unit) or `relative_std`")
        return self

    @property
    def spread(self) -> float:
        """Standard deviation in the parameter's unit."""
        if self.std is not None:
            return self.std
        return abs(self.value) * (self.relative_std or 0.0)


class _File(_Section):
    kind: Kind
    date: datetime.date
    input: _Input
    output: _Output
    parameters: dict[str, _Parameter]
    correlations: list[Annotated[list[str | float], Field(min_length=3, max_length=3)]] = []
    conditions: dict[str, Number] = {}
    note: str = ""


def load_calibration(path: str | Path) -> Calibration:
    """Read a calibration file.

    Raises:
        CalibrationError: With every mistake of the file, each with its line.
    """
    source = Path(path)
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"Calibration file {source} cannot be read: {error}") from error
    problems = Problems()
    calibration = parse_calibration(source, text, problems)
    problems.raise_as(CalibrationError, f"Calibration file {source} cannot be used")
    if calibration is None:
        raise CalibrationError(f"Calibration file {source} cannot be used")
    return calibration


def parse_calibration(path: Path, text: str, problems: Problems) -> Calibration | None:
    """The calibration that `text` describes, or None after adding every mistake to `problems`."""
    node = read_mapping(path, text, problems)
    if node is None:
        return None
    content = validated(_File, node, path, problems)
    if content is None:
        return None
    before = len(problems.lines)
    _check_names(content, node, path, problems)
    _check_units(content, node, path, problems)
    _check_gate(content, node, path, problems)
    covariance = _covariance(content, node, path, problems)
    if len(problems.lines) > before:
        return None
    low, high = content.input.domain
    try:
        return Calibration(
            kind=content.kind,
            parameters={name: entry.value for name, entry in content.parameters.items()},
            covariance=covariance,
            domain=(low, high),
            input_unit=content.input.unit,
            output_unit=content.output.unit,
            date=content.date,
            input_name=content.input.name,
            output_name=content.output.name,
            conditions=content.conditions,
        )
    except CalibrationError as error:
        key = "correlations" if "covariance" in str(error) else "input"
        problems.add(path, line_of(node, [key, "domain"]), str(error))
        return None


def _check_names(content: _File, node: CommentedMap, path: Path, problems: Problems) -> None:
    names = LAWS[content.kind].names
    for name in content.parameters:
        if name not in names:
            text = f"unknown parameter `{name}` of kind `{content.kind}`{suggestion(name, names)}"
            problems.add(path, line_of(node, ["parameters", name]), text)
    for name in names:
        if name not in content.parameters:
            text = f"parameter `{name}` of kind `{content.kind}` is missing"
            problems.add(path, line_of(node, ["parameters"]), text)


def _check_units(content: _File, node: CommentedMap, path: Path, problems: Problems) -> None:
    units = LAWS[content.kind].units
    if units is None:
        return
    for key, unit, wanted in zip(
        ("input", "output"), (content.input.unit, content.output.unit), units, strict=True
    ):
        if unit != wanted:
            text = f"`{key}.unit` of kind `{content.kind}` must be {wanted}, but is {unit!r}"
            problems.add(path, line_of(node, [key, "unit"]), text)


def _check_gate(content: _File, node: CommentedMap, path: Path, problems: Problems) -> None:
    gate_time = content.conditions.get("gate_time", 0.0)
    if content.kind == "counts" and not gate_time > 0:
        text = (
            "kind `counts` needs the gate time [s] that it was taken with, "
            "`conditions: {gate_time: 5.0e-3}`: gain and background scale with it"
        )
        problems.add(path, line_of(node, ["conditions", "gate_time"]), text)


def _covariance(
    content: _File, node: CommentedMap, path: Path, problems: Problems
) -> NDArray[np.float64]:
    names = LAWS[content.kind].names
    spreads = np.array(
        [content.parameters[name].spread if name in content.parameters else 0.0 for name in names]
    )
    correlation = np.eye(len(names))
    for index, (first, second, value) in enumerate(content.correlations):
        good_names = first in names and second in names and first != second
        if not good_names or isinstance(value, str) or not -1 < value < 1:
            text = (
                "a correlation must be [parameter, other parameter, number between -1 and 1] "
                f"with parameters of {', '.join(names)}, but is {[first, second, value]}"
            )
            problems.add(path, line_of(node, ["correlations", index]), text)
            continue
        i, j = names.index(str(first)), names.index(str(second))
        correlation[i, j] = correlation[j, i] = value
    return correlation * np.outer(spreads, spreads)
