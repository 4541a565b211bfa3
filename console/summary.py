"""What a physicist wants to read at the end of a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

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

    import numpy as np

    from ..estimators import EllipseBeliefs, ellipse_bounds
    from ..models import counting_noise

    estimate = result.estimate
    if estimate is None:
        raise ValueError("the gain of a run without estimate cannot be explained")
    spin = protocol.settings.atoms_per_ensemble / 2
    gain, background = estimate["gain"].value, estimate["background"].value
    own = float(counting_noise(gain, background, spin))
    base = EllipseBeliefs(
        spin=spin,
        detuning_ratio=estimate["detuning_ratio"].value,
        pulse_area=estimate["pulse_area"].value,
        gain=gain,
        background=background,
        covariance=np.zeros((4, 4)),
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
    rows: list[tuple[str, str]] = []
    if result.estimate is None:
        rows.append(("estimate", "none: no block was completed"))
    else:
        rows.extend(_estimate_rows(result))
        own, others = _gain_against_noise(protocol, result)
        rows.append(
            (
                "the gain rests on",
                f"counting noise of {own:.2f} atoms per ensemble (√(G n + b)/G at half filling);",
            )
        )
        rows.append(("", "with nuisances known it would be " + ", ".join(others)))
    if result.reason:
        rows.append(("ended early", result.reason))
    rows.append(("data", f"{result.path / 'data.zarr'}  ({result.shots} shots)"))
    if figure is not None:
        rows.append(("figure", str(figure)))
    rows.append(("took", f"{seconds:.1f} s"))
    console.print()
    for name, text in rows:
        console.print(f"[bold]{name:<23}[/] {escape(text)}", highlight=False, soft_wrap=True)


def _estimate_rows(result: RunResult) -> list[tuple[str, str]]:
    estimate = result.estimate
    if estimate is None:
        return []
    rows = []
    for name, label in (("phase", "phase φ"), ("signal", "signal (φ − bias)")):
        quantity = estimate[name]
        low, high = quantity.interval
        rows.append(
            (label, f"{quantity.value:.5f} ± {quantity.std:.5f} rad   95 % [{low:.5f}, {high:.5f}]")
        )
        if result.truth is not None and name in result.truth:
            true = float(result.truth[name])
            pull = (quantity.value - true) / quantity.std
            rows.append(("  the laboratory's truth", f"{true:.5f}{pull:>+11.1f} σ off"))
    bias = math.sqrt(max(0.0, estimate["signal"].std ** 2 - estimate["phase"].std ** 2))
    rows.append(
        ("", f"of the signal's error ± {bias:.5f} rad is the calibration of the bias phase")
    )
    fit = estimate.goodness_of_fit
    if fit is not None:
        rows.append(("goodness of fit", f"p = {fit.p_value:.2f}"))
    rows.extend(("note", flag) for flag in estimate.flags)
    bounds = result.bounds
    if bounds is not None:
        rows.append(
            (
                "standard quantum limit",
                f"{bounds.standard_quantum_limit_std:.5f} rad  "
                "(uncorrelated atoms, ideal counting)",
            )
        )
        rows.append(
            (
                "Cramér-Rao bound",
                f"{bounds.cramer_rao_std:.5f} rad  (gain, background, Δ/Ω and pulse area free "
                "within their calibrations)",
            )
        )
    if result.gain_db is not None:
        rows.append(("gain over the SQL", f"{result.gain_db:+.1f} dB, nuisances included"))
    return rows
