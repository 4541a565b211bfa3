"""The steady state of a spin in a squeezed reservoir: references, brute force, identities."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models.squeezed_reservoir import (
    SqueezedReservoir,
    gaussian_optimum,
    gaussian_xi2,
    squeezed_steady_state,
    squeezing_from_decibels,
    squeezing_optimum,
    steady_states,
)
from cavitylab.models.squeezed_reservoir_exact import dark_amplitudes
from cavitylab.models.squeezed_reservoir_lossy import lossy_moments

CASES = json.loads(
    Path(__file__).with_name("oracles_squeezed_reservoir.json").read_text(encoding="utf-8")
)["cases"]
FIELDS = {"sz": "sz", "vmin": "v_min", "vmax": "v_max", "xi2": "xi2", "angle": "angle"}


def cases(*functions):
    return [pytest.param(c, id=c["id"]) for c in CASES if c["function"] in functions]


def agrees(state, case):
    for name, expected in case["outputs"].items():
        assert getattr(state, FIELDS[name]) == pytest.approx(expected, rel=case["rtol"]), name


def brute_force(p):
    """Moments of QuTiP's steady state of Bai & An Eq. 7, two jump operators."""
    j, dimension = p.atoms / 2, p.atoms + 1
    up, down = qutip.jmat(j, "+"), qutip.jmat(j, "-")
    m = p.correlation
    rates, vectors = np.linalg.eigh(
        np.array([[p.occupation + 1, -m.conjugate()], [-m, p.occupation]])
    )
    jumps = [
        math.sqrt(p.collective_decay * max(rate, 0)) * (v[0] * down + v[1] * up)
        for rate, v in zip(rates, vectors.T, strict=True)
    ]
    rho = qutip.steadystate(p.detuning * qutip.jmat(j, "z"), jumps, method="direct")
    assert rho.shape == (dimension, dimension)
    mean = lambda operator: complex((rho * operator).tr())  # noqa: E731
    return mean(qutip.jmat(j, "z")).real, mean(qutip.jmat(j, "z") ** 2).real, mean(down * down)


class TestAgainstReferences:
    @pytest.mark.parametrize("case", cases("steady", "steady_lossy"))
    def test_steady_states(self, case):
        """Moments of Eq. 7 for either parity, detuned, turned and with loss."""
        i = case["inputs"]
        p = SqueezedReservoir(i["N"], i["r"], i["delta"], i["alpha"], i.get("eta", 1.0))
        agrees(squeezed_steady_state(p), case)

    @pytest.mark.parametrize("case", cases("dark"))
    def test_dark_states(self, case):
        """The pure state of even N without detuning, up to N = 1e5."""
        i = case["inputs"]
        agrees(squeezed_steady_state(SqueezedReservoir(i["N"], i["r"])), case)

    @pytest.mark.parametrize("case", cases("optimum"))
    def test_optima(self, case):
        """Least xi2 over r, at constant and at r-dependent detuning."""
        i = case["inputs"]
        law = {"shift": i["d"]} if i["kind"] == "lamb" else {"detuning": i["d"]}
        found = squeezing_optimum(i["N"], low=i["lo"], high=i["hi"], **law)
        assert found.xi2 == pytest.approx(case["outputs"]["xi2"], rel=case["rtol"])
        assert found.squeezing == pytest.approx(case["outputs"]["r"], rel=case["rtol"])

    @pytest.mark.parametrize("case", cases("gaussian", "squeezing_db"))
    def test_closed_forms(self, case):
        """The linear limit and the conversion of decibels."""
        i, rtol = case["inputs"], case["rtol"]
        if case["function"] == "gaussian":
            value = gaussian_xi2(SqueezedReservoir(i["N"], i["r"], i["delta"]))
            assert value == pytest.approx(case["outputs"]["xi2"], rel=rtol)
        else:
            value = squeezing_from_decibels(i["dB"])
            assert value == pytest.approx(case["outputs"]["r"], rel=rtol)

    @pytest.mark.parametrize(
        ("atoms", "xi2", "r"),
        [(4, 0.7626, 0.264), (40, 0.2269, 0.886), (300, 0.07594, 1.436), (3000, 0.02309, 2.029)],
    )
    def test_scaling_of_the_published_setting(self, atoms, xi2, r):
        """Bai & An Fig. 3c, d: delta = cosh(2r)."""
        found = squeezing_optimum(atoms, shift=1.0)
        assert found.xi2 == pytest.approx(xi2, rel=2e-3)
        assert found.squeezing == pytest.approx(r, abs=2e-3)

    @pytest.mark.parametrize(
        ("atoms", "xi2", "r"), [(3, 0.680, 0.31), (7, 0.417, 0.58), (41, 0.107, 1.25)]
    )
    def test_odd_numbers_without_detuning(self, atoms, xi2, r):
        """An odd atom costs the pure state: the optimum over r is much worse."""
        found = squeezing_optimum(atoms)
        assert found.xi2 == pytest.approx(xi2, rel=5e-3)
        assert found.squeezing == pytest.approx(r, abs=1e-2)


