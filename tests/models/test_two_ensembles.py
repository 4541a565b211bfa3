"""The steady state of two ensembles: reference values, brute force, and exact identities."""

import math

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models import (
    TwoEnsembles,
    coupled_amplitudes,
    log_weights_derivative,
    relaxation_time_bound,
    relaxation_time_estimate,
    steady_state,
)

atom_numbers = st.integers(1, 400)
ratios = st.floats(1e-4, 5.0)


def at_ratio(spin, ratio):
    return steady_state(TwoEnsembles(spin, 1.0, ratio))


def product_vector(state):
    """The state in the basis |m1, m2>, both descending."""
    spin = state.parameters.spin
    dimension = round(2 * spin) + 1
    psi = np.zeros((dimension, dimension), dtype=complex)
    for total, amplitude in enumerate(state.amplitudes):
        for up, coupling in enumerate(coupled_amplitudes(spin, total)):
            partner = dimension - 1 - total - up
            psi[dimension - 1 - up, dimension - 1 - partner] += amplitude * coupling
    return psi.ravel()


def operators(spin):
    """Sx, Sy, Sz of both ensembles as dense matrices."""
    one = qutip.qeye(round(2 * spin) + 1)
    return {
        axis: (
            qutip.tensor(qutip.jmat(spin, axis), one),
            qutip.tensor(one, qutip.jmat(spin, axis)),
        )
        for axis in "xyz+-"
    }


def master_equation(p):
    s = operators(p.spin)
    h = p.rabi_frequency * sum(s["x"]) + p.detuning_difference / 2 * (s["z"][0] - s["z"][1])
    h += 0.5j * p.exchange * (s["+"][0] * s["-"][1] - s["-"][0] * s["+"][1])
    return h, math.sqrt(p.collective_decay) * sum(s["-"])


class TestAgainstReferences:
    @pytest.mark.parametrize("name", ["r01", "r02"])
    def test_amplitudes(self, oracle, name):
        """c_J agree with the reference, with and without exchange (Chu Eq. 8)."""
        case = oracle(name)
        i = case.inputs
        case.check("c", steady_state(TwoEnsembles(i.S, i.Omega, i.Delta, i.chi)).amplitudes)

    @pytest.mark.parametrize("name", ["r04", "r05", "r06", "r07"])
    def test_figures_of_merit(self, oracle, name):
        """Closed forms agree from S = 30 to S = 1e6."""
        case = oracle(name)
        state = at_ratio(case.inputs.S, case.inputs.Delta_over_Omega)
        case.check("mean_J", state.mean_J)
        case.check("QFI", state.qfi)
        case.check("spin_length", state.spin_length)
        case.check("var_y", state.variance)
        case.check("xi2", state.xi2)
        case.check("p0", state.weights[0])

    def test_moments_with_exchange(self, oracle):
        """Both components of the spin length and both variances agree."""
        case = oracle("r08")
        i = case.inputs
        state = steady_state(TwoEnsembles(i.S, i.Omega, i.Delta, i.chi))
        case.check("Dx", state.spin_length_x)
        case.check("Dy", state.spin_length_y)
        case.check("var_Ty", state.variance)
        case.check("var_Tz", state.variance_z)
        case.check("QFI", state.qfi)

    def test_weights(self, oracle):
        """p_J agree where they have fallen by eight orders of magnitude."""
        case = oracle("r09")
        case.check("p", at_ratio(case.inputs.S, case.inputs.Delta_over_Omega).weights[:8])

    def test_relaxation_bound(self, oracle):
        """The logarithmic bound agrees; it is stronger than the linear one of Chu Eq. 13."""
        case = oracle("r10")
        state = at_ratio(case.inputs.S, case.inputs.Delta_over_Omega)
        bound = relaxation_time_bound(state, case.inputs.eps, case.inputs.F0)
        case.check("logarithmic", bound)
        assert bound > case["linear"]

    @pytest.mark.parametrize("name", ["r12", "r13", "r14"])
    def test_estimate_covers_simulated_relaxation(self, oracle, name):
        """The estimate lies above the exact time of the full dynamics, by less than twice."""
        case = oracle(name)
        i = case.inputs
        state = steady_state(TwoEnsembles(i.S, i.Omega, i.Delta))
        exact = float(case["t_ss"])
        assert relaxation_time_bound(state, i.eps) < exact
        assert exact < relaxation_time_estimate(state, i.eps) < 2.0 * exact


