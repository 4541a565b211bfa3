"""Cramer-Rao bound of an ellipse of independent atoms, by sums over binned outcomes.

Written apart from the estimator's likelihoods: outcome probabilities are sums of distribution
functions over bins narrower than the noise, derivatives are differences of probabilities.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm

from .binomial_beliefs import CommonPhase, EllipseAtoms

Array = NDArray[np.float64]

_BIN = 0.2  # of the narrowest noise
_JITTER = 11
_STEPS = (1e-4, 1e-4, 1e-4, 1e-4, 1e-4, 1e-3, 1e-2)  # phi, C1, C2, b1, b2, noise, jitter


def ellipse_atoms_bounds(
    truth: EllipseAtoms,
    phase: float,
    shots: int,
    *,
    binomial: bool | None = None,
    common_phase: CommonPhase | None = None,
) -> float:
    """Least standard deviation of phi, radians, all that is free or calibrated included.

    Args:
        truth: values of all parameters; standard deviations say what is free.
        phase: phi, radians; at a fold itself the bound does not exist.
        shots: number of shots.
        binomial: whole atom numbers; None: where there is neither noise nor gain.
        common_phase: None: uniform.

    Raises:
        ValueError: at a fold, or below one shot.
    """
    if shots < 1:
        raise ValueError(f"Argument `shots` must be at least 1, but is {shots!r}.")
    information = _information(truth, phase, binomial, common_phase)
    std = truth.standard_deviations
    # noise and jitter are differentiated as standard deviations, the bound of phi is the same
    kept = np.concatenate([[0], 1 + np.flatnonzero(std > 0.0)])
    prior = np.concatenate([[0.0], std[std > 0.0] ** -2.0])
    total = shots * information[np.ix_(kept, kept)] + np.diag(prior)
    if total[0, 0] <= 1e-9 * shots:
        raise ValueError(
            "Argument `phase` must lie off the folds 0 and pi/2, where the shots carry no "
            f"information, but is {phase!r}."
        )
    return math.sqrt(float(np.linalg.inv(total)[0, 0]))


def _information(
    truth: EllipseAtoms, phase: float, binomial: bool | None, common: CommonPhase | None
) -> Array:
    """(7, 7) information of one shot."""
    if binomial is None:
        binomial = not (truth.noise or truth.noise_free or truth.gain)
    point = np.array([phase, *truth.contrasts, *truth.offsets, truth.noise, truth.jitter])
    table = _table(truth, point, binomial, common)
    seen = table > 1e-14
    slopes = []
    for index, relative in enumerate(_STEPS):
        step = relative * (max(1.0, float(point[index])) if index == 5 else 1.0)
        step = min(step, 0.02 * phase) if index == 0 else step
        up, down = point.copy(), point.copy()
        up[index] += step
        down[index] -= step
        if index in (1, 2) and up[index] > 1.0:
            up[index] = point[index]
        if index >= 5 and down[index] < 0.0:
            down[index] = point[index]
        change = _table(truth, up, binomial, common) - _table(truth, down, binomial, common)
        slopes.append((change / (up[index] - down[index]))[seen] / np.sqrt(table[seen]))
    scaled = np.stack(slopes)
    information: Array = scaled @ scaled.T
    return information


def _table(truth: EllipseAtoms, point: Array, binomial: bool, common: CommonPhase | None) -> Array:
    """Probabilities of pairs of bins."""
    phase, c1, c2, b1, b2, noise, jitter = point
    theta, weight = _angles(truth, common)
    roots, shares = np.polynomial.hermite_e.hermegauss(_JITTER if jitter > 0.0 else 1)
    total: Array | None = None
    for root, share in zip(roots, shares / shares.sum(), strict=True):
        own = phase + jitter * root
        p1 = b1 + 0.5 * c1 * np.sin(own + theta)
        p2 = b2 + 0.5 * c2 * np.sin(own - theta)
        first = _bins(truth, 0, p1, float(noise), binomial)
        second = _bins(truth, 1, p2, float(noise), binomial)
        part = share * (first * weight) @ second.T
        total = part if total is None else total + part
    return np.zeros((0, 0)) if total is None else total


def _bins(truth: EllipseAtoms, port: int, p: Array, noise: float, binomial: bool) -> Array:
    """(bins, angles) probabilities of one port."""
    number = truth.atoms[port]
    p = np.clip(p, 1e-12, 1.0 - 1e-12)
    if binomial:
        step = max(1, int(_BIN * 0.5 * math.sqrt(number)))
        whole = np.arange(-1, number + step, step)
        return np.diff(binom.cdf(whole[:, None], number, p[None, :]), axis=0)
    edges = _edges(truth, port)
    spread = _spread(truth, port, p, noise)
    return np.diff(norm.cdf((edges[:, None] - number * p) / spread), axis=0)


def _spread(truth: EllipseAtoms, port: int, p: Array, noise: float) -> Array:
    """Standard deviation of the atom number that is read, at every p."""
    number, gain = truth.atoms[port], truth.gain
    counting = 0.0 if gain is None else (gain * number * p + truth.background) / gain**2
    spread: Array = np.sqrt(number * p * (1.0 - p) + counting + noise**2 + 1.0 / 12.0)
    return spread


def _edges(truth: EllipseAtoms, port: int) -> Array:
    """Edges of bins, from the truth alone: the same for every step of a derivative."""
    half = 0.5 * truth.contrasts[port]
    p = np.clip(truth.offsets[port] + half * np.linspace(-1.0, 1.0, 101), 1e-12, 1.0 - 1e-12)
    spread = _spread(truth, port, p, truth.noise)
    reach = 6.0 * float(spread.max())
    width = _BIN * min(0.5 * math.sqrt(truth.atoms[port]), 2.0 * float(spread.min()))
    return np.arange(-reach, truth.atoms[port] + reach + width, width)


def _angles(truth: EllipseAtoms, common: CommonPhase | None) -> tuple[Array, Array]:
    count = max(128, math.ceil(9.0 * math.sqrt(max(truth.atoms))))
    if common is None:
        return 2.0 * math.pi * (np.arange(count) + 0.25) / count, np.full(count, 1.0 / count)
    grid = np.linspace(-7.0 * common.std, 7.0 * common.std, max(count, 201))
    weight = norm.pdf(grid / common.std)
    return common.mean + grid, weight / weight.sum()
