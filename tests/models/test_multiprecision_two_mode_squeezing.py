"""Generalised two-mode squeezing against multiprecision, S = 1/2 to 1e6 and r to 150."""

import math

import mpmath as mp
import numpy as np
import pytest

from cavitylab.models.two_mode_squeezing import (
    greatest_information,
    hard_core_squeezed,
    spin_elements,
    two_mode_amplitudes,
    two_mode_squeezed,
    two_mode_squeezed_spins,
    two_photon_squeezed,
)
from cavitylab.models.two_mode_squeezing_comparison import (
    ghz_information,
    greatest_paired_information,
    one_axis_xi2,
    optimum_paired_amplitudes,
)
from cavitylab.models.two_mode_squeezing_mean_field import (
    squeezing_at_fixed_power,
    squeezing_from_dephasing,
    squeezing_from_relaxation,
)

REL = 1e-9
# 1 - tanh^2 r falls to 1e-130 at r = 150, and its cube divides the moments
DIGITS = 900
SPINS = (0.5, 1.0, 1.5, 4.5, 50.0, 333.5, 1e4, 1e6)
SQUEEZINGS = (0.0, 1e-9, 1e-3, 0.05, 0.4, 1.0, 2.5, 5.0, 7.0, 8.0, 12.0, 30.0, 150.0)


def close(value, expected, rel=REL):
    """Relative agreement of a double with a multiprecision number."""
    assert math.isfinite(value)
    assert abs(mp.mpf(value) - expected) <= rel * abs(expected), (value, mp.nstr(expected, 17))


def moments(levels, r):
    """sum_m x^m m^k, k = 0, 1, 2, over m = 0 … M, with x = tanh^2 r, and x itself."""
    x, n = mp.tanh(mp.mpf(r)) ** 2, levels + 1
    top, gap = x ** (n - 1), 1 - x
    zeroth = (1 - x * top) / gap
    first = x * (1 - n * top + (n - 1) * top * x) / gap**2
    tail = n * n * top - (2 * n * n - 2 * n - 1) * top * x + (n - 1) ** 2 * top * x * x
    return zeroth, first, x * (1 + x - tail) / gap**3, x


def reference(spin, r):
    """<X+^2>, <X-^2> and <Z1+Z2> of sum_m (-tanh r)^m |m,m> (Mamaev Eq. 1), term by term.

    <X_i^2> = <S(S+1) - Z^2>/2, and <X1 X2> = sum_m a_m a_{m-1} o(m)^2/2 with
    a_m a_{m-1} = -tanh(r) a_{m-1}^2 and o(m)^2 = m (2S+1-m).
    """
    m_top = round(2 * spin)
    zeroth, first, second, _ = moments(m_top, r)
    s = mp.mpf(m_top) / 2
    mean, square = first / zeroth, second / zeroth
    alone = (s * (s + 1) - (square - 2 * s * mean + s * s)) / 2
    # o(m+1)^2 = (m+1)(2S-m) vanishes at the top by itself
    pair = -mp.tanh(mp.mpf(r)) / 2 * (m_top + (m_top - 1) * mean - square)
    return 2 * alone + 2 * pair, 2 * alone - 2 * pair, 2 * (mean - s)


@pytest.mark.parametrize("spin", SPINS)
@pytest.mark.parametrize("r", SQUEEZINGS)
def test_state(spin, r):
    """Variances, length, information and Wineland parameter (Mamaev Eqs. 4, 8, S70)."""
    found = two_mode_squeezed_spins(spin, r)
    with mp.workdps(DIGITS):
        squeezed, anti, length = reference(spin, r)
        close(found.squeezed_variance, squeezed)
        close(found.antisqueezed_variance, anti)
        close(found.length, length)
        close(found.qfi_large, 4 * anti)
        close(found.qfi_small, 4 * squeezed)
        close(found.xi2, 4 * mp.mpf(spin) * squeezed / length**2)


