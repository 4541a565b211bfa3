"""The master equation of two ensembles in the coupled basis, in the gauge where it is real.

States |J, m> stand at i = J^2 + J + m, so that J+m counts up inside a block and a jump is
a shift by one. With psi_{J,m} = (-i)^{J+m} phi_{J,m} (not in the paper) the equation reads

    rho' = K rho + rho K^dagger + W rho W^T,      K = A - W^T W / 2,

with A anti-Hermitian, real unless there is exchange, and W the collective decay. Matrix
elements: Chu Eqs. 5-7 and A1-A12, with A_{J,m} the element of S1+ + S2+ (the paper's text
after Eq. 5 calls it that of S^x, which is half of it).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from numpy.typing import NDArray

from ._checks import dimension_of
from .relaxation_propagator import Ellipse
from .two_ensembles import TwoEnsembles, steady_state

Array = NDArray[np.float64]
Matrix = NDArray[Any]  # real, or complex with exchange


@dataclass(frozen=True, slots=True)
class Generator:
    """The generator on the states kept.

    Attributes:
        parameters: the pair it belongs to.
        total: J of each state kept; ascending, and m ascending within one J.
        projection: m of each state kept.
        drift: K, sparse; real without exchange.
        jump: elements of W: a jump sends amplitude i+1 times jump[i] to state i.
        target: the steady state on the states kept (norm below 1 when some are not).
        observables: sparse O_k as (rows, columns, values[k]); see `expectations`.
    """

    parameters: TwoEnsembles
    total: NDArray[np.int64]
    projection: NDArray[np.int64]
    drift: Any
    jump: Array
    target: Matrix
    observables: tuple[NDArray[np.int64], NDArray[np.int64], Matrix]

    @property
    def size(self) -> int:
        """Number of states kept."""
        return int(self.total.size)

    @property
    def decay(self) -> Array:
        """Diagonal of Gamma N, the rate at which each state emits."""
        j, m = self.total.astype(np.float64), self.projection.astype(np.float64)
        return np.asarray(self.parameters.collective_decay * ((j + m) * (j - m + 1.0)))

    def all_down(self) -> Array:
        """phi of all atoms down, |2S, -2S>; it must be among the states kept."""
        phi = np.zeros(self.size)
        phi[np.flatnonzero(self.projection == -round(2 * self.parameters.spin))] = 1.0
        return phi

    def restricted(self, keep: NDArray[np.int64]) -> Generator:
        """The generator on a subset of the states (ascending positions `keep`)."""
        joined = np.append(np.diff(keep) == 1, False)
        position = np.full(self.size, -1)
        position[keep] = np.arange(keep.size)
        rows, columns, values = self.observables
        inside = (position[rows] >= 0) & (position[columns] >= 0)
        return Generator(
            self.parameters,
            self.total[keep],
            self.projection[keep],
            self.drift[keep][:, keep].tocsr(),
            np.where(joined, self.jump[keep], 0.0),
            self.target[keep],
            (position[rows[inside]], position[columns[inside]], values[:, inside]),
        )

    def apply(self, rho: Matrix) -> Matrix:
        """L rho for a Hermitian (without exchange: real symmetric) rho."""
        result = np.zeros_like(rho)
        self.recursion(1.0, 0.0)(rho, result, 0.0)
        return result

    def recursion(self, scale: float, shift: float) -> Callable[[Matrix, Matrix, float], None]:
        """A function (now, before, back): before <- scale (L + shift) now - back * before.

        Its working arrays are as large as rho and made once.
        """
        half = scale * (self.drift + 0.5 * shift * sp.eye_array(self.size, format="csr"))
        # The product of the weights first: any asymmetry of rounding would grow, since only
        # its jumps, and not its decay, survive the symmetric sum below.
        weights = scale * np.multiply.outer(self.jump[:-1], self.jump[:-1])
        work: Matrix = np.empty((self.size, self.size), dtype=half.dtype)

        def advance(now: Matrix, before: Matrix, back: float) -> None:
            left = half @ now
            np.add(left, left.T if left.dtype.kind == "f" else left.conj().T, out=work)
            before *= -back
            before += work
            inner = work[:-1, :-1]
            np.multiply(weights, now[1:, 1:], out=inner)
            before[:-1, :-1] += inner

        return advance

    def recursion_any(self, scale: float, shift: float) -> Callable[[Matrix, Matrix, float], None]:
        """As `recursion`, for matrices that need not be Hermitian; about twice the work."""
        half = scale * (self.drift + 0.5 * shift * sp.eye_array(self.size, format="csr"))
        other = half.conj()
        weights = scale * np.multiply.outer(self.jump[:-1], self.jump[:-1])

        def advance(now: Matrix, before: Matrix, back: float) -> None:
            before *= -back
            before += half @ now
            before += (other @ now.T).T
            before[:-1, :-1] += weights * now[1:, 1:]

        return advance

    def expectations(self, rho: Matrix) -> Array:
        """Trace, <S1x-S2x>, <S1y-S2y>, <S1y+S2y>, <(S1y+S2y)^2>, <S1z+S2z>, fidelity."""
        rows, columns, values = self.observables
        dark = np.flatnonzero(self.target)
        amplitudes = self.target[dark]
        fidelity = np.real(amplitudes.conj() @ rho[np.ix_(dark, dark)] @ amplitudes)
        moments = np.real(values @ rho[columns, rows])
        diagonal = np.real(np.diagonal(rho))
        mean_z = float(diagonal @ self.projection)
        return np.array([float(diagonal.sum()), *moments, mean_z, fidelity], dtype=np.float64)


def generator(parameters: TwoEnsembles) -> Generator:
    """The generator on all (2S+1)^2 states."""
    last = dimension_of(parameters.spin) - 1
    j = np.repeat(np.arange(last + 1), 2 * np.arange(last + 1) + 1)
    m = np.arange(j.size) - j * j - j
    raising = np.sqrt((j - m) * (j + m + 1.0))  # A_{J,m}
    up = np.flatnonzero(m < j)
    out = np.flatnonzero(j < last)
    across = out + 2 * j[out] + 2
    size = (j.size, j.size)
    ladder = sp.csr_matrix((raising[up], (up + 1, up)), shape=size)
    reduced = np.sqrt(_norms(last, j[out]))
    coupling = reduced * np.sqrt((j[out] + m[out] + 1.0) * (j[out] - m[out] + 1.0))
    exchange = parameters.exchange
    rate: Matrix = np.full(out.size, 0.5 * parameters.detuning_difference)
    if exchange != 0.0:
        rate = rate - 0.5j * exchange * (j[out] + 1.0)
    outward = sp.csr_matrix((rate * coupling, (across, out)), shape=size)
    ahead = 0.5 * parameters.rabi_frequency * ladder + outward
    emission = parameters.collective_decay * (j + m) * (j - m + 1.0)
    drift = (ahead - ahead.conj().T - sp.diags_array(0.5 * emission)).tocsr()
    amplitudes = steady_state(parameters).amplitudes
    target: Matrix = np.zeros(j.size, dtype=drift.dtype)
    dark = np.arange(amplitudes.size) ** 2
    target[dark] = amplitudes if exchange != 0.0 else amplitudes.real
    return Generator(
        parameters,
        j,
        m,
        drift,
        np.sqrt(parameters.collective_decay) * raising,
        target,
        _observables(last, j, m, ladder, exchange != 0.0),
    )


def spectral_ellipse(system: Generator) -> Ellipse:
    """An ellipse around the spectrum, from the largest decay and the largest frequency.

    The spectrum reaches 1.2 to 1.6 times the largest emission rate along the real axis,
    and twice the norm of A along the imaginary one, plus a fifth of that rate.
    """
    fastest = float(np.max(system.decay, initial=0.0))
    drift = system.drift + sp.diags_array(0.5 * system.decay)
    norm = 0.0
    if system.size > 2:
        square = (drift.conj().T @ drift).tocsr()
        tolerance: Any = 1e-3
        largest = sla.eigsh(
            square, k=1, v0=np.ones(system.size), tol=tolerance, return_eigenvectors=False
        )
        norm = math.sqrt(float(largest[0]))
    return Ellipse(1.6 * fastest, 2.06 * norm + 0.25 * fastest)


def _norms(last: int, j: NDArray[np.int64]) -> Array:
    """N_J = (2S-J)(2S+J+2)/[(2J+1)(2J+3)], common to the steps J -> J+1."""
    norms: Array = (last - j) * (last + j + 2.0) / ((2.0 * j + 1.0) * (2.0 * j + 3.0))
    return norms


def _observables(
    last: int, j: NDArray[np.int64], m: NDArray[np.int64], ladder: Any, imaginary: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64], Matrix]:
    """S1x-S2x, S1y-S2y, S1y+S2y and the square of the last.

    The gauge multiplies the element from i to f by i^{(J+m)_f-(J+m)_i}: -1 where J and m
    both rise by one, 1 where J rises and m falls, i where m rises. S1y-S2y is then
    imaginary and vanishes in every real state.
    """
    out = np.flatnonzero(j < last)
    jo, mo = j[out], m[out]
    reduced = np.sqrt(_norms(last, jo))
    top = (jo + 1) ** 2 + (jo + 1) + mo + 1
    shape = (j.size, j.size)
    rising = -reduced * np.sqrt((jo + mo + 1.0) * (jo + mo + 2.0))  # B+ of Chu Eq. A
    falling = reduced * np.sqrt((jo - mo + 1.0) * (jo - mo + 2.0))  # B-
    plus = sp.csr_matrix((rising, (top, out)), shape=shape)
    minus = sp.csr_matrix((falling, (top - 2, out)), shape=shape)
    x = 0.5 * (minus - plus + (minus - plus).T)
    total = 0.5 * (ladder + ladder.T)
    matrices = [x, sp.csr_matrix(shape), total, total @ total]
    if imaginary:
        matrices[1] = 0.5j * (minus + plus - (minus + plus).T)
    parts = [sp.coo_matrix(part) for part in matrices]
    rows = np.concatenate([part.row for part in parts]).astype(np.int64)
    columns = np.concatenate([part.col for part in parts]).astype(np.int64)
    values: Matrix = np.zeros((len(parts), rows.size), dtype=complex if imaginary else float)
    start = 0
    for k, part in enumerate(parts):
        values[k, start : start + part.nnz] = part.data
        start += part.nnz
    return rows, columns, values
