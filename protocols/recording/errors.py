"""Every way a recording can fail, one exception type each.

Each is also the built-in exception that a caller would expect, and each message says
what failed, where, and what to do.
"""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from ...instruments.errors import CavityLabError


class RecordingError(CavityLabError):
    """Base class: the recorder could not do what was asked."""


class StorageError(RecordingError, OSError):
    """The disk refused to read or write (I/O error, lost mount)."""


class DiskFullError(StorageError):
    """No space left: nothing more is acknowledged; what was acknowledged is safe."""


class ReadOnlyFolderError(StorageError):
    """The folder may not be written by this user, or its file system is read-only."""


class RunExistsError(RecordingError, FileExistsError):
    """A run directory of that name is there already; nothing was touched."""


class RunNotFoundError(RecordingError, FileNotFoundError):
    """There is no (finished creating) run at that path."""


class RunLockedError(RecordingError, RuntimeError):
    """Another process is writing, or recovering, this run."""


class WriterClosedError(RecordingError, RuntimeError):
    """The writer was closed: no more rows can be appended."""


class FormatVersionError(RecordingError, ValueError):
    """The run was written by a newer cavitylab than this one."""


class SchemaError(RecordingError, ValueError):
    """The rows, names, types or attributes do not fit the streams that were declared."""


class DamagedRunError(RecordingError, ValueError):
    """Files of a run are there but cannot be understood."""


_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_CORRUPT = {"SQLITE_CORRUPT", "SQLITE_NOTADB"}
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


def storage_error(cause: Exception, doing: str, path: Path) -> RecordingError:
    """The error of this module that says what `cause`, met while `doing`, means at `path`."""
    if isinstance(cause, RecordingError):
        return cause
    name = getattr(cause, "sqlite_errorname", "") or ""
    number = cause.errno if isinstance(cause, OSError) else None
    if number in _FULL or name == "SQLITE_FULL" or "disk is full" in str(cause):
        return DiskFullError(
            f"the disk is full while {doing} in {path}. Everything acknowledged so far is on disk; "
            "free some space, then open the run: it recovers by itself."
        )
    if number in _READ_ONLY or name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return ReadOnlyFolderError(
            f"{path} cannot be written while {doing} ({cause}). "
            "Choose a data folder that this user may write."
        )
    if name in _CORRUPT or "no such table" in str(cause):
        return DamagedRunError(f"the journal in {path} is damaged: {cause}")
    if isinstance(cause, (OSError, sqlite3.Error)):
        return StorageError(f"the disk failed while {doing} in {path}: {cause}")
    return RecordingError(f"{doing} in {path} failed: {type(cause).__name__}: {cause}")
