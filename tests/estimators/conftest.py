"""Counts of the two-ensemble ellipse, drawn from the models with nuisances off their beliefs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from cavitylab.estimators import EllipseBeliefs
from cavitylab.models.ellipse import EllipseReadout, sample
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state


@dataclass(frozen=True)
class EllipseLab:
    """A pair of ensembles, its readout, and the accuracy of its calibrations."""

    spin: float = 50.0
    ratio: float = 0.1
    gain: float = 100.0
    background: float = 50.0
    pulse_area: float = math.pi / 2
    relative: tuple[float, float, float, float] = (0.025, 0.015, 0.03, 0.05)

    @property
    def covariance(self) -> np.ndarray:
        scale = np.array([1.0, 1.0, 1.0, self.background])
        return np.diag((np.array(self.relative) * scale) ** 2)

    def beliefs(self, **changes: float) -> EllipseBeliefs:
        fields = {
            "spin": self.spin,
            "detuning_ratio": self.ratio,
            "pulse_area": self.pulse_area,
            "gain": self.gain,
            "background": self.background,
            "covariance": self.covariance,
        }
        return EllipseBeliefs(**{**fields, **changes})  # type: ignore[arg-type]

    def counts(
        self, phase: float, shots: int, rng: np.random.Generator, *, exact: bool = False
    ) -> np.ndarray:
        """(shots, 2) counts; the truth is drawn from the calibrations unless `exact`."""
        off = np.zeros(4) if exact else np.sqrt(np.diag(self.covariance)) * rng.standard_normal(4)
        ratio, area, gain = np.array([self.ratio, self.pulse_area, self.gain]) * np.exp(off[:3])
        weights = steady_state(TwoEnsembles(self.spin, 1.0, float(ratio))).weights
        readout = EllipseReadout(self.spin, weights.size - 1)
        atoms = sample(readout.distribution(weights, phase, float(area)), shots, rng)
        return rng.poisson(gain * atoms + max(self.background + off[3], 0.0))


@pytest.fixture(scope="session")
def ellipse_lab() -> Callable[..., EllipseLab]:
    """Makes a laboratory with the given parameters; the demonstration's by default."""
    return EllipseLab
