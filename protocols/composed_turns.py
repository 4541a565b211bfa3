"""Parts of a composed protocol taking turns: their steps, scan points and set-points in one run."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from ..estimators import Estimate
from .composed_estimate import ComposedEstimate
from .protocol import Calibrations, ExperimentProtocol, SetPoint, Steps
from .steps import Set, Shots, Step, TakeEstimate

MEMBER = "member"
MEMBER_POINT = SetPoint(MEMBER, "", "number of the part that took these shots")


class Part:
    """One part on its way: its steps, what it was last told, and what it has set."""

    def __init__(
        self, number: int, protocol: ExperimentProtocol, calibrations: Calibrations, seed: int
    ) -> None:
        own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        self.number = number
        self.steps: Steps = protocol.steps(calibrations, own)
        self.answer: Estimate | None = None
        self.sets: dict[tuple[str, str], Set] = {}


class Composition:
    """What compositions share: scan points of parts, and turns of their steps.

    Attributes:
        points: Part and scan point within it, of each scan point so far.
    """

    def __init__(self) -> None:
        self.points: list[tuple[int, int]] = []
        self._places: dict[tuple[int, int], int] = {}
        self._now: dict[tuple[str, str], Set] = {}

    def begin(self) -> None:
        """Forget the scan points: the steps start again."""
        self.points, self._places, self._now = [], {}, {}

    def turn(self, part: Part, *, one_block: bool) -> Generator[Step, Estimate | None, bool]:
        """Steps of a part to the end of its next block, or of all; whether it may have more.

        What it had set and another part has changed since is set again first.
        """
        for place, wanted in part.sets.items():
            if self._now.get(place) != wanted:
                self._now[place] = wanted
                yield wanted
        while True:
            try:
                step = part.steps.send(part.answer)
            except StopIteration:
                return False
            part.answer = None
            match step:
                case Set():
                    self._now[step.role, step.parameter] = step
                    part.sets[step.role, step.parameter] = step
                    yield step
                case Shots():
                    yield replace(step, point=self._index(part.number, step.point))
                    if one_block:
                        return True
                case TakeEstimate():
                    found = yield step
                    if isinstance(found, ComposedEstimate):
                        part.answer = found.members.get(part.number)
                case _:
                    yield step

    def _index(self, number: int, inner: int) -> int:
        """Scan point of a part's scan point: numbered in the order in which they come up."""
        key = number, inner
        if key not in self._places:
            self._places[key] = len(self.points)
            self.points.append(key)
        return self._places[key]
