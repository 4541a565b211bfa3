"""Holding the pump at the critical point: the atoms' own light, counted while they are pumped.

Off the axis of the cavity the atoms emit at a rate that follows how many of them are excited.
Counted over a time T >> 1/gamma at a held pump its mean is [a (1 + <x>) + b] T, and its variance
that of the photons plus (a T)^2 Var x 2 tau/T, tau the correlation time of the atoms (at the
critical pump 1/(2 gamma)): a Poisson error bar alone would be several times too small. The counts
follow the pump most at the critical point, and there the pump is held most of the time; but they
follow the gain of the light as well. Before each round the pump is chosen from which least variance
of the critical one is expected: now and then it goes far to one side, where the counts tell the
gain, and more often where the calibrations know it less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from ..estimators import Calibrated, ChainValues, Estimate
from ..estimators.pumping_hold import SHORTEST_HOLD
from ..estimators.pumping_hold_design import HoldDesign
from ..instruments.timeline import Tone
from .protocol import Calibrations, SetPoint, Steps
from .pumping_base import LEAD, RELAXATIONS, TAIL, PumpedProtocol, PumpedSettings, ScanBounds
from .pumping_hold_estimate import (
    HeldBeliefs,
    HeldPump,
    known_so_far,
    prior_information,
    windows_std,
)
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
        0.25, gt=0, lt=1, description="how far the pump may go, relative to the believed one"
    )
    decay_relative_std: float = Field(
        0.05, gt=0, lt=1, description="relative std of the believed decay rate"
    )
    pump_wander: float = Field(
        4e-4,
        ge=0,
        le=0.1,
        description="relative std of the pump's mean power over the run, from a monitor of it",
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

    @property
    def limits(self) -> tuple[float, float]:
        """Lowest and highest pump, Hz."""
        middle = self.collective_decay_hz
        return middle * (1 - self.span), middle * (1 + self.span)


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
        self._told = False
        self._kept_design: HoldDesign | None = None

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
        """Rounds of shots, each where it is expected to tell the critical pump best."""
        del seed
        known = self.beliefs(calibrations)
        self._held, self._told = [], False
        pump = self.settings.collective_decay_hz
        for number in range(self.settings.rounds):
            self._held.append(pump)
            yield Shots(self.sequence(pump), self.settings.shots_per_round, point=number)
            found = yield TakeEstimate()
            if found is not None and found.diagnostics.get("converged"):
                self._told = True
                pump = self._next(found, known)

    def _next(self, found: Estimate, known: HeldBeliefs) -> float:
        """The pump from which the next round is expected to tell most."""
        each = self.settings.shots_per_round
        so_far = known_so_far(found, known)
        return self._design.next_pump(so_far, _values(found), self.settings.limits, each)

    @property
    def _design(self) -> HoldDesign:
        if self._kept_design is None:
            chosen = self.settings
            self._kept_design = HoldDesign(chosen.atoms, chosen.decay, chosen.gate)
        return self._kept_design

    def reachable(self, calibrations: Calibrations) -> list[Shots]:
        """How far the pump may go."""
        del calibrations
        return [Shots(self.sequence(end), 1) for end in self.settings.limits]

    def beliefs(self, calibrations: Calibrations) -> HeldBeliefs:
        """What the calibrations say of the light of the atoms and of the background.

        Raises:
            PumpingSettingsError: A calibration that is needed is missing or does not reach.
        """
        gain, background, _ = self.calibrated(calibrations)
        chosen = self.settings
        half, window = 0.5 * chosen.atoms / chosen.gate, chosen.gate
        return HeldBeliefs(
            atoms=chosen.atoms,
            half_rate=Calibrated(half * gain.value, half * gain.std),
            background=Calibrated(background.value / window, background.std / window),
            decay=Calibrated(chosen.decay, chosen.decay_relative_std * chosen.decay),
            pump_wander=chosen.pump_wander,
        )

    def estimator(self, calibrations: Calibrations) -> HeldPump:
        """A fresh estimator of the critical pump."""
        return HeldPump(self.beliefs(calibrations))

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> HeldPump:
        """A fresh estimator with the beliefs that a run keeps."""
        return HeldPump.from_json(beliefs)

    def bounds(self, calibrations: Calibrations, estimate: Estimate, shots: int) -> ScanBounds:
        """Bound and standard quantum limit for ``shots``, at the estimate's values.

        For the pumps that were held; before any were, for those that are to be expected if the
        estimate's values are the true ones.
        """
        values, known = _values(estimate), self.beliefs(calibrations)
        each, held = self.settings.shots_per_round, np.array(self._held)
        if not self._told:
            middle, limits = self.settings.collective_decay_hz, self.settings.limits
            prior, rounds = prior_information(known), self.settings.rounds
            held = self._design.visits(prior, values, middle, limits, rounds, each)
        pumps = np.resize(np.repeat(held, each), shots)
        return ScanBounds(
            cramer_rao_std=windows_std(known, values, pumps, self.settings.gate),
            standard_quantum_limit_std=self.independent_limit(values.critical, shots),
        )

    def possible(self, calibrations: Calibrations) -> list[tuple[float, Mapping[str, float]]]:
        """Weights and values where the critical pump may be instead."""
        return self.elsewhere(calibrations, self.settings.decay_relative_std)

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


def _values(found: Estimate) -> ChainValues:
    return ChainValues(
        found["critical_pump"].value,
        2 * math.pi * found["collective_decay"].value,
        found["half_rate"].value,
        found["background_rate"].value,
    )
