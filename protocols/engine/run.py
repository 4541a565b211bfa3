"""`run`: one protocol on one open station, from the first step to the answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NoReturn

from ..protocol import ExperimentProtocol, OnlineEstimator
from ..recording import RunWriter
from ..sequence import compile_sequence
from ..steps import Set, Shots
from .engine import Engine, MissingRole, OnPause, Outcome
from .events import Incident, RunFinished, RunStarted, Subscriber, Subscribers
from .interrupts import Interrupts
from .records import RunRecorder, provenance_of, streams_of, write_estimates
from .result import Answer, EstimateFailed, RunResult, answer_of
from .states import State
from .until import parse_until

_log = logging.getLogger(__name__)

EndState = Literal["complete", "stopped", "failed"]
_END_STATES: dict[State, EndState] = {
    State.DONE: "complete",
    State.STOPPED: "stopped",
    State.FAILED: "failed",
}


def run(
    protocol: ExperimentProtocol,
    station: Any,
    *,
    data: str | Path = "data",
    seed: int = 0,
    until: str | None = None,
    subscribers: Iterable[Subscriber] = (),
    title: str | None = None,
    level: float = 0.95,
    tags: tuple[str, ...] = (),
    on_pause: OnPause | None = None,
    patience: float = 300.0,
) -> RunResult:
    """Run a protocol on an open station and return its answer.

    Records stream to a new run directory under ``data``; whatever happens, the station is made
    safe exactly once and nothing is written to an instrument after that.

    Args:
        protocol: What to do, with its settings.
        station: An open station, real or in rehearsal.
        data: Folder of the runs.
        seed: Seed of the protocol's random numbers.
        until: Stop condition, e.g. ``"std(phase) < 1e-4"``.
        subscribers: Called with every event of the run.
        title: Title of the run; the protocol's name by default.
        level: Confidence level of the intervals.
        tags: Tags of the run.
        on_pause: Asks the operator what to do after the first Ctrl-C: True goes on. Without it the
            first Ctrl-C stops the run after the block in progress.
        patience: Time that guards (an unlocked laser, say) may cost in all, in s.

    Raises:
        CavityLabError: The run failed; notes say where the data are, and begin with "NOT SAFE"
            where something could not be made safe.
        SequenceError, UntilError: Refused before anything was touched.
    """
    condition = None if until is None else parse_until(until, protocol.quantities)
    calibrations = station.calibrations
    estimator = protocol.estimator(calibrations)
    check_steps(protocol, station, seed)
    listeners = Subscribers(subscribers)
    interrupts = Interrupts(can_pause=on_pause is not None)
    epoch = time.time_ns()
    with interrupts.installed():
        writer = RunWriter.create(
            data,
            title or protocol.name,
            streams_of(protocol),
            provenance=provenance_of(
                protocol, station, seed=seed, until=until, level=level, tags=tags
            ),
            started=datetime.fromtimestamp(epoch / 1e9),
        )
        with writer:
            recorder = RunRecorder(writer, protocol, calibrations, epoch)
            listeners.publish(
                RunStarted(
                    run_id=writer.run_id,
                    path=writer.path,
                    protocol=protocol.name,
                    settings=protocol.settings_dict(),
                    planned=protocol.planned_shots,
                    rehearsal=station.rehearsal,
                )
            )
            engine = Engine(
                protocol,
                station,
                recorder,
                estimator,
                interrupts,
                listeners,
                seed=seed,
                until=condition,
                on_pause=on_pause,
                patience=patience,
            )
            outcome = engine.execute()
            try:
                answer, truth = _conclude(outcome, writer, recorder, engine, estimator, level)
            except BaseException as error:
                _explain(error, outcome, writer.path)
                listeners.publish(
                    RunFinished(State.FAILED, outcome.shots, outcome.unsafe, str(error))
                )
                raise
    listeners.publish(RunFinished(outcome.state, outcome.shots, outcome.unsafe, outcome.reason))
    return RunResult(
        path=writer.path,
        run_id=writer.run_id,
        shots=outcome.shots,
        state=outcome.state,
        reason=outcome.reason,
        estimate=answer.estimate,
        bounds=answer.bounds,
        gain_db=answer.gain_db,
        truth=truth,
        unsafe=outcome.unsafe,
    )


def _conclude(
    outcome: Outcome,
    writer: RunWriter,
    recorder: RunRecorder,
    engine: Engine,
    estimator: OnlineEstimator,
    level: float,
) -> tuple[Answer, dict[str, float] | None]:
    """Fit, reveal, store the answer and close the run; or store the failure and raise it."""
    if outcome.error is not None:
        _fail(outcome.error, outcome.reason, writer, recorder, engine)
    station, protocol = engine.station, engine.protocol
    answer = answer_of(protocol, station.calibrations, estimator, outcome.shots, level)
    revealed = station.reveal()
    truth = None if revealed is None else _numbers(revealed)
    _keep({**answer.to_json(), "truth": revealed}, outcome, writer, recorder, engine)
    writer.close(_END_STATES[outcome.state])
    return answer, truth


def check_steps(protocol: ExperimentProtocol, station: Any, seed: int) -> float:
    """Compile every sequence of a protocol and look up every role; touches nothing.

    Adaptive protocols are followed as if no estimate ever came.

    Returns:
        Time that the blocks take in the laboratory, in s.

    Raises:
        SequenceError, LimitError: A sequence that the station cannot play.
        MissingRole: A step addresses a role that the station does not have.
    """
    seconds = 0.0
    checked: set[tuple[Any, int]] = set()
    for step in protocol.steps(station.calibrations, seed):
        if isinstance(step, Set) and step.role not in station.roles:
            raise MissingRole.of(step.role, station.roles)
        if isinstance(step, Shots):
            seconds += step.duration
            if (step.sequence, step.shots) not in checked:
                compile_sequence(step.sequence, station.roles, step.shots)
                checked.add((step.sequence, step.shots))
    return seconds


def _fail(
    error: BaseException, reason: str, writer: RunWriter, recorder: RunRecorder, engine: Engine
) -> NoReturn:
    """Leave the failure in the run's events, close the store, and raise it."""
    try:
        recorder.event(Incident("failed", reason, engine.progress().elapsed))
        writer.close("failed")
    except Exception as second:
        # The first error is the one that explains; the second must not hide it.
        error.add_note(f"closing the run failed too: {second}")
    raise error


def _numbers(revealed: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of what a rehearsal reveals; its remarks in words stay in the file of fits."""
    return {name: value for name, value in revealed.items() if isinstance(value, int | float)}


def _keep(
    answer: dict[str, Any],
    outcome: Outcome,
    writer: RunWriter,
    recorder: RunRecorder,
    engine: Engine,
) -> None:
    """Store the answer as the run's last event and in the file of fits beside the data."""
    content = {**answer, "shots": outcome.shots}
    elapsed = engine.progress().elapsed
    recorder.event(Incident("finished", outcome.reason or "complete", elapsed, content))
    write_estimates(writer.path, content)


def _explain(error: BaseException, outcome: Outcome, path: Path) -> None:
    if isinstance(error, EstimateFailed):
        error.add_note(f"the data are complete; fit them again with: cavitylab estimate {path}")
    elif outcome.shots:
        error.add_note(f"{outcome.shots} good shots are kept in {path}")
    for line in outcome.unsafe:
        error.add_note(f"NOT SAFE: {line}")
