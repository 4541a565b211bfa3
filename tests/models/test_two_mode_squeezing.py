"""The generalised two-mode squeezed state: references, explicit matrices, limits, refusals."""

import json
import math
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models.two_mode_squeezing import (
    PARAMETERS,
    greatest_information,
    hard_core_squeezed,
    logarithmic_derivatives,
    quadratures,
    spin_elements,
    two_mode_amplitudes,
    two_mode_squeezed,
    two_mode_squeezed_spins,
    two_photon_elements,
    two_photon_squeezed,
)

ORACLES = json.loads(Path(__file__).with_name("oracles_two_mode.json").read_text(encoding="utf-8"))[
    "cases"
]

atom_numbers = st.integers(1, 2_000_000)
squeezings = st.floats(0.0, 20.0)
ladders = st.lists(st.floats(0.05, 5.0), min_size=1, max_size=12).map(lambda o: [0.0, *o])


def cases(function):
    return [pytest.param(case, id=case["id"]) for case in ORACLES if case["function"] == function]


def check(case, **values):
    for name, expected in case["outputs"].items():
        np.testing.assert_allclose(
            values[name], expected, rtol=case["rtol"], atol=case.get("atol", 0.0), err_msg=name
        )


def figures(state):
    return {
        "Zsum": state.length,
        "Xp2": state.squeezed_variance,
        "Xm2": state.antisqueezed_variance,
        "xi2": state.xi2 if state.atoms else None,
        "Q_large": state.qfi_large,
        "Q_small": state.qfi_small,
    }


def state_vector(elements, r):
    amplitudes = two_mode_amplitudes(len(elements) - 1, r)
    return np.diag(amplitudes).ravel()


def dense(q):
    return {
        "X+": q.x_plus.toarray(),
        "X-": q.x_minus.toarray(),
        "Y+": q.y_plus.toarray(),
        "Y-": q.y_minus.toarray(),
    }


class TestAgainstReferences:
    @pytest.mark.parametrize("case", cases("gtmss_spin"))
    def test_spins(self, case):
        """Closed form of two spins."""
        given_ = case["inputs"]
        check(case, **figures(two_mode_squeezed_spins(given_["S"], given_["r"])))

    @pytest.mark.parametrize("case", cases("gtmss_generic"))
    def test_any_ladder(self, case):
        """Arbitrary matrix elements."""
        check(case, **figures(two_mode_squeezed(case["inputs"]["o"], case["inputs"]["r"])))

    @pytest.mark.parametrize("case", cases("two_photon"))
    def test_photon_pairs(self, case):
        """Photon pairs, closed form and a sum cut far out."""
        r, cut = case["inputs"]["r"], case["inputs"]["m_cut"]
        check(case, **figures(two_photon_squeezed(r)))
        check(case, **figures(two_mode_squeezed(two_photon_elements(cut), r)))

    @pytest.mark.parametrize("case", cases("hardcore"))
    def test_hard_core(self, case):
        """Modes with a largest photon number."""
        check(case, **figures(hard_core_squeezed(case["inputs"]["m_max"], case["inputs"]["r"])))


class TestAgainstMatrices:
    @settings(max_examples=25, deadline=None)
    @given(ladders, st.floats(0.0, 1.5))
    def test_moments(self, elements, r):
        """Every figure of merit equals the one of the explicit state vector."""
        psi, q = state_vector(elements, r), quadratures(elements)
        state = two_mode_squeezed(elements, r)
        operators = dense(q)
        shaken = [operators[name] @ psi for name in PARAMETERS]
        products = np.array([[a.conj() @ b for b in shaken] for a in shaken])
        scale = state.antisqueezed_variance
        np.testing.assert_allclose(4 * products.real, state.qfi_matrix, atol=1e-13 * scale + 1e-14)
        np.testing.assert_allclose(
            2 * products.imag, state.mean_commutators, atol=1e-13 * scale + 1e-14
        )
        z = psi @ ((q.z1 + q.z2) @ psi)
        assert z.real == pytest.approx(state.length, rel=1e-12)

    @settings(max_examples=25, deadline=None)
    @given(ladders, st.floats(0.0, 1.5))
    def test_logarithmic_derivatives_solve_their_equation(self, elements, r):
        """L rho + rho L = 2 d rho / d theta (S2) for all four angles."""
        psi, operators = state_vector(elements, r), dense(quadratures(elements))
        rho = np.outer(psi, psi)
        for name, rule in logarithmic_derivatives(r).items():
            derivative = rule.factor * operators[rule.observable]
            turned = -1j * (operators[name] @ rho - rho @ operators[name])
            np.testing.assert_allclose(
                derivative @ rho + rho @ derivative, 2 * turned, atol=1e-11 * max(elements)
            )

    def test_sensitive_commutator_annihilates_the_state(self):
        """[X-, Y+]|psi> = 0, so both angles can be read together."""
        psi, q = state_vector(spin_elements(2.5), 0.7), dense(quadratures(spin_elements(2.5)))
        commutator = q["X-"] @ q["Y+"] - q["Y+"] @ q["X-"]
        assert np.max(np.abs(commutator)) > 1.0
        np.testing.assert_allclose(commutator @ psi, 0.0, atol=1e-14)


