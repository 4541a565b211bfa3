"""What the calibrations say of the nuisances of a Ramsey run, with their joint uncertainty.

The drive's calibration enters twice, in Delta/Omega of the preparation and in the area of the
pulse: their errors are correlated, and so are the bias phases with the detuning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..estimators import BiasSetting, CommonPhase, EllipseBeliefs, ScheduleBeliefs
from ..instruments.calibration import Calibration
from .protocol import Calibrations
from .ramsey_ellipse_settings import (
    RamseyEllipseSettings,
    RamseySettingsError,
    bias_phase,
    pulse_angles,
)
from .ramsey_ellipse_shots import ShotKind, kinds_of

Array = NDArray[np.float64]

_STEP = 1e-4  # relative, of the knobs in central differences: exact to about 1e-8


@dataclass(frozen=True, slots=True)
class _Nuisances:
    """Values at the working point, and how they follow ln Delta, ln Omega (weak), ln Omega (pulse).

    Attributes:
        area, gain, background: Values.
        knobs: (3, 3) covariance of the three knobs.
        counting: (2, 2) covariance of (ln gain, background).
        area_response: (3,) d ln area by the knobs.
    """

    area: float
    gain: float
    background: float
    knobs: Array
    counting: Array
    area_response: Array


def fixed_beliefs(settings: RamseyEllipseSettings, calibrations: Calibrations) -> EllipseBeliefs:
    """For one bias phase.

    Raises:
        RamseySettingsError: A calibration that is needed is missing.
    """
    known = _nuisances(settings, calibrations)
    kind = kinds_of(settings)[0]
    response = np.array([[1.0, -1.0, 0.0], known.area_response, _bias_response(settings, kind)])
    state = response @ known.knobs @ response.T
    covariance = np.zeros((4, 4))
    covariance[:2, :2] = state[:2, :2]
    covariance[2:, 2:] = known.counting
    return EllipseBeliefs(
        spin=settings.spin,
        detuning_ratio=settings.detuning_ratio,
        pulse_area=known.area,
        gain=known.gain,
        background=known.background,
        covariance=covariance,
        bias_phase=kind.bias_phase,
        bias_std=math.sqrt(state[2, 2]),
    )


def schedule_beliefs(
    settings: RamseyEllipseSettings, calibrations: Calibrations
) -> ScheduleBeliefs:
    """For several bias phases, or a reference of independent atoms.

    Raises:
        RamseySettingsError: A calibration that is needed is missing.
    """
    known = _nuisances(settings, calibrations)
    # rows: ln ratio, ln area, ln detuning, ln Rabi frequency of the pulse
    response = np.array([[1.0, -1.0, 0.0], known.area_response, [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    state = response @ known.knobs @ response.T
    covariance = np.zeros((6, 6))
    rows = np.array([0, 1, 4, 5])
    covariance[np.ix_(rows, rows)] = state
    covariance[2:4, 2:4] = known.counting
    biases = []
    for kind in kinds_of(settings):
        by_detuning, _, by_rabi = _bias_response(settings, kind)
        biases.append(
            BiasSetting(
                kind.prepared,
                kind.bias_phase + kind.pulse_phase,
                float(by_detuning),
                float(by_rabi),
            )
        )
    return ScheduleBeliefs(
        spin=settings.spin,
        detuning_ratio=settings.detuning_ratio,
        pulse_area=known.area,
        gain=known.gain,
        background=known.background,
        covariance=covariance,
        settings=tuple(biases),
        signal_range=settings.signal_range,
        common_phase=CommonPhase(0.0, settings.common_phase_std) if settings.narrow else None,
    )


def _nuisances(settings: RamseyEllipseSettings, calibrations: Calibrations) -> _Nuisances:
    needed = ("gradient", "drive", "detector")
    missing = [role for role in needed if role not in calibrations]
    if missing:
        raise RamseySettingsError(
            f"no calibration for role {', '.join(missing)}: name one in the station file "
            "(calibration: FILE)"
        )
    knobs = np.zeros((3, 3))
    knobs[0, 0] = _log_covariance(calibrations["gradient"], settings.detuning_hz)[0, 0]
    knobs[1:, 1:] = _log_covariance(
        calibrations["drive"], settings.preparation_rabi_hz, settings.pulse_rabi_hz
    )
    gain, background, counting = _counting(calibrations["detector"], settings.gate)

    def log_area(detuning: float, rabi: float) -> float:
        knobs = settings.pulse_rabi_hz * rabi, settings.detuning_hz * detuning
        return math.log(pulse_angles(*knobs, settings.pulse_time).area)

    by_detuning, by_rabi = _differences(log_area)
    return _Nuisances(
        area=float(settings.pulse().area),
        gain=gain,
        background=background,
        knobs=knobs,
        counting=counting,
        area_response=np.array([by_detuning, 0.0, by_rabi]),
    )


def _bias_response(settings: RamseyEllipseSettings, kind: ShotKind) -> Array:
    """(3,) d bias phase by ln Delta, ln Omega in the preparation (none), ln Omega in the pulse."""

    def bias(detuning: float, rabi: float) -> float:
        knobs = settings.pulse_rabi_hz * rabi, settings.detuning_hz * detuning
        return bias_phase(*knobs, settings.pulse_time, kind.dark_time, kind.pulses)

    by_detuning, by_rabi = _differences(bias)
    return np.array([by_detuning, 0.0, by_rabi])


def _differences(call: Callable[[float, float], float]) -> tuple[float, float]:
    """Central differences by the logarithms of detuning and Rabi frequency."""
    up, down = math.exp(_STEP), math.exp(-_STEP)
    return (
        (call(up, 1.0) - call(down, 1.0)) / (2 * _STEP),
        (call(1.0, up) - call(1.0, down)) / (2 * _STEP),
    )


def _log_covariance(calibration: Calibration, *values: float) -> Array:
    """Covariance of ln y at several set values y of one calibration: its parameters are shared."""
    gradients = np.array([calibration.gradient(calibration.inverse(y)) / y for y in values])
    covariance: Array = gradients @ calibration.covariance @ gradients.T
    return covariance


def _counting(calibration: Calibration, gate: float) -> tuple[float, float, Array]:
    """Gain and background of one gate, with the covariance of (ln gain, background)."""
    at_gate = calibration.at_gate(gate)
    gain, background = at_gate.parameters["gain"], at_gate.parameters["background"]
    turn = np.diag([1 / gain, 1.0])
    return gain, background, turn @ at_gate.covariance @ turn
