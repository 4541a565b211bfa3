r"""String order of a chain of ensembles from single-shot counts.

    O(d) = mean over shots and cells k of Z_k cos[phi (Z_k + … + Z_{l-1})] Z_l,      l = k + d

Z_q = m_2q + m_2q+1. Shots are independent, cells of one shot are not: every shot gives one number,
its average over positions, and the interval is a bootstrap over shots. Readout errors are
inverted site by site: a function f(n) of the true count becomes (A^-T f)(n) of the seen one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import Estimate, Quantity
from .records import RecordError, read_counts, refuse_unknown
from .squeezing_intervals import stationarity

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]

FEWEST_SHOTS = 20


class StringOrder:
    """Mean string correlator of cells at one distance.

    Args:
        spin: S of each ensemble.
        ensembles: L, even, at least 2 distance + 4.
        distance: l - k in cells, at least 1.
        angle: phi, radians.
        assignment: (2S+1, 2S+1), P(seen n | true n'), columns sum to one; None: no errors.
        resamples: of the bootstrap.
        rng: source of the bootstrap.

    Raises:
        ValueError: on values outside these rules.
    """

    def __init__(
        self,
        spin: float,
        ensembles: int,
        distance: int,
        rng: np.random.Generator,
        *,
        angle: float = math.pi,
        assignment: ArrayLike | None = None,
        resamples: int = 1000,
    ) -> None:
        atoms = round(2.0 * spin)
        if atoms < 1 or abs(2.0 * spin - atoms) > 1e-9:
            raise ValueError(f"Argument `spin` must be a multiple of 1/2, but is {spin!r}.")
        if ensembles % 2 or distance < 1 or ensembles < 2 * distance + 4:
            raise ValueError(
                "Argument `ensembles` must be even and at least 2 distance + 4 with distance >= 1, "
                f"but they are {ensembles} and {distance}."
            )
        self.atoms, self.ensembles, self.distance, self.angle = atoms, ensembles, distance, angle
        self._inverse: Array = np.eye(atoms + 1)
        if assignment is not None:
            matrix = np.asarray(assignment, dtype=np.float64)
            if matrix.shape != (atoms + 1, atoms + 1) or not np.allclose(matrix.sum(axis=0), 1.0):
                raise ValueError(
                    f"Argument `assignment` must be {atoms + 1} x {atoms + 1} with columns that "
                    "sum to one."
                )
            if np.linalg.cond(matrix) > 1e6:
                raise ValueError("Argument `assignment` must be invertible: it loses the counts.")
            self._inverse = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
        self._resamples = resamples
        self._seed = int(rng.integers(2**63))
        self._blocks: list[Array] = []
        self._rejected = 0

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, L) of atoms up, status.

        Raises:
            RecordError: on what cannot be used, counts beyond 2S among it.
        """
        refuse_unknown(records, ("counts",))
        counts, rejected = read_counts(records, self.ensembles)
        if (counts > self.atoms).any():
            raise RecordError(
                f"Column `counts` must not exceed 2S = {self.atoms}, but has {counts.max():g}."
            )
        self._blocks.append(self.correlators(counts.astype(np.int64)))
        self._rejected += rejected

    def correlators(self, counts: NDArray[np.int64]) -> Array:
        """(shots,) average over positions, readout errors inverted."""
        m = np.arange(self.atoms + 1.0) - 0.5 * self.atoms
        turn = np.exp(1j * self.angle * m)
        one, z, string, turned = (
            (self._inverse.T @ f)[counts] for f in (np.ones_like(m), m, turn, m * turn)
        )
        left, right = slice(1, -1, 2), slice(2, -1, 2)
        begin = turned[:, left] * string[:, right] + string[:, left] * turned[:, right]
        middle = string[:, left] * string[:, right]
        end = z[:, left] * one[:, right] + one[:, left] * z[:, right]
        total = np.zeros(len(counts))
        cells, reach = begin.shape[1], self.distance
        for k in range(cells - reach):
            between: Complex = np.prod(middle[:, k + 1 : k + reach], axis=1)
            total += (begin[:, k] * between * end[:, k + reach]).real
        averaged: Array = total / (cells - reach)
        return averaged

    def estimate(self, level: float = 0.95) -> Estimate:
        """string_order.

        Raises:
            RecordError: on fewer than `FEWEST_SHOTS` shots.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"Argument `level` must lie in (0, 1), but is {level!r}.")
        values = np.concatenate(self._blocks) if self._blocks else np.zeros(0)
        if values.size < FEWEST_SHOTS:
            raise RecordError(
                f"Records must hold at least {FEWEST_SHOTS} good shots, but hold {values.size}."
            )
        mean, std = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(values.size)
        spread = 0.25 * (2.0 * self.atoms) ** 2
        flags = []
        if std == 0.0:
            flags.append("all shots are equal: the scatter says nothing, only the range is given")
            interval = (min(-spread, mean), max(spread, mean))
        else:
            low, high = self._bootstrap(values, level)
            interval = (mean - high * std, mean - low * std)
        return Estimate(
            estimator="string order",
            shots=int(values.size),
            quantities={"string_order": Quantity(mean, std, interval, level)},
            names=("string_order",),
            covariance=np.array([[std**2]]),
            goodness_of_fit=stationarity(values),
            diagnostics={"rejected": self._rejected, "flags": tuple(flags)},
            assumptions=(
                f"cells {self.distance} apart, averaged over positions; phi = {self.angle:.6g}",
                "shots independent; readout errors known and independent from site to site",
            ),
            identifiable=(-spread, spread),
        )

    def _bootstrap(self, values: Array, level: float) -> tuple[float, float]:
        """Quantiles of the studentised mean over resampled shots."""
        rng = np.random.default_rng(self._seed)
        distinct, numbers = np.unique(np.round(values, 12), return_counts=True)
        weights = rng.multinomial(values.size, numbers / values.size, size=self._resamples)
        means = weights @ distinct / values.size
        squares = weights @ distinct**2 / values.size - means**2
        error = np.sqrt(np.maximum(squares, 1e-30) / (values.size - 1.0))
        pivots = (means - values.mean()) / error
        tail = 0.5 * (1.0 - level)
        low, high = np.quantile(pivots, [tail, 1.0 - tail])
        return float(low), float(high)


def string_order_bounds(values: Array, shots: int) -> float:
    """Standard deviation of the mean of `shots` values: the bound without a law of the counts.

    Args:
        values: correlators of many simulated shots.
        shots: of the experiment.
    """
    return float(values.std(ddof=1)) / math.sqrt(shots)
