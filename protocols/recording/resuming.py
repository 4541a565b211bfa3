"""Going on with a run that has ended or died: the same store, a new journal, the next row.

The run is first brought to its end like any dead one. May be killed anywhere: before the last
step the run still ends as it did before, after it the run is live again.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .creation import CreatedRun, coordinate_names, refuse_network
from .encoding import Metadata, array_metadata
from .errors import RunLockedError, SchemaError, storage_error
from .finalise import is_finished, publishing_alone, recover_alone
from .journal import Journal
from .layout import DurableFiles, RunPaths, read_commit, writer_lock
from .publisher import Publisher
from .schema import EVENT, Stream, complete_schema

_LOCK_PATIENCE = 0.5


@contextlib.contextmanager
def reopened(
    path: str | Path, streams: Iterable[Stream] = (), *, live: bool = True
) -> Iterator[tuple[CreatedRun, str]]:
    """A run that has ended or died, with a new journal; and how it had ended.

    With `live` its state becomes "running". Inside the block nobody else publishes; behind it
    the writer's lock stays held, unless the block failed.

    Raises RunLockedError for a live run, SchemaError when `streams` differ from the stored
    ones, and what `Run.open` raises.
    """
    paths = RunPaths.of(path)
    read_commit(paths)
    refuse_network(paths)
    lock = _locked(paths)
    try:
        with publishing_alone(paths):
            if not is_finished(paths):
                recover_alone(paths)
            yield _continued(paths, lock, list(streams), live)
    except (OSError, sqlite3.Error) as error:
        lock.release()
        raise storage_error(error, "going on with a run", paths.root) from error
    except BaseException:
        lock.release()
        raise


def _locked(paths: RunPaths) -> FileLock:
    lock = writer_lock(paths)
    try:
        lock.acquire(timeout=_LOCK_PATIENCE, poll_interval=0.02)
    except Timeout:
        raise RunLockedError(
            f"{paths.root} is being written or recovered by another process; "
            "a live run cannot be resumed"
        ) from None
    except OSError as error:
        raise storage_error(error, "locking a run", paths.root) from error
    return lock


def _continued(
    paths: RunPaths, lock: FileLock, streams: list[Stream], live: bool
) -> tuple[CreatedRun, str]:
    document = read_commit(paths)
    ended = str(document["attributes"]["cavitylab_commit"]["state"])
    schema, new = _merged(document["attributes"]["cavitylab"], streams, paths)
    added = _declare(document, schema, new)
    files = DurableFiles(paths.staging)
    files.make_directory(paths.staging)
    files.sync_directory(paths.root)
    journal = Journal.create(paths.journal, str(_about(document)["run_id"]), schema)
    try:
        files.sync_directory(paths.root)
        publisher = Publisher(paths, journal.frames_after, schema, document, files)
        publisher.create_array_files(added)
        if live:
            publisher.publish("running")
    except BaseException:
        journal.close()
        raise
    return CreatedRun(paths, schema, lock, journal, publisher.rows, publisher.seq + 1), ended


def _about(document: Metadata) -> dict[str, Any]:
    about: dict[str, Any] = document["attributes"]["cavitylab"]
    return about


def _merged(
    about: dict[str, Any], streams: list[Stream], paths: RunPaths
) -> tuple[dict[str, Stream], list[Stream]]:
    """All streams of the resumed run, and those of them that are new."""
    stored = {one["name"]: Stream.from_json(one) for one in about["streams"]}
    for stream in streams:
        if stream.name in stored and stored[stream.name].to_json() != stream.to_json():
            raise SchemaError(
                f"stream {stream.name!r} of {paths.root} has other fields, types or attributes "
                "than those given; a resumed run keeps its streams (new ones may be added)"
            )
    new = [stream for stream in streams if stream.name not in stored]
    return complete_schema([s for s in stored.values() if s != EVENT] + new), new


def _declare(document: Metadata, schema: dict[str, Stream], new: list[Stream]) -> list[str]:
    """Put new streams' arrays into the root metadata; their names."""
    metadata = array_metadata(spec for stream in new for spec in stream.arrays())
    document["consolidated_metadata"]["metadata"].update(metadata)
    known = document["attributes"]["coordinates"].split()
    added = [name for name in coordinate_names(schema) if name not in known]
    document["attributes"]["coordinates"] = " ".join(known + added)
    _about(document)["streams"] = [stream.to_json() for stream in schema.values()]
    return list(metadata)
