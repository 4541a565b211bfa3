"""`cavitylab sweep`: settings × seeds rehearsed in parallel, and a table of what came out."""

from __future__ import annotations

import json as jsonlib
import math
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .exits import ExitCode, say_error
from .progress import duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from ..protocols.sweeps import Sweep, SweepPlan, SweepProgress

MOST_POINTS = 10_000
"""Most values of one setting."""

_SPAN = re.compile(r"(?P<first>[^:,]+):(?P<last>[^:,]+):(?P<number>\d+)(?P<log>log)?\Z")


@dataclass(frozen=True, slots=True)
class SweepOrder:
    """What the operator asked for.

    Attributes:
        protocol: Name of the protocol; None continues the sweep in `resume`.
        settings: ``key=value``, ``key=a,b,c`` or ``key=first:last:number`` each.
        seeds: ``first:end``, a list, or one seed.
        station: Station file or shipped name; None takes the protocol's shipped rehearsal.
        rehearse: Laboratory file or shipped name.
        data: Folder of the runs.
        resume: Folder of a sweep to continue.
        scheduler: Address of a Dask scheduler.
        workers: Worker processes to start here.
        until: Stop condition of every run.
        title: Title of the sweep.
    """

    protocol: str | None
    settings: Sequence[str]
    seeds: str = "0:10"
    station: str | None = None
    rehearse: str | None = None
    data: Path = Path("data")
    resume: Path | None = None
    scheduler: str | None = None
    workers: int | None = None
    until: str | None = None
    title: str | None = None


