"""One pulse on atoms that were never prepared: independent atoms, answered exactly.

Without light on the coupling the cavity does nothing. Every atom starts down and sees the same
drive, detuned by +Delta/2 in one ensemble and -Delta/2 in the other: the state is a product, and
the atoms found up are binomial. The probability is even in the detuning, so that both ensembles
share it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from ...models.pulses import detuned_pulse
from .draws import shot_uniforms


@dataclass(frozen=True, slots=True)
class PulsedShot:
    """A shot whose only light on the atoms was one pulse of the drive.

    Attributes:
        rabi: Rabi frequency, angular.
        detuning: Detuning difference of the ensembles, angular.
        duration: Length of the pulse, s.
    """

    rabi: float
    detuning: float
    duration: float

    @property
    def probability(self) -> float:
        """Of finding one atom up, in either ensemble."""
        area = detuned_pulse(self.rabi, 0.5 * self.detuning, self.duration).area
        return math.sin(0.5 * area) ** 2

    def atoms(self, number: int, seed: int, shots: range) -> NDArray[np.int64]:
        """Atoms up in each shot and ensemble, (shots, 2), of `number` each."""
        ladder = binom.cdf(np.arange(number + 1), number, self.probability)
        columns = [
            np.minimum(
                np.searchsorted(ladder, shot_uniforms(seed, f"pulse.{one}", shots), side="right"),
                number,
            )
            for one in (1, 2)
        ]
        return np.stack(columns, axis=1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class SweptShot(PulsedShot):
    """A shot whose one pulse saw a detuning that changed, because the coil's current moved.

    Attributes:
        parts: Detuning difference, angular, and seconds that it lasted, in order; the inherited
            `detuning` is their mean.
    """

    parts: tuple[tuple[float, float], ...]

    @property
    def probability(self) -> float:
        """Of finding one atom up: the turns of all parts, one after the other."""
        up, down = 0.0 + 0.0j, 1.0 + 0.0j
        for detuning, seconds in self.parts:
            across, along = self.rabi, 0.5 * detuning
            rate = math.hypot(across, along)
            cosine, sine = math.cos(0.5 * rate * seconds), math.sin(0.5 * rate * seconds) / rate
            up, down = (
                (cosine - 1j * sine * along) * up - 1j * sine * across * down,
                (cosine + 1j * sine * along) * down - 1j * sine * across * up,
            )
        return min(abs(up) ** 2, 1.0)
