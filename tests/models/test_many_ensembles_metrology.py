"""Entanglement and Fisher information of L ensembles, against density matrices."""

import math

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models import TwoEnsembles, steady_state
from cavitylab.models.many_ensembles import ManyEnsembles, many_ensemble_state
from cavitylab.models.many_ensembles_metrology import (
    dephased_qfi,
    entanglement_entropies,
    entanglement_entropy,
    linear_readout_information,
    qfi_matrix,
    schmidt_weights,
    spin_moments,
    weighted_qfi,
)

COMMON, GRADIENT, CURVATURE = (1, 1, 1, 1), (3, 1, -1, -3), (1, -1, -1, 1)


def solve(spin, rabi, detunings, exchange):
    return many_ensemble_state(ManyEnsembles(spin, rabi, detunings, exchange))


@pytest.fixture(scope="module")
def four():
    """Four ensembles of two atoms in an order with every pair entangled."""
    return solve(1, 2.5, (0.5, 0.8, -0.8, -0.5), 0.9)


def ket(state):
    dimension, count = state.parameters.dimension, state.parameters.ensembles
    return qutip.Qobj(state.amplitudes.reshape(-1, 1), dims=[[dimension] * count, [1] * count])


def spin_operator(state, axis, ensemble):
    parts = [qutip.qeye(state.parameters.dimension)] * state.parameters.ensembles
    parts[ensemble] = qutip.jmat(state.parameters.spin, axis)
    return qutip.tensor(parts)


def sld_information(rho, generator):
    """QFI of exp(-i phi G) rho exp(i phi G) from the eigenvectors of rho."""
    values, vectors = np.linalg.eigh(rho)
    elements = vectors.conj().T @ generator @ vectors
    sums = values[:, None] + values[None, :]
    gaps = (values[:, None] - values[None, :]) ** 2
    terms = np.divide(gaps, sums, out=np.zeros_like(gaps), where=sums > 1e-12)
    return 2.0 * np.sum(terms * np.abs(elements) ** 2)


class TestEntanglement:
    @pytest.mark.parametrize("side", [(1,), (3,), (1, 2), (4, 2), (1, 2, 3)])
    def test_entropy_is_that_of_the_reduced_density_matrix(self, four, side):
        """Equal to QuTiP's partial trace and entropy, for any bipartition."""
        reduced = ket(four).ptrace([number - 1 for number in side])
        expected = qutip.entropy_vn(reduced)
        assert entanglement_entropy(four, side) == pytest.approx(expected, abs=1e-10)

    def test_schmidt_weights_add_to_one_and_match_from_both_sides(self, four):
        """Both sides see the same weights."""
        weights = schmidt_weights(four, (1, 4))
        assert weights.sum() == pytest.approx(1.0, abs=1e-12)
        np.testing.assert_allclose(weights, schmidt_weights(four, (2, 3)), atol=1e-12)

    def test_every_bipartition_once(self, four):
        """L = 4 has seven bipartitions, named by their smaller side."""
        table = entanglement_entropies(four)
        assert list(table) == [(1,), (2,), (3,), (4,), (1, 2), (1, 3), (1, 4)]
        assert table[(1, 3)] == pytest.approx(entanglement_entropy(four, (2, 4)), rel=1e-12)

    @pytest.mark.parametrize("side", [(), (1, 2, 3, 4), (1, 1), (0,), (5,), (1.5,)])
    def test_refuses_sides_that_are_none(self, four, side):
        """Neither none nor all, none twice, none that does not exist."""
        with pytest.raises(ValueError, match="`ensembles` must"):
            entanglement_entropy(four, side)


