"""Protocols made of protocols: one scanned over its own settings, two taken in turn.

A composition is a protocol like any other: one run, one store, resumed and guarded as usual. Its
scan points are those of its parts, each with the number of its part and the settings that were
scanned, so that the data of every part are kept and can be fitted alone.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..estimators import Estimate
from ..instruments.calibration import Calibration
from .composed_estimate import ComposedEstimate, ComposedEstimator, of_best
from .composed_turns import MEMBER, MEMBER_POINT, Composition, Part
from .interleaved import Interleaved
from .protocol import Bounds, Calibrations, ExperimentProtocol, SetPoint, Steps
from .scan_designs import Design, Goal, Grid, Random, Refined, Values
from .steps import Note, TakeEstimate
from .tracked import Tracked

__all__ = ["Grid", "Interleaved", "Random", "Refined", "Scanned", "Tracked", "stored_composition"]

Maker: TypeAlias = Callable[..., ExperimentProtocol]


@dataclass(frozen=True, slots=True)
class ScannedBeliefs:
    """All that is needed to fit the parts of a stored scan again.

    Attributes:
        protocol: Name of the scanned protocol.
        settings: Its settings that are the same in all parts.
        scanned: Names of those that are not.
        goal: What makes a part the best, and of which quantity.
        quantity: That quantity.
        calibrations: What the station's calibrations said, in JSON's types.
    """

    protocol: str
    settings: Mapping[str, Any]
    scanned: tuple[str, ...]
    goal: Goal
    quantity: str
    calibrations: Mapping[str, Any]


class Scanned(Composition):
    """A protocol scanned over its own settings; each set of values is a part with its own fit.

    The quantities are those of the best part; ``diagnostics["members"]`` of the estimate has
    them all, ``estimate.members`` their estimates.

    Args:
        protocol: Name of a registered protocol, or a protocol's class.
        design: Which values are taken: `Grid`, `Random` or `Refined`.
        goal: What makes a part the best: "least_std", "least" or "greatest".
        quantity: Of this quantity; the protocol's headline by default.
        settings: Settings that are the same in all parts.

    Raises:
        ValueError: Any part has settings that its protocol refuses, or the quantity is unknown.
    """

    def __init__(
        self,
        protocol: str | Maker,
        design: Design,
        *,
        goal: Goal = "least_std",
        quantity: str | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self._make, self._design = _maker(protocol), design
        self._goal: Goal = goal
        self._fixed = settings
        self._members: list[Values] = []
        first = [self.member(values) for values in design.level(0, None)]
        self._base = first[0]
        self.quantity = quantity or self._base.quantities[0]
        if self.quantity not in self._base.quantities:
            raise ValueError(
                f"{self._base.name} has no quantity {self.quantity!r}; it has "
                f"{', '.join(self._base.quantities)}"
            )
        self.planned_shots = round(
            design.most * sum(one.planned_shots for one in first) / len(first)
        )

    @property
    def name(self) -> str:
        """``scanned_pumping_scan``."""
        return f"scanned_{self._base.name}"

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings that all parts share."""
        return self._fixed

    @property
    def quantities(self) -> tuple[str, ...]:
        """Those of the scanned protocol, the one that decides first."""
        others = (name for name in self._base.quantities if name != self.quantity)
        return (self.quantity, *others)

    @property
    def detectors(self) -> tuple[str, ...]:
        """Those of the scanned protocol."""
        return self._base.detectors

    @property
    def set_points(self) -> tuple[SetPoint, ...]:
        """Those of the scanned protocol, the part's number, and the settings that vary."""
        varied = (
            SetPoint(_column(name), "", f"setting {name} of the part")
            for name in self._design.settings
        )
        return (*self._base.set_points, MEMBER_POINT, *varied)

    def settings_dict(self) -> dict[str, Any]:
        """The scan, JSON-able."""
        return {
            "protocol": self._base.name,
            "design": self._design.to_json(),
            "goal": self._goal,
            "quantity": self.quantity,
            "settings": dict(self._fixed),
        }

    def member(self, values: Values) -> ExperimentProtocol:
        """The scanned protocol with these values of the settings that vary."""
        return self._make(**{**self._fixed, **values})

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """Set-points of a scan point, with its part and that part's settings."""
        number, inner = self.points[index]
        values = self._members[number]
        return {
            **self.member(values).point(inner, calibrations),
            MEMBER: float(number),
            **{_column(name): float(value) for name, value in values.items()},
        }

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Part after part; the next level's values follow from the estimate of the ones before."""
        self.begin()
        self._members = []
        best: Values | None = None
        for level in range(self._design.levels):
            for values in self._design.level(level, best):
                if values in self._members:
                    continue
                part = Part(len(self._members), self.member(values), calibrations, seed)
                self._members.append(values)
                yield Note(f"part {part.number}: {_in_words(values)}")
                yield from self.turn(part, one_block=False)
            found = yield TakeEstimate()
            if isinstance(found, ComposedEstimate):
                best = found.diagnostics["best"]

    def beliefs(self, calibrations: Calibrations) -> ScannedBeliefs:
        """Enough to make the estimator again."""
        self._base.beliefs(calibrations)  # raises when a calibration is missing
        return ScannedBeliefs(
            protocol=self._base.name,
            settings=dict(self._fixed),
            scanned=self._design.settings,
            goal=self._goal,
            quantity=self.quantity,
            calibrations={role: one.to_json() for role, one in calibrations.items()},
        )

    def estimator(self, calibrations: Calibrations) -> ComposedEstimator:
        """A fresh one; each part's is made when its first shots arrive."""
        names = self._design.settings

        def make(number: int, columns: Mapping[str, float]) -> Any:
            del number
            protocol = self.member({name: columns[_column(name)] for name in names})
            return protocol.estimator(calibrations)

        def values(columns: Mapping[str, float]) -> Values:
            return {name: columns[_column(name)] for name in names}

        return ComposedEstimator(
            make, of_best(self._base.name, self._goal, self.quantity, values), self._kept
        )

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> ComposedEstimator:
        """A fresh estimator for a stored scan of a registered protocol."""
        from . import protocol_by_name

        calibrations = {
            role: _calibration(stored) for role, stored in beliefs["calibrations"].items()
        }
        make = protocol_by_name(beliefs["protocol"])
        names = tuple(beliefs["scanned"])

        def values(columns: Mapping[str, float]) -> Values:
            return {name: columns[_column(name)] for name in names}

        def part(number: int, columns: Mapping[str, float]) -> Any:
            del number
            return make(**{**beliefs["settings"], **values(columns)}).estimator(calibrations)

        def kept(number: int) -> tuple[str, ...]:
            del number
            return tuple(point.name for point in make(**beliefs["settings"]).set_points)

        summary = of_best(beliefs["protocol"], beliefs["goal"], beliefs["quantity"], values)
        return ComposedEstimator(part, summary, kept)

    def bounds(self, calibrations: Calibrations, estimate: Estimate, shots: int) -> Bounds:
        """Those of the best part, for its own shots."""
        del shots
        if not isinstance(estimate, ComposedEstimate):
            raise ValueError("the bounds of a scan are those of its best part: none was estimated")
        best = estimate.members[estimate.diagnostics["best_member"]]
        protocol = self.member(estimate.diagnostics["best"])
        return protocol.bounds(calibrations, best, best.shots)

    def truth(self, revealed: Mapping[str, Any], calibrations: Calibrations) -> dict[str, float]:
        """What the scanned protocol makes of a rehearsal's truth."""
        translate = getattr(self._base, "truth", None)
        return dict(translate(revealed, calibrations)) if translate else {}

    def guards(self, calibrations: Calibrations) -> list[Any]:
        """Those of the scanned protocol."""
        own = getattr(self._base, "guards", None)
        return list(own(calibrations)) if own else []

    def _kept(self, number: int) -> tuple[str, ...]:
        del number
        return tuple(point.name for point in self._base.set_points)


