"""One run of one pseudoclock of a PrawnBlaster: trains of pulses, waits, the end.

Times are seconds on the laboratory's clock, durations in the program are cycles.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ..lines import Stretch

TIMED_OUT = 2**32 - 1
"""What `getwait` answers for a wait that no trigger ended."""

Instruction = tuple[int, int]
"""Half period and repetitions; (timeout, 0) waits, (0, 0) stops."""


@dataclass(slots=True)
class Run:
    """From its start to its end.

    Attributes:
        program: The instructions.
        frequency: Of the clock, hertz.
        time: How far it has come.
        armed: Still waits for the trigger that starts it.
        trains: Pulses so far: start, half a period [s], number.
        waits: Cycles that were left of each wait.
        done_at: Time of the end, inf until it is known.
    """

    program: Sequence[Instruction]
    frequency: float
    time: float
    armed: bool
    trains: list[tuple[float, float, int]] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    done_at: float = math.inf
    _place: int = 0
    _waiting_since: float | None = None
    _indefinite: bool = False

    def advance(self, until: float, high: Sequence[tuple[float, float]] = ()) -> None:
        """Go on to `until`; the trigger input is high in the windows `high`."""
        while math.isinf(self.done_at) and self.time < until:
            if self.armed:
                self._start(until, high)
                continue
            half, count = self._instruction()
            if count:
                self.trains.append((self.time, half / self.frequency, count))
                self.time += 2 * half * count / self.frequency
                self._place += 1
            elif half == 0:
                self.done_at = self.time
            else:
                self._wait(half, until, high)

    def _instruction(self) -> Instruction:
        return self.program[self._place] if self._place < len(self.program) else (0, 0)

    def _start(self, until: float, high: Sequence[tuple[float, float]]) -> None:
        begin = _first_high(self.time, until, high)
        self.armed = begin is None
        self.time = until if begin is None else begin

    def _wait(self, timeout: int, until: float, high: Sequence[tuple[float, float]]) -> None:
        if self._waiting_since is None:
            self._waiting_since = self.time
        deadline = self._waiting_since + timeout / self.frequency
        deadline = math.inf if self._indefinite else deadline
        came = _first_high(self.time, until, high)
        if came is not None and came <= deadline:
            if not self._indefinite:
                waited = round((came - self._waiting_since) * self.frequency)
                self.waits.append((timeout - waited) // 2 * 2)
            self._leave_wait(came, skip=not self._indefinite)
        elif deadline <= until:
            self.waits.append(TIMED_OUT)
            self._leave_wait(deadline, skip=False)
            self._indefinite = self._instruction()[1] == 0 and self._instruction()[0] > 0
        else:
            self.time = until

    def _leave_wait(self, time: float, skip: bool) -> None:
        self.time, self._waiting_since, self._indefinite = time, None, False
        self._place += 1
        half, count = self._instruction()
        if skip and count == 0 and half > 0:
            self._place += 1  # the second of two waits is only for a first that timed out

    def cut(self, time: float) -> None:
        """Aborted at `time`: low from then on."""
        kept = []
        for start, half, count in self.trains:
            if start < time:
                kept.append((start, half, min(count, math.ceil((time - start) / (2 * half)))))
        self.trains, self.done_at = kept, min(self.done_at, time)

    def duration(self) -> float:
        """Seconds of the whole program if every wait times out and none is indefinite."""
        cycles = sum(2 * half * count if count else half for half, count in self.program)
        return cycles / self.frequency

    def pulses(self, start: float, stop: float) -> int:
        """Number of pulses between two times."""
        return sum(len(_indices(one, start, stop)) for one in self.trains)

    def high(self, start: float, stop: float) -> Iterator[Stretch]:
        """When the output is high, relative to `start`."""
        for train in self.trains:
            begin, half, _ = train
            for number in _indices(train, start, stop):
                rise = begin + 2 * half * number - start
                yield Stretch(max(rise, 0.0), min(rise + half, stop - start), True)


def _indices(train: tuple[float, float, int], start: float, stop: float) -> range:
    begin, half, count = train
    first = math.floor((start - begin - half) / (2 * half) + 1e-9) + 1
    last = math.ceil((stop - begin) / (2 * half) - 1e-9)
    return range(max(first, 0), max(min(last, count), 0))


def _first_high(time: float, until: float, high: Sequence[tuple[float, float]]) -> float | None:
    for start, stop in high:
        if stop > time and max(start, time) < until:
            return max(start, time)
    return None
