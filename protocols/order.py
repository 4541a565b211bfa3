"""A run as it is ordered by name: which protocol, on which station, with what settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..instruments.calibration import Calibration
from ..instruments.journal import Journal
from ..instruments.station import Station
from . import protocol_by_name, shipped_rehearsal
from .engine import ResumeError, RunResult, read_past, run
from .engine.events import Subscriber
from .engine.orders import OnPause
from .protocol import ExperimentProtocol


@dataclass(frozen=True, slots=True)
class Order:
    """What the operator asked for.

    Attributes:
        protocol: Name of the protocol.
        station: Station file or shipped name; None takes the protocol's shipped rehearsal.
        rehearse: Laboratory file or shipped name; None means hardware when a station is given.
        settings: Settings of the protocol by name.
        data: Folder of the runs.
        seed: Seed of the protocol and of the laboratory; None only with `resume`.
        until: Stop condition, e.g. ``std(phase) < 1e-3``.
        tags: Tags of the run.
        trace: File for the messages on the wire.
        title: Title of the run; the protocol's name when None.
        options: Options of the simulated laboratory (``drifts``, ``latency``, ``clock``).
        notes: Remarks to keep with the run.
        resume: Folder of an interrupted run to go on with; what else is given must be the same.
    """

    protocol: str
    station: str | None = None
    rehearse: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Path = Path("data")
    seed: int | None = 1
    until: str | None = None
    tags: tuple[str, ...] = ()
    trace: Path | None = None
    title: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    resume: Path | None = None


def resumed(order: Order) -> Order:
    """An order to resume, completed with what the interrupted run was ordered with.

    Raises:
        ResumeError: The run cannot be resumed, or does not say what it was ordered with.
    """
    if order.resume is None:
        return order
    past = read_past(order.resume)
    before = past.provenance.get("order")
    if before is None and order.station is None:
        raise ResumeError(
            f"{order.resume} was not taken by this command and does not name its station: give "
            "--station, and --rehearse if it was a rehearsal"
        )
    before = before or {}
    seed = past.provenance["seeds"]["protocol"] if order.seed is None else order.seed
    return replace(
        order,
        protocol=order.protocol or past.provenance["protocol"],
        station=order.station or before["station"],
        rehearse=order.rehearse or (None if order.station else before["rehearse"]),
        settings={**past.provenance["parameters"], **order.settings},
        seed=seed,
        options=past.laboratory_options(),
    )


def rehearse_and_run(
    order: Order, subscribers: Sequence[Subscriber], on_pause: OnPause | None = None
) -> tuple[RunResult, ExperimentProtocol, Mapping[str, Calibration]]:
    """Open the station of the order, run its protocol, and return what came of it.

    An order to resume must have been completed by `resumed`.
    """
    protocol = protocol_by_name(order.protocol)(**order.settings)
    station, rehearse = order.station, order.rehearse
    if station is None:
        station, shipped_laboratory = shipped_rehearsal(order.protocol)
        rehearse = rehearse or shipped_laboratory
    journal = Journal()
    try:
        with Station.open(
            station,
            rehearse=rehearse,
            seed=order.seed if rehearse and order.resume is None else None,
            options=order.options,
            journal=journal,
        ) as opened:
            result = run(
                protocol,
                opened,
                data=order.data,
                seed=order.seed,
                until=order.until,
                tags=order.tags,
                notes=order.notes,
                resume=order.resume,
                order={
                    "station": _lasting(station),
                    "rehearse": None if rehearse is None else _lasting(rehearse),
                },
                title=order.title,
                subscribers=subscribers,
                on_pause=on_pause,
            )
            return result, protocol, opened.calibrations
    finally:
        if order.trace is not None:
            journal.write_trace(order.trace)


def _lasting(name: str) -> str:
    """A file's absolute path, or the name of a shipped one: right from any folder."""
    path = Path(name).expanduser()
    return str(path.resolve()) if path.is_file() else name
