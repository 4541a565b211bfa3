"""Many ensembles at large N: potential, operating points and mean field."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from cavitylab.models.multi_ensemble_superradiance import (
    CoupledEnsembles,
    angle_for_curvature,
    balanced_drive,
    operating_point,
    relaxation_rate,
    stationary_points,
    superradiance_curvature,
    superradiance_potential,
)
from cavitylab.models.multi_ensemble_superradiance_dark import (
    dark_state,
    hold_time,
    log_negativity,
    relax,
)
from cavitylab.models.multi_ensemble_superradiance_mean_field import (
    dicke_burst_peak,
    emission_rate,
    mean_field_angle,
)
from cavitylab.models.multi_ensemble_superradiance_sensing import (
    best_fractions,
    collective_decay_from_cavity,
    design_for_direction,
    encoding_angles,
    sensing_figures,
    squeezing_coefficient,
)


def ensembles_of(inputs, atoms=100):
    eta = inputs["eta"]
    return CoupledEnsembles(
        tuple(inputs["p"]), tuple(eta), inputs.get("N", atoms), inputs.get("Gamma", 1.0)
    )


class TestOperatingPoints:
    @pytest.mark.parametrize("name", ["S01", "S02"])
    def test_reference_points(self, name, checked):
        """Angle, drive, rate, critical point and sensitivity to the drive."""
        inputs, expected, check = checked(name)
        point = operating_point(ensembles_of(inputs), inputs["K"])
        check(point.theta, expected["theta"])
        check(point.drive, expected["Omega"])
        check(point.relaxation_rate, expected["relax_rate"])
        check(point.critical_drive, expected["Omega_critical"])
        if name == "S02":
            check(point.critical_theta, expected["theta_critical"])
            check(point.curvature_per_drive, expected["dK_dOmega"])

    def test_scale_covariance(self, checked):
        """eta s, theta/s, Omega/s, Gamma/s^2 is the same physics."""
        inputs, expected, check = checked("S03")
        for case, drive in (("case_a", "Omega_a"), ("case_b", "Omega_b")):
            ensembles, theta = ensembles_of(inputs[case]), inputs[case]["theta"]
            state = dark_state(ensembles, theta)
            check(state.curvature, expected["K"])
            check(balanced_drive(ensembles, theta), expected[drive])
            check(relaxation_rate(ensembles, theta), expected["relax_rate"])
            check(state.smallest_eigenvalue, expected["lambda_min"])

    def test_undriven_stationary_points(self, checked):
        """All roots, stable or not, of the undriven potential (Fig. 2)."""
        inputs, expected, check = checked("S15")
        points = stationary_points(ensembles_of(inputs), *inputs["theta_range"])
        assert len(points) == len(expected["points"])
        for point, row in zip(points, expected["points"], strict=True):
            check(point.theta, row["theta"])
            check(point.curvature, row["K"])
            assert point.stable is row["stable"]

    def test_the_ground_state_is_stationary_and_driven_points_balance(self):
        """theta = 0 without drive; with it, forces cancel and curvatures tell minima."""
        ensembles = CoupledEnsembles((0.2, 0.3, 0.5), (1.0, 0.7, 0.3), 50)
        assert stationary_points(ensembles, 0.0, 1.0)[0].theta == 0.0
        points = stationary_points(ensembles, -4.0, 15.0, drive=3.0)
        assert len(points) >= 3
        for point in points:
            assert balanced_drive(ensembles, point.theta) == pytest.approx(3.0, abs=1e-11)
            near = superradiance_potential(ensembles, point.theta + np.array([-1e-3, 0, 1e-3]), 3.0)
            assert bool(near[0] + near[2] > 2 * near[1]) is point.stable

    def test_no_stable_point_above_the_critical_drive(self):
        """Above it the potential has no flat place on the first branch."""
        ensembles = CoupledEnsembles((0.5, 0.5), (1.0, 1.0), 40)
        critical = operating_point(ensembles, 0.5).critical_drive
        assert stationary_points(ensembles, -10.0, 10.0, drive=1.001 * critical) == ()

    @settings(max_examples=60, deadline=None)
    @given(st.floats(1e-3, 1.0), st.floats(0.01, 3.0), st.floats(0.05, 0.95))
    def test_the_angle_gives_the_curvature_back_and_is_the_smallest(self, curvature, ratio, share):
        """K(theta) returns the wish, and K stays above it on the way there."""
        ensembles = CoupledEnsembles((share, 1.0 - share), (1.0, -ratio), 10)
        theta = angle_for_curvature(ensembles, curvature)
        assert superradiance_curvature(ensembles, theta) == pytest.approx(curvature, abs=1e-13)
        way = superradiance_curvature(ensembles, np.linspace(0.0, theta, 500, endpoint=False))
        assert np.all(way >= curvature - 1e-12)

    def test_angle_near_the_ground_state_keeps_its_digits(self):
        """1 - K = 1e-12 gives theta from 1 - K = <eta^2> theta^2/2 to nine digits."""
        ensembles = CoupledEnsembles((0.3, 0.7), (1.0, 0.5), 10)
        curvature = 1.0 - 1e-12
        second = float(ensembles.weights @ ensembles.eta**2)
        expected = math.sqrt(2.0 * (1.0 - curvature) / second)
        assert angle_for_curvature(ensembles, curvature) == pytest.approx(expected, rel=1e-9)

    def test_a_heavy_slow_ensemble_reaches_its_curvature_late(self):
        """The first angle may lie many turns of the fastest ensemble away."""
        ensembles = CoupledEnsembles((1e-6, 1.0 - 1e-6), (1.0, 0.01), 200)
        theta = angle_for_curvature(ensembles, 0.1)
        assert theta > 100.0
        assert superradiance_curvature(ensembles, theta) == pytest.approx(0.1, abs=1e-13)

    def test_potential_curvature_and_force_are_derivatives(self):
        """V' = Omega(theta) - Omega and V'' = (N Gamma nu/2) K, by fourth-order differences."""
        ensembles = CoupledEnsembles((0.2, 0.8), (1.0, -0.4), 30, 0.7)
        theta, step = 1.3, 1e-3
        around = superradiance_potential(ensembles, theta + step * np.arange(-2, 3), 2.0)
        slope = np.array([1, -8, 0, 8, -1]) @ around / (12 * step)
        bend = np.array([-1, 16, -30, 16, -1]) @ around / (12 * step**2)
        assert slope == pytest.approx(float(balanced_drive(ensembles, theta)) - 2.0, abs=1e-9)
        assert bend == pytest.approx(0.5 * relaxation_rate(ensembles, theta), abs=1e-6)


