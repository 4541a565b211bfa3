"""What every apparatus has in common that prepares a state, turns it and counts its atoms.

A subclass says what a shot did (`read`) and how many atoms each ensemble then has in the counted
state (`atoms`); drifts, noise, gates and photons are the same for all.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...models.spins import wigner_d
from .beams import in_time, lit_time
from .counting import Counting, CountingTruth
from .draws import Drift, steady_steps
from .lines import ApparatusFault, Timeline, either
from .pumped_truth import PumpedDriftsEntry
from .shot_noise import ShotNoise, count_new, louder

HARMLESS = 1e-6
"""Seconds of light at the wrong time that are too short to do anything."""

_Value = TypeVar("_Value")


class Preparation(Protocol):
    """What one shot did to the atoms."""

    @property
    def prepared(self) -> bool:
        """Whether light has moved the atoms at all."""
        ...


Did = TypeVar("Did", bound=Preparation)


@dataclass(frozen=True, slots=True)
class LitGate:
    """One opening of the counter's gate, and for how long each ensemble was lit during it."""

    start: float
    stop: float
    lit: tuple[float, ...]

    @property
    def ensemble(self) -> int | None:
        """Number, from 1, of the one ensemble that is lit; else None."""
        lit = [number for number, seconds in enumerate(self.lit, 1) if seconds > 0.0]
        return lit[0] if len(lit) == 1 else None


def lit_gates(timeline: Timeline, probes: Sequence[str]) -> tuple[LitGate, ...]:
    """Openings of `counter.gate` in the order of time; `probes` are the ensembles' probe lines."""
    return tuple(
        LitGate(one.start, one.stop, tuple(lit_time(timeline, probe, one) for probe in probes))
        for one in either([timeline.get("counter.gate", ())])
    )


def refuse_early_readout(
    timeline: Timeline, probes: Sequence[str], begin: float, end: float
) -> None:
    """Nothing may be read while a state is prepared and turned, `begin` to `end` after T0.

    Raises:
        ApparatusFault: If the counter's gate opens, or probe light is on, before `end`.
    """
    for gate in lit_gates(timeline, ()):
        if gate.start < end:
            raise ApparatusFault(
                f"the counter's gate opens at {in_time(gate.start)}, before the last light that "
                f"prepares and turns the atoms is over at {in_time(end)}: move the gate, or check "
                "which window is wired to counter.gate"
            )
    for probe in probes:
        for one in either([timeline.get(probe, ())]):
            if min(one.stop, end) - max(one.start, begin) > HARMLESS:
                raise ApparatusFault(
                    f"probe light of {probe} is on from {in_time(one.start)} to "
                    f"{in_time(one.stop)}, before the atoms are ready at {in_time(end)}: it "
                    f"destroys the state: check which window is wired to {probe}"
                )


def pulse_matrix(spin: float, area: float, phase: float) -> NDArray[np.complex128]:
    """Amplitudes after a turn by `area` about the axis at `phase` in the x-y plane.

    Rows and columns m descending; phases of the rows, which counting does not see, are left out.
    """
    m = spin - np.arange(2.0 * spin + 1.0)
    # a quarter of a turn about z makes the turn about x one about y
    turn = np.exp(1j * (phase - 0.5 * math.pi) * m)
    turned: NDArray[np.complex128] = wigner_d(spin, area).astype(np.complex128) * turn
    return turned


