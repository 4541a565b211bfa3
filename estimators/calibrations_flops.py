"""Populations after one pulse on atoms that start down, as curves of what a calibration asks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .calibrations_fit import Parameter

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DriveCurve:
    """Populations as a function of f_max (Hz), P_sat (W) and the detuning difference (Hz)."""

    power: Array
    time: Array
    full_range: tuple[float, float]
    saturation_range: tuple[float, float]
    detuning: tuple[float, float]

    @property
    def parameters(self) -> Sequence[Parameter]:
        mean, std = self.detuning
        return [
            Parameter("f_max", "Hz", *self.full_range),
            Parameter("P_sat", "W", *self.saturation_range),
            Parameter("detuning", "Hz", mean - 8.0 * std, mean + 8.0 * std, self.detuning),
        ]

    def populations(self, theta: Array) -> tuple[Array, Array]:
        """(K,) probabilities and (3, K) slopes."""
        full, saturation, detuning = theta
        angle = 0.5 * math.pi * np.sqrt(self.power / saturation)
        p, by_rabi, by_delta = flopped(
            math.tau * full * np.sin(angle), np.full_like(angle, math.pi * detuning), self.time
        )
        by_full = math.tau * np.sin(angle) * by_rabi
        by_saturation = -math.tau * full * np.cos(angle) * 0.5 * angle / saturation * by_rabi
        return p, np.stack([by_full, by_saturation, math.pi * by_delta])


@dataclass(frozen=True, slots=True, eq=False)
class DetuningCurve:
    """Populations as a function of slope (Hz/A), offset (Hz) and the Rabi frequency (Hz)."""

    current: Array
    time: Array
    slope_range: tuple[float, float]
    offset_range: tuple[float, float]
    rabi_range: tuple[float, float]

    @property
    def parameters(self) -> Sequence[Parameter]:
        return [
            Parameter("slope", "Hz/A", *self.slope_range),
            Parameter("offset", "Hz", *self.offset_range),
            Parameter("rabi_frequency", "Hz", *self.rabi_range),
        ]

    def populations(self, theta: Array) -> tuple[Array, Array]:
        """(K,) probabilities and (3, K) slopes."""
        slope, offset, rabi = theta
        delta = math.pi * (slope * self.current + offset)
        p, by_rabi, by_delta = flopped(np.full_like(delta, math.tau * rabi), delta, self.time)
        turn = math.pi * by_delta
        return p, np.stack([turn * self.current, turn, math.tau * by_rabi])


@dataclass(frozen=True, slots=True, eq=False)
class LevelCurve:
    """Every level its own probability; level 0 is dark, with no atom up.

    Attributes:
        level: (K,) labels, for instance the shares of atoms that were meant to be up.
        lit: the labels above 0, each once.
    """

    level: Array
    lit: Array

    @classmethod
    def of(cls, level: Array) -> LevelCurve:
        """The curve of some levels."""
        return cls(level, np.unique(level[level > 0.0]))

    @property
    def parameters(self) -> Sequence[Parameter]:
        return [Parameter(f"level_{k + 1}", "", 1e-6, 1.0 - 1e-6) for k in range(self.lit.size)]

    def populations(self, theta: Array) -> tuple[Array, Array]:
        """(K,) probabilities and (levels, K) slopes."""
        lit = self.lit
        slopes = (self.level[None, :] == lit[:, None]).astype(np.float64)
        return theta @ slopes, slopes


def flopped(rabi: Array, delta: Array, time: Array) -> tuple[Array, Array, Array]:
    """Rabi's formula: p, dp/dOmega, dp/ddelta; all angular."""
    rate = np.maximum(np.hypot(rabi, delta), 1e-300)
    half = 0.5 * rate * time
    sine, cosine = np.sin(half), np.cos(half)
    share = (sine / rate) ** 2
    by_rate = sine * cosine * time / rate**2 - 2.0 * share / rate
    common = rabi**2 * by_rate / rate
    return rabi**2 * share, 2.0 * rabi * share + common * rabi, common * delta
