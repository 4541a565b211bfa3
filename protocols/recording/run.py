"""Run: what was recorded, finished or still growing.

Readers only rely on the root metadata file, which is replaced whole: whatever it says is
there, the same in all arrays, and never shorter than before.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import zarr

from .errors import RecordingError, SchemaError, StorageError
from .finalise import Recovery, recover
from .frames import Columns, Frame, decode
from .grid import to_grid
from .journal import Journal
from .layout import FINAL_STATES, RunPaths, read_commit, try_writer_lock
from .schema import EVENT, Stream
from .verification import Verification, check_store, describe_gap

if TYPE_CHECKING:
    import xarray as xr

_SNAPSHOT_TRIES = 20


class Run:
    """One run, read-only; make it with `Run.open`. Every look is at the newest committed rows."""

    def __init__(self, paths: RunPaths, recovery: Recovery) -> None:
        self._paths = paths
        self._recovery = recovery

    @classmethod
    def open(cls, path: str | Path, *, recover_dead: bool = True) -> Self:
        """Open a run directory (or the `data.zarr` in it).

        A run whose writer died is recovered first: acknowledged rows move from the journal to
        the store, the state becomes final. Raises RunNotFoundError, FormatVersionError,
        DamagedRunError, and StorageError kinds when a dead run lies in a folder that cannot
        be written; `recover_dead=False` then still reads what is published.
        """
        paths = RunPaths.of(path)
        read_commit(paths)
        return cls(paths, recover(paths) if recover_dead else Recovery())

    @property
    def path(self) -> Path:
        return self._paths.root

    @property
    def attrs(self) -> dict[str, Any]:
        """The root attributes: title, `cavitylab` (origin), `cavitylab_commit` (state)."""
        attributes: dict[str, Any] = read_commit(self._paths)["attributes"]
        return attributes

    @property
    def run_id(self) -> str:
        return str(self.attrs["cavitylab"]["run_id"])

    @property
    def state(self) -> str:
        """ "running", or how it ended: "complete", "stopped", "failed", "interrupted"."""
        state = str(self.attrs["cavitylab_commit"]["state"])
        return "interrupted" if state not in FINAL_STATES and not self.is_live else state

    @property
    def is_live(self) -> bool:
        """Whether a writer (or somebody's recovery) holds the run at this moment."""
        if self.attrs["cavitylab_commit"]["state"] in FINAL_STATES:
            return False
        try:
            with try_writer_lock(self._paths) as free:
                return not free
        except RecordingError:  # a folder that cannot be written has no writer
            return False

    @property
    def recovery(self) -> Recovery:
        """What opening it repaired."""
        return self._recovery

    @property
    def rows(self) -> dict[str, int]:
        """Committed rows of every stream."""
        return dict(self.attrs["cavitylab_commit"]["rows"])

    @property
    def shots(self) -> int:
        return self.rows.get("shot", 0)

    @property
    def gaps(self) -> list[dict[str, Any]]:
        """Lost rows: stream, first, end, reason. Empty for a sound run."""
        return list(self.attrs["cavitylab_commit"]["gaps"])

    @property
    def records(self) -> xr.Dataset:
        """The committed rows as a lazy Dataset: times decoded, names as coordinates.

        Texts and provenance are left out; see `events` and `provenance`. The Dataset keeps
        its length while the run grows: ask again for more.
        """
        import xarray as xr  # half of the start-up time of a process that only records

        arrays = read_commit(self._paths)["consolidated_metadata"]["metadata"]
        hidden = [
            name for name, meta in arrays.items()
            if name.endswith("_json") or name in {f"{d}_end" for d in meta["dimension_names"]}
        ]  # fmt: skip
        dataset: xr.Dataset = xr.open_zarr(
            self._paths.data,
            consolidated=True,
            chunks=None,
            drop_variables=hidden,
            decode_timedelta=False,
        )
        return dataset.assign_coords(_named_coordinates(dataset))

    @property
    def provenance(self) -> dict[str, Any]:
        """Everything the run was made from, as handed to the writer."""
        group = zarr.open_group(self._paths.data, mode="r", use_consolidated=True)
        stored: Any = group["provenance_json"]
        content: dict[str, Any] = json.loads(np.asarray(stored[:]).tobytes())
        return content

    def load(self, stream: str = "shot", last: int | None = None) -> Columns:
        """The newest rows (all, or the `last` n) in memory, the journal's tail included.

        Returns an array for each field, as stored (times in ns); texts as a list.
        """
        length = self._stored_rows(stream)
        start = 0 if last is None else max(0, length - last)
        columns = self._snapshot(stream, start)
        if last is None:
            return columns
        return {name: column[max(0, len(column) - last) :] for name, column in columns.items()}

    def events(self) -> list[dict[str, Any]]:
        """Guards, pauses, faults, notes, estimates, in the order they happened."""
        return [json.loads(text) for text in self.load(EVENT.name)["json"]]

    def follow(
        self, stream: str = "shot", *, start: int = 0, poll: float = 0.05
    ) -> Iterator[Columns]:
        """Every row from `start` on, once and in order, as blocks; ends when the run has ended.

        Waits `poll` seconds when there is nothing new. A run whose writer dies meanwhile is
        recovered, and ends.
        """
        position = start
        while True:
            # The state comes first: rows read after a final state are all there will be.
            final = self.attrs["cavitylab_commit"]["state"] in FINAL_STATES
            columns = self._snapshot(stream, position)
            count = len(next(iter(columns.values())))
            if count:
                position += count
                yield columns
            elif final:
                return
            elif self.is_live:
                time.sleep(poll)
            else:
                self._recovery = recover(self._paths)

    def to_grid(self) -> xr.Dataset:
        """The records of a grid scan over its axes; see `grid.to_grid`. Reads all of them."""
        return to_grid(self.records, self.attrs["cavitylab"].get("scan"))

    def names_along(self) -> dict[str, list[str]]:
        """Names along the second dimension of each field that has them, such as detectors."""
        arrays = read_commit(self._paths)["consolidated_metadata"]["metadata"]
        found: dict[str, list[str]] = {}
        for name, metadata in arrays.items():
            second = metadata["dimension_names"][1:2]
            names = metadata["attributes"].get(f"{second[0]}_names") if second else None
            if names is not None:
                found[name] = [str(one) for one in names]
        return found

    def verify(self) -> Verification:
        """Read everything and compare; opening has already repaired what can be."""
        gaps = [describe_gap(gap) for gap in self.gaps]
        problems = check_store(self._paths)
        return Verification(
            self.path, self.state, self.shots, self._recovery.repaired, (*problems, *gaps)
        )

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.state}, {self.shots} shots)"

    # --- consistent snapshots ---------------------------------------------------------------

    def _stored_rows(self, stream: str) -> int:
        rows = self.rows
        if stream not in rows:
            raise SchemaError(f"no stream {stream!r}; {self.path} has {sorted(rows)}")
        return rows[stream]

    def _snapshot(self, stream: str, start: int) -> Columns:
        """Rows from `start`: first the store's, then those still in the journal."""
        length = self._stored_rows(stream)
        for _ in range(_SNAPSHOT_TRIES):
            commit = self.attrs["cavitylab_commit"]
            length = int(commit["rows"][stream])
            declared, frames = self._journal_tail(stream, int(commit["journal_seq"]))
            tail = _consecutive(declared, frames, max(length, start)) if declared else []
            # Rows may have been published, and deleted from the journal, between the two looks.
            if tail or (tail is not None and self.attrs["cavitylab_commit"] == commit):
                return _joined([self._stored(stream, start, length), *tail])
            time.sleep(0.005)
        return self._stored(stream, start, length)

    def _journal_tail(self, stream: str, seq: int) -> tuple[Stream | None, list[Frame]]:
        if not self._paths.journal.exists():
            return None, []
        try:
            journal = Journal.open(self._paths.journal, read_only=True)
        except RecordingError:  # being removed, or not readable by us: the store is enough
            return None, []
        try:
            declared = journal.schema().get(stream)
            frames = journal.frames_after(seq, 1 << 62)
        except (sqlite3.Error, StorageError):  # the journal is just being removed
            return None, []
        finally:
            journal.close()
        return declared, [frame for frame in frames if frame.stream == stream]

    def _stored(self, stream: str, start: int, stop: int) -> Columns:
        group = zarr.open_group(self._paths.data, mode="r", use_consolidated=True)
        start = min(start, stop)
        columns: Columns = {}
        for name, node in group.arrays():
            array: Any = node
            if (array.metadata.dimension_names or ("",))[0] == stream and name != f"{stream}_end":
                columns[name] = np.asarray(array[start:stop])
        if f"{stream}_end" in group:
            columns["json"] = _texts(group, stream, start, stop)
        return columns


