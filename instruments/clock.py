"""Time as the drivers see it: the wall clock on hardware, a free one in rehearsals.

A driver that has to wait (a ramp, a settling time) waits on the clock of its
VISA library. The simulated laboratory brings its own clock, so three hours of
ramps and shots may pass in a second; a real library has none, and `RealClock`
is used.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Protocol, runtime_checkable


@runtime_checkable
class Clock(Protocol):
    """Something that tells the time in seconds and lets it pass."""

    def now(self) -> float:
        """Seconds since an arbitrary fixed origin; never runs backwards."""
        ...

    def wait(self, seconds: float) -> None:
        """Return when `seconds` (>= 0) have passed on this clock."""
        ...


class RealClock:
    """The computer's monotonic clock."""

    def now(self) -> float:
        """Seconds of `time.monotonic`."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds`.

        Raises:
            ValueError: If `seconds` is negative or not finite.
        """
        time.sleep(_duration(seconds))


class VirtualClock:
    """A clock that moves only when somebody waits on it, and then at once.

    Args:
        start: The first value of `now`, in seconds.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = float(start)
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds of virtual time."""
        return self._now

    def wait(self, seconds: float) -> None:
        """Advance the clock by `seconds`.

        Raises:
            ValueError: If `seconds` is negative or not finite.
        """
        step = _duration(seconds)
        with self._lock:
            self._now += step


def clock_of(visalib: object) -> Clock:
    """The clock of a VISA library: its attribute `clock` if it has one, else a real clock."""
    clock = getattr(visalib, "clock", None)
    return clock if isinstance(clock, Clock) else RealClock()


def _duration(seconds: float) -> float:
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(
            f"Argument `seconds` must be a finite number >= 0, but is {seconds!r}: "
            "compute waiting times as max(0, deadline - clock.now())."
        )
    return float(seconds)
