"""The cumulant equations multiplied out: polynomials in the moments and in the rates.

The equations of `cumulants` run on polynomials as they run on numbers. Here they do so once, in
connected moments K_pq = N (<pq> - <p><q>), which stay of order one however many atoms there are:
a variance of the atom number is no longer a small difference of large numbers. Coefficients are
halves and small whole numbers, so what cancels, cancels exactly. From the polynomials come slopes
by every rate without further derivation.

Two things are followed besides. The photons' mean, d<M>/dt = Gamma <J+J->; and, of first order in
1/N, what they share with the atoms: with the jumps weighted by e^s the moments change at the rate
of s by k_p = Cov(M, sigma_p),

    dk/dt = (mean-field Jacobian) k + Gamma (<J+ sigma_p J-> - <J+J-><sigma_p>),
    Var M - <M> = 2 Gamma int Cov(M, J+J-) dt,       Cov(M, n_a) = N k_z^a / 2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from .cumulants import MOMENTS, full_moment_rates

Array = NDArray[np.float64]
Places = NDArray[np.intp]

RATES = ("share", "rabi", "half_detuning", "collective", "single", "skew")
"""1/N, Omega, Delta/2, N Gamma, gamma, and -chi/Gamma: what the coefficients are made of."""

SHARED = ("kx1", "ky1", "kz1", "kx2", "ky2", "kz2")
"""Cov(M, sigma) of both ensembles."""

EVERY = (*MOMENTS, *SHARED, "light", "bunching")
"""Every moment; pairs are connected ones."""

_MIRRORED = {
    **{f"{p}2": (-1.0 if p == "x" else 1.0, f"{p}1") for p in "xyz"},
    **{f"k{p}2": (-1.0 if p == "x" else 1.0, f"k{p}1") for p in "xyz"},
    **{
        f"{p}2": (-1.0 if p in ("xy", "xz") else 1.0, f"{p}1")
        for p in ("xx", "yy", "zz", "xy", "xz", "yz")
    },
    "Cyx": (-1.0, "Cxy"),
    "Czx": (-1.0, "Cxz"),
    "Czy": (1.0, "Cyz"),
}
"""Moments that the mirror x1 <-> -x2, y1 <-> y2, z1 <-> z2 gives from others."""

HALF = tuple(name for name in EVERY if name not in _MIRRORED)
"""Moments that are enough without exchange."""

_NONE = (0,) * len(RATES)


class Polynomial:
    """A sum of products of rates (any whole powers) and of moments (by their numbers)."""

    __slots__ = ("terms",)

    def __init__(self, terms: dict[tuple[tuple[int, ...], tuple[int, ...]], float]) -> None:
        self.terms = terms

    @classmethod
    def rate(cls, name: str, power: int = 1) -> Polynomial:
        """One of `RATES`, to a power."""
        place = RATES.index(name)
        return cls({(tuple(power * (k == place) for k in range(len(RATES))), ()): 1.0})

    @classmethod
    def moment(cls, number: int) -> Polynomial:
        """One moment."""
        return cls({(_NONE, (number,)): 1.0})

    def __add__(self, other: Polynomial | float) -> Polynomial:
        terms = dict(self.terms)
        for key, value in _terms(other):
            total = terms.get(key, 0.0) + value
            if total == 0.0:
                terms.pop(key, None)
            else:
                terms[key] = total
        return Polynomial(terms)

    def __mul__(self, other: Polynomial | float) -> Polynomial:
        terms: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = {}
        for (powers, factors), value in self.terms.items():
            for (more, others), times in _terms(other):
                key = (
                    tuple(a + b for a, b in zip(powers, more, strict=True)),
                    tuple(sorted(factors + others)),
                )
                terms[key] = terms.get(key, 0.0) + value * times
        return Polynomial({key: value for key, value in terms.items() if value != 0.0})

    def __neg__(self) -> Polynomial:
        return self * -1.0

    def __sub__(self, other: Polynomial | float) -> Polynomial:
        return self + other * -1.0

    def __rsub__(self, other: float) -> Polynomial:
        return -self + other

    __radd__ = __add__
    __rmul__ = __mul__


def _terms(
    value: Polynomial | float,
) -> Iterator[tuple[tuple[tuple[int, ...], tuple[int, ...]], float]]:
    if isinstance(value, Polynomial):
        yield from value.terms.items()
    else:
        yield (_NONE, ()), float(value)


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """dy/dt = L(rates) z(y), z the products of moments that occur.

    Attributes:
        names: of the moments y; "light" is <M>/N, "bunching" (Var M - <M>)/N.
        pairs: (q, 2) numbers of the moments in each product of two.
        triples: (c, 2) number of a product of two, and of a third moment.
        equation, product, coefficient: of every term; products count 1, the moments, `pairs`,
            `triples`.
        powers: (terms, rates) exponents.
    """

    names: tuple[str, ...]
    pairs: Places
    triples: Places
    equation: Places
    product: Places
    coefficient: Array
    powers: Places

    @property
    def products(self) -> int:
        """How many products z holds."""
        return 1 + len(self.names) + len(self.pairs) + len(self.triples)

    def matrices(self, rates: Array) -> tuple[Array, Array]:
        """L, (moments, products), and its derivatives by the rates, (rates, moments, products)."""
        plain = np.zeros((len(self.names), self.products))
        np.add.at(
            plain, (self.equation, self.product), self.coefficient * _power(rates, self.powers)
        )
        slopes = np.zeros((len(RATES), *plain.shape))
        for number in range(len(RATES)):
            lower = self.powers.copy()
            lower[:, number] = np.maximum(lower[:, number] - 1, 0)
            weights = self.coefficient * self.powers[:, number] * _power(rates, lower)
            np.add.at(slopes[number], (self.equation, self.product), weights)
        return plain, slopes

    def products_of(self, y: Array) -> tuple[Array, Array]:
        """z at the moments, (products,), and its changes with y's other columns.

        Args:
            y: (moments, 1 + k): moments, and k directions in which they may change.
        """
        size, (i, j), (q, k) = len(self.names), self.pairs.T, self.triples.T
        plain, along = y[:, 0], y[:, 1:]
        twos = plain[i] * plain[j]
        by_twos = along[i] * plain[j, None] + plain[i, None] * along[j]
        products = np.concatenate([[1.0], plain, twos, twos[q] * plain[k]])
        changes = np.empty((products.size, along.shape[1]))
        changes[0] = 0.0
        changes[1 : 1 + size] = along
        changes[1 + size : 1 + size + i.size] = by_twos
        changes[1 + size + i.size :] = by_twos[q] * plain[k, None] + twos[q, None] * along[k]
        return products, changes


def _power(rates: Array, powers: Places) -> Array:
    found: Array = np.prod(rates[None, :] ** powers, axis=1)
    return found


@cache
def equations(exchange: bool) -> Equations:
    """The equations of all moments; without exchange of ensemble 1 and across alone (mirror)."""
    names = EVERY if exchange else HALF
    moments = {name: Polynomial.moment(k) for k, name in enumerate(names)}
    if not exchange:
        moments |= {name: sign * moments[kept] for name, (sign, kept) in _MIRRORED.items()}
    found = _rates_of(moments)
    return _tabled(names, [found[name] for name in names])


def _rates_of(moments: dict[str, Polynomial]) -> dict[str, Polynomial]:
    """Rates of the connected moments, of what they share with the light, and of the light."""
    share, many = Polynomial.rate("share"), Polynomial.rate("share", -1)
    collective = Polynomial.rate("collective")
    single = [moments[name] for name in MOMENTS[:6]]
    pairs = {name: _places(name) for name in MOMENTS[6:]}
    means = [*single, *(share * moments[n] + single[i] * single[j] for n, (i, j) in pairs.items())]
    rates = (
        many,
        Polynomial.rate("rabi"),
        Polynomial.rate("half_detuning"),
        collective * share,
        Polynomial.rate("single"),
        Polynomial.rate("skew"),
    )
    by = full_moment_rates(means, rates)
    found = dict(zip(MOMENTS[:6], by, strict=False))
    for number, (name, (i, j)) in enumerate(pairs.items(), start=6):
        found[name] = (by[number] - by[i] * single[j] - single[i] * by[j]) * many
    field = [single[0] + single[3], single[1] + single[4]]
    shared = [moments[name] for name in SHARED]
    for own in (0, 1):
        found |= _shared_rates(own, single, shared, field, moments)
    inside = sum((means[k] for k in (6, 7, 12, 13)), Polynomial({}))
    across = means[18] + means[22]
    up = share * (2.0 + single[2] + single[5])
    one = 1.0 - share
    found["light"] = collective * (0.5 * up + 0.25 * one * inside + 0.5 * across)
    bunched = field[0] * (shared[0] + shared[3]) + field[1] * (shared[1] + shared[4])
    found["bunching"] = collective * bunched
    return found


def _shared_rates(
    own: int,
    single: Sequence[Polynomial],
    shared: Sequence[Polynomial],
    field: Sequence[Polynomial],
    moments: dict[str, Polynomial],
) -> dict[str, Polynomial]:
    """Rates of Cov(M, sigma) of one ensemble, leading order in 1/N."""
    sign = 1.0 - 2.0 * own
    turn = sign * Polynomial.rate("half_detuning")
    rabi, decay = Polynomial.rate("rabi"), 0.5 * Polynomial.rate("single")
    collective, felt = Polynomial.rate("collective"), 1.0 + sign * Polynomial.rate("skew")
    (x, y, z), other = single[3 * own : 3 * own + 3], single[3 - 3 * own : 6 - 3 * own]
    (kx, ky, kz), far = shared[3 * own : 3 * own + 3], shared[3 - 3 * own : 6 - 3 * own]
    fx, fy = x + felt * other[0], y + felt * other[1]
    gx, gy = kx + felt * far[0], ky + felt * far[1]
    half = 0.5 * collective
    found = [
        half * (kz * fx + z * gx) - turn * ky - decay * kx,
        half * (kz * fy + z * gy) + turn * kx - rabi * kz - decay * ky,
        rabi * ky - 2.0 * decay * kz - half * (kx * fx + x * gx + ky * fy + y * gy),
    ]
    along = field[0] * x + field[1] * y
    itself = (field[0] * (1.0 + z), field[1] * (1.0 + z), -along)
    for p, mean in enumerate((x, y, z)):
        near = sum(
            (
                field[k] * (moments[_name(own, p, 0, k)] + moments[_name(own, p, 1, k)])
                for k in (0, 1)
            ),
            Polynomial({}),
        )
        found[p] = found[p] + half * (near + itself[p] - mean * along)
    return {SHARED[3 * own + p]: rate for p, rate in enumerate(found)}


def _places(name: str) -> tuple[int, int]:
    """Numbers of the two means of a pair in `MOMENTS`."""
    p, q = ("xyz".index(letter) for letter in name.strip("C12"))
    if name.startswith("C"):
        return p, 3 + q
    first = 3 * (name[-1] == "2")
    return first + p, first + q


def _name(a: int, p: int, b: int, q: int) -> str:
    """Name of the pair of sigma_a^p and sigma_b^q."""
    if a == b:
        letters = "".join(sorted("xyz"[p] + "xyz"[q]))
        return f"{letters}{a + 1}"
    return "C" + ("xyz"[p] + "xyz"[q] if a == 0 else "xyz"[q] + "xyz"[p])


def _tabled(names: tuple[str, ...], rates: Sequence[Polynomial]) -> Equations:
    """Terms in arrays, products numbered."""
    terms = [
        (number, powers, factors, value)
        for number, rate in enumerate(rates)
        for (powers, factors), value in rate.terms.items()
    ]
    triples = sorted({factors for _, _, factors, _ in terms if len(factors) == 3})
    twos = {factors for _, _, factors, _ in terms if len(factors) == 2}
    pairs = sorted(twos | {factors[:2] for factors in triples})
    size = len(names)
    number_of: dict[tuple[int, ...], int] = {(): 0}
    number_of |= {(k,): 1 + k for k in range(size)}
    number_of |= {pair: 1 + size + k for k, pair in enumerate(pairs)}
    number_of |= {triple: 1 + size + len(pairs) + k for k, triple in enumerate(triples)}
    return Equations(
        names,
        np.array(pairs, dtype=np.intp),
        np.array([(pairs.index(t[:2]), t[2]) for t in triples], dtype=np.intp),
        np.array([number for number, _, _, _ in terms], dtype=np.intp),
        np.array([number_of[factors] for _, _, factors, _ in terms], dtype=np.intp),
        np.array([value for _, _, _, value in terms]),
        np.array([powers for _, powers, _, _ in terms], dtype=np.intp),
    )
