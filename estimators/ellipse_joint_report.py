"""The result of several ellipses in the common form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from .binomial_beliefs import PARAMETERS, UNITS, EllipseAtoms
from .ellipse_beliefs import NUISANCE_UNITS, NUISANCES, EllipseBeliefs
from .ellipse_joint_posterior import JointPosterior
from .ellipse_phase import phase_and_std
from .ellipse_posterior import FOLD_MARGIN
from .estimate import Estimate, GoodnessOfFit, Quantity
from .scoring import Optimum, profile_limit

Array = NDArray[np.float64]
Beliefs = EllipseBeliefs | EllipseAtoms

_FEW_SHOTS = 30
_MOST_OUTLIERS = 0.2
_POOR_FIT = 1e-4
_CLEAR = 3.0  # standard deviations by which a contrast must exceed 0


def report(
    posterior: JointPosterior,
    settings: Sequence[Beliefs],
    optimum: Optimum,
    limits: tuple[float, float],
    maxima: int,
    check: GoodnessOfFit | None,
    level: float,
    facts: Mapping[str, Any],
) -> Estimate:
    """An `Estimate`; the whole range with the reason where the data determine no phase."""
    x = optimum.point.x
    low_end, high_end = identifiable(posterior, facts)
    phase, std = _value(posterior, optimum)
    low, high = min(limits[0], phase), max(limits[1], phase)
    if not posterior.folded:
        turn = (high_end - low_end) * round(phase / (high_end - low_end))
        phase, low, high = phase - turn, low - turn, high - turn
        if high - low >= high_end - low_end:
            low, high = low_end, high_end
            phase = min(max(phase, low), high)
    near = posterior.folded and (
        low <= 2.0 * FOLD_MARGIN or high >= math.pi / 2.0 - 2.0 * FOLD_MARGIN
    )
    covariance, quantities = _nuisance_quantities(posterior, settings, optimum, std, level)
    poor = check is not None and check.p_value < _POOR_FIT
    reason = _refusal(quantities, float(x[-1]), poor and near)
    if reason:
        return undetermined(posterior, settings, reason, level, facts)
    covariance, quantities = _open_at_bounds(posterior, settings, optimum, covariance, quantities)
    flags = []
    if near:
        flags.append("the interval reaches a fold: the sign of the signal is not determined")
    if maxima > 1:
        flags.append(f"{maxima} phases fit about equally well: the interval spans them")
    if posterior.shots < _FEW_SHOTS:
        flags.append(f"only {posterior.shots} shots: the interval is approximate")
    if not optimum.converged:
        flags.append("the fit did not converge")
    if check is not None and poor:
        flags.append(
            f"the model does not describe the shots (p = {check.p_value:.1e}); the interval "
            "cannot be relied on"
        )
    leading = Quantity(phase, std, (low, high), level, "rad")
    return Estimate(
        estimator=f"ellipse ({', '.join(facts['methods'])})",
        shots=posterior.shots,
        quantities={
            "phase": leading,
            "signal": _signal(leading, posterior, settings),
            **quantities,
        },
        names=("phase", *quantities),
        covariance=covariance,
        goodness_of_fit=check,
        diagnostics={
            "flags": flags,
            "log_likelihood": optimum.point.value,
            "outlier_fraction": float(x[-1]),
            "near_fold": near,
            "maxima": maxima,
            "converged": optimum.converged,
            "interval": "profile likelihood",
            **facts,
        },
        assumptions=assumptions(posterior, settings, facts),
        identifiable=(low_end, high_end),
    )


def undetermined(
    posterior: JointPosterior,
    settings: Sequence[Beliefs],
    reason: str,
    level: float,
    facts: Mapping[str, Any],
) -> Estimate:
    """The whole identifiable range as interval, with the reason."""
    ends = identifiable(posterior, facts)
    std = (ends[1] - ends[0]) / math.sqrt(12.0)
    phase = Quantity(0.5 * (ends[0] + ends[1]), std, ends, level, "rad")
    return Estimate(
        estimator=f"ellipse ({', '.join(facts['methods'])})",
        shots=posterior.shots,
        quantities={"phase": phase, "signal": _signal(phase, posterior, settings)},
        names=("phase",),
        covariance=np.array([[std**2]]),
        goodness_of_fit=None,
        diagnostics={
            "flags": [f"the phase is not determined: {reason}"],
            "converged": False,
            **facts,
        },
        assumptions=assumptions(posterior, settings, facts),
        identifiable=ends,
    )


def identifiable(posterior: JointPosterior, facts: Mapping[str, Any]) -> tuple[float, float]:
    """Range of phi that the shots can tell apart."""
    if posterior.folded:
        return 0.0, math.pi / 2.0
    end = math.pi if facts.get("oriented") else math.pi / 2.0
    return -end, end


def assumptions(
    posterior: JointPosterior, settings: Sequence[Beliefs], facts: Mapping[str, Any]
) -> tuple[str, ...]:
    """Models, what is known and free, in words."""
    words = [
        "phase in [0, pi/2] only, without sign; the bias is part of it"
        if posterior.folded
        else "one phase for all settings, biases known",
        "common phase new in every shot, "
        + ("of the given distribution" if facts.get("oriented") else "uniform"),
        "stray shots uniform over the range of atoms or counts, their weight free",
    ]
    for index, (beliefs, method) in enumerate(zip(settings, facts["methods"], strict=True)):
        if isinstance(beliefs, EllipseBeliefs):
            words.append(
                f"setting {index}: {method}, spin {beliefs.spin:g}, detuning ratio, pulse area, "
                "gain and background free within their calibrations, not shared with others"
            )
            continue
        std = beliefs.standard_deviations
        kinds = [
            f"{name} {'known' if s == 0.0 else 'free' if math.isinf(s) else f'+- {s:.2g}'}"
            for name, s in zip(PARAMETERS, std, strict=True)
        ]
        words.append(f"setting {index}: {method}, {beliefs.atoms} atoms, {', '.join(kinds)}")
    return tuple(words)


def _value(posterior: JointPosterior, optimum: Optimum) -> tuple[float, float]:
    if posterior.folded:
        return phase_and_std(optimum)
    return float(optimum.point.x[0]), math.sqrt(float(optimum.covariance[0, 0]))


def _refusal(quantities: Mapping[str, Quantity], outliers: float, astray: bool) -> str:
    if outliers > _MOST_OUTLIERS:
        return f"{outliers:.0%} of the shots do not fit the model at any phase"
    for name, quantity in quantities.items():
        if "contrast" in name and quantity.std > 0.0 and quantity.value < _CLEAR * quantity.std:
            return f"{name.replace('_', ' ')} is not told from 0"
    if astray:
        return "the model does not describe the shots and the fit ran to a fold"
    return ""


def _signal(phase: Quantity, posterior: JointPosterior, settings: Sequence[Beliefs]) -> Quantity:
    """Less the bias where there is only one, widened by the largest bias's uncertainty."""
    bias = posterior.members[0].bias if posterior.folded and posterior.members else 0.0
    extra = max(beliefs.bias_std for beliefs in settings)
    reach = float(norm.ppf(0.5 + 0.5 * phase.level)) * extra
    value = phase.value - bias
    low = value - math.hypot(phase.value - phase.interval[0], reach)
    high = value + math.hypot(phase.interval[1] - phase.value, reach)
    return Quantity(value, math.hypot(phase.std, extra), (low, high), phase.level, "rad")


