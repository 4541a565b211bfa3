"""Critical pump, decay, count rate and background from sweeps of the pump up and down.

The excited atoms are a hidden birth-death chain behind Poisson counts in short bins. The
full likelihood is that of `pumping_chain`; the fast path weighs mean counts with their
covariance (`pumping_moments`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import Estimate, GoodnessOfFit
from .pumping_beliefs import SweepBeliefs
from .pumping_chain import ChainValues, Ramp, Space, Surprise, filter_sweeps, space_of
from .pumping_chain_bins import (
    FURTHEST,
    furthest,
    in_pairs,
    share_of,
    shift_by_bins,
    tells_more,
    widened,
)
from .pumping_check import residual_test
from .pumping_moments import BinnedRamp, expected_counts, fit_means, merged, values_at
from .pumping_posterior import (
    Coordinate,
    Coordinates,
    check_level,
    common_flags,
    quantities_of,
    undetermined,
)
from .pumping_records import read_sweeps
from .pumping_sweep_starts import sweep_start
from .scoring import Optimum, Point, maximise

Array = NDArray[np.float64]

LONGEST_BIN = 0.13  # of 1/gamma: beyond it the split of motion and counting biases the fit
_SHORT_BIN = 0.06  # that few atoms need, whose jumps show one by one
_FEW_ATOMS = 20  # fewer need bins as much shorter, down to that
FEWEST_SWEEPS = 2
_FEW_SWEEPS = 10
_METHODS = ("chain", "moments")
_BY_MEANS = "values and intervals are those of the mean counts"
_TEST = "mean counts in merged bins, their covariance from the chain, and the calibrations"
_SECOND_TEST = "variance and correlation of counts about the filter's predictions"
_ASTRAY = 2.0  # times the longest bin, where the chain fails
_CLEAR = 3.0  # standard deviations by which the means tell that bins are long
_RANGE = 40.0  # in units of the transition's width 2/N


class PumpingSweeps:
    """Sweeps of the pump, both directions together; u_c, gamma, a and b free.

    Args:
        beliefs: N and the calibrations; quantities without one are free.
        method: "chain", the full likelihood; or "moments", the fast path.

    Quantities: "critical_pump" (unit of the knob), "decay" and "half_rate" and
    "background" (per unit of time of the records).

    Raises:
        ValueError: on an unknown method.
    """

    def __init__(self, beliefs: SweepBeliefs, method: str = "chain") -> None:
        if method not in _METHODS:
            raise ValueError(
                f"Argument `method` must be one of {', '.join(_METHODS)}, but is {method!r}."
            )
        self._beliefs, self._method = beliefs, method
        self._groups: dict[tuple[float, float, float, int], list[Array]] = {}
        self._rejected = 0

    @property
    def beliefs(self) -> SweepBeliefs:
        """What was believed before the first sweep."""
        return self._beliefs

    @property
    def shots(self) -> int:
        """Sweeps used so far."""
        return sum(len(block) for blocks in self._groups.values() for block in blocks)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of whole sweeps.

        Args:
            records: "counts" (sweeps, bins), equal bins; "pump" (sweeps, 2), the knob at the
                beginning and the end; "time" (sweeps,), the duration; "status" (sweeps,),
                optional: only sweeps with 1 are used.

        Raises:
            RecordError: on columns that cannot be used; nothing of the block is kept.
        """
        block = read_sweeps(records)
        self._rejected += block.rejected
        for counts, (start, stop), time in zip(
            block.counts, block.pump, block.duration, strict=True
        ):
            key = (float(start), float(stop), float(time), counts.size)
            self._groups.setdefault(key, []).append(counts[None, :])

    def estimate(self, level: float = 0.95) -> Estimate:
        """All free numbers by the method chosen; intervals from the curvature."""
        return self._estimate(self._method, level)

    def quick(self, level: float = 0.95) -> Estimate:
        """The fast path, whatever the method."""
        return self._estimate("moments", level)

    def _estimate(self, method: str, level: float) -> Estimate:
        check_level(level)
        ramps = self._ramps()
        coordinates = sweep_coordinates(self._beliefs, ramps)
        facts = {"shots": self.shots, "rejected_sweeps": self._rejected, "method": method}
        reason = self._refusal(ramps)
        name = f"pumping_sweeps ({method})"
        if reason:
            return undetermined(name, coordinates, reason, level, self._assumptions(method), facts)
        atoms, binned = self._beliefs.atoms, [merged(ramp) for ramp in ramps]
        start = sweep_start(atoms, binned, coordinates)
        optimum = fit_means(atoms, binned, coordinates, start)
        chain = _Chain()
        if method == "chain":
            chain = _within_its_bins(atoms, ramps, coordinates, optimum)
        if chain.answers and chain.found is not None:
            optimum = chain.found
        if not optimum.converged:
            reason = "the fit found no maximum of the likelihood"
            return undetermined(name, coordinates, reason, level, self._assumptions(method), facts)
        check = _check(atoms, binned, coordinates, optimum)
        if chain.found is not None:
            check = _with_surprise(check, atoms, ramps, chain.found)
        found = widened(optimum, chain.error) if chain.answers else optimum
        quantities, covariance, open_names = quantities_of(coordinates, found, {}, level)
        flags = [*common_flags(optimum, check, open_names), *chain.flags]
        longest = max(ramp.duration / ramp.bins for ramp in ramps) * quantities["decay"].value
        if len({ramp.stop > ramp.start for ramp in ramps}) < 2:
            flags.append("sweeps in one direction only: u_c rests on the lag of the model")
        if self.shots < _FEW_SWEEPS:
            flags.append(f"only {self.shots} sweeps: the intervals are approximate")
        first = coordinates.all[0]
        return Estimate(
            estimator=name,
            shots=self.shots,
            quantities=quantities,
            names=coordinates.names,
            covariance=covariance,
            goodness_of_fit=check,
            diagnostics={
                "flags": flags,
                "method": method if chain.answers else "moments",
                "log_likelihood": optimum.point.value,
                "converged": optimum.converged,
                "evaluations": optimum.iterations,
                "interval": "curvature",
                "longest_bin": longest,
                "error_of_the_bins": chain.error.tolist(),
                "rejected_sweeps": self._rejected,
            },
            assumptions=self._assumptions(method),
            identifiable=(first.natural(first.lower), first.natural(first.upper)),
        )

    def _ramps(self) -> list[Ramp]:
        """Sweeps by ramp, in an order that does not depend on their arrival."""
        ramps = []
        for key in sorted(self._groups):
            counts = np.concatenate(self._groups[key])
            counts = counts[np.lexsort(counts.T[::-1])]
            ramps.append(Ramp(*key[:3], counts))
        return ramps

    def _refusal(self, ramps: Sequence[Ramp]) -> str:
        if self.shots < FEWEST_SWEEPS:
            return f"{self.shots} usable sweeps, at least {FEWEST_SWEEPS} are needed"
        if not any(ramp.counts.any() for ramp in ramps):
            return "no counts in any sweep"
        if all(np.ptp(ramp.counts) == 0.0 for ramp in ramps):
            return "every bin has the same counts"
        return ""

    def _assumptions(self, method: str) -> tuple[str, ...]:
        model = (
            "hidden birth-death chain with Poisson counts in each bin, full likelihood"
            if method == "chain"
            else "means and covariances of the counts from the exact equations, weighted fit"
        )
        return (
            f"model: {model}",
            f"{self._beliefs.atoms:d} atoms, known; every sweep linear, begun in its steady state",
            "free: u_c, gamma, a, b, within their calibrations where given",
        )


