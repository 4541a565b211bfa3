"""From what the wires did in one shot to what happened to two ensembles in a cavity.

The lines are cut where any of them changes. Light reaches the atoms where the laser is good,
the modulator's RF switch is open and RF is on the wire. Then

* preparation: drive and coupling are both on, long enough to reach the dark state
  (Chu et al., "Reconfigurable dissipative entanglement", section III);
* dark time: phase = signal + integral of Delta/2 up to the pulse;
* pulse: the drive alone. Its detuning of +-Delta/2 adds to the phase and to the pulse area;
* readout: each counting gate sees the ensembles that are lit meanwhile.

Without any coupling the atoms are independent, and one pulse (`two_ensemble_pulse`) or two
(`two_ensemble_fringe`) are answered for; so is the coupling alone after one pulse
(`two_ensemble_decay`). Where none of these stories holds, an `ApparatusFault`
says what the wires did instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...models.pulses import detuned_pulse
from ...models.two_ensembles import SteadyState, TwoEnsembles, steady_state
from .beams import TWO_PI, off_resonance
from .beams import in_time as _at
from .lines import ApparatusFault, Timeline, either
from .truth import TwoEnsembleTruth
from .two_ensemble_decay import MOST_TURN, DecayedShot
from .two_ensemble_fringe import FringeShot
from .two_ensemble_pieces import Gate, Piece, cut_pieces, read_gates
from .two_ensemble_pieces import runs_of as _runs
from .two_ensemble_pieces import span_of as _span
from .two_ensemble_pulse import PulsedShot, SweptShot
from .two_ensemble_selective import SelectiveShot, selective_pulse

__all__ = [
    "HARMLESS",
    "LARGEST_FIRST_TURN",
    "LEAST_RELAXATION",
    "Gate",
    "Piece",
    "ShotPhysics",
    "cut_pieces",
    "read_gates",
    "read_shot",
]

LEAST_RELAXATION = 10.0
"""Smallest Gamma * time * Var(S1y + S2y) at which the state is taken for the steady one.

