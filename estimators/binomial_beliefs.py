"""What is known of an ellipse of independent atoms: atom numbers, contrasts, offsets, noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PARAMETERS = ("contrast_1", "contrast_2", "offset_1", "offset_2", "noise", "jitter")
UNITS = ("", "", "", "", "atoms", "rad")
_FREE = math.inf


@dataclass(frozen=True, slots=True)
class CommonPhase:
    """Distribution of the common phase theta: normal about `mean`, wrapped; None: uniform.

    Attributes:
        mean: radians.
        std: radians, above zero.
    """

    mean: float
    std: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise ValueError(f"Argument `mean` must be finite, but is {self.mean!r}.")
        if not (math.isfinite(self.std) and self.std > 0.0):
            raise ValueError(f"Argument `std` must be finite and above 0, but is {self.std!r}.")


@dataclass(frozen=True, slots=True)
class EllipseAtoms:
    """Two ensembles of independent atoms, p_j = b_j + (C_j/2) sin(phi +- theta).

    A standard deviation of inf leaves a parameter free, 0 takes it as known, and anything
    between is the calibration's (a Gaussian prior).

    Attributes:
        atoms: (N1, N2).
        contrasts: (C1, C2), expected values, in (0, 1].
        offsets: (b1, b2), expected values.
        contrast_std: of each contrast.
        offset_std: of each offset.
        noise: further standard deviation of the atom number read in each port, atoms.
        noise_free: whether the noise is fitted.
        jitter: standard deviation of the differential phase from shot to shot, radians.
        jitter_free: whether the jitter is fitted.
        gain: counts per atom with Poisson noise; None: counts are atom numbers. A wrong gain is
            the same as other contrasts and offsets: with those free it needs no error of its own.
        background: counts without atoms.
        bias_phase: known phase added to the signal, radians.
        bias_std: its standard deviation, radians.

    Raises:
        ValueError: on values outside these rules.
    """

    atoms: tuple[int, int]
    contrasts: tuple[float, float] = (1.0, 1.0)
    offsets: tuple[float, float] = (0.5, 0.5)
    contrast_std: float = _FREE
    offset_std: float = _FREE
    noise: float = 0.0
    noise_free: bool = False
    jitter: float = 0.0
    jitter_free: bool = False
    gain: float | None = None
    background: float = 0.0
    bias_phase: float = 0.0
    bias_std: float = 0.0

    def __post_init__(self) -> None:
        for number in self.atoms:
            if number != int(number) or number < 1:
                raise ValueError(f"Argument `atoms` must hold whole numbers, but has {number!r}.")
        for contrast in self.contrasts:
            if not 0.0 < contrast <= 1.0:
                raise ValueError(f"Argument `contrasts` must lie in (0, 1], but has {contrast!r}.")
        for offset in self.offsets:
            if not 0.0 <= offset <= 1.0:
                raise ValueError(f"Argument `offsets` must lie in [0, 1], but has {offset!r}.")
        for name in ("contrast_std", "offset_std"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"Argument `{name}` must not be negative.")
        for name in ("noise", "jitter", "background", "bias_std"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"Argument `{name}` must not be negative, but is {value!r}.")
        if not math.isfinite(self.bias_phase):
            raise ValueError(f"Argument `bias_phase` must be finite, but is {self.bias_phase!r}.")
        if self.gain is not None and not (math.isfinite(self.gain) and self.gain > 0.0):
            raise ValueError(f"Argument `gain` must be above zero, but is {self.gain!r}.")

    @property
    def centre(self) -> Array:
        """(C1, C2, b1, b2, noise variance in atoms^2, jitter variance in rad^2)."""
        return np.array([*self.contrasts, *self.offsets, self.noise**2, self.jitter**2])

    @property
    def standard_deviations(self) -> Array:
        """Of the parameters of `centre`: inf is free, 0 is known."""
        return np.array(
            [
                *(2 * [self.contrast_std]),
                *(2 * [self.offset_std]),
                _FREE if self.noise_free else 0.0,
                _FREE if self.jitter_free else 0.0,
            ]
        )

    @property
    def projection_variance(self) -> float:
        """Mean of N/4 of both ensembles, atoms^2: the scale of the noise."""
        return 0.125 * sum(self.atoms)
