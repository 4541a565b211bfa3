"""A run as Bluesky documents: start, descriptors, event pages, stop.

Whatever reads documents of the Bluesky project (callbacks, databroker, tiled, suitcase) reads a
run of ours. The documents are plain dictionaries, so nothing of Bluesky is needed to make them, and
the same run gives the same documents each time, their ids included. A run that is still growing is
followed until it ends.

```python
for name, document in documents(Run.open(path)):
    callback(name, document)
```
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np

from .recording import Run, StorageError

Document: TypeAlias = tuple[str, dict[str, Any]]
"""Kind of the document ("start", "descriptor", "event_page", "stop") and its content."""

SHOT, POINT, EVENT = "shot", "point", "event"

PRIMARY = "primary"
"""Bluesky's name for the stream of shots; the others keep their names."""

_TRIES, _PAUSE = 5, 0.05
"""A reader may meet the journal at the moment of its removal; the next look finds the store."""

_NAMESPACE = uuid.UUID("3c7c7b0e-5b1d-5a2f-9a51-0b3d6d0a7c11")
_EXIT = {"complete": "success", "failed": "fail"}
_REASONS = {"interrupted": "the recording process died; every acknowledged shot is here"}


def documents(run: Run, *, page_rows: int = 1000, poll: float = 0.05) -> Iterator[Document]:
    """All documents of a run, in order; of a live run as its rows are committed.

    Args:
        run: The run; a dead one was recovered by opening it.
        page_rows: Most rows of one event page.
        poll: Time between two looks at a live run, in s.

    Raises:
        ValueError: ``page_rows`` is less than 1.
    """
    if page_rows < 1:
        raise ValueError(f"Argument `page_rows` must be at least 1, but is {page_rows}")
    export = _Export(run, page_rows)
    yield "start", export.start()
    leading = SHOT if SHOT in run.rows else next(iter(run.rows))
    for rows in _followed(run, leading, poll):
        yield from export.others(leading, rows)
        yield from export.pages(leading, rows)
    yield from export.others(leading, {})
    yield "stop", export.stop()


@dataclass(slots=True)
class _StreamState:
    """What has been told of one stream."""

    descriptor: str
    rows: int = 0


class _Export:
    """Keeps what has been told so far."""

    def __init__(self, run: Run, page_rows: int) -> None:
        self._run = run
        self._page_rows = page_rows
        self._origin: Mapping[str, Any] = run.attrs["cavitylab"]
        self._begun = _seconds(self._origin.get("started"))
        self._latest = self._begun
        self._uid = self._id("start")
        self._streams: dict[str, _StreamState] = {}
        self._point_times: dict[int, float] = {}

    def start(self) -> dict[str, Any]:
        """The start document: where the run came from."""
        about = self._origin
        return {
            "uid": self._uid,
            "time": self._begun,
            "plan_name": str(about.get("protocol", "")),
            "plan_args": _keys_without_dots(about.get("parameters", {})),
            "title": str(self._run.attrs.get("title", "")),
            "tags": list(about.get("tags") or ()),
            "cavitylab": _keys_without_dots(about),
            "path": str(self._run.path),
            "hints": {"dimensions": [[["time"], PRIMARY]]},
        }

    def stop(self) -> dict[str, Any]:
        """The stop document: how the run ended and how many rows each stream has."""
        state = self._run.state
        counts = {_public(name): told.rows for name, told in self._streams.items()}
        return {
            "uid": self._id("stop"),
            "run_start": self._uid,
            "time": self._latest,
            "exit_status": _EXIT.get(state, "abort"),
            "reason": self._reason(state),
            "num_events": counts,
        }

    def others(self, leading: str, rows: Mapping[str, Any]) -> Iterator[Document]:
        """What the other streams have beyond what was told, up to now."""
        if leading == SHOT and rows:
            indices, first = np.unique(rows["point_index"], return_index=True)
            for index, place in zip(indices.tolist(), first.tolist(), strict=True):
                self._point_times.setdefault(index, float(rows["time"][place]) * 1e-9)
        for stream in self._run.rows:
            if stream == leading:
                continue
            told = self._streams[stream].rows if stream in self._streams else 0
            columns = _loaded(self._run, stream)
            new = {name: column[told:] for name, column in columns.items()}
            yield from self.pages(stream, new)

    def pages(self, stream: str, columns: Mapping[str, Any]) -> Iterator[Document]:
        """Event pages of new rows; the first time a descriptor before them."""
        content = _events(columns["json"]) if stream == EVENT else dict(columns)
        count = len(next(iter(content.values()), ()))
        if count == 0:
            return
        if stream not in self._streams:
            descriptor = self._descriptor(stream, content)
            self._streams[stream] = _StreamState(descriptor["uid"])
            yield "descriptor", descriptor
        told = self._streams[stream]
        times = self._times(stream, content, told.rows, count)
        if stream == EVENT:
            del content["time"]
        self._latest = max(self._latest, *times)
        for begin in range(0, count, self._page_rows):
            end = min(begin + self._page_rows, count)
            yield "event_page", self._page(stream, told, content, times, begin, end)
            told.rows += end - begin

    def _page(
        self,
        stream: str,
        told: _StreamState,
        content: Mapping[str, Any],
        times: list[float],
        begin: int,
        end: int,
    ) -> dict[str, Any]:
        numbers = range(told.rows + 1, told.rows + 1 + end - begin)
        stamps = times[begin:end]
        return {
            "descriptor": told.descriptor,
            "uid": [self._id(f"{stream}/{number}") for number in numbers],
            "seq_num": list(numbers),
            "time": stamps,
            "data": {name: _listed(column[begin:end]) for name, column in content.items()},
            "timestamps": {name: stamps for name in content},
            "filled": {},
        }

    def _descriptor(self, stream: str, content: Mapping[str, Any]) -> dict[str, Any]:
        records = self._run.records.variables
        keys: dict[str, Any] = {}
        for name, column in content.items():
            if stream == EVENT and name == "time":
                continue
            keys[name] = _data_key(column)
            keys[name]["source"] = f"cavitylab:{self._origin['run_id']}/{stream}/{name}"
            keys[name]["object_name"] = stream
            if name in records:
                keys[name].update(_about(records[name]))
        scalars = [name for name, key in keys.items() if key["dtype"] in ("number", "array")]
        return {
            "uid": self._id(f"{stream}/descriptor"),
            "run_start": self._uid,
            "time": self._begun,
            "name": _public(stream),
            "data_keys": keys,
            "object_keys": {stream: list(keys)},
            "configuration": {},
            "hints": {stream: {"fields": scalars}},
        }

    def _times(self, stream: str, content: Mapping[str, Any], told: int, count: int) -> list[float]:
        """When each row was taken, in s since 1970: its own time, or that of its first shot."""
        if "time" in content:
            stamps = (np.asarray(content["time"]) * 1e-9).tolist()
            return [stamp if stamp > 0 else self._latest for stamp in stamps]
        if stream == POINT:
            return [self._point_times.get(told + k, self._latest) for k in range(count)]
        return [self._latest] * count

    def _reason(self, state: str) -> str:
        if state in _REASONS:
            return _REASONS[state]
        if EVENT not in self._run.rows:
            return ""
        events = self._run.events()
        ends = [str(e.get("text", "")) for e in events if e.get("kind") in ("finished", "failed")]
        text = ends[-1] if ends else ""
        return "" if state == "complete" and text == "complete" else text

    def _id(self, what: str) -> str:
        """The same for the same part of the same run, and for nothing else."""
        run = f"{self._origin['run_id']}/{self._origin.get('started')}"
        return str(uuid.uuid5(_NAMESPACE, f"{run}/{what}"))


