"""Collectively pumped superradiance: scans, hysteresis and transients."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from cavitylab.models.pumped_superradiance import (
    PumpedEnsemble,
    inversion_limit,
    populations,
    pumped_steady_state,
)
from cavitylab.models.pumped_superradiance_hysteresis import (
    crossing_jitter,
    hysteresis,
    hysteresis_law,
    hysteresis_width_printed,
    scan_precision,
)
from cavitylab.models.pumped_superradiance_modes import population_ramp
from cavitylab.models.pumped_superradiance_scans import (
    dicke_populations,
    evolve_populations,
    pump_sweep,
)

CASES = json.loads(Path(__file__).with_name("oracles_pumped.json").read_text(encoding="utf-8"))
# H(r) of large N, the table of the reference
WIDTHS = {0.01: 0.01, 0.1: 0.09994, 1: 0.9596, 16: 9.0414, 128: 34.492, 1024: 117.61, 4096: 258.4}


def cases(function):
    return [
        pytest.param(
            case["inputs"], case["outputs"], case["rtol"], id=f"{case['id']}-{case['inputs']}"
        )
        for case in CASES["cases"]
        if case["function"] == function
    ]


def dense(ramp, s):
    rows = ramp.at(s)
    return np.diag(rows[1]) + np.diag(rows[0, 1:], -1) + np.diag(rows[2, :-1], 1)


class TestAgainstReferences:
    @pytest.mark.parametrize("i, expected, rtol", cases("scan"))
    def test_scan(self, i, expected, rtol):
        """A scan upward crosses zero, and reads at s = 2, where the reference does (Fig. 3b)."""
        sweep = pump_sweep(i["N"], -i["s_start"], i["s_start"], i["r"])
        assert sweep.crossing == pytest.approx(expected["s_cross"], rel=rtol)
        assert sweep.mean(i["s_read"]) == pytest.approx(expected["Jz_read"], rel=rtol)

    @pytest.mark.parametrize("i, expected, rtol", cases("hysteresis"))
    def test_hysteresis(self, i, expected, rtol):
        """Widths agree from N = 100 to 1e6 (Fig. 4)."""
        assert hysteresis(i["N"], i["r"]).width == pytest.approx(expected["width"], rel=rtol)

    @pytest.mark.parametrize("i, expected, rtol", cases("hysteresis_asymptotic"))
    def test_law(self, i, expected, rtol):
        """The law of fast scans agrees."""
        assert hysteresis_law(i["r"]) == pytest.approx(expected["width"], rel=rtol)

    @pytest.mark.parametrize("i, expected, rtol", cases("transient"))
    def test_transient(self, i, expected, rtol):
        """Moments on the way from |m0> agree (Eq. B13)."""
        ensemble = PumpedEnsemble(i["N"], i["w"])
        p = evolve_populations(ensemble, dicke_populations(i["N"], i["m0"]), [i["t"]])[0]
        m = np.arange(i["N"] + 1) - 0.5 * i["N"]
        assert p @ m == pytest.approx(expected["Jz"], rel=rtol)
        assert p @ m**2 - (p @ m) ** 2 == pytest.approx(expected["var"], rel=rtol)

    @pytest.mark.parametrize("rate", WIDTHS)
    def test_universal_width(self, rate):
        """All N collapse on H(r) (Fig. 4b)."""
        assert hysteresis(math.inf, rate).width == pytest.approx(WIDTHS[rate], rel=6e-5)

    def test_area_estimator(self):
        """Stds of one scan lie where stochastic simulation found them (0.55, 1.87, 4.2)."""
        for rate, simulated in ((1.0, 0.55), (16.0, 1.87), (100.0, 4.2)):
            found = scan_precision(200, rate)
            assert found.std == pytest.approx(simulated, rel=0.1)
        assert scan_precision(200, 100.0).root_time == pytest.approx(3.9, rel=0.02)


class TestAgainstBruteForce:
    def test_master_equation(self):
        """A transient equals QuTiP's solution of Eq. 1."""
        ensemble = PumpedEnsemble(6, 1.7, 0.8)
        lowering, jz = qutip.jmat(3, "-"), qutip.jmat(3, "z")
        jumps = [math.sqrt(0.8) * lowering, math.sqrt(1.7) * lowering.dag()]
        times = np.linspace(0.0, 1.0, 4)
        options = {"atol": 1e-12, "rtol": 1e-12}
        start = qutip.basis(7, 2) * qutip.basis(7, 2).dag()
        exact = qutip.mesolve(0 * jz, start, times, jumps, e_ops=[jz], options=options).expect[0]
        p = evolve_populations(ensemble, dicke_populations(6, 1.0), times)
        assert p @ (np.arange(7) - 3.0) == pytest.approx(exact, abs=1e-9)

    @pytest.mark.parametrize("atoms, rate, direction", [(30, 3.0, 1), (30, 3.0, -1), (50, 12.0, 1)])
    def test_all_populations(self, atoms, rate, direction):
        """Modes agree to 1e-8 with a general solver on all N+1 populations."""
        start, stop = -12.0 * direction, 12.0 * direction
        ramp = population_ramp(atoms)
        wanted = np.linspace(start, stop, 9)
        found = solve_ivp(
            lambda t, p: dense(ramp, start + direction * rate * t) @ p,
            (0.0, 24.0 / rate),
            populations(PumpedEnsemble.at(atoms, start)),
            method="Radau",
            t_eval=np.abs(wanted - start) / rate,
            rtol=1e-11,
            atol=1e-13,
            jac=lambda t, p: dense(ramp, start + direction * rate * t),
        )
        x = np.linspace(-1.0, 1.0, atoms + 1)
        sweep = pump_sweep(atoms, start, stop, rate)
        assert sweep.scaled_mean(wanted) == pytest.approx(x @ found.y, abs=1e-8)
        spread = x**2 @ found.y - (x @ found.y) ** 2
        assert sweep.scaled_variance(wanted) == pytest.approx(spread, abs=1e-8)


