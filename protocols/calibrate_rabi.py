"""Rabi frequency of the drive against RF power, from flops at several powers.

Atoms that start down flop with p = Omega^2/W^2 sin^2(W t/2), where W^2 = Omega^2 + (Delta/2)^2
and Omega/2pi = f_max sin[(pi/2) sqrt(P/P_sat)] behind the modulator. Short pulses leave no doubt
about the number of turns, long ones give the precision, high powers the saturation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..estimators.calibrations_counting import CountingBeliefs
from ..estimators.calibrations_flops import DriveCurve
from ..estimators.calibrations_populations import DriveBeliefs, DriveCalibration
from .calibration import (
    CalibrationSettings,
    Power,
    PulseCalibration,
    PulsePoint,
    ShotSettings,
    Turns,
    amplitude_of,
    dark,
)
from .protocol import Calibrations, SetPoint


class CalibrateRabiSettings(CalibrationSettings):
    """Settings of the drive's calibration."""

    powers_w: tuple[Power, ...] = Field(
        (0.065, 0.32, 0.6, 0.95), min_length=2, description="RF powers, W"
    )
    turns: tuple[Turns, ...] = Field(
        (0.12, 0.25, 0.4, 0.6, 0.9, 1.3, 1.9, 2.8),
        min_length=3,
        description="lengths of the pulses in turns of the believed Rabi frequency",
    )
    detuning_std_hz: float = Field(
        50.0, gt=0, le=1e4, description="how far from 0 the detuning difference may be, Hz"
    )
    wander: float = Field(
        2e-3, ge=0, le=0.1, description="relative std by which the drive wanders until it is used"
    )


class CalibrateRabi(PulseCalibration):
    """The protocol: settings given by keyword, see :class:`CalibrateRabiSettings`."""

    name: ClassVar[str] = "calibrate_rabi"
    calibrates: ClassVar[str] = "drive"
    quantities: ClassVar[tuple[str, ...]] = ("f_max", "P_sat", "gain", "background")
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        SetPoint("power", "W", "RF power at the modulator"),
        SetPoint("pulse_time", "s", "length of the pulse"),
    )
    revealed: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"f_max": "drive_full_rabi", "P_sat": "drive_saturation_power"}
    )
    settings_model: ClassVar[type[ShotSettings]] = CalibrateRabiSettings

    @property
    def settings_count(self) -> int:
        """Powers times lengths."""
        return len(self.settings.powers_w) * len(self.settings.turns)

    def points(self, calibrations: Calibrations) -> Sequence[PulsePoint]:
        """Every length at every power, and dark shots."""
        chosen: CalibrateRabiSettings = self.settings
        found = []
        for power in chosen.powers_w:
            rabi = amplitude_of(calibrations["drive"], power)
            for turns in chosen.turns:
                # The timing box knows finer steps, but whole nanoseconds read better.
                time = round(turns / rabi, 9)
                values = {"power": power, "pulse_time": time}
                found.append(PulsePoint(0.0, rabi, time, values, chosen.shots))
        nothing = {"power": chosen.powers_w[0], "pulse_time": 0.0}
        return [*found, dark(0.0, nothing, chosen.dark_shots)]

    def beliefs(self, calibrations: Calibrations) -> DriveBeliefs:
        """Ranges around the file, as wide as `reach` says."""
        counting = self.counting(calibrations)
        known = calibrations["drive"].parameters
        return DriveBeliefs(
            counting,
            full_range=self.around(known["f_max"]),
            saturation_range=self.around(known["P_sat"]),
            detuning=(0.0, self.settings.detuning_std_hz),
        )

    def supposed(self, calibrations: Calibrations) -> dict[str, float]:
        """The file's law, and no detuning."""
        return {**calibrations["drive"].parameters, "detuning": 0.0}

    def build(self, beliefs: Any) -> DriveCalibration:
        """A fresh estimator."""
        return DriveCalibration(beliefs)

    def curve(self, beliefs: Any, columns: Mapping[str, NDArray[np.float64]]) -> DriveCurve:
        """Populations at some powers and lengths."""
        return DriveCalibration(beliefs).curve(columns["power"], columns["pulse_time"])

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> DriveCalibration:
        """A fresh estimator with the beliefs that a run keeps."""
        ranges = {name: tuple(value) for name, value in beliefs.items() if name != "counting"}
        return DriveCalibration(
            DriveBeliefs(CountingBeliefs.from_json(beliefs["counting"]), **ranges)
        )
