"""Collectively pumped superradiance: steady state, rates and correlations."""

import decimal
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models.pumped_superradiance import (
    PumpedEnsemble,
    inversion_limit,
    log_populations,
    populations,
    pumped_steady_state,
    relaxation_rate_cumulant,
    total_sensitivity_printed,
)
from cavitylab.models.pumped_superradiance_modes import (
    _edge_time,
    _level_rates,
    _mode_rates,
    coherence_gap,
    correlation_modes,
    integrated_correlation_time,
    inversion_correlation,
    mode_ramp,
    population_ramp,
    relaxation_gap,
    relaxation_rates,
    stationary_modes,
)
from cavitylab.models.pumped_superradiance_records import quadrature

CASES = json.loads(Path(__file__).with_name("oracles_pumped.json").read_text(encoding="utf-8"))


def cases(function):
    return [
        pytest.param(
            case["inputs"], case["outputs"], case["rtol"], id=f"{case['id']}-{case['inputs']}"
        )
        for case in CASES["cases"]
        if case["function"] == function
    ]


def liouvillian(ensemble):
    lowering = qutip.jmat(ensemble.atoms / 2, "-")
    jumps = [
        math.sqrt(ensemble.decay) * lowering,
        math.sqrt(ensemble.pump) * lowering.dag(),
    ]
    return qutip.liouvillian(0 * lowering, jumps)


class TestAgainstReferences:
    @pytest.mark.parametrize("i, expected, rtol", cases("steady"))
    def test_steady_state(self, i, expected, rtol):
        """Moments, both informations and the flux agree from N = 2 to 1e5 (Eqs. 3, D3)."""
        state = pumped_steady_state(PumpedEnsemble(i["N"], i["w"]))
        assert state.mean == pytest.approx(expected["Jz"], rel=rtol)
        assert state.variance == pytest.approx(expected["var"], rel=rtol)
        assert state.fisher_information == pytest.approx(expected["fisher_w"], rel=rtol)
        assert state.flux == pytest.approx(expected["pump_flux"], rel=rtol)
        rate = expected["fisher_w_record_rate"]
        assert state.record_information_rate == pytest.approx(rate, rel=rtol)

    @pytest.mark.parametrize("i, expected, rtol", cases("gap"))
    def test_rates(self, i, expected, rtol):
        """The two slowest rates of the populations agree (Fig. 6)."""
        ensemble = PumpedEnsemble(i["N"], i["w"])
        rates = relaxation_rates(ensemble, 3)
        assert rates[0] == 0.0
        assert rates[1:] == pytest.approx([expected["l1"], expected["l2"]], rel=rtol)
        assert relaxation_gap(ensemble) == pytest.approx(expected["l1"], rel=rtol)

    @pytest.mark.parametrize("i, expected, rtol", cases("gap_q"))
    def test_coherences(self, i, expected, rtol):
        """The slowest rate of the sector |m><m+q| agrees (App. C)."""
        found = coherence_gap(PumpedEnsemble(i["N"], i["w"]), i["q"])
        assert found == pytest.approx(expected["gap"], rel=rtol)

    @pytest.mark.parametrize("i, expected, rtol", cases("integrated_time"))
    def test_integrated_time(self, i, expected, rtol):
        """The integrated correlation time agrees; it is 1/(2 gamma) at w = gamma."""
        found = integrated_correlation_time(PumpedEnsemble(i["N"], i["w"]))
        assert found == pytest.approx(expected["tau"], rel=rtol)

    @pytest.mark.parametrize("i, expected, rtol", cases("relaxation_formula"))
    def test_cumulant_rate(self, i, expected, rtol):
        """Eq. E5 with the exact <Jz> agrees."""
        found = relaxation_rate_cumulant(PumpedEnsemble(i["N"], i["w"]))
        assert found == pytest.approx(expected["lam"], rel=rtol)

    def test_limit_of_many_atoms(self):
        """Gaps and correlation times reach the tabulated values of large N."""
        table = {0.5: (2.050, 0.486), 3: (3.776, 0.242), 10: (17.506, 0.056), 20: (37.88, 0.026)}
        for s, (gap, tau) in table.items():
            ensemble = PumpedEnsemble.at(10**9, s)
            assert relaxation_gap(ensemble) == pytest.approx(gap, abs=1e-3)
            assert integrated_correlation_time(ensemble) == pytest.approx(tau, abs=5e-4)


