"""Settings of the Ramsey protocol, and what they mean for the atoms: pulses and bias phases."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..instruments.errors import CavityLabError
from ..models.pulses import PulseAngles, detuned_pulse
from ..models.two_ensembles import TwoEnsembles, steady_state

RELAXATION = 10.0
"""Smallest Gamma * hold * Var for which the ensembles are in the dark state: the infidelity falls
below 1e-3 after 5 to 8 (spectroscopy of the relaxation at S = 5 to 30)."""


class RamseySettingsError(CavityLabError, ValueError):
    """Settings that contradict each other; says which and how to mend them."""


class RamseyEllipseSettings(BaseModel):
    """Settings of the Ramsey protocol; frequencies are ordinary (Hz), not angular."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    shots: int = Field(2000, ge=1, le=10_000_000, description="good shots to take")
    block: int = Field(200, ge=1, le=100_000, description="shots taken together in one burst")
    atoms_per_ensemble: int = Field(100, ge=2, le=1000, description="atoms 2S in each ensemble")
    preparation_rabi_hz: float = Field(
        10e3, gt=0, le=1e6, description="Rabi frequency of the drive during the preparation, Hz"
    )
    detuning_hz: float = Field(
        1e3, gt=0, le=1e6, description="detuning difference of the ensembles, Hz"
    )
    collective_decay_hz: float = Field(
        100.0, gt=0, le=1e6, description="collective decay rate during the preparation, Hz"
    )
    hold: float = Field(12e-3, gt=0, le=10.0, description="length of the preparation, s")
    bias_phase: float = Field(
        0.12,
        gt=0,
        lt=math.pi / 2,
        description="known phase written in the dark and by the finite pulse together, rad",
    )
    dark_time: float | None = Field(
        None,
        gt=0,
        le=1.0,
        description="time between preparation and pulse, s; if given, it sets the bias phase",
    )
    pulse_rabi_hz: float = Field(
        50e3, gt=0, le=1e7, description="Rabi frequency of the pi/2 pulse, Hz"
    )
    schedule: Literal["fixed", "two_stage"] = Field(
        "fixed",
        description="fixed: one bias phase; two_stage: some shots at pi/4, then the bias phase "
        "that tells most about the signal with this detector",
    )
    first_share: float = Field(
        0.15, gt=0, lt=1, description="share of the shots that two_stage takes at pi/4 first"
    )
    reference: Literal["none", "unsqueezed"] = Field(
        "none",
        description="unsqueezed: every other block without preparation, independent atoms, so "
        "that the gain is measured side by side",
    )
    common_phase: Literal["uniform", "narrow", "drifting"] = Field(
        "uniform",
        description="of the last pulse against the atoms: new in every shot; narrow about that of "
        "the drive's tones, so that the counts tell the sign of the phase; drifting through all "
        "phases from shot to shot, fitted as uniform",
    )
    common_phase_std: float = Field(
        0.1,
        gt=0,
        le=1.5,
        description="width of a narrow common phase, as known from the drive's phase noise, rad",
    )
    signal_range: tuple[float, float] = Field(
        (-math.pi / 4, math.pi / 4),
        description="range in which the signal is known to lie, at most pi wide, rad",
    )
    expected_signal: float = Field(
        0.05,
        gt=-math.pi / 2,
        lt=math.pi / 2,
        description="signal that is expected, rad: plans are made for it, no estimate uses it",
    )
    coil_check: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="shots before the run that tell which way the coil turns the detuning, by a "
        "pulse on one ensemble alone; by default 8, more for fewer than 20 atoms; 0: none",
    )
    target_std: float | None = Field(
        None, gt=0, description="stop when the first quantity's standard deviation is so small"
    )
    minimum_shots: int = Field(
        400, ge=30, description="shots before which target_std never stops a run"
    )
    gate: float = Field(5e-3, gt=0, le=10.0, description="length of each counting gate, s")
    shot_period: float = Field(50e-3, gt=0, le=40.0, description="time from shot to shot, s")

    @model_validator(mode="after")
    def _consistent(self) -> RamseyEllipseSettings:
        if self.hold_in_relaxation_times < RELAXATION:
            raise ValueError(
                f"hold = {self.hold:g} s is too short: Gamma * hold * Var is "
                f"{self.hold_in_relaxation_times:.3g}, and at least {RELAXATION:g} is needed to "
                f"reach the dark state; hold at least "
                f"{self.hold * RELAXATION / self.hold_in_relaxation_times:.3g} s or raise "
                "collective_decay_hz"
            )
        if self.dark_time is None and self.dark_time_for(self.bias_phase) <= 0:
            raise ValueError(
                f"bias_phase = {self.bias_phase:g} rad is less than the finite pulse alone writes "
                f"({self.pulse().phase_before:.3g} rad); raise it or pulse_rabi_hz"
            )
        if self.narrow and (self.schedule != "fixed" or self.reference != "none"):
            raise ValueError(
                "common_phase = narrow takes one bias phase and prepared pairs alone: leave "
                'schedule="fixed" and reference="none", or take common_phase="uniform"'
            )
        low, high = self.signal_range
        if not 0 < high - low <= math.pi + 1e-12:
            raise ValueError(
                f"signal_range = ({low:g}, {high:g}) must rise and be at most pi wide: the counts "
                "are the same for a signal and that plus pi"
            )
        if self.several and self.atoms_per_ensemble > 200:
            raise ValueError(
                f"atoms_per_ensemble = {self.atoms_per_ensemble} is too many for several bias "
                'phases or a reference (at most 200); take schedule="fixed" and reference="none"'
            )
        return self

    @property
    def narrow(self) -> bool:
        """Whether the common phase is narrow, and the counts tell the phase's sign."""
        return self.common_phase == "narrow"

    @property
    def several(self) -> bool:
        """Whether shots differ: several bias phases, both sides of the fringe, or a reference."""
        return self.schedule != "fixed" or self.reference != "none" or self.narrow

    @property
    def check_shots(self) -> int:
        """Shots of the coil's check.

        The two ensembles differ by 0.68 of their atoms, a shot of that by 0.5 sqrt(2S): 160/2S
        shots put the difference 12 of its standard errors, five of which are asked for, from 0.
        """
        if self.coil_check is not None:
            return self.coil_check
        return max(8, math.ceil(160 / self.atoms_per_ensemble))

    @property
    def spin(self) -> float:
        """Collective spin S of each ensemble."""
        return self.atoms_per_ensemble / 2

    @property
    def detuning_ratio(self) -> float:
        """Detuning difference over Rabi frequency during the preparation, Delta/Omega."""
        return self.detuning_hz / self.preparation_rabi_hz

    @property
    def pulse_time(self) -> float:
        """Length of the nominal pi/2 pulse, in s."""
        return 1 / (4 * self.pulse_rabi_hz)

    @property
    def hold_in_relaxation_times(self) -> float:
        """Gamma * hold * Var(S1y + S2y), the preparation in units of its relaxation."""
        state = steady_state(TwoEnsembles(self.spin, self.preparation_rabi_hz, self.detuning_hz))
        return angular(self.collective_decay_hz) * self.hold * float(state.variance)

    def pulse(self) -> PulseAngles:
        """What the pulse does to the ensemble that is detuned by +Delta/2."""
        return pulse_angles(self.pulse_rabi_hz, self.detuning_hz, self.pulse_time)

    def bias(self) -> tuple[float, float]:
        """Dark time in s and the bias phase in rad that belongs to it."""
        dark = self.dark_time
        dark = self.dark_time_for(self.bias_phase) if dark is None else dark
        return dark, bias_phase(self.pulse_rabi_hz, self.detuning_hz, self.pulse_time, dark)

    def dark_time_for(self, bias: float, pulses: int = 1) -> float:
        """Dark time in s that gives a bias phase, with one pulse or two that add to it."""
        written = pulses * self.pulse().phase_before
        return 2 * (bias - written) / angular(self.detuning_hz)


