r"""Detuning against current from Ramsey fringes, short times first.

    p(T, I) = c_0 + (C/2) e^{-T/tau} cos(2 pi (delta_0 + kappa I) T + phi),   k ~ Bin(N, p)

phi is the phase of the second pulse, `bias_phase`. Short times leave one fringe for the whole
range; every longer time narrows it, so that no fringe is miscounted. With phi = 0 alone,
(kappa, delta_0) and (-kappa, -delta_0) give the same fringes: the ranges or a second phase decide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .calibrations_check import bound_of, result, undetermined
from .calibrations_fit import Groups, Parameter, Prediction, fit
from .calibrations_records import Column, Readings
from .estimate import Estimate

Array = NDArray[np.float64]

_NAME = "Ramsey fringes against current"
_KEPT = 48  # candidates carried from one Ramsey time to the next
_STARTS = 4
_PER_TURN = 6.0  # grid points of a phase in a turn
_MOST_CELLS = 60_000
_COLUMNS = (Column("time", 0.0), Column("current"), Column("bias_phase", default=0.0))


@dataclass(frozen=True, slots=True)
class RamseyBeliefs:
    """What is known before the fringes.

    Attributes:
        atoms: N of the ensemble.
        slope_range: (low, high) of kappa, Hz/A.
        offset_range: (low, high) of delta_0, Hz, at zero current.

    Raises:
        ValueError: on ranges that are empty or not finite.
    """

    atoms: float
    slope_range: tuple[float, float]
    offset_range: tuple[float, float]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.atoms) and self.atoms >= 1.0):
            raise ValueError(f"Argument `atoms` must be at least 1, but is {self.atoms!r}.")
        for name in ("slope_range", "offset_range"):
            low, high = getattr(self, name)
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"Argument `{name}` must be low < high, but is ({low}, {high}).")


class DetuningCalibration:
    """Slope and offset of the detuning against the coil's current.

    Args:
        beliefs: atoms and the ranges in which slope and offset lie.
    """

    def __init__(self, beliefs: RamseyBeliefs) -> None:
        self.beliefs = beliefs
        self._readings = Readings("counts", _COLUMNS, beliefs.atoms)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts, time (s), current (A), bias_phase (rad), status."""
        self._readings.add(records)

    def estimate(self, level: float = 0.95) -> Estimate:
        """slope (Hz/A), detuning_offset (Hz), contrast, offset, decay_rate (1/s).

        With fewer than six settings nothing is determined, and a flag says so.

        Raises:
            RecordError: on no good shot.
        """
        groups = self._readings.groups(self.beliefs.atoms)
        curve = FringeCurve.of(self.beliefs, groups.settings)
        missing = self._readings.missing(groups, 6)
        if missing:
            rejected = self._readings.rejected
            return undetermined(_NAME, curve.parameters, groups, level, missing, rejected=rejected)
        fitted = fit(curve, "binomial", groups, coarse_to_fine(self.beliefs, groups))
        flags = []
        if float(fitted.theta[2]) < 4.0 * math.sqrt(max(float(fitted.covariance[2, 2]), 0.0)):
            flags.append("no fringe above the noise: the detuning is not determined")
        return result(
            _NAME,
            fitted,
            level,
            rejected=self._readings.rejected,
            flags=flags,
            assumptions=(
                f"{self.beliefs.atoms:g} independent atoms; detuning linear in the current",
            ),
        )


@dataclass(frozen=True, slots=True, eq=False)
class FringeCurve:
    """p as a function of kappa, delta_0, C, c_0, 1/tau."""

    beliefs: RamseyBeliefs
    time: Array
    current: Array
    phase: Array

    @classmethod
    def of(cls, beliefs: RamseyBeliefs, settings: Mapping[str, Array]) -> FringeCurve:
        """The curve at the settings of some groups."""
        return cls(beliefs, settings["time"], settings["current"], settings["bias_phase"])

    @property
    def parameters(self) -> Sequence[Parameter]:
        longest = float(self.time.max()) or 1.0
        return [
            Parameter("slope", "Hz/A", *self.beliefs.slope_range),
            Parameter("detuning_offset", "Hz", *self.beliefs.offset_range),
            Parameter("contrast", "", 0.0, 1.0),
            Parameter("offset", "", 0.0, 1.0),
            Parameter("decay_rate", "1/s", 0.0, 30.0 / longest),
        ]

    def evaluate(self, theta: Array) -> Prediction:
        """Probabilities and slopes."""
        slope, shift, contrast, offset, rate = theta
        decay = 0.5 * np.exp(-rate * self.time)
        turned = math.tau * (shift + slope * self.current) * self.time + self.phase
        wave, by_angle = decay * np.cos(turned), -contrast * decay * np.sin(turned)
        by_shift = math.tau * self.time * by_angle
        slopes = np.stack(
            [
                by_shift * self.current,
                by_shift,
                wave,
                np.ones_like(wave),
                -contrast * wave * self.time,
            ]
        )
        return Prediction(offset + contrast * wave, slopes)


