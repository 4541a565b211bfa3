"""Squeezing from shots: unbiased, covering, symmetric, and silent where noise hides the signal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import kstest

from cavitylab.estimators.records import RecordError
from cavitylab.estimators.squeezing_beliefs import SqueezingBeliefs
from cavitylab.estimators.squeezing_bounds import squeezing_bounds, tomography_bounds
from cavitylab.estimators.squeezing_certificate import SqueezingCertificate
from cavitylab.estimators.squeezing_intervals import (
    Measured,
    difference,
    ratio_limits,
    sample_variance,
    stationarity,
)
from cavitylab.estimators.squeezing_parameter import WinelandFromShots
from cavitylab.estimators.squeezing_tomography import SqueezingTomography
from cavitylab.estimators.squeezing_two_mode import TwoModeSqueezing

SPIN, GAIN, BACKGROUND = 50.0, 100.0, 50.0
BELIEFS = SqueezingBeliefs(SPIN, 2, GAIN, BACKGROUND)
LENGTH = 90.0  # <S1x - S2x>, atoms
FALSE_ALARM = 1e-4
BAND = 3.9  # standard errors of a two-sided band at FALSE_ALARM


def counts_of(sums: np.ndarray, differences: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts of two ensembles with m1 + m2 and m1 - m2 given."""
    m = np.column_stack([sums + differences, sums - differences]) / 2.0
    return rng.poisson(GAIN * np.clip(SPIN + m, 0.0, 2.0 * SPIN) + BACKGROUND)


def shots(xi2: float, n: int, rng: np.random.Generator, lengths: int = 40) -> dict[str, np.ndarray]:
    """Gaussian shots of a state with the given Wineland parameter, and shots of its length."""
    sigma = math.sqrt(xi2 * LENGTH**2 / (4.0 * SPIN))
    squeezed = counts_of(sigma * rng.standard_normal(n), 6.0 * rng.standard_normal(n), rng)
    long = counts_of(rng.standard_normal(lengths), LENGTH + rng.standard_normal(lengths), rng)
    return {
        "counts": np.concatenate([squeezed, long]),
        "setting": np.repeat([0, 1], [n, lengths]),
    }


def wineland(records: dict[str, np.ndarray], level: float = 0.95, **changes: object):
    estimator = WinelandFromShots(SqueezingBeliefs(SPIN, 2, GAIN, BACKGROUND, **changes))
    estimator.update(records)
    return estimator.estimate(level)


@pytest.mark.parametrize(("xi2", "n"), [(0.2, 30), (1.0, 100)])
def test_the_value_is_unbiased_and_the_interval_covers(xi2: float, n: int) -> None:
    """Mean within 3.9 standard errors of the truth, 95 % coverage at least .945 less its band."""
    rng = np.random.default_rng(1)
    found = [wineland(shots(xi2, n, rng))["xi2"] for _ in range(400)]
    values = np.array([q.value for q in found])
    assert abs(values.mean() - xi2) < BAND * values.std() / 20.0
    inside = sum(q.interval[0] <= xi2 <= q.interval[1] for q in found)
    assert inside >= 400 * 0.945 - BAND * math.sqrt(400 * 0.945 * 0.055)
    own = GAIN * (2 * SPIN) + 2 * BACKGROUND
    bound = squeezing_bounds(xi2, 4 * SPIN, LENGTH, own / GAIN**2, n)
    assert values.std() < bound * 1.35


def test_the_decibels_are_those_of_the_linear_mean() -> None:
    """xi2_db = 10 log10 xi2, limits alike; averages are taken in linear units."""
    found = wineland(shots(0.3, 60, np.random.default_rng(2)))
    assert found["xi2_db"].value == pytest.approx(10 * math.log10(found["xi2"].value))
    limits = [10 * math.log10(x) for x in found["xi2"].interval]
    assert found["xi2_db"].interval == pytest.approx(limits)


def test_detection_noise_is_subtracted_also_from_reference_shots() -> None:
    """Counting noise taken from the mean counts or from reference shots: the same number."""
    rng = np.random.default_rng(3)
    records = shots(0.1, 4000, rng)
    reference = rng.poisson(np.full((4000, 2), GAIN * SPIN + BACKGROUND))
    records["counts"] = np.concatenate([records["counts"], reference])
    records["setting"] = np.concatenate([records["setting"], np.full(4000, 2)])
    by_counting = wineland(records)["xi2"]
    by_reference = wineland(records, detection="reference")["xi2"]
    raw = wineland(records, detection="none")["xi2"]
    assert abs(by_counting.value - by_reference.value) < BAND * by_reference.std
    assert raw.value > by_counting.value + BAND * by_counting.std


