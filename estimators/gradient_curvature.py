"""Gradient and curvature of a field from four ensembles under one random common phase."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm

from .estimate import Estimate, GoodnessOfFit, Quantity
from .fringe_check import NO_FRINGE, without_fringe
from .gradient_curvature_model import ENSEMBLES, FourEnsembleBeliefs, FourEnsembleLikelihood
from .records import RecordError, read_counts, refuse_beyond, refuse_unknown
from .scoring import Optimum, maximise, profile_limit

Array = NDArray[np.float64]

FEWEST_SHOTS = 20
_STARTS = 3
_GRID_STEP = 0.14  # radians of g and k between the points of the first search
_SEARCH_SHOTS = 60  # that the first search uses
_SEARCH_NODES = 36
_CHECK_SHOTS = 2000
_APART, _RIVAL = 5.0, 6.0
_FIRST_STEPS, _BEHIND = 10, 30.0


class GradientCurvature:
    """g and k of phi_j = bias_j + g (3, 1, -1, -3)_j/2 + k (1, -1, -1, 1)_j.

    Args:
        beliefs: ensembles, detector, bias phases, range of the search.
        rng: source of the simulated shots of the check of the fit.
    """

    def __init__(self, beliefs: FourEnsembleBeliefs, rng: np.random.Generator) -> None:
        self.beliefs = beliefs
        self._seed = int(rng.integers(2**63))
        self._blocks: list[Array] = []
        self._rejected = 0

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, 4), status.

        Raises:
            RecordError: on what cannot be used.
        """
        refuse_unknown(records, ("counts",))
        counts, rejected = read_counts(records, ENSEMBLES)
        beliefs = self.beliefs
        refuse_beyond(counts, beliefs.atoms * beliefs.gain + beliefs.background)
        self._blocks.append(counts)
        self._rejected += rejected

    def estimate(self, level: float = 0.95) -> Estimate:
        """gradient and curvature, radians.

        Raises:
            RecordError: on fewer than `FEWEST_SHOTS` shots.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"Argument `level` must lie in (0, 1), but is {level!r}.")
        shots = sum(len(block) for block in self._blocks)
        if shots < FEWEST_SHOTS:
            raise RecordError(
                f"Records must hold at least {FEWEST_SHOTS} good shots, but hold {shots}."
            )
        likelihood = FourEnsembleLikelihood(self.beliefs, np.concatenate(self._blocks))
        found = _maxima(likelihood)
        best = max(found, key=lambda optimum: optimum.point.value)
        check = _check(likelihood, best, self._seed)
        flags = [] if best.converged else ["the fit did not converge"]
        reason = self._refusal(likelihood, best)
        drop = 0.5 * float(chi2.ppf(level, 1))
        quantities, covariance = {}, best.covariance[:2, :2]
        for index, name in enumerate(("gradient", "curvature")):
            quantities[name] = (
                self._whole(level)
                if reason
                else self._quantity(likelihood, best, found, index, name, level, drop, flags)
            )
        if reason:
            flags = [f"not determined: {reason}"]
            covariance = np.diag([q.std**2 for q in quantities.values()])
        return Estimate(
            estimator="gradient and curvature",
            shots=shots,
            quantities=quantities,
            names=("gradient", "curvature"),
            covariance=covariance,
            goodness_of_fit=check,
            diagnostics={
                "contrasts": self.beliefs.contrast
                + self.beliefs.contrast_std * best.point.x[2 : 2 + ENSEMBLES],
                "nodes": self.beliefs.nodes,
                "log_likelihood": best.point.value,
                "rejected": self._rejected,
                "flags": tuple(flags),
            },
            assumptions=(
                "common phase uniform and shared; independent atoms; Gaussian counts",
                "contrasts and offsets free within their calibrations; gain and background known",
                f"bias phases {self.beliefs.bias}",
            ),
            identifiable=(-self.beliefs.reach, self.beliefs.reach),
        )

    def _refusal(self, likelihood: FourEnsembleLikelihood, best: Optimum) -> str:
        """Why the shots determine neither number; "" when they may."""
        b = self.beliefs
        value = best.point.value
        if without_fringe(likelihood.counts, (b.atoms, b.gain, b.background), value):
            return NO_FRINGE
        low = np.flatnonzero(~best.free[2 : 2 + ENSEMBLES])
        if low.size:
            reached = b.contrast + b.contrast_std * float(best.point.x[2 + low[0]])
            return (
                f"the contrast of ensemble {low[0] + 1} goes beyond {reached:.3g}, against "
                f"{b.contrast:.3g} +- {b.contrast_std:.2g} believed"
            )
        return ""

    def _whole(self, level: float) -> Quantity:
        reach = self.beliefs.reach
        return Quantity(0.0, reach / math.sqrt(3.0), (-reach, reach), level, "rad")

    def _quantity(
        self,
        likelihood: FourEnsembleLikelihood,
        best: Optimum,
        found: list[Optimum],
        index: int,
        name: str,
        level: float,
        drop: float,
        flags: list[str],
    ) -> Quantity:
        value = float(best.point.x[index])
        std = math.sqrt(float(best.covariance[index, index])) or self.beliefs.reach
        ends = []
        for side in (-1, 1):
            end, bounded, _ = profile_limit(likelihood, best, index, side, drop)
            ends.append(end)
            if bounded:
                flags.append(f"{name} is open toward the bound {end:.3g} of the search")
        rivals = [
            float(other.point.x[index])
            for other in found
            if other.point.value > best.point.value - _RIVAL
            and abs(other.point.x[index] - value) > _APART * std
        ]
        if rivals:
            flags.append(f"{name} is ambiguous: {rivals[0]:.4g} fits as well as {value:.4g}")
            ends = [min(ends[0], *rivals), max(ends[1], *rivals)]
        return Quantity(value, std, (min(ends[0], value), max(ends[1], value)), level, "rad")


def gradient_curvature_bounds(
    beliefs: FourEnsembleBeliefs,
    gradient: float,
    curvature: float,
    shots: int,
    rng: np.random.Generator,
    draws: int = 20_000,
) -> Array:
    """(2, 2) covariance bound of (g, k), contrasts and offsets free within their calibrations.

    The expected information is the average of squared slopes of the log-density over simulated
    shots; slopes by central differences, independent of the fit's analytic scores.
    """
    truth = np.concatenate([[gradient, curvature], np.zeros(2 * ENSEMBLES)])
    counts = FourEnsembleLikelihood(beliefs, np.zeros((1, ENSEMBLES))).draw(truth, draws, rng)
    likelihood = FourEnsembleLikelihood(beliefs, counts)
    columns = []
    for index in range(truth.size):
        step = np.zeros(truth.size)
        step[index] = 1e-4 if index < 2 else 1e-3
        ends = [likelihood.shots(truth + sign * step)[0] for sign in (1.0, -1.0)]
        columns.append((ends[0] - ends[1]) / (2.0 * step[index]))
    scores = np.column_stack(columns)
    prior = np.concatenate([np.zeros(2), np.ones(2 * ENSEMBLES)])
    information = shots * (scores.T @ scores) / draws + np.diag(prior)
    bound: Array = np.asarray(np.linalg.inv(information)[:2, :2], dtype=np.float64)
    return bound


def _maxima(likelihood: FourEnsembleLikelihood) -> list[Optimum]:
    """Maxima from the best starts; those left far behind after a few steps are dropped."""
    first = [maximise(likelihood, s, iterations=_FIRST_STEPS) for s in _starts(likelihood)]
    best = max(optimum.point.value for optimum in first)
    return [
        optimum if optimum.converged else maximise(likelihood, optimum.point.x)
        for optimum in first
        if optimum.point.value > best - _BEHIND
    ]


def _starts(likelihood: FourEnsembleLikelihood) -> list[Array]:
    """The best separate points of a grid in g and k, on some of the shots."""
    beliefs = likelihood.beliefs
    few = FourEnsembleLikelihood(beliefs, likelihood.counts[:_SEARCH_SHOTS])
    few.theta = 2.0 * math.pi * np.arange(_SEARCH_NODES) / _SEARCH_NODES
    axis = np.linspace(-1.0, 1.0, 2 * math.ceil(beliefs.reach / _GRID_STEP) + 1) * beliefs.reach
    rest, features = np.zeros(2 * ENSEMBLES), few.features(few.counts)
    rows = []
    for g in axis:
        for k in axis:
            x = np.concatenate([[g, k], rest])
            mean, variance = few.moments(x)[:2]
            wide = variance + (0.5 * _GRID_STEP * beliefs.gain * beliefs.atoms * 0.5) ** 2
            exponent = features @ few.exponents(mean, wide).T
            top = exponent.max(axis=1)
            value = float(np.sum(top + np.log(np.exp(exponent - top[:, None]).sum(axis=1))))
            rows.append((value, g, k))
    rows.sort(key=lambda row: -row[0])
    kept: list[Array] = []
    for _, g, k in rows:
        if all(math.hypot(g - x[0], k - x[1]) > 2.5 * _GRID_STEP for x in kept):
            kept.append(np.concatenate([[g, k], rest]))
        if len(kept) == _STARTS:
            break
    return kept


def _check(likelihood: FourEnsembleLikelihood, best: Optimum, seed: int) -> GoodnessOfFit | None:
    """Mean log-density of the shots against that of shots simulated at the fit.

    Fitting raises it by half of the number of parameters over the shots.
    """
    x, shots = best.point.x, len(likelihood.counts)
    drawn = likelihood.draw(x, _CHECK_SHOTS, np.random.default_rng(seed))
    expected = FourEnsembleLikelihood(likelihood.beliefs, drawn).shots(x)[0]
    seen = likelihood.shots(x)[0]
    determined = float(np.sum(1.0 - np.diag(best.covariance)[2:].clip(0.0, 1.0))) + 2.0
    gap = float(seen.mean() - expected.mean()) - 0.5 * determined / shots
    error = float(expected.std()) * math.sqrt(1.0 / shots + 1.0 / _CHECK_SHOTS)
    score = gap / error
    return GoodnessOfFit(score, 2.0 * float(norm.sf(abs(score))), 1, "mean log-density")
