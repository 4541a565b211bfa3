"""What a shot asks of the roles: tones of radio-frequency drive, and windows of light and gates.

Time 0 is the T0 edge of the timing box in each cycle of its burst.  Times are in
seconds, amplitudes in Hz (a Rabi frequency, or a rate over 2 pi), phases in radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Tone", "Window"]


def _check_span(what: str, start: float, duration: float) -> None:
    if not (math.isfinite(start) and start >= 0):
        raise ValueError(
            f"{what}: start must be a finite time from 0 on (time 0 is T0), but is {start!r} s"
        )
    if not (math.isfinite(duration) and duration > 0):
        raise ValueError(f"{what}: duration must be positive and finite, but is {duration!r} s")


@dataclass(frozen=True, slots=True)
class Tone:
    """A stretch of constant amplitude and phase of one AOM.

    Args:
        start: Seconds after T0.
        duration: Seconds.
        amplitude_hz: What the atoms see while the light is on, in Hz: the Rabi
            frequency for a drive, the rate (over 2 pi) for a coupling.
        phase_rad: Phase of the tone in radians.
        offset_hz: Frequency of the tone above the role's own, in Hz.
    """

    start: float
    duration: float
    amplitude_hz: float
    phase_rad: float = 0.0
    offset_hz: float = 0.0

    def __post_init__(self) -> None:
        _check_span("Tone", self.start, self.duration)
        if not (math.isfinite(self.amplitude_hz) and self.amplitude_hz > 0):
            raise ValueError(
                f"Tone at {self.start!r} s: amplitude_hz must be positive and finite, but is "
                f"{self.amplitude_hz!r} Hz (leave a dark stretch out of the list instead)"
            )
        if not math.isfinite(self.phase_rad):
            raise ValueError(f"Tone at {self.start!r} s: phase_rad must be finite")
        if not math.isfinite(self.offset_hz):
            raise ValueError(f"Tone at {self.start!r} s: offset_hz must be finite")

    @property
    def stop(self) -> float:
        """End of the tone, in seconds after T0."""
        return self.start + self.duration


@dataclass(frozen=True, slots=True)
class Window:
    """A named stretch of time: light let through, or a counting gate held open.

    Args:
        name: What the window is for, e.g. ``"preparation"`` or ``"ensemble_1"``.
        start: Seconds after T0.
        duration: Seconds.
    """

    name: str
    start: float
    duration: float

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("Window: name must not be empty")
        _check_span(f"Window {self.name!r}", self.start, self.duration)

    @property
    def stop(self) -> float:
        """End of the window, in seconds after T0."""
        return self.start + self.duration
