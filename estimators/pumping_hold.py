"""Critical pump from counts at a held pump, with a, b and gamma from calibrations.

    mean = [a (1 + <x>) + b] T,   Var = mean + a^2 Var int x dt,

which for T >> 1/gamma is mean + (a T)^2 2 L'(s) tau/T. The counts alone do not tell a, b and
the pump apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.pumped_superradiance import PumpedEnsemble
from ..models.pumped_superradiance_counts import FluorescenceReadout, hold_bound
from .estimate import Estimate, GoodnessOfFit
from .pumping_beliefs import HoldBeliefs
from .pumping_check import residual_test
from .pumping_posterior import (
    Coordinate,
    Coordinates,
    check_level,
    common_flags,
    fit_with_limits,
    quantities_of,
    undetermined,
)
from .pumping_records import read_holds
from .pumping_starts import number_moments
from .scoring import Optimum, Point

Array = NDArray[np.float64]

NAME = "pumping_hold"
SHORTEST_HOLD = 5.0  # 1/gamma: below it counts are far from Gaussian
_TEST = "mean counts at each pump, spread of all counts, and the calibrations"
_FEWEST_FOR_CHECK = 10
_STEP = 1e-4
_SCAN = np.linspace(-12.0, 12.0, 61)


class PumpingHold:
    """Counts of long windows at a held pump; u_c free, a, b and gamma within calibrations.

    Args:
        beliefs: N and the calibrations, without which it cannot be made.

    Quantities: "critical_pump" (unit of the knob), "half_rate", "background", "decay".
    """

    def __init__(self, beliefs: HoldBeliefs) -> None:
        self._beliefs = beliefs
        self._blocks: list[Array] = []
        self._rejected = 0

    @property
    def beliefs(self) -> HoldBeliefs:
        """What was believed before the first window."""
        return self._beliefs

    @property
    def shots(self) -> int:
        """Windows used so far."""
        return sum(len(block) for block in self._blocks)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of windows.

        Args:
            records: "counts" (shots,) or (shots, 1); "pump" (shots,); "time" (shots,), length of
                each window, begun in the steady state; "status" (shots,), optional.

        Raises:
            RecordError: on columns that cannot be used; nothing of the block is kept.
        """
        pump, time, counts, rejected = read_holds(records)
        self._rejected += rejected
        if counts.size:
            self._blocks.append(np.column_stack([pump, time, counts]))

    def estimate(self, level: float = 0.95) -> Estimate:
        """u_c with its profile-likelihood interval, and the nuisances."""
        check_level(level)
        shots = np.concatenate(self._blocks) if self._blocks else np.zeros((0, 3))
        shots = shots[np.lexsort(shots.T[::-1])]
        coordinates = hold_coordinates(self._beliefs, shots)
        facts = {"shots": self.shots, "rejected_shots": self._rejected}
        if not len(shots) or not shots[:, 0].any():
            reason = "no usable window with the pump on"
            return undetermined(NAME, coordinates, reason, level, _assumptions(), facts)
        posterior = HoldPosterior(self._beliefs, coordinates, shots)
        optimum, limits = fit_with_limits(posterior, posterior.start(), level, [0])
        check = posterior.check(optimum)
        quantities, covariance, open_names = quantities_of(coordinates, optimum, limits, level)
        flags = common_flags(optimum, check, open_names)
        low, high = quantities["critical_pump"].interval
        first = coordinates.all[0]
        whole = (first.natural(first.lower), first.natural(first.upper))
        if (low <= whole[0] * 1.0001 or high >= whole[1] * 0.9999) and not open_names:
            flags.append("the pump lies outside the transition: one side of u_c is open")
        if self.shots == 1:
            flags.append("one window: the calibrations decide, and nothing checks them")
        shortest = float(shots[:, 1].min()) * quantities["decay"].value
        if shortest < SHORTEST_HOLD:
            flags.append(f"windows of {shortest:.2g}/gamma are short: the interval is approximate")
        return Estimate(
            estimator=NAME,
            shots=self.shots,
            quantities=quantities,
            names=coordinates.names,
            covariance=covariance,
            goodness_of_fit=check,
            diagnostics={
                "flags": flags,
                "log_likelihood": optimum.point.value,
                "converged": optimum.converged,
                "interval": "profile likelihood for critical_pump, curvature for the others",
                "rejected_shots": self._rejected,
            },
            assumptions=_assumptions(),
            identifiable=whole,
        )


