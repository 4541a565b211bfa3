"""Which kind of shot comes next: blocks in turn, and the bias phase of the second stage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..estimators import (
    EllipseBeliefs,
    Estimate,
    ScheduleBeliefs,
    ScheduleBounds,
    schedule_bounds,
)
from ..estimators.bounds import table_information
from .ramsey_ellipse_settings import RamseyEllipseSettings, bias_phase, folded
from .ramsey_ellipse_shots import ShotKind, kinds_of

CLEAR = 6.0
"""Standard deviations that the second stage keeps between phase and fold."""

_PHASES = (0.04, 0.09, 0.16, 0.35, 0.785, 1.22, 1.41, 1.48, 1.53)


class Blocks:
    """The blocks of a run: how many shots of which kind.

    Args:
        settings: Of the protocol.

    Attributes:
        first: Prepared shots before the bias phase is chosen; all of them where it is fixed.
    """

    def __init__(self, settings: RamseyEllipseSettings) -> None:
        self._settings = settings
        self.kinds = kinds_of(settings)
        self.prepared = settings.shots
        if settings.reference != "none":
            self.prepared -= settings.shots // 2
        self.first = self.prepared
        if settings.schedule != "fixed":
            self.first = max(1, round(settings.first_share * self.prepared))

    @property
    def reference(self) -> int:
        """Shots of independent atoms."""
        return self._settings.shots - self.prepared

    def turns(self) -> Iterator[tuple[bool, bool, int]]:
        """(prepared, first stage, shots) of each block, prepared and independent atoms in turn."""
        block = self._settings.block
        taken = {True: 0, False: 0}
        wanted = {True: self.prepared, False: self.reference}
        while any(taken[kind] < wanted[kind] for kind in wanted):
            for kind in (True, False):
                left = wanted[kind] - taken[kind]
                early = kind and taken[True] < self.first
                if early:
                    left = self.first - taken[True]
                shots = min(block, left)
                if shots > 0:
                    taken[kind] += shots
                    yield kind, early, shots

    def kind(self, block: int, prepared: bool, early: bool, chosen: int) -> int:
        """Number of the kind of shot of a block; both sides of a fringe in turn if it is read."""
        if self._settings.narrow:
            return block % len(self.kinds)
        return (0 if early else chosen) if prepared else len(self.kinds) - 1

    def allocation(self, chosen: int, shots: int) -> dict[int, int]:
        """Shots of each kind after `shots` in all, the second stage at kind `chosen`."""
        found: dict[int, int] = {}
        left = shots
        for block, (prepared, early, number) in enumerate(self.turns()):
            kind = self.kind(block, prepared, early, chosen)
            taken = min(number, left)
            if taken:
                found[kind] = found.get(kind, 0) + taken
            left -= taken
        return found


def choose_kind(
    settings: RamseyEllipseSettings,
    beliefs: ScheduleBeliefs,
    signal: float,
    signal_std: float,
    scale_std: float,
) -> int:
    """The kind of prepared shot that leaves the least error of the signal.

    The error of the remaining shots is that of the counts, 1/(n F(phi; sigma)) with the detector's
    counting noise in F, and that of the bias phase itself, its calibration's error times the bias.
    Phases nearer to a fold than six standard deviations of what is known are left out.

    Args:
        settings: Of the protocol.
        beliefs: Nuisances as believed.
        signal, signal_std: What is known of the signal, rad.
        scale_std: Relative standard deviation of the detuning that writes the bias.
    """
    if settings.schedule == "fixed":
        return 0
    phases, information = fisher_information(beliefs.shared)
    left = max(1, Blocks(settings).prepared - Blocks(settings).first)
    best, least = 0, math.inf
    for number, kind in enumerate(kinds_of(settings)):
        if not kind.prepared:
            continue
        phase = folded(signal + kind.bias_phase)
        margin = CLEAR * math.hypot(signal_std, scale_std * kind.bias_phase)
        if not margin < phase < math.pi / 2 - margin:
            continue
        rate = float(np.interp(phase, phases, information))
        error = 1 / (left * rate) + (scale_std * kind.bias_phase) ** 2
        if error < least:
            best, least = number, error
    return best


def fisher_information(
    beliefs: EllipseBeliefs,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Phases in [0, pi/2] and the information of one prepared shot there, nuisances known."""
    known = (beliefs.spin, beliefs.detuning_ratio, beliefs.pulse_area)
    rates = _information(*known, round(beliefs.gain, 9), round(beliefs.background, 9))
    phases = np.array([0.0, *_PHASES, math.pi / 2])
    return phases, np.array([0.0, *rates, 0.0])


@lru_cache(maxsize=8)
def _information(
    spin: float, ratio: float, area: float, gain: float, background: float
) -> tuple[float, ...]:
    beliefs = EllipseBeliefs(spin, ratio, area, gain, background, np.zeros((4, 4)))
    return tuple(float(table_information(beliefs, phase)[0, 0]) for phase in _PHASES)


def bounds_at(
    settings: RamseyEllipseSettings,
    beliefs: ScheduleBeliefs,
    estimate: Estimate,
    chosen: int,
    shots: int,
) -> ScheduleBounds:
    """Bounds of the signal for the planned kinds of shots, at the estimate's values."""
    moved = [
        math.log(estimate[name].value) if name in estimate.quantities else 0.0
        for name in ("detuning_scale", "pulse_rabi_scale")
    ]
    there = replace(
        beliefs,
        detuning_ratio=estimate["detuning_ratio"].value,
        pulse_area=estimate["pulse_area"].value,
        gain=estimate["gain"].value,
        background=estimate["background"].value,
        settings=tuple(
            replace(one, bias_phase=one.bias_phase + float(one.slopes @ np.array(moved)))
            for one in beliefs.settings
        ),
    )
    allocation = Blocks(settings).allocation(chosen, shots)
    return schedule_bounds(there, estimate["signal"].value, allocation)


def true_phase(
    settings: RamseyEllipseSettings,
    kind: ShotKind,
    revealed: Mapping[str, float],
    true_detuning_hz: float,
    true_rabi_hz: float,
) -> float:
    """Differential phase of a kind of shot in a rehearsal's truth, folded into [0, pi/2]."""
    bias = bias_phase(
        true_rabi_hz, true_detuning_hz, settings.pulse_time, kind.dark_time, kind.pulses
    )
    return folded(float(revealed["signal"]) + bias)
