"""What is known beforehand about a pumped ensemble and its counts, for the pumping estimators.

Knob u, pump w = c u, critical knob u_c = gamma/c: p_n ~ (u/u_c)^n for n excited atoms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibrated number: its value and the standard deviation of its calibration.

    Quantities that cannot be negative enter with a Gaussian law of their logarithm, of
    standard deviation std/value; a background enters with a Gaussian law itself.

    Raises:
        ValueError: on a value that is negative or not finite, or a std not above zero.
    """

    value: float
    std: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.value) and self.value >= 0.0):
            raise ValueError(f"Argument `value` must not be negative, but is {self.value!r}.")
        if not (math.isfinite(self.std) and self.std > 0.0):
            raise ValueError(
                f"Argument `std` must be above zero, but is {self.std!r}; a calibration "
                "without uncertainty does not exist, give a small one."
            )


@dataclass(frozen=True, slots=True)
class SnapshotBeliefs:
    """Beliefs for snapshots; what is None is free.

    Args:
        atoms: N, at least 2.
        atoms_std: standard deviation of N; 0 takes it as known.
        critical_pump: u_c, in the unit of the knob.
        gain: g, counts per excited atom.
        background: b, counts of a gate without excited atoms.
        pump_droop: gamma_r/(2 delta) of a three-level pump, whose rate out of n excited
            atoms falls as 1/(1 + (droop (n+1))^2); 0 for a constant rate.

    Raises:
        ValueError: on values outside these rules.
    """

    atoms: float
    atoms_std: float = 0.0
    critical_pump: Calibrated | None = None
    gain: Calibrated | None = None
    background: Calibrated | None = None
    pump_droop: float = 0.0

    def __post_init__(self) -> None:
        check_atoms(self.atoms, self.atoms_std)
        _above_zero(self, "critical_pump", "gain")
        if not (math.isfinite(self.pump_droop) and self.pump_droop >= 0.0):
            raise ValueError(
                f"Argument `pump_droop` must not be negative, but is {self.pump_droop!r}."
            )


@dataclass(frozen=True, slots=True)
class SweepBeliefs:
    """Beliefs for sweeps; what is None is free.

    Args:
        atoms: N, a whole number, known.
        critical_pump: u_c, in the unit of the knob.
        decay: gamma, per unit of time of the records.
        half_rate: a = g N/2 per unit of time: counts come at the rate a (1 + x) + b.
        background: b, counts per unit of time without excited atoms.

    Raises:
        ValueError: on values outside these rules.
    """

    atoms: int
    critical_pump: Calibrated | None = None
    decay: Calibrated | None = None
    half_rate: Calibrated | None = None
    background: Calibrated | None = None

    def __post_init__(self) -> None:
        check_atoms(self.atoms, 0.0)
        if self.atoms != round(self.atoms):
            raise ValueError(f"Argument `atoms` must be a whole number, but is {self.atoms!r}.")
        _above_zero(self, "critical_pump", "decay", "half_rate")


@dataclass(frozen=True, slots=True)
class HoldBeliefs:
    """Beliefs for counts at a held pump: a, b and gamma must come from calibrations.

    Args:
        atoms: N, a whole number.
        half_rate: a, counts per unit of time at x = 0 less background.
        background: b, counts per unit of time without excited atoms.
        decay: gamma, per unit of time.
        critical_pump: u_c, if anything is known of it.

    Raises:
        ValueError: on values outside these rules, and without a calibration of a, b or gamma.
    """

    atoms: int
    half_rate: Calibrated | None = None
    background: Calibrated | None = None
    decay: Calibrated | None = None
    critical_pump: Calibrated | None = None

    def __post_init__(self) -> None:
        check_atoms(self.atoms, 0.0)
        if self.atoms != round(self.atoms):
            raise ValueError(f"Argument `atoms` must be a whole number, but is {self.atoms!r}.")
        for name in ("half_rate", "background", "decay"):
            if getattr(self, name) is None:
                raise ValueError(
                    f"Argument `{name}` must be a calibrated value: counts at a held pump do "
                    "not tell a, b and the pump apart, nor gamma from their noise. Calibrate "
                    "it by a sweep or by snapshots."
                )
        _above_zero(self, "critical_pump", "decay", "half_rate")


def check_atoms(atoms: float, std: float) -> None:
    """Refuse atom numbers below 2 or not finite, and a negative or excessive spread."""
    if not (math.isfinite(atoms) and 2.0 <= atoms <= 1e6):
        raise ValueError(f"Argument `atoms` must lie in [2, 1e6], but is {atoms!r}.")
    if not (math.isfinite(std) and 0.0 <= std <= 0.3 * atoms):
        raise ValueError(
            f"Argument `atoms_std` must lie in [0, 0.3 atoms], but is {std!r} for {atoms!r} atoms."
        )


def _above_zero(beliefs: object, *names: str) -> None:
    for name in names:
        belief = getattr(beliefs, name)
        if belief is not None and not belief.value > 0.0:
            raise ValueError(f"Argument `{name}` must be above zero, but is {belief.value!r}.")
