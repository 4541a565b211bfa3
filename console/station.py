"""`cavitylab station check | safe | get | set`: look at a station, set it, make it safe."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .exits import ExitCode, say_error

if TYPE_CHECKING:
    from qcodes.instrument import InstrumentBase

    from ..instruments.roles.base import SafeResult
    from ..instruments.station import Station
    from ..instruments.station_wanted import Difference


# ---- check --------------------------------------------------------------------------


def check(
    station: str, *, rehearse: str | None, connect: bool, apply: bool, as_json: bool
) -> ExitCode:
    """Validate the file; connect, identify, ask roles for health, compare with wanted values."""
    from ..instruments.shipped import find_file
    from ..instruments.station import Station
    from ..instruments.station_file import load_station_file
    from ..instruments.station_wanted import apply as apply_wanted
    from ..instruments.station_wanted import differences

    if not connect:
        file = load_station_file(find_file(station, ".yaml"))
        if as_json:
            print(jsonlib.dumps({"station": station, "ok": True, "files": dict(file.files)}))
        else:
            print(f"{file.path}: valid, with {len(file.calibrations)} calibrations")
        return ExitCode.DONE
    with _looked_at(Station.open(station, rehearse=rehearse)) as opened:
        identities = {name: i.get_idn() for name, i in opened.instruments.items()}
        before = differences(opened)
        with _safe_when_failing(opened):
            after = apply_wanted(opened, before) if apply else before
        health = opened.health()
    healthy = all(h.ok for h in health.values())
    ok = healthy and all(one.agrees for one in after)
    if as_json:
        document = {
            "station": station,
            "ok": ok,
            "instruments": identities,
            "health": {n: {"ok": h.ok, "text": h.text} for n, h in health.items()},
            "wanted": [_difference_json(one) for one in after],
        }
        print(jsonlib.dumps(document))
    else:
        _print_check(identities, health)
        _print_differences(before, after, station, applied=apply)
    return ExitCode.DONE if ok else ExitCode.FAILED


def _difference_json(one: Difference) -> dict[str, Any]:
    return {
        "parameter": one.name,
        "wanted": one.wanted,
        "found": one.found,
        "unit": one.unit,
        "agrees": one.agrees,
    }


def _print_check(identities: dict[str, Any], health: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("instrument or role", "", "", box=None)
    for name, idn in identities.items():
        who = " ".join(str(idn.get(k) or "") for k in ("vendor", "model", "serial", "firmware"))
        table.add_row(name, "connected", who)
    for name, state in health.items():
        table.add_row(name, "[green]ok[/]" if state.ok else "[red]not ok[/]", state.text)
    Console().print(table, soft_wrap=True, highlight=False)


def _print_differences(
    before: Sequence[Difference], after: Sequence[Difference], station: str, *, applied: bool
) -> None:
    if not before:
        return
    print("wanted values:")
    for first, last in zip(before, after, strict=True):
        found = last.problem if last.found is None else f"{last.found:g} {last.unit}"
        if last.agrees:
            words = "set" if not first.agrees else "as wanted"
        else:
            words = f"is {found}"
        print(f"  {last.name} = {last.wanted:g} {last.unit}: {words}")
    if not applied and not all(one.agrees for one in after):
        print(f"nothing was set; `cavitylab station check {station} --apply` sets what differs")


# ---- safe ---------------------------------------------------------------------------


def safe(station: str, *, rehearse: str | None, as_json: bool) -> ExitCode:
    """Make safe whatever answers, and name loudly what does not."""
    from ..instruments.station import Station, StationBusy

    try:
        with Station.open(station, rehearse=rehearse, partial=True) as opened:
            results = opened.make_safe()
    except StationBusy as error:
        say_error(f"NOT SAFE: nothing was touched: {error}")
        return ExitCode.UNSAFE
    bad = [one for one in results if not one.ok]
    if as_json:
        rows = [{"role": one.role, "ok": one.ok, "text": one.message} for one in results]
        print(jsonlib.dumps({"station": station, "ok": not bad, "roles": rows}))
    else:
        for one in results:
            print(f"{one.role}: {'safe' if one.ok else 'NOT SAFE'}: {one.message}")
        without = [name for name in opened.unreachable if not _has_role(opened, name)]
        for name in without:
            print(f"{name}: has no role and could not be reached: {opened.unreachable[name]}")
    return say_unsafe(results)


def _has_role(station: Station, instrument: str) -> bool:
    sources = (str(entry.init["source"]) for entry in station.file.roles)
    return instrument in {source.partition(".")[0] for source in sources}


def say_unsafe(results: Sequence[SafeResult]) -> ExitCode:
    """Name loudly what could not be made safe; the exit code."""
    bad = [one for one in results if not one.ok]
    for one in bad:
        say_error(f"NOT SAFE: {one.role}: {one.message}")
    if bad:
        say_error("look at these instruments NOW")
        return ExitCode.UNSAFE
    return ExitCode.DONE


# ---- get and set --------------------------------------------------------------------


def get(station: str, parameter: str, *, rehearse: str | None, as_json: bool) -> ExitCode:
    """Ask for one parameter."""
    from ..instruments.station import Station
    from ..instruments.station_wanted import unit_of

    with _looked_at(Station.open(station, rehearse=rehearse)) as opened:
        owner, name = _find(opened, parameter)
        value = owner.parameters[name].get()
        _print_value(parameter, value, unit_of(owner, name), as_json)
    return ExitCode.DONE


def set_parameter(
    station: str, parameter: str, value: float, *, rehearse: str | None, as_json: bool
) -> ExitCode:
    """Set one parameter of a role and leave it so; after a failure everything is made safe."""
    from ..instruments.errors import LimitError
    from ..instruments.roles.base import Role
    from ..instruments.station import Station
    from ..instruments.station_wanted import set_and_confirm, unit_of

    with _looked_at(Station.open(station, rehearse=rehearse)) as opened:
        owner, name = _find(opened, parameter)
        if not isinstance(owner, Role):
            raise LimitError(
                f"{parameter} belongs to a driver, and only a role's limits make setting by hand "
                f"safe: set a parameter of a role ({_settable(opened)})"
            )
        if not getattr(owner.parameters[name], "settable", False):
            raise LimitError(f"{parameter} can only be read; to be set: {_settable(opened)}")
        with _safe_when_failing(opened):
            found = set_and_confirm(owner, name, value)
        _print_value(parameter, found, unit_of(owner, name), as_json)
    return ExitCode.DONE


def _settable(station: Station) -> str:
    names = [
        f"{role.name}.{name}"
        for role in station.roles.values()
        for name, one in role.parameters.items()
        if getattr(one, "settable", False)
    ]
    return ", ".join(names) or "none"


def _print_value(name: str, value: Any, unit: str, as_json: bool) -> None:
    if as_json:
        print(jsonlib.dumps({"parameter": name, "value": value, "unit": unit}, default=str))
    else:
        shown = f"{value:.9g}" if isinstance(value, float) else str(value)
        print(f"{name} = {shown} {unit}".rstrip())


def _find(station: Station, dotted: str) -> tuple[InstrumentBase, str]:
    """Owner and name of a parameter, e.g. `drive.amplitude` or `rf.ch1.frequency`.

    Raises:
        CavityLabError: If there is no such parameter, with the nearest name.
    """
    from ..instruments.errors import CavityLabError
    from ..instruments.yaml_lines import suggestion

    *path, name = dotted.split(".")
    owners: dict[str, Any] = {**station.roles, **station.instruments}
    owner: Any = None
    for part in path:
        if part not in owners:
            raise CavityLabError(
                f"{dotted}: there is no `{part}`{suggestion(part, owners)}; give ROLE.PARAMETER"
            )
        owner = owners[part]
        owners = dict(owner.submodules)
    if owner is None:
        known = sorted(station.roles)
        raise CavityLabError(f"{dotted}: give ROLE.PARAMETER; the roles are {', '.join(known)}")
    if name not in owner.parameters:
        raise CavityLabError(
            f"{dotted}: {'.'.join(path)} has no parameter `{name}`"
            f"{suggestion(name, owner.parameters)}"
        )
    return owner, name


# ---- leaving ------------------------------------------------------------------------


@contextmanager
def _looked_at(station: Station) -> Iterator[Station]:
    """A station whose outputs stay as they are, also after an error."""
    with station:
        try:
            yield station
        finally:
            station.leave_as_is()


@contextmanager
def _safe_when_failing(station: Station) -> Iterator[None]:
    """Make safe when setting breaks off half-way; a value that was refused changed nothing."""
    from ..instruments.errors import CalibrationError, LimitError

    try:
        yield
    except (LimitError, CalibrationError):
        raise
    except BaseException as error:
        _made_safe_after(error, station)
        raise


@contextmanager
def operated(station: Station) -> Iterator[Station]:
    """A station that is made safe on leaving; the exit code tells of what could not be."""
    with station:
        try:
            yield station
        except BaseException as error:
            _made_safe_after(error, station)
            raise


def _made_safe_after(error: BaseException, station: Station) -> None:
    """Make safe; if that fails, the exit code is that, whatever the error was."""
    if say_unsafe(station.make_safe()) is ExitCode.UNSAFE:
        say_error(str(error) or type(error).__name__)
        raise SystemExit(ExitCode.UNSAFE) from error
