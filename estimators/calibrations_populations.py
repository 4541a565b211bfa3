r"""Calibrations from the populations after one pulse on atoms that start down.

    p = Omega^2/W^2 sin^2(W t/2),    W^2 = Omega^2 + delta^2,    delta = +-Delta/2

Drive: Omega = 2 pi f_max sin[(pi/2) sqrt(P/P_sat)] against power and time. Detuning: Delta =
2 pi (slope I + offset) against current and time, the Rabi frequency free. Detector: p of every
level free. Gain and background are free in all of them. p is even in delta: the signs of a slope
and its offset together are not identifiable, the ranges decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .calibrations_check import result, undetermined
from .calibrations_counting import (
    CountedCurve,
    CountedReadings,
    CountingBeliefs,
    CountingCurve,
    Populations,
    approximate,
    check_counts,
    counting_bounds,
    fit_counts,
    gains_that_fit,
)
from .calibrations_fit import Groups
from .calibrations_flops import DetuningCurve, DriveCurve, LevelCurve
from .calibrations_records import Column, Readings
from .estimate import Estimate
from .records import RecordError

Array = NDArray[np.float64]

_TRIED = 16  # cells of the grid that are led to their maxima
_STARTS = 4
_HOPELESS = 50.0  # fall of the approximate log-likelihood below which a start is given up
_PER_TURN = 8.0
_ABSURD = 20.0  # times the most counts that atoms can give: no count of photons
_FEW_ATOMS = 15.0


class CountedCalibration:
    """What the three estimators share: readings of one or more detectors at every setting."""

    name = ""
    columns: tuple[Column, ...] = ()
    fewest = 5

    def __init__(self, counting: CountingBeliefs) -> None:
        self.counting = counting
        # A gain beyond its range shall end in a fit that says so; this is for other mistakes.
        most = counting.background_range[1] + counting.gain_range[1] * counting.atoms
        self._readings = Readings("counts", self.columns, _ABSURD * most)
        self._ensembles = 1

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots,) or (shots, ensembles), the settings, status.

        Ensembles are readings at the same setting: each has the same number of atoms.

        Raises:
            RecordError: on what cannot be used; nothing of the block is kept.
        """
        counts = np.asarray(records.get("counts", ()))
        several = counts.ndim == 2 and counts.shape[1] > 1
        block = replace(self._readings, rejected=0, blocks=[])
        for column in counts.T if several else [None]:
            block.add(records if column is None else {**records, "counts": column})
        ensembles = counts.shape[1] if several else 1
        if self._readings.blocks and ensembles != self._ensembles:
            raise RecordError(
                f"Column `counts` must have {self._ensembles} ensembles in every block, but has "
                f"{ensembles} in this one."
            )
        self._ensembles = ensembles
        self._readings.blocks.extend(block.blocks)
        self._readings.rejected += block.rejected // ensembles

    def _data(self) -> CountedReadings:
        self._readings.groups()  # refuses when there is none
        counts = np.concatenate([values for values, _ in self._readings.blocks])
        settings = np.concatenate([rows for _, rows in self._readings.blocks], axis=1)
        names = [column.name for column in self.columns]
        return CountedReadings.of(counts, dict(zip(names, settings, strict=True)))

    def _too_few(
        self, curve: CountingCurve, data: CountedReadings, level: float
    ) -> Estimate | None:
        """The answer while settings are missing; None when there are enough."""
        missing = self._missing(data.groups)
        if not missing:
            return None
        found = undetermined(
            self.name,
            curve.parameters,
            data.groups,
            level,
            missing,
            rejected=self._readings.rejected,
        )
        return replace(found, shots=found.shots // self._ensembles)

    def _missing(self, groups: Groups) -> str:
        """What is missing, in words."""
        return self._readings.missing(groups, self.fewest)

    def _answer(
        self,
        curve: CountingCurve,
        data: CountedReadings,
        starts: Sequence[Array],
        level: float,
        flags: Callable[[Array], list[str]] = lambda theta: [],
    ) -> Estimate:
        fitted = fit_counts(curve, data, starts)
        found = result(
            self.name,
            fitted,
            level,
            rejected=self._readings.rejected,
            flags=flags(fitted.theta),
            goodness=check_counts(fitted),
            assumptions=(
                f"{self.counting.atoms:g} independent atoms in each ensemble, all down at first",
                "photon counts Poissonian; gain and background the same for every reading",
            ),
        )
        return replace(found, shots=found.shots // self._ensembles)

    def _starts(
        self, source: Populations, data: CountedReadings, axes: Sequence[Array]
    ) -> list[Array]:
        """Cells of a grid of the curve's parameters that fit best, each led to its maximum."""
        curve = CountedCurve(source, self.counting)
        cells = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        lines = [self._line(source.populations(cell)[0], data) for cell in cells]
        order = np.argsort([loss for loss, _, _ in lines], kind="stable")
        width = np.array([1.5 * float(np.ptp(axis)) / max(axis.size - 1, 1) for axis in axes])
        kept: list[int] = []
        for one in order[: 20 * _TRIED]:
            if all((np.abs(cells[one] - cells[other]) > width).any() for other in kept):
                kept.append(int(one))
            if len(kept) == _TRIED:
                break
        trials = [
            approximate(curve, data, np.array([*cells[one], *lines[one][1:]])) for one in kept
        ]
        trials.sort(key=lambda trial: -trial[0])
        best = trials[0][1]
        near = best[-2] * np.linspace(0.98, 1.02, 9)
        others = [theta for value, theta in trials[1:_STARTS] if value > trials[0][0] - _HOPELESS]
        return [*gains_that_fit(curve, data, best, near, most=2), *others]

    def _line(self, p: Array, data: CountedReadings) -> tuple[float, float, float]:
        """Least squares of gain and background at given probabilities."""
        number, mean, atoms = data.groups.number, data.groups.mean, self.counting.atoms
        total = number.sum()
        off = p - float(p @ number) / total
        power = max(float((off * off) @ number), 1e-300)
        slope = float((off * mean) @ number) / power / atoms
        gain = float(np.clip(slope, *self.counting.gain_range))
        level = float(mean @ number) / total - gain * atoms * float(p @ number) / total
        background = float(np.clip(level, *self.counting.background_range))
        residual = mean - background - gain * atoms * p
        return float((residual**2) @ number), gain, background


@dataclass(frozen=True, slots=True)
class DriveBeliefs:
    """What is known before the drive is calibrated.

    Attributes:
        counting: atoms and detector.
        full_range: (low, high) of f_max, Hz.
        saturation_range: (low, high) of P_sat, W.
        detuning: (mean, std) of the detuning difference during the pulse, Hz.
    """

    counting: CountingBeliefs
    full_range: tuple[float, float]
    saturation_range: tuple[float, float]
    detuning: tuple[float, float] = (0.0, 1.0)


class DriveCalibration(CountedCalibration):
    """Rabi frequency against RF power: f_max and P_sat of a modulator's amplitude."""

    name = "drive from flops against RF power"
    columns = (Column("power", 0.0, unit="W"), Column("pulse_time", 0.0, unit="s"))

    def __init__(self, beliefs: DriveBeliefs) -> None:
        super().__init__(beliefs.counting)
        self.beliefs = beliefs

    def curve(self, power: Array, time: Array) -> DriveCurve:
        """The populations at some settings."""
        known = self.beliefs
        return DriveCurve(power, time, known.full_range, known.saturation_range, known.detuning)

    def estimate(self, level: float = 0.95) -> Estimate:
        """f_max (Hz), P_sat (W), detuning (Hz), gain, background.

        With fewer than five settings nothing is determined, and a flag says so.

        Raises:
            RecordError: on no good shot.
        """
        data = self._data()
        power, time = data.groups.settings["power"], data.groups.settings["pulse_time"]
        curve, (low, high) = self.curve(power, time), self.beliefs.full_range
        nothing = self._too_few(CountedCurve(curve, self.counting), data, level)
        if nothing is not None:
            return nothing
        turns = high * float(time.max())
        size = int(np.clip(math.ceil(_PER_TURN * turns * (1.0 - low / high)), 16, 400))
        axes = (
            np.linspace(low, high, size),
            np.linspace(*self.beliefs.saturation_range, 13),
            np.array([self.beliefs.detuning[0]]),
        )
        return self._answer(
            CountedCurve(curve, self.counting), data, self._starts(curve, data, axes), level,
            lambda theta: _saturation_flags(float(theta[1]), power),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class DetuningBeliefs:
    """What is known before the detuning is calibrated.

    Attributes:
        counting: atoms and detector.
        slope_range: (low, high) of the slope, Hz/A.
        offset_range: (low, high) of the detuning difference at no current, Hz.
        rabi_range: (low, high) of the Rabi frequency of the pulse, Hz.
    """

    counting: CountingBeliefs
    slope_range: tuple[float, float]
    offset_range: tuple[float, float]
    rabi_range: tuple[float, float]


class SpectroscopyCalibration(CountedCalibration):
    """Detuning difference against current from weak pulses: slope and offset."""

    name = "detuning difference from weak pulses against current"
    columns = (Column("current", unit="A"), Column("pulse_time", 0.0, unit="s"))

    def __init__(self, beliefs: DetuningBeliefs) -> None:
        super().__init__(beliefs.counting)
        self.beliefs = beliefs

    def curve(self, current: Array, time: Array) -> DetuningCurve:
        """The populations at some settings."""
        known = self.beliefs
        return DetuningCurve(current, time, known.slope_range, known.offset_range, known.rabi_range)

    def estimate(self, level: float = 0.95) -> Estimate:
        """slope (Hz/A), offset (Hz), rabi_frequency (Hz), gain, background.

        With fewer than five settings nothing is determined, and a flag says so.

        Raises:
            RecordError: on no good shot.
        """
        data, known = self._data(), self.beliefs
        current, time = data.groups.settings["current"], data.groups.settings["pulse_time"]
        curve, longest = self.curve(current, time), float(time.max())
        nothing = self._too_few(CountedCurve(curve, self.counting), data, level)
        if nothing is not None:
            return nothing
        reach = float(np.abs(current).max())

        def steps(ends: tuple[float, float], scale: float, most: int) -> Array:
            turns = (ends[1] - ends[0]) * scale * longest
            return np.linspace(*ends, int(np.clip(math.ceil(_PER_TURN * turns), 5, most)))

        axes = (
            steps(known.slope_range, 0.5 * reach, 40),
            steps(known.offset_range, 0.5, 15),
            steps(known.rabi_range, 1.0, 25),
        )
        starts = self._starts(curve, data, axes)
        return self._answer(CountedCurve(curve, self.counting), data, starts, level)


class GainCalibration(CountedCalibration):
    """Gain and background from dark counts and the peaks of few and many atoms."""

    name = "detector from dark counts and levels of excited atoms"
    columns = (Column("level", 0.0, unit="label of the setting, 0 dark"),)
    fewest = 3

    def estimate(self, level: float = 0.95) -> Estimate:
        """gain (counts/atom), background (counts), level_k: the share of atoms up.

        With fewer than three levels nothing is determined, and a flag says so.

        Raises:
            RecordError: on no good shot.
        """
        data = self._data()
        curve = LevelCurve.of(data.groups.settings["level"])
        counted = CountedCurve(curve, self.counting)
        found = self._too_few(counted, data, level)
        if found is None:
            found = self._answer(counted, data, self._from_peaks(curve, data), level)
        first = {name: found.quantities[name] for name in ("gain", "background")}
        return replace(
            found,
            quantities={**first, **found.quantities},
            identifiable=self.counting.gain_range,
        )

    def _from_peaks(self, curve: LevelCurve, data: CountedReadings) -> list[Array]:
        """Gains whose peaks fit the levels with few atoms, where none can be miscounted."""
        groups, atoms = data.groups, self.counting.atoms
        dark = curve.level == 0.0
        low, high = self.counting.background_range
        least = float(groups.mean[dark][0]) if dark.any() else float(groups.mean.min())
        background = float(np.clip(least, low, high))

        def at(gain: float) -> Array:
            p = (groups.mean[~dark] - background) / (gain * atoms)
            return np.array([*np.clip(p, 1e-3, 0.999), gain, background])

        middle = math.sqrt(math.prod(self.counting.gain_range))
        few = (groups.mean - background) / middle <= _FEW_ATOMS
        if not (few & ~dark).any():
            few = groups.mean <= np.sort(groups.mean)[min(1, groups.mean.size - 1)]
        part = _part(data, few | dark)
        sub = CountedCurve(LevelCurve.of(curve.level[few | dark]), self.counting)
        reach = self.counting.gain_range
        size = math.ceil(6.0 * _FEW_ATOMS * math.log(reach[1] / reach[0]))
        kept = np.flatnonzero((few | dark)[~dark])
        trials = []
        for gain in np.geomspace(*reach, size):
            theta = at(float(gain))
            chosen = np.array([*theta[kept], gain, background])
            logs, _ = sub.law(chosen, part.counts, part.place)
            trials.append((float(logs.sum()), float(gain)))
        trials.sort(reverse=True)
        return [at(gain) for _, gain in trials[:3]]


def population_bounds(
    curve: Populations, counting: CountingBeliefs, truth: ArrayLike, readings: ArrayLike
) -> Array:
    """Covariance bound of the curve's parameters, gain and background.

    Args:
        curve: at K settings.
        counting: atoms, and priors of the detector if any.
        truth: all parameters, gain and background last.
        readings: (K,) readings of each setting: shots times ensembles.
    """
    counted = CountedCurve(curve, counting)
    return counting_bounds(
        counted, np.asarray(truth, dtype=np.float64), np.asarray(readings, np.float64)
    )


def _part(data: CountedReadings, chosen: NDArray[np.bool_]) -> CountedReadings:
    kept = chosen[data.place]
    names = data.groups.settings
    return CountedReadings.of(
        data.counts[kept], {name: row[data.place[kept]] for name, row in names.items()}
    )


def _saturation_flags(saturation: float, power: Array) -> list[str]:
    if power.max() < 0.3 * saturation:
        return ["powers stay below .3 of saturation: P_sat rests on little curvature"]
    return []
