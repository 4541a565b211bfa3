"""What the calibrations say before the first shot of an ellipse measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

NUISANCES = ("detuning_ratio", "pulse_area", "gain", "background")
NUISANCE_UNITS = ("", "rad", "counts/atom", "counts")


@dataclass(frozen=True, slots=True, eq=False)
class EllipseBeliefs:
    """Calibrated values of everything but the phase, with their uncertainty.

    Attributes:
        spin: S of each ensemble, 2S atoms.
        detuning_ratio: Delta/Omega of the preparation; its sign leaves no trace in the counts.
        pulse_area: beta of the readout pulse, radians.
        gain: counts per atom.
        background: counts without atoms.
        covariance: (4, 4) of (ln detuning_ratio, ln pulse_area, ln gain, background in
            counts). Zero rows mean "known exactly"; correlations are allowed.
        bias_phase: known phase added to the signal, radians.
        bias_std: standard deviation of the bias phase, radians.

    Raises:
        ValueError: on values outside these rules, and on a covariance that is not
            symmetric and positive semi-definite.
    """

    spin: float
    detuning_ratio: float
    pulse_area: float
    gain: float
    background: float
    covariance: ArrayLike = field(repr=False)
    bias_phase: float = 0.0
    bias_std: float = 0.0

    def __post_init__(self) -> None:
        doubled = 2.0 * float(self.spin)
        if not math.isfinite(doubled) or doubled < 1.0 or doubled != round(doubled):
            raise ValueError(
                f"Argument `spin` must be a positive multiple of 1/2, but is {self.spin!r}."
            )
        if not math.isfinite(self.detuning_ratio) or self.detuning_ratio == 0.0:
            raise ValueError(
                "Argument `detuning_ratio` must be finite and not 0, "
                f"but is {self.detuning_ratio!r}."
            )
        if not 0.0 < self.pulse_area < math.pi:
            raise ValueError(
                f"Argument `pulse_area` must lie in (0, pi), but is {self.pulse_area!r}."
            )
        if not (math.isfinite(self.gain) and self.gain > 0.0):
            raise ValueError(f"Argument `gain` must be above zero, but is {self.gain!r}.")
        for name in ("background", "bias_std"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"Argument `{name}` must not be negative, but is {value!r}.")
        if not math.isfinite(self.bias_phase):
            raise ValueError(f"Argument `bias_phase` must be finite, but is {self.bias_phase!r}.")
        covariance = np.array(self.covariance, dtype=np.float64)
        _check_covariance(covariance)
        covariance.setflags(write=False)
        object.__setattr__(self, "covariance", covariance)

    @property
    def atoms(self) -> int:
        """2S, the atoms of each ensemble."""
        return round(2.0 * self.spin)

    @property
    def centre(self) -> Array:
        """(ln ratio, ln pulse area, ln gain, background): the centre of the prior."""
        return np.array(
            [
                math.log(abs(self.detuning_ratio)),
                math.log(self.pulse_area),
                math.log(self.gain),
                self.background,
            ]
        )

    @property
    def directions(self) -> Array:
        """(4, r) matrix L with L L^T = covariance: prior nuisances are centre + L z, z ~ N(0, 1).

        Directions without uncertainty are absent, so that a known nuisance costs nothing
        and a singular covariance needs no inverse.
        """
        return directions_of(np.asarray(self.covariance, dtype=np.float64))

    @property
    def counting_noise(self) -> float:
        """Standard deviation of the counting noise of one ensemble at n = S, in atoms."""
        return math.sqrt(self.gain * self.spin + self.background) / self.gain

    @property
    def largest_mean(self) -> float:
        """Mean counts of a full ensemble, gain * 2S + background."""
        return self.gain * self.atoms + self.background


def directions_of(covariance: Array) -> Array:
    """(k, r) matrix L with L L^T = covariance (k, k); directions without uncertainty are absent."""
    scale = np.sqrt(np.diag(covariance))
    scale = np.where(scale > 0.0, scale, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    kept = values > 1e-9 * max(1.0, float(values[-1]))
    directions: Array = scale[:, None] * vectors[:, kept] * np.sqrt(values[kept])
    return directions


def natural(nuisances: Array) -> Array:
    """(ratio, pulse area, gain, background) from (ln ratio, ln pulse area, ln gain, background)."""
    values: Array = np.concatenate([np.exp(nuisances[:3]), nuisances[3:]])
    return values


def _check_covariance(covariance: Array) -> None:
    if covariance.shape != (4, 4) or not np.all(np.isfinite(covariance)):
        raise ValueError(
            "Argument `covariance` must be a finite (4, 4) matrix of (ln detuning_ratio, "
            f"ln pulse_area, ln gain, background), but has shape {covariance.shape}."
        )
    scale = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    largest = np.outer(scale, scale)
    if np.any(np.abs(covariance - covariance.T) > 1e-9 * largest + 1e-300) or np.any(
        np.diag(covariance) < 0.0
    ):
        raise ValueError("Argument `covariance` must be symmetric with no negative variance.")
    safe = np.where(scale > 0.0, scale, 1.0)
    if np.linalg.eigvalsh(covariance / np.outer(safe, safe))[0] < -1e-9:
        raise ValueError("Argument `covariance` must be positive semi-definite.")
