"""Two ensembles in a driven cavity: the physics behind the wires of the first apparatus.

Counts are samples of exact distributions: the dark state of detuned collective decay (Chu
et al., "Reconfigurable dissipative entanglement", Eqs. 4-9), a pulse whose common phase is
new and uniform in every shot (Eq. 16), and Poissonian photon counting. While the common
phase is uniform, nothing that shifts it, such as the phase of an RF table, changes a count;
a laboratory file may say that it is narrow or drifts, and then the tables' phases count.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.ellipse import EllipseReadout
from ...models.ellipse_oriented import OrientedReadout
from ...models.two_ensembles import TwoEnsembles, steady_state
from .common_phase import NODES, CommonPhases, OrientedShots
from .counting import Counting
from .draws import Drift, one_time_each, shot_uniforms
from .lines import Timeline, plain_key
from .shot_noise import Deviations, ShotNoise, count_new, louder
from .truth import DriftsEntry, TwoEnsembleTruth
from .two_ensemble_pulse import PulsedShot
from .two_ensemble_shot import (
    LEAST_RELAXATION,
    Gate,
    ShotPhysics,
    read_gates,
    read_shot,
)

APPROXIMATIONS = (
    "every shot starts with all atoms down and equal atom numbers",
    f"the steady state is exact; Gamma * t * Var >= {LEAST_RELAXATION:g} counts as having reached "
    "it (infidelity below 1e-3)",
    "without coupling light, after one pulse: independent atoms, exactly; collective decay after "
    "it exactly for ensembles of equal phase",
    "light and RF switch at once, without the rise time of a modulator",
    "a coil's current that moves within a shot is followed in stairs of a sixteenth of its time "
    "constant",
    "no loss or heating; probe light does not change the counted atoms",
)

_DIGITS = 10
_TableKey = tuple[int, float, float, float]
_CACHED_TABLES = 64
_CACHED_SHOTS = 256
_CACHED_ORIENTED = 4
_CACHED_BYTES = 1e8

_Case = tuple[tuple[float, float], Deviations]


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one timeline did.

    Attributes:
        gates: Openings of the counter's gate.
        dark_from: End of the last light of the drive before them, s.
        physics: For each case of drift and noise.
    """

    gates: tuple[Gate, ...]
    dark_from: float
    physics: dict[_Case, ShotPhysics | PulsedShot | None]


@dataclass(slots=True)
class _Sums:
    """Sums over the shots counted so far, for the averages that are revealed."""

    fired: int = 0
    shots: int = 0
    pulsed_shots: int = 0
    dark_shots: int = 0
    drive_scale: float = 0.0
    current_scale: float = 0.0
    phase: float = 0.0
    bias_phase: float = 0.0
    detuning_ratio: float = 0.0
    pulse_area: float = 0.0
    lit_gates: int = 0
    lit_time: float = 0.0
    gates: int = 0
    gate_time: float = 0.0
    next_shot: int = 0


