r"""Hysteresis of scans through the transition, its law, and what a scan can resolve.

Scans move w = gamma (1 + 2 s/N) at ds/dt = +-r, as in `pumped_superradiance_scans`.
Equation numbers: Shimshi & Shahmoon, "Dissipative phase transition and metrology in
collectively pumped superradiance" (2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ._checks import positive
from .pumped_superradiance_modes import couplings, mode_ramp, modes_needed
from .pumped_superradiance_scans import (
    centred_x,
    checked_rate,
    first_moment,
    march,
    on_ladder,
    zero_of,
)
from .pumped_superradiance_stepping import ElementSolver, Factors, tableau

# ln(2 mu), where mu solves (1/mu) e^(1/mu) E_1(1/mu) = 1/2: growth from the frozen edge
_LOG_TWO_MU = 1.1873487661494346
_TOLERANCE = 1e-8


@dataclass(frozen=True, slots=True)
class Hysteresis:
    """Where <Jz> = 0 in scans up and down.

    Attributes:
        atoms: N, or math.inf.
        rate: r.
        decay: gamma.
        up: s of the crossing upward, above zero.
        down: s of the crossing downward, below zero.
    """

    atoms: float
    rate: float
    decay: float
    up: float
    down: float

    @property
    def width(self) -> float:
        """H = s_up - s_down (Fig. 4), deterministic: not an uncertainty."""
        return self.up - self.down

    @property
    def midpoint(self) -> float:
        """(s_up + s_down)/2: zero up to O(1/N), so that averaging the two removes the shift."""
        return 0.5 * (self.up + self.down)

    @property
    def pump_width(self) -> float:
        """Delta w_H = (2 gamma/N) H, in the unit of gamma (Eq. 8)."""
        return 2.0 * self.decay / self.atoms * self.width


@dataclass(frozen=True, slots=True)
class ScanPrecision:
    """What one scan tells about the critical pump when Jz is fully resolved.

    Attributes:
        std: of s_hat = s_end - int (1+x)/2 ds (less its known mean), one scan.
        duration: time of one scan.
        root_time: std sqrt(duration gamma): the std of many scans is root_time/sqrt(gamma T).
        pump_std: (2 gamma/N) std, of w, one scan.
    """

    std: float
    duration: float
    root_time: float
    pump_std: float


def hysteresis(atoms: float, rate: float, *, decay: float = 1.0) -> Hysteresis:
    """Crossings of <Jz> = 0 in scans up and down, each begun in its steady state (Fig. 4).

    The scans begin at |s| = max(15, 8 sqrt(r/gamma)); upward no lower than w = 0.

    Args:
        atoms: N, or math.inf for the width in which all N collapse (Fig. 4b).
        rate: r, in the unit of `decay`.
        decay: gamma.

    Raises:
        ValueError: when a scan down would reach w = 0 before it crosses.
    """
    nu, speed = checked_rate(atoms, rate, decay)
    reach = max(15.0, 8.0 * math.sqrt(speed))
    lowest = -math.inf if nu == 0.0 else -0.5 * atoms
    up = _crossing(nu, max(-reach, lowest), reach, speed)
    down = _crossing(nu, reach, max(-reach, lowest), speed)
    if up is None or down is None:
        raise ValueError(
            f"Argument `rate` must be slow enough to cross before w = 0, but is {rate!r} for "
            f"N = {atoms!r} atoms."
        )
    return Hysteresis(atoms, float(rate), float(decay), up, down)


def hysteresis_law(rate: float, *, decay: float = 1.0) -> float:
    """H of fast scans, 2 sqrt((r/gamma) [ln(r/(4 pi gamma))/2 + 1.187349]), any large N.

    It replaces the lower line of Eq. 8, whose sqrt(2 r) is low by 1.6 at r = 16 gamma and by
    2.6 at 1000 gamma, and the fitted exponent 0.61 of Fig. 4, a local slope that tends to
    1/2. Errors: +1.2 % at r = 16 gamma, +0.16 % at 1024 gamma.

    Raises:
        ValueError: below r = 4 gamma, where the law does not hold; use `hysteresis`.
    """
    speed = positive(rate, "rate") / positive(decay, "decay")
    if speed < 4.0:
        raise ValueError(
            f"Argument `rate` must be at least 4 times `decay` for the law of fast scans, but "
            f"is {rate!r}; `hysteresis` holds at any rate."
        )
    return 2.0 * math.sqrt(speed * (0.5 * math.log(speed / (4.0 * math.pi)) + _LOG_TWO_MU))


def hysteresis_width_printed(rate: float, *, decay: float = 1.0) -> float:
    """H as printed in Eq. 8: r/gamma for slow scans (right), sqrt(2 r/gamma) for fast ones (low).

    The two lines meet at r = 2 gamma.
    """
    speed = positive(rate, "rate") / positive(decay, "decay")
    return speed if speed < 2.0 else math.sqrt(2.0 * speed)


def scan_precision(
    atoms: float, rate: float, *, decay: float = 1.0, half_range: float | None = None
) -> ScanPrecision:
    """Standard deviation of the critical pump from one scan upward, Jz fully resolved.

    The estimate is the area under the curve, and its variance follows exactly from the
    two-time correlations of x along the scan. This replaces Eq. 9, which takes the width
    of the hysteresis for an error; the 1/N of Eq. 9 stays. Derived here, not in the paper.

    Args:
        atoms: N, or math.inf (pump_std is then 0).
        rate: r, in the unit of `decay`.
        decay: gamma.
        half_range: the scan goes from -half_range to +half_range; by default the larger of
            8 and 4.2 sqrt(r/gamma), or N/2 where that is less.

    Raises:
        ValueError: when half_range exceeds N/2.
    """
    nu, speed = checked_rate(atoms, rate, decay)
    default = min(max(8.0, 4.2 * math.sqrt(speed)), 0.5 * atoms)
    reach = default if half_range is None else positive(half_range, "half_range")
    on_ladder(-reach, atoms, "half_range")
    std = 0.5 * speed * math.sqrt(_area_variance(nu, reach, speed))
    duration = 2.0 * reach / speed
    return ScanPrecision(
        std=std,
        duration=duration / decay,
        root_time=std * math.sqrt(duration),
        pump_std=2.0 * decay * nu * std,
    )


def crossing_jitter(rate: float, *, decay: float = 1.0) -> float:
    """Std of s at the first crossing in one fast scan, 0.64 r/s_up (r >> gamma, large N)."""
    return 0.64 * (rate / decay) / (0.5 * hysteresis_law(rate, decay=decay))


def _crossing(nu: float, start: float, stop: float, speed: float) -> float | None:
    """s at the first zero of <x>, none when it is not reached."""
    b = couplings(nu, 3)
    for step in march(nu, start, stop, speed, None, _TOLERANCE):
        found = zero_of(first_moment(b, step))
        if found is not None:
            time = step.start + found * step.length
            return start + math.copysign(speed, stop - start) * time
    return None


def _area_variance(nu: float, reach: float, speed: float) -> float:
    """Var int x dt over the scan from -reach to reach: twice the integral of Cov(x, area)."""
    last = modes_needed(math.inf if nu == 0.0 else round(1.0 / nu), reach)
    solver, b = ElementSolver(mode_ramp(nu, last)), couplings(nu, last + 1)
    rule = tableau()
    area, variance = np.zeros((last + 1, 1)), 0.0
    for step in march(nu, -reach, reach, speed, None, _TOLERANCE):
        source = centred_x(b, step.values)[:, 1:]
        factors = Factors(solver, -reach + speed * step.start, speed, step.length)
        values = factors.solve(area, source)
        area = values[:, -1]
        variance += 2.0 * step.length * float(rule.weights @ (b[1] * values[1, :, 0]))
    return variance
