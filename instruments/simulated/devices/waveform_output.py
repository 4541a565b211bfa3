"""The voltage of one generator channel as a function of time.

A burst begins at a trigger and lasts a number of cycles; a sequence is stepped by its
triggers. Between bursts the output rests at the first point of what it will play.
Times are seconds on the laboratory's clock.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_STRETCHES = 4096
"""Pieces into which a shot's voltage is cut on a line; what is faster is averaged."""
POINTS_PER_CYCLE = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """A periodic function of standard shape, -1 to 1.

    Attributes:
        kind: SIN, SQU, TRI, RAMP, PULS or DC.
        frequency: Hertz.
        phase: Cycles at its start.
        symmetry: Fraction of a ramp that rises.
        duty: Fraction of a square or a pulse that is high.
    """

    kind: str
    frequency: float
    phase: float = 0.0
    symmetry: float = 1.0
    duty: float = 0.5

    @property
    def duration(self) -> float:
        """Seconds of one cycle."""
        return 1.0 / self.frequency

    def at(self, elapsed: Floats) -> Floats:
        """Values `elapsed` seconds after the start."""
        cycle = np.mod(self.frequency * elapsed + self.phase, 1.0)
        if self.kind == "SIN":
            return np.sin(2.0 * np.pi * cycle)
        if self.kind in ("SQU", "PULS"):
            return np.where(cycle < self.duty, 1.0, -1.0)
        if self.kind in ("RAMP", "TRI"):
            # a triangle is a ramp of symmetry 1/2; both begin at their lowest point
            rise = min(max(0.5 if self.kind == "TRI" else self.symmetry, 1e-9), 1.0 - 1e-9)
            up, down = cycle / rise, (1.0 - cycle) / (1.0 - rise)
            return 2.0 * np.minimum(up, down) - 1.0
        return np.zeros(len(cycle))

    def grid(self) -> float:
        """Seconds between two points that show the shape."""
        return self.duration / POINTS_PER_CYCLE


@dataclass(frozen=True, slots=True)
class Samples:
    """Points played at a rate.

    Attributes:
        points: Values -1 to 1.
        rate: Points per second.
    """

    points: Floats
    rate: float

    @property
    def duration(self) -> float:
        """Seconds of one pass."""
        return len(self.points) / self.rate

    def at(self, elapsed: Floats) -> Floats:
        """Values `elapsed` seconds after the start; each point is held."""
        index = np.floor(elapsed * self.rate + 1e-6).astype(np.int64)
        return self.points[np.mod(index, len(self.points))]

    def grid(self) -> float:
        """Seconds of one point."""
        return 1.0 / self.rate


@dataclass(frozen=True, slots=True)
class Playing:
    """One waveform on the output from `start` to `stop`, as often as fits."""

    start: float
    stop: float
    wave: Shape | Samples


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what a trigger plays.

    Attributes:
        wave: What is played.
        repeats: How often; inf for ever.
        waits: Then the last point is held until the next trigger.
        until_trigger: The next trigger ends it.
    """

    wave: Shape | Samples
    repeats: float = 1.0
    waits: bool = False
    until_trigger: bool = False


def bursts(parts: Sequence[Part], triggers: Sequence[float]) -> list[Playing]:
    """What is on the output after `triggers`, oldest first; one that finds it busy is lost."""
    playing: list[Playing] = []
    waiting = sorted(triggers)
    free_at = -math.inf
    while waiting:
        start = waiting.pop(0)
        if start < free_at - 1e-12:
            continue
        for part in parts:
            stop = start + part.repeats * part.wave.duration
            if part.until_trigger or part.waits:
                later = [one for one in waiting if one > start + 1e-12]
                if part.waits:
                    later = [one for one in later if one >= stop - 1e-12]
                following = later[0] if later else math.inf
                waiting = [one for one in later if one > following]
                playing.append(Playing(start, stop if part.waits else following, part.wave))
                if part.waits and isinstance(part.wave, Samples):
                    held = Samples(part.wave.points[-1:], part.wave.rate)
                    playing.append(Playing(stop, following, held))
                stop = following
            else:
                playing.append(Playing(start, stop, part.wave))
            start = stop
            if math.isinf(start):
                break
        free_at = start
    return playing


def values(playing: Sequence[Playing], rest: float, times: Floats) -> Floats:
    """The normalized output at `times`: what is playing, held behind a part that waits."""
    result = np.full(len(times), rest)
    for one in playing:
        inside = (times >= one.start) & (times < one.stop)
        if np.any(inside):
            result[inside] = one.wave.at(times[inside] - one.start)
    return result


def boundaries(playing: Sequence[Playing], start: float, stop: float) -> Floats:
    """Times between `start` and `stop` at which the output may step, at most `MOST_STRETCHES`."""
    times = [np.array([start, stop])]
    for one in playing:
        first, last = max(one.start, start), min(one.stop, stop)
        if last <= first:
            continue
        grid = one.wave.grid()
        if isinstance(one.wave, Samples) and len(one.wave.points) == 1:
            times.append(np.array([first, last]))
            continue
        begin = math.floor((first - one.start) / grid + 1e-6)
        count = math.ceil((last - one.start) / grid - 1e-6) - begin
        if count > MOST_STRETCHES:
            times.append(np.linspace(first, last, MOST_STRETCHES))
            continue
        times.append(one.start + grid * np.arange(begin, begin + count + 1))
        times.append(np.array([first, last]))
    merged = np.unique(np.concatenate(times))
    merged = merged[(merged >= start) & (merged <= stop)]
    if len(merged) > MOST_STRETCHES:
        merged = np.linspace(start, stop, MOST_STRETCHES)
    return merged
