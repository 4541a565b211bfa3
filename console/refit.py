"""`cavitylab estimate`: fit a stored run again, or counts from anywhere."""

from __future__ import annotations

import csv
import json as jsonlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .exits import ExitCode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..estimators import EllipseBeliefs

_BELIEF_KEYS = {
    "spin",
    "detuning_ratio",
    "pulse_area",
    "gain",
    "background",
    "detuning_ratio_std",
    "pulse_area_std",
    "gain_std",
    "background_std",
}
_OPTIONAL_KEYS = {"bias_phase", "bias_std"}


class RecordsError(ValueError):
    """The file does not hold what an estimator needs."""


def read_beliefs(path: Path) -> EllipseBeliefs:
    """Beliefs from a flat YAML file (keys: see `cavitylab estimate --help`).

    Raises:
        RecordsError: naming missing and unknown keys.
    """
    import numpy as np
    from ruamel.yaml import YAML

    from ..estimators import EllipseBeliefs

    found = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise RecordsError(f"{path}: must hold `key: value` lines, see cavitylab estimate --help")
    missing = sorted(_BELIEF_KEYS - set(found))
    unknown = sorted(set(found) - _BELIEF_KEYS - _OPTIONAL_KEYS)
    if missing or unknown:
        raise RecordsError(
            f"{path}: missing {', '.join(missing) or 'nothing'}; "
            f"unknown {', '.join(unknown) or 'nothing'}"
        )
    stds = [found[f"{k}_std"] for k in ("detuning_ratio", "pulse_area", "gain", "background")]
    return EllipseBeliefs(
        **{k: float(found[k]) for k in ("spin", "detuning_ratio", "pulse_area", "gain")},
        background=float(found["background"]),
        covariance=np.diag(np.square(np.asarray(stds, dtype=float))),
        bias_phase=float(found.get("bias_phase", 0.0)),
        bias_std=float(found.get("bias_std", 0.0)),
    )


def _as_counts(text: str, where: str) -> int:
    try:
        number = float(text)
    except ValueError:
        raise RecordsError(f"{where}: {text!r} is not a number of counts") from None
    if not math.isfinite(number) or number < 0 or number != round(number):
        raise RecordsError(f"{where}: {text!r} is not a number of counts (a whole number ≥ 0)")
    return int(number)


def read_records(path: Path) -> dict[str, NDArray[np.int64]]:
    """Raw counts (shots, 2) and, where given, status, from a CSV or NPZ file.

    Raises:
        RecordsError: for an empty file, wrong columns or shapes, or what is not a count; the
            message names file, line and what is wanted.
    """
    import numpy as np

    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            if "counts" not in arrays:
                raise RecordsError(f"{path}: needs an array `counts`, has {sorted(arrays)}")
            return {k: np.asarray(arrays[k]) for k in ("counts", "status") if k in arrays}
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        columns = reader.fieldnames or []
        if not {"counts_1", "counts_2"} <= set(columns):
            raise RecordsError(
                f"{path}: needs the columns counts_1 and counts_2, "
                f"has {', '.join(columns) or 'none'}"
            )
        names = [c for c in ("counts_1", "counts_2", "status") if c in columns]
        rows = [
            [_as_counts(row[n] or "", f"{path}:{line}, column {n}") for n in names]
            for line, row in enumerate(reader, 2)
        ]
    if not rows:
        raise RecordsError(f"{path}: has a heading but no shots")
    table = np.asarray(rows, dtype=np.int64)
    records = {"counts": table[:, :2]}
    if "status" in names:
        records["status"] = table[:, 2]
    return records


def _from_run(path: Path) -> tuple[Mapping[str, Any], EllipseBeliefs]:
    from ..protocols.engine import stored_beliefs
    from ..protocols.recording import Run

    run = Run.open(path)
    rows = run.load("shot")
    return {k: rows[k] for k in ("counts", "status")}, stored_beliefs(run)


def refit(
    source: Path, *, method: str, level: float, beliefs: Path | None, as_json: bool
) -> ExitCode:
    """Fit and print; a run brings its own beliefs, a file needs ``--beliefs``."""
    from ..estimators import EllipsePhase
    from .exits import say_error

    try:
        if source.is_dir():
            records, known = _from_run(source)
            if beliefs is not None:
                known = read_beliefs(beliefs)
        elif not source.exists():
            raise RecordsError(f"{source}: no such run or file")
        elif beliefs is None:
            raise RecordsError(
                f"{source}: counts alone do not fix a phase; give --beliefs FILE "
                "(see cavitylab estimate --help)"
            )
        else:
            records, known = read_records(source), read_beliefs(beliefs)
        estimator = EllipsePhase(known, method=method)
        estimator.update(records)
        estimate = estimator.estimate(level=level)
    except ValueError as error:
        say_error(str(error))
        return ExitCode.USAGE
    if as_json:
        print(jsonlib.dumps(estimate.to_json(), allow_nan=False))
    else:
        print(estimate)
        for line in estimate.assumptions:
            print(f"  assumed: {line}")
    return ExitCode.DONE
