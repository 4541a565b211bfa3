"""Light on the atoms: where it is, what a modulator makes of its RF, and times in words.

Light of a beam reaches the atoms where the laser is good, the modulator's RF switch is open and
RF of the right frequency is on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .lines import (
    TIME_GRID,
    ApparatusFault,
    LightState,
    RFTone,
    Stretch,
    Timeline,
    either,
    value_at,
)
from .truth import BeamTruth

TWO_PI = 2.0 * math.pi


def good_light(timeline: Timeline) -> tuple[Stretch, ...]:
    """True where the laser emits at the right frequency."""
    return either(
        [
            [
                Stretch(one.start, one.stop, True)
                for one in timeline.get("light", ())
                if isinstance(one.value, LightState) and one.value.good
            ]
        ]
    )


def lit_time(timeline: Timeline, probe: str, window: Stretch) -> float:
    """Seconds of a window in which the probe light of the line `probe` is on the atoms."""
    return sum(
        max(0.0, min(a.stop, b.stop, window.stop) - max(a.start, b.start, window.start))
        for a in either([timeline.get(probe, ())])
        for b in good_light(timeline)
    )


def edges_of(lines: Iterable[Sequence[Stretch]]) -> list[float]:
    """Times at which any of the lines changes, ascending."""
    edges: list[float] = []
    for time in sorted(time for line in lines for one in line for time in (one.start, one.stop)):
        if not edges or time - edges[-1] > TIME_GRID / 2:
            edges.append(time)
    return edges


def tone_at(
    timeline: Timeline, beam: str, time: float, lit: bool, truth: BeamTruth, reach: float = 0.0
) -> RFTone | None:
    """The tone whose light reaches the atoms; None when they are dark.

    `reach` in Hz is how far off resonance it may be where that is answered for, beyond what is
    near enough anyway.

    Raises:
        ApparatusFault: If its frequency is too far off.
    """
    tone = value_at(timeline.get(f"{beam}.rf", ()), time)
    if not lit or not value_at(timeline.get(f"{beam}.switch", ()), time, False):
        return None
    if not isinstance(tone, RFTone):
        return None
    if abs(tone.frequency - truth.centre_frequency) > max(reach, truth.bandwidth):
        raise off_resonance(tone, beam, time, truth)
    return tone


def off_resonance(tone: RFTone | None, beam: str, time: float, truth: BeamTruth) -> ApparatusFault:
    """The fault of a tone whose frequency is too far off."""
    frequency = math.nan if tone is None else tone.frequency
    off = frequency - truth.centre_frequency
    return ApparatusFault(
        f"the RF on {beam}.rf at {in_time(time)} has {frequency * 1e-6:.6f} MHz, which is "
        f"{off:+.6g} Hz off the resonance at {truth.centre_frequency * 1e-6:.6f} MHz; within "
        f"{truth.bandwidth:g} Hz there is an answer: check the frequency in the synthesizer's "
        "table"
    )


def diffracted(tone: RFTone | None, truth: BeamTruth, power: int = 1) -> float:
    """The modulator's law in Hz: full strength * sin^power((pi/2) sqrt(P/P_sat))."""
    if tone is None:
        return 0.0
    angle = 0.5 * math.pi * math.sqrt(tone.power / truth.saturation_power)
    return truth.full_strength * math.sin(angle) ** power


def in_time(seconds: float) -> str:
    """A time that a person can read: `12.05 ms`, `5 us`."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if abs(seconds) >= scale:
            return f"{seconds / scale:.7g} {unit}"
    return f"{seconds / 1e-9:.4g} ns"
