"""Figure of a refit: data with fit, residuals, and the profile of the leading quantity."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import norm

from ..estimators import (
    AdaptivePhase,
    AdaptivePumping,
    EllipsePhase,
    EllipseSchedule,
    Estimate,
    GradientCurvature,
    JointEllipses,
)
from ..estimators.ellipse_posterior import EllipsePosterior
from ..estimators.gaussian_ring import RingLikelihood
from ..estimators.likelihood_table import LARGEST_SPIN, TableLikelihood
from ..estimators.scoring import maximise
from . import refit_scans, refit_shots
from .figures import DATA, FIT
from .refit_curves import fitted_means, fringe_phase
from .refit_ellipses import draw_four, draw_joint, draw_pair, draw_schedule
from .refit_series import Array, Panel, Series, by_place

_ABSCISSAE = ("pump", "time", "light", "angle", "bias_phase", "current", "power", "setting")
_ORDINATES = ("counts", "reading", "value", "y")
_UNITS = {
    "pump": " (unit of the knob)",
    "time": " (s)",
    "angle": " (rad)",
    "bias_phase": " (rad)",
    "current": " (A)",
    "power": " (W)",
    "light": " (relative)",
}
_COLOURS = (DATA, "#d98c2b", "#5a9e6f", "#8a5aa0", "#777777", "#b0527a")
_PROFILE_POINTS = 25
_PROFILE_STEPS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)  # standard deviations of a normal error

_PANELS: Mapping[str, Callable[[Any, dict[str, Array], Estimate], Panel]] = {
    "adaptive_phase": refit_shots.fringe,
    "combined_phase": refit_shots.combined,
    "decay_calibration": refit_scans.decay,
    "detector_calibration": refit_shots.mean_variance,
    "drift_filter": refit_shots.drift,
    "drive_calibration": refit_scans.drive,
    "gain_calibration": refit_scans.levels,
    "pumping_hold": refit_scans.hold,
    "pumping_ramps": refit_scans.ramps,
    "pumping_sweeps": refit_scans.sweeps,
    "relaxation_cumulants": refit_scans.relaxation,
    "relaxation_light": refit_scans.relaxation,
    "relaxation_trace": refit_scans.relaxation,
    "spectroscopy_calibration": refit_scans.spectroscopy,
    "squeezing_certificate": refit_shots.squeezed,
    "squeezing_matrix": refit_shots.matrix,
    "squeezing_tomography": refit_shots.tomography,
    "string_order": refit_shots.strings,
    "two_mode_squeezing": refit_shots.squeezed,
    "two_parameters": refit_shots.two_angles,
    "wineland_from_shots": refit_shots.squeezed,
}


def draw_refit(
    path: Path, name: str, estimator: Any, records: Mapping[str, Any], estimate: Estimate
) -> None:
    """Three panels into a file whose ending (png, pdf, svg) says the format.

    Raises:
        ValueError: for an ending that cannot be written.
    """
    figure = Figure(figsize=(12.6, 4.2), layout="constrained")
    data, residuals, profile = figure.subplots(1, 3)
    good = _good(records)
    columns = {k: np.asarray(v, dtype=np.float64)[good] for k, v in records.items()}
    if isinstance(estimator, JointEllipses):
        draw_joint(data, residuals, estimator, columns, estimate)
    elif isinstance(estimator, EllipsePhase):
        draw_pair(data, residuals, estimator, columns, estimate)
    elif isinstance(estimator, EllipseSchedule):
        draw_schedule(data, residuals, estimator, columns, estimate)
    elif isinstance(estimator, GradientCurvature):
        draw_four(data, residuals, estimator, columns, estimate)
    else:
        _draw_panel(data, residuals, _panel(name, estimator, columns, estimate))
    _profile(profile, estimator, columns, estimate)
    check = estimate.goodness_of_fit
    fit = "" if check is None else f", p = {check.p_value:.2g}"
    first, quantity = next(iter(estimate.quantities.items()))
    title = f"{estimate.estimator}, {estimate.shots} shots: {first} = {quantity}{fit}"
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=150)


def _good(records: Mapping[str, Any]) -> NDArray[np.bool_]:
    shots = len(np.asarray(next(iter(records.values()))))
    status = np.asarray(records.get("status", np.ones(shots)))
    good: NDArray[np.bool_] = status == 1
    return good


def _panel(name: str, estimator: Any, columns: dict[str, Array], found: Estimate) -> Panel:
    """The panel of this estimator; counts against their setting where there is none of its own."""
    draw = _PANELS.get(name)
    if draw is not None and not any(flag.startswith("not determined") for flag in found.flags):
        return draw(estimator, columns, found)
    return _plain(name, estimator, columns, found)


def _plain(name: str, estimator: Any, columns: dict[str, Array], found: Estimate) -> Panel:
    """Means at each setting with their errors; the fitted mean where the model has a closed one."""
    key = next((key for key in _ABSCISSAE if key in columns), "")
    column = next((name for name in _ORDINATES if name in columns), next(iter(columns)))
    seen = columns[column]
    x: Array = columns[key] if key else np.arange(len(seen), dtype=np.float64)
    y: Array = seen.sum(axis=1) if seen.ndim == 2 else seen
    if seen.ndim == 2 and x.ndim == 2:  # sweeps: the knob runs from the first value to the second
        bins = (np.arange(seen.shape[1]) + 0.5) / seen.shape[1]
        x, y = (x[:, :1] + np.diff(x, axis=1) * bins).ravel(), seen.ravel()
    fitted = fitted_means(estimator, name, columns, found)
    if fitted is not None and len(fitted) != len(x):
        fitted = None
    several = seen.ndim == 2 and seen.shape[1] > 1 and x.size != seen.size
    label = f"{key or 'shot'}{_UNITS.get(key, '')}"
    if name == "detuning_calibration" and fitted is not None:
        x, label = fringe_phase(columns, found), "phase of the fringe (rad)"
    series = by_place(x, y, fitted)
    if fitted is not None and set(columns) <= {key, column, "status"}:
        fine = np.linspace(float(x.min()), float(x.max()), 400)
        curve = fitted_means(estimator, name, {key: fine, column: fine}, found)
        if curve is not None:
            series = replace(series, curve=(fine, curve))
    return Panel([series], label, f"{column}, all detectors" if several else column)


def _draw_panel(data: Axes, residuals: Axes, panel: Panel) -> None:
    fitted = any(series.fit is not None for series in panel.series)
    for number, series in enumerate(panel.series):
        several = len(panel.series) > 1
        colour = _COLOURS[number % len(_COLOURS)]
        label = series.label or None
        data.errorbar(
            series.x, series.y, series.error, fmt="o", ms=3, lw=1, color=colour, label=label
        )
        _draw_fit(data, series, colour if several else FIT)
        residuals.plot(series.x, series.deviations(), "o", ms=3.5, color=colour)
    residuals.axhline(0.0, color=FIT, lw=1.0)
    residuals.axhspan(-1.0, 1.0, color="0.5", alpha=0.12, lw=0)
    about = "fit" if fitted else "overall mean"
    data.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title="data and fit" if fitted else "data")
    residuals.set(
        xlabel=panel.xlabel,
        ylabel="deviation (standard deviations)",
        title=f"residuals from the {about}",
    )
    _plain_ticks(data, "both")
    _plain_ticks(residuals, "x")
    if any(series.label for series in panel.series):
        data.legend(fontsize=8)


def _plain_ticks(axes: Axes, which: Literal["both", "x", "y"]) -> None:
    """Few enough ticks, and a power of ten in place of long rows of zeros."""
    axes.locator_params(axis="x", nbins=6)
    axes.ticklabel_format(axis=which, style="sci", scilimits=(-3, 5), useOffset=False)


def _draw_fit(data: Axes, series: Series, colour: str) -> None:
    if series.curve is not None:
        data.plot(*series.curve, color=colour, lw=1.6)
    elif series.fit is not None and series.joined:
        order = np.argsort(series.x, kind="stable")
        data.plot(series.x[order], series.fit[order], color=colour, lw=1.6)
    elif series.fit is not None:
        data.plot(series.x, series.fit, "_", color=colour, ms=16, mew=1.6)


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
        x, fall = _from_intervals(estimator, name, quantity.value)
        what = "profile, from the intervals at every level"
    axes.plot(x, fall, "o-" if x.size < 20 else "-", ms=3, color=FIT)
    axes.axvspan(*quantity.interval, color=DATA, alpha=0.15)
    axes.axvline(quantity.value, color=DATA, lw=1.0)
    axes.axhline(-0.5 * float(norm.ppf(0.5 + 0.5 * quantity.level)) ** 2, color="0.6", lw=0.8)
    seen = x[fall > -4.6]
    low, high = min(seen.min(), quantity.interval[0]), max(seen.max(), quantity.interval[1])
    if high > low:
        axes.set_xlim(low - 0.08 * (high - low), high + 0.08 * (high - low))
    _plain_ticks(axes, "x")
    axes.set_ylim(-5.0, 0.3)
    unit = f" ({quantity.unit})" if quantity.unit else ""
    axes.set(xlabel=f"{name}{unit}", ylabel="log-likelihood less its maximum", title=what)


def _from_intervals(estimator: Any, name: str, value: float) -> tuple[Array, Array]:
    """Ends of the intervals at levels of 0.5 to 3 standard deviations: where a profile falls."""
    low, high = [], []
    for step in _PROFILE_STEPS:
        level = 2.0 * float(norm.cdf(step)) - 1.0
        ends = estimator.estimate(level=level)[name].interval
        low.append(ends[0])
        high.append(ends[1])
    steps = np.array(_PROFILE_STEPS)
    x = np.array([*reversed(low), value, *high])
    return x, -0.5 * np.concatenate([steps[::-1], [0.0], steps]) ** 2


def _ellipse_profile(
    estimator: EllipsePhase, records: Mapping[str, Any], interval: tuple[float, float]
) -> tuple[Array, Array]:
    beliefs = estimator.beliefs
    table = estimator.method == "exact_table" and beliefs.spin <= LARGEST_SPIN
    likelihood = TableLikelihood(beliefs) if table else RingLikelihood(beliefs)
    counts = records["counts"]
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
