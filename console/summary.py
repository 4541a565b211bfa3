"""What a physicist wants to read at the end of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from ..protocols.engine import RunResult
    from ..protocols.protocol import ExperimentProtocol
    from .execute import Order


def opening_line(order: Order) -> str:
    """Say first whether hardware will move."""
    if order.station is None and order.rehearse is None:
        return (
            f"Rehearsal: {order.protocol} on its shipped simulated laboratory, seed {order.seed}."
        )
    if order.rehearse is not None:
        return f"Rehearsal: {order.protocol} on {order.rehearse}, seed {order.seed}."
    return f"HARDWARE: {order.protocol} on {order.station}."


def _gain_against_noise(protocol: ExperimentProtocol, result: RunResult) -> tuple[float, list[str]]:
    """Counting noise in atoms, and the gain that other detectors would leave.

    The same state and phase with gain and background scaled together: the counting noise of n
    atoms is √(G n + b)/G.
    """
    from dataclasses import replace

    from ..estimators import EllipseBeliefs, ellipse_bounds
    from ..models import counting_noise

    estimate = result.estimate
    assert estimate is not None  # the caller prints this only with an estimate
    spin = protocol.settings.atoms_per_ensemble / 2
    gain, background = estimate["gain"].value, estimate["background"].value
    own = counting_noise(gain, background, spin)
    base = EllipseBeliefs(
        spin=spin,
        detuning_ratio=estimate["detuning_ratio"].value,
        pulse_area=estimate["pulse_area"].value,
        gain=gain,
        background=background,
        covariance=None,
    )
    rows = []
    for other in (own / 2, own * 2, own * 4):
        scale = (own / other) ** 2
        beliefs = replace(base, gain=gain * scale, background=background * scale)
        bound = ellipse_bounds(beliefs, estimate["phase"].value, result.shots)
        db = 20 * math.log10(bound.standard_quantum_limit_std / bound.cramer_rao_std_known)
        rows.append(f"{db:+.1f} dB at {other:.2f} atoms")
    return own, rows


def summarise(
    console: Console,
    result: RunResult,
    protocol: ExperimentProtocol,
    figure: Path | None,
    seconds: float,
) -> None:
    """Print the estimate against the truth, the limits, what the gain rests on, and the paths."""
    from rich.table import Table

    estimate = result.estimate
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    if estimate is not None:
        _estimate_rows(table, result)
        own, others = _gain_against_noise(protocol, result)
        table.add_row(
            "the gain rests on",
            f"counting noise of {own:.2f} atoms per ensemble (√(G n + b)/G at half filling)",
        )
        table.add_row("", "with nuisances known it would be " + ", ".join(others))
    else:
        table.add_row("estimate", "none: no block was completed")
    table.add_row("data", f"{result.path / 'data.zarr'}  ({result.shots} shots)")
    if figure is not None:
        table.add_row("figure", str(figure))
    table.add_row("took", f"{seconds:.1f} s")
    console.print()
    console.print(table, highlight=False, soft_wrap=True)


def _estimate_rows(table: object, result: RunResult) -> None:
    from rich.table import Table

    assert isinstance(table, Table) and result.estimate is not None
    estimate = result.estimate
    for name in ("phase", "signal"):
        quantity = estimate[name]
        low, high = quantity.interval
        text = f"{quantity.value:.5f} ± {quantity.std:.5f} rad   95 %: [{low:.5f}, {high:.5f}]"
        if result.truth is not None and name in result.truth:
            true = float(result.truth[name])
            text += f"   true {true:.5f} ({(quantity.value - true) / quantity.std:+.1f} σ)"
        table.add_row({"phase": "phase φ", "signal": "signal (φ − bias)"}[name], text)
    fit = estimate.goodness_of_fit
    if fit is not None:
        table.add_row("goodness of fit", f"p = {fit.p_value:.2f}")
    bounds = result.bounds
    if bounds is not None:
        table.add_row(
            "standard quantum limit",
            f"{bounds.standard_quantum_limit_std:.5f} rad   (uncorrelated atoms, ideal counting)",
        )
        table.add_row(
            "Cramér-Rao bound",
            f"{bounds.cramer_rao_std:.5f} rad   (gain, background, Δ/Ω, pulse area within their "
            f"calibrations; {bounds.cramer_rao_std_known:.5f} if they were known)",
        )
    if result.gain_db is not None:
        table.add_row("gain over the SQL", f"{result.gain_db:+.1f} dB, nuisances included")
