"""From what the wires did in one shot to what happened to two ensembles between two reservoirs.

Four Raman tones, two for each mode of the cavity, give the jumps

    Gamma_a = G_-^a O1 + G_+^a O2^+,   Gamma_b = G_-^b O2 + G_+^b O1^+,   G = g Omega / (2 Delta),

at the rate 4/kappa (Mamaev et al., "Non-Gaussian generalized two-mode squeezing", Eqs. 10,
S54-S56): with equal pairs, gamma = 4 (G_-^2 - G_+^2)/kappa and tanh r = G_+/G_-. The gradient of
the coil parts the resonances of the ensembles by as much as the cavity's modes are apart. Then
each ensemble is turned by a pulse of its own, and both are counted, one after the other. Where
this story does not hold, an `ApparatusFault` says what the wires did instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ...models.pulses import detuned_pulse
from ...models.two_mode_squeezing_outcomes import PairLight
from .beams import TWO_PI, diffracted, edges_of, good_light, in_time, tone_at
from .lines import TIME_GRID, ApparatusFault, RFTone, Timeline, either, value_at
from .two_ensemble_pieces import Gate, read_gates
from .two_mode_truth import ANALYSIS, RAMAN, TwoModeTruth

MOST_SMALL = 0.1
"""Largest of the ratios that eliminating cavity and excited states asks to be small."""

LEAST_SPLITTING = 5.0
"""Smallest distance of the modes, in linewidths, for which the two reservoirs are two."""

MOST_MISMATCH = 0.1
"""Largest difference of gradient and mode splitting, in linewidths: the rates fall by 1 % there."""

MOST_SCATTERED = 0.01
"""Largest probability of an atom to scatter a photon while it is prepared."""

SAME_PHASE = 2e-3
"""Radians within which the two pairs' phase differences count as equal."""

FELT_LINES = (
    *(f"{beam}.{what}" for beam in (*RAMAN, *ANALYSIS) for what in ("rf", "switch")),
    "gradient.current",
    "counter.gate",
)


@dataclass(frozen=True, slots=True)
class TwoModePiece:
    """A time in which nothing changes that the atoms feel.

    Attributes:
        tones: On the atoms, in the order of `RAMAN`, then of `ANALYSIS`; None: dark.
        rabi: Their Rabi frequencies, ordinary, Hz.
        splitting: Of the ensembles' resonances, Hz.
    """

    start: float
    stop: float
    tones: tuple[RFTone | None, ...]
    rabi: tuple[float, ...]
    splitting: float

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.stop - self.start

    @property
    def raman(self) -> bool:
        """Whether any light of the engineered dissipation is on."""
        return any(self.rabi[:4])

    @property
    def analysis(self) -> bool:
        """Whether any ensemble is being turned."""
        return any(self.rabi[4:])


@dataclass(frozen=True, slots=True)
class TwoModeShot:
    """What one shot did to the atoms before they were counted.

    Attributes:
        lights: The engineered dissipation, one after the other.
        angles: By which each ensemble was turned, radians.
        phase: Of the quadrature that this reads: 0 is X, pi is Y.
        ended: When the last light was over, seconds after T0.
    """

    lights: tuple[PairLight, ...] = ()
    angles: tuple[float, float] = (0.0, 0.0)
    phase: float = 0.0
    ended: float = 0.0

    @property
    def preparation(self) -> PairLight | None:
        """The longest light with all four tones; None without any."""
        whole = [one for one in self.lights if all((*one.lower, *one.lift))]
        return max(whole, key=lambda one: one.duration) if whole else None


def read_two_mode_shot(
    timeline: Timeline, truth: TwoModeTruth, light_scale: float = 1.0, current_scale: float = 1.0
) -> TwoModeShot:
    """What happened to the atoms; no light and no turn where nothing reached them.

    Args:
        timeline: What the wires did.
        truth: Of the laboratory.
        light_scale, current_scale: Factors on all Rabi frequencies and on the coil current.

    Raises:
        ApparatusFault: If the shot is none that this physics can answer for.
    """
    gates = read_gates(timeline)
    last = gates[-1].stop if gates else math.inf
    pieces = [one for one in _cut(timeline, truth, light_scale, current_scale) if one.start < last]
    acting = [piece for piece in pieces if piece.raman or piece.analysis]
    if not acting:
        return TwoModeShot()
    prepared = [piece for piece in acting if piece.raman]
    turning = [piece for piece in acting if piece.analysis]
    _check_order(prepared, turning)
    _check_counting(timeline, gates, acting)
    theta = _squeezing_phase(prepared)
    for piece in prepared:
        _check_gradient(piece, truth)
        _check_elimination(piece, truth)
    lights = tuple(_light(piece, truth) for piece in prepared)
    _check_scattering(prepared, truth)
    angles, before = _turns(turning, truth)
    return TwoModeShot(lights, angles, (math.pi + before + theta) % TWO_PI, acting[-1].stop)


