r"""Rates of two relaxing ensembles from their populations and the light that the cavity gave.

As `relaxation_trace`, and in every shot the photons that left the cavity during its hold are
counted with efficiency eta and background beta t. The joint distribution of photons and atoms is
not needed: given the counts y of the atoms the light k has, exactly,

    E[k|y] = eta mu(y) + beta t,       Var[k|y] = eta mu + eta^2 (nu - mu^2) + beta t,

mu and nu the first two factorial moments of the photons in shots that end so (models). The atoms
enter with their exact likelihood, the light with (k - E)^2/Var, the variance taken where the
populations alone say: bunched light (Fano factors of 2 to 4) gets the weight that it deserves, and
no more than two moments of it are used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..models.relaxation_outcomes import RelaxingOutcomes, RelaxingPhotons
from .estimate import GoodnessOfFit
from .pumping_beliefs import Calibrated
from .pumping_posterior import Coordinate, Coordinates
from .records import (
    RecordError,
    good_shots,
    read_column,
    read_counts,
    refuse_beyond,
    refuse_unknown,
)
from .relaxation_beliefs import RelaxationBeliefs
from .relaxation_check import check_relaxation
from .relaxation_trace import LONGEST, RelaxationPosterior, RelaxationTrace
from .scoring import Optimum, Point, maximise

Array = NDArray[np.float64]

LEAST_VARIANCE = 0.02
"""Of the light of one shot: holds so short that hardly a photon comes do not rule the fit."""

_SMALLEST = 1e-290
_ROOM = math.log(3.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LightBeliefs(RelaxationBeliefs):
    """Beliefs for populations and light against hold time.

    Args:
        efficiency: eta, counts of each photon that leaves the cavity.
        output_background: beta, counts in a unit of the hold time without any photon.

    Raises:
        ValueError: on values outside these rules.
    """

    efficiency: Calibrated
    output_background: Calibrated

    def __post_init__(self) -> None:
        RelaxationBeliefs.__post_init__(self)
        if not 0.0 < self.efficiency.value <= 1.0:
            raise ValueError(
                "Argument `efficiency` must be above 0 and at most 1, but is "
                f"{self.efficiency.value!r}."
            )

    @property
    def populations(self) -> RelaxationBeliefs:
        """The beliefs without the light."""
        names = (one.name for one in fields(RelaxationBeliefs))
        return RelaxationBeliefs(**{name: getattr(self, name) for name in names})

    def coordinates(self) -> Coordinates:
        """As without light, with ln efficiency and the output's background before the gain."""
        found = list(RelaxationBeliefs.coordinates(self).all)
        middle, dark = math.log(self.efficiency.value), self.output_background
        top = dark.value + 10.0 * dark.std
        found[-2:-2] = [
            Coordinate("efficiency", "", middle - _ROOM, min(middle + _ROOM, 0.0), self.efficiency),
            Coordinate("output_background", "1/s", 0.0, top, dark, linear=True),
        ]
        return Coordinates(found)


