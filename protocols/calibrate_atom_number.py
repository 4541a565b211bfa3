"""Atoms in each ensemble, from pulses on atoms that start down and a detector that is known.

Near half a turn nearly all atoms are up and the counts are gain times number: the detector must
be calibrated before. Shorter and longer pulses tell where half a turn is, and how far the scatter
of half excited atoms, the projection noise, agrees with that number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..estimators import Estimate
from ..estimators.calibrations_atoms import AtomBeliefs, AtomNumbers, atom_bounds, mean_std
from .calibration import (
    ATOMS,
    CalibrationBounds,
    CalibrationSettings,
    CalibrationSettingsError,
    PulseCalibration,
    PulsePoint,
    ShotSettings,
    Turns,
    dark,
)
from .calibration_proposal import Proposal, propose_condition
from .protocol import Calibrations, SetPoint

_KNOWN = 1e-6
"""Relative error of a detector that is known."""


class CalibrateAtomNumberSettings(CalibrationSettings):
    """Settings of the atom number's calibration."""

    shots: int = Field(16, ge=2, le=100_000, description="good shots at each length")
    turns: tuple[Turns, ...] = Field(
        (0.25, 0.4, 0.5, 0.6, 0.75),
        min_length=3,
        description="lengths of the pulses in turns of the believed Rabi frequency",
    )
    rabi_hz: float = Field(
        20e3, gt=0, le=1e7, description="believed Rabi frequency of the pulses, Hz"
    )
    reach: float = Field(
        0.3, gt=0, lt=0.9, description="how far off, relative, the Rabi frequency may be"
    )


class CalibrateAtomNumber(PulseCalibration):
    """The protocol: settings given by keyword, see :class:`CalibrateAtomNumberSettings`."""

    name: ClassVar[str] = "calibrate_atom_number"
    calibrates: ClassVar[str] = "detector"
    quantities: ClassVar[tuple[str, ...]] = (
        "atoms",
        "atoms_1",
        "atoms_2",
        "rabi_frequency",
        "gain",
        "background",
    )
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        SetPoint("pulse_time", "s", "length of the pulse"),
    )
    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            **PulseCalibration.units,
            "atoms_1": "atoms",
            "atoms_2": "atoms",
        }
    )
    revealed: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"atoms": "atoms", "atoms_1": "atoms", "atoms_2": "atoms"}
    )
    settings_model: ClassVar[type[ShotSettings]] = CalibrateAtomNumberSettings
    advice: ClassVar[str] = (
        "whether each ensemble is lit in its own gate, the pulse reaches all atoms alike (a "
        "contrast below 1 looks like fewer atoms), the number fluctuates from shot to shot, and "
        "the detector's calibration is of today"
    )

    @property
    def settings_count(self) -> int:
        """Lengths of the pulse."""
        return len(self.settings.turns)

    def points(self, calibrations: Calibrations) -> Sequence[PulsePoint]:
        """Every length, and dark shots."""
        del calibrations
        chosen: CalibrateAtomNumberSettings = self.settings
        found = []
        for turns in chosen.turns:
            time = round(turns / chosen.rabi_hz, 9)
            found.append(PulsePoint(0.0, chosen.rabi_hz, time, {"pulse_time": time}, chosen.shots))
        return [*found, dark(0.0, {"pulse_time": 0.0}, chosen.dark_shots)]

    def beliefs(self, calibrations: Calibrations) -> AtomBeliefs:
        """Gain and background as the detector's file has them, within its errors.

        Raises:
            CalibrationSettingsError: That file says nothing of its errors.
        """
        self.require(calibrations)
        at_gate = calibrations["detector"].at_gate(self.settings.gate)
        known, stds = at_gate.parameters, np.sqrt(np.diag(at_gate.covariance))
        if not (stds > 0).all():
            raise CalibrationSettingsError(
                "the detector's calibration states no error of gain and background, and a number "
                "of atoms is no better known than the gain: run calibrate_detector first"
            )
        return AtomBeliefs(
            gain=(known["gain"], float(stds[0])),
            background=(known["background"], float(stds[1])),
            rabi_range=self.around(self.settings.rabi_hz),
        )

    def supposed(self, calibrations: Calibrations) -> dict[str, float]:
        """The number of the settings, and the Rabi frequency of the pulses."""
        del calibrations
        atoms = float(self.settings.atoms_per_ensemble)
        return {"atoms_1": atoms, "atoms_2": atoms, "rabi_frequency": self.settings.rabi_hz}

    def expected(self, calibrations: Calibrations) -> dict[str, float]:
        """Every number of the fit as settings and files have it, for a plan's prediction."""
        known = super().expected(calibrations)
        return {**known, "atoms": known["atoms_1"]}

    def build(self, beliefs: Any) -> AtomNumbers:
        """A fresh estimator."""
        return AtomNumbers(beliefs)

    def bounds(
        self, calibrations: Calibrations, estimate: Estimate, shots: int
    ) -> CalibrationBounds:
        """Of the mean number, at the estimate's values."""
        names = ("atoms_1", "atoms_2", "rabi_frequency", "gain", "background")
        theta = np.array([estimate[name].value for name in names])
        return CalibrationBounds(
            mean_std(self.covariance_bound(calibrations, theta, shots)),
            self.standard_limit(calibrations, theta, shots),
        )

    def covariance_bound(
        self, calibrations: Calibrations, theta: NDArray[np.float64], shots: int
    ) -> NDArray[np.float64]:
        """Cramér-Rao bound of all numbers of the fit at ``theta``, the detector's errors in it."""
        columns, taken = self.taken(calibrations, shots)
        return atom_bounds(self.beliefs(calibrations), theta, columns["pulse_time"], taken)

    def standard_limit(
        self, calibrations: Calibrations, theta: NDArray[np.float64], shots: int
    ) -> float:
        """Of the mean number if gain and background were known."""
        columns, taken = self.taken(calibrations, shots)
        gain, background = (float(one) for one in theta[3:])
        known = AtomBeliefs(
            (gain, _KNOWN * gain), (background, _KNOWN * background), self.around(theta[2])
        )
        return mean_std(atom_bounds(known, theta, columns["pulse_time"], taken))

    def proposal(
        self, estimate: Estimate, calibrations: Calibrations, largest_change: float = 0.1
    ) -> Proposal:
        """The detector's calibration with the number of atoms it was held against."""
        found = estimate["atoms"]
        return propose_condition(
            self.calibrates,
            calibrations[self.calibrates],
            estimate,
            condition=ATOMS,
            quantity="atoms",
            value=found.value if math.isfinite(found.value) else 0.0,
            largest_change=largest_change,
            advice=self.advice,
        )

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> AtomNumbers:
        """A fresh estimator with the beliefs that a run keeps."""
        return AtomNumbers(AtomBeliefs.from_json(beliefs))
