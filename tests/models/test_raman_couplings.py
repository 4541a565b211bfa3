"""Hardware couplings, against the time-averaged Hamiltonian and eliminated cavities."""

import math

import numpy as np
import pytest

from cavitylab.models.raman_couplings import (
    cavity_decay,
    cooperativity,
    coupling_for_decay,
    network_phases,
    network_rates,
    raman_exchange,
    raman_shift,
    raman_tones,
)

TWO_PI = 2.0 * math.pi


class TestCavity:
    def test_decay_is_the_slow_eigenvalue(self):
        """One excitation shared by atom and cavity leaves at 4 G^2/kappa when kappa >> G."""
        coupling, linewidth = 1.0, 2000.0
        matrix = np.array([[0.0, coupling], [coupling, -0.5j * linewidth]])
        slow = -2.0 * np.linalg.eigvals(matrix).imag.max()
        assert cavity_decay(coupling, linewidth) == pytest.approx(slow, rel=1e-5)

    def test_coupling_and_decay_are_inverse(self):
        """G from Gamma gives Gamma back."""
        assert cavity_decay(coupling_for_decay(3.0, 50.0), 50.0) == pytest.approx(3.0, rel=1e-14)

    def test_cooperativity_is_a_ratio_of_rates(self):
        """C = Gamma/gamma."""
        assert cooperativity(6.0, 2.0) == 3.0
        with pytest.raises(ValueError, match="`loss` must be above zero"):
            cooperativity(6.0, 0.0)


class TestRaman:
    @pytest.mark.parametrize("distance", [1, 2, 3])
    def test_is_the_time_average_of_second_order(self, distance):
        """(g^2/delta_c) A A^dagger averaged over a Zeeman period: exchange and twice the shift.

        A = sum_l S_l^+ (e^{-i(l-1)wt} + i e^{-i(l-1+q)wt}) couples to the cavity.
        """
        rabi, coupling, excited, cavity = 0.3, 2.0, 40.0, -5.0
        times = np.arange(64) / 64 * TWO_PI
        place = np.arange(4)[:, None]
        tones = np.exp(-1j * place * times) + 1j * np.exp(-1j * (place + distance) * times)
        average = (rabi * coupling / excited) ** 2 / cavity * (tones @ tones.conj().T) / 64
        chi = raman_exchange(rabi, coupling, excited, cavity)
        expected = raman_shift(rabi, coupling, excited, cavity) * np.eye(4, dtype=complex)
        expected += 0.5j * chi * (np.eye(4, k=distance) - np.eye(4, k=-distance))
        np.testing.assert_allclose(average, expected, atol=1e-18)

    def test_tones_give_the_wanted_exchange(self):
        """Every distance has a pair of tones; one more tone cancels their shifts."""
        step, coupling, excited, cavity = TWO_PI * 1e6, TWO_PI * 2e5, TWO_PI * 1e9, -TWO_PI * 1e7
        tones = raman_tones(-TWO_PI * 100.0, 4, 10, step, coupling, excited, cavity)
        assert tones.separations == pytest.approx((step, 2 * step, 3 * step))
        rabi = tones.rabi_frequency
        assert raman_exchange(rabi, coupling, excited, cavity) == pytest.approx(tones.exchange)
        shifts = 3 * raman_shift(rabi, coupling, excited, cavity)
        assert tones.uncompensated_shift == pytest.approx(shifts)
        single = 0.5 * raman_shift(tones.compensation_rabi_frequency, coupling, excited, -cavity)
        assert single == pytest.approx(-shifts)
        assert 0.0 < tones.resolution_ratio == pytest.approx(10 * 100 * 3 / 1e6)
        strongest = tones.compensation_rabi_frequency
        assert tones.excited_ratio == pytest.approx(strongest / excited)
        assert tones.cavity_ratio == pytest.approx(
            strongest * coupling * math.sqrt(10) / (excited * abs(cavity))
        )

    def test_refuses_the_wrong_sign(self):
        """chi has the sign of the cavity detuning."""
        with pytest.raises(ValueError, match="`exchange` must have the sign of `cavity_detuning`"):
            raman_tones(1.0, 4, 10, 1.0, 1.0, 100.0, -10.0)

    @pytest.mark.parametrize("name", ["excited_detuning", "cavity_detuning"])
    def test_refuses_resonance(self, name):
        """Elimination needs both detunings."""
        detunings = {"excited_detuning": 10.0, "cavity_detuning": 5.0, name: 0.0}
        with pytest.raises(ValueError, match=f"`{name}` must not be 0"):
            raman_exchange(1.0, 1.0, **detunings)


class TestNetwork:
    def test_eliminated_cavities_are_the_cascade(self):
        """Phases of pi give the spins of the model at chi = Gamma, ensemble k driving l > k.

        With the cavities' non-Hermitian matrix h the spins get -G^2 S_l^+ (h^-1)_lk S_k^-.
        """
        coupling, linewidth, count = 0.4, 3.0, 5
        phases = network_phases(count)
        turn = np.exp(1j * (phases[:, None] - phases[None, :]))  # e^{i(phi_l - phi_k)}
        exchange = 0.5j * linewidth * (np.triu(turn.conj(), 1).conj() - np.tril(turn, -1))
        cavities = exchange - 0.5j * linewidth * turn
        spins = -(coupling**2) * np.linalg.inv(cavities)
        gamma, chi = network_rates(coupling, linewidth)
        ones = np.ones((count, count))
        model = 0.5j * chi * (np.triu(ones, 1) - np.tril(ones, -1)) - 0.5j * gamma * ones
        np.testing.assert_allclose(spins, model, atol=1e-14)
        assert gamma == chi == cavity_decay(coupling, linewidth)
