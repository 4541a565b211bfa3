r"""Rabi flops: the frequency, contrast and decay of driven atoms, several flops at once.

    p(t) = c_0 - (C/2) e^{-t/tau} cos(Omega s t),      s: relative drive of the flop

Counts are atoms found in the excited state, k ~ Bin(N, p); or photons, k = Poisson(g n + b) with
n ~ Bin(N, p), whose variance m + g (m - b) - (m - b)^2/N enters a Gaussian likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .calibrations_check import bound_of, result, undetermined
from .calibrations_fit import Fitted, Groups, LawName, Parameter, Prediction, fit
from .calibrations_records import Column, Readings
from .estimate import Estimate

Array = NDArray[np.float64]

_NAME = "Rabi flops"
_PEAKS = 4
_DECAYS = (0.0, 1.0, 3.0)  # over the longest time, tried as starts
_PER_TURN = 8  # grid points of Omega in a turn at the longest time
_COLUMNS = (Column("time", 0.0), Column("drive", 0.0, np.inf, 1.0))


@dataclass(frozen=True, slots=True)
class RabiBeliefs:
    """What is known before the flop.

    Attributes:
        atoms: N of the ensemble.
        frequency_range: (low, high) of Omega, rad/s, in which it is searched.
        gain: (mean, std) counts per atom, or None: the counts are atoms.
        background: (mean, std) counts.

    Raises:
        ValueError: on values that cannot be.
    """

    atoms: float
    frequency_range: tuple[float, float]
    gain: tuple[float, float] | None = None
    background: tuple[float, float] = (0.0, 1e-3)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.atoms) and self.atoms >= 1.0):
            raise ValueError(f"Argument `atoms` must be at least 1, but is {self.atoms!r}.")
        low, high = self.frequency_range
        if not (0.0 <= low < high and math.isfinite(high)):
            raise ValueError(
                f"Argument `frequency_range` must be 0 <= low < high, but is ({low!r}, {high!r})."
            )
        if self.gain is not None and not (self.gain[0] > 0.0 and self.gain[1] > 0.0):
            raise ValueError(f"Argument `gain` must hold positive numbers, but is {self.gain!r}.")
        if not (self.background[0] >= 0.0 and self.background[1] > 0.0):
            raise ValueError(
                f"Argument `background` must be (>= 0, > 0), but is {self.background!r}."
            )

    @property
    def law(self) -> LawName:
        """Law of the counts."""
        return "binomial" if self.gain is None else "gaussian"

    @property
    def largest(self) -> float:
        """Counts that N atoms cannot exceed."""
        if self.gain is None:
            return self.atoms
        mean = (self.gain[0] + 5.0 * self.gain[1]) * self.atoms
        mean += self.background[0] + 5.0 * self.background[1]
        return mean + 10.0 * math.sqrt(mean) + 10.0


class RabiCalibration:
    """Rabi frequency from flops at one or several drives.

    Args:
        beliefs: atoms, range of the frequency, detector.
    """

    def __init__(self, beliefs: RabiBeliefs) -> None:
        self.beliefs = beliefs
        self._readings = Readings("counts", _COLUMNS, beliefs.largest)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts, time (s), drive (relative amplitude, 1 where missing), status."""
        self._readings.add(records)

    def groups(self) -> Groups:
        """The shots so far, by setting."""
        return self._readings.groups(self.beliefs.atoms)

    def estimate(self, level: float = 0.95) -> Estimate:
        """rabi_frequency (rad/s), contrast, offset, decay_rate (1/s); gain, background.

        With fewer than five settings nothing is determined, and a flag says so.

        Raises:
            RecordError: on no good shot.
        """
        groups = self.groups()
        missing = self._readings.missing(groups, 5)
        if missing:
            curve = FlopCurve(self.beliefs, groups.settings["time"], groups.settings["drive"])
            rejected = self._readings.rejected
            return undetermined(_NAME, curve.parameters, groups, level, missing, rejected=rejected)
        fitted = fit_flops(self.beliefs, groups)
        return result(
            _NAME,
            fitted,
            level,
            rejected=self._readings.rejected,
            flags=_flags(fitted, groups),
            assumptions=(
                f"{self.beliefs.atoms:g} independent atoms, {self.beliefs.law} counts",
                "exponential decay of the contrast; the drive scales the frequency exactly",
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FlopCurve:
    """Mean (and variance) of the counts as a function of Omega, C, c_0, rate[, gain, b]."""

    beliefs: RabiBeliefs
    time: Array
    drive: Array

    @property
    def parameters(self) -> Sequence[Parameter]:
        low, high = self.beliefs.frequency_range
        longest = float(self.time.max()) or 1.0
        rows = [
            Parameter("rabi_frequency", "rad/s", low, high),
            Parameter("contrast", "", 0.0, 1.0),
            Parameter("offset", "", 0.0, 1.0),
            Parameter("decay_rate", "1/s", 0.0, 30.0 / longest),
        ]
        if self.beliefs.gain is not None:
            mean, std = self.beliefs.gain
            reach = max(mean - 8.0 * std, 0.01 * mean), mean + 8.0 * std
            rows.append(Parameter("gain", "counts/atom", *reach, (mean, std)))
            mean, std = self.beliefs.background
            reach = max(mean - 8.0 * std, 0.0), mean + 8.0 * std
            rows.append(Parameter("background", "counts", *reach, (mean, std)))
        return rows

    def evaluate(self, theta: Array) -> Prediction:
        """Probabilities without a gain, counts with it."""
        omega, contrast, offset, rate = theta[:4]
        turned, decay = omega * self.drive * self.time, np.exp(-rate * self.time)
        wave = 0.5 * decay * np.cos(turned)
        p = offset - contrast * wave
        slopes = np.stack(
            [
                0.5 * contrast * decay * np.sin(turned) * self.drive * self.time,
                -wave,
                np.ones_like(p),
                contrast * wave * self.time,
            ]
        )
        if self.beliefs.gain is None:
            return Prediction(p, slopes)
        gain, background, atoms = theta[4], theta[5], self.beliefs.atoms
        light = gain * atoms * p
        mean = light + background
        d_light = np.vstack([gain * atoms * slopes, atoms * p, np.zeros_like(p)])
        d_mean = d_light.copy()
        d_mean[5] = 1.0
        variance = mean + gain * light - light**2 / atoms
        d_variance = d_mean + (gain - 2.0 * light / atoms) * d_light
        d_variance[4] += light
        floor = np.maximum(mean, 1.0) * 1e-3
        held = variance < floor
        return Prediction(
            mean, d_mean, np.where(held, floor, variance), np.where(held, 0.0, d_variance)
        )


def fit_flops(beliefs: RabiBeliefs, groups: Groups) -> Fitted:
    """The fit from the best peaks of a periodogram over the whole range of the frequency."""
    curve = FlopCurve(beliefs, groups.settings["time"], groups.settings["drive"])
    return fit(curve, beliefs.law, groups, _starts(beliefs, groups))


def rabi_bounds(
    beliefs: RabiBeliefs,
    truth: Sequence[float],
    time: Array,
    drive: Array | float = 1.0,
) -> Array:
    """Covariance bound of the parameters for one shot at each of the times.

    Args:
        beliefs: as for the fit.
        truth: Omega, C, c_0, rate[, gain, background].
        time: (shots,) s.
        drive: (shots,) or one number.
    """
    drives = np.broadcast_to(np.asarray(drive, dtype=np.float64), time.shape)
    groups = Groups({}, np.ones(time.size), np.zeros(time.size), np.zeros(time.size), beliefs.atoms)
    return bound_of(FlopCurve(beliefs, time, drives), beliefs.law, groups, np.asarray(truth))


def _starts(beliefs: RabiBeliefs, groups: Groups) -> list[Array]:
    gain, background = (
        (1.0, 0.0) if beliefs.gain is None else (beliefs.gain[0], beliefs.background[0])
    )
    share = (groups.mean - background) / (gain * beliefs.atoms)
    turned = groups.settings["time"] * groups.settings["drive"]
    low, high = beliefs.frequency_range
    longest = max(float(turned.max()), 1e-300)
    size = int(
        np.clip(math.ceil((high - low) * longest * _PER_TURN / (2.0 * math.pi)), 64, 200_000)
    )
    grid = np.linspace(low, high, size)
    best: list[tuple[float, Array]] = []
    for rate in _DECAYS:
        decay = rate / max(float(groups.settings["time"].max()), 1e-300)
        found = _linear(grid, turned, decay * groups.settings["time"], share, groups.number)
        loss = found[0]
        middle = np.r_[np.inf, loss, np.inf]
        peaks = np.flatnonzero((loss <= middle[:-2]) & (loss <= middle[2:]))
        for place in peaks[np.argsort(loss[peaks])[:_PEAKS]]:
            start = [grid[place], found[1][place], found[2][place], decay]
            best.append((float(loss[place]), np.array(start)))
    best.sort(key=lambda item: item[0])
    tail = [] if beliefs.gain is None else [beliefs.gain[0], beliefs.background[0]]
    return [np.concatenate([start, tail]) for _, start in best[: 2 * _PEAKS]]


def _linear(
    grid: Array, turned: Array, decay: Array, share: Array, number: Array
) -> tuple[Array, Array, Array]:
    """Least squares of offset and contrast at each frequency: loss, contrast, offset."""
    loss, contrast, offset = (np.empty(grid.size) for _ in range(3))
    total = number.sum()
    block = max(1, 2_000_000 // max(turned.size, 1))
    for start in range(0, grid.size, block):
        part = slice(start, start + block)
        wave = -0.5 * np.exp(-decay) * np.cos(np.outer(grid[part], turned))
        mean_wave, mean_share = wave @ number / total, float(share @ number) / total
        off = wave - mean_wave[:, None]
        power = np.maximum((off * off) @ number, 1e-300)
        raw = (off @ (number * (share - mean_share))) / power
        contrast[part] = np.clip(raw, 0.05, 1.0)
        offset[part] = np.clip(mean_share - contrast[part] * mean_wave, 0.02, 0.98)
        left = float(((share - mean_share) ** 2) @ number)
        loss[part] = left - (2.0 * raw - contrast[part]) * contrast[part] * power
    return loss, contrast, offset


def _flags(fitted: Fitted, groups: Groups) -> list[str]:
    omega = float(fitted.theta[0])
    turns = omega * float((groups.settings["time"] * groups.settings["drive"]).max()) / math.tau
    flags = []
    if turns < 0.4:
        flags.append("less than half a flop was seen: frequency and contrast are not apart")
    if float(fitted.theta[1]) < 4.0 * math.sqrt(max(float(fitted.covariance[1, 1]), 0.0)):
        flags.append("no flop above the noise: the frequency is not determined")
    return flags