class TestAgainstBruteForce:
    @pytest.mark.parametrize("atoms", [1, 2, 3, 6, 9, 14])
    @pytest.mark.parametrize("detuning", [0.0, 0.4, -3.0])
    @pytest.mark.parametrize("transmission", [1.0, 0.7])
    def test_moments(self, atoms, detuning, transmission):
        """QuTiP's null vector of Eq. 7, in units where A is not 1."""
        p = SqueezedReservoir(atoms, 0.65, detuning, 0.9, transmission, collective_decay=1.7)
        sz, sz2, pair = brute_force(p)
        state = squeezed_steady_state(p)
        assert state.sz == pytest.approx(sz, abs=1e-10)
        assert state.sz2 == pytest.approx(sz2, abs=1e-10)
        assert abs(state.s_minus2 - pair) < 1e-10 * max(1.0, atoms)

    @given(
        atoms=st.integers(2, 60),
        r=st.floats(0.05, 2.5),
        delta=st.one_of(st.just(0.0), st.floats(-30.0, 30.0)),
    )
    @settings(max_examples=40, deadline=None)
    def test_recursion_against_the_null_vector(self, atoms, r, delta):
        """Two algorithms, one state: the recursion and the sparse solve that loss uses."""
        state = squeezed_steady_state(SqueezedReservoir(atoms, r, delta))
        n, m = math.sinh(r) ** 2, math.sinh(r) * math.cosh(r)
        solved = lossy_moments(atoms, n, m, delta)
        assert state.sz == pytest.approx(solved.sz, abs=1e-8 * atoms)
        assert state.planar == pytest.approx(solved.planar, rel=1e-8)
        assert abs(state.s_minus2 - solved.pair) < 1e-8 * state.planar

    def test_dark_path_is_the_limit_of_the_recursion(self):
        """Even N: the O(N) state and the recursion at a vanishing detuning."""
        pure = squeezed_steady_state(SqueezedReservoir(400, 1.2))
        near = squeezed_steady_state(SqueezedReservoir(400, 1.2, detuning=1e-13))
        assert pure.sz == pytest.approx(near.sz, rel=1e-12)
        assert pure.v_max == pytest.approx(near.v_max, rel=1e-12)
        assert pure.v_min == pytest.approx(near.v_min, rel=1e-8)
        psi = dark_amplitudes(400, 1.2)
        assert psi**2 @ (np.arange(401) - 200) == pytest.approx(pure.sz, rel=1e-13)

    @pytest.mark.parametrize("atoms", [300, 1001])
    def test_truncated_basis_meets_the_exact_state(self, atoms):
        """Vanishing loss, in the basis of Sy: the estimated error covers the true one."""
        r = 0.25 * math.log(atoms)
        exact = squeezed_steady_state(SqueezedReservoir(atoms, r, 2.0, 0.3))
        close = squeezed_steady_state(
            SqueezedReservoir(atoms, r, 2.0, 0.3, transmission=1.0 - 1e-13)
        )
        assert 0.0 < close.error < 1e-6
        assert close.xi2 == pytest.approx(exact.xi2, rel=close.error + 1e-9)
        assert close.angle == pytest.approx(exact.angle, abs=1e-8)


