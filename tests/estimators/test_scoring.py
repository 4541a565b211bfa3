"""The engines: scoring within bounds and profile limits, on functions with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from cavitylab.estimators.scoring import Point, maximise, profile_limit


class Quadratic:
    """-(x-a)^T H (x-a)/2 in a box, with an information matrix that is off by a factor."""

    def __init__(self, centre: np.ndarray, hessian: np.ndarray, factor: float = 1.0) -> None:
        self.centre, self.hessian, self.factor = centre, hessian, factor
        self.lower, self.upper = -np.ones(centre.size), np.ones(centre.size)

    def evaluate(self, x: np.ndarray) -> Point:
        pull = self.hessian @ (self.centre - x)
        value = 0.5 * float(pull @ (x - self.centre))
        return Point(x, value, pull, self.factor * self.hessian)


HESSIAN = np.array([[400.0, 150.0, 0.0], [150.0, 300.0, 20.0], [0.0, 20.0, 900.0]])


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_the_maximum_is_found_with_poor_curvature(factor: float) -> None:
    """Half or twice the right information costs iterations, not accuracy."""
    centre = np.array([0.3, -0.2, 0.1])
    found = maximise(Quadratic(centre, HESSIAN, factor), np.array([-0.9, 0.9, 0.9]))
    assert found.converged and found.iterations < 25
    assert found.point.x == pytest.approx(centre, abs=1e-5)


def test_a_maximum_outside_the_box_is_found_on_its_face() -> None:
    """With one coordinate on its bound the others take their best values there."""
    found = maximise(Quadratic(np.array([1.5, 0.0, 0.0]), HESSIAN), np.zeros(3))
    assert found.converged
    assert found.point.x[0] == 1.0 and not found.free[0]
    rest = -np.linalg.solve(HESSIAN[1:, 1:], HESSIAN[1:, 0] * (1.0 - 1.5))
    assert found.point.x[1:] == pytest.approx(rest, abs=1e-5)
    assert found.covariance[0] == pytest.approx(np.zeros(3))


def test_a_step_that_the_box_cuts_off_does_not_end_the_search() -> None:
    """Strong correlation, start beside the bound: cut off, the step alone would lead downhill."""
    hessian = np.array([[100.0, 95.0], [95.0, 100.0]])
    problem = Quadratic(np.array([0.9, -3.0]), hessian)
    start = np.array([-0.9, -0.999])
    cut = np.clip(start + (problem.centre - start), -1.0, 1.0)
    assert problem.evaluate(cut).value < problem.evaluate(start).value
    found = maximise(problem, start)
    assert found.converged and found.point.x[1] == -1.0
    assert found.point.x[0] == pytest.approx(max(-1.0, 0.9 - 0.95 * 2.0), abs=1e-6)


@pytest.mark.parametrize("side", [-1, 1])
def test_profile_limits_of_a_quadratic_are_its_marginal_width(side: int) -> None:
    """A fall of 2 lies two marginal standard deviations away, whatever the correlations."""
    problem = Quadratic(np.array([0.3, -0.2, 0.1]), HESSIAN)
    found = maximise(problem, np.zeros(3))
    limit, bounded, _ = profile_limit(problem, found, 0, side, 2.0)
    width = np.sqrt(np.linalg.inv(HESSIAN)[0, 0])
    assert not bounded
    assert limit == pytest.approx(0.3 + 2.0 * side * width, rel=0.01)


def test_profile_limits_stop_at_the_bound() -> None:
    """Where the profile has not fallen enough at the bound, the bound is the limit."""
    problem = Quadratic(np.array([0.97, 0.0, 0.0]), HESSIAN)
    found = maximise(problem, np.zeros(3))
    assert profile_limit(problem, found, 0, 1, 2.0)[:2] == (1.0, True)


class Bent:
    """A profile that is shallow near its maximum and steep from `bend` on, as beside a bound."""

    lower, upper = np.array([-10.0]), np.array([10.0])

    def __init__(self, bend: float) -> None:
        self.bend = bend

    def fall(self, x: float) -> float:
        return 0.02 * x**2 + 8.0 * max(abs(x) - self.bend, 0.0) ** 3

    def evaluate(self, x: np.ndarray) -> Point:
        return Point(x, -self.fall(float(x[0])), np.zeros(1), np.array([[0.04]]))


@pytest.mark.parametrize("bend", [0.5, 1.0, 2.0, 4.0])
def test_limits_of_a_profile_that_bends_lie_where_it_has_fallen(bend: float) -> None:
    """The wider the level the wider the interval, and every end is where the profile says."""
    profile, before = Bent(bend), 0.0
    optimum = maximise(profile, np.zeros(1))
    for drop in np.linspace(0.1, 4.5, 30):
        end, bounded, _ = profile_limit(profile, optimum, 0, 1, float(drop))
        assert not bounded and end > before
        assert profile.fall(end) == pytest.approx(drop, rel=0.03)
        before = end
