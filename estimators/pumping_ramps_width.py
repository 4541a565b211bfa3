"""Where the counts of ramps pass the half level: width of the hysteresis, and its middle.

No model of the dynamics: straight lines through neighbouring pumps' mean counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from .estimate import Quantity

if TYPE_CHECKING:
    from .pumping_ramps_model import RampLikelihood

Array = NDArray[np.float64]

_NEIGHBOURS = 3
"""Points of the straight line through the half level."""


@dataclass(frozen=True, slots=True)
class Crossings:
    """Pumps at which the mean counts pass the half level.

    Attributes:
        up, down: (pump, std by the counts) of each direction; None where it is not passed.
        common_std: Std that the uncertainty of the half level gives both alike.
    """

    up: tuple[float, float] | None
    down: tuple[float, float] | None
    common_std: float

    @property
    def midpoint(self) -> float | None:
        """Average of up and down: the lags cancel."""
        if self.up is None or self.down is None:
            return None
        return 0.5 * (self.up[0] + self.down[0])

    @property
    def flags(self) -> list[str]:
        """Directions that do not pass the half level."""
        return [
            f"the ramp {name} does not pass the half level within the pumps that are counted"
            for name, found in (("up", self.up), ("down", self.down))
            if found is None
        ]

    def quantities(self, level: float) -> dict[str, Quantity]:
        """Width and midpoint; empty unless both directions cross."""
        if self.up is None or self.down is None:
            return {}
        reach = float(norm.ppf(0.5 + 0.5 * level))
        counted = math.hypot(self.up[1], self.down[1])
        found = {
            "hysteresis_width": (self.up[0] - self.down[0], counted),
            "midpoint": (
                0.5 * (self.up[0] + self.down[0]),
                math.hypot(0.5 * counted, self.common_std),
            ),
        }
        return {
            name: Quantity(value, std, (value - reach * std, value + reach * std), level)
            for name, (value, std) in found.items()
        }

    def to_json(self) -> dict[str, Any]:
        """Up and down, each with its std."""
        return {"up": self.up, "down": self.down, "common_std": self.common_std}


def crossings_of(
    likelihood: RampLikelihood, gain: float, background: float, level_std: float
) -> Crossings:
    """Crossings of the level of half of the atoms, g N/2 + b.

    Args:
        likelihood: With the counts.
        gain, background: Of the half level.
        level_std: Its standard deviation.
    """
    half = 0.5 * gain * likelihood.beliefs.atoms + background
    if not likelihood.places:
        return Crossings(None, None, 0.0)
    means, shots = likelihood.means()
    variances = likelihood.spreads() / shots
    pumps = likelihood.ramp_pumps
    direction = np.array([place.direction for place in likelihood.places])
    found: dict[int, tuple[float, float] | None] = {}
    slopes = []
    for way in (1, -1):
        mine = direction == way
        crossing = _crossing(pumps[mine], means[mine], variances[mine], half)
        found[way] = None if crossing is None else crossing[:2]
        slopes += [] if crossing is None else [crossing[2]]
    common = level_std / float(np.mean(slopes)) if slopes else 0.0
    return Crossings(found[1], found[-1], common)


def _crossing(
    pumps: Array, means: Array, variances: Array, half: float
) -> tuple[float, float, float] | None:
    """Pump, its std, and the slope of a line through the points next to the half level."""
    if pumps.size < 3:
        return None
    order = np.argsort(pumps)
    pumps, means, variances = pumps[order], means[order], np.maximum(variances[order], 1e-12)
    above = means > half
    if above.all() or not above.any():
        return None
    # With noise there may be several changes of side: the middle of them.
    changes = np.flatnonzero(np.diff(above.astype(np.int8)))
    middle = int(round(float(np.mean(changes)) + 0.5))
    first = min(max(0, middle - _NEIGHBOURS // 2), max(0, pumps.size - _NEIGHBOURS))
    part = slice(first, first + _NEIGHBOURS)
    u, m, weight = pumps[part], means[part] - half, 1.0 / variances[part]
    centre = float(weight @ u / weight.sum())
    offset = u - centre
    slope = float(weight @ (offset * m) / (weight @ offset**2))
    height = float(weight @ m / weight.sum())
    if slope <= 0.0:
        return None
    pump = centre - height / slope
    variance = 1.0 / weight.sum() + (pump - centre) ** 2 / float(weight @ offset**2)
    return pump, math.sqrt(variance) / slope, slope
