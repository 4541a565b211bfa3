"""Drift: filter at the Kalman bound, diffusion estimated, steps found, blocks, bad data."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom, chi2, kstest

from cavitylab.estimators import DriftFilter, RecordError, drift_bounds, find_step

FALSE_ALARM = 1e-4
DIFFUSION, STD = 1e-3, 0.1


def _walk(rng, shots=300, diffusion=DIFFUSION, std=STD):
    truth = rng.standard_normal() + np.cumsum(math.sqrt(diffusion) * rng.standard_normal(shots))
    records = {
        "time": np.arange(shots, dtype=float),
        "value": truth + std * rng.standard_normal(shots),
        "std": np.full(shots, std),
    }
    return records, float(truth[-1])


def test_known_diffusion_reaches_the_kalman_bound() -> None:
    """rmse within the band of the bound (false alarm 1e-4), intervals cover."""
    rng = np.random.default_rng(1)
    bound = drift_bounds(DIFFUSION, 1.0, STD).std
    errors, hits, count = [], 0, 150
    for _ in range(count):
        records, truth = _walk(rng)
        drift = DriftFilter(DIFFUSION, (0.0, 2.0))
        drift.update(records)
        found = drift.estimate()["value"]
        errors.append((found.value - truth) / bound)
        hits += found.interval[0] <= truth <= found.interval[1]
    assert np.mean(np.square(errors)) < chi2.isf(FALSE_ALARM, count) / count
    assert np.mean(np.square(errors)) > chi2.ppf(FALSE_ALARM, count) / count
    assert hits >= binom.ppf(FALSE_ALARM, count, 0.95)


def test_unknown_diffusion_costs_little_and_is_estimated() -> None:
    """q between 1e-5 and 0.1: rmse within 1.1 of the bound, both intervals cover."""
    rng = np.random.default_rng(2)
    bound = drift_bounds(DIFFUSION, 1.0, STD).std
    errors, hits, found_q, count = [], 0, 0, 120
    for _ in range(count):
        records, truth = _walk(rng)
        drift = DriftFilter((1e-5, 1e-1), (0.0, 2.0))
        drift.update(records)
        estimate = drift.estimate()
        errors.append((estimate["value"].value - truth) / bound)
        hits += estimate["value"].interval[0] <= truth <= estimate["value"].interval[1]
        low, high = estimate["diffusion"].interval
        found_q += low <= DIFFUSION <= high
    assert np.mean(np.square(errors)) < 1.1**2 * chi2.isf(FALSE_ALARM, count) / count
    assert min(hits, found_q) >= binom.ppf(FALSE_ALARM, count, 0.94)


def test_posterior_is_calibrated_and_the_test_sees_over_confidence() -> None:
    """q drawn from the prior: scores have variance 1; with errors given 1/sqrt(1.3) they do not."""
    rng = np.random.default_rng(3)
    p_values = []
    for scale in (1.0, 1.0 / math.sqrt(1.3)):
        scores = []
        for _ in range(600):
            diffusion = math.exp(rng.uniform(math.log(1e-4), math.log(1e-2)))
            truth = np.cumsum(np.sqrt(diffusion) * rng.standard_normal(20))
            value = truth + STD * rng.standard_normal(20)
            drift = DriftFilter((1e-4, 1e-2), (0.0, 1e-6))
            drift.update(
                {
                    "time": np.arange(1.0, 21.0),
                    "value": value,
                    "std": np.full(20, scale * STD),
                }
            )
            found = drift.estimate()["value"]
            scores.append((found.value - truth[-1]) / (scale * found.std))
        square = float(np.sum(np.square(scores)))
        p_values.append(2.0 * min(chi2.sf(square, 600), chi2.cdf(square, 600)))
    assert p_values[0] > FALSE_ALARM
    assert p_values[1] < FALSE_ALARM


def test_any_split_gives_the_same_answer() -> None:
    """Measurement by measurement and all at once: equal to 1e-9."""
    records, _ = _walk(np.random.default_rng(4), 120)
    whole, single = (DriftFilter((1e-5, 1e-1), (0.0, 2.0)) for _ in range(2))
    whole.update(records)
    for k in range(120):
        single.update({name: column[k : k + 1] for name, column in records.items()})
    one, two = whole.estimate(), single.estimate()
    for name in ("value", "diffusion"):
        assert one[name].value == pytest.approx(two[name].value, rel=1e-9)
        assert one[name].interval == pytest.approx(two[name].interval, rel=1e-9)
    assert single.innovations == pytest.approx(whole.innovations, abs=1e-9)


def test_a_block_of_a_thousand_is_absorbed_in_ten_milliseconds() -> None:
    """Processor time, best of five new filters."""
    records, _ = _walk(np.random.default_rng(5), 1000)
    times = []
    for _ in range(5):
        drift = DriftFilter((1e-5, 1e-1), (0.0, 2.0))
        start = time.process_time()
        drift.update(records)
        times.append(time.process_time() - start)
    assert min(times) < 0.010


def test_a_step_is_found_where_it_happened() -> None:
    """A jump of five errors in data that stand still otherwise; flagged with its time."""
    rng = np.random.default_rng(6)
    value = STD * rng.standard_normal(200) + np.where(np.arange(200) < 120, 0.0, 5 * STD)
    step = find_step(value, STD)
    assert abs(step.index - 120) <= 2
    assert step.p_value < 1e-12
    drift = DriftFilter(0.0, (0.0, 1.0))
    drift.update({"time": np.arange(200.0), "value": value, "std": np.full(200, STD)})
    assert any("step or trend" in flag for flag in drift.estimate().flags)


def test_steps_are_not_seen_where_there_are_none() -> None:
    """p-values of quiet series are uniform or too large, never too small."""
    rng = np.random.default_rng(7)
    p_values = [find_step(rng.standard_normal(200)).p_value for _ in range(400)]
    assert kstest(p_values, "uniform", alternative="greater").pvalue > FALSE_ALARM


def test_innovations_are_standard_normal() -> None:
    """Also while the diffusion is being learnt (false alarm 1e-4)."""
    rng = np.random.default_rng(8)
    drift = DriftFilter((1e-4, 1e-2), (0.0, 2.0))
    drift.update(_walk(rng, 800)[0])
    assert kstest(drift.innovations, "norm").pvalue > FALSE_ALARM


def test_wrong_errors_are_flagged() -> None:
    """Errors given half as large as they are, diffusion known."""
    rng = np.random.default_rng(9)
    records, _ = _walk(rng)
    drift = DriftFilter(DIFFUSION, (0.0, 2.0))
    drift.update({**records, "std": 0.5 * records["std"]})
    assert any("do not describe" in flag for flag in drift.estimate().flags)


def test_no_measurements_give_the_prior_and_say_so() -> None:
    """Mean and std as before, flagged."""
    estimate = DriftFilter(DIFFUSION, (0.3, 2.0)).estimate()
    assert (estimate["value"].value, estimate["value"].std) == pytest.approx((0.3, 2.0))
    assert estimate["value"].interval[1] == pytest.approx(0.3 + 2.0 * ndtri(0.975))
    assert "no measurements" in estimate.flags[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"time": [1.0, 0.0]}, "must not fall"),
        ({"std": [0.0, 1.0]}, "std"),
        ({"value": [math.nan, 1.0]}, "value"),
        ({"time": [1.0]}, "shape"),
        ({"phase": [1.0, 1.0]}, "not known"),
    ],
)
def test_unusable_records_are_refused_by_name(change, words) -> None:
    """What, where, and the rule."""
    good = {"time": [0.0, 1.0], "value": [0.1, 0.2], "std": [0.1, 0.1]}
    with pytest.raises(RecordError, match=words):
        DriftFilter(DIFFUSION, (0.0, 1.0)).update({**good, **change})


@pytest.mark.parametrize("diffusion", [-1.0, math.nan, (0.0, 1.0), (2.0, 1.0)])
def test_diffusions_outside_their_rules_are_refused(diffusion) -> None:
    """The argument is named."""
    with pytest.raises(ValueError, match="diffusion"):
        DriftFilter(diffusion, (0.0, 1.0))
