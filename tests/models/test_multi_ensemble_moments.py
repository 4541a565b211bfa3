"""Many ensembles at finite N: best hold times, moments along ramps and local decay."""

import math

import numpy as np
import pytest
import qutip

from cavitylab.models.multi_ensemble_superradiance import CoupledEnsembles, operating_point
from cavitylab.models.multi_ensemble_superradiance_dark import dark_state, relax
from cavitylab.models.multi_ensemble_superradiance_exact import evolve_exact
from cavitylab.models.multi_ensemble_superradiance_moments import DriveProfile, evolve_moments
from cavitylab.models.multi_ensemble_superradiance_preparation import (
    best_hold,
    best_uniform_preparation,
)
from cavitylab.models.multi_ensemble_superradiance_uniform import (
    best_uniform_curvature,
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


class TestHoldTimes:
    @pytest.mark.parametrize(
        ("n", "curvature", "xi2", "relaxations"),
        [
            (100, 0.4, 0.4115, 6.1),
            (100, 0.3, 0.4201, 2.9),
            (100, 0.2, 0.5755, 1.3),
            (50, 0.4, 0.4806, 3.6),
        ],
    )
    def test_a_finite_hold_beats_the_steady_state(self, n, curvature, xi2, relaxations):
        """Least xi2 over the hold, and when."""
        best = best_hold(n, curvature, 2.0)
        assert best.xi2 == pytest.approx(xi2, abs=3e-4)
        assert best.relaxations == pytest.approx(relaxations, abs=0.1)
        assert best.hold_time == pytest.approx(best.relaxations / (2.0 * n * curvature))
        assert best.xi2 < best.steady_xi2

    def test_the_joint_optimum_lies_below_both(self):
        """Curvature and hold searched together."""
        joint = best_uniform_preparation(30)
        assert joint.xi2 < best_uniform_curvature(30).xi2
        for factor in (0.97, 1.03):
            assert best_hold(30, factor * joint.curvature).xi2 > joint.xi2 - 1e-5


class TestMoments:
    def test_reference_ramp(self, reference):
        """From the ground state up a linear ramp; not the state of pulse and hold."""
        inputs, expected, tol = reference("S22")
        profile = DriveProfile.ramp(inputs["Omega_final"], inputs["ramp_time"])
        path = evolve_moments(ensembles_of(inputs), 0.0, profile, inputs["times"])
        np.testing.assert_allclose(path.squeezing_matrix, expected["Xi2"], atol=tol["abs"])
        np.testing.assert_allclose(path.smallest_eigenvalue, expected["min_eig"], atol=tol["abs"])
        half = 0.5 * sum(inputs["N_k"])
        np.testing.assert_allclose(
            path.mean_spins / half, expected["mean_spin_over_half_N_total"], atol=tol["abs"]
        )
        quench = operating_point(ensembles_of(inputs), 0.7)
        assert quench.drive == pytest.approx(inputs["Omega_final"])
        quenched = dark_state(ensembles_of(inputs), quench.theta).smallest_eigenvalue
        assert quenched == pytest.approx(expected["quench_lambda_min"], abs=1e-6)
        assert path.smallest_eigenvalue[-1] - quenched > 0.01
        exact = expected["master_equation_min_eig"]
        assert np.abs(path.smallest_eigenvalue - exact).max() < 0.3 / 48

    def test_reference_local_decay(self, reference):
        """Single-atom decay and dephasing beside the collective process."""
        inputs, expected, tol = reference("S23")
        ensembles = ensembles_of(inputs)
        path = evolve_moments(
            ensembles,
            inputs["theta0"],
            inputs["Omega"],
            inputs["times"],
            inputs["gamma_local"],
            inputs["gamma_dephasing"],
        )
        np.testing.assert_allclose(path.squeezing_matrix, expected["Xi2"], atol=tol["abs"])
        np.testing.assert_allclose(path.smallest_eigenvalue, expected["min_eig"], atol=tol["abs"])
        halves = 0.5 * ensembles.atom_numbers[:, None]
        np.testing.assert_allclose(
            path.mean_spins / halves, expected["mean_spin_over_half_N_k"], atol=tol["abs"]
        )

    def test_a_hold_at_the_operating_point_is_the_closed_form(self):
        """Linearised covariance and Holstein-Primakoff agree to 1e-9, three ensembles."""
        ensembles = CoupledEnsembles((0.2, 0.3, 0.5), (1.0, -0.8, 0.4), 500)
        point = operating_point(ensembles, 0.5)
        times = np.array([0.0, 0.4, 2.0, 9.0]) / point.relaxation_rate
        path = evolve_moments(ensembles, point.theta, point.drive, times)
        closed = relax(dark_state(ensembles, point.theta), times)
        np.testing.assert_allclose(path.squeezing_matrix, closed.covariance_x, atol=1e-9)

    def test_local_processes_are_exact(self):
        """Without collective decay two ensembles of two atoms follow the full master equation."""
        ensembles = CoupledEnsembles((0.5, 0.5), (1.0, -0.6), 4, 1e-13)
        decay, dephasing, drive, theta = 0.7, 0.4, 1.9, 0.8
        single = {
            axis: [
                qutip.tensor(*[qutip.qeye(2)] * k, op, *[qutip.qeye(2)] * (3 - k)) for k in range(4)
            ]
            for axis, op in (
                ("x", qutip.sigmax() / 2),
                ("y", qutip.sigmay() / 2),
                ("z", qutip.sigmaz() / 2),
                ("-", qutip.sigmam()),
            )
        }
        eta = [1.0, 1.0, -0.6, -0.6]
        turn = collective(single, "x", eta)
        ground = qutip.tensor(*[qutip.basis(2, 1)] * 4)
        jumps = [math.sqrt(decay) * s for s in single["-"]]
        jumps += [math.sqrt(2.0 * dephasing) * s for s in single["z"]]
        options = {"atol": 1e-12, "rtol": 1e-10}
        start = qutip.ket2dm((-1j * theta * turn).expm() * ground)
        rho = qutip.mesolve(drive * turn, start, [0.0, 0.9], jumps, options=options).states[-1]
        path = evolve_moments(ensembles, theta, drive, [0.9], decay, dephasing)
        spins = {
            axis: [single[axis][0] + single[axis][1], single[axis][2] + single[axis][3]]
            for axis in "xyz"
        }
        flat = [spins[axis][k] for k in range(2) for axis in "xyz"]
        means = np.array([qutip.expect(op, rho) for op in flat])
        np.testing.assert_allclose(path.mean_spins[0].ravel(), means, atol=1e-8)
        for i, a in enumerate(flat):
            for j, b in enumerate(flat):
                both = 0.5 * qutip.expect(a * b + b * a, rho) - means[i] * means[j]
                assert path.covariance[0, i, j] == pytest.approx(both, abs=1e-8)

    def test_the_error_falls_with_the_atom_number(self):
        """Against the exact ladders on a plateau: at least as 1/N."""
        errors = []
        for n in (20, 80):
            ensembles = CoupledEnsembles((1.0,), (1.0,), n)
            point = operating_point(ensembles, 0.7)
            time_ = 3.0 / point.relaxation_rate
            exact = evolve_exact(ensembles, point.theta, [time_])[0].smallest_eigenvalue
            linear = evolve_moments(ensembles, point.theta, point.drive, [time_])
            errors.append(abs(linear.smallest_eigenvalue[0] - exact))
        assert errors[1] < 0.3 * errors[0] < 0.02

    def test_times_may_fall_on_the_corners_of_a_profile(self):
        """Start, corner and end are reported, repeated times too."""
        ensembles = CoupledEnsembles((0.4, 0.6), (1.0, 0.5), 40)
        profile = DriveProfile((0.1, 0.2), (0.0, 4.0))
        path = evolve_moments(ensembles, 0.0, profile, [0.0, 0.1, 0.2, 0.2, 0.3])
        np.testing.assert_allclose(path.squeezing_matrix[:2], [np.eye(2)] * 2, atol=1e-12)
        np.testing.assert_array_equal(path.covariance[2], path.covariance[3])
        assert profile.at(0.15) == pytest.approx(2.0)


GOOD = CoupledEnsembles((0.5, 0.5), (1.0, 0.6), 10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: best_hold(301, 0.5), "`atoms` must not exceed 300"),
        (lambda: best_hold(20, 1.0), r"`curvature` must lie in \(0, 1\) here"),
        (lambda: DriveProfile((0.0, 0.0), (1.0, 2.0)), "`times` must be strictly ascending"),
        (lambda: evolve_moments(GOOD, 0.1, 1.0, [1.0], -0.1), "`local_decay` must not be negative"),
        (
            lambda: evolve_moments(CoupledEnsembles((1 / 65,) * 65, (1,) * 65, 65), 0, 1, [1]),
            "`ensembles` must have at most 64 members",
        ),
    ],
)
def test_bad_holds_and_ramps_are_refused_with_argument_rule_and_value(call, message):
    """Each refusal names the argument, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        call()
