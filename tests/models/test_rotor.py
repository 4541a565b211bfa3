"""Shots at large spin from two rotors, held to the exact outcome table.

Statistical limits lie at 5 standard errors (false alarm below 1e-6 each).
"""

import math
import warnings

import numpy as np
import pytest

from cavitylab.models import EllipseReadout, TwoEnsembles, second_moments, steady_state
from cavitylab.models.rotor import RotorSampler, RotorValidityWarning


def at(spin, ratio, noise=2.0):
    return RotorSampler(steady_state(TwoEnsembles(spin, 1.0, ratio)), noise)


def errors(values):
    return values.mean(), values.std() / math.sqrt(values.size)


@pytest.mark.parametrize("ratio", [2e-4, 0.01414, 0.5, 2.0])
@pytest.mark.parametrize("phase", [0.0, 0.3, 1.2])
def test_second_moments(ratio, phase):
    """Mean squares of sum and difference are those of the exact closed forms."""
    sampler = at(5000, ratio)
    m = sampler.populations(phase, 100_000, np.random.default_rng(1)) - 5000
    exact = second_moments(sampler.state, phase)
    for values, expected in (
        ((m[:, 0] + m[:, 1]) ** 2, exact.sum_square),
        ((m[:, 0] - m[:, 1]) ** 2, exact.difference_square),
    ):
        mean, error = errors(values)
        assert abs(mean - expected) < 5 * error + 1e-3 * expected


@pytest.mark.parametrize("phase", [0.1, 0.7])
def test_fourth_moments_and_bins(phase):
    """At S = 200 fourth moments and the counts in bins of 20 atoms follow the exact table."""
    spin, shots = 200, 200_000
    sampler = at(spin, 0.1)
    atoms = sampler.populations(phase, shots, np.random.default_rng(2))
    weights = sampler.state.weights
    table = EllipseReadout(spin, len(weights) - 1).distribution(weights, phase)
    m = np.arange(2 * spin + 1) - spin
    for sign in (1, -1):
        exact = float((table * (m[:, None] + sign * m) ** 4.0).sum())
        mean, error = errors((atoms[:, 0] - spin + sign * (atoms[:, 1] - spin)) ** 4)
        assert abs(mean - exact) < 5 * error + 3e-3 * exact
    edges = np.append(np.arange(0, 2 * spin + 1, 20), 2 * spin + 2)
    cells = np.clip(np.rint(atoms), 0, 2 * spin)
    drawn = np.histogram2d(cells[:, 0], cells[:, 1], bins=(edges, edges))[0] / shots
    binned = np.add.reduceat(np.add.reduceat(table, edges[:-1], 0), edges[:-1], 1)
    assert 0.5 * np.abs(drawn - binned).sum() < 0.02


def test_noise_and_rounding():
    """Counts are whole, carry the detector's variance, and repeat with the seed."""
    sampler = at(1000, 0.03, noise=5.0)
    counts = sampler.sample(0.4, 100_000, np.random.default_rng(3))
    again = sampler.sample(0.4, 100_000, np.random.default_rng(3))
    assert counts.dtype == np.int64 and counts.shape == (100_000, 2)
    np.testing.assert_array_equal(counts, again)
    exact = second_moments(sampler.state, 0.4).sum_square + 2 * (25.0 + 1.0 / 12.0)
    mean, error = errors((counts.sum(axis=1) - 2000.0) ** 2)
    assert abs(mean - exact) < 5 * error + 1e-3 * exact


def test_atoms_stay_in_the_ensemble():
    """Populations pass the ends 0 and 2S by less than two atoms."""
    for spin, ratio in ((50, 0.5), (50, 1.0), (1000, 0.03)):
        atoms = at(spin, ratio).populations(0.7, 100_000, np.random.default_rng(4))
        assert atoms.min() > -2.0 and atoms.max() < 2 * spin + 2.0


def test_validity():
    """Noise below 1 atom, small spins and exchange are refused; below 2 atoms it warns."""
    with pytest.raises(ValueError, match="detection_noise.*at least 1.*0.5"):
        at(100, 0.1, noise=0.5)
    with pytest.raises(ValueError, match="spin of at least 50.*EllipseReadout"):
        at(20, 0.1)
    with pytest.warns(RotorValidityWarning, match="2 atoms"):
        at(100, 0.1, noise=1.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        at(100, 0.1, noise=2.0)
    with pytest.raises(ValueError, match="shots"):
        at(100, 0.1).sample(0.1, -1, np.random.default_rng(5))
