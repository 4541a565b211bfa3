"""From what the wires did in one shot to the pump that the atoms felt and the gate that read them.

Every shot starts with all atoms down. The pump acts where the laser is good, its modulator's RF
switch is open and RF is on the wire; meanwhile and in the dark the atoms decay into the cavity.
One gate with probe light on reads how many atoms are up; without probe light it counts what they
emit off the axis while they go on, where the detector sees that. Where this story does not hold, an
`ApparatusFault` says what the wires did instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from ...models.pumped_superradiance import PumpedEnsemble, relaxation_rate_cumulant
from .beams import TWO_PI, diffracted, edges_of, good_light, in_time, lit_time, tone_at
from .lines import TIME_GRID, ApparatusFault, Stretch, Timeline, either, value_at
from .pumped_truth import PumpedTruth

MOST_RELAXATION = 0.1
"""Largest gate * relaxation rate for which the atoms stand still while they are counted.

Averaging over the gate would lower the variance of their number by a third of it.
"""

HARMLESS = 1e-6
"""Seconds of probe light before the gate that disturb nothing."""

FELT_LINES = ("pump.rf", "pump.switch", "counter.gate")


@dataclass(frozen=True, slots=True)
class PumpStep:
    """A time of constant pumping before the atoms are read; `rate` is w, angular."""

    duration: float
    rate: float


@dataclass(frozen=True, slots=True)
class PumpedShot:
    """What one shot did.

    Attributes:
        steps: The pump from the beginning of the shot to the opening of the gate; the dark
            time before the first light is left out.
        gate: Seconds for which the counter counted.
        lit: Seconds of them with probe light.
        watched: Pumping rate, angular, of a gate without probe light in which the atoms'
            fluorescence is counted while they go on; None for a gate in which they stand still.
    """

    steps: tuple[PumpStep, ...]
    gate: float
    lit: float
    watched: float | None = None

    @property
    def pumped(self) -> bool:
        """Whether the pump was ever on."""
        return bool(self.steps)


def gate_windows(timeline: Timeline) -> tuple[Stretch, ...]:
    """Openings of the counter's gate, in the order of time."""
    return either([timeline.get("counter.gate", ())])


def only_gate(timeline: Timeline) -> Stretch:
    """The one opening of the counter's gate.

    Raises:
        ApparatusFault: If there is none or more than one.
    """
    gates = gate_windows(timeline)
    if len(gates) != 1:
        listed = ", ".join(f"{in_time(one.start)} to {in_time(one.stop)}" for one in gates)
        raise ApparatusFault(
            f"the counter's gate opens {len(gates)} times in a shot ({listed or 'never'}): the "
            "first readout destroys the state, so only one can be answered for: check which "
            "windows are wired to counter.gate"
        )
    return gates[0]


def probed(timeline: Timeline, window: Stretch) -> float:
    """Seconds of a window with probe light on the atoms."""
    return lit_time(timeline, "probe", window)


def read_pumped_shot(timeline: Timeline, truth: PumpedTruth, scale: float = 1.0) -> PumpedShot:
    """What happened in a shot with one gate.

    Args:
        timeline: What the wires did.
        truth: Of the laboratory.
        scale: Factor on the pumping rate.

    Raises:
        ApparatusFault: If the shot is none that this physics can answer for.
    """
    gate = only_gate(timeline)
    pieces = _pieces(timeline, truth, scale)
    before = [(start, min(stop, gate.start), rate) for start, stop, rate in pieces]
    steps = [(start, stop, rate) for start, stop, rate in before if stop - start > TIME_GRID / 2]
    while steps and steps[0][2] == 0.0:
        steps.pop(0)
    _check_probe(timeline, gate, pumped=bool(steps))
    during = [one for one in pieces if one[1] > gate.start and one[0] < gate.stop]
    lit = probed(timeline, gate)
    watched = truth.fluorescence_rate > 0.0 and lit == 0.0 and bool(steps)
    _check_gate(gate, during, truth, pumped=bool(steps), watched=watched)
    return PumpedShot(
        steps=tuple(PumpStep(stop - start, rate) for start, stop, rate in steps),
        gate=gate.stop - gate.start,
        lit=lit,
        watched=during[0][2] if watched and during else None,
    )


def _pieces(
    timeline: Timeline, truth: PumpedTruth, scale: float
) -> list[tuple[float, float, float]]:
    """(start, stop, w): times in which nothing changes that the atoms feel."""
    light = good_light(timeline)
    pieces: list[tuple[float, float, float]] = []
    edges = edges_of([light, *(timeline.get(name, ()) for name in FELT_LINES)])
    for start, stop in pairwise(edges):
        middle = 0.5 * (start + stop)
        lit = bool(value_at(light, middle, False))
        tone = tone_at(timeline, "pump", middle, lit, truth.pump)
        rate = TWO_PI * scale * diffracted(tone, truth.pump, power=2)
        if pieces and pieces[-1][2] == rate:
            pieces[-1] = (pieces[-1][0], stop, rate)
        else:
            pieces.append((start, stop, rate))
    return pieces


def _check_probe(timeline: Timeline, gate: Stretch, *, pumped: bool) -> None:
    early = probed(timeline, Stretch(0.0, gate.start, True))
    if pumped and early > HARMLESS:
        raise ApparatusFault(
            f"probe light is on the atoms for {in_time(early)} before the counter's gate opens at "
            f"{in_time(gate.start)}: it destroys the state that the pump prepares: check which "
            "window is wired to probe"
        )


def _check_gate(
    gate: Stretch,
    during: list[tuple[float, float, float]],
    truth: PumpedTruth,
    *,
    pumped: bool,
    watched: bool,
) -> None:
    rates = [rate for _, _, rate in during] or [0.0]
    if not pumped and not any(rates):
        return
    if len(rates) > 1:
        changes = ", ".join(in_time(start) for start, _, _ in during[1:])
        raise ApparatusFault(
            f"the pump changes at {changes}, while the counter's gate is open "
            f"({in_time(gate.start)} to {in_time(gate.stop)}): keep it steady until the gate is "
            "closed: check pump.rf and the window on pump.switch"
        )
    if watched:
        return
    ensemble = PumpedEnsemble(truth.atoms, rates[0], TWO_PI * truth.decay)
    moved = (gate.stop - gate.start) * relaxation_rate_cumulant(ensemble)
    if moved > MOST_RELAXATION:
        why = (
            "with the pump off they decay together, within about 1/(N gamma)"
            if rates[0] == 0.0
            else f"pumped at w/2pi = {rates[0] / TWO_PI:.4g} Hz they relax at "
            f"{moved / (gate.stop - gate.start):.4g} per second"
        )
        raise ApparatusFault(
            f"the counter's gate lasts {in_time(gate.stop - gate.start)}, during which the number "
            f"of excited atoms changes ({why}; gate * rate = {moved:.3g}, and up to "
            f"{MOST_RELAXATION:g} can be answered for): shorten the gate, keep the pump on until "
            "it is closed, and check the RF power on pump.rf and which window is wired to "
            "counter.gate"
        )