class TestFisherInformation:
    def test_matrix_is_four_times_the_covariance(self, four):
        """Against QuTiP expectation values of all products."""
        psi = ket(four)
        z = [spin_operator(four, "z", k) for k in range(4)]
        expected = [
            [
                4 * (qutip.expect(a * b, psi) - qutip.expect(a, psi) * qutip.expect(b, psi))
                for b in z
            ]
            for a in z
        ]
        np.testing.assert_allclose(qfi_matrix(four), expected, atol=1e-11)

    @pytest.mark.parametrize("weights", [CURVATURE, (1, -1, 1, -1), (0.3, 1.0, -2.0, 0.1)])
    def test_without_noise_it_is_the_matrix(self, four, weights):
        """No dephasing leaves the pure state's v^T F v."""
        expected = weighted_qfi(qfi_matrix(four), weights)
        assert dephased_qfi(four, weights, []) == pytest.approx(expected, rel=1e-12)

    @pytest.mark.parametrize("noise", [(COMMON,), (GRADIENT,), (COMMON, GRADIENT)])
    @pytest.mark.parametrize("weights", [CURVATURE, (1, -1, 1, -1), (0.3, 1.0, -2.0, 0.1)])
    def test_dephased_is_the_information_of_the_density_matrix(self, weights, noise):
        """Block variances equal the symmetric logarithmic derivative's information."""
        state = solve(0.5, 1.5, (0.5, 0.8, -0.8, -0.5), 0.9)
        psi = state.amplitudes.ravel()
        rho = np.outer(psi, psi.conj())

        def diagonal(v):
            terms = (v[k] * spin_operator(state, "z", k).diag().real for k in range(4))
            return sum(terms)

        for row in noise:
            values = diagonal(row)
            rho = np.where(values[:, None] == values[None, :], rho, 0.0)
        expected = sld_information(rho, np.diag(diagonal(weights)))
        assert dephased_qfi(state, weights, noise) == pytest.approx(expected, abs=1e-10)

    @given(outer=st.floats(-3, 3), inner=st.floats(-3, 3), rabi=st.floats(0.5, 30.0))
    @settings(deadline=None, max_examples=25, derandomize=True)
    def test_noise_only_takes_away(self, outer, inner, rabi):
        """More unknown phases, less information; none is left on the noise itself."""
        state = solve(1, rabi, (outer, inner, -inner, -outer), 1.0)
        pure = dephased_qfi(state, CURVATURE, [])
        common = dephased_qfi(state, CURVATURE, [COMMON])
        both = dephased_qfi(state, CURVATURE, [COMMON, GRADIENT])
        assert pure >= common - 1e-10 >= both - 2e-10
        assert dephased_qfi(state, COMMON, [COMMON]) == pytest.approx(0.0, abs=1e-10)
        assert np.linalg.eigvalsh(qfi_matrix(state)).min() > -1e-10

    def test_infinite_drive_does_not_feel_a_common_phase(self):
        """At Omega -> infinity every shot has as many atoms up as down."""
        state = solve(2, math.inf, (0.5, 0.8, -0.8, -0.5), 0.9)
        matrix = qfi_matrix(state)
        np.testing.assert_allclose(matrix @ np.ones(4), 0.0, atol=1e-12)
        pure = dephased_qfi(state, CURVATURE, [])
        both = dephased_qfi(state, CURVATURE, [COMMON, GRADIENT])
        assert both == pytest.approx(pure, rel=1e-12)

    def test_refuses_weights_of_the_wrong_length_or_kind(self, four):
        """One finite weight for each ensemble; whole numbers for noise."""
        with pytest.raises(ValueError, match="`weights` must hold 4 finite numbers"):
            dephased_qfi(four, (1, -1), [])
        with pytest.raises(ValueError, match="`weights` must hold 4 finite numbers"):
            weighted_qfi(qfi_matrix(four), (1, -1, math.nan, 0))
        with pytest.raises(ValueError, match="`noise` must hold whole numbers"):
            dephased_qfi(four, CURVATURE, [(0.5, 0.5, 0.5, 0.5)])


class TestSpinMoments:
    def test_agree_with_expectation_values(self, four):
        """All twelve means and all symmetrised covariances."""
        psi = ket(four)
        moments = spin_moments(four)
        operators = [spin_operator(four, axis, k) for k in range(4) for axis in "xyz"]
        means = np.array([qutip.expect(a, psi) for a in operators])
        products = [[qutip.expect(a * b + b * a, psi) / 2 for b in operators] for a in operators]
        np.testing.assert_allclose(moments.mean.ravel(), means, atol=1e-12)
        np.testing.assert_allclose(
            moments.covariance.reshape(12, 12), products - np.outer(means, means), atol=1e-11
        )

    def test_two_ensembles_have_the_known_spin_length(self):
        """<S1x - S2x>, <S1y - S2y> and Var(S1y + S2y) of the two-ensemble model."""
        pair = steady_state(TwoEnsembles(3, 3.0, 1.5, 0.6))
        moments = spin_moments(solve(3, 3.0, (0.75, -0.75), 0.6))
        difference = moments.mean[0] - moments.mean[1]
        assert difference[0] == pytest.approx(pair.spin_length_x, rel=1e-12)
        assert difference[1] == pytest.approx(pair.spin_length_y, rel=1e-12)
        variance = moments.covariance[:, 1, :, 1].sum()
        assert variance == pytest.approx(pair.variance, rel=1e-12)


class TestLinearReadout:
    def test_saturates_two_ensembles_without_exchange(self):
        """At chi = 0 the mean counts carry the whole QFI of phi (Chu Eq. 12)."""
        state = solve(3, 3.0, (0.75, -0.75), 0.0)
        information = linear_readout_information(state)
        pair = steady_state(TwoEnsembles(3, 3.0, 1.5))
        assert weighted_qfi(information, (1, -1)) == pytest.approx(pair.qfi, rel=1e-10)

    @pytest.mark.parametrize("azimuth", [0.0, 0.7, -1.9])
    def test_never_exceeds_the_quantum_information(self, four, azimuth):
        """F - M is positive semidefinite for any readout direction."""
        gap = qfi_matrix(four) - linear_readout_information(four, azimuth)
        assert np.linalg.eigvalsh(gap).min() > -1e-9

    def test_vanishes_at_infinite_drive(self):
        """A singlet has no mean spin."""
        information = linear_readout_information(solve(1, math.inf, (0.5, -0.5), 0.9))
        np.testing.assert_allclose(information, 0.0, atol=1e-20)
