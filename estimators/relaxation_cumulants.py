"""Rates of two large relaxing ensembles from populations, and the cavity's light, after holds.

As `relaxation_trace`, for tens of atoms to millions. Means and covariance of the two atom numbers
(and of the photons) follow from the second-order cumulant equations; the counts of a shot are a
Gaussian with these, the Poisson noise of the detectors and their gain and background. What the
closure leaves out is measured from its own equations and enters as an error of the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import Estimate
from .pumping_beliefs import Calibrated
from .pumping_posterior import (
    Coordinates,
    check_level,
    common_flags,
    quantities_of,
    undetermined,
)
from .records import (
    RecordError,
    good_shots,
    read_column,
    read_counts,
    refuse_beyond,
    refuse_unknown,
)
from .relaxation_beliefs import RATES
from .relaxation_clouds import (
    Allowance,
    CloudBeliefs,
    CountMoments,
    allowance,
    count_moments,
)
from .relaxation_gaussian import GaussianPosterior, HoldSums
from .relaxation_identifiability import identifiability_flags, least_determined
from .scoring import Optimum, maximise

Array = NDArray[np.float64]

FEWEST_SHOTS = 20
LONGEST = 2000.0
"""Longest hold times Omega: beyond it units are mistaken, or the closure has long failed."""

_STAGES = (0.4, 0.7)  # shares of the holds, shortest first, that the fit takes in turn
_WIDENED = 1.1  # errors wider than without the closure's by more than this are said to be


class RelaxationCumulants:
    """Gamma, Omega, |Delta| of large ensembles from populations (and light) after holds.

    Args:
        beliefs: atoms, calibrations, and the counter of the light where there is one.

    Quantities: "collective_decay", "rabi_frequency", "detuning_difference" (ordinary
    frequencies, as in the beliefs); "exchange", "single_spin_decay", "atoms" where they are free;
    with light "efficiency" and "output_background"; "gain", "background".
    """

    name: ClassVar[str] = "relaxation_cumulants"

    def __init__(self, beliefs: CloudBeliefs) -> None:
        self._beliefs = beliefs
        self._blocks: list[Array] = []
        self._rejected = 0

    @property
    def beliefs(self) -> CloudBeliefs:
        """What was believed before the first shot."""
        return self._beliefs

    @property
    def shots(self) -> int:
        """Shots used so far."""
        return sum(len(block) for block in self._blocks)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of shots.

        Args:
            records: "counts" (shots, 2); "time" (shots,), the hold; "light" (shots,), counts of
                the cavity's output during the hold, where the beliefs know its counter; "status"
                (shots,), optional: only shots with 1 are used.

        Raises:
            RecordError: on columns that cannot be used; nothing of the block is kept.
        """
        b = self._beliefs
        refuse_unknown(records, ("counts", "time", *(("light",) if b.lit else ())))
        counts, rejected = read_counts(records)
        shots = len(counts) + rejected
        good = good_shots(records, shots)
        longest = LONGEST / (2.0 * math.pi * b.rabi_frequency.value)
        columns = [read_column(records, "time", (shots,), good, lowest=0.0, highest=longest)]
        loose = math.hypot(b.gain.std / b.gain.value, b.atoms_std / b.atoms, b.atoms_spread)
        refuse_beyond(counts, b.largest_mean, loose)
        columns.append(counts)
        if b.lit:
            light = read_column(records, "light", (shots,), good, lowest=0.0, highest=2.0**53)
            if np.any(light != np.floor(light)):
                raise RecordError("Column `light` must hold whole numbers: counts of the output.")
            columns.append(light)
        self._rejected += rejected
        if len(counts):
            self._blocks.append(np.column_stack(columns))

    def estimate(self, level: float = 0.95) -> Estimate:
        """All free numbers with intervals from the curvature in the logarithms."""
        check_level(level)
        coordinates = self._beliefs.coordinates()
        facts = {"shots": self.shots, "rejected_shots": self._rejected}
        sums = HoldSums.of(np.concatenate(self._blocks)) if self._blocks else None
        reason, allowed = self._refusal(sums, coordinates)
        if reason or sums is None or allowed is None:
            return undetermined(self.name, coordinates, reason, level, self._assumptions(), facts)
        posterior, optimum, allowed = self._fitted(coordinates, sums, allowed)
        check = posterior.check(optimum)
        quantities, covariance, open_names = quantities_of(coordinates, optimum, {}, level)
        rates = self._beliefs.rates
        shares = {name: quantities[name].std / rates[name] for name in rates if name not in RATES}
        if "exchange" in quantities:
            believed, (low, high) = self._beliefs.exchange, quantities["exchange"].interval
            quantities["exchange"] = replace(
                quantities["exchange"],
                value=quantities["exchange"].value + believed,
                interval=(low + believed, high + believed),
            )
        condition, direction = least_determined(coordinates, optimum, rates)
        widened = self._widened(coordinates, sums, allowed, optimum)
        flags = common_flags(optimum, check, open_names)
        flags += identifiability_flags(condition, direction, shares)
        flags += self._closure_flags(sums, allowed, widened)
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
                "holds": int(sums.holds.size),
                "holds_left_out": int((~allowed.trusted).sum()),
                "shots_left_out": int(sums.shots[~allowed.trusted].sum()),
                "light_left_out": int(sums.shots[~allowed.lit].sum()) if self._beliefs.lit else 0,
                "widened_by_the_closure": widened,
                "rejected_shots": self._rejected,
            },
            assumptions=self._assumptions(),
            identifiable=(first.natural(first.lower), first.natural(first.upper)),
        )

    def _model(self, x: Array, holds: Array) -> CountMoments:
        return count_moments(self._beliefs, x, holds)

    def _refusal(
        self, sums: HoldSums | None, coordinates: Coordinates
    ) -> tuple[str, Allowance | None]:
        """Why nothing can be said, else what the closure allows at the calibrations."""
        if sums is None or self.shots < FEWEST_SHOTS:
            return f"{self.shots} usable shots, at least {FEWEST_SHOTS} are needed", None
        if not sums.holds.any():
            return "every hold has no length", None
        if not sums.scatter[:, :2, :2].any() and np.ptp(sums.mean[:, :2]) == 0.0:
            return "every shot has the same counts", None
        allowed = allowance(self._beliefs, coordinates.centre, sums.holds)
        if not (allowed.trusted & (sums.holds > 0.0)).any():
            return "the cumulant equations hold for none of these holds: take shorter ones", None
        return "", allowed

    def _fitted(
        self, coordinates: Coordinates, sums: HoldSums, allowed: Allowance
    ) -> tuple[GaussianPosterior, Optimum, Allowance]:
        """The shorter holds first: they tell where the swings of the longer ones belong."""
        x = coordinates.centre
        guided = _guided(self._beliefs, coordinates)
        for share in _STAGES:
            end = math.ceil(share * sums.holds.size)
            if 3 <= end < sums.holds.size:
                early = np.arange(sums.holds.size) < end
                x = maximise(self._posterior(guided, sums, allowed, early), x).point.x
        every = np.ones(sums.holds.size, dtype=np.bool_)
        first = maximise(self._posterior(coordinates, sums, allowed, every), x, iterations=12)
        allowed = allowance(self._beliefs, first.point.x, sums.holds)
        if not (allowed.trusted & (sums.holds > 0.0)).any():
            allowed = allowance(self._beliefs, coordinates.centre, sums.holds)
        posterior = self._posterior(coordinates, sums, allowed, every)
        return posterior, maximise(posterior, first.point.x), allowed

    def _posterior(
        self,
        coordinates: Coordinates,
        sums: HoldSums,
        allowed: Allowance,
        wanted: NDArray[np.bool_],
    ) -> GaussianPosterior:
        kept = allowed.trusted & wanted
        if not (kept & (sums.holds > 0.0)).any():
            kept = allowed.trusted
        return GaussianPosterior(coordinates, self._model, sums.kept(kept), allowed.kept(kept))

    def _widened(
        self, coordinates: Coordinates, sums: HoldSums, allowed: Allowance, optimum: Optimum
    ) -> float:
        """The largest factor by which the closure's own error widens that of a rate."""
        exact = replace(
            allowed, mean=np.zeros_like(allowed.mean), relative=np.zeros_like(allowed.relative)
        )
        every = np.ones(sums.holds.size, dtype=np.bool_)
        point = self._posterior(coordinates, sums, exact, every).evaluate(optimum.point.x)
        alone = np.diag(replace(optimum, point=point).covariance)
        both, free = np.diag(optimum.covariance), optimum.free
        rates = np.arange(both.size) < len(self._beliefs.rates)
        ratios = both[rates & free] / np.maximum(alone[rates & free], 1e-300)
        return float(np.sqrt(ratios.max())) if ratios.size else 1.0

    def _closure_flags(self, sums: HoldSums, allowed: Allowance, widened: float) -> list[str]:
        flags = []
        if not allowed.trusted.all():
            lost = ~allowed.trusted
            flags.append(
                f"{int(sums.shots[lost].sum())} shots are left out: the cumulant equations do not "
                f"hold for {self._beliefs.atoms:g} atoms after {sums.holds[lost].min():.4g} and "
                "more; take holds of the first swings of the drive"
            )
        dark = allowed.trusted & ~allowed.lit
        if self._beliefs.lit and dark.any():
            flags.append(
                f"the light of {int(sums.shots[dark].sum())} shots is left out, the atoms' counts "
                f"are not: the cumulant equations do not know the light of {self._beliefs.atoms:g} "
                f"atoms after {sums.holds[dark].min():.4g} and more"
            )
        if widened > _WIDENED:
            flags.append(
                f"what the cumulant equations leave out widens an error {widened:.2f} times: take "
                "shorter holds, or more atoms"
            )
        return flags

    def _assumptions(self) -> tuple[str, ...]:
        b = self._beliefs
        free = ", ".join(name for name in b.rates)
        parts = [
            "model: second-order cumulant equations from all atoms down, constant rates during "
            "the hold; Gaussian counts of both ensembles, Poisson noise of g n + b",
            f"{b.atoms:g} atoms in each ensemble, "
            + (f"free within +- {b.atoms_std:g}" if b.atoms_std else "known")
            + (f", {100 * b.atoms_spread:g} % rms from shot to shot" if b.atoms_spread else ""),
            f"free: {free}, "
            + ("within their calibrations" if b.use_rates else "calibrations say where to look")
            + "; gain and background within theirs",
            f"chi = {b.exchange:g} +- {b.exchange_std:g}, gamma = {b.single_spin_decay:g} +- "
            f"{b.single_spin_decay_std:g} (a std of 0: known)",
            "the sign of Delta does not show in populations: its absolute value is given",
            "the atoms stand still from the end of the hold until they are counted",
            "errors of the closure: twice what its expansion in 1/N says, in the intervals",
        ]
        if b.lit:
            parts.append(
                "light: counts of the cavity's output during the hold; variance and what it shares "
                "with the atoms to leading order in 1/N; no dead time"
            )
        return tuple(parts)


def _guided(beliefs: CloudBeliefs, coordinates: Coordinates) -> Coordinates:
    """The coordinates with twice the calibrations' errors as priors of the rates."""
    found = list(coordinates.all)
    for index, name in enumerate(RATES):
        rate: Calibrated = getattr(beliefs, name)
        found[index] = replace(found[index], prior=Calibrated(rate.value, 2.0 * rate.std))
    return Coordinates(found)
