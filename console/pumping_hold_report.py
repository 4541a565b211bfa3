"""How a held pump is told: the critical pump, what it rests on, and the figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .plain_report import Rows, bound_rows, fit_rows, quantity_rows

if TYPE_CHECKING:
    from ..protocols.engine import RunResult
    from ..protocols.protocol import ExperimentProtocol
    from .figures import RunningEstimate


def rows(result: RunResult, protocol: ExperimentProtocol) -> Rows:
    """The critical pump against the truth, the calibrated rates, and what limits a window."""
    estimate = result.estimate
    if estimate is None:
        return []
    light = estimate["half_rate"].value * protocol.settings.gate
    noise = light**2 / (3.0 * protocol.settings.decay * protocol.settings.gate)
    return [
        *quantity_rows(result, "critical_pump", "critical pump w/2π"),
        *quantity_rows(result, "half_rate", "light, half of atoms"),
        *quantity_rows(result, "background_rate", "background"),
        *quantity_rows(result, "collective_decay", "decay rate γ/2π"),
        *fit_rows(result),
        *bound_rows(result, "Hz"),
        (
            "readout",
            f"{estimate.diagnostics['readout']}: in a window {light:.4g} photons of half of the "
            f"atoms, ± {math.sqrt(light):.2g} by themselves, ± {math.sqrt(noise):.2g} by the atoms",
        ),
    ]


def figure(
    path: Path,
    result: RunResult,
    protocol: ExperimentProtocol,
    history: Sequence[RunningEstimate],
) -> Path | None:
    """Counts of all windows in order, with the level of half of the atoms; the pump as it went."""
    import numpy as np
    from matplotlib.figure import Figure

    from .figures import DATA, FIT, draw_history

    estimate = result.estimate
    if estimate is None:
        return None
    records = result.records
    good = records["status"].values == 1
    counts = records["counts"].values[good, 0]
    pump = records["pump"].values[records["point_index"].values[good]]
    half = (estimate["half_rate"].value + estimate["background_rate"].value) * (
        protocol.settings.gate
    )
    bounds = result.bounds
    truth = None if result.truth is None else result.truth.get("critical_pump")
    drawn = Figure(figsize=(11.0, 4.8), layout="constrained")
    left, right = drawn.subplots(1, 2)
    left.plot(counts, ".", color=DATA, ms=4, alpha=0.7, label="counts of a window")
    left.axhline(half, color=FIT, lw=1.6, label="half of the atoms")
    left.set_xlabel("window")
    left.set_ylabel("counts")
    left.legend(loc="upper right", frameon=False)
    draw_history(
        right,
        [one for one in history if one.shots],
        truth=truth,
        limit=None if bounds is None else bounds.standard_quantum_limit_std * result.shots**0.5,
        label="critical pump w/2π (Hz)",
    )
    right.plot(np.arange(1, pump.size + 1), pump, color="0.3", lw=0.8, label="pump that was held")
    right.legend(loc="upper right", frameon=False)
    drawn.suptitle(
        f"{protocol.name}: critical pump = {estimate['critical_pump']}, {result.shots} windows"
    )
    drawn.savefig(path, dpi=150)
    return path
