"""Taking the shots of a step: guarded, repeated where they may be, acknowledged before counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...instruments.errors import CavityLabError, InstrumentError, LinkError
from ..protocol import OnlineEstimator
from ..sequence import CompiledSequence, ShotSequence, compile_sequence
from ..steps import Shots
from .block import Taken, abandon_block, prepare, rest, take_block
from .guards import GuardError, Guards, Trip, in_words
from .past import Past, ResumeError, StoredBlock, digest_of
from .records import BlockFacts, RunRecorder, Status
from .run_time import rest_between_steps

REPEATS = 3
"""How often a block that went wrong is repeated before the run fails."""

GUARD_PAUSE = 1.0
"""Time between two looks at a laboratory that is not fit, in s of its clock."""


class ApparatusRefusal(CavityLabError):
    """The simulated apparatus has no honest answer to what the wires did; says why."""


class Control(Protocol):
    """What the engine does for whoever takes its shots."""

    def obey(self) -> None:
        """Look at the operator's requests within a step; raises to stop at once."""
        ...

    def obey_between_steps(self) -> None:
        """Look at them where a pause is welcome."""
        ...

    def hold(self) -> None:
        """The run waits for the laboratory."""
        ...

    def release(self) -> None:
        """It goes on."""
        ...

    def ask_operator(self) -> bool:
        """Patience is over: True when there is an operator, who chose to go on."""
        ...

    def report(self, kind: str, text: str, **details: Any) -> None:
        """Put an event beside the shots."""
        ...

    def recorded(self, counts: NDArray[np.int32], status: NDArray[np.uint8]) -> None:
        """A block is durable."""
        ...


