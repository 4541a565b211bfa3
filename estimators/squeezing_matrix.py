r"""The squeezing matrix of many ensembles and its smallest eigenvalue, without faked squeezing.

    Xi2_kl = sqrt(N_k N_l) (Cov[x_k, x_l] - detection)/(R_k R_l)

The smallest eigenvalue of a sample covariance is far too low. The value given here is 10-fold
cross-fitted: directions are found on nine tenths of the shots, variances taken on the tenth. No
direction has less variance than the eigenvector: the upper end of the interval is that of a
direction found on every other shot and measured on the rest (or fixed beforehand). No direction
has a smaller sample variance than the sample's own: its lower limit, from all shots, is the lower
end. Both ends are safe, the interval covers at least what it says. The p-value of "no squeezing"
comes from the simulated null.

Errors s_k of the lengths widen all intervals: along w by 2 |w_k (Xi2 w)_k| s_k/R_k, and the
smallest eigenvalue by 2 max(s_k/R_k) of it. The errors of one run share the noise of one state:
their shares are added as if all went together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import Estimate, Quantity
from .records import RecordError, read_counts, refuse_beyond, refuse_unknown
from .squeezing_intervals import (
    FEWEST_SHOTS,
    Measured,
    difference,
    normal_quantile,
    sample_variance,
    stationarity,
)

Array = NDArray[np.float64]

FOLDS = 10  # with 5 the mean of (0.2, 1, …) at 50 shots is a third too high
LARGEST = 1e6


@dataclass(frozen=True, slots=True)
class SqueezingMatrixBeliefs:
    """Ensembles and detector.

    Attributes:
        atom_numbers: N_k.
        lengths: R_k, spin lengths in atoms.
        gain: counts per atom.
        background: counts.
        counting_noise: whether Poisson noise of the counts is subtracted.
        length_stds: standard deviations of R_k, in atoms; none: the lengths are exact.

    Raises:
        ValueError: on rows of different lengths or values that are not positive.
    """

    atom_numbers: tuple[float, ...]
    lengths: tuple[float, ...]
    gain: float = 1.0
    background: float = 0.0
    counting_noise: bool = True
    length_stds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.atom_numbers) != len(self.lengths) or len(self.lengths) < 2:
            raise ValueError(
                "Arguments `atom_numbers` and `lengths` must have one entry for each of at least "
                f"two ensembles, but have {len(self.atom_numbers)} and {len(self.lengths)}."
            )
        if not all(v > 0.0 for v in (*self.atom_numbers, *self.lengths, self.gain)):
            raise ValueError("Atom numbers, lengths and gain must be positive.")
        if self.length_stds and (
            len(self.length_stds) != len(self.lengths)
            or not all(0.0 <= s < r for s, r in zip(self.length_stds, self.lengths, strict=True))
        ):
            raise ValueError(
                f"Argument `length_stds` must hold {len(self.lengths)} numbers from 0 to below "
                f"their lengths, but is {self.length_stds!r}."
            )

    @property
    def length_errors(self) -> Array:
        """(M,) relative standard deviations of the lengths."""
        stds = self.length_stds or (0.0,) * len(self.lengths)
        errors: Array = np.array(stds) / np.array(self.lengths)
        return errors

    @property
    def scale(self) -> Array:
        """(M,) factor from counts to units in which the matrix is a covariance."""
        numbers, lengths = np.array(self.atom_numbers), np.array(self.lengths)
        scaled: Array = np.sqrt(numbers) / lengths / self.gain
        return scaled


class SqueezingMatrix:
    """Smallest eigenvalue of the squeezing matrix and the direction that has it.

    Args:
        beliefs: ensembles, lengths, detector.
        direction: (M,) fixed beforehand, or None: found on every other shot.
        null_draws: simulated data sets for the p-value of "no squeezing"; 0: none.
        rng: source of these; needed where there are any.

    Raises:
        ValueError: on a direction of the wrong length, or draws without a generator.
    """

    def __init__(
        self,
        beliefs: SqueezingMatrixBeliefs,
        direction: ArrayLike | None = None,
        *,
        null_draws: int = 0,
        rng: np.random.Generator | None = None,
    ) -> None:
        self.beliefs = beliefs
        self._direction = None
        if direction is not None:
            vector = np.asarray(direction, dtype=np.float64)
            if vector.shape != (len(beliefs.lengths),) or not np.any(vector):
                raise ValueError(
                    f"Argument `direction` must hold {len(beliefs.lengths)} numbers, not all zero."
                )
            self._direction = vector / float(np.linalg.norm(vector))
        if null_draws and rng is None:
            raise ValueError("Argument `rng` must be given where `null_draws` is above zero.")
        self._draws = null_draws
        self._seed = int(rng.integers(2**63)) if rng is not None else 0
        self._blocks: list[Array] = []
        self._rejected = 0

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, M), status.

        Raises:
            RecordError: on what cannot be used.
        """
        refuse_unknown(records, ("counts",))
        beliefs = self.beliefs
        counts, rejected = read_counts(records, len(beliefs.lengths))
        refuse_beyond(counts, max(beliefs.atom_numbers) * beliefs.gain + beliefs.background)
        self._blocks.append(counts)
        self._rejected += rejected

    def estimate(self, level: float = 0.95) -> Estimate:
        """smallest_eigenvalue, its dB, along_direction.

        Raises:
            RecordError: on too few shots for directions and variances.
        """
        size = len(self.beliefs.lengths)
        shots = sum(len(block) for block in self._blocks)
        least = max(2 * FEWEST_SHOTS, FOLDS * 2, 2 * size)
        if shots < least:
            raise RecordError(f"Records must hold at least {least} good shots, but hold {shots}.")
        counts = np.concatenate(self._blocks)
        values = counts * self.beliefs.scale
        noise = np.zeros(size)
        if self.beliefs.counting_noise:
            noise = counts.mean(axis=0) * self.beliefs.scale**2
        value = cross_fit(values, noise)
        direction, along = self._along(values, noise, level)
        floor = 1.0 / float(sum(self.beliefs.atom_numbers))
        lowest = _lower_limit(values, noise, level)
        shift = 2.0 * float(self.beliefs.length_errors.max()) * max(value, 0.0)
        lowest = _widened(Measured(value, 0.0, min(lowest, value), value), shift, level).low
        low = max(min(lowest, along.low, value), floor)
        high = min(max(along.high, value), LARGEST)
        shown = min(max(value, low), high)
        flags = ["detection noise hides the signal along the direction"] * (along.low <= 0.0)
        null = None
        if self._draws:
            null = null_p_value(value, shots, noise, self._draws, self._seed)
        fixed = self._direction is not None
        decibel = tuple(10.0 * math.log10(v) for v in (shown, low, high))
        return Estimate(
            estimator="squeezing matrix",
            shots=shots,
            quantities={
                "smallest_eigenvalue": Quantity(shown, along.std, (low, high), level),
                "smallest_eigenvalue_db": Quantity(
                    decibel[0], 4.343 * along.std / shown, (decibel[1], decibel[2]), level, "dB"
                ),
                "along_direction": Quantity(along.value, along.std, (along.low, along.high), level),
            },
            names=("smallest_eigenvalue",),
            covariance=np.array([[along.std**2]]),
            goodness_of_fit=stationarity(values @ direction),
            diagnostics={
                "direction": direction,
                "matrix": np.cov(values, rowvar=False) - np.diag(noise),
                "p_value_no_squeezing": null,
                "rejected": self._rejected,
                "flags": tuple(flags),
            },
            assumptions=(
                f"value: {FOLDS}-fold cross-fit; upper end and `along_direction`: direction "
                + ("fixed beforehand" if fixed else "from every other shot, measured on the rest")
                + "; lower end: the sample's own direction, on the safe side",
                "atom numbers known; shots independent; "
                + (
                    "spin lengths within their errors, which may all go together"
                    if any(self.beliefs.length_stds)
                    else "spin lengths known"
                ),
            ),
            identifiable=(floor, LARGEST),
        )

    def _along(self, values: Array, noise: Array, level: float) -> tuple[Array, Measured]:
        """Direction, and the variance along it with its interval."""
        direction, rest = self._direction, values
        if direction is None:
            direction, rest = _smallest(values[::2], noise), values[1::2]
        seen = sample_variance(rest @ direction, level)
        own = float(noise @ direction**2)
        found = difference(seen, Measured(own, 0.0, own, own))
        matrix = np.cov(rest, rowvar=False) - np.diag(noise)
        slopes = 2.0 * np.abs(direction * (matrix @ direction))
        return direction, _widened(found, float(slopes @ self.beliefs.length_errors), level)


