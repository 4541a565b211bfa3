"""Grid and particle posteriors against closed forms; stopping rules on simulated runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom, chi2, kstest, norm

from cavitylab.estimators import (
    AdaptivePhase,
    Axis,
    Estimate,
    GridPosterior,
    OutcomeTable,
    ParticlePosterior,
    PrecisionStop,
    Quantity,
    check_stopping,
    coherent_table,
)

FALSE_ALARM = 1e-4


def test_one_parameter_posterior_of_a_normal_likelihood() -> None:
    """Mean, std and interval of a Gaussian narrower than two steps of the grid."""
    points = np.linspace(-1.0, 1.0, 101)
    posterior = GridPosterior([Axis("x", points)])
    posterior.absorb(-0.5 * ((points - 0.1234) / 0.03) ** 2)
    marginal = posterior.refined()
    assert marginal.mean == pytest.approx(0.1234, abs=1e-4)
    assert marginal.std == pytest.approx(0.03, rel=2e-3)
    low, high = marginal.interval(0.95)
    assert (low, high) == pytest.approx((0.1234 - 0.0588, 0.1234 + 0.0588), abs=3e-4)


def test_two_parameter_posterior_keeps_the_correlation() -> None:
    """Covariance of a correlated Gaussian on a product grid."""
    x, y = np.linspace(-4.0, 4.0, 161), np.linspace(-8.0, 8.0, 141)
    covariance = np.array([[0.5, 0.6], [0.6, 1.5]])
    precision = np.linalg.inv(covariance)
    xx, yy = np.meshgrid(x, y, indexing="ij")
    posterior = GridPosterior([Axis("x", x), Axis("y", y)])
    square = precision[0, 0] * xx**2 + 2 * precision[0, 1] * xx * yy + precision[1, 1] * yy**2
    posterior.absorb(-0.5 * square)
    assert posterior.mean() == pytest.approx([0.0, 0.0], abs=1e-6)
    assert posterior.covariance() == pytest.approx(covariance, rel=5e-3)


def test_log_likelihood_of_a_histogram_is_the_sum_over_shots() -> None:
    """Looked up once per outcome, or shot by shot: the same number."""
    rng = np.random.default_rng(1)
    table = OutcomeTable(rng.dirichlet(np.ones(50), size=30).T)
    outcomes = rng.integers(0, 50, 1000)
    wanted = table.logs[outcomes].sum(axis=0)
    assert table.log_likelihood(table.histogram(outcomes)) == pytest.approx(wanted, rel=1e-12)


def test_tables_that_are_no_distributions_are_refused() -> None:
    """Columns must sum to 1."""
    with pytest.raises(ValueError, match="sum to 1"):
        OutcomeTable(np.ones((3, 4)))


def test_three_parameters_on_a_grid_are_refused() -> None:
    """The message names what to take."""
    axes = [Axis(name, np.arange(5.0)) for name in "xyz"]
    with pytest.raises(ValueError, match="ParticlePosterior"):
        GridPosterior(axes)


def test_axes_must_rise() -> None:
    """Points in disorder are refused with the axis's name."""
    with pytest.raises(ValueError, match="Axis `x`"):
        Axis("x", np.array([0.0, 2.0, 1.0, 3.0]))


def test_particles_follow_a_linear_gaussian_posterior_of_three_parameters() -> None:
    """2000 particles, 40 blocks: mean within 0.3 std, covariance within a third."""
    rng = np.random.default_rng(2)
    truth = np.array([0.3, -0.5, 1.0])
    posterior = ParticlePosterior(rng.standard_normal((2000, 3)), rng)
    precision, pull = np.eye(3), np.zeros(3)
    for _ in range(40):
        design = rng.standard_normal((5, 3))
        seen = design @ truth + rng.standard_normal(5)
        posterior.absorb(lambda x, d=design, y=seen: -0.5 * np.sum((y - x @ d.T) ** 2, axis=1))
        precision += design.T @ design
        pull += design.T @ seen
    exact = np.linalg.inv(precision)
    std = np.sqrt(np.diag(exact))
    assert np.abs(posterior.mean() - exact @ pull) == pytest.approx(
        np.zeros(3), abs=0.3 * std.max()
    )
    ratio = np.diag(posterior.covariance()) / np.diag(exact)
    assert np.all((ratio > 0.66) & (ratio < 1.5))
    low, high = posterior.interval(0, 0.95)
    assert high - low == pytest.approx(2 * 1.96 * std[0], rel=0.3)
    assert posterior.redraws > 1


