"""Quantum trajectories: their averages are the master equation, each run is a pure state."""

import sys

import numpy as np
import pytest
from scipy.linalg import expm

from cavitylab.models import TwoEnsembles, steady_state
from cavitylab.models.relaxation import relaxation
from cavitylab.models.relaxation_generator import generator
from cavitylab.models.trajectories import average, trajectories

# Two-sided limit in standard errors; with 45 comparisons below, seeded, the false-alarm
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


@pytest.fixture(params=["compiled", "plain"])
def way(request, monkeypatch):
    """With numba, and as if it were not installed."""
    if request.param == "plain":
        monkeypatch.setitem(sys.modules, "cavitylab.models.trajectories_kernel", None)
    return request.param


class TestBothWays:
    PAIRS = [TwoEnsembles(4, 8.0, 3.0), TwoEnsembles(2.5, 3.0, 2.0, exchange=1.5)]

    @pytest.mark.parametrize("pair", PAIRS)
    def test_between_photons(self, pair, way):
        """Until the first photon a run is exp(K t) of all atoms down, to 1e-8."""
        system, times = generator(pair), np.array([0.01, 0.04])
        runs = trajectories(pair, times, 60, np.random.default_rng(2))
        for place, time in enumerate(times):
            silent = np.flatnonzero(runs.photons[:, place] == 0)
            assert silent.size > 3
            phi = expm(time * system.drift.toarray()) @ system.all_down()
            rho = np.outer(phi, phi.conj()) / np.linalg.norm(phi) ** 2
            _, x, _, mean_y, square_y, _, fidelity = system.expectations(rho)
            for run in silent:
                assert runs.fidelity[run, place] == pytest.approx(fidelity, abs=1e-8)
                assert runs.spin_length_x[run, place] == pytest.approx(x, abs=1e-8)
                assert runs.mean_y[run, place] == pytest.approx(mean_y, abs=1e-8)
                assert runs.square_y[run, place] == pytest.approx(square_y, abs=1e-8)

    @pytest.mark.parametrize("pair", PAIRS)
    def test_same_runs(self, pair, monkeypatch):
        """Compiled and plain, the same seed gives the same photons and the same states."""
        times = [0.0, 0.2, 1.0]
        compiled = trajectories(pair, times, 30, np.random.default_rng(4))
        monkeypatch.setitem(sys.modules, "cavitylab.models.trajectories_kernel", None)
        plain = trajectories(pair, times, 30, np.random.default_rng(4))
        np.testing.assert_array_equal(compiled.photons, plain.photons)
        for name in ("fidelity", "spin_length_x", "spin_length_y", "mean_y", "square_y"):
            one, two = getattr(compiled, name), getattr(plain, name)
            np.testing.assert_allclose(one, two, atol=1e-5)
        assert compiled.photons.max() > 5

    def test_master_equation(self, way):
        """Averages over 800 runs agree with the density matrix within their errors."""
        pair, times = TwoEnsembles(2, 4.0, 3.0), [0.1, 0.4, 1.5]
        exact = relaxation(pair, times, discard=0.0)
        runs = trajectories(pair, times, 800, np.random.default_rng(17))
        for values, expected in [
            (runs.fidelity, exact.fidelity),
            (runs.spin_length_x, exact.spin_length_x),
            (runs.square_y, exact.variance + exact.mean_y**2),
        ]:
            mean, error = average(values)
            np.testing.assert_array_less(np.abs(mean - expected), SIGMAS * error)

    def test_one_atom_each(self, way):
        """The smallest pair runs, and ends dark."""
        runs = trajectories(TwoEnsembles(0.5, 2.0, 2.0), [40.0], 5, np.random.default_rng(1))
        np.testing.assert_allclose(runs.fidelity, 1.0, atol=1e-9)


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
