"""How long the coil takes to settle: a small step of its current, watched by the atoms.

The supply plays a list of two currents. A weak pulse comes at a time around the step, on the steep
side of its line, where the share of atoms up follows the detuning difference in proportion. Every
shot sees one step; between shots the coil goes back and settles by the station file's own time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..estimators import Estimate
from ..estimators.calibrations_settling import settling_bounds
from ..estimators.calibrations_settling_counts import SettlingBeliefs, SettlingFromCounts
from ..instruments.roles.gradient_coil import SETTLED_AFTER
from ..instruments.timeline import Tone, Window
from .calibration import (
    GATE_GAP,
    CalibrationBounds,
    CalibrationSettingsError,
    PulseCalibration,
    PulsePoint,
    ShotSettings,
)
from .calibration_proposal import Proposal, propose_condition
from .protocol import Calibrations, SetPoint, Steps
from .sequence import PULSE
from .stepped_sequence import SteppedSequence
from .steps import Checkpoint, Set, Shots, TakeEstimate

_TURNS = 1.5
"""Turns of the pulse: its line has steeper sides than that of half a turn, and still a wide one."""
_STEEPEST = 0.581
"""Detuning of one ensemble over the Rabi frequency where that line is steepest."""
_LEVEL, _SLOPE = 0.409, 2.118
"""Share of atoms up there, and how it falls with that ratio."""
_PACE = 25e-3
"""Seconds by which a Kepco supply's list runs ahead of T0: its answer to the start is awaited."""
_ORDER = 0x736574746C  # "settl"


class CalibrateSettlingSettings(ShotSettings):
    """Settings of the coil's settling; times in s."""

    shots: int = Field(14, ge=2, le=10_000, description="good shots at each time")
    shot_period: float = Field(0.3, gt=0, le=40.0, description="time from shot to shot, s")
    step_hz: float = Field(
        125.0, gt=0, le=1e5, description="step of the detuning difference by the file, Hz"
    )
    hold: float = Field(
        0.13,
        gt=1e-3,
        le=10.0,
        description="how long the list holds each current, s: its step comes so long after T0",
    )
    times: tuple[float, ...] = Field(
        (-0.070, -0.050, -0.038, -0.029, -0.022, -0.016, -0.010, -0.003, 0.006, 0.03, 0.06, 0.09),
        min_length=6,
        description="middle of the pulse before (-) and after the step of a list begun at T0, s",
    )
    rabi_hz: float = Field(800.0, gt=0, le=1e6, description="believed Rabi frequency, Hz")
    tolerance: float = Field(
        1e-3, gt=0, lt=1, description="share of a step that is left when it counts as settled"
    )

    @model_validator(mode="after")
    def _in_the_list(self) -> CalibrateSettlingSettings:
        early = 0.5 * _TURNS / self.rabi_hz - self.hold
        if not all(early < time < self.hold for time in self.times):
            raise ValueError(f"`times` must lie between {early:g} and {self.hold:g} s (`hold`)")
        return self