def _nuisance_quantities(
    posterior: JointPosterior,
    settings: Sequence[Beliefs],
    optimum: Optimum,
    std: float,
    level: float,
) -> tuple[Array, dict[str, Quantity]]:
    """Covariance of (phase, nuisances that may move) in their units, and the quantities."""
    x = optimum.point.x
    used = sorted({member.setting for member in posterior.members})
    rows, quantities = [_phase_row(posterior, optimum, std)], {}
    values: list[tuple[str, float, str]] = []
    for index in used:
        squeezed = isinstance(settings[index], EllipseBeliefs)
        names, units = (NUISANCES, NUISANCE_UNITS) if squeezed else (PARAMETERS, UNITS)
        full = posterior.nuisances(x, index)
        natural, slopes = _natural(full, squeezed)
        own = slopes[:, None] * posterior.settings[index].directions
        for k in np.flatnonzero((own != 0.0).any(axis=1)).tolist():
            row = np.zeros(x.size)
            row[posterior.columns[index]] = own[k]
            rows.append(row)
            name = names[k] if len(settings) == 1 else f"{names[k]}_of_setting_{index}"
            values.append((name, float(natural[k]), units[k]))
    turn = np.array(rows)
    covariance = turn @ optimum.covariance @ turn.T
    covariance[0, 0] = max(covariance[0, 0], 1e-300)
    scale = np.ones(len(rows))
    scale[0] = std / math.sqrt(covariance[0, 0])
    covariance *= np.outer(scale, scale)
    covariance[0, 0] = std**2
    reach = float(norm.ppf(0.5 + 0.5 * level))
    for k, (name, value, unit) in enumerate(values, start=1):
        own_std = math.sqrt(max(float(covariance[k, k]), 0.0))
        low = value - reach * own_std
        low = low if name.startswith("offset") else max(low, 0.0)
        quantities[name] = Quantity(value, own_std, (low, value + reach * own_std), level, unit)
    return covariance, quantities


