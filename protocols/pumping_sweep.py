"""Pumping sweep: the pump ramped up and down through the transition, counted on the way.

Each shot prepares the steady state of one end, climbs the stairs of a linear ramp ds/dt = r gamma,
s = N (w/gamma - 1)/2, and counts the excited atoms after some of them. The atoms lag behind: up
and down pass the half level at different pumps. This hysteresis is deterministic, of width
H(r) (Shimshi & Shahmoon, Eq. 8 and Fig. 4), and no error bar; the middle of the two is the critical
pump, and the lag itself measures gamma without the pump's calibration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from ..estimators import Estimate
from ..estimators.pumping_ramps_model import RampLikelihood, Stairs
from ..instruments.timeline import Tone
from ..models.pumped_superradiance_hysteresis import hysteresis
from .protocol import Calibrations, SetPoint, Steps
from .pumping_base import LEAD, RELAXATIONS, TAIL, PumpedProtocol, PumpedSettings, ScanBounds
from .pumping_ramp_estimate import SweptBeliefs, SweptPump, swept_std
from .sequence import PumpSequence
from .steps import Shots, TakeEstimate

_GAP = 2e-6
"""Time between the tones of two stairs, in s: the synthesizer changes in its middle."""

_REST = 2e-3
"""Time between the end of a shot and the next T0, in s: tables and timing box are armed again."""

_BEFORE = 3.0
"""How far outside of what is counted a ramp begins at least, in s."""

_ORDER = 0x7377656570  # "sweep"


class PumpingSweepSettings(PumpedSettings):
    """Settings of the sweep; s and gamma are the believed ones."""

    shot_period: float = Field(
        0.0, ge=0, le=40.0, description="time from shot to shot, s; 0: as short as it can be"
    )
    rate: float = Field(
        4.0, ge=0.05, le=300.0, description="speed r of the ramp: ds/dt in units of gamma"
    )
    points: int = Field(16, ge=5, le=201, description="stairs that are counted, each direction")
    shots_per_point: int = Field(65, ge=1, le=1_000_000, description="good shots at each of them")
    passes: int = Field(4, ge=1, le=10_000, description="passes over both ramps")
    stair: float = Field(0.25, gt=0, le=1.0, description="height of a stair, in s")
    start: float = Field(
        0.0,
        ge=0,
        le=1e4,
        description="where the ramps begin, |s|; 0: the larger of 15 and 8 sqrt(r), further out "
        "where the counting reaches so far",
    )
    decay_relative_std: float = Field(
        0.05,
        gt=0,
        le=0.3,
        description="relative std of the believed decay rate: the counting reaches further by it",
    )
    settle: float = Field(0.1, gt=0, le=30.0, description="time before the ramp begins, s")

    @model_validator(mode="after")
    def _consistent(self) -> PumpingSweepSettings:
        first = self.beginning
        needed = (RELAXATIONS + math.log(self.atoms)) / (2 * self.decay * first)
        if self.settle < needed:
            raise ValueError(
                f"settle = {self.settle:g} s is too short: from all atoms down the steady state "
                f"at s = {first:g} takes {needed:.3g} s"
            )
        centre, reach = self.counted
        if centre + reach > first:
            raise ValueError(
                f"start = {first:g} lies within the part of the ramp that is counted, which goes "
                f"to |s| = {centre + reach:.3g}: begin further out"
            )
        if centre + reach > 0.5 * self.atoms:
            raise ValueError(
                f"rate = {self.rate:g} is too fast for {self.atoms} atoms: the ramp down would "
                "reach a pump of 0 before the atoms follow"
            )
        self.check_still(centre + reach, or_lower="rate or decay_relative_std")
        if self.passes > self.shots_per_point:
            raise ValueError(
                f"passes = {self.passes} is more than shots_per_point = {self.shots_per_point}"
            )
        return self

    @property
    def beginning(self) -> float:
        """|s| at which a ramp begins; the one up at w > 0."""
        return self.start or max(15.0, 8.0 * math.sqrt(self.rate), sum(self.counted) + _BEFORE)

    @property
    def counted(self) -> tuple[float, float]:
        """|s| of the expected crossing, and how far to both sides of it the counting reaches."""
        width, unsure = _believed_width(self.rate), 0.5 * self.atoms * self.decay_relative_std
        return 0.5 * width, 6.0 + 0.5 * width + unsure

    @property
    def stair_time(self) -> float:
        """Time on one stair, in s, on the synthesizer's grid of 1 us."""
        return round(1e6 * self.stair / (self.rate * self.decay)) / 1e6

    def ramp(self, direction: int) -> tuple[float, ...]:
        """The pump before the ramp, then on each stair as far as it is counted, Hz."""
        first = -direction * self.beginning
        if direction > 0:
            first = max(first, -0.45 * self.atoms)
        centre, reach = self.counted
        stairs = math.ceil((centre + reach - direction * first) / self.stair)
        s = first + direction * self.stair * np.concatenate([[0.0], np.arange(1, stairs + 1)])
        return tuple(float(w) for w in self.collective_decay_hz * (1 + 2 * s / self.atoms))

    def places(self) -> tuple[Stairs, ...]:
        """Where the ramps are counted, the one up first."""
        found = []
        for direction in (1, -1):
            stairs = len(self.ramp(direction)) - 1
            _, reach = self.counted
            first = max(1, stairs - round(2 * reach / self.stair))
            wanted = np.unique(np.round(np.linspace(first, stairs, self.points)).astype(int))
            found += [Stairs(direction, int(climbed)) for climbed in wanted]
        return tuple(found)

    def visit(self, number: int) -> int:
        """Shots of one place in pass `number`."""
        done, shots = number * self.shots_per_point // self.passes, self.shots_per_point
        return (number + 1) * shots // self.passes - done


