"""Large-drive closed forms of four ensembles and of chains against multiprecision.

The 6j symbols come from Racah's sum of factorials for small spins, and from the eigenvector
recursion of S2.S3, with as many digits as its growth eats, for spins of a hundred.
"""

import math

import mpmath as mp
import numpy as np
import pytest

from cavitylab.models.chain import Chain, aklt_chain, cell_amplitudes
from cavitylab.models.chain_order import (
    rank_eigenvalues,
    spin_correlation_length,
    string_length,
    string_order,
)
from cavitylab.models.distributed_sensing import (
    FourEnsembles,
    greatest_information,
    pattern_information,
)
from cavitylab.models.many_ensembles import pair_amplitudes
from cavitylab.models.six_j import six_j_table

REL = 1e-9


def close(value, expected, rel=REL, floor=0.0):
    """Relative agreement of a double with a multiprecision number."""
    assert math.isfinite(value)
    assert abs(mp.mpf(value) - expected) <= rel * abs(expected) + floor, (
        value,
        mp.nstr(expected, 17),
    )


def racah(n, j, k):
    """{S S j; S S k} with n = 2S, by Racah's formula."""
    f = mp.factorial

    def triangle(a):
        return f(a) ** 2 * f(n - a) / f(n + a + 1)

    total = mp.mpf(0)
    for t in range(n + max(j, k), min(2 * n, n + j + k) + 1):
        bottom = f(t - n - j) ** 2 * f(t - n - k) ** 2 * f(2 * n - t) * f(n + j + k - t) ** 2
        total += (-1) ** t * f(t + 1) / bottom
    return triangle(j) * triangle(k) * total


def table_by_sum(n):
    """All 6j symbols of a small spin."""
    rows = [[mp.mpf(0)] * (n + 1) for _ in range(n + 1)]
    for j in range(n + 1):
        for k in range(j + 1):
            rows[j][k] = rows[k][j] = racah(n, j, k)
    return rows


def table_by_recursion(n):
    """The same from the eigenvectors of S2.S3, whose eigenvalues are known exactly."""
    s = mp.mpf(n) / 2
    off = [
        (n - j) * (n + j + 2) * (j + 1) / (4 * mp.sqrt((2 * j + 1) * (2 * j + 3))) for j in range(n)
    ]
    rows = [[mp.mpf(0)] * (n + 1) for _ in range(n + 1)]
    for k in range(n + 1):
        value = mp.mpf(k * (k + 1)) / 2 - s * (s + 1)
        # {S S 0; S S k} = (-1)^(2S+k)/(2S+1) fixes size and sign
        before, here = mp.mpf(0), (-1) ** (n + k) * mp.sqrt(2 * k + 1) / (n + 1)
        for j in range(n + 1):
            rows[j][k] = here / mp.sqrt((2 * j + 1) * (2 * k + 1))
            if j < n:
                pull = (value + mp.mpf(j * (j + 1)) / 4) * here
                back = off[j - 1] * before if j else 0
                before, here = here, (pull - back) / off[j]
    return rows


def table(n):
    """6j symbols of four spins n/2."""
    return table_by_sum(n) if n <= 16 else table_by_recursion(n)


def digits(n):
    """Digits that leave fifty after the recursion."""
    return mp.workdps(50 + 3 * n)


def phases(n, shift, chi):
    """exp(i theta_J), J = 0 … 2S: product of (X - i chi k)/(-X - i chi k) (Chu Eqs. C2, D3)."""
    out = [mp.mpc(1)]
    for k in range(1, n + 1):
        step = 1j * mp.mpf(chi) * k
        out.append(out[-1] * (shift - step) / (-shift - step) if shift else mp.mpc(1))
    return out


@pytest.mark.parametrize("n", [1, 2, 3, 8, 16])
def test_six_j_symbols(n):
    """Racah's sum, the recursion, and the table agree: 1e-12 of the largest in each row."""
    with digits(n):
        exact, other, found = table_by_sum(n), table_by_recursion(n), six_j_table(n / 2)
        for j in range(n + 1):
            for k in range(n + 1):
                assert abs(exact[j][k] - other[j][k]) < mp.mpf(10) ** -40
                assert abs(found[j, k] - exact[j][k]) < 1e-13


