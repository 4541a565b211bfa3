"""One channel of an agile RF synthesizer: DDS words, switches, table, state machine.

The table (simple table mode, TSB) starts on a falling edge at SEQ if it is
armed, plays its entries on a grid of 1 us, and holds the last entry's state.
Edges that come while it is not armed do nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..lines import RFTone, Stretch, tidy

CLOCK = 1e9
"""DDS clock, Hz: frequency words are multiples of CLOCK / 2**32."""
FULL_SCALE_DBM = 36.04
"""Power of the amplitude word 0x3FFF; 0x1000 is then +24.00 dBm."""
LARGEST_WORD = 0x3FFF
REARM_TIME = 5e-6
"""Seconds from the end of a table until it is armed again."""
LEAST_DBM = -50.0


@dataclass(frozen=True, slots=True)
class Words:
    """What the DDS plays: register words of frequency, amplitude and phase."""

    frequency: int
    amplitude: int
    phase: int

    @property
    def tone(self) -> RFTone | None:
        """The tone in physical units; None if dark."""
        if self.amplitude == 0:
            return None
        return RFTone(self.hertz, self.dbm, self.degrees)

    @property
    def hertz(self) -> float:
        """Frequency in Hz."""
        return self.frequency * CLOCK / 2**32

    @property
    def dbm(self) -> float:
        """Power in dBm; -inf if dark."""
        return power_of_word(self.amplitude)

    @property
    def degrees(self) -> float:
        """Phase in degrees."""
        return self.phase * 360.0 / 2**16


def frequency_word(hertz: float) -> int:
    """The nearest word of the frequency register."""
    return round(hertz / CLOCK * 2**32)


def amplitude_word(dbm: float) -> int:
    """The nearest word of the amplitude register, at least 1."""
    if math.isinf(dbm):
        return 0
    return max(1, min(LARGEST_WORD, round(LARGEST_WORD * 10 ** ((dbm - FULL_SCALE_DBM) / 20))))


def power_of_word(word: int) -> float:
    """Power in dBm of an amplitude word."""
    return FULL_SCALE_DBM + 20 * math.log10(word / LARGEST_WORD) if word else -math.inf


def phase_word(degrees: float) -> int:
    """The nearest word of the phase register."""
    return round(degrees * 2**16 / 360.0) % 2**16


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the table: what is played, for how many microseconds, RF switched off."""

    words: Words
    microseconds: int
    off: bool = False

    @property
    def tone(self) -> RFTone | None:
        """What leaves the channel during this entry."""
        return None if self.off else self.words.tone


@dataclass(slots=True)
class XRFChannel:
    """State of one channel.

    Attributes:
        signal: RF switch on. power: amplifier on.
        started: Time on the clock at which the table now running began, or None.
        held: What is played when no table runs (table mode).
    """

    limit_dbm: float
    words: Words = Words(frequency_word(80e6), 0x1000, 0)
    mode: str = "NSB"
    signal: bool = False
    power: bool = False
    table: list[Entry] = field(default_factory=list)
    armed: bool = False
    rearm: bool = False
    started: float | None = None
    held: RFTone | None = None
    manual_pins: set[str] = field(default_factory=set)

    @property
    def table_time(self) -> float:
        """Duration of the table, seconds."""
        return sum(entry.microseconds for entry in self.table) * 1e-6

    def set_mode(self, mode: str) -> None:
        """Change of mode: the output goes off, a running table is gone."""
        self.mode = mode
        self.signal = self.power = False
        self.armed = False
        self.started = None
        self.held = None

    def arm(self) -> None:
        """Armed, and the RF switched on."""
        self.armed = True
        self.signal = self.power = True
        self.started = None

    def start(self, time: float) -> bool:
        """Start the table if it is armed; whether it was."""
        if not self.armed:
            return False
        self.armed = False
        self.started = time
        return True

    def settle(self, time: float) -> None:
        """Bring the state machine up to `time`: a table that is over holds its last entry."""
        if self.started is None or not self.table:
            return
        end = self.started + self.table_time
        if time >= end - 1e-12:
            self.held = self.table[-1].tone
        if time >= end - 1e-12 and not self.rearm:
            self.started = None
        elif time >= end + REARM_TIME - 1e-12:
            self.started = None
            self.armed = True

    def stop(self, time: float) -> None:
        """Stop a running table: the entry playing now stays."""
        self.settle(time)
        if self.started is not None:
            for stretch in self._played(self.started, self.started, math.inf):
                if stretch.start <= time:
                    self.held = stretch.value
        self.started = None
        self.armed = False

    def run(self, start: float, period: float, edges: list[float]) -> tuple[Stretch, ...]:
        """Play one shot.

        Args:
            start: Time of T0 on the clock.
            period: Length of the shot, seconds.
            edges: Falling edges at SEQ, seconds after T0.

        Returns:
            What leaves the channel, in seconds after T0; dark where nothing does.
        """
        if self.mode not in ("TSB", "TPA"):
            return self._sent([Stretch(0.0, period, self.words.tone)])
        played: list[Stretch] = []
        cursor = 0.0
        self.settle(start)
        if self.started is not None:
            cursor = self._play(played, start, self.started - start, cursor, period)
        for edge in edges:
            self.settle(start + edge)
            if self.started is not None or not self.armed:
                continue
            played.append(Stretch(cursor, edge, self.held))
            self.start(start + edge)
            cursor = self._play(played, start, edge, edge, period)
        if cursor < period:
            played.append(Stretch(cursor, period, self.held))
        self.settle(start + period)
        return self._sent(played)

    def _play(
        self, played: list[Stretch], start: float, begin: float, cursor: float, period: float
    ) -> float:
        """Add the table begun at `begin` to the shot from `cursor` on; where it stops."""
        played += self._played(begin, cursor, period)
        end = min(begin + self.table_time, period)
        self.settle(start + end)
        return max(end, cursor)

    def _played(self, begin: float, first: float, last: float) -> list[Stretch]:
        stretches, microseconds = [], 0
        for entry in self.table:
            from_ = begin + microseconds * 1e-6
            microseconds += entry.microseconds
            to = begin + microseconds * 1e-6
            if to > first and from_ < last:
                stretches.append(Stretch(max(from_, first), min(to, last), entry.tone))
        return stretches

    def _sent(self, played: list[Stretch]) -> tuple[Stretch, ...]:
        if not (self.signal and self.power):
            return ()
        return tidy(stretch for stretch in played if stretch.value is not None)

    def fingerprint(self, time: float) -> tuple[object, ...]:
        """The state relative to `time`; equal ones play equal shots."""
        elapsed = None if self.started is None else round(time - self.started, 10)
        return elapsed, self.armed, self.held, self.signal, self.power
