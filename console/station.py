"""`cavitylab station`: look at a station without moving anything."""

from __future__ import annotations

import json as jsonlib

from .exits import ExitCode


def check(station: str, *, rehearse: str | None, connect: bool, as_json: bool) -> ExitCode:
    """Validate the file; on request connect, identify every instrument, ask roles for health."""
    from rich.console import Console
    from rich.table import Table

    from ..instruments.shipped import find_file
    from ..instruments.station import Station
    from ..instruments.station_file import load_station_file

    if not connect:
        file = load_station_file(find_file(station, ".yaml"))
        if as_json:
            print(jsonlib.dumps({"station": station, "ok": True, "files": dict(file.files)}))
        else:
            print(f"{file.path}: valid, with {len(file.calibrations)} calibrations")
        return ExitCode.DONE
    with Station.open(station, rehearse=rehearse) as opened:
        identities = {name: i.get_idn() for name, i in opened.instruments.items()}
        health = opened.health()
    ok = all(h.ok for h in health.values())
    if as_json:
        document = {
            "station": station,
            "ok": ok,
            "instruments": identities,
            "health": {n: {"ok": h.ok, "text": h.text} for n, h in health.items()},
        }
        print(jsonlib.dumps(document))
        return ExitCode.DONE if ok else ExitCode.FAILED
    table = Table("instrument or role", "", "", box=None)
    for name, idn in identities.items():
        who = " ".join(str(idn.get(k) or "") for k in ("vendor", "model", "serial", "firmware"))
        table.add_row(name, "connected", who)
    for name, state in health.items():
        table.add_row(name, "[green]ok[/]" if state.ok else "[red]not ok[/]", state.text)
    Console().print(table, soft_wrap=True, highlight=False)
    return ExitCode.DONE if ok else ExitCode.FAILED
