"""Correlation lengths, string order and AKLT fidelity, against dense states and closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models import magnetic_numbers
from cavitylab.models.chain import (
    Chain,
    aklt_amplitudes,
    aklt_chain,
    cell_amplitudes,
    chain_amplitudes,
)
from cavitylab.models.chain_order import (
    aklt_fidelity,
    correlation_length,
    finite_string_correlation,
    order_of_amplitudes,
    rank_eigenvalues,
    spin_correlation_length,
    string_correlation,
    string_length,
    string_order,
    transfer_eigenvalues,
)

detunings = st.floats(-6.0, 6.0)


def dense_correlator(chain, ensembles, first, last, angle):
    """The string correlator from all amplitudes of the chain."""
    populations = np.abs(chain_amplitudes(chain, ensembles)) ** 2
    m = magnetic_numbers(chain.spin)
    values = np.zeros(populations.shape)
    shapes = [[-1 if k == axis else 1 for k in range(ensembles)] for axis in range(ensembles)]
    z = [values + m.reshape(s) for s in shapes]
    cell = {q: z[2 * q - 1] + z[2 * q] for q in range(1, ensembles // 2)}
    string = sum(cell[q] for q in range(first, last))
    return np.sum(populations * cell[first] * np.exp(1j * angle * string) * cell[last]).real


class TestAgainstReferences:
    def test_three_atoms_at_infinite_drive(self, oracle):
        """Transfer eigenvalues, correlation length and string order at S = 3/2."""
        case = oracle("r38")
        i = case.inputs
        chain = Chain(i.S, i.Delta_e, i.Delta_b, i.chi)
        case.check("lam", rank_eigenvalues(chain))
        case.check("L_corr", correlation_length(chain))
        case.check("string_pi", string_order(chain))
        case.check("string_1p3", string_order(chain, 1.3))

    def test_aklt_at_finite_drive(self, oracle):
        """The string's length, and the fidelity with AKLT for L = 4 … 32."""
        case = oracle("r39")
        i = case.inputs
        chain = Chain(i.S, i.Delta_e, i.Delta_b, i.chi, i.Omega)
        case.check("L_string", string_length(chain))
        case.check("fidelity", [aklt_fidelity(chain, n) for n in (4, 8, 16, 32)])

    @pytest.mark.parametrize(("rabi", "ratio"), [(20.0, 0.22), (50.0, 0.212)])
    def test_ninety_per_cent_fidelity(self, rabi, ratio):
        """Reached at about a fifth of the string's length (Chu Fig. 9b)."""
        chain = aklt_chain(1.0, rabi)
        length = 2 * round(ratio * string_length(chain) / 2)
        assert aklt_fidelity(chain, length) == pytest.approx(0.9, abs=0.006)


class TestTransferMatrix:
    @given(atoms=st.integers(1, 4), edge=detunings, bulk=detunings)
    @settings(deadline=None, max_examples=30, derandomize=True)
    def test_spectrum_has_a_closed_form(self, atoms, edge, bulk):
        """Rank k occurs 2k+1 times; lambda_0 = 1."""
        chain = Chain(atoms / 2, edge, bulk, 1.0)
        ranks = rank_eigenvalues(chain)
        closed = np.repeat(ranks, 2 * np.arange(atoms + 1) + 1)
        found = transfer_eigenvalues(chain)
        np.testing.assert_allclose(found.imag, 0.0, atol=1e-8)
        np.testing.assert_allclose(np.sort(found.real), np.sort(closed), atol=1e-8)
        assert ranks[0] == pytest.approx(1.0, abs=1e-11)

    @given(edge=detunings, bulk=detunings)
    @settings(deadline=None, max_examples=20, derandomize=True)
    def test_of_single_atoms(self, edge, bulk):
        """lambda_1 = (|f_0|^2 - |f_1|^2)/4 (Chu Eq. D26)."""
        chain = Chain(0.5, edge, bulk, 1.0)
        f = np.abs(cell_amplitudes(chain)) ** 2
        assert rank_eigenvalues(chain)[1] == pytest.approx((f[0] - f[1]) / 4, abs=1e-12)

    @pytest.mark.parametrize("rabi", [1.0, 5.0, 300.0])
    def test_at_finite_drive_keeps_the_norm(self, rabi):
        """The largest eigenvalue stays 1."""
        found = transfer_eigenvalues(Chain(1.5, 0.7, 1.9, 1.1, rabi))
        assert found[0] == pytest.approx(1.0, abs=1e-12)
        assert abs(found[1]) < 1.0


