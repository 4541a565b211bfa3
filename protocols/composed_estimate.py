"""Estimates of composed protocols: one estimator for each part, and what follows from them all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag

from ..estimators import Estimate, Quantity
from .protocol import OnlineEstimator
from .scan_designs import Goal, Values

Columns: TypeAlias = Mapping[str, float]
"""Set-points of a part's scan point."""


@dataclass(frozen=True, slots=True, eq=False)
class ComposedEstimate(Estimate):
    """The answer of a composition, with those of its parts.

    Attributes:
        members: Estimate of each part by its number.
    """

    members: Mapping[int, Estimate] = field(default_factory=dict)


Summary: TypeAlias = Callable[[Mapping[int, Estimate], Mapping[int, Columns]], ComposedEstimate]


class ComposedEstimator:
    """Feeds each part's shots to an estimator of its own.

    Args:
        make: An estimator for a part, from its number and the set-points of its first shot.
        summary: What follows from the estimates of all parts.
        kept: Names of the set-points that a part's own estimator knows.
    """

    def __init__(
        self,
        make: Callable[[int, Columns], OnlineEstimator],
        summary: Summary,
        kept: Callable[[int], tuple[str, ...]],
    ) -> None:
        self._make, self._summary, self._kept = make, summary, kept
        self._estimators: dict[int, OnlineEstimator] = {}
        self._columns: dict[int, Columns] = {}
        self._found: dict[tuple[int, float | None], Estimate] = {}

    def update(self, records: Mapping[str, NDArray[np.generic]]) -> None:
        """Take in shots of any parts: "member" says whose."""
        numbers = np.asarray(records["member"]).astype(np.int64)
        for number in np.unique(numbers).tolist():
            mine = numbers == number
            if number not in self._estimators:
                self._columns[number] = {
                    name: float(np.asarray(column)[mine][0])
                    for name, column in records.items()
                    if name not in ("counts", "status")
                }
                self._estimators[number] = self._make(number, self._columns[number])
            wanted = ("counts", "status", *self._kept(number))
            self._estimators[number].update(
                {name: np.asarray(records[name])[mine] for name in wanted if name in records}
            )
            self._found = {key: one for key, one in self._found.items() if key[0] != number}

    def estimate(self, level: float = 0.95) -> ComposedEstimate:
        """The parts' estimates and what follows; parts without new shots are not fitted again."""
        return self._summarise(level)

    def quick(self) -> ComposedEstimate:
        """The same of the parts' quick estimates, where they have them."""
        return self._summarise(None)

    def _summarise(self, level: float | None) -> ComposedEstimate:
        if not self._estimators:
            raise ValueError("no part has a shot yet")
        for number, estimator in self._estimators.items():
            if (number, level) not in self._found:
                self._found[number, level] = _fitted(estimator, level)
        found = {number: self._found[number, level] for number in sorted(self._estimators)}
        return self._summary(found, self._columns)


def _fitted(estimator: OnlineEstimator, level: float | None) -> Estimate:
    if level is not None:
        return estimator.estimate(level)
    quick: Callable[[], Estimate] = getattr(estimator, "quick", estimator.estimate)
    return quick()


def of_best(name: str, goal: Goal, quantity: str, values: Callable[[Columns], Values]) -> Summary:
    """The best part's estimate stands for the scan.

    Args:
        name: Of the scanned protocol.
        goal, quantity: What makes a part the best.
        values: The settings of a part from its set-points.
    """

    def merit(estimate: Estimate) -> float:
        one = estimate[quantity]
        return {"least_std": one.std, "least": one.value, "greatest": -one.value}[goal]

    def summary(
        members: Mapping[int, Estimate], columns: Mapping[int, Columns]
    ) -> ComposedEstimate:
        best = min(members, key=lambda number: merit(members[number]))
        chosen = members[best]
        return ComposedEstimate(
            estimator=f"scan of {name}",
            shots=sum(one.shots for one in members.values()),
            quantities=chosen.quantities,
            names=chosen.names,
            covariance=chosen.covariance,
            goodness_of_fit=chosen.goodness_of_fit,
            diagnostics={
                "flags": [*chosen.flags],
                "best": values(columns[best]),
                "best_member": best,
                "members": [
                    {
                        "member": number,
                        "settings": values(columns[number]),
                        "shots": one.shots,
                        "estimates": {key: q.to_json() for key, q in one.quantities.items()},
                        "flags": [*one.flags],
                    }
                    for number, one in members.items()
                ],
            },
            assumptions=(
                f"the quantities are those of part {best}, the best of {len(members)} by "
                f"{goal} of {quantity}",
                *chosen.assumptions,
            ),
            identifiable=chosen.identifiable,
            members=dict(members),
        )

    return summary


def interleaved(name: str, parts: Sequence[str], headlines: Sequence[str]) -> Summary:
    """The difference of two headlines, and everything that each part says.

    Args:
        name: Of the composition.
        parts: What the parts are called.
        headlines: Their leading quantities.
    """

    def summary(
        members: Mapping[int, Estimate], columns: Mapping[int, Columns]
    ) -> ComposedEstimate:
        del columns
        quantities: dict[str, Quantity] = {}
        if len(members) == len(parts):
            quantities["difference"] = _difference(
                *(members[number][headlines[number]] for number in range(len(parts)))
            )
        for number, one in members.items():
            quantities.update({f"{parts[number]}_{key}": q for key, q in one.quantities.items()})
        return ComposedEstimate(
            estimator=name,
            shots=sum(one.shots for one in members.values()),
            quantities=quantities,
            names=tuple(f"{parts[n]}_{key}" for n, one in members.items() for key in one.names),
            covariance=block_diag(*(one.covariance for one in members.values())),
            goodness_of_fit=None,
            diagnostics={
                "flags": [
                    f"{parts[number]}: {flag}"
                    for number, one in members.items()
                    for flag in one.flags
                ],
                "p_values": {
                    parts[number]: one.goodness_of_fit.p_value
                    for number, one in members.items()
                    if one.goodness_of_fit is not None
                },
            },
            assumptions=(
                "the difference takes the errors of the two parts as independent: what their "
                "calibrations share makes it too wide, never too narrow",
                *(f"{parts[n]}: {line}" for n, one in members.items() for line in one.assumptions),
            ),
            identifiable=(-math.inf, math.inf),
            members=dict(members),
        )

    return summary


def _difference(first: Quantity, second: Quantity) -> Quantity:
    """Signal less reference, each side of the interval from the sides of the two."""
    value = first.value - second.value
    low = math.hypot(first.value - first.interval[0], second.interval[1] - second.value)
    high = math.hypot(first.interval[1] - first.value, second.value - second.interval[0])
    return Quantity(
        value,
        math.hypot(first.std, second.std),
        (value - low, value + high),
        first.level,
        first.unit,
    )