def _cut(
    timeline: Timeline, truth: TwoModeTruth, light_scale: float, current_scale: float
) -> list[TwoModePiece]:
    """All that the atoms feel, in pieces; equal neighbours are one piece."""
    light = good_light(timeline)
    pieces: list[TwoModePiece] = []
    lines = [light, *(timeline.get(name, ()) for name in FELT_LINES)]
    for start, stop in pairwise(edges_of(lines)):
        middle = 0.5 * (start + stop)
        lit = bool(value_at(light, middle, False))
        tones = tuple(
            tone_at(timeline, beam, middle, lit, truth.beams[beam]) for beam in (*RAMAN, *ANALYSIS)
        )
        rabi = tuple(
            light_scale * diffracted(tone, truth.beams[beam])
            for tone, beam in zip(tones, (*RAMAN, *ANALYSIS), strict=True)
        )
        current = float(value_at(timeline.get("gradient.current", ()), middle, 0.0))
        splitting = truth.slope * current * current_scale + truth.offset
        if pieces:
            before = pieces[-1]
            if (before.tones, before.rabi, before.splitting) == (tones, rabi, splitting):
                start = pieces.pop().start
        pieces.append(TwoModePiece(start, stop, tones, rabi, splitting))
    return pieces


def _light(piece: TwoModePiece, truth: TwoModeTruth) -> PairLight:
    """The jumps of this piece: sqrt(4/kappa) G, angular, in modes off by half the mismatch."""
    cavity = truth.cavity
    mismatch = (piece.splitting - cavity.mode_splitting) / cavity.linewidth
    unit = math.sqrt(TWO_PI * 4.0 / (cavity.linewidth * (1.0 + mismatch**2)))
    lower_a, lift_a, lower_b, lift_b = (unit * one for one in _couplings(piece, truth))
    return PairLight(piece.duration, (lower_a, lower_b), (lift_a, lift_b))


def _couplings(piece: TwoModePiece, truth: TwoModeTruth) -> tuple[float, ...]:
    """|G| = g Omega/(2 |Delta|) of the four tones, Hz."""
    cavity = truth.cavity
    detunings = (cavity.detuning_minus, cavity.detuning_plus) * 2
    return tuple(
        0.5 * cavity.coupling * rabi / abs(detuning)
        for rabi, detuning in zip(piece.rabi[:4], detunings, strict=True)
    )


def _squeezing_phase(prepared: Sequence[TwoModePiece]) -> float:
    """Phase of the raising tone behind the lowering one, the same in both modes, radians."""
    found: list[tuple[str, float, float]] = []
    for piece in prepared:
        for mode, place in (("a", 0), ("b", 2)):
            lowering, raising = piece.tones[place : place + 2]
            if lowering is not None and raising is not None:
                ahead = math.radians(raising.phase_deg - lowering.phase_deg)
                found.append((mode, piece.start, ahead))
    for mode, start, ahead in found[1:]:
        apart = math.remainder(ahead - found[0][2], TWO_PI)
        if abs(apart) > SAME_PHASE:
            raise ApparatusFault(
                f"from {in_time(start)} on the raising tone of mode {mode} is {apart:+.4g} rad "
                f"further ahead of its lowering tone than in mode {found[0][0]} from "
                f"{in_time(found[0][1])} on: the two jumps then share no dark state, for which "
                "there is no answer: check the phases on raising_a.rf, raising_b.rf, "
                "lowering_a.rf and lowering_b.rf"
            )
    return found[0][2] if found else 0.0


def _turns(
    turning: Sequence[TwoModePiece], truth: TwoModeTruth
) -> tuple[tuple[float, float], float]:
    """Angles of both ensembles, and the sum of the phases that their pulses add."""
    if not turning:
        return (0.0, 0.0), -math.pi
    angles, phases = [], []
    for number, beam in enumerate(ANALYSIS, start=1):
        pieces = [piece for piece in turning if piece.rabi[3 + number]]
        if not pieces:
            raise ApparatusFault(
                f"the analysis pulse ({_span(turning)}) never reaches ensemble {number}, so that "
                f"the two ensembles are read in different quadratures: check the RF on {beam}.rf, "
                f"the window on {beam}.switch and the laser"
            )
        if any(b.start - a.stop > TIME_GRID for a, b in pairwise(pieces)) or any(
            (one.tones[3 + number], one.splitting)
            != (pieces[0].tones[3 + number], pieces[0].splitting)
            for one in pieces
        ):
            raise ApparatusFault(
                f"the light that turns ensemble {number} ({_span(pieces)}) is not one constant "
                f"pulse: check the table on {beam}.rf, the window on {beam}.switch and the "
                "current on gradient.current"
            )
        off = 0.5 * (pieces[0].splitting - truth.cavity.mode_splitting)
        detuning = TWO_PI * (off if number == 1 else -off)
        turn = detuned_pulse(
            TWO_PI * pieces[0].rabi[3 + number], detuning, pieces[-1].stop - pieces[0].start
        )
        tone = pieces[0].tones[3 + number]
        phase = math.radians(tone.phase_deg) if tone is not None else 0.0
        angles.append(turn.area)
        phases.append(turn.phase_before - phase)
    return (angles[0], angles[1]), math.fsum(phases)


