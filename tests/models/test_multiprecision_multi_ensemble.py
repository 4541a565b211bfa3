"""Multi-ensemble superradiance against multiprecision: large-N dark states, uniform exact ones."""

import math

import mpmath as mp
import numpy as np
import pytest

from cavitylab.models.multi_ensemble_superradiance import (
    CoupledEnsembles,
    balanced_drive,
    operating_point,
    superradiance_potential,
)
from cavitylab.models.multi_ensemble_superradiance_dark import dark_state_at_curvature
from cavitylab.models.multi_ensemble_superradiance_sensing import sensing_figures
from cavitylab.models.multi_ensemble_superradiance_uniform import (
    barrier,
    uniform_dark_state,
    uniform_dark_state_at_curvature,
)

REL = 1e-9
SETTINGS = {
    "one": ((1.0,), (1.0,)),
    "signs": ((0.3, 0.7), (1.0, -1.0)),
    "two": ((0.5, 0.5), (1.0, 0.7)),
    "three": ((0.2, 0.3, 0.5), (1.0, -0.7, 0.3)),
    "four": ((0.1, 0.2, 0.3, 0.4), (0.01, 2.0, -1.1, 0.5)),
    "near": ((0.5, 0.5), (1.0, 1.0 + 1e-4)),
}
CURVATURES = (1.0 - 1e-12, 0.999, 0.6, 0.3, 0.01, 1e-4, 1e-6)


@pytest.fixture(autouse=True)
def digits():
    """Sixty digits."""
    with mp.workdps(60):
        yield


def close(value, expected, rel=REL, floor=0.0):
    """Relative agreement of a double with a multiprecision number."""
    assert math.isfinite(value)
    assert abs(mp.mpf(value) - expected) <= rel * abs(expected) + floor, (
        value,
        mp.nstr(expected, 17),
    )


def angle(p, eta, k, near):
    """The theta with sum_k w_k cos(eta_k theta) = K, and the weights (Shen Eqs. 5, 6)."""
    strength = [a * b**2 for a, b in zip(p, eta, strict=True)]
    w = [s / mp.fsum(strength) for s in strength]

    def missing(theta):
        # 1 - K by squares: near K = 1 the root is double
        both = zip(w, eta, strict=True)
        return mp.sqrt(2 * mp.fsum(a * mp.sin(b * theta / 2) ** 2 for a, b in both))

    return mp.findroot(lambda t: missing(t) - mp.sqrt(1 - k), mp.mpf(near)), w


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("curvature", CURVATURES)
def test_dark_state(name, curvature):
    """Angle, drive, spectrum, purity, light and squeezing (Shen Eqs. 5-20, 91-131)."""
    fractions, couplings = SETTINGS[name]
    ensembles = CoupledEnsembles(fractions, couplings, 10**6, 0.3)
    p, eta = [mp.mpf(x) for x in fractions], [mp.mpf(x) for x in couplings]
    point = operating_point(ensembles, curvature)
    k = mp.mpf(curvature)
    theta, w = angle(p, eta, k, point.theta)
    close(point.theta, theta)
    unit = mp.mpf(ensembles.atoms) * mp.mpf(0.3) / 2
    drive = unit * mp.fsum(a * b * mp.sin(b * theta) for a, b in zip(p, eta, strict=True))
    close(point.drive, drive)
    nu = mp.fsum(a * b**2 for a, b in zip(p, eta, strict=True))
    close(point.relaxation_rate, 2 * unit * nu * k)
    u = [mp.sign(b) * mp.sqrt(a / k) for a, b in zip(w, eta, strict=True)]
    v = [a * mp.cos(b * theta) for a, b in zip(u, eta, strict=True)]
    size = range(len(p))
    gamma = mp.matrix(len(p), len(p))
    for i in size:
        for j in size:
            gamma[i, j] = (i == j) - u[i] * v[j] - v[i] * u[j] + (1 + 1 / k) * v[i] * v[j]
    values = sorted(mp.eigsy(gamma, eigvals_only=True)) if len(p) > 1 else [gamma[0, 0]]
    state = dark_state_at_curvature(ensembles, curvature)
    close(state.smallest_eigenvalue, values[0])
    close(state.largest_eigenvalue_x, values[-1])
    square = mp.fsum(x * x for x in v)
    close(state.purity, mp.sqrt(k / square))
    # each entry is a difference of terms of up to |u||v|
    scale = 1 + (1 + 1 / k) * square
    for i in size:
        for j in size:
            close(state.covariance_x[i, j], gamma[i, j], floor=1e-14 * scale)
    emitted = mp.fsum(a * mp.sin(b * theta / 2) ** 4 for a, b in zip(w, eta, strict=True)) / k
    close(state.total_photons, emitted)
    figures = sensing_figures(ensembles, curvature)
    close(figures.mssc, values[0], rel=1e-9, floor=1e-13 * scale)


