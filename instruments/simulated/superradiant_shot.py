"""From the wires of one shot to what several ensembles in one cavity went through.

The atoms start all down. Ensemble k feels the cavity while RF is on `coupling_<k>.rf`, as strongly
as its power says; `drive.rf` drives the cavity, and through it all that are coupled. These
modulators have no switches: their light lasts as long as the tables' tones. Then, uncoupled, one
pulse of the analysis beam may turn all atoms alike, and gates with probe light on one ensemble
after the other count those that are up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from .beams import TWO_PI, diffracted, edges_of, good_light, in_time, tone_at
from .lines import ApparatusFault, RFTone, Stretch, Timeline, value_at
from .prepared import HARMLESS, refuse_early_readout
from .superradiant_truth import MOST_ENSEMBLES, SuperradiantTruth

ALWAYS = (Stretch(-math.inf, math.inf, True),)
"""The RF switch of a modulator that has none."""

MOST_MISALIGNED = 1e-3
"""Largest sine of the angle between two phases of the drive that count as one axis."""


@dataclass(frozen=True, slots=True)
class DriveStep:
    """A time of constant drive, while the atoms are coupled; `amplitude` is e/2pi in Hz, signed."""

    duration: float
    amplitude: float


@dataclass(frozen=True, slots=True)
class SuperradiantShot:
    """What happened to the atoms until they were counted; ordinary frequencies in Hz.

    Attributes:
        couplings: c_k while they are coupled.
        steps: The drive meanwhile, from the first coupled moment to the last.
        pulse_area: Of the analysis pulse, rad; 0 without one.
        pulse_phase: Of its axis from that of the drive, rad.
    """

    couplings: tuple[float, ...]
    steps: tuple[DriveStep, ...] = ()
    pulse_area: float = 0.0
    pulse_phase: float = 0.0

    @property
    def held(self) -> bool:
        """Whether the drive has reached coupled atoms."""
        return any(one.amplitude for one in self.steps)

    @property
    def prepared(self) -> bool:
        """Whether any light has moved the atoms."""
        return self.held or self.pulse_area != 0.0


@dataclass(frozen=True, slots=True)
class _Piece:
    """A time in which nothing changes that the atoms feel."""

    start: float
    stop: float
    couplings: tuple[float, ...]
    drive: RFTone | None
    analysis: RFTone | None

    @property
    def coupled(self) -> bool:
        return any(self.couplings)

    @property
    def duration(self) -> float:
        return self.stop - self.start


def read_superradiant_shot(
    timeline: Timeline, truth: SuperradiantTruth, power: float
) -> SuperradiantShot:
    """What happened in a shot.

    Args:
        timeline: What the wires did.
        truth: Of the laboratory.
        power: Factor on the optical power of the drive.

    Raises:
        ApparatusFault: If the shot is none that this physics can answer for.
    """
    _check_places(timeline, len(truth.atoms))
    gates = timeline.get("counter.gate", ())
    last = max((one.stop for one in gates), default=math.inf)
    pieces = [one for one in _pieces(timeline, truth) if one.start < last]
    hold = _hold(pieces)
    pulse = [one for one in pieces if one.analysis]
    lit = [*hold, *pulse]
    if not lit:
        return SuperradiantShot((0.0,) * len(truth.atoms))
    _check_pulse(hold, pulse)
    probes = [f"probe.{number}" for number in range(1, len(truth.atoms) + 1)]
    refuse_early_readout(timeline, probes, lit[0].start, max(one.stop for one in lit))
    reference = next((one.drive.phase_deg for one in hold if one.drive), 0.0)
    area, phase = 0.0, 0.0
    if pulse and (tone := pulse[0].analysis):
        duration = pulse[-1].stop - pulse[0].start
        area = TWO_PI * diffracted(tone, truth.analysis) * duration
        phase = math.radians(tone.phase_deg - reference) % TWO_PI
    return SuperradiantShot(
        couplings=hold[0].couplings if hold else (0.0,) * len(truth.atoms),
        steps=_steps(hold, reference, truth, math.sqrt(power)),
        pulse_area=area,
        pulse_phase=phase,
    )


def _check_places(timeline: Timeline, ensembles: int) -> None:
    """Nothing may shine where there is no ensemble."""
    for place in range(ensembles + 1, MOST_ENSEMBLES + 1):
        for line in (f"coupling_{place}.rf", f"probe.{place}"):
            if timeline.get(line, ()):
                raise ApparatusFault(
                    f"there is light of {line}, but there are {ensembles} ensembles: check the "
                    "wires of the laboratory file against its truth"
                )


def _pieces(timeline: Timeline, truth: SuperradiantTruth) -> list[_Piece]:
    """All that the atoms feel; a piece ends where any line changes."""
    beams = [f"coupling_{number}" for number in range(1, len(truth.atoms) + 1)]
    unswitched = {f"{beam}.switch": ALWAYS for beam in (*beams, "drive")}
    timeline = {**timeline, **unswitched}
    light = good_light(timeline)
    felt = [*(f"{beam}.rf" for beam in (*beams, "drive", "analysis")), "analysis.switch"]
    pieces = []
    for start, stop in pairwise(edges_of([light, *(timeline.get(name, ()) for name in felt)])):
        middle = 0.5 * (start + stop)
        lit = bool(value_at(light, middle, False))
        couplings = [
            diffracted(tone_at(timeline, beam, middle, lit, own), own)
            for beam, own in zip(beams, truth.couplings, strict=True)
        ]
        piece = _Piece(
            start,
            stop,
            tuple(couplings),
            tone_at(timeline, "drive", middle, lit, truth.drive),
            tone_at(timeline, "analysis", middle, lit, truth.analysis),
        )
        pieces.append(piece)
    return pieces


def _hold(pieces: Sequence[_Piece]) -> list[_Piece]:
    """The pieces from the first coupled moment to the last, all coupled alike."""
    hold = [one for one in pieces if one.coupled]
    if len({one.couplings for one in hold}) > 1:
        told = "; ".join(
            f"{in_time(one.start)} to {in_time(one.stop)}: "
            + ", ".join(f"{coupling:.4g} Hz" for coupling in one.couplings)
            for one in hold
        )
        raise ApparatusFault(
            f"the couplings change while the atoms feel the cavity ({told}): let the tones of all "
            "coupling_<k>.rf begin and end together, with constant powers"
        )
    if any(first.stop != second.start for first, second in pairwise(hold)):
        raise ApparatusFault(
            f"the atoms are coupled to the cavity more than once ({_spans(hold)}): one hold can "
            "be answered for: check the tones on coupling_<k>.rf"
        )
    return hold


def _check_pulse(hold: Sequence[_Piece], pulse: Sequence[_Piece]) -> None:
    if not pulse:
        return
    broken = any(first.stop != second.start for first, second in pairwise(pulse))
    if broken or len({one.analysis for one in pulse}) > 1:
        raise ApparatusFault(
            f"the analysis beam gives no single, steady pulse ({_spans(pulse)}): check the tones "
            "on analysis.rf and the window on analysis.switch"
        )
    if hold and hold[-1].stop - pulse[0].start > HARMLESS:
        raise ApparatusFault(
            f"the analysis pulse begins at {in_time(pulse[0].start)}, while the atoms are coupled "
            f"to the cavity until {in_time(hold[-1].stop)}: end the tones on coupling_<k>.rf "
            "before, or check the window on analysis.switch"
        )


def _steps(
    hold: Sequence[_Piece], reference: float, truth: SuperradiantTruth, scale: float
) -> tuple[DriveStep, ...]:
    """The drive during the hold; neighbours of one amplitude are one step."""
    steps: list[DriveStep] = []
    for one in hold:
        amplitude = scale * _signed(one.drive, reference, truth)
        if steps and steps[-1].amplitude == amplitude:
            steps[-1] = DriveStep(steps[-1].duration + one.duration, amplitude)
        else:
            steps.append(DriveStep(one.duration, amplitude))
    return tuple(steps)


def _signed(tone: RFTone | None, reference: float, truth: SuperradiantTruth) -> float:
    """Amplitude of the drive along the axis of its first tone."""
    if tone is None:
        return 0.0
    angle = math.radians(tone.phase_deg - reference)
    if abs(math.sin(angle)) > MOST_MISALIGNED:
        raise ApparatusFault(
            f"the drive changes its phase by {tone.phase_deg - reference:.4g} deg during the "
            "hold; along one axis (0 or 180 deg) there is an answer: check the table on drive.rf"
        )
    return math.copysign(diffracted(tone, truth.drive), math.cos(angle))


def _spans(pieces: Sequence[_Piece]) -> str:
    return ", ".join(f"{in_time(one.start)} to {in_time(one.stop)}" for one in pieces)
