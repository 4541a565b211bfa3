"""The yardstick of every phase estimate."""

import math

import pytest

from cavitylab.models import (
    TwoEnsembles,
    gain_over_standard_quantum_limit,
    standard_quantum_limit,
    steady_state,
)


def test_standard_quantum_limit():
    """2 x 100 uncorrelated atoms and 50 shots know phi to 1/sqrt(4 S n) = 0.01."""
    assert standard_quantum_limit(50, 50) == pytest.approx(0.01)


def test_gain_of_the_ideal_readout_is_the_squeezing():
    """The quantum limit of the steady state lies 10 log10(1/xi2) below the yardstick."""
    state = steady_state(TwoEnsembles(50, 1.0, 0.1))
    std = 1 / math.sqrt(state.qfi * 200)
    gain = gain_over_standard_quantum_limit(std, 50, 200)
    assert gain == pytest.approx(-10 * math.log10(state.xi2))
    assert gain_over_standard_quantum_limit(standard_quantum_limit(2, 7), 2, 7) == pytest.approx(0)


@pytest.mark.parametrize(
    ("spin", "shots", "name"), [(0, 5, "spin"), (1, 0, "shots"), (1, 2.5, "shots")]
)
def test_refuses_no_atoms_and_no_shots(spin, shots, name):
    """Spin and shots are named when wrong."""
    with pytest.raises(ValueError, match=f"`{name}` must"):
        standard_quantum_limit(spin, shots)


def test_refuses_a_spread_of_zero():
    """A standard deviation of zero has no gain."""
    with pytest.raises(ValueError, match="`std` must be above zero"):
        gain_over_standard_quantum_limit(0.0, 50, 10)