class TestScans:
    def test_slow_scans_follow(self):
        """At r << gamma the lag is r/(2 gamma): H = r/gamma (Eq. 8, upper line)."""
        found = hysteresis(10**9, 1e-3, decay=1.0)
        assert found.width == pytest.approx(1e-3, rel=1e-5)
        assert found.width == pytest.approx(hysteresis_width_printed(1e-3), rel=1e-5)
        sweep = pump_sweep(1000, -3.0, 3.0, 1e-6)
        for s in (-2.0, 0.5, 3.0):
            steady = pumped_steady_state(PumpedEnsemble.at(1000, s))
            assert sweep.scaled_mean(s) == pytest.approx(steady.scaled_mean, abs=1e-6)

    def test_fast_scans_follow_the_law(self):
        """The law is 1.20, 0.52 and 0.16 % high at r = 16, 128 and 1024; Eq. 8 is low by far."""
        for rate, error in ((16.0, 1.20), (128.0, 0.52), (1024.0, 0.16)):
            exact = hysteresis(math.inf, rate).width
            assert abs(hysteresis_law(rate) / exact - 1.0) == pytest.approx(error / 100, abs=2e-4)
            assert hysteresis_width_printed(rate) < exact / 1.5

    @given(rate=st.floats(0.05, 200.0), decay=st.floats(1e-3, 1e6), atoms=st.integers(200, 10**9))
    @settings(deadline=None, max_examples=15, derandomize=True)
    def test_scale_and_midpoint(self, rate, decay, atoms):
        """Only r/gamma matters, and the midpoint of up and down is zero up to 1/N."""
        found = hysteresis(atoms, rate * decay, decay=decay)
        assert found.width == pytest.approx(hysteresis(atoms, rate).width, rel=1e-8)
        assert abs(found.midpoint) * atoms < 5.0
        assert found.up > 0.0 > found.down
        limit = hysteresis(math.inf, rate).width
        assert found.width == pytest.approx(limit, rel=1.0 / atoms + 1e-7)
        assert found.pump_width == pytest.approx(2.0 * decay / atoms * found.width)

    def test_continued_sweeps(self):
        """A scan in two parts is the scan in one; back down it leaves the loop (Fig. 3b)."""
        whole = pump_sweep(500, -20.0, 20.0, 8.0)
        first = pump_sweep(500, -20.0, 2.0, 8.0)
        second = pump_sweep(500, 2.0, 20.0, 8.0, initial=first.final_modes)
        for s in (4.0, 10.0, 20.0):
            assert second.scaled_mean(s) == pytest.approx(whole.scaled_mean(s), abs=1e-8)
        back = pump_sweep(500, 20.0, -20.0, 8.0, initial=whole.final_modes)
        assert back.scaled_mean(0.0) > 0.5 > -0.5 > whole.scaled_mean(0.0)
        assert back.crossing < 0.0 < whole.crossing
        assert first.crossing is None

    def test_stays_physical(self):
        """|<x>| <= 1, 0 <= Var x <= 1 - <x>^2, and the ends approach the steady state."""
        for atoms, rate in ((3, 0.5), (100, 30.0), (10**9, 300.0)):
            low = max(-40.0, -0.5 * atoms)
            sweep = pump_sweep(atoms, low, 150.0, rate)
            s = np.linspace(low, 150.0, 400)
            mean, spread = sweep.scaled_mean(s), sweep.scaled_variance(s)
            assert np.all(np.abs(mean) <= 1.0 + 1e-9)
            assert np.all((spread > -1e-9) & (spread < 1.0 - mean**2 + 1e-9))
            assert np.all(np.diff(mean) > -1e-7)
            assert mean[-1] == pytest.approx(inversion_limit(150.0)[0], abs=0.02 + 1.0 / atoms)
        assert sweep.duration == pytest.approx(190.0 / 300.0)

    def test_from_the_empty_state(self):
        """A scan that begins at w = 0 begins with all atoms down."""
        sweep = pump_sweep(40, -20.0, 20.0, 50.0)
        assert sweep.mean(-20.0) == pytest.approx(-20.0, abs=1e-9)

    def test_jitter(self):
        """The spread of first crossings, 4.33 at r = 100, holds against simulation (4.2-4.8)."""
        assert crossing_jitter(100.0) == pytest.approx(4.33, abs=0.05)

    def test_precision_scales_as_one_over_atoms(self):
        """delta w = (2 gamma/N) std with a std that does not depend on N (behind Eq. 9)."""
        few, many = scan_precision(10**3, 5.0), scan_precision(10**8, 5.0)
        assert many.std == pytest.approx(few.std, rel=5e-3)
        assert many.pump_std == pytest.approx(2e-8 * many.std)
        fast = scan_precision(10**3, 10.0, decay=2.0)
        assert fast.std == pytest.approx(few.std)
        assert fast.duration == pytest.approx(0.5 * few.duration)

    def test_relaxes_to_the_steady_state(self):
        """Any start ends in the steady state; probability is kept on the way."""
        ensemble = PumpedEnsemble(60, 1.02, 1.0)
        p = evolve_populations(ensemble, dicke_populations(60, 30.0), [0.0, 1e-4, 0.1, 1.0, 20.0])
        assert p.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-11)
        assert p.min() > -1e-11
        assert p[0] == pytest.approx(dicke_populations(60, 30.0))
        assert p[-1] == pytest.approx(populations(ensemble), abs=1e-10)

    def test_fast_at_any_number_of_atoms(self):
        """Both scans of a hysteresis: under 0.2 s for N = 100, 1e5 and 1e9."""
        for atoms in (100, 10**5, 10**9):
            times = []
            for _ in range(3):
                begun = time.perf_counter()
                hysteresis(atoms, 16.0)
                times.append(time.perf_counter() - begun)
            assert min(times) < 0.2


