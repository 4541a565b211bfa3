"""Critical pump and decay from snapshots along ramps of the pump, up and down.

Each shot begins in the steady state of the ramp's first pump, climbs a number of equal stairs
and is counted in a gate much shorter than 1/gamma: P(y) = sum_n p_n Poisson(y; g n + b), with p_n
the populations after just these stairs. Up and down lag behind to opposite sides: their middle
is u_c, their distance tells gamma.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import Estimate, GoodnessOfFit, Quantity
from .pumping_check import residual_test
from .pumping_posterior import (
    Coordinate,
    Coordinates,
    check_level,
    common_flags,
    quantities_of,
    undetermined,
)
from .pumping_ramps_model import RampBeliefs, RampLikelihood, Stairs, read_ramps
from .pumping_ramps_width import Crossings, crossings_of
from .scoring import Optimum, Point, maximise

Array = NDArray[np.float64]

NAME = "pumping_ramps"
FEWEST_SHOTS = 40
_TEST = "mean counts after each number of stairs, and the calibrations"
_MOST_EVALUATIONS = 25
_DECAY_REACH = 1.5  # of ln gamma about its belief
_WIDTH = 40.0  # of u_c beyond the pumps, in units of u_c/N


class PumpingRamps:
    """Likelihood of counts along ramps; u_c and gamma free, g and b within calibrations.

    Args:
        beliefs: N, the ramps and the calibrations.

    Quantities: "critical_pump" (unit of the knob), "decay" (per unit of time), "gain",
    "background", and where both directions cross it "hysteresis_width" and "midpoint" of the
    half level (unit of the knob), of the stairs as they were played.
    """

    def __init__(self, beliefs: RampBeliefs) -> None:
        self._beliefs = beliefs
        self._seen: dict[Stairs, dict[int, int]] = {}
        self._rejected = 0

    @property
    def beliefs(self) -> RampBeliefs:
        """What was believed before the first shot."""
        return self._beliefs

    @property
    def shots(self) -> int:
        """Shots used so far."""
        return sum(sum(seen.values()) for seen in self._seen.values())

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of shots.

        Args:
            records: "counts" (shots, 1); "direction" (shots,), 1 up or -1 down; "stairs"
                (shots,), how many were climbed; "status" (shots,), optional. Other columns, such as
                the pump itself, are ignored.

        Raises:
            RecordError: on columns that cannot be used; nothing of the block is kept.
        """
        block, rejected = read_ramps(records, self._beliefs)
        self._rejected += rejected
        for place, count in block:
            seen = self._seen.setdefault(place, {})
            seen[count] = seen.get(count, 0) + 1

    def estimate(self, level: float = 0.95) -> Estimate:
        """All free numbers; intervals from the curvature."""
        check_level(level)
        likelihood = RampLikelihood(self._beliefs, self._seen)
        coordinates = ramp_coordinates(self._beliefs)
        facts: dict[str, Any] = {"shots": self.shots, "rejected_shots": self._rejected}
        reason = self._refusal()
        if reason:
            return undetermined(NAME, coordinates, reason, level, _assumptions(), facts)
        posterior = RampPosterior(likelihood, coordinates)
        optimum = maximise(
            posterior, self._start(likelihood, coordinates), iterations=_MOST_EVALUATIONS
        )
        check = posterior.check(optimum)
        quantities, covariance, open_names = quantities_of(coordinates, optimum, {}, level)
        crossings = self._crossings(likelihood, optimum)
        flags = common_flags(optimum, check, open_names)
        if len({place.direction for place in self._seen}) < 2:
            flags.append("ramps in one direction only: u_c rests on the lag of the model")
        first = coordinates.all[0]
        return Estimate(
            estimator=NAME,
            shots=self.shots,
            quantities={**quantities, **crossings.quantities(level)},
            names=coordinates.names,
            covariance=covariance,
            goodness_of_fit=check,
            diagnostics={
                "flags": [*flags, *crossings.flags],
                "log_likelihood": optimum.point.value,
                "converged": optimum.converged,
                "evaluations": optimum.iterations,
                "interval": "curvature",
                "crossings": crossings.to_json(),
                "rejected_shots": self._rejected,
            },
            assumptions=_assumptions(),
            identifiable=(first.natural(first.lower), first.natural(first.upper)),
        )

    def quick(self, level: float = 0.95) -> Estimate:
        """From the half-level crossings alone, gamma as believed; the fit where there are none."""
        likelihood = RampLikelihood(self._beliefs, self._seen)
        known = self._beliefs
        counts = known.gain.value, known.background.value
        middle = crossings_of(likelihood, *counts, 0.0).midpoint or known.critical_pump
        crossings = crossings_of(likelihood, *counts, 0.0, (middle, known.decay))
        found = crossings.quantities(level)
        if self._refusal() or "midpoint" not in found:
            return self.estimate(level)
        reach = _DECAY_REACH * known.decay
        return Estimate(
            estimator=f"{NAME} (crossings)",
            shots=self.shots,
            quantities={
                "critical_pump": found["midpoint"],
                "decay": Quantity(known.decay, reach, (known.decay / 5, known.decay * 5), level),
                "gain": _known(known.gain.value, known.gain.std, level),
                "background": _known(known.background.value, known.background.std, level),
                **found,
            },
            names=("critical_pump",),
            covariance=np.array([[found["midpoint"].std ** 2]]),
            goodness_of_fit=None,
            diagnostics={"flags": [], "crossings": crossings.to_json()},
            assumptions=("the half level is that of the calibrated gain and background",),
            identifiable=(0.0, max(max(known.up), max(known.down))),
        )

    def _refusal(self) -> str:
        if self.shots < FEWEST_SHOTS:
            return f"{self.shots} usable shots, at least {FEWEST_SHOTS} are needed"
        if len({count for seen in self._seen.values() for count in seen}) < 2:
            return "every shot has the same counts"
        return ""

    def _start(self, likelihood: RampLikelihood, coordinates: Coordinates) -> Array:
        """Calibrations, and the crossings' middle as u_c where there is one."""
        known = self._beliefs
        found = crossings_of(likelihood, known.gain.value, known.background.value, 0.0)
        middle = found.midpoint or known.critical_pump
        start = np.array(
            [
                math.log(middle),
                math.log(known.decay),
                math.log(known.gain.value),
                known.background.value,
            ]
        )
        inside: Array = np.clip(start, coordinates.lower, coordinates.upper)
        return inside

    def _crossings(self, likelihood: RampLikelihood, optimum: Optimum) -> Crossings:
        gain, background = math.exp(optimum.point.x[2]), float(optimum.point.x[3])
        slope = np.array([0.0, 0.0, 0.5 * self._beliefs.atoms * gain, 1.0])
        level_std = math.sqrt(max(0.0, float(slope @ optimum.covariance @ slope)))
        rates = math.exp(optimum.point.x[0]), math.exp(optimum.point.x[1])
        return crossings_of(likelihood, gain, background, level_std, rates)