def test_noise_above_the_signal_leaves_an_upper_limit() -> None:
    """Hidden squeezing: the interval starts at the Heisenberg limit, and a flag says why."""
    found = wineland(shots(0.001, 20, np.random.default_rng(5)))
    assert found["xi2"].interval[0] == 1.0 / (4.0 * SPIN)
    assert any("upper limit" in flag for flag in found.flags)


def test_gain_and_background_do_not_enter_a_ratio_of_counts() -> None:
    """Both from counts of the same detectors: a gain that is 10 % off changes nothing."""
    records = shots(0.2, 100, np.random.default_rng(6))
    right, wrong = (
        WinelandFromShots(SqueezingBeliefs(SPIN, 2, gain, BACKGROUND)) for gain in (GAIN, 110.0)
    )
    right.update(records)
    wrong.update(records)
    assert right.estimate()["xi2"].value == pytest.approx(wrong.estimate()["xi2"].value, rel=1e-12)


def angled(rng: np.random.Generator, n: int, angles: np.ndarray, c: float) -> dict:
    """Tomography shots with V = 40 + c cos(2 (phi - 0.4)), atoms^2, and length shots."""
    phi = np.repeat(angles, n)
    sigma = np.sqrt(40.0 + c * np.cos(2.0 * (phi - 0.4)))
    squeezed = counts_of(sigma * rng.standard_normal(phi.size), np.zeros(phi.size), rng)
    long = counts_of(rng.standard_normal(60), LENGTH + rng.standard_normal(60), rng)
    return {
        "counts": np.concatenate([squeezed, long]),
        "setting": np.repeat([0, 1], [phi.size, 60]),
        "angle": np.concatenate([phi, np.zeros(60)]),
    }


def tomography(records: dict, level: float = 0.95):
    estimator = SqueezingTomography(BELIEFS)
    estimator.update(records)
    return estimator.estimate(level)


def test_tomography_finds_the_squeezed_angle_and_covers() -> None:
    """Least variance, angle: unbiased, 95 % intervals cover, p-values uniform."""
    rng, angles = np.random.default_rng(8), np.linspace(0.0, math.pi, 9)[:-1]
    found = [tomography(angled(rng, 40, angles, 36.0)) for _ in range(300)]
    truth = 4 * SPIN * 4.0 / LENGTH**2
    values = np.array([f["xi2"].value for f in found])
    assert abs(values.mean() - truth) < BAND * values.std() / math.sqrt(300)
    for name, true in (("xi2", truth), ("angle", 0.4 + math.pi / 2)):
        inside = sum(f[name].interval[0] <= true <= f[name].interval[1] for f in found)
        assert inside >= 300 * 0.94 - BAND * math.sqrt(300 * 0.94 * 0.06)
    p_values = [f.goodness_of_fit.p_value for f in found]
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM
    noise = (2 * SPIN * GAIN + 2 * BACKGROUND) / GAIN**2
    parameters = (40.0, 36.0 * math.cos(0.8), 36.0 * math.sin(0.8))
    bound = tomography_bounds(parameters, np.repeat(angles, 40), noise)
    direction = np.array([1.0, -math.cos(0.8), -math.sin(0.8)])
    best = math.sqrt(direction @ bound @ direction) * 4 * SPIN / LENGTH**2
    assert values.std() < 1.25 * best


def test_an_isotropic_state_has_no_squeezed_angle() -> None:
    """Without a wave the interval of the angle is the whole half turn."""
    angles = np.linspace(0.0, math.pi, 9)[:-1]
    found = tomography(angled(np.random.default_rng(9), 30, angles, 0.0))
    assert found["angle"].interval == (0.0, math.pi)
    assert any("undetermined" in flag for flag in found.flags)


def test_a_wave_of_the_wrong_period_is_noticed() -> None:
    """Variance that goes as cos 4 phi gives a small p-value."""
    rng, angles = np.random.default_rng(10), np.linspace(0.0, math.pi, 9)[:-1]
    records = angled(rng, 200, angles, 0.0)
    phi = np.repeat(angles, 200)
    sums = np.sqrt(40.0 + 30.0 * np.cos(4.0 * phi)) * rng.standard_normal(phi.size)
    records["counts"][: phi.size] = counts_of(sums, np.zeros(phi.size), rng)
    assert tomography(records).goodness_of_fit.p_value < 1e-6


