"""`cavitylab plan`: what a protocol would do and find, on paper; touches no instrument."""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import ExitCode, errors_told

if TYPE_CHECKING:
    from ..protocols.planning_result import Plan, Reach

Rows = list[tuple[str, str]]


def plan(
    protocol: Annotated[str, typer.Argument(help="Name of the protocol, e.g. ramsey_ellipse.")],
    station: Annotated[
        str | None, typer.Option(help="Station file, or the name of a shipped one.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the protocol: key=value.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the protocol's random numbers.", min=0)] = 1,
    best: Annotated[
        bool, typer.Option(help="Look for the best operating point as well (some seconds).")
    ] = True,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object on standard output.")
    ] = False,
) -> None:
    """Limits, duration, shots and precision of a protocol, before anything is touched.

    The steps are walked on paper with the station file and its calibrations: every set-point that
    can be reached is checked, every sequence is compiled. The predicted precision stands beside
    its Cramér-Rao bound (nuisances free within their calibrations) and the standard quantum limit
    of as many independent atoms.

    Exit codes: 0 it can be run, 1 the station cannot do it, 2 wrong usage or files.

    Example: `cavitylab plan ramsey_ellipse --set shots=5000 --station my_station.yaml`
    """
    from .execute import parse_settings

    with errors_told():
        order = PlanOrder(protocol, station, parse_settings(set_ or []), seed, best)
        raise typer.Exit(tell_plan(order, as_json=json))


@dataclass(frozen=True, slots=True)
class PlanOrder:
    """What the operator asked for; as for a run."""

    protocol: str
    station: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 1
    best: bool = True


def tell_plan(order: PlanOrder, *, as_json: bool) -> ExitCode:
    """Make the plan and print it."""
    from ..protocols.planning import plan_by_name

    made = plan_by_name(
        order.protocol, order.settings, order.station, seed=order.seed, best=order.best
    )
    if as_json:
        print(jsonlib.dumps(made.to_json(), allow_nan=False))
    else:
        _print(made)
    return ExitCode.DONE if made.ok else ExitCode.FAILED


def plan_rows(made: Plan) -> Rows:
    """Label and text of each line of a plan."""
    from .progress import duration

    return [
        ("station", f"{made.station} (not opened)"),
        *[("limits" if not k else "", _reach(one)) for k, one in enumerate(made.reaches)],
        ("shots", f"{made.shots} in {made.blocks} blocks of {_sequences(made.sequences)}"),
        ("duration", f"about {duration(made.duration)} in the laboratory"),
        *_precision(made),
        *[("rests on" if not k else "", text) for k, text in enumerate(made.remarks)],
        *_best(made),
        *[("CANNOT BE RUN" if not k else "", text) for k, text in enumerate(made.problems)],
    ]


def _print(made: Plan) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    console.print(f"{made.protocol}: the plan; nothing was touched", highlight=False)
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in plan_rows(made):
        table.add_row(label, Text(text))
    console.print(table, highlight=False)


def _reach(one: Reach) -> str:
    used = (
        f"{one.lowest:.6g}"
        if one.lowest == one.highest
        else f"{one.lowest:.6g} to {one.highest:.6g}"
    )
    limits = (
        "no limits stated"
        if one.limits is None
        else f"allowed {one.limits[0]:.6g} to {one.limits[1]:.6g}"
    )
    verdict = "ok" if one.ok else "OUTSIDE"
    return f"{one.role}.{one.parameter}: {used} {one.unit} ({limits}): {verdict}"


def _sequences(number: int) -> str:
    return "one sequence" if number == 1 else f"{number} sequences"


def _precision(made: Plan) -> Rows:
    known = made.prediction
    if known is None:
        return [("precision", "the protocol does not say what it expects: no prediction")]
    unit = f" {known.unit}" if known.unit else ""
    return [
        ("predicted precision", f"{known.quantity} = {known.supposed:.5g} ± {known.std:.3g}{unit}"),
        (
            "Cramér-Rao bound",
            f"{known.cramer_rao_std:.3g}{unit}  (nuisances free within their calibrations)",
        ),
        (
            "standard quantum limit",
            f"{known.standard_quantum_limit_std:.3g}{unit}; predicted gain {known.gain_db:+.1f} dB",
        ),
    ]


def _best(made: Plan) -> Rows:
    best, known = made.best, made.prediction
    if best is None or known is None:
        return []
    settings = ", ".join(f"{name} = {value:g}" for name, value in best.settings.items())
    less = 1 - best.std / known.std
    change = "the settings are the best" if less < 5e-3 else f"{less:.0%} less than here"
    return [
        ("best of those tried", f"{settings}: ± {best.std:.3g} {known.unit} ({change})".rstrip())
    ]
