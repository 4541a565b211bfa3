"""Do the models of several ellipses describe their shots? Chi-square of cells, all members."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm

from .binomial_ring import AtomsLikelihood
from .ellipse_beliefs import EllipseBeliefs
from .ellipse_joint_posterior import JointPosterior, Member
from .ellipse_posterior import outlier_range
from .estimate import GoodnessOfFit
from .fit_check import count_edges, merge_cells, quadratic_form
from .scoring import Optimum

Array = NDArray[np.float64]

FEWEST_SHOTS = 40
_TEST = "chi-square of shots in cells and of the calibrations; mean log-density; both corrected"
_DRAWN, _SEED = 2000, 1


def check_joint(
    posterior: JointPosterior, beliefs: tuple[EllipseBeliefs | None, ...], optimum: Optimum
) -> GoodnessOfFit | None:
    """Chi-square over the cells of every member with enough shots; None where there is none.

    Args:
        posterior: of all members.
        beliefs: of each setting; None for independent atoms, whose edges the model gives.
        optimum: the fit.
    """
    x = optimum.point.x
    residuals, designs, groups = [], [], 0
    for member in posterior.members:
        found = _member(posterior, member, beliefs[member.setting], x)
        if found is not None:
            residuals.append(found[0])
            designs.append(found[1])
            groups += 1
    if not groups:
        return None
    prior = np.flatnonzero(posterior.precision > 0.0)
    residuals.append(-x[prior])
    designs.append(np.eye(x.size)[prior])
    # Nuisances of a setting without shots, and without a prior, are in no cell.
    free = optimum.free & (np.diag(optimum.point.information) > 0.0)
    free[-1] = False
    residual, design = np.concatenate(residuals), np.vstack(designs)[:, free]
    information = optimum.point.information[np.ix_(free, free)]
    statistic, used = quadratic_form(residual, design, information)
    degrees = residual.size - groups - used
    if degrees < 1:
        return None
    p_value = float(chi2.sf(statistic, degrees))
    surprise = surprise_p_value(posterior, optimum)
    if surprise is not None:
        p_value = 1.0 - (1.0 - min(p_value, surprise)) ** 2
    return GoodnessOfFit(statistic, p_value, degrees, _TEST)


def surprise_p_value(posterior: JointPosterior, optimum: Optimum) -> float | None:
    """Mean log-density of the shots against that of shots drawn from the fit, two-sided.

    It sees what cells are too coarse for: points inside the ellipse, where a contrast falls within
    the run. Fitting raises the sum by half of the number of parameters. None with prepared states.
    """
    x, rng = optimum.point.x, np.random.default_rng(_SEED)
    weight, gap, variance = float(x[-1]), 0.0, 0.0
    for member in posterior.members:
        model, shots = member.likelihood, len(member.data)
        if not isinstance(model, AtomsLikelihood):
            return None
        phase, nuisances = posterior.total_phase(x, member), posterior.nuisances(x, member.setting)
        drawn = model.draw(phase, nuisances, _DRAWN, rng)
        stray = rng.random(_DRAWN) < weight
        atoms = np.array(model.beliefs.atoms)
        drawn[stray] = rng.integers(0, atoms + 1, (int(stray.sum()), 2))
        logs = [
            np.log(
                (1.0 - weight) * model.scan(data, np.array([phase]), nuisances)[:, 0]
                + weight * member.stray
            )
            for data in (member.data, drawn)
        ]
        gap += shots * float(logs[0].mean() - logs[1].mean())
        variance += shots**2 * float(logs[1].var()) * (1.0 / shots + 1.0 / _DRAWN)
    held = posterior.precision * np.diag(optimum.covariance)
    gap -= 0.5 * float((optimum.free & (np.arange(x.size) < x.size - 1)) @ (1.0 - held))
    return 2.0 * float(norm.sf(abs(gap) / math.sqrt(variance)))


def _member(
    posterior: JointPosterior, member: Member, beliefs: EllipseBeliefs | None, x: Array
) -> tuple[Array, Array] | None:
    """Standardised residuals of the cells and their derivatives by x."""
    shots = len(member.data)
    if shots < FEWEST_SHOTS:
        return None
    phase, nuisances = posterior.total_phase(x, member), posterior.nuisances(x, member.setting)
    if isinstance(member.likelihood, AtomsLikelihood):
        edges = member.likelihood.edges(phase, nuisances, shots)
        widths = [_inner_widths(edge, member.likelihood, port) for port, edge in enumerate(edges)]
        stray = np.outer(*widths)
    elif beliefs is not None:
        edges = count_edges(member.data, shots, beliefs)
        stray = np.outer(np.diff(edges[0]), np.diff(edges[1])) / outlier_range(beliefs) ** 2
    else:
        return None
    cells, slopes = member.likelihood.cell_probabilities(phase, nuisances, edges)
    expected = (1.0 - x[-1]) * cells + x[-1] * stray
    seen, _, _ = np.histogram2d(member.data[:, 0], member.data[:, 1], bins=[*edges])
    own = posterior.settings[member.setting].directions
    by_own = np.concatenate(
        [slopes[:1] * posterior.slope(x), np.einsum("kr,kij->rij", own, slopes[1:])]
    )
    grouped = merge_cells(expected, seen, by_own * (1.0 - x[-1]), shots)
    if grouped is None:
        return None
    probability, number, gradient = grouped
    root = np.sqrt(shots * probability)
    design = np.zeros((root.size, x.size))
    design[:, [0, *posterior.columns[member.setting]]] = shots * gradient.T / root[:, None]
    return (number - shots * probability) / root, design


def _inner_widths(edges: Array, likelihood: AtomsLikelihood, port: int) -> Array:
    """Shares of a uniform number of atoms 0 … N in the cells."""
    number = likelihood.beliefs.atoms[port]
    inside = np.clip(edges, 0.0, number + 1.0)
    shares: Array = np.diff(inside) / (number + 1.0)
    return shares