From all-down the infidelity falls below 1e-3 after 5 to 8 for S Delta/Omega >= 2.
"""

HARMLESS = 1e-6
"""Seconds: coupling light after the preparation that is too short for the atoms to emit."""

LARGEST_SHIFT = 20e3
"""Hz: a drive that is further off resonance is a mistake and no pulse on one ensemble alone."""

LARGEST_FIRST_TURN = math.pi
"""Radians: a longer first pulse without coupling is a preparation that failed, not a pulse."""


@dataclass(frozen=True, slots=True)
class ShotPhysics:
    """What one shot did to the atoms.

    Attributes:
        detuning_ratio: Delta/Omega of the preparation.
        phase: Differential phase when the pulse acts: signal, dark time and pulse, radians.
        bias_phase: `phase` without the signal.
        pulse_area: Effective area of the pulse, radians; 0 without a pulse.
        relaxation: Gamma * time * Var of the preparation.
        turn: Phase of the pulse's tone less that of the preparation's, radians.
    """

    detuning_ratio: float
    phase: float
    bias_phase: float
    pulse_area: float
    relaxation: float
    turn: float = 0.0


def read_shot(
    timeline: Timeline,
    truth: TwoEnsembleTruth,
    drive_scale: float = 1.0,
    current_scale: float = 1.0,
) -> ShotPhysics | PulsedShot | None:
    """What happened to the atoms; None if no drive ever reached them (all stay down).

    Args:
        timeline: What the wires did.
        truth: Of the laboratory.
        drive_scale, current_scale: Factors on the Rabi frequency and the coil current.

    Raises:
        ApparatusFault: If the shot is none that this physics can answer for.
    """
    gates = read_gates(timeline)
    pieces = cut_pieces(timeline, truth, drive_scale, current_scale, LARGEST_SHIFT)
    last = gates[-1].stop if gates else math.inf
    pieces = [piece for piece in pieces if piece.start < last]
    if not any(piece.rabi for piece in pieces):
        return None
    if any(piece.shift for piece in pieces if piece.rabi):
        return _selective(pieces, gates, timeline, truth)
    driven = _runs([piece for piece in pieces if piece.rabi])
    if not any(piece.decay for piece in pieces):
        if len(driven) == 1:
            return _pulsed(pieces, gates, timeline)
        if len(driven) == 2 and _turn(driven[0]) <= LARGEST_FIRST_TURN:
            return _fringe(driven, pieces, gates, timeline, truth)
    elif len(driven) == 1 and all(
        piece.start >= driven[0][-1].stop for piece in pieces if piece.decay
    ):
        return _decayed(pieces, gates, timeline)
    preparation, state = _preparation(pieces, truth)
    later = [piece for piece in pieces if piece.start >= preparation.stop]
    _check_decoupled(later)
    pulse = _pulse(later)
    end = pulse.stop if pulse else preparation.stop
    for gate in gates:
        if gate.start < end:
            raise ApparatusFault(_early_gate(gate, preparation, pulse))
    _check_probes(timeline, preparation, end)
    until = pulse.start if pulse else gates[0].start if gates else preparation.stop
    dark = sum(
        0.5 * piece.detuning * (min(piece.stop, until) - piece.start)
        for piece in later
        if piece.start < until
    )
    area, before, turn = 0.0, 0.0, 0.0
    if pulse:
        if pulse.drive_tone is not None and preparation.drive_tone is not None:
            turn = math.radians(pulse.drive_tone.phase_deg - preparation.drive_tone.phase_deg)
        angles = detuned_pulse(pulse.rabi, 0.5 * pulse.detuning, pulse.duration)
        area, before = angles.area, angles.phase_before
    return ShotPhysics(
        detuning_ratio=state.parameters.detuning_ratio,
        phase=truth.signal + dark + before,
        bias_phase=dark + before,
        pulse_area=area,
        relaxation=_relaxation(preparation, state),
        turn=turn,
    )


def _pulsed(pieces: list[Piece], gates: Sequence[Gate], timeline: Timeline) -> PulsedShot:
    """The one pulse on atoms that nothing prepared; the coil's current may move meanwhile."""
    parts = [piece for piece in pieces if piece.rabi]
    moved = len({piece.detuning for piece in parts}) > 1
    if moved:
        turned = sum(piece.detuning * piece.duration for piece in parts)
        mean = turned / (parts[-1].stop - parts[0].start)
        pulse = _pulse([replace(piece, detuning=mean) for piece in parts])
    else:
        pulse = _pulse(pieces)
    if pulse is None:
        raise ApparatusFault("no drive reached the atoms: check drive.rf and drive.switch")
    for gate in gates:
        if gate.start < pulse.stop:
            raise ApparatusFault(_early_gate(gate, pulse, pulse))
    _check_probes(timeline, pulse, pulse.stop)
    known = pulse.rabi, pulse.detuning, pulse.duration
    if moved:
        return SweptShot(*known, tuple((piece.detuning, piece.duration) for piece in parts))
    return PulsedShot(*known)


def _selective(
    pieces: list[Piece], gates: Sequence[Gate], timeline: Timeline, truth: TwoEnsembleTruth
) -> SelectiveShot:
    """One pulse off resonance on unprepared atoms; light off resonance is nothing else."""
    pulse = selective_pulse(pieces)
    if pulse is None:
        wrong = next(piece for piece in pieces if piece.rabi and piece.shift)
        raise off_resonance(wrong.drive_tone, "drive", wrong.start, truth.drive)
    for gate in gates:
        if gate.start < pulse.stop:
            raise ApparatusFault(_early_gate(gate, pulse, pulse))
    _check_probes(timeline, pulse, pulse.stop)
    return SelectiveShot(pulse.rabi, pulse.detuning, pulse.duration, pulse.shift)


