"""A finished run in other formats: a table, numpy arrays, NetCDF, or one compact zarr store.

The run itself is never changed. A target appears whole or not at all, and none is replaced.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr

from .encoding import root_metadata
from .errors import RecordingError, RunExistsError, RunLockedError, SchemaError, storage_error
from .layout import FINAL_STATES
from .run import Run

_ROWS_AT_ONCE = 65_536
_SHARD_BYTES = 64 << 20


def export_run(run: Run, target: str | Path, *, stream: str = "shot") -> Path:
    """Write a run to `target`, whose ending says how; returns its path.

    - `.csv`: the rows of one stream, a column a number; a shot's line ends with its set-points.
    - `.npz`: every stream's fields as `<stream>.<field>`, and `attributes` (JSON).
    - `.zarr`: everything, in a few large files; see `compact_run`.
    - `.nc`: the records as NetCDF-4, attributes as JSON text; needs h5netcdf or netCDF4.

    Raises RunExistsError when `target` is there, SchemaError for another ending or stream,
    StorageError kinds.
    """
    path = Path(target)
    if path.suffix.lower() == ".zarr":
        return compact_run(run, path)
    writers: dict[str, Callable[[Run, Path, str], None]] = {
        ".csv": _write_csv, ".npz": _write_npz, ".nc": _write_netcdf,
    }  # fmt: skip
    write = writers.get(path.suffix.lower())
    if write is None:
        raise SchemaError(f"{path} must end in one of {', '.join(writers)}, .zarr")
    _whole(path, lambda draft: write(run, draft, stream))
    return path


def compact_run(run: Run, target: str | Path) -> Path:
    """Copy a finished run into a zarr store of a few large files (shards), for archives.

    The copy has the same arrays, values and attributes. Raises RunLockedError while the run is
    being written, RunExistsError when `target` is there.
    """
    path = Path(target)
    if run.state not in FINAL_STATES:
        raise RunLockedError(f"{run.path} is still being written; compact it when it has ended")
    _whole(path, lambda draft: _write_shards(run, draft))
    return path


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside the target, then rename."""
    if path.exists():
        raise RunExistsError(f"{path} exists already; choose another name")
    draft = path.with_name(f".{path.stem}-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        os.replace(draft, path)
    except OSError as error:
        raise storage_error(error, "exporting a run", path.parent) from error
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


# --- tables ---------------------------------------------------------------------------------


def _write_csv(run: Run, draft: Path, stream: str) -> None:
    columns = run.load(stream)
    points = run.load("point") if stream == "shot" and "point" in run.rows else {}
    if "point_index" not in columns:
        points = {}
    names = run.names_along()
    count = len(next(iter(columns.values())))
    with draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*_headings(columns, names), *_headings(points, names)])
        for first in range(0, count, _ROWS_AT_ONCE):
            part = slice(first, first + _ROWS_AT_ONCE)
            rows = {name: column[part] for name, column in columns.items()}
            cells = [*_cells(rows), *_cells(_points_of(rows, points))]
            table.writerows(zip(*cells, strict=True))


def _points_of(rows: dict[str, Any], points: dict[str, Any]) -> dict[str, Any]:
    """The set-points of each shot; NaN where a shot belongs to no point."""
    found: dict[str, Any] = {}
    for name, column in points.items():
        if isinstance(column, list) or not len(column):
            continue
        index = np.asarray(rows["point_index"], np.int64)
        valid = (index >= 0) & (index < len(column))
        values = np.full((len(index), *column.shape[1:]), np.nan)
        values[valid] = column[index[valid]]
        found[name] = values
    return found


def _headings(columns: dict[str, Any], names: dict[str, list[str]]) -> Iterator[str]:
    for name, column in columns.items():
        if isinstance(column, list) or column.ndim == 1:
            yield name
            continue
        labels = names.get(name, [])
        for place in np.ndindex(column.shape[1:]):
            label = labels[place[0]] if len(place) == 1 and labels else ",".join(map(str, place))
            yield f"{name}[{label}]"


def _cells(columns: dict[str, Any]) -> Iterator[list[Any]]:
    for column in columns.values():
        if isinstance(column, list):
            yield column
        else:
            flat = column.reshape(len(column), -1)
            yield from (flat[:, k].tolist() for k in range(flat.shape[1]))


# --- arrays ---------------------------------------------------------------------------------


def _write_npz(run: Run, draft: Path, stream: str) -> None:
    arrays: dict[str, Any] = {"attributes": np.array(json.dumps(run.attrs))}
    arrays["provenance"] = np.array(json.dumps(run.provenance))
    for name in run.rows:
        for field, column in run.load(name).items():
            arrays[f"{name}.{field}"] = np.array(column) if isinstance(column, list) else column
    np.savez_compressed(draft, allow_pickle=False, **arrays)


def _write_netcdf(run: Run, draft: Path, stream: str) -> None:
    engine: Literal["h5netcdf", "netcdf4"]
    if importlib.util.find_spec("h5netcdf") is not None:
        engine = "h5netcdf"
    elif importlib.util.find_spec("netCDF4") is not None:
        engine = "netcdf4"
    else:
        raise RecordingError("NetCDF needs one more package: pip install h5netcdf (or netCDF4)")
    records = run.records.load()
    records.attrs = {name: _text(value) for name, value in records.attrs.items()}
    records.attrs["events"] = json.dumps(run.events())
    for variable in records.variables.values():
        variable.attrs = {name: _text(value) for name, value in variable.attrs.items()}
        variable.encoding = {}
    records.to_netcdf(draft, engine=engine)


def _text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def _write_shards(run: Run, draft: Path) -> None:
    source = zarr.open_group(run.path / "data.zarr", mode="r", use_consolidated=True)
    copy = zarr.create_group(draft, zarr_format=3, attributes=dict(source.attrs))
    for name, node in source.arrays():
        old: Any = node
        chunk, length = old.chunks[0], max(1, old.shape[0])
        row = max(1, old.dtype.itemsize * int(np.prod(old.shape[1:])))
        chunks = min(-(-length // chunk), max(1, _SHARD_BYTES // (row * chunk)))
        new: Any = copy.create_array(
            name,
            shape=old.shape,
            chunks=old.chunks,
            shards=(chunk * chunks, *old.shape[1:]),
            dtype=old.dtype,
            fill_value=old.fill_value,
            compressors=old.compressors,
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=old.metadata.dimension_names,
            attributes=dict(old.attrs),
        )
        for first in range(0, old.shape[0], chunk * chunks):
            rows = slice(first, first + chunk * chunks)
            new[rows] = old[rows]
    arrays = {n: json.loads((draft / n / "zarr.json").read_bytes()) for n in source.array_keys()}
    (draft / "zarr.json").write_bytes(root_metadata(dict(source.attrs), arrays))
