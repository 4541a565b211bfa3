"""From rows in memory to the bytes of zarr chunks and metadata.

Chunks are encoded by zarr itself in a store that lives in memory: an array there is exactly
one chunk long, and what zarr writes into it is the file that goes to the disk, under whatever
index. So nothing on disk is ever read, changed and written back.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.buffer import cpu
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import MemoryStore

from .schema import ArraySpec

Metadata = dict[str, Any]


def array_metadata(specs: Iterable[ArraySpec]) -> dict[str, Metadata]:
    """The `zarr.json` of every array, with length zero."""
    files: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(files), zarr_format=3)
    for spec in specs:
        group.create_array(
            spec.name,
            shape=(0, *spec.row_shape),
            chunks=(spec.chunk_rows, *spec.row_shape),
            dtype=spec.dtype,
            fill_value=spec.fill,
            compressors=[ZstdCodec(level=1), Crc32cCodec()],
            chunk_key_encoding={"name": "default", "separator": "."},
            dimension_names=spec.dims,
            attributes=spec.attributes,
        )
    return {
        key.removesuffix("/zarr.json"): json.loads(value.to_bytes())
        for key, value in files.items()
        if key != "zarr.json"
    }


def root_metadata(attributes: Metadata, arrays: dict[str, Metadata]) -> bytes:
    """The group's `zarr.json` with all arrays' metadata in it: one file carries all lengths."""
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": attributes,
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": arrays},
    }
    return to_bytes(document)


def to_bytes(document: Metadata) -> bytes:
    return json.dumps(document, allow_nan=False).encode()  # indenting takes ten times longer


class ChunkEncoder:
    """Encodes chunks of the arrays described by `metadata`, one array at a time."""

    def __init__(self, metadata: dict[str, Metadata]) -> None:
        self._files: dict[str, Any] = {}
        store = MemoryStore(self._files)
        self._arrays: dict[str, zarr.Array[Any]] = {}
        for name, document in metadata.items():
            single = copy.deepcopy(document)
            single["shape"] = document["chunk_grid"]["configuration"]["chunk_shape"]
            self._put(f"{name}/zarr.json", to_bytes(single))
            array = zarr.open_array(store, path=name, mode="r+")
            # A chunk of zeros is written too: a missing chunk then always means a lost one.
            self._arrays[name] = array.with_config({"write_empty_chunks": True})

    def encode(self, name: str, chunk: NDArray[Any]) -> bytes:
        """The bytes of one whole chunk of array `name`."""
        array = self._arrays[name]
        array[...] = chunk
        data: bytes = self._files.pop(f"{name}/{chunk_key(0, chunk.ndim)}").to_bytes()
        return data

    def _put(self, key: str, data: bytes) -> None:
        self._files[key] = cpu.Buffer.from_bytes(data)


def chunk_key(index: int, ndim: int) -> str:
    """File name of the chunk at row index `index` (other dimensions are never split)."""
    return ".".join(["c", str(index), *["0"] * (ndim - 1)])


class GrowingArray:
    """The end of one array: its length and the rows of its last, unfinished chunk.

    Rows are appended in memory; `changed()` then lists the whole chunks to write. Padding is
    the fill value.
    """

    def __init__(self, name: str, metadata: Metadata, fill: Any) -> None:
        chunk_shape = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        self.name = name
        self.length = int(metadata["shape"][0])
        self.dtype = np.dtype(metadata["data_type"]).newbyteorder("<")
        self.row_shape = tuple(metadata["shape"][1:])
        self.chunk_rows = int(chunk_shape[0])
        self._fill = fill
        self._tail = self._blank()
        self._full: list[tuple[int, NDArray[Any]]] = []
        self._dirty = False

    @property
    def tail_start(self) -> int:
        """First row of the unfinished chunk."""
        return self.length - self.length % self.chunk_rows

    def restore(self, tail: NDArray[Any]) -> None:
        """Give back the committed rows of the unfinished chunk, after reopening."""
        self._tail[: len(tail)] = tail

    def append(self, rows: NDArray[Any]) -> None:
        done = 0
        while done < len(rows):
            at = self.length % self.chunk_rows
            count = min(self.chunk_rows - at, len(rows) - done)
            self._tail[at : at + count] = rows[done : done + count]
            self._dirty = True
            done += count
            self.length += count
            if at + count == self.chunk_rows:
                self._full.append((self.length // self.chunk_rows - 1, self._tail))
                self._tail = self._blank()
                self._dirty = False

    def overwrite(self, first: int, value: Any) -> None:
        """Set the unfinished chunk's rows from `first` on to `value`."""
        start = max(first, self.tail_start) - self.tail_start
        self._tail[start : self.length - self.tail_start] = value
        self._dirty = True

    def changed(self) -> list[tuple[int, NDArray[Any]]]:
        """Chunks to write since the last call, as (index, whole chunk)."""
        chunks, self._full = self._full, []
        if self._dirty:
            chunks.append((self.length // self.chunk_rows, self._tail))
            self._dirty = False
        return chunks

    def _blank(self) -> NDArray[Any]:
        fill = math.nan if self._fill == "NaN" else self._fill
        return np.full((self.chunk_rows, *self.row_shape), fill, self.dtype)