def _open_at_bounds(
    posterior: JointPosterior,
    settings: Sequence[Beliefs],
    optimum: Optimum,
    covariance: Array,
    quantities: Mapping[str, Quantity],
) -> tuple[Array, dict[str, Quantity]]:
    """Nuisances that lie on a bound, where the curvature says nothing: as far as the profile."""
    found, covariance = dict(quantities), covariance.copy()
    for index in sorted({member.setting for member in posterior.members}):
        squeezed = isinstance(settings[index], EllipseBeliefs)
        names = NUISANCES if squeezed else PARAMETERS
        own_columns = posterior.settings[index].directions.T
        for column, own in zip(posterior.columns[index], own_columns, strict=True):
            moved = np.flatnonzero(own)
            k = int(moved[0]) if moved.size == 1 else -1
            name = names[k] if len(settings) == 1 else f"{names[k]}_of_setting_{index}"
            if k < 0 or optimum.free[column] or found[name].std > 0.0:
                continue
            at, x = found[name], optimum.point.x.copy()
            side = -1 if x[column] >= posterior.upper[column] else 1
            drop = 0.5 * float(norm.ppf(0.5 + 0.5 * at.level)) ** 2
            x[column] = profile_limit(posterior, optimum, int(column), side, drop)[0]
            end = float(_natural(posterior.nuisances(x, index), squeezed)[0][k])
            std = abs(end - at.value) / math.sqrt(2.0 * drop)
            ends = (min(end, at.value), max(end, at.value))
            found[name] = Quantity(at.value, std, ends, at.level, at.unit)
            place = 1 + list(quantities).index(name)
            covariance[place, place] = std**2
    return covariance, found


def _phase_row(posterior: JointPosterior, optimum: Optimum, std: float) -> Array:
    row = np.zeros(optimum.point.x.size)
    row[0] = posterior.slope(optimum.point.x)
    return row


def _natural(full: Array, squeezed: bool) -> tuple[Array, Array]:
    """Values in their own units and the derivatives by the model's parameters."""
    if squeezed:
        values = np.append(np.exp(full[:3]), max(float(full[3]), 0.0))
        return values, np.append(values[:3], 1.0)
    roots = np.sqrt(np.maximum(full[4:], 0.0))
    # at zero the root has no slope: the std of a vanishing noise is that of its variance's root
    slopes = np.append(np.ones(4), 0.5 / np.maximum(roots, np.array([0.5, 1e-3])))
    return np.append(full[:4], roots), slopes
