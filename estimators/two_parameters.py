r"""Both angles of a two-mode squeezed pair from a weak X_+ and a projective Y_- in every shot.

Linear: A = <x>/slope_x, B = <y>/slope_y with slope_x = Z, slope_y = -Z e^{-Lambda/2}. Exact, for
spins to 20: the likelihood of (x, y), which is sharper where atoms are counted one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2
from scipy.stats import t as student

from ..models.two_mode_squeezing import two_mode_squeezed_spins
from ..models.two_mode_squeezing_readout import ReadoutNoise, SequentialReadout, sequential_noise
from .estimate import Estimate, GoodnessOfFit, Quantity
from .records import RecordError, good_shots, read_column, refuse_unknown
from .scoring import Optimum, Point, maximise, profile_limit
from .squeezing_intervals import stationarity

Array = NDArray[np.float64]

LARGEST_EXACT = 20.0
FEWEST_SHOTS = 10
_STEP = 1e-4


@dataclass(frozen=True, slots=True)
class TwoParameterBeliefs:
    """The pair and its readout.

    Attributes:
        spin: S of each ensemble.
        squeezing: r.
        strength: Lambda of the first measurement.
        reach: |A| and |B| are searched up to here, radians.

    Raises:
        ValueError: on values that are not positive.
    """

    spin: float
    squeezing: float
    strength: float
    reach: float = 0.5

    def __post_init__(self) -> None:
        for name in ("spin", "squeezing", "strength", "reach"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"Argument `{name}` must be positive, but is {value!r}.")

    @property
    def noise(self) -> ReadoutNoise:
        """Linear readout in closed form."""
        return sequential_noise(two_mode_squeezed_spins(self.spin, self.squeezing), self.strength)


class TwoParameters:
    """The angles A and B.

    Args:
        beliefs: spin, squeezing, strength.
        method: "exact", "linear", or "auto": exact up to `LARGEST_EXACT`.

    Raises:
        ValueError: for the exact likelihood of a larger spin.
    """

    def __init__(
        self, beliefs: TwoParameterBeliefs, method: Literal["auto", "exact", "linear"] = "auto"
    ) -> None:
        if method not in ("auto", "exact", "linear"):
            raise ValueError(f"Argument `method` must be auto, exact or linear, not {method!r}.")
        if method == "exact" and beliefs.spin > LARGEST_EXACT:
            raise ValueError(
                f"Argument `spin` must not exceed {LARGEST_EXACT:g} for the exact likelihood, but "
                f"is {beliefs.spin:g}; use method='linear'."
            )
        self.beliefs = beliefs
        self.exact = method != "linear" and beliefs.spin <= LARGEST_EXACT
        self._blocks: list[Array] = []
        self._rejected = 0

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: x (shots,), y (shots,) whole numbers in -2S … 2S, status.

        Raises:
            RecordError: on what cannot be used.
        """
        refuse_unknown(records, ("x", "y"))
        size = int(np.size(records["x"])) if "x" in records else 0
        good, top = good_shots(records, size), 2.0 * self.beliefs.spin
        x = read_column(records, "x", (size,), good)
        y = read_column(records, "y", (size,), good, lowest=-top, highest=top)
        if self.exact and np.any(y != np.rint(y)):
            raise RecordError(
                f"Column `y` must hold whole numbers, but has {y[y != np.rint(y)][0]!r}."
            )
        self._blocks.append(np.stack([x, y]))
        self._rejected += size - x.size

    def estimate(self, level: float = 0.95) -> Estimate:
        """angle_a and angle_b, radians.

        Raises:
            RecordError: on fewer than `FEWEST_SHOTS` shots.
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"Argument `level` must lie in (0, 1), but is {level!r}.")
        data = np.concatenate(self._blocks, axis=1) if self._blocks else np.zeros((2, 0))
        if data.shape[1] < FEWEST_SHOTS:
            raise RecordError(
                f"Records must hold at least {FEWEST_SHOTS} good shots, but hold {data.shape[1]}."
            )
        noise = self.beliefs.noise
        slopes = np.array([noise.slope_x, noise.slope_y])
        linear = data.mean(axis=1) / slopes
        flags: list[str] = []
        if self.exact:
            quantities, covariance, check = self._exact(data, linear, level, flags)
        else:
            covariance = np.cov(data) / data.shape[1] / np.outer(slopes, slopes)
            reach = float(student.ppf(0.5 + 0.5 * level, data.shape[1] - 1))
            quantities = {}
            for index, name in enumerate(("angle_a", "angle_b")):
                value, std = float(linear[index]), math.sqrt(float(covariance[index, index]))
                ends = (value - reach * std, value + reach * std)
                quantities[name] = Quantity(value, std, ends, level, "rad")
                if abs(value) > self.beliefs.reach:
                    quantities[name] = self._whole(name, level, flags)
            check = _variances(data, noise)
        for name, column in zip("xy", data, strict=True):
            if np.all(column == column[0]):
                flags.append(f"all {name} are equal: a repeated reading, not a measurement")
        if np.any(np.abs(linear) > self.beliefs.reach):
            flags.append("an angle is beyond the range of the search")
        if self.beliefs.strength > 4.0:
            flags.append("Lambda above 4: the first measurement hides the sign of B")
        return Estimate(
            estimator="two-mode squeezing, two angles",
            shots=int(data.shape[1]),
            quantities=quantities,
            names=("angle_a", "angle_b"),
            covariance=covariance,
            goodness_of_fit=check,
            diagnostics={"rejected": self._rejected, "exact": self.exact, "flags": tuple(flags)},
            assumptions=(
                f"pure two-mode squeezed pair, S = {self.beliefs.spin:g}, r, Lambda known",
                "atoms of Y_- counted without errors" if self.exact else "small angles",
            ),
            identifiable=(-self.beliefs.reach, self.beliefs.reach),
        )

    def _whole(self, name: str, level: float, flags: list[str]) -> Quantity:
        """What remains of an angle that ran to the end of the search."""
        reach = self.beliefs.reach
        flags.append(f"{name} is not determined: it lies beyond the search, up to {reach:.3g} rad")
        return Quantity(0.0, reach / math.sqrt(3.0), (-reach, reach), level, "rad")

    def _exact(
        self, data: Array, linear: Array, level: float, flags: list[str]
    ) -> tuple[dict[str, Quantity], Array, GoodnessOfFit | None]:
        likelihood = PairLikelihood(self.beliefs, data)
        turn = np.clip(linear, -0.9 * self.beliefs.reach, 0.9 * self.beliefs.reach)
        starts = [turn, turn * np.array([1.0, -1.0])]
        found = [maximise(likelihood, start) for start in starts]
        best = max(found, key=lambda optimum: optimum.point.value)
        drop = 0.5 * float(chi2.ppf(level, 1))
        quantities = {}
        for index, name in enumerate(("angle_a", "angle_b")):
            ends = [profile_limit(likelihood, best, index, side, drop)[0] for side in (-1, 1)]
            std = math.sqrt(float(best.covariance[index, index])) or self.beliefs.reach
            value = float(best.point.x[index])
            rivals = _rivals(found, best, index, std)
            if rivals:
                flags.append(f"{name} is ambiguous: {rivals[0]:.4g} fits as well as {value:.4g}")
                ends = [min(ends[0], *rivals), max(ends[1], *rivals)]
            interval = (min(ends[0], value), max(ends[1], value))
            quantities[name] = Quantity(value, std, interval, level, "rad")
            if not best.free[index]:
                quantities[name] = self._whole(name, level, flags)
        return quantities, best.covariance, _cells(likelihood, best)


class PairLikelihood:
    """Log-likelihood of (x, y) in the angles; slopes by differences of the exact densities."""

    def __init__(self, beliefs: TwoParameterBeliefs, data: Array) -> None:
        self._readout = SequentialReadout(beliefs.spin, beliefs.squeezing, beliefs.strength)
        self.data = data
        self.lower, self.upper = np.full(2, -beliefs.reach), np.full(2, beliefs.reach)
        self._column = np.rint(data[1] + 2.0 * beliefs.spin).astype(np.int64)

    def evaluate(self, x: Array) -> Point:
        """Value, gradient, and information as the sum of outer products of the scores."""
        here = self.shots(x)
        scores = np.empty((2, here.size))
        for index in range(2):
            step = np.zeros(2)
            step[index] = _STEP
            scores[index] = (self.shots(x + step) - self.shots(x - step)) / (2.0 * _STEP)
        return Point(x, float(here.sum()), scores.sum(axis=1), scores @ scores.T)

    def shots(self, x: Array) -> Array:
        """(shots,) log-densities, cubic between the grid's records."""
        grid, _, density = self.density(x)
        place = np.clip((self.data[0] - grid[0]) / (grid[1] - grid[0]), 1.0, grid.size - 2.001)
        left = place.astype(np.int64)
        s = place - left
        weights = (
            -s * (s - 1.0) * (s - 2.0) / 6.0,
            (s + 1.0) * (s - 1.0) * (s - 2.0) / 2.0,
            -(s + 1.0) * s * (s - 2.0) / 2.0,
            (s + 1.0) * s * (s - 1.0) / 6.0,
        )
        left = np.clip(left, 1, grid.size - 3)
        logs = np.log(np.maximum(density, 1e-300))
        value = sum(w * logs[left + k - 1, self._column] for k, w in enumerate(weights))
        return np.asarray(value, dtype=np.float64)

    def density(self, x: Array) -> tuple[Array, Array, Array]:
        """Grid of records, outcomes, density."""
        return self._readout.distribution(float(x[0]), float(x[1]))


