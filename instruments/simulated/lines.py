"""What runs along the wires of the simulated laboratory during one shot.

Between the simulated instruments and the simulated physics there is only this:
for every physical line a piecewise constant signal, timed in seconds after the
shot's T0. No name of a protocol, no wish, no number that an instrument did not
put on a wire.

Lines of the two-ensemble apparatus:

==================  ================  ==================================================
line                value             driven by
==================  ================  ==================================================
`drive.rf`          `RFTone`          RF synthesizer channel of the drive's AOM
`drive.switch`      `bool`            RF switch of that AOM (light passes only while True)
`coupling.rf`       `RFTone`          RF synthesizer channel of the coupling's AOM
`coupling.switch`   `bool`            RF switch of that AOM
`gradient.current`  `float` [A]       coil supply
`light`             `LightState`      laser
`probe.1`, ...      `bool`            probe light on ensemble 1, ...
`counter.gate`      `bool`            the photon counter is counting
==================  ================  ==================================================

Gaps mean nothing there: no RF, no light, 0 A, False. A dark RF tone (amplitude
word 0) is a gap as well. Every line of a timeline ends at the shot's period.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import CavityLabError

TIME_GRID = 1e-10
"""Seconds: times that differ by less than this are the same time in a key."""


class ApparatusFault(CavityLabError):
    """The physics has no honest answer to what the wires did; the message says why."""


@dataclass(frozen=True, slots=True)
class RFTone:
    """Radio frequency on a wire: frequency [Hz], power [dBm], phase [deg]."""

    frequency: float
    power_dbm: float
    phase_deg: float = 0.0

    @property
    def power(self) -> float:
        """RF power in watt."""
        return float(1e-3 * 10.0 ** (self.power_dbm / 10.0))


@dataclass(frozen=True, slots=True)
class LightState:
    """A laser's output: emitting at all, locked to its reference, power [W] (nan: not told)."""

    emission: bool
    locked: bool
    power: float = float("nan")

    @property
    def good(self) -> bool:
        """Light is there and at the right frequency."""
        return self.emission and self.locked


@dataclass(frozen=True, slots=True)
class Stretch:
    """The `value` of a line from `start` to `stop`, seconds after the shot's T0."""

    start: float
    stop: float
    value: Any

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.stop - self.start


Timeline = Mapping[str, tuple[Stretch, ...]]
"""One shot: sorted, non-overlapping stretches for each line; gaps are off (0, dark, False)."""

TimelineKey = tuple[tuple[str, tuple[tuple[Any, ...], ...]], ...]


