"""Ellipses of independent atoms, several jointly, rotor mixture: bounds, folds, symmetries."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom, chi2, kstest

from cavitylab.estimators import (
    CommonPhase,
    EllipseAtoms,
    EllipseBeliefs,
    EllipseContrasts,
    EllipsePhase,
    EstimatorRangeError,
    JointEllipses,
    RecordError,
    ellipse_atoms_bounds,
)
from cavitylab.estimators.binomial_ring import BinomialRing, IndependentRing
from cavitylab.estimators.likelihood_table import TableLikelihood
from cavitylab.estimators.rotor_mixture import RotorLikelihood
from cavitylab.models.ellipse import sample

FALSE_ALARM = 1e-4
BAND = 3.9  # standard errors of a two-sided band at FALSE_ALARM
KNOWN = EllipseAtoms((100, 100), contrast_std=0.0, offset_std=0.0)
FREE = EllipseAtoms((400, 400), (0.9, 0.9), noise=8.0, noise_free=True)


def drawn(truth: EllipseAtoms, phase: float, shots: int, rng, theta=None) -> np.ndarray:
    """(shots, 2) atom numbers."""
    theta = rng.uniform(0.0, 2.0 * math.pi, shots) if theta is None else theta
    angle = phase + truth.jitter * rng.standard_normal(shots)
    sines = np.sin(np.column_stack([angle + theta, angle - theta]))
    p = np.array(truth.offsets) + 0.5 * np.array(truth.contrasts) * sines
    atoms = rng.binomial(np.array(truth.atoms), np.clip(p, 0.0, 1.0)).astype(float)
    noisy = np.rint(atoms + truth.noise * rng.standard_normal(atoms.shape))
    return np.clip(noisy, 0.0, np.array(truth.atoms))


def fitted(estimator, **records):
    estimator.update(records)
    return estimator.estimate()


def inside(quantity, truth: float) -> bool:
    return quantity.interval[0] <= truth <= quantity.interval[1]


def test_known_contrasts_reach_the_bound_and_cover() -> None:
    """rmse/bound <= 1.06, coverage and p-values, each with a false alarm of 1e-4."""
    rng, runs, phase = np.random.default_rng(1), 100, 0.4
    found = [
        fitted(EllipseContrasts(KNOWN), counts=drawn(KNOWN, phase, 100, rng)) for _ in range(runs)
    ]
    bound = ellipse_atoms_bounds(KNOWN, phase, 100)
    errors = np.array([f["phase"].value for f in found]) - phase
    band = math.sqrt(chi2.isf(FALSE_ALARM, runs) / runs)
    assert math.sqrt(np.mean(errors**2)) < 1.06 * bound * band
    assert sum(inside(f["phase"], phase) for f in found) >= binom.ppf(FALSE_ALARM, runs, 0.95)
    p_values = [f.goodness_of_fit.p_value for f in found if f.goodness_of_fit is not None]
    assert len(p_values) == runs
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM


def test_contrasts_offsets_and_noise_are_found_with_the_phase() -> None:
    """Everything free: near the bound, and the nuisances within five standard deviations."""
    rng, runs, phase = np.random.default_rng(2), 12, 0.6
    found = [
        fitted(EllipseContrasts(FREE), counts=drawn(FREE, phase, 200, rng)) for _ in range(runs)
    ]
    bound = ellipse_atoms_bounds(FREE, phase, 200)
    errors = np.array([f["phase"].value for f in found]) - phase
    assert math.sqrt(np.mean(errors**2)) < 1.1 * bound * math.sqrt(chi2.isf(1e-4, runs) / runs)
    for name, truth in (("contrast_1", 0.9), ("offset_2", 0.5), ("noise", 8.0)):
        values = np.array([f[name].value for f in found])
        assert abs(values.mean() - truth) < 5.0 * values.std() / math.sqrt(runs) + 0.002 * truth


def test_near_a_fold_the_interval_covers_and_is_no_point() -> None:
    """phi = 0.01 and 0.05: coverage of at least .94 less its band, never a point mass at zero."""
    rng, runs = np.random.default_rng(3), 25
    for phase in (0.01, 0.05):
        found = [
            fitted(EllipseContrasts(KNOWN), counts=drawn(KNOWN, phase, 100, rng))["phase"]
            for _ in range(runs)
        ]
        assert sum(inside(q, phase) for q in found) >= binom.ppf(FALSE_ALARM, runs, 0.94)
        assert all(q.value > 0.0 and q.interval[1] - q.interval[0] > 0.01 for q in found)


def test_lines_near_a_fold_do_not_start_from_huge_ellipses() -> None:
    """Geometric fits of points on a line give contrasts of seven; the answer is near 0."""
    wide = EllipseAtoms((2000, 2000), (0.9, 0.9), noise=15.0, noise_free=True)
    for seed in (8, 11):
        counts = drawn(wide, 0.01, 100, np.random.default_rng(seed))
        found = fitted(EllipseContrasts(wide), counts=counts)
        assert found["phase"].value < 0.1
        assert found["contrast_1"].value == pytest.approx(0.9, abs=0.1)


def test_one_stray_shot_in_a_hundred_costs_little() -> None:
    """Outliers are part of the model: with and without them the same phase."""
    rng = np.random.default_rng(4)
    counts = drawn(KNOWN, 0.3, 300, rng)
    clean = fitted(EllipseContrasts(KNOWN), counts=counts)["phase"]
    spoiled = counts.copy()
    spoiled[:3] = [[0.0, 100.0], [3.0, 96.0], [100.0, 100.0]]
    found = fitted(EllipseContrasts(KNOWN), counts=spoiled)
    assert abs(found["phase"].value - clean.value) < clean.std
    assert found.diagnostics["outlier_fraction"] > 0.0


def test_a_second_bias_and_a_known_common_phase_give_the_sign() -> None:
    """One bias leaves |phi|; two, or a common phase of known distribution, leave phi itself."""
    rng, phase = np.random.default_rng(5), -0.3
    one = fitted(JointEllipses((KNOWN,)), counts=drawn(KNOWN, phase, 200, rng))
    assert one.identifiable == (0.0, math.pi / 2.0)
    assert inside(one["phase"], -phase)
    biases = np.repeat([0.0, math.pi / 4.0], 100)
    counts = np.concatenate([drawn(KNOWN, phase + b, 100, rng) for b in (0.0, math.pi / 4.0)])
    two = fitted(JointEllipses((KNOWN,)), counts=counts, bias_phase=biases)
    assert abs(two["phase"].value - phase) < 5.0 * two["phase"].std
    assert two["phase"].interval[1] < 0.0
    common = CommonPhase(0.5, 0.4)
    counts = drawn(KNOWN, phase, 200, rng, rng.normal(common.mean, common.std, 200))
    known = fitted(EllipseContrasts(KNOWN, common_phase=common), counts=counts)
    assert abs(known["phase"].value - phase) < 5.0 * known["phase"].std


def test_two_settings_are_better_than_each() -> None:
    """Settings in turn share the phase: the error of both together is the smaller."""
    rng, other = np.random.default_rng(6), EllipseAtoms((100, 100), (0.7, 0.7))
    first, second = drawn(KNOWN, 0.5, 100, rng), drawn(other, 0.5, 100, rng)
    settings = (KNOWN, other)
    both = fitted(
        JointEllipses(settings),
        counts=np.concatenate([first, second]),
        setting=np.repeat([0, 1], 100),
    )
    alone = [
        fitted(EllipseContrasts(own), counts=counts)["phase"].std
        for own, counts in zip(settings, (first, second), strict=True)
    ]
    together = sum(std**-2.0 for std in alone) ** -0.5
    assert both["phase"].std == pytest.approx(together, rel=0.1)
    assert abs(both["phase"].value - 0.5) < 5.0 * both["phase"].std
    assert {"contrast_1_of_setting_1", "offset_1_of_setting_1"} <= set(both.quantities)


def test_a_contrast_that_varies_within_the_run_is_told() -> None:
    """Half of the run at a lower contrast than the known one: p below 1e-4 and a flag."""
    rng = np.random.default_rng(8)
    lower = EllipseAtoms((100, 100), (0.6, 0.6))
    counts = np.concatenate([drawn(KNOWN, 0.5, 200, rng), drawn(lower, 0.5, 200, rng)])
    found = fitted(EllipseContrasts(KNOWN), counts=counts)
    assert found.flags
    assert found.goodness_of_fit is None or found.goodness_of_fit.p_value < FALSE_ALARM


def test_contrast_zero_leaves_the_whole_range() -> None:
    """Atoms at one half whatever the phase: not determined, and said so."""
    counts = np.random.default_rng(9).binomial(400, 0.5, (200, 2))
    found = fitted(EllipseContrasts(FREE), counts=counts)
    assert found["phase"].interval == (0.0, math.pi / 2.0)
    assert any("not determined" in flag for flag in found.flags)


@pytest.mark.parametrize("model", [BinomialRing, IndependentRing])
def test_scores_of_independent_atoms_are_the_derivatives(model) -> None:
    """By phi and all parameters that may move, against differences."""
    truth = EllipseAtoms((40, 50), (0.8, 0.7), (0.5, 0.45), noise=1.0, noise_free=True, jitter=0.05)
    free = EllipseAtoms(**{**_fields(truth), "jitter_free": True})
    likelihood = model(free)
    atoms = drawn(truth, 0.5, 20, np.random.default_rng(10))
    full = np.append(0.5, truth.centre)
    _, slopes = likelihood.evaluate(atoms, 0.5, truth.centre)
    for index in range(7):
        step = np.zeros(7)
        step[index] = 1e-6 * max(1.0, abs(full[index]))
        up, down = (
            likelihood.evaluate(atoms, float((full + s)[0]), (full + s)[1:])[0]
            for s in (step, -step)
        )
        difference = (up - down) / (2.0 * step[index])
        scale = np.abs(difference).max() + 1e-12
        assert slopes[:, index] == pytest.approx(difference, rel=1e-4, abs=1e-4 * scale)


def _fields(beliefs: EllipseAtoms) -> dict:
    return {name: getattr(beliefs, name) for name in EllipseAtoms.__slots__}


def test_binomial_outcomes_sum_to_one() -> None:
    """All pairs of atom numbers of a small pair, with and without jitter."""
    outcomes = np.array(list(itertools.product(range(9), range(7))), dtype=float)
    for jitter in (0.0, 0.1):
        beliefs = EllipseAtoms((8, 6), (0.9, 0.8), jitter=jitter)
        density, _ = BinomialRing(beliefs).evaluate(outcomes, 0.7, beliefs.centre)
        assert density.sum() == pytest.approx(1.0, abs=1e-12)


def test_models_are_chosen_by_their_rule_and_refuse_the_rest() -> None:
    """Whole atoms: binomial. Noise, gain, large numbers: ring. Noise with binomial: refused."""
    assert EllipseContrasts(KNOWN).methods == ("binomial",)
    assert EllipseContrasts(FREE).methods == ("ring",)
    assert EllipseContrasts(EllipseAtoms((5000, 5000))).methods == ("ring",)
    with pytest.raises(EstimatorRangeError, match="noise"):
        EllipseContrasts(FREE, "binomial")
    with pytest.raises(EstimatorRangeError, match="common phase"):
        JointEllipses((_rotor_beliefs(),), common_phase=CommonPhase(0.0, 0.5))
    with pytest.raises(RecordError, match="either"):
        EllipseContrasts(KNOWN).update({"counts": [[1, 2]], "populations": [[0.1, 0.2]]})
    with pytest.raises(RecordError, match="populations"):
        EllipseContrasts(KNOWN).update({"populations": [[0.1, 1.2]]})


def _rotor_beliefs() -> EllipseBeliefs:
    return EllipseBeliefs(20.0, 0.1, math.pi / 2.0, 4.0, 5.0, np.diag([0.02, 0.02, 0.02, 1.0]) ** 2)


def test_the_rotor_mixture_has_true_scores_and_enough_nodes() -> None:
    """Derivatives against differences of the density; twice the nodes change nothing."""
    beliefs = _rotor_beliefs()
    rotor = RotorLikelihood(beliefs)
    counts = np.random.default_rng(11).uniform(10.0, 150.0, (12, 2)).round()
    density, slopes = rotor.evaluate(counts, 0.5, beliefs.centre)
    full = np.append(0.5, beliefs.centre)
    for index, size in enumerate((1e-4, 1e-3, 1e-3, 1e-3, 1e-2)):
        step = np.zeros(5)
        step[index] = size
        up, down = (
            rotor.evaluate(counts, float((full + s)[0]), (full + s)[1:])[0] for s in (step, -step)
        )
        difference = (up - down) / (2.0 * size)
        assert slopes[:, index] == pytest.approx(difference, abs=2e-3 * np.abs(difference).max())
    finer = RotorLikelihood(beliefs, nodes=200)
    assert finer.evaluate(counts, 0.5, beliefs.centre)[0] == pytest.approx(density, rel=5e-3)


@pytest.mark.slow
def test_the_score_of_the_rotor_mixture_is_nearly_unbiased(ellipse_lab) -> None:
    """On exact shots its mean is below .009 of a shot's spread; with J at its mean it is .016.

    The exact table's score, whose mean is zero, takes most of the scatter away (error .0016).
    """
    beliefs = ellipse_lab(gain=8.0, background=10.0).beliefs()
    counts = ellipse_lab(gain=8.0, background=10.0).counts(
        0.4, 4000, np.random.default_rng(11), exact=True
    )
    counts = counts[np.lexsort(counts.T)].astype(float)
    scores = []
    for likelihood in (RotorLikelihood(beliefs), TableLikelihood(beliefs)):
        density, slopes = likelihood.evaluate(counts, 0.4, beliefs.centre)
        scores.append(slopes[:, 0] / density)
    assert abs(float(np.mean(scores[0] - scores[1]))) < 0.009 * float(scores[0].std())


def test_the_rotor_mixture_is_near_the_exact_table(ellipse_lab) -> None:
    """The same counts: its bias is .012 of one shot's spread, .2 of the error of 300 shots."""
    lab, rng = (
        ellipse_lab(spin=50.0, ratio=0.1, gain=8.0, background=10.0),
        np.random.default_rng(12),
    )
    for phase in (0.3, 0.7):
        counts = lab.counts(phase, 300, rng)
        rotor, table = (
            fitted(EllipsePhase(lab.beliefs(), method), counts=counts)["phase"]
            for method in ("rotor_mixture", "exact_table")
        )
        assert abs(rotor.value - table.value) < table.std
        assert rotor.std == pytest.approx(table.std, rel=0.15)
    with pytest.raises(ValueError, match="at least 2 atoms"):
        RotorLikelihood(ellipse_lab(gain=5000.0).beliefs())


