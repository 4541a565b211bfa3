"""Many ensembles at finite N: exact uniform states and ladders."""

import math
import time
from decimal import Decimal, getcontext

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models.multi_ensemble_superradiance import CoupledEnsembles, operating_point
from cavitylab.models.multi_ensemble_superradiance_dark import dark_state
from cavitylab.models.multi_ensemble_superradiance_exact import evolve_exact, exact_steady_state
from cavitylab.models.multi_ensemble_superradiance_uniform import (
    barrier,
    best_curvature_estimate,
    best_uniform_curvature,
    uniform_dark_state,
    uniform_dark_state_at_curvature,
    uniform_expansion,
    uniform_squeezing_matrix,
)


def ensembles_of(inputs):
    return CoupledEnsembles.from_atom_numbers(inputs["N_k"], inputs["eta"], inputs["Gamma"])


def spin_operators(numbers):
    """S^x, S^y, S^z of each ensemble on the product of symmetric spaces, as QuTiP objects."""
    ones = [qutip.qeye(n + 1) for n in numbers]
    return {
        axis: [
            qutip.tensor(*ones[:k], qutip.jmat(n / 2, axis), *ones[k + 1 :])
            for k, n in enumerate(numbers)
        ]
        for axis in "xyz-"
    }


def collective(spins, axis, eta):
    return sum(e * s for e, s in zip(eta, spins[axis], strict=True))


def brute_force(ensembles, theta, times, drive):
    """Master equation of Shen Eq. 1 in the laboratory frame, by a general solver."""
    numbers = [round(n) for n in ensembles.atom_numbers]
    spins = spin_operators(numbers)
    ground = qutip.tensor(*[qutip.basis(n + 1, n) for n in numbers])
    swing = collective(spins, "x", ensembles.eta)
    decay = math.sqrt(ensembles.collective_decay) * collective(spins, "-", ensembles.eta)
    start = qutip.ket2dm((-1j * theta * swing).expm() * ground)
    options = {"atol": 1e-13, "rtol": 1e-11, "nsteps": 10**6}
    result = qutip.mesolve(drive * swing, start, [0.0, *times], [decay], options=options)
    return spins, result.states[1:]


