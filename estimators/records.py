"""Arrays of records as estimators read them: fixed names, checked shapes, bad shots left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray


class RecordError(ValueError):
    """A block of records that an estimator cannot use, with the reason."""


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
            f"{shot}, detector {port} has {used[row, port]!r}; mark bad shots with a status "
            "other than 1."
        )
    return np.ascontiguousarray(used), int(len(counts) - len(used))
