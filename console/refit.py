"""`cavitylab estimate`: fit a stored run again, or records from anywhere, with any estimator."""

from __future__ import annotations

import csv
import json as jsonlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .exits import ExitCode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..estimators import Estimate
    from ..estimators.registry import EstimatorEntry

    Columns = dict[str, NDArray[np.float64]]

_METHODS = ("exact_table", "gaussian_ring")


class RecordsError(ValueError):
    """The file does not hold what an estimator needs."""


@dataclass(frozen=True, slots=True)
class Refit:
    """What `cavitylab estimate` was asked for.

    Attributes:
        source: folder of a run, CSV or NPZ file.
        estimator: name in the registry, or a method of the ellipse; "auto": the ellipse.
        level: coverage of the intervals.
        beliefs: YAML file of `key: value` lines.
        settings: `key=value` texts, which overrule the file.
        stream: table of a run.
        as_json: print one JSON object.
        figure: draw data, fit, residuals and profile into this file.
    """

    source: Path
    estimator: str
    level: float
    beliefs: Path | None = None
    settings: Sequence[str] = ()
    stream: str = "shot"
    as_json: bool = False
    figure: Path | None = None


def refit(order: Refit) -> ExitCode:
    """Fit and print; a run of the ellipse brings its own beliefs, a file needs them."""
    from ..estimators import RecordError
    from ..estimators.registry import find_estimator
    from .exits import say_error

    try:
        if _wants_its_own(order):
            return _told(order, _refitted(order))
        entry = find_estimator(order.estimator)
        records, known = _source(order, entry)
        known |= read_beliefs(order.beliefs) if order.beliefs is not None else {}
        known |= _settings(order.settings)
        if order.estimator in _METHODS:
            known["method"] = order.estimator
        estimator = entry.build(known)
        try:
            estimator.update(records)
        except RecordError as error:
            raise RecordsError(f"{_place(order.source, error.shot)}: {error}") from error
        estimate = estimator.estimate(level=order.level)
        if order.figure is not None:
            from .refit_figure import draw_refit

            draw_refit(order.figure, entry.name, estimator, records, estimate)
    except ValueError as error:
        say_error(str(error))
        return ExitCode.USAGE
    return _told(order, estimate)


def _wants_its_own(order: Refit) -> bool:
    """A run of a protocol that keeps its beliefs, and no word of an estimator or beliefs.

    The figure of an ellipse is that of its estimator alone.
    """
    plain = order.estimator == "auto" and order.beliefs is None and not order.settings
    if not (plain and order.source.is_dir() and order.stream == "shot"):
        return False
    from ..protocols.recording import Run

    known = Run.open(order.source).provenance
    if known.get("protocol") == "ramsey_ellipse":
        return order.figure is None and isinstance(known.get("beliefs"), dict)
    return known.get("protocol") is not None


def _refitted(order: Refit) -> Estimate:
    """The run's own estimator, with the beliefs that it keeps, fed with all its shots."""
    from ..protocols.engine import stored_estimator, stored_records
    from ..protocols.recording import Run

    run = Run.open(order.source)
    estimator = stored_estimator(run)
    estimator.update(stored_records(run))
    estimate = estimator.estimate(level=order.level)
    if order.figure is not None:
        estimate.plot().savefig(order.figure)
    return estimate


def _told(order: Refit, estimate: Estimate) -> ExitCode:
    if order.as_json:
        print(jsonlib.dumps(estimate.to_json(), allow_nan=False))
    else:
        print(estimate)
        for line in estimate.assumptions:
            print(f"  assumed: {line}")
        if order.figure is not None:
            print(f"figure: {order.figure}")
    return ExitCode.DONE


def _place(source: Path, shot: int | None) -> str:
    """Where to look: a table has its names on line 1 and shot 0 on line 2."""
    if shot is None or source.suffix != ".csv":
        return str(source)
    return f"{source}: line {shot + 2}"


def list_estimators(name: str | None = None) -> ExitCode:
    """All estimators, or one with the columns that it reads and the beliefs that it takes."""
    from ..estimators.registry import BeliefError, estimators, find_estimator
    from .exits import say_error

    if name is None:
        for entry in estimators().values():
            print(f"{entry.name:<24} {entry.summary}")
        return ExitCode.DONE
    try:
        entry = find_estimator(name)
    except BeliefError as error:
        say_error(str(error))
        return ExitCode.USAGE
    print(
        f"{entry.name}: {entry.summary}\n\nColumns:\n{entry.records}\n\nBeliefs (--set key=value):"
    )
    for belief in entry.beliefs():
        default = "needed" if belief.needed else f"default {belief.default or 'empty'}"
        print(f"  {belief.key:<20} {belief.kind}, {default}")
    return ExitCode.DONE


def read_beliefs(path: Path) -> dict[str, Any]:
    """Beliefs from a flat YAML file.

    Raises:
        RecordsError: when it holds anything but `key: value` lines.
    """
    from ruamel.yaml import YAML

    found = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise RecordsError(f"{path}: must hold `key: value` lines, see cavitylab estimate --help")
    return {
        str(key): tuple(value) if isinstance(value, list) else value for key, value in found.items()
    }


