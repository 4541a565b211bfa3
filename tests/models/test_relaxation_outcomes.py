"""Joint populations of two relaxing ensembles against brute force, their slopes and symmetries."""

import math

import numpy as np
import pytest
from scipy.linalg import expm

from cavitylab.models.relaxation import relaxation
from cavitylab.models.relaxation_outcomes import (
    LARGEST_SPIN,
    emission_rate,
    relaxed_state,
    relaxing_outcomes,
)
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

TIMES = [0.0, 0.3, 1.7]
RATES = {"rabi_frequency": 2.3, "detuning_difference": 1.1, "collective_decay": 0.8}


def brute_force(pair: TwoEnsembles, time: float) -> np.ndarray:
    """exp(L t) of the whole Liouvillian (Chu Eq. 2) in the product basis, atoms up ascending."""
    d = round(2 * pair.spin) + 1
    n = np.arange(1.0, d)
    lower, one = np.diag(np.sqrt(n * (d - n)), 1), np.eye(d)
    z = np.diag(np.arange(d) - pair.spin)
    first, second = np.kron(lower, one), np.kron(one, lower)
    jump, unit = first + second, np.eye(d * d)
    h = 0.5 * pair.rabi_frequency * (jump + jump.T)
    h = h + 0.5 * pair.detuning_difference * (np.kron(z, one) - np.kron(one, z))
    h = h + 0.5j * pair.exchange * (first.T @ second - first @ second.T)
    decay = jump.T @ jump
    generator = -1j * (np.kron(h, unit) - np.kron(unit, h.T))
    generator += pair.collective_decay * (
        np.kron(jump, jump) - 0.5 * np.kron(decay, unit) - 0.5 * np.kron(unit, decay.T)
    )
    rho = np.zeros((d * d, d * d), complex)
    rho[0, 0] = 1.0
    return (expm(generator * time) @ rho.ravel()).reshape(d * d, d * d)


@pytest.mark.parametrize(("spin", "chi"), [(0.5, 0.0), (1.0, 0.0), (1.0, 0.7), (1.0, -0.4)])
def test_states_and_populations_are_those_of_the_whole_liouvillian(spin, chi):
    """Density matrix and joint populations agree with brute force to 1e-11."""
    pair = TwoEnsembles(spin, exchange=chi, **RATES)
    found = relaxing_outcomes(pair, TIMES)
    d = round(2 * spin) + 1
    for time, table in zip(TIMES, found.probability, strict=True):
        exact = brute_force(pair, time)
        assert np.abs(relaxed_state(pair, time) - exact).max() < 1e-11
        assert np.abs(table - np.diag(exact).real.reshape(d, d)).max() < 1e-11
    assert np.allclose(found.probability.sum(axis=(1, 2)), 1.0, atol=1e-12)


@pytest.mark.parametrize("chi", [0.0, 0.6])
def test_slopes_are_those_of_finite_differences(chi):
    """By ln Gamma, ln Omega, ln Delta and chi, to 1e-7."""
    base = {"spin": 1.5, "exchange": chi, **RATES}
    slopes = relaxing_outcomes(TwoEnsembles(**base), TIMES, derivatives=True, exchange=True).slopes
    h = 1e-4
    names = ("collective_decay", "rabi_frequency", "detuning_difference")
    for index, name in enumerate((*names, "exchange")):
        ends = []
        for step in (h, -h):
            moved = chi + step if name == "exchange" else base[name] * math.exp(step)
            pair = TwoEnsembles(**{**base, name: moved})
            ends.append(relaxing_outcomes(pair, TIMES).probability)
        assert np.abs((ends[0] - ends[1]) / (2 * h) - slopes[index]).max() < 1e-7, name


def test_populations_know_the_sign_of_exchange_but_not_of_the_detuning():
    """P is even in Delta; exchanging the ensembles is the same as changing the sign of chi."""
    base = {"spin": 1.5, **RATES}

    def table(**changed):
        return relaxing_outcomes(TwoEnsembles(**{**base, **changed}), TIMES).probability

    assert np.allclose(table(), table(detuning_difference=-1.1), atol=1e-12)
    assert np.allclose(table(), table().transpose(0, 2, 1), atol=1e-12)
    one_way = table(exchange=0.8)
    assert np.allclose(one_way, table(exchange=0.8, detuning_difference=-1.1), atol=1e-12)
    assert np.allclose(one_way, table(exchange=-0.8).transpose(0, 2, 1), atol=1e-12)
    assert np.abs(one_way - one_way.transpose(0, 2, 1)).max() > 0.05


def test_moments_agree_with_the_relaxation_of_moments():
    """<S1z + S2z> of the tables is that of `relaxation`, which goes another way."""
    pair = TwoEnsembles(2.0, 4.0, 3.0)
    times = np.linspace(0.0, 3.0, 7)
    tables = relaxing_outcomes(pair, times).probability
    m = np.arange(5) - 2.0
    mean = np.einsum("tij,ij->t", tables, np.add.outer(m, m))
    assert np.allclose(mean, relaxation(pair, times, discard=0.0).mean_z, atol=1e-9)


def test_the_cavity_goes_dark():
    """Emission begins at zero, is bright on the way, and vanishes in the steady state."""
    pair = TwoEnsembles(1.5, 3.0, 2.0)
    rates = [emission_rate(pair, relaxed_state(pair, time)) for time in (0.0, 0.5, 60.0)]
    assert rates[0] < 1e-12 and rates[1] > 0.3 and rates[2] < 1e-9
    state = steady_state(pair)
    mean = np.trace(relaxed_state(pair, 60.0) @ np.kron(np.diag(np.arange(4) - 1.5), np.eye(4)))
    assert abs(2 * mean.real + state.mean_J) < 1e-9


def test_more_atoms_than_can_be_followed_are_refused():
    """Beyond the largest spin, and for times that are none."""
    with pytest.raises(ValueError, match="spin of at most"):
        relaxing_outcomes(TwoEnsembles(LARGEST_SPIN + 0.5, 2.0, 1.0), [1.0])
    with pytest.raises(ValueError, match="must rise"):
        relaxing_outcomes(TwoEnsembles(1.0, 2.0, 1.0), [1.0, 0.5])
    with pytest.raises(ValueError, match="`time`"):
        relaxed_state(TwoEnsembles(1.0, 2.0, 1.0), -1.0)
