"""The journal: a small SQLite file that keeps what has just been taken.

WAL with `synchronous=FULL`: when a commit returns, its frames survive a killed process and a
power cut. One thread writes; any number of processes read.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import strict_json
from .errors import DamagedRunError, StorageError, storage_error
from .frames import Frame
from .schema import Stream

_DELETE_AT_ONCE = 256
_BUSY_SECONDS = 10.0
_SALVAGE_MISSES = 1000


class Journal:
    """One connection to a journal. Not shared between threads at the same time."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection

    @classmethod
    def create(cls, path: Path, run_id: str, schema: dict[str, Stream]) -> Journal:
        """A new journal, which appears under its name only when it is whole.

        Raises StorageError (full, read-only, …).
        """
        draft = path.with_name("staging") / path.name
        try:
            draft.unlink(missing_ok=True)
            with contextlib.closing(cls(draft, _connect(f"{draft.as_uri()}?mode=rwc"))) as journal:
                journal._prepare(run_id, schema)
            os.replace(draft, path)
        except (sqlite3.Error, OSError) as error:
            raise storage_error(error, "creating the journal", path.parent) from error
        return cls.open(path, read_only=False)

    def _prepare(self, run_id: str, schema: dict[str, Stream]) -> None:
        """Tables and description of an empty journal."""
        self._durable()
        with self._transaction():
            self._db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT)")
            self._db.execute(
                "CREATE TABLE frame (seq INTEGER PRIMARY KEY, stream TEXT, row0 INTEGER, "
                "nrows INTEGER, payload BLOB, crc32 INTEGER)"
            )
        self._set("run_id", run_id)
        self._set("schema", strict_json.dumps([s.to_json() for s in schema.values()]))

    @classmethod
    def open(cls, path: Path, *, read_only: bool) -> Journal:
        """An existing journal; opened for writing, SQLite first repairs what a crash left."""
        try:
            journal = cls(path, _connect(f"{path.as_uri()}?mode={'ro' if read_only else 'rw'}"))
            if not read_only:
                journal._durable()
        except (sqlite3.Error, OSError) as error:
            raise storage_error(error, "opening the journal", path.parent) from error
        return journal

    def schema(self) -> dict[str, Stream]:
        """The streams as they were declared."""
        try:
            text = self._get("schema") or "null"
            return {one["name"]: Stream.from_json(one) for one in json.loads(text)}
        except sqlite3.Error as error:
            raise storage_error(error, "reading the journal", self.path.parent) from error
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedRunError(f"{self.path} does not say which streams it holds") from error

    @property
    def end_state(self) -> str | None:
        """How the run ended, or None when it never said so."""
        return self._get("end")

    def mark_end(self, state: str) -> None:
        self._set("end", state)

    def write(self, frames: Sequence[Frame], delete_through: int = -1) -> int:
        """Commit frames, and drop a few old ones in the same transaction; how many it dropped."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO frame VALUES (?, ?, ?, ?, ?, ?)",
                [(f.seq, f.stream, f.row0, f.count, f.payload, f.crc) for f in frames],
            )
            if delete_through < 0:
                return 0
            return self._db.execute(
                "DELETE FROM frame WHERE seq IN "
                "(SELECT seq FROM frame WHERE seq <= ? ORDER BY seq LIMIT ?)",
                (delete_through, _DELETE_AT_ONCE),
            ).rowcount

    def delete_all_through(self, seq: int) -> None:
        """Drop every frame up to `seq` and give the log's space back."""
        self.checkpoint()
        while self.write((), seq) == _DELETE_AT_ONCE:
            pass
        self.checkpoint()

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file and empty it."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def frames_after(self, seq: int, limit_bytes: int) -> list[Frame]:
        """The next frames, at least one if there is one, until `limit_bytes` are gathered."""
        rows = self._db.execute(
            "SELECT seq, stream, row0, nrows, payload, crc32 FROM frame WHERE seq > ? ORDER BY seq",
            (seq,),
        )
        frames: list[Frame] = []
        size = 0
        for row in rows:
            frames.append(Frame(*row))
            size += len(frames[-1].payload)
            if size >= limit_bytes:
                break
        rows.close()
        return frames

    def salvage_after(self, seq: int, limit_bytes: int) -> list[Frame]:
        """Like `frames_after` for a damaged file: every frame that can still be read singly."""
        frames: list[Frame] = []
        size = misses = 0
        number, last = seq, self._last_number()
        while size < limit_bytes and (number < last or misses < _SALVAGE_MISSES):
            number += 1
            frame = self._readable_frame(number)
            misses = 0 if frame else misses + 1
            if frame:
                frames.append(frame)
                size += len(frame.payload)
        return frames

    def _readable_frame(self, number: int) -> Frame | None:
        query = "SELECT seq, stream, row0, nrows, payload, crc32 FROM frame WHERE seq = ?"
        try:
            row = self._db.execute(query, (number,)).fetchone()
        except sqlite3.DatabaseError:
            return None
        return Frame(*row) if row is not None and isinstance(row[4], bytes) else None

    def _last_number(self) -> int:
        try:
            return self._db.execute("SELECT max(seq) FROM frame").fetchone()[0] or -1
        except sqlite3.DatabaseError:
            return -1

    def damage(self) -> str | None:
        """What SQLite finds wrong with its own file, or None."""
        try:
            found = [row[0] for row in self._db.execute("PRAGMA integrity_check(3)")]
        except sqlite3.DatabaseError as error:
            return str(error)
        return None if found == ["ok"] else "; ".join(found)

    def close(self) -> None:
        self._db.close()

    def _durable(self) -> None:
        (mode,) = self._db.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise StorageError(
                f"the file system of {self.path} cannot keep a write-ahead log (no shared "
                "memory); record to a local disk"
            )
        self._db.execute("PRAGMA synchronous=FULL")

    def _get(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, key: str, value: str) -> None:
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def _connect(uri: str) -> sqlite3.Connection:
    # Threads take turns with a connection (writer: I/O thread, then the closing one).
    return sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_SECONDS
    )
