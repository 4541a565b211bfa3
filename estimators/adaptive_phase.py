"""Signal phase with a bias phase chosen shot by shot: ask() for the bias, tell() the counts.

The counts depend on |signal + bias| folded into [0, pi/2] only. A bias that maximises the
Fisher information at the present estimate walks to a fold and keeps a wrong sign; the
expected information about the signal, over all that is still believed, does not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import Estimate, GoodnessOfFit, Quantity
from .expected_information import cells_of, information_of_cells, merged_outcomes
from .grid_posterior import Axis, GridPosterior
from .histogram_check import check_histograms
from .phase_table import PhaseTable
from .records import RecordError, good_shots, read_column, read_counts, refuse_unknown

Array = NDArray[np.float64]

RULES = ("information", "safe_fisher", "greedy_fisher")
_SAFE = 6.0  # standard deviations between the phase and a fold
_SETTINGS = 24
_FIRST = math.pi / 4.0
_DESIGN_CELLS = 32
_DESIGN_OUTCOMES = 2600


class AdaptivePhase:
    """Posterior of the signal phase on a grid; the bias phase is part of every shot.

    Args:
        table: of the state and the detector.
        signal_range: (low, high) of the signal, at most pi wide, flat prior inside, radians.
        rule: how `ask` chooses: "information" (expected information gain), "safe_fisher" (pi/4
            first, then the largest Fisher information among biases whose phase stays six
            standard deviations from the folds), "greedy_fisher" (for comparison only).
        settings: number of bias phases over [0, pi) that `ask` chooses among.

    Raises:
        ValueError: on an unknown rule or a range that the counts cannot tell apart.
    """

    def __init__(
        self,
        table: PhaseTable,
        signal_range: tuple[float, float] = (-0.5 * math.pi, 0.5 * math.pi),
        *,
        rule: str = "information",
        settings: int = _SETTINGS,
    ) -> None:
        if rule not in RULES:
            raise ValueError(f"Argument `rule` must be one of {', '.join(RULES)}, but is {rule!r}.")
        low, high = (float(end) for end in signal_range)
        if not 0.0 < high - low <= math.pi + 1e-12:
            raise ValueError(
                "Argument `signal_range` must rise and be at most pi wide (the counts are the "
                f"same for a signal and that plus pi), but is {signal_range!r}."
            )
        if not 4 <= settings <= 200:
            raise ValueError(
                f"Argument `settings` must lie between 4 and 200, but is {settings!r}."
            )
        self._table, self._rule = table, rule
        self._step = float(table.phases[1])
        first, last = math.ceil(low / self._step - 1e-9), math.floor(high / self._step + 1e-9)
        self._places = np.arange(first, last + 1)
        self._axis = Axis("signal", (self._places * self._step).astype(np.float64), "rad")
        period = 2 * (table.phases.size - 1)
        self._biases = np.unique(np.rint(np.arange(settings) * period / settings)).astype(int)
        self._histograms: dict[int, NDArray[np.int64]] = {}
        self._running = GridPosterior([self._axis])
        self._rejected = 0
        self._design: tuple[Array, Array] | None = None

    @property
    def shots(self) -> int:
        """Shots used so far."""
        return sum(int(histogram.sum()) for histogram in self._histograms.values())

    @property
    def biases(self) -> Array:
        """The bias phases that `ask` chooses among, radians."""
        biases: Array = self._biases * self._step
        return biases

    def ask(self) -> float:
        """The bias phase for the next shot (or block), radians."""
        if self._rule == "information":
            return float(self.biases[int(np.argmax(self.expected_information()))])
        if self._rule == "safe_fisher" and not self._histograms:
            return float(self.biases[int(np.argmin(np.abs(self.biases - _FIRST)))])
        return float(self.biases[int(np.argmax(self._fisher_scores()))])

    def expected_information(self) -> Array:
        """(biases,) expected information about the signal from one shot, nats."""
        if self._design is None:
            merged = merged_outcomes(np.exp(self._table.table.logs), _DESIGN_OUTCOMES)
            self._design = (merged, -(merged * np.log(np.maximum(merged, 1e-30))).sum(axis=1))
        probabilities, entropies = self._design
        cells = cells_of(self._running.weights, self._axis.points, _DESIGN_CELLS)
        centre = np.rint(cells.means / self._step).astype(int)
        rows = self._fold(centre[None, :] + self._biases[:, None])
        return information_of_cells(probabilities, entropies, self._table.information, rows, cells)

    def tell(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in shots; see `update`."""
        self.update(records)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of shots.

        Args:
            records: "counts" (shots, 2); "bias_phase" (shots,), radians, rounded to the grid
                of phases (a quarter of its step at most adds nothing to the error);
                "status" (shots,), optional.

        Raises:
            RecordError: on missing columns, wrong shapes or impossible counts; nothing of
                the block is kept.
        """
        refuse_unknown(records, ("counts", "bias_phase"))
        counts, rejected = read_counts(records)
        total = len(counts) + rejected
        bias = read_column(records, "bias_phase", (total,), good_shots(records, total))
        steps = np.rint(bias / self._step).astype(int)
        if np.any(np.abs(bias - steps * self._step) > 0.05 * self._step):
            wrong = float(bias[np.argmax(np.abs(bias - steps * self._step))])
            raise RecordError(
                f"Column `bias_phase` must hold multiples of {self._step:.6g} rad, as `ask` gives "
                f"them (or any through `nearest_bias`), but holds {wrong!r}."
            )
        outcomes = self._table.outcomes(counts)
        period = 2 * (self._table.phases.size - 1)
        for step in np.unique(steps):
            histogram = self._table.table.histogram(outcomes[steps == step])
            key = int(step) % period
            kept = self._histograms.get(key)
            self._histograms[key] = histogram if kept is None else kept + histogram
            self._running.absorb(self._log_likelihood(key, histogram))
        self._rejected += rejected

    def nearest_bias(self, bias: float) -> float:
        """The bias phase on the grid that is nearest to a wanted one, radians."""
        return round(bias / self._step) * self._step

    def posterior(self) -> GridPosterior:
        """The posterior of the signal from all shots."""
        posterior = GridPosterior([self._axis])
        for key in sorted(self._histograms):
            posterior.absorb(self._log_likelihood(key, self._histograms[key]))
        return posterior

    def estimate(self, level: float = 0.95) -> Estimate:
        """Posterior mean, std and shortest interval of the signal."""
        posterior = self.posterior()
        marginal = posterior.refined()
        mean, std = marginal.mean, marginal.std
        low, high = marginal.interval(level)
        signal = Quantity(mean, std, (min(low, mean), max(high, mean)), level, "rad")
        flags = []
        if not self._histograms:
            flags.append("no shots: the interval is that of the prior")
        branches = self._branches(posterior.weights, std)
        if branches > 1:
            flags.append(
                f"{branches} branches are still possible: the signal is not determined until a "
                "bias phase tells them apart"
            )
        check = self._check(mean)
        if check is not None and check.p_value < 1e-4:
            flags.append(f"the model does not describe the counts (p = {check.p_value:.1e})")
        diagnostics: dict[str, Any] = {
            "flags": flags,
            "rule": self._rule,
            "branches": branches,
            "bias_phases": len(self._histograms),
            "rejected_shots": self._rejected,
            "interval": "shortest posterior interval",
        }
        return Estimate(
            estimator="adaptive_phase",
            shots=self.shots,
            quantities={"signal": signal},
            names=("signal",),
            covariance=np.array([[std**2]]),
            goodness_of_fit=check,
            diagnostics=diagnostics,
            assumptions=(*self._table.assumptions, "signal uniform over the range beforehand"),
            identifiable=(float(self._axis.points[0]), float(self._axis.points[-1])),
        )

    def _fold(self, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Index of the phase in [0, pi/2] with the same statistics."""
        last = self._table.phases.size - 1
        wrapped = np.abs(steps) % (2 * last)
        folded: NDArray[np.int64] = np.minimum(wrapped, 2 * last - wrapped)
        return folded

    def _log_likelihood(self, key: int, histogram: NDArray[np.int64]) -> Array:
        folded: Array = self._table.table.log_likelihood(histogram)[self._fold(self._places + key)]
        return folded

    def _fisher_scores(self) -> Array:
        """Fisher information at the present estimate; the safe rule keeps clear of folds."""
        weights, points = self._running.weights, self._axis.points
        peak = int(np.argmax(weights))
        near = np.abs(points - points[peak]) < math.pi / 8.0
        share = weights[near] / weights[near].sum()
        mean = float(share @ points[near])
        std = max(math.sqrt(float(share @ (points[near] - mean) ** 2)), 0.3 * self._step)
        phases = self._fold(np.rint(mean / self._step).astype(int) + self._biases)
        scores: Array = self._table.information[phases].copy()
        if self._rule == "safe_fisher":
            distance = np.minimum(phases, self._table.phases.size - 1 - phases) * self._step
            clear = distance > min(_SAFE * std, math.pi / 8.0)
            scores[~clear] = -1.0
        return scores

    def _branches(self, weights: Array, std: float) -> int:
        """Separate pieces of the posterior with a thousandth of it or more."""
        occupied = weights > 1e-3 * weights.max()
        starts = np.flatnonzero(np.diff(np.concatenate([[0], occupied.astype(int)])) == 1)
        ends = np.flatnonzero(np.diff(np.concatenate([occupied.astype(int), [0]])) == -1)
        pieces = [float(weights[a : b + 1].sum()) for a, b in zip(starts, ends, strict=True)]
        return max(sum(piece > 1e-3 for piece in pieces), 1)

    def _check(self, mean: float) -> GoodnessOfFit | None:
        place = mean / self._step
        pairs = []
        for key, histogram in self._histograms.items():
            low = math.floor(place)
            rows = self._fold(np.array([low, low + 1]) + key)
            share = place - low
            logs = self._table.table.logs
            expected = (1.0 - share) * np.exp(logs[:, rows[0]]) + share * np.exp(logs[:, rows[1]])
            pairs.append((histogram, expected))
        return check_histograms(pairs, by_probability=True)
