"""A spin in a squeezed reservoir against multiprecision: master equation, pure states, limits."""

import math

import mpmath as mp
import pytest

from cavitylab.models.squeezed_reservoir import (
    SqueezedReservoir,
    gaussian_optimum,
    gaussian_xi2,
    squeezed_steady_state,
    squeezing_from_decibels,
)

REL = 1e-9


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


def master_equation(atoms, r, delta, alpha, eta):
    """<Sz>, V_min and <S_-^2> of the null vector of Bai & An Eq. 7, solved as it stands."""
    n = atoms + 1
    j = mp.mpf(atoms) / 2
    z = [j - i for i in range(n)]
    lower = [mp.sqrt((j + m) * (j - m + 1)) for m in z[:-1]]  # |i> -> |i+1>
    occupation = mp.mpf(eta) * mp.sinh(r) ** 2
    correlation = mp.mpf(eta) * mp.sinh(r) * mp.cosh(r) * mp.expj(alpha)
    down, up = mp.matrix(n, n), mp.matrix(n, n)
    for i, value in enumerate(lower):
        down[i + 1, i] = up[i, i + 1] = value
    terms = [
        (occupation, up, down),
        (occupation + 1, down, up),
        (-correlation, up, up),
        (-mp.conj(correlation), down, down),
    ]
    system = mp.matrix(n * n, n * n)
    for rate, a, b in terms:
        product = b * a
        for x in range(n):
            for y in range(n):
                for u in range(max(0, x - 2), min(n, x + 3)):
                    for w in range(max(0, y - 2), min(n, y + 3)):
                        entry = 2 * a[x, u] * b[w, y]
                        entry -= product[x, u] * (w == y) + (x == u) * product[w, y]
                        system[x * n + y, u * n + w] += rate / 2 * entry
    for x in range(n):
        for y in range(n):
            system[x * n + y, x * n + y] += -1j * mp.mpf(delta) * (z[x] - z[y])
    for x in range(n * n):  # the trace in place of one row
        system[0, x] = 1 if x % (n + 1) == 0 else 0
    right = mp.matrix(n * n, 1)
    right[0] = 1
    rho = mp.lu_solve(system, right)
    sz = mp.fsum(z[i] * rho[i * n + i].real for i in range(n))
    square = mp.fsum(z[i] ** 2 * rho[i * n + i].real for i in range(n))
    pair = mp.fsum(lower[i] * lower[i + 1] * rho[i * n + i + 2] for i in range(n - 2))
    planar = j * (j + 1) - square
    return sz, (planar - abs(pair)) / 2, pair


@pytest.mark.parametrize(
    ("atoms", "r", "delta", "alpha", "eta"),
    [
        (1, 0.7, 0.4, 0.0, 1.0),
        (2, 0.5, 0.0, 0.3, 1.0),
        (2, 0.5, 1.5, 0.3, 1.0),
        (3, 1.2, 0.0, -1.0, 1.0),
        (3, 0.9, 3.1, 0.5, 0.7),
        (4, 0.05, 1.0, 0.0, 1.0),
        (4, 2.0, -7.0, 2.0, 1.0),
        (4, 1.0, 0.2, 0.0, 0.3),
        (5, 1.0, 3.762, 0.5, 1.0),
    ],
)
def test_steady_state_of_the_master_equation(atoms, r, delta, alpha, eta):
    """Every case of Eq. 7: detuned or not, even and odd N, with and without loss."""
    found = squeezed_steady_state(SqueezedReservoir(atoms, r, delta, alpha, eta))
    sz, v_min, pair = master_equation(atoms, mp.mpf(r), delta, mp.mpf(alpha), eta)
    close(found.sz, sz)
    close(found.v_min, v_min)
    close(found.xi2, atoms * v_min / sz**2)
    assert abs(found.s_minus2 - pair) <= 1e-9 * abs(pair) + 1e-14


