"""Collectively pumped superradiance: counts, their correlated noise, and count records."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.linalg import expm
from scipy.stats import poisson

from cavitylab.models.pumped_superradiance import PumpedEnsemble, populations, pumped_steady_state
from cavitylab.models.pumped_superradiance_counts import (
    FluorescenceReadout,
    gaussian_information,
    hold_bound,
    hold_inversion,
    long_hold_bound,
    resolved_record_sigma_s,
    sweep_inversion,
)
from cavitylab.models.pumped_superradiance_hysteresis import scan_precision
from cavitylab.models.pumped_superradiance_modes import (
    integrated_correlation_time,
    population_ramp,
)
from cavitylab.models.pumped_superradiance_records import (
    filter_held_records,
    filter_swept_records,
)

CASES = json.loads(Path(__file__).with_name("oracles_pumped.json").read_text(encoding="utf-8"))
BRIGHT = FluorescenceReadout(50.0, 5.0)


def case(function):
    (only,) = (case for case in CASES["cases"] if case["function"] == function)
    return only["inputs"], only["outputs"], only["rtol"]


def dense(ramp, s):
    rows = ramp.at(s)
    return np.diag(rows[1]) + np.diag(rows[0, 1:], -1) + np.diag(rows[2, :-1], 1)


class TestAgainstReferences:
    def test_count_bound(self):
        """Mean, variance and both errors of s agree; Poisson's alone is 4 times too small."""
        i, expected, rtol = case("count_bound")
        bound = long_hold_bound(FluorescenceReadout(i["a"], i["b"]), i["s"], i["T"], i["tau"])
        assert bound.mean == pytest.approx(expected["mean"], rel=rtol)
        assert bound.variance == pytest.approx(expected["var"], rel=rtol)
        assert bound.sigma_s == pytest.approx(expected["sigma_s"], rel=rtol)
        poisson_only = expected["sigma_s_poisson_only"]
        assert bound.sigma_s_poisson_only == pytest.approx(poisson_only, rel=rtol)

    def test_log_likelihood(self):
        """The exact likelihood of a count record agrees."""
        i, expected, rtol = case("hmm_loglik")
        readout = FluorescenceReadout(i["a"], i["b"])
        found = filter_held_records(PumpedEnsemble(i["N"], i["w"]), readout, i["counts"], i["dt"])
        assert found.log_likelihood == pytest.approx([expected["loglik"]], rel=rtol)