class RampPosterior:
    """Log-likelihood of all shots plus log-prior, for the scoring engine."""

    def __init__(self, likelihood: RampLikelihood, coordinates: Coordinates) -> None:
        self._likelihood, self._coordinates = likelihood, coordinates
        self.lower, self.upper = coordinates.lower, coordinates.upper

    def evaluate(self, x: Array) -> Point:
        """Value, gradient and outer-product information."""
        logs, scores, repeats = self._likelihood.evaluate(*_values(x))
        weighed = scores * repeats[:, None]
        return self._coordinates.with_prior(
            x, float(logs @ repeats), weighed.sum(axis=0), weighed.T @ scores
        )

    def check(self, optimum: Optimum) -> GoodnessOfFit | None:
        """Residuals of the mean counts, with what the fit took out of them."""
        x = optimum.point.x
        mean, variance, slopes = self._likelihood.moments(*_values(x))
        found, shots = self._likelihood.means()
        root = np.sqrt(self._coordinates.weight)
        held = root > 0.0
        return residual_test(
            found - mean,
            np.diag(variance / shots),
            slopes,
            optimum.covariance,
            (root * (x - self._coordinates.centre))[held],
            np.diag(root)[held],
            _TEST,
        )


def ramp_coordinates(beliefs: RampBeliefs) -> Coordinates:
    """ln u_c, ln gamma, ln g and b."""
    pumps = np.array([*beliefs.up, *beliefs.down])
    width = _WIDTH / beliefs.atoms
    decay = math.log(beliefs.decay)
    found = [
        Coordinate(
            "critical_pump",
            "",
            math.log(float(pumps[pumps > 0.0].min())) - width,
            math.log(float(pumps.max())) + width,
        ),
        Coordinate("decay", "1/time", decay - _DECAY_REACH, decay + _DECAY_REACH),
    ]
    middle, spread = math.log(beliefs.gain.value), beliefs.gain.std / beliefs.gain.value
    found.append(Coordinate("gain", "", middle - 8.0 * spread, middle + 8.0 * spread, beliefs.gain))
    b = beliefs.background
    found.append(Coordinate("background", "", 0.0, b.value + 10.0 * b.std, b, linear=True))
    return Coordinates(found)


_NEVER = math.log(1e-13)
"""Logarithm of a probability that adds no information."""


def ramp_information(
    beliefs: RampBeliefs, values: tuple[float, float, float, float], shots: Mapping[Stairs, int]
) -> Array:
    """(4, 4) information on ln u_c, ln gamma, ln g and b, calibrations included."""
    critical, decay, gain, background = values
    most = gain * beliefs.atoms + background
    top = math.ceil(most + 8.0 * math.sqrt(most) + 10.0)
    every = {place: dict.fromkeys(range(top), 1) for place in shots}
    likelihood = RampLikelihood(beliefs, every)
    logs, scores, _ = likelihood.evaluate(critical, decay, gain, background)
    # Of what practically never happens the score is a rounding error over next to nothing.
    scores = np.where((logs > _NEVER)[:, None], scores, 0.0)
    repeats = np.array([shots[place] for place in likelihood.pairs_places()], dtype=np.float64)
    weighed = scores * (np.exp(logs) * repeats)[:, None]
    found: Array = weighed.T @ scores + np.diag(ramp_coordinates(beliefs).weight)
    return found


def _values(x: Array) -> tuple[float, float, float, float]:
    return math.exp(x[0]), math.exp(x[1]), math.exp(x[2]), float(x[3])


def _known(value: float, std: float, level: float) -> Quantity:
    return Quantity(value, std, (value - 2.0 * std, value + 2.0 * std), level)


def _assumptions() -> tuple[str, ...]:
    return (
        "model: every shot begins in the steady state of the ramp's first pump and climbs its "
        "stairs by the exact rate equation; Poisson counts g n + b",
        "N known; u_c and gamma free, g and b within their calibrations",
        "the gate is much shorter than the relaxation",
    )
