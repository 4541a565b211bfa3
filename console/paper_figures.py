"""The paper's figure for a model, at the user's parameters: `cavitylab predict … --figure F`.

One picture for each of the seven models, of two panels, with the asked-for point marked by a
star. Curves are computed while time allows (a few seconds in all), coarse first, so that the
picture is quick at any size; `examples/figures/` draws the published figures in full.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..models.predictions import Model, Prediction
from .paper_figures_chu import chain, many_ensembles, two_ensembles
from .paper_figures_collective import (
    multi_ensemble,
    pumped_superradiance,
    squeezed_reservoir,
    two_mode_squeezing,
)


def draw_paper_figure(path: Path, chosen: Model, prediction: Prediction) -> None:
    """Draw the figure of the model into the file, its kind told by the ending.

    Args:
        path: png, pdf or svg file to write.
        chosen: the model.
        prediction: its figures of merit at the user's parameters, which are marked.
    """
    figure = Figure(figsize=(9.6, 4.3), layout="constrained")
    left, right = figure.subplots(1, 2)
    source = _DRAWINGS[chosen.name](left, right, prediction)
    figure.suptitle(f"{chosen.title} ({source})", fontsize=11)
    figure.savefig(path, dpi=150)


_DRAWINGS: Mapping[str, Callable[[Axes, Axes, Prediction], str]] = {
    "two_ensembles": two_ensembles,
    "many_ensembles": many_ensembles,
    "chain": chain,
    "two_mode_squeezing": two_mode_squeezing,
    "squeezed_reservoir": squeezed_reservoir,
    "pumped_superradiance": pumped_superradiance,
    "multi_ensemble_superradiance": multi_ensemble,
}
"""One drawing for each model; it fills both panels and names the published figure."""
