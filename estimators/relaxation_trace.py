"""Rates of two relaxing ensembles from the atoms counted after holds of different length.

Every shot begins with all atoms down, is driven and damped for its hold t, and both ensembles
are counted: P(y1, y2|t) = sum P(n1, n2; t; Gamma, Omega, Delta, chi) Poisson(y1; g n1 + b)
Poisson(y2; g n2 + b), with the exact joint distribution of the master equation (Chu Eq. 2).

Populations do not know the sign of Delta, and without exchange the two ensembles have equal
ones; |Delta| is estimated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from ..models.relaxation_outcomes import RelaxingOutcomes, relaxing_outcomes
from ..models.two_ensembles import TwoEnsembles
from .counting_kernels import CountFold
from .estimate import Estimate, GoodnessOfFit
from .pumping_posterior import (
    Coordinates,
    check_level,
    common_flags,
    quantities_of,
    undetermined,
)
from .records import good_shots, read_column, read_counts, refuse_beyond, refuse_unknown
from .relaxation_beliefs import RATES, RelaxationBeliefs
from .relaxation_check import check_relaxation
from .relaxation_identifiability import identifiability_flags, least_determined
from .scoring import Optimum, Point, maximise

Array = NDArray[np.float64]

NAME = "relaxation_trace"
FEWEST_SHOTS = 20
LONGEST = 300.0
"""Longest hold times Gamma: far beyond any relaxation, and a sign of mistaken units."""

_SMALLEST = 1e-290
_TWO_PI = 2.0 * math.pi


class RelaxationTrace:
    """Gamma, Omega, |Delta| (and chi where it is free), gain and background.

    Args:
        beliefs: atoms and calibrations.

    Quantities: "collective_decay", "rabi_frequency", "detuning_difference" (ordinary
    frequencies, as in the beliefs), "exchange" where it is free, "gain", "background".
    """

    name: ClassVar[str] = NAME

    def __init__(self, beliefs: RelaxationBeliefs) -> None:
        self._beliefs = beliefs
        self._blocks: list[Array] = []
        self._rejected = 0

    @property
    def beliefs(self) -> RelaxationBeliefs:
        """What was believed before the first shot."""
        return self._beliefs

    @property
    def shots(self) -> int:
        """Shots used so far."""
        return sum(len(block) for block in self._blocks)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of shots.

        Args:
            records: "counts" (shots, 2); "time" (shots,), the hold, up to 300/Gamma; "status"
                (shots,), optional: only shots with 1 are used.

        Raises:
            RecordError: on columns that cannot be used; nothing of the block is kept.
        """
        refuse_unknown(records, ("counts", "time"))
        counts, rejected = read_counts(records)
        shots = len(counts) + rejected
        good = good_shots(records, shots)
        longest = LONGEST / (_TWO_PI * self._beliefs.collective_decay.value)
        times = read_column(records, "time", (shots,), good, lowest=0.0, highest=longest)
        gain = self._beliefs.gain
        refuse_beyond(counts, self._beliefs.largest_mean, gain.std / gain.value)
        self._rejected += rejected
        if len(counts):
            self._blocks.append(np.column_stack([times, counts]))

    def estimate(self, level: float = 0.95) -> Estimate:
        """All free numbers with intervals from the curvature in the logarithms."""
        check_level(level)
        coordinates = self._coordinates()
        shots, repeats = self._distinct()
        facts = {"shots": self.shots, "rejected_shots": self._rejected}
        reason = self._refusal(shots)
        if reason:
            return undetermined(self.name, coordinates, reason, level, self._assumptions(), facts)
        posterior, optimum = self._fitted(coordinates, shots, repeats)
        check = posterior.check(optimum)
        quantities, covariance, open_names = quantities_of(coordinates, optimum, {}, level)
        if "exchange" in quantities:
            quantities["exchange"] = _shifted(quantities["exchange"], self._beliefs.exchange)
        condition, direction = self._identifiability(coordinates, optimum)
        flags = common_flags(optimum, check, open_names)
        shares = {}
        if "exchange" in quantities:
            shares["exchange"] = quantities["exchange"].std / self._beliefs.exchange_std
        flags += identifiability_flags(condition, direction, shares)
        first = coordinates.all[0]
        return Estimate(
            estimator=self.name,
            shots=self.shots,
            quantities=quantities,
            names=coordinates.names,
            covariance=covariance,
            goodness_of_fit=check,
            diagnostics={
                "flags": flags,
                "log_likelihood": optimum.point.value,
                "converged": optimum.converged,
                "evaluations": optimum.iterations,
                "interval": "curvature, in the logarithm of what is above zero",
                "condition_number": condition,
                "least_determined": direction,
                "holds": int(np.unique(shots[:, 0]).size),
                "rejected_shots": self._rejected,
            },
            assumptions=self._assumptions(),
            identifiable=(first.natural(first.lower), first.natural(first.upper)),
        )

    def _coordinates(self) -> Coordinates:
        return self._beliefs.coordinates()

    def _fitted(
        self, coordinates: Coordinates, shots: Array, repeats: Array
    ) -> tuple[RelaxationPosterior, Optimum]:
        posterior = RelaxationPosterior(self._beliefs, coordinates, shots, repeats)
        return posterior, maximise(posterior, posterior.start)

    def _distinct(self) -> tuple[Array, Array]:
        """Distinct (hold, counts 1, counts 2) in order, and how often each was seen."""
        if not self._blocks:
            return np.zeros((0, 4)), np.zeros(0)
        shots, repeats = np.unique(np.concatenate(self._blocks), axis=0, return_counts=True)
        return shots, repeats.astype(np.float64)

    def _refusal(self, shots: Array) -> str:
        if self.shots < FEWEST_SHOTS:
            return f"{self.shots} usable shots, at least {FEWEST_SHOTS} are needed"
        if not shots[:, 0].any():
            return "every hold has no length"
        if len(np.unique(shots[:, 1:3])) < 2:
            return "every shot has the same counts"
        return ""

    def _identifiability(self, coordinates: Coordinates, optimum: Optimum) -> tuple[float, str]:
        """Condition number of what the counts say of the rates, and the poorest combination."""
        scales: dict[str, float] = dict.fromkeys(RATES, 1.0)
        if self._beliefs.free_exchange:
            scales["exchange"] = self._beliefs.exchange_std
        return least_determined(coordinates, optimum, scales)

    def _assumptions(self) -> tuple[str, ...]:
        b = self._beliefs
        chi = (
            f"chi free within {b.exchange:g} +- {b.exchange_std:g}"
            if b.free_exchange
            else f"chi = {b.exchange:g}, known"
        )
        rates = (
            "rates within their calibrations"
            if b.use_rates
            else "rates free: their calibrations only say where to look"
        )
        return (
            "model: exact master equation from all atoms down, constant rates during the hold; "
            "Poisson counts g n + b of both ensembles",
            f"{b.atoms} atoms in each ensemble, known",
            f"{rates}; gain and background within theirs; {chi}",
            "the sign of Delta does not show in populations: its absolute value is given",
            "the atoms stand still from the end of the hold until they are counted",
        )


