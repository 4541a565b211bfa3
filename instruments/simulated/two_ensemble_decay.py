"""A pulse, then the cavity without drive: collective decay of all atoms together.

The pulse turns both ensembles alike, so that all 2N atoms are in one symmetric state. Light on the
coupling alone then lets them emit together: the number k of atoms up falls by the rates
Gamma k (2N - k + 1), exactly. Any symmetric state of k atoms up splits between the ensembles as
balls drawn from an urn. The detuning difference would turn the ensembles apart; where it does so
by more than `MOST_TURN` before the coupling is closed, there is no honest answer. A phase that is
written between pulse and readout (`signal`) changes no population and is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, hypergeom

from ...models.collective_decay import decayed_populations
from .draws import shot_uniforms
from .two_ensemble_pulse import PulsedShot

MOST_TURN = 0.15
"""Radians of differential phase; it slows the decay by less than its square over 8, 0.3 %."""


@dataclass(frozen=True, slots=True)
class DecayedShot(PulsedShot):
    """A shot with one pulse and collective decay after it.

    Attributes:
        decay: Gamma times the time that the coupling was on.
    """

    decay: float

    def atoms(self, number: int, seed: int, shots: range) -> NDArray[np.int64]:
        """Atoms up in each shot and ensemble, (shots, 2), of `number` each."""
        start = binom.pmf(np.arange(2 * number + 1), 2 * number, self.probability)
        law = decayed_populations(start, [self.decay])[0]
        ladder = np.cumsum(law) / math.fsum(law)
        both = np.minimum(
            np.searchsorted(ladder, shot_uniforms(seed, "decay", shots), side="right"), 2 * number
        )
        draws = shot_uniforms(seed, "decay.split", shots)
        first = np.asarray(hypergeom.ppf(draws, 2 * number, both, number)).astype(np.int64)
        return np.stack([first, both - first], axis=1).astype(np.int64)