class TestHold:
    def test_long_times(self):
        """The exact variance tends to Var = mean + (aT)^2 2 Var x tau/T for T >> 1/gamma."""
        for s in (0.0, 1.5, -3.0):
            ensemble = PumpedEnsemble.at(10**8, s)
            exact = hold_bound(ensemble, BRIGHT, 1e4)
            tau = integrated_correlation_time(ensemble)
            limit = long_hold_bound(BRIGHT, s, 1e4, tau)
            assert exact.mean == pytest.approx(limit.mean, rel=1e-6)
            assert exact.variance == pytest.approx(limit.variance, rel=1e-4)
            assert exact.sigma_s == pytest.approx(limit.sigma_s, rel=1e-4)

    def test_short_times(self):
        """For T << 1/gamma the atoms stand still: Var = mean + (aT)^2 Var x."""
        ensemble = PumpedEnsemble.at(50, 0.4)
        found = hold_bound(ensemble, BRIGHT, 1e-7)
        spread = pumped_steady_state(ensemble).scaled_variance
        assert found.variance == pytest.approx(found.mean + (50e-7) ** 2 * spread, rel=1e-12)

    def test_brute_force_covariance(self):
        """Covariances of int x dt equal double integrals of the matrix exponential."""
        atoms, s = 6, 0.8
        ensemble = PumpedEnsemble.at(atoms, s, 2.0)
        edges = np.array([0.0, 0.1, 0.5, 0.6])
        generator = 2.0 * dense(population_ramp(atoms), s)
        values, right = np.linalg.eig(generator)
        x = np.linspace(-1.0, 1.0, atoms + 1)
        p = populations(ensemble)
        left = (x @ right) * np.linalg.solve(right, (x - x @ p) * p)
        grid, weights = np.polynomial.legendre.leggauss(40)

        def correlation(t):
            return (np.exp(np.multiply.outer(np.abs(t), values)) @ left).real

        found = hold_inversion(ensemble, edges)
        for k, l in itertools.product(range(3), repeat=2):  # noqa: E741
            u = edges[k] + 0.5 * np.diff(edges)[k] * (1.0 + grid)
            h = 0.25 * np.diff(edges)[k] * np.diff(edges)[l]
            if k == l:  # fold the square so that the kink lies on its edge
                lag = 0.5 * np.diff(edges)[k] * (1.0 + grid)
                exact = np.diff(edges)[k] * weights @ ((np.diff(edges)[k] - lag) * correlation(lag))
            else:
                v = edges[l] + 0.5 * np.diff(edges)[l] * (1.0 + grid)
                exact = h * weights @ correlation(u[:, None] - v[None, :]) @ weights
            assert found.covariance[k, l] == pytest.approx(exact, rel=1e-9)
        assert found.areas == pytest.approx(np.diff(edges) * (x @ p), rel=1e-10)

    def test_bins_add_up(self):
        """Bins of a hold add up to the single bin, and their s-slopes are those of one bin."""
        ensemble = PumpedEnsemble.at(300, -0.9)
        many = hold_inversion(ensemble, np.linspace(0.0, 12.0, 61))
        one = hold_bound(ensemble, BRIGHT, 12.0)
        assert many.mean_counts(BRIGHT).sum() == pytest.approx(one.mean, rel=1e-12)
        assert many.count_covariance(BRIGHT).sum() == pytest.approx(one.variance, rel=1e-12)
        state = pumped_steady_state(ensemble)
        slope = state.scaled_variance / (ensemble.pump / ensemble.decay)
        assert many.area_slopes.sum() == pytest.approx(12.0 * slope, rel=1e-6)

    def test_information_is_bracketed(self):
        """Known a, b: one count < all bins < every jump resolved (s = 0, sqrt(3/(2 gamma T)))."""
        ensemble = PumpedEnsemble.at(100, 0.0)
        binned = hold_inversion(ensemble, np.linspace(0.0, 30.0, 151))
        best = 1.0 / math.sqrt(binned.information(BRIGHT)[0, 0])
        floor = resolved_record_sigma_s(ensemble, 30.0)
        assert floor == pytest.approx(math.sqrt(1.5 / 30.0), rel=0.02)
        assert floor < best < hold_bound(ensemble, BRIGHT, 30.0).sigma_s

    def test_a_hold_does_not_calibrate_itself(self):
        """One bin cannot tell s, a and b apart: its information has rank at most 2."""
        one = hold_inversion(PumpedEnsemble.at(100, 0.3), [0.0, 10.0])
        values = np.linalg.eigvalsh(one.information(BRIGHT))
        assert values[0] < 1e-9 * values[-1]


