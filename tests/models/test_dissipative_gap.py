"""The dissipative gap: reference values, QuTiP, and the late relaxation it governs."""

import math

import numpy as np
import pytest
import qutip

from cavitylab.models import TwoEnsembles
from cavitylab.models.dissipative_gap import (
    _dense_gap,
    _iterated_gap,
    dissipative_gap,
    perturbative_gap,
    population_generator,
)
from cavitylab.models.relaxation import relaxation
from cavitylab.models.relaxation_generator import generator


class TestAgainstReferences:
    def test_exact(self, oracle):
        """The gap of S = 2 at a strong drive agrees."""
        case = oracle("r17")
        i = case.inputs
        case.check("gap", dissipative_gap(TwoEnsembles(i.S, i.Omega, i.Delta, i.chi, i.Gamma)))

    def test_perturbative(self, oracle):
        """The perturbative gap agrees from S = 5 to S = 10000."""
        case = oracle("r18")
        sine = math.sin(math.atan(0.05))
        scaled = [
            perturbative_gap(TwoEnsembles(spin, 1.0, 0.1)) / (sine * (2 * spin + 1)) ** 2
            for spin in case.inputs.S
        ]
        case.check("g", scaled)

    def test_populations(self, oracle):
        """The matrix of the populations agrees."""
        case = oracle("r19")
        case.check("M", population_generator(case.inputs.S))


class TestExactGap:
    @pytest.mark.parametrize(
        "pair",
        [
            TwoEnsembles(1, 3.0, 1.0),
            TwoEnsembles(1.5, 1.0, 2.0, collective_decay=2.0),
            TwoEnsembles(1, 2.0, 0.7, exchange=1.0),
        ],
    )
    def test_qutip(self, pair):
        """All eigenvalues of QuTiP's Liouvillian in the product basis give the same gap."""
        one = qutip.qeye(round(2 * pair.spin) + 1)
        first = {a: qutip.tensor(qutip.jmat(pair.spin, a), one) for a in "xz+-"}
        second = {a: qutip.tensor(one, qutip.jmat(pair.spin, a)) for a in "xz+-"}
        h = pair.rabi_frequency * (first["x"] + second["x"])
        h += pair.detuning_difference / 2 * (first["z"] - second["z"])
        h += 0.5j * pair.exchange * (first["+"] * second["-"] - first["-"] * second["+"])
        jump = math.sqrt(pair.collective_decay) * (first["-"] + second["-"])
        values = np.linalg.eigvals(qutip.liouvillian(h, [jump]).full())
        expected = np.sort(-values.real)[1]
        assert dissipative_gap(pair) == pytest.approx(expected, rel=1e-8)

    @pytest.mark.parametrize(
        "pair", [TwoEnsembles(2, 4.0, 3.0), TwoEnsembles(1.5, 2.0, 1.0, exchange=0.8)]
    )
    def test_two_algorithms(self, pair):
        """Iteration on exp(tau L) and all eigenvalues of L agree."""
        system = generator(pair)
        assert _iterated_gap(system) == pytest.approx(_dense_gap(system), rel=1e-8)

    def test_late_relaxation(self):
        """The infidelity finally falls at the rate of the gap, but for 2e-4 of faster modes."""
        pair = TwoEnsembles(2, 16.0, 8.0)
        times = np.array([28.0, 30.0])
        early, late = relaxation(pair, times, discard=0.0).infidelity
        assert math.log(early / late) / 2.0 == pytest.approx(dissipative_gap(pair), rel=1e-3)


class TestPerturbativeGap:
    def test_weak_detuning(self):
        """Under a strong drive it approaches the exact gap as S Delta/Omega falls."""
        excess = [
            perturbative_gap(pair) / dissipative_gap(pair) - 1.0
            for pair in (TwoEnsembles(2, 40.0, 20.0), TwoEnsembles(2, 40.0, 5.0))
        ]
        assert 0.01 < excess[0] < 0.02
        assert abs(excess[1]) < 2e-3

    def test_rotating_modes(self):
        """At S Delta/Omega = 3 the slowest modes rotate and decay slower than populations."""
        pair = TwoEnsembles(2, 40.0, 60.0)
        assert perturbative_gap(pair) / dissipative_gap(pair) == pytest.approx(1.61, abs=0.01)

    @pytest.mark.parametrize("spin", [0.5, 1.0, 3.5, 20.0])
    def test_matches_the_matrix(self, spin):
        """It is the slowest decay of the population matrix without J = 0."""
        pair = TwoEnsembles(spin, 2.0, 1.0, collective_decay=3.0)
        slowest = np.min(-np.linalg.eigvals(population_generator(spin)[1:, 1:]).real)
        assert perturbative_gap(pair) == pytest.approx(3.0 * slowest / 17.0, rel=1e-10)

    @pytest.mark.parametrize("spin", [0.5, 2.0, 30.0])
    def test_probability_is_kept(self, spin):
        """sum_J (2J+1) M_{JJ'} = 0, and nothing leaves J = 0."""
        matrix = population_generator(spin)
        weights = 2.0 * np.arange(matrix.shape[0]) + 1.0
        np.testing.assert_allclose(weights @ matrix, 0.0, atol=1e-12 * np.abs(matrix).max() * 10)
        np.testing.assert_array_equal(matrix[:, 0], 0.0)


class TestRefusals:
    def test_perturbative_with_exchange(self):
        """Exchange is not part of the perturbation theory."""
        with pytest.raises(ValueError, match="`parameters` must have exchange 0, but has 0.5"):
            perturbative_gap(TwoEnsembles(1, 1.0, 1.0, exchange=0.5))

    def test_too_large_for_the_exact_gap(self):
        """A spin for which the iteration would take too long."""
        with pytest.raises(ValueError, match="spin of at most 8 .* has 20; use perturbative_gap"):
            dissipative_gap(TwoEnsembles(20, 1.0, 1.0))

    def test_spin(self):
        """A spin that is no multiple of one half."""
        with pytest.raises(ValueError, match="`spin` must be a positive multiple of 1/2"):
            population_generator(0.7)
