"""One shot of a dissipative preparation, and the holds that the next shots are worth most at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ..estimators.relaxation_bounds import inverse_of
from ..instruments.timeline import Window
from .dissipative_preparation_many import Beliefs, information_of
from .sequence import PREPARATION, PULSE
from .sequence import Sequence as TwoEnsembleSequence
from .sequence_checks import SLACK

Array = NDArray[np.float64]

OUTPUT = "cavity_output"
"""Name of the gate, and of the column of the counts, of the light that leaves the cavity."""


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


class WatchedSequence(PreparationSequence):
    """As `PreparationSequence`, and light is counted while the window of the pulse is open.

    Within the preparation that window changes nothing on the atoms, as the drive's light is there
    already: it is a gate for the light that leaves the cavity. After it the window lets the
    pulse through, and its reading tells nothing.
    """

    __slots__ = ()

    @property
    def gates(self) -> tuple[Window, ...]:
        """The counting gates, in order of time; first that of the cavity's output."""
        opened = self.window(PULSE)
        return (Window(OUTPUT, opened.start, opened.duration), *super().gates)

    def problems(self) -> list[str]:
        """Everything that is wrong with the timeline; the window within the hold is right."""
        if not {PULSE, PREPARATION} <= {window.name for window in self.windows}:
            return [f"the windows {PREPARATION!r} and {PULSE!r} must both be there"]
        kept = self.windows
        if self.window(PULSE).stop <= self.window(PREPARATION).stop + SLACK:
            kept = tuple(window for window in kept if window.name != PULSE)
        rest = PreparationSequence(self.drive, self.coupling, kept, self.period)
        return rest.problems()


def worth_most(
    beliefs: Beliefs,
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
    each = information_of(beliefs, values, np.asarray(holds, dtype=np.float64))
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
