"""Four ensembles as a sensor: closed forms, the exact state, and bounds on a field."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models.distributed_sensing import (
    COMMON,
    CURVATURE,
    GRADIENT,
    PATTERNS,
    FourEnsembles,
    best_detunings,
    field_bounds,
    field_phases,
    greatest_information,
    pattern_information,
    sensing_qfi_matrix,
    singlet_amplitudes,
)
from cavitylab.models.many_ensembles import many_ensemble_state
from cavitylab.models.many_ensembles_metrology import dephased_qfi, qfi_matrix, weighted_qfi

detunings = st.floats(-30.0, 30.0)


class TestAgainstReferences:
    @pytest.mark.parametrize("case_number", [0, 1])
    def test_large_drive(self, oracle, case_number):
        """Closed forms at S = 2 and S = 100."""
        case = oracle("r35")
        i, k = case.inputs, case_number
        sensor = FourEnsembles(i.S[k], i.Delta_A[k], i.Delta_B[k], i.chi)
        found = pattern_information(sensor)
        for key, pattern in {"F_ppmm": "++--", "F_pmpm": "+-+-", "F_pmmp": "+--+"}.items():
            assert found[pattern] == pytest.approx(case[key][k], rel=1e-8)

    def test_curvature_with_phase_and_gradient_noise(self, oracle):
        """The curvature's information, pure and dephased, at three drives."""
        case = oracle("r36")
        i = case.inputs
        table = []
        for rabi in i.Omega:
            sensor = FourEnsembles(i.S, i.Delta_A, i.Delta_B, i.chi, rabi)
            state = many_ensemble_state(sensor.as_many())
            noises = ([], [COMMON], [COMMON, GRADIENT])
            table.append([dephased_qfi(state, CURVATURE, noise) for noise in noises])
        case.check("F", table)

    @pytest.mark.parametrize(
        ("spin", "fraction", "outer", "inner"),
        [(5, 0.884, 1.63, -0.30), (10, 0.930, 1.47, -0.22), (50, 0.982, 1.26, -0.11)],
    )
    def test_best_alternating_detunings(self, spin, fraction, outer, inner):
        """The optimum of +-+- and where it lies."""
        best = best_detunings(spin, 1.0, "+-+-")
        share = pattern_information(best).alternating / greatest_information(spin)
        assert share == pytest.approx(fraction, abs=6e-4)
        assert best.outer_detuning / math.sqrt(spin) == pytest.approx(outer, abs=6e-3)
        assert best.inner_detuning == pytest.approx(inner, abs=6e-3)

    def test_best_curvature_detunings(self):
        """+--+ saturates near 0.706 at infinite drive; detunings scale with chi."""
        best = best_detunings(50, 2.0, "+--+")
        share = pattern_information(best).curvature / greatest_information(50)
        assert share == pytest.approx(0.706, abs=6e-4)
        assert best.inner_detuning == pytest.approx(2.0 * 1.90, rel=5e-3)
        assert best.outer_detuning == pytest.approx(0.0, abs=1e-4)

    def test_the_drive_has_an_optimum(self):
        """The curve of Chu Fig. 6c at S = 10, Delta_A = 0, Delta_B = 8 chi."""
        values = [
            pattern_information(FourEnsembles(10, 0.0, 8.0, 1.0, rabi)).curvature
            for rabi in (10.0, 15.0, 20.0, 30.0, 50.0, 100.0, math.inf)
        ]
        np.testing.assert_allclose(values, [327, 1300, 1624, 1768, 1737, 1614, 1516], atol=0.51)