class TestUniform:
    def test_reference_states(self, reference):
        """From ten to a million atoms; ln Z included."""
        _, expected, tol = reference("S11")
        for row in expected["rows"]:
            state = uniform_dark_state_at_curvature(row["N"], row["K"])
            found = {
                "Sy": state.spin_y,
                "Sz": state.spin_z,
                "var_Sx": state.variance_x,
                "length": state.length,
                "xi2": state.xi2,
                "ln_Z": state.log_norm,
            }
            for key, value in found.items():
                assert value == pytest.approx(row[key], **tol), (row["N"], row["K"], key)

    def test_best_curvature(self, reference):
        """Least steady-state squeezing against atom number (Fig. 3b)."""
        _, expected, tol = reference("S12")
        for row in expected["rows"]:
            best = best_uniform_curvature(row["N"])
            assert best.curvature == pytest.approx(row["K_opt"], rel=tol["K_opt_rel"])
            assert best.xi2 == pytest.approx(row["xi2_opt"], rel=tol["xi2_opt_rel"])

    def test_expansion(self, reference):
        """Large-N formula beside the exact value."""
        inputs, expected, tol = reference("S25")
        for (n, k), formula, exact in zip(
            inputs["points"], expected["xi2_formula"], expected["xi2_exact"], strict=True
        ):
            assert uniform_expansion(n, k).xi2 == pytest.approx(formula, **tol)
            assert uniform_dark_state_at_curvature(n, k).xi2 == pytest.approx(exact, **tol)

    def test_a_million_atoms_in_a_fifth_of_a_second(self):
        """At the best curvature, where every level counts (measured: 0.01 s)."""
        fastest = math.inf
        for _ in range(3):
            start = time.perf_counter()
            uniform_dark_state_at_curvature(10**6, 0.0288)
            fastest = min(fastest, time.perf_counter() - start)
        assert fastest < 0.2

    @pytest.mark.parametrize(("n", "curvature"), [(1, 0.4), (2, 0.9), (7, 0.3), (14, 0.6)])
    def test_against_the_null_vector_of_the_liouvillian(self, n, curvature):
        """Brute force in the symmetric space."""
        spins = spin_operators([n])
        drive = 0.5 * n * math.sqrt(1.0 - curvature**2)
        rho = qutip.steadystate(drive * spins["x"][0], [spins["-"][0]], method="direct")
        state = uniform_dark_state_at_curvature(n, curvature)
        assert state.spin_y == pytest.approx(qutip.expect(spins["y"][0], rho), abs=1e-9)
        assert state.spin_z == pytest.approx(qutip.expect(spins["z"][0], rho), abs=1e-9)
        assert state.variance_x == pytest.approx(qutip.expect(spins["x"][0] ** 2, rho), abs=1e-9)
        jump = spins["-"][0] + 1j * drive
        assert state.photon_number == pytest.approx(
            qutip.expect(jump.dag() * jump, rho), rel=1e-6, abs=1e-10
        )

    @pytest.mark.parametrize(
        ("n", "curvature"),
        [(60, 0.1), (60, 0.999), (400, 0.25), (400, 0.7), (3000, 0.15), (3000, 0.5)],
    )
    def test_against_fifty_digits(self, n, curvature):
        """The recursion in decimal arithmetic, without the closed forms."""
        getcontext().prec = 50
        state = uniform_dark_state_at_curvature(n, curvature)
        omega2 = Decimal(state.drive_ratio) ** 2
        half = Decimal(n) / 2
        r, total, mean, square = Decimal(1), Decimal(1), half, half * half
        for i in range(n - 1, -1, -1):
            r = 1 + (i + 1) * (n - i) * r / omega2
            m = i - half
            total += r
            mean += m * r
            square += m * m * r
        spin_z, spin_z2 = mean / total, square / total
        spin_y = (half * (half + 1) - spin_z2 + spin_z) / omega2.sqrt()
        log_norm = (total / omega2).ln()
        extra = half * (half + 1) * (2 * half + 1) / (3 * total)
        assert state.spin_z == pytest.approx(float(spin_z), rel=1e-12)
        assert state.spin_y == pytest.approx(float(spin_y), rel=1e-12)
        assert state.log_norm == pytest.approx(float(log_norm), rel=1e-12, abs=1e-12)
        assert state.variance_x == pytest.approx(float(extra - spin_z / 2), rel=1e-12)
        other = omega2.sqrt() - (n + 1) * omega2.sqrt() / total
        assert state.spin_y == pytest.approx(float(other), rel=1e-12)

    def test_both_methods_meet_where_the_well_gets_deep(self):
        """Barrier just above and below 50: no step in any moment."""
        edge = [k for k in np.linspace(0.088, 0.094, 13) if abs(barrier(10**5, k) - 50.0) < 6.0]
        assert len(edge) > 5
        values = [uniform_dark_state_at_curvature(10**5, k).xi2 / k for k in edge]
        assert np.abs(np.diff(values, 8)).max() < 5e-12  # a step would show 35-fold

    def test_ten_billion_atoms(self):
        """A deep, narrow well costs the square root of N; the expansion agrees."""
        state, formula = (
            uniform_dark_state_at_curvature(10**10, 0.3),
            uniform_expansion(10**10, 0.3),
        )
        assert state.xi2 == pytest.approx(formula.xi2, rel=1e-10)
        assert state.log_norm == pytest.approx(formula.log_norm, rel=1e-10)
        assert state.length == pytest.approx(formula.length, rel=1e-12)

    def test_limits(self):
        """No drive: the ground state. Overwhelming drive: all levels alike."""
        ground = uniform_dark_state_at_curvature(30, 1.0)
        assert (ground.xi2, ground.spin_z, ground.photon_number) == (1.0, -15.0, 0.0)
        mixed = uniform_dark_state(30, 1e9)
        assert mixed.variance_x == pytest.approx(30 * 32 / 12)
        assert uniform_dark_state(1, 1e-9).spin_z == pytest.approx(-0.5)

    @settings(max_examples=60, deadline=None)
    @given(st.integers(1, 3000), st.floats(1e-3, 3.0))
    def test_moments_obey_the_uncertainty_relation(self, n, relative):
        """Var S^x Var S^y >= <S^z>^2/4 with Var S^y bounded by the total; lengths fit."""
        state = uniform_dark_state(n, 0.5 * n * relative)
        assert 0.0 < state.length <= 0.5 * n * (1 + 1e-12)
        total = 0.25 * n * (n + 2.0)
        assert 0.0 < state.variance_x < total
        rest = total - state.variance_x - state.length**2
        assert state.variance_x * rest >= 0.25 * state.spin_z**2 * (1 - 1e-9)

    def test_the_split_does_not_matter(self):
        """Same least eigenvalue for any fractions and signs, along sign sqrt(p)."""
        state = uniform_dark_state_at_curvature(60, 0.5)
        for p, signs in (((0.3, 0.7), None), ((0.2, 0.3, 0.5), (1, -1, 1))):
            matrix = uniform_squeezing_matrix(state, p, signs)
            e = np.sqrt(p) * (1.0 if signs is None else np.array(signs))
            np.testing.assert_allclose(matrix @ e, state.xi2 * e, rtol=1e-12)
            assert np.linalg.eigvalsh(matrix)[0] == pytest.approx(state.xi2)

    def test_estimate_of_the_best_curvature(self):
        """The cube-root law with its logarithm, as good as stated."""
        assert best_curvature_estimate(10**6) == pytest.approx(0.02884, rel=5e-3)
        assert best_curvature_estimate(100) == pytest.approx(0.40835, rel=0.1)


