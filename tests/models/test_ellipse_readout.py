"""Outcome statistics of the ellipse readout: references, brute force, symmetries, slopes."""

import itertools
import math

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import convolve2d
from scipy.stats import chi2

from cavitylab.models import (
    EllipseReadout,
    TwoEnsembles,
    coupled_amplitudes,
    fisher_information,
    sample,
    second_moments,
    steady_state,
)

HALF_PI = math.pi / 2
phases = st.floats(-4.0, 4.0)
areas = st.floats(-3.5, 3.5)
small_spins = st.integers(1, 14).map(lambda atoms: atoms / 2)
ratios = st.floats(0.01, 3.0)


def prepared(spin, ratio, exchange=0.0):
    """A steady state and a readout large enough for it."""
    state = steady_state(TwoEnsembles(spin, 1.0, ratio, exchange))
    return state, EllipseReadout(spin, state.weights.size - 1)


def brute_force(state, phase, common_phase, pulse_area):
    """|<m1,m2| R_theta(beta) U_phi |psi>|^2 from QuTiP's matrices, ascending."""
    spin = state.parameters.spin
    d = round(2 * spin) + 1
    psi = np.zeros((d, d), dtype=complex)
    for total, amplitude in enumerate(state.amplitudes):
        for up, coupling in enumerate(coupled_amplitudes(spin, total)):
            psi[d - 1 - up, total + up] += amplitude * coupling
    x, z = qutip.jmat(spin, "x"), qutip.jmat(spin, "z")
    turn = (-1j * common_phase * z).expm()
    pulse = turn.dag() * (-1j * pulse_area * x).expm() * turn
    one = (pulse * (-1j * phase * z).expm()).full()
    two = (pulse * (1j * phase * z).expm()).full()
    return (np.abs(one @ psi @ two.T) ** 2)[::-1, ::-1]


