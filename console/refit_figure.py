"""Figure of a refit: data with fit, residuals, and the profile of the leading quantity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm

from ..estimators import AdaptivePhase, AdaptivePumping, EllipsePhase, Estimate, JointEllipses
from ..estimators.binomial_beliefs import EllipseAtoms
from ..estimators.ellipse_posterior import EllipsePosterior
from ..estimators.gaussian_ring import RingLikelihood
from ..estimators.likelihood_table import LARGEST_SPIN, TableLikelihood
from ..estimators.scoring import maximise
from .figures import DATA, FIT
from .refit_curves import fitted_ellipses, fitted_means

Array = NDArray[np.float64]

_ABSCISSAE = ("pump", "time", "light", "angle", "bias_phase", "current", "power", "setting")
_ORDINATES = ("counts", "reading", "value", "y")
_UNITS = {"time": " (s)", "angle": " (rad)", "bias_phase": " (rad)", "current": " (A)"}
_PROFILE_POINTS = 25
_MOST_SHOTS = 3000


def draw_refit(
    path: Path, name: str, estimator: Any, records: Mapping[str, Any], estimate: Estimate
) -> None:
    """Three panels into a file whose ending (png, pdf, svg) says the format.

    Raises:
        ValueError: for an ending that cannot be written.
    """
    figure = Figure(figsize=(12.0, 3.9), layout="constrained")
    data, residuals, profile = figure.subplots(1, 3)
    if isinstance(estimator, JointEllipses):
        _joint(data, residuals, estimator, records, estimate)
    elif isinstance(estimator, EllipsePhase):
        _ellipse(data, residuals, estimator, records, estimate)
    else:
        _curve(data, residuals, estimator, name, records, estimate)
    _profile(profile, estimator, records, estimate)
    check = estimate.goodness_of_fit
    fit = "" if check is None else f", p = {check.p_value:.2g}"
    figure.suptitle(f"{estimate.estimator}, {estimate.shots} shots{fit}", fontsize=10)
    figure.savefig(path, dpi=130)


def _good(records: Mapping[str, Any]) -> NDArray[np.bool_]:
    shots = len(np.asarray(next(iter(records.values()))))
    status = np.asarray(records.get("status", np.ones(shots)))
    good: NDArray[np.bool_] = status == 1
    return good


def _ellipse(
    data: Axes,
    residuals: Axes,
    estimator: EllipsePhase,
    records: Mapping[str, Any],
    found: Estimate,
) -> None:
    """Counts of the two ports with the mean ellipse; distance from it in standard deviations."""
    counts = np.asarray(records["counts"], dtype=np.float64)[_good(records)][:_MOST_SHOTS]
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


def _joint(
    data: Axes,
    residuals: Axes,
    estimator: JointEllipses,
    records: Mapping[str, Any],
    found: Estimate,
) -> None:
    """Both ports with every setting's fitted ellipse; the nearest distance to any of them."""
    good = _good(records)
    column = "counts" if "counts" in records else "populations"
    shots = np.asarray(records[column], dtype=np.float64)[good][:_MOST_SHOTS]
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


def _curve(
    data: Axes,
    residuals: Axes,
    estimator: Any,
    name: str,
    records: Mapping[str, Any],
    found: Estimate,
) -> None:
    """Means at each setting with their errors; the fitted mean where the model has a closed one."""
    good = _good(records)
    columns = {k: np.asarray(v, dtype=np.float64)[good] for k, v in records.items()}
    key = next((key for key in _ABSCISSAE if key in columns), "")
    column = next((name for name in _ORDINATES if name in columns), next(iter(columns)))
    seen = columns[column]
    x: Array = columns[key] if key else np.arange(len(seen), dtype=np.float64)
    y: Array = seen.sum(axis=1) if seen.ndim == 2 else seen
    if seen.ndim == 2 and x.ndim == 2:  # sweeps: the knob runs from the first value to the second
        bins = (np.arange(seen.shape[1]) + 0.5) / seen.shape[1]
        x, y = (x[:, :1] + np.diff(x, axis=1) * bins).ravel(), seen.ravel()
    places, means, errors = _binned(x, y)
    data.errorbar(places, means, errors, fmt=".", color=DATA)
    fitted = fitted_means(estimator, name, columns, found)
    smooth: Any = means.mean()
    if fitted is not None and len(fitted) == len(x):
        smooth = _binned(x, fitted)[1]
        data.plot(places, smooth, color=FIT, lw=1.4)
    typical = float(np.median(errors[errors > 0.0])) if np.any(errors > 0.0) else 1.0
    safe = np.where(errors > 0.1 * typical, errors, typical)
    residuals.plot(places, (means - smooth) / safe, ".", color=DATA)
    residuals.axhline(0.0, color=FIT, lw=1.0)
    about = "fit" if fitted is not None else "overall mean"
    what = column if seen.ndim == 1 or x.size == seen.size else f"{column}, all detectors"
    label = f"{key or 'shot'}{_UNITS.get(key, '')}"
    data.set(xlabel=label, ylabel=what, title="data" + " and fit" * (fitted is not None))
    residuals.set(xlabel=label, ylabel="std of the mean", title=f"residuals from the {about}")


