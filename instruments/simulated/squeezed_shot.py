"""From the wires of one shot to what an ensemble on a squeezed waveguide went through.

The atoms couple to the waveguide while `coupling.switch` is open under good light; they start all
down. Squeezed light reaches them where the OPO's pump is on as well: its RF power is r, its RF
phase is alpha, half its RF frequency is the carrier. Afterwards, uncoupled, one pulse of the drive
may turn them, and a gate with probe light counts those that are up. Phases are those of the RF
at T0, so that drive and squeezed light keep theirs to each other from shot to shot; where their
frequencies differ, they turn against each other in between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ...models.pulses import detuned_pulse
from .beams import TWO_PI, diffracted, edges_of, good_light, in_time, tone_at
from .lines import ApparatusFault, RFTone, Timeline, value_at
from .prepared import HARMLESS, refuse_early_readout
from .pumped_shot import only_gate
from .squeezed_truth import SqueezedTruth

FELT_LINES = ("squeezer.rf", "squeezer.switch", "coupling.switch", "drive.rf", "drive.switch")


@dataclass(frozen=True, slots=True)
class SqueezedShot:
    """What happened to the atoms until they were counted; angular rates.

    Attributes:
        squeezing: r of the light before its losses; 0 without any.
        detuning: Delta_N, the atoms' resonance less the carrier, while they are coupled.
        hold: Seconds of squeezed light.
        phase: alpha when the hold ends, in the frame of the bare atoms, rad.
        pulse_area: Of the pulse, rad; 0 without one.
        pulse_phase: Of the axis in the x-y plane about which it turns, in the same frame, rad.
    """

    squeezing: float = 0.0
    detuning: float = 0.0
    hold: float = 0.0
    phase: float = 0.0
    pulse_area: float = 0.0
    pulse_phase: float = 0.0

    @property
    def prepared(self) -> bool:
        """Whether squeezed light, or a pulse, has moved the atoms."""
        return self.hold > 0.0 or self.pulse_area != 0.0


@dataclass(frozen=True, slots=True)
class _Piece:
    """A time in which nothing changes that the atoms feel."""

    start: float
    stop: float
    pump: RFTone | None
    coupled: bool
    drive: RFTone | None


@dataclass(frozen=True, slots=True)
class _Light:
    """One tone's light on the atoms."""

    start: float
    stop: float
    tone: RFTone


def read_squeezed_shot(timeline: Timeline, truth: SqueezedTruth, power: float) -> SqueezedShot:
    """What happened in a shot with one gate.

    Args:
        timeline: What the wires did.
        truth: Of the laboratory.
        power: Factor on the optical power of the OPO's pump.

    Raises:
        ApparatusFault: If the shot is none that this physics can answer for.
    """
    gate = only_gate(timeline)
    pieces = [one for one in _pieces(timeline, truth) if one.start < gate.stop]
    hold, pulse = _hold(pieces), _pulse(pieces)
    lit = [one for one in (hold, pulse) if one is not None]
    if not lit:
        return SqueezedShot()
    _check_order(pieces, hold, pulse)
    refuse_early_readout(timeline, ("probe",), lit[0].start, lit[-1].stop)
    area, axis = _turn(pulse, truth) if pulse else (0.0, 0.0)
    if hold is None:
        return SqueezedShot(pulse_area=area, pulse_phase=axis)
    tone = hold.tone
    carrier = TWO_PI * 0.5 * truth.order * (tone.frequency - truth.squeezer.centre_frequency)
    alpha = truth.order * math.radians(tone.phase_deg) + truth.phase_offset
    return SqueezedShot(
        squeezing=_squeezing(tone, truth, power),
        detuning=TWO_PI * truth.shift - carrier,
        hold=hold.stop - hold.start,
        phase=(alpha - 2.0 * carrier * hold.stop) % TWO_PI,
        pulse_area=area,
        pulse_phase=axis,
    )


