"""Estimates of a Ramsey run, with where to look in the laboratory when something is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from ..estimators import EllipseBeliefs, EllipsePhase, EllipseSchedule, Estimate, ScheduleBeliefs
from ..estimators.schedule_bounds import pulls
from .ramsey_ellipse_coil import CoilSense
from .ramsey_ellipse_drift import CommonPhaseMemory

FAR = 4.5
"""Calibration's standard deviations beyond which a quantity contradicts it: six quantities do so
by chance in one of 2.5e4 runs."""

_DRIVE = (
    "look at the modulator of the drive: a saturated modulator or amplifier gives less light than "
    "its calibration says (RF power, saturation power), as does a misaligned beam"
)
_COIL = (
    "look at the gradient coil: its supply and compliance, a coil of the pair that is not "
    "connected or exchanged with another, the calibration's slope"
)
_DETECTOR = (
    "look at the detector: probe light, threshold of the counter, gate length, and whether the "
    "gates of the two ensembles are wired to their probes"
)
WHERE: Mapping[str, str] = MappingProxyType(
    {
        "detuning_ratio": f"{_COIL}; or {_DRIVE.removeprefix('look at ')}",
        "pulse_area": _DRIVE,
        "pulse_rabi": _DRIVE,
        "detuning": _COIL,
        "gain": _DETECTOR,
        "background": _DETECTOR,
    }
)
_MISFIT = (
    "where to look: the modulator of the drive (saturation), the coil's current, the atom number, "
    "the detector's gates, and whether light of the coupling ends with the preparation"
)
_SIGN = (
    "where to look: the cables of the gradient coil; exchanged (or two coils exchanged) they turn "
    "the detuning round, and the counts, which are even in the phase, then give the signal with "
    "the other sign; also the dark time and the sign of what writes the signal"
)


class RamseyEstimate:
    """The estimator of a Ramsey run; flags say where to look.

    Args:
        inner: For one bias phase, or for several.
        signal_range: In which the signal is known to lie, rad.
    """

    def __init__(
        self, inner: EllipsePhase | EllipseSchedule, signal_range: tuple[float, float]
    ) -> None:
        self._inner = inner
        self._range = signal_range
        narrow = getattr(inner.beliefs, "common_phase", None) is not None
        self._memory = None if narrow else CommonPhaseMemory()
        self._coil = CoilSense(inner.beliefs.gain, round(2 * inner.beliefs.spin))

    @property
    def beliefs(self) -> EllipseBeliefs | ScheduleBeliefs:
        """What was believed before the first shot."""
        return self._inner.beliefs

    @property
    def shots(self) -> int:
        """Shots used so far, those of the coil's check left out."""
        return self._inner.shots

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block: "counts" (shots, 2), "status", and "setting" (the kind of shot).

        Shots with "coil_check" 1 are those of the coil's check and no part of the fit.
        """
        rest = self._coil.take(records)
        kept: dict[str, ArrayLike] = {
            name: rest[name] for name in ("counts", "status", "setting") if name in rest
        }
        if len(np.asarray(kept["counts"])):
            self._inner.update(kept)
            if self._memory is not None:
                self._memory.take(kept)

    def quick(self, level: float = 0.95) -> Estimate:
        """A running estimate."""
        return self._inner.quick(level)

    def estimate(self, level: float = 0.95) -> Estimate:
        """The estimate; contradictions to calibrations and to the signal's range are flagged."""
        found = self._inner.estimate(level)
        if self._memory is not None:
            found = self._memory.judged(found, self._inner.beliefs)
        if found.goodness_of_fit is None and not found.diagnostics.get("converged", True):
            advice = [_MISFIT] if "usable shots" not in " ".join(found.flags) else []
        else:
            advice = [*self._contradictions(found), *self._outside(found)]
            if any("does not describe" in flag for flag in found.flags):
                advice.append(_MISFIT)
        advice += self._coil.flags()
        facts = {**found.diagnostics, **self._coil.facts()}
        taken = (*found.assumptions, *self._mirrored(found))
        taken = taken if self._coil.shots else (*taken, _UNCHECKED)
        diagnostics = {**facts, "flags": [*found.flags, *advice]}
        return replace(found, assumptions=taken, diagnostics=diagnostics)

    def _mirrored(self, found: Estimate) -> tuple[str, ...]:
        """The other signal that one bias phase cannot tell from the one found, if it may be."""
        beliefs = self._inner.beliefs
        if isinstance(beliefs, ScheduleBeliefs):
            return ()
        other = -(found["signal"].value + 2 * beliefs.bias_phase)
        other = math.remainder(other, math.pi)
        if not self._range[0] <= other <= self._range[1]:
            return ()
        return (
            f"the signal is not {other:.4g} rad, which gives the same counts at this one bias "
            "phase (a narrower `signal_range` rules it out, two stages tell)",
        )

    def _contradictions(self, found: Estimate) -> list[str]:
        told = []
        for name, pull in self._pulls(found).items():
            if abs(pull) > FAR:
                told.append(
                    f"{name.replace('_', ' ')} is {abs(pull):.1f} standard deviations "
                    f"{'above' if pull > 0 else 'below'} its calibration: {WHERE[name]}"
                )
        return told

    def _pulls(self, found: Estimate) -> dict[str, float]:
        beliefs = self._inner.beliefs
        if isinstance(beliefs, ScheduleBeliefs):
            return pulls(beliefs, found)
        stds = np.sqrt(np.diag(np.asarray(beliefs.covariance))).tolist()
        out = {}
        for name, std in zip(WHERE_FIXED, stds, strict=True):
            if std > 0.0:
                value, centre = found[name].value, float(getattr(beliefs, name))
                shift = value - centre if name == "background" else math.log(value / abs(centre))
                out[name] = shift / std
        return out

    def _outside(self, found: Estimate) -> list[str]:
        low, high = found["signal"].interval
        first, last = self._range
        if any("end of the range" in flag for flag in found.flags):
            return [_SIGN]
        if high >= first and low <= last:
            return []
        return [
            f"the signal's interval [{low:.4g}, {high:.4g}] rad lies outside its range "
            f"[{first:.4g}, {last:.4g}] rad; {_SIGN}"
        ]


_UNCHECKED = (
    "the coil turns the detuning the way its calibration says (with exchanged cables the signal "
    "has the other sign; the shots that `coil_check` = 0 left out would measure it)"
)

WHERE_FIXED = ("detuning_ratio", "pulse_area", "gain", "background")
"""Nuisances of one bias phase, in the order of their covariance."""
