"""Pairs that do not match: references, brute force, and the matched limit."""

import numpy as np
import pytest
import qutip

from cavitylab.models import TwoEnsembles, steady_state
from cavitylab.models.imperfections import MismatchedPair, mismatched, mixed_steady_state

REFERENCE = TwoEnsembles(3, 6.0, 0.667 * 6.0)


def test_reference_purity(oracle):
    """A common detuning offset at S = 1."""
    case = oracle("r40")
    i = case.inputs
    pair = MismatchedPair((i.S, i.S), (i.Omega,) * 2, tuple(i.deltas), exchange=i.chi)
    case.check("purity", mixed_steady_state(pair).purity)


@pytest.mark.parametrize(
    ("fault", "purity", "xi2"),
    [
        ({"common_detuning": 0.1}, 0.996, 0.404),
        ({"common_detuning": 1.0}, 0.733, 0.740),
        ({"drive_imbalance": 0.01}, 0.989, 0.411),
        ({"drive_imbalance": 0.2}, 0.524, 1.45),
        ({"coupling_imbalance": 0.05}, 0.970, 0.419),
        ({"coupling_imbalance": 0.2}, 0.732, 0.668),
        ({"second_spin": 2.5}, 0.974, 0.432),
        ({"second_spin": 2}, 0.897, 0.536),
    ],
)
def test_table_of_faults(fault, purity, xi2):
    """S = 3, Omega = 6 Gamma, Delta/Omega = 0.667: to the digits of the reference's table."""
    state = mixed_steady_state(mismatched(REFERENCE, **fault))
    assert state.purity == pytest.approx(purity, abs=1.1e-3)
    assert state.xi2 == pytest.approx(xi2, rel=4e-3)
    assert state.best_xi2 <= state.xi2 * (1 + 1e-12)


@pytest.mark.parametrize("exchange", [0.0, 0.7])
def test_matched_pair_is_the_pure_state(exchange):
    """Without faults purity 1, no emission, and the figures of the pure state."""
    pair = TwoEnsembles(2, 3.0, 1.5, exchange)
    mixed, pure = mixed_steady_state(mismatched(pair)), steady_state(pair)
    assert mixed.purity == pytest.approx(1.0, abs=1e-10)
    assert mixed.emission_rate == pytest.approx(0.0, abs=1e-10)
    assert mixed.spin_length_x == pytest.approx(pure.spin_length_x, abs=1e-9)
    assert mixed.spin_length_y == pytest.approx(pure.spin_length_y, abs=1e-9)
    assert mixed.xi2 == pytest.approx(pure.xi2, rel=1e-9)
    assert -mixed.mean_sum[2] == pytest.approx(pure.mean_J, abs=1e-9)


def test_against_qutip():
    """Everything unequal at once: the same density matrix as QuTiP's steady state."""
    pair = MismatchedPair((1, 1.5), (1.3, 1.6), (0.6, -0.3), (1.1, 0.8), 0.4, 0.9)
    one, two = qutip.qeye(3), qutip.qeye(4)
    a = [qutip.tensor(qutip.jmat(1, k), two) for k in "xz-"]
    b = [qutip.tensor(one, qutip.jmat(1.5, k)) for k in "xz-"]
    h = 1.3 * a[0] + 1.6 * b[0] + 0.6 * a[1] - 0.3 * b[1]
    h += 0.2j * (a[2].dag() * b[2] - a[2] * b[2].dag())
    jump = np.sqrt(0.9) * (1.1 * a[2] + 0.8 * b[2])
    expected = qutip.steadystate(h, [jump]).full()
    state = mixed_steady_state(pair)
    np.testing.assert_allclose(state.density_matrix, expected, atol=1e-10)
    emitted = np.trace((jump.dag() * jump).full() @ expected).real
    assert state.emission_rate == pytest.approx(emitted, abs=1e-9)


def test_state_is_a_state():
    """Trace 1, no negative populations; exchanging the ensembles mirrors the spin length."""
    state = mixed_steady_state(MismatchedPair((1.5, 1), (2.0, 2.2), (0.7, -0.4)))
    swapped = mixed_steady_state(MismatchedPair((1, 1.5), (2.2, 2.0), (-0.4, 0.7)))
    assert np.trace(state.density_matrix).real == pytest.approx(1.0, abs=1e-12)
    assert np.linalg.eigvalsh(state.density_matrix).min() > -1e-12
    assert swapped.spin_length_x == pytest.approx(-state.spin_length_x, abs=1e-10)
    assert swapped.best_xi2 == pytest.approx(state.best_xi2, rel=1e-9)


def test_best_quadrature_is_best():
    """No other quadrature in the plane reads the phase better."""
    state = mixed_steady_state(mismatched(REFERENCE, drive_imbalance=0.05))
    angles = np.linspace(0.01, np.pi, 400)
    assert min(state.xi2_along(angle) for angle in angles) >= state.best_xi2 * (1 - 1e-12)
    assert state.best_xi2 < 0.95 * state.xi2


def test_refusals():
    """Several steady states, large spins and wrong values are refused."""
    with pytest.raises(ValueError, match="one steady state"):
        mixed_steady_state(MismatchedPair((1, 1), (1.0, 1.0), (0.0, 0.0)))
    with pytest.raises(ValueError, match="spins.*at most 100.*121"):
        MismatchedPair((5, 5), (1.0, 1.0), (0.1, -0.1))
    with pytest.raises(ValueError, match="couplings.*above zero"):
        MismatchedPair((1, 1), (1.0, 1.0), (0.1, -0.1), (1.0, 0.0))
    with pytest.raises(ValueError, match="rabi_frequencies"):
        MismatchedPair((1, 1), (0.0, 0.0), (0.1, -0.1))
    with pytest.raises(ValueError, match="detunings.*2 ensembles"):
        MismatchedPair((1, 1), (1.0, 1.0), (0.1,))
    with pytest.raises(ValueError, match="drive_imbalance"):
        mismatched(REFERENCE, drive_imbalance=1.5)
    with pytest.raises(ValueError, match="coupling_imbalance"):
        mismatched(REFERENCE, coupling_imbalance=-1.0)