class TestDistribution:
    def test_agrees_with_the_reference_table(self, oracle):
        """Every cell at S = 3/2 agrees (Chu Eq. 16)."""
        case = oracle("r26")
        state, readout = prepared(case.inputs.S, case.inputs.Delta_over_Omega)
        case.check("P", readout.distribution(state, case.inputs.phi)[::-1, ::-1])

    def test_agrees_with_reference_cells_and_moments_at_spin_50(self, oracle):
        """Selected cells and the second moments at S = 50 agree."""
        case = oracle("r27")
        state, readout = prepared(case.inputs.S, case.inputs.Delta_over_Omega)
        table = readout.distribution(state, case.inputs.phi)
        case.check("P", [table[50 + m1, 50 + m2] for m1, m2 in case.inputs.entries])
        moments = second_moments(state, case.inputs.phi)
        case.check("m2_sum", moments.sum_square)
        case.check("m2_diff", moments.difference_square)

    def test_mean_fractions_at_a_known_common_phase(self, oracle):
        """E[p1] and E[p2] follow 1/2 + X/(4S) sin(phi +- theta)."""
        case = oracle("r31")
        i = case.inputs
        state, readout = prepared(i.S, i.Delta_over_Omega)
        table = readout.distribution_at(state, i.phi, i.theta)
        fractions = np.arange(readout.atoms + 1) / readout.atoms
        np.testing.assert_allclose(fractions @ table.sum(axis=1), case["p1"], rtol=1e-10)
        np.testing.assert_allclose(fractions @ table.sum(axis=0), case["p2"], rtol=1e-10)

    @pytest.mark.parametrize("exchange", [0.0, 0.6])
    @pytest.mark.parametrize("pulse_area", [HALF_PI, 1.4, -2.0])
    @pytest.mark.parametrize("spin", [0.5, 2.0, 3.5])
    def test_equals_the_rotated_state(self, spin, pulse_area, exchange):
        """At a given common phase, the table is that of the explicitly rotated vector."""
        state, readout = prepared(spin, 0.7, exchange)
        for phase, theta in itertools.product([0.3, -1.1], [0.0, 1.7]):
            table = readout.distribution_at(state, phase, theta, pulse_area)
            expected = brute_force(state, phase, theta, pulse_area)
            np.testing.assert_allclose(table, expected, atol=1e-12)

    @pytest.mark.parametrize("pulse_area", [HALF_PI, 1.4])
    @pytest.mark.parametrize("spin", [1.5, 6.0])
    def test_is_the_average_over_the_common_phase(self, spin, pulse_area):
        """Quadrature over theta, exact beyond 2S nodes, gives the marginal table."""
        state, readout = prepared(spin, 0.9)
        nodes = 2 * np.pi * np.arange(2 * readout.atoms + 1) / (2 * readout.atoms + 1)
        tables = [readout.distribution_at(state, 0.4, theta, pulse_area) for theta in nodes]
        np.testing.assert_allclose(
            readout.distribution(state, 0.4, pulse_area), np.mean(tables, axis=0), atol=1e-13
        )

    @given(spin=small_spins, ratio=ratios, phase=phases, area=areas)
    @settings(deadline=None, max_examples=80, derandomize=True)
    def test_is_a_symmetric_distribution(self, spin, ratio, phase, area):
        """Any phase and pulse: no negative cell, norm 1, even in phi, exchange symmetric."""
        state, readout = prepared(spin, ratio)
        table = readout.distribution(state, phase, area)
        assert table.min() >= 0.0
        assert table.sum() == pytest.approx(1.0, abs=1e-10)
        np.testing.assert_allclose(table, table.T, atol=1e-12)
        np.testing.assert_allclose(table, readout.distribution(state, -phase, area), atol=1e-12)
        shifted = readout.distribution(state, phase + math.pi, area)
        np.testing.assert_allclose(table, shifted, atol=1e-12)

    @given(spin=small_spins, ratio=ratios, phase=phases)
    @settings(deadline=None, max_examples=40, derandomize=True)
    def test_folds_of_the_quarter_pulse(self, spin, ratio, phase):
        """At pi/2, P is even under m -> -m, and pi/2 - phi mirrors one ensemble."""
        state, readout = prepared(spin, ratio)
        table = readout.distribution(state, phase)
        np.testing.assert_allclose(table, table[::-1, ::-1], atol=1e-12)
        mirrored = readout.distribution(state, HALF_PI - phase)
        np.testing.assert_allclose(table, mirrored[:, ::-1], atol=1e-12)

    @given(spin=small_spins, ratio=ratios, phase=phases, area=areas)
    @settings(deadline=None, max_examples=40, derandomize=True)
    def test_second_moments_are_closed_forms(self, spin, ratio, phase, area):
        """Mean squares of m1+m2 and m1-m2 agree with the table for any pulse area."""
        state, readout = prepared(spin, ratio)
        table = readout.distribution(state, phase, area)
        m = np.arange(readout.atoms + 1) - spin
        moments = second_moments(state, phase, area)
        total, difference = m[:, None] + m, m[:, None] - m
        assert moments.sum_square == pytest.approx((table * total**2).sum(), rel=1e-9, abs=1e-9)
        assert moments.difference_square == pytest.approx(
            (table * difference**2).sum(), rel=1e-9, abs=1e-9
        )

    def test_no_pulse_counts_the_prepared_populations(self):
        """Without a pulse m1 + m2 = -J, whatever the phase."""
        state, readout = prepared(6, 0.8)
        table = readout.distribution(state, 0.7, 0.0)
        counted = [
            sum(table[n, readout.atoms - j - n] for n in range(readout.atoms - j + 1))
            for j in range(state.weights.size)
        ]
        np.testing.assert_allclose(counted, state.weights, atol=1e-12)

    def test_many_atoms(self):
        """S = 150: norm and second moments still agree to 1e-9."""
        state, readout = prepared(150, 0.05)
        table = readout.distribution(state, 0.2, 1.5)
        m = np.arange(readout.atoms + 1) - 150.0
        assert table.sum() == pytest.approx(1.0, abs=1e-11)
        expected = second_moments(state, 0.2, 1.5).sum_square
        assert (table * (m[:, None] + m) ** 2).sum() == pytest.approx(expected, rel=1e-9)


