"""The chain's matrix product state, against the circuit of swap gates."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models.chain import (
    Chain,
    aklt_amplitudes,
    aklt_chain,
    cell_amplitudes,
    cell_tensor,
    chain_amplitudes,
    coupled_cell_tensor,
)
from cavitylab.models.many_ensembles import many_ensemble_state

detunings = st.floats(-6.0, 6.0)


def eq_34(edge, bulk, chi):
    """(f_0, f_1) of S = 1/2 as printed in Chu Eq. 34."""
    below = ((edge + bulk) / 2 + 1j * chi) * ((edge - bulk) / 2 + 1j * chi)
    f_0 = ((bulk**2 - edge**2) / 2 - chi**2 + 1j * chi * edge) / below
    return [f_0, -(chi**2 + 1j * chi * bulk) / below]


class TestAgainstReferences:
    def test_cell_amplitudes_of_single_atoms(self, oracle):
        """f_0 and f_1 with their phases."""
        case = oracle("r37")
        i = case.inputs
        case.check("f", cell_amplitudes(Chain(i.S, i.Delta_e, i.Delta_b, i.chi)))

    def test_cell_amplitudes_of_three_atoms(self, oracle):
        """|f_J| at S = 3/2."""
        case = oracle("r38")
        i = case.inputs
        case.check("abs_f", np.abs(cell_amplitudes(Chain(i.S, i.Delta_e, i.Delta_b, i.chi))))


class TestCellAmplitudes:
    @given(edge=detunings, bulk=detunings, chi=st.floats(0.1, 4.0))
    @settings(deadline=None, max_examples=40, derandomize=True)
    def test_of_single_atoms_have_a_closed_form(self, edge, bulk, chi):
        """S = 1/2 is Chu Eq. 34, for either sign of chi."""
        for exchange in (chi, -chi):
            found = cell_amplitudes(Chain(0.5, edge, bulk, exchange))
            np.testing.assert_allclose(found, eq_34(edge, bulk, exchange), atol=1e-12)

    @given(atoms=st.integers(1, 80), edge=detunings, bulk=detunings)
    @settings(deadline=None, max_examples=40, derandomize=True)
    def test_are_normalised(self, atoms, edge, bulk):
        """sum (2J+1)|f_J|^2 = (2S+1)^2 (Chu Eq. D12)."""
        f = cell_amplitudes(Chain(atoms / 2, edge, bulk, 1.0))
        norm = (2 * np.arange(atoms + 1) + 1) @ np.abs(f) ** 2
        assert norm == pytest.approx((atoms + 1) ** 2, rel=1e-11)

    @pytest.mark.parametrize("spin", [0.5, 1.0, 3.5])
    def test_vanishing_detunings_give_dimers(self, spin):
        """All f_J are 1: singlets between the cells."""
        np.testing.assert_allclose(cell_amplitudes(Chain(spin, 0.0, 0.0, 1.0)), 1.0, atol=1e-12)

    @pytest.mark.parametrize("exchange", [1.0, -0.4])
    def test_aklt_point(self, exchange):
        """f_0 = 0 and |f_1|^2 = 4/3, the amplitudes of the AKLT state up to a phase."""
        found = np.abs(cell_amplitudes(aklt_chain(exchange)))
        np.testing.assert_allclose(found, aklt_amplitudes(0.5).real, atol=1e-14)


class TestCellTensor:
    @pytest.mark.parametrize("spin", [0.5, 1.0, 1.5, 2.0, 5.0])
    def test_at_infinite_drive_is_the_coupled_form(self, spin):
        """The gates on singlets give Clebsch-Gordan coefficients times f_J (Chu Eq. 32)."""
        chain = Chain(spin, 0.7, 1.9, 1.1)
        coupled = coupled_cell_tensor(cell_amplitudes(chain))
        np.testing.assert_allclose(cell_tensor(chain), coupled, atol=1e-12)

    def test_of_single_atoms_is_made_of_pauli_matrices(self):
        """Chu Eq. 33, with -(f_0/2) in front of the identity."""
        f = cell_amplitudes(Chain(0.5, 0.9, 1.7, 1.1))
        a = coupled_cell_tensor(f)
        root = math.sqrt(0.5)
        np.testing.assert_allclose(a[0, 0], [[0, f[1] * root], [0, 0]], atol=1e-15)
        np.testing.assert_allclose(a[1, 1], [[0, 0], [-f[1] * root, 0]], atol=1e-15)
        triplet, singlet = (a[0, 1] + a[1, 0]) * root, (a[0, 1] - a[1, 0]) * root
        np.testing.assert_allclose(triplet, np.diag([-f[1] / 2, f[1] / 2]), atol=1e-15)
        np.testing.assert_allclose(singlet, -f[0] / 2 * np.eye(2), atol=1e-15)

    @pytest.mark.parametrize("rabi", [0.7, 6.0, math.inf])
    @pytest.mark.parametrize("spin", [0.5, 2.0])
    def test_is_isometric(self, spin, rabi):
        """Summed over spins and outgoing bond, A A^dagger is the identity."""
        a = cell_tensor(Chain(spin, 0.7, 1.9, -1.1, rabi))
        np.testing.assert_allclose(
            np.einsum("abxy,abzy->xz", a, a.conj()), np.eye(a.shape[0]), atol=1e-13
        )


class TestChainAmplitudes:
    @pytest.mark.parametrize("rabi", [0.8, 3.0, math.inf])
    @pytest.mark.parametrize(
        ("spin", "ensembles"), [(0.5, 2), (0.5, 4), (0.5, 8), (1.0, 4), (1.0, 6), (1.5, 4)]
    )
    def test_are_those_of_the_circuit(self, spin, ensembles, rabi):
        """The matrix product equals the general solver, up to a global phase."""
        chain = Chain(spin, 0.7, 1.9, 1.1, rabi)
        product = chain_amplitudes(chain, ensembles)
        exact = many_ensemble_state(chain.as_many(ensembles)).amplitudes
        assert abs(np.vdot(exact, product)) == pytest.approx(1.0, abs=1e-12)
        assert np.linalg.norm(product) == pytest.approx(1.0, abs=1e-12)

    def test_detunings_alternate_between_the_ends(self):
        """Delta_e at the ends, Delta_b in the cells (Chu Fig. 7a)."""
        found = Chain(0.5, 2.0, 6.0, 1.0).detunings(6)
        assert found == (1.0, 3.0, -3.0, 3.0, -3.0, -1.0)


class TestRefusals:
    def test_no_exchange(self):
        """Repeated detunings need chi."""
        with pytest.raises(ValueError, match="`exchange` must not be 0"):
            Chain(0.5, 1.0, 2.0, 0.0)

    @pytest.mark.parametrize("ensembles", [0, 1, 5, 2.5])
    def test_odd_lengths(self, ensembles):
        """A chain has an even number of ensembles."""
        with pytest.raises(ValueError, match="`ensembles` must be"):
            chain_amplitudes(aklt_chain(1.0), ensembles)

    def test_too_many_amplitudes(self):
        """Long chains stay matrix products."""
        with pytest.raises(ValueError, match="`memory_limit`"):
            chain_amplitudes(aklt_chain(1.0), 40)

    def test_too_large_a_cell(self):
        """The closed forms still work where the tensor is refused."""
        chain = Chain(50, 1.0, 2.0, 1.0)
        assert cell_amplitudes(chain).size == 101
        with pytest.raises(ValueError, match=r"2S\+1 <= 32"):
            cell_tensor(chain)