def _pieces(timeline: Timeline, truth: SqueezedTruth) -> list[_Piece]:
    light = good_light(timeline)
    coupled = timeline.get("coupling.switch", ())
    pieces = []
    edges = edges_of([light, *(timeline.get(name, ()) for name in FELT_LINES)])
    for start, stop in pairwise(edges):
        middle = 0.5 * (start + stop)
        lit = bool(value_at(light, middle, False))
        piece = _Piece(
            start,
            stop,
            tone_at(timeline, "squeezer", middle, lit, truth.squeezer),
            lit and bool(value_at(coupled, middle, False)),
            tone_at(timeline, "drive", middle, lit, truth.drive),
        )
        pieces.append(piece)
    return pieces


def _hold(pieces: Sequence[_Piece]) -> _Light | None:
    """The one hold under squeezed light; None without any."""
    held = [_Light(one.start, one.stop, one.pump) for one in pieces if one.coupled and one.pump]
    if any(first.stop != second.start for first, second in pairwise(held)):
        raise ApparatusFault(
            f"squeezed light reaches the atoms more than once ({_spans(held)}): one hold can be "
            "answered for: check the windows on squeezer.switch and coupling.switch"
        )
    if len({one.tone for one in held}) > 1:
        raise ApparatusFault(
            f"the RF on squeezer.rf changes while squeezed light is on the atoms ({_spans(held)}): "
            "keep power, phase and frequency until the hold is over"
        )
    return replace(held[0], stop=held[-1].stop) if held else None


def _pulse(pieces: Sequence[_Piece]) -> _Light | None:
    """The one pulse of the drive; None without any."""
    driven = [_Light(one.start, one.stop, one.drive) for one in pieces if one.drive]
    broken = any(first.stop != second.start for first, second in pairwise(driven))
    if broken or len({one.tone for one in driven}) > 1:
        raise ApparatusFault(
            f"the drive is no single, steady pulse ({_spans(driven)}): one can be answered for: "
            "check the tones on drive.rf and the windows on drive.switch"
        )
    return replace(driven[0], stop=driven[-1].stop) if driven else None


def _check_order(pieces: Sequence[_Piece], hold: _Light | None, pulse: _Light | None) -> None:
    """Hold, then the pulse, with the atoms uncoupled after the hold."""
    if hold and pulse and pulse.start < hold.stop:
        raise ApparatusFault(
            f"the drive is on from {in_time(pulse.start)}, before the squeezed light ends at "
            f"{in_time(hold.stop)}: the hold has no coherent drive: check the window on "
            "drive.switch"
        )
    begun = min(one.start for one in (hold, pulse) if one is not None)
    vacuum = [one for one in pieces if one.coupled and not one.pump and one.stop > begun]
    if sum(one.stop - one.start for one in vacuum) > HARMLESS:
        raise ApparatusFault(
            f"the atoms are coupled to the waveguide without squeezed light ({_spans(vacuum)}) "
            "after they were prepared, so they decay together: close coupling.switch with "
            "squeezer.switch, and keep the RF on squeezer.rf on until then"
        )


def _squeezing(tone: RFTone, truth: SqueezedTruth, power: float) -> float:
    """r = 2 artanh(s) of an OPO whose pump has the amplitude s of its threshold."""
    pump = diffracted(tone, truth.squeezer) * math.sqrt(power)
    if abs(pump) >= 1.0:
        raise ApparatusFault(
            f"the OPO is above its threshold ({pump:.3g} of the pump's amplitude there) and emits "
            "bright light, no squeezed vacuum: lower the RF power on squeezer.rf"
        )
    return 2.0 * math.atanh(abs(pump))


def _turn(pulse: _Light, truth: SqueezedTruth) -> tuple[float, float]:
    """Area of the pulse and phase of its axis in the frame of the bare atoms, rad."""
    tone = pulse.tone
    off = TWO_PI * (tone.frequency - truth.drive.centre_frequency)
    angles = detuned_pulse(TWO_PI * diffracted(tone, truth.drive), -off, pulse.stop - pulse.start)
    axis = math.radians(tone.phase_deg) + off * pulse.start - angles.phase_before
    return angles.area, axis % TWO_PI


def _spans(pieces: Sequence[_Piece | _Light]) -> str:
    return ", ".join(f"{in_time(one.start)} to {in_time(one.stop)}" for one in pieces)