class TestLadders:
    @pytest.mark.parametrize("name", ["S13", "S14", "S17"])
    def test_reference_trajectories(self, name, reference):
        """Uniform, driven unequal and undriven unequal pairs."""
        inputs, expected, tol = reference(name)
        history = evolve_exact(
            ensembles_of(inputs), inputs["theta"], inputs["times"], inputs.get("Omega")
        )
        for moments, matrix, least in zip(
            history, expected["Xi2"], expected["min_eig"], strict=True
        ):
            np.testing.assert_allclose(moments.squeezing_matrix, matrix, atol=tol["abs"])
            assert moments.smallest_eigenvalue == pytest.approx(least, **tol)
            assert moments.leakage == 0.0

    def test_the_plateau_is_not_the_steady_state(self, reference):
        """Driven and unequal: the true steady state differs, the Gaussian one is the plateau."""
        inputs, expected, tol = reference("S14")
        ensembles = ensembles_of(inputs)
        steady = exact_steady_state(ensembles, inputs["Omega"])
        np.testing.assert_allclose(
            steady.squeezing_matrix, expected["true_steady_state_Xi2"], atol=tol["abs"]
        )
        assert steady.smallest_eigenvalue == pytest.approx(
            expected["true_steady_state_min_eig"], **tol
        )
        assert steady.purity == pytest.approx(expected["true_steady_state_purity"], **tol)
        gaussian = dark_state(ensembles, inputs["theta"])
        np.testing.assert_allclose(gaussian.covariance_x, expected["gaussian_Gamma_x"], atol=1e-6)
        assert gaussian.smallest_eigenvalue == pytest.approx(expected["gaussian_lambda_min"], **tol)

    def test_undriven_gaussian_limit(self, reference):
        """The reference's Gaussian value at the undriven well."""
        inputs, expected, tol = reference("S17")
        state = dark_state(ensembles_of(inputs), inputs["theta"])
        assert state.smallest_eigenvalue == pytest.approx(expected["gaussian_lambda_min"], **tol)

    @pytest.mark.parametrize(
        ("numbers", "eta", "theta", "detune"),
        [
            ((3, 2), (1.0, -0.6), 0.8, 1.0),
            ((2, 3), (1.0, 0.5), 2.5, 0.7),
            ((2, 1, 2), (1, -0.7, 0), 1.1, 1.2),
        ],
    )
    def test_against_brute_force(self, numbers, eta, theta, detune):
        """Local ladders and the laboratory frame agree, mismatched drives included."""
        ensembles = CoupledEnsembles.from_atom_numbers(numbers, eta, 1.3)
        drive = (
            detune
            * 1.3
            * 0.5
            * ensembles.atoms
            * float((ensembles.p * ensembles.eta) @ np.sin(ensembles.eta * theta))
        )
        times = [0.15, 0.9]
        spins, states = brute_force(ensembles, theta, times, drive)
        history = evolve_exact(ensembles, theta, times, drive)
        for moments, rho in zip(history, states, strict=True):
            for k in range(len(numbers)):
                mean = [qutip.expect(spins[axis][k], rho) for axis in "xyz"]
                np.testing.assert_allclose(moments.mean_spins[k], mean, atol=1e-8)
                for j in range(len(numbers)):
                    product = qutip.expect(spins["x"][k] * spins["x"][j], rho)
                    assert moments.covariance_x[k, j] == pytest.approx(product.real, abs=1e-8)
            assert moments.purity == pytest.approx(rho.purity(), abs=1e-8)
            jump = collective(spins, "-", eta) + 1j * drive / 1.3
            light = 1.3 * qutip.expect(jump.dag() * jump, rho)
            assert moments.photon_rate == pytest.approx(light, abs=1e-7)

    def test_true_steady_state_against_brute_force(self):
        """(A^dag A)^-1/Z is the null vector of the Liouvillian."""
        ensembles = CoupledEnsembles.from_atom_numbers((3, 2), (1.0, -0.6), 1.3)
        spins = spin_operators([3, 2])
        jump = math.sqrt(1.3) * collective(spins, "-", ensembles.eta)
        rho = qutip.steadystate(1.7 * collective(spins, "x", ensembles.eta), [jump])
        steady = exact_steady_state(ensembles, 1.7)
        for k in range(2):
            mean = [qutip.expect(spins[axis][k], rho) for axis in "xyz"]
            np.testing.assert_allclose(steady.mean_spins[k], mean, atol=1e-9)
            square = qutip.expect(spins["x"][k] ** 2, rho)
            assert steady.covariance_x[k, k] == pytest.approx(square, abs=1e-9)
        assert steady.purity == pytest.approx(rho.purity(), abs=1e-9)

    def test_uniform_ensembles_end_in_the_single_spin_state(self):
        """Product of two ladders and the recursion for one spin: two exact paths."""
        ensembles = CoupledEnsembles.from_atom_numbers((4, 6), (1.0, -1.0))
        point = operating_point(ensembles, 0.45)
        (last,) = evolve_exact(ensembles, point.theta, [80.0])
        single = uniform_dark_state_at_curvature(10, 0.45)
        matrix = uniform_squeezing_matrix(single, (0.4, 0.6), (1, -1))
        np.testing.assert_allclose(last.squeezing_matrix, matrix, atol=1e-9)
        assert last.photon_rate == pytest.approx(single.photon_number, rel=1e-8)

    def test_truncated_ladders_reach_the_gaussian_limit(self):
        """N = 1000, K = 0.6: 2e-6, then 2e-8 in the last level, and the limit to O(1/N)."""
        ensembles = CoupledEnsembles((0.5, 0.5), (1.0, 0.6), 1000)
        point = operating_point(ensembles, 0.6)
        times = [12 / point.relaxation_rate, 20 / point.relaxation_rate]
        short = evolve_exact(ensembles, point.theta, times, levels=[10, 10], leakage_limit=1e-5)
        assert short[0].smallest_eigenvalue == pytest.approx(0.567085, abs=3e-5)
        more = evolve_exact(ensembles, point.theta, times, levels=[14, 14])
        assert more[0].smallest_eigenvalue == pytest.approx(0.566948, abs=2e-6)
        assert more[1].smallest_eigenvalue == pytest.approx(0.56668, abs=5e-6)
        gaussian = dark_state(ensembles, point.theta).covariance_x
        assert np.abs(more[1].squeezing_matrix - gaussian).max() < 1.2e-3

    def test_a_ladder_that_is_too_short_is_refused(self):
        """Population in the last level is never passed over."""
        ensembles = CoupledEnsembles((0.5, 0.5), (1.0, 0.6), 100)
        theta = operating_point(ensembles, 0.4).theta
        with pytest.raises(ValueError, match="`levels` must hold the state, but with"):
            evolve_exact(ensembles, theta, [0.5], levels=[4, 4])

    @pytest.mark.slow
    def test_drift_off_the_plateau(self):
        """24 atoms at K = 0.6 drift away within 40/Gamma; at K = 0.9 they stay."""
        for curvature, values, steady in (
            (0.6, {0.5: 0.634, 5.0: 0.669, 40.0: 0.684}, 0.671),
            (0.9, {1.0: 0.891, 40.0: 0.891}, 0.9036),
        ):
            ensembles = CoupledEnsembles((0.5, 0.5), (1.0, 0.6), 24)
            point = operating_point(ensembles, curvature)
            history = evolve_exact(ensembles, point.theta, list(values))
            for moments, expected in zip(history, values.values(), strict=True):
                assert moments.smallest_eigenvalue == pytest.approx(expected, abs=6e-4)
            true = exact_steady_state(ensembles, point.drive)
            assert true.smallest_eigenvalue == pytest.approx(steady, abs=6e-4)

    @pytest.mark.slow
    def test_three_ensembles_of_four_hundred_atoms(self):
        """729 states: the plateau of p = (.25, .25, .5), eta = (1, -.8, .6) at K = 0.6."""
        ensembles = CoupledEnsembles((0.25, 0.25, 0.5), (1.0, -0.8, 0.6), 400)
        point = operating_point(ensembles, 0.6)
        (moments,) = evolve_exact(
            ensembles,
            point.theta,
            [18 / point.relaxation_rate],
            levels=[9, 9, 9],
            leakage_limit=1e-5,
        )
        assert moments.smallest_eigenvalue == pytest.approx(0.56172, abs=1e-4)


