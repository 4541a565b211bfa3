"""Excited atoms in the course of a long gate: paths of the birth-death chain of pump and decay.

The number moves by the exact chances of short times, between which it is taken to go straight:
the variance of its integral is low by (gamma time)^2/2 of itself, 2e-4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from .beams import in_time
from .draws import shot_uniforms
from .lines import ApparatusFault
from .pumped_droop import jumps

STEP = 0.02
"""Longest of these times, in 1/gamma."""

MOST_STEPS = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """How the number of excited atoms goes on at a constant pump.

    Attributes:
        step: Seconds of one move.
        moves: How many make the gate.
        chances: (N+1, N+1) cumulative chances of the number after a move, from columns.
    """

    step: float
    moves: int
    chances: NDArray[np.float64] = field(repr=False)

    def atom_seconds(
        self, start: NDArray[np.int64], seed: int, shots: range
    ) -> NDArray[np.float64]:
        """(shots,) integral of the number over the gate, keyed by the numbers of the shots.

        Args:
            start: (shots,) the number when the gate opens.
            seed: Of the laboratory.
            shots: Consecutive numbers.
        """
        number = start
        total = 0.5 * start.astype(np.float64)
        for move in range(self.moves):
            draws = shot_uniforms(seed, f"fluorescence.{move}", shots)
            number = np.sum(self.chances[:, number] < draws, axis=0)
            total += number
        total -= 0.5 * number
        return total * self.step


def walk(atoms: int, pump: float, decay: float, droop: float, gate: float) -> Walk:
    """The walk of one gate; rates angular, `gate` in seconds.

    Raises:
        ApparatusFault: The gate is too long to be followed.
    """
    moves = math.ceil(gate * decay / STEP)
    if moves > MOST_STEPS:
        raise ApparatusFault(
            f"the counter's gate lasts {in_time(gate)}, and paths of the atoms are followed for "
            f"{in_time(MOST_STEPS * STEP / decay)}: shorten it"
        )
    step = gate / moves
    chances: NDArray[np.float64] = np.cumsum(
        np.maximum(expm(jumps(atoms, pump, decay, droop) * step), 0.0), axis=0
    )
    chances[-1] = 1.0
    return Walk(step, moves, chances)
