"""Holding the pump at the critical point: the atoms' own light, counted while they are pumped.

Off the axis of the cavity the atoms emit at a rate that follows how many of them are excited.
Counted over a time T >> 1/gamma at a held pump its mean is [a (1 + <x>) + b] T, and its variance
that of the photons plus (a T)^2 Var x 2 tau/T, tau the correlation time of the atoms (at the
critical pump 1/(2 gamma)): a Poisson error bar alone would be several times too small. The pump
follows the running estimate, for the counts say most at the critical point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from ..estimators import Calibrated, ChainValues, Estimate, HoldBeliefs, hold_bounds
from ..estimators.pumping_hold import SHORTEST_HOLD
from ..instruments.timeline import Tone
from .protocol import Calibrations, SetPoint, Steps
from .pumping_base import LEAD, RELAXATIONS, TAIL, PumpedProtocol, PumpedSettings, ScanBounds
from .pumping_hold_estimate import HeldPump, many_windows_std
from .sequence import PumpSequence
from .steps import Shots, TakeEstimate


class PumpingHoldSettings(PumpedSettings):
    """Settings of the hold; rates are ordinary (Hz), not angular."""

    gate: float = Field(0.3, gt=0, le=10.0, description="time for which the light is counted, s")
    shot_period: float = Field(0.65, gt=0, le=40.0, description="time from shot to shot, s")
    rounds: int = Field(20, ge=1, le=10_000, description="times that the pump is set")
    shots_per_round: int = Field(20, ge=1, le=100_000, description="good shots of each")
    hold: float = Field(0.3, gt=0, le=30.0, description="time before the light is counted, s")
    span: float = Field(
        0.15, gt=0, lt=1, description="how far the pump may follow, relative to the believed one"
    )
    decay_relative_std: float = Field(
        0.05, gt=0, lt=1, description="relative std of the believed decay rate"
    )

    @model_validator(mode="after")
    def _long_enough(self) -> PumpingHoldSettings:
        if 2 * self.decay * self.hold < RELAXATIONS:
            raise ValueError(
                f"hold = {self.hold:g} s is too short for the steady state: hold at least "
                f"{RELAXATIONS / (2 * self.decay):.3g} s"
            )
        if self.decay * self.gate < SHORTEST_HOLD:
            raise ValueError(
                f"gate = {self.gate:g} s is too short: the counts are those of many relaxations "
                f"only from {SHORTEST_HOLD / self.decay:.3g} s on"
            )
        if self.pump_droop:
            raise ValueError("the hold knows no droop of the pump: use the pumping scan")
        return self

    def within(self, pump: float) -> float:
        """The pump, Hz, as far as it may follow."""
        middle = self.collective_decay_hz
        return min(max(pump, middle * (1 - self.span)), middle * (1 + self.span))


class PumpingHold(PumpedProtocol):
    """The protocol: settings given by keyword, see :class:`PumpingHoldSettings`.

    Raises:
        pydantic.ValidationError: A setting is out of bounds, unknown, or contradicts another.
    """

    name: ClassVar[str] = "pumping_hold"
    settings_model = PumpingHoldSettings
    quantities: ClassVar[tuple[str, ...]] = (
        "critical_pump",
        "collective_decay",
        "half_rate",
        "background_rate",
    )
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        *PumpedProtocol.set_points,
        SetPoint("window", "s", "time for which the light is counted"),
    )

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._held: list[float] = []

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        return int(self.settings.rounds * self.settings.shots_per_round)

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """The pump of round ``index``, and the time of counting."""
        del calibrations
        return {"pump": self._held[index], "window": self.settings.gate}

    def sequence(self, pump: float) -> PumpSequence:
        """One shot at a pumping rate in Hz; raises SequenceError when it is not sound."""
        chosen = self.settings
        length = chosen.hold + chosen.gate + TAIL
        return self.shot((Tone(LEAD, length, pump),), LEAD + chosen.hold)

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Rounds of shots at the critical pump as it is known by then."""
        del calibrations, seed
        self._held = []
        pump = self.settings.collective_decay_hz
        for number in range(self.settings.rounds):
            self._held.append(pump)
            yield Shots(self.sequence(pump), self.settings.shots_per_round, point=number)
            found = yield TakeEstimate()
            if found is not None and found.diagnostics.get("converged"):
                pump = self.settings.within(found["critical_pump"].value)

    def reachable(self, calibrations: Calibrations) -> list[Shots]:
        """How far the pump may follow."""
        del calibrations
        ends = (0.0, math.inf)
        return [Shots(self.sequence(self.settings.within(end)), 1) for end in ends]

    def beliefs(self, calibrations: Calibrations) -> HoldBeliefs:
        """What the calibrations say of the light of the atoms and of the background.

        Raises:
            PumpingSettingsError: A calibration that is needed is missing or does not reach.
        """
        gain, background, _ = self.calibrated(calibrations)
        chosen = self.settings
        half, window = 0.5 * chosen.atoms / chosen.gate, chosen.gate
        return HoldBeliefs(
            atoms=chosen.atoms,
            half_rate=Calibrated(half * gain.value, half * gain.std),
            background=Calibrated(background.value / window, background.std / window),
            decay=Calibrated(chosen.decay, chosen.decay_relative_std * chosen.decay),
        )

    def estimator(self, calibrations: Calibrations) -> HeldPump:
        """A fresh estimator of the critical pump."""
        return HeldPump(self.beliefs(calibrations))

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> HeldPump:
        """A fresh estimator with the beliefs that a run keeps."""
        return HeldPump.from_json(beliefs)

    def bounds(self, calibrations: Calibrations, estimate: Estimate, shots: int) -> ScanBounds:
        """Bound and standard quantum limit for ``shots`` at the estimate's critical pump."""
        critical = estimate["critical_pump"].value
        values = ChainValues(
            critical,
            2 * math.pi * estimate["collective_decay"].value,
            estimate["half_rate"].value,
            estimate["background_rate"].value,
        )
        known = self.beliefs(calibrations)
        one = hold_bounds(known, values, [critical], [self.settings.gate])
        return ScanBounds(
            cramer_rao_std=many_windows_std(one, known, critical, shots),
            standard_quantum_limit_std=self.independent_limit(critical, shots),
        )

    def independent_limit(self, critical: float, shots: int) -> float:
        """The critical pump's std with N independent atoms watched as long, Hz.

        Each is pumped and decays by itself with the same rates and forgets within 1/(2 gamma), so
        that a window T is worth gamma T independent counts of them.
        """
        worth = self.settings.decay * self.settings.gate
        return super().independent_limit(critical, shots) / math.sqrt(worth)

    def expected(self, calibrations: Calibrations) -> dict[str, float]:
        """Its quantities as they are supposed before the first shot."""
        known = self.beliefs(calibrations)
        rates = {"half_rate": known.half_rate, "background_rate": known.background}
        values = {name: one.value for name, one in rates.items() if one is not None}
        middle = self.settings.collective_decay_hz
        return {"critical_pump": middle, "collective_decay": middle, **values}
