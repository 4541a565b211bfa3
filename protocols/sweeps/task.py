"""What a worker does: one rehearsal, recorded as a run of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...instruments.station import Station
from ..engine import RunResult, State, events, run
from .outcome import RUNS, TaskOutcome, put_outcome, read_outcome
from .plan import protocol_class

_ONE_STATION = threading.Lock()
"""One process has one station: threads of a worker that has several take turns."""


@dataclass(frozen=True, slots=True)
class TaskOrder:
    """Everything that a worker needs to know, and nothing that depends on when it runs.

    Attributes:
        sweep: The sweep's folder, which the worker must see under the same path.
        sweep_id: Identity of the sweep; a tag of the run.
        version: Version of cavitylab that gave the order.
        task: Number of the task.
        protocol: Name as in `SweepPlan`.
        settings: Settings of the protocol.
        seed: Seed of the protocol and of the laboratory.
        station: Station file.
        laboratory: Laboratory file.
        options: Options of the simulated laboratory.
        until: Stop condition.
        level: Confidence level.
    """

    sweep: str
    sweep_id: str
    version: str
    task: int
    protocol: str
    settings: Mapping[str, Any]
    seed: int
    station: str
    laboratory: str
    options: Mapping[str, str]
    until: str | None
    level: float


class _Watch:
    """Remembers where the run is and what the laboratory's clock says."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.elapsed = 0.0

    def __call__(self, event: events.RunEvent) -> None:
        if isinstance(event, events.RunStarted):
            self.path = event.path
        elif isinstance(event, events.Progress | events.Incident):
            self.elapsed = max(self.elapsed, event.elapsed)


def perform(order: TaskOrder) -> TaskOutcome:
    """Rehearse one task; a task that is done already is not done again.

    An error of the run is an outcome, not an exception: it would be the same on every worker.
    """
    sweep = Path(order.sweep)
    watch = _Watch()
    begun = time.perf_counter()
    try:
        _check_version(order.version)
        found = read_outcome(sweep, order.task)
        if found is not None:
            return found
        with _ONE_STATION:
            result = _rehearse(order, sweep, watch)
    except Exception as error:
        return TaskOutcome(
            order.task,
            "failed",
            run=_relative(watch.path, sweep),
            seconds=time.perf_counter() - begun,
            laboratory_seconds=watch.elapsed,
            message=f"{type(error).__name__}: {error}",
        )
    complaint = _complaint(result)
    outcome = TaskOutcome(
        order.task,
        "failed" if complaint else "done",
        run=_relative(result.path, sweep),
        shots=result.shots,
        seconds=time.perf_counter() - begun,
        laboratory_seconds=watch.elapsed,
        message=complaint,
    )
    return outcome if complaint else put_outcome(sweep, outcome)


def _rehearse(order: TaskOrder, sweep: Path, watch: _Watch) -> RunResult:
    protocol = protocol_class(order.protocol)(**order.settings)
    with Station.open(
        order.station, rehearse=order.laboratory, seed=order.seed, options=order.options
    ) as station:
        return run(
            protocol,
            station,
            data=sweep / RUNS,
            seed=order.seed,
            until=order.until,
            level=order.level,
            subscribers=(watch,),
            title=f"{protocol.name}_{order.task}",
            tags=(f"sweep:{order.sweep_id}", f"task:{order.task}"),
        )


def _complaint(result: RunResult) -> str:
    if result.unsafe:
        return "NOT SAFE: " + "; ".join(result.unsafe)
    return "" if result.state is State.DONE else f"{result.state.name.lower()}: {result.reason}"


def _relative(path: Path | None, sweep: Path) -> str | None:
    if path is None:
        return None
    return path.resolve().relative_to(sweep.resolve()).as_posix()


def _check_version(wanted: str) -> None:
    from ... import __version__

    if __version__ != wanted:
        raise RuntimeError(
            f"this worker has cavitylab {__version__}, but the sweep was ordered by {wanted}: "
            "install the same version everywhere"
        )
