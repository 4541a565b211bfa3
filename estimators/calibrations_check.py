"""What a calibration's fit is worth: its check, its result with the domain, its bound."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm
from scipy.stats import f as f_distribution

from .calibrations_fit import (
    Curve,
    Fitted,
    Groups,
    LawName,
    Parameter,
    Prediction,
    quantities_of,
)
from .estimate import Estimate, GoodnessOfFit, Quantity
from .scoring import inverse_on

Array = NDArray[np.float64]

_LEAST_VARIANCE = 5.0  # counts^2 of a cell of the check; smaller ones are joined


def check(fitted: Fitted, variance_parameters: int = 0) -> GoodnessOfFit | None:
    """Means of the settings against the curve; scatter within settings against the law."""
    likelihood, groups = fitted.likelihood, fitted.likelihood.groups
    predicted = likelihood.curve.evaluate(fitted.theta)
    variance, excess = _variance_of(predicted, likelihood.law, groups)
    mean = predicted.mean * (groups.trials if likelihood.law == "binomial" else 1.0)
    pulls = [
        ((fitted.theta[i] - p.prior[0]) / p.prior[1]) ** 2
        for i, p in enumerate(likelihood.curve.parameters)
        if p.prior is not None
    ]
    free = int(fitted.optimum.free.sum()) - variance_parameters
    residual, cells = _cells(groups, mean, variance, likelihood.law != "gaussian")
    degrees = cells + len(pulls) - free
    tests: list[tuple[float, float, int]] = []
    within = int(np.sum(groups.number - 1.0))
    if variance_parameters and likelihood.law == "gaussian" and free > 0:
        # The noise is fitted too: scatter between settings against scatter within them.
        if within >= 4 and degrees >= 1:
            pooled = float(np.sum(groups.scatter / variance)) / within
            if pooled > 0.0:
                p_value = float(f_distribution.sf(residual / degrees / pooled, degrees, within))
            else:  # no reading scatters: a stuck instrument, not a quiet one
                p_value = 0.0
            tests.append((residual, p_value, degrees))
    else:
        statistic = residual + float(np.sum(pulls))
        if degrees >= 1:
            tests.append((statistic, float(chi2.sf(statistic, degrees)), degrees))
        if within >= 4:
            scatter = float(np.sum(groups.scatter / variance))
            spread = 2.0 * within + float(np.sum((groups.number - 1.0) * excess))
            matched = 2.0 * within**2 / spread
            p_value = float(chi2.sf(scatter * matched / within, matched))
            tests.append((scatter, p_value, within))
    if not tests:
        return None
    least = min(p for _, p, _ in tests)
    p_value = 1.0 - (1.0 - least) ** len(tests) if least > 1e-8 else len(tests) * least
    return GoodnessOfFit(
        sum(s for s, _, _ in tests),
        p_value,
        sum(d for _, _, d in tests),
        "means of the settings and scatter within them",
    )


def _variance_of(predicted: Prediction, law: LawName, groups: Groups) -> tuple[Array, Array]:
    """Variance of one reading and its excess kurtosis, (K,) each."""
    if law == "gaussian" and predicted.variance is not None:
        return predicted.variance, np.zeros_like(predicted.mean)
    if law == "poisson":
        mean = np.maximum(predicted.mean, 1e-9)
        return mean, 1.0 / mean
    p = np.clip(predicted.mean, 1e-9, 1.0 - 1e-9)
    variance = groups.trials * p * (1.0 - p)
    return variance, (1.0 - 6.0 * p * (1.0 - p)) / variance


def _cells(groups: Groups, mean: Array, variance: Array, join: bool) -> tuple[float, int]:
    """Chi-square of the settings' sums; settings with little variance are joined."""
    off, width = groups.total - groups.number * mean, groups.number * variance
    if not join:
        return float(np.sum(off * off / width)), off.size
    statistic, cells, gathered, weight = 0.0, 0, 0.0, 0.0
    for amount, own in zip(off, width, strict=True):
        gathered, weight = gathered + float(amount), weight + float(own)
        if weight >= _LEAST_VARIANCE:
            statistic, cells = statistic + gathered**2 / weight, cells + 1
            gathered, weight = 0.0, 0.0
    return statistic, cells


