"""Collective decay rate against RF power of the coupling, from atoms that emit together.

A pulse excites both ensembles alike, the drive goes dark, and the coupling alone is on for a time:
the number k of atoms up falls by the rates Gamma k (2N - k + 1), Gamma/2pi = G_max
sin^2[(pi/2) sqrt(P/P_sat)]. Pulses of several lengths without the coupling fix pulse and gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..estimators.calibrations_counting import CountingBeliefs
from ..estimators.calibrations_decay import DecayBeliefs, DecayCalibration, decay_bounds
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


class CalibrateCouplingSettings(CalibrationSettings):
    """Settings of the coupling's calibration."""

    shots: int = Field(24, ge=2, le=100_000, description="good shots at each setting")
    reach: float = Field(
        0.7, gt=0, lt=0.9, description="how far from the files, relative, the truth is searched"
    )
    powers_w: tuple[Power, ...] = Field(
        (0.12, 0.35, 0.65, 0.95), min_length=2, description="RF powers, W"
    )
    depths: tuple[Turns, ...] = Field(
        (0.4, 0.8, 1.6),
        min_length=2,
        description="lengths of the decay in units of 1/(N Gamma), Gamma as believed",
    )
    turns: tuple[Turns, ...] = Field(
        (0.25, 0.5, 0.75, 1.2),
        min_length=3,
        description="lengths of the pulses without decay, in believed turns",
    )
    first_turn: float = Field(
        0.3, gt=0, lt=0.5, description="length of the pulse before the decay, in believed turns"
    )
    rabi_hz: float = Field(
        20e3, gt=0, le=1e7, description="believed Rabi frequency of the pulses, Hz"
    )
    wait: float = Field(
        150e-6,
        gt=0,
        le=0.1,
        description="time between pulse and decay, s; longer than the drive's hold_after",
    )


class CalibrateCoupling(PulseCalibration):
    """The protocol: settings given by keyword, see :class:`CalibrateCouplingSettings`."""

    name: ClassVar[str] = "calibrate_coupling"
    calibrates: ClassVar[str] = "coupling"
    needs: ClassVar[tuple[str, ...]] = ("drive", "coupling", "gradient", "detector")
    quantities: ClassVar[tuple[str, ...]] = (
        "G_max",
        "P_sat",
        "rabi_frequency",
        "gain",
        "background",
    )
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        SetPoint("power", "W", "RF power of the coupling"),
        SetPoint("decay_time", "s", "time for which the coupling is on"),
        SetPoint("pulse_time", "s", "length of the pulse"),
    )
    revealed: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"G_max": "coupling_full_decay", "P_sat": "coupling_saturation_power"}
    )
    settings_model: ClassVar[type[ShotSettings]] = CalibrateCouplingSettings

    @property
    def settings_count(self) -> int:
        """Powers times lengths of the decay, and the pulses without."""
        chosen = self.settings
        return len(chosen.powers_w) * len(chosen.depths) + len(chosen.turns)

    def points(self, calibrations: Calibrations) -> Sequence[PulsePoint]:
        """Every length of the decay at every power, pulses without decay, dark shots."""
        chosen: CalibrateCouplingSettings = self.settings
        first = round(chosen.first_turn / chosen.rabi_hz, 9)
        found = []
        for power in chosen.powers_w:
            rate = amplitude_of(calibrations["coupling"], power)
            for depth in chosen.depths:
                time = round(depth / (chosen.atoms_per_ensemble * math.tau * rate), 9)
                values = {"power": power, "decay_time": time, "pulse_time": first}
                found.append(
                    PulsePoint(
                        0.0, chosen.rabi_hz, first, values, chosen.shots, rate, time, chosen.wait
                    )
                )
        nothing = {"power": chosen.powers_w[0], "decay_time": 0.0}
        for turns in chosen.turns:
            time = round(turns / chosen.rabi_hz, 9)
            values = {**nothing, "pulse_time": time}
            found.append(PulsePoint(0.0, chosen.rabi_hz, time, values, chosen.shots))
        return [*found, dark(0.0, {**nothing, "pulse_time": 0.0}, chosen.dark_shots)]

    def beliefs(self, calibrations: Calibrations) -> DecayBeliefs:
        """Ranges around the file, as wide as `reach` says."""
        counting = self.counting(calibrations)
        known = calibrations["coupling"].parameters
        return DecayBeliefs(
            counting,
            full_range=self.around(known["G_max"]),
            saturation_range=self.around(known["P_sat"]),
            rabi_range=self.around(self.settings.rabi_hz),
        )

    def supposed(self, calibrations: Calibrations) -> dict[str, float]:
        """The file's law, and the Rabi frequency of the pulses."""
        return {**calibrations["coupling"].parameters, "rabi_frequency": self.settings.rabi_hz}

    def build(self, beliefs: Any) -> DecayCalibration:
        """A fresh estimator."""
        return DecayCalibration(beliefs)

    def covariance_bound(
        self, calibrations: Calibrations, theta: NDArray[np.float64], shots: int
    ) -> NDArray[np.float64]:
        """Cramér-Rao bound of all numbers of the fit, for the counts of both gates together."""
        columns, taken = self.taken(calibrations, shots)
        curve = self.build(self.beliefs(calibrations)).curve(**columns)
        return decay_bounds(curve, theta, taken)

    def standard_limit(
        self, calibrations: Calibrations, theta: NDArray[np.float64], shots: int
    ) -> float:
        """Standard deviation of G_max if the atoms were counted without noise."""
        columns, taken = self.taken(calibrations, shots)
        curve = self.build(self.beliefs(calibrations)).curve(**columns)
        share, slopes = curve.shares(theta)
        weight = taken[:, None] / np.maximum(share, 1e-300)
        weight = np.where(share > 1e-12, weight, 0.0)
        information = np.einsum("pkn,qkn,kn->pq", slopes, slopes, weight)
        return math.sqrt(float(np.linalg.inv(information)[0, 0]))

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> DecayCalibration:
        """A fresh estimator with the beliefs that a run keeps."""
        ranges = {name: tuple(value) for name, value in beliefs.items() if name != "counting"}
        return DecayCalibration(
            DecayBeliefs(CountingBeliefs.from_json(beliefs["counting"]), **ranges)
        )
