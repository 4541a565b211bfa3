"""Sweeps of the pump: moments, efficiency, coverage, checks, unusable data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, chi2, kstest

from cavitylab.estimators import (
    Calibrated,
    ChainValues,
    PumpingSweeps,
    RecordError,
    SweepBeliefs,
    draw_sweeps,
    sweep_bounds,
    sweep_mean_bounds,
)
from cavitylab.estimators.pumping_chain import Ramp
from cavitylab.estimators.pumping_moments import area_moments, expected_counts, merged
from cavitylab.models.pumped_superradiance_counts import sweep_inversion

FALSE_ALARM = 1e-4
ATOMS = 60
TRUTH = ChainValues(1.003, 1.0, 50.0, 5.0)
NAMES = {"critical_pump": 1.003, "decay": 1.0, "half_rate": 50.0, "background": 5.0}
REACH, DURATION, BINS = 12.0, 6.0, 60  # r = 4, bins of 0.1/gamma
LOW, HIGH = 1 - 2 * REACH / ATOMS, 1 + 2 * REACH / ATOMS


def _draw(sweeps: int, seed: int, truth: ChainValues = TRUTH) -> dict[str, np.ndarray]:
    """As many sweeps up as down."""
    ramps = [[LOW, HIGH]] * sweeps + [[HIGH, LOW]] * sweeps
    return draw_sweeps(ATOMS, truth, ramps, DURATION, BINS, np.random.default_rng(seed))


def _estimate(records, method="chain", beliefs=None):
    estimator = PumpingSweeps(beliefs or SweepBeliefs(ATOMS), method)
    estimator.update(records)
    return estimator.estimate()


@pytest.mark.parametrize("seed", [1, 8])
def test_few_atoms_and_few_sweeps_do_not_pull_the_background_to_zero(seed: int) -> None:
    """Eight sweeps of 20 atoms: converged, no p-value out of range, intervals hold the truth.

    A bin with next to no counts is beyond the expansion for motion within bins: taken beyond,
    one count there was certain at a background of zero, and the decay 1.44 +- .003.
    """
    rng = np.random.default_rng(seed)
    ramps = [[0.7, 1.4], [1.4, 0.7]] * 4
    estimator = PumpingSweeps(SweepBeliefs(20))
    estimator.update(draw_sweeps(20, ChainValues(1.0, 1.0, 50.0, 5.0), ramps, 4.0, 40, rng))
    found = estimator.estimate(1.0 - FALSE_ALARM)
    assert found.diagnostics["converged"] and found.diagnostics["method"] == "chain"
    assert 0.1 < found["decay"].std < 0.6 and found["background"].std > 0.5
    for name, true in {**NAMES, "critical_pump": 1.0}.items():
        assert found[name].interval[0] <= true <= found[name].interval[1], name
    assert found.goodness_of_fit is not None and found.goodness_of_fit.p_value > FALSE_ALARM


def test_moments_of_the_bins_are_those_of_the_models() -> None:
    """Means, covariances of int x dt, and slopes along a shift of the pump."""
    for start, stop in ((LOW, HIGH), (HIGH, LOW)):
        ramp = merged(Ramp(start, stop, DURATION, np.zeros((1, BINS))))
        found = area_moments(ATOMS, ramp, ChainValues(1.0, 1.0, 1.0, 0.0), covariance=True)
        s = 0.5 * ATOMS * (start + (stop - start) * ramp.edges - 1.0)
        model = sweep_inversion(ATOMS, s, 4.0)
        assert found.areas == pytest.approx(model.areas, abs=1e-3 * ramp.durations[0])
        assert found.covariance is not None
        largest = model.covariance.max()
        assert found.covariance == pytest.approx(model.covariance, abs=0.01 * largest)
        step = 1e-4
        ends = [
            area_moments(
                ATOMS,
                ramp,
                ChainValues(math.exp(sign * step), 1.0, 1.0, 0.0),
                covariance=False,
                steps_for=TRUTH,
            ).areas
            for sign in (1, -1)
        ]
        slopes = area_moments(ATOMS, ramp, ChainValues(1.0, 1.0, 1.0, 0.0), covariance=False)
        assert slopes.slopes[:, 0] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=2e-3)


def test_simulated_sweeps_have_the_expected_means_and_covariances() -> None:
    """Jump-by-jump sweeps against the equations: chi-square of the means, total variance."""
    records = _draw(600, 5)
    ramp = merged(Ramp(LOW, HIGH, DURATION, records["counts"][:600]))
    mean, _, noise = expected_counts(ATOMS, ramp, TRUTH, covariance=True)
    off = ramp.means - mean
    statistic = 600 * off @ np.linalg.solve(noise, off)
    assert statistic < chi2.isf(FALSE_ALARM, mean.size)
    total = records["counts"][:600].sum(axis=1)
    assert total.var() == pytest.approx(noise.sum(), rel=4 * math.sqrt(2 / 600))


def _campaign(replicates: int, sweeps: int, method: str, seed: int) -> None:
    """Bands with a false alarm of 1e-4 each around rmse/bound <= 1.12, coverage, p-values."""
    beliefs = SweepBeliefs(ATOMS)
    ramps = [[LOW, HIGH]] * sweeps + [[HIGH, LOW]] * sweeps
    if method == "chain":
        rng = np.random.default_rng(6)
        bounds = sweep_bounds(beliefs, TRUTH, ramps, DURATION, BINS, rng)
    else:
        bounds = sweep_mean_bounds(beliefs, TRUTH, ramps, DURATION, BINS)
    errors, hits, p_values = [], 0, []
    for k in range(replicates):
        found = _estimate(_draw(sweeps, 1000 * seed + k), method)
        errors.append((found["critical_pump"].value - 1.003) / bounds["critical_pump"])
        low, high = found["critical_pump"].interval
        hits += low <= 1.003 <= high
        assert found.goodness_of_fit is not None
        p_values.append(found.goodness_of_fit.p_value)
    most = 1.12 * math.sqrt(chi2.isf(FALSE_ALARM, replicates) / replicates)
    assert math.sqrt(float(np.mean(np.square(errors)))) < most
    assert hits >= binom.ppf(FALSE_ALARM, replicates, 0.935)
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM


@pytest.mark.parametrize("method", ["chain", "moments"])
def test_estimates_reach_the_bound_and_cover(method: str) -> None:
    """12 sweeps up and 12 down; the fast path against the bound of mean counts."""
    _campaign(8, 12, method, seed=7)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["chain", "moments"])
def test_campaign_of_sweeps(method: str) -> None:
    """More replicates."""
    _campaign(30, 20, method, seed=8)


def test_the_full_likelihood_tells_more_than_the_means() -> None:
    """The bound of mean counts lies above that of the chain for each of the four numbers."""
    ramps = [[LOW, HIGH]] * 20 + [[HIGH, LOW]] * 20
    beliefs = SweepBeliefs(ATOMS)
    full = sweep_bounds(beliefs, TRUTH, ramps, DURATION, BINS, np.random.default_rng(9))
    means = sweep_mean_bounds(beliefs, TRUTH, ramps, DURATION, BINS)
    assert all(means[name] > 0.97 * full[name] for name in NAMES)
    assert means["decay"] > 1.2 * full["decay"]
    assert means["critical_pump"] < 1.4 * full["critical_pump"]


def test_blocks_and_order_do_not_matter() -> None:
    """Any division into blocks, sweeps in any order, down before up: the same answer."""
    records = _draw(6, 10)
    whole = _estimate(records)
    order = np.random.default_rng(11).permutation(12)[::-1]
    estimator = PumpingSweeps(SweepBeliefs(ATOMS))
    for part in np.split(order, [1, 5]):
        estimator.update({name: column[part] for name, column in records.items()})
        estimator.quick()
    parted = estimator.estimate()
    for name in NAMES:
        assert parted[name].value == pytest.approx(whole[name].value, rel=1e-9, abs=1e-9)
        assert parted[name].interval == pytest.approx(whole[name].interval, rel=1e-9, abs=1e-9)


def test_units_of_time_and_knob_carry_through() -> None:
    """Milliseconds for seconds, watts for volts: rates and u_c scale, nothing else."""
    records = _draw(6, 12)
    plain = _estimate(records)
    scaled = _estimate({**records, "time": 1e3 * records["time"], "pump": 0.2 * records["pump"]})
    factors = {"critical_pump": 0.2, "decay": 1e-3, "half_rate": 1e-3, "background": 1e-3}
    for name, factor in factors.items():
        assert scaled[name].value == pytest.approx(factor * plain[name].value, rel=1e-3)
    assert scaled.diagnostics["log_likelihood"] == pytest.approx(
        plain.diagnostics["log_likelihood"], abs=1e-3
    )


def test_sweeps_up_and_down_are_not_exchanged_by_reversal() -> None:
    """A record read backwards as a sweep of the other direction is refused by the p-value."""
    records = _draw(5, 13)
    backwards = {
        **records,
        "counts": records["counts"][:, ::-1],
        "pump": records["pump"][:, ::-1],
    }
    right, wrong = _estimate(records), _estimate(backwards)
    assert right.goodness_of_fit is not None and wrong.goodness_of_fit is not None
    assert right.goodness_of_fit.p_value > 1e-4 > wrong.goodness_of_fit.p_value
    assert any("does not describe" in flag for flag in wrong.flags)


def test_a_wrong_atom_number_and_saturation_are_flagged() -> None:
    """Twice the atoms, a saturated detector: p below 1e-4, from variance and correlation."""
    records = _draw(40, 16)
    twice = _estimate(records, beliefs=SweepBeliefs(2 * ATOMS))
    lost = np.minimum(records["counts"], 8.0)
    saturated = _estimate({**records, "counts": lost})
    for found in (twice, saturated):
        assert found.goodness_of_fit is not None and found.goodness_of_fit.p_value < 1e-4


def test_one_direction_long_bins_and_few_sweeps_are_flagged() -> None:
    """Each in words."""
    records = _draw(4, 15)
    up = {name: column[:4] for name, column in records.items()}
    assert any("one direction" in flag for flag in _estimate(up, "moments").flags)
    assert any("sweeps: the intervals" in flag for flag in _estimate(up, "moments").flags)
    coarse = {**records, "counts": records["counts"].reshape(8, 15, 4).sum(axis=2)}
    assert any("too long for the chain" in flag for flag in _estimate(coarse).flags)


def test_calibrations_enter_as_priors() -> None:
    """A calibrated decay narrows it, and a wrong one is noticed."""
    records = _draw(20, 16)
    free = _estimate(records, "moments")
    known = _estimate(records, "moments", SweepBeliefs(ATOMS, decay=Calibrated(1.0, 0.02)))
    wrong = _estimate(records, "moments", SweepBeliefs(ATOMS, half_rate=Calibrated(70.0, 0.7)))
    assert known["decay"].std < 0.025 < free["decay"].std
    assert wrong.goodness_of_fit is not None and wrong.goodness_of_fit.p_value < 1e-4


def test_poisson_law_alone_would_be_too_sure() -> None:
    """The atoms' own fluctuations make the errors larger than Poisson's law alone."""
    ramp = merged(Ramp(LOW, HIGH, DURATION, np.zeros((1, BINS))))
    mean, slopes, noise = expected_counts(ATOMS, ramp, TRUTH, covariance=True)
    full = np.linalg.inv(slopes.T @ np.linalg.solve(noise, slopes))
    naive = np.linalg.inv((slopes.T / mean) @ slopes)
    assert full[0, 0] > 1.5**2 * naive[0, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": None}, "counts"),
        ({"pump": None}, "pump"),
        ({"time": None}, "time"),
        ({"counts": np.ones((2, 3))}, "4 bins"),
        ({"counts": np.ones(8)}, "shape"),
        ({"counts": np.full((2, 8), 0.5)}, "whole"),
        ({"counts": np.full((2, 8), -1)}, "negative"),
        ({"pump": [[0.9, 1.1]]}, "shape"),
        ({"pump": [[0.9, 1.1], [np.nan, 1.0]]}, "shot 1"),
        ({"pump": [[0.9, 1.1], [1.0, 1.0]]}, "different"),
        ({"time": [1.0, 0.0]}, "shot 1"),
    ],
)
def test_unusable_records_are_refused(change, words: str) -> None:
    """Missing columns, shapes and values are named; nothing of the block is kept."""
    records = {
        "counts": np.ones((2, 8)),
        "pump": [[0.9, 1.1], [1.1, 0.9]],
        "time": [1.0, 1.0],
        **change,
    }
    records = {name: column for name, column in records.items() if column is not None}
    estimator = PumpingSweeps(SweepBeliefs(ATOMS))
    with pytest.raises(RecordError, match=words):
        estimator.update(records)
    assert estimator.shots == 0


@pytest.mark.parametrize("counts", [None, np.zeros((4, 20)), np.full((4, 20), 3)])
def test_data_without_an_answer_give_the_whole_range(counts) -> None:
    """No sweep, no counts, constant counts."""
    estimator = PumpingSweeps(SweepBeliefs(ATOMS))
    if counts is not None:
        pump = [[0.9, 1.1], [1.1, 0.9]] * 2
        estimator.update({"counts": counts, "pump": pump, "time": np.ones(4)})
    found = estimator.estimate()
    assert found.flags and found["critical_pump"].interval == pytest.approx(found.identifiable)


def test_beliefs_and_methods_outside_their_rules_are_refused() -> None:
    """Each with its name and value."""
    with pytest.raises(ValueError, match="whole"):
        SweepBeliefs(10.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decay"):
        SweepBeliefs(10, decay=Calibrated(0.0, 1.0))
    with pytest.raises(ValueError, match="method"):
        PumpingSweeps(SweepBeliefs(10), "guess")
