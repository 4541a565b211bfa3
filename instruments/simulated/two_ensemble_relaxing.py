"""Two small ensembles in a cavity, at any time: the whole density matrix behind the wires.

Where `two_ensemble_cavity` waits for the dark state, this apparatus follows the density matrix of
both ensembles through everything that the wires do, from all atoms down: the master equation of
Chu Eq. 2 while the cavity is coupled, rotations while it is not. Phases of the RF tones turn the
axis of the drive, so that an analysis pulse knows its phase to the preparation. Exact, hence for
small ensembles only.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .draws import one_time_each, shot_uniforms
from .lines import TIME_GRID, ApparatusFault, Timeline, either
from .relaxing_decay import populations_with_decay
from .relaxing_light import OutputLight
from .relaxing_state import Step, evolve
from .relaxing_truth import RelaxingTruth
from .shot_noise import count_new, louder
from .truth import DriftsEntry
from .two_ensemble_cavity import TwoEnsembleCavity, last_drive
from .two_ensemble_pieces import Gate, Piece, cut_pieces, read_gates

MOST_ATOMS = 12
"""Largest ensemble: 169 states, a second or two for each length of the preparation."""

APPROXIMATIONS = (
    "every shot starts with all atoms down and equal atom numbers",
    "the density matrix of both ensembles is followed exactly, rates being constant between edges",
    "the drive's tones keep their phases to each other: no noise of the common phase",
    "light and RF switch at once, without the rise time of a modulator or the time constant of "
    "a coil",
    "no loss or heating; single atoms decay only where the laboratory file says so, and not while "
    "they are counted; probe light does not change the counted atoms",
)

_CACHED = 256


@dataclass(frozen=True, slots=True)
class RelaxingShot:
    """What happened to the atoms of one shot until they were counted.

    Attributes:
        steps: Everything from the first light to the last.
        preparation: The longest of them with drive and coupling; None without any.
        begin: When the first of them begins, seconds after T0.
        output: Openings of the counter's gate meanwhile, which see the light of the cavity.
    """

    steps: tuple[Step, ...]
    preparation: Step | None
    begin: float = 0.0
    output: tuple[Gate, ...] = ()


@dataclass(slots=True)
class _Seen:
    """Sums over the shots counted so far."""

    shots: int = 0
    prepared: int = 0
    dark: int = 0
    decay: float = 0.0
    rabi: float = 0.0
    detuning: float = 0.0
    exchange: float = 0.0
    gates: int = 0
    open: float = 0.0
    lit: float = 0.0
    lit_gates: int = 0
    next_shot: int = 0


class RelaxingPair(TwoEnsembleCavity):
    """The `Apparatus` (`lines.py`) of two small ensembles, at any time of their preparation.

    Args:
        truth: The hidden truth.
        seed: Keys the samples and the drifts.
        drifts: What drifts with the clock; None: nothing.
    """

    most_atoms: ClassVar[int] = MOST_ATOMS

    def __init__(self, truth: RelaxingTruth, seed: int, drifts: DriftsEntry | None = None) -> None:
        super().__init__(truth, seed, drifts)
        self.truth: RelaxingTruth = truth
        self._ladders: OrderedDict[tuple[tuple[Step, ...], int], NDArray[np.float64]] = (
            OrderedDict()
        )
        output = truth.cavity_output
        self._light = None if output is None else OutputLight(output, seed)
        self._seen = _Seen()

    def counts(
        self, timeline: Timeline, shots: range, times: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Photon counts, shape (len(shots), gates); see `lines.Apparatus`.

        Raises:
            ApparatusFault: If the wires did something that this physics cannot answer for.
            ValueError: If `shots` are not consecutive or `times` do not match them.
        """
        one_time_each(shots, times)
        gates = read_gates(timeline)
        factors = self._counting.mean_factors(shots, times)
        atoms = np.zeros((len(shots), 2), dtype=np.int64)
        found = np.zeros((len(shots), len(gates)), dtype=np.int64)
        early = 0
        for part, (drive, current) in self._steady_parts(times):
            numbers = shots[part]
            for places, noise in self._noise.cases(numbers):
                truth = replace(self.truth, atoms=noise.atoms(self.truth.atoms))
                shot = read_relaxing_shot(
                    louder(timeline, noise.rf_amplitude),
                    truth,
                    drive * math.sqrt(1.0 + noise.laser_power),
                    current * (1.0 + noise.coil_current),
                    most_atoms=self.most_atoms,
                )
                early = len(shot.output)
                drawn, light = self._drawn(shot, truth.atoms, numbers)
                atoms[part][places] = drawn[places]
                found[part, :early][places] = light[places]
                new = count_new(numbers, places, self._seen.next_shot)
                self._remember(shot, gates[early:], new, factors)
            self._seen.next_shot = max(self._seen.next_shot, numbers.stop)
        late = gates[early:]
        found[:, early:] = self._counting.counts(
            atoms, late, shots, times, last_drive(timeline, late)
        )
        return found

    def reveal(self) -> dict[str, Any]:
        """The hidden truth, averaged over the shots counted so far; empty before the first.

        `collective_decay`, `rabi_frequency`, `detuning_difference` and `exchange` are
        those of the preparation, ordinary frequencies in Hz; `gain` and `background` are those of
        one gate.
        """
        seen = self._seen
        if not seen.shots:
            return {}
        told: dict[str, Any] = {}
        if seen.prepared:
            for name, total in (
                ("collective_decay", seen.decay),
                ("rabi_frequency", seen.rabi),
                ("detuning_difference", abs(seen.detuning)),
                ("exchange", seen.exchange),
            ):
                told[name] = total / seen.prepared / (2.0 * math.pi)
        return told | {
            "gain": self.truth.rate_per_atom * seen.lit / max(1, seen.lit_gates),
            "background": self.truth.background_rate * seen.open / max(1, seen.gates),
            "atoms": self.truth.atoms,
            "single_atom_decay": self.truth.single_atom_decay,
            **self._output(),
            "shots": seen.shots,
            "approximations": list(self._approximations()),
        }

    def _output(self) -> dict[str, float]:
        """Of the counter of the cavity's output, where there is one."""
        output = self.truth.cavity_output
        if output is None:
            return {}
        return {"efficiency": output.efficiency, "output_background": output.background_rate}

    def _approximations(self) -> Iterator[str]:
        yield from APPROXIMATIONS
        if self.truth.single_atom_decay:
            yield (
                f"single atoms decay at {self.truth.single_atom_decay:g} per second from the first "
                "light of the drive to the last, exactly"
            )
        if self._light is not None:
            yield (
                "photons of the cavity are those of one quantum trajectory for each shot; a dead "
                "time thins them as if they came evenly in the gate; efficiency and background of "
                "their counter do not drift"
            )
        yield from self._noise.approximations()
        yield from self._counting.approximations()
        if self._drifts is not None:
            yield f"laser power and coil current are constant within {self._step:g} s"
        if self._seen.dark:
            yield (
                f"in {self._seen.dark} shots no drive light reached the atoms (laser off or "
                "unlocked, RF off, or switch closed): all atoms stayed down"
            )

    def _drawn(
        self, shot: RelaxingShot, number: int, shots: range
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Atoms in the counted state of `number` in each, and counts of the cavity's output."""
        light = np.zeros((len(shots), len(shot.output)), dtype=np.int64)
        if not shot.steps:
            return np.zeros((len(shots), 2), dtype=np.int64), light
        if self._light is not None and shot.output:
            if self.truth.single_atom_decay:
                raise ApparatusFault(
                    "the light of the cavity is not followed together with single-atom decay: "
                    "take cavity_output or single_atom_decay out of the laboratory file"
                )
            atoms, photons = self._light.draw(number, shot.steps, shot.begin, shot.output, shots)
            return atoms, self._light.counts(photons, shot.output, shots)
        return self._from_state(shot, number, shots), light

    def _from_state(self, shot: RelaxingShot, number: int, shots: range) -> NDArray[np.int64]:
        """Atoms drawn from the exact distribution."""
        ladder = self._cumulative(shot.steps, number)
        draws = shot_uniforms(self._seed, "projection", shots) * ladder[-1]
        cells = np.minimum(np.searchsorted(ladder, draws, side="right"), ladder.size - 1)
        return np.stack(np.divmod(cells, number + 1), axis=1).astype(np.int64)

    def _cumulative(self, steps: tuple[Step, ...], number: int) -> NDArray[np.float64]:
        """Cumulative P[n1, n2], solved once for each course of a shot."""
        key = steps, number
        if key in self._ladders:
            self._ladders.move_to_end(key)
            return self._ladders[key]
        if self.truth.single_atom_decay:
            table = populations_with_decay(number, steps, self.truth.single_atom_decay).ravel()
        else:
            table = np.diag(evolve(number / 2.0, steps)).real
        ladder: NDArray[np.float64] = np.cumsum(np.maximum(table, 0.0))
        self._ladders[key] = ladder
        if len(self._ladders) > _CACHED:
            self._ladders.popitem(last=False)
        return ladder

    def _remember(
        self,
        shot: RelaxingShot,
        gates: tuple[Gate, ...],
        new: int,
        factors: tuple[float, float],
    ) -> None:
        """Add `new` shots to the averages, each once however often it is asked for."""
        seen = self._seen
        seen.shots += new
        seen.dark += 0 if shot.steps else new
        if shot.preparation is not None:
            seen.prepared += new
            seen.decay += new * shot.preparation.decay
            seen.rabi += new * shot.preparation.rabi
            seen.detuning += new * shot.preparation.detuning
            seen.exchange += new * shot.preparation.exchange
        for gate in gates:
            seen.gates += new
            seen.open += new * (gate.stop - gate.start) * factors[1]
            if gate.ensemble is not None:
                seen.lit_gates += new
                seen.lit += new * max(gate.lit) * factors[0]


def read_relaxing_shot(
    timeline: Timeline,
    truth: RelaxingTruth,
    drive_scale: float = 1.0,
    current_scale: float = 1.0,
    most_atoms: int = MOST_ATOMS,
) -> RelaxingShot:
    """Everything that acts on the atoms before they are counted; no steps if nothing does.

    Args:
        timeline: What the wires did.
        truth: Of the laboratory.
        drive_scale, current_scale: Factors on the Rabi frequency and the coil current.
        most_atoms: That can be followed.

    Raises:
        ApparatusFault: If light acts on the atoms while they are counted, they are probed before,
            or there are too many of them.
    """
    if truth.atoms > most_atoms:
        raise ApparatusFault(
            f"the laboratory has {truth.atoms} atoms in each ensemble, and the whole density "
            f"matrix is followed for at most {most_atoms}: lower atoms_per_ensemble in the "
            "laboratory file, or take the kind relaxing_clouds for the way to the dark state, "
            "two_ensemble_cavity for that state"
        )
    gates = read_gates(timeline)
    counted = truth.cavity_output is not None
    last = gates[-1].stop if gates else math.inf
    pieces = [
        piece
        for piece in cut_pieces(timeline, truth, drive_scale, current_scale)
        if piece.start < last
    ]
    acting = [piece for piece in pieces if piece.rabi or piece.decay]
    if not any(piece.rabi for piece in acting):
        return RelaxingShot((), None)
    begin, end = acting[0].start, acting[-1].stop
    output = tuple(gate for gate in gates if counted and gate.stop <= end + TIME_GRID)
    _check_counting(gates[len(output) :], acting, begin, end)
    _check_probes(timeline, begin, end)
    inside = [piece for piece in pieces if begin <= piece.start < end]
    steps = [_step(piece, truth) for piece in inside]
    coupled = [index for index, piece in enumerate(inside) if piece.decay]
    driven = [index for index, piece in enumerate(inside) if piece.rabi]
    mark = coupled[-1] if coupled else driven[0]
    steps.insert(mark + 1, Step(0.0, 0.0, 0.0, 0.0, 0.0, written=truth.signal))
    prepared = [step for step in steps if step.rabi and step.decay]
    return RelaxingShot(
        tuple(step for step in steps if step.duration or step.written),
        max(prepared, key=lambda step: step.duration) if prepared else None,
        begin,
        output,
    )


def _step(piece: Piece, truth: RelaxingTruth) -> Step:
    phase = 0.0 if piece.drive_tone is None else math.radians(piece.drive_tone.phase_deg)
    exchange = piece.decay * truth.exchange_ratio
    return Step(piece.rabi, phase, piece.decay, piece.detuning, piece.duration, exchange=exchange)


def _check_counting(gates: tuple[Gate, ...], acting: list[Piece], begin: float, end: float) -> None:
    """The atoms must stand still from the opening of the first gate on."""
    if not gates or gates[0].start >= end:
        return
    late = next(piece for piece in acting if piece.stop > gates[0].start)
    lights = [name for name, on in (("drive", late.rabi), ("coupling", late.decay)) if on]
    raise ApparatusFault(
        f"the counter's gate opens at {gates[0].start * 1e3:.6g} ms while light of "
        f"{' and '.join(lights)} still acts on the atoms (light from {begin * 1e3:.6g} to "
        f"{end * 1e3:.6g} ms): counting there would measure them before they are ready: move the "
        "gate on counter.gate, or check which windows are wired to it and to the RF switches"
    )


def _check_probes(timeline: Timeline, begin: float, end: float) -> None:
    for ensemble in (1, 2):
        for one in either([timeline.get(f"probe.{ensemble}", ())]):
            if one.start < end and one.stop > begin:
                raise ApparatusFault(
                    f"probe light is on ensemble {ensemble} from {one.start * 1e3:.6g} to "
                    f"{one.stop * 1e3:.6g} ms, before the last light of drive and coupling is "
                    f"over at {end * 1e3:.6g} ms: it destroys the state: check the window on "
                    f"probe.{ensemble}"
                )
