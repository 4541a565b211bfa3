r"""Gaussian likelihood of counts after holds, and its goodness of fit.

Shots of one hold with mean mu and covariance V enter by their mean ybar and their scatter,

    ybar ~ N(mu, V/n + D),        (n - 1) S/(n - 1) about V, with fewer degrees of freedom,

D what the model itself may be wrong by, the same in every shot, and the degrees of freedom of the
scatter reduced to (n - 1)/(1 + (n - 1) c^2/2), where c is the relative error of V.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .estimate import GoodnessOfFit
from .pumping_check import residual_test
from .pumping_posterior import Coordinates
from .relaxation_check import groups_of
from .relaxation_clouds import Allowance, CountMoments
from .scoring import Optimum, Point

Array = NDArray[np.float64]

_TEST = "means, variances and correlations of the counts by hold, and the calibrations"


@dataclass(frozen=True, slots=True, eq=False)
class HoldSums:
    """Shots of each hold.

    Attributes:
        holds: (T,) rising.
        shots: (T,).
        mean: (T, d).
        scatter: (T, d, d), summed products of deviations from the mean.
    """

    holds: Array
    shots: Array
    mean: Array
    scatter: Array

    @classmethod
    def of(cls, rows: Array) -> HoldSums:
        """From rows (shots, 1 + d): hold, then counts; sorted first, so that no order matters."""
        rows = rows[np.lexsort(rows.T[::-1])]
        holds, first, shots = np.unique(rows[:, 0], return_index=True, return_counts=True)
        counts = rows[:, 1:]
        mean = np.add.reduceat(counts, first, axis=0) / shots[:, None]
        off = counts - np.repeat(mean, shots, axis=0)
        scatter = np.add.reduceat(off[:, :, None] * off[:, None, :], first, axis=0)
        return cls(holds, shots.astype(np.float64), mean, scatter)

    def kept(self, mask: NDArray[np.bool_]) -> HoldSums:
        """Some of the holds."""
        return HoldSums(self.holds[mask], self.shots[mask], self.mean[mask], self.scatter[mask])


class GaussianPosterior:
    """Log-likelihood of the sums plus log-prior, for the scoring engine."""

    def __init__(
        self,
        coordinates: Coordinates,
        model: Callable[[Array, Array], CountMoments],
        sums: HoldSums,
        allowed: Allowance,
    ) -> None:
        self.coordinates, self._model, self._sums, self._allowed = (
            coordinates,
            model,
            sums,
            allowed,
        )
        self.lower, self.upper = coordinates.lower, coordinates.upper
        rest = sums.shots - 1.0
        self._freedom = rest / (1.0 + 0.5 * rest * allowed.relative**2)

    def evaluate(self, x: Array) -> Point:
        """Log posterior, gradient, expected information plus the prior's."""
        sums, moments = self._sums, self._model(x, self._sums.holds)
        with np.errstate(invalid="ignore"):
            value, gradient, information = self._likelihood(sums, moments)
        return self.coordinates.with_prior(x, value, gradient, information)

    def _likelihood(self, sums: HoldSums, moments: CountMoments) -> tuple[float, Array, Array]:
        n, freedom = sums.shots, self._freedom
        single = moments.covariance + self._allowed.spread
        whole = single / n[:, None, None] + self._allowed.mean
        if not (np.isfinite(single).all() and _firm(single) and _firm(whole)):
            size = self.lower.size
            return -np.inf, np.zeros(size), np.zeros((size, size))
        off = sums.mean - moments.mean
        inverse, inner = np.linalg.inv(whole), np.linalg.inv(single)
        pull = np.einsum("tij,tj->ti", inverse, off)
        seen = sums.scatter / np.maximum(n - 1.0, 1.0)[:, None, None]
        turned = np.einsum("tij,tjk->tik", inner, seen)
        value = -0.5 * float(
            np.sum(np.linalg.slogdet(whole)[1])
            + np.sum(off * pull)
            + freedom @ np.linalg.slogdet(single)[1]
            + freedom @ np.einsum("tii->t", turned)
        )
        by, by_single = moments.mean_slopes, moments.covariance_slopes
        by_whole = by_single / n[:, None, None]
        left = np.einsum("tij,ktjl->ktil", inverse, by_whole)
        within = np.einsum("tij,ktjl->ktil", inner, by_single)
        gradient = (
            np.einsum("kti,ti->k", by, pull)
            + 0.5 * np.einsum("ti,ktij,tj->k", pull, by_whole, pull)
            - 0.5 * np.einsum("ktii->k", left)
            + 0.5 * np.einsum("t,ktij,tji->k", freedom, within, turned)
            - 0.5 * np.einsum("t,ktii->k", freedom, within)
        )
        information = (
            np.einsum("kti,tij,ltj->kl", by, inverse, by, optimize=True)
            + 0.5 * np.einsum("ktij,ltji->kl", left, left, optimize=True)
            + 0.5 * np.einsum("t,ktij,ltji->kl", freedom, within, within, optimize=True)
        )
        return value, gradient, information

    def check(self, optimum: Optimum) -> GoodnessOfFit | None:
        """Chi-square of the whitened means and second moments of groups of like holds."""
        sums, allowed, x = self._sums, self._allowed, optimum.point.x
        groups = groups_of(sums.shots)
        if groups is None:
            return None
        moments = self._model(x, sums.holds)
        n = sums.shots
        root = np.linalg.inv(np.linalg.cholesky(moments.covariance + allowed.spread))
        white = np.swapaxes(root, 1, 2)
        off = sums.mean - moments.mean
        first = n[:, None] * np.einsum("tij,tj->ti", root, off)
        about = sums.scatter + n[:, None, None] * off[:, :, None] * off[:, None, :]
        size = off.shape[1]
        upper = np.triu_indices(size)
        eye = np.eye(size)
        second = (root @ about @ white - n[:, None, None] * eye)[:, upper[0], upper[1]]
        members = (groups[None, :] == np.arange(groups.max() + 1)[:, None]).astype(np.float64)
        seen = np.ones((n.size, size))
        seen[:, 2:] = allowed.lit[:, None]
        seen = np.hstack([seen, seen[:, upper[0]] * seen[:, upper[1]]])
        shared = root @ allowed.mean @ white
        by = np.einsum("t,tij,ktj->tik", n, root, moments.mean_slopes)
        by_second = np.einsum("t,ktij->tijk", n, root @ moments.covariance_slopes @ white)
        by_second = by_second[:, upper[0], upper[1]]
        noise, weight = [], 1.0 + eye[upper]
        width = size + weight.size
        for row in members:
            block = np.zeros((width, width))
            block[:size, :size] = np.diag((row * n) @ seen[:, :size])
            block[:size, :size] += np.einsum("t,tij->ij", row * n**2, shared)
            spread = weight * ((row * (n + n**2 * allowed.relative**2)) @ seen[:, size:])
            extra = np.einsum("t,tii->ti", row * n**2, shared)[:, upper[0]].sum(axis=0)
            block[size:, size:] = np.diag(spread + 2.0 * extra)
            noise.append(block)
        whole = np.zeros((len(members) * width, len(members) * width))
        for number, block in enumerate(noise):
            part = slice(number * width, (number + 1) * width)
            whole[part, part] = block
        both = np.concatenate([first, second], axis=1) * seen
        flat = (members @ both).ravel()
        slopes = np.concatenate([by, by_second], axis=1) * seen[:, :, None]
        design: Array = np.einsum("gt,tak->gak", members, slopes).reshape(flat.size, -1)
        told = (members @ seen).ravel() > 0.0  # light that is left out tells nothing
        scale = np.sqrt(self.coordinates.weight)
        held = scale > 0.0
        return residual_test(
            flat[told],
            whole[np.ix_(told, told)],
            design[told],
            optimum.covariance,
            (scale * (x - self.coordinates.centre))[held],
            np.diag(scale)[held],
            _TEST,
        )


def _firm(matrices: Array) -> bool:
    """Whether every matrix is positive definite."""
    return bool((np.linalg.eigvalsh(matrices)[:, 0] > 0.0).all())
