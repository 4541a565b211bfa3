"""The pure steady state of L ensembles: references, the Liouvillian, and dark-state residuals."""

import math
from functools import reduce
from itertools import permutations

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models import TwoEnsembles, ladder_elements, magnetic_numbers, steady_state
from cavitylab.models.many_ensembles import (
    ManyEnsembles,
    detuning_pairs,
    has_unique_pure_state,
    many_ensemble_state,
    pair_amplitudes,
)
from cavitylab.models.many_ensembles_metrology import entanglement_entropy, qfi_matrix
from cavitylab.models.many_ensembles_swaps import apply_spectrum, spectral_gate, swap_phases


def on_axis(matrix, psi, axis):
    return np.moveaxis(np.tensordot(matrix, psi, (1, axis)), 0, axis)


def residuals(state):
    """Norms of (H psi, J^- psi), with the operators applied axis by axis."""
    p = state.parameters
    psi = state.amplitudes
    raising = np.diag(ladder_elements(p.spin), 1)
    z = np.diag(magnetic_numbers(p.spin))
    lowered = [on_axis(raising.T, psi, axis) for axis in range(p.ensembles)]
    raised = [on_axis(raising, psi, axis) for axis in range(p.ensembles)]
    h_psi = 0.5 * p.rabi_frequency * (sum(lowered) + sum(raised))
    for axis, detuning in enumerate(p.detunings):
        h_psi = h_psi + detuning * on_axis(z, psi, axis)
        for other in range(axis):
            h_psi = h_psi + 0.5j * p.exchange * on_axis(raising, lowered[axis], other)
            h_psi = h_psi - 0.5j * p.exchange * on_axis(raising, lowered[other], axis)
    return np.linalg.norm(h_psi), np.linalg.norm(sum(lowered))


def liouvillian(spin, rabi, detunings, exchange):
    count, dimension = len(detunings), round(2 * spin) + 1

    def place(axis, position):
        parts = [qutip.qeye(dimension)] * count
        parts[position] = qutip.jmat(spin, axis)
        return qutip.tensor(parts)

    up = [place("+", k) for k in range(count)]
    h = sum(rabi * place("x", k) + d * place("z", k) for k, d in enumerate(detunings))
    for k in range(count):
        for later in range(k + 1, count):
            term = up[k] * up[later].dag()
            h = h + 0.5j * exchange * (term - term.dag())
    return qutip.liouvillian(h, [sum(u.dag() for u in up)])


class TestAgainstReferences:
    def test_four_ensembles(self, oracle):
        """QFI matrix, entropies of three bipartitions, and the population of all down."""
        case = oracle("r32")
        i = case.inputs
        state = many_ensemble_state(ManyEnsembles(i.S, i.Omega, i.deltas, i.chi))
        case.check("QFI_matrix", qfi_matrix(state))
        for pair in [(1, 2), (1, 3), (1, 4)]:
            case.check(f"S_{pair[0]}{pair[1]}", entanglement_entropy(state, pair))
        case.check("p_all_down", state.all_down_population)

    def test_six_ensembles_in_mixed_order(self, oracle):
        """Three and more exchanges of neighbours: entropies of two and three ensembles."""
        case = oracle("r33")
        i = case.inputs
        state = many_ensemble_state(ManyEnsembles(i.S, i.Omega, i.deltas, i.chi))
        case.check("S_12", entanglement_entropy(state, (1, 2)))
        case.check("S_123", entanglement_entropy(state, (1, 2, 3)))
        case.check("S_25", entanglement_entropy(state, (2, 5)))

    def test_uniqueness_is_the_null_space_of_the_liouvillian(self, oracle):
        """One null vector where, and only where, the conditions promise one."""
        case = oracle("r34")
        found = []
        for pattern in case.inputs.cases:
            matrix = liouvillian(0.5, 1.3, pattern["deltas"], pattern["chi"]).full()
            found.append(np.count_nonzero(np.linalg.svd(matrix, compute_uv=False) < 1e-10))
            assert has_unique_pure_state(pattern["deltas"], pattern["chi"]) == (found[-1] == 1)
        case.check("null_dim", found)

    @pytest.mark.parametrize(
        ("detunings", "pair", "entropies"),
        [
            ((2, -2, 3, -3), (1, 2), [0.0, 0.0, 0.0, 0.0]),
            ((2, -2, 3, -3), (1, 3), [0.009, 0.65, 2.19, 4.05]),
            ((2, 3, -3, -2), (1, 2), [0.017, 1.12, 3.02, 4.16]),
            ((2, 3, -3, -2), (1, 3), [0.021, 1.12, 2.77, 4.03]),
            ((2, 3, -3, -2), (1, 4), [0.007, 0.75, 2.48, 4.34]),
        ],
    )
    def test_entropies_over_the_drive_at_spin_10(self, detunings, pair, entropies):
        """The curves of Chu Fig. 5 at Omega/chi = 5, 10, 15, 30."""
        for rabi, expected in zip([5, 10, 15, 30], entropies, strict=True):
            state = many_ensemble_state(ManyEnsembles(10, rabi, detunings, 1.0))
            assert entanglement_entropy(state, pair) == pytest.approx(expected, abs=6e-3)


