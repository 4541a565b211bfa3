"""Relaxation of two ensembles: reference values, QuTiP, invariants and refusals."""

import math

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models import TwoEnsembles, relaxation_time_bound, steady_state
from cavitylab.models.relaxation import relax_until, relaxation, relaxation_time
from cavitylab.models.relaxation_propagator import Ellipse, dense_output, propagate


def pair_of(inputs):
    return TwoEnsembles(inputs.S, inputs.Omega, inputs.Delta, inputs.chi, inputs.Gamma)


def product_operators(spin):
    one = qutip.qeye(round(2 * spin) + 1)
    return {
        axis: (
            qutip.tensor(qutip.jmat(spin, axis), one),
            qutip.tensor(one, qutip.jmat(spin, axis)),
        )
        for axis in "xyz+-"
    }


def by_qutip(pair, times):
    """F, X, Y, <Jy>, <Jy^2>, <Jz> from mesolve in the product basis."""
    s = product_operators(pair.spin)
    h = pair.rabi_frequency * sum(s["x"]) + pair.detuning_difference / 2 * (s["z"][0] - s["z"][1])
    h += 0.5j * pair.exchange * (s["+"][0] * s["-"][1] - s["-"][0] * s["+"][1])
    jump = math.sqrt(pair.collective_decay) * sum(s["-"])
    dark = qutip.steadystate(h, [jump])
    down = qutip.basis(round(2 * pair.spin) + 1, round(2 * pair.spin))
    y = sum(s["y"])
    watched = [dark, s["x"][0] - s["x"][1], s["y"][0] - s["y"][1], y, y * y, sum(s["z"])]
    options = {"atol": 1e-13, "rtol": 1e-11, "nsteps": 100_000}
    grid = np.concatenate([[0.0], times])
    solved = qutip.mesolve(
        h, qutip.tensor(down, down), grid, [jump], e_ops=watched, options=options
    )
    return np.array(solved.expect).real[:, 1:]


class TestAgainstReferences:
    def test_logarithmic_bound(self, oracle):
        """The least time ln(1/eps)/(4 Var) and the paper's weaker (1-eps)/(4 Var) agree."""
        case = oracle("r10")
        state = steady_state(TwoEnsembles(case.inputs.S, 1.0, case.inputs.Delta_over_Omega))
        case.check("logarithmic", relaxation_time_bound(state, case.inputs.eps, case.inputs.F0))
        case.check("linear", (1.0 - case.inputs.eps - case.inputs.F0) / (4.0 * state.variance))

    def test_fidelity(self, oracle):
        """F(t) of S = 5/2 agrees with the matrix exponential of the whole generator."""
        case = oracle("r11")
        case.check("F", relaxation(pair_of(case.inputs), case.inputs.times, discard=0.0).fidelity)

    def test_relaxation_time(self, oracle):
        """t_ss of S = 5 agrees."""
        case = oracle("r12")
        case.check("t_ss", relaxation_time(pair_of(case.inputs), case.inputs.eps))

    @pytest.mark.slow
    def test_relaxation_time_of_a_larger_pair(self, oracle):
        """t_ss of S = 10 agrees, with most states left out by then."""
        case = oracle("r13")
        case.check("t_ss", relaxation_time(pair_of(case.inputs), case.inputs.eps))

    def test_spin_length_and_variance(self, oracle):
        """<S1x-S2x> and Var(S1y+S2y) of S = 5 agree."""
        case = oracle("r16")
        result = relaxation(pair_of(case.inputs), case.inputs.times)
        case.check("X", result.spin_length_x)
        case.check("var_y", result.variance)


class TestAgainstQutip:
    @pytest.mark.parametrize(
        "pair",
        [
            TwoEnsembles(1.5, 3.0, 2.0),
            TwoEnsembles(2.0, 3.0, -1.0, collective_decay=0.7),
            TwoEnsembles(1.5, 2.0, 1.0, exchange=1.0),
            TwoEnsembles(1.0, 2.0, 0.5, exchange=-0.6),
        ],
    )
    def test_all_expectations(self, pair):
        """Every expectation agrees with the master equation in the product basis to 1e-8."""
        times = np.array([0.2, 0.7, 2.0])
        expected = by_qutip(pair, times)
        result = relaxation(pair, times, discard=0.0)
        got = [
            result.fidelity,
            result.spin_length_x,
            result.spin_length_y,
            result.mean_y,
            result.variance + result.mean_y**2,
            result.mean_z,
        ]
        np.testing.assert_allclose(got, expected, atol=1e-8)


