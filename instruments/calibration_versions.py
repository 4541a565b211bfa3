"""New versions of calibration files: the old one is kept beside, the new one replaces it whole.

A file `drive_aom.yaml` keeps its name, so that station files need not change; what it said before
lies in the folder `versions` as `drive_aom.1.yaml`, `drive_aom.2.yaml`, ... Who may write is not
decided here: a gate does that.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np

from .calibration import Calibration
from .calibration_file import load_calibration, parse_calibration
from .errors import CalibrationError
from .shipped import shipped_folder
from .yaml_lines import Problems

__all__ = ["as_text", "versions_of", "write_version"]

FOLDER = "versions"
"""Name of the folder of old versions, beside the calibration files."""

_UNITS = {"P_sat": "{input}", "slope": "{output}/{input}", "gain": "{output}/atom"}
"""Units of parameters that are not simply the output's."""


def as_text(calibration: Calibration, note: str = "", comment: str = "") -> str:
    """The calibration as a file that a physicist reads and edits.

    Args:
        calibration: What it says.
        note: Where it comes from; stays with the file.
        comment: Lines at its top.
    """
    spreads = np.sqrt(np.diag(calibration.covariance))
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines += [f"kind: {calibration.kind}", f"date: {calibration.date.isoformat()}"]
    low, high = calibration.domain
    lines += [
        f"input: {{name: {json.dumps(calibration.input_name)}, unit: "
        f"{json.dumps(calibration.input_unit)}, domain: [{low:.9g}, {high:.9g}]}}",
        f"output: {{name: {json.dumps(calibration.output_name)}, unit: "
        f"{json.dumps(calibration.output_unit)}}}",
        "parameters:",
    ]
    for name, spread in zip(calibration.names, spreads, strict=True):
        unit = _UNITS.get(name, "{output}").format(
            input=calibration.input_unit, output=calibration.output_unit
        )
        value = calibration.parameters[name]
        lines.append(
            f"  {name}: {{value: {value:.12g}, unit: {json.dumps(unit)}, std: {spread:.9g}}}"
        )
    unit_free = np.where(spreads > 0, spreads, 1.0)
    correlation = calibration.covariance / np.outer(unit_free, unit_free)
    pairs = [
        f"  - [{calibration.names[i]}, {calibration.names[j]}, {correlation[i, j]:.9g}]"
        for i in range(len(spreads))
        for j in range(i)
        if correlation[i, j]
    ]
    lines += ["correlations:", *pairs] if pairs else []
    if calibration.conditions:
        stated = ", ".join(
            f"{name}: {value:.12g}" for name, value in calibration.conditions.items()
        )
        lines.append(f"conditions: {{{stated}}}")
    lines += [f"note: {json.dumps(note)}"] if note else []
    return "\n".join(lines) + "\n"


def versions_of(path: str | Path) -> list[Path]:
    """Old versions of a calibration file, the oldest first."""
    source = Path(path)
    numbered = {
        int(number): found
        for found in (source.parent / FOLDER).glob(f"{source.stem}.*{source.suffix}")
        if (number := found.stem.removeprefix(f"{source.stem}.")).isdecimal()
    }
    return [numbered[number] for number in sorted(numbered)]


def write_version(path: str | Path, calibration: Calibration, note: str = "") -> Path:
    """Put a calibration in the place of a file's; the file as it was is kept.

    After a crash at any instant the file is whole, the old one or the new one.

    Args:
        path: The calibration file in use.
        calibration: The new one, of the same kind.
        note: Where it comes from.

    Returns:
        Where the old version is kept.

    Raises:
        CalibrationError: The file travels with the package, cannot be read, is of another kind,
            or the new calibration cannot be written without loss.
    """
    source = Path(path).resolve()
    if source.is_relative_to(shipped_folder().resolve()):
        raise CalibrationError(
            f"Calibration file {source} travels with the package and is not written: copy the "
            "station file and its calibrations to a folder of your own, and name that"
        )
    old = load_calibration(source)
    if old.kind != calibration.kind:
        raise CalibrationError(
            f"Calibration file {source} is of kind {old.kind!r}, the new calibration of "
            f"{calibration.kind!r}"
        )
    folder = source.parent / FOLDER
    known = versions_of(source)
    number = int(known[-1].stem.rpartition(".")[2]) + 1 if known else 1
    kept = folder / f"{source.stem}.{number}{source.suffix}"
    comment = f"Written through the gate; the version before is {FOLDER}/{kept.name}."
    text = as_text(calibration, note, comment)
    _check_text(source, text, calibration)
    folder.mkdir(exist_ok=True)
    shutil.copy2(source, kept)
    draft = source.with_name(f"{source.name}.part")
    with draft.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, source)
    return kept


def _check_text(path: Path, text: str, calibration: Calibration) -> None:
    """Whoever reads the file must find what was meant."""
    problems = Problems()
    found = parse_calibration(path, text, problems)
    problems.raise_as(CalibrationError, f"The new version of {path} cannot be used")
    if found is None:
        raise CalibrationError(f"The new version of {path} cannot be used")
    spread = np.sqrt(np.diag(calibration.covariance))
    same = np.allclose(list(found.parameters.values()), list(calibration.parameters.values()))
    scale = np.outer(spread, spread)
    if not (
        same and np.allclose(found.covariance, calibration.covariance, atol=1e-6 * scale.max())
    ):
        raise CalibrationError(f"The new version of {path} does not read as it was meant")
