"""Columns of pumping scans: checked, with the shots of other status left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .records import RecordError, read_counts

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SweepRecords:
    """Sweeps of one block: counts (sweeps, bins), pump (sweeps, 2), duration (sweeps,)."""

    counts: Array
    pump: Array
    duration: Array
    rejected: int


def read_snapshots(records: Mapping[str, ArrayLike]) -> tuple[Array, Array, int]:
    """Pumps and counts of the good shots, (shots,) each, and how many were left out.

    Raises:
        RecordError: on missing columns, wrong shapes, counts that are not whole numbers,
            or pumps that are negative or not finite.
    """
    counts, good, rejected = _counts_of(records, 1)
    pump = _column(records, "pump", good.shape)[good]
    _refuse(pump, (pump < 0.0) | ~np.isfinite(pump), "pump", "finite and not negative", good)
    return pump, counts[:, 0], rejected


def read_holds(records: Mapping[str, ArrayLike]) -> tuple[Array, Array, Array, int]:
    """Pumps, durations and counts of the good shots, and how many were left out."""
    pump, counts, rejected = read_snapshots(records)
    good = _good(records, len(counts) + rejected)
    time = _column(records, "time", good.shape)[good]
    _refuse(time, ~(time > 0.0) | ~np.isfinite(time), "time", "finite and above zero", good)
    return pump, time, counts, rejected


def read_sweeps(records: Mapping[str, ArrayLike]) -> SweepRecords:
    """Counts in equal bins of linear sweeps.

    Args:
        records: "counts" (sweeps, bins); "pump" (sweeps, 2), the knob at the beginning and
            at the end; "time" (sweeps,), the duration; "status" (sweeps,), optional.

    Raises:
        RecordError: on missing columns, wrong shapes, and values outside these rules.
    """
    bins = np.shape(records["counts"])[1] if np.ndim(records.get("counts", 0)) == 2 else 1
    counts, good, rejected = _counts_of(records, bins)
    if bins < 4:
        raise RecordError(
            f"Column `counts` must hold at least 4 bins of each sweep, but has shape "
            f"{np.shape(records['counts'])}."
        )
    pump = _column(records, "pump", (good.size, 2))[good]
    _refuse(pump, (pump < 0.0) | ~np.isfinite(pump), "pump", "finite and not negative", good)
    same = pump[:, 0] == pump[:, 1]
    _refuse(pump[:, 0], same, "pump", "different at the two ends of a sweep", good)
    time = _column(records, "time", good.shape)[good]
    _refuse(time, ~(time > 0.0) | ~np.isfinite(time), "time", "finite and above zero", good)
    return SweepRecords(counts, pump, time, rejected)


def _counts_of(
    records: Mapping[str, ArrayLike], columns: int
) -> tuple[Array, NDArray[np.bool_], int]:
    """Counts as (shots, columns), which shots are good, and how many are not."""
    if "counts" in records and columns == 1 and np.ndim(records["counts"]) == 1:
        records = {**records, "counts": np.asarray(records["counts"])[:, None]}
    counts, rejected = read_counts(records, columns)
    good = _good(records, len(counts) + rejected)
    return counts, good, rejected


def _good(records: Mapping[str, ArrayLike], shots: int) -> NDArray[np.bool_]:
    if "status" not in records:
        return np.ones(shots, dtype=bool)
    good: NDArray[np.bool_] = np.asarray(records["status"]) == 1
    return good


def _column(records: Mapping[str, ArrayLike], name: str, shape: tuple[int, ...]) -> Array:
    if name not in records:
        raise RecordError(f"Records must have a column `{name}`, but have {', '.join(records)}.")
    try:
        column = np.asarray(records[name], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RecordError(f"Column `{name}` must hold numbers: {error}") from error
    if column.shape != shape:
        raise RecordError(
            f"Column `{name}` must have shape {shape} to match `counts`, but has shape "
            f"{column.shape}."
        )
    return column


def _refuse(
    values: Array, wrong: NDArray[np.bool_], name: str, rule: str, good: NDArray[np.bool_]
) -> None:
    if not wrong.any():
        return
    place = np.argwhere(wrong)[0]
    shot = int(np.flatnonzero(good)[place[0]])
    raise RecordError(
        f"Column `{name}` must be {rule}, but shot {shot} has {values[tuple(place)]:g}; mark bad "
        "shots with a status other than 1.",
        shot,
    )
