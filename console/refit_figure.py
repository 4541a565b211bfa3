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

from ..estimators import AdaptivePhase, AdaptivePumping, EllipsePhase, Estimate
from ..estimators.ellipse_posterior import EllipsePosterior
from ..estimators.gaussian_ring import RingLikelihood
from ..estimators.likelihood_table import LARGEST_SPIN, TableLikelihood
from ..estimators.scoring import maximise
from ..models.pumped_superradiance import PumpedEnsemble, pumped_steady_state
from .figures import DATA, FIT

Array = NDArray[np.float64]

_ABSCISSAE = ("pump", "time", "angle", "bias_phase", "current", "power", "level", "setting")
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
    if isinstance(estimator, EllipsePhase):
        _ellipse(data, residuals, estimator, records, estimate)
    else:
        _curve(data, residuals, name, records, estimate)
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


def _curve(
    data: Axes, residuals: Axes, name: str, records: Mapping[str, Any], found: Estimate
) -> None:
    """Means at each setting with their errors; the fitted mean where the model has a closed one."""
    good = _good(records)
    key = next((key for key in _ABSCISSAE if key in records), "")
    column = "counts" if "counts" in records else "value"
    seen = np.asarray(records[column], dtype=np.float64)[good]
    x: Array = np.asarray(records[key] if key else np.arange(good.size), dtype=np.float64)[good]
    y: Array = seen
    if seen.ndim == 2 and x.ndim == 2:
        x, y = x.ravel(), seen.ravel()
    elif seen.ndim == 2:
        y = seen.sum(axis=1)
    places, means, errors = _binned(x, y)
    data.errorbar(places, means, errors, fmt=".", color=DATA)
    fitted = _fitted_mean(name, places, records, found)
    smooth = means.mean() if fitted is None else fitted
    if fitted is not None:
        data.plot(places, fitted, color=FIT, lw=1.4)
    safe = np.where(errors > 0.0, errors, 1.0)
    residuals.plot(places, (means - smooth) / safe, ".", color=DATA)
    residuals.axhline(0.0, color=FIT, lw=1.0)
    about = "fit" if fitted is not None else "overall mean"
    data.set(xlabel=key or "shot", ylabel=column, title="data" + " and fit" * (fitted is not None))
    residuals.set(
        xlabel=key or "shot", ylabel="std of the mean", title=f"residuals from the {about}"
    )


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


def _fitted_mean(
    name: str, places: Array, records: Mapping[str, Any], found: Estimate
) -> Array | None:
    """Mean counts of steady states at each pump; None for models without a closed mean."""
    wanted = {"critical_pump", "gain"}
    if "pump" not in records or not wanted <= set(found.quantities):
        return None
    atoms = found.quantities.get("atoms")
    number = round(atoms.value) if atoms else _atoms_of(found)
    if number is None or np.any(places <= 0.0):
        return None
    background = found.quantities.get("background")
    floor = background.value if background else _background_of(found)
    critical, gain = found["critical_pump"].value, found["gain"].value
    excited = [
        pumped_steady_state(PumpedEnsemble(number, float(pump) / critical)).mean + 0.5 * number
        for pump in places
    ]
    return gain * np.array(excited) + floor


def _atoms_of(found: Estimate) -> int | None:
    for line in found.assumptions:
        words = line.split()
        if len(words) > 1 and words[1].startswith("atoms") and words[0].isdigit():
            return int(words[0])
    return None


def _background_of(found: Estimate) -> float:
    for line in found.assumptions:
        words = line.split()
        if words[:2] == ["background", "of"]:
            return float(words[2])
    return 0.0


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