class TestRefusals:
    @pytest.mark.parametrize(
        "call, words",
        [
            (lambda: pump_sweep(10, -6.0, 1.0, 1.0), r"`start` .* -5 .* -6"),
            (lambda: pump_sweep(10, 1.0, 1.0, 1.0), r"`stop`"),
            (lambda: pump_sweep(2.5, -1.0, 1.0, 1.0), r"`atoms` .* 2\.5"),
            (lambda: pump_sweep(10, -1.0, 1.0, 0.0), r"`rate` .* 0\.0"),
            (lambda: pump_sweep(10, -1.0, 1.0, 1.0, initial=np.zeros((2, 2))), r"`initial`"),
            (lambda: pump_sweep(10, -1.0, 1.0, 1.0).mean(2.0), r"`s` .* \[-1, 1\], but is 2\.0"),
            (lambda: hysteresis(4, 1000.0), r"`rate` .* 1000.0 .* N = 4"),
            (lambda: hysteresis_law(1.0), r"`rate` .* 4 .* 1\.0"),
            (lambda: scan_precision(10, 1.0, half_range=8.0), r"`half_range`"),
            (lambda: dicke_populations(3, 1.0), r"`m` .* 1\.0"),
            (lambda: evolve_populations(PumpedEnsemble(3, 1.0), np.ones(4), [1.0]), r"`start`"),
            (
                lambda: evolve_populations(
                    PumpedEnsemble(3, 1.0), dicke_populations(3, 0.5), [1.0, 0.5]
                ),
                r"`times`",
            ),
            (
                lambda: evolve_populations(PumpedEnsemble(10**6, 1.0), np.ones(1), [1.0]),
                r"`parameters` .* 200000 .* 1000000",
            ),
        ],
    )
    def test_names_the_argument(self, call, words):
        """What cannot be computed is refused with the argument, the rule and the value."""
        with pytest.raises(ValueError, match=words):
            call()
