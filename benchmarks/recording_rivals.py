"""The recorders that `recording.py` compares: ours, plain zarr, QCoDeS' dataset and h5py.

Each has a `name`, is made in a folder, and its `run(block, blocks)` gives the seconds until every
one of `blocks` appended blocks of `block` rows is on the disk.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from cavitylab.protocols.recording import Field, RunWriter, Stream

SHOT = Stream(
    "shot",
    [
        Field("time", "i8"),
        Field("status", "u1"),
        Field("point_index", "i4"),
        Field("counts", "i4", dims={"detector": ["north", "south"]}),
    ],
)


def rows(first: int, count: int) -> dict[str, Any]:
    k = np.arange(first, first + count)
    counts = np.stack([100 + 7 * k % 50, 90 + k % 31], axis=1).astype(np.int32)
    return {
        "time": 1_700_000_000_000_000_000 + 50_000_000 * k,
        "status": np.ones(count, np.uint8),
        "point_index": (k // 1000).astype(np.int32),
        "counts": counts,
    }


class Ours:
    """This recorder, pipelined: the clock stops when the last row is acknowledged."""

    name = "cavitylab"

    def __init__(self, folder: Path) -> None:
        self.writer = RunWriter.create(folder, "bench", [SHOT], publisher="process")
        self.path = self.writer.path
        self.writer.flush(publish=True)  # the publisher process has started

    def run(self, block: int, blocks: int) -> float:
        started = time.perf_counter()
        if block == 1:
            counts = [100, 101]
            for k in range(blocks):
                self.writer.append_row("shot", time=k, status=1, point_index=k >> 10, counts=counts)
        else:
            content = rows(0, block)
            for _ in range(blocks):
                self.writer.append("shot", content)
        self.writer.flush()
        return time.perf_counter() - started

    def close(self) -> None:
        self.writer.close()


class PlainZarr:
    """One zarr array a column, resized and written block by block, every file then flushed."""

    name = "plain zarr, durable"

    def __init__(self, folder: Path) -> None:
        import zarr

        self.path = folder / "plain.zarr"
        self.group = zarr.create_group(self.path)
        self.arrays = {
            name: self.group.create_array(
                name, shape=(0, *column.shape[1:]), chunks=(65_536, *column.shape[1:]),
                dtype=column.dtype, config={"write_empty_chunks": True},
            )
            for name, column in rows(0, 1).items()
        }  # fmt: skip
        self.length = 0

    def run(self, block: int, blocks: int) -> float:
        content = rows(0, block)
        started = time.perf_counter()
        for _ in range(blocks):
            first, self.length = self.length, self.length + block
            for name, array in self.arrays.items():
                array.resize((self.length, *array.shape[1:]))
                array[first : self.length] = content[name]
                self._flush(name, first, self.length)
        return time.perf_counter() - started

    def _flush(self, name: str, first: int, end: int) -> None:
        suffix = "/0" if name == "counts" else ""
        places = range(first // 65_536, (end - 1) // 65_536 + 1)
        for part in ["zarr.json", *(f"c/{k}{suffix}" for k in places)]:
            flush_path(self.path / name / part)
        flush_path(self.path / name / "c")
        flush_path(self.path / name)

    def close(self) -> None:
        return


class QCoDeS:
    """QCoDeS' SQLite dataset: `add_result` and a flush a row (blocks as array parameters)."""

    name = "QCoDeS, flushed"

    def __init__(self, folder: Path) -> None:
        import qcodes
        from qcodes.dataset import (
            Measurement,
            initialise_or_create_database_at,
            load_or_create_experiment,
        )

        qcodes.config.logger.start_logging_on_import = "never"
        self.path = folder / "qcodes.db"
        initialise_or_create_database_at(str(self.path))
        self.measurement = Measurement(load_or_create_experiment("bench", "none"))
        for name in ("time", "status", "point_index", "north", "south"):
            self.measurement.register_custom_parameter(name, paramtype="array")

    def run(self, block: int, blocks: int) -> float:
        content = rows(0, block)
        counts = content.pop("counts")
        columns = [*content.items(), ("north", counts[:, 0]), ("south", counts[:, 1])]
        self.measurement.write_period = 1e9
        with self.measurement.run() as saver:
            started = time.perf_counter()
            for _ in range(blocks):
                saver.add_result(*columns)
                saver.flush_data_to_database()
            return time.perf_counter() - started

    def close(self) -> None:
        return


class H5py:
    """One growing HDF5 dataset a column; flushed by h5py, then by the file system."""

    name = "h5py, durable"

    def __init__(self, folder: Path) -> None:
        import h5py

        self.path = folder / "bench.h5"
        self.file = h5py.File(self.path, "w", libver="latest")
        self.sets = {
            name: self.file.create_dataset(
                name, (0, *column.shape[1:]), maxshape=(None, *column.shape[1:]),
                chunks=(65_536, *column.shape[1:]), dtype=column.dtype, compression="gzip",
                compression_opts=1,
            )
            for name, column in rows(0, 1).items()
        }  # fmt: skip
        self.file.swmr_mode = True
        self.length = 0

    def run(self, block: int, blocks: int) -> float:
        content = rows(0, block)
        started = time.perf_counter()
        for _ in range(blocks):
            first, self.length = self.length, self.length + block
            for name, data in self.sets.items():
                data.resize(self.length, axis=0)
                data[first:] = content[name]
            self.file.flush()
            flush_path(self.path)
        return time.perf_counter() - started

    def close(self) -> None:
        self.file.close()


def flush_path(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