class TestAgainstBruteForce:
    @pytest.mark.parametrize(
        "ensemble",
        [PumpedEnsemble(1, 0.3), PumpedEnsemble(5, 1.4, 1.0), PumpedEnsemble(7, 2.0, 3.0)],
    )
    def test_master_equation(self, ensemble):
        """State, fluxes and the whole spectrum equal those of QuTiP's Liouvillian (Eq. 1)."""
        generator = liouvillian(ensemble)
        rho = qutip.steadystate(generator)
        jz, lowering = qutip.jmat(ensemble.atoms / 2, "z"), qutip.jmat(ensemble.atoms / 2, "-")
        state = pumped_steady_state(ensemble)
        assert state.mean == pytest.approx(qutip.expect(jz, rho), rel=1e-8)
        assert state.variance == pytest.approx(qutip.variance(jz, rho), rel=1e-8)
        flux = ensemble.decay * qutip.expect(lowering.dag() * lowering, rho)
        assert state.flux == pytest.approx(flux, rel=1e-8)
        assert populations(ensemble) == pytest.approx(rho.diag()[::-1], abs=1e-10)
        n = ensemble.atoms
        sectors = [relaxation_rates(ensemble, n + 1 - abs(q), q) for q in range(-n, n + 1)]
        exact = np.sort(-np.linalg.eigvals(generator.full()).real)
        assert np.sort(np.concatenate(sectors)) == pytest.approx(exact, abs=1e-7)

    def test_two_time_correlation(self):
        """C_zz(t) equals QuTiP's regression (Eq. E1)."""
        ensemble = PumpedEnsemble(6, 1.3, 0.9)
        jz, lowering = qutip.jmat(3, "z"), qutip.jmat(3, "-")
        jumps = [math.sqrt(0.9) * lowering, math.sqrt(1.3) * lowering.dag()]
        times = np.linspace(0.0, 0.8, 5)
        options = {"atol": 1e-12, "rtol": 1e-12}
        rho = qutip.steadystate(liouvillian(ensemble))
        exact = qutip.correlation_2op_1t(
            0 * jz, rho, times, jumps, jz, jz, options=options
        ).real - (qutip.expect(jz, rho) ** 2)
        assert inversion_correlation(ensemble, times) == pytest.approx(exact, abs=1e-8)

    @pytest.mark.parametrize("atoms", [1, 2, 9, 40])
    def test_modes_are_the_populations_turned(self, atoms):
        """The equations of modes and of populations are one matrix in two bases (Eq. B13)."""
        nodes, basis = quadrature(1.0 / atoms, atoms)
        assert nodes == pytest.approx(np.linspace(-1.0, 1.0, atoms + 1), abs=1e-12)
        basis = basis * np.sign(basis[0])
        for s in (-0.4, 0.0, 3.0):
            dense = [
                np.diag(rows[1]) + np.diag(rows[0, 1:], -1) + np.diag(rows[2, :-1], 1)
                for rows in (mode_ramp(1.0 / atoms, atoms).at(s), population_ramp(atoms).at(s))
            ]
            scale = np.abs(dense[1]).max()
            assert basis.T @ dense[0] @ basis == pytest.approx(dense[1], abs=1e-12 * scale)

    @pytest.mark.parametrize("atoms, s", [(1, -0.3), (30, 8.0), (30, -15.0), (200, 60.0)])
    def test_stationary_modes(self, atoms, s):
        """The steady state in modes is (w/gamma)^m in populations (Eq. 3)."""
        _, basis = quadrature(1.0 / atoms, atoms)
        basis = basis * np.sign(basis[0])
        found = basis.T @ stationary_modes(1.0 / atoms, s, atoms) / math.sqrt(atoms + 1.0)
        assert found == pytest.approx(populations(PumpedEnsemble.at(atoms, s)), abs=1e-12)


