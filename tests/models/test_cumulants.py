"""The 27 moment equations and their trajectories: references, brute force, and honest flags."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from cavitylab.models import cumulants_trajectory
from cavitylab.models.cumulants import (
    MOMENTS,
    DecayingEnsembles,
    all_down,
    full_moment_rates,
    half_moment_rates,
    moment_rates,
    pack_moments,
    rate_columns,
    unpack_moments,
)
from cavitylab.models.cumulants_exact import exact_decaying_steady_state, exact_trajectory
from cavitylab.models.cumulants_optimum import (
    cumulant_optimum,
    held_minimum,
    optimum_estimate,
)
from cavitylab.models.cumulants_trajectory import cumulant_trajectories, cumulant_trajectory

PAULI = {
    "x": np.array([[0, 1], [1, 0]], dtype=complex),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.diag([1.0, -1.0]).astype(complex),
}
LOWER = np.array([[0, 0], [1, 0]], dtype=complex)


def on_atom(operator, atom, atoms):
    """One-atom operator in the space of all atoms."""
    return np.kron(np.kron(np.eye(2**atom), operator), np.eye(2 ** (atoms - atom - 1)))


def brute_force_rate(p, rho, exchange=0.0):
    """d rho/dt over all 4 S atoms, ensemble 1 first."""
    n = p.atoms
    first, second = (sum(on_atom(LOWER, k, 2 * n) for k in range(a, a + n)) for a in (0, n))
    total = sum(on_atom(LOWER, k, 2 * n) for k in range(2 * n))
    h = 0.5 * p.rabi_frequency * sum(on_atom(PAULI["x"], k, 2 * n) for k in range(2 * n))
    for k in range(2 * n):
        sign = 1 if k < n else -1
        h = h + sign * 0.25 * p.detuning_difference * on_atom(PAULI["z"], k, 2 * n)
    h = h + 0.5j * exchange * (first.T @ second - first @ second.T)
    rate = -1j * (h @ rho - rho @ h)
    jumps = [(p.collective_decay, total)]
    jumps += [(p.single_spin_decay, on_atom(LOWER, k, 2 * n)) for k in range(2 * n)]
    for strength, jump in jumps:
        number = jump.conj().T @ jump
        rate += strength * (jump @ rho @ jump.conj().T - 0.5 * (number @ rho + rho @ number))
    return rate


def brute_force_moments(rho, n):
    """All 27 moments of a state over 2 n atoms; n at least 2."""
    values = []
    for name in MOMENTS:
        letters = name.strip("C12")
        first = n if name.endswith("2") else 0
        places = [0, n] if name.startswith("C") else [first, first + 1]
        operator = np.eye(2 ** (2 * n))
        for letter, place in zip(letters, places, strict=False):
            operator = operator @ on_atom(PAULI[letter], place, 2 * n)
        values.append(np.trace(operator @ rho).real)
    return np.array(values)


def product_state(bloch1, bloch2, n):
    rho = np.ones((1, 1))
    for vector in [bloch1] * n + [bloch2] * n:
        one = 0.5 * (np.eye(2) + sum(c * PAULI[k] for c, k in zip(vector, "xyz", strict=True)))
        rho = np.kron(rho, one)
    return rho


class TestEquations:
    def test_arbitrary_moments(self, oracle):
        """All 27 rates agree at an arbitrary moment vector."""
        case = oracle("r20")
        i = case.inputs
        p = DecayingEnsembles(i.N / 2, i.Omega, i.Delta, i.gamma, i.Gamma)
        moments = pack_moments(i.one_body, i.intra1, i.intra2, i.cross12)
        one_body, inside1, inside2, across = unpack_moments(moment_rates(moments, p))
        case.check("d_one_body", one_body)
        case.check("d_intra1", inside1)
        case.check("d_intra2", inside2)
        case.check("d_cross12", across)

    @pytest.mark.parametrize("n", [2, 3])
    def test_product_states_against_the_master_equation(self, n):
        """For product states the closure is exact: the rates are those of all 2 n atoms."""
        p = DecayingEnsembles(n / 2, 1.3, 0.9, 0.37, 0.7)
        rho = product_state([0.3, -0.5, 0.4], [-0.6, 0.2, -0.1], n)
        rates = moment_rates(brute_force_moments(rho, n), p)
        expected = brute_force_moments(brute_force_rate(p, rho), n)
        np.testing.assert_allclose(rates, expected, atol=1e-13)

    def test_exchange_on_product_states(self):
        """With exchange too: ensemble 2 feels Gamma + chi of 1, ensemble 1 Gamma - chi of 2."""
        p, chi = DecayingEnsembles(1.0, 1.3, 0.9, 0.37, 0.7), 0.45
        rho = product_state([0.3, -0.5, 0.4], [-0.6, 0.2, -0.1], 2)
        columns = (*rate_columns(p)[:5], -chi / p.collective_decay)
        rates = np.array(full_moment_rates(brute_force_moments(rho, 2), columns))
        expected = brute_force_moments(brute_force_rate(p, rho, chi), 2)
        np.testing.assert_allclose(rates, expected, atol=1e-13)

    def test_columns_are_independent(self):
        """Columns with their own parameters give what each gives alone."""
        rng = np.random.default_rng(5)
        sets = [DecayingEnsembles(s, 1.0 + s, 0.3 * s, 0.1 * s) for s in (0.5, 2, 30)]
        moments = rng.uniform(-0.5, 0.5, (27, 3))
        together = moment_rates(moments, sets)
        for k, p in enumerate(sets):
            np.testing.assert_allclose(together[:, k], moment_rates(moments[:, k], p), rtol=1e-13)

    def test_rates_scale_with_the_unit(self):
        """All rates times 3: all derivatives times 3."""
        moments = np.random.default_rng(6).uniform(-0.5, 0.5, 27)
        slow = moment_rates(moments, DecayingEnsembles(4, 2.0, 0.7, 0.2, 1.1))
        fast = moment_rates(moments, DecayingEnsembles(4, 6.0, 2.1, 0.6, 3.3))
        np.testing.assert_allclose(fast, 3.0 * slow, rtol=1e-13)

    def test_packing_is_undone(self):
        """unpack_moments inverts pack_moments; all atoms down is a product state."""
        np.testing.assert_array_equal(pack_moments(*unpack_moments(all_down())), all_down())
        down = brute_force_moments(product_state([0, 0, -1], [0, 0, -1], 2), 2)
        np.testing.assert_allclose(all_down(), down, atol=1e-15)


class TestTrajectories:
    def test_reference_trajectory(self, oracle):
        """X and both squeezings agree at S = 30 with single-spin decay."""
        case = oracle("r21")
        i = case.inputs
        p = DecayingEnsembles(i.S, i.Omega, i.Delta, i.gamma, i.Gamma)
        found = cumulant_trajectory(p, i.times)
        case.check("X", found.spin_length_x)
        case.check("xi2_full", found.xi2)
        case.check("xi2_largeS", found.large_spin_xi2)
        assert found.physical.all() and found.variance_valid.all()

    def test_reference_minimum_over_time(self, oracle):
        """The least large-spin squeezing at S = 300 and 1000, C = 1."""
        case = oracle("r22")
        i = case.inputs
        least = []
        for k in range(2):
            drive = i.Omega_over_S_Gamma[k] * i.S[k]
            p = DecayingEnsembles(i.S[k], drive, drive * i.Delta_over_Omega[k], 1.0 / i.C[k])
            times = np.linspace(0.5, 2.0, 300) * case["t_min"][k]
            squeezing = cumulant_trajectory(p, times).large_spin_xi2
            least.append(squeezing.min())
            assert times[squeezing.argmin()] == pytest.approx(case["t_min"][k], rel=0.05)
        case.check("xi2_min", least)

    def test_full_equations_keep_the_mirror(self):
        """Integrating all 27 equations gives what the 15 of the mirror-symmetric state give."""
        p = DecayingEnsembles(3, 6.0, 4.0, 0.3)
        y, steps = all_down(), 1500
        h = 0.5 / steps
        for _ in range(steps):
            k1 = moment_rates(y, p)
            k2 = moment_rates(y + 0.5 * h * k1, p)
            k3 = moment_rates(y + 0.5 * h * k2, p)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + moment_rates(y + h * k3, p))
        found = cumulant_trajectory(p, [0.5], rtol=1e-11)
        np.testing.assert_allclose([found[name][0] for name in MOMENTS], y, atol=1e-8)

    def test_many_agree_with_one(self):
        """Side by side, with different times and ends, nothing leaks from one to another."""
        sets = [DecayingEnsembles(s, 2.0 * s, 0.5 * s, 0.1 * s) for s in (0.5, 3, 10, 40)]
        times = np.array([[0.1, 1.0], [0.05, 0.3], [0.5, 2.0], [0.02, 0.1]])
        found = cumulant_trajectories(sets, times, rtol=1e-9)
        for k, p in enumerate(sets):
            alone = cumulant_trajectory(p, times[k], rtol=1e-10)
            np.testing.assert_allclose(found.moments[:, k], alone.moments, atol=2e-7)
            np.testing.assert_allclose(found.xi2[k], alone.xi2, rtol=1e-5)

    def test_one_atom_each_is_exact(self):
        """With one atom per ensemble there is nothing to close."""
        p = DecayingEnsembles(0.5, 3.0, 2.0, 0.3)
        times = [0.2, 0.9, 4.0]
        found, exact = cumulant_trajectory(p, times, rtol=1e-11), exact_trajectory(p, times)
        np.testing.assert_allclose(found.spin_length_x, exact.spin_length_x, atol=1e-8)
        np.testing.assert_allclose(found.variance, exact.variance, atol=1e-8)

    def test_short_times_of_few_atoms(self):
        """At 6 atoms per ensemble the finite-spin variance is good to 0.2 % early on."""
        p = DecayingEnsembles(3, 6.0, 4.0, 0.3)
        times = [0.05, 0.1, 0.2]
        found, exact = cumulant_trajectory(p, times), exact_trajectory(p, times)
        np.testing.assert_allclose(found.variance, exact.variance, rtol=2e-3)

    def test_long_times_near_the_pure_state(self):
        """At S = 30 without single-spin decay the large-spin form ends near the exact 0.1752."""
        p = DecayingEnsembles(30, 60.0, 20.0)
        assert cumulant_trajectory(p, [6.0]).large_spin_xi2[0] == pytest.approx(0.1752, rel=0.02)

    def test_negative_variance_is_flagged(self):
        """Near the Heisenberg regime the finite-spin variance turns negative and says so."""
        found = cumulant_trajectory(DecayingEnsembles(30, 60.0, 6.0), [1.0, 8.0])
        assert found.variance_valid.tolist() == [True, False]
        assert math.isnan(found.xi2[-1]) and found.xi2[0] > 0
        assert found.large_spin_variance_valid[-1] and found.large_spin_xi2[-1] > 0

    def test_weak_drive_is_flagged(self):
        """A drive below 0.4 S Gamma is out of the closure's range."""
        weak = cumulant_trajectory(DecayingEnsembles(10, 1.0, 0.5), [0.1])
        strong = cumulant_trajectories([DecayingEnsembles(10, 20.0, 5.0)], [0.1])
        assert not weak.drive_in_range
        assert strong.drive_in_range.tolist() == [True]

    def test_starts_uncorrelated(self):
        """At time zero all atoms are down, with the variance of a coherent state."""
        found = cumulant_trajectory(DecayingEnsembles(5, 10.0, 1.0), [0.0, 0.1])
        assert found["z2"][0] == -1.0 and found.variance[0] == pytest.approx(5.0)