def _space(atoms: int, ramp: Ramp, values: ChainValues) -> Space:
    reach = max(abs(0.5 * atoms * (u / values.critical - 1.0)) for u in (ramp.start, ramp.stop))
    return space_of(atoms, reach, values.half_rate / values.decay)


class SweepPosterior:
    """Log-likelihood of all sweeps plus log-prior, for the scoring engine."""

    def __init__(self, atoms: int, ramps: Sequence[Ramp], coordinates: Coordinates) -> None:
        self._atoms, self._ramps, self._coordinates = atoms, ramps, coordinates
        self.lower, self.upper = coordinates.lower, coordinates.upper

    def evaluate(self, x: Array) -> Point:
        """Value, gradient, and the information from products of the filters' score steps."""
        values = values_at(x)
        value, gradient, information = 0.0, np.zeros(4), np.zeros((4, 4))
        for ramp in self._ramps:
            found = filter_sweeps(_space(self._atoms, ramp, values), self._atoms, ramp, values)
            value += float(found.logs.sum())
            gradient += found.scores.sum(axis=0)
            information += found.information
        return self._coordinates.with_prior(x, value, gradient, information)


@dataclass(frozen=True, slots=True, eq=False)
class _Chain:
    """The chain's maximum, whether it is the answer, the error of its bins, and what to know."""

    found: Optimum | None = None
    answers: bool = False
    error: Array = field(default_factory=lambda: np.zeros(4))
    flags: tuple[str, ...] = ()


