"""The engine: executes a protocol's steps on a station and always ends in the safe state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...estimators import Estimate
from ...instruments.clock import VirtualClock
from ...instruments.errors import CavityLabError
from ..guardian import Guardian
from ..protocol import ExperimentProtocol, OnlineEstimator
from ..steps import Checkpoint, Note, Set, Shots, Step, TakeEstimate, Wait
from .block import rest
from .checking import MissingRole
from .events import BlockRecorded, Incident, Progress, StateChanged, Subscribers
from .guards import Guards
from .interrupts import Interrupts, Request
from .orders import Orders, Outcome
from .past import Past, ResumeError
from .records import RunRecorder
from .run_time import RunTime, rest_between_steps, wait_until
from .shots import ShotTaker
from .states import State, StateMachine
from .until import Situation

_log = logging.getLogger(__name__)


class _Stop(Exception):
    """Leave the steps: the operator wants to stop."""


class Engine:
    """Runs one protocol once.

    Args:
        protocol: What to do.
        station: An open station.
        recorder: Where records go; when it fails, the run stops safely.
        estimator: Is fed block by block.
        interrupts: Requests of the operator.
        subscribers: Hear of everything; their failures never stop the run.
        orders: What the operator asked for.
        run_time: Dates everything.
        guards: Decide which shots count.
        past: What the run did before it was interrupted.
        guardian: The process that watches this one; None where there is nothing to protect.
    """

    def __init__(
        self,
        protocol: ExperimentProtocol,
        station: Any,
        recorder: RunRecorder,
        estimator: OnlineEstimator,
        interrupts: Interrupts,
        subscribers: Subscribers,
        orders: Orders,
        run_time: RunTime,
        *,
        guards: Guards | None = None,
        past: Past | None = None,
        guardian: Guardian | None = None,
    ) -> None:
        self._protocol = protocol
        self._station = station
        self._recorder = recorder
        self._estimator = estimator
        self._interrupts = interrupts
        self._subscribers = subscribers
        self._orders = orders
        self._time = run_time
        self._past = past if past is not None else Past()
        self._guardian = guardian
        self._machine = StateMachine(lambda old, new: subscribers.publish(StateChanged(old, new)))
        self._taker = ShotTaker(
            station,
            recorder,
            estimator,
            guards if guards is not None else Guards(()),
            self,
            orders.patience,
            self._past,
            lambda index: protocol.point(index, station.calibrations),
        )
        self._entered = self._past.last is None
        self._set_points: dict[tuple[str, str], float] = {}
        self._began_wall = time.monotonic()
        self._taking_since: tuple[float, float, int] | None = None
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
        return Outcome(state, self._taker.good, self._reason, error, unsafe)

    # ---- steps ------------------------------------------------------------------------

    def _run_steps(self) -> None:
        steps = self._protocol.steps(self._station.calibrations, self._orders.seed)
        answer: Estimate | None = None
        number = 0
        try:
            while True:
                self.obey_between_steps()
                try:
                    step = steps.send(answer)
                except StopIteration:
                    return
                replayed = self._past.covers(number)
                answer = (self._replay if replayed else self._perform)(number, step)
                if replayed and not self._past.covers(number + 1):
                    self._taker.check_replayed()
                if isinstance(step, TakeEstimate) and not replayed and self._goal_reached():
                    return
                number += 1
        finally:
            steps.close()

    def _perform(self, number: int, step: Step) -> Estimate | None:
        match step:
            case Set():
                self._enter()
                rest_between_steps(self._station.clock)
                self._set(step)
            case Shots():
                self._enter()
                self._take(number, step, step.shots)
            case Wait():
                self._enter()
                rest(step.seconds, self._station.clock, self.obey)
            case Checkpoint():
                self._recorder.flush()
                self.report("checkpoint", step.name)
            case TakeEstimate():
                return self._take_estimate()
            case Note():
                self.report("note", step.text)
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
        self._remember(step)

    def _take(self, number: int, step: Shots, missing: int) -> None:
        if self._taking_since is None:
            now = self._station.clock.now()
            self._taking_since = now, time.monotonic(), self._taker.good
        self._taker.take(number, step, missing)

    # ---- a run that was interrupted ---------------------------------------------------

    def _replay(self, number: int, step: Step) -> Estimate | None:
        """What a step of the past left behind, from the records; touches no instrument."""
        match step:
            case Set():
                self._remember(step)
            case Shots():
                missing = self._taker.replay(number, step)
                if missing:  # it was interrupted here
                    self._enter()
                    self._take(number, step, missing)
            case TakeEstimate():
                try:
                    self._estimate = running_estimate(self._estimator)
                except Exception:  # as in the first run, whose events say so
                    return None
                return self._estimate
            case _:
                pass
        return None

    def _remember(self, step: Set) -> None:
        """Keep what is set, in the order in which it was set last."""
        self._set_points.pop((step.role, step.parameter), None)
        self._set_points[step.role, step.parameter] = step.value

    def _enter(self) -> None:
        """Before the first step that touches an instrument: be where the interrupted run was.

        A rehearsal's clock is brought to where it stood, to the last bit.
        """
        last = self._past.last
        if self._entered or last is None:
            return
        self._entered = True
        self._restore_set_points()
        self._taker.prepare()
        clock = self._station.clock
        if isinstance(clock, VirtualClock):
            if clock.now() > last.clock:
                raise ResumeError(
                    f"bringing the laboratory back took until {clock.now():g} s on its clock, "
                    f"later than the interruption at {last.clock:g} s"
                )
            wait_until(clock, last.clock)
        self._time.release()

    def _restore_set_points(self) -> None:
        for (role, parameter), value in tuple(self._set_points.items()):
            self.obey()
            self._set(Set(role, parameter, value))

    # ---- estimates --------------------------------------------------------------------

    def _take_estimate(self) -> Estimate | None:
        try:
            self._estimate = running_estimate(self._estimator)
        except Exception as error:
            _log.exception("the running estimate failed; data taking goes on")
            self.report("estimate_failed", _in_words(error))
            return None
        quantities = self._estimate.to_json()["estimates"]
        self.report("estimate", f"after {self._taker.good} shots", estimates=quantities)
        self._subscribers.publish(self.progress())
        return self._estimate

    def _goal_reached(self) -> bool:
        if self._orders.until is None:
            return False
        quantities = self._estimate.quantities if self._estimate is not None else None
        situation = Situation(self._taker.good, self._time.elapsed, quantities)
        if self._orders.until(situation):
            self._reason = f"reached {self._orders.until.text}"
            self.report("goal", self._reason)
            return True
        return False

    def progress(self) -> Progress:
        """How far the run is."""
        left: tuple[float | None, float | None] = (None, None)
        shots = self._taker.good
        lab, wall, before = self._taking_since or (0.0, 0.0, shots)
        if shots > before:
            missing = max(self._protocol.planned_shots - shots, 0) / (shots - before)
            left = (
                missing * (self._station.clock.now() - lab),
                missing * (time.monotonic() - wall),
            )
        return Progress(
            shots=shots,
            planned=self._protocol.planned_shots,
            elapsed=self._time.elapsed,
            remaining=left[0],
            estimate=self._estimate,
            wall=time.monotonic() - self._began_wall,
            wall_remaining=left[1],
        )

    # ---- the operator -----------------------------------------------------------------

    def obey(self) -> None:
        """Within a step: show that a request was heard; leave only when it says at once."""
        request = self._interrupts.request
        state = self._machine.state
        if request is Request.PAUSE and state is State.RUNNING:
            self._machine.to(State.PAUSING)
        elif request >= Request.STOP_AFTER_BLOCK and state is not State.STOPPING:
            self._machine.to(State.STOPPING)
        if request is Request.STOP_NOW:
            raise _Stop

    def obey_between_steps(self) -> None:
        """Between steps: pause or stop if that was asked for."""
        self.obey()
        if self._interrupts.request is Request.STOP_AFTER_BLOCK:
            raise _Stop
        if self._interrupts.request is Request.PAUSE:
            self._pause("paused by the operator")
        self._look_at_guardian()

    def _pause(self, why: str) -> None:
        """Ask the operator; return when the run goes on, leave the steps when it does not."""
        self._recorder.flush()
        self.hold()
        self.report("paused", why)
        go_on = False
        if self._orders.on_pause is not None:
            try:
                with self._interrupts.prompting():
                    go_on = self._orders.on_pause(self.progress())
            except (KeyboardInterrupt, EOFError):
                go_on = False
        self._interrupts.resume()
        if not go_on:
            self._interrupts.ask(Request.STOP_AFTER_BLOCK)
        self.obey()
        if not go_on:
            raise _Stop
        self.release()
        self.report("resumed", "resumed by the operator")

    def hold(self) -> None:
        """The run waits: for the operator, or for the laboratory."""
        if self._machine.state in (State.RUNNING, State.PAUSING):
            self._machine.to(State.PAUSED)

    def release(self) -> None:
        """It goes on."""
        if self._machine.state is State.PAUSED:
            self._machine.to(State.RUNNING)

    def ask_operator(self) -> bool:
        """The laboratory is unfit and patience is over: an operator may mend it and go on.

        What was set is then set again, for an interlock may have switched it off: without an
        operator nothing is ever switched on again.
        """
        self.obey_between_steps()
        if self._orders.on_pause is None:
            return False
        self._pause("paused: the laboratory has been unfit for shots for too long")
        self._restore_set_points()
        return True

    def _look_at_guardian(self) -> None:
        guardian = self._guardian
        if guardian is not None and not guardian.watches:
            self._guardian = None
            self.report("guardian_lost", "the guardian has died: a kill -9 would leave outputs on")

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

    def recorded(self, counts: NDArray[np.int32], status: NDArray[np.uint8]) -> None:
        """A block is durable."""
        self._subscribers.publish(BlockRecorded(counts, self._taker.good, status))

    def report(self, kind: str, text: str, **details: Any) -> None:
        """Put an event beside the shots, and tell the subscribers."""
        incident = Incident(kind, text, self._time.elapsed, details)
        self._recorder.event(incident)
        self._subscribers.publish(incident)


def running_estimate(estimator: OnlineEstimator) -> Estimate:
    """The estimator's quick estimate where it has one, else the full one."""
    quick: Callable[[], Estimate] = getattr(estimator, "quick", estimator.estimate)
    return quick()


def _in_words(error: BaseException) -> str:
    text = str(error)
    return text if isinstance(error, CavityLabError) else f"{type(error).__name__}: {text}"
