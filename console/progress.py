"""Progress of a run on the terminal: a live bar for people, plain lines for pipes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

    from ..protocols.engine.events import Progress, RunEvent


_QUIET = frozenset({"checkpoint", "note", "estimate", "finished"})
"""Incidents that the record keeps and a person at the terminal need not read."""


def _running(event: Progress) -> str:
    if event.estimate is None:
        return "first estimate after this block"
    name, quantity = next(iter(event.estimate.quantities.items()))
    return f"{name} = {quantity}"


def duration(seconds: float | None) -> str:
    """A duration as a person says it: ``42 s``, ``3 min 10 s``, ``2 h 05 min``; ``?`` for None."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


class LiveProgress:
    """A bar with shots, time left in the laboratory, and the running estimate."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("shots  [dim]{task.fields[left]}[/]  {task.fields[running]}"),
            console=console,
        )
        self._task: int | None = None

    def __call__(self, event: RunEvent) -> None:
        from ..protocols.engine import events

        match event:
            case events.RunStarted():
                self._bar.start()
                self._task = self._bar.add_task(
                    event.protocol, total=event.planned, left="", running=""
                )
            case events.Progress() if self._task is not None:
                # A rehearsal's virtual clock runs ahead: the person waits by the wall clock.
                left = event.remaining if event.wall >= event.elapsed else event.wall_remaining
                self._bar.update(
                    self._task,  # type: ignore[arg-type]
                    completed=event.shots,
                    left=f"{duration(left)} left",
                    running=_running(event),
                )
            case events.Incident() if event.kind not in _QUIET:
                self._bar.console.print(f"[yellow]{event.kind}[/]: {event.text}")
            case events.RunFinished():
                self._bar.stop()
            case _:
                pass

    def ask_whether_to_go_on(self, event: Progress) -> bool:
        """The prompt of a paused run: True goes on, False stops into the safe state."""
        self._bar.stop()
        answer = self._bar.console.input(
            f"[bold]Paused[/] after {event.shots} of {event.planned} shots. Outputs are as they "
            "are. [bold]c[/]ontinue, or stop into the [bold]s[/]afe state? \\[c/S] "
        )
        go_on = answer.strip().lower() in {"c", "continue"}
        if go_on:
            self._bar.start()
        return go_on


class PlainProgress:
    """One line a block, for logs and pipes: ``acknowledged N`` and the running estimate."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def __call__(self, event: RunEvent) -> None:
        from ..protocols.engine import events

        match event:
            case events.RunStarted():
                self._say(f"run {event.path}")
            case events.BlockRecorded():
                self._say(f"acknowledged {event.acknowledged}")
            case events.Progress():
                self._say(
                    f"{event.shots}/{event.planned} shots, {duration(event.remaining)} of "
                    f"laboratory time left, {_running(event)}"
                )
            case events.Incident() if event.kind not in _QUIET:
                self._say(f"{event.kind}: {event.text}")
            case _:
                pass

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)
