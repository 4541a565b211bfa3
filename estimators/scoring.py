"""Damped scoring within bounds, and profile-likelihood intervals: engines that know no physics.

An objective is a log-likelihood plus log-prior; its information matrix is the sum of outer
products of the shots' scores plus the prior's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ENOUGH = 1e-9  # stop when the step would raise the objective by less than half of this
_LEAST_DAMPING = 1e-6
_ATTEMPTS = 14  # places of a profile that are tried for one limit
_EASY = 4  # of these by the profile's own shape; then the bracket is narrowed
_NEAR = 0.5  # promised improvement below which secant updates take over


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """An objective evaluated: value, gradient and information at `x`."""

    x: Array
    value: float
    gradient: Array
    information: Array


class Objective(Protocol):
    """What the engines need: a smooth function to be maximised inside a box."""

    @property
    def lower(self) -> Array: ...
    @property
    def upper(self) -> Array: ...
    def evaluate(self, x: Array) -> Point: ...


@dataclass(frozen=True, slots=True, eq=False)
class Optimum:
    """Where scoring stopped.

    Attributes:
        point: the best point.
        iterations: evaluations spent.
        converged: whether the last predicted improvement was negligible.
        free: mask of the coordinates that are not held by a bound.
    """

    point: Point
    iterations: int
    converged: bool
    free: NDArray[np.bool_]

    @property
    def covariance(self) -> Array:
        """Inverse information of the free coordinates; zero rows for the others."""
        return inverse_on(self.point.information, self.free)


def maximise(
    objective: Objective, start: Array, *, iterations: int = 150, hold: int | None = None
) -> Optimum:
    """Levenberg-damped scoring from `start`, with secant updates of the curvature at the end.

    Args:
        objective: what to maximise.
        start: first x; clipped into the box.
        iterations: most evaluations.
        hold: a coordinate to keep fixed.
    """
    point = objective.evaluate(np.clip(start, objective.lower, objective.upper))
    damping, used, converged = 1e-4, 1, False
    free = _free(objective, point, hold)
    curvature = point.information
    while used < iterations:
        now_free = _free(objective, point, hold)
        if (now_free != free).any():
            free, curvature = now_free, point.information
        step = _step(objective, point, curvature, free, damping)
        trial_x = np.clip(point.x + step, objective.lower, objective.upper)
        moved = trial_x - point.x
        promised = float(point.gradient @ moved) - 0.5 * float(moved @ curvature @ moved)
        if promised < 0.5 * _ENOUGH and damping < 1.0:
            converged = True
            break
        trial = objective.evaluate(trial_x)
        used += 1
        if trial.value > point.value:
            kept = (trial.value - point.value) / promised
            near = promised < _NEAR
            curvature = _secant(curvature, point, trial) if near else trial.information
            point = trial
            if kept > 0.5:
                damping = max(_LEAST_DAMPING, 0.1 * damping)
            elif kept < 0.25:
                damping = max(4.0 * damping, 0.1)
        elif promised < 1e-7 and trial.value > point.value - 1e-7:
            converged = True  # rounding of the sum over shots is all that is left
            break
        else:
            curvature = point.information
            damping = max(10.0 * damping, 1e-3)
            if damping > 1e9:
                break
    return Optimum(point, used, converged, free)


def maximise_strictly(
    objective: Objective, starts: Sequence[Array], best: Optimum, *, iterations: int, enough: float
) -> tuple[Optimum, int]:
    """The best optimum when the last coordinate, a share of stray shots, waits for the others.

    Args:
        objective: what to maximise.
        starts: tried in turn, with the share as it stands in each held at first.
        best: what is there already.
        iterations: most evaluations with the share held.
        enough: a share at which no further start is tried.

    Returns:
        The highest optimum, `best` among them, and the evaluations spent.
    """
    spent = 0
    for start in starts:
        held = maximise(objective, start, iterations=iterations, hold=start.size - 1)
        found = maximise(objective, held.point.x)
        spent += held.iterations + found.iterations
        if found.point.value > best.point.value:
            best = found
        if best.point.x[-1] <= enough:
            break
    return best, spent


def profile_limit(
    objective: Objective, optimum: Optimum, index: int, side: int, drop: float
) -> tuple[float, bool, Point]:
    """Where the profile of one coordinate has fallen by `drop` below the optimum.

    Args:
        objective: as for `maximise`.
        optimum: its result.
        index: the coordinate.
        side: -1 or +1.
        drop: fall of the log-likelihood, for instance chi2/2.

    Returns:
        The coordinate's value, whether a bound of the box was met first, and the best
        point seen on the way (better than the optimum when that was a local maximum).
    """
    covariance = optimum.covariance
    top, best = optimum.point.value, optimum.point
    origin = float(optimum.point.x[index])
    bound = float((objective.upper if side > 0 else objective.lower)[index])
    room = abs(bound - origin)
    spread = math.sqrt(max(float(covariance[index, index]), 0.0)) or room
    along = covariance[:, index] / (covariance[index, index] or 1.0)
    reach = min(room, spread * math.sqrt(2.0 * drop))
    if room == 0.0:
        return bound, True, best
    inside, outside = (0.0, 0.0), (math.inf, math.inf)  # places and the roots of the falls there
    wanted_root = math.sqrt(drop)
    for attempt in range(_ATTEMPTS):
        guess = optimum.point.x + along * side * reach
        guess[index] = origin + side * reach
        point, fallen = _profile(objective, guess, index, top)
        if point.value > best.value:
            best = point
        if fallen < drop and reach >= room:
            return bound, True, best
        root = math.sqrt(max(fallen, 0.0))
        if abs(root - wanted_root) < 0.005 * wanted_root:
            break
        if fallen < drop:
            inside = (reach, root)
        else:
            outside = (reach, root)
        ratio = math.sqrt(drop / fallen) if fallen > 0.01 * drop else 10.0
        wanted = min(reach * ratio, room, 4.0 * reach)
        if not inside[0] < wanted < outside[0]:
            middle = 0.5 * (inside[0] + outside[0])
            wanted = min(room, middle if math.isfinite(middle) else 2.0 * reach)
        if attempt >= _EASY and math.isfinite(outside[0]):
            wanted = _between(inside, outside, wanted_root, halve=attempt % 2 == 1)
        reach = wanted
    return origin + side * reach, False, best


def _between(
    inside: tuple[float, float], outside: tuple[float, float], root: float, *, halve: bool
) -> float:
    """A place in a bracket: its middle, or where the roots of the falls say; the two in turn."""
    share = 0.5 if halve else (root - inside[1]) / max(outside[1] - inside[1], 1e-300)
    return inside[0] + min(max(share, 0.05), 0.95) * (outside[0] - inside[0])


def inverse_on(matrix: Array, free: NDArray[np.bool_]) -> Array:
    """Inverse of the free block, zeros elsewhere; undetermined directions become very wide."""
    result = np.zeros_like(matrix)
    block = matrix[np.ix_(free, free)]
    if not block.size:
        return result
    scale = np.sqrt(np.maximum(np.diag(block), 1e-12))
    values, vectors = np.linalg.eigh(block / np.outer(scale, scale))
    values = np.maximum(values, 1e-12)
    inverse = (vectors / values) @ vectors.T / np.outer(scale, scale)
    result[np.ix_(free, free)] = inverse
    return result


def _free(objective: Objective, point: Point, hold: int | None) -> NDArray[np.bool_]:
    pushed_down = (point.x <= objective.lower) & (point.gradient <= 0.0)
    pushed_up = (point.x >= objective.upper) & (point.gradient >= 0.0)
    free = ~(pushed_down | pushed_up)
    if hold is not None:
        free[hold] = False
    return free


def _secant(curvature: Array, old: Point, new: Point) -> Array:
    """BFGS update: outer products miss part of the curvature, and alone converge slowly."""
    moved, turned = new.x - old.x, old.gradient - new.gradient
    along = float(moved @ turned)
    image = curvature @ moved
    squared = float(moved @ image)
    if along < 0.2 * squared or squared <= 0.0:
        return new.information
    updated: Array = curvature - np.outer(image, image) / squared + np.outer(turned, turned) / along
    return updated


def _step(
    objective: Objective, point: Point, curvature: Array, free: NDArray[np.bool_], damping: float
) -> Array:
    """Damped Newton step inside the box.

    Whatever meets its bound first stays there and the others are solved again: a step that is
    merely cut off at the box may lead downhill, where coordinates are correlated.
    """
    low, high = objective.lower - point.x, objective.upper - point.x
    step, moving = np.zeros_like(point.x), free.copy()
    while moving.any():
        block = curvature[np.ix_(moving, moving)]
        pull = point.gradient[moving] - curvature[moving] @ step
        scale = np.sqrt(np.maximum(np.diag(block), 1e-9))
        scaled = block / np.outer(scale, scale) + (damping + 1e-10) * np.eye(scale.size)
        wanted = np.linalg.solve(scaled, pull / scale) / scale
        room = np.where(wanted > 0.0, high[moving], low[moving])
        longest = np.maximum(np.abs(wanted), 1e-12 * np.abs(room) + 1e-300)
        share = np.abs(room) / longest  # 1 and more: the box is not met
        first = int(np.argmin(share))
        if share[first] >= 1.0:
            step[moving] = wanted
            break
        place = int(np.flatnonzero(moving)[first])
        step[place], moving[place] = room[first], False
    return step


def _profile(objective: Objective, guess: Array, index: int, top: float) -> tuple[Point, float]:
    """Best point at the held coordinate, and how far the profile lies below `top`."""
    point = objective.evaluate(np.clip(guess, objective.lower, objective.upper))
    for _ in range(6):
        free = _free(objective, point, index)
        step = _step(objective, point, point.information, free, 1e-6)
        promised = float(point.gradient @ step) - 0.5 * float(step @ point.information @ step)
        if promised < 0.02:  # the rest of the way is quadratic
            return point, top - point.value - promised
        trial = objective.evaluate(np.clip(point.x + step, objective.lower, objective.upper))
        if trial.value <= point.value:
            return point, top - point.value
        point = trial
    return point, top - point.value
