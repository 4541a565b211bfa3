"""Noise that is new in every shot: laser, RF, coil, atoms, detection.

What changes the state of the atoms (laser power, RF amplitude, coil current, atom number) needs a
solution of the physics for every value. Such a deviation therefore takes one of the five nodes of
a Gauss-Hermite rule, with the rule's weights: its moments up to the ninth are those of a normal
distribution, and a block of any length needs a bounded number of solutions. What only changes how
the atoms are counted is normal.

Every number is keyed by seed, quantity and shot; what is off draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from .draws import shot_uniforms
from .lines import RFTone, Stretch, Timeline
from .truth import LightNoiseEntry

NODES = 5
"""Values that a deviation of the atoms' state can take."""


@dataclass(frozen=True, slots=True)
class Deviations:
    """What one shot's state of the atoms deviates by, relative; `atom_number` in atoms."""

    laser_power: float = 0.0
    rf_amplitude: float = 0.0
    coil_current: float = 0.0
    atom_number: int = 0

    def atoms(self, number: int) -> int:
        """How many there are where `number` are meant."""
        return max(1, number + self.atom_number)


STATE = tuple(Deviations.__slots__)
NO_DEVIATION = Deviations()


class ShotNoise:
    """The noise of one laboratory.

    Args:
        entry: How large each is.
        seed: Keys it.
        atoms: How many are meant in an ensemble.
    """

    def __init__(self, entry: LightNoiseEntry, seed: int, atoms: int = 0) -> None:
        self._entry = entry
        self._atoms = atoms
        self._seed = seed
        self._noisy = tuple(name for name in STATE if self.is_on(name))
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        self._nodes = nodes
        self._ladder = np.cumsum(weights) / math.sqrt(2.0 * math.pi)

    def is_on(self, name: str) -> bool:
        """Whether there is noise of this name."""
        return self._rms(name) > 0.0

    def _rms(self, name: str) -> float:
        return float(getattr(self._entry, name, 0.0))

    @property
    def moves_state(self) -> bool:
        """Whether the state of the atoms differs from shot to shot."""
        return bool(self._noisy)

    def cases(self, shots: range) -> Iterator[tuple[slice | NDArray[np.intp], Deviations]]:
        """The places in `shots` that share a deviation, and the deviation."""
        if not self._noisy:
            yield slice(None), NO_DEVIATION
            return
        columns = [self._chosen(name, shots) for name in self._noisy]
        table, places = np.unique(np.stack(columns, axis=1), axis=0, return_inverse=True)
        for number, row in enumerate(table.tolist()):
            values = dict(zip(self._noisy, row, strict=True))
            values["atom_number"] = int(values.get("atom_number", 0))
            yield np.flatnonzero(places.reshape(-1) == number), Deviations(**values)

    def _chosen(self, name: str, shots: range) -> NDArray[np.float64]:
        """The deviation of each shot; of the atoms' number in whole atoms, right in the mean."""
        uniforms = shot_uniforms(self._seed, f"noise.{name}", shots)
        deviations = self._rms(name) * self._nodes[np.searchsorted(self._ladder[:-1], uniforms)]
        if name != "atom_number":
            return np.asarray(deviations)
        shifts = self._atoms * deviations
        up = shot_uniforms(self._seed, "noise.atom_number.rounding", shots) < shifts % 1.0
        return np.asarray(np.floor(shifts) + up)

    def approximations(self) -> Iterator[str]:
        """How the noise of the state is meant."""
        if self._noisy:
            names = ", ".join(name.replace("_", " ") for name in self._noisy)
            yield f"noise of {names} is new in every shot and takes {NODES} values (Gauss-Hermite)"

    def normal(self, name: str, shots: range) -> NDArray[np.float64] | None:
        """Relative deviations of what counting depends on; None where it is off."""
        rms = self._rms(name)
        if rms == 0.0:
            return None
        uniforms = shot_uniforms(self._seed, f"noise.{name}", shots)
        return np.asarray(rms * ndtri(uniforms), dtype=np.float64)


def count_new(shots: range, places: slice | NDArray[np.intp], known: int) -> int:
    """How many of the shots at `places` have the number `known` or a later one."""
    if isinstance(places, slice):
        return max(0, shots.stop - max(shots.start, known))
    return int(np.sum(shots.start + places >= known))


def louder(timeline: Timeline, amplitude: float) -> Timeline:
    """A timeline whose RF amplitudes are larger by the relative `amplitude`."""
    if amplitude == 0.0:
        return timeline
    decibels = 20.0 * math.log10(1.0 + amplitude)

    def raised(one: Stretch) -> Stretch:
        if not isinstance(one.value, RFTone):
            return one
        tone = replace(one.value, power_dbm=one.value.power_dbm + decibels)
        return Stretch(one.start, one.stop, tone)

    return {line: tuple(map(raised, stretches)) for line, stretches in timeline.items()}