def _check_order(prepared: Sequence[TwoModePiece], turning: Sequence[TwoModePiece]) -> None:
    if prepared and turning and prepared[-1].stop > turning[0].start + TIME_GRID:
        raise ApparatusFault(
            f"Raman light is on the atoms until {in_time(prepared[-1].stop)}, and the analysis "
            f"pulse ({_span(turning)}) begins before: the reservoirs would undo it: check the "
            "windows on analysis_1.switch, analysis_2.switch and on the switches of the Raman tones"
        )


def _check_counting(
    timeline: Timeline, gates: Sequence[Gate], acting: Sequence[TwoModePiece]
) -> None:
    """The atoms must stand still from the first gate on, and be in the dark before."""
    end = acting[-1].stop
    if gates and gates[0].start < end - TIME_GRID:
        late = next(piece for piece in acting if piece.stop > gates[0].start)
        what = "the analysis pulse" if late.analysis else "the Raman light"
        raise ApparatusFault(
            f"the counter's gate opens at {in_time(gates[0].start)}, before {what} is over at "
            f"{in_time(end)}: counting there would read the atoms before they are ready: move the "
            "gate on counter.gate, or check which windows are wired to it"
        )
    for ensemble in (1, 2):
        for one in either([timeline.get(f"probe.{ensemble}", ())]):
            if one.start < end - TIME_GRID and one.stop > acting[0].start:
                raise ApparatusFault(
                    f"probe light is on ensemble {ensemble} from {in_time(one.start)} to "
                    f"{in_time(one.stop)}, before the last light is over at {in_time(end)}: it "
                    f"destroys the state: check the window on probe.{ensemble}"
                )


def _check_gradient(piece: TwoModePiece, truth: TwoModeTruth) -> None:
    cavity = truth.cavity
    off = piece.splitting - cavity.mode_splitting
    if cavity.mode_splitting < LEAST_SPLITTING * cavity.linewidth:
        raise ApparatusFault(
            f"the modes are {cavity.mode_splitting:g} Hz apart, less than {LEAST_SPLITTING:g} "
            f"linewidths of {cavity.linewidth:g} Hz: they are not two reservoirs: raise "
            "mode_splitting in the laboratory file"
        )
    if abs(off) > MOST_MISMATCH * cavity.linewidth:
        raise ApparatusFault(
            f"while the Raman tones are on ({_span([piece])}), the gradient parts the ensembles "
            f"by {piece.splitting:.7g} Hz, {off:+.4g} Hz off the distance of the cavity's modes; "
            f"within {MOST_MISMATCH:g} linewidths ({MOST_MISMATCH * cavity.linewidth:.4g} Hz) "
            "there is an answer: check the coil current on gradient.current"
        )


def _check_elimination(piece: TwoModePiece, truth: TwoModeTruth) -> None:
    """Cavity and excited states follow at once only where these numbers are small."""
    cavity = truth.cavity
    for beam, rabi in zip(RAMAN, piece.rabi[:4], strict=True):
        if rabi < 0.0:
            raise ApparatusFault(
                f"the RF power on {beam}.rf ({_span([piece])}) is far beyond the modulator's "
                "saturation, where its light fades again: lower the power in the table"
            )
    strongest = max(_couplings(piece, truth))
    ratios = {
        "N gamma_0/kappa": 4.0 * sum(truth.atoms) * (strongest / cavity.linewidth) ** 2,
        "G/kappa": strongest / cavity.linewidth,
        "Omega/(2 Delta)": strongest / cavity.coupling,
    }
    name, ratio = max(ratios.items(), key=lambda one: one[1])
    if ratio > MOST_SMALL:
        raise ApparatusFault(
            f"the Raman tones ({_span([piece])}) are so strong that {name} = {ratio:.3g}: up to "
            f"{MOST_SMALL:g} the cavity and its excited states follow at once: lower the RF power "
            "on the Raman tones"
        )


def _check_scattering(prepared: Sequence[TwoModePiece], truth: TwoModeTruth) -> None:
    scattered = scattered_photons(prepared, truth)
    if scattered > MOST_SCATTERED:
        raise ApparatusFault(
            f"during the preparation ({_span(prepared)}) an atom scatters {scattered:.3g} photons "
            f"off resonance, and up to {MOST_SCATTERED:g} can be left out: shorten the window on "
            "the switches of the Raman tones, or lower excited_linewidth in the laboratory file"
        )


def scattered_photons(prepared: Sequence[TwoModePiece], truth: TwoModeTruth) -> float:
    """Gamma (Omega/2 Delta)^2 t of the two tones that an atom sees, the larger of the ensembles."""
    rate = TWO_PI * truth.cavity.excited_linewidth / truth.cavity.coupling**2
    first = second = 0.0
    for piece in prepared:
        lower_a, lift_a, lower_b, lift_b = _couplings(piece, truth)
        first += piece.duration * (lower_a**2 + lift_b**2)
        second += piece.duration * (lower_b**2 + lift_a**2)
    return rate * max(first, second)


def _span(pieces: Sequence[TwoModePiece]) -> str:
    return f"{in_time(pieces[0].start)} to {in_time(pieces[-1].stop)}"
