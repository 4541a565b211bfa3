"""The Gaussian ring: exact moments, convergence in nodes, agreement with the table."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cavitylab.estimators import (
    EllipseBeliefs,
    EllipsePhase,
    EstimatorRangeError,
    ellipse_bounds,
)
from cavitylab.estimators.bounds import table_information
from cavitylab.estimators.gaussian_ring import RingLikelihood, fringe_parameter, spin_covariance
from cavitylab.models.ellipse import EllipseReadout
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state


def _spin_matrices(spin: float) -> list[np.ndarray]:
    m = spin - np.arange(round(2 * spin) + 1)
    raising = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    return [(raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag(m).astype(complex)]


def test_the_spin_covariance_is_that_of_the_dark_state() -> None:
    """Sums over J agree with expectation values in the null vector of H and J-."""
    spin, ratio = 2.5, 0.4
    one = np.eye(round(2 * spin) + 1)
    single = _spin_matrices(spin)
    parts = [np.kron(o, one) for o in single] + [np.kron(one, o) for o in single]
    lowering = (parts[0] - 1j * parts[1]) + (parts[3] - 1j * parts[4])
    hamiltonian = parts[0] + parts[3] + 0.5 * ratio * (parts[2] - parts[5])
    state = np.linalg.svd(np.vstack([hamiltonian, lowering]))[2][-1].conj()
    means = np.array([(state.conj() @ o @ state).real for o in parts])
    second = np.array([[(state.conj() @ a @ b @ state).real for b in parts] for a in parts])
    found_means, found_covariance = spin_covariance(spin, ratio)
    assert found_means == pytest.approx(means, abs=1e-10)
    assert found_covariance == pytest.approx(second - np.outer(means, means), abs=1e-10)


@pytest.mark.parametrize("area", [math.pi / 2, 1.3])
def test_ring_moments_are_those_of_the_outcome_table(ellipse_lab, area) -> None:
    """Means, variances and the covariance of both counts, averaged over the common phase."""
    lab = ellipse_lab(spin=10.0, ratio=0.3, gain=2.0, background=3.0, pulse_area=area)
    theta = 2 * np.pi * np.arange(64) / 64
    ring = RingLikelihood(lab.beliefs())
    m1, m2, v1, v12, v2 = ring.moments(0.4, lab.beliefs().centre, theta)
    weights = steady_state(TwoEnsembles(10.0, 1.0, 0.3)).weights
    table = EllipseReadout(10.0, weights.size - 1).distribution(weights, 0.4, area)
    mean = 2.0 * np.arange(21) + 3.0
    assert m1.mean() == pytest.approx(mean @ table.sum(axis=1), rel=1e-10)
    assert (v1 + m1**2).mean() == pytest.approx((mean**2 + mean) @ table.sum(axis=1), rel=1e-10)
    assert (v2 + m2**2).mean() == pytest.approx((mean**2 + mean) @ table.sum(axis=0), rel=1e-10)
    assert (v12 + m1 * m2).mean() == pytest.approx(mean @ table @ mean, rel=1e-10)


def test_doubling_the_nodes_changes_nothing(ellipse_lab) -> None:
    """The default number of common phases is enough for the likelihood of every shot."""
    lab = ellipse_lab(ratio=0.5, gain=1.0, background=0.5)
    counts = lab.counts(0.3, 300, np.random.default_rng(1)).astype(float)
    once = RingLikelihood(lab.beliefs())
    twice = RingLikelihood(lab.beliefs(), nodes=2 * once.nodes)
    centre = lab.beliefs().centre
    few, many = (np.log(ring.evaluate(counts, 0.3, centre)[0]) for ring in (once, twice))
    assert few == pytest.approx(many, abs=1e-6)


def test_ring_slopes_agree_with_finite_differences(ellipse_lab) -> None:
    """The five derivatives of the mixture are those of its value."""
    lab = ellipse_lab(ratio=0.5, gain=1.0, background=0.5)
    counts = lab.counts(0.3, 50, np.random.default_rng(2)).astype(float)
    ring = RingLikelihood(lab.beliefs())
    start = np.concatenate([[0.3], lab.beliefs().centre])
    _, slopes = ring.evaluate(counts, 0.3, start[1:])
    for index in range(5):
        step = np.zeros(5)
        step[index] = 1e-4
        up, down = (ring.evaluate(counts, p[0], p[1:])[0] for p in (start + step, start - step))
        difference = (up - down) / 2e-4
        scale = np.abs(slopes[:, index]).max()
        assert np.abs(difference - slopes[:, index]).max() < 1e-4 * scale


def test_ring_and_table_have_the_same_information_where_the_ring_applies(ellipse_lab) -> None:
    """At q' <= 0.2 the ring's own information on the phase is the table's within 5 %."""
    lab = ellipse_lab(spin=50.0, ratio=0.5, gain=1.0, background=0.5)
    beliefs = lab.beliefs()
    assert fringe_parameter(beliefs) <= 0.2
    estimator = EllipsePhase(beliefs)
    assert estimator.method == "gaussian_ring"
    counts = lab.counts(0.5, 3000, np.random.default_rng(3), exact=True).astype(float)
    density, slopes = RingLikelihood(beliefs).evaluate(counts, 0.5, beliefs.centre)
    shared = float(np.mean((slopes[:, 0] / density) ** 2))
    assert shared == pytest.approx(table_information(beliefs, 0.5)[0, 0], rel=0.15)


