"""The journal's write-ahead log, looked at before SQLite opens it after a crash.

SQLite reads its log up to the first frame whose checksum fails and silently drops the rest: one
flipped bit would take every acknowledged row behind it along. Here the log is walked first. How
far it was written is known from SQLite's own index of it (the `-shm` file, updated after each
flush, never before), and, without that, from later commits behind the bad frame. Where the index
knows, the checksums of the log are made to fit again, so that SQLite keeps what lies behind; the
rows on the bad page itself are caught by the journal's own checksum of every frame.

File formats: sqlite.org/walformat.html.
"""

from __future__ import annotations

import functools
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER, _FRAME_HEADER = 32, 24
_MAGIC = 0x377F0682  # lowest bit: checksums are over big-endian words
_FORMAT = 3007000
_WORD = 0xFFFFFFFF
_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class LogCheck:
    """What was found, a sentence each; all None for a sound log."""

    repaired: str | None = None
    doubt: str | None = None
    loss: str | None = None


def check_log(journal: Path) -> LogCheck:
    """Walk the log of a journal that nobody has open, and mend it where that is certain.

    Raises OSError when the disk refuses.
    """
    path = journal.with_name(journal.name + "-wal")
    if not path.is_file() or path.stat().st_size <= _HEADER:
        return LogCheck()
    log = _Log(path.read_bytes())
    index = _read_index(journal.with_name(journal.name + "-shm"))
    if index is not None and index.frames and (not log.header_is_sound or index.salt == log.salt):
        headless = not log.header_is_sound
        if headless:
            log.restore_header(index)
        sound = log.sound_frames()
        if sound >= index.frames and not headless:
            return LogCheck()
        if log.frames < index.frames:
            lost = index.frames - log.frames
            return LogCheck(loss=f"the journal's log is {lost} pages shorter than it was")
        log.accept(index.frames)
        _write(path, log.data)
        return LogCheck(
            repaired=f"damage {'at the start' if headless else f'at page {sound + 1}'} of the "
            f"journal's log ({index.frames} pages): what lies behind it was kept"
        )
    return _doubt(log) if log.header_is_sound else LogCheck(loss="the journal's log has no header")


def _doubt(log: _Log) -> LogCheck:
    """Without an index: what lies behind the first bad page?"""
    sound = log.sound_frames()
    behind = log.commits_after(sound)
    if behind == 0:
        return LogCheck()
    if behind == 1:  # the last transaction of a power cut may look like this, unacknowledged
        return LogCheck(doubt="the last transaction in the journal's log is torn and was dropped")
    return LogCheck(
        loss=f"page {sound + 1} of the journal's log is damaged, {behind} commits lie behind it"
    )


def _write(path: Path, data: bytearray) -> None:
    """In place and in order: repeated from the start when interrupted."""
    with path.open("r+b") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True, slots=True)
class _Index:
    """What SQLite knew of its log: valid frames, salt, page size, byte order of checksums."""

    frames: int
    salt: bytes
    page_size: int
    big_endian: bool


def _read_index(path: Path) -> _Index | None:
    try:
        data = path.read_bytes()[:96]
    except OSError:
        return None
    if len(data) < 96 or data[:48] != data[48:96]:
        return None
    version, initialised, big_endian, page_size, frames = struct.unpack("=I8xBBHI", data[:20])
    total = _checksum(np.frombuffer(data[:40], "=u4").astype(np.uint32), (0, 0))
    if version != _FORMAT or not initialised or total != struct.unpack("=II", data[40:48]):
        return None
    size = 65536 if page_size == 1 else page_size
    return _Index(frames, data[32:40], size, bool(big_endian))


