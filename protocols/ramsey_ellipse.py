"""Ramsey interferometry with two entangled ensembles and an unknown common phase: the ellipse.

Detuned collective decay pumps both ensembles into their dark state (Chu Eqs. 4-9), a signal and a
known bias phase are written in the dark, a pi/2 pulse whose common phase differs from shot to shot
turns the phase into populations, and both ensembles are counted one after the other (Chu Eq. 16).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..estimators import EllipseBeliefs, EllipsePhase, Estimate, ellipse_bounds
from ..instruments.calibration import Calibration
from ..instruments.errors import CavityLabError
from ..instruments.timeline import Tone, Window
from ..models.pulses import PulseAngles, detuned_pulse
from ..models.two_ensembles import TwoEnsembles, steady_state
from .protocol import Bounds, Calibrations, SetPoint, Steps
from .sequence import PREPARATION, PULSE, Sequence
from .steps import Checkpoint, Set, Shots, TakeEstimate

LEAD = 50e-6
"""Time from T0 to the preparation, in s: the tables start and the RF settles."""

GATE_GAP = 100e-6
"""Time before each counting gate, in s."""

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
    expected_signal: float = Field(
        0.05,
        ge=0,
        lt=math.pi / 2,
        description="signal that is expected, rad: plans are made for it, no estimate uses it",
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
        if self.dark_time is None and self._dark_time() <= 0:
            raise ValueError(
                f"bias_phase = {self.bias_phase:g} rad is less than the finite pulse alone writes "
                f"({self.pulse().phase_before:.3g} rad); raise it or pulse_rabi_hz"
            )
        return self

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
        dark = self.dark_time if self.dark_time is not None else self._dark_time()
        return dark, bias_phase(self.pulse_rabi_hz, self.detuning_hz, self.pulse_time, dark)

    def _dark_time(self) -> float:
        return 2 * (self.bias_phase - self.pulse().phase_before) / angular(self.detuning_hz)


def folded(phase: float) -> float:
    """The phase in [0, pi/2] that the counts cannot tell from ``phase``."""
    turned = abs(math.remainder(phase, math.pi))
    return min(turned, math.pi - turned)


def angular(frequency_hz: float) -> float:
    """Angular rate in rad/s of an ordinary frequency in Hz: models speak rad/s, instruments Hz."""
    return 2 * math.pi * frequency_hz


def pulse_angles(rabi_hz: float, detuning_hz: float, duration: float) -> PulseAngles:
    """Euler angles of the pulse for the ensemble detuned by half the detuning difference."""
    return detuned_pulse(angular(rabi_hz), angular(detuning_hz) / 2, duration)


def bias_phase(rabi_hz: float, detuning_hz: float, duration: float, dark_time: float) -> float:
    """Known part of the differential phase: Delta/2 in the dark, and the start of the pulse."""
    before = pulse_angles(rabi_hz, detuning_hz, duration).phase_before
    return angular(detuning_hz) / 2 * dark_time + float(before)


@dataclass(frozen=True, slots=True)
class _Operating:
    """What the calibrations say at the working point, in the units of the role (Hz, counts)."""

    detuning: Calibration
    drive: Calibration
    counts: Calibration


class RamseyEllipse:
    """The protocol: settings given by keyword, see :class:`RamseyEllipseSettings`.

    Raises:
        pydantic.ValidationError: A setting is out of bounds, unknown, or contradicts another.
    """

    name: ClassVar[str] = "ramsey_ellipse"
    quantities: ClassVar[tuple[str, ...]] = (
        "phase",
        "signal",
        "gain",
        "background",
        "detuning_ratio",
        "pulse_area",
    )
    detectors: ClassVar[tuple[str, ...]] = ("ensemble_1", "ensemble_2")
    set_points: ClassVar[tuple[SetPoint, ...]] = (
        SetPoint("detuning_difference", "Hz", "detuning difference of the ensembles"),
        SetPoint("dark_time", "s", "time between preparation and pulse"),
        SetPoint("bias_phase", "rad", "known part of the differential phase"),
    )

    units: ClassVar[Mapping[str, str]] = {"phase": "rad", "signal": "rad", "pulse_area": "rad"}
    tunable: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "bias_phase": (0.06, 0.12, 0.2, 0.4, 0.735),
        "detuning_hz": (700.0, 1400.0),
    }

    def __init__(self, **settings: Any) -> None:
        self.settings = RamseyEllipseSettings(**settings)

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        return self.settings.shots

    def settings_dict(self) -> dict[str, Any]:
        """The settings, JSON-able."""
        return self.settings.model_dump(mode="json")

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """Set-points of the only scan point."""
        del index, calibrations
        dark, bias = self.settings.bias()
        values = (self.settings.detuning_hz, dark, bias)
        return dict(zip((point.name for point in self.set_points), values, strict=True))

    def sequence(self) -> Sequence:
        """One shot; raises SequenceError when the settings do not make a sound one."""
        chosen = self.settings
        dark, _ = chosen.bias()
        start = LEAD
        pulse_start = start + chosen.hold + dark
        pulse_stop = pulse_start + chosen.pulse_time
        gates = (pulse_stop + GATE_GAP, pulse_stop + 2 * GATE_GAP + chosen.gate)
        sequence = Sequence(
            drive=(
                Tone(start, chosen.hold, chosen.preparation_rabi_hz),
                Tone(pulse_start, chosen.pulse_time, chosen.pulse_rabi_hz),
            ),
            coupling=(Tone(start, chosen.hold, chosen.collective_decay_hz),),
            windows=(
                Window(PREPARATION, start, chosen.hold),
                Window(PULSE, pulse_start, chosen.pulse_time),
                *(
                    Window(name, begin, chosen.gate)
                    for name, begin in zip(self.detectors, gates, strict=True)
                ),
            ),
            period=chosen.shot_period,
        )
        sequence.check()
        return sequence

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Gradient on, then blocks of shots with the running estimate after each."""
        del calibrations, seed  # the same steps whatever the laboratory; nothing is random
        chosen = self.settings
        sequence = self.sequence()
        yield Set("gradient", "detuning_difference", chosen.detuning_hz)
        yield Checkpoint("gradient settled")
        for taken in range(0, chosen.shots, chosen.block):
            yield Shots(sequence, min(chosen.block, chosen.shots - taken))
            yield TakeEstimate()

    def beliefs(self, calibrations: Calibrations) -> EllipseBeliefs:
        """What the calibrations say of the nuisances, with their joint uncertainty.

        The drive's calibration enters twice, in Delta/Omega of the preparation and in the area of
        the pulse: their errors are correlated, and so is the bias phase with the detuning.

        Raises:
            RamseySettingsError: A calibration that is needed is missing.
        """
        at = self._operating(calibrations)
        chosen = self.settings
        detuning = _log_covariance(at.detuning, chosen.detuning_hz)
        drive = _log_covariance(at.drive, chosen.preparation_rabi_hz, chosen.pulse_rabi_hz)
        gain, background, counts_covariance = _counting(at.counts, chosen.gate)
        pulse = _PulseResponse.of(chosen)
        # Rows: ln(Delta/Omega), ln(pulse area), bias phase.
        # Columns: ln Delta, ln Omega in the preparation, ln Omega in the pulse.
        response = np.array(
            [
                [1.0, -1.0, 0.0],
                [pulse.area_by_detuning, 0.0, pulse.area_by_rabi],
                [pulse.bias_by_detuning, 0.0, pulse.bias_by_rabi],
            ]
        )
        knobs = np.zeros((3, 3))
        knobs[0, 0] = detuning[0, 0]
        knobs[1:, 1:] = drive
        state = response @ knobs @ response.T
        covariance = np.zeros((4, 4))
        covariance[:2, :2] = state[:2, :2]
        covariance[2:, 2:] = counts_covariance
        _, bias = chosen.bias()
        return EllipseBeliefs(
            spin=chosen.spin,
            detuning_ratio=chosen.detuning_ratio,
            pulse_area=pulse.area,
            gain=gain,
            background=background,
            covariance=covariance,
            bias_phase=bias,
            bias_std=math.sqrt(state[2, 2]),
        )

    def expected(self, calibrations: Calibrations) -> dict[str, float]:
        """Its quantities as they are supposed before the first shot."""
        believed, signal = self.beliefs(calibrations), self.settings.expected_signal
        return {
            "phase": folded(signal + believed.bias_phase),
            "signal": signal,
            "gain": believed.gain,
            "background": believed.background,
            "detuning_ratio": believed.detuning_ratio,
            "pulse_area": believed.pulse_area,
        }

    def remarks(self, calibrations: Calibrations) -> tuple[str, ...]:
        """What the predicted precision rests on."""
        believed = self.beliefs(calibrations)
        return (
            f"counting noise of {believed.counting_noise:.2f} atoms per ensemble at half filling: "
            f"{believed.gain:.4g} counts per atom, {believed.background:.4g} of background",
            f"a signal of {self.settings.expected_signal:g} rad and a bias of "
            f"{believed.bias_phase:.4g} +- {believed.bias_std:.2g} rad; the signal's error holds "
            "that of the bias as well",
        )

    def estimator(self, calibrations: Calibrations) -> EllipsePhase:
        """A fresh maximum-likelihood estimator of the phase, nuisances free within beliefs."""
        return EllipsePhase(self.beliefs(calibrations))

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> EllipsePhase:
        """A fresh estimator with the beliefs that a run keeps."""
        return EllipsePhase(EllipseBeliefs(**beliefs))

    def bounds(self, calibrations: Calibrations, estimate: Estimate, shots: int) -> Bounds:
        """Cramér-Rao bound and standard quantum limit for ``shots``, at the estimate's values."""
        names = ("detuning_ratio", "pulse_area", "gain", "background")
        values = {name: estimate[name].value for name in names}
        there = replace(self.beliefs(calibrations), **values)
        return ellipse_bounds(there, estimate["phase"].value, shots)

    def _operating(self, calibrations: Calibrations) -> _Operating:
        needed = ("gradient", "drive", "detector")
        missing = [role for role in needed if role not in calibrations]
        if missing:
            raise RamseySettingsError(
                f"no calibration for role {', '.join(missing)}: name one in the station file "
                "(calibration: FILE)"
            )
        return _Operating(*(calibrations[role] for role in needed))


