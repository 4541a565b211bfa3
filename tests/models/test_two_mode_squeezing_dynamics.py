"""Preparation by engineered dissipation: references, brute force, invariants, sizes."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import expm_multiply

from cavitylab.models.two_mode_squeezing import (
    spin_elements,
    two_mode_amplitudes,
    two_mode_squeezed,
    two_mode_squeezed_spins,
)
from cavitylab.models.two_mode_squeezing_dynamics import (
    ChargeSector,
    PairedJumps,
    best_squeezing,
    jumps_gap,
    preparation_gap,
    prepare,
    prepared_steady_state,
    squeezing_jumps,
)
from cavitylab.models.two_mode_squeezing_propagation import (
    evolve_vector,
    slowest_rate,
    steady_vector,
)

ORACLES = json.loads(Path(__file__).with_name("oracles_two_mode.json").read_text(encoding="utf-8"))[
    "cases"
]


def cases(function):
    return [pytest.param(case, id=case["id"]) for case in ORACLES if case["function"] == function]


def check(case, result):
    values = {
        "Xp2": result.x_plus_square[0],
        "Xm2": result.x_minus_square[0],
        "Z1": result.z1[0],
        "Z2": result.z2[0],
        "xi2": result.xi2[0],
    }
    for name, expected in case["outputs"].items():
        np.testing.assert_allclose(values[name], expected, rtol=case["rtol"], err_msg=name)


def brute_force(n1, n2, r, t):
    """<X+^2>, <X-^2>, <Z1>, <Z2>, purity from the master equation of both spins in full."""
    s = [qutip.jmat(n / 2, "-") for n in (n1, n2)]
    one = [qutip.qeye(n + 1) for n in (n1, n2)]
    o1, o2 = qutip.tensor(s[0], one[1]), qutip.tensor(one[0], s[1])
    jumps = [
        math.cosh(r) * o1 + math.sinh(r) * o2.dag(),
        math.cosh(r) * o2 + math.sinh(r) * o1.dag(),
    ]
    start = qutip.tensor(qutip.basis(n1 + 1, n1), qutip.basis(n2 + 1, n2))
    generator = qutip.liouvillian(None, jumps)
    rho = (generator * t).expm() * qutip.operator_to_vector(qutip.ket2dm(start))
    rho = qutip.vector_to_operator(rho)
    x1, x2 = (o1 + o1.dag()) / 2, (o2 + o2.dag()) / 2
    z1, z2 = (o1.dag() * o1 - o1 * o1.dag()) / 2, (o2.dag() * o2 - o2 * o2.dag()) / 2
    wanted = [(x1 + x2) ** 2, (x1 - x2) ** 2, z1, z2]
    return [float(np.real(qutip.expect(o, rho))) for o in wanted] + [rho.purity()]


class TestAgainstReferences:
    @pytest.mark.parametrize("case", cases("evolve"))
    def test_evolution(self, case):
        """Moments on the way."""
        i = case["inputs"]
        check(case, prepare(i["N1"], i["N2"], i["r"], [i["t"]]))

    @pytest.mark.parametrize("case", cases("steady_state"))
    def test_steady_state(self, case):
        """Moments at the end, equal and unequal."""
        i = case["inputs"]
        check(case, prepared_steady_state(i["N1"], i["N2"], i["r"]))

    @pytest.mark.parametrize("case", cases("gap"))
    def test_gap(self, case):
        """The slowest rate from a symmetric start."""
        i = case["inputs"]
        value = preparation_gap(i["N1"], i["N2"], i["r"])
        np.testing.assert_allclose(value, case["outputs"]["gap"], rtol=case["rtol"])


class TestAgainstBruteForce:
    @pytest.mark.parametrize(
        ("n1", "n2", "r", "t"), [(2, 2, 0.7, 0.3), (3, 2, 0.4, 1.1), (1, 4, 1.2, 0.05)]
    )
    def test_master_equation(self, n1, n2, r, t):
        """The sector gives what the full two-spin master equation gives."""
        ours = prepare(n1, n2, r, [t])
        found = [
            part[0] for part in (ours.x_plus_square, ours.x_minus_square, ours.z1, ours.z2)
        ] + [ours.purity[0]]
        np.testing.assert_allclose(found, brute_force(n1, n2, r, t), rtol=1e-8, atol=1e-10)

    @pytest.mark.parametrize("r", [0.0, 0.3, 1.0, 2.0, 3.5])
    @pytest.mark.parametrize("atoms", [1, 4, 10])
    def test_krylov_against_taylor(self, atoms, r):
        """The rational Krylov evolution agrees with a Taylor one from short to long times."""
        o = spin_elements(atoms / 2)
        sector = ChargeSector(squeezing_jumps(o, o, r))
        scale = np.max(np.abs(sector.liouvillian.diagonal()))
        times = np.array([0.01, 1.0, 30.0, 1000.0]) / scale
        ours = evolve_vector(sector.liouvillian, sector.start, times)
        for t, vector in zip(times, ours, strict=True):
            reference = expm_multiply(sector.liouvillian * t, sector.start)
            np.testing.assert_allclose(vector, reference, atol=1e-11)

    def test_gap_among_all_eigenvalues(self):
        """The reduced space holds the slowest rate of the whole sector; Arnoldi finds it."""
        o = spin_elements(4.5)
        for r in (0.2, 0.7, 1.1, 1.8):
            jumps = squeezing_jumps(o, o, r)
            reduced = slowest_rate(ChargeSector(jumps).liouvillian)
            assert reduced == pytest.approx(jumps_gap(jumps), rel=1e-8)
        values = np.linalg.eigvals(ChargeSector(jumps, reduced=False).liouvillian.toarray())
        assert jumps_gap(jumps) == pytest.approx(np.sort(-values.real)[1], rel=1e-7)

    @pytest.mark.parametrize(("spin", "factor"), [(0.5, 4 / 3), (1, 8 / 3), (2.5, 9.21)])
    def test_gap_at_large_squeezing(self, spin, factor):
        """gap -> c(S) e^{-2r}."""
        gap = preparation_gap(int(2 * spin), int(2 * spin), 4.0)
        assert gap * math.exp(8.0) == pytest.approx(factor, rel=2e-3)


class TestInvariants:
    @settings(max_examples=20, deadline=None)
    @given(st.integers(1, 7), st.integers(1, 7), st.floats(0.0, 2.0), st.floats(1e-3, 20.0))
    def test_density_matrix(self, n1, n2, r, t):
        """Trace 1, no negative population, purity within bounds, uncertainty relation kept."""
        sector = ChargeSector(squeezing_jumps(spin_elements(n1 / 2), spin_elements(n2 / 2), r))
        vector = evolve_vector(sector.liouvillian, sector.start, [t])[0]
        assert sector.trace @ vector == pytest.approx(1.0, abs=1e-11)
        assert np.min(sector.populations(vector)) > -1e-12
        at = prepare(n1, n2, r, [t])
        assert 0.0 < at.purity[0] <= 1.0 + 1e-11
        product = at.x_plus_square[0] * at.x_minus_square[0]
        assert product >= 0.25 * (at.z1[0] + at.z2[0]) ** 2 - 1e-9

    @settings(max_examples=15, deadline=None)
    @given(st.integers(1, 8), st.integers(1, 8), st.floats(0.0, 1.5))
    def test_exchange_of_the_ensembles(self, n1, n2, r):
        """Exchanging N1 and N2 exchanges <Z1> and <Z2> and nothing else."""
        one, other = prepare(n1, n2, r, [0.4]), prepare(n2, n1, r, [0.4])
        np.testing.assert_allclose(one.z1, other.z2, rtol=1e-9)
        np.testing.assert_allclose(one.x_plus_square, other.x_plus_square, rtol=1e-9)

    @settings(max_examples=20, deadline=None)
    @given(
        st.lists(st.floats(0.2, 3.0), min_size=1, max_size=5).map(lambda o: [0.0, *o]),
        st.floats(0.05, 1.2),
    )
    def test_any_ladder_is_stabilised(self, elements, r):
        """|psi(r)> is the steady state for any matrix elements (Sec. VII)."""
        sector = ChargeSector(squeezing_jumps(elements, elements, r))
        vector = steady_vector(sector.liouvillian, sector.trace)
        amplitudes = two_mode_amplitudes(len(elements) - 1, r)
        assert sector.fidelity(vector, amplitudes) == pytest.approx(1.0, abs=1e-9)
        o = np.array(elements)
        at = sector.evolution(vector[None, :], np.array([math.inf]), (o, o))
        exact = two_mode_squeezed(elements, r)
        assert at.x_minus_square[0] == pytest.approx(exact.antisqueezed_variance, rel=1e-7)

    def test_order_and_repeats_of_times(self):
        """Times may come unsorted, repeated, or zero."""
        at = prepare(3, 3, 0.8, [0.5, 0.0, 2.0, 0.5])
        once = prepare(3, 3, 0.8, [0.5])
        np.testing.assert_allclose(at.xi2[[0, 3]], once.xi2[0], rtol=1e-10)
        assert at.xi2[1] == pytest.approx(1.0)
        assert at.purity[1] == pytest.approx(1.0)


class TestUnequal:
    def test_best_squeezing(self):
        """9 + 11 atoms: r = 0.85, xi^2 = 0.284."""
        r, xi2 = best_squeezing(9, 11)
        assert r == pytest.approx(0.847, abs=2e-3)
        assert xi2 == pytest.approx(0.284, abs=5e-4)


class TestSizes:
    @pytest.mark.parametrize("spin", [5, 10])
    def test_long_relaxation_reaches_the_closed_form(self, spin):
        """All-down relaxes to |psi(r)> to 1e-9, also where the problem is stiff."""
        for r in (0.75, 2.0):
            at = prepare(2 * spin, 2 * spin, r, [500.0])
            exact = two_mode_squeezed_spins(spin, r)
            assert at.xi2[0] == pytest.approx(exact.xi2, rel=1e-9)
            assert at.purity[0] == pytest.approx(1.0, abs=1e-9)

    def test_stiffest(self):
        """At r = 3 the documented accuracy holds from S = 1/2 to 5 after a very long time."""
        for atoms in (1, 4, 10):
            at = prepare(atoms, atoms, 3.0, [1e5])
            exact = two_mode_squeezed_spins(atoms / 2, 3.0)
            assert at.xi2[0] == pytest.approx(exact.xi2, rel=1e-4)
            assert at.x_minus_square[0] == pytest.approx(exact.antisqueezed_variance, rel=1e-7)

    @pytest.mark.slow
    def test_cost(self):
        """S = 5 and 10 within 0.3 and 3 s of processor time, whatever else the machine does."""
        for spin, limit in ((5, 0.3), (10, 3.0)):
            began = time.process_time()
            prepare(2 * spin, 2 * spin, 1.0, [0.5, 1.0, 2.0, 4.0])
            assert time.process_time() - began < limit


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: prepare(0, 3, 1.0, [1.0]), "`atoms1` must be a whole number"),
            (lambda: prepare(3, 2.5, 1.0, [1.0]), "`atoms2` must be a whole number"),
            (lambda: prepare(3, 3, 1.0, [-1.0]), "`times` must not be negative"),
            (lambda: prepare(300, 300, 1.0, [1.0]), "`atoms1`, `atoms2` must keep the sector"),
            (lambda: prepare(3, 3, 4.1, [1.0]), "`squeezing` must not exceed 4 in exact.*4.1"),
            (lambda: best_squeezing(4, 4), "`atoms1` and `atoms2` must differ"),
            (
                lambda: PairedJumps([0, 1.0], [0, 1.0, 2.0], [0, 1.0], [0, 1.0]),
                "`raise1` must have as many entries",
            ),
            (lambda: PairedJumps([1.0, 1.0], [0, 1.0], [0, 1.0], [0, 1.0]), "`lower1` must be"),
        ],
    )
    def test_bad_input(self, call, message):
        """Each refusal names the argument, the rule and the value."""
        with pytest.raises(ValueError, match=message):
            call()
