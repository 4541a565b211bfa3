"""The collective decay's calibration: slopes, bound and recovery by exact simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstest

from cavitylab.estimators.calibrations_counting import CountingBeliefs
from cavitylab.estimators.calibrations_decay import (
    DecayBeliefs,
    DecayCalibration,
    DecayCurve,
    decay_bounds,
)

COUNTING = CountingBeliefs(30, gain_range=(50.0, 150.0), background_range=(12.5, 210.0))
BELIEFS = DecayBeliefs(COUNTING, (100.0, 300.0), (0.8, 2.4), (10e3, 30e3))
TRUTH = np.array([240.0, 1.28, 24e3, 80.0, 60.0])
RATES = {p: 200.0 * math.sin(0.5 * math.pi * math.sqrt(p / 1.6)) ** 2 for p in (0.12, 0.5, 0.95)}
SETTINGS = np.array(
    [
        *((0.12, 0.0, turn / 20e3, 12) for turn in (0.0, 0.25, 0.5, 0.75, 1.2)),
        *(
            (power, depth / (60 * math.pi * rate), 0.3 / 20e3, 40)
            for power, rate in RATES.items()
            for depth in (0.4, 0.8, 1.6)
        ),
    ]
)
SHOTS = SETTINGS[:, 3].astype(int)
CURVE = DecayCurve(BELIEFS, *SETTINGS[:, :3].T)


def records(seed: int) -> dict[str, np.ndarray]:
    """Counts of two gates whose sums follow the law."""
    rng, (share, _) = np.random.default_rng(seed), CURVE.shares(TRUTH)
    up = [rng.choice(61, p=row / row.sum()) for row in np.repeat(share, SHOTS, axis=0)]
    first = rng.hypergeometric(up, 60 - np.array(up), 30)
    counts = rng.poisson(80.0 * np.stack([first, up - first], axis=1) + 60.0)
    names = ("power", "decay_time", "pulse_time")
    return {"counts": counts} | {
        name: np.repeat(SETTINGS[:, k], SHOTS) for k, name in enumerate(names)
    }


def test_slopes_are_those_of_the_law() -> None:
    """Probabilities, moments and log-likelihood against central differences."""
    counts, place = np.array([130.0, 2600.0, 900.0]), np.array([0, 3, 9])
    shares, prediction = CURVE.shares(TRUTH), CURVE.evaluate(TRUTH)
    _, scores = CURVE.law(TRUTH, counts, place)
    assert prediction.variance is not None and prediction.d_variance is not None
    assert shares[0].sum(axis=1) == pytest.approx(np.ones(len(SHOTS)))
    for index in range(5):
        step = 1e-5 * TRUTH * (np.arange(5) == index)
        width = 2 * step[index]
        above, below = TRUTH + step, TRUTH - step
        if index < 3:
            change = (CURVE.shares(above)[0] - CURVE.shares(below)[0]) / width
            assert np.abs(change - shares[1][index]).max() < 1e-5 * np.abs(change).max()
        ends = CURVE.evaluate(above), CURVE.evaluate(below)
        for kind, slopes in (("mean", prediction.d_mean), ("variance", prediction.d_variance)):
            change = (getattr(ends[0], kind) - getattr(ends[1], kind)) / width
            assert np.abs(change - slopes[index]).max() < 1e-4 * np.abs(change).max()
        logs = [CURVE.law(one, counts, place)[0] for one in (above, below)]
        assert scores[index] == pytest.approx((logs[0] - logs[1]) / width, rel=1e-4, abs=1e-8)


def test_a_coupling_that_is_far_off_is_found() -> None:
    """+20 % and -20 %, within the error (false alarm 1e-4), as wide as the bound allows."""
    estimator = DecayCalibration(BELIEFS)
    estimator.update(records(4))
    found = estimator.estimate()
    bounds = np.sqrt(np.diag(decay_bounds(CURVE, TRUTH, SHOTS)))
    for place, name in enumerate(found.names):
        assert abs(found[name].value - TRUTH[place]) < 4.5 * found[name].std
        assert found[name].std < 1.3 * bounds[place]
    assert not found.flags
    assert found.goodness_of_fit is not None and found.goodness_of_fit.p_value > 1e-4


@pytest.mark.slow
def test_p_values_are_uniform() -> None:
    """Twenty simulated calibrations, Kolmogorov's test (false alarm 1e-4)."""
    p_values = []
    for seed in range(20):
        estimator = DecayCalibration(BELIEFS)
        estimator.update(records(100 + seed))
        check = estimator.estimate().goodness_of_fit
        assert check is not None
        p_values.append(check.p_value)
    assert kstest(p_values, "uniform").pvalue > 1e-4
