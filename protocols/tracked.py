"""A signal against a reference that drifts: measured again as often as the drift asks for.

The signal is taken in rounds. Before the first and after the last comes the reference, and in
between whenever the drift that is to be expected since would spoil the next round by more than a
stated share of its own variance. How fast the reference drifts is learned from all measurements.
Time is that of the shots alone: steps know no clock, and what lies between blocks is proportional.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..estimators import Estimate
from ..estimators.tracked_difference import TrackedDifference, TrackedSeries
from .composed_estimate import Columns, ComposedEstimate, ComposedEstimator
from .composed_turns import MEMBER, MEMBER_POINT, Composition, Part
from .interleaved import DifferenceBounds
from .protocol import Calibrations, ExperimentProtocol, SetPoint, Steps
from .steps import Note, Shots, TakeEstimate

SIGNAL, REFERENCE = 0, 1
_KIND = SetPoint("reference", "", "1: the reference, 0: the signal")
_ELAPSED = SetPoint("elapsed", "s", "time of all shots before this scan point")


class TrackedSettings(BaseModel):
    """How often the reference is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rounds: int = Field(ge=1, le=10_000, description="how often the signal is taken")
    diffusion: tuple[float, float] = Field(
        description="range of the reference's variance per s of shots, in its unit squared"
    )
    share: float = Field(
        0.25, gt=0, le=100.0, description="of a round's variance that the drift may add"
    )
    sensitivity: float = Field(1.0, description="change of the signal for one of the reference")
    signal_quantity: str | None = Field(None, description="of the signal; None: its headline")
    reference_quantity: str | None = Field(None, description="of the reference, likewise")

    @field_validator("diffusion")
    @classmethod
    def _rises(cls, ends: tuple[float, float]) -> tuple[float, float]:
        if not 0 < ends[0] < ends[1]:
            raise ValueError("must be (low, high) with 0 < low < high")
        return ends


@dataclass(frozen=True, slots=True)
class TrackedBeliefs:
    """All that is needed to fit a stored run again."""

    protocols: tuple[str, ...]
    beliefs: tuple[Any, ...]
    set_points: tuple[tuple[str, ...], ...]
    tracked: Mapping[str, Any]


class TrackedEstimator(ComposedEstimator):
    """Feeds every round to an estimator of its own, and remembers when it was taken."""

    def __init__(
        self,
        name: str,
        make: tuple[Any, Any],
        kept: tuple[tuple[str, ...], ...],
        settings: TrackedSettings,
        quantities: tuple[str, str],
    ) -> None:
        self._name, self._settings, self._names = name, settings, quantities
        self._kinds: dict[int, int] = {}
        self._times: dict[int, tuple[float, int]] = {}

        def one(number: int, columns: Columns) -> Any:
            self._kinds[number] = int(columns[_KIND.name])
            return make[self._kinds[number]]()

        super().__init__(one, self._tell, lambda number: kept[self._kinds[number]])

    def update(self, records: Mapping[str, NDArray[np.generic]]) -> None:
        """Take in shots of any round."""
        super().update(records)
        numbers = np.asarray(records[MEMBER]).astype(np.int64)
        elapsed = np.asarray(records[_ELAPSED.name], dtype=np.float64)
        for number in np.unique(numbers).tolist():
            mine = elapsed[numbers == number]
            total, shots = self._times.get(number, (0.0, 0))
            self._times[number] = total + float(mine.sum()), shots + mine.size

    def series(self, members: Mapping[int, Estimate]) -> TrackedSeries | None:
        """What the rounds measured; None before the first."""
        rows = []
        for number, one in members.items():
            kind = self._kinds[number]
            quantity = one.quantities.get(self._names[kind])
            if quantity is None or not quantity.std > 0:
                continue
            total, shots = self._times[number]
            # Rounded, so that the division into blocks does not show.
            rows.append((round(total / shots, 6), quantity.value, quantity.std, kind))
        if not rows:
            return None
        time, value, std, kinds = np.array(rows).T
        return TrackedSeries(time, value, std, kinds == REFERENCE, self._settings.sensitivity)

    def _tell(
        self, members: Mapping[int, Estimate], columns: Mapping[int, Columns]
    ) -> ComposedEstimate:
        del columns
        level, unit = 0.95, ""
        for number, one in members.items():
            quantity = one.quantities.get(self._names[self._kinds[number]])
            if quantity is not None:
                level, unit = quantity.level, quantity.unit
        series = self.series(members)
        found = TrackedDifference(None, None, None, None)
        if series is not None:
            found = series.estimate(self._settings.diffusion, level, unit)
        told = {
            "difference": found.difference,
            "reference": found.reference,
            "diffusion": found.diffusion,
        }
        quantities = {name: one for name, one in told.items() if one is not None}
        variances = [one.std**2 for one in quantities.values()]
        return ComposedEstimate(
            estimator=self._name,
            shots=sum(one.shots for one in members.values()),
            quantities=quantities,
            names=tuple(quantities),
            covariance=np.diag(variances) if variances else np.zeros((0, 0)),
            goodness_of_fit=found.goodness_of_fit,
            diagnostics={
                "flags": [
                    f"round {number}: {flag}"
                    for number, one in members.items()
                    for flag in one.flags
                ],
                "expected_diffusion": found.expected_diffusion,
                "references": sum(kind == REFERENCE for kind in self._kinds.values()),
                "signals": sum(kind == SIGNAL for kind in self._kinds.values()),
            },
            assumptions=(
                "the reference is a random walk, and the signal follows it with the sensitivity "
                f"{self._settings.sensitivity:g}",
                "errors of the rounds are independent: what their calibrations share cancels in "
                "the difference and makes it too wide, never too narrow",
            ),
            identifiable=(-math.inf, math.inf),
            members=dict(members),
        )


