"""Gain and background of the detector, from dark counts and a few excited atoms.

Without a pulse all atoms stay down and the counts are background. After a small pulse n of N
atoms are up, binomial, and the photons of n atoms stand in peaks a gain apart: the peaks measure
the gain without knowing the pulse. A level with many atoms checks that the law still holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ..estimators.calibrations_counting import CountingBeliefs
from ..estimators.calibrations_flops import LevelCurve
from ..estimators.calibrations_populations import GainCalibration
from .calibration import CalibrationSettings, PulseCalibration, PulsePoint, ShotSettings, dark
from .protocol import Calibrations, SetPoint


class CalibrateDetectorSettings(CalibrationSettings):
    """Settings of the detector's calibration."""

    shots: int = Field(60, ge=2, le=100_000, description="good shots at each level")
    dark_shots: int = Field(60, ge=2, le=100_000, description="good shots without a pulse")
    levels: tuple[float, ...] = Field(
        (0.02, 0.04, 0.08, 0.3), min_length=2, description="believed shares of atoms up"
    )
    rabi_hz: float = Field(
        20e3, gt=0, le=1e7, description="believed Rabi frequency of the pulses, Hz"
    )

    @field_validator("levels")
    @classmethod
    def _shares(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < level <= 0.5 for level in levels) or len(set(levels)) < len(levels):
            raise ValueError("each level must lie in (0, 0.5] and occur once")
        return levels


class CalibrateDetector(PulseCalibration):
    """The protocol: settings given by keyword, see :class:`CalibrateDetectorSettings`."""

    name: ClassVar[str] = "calibrate_detector"
    calibrates: ClassVar[str] = "detector"
    quantities: ClassVar[tuple[str, ...]] = ("gain", "background")
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        SetPoint("level", "", "believed share of atoms up"),
    )
    revealed: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"gain": "gain", "background": "background"}
    )
    settings_model: ClassVar[type[ShotSettings]] = CalibrateDetectorSettings

    @property
    def settings_count(self) -> int:
        """Levels with a pulse."""
        return len(self.settings.levels)

    @property
    def conditions(self) -> Mapping[str, float]:
        """The gate for which gain and background hold."""
        return {"gate_time": self.settings.gate}

    def points(self, calibrations: Calibrations) -> Sequence[PulsePoint]:
        """Every level, and dark shots."""
        del calibrations
        chosen: CalibrateDetectorSettings = self.settings
        found = []
        for level in chosen.levels:
            area = 2 * math.asin(math.sqrt(level))
            time = round(area / (math.tau * chosen.rabi_hz), 9)
            found.append(PulsePoint(0.0, chosen.rabi_hz, time, {"level": level}, chosen.shots))
        return [*found, dark(0.0, {"level": 0.0}, chosen.dark_shots)]

    def beliefs(self, calibrations: Calibrations) -> CountingBeliefs:
        """Ranges around the file, as wide as `reach` says."""
        return self.counting(calibrations)

    def supposed(self, calibrations: Calibrations) -> dict[str, float]:
        """The levels as they are meant."""
        del calibrations
        return {f"level_{k + 1}": one for k, one in enumerate(sorted(self.settings.levels))}

    def build(self, beliefs: Any) -> GainCalibration:
        """A fresh estimator."""
        return GainCalibration(beliefs)

    def curve(self, beliefs: Any, columns: Mapping[str, NDArray[np.float64]]) -> LevelCurve:
        """Populations of the levels."""
        del beliefs
        return LevelCurve.of(columns["level"])

    def standard_limit(
        self, calibrations: Calibrations, theta: NDArray[np.float64], shots: int
    ) -> float:
        """Photon noise alone: the gain if every atom number were known."""
        curve, readings = self._taken(calibrations, None, shots)
        p, _ = curve.populations(theta[:-2])
        atoms = self.settings.atoms_per_ensemble
        gain, background = theta[-2:]
        squares = (atoms * p) ** 2 + atoms * p * (1 - p)
        known = np.sum(readings * squares / (gain * atoms * p + background))
        return 1 / math.sqrt(float(known))

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> GainCalibration:
        """A fresh estimator with the beliefs that a run keeps."""
        return GainCalibration(CountingBeliefs.from_json(beliefs))
