"""The thread that has a live run published every now and then, and watches the free space.

A publish that fails loses nothing: the rows stay in the journal, the publisher is opened anew
from what is on the disk, and the next turn tries again.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time

from filelock import Timeout

from .errors import DiskFullError, RecordingError, RunLockedError, storage_error
from .journal import Journal
from .journal_thread import JournalThread
from .layout import RunPaths, publishers_lock
from .publish_process import PublisherLostError, PublisherProcess
from .publisher import Publisher
from .schema import Stream

INTERVAL_SECONDS = 0.25
EAGER_BYTES = 128 << 20
"""With more than this unpublished, the next publish does not wait."""

FAST_BYTES, FAST_TURNS = 1 << 20, 2
"""A run with so much unpublished at so many turns in a row gets a publisher process."""

SPACE_SECONDS = 1.0
"""Between two looks at the free space."""

Schema = dict[str, Stream]

_LOCK_SECONDS = 30.0
_GIB = 1 << 30
_log = logging.getLogger(__name__)


def free_space(paths: RunPaths) -> tuple[int, int, int]:
    """Bytes free, level below which to warn (5 %), and to stop (1 %); of large disks, GiB."""
    usage = shutil.disk_usage(paths.root)
    return usage.free, min(usage.total // 20, 5 * _GIB), min(usage.total // 100, _GIB)


class PublishThread:
    """Publishes a run in the background until `stop()`.

    `where` is "thread" (here, for slow runs), "process" (a child does the work, for fast ones)
    or "auto": here until the run turns out to be a fast one. A child that dies is replaced by
    this thread.
    """

    def __init__(self, schema: Schema, journal: JournalThread, paths: RunPaths, where: str) -> None:
        self._schema, self._journal, self._paths, self._where = schema, journal, paths, where
        self._lock = publishers_lock(paths)
        self._reader: Journal | None = None
        self._publisher: Publisher | None = None
        self._process: PublisherProcess | None = None
        self._publishing = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._warned = False
        self._failures = self._busy_turns = 0
        self._seconds = 0.0
        journal.on_commit = self._committed
        journal.make_room = self._make_room
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        if self._where == "process":
            self._process = PublisherProcess(self._paths)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and the child; `data.zarr` is nobody's but the caller's until `close`.

        Raises RunLockedError when another process holds on to the store.
        """
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._drop_publisher()
        if self._process is not None:
            self._process.stop()
            self._process = None
        self._take_lock()

    def close(self) -> None:
        """Let others change `data.zarr`. Idempotent."""
        self._drop_publisher()
        self._lock.release()

    @property
    def process_id(self) -> int | None:
        """Of the child, if there is one."""
        process = self._process
        return None if process is None else process.pid

    def publish_now(self, timeout: float | None = None) -> int:
        """Publish what is committed now, and wait for it; the last frame in the store.

        Raises RecordingError, TimeoutError.
        """
        if not self._publishing.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError(f"publishing took longer than {timeout} s")
        wanted = self._journal.last_seq  # not what a fast run adds meanwhile
        try:
            if self._process is not None:
                try:
                    return self._publish_there(self._process, wanted)
                except PublisherLostError as error:
                    _log.warning("%s; publishing goes on in a thread of the writer", error)
                    self._process = None
                    self._where = "thread"
            return self._publish_here(wanted)
        finally:
            self._publishing.release()

    # --- the two ways -----------------------------------------------------------------------

    def _publish_there(self, process: PublisherProcess, wanted: int) -> int:
        seq, self._seconds = process.publish(wanted)
        self._journal.published(seq)
        return seq

    def _publish_here(self, wanted: int) -> int:
        try:
            if self._publisher is None:
                self._take_lock()
                self._reader = Journal.open(self._paths.journal, read_only=True)
                source = self._reader.frames_after
                self._publisher = Publisher.open(self._paths, source, self._schema)
            self._publisher.publish_through(wanted, self._journal.published)
            self._seconds = self._publisher.seconds
            return self._publisher.seq
        except (OSError, sqlite3.Error) as error:
            self._drop_publisher()
            raise storage_error(error, "publishing", self._paths.root) from error
        except BaseException:
            self._drop_publisher()
            raise

    def _take_lock(self) -> None:
        try:
            self._lock.acquire(timeout=0 if self._lock.is_locked else _LOCK_SECONDS)
        except Timeout:
            raise RunLockedError(
                f"another process holds {self._paths.publisher_lock}: nothing can be published; "
                "every row stays in the journal"
            ) from None
        if self._lock.lock_counter > 1:  # it was ours already
            self._lock.release()

    def _drop_publisher(self) -> None:
        """Forget what is in memory: the next publish starts from what is on the disk."""
        self._publisher = None
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # --- the thread -------------------------------------------------------------------------

    def _committed(self) -> None:
        if self._journal.unpublished_bytes > EAGER_BYTES:
            self._wake.set()

    def _make_room(self) -> int:
        return self.publish_now()

    def _run(self) -> None:
        checked = 0.0
        while not self._stopping:
            self._wake.wait(self._interval())
            self._wake.clear()
            if self._stopping:
                return
            self._move_if_fast()
            self._publish_or_log()
            if time.monotonic() - checked > SPACE_SECONDS:
                checked = time.monotonic()
                self._check_space()

    def _move_if_fast(self) -> None:
        """Hand a run that turns out to be fast over to a child."""
        if self._where != "auto" or self._process is not None:
            return
        busy = self._journal.unpublished_bytes > FAST_BYTES
        self._busy_turns = self._busy_turns + 1 if busy else 0
        if self._busy_turns >= FAST_TURNS:
            with self._publishing:
                self._drop_publisher()
                self._lock.release()
                self._process = PublisherProcess(self._paths)

    def _interval(self) -> float:
        return max(INTERVAL_SECONDS, 10 * self._seconds, min(5.0, 0.5 * self._failures))

    def _publish_or_log(self) -> None:
        try:
            self.publish_now()
            self._failures = 0
        except RecordingError as error:
            self._failures += 1
            if self._failures == 1:
                _log.warning("publishing failed, rows stay in the journal: %s", error)
        except Exception:
            self._failures += 1
            _log.exception("publishing failed, rows stay in the journal")

    def _check_space(self) -> None:
        free, warn, stop = free_space(self._paths)
        if free < stop:
            self._journal.fail(
                DiskFullError(
                    f"only {free / _GIB:.2f} GiB are left on the disk of {self._paths.root}: "
                    "recording stops while it still can cleanly. Free some space; everything "
                    "acknowledged is kept"
                )
            )
        elif free < warn and not self._warned:
            self._warned = True
            _log.warning("the disk of %s has only %.1f GiB left", self._paths.root, free / _GIB)