class PumpingSweep(PumpedProtocol):
    """The protocol: settings given by keyword, see :class:`PumpingSweepSettings`.

    Raises:
        pydantic.ValidationError: A setting is out of bounds, unknown, or contradicts another.
    """

    name: ClassVar[str] = "pumping_sweep"
    settings_model = PumpingSweepSettings
    quantities: ClassVar[tuple[str, ...]] = (
        "critical_pump",
        "collective_decay",
        "gain",
        "background",
    )
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        *PumpedProtocol.set_points,
        SetPoint("direction", "", "1: the pump rises, -1: it falls"),
        SetPoint("stairs", "", "stairs climbed before the atoms are counted"),
    )

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._places: tuple[Stairs, ...] = self.settings.places()
        self._ramps = {way: self.settings.ramp(way) for way in (1, -1)}

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        return int(len(self._places) * self.settings.shots_per_point)

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """Pump, direction and stairs of scan point ``index``."""
        del calibrations
        place = self._places[index]
        return {
            "pump": self._ramps[place.direction][place.climbed],
            "direction": float(place.direction),
            "stairs": float(place.climbed),
        }

    def sequence(self, place: Stairs) -> PumpSequence:
        """One shot; raises SequenceError when it is not sound."""
        return self.shot(self._tones(place), self._opens(place), self._period())

    def _tones(self, place: Stairs) -> Iterator[Tone]:
        pumps, each = self._ramps[place.direction], self.settings.stair_time
        start = LEAD
        for number in range(place.climbed + 1):
            length = each if number else self.settings.settle
            if number == place.climbed:
                yield Tone(start, length + self.settings.gate + TAIL, pumps[number])
            else:
                yield Tone(start, length - _GAP, pumps[number])
            start = round(start + length, 9)

    def _opens(self, place: Stairs) -> float:
        settle = float(self.settings.settle)
        return LEAD + settle + place.climbed * float(self.settings.stair_time)

    def _period(self) -> float:
        last = max(self._opens(place) for place in self._places)
        shortest = last + self.settings.gate + TAIL + _REST
        return float(max(self.settings.shot_period, math.ceil(1e4 * shortest) / 1e4))

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Passes over both ramps, in random order, with the running estimate after each."""
        del calibrations
        sequences = [self.sequence(place) for place in self._places]
        for number in range(self.settings.passes):
            shuffled = np.random.default_rng([_ORDER, seed, number]).permutation(len(sequences))
            for point in shuffled.tolist():
                yield Shots(sequences[point], self.settings.visit(number), point=point)
            yield TakeEstimate()

    def beliefs(self, calibrations: Calibrations) -> SweptBeliefs:
        """What the calibrations say of gain and background, and the ramps.

        Raises:
            PumpingSettingsError: A calibration that is needed is missing or does not reach.
        """
        gain, background, pump = self.calibrated(calibrations)
        return SweptBeliefs(
            atoms=self.settings.atoms,
            up=self._ramps[1],
            down=self._ramps[-1],
            stair=self.settings.stair_time,
            decay=self.settings.decay,
            critical_pump=self.settings.collective_decay_hz,
            gain=gain,
            background=background,
            pump_relative_std=pump,
        )

    def estimator(self, calibrations: Calibrations) -> SweptPump:
        """A fresh maximum-likelihood estimator."""
        return SweptPump(self.beliefs(calibrations))

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> SweptPump:
        """A fresh estimator with the beliefs that a run keeps."""
        return SweptPump.from_json(beliefs)

    def bounds(self, calibrations: Calibrations, estimate: Estimate, shots: int) -> ScanBounds:
        """Cramér-Rao bound and standard quantum limit for ``shots``, at the estimate's values."""
        critical = estimate["critical_pump"].value
        values = (
            critical,
            2 * math.pi * estimate["collective_decay"].value,
            estimate["gain"].value,
            estimate["background"].value,
        )
        each = max(1, round(shots / len(self._places)))
        std = swept_std(self.beliefs(calibrations), values, dict.fromkeys(self._places, each))
        return ScanBounds(std, self.independent_limit(critical, shots))

    def possible(self, calibrations: Calibrations) -> list[tuple[float, Mapping[str, float]]]:
        """Weights and values where the critical pump may be instead."""
        return self.elsewhere(calibrations, self.settings.decay_relative_std)

    def truth(self, revealed: Mapping[str, Any], calibrations: Calibrations) -> dict[str, float]:
        """Critical pump, width of the hysteresis and its middle, Hz, of the stairs as played."""
        told = super().truth(revealed, calibrations)
        critical, decay = told.get("critical_pump"), revealed.get("collective_decay")
        if critical is None or decay is None or "half_excited_pump" in told:
            return told
        played = replace(self.beliefs(calibrations), atoms=int(revealed["atoms"]))
        every = {
            Stairs(way, climbed): {0: 1}
            for way, ramp in self._ramps.items()
            for climbed in range(1, len(ramp))
        }
        likelihood = RampLikelihood(played, every)
        up, down = (likelihood.half_excited(w, critical, 2 * math.pi * decay) for w in (1, -1))
        if up is None or down is None:  # the transition lies beyond the ramps
            return told
        return {**told, "hysteresis_width": up - down, "midpoint": 0.5 * (up + down)}


def _believed_width(rate: float) -> float:
    """H(r) of many atoms (Shimshi & Shahmoon, Fig. 4b)."""
    return hysteresis(math.inf, rate).width