@pytest.mark.parametrize("r", [1e-6, 0.3, 2.0, 9.0, 150.0])
@pytest.mark.parametrize("levels", [1, 2, 9, 400])
def test_any_ladder(levels, r):
    """Spins as a ladder, the hard-core ladder, and amplitudes (Mamaev Eqs. 1, 4, S73)."""
    with mp.workdps(DIGITS):
        zeroth, first, _, x = moments(levels, r)
        squeezed, anti, length = reference(levels / 2, r)
        spins = two_mode_squeezed(spin_elements(levels / 2), r)
        close(spins.antisqueezed_variance, anti)
        close(spins.squeezed_variance, squeezed)
        close(spins.length, length)
        # o(m)^2 = m for m <= M and 0 above: <O+O - OO+> = <m> - <m+1> + (M+1) p_M, twice halved
        weight = x**levels / zeroth
        close(hard_core_squeezed(levels, r).length, -1 + (levels + 1) * weight)
        amplitudes = two_mode_amplitudes(levels, r)
        for m in {0, 1, levels // 2, levels}:
            expected = (-mp.tanh(mp.mpf(r))) ** m / mp.sqrt(zeroth)
            if abs(expected) > mp.mpf(10) ** -300:
                close(amplitudes[m], expected)


@pytest.mark.parametrize("r", [0.0, 1e-8, 0.5, 3.0, 20.0])
def test_pairs_of_photons(r):
    """Q = 4 <X-^2> of o(m)^2 = 2m(2m-1), summed to infinity (Mamaev Eq. S71, corrected)."""
    with mp.workdps(120):
        x = mp.tanh(mp.mpf(r)) ** 2
        mean, square = x / (1 - x), x * (1 + x) / (1 - x) ** 2
        down, up = 4 * square - 2 * mean, 4 * square + 6 * mean + 2
        large = 2 * (down + up) + 4 * mp.tanh(mp.mpf(r)) * up
        found = two_photon_squeezed(r)
        close(found.qfi_large, large)
        close(found.length, down - up)


@pytest.mark.parametrize("spin", SPINS)
def test_comparison_states(spin):
    """GHZ, largest information of paired states and the staggered binomial (Mamaev Sec. V)."""
    with mp.workdps(50):
        atoms, s = 4 * mp.mpf(spin), mp.mpf(spin)
        close(greatest_paired_information(spin), atoms * (atoms / 2 + 1))
        if spin > 0.5:
            # along the separating axis each |M,M> is an eigenvector: (4S)^2; the rest 4S/2 each
            values = np.linalg.eigvalsh(ghz_information(spin, 1))
            close(values[-1], 16 * s * s)
        top = round(2 * spin)
        found = optimum_paired_amplitudes(spin)
        norm = mp.loggamma(2 * top + 1) - 2 * mp.loggamma(top + 1)
        for m in {0, top // 2, top // 2 + max(1, int(top**0.5)), top // 3}:
            if m > top:
                continue
            log = mp.loggamma(top + 1) - mp.loggamma(m + 1) - mp.loggamma(top - m + 1) - norm / 2
            if log > -600:
                close(found[m], (-1) ** m * mp.exp(log))
        if spin <= 1e4:
            o = spin_elements(spin)
            close(greatest_information(o), 4 * mp.mpf(top) * (top + 2) / 3)


@pytest.mark.parametrize("spin", [1.0, 1.5, 50.0, 999.5, 1e6])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.1, 0.5, 1.0, 2.0])
def test_one_axis_twisting(spin, scale):
    """Least eigenvalue of the covariance of X+ and Y+ under J X1 X2 (Mamaev Eq. S26).

    Spin 1 turns about x by tau X2 with X2 binomial, so that <cos(tau X2)> = cos^{2S}(tau/2).
    """
    tau = scale * 4.0 / (2.0 * spin + 1.0) ** (2.0 / 3.0)
    with mp.workdps(200):
        s, t, n = mp.mpf(spin), mp.mpf(tau), round(2 * spin)
        lost = 1 - mp.cos(t) ** n
        across = s * (1 - lost / 2) + s * s * lost
        turned = 2 * s * s * mp.cos(t / 2) ** (n - 1) * mp.sin(t / 2)
        least = (s + across - mp.sqrt((across - s) ** 2 + 4 * turned**2)) / 2
        length = 2 * s * mp.cos(t / 2) ** n
        close(one_axis_xi2(spin, tau), 4 * s * least / length**2)


@pytest.mark.parametrize("cooperativity", [0.0, 1e-12, 0.3, 1e3, 1e12])
def test_limits_of_local_noise(cooperativity):
    """Squeezing from the cooperativity alone, N -> infinity (Mamaev Fig. 3)."""
    with mp.workdps(50):
        c = mp.mpf(cooperativity)
        close(squeezing_from_relaxation(cooperativity), 1 / (1 + c / 2))
        close(squeezing_from_dephasing(cooperativity), 1 / (1 + c / 8))
        close(squeezing_at_fixed_power(cooperativity), mp.sqrt(2 / (2 + c)))