class TestLimitsAndInvariants:
    @given(
        atoms=st.integers(1, 300),
        r=st.floats(0.0, 6.0),
        delta=st.one_of(st.just(0.0), st.floats(-200.0, 200.0)),
        alpha=st.floats(-7.0, 7.0),
    )
    @settings(max_examples=60, deadline=None)
    def test_uncertainty_and_bounds(self, atoms, r, delta, alpha):
        """V_min V_max >= <Sz>^2/4, and no moment leaves the sphere."""
        s = squeezed_steady_state(SqueezedReservoir(atoms, r, delta, alpha))
        j = atoms / 2
        assert -j - 1e-9 <= s.sz <= 1e-9
        assert 0.0 <= s.sz2 + 1e-9 and s.sz2 >= s.sz**2 * (1 - 1e-9) - 1e-9
        rounding = 1e-14 * s.planar  # v_min is a difference of two numbers of this size
        assert (s.v_min + rounding) * s.v_max >= s.sz**2 / 4 * (1 - 1e-6)
        assert s.variance(s.angle) == pytest.approx(s.v_min, abs=1e-9 * atoms**2)
        assert s.variance(s.angle + math.pi / 2) == pytest.approx(s.v_max, rel=1e-9)

    @given(delta=st.floats(-20.0, 20.0), alpha=st.floats(0.0, 6.0), scale=st.floats(1e-3, 1e3))
    @settings(max_examples=25, deadline=None)
    def test_symmetries(self, delta, alpha, scale):
        """Rates scale together; alpha turns the ellipse; -Delta_N mirrors it."""
        p = SqueezedReservoir(31, 0.9, delta, alpha)
        state = squeezed_steady_state(p)
        scaled = replace(p, detuning=delta * scale, collective_decay=scale)
        assert squeezed_steady_state(scaled).xi2 == pytest.approx(state.xi2, rel=1e-11)
        plain = squeezed_steady_state(replace(p, phase=0.0))
        turned = plain.variance(0.4 + alpha / 2)
        assert state.variance(0.4) == pytest.approx(turned, rel=1e-10)
        mirrored = squeezed_steady_state(replace(p, detuning=-delta, phase=0.0))
        assert mirrored.variance(-0.4) == pytest.approx(plain.variance(0.4), rel=1e-10)

    def test_no_squeezing_leaves_the_ground_state(self):
        """r = 0 decays to all atoms down, xi2 = 1."""
        for atoms in (1, 4, 7):
            s = squeezed_steady_state(SqueezedReservoir(atoms, 0.0, 0.3))
            assert (s.sz, s.v_min, s.xi2) == (-atoms / 2, atoms / 4, 1.0)

    def test_without_detuning_even_numbers_reach_two_over_n_plus_two(self):
        """xi2 -> 2/(N+2) for r to infinity; r = ln(N)/2 gives 2.2/N."""
        for atoms in (4, 100, 100_000):
            far = squeezed_steady_state(SqueezedReservoir(atoms, 0.5 * math.log(atoms) + 8.0))
            assert far.xi2 == pytest.approx(2 / (atoms + 2), rel=1e-6)
        near = squeezed_steady_state(SqueezedReservoir(1000, 0.5 * math.log(1000)))
        assert near.xi2 == pytest.approx(2.2 / 1000, rel=0.02)

    def test_large_numbers_approach_the_linear_limit(self):
        """xi2 at fixed r: the Gaussian formula is left by 1/N, with and without loss."""
        for eta in (1.0, 0.8):
            gaps = []
            for atoms in (400, 1600):
                p = SqueezedReservoir(atoms, 0.7, 0.1 * atoms, 0.2, eta)
                gaps.append(squeezed_steady_state(p).xi2 / gaussian_xi2(p) - 1)
            assert gaps[1] == pytest.approx(gaps[0] / 4, rel=0.05)
            assert 0 < gaps[1] < 5e-3

    def test_asymptotic_optimum(self):
        """The exponent at large N is -1/2: 1 % from the leading order at N = 1e4."""
        r, xi2 = gaussian_optimum(10_000, 1.0)
        assert r == pytest.approx(2.334, abs=0.02)
        there = SqueezedReservoir(10_000, 2.334, math.cosh(2 * 2.334))
        assert squeezed_steady_state(there).xi2 == pytest.approx(0.01254, rel=1e-3)
        assert xi2 == pytest.approx(0.01254, rel=0.02)

    def test_scan_is_the_single_points(self):
        """One table for all r gives what each r gives alone, in their order."""
        p = SqueezedReservoir(51, 0.0, 0.7, 0.2)
        values = [1.9, 0.0, 0.6]
        for state, r in zip(steady_states(p, values), values, strict=True):
            alone = squeezed_steady_state(replace(p, squeezing=r))
            assert state.xi2 == pytest.approx(alone.xi2, rel=1e-12)
        assert steady_states(p, []) == []

    def test_huge_detuning_and_squeezing_stay_finite(self):
        """The recursion is stable where the identities alone are not."""
        for atoms, r, delta in [(1000, 4.0, 1500.0), (2001, 3.0, 200.0), (500, 20.0, 1.0)]:
            s = squeezed_steady_state(SqueezedReservoir(atoms, r, delta))
            assert -atoms / 2 <= s.sz <= 0 and math.isfinite(s.planar)
            assert s.planar <= atoms / 2 * (atoms / 2 + 1)

    def test_far_detuned_state_is_thermal(self):
        """Delta_N >> N A averages M away: p_m ~ tanh(r)^(2m)."""
        atoms, r = 40, 0.9
        s = squeezed_steady_state(SqueezedReservoir(atoms, r, 1e7))
        levels = np.arange(atoms + 1)
        weights = math.tanh(r) ** (2.0 * levels)
        weights /= weights.sum()
        assert s.sz == pytest.approx(weights @ levels - atoms / 2, rel=1e-9)
        assert abs(s.s_minus2) < 1e-3


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"atoms": 0}, "`atoms` must be a whole number of at least 1"),
            ({"atoms": 2.5}, "`atoms`.*2.5"),
            ({"squeezing": -0.1}, "`squeezing` must not be negative"),
            ({"squeezing": 21.0}, "`squeezing` must not exceed 20"),
            ({"detuning": math.nan}, "`detuning` must be finite"),
            ({"phase": math.inf}, "`phase` must be finite"),
            ({"transmission": 0.0}, r"`transmission` must lie in \(0, 1\], but is 0.0"),
            ({"transmission": 1.1}, "1.1"),
            ({"collective_decay": 0.0}, "`collective_decay` must be above zero"),
        ],
    )
    def test_parameters(self, change, words):
        """Each refusal names the argument, the rule and the value."""
        good = {"atoms": 4, "squeezing": 0.5}
        with pytest.raises(ValueError, match=words):
            SqueezedReservoir(**(good | change))

    def test_functions(self):
        """Bounds that cross, negative decibels, a shift of zero, a basis too large."""
        with pytest.raises(ValueError, match="`high` must be above"):
            squeezing_optimum(10, low=1.0, high=0.5)
        with pytest.raises(ValueError, match="`decibels`"):
            squeezing_from_decibels(-3.0)
        with pytest.raises(ValueError, match="`shift`"):
            gaussian_optimum(10, 0.0)
        with pytest.raises(ValueError, match="`atoms` is too large"):
            squeezed_steady_state(SqueezedReservoir(200_000, 1.0, 1.0, 0.0, 0.3))


def test_the_linear_limit_keeps_its_digits_at_large_squeezing():
    """Without loss on resonance the linear xi2 is e^(-2r), however large r."""
    for r in (0.5, 5.0, 20.0):
        assert gaussian_xi2(SqueezedReservoir(100, r)) == pytest.approx(math.exp(-2 * r), rel=1e-12)
