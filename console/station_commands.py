"""`cavitylab station …`: the commands' words and options; what they do is loaded when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .exits import errors_told

app = typer.Typer(
    help="Stations: look at the instruments, set them, make them safe.", no_args_is_help=True
)

StationName = Annotated[str, typer.Argument(help="Station file, or the name of a shipped one.")]
Rehearse = Annotated[
    str | None, typer.Option(help="Use this laboratory file (or shipped name), not hardware.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Parameter = Annotated[str, typer.Argument(help="ROLE.PARAMETER, e.g. drive.amplitude.")]


@app.command("check")
def check(
    station: StationName,
    rehearse: Rehearse = None,
    connect: Annotated[bool, typer.Option(help="Open the instruments and identify them.")] = True,
    apply: Annotated[
        bool, typer.Option("--apply", help="Set what differs from the wanted values.")
    ] = False,
    json: Json = False,
) -> None:
    """Validate a station file, connect, identify, ask for health, compare with wanted values.

    Nothing is written to an instrument unless `--apply` asks for it; outputs stay as they are.

    Exit codes: 0 all is well, 1 something is unhealthy or differs, 2 the file has mistakes.

    Example: `cavitylab station check two_ensemble --rehearse two_ensemble.lab.yaml`
    """
    from .station import check

    with errors_told():
        raise typer.Exit(
            check(station, rehearse=rehearse, connect=connect, apply=apply, as_json=json)
        )


@app.command("safe")
def safe(station: StationName, rehearse: Rehearse = None, json: Json = False) -> None:
    """Make everything safe that answers: RF off, current ramped to 0, shutters, lasers.

    Instruments that do not answer are named. Exit codes: 0 everything is safe, 4 **not
    everything could be made safe**.

    Example: `cavitylab station safe lab.yaml`
    """
    from .station import safe

    with errors_told():
        raise typer.Exit(safe(station, rehearse=rehearse, as_json=json))


@app.command("get")
def get(
    station: StationName, parameter: Parameter, rehearse: Rehearse = None, json: Json = False
) -> None:
    """Ask for one parameter of a role (or of a driver, e.g. `rf.ch1.frequency`).

    Example: `cavitylab station get lab.yaml gradient.detuning_difference`
    """
    from .station import get

    with errors_told():
        raise typer.Exit(get(station, parameter, rehearse=rehearse, as_json=json))


@app.command("set", context_settings={"ignore_unknown_options": True})
def set_(
    station: StationName,
    parameter: Parameter,
    value: Annotated[float, typer.Argument(help="In the parameter's unit.")],
    rehearse: Rehearse = None,
    json: Json = False,
) -> None:
    """Set one parameter of a role within its limits, read it back, and leave it so.

    A value outside the limits is refused and nothing is sent. Exit codes: 0 the instrument holds
    the value, 1 refused or not held, 4 **not everything could be made safe** after a failure.

    Example: `cavitylab station set lab.yaml gradient.detuning_difference -500`
    """
    from .station import set_parameter

    with errors_told():
        raise typer.Exit(set_parameter(station, parameter, value, rehearse=rehearse, as_json=json))


@app.command("monitor")
def monitor(
    station: StationName,
    rehearse: Rehearse = None,
    shots: Annotated[int, typer.Option(help="Shots averaged in each point.", min=1)] = 20,
    gate: Annotated[
        float | None,
        typer.Option(help="Seconds that each gate counts; that of the calibration by default."),
    ] = None,
    points: Annotated[int, typer.Option(help="Points to take; 0 until Ctrl-C.", min=0)] = 0,
    interval: Annotated[float, typer.Option(help="Seconds between points.", min=0.0)] = 0.2,
    json: Json = False,
) -> None:
    """Running counts and health, for alignment; stops on Ctrl-C into the safe state.

    The gates are opened with the probe light and nothing else. A live page on a terminal, a line
    for each point when piped; with --json each line is an object.

    Exit codes: 0 all points taken, 3 stopped by the user, 4 **not everything could be made safe**.

    Example: `cavitylab station monitor two_ensemble --rehearse two_ensemble --points 5`
    """
    from .station_monitor import MonitorOrder
    from .station_monitor import monitor as run_monitor

    order = MonitorOrder(station, rehearse, shots, gate, points, interval)
    with errors_told():
        raise typer.Exit(run_monitor(order, as_json=json))


@app.command("verify")
def verify(
    station: StationName,
    rehearse: Rehearse = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this instrument (repeatable).")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask before something changes an output.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the report here; verify-STATION-DATE.md by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Try on the real units what no manual states, harmless questions first; write a report.

    Before anything that changes an output you are asked, and without a terminal it is left out;
    afterwards everything is made safe.

    Exit codes: 0 all that was tried is as expected, 1 something is not, 4 **not everything could
    be made safe**.

    Example: `cavitylab station verify lab.yaml --only rf --report rf.md`
    """
    from .station_verify import VerifyOrder
    from .station_verify import verify as run_verify

    order = VerifyOrder(station, rehearse, tuple(only or ()), yes, report)
    with errors_told():
        raise typer.Exit(run_verify(order, as_json=json))


@app.command("calibrations")
def calibrations(
    station: StationName,
    update: Annotated[
        Path | None, typer.Option(help="Run of a calibration whose answer is to be written.")
    ] = None,
    largest_change: Annotated[
        float, typer.Option(help="Relative change of a scale that the gate lets pass.", min=0.0)
    ] = 0.1,
    from_rehearsal: Annotated[
        bool, typer.Option("--from-rehearsal", help="Write the numbers of a rehearsal too.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge, but write nothing.")] = False,
    json: Json = False,
) -> None:
    """List the calibrations of a station file, or update one by a run; opens no instrument.

    An update is written only if the gate accepts it: fit, warnings, largest change, the same
    version of the file as in the run. The old version is kept in the folder `versions`.

    Exit codes: 0 listed, written or accepted, 1 refused with the reasons, 2 no such run.

    Example: `cavitylab station calibrations lab.yaml --update data/RUN`
    """
    from .station_calibrations import Update
    from .station_calibrations import calibrations as list_calibrations
    from .station_calibrations import update as update_calibrations

    with errors_told():
        if update is None:
            raise typer.Exit(list_calibrations(station, as_json=json))
        order = Update(station, update, largest_change, from_rehearsal, dry_run)
        raise typer.Exit(update_calibrations(order, as_json=json))