class TestAgainstBruteForce:
    @pytest.mark.parametrize(
        "parameters",
        [
            TwoEnsembles(0.5, 1.3, 0.8),
            TwoEnsembles(1.0, 2.0, -1.5, exchange=0.7, collective_decay=0.6),
            TwoEnsembles(1.5, 1.1, 0.9, exchange=-1.3, collective_decay=1.3),
            TwoEnsembles(1.0, 1.0, 0.0, exchange=1.0),
        ],
        ids=["spin 1/2", "negative detuning", "negative exchange", "exchange alone"],
    )
    def test_is_the_null_vector_of_the_master_equation(self, parameters):
        """QuTiP's Liouvillian null vector is this pure state, to 1e-8."""
        h, jump = master_equation(parameters)
        reference = qutip.steadystate(h, [jump]).full()
        psi = product_vector(steady_state(parameters))
        np.testing.assert_allclose(np.outer(psi, psi.conj()), reference, atol=1e-8)

    @pytest.mark.parametrize("exchange", [0.0, 0.8])
    @pytest.mark.parametrize("spin", [0.5, 3.0, 4.5])
    def test_is_dark_with_the_stated_moments(self, spin, exchange):
        """H psi = 0, J- psi = 0, and every moment is the expectation in psi."""
        state = steady_state(TwoEnsembles(spin, 2.0, 0.9, exchange))
        h, jump = master_equation(state.parameters)
        psi = product_vector(state)
        assert np.linalg.norm(h.full() @ psi) < 1e-13
        assert np.linalg.norm(jump.full() @ psi) < 1e-13
        s = {axis: [op.full() for op in pair] for axis, pair in operators(spin).items()}

        def mean(op):
            return np.vdot(psi, op @ psi).real

        def variance(op):
            return mean(op @ op) - mean(op) ** 2

        assert state.mean_J == pytest.approx(-mean(s["z"][0] + s["z"][1]), rel=1e-11)
        assert state.variance == pytest.approx(variance(s["y"][0] + s["y"][1]), rel=1e-11)
        assert state.variance_z == pytest.approx(variance(s["z"][0] + s["z"][1]), rel=1e-11)
        assert state.qfi == pytest.approx(4 * variance(s["z"][0] - s["z"][1]), rel=1e-11)
        assert state.spin_length_x == pytest.approx(mean(s["x"][0] - s["x"][1]), rel=1e-11)
        assert state.spin_length_y == pytest.approx(mean(s["y"][0] - s["y"][1]), abs=1e-12)


class TestIdentities:
    @given(atoms=atom_numbers, ratio=ratios)
    @settings(deadline=None, max_examples=150, derandomize=True)
    def test_closed_forms_equal_the_sums(self, atoms, ratio):
        """Weights add to 1 and give <J>, F and X as closed forms do."""
        spin = atoms / 2
        state = at_ratio(spin, ratio)
        p, j = state.weights, np.arange(state.weights.size)
        squares = (atoms - j) * (atoms + j + 2) / (2 * j + 3)
        assert p.sum() == pytest.approx(1.0, abs=1e-13)
        assert np.all(p >= 0.0)
        assert state.mean_J == pytest.approx(p @ j, rel=1e-11)
        assert state.qfi == pytest.approx(4 * p @ squares, rel=1e-11)

    @given(atoms=st.integers(1, 2_000_000), ratio=st.floats(1e-9, 1e3))
    @settings(deadline=None, max_examples=150, derandomize=True)
    def test_ramsey_readout_saturates_the_information(self, atoms, ratio):
        """Var * F = X^2 and xi2 = 4S/F at any size; F never beats the Heisenberg limit."""
        spin = atoms / 2
        state = at_ratio(spin, ratio)
        assert state.variance * state.qfi == pytest.approx(state.spin_length_x**2, rel=1e-12)
        assert state.xi2 == pytest.approx(4 * spin / state.qfi, rel=1e-12)
        assert 0.0 < state.qfi <= 16 * spin * (spin + 1) / 3 * (1 + 1e-12)

    @given(atoms=atom_numbers, ratio=ratios)
    @settings(deadline=None, max_examples=50, derandomize=True)
    def test_sign_of_the_detuning_turns_the_spin(self, atoms, ratio):
        """-Delta reverses <S1x-S2x> and keeps everything else."""
        plus, minus = at_ratio(atoms / 2, ratio), at_ratio(atoms / 2, -ratio)
        assert minus.spin_length == -plus.spin_length
        assert plus.spin_length < 0.0
        np.testing.assert_array_equal(plus.weights, minus.weights)
        assert plus.qfi == minus.qfi

    def test_series_joins_the_closed_form(self):
        """Nothing jumps where the small-argument series takes over."""
        for spin in (0.5, 50.0, 1e6):
            switch = 0.05 / (2 * (2 * spin + 1))
            ratios = 2 * np.sinh(switch * np.array([1 - 1e-9, 1 + 1e-9]))
            below, above = (at_ratio(spin, ratio).qfi for ratio in ratios)
            assert below == pytest.approx(above, rel=3e-12)

    def test_large_spin_limit(self):
        """At fixed kappa = S Delta/Omega, xi2 tends to 2 kappa / (4 S Langevin(2 kappa))."""
        spin, kappa = 1e6, 3.0
        langevin = 1 / math.tanh(2 * kappa) - 1 / (2 * kappa)
        expected = 2 * kappa / (4 * spin * langevin)
        assert at_ratio(spin, kappa / spin).xi2 == pytest.approx(expected, rel=2e-6)

    def test_weights_of_a_million_spins_and_wide_range_of_J(self):
        """S = 1e6 at Delta/Omega = 1e-2: the weights still give <J> to 1e-11."""
        state = at_ratio(1e6, 1e-2)
        assert state.weights @ np.arange(state.weights.size) == pytest.approx(
            state.mean_J, rel=1e-11
        )

    def test_exchange_that_vanishes_joins_no_exchange(self):
        """A tiny exchange gives the same weights and moments as none."""
        none, tiny = at_ratio(20, 0.3), steady_state(TwoEnsembles(20, 1.0, 0.3, exchange=1e-12))
        shared = min(none.weights.size, tiny.weights.size)
        np.testing.assert_allclose(tiny.weights[:shared], none.weights[:shared], atol=1e-14)
        assert tiny.qfi == pytest.approx(none.qfi, rel=1e-10)
        assert tiny.spin_length == pytest.approx(none.spin_length, rel=1e-10)
        assert tiny.azimuth == pytest.approx(math.pi, abs=1e-9)

    @pytest.mark.parametrize("spin", [2.5, 50])
    def test_weight_derivative_is_the_slope_of_the_logarithm(self, spin):
        """d ln p_J / d ln(Delta/Omega) agrees with a central difference."""
        step = 1e-5
        up, down = (at_ratio(spin, 0.1 * math.exp(s)) for s in (step, -step))
        slopes = log_weights_derivative(spin, 0.1)
        size = min(up.weights.size, down.weights.size)
        difference = (np.log(up.weights[:size]) - np.log(down.weights[:size])) / (2 * step)
        np.testing.assert_allclose(slopes[:size], difference, atol=1e-6)
        assert slopes.size == at_ratio(spin, 0.1).weights.size


