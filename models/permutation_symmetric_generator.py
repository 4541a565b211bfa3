r"""The master equation of N alike atoms on permutation-symmetric matrices, in real numbers.

Such a matrix is a sum over total spins J of rho^J_{m m'} |J,m><J,m'|, each averaged over the
copies of J (weights included: the traces of the blocks add to 1). An atom's own jump takes
(J, m, m') to (J', m+q, m'+q) with J' = J - 1, J, J + 1; with a = N/2 and the same q on both
sides the rates are products of one factor for m and one for m' and of

    J -> J      (a + 1)     / [2 J (J + 1)]          A_q(J,m)
    J -> J - 1  (a + J + 1) / [2 J (2J + 1)]         B_q(J,m)
    J -> J + 1  (a - J)     / [2 (J + 1)(2J + 1)]    D_q(J,m)

(Chase & Geremia, PRA 78, 052101 (2008), Eqs. 42-49; Shammah et al., PRA 98, 063815 (2018),
Table II and App. B; their lattice sums over copies are done here in closed form).

The gauge is ours: with rho_{m m'} = (-i)^{m-m'} (A + iB)_{m m'} the drive, every jump and
every decay are real, so that A (symmetric) and B (antisymmetric) move apart; only detuning and
exchange mix them. One triangle is kept: A alone is some N^3/12 numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ladder:
    """The elements kept: m >= m' of every J; J descends, then J + m, then J + m' ascend.

    Attributes:
        atoms: N.
        doubled: 2J of each element.
        row: J + m of each element.
        column: J + m' of each element.
    """

    atoms: int
    doubled: Indices
    row: Indices
    column: Indices

    @classmethod
    def of(cls, atoms: int) -> Ladder:
        """All elements of N atoms."""
        parts = [np.tril_indices(d + 1) for d in range(atoms, -1, -2)]
        doubled = np.repeat(np.arange(atoms, -1, -2), [part[0].size for part in parts])
        row, column = np.concatenate(parts, axis=1)
        return cls(atoms, doubled, row, column)

    @property
    def size(self) -> int:
        """Number of elements kept."""
        return int(self.doubled.size)

    @property
    def spin(self) -> Array:
        """J of each element."""
        return np.asarray(0.5 * self.doubled, dtype=np.float64)

    @property
    def left(self) -> Array:
        """m of each element."""
        return self.row - self.spin

    @property
    def right(self) -> Array:
        """m' of each element."""
        return self.column - self.spin

    @property
    def diagonal(self) -> NDArray[np.bool_]:
        """Where m = m'."""
        return np.asarray(self.row == self.column)

    def place(self, doubled: Indices, row: Indices, column: Indices) -> Indices:
        """Where the elements with row >= column stand."""
        below = (self.atoms - doubled) // 2  # blocks of larger J, 2J + 1 = N + 1, N - 1, …
        width = np.arange(self.atoms + 1, 0, -2)
        starts = np.concatenate(([0], np.cumsum(width * (width + 1) // 2)))
        return np.asarray(starts[below] + row * (row + 1) // 2 + column)


@dataclass(frozen=True, slots=True)
class LocalRates:
    """Rates of one kind of jump of single atoms that changes m by q, on elements of a ladder."""

    atoms: int
    change: int

    def factor(self, spin: Array, m: Array, step: int) -> Array:
        """A_q (step 0), B_q (-1) or D_q (+1) of |J, m>, without the sign, which cancels."""
        if self.change == 0:
            squares = (spin - m) * (spin + m), m * m, (spin - m + 1.0) * (spin + m + 1.0)
        else:
            u = -self.change * m  # against the direction of the jump
            squares = (
                (spin + u) * (spin + u - 1.0),
                (spin + u) * (spin - u + 1.0),
                (spin - u + 1.0) * (spin - u + 2.0),
            )
        root = np.sqrt(np.maximum(squares[step + 1], 0.0))
        return np.asarray(root * np.sign(m) if self.change == 0 and step == 0 else root)

    def weight(self, spin: Array, step: int) -> Array:
        """The part common to all m of a jump from J to J + step."""
        a, j = 0.5 * self.atoms, np.maximum(spin, 0.25)  # J = 0 is only left upward
        if step == 1:
            return np.asarray((a - spin) / (2.0 * (spin + 1.0) * (2.0 * spin + 1.0)))
        numerator = a + 1.0 if step == 0 else a + spin + 1.0
        shared = numerator / (2.0 * j * (j + 1.0 if step == 0 else 2.0 * j + 1.0))
        return np.asarray(np.where(spin > 0.0, shared, 0.0))


class Assembly:
    """Terms of the generator, gathered element by element of the row they act on."""

    def __init__(self, ladder: Ladder) -> None:
        self._ladder = ladder
        self._diagonal = np.zeros(ladder.size)
        self._parts: list[tuple[Array, Indices, Indices, NDArray[np.bool_]]] = []

    def loss(self, rates: Array) -> None:
        """Every element decays at its rate."""
        self._diagonal -= rates

    def collective(self, rate: float, change: int) -> None:
        """D[J_-] (change -1) or D[J_+] (+1) at a rate."""
        if rate == 0.0:
            return
        x = self._ladder
        values = rate * _step(x, x.row, change) * _step(x, x.column, change)
        self._add(values, 0, -change, -change)
        out = _step(x, x.row + change, change) ** 2 + _step(x, x.column + change, change) ** 2
        self.loss(0.5 * rate * out)

    def local(self, rate: float, change: int) -> None:
        """rate * sum over atoms of s_q rho s_q^dagger, s the spin-1/2 operators; no losses."""
        if rate == 0.0:
            return
        x, rates = self._ladder, LocalRates(self._ladder.atoms, change)
        for step in (-1, 0, 1):
            spin = np.maximum(x.spin - step, 0.0)
            left = rates.factor(spin, x.left - change, step)
            right = rates.factor(spin, x.right - change, step)
            self._add(rate * rates.weight(spin, step) * left * right, -2 * step, -change, -change)

    def drive(self, rabi_frequency: float) -> None:
        """-i [Omega J_x, rho] in the gauge where it is real."""
        if rabi_frequency == 0.0:
            return
        x, half = self._ladder, 0.5 * rabi_frequency
        for change in (1, -1):
            strength = half * change
            self._add(strength * _step(x, x.row, change), 0, -change, 0)
            self._add(strength * _step(x, x.column, change), 0, 0, -change)

    def matrix(self, antisymmetric: bool) -> sparse.csr_array:
        """The generator of A, or of B (with empty rows and columns where m = m')."""
        size = self._ladder.size
        everywhere = np.arange(size)
        values, rows, columns = [self._diagonal], [everywhere], [everywhere]
        for value, row, column, turned in self._parts:
            values.append(np.where(turned, -value, value) if antisymmetric else value)
            rows.append(row)
            columns.append(column)
        parts = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return sparse.csr_array(parts, shape=(size, size))

    def _add(self, values: Array, doubled: int, row: int, column: int) -> None:
        """values times the elements so far away; those across the diagonal are mirrored."""
        x = self._ladder
        d = x.doubled + doubled
        # m moves by whole numbers; J + m moves with J
        n, k = x.row + row + doubled // 2, x.column + column + doubled // 2
        inside = (d >= x.atoms % 2) & (d <= x.atoms)
        inside &= (n >= 0) & (k >= 0) & (n <= d) & (k <= d) & (values != 0.0)
        d, n, k = d[inside], n[inside], k[inside]
        places = x.place(d, np.maximum(n, k), np.minimum(n, k))
        self._parts.append((values[inside], np.flatnonzero(inside), places, n < k))


def _step(ladder: Ladder, level: Indices, change: int) -> Array:
    """The element of J_+ (change 1) or J_- (-1) that ends at J + m = level; 0 outside."""
    upper = np.where(change > 0, level, level + 1)
    square = upper * (ladder.doubled - upper + 1.0)
    return np.asarray(np.sqrt(np.maximum(square, 0.0)), dtype=np.float64)
