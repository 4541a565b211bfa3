"""What a physicist wants to read at the end of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape

if TYPE_CHECKING:
    from rich.console import Console

    from ..protocols.engine import RunResult
    from ..protocols.order import Order
    from ..protocols.protocol import ExperimentProtocol


def opening_line(order: Order) -> str:
    """Say first whether hardware will move."""
    if order.station is None and order.rehearse is None:
        return (
            f"Rehearsal: {order.protocol} on its shipped simulated laboratory, seed {order.seed}."
        )
    if order.rehearse is not None:
        return f"Rehearsal: {order.protocol} on {order.rehearse}, seed {order.seed}."
    return f"HARDWARE: {order.protocol} on {order.station}."


def summarise(
    console: Console,
    result: RunResult,
    protocol: ExperimentProtocol,
    figure: Path | None,
    seconds: float,
) -> None:
    """Print what the protocol's report says of the estimate, and the paths."""
    from .reports import report_of

    rows: list[tuple[str, str]] = []
    if result.estimate is None:
        rows.append(("estimate", "none: no block was completed"))
    else:
        rows.extend(report_of(protocol).rows(result, protocol))
    if result.reason:
        rows.append(("ended early", result.reason))
    rows.append(("data", f"{result.path / 'data.zarr'}  ({result.shots} shots)"))
    if figure is not None:
        rows.append(("figure", str(figure)))
    rows.append(("took", f"{seconds:.1f} s"))
    console.print()
    for name, text in rows:
        console.print(f"[bold]{name:<23}[/] {escape(text)}", highlight=False, soft_wrap=True)
