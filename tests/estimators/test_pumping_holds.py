"""Counts at a held pump: calibrations required, efficiency, coverage, unusable data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, chi2, kstest

from cavitylab.estimators import (
    Calibrated,
    ChainValues,
    HoldBeliefs,
    PumpingHold,
    RecordError,
    draw_sweeps,
    hold_bounds,
)
from cavitylab.estimators.pumping_hold import HoldPosterior, hold_coordinates
from cavitylab.models.pumped_superradiance import PumpedEnsemble
from cavitylab.models.pumped_superradiance_counts import FluorescenceReadout, hold_bound

FALSE_ALARM = 1e-4
ATOMS, WINDOW = 100, 30.0
TRUTH = ChainValues(1.0, 1.0, 50.0, 5.0)
SPREAD = np.array([1.0, 0.25, 0.1])  # of a, b, gamma


def _beliefs(off: np.ndarray | None = None) -> HoldBeliefs:
    values = np.array([50.0, 5.0, 1.0]) + (0.0 if off is None else off)
    a, b, gamma = (Calibrated(float(v), float(s)) for v, s in zip(values, SPREAD, strict=True))
    return HoldBeliefs(ATOMS, half_rate=a, background=b, decay=gamma)


def _draw(pumps: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Exact paths at pumps that stay where they are."""
    ramps = np.column_stack([pumps, pumps])
    counts = draw_sweeps(ATOMS, TRUTH, ramps, WINDOW, 2, rng)["counts"].sum(axis=1)
    return {"counts": counts, "pump": pumps, "time": np.full(pumps.size, WINDOW)}


def _estimate(records, beliefs=None):
    estimator = PumpingHold(beliefs or _beliefs())
    estimator.update(records)
    return estimator.estimate()


def test_without_calibrations_there_is_no_estimate() -> None:
    """a, b, gamma and the pump cannot be told apart from counts at one pump: refused."""
    a, b, gamma = Calibrated(50.0, 1.0), Calibrated(5.0, 0.2), Calibrated(1.0, 0.1)
    for kept in ({"half_rate": a, "background": b}, {"half_rate": a, "decay": gamma}, {}):
        with pytest.raises(ValueError, match="calibrated"):
            HoldBeliefs(ATOMS, **kept)
    with pytest.raises(ValueError, match="half_rate"):
        HoldBeliefs(ATOMS, background=b, decay=gamma)