def wineland_in_sixty_digits(atoms, r):
    """xi^2 from the defining sums in decimal arithmetic; `atoms` = 2S."""
    with localcontext() as context:
        context.prec = 60 + int(4 * r)
        e = Decimal(2 * r).exp()
        t2 = ((e - 1) / (e + 1)) ** 2
        weight, norm, length = Decimal(1), Decimal(0), Decimal(0)
        for m in range(atoms + 1):
            norm += weight
            length += weight * (2 * m - atoms)
            weight *= t2
        length /= norm
        variance = -length / (2 * e)  # <X+^2> = e^{-2r} |<Z_i>|
        return float(2 * atoms * variance / length**2)


def printed_wineland(spin, r):
    """xi^2 from S70 as printed, in as many digits as its cancellation needs."""
    with localcontext() as context:
        context.prec = 80 + int(6 * r)
        e, two_s = Decimal(2 * r).exp(), int(2 * spin)
        t = (e - 1) / (e + 1)
        sinh2 = (e + 1 / e - 2) / 4
        power = t ** (2 * two_s)
        plus, minus = power * t * t + 1, power * t * t - 1
        length = (plus * Decimal(spin) + sinh2 * (power - 1)) / minus
        variance = -((two_s + 1) * plus / minus + (e + 1 / e) / 2) / (2 * e)
        return float(4 * Decimal(spin) * variance / (2 * length) ** 2)