class TestCorrelationLength:
    def test_of_aklt(self):
        """2/ln 3."""
        assert correlation_length(aklt_chain(0.7)) == pytest.approx(2 / math.log(3), rel=1e-12)

    @pytest.mark.parametrize("edge", [0.5, 2.0])
    def test_vanishes_on_the_disorder_lines(self, edge):
        """Delta_b^2 = Delta_e^2 and Delta_b^2 = Delta_e^2 + 8 chi^2 at S = 1/2."""
        assert correlation_length(Chain(0.5, edge, edge, 1.0)) < 0.07
        second = Chain(0.5, edge, math.sqrt(edge**2 + 8.0), 1.0)
        assert abs(rank_eigenvalues(second)[1]) < 1e-14

    def test_grows_with_the_edge_detuning(self):
        """Delta_e far above the rest makes it as long as one likes."""
        lengths = [correlation_length(Chain(0.5, edge, 0.3, 1.0)) for edge in (3.0, 10.0, 30.0)]
        assert lengths[0] < lengths[1] < lengths[2]

    def test_of_spins_is_that_of_rank_one(self):
        """<Z_k Z_l> falls by lambda_1 a cell, also where another rank reaches farther."""
        chain = Chain(2.0, 1.986, 5.872, 1.0)
        assert correlation_length(chain) > spin_correlation_length(chain)
        near, far = (string_correlation(chain, cells, 0.0) for cells in (1, 3))
        assert far / near == pytest.approx(rank_eigenvalues(chain)[1] ** 2, rel=1e-7)
        assert spin_correlation_length(chain) == pytest.approx(-4 / math.log(far / near), rel=1e-7)

    def test_of_spins_needs_the_limit(self):
        """At a finite drive ranks mix."""
        with pytest.raises(ValueError, match="infinite rabi_frequency"):
            spin_correlation_length(aklt_chain(1.0, 5.0))