@pytest.fixture
def without_numba(monkeypatch):
    """Calling it makes the package go on as if numba were not installed."""
    return lambda: monkeypatch.setitem(sys.modules, "cavitylab.models.cumulants_kernel", None)


class TestCompiled:
    """With numba and without: one physics, two steppers."""

    def test_one_trajectory(self, without_numba):
        """Order 8 compiled and LSODA on floats give the same moments."""
        pytest.importorskip("numba")
        p, times = DecayingEnsembles(20, 40.0, 9.0, 0.2), [0.0, 0.01, 0.2, 1.0]
        compiled = cumulant_trajectory(p, times, rtol=1e-11)
        without_numba()
        plain = cumulant_trajectory(p, times, rtol=1e-11)
        np.testing.assert_allclose(compiled.moments, plain.moments, atol=2e-8)
        assert not np.array_equal(compiled.moments, plain.moments), "both took the same way"

    def test_many_trajectories(self, without_numba):
        """The same for many, with different times and ends."""
        sets = [DecayingEnsembles(s, 2 * s, 0.5 * s, 0.1 * s) for s in (0.5, 3, 20)]
        times = np.array([[0.1, 1.0], [0.02, 0.5], [0.02, 0.1]])
        compiled = cumulant_trajectories(sets, times, rtol=1e-10)
        without_numba()
        plain = cumulant_trajectories(sets, times, rtol=1e-10)
        np.testing.assert_allclose(compiled.moments, plain.moments, atol=1e-7)

    @pytest.mark.parametrize("plain", [False, True])
    def test_a_lost_run_ends_in_nan(self, plain, without_numba, monkeypatch):
        """A run whose moments pass the limit keeps the times it reached, then nan."""
        monkeypatch.setattr(cumulants_trajectory, "_RUNAWAY", 0.99)  # all atoms down are beyond
        if plain:
            without_numba()
        found = cumulant_trajectories([DecayingEnsembles(30, 12.0, 0.6)], [1e-9, 6.0])
        assert np.isfinite(found.moments[:, 0, 0]).all()
        assert np.isnan(found.moments[:, 0, 1]).all()

    def test_every_rate_is_that_of_the_equations(self):
        """The compiled 15 rates are the plain ones at arbitrary moments: no stale machine code."""
        kernel = pytest.importorskip("cavitylab.models.cumulants_kernel")
        rng, out = np.random.default_rng(8), np.empty(15)
        for rates in rng.uniform(0.1, 30.0, (20, 6)):
            half = rng.uniform(-0.9, 0.9, 15)
            kernel._put_rates(half, tuple(rates), out)
            expected = half_moment_rates(half.tolist(), tuple(rates))
            np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-9)

    def test_numba_waits_for_a_trajectory(self):
        """Importing the models does not load numba, which takes half a second."""
        code = (
            "import sys, cavitylab.models, cavitylab.models.cumulants_trajectory,"
            "cavitylab.models.cumulants_optimum, cavitylab.models.trajectories;"
            "sys.exit('numba' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestOptimum:
    def test_held_minimum_ignores_dips(self):
        """A dip counts for nothing unless the value holds for a while."""
        times = np.geomspace(1, 10, 50)
        values = np.where(np.arange(50) == 10, 1e-3, 1 + (np.log(times) - 1.5) ** 2)
        values[5] = np.nan
        time, value = held_minimum(times, values)
        assert time == pytest.approx(math.exp(1.5), rel=0.15)
        assert value == pytest.approx(1.0, abs=0.02)
        assert held_minimum(times, np.full(50, np.nan))[1] == math.inf

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("spin", "c", "scaled"), [(100, 1, 2.64), (300, 1, 2.65), (300, 10, 3.45)]
    )
    def test_wineland_trade_off(self, spin, c, scaled):
        """xi^2 sqrt(SC) at C = 1 is 2.6 to 2.7, at C = 10 3.4, for all S (Chu Eq. 14)."""
        best = cumulant_optimum(spin, c)
        assert best.scaled_xi2 == pytest.approx(scaled, rel=0.04)
        assert best.xi2 == pytest.approx(
            optimum_estimate(spin, c).xi2, rel=0.15 if c == 1 else 0.35
        )
        assert 2 < best.detuning_ratio * math.sqrt(spin * c) < 4

    def test_estimate_scaling(self):
        """Chu Eq. 14: S C times 4 halves the squeezing and the detuning ratio."""
        one, four = optimum_estimate(100, 1.0), optimum_estimate(200, 2.0)
        assert four.xi2 == pytest.approx(one.xi2 / 2)
        assert four.detuning_ratio == pytest.approx(one.detuning_ratio / 2)
        assert one.time * 100 * one.detuning_ratio == pytest.approx(10.0)


