"""Pumping through a third level: elimination and the shift of the critical point."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import qutip
from scipy.optimize import brentq

from cavitylab.models.pumped_superradiance import PumpedEnsemble, populations, pumped_steady_state
from cavitylab.models.pumped_superradiance_three_level import (
    ThreeLevelPump,
    critical_shift,
    effective_pump,
    three_level_steady_state,
)

CASES = json.loads(Path(__file__).with_name("oracles_pumped.json").read_text(encoding="utf-8"))


def case(function):
    (only,) = (case for case in CASES["cases"] if case["function"] == function)
    i = only["inputs"]
    scheme = ThreeLevelPump(i["N"], i["Omega"], i["delta"], i["gamma_r"])
    return scheme, only["outputs"], only["rtol"]


def full_space(scheme):
    """Mean of (N_e - N_g)/2 from QuTiP, all N three-level atoms symmetrised by hand."""
    n = scheme.atoms
    states = [(e, r) for e in range(n + 1) for r in range(n + 1 - e)]
    place = {state: index for index, state in enumerate(states)}
    size = len(states)
    rg, ge, er = (np.zeros((size, size)) for _ in range(3))
    for (e, r), index in place.items():
        g = n - e - r
        if g > 0:
            rg[place[e, r + 1], index] = math.sqrt(g * (r + 1))
        if e > 0:
            ge[place[e - 1, r], index] = math.sqrt(e * (g + 1))
        if r > 0:
            er[place[e + 1, r - 1], index] = math.sqrt(r * (e + 1))
    number = np.diag([float(r) for _, r in states])
    h = qutip.Qobj(-scheme.detuning * number + scheme.drive * (rg + rg.T))
    jumps = [
        math.sqrt(scheme.decay) * qutip.Qobj(ge),
        math.sqrt(scheme.excited_decay) * qutip.Qobj(er),
    ]
    rho = qutip.steadystate(h, jumps).full().real.diagonal()
    inversion = np.array([0.5 * (e - (n - e - r)) for e, r in states])
    return float(rho @ inversion), float(rho @ number.diagonal())


class TestAgainstReferences:
    def test_three_levels(self):
        """The full steady state of Eq. 2 agrees."""
        scheme, expected, rtol = case("three_level")
        found = three_level_steady_state(scheme)
        assert found.mean == pytest.approx(expected["Jz"], rel=rtol)
        assert found.excited == pytest.approx(expected["n_r"], rel=rtol)

    def test_effective_pump(self):
        """<Jz> with w_m of Eq. B15 agrees."""
        scheme, expected, rtol = case("effective_pump")
        assert scheme.nominal_pump == pytest.approx(expected["w0"], rel=rtol)
        assert effective_pump(scheme).mean == pytest.approx(expected["Jz"], rel=rtol)

    def test_finite_detuning(self):
        """N = 6, delta = 3000, gamma_r = 1000: -0.973 in full, -0.971 by Eq. B15."""
        scheme = ThreeLevelPump.at_pump(6, 1.0, 3000.0, 1000.0)
        assert three_level_steady_state(scheme).mean == pytest.approx(-0.973, abs=5e-4)
        assert effective_pump(scheme).mean == pytest.approx(-0.971, abs=5e-4)

    def test_shift_from_the_linewidth(self):
        """ln(w_c/gamma) is 0.0191 at N = 50 and 0.0118 at N = 200; first order is close."""
        found = critical_shift(ThreeLevelPump(50, 1.0, 1e4, 100.0))
        assert found.linewidth == pytest.approx(0.0191, abs=5e-5)
        assert found.linewidth_estimate == pytest.approx(found.linewidth, rel=0.03)
        found = critical_shift(ThreeLevelPump(200, 1.0, 1e5, 200.0))
        assert found.linewidth == pytest.approx(0.0118, abs=5e-5)
        assert found.linewidth_estimate == pytest.approx(found.linewidth, rel=0.04)


class TestAgainstBruteForce:
    @pytest.mark.parametrize(
        "scheme",
        [
            ThreeLevelPump(1, 2.0, 3.0, 4.0, 0.7),
            ThreeLevelPump(2, 5.0, -8.0, 3.0),
            ThreeLevelPump(3, 0.5, 1.0, 2.0, 2.0),
        ],
    )
    def test_no_coherence_between_blocks(self, scheme):
        """Blocks of equal n_e give QuTiP's steady state over all symmetric states (Eq. 2)."""
        mean, excited = full_space(scheme)
        found = three_level_steady_state(scheme)
        assert found.mean == pytest.approx(mean, abs=1e-8)
        assert found.excited == pytest.approx(excited, abs=1e-8)

    @pytest.mark.parametrize("atoms", [1, 2, 4, 6, 12])
    def test_shift_from_the_population(self, atoms):
        """The full critical point lies at c gamma/gamma_r, c = (2N+1)/(N+2), for delta -> inf."""

        def mean(log_pump):
            scheme = ThreeLevelPump.at_pump(atoms, math.exp(log_pump), 1e8, 1e3)
            return three_level_steady_state(scheme, most_excited=3).mean

        exact = brentq(mean, -0.01, 0.01, xtol=1e-10)
        scheme = ThreeLevelPump.at_pump(atoms, 1.0, 1e8, 1e3)
        assert critical_shift(scheme).occupation == pytest.approx(exact, rel=2e-3)

    def test_truncation(self):
        """Few atoms in |r> are enough where it is hardly populated, and the weight says so."""
        scheme = ThreeLevelPump.at_pump(10, 1.0, 1e4, 500.0)
        full = three_level_steady_state(scheme)
        some = three_level_steady_state(scheme, most_excited=3)
        assert some.mean == pytest.approx(full.mean, abs=1e-5)
        assert some.highest_weight < 1e-4
        assert three_level_steady_state(scheme, most_excited=1).highest_weight > 1e-3