class TwoEnsembleCavity:
    """The `Apparatus` (`lines.py`) of two ensembles in one cavity.

    Args:
        truth: The hidden truth.
        seed: Keys the samples and the drifts.
        drifts: What drifts with the clock; None: nothing.
    """

    def __init__(
        self, truth: TwoEnsembleTruth, seed: int, drifts: DriftsEntry | None = None
    ) -> None:
        self.truth = truth
        self._seed = seed
        self._drifts = drifts
        given = drifts or DriftsEntry()
        self._step = given.step
        self._drive_drift, self._current_drift = (
            Drift(entry.rms, entry.correlation_time, given.step, seed, f"drift.{name}")
            for name, entry in (
                ("drive_amplitude", given.drive_amplitude),
                ("coil_current", given.coil_current),
            )
        )
        self._noise = ShotNoise(given.shot_to_shot, seed, truth.atoms)
        self._counting = Counting(
            truth, seed, self._noise, given.detection, given.background, given.step
        )
        self._readouts: dict[int, EllipseReadout] = {}
        self._tables: OrderedDict[_TableKey, NDArray[np.float64]] = OrderedDict()
        self._common = CommonPhases(truth.common_phase, seed) if truth.common_phase else None
        self._oriented: OrderedDict[_TableKey, OrientedShots] = OrderedDict()
        self._most_tables = max(
            _CACHED_TABLES,
            int(_CACHED_BYTES / (8.0 * (truth.atoms + 1) ** 2)) if self._noise.moves_state else 0,
        )
        self._readings: OrderedDict[Hashable, _Reading] = OrderedDict()
        self._sums = _Sums()

    def gates(self, timeline: Timeline) -> tuple[tuple[float, float, int | None], ...]:
        """Openings of the counter's gate: (start, stop, the one ensemble lit, or None)."""
        return tuple((gate.start, gate.stop, gate.ensemble) for gate in read_gates(timeline))

    def counts(
        self, timeline: Timeline, shots: range, times: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Photon counts, shape (len(shots), gates); see `lines.Apparatus`.

        A gate counts the background and each ensemble for as long as it is lit.

        Raises:
            ApparatusFault: If the wires did something that this physics cannot answer for.
            ValueError: If `shots` are not consecutive or `times` do not match them.
        """
        one_time_each(shots, times)
        read = self._reading(timeline)
        gates = read.gates
        factors = self._counting.mean_factors(shots, times)
        atoms = np.zeros((len(shots), 2), dtype=np.int64)
        for part, scales in self._steady_parts(times):
            numbers = shots[part]
            for places, deviations in self._noise.cases(numbers):
                case = scales, deviations
                physics = self._physics(timeline, read, case)
                atoms[part][places] = self._found(physics, case, numbers)[places]
                new = count_new(numbers, places, self._sums.next_shot)
                self._note(physics, gates, new, scales, factors)
            self._sums.next_shot = max(self._sums.next_shot, numbers.stop)
        return self._counting.counts(atoms, gates, shots, times, read.dark_from)

    def _physics(
        self, timeline: Timeline, read: _Reading, case: _Case
    ) -> ShotPhysics | PulsedShot | None:
        """What the atoms of such shots went through, worked out once."""
        if case not in read.physics:
            (drive, current), deviations = case
            read.physics[case] = read_shot(
                louder(timeline, deviations.rf_amplitude),
                replace(self.truth, atoms=deviations.atoms(self.truth.atoms)),
                drive * math.sqrt(1.0 + deviations.laser_power),
                current * (1.0 + deviations.coil_current),
            )
        return read.physics[case]

    def _found(
        self, physics: ShotPhysics | PulsedShot | None, case: _Case, shots: range
    ) -> NDArray[np.int64]:
        """Atoms in the counted state, (shots, 2)."""
        number = case[1].atoms(self.truth.atoms)
        if isinstance(physics, PulsedShot):
            return physics.atoms(number, self._seed, shots)
        if physics is None:
            return np.zeros((len(shots), 2), dtype=np.int64)
        return self._atoms(physics, number, shots)

    def _reading(self, timeline: Timeline) -> _Reading:
        """What is known of a timeline from the last time it was read."""
        key = plain_key(timeline)
        if key not in self._readings:
            gates = read_gates(timeline)
            self._readings[key] = _Reading(gates, last_drive(timeline, gates), {})
            if len(self._readings) > _CACHED_SHOTS:
                self._readings.popitem(last=False)
        return self._readings[key]

    def reveal(self) -> dict[str, Any]:
        """The hidden truth, averaged over the shots counted so far; empty before the first.

        `phase` lies in [0, pi/2], where it is identifiable. `gain` [counts per atom] and
        `background` [counts] are those of one gate.
        """
        sums = self._sums
        if not sums.shots + sums.pulsed_shots:
            return {}
        lit = sums.lit_time / sums.lit_gates if sums.lit_gates else 0.0
        opened = sums.gate_time / sums.gates if sums.gates else 0.0
        told: dict[str, Any] = {
            "gain": self.truth.rate_per_atom * lit,
            "background": self.truth.background_rate * opened,
            "shots": sums.shots + sums.pulsed_shots,
            "drive_full_rabi": self.truth.drive.full_strength * sums.drive_scale / sums.fired,
            "drive_saturation_power": self.truth.drive.saturation_power,
            "coupling_full_decay": self.truth.coupling.full_strength,
            "coupling_saturation_power": self.truth.coupling.saturation_power,
            "gradient_slope": self.truth.slope * sums.current_scale / sums.fired,
            "gradient_offset": self.truth.offset,
            "atoms": self.truth.atoms,
            "approximations": list(self._approximations()),
        }
        return self._prepared() | told

    def _prepared(self) -> dict[str, Any]:
        """Averages over the shots with a preparation; empty without any."""
        sums = self._sums
        if not sums.shots:
            return {}
        return {
            "phase": _fold(sums.phase / sums.shots),
            "signal": self.truth.signal,
            "bias_phase": sums.bias_phase / sums.shots,
            "detuning_ratio": sums.detuning_ratio / sums.shots,
            "pulse_area": sums.pulse_area / sums.shots,
        }

    def _approximations(self) -> Iterator[str]:
        yield from APPROXIMATIONS
        if self._common is None:
            yield "the common phase is uniform and new in every shot"
        else:
            yield f"the common phase of a prepared pair takes {NODES} values"
            yield "that of independent atoms is uniform and new in every shot"
        yield from self._noise.approximations()
        yield from self._counting.approximations()
        if self._drifts is not None:
            yield f"laser power and coil current are constant within {self._step:g} s"
        if self._sums.dark_shots:
            yield (
                f"in {self._sums.dark_shots} further shots no drive light reached the atoms "
                "(laser off or unlocked, RF off, or switch closed): all atoms stayed down"
            )

    def _steady_parts(
        self, times: NDArray[np.float64]
    ) -> Iterator[tuple[slice, tuple[float, float]]]:
        """Slices of shots in one step of the drifts, with the factors on drive and current."""
        if self._drifts is None:
            yield slice(0, len(times)), (1.0, 1.0)
            return
        steps = np.floor_divide(times, self._step).astype(np.int64).tolist()
        start = 0
        for step, members in groupby(steps):
            stop = start + sum(1 for _ in members)
            yield (
                slice(start, stop),
                (1.0 + self._drive_drift.at_step(step), 1.0 + self._current_drift.at_step(step)),
            )
            start = stop

    def _atoms(self, physics: ShotPhysics, number: int, shots: range) -> NDArray[np.int64]:
        """Atoms in the counted state of `number` in each, drawn from the exact distribution."""
        draws = shot_uniforms(self._seed, "projection", shots)
        if self._common is not None:
            common = self._common.of(shots) + physics.turn
            return self._oriented_shots(physics, number).draw(common, draws)
        ladder = self._ladder(physics, number)
        draws *= ladder[-1]
        cells = np.minimum(np.searchsorted(ladder, draws, side="right"), ladder.size - 1)
        return np.stack(np.divmod(cells, number + 1), axis=1).astype(np.int64)

    def _oriented_shots(self, physics: ShotPhysics, number: int) -> OrientedShots:
        """Outcomes at any common phase; the sign of the detuning is that of the spins here."""
        key = _key(physics, number, math.copysign(1.0, physics.detuning_ratio))
        if key not in self._oriented:
            _, ratio, phase, area = key
            state = steady_state(TwoEnsembles(number / 2.0, 1.0, ratio))
            self._oriented[key] = OrientedShots(OrientedReadout(state, phase, area))
            if len(self._oriented) > _CACHED_ORIENTED:
                self._oriented.popitem(last=False)
        return self._oriented[key]

    def _ladder(self, physics: ShotPhysics, number: int) -> NDArray[np.float64]:
        """Cumulative P[n1, n2], solved once for each number, ratio, phase and pulse area."""
        key = _key(physics, number)
        if key in self._tables:
            self._tables.move_to_end(key)
            return self._tables[key]
        _, ratio, phase, area = key
        state = steady_state(TwoEnsembles(number / 2.0, 1.0, ratio))
        needed = state.weights.size - 1
        readout = self._readouts.get(number)
        if readout is None or readout.max_J < needed:
            readout = self._readouts[number] = EllipseReadout(number / 2.0, needed)
        ladder = np.cumsum(readout.distribution(state, phase, area).ravel())
        self._tables[key] = ladder
        if len(self._tables) > self._most_tables:
            self._tables.popitem(last=False)
        return ladder

    def _note(
        self,
        physics: ShotPhysics | PulsedShot | None,
        gates: tuple[Gate, ...],
        new: int,
        scales: tuple[float, float],
        factors: tuple[float, float],
    ) -> None:
        """Add `new` shots to the averages, each once however often it is asked for."""
        sums = self._sums
        sums.fired += new
        sums.drive_scale += new * scales[0]
        sums.current_scale += new * scales[1]
        for gate in gates:
            sums.gates += new
            sums.gate_time += new * (gate.stop - gate.start) * factors[1]
            if gate.ensemble is not None:
                sums.lit_gates += new
                sums.lit_time += new * max(gate.lit) * factors[0]
        if physics is None:
            sums.dark_shots += new
        elif isinstance(physics, PulsedShot):
            sums.pulsed_shots += new
        else:
            sums.shots += new
            sums.phase += new * physics.phase
            sums.bias_phase += new * physics.bias_phase
            sums.detuning_ratio += new * physics.detuning_ratio
            sums.pulse_area += new * physics.pulse_area


def _key(physics: ShotPhysics, number: int, sign: float = 1.0) -> _TableKey:
    return (
        number,
        sign * round(abs(physics.detuning_ratio), _DIGITS),
        round(physics.phase, _DIGITS),
        round(physics.pulse_area, _DIGITS),
    )


def last_drive(timeline: Timeline, gates: tuple[Gate, ...]) -> float:
    """When the last light of the drive before the first gate ends, seconds after T0."""
    first = gates[0].start if gates else math.inf
    ends = [one.stop for one in timeline.get("drive.switch", ()) if one.stop <= first]
    return max(ends, default=0.0)


def _fold(phase: float) -> float:
    """The phase in [0, pi/2] that the counts cannot tell from `phase`."""
    turned = abs(math.remainder(phase, math.pi))
    return min(turned, math.pi - turned)
