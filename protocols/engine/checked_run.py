"""A run that passed its checks and has touched nothing yet: no instrument, no file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ..protocol import ExperimentProtocol, OnlineEstimator
from ..recording import RunWriter
from .checking import check_steps
from .events import RunStarted
from .guards import Guard, Guards, station_guards
from .orders import OnPause, Orders
from .past import Past, read_past
from .records import RunRecorder, provenance_of, streams_of
from .resume import check_same, resumed_time
from .run_time import RunTime
from .until import parse_until


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked of a run in words and numbers, kept with its data.

    Attributes:
        seed: Seed of the protocol's random numbers; None where the caller left it open.
        until: Stop condition; None where there is none, or where the resumed run's holds.
        level: Confidence level of the intervals.
        title: Title of the run.
        tags: Tags of the run.
        notes: Remarks, kept as the run's first events.
        order: How the operator asked for it, JSON-able.
        resume: Directory of the run that goes on; None for a new one.
    """

    seed: int | None
    until: str | None
    level: float
    title: str
    tags: tuple[str, ...]
    notes: tuple[str, ...]
    order: Mapping[str, Any] | None
    resume: str | Path | None


@dataclass(frozen=True, slots=True)
class CheckedRun:
    """What a run needs besides its store, its listeners and its signals.

    Attributes:
        protocol: What to do.
        station: Where, open.
        wishes: What was asked, with the seed and the stop condition of the run that goes on.
        orders: What the engine obeys.
        past: What the run did before it was interrupted; empty for a new one.
        estimator: Is to be fed block by block.
        guards: Decide which shots count.
        run_time: Dates everything.
        expected: Time that blocks and waits take in the laboratory, in s.
    """

    protocol: ExperimentProtocol
    station: Any
    wishes: Wishes
    orders: Orders
    past: Past
    estimator: OnlineEstimator
    guards: Guards
    run_time: RunTime
    expected: float

    def writer(self, data: str | Path) -> RunWriter:
        """The run's store, open: a new one under ``data``, or the one that goes on."""
        streams, wishes = streams_of(self.protocol), self.wishes
        if wishes.resume is not None:
            return RunWriter.resume(wishes.resume, streams)
        provenance = provenance_of(
            self.protocol,
            self.station,
            self.run_time,
            seed=self.orders.seed,
            until=wishes.until,
            level=wishes.level,
            tags=wishes.tags,
            notes=wishes.notes,
            order=wishes.order,
        )
        started = datetime.fromtimestamp(self.run_time.epoch_ns / 1e9)
        return RunWriter.create(data, wishes.title, streams, provenance=provenance, started=started)

    def recorder(self, writer: RunWriter) -> RunRecorder:
        """Where the engine puts its records."""
        calibrations = self.station.calibrations
        return RunRecorder(writer, self.protocol, calibrations, self.run_time, self.past.points)

    def started(self, writer: RunWriter) -> RunStarted:
        """The run's first event."""
        return RunStarted(
            run_id=writer.run_id,
            path=writer.path,
            protocol=self.protocol.name,
            settings=self.protocol.settings_dict(),
            planned=self.protocol.planned_shots,
            rehearsal=self.station.rehearsal,
            expected=self.expected,
            done=sum(len(block.status) for block in self.past.blocks),
        )


def check_run(
    protocol: ExperimentProtocol,
    station: Any,
    wishes: Wishes,
    *,
    on_pause: OnPause | None,
    patience: float,
    guards: Iterable[Guard],
) -> CheckedRun:
    """Read the past of a run that goes on, and refuse what cannot be run; touches nothing.

    Raises:
        ResumeError: The run cannot be resumed like this.
        SequenceError, LimitError, MissingRole: The station cannot play the protocol.
        UntilError: The stop condition.
    """
    past = Past()
    if wishes.resume is not None:
        past = read_past(wishes.resume)
        check_same(past, wishes.resume, protocol, station, seed=wishes.seed, until=wishes.until)
        stored = past.provenance
        wishes = replace(wishes, seed=stored["seeds"]["protocol"], until=stored["until"])
    seed = 0 if wishes.seed is None else wishes.seed
    until = None if wishes.until is None else parse_until(wishes.until, protocol.quantities)
    calibrations = station.calibrations
    own_guards = getattr(protocol, "guards", None)
    brought = own_guards(calibrations) if own_guards else ()
    return CheckedRun(
        protocol=protocol,
        station=station,
        wishes=wishes,
        orders=Orders(seed, until, on_pause, patience),
        past=past,
        estimator=protocol.estimator(calibrations),
        expected=check_steps(protocol, station, seed),
        guards=Guards([*brought, *station_guards(station), *guards]),
        run_time=(
            RunTime.from_now(station.clock)
            if wishes.resume is None
            else resumed_time(past, station)
        ),
    )
