"""Checking a run: every chunk is there, decodes, and says the same as the metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from .encoding import chunk_key
from .errors import RecordingError
from .layout import FINAL_STATES, RunPaths, read_commit, read_retrying


@dataclass(frozen=True, slots=True)
class Verification:
    """What `Run.verify` found. `problems` empty means every committed row is as recorded."""

    run: Path
    state: str
    shots: int
    repaired: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "ok": self.ok,
            "shots": self.shots,
            "state": self.state,
            "repaired": list(self.repaired),
            "problems": list(self.problems),
        }


def check_store(paths: RunPaths) -> list[str]:
    """Everything wrong with `data.zarr`, one sentence each. Reads all of it."""
    try:
        # A live run's arrays follow the root: seen first, they are never ahead of it.
        own = _own_lengths(paths, read_commit(paths)["consolidated_metadata"]["metadata"])
        document = read_commit(paths)
    except RecordingError as error:
        return [str(error)]
    arrays: dict[str, Any] = document["consolidated_metadata"]["metadata"]
    attributes = document["attributes"]
    group = zarr.open_group(paths.data, mode="r", use_consolidated=True)
    problems: list[str] = []
    for name, metadata in arrays.items():
        problems += _check_lengths(name, metadata, attributes["cavitylab_commit"], own.get(name))
        problems += _check_chunks(paths, group, name, metadata)
    if problems:
        return problems
    problems += _check_events(group, arrays)
    problems += _check_provenance(group, arrays, attributes["cavitylab"])
    return problems


def describe_gap(gap: dict[str, Any]) -> str:
    """A sentence for one entry of `gaps`."""
    if gap["stream"] is None:
        return str(gap["reason"])
    end = "?" if gap["end"] is None else gap["end"]
    return f"rows {gap['first']}..{end} of {gap['stream']} are lost: {gap['reason']}"


def _own_lengths(paths: RunPaths, arrays: dict[str, Any]) -> dict[str, int | str]:
    """Length of each array by its own metadata, or why that cannot be read."""
    lengths: dict[str, int | str] = {}
    for name in arrays:
        try:
            own = json.loads(read_retrying(paths.data / name / "zarr.json"))
            lengths[name] = int(own["shape"][0])
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            lengths[name] = str(error)
    return lengths


def _check_lengths(
    name: str, metadata: dict[str, Any], commit: dict[str, Any], own: int | str | None
) -> Iterator[str]:
    length = metadata["shape"][0]
    rows = commit["rows"].get(metadata["dimension_names"][0])
    if rows is not None and rows != length:
        yield f"array {name!r} has {length} rows, its stream {rows}"
    if isinstance(own, str):
        yield f"metadata of array {name!r} cannot be read: {own}"
    elif own is not None and (own > length or (own < length and commit["state"] in FINAL_STATES)):
        yield f"array {name!r} calls itself {own} rows long, the root {length}"


def _check_chunks(
    paths: RunPaths, group: zarr.Group, name: str, metadata: dict[str, Any]
) -> Iterator[str]:
    shape, step = metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
    array: Any = group[name]
    for index, start in enumerate(range(0, shape[0], step)):
        key = chunk_key(index, len(shape))
        if not (paths.data / name / key).is_file():
            yield f"chunk {key} of array {name!r} is missing"
            continue
        try:
            rows = np.asarray(array[start : min(start + step, shape[0])])
        except Exception as error:  # codecs raise whatever they like on damaged bytes
            yield f"chunk {key} of array {name!r} cannot be read: {error}"
            continue
        if name == "status" and not rows.all():
            yield f"chunk {key} of array 'status' has rows that were never written"


def _check_events(group: zarr.Group, arrays: dict[str, Any]) -> Iterator[str]:
    for name in arrays:
        if not name.endswith("_end") or f"{name[:-4]}_json" not in arrays:
            continue
        ends = np.asarray(_any(group[name])[:])
        size = arrays[f"{name[:-4]}_json"]["shape"][0]
        if np.any(np.diff(ends, prepend=0) < 0) or (ends[-1] if ends.size else 0) != size:
            yield f"offsets in {name!r} do not fit the {size} bytes of text"
            continue
        data = np.asarray(_any(group[f"{name[:-4]}_json"])[:]).tobytes()
        starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        for row, (a, b) in enumerate(zip(starts, ends, strict=False)):
            try:
                json.loads(data[a:b])
            except ValueError as error:
                yield f"row {row} of {name[:-4]} is not JSON: {error}"


def _check_provenance(
    group: zarr.Group, arrays: dict[str, Any], summary: dict[str, Any]
) -> Iterator[str]:
    if "provenance_json" not in arrays:
        yield "provenance_json is missing"
        return
    data = np.asarray(_any(group["provenance_json"])[:]).tobytes()
    if hashlib.sha256(data).hexdigest() != summary.get("provenance_sha256"):
        yield "provenance_json does not have the hash that the root attributes state"


def _any(node: Any) -> Any:
    """zarr types a group's member as array or group; here it is an array."""
    return node
