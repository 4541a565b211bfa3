"""Where the counts of ramps pass the half level: width of the hysteresis, and its middle.

Straight lines through the mean counts of neighbouring places. A line is no curve: by how much the
same line through the expected means of these places misses the pump at which these means, stair by
stair, pass the half level, is taken from it. So the width is that of the stairs as they were
played, at any distance of the places; the dynamics enters through this difference alone.
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
    likelihood: RampLikelihood,
    gain: float,
    background: float,
    level_std: float,
    rates: tuple[float, float] | None = None,
) -> Crossings:
    """Crossings of the level of half of the atoms, g N/2 + b.

    Args:
        likelihood: With the counts.
        gain, background: Of the half level.
        level_std: Its standard deviation.
        rates: u_c and gamma, by which straight lines are corrected for the curve between places;
            None leaves them straight.
    """
    atoms = likelihood.beliefs.atoms
    half = 0.5 * gain * atoms + background
    if not likelihood.places:
        return Crossings(None, None, 0.0)
    means, shots = likelihood.means()
    weights = shots / np.maximum(likelihood.spreads(), 1e-12)
    pumps = likelihood.ramp_pumps
    direction = np.array([place.direction for place in likelihood.places])
    expected = None if rates is None else likelihood.numbers(*rates) - 0.5 * atoms
    found: dict[int, tuple[float, float] | None] = {1: None, -1: None}
    slopes = []
    for way in (1, -1):
        near = _next_to_half(pumps, means - half, np.flatnonzero(direction == way))
        line = None if near is None else _line(pumps[near], means[near] - half, weights[near])
        if near is None or line is None:
            continue
        pump, std, slope = line
        counted = pumps[direction == way]
        if not counted.min() <= pump <= counted.max():
            continue
        if rates is not None and expected is not None:
            straight = _line(pumps[near], expected[near], weights[near])
            curved = likelihood.half_excited(way, *rates)
            if straight is None or curved is None:
                continue
            pump += curved - straight[0]
        found[way] = pump, std
        slopes.append(slope)
    common = level_std / float(np.mean(slopes)) if slopes else 0.0
    return Crossings(found[1], found[-1], common)


def _next_to_half(pumps: Array, heights: Array, mine: NDArray[np.intp]) -> NDArray[np.intp] | None:
    """The places of one direction next to the half level; None where it is not passed."""
    if mine.size < _NEIGHBOURS:
        return None
    mine = mine[np.argsort(pumps[mine])]
    above = heights[mine] > 0.0
    if above.all() or not above.any():
        return None
    # With noise there may be several changes of side: the middle of them.
    changes = np.flatnonzero(np.diff(above.astype(np.int8)))
    middle = int(round(float(np.mean(changes)) + 0.5))
    first = min(max(0, middle - _NEIGHBOURS // 2), mine.size - _NEIGHBOURS)
    return mine[first : first + _NEIGHBOURS]


def _line(u: Array, heights: Array, weight: Array) -> tuple[float, float, float] | None:
    """Zero of a straight line through heights, its std, and the slope."""
    centre = float(weight @ u / weight.sum())
    offset = u - centre
    slope = float(weight @ (offset * heights) / (weight @ offset**2))
    height = float(weight @ heights / weight.sum())
    if slope <= 0.0:
        return None
    zero = centre - height / slope
    variance = 1.0 / weight.sum() + (zero - centre) ** 2 / float(weight @ offset**2)
    return zero, math.sqrt(variance) / slope, slope
