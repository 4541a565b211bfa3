r"""Collective decay rate against RF power: atoms emit together after a pulse, without drive.

A pulse excites all 2N atoms of both ensembles alike, p = sin^2(pi f t). With the coupling on and
the drive off, the number k of atoms up falls by the rates Gamma k (2N - k + 1), and

    Gamma/2pi = G_max sin^2[(pi/2) sqrt(P/P_sat)].

Read are the counts of both ensembles together: how k atoms split between them says nothing of the
decay. Flops without the coupling fix f and the gain.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from ..models.collective_decay import decay_flow, decayed_populations
from .calibrations_counting import (
    CountedReadings,
    CountingBeliefs,
    approximate,
    counting_bounds,
    gains_that_fit,
)
from .calibrations_fit import Groups, Parameter, Prediction
from .calibrations_populations import CountedCalibration
from .calibrations_records import Column, Readings
from .estimate import Estimate
from .records import read_counts

Array = NDArray[np.float64]

_STARTS = 3
_TINY = 1e-290


@dataclass(frozen=True, slots=True)
class DecayBeliefs:
    """What is known before the coupling is calibrated.

    Attributes:
        counting: atoms of each ensemble, and the detector of each gate.
        full_range: (low, high) of G_max, Hz.
        saturation_range: (low, high) of P_sat, W.
        rabi_range: (low, high) of the Rabi frequency of the pulses, Hz.
    """

    counting: CountingBeliefs
    full_range: tuple[float, float]
    saturation_range: tuple[float, float]
    rabi_range: tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class DecayCurve:
    """Counts of both gates as a function of G_max, P_sat, f, gain, background of one gate."""

    beliefs: DecayBeliefs
    power: Array
    decay_time: Array
    pulse_time: Array

    @property
    def atoms(self) -> int:
        """Of both ensembles."""
        return 2 * self.beliefs.counting.atoms

    @property
    def parameters(self) -> Sequence[Parameter]:
        known = self.beliefs
        return [
            Parameter("G_max", "Hz", *known.full_range),
            Parameter("P_sat", "W", *known.saturation_range),
            Parameter("rabi_frequency", "Hz", *known.rabi_range),
            Parameter("gain", "counts/atom", *known.counting.gain_range, known.counting.gain),
            Parameter(
                "background", "counts", *known.counting.background_range, known.counting.background
            ),
        ]

    def shares(self, theta: Array) -> tuple[Array, Array]:
        """(K, n+1) probability of k atoms up at every setting, and its (3, K, n+1) slopes."""
        full, saturation, rabi = theta[:3]
        number = np.arange(self.atoms + 1.0)
        half = math.pi * rabi * self.pulse_time
        p = np.clip(np.sin(half) ** 2, 1e-12, 1.0 - 1e-12)[:, None]
        start = np.asarray(binom.pmf(number, self.atoms, p), dtype=np.float64)
        by_p = start * (number - self.atoms * p) / (p * (1.0 - p))
        by_rabi = by_p * (math.pi * self.pulse_time * np.sin(2.0 * half))[:, None]
        angle = np.maximum(0.5 * math.pi * np.sqrt(self.power / saturation), 1e-9)
        spans = math.tau * full * np.sin(angle) ** 2 * self.decay_time
        share, turned = start.copy(), by_rabi.copy()
        for pulse in np.unique(self.pulse_time[spans > 0.0]):
            same = np.flatnonzero((self.pulse_time == pulse) & (spans > 0.0))
            begun = np.stack([start[same[0]], by_rabi[same[0]]])
            decayed = decayed_populations(begun, spans[same])
            share[same], turned[same] = decayed[:, 0], decayed[:, 1]
        flow = decay_flow(share)
        by_saturation = -spans * angle / np.tan(angle) / saturation
        slopes = np.stack([flow * (spans / full)[:, None], flow * by_saturation[:, None], turned])
        return share, slopes

    def evaluate(self, theta: Array) -> Prediction:
        """Means and variances of the law, with their slopes."""
        share, slopes = self.shares(theta)
        gain, background = theta[-2:]
        number = np.arange(self.atoms + 1.0)
        first, second = share @ number, share @ number**2
        spread = second - first**2
        mean = gain * first + 2.0 * background
        d_first = slopes @ number
        d_spread = slopes @ number**2 - 2.0 * first * d_first
        two = np.full_like(mean, 2.0)
        d_mean = np.vstack([gain * d_first, first, two])
        d_variance = np.vstack(
            [gain * d_first + gain**2 * d_spread, first + 2.0 * gain * spread, two]
        )
        return Prediction(mean, d_mean, mean + gain**2 * spread, d_variance)

    def law(self, theta: Array, counts: Array, place: NDArray[np.intp]) -> tuple[Array, Array]:
        """ln P of each reading (without ln y!), and its slopes."""
        share, slopes = self.shares(theta)
        number, mean = self._means(theta)
        logs = np.outer(counts, np.log(mean)) - mean
        top = logs.max(axis=1, keepdims=True)
        kernel = np.exp(logs - top)
        weights = kernel * share[place]
        total = np.maximum(weights.sum(axis=1), _TINY)
        own = np.einsum("rk,prk->pr", kernel, slopes[:, place]) / total
        weights /= total[:, None]
        by_gain = counts * (weights @ (number / mean)) - weights @ number
        by_background = 2.0 * (counts * (weights @ (1.0 / mean)) - 1.0)
        return top[:, 0] + np.log(total), np.vstack([own, by_gain, by_background])

    def mixture(self, theta: Array) -> tuple[Array, Array]:
        """Atoms up at every setting, and their mean counts."""
        return self.shares(theta)[0], self._means(theta)[1]

    def _means(self, theta: Array) -> tuple[Array, Array]:
        number = np.arange(self.atoms + 1.0)
        return number, theta[-2] * number + 2.0 * theta[-1]


class DecayCalibration(CountedCalibration):
    """Collective decay rate against RF power: G_max and P_sat of a modulator's power."""

    name = "collective decay against RF power"
    columns = (
        Column("power", 0.0, unit="W"),
        Column("decay_time", 0.0, unit="s"),
        Column("pulse_time", 0.0, unit="s"),
    )

    def __init__(self, beliefs: DecayBeliefs) -> None:
        super().__init__(beliefs.counting)
        self.beliefs = beliefs
        self._readings = Readings("counts", self.columns, 2.0 * (self._readings.largest or 0.0))

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Add a block: counts (shots, 2), power (W), decay_time (s), pulse_time (s), status.

        Raises:
            RecordError: on what cannot be used; nothing of the block is kept.
        """
        if np.ndim(records.get("counts", ())) != 2:
            self._readings.add(records)
            return
        read_counts(records)  # a sum would hide what is wrong with one of the two
        summed = np.asarray(records["counts"], dtype=np.float64).sum(axis=1)
        self._readings.add({**records, "counts": summed})

    def curve(self, power: Array, decay_time: Array, pulse_time: Array) -> DecayCurve:
        """The counts at some settings."""
        return DecayCurve(self.beliefs, power, decay_time, pulse_time)

    def estimate(self, level: float = 0.95) -> Estimate:
        """G_max (Hz), P_sat (W), rabi_frequency (Hz), gain, background of one gate.

        With fewer than five settings, or none without decay, nothing is determined, and a flag
        says so.

        Raises:
            RecordError: on no good shot.
        """
        data = self._data()
        known = data.groups.settings
        curve = self.curve(known["power"], known["decay_time"], known["pulse_time"])
        nothing = self._too_few(curve, data, level)
        if nothing is not None:
            return nothing
        return self._answer(curve, data, self._from_flops(curve, data), level)

    def _missing(self, groups: Groups) -> str:
        """What is missing, in words: flops fix the Rabi frequency and the gain."""
        few = super()._missing(groups)
        if few or (groups.settings["decay_time"] == 0.0).any():
            return few
        return "no flop without decay (decay_time 0), which fixes pulse and gain"

    def _from_flops(self, curve: DecayCurve, data: CountedReadings) -> list[Array]:
        """Rabi frequency, gain and background without decay; then the decay from its means."""
        free, mean, number = curve.decay_time == 0.0, data.groups.mean, data.groups.number
        best = (math.inf, 0.0, 0.0, 0.0)
        for rabi in np.linspace(*self.beliefs.rabi_range, 41):
            p = np.sin(math.pi * rabi * curve.pulse_time[free]) ** 2
            loss, gain, background = _line(p, mean[free], number[free])
            gain, background = gain / curve.atoms, 0.5 * background
            if loss < best[0]:
                best = (loss, float(rabi), gain, background)
        _, rabi, gain, background = best
        ends = self.counting
        gain = float(np.clip(gain, *ends.gain_range))
        background = float(np.clip(background, *ends.background_range))
        atoms_up = (mean - 2.0 * background) / gain
        trials = []
        for full in np.linspace(*self.beliefs.full_range, 15):
            for saturation in np.linspace(*self.beliefs.saturation_range, 9):
                theta = np.array([full, saturation, rabi, gain, background])
                seen = _flowing(curve, theta)
                trials.append((float(((seen - atoms_up) ** 2) @ number), theta))
        trials.sort(key=lambda trial: trial[0])
        starts = [approximate(curve, data, theta) for _, theta in trials[:_STARTS]]
        top = max(starts, key=lambda start: start[0])[1]
        return gains_that_fit(curve, data, top, top[-2] * np.linspace(0.99, 1.01, 5), most=2)


def decay_bounds(curve: DecayCurve, truth: ArrayLike, shots: ArrayLike) -> Array:
    """Covariance bound of (G_max, P_sat, f, gain, background) for the summed counts.

    Args:
        curve: at K settings.
        truth: all parameters.
        shots: (K,) shots of each setting.
    """
    return counting_bounds(
        curve, np.asarray(truth, dtype=np.float64), np.asarray(shots, dtype=np.float64)
    )


def _line(p: Array, mean: Array, number: Array) -> tuple[float, float, float]:
    """Least squares of mean = slope p + level: loss, slope, level."""
    total = number.sum()
    off = p - float(p @ number) / total
    slope = float((off * mean) @ number) / max(float((off * off) @ number), 1e-300)
    level = float(mean @ number) / total - slope * float(p @ number) / total
    residual = mean - level - slope * p
    return float((residual**2) @ number), slope, level


def _flowing(curve: DecayCurve, theta: Array) -> Array:
    """Mean atoms up without fluctuations: dk/dt = -Gamma k (n + 1 - k), solved. For starts."""
    full, saturation, rabi = theta[:3]
    angle = 0.5 * math.pi * np.sqrt(curve.power / saturation)
    spans = math.tau * full * np.sin(angle) ** 2 * curve.decay_time
    top = curve.atoms + 1.0
    k = curve.atoms * np.sin(math.pi * rabi * curve.pulse_time) ** 2
    flowing: Array = top * k / (k + (top - k) * np.exp(top * spans))
    return flowing