def read_records(path: Path) -> Columns:
    """Columns of a CSV or NPZ file; `name_1`, `name_2`, … become one array (shots, k).

    Raises:
        RecordsError: for an empty file, uneven rows, or what is not a number; the message
            names file, line and column.
    """
    import numpy as np

    if not path.exists():
        raise RecordsError(f"{path}: no such run or file")
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = {name: np.asarray(arrays[name]) for name in arrays}
        except (OSError, ValueError) as error:
            raise RecordsError(f"{path}: is no NPZ file of plain arrays ({error})") from error
        if not found or not all(array.size for array in found.values()):
            raise RecordsError(f"{path}: holds no shots")
        return found
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.reader(stream))
    except UnicodeDecodeError as error:
        raise RecordsError(f"{path}: is not a text file; give CSV or .npz") from error
    if not rows:
        raise RecordsError(f"{path}: is empty")
    heading, lines = [name.strip() for name in rows[0]], rows[1:]
    if len(set(heading)) != len(heading):
        raise RecordsError(f"{path}: the heading names a column twice: {', '.join(heading)}")
    table = [
        [
            _number(text, f"{path}:{number}, column {name}")
            for name, text in _paired(heading, line, f"{path}:{number}")
        ]
        for number, line in enumerate(lines, 2)
        if line
    ]
    if not table:
        raise RecordsError(f"{path}: has a heading but no shots")
    return _stacked(heading, np.asarray(table, dtype=np.float64), path)


def _source(order: Refit, entry: EstimatorEntry) -> tuple[Columns, dict[str, Any]]:
    """Records that the estimator reads, and what a run already knows of its beliefs."""
    if order.source.is_dir():
        columns, known = _from_run(order, entry)
        return {name: array for name, array in columns.items() if entry.reads(name)}, known
    columns = read_records(order.source)
    strange = [name for name in columns if not entry.reads(name) and name != "shot"]
    if strange:
        raise RecordsError(
            f"{order.source}: {entry.name} does not read the column{'s' * (len(strange) > 1)} "
            f"{', '.join(strange)}; `cavitylab estimate --describe {entry.name}` says which"
        )
    if order.beliefs is None and not order.settings and any(b.needed for b in entry.beliefs()):
        raise RecordsError(
            f"{order.source}: records alone are not enough for {entry.name}; give --beliefs FILE "
            f"or --set (see cavitylab estimate --describe {entry.name})"
        )
    columns.pop("shot", None)
    return columns, {}


def _from_run(order: Refit, entry: EstimatorEntry) -> tuple[Columns, dict[str, Any]]:
    import numpy as np

    from ..protocols.engine import NoBeliefsError, stored_beliefs
    from ..protocols.recording import Run

    run = Run.open(order.source)
    rows = run.load(order.stream)
    records = {str(name): np.asarray(rows[name]) for name in rows}
    points = run.load("point")
    if order.stream == "shot" and "coil_check" in points:
        # the shots of a check before the run are no ellipse
        fitted = np.asarray(points["coil_check"])[records["point_index"]] == 0
        records = {name: column[fitted] for name, column in records.items()}
    if entry.name != "ellipse_phase":
        return records, {}
    try:
        beliefs = stored_beliefs(run)
    except NoBeliefsError:
        if order.beliefs is None and not order.settings:
            raise
        return records, {}
    return records, {"beliefs": beliefs}


def _settings(texts: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in texts:
        key, mark, value = text.partition("=")
        if not mark or not key.strip():
            raise RecordsError(f"--set takes key=value, not {text!r}")
        found[key.strip()] = value.strip()
    return found


def _paired(heading: list[str], line: list[str], where: str) -> zip[tuple[str, str]]:
    if len(line) != len(heading):
        raise RecordsError(f"{where}: has {len(line)} values for {len(heading)} columns")
    return zip(heading, line, strict=True)


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise RecordsError(f"{where}: {text!r} is not a number") from None
    if not math.isfinite(number):
        raise RecordsError(f"{where}: {text!r} is not finite; mark bad shots with a status not 1")
    return number


def _stacked(heading: list[str], table: NDArray[np.float64], path: Path) -> Columns:
    """Columns by name; numbered ones side by side in the order of their numbers."""
    plain: Columns = {}
    numbered: dict[str, dict[int, int]] = {}
    for place, name in enumerate(heading):
        base, mark, number = name.rpartition("_")
        if mark and number.isdigit():
            numbered.setdefault(base, {})[int(number)] = place
        else:
            plain[name] = table[:, place]
    for base, places in numbered.items():
        if base in plain or sorted(places) != list(range(1, len(places) + 1)):
            raise RecordsError(
                f"{path}: the columns {base}_1, {base}_2, … must be numbered without a gap"
            )
        plain[base] = table[:, [places[number] for number in sorted(places)]]
    return plain
