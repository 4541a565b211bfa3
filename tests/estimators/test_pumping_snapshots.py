"""Snapshots of pumping scans: likelihood, efficiency, coverage, checks, blocks, unusable data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, chi2, kstest, poisson

from cavitylab.estimators import (
    Calibrated,
    PumpingSnapshots,
    RecordError,
    SnapshotBeliefs,
    draw_snapshots,
    snapshot_bounds,
)
from cavitylab.estimators.pumping_mixture import SnapshotLikelihood
from cavitylab.estimators.pumping_snapshots import SnapshotPosterior, snapshot_coordinates
from cavitylab.estimators.scoring import Point, maximise
from cavitylab.models.pumped_superradiance import PumpedEnsemble, pumped_steady_state

FALSE_ALARM = 1e-4
TRUTH = {"critical_pump": 1.003, "gain": 2.0, "background": 5.0}


def _pumps(atoms: int, shots: int) -> np.ndarray:
    return np.repeat(np.linspace(1 - 12 / atoms, 1 + 12 / atoms, 25), shots // 25)


def _draw(atoms: int, shots: int, seed: int) -> dict[str, np.ndarray]:
    return draw_snapshots(atoms, *TRUTH.values(), _pumps(atoms, shots), np.random.default_rng(seed))


def _estimate(records, beliefs, level=0.95):
    estimator = PumpingSnapshots(beliefs)
    estimator.update(records)
    return estimator.estimate(level)


def _campaign(atoms: int, shots: int, replicates: int, seed: int) -> None:
    """Bands with a false alarm of 1e-4 each: rmse/CRB <= 1.06, coverage, uniform p-values."""
    beliefs = SnapshotBeliefs(atoms)
    bounds = snapshot_bounds(beliefs, *TRUTH.values(), _pumps(atoms, shots))
    errors, hits, p_values = [], 0, []
    for k in range(replicates):
        found = _estimate(_draw(atoms, shots, 1000 * seed + k), beliefs)
        errors.append([(found[name].value - TRUTH[name]) / bounds[name] for name in TRUTH])
        low, high = found["critical_pump"].interval
        hits += low <= TRUTH["critical_pump"] <= high
        assert found.goodness_of_fit is not None
        p_values.append(found.goodness_of_fit.p_value)
    rmse = np.sqrt(np.mean(np.square(errors), axis=0))
    assert np.all(rmse < 1.06 * math.sqrt(chi2.isf(FALSE_ALARM / 3, replicates) / replicates))
    assert hits >= binom.ppf(FALSE_ALARM, replicates, 0.945)
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM


def test_estimates_reach_the_bound_and_cover() -> None:
    """N = 100, 500 shots: u_c, gain and background at their bounds, honest intervals."""
    _campaign(100, 500, 40, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("atoms", [100, 400])
def test_campaign_of_snapshots(atoms: int) -> None:
    """More replicates, and more atoms."""
    _campaign(atoms, 500, 150, seed=2)


def test_the_likelihood_is_the_mixture_over_all_atom_numbers() -> None:
    """Gauss nodes give the sum over n, far from the transition as well, to rounding."""
    rng = np.random.default_rng(3)
    for atoms, gain, background in ((100, 2.0, 5.0), (1000, 0.5, 3.0), (300, 50.0, 20.0)):
        n = np.arange(atoms + 1)
        pumps = np.array([0.3, 1 - 8 / atoms, 1.0, 1 + 3 / atoms, 1.6])
        counts = rng.poisson(gain * atoms * np.array([0.0, 0.1, 0.5, 0.8, 1.0]) + background) * 1.0
        logs, _ = SnapshotLikelihood(pumps, counts).evaluate(1.01, gain, background, atoms)
        for u, y, value in zip(pumps, counts, logs, strict=True):
            weight = n * math.log(u / 1.01)
            p = np.exp(weight - weight.max())
            mixture = (p / p.sum()) @ poisson.pmf(y, gain * n + background)
            assert value == pytest.approx(math.log(mixture), abs=1e-8)


def test_levels_near_a_count_stand_for_all_levels() -> None:
    """Where counts tell atoms apart most levels add nothing: logarithms and scores are the same."""
    records = draw_snapshots(300, 1.0, 50.0, 20.0, _pumps(300, 200), np.random.default_rng(1))
    counts, pumps = records["counts"].ravel(), records["pump"]
    pumps[:3], counts[:6] = 0.0, (0.0, 3.0, 60.0, 0.0, 1.0, 15000.0)
    number = np.arange(301.0)
    for critical, gain, background in ((1.0, 50.0, 20.0), (0.7, 60.0, 0.0), (2.0, 45.0, 300.0)):
        logs, scores = SnapshotLikelihood(pumps, counts).evaluate(critical, gain, background, 300.0)
        ratio = np.maximum(np.log(np.maximum(pumps, 1e-300) / critical), -12.0)
        prior = ratio[:, None] * number
        prior -= np.logaddexp.reduce(prior, axis=1)[:, None]
        mean = gain * number + max(background, 1e-3)
        whole = prior + poisson.logpmf(counts[:, None], mean)
        exact = np.logaddexp.reduce(whole, axis=1)
        weight = np.exp(whole - exact[:, None])
        assert logs == pytest.approx(exact, rel=1e-9, abs=1e-8)
        by_background = (weight * (counts[:, None] / mean - 1.0)).sum(axis=1)
        assert scores[:, 2] == pytest.approx(by_background, rel=1e-6, abs=1e-8)


def test_a_wrong_tooth_of_the_comb_is_left_soon(monkeypatch) -> None:
    """N = 1000, gain 50: scoring that gets stuck far off begins anew (757 evaluations before)."""
    evaluate, calls = SnapshotLikelihood.evaluate, []

    def counted(self, *values):
        calls.append(1)
        return evaluate(self, *values)

    monkeypatch.setattr(SnapshotLikelihood, "evaluate", counted)
    rng = np.random.default_rng(0)
    found = _estimate(
        draw_snapshots(1000, 1.003, 50.0, 20.0, _pumps(1000, 1000), rng), SnapshotBeliefs(1000)
    )
    assert found.diagnostics["converged"] and len(calls) < 450
    assert found["background"].value == pytest.approx(20.0, abs=8.0)
    assert found["gain"].value == pytest.approx(50.0, abs=0.5)


def test_the_three_level_droop_is_the_product_of_its_rates() -> None:
    """p_(n+1)/p_n = (u/u_c)/(1 + (droop (n+1))^2), also where only some nodes are kept."""
    atoms, droop = 400, 5e-4
    n = np.arange(atoms + 1)
    weight = n * math.log(1.03) - np.cumsum(np.log1p((droop * n) ** 2))
    p = np.exp(weight - weight.max())
    p /= p.sum()
    counts = np.array([10.0, 120.0, 250.0])
    likelihood = SnapshotLikelihood(np.full(3, 1.03), counts, droop)
    assert likelihood.ladder(1.0, 0.6, 4.0, atoms).last < atoms
    logs, _ = likelihood.evaluate(1.0, 0.6, 4.0, atoms)
    expected = [math.log(p @ poisson.pmf(y, 0.6 * n + 4.0)) for y in counts]
    assert logs == pytest.approx(expected, abs=1e-9)


def test_probabilities_of_all_counts_add_up_to_one() -> None:
    """For whole and for fractional N."""
    counts = np.arange(600.0)
    for atoms in (60, 60.5, 500.3):
        logs, _ = SnapshotLikelihood(np.full(600, 0.99), counts).evaluate(1.0, 0.7, 3.0, atoms)
        assert np.exp(logs).sum() == pytest.approx(1.0, abs=1e-10)


def test_scores_are_the_derivatives() -> None:
    """Against central differences, N included."""
    records = _draw(200, 100, 4)
    likelihood = SnapshotLikelihood(records["pump"], records["counts"][:, 0])
    x = np.array([0.004, math.log(1.9), 5.5])
    _, scores = likelihood.evaluate(math.exp(x[0]), math.exp(x[1]), x[2], 200)
    for index in range(3):
        step = np.zeros(3)
        step[index] = 1e-5
        ends = [
            likelihood.evaluate(math.exp(v[0]), math.exp(v[1]), v[2], 200)[0]
            for v in (x + step, x - step)
        ]
        assert scores[:, index] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-5)
    by_atoms = likelihood.atoms_score(math.exp(x[0]), math.exp(x[1]), x[2], 200)
    assert np.all(np.isfinite(by_atoms)) and by_atoms.std() > 1.0


def test_ranks_are_uniform_and_an_overconfident_likelihood_is_caught() -> None:
    """Squares of (fit - truth)/std add up as chi-square; with the log-likelihood x 1.3 not.

    Truths are drawn from their calibrations. False alarm 1e-4 on either side. Nor with 5 % of
    stray shots, which the model does not know.
    """

    class Overconfident(SnapshotPosterior):
        def evaluate(self, x: np.ndarray) -> Point:
            point = super().evaluate(x)
            parts = (1.3 * point.value, 1.3 * point.gradient, 1.3 * point.information)
            return Point(point.x, *parts)

    rng = np.random.default_rng(5)
    atoms, pumps = 40, _pumps(40, 200)
    prior = {"gain": Calibrated(2.0, 0.1), "background": Calibrated(5.0, 0.5)}
    beliefs = SnapshotBeliefs(atoms, **prior)
    squares, spoiled = np.zeros((2, 500)), 0.0
    for k in range(500):
        gain, background = 2.0 * math.exp(0.05 * rng.standard_normal()), 5 + 0.5 * rng.normal()
        records = draw_snapshots(atoms, 1.0, gain, background, pumps, rng)
        estimator = PumpingSnapshots(beliefs)
        estimator.update(records)
        pairs, repeats = estimator._pairs()
        coordinates = snapshot_coordinates(beliefs, pairs)
        start = np.array([0.0, math.log(gain), background])
        for row, kind in enumerate((SnapshotPosterior, Overconfident)):
            found = maximise(kind(beliefs, coordinates, pairs, repeats), start)
            start = found.point.x
            squares[row, k] = start[0] ** 2 / found.covariance[0, 0]
        if k < 20:
            other = np.random.default_rng([6, k])
            lost = other.random(pumps.size) < 0.05
            far = other.integers(0, 300, pumps.size)
            counts = np.where(lost, far, np.ravel(records["counts"]))
            astray = _estimate({"counts": counts, "pump": pumps}, beliefs)["critical_pump"]
            spoiled += ((astray.value - 1.0) / astray.std) ** 2
    low, high = chi2.ppf(FALSE_ALARM, 500), chi2.isf(FALSE_ALARM, 500)
    assert low < squares[0].sum() < high
    assert squares[1].sum() > high
    assert spoiled > chi2.isf(FALSE_ALARM, 20)


def test_blocks_and_order_do_not_matter() -> None:
    """Any division into blocks and any order of the shots give the same answer."""
    records, beliefs = _draw(100, 400, 6), SnapshotBeliefs(100)
    whole = _estimate(records, beliefs)
    order = np.random.default_rng(7).permutation(400)
    estimator = PumpingSnapshots(beliefs)
    for part in np.split(order, [1, 30, 200]):
        estimator.update({name: column[part] for name, column in records.items()})
        estimator.estimate()
    parted = estimator.estimate()
    for name in TRUTH:
        assert parted[name].value == pytest.approx(whole[name].value, abs=1e-9)
        assert parted[name].interval == pytest.approx(whole[name].interval, abs=1e-9)


def test_the_unit_of_the_knob_carries_through() -> None:
    """The knob in other units: u_c scales, gain and background stay."""
    records, beliefs = _draw(100, 400, 8), SnapshotBeliefs(100)
    plain = _estimate(records, beliefs)
    scaled = _estimate({**records, "pump": 250.0 * records["pump"]}, beliefs)
    ratio = scaled["critical_pump"].value / plain["critical_pump"].value
    assert ratio == pytest.approx(250.0, rel=1e-7)
    assert scaled["gain"].value == pytest.approx(plain["gain"].value, rel=1e-6)


def test_calibrations_narrow_the_fit_and_an_uncertain_atom_number_widens_it() -> None:
    """A calibrated gain lowers the std of the gain; a free N raises it."""
    records = _draw(100, 500, 9)
    plain = _estimate(records, SnapshotBeliefs(100))
    known = _estimate(records, SnapshotBeliefs(100, gain=Calibrated(2.0, 0.004)))
    free = _estimate(records, SnapshotBeliefs(100, atoms_std=5.0))
    assert known["gain"].std < 0.5 * plain["gain"].std < 0.5 * free["gain"].std
    low, high = free["atoms"].interval
    assert low < 100 < high


def test_single_atoms_in_the_counts_do_not_mislead() -> None:
    """Gain 50: each offset of the comb is a local maximum; the fit takes the right one."""
    beliefs, pumps = SnapshotBeliefs(100), _pumps(100, 500)
    for seed in range(8):
        records = draw_snapshots(100, 1.0, 50.0, 20.0, pumps, np.random.default_rng(seed))
        found = _estimate(records, beliefs)
        assert abs(found["background"].value - 20.0) < 6.0 * found["background"].std
        assert abs(found["critical_pump"].value - 1.0) < 5.0 * found["critical_pump"].std


def test_the_bound_of_perfect_counting_is_that_of_the_atoms() -> None:
    """Large gain, calibrated readout: information Var n/u_c^2 a shot, as the model has it."""
    calibrated = {"gain": Calibrated(1e4, 1e-3), "background": Calibrated(1.0, 1e-3)}
    beliefs = SnapshotBeliefs(60, **calibrated)
    bound = snapshot_bounds(beliefs, 1.0, 1e4, 1.0, np.full(7, 1.02))["critical_pump"]
    variance = pumped_steady_state(PumpedEnsemble(60, 1.02)).variance
    assert bound == pytest.approx(1.0 / math.sqrt(7 * variance), rel=2e-3)


def test_wrong_models_are_flagged() -> None:
    """Half the atoms believed, a saturated detector, counts beyond all atoms: p below 1e-4."""
    records = _draw(100, 1000, 10)
    saturated = {**records, "counts": np.minimum(records["counts"], 120.0)}
    stray = {**records, "counts": records["counts"].copy()}
    stray["counts"][5] = 3000.0
    calibrated = SnapshotBeliefs(100, gain=Calibrated(2.0, 0.02), background=Calibrated(5.0, 0.2))
    for found in (
        _estimate(records, SnapshotBeliefs(50)),
        _estimate(saturated, SnapshotBeliefs(100)),
        _estimate(stray, calibrated),
    ):
        assert found.goodness_of_fit is not None and found.goodness_of_fit.p_value < 1e-4
        assert any("does not describe" in flag for flag in found.flags)


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ({"counts": [1, 2]}, "pump"),
        ({"pump": [1.0]}, "counts"),
        ({"counts": [1, 2], "pump": [1.0]}, "shape"),
        ({"counts": [1, 2], "pump": [1.0, np.nan]}, "shot 1"),
        ({"counts": [1, 2], "pump": [-1.0, 1.0]}, "shot 0"),
        ({"counts": [1.5, 2], "pump": [1.0, 1.0]}, "whole"),
        ({"counts": [1, -2], "pump": [1.0, 1.0]}, "negative"),
        ({"counts": [1, np.nan], "pump": [1.0, 1.0]}, "whole"),
        ({"counts": ["a", "b"], "pump": [1.0, 1.0]}, "numbers"),
    ],
)
def test_unusable_records_are_refused(records, words: str) -> None:
    """Missing columns, shapes and values are named; nothing of the block is kept."""
    estimator = PumpingSnapshots(SnapshotBeliefs(100))
    with pytest.raises(RecordError, match=words):
        estimator.update(records)
    assert estimator.shots == 0


@pytest.mark.parametrize(
    "records",
    [
        None,
        {"counts": [7], "pump": [1.0]},
        {"counts": np.full(50, 7), "pump": np.linspace(0.9, 1.1, 50)},
        {"counts": np.zeros(50), "pump": np.linspace(0.9, 1.1, 50)},
        {"counts": np.arange(50), "pump": np.zeros(50)},
        {"counts": np.arange(50), "pump": np.ones(50), "status": np.zeros(50)},
    ],
)
def test_data_without_an_answer_give_the_whole_range(records) -> None:
    """No shot, one shot, constant counts, pump off, only bad shots: flagged, whole range."""
    estimator = PumpingSnapshots(SnapshotBeliefs(100))
    if records is not None:
        estimator.update(records)
    found = estimator.estimate()
    assert found.flags and found["critical_pump"].interval == pytest.approx(found.identifiable)


def test_pumps_far_from_the_transition_leave_it_open() -> None:
    """All pumps far above: the mean counts are constant, u_c has its whole range."""
    pumps = np.repeat(np.linspace(2.0, 3.0, 10), 20)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        found = _estimate(draw_snapshots(100, 1.0, 2.0, 5.0, pumps, rng), SnapshotBeliefs(100))
        assert any("do not show the transition" in flag for flag in found.flags)
        low, high = found["critical_pump"].interval
        assert low < 1.0 < high


def test_a_million_shots_are_taken() -> None:
    """Repeated pairs are counted once: a large record costs little more than a small one."""
    rng = np.random.default_rng(12)
    pumps = np.repeat(np.linspace(0.9, 1.1, 20), 50_000)
    records = draw_snapshots(50, 1.0, 1.0, 2.0, pumps, rng)
    found = _estimate(records, SnapshotBeliefs(50))
    assert found.shots == 1_000_000
    assert abs(found["critical_pump"].value - 1.0) < 5.0 * found["critical_pump"].std < 1e-3


def test_beliefs_outside_their_rules_are_refused() -> None:
    """Each with its name and value."""
    for wrong in ({"atoms": 1}, {"atoms": math.nan}, {"atoms": 50, "atoms_std": -1.0}):
        with pytest.raises(ValueError, match="atoms"):
            SnapshotBeliefs(**wrong)
    with pytest.raises(ValueError, match="gain"):
        SnapshotBeliefs(50, gain=Calibrated(0.0, 1.0))
    with pytest.raises(ValueError, match="std"):
        Calibrated(1.0, 0.0)
    with pytest.raises(ValueError, match="level"):
        PumpingSnapshots(SnapshotBeliefs(50)).estimate(1.5)


def test_one_shot_at_each_pump_leads_to_no_wrong_maximum() -> None:
    """Twenty atoms, sixty pumps with a shot each: u_c within five standard deviations, always."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        pumps = np.linspace(0.7, 1.3, 60)
        found = _estimate(draw_snapshots(20, 1.0, 20.0, 5.0, pumps, rng), SnapshotBeliefs(20))
        critical = found["critical_pump"]
        assert abs(critical.value - 1.0) < 5.0 * critical.std
        assert found.goodness_of_fit.p_value > FALSE_ALARM
