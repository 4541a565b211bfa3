"""Detuning difference of the ensembles against the coil's current, from weak pulses.

A pulse of Rabi frequency Omega on ensembles detuned by +-Delta/2 excites both with the same
p = Omega^2/W^2 sin^2(W t/2), W^2 = Omega^2 + (Delta/2)^2. One pulse needs no phase from one pulse
to the next, which a fluctuating common phase would spoil. Currents of both signs tell the offset
from the slope; the slope's sign is that of its range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..estimators.calibrations_counting import CountingBeliefs
from ..estimators.calibrations_flops import DetuningCurve
from ..estimators.calibrations_populations import (
    DetuningBeliefs,
    SpectroscopyCalibration,
)
from ..instruments.errors import CalibrationError
from .calibration import (
    CalibrationSettings,
    CalibrationSettingsError,
    Duration,
    PulseCalibration,
    PulsePoint,
    ShotSettings,
    dark,
)
from .protocol import Calibrations, SetPoint


class CalibrateDetuningSettings(CalibrationSettings):
    """Settings of the gradient coil's calibration."""

    currents_a: tuple[float, ...] = Field(
        (-10.5, -7.0, -3.5, 3.5, 7.0, 10.5), min_length=2, description="coil currents, A"
    )
    times: tuple[Duration, ...] = Field(
        (0.12e-3, 0.25e-3, 0.45e-3, 0.75e-3, 1.2e-3),
        min_length=2,
        description="lengths of the pulses, s",
    )
    rabi_hz: float = Field(
        1.5e3, gt=0, le=1e6, description="believed Rabi frequency of the pulses, Hz"
    )
    offset_hz: float = Field(
        200.0,
        gt=0,
        le=1e5,
        description="how far from the file the detuning difference without current may be, Hz",
    )
    wander: float = Field(
        2e-4, ge=0, le=0.1, description="relative std by which the current wanders"
    )


class CalibrateDetuning(PulseCalibration):
    """The protocol: settings given by keyword, see :class:`CalibrateDetuningSettings`."""

    name: ClassVar[str] = "calibrate_detuning"
    calibrates: ClassVar[str] = "gradient"
    quantities: ClassVar[tuple[str, ...]] = (
        "slope",
        "offset",
        "rabi_frequency",
        "gain",
        "background",
    )
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        SetPoint("current", "A", "coil current"),
        SetPoint("pulse_time", "s", "length of the pulse"),
    )
    revealed: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"slope": "gradient_slope", "offset": "gradient_offset"}
    )
    settings_model: ClassVar[type[ShotSettings]] = CalibrateDetuningSettings

    @property
    def settings_count(self) -> int:
        """Currents times lengths."""
        return len(self.settings.currents_a) * len(self.settings.times)

    def points(self, calibrations: Calibrations) -> Sequence[PulsePoint]:
        """Every length at every current, and dark shots."""
        chosen: CalibrateDetuningSettings = self.settings
        found = []
        for current in chosen.currents_a:
            detuning = _detuning_of(calibrations, current)
            for time in chosen.times:
                values = {"current": current, "pulse_time": time}
                found.append(PulsePoint(detuning, chosen.rabi_hz, time, values, chosen.shots))
        last = found[-1].detuning_hz
        nothing = {"current": chosen.currents_a[-1], "pulse_time": 0.0}
        return [*found, dark(last, nothing, chosen.dark_shots)]

    def beliefs(self, calibrations: Calibrations) -> DetuningBeliefs:
        """Ranges around the file, as wide as `reach` and `offset_hz` say."""
        counting = self.counting(calibrations)
        known, chosen = calibrations["gradient"].parameters, self.settings
        middle = known["offset"]
        return DetuningBeliefs(
            counting,
            slope_range=self.around(known["slope"]),
            offset_range=(middle - chosen.offset_hz, middle + chosen.offset_hz),
            rabi_range=self.around(chosen.rabi_hz),
        )

    def supposed(self, calibrations: Calibrations) -> dict[str, float]:
        """The file's law, and the Rabi frequency of the pulses."""
        return {**calibrations["gradient"].parameters, "rabi_frequency": self.settings.rabi_hz}

    def build(self, beliefs: Any) -> SpectroscopyCalibration:
        """A fresh estimator."""
        return SpectroscopyCalibration(beliefs)

    def curve(self, beliefs: Any, columns: Mapping[str, NDArray[np.float64]]) -> DetuningCurve:
        """Populations at some currents and lengths."""
        return SpectroscopyCalibration(beliefs).curve(columns["current"], columns["pulse_time"])

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> SpectroscopyCalibration:
        """A fresh estimator with the beliefs that a run keeps."""
        ranges = {name: tuple(value) for name, value in beliefs.items() if name != "counting"}
        return SpectroscopyCalibration(
            DetuningBeliefs(CountingBeliefs.from_json(beliefs["counting"]), **ranges)
        )


def _detuning_of(calibrations: Calibrations, current: float) -> float:
    try:
        return calibrations["gradient"].forward(current)
    except CalibrationError as error:
        text = f"currents_a = {current:g} cannot be set: {error}"
        raise CalibrationSettingsError(text) from error
