"""Two small ensembles whose atoms also decay one by one while they are prepared; exact."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...models.cumulants import DecayingEnsembles
from ...models.cumulants_exact import MOST_ATOMS
from ...models.decaying_outcomes import Turn, decaying_populations, decaying_state, turned
from .lines import ApparatusFault
from .relaxing_state import Step


def populations_with_decay(
    number: int, steps: tuple[Step, ...], decay: float
) -> NDArray[np.float64]:
    """P(n1, n2) when nothing acts any more, (N+1, N+1), from all atoms down.

    Args:
        number: Atoms in each ensemble.
        steps: What acts on them.
        decay: Rate at which every atom falls by itself, 1/s.

    Raises:
        ApparatusFault: If what acts on the atoms cannot be followed together with that decay.
    """
    driven = next((k for k, step in enumerate(steps) if step.rabi), len(steps))
    left = steps[driven:]  # all down until then: nothing decays
    _check(number, left)
    coupled = bool(left) and left[0].decay > 0.0
    spin = number / 2.0
    phase = left[0].phase if coupled else 0.0
    rates = (left[0].rabi, left[0].detuning, decay, left[0].decay) if coupled else (1.0, 0.0)
    state = _prepared(DecayingEnsembles(spin, *rates), left[0].duration if coupled else 0.0)
    turns = [
        Turn(step.rabi, step.phase - phase, step.detuning, step.duration, step.written)
        for step in left[coupled:]
    ]
    return decaying_populations(turned(state, number, turns, decay), number)


@lru_cache(maxsize=8)
def _prepared(pair: DecayingEnsembles, duration: float) -> NDArray[np.float64]:
    """The state of a hold, solved once for all pulses that follow it."""
    return decaying_state(pair, duration)


def _check(number: int, steps: tuple[Step, ...]) -> None:
    if number > MOST_ATOMS:
        raise ApparatusFault(
            f"with single-atom decay at most {MOST_ATOMS} atoms in each ensemble are followed, but "
            f"the laboratory has {number}: lower atoms_per_ensemble in the laboratory file"
        )
    if any(step.exchange for step in steps):
        raise ApparatusFault(
            "exchange and single-atom decay are not followed together: take one of full_exchange "
            "and single_atom_decay out of the laboratory file"
        )
    if any(step.decay for step in steps[1:]):
        raise ApparatusFault(
            "the light of the cavity acts in several stretches of different strength, and with "
            "single-atom decay only one, from all atoms down, can be answered for: let drive and "
            "coupling begin and end together"
        )