def stored_composition(beliefs: Mapping[str, Any]) -> ComposedEstimator | None:
    """A fresh estimator for a stored composition, from the beliefs that its run keeps.

    None when they are those of a single protocol.
    """
    if {"protocol", "scanned", "goal"} <= set(beliefs):
        return Scanned.stored_estimator(beliefs)
    if {"protocols", "tracked"} <= set(beliefs):
        return Tracked.stored_estimator(beliefs)
    if {"protocols", *Interleaved.parts} <= set(beliefs):
        return Interleaved.stored_estimator(beliefs)
    return None


def _maker(protocol: str | Maker) -> Maker:
    if isinstance(protocol, str):
        from . import protocol_by_name

        return protocol_by_name(protocol)
    return protocol


def _column(setting: str) -> str:
    return f"setting_{setting}"


def _in_words(values: Values) -> str:
    return ", ".join(f"{name} = {value:g}" for name, value in values.items())


def _calibration(stored: Mapping[str, Any]) -> Calibration:
    """A calibration as a run keeps it."""
    return Calibration(
        kind=stored["kind"],
        parameters=stored["parameters"],
        covariance=np.asarray(stored["covariance"], dtype=np.float64),
        domain=(stored["input"]["domain"][0], stored["input"]["domain"][1]),
        input_unit=stored["input"]["unit"],
        output_unit=stored["output"]["unit"],
        date=datetime.date.fromisoformat(stored["date"]),
        input_name=stored["input"]["name"],
        output_name=stored["output"]["name"],
        conditions=stored["conditions"],
    )
