"""Creating a run: directory, lock, journal, and the empty store that readers find at once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from . import provenance as origin
from . import strict_json
from .encoding import array_metadata
from .errors import (
    DiskFullError,
    ReadOnlyFolderError,
    RunExistsError,
    RunLockedError,
    SchemaError,
    StorageError,
    storage_error,
)
from .journal import Journal
from .layout import (
    FORMAT,
    DurableFiles,
    RunPaths,
    network_file_system,
    run_directory,
    writer_lock,
)
from .publish_thread import free_space
from .publisher import Publisher
from .schema import ArraySpec, Axis, Stream, check_axes, complete_schema

_ROOT_ENTRIES = ("protocol", "parameters", "seeds", "tags", "operator", "scan")
PROVENANCE = "provenance_json"


@dataclass(frozen=True, slots=True)
class CreatedRun:
    """What a writer goes on with."""

    paths: RunPaths
    schema: dict[str, Stream]
    lock: FileLock
    journal: Journal
    rows: dict[str, int]
    next_seq: int = 0


def create_run(
    root: Path,
    title: str,
    streams: Sequence[Stream],
    provenance: Mapping[str, Any],
    run_id: str,
    started: datetime,
    axes: Sequence[Axis] = (),
) -> CreatedRun:
    """Make the run's directory and everything in it, durably. Raises RecordingError kinds."""
    schema = complete_schema(streams)
    check_axes(axes, schema)
    origins = _origins(provenance, run_id, started)
    blob = strict_json.canonical(origins, "provenance")
    paths = RunPaths(run_directory(root.absolute(), title, run_id, started))
    files = DurableFiles(paths.staging)
    refuse_network(paths)
    _make_folders(paths, files)
    _check_space(paths)
    lock = writer_lock(paths)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RunLockedError(f"{paths.root} is being written by another process") from None
    try:
        journal = Journal.create(paths.journal, run_id, schema)
        files.sync_directory(paths.root)
        document = _first_document(title, schema, origins, blob, axes)
        publisher = Publisher(paths, journal.frames_after, schema, document, files)
        publisher.write_constant(PROVENANCE, np.frombuffer(blob, np.uint8))
        for axis in axes:
            publisher.write_constant(axis.name, axis.values)
        publisher.create_array_files()
        publisher.publish("running")
    except OSError as error:
        lock.release()
        raise storage_error(error, "creating a run", paths.root) from error
    except BaseException:
        lock.release()
        raise
    return CreatedRun(paths, schema, lock, journal, dict.fromkeys(schema, 0))


def refuse_network(paths: RunPaths) -> None:
    """Raises StorageError where SQLite's log has no shared memory."""
    network = network_file_system(paths.root)
    if network is not None:
        raise StorageError(
            f"{paths.root} is on {network}, where a journal is not safe; record to a local disk "
            "and copy the finished run"
        )


def _make_folders(paths: RunPaths, files: DurableFiles) -> None:
    try:
        files.make_directories(paths.root.parent)
        paths.root.mkdir()
    except FileExistsError as error:
        raise RunExistsError(
            f"{paths.root} exists already; give the run another title or run_id"
        ) from error
    except PermissionError as error:
        raise ReadOnlyFolderError(
            f"cannot make a run directory in {paths.root.parent} ({error}); "
            "choose a data folder that this user may write"
        ) from error
    except OSError as error:
        raise storage_error(error, "making the run directory", paths.root.parent) from error
    try:
        files.sync_directory(paths.root.parent)
        paths.data.mkdir()
        paths.staging.mkdir()
        files.sync_directory(paths.root)
    except OSError as error:
        raise storage_error(error, "making the run directory", paths.root) from error


def _check_space(paths: RunPaths) -> None:
    free, _, stop = free_space(paths)
    if free < stop:
        raise DiskFullError(
            f"only {free / (1 << 20):.0f} MiB are left on the disk of {paths.root}; "
            "free some space before starting a run"
        )


def _origins(provenance: Mapping[str, Any], run_id: str, started: datetime) -> dict[str, Any]:
    """The caller's provenance, completed with what the recorder knows itself."""
    own = {
        "run_id": run_id,
        "started": started.isoformat(),
        "git": origin.running_code(),
        "versions": origin.versions(),
        "host": origin.host(),
        "operator": origin.operator(),
    }
    complete: dict[str, Any] = strict_json.strict({**own, **provenance}, "provenance")
    if complete["run_id"] != run_id:
        raise SchemaError("provenance must not name another run_id than the run's own")
    return complete


def _first_document(
    title: str,
    schema: dict[str, Stream],
    origins: dict[str, Any],
    blob: bytes,
    axes: Sequence[Axis],
) -> dict[str, Any]:
    specs = [spec for stream in schema.values() for spec in stream.arrays()]
    specs += [axis.array() for axis in axes]
    specs.append(
        ArraySpec(
            PROVENANCE,
            "provenance",
            ("provenance_byte",),
            np.dtype("u1"),
            (),
            len(blob),
            0,
            {"long_name": "UTF-8 JSON: everything the run was made from"},
        )  # fmt: skip
    )
    summary = {
        "format": FORMAT,
        **{name: origins[name] for name in _ROOT_ENTRIES if name in origins},
        **{name: origins[name] for name in ("run_id", "git", "versions", "host", "started")},
        "station_sha256": _digest(origins["station"]) if "station" in origins else None,
        "provenance_sha256": hashlib.sha256(blob).hexdigest(),
        "streams": [stream.to_json() for stream in schema.values()],
    }
    attributes = {
        "Conventions": "CF-1.11",
        "title": title,
        "coordinates": " ".join([*coordinate_names(schema), *(axis.name for axis in axes)]),
        "cavitylab": summary,
        "cavitylab_commit": {
            "state": "creating",
            "rows": dict.fromkeys(schema, 0),
            "journal_seq": -1,
            "gaps": [],
            "published_at": datetime.now(UTC).isoformat(),
        },
    }
    metadata = array_metadata(specs)
    return {"attributes": attributes, "consolidated_metadata": {"metadata": metadata}}


def coordinate_names(schema: dict[str, Stream]) -> list[str]:
    """Fields that xarray is to show as coordinates."""
    return [f.name for s in schema.values() for f in s.fields if f.coordinate]


def _digest(value: Any) -> str:
    return hashlib.sha256(strict_json.canonical(value)).hexdigest()
