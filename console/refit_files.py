"""Records and beliefs from files: CSV, NPZ and YAML, refused with file, line and column."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[np.float64]]

_SEPARATORS = (",", ";", "\t")  # the first one in the heading; else spaces
_MISSING = ("", "na", "n/a", "null", "none")


class RecordsError(ValueError):
    """The file does not hold what an estimator needs."""


@dataclass(frozen=True, slots=True, eq=False)
class RecordsFile:
    """Columns of a file by name.

    Attributes:
        path: the file.
        columns: arrays, shots first.
        lines: line of each shot in a text file, from 1; None for an NPZ file.
    """

    path: Path
    columns: Columns
    lines: Sequence[int] | None = None

    def place(self, shot: int | None) -> str:
        """The file, and the line of a shot where there is one."""
        if shot is None or self.lines is None or not 0 <= shot < len(self.lines):
            return str(self.path)
        return f"{self.path}: line {self.lines[shot]}"


def read_records(path: Path) -> RecordsFile:
    """Columns of a CSV or NPZ file; `name_1`, `name_2`, … become one array (shots, k).

    A text file has one heading and one row a shot, with commas, semicolons, tabs or spaces in
    between; blank lines and lines that begin with # are left out. Empty cells are NaN, which is
    allowed in shots whose status is not 1.

    Raises:
        RecordsError: for an empty file, uneven rows, or what is not a number; the message
            names file, line and column.
    """
    if not path.exists():
        raise RecordsError(f"{path}: no such run or file")
    if path.suffix.lower() == ".npz":
        return RecordsFile(path, _arrays(path))
    if path.suffix.lower() == ".npy":
        raise RecordsError(
            f"{path}: holds one array without a name; save columns with np.savez(file, counts=…)"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RecordsError(f"{path}: is not a text file in UTF-8; give CSV or .npz") from None
    if "\0" in text:
        raise RecordsError(f"{path}: is not a text file; give CSV or .npz")
    return _table(path, text)


def read_beliefs(path: Path) -> dict[str, Any]:
    """Beliefs from a flat YAML file.

    Raises:
        RecordsError: when there is none, or it holds anything but `key: value` lines.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    if not path.is_file():
        raise RecordsError(f"{path}: no such file of beliefs")
    try:
        found = YAML(typ="safe").load(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise RecordsError(f"{path}: is not a text file in UTF-8") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise RecordsError(
            f"{path}{line}: is no YAML of `key: value` lines: {error.problem}"
        ) from None
    if not isinstance(found, dict):
        raise RecordsError(f"{path}: must hold `key: value` lines, see cavitylab estimate --help")
    return {
        str(key): tuple(value) if isinstance(value, list) else value for key, value in found.items()
    }


def _arrays(path: Path) -> Columns:
    """Arrays of an NPZ file, each with one entry a shot."""
    if not path.is_file():
        raise RecordsError(f"{path}: is no file")
    if not path.stat().st_size:
        raise RecordsError(f"{path}: is empty")
    if not zipfile.is_zipfile(path):
        raise RecordsError(f"{path}: is no NPZ file, or only the beginning of one; save it again")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name]) for name in arrays}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordsError(f"{path}: is no NPZ file of plain arrays ({error})") from None
    for name, array in found.items():
        if array.dtype.kind not in "biuf":
            raise RecordsError(f"{path}: array `{name}` must hold numbers, but holds {array.dtype}")
        if not array.ndim:
            raise RecordsError(
                f"{path}: array `{name}` must have one entry a shot, but is a number"
            )
    if not found or not all(array.size for array in found.values()):
        raise RecordsError(f"{path}: holds no shots")
    shots = {name: len(array) for name, array in found.items()}
    if len(set(shots.values())) > 1:
        lengths = ", ".join(f"{name} {number}" for name, number in shots.items())
        raise RecordsError(
            f"{path}: arrays must have one entry a shot, but their lengths are {lengths}"
        )
    return found