def test_particles_survive_one_very_informative_block() -> None:
    """A likelihood a hundred times narrower than the prior is taken in steps."""
    rng = np.random.default_rng(3)
    posterior = ParticlePosterior(rng.standard_normal((2000, 3)), rng)
    centre, width = np.array([0.5, 0.2, -0.3]), 0.01
    posterior.absorb(lambda x: -0.5 * np.sum(((x - centre) / width) ** 2, axis=1))
    assert posterior.mean() == pytest.approx(centre, abs=0.5 * width)
    assert np.sqrt(np.diag(posterior.covariance())) == pytest.approx(np.full(3, width), rel=0.5)
    assert posterior.effective > 100


def _spread(ranks) -> float:
    """p-value of the ranks' spread: their normal scores have the variance 1."""
    squares = float(np.sum(ndtri(np.clip(ranks, 5e-4, 1.0 - 5e-4)) ** 2))
    return 2.0 * min(chi2.sf(squares, len(ranks)), chi2.cdf(squares, len(ranks)))


def _grid_ranks(runs, strays, rng):
    """A phase of the prior and ten shots of 20 atoms: probability below it, and sharpened."""
    points = np.linspace(-1.2, 1.2, 121)
    chance = 0.5 + 0.45 * np.sin(points)
    table = OutcomeTable(np.asarray(binom.pmf(np.arange(21)[:, None], 20, chance)))
    pairs = []
    for truth in rng.uniform(-1.2, 1.2, runs).tolist():
        atoms = rng.binomial(20, 0.5 + 0.45 * math.sin(truth), 10)
        lost = rng.random(10) < strays
        atoms = np.where(lost, rng.integers(0, 21, 10), atoms)
        logs, pair = table.log_likelihood(table.histogram(atoms)), []
        for sharpen in (1.0, 1.3):
            posterior = GridPosterior([Axis("phase", points, "rad")])
            posterior.absorb(sharpen * logs)
            marginal = posterior.refined()
            pair.append(float(marginal.weights[marginal.points < truth].sum()))
        pairs.append(pair)
    return np.array(pairs).T


def test_the_grid_is_calibrated_and_the_ranks_tell_what_is_wrong() -> None:
    """Ranks uniform (false alarm 1e-4); not with log-likelihood x 1.3, or 5 % stray shots."""
    rng = np.random.default_rng(8)
    plain, sharpened = _grid_ranks(700, 0.0, rng)
    assert kstest(plain, "uniform").pvalue > FALSE_ALARM
    assert _spread(plain) > FALSE_ALARM
    assert _spread(sharpened) < FALSE_ALARM
    assert _spread(_grid_ranks(200, 0.05, rng)[0]) < FALSE_ALARM


def _particle_ranks(runs, sharpen, strays, rng):
    """Normal mean of three parameters, four measurements: probability below the first."""
    ranks = []
    for _ in range(runs):
        truth = rng.standard_normal(3)
        seen = truth + 0.1 * rng.standard_normal((4, 3))
        lost = rng.random(4) < strays
        seen[lost] = rng.uniform(-3.0, 3.0, (int(lost.sum()), 3))
        posterior = ParticlePosterior(rng.standard_normal((1500, 3)), rng)
        for one in seen:
            posterior.absorb(lambda x, y=one: -0.5 * sharpen * np.sum(((y - x) / 0.1) ** 2, axis=1))
        ranks.append(float(posterior.weights[posterior.particles[:, 0] < truth[0]].sum()))
    return np.array(ranks)