def angular(frequency_hz: float) -> float:
    """Angular rate in rad/s of an ordinary frequency in Hz: models speak rad/s, instruments Hz."""
    return 2 * math.pi * frequency_hz


def folded(phase: float) -> float:
    """The phase in [0, pi/2] that the counts cannot tell from ``phase``."""
    turned = abs(math.remainder(phase, math.pi))
    return min(turned, math.pi - turned)


def pulse_angles(rabi_hz: float, detuning_hz: float, duration: float) -> PulseAngles:
    """Euler angles of the pulse for the ensemble detuned by half the detuning difference."""
    return detuned_pulse(angular(rabi_hz), angular(detuning_hz) / 2, duration)


def bias_phase(
    rabi_hz: float, detuning_hz: float, duration: float, dark_time: float, pulses: int = 1
) -> float:
    """Known part of the differential phase: Delta/2 in the dark, and the ends of the pulses.

    Args:
        rabi_hz, duration: of a pulse, Hz and s.
        detuning_hz: detuning difference, Hz.
        dark_time: s.
        pulses: 1 after a preparation; 2 where a first pulse lays independent atoms down.
    """
    before = pulse_angles(rabi_hz, detuning_hz, duration).phase_before
    return angular(detuning_hz) / 2 * dark_time + pulses * float(before)
