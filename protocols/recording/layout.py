"""Where the files of a run lie, and how they are written so that they stay.

Order is everything here: bytes are flushed before a name points at them, and the name's
directory before anything relies on the name. All writing of `data.zarr` goes through one
`DurableFiles`, so that a test can put a recording or failing one in its place.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from .errors import DamagedRunError, FormatVersionError, RunNotFoundError, storage_error

FORMAT = 1
"""Version of the layout on disk; a reader refuses newer ones."""

FINAL_STATES = ("complete", "stopped", "failed", "interrupted")
"""States of a run to which nothing is added any more."""

T = TypeVar("T")
R = TypeVar("R")

_FLUSHERS = 8
_SHARING_RETRIES = 50
_NETWORK = {
    "nfs", "nfs4", "cifs", "smb3", "smbfs", "sshfs", "afs", "ceph", "glusterfs", "lustre", "gpfs",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of one run directory."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data.zarr"

    @property
    def commit(self) -> Path:
        """Root metadata of the store: replacing this file is what commits rows."""
        return self.data / "zarr.json"

    @property
    def journal(self) -> Path:
        return self.root / "journal.sqlite"

    @property
    def damaged_journal(self) -> Path:
        return self.root / "journal.damaged.sqlite"

    @property
    def staging(self) -> Path:
        return self.root / "staging"

    @property
    def lock(self) -> Path:
        return self.root / "run.lock"

    @property
    def publisher_lock(self) -> Path:
        return self.root / "publisher.lock"

    @property
    def recovering(self) -> Path:
        """There while somebody recovers the run (or was killed while doing so)."""
        return self.staging / "recovering"

    @classmethod
    def of(cls, path: str | Path) -> RunPaths:
        """Accepts a run directory or the `data.zarr` in it."""
        path = Path(path)
        return cls(path.parent if path.name == "data.zarr" else path)


def run_directory(root: Path, title: str, run_id: str, started: datetime) -> Path:
    """`<root>/<date>/<time>_<title>_<id>`, with a title that every file system accepts."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", title).strip("-").lower()[:40].strip("-") or "run"
    return root / f"{started:%Y-%m-%d}" / f"{started:%H%M%S}_{slug}_{run_id}"


def network_file_system(path: Path) -> str | None:
    """Kind of the network file system that `path` lies on; None for a local disk."""
    if sys.platform == "win32":
        return "a network share" if path.drive.startswith("\\\\") else None
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:  # other systems: SQLite itself refuses where it cannot work
        return None
    best, kind = "", None
    for line in mounts:
        _, point, file_system = line.split(" ", 3)[:3]
        point = point.replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, file_system
    return kind if kind is not None and kind.removeprefix("fuse.") in _NETWORK else None


def read_commit(paths: RunPaths) -> dict[str, Any]:
    """The committed root metadata.

    Raises RunNotFoundError, FormatVersionError (written by a newer version), DamagedRunError.
    """
    try:
        document: dict[str, Any] = json.loads(read_retrying(paths.commit))
    except (FileNotFoundError, NotADirectoryError):
        raise RunNotFoundError(
            f"{paths.root} holds no run: there is no {paths.commit.name} in data.zarr. "
            "A run killed while it was being created has none, and had acknowledged nothing."
        ) from None
    except OSError as error:
        raise storage_error(error, "reading a run", paths.root) from error
    except ValueError as error:
        raise DamagedRunError(f"{paths.commit} is not JSON ({error}); restore it") from error
    try:
        version = document["attributes"]["cavitylab"]["format"]
        document["attributes"]["cavitylab_commit"]["state"]
        document["consolidated_metadata"]["metadata"].items()
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedRunError(f"{paths.commit} was not written by cavitylab: {error}") from error
    if version > FORMAT:
        raise FormatVersionError(
            f"{paths.root} has format {version}, this cavitylab reads up to {FORMAT}: update it, "
            "or read data.zarr with any zarr library"
        )
    return document


def read_retrying(path: Path) -> bytes:
    """The bytes of a file that may be replaced at this moment (Windows then refuses briefly)."""
    for _ in range(_SHARING_RETRIES if sys.platform == "win32" else 0):
        try:
            return path.read_bytes()
        except PermissionError:
            time.sleep(0.01)
    return path.read_bytes()


