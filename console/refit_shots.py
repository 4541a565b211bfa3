"""Panels of shots that repeat one measurement: histograms, runs of blocks, variances."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..estimators import Estimate
from .refit_series import (
    Array,
    Panel,
    Series,
    along_the_run,
    by_place,
    histogram,
    variance_error,
)

Columns = dict[str, Array]

_FINE = 200
_QUADRATURES = {0: "squeezed quadrature", 3: "conjugate quadrature"}


def squeezed(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Shots of the squeezed quadrature (and the conjugate one), with Gaussians as wide."""
    beliefs = estimator.beliefs
    setting = columns.get("setting", np.zeros(len(columns["counts"])))
    atoms = (columns["counts"] - beliefs.background) / beliefs.gain - beliefs.spin
    two = "xi2_b" in found.quantities
    weights = {0: np.array([1.0, 1.0]), 3: np.array([1.0, -1.0])}
    if not two:
        weights = {0: np.array(beliefs.weights[: beliefs.ensembles])}
    series = []
    for number, weight in weights.items():
        values = atoms[setting == number] @ weight
        if values.size > 1:
            series.append(histogram(values, _QUADRATURES[number] if two else ""))
    return Panel(series, "sum of weighted atoms, shot by shot", "shots in a bin")


def tomography(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Variance at every analysis angle, detection noise included."""
    beliefs, facts = estimator.beliefs, found.diagnostics
    setting = columns.get("setting", np.zeros(len(columns["counts"])))
    weights = np.array(beliefs.weights[: beliefs.ensembles])
    counts, angles = columns["counts"][setting == 0], columns["angle"][setting == 0] % math.pi
    noise = 0.0
    if beliefs.detection == "counting":
        noise = float((counts @ weights**2).mean()) / beliefs.gain**2
    elif beliefs.detection == "reference":
        reference = columns["counts"][setting == 2] @ weights
        noise = float(reference.var(ddof=1)) / beliefs.gain**2
    places = np.unique(np.round(angles, 9))
    rows = [np.abs(angles - place) < 1e-8 for place in places]
    number = np.array([float(row.sum()) for row in rows])
    seen = np.array([(counts[row] @ weights).var(ddof=1) for row in rows]) / beliefs.gain**2

    def law(at: Array) -> Array:
        wave: Array = facts["a"] + facts["c1"] * np.cos(2.0 * at) + facts["c2"] * np.sin(2.0 * at)
        return wave + noise

    fine = np.linspace(0.0, math.pi, _FINE)
    fit = law(places)
    error = variance_error(fit, number)
    series = Series(places, seen, error, fit, (fine, law(fine)))
    return Panel([series], "analysis angle (rad)", "variance (atoms²)")


def matrix(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Shots along the direction that was found, in units where no squeezing is one."""
    direction = np.asarray(found.diagnostics["direction"], dtype=np.float64)
    values = columns["counts"] * estimator.beliefs.scale
    along = (values - values.mean(axis=0)) @ direction
    return Panel(
        [histogram(along)], "along the direction found (1: no squeezing)", "shots in a bin"
    )


def combined(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """n.phi of blocks of shots along the run."""
    beliefs = estimator.beliefs
    x = (columns["counts"] - beliefs.background) / beliefs.gain - np.array(beliefs.spins)
    phases = np.array([found[f"phase_{k + 1}"].value for k in range(x.shape[1])])
    slopes = np.array(beliefs.direction) / (np.array(beliefs.slopes) * np.cos(phases))
    value = found["combined_phase"].value
    values = value + (x - x.mean(axis=0)) @ slopes
    return Panel([along_the_run(values, value)], "shot", "combined phase of a block (rad)")


def strings(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """The correlator of blocks of shots along the run."""
    values = estimator.correlators(columns["counts"].astype(np.int64))
    series = along_the_run(values, found["string_order"].value)
    return Panel([series], "shot", "string order of a block")


def two_angles(_: Any, columns: Columns, __: Estimate) -> Panel:
    """x and y of blocks of shots along the run, about their means."""
    series = [along_the_run(columns[n], float(columns[n].mean()), n) for n in ("x", "y")]
    return Panel(series, "shot", "mean of a block (atoms)")


def drift(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Measurements, the filter's track at the diffusion found, and its innovations."""
    time, value, std = columns["time"], columns["value"], columns["std"]
    diffusion = found.quantities.get("diffusion")
    q = diffusion.value if diffusion else float(estimator.diffusions[0])
    track, mean, variance, before = np.empty_like(value), value[0], std[0] ** 2, time[0]
    for k in range(value.size):
        variance += q * (time[k] - before)
        share = variance / (variance + std[k] ** 2)
        mean, variance, before = mean + share * (value[k] - mean), variance * (1.0 - share), time[k]
        track[k] = mean
    unit = found["value"].unit
    series = Series(time, value, std, track, residual=np.asarray(estimator.innovations))
    return Panel([series], "time", f"value ({unit})" if unit else "value")


def mean_variance(estimator: Any, columns: Columns, found: Estimate) -> Panel:
    """Variance against mean of the counts at every level of the light."""
    light, counts = columns["light"], columns["counts"].ravel()
    rows = [light == level for level in np.unique(light)]
    number = np.array([float(row.sum()) for row in rows])
    mean = np.array([counts[row].mean() for row in rows])
    seen = np.array([counts[row].var(ddof=1) if row.sum() > 1 else 0.0 for row in rows])
    gain, background = found["gain"].value, found["background"].value
    share = 0.0 if estimator.atoms is None else 1.0 / estimator.atoms

    def law(at: Array) -> Array:
        off = at - background
        found: Array = at + gain * off - share * off**2
        return found

    fine = np.linspace(0.0, float(mean.max()), _FINE)
    fine = fine[fine >= min(background, float(mean.min()))]
    fit = law(mean)
    series = Series(mean, seen, variance_error(fit, number), fit, (fine, law(fine)))
    return Panel([series], "mean counts", "variance (counts²)")


def fringe(_: Any, columns: Columns, found: Estimate) -> Panel:
    """Product of both ports' deviations against the bias: -A cos 2 (signal + bias)."""
    bias = columns["bias_phase"]
    off = columns["counts"] - columns["counts"].mean(axis=0)
    product = off[:, 0] * off[:, 1]
    signal = found["signal"].value

    def wave(at: Array) -> Array:
        found: Array = -np.cos(2.0 * (signal + at))
        return found

    shape = wave(bias)
    height = max(float(shape @ product) / max(float(shape @ shape), 1e-12), 0.0)
    one = by_place(bias, product, height * shape)
    fine = np.linspace(float(bias.min()) - 0.2, float(bias.max()) + 0.2, _FINE)
    series = Series(one.x, one.y, one.error, one.fit, (fine, height * wave(fine)))
    return Panel([series], "bias phase (rad)", "product of the ports' deviations (counts²)")
