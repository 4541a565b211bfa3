"""A grid scan as an array over its axes, instead of a list of points."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import SchemaError
from .schema import MISSING

if TYPE_CHECKING:
    import xarray as xr

REPETITION = "repetition"


def to_grid(records: xr.Dataset, scan: Mapping[str, Any] | None) -> xr.Dataset:
    """Shots over (axis, …, repetition), set-points over the axes.

    `scan["grid_shape"]` gives the length of each axis, by name and slowest first
    (`{"detuning": 21, "power": 5}`), or as a list (the axes are then axis_0, …): point k of the
    run is place k of the grid in C order. Repetitions are the shots of a point in the order
    taken; places without a shot have status 255, NaN, zero, or NaT. An axis along which the
    set-point of its own name changes, and no other axis does, gets it as its coordinate.

    Raises SchemaError when the run was no grid scan.
    """
    shape = _shape(scan)
    if "point_index" not in records or "shot" not in records["point_index"].dims:
        raise SchemaError("the run has no point_index: its shots belong to no grid")
    size = math.prod(shape.values())
    points = np.asarray(records["point_index"].values, np.int64)
    inside = np.flatnonzero((points >= 0) & (points < size))
    order = inside[np.argsort(points[inside], kind="stable")]
    counts = np.bincount(points[inside], minlength=size)
    starts = np.cumsum(counts) - counts
    repetition = np.arange(len(order)) - np.repeat(starts, counts)
    place = (points[order], repetition)
    most = int(counts.max(initial=0))
    return _assemble(records, shape, order, place, most)


def _shape(scan: Mapping[str, Any] | None) -> dict[str, int]:
    shape = (scan or {}).get("grid_shape")
    if not shape:
        raise SchemaError("the run was no grid scan: its provenance has no scan with a grid_shape")
    if isinstance(shape, Mapping):
        return {str(name): int(length) for name, length in shape.items()}
    return {f"axis_{k}": int(length) for k, length in enumerate(shape)}


def _assemble(
    records: xr.Dataset, shape: dict[str, int], order: Any, place: Any, most: int
) -> xr.Dataset:
    import xarray as xr

    size = math.prod(shape.values())
    lengths = tuple(shape.values())
    variables: dict[str, Any] = {}
    for key, variable in records.variables.items():
        name = str(key)
        dims, values = [str(dim) for dim in variable.dims], variable.values
        if name == "point_index":
            continue
        if dims[:1] == ["shot"]:
            grid = _blank(name, (size, most, *values.shape[1:]), values.dtype)
            grid[place] = values[order]
            grid = grid.reshape(*lengths, most, *values.shape[1:])
            variables[name] = ([*shape, REPETITION, *dims[1:]], grid, variable.attrs)
        elif dims[:1] == ["point"]:
            grid = _blank(name, (size, *values.shape[1:]), np.result_type(values.dtype, "f4"))
            count = min(size, len(values))
            grid[:count] = values[:count]
            variables[name] = (
                [*shape, *dims[1:]],
                grid.reshape(*lengths, *values.shape[1:]),
                variable.attrs,
            )
        else:
            variables[name] = (dims, values, variable.attrs)
    for axis in shape:
        if axis in variables:
            variables[axis] = _along(variables[axis], axis, shape) or variables[axis]
    kept = {name: value for name, value in variables.items() if not _clashes(name, value, shape)}
    renamed = {f"{n}_setpoint": v for n, v in variables.items() if n not in kept}
    return xr.Dataset({**kept, **renamed}, attrs=records.attrs).set_coords(
        [str(name) for name in records.coords if name in kept]
    )


def _along(variable: Any, axis: str, shape: dict[str, int]) -> Any:
    """The set-point as a coordinate of its axis, None when it changes along another one."""
    dims, values, attributes = variable
    if dims != list(shape):
        return None
    moved = np.moveaxis(values, dims.index(axis), 0).reshape(shape[axis], -1)
    seen = ~np.isnan(moved)
    if not seen.any(axis=1).all():
        return None
    line = moved[np.arange(len(moved)), seen.argmax(axis=1)]
    if not np.all((moved == line[:, None]) | ~seen):
        return None
    return ([axis], line, attributes)


def _clashes(name: str, variable: Any, shape: dict[str, int]) -> bool:
    """xarray keeps an axis' name for one-dimensional coordinates of it."""
    return name in shape and list(variable[0]) != [name]


def _blank(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    if name == "status":
        return np.full(shape, MISSING, dtype)
    if dtype.kind == "M":
        return np.full(shape, np.datetime64("NaT"), dtype)
    return np.full(shape, np.nan if dtype.kind == "f" else 0, dtype)
