"""`cavitylab predict`: figures of merit of a model, with units and equations."""

from __future__ import annotations

import csv
import json as jsonlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .exits import ExitCode, say_error

if TYPE_CHECKING:
    from ..models.predictions import Model, Prediction

MOST_POINTS = 100_000
PICTURES = (".png", ".pdf", ".svg")

MODEL_LINES: Mapping[str, str] = {
    "two_ensembles": "two ensembles, detuned collective decay (Chu et al., Sec. III)",
    "many_ensembles": "L ensembles with paired detunings and chiral exchange (Chu et al., Sec. IV)",
    "chain": "chain of ensembles with string order (Chu et al., Sec. V)",
    "two_mode_squeezing": "generalised two-mode squeezing of two ensembles (Mamaev et al.)",
    "squeezed_reservoir": "collective spin in a squeezed reservoir (Bai & An, Eqs. 7-9)",
    "pumped_superradiance": "collectively pumped superradiance (Shimshi & Shahmoon, Eqs. 1-8)",
    "multi_ensemble_superradiance": (
        "driven ensembles in one superradiant mode (Shen et al., Eqs. 5-25)"
    ),
}
"""Names and titles of the models, said here too: their modules load numpy, which `--help` must not.
"""


def predict(
    name: str | None,
    pairs: Sequence[str],
    *,
    scan: str | None,
    figure: Path | None,
    as_json: bool,
) -> ExitCode:
    """Print the quantities of one model, or how they change along a scan.

    With `figure` the scan is drawn, or without one the paper's figure at these parameters.
    """
    from ..models.predictions import PredictionError, model

    if name is None:
        return list_models()
    try:
        chosen = model(name)
        if not pairs and scan is None:
            return _describe(chosen)
        if figure is not None:
            _check_figure(figure)
        given = _pairs(pairs)
        if scan is None:
            prediction = chosen.predict(given)
            _print(chosen, prediction, as_json)
            if figure is not None:
                from .paper_figures import draw_paper_figure

                draw_paper_figure(figure, chosen, prediction)
            return ExitCode.DONE
        key, values = _scan(scan)
        points = [chosen.predict({**given, key: value}) for value in values]
    except PredictionError as error:
        say_error(str(error))
        return ExitCode.USAGE
    if as_json:
        print(jsonlib.dumps([point.to_json() for point in points]))
    else:
        _print_scan(key, values, points)
    if figure is not None:
        _draw_scan(figure, chosen, key, values, points)
    return ExitCode.DONE


def _pairs(pairs: Iterable[str]) -> dict[str, str]:
    from ..models.predictions import PredictionError

    given: dict[str, str] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key or not text:
            raise PredictionError(f"parameters are given as key=value, but got {pair!r}")
        if key in given:
            raise PredictionError(f"parameter `{key}` is given twice")
        given[key] = text
    return given


def _scan(text: str) -> tuple[str, list[float]]:
    """``key=a:b:n``, n evenly spaced values; ``key=a:b:nlog`` spaces them by their logarithm."""
    from ..models.predictions import PredictionError

    key, _, span = text.partition("=")
    logarithmic = span.endswith("log")
    try:
        first, last, number = span.removesuffix("log").split(":")
        a, b, n = float(first), float(last), int(number)
    except ValueError:
        raise PredictionError(
            f"--scan takes key=first:last:number (or numberlog), but got {text!r}"
        ) from None
    if not 2 <= n <= MOST_POINTS or (logarithmic and not (a > 0 and b > 0)):
        raise PredictionError(
            f"--scan takes 2 to {MOST_POINTS} points, and positive ends for log spacing; "
            f"got {text!r}"
        )
    if logarithmic:
        return key, [a * (b / a) ** (k / (n - 1)) for k in range(n)]
    return key, [a + (b - a) * k / (n - 1) for k in range(n)]


def list_models() -> ExitCode:
    """Name every model with one line, without loading any of them."""
    print("Models:")
    for name, line in MODEL_LINES.items():
        print(f"  {name:<29} {line}")
    print(
        "\n`cavitylab predict MODEL --help` lists its parameters and quantities with their units."
    )
    return ExitCode.DONE