@pytest.mark.parametrize("name", SETTINGS)
def test_critical_drive(name):
    """The first angle of K = 0 and the drive there (Shen Eq. 7)."""
    fractions, couplings = SETTINGS[name]
    ensembles = CoupledEnsembles(fractions, couplings, 1000)
    p, eta = [mp.mpf(x) for x in fractions], [mp.mpf(x) for x in couplings]
    point = operating_point(ensembles, 0.5)
    theta, _ = angle(p, eta, mp.mpf(0), point.critical_theta)
    close(point.critical_theta, theta)
    drive = 500 * mp.fsum(a * b * mp.sin(b * theta) for a, b in zip(p, eta, strict=True))
    close(point.critical_drive, drive)


@pytest.mark.parametrize("theta", [1e-8, 0.3, 2.0, 11.0])
def test_potential(theta):
    """V(theta) and the balanced drive (Shen Eqs. 3, 7, 28)."""
    fractions, couplings = SETTINGS["three"]
    ensembles = CoupledEnsembles(fractions, couplings, 10**6)
    rows = [(mp.mpf(a), mp.mpf(b)) for a, b in zip(fractions, couplings, strict=True)]
    t = mp.mpf(theta)
    potential = 500_000 * mp.fsum(a * (1 - mp.cos(b * t)) for a, b in rows)
    close(float(superradiance_potential(ensembles, theta)), potential)
    drive = 500_000 * mp.fsum(a * b * mp.sin(b * t) for a, b in rows)
    close(float(balanced_drive(ensembles, theta)), drive, floor=1e-9)


def by_inverse(n, omega):
    """<S^z>, |<S^->|, Var across it and ln Z of rho = (A^dag A)^-1/Z, A = S^- + Omega/Gamma.

    D[A] rho = 0 term by term, and D[A] is decay with the drive; levels i = 0 (down) … N.
    """
    inverse = mp.matrix(n + 1, n + 1)
    # A^-1 is triangular: (A^-1)_{ij} = prod_{l=i}^{j-1} (-s_{l+1}/omega) / omega
    for i in range(n + 1):
        entry = 1 / omega
        for j in range(i, n + 1):
            inverse[i, j] = entry
            if j < n:
                entry *= -mp.sqrt((j + 1) * (n - j)) / omega
    rho = inverse * inverse.T
    z = mp.fsum(rho[i, i] for i in range(n + 1))
    s = [mp.sqrt((i + 1) * (n - i)) for i in range(n)]
    up = mp.fsum(rho[i, i] * i for i in range(n + 1)) / z - mp.mpf(n) / 2
    lowered = mp.fsum(s[i] * rho[i + 1, i] for i in range(n)) / z
    double = mp.fsum(s[i] * s[i + 1] * rho[i + 2, i] for i in range(n - 1)) / z
    ladder = mp.fsum(rho[i, i] * ((i + 1) * (n - i) + i * (n + 1 - i)) for i in range(n + 1)) / z
    return up, abs(lowered), (ladder - 2 * double) / 4, mp.log(z)


@pytest.mark.parametrize("n", [1, 2, 3, 12, 40])
@pytest.mark.parametrize("part", [1e-6, 0.3, 0.95, 1.0, 1.5, 40.0])
def test_uniform_state_from_the_inverse(n, part):
    """All moments at small N, below and above the critical drive N Gamma/2 (Shen Fig. 3)."""
    drive = 0.5 * n * part
    found = uniform_dark_state(n, drive)
    spin_z, spin_y, variance, log_norm = by_inverse(n, mp.mpf(drive))
    close(found.spin_z, spin_z, floor=1e-12 * n)
    close(found.spin_y, spin_y)
    close(found.variance_x, variance)
    close(found.log_norm, log_norm, floor=1e-11)


