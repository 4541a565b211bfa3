"""Figures of runs: the estimate as it settled, and the ellipse of a Ramsey run with its fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

DATA, FIT, TRUTH, BAND = "#3b6ea5", "#c0392b", "#2c3e50", "#e8b4ae"


@dataclass(frozen=True, slots=True)
class RunningEstimate:
    """The headline quantity after some shots: its value and its interval."""

    shots: int
    value: float
    low: float
    high: float


def ellipse_points(
    phase: float, contrast: float, samples: int = 400
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean populations (p₁, p₂) over one turn of the common phase (Chu Eq. 17)."""
    theta = np.linspace(0.0, 2.0 * np.pi, samples)
    half = 0.5 * contrast
    return 0.5 + half * np.sin(phase + theta), 0.5 + half * np.sin(phase - theta)


def draw_ellipse(
    axes: Axes,
    counts: NDArray[Any],
    *,
    gain: float,
    background: float,
    atoms: int,
    phase: float,
    contrast: float,
) -> None:
    """Counts (shots, 2) turned into populations, and the ellipse of the fitted phase."""
    p = (np.asarray(counts, dtype=float) - background) / (gain * atoms)
    axes.plot(p[:, 0], p[:, 1], ".", color=DATA, ms=3, alpha=0.45, label=f"{len(p)} shots")
    x, y = ellipse_points(phase, contrast)
    axes.plot(x, y, color=FIT, lw=1.8, label=f"fit: φ = {phase:.4f} rad")
    axes.set_xlabel("population of ensemble 1,  $p_1$")
    axes.set_ylabel("population of ensemble 2,  $p_2$")
    axes.set_aspect("equal")
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(-0.05, 1.05)
    axes.legend(loc="upper right", frameon=False)


def draw_history(
    axes: Axes,
    history: Sequence[RunningEstimate],
    *,
    truth: float | None,
    limit: float | None,
    label: str,
) -> None:
    """The running estimate with its 95 % interval, the truth if known, and the SQL's band.

    Args:
        axes: Where to draw.
        history: The running estimates, in order.
        truth: The hidden value, in a rehearsal.
        limit: Standard quantum limit of one shot, as a standard deviation; None: no band.
        label: Of the vertical axis.
    """
    if not history:
        axes.set_axis_off()
        return
    n = np.array([h.shots for h in history])
    value = np.array([h.value for h in history])
    low = np.array([h.low for h in history])
    high = np.array([h.high for h in history])
    centre = truth if truth is not None else value[-1]
    if limit is not None:
        # The 95 % band that uncorrelated atoms would reach with the same number of shots.
        band = 1.96 * limit / np.sqrt(n)
        axes.fill_between(
            n, centre - band, centre + band, color="0.88", label="standard quantum limit, 95 %"
        )
    axes.fill_between(n, low, high, color=BAND, label="this run, 95 %")
    axes.plot(n, value, color=FIT, lw=1.6, marker="o", ms=3.5, label="estimate")
    if truth is not None:
        axes.axhline(truth, color=TRUTH, lw=1.0, ls="--", label="the laboratory's truth")
    axes.set_xlabel("shots")
    axes.set_ylabel(label)
    axes.legend(loc="upper right", frameon=False)


def ramsey_figure(
    path: Path,
    counts: NDArray[Any],
    history: Sequence[RunningEstimate],
    fitted: Mapping[str, float],
    *,
    spin: float,
    contrast: float,
    truth: float | None,
    title: str,
    label: str = "differential phase φ (rad)",
) -> Path:
    """Write the two-panel figure and return its path.

    Args:
        path: Where to write (the suffix chooses the format).
        counts: Raw counts, shape (shots, 2).
        history: The running estimates, in order.
        fitted: Values of ``phase``, ``gain`` and ``background``.
        spin: S of each ensemble.
        contrast: Diameter of the ellipse in p, |X|/2S (Chu Eq. 17).
        truth: What the history converges to, in a rehearsal.
        title: Line above the panels.
        label: What the history is of, with its unit.
    """
    figure = Figure(figsize=(11.0, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_ellipse(
        left,
        counts,
        gain=fitted["gain"],
        background=fitted["background"],
        atoms=round(2 * spin),
        phase=fitted["phase"],
        contrast=contrast,
    )
    draw_history(
        right,
        history,
        truth=truth,
        limit=0.5 / np.sqrt(spin),
        label=label,
    )
    figure.suptitle(title)
    figure.savefig(path, dpi=150)
    return path