def _campaign(replicates: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pumps = np.repeat([0.985, 1.01], 8)
    bound = hold_bounds(_beliefs(), TRUTH, pumps, WINDOW)["critical_pump"]
    errors, hits, p_values = [], 0, []
    for _ in range(replicates):
        off = SPREAD * rng.standard_normal(3)
        found = _estimate(_draw(pumps, rng), _beliefs(off))
        errors.append((found["critical_pump"].value - 1.0) / bound)
        low, high = found["critical_pump"].interval
        hits += low <= 1.0 <= high
        assert found.goodness_of_fit is not None
        p_values.append(found.goodness_of_fit.p_value)
    most = 1.1 * math.sqrt(chi2.isf(FALSE_ALARM, replicates) / replicates)
    assert math.sqrt(float(np.mean(np.square(errors)))) < most
    assert hits >= binom.ppf(FALSE_ALARM, replicates, 0.94)
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM


def test_estimates_reach_the_bound_and_cover() -> None:
    """Calibrations off by their stds; 16 windows of 30/gamma at two pumps."""
    _campaign(25, seed=1)


@pytest.mark.slow
def test_campaign_of_holds() -> None:
    """More replicates."""
    _campaign(90, seed=2)


def test_the_gradient_is_the_derivative() -> None:
    """Central differences of the log posterior."""
    records = _draw(np.repeat([0.98, 1.02], 4), np.random.default_rng(3))
    shots = np.column_stack([records["pump"], records["time"], records["counts"]])
    beliefs = _beliefs()
    posterior = HoldPosterior(beliefs, hold_coordinates(beliefs, shots), shots)
    x = np.array([0.005, math.log(48.0), 5.2, 0.1])
    gradient = posterior.evaluate(x).gradient
    for index in range(4):
        step = np.zeros(4)
        step[index] = 1e-4
        ends = posterior.evaluate(x + step).value - posterior.evaluate(x - step).value
        assert gradient[index] == pytest.approx(ends / 2e-4, rel=1e-4, abs=1e-3)


def test_one_window_has_the_error_of_the_models_and_not_poissons() -> None:
    """Calibrations sharp, one window: std of the fit is (2/N) sigma_s; Poisson's is far less."""
    beliefs = HoldBeliefs(
        ATOMS, Calibrated(50.0, 1e-3), Calibrated(5.0, 1e-3), Calibrated(1.0, 1e-3)
    )
    bound = hold_bound(PumpedEnsemble(ATOMS, 1.0), FluorescenceReadout(50.0, 5.0), WINDOW)
    records = {"counts": [round(bound.mean)], "pump": [1.0], "time": [WINDOW]}
    found = _estimate(records, beliefs)
    assert found["critical_pump"].value == pytest.approx(1.0, abs=2e-4)
    assert found["critical_pump"].std == pytest.approx(2 / ATOMS * bound.sigma_s, rel=0.03)
    assert found["critical_pump"].std > 3.0 * 2 / ATOMS * bound.sigma_s_poisson_only


def test_blocks_order_and_the_unit_of_time_do_not_matter() -> None:
    """Blocks in another order give the same; milliseconds scale the rates alone."""
    rng = np.random.default_rng(4)
    records = _draw(np.repeat([0.985, 1.01], 8), rng)
    whole = _estimate(records)
    estimator = PumpingHold(_beliefs())
    for part in np.split(rng.permutation(16), [1, 9]):
        estimator.update({name: column[part] for name, column in records.items()})
    parted = estimator.estimate()
    assert parted["critical_pump"].value == pytest.approx(whole["critical_pump"].value, abs=1e-9)
    assert parted["critical_pump"].interval == pytest.approx(
        whole["critical_pump"].interval, abs=1e-9
    )
    slow = HoldBeliefs(
        ATOMS, Calibrated(0.05, 1e-3), Calibrated(5e-3, 25e-5), Calibrated(1e-3, 1e-4)
    )
    scaled = _estimate({**records, "time": 1e3 * records["time"]}, slow)
    assert scaled["critical_pump"].value == pytest.approx(whole["critical_pump"].value, abs=1e-6)


def test_a_wrong_calibration_is_flagged() -> None:
    """Gain of the detector off by ten stds: the spread and the pumps contradict it."""
    rng = np.random.default_rng(5)
    records = _draw(np.repeat([0.9, 1.0, 1.1], 20), rng)
    wrong = HoldBeliefs(ATOMS, Calibrated(60.0, 1.0), Calibrated(5.0, 0.25), Calibrated(1.0, 0.1))
    found = _estimate(records, wrong)
    assert found.goodness_of_fit is not None and found.goodness_of_fit.p_value < 1e-4


def test_a_transition_that_drifts_within_the_run_is_flagged() -> None:
    """u_c moves by twice its width: the windows scatter more than the light does."""
    drift = np.linspace(-0.04, 0.04, 20)
    pumps = np.tile([0.99, 1.01], 10)
    records = _draw(pumps / (1.0 + drift), np.random.default_rng(6))
    found = _estimate({**records, "pump": pumps})
    assert found.goodness_of_fit is not None and found.goodness_of_fit.p_value < 1e-4
    assert any("does not describe" in flag for flag in found.flags)


def test_a_pump_far_from_the_transition_leaves_one_side_open() -> None:
    """Saturated counts give one limit of u_c only, and say so."""
    counts = np.random.default_rng(6).poisson(105 * WINDOW, 6)
    found = _estimate({"counts": counts, "pump": np.full(6, 1.5), "time": np.full(6, WINDOW)})
    assert any("open" in f or "not determined" in f for f in found.flags)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ({"counts": [1], "pump": [1.0]}, "time"),
        ({"counts": [1], "pump": [1.0], "time": [0.0]}, "shot 0"),
        ({"counts": [1], "pump": [1.0], "time": [np.nan]}, "shot 0"),
        ({"counts": [0.5], "pump": [1.0], "time": [1.0]}, "whole"),
    ],
)
def test_unusable_records_are_refused(records, words: str) -> None:
    """Missing columns and values are named."""
    with pytest.raises(RecordError, match=words):
        PumpingHold(_beliefs()).update(records)


def test_no_window_and_short_windows_are_said() -> None:
    """Nothing used: whole range. Short windows: flagged."""
    empty = PumpingHold(_beliefs()).estimate()
    assert empty.flags and empty["critical_pump"].interval == pytest.approx(empty.identifiable)
    short = _estimate({"counts": [60], "pump": [1.0], "time": [1.0]})
    assert any("short" in flag for flag in short.flags)
