"""Two pulses on atoms that were never prepared: the Ramsey fringe of independent atoms.

Without light on the coupling the cavity does nothing. The first pulse lays every atom, down at
first, into the equator; a signal and the detuning write the differential phase +-phi in the dark;
the second pulse, whose common phase theta is new in every shot, turns it into

    p_j = (1 - cos a1 cos a2 + sin a1 sin a2 cos(theta +- phi)) / 2.

Both ensembles point the same way after the first pulse, where the prepared pair points opposite
ways: the ellipse of these counts is that of phi + pi/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from .draws import shot_uniforms
from .two_ensemble_pulse import PulsedShot


@dataclass(frozen=True, slots=True)
class FringeShot(PulsedShot):
    """A shot whose only light on the atoms were two pulses; the inherited ones are the second's.

    Attributes:
        first_area: Area a1 of the first pulse, radians.
        area: Area a2 of the second.
        phase: Differential phase phi: signal, dark time, and both pulses' own parts, radians.
    """

    first_area: float
    area: float
    phase: float

    def probabilities(self, common: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of finding an atom up, (shots, 2), at common phases (shots,)."""
        offset = 1.0 - math.cos(self.first_area) * math.cos(self.area)
        contrast = math.sin(self.first_area) * math.sin(self.area)
        turns = np.stack([common + self.phase, common - self.phase], axis=1)
        found: NDArray[np.float64] = 0.5 * (offset + contrast * np.cos(turns))
        return np.clip(found, 0.0, 1.0)

    def atoms(self, number: int, seed: int, shots: range) -> NDArray[np.int64]:
        """Atoms up in each shot and ensemble, (shots, 2), of `number` each."""
        common = 2.0 * math.pi * shot_uniforms(seed, "common", shots)
        draws = np.stack([shot_uniforms(seed, f"pulse.{one}", shots) for one in (1, 2)], axis=1)
        found = np.asarray(binom.ppf(draws, number, self.probabilities(common)))
        return found.astype(np.int64)
