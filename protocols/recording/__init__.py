"""The recorder: rows of a run, safe on disk before anybody relies on them.

A run streams its rows to one zarr group. What was *acknowledged* survives `kill -9` and a power
cut: SQLite keeps what has just been taken (`journal`), a publisher moves it to zarr in an order
that leaves every reader a consistent prefix (`publisher`), and opening a run whose writer died
finishes the job (`finalise`).
"""

from .annotation import annotate_run
from .catalogue import RunCatalogue, RunSummary, find_runs, list_runs
from .errors import (
    DamagedRunError,
    DiskFullError,
    FormatVersionError,
    ReadOnlyFolderError,
    RecordingError,
    RunExistsError,
    RunLockedError,
    RunNotFoundError,
    SchemaError,
    StorageError,
    WriterClosedError,
)
from .export import compact_run, export_run
from .finalise import Recovery
from .provenance import git_state
from .row_queue import Ticket
from .run import Run
from .schema import MISSING, Axis, Field, Stream
from .verification import Verification
from .writer import RunWriter

__all__ = [
    "MISSING",
    "Axis",
    "DamagedRunError",
    "DiskFullError",
    "Field",
    "FormatVersionError",
    "ReadOnlyFolderError",
    "RecordingError",
    "Recovery",
    "Run",
    "RunCatalogue",
    "RunExistsError",
    "RunLockedError",
    "RunNotFoundError",
    "RunSummary",
    "RunWriter",
    "SchemaError",
    "StorageError",
    "Stream",
    "Ticket",
    "Verification",
    "WriterClosedError",
    "annotate_run",
    "compact_run",
    "export_run",
    "find_runs",
    "git_state",
    "list_runs",
]
