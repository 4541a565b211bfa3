"""The engine: executes a protocol's steps on a station and always ends in the safe state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...estimators import Estimate
from ...instruments.errors import CavityLabError, InstrumentError, LinkError
from ..protocol import ExperimentProtocol, OnlineEstimator
from ..sequence import CompiledSequence, Sequence, compile_sequence
from ..steps import Checkpoint, Note, Set, Shots, Step, TakeEstimate, Wait
from .block import abandon_block, rest, take_block
from .events import BlockRecorded, Incident, Progress, StateChanged, Subscribers
from .interrupts import Interrupts, Request
from .records import RunRecorder, Status
from .states import State, StateMachine
from .until import Situation, Until

_log = logging.getLogger(__name__)

REPEATS = 3
"""How often a block that went wrong is repeated before the run fails."""

GUARD_PAUSE = 1.0
"""Time between two looks at a role that is not healthy, in s of the laboratory's clock."""

OnPause = Callable[[Progress], bool]
"""Asks the operator of a paused run; True goes on, False stops."""


class GuardError(CavityLabError):
    """A role stayed unhealthy longer than the run's patience."""


class ApparatusRefusal(CavityLabError):
    """The simulated apparatus has no honest answer to what the wires did; says why."""


class MissingRole(CavityLabError):
    """The protocol addresses a role, or a parameter of one, that the station does not have."""

    @classmethod
    def of(cls, name: str, roles: Iterable[str]) -> MissingRole:
        """The error for one name, with the roles that there are."""
        return cls(
            f"the protocol needs role {name!r}, the station has {', '.join(sorted(roles))}: add it "
            "to the station file"
        )


class _Stop(Exception):
    """Leave the steps: the operator wants to stop."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the steps ended.

    Attributes:
        state: DONE, STOPPED or FAILED.
        shots: Good shots recorded.
        reason: Why it ended early, or which goal was reached; empty for a complete run.
        error: What failed; None unless FAILED.
        unsafe: One sentence for each role that could not be made safe.
    """

    state: State
    shots: int
    reason: str
    error: BaseException | None
    unsafe: tuple[str, ...]


