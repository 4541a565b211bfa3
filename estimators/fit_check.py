"""Does the model describe the counts? A chi-square test that knows parameters were fitted.

Counts of the two ports are sorted into rectangles; the residuals of fitted cell numbers have
the covariance 1 - sqrt(p) sqrt(p)^T - B V B^T (B: slopes of the expected numbers over their
root, V: covariance of the fitted parameters), because the fit used the counts themselves
and not the cells. The quadratic form with the inverse of that matrix is chi-square
distributed (Rao and Robson's form). The prior enters as one more observation each; the part
of the form that tests the calibrations is independent of the rest and has few degrees of
freedom, so it is judged on its own and the smaller of the two p-values is corrected.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from .ellipse_beliefs import EllipseBeliefs
from .ellipse_posterior import EllipsePosterior, ShotLikelihood, outlier_range, phase_of
from .estimate import GoodnessOfFit
from .scoring import Optimum

Array = NDArray[np.float64]

FEWEST_SHOTS = 40
_LEAST_EXPECTED = 5.0
_TEST = "chi-square of counts in cells and of the calibrations, corrected for fitted parameters"
_FITTED = 0.95  # share of information in the cells above which a direction tests nothing


def check_fit(
    likelihood: ShotLikelihood,
    posterior: EllipsePosterior,
    beliefs: EllipseBeliefs,
    counts: Array,
    optimum: Optimum,
) -> GoodnessOfFit | None:
    """Chi-square of binned counts and of the calibrations; None below `FEWEST_SHOTS` shots."""
    shots = len(counts)
    if shots < FEWEST_SHOTS:
        return None
    x = optimum.point.x
    edges = count_edges(counts, shots, beliefs)
    nuisances = posterior.nuisances(x)
    phase = phase_of(x[0])
    cells, slopes = likelihood.cell_probabilities(phase, nuisances, edges)
    stray = np.outer(np.diff(edges[0]), np.diff(edges[1])) / outlier_range(beliefs) ** 2
    expected = (1.0 - x[-1]) * cells + x[-1] * stray
    seen, _, _ = np.histogram2d(counts[:, 0], counts[:, 1], bins=[*edges])
    by_parameter = np.concatenate(
        [
            slopes[:1] / (-2.0 * math.sin(2.0 * phase)),
            np.einsum("kr,kij->rij", posterior.directions, slopes[1:]),
        ]
    ) * (1.0 - x[-1])
    grouped = merge_cells(expected, seen, by_parameter, shots)
    if grouped is None:
        return None
    probability, number, gradient = grouped
    columns = list(range(x.size - 1))
    free = optimum.free[columns]
    information = optimum.point.information[np.ix_(columns, columns)]
    root = np.sqrt(shots * probability)
    residual = np.concatenate([(number - shots * probability) / root, -x[1:-1]])
    design = np.vstack([shots * gradient.T / root[:, None], np.eye(x.size - 1)[1:]])[:, free]
    joint, used = quadratic_form(residual, design, information[np.ix_(free, free)])
    pull, pull_degrees = _calibration_pull(x[1:-1], optimum.covariance[1:-1, 1:-1])
    degrees = residual.size - 1 - used - pull_degrees
    if degrees < 1:
        return None
    statistic = max(joint - pull, 0.0)
    p_values = [float(chi2.sf(statistic, degrees))]
    if pull_degrees:
        p_values.append(float(chi2.sf(pull, pull_degrees)))
    least = min(p_values)
    p_value = 1.0 - (1.0 - least) ** len(p_values) if least > 1e-8 else len(p_values) * least
    return GoodnessOfFit(statistic + pull, p_value, degrees + pull_degrees, _TEST)


def _calibration_pull(z: Array, covariance: Array) -> tuple[float, int]:
    """How far the counts pull the nuisances from their calibrations: chi-square and its degrees.

    Before the measurement the pulls z have the covariance 1 - V; directions that the counts
    do not determine (V near 1) test nothing.
    """
    values, vectors = np.linalg.eigh(covariance)
    tested = values < _FITTED
    amounts = vectors.T @ z
    return float(np.sum(amounts[tested] ** 2 / (1.0 - values[tested]))), int(tested.sum())


def count_edges(counts: Array, shots: int, beliefs: EllipseBeliefs) -> tuple[Array, Array]:
    """Equal widths between the lowest and highest expected counts; the ends take the rest."""
    bins = int(np.clip(round(1.2 * shots**0.37), 4, 24))
    noise = 2.0 * math.sqrt(beliefs.largest_mean)
    low = max(0.0, beliefs.background - noise)
    inner = np.rint(np.linspace(low, beliefs.largest_mean + noise, bins + 1))[1:-1]
    top = max(float(counts.max()) + 1.0, float(outlier_range(beliefs)))
    edges = np.unique(np.concatenate([[0.0], inner, [top]]))
    return edges, edges


def merge_cells(
    expected: Array, seen: Array, slopes: Array, shots: int
) -> tuple[Array, Array, Array] | None:
    """Cells with enough expected shots, and all the others as one."""
    flat, numbers = expected.ravel(), seen.ravel()
    gradients = slopes.reshape(slopes.shape[0], -1)
    kept = shots * flat >= _LEAST_EXPECTED
    probability = np.append(flat[kept], max(1.0 - float(flat[kept].sum()), 0.0))
    number = np.append(numbers[kept], shots - numbers[kept].sum())
    gradient = np.column_stack([gradients[:, kept], -gradients[:, kept].sum(axis=1)])
    if shots * probability[-1] < 1.0 and probability.size > 1:
        least = int(np.argmin(probability[:-1]))
        probability[least] += probability[-1]
        number[least] += number[-1]
        gradient[:, least] += gradient[:, -1]
        probability, number, gradient = probability[:-1], number[:-1], gradient[:, :-1]
    return (probability, number, gradient) if probability.size >= 3 else None


def quadratic_form(residual: Array, design: Array, information: Array) -> tuple[float, int]:
    """r^T (1 - B V B^T)^-1 r, and the number of directions that the cells fit themselves."""
    statistic = float(residual @ residual)
    if not design.shape[1]:
        return statistic, 0
    scale = np.sqrt(np.diag(information))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    whiten = (vectors / np.sqrt(np.maximum(values, 1e-10))) / scale[:, None]
    left, shares, _ = np.linalg.svd(design @ whiten, full_matrices=False)
    projected = left.T @ residual
    used = 0
    for share, amount in zip(shares**2, projected**2, strict=True):
        if share > _FITTED:
            statistic -= float(amount)
            used += 1
        else:
            statistic += float(amount) * share / (1.0 - share)
    return max(statistic, 0.0), used
