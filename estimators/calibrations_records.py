"""Readings of calibrations, kept as shots and gathered by their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .calibrations_fit import Groups
from .records import RecordError, good_shots, read_column, read_counts, refuse_unknown

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of settings: its name, the values it may have, what it is when missing, its unit."""

    name: str
    lowest: float = -np.inf
    highest: float = np.inf
    default: float | None = None
    unit: str = ""


@dataclass(slots=True)
class Readings:
    """Blocks of counts or readings with their settings.

    Args:
        reading: "counts" (shots, 1) or (shots,), whole numbers; or "reading" (shots,), any.
        columns: the settings.
        largest: counts above it are refused; None: no limit.
    """

    reading: str
    columns: tuple[Column, ...]
    largest: float | None = None
    rejected: int = 0
    blocks: list[tuple[Array, Array]] = field(default_factory=list)

    def add(self, records: Mapping[str, ArrayLike]) -> None:
        """Check and keep a block.

        Raises:
            RecordError: on what cannot be used, with column, value and rule.
        """
        refuse_unknown(records, (self.reading, *(column.name for column in self.columns)))
        if self.reading == "counts":
            table = dict(records)
            if np.ndim(table.get("counts", 0)) == 1:
                table["counts"] = np.asarray(table["counts"])[:, None]
            counts, rejected = read_counts(table, 1)
            values, shots = counts[:, 0], len(counts) + rejected
        else:
            shots = int(np.size(records["reading"])) if "reading" in records else 0
            good = good_shots(records, shots)
            values = read_column(records, "reading", (shots,), good)
            rejected = shots - len(values)
        good = good_shots(records, shots)
        if self.largest is not None and (values > self.largest).any():
            place = int(np.argmax(values > self.largest))
            shot = int(np.flatnonzero(good)[place])
            raise RecordError(
                f"Column `{self.reading}` must not exceed {self.largest:.6g}, but shot {shot} has "
                f"{values[place]:.6g}.",
                shot,
            )
        settings = [
            read_column(
                records,
                column.name,
                (shots,),
                good,
                lowest=column.lowest,
                highest=column.highest,
                default=column.default,
            )
            for column in self.columns
        ]
        self.blocks.append((values, np.stack(settings)))
        self.rejected += rejected

    def groups(self, trials: float = 1.0) -> Groups:
        """Number, sum and scatter of every setting, in the order of the settings.

        Raises:
            RecordError: on no good shot.
        """
        if not self.blocks or not sum(len(values) for values, _ in self.blocks):
            raise RecordError("Records must hold at least one good shot, but there is none.")
        values = np.concatenate([block[0] for block in self.blocks])
        settings = np.concatenate([block[1] for block in self.blocks], axis=1)
        distinct, place, number = np.unique(
            settings, axis=1, return_inverse=True, return_counts=True
        )
        place = place.reshape(-1)
        # Sorted within settings, so that sums do not depend on the order of the blocks.
        order = np.lexsort((values, place))
        values, place = values[order], place[order]
        total = np.bincount(place, weights=values).astype(np.float64)
        off = values - (total / number)[place]
        return Groups(
            {column.name: row for column, row in zip(self.columns, distinct, strict=True)},
            number.astype(np.float64),
            total,
            np.bincount(place, weights=off * off).astype(np.float64),
            trials,
        )

    def missing(self, groups: Groups, fewest: int) -> str:
        """What is missing to determine anything, in words; "" with `fewest` settings or more."""
        settings = groups.number.size
        if settings >= fewest:
            return ""
        names = ", ".join(column.name for column in self.columns)
        return f"{settings} different settings of {names}, and at least {fewest} are needed"
