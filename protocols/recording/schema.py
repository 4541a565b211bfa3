"""Streams and fields: what a run will record, declared before the first row.

A *stream* is an append-only table (`shot`, `point`, `monitor`, `event`); its *fields* become
arrays of one flat zarr group that share the stream's leading dimension. A text field, always called
`json`, becomes two arrays: all UTF-8 bytes end to end, and where each row ends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .errors import SchemaError
from .strict_json import strict

TEXT = "text"
TAG = "tag"
"""Kind of an event whose `tag` belongs to the run as a whole."""
MISSING = 255
"""Status of a row whose record was lost or damaged."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_TRACE_ROW_BYTES = 1024
_SCALAR_CHUNK_BYTES = 1 << 20
_TRACE_CHUNK_BYTES = 4 << 20
_TEXT_CHUNK_BYTES = 1 << 18
_CONVENTIONAL: dict[str, dict[str, Any]] = {
    "time": {
        "units": "nanoseconds since 1970-01-01",
        "calendar": "proleptic_gregorian",
        "long_name": "time of the shot",
    },
    "point_index": {"long_name": "row of the scan point"},
    "status": {
        "flag_values": [1, 2, 3, 4, MISSING],
        "flag_meanings": "ok aborted saturated unlocked missing",
        "long_name": "what became of the shot",
    },
}
_COORDINATES = {"time", "point_index"}


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a stream.

    `dtype` is a numpy type ("i4", "f8", …; stored little-endian) or "text". `dims` names the
    dimensions behind the leading one, each with its length or with the names along it
    (`{"detector": ["north", "south"]}`). `unit` and `long_name` become attributes. The names
    `time` (i8, ns since 1970), `status` and `point_index` bring their usual attributes along.
    """

    name: str
    dtype: DTypeLike
    dims: Mapping[str, int | Sequence[str]] = field(default_factory=dict)
    unit: str | None = None
    long_name: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    coordinate: bool | None = None

    def __post_init__(self) -> None:
        _check_name(self.name, "field")
        object.__setattr__(self, "dtype", _storage_type(self.name, self.dtype))
        dims: dict[str, int | tuple[str, ...]] = {}
        for name, extent in self.dims.items():
            _check_name(name, f"dimension of field {self.name!r}:")
            dims[name] = int(extent) if isinstance(extent, (int, np.integer)) else tuple(extent)
            if _length(dims[name]) < 1:
                raise SchemaError(f"dimension {name!r} of field {self.name!r} must not be empty")
        object.__setattr__(self, "dims", dims)
        if self.coordinate is None:
            object.__setattr__(self, "coordinate", self.name in _COORDINATES)
        if self.is_text and dims:
            raise SchemaError(f"text field {self.name!r} cannot have dimensions")

    @property
    def is_text(self) -> bool:
        return self.dtype == TEXT

    @property
    def storage_type(self) -> np.dtype[Any]:
        """The little-endian numpy type of one element (not for text)."""
        return np.dtype(self.dtype)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return tuple(_length(extent) for extent in self.dims.values())

    @property
    def row_bytes(self) -> int:
        """Bytes of one row; of a text, those of its length."""
        return 4 if self.is_text else self.storage_type.itemsize * math.prod(self.row_shape)

    @property
    def fill(self) -> Any:
        """What a missing row holds: status 255, NaN, or zero."""
        if self.name == "status":
            return MISSING
        return math.nan if self.storage_type.kind == "f" else self.storage_type.type(0).item()

    def array_attributes(self) -> dict[str, Any]:
        """Attributes of the field's array, as strict JSON."""
        attributes: dict[str, Any] = dict(_CONVENTIONAL.get(self.name, {}))
        if self.unit is not None:
            attributes["units"] = self.unit
        if self.long_name is not None:
            attributes["long_name"] = self.long_name
        for name, extent in self.dims.items():
            if isinstance(extent, tuple):
                attributes[f"{name}_names"] = list(extent)
        attributes.update(self.attributes)
        clean: dict[str, Any] = strict(attributes, f"attributes of {self.name}")
        return clean

    def to_json(self) -> dict[str, Any]:
        """Everything needed to build the same field again."""
        dims = {n: e if isinstance(e, int) else list(e) for n, e in self.dims.items()}
        return {
            "name": self.name,
            "dtype": TEXT if self.is_text else self.storage_type.str,
            "dims": dims,
            "unit": self.unit,
            "long_name": self.long_name,
            "attributes": strict(self.attributes, f"attributes of {self.name}"),
            "coordinate": self.coordinate,
        }


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One zarr array: a field's, or one of the two that hold a text field."""

    name: str
    stream: str
    dims: tuple[str, ...]
    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]
    chunk_rows: int
    fill: Any
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """Fixed values along a dimension behind the leading one, such as the times of samples.

    `name` becomes a coordinate of `dim`; `values` has one number for each place along it.
    """

    name: str
    dim: str
    values: NDArray[Any]
    unit: str | None = None
    long_name: str | None = None

    def __post_init__(self) -> None:
        _check_name(self.name, "axis")
        values = np.asarray(self.values)
        object.__setattr__(self, "values", values.astype(_storage_type(self.name, values.dtype)))
        if values.ndim != 1 or not values.size:
            raise SchemaError(f"axis {self.name!r} needs a list of numbers, got {values.shape}")

    def array(self) -> ArraySpec:
        attributes: dict[str, Any] = {"units": self.unit, "long_name": self.long_name}
        attributes = {key: value for key, value in attributes.items() if value is not None}
        kind, length = self.values.dtype, len(self.values)
        return ArraySpec(self.name, "axis", (self.dim,), kind, (), length, 0, attributes)


