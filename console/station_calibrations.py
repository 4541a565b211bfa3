"""`cavitylab station calibrations`: what a station believes of itself; opens no instrument."""

from __future__ import annotations

import json as jsonlib
from typing import TYPE_CHECKING, Any

from .exits import ExitCode

if TYPE_CHECKING:
    from ..instruments.calibration import Calibration


def calibrations(station: str, *, as_json: bool) -> ExitCode:
    """One entry for each role that has a calibration."""
    from ..instruments.shipped import find_file
    from ..instruments.station_file import load_station_file

    file = load_station_file(find_file(station, ".yaml"))
    rows = []
    for entry in file.roles:
        one = file.calibrations.get(entry.name)
        if one is not None:
            rows.append(_row(entry.name, str(entry.init["calibration"]), one))
    if as_json:
        print(jsonlib.dumps({"station": station, "calibrations": rows}))
        return ExitCode.DONE
    for row in rows:
        values = ", ".join(
            f"{name} = {value['value']:.6g} +- {value['std']:.2g}"
            for name, value in row["parameters"].items()
        )
        print(f"{row['role']}: {row['file']} ({row['kind']}, {row['date']}): {values}")
    return ExitCode.DONE


def _row(role: str, path: str, one: Calibration) -> dict[str, Any]:
    spreads = one.covariance.diagonal() ** 0.5
    return {
        "role": role,
        "file": path,
        "kind": one.kind,
        "date": one.date.isoformat(),
        "hash": one.hash,
        "parameters": {
            name: {"value": value, "std": float(std)}
            for (name, value), std in zip(one.parameters.items(), spreads, strict=True)
        },
    }
