"""Critical pump, gain and background from independent snapshots of the steady state.

Each shot is a fresh steady state at its own pump u, read by a gate much shorter than
1/gamma: P(y|u) = sum_n p_n Poisson(y; g n + b), p_n ~ (u/u_c)^n.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

from .estimate import Estimate, GoodnessOfFit
from .pumping_beliefs import Calibrated, SnapshotBeliefs
from .pumping_check import residual_test
from .pumping_mixture import SnapshotLikelihood, count_cumulants, log_ratio
from .pumping_posterior import (
    Coordinate,
    Coordinates,
    check_level,
    common_flags,
    fit_with_limits,
    quantities_of,
    undetermined,
)
from .pumping_records import read_snapshots
from .pumping_starts import snapshot_starts
from .scoring import Optimum, Point

Array = NDArray[np.float64]

NAME = "pumping_snapshots"
FEWEST_SHOTS = 10
_TEST = "means and variances of groups of shots at like pumps, and the calibrations"
_LEAST_IN_GROUP = 20
_LEAST_EVIDENCE = 8.0  # log-likelihood over that of constant counts: below, no transition seen
_SPREADS = 4  # groups for sums of squares
_COMB = 2.5  # gain over the noise of one atom's counts beyond which single atoms show
_SCANNED = 120  # pairs
_WIDTH = 1.5  # in ln u, by which the range of u_c exceeds that of the pumps at least


class PumpingSnapshots:
    """Full likelihood of gated counts against the pump; u_c, g and b free.

    Args:
        beliefs: N and the calibrations; quantities without one are free.

    Quantities: "critical_pump" (unit of the knob), "gain" (counts per excited atom),
    "background" (counts), and "atoms" where N is not known exactly.
    """

    def __init__(self, beliefs: SnapshotBeliefs) -> None:
        self._beliefs = beliefs
        self._pumps: list[Array] = []
        self._counts: list[Array] = []
        self._rejected = 0

    @property
    def beliefs(self) -> SnapshotBeliefs:
        """What was believed before the first shot."""
        return self._beliefs

    @property
    def shots(self) -> int:
        """Shots used so far."""
        return sum(block.size for block in self._counts)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of shots.

        Args:
            records: "counts" (shots,) or (shots, 1); "pump" (shots,); "status" (shots,),
                optional: only shots with 1 are used.

        Raises:
            RecordError: on columns that cannot be used; nothing of the block is kept.
        """
        pumps, counts, rejected = read_snapshots(records)
        self._rejected += rejected
        if counts.size:
            self._pumps.append(pumps)
            self._counts.append(counts)

    def estimate(self, level: float = 0.95) -> Estimate:
        """All free numbers; u_c with its profile-likelihood interval."""
        check_level(level)
        pairs, repeats = self._pairs()
        coordinates = snapshot_coordinates(self._beliefs, pairs)
        reason = self._refusal(pairs)
        facts = {"shots": self.shots, "rejected_shots": self._rejected}
        if reason:
            return undetermined(NAME, coordinates, reason, level, self._assumptions(), facts)
        posterior = SnapshotPosterior(self._beliefs, coordinates, pairs, repeats)
        starts = snapshot_starts(self._beliefs, pairs, repeats)

        def comb(x: Array) -> Array:
            found = np.array([math.exp(x[0]), math.exp(x[1]), x[2]])
            return _past_the_comb(self._beliefs, coordinates, pairs, repeats, found)

        shown, start = _shows_atoms(starts[0]), posterior.best(starts[:1])
        start = comb(start) if shown else posterior.best(starts)
        optimum, limits = fit_with_limits(posterior, start, level, [0], comb if shown else None)
        if self._beliefs.critical_pump is None:
            evidence = optimum.point.value - posterior.constant_counts()
            if evidence < _LEAST_EVIDENCE:
                reason = (
                    "the counts do not show the transition (a constant mean describes them as "
                    f"well, log-likelihood ratio {evidence:.2g})"
                )
                return undetermined(NAME, coordinates, reason, level, self._assumptions(), facts)
        check = posterior.check(optimum)
        quantities, covariance, open_names = quantities_of(coordinates, optimum, limits, level)
        flags = common_flags(optimum, check, open_names)
        known = coordinates.all[0]
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
                "evaluations": optimum.iterations,
                "interval": "profile likelihood for critical_pump, curvature for the others",
                "rejected_shots": self._rejected,
            },
            assumptions=self._assumptions(),
            identifiable=(known.natural(known.lower), known.natural(known.upper)),
        )

    def _pairs(self) -> tuple[Array, Array]:
        """Distinct (pump, count) pairs in order, (pairs, 2), and how often each was seen."""
        if not self._counts:
            return np.zeros((0, 2)), np.zeros(0)
        shots = np.column_stack([np.concatenate(self._pumps), np.concatenate(self._counts)])
        order = np.lexsort((shots[:, 1], shots[:, 0]))
        shots = shots[order]
        new = np.concatenate([[True], (np.diff(shots, axis=0) != 0.0).any(axis=1)])
        first = np.flatnonzero(new)
        return shots[first], np.diff(np.append(first, len(shots))).astype(np.float64)

    def _refusal(self, pairs: Array) -> str:
        if self.shots < FEWEST_SHOTS:
            return f"{self.shots} usable shots, at least {FEWEST_SHOTS} are needed"
        if len(np.unique(pairs[:, 1])) < 2:
            return "every shot has the same counts"
        if not pairs[:, 0].any():
            return "the pump was off in every shot"
        return ""

    def _assumptions(self) -> tuple[str, ...]:
        b = self._beliefs
        atoms = f"{b.atoms:g} atoms" + (f" (+- {b.atoms_std:.2g})" if b.atoms_std else ", known")
        droop = f", three-level droop {b.pump_droop:.3g}" if b.pump_droop else ""
        return (
            "model: every shot a fresh steady state, p_n ~ (u/u_c)^n; Poisson counts g n + b"
            + droop,
            atoms,
            "free: u_c, g, b, within their calibrations where given",
            "the gate is much shorter than the relaxation",
        )


