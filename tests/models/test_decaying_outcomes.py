"""Counts of two ensembles whose atoms decay one by one: limits, sums, and the moments of spins."""

import math

import numpy as np
import pytest

from cavitylab.models.cumulants import DecayingEnsembles
from cavitylab.models.cumulants_exact import exact_trajectory
from cavitylab.models.cumulants_optimum import exact_optimum
from cavitylab.models.decaying_outcomes import (
    Turn,
    decaying_populations,
    decaying_state,
    total_spin,
    turned,
)
from cavitylab.models.relaxation_outcomes import relaxing_outcomes
from cavitylab.models.two_ensembles import TwoEnsembles


def test_without_decay_the_populations_are_those_of_the_density_matrix():
    """The other basis, the other solver: 1e-7."""
    exact = relaxing_outcomes(TwoEnsembles(1.5, 4.0, 3.0), [1.3]).probability[0]
    state = decaying_state(DecayingEnsembles(1.5, 4.0, 3.0), 1.3)
    assert np.abs(decaying_populations(state, 3) - exact).max() < 1e-7


def test_inverted_atoms_fall_independently():
    """A pi pulse, then a dark time: every atom is still up with exp(-gamma t)."""
    down = decaying_state(DecayingEnsembles(1.0, 1.0, 1.0, 0.3), 0.0)
    turns = [Turn(math.pi * 1e4, 0.3, 0.0, 1e-4), Turn(0.0, 0.0, 2.0, 0.5)]
    table = decaying_populations(turned(down, 2, turns, decay=0.3), 2)
    up = math.exp(-0.15)
    one = np.array([(1.0 - up) ** 2, 2.0 * up * (1.0 - up), up**2])
    assert np.abs(table - np.outer(one, one)).max() < 1e-4  # a little falls during the pulse


def test_moments_are_those_of_the_trajectory_and_of_the_counts():
    """Variance, length and inversion; the counts of z have the moments of Jz."""
    pair = DecayingEnsembles(1.0, 4.0, 3.0, 0.3)
    state, path = decaying_state(pair, 1.3), exact_trajectory(pair, [1.3])
    found = total_spin(state, 2)
    assert found.second[1, 1] - found.mean[1] ** 2 == pytest.approx(path.variance[0], abs=1e-6)
    assert found.difference[0] == pytest.approx(path.spin_length_x[0], abs=1e-6)
    table, m = decaying_populations(state, 2), np.add.outer(np.arange(3.0), np.arange(3.0)) - 2.0
    assert (table * m).sum() == pytest.approx(found.mean[2], abs=1e-9)
    assert (table * m**2).sum() == pytest.approx(found.second[2, 2], abs=1e-9)


def test_the_optimum_of_few_atoms_improves_with_cooperativity_to_its_end():
    """Below the many-atom law's slope, above 3/(4(S+1)); large ensembles are refused."""
    found = [exact_optimum(1.0, c).xi2 for c in (3.0, 30.0)]
    assert found[0] > found[1] > 3.0 / 8.0
    with pytest.raises(ValueError, match="at most 3"):
        exact_optimum(20.0, 3.0)
