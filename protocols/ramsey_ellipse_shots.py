"""The kinds of shots of the Ramsey protocol: prepared pairs and independent atoms, each at a bias.

Shots of a run are numbered by kind: the scan points of its records.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..instruments.timeline import Tone, Window
from .ramsey_ellipse_settings import RamseyEllipseSettings, bias_phase
from .sequence import PREPARATION, PULSE, Sequence

LEAD = 50e-6
"""Time from T0 to the preparation, in s: the tables start and the RF settles."""

GATE_GAP = 100e-6
"""Time before each counting gate, in s."""

BIASES = tuple(round(0.06 + 0.04 * k, 2) for k in range(38))
"""Bias phases that the second stage chooses among, rad: nearer than any feature of the
information (a quarter of the distance from a fold to its maximum), up to 1.54."""


@dataclass(frozen=True, slots=True)
class ShotKind:
    """One way to take a shot.

    Attributes:
        prepared: Whether the pair is prepared (squeezed); else a first pulse lays independent
            atoms down.
        dark_time: Between preparation (or first pulse) and pulse, s.
        bias_phase: Known part of the differential phase, rad.
        pulse_phase: Of the last pulse's tone against the first's, rad: pi reads the other side
            of the fringe, as pi more of the differential phase would.
    """

    prepared: bool
    dark_time: float
    bias_phase: float
    pulse_phase: float = 0.0

    @property
    def pulses(self) -> int:
        """Pulses whose finite length adds to the bias phase."""
        return 1 if self.prepared else 2


@dataclass(frozen=True, slots=True)
class IndependentAtoms(Sequence):
    """Two pulses without light on the coupling: the cavity does nothing, no atom knows another."""

    def _light_problems(self) -> Iterator[str]:
        for problem in Sequence._light_problems(self):
            if not problem.startswith("no single tone of the coupling"):
                yield problem
        if self.coupling:
            yield "independent atoms must see no light of the coupling, but it has a tone"


def kind_at(settings: RamseyEllipseSettings, prepared: bool, bias: float) -> ShotKind:
    """The kind of shot with a bias phase, or the nearest that the finite pulses leave."""
    pulses = 1 if prepared else 2
    dark = max(settings.dark_time_for(bias, pulses), 2e-6)
    knobs = settings.pulse_rabi_hz, settings.detuning_hz, settings.pulse_time
    return ShotKind(prepared, dark, bias_phase(*knobs, dark, pulses))


def kinds_of(settings: RamseyEllipseSettings) -> tuple[ShotKind, ...]:
    """Every kind of shot that a run may take, by its number.

    First comes the fixed bias, or that of the first stage: the phase of a signal in the middle of
    its range is pi/4 then. A reference is the last, its phase at pi/4 as well, where independent
    atoms tell most.
    """
    middle = 0.5 * sum(settings.signal_range)
    quarter = (math.pi / 4 - middle) % math.pi
    if settings.schedule == "fixed":
        dark, bias = settings.bias()
        kinds = [ShotKind(True, dark, bias)]
        if settings.narrow:
            kinds.append(ShotKind(True, dark, bias, math.pi))
    else:
        kinds = [kind_at(settings, True, bias) for bias in (quarter, *BIASES)]
    if settings.reference != "none":
        kinds.append(kind_at(settings, False, quarter))
    return tuple(kinds)


def sequence_of(settings: RamseyEllipseSettings, kind: ShotKind) -> Sequence:
    """One shot of a kind; raises SequenceError when the settings do not make a sound one."""
    length = settings.hold if kind.prepared else settings.pulse_time
    first = settings.preparation_rabi_hz if kind.prepared else settings.pulse_rabi_hz
    pulse_start = LEAD + length + kind.dark_time
    pulse_stop = pulse_start + settings.pulse_time
    gates = (pulse_stop + GATE_GAP, pulse_stop + 2 * GATE_GAP + settings.gate)
    make = Sequence if kind.prepared else IndependentAtoms
    sequence = make(
        drive=(
            Tone(LEAD, length, first),
            Tone(pulse_start, settings.pulse_time, settings.pulse_rabi_hz, kind.pulse_phase),
        ),
        coupling=(Tone(LEAD, length, settings.collective_decay_hz),) if kind.prepared else (),
        windows=(
            Window(PREPARATION, LEAD, length),
            Window(PULSE, pulse_start, settings.pulse_time),
            Window("ensemble_1", gates[0], settings.gate),
            Window("ensemble_2", gates[1], settings.gate),
        ),
        period=settings.shot_period,
    )
    sequence.check()
    return sequence
