"""Cramer-Rao bounds: against Monte Carlo, against limits, and at the demonstration's point."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cavitylab.estimators import ellipse_bounds
from cavitylab.estimators.bounds import table_information
from cavitylab.estimators.likelihood_table import TableLikelihood
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state


def test_the_demonstration_beats_the_standard_quantum_limit_by_six_decibels(ellipse_lab) -> None:
    """S = 50, gain 100, phi = 0.18, 2000 shots: 7.1 dB with nuisances known, 6.6 dB free."""
    bounds = ellipse_bounds(ellipse_lab().beliefs(), 0.18, 2000)
    known = 20 * math.log10(bounds.standard_quantum_limit_std / bounds.cramer_rao_std_known)
    assert bounds.standard_quantum_limit_std == pytest.approx(1 / math.sqrt(4 * 50 * 2000))
    assert bounds.gain_db == pytest.approx(6.6, abs=0.1)
    assert known == pytest.approx(7.1, abs=0.1)


def test_the_summed_information_is_the_mean_of_the_scores_products(ellipse_lab) -> None:
    """Deterministic bins agree with a Monte Carlo average within its error (5 sigma)."""
    lab = ellipse_lab(spin=10.0, ratio=0.3, pulse_area=1.5)
    beliefs = lab.beliefs()
    counts = lab.counts(0.4, 20_000, np.random.default_rng(1), exact=True).astype(float)
    density, slopes = TableLikelihood(beliefs).evaluate(counts, 0.4, beliefs.centre)
    scores = slopes / density[:, None]
    products = scores[:, :, None] * scores[:, None, :]
    error = products.std(axis=0) / math.sqrt(len(counts))
    gap = products.mean(axis=0) - table_information(beliefs, 0.4)
    assert np.all(np.abs(gap) < 5.0 * error + 1e-12)


def test_perfect_counting_gives_the_classical_information_of_the_table(ellipse_lab) -> None:
    """With resolved atoms the phase information is that of atom numbers: 0.99 of the QFI at 1/S."""
    lab = ellipse_lab(spin=20.0, ratio=0.05, gain=1e5, background=10.0)
    information = table_information(lab.beliefs(), 0.75)
    quantum = steady_state(TwoEnsembles(20.0, 1.0, 0.05)).qfi
    assert 0.95 < information[0, 0] / quantum < 1.0


def test_the_two_ways_of_summing_meet(ellipse_lab) -> None:
    """Just above the noise where atoms count as resolved, bins give nearly the same."""
    resolved, binned = (
        table_information(ellipse_lab(spin=10.0, gain=gain, background=0.0).beliefs(), 0.5)
        for gain in (1400.0, 1150.0)
    )
    assert binned[0, 0] == pytest.approx(resolved[0, 0], rel=0.02)


def test_free_nuisances_cost_and_priors_limit_the_cost(ellipse_lab) -> None:
    """known <= calibrated <= poorly calibrated; and more shots never hurt."""
    lab, poor = ellipse_lab(), ellipse_lab(relative=(0.2, 0.2, 0.2, 0.5))
    good = ellipse_bounds(lab.beliefs(), 0.2, 2000)
    bad = ellipse_bounds(poor.beliefs(), 0.2, 2000)
    assert good.cramer_rao_std_known < good.cramer_rao_std < bad.cramer_rao_std
    exact = ellipse_bounds(lab.beliefs(covariance=np.zeros((4, 4))), 0.2, 2000)
    assert exact.cramer_rao_std == pytest.approx(exact.cramer_rao_std_known)
    assert ellipse_bounds(lab.beliefs(), 0.2, 4000).cramer_rao_std < good.cramer_rao_std


def test_bounds_beyond_the_table_come_from_the_ring(ellipse_lab) -> None:
    """S = 160 is beyond the table; the bound continues that of S = 150, where q' is small."""
    below = ellipse_lab(spin=150.0, ratio=0.5, gain=0.5, background=5.0)
    above = ellipse_lab(spin=150.5, ratio=0.5, gain=0.5, background=5.0)
    first = ellipse_bounds(below.beliefs(), 0.5, 500)
    second = ellipse_bounds(above.beliefs(), 0.5, 500)
    assert second.cramer_rao_std == pytest.approx(first.cramer_rao_std, rel=0.05)


@pytest.mark.parametrize("phase", [0.0, math.pi / 2, -0.1, 2.0, float("nan")])
def test_there_is_no_bound_at_a_fold_or_outside(ellipse_lab, phase) -> None:
    """At the folds the information vanishes; outside nothing can be identified."""
    with pytest.raises(ValueError, match="inside"):
        ellipse_bounds(ellipse_lab().beliefs(), phase, 100)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"spin": 0.3}, "`spin`"),
        ({"detuning_ratio": 0.0}, "`detuning_ratio`"),
        ({"pulse_area": 4.0}, "`pulse_area`"),
        ({"gain": 0.0}, "`gain`"),
        ({"background": -1.0}, "`background`"),
        ({"bias_std": -1.0}, "`bias_std`"),
        ({"bias_phase": float("inf")}, "`bias_phase`"),
        ({"covariance": np.eye(3)}, "`covariance`"),
        ({"covariance": np.diag([1.0, 1.0, 1.0, -1.0])}, "no negative variance"),
        ({"covariance": np.ones((4, 4)) - 2 * np.eye(4)}, "`covariance`"),
        ({"covariance": 3 * np.ones((4, 4)) - 2 * np.eye(4)}, "semi-definite"),
    ],
)
def test_beliefs_that_cannot_be_are_refused(ellipse_lab, change, reason) -> None:
    """Every field is checked, with its name in the message."""
    with pytest.raises(ValueError, match=reason):
        ellipse_lab().beliefs(**change)


def test_correlated_and_singular_calibrations_are_taken_as_they_are(ellipse_lab) -> None:
    """L L^T is the covariance, with as many columns as it has independent directions."""
    shared = np.outer([0.02, 0.01, 0.0, 1.0], [0.02, 0.01, 0.0, 1.0])
    beliefs = ellipse_lab().beliefs(covariance=shared)
    assert beliefs.directions.shape == (4, 1)
    assert beliefs.directions @ beliefs.directions.T == pytest.approx(shared)