def _table(path: Path, text: str) -> RecordsFile:
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise RecordsError(f"{path}: is empty")
    rows = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
    if not rows:
        raise RecordsError(f"{path}: has comments but no heading and no shots")
    top, first = rows[0]
    separator = next((mark for mark in _SEPARATORS if mark in first), None)
    heading = [name.strip() for name in _cells(first, separator)]
    if all(_is_number(name) for name in heading):
        heading = _heading_in_comment(lines, top, separator, len(heading))
        if not heading:
            raise RecordsError(
                f"{path}:{top}: the first line must name the columns (counts_1, counts_2, …), but "
                f"is {first.strip()[:40]!r}"
            )
    else:
        rows = rows[1:]
    _refuse_heading(path, top, heading)
    if not rows:
        raise RecordsError(f"{path}: has a heading but no shots")
    numbers = [number for number, _ in rows]
    table = _numbers(path, heading, rows, separator)
    columns = _stacked(heading, table, path)
    _refuse_missing(path, heading, table, numbers, columns.get("status"))
    return RecordsFile(path, columns, numbers)


def _heading_in_comment(
    lines: Sequence[tuple[int, str]], top: int, separator: str | None, columns: int
) -> list[str]:
    """Names in the comment just above the numbers, as np.savetxt(header=…) writes them."""
    above = [line.lstrip().lstrip("#") for number, line in lines if number < top]
    names = [name.strip() for name in _cells(above[-1], separator)] if above else []
    return names if len(names) == columns else []


def _refuse_heading(path: Path, top: int, heading: Sequence[str]) -> None:
    if "" in heading:
        raise RecordsError(
            f"{path}:{top}: column {heading.index('') + 1} has no name (pandas: "
            "to_csv(…, index=False))"
        )
    if len(set(heading)) != len(heading):
        raise RecordsError(f"{path}: the heading names a column twice: {', '.join(heading)}")


def _numbers(
    path: Path, heading: Sequence[str], rows: Sequence[tuple[int, str]], separator: str | None
) -> NDArray[np.float64]:
    """(shots, columns); row by row only where the fast reader stops, to say where."""
    try:
        table = np.loadtxt(
            (line for _, line in rows), delimiter=separator, comments=None, quotechar='"', ndmin=2
        )
        if table.shape == (len(rows), len(heading)):
            return table
    except ValueError:
        pass
    found = []
    for number, line in rows:
        cells = _cells(line, separator)
        if len(cells) != len(heading):
            raise RecordsError(
                f"{path}:{number}: has {len(cells)} values for {len(heading)} columns"
            )
        found.append(
            [_number(cell, path, number, name) for cell, name in zip(cells, heading, strict=True)]
        )
    return np.asarray(found, dtype=np.float64)


def _cells(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:
        return line.split(separator)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str, path: Path, line: int, column: str) -> float:
    if text.strip().lower() in _MISSING:
        return float("nan")
    try:
        return float(text)
    except ValueError:
        hint = "; write decimals with a point" if _is_number(text.replace(",", ".")) else ""
        raise RecordsError(
            f"{path}:{line}, column {column}: {text!r} is not a number{hint}"
        ) from None


def _refuse_missing(
    path: Path,
    heading: Sequence[str],
    table: NDArray[np.float64],
    lines: Sequence[int],
    status: NDArray[np.float64] | None,
) -> None:
    """NaN and infinity belong only into shots that are marked bad."""
    wrong = ~np.isfinite(table)
    if status is not None and status.ndim == 1:
        wrong &= (status == 1)[:, None] | (np.array(heading) == "status")
    if not wrong.any():
        return
    row, place = (int(i) for i in np.argwhere(wrong)[0])
    raise RecordsError(
        f"{path}:{lines[row]}, column {heading[place]}: '{table[row, place]:g}' is not finite; "
        "mark bad shots with a status not 1"
    )


def _stacked(heading: Sequence[str], table: NDArray[np.float64], path: Path) -> Columns:
    """Columns by name; numbered ones side by side in the order of their numbers."""
    plain: Columns = {}
    numbered: dict[str, dict[int, int]] = {}
    for place, name in enumerate(heading):
        base, mark, number = name.rpartition("_")
        if mark and number.isdigit():
            numbered.setdefault(base, {})[int(number)] = place
        else:
            plain[name] = table[:, place]
    for base, places in numbered.items():
        if base in plain or sorted(places) != list(range(1, len(places) + 1)):
            raise RecordsError(
                f"{path}: the columns {base}_1, {base}_2, … must be numbered without a gap"
            )
        plain[base] = table[:, [places[number] for number in sorted(places)]]
    return plain
