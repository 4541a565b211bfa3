"""Two ensembles against multiprecision: steady state, bounds, gap, coupling, readout limits.

Every reference is evaluated here from the ladder elements of the equations, to 50 digits.
"""

import math

import mpmath as mp
import numpy as np
import pytest

from cavitylab.models.counting import counting_noise, log_poisson_kernel
from cavitylab.models.dissipative_gap import perturbative_gap
from cavitylab.models.metrology import gain_over_standard_quantum_limit, standard_quantum_limit
from cavitylab.models.spins import coupled_amplitudes, wigner_d
from cavitylab.models.two_ensembles import TwoEnsembles, relaxation_time_bound, steady_state
from cavitylab.models.working_point import detected_phase_variance

REL = 1e-9


@pytest.fixture(autouse=True)
def digits():
    """Fifty digits, and the old setting again afterwards."""
    with mp.workdps(50):
        yield


def exchange_element(atoms, j):
    """B = <J+1,-J| S1z - S2z |J,-J>, from the vector operator between total spins (squared)."""
    return mp.mpf((atoms + 1) ** 2 - (j + 1) ** 2) / (2 * j + 3)


def kept_levels(atoms, ratio, chi):
    """The J whose weight is above e^-120 of the largest, located with plain doubles."""
    k = np.arange(atoms, dtype=np.float64)
    coupling = ratio**2 + (chi * (k + 1.0)) ** 2
    steps = np.log(coupling) + np.log((atoms - k) * (atoms + k + 2.0))
    logs = np.concatenate(([0.0], np.cumsum(steps - np.log((2.0 * k + 2.0) * (2.0 * k + 3.0)))))
    kept = np.flatnonzero(logs > logs.max() - 120.0)
    assert np.all(np.diff(kept) == 1)  # one peak
    return int(kept[0]), int(kept[-1])


def reference(spin, omega, delta, chi):
    """<J>, QFI, <S1x-S2x>, <S1y-S2y> and xi2 by sums over the dark state's amplitudes.

    The state |psi> = sum c_J |J,-J> is stationary where drive and detuning cancel on |J, -J+1>:
    Omega/2 sqrt(2J+2) c_{J+1} + (Delta - i chi (J+1))/2 B c_J = 0.
    """
    atoms = round(2 * spin)
    first, last = kept_levels(atoms, delta / omega, chi / omega)
    w, d, x = mp.mpf(omega), mp.mpf(delta), mp.mpf(chi)
    c = mp.mpc(1)
    norm = mean = qfi = mp.mpf(0)
    lowered = mp.mpc(0)
    for j in range(first, last + 1):
        p = abs(c) ** 2
        square = exchange_element(atoms, j)
        norm += p
        mean += p * j
        qfi += 4 * p * square
        # <J+1,-J-1| S1^- - S2^- |J,-J> = B sqrt(2J+2)
        root = mp.sqrt(square * (2 * j + 2))
        following = -c * (d - 1j * x * (j + 1)) / w * mp.sqrt(square / (2 * j + 2))
        lowered += mp.conj(following) * c * root
        c = following
    lowered /= norm
    mean, qfi = mean / norm, qfi / norm
    length2 = abs(lowered) ** 2
    return mean, qfi, lowered.real, -lowered.imag, 2 * spin * mean / length2


def close(value, expected, rel=REL):
    """Relative agreement of a double with a multiprecision number."""
    assert math.isfinite(value)
    assert abs(mp.mpf(value) - expected) <= rel * abs(expected), (value, mp.nstr(expected, 17))


def cases():
    """S from 1/2 to 1e6 and Delta/Omega from 1e-9 to 30, seeded, with the corners."""
    rng = np.random.default_rng(20251)
    spins = [0.5, 1.0, 1.5, 7.0, 50.0, 999.5, 1e5, 1e6]
    rows = [(s, r) for s in spins for r in (1e-9, 1.0 / s, 1e-3 / s, s**-0.5)]
    rows += [(s, r) for s in spins[:6] for r in (1.0, 30.0)] + [(1e6, 0.01)]
    for _ in range(20):
        s = round(2.0 * 10 ** rng.uniform(-0.3, 4.0)) / 2.0 or 0.5
        rows.append((s, float(10 ** rng.uniform(-6.0, 0.7))))
    return rows


