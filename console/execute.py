"""Carry out one order: open the station, run the protocol, tell the outcome."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .exits import ExitCode, say_error

if TYPE_CHECKING:
    from rich.console import Console

    from ..instruments.calibration import Calibration
    from ..protocols.engine import RunResult
    from ..protocols.engine.events import RunEvent, Subscriber
    from ..protocols.engine.orders import OnPause
    from ..protocols.protocol import ExperimentProtocol
    from .figures import RunningEstimate


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
    from ..protocols.engine import ResumeError, read_past

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


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """``key=value`` texts as a dict; values are read as JSON where they are, else as text."""
    from ..instruments.errors import StationFileError

    out: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise StationFileError(f"--set takes key=value, but got {pair!r}")
        try:
            out[key.strip()] = jsonlib.loads(text)
        except ValueError:
            out[key.strip()] = text.strip()
    return out


def rehearse_and_run(
    order: Order, subscribers: Sequence[Subscriber], on_pause: OnPause | None = None
) -> tuple[RunResult, ExperimentProtocol, Mapping[str, Calibration]]:
    """Open the station of the order, run its protocol, and return what came of it.

    An order to resume must have been completed by `resumed`.
    """
    from ..instruments.journal import Journal
    from ..instruments.station import Station
    from ..protocols import protocol_by_name, shipped_rehearsal
    from ..protocols.engine import run

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


def run_document(result: RunResult) -> dict[str, Any]:
    """The stable JSON form of a run (docs: the commands' JSON forms)."""
    document: dict[str, Any] = {
        "run": str(result.path),
        "shots": result.shots,
        "estimates": result.estimate.to_json()["estimates"] if result.estimate else {},
    }
    if result.truth is not None:
        document["truth"] = dict(result.truth)
    if result.bounds is not None:
        document["bounds"] = {
            "cramer_rao_std": result.bounds.cramer_rao_std,
            "standard_quantum_limit_std": result.bounds.standard_quantum_limit_std,
        }
    document["gain_db"] = result.gain_db
    return document


class Announcement:
    """Says, before anything is touched, how many shots and how long."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, event: RunEvent) -> None:
        from ..protocols.engine import events
        from .progress import duration

        if not isinstance(event, events.RunStarted):
            return
        text = f"{event.planned} shots, about {duration(event.expected)} in the laboratory"
        if event.rehearsal:
            text += " (a rehearsal's clock runs ahead)"
        if event.done:
            text += f"; {event.done} shots are there from before"
        self._console.print(f"{text}.", highlight=False, soft_wrap=True)


class History:
    """Keeps the running estimates of the headline quantity for the figure."""

    def __init__(self) -> None:
        self.estimates: list[RunningEstimate] = []

    def __call__(self, event: RunEvent) -> None:
        from ..protocols.engine import events
        from .figures import RunningEstimate

        if isinstance(event, events.Progress) and event.estimate is not None:
            headline = next(iter(event.estimate.quantities.values()))
            low, high = headline.interval
            self.estimates.append(RunningEstimate(event.shots, headline.value, low, high))


def execute(order: Order, *, as_json: bool, with_figure: bool) -> ExitCode:
    """Run the order with progress on the terminal; the exit code of the command."""
    from rich.console import Console

    from ..protocols.engine.states import State
    from .progress import LiveProgress, PlainProgress
    from .reports import report_of
    from .summary import opening_line, summarise

    begun = time.perf_counter()
    console = Console(stderr=as_json)
    history = History()
    progress: Subscriber
    on_pause: OnPause | None = None
    if console.is_terminal:
        progress = bar = LiveProgress(console)
        # Without somebody who can answer, the first Ctrl-C stops instead of asking.
        on_pause = bar.ask_whether_to_go_on if sys.stdin.isatty() else None
    else:
        progress = PlainProgress(sys.stderr if as_json else sys.stdout)
    order = resumed(order)
    console.print(opening_line(order), highlight=False)
    announcement = Announcement(console)
    result, protocol, _ = rehearse_and_run(order, (announcement, progress, history), on_pause)
    figure = None
    if with_figure and result.estimate is not None:
        path = result.path / "figure.png"
        figure = report_of(protocol).figure(path, result, protocol, history.estimates)
    if as_json:
        print(jsonlib.dumps(run_document(result), allow_nan=False))
    else:
        summarise(console, result, protocol, figure, time.perf_counter() - begun)
    if result.unsafe:
        for line in result.unsafe:
            say_error(f"NOT SAFE: {line}")
        return ExitCode.UNSAFE
    return ExitCode.DONE if result.state is State.DONE else ExitCode.STOPPED
