"""Local noise, exact and in mean field: references, brute force, limits, refusals."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models.two_mode_squeezing import two_mode_squeezed_spins
from cavitylab.models.two_mode_squeezing_dynamics import prepare
from cavitylab.models.two_mode_squeezing_local_noise import (
    LocalNoiseSector,
    local_noise_steady_state,
    prepare_with_local_noise,
)
from cavitylab.models.two_mode_squeezing_mean_field import (
    LocalNoise,
    collective_cooperativity,
    mean_field_best_time,
    mean_field_evolution,
    mean_field_optimum,
    mean_field_steady_state,
    squeezing_at_fixed_power,
    squeezing_from_dephasing,
    squeezing_from_relaxation,
)
from cavitylab.models.two_mode_squeezing_propagation import evolve_vector, evolve_vector_gently

ORACLES = json.loads(Path(__file__).with_name("oracles_two_mode.json").read_text(encoding="utf-8"))[
    "cases"
]


def cases(function):
    return [
        pytest.param(case, id=f"{case['id']}_{number}")
        for number, case in enumerate(ORACLES)
        if case["function"] == function
    ]


def check(case, **values):
    for name, expected in case["outputs"].items():
        np.testing.assert_allclose(values[name], expected, rtol=case["rtol"], err_msg=name)


def atom_by_atom(n1, n2, r, relaxation, dephasing, t):
    """xi^2, <X+^2>, <X-^2>, <Z1>, <Z2> from the master equation on 2^N states."""
    atoms = n1 + n2
    one = qutip.qeye(2)

    def at(op, j):
        return qutip.tensor([op if i == j else one for i in range(atoms)])

    lower = qutip.sigmam()  # basis(2, 0) is up
    o1 = sum(at(lower, j) for j in range(n1))
    o2 = sum(at(lower, j) for j in range(n1, atoms))
    jumps = [
        math.cosh(r) * o1 + math.sinh(r) * o2.dag(),
        math.cosh(r) * o2 + math.sinh(r) * o1.dag(),
    ]
    jumps += [math.sqrt(relaxation) * at(lower, j) for j in range(atoms) if relaxation]
    jumps += [math.sqrt(dephasing) * at(qutip.sigmaz(), j) for j in range(atoms) if dephasing]
    start = qutip.tensor([qutip.basis(2, 1)] * atoms)
    options = {"atol": 1e-13, "rtol": 1e-11, "nsteps": 100_000, "method": "adams"}
    rho = qutip.mesolve(0 * o1, start, [0, t], c_ops=jumps, options=options).states[-1]
    x1, x2 = (o1 + o1.dag()) / 2, (o2 + o2.dag()) / 2
    z1, z2 = (o1.dag() * o1 - o1 * o1.dag()) / 2, (o2.dag() * o2 - o2 * o2.dag()) / 2
    wanted = [(x1 + x2) ** 2, (x1 - x2) ** 2, z1, z2]
    return [float(np.real(qutip.expect(o, rho))) for o in wanted] + [rho.purity()]


def figures(result):
    names = ("x_plus_square", "x_minus_square", "z1", "z2", "purity")
    return [getattr(result, name)[0] for name in names]


class TestExact:
    @pytest.mark.parametrize("case", cases("local_noise"))
    def test_references(self, case):
        """Transients and a steady state."""
        i = case["inputs"]
        n, noise = (
            i["n_per_ensemble"],
            {
                "relaxation": i["gamma_minus"],
                "dephasing": i["gamma_z"],
            },
        )
        if i["t"] is None:
            at = local_noise_steady_state(n, n, i["r"], **noise)
        else:
            at = prepare_with_local_noise(n, n, i["r"], [i["t"]], **noise)
        check(case, xi2=at.xi2[0], Zsum=at.z1[0] + at.z2[0], Xp2=at.x_plus_square[0])

    @pytest.mark.parametrize(
        "parameters",
        [(1, 1, 0.7, 0.4, 0.2, 0.6), (2, 1, 0.5, 0.3, 0.0, 0.5), (1, 3, 0.4, 0.0, 0.25, 0.4)],
    )
    def test_against_every_atom(self, parameters):
        """Equals the master equation on 2^N states, equal and unequal ensembles."""
        n1, n2, r, relaxation, dephasing, t = parameters
        at = prepare_with_local_noise(n1, n2, r, [t], relaxation=relaxation, dephasing=dephasing)
        np.testing.assert_allclose(figures(at), atom_by_atom(*parameters), rtol=1e-8, atol=1e-9)

    @settings(max_examples=15, deadline=None)
    @given(st.integers(1, 6), st.integers(1, 6), st.floats(0.0, 1.5), st.floats(1e-3, 3.0))
    def test_without_noise_it_is_the_collective_problem(self, n1, n2, r, t):
        """Bosons and Dicke states, two independent codes, agree."""
        ours, collective = prepare_with_local_noise(n1, n2, r, [t]), prepare(n1, n2, r, [t])
        np.testing.assert_allclose(figures(ours), figures(collective), rtol=1e-9, atol=1e-10)

    @settings(max_examples=15, deadline=None)
    @given(
        st.integers(1, 5),
        st.integers(1, 5),
        st.floats(0.0, 1.0),
        st.floats(0.0, 2.0),
        st.floats(0.0, 1.0),
    )
    def test_trace_and_bounds(self, n1, n2, r, relaxation, dephasing):
        """Trace 1, purity and uncertainty relation."""
        sector = LocalNoiseSector(n1, n2)
        generator = sector.liouvillian(r, relaxation, dephasing)
        vectors = evolve_vector(generator, sector.start, [0.3])
        assert vectors[0] @ sector.trace == pytest.approx(1.0, abs=1e-10)
        at = sector.evolution(vectors, np.array([0.3]))
        assert 0.0 < at.purity[0] <= 1.0 + 1e-10
        length = at.z1[0] + at.z2[0]
        assert at.x_plus_square[0] * at.x_minus_square[0] >= 0.25 * length**2 - 1e-9

    def test_relaxation_alone(self):
        """At r = 0 all atoms stay down, whatever the local relaxation."""
        at = prepare_with_local_noise(3, 3, 0.0, [1.0], relaxation=0.7, dephasing=0.3)
        assert at.xi2[0] == pytest.approx(1.0, abs=1e-11)
        assert at.purity[0] == pytest.approx(1.0, abs=1e-11)

    def test_dimensions(self):
        """26, 195, 820 elements at N = 4, 8, 12."""
        sizes = [LocalNoiseSector(n, n).orbits.class_of.size for n in (2, 4, 6)]
        assert sizes == [26, 195, 820]

    @pytest.mark.slow
    def test_larger_numbers(self):
        """N = 24: the two ways of evolving agree to 1e-10."""
        sector = LocalNoiseSector(12, 12)
        generator = sector.liouvillian(0.9, 0.3, 0.1)
        one = evolve_vector(generator, sector.start, [0.1, 0.5])
        other = evolve_vector_gently(generator, sector.start, [0.1, 0.5])
        np.testing.assert_allclose(one, other, atol=1e-10)


class TestMeanField:
    @pytest.mark.parametrize("case", cases("mf_steady"))
    def test_steady_references(self, case):
        """Steady states, with and without relaxation."""
        i = case["inputs"]
        n = i["n_per_ensemble"]
        at = mean_field_steady_state(LocalNoise(n, n, i["r"], i["gamma_minus"], i["gamma_z"]))
        check(case, xi2=at.xi2, Zsum=at.z1 + at.z2, Xp2=at.x_plus_square)

    @pytest.mark.parametrize("case", cases("mf_evolve"))
    def test_transient_references(self, case):
        """A transient with dephasing."""
        i = case["inputs"]
        n = i["n_per_ensemble"]
        noise = LocalNoise(n, n, i["r"], i["gamma_minus"], i["gamma_z"])
        at = mean_field_evolution(noise, [i["t"]])[0]
        check(case, xi2=at.xi2, Zsum=at.z1 + at.z2, Xp2=at.x_plus_square)

    @pytest.mark.parametrize("case", cases("coop_limit"))
    def test_limit_references(self, case):
        """Closed limits of many atoms."""
        i = case["inputs"]
        if "C_rel" in i:
            check(case, xi2=squeezing_from_relaxation(i["C_rel"]))
        else:
            check(case, xi2=squeezing_from_dephasing(i["C_phi"]))

    @pytest.mark.parametrize(
        "noise",
        [
            LocalNoise(500, 500, 1.9, 10.0),
            LocalNoise(300, 200, 1.0, 3.0, 0.5),
            LocalNoise(80, 120, 0.5),
        ],
    )
    def test_steady_state_is_the_end_of_the_evolution(self, noise):
        """The bracketed root and the integration meet."""
        root, late = mean_field_steady_state(noise), mean_field_evolution(noise, [0.0, 40.0])
        assert late[1].x_plus_square == pytest.approx(root.x_plus_square, rel=1e-7)
        assert late[1].x_minus_square == pytest.approx(root.x_minus_square, rel=1e-7)
        assert (late[1].z1, late[1].z2) == pytest.approx((root.z1, root.z2), rel=1e-8)
        assert late[0].xi2 == pytest.approx(1.0)

    @settings(max_examples=40, deadline=None)
    @given(st.integers(500, 10**6), st.floats(0.0, 0.5))
    def test_agrees_with_the_exact_state_while_weak(self, n, r):
        """Relative error below 5 e^{2r}/N against the exact clean steady state."""
        at, exact = mean_field_steady_state(LocalNoise(n, n, r)), two_mode_squeezed_spins(n / 2, r)
        assert at.xi2 == pytest.approx(exact.xi2, rel=5 * math.exp(2 * r) / n)

    def test_clean_floor(self):
        """Its best clean Wineland parameter is 9.90/(N+4), 3.3 times too high."""
        best = mean_field_optimum(50_000, 50_000)
        assert best.xi2 * 100_004 == pytest.approx(9.90, abs=5e-3)
        assert math.exp(2 * best.squeezing) == pytest.approx(1.095 * 25_000, rel=3e-3)

    @pytest.mark.parametrize(("c", "xi2"), [(10, 0.1768), (100, 0.0264), (1000, 0.00536)])
    def test_relaxation_at_ten_thousand_atoms(self, c, xi2):
        """Mamaev Fig. 3a at N = 1e4."""
        assert mean_field_optimum(5000, 5000, 1e4 / c).xi2 == pytest.approx(xi2, rel=2e-3)

    @pytest.mark.parametrize("c", [1.0, 10.0])
    def test_relaxation_limit(self, c):
        """For many atoms the best steady state tends to 1/(1 + C/2), no threshold at C = 1."""
        n = 5 * 10**7
        best = mean_field_optimum(n, n, 2 * n / c)
        assert best.xi2 == pytest.approx(squeezing_from_relaxation(c), rel=1e-3)

    @pytest.mark.slow
    def test_dephasing_limit(self):
        """C = 10 at N = 1e6: 0.447 against 1/(1 + C/8) = 0.444."""
        best = mean_field_optimum(500_000, 500_000, dephasing=1e5)
        assert best.xi2 == pytest.approx(0.447, abs=1e-3)
        assert best.xi2 == pytest.approx(squeezing_from_dephasing(10.0), rel=7e-3)

    def test_best_time(self):
        """With dephasing the squeezing is a transient: earlier and later is worse."""
        noise = LocalNoise(500, 500, 1.0, 0.0, 1.0)
        best = mean_field_best_time(noise)
        around = mean_field_evolution(noise, [0.5 * best.time, 2.0 * best.time])
        assert best.xi2 < min(at.xi2 for at in around)

    def test_unequal_ensembles_squeeze_less(self):
        """950 + 1050 atoms have a finite best r and less squeezing than 1000 + 1000."""
        unequal, equal = mean_field_optimum(950, 1050), mean_field_optimum(1000, 1000)
        assert unequal.xi2 > 2.0 * equal.xi2
        assert unequal.squeezing < equal.squeezing

    def test_fixed_power(self):
        """C0 = 10, 100, 1000 give 0.408, 0.140, 0.0447."""
        found = [squeezing_at_fixed_power(c) for c in (10, 100, 1000)]
        np.testing.assert_allclose(found, [0.408, 0.140, 0.0447], rtol=3e-3)
        assert collective_cooperativity(1000, 0.2, 4.0) == pytest.approx(50.0)


class TestRefusals:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda: local_noise_steady_state(2, 2, 0.5), "must not both be 0"),
            (lambda: prepare_with_local_noise(21, 2, 0.5, [1]), "must not exceed 20.*21"),
            (
                lambda: prepare_with_local_noise(2, 2, 0.5, [1], relaxation=-1),
                "`relaxation` must not be negative",
            ),
            (lambda: LocalNoise(2, 0, 1.0), "`atoms2` must be a whole number"),
            (lambda: LocalNoise(2, 2, 11.0), "`squeezing` must not exceed 10"),
            (
                lambda: mean_field_steady_state(LocalNoise(2, 2, 1.0, 0.0, 0.3)),
                "`relaxation` must be above zero",
            ),
            (lambda: squeezing_from_relaxation(-1.0), "`cooperativity` must not be negative"),
        ],
    )
    def test_bad_input(self, call, message):
        """Each refusal names the argument, the rule and the value."""
        with pytest.raises(ValueError, match=message):
            call()