def ranks(strays: float, runs: int) -> np.ndarray:
    """Posterior probability below truths from the prior, and the same of the posterior^1.3."""
    rng, grid = np.random.default_rng(23), np.linspace(0.2, 1.3, 161)
    likelihood = EllipseContrasts(KNOWN)._likelihoods[0]
    nuisances = np.array([1.0, 1.0, 0.5, 0.5, 0.0, 0.0])
    outcomes = np.argwhere(np.ones((101, 101))).astype(float)
    table = np.log(np.maximum(likelihood.scan(outcomes, grid, nuisances), 1e-300))
    found = []
    for _ in range(runs):
        phase = rng.uniform(0.2, 1.3)
        counts = drawn(KNOWN, phase, 20, rng)
        lost = rng.random(20) < strays
        counts[lost] = rng.integers(0, 101, (int(lost.sum()), 2))
        logs = table[(101 * counts[:, 0] + counts[:, 1]).astype(int)].sum(axis=0)
        pair = []
        for power in (1.0, 1.3):
            weights = np.exp(power * (logs - logs.max()))
            edges = np.concatenate([[0.0], np.cumsum(0.5 * (weights[1:] + weights[:-1]))])
            pair.append(float(np.interp(phase, grid, edges / edges[-1])))
        found.append(pair)
    return np.array(found).T


