"""Where to hold the pump next: the windows that are expected to tell the critical pump best.

At the critical pump the counts follow it most, but they follow the gain as well. A few windows far
above it, where all atoms are up whatever the pump, tell the gain. Which of the two is worth more
depends on how well the calibrations know the gain, and on the windows so far: of all pumps that
can be set, the one is taken after which the critical pump's variance is expected to be least.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline

from ..models.pumped_superradiance import PumpedEnsemble
from ..models.pumped_superradiance_counts import FluorescenceReadout, hold_bound
from .pumping_chain import ChainValues

Array = NDArray[np.float64]

OFFSETS = (-12.0, -8.0, -5.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0)
"""s = N (u/u_c - 1)/2 of the pumps to choose from."""

_KNOTS = np.sinh(np.linspace(-3.5, 3.5, 29)) * (30.0 / math.sinh(3.5))  # s, dense where it bends
_LEAST_RATIO = 1e-2  # u/u_c: few atoms have no pump at the lowest s
_STEP = 1e-3  # of ln gamma
_NODES = math.sqrt(3.0) * np.array([-1.0, 0.0, 1.0])  # Gauss-Hermite: u_c may be elsewhere
_WEIGHTS = np.array([1.0, 4.0, 1.0]) / 6.0


class HoldDesign:
    """Information of windows of one length, tabulated over the pump.

    Args:
        atoms: N.
        decay: gamma, believed, per unit of time.
        time: Length of a window.
    """

    def __init__(self, atoms: int, decay: float, time: float) -> None:
        self._atoms, self._time = atoms, time
        ratios = np.unique(np.maximum(1.0 + 2.0 * _KNOTS / atoms, _LEAST_RATIO))
        unit = FluorescenceReadout(1.0, 0.0)

        def law(rate: float) -> Array:
            found = [hold_bound(PumpedEnsemble(atoms, rate * r, rate), unit, time) for r in ratios]
            return np.array([[one.mean, one.variance - one.mean] for one in found])

        middle = law(decay)
        moved = (law(decay * math.exp(_STEP)) - law(decay * math.exp(-_STEP))) / (2.0 * _STEP)
        logs = np.log(ratios)
        self._ends = float(logs[0]), float(logs[-1])
        self._area = CubicSpline(logs, middle[:, 0])  # of 1 + <x>
        self._noise = CubicSpline(logs, middle[:, 1])  # Var int x dt
        self._noise_by_decay = CubicSpline(logs, moved[:, 1])

    def information(self, log_ratios: Array, half_rate: float, background: float) -> Array:
        """(..., 4, 4) of one window on ln u_c, ln a, b and ln gamma; Gaussian counts.

        Args:
            log_ratios: (...,) ln(u/u_c).
            half_rate, background: a and b, per unit of time.
        """
        x, a, time = np.clip(log_ratios, *self._ends), half_rate, self._time
        area, noise = a * self._area(x), a * a * self._noise(x)
        by_pump = -a * self._area(x, 1)
        variance = area + background * time + noise
        constant = np.full_like(area, time)
        by_mean = np.stack([by_pump, area, constant, np.zeros_like(area)], axis=-1)
        by_variance = by_mean.copy()
        by_variance[..., 0] -= a * a * self._noise(x, 1)
        by_variance[..., 1] += 2.0 * noise
        by_variance[..., 3] += a * a * self._noise_by_decay(x)
        v = variance[..., None, None]
        found: Array = by_mean[..., :, None] * by_mean[..., None, :] / v
        return found + 0.5 * by_variance[..., :, None] * by_variance[..., None, :] / v**2

    def pumps(self, critical: float, limits: tuple[float, float]) -> Array:
        """What there is to choose from, about a critical pump and within limits."""
        offered = critical * (1.0 + 2.0 * np.array(OFFSETS) / self._atoms)
        inside: Array = np.unique(np.clip(offered, *limits))
        return inside

    def next_pump(
        self, known: Array, values: ChainValues, limits: tuple[float, float], windows: int
    ) -> float:
        """The pump for the next windows, in the unit of the critical one.

        Args:
            known: (4, 4) information so far on ln u_c, ln a, b and ln gamma, priors included.
            values: As they are believed by now.
            limits: Lowest and highest pump that can be set.
            windows: How many will be taken there.
        """
        pumps = self.pumps(values.critical, limits)
        std = math.sqrt(float(np.linalg.inv(known)[0, 0]))
        most = math.log(limits[1] / limits[0])
        offsets = np.log(pumps / values.critical)[:, None] - min(std, most) * _NODES
        new = self.information(offsets, values.half_rate, values.background)
        variances = np.linalg.inv(known + windows * new)[..., 0, 0] @ _WEIGHTS
        return float(pumps[int(np.argmin(variances))])

    def visits(
        self,
        prior: ArrayLike,
        truth: ChainValues,
        first: float,
        limits: tuple[float, float],
        rounds: int,
        windows: int,
    ) -> Array:
        """(rounds,) pumps of a run as they are to be expected.

        Each estimate is taken to be the truth, with the error that it would have.

        Args:
            prior: (4, 4) information of the calibrations.
            truth: What the run would find.
            first: Pump of the first round.
            limits: Lowest and highest pump.
            rounds, windows: How often the pump is chosen, and windows of each.
        """
        total, visited = np.array(prior, dtype=np.float64), [first]
        for _ in range(rounds - 1):
            here = np.array(math.log(visited[-1] / truth.critical))
            total += windows * self.information(here, truth.half_rate, truth.background)
            visited.append(self.next_pump(total, truth, limits, windows))
        return np.array(visited)