@pytest.mark.parametrize(("spin", "ratio"), cases())
def test_figures_of_merit_without_exchange(spin, ratio):
    """Chu Eqs. 8-12 in closed form: <J>, QFI, length, variance, squeezing and the bound."""
    omega = 3.0
    delta = -ratio * omega
    state = steady_state(TwoEnsembles(spin, omega, delta, collective_decay=0.7))
    mean, qfi, x, _, xi2 = reference(spin, omega, delta, 0.0)
    close(state.mean_J, mean)
    close(state.variance, mean / 2)
    close(state.qfi, qfi)
    close(state.spin_length, x)
    close(state.xi2, xi2)
    close(relaxation_time_bound(state, 1e-3), mp.log(1000) / (4 * mp.mpf(0.7) * mean / 2))
    close(detected_phase_variance(state, 3.0), (mean / 2 + 9) / x**2)


@pytest.mark.parametrize(
    ("spin", "ratio", "chi"),
    [
        (0.5, 0.3, 0.2),
        (1.0, -2.0, 5.0),
        (10.5, 0.1, 0.01),
        (100.0, 0.0, 0.02),
        (1000.0, 0.003, -1e-5),
        (1000.0, 0.5, 1.0),
        (1e5, 1e-5, 1e-7),
        (1e6, 1e-6, 1e-9),
        (1e6, 0.01, 1e-7),
        (1e6, 1e-3, 0.01),
    ],
)
def test_figures_of_merit_with_exchange(spin, ratio, chi):
    """The same as sums over J, with the quadrature that the exchange turns."""
    state = steady_state(TwoEnsembles(spin, 1.0, ratio, chi))
    mean, qfi, x, y, xi2 = reference(spin, 1.0, ratio, chi)
    close(state.mean_J, mean)
    close(state.qfi, qfi)
    close(state.xi2, xi2)
    close(state.spin_length_y, y)
    if ratio:
        close(state.spin_length_x, x)


@pytest.mark.parametrize(("spin", "ratio"), [(0.5, 0.2), (20.0, 0.4), (1e4, 1e-3), (1e6, 0.02)])
def test_weights_of_the_levels(spin, ratio):
    """p_J of Chu Eq. 8 at the top and around it; all are normalised together."""
    atoms = round(2 * spin)
    weights = steady_state(TwoEnsembles(spin, 1.0, ratio)).weights
    first, last = kept_levels(atoms, ratio, 0.0)
    logs, values = mp.mpf(1), []
    for j in range(first, last + 1):
        values.append(logs)
        logs *= mp.mpf(ratio) ** 2 * exchange_element(atoms, j) / (2 * j + 2)
    norm = mp.fsum(values)
    top = int(np.argmax(weights))
    for j in {top, max(first, top - 9), min(last, top + 9)}:
        close(weights[j], values[j - first] / norm)
    assert weights.sum() == pytest.approx(1.0, rel=1e-13)


