"""Ramps of the pump, up and down: law, bound, coverage, symmetries, wrong models, poor data."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, chi2

from cavitylab.estimators import (
    Calibrated,
    PumpingRamps,
    RampBeliefs,
    RecordError,
    Stairs,
    draw_ramps,
    ramp_bounds,
)
from cavitylab.estimators.pumping_ramps_model import RampLikelihood
from cavitylab.estimators.pumping_ramps_width import crossings_of
from cavitylab.models.pumped_superradiance_hysteresis import hysteresis

FALSE_ALARM = 1e-4
ATOMS = 20
UP = (0.5, 0.7, 0.9, 1.1, 1.3, 1.5)
BELIEFS = RampBeliefs(
    ATOMS, UP, UP[::-1], 0.3, 1.2, 1.0, Calibrated(20.0, 0.6), Calibrated(5.0, 0.5)
)
TRUTH = (1.03, 1.0, 19.5, 5.2)
WAY = np.repeat([1.0, -1.0], 120)
STAIRS = np.tile([1.0, 2.0, 3.0, 4.0, 5.0], 48)
NAMES = ("critical_pump", "decay", "gain", "background")


def draw(seed: int, truth=TRUTH) -> dict[str, np.ndarray]:
    return draw_ramps(BELIEFS, truth, WAY, STAIRS, np.random.default_rng(seed))


def found(records, beliefs=BELIEFS, level=0.95):
    estimator = PumpingRamps(beliefs)
    estimator.update(records)
    return estimator.estimate(level)


def test_estimates_reach_the_bound_and_cover() -> None:
    """Gain and background off by their calibrations: chi-square of all pulls, coverage of u_c."""
    places = Counter(Stairs(int(a), int(b)) for a, b in zip(WAY, STAIRS, strict=True))
    bounds = ramp_bounds(BELIEFS, TRUTH, places)
    rng, pulls, hits, count = np.random.default_rng(1), [], 0, 8
    for seed in range(count):
        gain, background = 20.0 + 0.6 * rng.standard_normal(), 5.0 + 0.5 * rng.standard_normal()
        truth = (*TRUTH[:2], gain, background)
        estimate = found(draw(seed, truth))
        pulls.append(
            [(estimate[n].value - t) / bounds[n] for n, t in zip(NAMES, truth, strict=True)]
        )
        low, high = estimate["critical_pump"].interval
        hits += low <= TRUTH[0] <= high
        assert estimate.goodness_of_fit is not None
        assert estimate.goodness_of_fit.p_value > FALSE_ALARM / count
        assert estimate["critical_pump"].std == pytest.approx(bounds["critical_pump"], rel=0.25)
    rmse = np.sqrt(np.mean(np.square(pulls), axis=0))
    assert np.all(rmse < 1.12 * math.sqrt(chi2.isf(FALSE_ALARM / 4, count) / count))
    assert hits >= binom.ppf(FALSE_ALARM, count, 0.94)


def test_probabilities_add_up_to_one_and_scores_are_the_slopes() -> None:
    """Over all counts at three places; against central differences ten times as wide."""
    places = [Stairs(1, 1), Stairs(1, 4), Stairs(-1, 3)]
    likelihood = RampLikelihood(BELIEFS, {place: dict.fromkeys(range(600), 1) for place in places})
    logs, scores, _ = likelihood.evaluate(*TRUTH)
    chances = np.exp(logs).reshape(3, 600)
    assert chances.sum(axis=1) == pytest.approx(np.ones(3), abs=1e-8)
    likely = chances.ravel() > 1e-6
    for index in range(4):
        step = 2e-4
        ends = []
        for sign in (1.0, -1.0):
            moved = list(TRUTH)
            moved[index] = (
                moved[index] + sign * step if index == 3 else moved[index] * math.exp(sign * step)
            )
            ends.append(likelihood.evaluate(*moved)[0])
        slope = (ends[0] - ends[1]) / (2.0 * step)
        assert scores[likely, index] == pytest.approx(slope[likely], rel=2e-3, abs=2e-3)


def stairs_of(height: float) -> RampBeliefs:
    """40 atoms at r = 4, s from -13 to 13."""
    up = tuple((1.0 + np.arange(-13.0, 13.0 + height / 2, height) / 20.0).tolist())
    counter = Calibrated(1e4, 1.0), BELIEFS.background
    return RampBeliefs(40, up, up[::-1], height / 4.0, 1.0, 1.0, *counter)


def test_the_width_is_that_of_the_stairs_wherever_they_are_counted() -> None:
    """Expected counts at places two units of s apart: no error of straight lines in the width.

    Stairs of half a unit have the width of an endless ramp within 3 %; lines are off by more.
    """
    places = [Stairs(way, climbed) for way in (1, -1) for climbed in range(3, 53, 4)]
    likelihood = RampLikelihood(stairs_of(0.5), {place: {0: 1} for place in places})
    counts = np.rint(likelihood.moments(1.02, 1.1, 1e4, 5.0)[0]).astype(int)
    seen = {p: {int(count): 50} for p, count in zip(likelihood.places, counts, strict=True)}
    likelihood = RampLikelihood(stairs_of(0.5), seen)
    up, down = (likelihood.half_excited(way, 1.02, 1.1) for way in (1, -1))
    assert up is not None and down is not None
    width = up - down
    endless = 2.0 * 1.02 / 40 * hysteresis(40, 4.0 / 1.02 / 1.1).width
    assert width == pytest.approx(endless, rel=0.03)
    # the rates by which lines are bent need not be quite right
    for rates, error in (((1.02, 1.1), 1e-3), ((1.025, 1.05), 0.02), (None, 1.0)):
        found = crossings_of(likelihood, 1e4, 5.0, 0.0, rates).quantities(0.95)
        off = found["hysteresis_width"].value - width
        assert abs(off) < error * width
        assert found["midpoint"].value == pytest.approx(0.5 * (up + down), abs=error * width)
    assert abs(off) > 0.03 * width


def test_the_unit_of_the_knob_carries_through() -> None:
    """Hertz for a ratio: u_c scales, the decay does not."""
    scaled = RampBeliefs(
        ATOMS,
        tuple(400.0 * pump for pump in BELIEFS.up),
        tuple(400.0 * pump for pump in BELIEFS.down),
        0.3,
        1.2,
        400.0,
        BELIEFS.gain,
        BELIEFS.background,
    )
    plain, other = found(draw(3)), found(draw(3), scaled)
    assert other["critical_pump"].value == pytest.approx(
        400.0 * plain["critical_pump"].value, rel=1e-6
    )
    assert other["decay"].value == pytest.approx(plain["decay"].value, rel=1e-5)


def test_wrong_models_are_flagged() -> None:
    """A saturated detector, half the atoms believed: p below 1e-4. One direction: said."""
    records = draw(4)
    saturated = {**records, "counts": np.minimum(records["counts"], 150.0)}
    for wrong in (found(saturated), found(records, replace(BELIEFS, atoms=ATOMS // 2))):
        assert any("does not describe" in flag for flag in wrong.flags)
    one_way = {name: column[:120] for name, column in records.items()}
    assert any("one direction" in flag for flag in found(one_way).flags)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"direction": np.zeros(240)}, "direction"),
        ({"stairs": np.full(240, 6.0)}, "up to 5"),
        ({"stairs": np.full(240, 1.5)}, "whole"),
        ({"counts": np.full((240, 1), np.nan)}, "whole numbers"),
    ],
)
def test_unusable_records_are_refused(change, words: str) -> None:
    """What, where, and the rule; nothing of the block is kept."""
    estimator = PumpingRamps(BELIEFS)
    with pytest.raises(RecordError, match=words):
        estimator.update({**draw(5), **change})
    assert estimator.shots == 0


def test_too_little_gives_the_whole_range() -> None:
    """No shot, few shots, constant counts: not determined, and said so."""
    records = draw(6)
    few = {name: column[:20] for name, column in records.items()}
    equal = {**records, "counts": np.full((240, 1), 7.0)}
    for poor in (None, few, equal):
        estimator = PumpingRamps(BELIEFS)
        if poor is not None:
            estimator.update(poor)
        estimate = estimator.estimate()
        assert "not determined" in estimate.flags[0]
        assert estimate["critical_pump"].interval == pytest.approx(estimate.identifiable)


@pytest.mark.parametrize("seed", [0, 2, 6])
def test_a_dark_counter_and_few_counts_keep_their_intervals(seed: int) -> None:
    """No background, four counts at most: its interval is that of the calibration, not a point.

    Lines through so few counts may cross the half level at a pump below zero: no crossing.
    """
    dim = replace(BELIEFS, gain=Calibrated(0.2, 0.006), background=Calibrated(0.0, 0.01))
    rng = np.random.default_rng(seed)
    estimate = found(draw_ramps(dim, (1.03, 1.0, 0.2, 0.0), WAY, STAIRS, rng), dim, 1 - FALSE_ALARM)
    for name, true in zip(NAMES, (1.03, 1.0, 0.2, 0.0), strict=True):
        low, high = estimate[name].interval
        assert low <= true <= high and high - low > estimate[name].std > 0.0, name
    assert estimate["background"].std == pytest.approx(0.01, rel=0.2)


def test_the_bound_lasts_where_the_transition_lies_beyond_the_ramp() -> None:
    """Counts that practically never come add nothing; their scores are rounding errors."""
    up = tuple(np.linspace(0.85, 1.15, 41).tolist())
    beliefs = RampBeliefs(
        100, up, up[::-1], 0.05, 31.4, 1.0, Calibrated(2.0, 0.1), Calibrated(1.0, 0.05)
    )
    places = {Stairs(way, climbed): 60 for way in (1, -1) for climbed in (10, 20, 30, 40)}
    near, far, beyond = (
        ramp_bounds(beliefs, (critical, decay, 2.09, 1.05), places)["critical_pump"]
        for critical, decay in ((1.2, 33.0), (np.linspace(1.0, 1.3, 13)[11], 20.0), (1.3, 33.0))
    )
    assert 0.01 < near < min(far, beyond) and max(far, beyond) < 2.0 * near
