"""The facade: efficiency, coverage, checks, blocks, symmetries, folds, and unusable data."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from scipy.stats import binom, chi2, kstest

from cavitylab.estimators import EllipsePhase, RecordError, ellipse_bounds
from cavitylab.estimators.ellipse_posterior import EllipsePosterior
from cavitylab.estimators.likelihood_table import TableLikelihood
from cavitylab.estimators.scoring import maximise

FALSE_ALARM = 1e-4


def _estimate(lab, counts, **beliefs):
    estimator = EllipsePhase(lab.beliefs(**beliefs))
    estimator.update({"counts": counts})
    return estimator.estimate()


def _campaign(lab, phase: float, shots: int, replicates: int, seed: int):
    """Errors in units of the bound, hits of the 95 % interval, p-values."""
    rng = np.random.default_rng(seed)
    bound = ellipse_bounds(lab.beliefs(), phase, shots).cramer_rao_std
    estimator = EllipsePhase(lab.beliefs())
    errors, hits, p_values = [], 0, []
    for _ in range(replicates):
        estimator = EllipsePhase(lab.beliefs())
        estimator.update({"counts": lab.counts(phase, shots, rng)})
        estimate = estimator.estimate()
        errors.append((estimate["phase"].value - phase) / bound)
        low, high = estimate["phase"].interval
        hits += low <= phase <= high
        if estimate.goodness_of_fit is not None:
            p_values.append(estimate.goodness_of_fit.p_value)
    return np.array(errors), hits, np.array(p_values)


def _judge(errors: np.ndarray, hits: int, p_values: np.ndarray, ratio: float = 1.08) -> None:
    """Bands with a false alarm of 1e-4 each around rmse/CRB <= ratio and 95 % coverage."""
    count = errors.size
    most = ratio * math.sqrt(chi2.isf(FALSE_ALARM, count) / count)
    assert math.sqrt(float(np.mean(errors**2))) < most
    assert hits >= binom.ppf(FALSE_ALARM, count, 0.94)
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM


def test_small_ensembles_reach_the_bound_and_cover(ellipse_lab) -> None:
    """S = 10, 300 shots, all nuisances off: rmse at the bound, honest intervals and p-values."""
    _judge(*_campaign(ellipse_lab(spin=10.0, ratio=0.2), 0.5, 300, 40, seed=1))


def test_the_demonstration_reaches_the_bound_and_covers(ellipse_lab) -> None:
    """S = 50, gain 100, phi = 0.18, 300 shots."""
    _judge(*_campaign(ellipse_lab(), 0.18, 300, 10, seed=2))


@pytest.mark.slow
@pytest.mark.parametrize("phase", [0.05, 0.4, 1.4])
def test_campaign_of_the_demonstration(ellipse_lab, phase: float) -> None:
    """S = 50, gain 100, 1000 shots across the range of phases."""
    _judge(*_campaign(ellipse_lab(), phase, 1000, 25, seed=3))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("ratio", "gain"), [(0.1, 2500.0), (0.1, 800.0), (0.1, 20.0)])
def test_campaign_from_single_atoms_to_noisy_counting(ellipse_lab, ratio, gain) -> None:
    """Counting noise of 0.14, 0.25 and 1.6 atoms; the comb in the gain is searched."""
    lab = ellipse_lab(ratio=ratio, gain=gain, background=0.5 * gain)
    _judge(*_campaign(lab, 0.7, 1000, 16, seed=4))


@pytest.mark.slow
def test_campaign_of_the_ring(ellipse_lab) -> None:
    """S = 50, Delta/Omega = 0.5, two atoms of counting noise: the Gaussian ring is efficient."""
    _judge(*_campaign(ellipse_lab(ratio=0.5, gain=5.0, background=2.5), 0.3, 500, 50, seed=5))


@pytest.mark.slow
def test_campaign_near_a_fold(ellipse_lab) -> None:
    """phi = 0.02: rmse within 1.35 of the bound, coverage kept, never the fold itself."""
    errors, hits, _ = _campaign(ellipse_lab(), 0.02, 300, 35, seed=6)
    count = errors.size
    assert math.sqrt(float(np.mean(errors**2))) < 1.35 * math.sqrt(
        chi2.isf(FALSE_ALARM, count) / count
    )
    assert hits >= binom.ppf(FALSE_ALARM, count, 0.94)


def test_block_by_block_equals_all_at_once(ellipse_lab) -> None:
    """Any division into blocks, with estimates asked for on the way, gives the same answer."""
    lab = ellipse_lab(spin=15.0, ratio=0.2)
    counts = lab.counts(0.3, 400, np.random.default_rng(7))
    whole = _estimate(lab, counts)
    for cuts in ([1, 2, 50], [200], [399]):
        estimator = EllipsePhase(lab.beliefs())
        for block in np.split(counts, cuts):
            estimator.update({"counts": block})
            estimator.quick()
        parted = estimator.estimate()
        assert parted["phase"].value == pytest.approx(whole["phase"].value, abs=1e-9)
        assert parted["phase"].interval == pytest.approx(whole["phase"].interval, abs=1e-9)
        assert parted.shots == 400


def test_the_order_of_the_shots_does_not_matter(ellipse_lab) -> None:
    """Shots are exchangeable."""
    lab = ellipse_lab(spin=15.0, ratio=0.2)
    rng = np.random.default_rng(8)
    counts = lab.counts(0.3, 400, rng)
    first, second = _estimate(lab, counts), _estimate(lab, rng.permutation(counts))
    assert second["phase"].value == pytest.approx(first["phase"].value, abs=1e-9)


def test_the_running_estimate_agrees_with_the_full_one(ellipse_lab) -> None:
    """quick() follows estimate() to a hundredth of a standard deviation, and costs little."""
    lab = ellipse_lab()
    counts = lab.counts(0.2, 1000, np.random.default_rng(9))
    estimator = EllipsePhase(lab.beliefs())
    estimator.update({"counts": counts[:800]})
    estimator.quick()
    estimator.update({"counts": counts[800:]})
    start = time.perf_counter()
    running = estimator.quick()["phase"]
    assert time.perf_counter() - start < 2.0  # 0.05 s on an idle machine
    full = estimator.estimate()["phase"]
    assert abs(running.value - full.value) < 0.01 * full.std
    assert running.interval == pytest.approx(full.interval, abs=0.2 * full.std)


def test_one_port_flipped_mirrors_the_estimate(ellipse_lab) -> None:
    """With resolved atoms and no background, n2 -> 2S - n2 turns phi into pi/2 - phi."""
    lab = ellipse_lab(
        spin=10.0, ratio=0.3, gain=1e4, background=0.0, relative=(0.025, 0.0, 0.0, 0.0)
    )
    rng = np.random.default_rng(11)
    counts = np.rint(lab.counts(0.3, 500, rng, exact=True) / 1e4) * 1e4
    flipped = np.column_stack([counts[:, 0], 2e5 - counts[:, 1]])
    there, back = _estimate(lab, counts)["phase"], _estimate(lab, flipped)["phase"]
    assert back.value == pytest.approx(math.pi / 2 - there.value, abs=0.05 * there.std)


def test_the_scale_of_the_counts_does_not_matter(ellipse_lab) -> None:
    """The same atoms seen with ten times the gain: a sharper answer inside the blunter one."""
    blunt = ellipse_lab(spin=15.0, ratio=0.2, gain=100.0)
    sharp = ellipse_lab(spin=15.0, ratio=0.2, gain=1000.0, background=500.0)
    rough = _estimate(blunt, blunt.counts(0.2, 500, np.random.default_rng(12), exact=True))
    fine = _estimate(sharp, sharp.counts(0.2, 500, np.random.default_rng(12), exact=True))
    assert fine["phase"].std < rough["phase"].std
    assert abs(fine["phase"].value - rough["phase"].value) < 5.0 * rough["phase"].std


@pytest.mark.parametrize("fold", [0.0, math.pi / 2])
def test_on_a_fold_the_interval_reaches_it_and_the_value_does_not(ellipse_lab, fold) -> None:
    """Data at a fold: interval cut there, a flag, and a value that is not the fold itself."""
    lab = ellipse_lab(spin=15.0, ratio=0.2)
    estimate = _estimate(lab, lab.counts(fold, 300, np.random.default_rng(13)))
    phase = estimate["phase"]
    assert fold in phase.interval
    assert 0.0 < abs(phase.value - fold) < 0.1
    assert phase.std > 0.0
    assert any("fold" in flag for flag in estimate.flags)


def test_the_signal_is_the_phase_less_the_bias(ellipse_lab) -> None:
    """The bias is subtracted and its uncertainty widens the interval in quadrature."""
    lab = ellipse_lab(spin=15.0, ratio=0.2)
    counts = lab.counts(0.3, 300, np.random.default_rng(14))
    estimate = _estimate(lab, counts, bias_phase=0.12, bias_std=0.004)
    phase, signal = estimate["phase"], estimate["signal"]
    assert signal.value == pytest.approx(phase.value - 0.12)
    assert signal.std == pytest.approx(math.hypot(phase.std, 0.004))
    reach = 1.959964 * 0.004
    low = signal.value - math.hypot(phase.value - phase.interval[0], reach)
    assert signal.interval[0] == pytest.approx(low)


def test_the_answer_is_strict_json_with_every_number(ellipse_lab) -> None:
    """Phase, signal and the four nuisances, each with interval and unit."""
    lab = ellipse_lab(spin=15.0, ratio=0.2)
    estimate = _estimate(lab, lab.counts(0.3, 300, np.random.default_rng(15)))
    form = json.loads(json.dumps(estimate.to_json(), allow_nan=False))
    names = {"phase", "signal", "gain", "background", "detuning_ratio", "pulse_area"}
    assert set(form["estimates"]) == names
    assert estimate.covariance.shape == (5, 5)
    assert np.sqrt(estimate.covariance[0, 0]) == pytest.approx(estimate["phase"].std)
    assert np.linalg.eigvalsh(estimate.covariance)[0] > 0.0


def test_known_nuisances_need_no_special_case(ellipse_lab) -> None:
    """A zero covariance means known exactly: those numbers come back unchanged."""
    lab = ellipse_lab(spin=15.0, ratio=0.2)
    counts = lab.counts(0.3, 300, np.random.default_rng(16), exact=True)
    estimate = _estimate(lab, counts, covariance=np.zeros((4, 4)))
    assert estimate["gain"].std == 0.0 and estimate["gain"].value == pytest.approx(100.0)
    known = ellipse_bounds(lab.beliefs(), 0.3, 300).cramer_rao_std_known
    assert estimate["phase"].std == pytest.approx(known, rel=0.25)
    assert abs(estimate["phase"].value - 0.3) < 5.0 * known


def test_a_wrong_gain_taken_as_known_is_noticed(ellipse_lab) -> None:
    """3 % off and declared exact: the check refuses the model."""
    lab = ellipse_lab()
    counts = lab.counts(0.2, 1000, np.random.default_rng(17), exact=True)
    estimate = _estimate(lab, counts, gain=103.0, covariance=np.zeros((4, 4)))
    assert estimate.goodness_of_fit.p_value < 1e-4
    assert any("does not describe" in flag for flag in estimate.flags)


@pytest.mark.parametrize(
    "change",
    [
        {"gain": 120.0},
        {"ratio": 0.15},
        {"pulse_area": 1.2 * math.pi / 2},
        {"spin": 40.0},
        {"background": 400.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_laboratory_beyond_its_calibrations_is_noticed(ellipse_lab, change) -> None:
    """Truth far outside the prior: a small p-value and a warning."""
    counts = ellipse_lab(**change).counts(0.18, 2000, np.random.default_rng(18), exact=True)
    estimate = _estimate(ellipse_lab(), counts)
    assert estimate.goodness_of_fit is None or estimate.goodness_of_fit.p_value < 1e-3
    if estimate.goodness_of_fit is None:
        assert estimate.flags


def test_a_phase_that_drifts_within_the_run_is_noticed(ellipse_lab) -> None:
    """Half of the shots 60 mrad from the other half."""
    lab = ellipse_lab()
    rng = np.random.default_rng(19)
    halves = [lab.counts(phase, 1000, rng, exact=True) for phase in (0.15, 0.21)]
    estimate = _estimate(lab, np.concatenate(halves))
    assert estimate.goodness_of_fit.p_value < 1e-4


def test_one_per_cent_of_stray_shots_is_harmless(ellipse_lab) -> None:
    """Uniform stray counts: recognised, and the phase moves by a fraction of its error."""
    lab = ellipse_lab()
    rng = np.random.default_rng(20)
    clean = lab.counts(0.2, 1000, rng)
    dirty = clean.copy()
    dirty[::100] = rng.integers(0, 10_000, (10, 2))
    before, after = _estimate(lab, clean), _estimate(lab, dirty)
    assert abs(after["phase"].value - before["phase"].value) < 0.7 * before["phase"].std
    assert after["phase"].std < 1.1 * before["phase"].std
    assert after.diagnostics["outlier_fraction"] == pytest.approx(0.01, abs=0.005)
    assert before.diagnostics["outlier_fraction"] < 0.003


@pytest.mark.parametrize(
    "counts",
    [
        np.zeros((0, 2)),
        np.array([[5100, 4900]]),
        np.full((500, 2), 5050),
        np.zeros((500, 2)),
        np.column_stack([np.full(500, 5050), np.arange(500) * 20]),
        np.full((500, 2), 10**7) + np.arange(1000).reshape(500, 2) * 1000,
        np.random.default_rng(21).integers(0, 10_000, (500, 2)),
    ],
    ids=["none", "one shot", "constant", "all zero", "one port constant", "too many", "noise"],
)
def test_data_without_an_ellipse_give_the_whole_range_and_the_reason(ellipse_lab, counts) -> None:
    """Never a confident wrong number: the interval is [0, pi/2] and a flag says why."""
    estimate = _estimate(ellipse_lab(), counts)
    assert estimate["phase"].interval == (0.0, math.pi / 2)
    assert "not determined" in estimate.flags[0]
    assert json.dumps(estimate.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ({}, "must have a column `counts`"),
        ({"counts": [1, 2, 3]}, "must have shape"),
        ({"counts": [[1, 2, 3]]}, "must have shape"),
        ({"counts": [[1, -2]]}, "none negative"),
        ({"counts": [[1.0, float("nan")]]}, "whole numbers"),
        ({"counts": [[1.5, 2.0]]}, "whole numbers"),
        ({"counts": [["many", "few"]]}, "must hold numbers"),
        ({"counts": [[1, 2]], "status": [1, 1]}, "must have shape"),
    ],
)
def test_records_that_cannot_be_counts_are_refused(ellipse_lab, records, reason) -> None:
    """Bad columns are refused with the reason, and nothing of the block is kept."""
    estimator = EllipsePhase(ellipse_lab().beliefs())
    with pytest.raises(RecordError, match=reason):
        estimator.update(records)
    assert estimator.shots == 0


def test_only_good_shots_are_used(ellipse_lab) -> None:
    """Shots with a status other than 1 are left out and counted, whatever they hold."""
    estimator = EllipsePhase(ellipse_lab().beliefs())
    counts = np.array([[5000.0, 5100.0], [np.nan, -1.0], [5200.0, 4900.0]])
    estimator.update({"counts": counts, "status": np.array([1, 2, 1])})
    assert estimator.shots == 2
    assert estimator.estimate().diagnostics["rejected_shots"] == 1


def test_few_shots_are_flagged(ellipse_lab) -> None:
    """Between 10 and 30 shots there is an answer, marked as approximate and without a check."""
    lab = ellipse_lab(spin=10.0, ratio=0.2)
    estimate = _estimate(lab, lab.counts(0.5, 20, np.random.default_rng(24)))
    assert estimate.goodness_of_fit is None
    assert any("approximate" in flag for flag in estimate.flags)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, float("nan")])
def test_levels_that_are_no_probability_are_refused(ellipse_lab, level) -> None:
    """The confidence level lies strictly between 0 and 1."""
    with pytest.raises(ValueError, match="`level`"):
        EllipsePhase(ellipse_lab().beliefs()).estimate(level)


def test_unknown_methods_are_refused(ellipse_lab) -> None:
    """The message lists the methods that exist."""
    with pytest.raises(ValueError, match="exact_table, gaussian_ring"):
        EllipsePhase(ellipse_lab().beliefs(), method="conic")


def test_minuit_finds_the_same_maximum_and_interval(ellipse_lab) -> None:
    """An independent minimiser on the same posterior: value and MINOS interval agree."""
    iminuit = pytest.importorskip("iminuit")
    lab = ellipse_lab(spin=10.0, ratio=0.2)
    beliefs = lab.beliefs()
    counts = lab.counts(0.4, 400, np.random.default_rng(22)).astype(float)
    posterior = EllipsePosterior(TableLikelihood(beliefs), beliefs, counts)
    found = maximise(posterior, posterior.start(0.4))
    names = [f"x{k}" for k in range(found.point.x.size)]
    minuit = iminuit.Minuit(
        lambda x: -posterior.evaluate(np.asarray(x)).value,
        posterior.start(0.42),
        name=names,
        grad=lambda x: -posterior.evaluate(np.asarray(x)).gradient,
    )
    minuit.errordef = iminuit.Minuit.LIKELIHOOD
    minuit.fixed["x5"] = True
    minuit.values["x5"] = found.point.x[-1]
    minuit.migrad()
    minuit.minos("x0", cl=0.95)
    ours = _estimate(lab, counts)["phase"]
    value = 0.5 * math.acos(minuit.values["x0"])
    low = 0.5 * math.acos(minuit.values["x0"] + minuit.merrors["x0"].upper)
    high = 0.5 * math.acos(minuit.values["x0"] + minuit.merrors["x0"].lower)
    assert ours.value == pytest.approx(value, abs=0.01 * ours.std)
    assert ours.interval == pytest.approx((low, high), abs=0.04 * ours.std)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_very_many_shots_are_fitted_in_blocks_of_memory(ellipse_lab) -> None:
    """100 000 shots: the error falls as expected and the estimate stays at the truth."""
    lab = ellipse_lab(spin=10.0, ratio=0.2)
    counts = lab.counts(0.4, 100_000, np.random.default_rng(23))
    estimate = _estimate(lab, counts)
    bound = ellipse_bounds(lab.beliefs(), 0.4, 100_000).cramer_rao_std
    assert estimate["phase"].std == pytest.approx(bound, rel=0.1)
    assert abs(estimate["phase"].value - 0.4) < 5.0 * bound