def result(
    name: str,
    fitted: Fitted,
    level: float,
    *,
    variance_parameters: int = 0,
    flags: Sequence[str] = (),
    assumptions: Sequence[str] = (),
    rejected: int = 0,
    goodness: GoodnessOfFit | None = None,
) -> Estimate:
    """The estimate of a calibration: parameters, covariance, domain, check."""
    quantities, warnings = quantities_of(fitted, level)
    groups, parameters = fitted.likelihood.groups, fitted.likelihood.curve.parameters
    values, vectors = np.linalg.eigh(_correlation(fitted))
    if values[0] < 1e-4 * values[-1]:
        direction = ", ".join(
            f"{p.name} {v:+.2f}"
            for p, v in zip(parameters, vectors[:, 0], strict=True)
            if abs(v) > 0.2
        )
        warnings.append(f"the settings hardly determine the combination {direction}")
    first = parameters[0]
    return Estimate(
        estimator=name,
        shots=groups.shots,
        quantities=quantities,
        names=tuple(p.name for p in parameters),
        covariance=fitted.covariance,
        goodness_of_fit=goodness or check(fitted, variance_parameters),
        diagnostics={
            "domain": {k: (float(v.min()), float(v.max())) for k, v in groups.settings.items()},
            "settings": int(groups.number.size),
            "log_likelihood": fitted.optimum.point.value,
            "iterations": fitted.optimum.iterations,
            "rejected": rejected,
            "flags": tuple([*flags, *warnings]),
        },
        assumptions=tuple(assumptions),
        identifiable=(first.low, first.high),
    )


def undetermined(
    name: str,
    parameters: Sequence[Parameter],
    groups: Groups,
    level: float,
    reason: str,
    *,
    assumptions: Sequence[str] = (),
    rejected: int = 0,
) -> Estimate:
    """The answer of too few settings: the prior where there is one, else the whole range.

    Args:
        name: of the measurement model.
        parameters: of its curve.
        groups: the settings so far.
        level: confidence level.
        reason: what is missing, in words.
        assumptions: as for `result`.
        rejected: bad shots.
    """
    reach = float(norm.ppf(0.5 + 0.5 * level))
    quantities, stds = {}, []
    for p in parameters:
        value, std, low, high = 0.5 * (p.low + p.high), (p.high - p.low) / 12.0**0.5, p.low, p.high
        if p.prior is not None:
            value, std = min(max(p.prior[0], low), high), p.prior[1]
            low, high = max(low, value - reach * std), min(high, value + reach * std)
        quantities[p.name] = Quantity(value, std, (low, high), level, p.unit)
        stds.append(std)
    return Estimate(
        estimator=name,
        shots=groups.shots,
        quantities=quantities,
        names=tuple(p.name for p in parameters),
        covariance=np.diag(np.square(stds)),
        goodness_of_fit=None,
        diagnostics={
            "domain": {k: (float(v.min()), float(v.max())) for k, v in groups.settings.items()},
            "settings": int(groups.number.size),
            "rejected": rejected,
            "flags": (f"not determined: {reason}",),
        },
        assumptions=tuple(assumptions),
        identifiable=(parameters[0].low, parameters[0].high),
    )


def _correlation(fitted: Fitted) -> Array:
    """Information scaled to a unit diagonal."""
    information = fitted.optimum.point.information
    root = np.sqrt(np.maximum(np.diag(information), 1e-30))
    scaled_information: Array = information / np.outer(root, root)
    return scaled_information


def bound_of(curve: Curve, law: LawName, groups: Groups, theta: Array) -> Array:
    """Covariance bound at the truth, priors included, slopes by differences of the curve.

    Independent of the analytic slopes that the fit uses.
    """
    low = np.array([p.low for p in curve.parameters])
    high = np.array([p.high for p in curve.parameters])
    steps = 1e-6 * np.maximum(np.abs(theta), 1e-4 * np.minimum(high - low, 1e12))
    columns, noises = [], []
    for index, step in enumerate(steps):
        ends = []
        for sign in (1.0, -1.0):
            moved = np.array(theta, dtype=np.float64)
            moved[index] += sign * step
            ends.append(curve.evaluate(moved))
        columns.append((ends[0].mean - ends[1].mean) / (2.0 * step))
        if ends[0].variance is not None and ends[1].variance is not None:
            noises.append((ends[0].variance - ends[1].variance) / (2.0 * step))
    slopes = np.stack(columns)
    predicted = curve.evaluate(np.asarray(theta, dtype=np.float64))
    variance = _variance_of(predicted, law, groups)[0]
    weight = groups.number / variance
    if law == "binomial":
        weight = weight * groups.trials**2
    information = (slopes * weight) @ slopes.T
    if law == "gaussian" and noises:
        turned = np.stack(noises)
        information += (turned * (0.5 * groups.number / variance**2)) @ turned.T
    for index, parameter in enumerate(curve.parameters):
        if parameter.prior is not None:
            information[index, index] += 1.0 / parameter.prior[1] ** 2
    return inverse_on(information * np.outer(steps, steps) * 1e12, np.ones(steps.size, bool)) * (
        np.outer(steps, steps) * 1e12
    )