@dataclass(frozen=True, slots=True)
class _PulseResponse:
    """Effective pulse area and bias phase, and what relative changes of the knobs do to them."""

    area: float
    area_by_detuning: float
    area_by_rabi: float
    bias_by_detuning: float
    bias_by_rabi: float

    @classmethod
    def of(cls, chosen: RamseyEllipseSettings) -> _PulseResponse:
        """Central differences over 1e-4 of each knob: exact to about 1e-8."""
        dark, _ = chosen.bias()
        step = 1e-4

        def look(detuning: float, rabi: float) -> NDArray[np.float64]:
            knobs = chosen.pulse_rabi_hz * rabi, chosen.detuning_hz * detuning, chosen.pulse_time
            return np.array([math.log(pulse_angles(*knobs).area), bias_phase(*knobs, dark)])

        up, down = math.exp(step), math.exp(-step)
        by_detuning = (look(up, 1.0) - look(down, 1.0)) / (2 * step)
        by_rabi = (look(1.0, up) - look(1.0, down)) / (2 * step)
        return cls(
            area=float(chosen.pulse().area),
            area_by_detuning=float(by_detuning[0]),
            area_by_rabi=float(by_rabi[0]),
            bias_by_detuning=float(by_detuning[1]),
            bias_by_rabi=float(by_rabi[1]),
        )


def _log_covariance(calibration: Calibration, *values: float) -> NDArray[np.float64]:
    """Covariance of ln y at several set values y of one calibration: its parameters are shared."""
    gradients = np.array([calibration.gradient(calibration.inverse(y)) / y for y in values])
    covariance: NDArray[np.float64] = gradients @ calibration.covariance @ gradients.T
    return covariance


def _counting(calibration: Calibration, gate: float) -> tuple[float, float, NDArray[np.float64]]:
    """Gain and background of one gate, with the covariance of (ln gain, background)."""
    at_gate = calibration.at_gate(gate)
    gain, background = at_gate.parameters["gain"], at_gate.parameters["background"]
    turn = np.diag([1 / gain, 1.0])
    return gain, background, turn @ at_gate.covariance @ turn
