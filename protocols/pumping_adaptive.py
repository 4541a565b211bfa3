"""Adaptive pumping: the next pump is where the next shots are expected to say most.

Shots as in the pumping scan. After each round the estimator names the setting of the pump from
which it expects most information about the critical value, its own uncertainty and the gain's
included: some six times fewer shots than an even grid over the same range.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any, ClassVar

from pydantic import Field

from .protocol import Calibrations, Steps
from .pumping_base import SnapshotProtocol, SnapshotSettings
from .pumping_estimate import AdaptiveCriticalPump, ScanBeliefs
from .steps import Shots, TakeEstimate

_UNTOLD = 5
"""Settings that are walked through when no estimate comes, ends of the range included."""


class PumpingAdaptiveSettings(SnapshotSettings):
    """Settings of adaptive pumping; the critical pump is sought within `span`."""

    rounds: int = Field(40, ge=1, le=10_000, description="times that the pump is chosen")
    shots_per_round: int = Field(10, ge=1, le=100_000, description="good shots at each setting")

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest pump, Hz."""
        low, high = self.grid(2)
        return low, high


@dataclass(frozen=True, slots=True)
class AdaptiveBeliefs(ScanBeliefs):
    """Beliefs of a pumping scan, and where the critical pump is sought.

    Attributes:
        limits: Lowest and highest pump, Hz: the critical one is taken to lie between them, and
            the pump is set to nothing outside.
    """

    limits: tuple[float, float]


class PumpingAdaptive(SnapshotProtocol):
    """The protocol: settings given by keyword, see :class:`PumpingAdaptiveSettings`.

    Raises:
        pydantic.ValidationError: A setting is out of bounds, unknown, or contradicts another.
    """

    name: ClassVar[str] = "pumping_adaptive"
    settings_model = PumpingAdaptiveSettings

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._chosen: list[float] = []
        self._told = False

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        return int(self.settings.rounds * self.settings.shots_per_round)

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """The pump of round ``index``."""
        del calibrations
        return {"pump": self._chosen[index]}

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Rounds of shots, each at the pump that the estimate before it names."""
        del calibrations, seed
        self._chosen, self._told = [], False
        untold = cycle(self.settings.grid(_UNTOLD))
        for number in range(self.settings.rounds):
            found = yield TakeEstimate()
            wanted = None if found is None else found.diagnostics.get("next_setting")
            # Without an estimate (a plan, or one that failed) the range is walked through.
            self._told = self._told or wanted is not None
            self._chosen.append(next(untold) if wanted is None else float(wanted))
            yield Shots(
                self.sequence(self._chosen[-1]), self.settings.shots_per_round, point=number
            )
        yield TakeEstimate()

    def visits(self, shots: int) -> Iterable[float]:
        """The pump of each of so many shots; before any were chosen, spread over the transition."""
        if self._told:
            each = self.settings.shots_per_round
            return islice((pump for pump in self._chosen for _ in range(each)), shots)
        step = self.settings.collective_decay_hz / self.settings.atoms
        middle = self.settings.collective_decay_hz
        return islice(cycle([middle + offset * step for offset in (-2, -1, 0, 1, 2)]), shots)

    def beliefs(self, calibrations: Calibrations) -> AdaptiveBeliefs:
        """What the calibrations say, and the range of the pump."""
        known = super().beliefs(calibrations)
        limits = self.settings.limits
        return AdaptiveBeliefs(known.counts, known.pump_relative_std, limits, decay=known.decay)

    def estimator(self, calibrations: Calibrations) -> AdaptiveCriticalPump:
        """A fresh estimator that also names the next pump."""
        known = self.beliefs(calibrations)
        return AdaptiveCriticalPump(known, known.limits)

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> AdaptiveCriticalPump:
        """A fresh estimator with the beliefs that a run keeps."""
        low, high = beliefs["limits"]
        return AdaptiveCriticalPump(ScanBeliefs.from_json(beliefs), (low, high))