class TestElimination:
    def test_tends_to_the_two_level_model(self):
        """With N gamma << gamma_r << delta/N everything becomes Eq. 1 at w (B13-B17)."""
        for pump in (0.8, 1.0, 1.3):
            scheme = ThreeLevelPump.at_pump(5, pump, 1e9, 1e6)
            exact = pumped_steady_state(PumpedEnsemble(5, pump))
            assert three_level_steady_state(scheme).mean == pytest.approx(exact.mean, abs=2e-5)
            reduced = effective_pump(scheme)
            assert reduced.mean == pytest.approx(exact.mean, abs=1e-5)
            assert reduced.variance == pytest.approx(exact.variance, abs=1e-5)
            assert reduced.populations == pytest.approx(
                populations(PumpedEnsemble(5, pump)), abs=1e-5
            )

    def test_rates(self):
        """w_m falls with the number of excited atoms (Eq. B15)."""
        scheme = ThreeLevelPump(4, 30.0, 50.0, 20.0, 3.0)
        n_e = np.arange(4)
        exact = 20.0 * 30.0**2 / (50.0**2 + 0.25 * 20.0**2 * (n_e + 1) ** 2)
        assert effective_pump(scheme).rates == pytest.approx(exact)
        assert scheme.light_shift == pytest.approx(18.0)

    def test_shift_is_where_the_inversion_vanishes(self):
        """At the shifted nominal pump <Jz> of Eq. B15 is zero, for any size of the shift."""
        for atoms, width in ((1, 5.0), (30, 1.0), (30, 300.0), (10**5, 1e-3)):
            scheme = ThreeLevelPump(atoms, 1.0, 1e3, width)
            pump = math.exp(critical_shift(scheme).linewidth)
            balanced = ThreeLevelPump.at_pump(atoms, pump, 1e3, width)
            assert effective_pump(balanced).mean == pytest.approx(0.0, abs=1e-7 * atoms)

    def test_printed_conditions_are_not_enough(self):
        """All ratios of B14 and B16 below 0.1, and yet a shift of many widths 2/N."""
        scheme = ThreeLevelPump.at_pump(10**5, 1.0, 2e13, 1e7)
        assert max(scheme.elimination_ratios.values()) <= 0.1 + 1e-12
        assert critical_shift(scheme).in_widths > 5.0


class TestRefusals:
    @pytest.mark.parametrize(
        "call, words",
        [
            (lambda: ThreeLevelPump(0, 1.0, 1.0, 1.0), r"`atoms`"),
            (lambda: ThreeLevelPump(1, -1.0, 1.0, 1.0), r"`drive`"),
            (lambda: ThreeLevelPump(1, 1.0, 0.0, 1.0), r"`detuning`"),
            (lambda: ThreeLevelPump(1, 1.0, 1.0, 0.0), r"`excited_decay`"),
            (lambda: ThreeLevelPump(1, 1.0, 1.0, 1.0, -1.0), r"`decay`"),
            (lambda: effective_pump(ThreeLevelPump(1, 0.0, 1.0, 1.0)), r"`drive`"),
            (
                lambda: three_level_steady_state(ThreeLevelPump(60, 1.0, 9.0, 1.0)),
                r"`scheme` .* 20000 .* N = 60 .* lower `most_excited`",
            ),
            (
                lambda: three_level_steady_state(ThreeLevelPump(6, 1.0, 9.0, 1.0), most_excited=0),
                r"`most_excited`",
            ),
            (
                lambda: critical_shift(ThreeLevelPump(10**9, 1.0, 1e30, 1.0)),
                r"`scheme` .* 20000000 .* 1000000000",
            ),
        ],
    )
    def test_names_the_argument(self, call, words):
        """What cannot be computed is refused with the argument, the rule and the value."""
        with pytest.raises(ValueError, match=words):
            call()