class TestRelaxation:
    def test_times_scale_with_the_decay(self):
        """Twice the collective decay halves every time."""
        slow = steady_state(TwoEnsembles(50, 1.0, 0.1, collective_decay=2.0))
        fast = steady_state(TwoEnsembles(50, 1.0, 0.1, collective_decay=4.0))
        assert relaxation_time_bound(slow) == pytest.approx(2 * relaxation_time_bound(fast))
        assert relaxation_time_estimate(slow) == pytest.approx(2 * relaxation_time_estimate(fast))

    @given(ratio=ratios, infidelity=st.floats(1e-9, 0.999))
    @settings(deadline=None, max_examples=50, derandomize=True)
    def test_estimate_is_never_below_the_bound(self, ratio, infidelity):
        """Whatever is asked, the expected time respects the rigorous bound."""
        state = at_ratio(10, ratio)
        bound = relaxation_time_bound(state, infidelity)
        assert 0.0 <= bound <= relaxation_time_estimate(state, infidelity)

    def test_a_start_close_enough_needs_no_time(self):
        """The bound is zero when the start is already good."""
        assert relaxation_time_bound(at_ratio(5, 0.5), 0.1, start_fidelity=0.95) == 0.0

    def test_refuses_what_it_cannot_answer(self):
        """Impossible fidelities and an unmeasured exchange are errors."""
        state = at_ratio(5, 0.5)
        for infidelity in (0.0, 1.0, math.nan):
            with pytest.raises(ValueError, match="`infidelity` must"):
                relaxation_time_bound(state, infidelity)
        with pytest.raises(ValueError, match="`start_fidelity` must lie in"):
            relaxation_time_bound(state, start_fidelity=1.0)
        with pytest.raises(ValueError, match="`state` must have exchange 0"):
            relaxation_time_estimate(steady_state(TwoEnsembles(5, 1.0, 0.5, exchange=0.2)))


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"spin": 0.7}, "`spin` must be a positive multiple of 1/2, but is 0.7"),
            ({"rabi_frequency": 0.0}, "`rabi_frequency` must be above zero, but is 0.0"),
            ({"rabi_frequency": -1.0}, "`rabi_frequency` must be above zero, but is -1.0"),
            ({"detuning_difference": math.nan}, "`detuning_difference` must be finite, but is nan"),
            ({"exchange": math.inf}, "`exchange` must be finite, but is inf"),
            ({"collective_decay": 0.0}, "`collective_decay` must be above zero, but is 0.0"),
            ({"detuning_difference": 0.0}, "`detuning_difference` must not be 0 when `exchange`"),
        ],
    )
    def test_bad_parameters(self, change, message):
        """Each refusal names the argument, the rule and the value."""
        good = {"spin": 2, "rabi_frequency": 1.0, "detuning_difference": 0.5}
        with pytest.raises(ValueError, match=message):
            TwoEnsembles(**{**good, **change})

    def test_derivative_at_no_detuning(self):
        """The logarithm of a zero ratio has no slope."""
        with pytest.raises(ValueError, match="`ratio` must not be 0"):
            log_weights_derivative(2, 0.0)
