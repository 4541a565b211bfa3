"""One collectively pumped ensemble in a cavity: the physics behind the wires.

Counts are samples of exact distributions: the populations of the master equation of collective
pumping and decay (Shimshi & Shahmoon, "Dissipative phase transition and metrology in collectively
pumped superradiance", Eqs. 1-3) when the gate opens, and Poissonian photon counting. After a long
hold they are those of the steady state; before, and after steps of the pump, they are followed
from all atoms down.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.pumped_superradiance import (
    PumpedEnsemble,
    populations,
    relaxation_rate_cumulant,
)
from ...models.pumped_superradiance_modes import population_ramp, relaxation_gap
from ...models.pumped_superradiance_scans import dicke_populations, evolve_populations
from ...models.pumped_superradiance_stepping import elements
from .beams import TWO_PI
from .counting import Counting
from .draws import Drift, one_time_each, shot_uniforms, steady_steps
from .lines import Timeline
from .pumped_droop import drooping_populations
from .pumped_fluorescence import Walk, walk
from .pumped_shot import (
    MOST_RELAXATION,
    PumpedShot,
    PumpStep,
    gate_windows,
    probed,
    read_pumped_shot,
)
from .pumped_truth import PumpedDriftsEntry, PumpedTruth
from .shot_noise import ShotNoise, count_new, louder

SETTLED = 16.0
"""Hold times the exact gap beyond which the steady state is taken: it is within about 2e-7."""

APPROXIMATIONS = (
    "every shot starts with all atoms down and with the same, constant number of them",
    "light and RF switch at once, without the rise time of a modulator",
    "no loss or dephasing",
    "the atoms stand still while they are counted under probe light (gate * relaxation rate at "
    f"most {MOST_RELAXATION:g})",
)

_CACHED = 256
_STATES_CACHED = 2048
_WALKS_CACHED = 16


@dataclass(slots=True)
class _Sums:
    """Sums over the shots counted so far, for the averages that are revealed."""

    shots: int = 0
    dark_shots: int = 0
    scale: float = 0.0
    gate: float = 0.0
    lit: float = 0.0
    next_shot: int = 0


class PumpedCavity:
    """The `Apparatus` (`lines.py`) of one pumped ensemble.

    Args:
        truth: The hidden truth.
        seed: Keys the samples and the drifts.
        drifts: What drifts with the clock; None: nothing.
    """

    def __init__(
        self, truth: PumpedTruth, seed: int, drifts: PumpedDriftsEntry | None = None
    ) -> None:
        self.truth = truth
        self._seed = seed
        self._drifts = drifts
        given = drifts or PumpedDriftsEntry()
        self._step = given.step
        power = given.pump_power
        self._power_drift = Drift(
            power.rms, power.correlation_time, given.step, seed, "drift.pump_power"
        )
        self._ladders: OrderedDict[tuple[PumpStep, ...], NDArray[np.float64]] = OrderedDict()
        self._states: OrderedDict[tuple[PumpStep, ...], NDArray[np.float64]] = OrderedDict()
        self._walks: OrderedDict[tuple[float, float], Walk] = OrderedDict()
        self._noise = ShotNoise(given.shot_to_shot, seed)
        self._counting = Counting(
            truth, seed, self._noise, given.detection, given.background, given.step
        )
        self._sums = _Sums()

    def gates(self, timeline: Timeline) -> tuple[tuple[float, float, int | None], ...]:
        """Openings of the counter's gate: (start, stop, 1 if the ensemble is lit, else None)."""
        return tuple(
            (one.start, one.stop, 1 if probed(timeline, one) > 0.0 else None)
            for one in gate_windows(timeline)
        )

    def counts(
        self, timeline: Timeline, shots: range, times: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Photon counts, shape (len(shots), 1); see `lines.Apparatus`.

        Raises:
            ApparatusFault: If the wires did something that this physics cannot answer for.
            ValueError: If `shots` are not consecutive or `times` do not match them.
        """
        one_time_each(shots, times)
        signal = np.empty(len(shots))
        gate = 0.0
        for part, scale in self._steady_parts(times):
            numbers = shots[part]
            for places, noise in self._noise.cases(numbers):
                stronger = scale * (1.0 + noise.laser_power)
                louder_timeline = louder(timeline, noise.rf_amplitude)
                shot = read_pumped_shot(louder_timeline, self.truth, stronger)
                signal[part][places] = self._signal(shot, numbers)[places]
                self._note(shot, scale, count_new(numbers, places, self._sums.next_shot))
                gate = shot.gate
            self._sums.next_shot = max(self._sums.next_shot, numbers.stop)
        return self._counting.drawn(signal[:, None], [gate], shots, times)

    def _signal(self, shot: PumpedShot, shots: range) -> NDArray[np.float64]:
        """Mean counts of the atoms of each shot."""
        atoms = self._atoms(shot, shots)
        if shot.watched is None:
            return np.asarray(self.truth.rate_per_atom * shot.lit * atoms, dtype=np.float64)
        seconds = self._walk(shot.watched, shot.gate).atom_seconds(atoms, self._seed, shots)
        return np.asarray(self.truth.fluorescence_rate * seconds, dtype=np.float64)

    def reveal(self) -> dict[str, Any]:
        """The hidden truth, averaged over the shots counted so far; empty before the first.

        `critical_power` is the RF power [W] at which pumping balances decay (missing where the
        modulator cannot reach it), `collective_decay` is gamma/2pi [Hz]; `gain` [counts per
        atom] and `background` [counts] are those of one gate.
        """
        sums, truth = self._sums, self.truth
        if not sums.shots:
            return {}
        full = truth.pump.full_strength * sums.scale / sums.shots
        reachable = full >= truth.decay
        critical = {}
        if reachable:
            angle = math.asin(math.sqrt(truth.decay / full))
            critical["critical_power"] = truth.pump.saturation_power * (2 * angle / math.pi) ** 2
        return {
            **critical,
            "collective_decay": truth.decay,
            "atoms": truth.atoms,
            **({"pump_droop": truth.droop} if truth.droop else {}),
            "gain": truth.rate_per_atom * sums.lit / sums.shots,
            **self._fluorescence(),
            "background": truth.background_rate * sums.gate / sums.shots,
            "shots": sums.shots,
            "approximations": list(self._approximations()),
        }

    def _fluorescence(self) -> dict[str, float]:
        """Rates, 1/s, of half of the atoms without probe light and of none; where it is seen."""
        if not self.truth.fluorescence_rate:
            return {}
        half = 0.5 * self.truth.atoms * self.truth.fluorescence_rate
        return {"half_rate": half, "background_rate": self.truth.background_rate}

    def _approximations(self) -> Iterator[str]:
        yield from APPROXIMATIONS
        yield from self._noise.approximations()
        yield from self._counting.approximations()
        if self.truth.droop > 0.0:
            yield "the third level changes the rates of the jumps; its own occupation is left out"
        else:
            yield "the pump's rate does not depend on how many atoms are up (far-detuned scheme)"
        if self._drifts is not None:
            yield f"the pump's power is constant within {self._step:g} s"
        if self._sums.dark_shots:
            yield (
                f"in {self._sums.dark_shots} shots no pump light reached the atoms (laser off or "
                "unlocked, RF off, or switch closed): all atoms stayed down"
            )

    def _steady_parts(self, times: NDArray[np.float64]) -> Iterator[tuple[slice, float]]:
        """Slices of shots in one step of the drift, with the factor on the pumping rate."""
        if self._drifts is None:
            yield slice(0, len(times)), 1.0
            return
        for part, step in steady_steps(times, self._step):
            yield part, 1.0 + self._power_drift.at_step(step)

    def _atoms(self, shot: PumpedShot, shots: range) -> NDArray[np.int64]:
        """Excited atoms, (shots,), drawn from the exact distribution."""
        if not shot.pumped:
            return np.zeros(len(shots), dtype=np.int64)
        ladder = self._ladder(shot.steps)
        draws = shot_uniforms(self._seed, "projection", shots) * ladder[-1]
        atoms: NDArray[np.int64] = np.searchsorted(ladder, draws, side="right").astype(np.int64)
        return np.minimum(atoms, ladder.size - 1)

    def _walk(self, pump: float, gate: float) -> Walk:
        """How the atoms go on in a long gate, solved once for each pump."""
        key = pump, gate
        if key not in self._walks:
            truth = self.truth
            self._walks[key] = walk(truth.atoms, pump, TWO_PI * truth.decay, truth.droop, gate)
            if len(self._walks) > _WALKS_CACHED:
                self._walks.popitem(last=False)
        return self._walks[key]

    def _ladder(self, steps: tuple[PumpStep, ...]) -> NDArray[np.float64]:
        """Cumulative p_n at the opening of the gate, n = 0 … N, solved once for each pump."""
        if steps in self._ladders:
            self._ladders.move_to_end(steps)
            return self._ladders[steps]
        ladder: NDArray[np.float64] = np.cumsum(np.maximum(self._populations(steps), 0.0))
        self._ladders[steps] = ladder
        if len(self._ladders) > _CACHED:
            self._ladders.popitem(last=False)
        return ladder

    def _populations(self, steps: tuple[PumpStep, ...]) -> NDArray[np.float64]:
        """p_n after the last step, followed from the longest beginning that is known already.

        Shots that climb the same stairs so share their way.
        """
        if not steps:
            return dicke_populations(self.truth.atoms, -0.5 * self.truth.atoms)
        known = len(steps) - 1
        while known and steps[:known] not in self._states:
            known -= 1
        state = self._states[steps[:known]] if known else self._populations(())
        for number in range(known, len(steps)):
            state = self._after(state, steps[number], begins=number == 0)
            self._states[steps[: number + 1]] = state
        while len(self._states) > _STATES_CACHED:
            self._states.popitem(last=False)
        return state

    def _after(
        self, state: NDArray[np.float64], step: PumpStep, *, begins: bool
    ) -> NDArray[np.float64]:
        """p_n a step later; the steady state where the step is long enough to settle."""
        decay, atoms = TWO_PI * self.truth.decay, self.truth.atoms
        if self.truth.droop > 0.0:
            return drooping_populations(state, decay, self.truth.droop, step)
        ensemble = PumpedEnsemble(atoms, step.rate, decay)
        # The cumulant's rate is never below the gap, and costs nothing.
        may_settle = step.duration * relaxation_rate_cumulant(ensemble) > SETTLED
        if may_settle and step.duration * relaxation_gap(ensemble) > SETTLED:
            return populations(ensemble)
        moved: NDArray[np.float64] = state
        if begins:
            moved = evolve_populations(ensemble, state, [step.duration])[-1]
        else:  # from a broad state one or two elements in time are enough
            length, ramp = decay * step.duration, population_ramp(atoms)
            for element in elements(
                ramp, state, ensemble.scaled_pump, 0.0, length, tolerance=1e-10, first=length
            ):
                moved = element.end[:, 0]
        return moved / float(moved.sum())

    def _note(self, shot: PumpedShot, scale: float, new: int) -> None:
        """Add `new` shots to the averages, each once however often it is asked for."""
        sums = self._sums
        sums.shots += new
        sums.dark_shots += 0 if shot.pumped else new
        sums.scale += new * scale
        sums.gate += new * shot.gate
        sums.lit += new * shot.lit