def two_parameters_bounds(
    beliefs: TwoParameterBeliefs, angle_a: float, angle_b: float, shots: int
) -> Array:
    """(2, 2) covariance bound of (A, B) from the exact statistics of (x, y)."""
    readout = SequentialReadout(beliefs.spin, beliefs.squeezing, beliefs.strength)
    information = shots * readout.fisher_information(angle_a, angle_b)
    return np.asarray(np.linalg.inv(information), dtype=np.float64)


def _rivals(found: list[Optimum], best: Optimum, index: int, std: float) -> list[float]:
    return [
        float(other.point.x[index])
        for other in found
        if other.point.value > best.point.value - 6.0
        and abs(other.point.x[index] - best.point.x[index]) > 5.0 * std
    ]


def _variances(data: Array, noise: ReadoutNoise) -> GoodnessOfFit | None:
    """Scatter of x and y against the closed forms, allowing for the sample's kurtosis."""
    order = stationarity(data[1])
    pulls = []
    for row, expected in zip(data, (noise.variance_x, noise.variance_y), strict=True):
        off = (row - row.mean()) ** 2
        error = float(off.std()) / math.sqrt(row.size) or 1e-300
        pulls.append((float(row.var(ddof=1)) - expected) / error)
    statistic = float(np.sum(np.square(pulls)))
    p_value = float(chi2.sf(statistic, 2))
    if order is not None:
        p_value = 1.0 - (1.0 - min(p_value, order.p_value)) ** 2
    return GoodnessOfFit(statistic, p_value, 2, "variances of x and y; order of the shots")


