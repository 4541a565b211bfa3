"""The time of a run: one axis over all its interruptions, and waiting on the laboratory's clock."""

from __future__ import annotations

import time

from ...instruments.clock import Clock, VirtualClock

BETWEEN_STEPS = 0.1
"""Rest before each step that touches instruments, in s of a virtual clock.

Drivers pace their messages by what they sent before. After this rest none has to wait any more, so
that a resumed rehearsal, which sent other things before, falls into step to the last digit.
"""


class RunTime:
    """Time since a run began.

    Args:
        clock: The laboratory's clock.
        epoch_ns: When the run began, in ns since 1970.
        began: What the laboratory's clock showed then.
        held: For a run that is replayed: where its time stands still until `release`, in s.
    """

    def __init__(
        self, clock: Clock, epoch_ns: int, began: float, held: float | None = None
    ) -> None:
        self._clock = clock
        self._epoch_ns = epoch_ns
        self._began = began
        self._held = held

    @classmethod
    def from_now(cls, clock: Clock) -> RunTime:
        """A run that begins now."""
        return cls(clock, time.time_ns(), clock.now())

    @property
    def epoch_ns(self) -> int:
        """When the run began, in ns since 1970."""
        return self._epoch_ns

    @property
    def began(self) -> float:
        """What the laboratory's clock showed when the run began."""
        return self._began

    @property
    def elapsed(self) -> float:
        """Time since the run began, in s of the laboratory's clock."""
        return self._clock.now() - self._began if self._held is None else self._held

    def release(self) -> None:
        """Let the time of a resumed run go on.

        On a virtual clock on the axis of the first run; on a real one the interruption is left out
        of what has elapsed, and shots are dated by the wall clock again.
        """
        if self._held is None:
            return
        if not isinstance(self._clock, VirtualClock):
            self._began = self._clock.now() - self._held
            self._epoch_ns = time.time_ns() - round(self._held * 1e9)
        self._held = None

    def stamp(self, elapsed: float) -> int:
        """A moment of the run in ns since 1970."""
        return self._epoch_ns + round(elapsed * 1e9)

    def since_began(self, reading: float) -> float:
        """A reading of the laboratory's clock as time since the run began, in s."""
        return reading - self._began


def rest_between_steps(clock: Clock) -> None:
    """In a rehearsal let every driver's own pacing run out; on hardware do nothing."""
    if isinstance(clock, VirtualClock):
        clock.wait(BETWEEN_STEPS)


def wait_until(clock: Clock, reading: float) -> None:
    """Let a virtual clock come to exactly `reading` (> 0), to the last bit.

    From half of it on the difference of the two numbers has no rounding error (Sterbenz), and so
    has its sum with the first.
    """
    while (now := clock.now()) < reading:
        clock.wait(reading - now if now >= reading / 2 else (reading - now) / 2)
