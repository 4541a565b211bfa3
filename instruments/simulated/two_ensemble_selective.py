"""A pulse off resonance on atoms that were never prepared: which ensemble it turns tells the coil.

The drive's RF is moved by a few hundred hertz, so that light and atoms of one ensemble agree and
those of the other do not. In the drive's frame

    H_j = Omega S_jx + (+-Delta/2 - shift) S_jz,

ensemble 1 with +: a shift of Delta/2 turns ensemble 1 fully. This is the one shot whose counts
change when the cables of the coil are exchanged; everything else is even in Delta.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from ...models.pulses import detuned_pulse
from .draws import shot_uniforms
from .two_ensemble_pieces import Piece, runs_of
from .two_ensemble_pulse import PulsedShot


@dataclass(frozen=True, slots=True)
class SelectiveShot(PulsedShot):
    """A shot whose only light on the atoms was one pulse off resonance.

    Attributes:
        shift: Frequency of the drive above the middle of both ensembles, angular.
    """

    shift: float

    @property
    def probabilities(self) -> tuple[float, float]:
        """Of finding one atom up, in each ensemble."""
        first, second = (
            detuned_pulse(self.rabi, side * 0.5 * self.detuning - self.shift, self.duration).area
            for side in (+1, -1)
        )
        return math.sin(0.5 * first) ** 2, math.sin(0.5 * second) ** 2

    def atoms(self, number: int, seed: int, shots: range) -> NDArray[np.int64]:
        """Atoms up in each shot and ensemble, (shots, 2), of `number` each."""
        draws = [shot_uniforms(seed, f"pulse.{one}", shots) for one in (1, 2)]
        columns = [
            binom.ppf(draw, number, probability)
            for draw, probability in zip(draws, self.probabilities, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.int64)


def selective_pulse(pieces: Sequence[Piece]) -> Piece | None:
    """The one pulse off resonance, when there is no other light on the atoms; else None."""
    runs = runs_of([piece for piece in pieces if piece.rabi])
    if len(runs) != 1 or len(runs[0]) != 1 or any(piece.decay for piece in pieces):
        return None
    return runs[0][0]
