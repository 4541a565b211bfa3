"""Paired, GHZ and twisted states: references, state vectors, bounds, refusals."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh_tridiagonal, expm

from cavitylab.models.two_mode_squeezing import (
    quadratures,
    spin_elements,
    two_mode_amplitudes,
    two_mode_squeezed,
)
from cavitylab.models.two_mode_squeezing_comparison import (
    TwoAxisTwisting,
    ghz_information,
    greatest_paired_information,
    one_axis_optimum,
    one_axis_xi2,
    optimum_paired_amplitudes,
    optimum_paired_jumps,
    paired_moments,
    twisting_quadrature_angle,
)
from cavitylab.models.two_mode_squeezing_dynamics import ChargeSector, jumps_gap
from cavitylab.models.two_mode_squeezing_propagation import steady_vector

ORACLES = json.loads(Path(__file__).with_name("oracles_two_mode.json").read_text(encoding="utf-8"))[
    "cases"
]
spins = st.integers(1, 12).map(lambda atoms: atoms / 2)


def cases(function):
    return [
        pytest.param(case, id=f"{case['id']}_{number}")
        for number, case in enumerate(ORACLES)
        if case["function"] == function
    ]


def check(case, **values):
    for name, expected in case["outputs"].items():
        np.testing.assert_allclose(
            values[name], expected, rtol=case["rtol"], atol=case.get("atol", 0.0), err_msg=name
        )


def dense(spin):
    q = quadratures(spin_elements(spin))
    return [m.toarray() for m in (q.x_plus, q.x_minus, q.y_plus, q.y_minus)], (
        q.z1 + q.z2
    ).toarray()


class TestAgainstReferences:
    @pytest.mark.parametrize("case", cases("binomial_state"))
    def test_binomial(self, case):
        """Moments of the optimum paired state."""
        spin = case["inputs"]["S"]
        m = paired_moments(optimum_paired_amplitudes(spin), spin_elements(spin))
        check(case, Zsum=m.length, Xp2=m.x_plus_square, Xm2=m.x_minus_square, Vmin=m.least_variance)

    @pytest.mark.parametrize("case", cases("binomial_gap"))
    def test_binomial_gap(self, case):
        """Gap of the jumps that stabilise it."""
        check(case, gap=jumps_gap(optimum_paired_jumps(case["inputs"]["S"])))

    @pytest.mark.parametrize("case", cases("ghz2_qfim"))
    def test_ghz(self, case):
        """Fisher matrix of the two-mode GHZ state."""
        q = ghz_information(case["inputs"]["S"])
        check(case, Q11=q[1, 1], Q22=q[2, 2], Q12_abs=abs(q[1, 2]))

    @pytest.mark.parametrize("case", cases("xi2_2M1A"))
    def test_one_axis(self, case):
        """One-axis twisting at a given time."""
        check(case, xi2=one_axis_xi2(case["inputs"]["S"], case["inputs"]["tau"]))

    @pytest.mark.parametrize("case", cases("opt_2M1A"))
    def test_one_axis_optimum(self, case):
        """Best one-axis twisting."""
        best = one_axis_optimum(case["inputs"]["S"])
        check(case, xi2=best.xi2, tau=best.tau)

    @pytest.mark.parametrize("case", cases("opt_2M2A"))
    def test_two_axis_optimum(self, case):
        """Best two-axis twisting."""
        best = TwoAxisTwisting(case["inputs"]["S"]).optimum()
        check(case, xi2=best.xi2, tau=best.tau)


class TestPairedStates:
    @settings(max_examples=25, deadline=None)
    @given(spins, st.integers(0, 2**32 - 1))
    def test_moments_of_any_paired_state(self, spin, seed):
        """The moments and the quietest pair of quadratures match explicit matrices."""
        rng = np.random.default_rng(seed)
        o = spin_elements(spin)
        a = rng.standard_normal(o.size) + 1j * rng.standard_normal(o.size)
        m, (x_plus, x_minus, y_plus, y_minus), z = paired_moments(a, o), *dense(spin)
        psi = np.diag(a / np.linalg.norm(a)).ravel()
        assert m.x_plus_square == pytest.approx(np.linalg.norm(x_plus @ psi) ** 2)
        assert m.x_minus_square == pytest.approx(np.linalg.norm(x_minus @ psi) ** 2)
        assert m.length == pytest.approx((psi.conj() @ z @ psi).real, abs=1e-12)
        phi = twisting_quadrature_angle(a, o)
        c, s = math.cos(phi), math.sin(phi)
        for quiet in (c * x_plus + s * y_plus, s * x_minus - c * y_minus):
            variance = np.linalg.norm(quiet @ psi) ** 2
            assert variance == pytest.approx(m.least_variance, abs=1e-10)

    def test_squeezed_state_is_a_paired_state(self):
        """The general paired formula gives back the two-mode squeezed moments."""
        o = spin_elements(4)
        m, state = paired_moments(two_mode_amplitudes(8, 0.9), o), two_mode_squeezed(o, 0.9)
        assert m.x_plus_square == pytest.approx(state.squeezed_variance, rel=1e-10)
        assert m.qfi == pytest.approx(state.qfi_large, rel=1e-12)
        assert m.length == pytest.approx(state.length, rel=1e-12)

    @pytest.mark.parametrize("spin", [0.5, 1, 3.5, 40, 2000])
    def test_binomial_is_the_best(self, spin):
        """Its information is N(N/2+1), the top eigenvalue of the form (S33)."""
        o = spin_elements(spin)
        a = optimum_paired_amplitudes(spin)
        best = greatest_paired_information(spin)
        assert paired_moments(a, o).qfi == pytest.approx(best, rel=1e-12)
        diagonal = o**2 + np.append(o[1:], 0.0) ** 2
        top = eigh_tridiagonal(
            2 * diagonal, -2 * o[1:] ** 2, select="i", select_range=(o.size - 1, o.size - 1)
        )[0][0]
        assert top == pytest.approx(best, rel=1e-12)

    @pytest.mark.parametrize("spin", [1, 2.5, 4])
    def test_jumps_stabilise_the_binomial(self, spin):
        """The steady state of the jumps of S50-S53 is the staggered binomial."""
        sector = ChargeSector(optimum_paired_jumps(spin))
        vector = steady_vector(sector.liouvillian, sector.trace)
        fidelity = sector.fidelity(vector, optimum_paired_amplitudes(spin))
        assert fidelity == pytest.approx(1.0, abs=1e-10)


class TestGHZ:
    @pytest.mark.parametrize("spin", [0.5, 1, 1.5, 2.5])
    @pytest.mark.parametrize("modes", [1, 2])
    def test_against_the_state(self, spin, modes):
        """The Fisher matrix equals the one of the rotated state of S38 and S42."""
        d = round(2 * spin) + 1
        s = [qutip.jmat(spin, axis).full()[::-1, ::-1] for axis in "xyz"]
        one = np.eye(d)
        x1, y1 = np.kron(s[0], one), np.kron(s[1], one)
        x2, y2 = np.kron(one, s[0]), np.kron(one, s[1])
        psi = np.zeros(d * d, dtype=complex)
        psi[0] = psi[-1] = math.sqrt(0.5)
        generator = (y1 - y2) if modes == 1 else (x1 + x2 + y1 - y2) / math.sqrt(2)
        psi = expm(-0.5j * math.pi * generator) @ psi
        w = [x1 + x2, x1 - x2, y1 + y2, y1 - y2]
        shaken = [op @ psi - (psi.conj() @ op @ psi) * psi for op in w]
        expected = 4 * np.array([[np.vdot(a, b).real for b in shaken] for a in shaken])
        np.testing.assert_allclose(ghz_information(spin, modes), expected, atol=1e-10)

    def test_only_one_direction_has_everything(self):
        """At N = 10 the eigenvalues of the sensitive pair are N^2 and N."""
        block = ghz_information(2.5)[1:3, 1:3]
        np.testing.assert_allclose(np.linalg.eigvalsh(block), [10.0, 100.0])


class TestTwisting:
    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 6).map(lambda n: n / 2), st.floats(0.01, 3.0))
    def test_one_axis_against_the_state(self, spin, tau):
        """The closed form equals the best of all quadratures of the state vector."""
        (x_plus, x_minus, y_plus, _), z = dense(spin)
        x1, x2 = 0.5 * (x_plus + x_minus), 0.5 * (x_plus - x_minus)
        psi = np.zeros(len(z), dtype=complex)
        psi[0] = 1.0
        psi = expm(-1j * tau * x1 @ x2) @ psi
        u, v = x_plus @ psi, y_plus @ psi
        cross = np.vdot(u, v).real
        least = np.linalg.eigvalsh([[np.vdot(u, u).real, cross], [cross, np.vdot(v, v).real]])[0]
        length = np.vdot(psi, z @ psi).real
        expected = 4 * spin * least / length**2
        assert one_axis_xi2(spin, tau) == pytest.approx(expected, rel=1e-8)

    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 6).map(lambda n: n / 2), st.floats(0.01, 1.0))
    def test_two_axis_against_the_state(self, spin, tau):
        """Amplitudes and angle; for J > 0 the quiet one is (X+ - Y+)/sqrt2."""
        (x_plus, x_minus, y_plus, y_minus), _ = dense(spin)
        x1, x2 = 0.5 * (x_plus + x_minus), 0.5 * (x_plus - x_minus)
        y1, y2 = 0.5 * (y_plus + y_minus), 0.5 * (y_plus - y_minus)
        psi = np.zeros(len(x1), dtype=complex)
        psi[0] = 1.0
        psi = expm(-1j * tau * (x1 @ x2 - y1 @ y2)) @ psi
        found = TwoAxisTwisting(spin).amplitudes(tau)
        np.testing.assert_allclose(np.diag(found).ravel(), psi, atol=1e-11)

    def test_two_axis_quadrature(self):
        """At the optimum the quiet angle is 3 pi/4 for J > 0."""
        twisting = TwoAxisTwisting(15)
        amplitudes = twisting.amplitudes(twisting.optimum().tau)
        angle = twisting_quadrature_angle(amplitudes, spin_elements(15))
        assert angle == pytest.approx(0.75 * math.pi, abs=1e-9)

    def test_scaling_with_atoms(self):
        """N xi^2 = 3.98, 4.77, 5.14 at N = 20, 60, 200; one axis tends to 1.651 N^{-2/3}."""
        found = [n * TwoAxisTwisting(n / 4).optimum().xi2 for n in (20, 60, 200)]
        np.testing.assert_allclose(found, [3.98, 4.77, 5.14], atol=5e-3)
        limit = 0.5 * 3 ** (2 / 3) * 2 ** (2 / 3)
        values = [one_axis_optimum(s).xi2 * (4 * s) ** (2 / 3) for s in (15, 500, 1e6, 1e11)]
        np.testing.assert_allclose(values[:2], [2.09, 1.87], atol=6e-3)
        assert values[3] == pytest.approx(limit, rel=1e-3)


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: paired_moments([1.0], [0, 1.0]), "`amplitudes` must hold 2 finite"),
            (lambda: paired_moments([0.0, 0.0], [0, 1.0]), "`amplitudes` must hold 2.*all zero"),
            (lambda: optimum_paired_jumps(0.5), "`spin` must be at least 1, but is 0.5"),
            (lambda: one_axis_optimum(0.5), "`spin` must be at least 1"),
            (lambda: TwoAxisTwisting(0.5).optimum(), "`spin` must be at least 1"),
            (lambda: ghz_information(2, 3), "`modes` must be 1 or 2, but is 3"),
            (lambda: one_axis_xi2(1.2, 0.1), "`spin` must be a positive multiple"),
            (lambda: one_axis_xi2(1, math.inf), "`tau` must be finite"),
        ],
    )
    def test_bad_input(self, call, message):
        """Each refusal names the argument, the rule and the value."""
        with pytest.raises(ValueError, match=message):
            call()
