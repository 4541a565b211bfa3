"""Critical pumping with the knob chosen shot by shot: ask() for the knob, tell() the counts.

Each shot is a fresh steady state at the knob's setting u, counted in a gate:

    P(y|u) = sum_n p_n Poisson(y; g n + b),   p_n ~ (u/u_c)^n,  n = 0 … N  (exact).

Posterior of ln u_c and ln g on a grid that closes in on the answer; N and b known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import Estimate, GoodnessOfFit, Quantity
from .expected_information import cells_of
from .grid_posterior import Axis, GridPosterior
from .histogram_check import check_histograms
from .likelihood_table import bin_kernels
from .phase_table import count_edges
from .records import RecordError, good_shots, read_column, read_counts, refuse_unknown

Array = NDArray[np.float64]

_POINTS, _GAINS = 121, 9
_GAIN_REACH = 3.5  # standard deviations of the gain's calibration
_CLOSE_IN = 3.0  # grid steps in a posterior std below which the grid closes in
_REACH = 8.0
_ROUNDS = 6
_CELLS, _SETTINGS, _DESIGN_BINS = 20, 25, 48
_MOST_ATOMS = 2000


class AdaptivePumping:
    """Posterior of the critical knob setting u_c, gain free within its calibration.

    Args:
        atoms: N of the ensemble.
        critical_range: (low, high) of u_c beforehand, flat in ln u_c, in the knob's unit.
        gain: g, counts per excited atom and gate.
        gain_std: its standard deviation.
        background: b, counts per gate, known.
        knob_range: settings that the knob can take; None: a factor 2 beyond `critical_range`.

    Raises:
        ValueError: on values outside these rules.
    """

    def __init__(
        self,
        atoms: int,
        critical_range: tuple[float, float],
        gain: float,
        gain_std: float,
        background: float,
        knob_range: tuple[float, float] | None = None,
    ) -> None:
        low, high = critical_range
        if not 2 <= atoms <= _MOST_ATOMS:
            raise ValueError(
                f"Argument `atoms` must lie between 2 and {_MOST_ATOMS}, but is {atoms!r}."
            )
        if not 0.0 < low < high or not math.isfinite(high):
            raise ValueError(
                f"Argument `critical_range` must rise and be above zero, but is {critical_range!r}."
            )
        for name, value in (("gain", gain), ("gain_std", gain_std)):
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f"Argument `{name}` must be above zero, but is {value!r}.")
        if not (math.isfinite(background) and background >= 0.0):
            raise ValueError(f"Argument `background` must not be negative, but is {background!r}.")
        self._atoms, self._gain, self._background = int(atoms), gain, background
        self._range = (math.log(low), math.log(high))
        self._knob = knob_range if knob_range is not None else (0.5 * low, 2.0 * high)
        relative = gain_std / gain
        offsets = np.linspace(-_GAIN_REACH, _GAIN_REACH, _GAINS)
        self._gains = math.log(gain) + relative * offsets
        self._gain_prior = -0.5 * offsets**2
        largest = math.exp(self._gains[-1])
        self._edges = count_edges(largest, background, self._atoms)
        self._kernels = np.stack(
            [
                bin_kernels(self._edges, math.exp(log_gain), background, self._atoms)[0]
                for log_gain in self._gains
            ]
        )
        self._numbers = np.arange(self._atoms + 1.0)
        self._histograms: dict[float, NDArray[np.int64]] = {}
        self._pending: list[tuple[float, NDArray[np.int64]]] = []
        self._rejected = 0
        self._grid = self._new_grid(*self._range)

    @property
    def shots(self) -> int:
        """Shots used so far."""
        return sum(int(histogram.sum()) for histogram in self._histograms.values())

    def ask(self) -> float:
        """The knob's setting for the next shot, in its unit."""
        for knob, seen in self._pending:
            self._grid.absorb(self._log_likelihood(self._grid, knob, seen))
        self._pending.clear()
        self._grid = self._closed_in(self._grid)
        settings = self.settings()
        return float(settings[int(np.argmax(self.expected_information(settings)))])

    def settings(self) -> Array:
        """Settings about the transition as it is believed now."""
        marginal = self._grid.refined(0)
        reach = max(3.0 * marginal.std, 8.0 / self._atoms)
        wanted = np.exp(marginal.mean + np.linspace(-reach, reach, _SETTINGS))
        inside: Array = np.unique(np.clip(wanted, *self._knob))
        return inside

    def expected_information(self, settings: Array) -> Array:
        """(settings,) expected information about u_c from one shot, nats; g averaged over."""
        cells = cells_of(self._grid.marginal(0), self._grid.axes[0].points, _CELLS)
        kernel = np.tensordot(self._grid.marginal(1), self._kernels, axes=1)
        together = -(-len(kernel) // _DESIGN_BINS)
        kernel = np.add.reduceat(kernel, np.arange(0, len(kernel), together), axis=0)
        ratios = (np.log(settings)[:, None] - cells.means[None, :]).ravel()
        populations = ladder_populations(ratios, self._atoms)
        mean = populations @ self._numbers
        plain = populations @ kernel.T
        slopes = (populations * (self._numbers - mean[:, None])) @ kernel.T
        safe = np.maximum(plain, 1e-30)
        fisher = (slopes**2 / safe).sum(axis=1).reshape(len(settings), -1)
        entropies = -(plain * np.log(safe)).sum(axis=1).reshape(len(settings), -1)
        mixed = np.einsum("scb,c->sb", plain.reshape(len(settings), -1, len(kernel)), cells.weights)
        between = (
            -(mixed * np.log(np.maximum(mixed, 1e-30))).sum(axis=1) - entropies @ cells.weights
        )
        inside = 0.5 * np.log1p(fisher * cells.variances) @ cells.weights
        total: Array = np.maximum(between, 0.0) + inside
        return total

    def tell(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in shots; see `update`."""
        self.update(records)

    def update(self, records: Mapping[str, ArrayLike]) -> None:
        """Take in a block of shots.

        Args:
            records: "counts" (shots, 1), "pump" (shots,) the knob's setting, above zero;
                "status" (shots,), optional.

        Raises:
            RecordError: on missing columns, wrong shapes or impossible counts; nothing of
                the block is kept.
        """
        refuse_unknown(records, ("counts", "pump"))
        counts, rejected = read_counts(records, 1)
        total = len(counts) + rejected
        pump = read_column(records, "pump", (total,), good_shots(records, total), lowest=1e-300)
        if counts.size and counts.max() >= self._edges[-1]:
            shot = int(np.argmax(counts[:, 0]))
            raise RecordError(
                f"Column `counts` must stay below {self._edges[-1]:g} for {self._atoms} atoms at "
                f"the believed gain, but good shot {shot} has {counts[shot, 0]:g}."
            )
        bins = np.searchsorted(self._edges, counts[:, 0], side="right") - 1
        for knob in np.unique(pump):
            seen = np.bincount(bins[pump == knob], minlength=len(self._edges) - 1)
            kept = self._histograms.get(float(knob))
            self._histograms[float(knob)] = seen if kept is None else kept + seen
            self._pending.append((float(knob), seen))
        self._rejected += rejected

    def posterior(self) -> GridPosterior:
        """Posterior of (ln u_c, ln g) from all shots, on a grid as fine as it needs."""
        return self._closed_in(self._filled(*self._range))

    def estimate(self, level: float = 0.95) -> Estimate:
        """Posterior of u_c and g: means, stds, shortest intervals."""
        grid = self.posterior()
        marginal, gain = grid.refined(0), grid.refined(1)
        centre = math.exp(marginal.mean)
        low, high = (math.exp(end) for end in marginal.interval(level))
        critical = Quantity(centre, centre * marginal.std, _about(centre, low, high), level, "")
        value = math.exp(gain.mean)
        ends = (math.exp(end) for end in gain.interval(level))
        amount = Quantity(value, value * gain.std, _about(value, *ends), level, "counts/atom")
        scale = np.array([centre, value])
        flags = []
        if not self._histograms:
            flags.append("no shots: the interval is that of the prior")
        width = math.exp(self._range[1]) - math.exp(self._range[0])
        if self._histograms and high - low > 0.5 * width:
            flags.append("the counts say little: the interval is a good part of the prior's range")
        check = self._check(marginal.mean, gain.mean)
        if check is not None and check.p_value < 1e-4:
            flags.append(f"the model does not describe the counts (p = {check.p_value:.1e})")
        diagnostics: dict[str, Any] = {
            "flags": flags,
            "settings_used": len(self._histograms),
            "rejected_shots": self._rejected,
            "interval": "shortest posterior interval",
        }
        return Estimate(
            estimator="adaptive_pumping",
            shots=self.shots,
            quantities={"critical_pump": critical, "gain": amount},
            names=("critical_pump", "gain"),
            covariance=grid.covariance() * np.outer(scale, scale),
            goodness_of_fit=check,
            diagnostics=diagnostics,
            assumptions=(
                f"{self._atoms} atoms, known; every shot a fresh steady state of the pumping",
                f"background of {self._background:g} counts, known",
                "gain free within its calibration; critical pump flat in its logarithm",
            ),
            identifiable=(math.exp(self._range[0]), math.exp(self._range[1])),
        )

    def _new_grid(self, low: float, high: float) -> GridPosterior:
        axes = (Axis("ln u_c", np.linspace(low, high, _POINTS)), Axis("ln g", self._gains))
        return GridPosterior(axes, np.broadcast_to(self._gain_prior, (_POINTS, _GAINS)))

    def _filled(self, low: float, high: float) -> GridPosterior:
        grid = self._new_grid(low, high)
        for knob in sorted(self._histograms):
            grid.absorb(self._log_likelihood(grid, knob, self._histograms[knob]))
        return grid

    def _closed_in(self, grid: GridPosterior) -> GridPosterior:
        """A finer grid about the posterior where that has become narrow."""
        for _ in range(_ROUNDS):
            points = grid.axes[0].points
            step = float(points[1] - points[0])
            weights = grid.marginal(0)
            mean = float(weights @ points)
            std = math.sqrt(float(weights @ (points - mean) ** 2))
            edge = max(float(weights[0]), float(weights[-1])) > 1e-6 * float(weights.max())
            if edge and (points[0] > self._range[0] or points[-1] < self._range[1]):
                grid = self._filled(*self._range)  # the answer has left the fine grid
                continue
            if std >= _CLOSE_IN * step:
                return grid
            reach = _REACH * max(std, 0.5 * step)
            low, high = max(self._range[0], mean - reach), min(self._range[1], mean + reach)
            if high - low > 0.9 * (points[-1] - points[0]):
                return grid
            grid = self._filled(low, high)
        return grid

    def _log_likelihood(self, grid: GridPosterior, knob: float, seen: NDArray[np.int64]) -> Array:
        """(points, gains) summed log-likelihood of the shots at one setting."""
        bins = np.flatnonzero(seen)
        populations = ladder_populations(math.log(knob) - grid.axes[0].points, self._atoms)
        kernels = self._kernels[:, bins, :].reshape(-1, self._numbers.size)
        chances = (populations @ kernels.T).reshape(_POINTS, _GAINS, bins.size)
        logs: Array = np.log(np.maximum(chances, 1e-300)) @ seen[bins].astype(np.float64)
        return logs

    def _check(self, log_critical: float, log_gain: float) -> GoodnessOfFit | None:
        kernel = bin_kernels(self._edges, math.exp(log_gain), self._background, self._atoms)[0]
        pairs = []
        for knob, histogram in self._histograms.items():
            ratio = np.array([math.log(knob) - log_critical])
            pairs.append((histogram, kernel @ ladder_populations(ratio, self._atoms)[0]))
        return check_histograms(pairs, by_probability=False)


def ladder_populations(log_ratios: Array, atoms: int) -> Array:
    """(ratios, N+1) steady-state populations p_n ~ e^{n X}, n = 0 … N excited atoms."""
    numbers = np.arange(atoms + 1.0)
    exponents = log_ratios[:, None] * numbers
    exponents -= np.maximum(log_ratios, 0.0)[:, None] * atoms
    weights = np.exp(exponents)
    populations: Array = weights / weights.sum(axis=1, keepdims=True)
    return populations


def _about(value: float, low: float, high: float) -> tuple[float, float]:
    return min(low, value), max(high, value)