DETUNINGS = [(0.0, 8.0), (1.3, -0.1), (3.0, 3.0), (-7.0, 0.4), (1e-6, 2e-6), (1e4, 3.0)]


@pytest.mark.parametrize(
    ("n", "outer", "inner"),
    [(n, *pair) for n in (1, 2, 5, 16) for pair in DETUNINGS] + [(100, *p) for p in DETUNINGS[:2]],
)
def test_information_at_infinite_drive(n, outer, inner):
    """QFI of the patterns of signs and their sum rule (Chu Eqs. C4-C11)."""
    chi = -0.9
    found = pattern_information(FourEnsembles(n / 2, outer, inner, chi))
    with digits(n):
        w = table(n)
        a, b = mp.mpf(outer), mp.mpf(inner)
        first, second = phases(n, (a + b) / 2, chi), phases(n, (a - b) / 2, chi)
        terms = [(-1) ** j * first[j] * (2 * j + 1) for j in range(n + 1)]
        g = [
            (-1) ** (n + j) * second[j] * mp.fsum(t * w[k][j] for k, t in enumerate(terms))
            for j in range(n + 1)
        ]
        norm = mp.fsum((2 * j + 1) * abs(x) ** 2 for j, x in enumerate(g))
        assert abs(norm - (n + 1) ** 2) < mp.mpf(10) ** -30
        scale = mp.mpf(8) / (3 * (n + 1) ** 2)
        halves = (
            2 * scale * mp.fsum(j * (j + 1) * (2 * j + 1) * abs(x) ** 2 for j, x in enumerate(g))
        )
        steps = [(n - j) * (n + j + 2) * (j + 1) for j in range(n)]
        plus = scale * mp.fsum(s * abs(g[j] + g[j + 1]) ** 2 for j, s in enumerate(steps))
        minus = scale * mp.fsum(s * abs(g[j] - g[j + 1]) ** 2 for j, s in enumerate(steps))
        whole = mp.mpf(16) * n * (n + 2) / 3
        # patterns with almost no information are accurate on the scale of all of it
        for value, expected in (
            (found.halves, halves),
            (found.alternating, plus),
            (found.curvature, minus),
        ):
            close(value, expected, floor=1e-13 * whole)
        close(found.halves + found.alternating + found.curvature, whole)
        close(greatest_information(n / 2), whole)


@pytest.mark.parametrize(("edge", "bulk"), [(0.0, math.sqrt(2.0)), (2.0, 0.5), (0.3, 7.0)])
@pytest.mark.parametrize("n", [1, 2, 3, 10, 60])
def test_chain_at_infinite_drive(n, edge, bulk):
    """f_J, transfer eigenvalues by rank, correlation length, string order (Chu Eqs. D11-D26)."""
    chain = Chain(n / 2, edge, bulk, 1.0)
    with digits(n):
        w, e, b = table(n), mp.mpf(edge), mp.mpf(bulk)
        inner, outer = phases(n, (e + b) / 2, 1), phases(n, (e - b) / 2, 1)
        size = range(n + 1)
        middle = [
            outer[j]
            * (2 * j + 1)
            * mp.fsum(w[j][k] * (-1) ** k * inner[k] * (2 * k + 1) for k in size)
            for j in size
        ]
        f = [(-1) ** j * mp.fsum(w[j][k] * middle[k] for k in size) for j in size]
        weights = [abs(x) ** 2 for x in f]
        found = np.abs(cell_amplitudes(chain)) ** 2
        rank = rank_eigenvalues(chain)
        for j in size:
            assert abs(found[j] - weights[j]) < 1e-11 * (n + 1)
        for k in size:
            exact = mp.fsum(
                weights[j] * (2 * j + 1) * (-1) ** (n + j + k) * w[k][j] for j in size
            ) / (n + 1)
            assert abs(rank[k] - exact) < 1e-12
            if k == 1:
                close(spin_correlation_length(chain), -2 / mp.log(abs(exact)))
        s = mp.mpf(n) / 2
        strength = mp.fsum(j * (j + 1) * (2 * j + 1) * weights[j] for j in size)
        strength /= 2 * s * (s + 1) * (n + 1) ** 3
        for angle in (0.7, 2.0, math.pi):
            turned = mp.fsum((s - i) * mp.sin((s - i) * mp.mpf(angle)) for i in size)
            close(string_order(chain, angle), (strength * turned) ** 2, floor=1e-25 * (n + 1) ** 4)


