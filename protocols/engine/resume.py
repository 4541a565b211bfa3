"""Whether an interrupted run may go on with this protocol on this station."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...instruments.clock import VirtualClock
from ..protocol import ExperimentProtocol
from .past import Past, ResumeError
from .run_time import RunTime

_SECONDS = 5.0
"""How far a rehearsal's clock may be from where it was opened, in s: connecting takes some."""


def check_same(
    past: Past,
    path: str | Path,
    protocol: ExperimentProtocol,
    station: Any,
    *,
    seed: int | None,
    until: str | None,
) -> None:
    """Compare what the run was made from with what it is to go on with.

    Raises:
        ResumeError: Naming every difference.
    """
    differences = [
        *_protocol_differences(past.provenance, protocol),
        *_order_differences(past.provenance, seed, until),
        *_station_differences(past.provenance, station),
        *_laboratory_differences(past, station),
    ]
    if differences:
        raise ResumeError(f"{path} cannot be resumed like this: " + "; ".join(differences))


def resumed_time(past: Past, station: Any) -> RunTime:
    """The time of a run that goes on: it stands still until the point of interruption is reached.

    A rehearsal stays on the time axis of its first part.
    """
    held = past.last.elapsed if past.last is not None else None
    if held is None and not isinstance(station.clock, VirtualClock):
        return RunTime.from_now(station.clock)
    began = past.provenance["began"]
    return RunTime(station.clock, int(began["epoch_ns"]), float(began["clock"]), held)


def _protocol_differences(stored: Mapping[str, Any], protocol: ExperimentProtocol) -> Iterator[str]:
    if stored["protocol"] != protocol.name:
        yield f"it was taken by protocol {stored['protocol']}, not by {protocol.name}"
        return
    before, now = stored["parameters"], protocol.settings_dict()
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield f"setting {name} was {before.get(name)!r} and is now {now.get(name)!r}"


def _order_differences(
    stored: Mapping[str, Any], seed: int | None, until: str | None
) -> Iterator[str]:
    before = stored["seeds"]["protocol"]
    if seed is not None and seed != before:
        yield f"its seed was {before} and is now {seed}"
    if until is not None and until != stored["until"]:
        yield f"its stop condition was {stored['until']!r} and is now {until!r}"


def _station_differences(stored: Mapping[str, Any], station: Any) -> Iterator[str]:
    if stored["rehearsal"] != station.rehearsal:
        kinds = {True: "a rehearsal", False: "on hardware"}
        yield f"it was {kinds[stored['rehearsal']]}, this station is {kinds[station.rehearsal]}"
        return
    before = stored["station"].get("files", {})
    now = station.snapshot().get("files", {})
    for name in sorted({*before, *now}):
        if name not in now:
            yield f"file {name} of its station is not used any more"
        elif name not in before:
            yield f"file {name} was not part of its station"
        elif before[name] != now[name]:
            yield f"file {name} has changed since"
    if before == now and stored["station_files_sha256"] != station.hash:
        yield "the station file or a calibration has changed since"


def _laboratory_differences(past: Past, station: Any) -> Iterator[str]:
    """A rehearsal must be opened where the interrupted one stood."""
    if not (past.provenance["rehearsal"] and station.rehearsal):
        return
    needed = past.laboratory_options()
    now = dict(getattr(station, "options", {}))
    wrong = [name for name in sorted({*needed, *now}) if needed.get(name) != now.get(name)]
    if wrong:
        wanted = ", ".join(f"{name}={needed.get(name, '(default)')}" for name in wrong)
        yield (
            f"the simulated laboratory must be opened with {wanted}: "
            "Station.open(..., options=resume_options(run))"
        )
    elif isinstance(station.clock, VirtualClock):
        opened = float(needed.get("time", "0"))
        if not opened <= station.clock.now() <= opened + _SECONDS:
            yield "the simulated laboratory has been used since it was opened: open it again"
