"""How the run of a calibration by pulses is told: populations of every setting."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .plain_report import rows

if TYPE_CHECKING:
    from ..protocols.engine import RunResult
    from ..protocols.protocol import ExperimentProtocol
    from .figures import RunningEstimate

__all__ = ["figure", "rows"]


def figure(
    path: Path,
    result: RunResult,
    protocol: ExperimentProtocol,
    history: Sequence[RunningEstimate],
) -> Path | None:
    """Mean atoms up at each setting against what was varied most, with standard errors."""
    import numpy as np
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    from ..protocols.engine.result import stored_records

    del history
    estimate = result.estimate
    if estimate is None:
        return None
    records = stored_records(result.run)
    good = records["status"] == 1
    atoms = records["counts"][good].mean(axis=1)
    calibrated = "gain" in estimate.quantities
    if calibrated:
        atoms = (atoms - estimate["background"].value) / estimate["gain"].value
    names = [point.name for point in protocol.set_points]
    settings = np.stack([np.asarray(records[name])[good] for name in names])
    distinct, place = np.unique(settings, axis=1, return_inverse=True)
    place = place.reshape(-1)
    drawn = Figure(figsize=(7.0, 4.8), layout="constrained")
    axes = drawn.subplots()
    counted = [len(np.unique(row)) for row in distinct]
    chosen = max(range(len(names)), key=lambda k: (counted[k], k))  # what was varied most
    across, rest = distinct[chosen], np.delete(distinct, chosen, axis=0)
    others = [name for name in names if name != names[chosen]]
    curves, member = np.unique(rest, axis=1, return_inverse=True)
    for number in range(max(curves.shape[1], 1)):
        on = np.flatnonzero(member.reshape(-1) == number) if others else np.arange(across.size)
        mean = [atoms[place == one].mean() for one in on]
        error = [atoms[place == one].std() / np.sqrt((place == one).sum()) for one in on]
        label = ", ".join(f"{n} = {curves[k, number]:.4g}" for k, n in enumerate(others))
        axes.errorbar(across[on], mean, error, fmt="o", ms=4, lw=0.8, label=label or None)
    varied = protocol.set_points[chosen]
    axes.set_xlabel(f"{varied.long_name} ({varied.unit})" if varied.unit else varied.long_name)
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.set_ylabel("atoms up in each ensemble" if calibrated else "counts of a gate")
    if "delay" in estimate.quantities:
        fine = np.linspace(across.min(), across.max(), 400)
        fitted = ("delay", "time_constant", "before", "after")
        delay, constant, before, after = (estimate[name].value for name in fitted)
        left = np.exp(-np.maximum(fine - delay, 0.0) / constant)
        axes.plot(fine, after + (before - after) * left, lw=1.0, color="0.5", zorder=0)
    if others:
        axes.legend(frameon=False, fontsize=8)
    headline = protocol.quantities[0]
    axes.set_title(f"{protocol.name}: {headline} = {estimate[headline]}, {result.shots} shots")
    drawn.savefig(path, dpi=150)
    return path