class TestMeanField:
    def test_dicke_burst(self, checked):
        """Angle and photon rate of the undriven uniform ensemble, its peak included."""
        inputs, expected, check = checked("S18")
        ensembles = ensembles_of(inputs)
        theta = mean_field_angle(ensembles, inputs["theta0"], inputs["times"])
        check(theta, expected["theta"])
        check(emission_rate(ensembles, theta), expected["emission_rate"])
        check(dicke_burst_peak(ensembles, inputs["theta0"]), [expected[k] for k in _PEAK])

    def test_unequal_couplings_and_drive(self, checked):
        """theta(t) of two runs, sliding into an undriven well and towards a driven one."""
        inputs, expected, _ = checked("S19")
        ensembles = ensembles_of(inputs)
        for run, angles, light in zip(
            inputs["runs"], expected["theta"], expected["emission_rate"], strict=True
        ):
            theta = mean_field_angle(ensembles, run["theta0"], inputs["times"], run["Omega"])
            np.testing.assert_allclose(theta, angles, rtol=1e-7, atol=1e-7)
            np.testing.assert_allclose(emission_rate(ensembles, theta), light, rtol=1e-7, atol=1e-7)

    def test_closed_form_and_integration_agree_over_several_turns(self):
        """The Dicke formula lands in the right well for any start and sign of the coupling."""
        ensembles = CoupledEnsembles((0.4, 0.6), (1.5, -1.5), 20)
        times = np.linspace(0.0, 0.3, 7)
        for start in (-3.0, 1.0, 2.2, 5.0, 9.5):
            path = solve_ivp(
                lambda _, y: -balanced_drive(ensembles, y),
                (0.0, 0.3),
                [start],
                "DOP853",
                t_eval=times,
                rtol=1e-12,
                atol=1e-13,
            )
            found = mean_field_angle(ensembles, start, times)
            np.testing.assert_allclose(found, path.y[0], atol=1e-10)

    def test_the_single_angle_solves_the_bloch_equations(self):
        """Shen Eq. 2 for all 3M components stays in the plane, at theta_k = eta_k theta."""
        ensembles = CoupledEnsembles((0.3, 0.7), (1.0, -0.6), 12, 0.8)
        eta, numbers, drive = ensembles.eta, ensembles.atom_numbers, 3.0

        def bloch(_, flat):
            s = flat.reshape(2, 3)
            x, y = eta @ s[:, 0], eta @ s[:, 1]
            torque = np.array([drive - 0.8 * y, 0.8 * x, 0.0])
            return (eta[:, None] * np.cross(torque, s)).ravel()

        start = (0.5 * numbers[:, None] * np.array([0.0, 0.0, -1.0])).ravel()
        times = [0.2, 1.0]
        path = solve_ivp(bloch, (0, 1), start, "DOP853", t_eval=times, rtol=1e-12, atol=1e-12)
        theta = mean_field_angle(ensembles, 0.0, times, drive)
        for k in range(2):
            np.testing.assert_allclose(
                path.y[3 * k + 1], 0.5 * numbers[k] * np.sin(eta[k] * theta), atol=1e-9
            )
            np.testing.assert_allclose(path.y[3 * k], 0.0, atol=1e-9)


