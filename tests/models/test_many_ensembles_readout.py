"""Counts of L ensembles after phases and a pulse, against rotated states and the ellipse."""

import math

import numpy as np
import pytest
import qutip
from scipy.stats import chi2

from cavitylab.models import EllipseReadout, TwoEnsembles, steady_state
from cavitylab.models.many_ensembles import ManyEnsembles, many_ensemble_state
from cavitylab.models.many_ensembles_readout import (
    readout_distribution,
    sample_outcomes,
    sample_readout,
)

PHASES = np.array([0.3, -0.2, 0.9, 1.4])


@pytest.fixture(scope="module")
def four():
    """Four ensembles of two atoms."""
    return many_ensemble_state(ManyEnsembles(1, 2.5, (0.5, 0.8, -0.8, -0.5), 0.9))


def turned(state, phases, area, azimuth):
    """Populations from matrix exponentials, ascending on each axis."""
    spin, count = state.parameters.spin, state.parameters.ensembles
    axis = math.cos(azimuth) * qutip.jmat(spin, "x") + math.sin(azimuth) * qutip.jmat(spin, "y")
    pulse = (-1j * area * axis).expm()
    parts = [pulse * (-1j * phi * qutip.jmat(spin, "z")).expm() for phi in phases]
    psi = qutip.tensor(parts).full() @ state.amplitudes.ravel()
    return np.flip(np.abs(psi.reshape((state.parameters.dimension,) * count)) ** 2)


def assert_drawn_from(probability, outcomes):
    """Pearson's statistic of pooled cells below its 1 - 1e-5 quantile (seeded)."""
    expected = probability.ravel() * len(outcomes)
    cells = np.ravel_multi_index(outcomes.T, probability.shape)
    seen = np.bincount(cells, minlength=expected.size)
    large = expected > 5.0
    statistic = np.sum((seen[large] - expected[large]) ** 2 / expected[large])
    rest = expected[~large].sum()
    statistic += (seen[~large].sum() - rest) ** 2 / max(rest, 1.0)
    assert statistic < chi2.ppf(1.0 - 1e-5, np.count_nonzero(large))


class TestDistribution:
    @pytest.mark.parametrize(("area", "azimuth"), [(math.pi / 2, 0.0), (1.1, 0.7), (0.0, 0.0)])
    def test_is_the_turned_state(self, four, area, azimuth):
        """Local phases, then one pulse about an axis in the plane, then counting."""
        probability = readout_distribution(four, PHASES, area, azimuth)
        np.testing.assert_allclose(probability, turned(four, PHASES, area, azimuth), atol=1e-13)

    def test_of_two_ensembles_with_random_phase_is_the_ellipse(self):
        """L = 2 with a uniform common phase is the ellipse readout (Chu Eq. 16)."""
        pair = steady_state(TwoEnsembles(4, 2.0, 0.6))
        readout = EllipseReadout(4, pair.weights.size - 1)
        state = many_ensemble_state(ManyEnsembles(4, 2.0, (0.3, -0.3)))
        probability = readout_distribution(state, [0.4, -0.4], 1.3, 0.2, random_common_phase=True)
        np.testing.assert_allclose(
            probability, readout.distribution(pair.weights, 0.4, 1.3), atol=1e-12
        )

    def test_random_common_phase_is_the_average_over_phases(self, four):
        """As many equal steps of the common phase as there are values of m average exactly."""
        steps = 2 * math.pi * np.arange(9) / 9
        mean = sum(readout_distribution(four, PHASES + step) for step in steps) / 9
        average = readout_distribution(four, PHASES, random_common_phase=True)
        np.testing.assert_allclose(average, mean, atol=1e-13)

    def test_reads_the_ramsey_signal(self):
        """<m1 + m2> = X sin(phi) after a pulse about x, with X < 0 for Delta > 0."""
        pair = steady_state(TwoEnsembles(3, 2.0, 0.6))
        state = many_ensemble_state(ManyEnsembles(3, 2.0, (0.3, -0.3)))
        probability = readout_distribution(state, [0.4, -0.4])
        counts = np.arange(7) - 3.0
        signal = np.sum(probability * np.add.outer(counts, counts))
        assert signal == pytest.approx(pair.spin_length * math.sin(0.4), rel=1e-11)

    def test_refuses_phases_of_the_wrong_length(self, four):
        """One phase, or one for each ensemble."""
        with pytest.raises(ValueError, match="`phases` must hold one finite number or 4"):
            readout_distribution(four, [0.1, 0.2])


class TestSampling:
    def test_of_a_table(self, four):
        """20000 draws follow the table (false alarms 1e-5)."""
        probability = readout_distribution(four, PHASES)
        outcomes = sample_outcomes(probability, 20_000, np.random.default_rng(4))
        assert outcomes.shape == (20_000, 4)
        assert_drawn_from(probability, outcomes)

    def test_ensemble_by_ensemble(self, four):
        """Drawing one ensemble after the other gives the joint distribution (alarms 1e-5)."""
        outcomes = sample_readout(four, PHASES, 20_000, np.random.default_rng(5), 1.1, 0.7)
        assert_drawn_from(readout_distribution(four, PHASES, 1.1, 0.7), outcomes)

    def test_with_a_new_common_phase_in_every_shot(self, four):
        """Random phases shot by shot follow the averaged table (false alarms 1e-5)."""
        rng = np.random.default_rng(6)
        phases = PHASES + rng.uniform(0.0, 2.0 * math.pi, size=(20_000, 1))
        outcomes = sample_readout(four, phases, 20_000, rng)
        assert_drawn_from(readout_distribution(four, PHASES, random_common_phase=True), outcomes)

    def test_repeats_with_the_same_seed(self, four, monkeypatch):
        """The same generator gives the same shots, however they are cut into chunks."""
        first = sample_readout(four, PHASES, 50, np.random.default_rng(7))
        monkeypatch.setattr("cavitylab.models.many_ensembles_readout._CHUNK", 200)
        again = sample_readout(four, PHASES, 50, np.random.default_rng(7))
        assert np.array_equal(first, again)

    def test_refuses_phases_that_are_not_finite(self, four):
        """A missing phase is not silently counted."""
        with pytest.raises(ValueError, match="`phases` must be finite"):
            sample_readout(four, math.nan, 5, np.random.default_rng(0))
