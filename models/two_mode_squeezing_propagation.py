"""Real Liouvillians in a reduced space: evolution, steady states and gaps.

A Liouvillian that commutes with a group of index permutations (exchange of equal ensembles,
transposition of a real density matrix) maps invariant vectors to invariant vectors. One
entry per orbit of indices is then enough; `Orbits` keeps the bookkeeping.

Time evolution is a Krylov method on (1 - gamma L)^{-1}: one sparse factorisation and some
40 solves give exp(tL) v to about 1e-12, or to the rounding of the solves (1e-16 gamma |L|),
however stiff L is. Large squeezing makes the ratio of its rates grow as e^{4r}; a Taylor or
Runge-Kutta method needs t |L| products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import eigs, expm_multiply, splu
from scipy.sparse.linalg import norm as sparse_norm

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

_STEPS_PER_WINDOW = 20.0  # longest time of a window in units of gamma
_WINDOW = 8.0  # ratio of the longest to the shortest time that share a factorisation
_LARGEST_KRYLOV = 160
_CHECK_EVERY = 8
_TOLERANCE = 1e-12
_HALVINGS = 6
_ROUNDING = 2.3e-16
_DENSE_BELOW = 400
_TAYLOR_FROM = 3000
_TAYLOR_PRODUCTS = 5e4


@dataclass(frozen=True, slots=True)
class Orbits:
    """Classes of indices on which an invariant vector is constant.

    Attributes:
        representatives: one full index per class.
        class_of: class of each full index.
    """

    representatives: Indices = field(repr=False)
    class_of: Indices = field(repr=False)

    @classmethod
    def of(cls, size: int, *images: Indices) -> Orbits:
        """Classes under a group, given the image of every index under all its elements."""
        least = np.arange(size)
        for image in images:
            least = np.minimum(least, image)
        representatives, class_of = np.unique(least, return_inverse=True)
        return cls(representatives, class_of)

    @property
    def size(self) -> int:
        """Number of classes."""
        return int(self.representatives.size)

    def restrict(self, matrix: sparse.csr_array) -> sparse.csr_array:
        """A full matrix that commutes with the group, as it acts on invariant vectors."""
        rows = sparse.coo_array(matrix[self.representatives])
        return sparse.csr_array(
            (rows.data, (rows.row, self.class_of[rows.col])), shape=(self.size, self.size)
        )

    def functional(self, weights: Array) -> Array:
        """A linear functional of full vectors, as it acts on invariant ones."""
        sums = np.bincount(self.class_of, weights=weights, minlength=self.size)
        return np.asarray(sums, dtype=np.float64)

    def expand(self, vector: Array) -> Array:
        """The full vector of an invariant one."""
        full: Array = vector[self.class_of]
        return full


def evolve_vector(
    liouvillian: sparse.csr_array, start: Array, times: Sequence[float] | Array
) -> Array:
    """exp(t L) start for every t >= 0 in `times`, shape (len(times), dimension)."""
    asked = np.asarray(times, dtype=np.float64)
    result = np.tile(np.asarray(start, dtype=np.float64), (asked.size, 1))
    left = np.unique(asked[asked > 0.0])[::-1]
    while left.size:
        window = left[left * _WINDOW >= left[0]]
        for time, vector in zip(window, _window(liouvillian, start, window), strict=True):
            result[asked == time] = vector
        left = left[window.size :]
    return result


def evolve_vector_gently(
    liouvillian: sparse.csr_array, start: Array, times: Sequence[float] | Array
) -> Array:
    """The same by a Taylor method where that is cheaper: large L, few products t |L|."""
    asked = np.asarray(times, dtype=np.float64)
    order = np.unique(np.append(asked, 0.0))
    products = float(order[-1] * sparse_norm(liouvillian, 1))
    if start.size < _TAYLOR_FROM or products > _TAYLOR_PRODUCTS:
        return evolve_vector(liouvillian, start, asked)
    result = np.empty((asked.size, start.size))
    vector, now = np.asarray(start, dtype=np.float64), 0.0
    for time in order:
        if time > now:
            vector = np.asarray(expm_multiply((time - now) * liouvillian, vector))
        now = float(time)
        result[asked == time] = vector
    return result


def steady_vector(liouvillian: sparse.csr_array, trace: Array) -> Array:
    """The null vector of L with trace 1 (L must have only one)."""
    size = trace.size
    bordered = liouvillian.tolil()
    bordered[size - 1] = trace  # the rows of L add to nothing under the trace: one is spare
    right = np.zeros(size)
    right[-1] = 1.0
    matrix = bordered.tocsc()
    factors = splu(matrix)
    vector = factors.solve(right)
    vector += factors.solve(right - matrix @ vector)
    return np.asarray(vector, dtype=np.float64)


def slowest_rate(liouvillian: sparse.csr_array, candidates: int = 12) -> float:
    """Smallest -Re(eigenvalue) of L besides that of its single steady state.

    Large L: the slowest among the `candidates` eigenvalues closest to 0 (Arnoldi).
    """
    size = int(liouvillian.diagonal().size)
    if size < 2:
        raise ValueError("Argument `liouvillian` must have more than one dimension.")
    if size <= _DENSE_BELOW:
        found = linalg.eigvals(liouvillian.toarray())
    else:
        rates = np.abs(liouvillian.diagonal())
        shift = 1e-6 * float(rates.max())  # off the spectrum: L itself is singular
        start = np.random.default_rng(0).random(size)  # fixed: the same call, the same answer
        found = eigs(
            liouvillian.tocsc(), k=candidates, sigma=shift, v0=start, return_eigenvectors=False
        )
    values = np.asarray(found, dtype=np.complex128)
    slow_first = values[np.argsort(np.abs(values))]
    return float(-np.max(slow_first[1:].real))


def _window(
    liouvillian: sparse.csr_array, start: Array, times: Array, halvings: int = _HALVINGS
) -> Array:
    """exp(t L) start for times of one window, from one factorisation."""
    gamma = times.max() / _STEPS_PER_WINDOW
    size = start.size
    factors = splu(
        (sparse.eye_array(size) - gamma * liouvillian).tocsc(), permc_spec="MMD_AT_PLUS_A"
    )
    norm = float(np.linalg.norm(start))
    most = min(size, _LARGEST_KRYLOV)
    basis = np.empty((most + 1, size))
    hessenberg = np.zeros((most + 1, most))
    basis[0] = start / norm
    ends = np.array([times.min(), times.max()])
    # rounding in the solves; where the basis stops improving below it, no more can be had
    floor = _ROUNDING * gamma * float(sparse_norm(liouvillian, 1))
    before: Array | None = None
    last_change = math.inf
    for column in range(most):
        used = column + 1
        vector = factors.solve(basis[column])
        for _ in range(2):  # twice is enough for orthogonality to rounding
            overlap = basis[:used] @ vector
            vector -= overlap @ basis[:used]
            hessenberg[:used, column] += overlap
        rest = float(np.linalg.norm(vector))
        complete = rest <= 1e-14 or used == size
        if complete or used % _CHECK_EVERY == 0:
            now = _small_exponentials(hessenberg[:used, :used], ends / gamma)
            change = math.inf if before is None else _distance(before, now)
            settled = change <= _TOLERANCE or 0.5 * last_change <= change <= floor
            if complete or settled:
                small = _small_exponentials(hessenberg[:used, :used], times / gamma)
                return np.asarray(norm * small @ basis[:used])
            before, last_change = now, change
        hessenberg[used, column] = rest
        basis[used] = vector / rest
    return _halved(liouvillian, start, times, halvings)


def _halved(liouvillian: sparse.csr_array, start: Array, times: Array, halvings: int) -> Array:
    """The same in two steps of half the length, when one step would need too large a basis."""
    if halvings == 0:
        raise ArithmeticError(
            f"The evolution to time {times.max():g} did not reach {_TOLERANCE:g} with "
            f"{_LARGEST_KRYLOV} vectors even in steps {2**_HALVINGS} times shorter."
        )
    rows = []
    for time in times:
        half = np.array([0.5 * time])
        middle = _window(liouvillian, start, half, halvings - 1)[0]
        rows.append(_window(liouvillian, middle, half, halvings - 1)[0])
    return np.array(rows)


def _small_exponentials(hessenberg: Array, times: Array) -> Array:
    """First columns of exp(t (1 - H^{-1})), one row per time in units of gamma."""
    size = hessenberg.shape[0]
    generator = np.eye(size) - linalg.inv(hessenberg)
    columns = [linalg.expm(time * generator)[:, 0] for time in times]
    return np.array(columns, dtype=np.float64)


def _distance(before: Array, now: Array) -> float:
    """Largest change of any evolved vector between two sizes of the basis."""
    padded = np.zeros_like(now)
    padded[:, : before.shape[1]] = before
    return float(np.max(np.linalg.norm(now - padded, axis=1)))
