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
    """Queued rows, and the counts as they are with them.

    A caller changes nothing but the queue, by one `append`: an interrupt (Ctrl-C) anywhere in
    `submit` leaves rows either queued and counted or neither.
    """

    number: int
    stream: str
    row0: int
    rows: Rows
    appended: dict[str, int]
    total_bytes: int


class JournalThread:
    """Owns the journal's connection until `stop()` returns."""

    def __init__(
        self,
        journal: Journal,
        schema: dict[str, Stream],
        *,
        rows: Mapping[str, int] | None = None,
        next_seq: int = 0,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        self._journal, self._schema, self._queue_bytes = journal, schema, queue_bytes
        self._changed = threading.Condition()
        self._queue: deque[_Item] = deque()
        self._taken = _Item(0, "", 0, Rows(0, ()), {**dict.fromkeys(schema, 0), **(rows or {})}, 0)
        self._committed = self._taken
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
            last = self._last
            first = last.appended[stream]
            appended = {**last.appended, stream: first + rows.count}
            total = last.total_bytes + rows.size
            item = _Item(last.number + 1, stream, first, rows, appended, total)
            self._queue.append(item)
            if len(self._queue) == 1:  # else the thread is awake already
                self._changed.notify_all()
            return item.number, first, first + rows.count

    def is_durable(self, number: int) -> bool:
        return number <= self._committed.number

    def is_settled(self, number: int) -> bool:
        """Durable, or never going to be."""
        return self.is_durable(number) or not self._thread.is_alive() or self._error is not None

    def wait(self, number: int, timeout: float | None) -> None:
        """Until that submission is durable. Raises its failure, or TimeoutError."""
        with self._changed:
            self._changed.notify_all()
            settled = self._changed.wait_for(
                lambda: self.is_durable(number) or self._error is not None, timeout
            )
            if self.is_durable(number):
                return
            if settled:
                raise self._again()
        raise TimeoutError(f"rows were not acknowledged within {timeout} s")

    @property
    def submitted(self) -> int:
        with self._changed:
            return self._last.number

    @property
    def durable(self) -> dict[str, int]:
        """Acknowledged rows of every stream."""
        return dict(self._committed.appended)

    @property
    def appended(self) -> dict[str, int]:
        """Rows handed over, acknowledged or not."""
        with self._changed:
            return dict(self._last.appended)

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

    @property
    def _last(self) -> _Item:
        return self._queue[-1] if self._queue else self._taken

    def _has_space(self, rows: Rows) -> bool:
        pending = self._last.total_bytes - self._committed.total_bytes
        fits = pending + rows.size <= self._queue_bytes and len(self._queue) < QUEUE_ITEMS
        return fits or not pending

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
            self._unpublished_bytes += self._taken.total_bytes - self._committed.total_bytes
            self._committed = self._taken
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
            self._taken = self._queue.popleft()
            batch.append(self._taken)
            size += self._taken.rows.size
        return batch

    def _pack(self, batch: list[_Item]) -> list[Frame]:
        """One frame for each stream in a batch, in the order of the schema.

        So a scan point, declared before the shots, is never published after them.
        """
        by_stream: dict[str, list[_Item]] = {name: [] for name in self._schema}
        for item in batch:
            if item.rows.count:
                by_stream[item.stream].append(item)
        return [
            pack(
                self._schema[name],
                items[0].row0,
                [item.rows for item in items],
                self._next_seq + offset,
            )
            for offset, (name, items) in enumerate(
                (name, items) for name, items in by_stream.items() if items
            )
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
