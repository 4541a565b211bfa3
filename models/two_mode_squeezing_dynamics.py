r"""Dissipative preparation of two-mode squeezed states: exact dynamics in the charge sector.

    d rho/dt = gamma (D[Gamma_a] + D[Gamma_b]) rho,
    Gamma_a = cosh r O1 + sinh r O2^+,  Gamma_b = cosh r O2 + sinh r O1^+   (Mamaev Eqs. 10, S54),

D[c] rho = c rho c^+ - {c^+ c, rho}/2. Both jumps change the charge m1 - m2 by one, so from
|0, 0> only elements |m1 m2><n1 n2| with m1 - m2 = n1 - n2 ever differ from zero: of the order
of 2M^3/3 instead of (M+1)^4. They stay real, symmetric, and (for equal ensembles) unchanged
when the ensembles are exchanged, which leaves a quarter of them. Two ensembles of 2S = 30
atoms take 5456 real numbers.

The ratio of the rates grows as e^{4r}, and so does rounding: near the steady state xi^2 is
good to about 1e-16 e^{8r} (1e-9 at r = 2, 1e-5 at r = 3), so r is limited to 4 here. For equal
ensembles the steady state itself has a closed form at any r.

The rates grow as cosh^2 r; with fixed laser power gamma = gamma_0 / cosh^2 r. Times are in
units of 1/gamma. Ensembles may be of unequal size (Mamaev Sec. IX).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize_scalar

from ._checks import not_negative, whole
from .two_mode_squeezing import checked_elements, checked_squeezing, spin_elements
from .two_mode_squeezing_propagation import Orbits, evolve_vector, slowest_rate, steady_vector

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_LARGEST_SECTOR = 400_000
_LARGEST_SQUEEZING = 4.0


@dataclass(frozen=True, slots=True)
class PairedJumps:
    """Jumps Gamma_a = L1 + R2 and Gamma_b = L2 + R1 of two ladders.

    Attributes:
        lower1, lower2: L_i|m> = lower_i[m] |m-1>, entries m = 0 … M_i, the first 0.
        raise1, raise2: R_i|m-1> = raise_i[m] |m>, same indices.
    """

    lower1: Array = field(repr=False)
    raise1: Array = field(repr=False)
    lower2: Array = field(repr=False)
    raise2: Array = field(repr=False)

    def __post_init__(self) -> None:
        for name in ("lower1", "raise1", "lower2", "raise2"):
            object.__setattr__(self, name, checked_elements(getattr(self, name), name, zero=True))
        for i in (1, 2):
            low, high = getattr(self, f"lower{i}"), getattr(self, f"raise{i}")
            if low.size != high.size:
                raise ValueError(
                    f"Argument `raise{i}` must have as many entries as `lower{i}` "
                    f"({low.size}), but has {high.size}."
                )

    @property
    def symmetric(self) -> bool:
        """Whether exchanging the ladders exchanges the jumps."""
        return np.array_equal(self.lower1, self.lower2) and np.array_equal(self.raise1, self.raise2)


@dataclass(frozen=True, slots=True)
class PairEvolution:
    """Two ensembles during preparation; arrays over times, or single numbers when steady.

    Attributes:
        times: units of 1/gamma.
        x_plus_square: <X+^2> = <Y-^2>.
        x_minus_square: <X-^2> = <Y+^2>.
        z1, z2: <Z1>, <Z2>.
        atoms: N = N1 + N2.
        purity: Tr rho^2.
    """

    times: Array
    x_plus_square: Array
    x_minus_square: Array
    z1: Array
    z2: Array
    purity: Array
    atoms: int

    @property
    def xi2(self) -> Array:
        """Wineland parameter N <X+^2> / <Z1+Z2>^2 (Mamaev Eq. 8)."""
        return self.atoms * self.x_plus_square / (self.z1 + self.z2) ** 2


class ChargeSector:
    """Density matrices of zero charge difference of two ladders, and their Liouvillian.

    Args:
        jumps: the engineered dissipation.
        reduced: keep only real symmetric density matrices (and, for equal ladders, those
            unchanged by exchange), which is all that |0, 0> reaches.

    Attributes:
        liouvillian: sparse real matrix, rate unit gamma = 1.
        start: the vector of |0, 0><0, 0|.
        trace: the functional Tr rho.

    Raises:
        ValueError: when the sector would hold more than 400 000 elements.
    """

    def __init__(self, jumps: PairedJumps, *, reduced: bool = True) -> None:
        self.jumps = jumps
        self._last = (jumps.lower1.size - 1, jumps.lower2.size - 1)
        # row (x1, x2), column (y1, y2), x1 - x2 = y1 - y2
        self._x1, self._x2, self._y1, self._y2 = _sector_indices(*self._last)
        size = self._x1.size
        self._place = np.full((self._last[0] + 3, self._last[1] + 3, self._last[0] + 3), -1)
        self._place[self._x1 + 1, self._x2 + 1, self._y1 + 1] = np.arange(size)
        images: list[Indices] = []
        if reduced:
            images.append(self._find(self._y1, self._y2, self._x1))
            if jumps.symmetric:
                images.append(self._find(self._x2, self._x1, self._y2))
                images.append(self._find(self._y2, self._y1, self._x2))
        self.orbits = Orbits.of(size, *images)
        self.liouvillian = self._liouvillian()
        zero = np.zeros(1, dtype=np.int64)
        self.start = np.zeros(self.orbits.size)
        self.start[self.orbits.class_of[self._find(zero, zero, zero)]] = 1.0
        self.trace = self.orbits.functional((self._x1 == self._y1).astype(np.float64))

    def evolution(
        self, vectors: Array, times: Array, elements: tuple[Array, Array]
    ) -> PairEvolution:
        """Moments of the quadratures of O1, O2 with matrix elements `elements`."""
        o1, o2 = (np.append(o, 0.0) for o in elements)
        diagonal = self._x1 == self._y1
        x1, x2 = self._x1, self._x2
        spread = 0.25 * (o1[x1] ** 2 + o1[x1 + 1] ** 2 + o2[x2] ** 2 + o2[x2 + 1] ** 2)
        pair = np.where(self._y1 == x1 - 1, o1[x1] * o2[x2], 0.0)
        lift1 = 0.5 * (o1[x1] ** 2 - o1[x1 + 1] ** 2)
        lift2 = 0.5 * (o2[x2] ** 2 - o2[x2 + 1] ** 2)
        rows = [spread * diagonal, pair, lift1 * diagonal, lift2 * diagonal]
        table = np.stack([self.orbits.functional(row) for row in rows])
        same, cross, z1, z2 = (vectors @ table.T).T
        counts = np.bincount(self.orbits.class_of).astype(np.float64)
        return PairEvolution(
            times=times,
            x_plus_square=same + cross,
            x_minus_square=same - cross,
            z1=z1,
            z2=z2,
            purity=(vectors**2) @ counts,
            atoms=sum(self._last),
        )

    def populations(self, vector: Array) -> Array:
        """(M1+1, M2+1) probabilities of |m1, m2>."""
        full = self.orbits.expand(vector)
        diagonal = self._x1 == self._y1
        table = np.zeros((self._last[0] + 1, self._last[1] + 1))
        table[self._x1[diagonal], self._x2[diagonal]] = full[diagonal]
        return table

    def coherences(self, vector: Array) -> Array:
        """C_s[x1, x2] = <x1, x2|rho|x1 - s, x2 - s>, s = 0 … min(M1, M2), zero below s."""
        full = self.orbits.expand(vector)
        order = self._x1 - self._y1
        upper = order >= 0
        tables = np.zeros((min(self._last) + 1, self._last[0] + 1, self._last[1] + 1))
        tables[order[upper], self._x1[upper], self._x2[upper]] = full[upper]
        return tables

    def from_coherences(self, tables: Array) -> Array:
        """The vector of a real symmetric density matrix, from what `coherences` gives."""
        kept = self.orbits.representatives
        x1, x2, y1, y2 = self._x1[kept], self._x2[kept], self._y1[kept], self._y2[kept]
        return np.asarray(tables[np.abs(x1 - y1), np.maximum(x1, y1), np.maximum(x2, y2)])

    def fidelity(self, vectors: Array, amplitudes: Array) -> Array:
        """<psi|rho|psi> with |psi> = sum_m a_m |m, m>, real a_m."""
        neutral = self._x1 == self._x2
        a = np.asarray(amplitudes, dtype=np.float64)
        weights: Array = np.where(neutral, a[np.where(neutral, self._x1, 0)], 0.0)
        weights = weights * a[np.where(neutral, self._y1, 0)]
        return np.asarray(vectors @ self.orbits.functional(weights))

    def _find(self, x1: Indices, x2: Indices, y1: Indices) -> Indices:
        """Indices of the elements (x1, x2; y1, y1 - x1 + x2); -1 outside."""
        found: Indices = self._place[x1 + 1, x2 + 1, y1 + 1]
        return found

    def _liouvillian(self) -> sparse.csr_array:
        """The rows of the representatives; each couples to at most 12 other elements."""
        kept = self.orbits.representatives
        x1, x2, y1, y2 = self._x1[kept], self._x2[kept], self._y1[kept], self._y2[kept]
        j = self.jumps
        l1, r1, l2, r2 = (
            np.append(v, [0.0, 0.0]) for v in (j.lower1, j.raise1, j.lower2, j.raise2)
        )

        def loss(m1: Indices, m2: Indices) -> Array:
            total: Array = l1[m1] ** 2 + r2[m2 + 1] ** 2 + l2[m2] ** 2 + r1[m1 + 1] ** 2
            return total

        def pairing(m1: Indices, m2: Indices) -> Array:
            product: Array = l1[m1] * r2[m2] + l2[m2] * r1[m1]
            return product

        terms = [
            (-0.5 * (loss(x1, x2) + loss(y1, y2)), x1, x2, y1),
            (-0.5 * pairing(x1, x2), x1 - 1, x2 - 1, y1),
            (-0.5 * pairing(x1 + 1, x2 + 1), x1 + 1, x2 + 1, y1),
            (-0.5 * pairing(y1, y2), x1, x2, y1 - 1),
            (-0.5 * pairing(y1 + 1, y2 + 1), x1, x2, y1 + 1),
            (l1[x1 + 1] * l1[y1 + 1], x1 + 1, x2, y1 + 1),
            (l1[x1 + 1] * r2[y2], x1 + 1, x2, y1),
            (r2[x2] * l1[y1 + 1], x1, x2 - 1, y1 + 1),
            (r2[x2] * r2[y2], x1, x2 - 1, y1),
            (l2[x2 + 1] * l2[y2 + 1], x1, x2 + 1, y1),
            (l2[x2 + 1] * r1[y1], x1, x2 + 1, y1 - 1),
            (r1[x1] * l2[y2 + 1], x1 - 1, x2, y1),
            (r1[x1] * r1[y1], x1 - 1, x2, y1 - 1),
        ]
        rows, columns, values = [], [], []
        numbers = np.arange(kept.size)
        for value, a1, a2, b1 in terms:
            source = self._find(a1, a2, b1)
            present = (value != 0.0) & (source >= 0)
            rows.append(numbers[present])
            columns.append(self.orbits.class_of[source[present]])
            values.append(value[present])
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return sparse.csr_array(entries, shape=(kept.size, kept.size))


def checked_rate_squeezing(squeezing: float) -> float:
    """Return r when it lies between 0 and 4; raise ValueError otherwise."""
    r = checked_squeezing(squeezing)
    if r > _LARGEST_SQUEEZING:
        raise ValueError(
            f"Argument `squeezing` must not exceed {_LARGEST_SQUEEZING:g} in exact dynamics, but "
            f"is {squeezing!r}: its rates differ by e^{{4r}}, more than doubles resolve."
        )
    return r


def squeezing_jumps(
    elements1: Sequence[float] | Array, elements2: Sequence[float] | Array, squeezing: float
) -> PairedJumps:
    """The jumps of Mamaev Eqs. 10 and S54 for ladders with matrix elements o_1(m), o_2(m)."""
    r = checked_rate_squeezing(squeezing)
    o1, o2 = checked_elements(elements1, "elements1"), checked_elements(elements2, "elements2")
    c, s = math.cosh(r), math.sinh(r)
    return PairedJumps(c * o1, s * o1, c * o2, s * o2)


def prepare(atoms1: int, atoms2: int, squeezing: float, times: Sequence[float]) -> PairEvolution:
    """Evolve N1 and N2 atoms from all down under the engineered dissipation (Mamaev Eq. 10).

    Args:
        atoms1, atoms2: atoms in each ensemble, at least 1.
        squeezing: r, at most 4.
        times: any times >= 0, units of 1/gamma; cheap together within a decade.

    Returns:
        Moments at every time, accurate to about 1e-11 for r up to 2 (see the module).
    """
    sector, elements = _spin_sector(atoms1, atoms2, squeezing)
    asked = np.array([not_negative(time, "times") for time in times])
    vectors = evolve_vector(sector.liouvillian, sector.start, asked)
    vectors = vectors / (vectors @ sector.trace)[:, None]  # takes out the drift of rounding
    return sector.evolution(vectors, asked, elements)


def prepared_steady_state(atoms1: int, atoms2: int, squeezing: float) -> PairEvolution:
    """The steady state of N1 and N2 atoms (Mamaev Sec. IX); pure only for N1 = N2.

    For N1 = N2 `two_mode_squeezed_spins` gives the same in closed form. The entries of the
    result are arrays of length 1, at time infinity.
    """
    sector, elements = _spin_sector(atoms1, atoms2, squeezing)
    vector = steady_vector(sector.liouvillian, sector.trace)
    return sector.evolution(vector[None, :], np.array([math.inf]), elements)


def preparation_gap(atoms1: int, atoms2: int, squeezing: float) -> float:
    """Slowest rate of the sector that |0, 0> lives in, units of gamma.

    This is the "higher branch" that Mamaev Fig. S4b follows; smaller eigenvalues at small r
    belong to other charges and are invisible from |0, 0>. At large r it falls as e^{-2r}.
    """
    o1, o2 = _spin_ladders(atoms1, atoms2)
    return jumps_gap(squeezing_jumps(o1, o2, squeezing))


def jumps_gap(jumps: PairedJumps) -> float:
    """Slowest rate of the sector of zero charge difference for any paired jumps."""
    return slowest_rate(ChargeSector(jumps, reduced=False).liouvillian)


def best_squeezing(atoms1: int, atoms2: int) -> tuple[float, float]:
    """(r, xi^2) that minimise the steady-state Wineland parameter of unequal ensembles.

    Raises:
        ValueError: when the ensembles are equal (no finite r is best: xi^2 falls to
            3/(N+4) for r -> infinity).
    """
    if atoms1 == atoms2:
        raise ValueError(
            f"Arguments `atoms1` and `atoms2` must differ, but both are {atoms1!r}: equal "
            "ensembles have no best finite squeezing."
        )

    def steady_xi2(r: float) -> float:
        return float(prepared_steady_state(atoms1, atoms2, r).xi2[0])

    found = minimize_scalar(
        steady_xi2,
        bounds=(0.0, _LARGEST_SQUEEZING),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(found.x), float(found.fun)


def _spin_ladders(atoms1: int, atoms2: int) -> tuple[Array, Array]:
    """Matrix elements of two spins of N_i / 2."""
    n1, n2 = whole(atoms1, "atoms1", least=1), whole(atoms2, "atoms2", least=1)
    return spin_elements(0.5 * n1), spin_elements(0.5 * n2)


def _spin_sector(
    atoms1: int, atoms2: int, squeezing: float
) -> tuple[ChargeSector, tuple[Array, Array]]:
    elements = _spin_ladders(atoms1, atoms2)
    return ChargeSector(squeezing_jumps(*elements, squeezing)), elements


def _sector_indices(last1: int, last2: int) -> tuple[Indices, Indices, Indices, Indices]:
    """All (x1, x2, y1, y2) with x1 - x2 = y1 - y2, charge by charge."""
    charges = np.arange(-last2, last1 + 1)
    low = np.maximum(0, charges)
    high = np.minimum(last1, last2 + charges)
    size = int(np.sum((high - low + 1) ** 2))
    if size > _LARGEST_SECTOR:
        raise ValueError(
            f"Arguments `atoms1`, `atoms2` must keep the sector below {_LARGEST_SECTOR} "
            f"elements (about 80 atoms in each), but {last1} and {last2} need {size}; use the "
            "closed form or the mean field."
        )
    x1, y1, q = [], [], []
    for charge, first, last in zip(charges, low, high, strict=True):
        rows, columns = np.meshgrid(
            np.arange(first, last + 1), np.arange(first, last + 1), indexing="ij"
        )
        x1.append(rows.ravel())
        y1.append(columns.ravel())
        q.append(np.full(rows.size, charge))
    a, b, charge_of = (np.concatenate(part).astype(np.int64) for part in (x1, y1, q))
    return a, a - charge_of, b, b - charge_of