class TestClosedForms:
    @pytest.mark.parametrize("spin", [0.5, 1.0, 1.5, 3.0])
    @pytest.mark.parametrize(("outer", "inner"), [(1.1, -0.4), (0.0, 3.0), (2.0, 2.0), (-1.0, 5.0)])
    def test_are_those_of_the_state(self, spin, outer, inner):
        """Patterns and the whole matrix equal the covariances of the exact state."""
        sensor = FourEnsembles(spin, outer, inner, 0.8)
        exact = qfi_matrix(many_ensemble_state(sensor.as_many()))
        found = pattern_information(sensor)
        for pattern, weights in PATTERNS.items():
            assert found[pattern] == pytest.approx(weighted_qfi(exact, weights), abs=1e-11)
        np.testing.assert_allclose(sensing_qfi_matrix(sensor), exact, atol=1e-11)

    def test_without_exchange(self):
        """chi = 0 is allowed when the detunings differ: two separate, swapped pairs."""
        sensor = FourEnsembles(2, 1.0, 0.4, 0.0)
        exact = qfi_matrix(many_ensemble_state(sensor.as_many()))
        np.testing.assert_allclose(sensing_qfi_matrix(sensor), exact, atol=1e-11)

    @given(atoms=st.integers(1, 60), outer=detunings, inner=detunings)
    @settings(deadline=None, max_examples=60, derandomize=True)
    def test_share_a_fixed_sum(self, atoms, outer, inner):
        """sum (2j+1)|g_j|^2 = (2S+1)^2 and the patterns add to 64 S(S+1)/3 (Chu Eq. C11)."""
        sensor = FourEnsembles(atoms / 2, outer, inner, 1.3)
        g = singlet_amplitudes(sensor)
        norm = (2 * np.arange(atoms + 1) + 1) @ np.abs(g) ** 2
        assert norm == pytest.approx((atoms + 1) ** 2, rel=1e-11)
        found = pattern_information(sensor)
        total = sum(found[pattern] for pattern in PATTERNS)
        assert total == pytest.approx(greatest_information(atoms / 2), rel=1e-11)

    def test_reach_a_thousand_atoms(self):
        """S = 500 near its optimum holds 99.8 % of the largest information."""
        sensor = FourEnsembles(500, 1.12 * math.sqrt(500), -0.04, 1.0)
        share = pattern_information(sensor).alternating / greatest_information(500)
        assert share == pytest.approx(0.9977, abs=1e-4)


class TestField:
    def test_phases_are_the_three_patterns(self):
        """f(x_l) t equals the decomposition into common, gradient and curvature (Chu Eq. 30)."""
        f, slope, bend, d = 0.7, -1.3, 2.1, 0.4
        expected = (f + 5 * d**2 * bend / 8) * np.array(COMMON)
        expected = expected - d / 2 * slope * np.array(GRADIENT)
        expected = expected + d**2 / 2 * bend * np.array(CURVATURE)
        np.testing.assert_allclose(field_phases(f, slope, bend, d, 2.0), 2.0 * expected, rtol=1e-13)

    def test_bounds_follow_from_the_pattern_at_infinite_drive(self):
        """Patterns do not mix there: std = 2/(d^2 t sqrt(F n)) and 2/(d t sqrt(F_g n))."""
        sensor = FourEnsembles(3, 1.0, 4.0, 1.0)
        found = pattern_information(sensor)
        bounds = field_bounds(sensing_qfi_matrix(sensor), spacing=0.3, time=2.0, shots=25)
        curvature = 2.0 / (0.09 * 2.0 * math.sqrt(found.curvature * 25))
        assert bounds["curvature"] == pytest.approx(curvature, rel=1e-10)
        gradient_information = 4.0 * found.halves + found.alternating
        gradient = 2.0 / (0.3 * 2.0 * math.sqrt(gradient_information * 25))
        assert bounds["gradient"] == pytest.approx(gradient, rel=1e-10)

    def test_unknowns_cost_information(self):
        """Fitting all three is never better than knowing two, and equals the full inverse."""
        matrix = sensing_qfi_matrix(FourEnsembles(3, 1.0, 4.0, 1.0, 9.0))
        bounds = field_bounds(matrix, 1.0, 1.0, 1)
        place = np.arange(4) - 1.5
        rows = np.array([np.ones(4), place, place**2 / 2])
        inverse = np.linalg.inv(rows @ matrix @ rows.T)
        assert bounds["gradient"] == pytest.approx(math.sqrt(inverse[1, 1]), rel=1e-9)
        assert bounds["curvature"] == pytest.approx(math.sqrt(inverse[2, 2]), rel=1e-9)
        assert bounds["curvature"] >= bounds["curvature_known"]

    def test_a_sensor_blind_to_the_field_has_no_bound(self):
        """No information, no finite standard deviation."""
        bounds = field_bounds(np.outer(COMMON, COMMON), 1.0, 1.0, 10)
        assert bounds["gradient"] == math.inf
        assert bounds["curvature"] == math.inf


class TestRefusals:
    def test_detunings_without_a_unique_state(self):
        """The rules of the general solver hold here too."""
        with pytest.raises(ValueError, match="`detunings` must neither vanish nor repeat"):
            FourEnsembles(2, 1.0, 1.0, 0.0)

    def test_patterns_without_an_optimum(self):
        """Only +-+- and +--+ can be optimised, and only with exchange."""
        with pytest.raises(ValueError, match="`pattern` must be"):
            best_detunings(2, 1.0, "++--")
        with pytest.raises(ValueError, match="`exchange` must not be 0"):
            best_detunings(2, 0.0, "+-+-")

    def test_matrices_of_the_wrong_shape(self):
        """Four ensembles, so (4, 4)."""
        with pytest.raises(ValueError, match=r"`information` must have shape \(4, 4\)"):
            field_bounds(np.eye(3), 1.0, 1.0, 1)