class Apparatus(Protocol):
    """The physics behind the wires: turns the timeline of a shot into photon counts.

    Random numbers are keyed by (seed, shot number), drifts are functions of the
    time of the shot: the same shots asked for in other portions, or again,
    give the same counts.
    """

    def gates(self, timeline: Timeline) -> tuple[tuple[float, float, int | None], ...]:
        """Openings of `counter.gate` in time order: (start, stop, ensemble lit or None)."""
        ...

    def counts(
        self, timeline: Timeline, shots: range, times: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Photon counts, shape (len(shots), number of gates), of shots with one timeline.

        Args:
            timeline: What every one of these shots saw.
            shots: Consecutive shot numbers, counted from the start of the laboratory.
            times: Seconds on the laboratory's clock at each shot's T0.

        Raises:
            ApparatusFault: If the wires did something the physics cannot answer for.
        """
        ...

    def reveal(self) -> dict[str, Any]:
        """The hidden truth, averaged over the shots counted so far."""
        ...


@runtime_checkable
class ShowsOutput(Protocol):
    """An apparatus that also says what the photodiode behind its cavity gives."""

    def cavity_output(
        self, timeline: Timeline, shot: int, time: float, times: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Volts of the photodiode `times` seconds after the T0 of one shot.

        Args:
            timeline: What this shot saw.
            shot: Its number, counted from the start of the laboratory.
            time: Seconds on the laboratory's clock at its T0.
            times: Seconds after T0, ascending.

        Raises:
            ApparatusFault: If the wires did something the physics cannot answer for.
        """
        ...


def value_at(stretches: Iterable[Stretch], time: float, default: Any = None) -> Any:
    """The value of a line at `time` (start included, stop excluded), `default` in a gap."""
    for stretch in stretches:
        if stretch.start <= time < stretch.stop:
            return stretch.value
    return default


def tidy(stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
    """Sort, drop empty stretches, and join neighbours of equal value."""
    joined: list[Stretch] = []
    for stretch in sorted(stretches, key=lambda one: one.start):
        if stretch.duration < TIME_GRID / 2:
            continue
        last = joined[-1] if joined else None
        if last and last.value == stretch.value and stretch.start - last.stop < TIME_GRID / 2:
            joined[-1] = Stretch(last.start, max(last.stop, stretch.stop), last.value)
        else:
            joined.append(stretch)
    return tuple(joined)


def either(lines: Sequence[Sequence[Stretch]]) -> tuple[Stretch, ...]:
    """The OR of logic lines: True wherever one of them is."""
    if len(lines) == 1 and len(lines[0]) <= 1:
        return tuple(Stretch(one.start, one.stop, True) for one in lines[0] if one.value)
    windows = sorted((one.start, one.stop) for line in lines for one in line if one.value)
    merged: list[tuple[float, float]] = []
    for start, stop in windows:
        if merged and start <= merged[-1][1] + TIME_GRID / 2:
            merged[-1] = (merged[-1][0], max(merged[-1][1], stop))
        else:
            merged.append((start, stop))
    return tuple(Stretch(start, stop, True) for start, stop in merged)


def complement(stretches: Iterable[Stretch], start: float, stop: float) -> tuple[Stretch, ...]:
    """True from `start` to `stop` wherever the logic line `stretches` is not."""
    gaps: list[Stretch] = []
    cursor = start
    for one in either([list(stretches)]):
        if one.start > cursor:
            gaps.append(Stretch(cursor, min(one.start, stop), True))
        cursor = max(cursor, one.stop)
    if cursor < stop:
        gaps.append(Stretch(cursor, stop, True))
    return tidy(gaps)


def clip(stretches: Iterable[Stretch], start: float, stop: float) -> tuple[Stretch, ...]:
    """The part of a line between `start` and `stop`."""
    return tidy(
        Stretch(max(one.start, start), min(one.stop, stop), one.value)
        for one in stretches
        if one.stop > start and one.start < stop
    )


def timeline_key(timeline: Timeline, lines: Iterable[str] | None = None) -> TimelineKey:
    """A hashable form: two timelines with the same key are the same physics.

    Times are rounded to `TIME_GRID`, frequencies to 1 mHz, powers to 1e-6 dB,
    phases to 1e-6 deg, currents to 1 uA. An apparatus that does not care for
    some line, or for the phase of a tone, leaves it out before asking.

    Args:
        timeline: One shot.
        lines: Only these lines (default: all).
    """
    names = sorted(timeline if lines is None else lines)
    return tuple(
        (name, tuple(_stretch_keys(timeline.get(name, ())))) for name in names if name in timeline
    )


def plain_key(timeline: Timeline) -> TimelineKey:
    """A hashable form of which equal ones are exactly equal, nothing rounded."""
    return tuple(
        (name, tuple([(one.start, one.stop, one.value) for one in stretches]))
        for name, stretches in timeline.items()
    )


def _stretch_keys(stretches: Iterable[Stretch]) -> Iterator[tuple[Any, ...]]:
    for one in stretches:
        yield round(one.start / TIME_GRID), round(one.stop / TIME_GRID), _value_key(one.value)


def _value_key(value: Any) -> Any:
    if isinstance(value, RFTone):
        return (
            round(value.frequency * 1e3),
            round(value.power_dbm * 1e6),
            round(value.phase_deg * 1e6),
        )
    if isinstance(value, LightState):
        power = None if np.isnan(value.power) else round(value.power * 1e9)
        return value.emission, value.locked, power
    if isinstance(value, bool):
        return value
    return round(float(value) * 1e6)
