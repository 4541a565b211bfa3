"""Panels of ellipses: shots with every fitted ellipse, and how far they lie from it."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from ..estimators import (
    EllipsePhase,
    EllipseSchedule,
    Estimate,
    GradientCurvature,
    JointEllipses,
)
from ..estimators.binomial_beliefs import EllipseAtoms
from ..estimators.gaussian_ring import RingLikelihood
from ..estimators.gradient_curvature_model import FourEnsembleLikelihood
from .figures import DATA, FIT
from .refit_curves import fitted_ellipses
from .refit_series import Array

Columns = dict[str, Array]

_MOST_SHOTS = 3000
_OTHER = "#d98c2b"
_THETA = 2.0 * math.pi * np.arange(360) / 360


def draw_pair(
    data: Axes,
    residuals: Axes,
    estimator: EllipsePhase,
    columns: Columns,
    found: Estimate,
) -> None:
    """Counts of the two ports with the mean ellipse; distance from it in standard deviations."""
    counts = columns["counts"][:_MOST_SHOTS]
    names = ("detuning_ratio", "pulse_area", "gain", "background")
    values = np.array([found[name].value for name in names])
    nuisances = np.concatenate([np.log(values[:3]), values[3:]])
    theta = 2.0 * math.pi * np.arange(720) / 720
    phase = found["phase"].value
    m1, m2, v1, v12, v2 = RingLikelihood(estimator.beliefs).moments(phase, nuisances, theta)
    data.plot(*counts.T, ".", ms=2, color=DATA, alpha=0.5)
    data.plot(np.append(m1, m1[0]), np.append(m2, m2[0]), color=FIT, lw=1.4)
    data.set(xlabel="counts, ensemble 1", ylabel="counts, ensemble 2", title="data and fit")
    off1, off2 = counts[:, :1] - m1, counts[:, 1:] - m2
    spread = v1 * v2 - v12**2
    squares = (v2 * off1**2 - 2.0 * v12 * off1 * off2 + v1 * off2**2) / spread
    nearest = np.argmin(squares, axis=1)
    distance = np.sqrt(squares[np.arange(len(counts)), nearest])
    radius = np.hypot(*(counts - [m1.mean(), m2.mean()]).T)
    ring = np.hypot(m1 - m1.mean(), m2 - m2.mean())[nearest]
    residuals.plot(theta[nearest], np.copysign(distance, radius - ring), ".", ms=2, color=DATA)
    residuals.axhline(0.0, color=FIT, lw=1.0)
    residuals.set(xlabel="nearest common phase (rad)", ylabel="distance / std", title="residuals")


def draw_joint(
    data: Axes,
    residuals: Axes,
    estimator: JointEllipses,
    columns: Columns,
    found: Estimate,
) -> None:
    """Both ports with every setting's fitted ellipse; the nearest distance to any of them."""
    column = "counts" if "counts" in columns else "populations"
    shots = columns[column][:_MOST_SHOTS]
    atoms = [b.atoms for b in estimator.settings if isinstance(b, EllipseAtoms)]
    scale = np.array(atoms[0]) if column == "populations" and atoms else np.ones(2)
    data.plot(*shots.T, ".", ms=2, color=DATA, alpha=0.5)
    curves = [np.column_stack(curve) / scale for curve in fitted_ellipses(estimator, found)]
    for curve in curves:
        data.plot(*curve.T, color=FIT, lw=1.4)
    what = "data and fit" if curves else "data"
    data.set(xlabel=f"{column}, ensemble 1", ylabel=f"{column}, ensemble 2", title=what)
    if not curves:
        return
    points = np.concatenate(curves)
    nearest = np.empty(len(shots))
    for start in range(0, len(shots), 500):
        block = shots[start : start + 500, None, :] - points
        nearest[start : start + 500] = np.sqrt((block**2).sum(axis=2).min(axis=1))
    residuals.plot(nearest, ".", ms=3, color=DATA)
    residuals.set(xlabel="shot", ylabel=f"distance, {column}", title="distance from the ellipse")