@pytest.mark.parametrize("spin", [0.5, 1.0, 7.5, 300.0, 1e5, 1e6])
def test_coupling_coefficients(spin):
    """Clebsch-Gordan coefficients from factorials (Racah), up to 2e6 atoms."""
    atoms = round(2 * spin)
    for total in sorted({0, 1, min(1000, atoms // 2), atoms // 2, atoms - 1, atoms}):
        found = coupled_amplitudes(spin, total)
        count = atoms - total
        assert found @ found == pytest.approx(1.0, rel=1e-12)
        log_norm = (
            mp.loggamma(2 * total + 2)
            + mp.loggamma(count + 1)
            - mp.loggamma(atoms + total + 2)
            - 2 * mp.loggamma(total + 1)
        )
        for up in {0, count // 2, count // 3, count}:
            rest = count - up
            log_square = log_norm + (
                mp.loggamma(atoms - up + 1)
                + mp.loggamma(atoms - rest + 1)
                - mp.loggamma(up + 1)
                - mp.loggamma(rest + 1)
            )
            if log_square > -1000:
                close(found[up], (-1) ** (count + up) * mp.exp(log_square / 2))


@pytest.mark.parametrize("spin", [0.5, 1.0, 4.5, 20.0, 50.0])
@pytest.mark.parametrize("beta", [1e-6, 0.7, math.pi / 2, 3.0, -2.2])
def test_rotation_matrices(spin, beta):
    """Wigner's d by its explicit sum: 1e-12 absolute, the matrix being orthogonal."""
    atoms = round(2 * spin)
    found = wigner_d(spin, beta)
    cosine, sine = mp.cos(mp.mpf(beta) / 2), mp.sin(mp.mpf(beta) / 2)
    rng = np.random.default_rng(3)
    for row, column in {(0, 0), (0, atoms), *map(tuple, rng.integers(0, atoms + 1, (8, 2)))}:
        up, other = atoms - int(row), atoms - int(column)  # S + m', S + m
        root = mp.sqrt(
            mp.factorial(up)
            * mp.factorial(atoms - up)
            * mp.factorial(other)
            * mp.factorial(atoms - other)
        )
        total = mp.mpf(0)
        for k in range(max(0, other - up), min(other, atoms - up) + 1):
            bottom = (
                mp.factorial(other - k)
                * mp.factorial(k)
                * mp.factorial(up - other + k)
                * mp.factorial(atoms - up - k)
            )
            powers = cosine ** (atoms + other - up - 2 * k) * sine ** (up - other + 2 * k)
            total += (-1) ** (up - other + k) / bottom * powers
        assert abs(found[row, column] - root * total) < 1e-12


def eigenvalues_below(diagonal, squares, bound):
    """How many eigenvalues of a symmetric tridiagonal matrix lie below a bound (Sturm)."""
    count, pivot = 0, mp.mpf(1)
    for index, entry in enumerate(diagonal):
        pivot = entry - bound - (squares[index - 1] / pivot if index else 0)
        count += pivot < 0
    return count


@pytest.mark.parametrize("spin", [0.5, 1.0, 2.5, 30.0, 1000.0, 10_000.0])
def test_perturbative_gap(spin):
    """The least eigenvalue of Chu Eqs. F11-F12 without J = 0 lies within 1e-9 of the gap."""
    drive, delta, decay = 10.0 * spin, 1.0, 1.3
    n = round(2 * spin) + 1
    diagonal = [mp.mpf(j * (j + 1) * (n * n - j * (j + 1))) / 3 for j in range(1, n)]
    below = [mp.mpf((j - 1) ** 2 * j * (n * n - j * j)) / (3 * (2 * j + 1)) for j in range(1, n)]
    above = [
        mp.mpf((j + 2) ** 2 * (j + 1) * (n * n - (j + 1) ** 2)) / (3 * (2 * j + 1))
        for j in range(1, n)
    ]
    squares = [above[i] * below[i + 1] for i in range(n - 2)]
    found = perturbative_gap(TwoEnsembles(spin, drive, delta, collective_decay=decay))
    tangent = mp.mpf(delta) / (2 * mp.mpf(drive))
    scaled = mp.mpf(found) / (mp.mpf(decay) * tangent**2 / (1 + tangent**2))
    assert eigenvalues_below(diagonal, squares, scaled * (1 - mp.mpf(REL))) == 0
    assert eigenvalues_below(diagonal, squares, scaled * (1 + mp.mpf(REL))) == 1


@pytest.mark.parametrize("spin", [0.5, 17.0, 1e6])
def test_limits_of_the_readout(spin):
    """Standard quantum limit, gain over it, and the counting noise."""
    limit = 1 / mp.sqrt(4 * mp.mpf(spin) * 12345)
    close(standard_quantum_limit(spin, 12345), limit)
    close(gain_over_standard_quantum_limit(1e-7, spin, 12345), 20 * mp.log10(limit * 10**7))
    atoms = 2 * spin
    close(float(counting_noise(0.3, 7.0, atoms)), mp.sqrt(mp.mpf(0.3) * atoms + 7) / mp.mpf(0.3))


@pytest.mark.parametrize(
    ("counts", "gain", "atoms"), [(0, 3.0, 2), (31, 0.2, 100), (10**5, 10.0, 10**4)]
)
def test_poisson_probability(counts, gain, atoms):
    """P(counts | atoms) to 1e-15 k ln k, as stated: 1e-9 holds up to some 1e6 counts."""
    logs = log_poisson_kernel([counts], gain, 0.5, atoms)
    mean = mp.mpf(gain) * atoms + mp.mpf(0.5)
    exact = counts * mp.log(mean) - mean - mp.loggamma(counts + 1)
    assert abs(mp.mpf(float(logs[0, -1])) - exact) < 1e-15 * (10 + counts * math.log(counts + 2))
