"""`cavitylab estimate`: fit a stored run again, or records from anywhere, with any estimator."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .exits import ExitCode, say_error
from .refit_files import RecordsError, RecordsFile, read_beliefs, read_records

if TYPE_CHECKING:
    from ..estimators import Estimate
    from ..estimators.registry import Estimator, EstimatorEntry
    from .refit_files import Columns

_PICTURES = (".png", ".pdf", ".svg", ".eps", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


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
    from ..estimators.registry import ELLIPSE_METHODS, find_estimator

    try:
        _refuse_figure(order.figure)
        if _wants_its_own(order):
            return _told(order, _refitted(order))
        entry = find_estimator(order.estimator)
        source, known = _source(order, entry)
        known |= read_beliefs(order.beliefs) if order.beliefs is not None else {}
        known |= _settings(order.settings)
        if order.estimator in ELLIPSE_METHODS:
            known["method"] = order.estimator
        estimator, estimate = _fitted(order, entry, source, known)
        if order.figure is not None:
            from .refit_figure import draw_refit

            draw_refit(order.figure, entry.name, estimator, source.columns, estimate)
    except ValueError as error:
        say_error(str(error))
        return ExitCode.USAGE
    except OSError as error:
        say_error(f"{error.filename or order.source}: {error.strerror or error}")
        return ExitCode.USAGE
    return _told(order, estimate)


def _fitted(
    order: Refit, entry: EstimatorEntry, source: RecordsFile, known: dict[str, Any]
) -> tuple[Estimator, Estimate]:
    """The estimator, fed with all records, and its answer; refusals name file and estimator."""
    from ..estimators import RecordError
    from ..estimators.belief_values import BeliefError

    try:
        estimator = entry.build(known)
    except BeliefError:
        raise
    except ValueError as error:
        raise RecordsError(f"{entry.name}: {error}") from error
    try:
        estimator.update(source.columns)
        return estimator, estimator.estimate(level=order.level)
    except RecordError as error:
        raise RecordsError(f"{source.place(error.shot)}: {entry.name}: {error}") from error
    except ValueError as error:
        raise RecordsError(f"{source.path}: {entry.name}: {error}") from error


def _refuse_figure(path: Path | None) -> None:
    """Refuse before the fit what could not be written after it."""
    if path is None:
        return
    if not path.parent.is_dir():
        raise RecordsError(f"--figure {path}: there is no folder {path.parent}")
    if path.suffix.lower() not in _PICTURES:
        raise RecordsError(f"--figure {path}: the ending must be .png, .pdf or .svg")


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
        return ExitCode.DONE
    print(f"{estimate.estimator}, {estimate.shots} shots")
    for line in _rows(estimate):
        print(line)
    if estimate.goodness_of_fit is not None:
        print(f"goodness of fit: p = {estimate.goodness_of_fit.p_value:.2g}")
    for flag in estimate.flags:
        print(f"note: {flag}")
    for line in estimate.assumptions:
        print(f"  assumed: {line}")
    if estimate.quantities:
        first, quantity = next(iter(estimate.quantities.items()))
        low, high = estimate.identifiable
        print(f"  identifiable: {first} from {low:.6g} to {high:.6g} {quantity.unit}".rstrip())
    if order.figure is not None:
        print(f"figure: {order.figure}")
    return ExitCode.DONE


def _rows(estimate: Estimate) -> list[str]:
    """Every quantity with its interval, one below the other."""
    left = [f"{name} = {quantity}" for name, quantity in estimate.quantities.items()]
    width = min(max((len(text) for text in left), default=0), 60)
    rows = []
    for text, quantity in zip(left, estimate.quantities.values(), strict=True):
        low, high = quantity.interval
        digits = _digits(quantity.std, max(abs(low), abs(high)))
        rows.append(
            f"{text:<{width}}  {100 * quantity.level:.4g} %: {low:.{digits}g} to {high:.{digits}g}"
        )
    return rows


def _digits(std: float, size: float) -> int:
    """Significant digits that show an end of the interval to a hundredth of the error."""
    import math

    if std <= 0.0 or size <= 0.0:
        return 6
    return min(max(math.ceil(math.log10(size / std)) + 2, 3), 12)


def _source(order: Refit, entry: EstimatorEntry) -> tuple[RecordsFile, dict[str, Any]]:
    """Records that the estimator reads, and what a run already knows of its beliefs."""
    if order.source.is_dir():
        columns, known = _from_run(order, entry)
        kept = {name: array for name, array in columns.items() if entry.reads(name)}
        return RecordsFile(order.source, kept), known
    source = read_records(order.source)
    columns = source.columns
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
    return source, {}


def _from_run(order: Refit, entry: EstimatorEntry) -> tuple[Columns, dict[str, Any]]:
    import numpy as np

    from ..protocols.engine import NoBeliefsError, stored_beliefs
    from ..protocols.recording import Run

    run = Run.open(order.source)
    rows = run.load(order.stream)
    records = {str(name): np.asarray(rows[name]) for name in rows}
    if order.stream == "shot":
        points, place = run.load("point"), records["point_index"]
        settings = {str(name): np.asarray(points[name])[place] for name in points}
        records = {**settings, **records}
        if "coil_check" in settings:  # the shots of a check before the run are no ellipse
            fitted = settings["coil_check"] == 0
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
