r"""Atom number of each ensemble from counts: mean and projection noise of a known detector.

    mean = g N p + b,    Var = g^2 N p (1 - p) + g N p + b,    p = sin^2(pi f t)

of atoms that start down and see a resonant pulse of length t. The gain g comes with the error of
its own calibration; the scatter of half excited atoms says little more about it, the pulses near
half a turn, where p has no slope, fix N.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .calibrations_check import bound_of, result, undetermined
from .calibrations_fit import Groups, Parameter, Prediction, fit
from .calibrations_records import Column, Readings
from .estimate import Estimate, Quantity

Array = NDArray[np.float64]

_NAME = "atom numbers from mean counts and projection noise"
_FEWEST = 6
"""Settings: three lengths of the pulse, two ensembles."""
_RATES = 60
_UNLIKE = 4.0
"""Standard deviations between the two ensembles that are told."""


@dataclass(frozen=True, slots=True)
class AtomBeliefs:
    """What is known before.

    Attributes:
        gain: (mean, std) of the detector's calibration, counts/atom.
        background: the same, counts.
        rabi_range: (low, high) of the pulse's Rabi frequency, Hz.
        most: atoms that an ensemble may have.

    Raises:
        ValueError: on values or errors that are not positive, or an empty range.
    """

    gain: tuple[float, float]
    background: tuple[float, float]
    rabi_range: tuple[float, float]
    most: float = 1e4

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> AtomBeliefs:
        """Beliefs as JSON keeps them: pairs as lists."""
        pairs = {name: tuple(one) for name, one in stored.items() if name != "most"}
        return cls(most=float(stored["most"]), **pairs)

    def __post_init__(self) -> None:
        for name in ("gain", "background"):
            value, std = getattr(self, name)
            if not (value > 0.0 and std > 0.0):
                raise ValueError(f"Argument `{name}` must be (> 0, > 0), but is {(value, std)!r}.")
        low, high = self.rabi_range
        if not 0.0 < low < high < math.inf:
            raise ValueError(f"Argument `rabi_range` must be 0 < low < high, not {(low, high)!r}.")
        if not self.most >= 1.0:
            raise ValueError(f"Argument `most` must be at least 1, but is {self.most!r}.")


class AtomNumbers:
    """Atoms in each of two ensembles, counted one after the other by one detector."""

    def __init__(self, beliefs: AtomBeliefs) -> None:
        self.beliefs = beliefs
        self._readings = Readings("counts", (Column("pulse_time", 0.0), Column("ensemble")))

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, 2), pulse_time (s; 0: none), status."""
        counts = np.asarray(records.get("counts", ()))
        for number in range(2):
            own = counts[:, number] if counts.ndim == 2 and counts.shape[1] == 2 else counts
            ensemble = np.full(len(counts), number + 1.0)
            self._readings.add({**records, "counts": own, "ensemble": ensemble})

    def estimate(self, level: float = 0.95) -> Estimate:
        """atoms (mean of both), atoms_1, atoms_2; rabi_frequency (Hz), gain, background.

        With fewer than three lengths nothing is determined, and a flag says so.

        Raises:
            RecordError: on no good shot.
        """
        groups = self._readings.groups()
        curve = AtomCurve.of(groups.settings, self.beliefs)
        missing = self._readings.missing(groups, _FEWEST)
        if missing:
            found = undetermined(_NAME, curve.parameters, groups, level, missing)
        else:
            fitted = fit(curve, "gaussian", groups, self._starts(curve, groups))
            found = result(
                _NAME,
                fitted,
                level,
                rejected=self._readings.rejected // 2,
                flags=_unlike(fitted.theta, fitted.covariance),
                assumptions=(
                    "all atoms down at first, one resonant pulse that all of them see alike",
                    "Gaussian counts; the same gain and background for both ensembles",
                ),
            )
        mean = _mean_of(found, level)
        return replace(
            found, shots=found.shots // 2, quantities={"atoms": mean, **found.quantities}
        )

    def _starts(self, curve: AtomCurve, groups: Groups) -> list[Array]:
        """Rabi frequencies whose flop describes the means best."""
        gain, background = self.beliefs.gain[0], self.beliefs.background[0]
        found = []
        for rabi in np.linspace(*self.beliefs.rabi_range, _RATES):
            p = np.sin(math.pi * rabi * curve.time) ** 2
            light, loss, atoms = groups.mean - background, 0.0, []
            for number in (1.0, 2.0):
                own = curve.ensemble == number
                weight = groups.number[own]
                power = max(float((p[own] ** 2) @ weight), 1e-12)
                scale = float((p[own] * light[own]) @ weight) / power
                loss += float((light[own] - scale * p[own]) ** 2 @ weight)
                atoms.append(float(np.clip(scale / gain, 1.0, self.beliefs.most)))
            found.append((loss, np.array([*atoms, rabi, gain, background])))
        found.sort(key=lambda one: one[0])
        return [theta for _, theta in found[:3]]


