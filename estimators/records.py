"""Arrays of records as estimators read them: fixed names, checked shapes, bad shots left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray


class RecordError(ValueError):
    """A block of records that an estimator cannot use, with the reason.

    Attributes:
        shot: the first shot of the block that is wrong, where one shot is.
    """

    def __init__(self, message: str, shot: int | None = None) -> None:
        super().__init__(message)
        self.shot = shot


def read_counts(
    records: Mapping[str, ArrayLike], detectors: int = 2
) -> tuple[NDArray[np.float64], int]:
    """Counts of the good shots, (shots, detectors), and how many shots were left out.

    Args:
        records: "counts" (shots, detectors); "status" (shots,), optional: 1 is a good shot.
        detectors: columns that are expected.

    Raises:
        RecordError: see the message; nothing is repaired silently.
    """
    if "counts" not in records:
        raise RecordError(
            f"Records must have a column `counts`, but have {', '.join(records) or 'none'}."
        )
    try:
        counts = np.asarray(records["counts"], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RecordError(f"Column `counts` must hold numbers: {error}") from error
    if counts.ndim != 2 or counts.shape[1] != detectors:
        raise RecordError(
            f"Column `counts` must have shape (shots, {detectors}), but has shape {counts.shape}."
        )
    good = np.ones(len(counts), dtype=bool)
    if "status" in records:
        status = np.asarray(records["status"])
        if status.shape != (len(counts),):
            raise RecordError(
                f"Column `status` must have shape ({len(counts)},) like the shots of `counts`, "
                f"but has shape {status.shape}."
            )
        good = status == 1
    used = counts[good]
    wrong = ~np.isfinite(used) | (used < 0.0) | (used != np.floor(used))
    if wrong.any():
        row, port = (int(i) for i in np.argwhere(wrong)[0])
        shot = int(np.flatnonzero(good)[row])
        raise RecordError(
            "Column `counts` must hold whole numbers, none negative, but shot "
            f"{shot}, detector {port} has {used[row, port]:g}; mark bad shots with a status "
            "other than 1.",
            shot,
        )
    return np.ascontiguousarray(used), int(len(counts) - len(used))


def good_shots(records: Mapping[str, ArrayLike], shots: int) -> NDArray[np.bool_]:
    """Mask of the shots whose "status" is 1; all of them without that column."""
    if "status" not in records:
        return np.ones(shots, dtype=bool)
    status = np.asarray(records["status"])
    if status.shape != (shots,):
        raise RecordError(
            f"Column `status` must have shape ({shots},) like the shots, but has shape "
            f"{status.shape}."
        )
    good: NDArray[np.bool_] = status == 1
    return good


def read_column(
    records: Mapping[str, ArrayLike],
    name: str,
    shape: tuple[int, ...],
    good: NDArray[np.bool_],
    *,
    lowest: float = -np.inf,
    highest: float = np.inf,
    default: float | None = None,
) -> NDArray[np.float64]:
    """One column of the good shots: finite numbers within [lowest, highest].

    Args:
        records: the block.
        name: the column.
        shape: its shape, shots first.
        good: mask of the shots that are used.
        lowest: least value allowed.
        highest: largest value allowed.
        default: taken for every shot where the column is missing; None: it must be there.

    Raises:
        RecordError: on a missing column, a wrong shape, or a value outside the rule.
    """
    if name not in records:
        if default is None:
            raise RecordError(
                f"Records must have a column `{name}`, but have {', '.join(records) or 'none'}."
            )
        return np.full((int(good.sum()), *shape[1:]), default)
    try:
        column = np.asarray(records[name], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise RecordError(f"Column `{name}` must hold numbers: {error}") from error
    if column.shape != shape:
        raise RecordError(f"Column `{name}` must have shape {shape}, but has shape {column.shape}.")
    used = column[good]
    wrong = ~np.isfinite(used) | (used < lowest) | (used > highest)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        shot = int(np.flatnonzero(good)[place[0]])
        raise RecordError(
            f"Column `{name}` must be finite and within [{lowest:g}, {highest:g}], but shot "
            f"{shot} has {used[place]:g}; mark bad shots with a status other than 1.",
            shot,
        )
    return used


def refuse_unknown(records: Mapping[str, ArrayLike], known: tuple[str, ...]) -> None:
    """Refuse columns that the estimator does not read: a mistyped name is not ignored."""
    strange = [name for name in records if name not in (*known, "status", "shot")]
    if strange:
        raise RecordError(
            f"Column `{strange[0]}` is not known here; the columns are {', '.join(known)}, "
            "status, shot."
        )


def refuse_beyond(counts: NDArray[np.float64], largest_mean: float, relative: float = 0.0) -> None:
    """Refuse counts that all atoms together could not have given.

    Args:
        counts: (shots, detectors) of good shots.
        largest_mean: mean counts with every atom in the counted state.
        relative: relative standard deviation of the gain.

    Raises:
        RecordError: more than ten standard deviations above `largest_mean`.
    """
    limit = largest_mean * (1.0 + 5.0 * relative) + 10.0 * np.sqrt(max(largest_mean, 1.0)) + 10.0
    beyond = counts > limit
    if beyond.any():
        row, port = (int(i) for i in np.argwhere(beyond)[0])
        raise RecordError(
            f"Column `counts` must stay below {limit:.6g}, what all atoms together give, but good "
            f"shot {row}, detector {port} has {counts[row, port]:.6g}; mark it with a status other "
            "than 1, or correct the atom number or the gain."
        )
