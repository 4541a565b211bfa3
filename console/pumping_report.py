"""How a pumping scan is told: the critical pump, what its precision rests on, and the figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .plain_report import Rows, bound_rows, fit_rows, quantity_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..estimators import Estimate
    from ..protocols.engine import RunResult
    from ..protocols.protocol import ExperimentProtocol
    from .figures import RunningEstimate


def rows(result: RunResult, protocol: ExperimentProtocol) -> Rows:
    """The critical pump and the decay rate against the truth, and the limits."""
    estimate = result.estimate
    if estimate is None:
        return []
    atoms = protocol.settings.atoms
    critical = estimate["critical_pump"]
    decay = estimate["collective_decay"]
    pump = math.sqrt(max(0.0, decay.std**2 - critical.std**2))
    return [
        *quantity_rows(result, "critical_pump", "critical pump w/2π"),
        *quantity_rows(result, "collective_decay", "decay rate γ/2π"),
        ("", f"of the decay rate's error ± {pump:.2g} Hz is the calibration of the pump"),
        *quantity_rows(result, "gain", "gain"),
        *quantity_rows(result, "background", "background"),
        *fit_rows(result),
        *bound_rows(result, "Hz"),
        (
            "",
            f"the transition is {2 * critical.value / atoms:.2g} Hz wide (2 γ/N); the limit is of "
            f"{atoms} independent atoms, all shots at the critical pump",
        ),
        *_droop_rows(result, estimate),
        (
            "readout",
            f"{estimate.diagnostics['readout']}: at the critical pump the atoms' number varies "
            f"{estimate.diagnostics['atomic_over_photon_variance']:.2g} times as much as the "
            "photons",
        ),
    ]


def _droop_rows(result: RunResult, estimate: Estimate) -> Rows:
    """How far the three-level pump has moved the transition."""
    if "half_excited_pump" not in estimate.quantities:
        return []
    shift = estimate["half_excited_pump"].value / estimate["critical_pump"].value - 1.0
    return [
        *quantity_rows(result, "half_excited_pump", "half of the atoms up"),
        ("", f"the finite detuning has moved the transition by {shift:+.2%} of the pump"),
    ]


def figure(
    path: Path,
    result: RunResult,
    protocol: ExperimentProtocol,
    history: Sequence[RunningEstimate],
) -> Path | None:
    """Mean counts against the pump with the fitted curve, and the critical pump as it settled."""
    from matplotlib.figure import Figure

    from .figures import draw_history

    estimate = result.estimate
    if estimate is None:
        return None
    atoms = protocol.settings.atoms
    critical = estimate["critical_pump"]
    truth = None if result.truth is None else result.truth.get("critical_pump")
    drawn = Figure(figsize=(11.0, 4.8), layout="constrained")
    left, right = drawn.subplots(1, 2)
    draw_scan(left, result, atoms, truth)
    draw_history(
        right,
        [one for one in history if one.shots],
        truth=truth,
        limit=2 * critical.value / math.sqrt(atoms),
        label="critical pump w/2π (Hz)",
    )
    drawn.suptitle(f"{protocol.name}: critical pump = {critical}, {result.shots} shots")
    drawn.savefig(path, dpi=150)
    return path


def draw_scan(axes: Axes, result: RunResult, atoms: int, truth: float | None) -> None:
    """Mean counts with their standard errors, the fitted mean, the interval of the critical pump.

    The error bars are those of the mean over shots: the number of excited atoms fluctuates far
    more than the photons do.
    """
    import numpy as np

    from .figures import BAND, DATA, FIT, TRUTH

    estimate = result.estimate
    if estimate is None:
        return
    pumps, means, errors = mean_counts(result.records)
    critical, gain, background = (
        estimate[name] for name in ("critical_pump", "gain", "background")
    )
    low, high = critical.interval
    axes.axvspan(low, high, color=BAND, label=f"critical pump, {critical.level:.0%}")
    axes.errorbar(pumps, means, errors, fmt="o", color=DATA, ms=4, label="mean counts of a gate")
    fine = np.linspace(pumps.min(), pumps.max(), 400)
    curve = gain.value * mean_excited(atoms, fine / critical.value) + background.value
    axes.plot(fine, curve, color=FIT, lw=1.8, label="fit")
    if truth is not None:
        axes.axvline(truth, color=TRUTH, lw=1.0, ls="--", label="the laboratory's truth")
    axes.set_xlabel("pump w/2π by its calibration (Hz)")
    axes.set_ylabel("counts of a gate")
    axes.legend(loc="lower right", frameon=False)


def mean_counts(records: Any) -> tuple[Any, Any, Any]:
    """Pumps that were visited, mean counts of their good shots, and standard errors of these."""
    import numpy as np

    good = records["status"].values == 1
    counts = records["counts"].values[good, 0].astype(float)
    pump = records["pump"].values[records["point_index"].values[good]]
    pumps, place = np.unique(pump, return_inverse=True)
    shots = np.bincount(place)
    means = np.bincount(place, counts) / shots
    spread = np.bincount(place, (counts - means[place]) ** 2) / np.maximum(shots - 1, 1)
    return pumps, means, np.sqrt(spread / shots)


def mean_excited(atoms: int, ratios: Any) -> Any:
    """Mean number of excited atoms at each w/gamma (Shimshi & Shahmoon, Eq. 4, exact)."""
    import numpy as np

    from ..models.pumped_superradiance import PumpedEnsemble, pumped_steady_state

    means = [pumped_steady_state(PumpedEnsemble(atoms, float(ratio))).mean for ratio in ratios]
    return np.array(means) + 0.5 * atoms