def _shows_atoms(start: Array) -> bool:
    """Whether the lowest counts tell 0, 1, 2 … atoms apart at (u_c, g, b)."""
    return bool(start[1] > _COMB * math.sqrt(start[1]))


def _past_the_comb(
    beliefs: SnapshotBeliefs, coordinates: Coordinates, pairs: Array, repeats: Array, start: Array
) -> Array:
    """The start with its background scanned, where single atoms show in the counts.

    The likelihood then has a maximum for every offset of the comb; the lowest counts tell
    which is right, and they are few.
    """
    lowest = np.argsort(pairs[:, 1], kind="stable")[:_SCANNED]
    few = SnapshotPosterior(beliefs, coordinates, pairs[lowest], repeats[lowest])
    low, high = max(0.0, start[2] - 6.0 * start[1]), start[2] + 3.0 * start[1]
    backgrounds = np.arange(low, high, start[1] / 8.0)
    starts = [few.best([np.array([start[0], start[1], b])]) for b in backgrounds]
    return max(starts, key=lambda x: few.evaluate(x).value)


class SnapshotPosterior:
    """Log-likelihood of distinct pairs plus log-prior, for the scoring engine."""

    def __init__(
        self, beliefs: SnapshotBeliefs, coordinates: Coordinates, pairs: Array, repeats: Array
    ) -> None:
        self._beliefs, self.coordinates = beliefs, coordinates
        self._likelihood = SnapshotLikelihood(pairs[:, 0], pairs[:, 1], beliefs.pump_droop)
        self._counts, self._repeats = pairs[:, 1], repeats
        self.lower, self.upper = coordinates.lower, coordinates.upper

    def evaluate(self, x: Array) -> Point:
        """Log posterior, gradient, and outer-product information plus the prior's."""
        values = self._values(x)
        logs, scores = self._likelihood.evaluate(*values)
        if x.size == 4:
            scores = np.column_stack([scores, self._likelihood.atoms_score(*values)])
        weighed = scores * self._repeats[:, None]
        return self.coordinates.with_prior(
            x, float(logs @ self._repeats), weighed.sum(axis=0), weighed.T @ scores
        )

    def best(self, starts: list[Array]) -> Array:
        """The likeliest of starts (u_c, g, b) as coordinates."""
        best, top = None, -math.inf
        for start in starts:
            x = np.array([math.log(start[0]), math.log(start[1]), start[2]])
            if self.lower.size == 4:
                x = np.append(x, math.log(self._beliefs.atoms))
            x = np.clip(x, self.lower, self.upper)
            value = self.evaluate(x).value if len(starts) > 1 else 0.0
            if best is None or value > top:
                best, top = x, value
        return self.coordinates.centre if best is None else best

    def constant_counts(self) -> float:
        """Log-likelihood of Poisson counts of one mean for all pumps."""
        total = float(self._repeats.sum())
        mean = float(self._repeats @ self._counts) / total
        logs = self._counts * math.log(mean) - mean - gammaln(self._counts + 1.0)
        return float(self._repeats @ logs)

    def check(self, optimum: Optimum) -> GoodnessOfFit | None:
        """Sums of standardised residuals and of their squares over groups of like pumps."""
        place = self._likelihood.place
        shots = np.bincount(place, self._repeats).astype(np.float64)
        groups = _groups(shots)
        if groups is None:
            return None
        x = optimum.point.x
        cumulants, mean_slopes, variance_slopes = self._moment_slopes(x)
        std = np.sqrt(cumulants[1])
        off = (self._counts - cumulants[0][place]) / std[place]
        first = np.bincount(place, off * self._repeats)
        second = np.bincount(place, off**2 * self._repeats) - shots
        cross = cumulants[2] / std**3
        fourth = 2.0 + cumulants[3] / std**4
        member = np.eye(int(groups.max()) + 1)[:, groups]
        pair = (
            member
            if len(member) <= _SPREADS
            else np.eye(_SPREADS)[:, (groups * _SPREADS) // len(member)]
        )
        residual = np.concatenate([member @ first, pair @ second])
        noise = np.block(
            [
                [(member * shots) @ member.T, (member * shots * cross) @ pair.T],
                [(pair * shots * cross) @ member.T, (pair * shots * fourth) @ pair.T],
            ]
        )
        design = np.vstack(
            [
                (member * shots / std) @ mean_slopes,
                (pair * shots / cumulants[1]) @ variance_slopes,
            ]
        )
        root = np.sqrt(self.coordinates.weight)
        held = root > 0.0
        covariance = optimum.covariance
        return residual_test(
            residual,
            noise,
            design,
            covariance,
            (root * (x - self.coordinates.centre))[held],
            np.diag(root)[held],
            _TEST,
        )

    def _moment_slopes(self, x: Array) -> tuple[Array, Array, Array]:
        """Cumulants of the counts (4, pumps); slopes of mean and variance (pumps, p)."""
        middle = self._cumulants(x)
        slopes = []
        for index in range(x.size):
            step = np.zeros(x.size)
            step[index] = 1e-5 if not self.coordinates.all[index].linear else 1e-5 * (1 + x[index])
            ends = self._cumulants(x + step), self._cumulants(x - step)
            slopes.append((ends[0][:2] - ends[1][:2]) / (2.0 * step[index]))
        table = np.stack(slopes, axis=2)
        return middle, table[0], table[1]

    def _cumulants(self, x: Array) -> Array:
        critical, gain, background, atoms = self._values(x)
        ladder = self._likelihood.ladder(critical, gain, background, self._beliefs.atoms)
        if atoms != ladder.atoms:
            ladder = self._likelihood.ladder(critical, gain, background, atoms)
        numbers = ladder.cumulants(log_ratio(self._likelihood.pumps, critical))
        return count_cumulants(numbers, gain, max(background, 0.0))

    def _values(self, x: Array) -> tuple[float, float, float, float]:
        atoms = math.exp(x[3]) if x.size == 4 else float(self._beliefs.atoms)
        return math.exp(x[0]), math.exp(x[1]), float(x[2]), atoms


def snapshot_coordinates(beliefs: SnapshotBeliefs, pairs: Array) -> Coordinates:
    """ln u_c, ln g, b, and ln N where it is not known, in a box that follows from the data."""
    pumps = pairs[:, 0][pairs[:, 0] > 0.0] if len(pairs) else np.ones(1)
    if not pumps.size:
        pumps = np.ones(1)
    most = float(pairs[:, 1].max()) + 1.0 if len(pairs) else 1.0
    width = max(40.0 / beliefs.atoms, _WIDTH)
    low, high = math.log(float(pumps.min())) - width, math.log(float(pumps.max())) + width
    if beliefs.critical_pump is not None:
        known = math.log(beliefs.critical_pump.value)
        low, high = min(low, known - 1.0), max(high, known + 1.0)
    gain = math.log(most / beliefs.atoms)
    gain_low, gain_high = gain - 8.0, gain + math.log(beliefs.atoms) + 1.0
    if beliefs.gain is not None:
        known = math.log(beliefs.gain.value)
        gain_low, gain_high = min(gain_low, known - 1.0), max(gain_high, known + 1.0)
    top = most if beliefs.background is None else max(most, 2.0 * beliefs.background.value)
    found = [
        Coordinate("critical_pump", "", low, high, beliefs.critical_pump),
        Coordinate("gain", "", gain_low, gain_high, beliefs.gain),
        Coordinate("background", "", 0.0, top, beliefs.background, linear=True),
    ]
    if beliefs.atoms_std > 0.0:
        prior = Calibrated(beliefs.atoms, beliefs.atoms_std)
        reach = 8.0 * beliefs.atoms_std / beliefs.atoms
        middle = math.log(beliefs.atoms)
        found.append(Coordinate("atoms", "", middle - reach, middle + reach, prior))
    return Coordinates(found)


def _groups(shots: Array) -> NDArray[np.intp] | None:
    """Group of each distinct pump: up to eight with equal numbers of shots, in order of pump."""
    total = float(shots.sum())
    count = int(min(8, total // _LEAST_IN_GROUP))
    if count < 1:
        return None
    middle = (np.cumsum(shots) - 0.5 * shots) / total
    raw = np.minimum((middle * count).astype(np.intp), count - 1)
    return np.unique(raw, return_inverse=True)[1].astype(np.intp)
