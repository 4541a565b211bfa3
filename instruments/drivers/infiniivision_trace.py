"""What an InfiniiVision sends: preamble and samples, turned into seconds and volts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WORD_FORMAT = 1
FULL_WORD = 65_536
CLIPPED = 256
"""Counts within this distance of the ends of the range are clipped."""


@dataclass(frozen=True, slots=True)
class Preamble:
    """The ten fields of `:WAV:PRE?`.

    Attributes:
        points: Samples of the trace.
        averages: Acquisitions in it.
        x_step, x_origin: Seconds.
        x_reference: Index of `x_origin`.
        y_step, y_origin: Volts.
        y_reference: Count of `y_origin`.
    """

    points: int
    averages: int
    x_step: float
    x_origin: float
    x_reference: float
    y_step: float
    y_origin: float
    y_reference: float

    def times(self) -> NDArray[np.float64]:
        """Seconds after the trigger, shape (points,)."""
        index = np.arange(self.points, dtype=np.float64)
        return (index - self.x_reference) * self.x_step + self.x_origin

    def volts(self, counts: NDArray[np.uint16]) -> NDArray[np.float64]:
        """Volts of raw counts."""
        return (counts.astype(np.float64) - self.y_reference) * self.y_step + self.y_origin


@dataclass(frozen=True, slots=True)
class Trace:
    """One trace.

    Attributes:
        times: Seconds after the trigger, shape (points,).
        volts: Shape (points,), or (segments, points).
        clipped: Samples at the ends of the range: their volts are wrong.
        averages: Acquisitions averaged on board.
        tags: Seconds of each segment's trigger after the first, shape (segments,); empty
            without segments.
    """

    times: NDArray[np.float64]
    volts: NDArray[np.float64]
    clipped: int
    averages: int
    tags: NDArray[np.float64]


def parse_preamble(text: str) -> Preamble:
    """The preamble of a trace in words.

    Raises:
        ValueError: If it has another form, or announces another format.
    """
    fields = [float(one) for one in text.split(",")]
    if len(fields) != 10 or int(fields[0]) != WORD_FORMAT or fields[2] < 1:
        raise ValueError(text)
    if not np.all(np.isfinite(fields)) or fields[4] <= 0 or fields[7] <= 0:
        raise ValueError(text)
    return Preamble(int(fields[2]), max(int(fields[3]), 1), *fields[4:])


def counts_of(data: bytes, points: int) -> NDArray[np.uint16]:
    """Unsigned little-endian words.

    Raises:
        ValueError: If there are not as many as the preamble said.
    """
    if len(data) != 2 * points:
        raise ValueError(f"{len(data)} bytes for {points} points")
    return np.frombuffer(data, dtype="<u2")


def clipped(counts: NDArray[np.uint16]) -> int:
    """Samples at the ends of the range."""
    low, high = counts <= CLIPPED, counts >= FULL_WORD - CLIPPED
    return int(np.sum(low | high))
