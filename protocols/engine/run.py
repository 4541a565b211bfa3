"""`run`: one protocol on one open station, from the first step to the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn

from ..guardian import Guardian
from ..protocol import ExperimentProtocol, OnlineEstimator
from ..recording import RunWriter
from .checked_run import CheckedRun, Wishes, check_run
from .engine import Engine
from .events import Incident, RunFinished, Subscriber, Subscribers
from .guards import Guard
from .interrupts import Interrupts
from .orders import OnPause, Outcome
from .records import RunRecorder, write_estimates
from .result import Answer, EstimateFailed, RunResult, answer_of
from .states import State

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
    seed: int | None = None,
    until: str | None = None,
    subscribers: Iterable[Subscriber] = (),
    title: str | None = None,
    level: float = 0.95,
    tags: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    on_pause: OnPause | None = None,
    patience: float = 300.0,
    guards: Iterable[Guard] = (),
    resume: str | Path | None = None,
    guardian: bool = True,
    order: Mapping[str, Any] | None = None,
) -> RunResult:
    """Run a protocol on an open station and return its answer.

    Records stream to a new run directory under ``data``; whatever happens, the station is made
    safe exactly once and nothing is written to an instrument after that.

    Args:
        protocol: What to do, with its settings.
        station: An open station, real or in rehearsal.
        data: Folder of the runs.
        seed: Seed of the protocol's random numbers; 0, or that of the run to be resumed.
        until: Stop condition, e.g. ``"std(phase) < 1e-4"``.
        subscribers: Called with every event of the run.
        title: Title of the run; the protocol's name by default.
        level: Confidence level of the intervals.
        tags: Tags of the run.
        notes: Remarks, kept as the run's first events.
        on_pause: Asks the operator what to do after the first Ctrl-C: True goes on. Without it the
            first Ctrl-C stops the run after the block in progress.
        patience: Time that guards (an unlocked laser, say) may cost in all, in s.
        guards: Further guards, besides the health of every role, those of the protocol and
            those of the station file.
        resume: Directory of a run that was interrupted, stopped or failed: the protocol is
            replayed against its records without touching an instrument, then goes on where it
            stopped. A rehearsal's station is opened with ``options=resume_options(resume)``.
        guardian: On hardware, whether a guardian process makes the station safe if this one is
            killed. A rehearsal in this process dies with its instruments and needs none.
        order: How the operator asked for it, JSON-able; kept with the run.

    Raises:
        CavityLabError: The run failed; notes say where the data are, and begin with "NOT SAFE"
            where something could not be made safe.
        ResumeError: The run cannot be resumed like this; nothing was touched.
        GuardianError: The guardian does not get ready; nothing was touched.
        SequenceError, UntilError: Refused before anything was touched.
    """
    checked = check_run(
        protocol,
        station,
        Wishes(seed, until, level, title or protocol.name, tags, notes, order, resume),
        on_pause=on_pause,
        patience=patience,
        guards=guards,
    )
    listeners = Subscribers(subscribers)
    interrupts = Interrupts(can_pause=on_pause is not None)
    with interrupts.installed(), checked.writer(data) as writer:
        recorder = checked.recorder(writer)
        with _guarded(station, writer.path, guardian) as watcher:
            listeners.publish(checked.started(writer))
            engine = _engine(checked, recorder, interrupts, listeners, watcher)
            for text in notes:
                engine.report("note", text)
            outcome = engine.execute()
        try:
            answer, truth = _conclude(outcome, writer, recorder, engine, checked.estimator, level)
        except BaseException as error:
            _explain(error, outcome, writer.path)
            listeners.publish(RunFinished(State.FAILED, outcome.shots, outcome.unsafe, str(error)))
            raise
    listeners.publish(RunFinished(outcome.state, outcome.shots, outcome.unsafe, outcome.reason))
    return _result(writer, outcome, answer, truth)


def _engine(
    checked: CheckedRun,
    recorder: RunRecorder,
    interrupts: Interrupts,
    listeners: Subscribers,
    watcher: Guardian | None,
) -> Engine:
    """The engine of a checked run."""
    return Engine(
        checked.protocol,
        checked.station,
        recorder,
        checked.estimator,
        interrupts,
        listeners,
        checked.orders,
        checked.run_time,
        guards=checked.guards,
        past=checked.past,
        guardian=watcher,
    )


def _result(
    writer: RunWriter, outcome: Outcome, answer: Answer, truth: dict[str, float] | None
) -> RunResult:
    """What the caller of `run` gets."""
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


@contextmanager
def _guarded(station: Any, run_directory: Path, wanted: bool) -> Iterator[Guardian | None]:
    """Within, a guardian watches this process; it is ready before anything is touched.

    Leaving is the goodbye: the engine has made safe what it could, and has said the rest.
    """
    if station.rehearsal or not wanted:
        yield None
        return
    watcher = Guardian.start(station.file.path, run_directory)
    try:
        watcher.await_ready()
        yield watcher
    finally:
        watcher.goodbye()


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
    translate = getattr(protocol, "truth", None)
    if revealed and translate is not None:
        revealed = {**revealed, **translate(revealed, station.calibrations)}
    # A resumed rehearsal that had no shot left to take has nothing to reveal.
    truth = _numbers(revealed) if revealed else None
    _keep({**answer.to_json(), "truth": revealed}, outcome, writer, recorder, engine)
    writer.close(_END_STATES[outcome.state])
    return answer, truth


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