def test_two_mode_squeezing_reads_both_quadratures() -> None:
    """xi2 of both, and the separability sum below one with its interval."""
    rng = np.random.default_rng(11)
    n, sigma = 400, math.sqrt(10.0)
    z = np.zeros(n)
    x_plus = counts_of(sigma * rng.standard_normal(n), z, rng)
    y_minus = counts_of(z, sigma * rng.standard_normal(n), rng)
    long = counts_of(LENGTH + rng.standard_normal(n), z, rng)
    estimator = TwoModeSqueezing(BELIEFS)
    estimator.update(
        {"counts": np.concatenate([x_plus, y_minus, long]), "setting": np.repeat([0, 3, 1], n)}
    )
    found = estimator.estimate(1.0 - FALSE_ALARM)
    truth = 4 * SPIN * 10.0 / LENGTH**2
    for name, true in (("xi2_a", truth), ("xi2_b", truth), ("separability", 20.0 / LENGTH)):
        low, high = found[name].interval
        assert low < true < high
    assert found["separability"].interval[1] < 1.0


def test_the_certificate_rarely_errs_whatever_the_distribution() -> None:
    """xi^2 = 1 with rare outliers that carry the variance: never certified beyond its level."""
    rng, wrong = np.random.default_rng(12), 0
    beliefs = SqueezingBeliefs(5.0, 2, 1000.0, 0.0)
    for _ in range(200):
        rare = rng.random(300) < 0.05
        sums = np.where(rare, rng.choice([-10.0, 10.0], 300), 0.0)  # variance 5 = N_tot/4
        m = np.column_stack([sums, sums]) / 2.0
        m_length = np.tile([5.0, -5.0], (300, 1))
        counts = rng.poisson(1000.0 * (5.0 + np.concatenate([m, m_length])))
        test = SqueezingCertificate(beliefs)
        test.update({"counts": counts, "setting": np.repeat([0, 1], 300)})
        wrong += test.estimate()["xi2"].interval[1] < 1.0
    assert wrong <= 200 * 0.05 + BAND * math.sqrt(200 * 0.05)


def test_the_certificate_sees_strong_squeezing_with_enough_shots() -> None:
    """N_tot = 20: a few hundred shots of xi^2 about 0.1 reject "not squeezed"."""
    rng = np.random.default_rng(13)
    sums = rng.choice([-1.0, 0.0, 0.0, 0.0], 800)
    m = np.concatenate([np.column_stack([sums, 0 * sums]), np.tile([5.0, -5.0], (800, 1))])
    test = SqueezingCertificate(SqueezingBeliefs(5.0, 2, 1000.0, 0.0))
    counts = rng.poisson(1000.0 * (5.0 + m))
    test.update({"counts": counts, "setting": np.repeat([0, 1], 800)})
    found = test.estimate()
    assert found.diagnostics["p_value_not_squeezed"] < 0.01
    assert found["xi2"].interval[1] < 1.0


@pytest.mark.parametrize("kind", [WinelandFromShots, SqueezingTomography, SqueezingCertificate])
def test_blocks_give_the_same_as_all_at_once(kind: type) -> None:
    """Any split, the same quantities to 1e-9."""
    records = angled(np.random.default_rng(14), 30, np.linspace(0.0, 3.0, 6), 20.0)
    if kind is not SqueezingTomography:
        records.pop("angle")
    whole, split = kind(BELIEFS), kind(BELIEFS)
    whole.update(records)
    for part in np.array_split(np.arange(len(records["setting"])), [1, 7, 60, 61, 150]):
        split.update({name: column[part] for name, column in records.items()})
    first, second = whole.estimate(), split.estimate()
    for name, quantity in first.quantities.items():
        assert second[name].value == pytest.approx(quantity.value, rel=1e-9)
        assert second[name].interval == pytest.approx(quantity.interval, rel=1e-9)


def test_a_long_tail_with_few_shots_is_flagged() -> None:
    """Kurtosis above 6 below 1000 shots: the interval is said to be too short."""
    records = shots(0.2, 100, np.random.default_rng(15))
    records["counts"][0] += 2500
    found = wineland(records)
    assert found.diagnostics["kurtosis"] > 6.0
    assert any("kurtosis" in flag for flag in found.flags)


def test_drift_is_noticed() -> None:
    """Shots whose mean or spread drifts have a small p-value; good ones a uniform one."""
    rng = np.random.default_rng(16)
    p_values = [stationarity(rng.standard_normal(200)).p_value for _ in range(400)]
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM
    ramp = np.linspace(0.0, 2.0, 200)
    assert stationarity(rng.standard_normal(200) + ramp).p_value < 1e-3
    assert stationarity(rng.standard_normal(200) * (0.3 + ramp)).p_value < 1e-3


