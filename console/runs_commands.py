"""The commands `cavitylab runs …`: the data folder.

Like `cli.py`, only typer is imported here; every command loads what it needs when it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .exits import errors_told

runs_app = typer.Typer(
    help="The data folder: list, show, verify, export and annotate runs.", no_args_is_help=True
)

Data = Annotated[Path, typer.Option(help="Folder that holds the runs.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


@runs_app.command("list")
def runs_list(data: Data = Path("data"), json: Json = False) -> None:
    """List the runs of a data folder, newest last.

    Example: `cavitylab runs list --data data`
    """
    from .runs import list_runs

    with errors_told():
        raise typer.Exit(list_runs(data, as_json=json))


@runs_app.command("show")
def runs_show(
    run: Annotated[str, typer.Argument(help="Folder of the run, or its name or id in --data.")],
    data: Data = Path("data"),
    json: Json = False,
) -> None:
    """Show one run: protocol, settings, shots, estimates, where it came from.

    Example: `cavitylab runs show data/2026-11-21/101500_demo_1a2b3c`
    """
    from .runs import show_run

    with errors_told():
        raise typer.Exit(show_run(run, data, as_json=json))


@runs_app.command("verify")
def runs_verify(
    run: Annotated[str, typer.Argument(help="Folder of the run, or its name or id in --data.")],
    data: Data = Path("data"),
    json: Json = False,
) -> None:
    """Verify a run; one whose process died is first brought to its last acknowledged shot.

    Example: `cavitylab runs verify data/2026-11-21/101500_demo_1a2b3c`
    """
    from .runs import verify_run

    with errors_told():
        raise typer.Exit(verify_run(run, data, as_json=json))


@runs_app.command("export")
def runs_export(
    run: Annotated[str, typer.Argument(help="Folder of the run, or its name or id in --data.")],
    to: Annotated[
        Path,
        typer.Option(
            help="What to write: .csv (a table), .npz (numpy), .nc (NetCDF), "
            ".zarr (the run in a few large files)."
        ),
    ],
    stream: Annotated[str, typer.Option(help="Table to write as CSV.")] = "shot",
    data: Data = Path("data"),
    json: Json = False,
) -> None:
    """Export a run to another format; nothing is overwritten.

    Example: `cavitylab runs export 1a2b3c --to shots.csv`
    """
    from .runs import export_from_run

    with errors_told():
        raise typer.Exit(export_from_run(run, data, to, stream=stream, as_json=json))


@runs_app.command("annotate")
def runs_annotate(
    run: Annotated[str, typer.Argument(help="Folder of the run, or its name or id in --data.")],
    note: Annotated[str | None, typer.Option(help="Text to keep with the run.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Word to find the run by.")] = None,
    data: Data = Path("data"),
    json: Json = False,
) -> None:
    """Add a note or tags to a run that has ended; its rows stay as they are.

    Example: `cavitylab runs annotate 1a2b3c --tag good --note "new fibre"`
    """
    from .runs import annotate

    with errors_told():
        raise typer.Exit(annotate(run, data, note=note, tags=tag or [], as_json=json))
