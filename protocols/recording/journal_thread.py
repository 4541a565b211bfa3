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
from collections.abc import Callable, Iterable, Mapping

from .errors import RecordingError, WriterClosedError, storage_error
from .frames import Frame, Rows, pack
from .journal import Journal
from .row_queue import Batch, RowQueue
from .schema import Stream

QUEUE_BYTES = 64 << 20
"""Most bytes of rows that wait or are being committed; a single larger piece waits alone."""

_log = logging.getLogger(__name__)

DurableCallback = Callable[[Mapping[str, int]], None]
"""Called with the acknowledged rows of every stream, from the journal's thread."""


class JournalThread:
    """Owns the journal's connection until `stop()` returns."""

    def __init__(
        self,
        journal: Journal,
        schema: dict[str, Stream],
        *,
        rows: Mapping[str, int] | None = None,
        next_seq: int = 0,
    ) -> None:
        self._journal, self._schema = journal, schema
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        start = rows or {}
        self.queues = {
            name: RowQueue(stream, start.get(name, 0), self, self._lock)
            for name, stream in schema.items()
        }
        self.idle = False
        self._pending_bytes = 0
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

    def submit(self, stream: str, rows: Rows, *, more: bool = False) -> tuple[int, int]:
        """Queue rows, waiting while the queue is full; their first and end row.

        With `more` to come, single rows are kept from slipping in between.
        """
        queue = self.queues[stream]
        with self._changed:
            self._changed.wait_for(lambda: self._has_space(rows.size) or self._closed)
            if self._error is not None:
                raise self._again()
            if self._closed:
                raise WriterClosedError("the run is closed: nothing more can be appended to it")
            first, end = queue.add(rows, more)
            self._pending_bytes += rows.size
            if self.idle:
                self.wake()
            return first, end

    def wake(self) -> None:
        """The thread has something to do; called with the lock held."""
        self.idle = False
        self._changed.notify_all()

    def reserve(self, size: int) -> bool:
        """Make room for `size` bytes of rows, if there is; called with the lock held."""
        if not self._has_space(size):
            return False
        self._pending_bytes += size
        return True

    def is_settled(self, queue: RowQueue, end: int) -> bool:
        """Durable, or never going to be."""
        return end <= queue.durable or not self._thread.is_alive() or self._error is not None

    def wait(self, queue: RowQueue, end: int, timeout: float | None) -> None:
        """Until rows below `end` are durable. Raises the failure, or TimeoutError."""
        self._wait_for({queue: end}, timeout)

    def wait_all(self, timeout: float | None) -> None:
        """Until everything appended up to now is durable."""
        with self._changed:
            ends = {queue: queue.end for queue in self.queues.values()}
        self._wait_for(ends, timeout)

    @property
    def durable(self) -> dict[str, int]:
        """Acknowledged rows of every stream."""
        with self._changed:
            return self._durable()

    @property
    def appended(self) -> dict[str, int]:
        """Rows handed over, acknowledged or not."""
        with self._changed:
            return {name: queue.end for name, queue in self.queues.items()}

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
            self.wake()

    def fail(self, error: RecordingError) -> None:
        """Stop acknowledging because of `error`."""
        with self._changed:
            self._error = self._error or error
            self._close_queues()

    def stop(self, end_state: str) -> None:
        """Commit what is queued, mark the end, end the thread. Never raises; see `error`."""
        with self._changed:
            self._stopping = True
            self._end_state = end_state
            self._close_queues()
        self._thread.join()

    # --- the thread ------------------------------------------------------------------------

    @property
    def _closed(self) -> bool:
        return self._stopping or self._error is not None

    def _close_queues(self) -> None:
        for queue in self.queues.values():
            queue.close()
        self.wake()

    def _has_space(self, size: int) -> bool:
        return self._pending_bytes + size <= QUEUE_BYTES or not self._pending_bytes

    def _durable(self) -> dict[str, int]:
        return {name: queue.durable for name, queue in self.queues.items()}

    def _wait_for(self, ends: Mapping[RowQueue, int], timeout: float | None) -> None:
        def durable() -> bool:
            return all(end <= queue.durable for queue, end in ends.items())

        with self._changed:
            settled = self._changed.wait_for(lambda: durable() or self._error is not None, timeout)
            if durable():
                return
            if settled:
                raise self._again()
        raise TimeoutError(f"rows were not acknowledged within {timeout} s")

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
            while not (self._waiting() or self._delete_through >= 0 or self._closed):
                self.idle = True
                self._changed.wait()
            self.idle = False
            if self._error is not None or (self._stopping and not self._waiting()):
                return False
            # One moment for all streams: what is appended in order is committed in order.
            batches = [queue.take() for queue in self.queues.values()]
            delete_through = self._delete_through
        frames = self._pack(batches)
        self._write(frames, delete_through)
        with self._changed:
            self._unpublished_bytes += sum(len(frame.payload) for frame in frames)
            self._pending_bytes -= sum(batch.reserved for batch in batches)
            for batch in batches:
                batch.queue.durable = batch.end
            self._next_seq += len(frames)
            self._changed.notify_all()
            rows = self._durable()
        if frames:
            self.on_commit()
            self._tell(rows)
        return True

    def _waiting(self) -> bool:
        return any(queue.waiting for queue in self.queues.values())

    def _pack(self, batches: Iterable[Batch]) -> list[Frame]:
        """One frame for each stream in a batch, in the order of the schema.

        So a scan point, declared before the shots, is never published after them.
        """
        frames: list[Frame] = []
        for stream, batch in zip(self._schema.values(), batches, strict=True):
            if batch.end > batch.first:
                seq = self._next_seq + len(frames)
                frames.append(pack(stream, batch.first, batch.pieces(), seq))
        return frames

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

    def _tell(self, rows: Mapping[str, int]) -> None:
        for callback in list(self.callbacks):
            try:
                callback(rows)
            except Exception:
                _log.exception("a callback of on_durable failed; recording goes on")
