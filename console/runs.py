"""`cavitylab runs`: what is in the data folder."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path

from .exits import ExitCode


def list_runs(data: Path, *, as_json: bool) -> ExitCode:
    """One line a run, oldest first; a run that cannot be read is listed with the reason."""
    from rich.console import Console
    from rich.table import Table

    from ..protocols.recording import RunCatalogue

    rows = list(RunCatalogue(data))
    if as_json:
        print(jsonlib.dumps([row.to_json() for row in rows]))
        return ExitCode.DONE
    console = Console()
    if not rows:
        console.print(f"no runs under {data}")
        return ExitCode.DONE
    table = Table("run", "state", "protocol", "shots", "started", "tags", box=None)
    for row in rows:
        table.add_row(
            row.path.relative_to(data).as_posix(),
            row.state,
            row.protocol or "",
            str(row.shots),
            (row.started or "")[:19],
            " ".join(row.tags) or (row.problem or ""),
        )
    console.print(table, soft_wrap=True, highlight=False)
    return ExitCode.DONE


def show_run(name: str, data: Path, *, as_json: bool) -> ExitCode:
    """Everything that a run knows of itself, and its estimates."""
    from rich.console import Console

    from ..protocols.recording import RunCatalogue

    run = RunCatalogue(data).open(name)
    about = run.attrs["cavitylab"]
    document = {
        "run": str(run.path),
        "state": run.state,
        "title": run.attrs.get("title"),
        "protocol": about.get("protocol"),
        "shots": run.shots,
        "about": about,
        "events": run.events(),
    }
    estimates = run.path / "estimates.json"
    if estimates.exists():
        document["result"] = jsonlib.loads(estimates.read_text(encoding="utf-8"))
    if as_json:
        print(jsonlib.dumps(document))
        return ExitCode.DONE
    console = Console()
    for key in ("run", "state", "protocol", "title", "shots"):
        console.print(f"[bold]{key:<10}[/] {document[key]}", highlight=False, soft_wrap=True)
    console.print(f"[bold]{'settings':<10}[/]", end=" ")
    console.print_json(data=about.get("parameters", {}))
    if "result" in document:
        console.print_json(data=document["result"])
    console.print(run.records)
    return ExitCode.DONE


def verify_run(name: str, data: Path, *, as_json: bool) -> ExitCode:
    """Recover if needed, check every chunk, and say what was repaired."""
    from ..protocols.recording import RunCatalogue

    report = RunCatalogue(data).open(name).verify()
    if as_json:
        print(jsonlib.dumps(report.to_json()))
    else:
        print(f"{report.run}: {'ok' if report.ok else 'DAMAGED'}, {report.shots} shots")
        for line in report.repaired:
            print(f"  repaired: {line}")
        for line in report.problems:
            print(f"  problem: {line}")
    return ExitCode.DONE if report.ok else ExitCode.FAILED