class DurableFiles:
    """File operations of which each is on the disk, not in a cache, when it returns.

    Temporaries go to `staging`, which must be on the same file system as their destinations.
    """

    def __init__(self, staging: Path) -> None:
        self._staging = staging
        self._numbers = itertools.count()

    def stage(self, data: bytes) -> Path:
        """Write and flush `data` under a temporary name."""
        path = self._staging / f"{os.getpid()}-{next(self._numbers)}.tmp"
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return path

    def stage_all(self, contents: Iterable[bytes]) -> list[Path]:
        """`stage` each; flushed side by side, several cost a disk little more than one."""
        return together(self.stage, contents)

    def sync_directories(self, paths: Iterable[Path]) -> None:
        """`sync_directory` each, side by side."""
        together(self.sync_directory, paths)

    def rename(self, source: Path, target: Path) -> None:
        """Put a staged file in its place; durable after `sync_directory(target.parent)`."""
        for _ in range(_SHARING_RETRIES if sys.platform == "win32" else 0):
            try:
                os.replace(source, target)
                return
            except PermissionError:
                time.sleep(0.01)
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file if it is there; waits while a reader holds it open on Windows."""
        for _ in range(_SHARING_RETRIES if sys.platform == "win32" else 0):
            try:
                path.unlink(missing_ok=True)
                return
            except PermissionError:
                time.sleep(0.01)
        path.unlink(missing_ok=True)

    def make_directory(self, path: Path) -> None:
        """Durable after `sync_directory(path.parent)`."""
        path.mkdir(exist_ok=True)

    def sync_directory(self, path: Path) -> None:
        """Flush the names in a directory. Windows has no such call: NTFS journals its names."""
        if sys.platform == "win32":
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def make_directories(self, path: Path) -> None:
        """Like `mkdir -p`, every new name flushed."""
        new = list(itertools.takewhile(lambda folder: not folder.exists(), [path, *path.parents]))
        for folder in reversed(new):
            self.make_directory(folder)
            self.sync_directory(folder.parent)

    def clear_staging(self) -> list[str]:
        """Remove what an earlier writer left; returns the names."""
        if not self._staging.is_dir():
            return []
        left = sorted(self._staging.iterdir())
        for path in left:
            path.unlink(missing_ok=True)
        return [path.name for path in left if path.suffix == ".tmp"]


@functools.cache
def _flushers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_FLUSHERS, thread_name_prefix="flush")


if hasattr(os, "register_at_fork"):  # a forked child has none of the threads
    os.register_at_fork(after_in_child=_flushers.cache_clear)


def together(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do all the work in a few threads. When it returns or raises, none of it goes on."""
    items = list(items)
    try:
        waiting = [_flushers().submit(work, item) for item in items]
    except RuntimeError:  # the interpreter is ending and starts no more threads
        return [work(item) for item in items]
    wait(waiting)
    return [one.result() for one in waiting]


def writer_lock(paths: RunPaths) -> FileLock:
    """The lock that says "alive": the operating system frees it when its holder dies."""
    return FileLock(paths.lock, thread_local=False)


def publishers_lock(paths: RunPaths) -> FileLock:
    """Whoever changes `data.zarr` holds this one, and opens the store only after getting it.

    It keeps a publisher process whose writer has just died apart from whoever recovers the run.
    """
    return FileLock(paths.publisher_lock, thread_local=False)


@contextmanager
def publisher_lock(paths: RunPaths, timeout: float) -> Iterator[bool]:
    """Hold the publishers' lock; yields False when somebody keeps it longer than `timeout`."""
    lock = publishers_lock(paths)
    try:
        lock.acquire(timeout=timeout, poll_interval=0.02)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def try_writer_lock(paths: RunPaths, timeout: float = 0.0) -> Iterator[bool]:
    """Hold the lock of a dead run; yields False when somebody else has it."""
    lock = writer_lock(paths)
    try:
        lock.acquire(timeout=timeout, poll_interval=0.02)
    except Timeout:
        yield False
        return
    except OSError as error:
        raise storage_error(error, "locking a dead run", paths.root) from error
    try:
        yield True
    finally:
        lock.release()