class TestDerivatives:
    @pytest.mark.parametrize("pulse_area", [HALF_PI, 1.3])
    @pytest.mark.parametrize(("spin", "ratio"), [(0.5, 0.4), (7.5, 0.3), (50, 0.1)])
    def test_equal_central_differences(self, spin, ratio, pulse_area):
        """Slopes by phi, beta and ln(Delta/Omega) agree with differences of tables."""
        state, readout = prepared(spin, ratio)
        slopes = readout.derivatives(state, 0.2, pulse_area)
        step = 1e-5

        def table(phase, area, log_ratio):
            moved = steady_state(TwoEnsembles(spin, 1.0, ratio * math.exp(log_ratio)))
            return readout.distribution(moved, 0.2 + phase, pulse_area + area)

        np.testing.assert_allclose(slopes.P, table(0, 0, 0), atol=1e-15)
        for direction, slope in zip(
            np.eye(3), (slopes.d_phase, slopes.d_pulse_area, slopes.d_log_ratio), strict=True
        ):
            difference = (table(*(step * direction)) - table(*(-step * direction))) / (2 * step)
            np.testing.assert_allclose(slope, difference, atol=2e-8)

    @given(spin=small_spins, ratio=ratios, phase=phases, area=areas)
    @settings(deadline=None, max_examples=40, derandomize=True)
    def test_keep_the_norm(self, spin, ratio, phase, area):
        """Each slope adds to zero over all outcomes."""
        state, readout = prepared(spin, ratio)
        slopes = readout.derivatives(state, phase, area)
        for slope in (slopes.d_phase, slopes.d_pulse_area, slopes.d_log_ratio):
            assert abs(slope.sum()) < 1e-9

    def test_weights_and_state_are_the_same_argument(self):
        """Bare weights with their derivative give what the state gives."""
        state, readout = prepared(5, 0.4)
        slopes = 2 * (np.arange(state.weights.size) - state.mean_J)
        bare = readout.derivatives(state.weights, 0.3, 1.5, slopes)
        full = readout.derivatives(state, 0.3, 1.5)
        np.testing.assert_allclose(bare.d_log_ratio, full.d_log_ratio, atol=1e-14)
        np.testing.assert_array_equal(bare.d_phase, full.d_phase)


class TestFisherInformation:
    def test_agrees_with_references(self, oracle):
        """Perfect counting at S = 10 agrees at four phases, below the quantum limit."""
        case = oracle("r28")
        state, readout = prepared(case.inputs.S, case.inputs.Delta_over_Omega)
        found = []
        for phi in case.inputs.phi:
            slopes = readout.derivatives(state, phi)
            found.append(fisher_information(slopes.P, [slopes.d_phase])[0, 0])
        case.check("CFI", found)
        assert max(found) < state.qfi

    def test_share_of_the_quantum_information_at_spin_100(self, oracle):
        """Perfect counting reaches 57 to 99 per cent of the quantum information."""
        case = oracle("r29")
        i = case.inputs
        found = []
        for ratio, phi in zip(i.Delta_over_Omega, i.phi, strict=True):
            state, readout = prepared(i.S, ratio)
            slopes = readout.derivatives(state, phi)
            found.append(fisher_information(slopes.P, [slopes.d_phase])[0, 0] / state.qfi)
        case.check("ratio", found)

    def test_agrees_with_references_under_counting_noise(self, oracle):
        """Tables blurred by Gaussian counting noise agree."""
        case = oracle("r30")
        state, readout = prepared(case.inputs.S, case.inputs.Delta_over_Omega)
        slopes = readout.derivatives(state, case.inputs.phi)
        k = np.arange(-readout.atoms, readout.atoms + 1)
        found = []
        for sigma in case.inputs.sigma:
            line = np.exp(-(k**2) / (2 * sigma**2))
            kernel = np.outer(line, line) / line.sum() ** 2
            blurred = [convolve2d(t, kernel) for t in (slopes.P, slopes.d_phase)]
            found.append(fisher_information(blurred[0], [blurred[1]])[0, 0])
        case.check("CFI", found)

    def test_of_several_parameters_is_a_covariance_inverse(self):
        """Phase, pulse area and ratio: a symmetric matrix without negative eigenvalue."""
        state, readout = prepared(10, 0.2)
        s = readout.derivatives(state, 0.3, 1.5)
        matrix = fisher_information(s.P, [s.d_phase, s.d_pulse_area, s.d_log_ratio])
        np.testing.assert_allclose(matrix, matrix.T)
        assert np.linalg.eigvalsh(matrix).min() > 0.0

    def test_refuses_tables_of_another_shape(self):
        """A derivative must belong to the distribution."""
        with pytest.raises(ValueError, match="`derivatives` must have the shape"):
            fisher_information(np.ones((2, 2)) / 4, [np.zeros((3, 3))])


