"""One shot of a dissipative preparation, and the holds that the next shots are worth most at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..estimators import RelaxationBeliefs
from ..estimators.relaxation_bounds import information_by_hold, inverse_of
from .sequence import PREPARATION, PULSE
from .sequence import Sequence as TwoEnsembleSequence

Array = NDArray[np.float64]


class PreparationSequence(TwoEnsembleSequence):
    """As `Sequence`, but the pulse may be left out: populations are counted as they are."""

    __slots__ = ()

    def _window_problems(self) -> Iterator[str]:
        missing = f"window {PULSE!r} is missing"
        for problem in super()._window_problems():
            if problem != missing:
                yield problem

    def _order_problems(self) -> Iterator[str]:
        yield from super()._order_problems()
        prepared = [window.stop for window in self.windows if window.name == PREPARATION]
        for gate in self.gates:
            if prepared and gate.start < prepared[0]:
                yield (
                    f"counting gate {gate.name!r} at {gate.start:.6g} s comes before the end of "
                    f"the preparation at {prepared[0]:.6g} s"
                )


def worth_most(
    beliefs: RelaxationBeliefs,
    values: Mapping[str, float],
    holds: Sequence[float],
    taken: Sequence[int],
    shots: int,
    name: str,
) -> tuple[int, ...]:
    """How many of the next shots to take at each hold, so that one quantity gains most.

    Shots are given one portion after the other to the hold that lowers the expected variance of
    the quantity most, given all that was taken before.

    Args:
        beliefs: Of the rates and the detector.
        values: The estimate so far, by name.
        holds: The holds to choose from, rising, s.
        taken: Shots taken at each.
        shots: To give away.
        name: Of the quantity.
    """
    coordinates = beliefs.coordinates()
    index = coordinates.names.index(name)
    each, _ = information_by_hold(beliefs, values, np.asarray(holds, dtype=np.float64))
    total = np.einsum("t,tij->ij", np.asarray(taken, dtype=np.float64), each)
    total += np.diag(coordinates.weight)
    given = np.zeros(len(holds), dtype=int)
    portion = max(1, math.ceil(shots / 8))
    left = shots
    while left:
        now = min(portion, left)
        spreads = [float(inverse_of(total + now * one)[index, index]) for one in each]
        best = int(np.argmin(spreads))
        given[best] += now
        total = total + now * each[best]
        left -= now
    return tuple(int(number) for number in given)