def pure_state(atoms, r):
    """<Sz>, V_min, V_max of the pure dark state: psi_l for l = 0, 2, … (Bai & An Eq. 8).

    cosh(r) S_- psi = sinh(r) S_+ psi, so that psi_{l+2}/psi_l = t sqrt[(l+1)(N-l)/((l+2)(N-l-1))].
    """
    t = mp.tanh(r)
    amplitude, norm, first, pair = mp.mpf(1), mp.mpf(0), mp.mpf(0), mp.mpf(0)
    square = mp.mpf(0)
    j = mp.mpf(atoms) / 2
    for level in range(0, atoms + 1, 2):
        weight = amplitude**2
        norm += weight
        first += weight * (level - j)
        square += weight * (level - j) ** 2
        if level == atoms:
            break
        following = (
            amplitude
            * t
            * mp.sqrt(mp.mpf((level + 1) * (atoms - level)) / ((level + 2) * (atoms - level - 1)))
        )
        step = mp.sqrt(mp.mpf((level + 1) * (atoms - level) * (level + 2) * (atoms - level - 1)))
        pair += amplitude * following * step
        amplitude = following
        if amplitude**2 * atoms**2 < mp.mpf(10) ** -50 * norm:
            break
    sz, pair = first / norm, pair / norm
    planar = j * (j + 1) - square / norm
    return sz, (planar - pair) / 2, (planar + pair) / 2


@pytest.mark.parametrize(
    ("atoms", "r"),
    [(n, r) for n in (2, 4, 10, 100, 3000) for r in (1e-6, 0.1, 1.0, 2.5, 6.0, 12.0)]
    + [(20_000, 20.0), (10**6, 0.3), (10**6, 2.0), (10**6, 3.0)],
)
def test_pure_states(atoms, r):
    """Even N without detuning, to a million atoms and e^(2r) far above N."""
    found = squeezed_steady_state(SqueezedReservoir(atoms, r))
    with mp.workdps(60 if atoms < 10**5 else 40):
        sz, v_min, v_max = pure_state(atoms, mp.mpf(r))
        close(found.sz, sz)
        close(found.v_min, v_min)
        close(found.v_max, v_max)
        close(found.xi2, atoms * v_min / sz**2)


@pytest.mark.parametrize("atoms", [10**4, 10**6])
@pytest.mark.parametrize("r", [16.0, 20.0])
def test_far_beyond_the_optimum(atoms, r):
    """For e^(2r) >> N^2 xi2 tends to 2/(N+2), here to the next order e^(-2r) N^2."""
    found = squeezed_steady_state(SqueezedReservoir(atoms, r))
    close(found.xi2, mp.mpf(2) / (atoms + 2), rel=max(REL, 3 * (atoms * math.exp(-2.0 * r)) ** 2))


@pytest.mark.parametrize("r", [0.0, 1e-9, 0.4, 1.7, 8.0, 18.0])
@pytest.mark.parametrize("eta", [1.0, 0.9, 1e-3])
@pytest.mark.parametrize("lag", [0.0, 1e-9, 0.3, 40.0])
def test_linear_limit(r, eta, lag):
    """1 + 2n - 2|M|/sqrt(1 + 4 (Delta_N/N)^2), which cancels to e^(-2r) at large r."""
    atoms = 10**6
    found = gaussian_xi2(SqueezedReservoir(atoms, r, lag * atoms, 0.0, eta))
    with mp.workdps(80):
        x, e = mp.mpf(r), mp.mpf(eta)
        root = mp.sqrt(1 + 4 * (mp.mpf(lag * atoms) / atoms) ** 2)
        exact = 1 + 2 * e * mp.sinh(x) ** 2 - 2 * e * mp.sinh(x) * mp.cosh(x) / root
        close(found, exact)


def test_formulas_of_the_optimum():
    """(4/3)^(3/4) sqrt(shift/N) and the r that gives it; decibels of the field."""
    r, xi2 = gaussian_optimum(10**6, 0.5)
    close(xi2, (mp.mpf(4) / 3) ** mp.mpf(0.75) * mp.sqrt(mp.mpf(0.5) / 10**6))
    close(r, mp.log(10**6) / 4 + mp.log(mp.mpf(4) / 3) / 8 - mp.log(mp.mpf(0.5)) / 4)
    close(squeezing_from_decibels(15.0), 15 * mp.log(10) / 20)
