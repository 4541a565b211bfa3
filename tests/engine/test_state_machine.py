"""Random interleavings of what can happen to a run; at its end three things always hold.

The engine runs in a thread that stops before every action on the laboratory and every append to
the disk. The machine of this test decides what happens next: the action works, a driver or the
writer fails at it, the operator presses Ctrl-C or is asked, a guard trips or recovers. Whatever it
chooses:

* the safe state is reached exactly once, and no instrument is touched after it;
* every shot that was announced as acknowledged is on disk, once, with its counts;
* a run that did not complete can be resumed, again and again, and has all of its shots, once.
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cavitylab.estimators import Estimate, Quantity
from cavitylab.instruments.errors import LinkError
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.engine import CountsGuard, resume_options, run
from cavitylab.protocols.engine import events as heard
from cavitylab.protocols.engine.interrupts import Interrupts
from cavitylab.protocols.protocol import Steps
from cavitylab.protocols.recording import Run, RunWriter, StorageError
from cavitylab.protocols.steps import Checkpoint, Note, Set, Shots, TakeEstimate, Wait

pytestmark = pytest.mark.slow

PLANNED, BLOCK = 24, 8
PATIENCE = 8.0
PROMPT = "the operator is asked"
APPEND = "append"
NEVER_FAILS = ("health", "make_safe", "timing.safe", "detector.safe", PROMPT)
"""Actions that raise nothing whatever happens (or are no action)."""


class Mean:
    """An estimator that costs nothing."""

    def __init__(self) -> None:
        self.shots = 0

    def update(self, records: Mapping[str, Any]) -> None:
        self.shots += int(np.sum(records["status"] == 1))

    def estimate(self, level: float = 0.95) -> Estimate:
        quantity = Quantity(float(self.shots), 1.0, (0.0, 1.0), level, "rad")
        return Estimate(
            estimator="mean",
            shots=self.shots,
            quantities={"phase": quantity},
            names=("phase",),
            covariance=np.eye(1),
            goodness_of_fit=None,
            diagnostics={},
            assumptions=(),
            identifiable=(0.0, 1.0),
        )


class NoBounds:
    cramer_rao_std = standard_quantum_limit_std = 1.0

    def to_json(self) -> dict[str, float]:
        return {}


class Small(RamseyEllipse):
    """All kinds of steps, and blocks that depend on the estimate."""

    def steps(self, calibrations: Any, seed: int) -> Steps:
        sequence = self.sequence()
        yield Set("gradient", "detuning_difference", 1.0)
        for taken in range(0, PLANNED, BLOCK):
            yield Shots(sequence, BLOCK, point=taken // BLOCK)
            estimate = yield TakeEstimate()
            yield Note(f"{None if estimate is None else estimate['phase'].value}")
            yield Set("gradient", "detuning_difference", float(taken))
            yield Wait(0.3)
            yield Checkpoint("block done")

    def point(self, index: int, calibrations: Any) -> Mapping[str, float]:
        return {point.name: float(index) for point in self.set_points}

    def estimator(self, calibrations: Any) -> Any:
        return Mean()

    def bounds(self, calibrations: Any, estimate: Estimate, shots: int) -> Any:
        return NoBounds()


class Machine(RuleBasedStateMachine):
    """What may happen to a run.

    Args:
        laboratory: Class of the double laboratory.
    """

    current: Machine | None = None

    def __init__(self, laboratory: type[Any]) -> None:
        super().__init__()
        self.laboratory = laboratory
        self.folder = Path(tempfile.mkdtemp())
        self.asked: queue.Queue[str | None] = queue.Queue()
        self.answers: queue.Queue[BaseException | bool | None] = queue.Queue()
        self.rng = np.random.default_rng(1)
        self.serial = 0
        self.announced: list[int] = []
        self.path: Path | None = None
        self.interrupts: list[Interrupts] = []
        self.thread: threading.Thread | None = None
        self.at: str | None = None
        self.result: Any = None
        Machine.current = self

    # ---- the engine's side, in its thread ----------------------------------------------

    def gate(self, action: str) -> bool | None:
        """Stop before an action until the machine has chosen."""
        self.asked.put(action)
        answer = self.answers.get(timeout=60)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def counts(self) -> np.ndarray:
        """Every shot has its number; a third of them are spoiled, and show it."""
        _, shots = self.station.uploaded["detector"]
        numbers = self.serial + np.arange(shots)
        self.serial += shots
        return np.stack([numbers, self.rng.random(shots) < 0.3], axis=1).astype(np.int64)

    def listen(self, event: heard.RunEvent) -> None:
        if isinstance(event, heard.RunStarted):
            self.path = event.path
        if isinstance(event, heard.BlockRecorded):
            self.announced.extend(event.counts[:, 0].tolist())

    def work(self) -> None:
        try:
            self.result = run(
                self.protocol, self.station, data=self.folder, resume=self.path,
                subscribers=[self.listen], on_pause=lambda progress: bool(self.gate(PROMPT)),
                patience=PATIENCE, guards=[CountsGuard(high=0.5, detectors=(1,))],
            )  # fmt: skip
        except BaseException as error:
            self.result = error
        finally:
            self.asked.put(None)

    # ---- the machine's side ------------------------------------------------------------

    def begin(self) -> None:
        """A new run, or the one there is."""
        options = {} if self.path is None else resume_options(self.path)
        self.station = self.laboratory(options=options)
        self.station.counts = self.counts
        did = self.station.did

        def gated(action: str, *values: object) -> None:
            self.gate(action)
            did(action, *values)

        self.station.did = gated
        self.protocol = Small(shots=PLANNED, block=BLOCK)
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()
        self.at = self.asked.get(timeout=60)

    def answer(self, what: BaseException | bool | None) -> None:
        """Let the engine do (or suffer) what it stopped at, up to its next stop."""
        self.answers.put(what)
        self.at = self.asked.get(timeout=60)
        if self.at is None:
            self.check_end()

    def check_end(self) -> None:
        """What holds at the end of every run, whatever happened to it."""
        assert self.thread is not None and self.path is not None
        self.thread.join(60)
        assert self.station.count("make_safe") == 1 and self.station.diary[-1] == "make_safe"
        stored = Run.open(self.path)
        numbers = stored.load("shot")["counts"][:, 0]
        assert np.all(np.diff(numbers) > 0), "no shot twice, and in order"
        assert set(self.announced) <= set(numbers.tolist()), "no acknowledged shot lost"
        assert len(self.announced) == len(set(self.announced)), "none announced twice"
        good = int(np.sum(stored.load("shot")["status"] == 1))
        assert good <= PLANNED and (good == PLANNED) >= (stored.state == "complete")

    @initialize()
    def start(self) -> None:
        self.begin()

    @rule(times=st.integers(1, 25))
    def step(self, times: int) -> None:
        """The next actions work; a question of the operator's is answered with yes."""
        for _ in range(times):
            if self.at is not None:
                self.answer(True if self.at == PROMPT else None)

    def running(self) -> bool:
        return self.at is not None

    def may_fail(self) -> bool:
        return self.at is not None and self.at not in (*NEVER_FAILS, APPEND)

    @precondition(may_fail)
    @rule(error=st.sampled_from([LinkError("no answer"), ZeroDivisionError("a bug")]))
    def driver_fails(self, error: Exception) -> None:
        self.answer(error)

    @precondition(lambda self: self.at == APPEND)
    @rule(lost=st.booleans())
    def writer_fails(self, lost: bool) -> None:
        """Before it took the rows, or after, when nobody can know whether they are on disk."""
        self.answer(StorageError("the disk failed") if lost else False)

    @precondition(lambda self: self.at not in (None, PROMPT))
    @rule()
    def ctrl_c(self) -> None:
        self.interrupts[-1]._on_interrupt(2, None)

    @precondition(lambda self: self.at not in (None, PROMPT))
    @rule()
    def sigterm(self) -> None:
        self.interrupts[-1]._on_terminate(15, None)

    @precondition(lambda self: self.at == PROMPT)
    @rule()
    def operator_stops(self) -> None:
        self.answer(False)

    @rule()
    def guard_trips(self) -> None:
        self.station.trouble = "not locked"

    @rule()
    def guard_recovers(self) -> None:
        self.station.trouble = ""

    @precondition(lambda self: self.at is None and self.unfinished())
    @rule()
    def resume(self) -> None:
        self.begin()

    def unfinished(self) -> bool:
        return self.path is not None and Run.open(self.path).state != "complete"

    def teardown(self) -> None:
        """Without further trouble the run, resumed if need be, ends with everything planned."""
        try:
            for _ in range(2):
                while self.at is not None:
                    self.station.trouble = ""
                    self.answer(True if self.at == PROMPT else None)
                if self.path is not None and self.unfinished():
                    self.begin()
            if self.path is not None:
                stored = Run.open(self.path)
                assert stored.state == "complete" and stored.verify().ok, self.result
                assert int(np.sum(stored.load("shot")["status"] == 1)) == PLANNED
                assert len(stored.load("block")["block_step"]) >= PLANNED / BLOCK
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def gated_append(original: Any) -> Any:
    """The writer's append, at which the machine may let it fail before or after the work."""

    def append(writer: RunWriter, stream: str, columns: Any) -> Any:
        machine = Machine.current
        if stream != "shot" or machine is None:
            return original(writer, stream, columns)
        if machine.gate(APPEND) is False:
            original(writer, stream, columns)
            raise StorageError("the disk failed, perhaps after it took the rows")
        return original(writer, stream, columns)

    return append


@pytest.mark.timeout(600)
def test_whatever_happens_the_end_is_safe_and_nothing_acknowledged_is_lost(station, monkeypatch):
    """Thirty random histories of up to thirty events each."""
    original = Interrupts.__init__

    def remember(self: Interrupts, **options: Any) -> None:
        original(self, **options)
        if Machine.current is not None:
            Machine.current.interrupts.append(self)

    monkeypatch.setattr(Interrupts, "__init__", remember)
    monkeypatch.setattr(RunWriter, "append", gated_append(RunWriter.append))
    run_state_machine_as_test(
        partial(Machine, type(station)),
        settings=settings(
            max_examples=24,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