class Remembered(OrderedDict[Hashable, Any]):
    """Solutions by what they depend on; the one used least recently is forgotten first."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def get_or(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """The solution of `key`, made on first use."""
        if key not in self:
            self[key] = make()
            while len(self) > self._most:
                self.popitem(last=False)
        self.move_to_end(key)
        found: _Value = self[key]
        return found


class PreparedEnsembles(ABC, Generic[Did]):
    """An `Apparatus` (`lines.py`) of ensembles that are prepared and then counted one by one.

    Args:
        truth: Of the detector.
        seed: Keys the samples and the drifts.
        drifts: What drifts with the clock; None: nothing.
        probes: Line of the probe light of each ensemble.
    """

    def __init__(
        self,
        truth: CountingTruth,
        seed: int,
        drifts: PumpedDriftsEntry | None,
        probes: Sequence[str],
    ) -> None:
        self.seed = seed
        self.probes = tuple(probes)
        self._detector = truth
        self._drifts = drifts
        given = drifts or PumpedDriftsEntry()
        power = given.pump_power
        self._power = Drift(power.rms, power.correlation_time, given.step, seed, "drift.pump_power")
        self._noise = ShotNoise(given.shot_to_shot, seed)
        self._counting = Counting(
            truth, seed, self._noise, given.detection, given.background, given.step
        )
        self._shots = self._dark = self._next_shot = 0
        self._lit = self._open = 0.0
        self._latest: Did | None = None

    @abstractmethod
    def read(self, timeline: Timeline, power: float) -> Did:
        """What a shot did, with a factor on the optical power of its pump.

        Raises:
            ApparatusFault: If it did something that the physics cannot answer for.
        """

    @abstractmethod
    def atoms(self, did: Did, shots: range) -> NDArray[np.float64]:
        """Atoms in the counted state of each ensemble, (shots, ensembles)."""

    @abstractmethod
    def told(self, latest: Did | None) -> dict[str, Any]:
        """The hidden truth beside the detector's; `latest` is the last shot that was prepared."""

    def gates(self, timeline: Timeline) -> tuple[tuple[float, float, int | None], ...]:
        """Openings of the counter's gate: (start, stop, the one ensemble lit, or None)."""
        return tuple((one.start, one.stop, one.ensemble) for one in self._gates(timeline))

    def _gates(self, timeline: Timeline) -> tuple[LitGate, ...]:
        return lit_gates(timeline, self.probes)

    def counts(
        self, timeline: Timeline, shots: range, times: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Photon counts, shape (len(shots), gates); see `lines.Apparatus`.

        Raises:
            ApparatusFault: If the wires did something that this physics cannot answer for.
            ValueError: If `shots` are not consecutive or `times` do not match them.
        """
        if shots.step != 1 or len(times) != len(shots):
            raise ValueError(f"{len(times)} times do not belong to consecutive shots {shots!r}")
        gates = self._gates(timeline)
        exposure = self._detector.rate_per_atom * np.array([one.lit for one in gates]).reshape(
            len(gates), len(self.probes)
        )
        signal = np.zeros((len(shots), len(gates)))
        for part, drift in self._steady_parts(times):
            numbers = shots[part]
            for places, noise in self._noise.cases(numbers):
                power = drift * (1.0 + noise.laser_power)
                did = self.read(louder(timeline, noise.rf_amplitude), power)
                signal[part][places] = (self.atoms(did, numbers) @ exposure.T)[places]
                self._note(did, gates, count_new(numbers, places, self._next_shot))
            self._next_shot = max(self._next_shot, numbers.stop)
        return self._counting.drawn(signal, [one.stop - one.start for one in gates], shots, times)

    def _steady_parts(self, times: NDArray[np.float64]) -> Iterator[tuple[slice, float]]:
        """Slices of shots in one step of the drift, with the factor on the pump's power."""
        if self._drifts is None:
            yield slice(0, len(times)), 1.0
            return
        for part, step in steady_steps(times, self._drifts.step):
            yield part, 1.0 + self._power.at_step(step)

    def _note(self, did: Did, gates: Sequence[LitGate], new: int) -> None:
        """Add `new` shots to the averages, each once however often it is asked for."""
        self._shots += new
        if did.prepared:
            self._latest = did
        else:
            self._dark += new
        if gates:
            self._lit += new * sum(max(one.lit) for one in gates) / len(gates)
            self._open += new * sum(one.stop - one.start for one in gates) / len(gates)

    def reveal(self) -> dict[str, Any]:
        """The hidden truth; empty before the first shot.

        `gain` [counts per atom] and `background` [counts] are those of one gate, averaged over
        the shots; figures of the atoms' state are those of the latest shot that was prepared.
        """
        if not self._shots:
            return {}
        return {
            **self.told(self._latest),
            "gain": self._detector.rate_per_atom * self._lit / self._shots,
            "background": self._detector.background_rate * self._open / self._shots,
            "shots": self._shots,
            "approximations": list(self._approximations()),
        }

    @abstractmethod
    def approximations(self) -> Iterator[str]:
        """What is left out of the physics, in words."""

    def _approximations(self) -> Iterator[str]:
        yield from self.approximations()
        yield from self._noise.approximations()
        yield from self._counting.approximations()
        if self._drifts is not None:
            yield f"the pump's power is constant within {self._drifts.step:g} s"
        if self._dark:
            yield (
                f"in {self._dark} shots no light prepared the atoms (laser off or unlocked, RF "
                "off, or switch closed): all stayed down"
            )
