"""6j symbols of four equal spins, against Racah's sum in exact integers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models.six_j import six_j_table


def racah(atoms, j, k):
    """{S S j; S S k} with 2S = `atoms`, from the sum over factorials."""
    f = math.factorial

    def triangle(total):
        return Fraction(f(total) ** 2 * f(atoms - total), f(atoms + total + 1))

    terms = sum(
        Fraction(
            (-1) ** t * f(t + 1),
            (f(t - atoms - j) * f(t - atoms - k)) ** 2
            * f(2 * atoms - t)
            * f(atoms + j + k - t) ** 2,
        )
        for t in range(atoms + max(j, k), min(2 * atoms, atoms + j + k) + 1)
    )
    return float(triangle(j) * triangle(k) * terms)  # two equal triangles each: no square roots


class TestSixJTable:
    @pytest.mark.parametrize("atoms", [1, 2, 3, 7, 20])
    def test_agrees_with_exact_rationals(self, atoms):
        """Every entry up to S = 10 is right to 1e-13."""
        table = six_j_table(atoms / 2)
        exact = [[racah(atoms, j, k) for k in range(atoms + 1)] for j in range(atoms + 1)]
        np.testing.assert_allclose(table, exact, atol=1e-13)

    def test_stays_symmetric_at_spin_500(self):
        """Rows come from eigenvectors and columns from their order; still W = W^T."""
        table = six_j_table(500)
        np.testing.assert_allclose(table, table.T, atol=1e-12)

    @given(atoms=st.integers(1, 200))
    @settings(deadline=None, max_examples=20, derandomize=True)
    def test_is_orthogonal(self, atoms):
        """sqrt((2j+1)(2j'+1)) W is an orthogonal matrix (Chu Eq. C12)."""
        root = np.sqrt(2.0 * np.arange(atoms + 1) + 1.0)
        matrix = six_j_table(atoms / 2) * np.outer(root, root)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(atoms + 1), atol=1e-11)

    def test_is_a_copy(self):
        """Changing a returned table does not change the next one."""
        six_j_table(1)[0, 0] = 7.0
        assert six_j_table(1)[0, 0] == pytest.approx(1 / 3)

    def test_refuses_a_spin_that_is_no_multiple_of_one_half(self):
        """The message names the argument, the rule and the value."""
        with pytest.raises(ValueError, match=r"`spin` must be a positive multiple of 1/2.*0\.7"):
            six_j_table(0.7)