class TestStringOrder:
    @pytest.mark.parametrize("angle", [math.pi, 1.3, 4.0])
    @pytest.mark.parametrize("spin", [0.5, 1.0, 1.5, 2.0])
    def test_is_the_correlator_far_away(self, spin, angle):
        """Transfer matrices 80 cells apart give the closed form (Chu Eq. 38)."""
        chain = Chain(spin, 0.4, 1.9, 1.1)
        expected = string_order(chain, angle)
        assert string_correlation(chain, 80, angle) == pytest.approx(expected, abs=1e-11)

    def test_of_aklt(self):
        """4/9 at angle pi, and at any distance."""
        chain = aklt_chain(1.0)
        assert string_order(chain) == pytest.approx(4 / 9, rel=1e-12)
        for cells in (1, 2, 7):
            assert string_correlation(chain, cells) == pytest.approx(4 / 9, rel=1e-12)

    @given(edge=detunings, bulk=detunings, angle=st.floats(-7.0, 7.0))
    @settings(deadline=None, max_examples=30, derandomize=True)
    def test_of_single_atoms(self, edge, bulk, angle):
        """|f_1|^4 sin^2(phi/2)/4 (Chu Eq. 37), at most that of AKLT."""
        chain = Chain(0.5, edge, bulk, 1.0)
        f_1 = abs(cell_amplitudes(chain)[1])
        expected = f_1**4 * math.sin(angle / 2) ** 2 / 4
        assert string_order(chain, angle) == pytest.approx(expected, abs=1e-12)
        assert string_order(chain, angle) <= 4 / 9 + 1e-12

    @given(atoms=st.integers(1, 30), edge=detunings, bulk=detunings)
    @settings(deadline=None, max_examples=30, derandomize=True)
    def test_tells_whole_from_half_spins(self, atoms, edge, bulk):
        """At angle pi it vanishes for whole S only, and never exceeds that of AKLT."""
        chain = Chain(atoms / 2, edge, bulk, 1.0)
        order = string_order(chain)
        if atoms % 2:
            assert order > 1e-9
            assert order <= order_of_amplitudes(aklt_amplitudes(atoms / 2), math.pi) * (1 + 1e-9)
        else:
            assert order == pytest.approx(0.0, abs=1e-22)

    @pytest.mark.parametrize("rabi", [0.9, 4.0, math.inf])
    @pytest.mark.parametrize("angle", [math.pi, 0.8, 0.0])
    @pytest.mark.parametrize(
        ("spin", "ensembles", "first", "last"), [(0.5, 10, 1, 4), (0.5, 8, 2, 3), (1.0, 8, 1, 3)]
    )
    def test_in_a_finite_chain_is_that_of_the_dense_state(
        self, spin, ensembles, first, last, angle, rabi
    ):
        """Every amplitude summed, to 1e-12."""
        chain = Chain(spin, 0.4, 1.9, 1.1, rabi)
        expected = dense_correlator(chain, ensembles, first, last, angle)
        found = finite_string_correlation(chain, ensembles, first, last, angle)
        assert found == pytest.approx(expected, abs=1e-12)

    def test_deep_in_a_long_chain_the_ends_do_not_matter(self):
        """Cells far from the left end see the infinite chain."""
        chain = Chain(0.5, 0.4, 1.9, 1.1, 8.0)
        assert finite_string_correlation(chain, 120, 40, 45, 2.0) == pytest.approx(
            string_correlation(chain, 5, 2.0), abs=1e-10
        )

    def test_at_finite_drive_decays(self):
        """Its length is (2/3)(Omega/chi)^2 at the AKLT detunings; far away nothing is left."""
        for rabi in (5.0, 20.0, 100.0):
            found = string_length(aklt_chain(1.0, rabi))
            assert found == pytest.approx(rabi**2 * 2 / 3, rel=2e-3)
        chain = aklt_chain(1.0, 5.0)
        near, far = string_correlation(chain, 20), string_correlation(chain, 60)
        assert -80 / math.log(far / near) == pytest.approx(string_length(chain), rel=1e-6)
        assert string_order(chain) == 0.0
        assert string_length(aklt_chain(1.0)) == math.inf

    def test_a_full_turn_is_no_string(self):
        """At angle 2 pi only the square of <Z> remains, at any drive."""
        chain = Chain(0.5, 0.4, 1.9, 1.1, 3.0)
        expected = string_correlation(chain, 200, 0.0)
        assert expected > 1e-3
        assert string_order(chain, 2.0 * math.pi) == pytest.approx(expected, rel=1e-10)
        assert string_length(chain, 2.0 * math.pi) == math.inf
        assert string_order(aklt_chain(1.0), 2.0 * math.pi) == pytest.approx(0.0, abs=1e-20)


class TestAkltFidelity:
    @pytest.mark.parametrize("exchange", [1.0, -2.0])
    def test_is_one_at_the_point(self, exchange):
        """For either direction of the cascade and any length."""
        for ensembles in (2, 4, 30):
            assert aklt_fidelity(aklt_chain(exchange), ensembles) == pytest.approx(1.0, abs=1e-11)

    def test_is_the_overlap_of_the_states(self):
        """Equal to the overlap of all amplitudes with those of the limit."""
        chain = Chain(0.5, 0.3, 1.1, 1.0, 3.0)
        overlap = np.vdot(chain_amplitudes(aklt_chain(1.0), 8), chain_amplitudes(chain, 8))
        assert aklt_fidelity(chain, 8) == pytest.approx(abs(overlap) ** 2, abs=1e-12)

    def test_of_larger_spins_stays_below_one(self):
        """S = 1 cannot reach the spin-2 AKLT state."""
        fidelity = aklt_fidelity(Chain(1.0, 0.0, 2.0, 1.0), 8)
        assert 0.0 < fidelity < 0.9


class TestRefusals:
    @pytest.mark.parametrize(("first", "last"), [(0, 2), (2, 2), (3, 1), (1, 4)])
    def test_cells_outside_the_chain(self, first, last):
        """Eight ensembles have the cells 1, 2, 3."""
        with pytest.raises(ValueError, match="`(first|last)` must"):
            finite_string_correlation(aklt_chain(1.0), 8, first, last)

    def test_no_distance(self):
        """The two cells must differ."""
        with pytest.raises(ValueError, match="`cells` must be a whole number of at least 1"):
            string_correlation(aklt_chain(1.0), 0)