class _Log:
    """The bytes of a write-ahead log."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self._read_header()

    def _read_header(self) -> None:
        magic, version, page_size = struct.unpack(">III", self.data[:12])
        self.page_size = int(page_size)
        self.order = ">u4" if magic & 1 else "<u4"
        self.salt = bytes(self.data[16:24])
        stated = struct.unpack(">II", self.data[24:32])
        words = np.frombuffer(bytes(self.data[:24]), self.order).astype(np.uint32)
        self._start = _checksum(words, (0, 0))
        self.header_is_sound = (
            magic & ~1 == _MAGIC and version == _FORMAT and self._start == stated
            and 512 <= self.page_size <= 65536
        )  # fmt: skip

    @property
    def _stride(self) -> int:
        return _FRAME_HEADER + self.page_size

    @property
    def frames(self) -> int:
        """Whole frames in the file, sound or not, this generation's or an older one's."""
        return (len(self.data) - _HEADER) // self._stride

    def restore_header(self, index: _Index) -> None:
        start = struct.pack(">III", _MAGIC | index.big_endian, _FORMAT, index.page_size)
        self.data[:12], self.data[16:24] = start, index.salt
        order = ">u4" if index.big_endian else "<u4"
        words = np.frombuffer(bytes(self.data[:24]), order).astype(np.uint32)
        self.data[24:32] = struct.pack(">II", *_checksum(words, (0, 0)))
        self._read_header()

    def sound_frames(self) -> int:
        """Frames before the first bad one."""
        state = self._start
        for first in range(0, self.frames, _AT_ONCE):
            headers, sums = self._block(first)
            for k, (header, add) in enumerate(zip(headers, sums, strict=True)):
                state = self._advance(state, add)
                if header[2:] != (*struct.unpack(">II", self.salt), *state):
                    return first + k
        return self.frames

    def commits_after(self, frame: int) -> int:
        """Commits of this generation in and behind a frame."""
        salt = struct.unpack(">II", self.salt)
        found = 0
        for first in range(0, self.frames, _AT_ONCE):
            for k, header in enumerate(self._block(first)[0]):
                found += first + k > frame and header[1] != 0 and header[2:4] == salt
        return found

    def accept(self, frames: int) -> None:
        """Make salt and checksums of the first so many frames right."""
        state = self._start
        for first in range(0, frames, _AT_ONCE):
            for k, add in enumerate(self._block(first)[1]):
                if first + k >= frames:
                    return
                state = self._advance(state, add)
                at = _HEADER + (first + k) * self._stride
                self.data[at + 8 : at + 24] = self.salt + struct.pack(">II", *state)

    def _block(self, first: int) -> tuple[list[tuple[int, ...]], list[tuple[int, int]]]:
        """Headers of some frames, and what each adds to the checksum."""
        count = min(_AT_ONCE, self.frames - first)
        start = _HEADER + first * self._stride
        raw = np.frombuffer(bytes(self.data[start : start + count * self._stride]), np.uint8)
        raw = raw.reshape(count, self._stride)
        headers = np.ascontiguousarray(raw[:, :_FRAME_HEADER]).view(">u4")
        body = np.concatenate([raw[:, :8], raw[:, _FRAME_HEADER:]], axis=1)
        words = body.view(self.order).astype(np.uint32)
        sums = words @ _weights(words.shape[1])
        return (
            [tuple(header) for header in headers.tolist()],
            [(int(a), int(b)) for a, b in sums],
        )

    def _advance(self, state: tuple[int, int], add: tuple[int, int]) -> tuple[int, int]:
        (a, b), (c, d) = _power(1 + self.page_size // 8)
        x, y = state
        return (a * x + b * y + add[0]) & _WORD, (c * x + d * y + add[1]) & _WORD


# SQLite's checksum takes pairs of words: s0 += x0 + s1; s1 += x1 + s0. It is linear modulo 2^32,
# so that a page adds a weighted sum of its words to a power of the step applied to the state.


def _checksum(words: NDArray[np.uint32], state: tuple[int, int]) -> tuple[int, int]:
    x, y = state
    for first, second in words.reshape(-1, 2).tolist():
        x = (x + first + y) & _WORD
        y = (y + second + x) & _WORD
    return x, y


_Matrix = tuple[tuple[int, int], tuple[int, int]]


def _step(matrix: _Matrix) -> _Matrix:
    """One more pair: the matrix times ((1, 1), (1, 2))."""
    (a, b), (c, d) = matrix
    return ((a + b) & _WORD, (a + 2 * b) & _WORD), ((c + d) & _WORD, (c + 2 * d) & _WORD)


@functools.lru_cache(maxsize=4)
def _power(pairs: int) -> _Matrix:
    matrix: _Matrix = ((1, 0), (0, 1))
    for _ in range(pairs):
        matrix = _step(matrix)
    return matrix


@functools.lru_cache(maxsize=4)
def _weights(words: int) -> NDArray[Any]:
    """What each word adds to either sum at the end of a page, shape (words, 2)."""
    weights = np.empty((words, 2), np.uint32)
    matrix: _Matrix = ((1, 0), (0, 1))
    for pair in reversed(range(words // 2)):
        (a, b), (c, d) = matrix
        weights[2 * pair] = (a + b) & _WORD, (c + d) & _WORD
        weights[2 * pair + 1] = b, d
        matrix = _step(matrix)
    return weights
