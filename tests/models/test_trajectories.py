"""Quantum trajectories: their averages are the master equation, each run is a pure state."""

import numpy as np
import pytest

from cavitylab.models import TwoEnsembles, steady_state
from cavitylab.models.relaxation import relaxation
from cavitylab.models.trajectories import average, trajectories

# Two-sided limit in standard errors; with 27 comparisons below, seeded, the false-alarm
# rate of drawing another seed stays below 1e-4.
SIGMAS = 4.8


class TestAverages:
    @pytest.mark.parametrize(
        "pair", [TwoEnsembles(2, 4.0, 3.0), TwoEnsembles(1.5, 3.0, 2.0, exchange=1.0)]
    )
    def test_master_equation(self, pair):
        """Averages over 1500 runs agree with the density matrix within their errors."""
        times = [0.1, 0.4, 1.5]
        exact = relaxation(pair, times, discard=0.0)
        runs = trajectories(pair, times, 1500, np.random.default_rng(7))
        for values, expected in [
            (runs.fidelity, exact.fidelity),
            (runs.spin_length_x, exact.spin_length_x),
            (runs.mean_y, exact.mean_y),
            (runs.square_y, exact.variance + exact.mean_y**2),
        ]:
            mean, error = average(values)
            np.testing.assert_array_less(np.abs(mean - expected), SIGMAS * error)

    def test_photons(self):
        """The mean number of photons is the integral of Gamma <J+ J->, here by energy balance.

        Without drive and detuning that matter, a photon lowers J_z by one: all-down emits
        none, and in the steady state emission has ended.
        """
        pair = TwoEnsembles(1, 2.0, 2.0)
        runs = trajectories(pair, [0.0, 30.0, 60.0], 60, np.random.default_rng(3))
        assert np.all(runs.photons[:, 0] == 0)
        assert np.all(np.diff(runs.photons, axis=1) >= 0)
        dark = runs.fidelity[:, 1] > 1.0 - 1e-10
        assert dark.all()
        np.testing.assert_array_equal(runs.photons[:, 1], runs.photons[:, 2])


class TestSingleRuns:
    def test_end_in_the_dark_state(self):
        """Every run, not only their mean, arrives at the pure steady state."""
        pair = TwoEnsembles(3, 6.0, 5.0)
        state = steady_state(pair)
        runs = trajectories(pair, [12.0], 20, np.random.default_rng(5))
        np.testing.assert_allclose(runs.fidelity, 1.0, atol=1e-6)
        np.testing.assert_allclose(runs.spin_length_x, state.spin_length, rtol=1e-3)
        np.testing.assert_allclose(runs.variance, state.variance, rtol=1e-3)

    def test_same_seed_same_runs(self):
        """The random generator decides everything."""
        pair, times = TwoEnsembles(1.5, 3.0, 2.0), [0.5, 1.0]
        one = trajectories(pair, times, 8, np.random.default_rng(11))
        two = trajectories(pair, times, 8, np.random.default_rng(11))
        other = trajectories(pair, times, 8, np.random.default_rng(12))
        np.testing.assert_array_equal(one.fidelity, two.fidelity)
        assert not np.array_equal(one.fidelity, other.fidelity)

    def test_before_the_first_photon(self):
        """Runs without a photon follow one and the same non-Hermitian evolution."""
        pair = TwoEnsembles(2, 4.0, 3.0)
        runs = trajectories(pair, [0.15], 200, np.random.default_rng(1))
        silent = runs.fidelity[runs.photons[:, 0] == 0, 0]
        assert silent.size > 5
        np.testing.assert_allclose(silent, silent[0], rtol=1e-12)


class TestRefusals:
    pair = TwoEnsembles(1, 1.0, 1.0)

    def test_runs(self):
        """No runs at all."""
        with pytest.raises(ValueError, match="`runs` must be a whole number of at least 1"):
            trajectories(self.pair, [1.0], 0, np.random.default_rng(0))

    def test_times(self):
        """Times that fall."""
        with pytest.raises(ValueError, match="`times` must rise"):
            trajectories(self.pair, [1.0, 0.5], 1, np.random.default_rng(0))

    def test_average_of_one(self):
        """A standard error needs two runs."""
        with pytest.raises(ValueError, match="at least 2 runs, but holds 1"):
            average(np.zeros((1, 3)))