class HoldPosterior:
    """Gaussian law of the counts, exact mean and variance, plus log-prior."""

    def __init__(self, beliefs: HoldBeliefs, coordinates: Coordinates, shots: Array) -> None:
        self._atoms, self.coordinates = beliefs.atoms, coordinates
        settings, place = np.unique(shots[:, :2], axis=0, return_inverse=True)
        self._settings, self._place = settings, place.ravel()
        self._shots = np.bincount(self._place).astype(np.float64)
        self._mean = np.bincount(self._place, shots[:, 2]) / self._shots
        off = shots[:, 2] - self._mean[self._place]
        self._spread = np.bincount(self._place, off**2) / self._shots
        self.lower, self.upper = coordinates.lower, coordinates.upper

    def evaluate(self, x: Array) -> Point:
        """Value, gradient and expected information."""
        mean, variance, by_mean, by_variance = self._law(x)
        off = self._mean - mean
        square = self._spread + off**2
        n = self._shots
        value = -0.5 * float(n @ (np.log(variance) + square / variance))
        gradient = (n * off / variance) @ by_mean
        gradient = gradient + (0.5 * n * (square / variance - 1.0) / variance) @ by_variance
        information = (by_mean.T * (n / variance)) @ by_mean
        information = information + (by_variance.T * (0.5 * n / variance**2)) @ by_variance
        return self.coordinates.with_prior(x, value, gradient, information)

    def start(self) -> Array:
        """The likeliest of a scan of u_c through the transition, a and b as calibrated."""
        centre = self.coordinates.centre.copy()
        middle = float(np.log(self._settings[:, 0].max()))
        trials = middle - 2.0 * _SCAN / self._atoms
        starts = [np.clip(np.append(t, centre[1:]), self.lower, self.upper) for t in trials]
        a, b = math.exp(centre[1]), centre[2]
        scores = []
        for x in starts:
            level = self._level(math.exp(x[0]))
            mean = (a * (1.0 + level) + b) * self._settings[:, 1]
            noise = mean + a * a * self._settings[:, 1] / (3.0 * math.exp(centre[3]))
            scores.append(float(self._shots @ ((self._mean - mean) ** 2 / noise)))
        best: Array = starts[int(np.argmin(scores))]
        return best

    def check(self, optimum: Optimum) -> GoodnessOfFit | None:
        """Residuals of the mean at each setting, and of the spread of all counts."""
        if self._shots.sum() < _FEWEST_FOR_CHECK:
            return None
        x = optimum.point.x
        mean, variance, by_mean, by_variance = self._law(x)
        off, n = self._mean - mean, self._shots
        first = np.sqrt(n / variance) * off
        second = float(n @ ((self._spread + off**2) / variance - 1.0)) / math.sqrt(2.0 * n.sum())
        slopes = by_mean * np.sqrt(n / variance)[:, None]
        spread = (n / variance) @ by_variance / math.sqrt(2.0 * n.sum())
        weight = np.sqrt(self.coordinates.weight)
        held = weight > 0.0
        return residual_test(
            np.append(first, second),
            np.eye(first.size + 1),
            np.vstack([slopes, spread]),
            optimum.covariance,
            (weight * (x - self.coordinates.centre))[held],
            np.diag(weight)[held],
            _TEST,
        )

    def _level(self, critical: float) -> Array:
        """<x> at each setting."""
        ratios = np.log(np.maximum(self._settings[:, 0], 1e-300)) - math.log(critical)
        level: Array = 2.0 * number_moments(self._atoms, np.maximum(ratios, -12.0))[0] / self._atoms
        return level - 1.0

    def _noise(self, critical: float, decay: float) -> Array:
        """Var int x dt at each setting."""
        unit, found = FluorescenceReadout(1.0, 0.0), []
        for pump, time in self._settings:
            ensemble = PumpedEnsemble(self._atoms, decay * float(pump) / critical, decay)
            bound = hold_bound(ensemble, unit, float(time))
            found.append(bound.variance - bound.mean)
        noise: Array = np.maximum(np.array(found), 0.0)
        return noise

    def _law(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Mean, variance (settings,) and their slopes (settings, 4) by u_c, a, b, gamma."""
        critical, a, b, decay = math.exp(x[0]), math.exp(x[1]), float(x[2]), math.exp(x[3])
        time = self._settings[:, 1]
        up, down = math.exp(_STEP), math.exp(-_STEP)
        level, noise = self._level(critical), self._noise(critical, decay)
        by_level = (self._level(critical * up) - self._level(critical * down)) / (2.0 * _STEP)
        by_noise = [
            (self._noise(critical * up, decay) - self._noise(critical * down, decay)),
            (self._noise(critical, decay * up) - self._noise(critical, decay * down)),
        ]
        mean = np.maximum((a * (1.0 + level) + b) * time, 1e-9)
        by_mean = np.column_stack(
            [a * by_level * time, a * (1.0 + level) * time, time, np.zeros_like(time)]
        )
        by_variance = by_mean.copy()
        by_variance[:, 0] += a * a * by_noise[0] / (2.0 * _STEP)
        by_variance[:, 1] += 2.0 * a * a * noise
        by_variance[:, 3] += a * a * by_noise[1] / (2.0 * _STEP)
        return mean, mean + a * a * noise, by_mean, by_variance


def hold_coordinates(beliefs: HoldBeliefs, shots: Array) -> Coordinates:
    """ln u_c, ln a, b and ln gamma."""
    pumps = shots[:, 0][shots[:, 0] > 0.0] if len(shots) else np.ones(1)
    if not pumps.size:
        pumps = np.ones(1)
    width = 30.0 / beliefs.atoms
    low, high = math.log(float(pumps.min())) - width, math.log(float(pumps.max())) + width
    if beliefs.critical_pump is not None:
        known = math.log(beliefs.critical_pump.value)
        low, high = min(low, known - 1.0), max(high, known + 1.0)
    found = [Coordinate("critical_pump", "", low, high, beliefs.critical_pump)]
    for name in ("half_rate", "background", "decay"):
        prior = getattr(beliefs, name)
        if name == "background":
            reach = prior.value + 10.0 * prior.std
            found.append(Coordinate(name, "1/time", 0.0, reach, prior, linear=True))
            continue
        middle, reach = math.log(prior.value), 8.0 * prior.std / prior.value
        found.append(Coordinate(name, "1/time", middle - reach, middle + reach, prior))
    return Coordinates(found)


def _assumptions() -> tuple[str, ...]:
    return (
        "model: Gaussian counts with the exact mean and variance of a hold begun in its steady "
        "state",
        "a, b and gamma free within their calibrations; N known",
    )
