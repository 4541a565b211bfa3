"""The highest maximum of an ellipse posterior: scan, starts, scoring from the best of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .detector_comb import detector_starts
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_posterior import LEAST_OUTLIERS, EllipsePosterior, ShotLikelihood
from .ellipse_starts import EllipseFit, fit_geometric
from .likelihood_table import TableLikelihood
from .scoring import Optimum, maximise, maximise_strictly

Array = NDArray[np.float64]

_SCAN_STEP = 0.3  # of 1/sqrt(quantum Fisher information)
_GEOMETRIC_SHOTS = 200
_SCAN_SHOTS = 400
_SEARCH_SHOTS = 10_000
_RING_SHOTS = 200
_STARTS = 4
_FIRST_STEPS, _HELD_STEPS = 6, 4
_HOPELESS = 30.0  # log-likelihood behind the best after the first steps
_NEAR_HELD = 9.0  # of two maxima, one of which has nuisances held
_MANY_STRAYS = 0.1  # share of stray shots that is doubted
_STRICT_STEPS = 30
_LOCAL_SCAN_ABOVE = 100.0  # spin
_LOCAL_REACH = 40  # scan steps


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """The optimum, the starts that were followed, and the geometric fit."""

    optimum: Optimum
    starts: int
    evaluations: int
    geometric: EllipseFit


def search(
    posterior: EllipsePosterior,
    likelihood: ShotLikelihood,
    beliefs: EllipseBeliefs,
    counts: Array,
) -> Search:
    """Two stages: scan of the phase at believed nuisances, then scoring from the best maxima.

    Of very many shots the maxima are sought with a part, and the best one refined with all.
    """
    stride = math.ceil(len(counts) / _SEARCH_SHOTS)
    if stride > 1:
        part = counts[::stride]
        few = EllipsePosterior(likelihood, beliefs, part)
        early = search(few, likelihood, beliefs, part)
        optimum = maximise(posterior, early.optimum.point.x)
        return Search(
            optimum, early.starts, early.evaluations + optimum.iterations, early.geometric
        )
    geometric = geometric_start(beliefs, counts)
    phases = _scan_phases(beliefs, likelihood, geometric)
    most = _SCAN_SHOTS if likelihood.resolves_atoms else _RING_SHOTS
    if likelihood.resolves_atoms and not posterior.directions.shape[1]:
        most = len(counts)  # all shots are folded anyway, and only once
    subset = slice(None, None, max(1, len(counts) // most))
    candidates: list[tuple[float, Array]] = []
    for nuisances, penalty in detector_starts(posterior, likelihood, beliefs, counts, phases):
        totals = posterior.scan(phases, nuisances, subset) - penalty
        for top in _local_maxima(totals):
            candidates.append((float(totals[top]), posterior.start(phases[top], nuisances)))
    candidates.sort(key=lambda pair: -pair[0])
    starts = [x for _, x in candidates[:_STARTS]]
    if geometric.usable:
        starts.append(posterior.start(geometric.phase))
    cheap, held = _cheaper(posterior, likelihood, beliefs, counts)
    steps = _FIRST_STEPS if cheap is posterior else _HELD_STEPS
    first = [maximise(cheap, x, iterations=steps) for x in starts]
    evaluations = sum(found.iterations for found in first)
    best = max(found.point.value for found in first)
    followed: list[Optimum] = []
    for found in sorted(first, key=lambda optimum: -optimum.point.value):
        if found.point.value < best - _HOPELESS or _reached(found, followed, held):
            continue
        done = found.converged and cheap is posterior
        last = found if done else maximise(posterior, found.point.x)
        evaluations += last.iterations
        followed.append(last)
    top_optimum = max(followed, key=lambda optimum: optimum.point.value)
    if top_optimum.point.x[-1] > _MANY_STRAYS:
        top_optimum, spent = _without_strays(posterior, starts, top_optimum)
        evaluations += spent
    return Search(top_optimum, len(starts), evaluations, geometric)


def _without_strays(
    posterior: EllipsePosterior, starts: list[Array], best: Optimum
) -> tuple[Optimum, int]:
    """The best optimum when no shot may be stray until the nuisances have come near.

    A gain two standard deviations off puts most shots of a large ensemble outside the narrow
    ring: scoring may then rather call them all stray than move the gain, and stays there.
    """
    strict = [np.append(x[:-1], LEAST_OUTLIERS) for x in reversed(starts)]  # geometric one first
    return maximise_strictly(posterior, strict, best, iterations=_STRICT_STEPS, enough=_MANY_STRAYS)


def geometric_start(beliefs: EllipseBeliefs, counts: Array) -> EllipseFit:
    """Geometric fit of the believed atom fractions, on a subset of evenly spaced shots."""
    stride = max(1, len(counts) // _GEOMETRIC_SHOTS)
    fractions = (counts[::stride] - beliefs.background) / (beliefs.gain * beliefs.atoms)
    fractions = np.clip(fractions, -0.5, 1.5)
    return fit_geometric(fractions[:, 0], fractions[:, 1])


def _scan_phases(
    beliefs: EllipseBeliefs, likelihood: ShotLikelihood, geometric: EllipseFit
) -> Array:
    """All of [0, pi/2] where one fold serves every phase, else the surroundings of the start."""
    step = _SCAN_STEP * likelihood.fringe_scale
    if not likelihood.resolves_atoms:
        around = geometric.phase + np.arange(-6, 7) * 4.0 * step
        everywhere = np.linspace(0.0, math.pi / 2.0, 21)
        phases: Array = np.unique(np.concatenate([everywhere, around])).astype(np.float64)
        return phases[(phases >= 0.0) & (phases <= math.pi / 2.0)]
    if beliefs.spin <= _LOCAL_SCAN_ABOVE:
        steps = max(60, math.ceil(math.pi / 2.0 / step))
        return np.linspace(0.0, math.pi / 2.0, steps + 1)
    near = geometric.phase + step * np.arange(-_LOCAL_REACH, _LOCAL_REACH + 1.0)
    return near[(near > 0.0) & (near < math.pi / 2.0)]


def _local_maxima(values: Array) -> list[int]:
    """Indices of local maxima, ends included."""
    padded = np.concatenate([[-np.inf], values, [-np.inf]])
    inner = padded[1:-1]
    return [int(i) for i in np.flatnonzero((inner >= padded[:-2]) & (inner > padded[2:]))]


def _cheaper(
    posterior: EllipsePosterior, likelihood: ShotLikelihood, beliefs: EllipseBeliefs, counts: Array
) -> tuple[EllipsePosterior, Array]:
    """A posterior for the first steps, and the directions of x that it cannot take, as columns.

    Delta/Omega and pulse area move no maximum into another: they wait for the last steps.
    """
    quick = likelihood.believed_state if isinstance(likelihood, TableLikelihood) else None
    if quick is None:
        return posterior, np.zeros((posterior.lower.size, 0))
    _, sizes, vectors = np.linalg.svd(posterior.directions[2:])
    rank = int(np.sum(sizes > 1e-12 * max(float(sizes.max(initial=0.0)), 1e-300)))
    free = vectors[rank:].T
    held = np.zeros((posterior.lower.size, free.shape[1]))
    held[1:-1] = free
    return EllipsePosterior(quick, beliefs, counts), held


def _reached(found: Optimum, followed: list[Optimum], held: Array) -> bool:
    """Whether a followed optimum is already where this one is going, whatever was held."""
    for other in followed:
        information = other.point.information
        gap = found.point.x - other.point.x
        if held.shape[1]:
            pull = held.T @ information
            gap = gap - held @ np.linalg.solve(pull @ held, pull @ gap)
        distance = float(gap @ information @ gap)
        near = 1.0 if not held.shape[1] else _NEAR_HELD
        if distance < near and found.point.value <= other.point.value + 1e-6:
            return True
    return False
