"""The secular limit of the relaxation: reference value, exact dynamics, invariants."""

import numpy as np
import pytest

from cavitylab.models import TwoEnsembles, relaxation_time_bound, steady_state
from cavitylab.models.relaxation import relaxation, relaxation_time
from cavitylab.models.relaxation_secular import secular_fidelity, secular_relaxation_time


class TestAgainstReferences:
    def test_relaxation_time(self, oracle):
        """t_ss of S = 10 agrees."""
        i = (case := oracle("r15")).inputs
        pair = TwoEnsembles(i.S, 1.0, i.Delta_over_Omega, collective_decay=i.Gamma)
        case.check("t_ss", secular_relaxation_time(pair, i.eps))

    @pytest.mark.parametrize(
        ("spin", "kappa", "factor"), [(5, 5, 4.93), (10, 2, 7.67), (10, 10, 5.23), (20, 10, 6.11)]
    )
    def test_in_units_of_the_variance(self, spin, kappa, factor):
        """Gamma t_ss Var agrees with tabulated values, given to three digits."""
        pair = TwoEnsembles(spin, 1.0, kappa / spin)
        got = secular_relaxation_time(pair) * steady_state(pair).variance
        assert got == pytest.approx(factor, abs=0.006)

    @pytest.mark.slow
    def test_large_pair(self):
        """S = 30, Delta/Omega = 1/3: Gamma t_ss Var = 6.59."""
        pair = TwoEnsembles(30, 1.0, 1.0 / 3.0)
        got = secular_relaxation_time(pair) * steady_state(pair).variance
        assert got == pytest.approx(6.59, abs=0.006)


class TestAgainstExactDynamics:
    @pytest.mark.parametrize("spin", [0.5, 1.0, 2.5])
    def test_strong_drive(self, spin):
        """The exact fidelity approaches the secular one as 1/Omega^2."""
        times = np.array([0.2, 0.5, 1.5]) / spin
        differences = []
        for drive in (20.0 * spin, 80.0 * spin):
            pair = TwoEnsembles(spin, drive, 0.8 * drive)
            limit = secular_fidelity(pair, times)
            exact = relaxation(pair, times, discard=0.0).fidelity
            differences.append(np.max(np.abs(exact - limit)))
        assert differences[0] < 2e-2
        assert differences[1] < 0.5 * differences[0]

    def test_time(self):
        """t_ss within 0.1 % of the exact one at Omega = 20 S Gamma."""
        pair = TwoEnsembles(3, 60.0, 60.0)
        assert secular_relaxation_time(pair) == pytest.approx(relaxation_time(pair), rel=1e-3)


class TestInvariants:
    @pytest.mark.parametrize("ratio", [0.3, -0.6, 1.5])
    def test_rises_from_all_down_to_one(self, ratio):
        """F starts at the weight of all-down, never falls, and ends at 1."""
        pair = TwoEnsembles(2, 1.0, ratio)
        state = steady_state(pair)
        times = np.concatenate([[0.0], np.geomspace(0.01, 30.0, 40) / state.variance])
        fidelity = secular_fidelity(pair, times)
        weight = state.weights[-1] if state.weights.size == 5 else 0.0
        assert fidelity[0] == pytest.approx(weight, abs=1e-12)
        assert np.all(np.diff(fidelity) > -1e-10)
        assert fidelity[-1] == pytest.approx(1.0, abs=1e-6)
        assert secular_relaxation_time(pair) > relaxation_time_bound(state, 1e-3, weight)

    def test_units(self):
        """The time depends on Delta/Omega and Gamma alone."""
        one = secular_relaxation_time(TwoEnsembles(2, 1.0, 0.5))
        other = secular_relaxation_time(TwoEnsembles(2, 7.0, 3.5, collective_decay=4.0))
        assert other == pytest.approx(one / 4, rel=1e-9)


class TestRefusals:
    def test_exchange(self):
        """Exchange is not part of this limit."""
        pair = TwoEnsembles(1, 1.0, 1.0, exchange=0.5)
        with pytest.raises(ValueError, match="`parameters` must have exchange 0"):
            secular_relaxation_time(pair)
        with pytest.raises(ValueError, match="`parameters` must have exchange 0"):
            secular_fidelity(pair, [1.0])

    def test_infidelity(self):
        """An infidelity below what the solver resolves."""
        with pytest.raises(ValueError, match="`infidelity` must lie strictly between 1e-06"):
            secular_relaxation_time(TwoEnsembles(1, 1.0, 1.0), 1e-7)

    def test_too_short(self):
        """A limit on the time that the relaxation does not meet."""
        with pytest.raises(ValueError, match="`longest` must leave time"):
            secular_relaxation_time(TwoEnsembles(1, 1.0, 1.0), longest=0.1)


class TestStability:
    @pytest.mark.parametrize(("spin", "ratio", "factor"), [(20, 2.0, 4.9), (30, 4.0 / 3.0, 5.52)])
    def test_large_tilt_after_the_basis_has_shrunk(self, spin, ratio, factor):
        """Above Delta/Omega = 1 the largest rate falls more slowly than J^2 as J is cut."""
        pair = TwoEnsembles(spin, 1.0, ratio)
        got = secular_relaxation_time(pair) * steady_state(pair).variance
        assert got == pytest.approx(factor, abs=0.1)