def spread(values: np.ndarray) -> float:
    """p-value of the ranks' spread: their normal scores have the variance 1."""
    squares = float(np.sum(ndtri(np.clip(values, 1e-9, 1.0 - 1e-9)) ** 2))
    return 2.0 * min(chi2.sf(squares, values.size), chi2.cdf(squares, values.size))


def test_the_likelihood_is_calibrated_and_over_confidence_is_found() -> None:
    """Ranks uniform (false alarm 1e-4); with the log-likelihood x 1.3, or 5 % strays, not."""
    plain, sharpened = ranks(0.0, 2000)
    assert kstest(plain, "uniform").pvalue > FALSE_ALARM
    assert spread(plain) > FALSE_ALARM
    assert spread(sharpened) < FALSE_ALARM
    assert spread(ranks(0.05, 500)[0]) < FALSE_ALARM


@pytest.mark.parametrize("off", [3.0, -3.0])
def test_a_gain_far_from_its_calibration_is_moved(off) -> None:
    """Two biases, counting noise .1 atoms, gain 3 std off: all shots were called stray before."""
    covariance = np.diag([0.015, 0.02, 0.03, 50.0]) ** 2
    believed = EllipseBeliefs(20.0, 0.1, math.pi / 2, 2000.0, 1000.0, covariance)
    gain, rng = 2000.0 * math.exp(0.03 * off), np.random.default_rng(7)
    table = TableLikelihood(believed)
    atoms = [sample(table.tables(0.4 + b, believed.centre)[0], 60, rng) for b in (0.5, 0.0)]
    counts = rng.poisson(gain * np.concatenate(atoms) + 1000.0)
    found = fitted(JointEllipses([believed]), counts=counts, bias_phase=np.repeat([0.5, 0.0], 60))
    assert found["phase"].value == pytest.approx(0.4, abs=4.0 * found["phase"].std)
    assert found["phase"].std < 0.01
    assert found["gain"].value == pytest.approx(gain, rel=0.01)


def test_a_contrast_at_its_bound_has_an_interval_of_its_own() -> None:
    """Full contrast fits best at exactly one, and is known only as well as the profile says."""
    rng = np.random.default_rng(11)
    theta = rng.uniform(0.0, 2.0 * np.pi, 60)
    counts = rng.binomial(40, 0.5 + 0.5 * np.sin(np.stack([0.4 + theta, 0.4 - theta], axis=1)))
    ellipse = EllipseContrasts(EllipseAtoms((40, 40)))
    ellipse.update({"counts": counts})
    narrow, found = ellipse.estimate(level=0.68), ellipse.estimate()
    at_bound = [f"contrast_{k}" for k in (1, 2) if found[f"contrast_{k}"].value > 1.0 - 1e-9]
    assert at_bound
    for name in at_bound:
        low, high = found[name].interval
        assert high == found[name].value and 0.5 < low < narrow[name].interval[0] < 1.0 - 1e-4
        assert found[name].std == pytest.approx((high - low) / 1.96, rel=1e-2)