class TestExact:
    def test_reference(self, oracle):
        """Six atoms per ensemble with collective and single-spin decay."""
        case = oracle("r23")
        i = case.inputs
        p = DecayingEnsembles(i.N / 2, i.Omega, i.Delta, i.gamma, i.Gamma)
        found = exact_trajectory(p, i.times)
        case.check("X", found.spin_length_x)
        case.check("var_y", found.variance)
        case.check("xi2", found.xi2)

    def test_all_atoms_one_by_one(self):
        """Two atoms per ensemble in the full 16-dimensional space, same means to 1e-8."""
        from scipy.linalg import expm

        p, n, time = DecayingEnsembles(1, 2.0, 1.5, 0.4), 2, 1.3
        size = 16
        columns = []
        for a, b in itertools.product(range(size), repeat=2):
            unit = np.zeros((size, size))
            unit[a, b] = 1.0
            columns.append(brute_force_rate(p, unit).ravel())
        start = product_state([0, 0, -1], [0, 0, -1], n).ravel()
        rho = (expm(time * np.array(columns).T) @ start).reshape(size, size)
        moments = dict(zip(MOMENTS, brute_force_moments(rho, n), strict=True))
        found = exact_trajectory(p, [time], rtol=1e-11)
        assert found.spin_length_x[0] == pytest.approx(moments["x1"] - moments["x2"], abs=1e-8)
        square = 1 + 0.5 * (moments["yy1"] + moments["yy2"]) + 2 * moments["Cyy"]
        mean = moments["y1"] + moments["y2"]
        assert found.variance[0] == pytest.approx(square - mean**2, abs=1e-8)
        assert found.purity[0] == pytest.approx(np.sum(np.abs(rho) ** 2), abs=1e-8)

    def test_without_single_spin_decay_the_state_is_pure(self):
        """The exact evolution ends in the pure steady state of the pair."""
        from cavitylab.models import TwoEnsembles, steady_state

        end = exact_trajectory(DecayingEnsembles(1.5, 3.0, 2.0), [60.0])
        pure = steady_state(TwoEnsembles(1.5, 3.0, 2.0))
        assert end.purity[0] == pytest.approx(1.0, abs=1e-7)
        assert end.spin_length_x[0] == pytest.approx(pure.spin_length, abs=1e-7)
        assert end.xi2[0] == pytest.approx(pure.xi2, rel=1e-7)
        assert -end.mean_sum_z[0] == pytest.approx(pure.mean_J, abs=1e-7)

    def test_steady_state_with_decay(self):
        """The null vector is where a long evolution ends."""
        p = DecayingEnsembles(1, 3.0, 2.0, 0.3)
        steady, late = exact_decaying_steady_state(p), exact_trajectory(p, [80.0], rtol=1e-11)
        for name in ("spin_length_x", "variance", "mean_sum_z", "purity"):
            np.testing.assert_allclose(getattr(steady, name), getattr(late, name), atol=1e-8)


