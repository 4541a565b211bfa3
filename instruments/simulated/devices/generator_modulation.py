"""What modulation and sweeps make of a generator's carrier.

Amplitude: (1 + depth m)/2 of the amplitude that is set, so that depth 0 halves it and depth 1
reaches it in full; frequency: f + deviation m; phase: deviation m; m from -1 to 1 of the shape
chosen. A sweep goes from start to stop in its time, linearly or by equal factors, holds, and goes
back linearly. Times are seconds after the modulation, or the sweep, began.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .waveform_output import Shape

Floats = NDArray[np.float64]

SHAPES = ("SIN", "SQU", "TRI", "RAMP", "NRAM")
"""Modulating shapes that are simulated."""
_TABLE = 2048
_PIECES_PER_SWEEP = 256


class Carrier(Protocol):
    """A carrier whose amplitude, frequency and phase change."""

    @property
    def grid(self) -> float:
        """Seconds between two times that show the change."""
        ...

    def factor(self, times: Floats) -> Floats:
        """Of the amplitude."""
        ...

    def frequency(self, times: Floats) -> Floats:
        """Hz."""
        ...

    def turns(self, times: Floats) -> Floats:
        """Cycles of the carrier since it began, without its set phase."""
        ...


@dataclass(frozen=True, slots=True)
class Modulation:
    """An internal modulation.

    Attributes:
        kind: AM, FM or PM.
        carrier: Frequency, Hz.
        depth: 1 is 100 %; Hz; cycles.
        shape: One of `SHAPES`.
        rate: Hz of the modulating shape.
    """

    kind: str
    carrier: float
    depth: float
    shape: str
    rate: float

    @property
    def grid(self) -> float:
        """Seconds."""
        return 1.0 / (64.0 * self.rate)

    def factor(self, times: Floats) -> Floats:
        """(1 + depth m)/2 with AM, else 1."""
        if self.kind != "AM":
            return np.ones(len(times))
        return np.asarray(0.5 * (1.0 + self.depth * self._moving(times)))

    def frequency(self, times: Floats) -> Floats:
        """f + deviation m with FM, else f."""
        if self.kind != "FM":
            return np.full(len(times), self.carrier)
        return np.asarray(self.carrier + self.depth * self._moving(times))

    def turns(self, times: Floats) -> Floats:
        """The integral of the frequency, and the deviation of the phase with PM."""
        steady = self.carrier * times
        if self.kind == "FM":
            cycle = np.linspace(0.0, 1.0, _TABLE + 1)
            values = self._moving(cycle / self.rate * (1.0 - 1e-12))
            summed = np.concatenate([[0.0], np.cumsum(0.5 * (values[1:] + values[:-1])) / _TABLE])
            summed -= summed[-1] * cycle  # all shapes have the mean 0
            moved = np.interp(np.mod(self.rate * times, 1.0), cycle, summed) / self.rate
            return np.asarray(steady + self.depth * moved)
        if self.kind == "PM":
            return np.asarray(steady + self.depth * self._moving(times))
        return np.asarray(steady)

    def _moving(self, times: Floats) -> Floats:
        if self.shape == "NRAM":
            return -Shape("RAMP", self.rate).at(times)
        return Shape(self.shape, self.rate).at(times)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep of the frequency, over and over or once behind each trigger.

    Attributes:
        start, stop: Hz.
        time, hold, back: Seconds from start to stop, at stop, and back to start.
        logarithmic: By equal factors.
        triggers: When each sweep began, seconds; None: one after the other.
        every: Without triggers, seconds from one to the next, if longer than a sweep.
    """

    start: float
    stop: float
    time: float
    hold: float = 0.0
    back: float = 0.0
    logarithmic: bool = False
    triggers: tuple[float, ...] | None = None
    every: float = 0.0

    @property
    def length(self) -> float:
        """Seconds of a whole sweep."""
        return self.time + self.hold + self.back

    @property
    def grid(self) -> float:
        """Seconds."""
        return self.time / _PIECES_PER_SWEEP

    def factor(self, times: Floats) -> Floats:
        """1."""
        return np.ones(len(times))

    def frequency(self, times: Floats) -> Floats:
        """Hz; that of the start before and between triggered sweeps."""
        within = self._within(times)
        there = np.clip(within / self.time, 0.0, 1.0)
        if self.logarithmic:
            found = self.start * (self.stop / self.start) ** there
        else:
            found = self.start + (self.stop - self.start) * there
        if self.back > 0.0:
            home = np.clip((within - self.time - self.hold) / self.back, 0.0, 1.0)
            found = found + (self.start - self.stop) * home
        return np.asarray(np.where(within < self.length, found, self.start))

    def turns(self, times: Floats) -> Floats:
        """Cycles since each sweep began: the phase goes on within a sweep."""
        within = self._within(times)
        there = np.clip(within, 0.0, self.time)
        if self.logarithmic and self.start != self.stop:
            growth = math.log(self.stop / self.start) / self.time
            found = self.start * np.expm1(growth * there) / growth
        else:
            found = self.start * there + 0.5 * (self.stop - self.start) / self.time * there**2
        found = found + self.stop * np.clip(within - self.time, 0.0, self.hold)
        if self.back > 0.0:
            home = np.clip(within - self.time - self.hold, 0.0, self.back)
            found = found + self.stop * home
            found = found + 0.5 * (self.start - self.stop) / self.back * home**2
        rest = np.maximum(within - self.length, 0.0)
        return np.asarray(found + self.start * rest)

    def _within(self, times: Floats) -> Floats:
        """Seconds since the sweep began that is on at `times`; beyond its length: at rest."""
        if self.triggers is None:
            return np.asarray(np.mod(times, max(self.length, self.every)))
        begun = np.asarray(heard(self.triggers, self.length))
        if not len(begun):
            return np.asarray(self.length + times - times.min(initial=0.0))
        latest = np.searchsorted(begun, times + 1e-12, side="right") - 1
        since = times - begun[np.maximum(latest, 0)]
        return np.asarray(np.where(latest >= 0, since, self.length + times - begun[0] + 1.0))


def heard(triggers: Sequence[float], length: float) -> list[float]:
    """The triggers that do not fall into a sweep that is still on."""
    kept: list[float] = []
    for one in sorted(triggers):
        if not kept or one >= kept[-1] + length - 1e-12:
            kept.append(one)
    return kept