def test_the_rule_takes_the_table_for_single_atom_fringes(ellipse_lab) -> None:
    """The demonstration's state is beyond the ring: q' near 2."""
    beliefs = ellipse_lab().beliefs()
    assert fringe_parameter(beliefs) == pytest.approx(2.0, abs=0.1)
    assert EllipsePhase(beliefs).method == "exact_table"


def test_where_no_model_applies_the_refusal_gives_the_efficiency(ellipse_lab) -> None:
    """Large S with strong squeezing and little noise: refused, with what the ring would keep."""
    beliefs = ellipse_lab(spin=400.0, ratio=0.05, gain=1e4).beliefs()
    with pytest.raises(EstimatorRangeError, match=r"about \d+% of the information"):
        EllipsePhase(beliefs)
    assert EllipsePhase(beliefs, method="gaussian_ring").method == "gaussian_ring"


def test_large_ensembles_are_fitted_with_the_ring(ellipse_lab) -> None:
    """S = 2000 with noisy counting: the phase lies within 5 bounds of the truth."""
    lab = ellipse_lab(spin=2000.0, ratio=0.3, gain=0.05, background=5.0)
    beliefs = lab.beliefs()
    rng = np.random.default_rng(4)
    theta = rng.uniform(0, 2 * np.pi, 500)
    ring = RingLikelihood(beliefs)
    m1, m2, v1, v12, v2 = ring.moments(0.4, beliefs.centre, theta)
    first = rng.standard_normal(500)
    second = rng.standard_normal(500)
    c1 = m1 + np.sqrt(v1) * first
    c2 = m2 + v12 / np.sqrt(v1) * first + np.sqrt(v2 - v12**2 / v1) * second
    estimator = EllipsePhase(beliefs)
    estimator.update({"counts": np.maximum(np.rint(np.column_stack([c1, c2])), 0)})
    estimate = estimator.estimate()
    bound = ellipse_bounds(beliefs, 0.4, 500).cramer_rao_std
    assert estimator.method == "gaussian_ring"
    assert abs(estimate["phase"].value - 0.4) < 5.0 * bound
    assert estimate["phase"].std == pytest.approx(bound, rel=0.25)


@pytest.mark.parametrize(("off", "shots", "seed"), [(2.2, 100, 0), (-3.0, 60, 2)])
def test_a_gain_far_from_its_calibration_is_moved_rather_than_all_shots_called_stray(
    off: float, shots: int, seed: int
) -> None:
    """The ring is 4 % of its radius wide: 3 % of gain, off by off, puts most shots beside it."""
    spread = np.array([0.025, 0.015, 0.03, 5.0])
    beliefs = EllipseBeliefs(1000.0, 0.2, math.pi / 2, 20.0, 100.0, np.diag(spread**2))
    rng = np.random.default_rng(seed)
    nuisances = beliefs.centre + np.array([0.0, -0.8, off, 0.0]) * spread
    theta = rng.uniform(0.0, 2 * math.pi, shots)
    m1, m2, v1, v12, v2 = RingLikelihood(beliefs).moments(0.1, nuisances, theta)
    first, second = rng.standard_normal((2, shots))
    two = m2 + v12 / np.sqrt(v1) * first + np.sqrt(v2 - v12**2 / v1) * second
    counts = np.rint(np.column_stack([m1 + np.sqrt(v1) * first, two]))
    ellipse = EllipsePhase(beliefs)
    ellipse.update({"counts": np.maximum(counts, 0.0)})
    found = ellipse.quick()  # it searches as `estimate` does
    assert abs(found["phase"].value - 0.1) < 5 * found["phase"].std < 0.02
    assert found["gain"].value == pytest.approx(20.0 * math.exp(0.03 * off), rel=0.01)
