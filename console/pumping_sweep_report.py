"""How a pumping sweep is told: critical pump, lag, hysteresis, and the two curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .plain_report import Rows, bound_rows, fit_rows, quantity_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..protocols.engine import RunResult
    from ..protocols.protocol import ExperimentProtocol
    from .figures import RunningEstimate


def rows(result: RunResult, protocol: ExperimentProtocol) -> Rows:
    """Every quantity against the truth, and what the hysteresis is and is not."""
    estimate = result.estimate
    if estimate is None:
        return []
    told = [
        *quantity_rows(result, "critical_pump", "critical pump w/2π"),
        *quantity_rows(result, "collective_decay", "decay rate γ/2π"),
        ("", "the decay rate follows from the lag: the calibration of the pump is not used"),
    ]
    if "hysteresis_width" in estimate.quantities:
        width = estimate["hysteresis_width"].value * protocol.settings.atoms
        told += [
            *quantity_rows(result, "hysteresis_width", "width of the hysteresis"),
            (
                "",
                f"H = {0.5 * width / estimate['critical_pump'].value:.3g} in units of 2 γ/N: "
                "deterministic, no error bar",
            ),
            *quantity_rows(result, "midpoint", "average of up and down"),
        ]
    return [
        *told,
        *quantity_rows(result, "gain", "gain"),
        *quantity_rows(result, "background", "background"),
        *fit_rows(result),
        *bound_rows(result, "Hz"),
    ]


def figure(
    path: Path,
    result: RunResult,
    protocol: ExperimentProtocol,
    history: Sequence[RunningEstimate],
) -> Path | None:
    """Mean counts up and down with the fitted curves, and the critical pump as it settled."""
    from matplotlib.figure import Figure

    from .figures import draw_history

    estimate = result.estimate
    if estimate is None:
        return None
    critical = estimate["critical_pump"]
    truth = None if result.truth is None else result.truth.get("critical_pump")
    drawn = Figure(figsize=(11.0, 4.8), layout="constrained")
    left, right = drawn.subplots(1, 2)
    draw_ramps(left, result, protocol, truth)
    draw_history(
        right,
        [one for one in history if one.shots],
        truth=truth,
        limit=2 * critical.value / math.sqrt(protocol.settings.atoms),
        label="critical pump w/2π (Hz)",
    )
    drawn.suptitle(
        f"{protocol.name} at r = {protocol.settings.rate:g} γ: critical pump = {critical}, "
        f"{result.shots} shots"
    )
    drawn.savefig(path, dpi=150)
    return path


def draw_ramps(
    axes: Axes, result: RunResult, protocol: ExperimentProtocol, truth: float | None
) -> None:
    """Both directions against the pump, with standard errors, and the half level."""
    from .figures import BAND, DATA, FIT, TRUTH

    estimate = result.estimate
    if estimate is None:
        return
    low, high = estimate["critical_pump"].interval
    axes.axvspan(low, high, color=BAND, label="critical pump, 95 %")
    half = 0.5 * estimate["gain"].value * protocol.settings.atoms + estimate["background"].value
    axes.axhline(half, color="0.8", lw=0.8)
    for way, marker, colour, word in ((1, "^", DATA, "up"), (-1, "v", FIT, "down")):
        pumps, means, errors = _means(result.records, way)
        axes.errorbar(
            pumps, means, errors, fmt=marker, color=colour, ms=4.5, label=f"mean counts, {word}"
        )
        curve = fitted_means(protocol, estimate, way)
        axes.plot(*curve, color=colour, lw=1.4, label="fit" if way < 0 else None)
    if truth is not None:
        axes.axvline(truth, color=TRUTH, lw=1.0, ls="--", label="the laboratory's truth")
    axes.set_xlabel("pump w/2π by its calibration (Hz)")
    axes.set_ylabel("counts of a gate")
    axes.legend(loc="upper left", frameon=False, fontsize=8)


def fitted_means(protocol: ExperimentProtocol, estimate: Any, direction: int) -> tuple[Any, Any]:
    """Pumps and fitted mean counts of every counted part of one ramp."""
    from ..estimators import Calibrated
    from ..estimators.pumping_ramps_model import RampBeliefs, RampLikelihood, Stairs

    chosen = protocol.settings
    gain, background = estimate["gain"], estimate["background"]
    beliefs = RampBeliefs(
        atoms=chosen.atoms,
        up=chosen.ramp(1),
        down=chosen.ramp(-1),
        stair=chosen.stair_time,
        decay=chosen.decay,
        critical_pump=chosen.collective_decay_hz,
        gain=Calibrated(gain.value, 1.0),
        background=Calibrated(background.value, 1.0),
    )
    mine = [place.climbed for place in chosen.places() if place.direction == direction]
    every = {Stairs(direction, climbed): {0: 1} for climbed in range(min(mine), max(mine) + 1)}
    likelihood = RampLikelihood(beliefs, every)
    decay = 2 * math.pi * estimate["collective_decay"].value
    means, _, _ = likelihood.moments(
        estimate["critical_pump"].value, decay, gain.value, background.value
    )
    ramp = beliefs.ramp(direction)
    return [ramp[place.climbed] for place in likelihood.places], means


def _means(records: Any, direction: int) -> tuple[Any, Any, Any]:
    """Pumps, mean counts of good shots and their standard errors, of one direction."""
    import numpy as np

    good = records["status"].values == 1
    points = records["point_index"].values[good]
    counts = records["counts"].values[good, 0].astype(float)
    mine = records["direction"].values[points] == direction
    pumps, place = np.unique(records["pump"].values[points[mine]], return_inverse=True)
    counts, shots = counts[mine], np.bincount(place)
    means = np.bincount(place, counts) / shots
    spread = np.bincount(place, (counts - means[place]) ** 2) / np.maximum(shots - 1, 1)
    return pumps, means, np.sqrt(spread / shots)
