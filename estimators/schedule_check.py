"""Does one model describe the shots of all bias phases? Chi-square of cells and calibrations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from .ellipse_posterior import outlier_range
from .estimate import GoodnessOfFit
from .fit_check import count_edges, merge_cells, quadratic_form
from .schedule_posterior import SchedulePosterior, SettingShots
from .scoring import Optimum

Array = NDArray[np.float64]

FEWEST_SHOTS = 20
_FEWEST_IN_CELLS = 40
_TEST = "chi-square of counts in cells and of the calibrations, corrected for fitted parameters"


def check_schedule(posterior: SchedulePosterior, optimum: Optimum) -> GoodnessOfFit | None:
    """Chi-square over the cells of every setting with enough shots; None where there is none."""
    x = optimum.point.x
    found = [
        one
        for part in posterior.parts
        if len(part.counts) >= _FEWEST_IN_CELLS
        for one in [_cells(posterior, part, x)]
        if one is not None
    ]
    if not found:
        return None
    size = x.size - 2
    prior = np.column_stack([np.zeros(size), np.eye(size), np.zeros(size)])
    residual = np.concatenate([*(one[0] for one in found), -x[1:-1]])
    free = optimum.free.copy()
    free[-1] = False
    design = np.vstack([*(one[1] for one in found), prior])[:, free]
    information = optimum.point.information[np.ix_(free, free)]
    statistic, used = quadratic_form(residual, design, information)
    degrees = residual.size - len(found) - used
    if degrees < 1:
        return None
    return GoodnessOfFit(statistic, float(chi2.sf(statistic, degrees)), degrees, _TEST)


def _cells(
    posterior: SchedulePosterior, part: SettingShots, x: Array
) -> tuple[Array, Array] | None:
    """Standardised residuals of the cells of one setting, and their derivatives by x."""
    shots, believed = len(part.counts), posterior.beliefs.shared
    edges = count_edges(part.counts, shots, believed)
    cells, slopes = part.likelihood.cell_probabilities(
        posterior.phase(x, part.setting), posterior.nuisances(x), edges
    )
    stray = np.outer(np.diff(edges[0]), np.diff(edges[1])) / outlier_range(believed) ** 2
    expected = (1.0 - x[-1]) * cells + x[-1] * stray
    by_x = np.einsum("i,jk->ijk", posterior.phase_row(part.setting), slopes[0])
    by_x[1:-1] += np.einsum("kr,kij->rij", posterior.directions[:4], slopes[1:])
    by_x = by_x[:-1] * (1.0 - x[-1])
    seen, _, _ = np.histogram2d(part.counts[:, 0], part.counts[:, 1], bins=[*edges])
    grouped = merge_cells(expected, seen, by_x, shots)
    if grouped is None:
        return None
    probability, number, gradient = grouped
    root = np.sqrt(shots * probability)
    design = np.zeros((root.size, x.size))
    design[:, :-1] = shots * gradient.T / root[:, None]
    return (number - shots * probability) / root, design