def describe_model(name: str) -> ExitCode:
    """List one model's parameters, quantities and an example: its `--help`."""
    from ..models.predictions import PredictionError, model

    try:
        return _describe(model(name))
    except PredictionError as error:
        say_error(str(error))
        return ExitCode.USAGE


def _describe(chosen: Model) -> ExitCode:
    print(f"{chosen.name}: {chosen.title} ({chosen.paper})\n\nParameters, given as key=value:")
    for p in chosen.parameters:
        kind = "" if p.kind == "number" else f", a {p.kind}" + " 1,2,…" * (p.kind == "list")
        need = "" if p.default is None else f" [default {p.default}]"
        need = " (optional)" if p.optional else need
        limit = ", inf allowed" if p.infinite else ""
        print(f"  {p.name:<14} {p.unit or '-':<10} {p.meaning}{kind}{limit}{need}")
    # What the example gives is the list that cannot go stale; it takes a fraction of a second.
    print("\nQuantities:")
    for name, one in chosen.predict(chosen.example).quantities.items():
        print(f"  {name:<27} {one.unit or '-':<10} {one.source}")
    example = " ".join(f"{k}={v}" for k, v in chosen.example.items())
    print(f"\nExample: cavitylab predict {chosen.name} {example}")
    return ExitCode.DONE


def _check_figure(path: Path) -> None:
    """Refuse a picture that could not be written, before anything is computed."""
    from ..models.predictions import PredictionError

    if path.suffix.lower() not in PICTURES:
        raise PredictionError(
            f"--figure takes a file that ends in {', '.join(PICTURES)}, but got {str(path)!r}"
        )
    if not path.absolute().parent.is_dir():
        raise PredictionError(f"--figure: there is no folder {str(path.absolute().parent)!r}")


def _print(chosen: Model, prediction: Prediction, as_json: bool) -> None:
    if as_json:
        print(jsonlib.dumps(prediction.to_json(), allow_nan=False))
        return
    for name, one in prediction.quantities.items():
        text = "-" if one.value is None else _text(one.value)
        remark = f"   ({one.remark})" if one.remark else ""
        print(f"{name:<18} {text:<24} {one.unit:<10} {one.source}{remark}")


def _text(value: Any) -> str:
    value = getattr(value, "tolist", lambda: value)()  # numpy is not imported for its name
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(row) for row in value) + "]"
    return f"{value:.10g}" if isinstance(value, int | float) else str(value)


def _scalars(points: Sequence[Prediction]) -> list[str]:
    return [
        name
        for name, one in points[0].quantities.items()
        if all(isinstance(p.quantities[name].value, int | float | None) for p in points)
        and isinstance(one.value, int | float)
    ]


def _print_scan(key: str, values: Sequence[float], points: Sequence[Prediction]) -> None:
    names = _scalars(points)
    writer = csv.writer(sys.stdout)
    writer.writerow([key, *names])
    for value, point in zip(values, points, strict=True):
        writer.writerow([f"{value:.10g}", *(_cell(point.quantities[n].value) for n in names)])


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.10g}"


def _draw_scan(
    path: Path, chosen: Model, key: str, values: Sequence[float], points: Sequence[Prediction]
) -> None:
    from matplotlib.figure import Figure

    names = _scalars(points)
    unit = next((p.unit for p in chosen.parameters if p.name == key), "")
    figure = Figure(figsize=(8.0, 2.2 * len(names)), layout="constrained")
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for panel, name in zip(panels, names, strict=True):
        heights = [point.quantities[name].value for point in points]
        panel.plot(values, [float("nan") if h is None else h for h in heights], lw=1.6)
        one = points[0].quantities[name]
        panel.set_ylabel(f"{name} ({one.unit})" if one.unit else name)
    panels[-1].set_xlabel(f"{key} ({unit})" if unit else key)
    figure.suptitle(chosen.title)
    figure.savefig(path, dpi=150)
