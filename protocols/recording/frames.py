"""Rows as bytes: what travels to the journal and back.

A payload holds the columns of some consecutive rows of one stream, in the order of its fields;
a text column is the lengths of its rows (unsigned 32 bit) followed by their UTF-8 bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DamagedRunError, SchemaError
from .schema import Field, Stream

Columns = dict[str, Any]
"""Rows by field: an array each, for a text field a list of str."""

_LENGTH = np.dtype("<u4")
_PIECE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a stream, copied: one `bytes` per column (two for a text)."""

    count: int
    parts: tuple[bytes, ...]

    @property
    def size(self) -> int:
        return sum(map(len, self.parts))


@dataclass(frozen=True, slots=True)
class Frame:
    """Consecutive rows of one stream as they lie in the journal."""

    seq: int
    stream: str
    row0: int
    count: int
    payload: bytes
    crc: int

    @property
    def intact(self) -> bool:
        if not isinstance(self.payload, bytes):  # SQLite keeps whatever a damaged page says
            return False
        return self.crc == checksum(self.stream, self.row0, self.count, self.payload)

    def plausible(self, stream: Stream) -> bool:
        """Whether place and row count of a damaged frame can still be believed."""
        if not isinstance(self.payload, bytes) or not isinstance(self.row0, int):
            return False
        size = len(self.payload)
        if not isinstance(self.count, int) or self.row0 < 0 or self.count < 1:
            return False
        has_text = any(one.is_text for one in stream.fields)
        fixed = self.count * stream.row_bytes
        return fixed <= size if has_text else fixed == size


def checksum(stream: str, row0: int, count: int, payload: bytes) -> int:
    """CRC-32 of a frame, its place included: rows cannot turn up elsewhere unnoticed."""
    return zlib.crc32(payload, zlib.crc32(f"{stream}:{row0}:{count}".encode()))


def encode(stream: Stream, columns: Mapping[str, Any]) -> Iterator[Rows]:
    """Check and copy rows, in pieces of a few MiB.

    `columns` has one array of n rows for each field. Raises SchemaError before anything is
    yielded when a column is missing, unknown, of another shape, or would lose information.
    """
    names = [one.name for one in stream.fields]
    if set(columns) != set(names):
        missing, unknown = sorted(set(names) - set(columns)), sorted(set(columns) - set(names))
        raise SchemaError(
            f"rows of stream {stream.name!r} must have the fields {names}; "
            f"missing: {missing}, unknown: {unknown}"
        )
    ready = [(one, _column(stream, one, columns[one.name])) for one in stream.fields]
    counts = {one.name: len(column) for one, column in ready}
    if len(set(counts.values())) != 1:
        raise SchemaError(
            f"columns of stream {stream.name!r} must have equal lengths, got {counts}"
        )
    total = len(ready[0][1])
    step = max(1, _PIECE_BYTES // stream.row_bytes)
    starts = range(0, max(total, 1), step)
    return (_piece(ready, start, min(start + step, total)) for start in starts)


def pack(stream: Stream, row0: int, rows: Sequence[Rows], seq: int) -> Frame:
    """One frame of consecutive pieces, the first of which starts at `row0`."""
    parts = zip(*(piece.parts for piece in rows), strict=True)
    payload = b"".join(part for column in parts for part in column)
    count = sum(piece.count for piece in rows)
    return Frame(
        seq, stream.name, row0, count, payload, checksum(stream.name, row0, count, payload)
    )


def decode(stream: Stream, frame: Frame) -> Columns:
    """The columns of a frame. Raises DamagedRunError when the lengths do not fit."""
    columns: Columns = {}
    offset = 0
    for one in stream.fields:
        size = frame.count * one.row_bytes
        block = frame.payload[offset : offset + size]
        offset += size
        if len(block) != size:
            raise DamagedRunError(f"frame {frame.seq} of stream {stream.name!r} is too short")
        if one.is_text:
            lengths = np.frombuffer(block, _LENGTH)
            ends = offset + np.cumsum(lengths, dtype=np.int64)
            starts = ends - lengths
            pairs = zip(starts, ends, strict=True)
            columns[one.name] = [frame.payload[a:b].decode() for a, b in pairs]
            offset = int(ends[-1]) if frame.count else offset
        else:
            array = np.frombuffer(block, one.storage_type)
            columns[one.name] = array.reshape(frame.count, *one.row_shape)
    if offset != len(frame.payload):
        raise DamagedRunError(f"frame {frame.seq} of stream {stream.name!r} is too long")
    return columns


def missing_rows(stream: Stream, count: int) -> Columns:
    """Rows that stand for lost ones: status 255, NaN, zeros, and a text that says so."""
    columns: Columns = {}
    for one in stream.fields:
        if one.is_text:
            columns[one.name] = ['{"kind":"missing"}'] * count
        else:
            shape = (count, *one.row_shape)
            columns[one.name] = np.full(shape, one.fill, one.storage_type)
    return columns


def _piece(ready: list[tuple[Field, Any]], start: int, stop: int) -> Rows:
    parts: list[bytes] = []
    for one, column in ready:
        if one.is_text:
            texts = column[start:stop]
            parts.append(np.array([len(text) for text in texts], _LENGTH).tobytes())
            parts.append(b"".join(texts))
        else:
            parts.append(column[start:stop].tobytes())
    return Rows(stop - start, tuple(parts))


def _column(stream: Stream, one: Field, values: Any) -> Any:
    where = f"field {one.name!r} of stream {stream.name!r}"
    if one.is_text:
        if isinstance(values, str):
            raise SchemaError(f"{where} must be a list of texts, got one text")
        return [str(text).encode() for text in values]
    array = np.asarray(values)
    if array.ndim != 1 + len(one.row_shape) or array.shape[1:] != one.row_shape:
        wanted = ", ".join(["n", *map(str, one.row_shape)])
        raise SchemaError(f"{where} must have the shape ({wanted}), got {array.shape}")
    if array.dtype != one.storage_type:
        array = _converted(where, one.storage_type, array)
    if one.name == "status" and not np.all(array):
        raise SchemaError(f"{where} must not be 0, which is kept for rows never written")
    return array


def _converted(where: str, target: np.dtype[Any], array: NDArray[Any]) -> NDArray[Any]:
    """`array` in the stored type, refused when a value would change."""
    if array.dtype.kind == "M" and target.kind == "i":
        array = array.astype("datetime64[ns]").astype("i8")
    if array.dtype.kind in "iub" and target.kind in "iu":
        info = np.iinfo(target)
        if array.size and (int(array.min()) < info.min or int(array.max()) > info.max):
            raise SchemaError(
                f"{where} holds {target} ({info.min} to {info.max}), "
                f"got values from {array.min()} to {array.max()}"
            )
        return array.astype(target)
    if not array.size or np.can_cast(array.dtype, target, "same_kind"):
        return array.astype(target)
    raise SchemaError(f"{where} holds {target}, got {array.dtype}; convert it where it is made")