@pytest.mark.parametrize("drive", [0.7, 3.0, 20.0, 300.0])
def test_string_of_spins_half_at_finite_drive(drive):
    """lambda of the string correlator from a 4 x 4 transfer matrix with forty digits (D14, D28)."""
    chain = aklt_chain(1.0, drive)
    with mp.workdps(40):
        cell = cell_of_halves(mp.sqrt(2), mp.mpf(drive))
        string = mp.matrix(4, 4)
        for (up, down), block in cell.items():
            turn = mp.expj(mp.pi * (1 - up - down))
            for a in range(2):
                for b in range(2):
                    for c in range(2):
                        for d in range(2):
                            string[2 * a + b, 2 * c + d] += (
                                turn * block[a, c] * mp.conj(block[b, d])
                            )
        values, _ = mp.eig(string)
        exact = -2 / mp.log(max(abs(v) for v in values))
        # the distance of lambda from 1 is what is rounded, so that the error grows with L
        close(string_length(chain), exact, rel=1e-12 + 1e-15 * float(exact))


def cell_of_halves(bulk, drive):
    """Matrices A[m_a, m_b] (bond by bond) of a spin-1/2 cell with chi = 1, Delta_e = 0.

    The pair (Delta_b, Omega) in |m1, m2>, then the two gates 1 and exp(i theta) on singlet and
    triplet: first on (bond, first), then on (first, second) of bond, first, second.
    """
    # c_1/c_0 = -(Delta - i chi)/Omega sqrt((4 - 1)/(3 * 2))
    ratio = -(bulk - 1j) / drive * mp.sqrt(mp.mpf(1) / 2)
    norm = mp.sqrt(1 + abs(ratio) ** 2)
    h = mp.sqrt(mp.mpf(1) / 2)
    pair = mp.matrix(2, 2)
    pair[0, 1], pair[1, 0], pair[1, 1] = h / norm, -h / norm, ratio / norm

    def gate(phase, x, y):
        """Singlet kept, triplet turned: (1 + phase)/2 + (phase - 1)/2 SWAP."""
        if x == y:
            return {(x, y): phase}
        return {(x, y): (1 + phase) / 2, (y, x): (phase - 1) / 2}

    half = bulk / 2
    # detunings exchanged: -0 and +b/2, then -0 and -b/2; X = minus their difference
    first, second = ((-d - 1j) / (d - 1j) for d in (-half, half))
    out = {(a, b): mp.matrix(2, 2) for a in range(2) for b in range(2)}
    for bond in range(2):
        for x in range(2):
            for y in range(2):
                # start: incoming bond, spin b, spin c of the pair
                one = gate(first, bond, x)
                for (p, q), weight in one.items():
                    for (u, v), more in gate(second, q, y).items():
                        out[(p, u)][bond, v] += pair[x, y] * weight * more
    return out


@pytest.mark.parametrize("spin", [0.5, 3.0, 40.0])
def test_singlet_of_a_pair(spin):
    """Amplitudes (-1)^(S-m)/sqrt(2S+1) of |J=0> at infinite drive (Chu Eq. D4)."""
    psi = pair_amplitudes(spin, 0.3, 1.0, math.inf)
    size = round(2 * spin) + 1
    with mp.workdps(30):
        for i in (0, size // 2, size - 1):
            close(abs(psi[i, size - 1 - i]), 1 / mp.sqrt(size))
