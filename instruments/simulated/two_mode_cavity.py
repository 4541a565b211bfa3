"""Two ensembles between two engineered reservoirs: the physics behind the wires.

Counts are samples of exact distributions: the state that four Raman tones have prepared so far
from all atoms down (Mamaev et al., "Non-Gaussian generalized two-mode squeezing", Eqs. 10,
S54-S56; the steady one, Eq. 1, after a long time and with equal pairs of tones), a turn of each
ensemble by a pulse of its own, and Poissonian photon counting. Unequal pairs of tones and unequal
ensembles are answered for as they are; then the steady state is mixed (Mamaev Sec. IX).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...models.table_draws import cells_of
from ...models.two_mode_squeezing_outcomes import (
    PairLight,
    PairState,
    evolved,
    evolved_from_all_down,
)
from .beams import TWO_PI
from .counting import Counting
from .draws import Drift, one_time_each, shot_uniforms, steady_steps
from .lines import ApparatusFault, Timeline, plain_key
from .prepared import Remembered
from .shot_noise import Deviations, ShotNoise, count_new, louder
from .truth import DriftsEntry
from .two_ensemble_pieces import Gate, read_gates
from .two_mode_shot import (
    MOST_MISMATCH,
    MOST_SCATTERED,
    MOST_SMALL,
    TwoModeShot,
    read_two_mode_shot,
)
from .two_mode_truth import TwoModeTruth

APPROXIMATIONS = (
    "every shot starts with all atoms down",
    "cavity and excited states are eliminated (N gamma_0/kappa, G/kappa and Omega/(2 Delta) up to "
    f"{MOST_SMALL:g}); what is left is solved exactly at any time",
    "the two modes do not talk to each other; a gradient off their distance by up to "
    f"{MOST_MISMATCH:g} linewidths only slows both reservoirs",
    "light shifts are made up for by the tones' frequencies, whatever the powers",
    "single atoms do not scatter, decay or dephase while they are prepared; up to "
    f"{MOST_SCATTERED:g} photons an atom are left out",
    "the tones keep their phases to each other: no noise of the squeezing angle",
    "light and RF switch at once, without the rise time of a modulator or the time constant of "
    "a coil",
)

_CACHED = 128
_DIGITS = 11


@dataclass(slots=True)
class _Sums:
    """Sums over the shots counted so far."""

    shots: int = 0
    dark: int = 0
    prepared: int = 0
    squeezing_a: float = 0.0
    squeezing_b: float = 0.0
    decay: float = 0.0
    xi2: float = 0.0
    variance: float = 0.0
    length: float = 0.0
    angle_1: float = 0.0
    angle_2: float = 0.0
    turned: int = 0
    gates: int = 0
    open: float = 0.0
    lit_gates: int = 0
    lit: float = 0.0
    next_shot: int = 0


class TwoModeCavity:
    """The `Apparatus` (`lines.py`) of two ensembles and two reservoirs.

    Args:
        truth: The hidden truth.
        seed: Keys the samples and the drifts.
        drifts: What drifts with the clock; None: nothing.
    """

    def __init__(self, truth: TwoModeTruth, seed: int, drifts: DriftsEntry | None = None) -> None:
        self.truth = truth
        self._seed = seed
        self._drifts = drifts
        given = drifts or DriftsEntry()
        self._step = given.step
        light, current = given.drive_amplitude, given.coil_current
        self._light_drift, self._current_drift = (
            Drift(one.rms, one.correlation_time, given.step, seed, f"drift.{name}")
            for name, one in (("drive_amplitude", light), ("coil_current", current))
        )
        self._noise = ShotNoise(given.shot_to_shot, seed, min(truth.atoms))
        self._counting = Counting(
            truth, seed, self._noise, given.detection, given.background, given.step
        )
        self._states = PreparedStates()
        self._ladders = Remembered(_CACHED)
        self._read = Remembered(_CACHED)
        self._sums = _Sums()

    def gates(self, timeline: Timeline) -> tuple[tuple[float, float, int | None], ...]:
        """Openings of the counter's gate: (start, stop, the one ensemble lit, or None)."""
        return tuple((gate.start, gate.stop, gate.ensemble) for gate in read_gates(timeline))

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
        found = np.zeros((len(shots), 2), dtype=np.int64)
        since = 0.0
        for part, step in steady_steps(times, self._step):
            numbers = shots[part]
            light = 1.0 + self._light_drift.at_step(step)
            current = 1.0 + self._current_drift.at_step(step)
            for places, noise in self._noise.cases(numbers):
                shot = self._shot(timeline, light, current, noise)
                first, second = self.truth.atoms
                atoms = noise.atoms(first), noise.atoms(second)
                found[part][places] = self._drawn(shot, atoms, numbers)[places]
                new = count_new(numbers, places, self._sums.next_shot)
                self._note(shot, atoms, gates, new, factors)
                since = shot.ended
            self._sums.next_shot = max(self._sums.next_shot, numbers.stop)
        return self._counting.counts(found, gates, shots, times, since)

    def _shot(
        self, timeline: Timeline, light: float, current: float, noise: Deviations
    ) -> TwoModeShot:
        """What such shots did, worked out once."""
        return self._read.get_or(
            (plain_key(timeline), light, current, noise),
            lambda: read_two_mode_shot(
                louder(timeline, noise.rf_amplitude),
                self.truth,
                light * math.sqrt(1.0 + noise.laser_power),
                current * (1.0 + noise.coil_current),
            ),
        )

    def reveal(self) -> dict[str, Any]:
        """The hidden truth, averaged over the shots counted so far; empty before the first.

        Of the shots that were prepared: `squeezing_a`, `squeezing_b` (r of both pairs of tones),
        `collective_decay` (gamma/2pi, Hz, mean of the pairs), and of the state itself `xi2`,
        `variance` (<X_+^2>, atoms squared) and `spin_length` (atoms). `gain` [counts per atom]
        and `background` [counts] are those of one gate.
        """
        sums = self._sums
        if not sums.shots:
            return {}
        told: dict[str, Any] = {}
        if sums.prepared:
            for name, total in (
                ("squeezing_a", sums.squeezing_a),
                ("squeezing_b", sums.squeezing_b),
                ("collective_decay", sums.decay),
                ("xi2", sums.xi2),
                ("variance", sums.variance),
                ("spin_length", sums.length),
            ):
                told[name] = total / sums.prepared
        if sums.turned:
            told["analysis_1"] = sums.angle_1 / sums.turned
            told["analysis_2"] = sums.angle_2 / sums.turned
        return told | {
            "gain": self.truth.rate_per_atom * sums.lit / max(1, sums.lit_gates),
            "background": self.truth.background_rate * sums.open / max(1, sums.gates),
            "atoms": list(self.truth.atoms),
            "shots": sums.shots,
            "approximations": list(self._approximations()),
        }

    def _approximations(self) -> Iterator[str]:
        yield from APPROXIMATIONS
        yield from self._noise.approximations()
        yield from self._counting.approximations()
        if self._drifts is not None:
            yield f"laser power and coil current are constant within {self._step:g} s"
        if self._sums.dark:
            yield (
                f"in {self._sums.dark} shots no Raman light reached the atoms (laser off or "
                "unlocked, RF off, or switch closed): all atoms were down before any pulse"
            )

    def _drawn(self, shot: TwoModeShot, atoms: tuple[int, int], shots: range) -> NDArray[np.int64]:
        """Atoms in the counted state, (shots, 2), drawn from the exact distribution."""
        ladder = self._ladder(shot, atoms)
        draws = shot_uniforms(self._seed, "projection", shots) * ladder[-1]
        return np.stack(np.divmod(cells_of(ladder, draws), atoms[1] + 1), axis=1)

    def _ladder(self, shot: TwoModeShot, atoms: tuple[int, int]) -> NDArray[np.float64]:
        """Cumulative P[n1, n2], worked out once for each course of a shot."""

        def solved() -> NDArray[np.float64]:
            try:
                state = self._states.after(shot.lights, atoms)
            except ArithmeticError as problem:  # not seen in practice
                raise ApparatusFault(f"the preparation could not be solved: {problem}") from problem
            return np.cumsum(state.outcomes(shot.angles, shot.phase).ravel())

        return self._ladders.get_or((atoms, shot.lights, shot.angles, shot.phase), solved)

    def _note(
        self,
        shot: TwoModeShot,
        atoms: tuple[int, int],
        gates: tuple[Gate, ...],
        new: int,
        factors: tuple[float, float],
    ) -> None:
        """Add `new` shots to the averages, each once however often it is asked for."""
        sums = self._sums
        sums.shots += new
        sums.dark += 0 if shot.lights else new
        if any(shot.angles):
            sums.turned += new
            sums.angle_1 += new * shot.angles[0]
            sums.angle_2 += new * shot.angles[1]
        light = shot.preparation
        rates = None if light is None else squeezing_of(light)
        if rates is not None:
            state = self._states.after(shot.lights, atoms)
            sums.prepared += new
            sums.squeezing_a += new * rates[0]
            sums.squeezing_b += new * rates[1]
            sums.decay += new * rates[2]
            variance, length = state.squeezed_variance, abs(state.length)
            sums.xi2 += new * (sum(atoms) * variance / length**2 if length else math.inf)
            sums.variance += new * variance
            sums.length += new * length
        for gate in gates:
            sums.gates += new
            sums.open += new * (gate.stop - gate.start) * factors[1]
            if gate.ensemble is not None:
                sums.lit_gates += new
                sums.lit += new * max(gate.lit) * factors[0]


