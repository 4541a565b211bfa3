"""The exact likelihood: normalised, symmetric, and with exact derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cavitylab.estimators import counting_kernels, likelihood_table
from cavitylab.estimators.ellipse_posterior import EllipsePosterior
from cavitylab.estimators.gaussian_ring import RingLikelihood
from cavitylab.estimators.likelihood_table import TableLikelihood


def _all_pairs(top: int) -> np.ndarray:
    first, second = np.meshgrid(np.arange(top), np.arange(top), indexing="ij")
    return np.column_stack([first.ravel(), second.ravel()]).astype(float)


@pytest.mark.parametrize(("gain", "background"), [(2.0, 1.0), (30.0, 4.0)])
def test_the_likelihood_sums_to_one_over_all_counts(ellipse_lab, gain, background) -> None:
    """Summed over every pair of counts the densities give 1, in the dense and banded folds."""
    lab = ellipse_lab(spin=3.0, ratio=0.4, gain=gain, background=background)
    likelihood = TableLikelihood(lab.beliefs())
    counts = _all_pairs(int(6 * gain + background + 12 * math.sqrt(6 * gain + background)))
    density, slopes = likelihood.evaluate(counts, 0.4, lab.beliefs().centre)
    assert density.sum() == pytest.approx(1.0, abs=1e-9)
    assert slopes.sum(axis=0) == pytest.approx(np.zeros(5), abs=1e-7)


@pytest.mark.parametrize("gain", [3.0, 100.0, 1500.0])
def test_slopes_agree_with_finite_differences(ellipse_lab, gain) -> None:
    """All five derivatives agree with central differences, in dense and banded folds."""
    lab = ellipse_lab(gain=gain, background=gain / 2, pulse_area=1.5)
    counts = lab.counts(0.25, 200, np.random.default_rng(1), exact=True).astype(float)
    likelihood, centre = TableLikelihood(lab.beliefs()), lab.beliefs().centre
    _, slopes = likelihood.evaluate(counts, 0.25, centre)
    for index, step in enumerate([1e-5, 1e-4, 1e-5, 1e-5, 1e-4 * gain]):
        sides = []
        for sign in (1.0, -1.0):
            point = np.concatenate([[0.25], centre])
            point[index] += sign * step
            sides.append(likelihood.evaluate(counts, point[0], point[1:])[0])
        difference = (sides[0] - sides[1]) / (2.0 * step)
        scale = np.abs(slopes[:, index]).max()
        assert np.abs(difference - slopes[:, index]).max() < 5e-5 * scale


def test_the_scan_is_the_likelihood_at_every_phase(ellipse_lab) -> None:
    """The cosine series gives the same log-likelihoods as tables made at each phase."""
    lab = ellipse_lab(spin=12.0, ratio=0.2)
    counts = lab.counts(0.3, 100, np.random.default_rng(2), exact=True).astype(float)
    likelihood, centre = TableLikelihood(lab.beliefs()), lab.beliefs().centre
    phases = np.array([0.01, 0.3, 0.7321, 1.5])
    scanned = likelihood.scan(counts, phases, centre)
    for column, phase in enumerate(phases):
        direct, _ = likelihood.evaluate(counts, float(phase), centre)
        assert np.abs(scanned[:, column] - direct).max() < 1e-5 * direct.max()


def test_many_detectors_are_scanned_as_each_alone(ellipse_lab, monkeypatch) -> None:
    """Gains and backgrounds tried together have the densities of each, some at a time or all."""
    lab = ellipse_lab(spin=12.0, ratio=0.2, gain=1500.0, background=300.0)
    counts = lab.counts(0.3, 40, np.random.default_rng(2)).astype(float)
    likelihood, phases = TableLikelihood(lab.beliefs()), np.array([0.01, 0.3, 0.7321])
    offsets = np.array([[0, 0, -0.01, 0], [0, 0, 0.004, 200.0], [0, 0, 0.03, -300.0]])
    tried = lab.beliefs().centre + offsets
    alone = np.stack([likelihood.scan(counts, phases, row) for row in tried])
    for most in (2**18, 150):
        monkeypatch.setattr(likelihood_table, "_DENSITIES", most)
        together = np.concatenate([*likelihood.scan_detectors(counts, phases, tried)])
        assert together == pytest.approx(alone, rel=1e-9, abs=1e-12 * alone.max())


def test_shots_are_folded_in_parts_as_all_at_once(ellipse_lab, monkeypatch) -> None:
    """Densities and all slopes do not depend on how many shots are held at once."""
    lab = ellipse_lab()
    counts = lab.counts(0.25, 30, np.random.default_rng(1)).astype(float)
    likelihood, centre = TableLikelihood(lab.beliefs()), lab.beliefs().centre
    whole = likelihood.evaluate(counts, 0.25, centre)
    monkeypatch.setattr(counting_kernels, "_SQUARES", 2000)
    parts = likelihood.evaluate(counts, 0.25, centre)
    assert parts[0] == pytest.approx(whole[0], rel=1e-12)
    assert parts[1] == pytest.approx(whole[1], rel=1e-12)


def test_exchange_of_the_ensembles_changes_nothing(ellipse_lab) -> None:
    """The density is the same with the ports exchanged, at any pulse area."""
    lab = ellipse_lab(pulse_area=1.4)
    counts = lab.counts(0.4, 50, np.random.default_rng(3)).astype(float)
    likelihood, centre = TableLikelihood(lab.beliefs()), lab.beliefs().centre
    forward = likelihood.evaluate(counts, 0.4, centre)[0]
    swapped = likelihood.evaluate(counts[:, ::-1].copy(), 0.4, centre)[0]
    assert swapped == pytest.approx(forward, rel=1e-9)


def test_flipping_one_port_mirrors_the_phase(ellipse_lab) -> None:
    """At pulse area pi/2, n2 -> 2S - n2 is phi -> pi/2 - phi in the outcome table."""
    lab = ellipse_lab(spin=8.0, ratio=0.3)
    likelihood, centre = TableLikelihood(lab.beliefs()), lab.beliefs().centre
    table = likelihood.tables(0.3, centre)[0]
    mirrored = likelihood.tables(math.pi / 2 - 0.3, centre)[0]
    assert mirrored == pytest.approx(table[:, ::-1], abs=1e-12)


def test_both_folds_are_even(ellipse_lab) -> None:
    """The density is even about phi = 0 and pi/2: only [0, pi/2] can be identified."""
    lab = ellipse_lab(spin=8.0, ratio=0.3)
    counts = lab.counts(0.1, 20, np.random.default_rng(4)).astype(float)
    likelihood, centre = TableLikelihood(lab.beliefs()), lab.beliefs().centre
    for fold in (0.0, math.pi / 2):
        below = likelihood.evaluate(counts, fold - 0.07, centre)[0]
        above = likelihood.evaluate(counts, fold + 0.07, centre)[0]
        assert above == pytest.approx(below, rel=1e-8)


def test_the_posterior_gradient_is_the_slope_of_its_value(ellipse_lab) -> None:
    """In cos 2phi, prior directions and outlier weight, with correlated calibrations."""
    lab = ellipse_lab(spin=20.0, ratio=0.15)
    scale = np.sqrt(np.diag(lab.covariance))
    correlated = np.outer(scale, scale) * (0.7 * np.eye(4) + 0.3)
    beliefs = lab.beliefs(covariance=correlated)
    counts = lab.counts(0.3, 300, np.random.default_rng(5)).astype(float)
    posterior = EllipsePosterior(TableLikelihood(beliefs), beliefs, counts)
    x = posterior.start(0.3, outliers=0.05) + np.array([0.0, 0.3, -0.2, 0.5, 0.1, 0.0])
    point = posterior.evaluate(x)
    for index in range(x.size):
        step = np.zeros_like(x)
        step[index] = 1e-5
        difference = posterior.evaluate(x + step).value - posterior.evaluate(x - step).value
        assert difference / 2e-5 == pytest.approx(point.gradient[index], rel=2e-5, abs=1e-3)


def test_cell_probabilities_sum_to_one_and_their_slopes_to_nothing(ellipse_lab) -> None:
    """Rectangles that cover all counts hold everything, for the table and for the ring."""
    lab = ellipse_lab(spin=10.0, ratio=0.5, gain=5.0, background=2.0)
    edges = np.array([0.0, 12.0, 30.0, 45.0, 400.0])
    for likelihood in (TableLikelihood(lab.beliefs()), RingLikelihood(lab.beliefs())):
        cells, slopes = likelihood.cell_probabilities(0.4, lab.beliefs().centre, (edges, edges))
        assert cells.sum() == pytest.approx(1.0, abs=1e-9)
        assert slopes.sum(axis=(1, 2)) == pytest.approx(np.zeros(5), abs=1e-6)


def test_cell_probabilities_are_those_of_the_counts(ellipse_lab) -> None:
    """The rectangles of the table agree with sums of single counts."""
    lab = ellipse_lab(spin=3.0, ratio=0.5, gain=4.0, background=2.0)
    likelihood, centre = TableLikelihood(lab.beliefs()), lab.beliefs().centre
    counts = _all_pairs(80)
    density, _ = likelihood.evaluate(counts, 0.5, centre)
    inside = (counts[:, 0] >= 10) & (counts[:, 0] < 18) & (counts[:, 1] < 10)
    edges = (np.array([0.0, 10.0, 18.0, 80.0]), np.array([0.0, 10.0, 80.0]))
    cells, _ = likelihood.cell_probabilities(0.5, centre, edges)
    assert cells[1, 0] == pytest.approx(density[inside].sum(), abs=1e-9)


def test_spins_beyond_a_table_are_refused(ellipse_lab) -> None:
    """The exact table names its limit."""
    with pytest.raises(ValueError, match="must not exceed 150"):
        TableLikelihood(ellipse_lab(spin=400.0).beliefs())


def test_known_nuisances_are_folded_once_into_the_same_likelihood(ellipse_lab) -> None:
    """The shots' cosine series gives densities and slopes of the tables, to rounding."""
    lab = ellipse_lab(spin=10.0, ratio=0.2, gain=20.0)
    counts = np.asarray(lab.counts(0.5, 40, np.random.default_rng(3)), dtype=float)
    free = TableLikelihood(lab.beliefs())
    known = TableLikelihood(lab.beliefs(covariance=np.zeros((4, 4))))
    for phase in (0.02, 0.7, 1.5):
        first = free.evaluate(counts, phase, lab.beliefs().centre)
        second = known.evaluate(counts, phase, lab.beliefs().centre)
        assert second[0] == pytest.approx(first[0], rel=1e-9)
        scale = np.abs(first[1][:, 0]).max()
        assert second[1][:, 0] == pytest.approx(first[1][:, 0], rel=1e-7, abs=1e-9 * scale)