class TestInvariants:
    @settings(max_examples=15, deadline=None)
    @given(
        atoms=st.integers(1, 5),
        drive=st.floats(0.5, 8.0),
        ratio=st.floats(0.2, 2.0),
        exchange=st.sampled_from([0.0, 0.8]),
    )
    def test_fidelity_rises_within_the_bound(self, atoms, drive, ratio, exchange):
        """F never falls, and dF/dt <= 4 Gamma Var (1 - F) from first to last."""
        pair = TwoEnsembles(atoms / 2, drive, ratio * drive, exchange)
        state = steady_state(pair)
        times = np.linspace(0.0, 6.0 / state.variance, 60)
        result = relaxation(pair, times, discard=0.0)
        assert np.all(np.diff(result.fidelity) > -1e-11)
        assert result.discarded < 1e-10
        fall = np.log(result.infidelity[:-1] / result.infidelity[1:])
        assert np.all(fall <= 4.0 * state.variance * np.diff(times) * (1.0 + 1e-6) + 1e-7)

    def test_ends_in_the_steady_state(self):
        """Late expectations are the closed forms of the steady state."""
        pair = TwoEnsembles(3, 6.0, 4.0)
        state = steady_state(pair)
        late = relaxation(pair, [40.0], discard=0.0)
        np.testing.assert_allclose(late.fidelity, 1.0, atol=1e-9)
        np.testing.assert_allclose(late.spin_length_x, state.spin_length, rtol=1e-9)
        np.testing.assert_allclose(late.variance, state.variance, rtol=1e-9)
        np.testing.assert_allclose(late.xi2, state.xi2, rtol=1e-9)
        np.testing.assert_allclose(late.mean_z, -state.mean_J, rtol=1e-9)

    def test_start(self):
        """At time 0 alone: all down, with the variance S of 4S uncorrelated atoms."""
        start = relaxation(TwoEnsembles(3, 6.0, 4.0), [0.0])
        assert start.mean_z[0] == pytest.approx(-6.0, abs=1e-12)
        assert start.variance[0] == pytest.approx(3.0, abs=1e-12)
        assert start.spin_length_x[0] == pytest.approx(0.0, abs=1e-12)
        assert start.xi2[0] > 1e20

    def test_units(self):
        """Twice the rates take half the time."""
        slow = relaxation_time(TwoEnsembles(2, 4.0, 3.0))
        fast = relaxation_time(TwoEnsembles(2, 8.0, 6.0, collective_decay=2.0))
        assert fast == pytest.approx(slow / 2, rel=1e-8)

    def test_exchanging_the_ensembles(self):
        """With -Delta the spin length changes sign and nothing else does."""
        times = [0.3, 1.0]
        one = relaxation(TwoEnsembles(2, 4.0, 3.0), times)
        other = relaxation(TwoEnsembles(2, 4.0, -3.0), times)
        np.testing.assert_allclose(other.spin_length_x, -one.spin_length_x, rtol=1e-10)
        np.testing.assert_allclose(other.variance, one.variance, rtol=1e-10)
        np.testing.assert_allclose(other.fidelity, one.fidelity, rtol=1e-10)

    def test_leaving_states_out_changes_little(self):
        """The default `discard` moves t_ss by less than 1e-5, and says what was left out."""
        pair = TwoEnsembles(5, 10.0, 10.0)
        whole, cut = relax_until(pair, discard=0.0), relax_until(pair, discard=1e-6)
        assert cut.times[-1] == pytest.approx(whole.times[-1], rel=1e-5)
        assert 1e-10 < cut.discarded < 1e-5
        assert whole.discarded < 1e-10

    def test_arrives_at_the_infidelity(self):
        """The last point has the wanted infidelity, and no earlier one is below it."""
        result = relax_until(TwoEnsembles(2.5, 5.0, 3.0), 0.02)
        assert result.infidelity[-1] == pytest.approx(0.02, rel=1e-6)
        assert np.all(result.infidelity[:-1] > 0.02)
        assert np.all(np.diff(result.times) > 0.0)

    @pytest.mark.parametrize(("drive", "times"), [(0.05, [5.0]), (300.0, [0.5])])
    def test_weak_and_strong_drives(self, drive, times):
        """The ellipse holds the spectrum for drives far below and far above S Gamma."""
        result = relaxation(TwoEnsembles(4, drive, 0.5 * drive), times, discard=0.0)
        assert result.discarded < 1e-9
        assert 0.0 <= result.fidelity[0] <= 1.0


class TestPropagator:
    @pytest.mark.parametrize("ellipse", [Ellipse(3.0, 3.0), Ellipse(4.0, 1.0), Ellipse(1.0, 5.0)])
    def test_exponential_of_numbers(self, ellipse):
        """exp(t z) of numbers inside the ellipse, at the end and in between, to 1e-11."""
        angle = np.linspace(0.0, 2.0 * math.pi, 20)
        inside = ellipse.real * (0.9 * np.cos(angle) - 1.0) + 0.9j * ellipse.imaginary * np.sin(
            angle
        )

        def recursion(scale, shift):
            def advance(now, before, back):
                before[:] = scale * (inside + shift) * now - back * before

            return advance

        end, measured = propagate(
            recursion, np.ones_like(inside), ellipse, 4.0, lambda now: now.copy()
        )
        np.testing.assert_allclose(end, np.exp(4.0 * inside), atol=1e-11)
        between = dense_output(ellipse, np.array([0.0, 1.3]), measured)
        np.testing.assert_allclose(between[0], 1.0, atol=1e-11)
        np.testing.assert_allclose(between[1], np.exp(1.3 * inside), atol=1e-11)


class TestRefusals:
    pair = TwoEnsembles(1, 1.0, 1.0)

    @pytest.mark.parametrize("times", [[], [-0.1], [1.0, 0.5], [math.nan]])
    def test_times(self, times):
        """Times that are absent, negative, falling or not numbers."""
        with pytest.raises(ValueError, match="`times` must rise from 0"):
            relaxation(self.pair, times)

    @pytest.mark.parametrize("discard", [-1e-9, 0.1])
    def test_discard(self, discard):
        """A weight to leave out that is negative or large."""
        with pytest.raises(ValueError, match=r"`discard` must lie in \[0, 0.001\]"):
            relaxation(self.pair, [1.0], discard=discard)

    def test_infidelity(self):
        """An infidelity of 1 or more."""
        with pytest.raises(ValueError, match="`infidelity` must lie strictly between 0 and 1"):
            relaxation_time(self.pair, 1.0)

    def test_too_short(self):
        """A limit on the time that the relaxation does not meet."""
        with pytest.raises(ValueError, match="`longest` must leave time.* after 0.1 it is"):
            relax_until(self.pair, 1e-3, longest=0.1)