_PEAK = ("peak_time", "peak_rate")


GOOD = CoupledEnsembles((0.5, 0.5), (1.0, 0.6), 100)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CoupledEnsembles((0.5, 0.4), (1, 1), 10), "`fractions` must be above zero and"),
        (lambda: CoupledEnsembles((1.0,), (1, 1), 10), "`couplings` must hold 1 numbers"),
        (lambda: CoupledEnsembles((0.5, 0.5), (0, 0), 10), "`couplings` must not all be zero"),
        (lambda: CoupledEnsembles((0.5, 0.5), (1, math.nan), 10), "`couplings` must be a list"),
        (lambda: CoupledEnsembles((1.0,), (1,), 2.5), "`atoms` must be a whole number.* 2.5"),
        (lambda: CoupledEnsembles((1.0,), (1,), 5, 0.0), "`collective_decay` must be above zero"),
        (lambda: CoupledEnsembles.from_atom_numbers([3, 0], [1, 1]), "`atom_numbers` must be"),
        (lambda: operating_point(GOOD, 0.0), r"`curvature` must lie in \(0, 1\].* 0.0"),
        (lambda: operating_point(GOOD, 1.2), r"`curvature` must lie in \(0, 1\].* 1.2"),
        (lambda: operating_point(GOOD, math.nan), r"`curvature` must lie in \(0, 1\].* nan"),
        (lambda: stationary_points(GOOD, 2.0, 1.0), "`upper` must exceed `lower` = 2.0.* 1.0"),
        (lambda: stationary_points(GOOD, 0.0, 1e9), "`upper` must lie within"),
        (lambda: dark_state(GOOD, 3.0), "`theta` must be a stable angle.* 3.0 with curvature -"),
        (lambda: mean_field_angle(GOOD, 0.1, [2.0, 1.0]), "`times` must be ascending"),
        (lambda: dicke_burst_peak(GOOD, 1.0), "`ensembles` must have couplings of one size"),
        (lambda: relax(dark_state(GOOD, 0.1), [-1.0]), "`times` must not be negative"),
        (lambda: hold_time(dark_state(GOOD, 0.1), 1.0), "`residual` must lie strictly between"),
        (lambda: log_negativity(dark_state(GOOD, 0.1), [0, 1]), "`part` must name some, not all"),
        (lambda: log_negativity(dark_state(GOOD, 0.1), [2]), "`part` must name some, not all"),
        (lambda: sensing_figures(GOOD, 0.5, [1.0]), "`direction` must hold 2 numbers"),
        (lambda: sensing_figures(GOOD, 0.5, [0.0, 0.0]), "`direction` must not be zero"),
        (lambda: design_for_direction([0.999, 0.001], 10, 0.5), "`atoms` must give every entry"),
        (lambda: best_fractions([1, 1], [1, 0], 0.5), "`direction` must have no zero entry"),
        (lambda: squeezing_coefficient([1, 1], [0.5, 0.5], np.eye(3)), r"shape \(2, 2\)"),
        (lambda: encoding_angles(GOOD, 0.1, [True]), "`reverse` must hold 2 flags"),
        (lambda: collective_decay_from_cavity(0.0, 1.0), "`coupling` must be above zero"),
    ],
)
def test_bad_input_is_refused_with_argument_rule_and_value(call, message):
    """Each refusal names the argument, the rule and the value."""
    with pytest.raises(ValueError, match=message):
        call()