def parse_grid(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings of a sweep: one value is fixed, several make an axis.

    Raises:
        SweepSettingsError: A text that cannot be understood, or a setting that is given twice.
    """
    from ..protocols.sweeps import SweepSettingsError

    grid: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not key or not text:
            raise SweepSettingsError(
                f"--set takes key=value, key=a,b,c or key=first:last:number, but got {pair!r}"
            )
        if key in grid:
            raise SweepSettingsError(
                f"setting `{key}` is given twice: write {key}=a,b,c for several values"
            )
        values = _span(pair, text) or _list(text)
        grid[key] = values[0] if len(values) == 1 else values
    return grid


def _span(pair: str, text: str) -> list[float] | None:
    """``first:last:number`` evenly spaced, or ``…log`` by the logarithm; None for other texts."""
    from ..protocols.sweeps import SweepSettingsError

    found = _SPAN.match(text)
    if not found:
        return None
    try:
        a, b, n = float(found["first"]), float(found["last"]), int(found["number"])
    except ValueError as error:
        raise SweepSettingsError(f"--set {pair}: {error}") from error
    if not 2 <= n <= MOST_POINTS or (found["log"] and not (a > 0 and b > 0)):
        raise SweepSettingsError(
            f"--set {pair}: 2 to {MOST_POINTS} points, and positive ends for log spacing"
        )
    if found["log"]:
        inner = [a * (b / a) ** (k / (n - 1)) for k in range(1, n - 1)]
    else:
        inner = [a + (b - a) * k / (n - 1) for k in range(1, n - 1)]
    return [a, *inner, b]


def _list(text: str) -> list[Any]:
    """Values between commas: JSON where the whole is JSON, else each by itself."""
    try:
        values: list[Any] = jsonlib.loads(f"[{text}]")
    except ValueError:
        values = [_value(part.strip()) for part in text.split(",")]
    return values


def _value(text: str) -> Any:
    try:
        return jsonlib.loads(text)
    except ValueError:
        return text


def parse_seeds(text: str) -> list[int]:
    """``0:20`` (the end excluded), ``3,5,8`` or one number.

    Raises:
        SweepSettingsError: It is none of these.
    """
    from ..protocols.sweeps import SweepSettingsError

    try:
        first, colon, end = text.partition(":")
        return list(range(int(first), int(end))) if colon else [int(s) for s in text.split(",")]
    except ValueError:
        raise SweepSettingsError(
            f"--seeds takes first:end (the end excluded), a list or one number, but got {text!r}"
        ) from None


def sweep(order: SweepOrder, *, as_json: bool) -> ExitCode:
    """Check everything, run or continue the sweep, and print the table; the exit code."""
    from rich.console import Console

    from ..protocols.sweeps import MissingExtraError, Sweep, SweepSettingsError
    from ..protocols.sweeps.cluster import require_dask

    console = Console(stderr=as_json)
    made: Sweep | None = None
    try:
        require_dask()
        if order.resume is not None:
            if order.protocol is not None or order.settings:
                raise SweepSettingsError(
                    "--resume goes on with the sweep as it was ordered: leave out the protocol "
                    "and --set"
                )
            made = Sweep.open(order.resume)
        else:
            made = Sweep.create(order.data, _plan(order), order.title)
        _say(console, f"Sweep {made.path}: {_what(made)}")
        with _shown(console) as tell:
            made.continue_(order.scheduler, order.workers, tell)
    except (SweepSettingsError, MissingExtraError) as error:
        say_error(str(error))
        return ExitCode.USAGE
    except KeyboardInterrupt:
        if made is None:
            raise
        say_error(
            f"stopped by the user with {len(made.runs)} of {len(made.plan)} tasks done; "
            f"go on with: cavitylab sweep --resume {made.path}"
        )
        return ExitCode.STOPPED
    points = _points(made)
    if as_json:
        print(jsonlib.dumps(_document(made, points), allow_nan=False))
    else:
        _print_table(console, made, points)
    return ExitCode.DONE if made.done else ExitCode.FAILED


def _plan(order: SweepOrder) -> SweepPlan:
    from ..protocols.sweeps import SweepPlan, SweepSettingsError

    if order.protocol is None:
        raise SweepSettingsError("name a protocol, or a sweep to continue with --resume")
    return SweepPlan.of(
        order.protocol,
        parse_grid(order.settings),
        parse_seeds(order.seeds),
        station=order.station,
        laboratory=order.rehearse,
        until=order.until,
    )


def _what(made: Sweep) -> str:
    plan = made.plan
    axes = " × ".join([*(f"{len(v)} {name}" for name, v in plan.axes.items()), ""])
    done = f", {len(made.runs)} of them done before" if made.runs else ""
    return (
        f"{plan.protocol} on {plan.laboratory}, {axes}{len(plan.seeds)} seeds = "
        f"{len(plan)} rehearsals{done}."
    )


@contextmanager
def _shown(console: Console) -> Iterator[Callable[[SweepProgress], None]]:
    """A bar with the time left on a terminal, one line a task in a pipe."""
    if not console.is_terminal:
        yield lambda state: _tell_plainly(console, state)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("runs  [dim]{task.fields[left]}[/]"),
        console=console,
    )
    with bar:
        shown = bar.add_task("sweep", total=None, left="starting workers")

        def tell(state: SweepProgress) -> None:
            left = f"{duration(state.remaining)} left" if state.outcome else ""
            done = state.done + state.failed
            bar.update(shown, total=state.total, completed=done, left=left)
            if state.outcome is not None and state.outcome.state == "failed":
                bar.console.print(f"[red]failed[/]: {state.text}: {state.outcome.message}")

        yield tell


def _tell_plainly(console: Console, state: SweepProgress) -> None:
    if state.outcome is None:
        return
    line = f"{state.done + state.failed}/{state.total} {state.outcome.state}: {state.text}"
    if state.outcome.state == "failed":
        line += f": {state.outcome.message}"
    _say(console, f"{line}, {duration(state.remaining)} left")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _points(made: Sweep) -> list[dict[str, Any]]:
    """For every combination of settings: means over the seeds that are done."""
    import numpy as np

    results = made.results
    dims = [str(dim) for dim in results["task_state"].dims]
    quantities = [str(name) for name in results["quantity"].values]
    points = []
    for place in np.ndindex(*results["task_state"].shape[:-1]):
        one = results.isel(dict(zip(dims[:-1], place, strict=True)))
        estimates = {}
        for k, name in enumerate(quantities):
            error = one["estimate"].values[:, k] - one["truth"].values[:, k]
            estimates[name] = {
                "mean": _mean(one["estimate"].values[:, k]),
                "mean_std": _mean(one["std"].values[:, k]),
                "rms_error": _root(_mean(error**2)),
                "unit": str(one["unit"].values[k]),
            }
        values = [axis[i] for axis, i in zip(made.plan.axes.values(), place, strict=True)]
        bounds = [str(n) for n in results.data_vars if str(n).endswith("_std")]
        points.append(
            {
                "settings": dict(zip(made.plan.axes, values, strict=True)),
                "done": int((one["task_state"].values == "done").sum()),
                "estimates": estimates,
                "bounds": {name: _mean(one[name].values) for name in bounds},
                "gain_db": _mean(one["gain_db"].values),
                "seconds": _mean(one["duration"].values),
            }
        )
    return points


def _mean(values: Any) -> float | None:
    """Mean of what is there; None when nothing is."""
    import numpy as np

    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else None


def _root(value: float | None) -> float | None:
    return None if value is None else math.sqrt(value)


def _document(made: Sweep, points: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON form of a sweep."""
    tasks = {task.index: task for task in made.plan.tasks()}
    return {
        "sweep": str(made.path),
        "protocol": made.plan.protocol,
        "tasks": len(made.plan),
        "done": len(made.runs),
        "failed": [
            {
                "task": one.task,
                "settings": dict(tasks[one.task].settings),
                "seed": tasks[one.task].seed,
                "message": one.message,
            }
            for one in made.failed
        ],
        "points": points,
    }


def _print_table(console: Console, made: Sweep, points: list[dict[str, Any]]) -> None:
    headline = next((name for point in points for name in point["estimates"]), None)
    names = list(made.plan.axes)
    head = [*names, "runs"]
    if headline is not None:
        head += [headline, "mean std", "rms error", "Cramér-Rao", "gain dB", "s/run"]
    rows = [head]
    for point in points:
        row = [_cell(point["settings"][name]) for name in names]
        row.append(f"{point['done']}/{len(made.plan.seeds)}")
        if headline is not None:
            one = point["estimates"][headline]
            bound = point["bounds"].get("cramer_rao_std")
            figures = (one["mean"], one["mean_std"], one["rms_error"], bound)
            row += [_cell(figure) for figure in figures]
            row += [_cell(point["gain_db"], "+.1f"), _cell(point["seconds"], ".2f")]
        rows.append(row)
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    _say(console, "")
    for row in rows:
        cells = (text.rjust(width) for text, width in zip(row, widths, strict=True))
        _say(console, "  ".join(cells))
    if made.failed:
        _say(console, f"\n{len(made.failed)} tasks failed, the first: {made.failed[0].message}")
        _say(console, f"try them again with: cavitylab sweep --resume {made.path}")
    _say(console, f"\ncatalogue  {made.path / 'sweep.json'}")
    if sys.stdout.isatty():
        _say(console, f"results    Sweep.open({str(made.path)!r}).results")


def _cell(value: Any, form: str = ".4g") -> str:
    if value is None:
        return "-"
    return format(value, form) if isinstance(value, float) else str(value)
