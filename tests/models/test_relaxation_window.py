"""Compiled relaxation on a moving window: against array code, QuTiP, and its own rules."""

import sys

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models import TwoEnsembles, relaxation, relaxation_window
from cavitylab.models.relaxation import relax_until, relaxation_time
from cavitylab.models.relaxation_generator import generator, spectral_ellipse
from cavitylab.models.relaxation_propagator import propagate
from cavitylab.models.relaxation_window import (
    Window,
    kernel,
    propagate_half,
    tables,
    window_around,
    window_steps,
)

pytest.importorskip("numba")
TURNING = TwoEnsembles(4.5, 9.0, 6.0, collective_decay=1.3)


@pytest.fixture
def arrays_only(monkeypatch):
    """Hides the compiled loops, as on a machine without numba."""
    return lambda: monkeypatch.setitem(sys.modules, "cavitylab.models.relaxation_kernel", None)


def ragged(spin, seed):
    """A generator on a window whose ranges of m differ from J to J."""
    whole = generator(TwoEnsembles(spin, 2.0 * spin, 1.7 * spin))
    weights = np.random.default_rng(seed).random(whole.size) ** 30
    return whole.restricted(window_around(whole, weights, 0.2 * weights.sum()).states(whole))


def framed(rho):
    return np.pad(np.asarray(rho), 1)


class TestLoops:
    @pytest.mark.parametrize(("spin", "seed"), [(0.5, 1), (2.0, 2), (3.5, 3), (6.0, 4), (6.0, 5)])
    def test_two_terms(self, spin, seed):
        """Both terms and their sum agree with the array code on any window."""
        system = ragged(spin, seed)
        table = tables(system)
        rng = np.random.default_rng(seed)
        now, older = (a + a.T for a in rng.normal(size=(2, system.size, system.size)))
        first = system.apply(now) + 0.3 * now - 0.2 * older
        second = system.apply(first) + 0.3 * first - 0.7 * now
        held = [framed(now).ravel(), framed(older).ravel(), np.zeros((system.size + 2) ** 2)]
        shape = (system.size + 2, system.size + 2)
        kernel().advance_twice(
            *held,
            table.blocks,
            table.couplings,
            table.neighbours,
            0.3,
            (0.2, 0.7),
            (1.5, 0.5),
            np.zeros(system.size + 2),
        )
        got = [np.tril(a.reshape(shape)[1:-1, 1:-1]) for a in held]
        wanted = [np.tril(a) for a in (second, first, 1.5 * first + 0.5 * second)]
        scale = np.abs(second).max()
        np.testing.assert_allclose(np.array(got) / scale, np.array(wanted) / scale, atol=1e-14)

    def test_expectations(self):
        """The seven expectation values come from the lower half alone."""
        system = ragged(4.0, 6)
        rho = np.random.default_rng(7).normal(size=(system.size, system.size))
        rho += rho.T
        table, out = tables(system), np.empty(7)
        kernel().expect(framed(np.tril(rho)).ravel(), table.places, table.values, out)
        np.testing.assert_allclose(out, system.expectations(rho), atol=1e-11)

    def test_propagation(self):
        """A step keeps rho symmetric, positive, of trace 1, and is that of the array code."""
        system = generator(TURNING)
        phi = system.all_down()
        rho = np.multiply.outer(phi, phi)
        ellipse = spectral_ellipse(system)
        duration = 40.0 / ellipse.imaginary
        half, seen = propagate_half(kernel(), tables(system), framed(rho), ellipse, duration)
        expected, measured = propagate(
            system.recursion, rho, ellipse, duration, system.expectations
        )
        lower = np.tril(half[1:-1, 1:-1])
        whole = lower + np.tril(lower, -1).T
        np.testing.assert_allclose(whole, expected, atol=1e-12)
        np.testing.assert_allclose(seen[: len(measured)], measured, atol=1e-10)
        assert np.trace(whole) == pytest.approx(1.0, abs=1e-12)
        assert np.linalg.eigvalsh(whole).min() > -1e-12


