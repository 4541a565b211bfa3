r"""Counts of four ensembles that share one random phase: density and score of a shot.

    p_j = c_j + (C_j/2) sin(theta + phi_j),
    phi_j = bias_j + g (3, 1, -1, -3)_j/2 + k (1, -1, -1, 1)_j,     theta uniform on the circle

Counts are Gaussian given theta: mean G N p + b, variance G^2 N p (1 - p) + G N p + b. The
integral over theta is a sum over equal nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .scoring import Point

Array = NDArray[np.float64]

GRADIENT = np.array([1.5, 0.5, -0.5, -1.5])
CURVATURE = np.array([1.0, -1.0, -1.0, 1.0])
BIAS = (0.0, math.pi / 2.0, math.pi / 2.0, 0.0)
ENSEMBLES = 4
_CHUNK = 400_000  # shots x nodes at once


@dataclass(frozen=True, slots=True)
class FourEnsembleBeliefs:
    """What is known of the four ensembles.

    Attributes:
        atoms: N of each.
        contrast: C as calibrated, alike in all.
        contrast_std: standard deviation of each ensemble's contrast.
        offset: c as calibrated, alike in all.
        offset_std: standard deviation of each ensemble's offset.
        gain: counts per atom.
        background: counts.
        bias: phases added on purpose, radians; they decide the signs of g and k.
        reach: |g| and |k| are searched up to here, radians.

    Raises:
        ValueError: on values that cannot be.
    """

    atoms: float
    contrast: float = 0.95
    contrast_std: float = 0.03
    offset: float = 0.5
    offset_std: float = 0.01
    gain: float = 1.0
    background: float = 0.0
    bias: tuple[float, float, float, float] = BIAS
    reach: float = 0.7

    def __post_init__(self) -> None:
        for name in ("atoms", "contrast", "contrast_std", "offset_std", "gain", "reach"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"Argument `{name}` must be positive, but is {value!r}.")
        if not 0.0 < self.offset < 1.0 or not self.background >= 0.0:
            raise ValueError("Argument `offset` must lie in (0, 1), `background` not below 0.")
        if not self.contrast <= 2.0 * min(self.offset, 1.0 - self.offset) + 1e-12:
            raise ValueError(
                f"Argument `contrast` must keep populations within [0, 1], but is {self.contrast}."
            )

    @property
    def nodes(self) -> int:
        """Nodes of the common phase: enough for the narrowest density."""
        width = math.sqrt(0.1 * self.atoms) + math.sqrt(0.5 * self.atoms / self.gain)
        return int(np.clip(math.ceil(math.pi * self.atoms / width), 48, 1024))


class FourEnsembleLikelihood:
    """Log-density of shots in x = (g, k, (C_j - C)/std, (c_j - c)/std), and its objective.

    Args:
        beliefs: ensembles and detector.
        counts: (shots, 4).
    """

    def __init__(self, beliefs: FourEnsembleBeliefs, counts: Array) -> None:
        self.beliefs, self.counts = beliefs, counts
        self.theta = 2.0 * math.pi * (np.arange(beliefs.nodes) + 0.5) / beliefs.nodes
        rest = np.full(2 * ENSEMBLES, 5.0)
        self.lower = np.concatenate([[-beliefs.reach, -beliefs.reach], -rest])
        self.upper = -self.lower

    def evaluate(self, x: Array) -> Point:
        """Value, gradient, and information as the sum of outer products of the scores."""
        logs, scores = self.shots(x)
        prior = np.concatenate([np.zeros(2), np.ones(2 * ENSEMBLES)])
        value = float(logs.sum()) - 0.5 * float(prior @ (x * x))
        gradient = scores.sum(axis=0) - prior * x
        return Point(x, value, gradient, scores.T @ scores + np.diag(prior))

    def shots(self, x: Array) -> tuple[Array, Array]:
        """Log-densities (shots,) and scores (shots, 10)."""
        mean, variance, slopes, by_mean = self.moments(x)
        table = self.exponents(mean, variance)
        flat = self._score_table(mean, variance, slopes, by_mean)
        features, logs, scores = self.features(self.counts), [], []
        step = max(1, _CHUNK // self.theta.size)
        for start in range(0, len(features), step):
            block = features[start : start + step]
            exponent = block @ table.T
            top = exponent.max(axis=1, keepdims=True)
            weight = np.exp(exponent - top)
            total = weight.sum(axis=1)
            pull = ((weight / total[:, None]) @ flat).reshape(len(block), -1, block.shape[1])
            scores.append(np.einsum("spf,sf->sp", pull, block))
            logs.append(np.log(total) + top[:, 0])
        constant = math.log(self.theta.size) + 2.0 * math.log(2.0 * math.pi)
        return np.concatenate(logs) - constant, np.concatenate(scores)

    def features(self, counts: Array) -> Array:
        """(shots, 9): one, the counts from the middle of their range, and their squares."""
        y = counts - self._middle
        return np.column_stack([np.ones(len(y)), y, y * y])

    def exponents(self, mean: Array, variance: Array) -> Array:
        """(K, 9) coefficients of the features in the log-density at every node."""
        m = mean - self._middle
        constant = -0.5 * np.sum(m * m / variance + np.log(variance), axis=1)
        return np.column_stack([constant, m / variance, -0.5 / variance])

    def _score_table(self, mean: Array, variance: Array, slopes: Array, by_mean: Array) -> Array:
        """(K, 10 x 9) coefficients of the features in the slope of the log-density.

        d log p / d mean_j = o/v + (o^2/v^2 - 1/v) v'/2 with o = y - m: the variance follows.
        """
        m, inverse = mean - self._middle, 1.0 / variance
        curved = 0.5 * by_mean * inverse
        constant = -m * inverse + curved * (m * m * inverse - 1.0)
        linear = inverse - 2.0 * curved * m * inverse
        parts = [
            np.einsum("pkj,kj->pk", slopes, constant)[:, :, None],
            slopes * linear,
            slopes * (curved * inverse),
        ]
        table = np.concatenate(parts, axis=2)
        flat: Array = np.ascontiguousarray(table.transpose(1, 0, 2)).reshape(len(mean), -1)
        return flat

    @property
    def _middle(self) -> float:
        """Counts of half of the atoms; differences from it lose no digits."""
        return 0.5 * self.beliefs.gain * self.beliefs.atoms + self.beliefs.background

    def moments(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """(K, 4) means and variances, (10, K, 4) slopes of the means, d variance/d mean."""
        beliefs = self.beliefs
        contrast = beliefs.contrast + beliefs.contrast_std * x[2:6]
        offset = beliefs.offset + beliefs.offset_std * x[6:]
        turned = np.asarray(beliefs.bias) + x[0] * GRADIENT + x[1] * CURVATURE
        angle = self.theta[:, None] + turned
        sine, cosine = np.sin(angle), np.cos(angle)
        scale = beliefs.gain * beliefs.atoms
        p = offset + 0.5 * contrast * sine
        mean = scale * p + beliefs.background
        spread = np.clip(p, 0.0, 1.0)
        floor = 0.25 + 1e-4 * scale * beliefs.gain
        variance = beliefs.gain * scale * spread * (1.0 - spread) + scale * spread
        variance = variance + beliefs.background + floor
        inside = (p > 0.0) & (p < 1.0)
        by_mean = np.where(inside, beliefs.gain * (1.0 - 2.0 * spread) + 1.0, 0.0)
        slopes = np.zeros((2 + 2 * ENSEMBLES, *mean.shape))
        by_phase = 0.5 * scale * contrast * cosine
        slopes[0], slopes[1] = by_phase * GRADIENT, by_phase * CURVATURE
        for j in range(ENSEMBLES):
            slopes[2 + j, :, j] = 0.5 * scale * beliefs.contrast_std * sine[:, j]
            slopes[6 + j, :, j] = scale * beliefs.offset_std
        return mean, variance, slopes, by_mean

    def draw(self, x: Array, shots: int, rng: np.random.Generator) -> Array:
        """Counts (shots, 4) of the same Gaussians, at common phases drawn uniformly."""
        theta, self.theta = self.theta, rng.uniform(0.0, 2.0 * math.pi, shots)
        mean, variance = self.moments(x)[:2]
        self.theta = theta
        drawn: Array = mean + np.sqrt(variance) * rng.standard_normal(mean.shape)
        return drawn