class TestAgainstBruteForce:
    @pytest.mark.parametrize("exchange", [0.0, 0.7, -1.2])
    @pytest.mark.parametrize(
        ("spin", "detunings"), [(0.5, (0.9, -0.4, 0.4, -0.9)), (0.5, (0.3, 1.1, -0.3, -1.1))]
    )
    def test_is_the_null_vector_of_the_liouvillian(self, spin, detunings, exchange):
        """The steady state of the master equation, phases included, to 1e-10."""
        psi = many_ensemble_state(ManyEnsembles(spin, 1.3, detunings, exchange)).amplitudes.ravel()
        _, _, rows = np.linalg.svd(liouvillian(spin, 1.3, detunings, exchange).full())
        rho = rows[-1].conj().reshape(psi.size, psi.size).T
        rho /= np.trace(rho)
        np.testing.assert_allclose(np.outer(psi, psi.conj()), rho, atol=1e-10)

    @given(
        atoms=st.integers(1, 3),
        sizes=st.lists(st.floats(0.05, 4.0), min_size=1, max_size=3),
        exchange=st.floats(-3.0, 3.0).filter(lambda value: abs(value) > 1e-3),
        rabi=st.floats(0.3, 20.0),
        seed=st.integers(0, 10**6),
    )
    @settings(deadline=None, max_examples=60, derandomize=True)
    def test_is_dark_and_stationary_for_any_order(self, atoms, sizes, exchange, rabi, seed):
        """H psi = 0 and J^- psi = 0, in every order, with repeated values, either sign of chi."""
        sizes = sizes if atoms < 3 else sizes[:2]
        detunings = np.random.default_rng(seed).permutation([*sizes, *(-s for s in sizes)])
        state = many_ensemble_state(ManyEnsembles(atoms / 2, rabi, tuple(detunings), exchange))
        scale = rabi + abs(exchange) + 4.0
        assert np.linalg.norm(state.amplitudes) == pytest.approx(1.0, abs=1e-12)
        assert max(residuals(state)) < 1e-11 * scale

    def test_every_order_of_four(self):
        """All 24 orders of two pairs, without exchange too."""
        for order in permutations((0.5, 1.7, -0.5, -1.7)):
            for exchange in (0.0, 0.6):
                state = many_ensemble_state(ManyEnsembles(1, 2.0, order, exchange))
                assert max(residuals(state)) < 1e-12

    def test_eight_ensembles(self):
        """L = 8 atoms pairs in a shuffled order."""
        order = (0.2, -0.9, 1.4, 0.9, -0.2, -2.0, -1.4, 2.0)
        assert max(residuals(many_ensemble_state(ManyEnsembles(0.5, 2.0, order, 0.8)))) < 1e-12

    def test_zero_detunings_with_exchange(self):
        """With exchange all detunings may vanish."""
        state = many_ensemble_state(ManyEnsembles(1.5, 2.0, (0.0,) * 4, 0.8))
        assert max(residuals(state)) < 1e-12


class TestSwapGates:
    @pytest.mark.parametrize("exchange", [0.0, 0.7, -2.0])
    @pytest.mark.parametrize("spin", [0.5, 1.0, 2.5, 6.0])
    def test_exchange_the_detunings(self, spin, exchange):
        """U turns the two-ensemble Hamiltonian into that with the detunings exchanged (Eq. 23)."""
        dimension = round(2 * spin) + 1
        one = np.eye(dimension)
        up, z = np.diag(ladder_elements(spin), 1), np.diag(magnetic_numbers(spin))
        chiral = 0.5j * exchange * (np.kron(up, up.T) - np.kron(up.T, up))

        def hamiltonian(first, second):
            return first * np.kron(z, one) + second * np.kron(one, z) + chiral

        gate = spectral_gate(swap_phases(spin, 0.4, -1.1, exchange)).reshape(dimension**2, -1)
        np.testing.assert_allclose(gate @ gate.conj().T, np.eye(dimension**2), atol=1e-13)
        turned = gate @ hamiltonian(0.4, -1.1) @ gate.conj().T
        np.testing.assert_allclose(turned, hamiltonian(-1.1, 0.4), atol=1e-11)

    def test_leave_equal_detunings_alone(self):
        """Nothing to exchange: all phases are 1, with or without chi."""
        assert np.array_equal(swap_phases(2, 0.3, 0.3, 0.0), np.ones(5))

    def test_undo_themselves(self):
        """Exchanging back is the inverse gate."""
        there, back = swap_phases(3, 0.4, 1.9, 0.7), swap_phases(3, 1.9, 0.4, 0.7)
        np.testing.assert_allclose(there * back, 1.0, atol=1e-14)

    def test_act_on_two_axes_in_the_middle(self):
        """Applying a spectrum to axes 1 and 2 equals the dense matrix there."""
        rng = np.random.default_rng(3)
        psi = rng.normal(size=(2, 3, 3, 4)) + 1j * rng.normal(size=(2, 3, 3, 4))
        spectrum = rng.normal(size=3) + 1j * rng.normal(size=3)
        expected = np.einsum("abcd,xcdy->xaby", spectral_gate(spectrum), psi)
        np.testing.assert_allclose(apply_spectrum(psi, 1, spectrum), expected, atol=1e-13)


