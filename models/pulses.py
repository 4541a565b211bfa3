"""A square pulse off resonance, as the turns a perfect pulse would need."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ._checks import finite, not_negative


@dataclass(frozen=True, slots=True)
class PulseAngles:
    """Angles in radians of Rz(phase_after) Rx(area) Rz(phase_before); Rk(a) = exp(-i a S_k)."""

    area: float
    phase_before: float
    phase_after: float


def detuned_pulse(rabi: float, detuning: float, duration: float) -> PulseAngles:
    """Split exp[-i t (Omega Sx + delta Sz)] into a z turn, an x turn and a z turn.

    Args:
        rabi: Omega, angular; its sign is the phase of the drive.
        detuning: delta of this ensemble, angular, same unit.
        duration: t in the inverse unit, not negative.

    Returns:
        area in [-pi, pi] (even in the detuning) and two equal phases (odd in it). With
        detunings +Delta/2 and -Delta/2, `phase_before` of ensemble 1 adds to the
        differential phase phi, `phase_after` is not seen by counting.

    Raises:
        ValueError: on values that are not finite, or a negative duration.

    A pulse longer than pi comes back as the equal turn within [-pi, pi].
    """
    rabi, detuning = finite(rabi, "rabi"), finite(detuning, "detuning")
    rate = math.hypot(rabi, detuning)
    half = 0.5 * rate * not_negative(duration, "duration")
    if rate == 0.0:
        return PulseAngles(0.0, 0.0, 0.0)
    along_x = rabi / rate * math.sin(half)
    along_z = detuning / rate * math.sin(half)
    area = 2.0 * math.atan2(along_x, math.hypot(math.cos(half), along_z))
    phase = math.atan2(along_z, math.cos(half))
    return PulseAngles(area, phase, phase)
