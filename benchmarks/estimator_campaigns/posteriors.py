"""Rows of the grid and particle posteriors: a fringe of few atoms, beside fits, plain particles.

p = b + (C/2) sin(phi + bias) at even biases, 20 atoms a shot, counted without noise. On the grid
one or two of (phi, C) are unknown; the particles learn all three, a block of shots at a time.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit
from scipy.stats import binom

from cavitylab.estimators import Axis, Estimate, GridPosterior, OutcomeTable, ParticlePosterior
from cavitylab.estimators.estimate import Quantity

from .campaign import Campaign, Records

Array = NDArray[np.float64]

ATOMS, BIASES = 20, 8
BIAS = 2.0 * math.pi * np.arange(BIASES) / BIASES
TRUTH = np.array([0.4, 0.8, 0.5])  # phi, C, b
CENTRE, SPREAD = np.array([0.6, 0.7, 0.5]), np.array([0.5, 0.2, 0.1])  # of the particles' prior
PARTICLES, BLOCKS = 2000, 25
_LEAST = 1e-6


class Learner(Protocol):
    """A posterior that takes blocks."""

    def absorb(self, log_likelihood: Callable[[Array], Array]) -> None: ...


def _fringe(theta: Array) -> Array:
    """(..., biases) from (..., 3)."""
    phase, contrast, offset = np.moveaxis(np.asarray(theta)[..., None], -2, 0)
    p: Array = offset + 0.5 * contrast * np.sin(phase + BIAS)
    return p


def _draw(shots: int, rng: np.random.Generator) -> Records:
    """(shots, biases) atoms, and a seed for whoever needs random numbers."""
    counts = rng.binomial(ATOMS, _fringe(TRUTH), (shots // BIASES, BIASES))
    return {"counts": counts, "seed": int(rng.integers(2**60))}


def _information(shots: int) -> Array:
    """(3, 3) of all shots."""
    steps = 1e-5 * np.eye(3)
    slopes = np.stack([(_fringe(TRUTH + s) - _fringe(TRUTH - s)) / 2e-5 for s in steps])
    p = _fringe(TRUTH)
    weight = shots / BIASES * ATOMS / (p * (1.0 - p))
    information: Array = (slopes * weight) @ slopes.T
    return information


def _least_squares(free: int) -> Callable[[Records], float]:
    """The fringe fitted to the means."""

    def answer(records: Records) -> float:
        def law(_: Array, *theta: float) -> Array:
            return _fringe(np.array([*theta, *TRUTH[free:]]))

        share = np.asarray(records["counts"]).mean(axis=0) / ATOMS
        return float(curve_fit(law, BIAS, share, p0=[0.6, 0.7, 0.5][:free])[0][0])

    return answer


def _grid(axes: tuple[Axis, ...], shots: int) -> Campaign:
    """One table of outcomes for each bias."""

    @functools.cache
    def tables() -> list[OutcomeTable]:
        mesh = np.meshgrid(*(axis.points for axis in axes), indexing="ij")
        points = np.column_stack([column.ravel() for column in mesh])
        theta = np.column_stack([points, np.tile(TRUTH[len(axes) :], (len(points), 1))])
        outcomes = np.arange(ATOMS + 1.0)[:, None]
        return [OutcomeTable(np.asarray(binom.pmf(outcomes, ATOMS, p))) for p in _fringe(theta).T]

    def fit(records: Records, level: float = 0.95) -> Estimate:
        posterior = GridPosterior(axes)
        for table, seen in zip(tables(), np.asarray(records["counts"]).T, strict=True):
            posterior.absorb(table.log_likelihood(table.histogram(seen)))
        marginal = posterior.refined(0)
        return _answer("grid", shots, marginal.mean, marginal.std, marginal.interval(level), level)

    free = len(axes)
    bound = math.sqrt(np.linalg.inv(_information(shots)[:free, :free])[0, 0])
    return Campaign(
        f"grid posterior, {'phase' if free == 1 else 'phase and contrast'} of a fringe",
        f"N={ATOMS}, {BIASES} biases, {shots} shots",
        float(TRUTH[0]),
        lambda rng: _draw(shots, rng),
        fit,
        lambda _: bound,
        limit=1.1,
        coverage_limit=0.945,
        peers={"scipy curve_fit": _least_squares(free)},
        time_limit=0.01,
    )


def _log_likelihood(counts: Array) -> Callable[[Array], Array]:
    """Of a block (shots, biases), binomial factors left out; nothing outside [0, 1]."""
    up, total = counts.sum(axis=0), len(counts) * ATOMS

    def logs(theta: Array) -> Array:
        p = _fringe(theta)
        outside = np.any((p <= 0.0) | (p >= 1.0), axis=1)
        p = np.clip(p, _LEAST, 1.0 - _LEAST)
        found: Array = np.log(p) @ up + np.log1p(-p) @ (total - up)
        return np.where(outside, -1e300, found)

    return logs


class BootstrapFilter:
    """The textbook filter for parameters that do not move: weigh, draw again, no kernel."""

    def __init__(self, particles: Array, rng: np.random.Generator) -> None:
        self.particles, self._rng = particles, rng

    def absorb(self, log_likelihood: Callable[[Array], Array]) -> None:
        """Weigh by a block and draw as many particles again."""
        logs = log_likelihood(self.particles)
        weights = np.exp(logs - logs.max())
        chosen = self._rng.choice(len(weights), len(weights), p=weights / weights.sum())
        self.particles = self.particles[chosen]


def _prior(rng: np.random.Generator) -> Array:
    """Phase, contrast, offset; independent normal numbers."""
    particles: Array = CENTRE + SPREAD * rng.standard_normal((PARTICLES, 3))
    return particles


def _blocks(records: Records, learner: Learner) -> None:
    for block in np.array_split(np.asarray(records["counts"], dtype=float), BLOCKS):
        learner.absorb(_log_likelihood(block))


def _particles(shots: int) -> Campaign:
    def learned(records: Records) -> ParticlePosterior:
        rng = np.random.default_rng(records["seed"])
        posterior = ParticlePosterior(_prior(rng), rng)
        _blocks(records, posterior)
        return posterior

    def fit(records: Records, level: float = 0.95) -> Estimate:
        posterior = learned(records)
        std = math.sqrt(posterior.covariance()[0, 0])
        interval = posterior.interval(0, level)
        return _answer("particles", shots, float(posterior.mean()[0]), std, interval, level)

    def plain(records: Records) -> float:
        rng = np.random.default_rng([records["seed"], 1])
        filtered = BootstrapFilter(_prior(rng), rng)
        _blocks(records, filtered)
        return float(filtered.particles[:, 0].mean())

    bound = math.sqrt(np.linalg.inv(_information(shots) + np.diag(SPREAD**-2.0))[0, 0])
    return Campaign(
        "particle posterior, fringe of three parameters",
        f"N={ATOMS}, {BIASES} biases, {shots} shots, {BLOCKS} blocks",
        float(TRUTH[0]),
        lambda rng: _draw(shots, rng),
        fit,
        lambda _: bound,
        limit=1.1,
        coverage_limit=0.945,
        peers={"bootstrap filter": plain, "scipy curve_fit": _least_squares(3)},
        time_limit=0.006 * BLOCKS,
        replicates=400,
    )


def _answer(
    name: str,
    shots: int,
    value: float,
    std: float,
    interval: tuple[float, float],
    level: float,
) -> Estimate:
    """A posterior's numbers in the shape of every estimator."""
    return Estimate(
        name,
        shots,
        {"phase": Quantity(value, std, interval, level, "rad")},
        ("phase",),
        np.array([[std**2]]),
        None,
        {},
        ("atoms counted without noise",),
        (-math.pi, math.pi),
    )


def posteriors() -> list[Campaign]:
    """A phase, a phase with its contrast, and a fringe with three unknowns."""
    phase = Axis("phase", np.linspace(-0.6, 1.4, 401), "rad")
    coarse = Axis("phase", np.linspace(-0.6, 1.4, 161), "rad")
    contrast = Axis("contrast", np.linspace(0.4, 0.98, 59))
    return [
        _grid((phase,), 80),
        _grid((phase,), 800),
        _grid((coarse, contrast), 200),
        _particles(200),
        _particles(2000),
    ]