@pytest.mark.slow
def test_particles_are_calibrated_and_the_test_sees_over_confidence() -> None:
    """Scores have variance 1; with log-likelihood x 1.3, or 5 % strays not modelled, not."""
    rng = np.random.default_rng(4)
    assert _spread(_particle_ranks(500, 1.0, 0.0, rng)) > FALSE_ALARM
    assert _spread(_particle_ranks(500, 1.3, 0.0, rng)) < FALSE_ALARM
    assert _spread(_particle_ranks(150, 1.0, 0.05, rng)) < FALSE_ALARM


@pytest.mark.parametrize("particles", [np.zeros((10, 3)), np.full((200, 3), math.nan)])
def test_unusable_particles_are_refused(particles) -> None:
    """Too few, or not finite."""
    with pytest.raises(ValueError, match="particles"):
        ParticlePosterior(particles, np.random.default_rng(0))


def _estimate(value, std, shots) -> Estimate:
    reach = float(norm.ppf(0.975)) * std
    return Estimate(
        "mean",
        shots,
        {"x": Quantity(value, std, (value - reach, value + reach), 0.95)},
        ("x",),
        np.array([[std**2]]),
        None,
        {},
        (),
        (-math.inf, math.inf),
    )


def _run(minimum):
    """A mean with its sample error bar, shots until the bar is at most 0.2."""
    rule = PrecisionStop("x", 0.2, minimum)

    def run(rng):
        first, second = rng.standard_normal(2).tolist()
        total, squares, count = first + second, first**2 + second**2, 2
        while True:
            mean = total / count
            std = math.sqrt((squares - count * mean**2) / (count - 1) / count)
            if std < 0.21:  # far above, the rule need not be asked
                estimate = _estimate(mean, std, count)
                if rule.met(estimate):
                    return estimate, 0.0
            shot = float(rng.standard_normal())
            total, squares, count = total + shot, squares + shot * shot, count + 1

    return run


def test_stopping_too_early_loses_coverage_and_a_minimum_mends_it() -> None:
    """Sample error bars of 2 shots are often too small by chance; 15 shots at least do."""
    early = check_stopping(_run(2), "x", 600, np.random.default_rng(5))
    later = check_stopping(_run(15), "x", 600, np.random.default_rng(5))
    assert not early.harmless(0.95)
    assert later.harmless(0.95)


@pytest.mark.slow
def test_stopping_an_adaptive_phase_at_a_wanted_error_is_harmless() -> None:
    """Stop at 0.03 rad but not before 20 shots: unbiased, covers."""
    table, rule = coherent_table(20), PrecisionStop("signal", 0.03, 20)

    def run(rng):
        signal = float(rng.uniform(-1.4, 1.4))
        estimator = AdaptivePhase(table)
        while True:
            bias = estimator.ask()
            common = rng.uniform(0.0, 2.0 * math.pi)
            angle = signal + bias + np.array([common, -common])
            counts = rng.binomial(20, 0.5 * (1.0 + np.sin(angle)))[None, :]
            estimator.tell({"counts": counts, "bias_phase": [bias]})
            if estimator.shots >= rule.minimum_shots:
                estimate = estimator.estimate()
                if rule.met(estimate):
                    return estimate, signal

    assert check_stopping(run, "signal", 100, np.random.default_rng(6)).harmless(0.95)


def test_stopping_rules_outside_their_range_are_refused() -> None:
    """A std of zero is never met; no run at all measures nothing."""
    with pytest.raises(ValueError, match="std"):
        PrecisionStop("x", 0.0)
    with pytest.raises(ValueError, match="minimum_shots"):
        PrecisionStop("x", 0.1, 0)
    with pytest.raises(ValueError, match="runs"):
        check_stopping(_run(15), "x", 3, np.random.default_rng(0))
