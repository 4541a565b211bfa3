"""Bursts of shots: what was on the wires while the timing device ran.

A trigger starts a `Burst` of equally spaced shots. Each shot's timeline is
frozen when the shot has begun; equal neighbours share one `Portion`, so that a
burst of a million equal shots costs one timeline and one solution of the
physics. Nothing is computed before somebody asks for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .lines import Stretch, Timeline, timeline_key

CLOCK_TOLERANCE = 1e-9
"""Seconds: rounding of sums of periods on the clock."""


@dataclass(frozen=True, slots=True)
class Shot:
    """One cycle of the timing device, as the devices see it.

    Attributes:
        index: Number of the shot in its burst, from 0.
        start: Time of its T0 on the laboratory's clock, seconds.
        period: Time to the next T0, seconds; the timeline ends there.
        source: Name of the device that triggered it; None outside of bursts.
        input: The signal at a device's input terminal, None if nothing is plugged in.
    """

    index: int
    start: float
    period: float
    source: str | None
    input: Callable[[str, str], tuple[Stretch, ...] | None]


@dataclass(slots=True)
class Portion:
    """Consecutive shots [`first`, `stop`) of a burst with one and the same timeline."""

    first: int
    stop: int
    timeline: Timeline
    first_gate: int
    windows: NDArray[np.float64]

    @property
    def gates(self) -> int:
        """Openings of the counter's gate in all shots of this portion."""
        return (self.stop - self.first) * len(self.windows)


@dataclass(slots=True)
class Burst:
    """Shots at `start + index * period`, numbered from `first_shot` in the laboratory.

    Attributes:
        end: Time of an abort; gates that close later never close.
    """

    serial: int
    source: str
    start: float
    period: float
    count: int
    first_shot: int
    end: float = math.inf
    portions: list[Portion] = field(default_factory=list)
    steady: bool = False

    @property
    def finish(self) -> float:
        """Time at which the last shot's period is over, or of the abort."""
        return min(self.end, self.start + self.count * self.period)

    @property
    def frozen(self) -> int:
        """Number of shots whose timeline is settled."""
        portions = self.portions
        return portions[-1].stop if portions else 0

    def begun(self, now: float) -> int:
        """Number of shots whose T0 has passed."""
        elapsed = min(now, self.end) - self.start + CLOCK_TOLERANCE
        if elapsed < 0:
            return 0
        return min(self.count, math.floor(elapsed / self.period) + 1)

    def times(self, first: int, stop: int) -> NDArray[np.float64]:
        """T0 of the shots [`first`, `stop`), seconds on the clock."""
        return self.start + self.period * np.arange(first, stop, dtype=np.float64)

    def add(self, timeline: Timeline) -> None:
        """Freeze one more shot."""
        last = self.portions[-1] if self.portions else None
        if last and timeline_key(last.timeline) == timeline_key(timeline):
            last.stop += 1
            return
        gate = timeline.get("counter.gate", ())
        windows = np.array([(one.start, one.stop) for one in gate], dtype=float).reshape(-1, 2)
        first = last.stop if last else 0
        first_gate = last.first_gate + last.gates if last else 0
        self.portions.append(Portion(first, first + 1, timeline, first_gate, windows))

    def extend(self, stop: int) -> None:
        """Freeze all shots up to `stop` like the latest one."""
        self.portions[-1].stop = max(self.portions[-1].stop, stop)

    def gate_times(self, portion: Portion, from_gate: int) -> tuple[NDArray[np.int64], ...]:
        """Gates of a portion from number `from_gate` on: (shot index, column) of each."""
        skip = max(from_gate - portion.first_gate, 0)
        number = np.arange(skip, portion.gates)
        columns = max(len(portion.windows), 1)
        return portion.first + number // columns, number % columns


@dataclass(frozen=True, slots=True)
class GateCursor:
    """How far a counter has come: burst and number of the next gate in it."""

    burst: int = 0
    gate: int = 0