class Tracked(Composition):
    """A signal in rounds, and a reference as often as its drift asks for.

    Quantities: "difference", signal less sensitivity times reference; "reference" as it is at the
    end; "diffusion", its variance per s of shots.

    Args:
        signal: The protocol that measures; a whole run of it is one round.
        reference: The one whose answer drifts, and the signal with it; same detectors.
        settings: See `TrackedSettings`.

    Raises:
        ValueError: The two count with different detectors, disagree on a set-point's unit, or
            have no such quantity; a setting is out of bounds.
    """

    quantities = ("difference", "reference", "diffusion")

    def __init__(
        self, signal: ExperimentProtocol, reference: ExperimentProtocol, **settings: Any
    ) -> None:
        super().__init__()
        self.settings = TrackedSettings(**settings)
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
        asked = (self.settings.signal_quantity, self.settings.reference_quantity)
        self._names = tuple(
            name or one.quantities[0] for name, one in zip(asked, self._protocols, strict=True)
        )
        for name, one in zip(self._names, self._protocols, strict=True):
            if name not in one.quantities:
                raise ValueError(
                    f"{one.name} has no quantity {name!r}; it has {', '.join(one.quantities)}"
                )
        self._kinds: list[int] = []
        self._elapsed = 0.0
        self._begun: dict[int, float] = {}

    @property
    def name(self) -> str:
        """``ramsey_ellipse_tracked_by_calibrate_rabi``."""
        return "_tracked_by_".join(one.name for one in self._protocols)

    @property
    def detectors(self) -> tuple[str, ...]:
        """Of both."""
        return self._protocols[SIGNAL].detectors

    @property
    def set_points(self) -> tuple[SetPoint, ...]:
        """Those of both, the round's number and kind, and when it came."""
        return (*self._columns.values(), MEMBER_POINT, _KIND, _ELAPSED)

    @property
    def planned_shots(self) -> int:
        """The most: a reference before each round and one at the end."""
        signal, reference = (one.planned_shots for one in self._protocols)
        return int(self.settings.rounds * (signal + reference) + reference)

    def settings_dict(self) -> dict[str, Any]:
        """Names and settings, JSON-able."""
        parts = {
            part: {"protocol": one.name, "settings": one.settings_dict()}
            for part, one in zip(("signal", "reference"), self._protocols, strict=True)
        }
        return {**parts, **self.settings.model_dump(mode="json")}

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """Set-points of one round's scan point."""
        number, inner = self.points[index]
        kind = self._kinds[number]
        return {
            **dict.fromkeys(self._columns, math.nan),
            **self._protocols[kind].point(inner, calibrations),
            MEMBER: float(number),
            _KIND.name: float(kind),
            _ELAPSED.name: self._begun[index],
        }

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Rounds of the signal, the reference where it is due."""
        self.begin()
        self._kinds, self._elapsed, self._begun = [], 0.0, {}
        due, last = True, 0.0
        for _ in range(self.settings.rounds):
            if due:
                yield from self._round(REFERENCE, calibrations, seed)
                last = self._elapsed
            before = self._elapsed
            yield from self._round(SIGNAL, calibrations, seed)
            found = yield TakeEstimate()
            since = self._elapsed - last + (self._elapsed - before)
            due = self._is_due(found, since)
            if not due:
                yield Note(f"the reference is good for another round, {since:.3g} s after it")
        yield from self._round(REFERENCE, calibrations, seed)
        yield TakeEstimate()

    def _round(self, kind: int, calibrations: Calibrations, seed: int) -> Steps:
        part = Part(len(self._kinds), self._protocols[kind], calibrations, seed)
        self._kinds.append(kind)
        turn, answer = self.turn(part, one_block=False), None
        while True:
            try:
                step = turn.send(answer)
            except StopIteration:
                return
            if isinstance(step, Shots):
                self._begun.setdefault(step.point, self._elapsed)
                self._elapsed += step.duration
            answer = yield step

    def _is_due(self, found: Estimate | None, since: float) -> bool:
        """Whether the next round would suffer more from the drift than it may."""
        if not isinstance(found, ComposedEstimate) or "diffusion" not in found.quantities:
            return True
        one = found.members[len(self._kinds) - 1].quantities.get(self._names[SIGNAL])
        if one is None:
            return True
        drifted = self.settings.sensitivity**2 * found.diagnostics["expected_diffusion"] * since
        return bool(drifted > self.settings.share * one.std**2)

    def beliefs(self, calibrations: Calibrations) -> TrackedBeliefs:
        """Those of both."""
        return TrackedBeliefs(
            tuple(one.name for one in self._protocols),
            tuple(one.beliefs(calibrations) for one in self._protocols),
            tuple(tuple(point.name for point in one.set_points) for one in self._protocols),
            {**self.settings.model_dump(mode="json"), "quantities": list(self._names)},
        )

    def estimator(self, calibrations: Calibrations) -> TrackedEstimator:
        """A fresh one; each round's is made when its first shots arrive."""
        signal, reference = self._protocols
        kept = tuple(tuple(point.name for point in one.set_points) for one in self._protocols)
        return TrackedEstimator(
            self.name,
            (
                lambda: signal.estimator(calibrations),
                lambda: reference.estimator(calibrations),
            ),
            kept,
            self.settings,
            (self._names[SIGNAL], self._names[REFERENCE]),
        )

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> TrackedEstimator:
        """A fresh estimator for a stored run of two registered protocols."""
        from . import protocol_by_name

        both: list[Any] = [protocol_by_name(name) for name in beliefs["protocols"]]
        own, tracked = beliefs["beliefs"], dict(beliefs["tracked"])
        first, second = tracked.pop("quantities")
        return TrackedEstimator(
            "_tracked_by_".join(beliefs["protocols"]),
            (lambda: both[0].stored_estimator(own[0]), lambda: both[1].stored_estimator(own[1])),
            tuple(tuple(names) for names in beliefs["set_points"]),
            TrackedSettings(**tracked),
            (first, second),
        )

    def bounds(
        self, calibrations: Calibrations, estimate: Estimate, shots: int
    ) -> DifferenceBounds:
        """Every round at its own bound, the reference drifting as it was found to.

        Raises:
            ValueError: Before signal and reference, or for other quantities than the headlines.
        """
        del shots
        heads = tuple(one.quantities[0] for one in self._protocols)
        if not isinstance(estimate, ComposedEstimate) or "difference" not in estimate.quantities:
            raise ValueError("a difference has a bound only where both parts were estimated")
        if self._names != heads:
            raise ValueError("bounds are known of the headlines only")
        signals = [
            self._protocols[SIGNAL].bounds(calibrations, one, one.shots)
            for number, one in estimate.members.items()
            if self._kinds[number] == SIGNAL
        ]
        references = [
            self._protocols[REFERENCE].bounds(calibrations, one, one.shots)
            for number, one in estimate.members.items()
            if self._kinds[number] == REFERENCE
        ]
        scale = abs(self.settings.sensitivity)

        def least(name: str) -> float:
            own = sum(getattr(one, name) ** -2 for one in signals) ** -0.5
            other = sum(getattr(one, name) ** -2 for one in references) ** -0.5
            return math.hypot(own, scale * other)

        return DifferenceBounds(least("cramer_rao_std"), least("standard_quantum_limit_std"))

    def guards(self, calibrations: Calibrations) -> list[Any]:
        """Those of both."""
        found = (getattr(one, "guards", None) for one in self._protocols)
        return [guard for own in found if own for guard in own(calibrations)]

    def truth(self, revealed: Mapping[str, Any], calibrations: Calibrations) -> dict[str, float]:
        """The difference, where a rehearsal tells both quantities."""
        told = []
        for name, one in zip(self._names, self._protocols, strict=True):
            translate = getattr(one, "truth", None)
            known = {**revealed, **(translate(revealed, calibrations) if translate else {})}
            if name not in known:
                return {}
            told.append(float(known[name]))
        return {"difference": told[SIGNAL] - self.settings.sensitivity * told[REFERENCE]}