class RelaxationPosterior:
    """Log-likelihood of distinct shots plus log-prior, for the scoring engine."""

    with_photons: ClassVar[bool] = False

    def __init__(
        self, beliefs: RelaxationBeliefs, coordinates: Coordinates, shots: Array, repeats: Array
    ) -> None:
        self._beliefs, self.coordinates = beliefs, coordinates
        self.times, first = np.unique(shots[:, 0], return_index=True)
        ends = [*first[1:], len(shots)]
        self._parts = [slice(a, b) for a, b in zip(first, ends, strict=True)]
        self._counts = np.ascontiguousarray(shots[:, 1:3])
        self._factorials = gammaln(self._counts + 1.0)
        self._repeats = repeats
        self.lower, self.upper = coordinates.lower, coordinates.upper
        self._solved: tuple[tuple[float, ...], RelaxingOutcomes] | None = None

    @property
    def start(self) -> Array:
        """The calibrations."""
        middle: Array = self.coordinates.centre.copy()
        for index, name in enumerate(RATES):
            middle[index] = math.log(getattr(self._beliefs, name).value)
        return middle

    def evaluate(self, x: Array) -> Point:
        """Log posterior, gradient, and outer-product information plus the prior's."""
        rates = x.size - 2
        gain, background = math.exp(x[-2]), float(x[-1])
        outcomes = self.outcomes(x)
        scores = np.empty((len(self._counts), x.size))
        logs = np.empty(len(self._counts))
        for number, part in enumerate(self._parts):
            tables = np.concatenate(
                [outcomes.probability[None, number], outcomes.slopes[:, number]]
            )
            fold = self._fold(part, gain, background).fold_with_slopes(tables)
            density = np.maximum(fold.values[:, 0], _SMALLEST)
            logs[part] = np.log(density)
            scores[part, :rates] = fold.values[:, 1:] / density[:, None]
            scores[part, -2] = fold.by_log_gain / density
            scores[part, -1] = fold.by_background / density
        weighed = scores * self._repeats[:, None]
        return self.coordinates.with_prior(
            x, float(logs @ self._repeats), weighed.sum(axis=0), weighed.T @ scores
        )

    def _fold(self, part: slice, gain: float, background: float) -> CountFold:
        counts, factorials = self._counts[part], self._factorials[part]
        return CountFold(counts, factorials, gain, background, self._beliefs.atoms)

    def outcomes(self, x: Array) -> RelaxingOutcomes:
        """P(n1, n2) and its slopes at the holds; kept while only the detector changes."""
        rates = self.coordinates.natural(x)[: 3 + self._beliefs.free_exchange]
        key = tuple(map(float, rates))
        if self._solved is None or self._solved[0] != key:
            solved = outcomes_at(self._beliefs, rates, self.times, self.with_photons)
            self._solved = key, solved
        return self._solved[1]

    def check(self, optimum: Optimum) -> GoodnessOfFit | None:
        """Means, variances and correlation of the counts by hold, and the calibrations."""
        shots = np.array([float(self._repeats[part].sum()) for part in self._parts])
        return check_relaxation(
            self.coordinates,
            optimum,
            self.outcomes(optimum.point.x),
            shots,
            [(self._counts[part], self._repeats[part]) for part in self._parts],
            self._beliefs.spin,
        )


def outcomes_at(
    beliefs: RelaxationBeliefs, rates: Array, times: Array, photons: bool = False
) -> RelaxingOutcomes:
    """The exact distributions and slopes for rates (Gamma, Omega, Delta[, chi less belief])/2pi.

    Slopes are by the logarithms of the first three, and by chi/2pi.
    """
    exchange = beliefs.exchange + (float(rates[3]) if beliefs.free_exchange else 0.0)
    decay, rabi, detuning = (_TWO_PI * float(rate) for rate in rates[:3])
    pair = TwoEnsembles(beliefs.spin, rabi, detuning, _TWO_PI * exchange, decay)
    free = beliefs.free_exchange
    solved = relaxing_outcomes(pair, times, derivatives=True, exchange=free, photons=photons)
    if free:
        solved.slopes[3] *= _TWO_PI
        if solved.photons is not None:
            solved.photons.slopes[3] *= _TWO_PI
    return solved


def _shifted(quantity: Any, by: float) -> Any:
    low, high = quantity.interval
    return replace(quantity, value=quantity.value + by, interval=(low + by, high + by))