def _decayed(pieces: list[Piece], gates: Sequence[Gate], timeline: Timeline) -> DecayedShot:
    """One pulse on unprepared atoms, then the coupling alone."""
    pulse = _pulse(pieces)
    if pulse is None:
        raise ApparatusFault("no drive reached the atoms: check drive.rf and drive.switch")
    coupled = [piece for piece in pieces if piece.decay]
    end = coupled[-1].stop
    for gate in gates:
        if gate.start < end:
            raise ApparatusFault(
                f"the counter's gate opens at {_at(gate.start)}, while the cavity is coupled "
                f"({_span(coupled[0], coupled[-1])}): check the windows on counter.gate and "
                "coupling.switch"
            )
    _check_probes(timeline, pulse, end)
    apart = sum(
        0.5 * abs(piece.detuning) * piece.duration
        for piece in pieces
        if pulse.stop <= piece.start < end
    )
    if apart > MOST_TURN:
        raise ApparatusFault(
            f"the detuning difference turns the ensembles {apart:.3g} rad apart before the "
            f"coupling closes at {_at(end)}, so they do not decay as one; up to {MOST_TURN:g} rad "
            "there is an answer: check the coil current on gradient.current"
        )
    return DecayedShot(
        rabi=pulse.rabi,
        detuning=pulse.detuning,
        duration=pulse.duration,
        decay=sum(piece.decay * piece.duration for piece in coupled),
    )


def _turn(run: Sequence[Piece]) -> float:
    return sum(abs(piece.rabi) * piece.duration for piece in run)


def _fringe(
    driven: Sequence[list[Piece]],
    pieces: Sequence[Piece],
    gates: Sequence[Gate],
    timeline: Timeline,
    truth: TwoEnsembleTruth,
) -> FringeShot:
    """Two pulses on atoms that nothing prepared, and the phase between them."""
    first, second = (_pulse(run) for run in driven)
    if first is None or second is None:
        raise ApparatusFault("no drive reached the atoms: check drive.rf and drive.switch")
    for gate in gates:
        if gate.start < second.stop:
            raise ApparatusFault(_early_gate(gate, first, second))
    _check_probes(timeline, first, second.stop)
    begin, end = (
        detuned_pulse(one.rabi, 0.5 * one.detuning, one.duration) for one in (first, second)
    )
    dark = sum(
        0.5 * piece.detuning * piece.duration
        for piece in pieces
        if first.stop <= piece.start < second.start
    )
    return FringeShot(
        rabi=second.rabi,
        detuning=second.detuning,
        duration=second.duration,
        first_area=begin.area,
        area=end.area,
        phase=truth.signal + begin.phase_after + dark + end.phase_before,
    )


def _preparation(pieces: list[Piece], truth: TwoEnsembleTruth) -> tuple[Piece, SteadyState]:
    """The last constant piece of the longest time with drive and coupling."""
    together = _runs([piece for piece in pieces if piece.rabi and piece.decay])
    if not together:
        raise ApparatusFault(_not_prepared(pieces))
    run = max(together, key=lambda run: run[-1].stop - run[0].start)
    piece = run[-1]
    if piece.detuning == 0.0:
        raise ApparatusFault(
            f"the detuning difference is 0 during the preparation ({_span(piece)}), where the pair "
            "has no unique steady state: check the coil current on gradient.current"
        )
    if piece.rabi < 0.0:
        raise ApparatusFault(
            f"the RF power on drive.rf during the preparation ({_span(piece)}) is far beyond the "
            "modulator's saturation, where its light fades again: lower the power in the table"
        )
    state = steady_state(
        TwoEnsembles(truth.spin, piece.rabi, piece.detuning, collective_decay=piece.decay)
    )
    reached = _relaxation(piece, state)
    if reached < LEAST_RELAXATION:
        changed = (
            f" (the last change of drive, coupling or current was at {_at(piece.start)})"
            if len(run) > 1
            else ""
        )
        needed = piece.duration * LEAST_RELAXATION / reached
        raise ApparatusFault(
            f"the preparation ({_span(piece)}) is too short{changed}: Gamma * t * Var(S1y + S2y) = "
            f"2 pi * {piece.decay / TWO_PI:.4g} Hz * {_at(piece.duration)} * {state.variance:.4g} "
            f"= {reached:.3g}, and {LEAST_RELAXATION:g} is needed to reach the dark state: hold "
            f"at least {_at(needed)}, or raise the RF power on coupling.rf"
        )
    return piece, state


