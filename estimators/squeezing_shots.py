"""Shots of squeezing measurements: kept by setting, turned into variances and spin lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .records import good_shots, read_column, read_counts, refuse_beyond, refuse_unknown
from .squeezing_beliefs import LENGTH, REFERENCE, SqueezingBeliefs, whole_settings
from .squeezing_intervals import (
    Measured,
    SampleVariance,
    mean_with_limits,
    normal_quantile,
    ratio_limits,
    sample_variance,
)

Array = NDArray[np.float64]


@dataclass(slots=True)
class SqueezingShots:
    """Blocks of shots with their setting and analysis angle.

    Columns: counts (shots, ensembles); setting (shots,), optional: 0 squeezed quadrature,
    1 spin length, 2 detection reference, 3 conjugate quadrature; angle (shots,), radians,
    where a tomography asks for it.
    """

    beliefs: SqueezingBeliefs
    allowed: tuple[int, ...]
    angled: bool = False
    rejected: int = 0
    blocks: list[tuple[Array, Array, Array]] = field(default_factory=list)

    def add(self, records: Mapping[str, ArrayLike]) -> None:
        """Check and keep a block.

        Raises:
            RecordError: on what cannot be used, with the column, the value and the rule.
        """
        names = ("counts", "setting", "angle") if self.angled else ("counts", "setting")
        refuse_unknown(records, names)
        counts, rejected = read_counts(records, self.beliefs.ensembles)
        refuse_beyond(counts, self.beliefs.largest_mean, self.beliefs.gain_std)
        shots = (len(counts) + rejected,)
        good = good_shots(records, shots[0])
        setting = read_column(records, "setting", shots, good, default=0.0)
        whole_settings(setting, self.allowed)
        angle = read_column(records, "angle", shots, good, default=None if self.angled else 0.0)
        self.blocks.append((counts, setting, angle))
        self.rejected += rejected

    def of(self, setting: int) -> tuple[Array, Array]:
        """Counts (shots, ensembles) and angles (shots,) of one setting, in order."""
        counts = [c[s == setting] for c, s, _ in self.blocks]
        angles = [a[s == setting] for _, s, a in self.blocks]
        if not counts:
            return np.zeros((0, self.beliefs.ensembles)), np.zeros(0)
        return np.concatenate(counts), np.concatenate(angles)

    @property
    def shots(self) -> int:
        """Good shots so far, of every setting."""
        return sum(len(counts) for counts, _, _ in self.blocks)

    def detection(self, counts: Array, weights: Array, level: float) -> Measured:
        """Variance, counts^2, that the detection adds to sum_j w_j counts_j of these shots."""
        if self.beliefs.detection == "none":
            return Measured(0.0, 0.0, 0.0, 0.0)
        if self.beliefs.detection == "counting":
            return mean_with_limits(counts @ (weights * weights), level)
        reference = self.of(REFERENCE)[0]
        return sample_variance(reference @ weights, level)

    def length(self, level: float) -> Measured:
        """Spin length in counts, from shots of setting 1 or from the beliefs."""
        beliefs, z = self.beliefs, normal_quantile(level)
        if beliefs.spin_length is not None:
            value = beliefs.gain * beliefs.spin_length
            error = math.hypot(beliefs.gain * beliefs.spin_length_std, value * beliefs.gain_std)
            return Measured(value, error, value - z * error, value + z * error)
        weights = np.array(beliefs.length_weights[: beliefs.ensembles])
        counts = self.of(LENGTH)[0]
        offset = beliefs.background + beliefs.gain * beliefs.spin
        seen = mean_with_limits((counts - offset) @ weights, level)
        scale = abs(float(weights.sum()))
        known = scale * math.hypot(
            beliefs.background_std,
            beliefs.gain * beliefs.spin * math.hypot(beliefs.gain_std, beliefs.spin_std),
        )
        value, error = abs(seen.value), math.hypot(seen.std, known)
        reach = math.hypot(seen.high - seen.value, z * known)
        return Measured(value, error, value - reach, value + reach)


def total_variance(
    counts: Array, weights: Array, level: float, least_kurtosis: float = 0.0
) -> SampleVariance:
    """Variance, counts^2, of sum_j w_j counts_j."""
    return sample_variance(counts @ weights, level, least_kurtosis)


def wineland(
    atoms: float, atoms_std: float, variance: Measured, length: Measured, level: float
) -> tuple[float, float, tuple[float, float]]:
    """xi^2 = N (Var - Var_detection)/L^2 with 1/L^2 corrected for the noise of L.

    Args:
        atoms: N_tot.
        atoms_std: its relative standard deviation.
        variance: of the state alone, counts^2.
        length: of the spin, counts.
        level: of the interval.

    Returns:
        Value, standard deviation, interval; the interval's lower end is at least 1/N_tot, the
        least that quantum mechanics allows, and infinite above where L may be zero.
    """
    relative = length.std / length.value if length.value > 0.0 else math.inf
    if not relative < 0.5:
        return math.nan, math.inf, (1.0 / atoms, math.inf)
    scale = atoms / length.value**2 * (1.0 - 3.0 * relative**2)
    value = scale * variance.value
    spread = math.hypot(2.0 * relative, atoms_std)
    std = math.hypot(scale * variance.std, value * spread)
    squared = Measured(
        length.value**2,
        2.0 * length.value * length.std,
        max(length.low, 0.0) ** 2,
        length.high**2,
    )
    low, high = ratio_limits(variance, squared)
    low, high = atoms * low, atoms * high
    reach = normal_quantile(level) * atoms_std
    if value > 0.0:
        low = value * math.exp(-math.hypot(math.log(value / low), reach)) if low > 0.0 else low
        if math.isfinite(high) and high > value:
            high = value * math.exp(math.hypot(math.log(high / value), reach))
    else:
        high *= math.exp(reach)
    floor = 1.0 / atoms
    return value, std, (max(low, floor), max(high, floor))
