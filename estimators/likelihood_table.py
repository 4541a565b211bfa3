"""Exact likelihood of raw counts for the two-ensemble state: outcome table and counting noise.

    L_shot = sum_{n1,n2} Poisson(c1; g n1 + b) P(n1, n2) Poisson(c2; g n2 + b),
    P(n1, n2) = P(n1, n2 | phi, Delta/Omega, beta),

with the common phase uniform (Chu Eq. 16). P is a cosine series in 2 phi with 2S harmonics,
so that 2S+1 tables give every shot's likelihood at any phase: the scan for local maxima
costs little more than one evaluation.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtr

from ..models.ellipse import EllipseReadout
from ..models.two_ensembles import TwoEnsembles, log_weights_derivative, steady_state
from .counting_kernels import LEAST_BACKGROUND, CountFold, log_factorials
from .ellipse_beliefs import EllipseBeliefs, natural
from .ellipse_posterior import ShotLikelihood

Array = NDArray[np.float64]

LARGEST_SPIN = 150.0
_BLOCK = 4096  # shots folded at once
_DENSITIES = 2**18  # of a scan of detectors held at once
_SERIES_UP_TO = 100.0  # spin; beyond it the cosine series takes too long to build
_SCAN_CUTOFF = 1e-7  # weights p_J below it do not move a start
_SMALLEST = 1e-300


class TableLikelihood:
    """Density of counts at any parameters, for the family of steady states of one spin.

    The five parameters are phi, ln(Delta/Omega), ln(beta), ln(gain) and background.

    Args:
        beliefs: where the nuisances are expected; the scan is made there.

    Raises:
        ValueError: when the spin is beyond what a table can hold.
    """

    def __init__(self, beliefs: EllipseBeliefs) -> None:
        if beliefs.spin > LARGEST_SPIN:
            raise ValueError(
                f"Argument `beliefs.spin` must not exceed {LARGEST_SPIN:g} for an exact table, "
                f"but is {beliefs.spin:g}."
            )
        self._beliefs = beliefs
        self._readout: EllipseReadout | None = None
        self._known = beliefs.directions.shape[1] == 0 and beliefs.spin <= _SERIES_UP_TO
        self._folded: tuple[Array, Array] | None = None
        self._state = steady_state(TwoEnsembles(beliefs.spin, 1.0, abs(beliefs.detuning_ratio)))

    @property
    def name(self) -> str:
        """Name of the measurement model."""
        return "exact_table"

    @property
    def resolves_atoms(self) -> bool:
        """Whether single-atom fringes are in the model."""
        return True

    @property
    def fringe_scale(self) -> float:
        """1/sqrt(quantum Fisher information): the scale on which L changes with phi, radians."""
        return 1.0 / math.sqrt(self._state.qfi)

    @property
    def believed_state(self) -> ShotLikelihood | None:
        """The same with Delta/Omega and pulse area held where they are believed: cheaper."""
        series = not self._known and self._beliefs.spin <= _SERIES_UP_TO
        return BelievedState(self, self._beliefs) if series else None

    def evaluate(self, counts: Array, phase: float, nuisances: Array) -> tuple[Array, Array]:
        """Density of every shot and its derivatives.

        Args:
            counts: (shots, 2).
            phase: phi, radians.
            nuisances: (ln ratio, ln pulse area, ln gain, background).

        Returns:
            (shots,) densities and (shots, 5) derivatives by the five parameters.
        """
        if self._known:
            return self._evaluate_known(counts, phase, nuisances)
        _, _, gain, background = natural(nuisances)
        tables = self.tables(phase, nuisances)
        densities, slopes = [], []
        for block in _blocks(counts):
            fold = CountFold(
                block, log_factorials(block), gain, background, self._beliefs.atoms
            ).fold_with_slopes(tables)
            densities.append(fold.values[:, 0])
            slopes.append(
                np.column_stack([fold.values[:, 1:], fold.by_log_gain, fold.by_background])
            )
        return np.concatenate(densities), np.concatenate(slopes)

    def _evaluate_known(self, counts: Array, phase: float, nuisances: Array) -> tuple[Array, Array]:
        """Nothing but the phase is free: every shot is folded once, into its cosine series."""
        folded = self._series_of_shots(counts, nuisances)
        turns = 2.0 * np.arange(self._beliefs.atoms + 1)
        density = np.maximum(folded @ np.cos(turns * phase), _SMALLEST)
        slopes = np.zeros((len(counts), 5))
        slopes[:, 0] = folded @ (-turns * np.sin(turns * phase))
        return density, slopes

    def _series_of_shots(self, counts: Array, nuisances: Array) -> Array:
        """(shots, 2S+1) coefficients of every shot's likelihood; the last shots' are kept."""
        if self._folded is not None and np.array_equal(self._folded[0], counts):
            return self._folded[1]
        _, _, gain, background = natural(nuisances)
        series = self._cosine_series()
        rows = [
            CountFold(block, log_factorials(block), gain, background, self._beliefs.atoms).fold(
                series
            )
            for block in _blocks(counts)
        ]
        found: Array = np.concatenate(rows)
        self._folded = (counts, found)
        return found

    def tables(self, phase: float, nuisances: Array) -> Array:
        """(4, d, d): P and its derivatives by phi, ln(Delta/Omega), ln(beta)."""
        ratio, area = float(np.exp(nuisances[0])), float(np.exp(nuisances[1]))
        weights = steady_state(TwoEnsembles(self._beliefs.spin, 1.0, ratio)).weights
        slopes = log_weights_derivative(self._beliefs.spin, ratio, weights.size - 1)
        found = self._readout_for(weights.size - 1).derivatives(weights, phase, area, slopes)
        return np.stack([found.P, found.d_phase, found.d_log_ratio, area * found.d_pulse_area])

    def scan(self, counts: Array, phases: Array, nuisances: Array) -> Array:
        """(shots, phases) densities, with ratio and pulse area as believed whatever is given."""
        if self._known:
            turns = 2.0 * np.arange(self._beliefs.atoms + 1)
            folded = self._series_of_shots(counts, nuisances)
            return np.maximum(folded @ np.cos(np.outer(turns, phases)), 0.0)
        _, _, gain, background = natural(nuisances)
        rows = []
        for block in _blocks(counts):
            fold = CountFold(block, log_factorials(block), gain, background, self._beliefs.atoms)
            if self._beliefs.spin <= _SERIES_UP_TO:
                harmonics = np.arange(self._beliefs.atoms + 1)
                waves = np.cos(2.0 * np.outer(harmonics, phases))
                rows.append(np.maximum(fold.fold(self._cosine_series()) @ waves, 0.0))
            else:
                rows.append(fold.fold(np.stack([self._scan_table(phase) for phase in phases])))
        return np.concatenate(rows)

    def scan_detectors(self, counts: Array, phases: Array, nuisances: Array) -> Iterator[Array]:
        """`scan` for many gains and backgrounds, some of them at a time.

        Args:
            counts: (shots, 2).
            phases: phi, radians.
            nuisances: (detectors, 4); ratio and pulse area as believed whatever is given.

        Yields:
            (detectors, shots, phases) densities, in the order of `nuisances`.
        """
        if self._beliefs.spin > _SERIES_UP_TO:
            yield from (self.scan(counts, phases, row)[None] for row in nuisances)
            return
        size, shots = self._beliefs.atoms + 1, len(counts)
        waves = np.cos(2.0 * np.outer(np.arange(size), phases))
        tables = self._cosine_series().reshape(size, -1).T @ waves  # cells first in memory
        step = max(1, _DENSITIES // max(1, shots * len(phases)))
        for part in np.split(nuisances, range(step, len(nuisances), step)):
            seen = np.tile(counts, (len(part), 1))
            gains, backgrounds = np.repeat(np.exp(part[:, 2]), shots), np.repeat(part[:, 3], shots)
            fold = CountFold(seen, log_factorials(seen), gains, backgrounds, self._beliefs.atoms)
            density = (fold.cells() @ tables).reshape(len(part), shots, -1)
            yield np.maximum(density, 0.0, out=density)

    def cell_probabilities(
        self, phase: float, nuisances: Array, edges: tuple[Array, Array]
    ) -> tuple[Array, Array]:
        """Probabilities of rectangles of counts, and their derivatives by the five parameters.

        Args:
            edges: rising whole numbers for each port; cell i holds the counts c with
                edges[i] <= c < edges[i+1].

        Returns:
            (cells1, cells2) and (5, cells1, cells2).
        """
        _, _, gain, background = natural(nuisances)
        if self._known and np.array_equal(nuisances, self._beliefs.centre):
            moving = self.believed_tables(phase)
            tables = np.concatenate([moving, np.zeros_like(moving)])  # nothing asks for the rest
        else:
            tables = self.tables(phase, nuisances)
        left, left_slope = bin_kernels(edges[0], gain, background, self._beliefs.atoms)
        right, right_slope = bin_kernels(edges[1], gain, background, self._beliefs.atoms)
        atoms = np.arange(self._beliefs.atoms + 1, dtype=np.float64)
        plain = [left @ table @ right.T for table in tables]
        turned = [
            (left_slope * weight) @ tables[0] @ right.T
            + left @ tables[0] @ (right_slope * weight).T
            for weight in (gain * atoms, np.ones_like(atoms))
        ]
        return plain[0], np.stack([*plain[1:], *turned])

    def _readout_for(self, max_j: int) -> EllipseReadout:
        """A readout that reaches at least to `max_j`."""
        if self._readout is None or self._readout.max_J < max_j:
            reach = min(self._beliefs.atoms, max_j + 4)
            self._readout = EllipseReadout(self._beliefs.spin, reach)
        return self._readout

    def _scan_table(self, phase: float) -> Array:
        weights = np.where(self._state.weights > _SCAN_CUTOFF, self._state.weights, 0.0)
        readout = self._readout_for(weights.size - 1)
        return readout.distribution(weights, phase, self._beliefs.pulse_area)

    def believed_tables(self, phase: float) -> Array:
        """(2, d, d): P and its derivative by phi from the cosine series."""
        beliefs = self._beliefs
        size = beliefs.atoms + 1
        turns = 2.0 * np.arange(size)
        waves = np.column_stack([np.cos(turns * phase), -turns * np.sin(turns * phase)])
        half = _half_series(
            beliefs.spin,
            abs(beliefs.detuning_ratio),
            beliefs.pulse_area,
            0.0 if self._known else _SCAN_CUTOFF,
        )
        upper = np.triu_indices(size)
        tables = np.empty((2, size, size))
        tables[:, upper[0], upper[1]] = tables[:, upper[1], upper[0]] = (half @ waves).T
        return tables

    def _cosine_series(self) -> Array:
        """(2S+1, d, d) coefficients of cos(2 k phi); exact where they are the answer."""
        beliefs = self._beliefs
        cutoff = 0.0 if self._known else _SCAN_CUTOFF
        return _series_of(beliefs.spin, abs(beliefs.detuning_ratio), beliefs.pulse_area, cutoff)


class BelievedState:
    """`TableLikelihood` with Delta/Omega and pulse area held; for the first steps of a search.

    Args:
        table: the likelihood.
        beliefs: its beliefs.
    """

    def __init__(self, table: TableLikelihood, beliefs: EllipseBeliefs) -> None:
        self._table, self._beliefs = table, beliefs
        self.name, self.resolves_atoms = table.name, True
        self.fringe_scale = table.fringe_scale
        self.scan, self.cell_probabilities = table.scan, table.cell_probabilities

    def evaluate(self, counts: Array, phase: float, nuisances: Array) -> tuple[Array, Array]:
        """As `TableLikelihood.evaluate`; the slopes by what is held are zero."""
        _, _, gain, background = natural(nuisances)
        tables = self._table.believed_tables(phase)
        densities, slopes = [], []
        for block in _blocks(counts):
            fold = CountFold(
                block, log_factorials(block), gain, background, self._beliefs.atoms
            ).fold_with_slopes(tables)
            densities.append(np.maximum(fold.values[:, 0], _SMALLEST))
            held = np.zeros((len(block), 2))
            own = fold.values[:, 1]
            slopes.append(np.column_stack([own, held, fold.by_log_gain, fold.by_background]))
        return np.concatenate(densities), np.concatenate(slopes)


@functools.lru_cache(maxsize=2)
def _series_of(spin: float, ratio: float, pulse_area: float, cutoff: float) -> Array:
    """From tables at 2S+1 phases; kept, because a run is fitted more than once."""
    weights = steady_state(TwoEnsembles(spin, 1.0, ratio)).weights
    weights = np.where(weights > cutoff, weights, 0.0)
    readout = EllipseReadout(spin, weights.size - 1)
    count = round(2.0 * spin) + 1
    phases = math.pi / 2.0 * (np.arange(count) + 0.5) / count
    tables = np.stack([readout.distribution(weights, p, pulse_area).ravel() for p in phases])
    waves = np.cos(2.0 * np.outer(np.arange(count), phases)) * (2.0 / count)
    waves[0] *= 0.5
    # Cells first in memory, as folds want them: a copy for every fold would cost more than it.
    by_cell = np.ascontiguousarray((waves @ tables).T)
    return by_cell.T.reshape(count, count, count)


@functools.lru_cache(maxsize=2)
def _half_series(spin: float, ratio: float, pulse_area: float, cutoff: float) -> Array:
    """(cells with n1 <= n2, 2S+1): the ensembles may be exchanged, so that half is enough."""
    series = _series_of(spin, ratio, pulse_area, cutoff)
    upper = np.triu_indices(len(series))
    return np.ascontiguousarray(series[:, upper[0], upper[1]].T)


def bin_kernels(edges: Array, gain: float, background: float, atoms: int) -> tuple[Array, Array]:
    """Probability that the counts of n atoms fall into each bin, and its slope by the mean.

    Args:
        edges: rising whole numbers; a bin holds edges[i] <= c < edges[i+1].

    Returns:
        (bins, atoms+1) each.
    """
    mean = gain * np.arange(atoms + 1, dtype=np.float64) + max(background, LEAST_BACKGROUND)
    last = np.asarray(edges, dtype=np.float64)[:, None] - 1.0
    inside = last >= 0.0
    whole = np.maximum(last, 0.0)
    cumulative = np.where(inside, pdtr(whole, mean), 0.0)
    log_mass = whole * np.log(mean) - mean - log_factorials(whole)
    mass = np.where(inside, np.exp(log_mass), 0.0)
    return np.diff(cumulative, axis=0), -np.diff(mass, axis=0)


def _blocks(counts: Array) -> list[Array]:
    return [counts[i : i + _BLOCK] for i in range(0, len(counts), _BLOCK)] or [counts]