def _texts(group: zarr.Group, stream: str, start: int, stop: int) -> list[str]:
    stored_ends: Any = group[f"{stream}_end"]
    stored_bytes: Any = group[f"{stream}_json"]
    before = max(start - 1, 0)
    ends = np.asarray(stored_ends[before:stop])
    ends = ends if start else np.concatenate([[0], ends])
    if len(ends) < 2:
        return []
    data = np.asarray(stored_bytes[int(ends[0]) : int(ends[-1])]).tobytes()
    edges = ends - ends[0]
    return [data[a:b].decode() for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _consecutive(stream: Stream, frames: list[Frame], position: int) -> list[Columns] | None:
    """Rows from `position` on; None when rows before the first frame are missing."""
    blocks: list[Columns] = []
    for frame in frames:
        if not frame.intact:
            break
        skip = position - frame.row0
        if skip < 0:
            return blocks or None
        if skip < frame.count:
            columns = decode(stream, frame)
            blocks.append({name: column[skip:] for name, column in columns.items()})
            position = frame.row0 + frame.count
    return blocks


def _joined(blocks: list[Columns]) -> Columns:
    first = blocks[0]
    joined: Columns = {}
    for name, column in first.items():
        parts = [block[name] for block in blocks]
        if isinstance(column, list):
            joined[name] = [text for part in parts for text in part]
        else:
            joined[name] = np.concatenate(parts)
    return joined


def _named_coordinates(dataset: xr.Dataset) -> dict[str, tuple[str, list[str]]]:
    """Names along a dimension, which the store keeps as an attribute `<dimension>_names`."""
    return {
        str(dim): (str(dim), variable.attrs[f"{dim}_names"])
        for variable in dataset.variables.values()
        for dim in variable.dims
        if f"{dim}_names" in variable.attrs
    }