class Engine:
    """Runs one protocol once.

    Args:
        protocol: What to do.
        station: An open station.
        recorder: Where records go; when it fails, the run stops safely.
        estimator: Is fed block by block.
        interrupts: Requests of the operator.
        subscribers: Hear of everything; their failures never stop the run.
        seed: Seed of the protocol's random numbers.
        until: Stop condition, looked at after each estimate.
        on_pause: Asks the operator of a paused run; None where there is none.
        patience: Time that guards may cost in all, in s of the laboratory's clock.
    """

    def __init__(
        self,
        protocol: ExperimentProtocol,
        station: Any,
        recorder: RunRecorder,
        estimator: OnlineEstimator,
        interrupts: Interrupts,
        subscribers: Subscribers,
        *,
        seed: int,
        until: Until | None = None,
        on_pause: OnPause | None = None,
        patience: float = 300.0,
    ) -> None:
        self._protocol = protocol
        self._station = station
        self._recorder = recorder
        self._estimator = estimator
        self._interrupts = interrupts
        self._subscribers = subscribers
        self._seed = seed
        self._until = until
        self._on_pause = on_pause
        self._patience = patience
        self._machine = StateMachine(lambda old, new: subscribers.publish(StateChanged(old, new)))
        self._compiled: dict[tuple[Sequence, int], CompiledSequence] = {}
        self._began = station.clock.now()
        self._began_wall = time.monotonic()
        self._taking_since: tuple[float, float] | None = None
        self._shots = 0
        self._estimate: Estimate | None = None
        self._reason = ""

    @property
    def protocol(self) -> ExperimentProtocol:
        """What it does."""
        return self._protocol

    @property
    def station(self) -> Any:
        """Where it does it."""
        return self._station

    def execute(self) -> Outcome:
        """Run all steps, then make the station safe, whatever happens; raises nothing."""
        state, error = State.DONE, None
        try:
            self._machine.to(State.RUNNING)
            self._run_steps()
        except (_Stop, KeyboardInterrupt):
            state, self._reason = State.STOPPED, "stopped by the operator"
        except BaseException as failure:  # also SystemExit: first of all, make safe
            state, error, self._reason = State.FAILED, failure, _in_words(failure)
        unsafe = self._make_safe()
        self._machine.to(state)
        return Outcome(state, self._shots, self._reason, error, unsafe)

    # ---- steps ------------------------------------------------------------------------

    def _run_steps(self) -> None:
        steps = self._protocol.steps(self._station.calibrations, self._seed)
        answer: Estimate | None = None
        try:
            while True:
                self._obey_between_steps()
                try:
                    step = steps.send(answer)
                except StopIteration:
                    return
                answer = self._perform(step)
                if isinstance(step, TakeEstimate) and self._goal_reached():
                    return
        finally:
            steps.close()

    def _perform(self, step: Step) -> Estimate | None:
        match step:
            case Set():
                self._set(step)
            case Shots():
                self._take(step)
            case Wait():
                rest(step.seconds, self._station.clock, self._obey)
            case Checkpoint():
                self._recorder.flush()
                self._report("checkpoint", step.name)
            case TakeEstimate():
                return self._take_estimate()
            case Note():
                self._report("note", step.text)
        return None

    def _set(self, step: Set) -> None:
        if step.role not in self._station.roles:
            raise MissingRole.of(step.role, self._station.roles)
        parameters = self._station.roles[step.role].parameters
        if step.parameter not in parameters:
            raise MissingRole(
                f"role {step.role!r} has no parameter {step.parameter!r}; it has "
                f"{', '.join(sorted(parameters))}"
            )
        parameters[step.parameter].set(step.value)

    # ---- blocks -----------------------------------------------------------------------

    def _take(self, step: Shots) -> None:
        compiled = self._compile(step.sequence, step.shots)
        rejected = 0
        clock = self._station.clock
        if self._taking_since is None:
            self._taking_since = clock.now(), time.monotonic()
        while True:
            self._await_health()
            try:
                counts, fired = take_block(compiled, self._station.roles, clock, self._obey)
            except (InstrumentError, LinkError) as error:
                self._refuse_if_unphysical(error)
                rejected += 1
                if rejected > REPEATS:
                    raise
                self._report("rejected", f"block rejected and repeated: {error}", attempt=rejected)
                abandon_block(self._station.roles)
                continue
            unhealthy = self._unhealthy()
            self._record(step, counts, fired, Status.UNLOCKED if unhealthy else Status.OK)
            if not unhealthy:
                return
            self._report("guard", f"block marked bad and repeated: {unhealthy}")
            self._lose(step.duration, unhealthy)

    def _record(self, step: Shots, counts: NDArray[np.int32], fired: float, status: Status) -> None:
        self._recorder.block(
            counts,
            fired=fired - self._began,
            period=step.sequence.period,
            point=step.point,
            status=status,
        )
        flags = np.full(len(counts), status.value, dtype=np.uint8)
        self._estimator.update({"counts": counts, "status": flags})
        if status is Status.OK:
            self._shots += len(counts)
        self._subscribers.publish(BlockRecorded(counts, self._shots))

    def _compile(self, sequence: Sequence, shots: int) -> CompiledSequence:
        key = sequence, shots
        if key not in self._compiled:
            self._compiled[key] = compile_sequence(sequence, self._station.roles, shots)
        return self._compiled[key]

    def _refuse_if_unphysical(self, error: CavityLabError) -> None:
        """A rehearsal's apparatus that has no answer will have none the next time either."""
        faults = self._station.apparatus_faults()
        if faults:
            raise ApparatusRefusal(
                f"the simulated apparatus cannot answer for this shot: {'; '.join(faults)}"
            ) from error

    # ---- guards -----------------------------------------------------------------------

    def _unhealthy(self) -> str:
        """What is wrong with the roles, in one sentence; empty when all are fit for a shot."""
        health = self._station.health()
        return "; ".join(f"{role}: {one.text}" for role, one in health.items() if not one.ok)

    def _await_health(self) -> None:
        reported = ""
        while trouble := self._unhealthy():
            if trouble != reported:
                self._report("guard", f"waiting: {trouble}")
                reported = trouble
            rest(GUARD_PAUSE, self._station.clock, self._obey)
            self._lose(GUARD_PAUSE, trouble)
            self._obey_between_steps()

    def _lose(self, seconds: float, trouble: str) -> None:
        self._patience -= seconds
        if self._patience < 0:
            raise GuardError(
                f"the laboratory was not fit for shots for too long ({trouble}); mend it and run "
                "again: what was taken before is kept"
            )

    # ---- estimates --------------------------------------------------------------------

    def _take_estimate(self) -> Estimate | None:
        try:
            self._estimate = running_estimate(self._estimator)
        except Exception as error:
            _log.exception("the running estimate failed; data taking goes on")
            self._report("estimate_failed", _in_words(error))
            return None
        quantities = self._estimate.to_json()["estimates"]
        self._report("estimate", f"after {self._shots} shots", estimates=quantities)
        self._subscribers.publish(self.progress())
        return self._estimate

    def _goal_reached(self) -> bool:
        if self._until is None:
            return False
        quantities = self._estimate.quantities if self._estimate is not None else None
        situation = Situation(self._shots, self._elapsed(), quantities)
        if self._until(situation):
            self._reason = f"reached {self._until.text}"
            self._report("goal", self._reason)
            return True
        return False

    def progress(self) -> Progress:
        """How far the run is."""
        left: tuple[float | None, float | None] = (None, None)
        if self._shots and self._taking_since is not None:
            missing = max(self._protocol.planned_shots - self._shots, 0) / self._shots
            lab, wall = self._taking_since
            left = (
                missing * (self._station.clock.now() - lab),
                missing * (time.monotonic() - wall),
            )
        return Progress(
            shots=self._shots,
            planned=self._protocol.planned_shots,
            elapsed=self._elapsed(),
            remaining=left[0],
            estimate=self._estimate,
            wall=time.monotonic() - self._began_wall,
            wall_remaining=left[1],
        )

    # ---- the operator -----------------------------------------------------------------

    def _obey(self) -> None:
        """Within a step: show that a request was heard; leave only when it says at once."""
        request = self._interrupts.request
        state = self._machine.state
        if request is Request.PAUSE and state is State.RUNNING:
            self._machine.to(State.PAUSING)
        elif request >= Request.STOP_AFTER_BLOCK and state is not State.STOPPING:
            self._machine.to(State.STOPPING)
        if request is Request.STOP_NOW:
            raise _Stop

    def _obey_between_steps(self) -> None:
        self._obey()
        if self._interrupts.request is Request.STOP_AFTER_BLOCK:
            raise _Stop
        if self._interrupts.request is Request.PAUSE:
            self._pause()

    def _pause(self) -> None:
        self._recorder.flush()
        self._machine.to(State.PAUSED)
        self._report("paused", "paused by the operator")
        go_on = False
        if self._on_pause is not None:
            try:
                with self._interrupts.prompting():
                    go_on = self._on_pause(self.progress())
            except (KeyboardInterrupt, EOFError):
                go_on = False
        self._interrupts.resume()
        if not go_on:
            self._interrupts.ask(Request.STOP_AFTER_BLOCK)
        self._obey()
        if not go_on:
            raise _Stop
        self._machine.to(State.RUNNING)
        self._report("resumed", "resumed by the operator")

    # ---- the end ----------------------------------------------------------------------

    def _make_safe(self) -> tuple[str, ...]:
        """Once, after every exit; from here on requests are ignored and nothing else is sent."""
        self._interrupts.ignore()
        self._machine.to(State.MAKING_SAFE)
        try:
            results = self._station.make_safe()
        except Exception as error:
            _log.exception("making the station safe failed")
            return (f"the station: {_in_words(error)}",)
        return tuple(f"{one.role}: {one.message}" for one in results if not one.ok)

    # ---- reports ----------------------------------------------------------------------

    def _elapsed(self) -> float:
        return float(self._station.clock.now() - self._began)

    def _report(self, kind: str, text: str, **details: Any) -> None:
        incident = Incident(kind, text, self._elapsed(), details)
        self._recorder.event(incident)
        self._subscribers.publish(incident)


def running_estimate(estimator: OnlineEstimator) -> Estimate:
    """The estimator's quick estimate where it has one, else the full one."""
    quick: Callable[[], Estimate] = getattr(estimator, "quick", estimator.estimate)
    return quick()


def _in_words(error: BaseException) -> str:
    text = str(error)
    return text if isinstance(error, CavityLabError) else f"{type(error).__name__}: {text}"
