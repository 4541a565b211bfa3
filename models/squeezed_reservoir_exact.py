"""Exact steady state of a spin in a pure squeezed reservoir, by a unitary recursion.

Bai & An Eq. 8 writes the state as rho = f(R) f(R)^+ with an operator R whose eigenvectors
are hopelessly ill-conditioned. The form used here needs none of them. With l = m + j and
t = tanh r, and the pump phase rotated away,

    rho = G G^+ / tr,    G[l, k] = t^((l+k)/2) F[l, k],    F = <-j+l| f(S_y) |j-k>.

The recurrence of Bai & An for p_m, written as two operator identities of f(S_y), couples
the four neighbours of every odd point l + k = n. With a_l = sqrt((N-l)(l+1)) and
s = N - l - k,

    a_l F[l+1, k] = c a_(l-1) F[l-1, k] + d a_(k-1) F[l, k-1],
    a_k F[l, k+1] = d a_(l-1) F[l-1, k] + c a_(k-1) F[l, k-1],
    c = s/(s + 2i delta),   d = -2i delta/(s + 2i delta).

[[c, d], [d, c]] is unitary. Each element is thus given twice; their least-squares mean, a
projection, keeps the march from F[0, 0] over the antidiagonals stable for every N and
detuning (errors grow no faster than N), where either identity alone does not. F is symmetric
and F[N-l, N-k] = (-1)^N F[l, k], so the march ends at l + k = N, or earlier, where t^(l+k) is
negligible: O(N^2) at most. F does not depend on r, and all second moments are power series
in t. Without detuning and for even N the state is pure and costs O(N).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_LOG_DROPPED = 18.0 * math.log(10.0)
_NOTHING_LEFT = 1e4


@dataclass(frozen=True, slots=True)
class MomentSeries:
    """Second moments of one N and one detuning as power series in t = tanh r.

    Coefficients of t^n, n = 0, 2, … up to N (those from N to 2N mirror them), or fewer.

    Attributes:
        atoms: N.
        norm: of the trace.
        spread: of tr[rho l (N-l)], where l(N-l) = j^2 - Sz^2.
        pair: of tr[rho S_-^2] / t at alpha = 0; those of t^(2N-n-2) are the conjugates.
    """

    atoms: int
    norm: Array = field(repr=False)
    spread: Array = field(repr=False)
    pair: ComplexArray = field(repr=False)

    def moments(self, squeezing: float) -> tuple[float, float, complex]:
        """Return <Sz>, <Sx^2 + Sy^2> and <S_-^2> at alpha = 0 for one r."""
        order = np.arange(0.0, 2.0 * self.norm.size, 2.0, dtype=np.float64)
        lower = _powers(squeezing, order)
        # 1 - t^(2(N-n)) is zero at n = N, which mirrors itself
        mirrored = 2.0 * (self.atoms - order)
        contrast = -np.expm1(-_decay(squeezing) * mirrored)
        both = lower * np.where(order == self.atoms, 1.0, 2.0 - contrast)
        trace = float(both @ self.norm)
        # F is symmetric in l and k, so <l> is half the mean of l + k.
        sz = -0.5 * float((lower * contrast * self.norm) @ (self.atoms - order)) / trace
        planar = 0.5 * self.atoms + float(both @ self.spread) / trace
        odd = order[: self.pair.size] + 1.0
        mirror = np.where(odd == self.atoms, 0.0, _powers(squeezing, 2.0 * self.atoms - odd))
        pair = complex(_powers(squeezing, odd) @ self.pair + mirror @ self.pair.conj())
        return sz, planar, pair / trace


def last_antidiagonal(atoms: int, squeezing: float) -> int:
    """The l + k, at most N, beyond which nothing is left within double precision or mirrored."""
    needed = (_LOG_DROPPED + 2.0 * math.log(atoms)) / _decay(squeezing)
    return min(atoms, math.ceil(min(needed, atoms)))


def moment_series(atoms: int, detuning: float, last: int) -> MomentSeries:
    """Second moments for N atoms at Delta_N/A, up to the antidiagonal l + k = `last`."""
    ladder = _ladder(atoms)
    steps = ladder[1:-2] * ladder[2:-1]  # a_l a_(l+1): the matrix elements of S_-^2
    numbers = np.arange(atoms + 1, dtype=np.float64)
    spreads = numbers * (atoms - numbers)
    norm, spread, pair = [], [], []
    before = np.zeros(0, dtype=np.complex128)
    for row in _antidiagonals(atoms, detuning, last):
        square = row.real**2 + row.imag**2
        norm.append(float(square.sum()))
        spread.append(float(spreads[: row.size] @ square))
        if before.size:
            pair.append(complex(np.vdot(before, steps[: before.size] * row[2:])))
        before = row
    if before.size == atoms > 1:  # odd N: the next row mirrors this one
        pair.append(complex(np.vdot(before[:-1], -steps * before[-2::-1])))
    return MomentSeries(
        atoms, np.array(norm), np.array(spread), np.array(pair, dtype=np.complex128)
    )


def amplitude_matrix(atoms: int, squeezing: float, detuning: float) -> ComplexArray:
    """G[l, k] of rho = G G^+ with tr rho = 1, at alpha = 0; l = m + j ascending.

    The rows and columns left out hold nothing within double precision.
    """
    last = last_antidiagonal(atoms, squeezing)
    matrix = np.zeros((last + 1, last + 1), dtype=np.complex128)
    for index, row in enumerate(_antidiagonals(atoms, detuning, last)):
        up = np.arange(row.size)
        down = row.size - 1 - up
        matrix[up, down] = float(_powers(squeezing, np.array(float(index)))) * row
        if last == atoms:
            mirrored = float(_powers(squeezing, np.array(float(atoms - index))))
            matrix[atoms - up, atoms - down] = (-1) ** atoms * mirrored * row
    matrix /= np.linalg.norm(matrix)
    return matrix


def dark_amplitudes(atoms: int, squeezing: float) -> Array:
    """psi_m of the pure steady state for even N and no detuning, m = -j, …, j, at alpha = 0.

    From psi_(m+1)/psi_(m-1) = t sqrt[(j+m)(j-m+1) / ((j-m)(j+m+1))] (Bai & An Eq. 8 with
    p_m = 0 for m != 0), summed in logarithms; every second amplitude vanishes.
    """
    pairs = np.arange(atoms // 2 + 1, dtype=np.float64)
    logs = 0.5 * _log_central(pairs, atoms) - _decay(squeezing) * pairs
    amplitudes = np.zeros(atoms + 1)
    amplitudes[::2] = np.exp(logs - logs.max())
    return amplitudes / float(np.linalg.norm(amplitudes))


def dark_spin_length(atoms: int, squeezing: float) -> float:
    """|<Sz>| of the pure state of `dark_amplitudes`, accurate down to the smallest values."""
    pairs = np.arange((atoms // 2) // 2 + 1, dtype=np.float64)
    m = 0.5 * atoms - 2.0 * pairs  # m -> -m leaves the weights without t alone
    exponent = 2.0 * _decay(squeezing) * m
    logs = _log_central(pairs, atoms) + 0.5 * exponent
    shared = np.exp(logs - logs.max())
    both = np.where(m == 0.0, 1.0, 1.0 + np.exp(-exponent))
    return float((shared * m) @ -np.expm1(-exponent) / (shared @ both))


def _log_central(pairs: Array, atoms: int) -> Array:
    """ln |<m|m_y = 0>|^2 at l = 2 pairs, up to a constant."""
    rest = 0.5 * atoms - pairs
    values: Array = (
        gammaln(2.0 * pairs + 1.0)
        - 2.0 * gammaln(pairs + 1.0)
        + gammaln(2.0 * rest + 1.0)
        - 2.0 * gammaln(rest + 1.0)
    )
    return values


def _decay(squeezing: float) -> float:
    """-ln tanh r without loss at large r; at r = 0 so large that every power of t vanishes."""
    small = math.exp(-2.0 * squeezing)
    return _NOTHING_LEFT if small == 1.0 else 2.0 * math.atanh(small)


def _powers(squeezing: float, order: Array) -> Array:
    """t^order, with 0^0 = 1."""
    values: Array = np.exp(-_decay(squeezing) * order)
    return values


def _ladder(atoms: int) -> Array:
    """a_(i-1) = sqrt((N-i+1) i) at index i = 0 … N+1; zero at both ends."""
    i = np.arange(atoms + 2, dtype=np.float64)
    return np.sqrt((atoms + 1.0 - i) * i)


def _antidiagonals(atoms: int, detuning: float, last: int) -> Iterator[ComplexArray]:
    """Yield F[l, n-l], l = 0 … n, for n = 0, 2, … up to `last`, at most N."""
    ladder = _ladder(atoms)
    squares = ladder**2
    pairs = np.concatenate(([0.0], ladder[:-1])) * ladder  # a_(l-2) a_(l-1) at l
    row = np.ones(1, dtype=np.complex128)
    yield row
    for n in range(2, last + 1, 2):
        s = atoms - n + 1
        turn, twice_cross = s / (s + 2j * detuning), -4j * detuning / (s + 2j * detuning)
        straight = (turn * pairs[2 : n + 1]) * row
        new = np.zeros(n + 1, dtype=np.complex128)
        new[2:] = straight
        new[:-2] += straight[::-1]  # F is symmetric
        new[1:-1] += (twice_cross * ladder[1:n] * ladder[n - 1 : 0 : -1]) * row
        row = new / (squares[: n + 1] + squares[n::-1])
        yield row