class TestAgainstOthers:
    @pytest.mark.parametrize("pair", [TURNING, TwoEnsembles(4, 0.4, 0.3), TwoEnsembles(4, 90, 40)])
    def test_array_code(self, pair, arrays_only):
        """Without and with compiled loops: every expectation value to 1e-9, none left out."""
        times = np.linspace(0.0, 3.0, 7)
        fast = relaxation.relaxation(pair, times, discard=0.0)
        arrays_only()
        assert kernel() is None
        slow = relaxation.relaxation(pair, times, discard=0.0)
        for name in ("fidelity", "spin_length_x", "variance", "mean_z", "mean_y"):
            np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), atol=1e-9)

    def test_qutip(self):
        """Three moments of S = 4 agree with mesolve in the product basis to 1e-8."""
        pair, times = TwoEnsembles(4.0, 8.0, 6.0), np.array([0.0, 0.3, 1.0])
        one = qutip.qeye(9)
        x, y, z = (
            (qutip.tensor(qutip.jmat(4, a), one), qutip.tensor(one, qutip.jmat(4, a)))
            for a in "xyz"
        )
        h = 8.0 * sum(x) + 3.0 * (z[0] - z[1])
        watched = [x[0] - x[1], sum(y) * sum(y), sum(z)]
        down = qutip.tensor(qutip.basis(9, 8), qutip.basis(9, 8))
        options = {"atol": 1e-12, "rtol": 1e-10, "nsteps": 100_000, "matrix_form": True}
        solved = qutip.mesolve(
            h, down, times, [sum(x) - 1j * sum(y)], e_ops=watched, options=options
        )
        got = relaxation.relaxation(pair, times, discard=0.0)
        second = got.variance + got.mean_y**2
        np.testing.assert_allclose(
            [got.spin_length_x, second, got.mean_z], np.real(solved.expect), atol=1e-8
        )

    @pytest.mark.parametrize("spin", [4, 7])
    def test_what_is_left_out(self, spin):
        """Per window 1e-9 moves t_ss by less than 1e-7, the default by less than 1e-5."""
        pair = TwoEnsembles(spin, 2.0 * spin, 10.0)
        exact = relaxation_time(pair, discard=0.0)
        assert relaxation_time(pair, discard=1e-9) == pytest.approx(exact, rel=1e-7)
        assert relaxation_time(pair) == pytest.approx(exact, rel=1e-5)

    @pytest.mark.slow
    @pytest.mark.long
    @pytest.mark.timeout(600)
    def test_relaxation_time_of_thirty(self, oracle):
        """t_ss and the squeezing then of two ensembles of 60 atoms agree.

        About a minute and a half of computing; what is left out moves t_ss by some 1e-5.
        """
        case = oracle("r14")
        inputs = case.inputs
        pair = TwoEnsembles(inputs.S, inputs.Omega, inputs.Delta, inputs.chi, inputs.Gamma)
        result = relax_until(pair, inputs.eps, points=1, discard=1e-5)
        case.check("t_ss", float(result.times[-1]))
        case.check("xi2_at_t_ss", float(result.xi2[-1]))
        assert result.discarded < 1e-4


class TestMovingWindow:
    def test_fewer_states(self, monkeypatch):
        """The window is small at first, and small again in the end."""
        sizes = []

        def counted(loops, table, start, *rest):
            sizes.append(len(start) - 2)
            return propagate_half(loops, table, start, *rest)

        monkeypatch.setattr(relaxation_window, "propagate_half", counted)
        relaxation_time(TwoEnsembles(8, 16.0, 16.0), 1e-4, discard=1e-7)
        assert sizes[0] < 150
        assert max(sizes) <= 289
        assert sizes[-1] < 200

    def test_weight_at_the_edge(self, monkeypatch):
        """Windows that prove too narrow are widened: the result is the same."""
        pair = TwoEnsembles(6.0, 12.0, 6.0)
        wanted = relaxation.relaxation(pair, [0.1, 0.4], discard=1e-9)
        monkeypatch.setattr(relaxation_window, "_SPEED", 0.0)
        tried = []

        def counted(*arguments):
            tried.append(1)
            return propagate_half(*arguments)

        monkeypatch.setattr(relaxation_window, "propagate_half", counted)
        steps = list(window_steps(kernel(), generator(pair), 1e-9, 0.1))
        assert len(tried) > len(steps)
        row = steps[-1].at(np.array([0.1]))[0]
        assert row[1] / row[0] == pytest.approx(wanted.spin_length_x[0], abs=1e-6)

    @settings(max_examples=20, deadline=None)
    @given(seed=st.integers(0, 1000), in_m=st.integers(0, 3), in_j=st.integers(0, 3))
    def test_shapes(self, seed, in_m, in_j):
        """Widening never loses a state; the edge is what one more step would pass."""
        whole = generator(TwoEnsembles(3, 6.0, 4.0))
        weights = np.random.default_rng(seed).random(whole.size) ** 40
        window = window_around(whole, weights, 0.3 * weights.sum())
        states = set(window.states(whole).tolist())
        assert sum(weights[list(states)]) >= 0.7 * weights.sum() - 1e-12
        wider = window.widened(in_m, in_j)
        assert states <= set(wider.states(whole).tolist())
        neighbours = abs(whole.drift).tocsr()
        expected = {s for s in states if set(neighbours[[s]].indices.tolist()) - states}
        assert set(window.edge(whole).tolist()) == expected

    def test_joined(self):
        """Two windows in one."""
        one = Window(np.array([np.inf, -1.0]), np.array([-np.inf, 0.0]))
        other = Window(np.array([0.0, 0.0]), np.array([0.0, 1.0]))
        both = one.joined(other)
        assert both.lowest.tolist() == [0.0, -1.0]
        assert both.highest.tolist() == [0.0, 1.0]

    def test_fidelity_rises(self):
        """F never falls over the changes of the window, and the trace stays below 1."""
        result = relax_until(TwoEnsembles(7, 14.0, 10.0), points=15)
        assert np.all(np.diff(result.fidelity) > -1e-8)
        assert np.all((result.fidelity > -1e-9) & (result.fidelity < 1.0))
        assert 0.0 <= result.discarded < 1e-6


class TestRefusals:
    def test_lost_trace(self, monkeypatch):
        """A propagation that cannot be mended says so instead of giving a number."""
        tiny = spectral_ellipse(generator(TURNING)).enlarged(0.3)
        monkeypatch.setattr(relaxation_window, "_tight_ellipse", lambda _: tiny)
        monkeypatch.setattr(relaxation_window, "_TRIES", 1)
        with pytest.raises(ArithmeticError, match="lost its trace; choose a smaller `discard`"):
            relaxation.relaxation(TURNING, [1.0], discard=0.0)

    @pytest.mark.parametrize("discard", [-1e-9, 2e-3, float("nan")])
    def test_discard(self, discard):
        """Weights below 0 or above 1e-3 are not left out."""
        with pytest.raises(ValueError, match="`discard`"):
            relaxation_time(TURNING, discard=discard)
