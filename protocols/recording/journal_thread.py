"""The one thread that writes the journal: many small appends, few commits.

Callers leave copied rows in a bounded queue and go on. The thread packs everything that waits
(consecutive rows of a stream into one frame), commits once, and only then calls those rows
*acknowledged*. When the disk refuses, nothing is acknowledged: it makes room once, tries again,
and else fails for good, which every waiting and later caller is told.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .errors import RecordingError, WriterClosedError, storage_error
from .frames import Frame, Rows, pack
from .journal import Journal
from .schema import Stream

QUEUE_BYTES = 64 << 20
QUEUE_ITEMS = 100_000
_FRAME_BYTES = 32 << 20

_log = logging.getLogger(__name__)

DurableCallback = Callable[[Mapping[str, int]], None]
"""Called with the acknowledged rows of every stream, from the journal's thread."""


@dataclass(frozen=True, slots=True)
class _Item:
    number: int
    stream: str
    row0: int
    rows: Rows


class JournalThread:
    """Owns the journal's connection until `stop()` returns."""

    def __init__(
        self,
        journal: Journal,
        schema: dict[str, Stream],
        *,
        next_seq: int = 0,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self._journal, self._schema, self._queue_bytes = journal, schema, queue_bytes
        self._changed = threading.Condition()
        self._queue: deque[_Item] = deque()
        self._pending_bytes = 0
        self._submitted = 0
        self._appended = dict.fromkeys(schema, 0)
        self._durable = dict.fromkeys(schema, 0)
        self._done = 0
        self._next_seq = next_seq
        self._unpublished_bytes = 0
        self._delete_through = -1
        self._stopping = False
        self._end_state: str | None = None
        self._error: RecordingError | None = None
        self.callbacks: list[DurableCallback] = []
        self.on_commit: Callable[[], None] = lambda: None
        self.make_room: Callable[[], int] = lambda: -1
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        self._thread.start()

    # --- called by anybody -----------------------------------------------------------------

    def submit(self, stream: str, rows: Rows) -> tuple[int, int, int]:
        """Queue rows, waiting while the queue is full; (number, first row, end row)."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_space(rows) or self._closed)
            if self._error is not None:
                raise self._again()
            if self._closed:
                raise WriterClosedError("the run is closed: nothing more can be appended to it")
            first = self._appended[stream]
            self._appended[stream] = first + rows.count
            self._submitted += 1
            self._pending_bytes += rows.size
            self._queue.append(_Item(self._submitted, stream, first, rows))
            self._changed.notify_all()
            return self._submitted, first, first + rows.count

    def is_durable(self, number: int) -> bool:
        return number <= self._done

    def is_settled(self, number: int) -> bool:
        """Durable, or never going to be."""
        return number <= self._done or not self._thread.is_alive() or self._error is not None

    def wait(self, number: int, timeout: float | None) -> None:
        """Until that submission is durable. Raises its failure, or TimeoutError."""
        with self._changed:
            settled = self._changed.wait_for(
                lambda: number <= self._done or self._error is not None, timeout
            )
            if number <= self._done:
                return
            if settled:
                raise self._again()
        raise TimeoutError(f"rows were not acknowledged within {timeout} s")

    @property
    def submitted(self) -> int:
        return self._submitted

    @property
    def durable(self) -> dict[str, int]:
        """Acknowledged rows of every stream."""
        with self._changed:
            return dict(self._durable)

    @property
    def appended(self) -> dict[str, int]:
        """Rows handed over, acknowledged or not."""
        with self._changed:
            return dict(self._appended)

    @property
    def last_seq(self) -> int:
        """The last committed frame, -1 before the first."""
        return self._next_seq - 1

    @property
    def unpublished_bytes(self) -> int:
        return self._unpublished_bytes

    @property
    def error(self) -> RecordingError | None:
        return self._error

    def published(self, seq: int) -> None:
        """Frames up to `seq` are in the store: they may go."""
        with self._changed:
            self._delete_through = max(self._delete_through, seq)
            if seq >= self.last_seq:
                self._unpublished_bytes = 0
            self._changed.notify_all()

    def fail(self, error: RecordingError) -> None:
        """Stop acknowledging because of `error`."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def stop(self, end_state: str) -> None:
        """Commit what is queued, mark the end, end the thread. Never raises; see `error`."""
        with self._changed:
            self._stopping = True
            self._end_state = end_state
            self._changed.notify_all()
        self._thread.join()

    # --- the thread ------------------------------------------------------------------------

    @property
    def _closed(self) -> bool:
        return self._stopping or self._error is not None

    def _has_space(self, rows: Rows) -> bool:
        if not self._queue and not self._pending_bytes:
            return True
        fits = self._pending_bytes + rows.size <= self._queue_bytes
        return fits and len(self._queue) < QUEUE_ITEMS

    def _again(self) -> RecordingError:
        """A fresh exception of the same kind: each caller gets its own traceback."""
        error = self._error
        if error is None:
            return WriterClosedError("the writer has stopped")
        copy = type(error)(*error.args)
        copy.__cause__ = error
        return copy

    def _run(self) -> None:
        try:
            while self._step():
                pass
            if self._error is None and self._end_state is not None:
                self._journal.mark_end(self._end_state)
        except Exception as error:  # nobody above: whoever waits must be told
            self.fail(storage_error(error, "writing the journal", self._journal.path.parent))

    def _step(self) -> bool:
        """Commit one batch; False when the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._delete_through >= 0 or self._closed)
            if self._error is not None or (self._stopping and not self._queue):
                return False
            batch = self._take_batch()
            delete_through = self._delete_through
        frames = self._pack(batch)
        self._write(frames, delete_through)
        with self._changed:
            for item in batch:
                self._done = item.number
                self._durable[item.stream] = item.row0 + item.rows.count
                self._pending_bytes -= item.rows.size
                self._unpublished_bytes += item.rows.size
            self._next_seq += len(frames)
            self._changed.notify_all()
        if batch:
            self.on_commit()
            self._tell()
        return True

    def _take_batch(self) -> list[_Item]:
        batch: list[_Item] = []
        size = 0
        while self._queue and size < _FRAME_BYTES:
            batch.append(self._queue.popleft())
            size += batch[-1].rows.size
        return batch

    def _pack(self, batch: list[_Item]) -> list[Frame]:
        """Rows of one stream are consecutive in a batch: one frame for each stream in it."""
        by_stream: dict[str, list[_Item]] = {}
        for item in batch:
            if item.rows.count:
                by_stream.setdefault(item.stream, []).append(item)
        return [
            pack(
                self._schema[name],
                items[0].row0,
                [item.rows for item in items],
                self._next_seq + offset,
            )
            for offset, (name, items) in enumerate(by_stream.items())
        ]

    def _write(self, frames: list[Frame], delete_through: int) -> None:
        try:
            dropped = self._journal.write(frames, delete_through)
        except (sqlite3.Error, OSError) as error:
            _log.warning("journal refused (%s): publishing and making room", error)
            self._journal.delete_all_through(self.make_room())
            self._journal.write(frames)
            return
        with self._changed:
            if delete_through >= 0 and dropped == 0 and self._delete_through == delete_through:
                self._delete_through = -1

    def _tell(self) -> None:
        rows = self.durable
        for callback in list(self.callbacks):
            try:
                callback(rows)
            except Exception:
                _log.exception("a callback of on_durable failed; recording goes on")
