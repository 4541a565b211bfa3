"""Errors and status registers of a DG645."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import IntFlag

DEPTH = 20
"""Error codes kept; the last is then TOO_MANY."""
TOO_MANY = 254
COMMON_BITS = {"OPC": 1, "QYE": 4, "DDE": 8, "EXE": 16, "CME": 32, "PON": 128}
"""Bits of `*ESR?`."""


class Event(IntFlag):
    """Bits of `INSR?`."""

    TRIG = 1
    RATE = 2
    END_OF_DELAY = 4
    END_OF_BURST = 8
    INHIBIT = 16
    ABORT_DELAY = 32
    PLL_UNLOCK = 64
    RB_UNLOCK = 128


@dataclass(slots=True)
class Status:
    """What the unit remembers until it is asked.

    Attributes:
        errors: Codes, oldest first.
        events: Register of `*ESR?`; after power-on only PON.
        instrument: Register of `INSR?`.
    """

    errors: deque[int] = field(default_factory=deque)
    events: int = COMMON_BITS["PON"]
    instrument: int = 0

    def error(self, code: int) -> None:
        """Remember an error; the twentieth says that there were too many."""
        if len(self.errors) < DEPTH:
            self.errors.append(code if len(self.errors) < DEPTH - 1 else TOO_MANY)
        self.events |= COMMON_BITS["CME"] if 110 <= code < 170 else COMMON_BITS["EXE"]

    def take_error(self) -> int:
        """The oldest error code, removed; 0 when there is none."""
        return self.errors.popleft() if self.errors else 0

    def take_events(self) -> int:
        """Read and clear `*ESR?`."""
        events, self.events = self.events, 0
        return events

    def take_instrument(self, bit: int | None = None) -> int:
        """Read and clear `INSR?`, or one bit of it."""
        mask = 0xFF if bit is None else 1 << bit
        taken = self.instrument & mask
        self.instrument &= ~mask
        return int(taken) if bit is None else int(bool(taken))
