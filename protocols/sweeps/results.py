"""The answers of a sweep as one Dataset over settings and seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..recording import DamagedRunError
from .catalogue import Catalogue

if TYPE_CHECKING:
    import xarray as xr

_ESTIMATES = "estimates.json"
_OF_QUANTITY = ("estimate", "std", "interval_low", "interval_high", "truth")
_OF_RUN = ("gain_db", "p_value", "duration", "laboratory_duration")
_TAKEN = {
    *_OF_QUANTITY,
    *_OF_RUN,
    "quantity",
    "unit",
    "seed",
    "good_shots",
    "task_state",
    "run_path",
}


def results_of(catalogue: Catalogue) -> xr.Dataset:
    """Everything that the finished tasks found; NaN where a task is not done.

    Variables over the axes and `seed`: `estimate`, `std`, `interval_low`, `interval_high` and
    `truth` (also over `quantity`, with its `unit`), the bounds (`cramer_rao_std`, …), `gain_db`,
    `p_value`, `good_shots`, `duration` and `laboratory_duration` in s, `task_state`, and
    `run_path`, relative to the sweep's folder. An axis of such a name gets `setting_` before it.
    """
    import xarray as xr

    plan = catalogue.plan
    done = [one for one in catalogue.outcomes.values() if one.state == "done"]
    answers = {one.task: _answer(catalogue.path, one.run) for one in done}
    tables = _Tables(len(plan), list(answers.values()))
    for outcome in done:
        tables.fill(outcome.task, answers[outcome.task])
        tables.of_run["duration"][outcome.task] = outcome.seconds
        tables.of_run["laboratory_duration"][outcome.task] = outcome.laboratory_seconds
    every = [catalogue.outcome(task) for task in range(len(plan))]
    names = {name: f"setting_{name}" if name in _TAKEN else name for name in plan.axes}
    dims, shape = (*names.values(), "seed"), plan.shape
    variables: dict[str, Any] = {
        name: ((*dims, "quantity"), table.reshape(*shape, -1), _attributes(name))
        for name, table in tables.of_quantity.items()
    }
    for name, table in {**tables.of_run, **tables.bounds}.items():
        variables[name] = (dims, table.reshape(shape), _attributes(name))
    columns = {
        "good_shots": np.array([one.shots for one in every], dtype=np.int64),
        "task_state": np.array([one.state for one in every], dtype=object),
        "run_path": np.array([one.run or "" for one in every], dtype=object),
    }
    variables.update({name: (dims, column.reshape(shape)) for name, column in columns.items()})
    coordinates: dict[str, Any] = {
        "seed": list(plan.seeds),
        "quantity": np.array(list(tables.units), dtype=object),
        "unit": ("quantity", np.array(list(tables.units.values()), dtype=object)),
    }
    for name, values in plan.axes.items():
        about = catalogue.descriptions.get(name)
        attributes = {"long_name": about} if about else {}
        coordinates[names[name]] = (names[name], _coordinate(values), attributes)
    return xr.Dataset(variables, coordinates, _about(catalogue))


class _Tables:
    """Flat tables over the tasks; the columns are those that any answer has."""

    def __init__(self, tasks: int, answers: list[Mapping[str, Any]]) -> None:
        self.units: dict[str, str] = {}
        bounds: dict[str, None] = {}
        for answer in answers:
            for name, one in _estimates(answer).items():
                self.units.setdefault(name, one["unit"])
            bounds.update(dict.fromkeys(answer.get("bounds") or ()))
        self._column = {name: k for k, name in enumerate(self.units)}
        self.of_quantity = _empty(_OF_QUANTITY, (tasks, len(self.units)))
        self.of_run = _empty(_OF_RUN, (tasks,))
        self.bounds = _empty(bounds, (tasks,))

    def fill(self, task: int, answer: Mapping[str, Any]) -> None:
        truth = answer.get("truth") or {}
        for name, one in _estimates(answer).items():
            low, high = one["interval"]
            row = (one["value"], one["std"], low, high, truth.get(name))
            for table, value in zip(self.of_quantity.values(), row, strict=True):
                table[task, self._column[name]] = _number(value)
        for name, value in (answer.get("bounds") or {}).items():
            self.bounds[name][task] = _number(value)
        self.of_run["gain_db"][task] = _number(answer.get("gain_db"))
        fit = (answer.get("estimate") or {}).get("goodness_of_fit") or {}
        self.of_run["p_value"][task] = _number(fit.get("p_value"))


def _empty(names: Iterable[str], shape: tuple[int, ...]) -> dict[str, NDArray[np.float64]]:
    return {name: np.full(shape, np.nan) for name in names}


def _answer(sweep: Path, run: str | None) -> Mapping[str, Any]:
    """The fits that lie beside the run's data."""
    path = sweep / (run or "") / _ESTIMATES
    try:
        answer: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedRunError(
            f"the fits of a finished task cannot be read from {path}: {error}. The records may be "
            "whole: `cavitylab estimate` fits them again"
        ) from error
    return answer


def _estimates(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (answer.get("estimate") or {}).get("estimates") or {}
    return found


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else np.nan


def _coordinate(values: tuple[Any, ...]) -> NDArray[Any]:
    """Numbers as numbers, texts as texts, anything else as the JSON text of it."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return np.array(values)
    texts = [value if isinstance(value, str) else json.dumps(value) for value in values]
    return np.array(texts, dtype=object)


def _attributes(name: str) -> dict[str, str]:
    return {"units": "s"} if name.endswith("duration") else {}


def _about(catalogue: Catalogue) -> dict[str, Any]:
    plan = catalogue.plan
    return {
        "title": catalogue.title,
        "sweep_id": catalogue.sweep_id,
        "protocol": plan.protocol,
        "settings": json.dumps(dict(plan.fixed)),
        "station": plan.station,
        "laboratory": plan.laboratory,
        "level": plan.level,
    }
