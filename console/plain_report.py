"""How any run can be told: every quantity with its interval, the truth, the bounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..estimators import Quantity
    from ..protocols.engine import RunResult
    from ..protocols.protocol import ExperimentProtocol
    from .figures import RunningEstimate

Rows = list[tuple[str, str]]


def rows(result: RunResult, protocol: ExperimentProtocol) -> Rows:
    """Every quantity of the estimate, then what is common to all."""
    estimate = result.estimate
    if estimate is None:
        return []
    unit = estimate[protocol.quantities[0]].unit
    told = [row for name in estimate.quantities for row in quantity_rows(result, name, name)]
    return [*told, *fit_rows(result), *bound_rows(result, unit)]


def quantity_rows(result: RunResult, name: str, label: str) -> Rows:
    """One quantity with its interval, and in a rehearsal how far off the truth it is."""
    if result.estimate is None:
        return []
    quantity = result.estimate[name]
    found: Rows = [(label, in_words(quantity))]
    if result.truth is not None and name in result.truth:
        true = float(result.truth[name])
        pull = (quantity.value - true) / quantity.std if quantity.std > 0 else 0.0
        found.append(("  the laboratory's truth", f"{true:.6g}{pull:>+11.1f} σ off"))
    return found


def in_words(quantity: Quantity) -> str:
    """``5.0912 ± 0.0098 Hz   95 % [5.0719, 5.1106]``."""
    low, high = quantity.interval
    unit = f" {quantity.unit}" if quantity.unit else ""
    return (
        f"{quantity.value:.6g} ± {quantity.std:.2g}{unit}   "
        f"{quantity.level:.0%} [{low:.6g}, {high:.6g}]".replace("%", " %")
    )


def fit_rows(result: RunResult) -> Rows:
    """Goodness of fit and warnings."""
    estimate = result.estimate
    if estimate is None:
        return []
    fit = estimate.goodness_of_fit
    shown: Rows = [] if fit is None else [("goodness of fit", f"p = {fit.p_value:.2f}")]
    return [*shown, *(("note", flag) for flag in estimate.flags)]


def bound_rows(result: RunResult, unit: str) -> Rows:
    """The two bounds and the gain."""
    found: Rows = []
    if result.bounds is not None:
        for label, std in (
            ("standard quantum limit", result.bounds.standard_quantum_limit_std),
            ("Cramér-Rao bound", result.bounds.cramer_rao_std),
        ):
            found.append((label, f"{std:.4g} {unit}".rstrip()))
    if result.gain_db is not None:
        found.append(("gain over the SQL", f"{result.gain_db:+.1f} dB, nuisances included"))
    return found


def figure(
    path: Path,
    result: RunResult,
    protocol: ExperimentProtocol,
    history: Sequence[RunningEstimate],
) -> Path | None:
    """The headline quantity as it settled."""
    from matplotlib.figure import Figure

    from .figures import draw_history

    estimate = result.estimate
    if estimate is None or not history:
        return None
    name = protocol.quantities[0]
    quantity = estimate[name]
    drawn = Figure(figsize=(6.4, 4.8), layout="constrained")
    draw_history(
        drawn.subplots(),
        history,
        truth=None if result.truth is None else result.truth.get(name),
        limit=None,
        label=f"{name} ({quantity.unit})" if quantity.unit else name,
    )
    drawn.suptitle(f"{protocol.name}: {name} = {quantity}, {result.shots} shots")
    drawn.savefig(path, dpi=150)
    return path
