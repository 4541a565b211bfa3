"""Rows of one stream on their way to the journal, and the tickets that promise them.

Single rows are the hot path: `push` checks and copies a row by one `struct.pack_into` into a
preallocated buffer and hands out a ticket, about a microsecond in all. Whatever it cannot take
at once (a wrong value, a full queue, a closed writer) it leaves to the slower `append`, which
converts it or says what is wrong.
"""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from .frames import Rows
from .schema import Stream

_FORMATS = {
    "i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip
_MOST_VALUES = 64
"""Rows of more numbers than this are copied faster as arrays."""

_FIRST_ROWS, _MOST_ROWS = 64, 8192


class Keeper(Protocol):
    """Who takes the rows: the journal's thread."""

    idle: bool

    def wake(self) -> None:
        """Called with the lock held, when `idle`."""

    def reserve(self, size: int) -> bool:
        """Make room for `size` bytes of rows; called with the lock held."""
        ...

    def wait(self, queue: RowQueue, end: int, timeout: float | None) -> None:
        """Until rows below `end` are acknowledged; raises when they will not be."""

    def is_settled(self, queue: RowQueue, end: int) -> bool:
        """Whether rows below `end` are acknowledged, or never will be."""
        ...


class Ticket:
    """The promise for some appended rows `first <= row < end` of a stream."""

    __slots__ = ("_queue", "end", "first")

    def __init__(self, first: int, end: int, queue: RowQueue) -> None:
        self.first = first
        self.end = end
        self._queue = queue

    def done(self) -> bool:
        """True once the rows are acknowledged: they now survive a killed process."""
        return self.end <= self._queue.durable

    def settled(self) -> bool:
        """True once the rows are acknowledged or known never to be."""
        return self._queue.keeper.is_settled(self._queue, self.end)

    def wait(self, timeout: float | None = None) -> None:
        """Until the rows are acknowledged.

        Raises RecordingError (its kind says why) when they will not be, TimeoutError after
        `timeout` seconds.
        """
        if self.end > self._queue.durable:
            self._queue.keeper.wait(self._queue, self.end, timeout)

    def __repr__(self) -> str:
        return f"Ticket(rows {self.first}..{self.end}, {'done' if self.done() else 'waiting'})"


class _Buffer:
    """Single rows, packed one after the other."""

    __slots__ = ("data", "first")

    def __init__(self, first: int, size: int) -> None:
        self.first, self.data = first, bytearray(size)


class _Block:
    """Rows that came together, by column."""

    __slots__ = ("end", "first", "rows")

    def __init__(self, first: int, rows: Rows) -> None:
        self.first, self.end, self.rows = first, first + rows.count, rows


class RowQueue:
    """What waits in one stream, and how far the stream is appended and acknowledged.

    Everything but `durable` is guarded by the keeper's lock. An interrupt (Ctrl-C) anywhere in
    an append leaves its rows either queued and counted or neither: a single row is counted by
    one assignment, a block brings its own end along.
    """

    def __init__(self, stream: Stream, rows: int, keeper: Keeper, lock: threading.Lock) -> None:
        self.keeper = keeper
        self.end = self.durable = rows
        self.closed = self._held = False
        self._lock = lock
        self._segments: list[_Buffer | _Block] = []
        self._first, self._room, self._data = 0, 0, bytearray()
        self._next_rows = _FIRST_ROWS
        self._plan = [
            (one.name, math.prod(one.row_shape) if one.dims else 0) for one in stream.fields
        ]
        self._pack = _packer(stream)
        self._row_type = np.dtype(
            []
            if self._pack is None
            else [(one.name, one.storage_type, one.row_shape) for one in stream.fields]
        )
        self._status = next(
            (sum(max(1, n) for _, n in self._plan[:k])
             for k, one in enumerate(stream.fields) if one.name == "status"), None,
        )  # fmt: skip

    # --- appending --------------------------------------------------------------------------

    def push(self, values: Mapping[str, Any]) -> Ticket | None:
        """Take one row if that can be done at once; None when it must go the longer way."""
        pack = self._pack
        if pack is None or len(values) != len(self._plan):
            return None
        try:
            flat: list[Any] = []
            for name, width in self._plan:
                if width:
                    several = values[name]
                    if len(several) != width:
                        return None
                    flat.extend(several)
                else:
                    flat.append(values[name])
            if self._status is not None and not flat[self._status]:
                return None
            with self._lock:
                end = self.end
                at = end - self._first
                if at >= self._room:
                    if not self._open_buffer():
                        return None
                    end, at = self.end, 0
                pack.pack_into(self._data, at * pack.size, *flat)
                self.end = end + 1
                if self.keeper.idle:
                    self.keeper.wake()
        except (struct.error, TypeError, KeyError, OverflowError, ValueError):
            return None
        return Ticket(end, end + 1, self)

    def add(self, rows: Rows, more: bool) -> tuple[int, int]:
        """Queue a block, the keeper's lock held; its first and end row."""
        self._held = more
        block = _Block(self._true_end(), rows)
        self._first = self._room = 0  # a buffer before the block takes no more rows
        self._segments.append(block)
        self.end = block.end
        return block.first, block.end

    def close(self) -> None:
        """Take no more rows, the keeper's lock held."""
        self.closed = True
        self._first = self._room = 0

    def _open_buffer(self) -> bool:
        if self.closed or self._held or self._pack is None:
            return False
        size = self._next_rows * self._pack.size
        if not self.keeper.reserve(size):
            return False
        self.end = self._true_end()
        buffer = _Buffer(self.end, size)
        self._first, self._data = buffer.first, buffer.data
        self._segments.append(buffer)
        self._room = self._next_rows
        self._next_rows = min(2 * self._next_rows, _MOST_ROWS)
        return True

    def _true_end(self) -> int:
        last = self._segments[-1] if self._segments else None
        return max(self.end, last.end) if isinstance(last, _Block) else self.end

    # --- taking -----------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether there is something to take."""
        return bool(self._segments)

    def take(self) -> Batch:
        """Everything queued, the keeper's lock held."""
        self.end = self._true_end()
        batch = Batch(self, self._segments, self.end)
        self._segments = []
        self._first = self._room = 0
        self._next_rows = _FIRST_ROWS
        return batch

    def rows(self, buffer: _Buffer, count: int) -> Rows:
        """The rows of a buffer, by column."""
        packed = np.frombuffer(buffer.data, self._row_type, count)
        return Rows(count, tuple(packed[name].tobytes() for name, _ in self._plan))


class Batch:
    """What was taken from a queue at one moment."""

    def __init__(self, queue: RowQueue, segments: list[_Buffer | _Block], end: int) -> None:
        self.queue, self.end = queue, end
        self._segments = segments
        self.first = segments[0].first if segments else end
        self.reserved = sum(
            len(one.data) if isinstance(one, _Buffer) else one.rows.size for one in segments
        )

    def pieces(self) -> list[Rows]:
        """The rows, in order, by column."""
        ends = [one.first for one in self._segments[1:]] + [self.end]
        return [
            one.rows if isinstance(one, _Block) else self.queue.rows(one, end - one.first)
            for one, end in zip(self._segments, ends, strict=True)
            if end > one.first
        ]


def _packer(stream: Stream) -> struct.Struct | None:
    """How a row of the stream is packed; None where rows are no short lists of numbers."""
    if any(one.is_text or len(one.dims) > 1 for one in stream.fields):
        return None
    counts = [math.prod(one.row_shape) for one in stream.fields]
    formats = [_FORMATS.get(one.storage_type.str[1:]) for one in stream.fields]
    if sum(counts) > _MOST_VALUES or None in formats:
        return None
    return struct.Struct("<" + "".join(f"{n}{f}" for n, f in zip(counts, formats, strict=True)))
