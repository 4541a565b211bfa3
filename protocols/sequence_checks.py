"""What can be wrong with the times of a sequence, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..instruments.timeline import Tone, Window

MINIMUM_WINDOW = 100e-9
"""Shortest window, in s: an acousto-optic modulator needs about this long to rise."""

RECOVERY = 1e-3
"""Rest at the end of each period, in s: the timing box must finish and the tables be re-armed."""

SLACK = 1e-12
"""Rounding of sums of times, in s."""


def too_short(windows: Iterable[Window]) -> Iterator[str]:
    """Windows that no modulator can follow."""
    for window in windows:
        if window.duration < MINIMUM_WINDOW - SLACK:
            yield (
                f"window {window.name!r} at {when(window.start)} lasts "
                f"{when(window.duration)}, less than the minimum {when(MINIMUM_WINDOW)}"
            )


def too_long(parts: Iterable[Tone | Window], period: float) -> Iterator[str]:
    """A last event that is too late for the period."""
    last = max((part.stop for part in parts), default=0.0)
    if last + RECOVERY > period + SLACK:
        yield (
            f"the last event ends at {when(last)}; with {when(RECOVERY)} to recover it does "
            f"not fit into the shot period of {when(period)}"
        )


def covered(window: Window, tones: tuple[Tone, ...]) -> bool:
    """Whether one tone lasts through the window."""
    return any(
        tone.start <= window.start + SLACK and window.stop <= tone.stop + SLACK for tone in tones
    )


def overlaps(what: str, parts: Iterable[Tone | Window]) -> Iterator[str]:
    """Neighbours that overlap."""
    ordered = sorted(parts, key=lambda part: part.start)
    for earlier, later in zip(ordered, ordered[1:], strict=False):
        if later.start < earlier.stop - SLACK:
            yield (
                f"{what} overlap: {_name(earlier)} until {when(earlier.stop)} and "
                f"{_name(later)} from {when(later.start)}"
            )


def _name(part: Tone | Window) -> str:
    return repr(part.name) if isinstance(part, Window) else f"{part.amplitude_hz:g} Hz"


def when(seconds: float) -> str:
    """A time with a unit that keeps it readable: '12.05 ms', '5 us'."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if abs(seconds) >= scale:
            return f"{seconds / scale:.6g} {unit}"
    return f"{seconds / 1e-9:.6g} ns"
