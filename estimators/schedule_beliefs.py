"""What is known before ellipses at several bias phases: the knobs and nuisances that they share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .binomial_beliefs import CommonPhase
from .ellipse_beliefs import EllipseBeliefs, directions_of

Array = NDArray[np.float64]

SHARED = ("detuning_ratio", "pulse_area", "gain", "background", "detuning", "pulse_rabi")


@dataclass(frozen=True, slots=True)
class BiasSetting:
    """One way to take a shot.

    Attributes:
        prepared: whether the pair is prepared (squeezed); else the atoms are independent.
        bias_phase: added to the signal, radians, as the calibrations have it.
        by_detuning: d bias_phase / d ln(detuning difference).
        by_rabi: d bias_phase / d ln(Rabi frequency of the pulse).
    """

    prepared: bool
    bias_phase: float
    by_detuning: float = 0.0
    by_rabi: float = 0.0

    @property
    def slopes(self) -> Array:
        """(2,) by ln detuning and ln Rabi frequency."""
        return np.array([self.by_detuning, self.by_rabi])


@dataclass(frozen=True, slots=True, eq=False)
class ScheduleBeliefs:
    """Calibrated values that all settings share, with their uncertainty, and the settings.

    Attributes:
        spin: S of each ensemble.
        detuning_ratio: Delta/Omega of the preparation.
        pulse_area: beta of the readout pulse, radians.
        gain: counts per atom.
        background: counts without atoms.
        covariance: (6, 6) of (ln detuning_ratio, ln pulse_area, ln gain, background in counts,
            ln detuning, ln Rabi frequency of the pulse): one coil and one drive are behind
            the ratio, the pulse and all bias phases.
        settings: records name them by their index in `setting(shot)`.
        signal_range: (low, high) of the signal, at most pi wide, radians.
        common_phase: distribution of the common phase; None: uniform, or drifting through all.

    Raises:
        ValueError: on values outside these rules.
    """

    spin: float
    detuning_ratio: float
    pulse_area: float
    gain: float
    background: float
    covariance: ArrayLike = field(repr=False)
    settings: Sequence[BiasSetting]
    signal_range: tuple[float, float] = (-math.pi / 4, math.pi / 4)
    common_phase: CommonPhase | None = None

    def __post_init__(self) -> None:
        covariance = np.array(self.covariance, dtype=np.float64)
        if covariance.shape != (6, 6):
            raise ValueError(
                f"Argument `covariance` must be a (6, 6) matrix of {', '.join(SHARED)}, but has "
                f"shape {covariance.shape}."
            )
        if isinstance(self.settings, str) or not self.settings:
            raise ValueError(
                "Argument `settings` must be a list of at least one setting (prepared, bias_phase, "
                f"by_detuning, by_rabi), but is {self.settings!r}."
            )
        given: list[Any] = list(self.settings)
        settings = [BiasSetting(**one) if isinstance(one, Mapping) else one for one in given]
        common: Any = self.common_phase
        if isinstance(common, Mapping):
            object.__setattr__(self, "common_phase", CommonPhase(**common))
        low, high = self.signal_range
        if not 0.0 < high - low <= math.pi + 1e-12:
            raise ValueError(
                "Argument `signal_range` must rise and be at most pi wide (the counts are the "
                f"same for a signal and that plus pi), but is {self.signal_range!r}."
            )
        covariance.setflags(write=False)
        object.__setattr__(self, "covariance", covariance)
        object.__setattr__(self, "settings", tuple(settings))
        object.__setattr__(self, "signal_range", (float(low), float(high)))
        _ = self.shared  # refuses what `EllipseBeliefs` refuses

    @property
    def shared(self) -> EllipseBeliefs:
        """The nuisances without the knobs of the bias phases."""
        return EllipseBeliefs(
            spin=self.spin,
            detuning_ratio=self.detuning_ratio,
            pulse_area=self.pulse_area,
            gain=self.gain,
            background=self.background,
            covariance=np.asarray(self.covariance)[:4, :4],
        )

    @property
    def directions(self) -> Array:
        """(6, r) matrix L with L L^T = covariance; directions without uncertainty are absent."""
        return directions_of(np.asarray(self.covariance, dtype=np.float64))

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ScheduleBeliefs:
        """Beliefs as a run keeps them."""
        return cls(**{**stored, "signal_range": tuple(stored["signal_range"])})
