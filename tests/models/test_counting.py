"""Photon counting: the Poisson kernel over atom numbers and its noise."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from cavitylab.models import (
    counting_noise,
    log_poisson_kernel,
    poisson_kernel,
    scaled_poisson_kernel,
)


class TestPoissonKernel:
    @given(
        counts=st.lists(st.integers(0, 20_000), min_size=1, max_size=5),
        gain=st.floats(0.1, 200.0),
        background=st.floats(0.0, 500.0),
        atoms=st.integers(0, 100),
    )
    @settings(deadline=None, max_examples=60, derandomize=True)
    def test_is_the_poisson_law(self, counts, gain, background, atoms):
        """Rows are shots, columns atom numbers, entries Poisson with mean gain*n + background."""
        mean = gain * np.arange(atoms + 1) + background
        expected = poisson.logpmf(np.array(counts)[:, None], mean)
        logs = log_poisson_kernel(counts, gain, background, atoms)
        np.testing.assert_allclose(logs, expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            poisson_kernel(counts, gain, background, atoms), np.exp(expected), rtol=1e-8, atol=1e-15
        )

    @pytest.mark.parametrize("count", [0, 5_000, 10_050, 60_000, 5_000_000])
    def test_scaled_kernel_never_underflows(self, count):
        """However far a count lies outside, its row keeps a largest value of 1."""
        kernel, log_scale = scaled_poisson_kernel([count], 100.0, 50.0, 100)
        assert kernel.max() == 1.0
        assert np.isfinite(log_scale[0])
        logs = log_poisson_kernel([count], 100.0, 50.0, 100)
        near = logs > log_scale[:, None] - 600.0
        np.testing.assert_allclose(
            (np.log(np.where(near, kernel, 1.0)) + log_scale[:, None])[near], logs[near], rtol=1e-9
        )

    def test_without_background_no_atom_gives_no_count(self):
        """With background 0, n = 0 explains a count of 0 and nothing else."""
        kernel = poisson_kernel([0, 3], 2.0, 0.0, 2)
        np.testing.assert_allclose(kernel[:, 0], [1.0, 0.0])
        assert np.all(kernel[1, 1:] > 0.0)
        impossible, log_scale = scaled_poisson_kernel([3], 2.0, 0.0, 0)
        assert impossible[0, 0] == 0.0 and log_scale[0] == -math.inf

    def test_is_fast_enough_for_every_likelihood(self):
        """2000 shots by 101 atom numbers take milliseconds of computing (limit far above)."""
        counts = np.random.default_rng(2).poisson(5000, 2000)
        start = time.process_time()
        scaled_poisson_kernel(counts, 100.0, 50.0, 100)
        assert time.process_time() - start < 0.1

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([1.5], 1.0, 0.0, 2), r"`counts` must hold whole numbers.*counts\[0\] is"),
            (([3, -1], 1.0, 0.0, 2), r"counts\[1\] is"),
            (([[1]], 1.0, 0.0, 2), r"`counts` must have shape \(shots,\)"),
            (([1], 0.0, 0.0, 2), "`gain` must be above zero, but is 0.0"),
            (([1], 1.0, -1.0, 2), "`background` must not be negative, but is -1.0"),
            (([1], 1.0, 0.0, -1), "`atoms` must be a whole number"),
        ],
    )
    def test_refuses_bad_input(self, arguments, message):
        """Each refusal names the argument, the rule and the value."""
        with pytest.raises(ValueError, match=message):
            log_poisson_kernel(*arguments)


class TestCountingNoise:
    def test_is_the_spread_of_simulated_counts(self):
        """20 000 Poisson counts spread by this many atoms (limit 5 standard errors, < 1e-6)."""
        rng = np.random.default_rng(8)
        measured = np.std((rng.poisson(100 * 40 + 50, 20_000) - 50) / 100)
        assert measured == pytest.approx(float(counting_noise(100, 50, 40)), rel=5 / 200)

    def test_keeps_the_shape_of_the_atom_numbers(self):
        """One noise per atom number; background alone leaves some."""
        noise = counting_noise(100.0, 50.0, [0, 100])
        np.testing.assert_allclose(noise, [math.sqrt(50) / 100, math.sqrt(10_050) / 100])

    def test_refuses_negative_atom_numbers(self):
        """Atom numbers are not negative."""
        with pytest.raises(ValueError, match="`atoms` must hold finite numbers"):
            counting_noise(100.0, 50.0, -1)