def _widened(found: Measured, shift: float, level: float) -> Measured:
    """With an independent error of standard deviation `shift` added on both sides."""
    reach = normal_quantile(level) * shift
    return Measured(
        found.value,
        math.hypot(found.std, shift),
        found.value - math.hypot(found.value - found.low, reach),
        found.value + math.hypot(found.high - found.value, reach),
    )


def _lower_limit(values: Array, noise: Array, level: float) -> float:
    """Limit below the smallest eigenvalue, from the direction of least sample variance.

    That variance is at most the sample variance along the true direction, whose own lower limit
    covers.
    """
    direction = _smallest(values, np.zeros(noise.size))
    own = float(np.max(noise))  # no direction has more detection noise
    seen = sample_variance(values @ direction, level)
    return difference(seen, Measured(own, 0.0, own, own)).low


def cross_fit(values: Array, noise: Array) -> float:
    """Mean over folds of the variance along the direction that the other folds have found."""
    fold = np.arange(len(values)) % FOLDS
    found = []
    for k in range(FOLDS):
        direction = _smallest(values[fold != k], noise)
        centre = values[fold != k].mean(axis=0)
        off = (values[fold == k] - centre) @ direction
        others = int(np.sum(fold != k))
        variance = float(np.mean(off**2)) * others / (others + 1.0)
        found.append((variance - float(noise @ direction**2), int(np.sum(fold == k))))
    return sum(v * n for v, n in found) / len(values)


def null_p_value(value: float, shots: int, noise: Array, draws: int, seed: int) -> float:
    """Share of data sets without squeezing whose cross-fit is as small."""
    rng = np.random.default_rng(seed)
    width = np.sqrt(1.0 + noise)
    below = sum(
        cross_fit(width * rng.standard_normal((shots, noise.size)), noise) <= value
        for _ in range(draws)
    )
    return (1.0 + below) / (1.0 + draws)


def squeezing_matrix_bounds(matrix: Array, noise: Array, shots: int) -> float:
    """Cramer-Rao bound of the smallest eigenvalue for Gaussian shots, where it is not degenerate.

    Args:
        matrix: (M, M) true squeezing matrix.
        noise: (M,) detection variance in its units.
        shots: their number.
    """
    values, vectors = np.linalg.eigh(matrix)
    direction = vectors[:, 0]
    total = float(direction @ (matrix + np.diag(noise)) @ direction)
    return total * math.sqrt(2.0 / shots) if values[0] < values[1] else math.nan


def _smallest(values: Array, noise: Array) -> Array:
    """Direction of the smallest eigenvalue of the sample matrix."""
    matrix = np.cov(values, rowvar=False) - np.diag(noise)
    vector: Array = np.linalg.eigh(matrix)[1][:, 0]
    return vector
