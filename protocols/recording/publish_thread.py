"""The thread that publishes a live run every now and then, and watches the free space.

A publish that fails loses nothing: the rows stay in the journal, the publisher is opened anew
from what is on the disk, and the next turn tries again.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable

from .errors import DiskFullError, RecordingError, storage_error
from .journal_thread import JournalThread
from .layout import RunPaths
from .publisher import Publisher

INTERVAL_SECONDS = 0.25
EAGER_BYTES = 128 << 20
"""With more than this unpublished, the next publish does not wait."""

_GIB = 1 << 30
_log = logging.getLogger(__name__)


def free_space(paths: RunPaths) -> tuple[int, int, int]:
    """Bytes free, level below which to warn (5 %), and to stop (1 %); of large disks, GiB."""
    usage = shutil.disk_usage(paths.root)
    return usage.free, min(usage.total // 20, 5 * _GIB), min(usage.total // 100, _GIB)


class PublishThread:
    """Publishes a run in the background until `stop()`."""

    def __init__(
        self, opener: Callable[[], Publisher], journal: JournalThread, paths: RunPaths
    ) -> None:
        self._opener, self._journal, self._paths = opener, journal, paths
        self._publisher: Publisher | None = None
        self._publishing = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._warned = False
        self._failures = 0
        journal.on_commit = self._committed
        journal.make_room = self._make_room
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def publish_now(self, timeout: float | None = None) -> int:
        """Publish in the calling thread; the last frame in the store. Raises RecordingError."""
        if not self._publishing.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError(f"publishing took longer than {timeout} s")
        try:
            if self._publisher is None:
                self._publisher = self._opener()
            while self._publisher.publish():
                self._journal.published(self._publisher.seq)
            return self._publisher.seq
        except (OSError, sqlite3.Error) as error:
            self._publisher = None
            raise storage_error(error, "publishing", self._paths.root) from error
        except BaseException:
            self._publisher = None
            raise
        finally:
            self._publishing.release()

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
            self._publish_or_log()
            if time.monotonic() - checked > 1.0:
                checked = time.monotonic()
                self._check_space()

    def _interval(self) -> float:
        last = self._publisher.seconds if self._publisher is not None else 0.0
        return max(INTERVAL_SECONDS, 10 * last, min(5.0, 0.5 * self._failures))

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