class TestSweep:
    def test_brute_force(self):
        """Means and covariances over a ramp equal those from all populations, to 1e-8."""
        atoms, rate = 5, 4.0
        edges = np.array([-2.0, -0.5, 0.2, 2.4])
        ramp = population_ramp(atoms)
        x, n = np.linspace(-1.0, 1.0, atoms + 1), atoms + 1
        state = np.zeros((4, n))
        state[0] = populations(PumpedEnsemble.at(atoms, edges[0]))
        areas, covariance = np.zeros(3), np.zeros((3, 3))
        for k in range(3):

            def slope(t, y, k=k):
                matrix = dense(ramp, edges[k] + rate * t)
                rows = y[: 4 * n].reshape(4, n)
                change = rows @ matrix.T
                mean = x @ rows[0]
                change[k + 1] += (x - mean) * rows[0]
                return np.concatenate([change.ravel(), [mean], rows[1:] @ x])

            start = np.concatenate([state.ravel(), np.zeros(4)])
            span = (0.0, (edges[k + 1] - edges[k]) / rate)
            end = solve_ivp(slope, span, start, method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
            state = end[: 4 * n].reshape(4, n)
            areas[k] = end[4 * n]
            covariance[k] = end[4 * n + 1 :]
        covariance = (
            np.tril(covariance, -1) + np.tril(covariance, -1).T + np.diag(2.0 * np.diag(covariance))
        )
        found = sweep_inversion(atoms, edges, rate)
        assert found.areas == pytest.approx(areas, abs=1e-9)
        assert found.covariance == pytest.approx(covariance, abs=1e-9)
        faster = sweep_inversion(atoms, edges, 10.0 * rate, decay=10.0)
        assert faster.areas == pytest.approx(0.1 * found.areas, rel=1e-9)
        assert faster.covariance == pytest.approx(0.01 * found.covariance, rel=1e-8)
        assert faster.durations == pytest.approx(0.1 * found.durations)

    def test_bins_give_the_area(self):
        """The sum over bins is the variance of the area that sets the precision of a scan."""
        found = sweep_inversion(200, np.linspace(-16.8, 16.8, 30), 16.0)
        std = 8.0 * math.sqrt(found.covariance.sum())
        assert std == pytest.approx(scan_precision(200, 16.0, half_range=16.8).std, rel=1e-8)
        assert np.linalg.eigvalsh(found.covariance).min() > -1e-12

    def test_slopes(self):
        """Slopes along s equal differences of shifted ramps, up and down."""
        for edges in (np.linspace(-3.0, 3.0, 5), np.linspace(3.0, -2.0, 4)):
            found = sweep_inversion(40, edges, 2.0)
            high = sweep_inversion(40, edges + 1e-3, 2.0)
            low = sweep_inversion(40, edges - 1e-3, 2.0)
            slope = (high.areas - low.areas) / 2e-3
            assert found.area_slopes == pytest.approx(slope, abs=1e-6)
            slope = (high.covariance - low.covariance) / 2e-3
            assert found.covariance_slopes == pytest.approx(slope, abs=1e-6)

    def test_identifies_all_three(self):
        """A sweep across the transition determines s, a and b together."""
        found = sweep_inversion(200, np.linspace(-16.0, 16.0, 41), 4.0)
        information = found.information(BRIGHT)
        joint = np.sqrt(np.diag(np.linalg.inv(information)))
        alone = 1.0 / np.sqrt(np.diag(information))
        assert np.all(joint >= alone)
        assert joint[0] < 3.0 * alone[0]
        assert joint[1] < 0.5 * BRIGHT.half_rate

    def test_next_to_no_pumping(self):
        """A ramp from w = 0 has its slopes from one side only."""
        found = sweep_inversion(10, [-5.0, -3.0, 4.0], 2.0)
        assert np.all(found.area_slopes > 0.0)


class TestRecords:
    @given(
        atoms=st.integers(1, 12),
        s=st.floats(-0.4, 3.0),
        a=st.floats(0.5, 20.0),
        b=st.floats(0.0, 3.0),
        counts=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    )
    @settings(deadline=None, max_examples=40, derandomize=True)
    def test_is_the_hidden_chain(self, atoms, s, a, b, counts):
        """The filter in modes equals forward sums over all populations, held and swept."""
        ensemble = PumpedEnsemble.at(atoms, s, 1.3)
        readout, dt = FluorescenceReadout(a, b), 0.07
        x = np.linspace(-1.0, 1.0, atoms + 1)
        step = expm(1.3 * dt * dense(population_ramp(atoms), s))
        p, log_likelihood = populations(ensemble), 0.0
        for count in counts:
            p = p * poisson.pmf(count, dt * (a * (1.0 + x) + b))
            log_likelihood += math.log(p.sum())
            p = p / p.sum()
            mean, square = p @ x, p @ x**2
            p = step @ p
        found = filter_held_records(ensemble, readout, counts, dt)
        assert found.log_likelihood[0] == pytest.approx(log_likelihood, rel=1e-9, abs=1e-9)
        assert found.scaled_mean[0, -1] == pytest.approx(mean, abs=1e-9)
        assert found.scaled_variance[0, -1] == pytest.approx(square - mean**2, abs=1e-9)
        slow = filter_swept_records(atoms, s, 1e-10, readout, counts, dt, decay=1.3)
        assert slow.log_likelihood[0] == pytest.approx(log_likelihood, rel=1e-8, abs=1e-8)

    def test_swept_chain(self):
        """A sweep's likelihood equals that of populations moved by fine steps, up and down."""
        atoms, readout, dt, rate = 8, FluorescenceReadout(6.0, 1.0), 0.1, 3.0
        x, counts = np.linspace(-1.0, 1.0, 9), [0, 1, 3, 2, 0]
        for sign in (1.0, -1.0):
            start = -0.7 * sign
            p, exact = populations(PumpedEnsemble.at(atoms, start)), 0.0
            for k, count in enumerate(counts):
                p = p * poisson.pmf(count, dt * (6.0 * (1.0 + x) + 1.0))
                exact += math.log(p.sum())
                p = p / p.sum()

                def slope(t, y, k=k, sign=sign, start=start):
                    return dense(population_ramp(atoms), start + sign * rate * (k * dt + t)) @ y

                p = solve_ivp(slope, (0.0, dt), p, method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
            found = filter_swept_records(
                atoms, start, rate, readout, counts, dt, downward=sign < 0.0
            )
            assert found.log_likelihood[0] == pytest.approx(exact, abs=1e-9)

    def test_probabilities_add_to_one(self):
        """Over all records of two bins the likelihood sums to one."""
        records = np.array(list(itertools.product(range(16), repeat=2)))
        readout = FluorescenceReadout(8.0, 1.0)
        found = filter_held_records(PumpedEnsemble(20, 1.1), readout, records, 0.1)
        assert np.exp(found.log_likelihood).sum() == pytest.approx(1.0, abs=1e-7)
        assert found.scaled_mean.shape == (256, 2)

    @pytest.mark.parametrize("a", [5.0, 50.0, 5000.0])
    def test_few_modes_are_enough(self, a):
        """For large N the default modes give the likelihood of all N+1 populations to 1e-9."""
        rng = np.random.default_rng(3)
        wave = 1.0 + 0.7 * np.sin(np.arange(80) / 9.0)
        counts = rng.poisson(0.05 * (a * wave + 5.0))
        ensemble, readout = PumpedEnsemble.at(400, 0.5), FluorescenceReadout(a, 5.0)
        few = filter_held_records(ensemble, readout, counts, 0.05)
        full = filter_held_records(ensemble, readout, counts, 0.05, last_mode=400)
        assert few.log_likelihood == pytest.approx(full.log_likelihood, rel=1e-9)
        assert few.scaled_variance == pytest.approx(full.scaled_variance, abs=1e-9)

    def test_tracks_the_atoms(self):
        """At N = 1e9 a filtered record follows a slow change of the inversion."""
        counts = np.concatenate([np.full(40, 1), np.full(40, 9)])
        found = filter_held_records(PumpedEnsemble(10**9, 1.0), BRIGHT, counts, 0.1)
        assert found.scaled_mean[0, 39] < -0.6 < 0.5 < found.scaled_mean[0, 79]
        assert np.all(np.abs(found.scaled_mean) < 1.0)
        assert np.all(found.scaled_variance > 0.0)


class TestRefusals:
    @pytest.mark.parametrize(
        "call, words",
        [
            (lambda: FluorescenceReadout(0.0), r"`half_rate`"),
            (lambda: FluorescenceReadout(1.0, -1.0), r"`background`"),
            (lambda: FluorescenceReadout.of_atoms(10, 1.0, 0.0), r"`efficiency`"),
            (lambda: hold_bound(PumpedEnsemble(3, 1.0), BRIGHT, 0.0), r"`duration`"),
            (lambda: hold_inversion(PumpedEnsemble(3, 1.0), [0.0]), r"`edges`"),
            (lambda: hold_inversion(PumpedEnsemble(3, 1.0), [0.0, 1.0, 0.5]), r"`edges`"),
            (lambda: sweep_inversion(4, [-3.0, 1.0], 1.0), r"`edges` .* -2 .* -3"),
            (
                lambda: gaussian_information([np.ones(2)], np.eye(2), []),
                r"`covariance_slopes` .*1.* 0",
            ),
            (
                lambda: filter_held_records(PumpedEnsemble(3, 1.0), BRIGHT, [1, -1], 0.1),
                r"`counts`",
            ),
            (lambda: filter_held_records(PumpedEnsemble(3, 1.0), BRIGHT, [], 0.1), r"`counts`"),
            (
                lambda: filter_held_records(PumpedEnsemble(3, 1.0), BRIGHT, [1], 0.0),
                r"`bin_time`",
            ),
            (
                lambda: filter_swept_records(4, -1.5, 10.0, BRIGHT, [1], 0.1, downward=True),
                r"`start`",
            ),
        ],
    )
    def test_names_the_argument(self, call, words):
        """What cannot be computed is refused with the argument, the rule and the value."""
        with pytest.raises(ValueError, match=words):
            call()

    def test_knob(self):
        """a = eta Gamma_ind N/2."""
        assert FluorescenceReadout.of_atoms(1000, 0.2, 0.1, 3.0) == FluorescenceReadout(10.0, 3.0)