def emit(run: Run, callback: Callable[[str, dict[str, Any]], Any]) -> None:
    """Hand every document of a run to a Bluesky callback."""
    for name, document in documents(run):
        callback(name, document)


def _followed(run: Run, stream: str, poll: float) -> Iterator[Mapping[str, Any]]:
    """New rows of a stream until the run ends."""
    position, failures = 0, 0
    while True:
        try:
            for rows in run.follow(stream, start=position, poll=poll):
                position += len(next(iter(rows.values())))
                failures = 0
                yield rows
            return
        except StorageError:
            failures += 1
            if failures == _TRIES:
                raise
            time.sleep(_PAUSE)


def _loaded(run: Run, stream: str) -> Mapping[str, Any]:
    """All rows of a stream up to now."""
    for _ in range(_TRIES - 1):
        try:
            return run.load(stream)
        except StorageError:
            time.sleep(_PAUSE)
    return run.load(stream)


def _public(stream: str) -> str:
    return PRIMARY if stream == SHOT else stream


def _seconds(moment: Any) -> float:
    return datetime.fromisoformat(moment).timestamp() if isinstance(moment, str) else 0.0


def _events(texts: list[str]) -> dict[str, list[Any]]:
    """Events as columns: what every event has, and the rest as JSON text."""
    rows = [json.loads(text) for text in texts]
    usual = ("kind", "text", "time")
    details = [{k: v for k, v in row.items() if k not in usual} for row in rows]
    return {
        "time": [int(row.get("time", 0)) for row in rows],
        "kind": [str(row.get("kind", "")) for row in rows],
        "text": [str(row.get("text", "")) for row in rows],
        "details": [json.dumps(one) for one in details],
    }


def _data_key(column: Any) -> dict[str, Any]:
    """Type and shape of one row of a column."""
    if isinstance(column, list):
        return {"dtype": "string", "shape": []}
    array = np.asarray(column)
    kinds = {"f": "number", "i": "integer", "u": "integer", "b": "boolean"}
    dtype = "array" if array.ndim > 1 else kinds[array.dtype.kind]
    return {"dtype": dtype, "shape": list(array.shape[1:]), "dtype_numpy": array.dtype.str}


def _about(variable: Any) -> dict[str, Any]:
    """Unit, words and dimensions of an array of the store."""
    found: dict[str, Any] = {"dims": [str(dim) for dim in variable.dims[1:]]}
    # the reader has taken the unit of decoded times away
    units = variable.attrs.get("units", variable.encoding.get("units"))
    if units:
        found["units"] = str(units)
    for key, value in variable.attrs.items():
        if key == "long_name" or key.endswith("_names") or key.startswith("flag_"):
            found[str(key)] = value
    return found


def _listed(column: Any) -> list[Any]:
    """A column in JSON's types; what is not a number is None."""
    if isinstance(column, list):
        return column
    array = np.asarray(column)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        array = array.astype(object)
        array[~np.isfinite(np.asarray(column))] = None
    plain: list[Any] = array.tolist()
    return plain


def _keys_without_dots(content: Any) -> Any:
    """The schema allows no dot and no slash in keys, at any depth."""
    if isinstance(content, Mapping):
        return {
            str(key).replace(".", "_").replace("/", "_"): _keys_without_dots(value)
            for key, value in content.items()
        }
    if isinstance(content, list | tuple):
        return [_keys_without_dots(value) for value in content]
    return content
