"""Ramsey interferometry with two entangled ensembles and an unknown common phase: the ellipse.

Detuned collective decay pumps both ensembles into their dark state (Chu Eqs. 4-9), a signal and a
known bias phase are written in the dark, a pi/2 pulse whose common phase differs from shot to shot
turns the phase into populations, and both ensembles are counted one after the other (Chu Eq. 16).
The bias phase is fixed, or chosen after a first stage where this detector learns most; every other
block may be one of independent atoms, against which the gain is measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from ..estimators import (
    EllipseBeliefs,
    EllipsePhase,
    EllipseSchedule,
    Estimate,
    PrecisionStop,
    ScheduleBeliefs,
    ellipse_bounds,
)
from ..instruments.errors import CalibrationError
from .protocol import Bounds, Calibrations, SetPoint, Steps
from .ramsey_ellipse_beliefs import fixed_beliefs, schedule_beliefs
from .ramsey_ellipse_coil import COLUMN, check_sequence
from .ramsey_ellipse_estimate import RamseyEstimate
from .ramsey_ellipse_schedule import Blocks, bounds_at, choose_kind, true_phase
from .ramsey_ellipse_settings import RamseyEllipseSettings, RamseySettingsError, folded
from .ramsey_ellipse_shots import kinds_of, sequence_of
from .sequence import Sequence
from .steps import Checkpoint, Note, Set, Shots, Step, TakeEstimate

__all__ = ["RamseyEllipse", "RamseyEllipseSettings", "RamseySettingsError"]

_RARELY = 5
"""Blocks between running estimates where shots differ and none decides anything: each takes some
seconds."""

_NUISANCES = ("gain", "background", "detuning_ratio", "pulse_area")


class RamseyEllipse:
    """The protocol: settings given by keyword, see :class:`RamseyEllipseSettings`.

    Raises:
        pydantic.ValidationError: A setting is out of bounds, unknown, or contradicts another.
    """

    name: ClassVar[str] = "ramsey_ellipse"
    detectors: ClassVar[tuple[str, ...]] = ("ensemble_1", "ensemble_2")
    units: ClassVar[Mapping[str, str]] = {"phase": "rad", "signal": "rad", "pulse_area": "rad"}

    def __init__(self, **settings: Any) -> None:
        self.settings = RamseyEllipseSettings(**settings)
        self._chosen = 0

    @property
    def quantities(self) -> tuple[str, ...]:
        """The phase first where the bias is fixed, the signal first where shots differ."""
        if not self.settings.several:
            return ("phase", "signal", *_NUISANCES)
        gain = ("preparation_gain",) if self.settings.reference != "none" else ()
        return ("signal", "phase", *_NUISANCES, "detuning_scale", "pulse_rabi_scale", *gain)

    @property
    def set_points(self) -> tuple[SetPoint, ...]:
        """Columns of the point table."""
        columns: tuple[SetPoint, ...] = (
            SetPoint("detuning_difference", "Hz", "detuning difference of the ensembles"),
            SetPoint("dark_time", "s", "time between preparation and pulse"),
            SetPoint("bias_phase", "rad", "known part of the differential phase"),
        )
        if self.settings.several:
            columns += (
                SetPoint("setting", "", "number of the kind of shot"),
                SetPoint("prepared", "", "1: prepared pair, 0: independent atoms"),
            )
        if self.settings.check_shots:
            columns += (SetPoint(COLUMN, "", "1: a pulse off resonance that tells the coil"),)
        return columns

    @property
    def tunable(self) -> Mapping[str, tuple[float, ...]]:
        """Settings with values to try for the best operating point."""
        detunings = {"detuning_hz": (700.0, 1400.0)}
        if self.settings.schedule != "fixed":
            return detunings
        return {"bias_phase": (0.06, 0.12, 0.2, 0.4, 0.735), **detunings}

    @property
    def planned_shots(self) -> int:
        """Good shots that a complete run takes."""
        return self.settings.shots + self.settings.check_shots

    def settings_dict(self) -> dict[str, Any]:
        """The settings, JSON-able."""
        return self.settings.model_dump(mode="json")

    def point(self, index: int, calibrations: Calibrations) -> Mapping[str, float]:
        """Set-points of a kind of shot."""
        del calibrations
        kinds = kinds_of(self.settings)
        values = dict.fromkeys((column.name for column in self.set_points), 0.0)
        known = {"detuning_difference": self.settings.detuning_hz}
        if index < len(kinds):
            kind = kinds[index]
            known |= {"dark_time": kind.dark_time, "bias_phase": kind.bias_phase}
            known |= {"setting": float(index), "prepared": float(kind.prepared)}
        else:
            known[COLUMN] = 1.0
        return values | {name: value for name, value in known.items() if name in values}

    def sequence(self, kind: int = 0) -> Sequence:
        """One shot; raises SequenceError when the settings do not make a sound one."""
        return sequence_of(self.settings, kinds_of(self.settings)[kind])

    def steps(self, calibrations: Calibrations, seed: int) -> Steps:
        """Gradient on, then blocks of shots with the running estimate after each.

        After the first stage the bias phase is chosen from the estimate; without one, from the
        signal that is expected.
        """
        del seed  # nothing is random
        chosen = self.settings
        stop = self._stop()
        last = len(kinds_of(chosen)) - 1
        self._chosen, decided = 0, chosen.schedule == "fixed"
        estimate: Estimate | None = None
        yield Set("gradient", "detuning_difference", chosen.detuning_hz)
        yield Checkpoint("gradient settled")
        if chosen.check_shots:
            yield Shots(check_sequence(chosen, calibrations), chosen.check_shots, point=last + 1)
        blocks = Blocks(chosen)
        for number, (prepared, first, shots) in enumerate(blocks.turns()):
            if prepared and not first and not decided:
                self._chosen, decided = self._best_kind(calibrations, estimate), True
                bias = kinds_of(chosen)[self._chosen].bias_phase
                yield Note(f"second stage at a bias phase of {bias:.3f} rad")
            kind = blocks.kind(number, prepared, first, self._chosen)
            yield Shots(self.sequence(kind), shots, point=kind)
            if decided and stop is None and chosen.several and number % _RARELY:
                continue
            estimate = yield TakeEstimate()
            if stop is not None and estimate is not None and stop.met(estimate):
                yield Note(f"{stop.quantity} is known to {stop.std:g}: enough")
                return

    def reachable(self, calibrations: Calibrations) -> Iterator[Step]:
        """A shot of every kind that a run may come to."""
        kinds = len(kinds_of(self.settings))
        for kind in range(kinds):
            yield Shots(self.sequence(kind), 1, point=kind)
        if self.settings.check_shots:
            yield Shots(check_sequence(self.settings, calibrations), 1, point=kinds)

    def beliefs(self, calibrations: Calibrations) -> EllipseBeliefs | ScheduleBeliefs:
        """What the calibrations say of the nuisances, with their joint uncertainty.

        Raises:
            RamseySettingsError: A calibration that is needed is missing.
        """
        if self.settings.several:
            return schedule_beliefs(self.settings, calibrations)
        return fixed_beliefs(self.settings, calibrations)

    def expected(self, calibrations: Calibrations) -> dict[str, float]:
        """Its quantities as they are supposed before the first shot."""
        believed, signal = self.beliefs(calibrations), self.settings.expected_signal
        bias = kinds_of(self.settings)[self._planned_kind(calibrations)].bias_phase
        values = {name: float(getattr(believed, name)) for name in _NUISANCES}
        if self.settings.several:
            values |= {"detuning_scale": 1.0, "pulse_rabi_scale": 1.0}
        return {"phase": folded(signal + bias), "signal": signal, **values}

    def remarks(self, calibrations: Calibrations) -> tuple[str, ...]:
        """What the predicted precision rests on."""
        believed = fixed_beliefs(self.settings, calibrations)
        kind = kinds_of(self.settings)[self._planned_kind(calibrations)]
        noise = (
            f"counting noise of {believed.counting_noise:.2f} atoms per ensemble at half filling: "
            f"{believed.gain:.4g} counts per atom, {believed.background:.4g} of background"
        )
        signal = f"a signal of {self.settings.expected_signal:g} rad and a bias phase of "
        if self.settings.narrow:
            width = f"a common phase of {self.settings.common_phase_std:g} rad about the drive's"
            return (
                noise,
                f"{width}, known; both sides of the fringe in turn",
                f"{signal}{kind.bias_phase:.4g} +- {believed.bias_std:.2g} rad",
            )
        if self.settings.common_phase == "drifting":
            noise += "; a drifting common phase is fitted as uniform, which holds when it goes "
            noise += "through all phases many times during the run"
        if self.settings.several:
            return (noise, f"{signal}{kind.bias_phase:.3g} rad, whose scale the run measures too")
        return (
            noise,
            f"{signal}{kind.bias_phase:.4g} +- {believed.bias_std:.2g} rad; the signal's error "
            "holds that of the bias as well",
        )

    def estimator(self, calibrations: Calibrations) -> RamseyEstimate:
        """A fresh maximum-likelihood estimator, nuisances free within beliefs."""
        return _estimator(self.beliefs(calibrations), self.settings.signal_range)

    @staticmethod
    def stored_estimator(beliefs: Mapping[str, Any]) -> RamseyEstimate:
        """A fresh estimator with the beliefs that a run keeps."""
        whole = (-math.pi / 2, math.pi / 2)
        if "settings" in beliefs:
            stored = ScheduleBeliefs.from_json(beliefs)
            return _estimator(stored, stored.signal_range)
        return _estimator(EllipseBeliefs(**beliefs), whole)

    def bounds(self, calibrations: Calibrations, estimate: Estimate, shots: int) -> Bounds:
        """Cramér-Rao bound and standard quantum limit for ``shots``, at the estimate's values."""
        believed = self.beliefs(calibrations)
        shots = max(1, shots - self.settings.check_shots)
        if isinstance(believed, ScheduleBeliefs):
            chosen = self._chosen or self._planned_kind(calibrations, estimate)
            return bounds_at(self.settings, believed, estimate, chosen, shots)
        values = {name: estimate[name].value for name in _NUISANCES}
        return ellipse_bounds(replace(believed, **values), estimate["phase"].value, shots)

    def truth(self, revealed: Mapping[str, Any], calibrations: Calibrations) -> dict[str, float]:
        """The phase of the run's main kind of shot; empty where the bias is fixed.

        A rehearsal reveals the mean over all prepared shots, which is no phase of any when they
        differ.
        """
        needed = ("signal", "gradient_slope", "gradient_offset", "drive_full_rabi")
        if not self.settings.several or any(name not in revealed for name in needed):
            return {}
        kind = kinds_of(self.settings)[self._chosen]
        try:
            current = calibrations["gradient"].inverse(self.settings.detuning_hz)
            power = calibrations["drive"].inverse(self.settings.pulse_rabi_hz)
        except CalibrationError:
            return {}
        share = math.sqrt(power / float(revealed["drive_saturation_power"]))
        rabi = float(revealed["drive_full_rabi"]) * math.sin(math.pi / 2 * share)
        detuning = float(revealed["gradient_slope"]) * current + float(revealed["gradient_offset"])
        return {"phase": true_phase(self.settings, kind, revealed, detuning, rabi)}

    def _stop(self) -> PrecisionStop | None:
        if self.settings.target_std is None:
            return None
        return PrecisionStop(
            self.quantities[0], self.settings.target_std, self.settings.minimum_shots
        )

    def _best_kind(self, calibrations: Calibrations, estimate: Estimate | None) -> int:
        """The second stage's kind from the estimate of the first; without one, as planned."""
        believed = self.beliefs(calibrations)
        if not isinstance(believed, ScheduleBeliefs):
            return 0
        if estimate is None or "detuning_scale" not in estimate.quantities:
            return self._planned_kind(calibrations)
        signal, scale = estimate["signal"], estimate["detuning_scale"]
        return choose_kind(self.settings, believed, signal.value, signal.std, scale.std)

    def _planned_kind(self, calibrations: Calibrations, estimate: Estimate | None = None) -> int:
        """The second stage's kind for the expected signal, or for an estimate's."""
        believed = self.beliefs(calibrations)
        if not isinstance(believed, ScheduleBeliefs):
            return 0
        signal = self.settings.expected_signal if estimate is None else estimate["signal"].value
        scale = math.sqrt(float(np.asarray(believed.covariance)[4, 4]))
        first = max(1, Blocks(self.settings).first)
        known = 1 / math.sqrt(4 * self.settings.spin * first)
        return choose_kind(self.settings, believed, signal, known, scale)


def _estimator(
    beliefs: EllipseBeliefs | ScheduleBeliefs, signal_range: tuple[float, float]
) -> RamseyEstimate:
    if isinstance(beliefs, ScheduleBeliefs):
        return RamseyEstimate(EllipseSchedule(beliefs), signal_range)
    return RamseyEstimate(EllipsePhase(beliefs), signal_range)
