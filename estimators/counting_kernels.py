"""Photon counts folded into outcome tables: sum over atom numbers near the counts only.

The probability density of one shot is L = sum_{n1,n2} K1[n1] P[n1, n2] K2[n2] with the Poisson
kernels K of gain and background. A kernel is a few counting noises wide; its window of atom
numbers makes the fold a sparse matrix times the table, unless the noise is so large that
the dense product is cheaper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import gammaln

Array = NDArray[np.float64]

_REACH = 7.0  # half-width of the window in counting noises
_DENSE_FROM = 0.29  # window over table size above which the dense product wins
_NOTHING = math.exp(-0.5 * _REACH**2)  # of the largest weight of a shot
_SQUARES = 2**17  # cells of shots held at once
_MANY, _WIDE = 16, 12  # tables and window from which it pays to leave out such cells
LEAST_BACKGROUND = 1e-3  # counts; keeps the logarithm of an empty gate's mean finite


@dataclass(frozen=True, slots=True)
class Folded:
    """Tables folded with the counts, and the slopes of the first table's fold.

    Attributes:
        values: (shots, tables).
        by_log_gain, by_background: (shots,), derivatives of values[:, 0].
    """

    values: Array
    by_log_gain: Array
    by_background: Array


class CountFold:
    """The kernels of a block of shots at one gain and background.

    Args:
        counts: (shots, 2) counts, as floats.
        log_factorials: ln counts! of the same shape.
        gain, background: counts per atom, counts without atoms; (shots,) each where they differ.
        atoms: 2S.
    """

    def __init__(
        self,
        counts: Array,
        log_factorials: Array,
        gain: float | Array,
        background: float | Array,
        atoms: int,
    ) -> None:
        self._size = atoms + 1
        gains = np.asarray(gain, dtype=np.float64).reshape(-1, 1)
        floors = np.maximum(np.asarray(background).reshape(-1, 1), LEAST_BACKGROUND)
        noise = float((np.sqrt(gains * atoms + floors) / gains).max())
        width = min(self._size, 2 * (math.ceil(_REACH * noise) + 1) + 1)
        self._dense = width > _DENSE_FROM * self._size
        if self._dense:
            width = self._size
        self._width = width
        first = np.rint((counts - floors) / gains).astype(np.intp) - width // 2
        self._first = np.clip(first, 0, self._size - width)
        self._scaled = gains[:, :, None] * (self._first[:, :, None] + np.arange(width))
        self._mean = self._scaled + floors[:, :, None]
        self._seen = counts[:, :, None]
        self._lit = bool(np.min(background) >= LEAST_BACKGROUND)
        log = self._seen * np.log(self._mean) - self._mean - log_factorials[:, :, None]
        self._kernel = np.exp(log)

    def fold(self, tables: Array) -> Array:
        """(shots, k) folds of the tables (k, 2S+1, 2S+1)."""
        k1, k2 = self._kernel[:, 0], self._kernel[:, 1]
        if self._dense:
            rows = np.einsum("si,kij->skj", k1, tables, optimize=True)
            dense: Array = np.einsum("skj,sj->sk", rows, k2)
            return dense
        weights = k1[:, :, None] * k2[:, None, :]
        flat = np.ascontiguousarray(tables.reshape(tables.shape[0], -1).T)
        many = tables.shape[0] >= _MANY and self._width >= _WIDE
        folded: Array = (self._trimmed(weights) if many else self._sparse(weights)) @ flat
        return folded

    def fold_with_slopes(self, tables: Array) -> Folded:
        """`fold`, with the derivatives of the first table's fold by ln gain and background."""
        k1, k2 = self._kernel[:, 0], self._kernel[:, 1]
        slope = self._kernel * (self._seen / self._mean - 1.0)
        turned = (slope * self._scaled, slope if self._lit else np.zeros_like(slope))
        if self._dense:
            inner, outer = k2 @ tables[0].T, k1 @ tables[0]
            by = [_dots(d[:, 0], inner) + _dots(d[:, 1], outer) for d in turned]
            return Folded(self.fold(tables), by[0], by[1])
        # Every shot's square of cells is summed over port 2 once, for the value and for both
        # slopes: sparse matrices of the products of kernels would cost three times as much.
        values, slopes = np.empty((len(k1), len(tables))), np.empty((2, len(k1)))
        step = max(1, _SQUARES // self._width**2)
        for part in (slice(i, i + step) for i in range(0, len(k1), step)):
            for column, table in enumerate(tables):
                inner, cells = self._over_port_2(table, part)
                values[part, column] = _dots(k1[part], inner)
                if not column:
                    outer = np.matmul(k1[part, None, :], cells)[:, 0]
                    for row, d in zip(slopes, turned, strict=True):
                        row[part] = _dots(d[part, 0], inner) + _dots(d[part, 1], outer)
        return Folded(values, slopes[0], slopes[1])

    def cells(self) -> csr_array:
        """(shots, cells) weights of the cells of a flattened table, without the negligible."""
        return self._trimmed(self._kernel[:, 0, :, None] * self._kernel[:, 1, None, :])

    def _over_port_2(self, table: Array, part: slice) -> tuple[Array, Array]:
        """(shots, width) sums over port 2 near the counts, and the (shots, width, width) cells."""
        squares = sliding_window_view(table, (self._width, self._width))
        cells = squares[self._first[part, 0], self._first[part, 1]]
        return np.matmul(cells, self._kernel[part, 1, :, None])[..., 0], cells

    def _trimmed(self, weights: Array) -> csr_array:
        """`_sparse` without the cells that add nothing: few atoms have less noise than all."""
        shots = weights.shape[0]
        flat = weights.reshape(shots, -1)
        kept = flat > _NOTHING * flat.max(axis=1, keepdims=True)
        whole = self._sparse(weights)
        ends = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
        mask = kept.ravel()
        return csr_array((whole.data[mask], whole.indices[mask], ends), shape=whole.shape)

    def _sparse(self, weights: Array) -> csr_array:
        """Rows: shots; columns: cells (n1, n2) of the flattened table."""
        shots, width = weights.shape[0], self._width
        step = np.arange(width, dtype=np.int32)
        corner = (self._first[:, 0] * self._size + self._first[:, 1]).astype(np.int32)
        offsets = (step[:, None] * self._size + step).ravel()
        cells = corner[:, None] + offsets
        ends = np.arange(0, (shots + 1) * width * width, width * width, dtype=np.int32)
        shape = (shots, self._size * self._size)
        return csr_array((weights.ravel(), cells.ravel(), ends), shape=shape)


def log_factorials(counts: Array) -> Array:
    """ln counts! elementwise."""
    values: Array = gammaln(counts + 1.0)
    return values


def _dots(left: Array, right: Array) -> Array:
    """Row by row."""
    found: Array = np.einsum("si,si->s", left, right)
    return found