@dataclass(frozen=True, slots=True, eq=False)
class AtomCurve:
    """Counts as a function of N_1, N_2, f, g, b; (K,) lengths and ensembles of the settings."""

    time: Array
    ensemble: Array
    beliefs: AtomBeliefs

    @classmethod
    def of(cls, settings: Mapping[str, Array], beliefs: AtomBeliefs) -> AtomCurve:
        """The curve of these settings."""
        return cls(settings["pulse_time"], settings["ensemble"], beliefs)

    @property
    def parameters(self) -> Sequence[Parameter]:
        known = self.beliefs
        return [
            Parameter("atoms_1", "atoms", 0.0, known.most),
            Parameter("atoms_2", "atoms", 0.0, known.most),
            Parameter("rabi_frequency", "Hz", *known.rabi_range),
            Parameter("gain", "counts/atom", 1e-9, 10.0 * known.gain[0], known.gain),
            Parameter("background", "counts", 1e-9, 1e9, known.background),
        ]

    def evaluate(self, theta: Array) -> Prediction:
        """Means and variances of the law, with their slopes."""
        rabi, gain, background = theta[2:]
        first = self.ensemble == 1.0
        atoms = np.where(first, theta[0], theta[1])
        angle = math.pi * rabi * self.time
        p, d_p = np.sin(angle) ** 2, math.pi * self.time * np.sin(2.0 * angle)
        mean = gain * atoms * p + background
        noise = gain * gain * atoms * p * (1.0 - p)
        by_atoms, one = gain * p, np.ones_like(p)
        d_mean = np.stack([by_atoms * first, by_atoms * ~first, gain * atoms * d_p, atoms * p, one])
        spread = gain * gain * p * (1.0 - p)
        d_noise = np.stack(
            [
                spread * first,
                spread * ~first,
                gain * gain * atoms * (1.0 - 2.0 * p) * d_p,
                2.0 * gain * atoms * p * (1.0 - p),
                np.zeros_like(p),
            ]
        )
        return Prediction(mean, d_mean, mean + noise, d_mean + d_noise)


def atom_bounds(beliefs: AtomBeliefs, theta: Array, time: Array, shots: Array) -> Array:
    """Covariance bound of (N_1, N_2, f, g, b) for so many shots at each length of the pulse."""
    times, ensembles = np.tile(time, 2), np.repeat([1.0, 2.0], time.size)
    empty = np.zeros(times.size)
    groups = Groups({}, np.tile(np.asarray(shots, dtype=np.float64), 2), empty, empty)
    return bound_of(AtomCurve(times, ensembles, beliefs), "gaussian", groups, theta)


def mean_std(covariance: Array) -> float:
    """Standard deviation of (N_1 + N_2)/2."""
    return 0.5 * math.sqrt(max(float(covariance[:2, :2].sum()), 0.0))


def _mean_of(found: Estimate, level: float) -> Quantity:
    """Of both; its interval is as skew as theirs."""
    both = [found["atoms_1"], found["atoms_2"]]
    value, std = 0.5 * (both[0].value + both[1].value), mean_std(found.covariance)
    reach = [
        float(np.mean([abs(one.interval[side] - one.value) / max(one.std, 1e-300) for one in both]))
        for side in (0, 1)
    ]
    return Quantity(value, std, (value - reach[0] * std, value + reach[1] * std), level, "atoms")


def _unlike(theta: Array, covariance: Array) -> list[str]:
    variance = float(covariance[0, 0] + covariance[1, 1] - 2.0 * covariance[0, 1])
    off = abs(float(theta[0] - theta[1])) / math.sqrt(max(variance, 1e-300))
    if off <= _UNLIKE:
        return []
    return [
        f"the ensembles differ by {off:.1f} standard deviations: {theta[0]:.4g}, {theta[1]:.4g}"
    ]
