"""Arbitrary waveforms and sequences in the volatile memory of one generator channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .scpi_language import ScpiError

LEAST_POINTS = 8
MOST_TEXT_POINTS = 65_536
LONGEST_NAME = 12
DAC_FULL = 32767
BUILT_IN = "INT:\\BUILTIN\\EXP_RISE.ARB"
PLAYS = ("ONCE", "ONCEWAITTRIG", "REPEAT", "REPEATINF", "REPEATTILTRIG")
MARKERS = ("MAINTAIN", "LOWATSTART", "HIGHATSTART", "HIGHATSTARTGOLOW")


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of a sequence.

    Attributes:
        name: The waveform.
        repeats: How often it is played (`play` REPEAT).
        play: One of `PLAYS`.
    """

    name: str
    repeats: int
    play: str


@dataclass(slots=True)
class WaveformMemory:
    """What one channel holds.

    Attributes:
        capacity: Points in all.
    """

    capacity: int
    waveforms: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    sequences: dict[str, tuple[Step, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Only the built-in waveform stays."""
        rise = 2.0 * (1.0 - np.exp(-np.linspace(0.0, 5.0, 100))) - 1.0
        self.waveforms = {BUILT_IN: rise}
        self.sequences = {}

    @property
    def free(self) -> int:
        """Points that still fit."""
        own = (len(one) for name, one in self.waveforms.items() if name != BUILT_IN)
        return self.capacity - sum(own)

    def names(self) -> list[str]:
        """Everything that can be selected."""
        return [*self.waveforms, *self.sequences]

    def load(self, name: str, points: NDArray[np.float64]) -> None:
        """Add a waveform of values -1 to 1.

        Raises:
            ScpiError: Bad or known name, too few points, values out of range, full memory.
        """
        self._check_name(name)
        if len(points) < LEAST_POINTS:
            raise ScpiError(-222, "Data out of range; waveform needs at least 8 points")
        if not np.all(np.abs(points) <= 1.0 + 1e-7):
            raise ScpiError(-222)
        if len(points) > self.free:
            raise ScpiError(-225, "Out of memory")
        self.waveforms[name] = np.clip(points, -1.0, 1.0)

    def sequence(self, text: str) -> None:
        """Add a sequence: name, then waveform, repeats, play, marker, marker point for each step.

        Raises:
            ScpiError: Bad or known name, unknown waveform, words or numbers that are none.
        """
        fields = [one.strip().strip('"') for one in text.split(",")]
        if len(fields) < 6 or (len(fields) - 1) % 5:
            raise ScpiError(-109)
        self._check_name(fields[0])
        steps = tuple(self._steps(fields[1:]))
        self.sequences[fields[0]] = steps

    def _steps(self, fields: list[str]) -> Iterator[Step]:
        for place in range(0, len(fields), 5):
            name, repeats, play, marker, point = fields[place : place + 5]
            points = self.waveform(name)
            if play.upper() not in PLAYS or marker.upper() not in MARKERS:
                raise ScpiError(-224)
            if not repeats.isdigit() or not point.isdigit():
                raise ScpiError(-104)
            if int(repeats) > 1_000_000 or not 4 <= int(point) <= len(points) - 3:
                raise ScpiError(-222)
            yield Step(name, max(int(repeats), 1), play.upper())

    def waveform(self, name: str) -> NDArray[np.float64]:
        """The points of a waveform.

        Raises:
            ScpiError: +785 there is none of this name.
        """
        if name not in self.waveforms:
            raise ScpiError(785, "Specified arb waveform does not exist")
        return self.waveforms[name]

    def steps_of(self, name: str) -> tuple[Step, ...]:
        """What selecting `name` plays: a sequence, or one waveform for ever.

        Raises:
            ScpiError: +785 there is nothing of this name.
        """
        if name in self.sequences:
            return self.sequences[name]
        self.waveform(name)
        return (Step(name, 1, "ONCE"),)

    def length(self, name: str) -> int:
        """Points of a waveform, or of one pass through a sequence."""
        return sum(len(self.waveform(one.name)) * one.repeats for one in self.steps_of(name))

    def _check_name(self, name: str) -> None:
        if not name or len(name) > LONGEST_NAME or not name.replace("_", "a").isalnum():
            raise ScpiError(-151, "Invalid string data")
        if name in self.names():
            raise ScpiError(786, "Specified arb waveform already exists")
