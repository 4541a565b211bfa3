"""`cavitylab runs`: what is in the data folder."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import Any

from .exits import ExitCode


def list_runs(data: Path, *, as_json: bool) -> ExitCode:
    """One line a run, oldest first; a run that cannot be read is listed with the reason."""
    from ..protocols.recording import RunCatalogue

    rows = list(RunCatalogue(data))
    if as_json:
        print(jsonlib.dumps([row.to_json() for row in rows]))
        return ExitCode.DONE
    if not rows:
        print(f"no runs under {data}")
        return ExitCode.DONE
    cells = [("run", "state", "protocol", "shots", "started", "tags")]
    for row in rows:
        cells.append(
            (
                row.path.relative_to(data).as_posix(),
                row.state,
                row.protocol or "",
                str(row.shots),
                (row.started or "")[:19],
                " ".join(row.tags) or (row.problem or ""),
            )
        )
    widths = [max(len(line[k]) for line in cells) for k in range(len(cells[0]))]
    for line in cells:
        print("  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)))
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
    for line in _result_lines(document.get("result")):
        console.print(line, highlight=False, soft_wrap=True)
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


def export_from_run(name: str, data: Path, target: Path, *, stream: str, as_json: bool) -> ExitCode:
    """Write a run in another format; the ending of `target` says which."""
    from ..protocols.recording import RunCatalogue, export_run

    run = RunCatalogue(data).open(name)
    path = export_run(run, target, stream=stream)
    document = {"run": str(run.path), "to": str(path), "shots": run.shots}
    print(jsonlib.dumps(document) if as_json else f"{run.shots} shots of {run.path} in {path}")
    return ExitCode.DONE


def annotate(
    name: str, data: Path, *, note: str | None, tags: list[str], as_json: bool
) -> ExitCode:
    """Add a note or tags to a run that has ended."""
    from ..protocols.recording import RunCatalogue, annotate_run

    run = RunCatalogue(data).open(name)
    annotate_run(run.path, note=note, tags=tags)
    all_tags = list(run.attrs["cavitylab"].get("tags") or ())
    if as_json:
        print(jsonlib.dumps({"run": str(run.path), "tags": all_tags, "note": note}))
    else:
        print(f"{run.path}: tags {' '.join(all_tags) or 'none'}" + (", note added" if note else ""))
    return ExitCode.DONE


def _result_lines(result: Any) -> list[str]:
    """The stored answer, a line a quantity."""
    if not result or not result.get("estimate"):
        return ["no estimate is stored with this run"]
    truth = result.get("truth") or {}
    lines = []
    for name, one in result["estimate"]["estimates"].items():
        low, high = one["interval"]
        line = (
            f"{name:<16} {one['value']:.6g} ± {one['std']:.2g} {one['unit']}"
            f"   {one['level']:.0%} from {low:.6g} to {high:.6g}"
        )
        lines.append(line + (f"   true {truth[name]:.6g}" if name in truth else ""))
    lines.append(f"{'goodness of fit':<16} p = {result['estimate']['goodness_of_fit']['p_value']}")
    return lines