def _within_its_bins(
    atoms: int, ramps: Sequence[Ramp], coordinates: Coordinates, means: Optimum
) -> _Chain:
    """Without a maximum, or where bins are too long, the answer is left to the means."""
    bin_time = max(ramp.duration / ramp.bins for ramp in ramps)
    spread = math.sqrt(float(means.covariance[1, 1])) if means.free[1] else math.inf
    allowed = max(_SHORT_BIN, LONGEST_BIN * min(1.0, atoms / _FEW_ATOMS))
    values, longest = values_at(means.point.x), math.log(allowed / bin_time)
    found = None
    if means.point.x[1] - _CLEAR * spread <= longest:
        found = _chain_optimum(atoms, ramps, coordinates, means)
    if found is None:
        words = f"the chain has no maximum where bins are short against 1/gamma: {_BY_MEANS}"
        long = means.point.x[1] > longest
        return _Chain(flags=(_too_long(bin_time, values, "") if long else words,))
    shift = shift_by_bins(lambda some: SweepPosterior(atoms, some, coordinates), ramps, found)
    far, error, values = furthest(found, shift), share_of(atoms) * shift, values_at(found.point.x)
    within = far <= FURTHEST and bin_time * values.decay <= allowed
    if within and (tells_more(found, error, means) or not means.converged):
        return _Chain(found, True, error)
    moved = f" (twice as long they would move it by {far:.2g} standard deviations)"
    told = found if far <= FURTHEST else None
    return _Chain(told, flags=(_too_long(bin_time, values, moved),))


def _too_long(bin_time: float, values: ChainValues, moved: str) -> str:
    return (
        f"bins of {bin_time * values.decay:.2g}/gamma with {bin_time * values.half_rate:.2g} "
        f"counts at the transition are too long for the chain{moved}: {_BY_MEANS}; take shorter "
        "bins"
    )


def _chain_optimum(
    atoms: int, ramps: Sequence[Ramp], coordinates: Coordinates, means: Optimum
) -> Optimum | None:
    """Scoring from the fit to means; again within short bins where it leaves them astray.

    The chain is no likelihood where 1/gamma is not long against a bin: a maximum there counts
    for nothing. None without a maximum.
    """
    posterior, start = SweepPosterior(atoms, ramps, coordinates), means.point.x
    optimum = maximise(posterior, start)
    longest = math.log(LONGEST_BIN / max(ramp.duration / ramp.bins for ramp in ramps))
    astray = longest + math.log(_ASTRAY)
    if optimum.converged and optimum.point.x[1] <= astray:
        return optimum
    posterior.upper = coordinates.upper.copy()
    posterior.upper[1] = astray
    for share in (0.0, 0.1):  # of the counts at the transition, for the background
        again = start.copy()
        again[1] = min(start[1], longest - math.log(_ASTRAY))
        again[3] = max(again[3], share * math.exp(start[2]))
        found = maximise(posterior, again)
        if found.converged and found.point.x[1] < astray:
            return found
    return None