class CalibrateSettling(PulseCalibration):
    """The protocol: settings given by keyword, see :class:`CalibrateSettlingSettings`."""

    name: ClassVar[str] = "calibrate_settling"
    calibrates: ClassVar[str] = "gradient"
    quantities: ClassVar[tuple[str, ...]] = (
        "settling_time",
        "time_constant",
        "delay",
        "before",
        "after",
    )
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        SetPoint("after_step", "s", "middle of the pulse, after the step"),
    )
    revealed: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"time_constant": "coil_time_constant"}
    )
    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"time_constant": "s", "delay": "s", "before": "counts", "after": "counts"}
    )
    settings_model: ClassVar[type[ShotSettings]] = CalibrateSettlingSettings
    advice: ClassVar[str] = (
        "whether the supply plays its list (the coil's current on a probe), the step comes within "
        "`times`, the coil has settled between two shots (`settle_time` of the station file, "
        "`hold`), and the pulse is on the side of its line: calibrate drive and detuning first"
    )

    @property
    def settings_count(self) -> int:
        """Times of the pulse."""
        return len(self.settings.times)

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        return self.settings_count * int(self.settings.shots)

    def points(self, calibrations: Calibrations) -> Sequence[PulsePoint]:
        """Every time of the pulse."""
        self._check_reach(calibrations)
        chosen: CalibrateSettlingSettings = self.settings
        length = round(_TURNS / chosen.rabi_hz, 9)
        return [
            PulsePoint(self._ends[0], chosen.rabi_hz, length, {"after_step": time}, chosen.shots)
            for time in chosen.times
        ]

    @property
    def _ends(self) -> tuple[float, float]:
        """Detuning difference before and after the step, Hz."""
        chosen: CalibrateSettlingSettings = self.settings
        middle = 2 * _STEEPEST * chosen.rabi_hz
        return middle - 0.5 * chosen.step_hz, middle + 0.5 * chosen.step_hz

    def _check_reach(self, calibrations: Calibrations) -> None:
        self.require(calibrations)
        for detuning in self._ends:
            low, high = calibrations["gradient"].range
            if not max(low, 0.0) < detuning < high:
                raise CalibrationSettingsError(
                    f"the step goes to {detuning:g} Hz, which the coil's calibration does not "
                    f"hold for ({low:g} to {high:g} Hz): change `rabi_hz` or `step_hz`"
                )

    def sequence(self, point: PulsePoint) -> SteppedSequence:
        """One shot; raises SequenceError when the settings do not make a sound one."""
        chosen: CalibrateSettlingSettings = self.settings
        begin = round(chosen.hold + point.values["after_step"] - 0.5 * point.time, 9)
        first = begin + point.time + GATE_GAP
        starts = (first, first + chosen.gate + GATE_GAP)
        gates = tuple(
            Window(name, start, chosen.gate)
            for name, start in zip(self.detectors, starts, strict=True)
        )
        before, after = self._ends
        sequence = SteppedSequence(
            (Tone(begin, point.time, point.amplitude_hz),),
            (Window(PULSE, begin, point.time), *gates),
            chosen.shot_period,
            gradient=(Tone(0.0, chosen.hold, before), Tone(chosen.hold, chosen.hold, after)),
        )
        sequence.check()
        return sequence

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """All times in random order, again and again: one shot for each step of the coil."""
        points = self.points(calibrations)
        shots = {index: self.sequence(point) for index, point in enumerate(points)}
        yield Set("gradient", "detuning_difference", self._ends[0])
        yield Checkpoint("gradient settled")
        for again in range(self.settings.shots):
            for index in np.random.default_rng([_ORDER, seed, again]).permutation(len(points)):
                yield Shots(shots[int(index)], 1, point=int(index))
        yield TakeEstimate()

    def beliefs(self, calibrations: Calibrations) -> SettlingBeliefs:
        """The tolerance."""
        self._check_reach(calibrations)
        return SettlingBeliefs(self.settings.tolerance)

    def supposed(self, calibrations: Calibrations) -> dict[str, float]:
        """What the file says of the settling, and counts by the files."""
        told = calibrations["gradient"].conditions.get(SETTLED_AFTER, 0.1)
        counts = calibrations["detector"].at_gate(self.settings.gate).parameters
        atoms, step = self.settings.atoms_per_ensemble, self.settings.step_hz
        moved = 0.5 * _SLOPE * step / (2 * self.settings.rabi_hz)
        up = counts["background"] + counts["gain"] * atoms * _LEVEL
        return {
            "time_constant": told / math.log(1 / self.settings.tolerance),
            "delay": -_PACE,
            "before": up + counts["gain"] * atoms * moved,
            "after": up - counts["gain"] * atoms * moved,
        }

    def expected(self, calibrations: Calibrations) -> dict[str, float]:
        """Every number of the fit as the files have it, for a plan's prediction."""
        known = self.supposed(calibrations)
        settled = known["time_constant"] * math.log(1 / self.settings.tolerance)
        return {**known, "reading_std": self._noise(calibrations, photons=True)} | {
            "settling_time": settled
        }

    def build(self, beliefs: Any) -> SettlingFromCounts:
        """A fresh estimator."""
        return SettlingFromCounts(beliefs)

    def truth(self, revealed: Mapping[str, Any], calibrations: Calibrations) -> dict[str, float]:
        """The hidden time constant, and what follows from it."""
        told = super().truth(revealed, calibrations)
        if "time_constant" in told:
            told["settling_time"] = told["time_constant"] * math.log(1 / self.settings.tolerance)
        return told

    def bounds(
        self, calibrations: Calibrations, estimate: Estimate, shots: int
    ) -> CalibrationBounds:
        """Of the settling time, at the estimate's values.

        Raises:
            ValueError: There is no step in it, so nothing to settle.
        """
        names = ("time_constant", "delay", "before", "after")
        theta = np.array([estimate[name].value for name in names])
        if theta[2] == theta[3]:
            raise ValueError("without a step there is no bound of its time constant")
        taken = shots / self.planned_shots * self.settings.shots
        turns = math.log(1 / self.settings.tolerance) / math.sqrt(taken)
        times = np.array(self.settings.times)
        stds = [
            turns * math.sqrt(settling_bounds(theta.tolist(), times, width)[0, 0])
            for width in (
                estimate["reading_std"].value,
                self._noise(calibrations, photons=False),
            )
        ]
        return CalibrationBounds(stds[0], stds[1])

    def covariance_bound(
        self, calibrations: Calibrations, theta: NDArray[np.float64], shots: int
    ) -> NDArray[np.float64]:
        """Bound of time constant, delay and levels; `theta` ends with the width of a reading."""
        taken = shots / self.planned_shots * self.settings.shots
        times = np.array(self.settings.times)
        bound: NDArray[np.float64] = settling_bounds(theta[:4].tolist(), times, float(theta[4]))
        return np.asarray(bound / taken)

    def _noise(self, calibrations: Calibrations, *, photons: bool) -> float:
        """Standard deviation of a reading, counts: of the atoms, and of their photons."""
        counts = calibrations["detector"].at_gate(self.settings.gate).parameters
        atoms, gain = self.settings.atoms_per_ensemble, counts["gain"]
        variance = gain**2 * atoms * _LEVEL * (1 - _LEVEL)
        if photons:
            variance += gain * atoms * _LEVEL + counts["background"]
        return math.sqrt(variance / len(self.detectors))

    def proposal(
        self, estimate: Estimate, calibrations: Calibrations, largest_change: float = 0.1
    ) -> Proposal:
        """The coil's calibration with the time after which its law holds, judged by the gate."""
        settled = estimate["settling_time"]
        return propose_condition(
            self.calibrates,
            calibrations[self.calibrates],
            estimate,
            condition=SETTLED_AFTER,
            quantity="settling_time",
            # A wait that is too short spoils shots, one that is too long costs milliseconds.
            value=settled.value + 2 * settled.std,
            largest_change=largest_change,
            advice=self.advice,
        )

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> SettlingFromCounts:
        """A fresh estimator with the beliefs that a run keeps."""
        return SettlingFromCounts(SettlingBeliefs.from_json(beliefs))