@pytest.mark.parametrize(
    ("n", "curvature"), [(300, 0.2), (3000, 0.9), (30_000, 0.05), (30_000, 0.01)]
)
def test_uniform_state_by_the_recursion(n, curvature):
    """r_N = 1, r_i = 1 + (s_{i+1}/omega)^2 r_{i+1}, the state's diagonal, from the top."""
    found = uniform_dark_state_at_curvature(n, curvature)
    w2 = mp.mpf(found.drive_ratio) ** 2
    r = total = mp.mpf(1)
    excited, offset = mp.mpf(n), mp.mpf(0)
    for i in range(n - 1, -1, -1):
        square = (i + 1) * (n - i)
        offset += square * r
        r = 1 + square / w2 * r
        total += r
        excited += i * r
    spin_z = excited / total - mp.mpf(n) / 2
    close(found.spin_z, spin_z)
    close(found.spin_y, offset / (total * mp.sqrt(w2)))
    extra = mp.mpf(n) * (n + 1) * (n + 2) / (12 * total)
    variance = extra - spin_z / 2
    close(found.variance_x, variance)
    close(found.xi2, n * variance / (spin_z**2 + (offset / total) ** 2 / w2))


@pytest.mark.parametrize(("n", "curvature"), [(10**6, 0.05), (10**6, 0.7), (10**7, 0.5)])
def test_uniform_state_in_a_deep_well(n, curvature):
    """Up to the escape, exp(-barrier), neighbouring levels stand as (omega/s_i)^2."""
    found = uniform_dark_state_at_curvature(n, curvature)
    assert barrier(n, curvature) > 40.0
    w2 = mp.mpf(found.drive_ratio) ** 2
    centre = round(0.5 * n * (1.0 - curvature))
    width = 9.0 * math.sqrt(0.25 * n * (1.0 - curvature**2) / curvature)
    weights = []
    with mp.workdps(25):
        for step in (1, -1):
            weight, i = mp.mpf(1), centre
            while abs(i - centre) < width:
                if step == 1:
                    weights.append((i, weight))
                    i += 1
                    weight *= w2 / (mp.mpf(i) * (n + 1 - i))
                else:
                    weight *= mp.mpf(i) * (n + 1 - i) / w2
                    i -= 1
                    weights.append((i, weight))
        total = mp.fsum(x for _, x in weights)
        spin_z = mp.fsum((i - centre) * x for i, x in weights) / total + centre - mp.mpf(n) / 2
        offset = mp.fsum(mp.mpf(i) * (n + 1 - i) * x for i, x in weights) / total / mp.sqrt(w2)
        close(found.spin_z, spin_z)
        close(found.spin_y, offset)
        close(found.xi2, n * -spin_z / 2 / (spin_z**2 + offset**2))


@pytest.mark.parametrize("curvature", [1e-12, 1e-6, 1e-3, 0.0199, 0.0201, 0.5, 1.0 - 1e-12])
def test_barrier(curvature):
    """2N (artanh K - K) without cancellation."""
    k = mp.mpf(curvature)
    close(barrier(12345, curvature), 2 * 12345 * (mp.atanh(k) - k))


def test_random_settings_meet_their_curvature():
    """The angle of a wanted curvature, over seeded ensembles of any couplings."""
    rng = np.random.default_rng(77)
    for _ in range(20):
        size = int(rng.integers(2, 6))
        numbers = rng.integers(1, 1000, size)
        couplings = tuple(rng.uniform(0.2, 2.0, size) * rng.choice([-1.0, 1.0], size))
        ensembles = CoupledEnsembles.from_atom_numbers(numbers.tolist(), couplings)
        curvature = float(rng.uniform(0.01, 0.99))
        point = operating_point(ensembles, curvature)
        p = [mp.mpf(x) for x in ensembles.fractions]
        theta, _ = angle(p, [mp.mpf(x) for x in couplings], mp.mpf(curvature), point.theta)
        close(point.theta, theta)