def detuning_bounds(
    beliefs: RamseyBeliefs,
    truth: Sequence[float],
    time: Array,
    current: Array,
    phase: Array | float = 0.0,
) -> Array:
    """Covariance bound of (slope, offset, C, c_0, rate) for one shot at each setting."""
    phases = np.broadcast_to(np.asarray(phase, dtype=np.float64), time.shape)
    empty = np.zeros(time.size)
    groups = Groups({}, np.ones(time.size), empty, empty, beliefs.atoms)
    curve = FringeCurve(beliefs, time, current, phases)
    return bound_of(curve, "binomial", groups, np.asarray(truth, dtype=np.float64))


def coarse_to_fine(beliefs: RamseyBeliefs, groups: Groups) -> list[Array]:
    """Starts of the fit: cells of (kappa, delta at the mean current), halved time by time."""
    time, current = groups.settings["time"], groups.settings["current"]
    middle = float(current @ groups.number / groups.number.sum())
    spread = max(float(np.abs(current - middle).max()), 1e-12)
    share = groups.mean / groups.trials
    low = np.array([beliefs.slope_range[0], beliefs.offset_range[0]])
    high = np.array([beliefs.slope_range[1], beliefs.offset_range[1]])
    ends = sorted([low[0] * middle, high[0] * middle])
    box = np.array([[low[0], high[0]], [low[1] + ends[0], high[1] + ends[1]]])
    cells = box.mean(axis=1)[None, :]
    half = 0.5 * (box[:, 1] - box[:, 0])
    stages = np.unique(time[time > 0.0])
    for longest in stages:
        used = time <= longest
        step = np.array([1.0 / (longest * spread), 1.0 / longest]) / _PER_TURN
        parts = np.maximum(np.ceil(2.0 * half / step).astype(int), 1)
        while parts.prod() * len(cells) > _MOST_CELLS and parts.max() > 1:
            parts[int(np.argmax(parts))] = math.ceil(parts.max() / 2)
        axes = [
            h * ((2.0 * np.arange(n) + 1.0) / n - 1.0) for h, n in zip(half, parts, strict=True)
        ]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        cells = (cells[:, None, :] + grid[None]).reshape(-1, 2)
        cells = np.clip(cells, box[:, 0], box[:, 1])
        offset = cells[:, 1] - cells[:, 0] * middle
        inside = (offset >= low[1]) & (offset <= high[1])
        cells = cells[inside] if inside.any() else cells
        loss = _losses(cells, used, share, groups, middle)[0]
        kept = _KEPT if longest < stages[-1] else _STARTS
        cells = _separate(cells[np.argsort(loss, kind="stable")], 2.0 * half / parts, kept)
        half = 1.5 * half / parts
    # cos is even: the mirrored answer is tried wherever the ranges allow it.
    mirrored = -cells
    offset = mirrored[:, 1] - mirrored[:, 0] * middle
    allowed = (mirrored[:, 0] >= low[0]) & (mirrored[:, 0] <= high[0])
    allowed &= (offset >= low[1]) & (offset <= high[1])
    cells = np.concatenate([cells, mirrored[allowed][:2]])
    _, contrast, level = _losses(cells, time >= 0.0, share, groups, middle)
    return [
        np.array([cell[0], cell[1] - cell[0] * middle, c, b, 0.3 / float(stages[-1])])
        for cell, c, b in zip(cells, contrast, level, strict=True)
    ]


def _separate(cells: Array, width: Array, count: int) -> Array:
    """The first cells that are not neighbours of a better one."""
    kept: list[Array] = []
    for cell in cells[: 40 * count]:
        if all((np.abs(cell - other) > 1.5 * width).any() for other in kept):
            kept.append(cell)
        if len(kept) == count:
            break
    return np.array(kept)


def _losses(
    cells: Array, used: NDArray[np.bool_], share: Array, groups: Groups, middle: float
) -> tuple[Array, Array, Array]:
    """Least squares of contrast and offset at every cell: loss, contrast, offset."""
    time, number = groups.settings["time"][used], groups.number[used]
    current, phase = groups.settings["current"][used], groups.settings["bias_phase"][used]
    seen, total = share[used], groups.number[used].sum()
    loss, contrast, offset = (np.empty(len(cells)) for _ in range(3))
    block = max(1, 2_000_000 // time.size)
    for start in range(0, len(cells), block):
        part = slice(start, start + block)
        detuning = cells[part, 1, None] + cells[part, 0, None] * (current - middle)
        wave = 0.5 * np.cos(math.tau * detuning * time + phase)
        mean_wave, mean_seen = wave @ number / total, float(seen @ number) / total
        off = wave - mean_wave[:, None]
        power = np.maximum((off * off) @ number, 1e-300)
        raw = (off @ (number * (seen - mean_seen))) / power
        contrast[part] = np.clip(raw, 0.05, 1.0)
        offset[part] = np.clip(mean_seen - contrast[part] * mean_wave, 0.02, 0.98)
        left = float(((seen - mean_seen) ** 2) @ number)
        loss[part] = left - (2.0 * raw - contrast[part]) * contrast[part] * power
    return loss, contrast, offset