class PreparedStates:
    """States behind a course of light, each solved once.

    After one light on all atoms down that has lasted until nothing moves any more, a longer or
    stronger light of the same balance gives the same state: it is not solved again, so that slow
    changes of the laser's power cost nothing.
    """

    def __init__(self) -> None:
        self._states = Remembered(_CACHED)
        self._settled: dict[Any, tuple[float, PairState]] = {}

    def after(self, lights: tuple[PairLight, ...], atoms: tuple[int, int]) -> PairState:
        """The state of so many atoms behind the lights."""
        if not lights:
            return PairState.all_down(*atoms)
        return self._states.get_or((lights, atoms), lambda: self._solved(lights, atoms))

    def _solved(self, lights: tuple[PairLight, ...], atoms: tuple[int, int]) -> PairState:
        if len(lights) == 1:
            return self._first(lights[0], atoms)
        return evolved(self.after(lights[:-1], atoms), lights[-1])

    def _first(self, light: PairLight, atoms: tuple[int, int]) -> PairState:
        strengths = (*light.lower, *light.lift)
        most = max(strengths)
        balance = tuple(round(one / most, _DIGITS) for one in strengths), atoms
        length = light.duration * most**2
        if balance in self._settled and length >= self._settled[balance][0]:
            return self._settled[balance][1]
        state, since = evolved_from_all_down(*atoms, light)
        if since is not None:
            self._settled[balance] = since * most**2, state
            while len(self._settled) > _CACHED:
                self._settled.pop(next(iter(self._settled)))
        return state


def squeezing_of(light: PairLight) -> tuple[float, float, float] | None:
    """r of both pairs of tones and gamma/2pi in Hz, their mean; None if a pair has no r."""
    if any(lift >= lower for lower, lift in zip(light.lower, light.lift, strict=True)):
        return None
    first, second = (
        math.atanh(lift / lower) for lower, lift in zip(light.lower, light.lift, strict=True)
    )
    rates = [lower**2 - lift**2 for lower, lift in zip(light.lower, light.lift, strict=True)]
    return first, second, 0.5 * math.fsum(rates) / TWO_PI