def exact_moments(atoms, scaled_pump):
    """<Jz> and Var Jz with 60 digits."""
    with decimal.localcontext(
        decimal.Context(prec=80, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
    ):
        n = decimal.Decimal(atoms)
        x = (1 + 2 * decimal.Decimal(scaled_pump) / n).ln()

        def coth(y):
            return ((2 * y).exp() + 1) / ((2 * y).exp() - 1)

        def inverse_sinh_square(y):
            return 4 / (y.exp() - (-y).exp()) ** 2

        big, half = (n + 1) * x / 2, x / 2
        mean = (n + 1) / 2 * coth(big) - coth(half) / 2
        variance = inverse_sinh_square(half) / 4 - (n + 1) ** 2 / 4 * inverse_sinh_square(big)
        return float(mean), float(variance)


class TestClosedForms:
    @pytest.mark.parametrize("atoms", [1, 2, 3, 10, 100, 10**4, 10**6, 10**9])
    @pytest.mark.parametrize("s", [1e-9, 1e-4, 0.03, 0.37, 0.49, 1.3, 7.0, 60.0, 3e3, 1e7])
    def test_multiprecision(self, atoms, s):
        """Moments hold 1e-12 relative from N = 1 to 1e9 and from s = 1e-9 to 1e7."""
        for signed in (s, -s):
            if 2.0 * signed <= -atoms:
                continue
            mean, variance = exact_moments(atoms, signed)
            state = pumped_steady_state(PumpedEnsemble.at(atoms, signed))
            assert state.mean == pytest.approx(mean, rel=1e-12)
            assert state.variance == pytest.approx(variance, rel=1e-12)

    @given(atoms=st.integers(1, 3000), ratio=st.floats(1e-6, 1e6))
    @settings(deadline=None, max_examples=80, derandomize=True)
    def test_closed_forms_are_the_sums(self, atoms, ratio):
        """Moments and information equal sums over the populations, which add to one."""
        ensemble = PumpedEnsemble(atoms, ratio)
        p = populations(ensemble)
        m = np.arange(atoms + 1) - 0.5 * atoms
        state = pumped_steady_state(ensemble)
        assert p.sum() == pytest.approx(1.0, abs=1e-12)
        assert p == pytest.approx(np.exp(log_populations(ensemble)))
        assert state.mean == pytest.approx(p @ m, abs=1e-10 * atoms)
        assert state.variance == pytest.approx(p @ (m - p @ m) ** 2, rel=1e-8)
        raised = float(p @ ((0.5 * atoms - m) * (0.5 * atoms + m + 1.0)))
        assert state.flux == pytest.approx(ratio * raised, rel=1e-9)

    @given(
        atoms=st.integers(1, 10**9),
        s=st.floats(0.0, 0.5),
        decay=st.floats(1e-3, 1e6),
        scale=st.floats(1e-3, 1e3),
    )
    @settings(deadline=None, max_examples=60, derandomize=True)
    def test_symmetries(self, atoms, s, decay, scale):
        """A common factor of all rates only scales; exchange of w and gamma flips <Jz>."""
        ensemble = PumpedEnsemble.at(atoms, s * min(atoms, 60.0), decay)
        state = pumped_steady_state(ensemble)
        scaled = PumpedEnsemble.at(atoms, s * min(atoms, 60.0), scale * decay)
        other = pumped_steady_state(scaled)
        assert other.mean == pytest.approx(state.mean, rel=1e-9)
        assert other.flux == pytest.approx(scale * state.flux, rel=1e-9)
        assert other.fisher_information == pytest.approx(
            state.fisher_information / scale**2, rel=1e-9
        )
        gap = relaxation_gap(ensemble)
        assert relaxation_gap(scaled) == pytest.approx(scale * gap, rel=1e-7)
        tau = integrated_correlation_time(ensemble)
        assert integrated_correlation_time(scaled) == pytest.approx(tau / scale, rel=1e-7)
        small = PumpedEnsemble(min(atoms, 10**6), ensemble.pump, decay)
        swapped = PumpedEnsemble(small.atoms, decay, ensemble.pump)
        assert pumped_steady_state(swapped).mean == pytest.approx(
            -pumped_steady_state(small).mean, rel=1e-6, abs=1e-6
        )
        assert relaxation_gap(swapped) == pytest.approx(relaxation_gap(small), rel=1e-7)

    def test_at_the_transition(self):
        """Var = N(N+2)/12, flux = gamma N(N+2)/6 and delta w = gamma sqrt(12/(N(N+2))) (Eq. 5)."""
        for atoms in (1, 4, 10**3, 10**9):
            state = pumped_steady_state(PumpedEnsemble(atoms, 2.5, 2.5))
            product = atoms * (atoms + 2.0)
            assert state.mean == 0.0
            assert state.variance == pytest.approx(product / 12.0, rel=1e-14)
            assert state.flux == pytest.approx(2.5 * product / 6.0, rel=1e-14)
            assert state.pump_uncertainty == pytest.approx(2.5 * math.sqrt(12.0 / product))

    def test_without_pumping(self):
        """w = 0 is the empty state: nothing fluctuates, and rates are those of pure decay."""
        ensemble = PumpedEnsemble(8, 0.0, 2.0)
        state = pumped_steady_state(ensemble)
        assert (state.mean, state.variance, state.flux) == (-4.0, 0.0, 0.0)
        assert math.isinf(state.pump_uncertainty)
        assert populations(ensemble)[0] == 1.0
        assert relaxation_gap(ensemble) == pytest.approx(16.0)
        assert integrated_correlation_time(ensemble) == pytest.approx(1.0 / 16.0)

    def test_printed_limit(self):
        """Eq. 4 is the limit: low by about one atom in N + 1 (1-3 % at N = 100)."""
        for s in (0.5, 1.0, 3.0):
            printed, spread = inversion_limit(s)
            state = pumped_steady_state(PumpedEnsemble.at(10**8, s))
            assert state.scaled_mean == pytest.approx(printed, rel=1e-7)
            assert state.scaled_variance == pytest.approx(spread, rel=1e-6)
            at_hundred = pumped_steady_state(PumpedEnsemble.at(100, s)).scaled_mean
            assert 0.0 < abs(at_hundred / printed - 1.0) < 0.03


class TestRates:
    def test_diagonal_at_the_transition(self):
        """Rates gamma [l(l+1) - q^2] at w = gamma: the gap is 2 gamma for every N (Fig. 2b)."""
        for atoms in (3, 50, 10**9):
            for q in (0, 1, 2):
                found = relaxation_rates(PumpedEnsemble(atoms, 3.0, 3.0), 2, q)
                exact = [3.0 * (l * (l + 1) - q * q) for l in (q, q + 1)]  # noqa: E741
                assert found == pytest.approx(exact, rel=1e-12, abs=1e-11)

    @pytest.mark.parametrize(
        "atoms, s, q", [(60, 5.0, 0), (60, -12.0, 3), (300, 40.0, 1), (1000, 300.0, 0)]
    )
    def test_modes_and_levels_agree(self, atoms, s, q):
        """Two algorithms, modes and levels, give the same rates to 1e-10 of the largest."""
        ensemble = PumpedEnsemble.at(atoms, s)
        modes = _mode_rates(ensemble, atoms, 4, q)
        levels = _level_rates(ensemble, atoms + 1 - q, 4, q)
        assert modes == pytest.approx(levels, abs=1e-12 * levels[-1] * (1.0 + abs(s)))

    def test_far_from_the_transition(self):
        """The gap tends to 2 |s| gamma, tau to its inverse, smoothly through all methods."""
        for s in (2e3, -1e4, 1e6, 3.5e6, 3.7e6, -1e8, 4e8):
            ensemble = PumpedEnsemble.at(10**9, s)
            gap = relaxation_gap(ensemble)
            assert gap == pytest.approx(2.0 * abs(s), rel=2.0 / abs(s) + 3e-9)
            assert integrated_correlation_time(ensemble) * gap == pytest.approx(1.0, abs=1e-6)

    def test_correlation_time_across_the_switch(self):
        """The geometric series far away and the modes near by agree where they meet."""
        for atoms, s in ((500, 44.0), (10**6, 44.0), (10**9, -44.0)):
            ensemble = PumpedEnsemble.at(atoms, s)
            near = integrated_correlation_time(ensemble)
            assert _edge_time(ensemble) == pytest.approx(near, rel=1e-10)

    @pytest.mark.parametrize("atoms", [1, 2, 50, 10**4, 10**9])
    @pytest.mark.parametrize("ratio", [1e-300, 1e-8, 0.1, 1.0 + 1e-7, 3.0, 1e8, 1e200])
    def test_any_ratio(self, atoms, ratio):
        """Far off, N atoms relax towards the full or the empty state at N max(w, gamma)."""
        ensemble = PumpedEnsemble(atoms, 2.0 * ratio, 2.0)
        gap, tau = relaxation_gap(ensemble), integrated_correlation_time(ensemble)
        assert math.isfinite(gap) and gap * tau == pytest.approx(1.0, abs=0.15)
        assert math.isfinite(relaxation_rate_cumulant(ensemble)) and coherence_gap(ensemble) > 0.0
        if not 1e-100 < ratio < 1e100:
            assert gap == pytest.approx(2.0 * atoms * max(1.0, ratio), rel=1e-6)

    @pytest.mark.parametrize("atoms", [400, 401])
    @pytest.mark.parametrize("s", [-180.0, -46.0, -43.0, -1.0, 0.0, 0.3, 40.0, 170.0])
    def test_correlation_time_of_few_and_many(self, atoms, s):
        """Levels (up to 400 atoms), modes and series join smoothly in N."""
        found = integrated_correlation_time(PumpedEnsemble.at(atoms, s))
        nearby = integrated_correlation_time(PumpedEnsemble.at(801 - atoms, s))
        assert found == pytest.approx(nearby, rel=5e-3 * abs(s) / 100.0 + 1e-5)
        rates, weights = correlation_modes(PumpedEnsemble.at(atoms, s))
        assert (weights / rates).sum() / weights.sum() == pytest.approx(found, rel=1e-9)

    def test_correlations_integrate(self):
        """The relaxation modes add up to the variance and to tau."""
        for atoms, s in ((7, -2.0), (100, 1.5), (10**9, 4.0)):
            ensemble = PumpedEnsemble.at(atoms, s, 2.0)
            rates, weights = correlation_modes(ensemble)
            assert np.all(weights > -1e-18)
            variance = pumped_steady_state(ensemble).scaled_variance
            assert weights.sum() == pytest.approx(variance, rel=1e-10)
            tau = integrated_correlation_time(ensemble)
            assert (weights / rates).sum() / weights.sum() == pytest.approx(tau, rel=1e-10)

    def test_cumulant_rate_overestimates(self):
        """Eqs. E5 and 7 are exact at w = gamma, right far away, and 60 % high at |s| = 3.2."""
        exact = PumpedEnsemble(100, 1.0)
        assert relaxation_rate_cumulant(exact) == pytest.approx(relaxation_gap(exact))
        worst = PumpedEnsemble.at(1000, 3.2)
        assert relaxation_rate_cumulant(worst) / relaxation_gap(worst) == pytest.approx(
            1.6, abs=0.01
        )

    def test_cost_does_not_grow_with_atoms(self):
        """Moments and the exact gap of 1e9 atoms take milliseconds (bound: 0.1 s)."""
        ensemble = PumpedEnsemble.at(10**9, 2.0)
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            pumped_steady_state(ensemble)
            relaxation_gap(ensemble)
            integrated_correlation_time(ensemble)
            times.append(time.perf_counter() - begun)
        assert min(times) < 0.1


class TestRefusals:
    @pytest.mark.parametrize(
        "arguments, name",
        [
            ((0, 1.0), "atoms"),
            ((2.5, 1.0), "atoms"),
            ((4, -1.0), "pump"),
            ((4, math.nan), "pump"),
            ((4, 1.0, 0.0), "decay"),
            ((4, 1.0, 1.0, 0.1), "pump_remainder"),
        ],
    )
    def test_parameters(self, arguments, name):
        """Parameters outside their rules are refused by name."""
        with pytest.raises(ValueError, match=f"`{name}`"):
            PumpedEnsemble(*arguments)

    def test_methods(self):
        """So are a pump below zero, too many levels, and rates that do not exist."""
        with pytest.raises(ValueError, match="`scaled_pump` .* -5 .* -6"):
            PumpedEnsemble.at(10, -6.0)
        with pytest.raises(ValueError, match="`atoms` .* 20000000 .* 1000000000"):
            populations(PumpedEnsemble(10**9, 1.0))
        with pytest.raises(ValueError, match="`pump`"):
            log_populations(PumpedEnsemble(3, 0.0))
        with pytest.raises(ValueError, match="`count` .* 4 rates .* 5"):
            relaxation_rates(PumpedEnsemble(3, 1.0), 5)
        with pytest.raises(ValueError, match="`order`"):
            coherence_gap(PumpedEnsemble(3, 1.0), 0)
        with pytest.raises(ValueError, match="`times`"):
            inversion_correlation(PumpedEnsemble(3, 1.0), [-1.0])
        with pytest.raises(ValueError, match="5e4"):
            correlation_modes(PumpedEnsemble.at(10**9, 1e6))
        with pytest.raises(ValueError, match="`rate`"):
            total_sensitivity_printed(100, 0.0, 1.0)

    def test_printed_sensitivity(self):
        """Eq. 9 scales as 1/N and 1/sqrt(T), falls for slow scans and rises for fast ones."""
        base = total_sensitivity_printed(100, 1.0, 50.0)
        assert base == pytest.approx(1.0 / 100.0 / math.sqrt(50.0))
        assert total_sensitivity_printed(200, 1.0, 200.0) == pytest.approx(base / 4.0)
        assert total_sensitivity_printed(100, 0.01, 50.0) == pytest.approx(10.0 * base)
        assert total_sensitivity_printed(100, 100.0, 50.0) == pytest.approx(
            100.0 ** (0.5 * (3.0 * 0.61 - 1.0)) * base
        )