GOOD = CoupledEnsembles((0.5, 0.5), (1.0, 0.6), 10)
UNEVEN = CoupledEnsembles((1 / 3, 2 / 3), (1.0, 0.6), 10)
MANY = CoupledEnsembles((0.5, 0.5), (1.0, 0.6), 10**4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniform_dark_state(10, -1.0), "`drive_ratio` must not be negative.* -1.0"),
        (lambda: uniform_dark_state(10, 1e-200), "`drive_ratio` must be 0 or at least 1e-100"),
        (lambda: uniform_dark_state(10**15, 1.0), "`atoms` must not exceed 1000000000000"),
        (lambda: uniform_dark_state_at_curvature(10**9, 1e-4), "`atoms` must not exceed 100000000"),
        (lambda: uniform_dark_state_at_curvature(10, -0.1), r"`curvature` must lie in \(0, 1\]"),
        (lambda: uniform_expansion(19, 0.5), "`atoms` must be a whole number of at least 20"),
        (lambda: uniform_expansion(50, 1.0), r"`curvature` must lie in \(0, 1\) here"),
        (lambda: uniform_squeezing_matrix(_STATE, [0.5, 0.4]), "`fractions` must be above zero"),
        (lambda: uniform_squeezing_matrix(_STATE, [1.0], [2.0]), r"`signs` must hold \+1 and -1"),
        (lambda: evolve_exact(UNEVEN, 0.5, [1.0]), "`fractions` must give whole atom numbers"),
        (lambda: evolve_exact(GOOD, 0.5, [-1.0]), "`times` must be ascending from 0"),
        (lambda: evolve_exact(GOOD, 0.5, [1.0], levels=[3]), "`levels` must hold 2 numbers"),
        (lambda: evolve_exact(MANY, 0.5, [1.0], levels=[99, 99]), "`levels` must give at most"),
        (lambda: exact_steady_state(GOOD, 0.0), "`drive` must not be 0 for a unique"),
        (
            lambda: exact_steady_state(CoupledEnsembles((0.5, 0.5), (1, -1), 10), 1.0),
            "`ensembles` must have couplings of different sizes",
        ),
        (
            lambda: exact_steady_state(CoupledEnsembles((0.5, 0.5), (1, 0), 10), 1.0),
            "`ensembles` must have no coupling of zero",
        ),
    ],
)
def test_bad_input_is_refused_with_argument_rule_and_value(call, message):
    """Each refusal names the argument, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        call()


_STATE = uniform_dark_state_at_curvature(10, 0.5)
