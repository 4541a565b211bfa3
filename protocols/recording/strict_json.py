"""Strict JSON: what every language can read back.

NaN becomes null and infinities the texts "Infinity" and "-Infinity", because JSON has no
numbers for them; numpy scalars and arrays, paths, times, sets and enumerations become what
they look like. Anything else is refused by name.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from typing import Any

import numpy as np

from .errors import SchemaError


def strict(value: Any, where: str = "value") -> Any:
    """`value` as plain JSON data. Raises SchemaError naming the place that has no JSON form."""
    if value is None or isinstance(value, (bool, str)) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, enum.Enum):
        return strict(value.value, where)
    if isinstance(value, (int, np.integer, np.bool_)):
        return value.item() if isinstance(value, np.generic) else int(value)
    if isinstance(value, (float, np.floating)):
        return _number(float(value))
    if isinstance(value, Mapping):
        return {_key(key, where): strict(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return strict(value.tolist(), where)
    if isinstance(value, (list, tuple)):
        return [strict(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, AbstractSet):
        return sorted((strict(item, where) for item in value), key=repr)
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: strict(getattr(value, f.name), f"{where}.{f.name}") for f in fields}
    raise SchemaError(
        f"{where} is a {type(value).__name__}, which has no JSON form; "
        "convert it to numbers, texts, lists or dictionaries first"
    )


def dumps(value: Any, where: str = "value") -> str:
    """Compact strict JSON text of `value`, keys in the order given."""
    return json.dumps(strict(value, where), allow_nan=False, separators=(",", ":"))


def canonical(value: Any, where: str = "value") -> bytes:
    """UTF-8 JSON with sorted keys: equal data give equal bytes, hence equal hashes."""
    text = json.dumps(strict(value, where), allow_nan=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def _number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _key(key: object, where: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, (str, int)) and not isinstance(key, bool):
        return str(key)
    raise SchemaError(f"{where} has the key {key!r}; JSON keys are texts")