def test_a_detector_whose_gain_falls_is_noticed() -> None:
    """Shots that lose 10 % of their counts along the run fake noise: the ranks tell."""
    records = shots(0.2, 200, np.random.default_rng(31))
    fall = np.concatenate([np.linspace(1.0, 0.9, 200), np.ones(40)])
    fallen = {**records, "counts": np.rint(fall[:, None] * records["counts"])}
    assert wineland(records).goodness_of_fit.p_value > FALSE_ALARM
    found = wineland(fallen)
    assert found["xi2"].value > 1.5 * wineland(records)["xi2"].value
    assert found.goodness_of_fit.p_value < 1e-6


def test_limits_of_differences_and_ratios() -> None:
    """Exact numbers: limits of a difference of normal means, of a ratio with a known divisor."""
    first, second = Measured(3.0, 0.3, 2.4, 3.6), Measured(1.0, 0.4, 0.2, 1.8)
    assert difference(first, second).low == pytest.approx(2.0 - 1.0)
    known = Measured(2.0, 0.0, 2.0, 2.0)
    assert ratio_limits(first, known) == pytest.approx((1.2, 1.8))
    assert ratio_limits(first, Measured(1.0, 1.0, -0.5, 2.5))[1] == math.inf


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": np.full((40, 2), np.nan)}, "whole numbers"),
        ({"counts": np.full((40, 2), -1.0)}, "none negative"),
        ({"counts": np.full((40, 2), 2.5)}, "whole numbers"),
        ({"counts": np.full((40, 2), 50_000.0)}, "all atoms together"),
        ({"counts": np.zeros((40, 3))}, "shape"),
        ({"setting": np.full(40, 7)}, "must be one of"),
        ({"colour": np.zeros(40)}, "not known"),
    ],
)
def test_records_that_cannot_be_are_refused(change: dict, words: str) -> None:
    """Name, value and rule are in the message."""
    records = {"counts": np.full((40, 2), 5000.0), "setting": np.zeros(40), **change}
    with pytest.raises(RecordError, match=words):
        WinelandFromShots(BELIEFS).update(records)


def test_too_few_shots_are_refused_and_equal_shots_are_flagged() -> None:
    """One shot has no variance; equal shots have none that is believed."""
    estimator = WinelandFromShots(BELIEFS)
    with pytest.raises(RecordError, match="at least 6"):
        estimator.estimate()
    equal = {"counts": np.full((40, 2), 5000.0), "setting": np.repeat([0, 1], 20)}
    equal["counts"][20:, 0] = 9000.0
    estimator.update(equal)
    assert any("equal" in flag for flag in estimator.estimate().flags)
    with pytest.raises(ValueError, match="at least 6"):
        sample_variance(np.zeros(3), 0.95)
    with pytest.raises(RecordError, match="3 angles"):
        tomography(angled(np.random.default_rng(1), 30, np.array([0.0, 1.0]), 10.0))


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [6.5, 8.0])
def test_coverage_holds_for_long_tails(degrees: float) -> None:
    """Student's t, kurtosis to 6, 60 shots: .93 less its band; .945 where the kurtosis is known."""
    rng, runs = np.random.default_rng(17), 1000
    inside, known = 0, 0
    true, kurtosis = degrees / (degrees - 2.0), 3.0 + 6.0 / (degrees - 4.0)
    for _ in range(runs):
        values = rng.standard_t(degrees, 60)
        found = sample_variance(values, 0.95)
        inside += found.low <= true <= found.high
        found = sample_variance(values, 0.95, kurtosis)
        known += found.low <= true <= found.high
    assert inside >= runs * 0.93 - BAND * math.sqrt(runs * 0.93 * 0.07)
    assert known >= runs * 0.945 - BAND * math.sqrt(runs * 0.945 * 0.055)


def test_the_upper_limit_is_lifted_where_squares_are_skewed() -> None:
    """Never below Bonett's; far above it with one wide shot, no more than 100 times the variance.

    The lower limit stays, and a kurtosis by the model widens a sample that shows none.
    """
    rng = np.random.default_rng(21)
    plain = rng.standard_normal(60)
    one = np.append(plain, 8.0)
    for values in (plain, one):
        found = sample_variance(values, 0.95)
        reach = math.log(found.value / found.low)
        assert math.log(found.high / found.value) >= reach * (1.0 - 1e-12)
        assert found.high <= 100.0 * found.value
    lifted = sample_variance(one, 0.95)
    assert math.log(lifted.high / lifted.value) > 1.3 * math.log(lifted.value / lifted.low)
    known, unknown = sample_variance(plain, 0.95, 6.0), sample_variance(plain, 0.95)
    assert known.low < unknown.low and known.high > unknown.high and known.kurtosis == 6.0