class RelaxationLight(RelaxationTrace):
    """Gamma, Omega, |Delta| (and chi where it is free) from populations and the cavity's light.

    Args:
        beliefs: atoms, calibrations, and the counter of the light.

    Quantities: those of `RelaxationTrace`, "efficiency", and "output_background".
    """

    name: ClassVar[str] = "relaxation_light"

    def __init__(self, beliefs: LightBeliefs) -> None:
        super().__init__(beliefs)
        self._lit = beliefs

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of shots.

        Args:
            records: "counts" (shots, 2); "light" (shots,), counts of the cavity's output during
                the hold; "time" (shots,), the hold, up to 300/Gamma; "status" (shots,), optional:
                only shots with 1 are used.

        Raises:
            RecordError: on columns that cannot be used; nothing of the block is kept.
        """
        refuse_unknown(records, ("counts", "time", "light"))
        counts, rejected = read_counts(records)
        shots = len(counts) + rejected
        good = good_shots(records, shots)
        beliefs = self._lit
        longest = LONGEST / (2.0 * math.pi * beliefs.collective_decay.value)
        times = read_column(records, "time", (shots,), good, lowest=0.0, highest=longest)
        light = read_column(records, "light", (shots,), good, lowest=0.0, highest=2.0**53)
        if np.any(light != np.floor(light)):
            raise RecordError("Column `light` must hold whole numbers: counts of the output.")
        refuse_beyond(counts, beliefs.largest_mean, beliefs.gain.std / beliefs.gain.value)
        self._rejected += rejected
        if len(counts):
            self._blocks.append(np.column_stack([times, counts, light]))

    def _fitted(
        self, coordinates: Coordinates, shots: Array, repeats: Array
    ) -> tuple[RelaxationPosterior, Optimum]:
        plain = RelaxationBeliefs.coordinates(self._lit)
        alone = RelaxationPosterior(self._lit, plain, shots, repeats)
        first = maximise(alone, alone.start).point.x
        middle = coordinates.centre[-4:-2]
        pilot = np.concatenate([first[:-2], middle, first[-2:]])
        posterior = LightPosterior(self._lit, coordinates, shots, repeats)
        posterior.weigh(pilot)
        return posterior, maximise(posterior, pilot)

    def _assumptions(self) -> tuple[str, ...]:
        return (
            *super()._assumptions(),
            "light: counts of the cavity's output during the hold, all of it, by mean and variance "
            "on the outcome of the atoms; efficiency and background within their calibrations; no "
            "dead time",
        )


class LightPosterior(RelaxationPosterior):
    """As without light, with the light's squared residuals; `weigh` it first."""

    with_photons: ClassVar[bool] = True

    def __init__(
        self, beliefs: LightBeliefs, coordinates: Coordinates, shots: Array, repeats: Array
    ) -> None:
        super().__init__(beliefs, coordinates, shots, repeats)
        self._light = shots[:, 3]
        self._variance = np.ones(len(shots))

    def weigh(self, x: Array) -> None:
        """Take the variance of the light at x, with the efficiency that fits the light there."""
        mean, pairs = np.empty((2, len(self._light)))
        outcomes = self.outcomes(x)
        photons = photons_of(outcomes)
        for number, part in enumerate(self._parts):
            tables = np.stack(
                [outcomes.probability[number], photons.mean[number], photons.pairs[number]]
            )
            fold = self._fold(part, math.exp(x[-2]), float(x[-1])).fold(tables)
            density = np.maximum(fold[:, 0], _SMALLEST)
            mean[part], pairs[part] = fold[:, 1] / density, fold[:, 2] / density
        dark = float(x[-3]) * self._holds()
        seen = float(self._repeats @ (self._light - dark)) / max(float(self._repeats @ mean), 1e-9)
        efficiency = min(max(seen, math.exp(self.lower[-4])), math.exp(self.upper[-4]))
        variance = efficiency * mean + efficiency**2 * (pairs - mean**2) + dark
        self._variance = np.maximum(variance, LEAST_VARIANCE)

    def _holds(self) -> Array:
        holds = np.empty(len(self._light))
        for time, part in zip(self.times, self._parts, strict=True):
            holds[part] = time
        return holds

    def evaluate(self, x: Array) -> Point:
        """Log posterior, gradient, and information: outer products, the light's expected."""
        outcomes = self.outcomes(x)
        photons = photons_of(outcomes)
        efficiency, rates = math.exp(x[-4]), x.size - 4
        scores, mean = np.zeros((len(self._light), x.size)), np.empty(len(self._light))
        by, logs = np.zeros_like(scores), np.empty(len(self._light))
        for number, part in enumerate(self._parts):
            fold = self._fold(part, math.exp(x[-2]), float(x[-1]))
            atoms, light = (
                fold.fold_with_slopes(np.concatenate([one[None, number], slopes[:, number]]))
                for one, slopes in (
                    (outcomes.probability, outcomes.slopes),
                    (photons.mean, photons.slopes),
                )
            )
            density = np.maximum(atoms.values[:, 0], _SMALLEST)
            logs[part] = np.log(density)
            scores[part, :rates] = atoms.values[:, 1:] / density[:, None]
            scores[part, -2] = atoms.by_log_gain / density
            scores[part, -1] = atoms.by_background / density
            mu = light.values[:, 0] / density
            by[part, :rates] = light.values[:, 1:] / density[:, None]
            by[part, -2], by[part, -1] = light.by_log_gain / density, light.by_background / density
            by[part] = efficiency * (by[part] - mu[:, None] * scores[part])
            by[part, -4], by[part, -3] = efficiency * mu, self.times[number]
            mean[part] = efficiency * mu + x[-3] * self.times[number]
        off = (self._light - mean) / self._variance
        weighed = by * (self._repeats / self._variance)[:, None]
        value = self._repeats @ (logs - 0.5 * off * (self._light - mean))
        gradient = self._repeats @ (scores + by * off[:, None])
        information = (scores * self._repeats[:, None]).T @ scores + weighed.T @ by
        self._residual = self._light - mean, by
        return self.coordinates.with_prior(x, float(value), gradient, information)

    def check(self, optimum: Optimum) -> GoodnessOfFit | None:
        """Moments of the counts by hold, sums of the light by hold, and the calibrations."""
        x = optimum.point.x
        self.evaluate(x)
        off, by = self._residual
        shots = np.array([float(self._repeats[part].sum()) for part in self._parts])
        sums = [
            np.array([self._repeats[part] @ one[part] for part in self._parts])
            for one in (off, self._variance, by)
        ]
        return check_relaxation(
            self.coordinates,
            optimum,
            self.outcomes(x),
            shots,
            [(self._counts[part], self._repeats[part]) for part in self._parts],
            self._beliefs.spin,
            (sums[0], sums[1], sums[2]),
        )


def photons_of(outcomes: RelaxingOutcomes) -> RelaxingPhotons:
    """The photons of outcomes that were solved with them."""
    if outcomes.photons is None:
        raise ValueError("the outcomes were solved without their photons")
    return outcomes.photons