def sweep_coordinates(beliefs: SweepBeliefs, ramps: Sequence[Ramp]) -> Coordinates:
    """ln u_c, ln gamma, ln a and b, in a box that follows from the sweeps."""
    knob = np.array([[r.start, r.stop] for r in ramps]) if ramps else np.ones((1, 2))
    top = float(knob.max()) or 1.0
    low = max(float(knob.min()), 1e-3 * top)
    width = _RANGE / beliefs.atoms
    time = max((r.duration for r in ramps), default=1.0)
    bin_time = min((r.duration / r.bins for r in ramps), default=1.0)
    rate = max((float(r.counts.mean()) * r.bins / r.duration for r in ramps), default=1.0)
    most = max((float(r.counts.mean(axis=0).max()) * r.bins / r.duration for r in ramps), default=1)
    rate, most = rate or 1.0 / time, most or 1.0 / time
    boxes = {
        "critical_pump": (math.log(low) - width, math.log(top) + width),
        "decay": (math.log(0.02 / time), math.log(1.0 / bin_time)),
        "half_rate": (math.log(rate) - 8.0, math.log(most) + 4.0),
    }
    found = []
    for name, (lower, upper) in boxes.items():
        prior = getattr(beliefs, name)
        if prior is not None:
            known = math.log(prior.value)
            lower, upper = min(lower, known - 1.0), max(upper, known + 1.0)
        unit = "" if name == "critical_pump" else "1/time"
        found.append(Coordinate(name, unit, lower, upper, prior))
    b = beliefs.background
    limit = 2.0 * max(most, b.value + 8.0 * b.std if b is not None else 0.0)
    found.append(Coordinate("background", "1/time", 0.0, limit, b, linear=True))
    return Coordinates(found)


def _check(
    atoms: int, ramps: Sequence[BinnedRamp], coordinates: Coordinates, optimum: Optimum
) -> GoodnessOfFit | None:
    """Residuals of the mean counts, with what the fit took out of them."""
    x = optimum.point.x
    residual, design, noises = [], [], []
    for ramp in ramps:
        mean, slopes, noise = expected_counts(atoms, ramp, values_at(x), covariance=True)
        root = math.sqrt(ramp.sweeps)
        residual.append(root * (ramp.means - mean))
        design.append(root * slopes)
        noises.append(noise)
    size = sum(len(r) for r in residual)
    noise, at = np.zeros((size, size)), 0
    for part in noises:
        noise[at : at + len(part), at : at + len(part)] = part
        at += len(part)
    root_weight = np.sqrt(coordinates.weight)
    held = root_weight > 0.0
    return residual_test(
        np.concatenate(residual),
        noise,
        np.vstack(design),
        optimum.covariance,
        (root_weight * (x - coordinates.centre))[held],
        np.diag(root_weight)[held],
        _TEST,
    )


def _with_surprise(
    means: GoodnessOfFit | None, atoms: int, ramps: Sequence[Ramp], optimum: Optimum
) -> GoodnessOfFit | None:
    """The smaller p-value of mean counts and of the filter's surprises, corrected for two."""
    values = values_at(optimum.point.x)
    watched = _surprise(atoms, ramps, values)
    if watched is None:
        return means
    sums, noise, slopes = watched.sums, watched.noise, watched.slopes
    longer = _surprise(atoms, in_pairs(ramps), values)
    if longer is not None:  # what bins twice as long are off by
        noise = noise + share_of(atoms) ** 2 * np.outer(longer.sums, longer.sums)
    nothing = np.zeros((0, optimum.point.x.size))
    second = residual_test(
        sums, noise, slopes, optimum.covariance, np.zeros(0), nothing, _SECOND_TEST
    )
    if means is None or second is None:
        return means or second
    least = min(means.p_value, second.p_value)
    p_value = 1.0 - (1.0 - least) ** 2 if least > 1e-8 else 2.0 * least
    return GoodnessOfFit(
        means.statistic + second.statistic,
        p_value,
        means.degrees_of_freedom + second.degrees_of_freedom,
        f"{_TEST}; {_SECOND_TEST}",
    )


def _surprise(atoms: int, ramps: Sequence[Ramp], values: ChainValues) -> Surprise | None:
    """Summed over the ramps."""
    total = Surprise(np.zeros(6), np.zeros((6, 6)), np.zeros((6, 4)))
    for ramp in ramps:
        space = _space(atoms, ramp, values)
        found = filter_sweeps(space, atoms, ramp, values, with_surprise=True).surprise
        if found is None:
            return None
        total = Surprise(
            total.sums + found.sums, total.noise + found.noise, total.slopes + found.slopes
        )
    return total