def _relaxation(piece: Piece, state: SteadyState) -> float:
    return piece.decay * piece.duration * state.variance


def _check_decoupled(later: list[Piece]) -> None:
    coupled = [piece for piece in later if piece.decay]
    if sum(piece.duration for piece in coupled) <= HARMLESS:
        return
    driven = any(piece.rabi for piece in coupled)
    raise ApparatusFault(
        f"the cavity is coupled after the preparation ({_span(coupled[0])}"
        f"{', with the drive on' if driven else ''}): the ensembles decay collectively while they "
        "should keep their phase: close coupling.switch, and end the tone on coupling.rf, with the "
        "preparation"
    )


def _pulse(later: list[Piece]) -> Piece | None:
    """The one pulse after the preparation, if there is any."""
    runs = _runs([piece for piece in later if piece.rabi])
    if not runs:
        return None
    if len(runs) > 1:
        listed = ", ".join(f"{_at(run[0].start)} to {_at(run[-1].stop)}" for run in runs)
        raise ApparatusFault(
            f"the drive reaches the atoms {len(runs)} times after the preparation ({listed}) and "
            "before the last gate closes; one pulse can be answered for: check the windows on "
            "drive.switch"
        )
    (pieces,) = runs
    if len({(piece.drive_tone, piece.rabi, piece.detuning) for piece in pieces}) > 1:
        changes = ", ".join(_at(piece.start) for piece in pieces[1:])
        raise ApparatusFault(
            f"the drive or the coil current changes inside the pulse ({_at(pieces[0].start)} to "
            f"{_at(pieces[-1].stop)}) at {changes}: a pulse must be one constant tone on drive.rf "
            "at one current on gradient.current"
        )
    return replace(pieces[0], stop=pieces[-1].stop)


def _check_probes(timeline: Timeline, preparation: Piece, end: float) -> None:
    for ensemble in (1, 2):
        for one in either([timeline.get(f"probe.{ensemble}", ())]):
            if one.start < end and one.stop > preparation.start:
                raise ApparatusFault(
                    f"probe light is on ensemble {ensemble} from {_at(one.start)} to "
                    f"{_at(one.stop)}, before the pulse is over at {_at(end)}: it destroys the "
                    f"state: check the window on probe.{ensemble}"
                )


def _not_prepared(pieces: list[Piece]) -> str:
    drive = ", ".join(_span(run[0], run[-1]) for run in _runs([one for one in pieces if one.rabi]))
    coupled = ", ".join(
        _span(run[0], run[-1]) for run in _runs([one for one in pieces if one.decay])
    )
    return (
        f"drive and coupling are never on together, so nothing was prepared: drive light "
        f"{drive}; coupling light {coupled or 'never'}: check coupling.rf, coupling.switch and "
        "drive.switch"
    )


def _early_gate(gate: Gate, preparation: Piece, pulse: Piece | None) -> str:
    what = "pulse" if pulse else "preparation"
    return (
        f"the counter's gate opens at {_at(gate.start)}, before the {what} "
        f"({_span(pulse or preparation)}) is over: counting there would measure the atoms "
        "before their phase is turned into populations: move the gate on counter.gate, or check "
        "which window is wired to it"
    )