class ShotTaker:
    """Takes blocks, and repeats of spoiled shots, until a step has all the good ones it wants.

    Args:
        station: An open station.
        recorder: Where records go.
        estimator: Is fed block by block.
        guards: Decide which shots count.
        control: The engine.
        patience: Time that guards may cost in all, in s of the laboratory's clock.
        past: What the run did before it was interrupted.
        point: Set-points of a scan point, which the estimator gets with each of its shots.
    """

    def __init__(
        self,
        station: Any,
        recorder: RunRecorder,
        estimator: OnlineEstimator,
        guards: Guards,
        control: Control,
        patience: float,
        past: Past,
        point: Callable[[int], Mapping[str, float]],
    ) -> None:
        self._station = station
        self._recorder = recorder
        self._estimator = estimator
        self._guards = guards
        self._control = control
        self._patience = self._left = patience
        self._point = point
        self._stored = past.queue()
        self._tail = past.tail
        self._compiled: dict[tuple[ShotSequence, int], CompiledSequence] = {}
        self._last: CompiledSequence | None = None
        self._fired = 0
        self._good = 0

    @property
    def good(self) -> int:
        """Good shots acknowledged, those of the past included."""
        return self._good

    # ---- the past ---------------------------------------------------------------------

    def replay(self, number: int, step: Shots) -> int:
        """Feed the estimator with what is stored of a step; how many good shots it still lacks.

        Raises:
            ResumeError: Another step took the stored shots.
        """
        missing = step.shots
        while missing and self._stored:
            block = self._stored[0]
            block.check(number, step)
            if block.planned != missing:
                raise ResumeError(
                    f"step {number} lacks {missing} shots where the stored run took {block.planned}"
                )
            self._stored.popleft()
            self._feed(block.counts, block.status, step.point)
            self._fired = block.fired
            self._last = self.compile(step.sequence, block.planned)
            missing = _spoiled(block.status)
        return missing

    def check_replayed(self) -> None:
        """Raise ResumeError when the replayed protocol did not ask for every stored block."""
        if self._stored:
            raise ResumeError(
                f"the protocol does not ask for the same again: {len(self._stored)} stored blocks, "
                f"the first of step {self._stored[0].step}, have no step any more"
            )

    def prepare(self) -> None:
        """Bring the instruments to where the last stored block left them."""
        if self._last is not None:
            prepare(self._last, self._station.roles, self._control.obey)

    # ---- the present ------------------------------------------------------------------

    def take(self, number: int, step: Shots, missing: int) -> None:
        """Take shots until ``missing`` good ones of this step are acknowledged.

        Raises:
            InstrumentError, LinkError: A block went wrong more than three times.
            GuardError: The laboratory was unfit for too long.
            ApparatusRefusal: A rehearsal has no answer to what was done.
            RecordingError, TimeoutError: The disk does not take a block.
        """
        rejected = 0
        clock = self._station.clock
        while missing:
            self._control.obey_between_steps()
            rest_between_steps(clock)
            self._await_fit()
            compiled = self.compile(step.sequence, missing)
            try:
                taken = take_block(
                    compiled, self._station.roles, clock, self._control.obey, self._count
                )
            except (InstrumentError, LinkError) as error:
                self._refuse_if_unphysical(error)
                rejected += 1
                if rejected > REPEATS:
                    raise
                self._control.report(
                    "rejected", f"block rejected and repeated: {error}", attempt=rejected
                )
                abandon_block(self._station.roles)
                continue
            status, trips = self._guards.judge(self._station, taken.counts)
            status = self._keep(number, step, taken, status)
            missing = _spoiled(status)
            if missing:
                self._repeat(missing, step.sequence.period, trips)

    def compile(self, sequence: ShotSequence, shots: int) -> CompiledSequence:
        """The instruments' programs for so many repetitions; kept for the next time."""
        key = sequence, shots
        if key not in self._compiled:
            self._compiled[key] = compile_sequence(sequence, self._station.roles, shots)
        return self._compiled[key]

    def _count(self, shots: int) -> None:
        self._fired += shots

    def _keep(
        self,
        number: int,
        step: Shots,
        taken: Taken,
        status: NDArray[np.uint8],
    ) -> NDArray[np.uint8]:
        """Record a block; its status, with what the interrupted run stored of it."""
        counts = taken.counts
        facts = BlockFacts(
            step=number,
            digest=digest_of(step),
            fired_shots=self._fired,
            fired=taken.fired,
            clock=self._station.clock.now(),
            period=step.sequence.period,
            point=step.point,
            starts=taken.starts,
        )
        tail, self._tail = self._tail, None
        if tail is None:
            self._recorder.block(counts, status, facts)
        else:
            # Its beginning is on disk, acknowledged or not: only the rest of it is added.
            begun = self._begun(tail, number, step, counts)
            counts = np.concatenate([tail.counts, counts[begun:]])
            status = np.concatenate([tail.status, status[begun:]])
            self._recorder.block(counts, status, facts, on_disk=begun)
        self._feed(counts, status, step.point)
        self._control.recorded(counts, status)
        return status

    def _begun(self, tail: StoredBlock, number: int, step: Shots, counts: NDArray[Any]) -> int:
        tail.check(number, step)
        if tail.planned != len(counts):
            raise ResumeError(
                f"step {number} takes {len(counts)} shots where the stored run had begun to write "
                f"{tail.planned}"
            )
        return len(tail.status)

    def _feed(self, counts: NDArray[np.int32], status: NDArray[np.uint8], point: int) -> None:
        columns = {name: np.full(len(status), value) for name, value in self._point(point).items()}
        self._estimator.update({**columns, "counts": counts, "status": status})
        self._good += len(status) - _spoiled(status)

    def _refuse_if_unphysical(self, error: CavityLabError) -> None:
        """A rehearsal's apparatus that has no answer will have none the next time either."""
        faults = self._station.apparatus_faults()
        if faults:
            raise ApparatusRefusal(
                f"the simulated apparatus cannot answer for this shot: {'; '.join(faults)}"
            ) from error

    # ---- guards -----------------------------------------------------------------------

    def _repeat(self, spoiled: int, period: float, trips: list[Trip]) -> None:
        """Say why shots do not count, and charge their repetition to the patience."""
        trouble = in_words(trips)
        self._control.report(
            "guard",
            f"{spoiled} shots marked as spoiled and repeated: {trouble}",
            guards=[trip.guard for trip in trips],
            spoiled=spoiled,
        )
        self._lose(spoiled * period, trouble)

    def _await_fit(self) -> None:
        """Return when no guard of the station has anything against a shot."""
        reported: set[str] = set()
        while trips := self._guards.look(self._station):
            trouble, names = in_words(trips), {trip.guard for trip in trips}
            if any(trip.hazard for trip in trips):
                raise GuardError(
                    f"made safe at once, for waiting would make it worse: {trouble}; mend it and "
                    "resume the run: what was taken before is kept"
                )
            self._control.hold()
            if names != reported:
                self._control.report("guard", f"waiting: {trouble}", guards=sorted(names))
                reported = names
            rest(GUARD_PAUSE, self._station.clock, self._control.obey)
            self._lose(GUARD_PAUSE, trouble)
            self._control.obey_between_steps()
        if reported:
            self._control.release()
            self._control.report("guard", f"going on: {', '.join(sorted(reported))} is well again")

    def _lose(self, seconds: float, trouble: str) -> None:
        self._left -= seconds
        if self._left >= 0:
            return
        if self._control.ask_operator():
            self._left = self._patience
            return
        raise GuardError(
            f"the laboratory was not fit for shots for too long ({trouble}); mend it and resume "
            "the run: what was taken before is kept"
        )


def _spoiled(status: NDArray[np.uint8]) -> int:
    """How many shots do not count."""
    return int(np.sum(status != Status.OK))
