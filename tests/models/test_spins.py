"""Rotation matrices and coupling coefficients of spins, against matrix exponentials."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from cavitylab.models import (
    coupled_amplitudes,
    ladder_elements,
    magnetic_numbers,
    wigner_d,
    wigner_d_derivative,
)

SPINS = [0.5, 1.0, 1.5, 4.0, 12.5]
ANGLES = [0.0, 0.3, math.pi / 2, 1.55, math.pi, -2.1, 7.0]
spins = st.integers(1, 60).map(lambda atoms: atoms / 2)
angles = st.floats(-10.0, 10.0)


def spin_y(spin):
    raising = np.diag(ladder_elements(spin), 1)
    return (raising - raising.T) / 2j


class TestWignerD:
    @pytest.mark.parametrize("beta", ANGLES)
    @pytest.mark.parametrize("spin", SPINS)
    def test_is_the_rotation_about_y(self, spin, beta):
        """d(beta) equals exp(-i beta S_y) in the descending basis."""
        rotation = expm(-1j * beta * spin_y(spin))
        np.testing.assert_allclose(wigner_d(spin, beta), rotation.real, atol=1e-12)
        np.testing.assert_allclose(rotation.imag, 0.0, atol=1e-12)

    def test_agrees_with_reference_values_at_spin_500(self, oracle):
        """Entries far from the edge of a 1001-dimensional matrix are right to 1e-9."""
        case = oracle("r24")
        spin = case.inputs.S
        matrix = wigner_d(spin, math.pi / 2)
        case.check("d", [matrix[spin - row, spin - column] for row, column in case.inputs.pairs])

    @pytest.mark.parametrize("beta", [math.pi / 2, 0.7])
    @pytest.mark.parametrize("spin", [100, 499.5])
    def test_stays_orthogonal_for_many_atoms(self, spin, beta):
        """A thousand atoms lose no more than 1e-11 of orthogonality."""
        matrix = wigner_d(spin, beta)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(len(matrix)), atol=1e-11)

    @given(spin=spins, first=angles, second=angles)
    @settings(deadline=None, max_examples=40, derandomize=True)
    def test_turns_add(self, spin, first, second):
        """Two turns in a row are the turn by the sum."""
        np.testing.assert_allclose(
            wigner_d(spin, first) @ wigner_d(spin, second),
            wigner_d(spin, first + second),
            atol=1e-11,
        )

    @pytest.mark.parametrize("spin", SPINS)
    def test_derivative_is_the_generator_applied(self, spin):
        """The derivative equals -i S_y d, and a central difference of d."""
        derivative = wigner_d_derivative(spin, 0.9)
        expected = (-1j * spin_y(spin) @ wigner_d(spin, 0.9)).real
        np.testing.assert_allclose(derivative, expected, atol=1e-12)
        step = 1e-5
        difference = (wigner_d(spin, 0.9 + step) - wigner_d(spin, 0.9 - step)) / (2 * step)
        np.testing.assert_allclose(derivative, difference, atol=1e-6)

    def test_result_may_be_changed_by_the_caller(self):
        """Writing into a result leaves the next one alone."""
        wigner_d(3, math.pi / 2)[:] = 0.0
        assert abs(np.linalg.det(wigner_d(3, math.pi / 2))) == pytest.approx(1.0)

    @pytest.mark.parametrize("spin", [0, -1, 0.3, math.nan, math.inf])
    def test_refuses_a_spin_that_is_none(self, spin):
        """The message names the argument, the rule and the value."""
        with pytest.raises(ValueError, match="`spin` must be a positive multiple of 1/2, but is"):
            wigner_d(spin, 1.0)

    def test_refuses_an_angle_that_is_not_finite(self):
        """A NaN never reaches the matrix."""
        with pytest.raises(ValueError, match="`beta` must be finite, but is nan"):
            wigner_d(1, math.nan)


class TestCoupledAmplitudes:
    def test_agrees_with_reference_values_at_spin_100(self, oracle):
        """Coefficients at S = 100, J = 10 agree with 60-digit arithmetic."""
        case = oracle("r25")
        spin = case.inputs.S
        amplitudes = coupled_amplitudes(spin, case.inputs.J)
        case.check("cg", amplitudes[spin + np.array(case.inputs.m1)])

    @given(atoms=st.integers(1, 80), data=st.data())
    @settings(deadline=None, max_examples=60, derandomize=True)
    def test_are_normalised_dark_and_of_definite_exchange(self, atoms, data):
        """|J,-J> has norm 1, is annihilated by S1- + S2-, and has parity (-1)^(2S-J)."""
        total = data.draw(st.integers(0, atoms))
        amplitudes = coupled_amplitudes(atoms / 2, total)
        assert amplitudes @ amplitudes == pytest.approx(1.0, abs=1e-11)
        parity = (-1.0) ** (atoms - total)
        np.testing.assert_allclose(amplitudes[::-1], parity * amplitudes, atol=1e-11)
        lower = ladder_elements(atoms / 2)[::-1]  # n -> n+1 for n = 0 … 2S-1, also n+1 -> n
        count = atoms - total
        lowered = lower[:count] * amplitudes[1:] + lower[:count][::-1] * amplitudes[:-1]
        np.testing.assert_allclose(lowered, 0.0, atol=1e-9)

    def test_refuses_a_total_spin_beyond_both(self):
        """J runs from 0 to 2S."""
        with pytest.raises(ValueError, match="`total` must not exceed 2S = 4, but is 5"):
            coupled_amplitudes(2, 5)
        with pytest.raises(ValueError, match="`total` must be a whole number"):
            coupled_amplitudes(2, -1)


def test_magnetic_numbers_descend():
    """m runs from S to -S in steps of one."""
    np.testing.assert_array_equal(magnetic_numbers(1.5), [1.5, 0.5, -0.5, -1.5])