class TestRefusals:
    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            ((0.7, 1.0, 1.0), "spin"),
            ((1, 0.0, 1.0), "rabi_frequency"),
            ((1, 1.0, math.nan), "detuning_difference"),
            ((1, 1.0, 1.0, -0.1), "single_spin_decay"),
            ((1, 1.0, 1.0, 0.1, 0.0), "collective_decay"),
        ],
    )
    def test_parameters(self, arguments, named):
        """Values outside the rules are refused by name."""
        with pytest.raises(ValueError, match=named):
            DecayingEnsembles(*arguments)

    def test_shapes_and_times(self):
        """Shapes that do not fit and times that do not ascend are refused."""
        p = DecayingEnsembles(1, 1.0, 1.0, 0.1)
        with pytest.raises(ValueError, match="moments"):
            moment_rates(np.zeros(26), p)
        with pytest.raises(ValueError, match="parameters"):
            moment_rates(np.zeros((27, 3)), [p, p])
        with pytest.raises(ValueError, match="inside1.*symmetric"):
            pack_moments(np.zeros((2, 3)), np.eye(3)[[1, 0, 2]] * [1, 2, 3], np.eye(3), np.eye(3))
        for solve in (cumulant_trajectory, exact_trajectory):
            with pytest.raises(ValueError, match="times.*ascend"):
                solve(p, [1.0, 0.5])
        with pytest.raises(ValueError, match="times.*row for each"):
            cumulant_trajectories([p, p], np.ones((3, 1)))
        with pytest.raises(ValueError, match="at least one"):
            cumulant_trajectories([], [1.0])
        with pytest.raises(ValueError, match="name"):
            cumulant_trajectory(p, [1.0])["xxx"]

    def test_too_many_atoms(self):
        """The exact solvers say what to use instead."""
        with pytest.raises(ValueError, match="at most 8.*has 9.*cumulant"):
            exact_trajectory(DecayingEnsembles(4.5, 1.0, 1.0), [1.0])
        with pytest.raises(ValueError, match="at most 3"):
            exact_decaying_steady_state(DecayingEnsembles(2, 1.0, 1.0, 0.1))
        with pytest.raises(ValueError, match="single_spin_decay"):
            exact_decaying_steady_state(DecayingEnsembles(1, 1.0, 1.0))
        with pytest.raises(ValueError, match="longest"):
            cumulant_optimum(10, 1.0, longest=2.0)
        with pytest.raises(ValueError, match="cooperativity"):
            optimum_estimate(10, 0.0)
