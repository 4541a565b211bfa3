"""Many ensembles at large N: dark states, how they are reached, and sensing with them."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from cavitylab.models.multi_ensemble_superradiance import (
    CoupledEnsembles,
    angle_for_curvature,
    superradiance_curvature,
)
from cavitylab.models.multi_ensemble_superradiance_dark import (
    dark_state,
    dark_state_at_curvature,
    hold_time,
    log_negativity,
    relax,
)
from cavitylab.models.multi_ensemble_superradiance_sensing import (
    best_fractions,
    collective_decay_from_cavity,
    combination_weights,
    design_for_direction,
    detection_noise,
    direction_figures,
    encoding_angles,
    moment_matrix,
    pattern_variance,
    pure_state_fisher_bound,
    quantum_fisher_matrix,
    sensing_figures,
    shot_noise_variance,
    squeezing_coefficient,
    squeezing_matrix_from_moments,
)


def ensembles_of(inputs, atoms=100):
    eta = inputs["eta"]
    return CoupledEnsembles(
        tuple(inputs["p"]), tuple(eta), inputs.get("N", atoms), inputs.get("Gamma", 1.0)
    )


@st.composite
def stable_states(draw):
    """Dark states of one to five ensembles with couplings of either sign, zero included."""
    size = draw(st.integers(1, 5))
    shares = np.array(draw(st.lists(st.floats(0.05, 1.0), min_size=size, max_size=size)))
    eta = draw(st.lists(st.floats(-2.0, 2.0), min_size=size, max_size=size))
    assume(max(abs(x) for x in eta) > 0.1)
    ensembles = CoupledEnsembles(tuple(shares / shares.sum()), tuple(eta), 1000, 1.5)
    theta = draw(st.floats(0.0, 12.0))
    assume(superradiance_curvature(ensembles, theta) > 0.02)
    return dark_state(ensembles, theta)


class TestDarkStates:
    @pytest.mark.parametrize("name", ["S04", "S05", "S16"])
    def test_reference_covariances_and_spectrum(self, name, checked):
        """Vectors, both blocks, angle, purity, eigenvalues and eigenvector."""
        inputs, expected, check = checked(name)
        state = dark_state(ensembles_of(inputs), inputs["theta"])
        found = {
            "K": state.curvature,
            "u": state.u,
            "v": state.v,
            "Gamma_x": state.covariance_x,
            "Gamma_p": state.covariance_p,
            "tan2phi": state.tan_phi**2,
            "cos_phi": state.cos_phi,
            "purity": state.purity,
            "lambda_min": state.smallest_eigenvalue,
            "eigvec_min": state.optimal_direction,
            "lambda_max_x": state.largest_eigenvalue_x,
            "lambda_min_p": state.smallest_eigenvalue_p,
            "rayleigh_u": state.variance_along(state.u) / (state.u @ state.u),
        }
        assert set(found) == set(expected)
        for key, value in found.items():
            check(value, expected[key])

    def test_uniform_squeezing_matrix(self, checked):
        """Coupling of one size: Gamma_x = 1 - (1-K) e e^T, pure."""
        inputs, expected, check = checked("S07")
        state = dark_state_at_curvature(ensembles_of(inputs), inputs["K"])
        check(state.covariance_x, expected["Gamma_x"])
        check(state.covariance_p, expected["Gamma_p"])
        check(state.smallest_eigenvalue, expected["lambda_min"])
        check(np.diag(state.covariance_x), expected["local_xi2"])
        check(state.optimal_direction, expected["eigvec_min"])
        assert state.purity == expected["purity"] and not state.mixedness.any()

    def test_time_dependence(self, checked):
        """Covariances between the product state and the dark state."""
        inputs, expected, check = checked("S06")
        state = dark_state(ensembles_of(inputs), inputs["theta"])
        path = relax(state, np.array(inputs["kappa_t"]) / state.relaxation_rate)
        check(path.covariance_x, expected["Gamma_x"])
        check(path.covariance_p, expected["Gamma_p"])
        check(path.smallest_eigenvalue, expected["lambda_min"])

    def test_log_negativity(self, checked):
        """Entanglement between ensembles."""
        inputs, expected, check = checked("S20")
        for case, bits, least in zip(
            inputs["cases"], expected["E_N"], expected["nu_min"], strict=True
        ):
            state = dark_state_at_curvature(ensembles_of(case), case["K"])
            check(log_negativity(state, case["part"]), (bits, least))

    def test_emitted_light(self, checked):
        """Photon rate on the way, and the photons in all."""
        inputs, expected, check = checked("S21")
        state = dark_state_at_curvature(ensembles_of(inputs), inputs["K"])
        path = relax(state, np.array(inputs["kappa_t"]) / state.relaxation_rate)
        check(path.photon_rate, expected["jump_rate"])
        check(state.total_photons, expected["total_jumps"])

    @settings(max_examples=80, deadline=None)
    @given(stable_states())
    def test_identities(self, state):
        """What Shen Eqs. 13-18 and 131 imply for every configuration."""
        x, p, k = state.covariance_x, state.covariance_p, state.curvature
        scale = np.abs(p).max() * np.abs(x).max()
        np.testing.assert_allclose(x @ state.u, state.v, atol=1e-12 * scale)
        np.testing.assert_allclose(p @ state.v, state.u, atol=1e-12 * scale)
        values = np.linalg.eigvalsh(x)
        assert state.smallest_eigenvalue == pytest.approx(values[0], abs=1e-12 * scale)
        assert state.largest_eigenvalue_x == pytest.approx(values[-1], rel=1e-10)
        least_p = np.linalg.eigvalsh(p)[0]
        assert state.smallest_eigenvalue_p == pytest.approx(least_p, abs=1e-12 * scale)
        assert 0.0 < state.smallest_eigenvalue <= k * (1 + 1e-12)
        assert k * (1 - 1e-12) <= state.cos_phi <= 1.0
        purity = 1.0 / math.sqrt(np.linalg.det(x) * np.linalg.det(p))
        assert state.purity == pytest.approx(purity, rel=1e-8)
        np.testing.assert_allclose(x - np.linalg.inv(p), state.mixedness, atol=1e-9 * scale)
        along = state.optimal_direction
        np.testing.assert_allclose(x @ along, values[0] * along, atol=1e-12 * scale)
        m = np.arange(1.0, along.size + 1)
        assert state.variance_along(m) == pytest.approx(m @ x @ m, rel=1e-9)
        quanta = 0.25 * (np.diag(x) + np.diag(p) - 2.0)
        np.testing.assert_allclose(state.excitations, quanta, atol=1e-11 * scale)

    @settings(max_examples=40, deadline=None)
    @given(stable_states(), st.floats(0.0, 8.0))
    def test_relaxation_solves_the_moment_equations(self, state, turns):
        """Second algorithm: exponentials of the Gaussian moment equations of D[c]."""
        size = state.u.size
        mode = np.concatenate((state.u, 1j * state.v)) / math.sqrt(2.0)
        form = np.block(
            [[np.zeros((size, size)), np.eye(size)], [-np.eye(size), np.zeros((size, size))]]
        )
        product = np.outer(mode.conj(), mode)
        drift = form @ product.imag
        noise = 2.0 * form @ product.real @ form.T
        big = np.block([[-drift, noise], [np.zeros_like(drift), drift.T]])
        flow = expm(big * turns)
        transport = flow[2 * size :, 2 * size :].T
        covariance = transport @ transport.T + transport @ flow[: 2 * size, 2 * size :]
        path = relax(state, [turns / state.relaxation_rate])
        atol = 1e-9 * np.abs(covariance).max() ** 2
        np.testing.assert_allclose(path.covariance_x[0], covariance[:size, :size], atol=atol)
        np.testing.assert_allclose(path.covariance_p[0], covariance[size:, size:], atol=atol)
        np.testing.assert_allclose(covariance[:size, size:], 0.0, atol=atol)

    def test_relaxation_ends_in_the_dark_state(self):
        """After the hold time for 1e-6 the matrix has arrived to that."""
        for eta in ((1.0, -1.0), (1.0, 0.6)):
            state = dark_state_at_curvature(CoupledEnsembles((0.5, 0.5), eta, 100), 0.4)
            path = relax(state, [0.0, hold_time(state, 1e-6)])
            np.testing.assert_array_equal(path.covariance_x[0], np.eye(2))
            np.testing.assert_allclose(path.covariance_x[1], state.covariance_x, atol=3e-6)

    @pytest.mark.parametrize("curvature", [1e-4, 0.03, 0.5, 0.999999, 1.0 - 1e-10])
    def test_spectrum_against_long_doubles(self, curvature):
        """The least eigenvalue keeps nine digits from the edge of the well to the ground state."""
        ensembles = CoupledEnsembles((0.3, 0.7), (1.0, 0.6), 10)
        state = dark_state_at_curvature(ensembles, curvature)
        weights = np.array(ensembles.weights, dtype=np.longdouble)
        cosines = np.cos(np.array(ensembles.eta, dtype=np.longdouble) * np.longdouble(state.theta))
        k = weights @ cosines
        tangent2 = weights @ (cosines - k) ** 2 / k**2
        sine2 = tangent2 / (1 + tangent2)
        least = 2 * k / (1 + k + np.sqrt((1 - k) ** 2 + 4 * k * sine2))
        assert state.curvature == pytest.approx(float(k), rel=1e-11)
        assert state.smallest_eigenvalue == pytest.approx(float(least), rel=1e-11)

    def test_the_best_direction_holds_near_the_ground_state(self):
        """Where both 1 - K and the angle between u and v are tiny, the eigenvector is exact."""
        state = dark_state(CoupledEnsembles((0.5, 0.5), (1.0, 0.5), 10), 6e-5)
        assert state.tan_phi < 1e-9
        along, missing = state.optimal_direction, np.eye(2) - state.covariance_x
        top = np.linalg.eigh(missing)[1][:, -1]
        assert abs(top @ along) == pytest.approx(1.0, abs=1e-12)


class TestSensing:
    def test_mismatched_fractions(self, checked):
        """Uniform coupling with fractions that do not fit n costs second order."""
        inputs, expected, check = checked("S08")
        n, p, k = np.array(inputs["n"]), inputs["p"], inputs["K"]
        ensembles = CoupledEnsembles(tuple(p), tuple(np.sign(n)), inputs["N"])
        figures = sensing_figures(ensembles, k, n)
        check(figures.shot_noise_variance, expected["var_SNL"])
        check(figures.mssc, expected["xi2"])
        check(figures.variance, expected["var_single_shot"])
        check(figures.std(inputs["shots"]), expected["std_mean"])
        design = design_for_direction(n, inputs["N"], k)
        check(np.array(design.atom_numbers) / inputs["N"], expected["best_fractions"])
        check(design.variance, expected["best_var"])

    def test_inhomogeneous_coupling(self, checked):
        """xi2 along n at fixed fractions against curvature (Fig. 4)."""
        inputs, expected, check = checked("S09")
        ensembles = ensembles_of(inputs)
        for i, k in enumerate(inputs["K"]):
            figures = sensing_figures(ensembles, k, inputs["n"])
            check(angle_for_curvature(ensembles, k), expected["theta"][i])
            check(figures.mssc, expected["xi2"][i])
            check(k / figures.mssc, expected["ratio_uniform_over_inhomogeneous"][i])
            check(figures.smallest_eigenvalue, expected["lambda_min"][i])

    def test_shot_noise(self, checked):
        """Best fractions |n_k|, and the price of others."""
        inputs, expected, check = checked("S10")
        design = design_for_direction(inputs["n"], inputs["N"], 1.0)
        check(design.point.ensembles.fractions, expected["best_fractions"])
        check(design.variance, expected["best_var"])
        check(design.point.ensembles.couplings, expected["coupling_signs"])
        other = shot_noise_variance(inputs["n"], inputs["p_other"], inputs["N"])
        check(other, expected["var_other"])

    def test_fisher_matrices(self, checked):
        """Reading S_X holds all the information, also of a mixed state."""
        inputs, expected, check = checked("S24")
        ensembles = CoupledEnsembles.from_atom_numbers(inputs["N_k"], inputs["eta"])
        state = dark_state_at_curvature(ensembles, inputs["K"])
        check(quantum_fisher_matrix(state), expected["F_true"])
        check(pure_state_fisher_bound(state), expected["F_pure_bound"])
        check(moment_matrix(ensembles, state.covariance_x), expected["M_moment"])

    def test_fractions_for_unequal_couplings(self, checked):
        """At equal curvature unequal couplings can beat uniform ones by a little."""
        inputs, expected, check = checked("S26")
        ensembles = ensembles_of(inputs, atoms=1)
        figures = sensing_figures(ensembles, inputs["K"], inputs["n"])
        check(figures.variance, expected["N_times_var"])
        check(figures.mssc, expected["xi2"])
        check(figures.shot_noise_variance, expected["N_times_var_SNL"])
        best = best_fractions(inputs["eta"], inputs["n"], inputs["K"])
        assert best.fractions[0] == pytest.approx(expected["best_p0"], rel=1e-3)
        check(best.variance_per_atom, expected["best_N_times_var"])
        assert best.variance_per_atom < inputs["K"]

    @settings(max_examples=40, deadline=None)
    @given(stable_states(), st.integers(0, 2**31))
    def test_the_coefficient_is_a_rayleigh_quotient(self, state, seed):
        """lambda_min <= xi2 <= lambda_max, and the best direction attains the least."""
        n = np.random.default_rng(seed).normal(size=state.u.size)
        p, matrix = state.ensembles.fractions, state.covariance_x
        xi2 = squeezing_coefficient(n, p, matrix)
        slack = 1e-10 * np.abs(matrix).max()
        assert state.smallest_eigenvalue - slack <= xi2 <= state.largest_eigenvalue_x + slack
        best = direction_figures(np.sqrt(p) * state.optimal_direction, p, 1000, matrix)
        assert best.mssc == pytest.approx(state.smallest_eigenvalue, abs=slack)
        assert best.gain_db == pytest.approx(-10 * math.log10(best.mssc))

    def test_the_design_has_the_variance_of_its_squeezing_matrix(self):
        """Rounded atom numbers, a left-out ensemble and a negative entry included."""
        n = [0.41, 0.0, -0.33, 0.26]
        design = design_for_direction(n, 101, 0.3)
        assert design.members == (0, 2, 3) and sum(design.atom_numbers) == 101
        figures = sensing_figures(design.point.ensembles, 0.3, [n[k] for k in design.members])
        assert figures.variance == pytest.approx(design.variance, rel=1e-12)
        assert design.ideal_variance == pytest.approx(0.3 / 101)
        assert 1.0 <= design.variance / design.ideal_variance < 1.001

    def test_without_a_direction_the_best_one_is_taken(self):
        """sum |n_k| = 1 and xi2 is the least eigenvalue."""
        figures = sensing_figures(CoupledEnsembles((0.2, 0.8), (1.0, 0.5), 100), 0.4)
        assert np.abs(figures.direction).sum() == pytest.approx(1.0)
        assert figures.mssc == pytest.approx(figures.smallest_eigenvalue)

    def test_the_linear_estimate_has_the_stated_variance(self):
        """Weights times covariance equals m^T Xi2 m, and the estimate is unbiased."""
        numbers, lengths = np.array([60.0, 140.0]), np.array([25.0, 66.0])
        covariance = np.array([[11.0, -4.0], [-4.0, 30.0]])
        n = np.array([0.7, -0.3])
        weights = combination_weights(n, lengths)
        matrix = squeezing_matrix_from_moments(numbers, covariance, lengths)
        figures = direction_figures(n, numbers / 200, 200, matrix)
        assert weights @ covariance @ weights == pytest.approx(figures.variance)
        phases = np.array([1e-4, 3e-4])
        assert weights @ (-lengths * np.sin(phases)) == pytest.approx(n @ phases, rel=1e-6)

    def test_known_pattern_of_a_uniform_state(self):
        """One common phase on uniformly coupled ensembles has the variance K/N."""
        ensembles = CoupledEnsembles((0.25, 0.75), (1.0, 1.0), 400)
        state = dark_state_at_curvature(ensembles, 0.2)
        variance = pattern_variance(ensembles, state.covariance_x, [1.0, 1.0])
        assert variance == pytest.approx(0.2 / 400)

    def test_detection_noise_and_cavity_and_encoding(self):
        """Two ports of s atoms each add 2 s^2/(N zeta^2); Gamma = 4 g^2/kappa; angles."""
        added = detection_noise([200, 100], [3 / math.sqrt(2), 0.0], [0.9, 1.0])
        np.testing.assert_allclose(added, np.diag([2 * 9 / (200 * 0.81), 0.0]))
        assert collective_decay_from_cavity(3.0, 12.0) == 3.0
        ensembles = CoupledEnsembles((0.5, 0.5), (1.0, 0.5), 10)
        angles = encoding_angles(ensembles, 0.4, [False, True])
        np.testing.assert_allclose(angles, [math.pi / 2 - 0.4, -math.pi / 2 - 0.2])
