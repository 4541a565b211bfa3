"""Master equations as real sparse matrices, their steady states and their evolution.

For what the closed recursion of the lossless collective spin does not cover: loss, the way
in time, and atoms that are not at their places. A density matrix with a symmetry has fewer
real coordinates than elements (about half of them here); in these coordinates the generator
is real and sparse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import expm, lu_factor, lu_solve
from scipy.sparse.linalg import splu

Array = NDArray[np.float64]
ComplexArray = NDArray[np.complex128]

_LARGEST_BASIS = 240
_CHECK_EVERY = 5


@dataclass(frozen=True, slots=True)
class HermitianCoordinates:
    """Real coordinates of Hermitian matrices that share a symmetry.

    Attributes:
        dimension: d of the d x d matrices.
        embedding: sparse complex (d^2, n): coordinates to the row-major elements.
        real_rows, imaginary_rows: the elements whose real and imaginary parts are the
            coordinates, in this order.
    """

    dimension: int
    embedding: sparse.csc_array = field(repr=False)
    real_rows: NDArray[np.intp] = field(repr=False)
    imaginary_rows: NDArray[np.intp] = field(repr=False)

    def of(self, matrix: ComplexArray) -> Array:
        """Coordinates of a matrix of this symmetry."""
        flat = matrix.ravel()
        return np.concatenate((flat[self.real_rows].real, flat[self.imaginary_rows].imag))

    def matrix(self, coordinates: Array) -> ComplexArray:
        """The matrix with these coordinates."""
        elements = np.asarray(self.embedding @ coordinates.astype(np.complex128))
        return elements.reshape(self.dimension, self.dimension)

    def functional(self, operator: sparse.csr_array) -> ComplexArray:
        """Row vector v with v @ coordinates = tr(rho operator)."""
        flat = operator.toarray().T.ravel().astype(np.complex128)
        return np.asarray(self.embedding.T @ flat)

    def superoperator(
        self, hamiltonian: sparse.csr_array, jumps: Sequence[sparse.csr_array]
    ) -> sparse.csc_array:
        """-i[H, .] + sum_J (J . J^+ - {J^+ J, .}/2) in these coordinates."""
        one = sparse.csr_array(sparse.eye_array(self.dimension))
        drift = sparse.csr_array(-1j * hamiltonian)
        for jump in jumps:
            drift = sparse.csr_array(drift - 0.5 * (jump.conj().T @ jump))
        parts = []
        for rows in (self.real_rows, self.imaginary_rows):
            a, b = rows // self.dimension, rows % self.dimension
            block = _rows_of_product(drift, one, a, b)
            block = block + _rows_of_product(one, sparse.csr_array(drift.conj()), a, b)
            for jump in jumps:
                block = block + _rows_of_product(jump, sparse.csr_array(jump.conj()), a, b)
            parts.append(block @ self.embedding)
        return sparse.csc_array(sparse.vstack((parts[0].real, parts[1].imag)))


def parity_coordinates(parities: NDArray[np.intp]) -> HermitianCoordinates:
    """Matrices without elements between basis states of different parity."""
    d = parities.size
    kept = (parities[:, None] == parities[None, :]).ravel()
    flat = np.arange(d * d).reshape(d, d)
    return _coordinates(d, flat.ravel(), flat.T.ravel(), kept)


def mirror_coordinates(dimension: int) -> HermitianCoordinates:
    """Matrices with rho[d-1-a, d-1-b] = rho[a, b]."""
    flat = np.arange(dimension**2).reshape(dimension, dimension)
    plain = np.minimum(flat, flat[::-1, ::-1])
    return _coordinates(
        dimension, plain.ravel(), plain.T.ravel(), np.ones(dimension**2, dtype=bool)
    )


def steady_coordinates(generator: sparse.csc_array, fixed: int) -> Array:
    """The null vector with coordinate `fixed` (a population) equal to 1.

    The populations' equations add to zero, so the one of `fixed` is left out.
    """
    others = np.delete(np.arange(np.diff(generator.indptr).size), fixed)
    inner = sparse.csc_array(generator[others][:, others])
    source = -generator[others][:, [fixed]].toarray().ravel()
    solve = _factorise(inner)
    solution = solve(source)
    solution += solve(source - inner @ solution)
    return np.insert(solution, fixed, 1.0)


def evolve(generator: sparse.csc_array, start: Array, times: Array, tolerance: float) -> Array:
    """exp(t generator) start for ascending times >= 0; one row a time.

    Shift-and-invert Arnoldi: one sparse factorisation (1 - gamma generator) and a few tens
    of solves serve a decade of times, however stiff the generator is. Each group of times
    starts from the end of the one before.

    Args:
        generator: real sparse matrix whose spectrum has no positive real part.
        start: coordinates at t = 0.
        times: ascending, not negative.
        tolerance: of the change between successive bases, relative to the norm of `start`.
    """
    states = np.empty((times.size, start.size))
    state, origin, index = start, 0.0, 0
    while index < times.size:
        if times[index] == origin:
            states[index] = state
            index += 1
            continue
        stop = index + int(np.searchsorted(times[index:] - origin, 8.0 * (times[index] - origin)))
        stop = max(stop, index + 1)
        states[index:stop] = _group(generator, state, times[index:stop] - origin, tolerance)
        state, origin, index = states[stop - 1], float(times[stop - 1]), stop
    return states


def _group(generator: sparse.csc_array, start: Array, times: Array, tolerance: float) -> Array:
    """States at a few comparable times; halves the interval where one basis is not enough."""
    span = float(times[-1])
    shift = span / 10.0
    identity = sparse.eye_array(start.size, format="csc")
    solve = _factorise(sparse.csc_array(identity - shift * generator))
    norm = float(np.linalg.norm(start))
    limit = min(_LARGEST_BASIS, start.size)
    basis = np.zeros((limit + 1, start.size))
    projected = np.zeros((limit + 1, limit))
    basis[0] = start / norm
    before: Array | None = None
    for size in range(1, limit + 1):
        vector = solve(basis[size - 1])
        for _ in range(2):  # orthogonalised twice
            overlaps = basis[:size] @ vector
            vector -= overlaps @ basis[:size]
            projected[:size, size - 1] += overlaps
        rest = float(np.linalg.norm(vector))
        closed = rest < 1e-14 or size == start.size
        if closed or size % _CHECK_EVERY == 0:
            small = (np.eye(size) - np.linalg.inv(projected[:size, :size])) / shift
            with np.errstate(over="ignore", invalid="ignore"):
                # A small basis of a non-normal generator may have growing Ritz vectors; their
                # overflow fails the comparison, and the basis grows.
                now = np.asarray([expm(time * small)[:, 0] for time in times], dtype=np.float64)
            if closed or (before is not None and _distance(now, before) < tolerance):
                return norm * now @ basis[:size]
            before = now
        projected[size, size - 1] = rest
        basis[size] = vector / rest
    middle = _group(generator, start, np.array([0.5 * span]), tolerance)[-1]
    early = times <= 0.5 * span
    states = np.empty((times.size, start.size))
    if early.any():
        states[early] = _group(generator, start, times[early], tolerance)
    states[~early] = _group(generator, middle, times[~early] - 0.5 * span, tolerance)
    return states


def _factorise(matrix: sparse.csc_array) -> Callable[[Array], Array]:
    """A solver of matrix @ x = b; matrices more than a twentieth full are treated as dense."""
    if matrix.nnz > 0.05 * np.diff(matrix.indptr).size ** 2:
        factors = lu_factor(matrix.toarray())
        return lambda source: np.asarray(lu_solve(factors, source), dtype=np.float64)
    # Of the orderings and thresholds of SuperLU these leave the least fill here.
    sparse_factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.01)
    return lambda source: np.asarray(sparse_factors.solve(source), dtype=np.float64)


def _distance(now: Array, before: Array) -> float:
    """Largest distance of two lists of vectors, the shorter ones padded with zeros."""
    difference = now.copy()
    difference[:, : before.shape[1]] -= before
    return float(np.linalg.norm(difference, axis=1).max())


def _rows_of_product(
    left: sparse.csr_array,
    right: sparse.csr_array,
    a: NDArray[np.intp],
    b: NDArray[np.intp],
) -> sparse.csr_array:
    """Rows (a, b) of kron(left, right), without the others."""
    left_starts, right_starts = np.asarray(left.indptr), np.asarray(right.indptr)
    left_counts, right_counts = np.diff(left_starts)[a], np.diff(right_starts)[b]
    counts = left_counts * right_counts
    ends = np.cumsum(counts)
    row = np.repeat(np.arange(a.size), counts)
    within = np.arange(int(ends[-1]) if ends.size else 0) - np.repeat(ends - counts, counts)
    width = right_counts[row]
    i = left_starts[a][row] + within // width
    k = right_starts[b][row] + within % width
    d = right_starts.size - 1  # both are square, and equally large
    columns = np.asarray(left.indices, dtype=np.intp)[i] * d + right.indices[k]
    shape = (a.size, d * d)
    return sparse.csr_array((left.data[i] * right.data[k], (row, columns)), shape=shape)


def _coordinates(
    dimension: int, plain: NDArray[np.intp], turned: NDArray[np.intp], kept: NDArray[np.bool_]
) -> HermitianCoordinates:
    """Coordinates from the smallest equal element (`plain`) and conjugate element (`turned`)."""
    flat = np.flatnonzero(kept)
    plain, turned = plain[flat], turned[flat]
    keys = np.minimum(plain, turned)
    real_rows, real_of = np.unique(keys, return_inverse=True)
    complex_valued = plain != turned
    imaginary_rows, imaginary_of = np.unique(keys[complex_valued], return_inverse=True)
    signs = np.where(plain[complex_valued] < turned[complex_valued], 1j, -1j)
    rows = np.concatenate((flat, flat[complex_valued]))
    columns = np.concatenate((real_of, real_rows.size + imaginary_of))
    values = np.concatenate((np.ones(flat.size, dtype=np.complex128), signs))
    shape = (dimension**2, real_rows.size + imaginary_rows.size)
    embedding = sparse.csc_array((values, (rows, columns)), shape=shape)
    return HermitianCoordinates(dimension, embedding, real_rows, imaginary_rows)


def lossy_jumps(
    occupation: float, correlation: complex, lowering: sparse.csr_array
) -> list[sparse.csr_array]:
    """The jump operators of a squeezed field seen through S_-, unit decay rate.

    Eigenvectors of [[n+1, -M*], [-M, n]] on (S_-, S_+) times the roots of their eigenvalues
    (Bai & An Eq. 7 in Lindblad form); one of them vanishes when |M|^2 = n(n+1).
    """
    matrix = np.array([[occupation + 1.0, -correlation.conjugate()], [-correlation, occupation]])
    rates, vectors = np.linalg.eigh(matrix)
    if correlation.imag == 0.0:
        vectors = np.real(vectors)
    raising = lowering.conj().T.tocsr()
    floor = 1e-15 * float(rates[-1])
    return [
        math.sqrt(rate) * (vector[0] * lowering + vector[1] * raising)
        for rate, vector in zip(rates, vectors.T, strict=True)
        if rate > floor
    ]
