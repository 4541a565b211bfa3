"""Counts, prior and stray shots in one objective for the scoring engine.

Coordinates: x = (cos 2phi, z_1 … z_r, w). The likelihood is a smooth function of cos 2phi up
to and at both folds, where its slope by phi vanishes; the nuisances are centre + L z with
z ~ N(0, 1); w is the weight of an outlier density that is uniform over the range of counts.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .ellipse_beliefs import EllipseBeliefs
from .scoring import Point

Array = NDArray[np.float64]

FOLD_MARGIN = 1e-4  # radians: phases nearer to a fold than this are not told from it
LEAST_OUTLIERS = 1e-6
MOST_OUTLIERS = 0.5
_TOGETHER, _SLAB = 8, 512  # shots whose densities are multiplied: none is below 1e-20


class ShotLikelihood(Protocol):
    """A measurement model: the density of raw counts at given parameters."""

    @property
    def name(self) -> str: ...
    @property
    def resolves_atoms(self) -> bool: ...
    @property
    def fringe_scale(self) -> float: ...
    def evaluate(self, counts: Array, phase: float, nuisances: Array, /) -> tuple[Array, Array]: ...
    def scan(self, counts: Array, phases: Array, nuisances: Array, /) -> Array: ...
    def cell_probabilities(
        self, phase: float, nuisances: Array, edges: tuple[Array, Array], /
    ) -> tuple[Array, Array]: ...


class EllipsePosterior:
    """Log-likelihood of a set of shots plus log-prior.

    Args:
        likelihood: the measurement model.
        beliefs: centre and covariance of the nuisances.
        counts: (shots, 2) as floats.
    """

    def __init__(self, likelihood: ShotLikelihood, beliefs: EllipseBeliefs, counts: Array) -> None:
        self._likelihood = likelihood
        self._counts = counts
        self._centre = beliefs.centre
        self._directions = beliefs.directions
        self._stray = outlier_density(beliefs)
        free = self._directions.shape[1]
        edge = math.cos(2.0 * FOLD_MARGIN)
        self.lower = np.array([-edge, *(-8.0 * np.ones(free)), LEAST_OUTLIERS])
        self.upper = np.array([edge, *(8.0 * np.ones(free)), MOST_OUTLIERS])

    @property
    def directions(self) -> Array:
        """L of the prior, (4, r)."""
        return self._directions

    def nuisances(self, x: Array) -> Array:
        """(ln ratio, ln pulse area, ln gain, background) at x."""
        values: Array = self._centre + self._directions @ x[1:-1]
        return values

    def start(self, phase: float, nuisances: Array | None = None, outliers: float = 0.003) -> Array:
        """x at a phase; the prior's directions nearest to the wanted nuisances."""
        z = np.zeros(self._directions.shape[1])
        if nuisances is not None and z.size:
            z = np.linalg.pinv(self._directions) @ (nuisances - self._centre)
        x = np.concatenate([[math.cos(2.0 * phase)], z, [outliers]])
        clipped: Array = np.clip(x, self.lower, self.upper)
        return clipped

    def evaluate(self, x: Array) -> Point:
        """Log posterior, its gradient, and the outer-product information plus the prior's."""
        phase = phase_of(x[0])
        density, slopes = self._likelihood.evaluate(self._counts, phase, self.nuisances(x))
        weight = x[-1]
        mixed = (1.0 - weight) * density + weight * self._stray
        scores = np.empty((len(density), x.size))
        scores[:, 0] = slopes[:, 0] / (-2.0 * math.sin(2.0 * phase))
        scores[:, 1:-1] = slopes[:, 1:] @ self._directions
        scores[:, :-1] *= ((1.0 - weight) / mixed)[:, None]
        scores[:, -1] = (self._stray - density) / mixed
        gradient = scores.sum(axis=0)
        information = scores.T @ scores
        z = x[1:-1]
        gradient[1:-1] -= z
        information[1:-1, 1:-1] += np.eye(z.size)
        value = float(np.log(mixed).sum()) - 0.5 * float(z @ z)
        return Point(x, value, gradient, information)

    def scan(self, phases: Array, nuisances: Array, shots: slice = slice(None)) -> Array:
        """Log-likelihood at each phase, with 1 % of outliers; ratio and area as believed."""
        return self.log_sums(self._likelihood.scan(self._counts[shots], phases, nuisances))

    def log_sums(self, density: Array) -> Array:
        """Log-likelihoods (…, phases) of densities (…, shots, phases), with 1 % of outliers."""
        mixed = 0.99 * density + 0.01 * self._stray
        *rows, shots, phases = mixed.shape
        whole = shots - shots % _TOGETHER
        totals: Array = np.log(mixed[..., whole:, :]).sum(axis=-2)
        # A logarithm of a product of a few shots costs less than that of each.
        for start in range(0, whole, _SLAB):
            part = mixed[..., start : min(start + _SLAB, whole), :]
            product = np.multiply.reduce(part.reshape(*rows, -1, _TOGETHER, phases), axis=-2)
            totals = totals + np.log(product).sum(axis=-2)
        return totals

    def stray_probability(self, x: Array) -> Array:
        """Posterior probability of each shot to be an outlier, (shots,)."""
        density, _ = self._likelihood.evaluate(self._counts, phase_of(x[0]), self.nuisances(x))
        stray = x[-1] * self._stray
        probability: Array = stray / (stray + (1.0 - x[-1]) * density)
        return probability


def phase_of(cosine: float) -> float:
    """phi in [0, pi/2] from cos 2phi."""
    return 0.5 * math.acos(min(1.0, max(-1.0, float(cosine))))


def outlier_range(beliefs: EllipseBeliefs) -> int:
    """Number of counts 0 … that an outlier may take in one port."""
    top = beliefs.largest_mean
    return math.floor(top + 10.0 * math.sqrt(top)) + 1


def outlier_density(beliefs: EllipseBeliefs) -> float:
    """Probability of one pair of counts for an outlier: uniform over the counts in reach."""
    return float(outlier_range(beliefs)) ** -2


def too_quiet(counts: Array) -> str:
    """Why counts that hardly vary determine nothing; "" when they vary as counts do."""
    if (counts.var(axis=0) <= 0.25 * counts.mean(axis=0)).any():
        return "the counts of a port vary less than counting noise alone would make them"
    return ""


def beyond_all_atoms(beliefs: EllipseBeliefs, counts: Array) -> list[str]:
    """A flag when shots hold more counts than the atoms can give, even with the gain a little off.

    Args:
        beliefs: atom number, gain and its uncertainty.
        counts: (shots, 2).
    """
    largest = beliefs.largest_mean
    own = math.sqrt(float(np.asarray(beliefs.covariance)[2, 2]))
    limit = largest * (1.0 + 5.0 * own) + 10.0 * math.sqrt(largest) + 10.0
    beyond = int((counts > limit).any(axis=1).sum())
    if not beyond:
        return []
    return [
        f"{beyond} of the shots hold more counts than all atoms give: taken as stray shots, but "
        "the atom number or the gain may be wrong"
    ]
