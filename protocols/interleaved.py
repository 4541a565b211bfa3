"""Two protocols taken in turn in one run: a signal and the reference that it is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..estimators import Estimate
from .composed_estimate import ComposedEstimate, ComposedEstimator, interleaved
from .composed_turns import MEMBER, MEMBER_POINT, Composition, Part
from .protocol import Calibrations, ExperimentProtocol, SetPoint, Steps
from .steps import TakeEstimate


@dataclass(frozen=True, slots=True)
class DifferenceBounds:
    """Least standard deviations of a difference."""

    cramer_rao_std: float
    standard_quantum_limit_std: float

    def to_json(self) -> dict[str, float]:
        """The two standard deviations."""
        return {
            "cramer_rao_std": self.cramer_rao_std,
            "standard_quantum_limit_std": self.standard_quantum_limit_std,
        }


@dataclass(frozen=True, slots=True)
class InterleavedBeliefs:
    """What the two protocols believe, and their names."""

    protocols: tuple[str, ...]
    signal: Any
    reference: Any


class Interleaved(Composition):
    """Two protocols taken in turn, block by block: what drifts is the same for both.

    Quantities: "difference" of the two headlines, signal less reference, and all quantities of
    both as "signal_…" and "reference_…".

    Args:
        signal: The protocol that measures.
        reference: The one to compare with; its detectors must be the same.

    Raises:
        ValueError: The two count with different detectors, or disagree on a set-point's unit.
    """

    parts = ("signal", "reference")

    def __init__(self, signal: ExperimentProtocol, reference: ExperimentProtocol) -> None:
        super().__init__()
        self._protocols = (signal, reference)
        if signal.detectors != reference.detectors:
            raise ValueError(
                f"signal and reference must count with the same detectors, but have "
                f"{', '.join(signal.detectors)} and {', '.join(reference.detectors)}"
            )
        self._columns: dict[str, SetPoint] = {}
        for point in (*signal.set_points, *reference.set_points):
            if self._columns.setdefault(point.name, point).unit != point.unit:
                raise ValueError(f"signal and reference give set-point {point.name} two units")

    @property
    def name(self) -> str:
        """``pumping_scan_against_pumping_scan``."""
        return "_against_".join(one.name for one in self._protocols)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Those of both."""
        return {part: one.settings for part, one in zip(self.parts, self._protocols, strict=True)}

    @property
    def quantities(self) -> tuple[str, ...]:
        """The difference first, then those of both."""
        named = (
            f"{part}_{name}"
            for part, one in zip(self.parts, self._protocols, strict=True)
            for name in one.quantities
        )
        return ("difference", *named)

    @property
    def detectors(self) -> tuple[str, ...]:
        """Of both."""
        return self._protocols[0].detectors

    @property
    def set_points(self) -> tuple[SetPoint, ...]:
        """Those of both; one that only the other has is not a number."""
        return (*self._columns.values(), MEMBER_POINT)

    @property
    def planned_shots(self) -> int:
        """Of both together."""
        return sum(one.planned_shots for one in self._protocols)

    def settings_dict(self) -> dict[str, Any]:
        """Name and settings of both."""
        return {
            part: {"protocol": one.name, "settings": one.settings_dict()}
            for part, one in zip(self.parts, self._protocols, strict=True)
        }

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """Set-points of one part's scan point."""
        number, inner = self.points[index]
        found = self._protocols[number].point(inner, calibrations)
        return {**dict.fromkeys(self._columns, math.nan), **found, MEMBER: float(number)}

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """A block of the signal, one of the reference, and so on until both are done."""
        self.begin()
        waiting = [
            Part(number, one, calibrations, seed) for number, one in enumerate(self._protocols)
        ]
        while waiting:
            for part in tuple(waiting):
                if not (yield from self.turn(part, one_block=True)):
                    waiting.remove(part)
        yield TakeEstimate()

    def beliefs(self, calibrations: Calibrations) -> InterleavedBeliefs:
        """Those of both."""
        names = tuple(one.name for one in self._protocols)
        return InterleavedBeliefs(names, *(one.beliefs(calibrations) for one in self._protocols))

    def estimator(self, calibrations: Calibrations) -> ComposedEstimator:
        """One for each, and their difference."""

        def make(number: int, columns: Mapping[str, float]) -> Any:
            del columns
            return self._protocols[number].estimator(calibrations)

        headlines = tuple(one.quantities[0] for one in self._protocols)
        return ComposedEstimator(make, interleaved(self.name, self.parts, headlines), self._kept)

    @classmethod
    def stored_estimator(cls, beliefs: Mapping[str, Any]) -> ComposedEstimator:
        """A fresh estimator for a stored run of two registered protocols."""
        from . import protocol_by_name

        both: list[Any] = [protocol_by_name(name) for name in beliefs["protocols"]]

        def make(number: int, columns: Mapping[str, float]) -> Any:
            del columns
            return both[number].stored_estimator(beliefs[cls.parts[number]])

        def kept(number: int) -> tuple[str, ...]:
            return tuple(point.name for point in both[number]().set_points)

        headlines = tuple(one().quantities[0] for one in both)
        name = "_against_".join(beliefs["protocols"])
        return ComposedEstimator(make, interleaved(name, cls.parts, headlines), kept)

    def bounds(
        self, calibrations: Calibrations, estimate: Estimate, shots: int
    ) -> DifferenceBounds:
        """Of the difference, each part for its own shots."""
        del shots
        if not isinstance(estimate, ComposedEstimate) or len(estimate.members) < 2:
            raise ValueError("a difference has a bound only where both parts were estimated")
        both = [
            one.bounds(calibrations, estimate.members[number], estimate.members[number].shots)
            for number, one in enumerate(self._protocols)
        ]
        return DifferenceBounds(
            math.hypot(*(one.cramer_rao_std for one in both)),
            math.hypot(*(one.standard_quantum_limit_std for one in both)),
        )

    def guards(self, calibrations: Calibrations) -> list[Any]:
        """Those of both."""
        found = (getattr(one, "guards", None) for one in self._protocols)
        return [guard for own in found if own for guard in own(calibrations)]

    def truth(self, revealed: Mapping[str, Any], calibrations: Calibrations) -> dict[str, float]:
        """What each makes of a rehearsal's truth, and the difference where both headlines are."""
        told: dict[str, float] = {}
        for part, one in zip(self.parts, self._protocols, strict=True):
            translate = getattr(one, "truth", None)
            known = {**revealed, **(translate(revealed, calibrations) if translate else {})}
            told.update({f"{part}_{name}": known[name] for name in one.quantities if name in known})
        ends = [
            f"{p}_{one.quantities[0]}" for p, one in zip(self.parts, self._protocols, strict=True)
        ]
        if all(name in told for name in ends):
            told["difference"] = told[ends[0]] - told[ends[1]]
        return told

    def _kept(self, number: int) -> tuple[str, ...]:
        return tuple(point.name for point in self._protocols[number].set_points)
