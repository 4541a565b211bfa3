"""Table of ln P(outcome | phase) of an ellipse for look-ups online: nuisances known.

P is a cosine series in 2 phi with 2S harmonics (common phase uniform), so that 2S+1 exact
distributions give it at every phase. Outcomes are pairs of bins of counts, as wide as costs
next to nothing: one atom where the counts tell atoms apart, else a part of the counting noise.
P is the same for both orders of a pair, so that the pairs are taken without order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from ..models.ellipse import EllipseReadout
from ..models.two_ensembles import TwoEnsembles, steady_state
from .ellipse_beliefs import EllipseBeliefs
from .grid_posterior import OutcomeTable, check_size
from .likelihood_table import bin_kernels
from .records import RecordError

Array = NDArray[np.float64]

STEP = 0.15  # of 1/sqrt(information of a shot): spacing of the phases
_BIN = 0.8  # of the counting noise: width of a bin of counts
_LARGEST_SPIN = 100.0


@dataclass(frozen=True, slots=True, eq=False)
class PhaseTable:
    """Outcomes of a shot and their probabilities at phases from 0 to pi/2.

    Attributes:
        phases: equally spaced, both folds included.
        table: ln P with outliers.
        information: (phases,) Fisher information of one shot on phi.
        edges: of the bins of counts, the same for both ports; a bin holds low <= c < high.
        assumptions: in words.
    """

    phases: Array = field(repr=False)
    table: OutcomeTable = field(repr=False)
    information: Array = field(repr=False)
    edges: Array = field(repr=False)
    assumptions: tuple[str, ...] = ()

    def outcomes(self, counts: Array) -> NDArray[np.int64]:
        """Index of the outcome of every shot.

        Raises:
            RecordError: for counts beyond what the detector of the model can give.
        """
        top = float(self.edges[-1])
        if counts.size and counts.max() >= top:
            shot, port = (int(i) for i in np.argwhere(counts >= top)[0])
            raise RecordError(
                f"Column `counts` must stay below {top:g} for the believed atoms, gain and "
                f"background, but shot {shot}, detector {port} has {counts[shot, port]:g}."
            )
        bins = np.searchsorted(self.edges, counts, side="right") - 1
        low, high = bins.min(axis=1), bins.max(axis=1)
        flat: NDArray[np.int64] = (high * (high + 1) // 2 + low).astype(np.int64)
        return flat


def state_table(beliefs: EllipseBeliefs, *, outliers: float = 1e-3) -> PhaseTable:
    """Exact table of the dissipatively prepared state, counting noise included.

    Args:
        beliefs: taken at their values; their covariance is not used.
        outliers: share of stray shots, spread evenly.

    Raises:
        ValueError: for a spin above 100 or a table beyond the memory cap.
    """
    _check_spin(beliefs.spin)
    state = steady_state(TwoEnsembles(beliefs.spin, 1.0, abs(beliefs.detuning_ratio)))
    readout = EllipseReadout(beliefs.spin, state.weights.size - 1)
    edges = count_edges(beliefs.gain, beliefs.background, beliefs.atoms)
    kernel, _ = bin_kernels(edges, beliefs.gain, beliefs.background, beliefs.atoms)
    nodes = _series_phases(beliefs.atoms)
    exact = np.stack(
        [
            (kernel @ readout.distribution(state.weights, float(phase), beliefs.pulse_area))
            @ kernel.T
            for phase in nodes
        ]
    )
    words = (
        f"two ensembles of {beliefs.atoms} atoms in the dissipatively prepared state, common "
        "phase uniform",
        "contrast, pulse, gain and background known at their calibrated values",
        f"{outliers:g} of the shots stray",
    )
    return _finish(exact, edges, float(state.qfi), outliers, words)


def coherent_table(
    atoms: int,
    contrast: float = 1.0,
    *,
    gain: float | None = None,
    background: float = 0.0,
    outliers: float = 1e-3,
) -> PhaseTable:
    """Table of independent atoms, p = (1 + C sin(phi +- theta))/2.

    Args:
        atoms: in each ensemble.
        contrast: C, in (0, 1].
        gain: counts per atom; None: the counts are atom numbers.
        background: counts without atoms.
        outliers: share of stray shots, spread evenly.

    Raises:
        ValueError: on values outside these rules, or a table beyond the memory cap.
    """
    _check_spin(0.5 * atoms)
    if not 0.0 < contrast <= 1.0:
        raise ValueError(f"Argument `contrast` must lie in (0, 1], but is {contrast!r}.")
    common = 2.0 * math.pi * (np.arange(2 * atoms + 2) + 0.5) / (2 * atoms + 2)
    number = np.arange(atoms + 1)

    def port(angle: Array) -> Array:
        chance = 0.5 * (1.0 + contrast * np.sin(angle))
        return np.asarray(binom.pmf(number[:, None], atoms, chance), dtype=np.float64)

    if gain is None:
        edges, kernel = np.arange(atoms + 2.0), np.eye(atoms + 1)
    else:
        edges = count_edges(gain, background, atoms)
        kernel, _ = bin_kernels(edges, gain, background, atoms)
    exact = np.stack(
        [
            (kernel @ port(common + phase)) @ (kernel @ port(phase - common)).T / common.size
            for phase in _series_phases(atoms)
        ]
    )
    words = (
        f"two ensembles of {atoms} independent atoms, contrast {contrast:g}, common phase uniform",
        "contrast, gain and background known",
        f"{outliers:g} of the shots stray",
    )
    return _finish(exact, edges, 2.0 * atoms * contrast**2, outliers, words)


def count_edges(gain: float, background: float, atoms: int) -> Array:
    """Edges of bins of counts: part of the counting noise, or one atom where atoms are resolved."""
    noise = math.sqrt(0.5 * gain * atoms + background)
    top = gain * atoms + background
    ceiling = math.ceil(top + 9.0 * math.sqrt(top) + 10.0)
    if noise < 0.3 * gain:
        inner = np.rint(background + gain * (np.arange(atoms) + 0.5))
    else:
        width = min(max(1.0, _BIN * noise), gain if noise < gain else top)
        inner = np.rint(np.arange(width, top, width))
    return np.unique(np.concatenate([[0.0], inner[inner > 0.0], [ceiling]]))


def _check_spin(spin: float) -> None:
    if not 0.5 <= spin <= _LARGEST_SPIN:
        raise ValueError(
            f"A table of outcomes is made for spins up to {_LARGEST_SPIN:g}, but the spin is "
            f"{spin!r}; beyond it take the Gaussian ring of `EllipsePhase`."
        )


def _series_phases(atoms: int) -> Array:
    return 0.5 * math.pi * (np.arange(atoms + 1) + 0.5) / (atoms + 1)


def _finish(
    exact: Array, edges: Array, largest: float, outliers: float, words: tuple[str, ...]
) -> PhaseTable:
    """From the distributions at the nodes of the series to all phases."""
    nodes, bins = len(exact), exact.shape[1]
    count = max(64, math.ceil(0.5 * math.pi * math.sqrt(largest) / STEP)) + 1
    cells = bins * (bins + 1) // 2
    check_size((cells, count))
    high, low = np.tril_indices(bins)
    pairs = (exact[:, high, low] + exact[:, low, high]) * np.where(high == low, 0.5, 1.0)
    orders = np.arange(nodes)
    waves = np.cos(2.0 * np.outer(orders, _series_phases(nodes - 1))) * (2.0 / nodes)
    waves[0] *= 0.5
    series = waves @ pairs
    phases = np.linspace(0.0, 0.5 * math.pi, count)
    angles = 2.0 * np.outer(orders, phases)
    table = np.maximum(series.T @ np.cos(angles), 0.0)
    table /= table.sum(axis=0)
    slopes = series.T @ (-2.0 * orders[:, None] * np.sin(angles))
    mixed = (1.0 - outliers) * table + outliers / cells
    information = ((1.0 - outliers) ** 2 * slopes**2 / np.maximum(mixed, 1e-300)).sum(axis=0)
    return PhaseTable(phases, OutcomeTable(table, outliers), information, edges, words)