def _cells(likelihood: PairLikelihood, best: Optimum) -> GoodnessOfFit | None:
    """Chi-square of y and the sign of x in cells, two fitted angles taken off."""
    grid, outcomes, density = likelihood.density(best.point.x)
    chance = density * (grid[1] - grid[0])
    middle = np.cumsum(chance.sum(axis=1)).searchsorted(0.5)
    border = grid[middle] + 0.5 * (grid[1] - grid[0])
    x, y = likelihood.data
    expected = np.concatenate([chance[: middle + 1].sum(axis=0), chance[middle + 1 :].sum(axis=0)])
    column = np.rint(y - outcomes[0]).astype(np.int64) + np.where(x > border, outcomes.size, 0)
    seen = np.bincount(column, minlength=expected.size).astype(np.float64)
    number = expected * x.size
    kept = number >= 5.0
    number = np.append(number[kept], number[~kept].sum())
    seen = np.append(seen[kept], seen[~kept].sum())
    if number[-1] < 1.0:
        number[-2], seen[-2] = number[-2] + number[-1], seen[-2] + seen[-1]
        number, seen = number[:-1], seen[:-1]
    degrees = number.size - 3
    if degrees < 1:
        return None
    statistic = float(np.sum((seen - number) ** 2 / number))
    return GoodnessOfFit(statistic, float(chi2.sf(statistic, degrees)), degrees, "cells of x and y")
