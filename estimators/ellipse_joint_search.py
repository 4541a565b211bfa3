"""The highest maximum of several ellipses' posterior, and the interval that its rivals allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .binomial_beliefs import EllipseAtoms
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_joint_posterior import JointPosterior
from .ellipse_joint_strays import MANY_STRAYS, without_strays
from .ellipse_posterior import phase_of
from .ellipse_search import geometric_start
from .ellipse_starts import EllipseFit, fit_geometric
from .scoring import Optimum, Point, maximise, profile_limit

Array = NDArray[np.float64]
Beliefs = EllipseBeliefs | EllipseAtoms

_SCAN_SHOTS = 300
_GEOMETRIC_SHOTS = 400
_FIRST_STEPS = 8
_FOLLOW = 20.0  # log-likelihood behind the best after the first steps
_COARSE = 24
_FOLD_ZONE = 0.1
_LARGEST_CONTRAST = 1.2  # of a start that is believed


def search_joint(posterior: JointPosterior, settings: Sequence[Beliefs]) -> list[Optimum]:
    """Maxima of the posterior, the highest first; more than one where they are near rivals."""
    z, phases = _nuisance_start(posterior, settings)
    first = posterior.start(math.pi / 4.0, z)
    wanted = list(phases) if posterior.folded and not _resolves(posterior) else []
    if not wanted:
        grid = _grid(posterior)
        stride = 1 if _resolves(posterior) else max(1, posterior.shots // _SCAN_SHOTS)
        totals = posterior.scan(grid, first, stride)
        wanted = [float(grid[i]) for i in _tops(totals)[:6]] + wanted
    found: list[Optimum] = []
    for phase in wanted:
        optimum = maximise(posterior, posterior.start(phase, z), iterations=_FIRST_STEPS)
        found.append(optimum)
    best = max(optimum.point.value for optimum in found)
    done: list[Optimum] = []
    for optimum in sorted(found, key=lambda one: -one.point.value):
        if optimum.point.value < best - _FOLLOW:
            continue
        last = optimum if optimum.converged else maximise(posterior, optimum.point.x)
        if not any(abs(last.point.x[0] - other.point.x[0]) < 1e-3 for other in done):
            done.append(last)
    done.sort(key=lambda one: -one.point.value)
    if done[0].point.x[-1] > MANY_STRAYS:
        other = without_strays(posterior, settings, _grid(posterior), done[0])
        return done if other is done[0] else [other]
    return done


def profile_interval(
    posterior: JointPosterior, found: Sequence[Optimum], drop: float
) -> tuple[Optimum, tuple[float, float], int]:
    """The best optimum, the limits of phi, and how many maxima the limits span.

    Where another maximum lies within `drop`, the limits are the hull of both intervals.
    """
    optimum, best = found[0], found[0].point
    limits, seen = _limits(posterior, optimum, drop)
    for _ in range(2):
        if seen.value < optimum.point.value + 1e-3:
            break
        optimum = maximise(posterior, seen.x)
        best = optimum.point
        limits, seen = _limits(posterior, optimum, drop)
    count = 1
    for other in found[1:]:
        behind = best.value - other.point.value
        if behind < drop and abs(other.point.x[0] - best.x[0]) > 1e-3:
            near, _ = _limits(posterior, other, drop - max(behind, 0.0) + 1e-6)
            limits = (min(limits[0], near[0]), max(limits[1], near[1]))
            count += 1
    return optimum, limits, count


def _limits(
    posterior: JointPosterior, optimum: Optimum, drop: float
) -> tuple[tuple[float, float], Point]:
    ends, best = [], optimum.point
    for side in (+1, -1):
        value, _, seen = profile_limit(posterior, optimum, 0, side, drop)
        ends.append(value)
        if seen.value > best.value:
            best = seen
    if posterior.folded:
        edge = posterior.upper[0]
        high, low = (min(max(end, -edge), edge) for end in (ends[1], ends[0]))
        lower = 0.0 if low >= edge else phase_of(low)
        upper = math.pi / 2.0 if high <= -edge else phase_of(high)
        return (lower, upper), best
    return (min(ends), max(ends)), best


def _nuisance_start(
    posterior: JointPosterior, settings: Sequence[Beliefs]
) -> tuple[Array, list[float]]:
    """All z from geometric fits where contrasts are free; phases worth a start."""
    parts, phases = [], []
    for index, beliefs in enumerate(settings):
        box = posterior.settings[index]
        z = np.zeros(box.precision.size)
        fit = _geometric(posterior, index, beliefs)
        if fit is not None and fit.usable:
            phases.append(fit.phase)
            if isinstance(beliefs, EllipseAtoms):
                z = _from_fit(beliefs, fit, box.directions, box.centre)
        parts.append(np.clip(z, box.lower, box.upper))
    z = np.concatenate(parts) if parts else np.zeros(0)
    starts = []
    for phase in phases or [0.3, 0.8, 1.3]:
        starts.append(phase)
        edge = 0.0 if phase < math.pi / 4.0 else math.pi / 2.0
        if abs(phase - edge) < _FOLD_ZONE:
            starts.append(abs(edge - 0.02))
    return z, starts


def _geometric(posterior: JointPosterior, index: int, beliefs: Beliefs) -> EllipseFit | None:
    own = [member for member in posterior.members if member.setting == index]
    if not own:
        return None
    data = max(own, key=lambda member: len(member.data)).data
    if isinstance(beliefs, EllipseBeliefs):
        return geometric_start(beliefs, data)
    stride = max(1, len(data) // _GEOMETRIC_SHOTS)
    shares = data[::stride] / np.array(beliefs.atoms)
    fit = fit_geometric(shares[:, 0], shares[:, 1])
    if max(fit.contrasts) <= _LARGEST_CONTRAST:
        return fit
    # Near a fold the points lie on a line, and a huge ellipse passes as close to them.
    contrasts = np.minimum(np.sqrt(8.0 * shares.var(axis=0)), 1.0)
    first, second = shares.mean(axis=0)
    return replace(
        fit, contrasts=(float(contrasts[0]), float(contrasts[1])), offsets=(first, second)
    )


def _from_fit(beliefs: EllipseAtoms, fit: EllipseFit, directions: Array, centre: Array) -> Array:
    """z of the fitted contrasts and offsets; noise and jitter from the scatter."""
    extra = max(fit.residual**2 * beliefs.atoms[0] * beliefs.atoms[1], 0.0)
    extra = max(extra - beliefs.projection_variance, 0.05 * beliefs.projection_variance)
    values = np.array([*fit.contrasts, *fit.offsets, extra, 1e-4])
    return np.linalg.pinv(directions) @ (values - centre)


def _grid(posterior: JointPosterior) -> Array:
    if not _resolves(posterior):
        low, high = (0.0, math.pi / 2.0) if posterior.folded else (-math.pi / 2.0, math.pi / 2.0)
        if not posterior.folded and _oriented(posterior):
            low, high = -math.pi, math.pi
        count = round(_COARSE * (high - low) / (math.pi / 2.0))
        return np.linspace(low, high, count + 1)[0 if posterior.folded else 1 :]
    scale = min(m.likelihood.fringe_scale for m in posterior.members)
    low = 0.0 if posterior.folded else -math.pi / 2.0
    steps = min(2000, max(60, math.ceil((math.pi / 2.0 - low) / (0.3 * scale))))
    return np.linspace(low, math.pi / 2.0, steps + 1)


def _oriented(posterior: JointPosterior) -> bool:
    """Whether the common phase is not uniform: phi then has a period of a full turn."""
    weights = getattr(posterior.members[0].likelihood, "common", None)
    return weights is not None


def _resolves(posterior: JointPosterior) -> bool:
    return any(member.likelihood.resolves_atoms for member in posterior.members)


def _tops(values: Array) -> list[int]:
    """Indices of local maxima, ends included, the highest first."""
    padded = np.concatenate([[-np.inf], values, [-np.inf]])
    tops = np.flatnonzero((values >= padded[:-2]) & (values > padded[2:]))
    return [int(i) for i in sorted(tops, key=lambda i: -values[i])]
