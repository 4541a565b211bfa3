"""`cavitylab runs`: what is in the data folder."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Any

from .exits import ExitCode


def _describe(path: Path) -> dict[str, Any]:
    from ..protocols.recording import Run

    run = Run.open(path)
    about = run.attrs["cavitylab"]
    return {
        "run": str(path),
        "state": run.state,
        "protocol": about.get("protocol"),
        "title": run.attrs.get("title"),
        "started": about.get("started"),
        "tags": about.get("tags", []),
        "shots": run.rows.get("shot", 0),
    }


def list_runs(data: Path, *, as_json: bool) -> ExitCode:
    """One line a run, oldest first; a run that cannot be read is listed with the reason."""
    from rich.console import Console
    from rich.table import Table

    from ..protocols.recording import find_runs
    from ..protocols.recording.errors import RecordingError

    rows: list[dict[str, Any]] = []
    for path in find_runs(data):
        try:
            rows.append(_describe(path))
        except (RecordingError, OSError, ValueError, KeyError) as error:
            rows.append({"run": str(path), "state": "unreadable", "reason": str(error)})
    if as_json:
        print(jsonlib.dumps(rows))
        return ExitCode.DONE
    console = Console()
    if not rows:
        console.print(f"no runs under {data}")
        return ExitCode.DONE
    table = Table("run", "state", "protocol", "title", "shots", "started", box=None)
    for row in rows:
        table.add_row(
            row["run"],
            row["state"],
            *(str(row.get(k) or "") for k in ("protocol", "title", "shots", "started")),
        )
    console.print(table, soft_wrap=True, highlight=False)
    return ExitCode.DONE


def show_run(path: Path, *, as_json: bool) -> ExitCode:
    """Everything that a run knows of itself, and its estimates."""
    from rich.console import Console

    from ..protocols.recording import Run

    run = Run.open(path)
    document = _describe(path) | {"about": run.attrs["cavitylab"]}
    estimates = path / "estimates.json"
    if estimates.exists():
        document["estimates"] = jsonlib.loads(estimates.read_text(encoding="utf-8"))
    if as_json:
        print(jsonlib.dumps(document))
        return ExitCode.DONE
    console = Console()
    for key in ("run", "state", "protocol", "title", "started", "shots", "tags"):
        console.print(f"[bold]{key:<10}[/] {document[key]}", highlight=False, soft_wrap=True)
    console.print_json(data=document["about"])
    if "estimates" in document:
        console.print_json(data=document["estimates"])
    console.print(run.records)
    return ExitCode.DONE


def verify_run(path: Path, *, as_json: bool) -> ExitCode:
    """Recover if needed, check every chunk, and say what was repaired."""
    from ..protocols.recording import Run

    report = Run.open(path).verify()
    if as_json:
        print(
            jsonlib.dumps(
                {
                    "run": str(path),
                    "ok": report.ok,
                    "shots": report.shots,
                    "repaired": list(report.repaired),
                }
            )
        )
    else:
        print(f"{path}: {'ok' if report.ok else 'DAMAGED'}, {report.shots} shots")
        for line in report.repaired:
            print(f"  repaired: {line}")
        for line in report.problems:
            print(f"  problem: {line}")
    return ExitCode.DONE if report.ok else ExitCode.FAILED
