"""The current in a coil behind a supply, in closed form.

The coil is a first-order load, dI/dt = (V - R I)/L. In current mode the supply's
loop asks for the voltage that brings the current to its set value with the time
constant `loop_time`, cut to the compliance voltage: a large step slews, a
small one settles exponentially.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ...laws import COPPER
from ..lines import Stretch

STAIRS = 16
"""Steps in a time constant by which a moving current is followed within a shot."""


@dataclass(slots=True)
class Coil:
    """Current through the coil since the last change of what the supply wants.

    Attributes:
        resistance: Ohm.
        inductance: Henry.
        loop_time: Time constant of the supply's current loop, seconds.
        since: Time of the change on the clock.
        current: Current at that time, ampere.
        target: Ampere in current mode, volt in voltage mode.
        mode: "current", "voltage", or "off" (no voltage, decay through the load).
        limit: Compliance voltage (current mode).
        lowest: Lowest voltage the supply can give in current mode; None: `-limit` (four
            quadrants).
    """

    resistance: float
    inductance: float
    loop_time: float
    since: float = 0.0
    current: float = 0.0
    target: float = 0.0
    mode: str = "off"
    limit: float = 0.0
    lowest: float | None = None

    def at(self, time: float) -> float:
        """The current at `time` (>= `since`), ampere."""
        elapsed = max(time - self.since, 0.0)
        rate = self.resistance / self.inductance
        if self.mode != "current":
            end = self.target / self.resistance if self.mode == "voltage" else 0.0
            return end + (self.current - end) * math.exp(-rate * elapsed)
        return self._regulated(elapsed, rate)

    def _regulated(self, elapsed: float, rate: float) -> float:
        sign = 1.0 if self.target >= self.current else -1.0
        extreme = self.limit if sign > 0 else self._lowest()
        # the loop leaves the compliance limit where its wish equals the limit
        release = self.target - (extreme - self.resistance * self.target) * (
            self.loop_time / self.inductance
        )
        start, spent = self.current, 0.0
        if sign * (release - self.current) > 0:
            end = extreme / self.resistance
            if sign * (end - release) <= 0:
                return end + (self.current - end) * math.exp(-rate * elapsed)
            spent = math.log((self.current - end) / (release - end)) / rate
            if elapsed <= spent:
                return end + (self.current - end) * math.exp(-rate * elapsed)
            start = release
        # in regulation the loop adds its own rate to that of the coil
        decay = math.exp(-(rate + 1.0 / self.loop_time) * (elapsed - spent))
        return self.target + (start - self.target) * decay

    def want(self, time: float, target: float, mode: str, limit: float) -> None:
        """From `time` on the supply wants something else."""
        self.current = self.at(time)
        self.since, self.target, self.mode, self.limit = time, target, mode, limit

    def final(self) -> float:
        """Where the current is going, ampere."""
        return self.at(self.since + 1e6)

    @property
    def time_constant(self) -> float:
        """Seconds in which a regulated current comes nearer to its target by a factor e."""
        return 1.0 / (self.resistance / self.inductance + 1.0 / self.loop_time)

    def followed(self, origin: float, begin: float, end: float, still: float) -> Iterator[Stretch]:
        """The current from `begin` to `end`, in stairs until it is within `still` of its end.

        Args:
            origin: Time on the clock from which the two and the stairs count, seconds.
            begin, end: Seconds after it.
            still: Ampere.
        """
        final, step = self.final(), self.time_constant / STAIRS
        while begin < end and abs(self.at(origin + begin) - final) > still:
            stop = min(begin + step, end)
            yield Stretch(begin, stop, self.at(origin + 0.5 * (begin + stop)))
            begin = stop
        if begin < end:
            yield Stretch(begin, end, self.at(origin + begin))

    def voltage(self, time: float) -> float:
        """Voltage across the coil at `time`."""
        if self.mode != "current":
            return self.target if self.mode == "voltage" else 0.0
        pull = (self.target - self.at(time)) * self.inductance / self.loop_time
        return max(self._lowest(), min(self.limit, self.resistance * self.target + pull))

    def _lowest(self) -> float:
        return -self.limit if self.lowest is None else self.lowest


@dataclass(slots=True)
class CoilHeat:
    """How warm the winding is: heated by the current, cooled in proportion to its warmth.

    The current is taken as constant since the last call; its effect on the current itself
    (a supply in current mode does not care) is left out.

    Attributes:
        resistance: Ohm at 20 degC, the temperature of the room.
        rise: K for each W in the end.
        time_constant: Seconds.
        warmth: K above the room.
        since: When it was that, on the clock.
    """

    resistance: float
    rise: float
    time_constant: float
    warmth: float = 0.0
    since: float = 0.0

    def advance(self, time: float, current: float) -> None:
        """Bring it to `time`, after `current` amperes since the last call."""
        resistance = self.resistance + self.added_resistance
        end = self.rise * resistance * current**2
        left = math.exp(-max(time - self.since, 0.0) / self.time_constant)
        self.warmth, self.since = end + (self.warmth - end) * left, time

    @property
    def added_resistance(self) -> float:
        """Ohm more than in the cold."""
        return self.resistance * COPPER * self.warmth