def draw_schedule(
    data: Axes,
    residuals: Axes,
    estimator: EllipseSchedule,
    columns: Columns,
    found: Estimate,
) -> None:
    """Shots of every setting with its mean ellipse, at the nuisances as believed."""
    beliefs = estimator.beliefs
    counts = columns["counts"][:_MOST_SHOTS]
    setting = columns.get("setting", np.zeros(len(counts)))[:_MOST_SHOTS]
    shared = beliefs.shared
    ring = RingLikelihood(shared)
    nuisances = np.array(
        [
            *np.log([shared.detuning_ratio, shared.pulse_area, shared.gain]),
            shared.background,
        ]
    )
    for index, one in enumerate(beliefs.settings):
        rows = setting == index
        if not rows.any():
            continue
        phase = found["signal"].value + one.bias_phase
        if one.prepared:
            m1, m2 = ring.moments(phase, nuisances, _THETA)[:2]
        else:
            height = 0.5 * math.sin(shared.pulse_area)
            m1, m2 = (
                shared.gain * shared.atoms * (0.5 + height * np.sin(phase + sign * _THETA))
                + shared.background
                for sign in (1.0, -1.0)
            )
        colour = DATA if one.prepared else _OTHER
        kind = "prepared" if one.prepared else "independent"
        label = f"{index}: {kind}, bias {one.bias_phase:.3g} rad"
        data.plot(*counts[rows].T, ".", ms=3, color=colour, alpha=0.5, label=label)
        data.plot(np.append(m1, m1[0]), np.append(m2, m2[0]), color=colour, lw=1.6)
        curve = np.column_stack([m1, m2])
        distance, nearest = _nearest(counts[rows], curve, np.ones_like(curve))
        middle = curve.mean(axis=0)
        outside = np.hypot(*(counts[rows] - middle).T) > np.hypot(*(curve[nearest] - middle).T)
        signed = np.where(outside, distance, -distance)
        residuals.plot(_THETA[nearest], signed, ".", ms=3, color=colour)
    residuals.axhline(0.0, color=FIT, lw=1.0)
    data.legend(fontsize=7)
    data.set(xlabel="counts, ensemble 1", ylabel="counts, ensemble 2", title="data and fit")
    residuals.set(
        xlabel="nearest common phase (rad)",
        ylabel="distance (counts)",
        title="distance from the ellipse of the setting",
    )


def draw_four(
    data: Axes,
    residuals: Axes,
    estimator: GradientCurvature,
    columns: Columns,
    found: Estimate,
) -> None:
    """Outer and inner pair of the four ensembles with the fitted ellipses."""
    beliefs, counts = estimator.beliefs, columns["counts"][:_MOST_SHOTS]
    likelihood = FourEnsembleLikelihood(beliefs, counts)
    contrasts = np.asarray(found.diagnostics["contrasts"])
    pull = (contrasts - beliefs.contrast) / beliefs.contrast_std if beliefs.contrast_std else 0.0
    x = np.zeros(10)
    x[:2], x[2:6] = (found["gradient"].value, found["curvature"].value), pull
    mean, variance = likelihood.moments(x)[:2]
    for pair, colour, label in (((0, 3), DATA, "1 and 4"), ((1, 2), _OTHER, "2 and 3")):
        seen, curve = counts[:, pair], mean[:, pair]
        data.plot(*seen.T, ".", ms=3, color=colour, alpha=0.5, label=f"ensembles {label}")
        closed = np.vstack([curve, curve[:1]])
        data.plot(*closed.T, color=colour, lw=1.6)
    distance, nearest = _nearest(counts, mean, variance)
    residuals.plot(likelihood.theta[nearest], distance / math.sqrt(3.0), ".", ms=3, color=DATA)
    residuals.axhline(1.0, color=FIT, lw=1.0)
    data.legend(fontsize=8)
    data.set(xlabel="counts, first of the pair", ylabel="counts, second", title="data and fit")
    residuals.set(
        xlabel="nearest common phase (rad)",
        ylabel="distance / std (1 expected)",
        title="distance from the fit, four ensembles",
    )


def _nearest(
    shots: Array, curve: Array, variance: Array
) -> tuple[Array, np.ndarray[tuple[int, ...], np.dtype[np.intp]]]:
    """Distance to the nearest point of a curve, in the roots of the variances there, and which."""
    squares = np.array([((curve - shot) ** 2 / variance).sum(axis=1) for shot in shots])
    nearest = squares.argmin(axis=1)
    return np.sqrt(squares[np.arange(len(shots)), nearest]), nearest