class TestLimits:
    def test_two_ensembles_are_the_known_pair(self):
        """L = 2 has the QFI of the two-ensemble model."""
        pair = steady_state(TwoEnsembles(4, 3.0, 1.5, 0.6))
        state = many_ensemble_state(ManyEnsembles(4, 3.0, (0.75, -0.75), 0.6))
        assert np.array([1, -1]) @ qfi_matrix(state) @ [1, -1] == pytest.approx(pair.qfi, rel=1e-12)

    def test_a_strong_drive_approaches_the_infinite_one(self):
        """The infidelity with the limit falls as 1/Omega^2."""
        order = (0.4, -1.0, -0.4, 1.0)
        limit = many_ensemble_state(ManyEnsembles(1, math.inf, order, 0.8)).amplitudes.ravel()
        losses = []
        for rabi in (1e3, 1e4):
            psi = many_ensemble_state(ManyEnsembles(1, rabi, order, 0.8)).amplitudes.ravel()
            losses.append(1.0 - abs(np.vdot(limit, psi)) ** 2)
        assert losses[0] < 1e-4
        assert losses[0] / losses[1] == pytest.approx(100.0, rel=1e-2)

    def test_without_exchange_pairs_stay_pairs(self):
        """At chi = 0 partners are entangled with each other only, wherever they sit."""
        state = many_ensemble_state(ManyEnsembles(1.5, 2.0, (0.4, 1.0, -0.4, -1.0)))
        assert entanglement_entropy(state, (1, 3)) == pytest.approx(0.0, abs=1e-12)
        assert entanglement_entropy(state, (1,)) > 0.5

    def test_the_singlet_is_the_limit_of_the_pair(self):
        """Infinite drive gives (-1)^(S-m) / sqrt(2S+1) (Chu Eq. D4)."""
        singlet = pair_amplitudes(1.5, 0.3, 0.7, math.inf)
        expected = np.fliplr(np.diag([1.0, -1.0, 1.0, -1.0])) / 2.0
        np.testing.assert_allclose(singlet, expected, atol=1e-15)

    def test_the_product_of_pairs_needs_no_gate(self):
        """Neighbours that pair give the outer product of two-ensemble states."""
        state = many_ensemble_state(ManyEnsembles(1, 2.0, (0.4, -0.4, 1.0, -1.0), 0.3))
        pairs = [pair_amplitudes(1, 0.8, 0.3, 2.0), pair_amplitudes(1, 2.0, 0.3, 2.0)]
        np.testing.assert_allclose(state.amplitudes, reduce(np.multiply.outer, pairs), atol=1e-15)


class TestRefusals:
    def test_unpaired_detunings(self):
        """The ensemble without a partner is named, and what to do instead."""
        with pytest.raises(ValueError, match=r"`detunings` must pair.*0\.3 of ensemble 2.*master"):
            ManyEnsembles(1, 2.0, (0.5, 0.3, -0.5, -0.4), 1.0)

    @pytest.mark.parametrize("detunings", [(), (0.5,), (0.5, -0.5, 0.0)])
    def test_odd_numbers_of_ensembles(self, detunings):
        """An odd list has no pairs."""
        with pytest.raises(ValueError, match="`detunings` must hold an even number"):
            ManyEnsembles(1, 2.0, detunings, 1.0)

    @pytest.mark.parametrize("detunings", [(0.5, 0.5, -0.5, -0.5), (0.5, 0.0, -0.5, 0.0)])
    def test_repeats_without_exchange(self, detunings):
        """Equal or vanishing detunings leave more than one steady state at chi = 0."""
        with pytest.raises(ValueError, match="must neither vanish nor repeat"):
            ManyEnsembles(1, 2.0, detunings)
        assert not has_unique_pure_state(detunings, 0.0)
        assert has_unique_pure_state(detunings, 0.1)

    @pytest.mark.parametrize("rabi", [0.0, -1.0, math.nan])
    def test_drives_that_are_no_drive(self, rabi):
        """The Rabi frequency must be above zero; infinity is allowed."""
        with pytest.raises(ValueError, match="`rabi_frequency`"):
            ManyEnsembles(1, rabi, (0.5, -0.5), 1.0)

    def test_states_that_do_not_fit_into_memory(self):
        """Refused before anything is allocated, with the bytes that it would take."""
        parameters = ManyEnsembles(10, 2.0, tuple(range(1, 6)) + tuple(range(-5, 0)), 1.0)
        with pytest.raises(ValueError, match=r"`memory_limit` must be at least 8\.01e\+14 bytes"):
            many_ensemble_state(parameters)

    def test_partners_within_rounding(self):
        """Detunings that pair to a relative 1e-9 count as pairs."""
        assert detuning_pairs((0.1 + 0.2, 1.0, -0.3, -1.0)) == ((0, 2), (1, 3))
