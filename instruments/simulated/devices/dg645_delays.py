"""The delays of a DG645: each channel follows another one, all in the end T0."""

from __future__ import annotations

from dataclasses import dataclass, field

from .dg645_settings import Refused

RESOLUTION = 5e-12
"""Seconds."""
LONGEST = 2000.0
"""Seconds."""
CHANNELS = range(2, 10)
"""Codes of A to H."""


def _reset_links() -> dict[int, int]:
    return {channel: channel - 1 if channel % 2 else 0 for channel in CHANNELS}


def _reset_delays() -> dict[int, float]:
    return {channel: 10e-9 if channel % 2 else 0.0 for channel in CHANNELS}


@dataclass(frozen=True, slots=True)
class Delays:
    """Links and delays of the channels 2 (A) to 9 (H); 0 is T0.

    Attributes:
        links: Channel -> the one it follows. After reset A, C, E, G follow T0,
            and B follows A by 10 ns, D follows C, ...
        after: Channel -> seconds after that one.
    """

    links: dict[int, int] = field(default_factory=_reset_links)
    after: dict[int, float] = field(default_factory=_reset_delays)
    _times: dict[int, float] = field(init=False, compare=False)
    _longest: float = field(init=False, compare=False)

    def __post_init__(self) -> None:
        times = {channel: self._resolved(channel) for channel in (0, *CHANNELS)}
        object.__setattr__(self, "_times", times)
        object.__setattr__(self, "_longest", max(times.values()))

    def time_of(self, channel: int) -> float:
        """Seconds after T0, resolved through the links."""
        return self._times[channel]

    def _resolved(self, channel: int) -> float:
        total = 0.0
        while channel != 0:
            total += self.after[channel]
            channel = self.links[channel]
        return round(total, 15)

    def longest(self) -> float:
        """The last edge, seconds after T0."""
        return self._longest

    def relinked(self, channel: int, reference: int, seconds: float) -> Delays:
        """With `channel` following `reference` by `seconds`.

        Raises:
            Refused: 13 the channel cannot follow that one, 12 a channel would
                come before T0 or later than 2000 s.
        """
        if channel not in CHANNELS or reference == 1 or self._follows(reference, channel):
            raise Refused(13)
        rounded = round(round(seconds / RESOLUTION) * RESOLUTION, 15)
        changed = Delays(self.links | {channel: reference}, self.after | {channel: rounded})
        if min(changed._times.values()) < -1e-13 or changed._longest > LONGEST:
            raise Refused(12)
        return changed

    def _follows(self, channel: int, other: int) -> bool:
        while channel not in (0, other):
            channel = self.links[channel]
        return channel == other
