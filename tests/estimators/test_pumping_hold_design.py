"""Where a held pump goes next: information, visits that tell the gain, what they are worth."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cavitylab.estimators import Calibrated, ChainValues, HoldBeliefs, hold_bounds
from cavitylab.estimators.pumping_hold_design import HoldDesign

TRUTH = ChainValues(1.0, 1.0, 50.0, 5.0)
ATOMS, WINDOW, LIMITS = 40, 10.0, (0.6, 1.4)


def prior(gain: float) -> np.ndarray:
    """Information of calibrations that know the gain with this relative std."""
    return np.diag([0.0, gain**-2, 0.25**-2, 0.1**-2])


@pytest.fixture(scope="module")
def design() -> HoldDesign:
    return HoldDesign(ATOMS, TRUTH.decay, WINDOW)


def std_after(design: HoldDesign, known: np.ndarray, pumps: np.ndarray) -> float:
    """Std of ln u_c after ten windows at each of the pumps."""
    each = design.information(np.log(pumps), TRUTH.half_rate, TRUTH.background)
    return math.sqrt(np.linalg.inv(known + 10 * each.sum(axis=0))[0, 0])


def test_the_information_is_that_of_the_bound(design: HoldDesign) -> None:
    """Through the table within 2 %, from far below the transition to far above it."""
    known = prior(0.05)
    a, b = Calibrated(50.0, 2.5), Calibrated(5.0, 0.25)
    beliefs = HoldBeliefs(ATOMS, half_rate=a, background=b, decay=Calibrated(1.0, 0.1))
    for pump in (0.7, 0.93, 1.0, 1.08, 1.3):
        expected = hold_bounds(beliefs, TRUTH, [pump], [WINDOW]).information - known
        found = design.information(np.array(math.log(pump)), 50.0, 5.0)
        scale = np.sqrt(np.diag(expected))
        assert found / np.outer(scale, scale) == pytest.approx(
            expected / np.outer(scale, scale), abs=0.02
        )


def test_a_gain_that_is_poorly_known_is_looked_at(design: HoldDesign) -> None:
    """Some rounds far above; those that stay at the transition are far worse. Known: never."""
    near, poor, good = np.ones(12), prior(0.1), prior(1e-4)
    visits = design.visits(poor, TRUTH, 1.0, LIMITS, 12, 10)
    assert 1 <= np.sum(visits > 1.2) <= 4 and np.abs(np.median(visits) - 1.0) < 0.06
    assert std_after(design, poor, visits) < 0.5 * std_after(design, poor, near)
    steady = design.visits(good, TRUTH, 1.0, LIMITS, 12, 10)
    assert np.abs(steady - 1.0).max() < 0.11
    assert std_after(design, good, steady) <= std_after(design, good, near)


def test_the_pump_keeps_within_its_limits(design: HoldDesign) -> None:
    """A transition beyond them: the pump goes as near as it may."""
    beyond = ChainValues(1.6, 1.0, 50.0, 5.0)
    visits = design.visits(prior(0.05), beyond, 1.0, LIMITS, 6, 10)
    assert visits.min() >= LIMITS[0] and visits[1:].max() == LIMITS[1]