class TestSample:
    def test_follows_the_table(self):
        """Pearson's chi-square of 200 000 shots stays within its 1e-4 tail."""
        state, readout = prepared(3, 0.5)
        table = readout.distribution(state, 0.4)
        shots = sample(table, 200_000, np.random.default_rng(5))
        seen = np.zeros_like(table)
        np.add.at(seen, tuple(shots.T), 1)
        expected = 200_000 * table
        large = expected > 5.0
        statistic = ((seen - expected)[large] ** 2 / expected[large]).sum()
        assert statistic < chi2.isf(1e-4, np.count_nonzero(large))

    def test_is_reproducible_and_in_range(self):
        """One seed, one record: whole atom numbers from 0 to 2S."""
        state, readout = prepared(4, 0.5)
        table = readout.distribution(state, 0.4)
        first, second = (sample(table, 50, np.random.default_rng(1)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert first.shape == (50, 2) and first.dtype == np.int64
        assert first.min() >= 0 and first.max() <= 8
        assert sample(table, 0, np.random.default_rng(1)).shape == (0, 2)

    def test_never_draws_an_impossible_outcome(self):
        """Cells of probability zero stay empty, the first and last included."""
        table = np.array([[0.0, 0.5], [0.5, 0.0]])
        shots = sample(table, 10_000, np.random.default_rng(3))
        assert np.all(shots.sum(axis=1) == 1)

    @pytest.mark.parametrize(
        "table",
        [np.ones((2, 2)), np.array([[1.5, -0.5]]), np.array([[math.nan, 1.0]]), np.ones(1)],
    )
    def test_refuses_what_is_no_table(self, table):
        """Tables that are negative, not finite, not normalised or not square are errors."""
        with pytest.raises(ValueError, match="`probability` must"):
            sample(table, 10, np.random.default_rng(0))


class TestRefusals:
    def test_weights_beyond_the_readout(self):
        """A readout built too small says which weight it misses."""
        state, _ = prepared(10, 0.5)
        with pytest.raises(ValueError, match="`weights` must not exceed 1e-13 beyond max_J = 3"):
            EllipseReadout(10, 3).distribution(state, 0.1)

    @pytest.mark.parametrize("weights", [[-0.1, 1.1], [math.nan], [[1.0]], []])
    def test_weights_that_are_none(self, weights):
        """Weights are a row of finite numbers, none negative."""
        with pytest.raises(ValueError, match="`weights` must be a row"):
            EllipseReadout(2, 4).distribution(np.array(weights), 0.1)

    def test_angles_that_are_not_finite(self):
        """A NaN phase or pulse area is named."""
        readout = EllipseReadout(1, 2)
        with pytest.raises(ValueError, match="`phase` must be finite"):
            readout.distribution(np.array([1.0]), math.nan)
        with pytest.raises(ValueError, match="`pulse_area` must be finite"):
            readout.distribution(np.array([1.0]), 0.1, math.inf)

    def test_total_spin_beyond_both(self):
        """max_J ends at 2S."""
        with pytest.raises(ValueError, match="`max_J` must not exceed 2S = 4, but is 5"):
            EllipseReadout(2, 5)

    def test_weight_derivative(self):
        """It is needed for bare weights and must fit them."""
        readout = EllipseReadout(2, 4)
        with pytest.raises(ValueError, match="`weight_derivative` must be given"):
            readout.derivatives(np.array([1.0]), 0.1)
        with pytest.raises(ValueError, match="`weight_derivative` must hold 1 finite"):
            readout.derivatives(np.array([1.0]), 0.1, 1.0, np.zeros(2))