@dataclass(frozen=True, slots=True)
class Stream:
    """An append-only table: a name and its fields, in storage order."""

    name: str
    fields: tuple[Field, ...]

    def __init__(self, name: str, fields: Iterable[Field]) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "fields", tuple(fields))
        _check_name(name, "stream")
        names = [f.name for f in self.fields]
        if not names or len(set(names)) < len(names):
            raise SchemaError(f"stream {name!r} needs fields with different names, got {names}")
        if any(f.is_text and f.name != "json" for f in self.fields):
            raise SchemaError(f"the text field of stream {name!r} must be called 'json'")

    @property
    def row_bytes(self) -> int:
        return sum(f.row_bytes for f in self.fields)

    @property
    def chunk_rows(self) -> int:
        """The power of two in 1,024..65,536 nearest 1 MiB of the widest scalar field."""
        widths = [f.row_bytes for f in self.fields if f.row_bytes <= _TRACE_ROW_BYTES]
        power = round(math.log2(_SCALAR_CHUNK_BYTES / max(widths, default=1)))
        return 1 << min(max(power, 10), 16)

    def arrays(self) -> list[ArraySpec]:
        """The arrays that hold this stream, all but the bytes of a text one row per row."""
        specs: list[ArraySpec] = []
        for one in self.fields:
            specs.extend(self._text_arrays(one) if one.is_text else [self._array(one)])
        return specs

    def _array(self, one: Field) -> ArraySpec:
        rows = self.chunk_rows
        if one.row_bytes > _TRACE_ROW_BYTES:  # a power of two too: chunks nest in the stream's
            rows = 1 << max(0, int(math.log2(_TRACE_CHUNK_BYTES / one.row_bytes)))
        return ArraySpec(
            one.name,
            self.name,
            (self.name, *one.dims),
            one.storage_type,
            one.row_shape,
            min(rows, self.chunk_rows),
            one.fill,
            one.array_attributes(),
        )

    def _text_arrays(self, one: Field) -> list[ArraySpec]:
        attributes = one.array_attributes()
        attributes.setdefault("long_name", f"UTF-8 bytes of all {self.name} texts, end to end")
        ends = {"long_name": f"end of each {self.name} text in {self.text_bytes(one)}"}
        return [
            ArraySpec(
                self.text_bytes(one), self.name, (f"{self.name}_byte",), np.dtype("u1"), (),
                _TEXT_CHUNK_BYTES, 0, attributes,
            ),
            ArraySpec(
                self.text_ends, self.name, (self.name,), np.dtype("<i8"), (),
                self.chunk_rows, 0, ends,
            ),
        ]  # fmt: skip

    def text_bytes(self, one: Field) -> str:
        """Name of the array of bytes of a text field."""
        return f"{self.name}_{one.name}"

    @property
    def text_ends(self) -> str:
        """Name of the array of row ends of the text field."""
        return f"{self.name}_end"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "fields": [f.to_json() for f in self.fields]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Stream:
        return cls(data["name"], [Field(**one) for one in data["fields"]])


def complete_schema(streams: Iterable[Stream]) -> dict[str, Stream]:
    """The streams by name, with `event` added. Raises SchemaError when names collide."""
    schema: dict[str, Stream] = {}
    for stream in streams:
        if stream.name in schema:
            raise SchemaError(f"two streams are called {stream.name!r}")
        schema[stream.name] = stream
    if schema.setdefault(EVENT.name, EVENT) != EVENT:
        raise SchemaError("the stream name 'event' is taken by the recorder's own event stream")
    owner: dict[str, str] = {"provenance_json": "provenance"}
    extents: dict[str, int | Sequence[str]] = {}
    for stream in schema.values():
        for spec in stream.arrays():
            other = owner.setdefault(spec.name, stream.name)
            if other != stream.name:
                raise SchemaError(
                    f"{other!r} and {stream.name!r} both store {spec.name!r}; all arrays live in "
                    "one group, so give one of them another name"
                )
        for one in stream.fields:
            for dim, extent in one.dims.items():
                if extents.setdefault(dim, extent) != extent or dim in schema:
                    raise SchemaError(f"dimension {dim!r} is declared with two different lengths")
    return schema


def check_axes(axes: Iterable[Axis], schema: Mapping[str, Stream]) -> None:
    """Raises SchemaError when an axis fits no dimension, or its name is taken."""
    taken = {spec.name for stream in schema.values() for spec in stream.arrays()}
    taken |= {"provenance_json"}
    lengths = {
        dim: _length(extent)
        for stream in schema.values()
        for one in stream.fields
        for dim, extent in one.dims.items()
    }
    for axis in axes:
        if lengths.get(axis.dim) != len(axis.values) or axis.name in taken:
            raise SchemaError(
                f"axis {axis.name!r} has {len(axis.values)} values along {axis.dim!r}; the "
                f"dimensions are {lengths}, and the names {sorted(taken)} are taken"
            )
        taken.add(axis.name)


def _length(extent: int | Sequence[str]) -> int:
    return extent if isinstance(extent, int) else len(extent)


def _check_name(name: str, what: str) -> None:
    if not _NAME.match(name):
        raise SchemaError(
            f"{what} name {name!r} must start with a letter and hold letters, digits, underscores"
        )


def _storage_type(name: str, dtype: DTypeLike) -> Any:
    if dtype == TEXT:
        return TEXT
    try:
        native = np.dtype(dtype)
    except TypeError as error:
        raise SchemaError(f"field {name!r} has the unknown type {dtype!r}") from error
    if native.kind not in "biuf" or native.shape:
        raise SchemaError(
            f"field {name!r} has the type {native}; use bool, integer, float or 'text'"
        )
    return native.newbyteorder("<")


EVENT = Stream("event", [Field("json", TEXT)])
"""Guards, pauses, faults, notes, estimates: one JSON text a row. Every run has it."""
