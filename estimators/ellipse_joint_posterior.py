"""Several ellipses with one phase: summed log-likelihoods, every setting with its own nuisances.

Coordinates: x = (phase, z, w). A single bias leaves only phi in [0, pi/2], and the phase's
coordinate is cos 2phi, regular at both folds; with several biases, or with a common phase that
is not uniform, it is phi itself. Nuisances of a member are centre + L z; z is standard normal
where there is a calibration and without prior where there is none. w is the weight of stray
shots, one for all settings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .ellipse_posterior import FOLD_MARGIN, LEAST_OUTLIERS, MOST_OUTLIERS, ShotLikelihood, phase_of
from .scoring import Point

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Nuisances:
    """Nuisances of one setting: centre + L z within a box.

    Attributes:
        centre: (k,).
        directions: L, (k, r).
        precision: (r,) of the prior of z: 1 or 0.
        lower, upper: (r,) bounds of z.
    """

    centre: Array
    directions: Array
    precision: Array
    lower: Array
    upper: Array


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """Shots taken with one setting and one bias.

    Attributes:
        setting: which `Nuisances` it has.
        likelihood: the measurement model.
        data: (shots, 2), counts or atom numbers as the model reads them.
        bias: added to the phase, radians.
        stray: density of a stray shot.
    """

    setting: int
    likelihood: ShotLikelihood
    data: Array
    bias: float
    stray: float


class JointPosterior:
    """Log-likelihood of all members plus log-prior, an objective for the scoring engine."""

    def __init__(
        self, members: Sequence[Member], nuisances: Sequence[Nuisances], *, folded: bool
    ) -> None:
        self.members = tuple(members)
        self.settings = tuple(nuisances)
        self.folded = folded
        ends = np.cumsum([1, *(n.precision.size for n in nuisances)])
        self.columns = [np.arange(a, b) for a, b in zip(ends[:-1], ends[1:], strict=True)]
        self.precision = np.concatenate([[0.0], *(n.precision for n in nuisances), [0.0]])
        edge = math.cos(2.0 * FOLD_MARGIN) if folded else 4.0 * math.pi
        self.lower = np.concatenate([[-edge], *(n.lower for n in nuisances), [LEAST_OUTLIERS]])
        self.upper = np.concatenate([[edge], *(n.upper for n in nuisances), [MOST_OUTLIERS]])

    @property
    def shots(self) -> int:
        """Of all members."""
        return sum(len(member.data) for member in self.members)

    def phase(self, x: Array) -> float:
        """phi at x, without any bias unless there is only one."""
        return phase_of(float(x[0])) if self.folded else float(x[0])

    def slope(self, x: Array) -> float:
        """d phi / d x[0]."""
        return -0.5 / math.sin(2.0 * phase_of(float(x[0]))) if self.folded else 1.0

    def nuisances(self, x: Array, setting: int) -> Array:
        """Of one setting at x."""
        own = self.settings[setting]
        values: Array = own.centre + own.directions @ x[self.columns[setting]]
        return values

    def total_phase(self, x: Array, member: Member) -> float:
        """phi with the member's bias; the only bias of a folded phase is already in it."""
        return self.phase(x) + (0.0 if self.folded else member.bias)

    def start(self, phase: float, z: Array | None = None, outliers: float = 0.003) -> Array:
        """x at a phase; nuisances at their centres unless all z are given."""
        first = math.cos(2.0 * phase) if self.folded else phase
        inner = np.zeros(self.lower.size - 2) if z is None else z
        clipped: Array = np.clip(
            np.concatenate([[first], inner, [outliers]]), self.lower, self.upper
        )
        return clipped

    def evaluate(self, x: Array) -> Point:
        """Log posterior, gradient, and the outer-product information plus the prior's."""
        weight, size = float(x[-1]), x.size
        value, gradient, information = 0.0, np.zeros(size), np.zeros((size, size))
        for member in self.members:
            density, slopes = member.likelihood.evaluate(
                member.data, self.total_phase(x, member), self.nuisances(x, member.setting)
            )
            mixed = (1.0 - weight) * density + weight * member.stray
            columns = self.columns[member.setting]
            where = np.concatenate([[0], columns, [size - 1]])
            scores = np.empty((len(density), where.size))
            scores[:, 0] = slopes[:, 0] * self.slope(x)
            scores[:, 1:-1] = slopes[:, 1:] @ self.settings[member.setting].directions
            scores[:, :-1] *= ((1.0 - weight) / mixed)[:, None]
            scores[:, -1] = (member.stray - density) / mixed
            value += float(np.log(mixed).sum())
            gradient[where] += scores.sum(axis=0)
            information[np.ix_(where, where)] += scores.T @ scores
        value -= 0.5 * float(self.precision @ (x * x))
        gradient -= self.precision * x
        information += np.diag(self.precision)
        return Point(x, value, gradient, information)

    def scan(self, phases: Array, x: Array, stride: int = 1) -> Array:
        """Log-likelihood at each phase, nuisances as in x, with 1 % of stray shots."""
        totals = np.zeros(len(phases))
        for member in self.members:
            shifted = phases + (0.0 if self.folded else member.bias)
            density = member.likelihood.scan(
                member.data[::stride], shifted, self.nuisances(x, member.setting)
            )
            totals += np.log(0.99 * density + 0.01 * member.stray).sum(axis=0)
        return totals
