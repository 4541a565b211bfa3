"""Carry out one order: open the station, run the protocol, tell the outcome."""

from __future__ import annotations

import json as jsonlib
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..protocols.order import Order, rehearse_and_run, resumed
from .exits import ExitCode, say_error

if TYPE_CHECKING:
    from rich.console import Console

    from ..protocols.engine import RunResult
    from ..protocols.engine.events import RunEvent, Subscriber
    from ..protocols.engine.orders import OnPause
    from .figures import RunningEstimate


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
