"""One signal, several bias phases, one set of nuisances: an objective for the scoring engine.

Coordinates: x = (s, z_1 … z_r, w). The differential phase of a setting is

    phi_k = s + b_k + (db_k/d ln Delta) d_1 + (db_k/d ln Omega) d_2,

with the knobs' relative errors d and all nuisances = centre + L z, z ~ N(0, 1): a coil that gives
2 % more detuning moves every bias phase, the prepared state and the pulse together. w is the
weight of stray shots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .ellipse_posterior import LEAST_OUTLIERS, MOST_OUTLIERS, outlier_density
from .likelihood_table import TableLikelihood
from .schedule_beliefs import BiasSetting, ScheduleBeliefs
from .scoring import Point

Array = NDArray[np.float64]

_STRAY = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class SettingShots:
    """Shots taken with one setting.

    Attributes:
        setting: the setting.
        likelihood: its measurement model.
        counts: (shots, 2), sorted.
    """

    setting: BiasSetting
    likelihood: TableLikelihood
    counts: Array


class SchedulePosterior:
    """Log-likelihood of all settings plus log-prior.

    Args:
        beliefs: what is shared.
        parts: the shots by setting.
    """

    def __init__(self, beliefs: ScheduleBeliefs, parts: Sequence[SettingShots]) -> None:
        self.beliefs = beliefs
        self.parts = tuple(parts)
        self.directions = beliefs.directions
        self._centre = beliefs.shared.centre
        self.stray = outlier_density(beliefs.shared)
        free = self.directions.shape[1]
        low, high = beliefs.signal_range
        self.lower = np.array([low, *(-12.0 * np.ones(free)), LEAST_OUTLIERS])
        self.upper = np.array([high, *(12.0 * np.ones(free)), MOST_OUTLIERS])

    @property
    def shots(self) -> int:
        """Of all settings."""
        return sum(len(part.counts) for part in self.parts)

    def nuisances(self, x: Array) -> Array:
        """(ln ratio, ln pulse area, ln gain, background) at x."""
        values: Array = self._centre + self.directions[:4] @ x[1:-1]
        return values

    def phase(self, x: Array, setting: BiasSetting) -> float:
        """phi of a setting at x, not folded."""
        knobs = self.directions[4:] @ x[1:-1]
        return float(x[0] + setting.bias_phase + setting.slopes @ knobs)

    def phase_row(self, setting: BiasSetting) -> Array:
        """d phi / d x of a setting."""
        row: Array = np.concatenate([[1.0], setting.slopes @ self.directions[4:], [0.0]])
        return row

    def start(self, signal: float, outliers: float = 0.003, gain: float = 0.0) -> Array:
        """x at a signal, everything else as believed but for ln gain, which is off by `gain`."""
        x = np.zeros(self.lower.size)
        x[0], x[-1] = signal, outliers
        if gain:
            x[1:-1] = np.linalg.pinv(self.directions) @ (gain * (np.arange(6.0) == 2.0))
        return x

    def evaluate(self, x: Array) -> Point:
        """Log posterior, its gradient, and the outer-product information plus the prior's."""
        z = x[1:-1]
        value, gradient = -0.5 * float(z @ z), np.concatenate([[0.0], -z, [0.0]])
        information = np.diag(np.concatenate([[0.0], np.ones(z.size), [0.0]]))
        for part in self.parts:
            mixed, scores = self.scores(x, part)
            value += float(np.log(mixed).sum())
            gradient += scores.sum(axis=0)
            information += scores.T @ scores
        return Point(x, value, gradient, information)

    def scores(self, x: Array, part: SettingShots) -> tuple[Array, Array]:
        """(shots,) densities with stray shots, and (shots, x) slopes of their logarithms."""
        weight = float(x[-1])
        density, slopes = part.likelihood.evaluate(
            part.counts, self.phase(x, part.setting), self.nuisances(x)
        )
        mixed = (1.0 - weight) * density + weight * self.stray
        found = np.empty((len(density), x.size))
        found[:, :-1] = slopes[:, :1] * self.phase_row(part.setting)[:-1]
        found[:, 1:-1] += slopes[:, 1:] @ self.directions[:4]
        found[:, :-1] *= ((1.0 - weight) / mixed)[:, None]
        found[:, -1] = (self.stray - density) / mixed
        return mixed, found

    def scan(self, signals: Array, most: int, gain: float = 0.0) -> Array:
        """Log-likelihood of prepared shots at each signal, nuisances as believed.

        Of every setting at most `most` shots are used; ln gain is off by `gain`.
        """
        nuisances = self._centre + np.array([0.0, 0.0, gain, 0.0])
        totals = np.zeros(signals.size)
        for part in self.parts:
            if not part.setting.prepared:
                continue
            counts = part.counts[:: max(1, math.ceil(len(part.counts) / most))]
            density = part.likelihood.scan(counts, signals + part.setting.bias_phase, nuisances)
            totals += np.log((1.0 - _STRAY) * density + _STRAY * self.stray).sum(axis=0)
        return totals
