"""Posterior of three or more parameters by weighted particles (Liu & West 2001).

Particles are moved only when the weights have become uneven: each is drawn towards the mean
by a factor a and jittered by (1 - a^2) times the covariance, so that mean and covariance
stay what they were. Parameters that must lie in a box are carried there by the caller's
choice of coordinates (logarithms).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SHRINK = 0.9  # nearer to 1 a narrow likelihood leaves too few distinct particles
_UNEVEN = 0.5  # effective share of particles below which they are redrawn


class ParticlePosterior:
    """Weighted particles in d dimensions.

    Args:
        particles: (number, d) draws from the prior.
        rng: for redrawing.
        shrink: a of Liu and West.

    Raises:
        ValueError: on fewer than 100 particles, or ones that are not finite.
    """

    def __init__(self, particles: Array, rng: np.random.Generator, shrink: float = _SHRINK) -> None:
        start = np.array(particles, dtype=np.float64)
        if start.ndim != 2 or len(start) < 100 or not np.all(np.isfinite(start)):
            raise ValueError(
                "Argument `particles` must hold at least 100 finite rows, "
                f"but has shape {start.shape}."
            )
        if not 0.0 < shrink < 1.0:
            raise ValueError(f"Argument `shrink` must lie in (0, 1), but is {shrink!r}.")
        self._particles, self._rng, self._shrink = start, rng, shrink
        self._log_weights = np.zeros(len(start))
        self.redraws = 0

    @property
    def particles(self) -> Array:
        """(number, d) as they are now."""
        return self._particles

    @property
    def weights(self) -> Array:
        """(number,) normalised."""
        weights = np.exp(self._log_weights - self._log_weights.max())
        normalised: Array = weights / weights.sum()
        return normalised

    @property
    def effective(self) -> float:
        """Effective number of particles, 1/sum w^2."""
        return 1.0 / float(np.sum(self.weights**2))

    def absorb(self, log_likelihood: Callable[[Array], Array]) -> None:
        """Weigh by a block of shots, in tempered steps where the block is very informative.

        Args:
            log_likelihood: (number, d) particles to (number,) summed log-likelihoods.
        """
        left = 1.0
        while left > 1e-12:
            logs = np.nan_to_num(log_likelihood(self._particles), nan=-1e300)
            share = self._affordable(logs, left)
            self._log_weights = self._log_weights + share * logs
            left -= share
            if self.effective < _UNEVEN * len(self._particles):
                self._redraw()

    def mean(self) -> Array:
        """(d,) posterior mean."""
        mean: Array = self.weights @ self._particles
        return mean

    def covariance(self) -> Array:
        """(d, d) posterior covariance."""
        off = self._particles - self.mean()
        covariance: Array = (off * self.weights[:, None]).T @ off
        return covariance

    def interval(self, column: int, level: float) -> tuple[float, float]:
        """Equal-tailed interval of one parameter."""
        order = np.argsort(self._particles[:, column])
        summed = np.cumsum(self.weights[order])
        values = self._particles[order, column]
        tail = 0.5 * (1.0 - level)
        low, high = np.interp([tail, 1.0 - tail], summed, values)
        return float(low), float(high)

    def _affordable(self, logs: Array, left: float) -> float:
        """Largest share of the log-likelihood that leaves a fifth of the particles effective."""
        least = 0.2 * len(self._particles)
        share = left
        for _ in range(40):
            trial = self._log_weights + share * logs
            weights = np.exp(trial - trial.max())
            if float(weights.sum()) ** 2 / float(np.sum(weights**2)) >= least:
                return share
            share *= 0.5
        return share

    def _redraw(self) -> None:
        """Systematic resampling, then the shrunken kernel of Liu and West."""
        weights, mean, covariance = self.weights, self.mean(), self.covariance()
        number = len(weights)
        places = (np.arange(number) + self._rng.random()) / number
        chosen = np.minimum(np.searchsorted(np.cumsum(weights), places), number - 1)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        noise = self._rng.standard_normal((number, len(mean))) @ root.T
        spread = math.sqrt(1.0 - self._shrink**2)
        moved = self._shrink * self._particles[chosen] + (1.0 - self._shrink) * mean
        self._particles = moved + spread * noise
        self._log_weights = np.zeros(number)
        self.redraws += 1