class TestAccuracy:
    @pytest.mark.parametrize("spin", [0.5, 3.0, 100.0, 1e4, 1e6])
    @pytest.mark.parametrize("r", [1e-5, 0.1, 0.9, 2.5, 4.0, 6.0, 7.5, 9.0, 14.0, 25.0])
    def test_printed_formula_in_many_digits(self, spin, r):
        """1e-12 relative to S = 1e6 against Eq. S70, which is right but cancels."""
        found = two_mode_squeezed_spins(spin, r).xi2
        assert found == pytest.approx(printed_wineland(spin, r), rel=1e-12)

    @pytest.mark.parametrize("atoms", [1, 2, 7, 100, 3000])
    @pytest.mark.parametrize("r", [1e-6, 0.01, 0.5, 1.0, 2.0, 3.3, 5.0, 8.0, 15.0])
    def test_against_many_digits(self, atoms, r):
        """1e-12 relative over r, also where Eq. 8 as printed has lost every digit."""
        state = two_mode_squeezed_spins(atoms / 2, r)
        assert state.xi2 == pytest.approx(wineland_in_sixty_digits(atoms, r), rel=1e-12)

    @settings(max_examples=100, deadline=None)
    @given(atom_numbers, squeezings)
    def test_bounds(self, atoms, r):
        """1/xi^2 stays between 1 and (N+4)/3; <X+^2><Y+^2> meets its uncertainty relation."""
        state = two_mode_squeezed_spins(atoms / 2, r)
        n = 2 * atoms
        assert 3.0 / (n + 4) * (1 - 1e-12) <= state.xi2 <= 1.0 + 1e-12
        assert state.xi2 * state.qfi_large == pytest.approx(n, rel=1e-12)
        product = state.squeezed_variance * state.antisqueezed_variance
        assert product == pytest.approx((state.length / 2) ** 2, rel=1e-12)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(1, 300), st.floats(0.0, 100.0))
    def test_closed_form_is_the_sum(self, atoms, r):
        """The spin closed form and the general sum agree."""
        closed = two_mode_squeezed_spins(atoms / 2, r)
        summed = two_mode_squeezed(spin_elements(atoms / 2), r)
        assert summed.qfi_large == pytest.approx(closed.qfi_large, rel=1e-12)
        assert summed.length == pytest.approx(closed.length, rel=1e-12)

    @pytest.mark.parametrize("spin", [0.5, 2, 50, 1e6])
    def test_large_squeezing(self, spin):
        """xi^2 -> 3/(4(S+1)) with the first correction of Eq. 9, and Q -> 4M(M+2)/3 (Eq. 7)."""
        limit = 3 / (4 * (spin + 1))
        r = 0.5 * math.log(100 * (spin + 1))
        first = (3 + 16 * spin + 16 * spin**2) / (20 * (spin + 1)) * math.exp(-4 * r)
        assert two_mode_squeezed_spins(spin, r).xi2 == pytest.approx(limit + first, rel=1e-7)
        assert two_mode_squeezed_spins(spin, 150.0).xi2 == pytest.approx(limit, rel=1e-12)
        m = 2 * spin
        top = two_mode_squeezed_spins(spin, 150.0).qfi_large
        assert top == pytest.approx(4 / 3 * m * (m + 2), rel=1e-12)

    def test_limits_of_other_ladders(self):
        """Hard-core modes end at 4M and start as ordinary two-mode squeezing, Q = 2 e^{2r}."""
        assert greatest_information(np.sqrt(np.arange(8))) == pytest.approx(28.0)
        assert hard_core_squeezed(7, 140.0).qfi_large == pytest.approx(28.0)
        assert hard_core_squeezed(400, 0.8).qfi_large == pytest.approx(2 * math.exp(1.6))
        assert greatest_information(spin_elements(3.5)) == pytest.approx(4 / 3 * 7 * 9)

    def test_corrected_hard_core_formula(self):
        """(S73) with sech(r)^2 in place of sech(2r)."""
        r, m = 0.7, 6
        t = math.tanh(r)
        above = 1 - (1 + m / math.cosh(r) ** 2) * t ** (2 * m)
        expected = 2 * math.exp(2 * r) * above / (1 - t ** (2 * m + 2))
        assert hard_core_squeezed(m, r).qfi_large == pytest.approx(expected, rel=1e-12)

    def test_no_squeezing(self):
        """At r = 0 all atoms are down."""
        state = two_mode_squeezed_spins(3, 0.0)
        assert (state.xi2, state.length, state.squeezed_variance) == (1.0, -6.0, 3.0)
        np.testing.assert_array_equal(two_mode_amplitudes(6, 0.0), [1, 0, 0, 0, 0, 0, 0])
        assert two_mode_squeezed(spin_elements(3), 0.0).qfi_large == pytest.approx(12.0)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 500), st.floats(0.0, 20.0))
    def test_amplitudes(self, levels, r):
        """Normalised, with ratio -tanh r."""
        a = two_mode_amplitudes(levels, r)
        assert np.sum(a**2) == pytest.approx(1.0)
        np.testing.assert_allclose(a[1:], -math.tanh(r) * a[:-1], rtol=1e-9, atol=1e-300)


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: two_mode_squeezed_spins(0.3, 1.0), "`spin` must be a positive multiple"),
            (lambda: two_mode_squeezed_spins(2, -0.1), "`squeezing` must not be negative.*-0.1"),
            (lambda: two_mode_squeezed_spins(2, 151.0), "`squeezing` must not exceed 150.*151"),
            (lambda: two_mode_squeezed_spins(2, math.nan), "`squeezing` must be finite"),
            (lambda: two_mode_squeezed([1.0, 2.0], 1.0), r"`elements` must be.*o\(0\) = 0"),
            (lambda: two_mode_squeezed([0.0], 1.0), "`elements` must be a row of at least two"),
            (lambda: hard_core_squeezed(0, 1.0), "`levels` must be a whole number"),
            (lambda: hard_core_squeezed(3, 1.0).xi2, "`atoms` must be set.*None"),
        ],
    )
    def test_bad_input(self, call, message):
        """Each refusal names the argument, the rule and the value."""
        with pytest.raises(ValueError, match=message):
            call()