def _binned(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Mean and its error at each setting, or in 60 bins where settings are many."""
    places, label = np.unique(x, return_inverse=True)
    if places.size > 60:
        edges = np.linspace(places[0], places[-1], 61)
        label = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, 59)
        label = np.unique(label, return_inverse=True)[1]
        places = np.bincount(label, x) / np.bincount(label)
    number = np.bincount(label)
    means = np.bincount(label, y) / number
    variance = np.bincount(label, (y - means[label]) ** 2) / np.maximum(number - 1, 1)
    return places, means, np.sqrt(variance / number)


def _profile(axes: Axes, estimator: Any, records: Mapping[str, Any], found: Estimate) -> None:
    """Fall of the log-likelihood, or of the log-posterior, about the leading quantity."""
    name, quantity = next(iter(found.quantities.items()))
    if isinstance(estimator, EllipsePhase) and found.diagnostics.get("converged"):
        x, fall = _ellipse_profile(estimator, records, quantity.interval)
        what = "profile log-likelihood"
    elif isinstance(estimator, (AdaptivePhase, AdaptivePumping)):
        marginal = estimator.posterior().refined(0)
        scale = np.exp if isinstance(estimator, AdaptivePumping) else np.asarray
        x, fall = scale(marginal.points), np.log(marginal.weights / marginal.weights.max() + 1e-30)
        what = "log posterior"
    else:
        x = np.linspace(quantity.value - 4 * quantity.std, quantity.value + 4 * quantity.std, 200)
        fall = -0.5 * ((x - quantity.value) / (quantity.std or 1.0)) ** 2
        what = "normal approximation"
    axes.plot(x, fall, color=FIT, ls="--" if what.startswith("normal") else "-")
    axes.axvspan(*quantity.interval, color=DATA, alpha=0.15)
    axes.axvline(quantity.value, color=DATA, lw=1.0)
    axes.axhline(-0.5 * float(norm.ppf(0.5 + 0.5 * quantity.level)) ** 2, color="0.6", lw=0.8)
    axes.set_ylim(-8.0, 0.4)
    unit = f" ({quantity.unit})" if quantity.unit else ""
    axes.set(xlabel=name + unit, ylabel="fall from the maximum", title=what)


def _ellipse_profile(
    estimator: EllipsePhase, records: Mapping[str, Any], interval: tuple[float, float]
) -> tuple[Array, Array]:
    beliefs = estimator.beliefs
    table = estimator.method == "exact_table" and beliefs.spin <= LARGEST_SPIN
    likelihood = TableLikelihood(beliefs) if table else RingLikelihood(beliefs)
    counts = np.asarray(records["counts"], dtype=np.float64)[_good(records)]
    posterior = EllipsePosterior(likelihood, beliefs, counts)
    low, high = interval
    reach = 0.6 * (high - low)
    phases = np.linspace(
        max(low - reach, 2e-4), min(high + reach, 0.5 * math.pi - 2e-4), _PROFILE_POINTS
    )
    start = posterior.start(0.5 * (low + high))
    falls = []
    for phase in phases:
        start = start.copy()
        start[0] = math.cos(2.0 * phase)
        found = maximise(posterior, start, iterations=20, hold=0)
        start = found.point.x
        falls.append(found.point.value)
    fall = np.array(falls)
    return phases, fall - fall.max()
