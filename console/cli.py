"""The command `cavitylab`.

Only typer and rich are imported here; every command loads what it needs when it runs, so that
`--help` answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from .exits import ExitCode, errors_told
from .plan import plan
from .runs_commands import runs_app
from .station_commands import app as station_app

app = typer.Typer(
    name="cavitylab",
    help="Rehearse, run and estimate cavity-QED experiments.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(runs_app, name="runs")
app.add_typer(station_app, name="station")
app.command()(plan)

Seed = Annotated[int, typer.Option(help="One number fixes the whole rehearsal.", min=0)]
Data = Annotated[Path, typer.Option(help="Folder that holds the runs.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
Trace = Annotated[Path | None, typer.Option(help="Write every message on the wire to this file.")]
Figure = Annotated[bool, typer.Option(help="Draw the figure into the run's folder.")]


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Tell the version.")] = False,
) -> None:
    if version:
        from .. import __version__

        print(f"cavitylab {__version__}")
        raise typer.Exit()


@app.command()
def demo(
    seed: Seed = 1,
    shots: Annotated[int, typer.Option(help="Shots to take.", min=20)] = 2000,
    data: Data = Path("data"),
    trace: Trace = None,
    json: Json = False,
    figure: Figure = True,
) -> None:
    """The whole way in one command: two squeezed ensembles, Ramsey, ellipse, phase.

    Everything runs on the simulated laboratory: the real command strings go to simulated
    instruments, and a physics solver answers with counts.

    Example: `cavitylab demo --seed 3`
    """
    from ..protocols.order import Order
    from .execute import execute

    order = Order(
        protocol="ramsey_ellipse",
        station=None,
        rehearse=None,
        settings={"shots": shots},
        data=data,
        seed=seed,
        trace=trace,
        title="demo",
    )
    with errors_told():
        raise typer.Exit(execute(order, as_json=json, with_figure=figure))


@app.command()
def run(
    protocol: Annotated[
        str | None,
        typer.Argument(help="Name of the protocol, e.g. ramsey_ellipse; not with --resume."),
    ] = None,
    station: Annotated[
        str | None, typer.Option(help="Station file, or the name of a shipped one.")
    ] = None,
    rehearse: Annotated[
        str | None, typer.Option(help="Laboratory file to rehearse on, or a shipped name.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A setting of the protocol: key=value.")
    ] = None,
    data: Data = Path("data"),
    seed: Annotated[
        int | None,
        typer.Option(help="One number fixes the whole rehearsal; 1 if not given.", min=0),
    ] = None,
    until: Annotated[str | None, typer.Option(help='Stop early, e.g. "std(phase) < 1e-3".')] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Tag the run (repeatable).")] = None,
    note: Annotated[list[str] | None, typer.Option(help="Keep a remark (repeatable).")] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with this interrupted run; the rest it knows by itself."),
    ] = None,
    trace: Trace = None,
    json: Json = False,
    figure: Figure = True,
) -> None:
    """Run a protocol: on hardware with --station, in rehearsal without it or with --rehearse.

    With --resume an interrupted, stopped or failed run goes on where it stopped: no shot is lost
    and none is taken twice.

    Exit codes: 0 done, 1 failed, 2 wrong usage or files, 3 stopped by the user, 4 **not
    everything could be made safe**.

    Examples: `cavitylab run ramsey_ellipse --set shots=500 --until "std(phase) < 2e-3"`,
    `cavitylab run --resume data/2026-11-21/101500_ramsey-ellipse_1a2b3c`
    """
    from ..protocols.order import Order
    from .execute import execute, parse_settings

    if (protocol is None) == (resume is None):
        raise typer.BadParameter("give the name of a protocol, or --resume RUN", param_hint="run")
    with errors_told():
        order = Order(
            protocol=protocol or "",
            station=station,
            rehearse=rehearse,
            settings=parse_settings(set_ or []),
            data=data,
            seed=1 if seed is None and resume is None else seed,
            until=until,
            tags=tuple(tag or ()),
            trace=trace,
            notes=tuple(note or ()),
            resume=resume,
        )
        raise typer.Exit(execute(order, as_json=json, with_figure=figure))


@app.command()
def estimate(
    source: Annotated[
        Path | None, typer.Argument(help="Folder of a run, or a CSV or NPZ file.")
    ] = None,
    estimator: Annotated[
        str, typer.Option(help="Name of an estimator, see --describe; auto: the ellipse's phase.")
    ] = "auto",
    level: Annotated[float, typer.Option(help="Coverage of the intervals.", min=0.5, max=0.999)] = (
        0.95
    ),
    beliefs: Annotated[
        Path | None, typer.Option(help="YAML file of what is known beforehand, `key: value`.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A belief: key=value, or key=value+-std; overrules the file."),
    ] = None,
    stream: Annotated[str, typer.Option(help="Table of a run to read.")] = "shot",
    describe: Annotated[
        str | None,
        typer.Option(help="Name of an estimator: its columns and beliefs; all: list them."),
    ] = None,
    json: Json = False,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw data, fit, residuals and profile (png, pdf, svg)."),
    ] = None,
) -> None:
    """Refit a stored run, or records from anywhere, with any estimator.

    A CSV file has one heading and one row a shot, with commas, semicolons, tabs or spaces in
    between and # before a comment; an NPZ file holds arrays of the same names, shots first.
    Numbered columns belong together: counts_1, counts_2, … are the array `counts` (shots,
    detectors). What is not a number, not finite, or not a known column is refused with its line;
    shots whose **status** is not 1 are left out, **shot** is ignored. `--describe NAME` says which
    columns an estimator reads, and its beliefs.

    - **counts**: raw, whole numbers; of each detector, or of each time bin of a sweep

    - **populations**: share of the atoms, 0 to 1, in place of counts

    - **light**: counts of the cavity's output; of a calibration, the level of the light (relative)

    - **reading** (V, or any unit); **value** and **std** (any one unit); **x**, **y** (atoms)

    - **pump**: setting of the knob, any unit; pump_1, pump_2 at the two ends of a sweep

    - **direction**: 1 up, -1 down; **stairs**: how many were climbed

    - **time** (s; any unit where rates are fitted, which are then in its inverse)

    - **pulse_time**, **decay_time** (s); **current** (A); **power** (W); **drive** (relative)

    - **bias_phase**, **angle** (rad); **setting**, **level**: number of the setting

    The ellipse takes spin, detuning_ratio, pulse_area, gain, background and their standard
    deviations: detuning_ratio_std, pulse_area_std, gain_std (all three relative) and
    background_std (counts); optionally bias_phase and bias_std (rad). A run of the ellipse brings
    them along.

    Examples: `cavitylab estimate data/2026-11-21/101500_demo_1a2b3c --json`,
    `cavitylab estimate scan.csv --estimator pumping_snapshots --set atoms=100 --figure fit.png`
    """
    from .refit import Refit, refit
    from .refit_describe import list_estimators

    with errors_told():
        if describe is not None:
            raise typer.Exit(list_estimators(None if describe == "all" else describe))
        if source is None:
            raise typer.BadParameter("give a run or a file, or --describe all", param_hint="SOURCE")
        order = Refit(
            source=source,
            estimator=estimator,
            level=level,
            beliefs=beliefs,
            settings=set_ or [],
            stream=stream,
            as_json=json,
            figure=figure,
        )
        raise typer.Exit(refit(order))


@app.command(context_settings={"help_option_names": []})  # --help looks at MODEL, see below
def predict(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Argument(help="Model; without one the models are listed.")
    ] = None,
    parameters: Annotated[
        list[str] | None, typer.Argument(help="key=value; without any they are listed.")
    ] = None,
    scan: Annotated[
        str | None, typer.Option(help="key=first:last:number, or …:numberlog; prints CSV.")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="Draw into this file (png, pdf, svg): the scan, or without one the paper's figure."
        ),
    ] = None,
    json: Json = False,
    help_: Annotated[
        bool,
        typer.Option("--help", "-h", help="This page and the models; after MODEL, its parameters."),
    ] = False,
) -> None:
    """Figures of merit of a model, with units and the equation that each comes from.

    Rates are in units of the collective decay unless given.

    Examples: `cavitylab predict two_ensembles S=50 Omega=100 Delta=10`,
    `cavitylab predict two_ensembles S=50 Omega=100 --scan Delta=1:80:50log`
    """
    if help_:
        from .predict import describe_model, list_models

        if model is not None:
            raise typer.Exit(describe_model(model))
        typer.echo(context.get_help())
        raise typer.Exit(list_models())
    from .predict import predict as predict_model

    # tells its own errors, so that it starts without the laboratory's packages
    raise typer.Exit(predict_model(model, parameters or [], scan=scan, figure=figure, as_json=json))


@app.command()
def sweep(
    protocol: Annotated[
        str | None, typer.Argument(help="Name of the protocol; left out with --resume.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting: key=value, or several: key=a,b,c or key=first:last:number."
        ),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds: first:end (excluded), a list, one.")] = "0:10",
    station: Annotated[
        str | None, typer.Option(help="Station file, or the name of a shipped one.")
    ] = None,
    rehearse: Annotated[
        str | None, typer.Option(help="Laboratory file to rehearse on, or a shipped name.")
    ] = None,
    data: Data = Path("data"),
    resume: Annotated[
        Path | None, typer.Option(help="Continue the sweep in this folder; nothing is repeated.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a running Dask scheduler, tcp://host:8786.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes to start here; one for each core.", min=1)
    ] = None,
    until: Annotated[str | None, typer.Option(help="Stop condition of every run.")] = None,
    title: Annotated[str | None, typer.Option(help="Title of the sweep.")] = None,
    json: Json = False,
) -> None:
    """Rehearse a protocol with every combination of settings and seeds, in parallel on Dask.

    Every rehearsal is a run of its own; `sweep.json` in the sweep's folder says which run belongs
    to which settings and seed. A sweep that was interrupted goes on with --resume.

    Example: `cavitylab sweep ramsey_ellipse --set detuning_hz=500:1500:5 --set shots=400
    --seeds 0:20`
    """
    from .sweep import SweepOrder
    from .sweep import sweep as run_sweep

    order = SweepOrder(
        protocol=protocol,
        settings=set_ or [],
        seeds=seeds,
        station=station,
        rehearse=rehearse,
        data=data,
        resume=resume,
        scheduler=scheduler,
        workers=workers,
        until=until,
        title=title,
    )
    with errors_told():
        raise typer.Exit(run_sweep(order, as_json=json))


@app.command()
def serve(
    laboratory: Annotated[str, typer.Argument(help="Laboratory file, or a shipped name.")],
    seed: Annotated[int | None, typer.Option(help="Draw the hidden truth anew.", min=0)] = None,
    native: Annotated[
        bool,
        typer.Option(
            "--native", help="The instruments' own ports, at 127.0.0.2, 127.0.0.3 and so on."
        ),
    ] = False,
    drifts: Annotated[bool, typer.Option(help="Let the laboratory drift.")] = True,
) -> None:
    """Serve the simulated instruments on loopback TCP until Ctrl-C.

    Prints one line for each instrument: name, host:port, VISA address.

    Example: `cavitylab serve two_ensemble.lab.yaml --native`
    """
    from .serve import serve as serve_laboratory

    with errors_told():
        serve_laboratory(laboratory, seed=seed, native=native, drifts=drifts)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the command; exits the process with an :class:`ExitCode`."""
    try:
        app(args=None if argv is None else list(argv), prog_name="cavitylab")
    except KeyboardInterrupt:
        raise SystemExit(ExitCode.STOPPED) from None
