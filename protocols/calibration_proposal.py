"""From a fit to a new calibration, and the gate that judges whether it may replace the old one."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..estimators import Estimate, GateDecision, GateRules, Limits, Quantity, gate
from ..instruments.calibration import Calibration
from ..instruments.calibration_versions import write_version
from ..instruments.errors import CalibrationError

_KEEP_BELOW = 3.0
"""Standard deviations of P_sat that the domain's end stays below it."""


class CalibrationRefused(CalibrationError):
    """The gate did not accept a calibration; says why."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A calibration that a fit proposes for a role.

    Attributes:
        role: Whose calibration it is.
        old: The calibration in use.
        new: The proposed one; None where the fit gives none that holds.
        decision: Of the gate, with its reasons when it refuses.
        p_value: Of the fit.
    """

    role: str
    old: Calibration
    new: Calibration | None
    decision: GateDecision
    p_value: float | None

    def write(self, path: str | Path, note: str = "") -> Path:
        """Put the new calibration into the file in use; returns where the old one is kept.

        Raises:
            CalibrationRefused: The gate did not accept it, with its reasons.
            CalibrationError: The file may not or cannot be written.
        """
        if not self.decision or self.new is None:
            raise CalibrationRefused(
                f"the calibration of {self.role} is not written: {'; '.join(self.decision.reasons)}"
            )
        return write_version(path, self.new, note)


def propose(
    role: str,
    old: Calibration,
    estimate: Estimate,
    *,
    largest_change: float,
    wander: float = 0.0,
    conditions: Mapping[str, float] | None = None,
    advice: str = "",
    today: datetime.date | None = None,
) -> Proposal:
    """The calibration of a fit, and whether the gate lets it replace the old one.

    Args:
        role: Whose calibration it is.
        old: In use; gives kind, names and domain.
        estimate: Holds a quantity for each parameter of the old one.
        largest_change: Relative change of a scale that passes; an offset or a background, which
            may be 0, may change freely.
        wander: Relative standard deviation added to the first parameter.
        conditions: Of the new calibration.
        advice: Where to look when the fit does not describe the readings, or warns.
        today: Its date.
    """
    names = old.names
    rules = GateRules(
        limits={
            name: Limits(largest_change=largest_change)
            for name in names
            if name not in ("offset", "background")
        }
    )
    decision = gate(estimate, _as_estimate(old), rules)
    check = estimate.goodness_of_fit
    poor = check is None or check.p_value < rules.least_p_value or bool(estimate.flags)
    if poor and advice:
        decision = GateDecision(decision.accepted, (*decision.reasons, f"where to look: {advice}"))
    try:
        new = _calibration(old, estimate, wander, conditions or {}, today)
    except CalibrationError as error:
        decision = GateDecision(False, (*decision.reasons, str(error)))
        new = None
    return Proposal(role, old, new, decision, None if check is None else check.p_value)


def propose_condition(
    role: str,
    old: Calibration,
    estimate: Estimate,
    *,
    condition: str,
    quantity: str,
    value: float,
    largest_change: float,
    advice: str = "",
) -> Proposal:
    """A calibration whose law stays and one of whose conditions is new, judged by the gate.

    Args:
        role: Whose calibration it is.
        old: In use; without that condition no rule of change applies.
        estimate: Holds the quantity that the condition rests on.
        condition: Its name.
        quantity: Name of the quantity.
        value: Of the condition.
        largest_change: Relative change of the condition that passes.
        advice: Where to look when the fit does not describe the readings, or warns.
    """
    rules = GateRules(limits={quantity: Limits(low=0.0, largest_change=largest_change)})
    known = old.conditions.get(condition)
    previous = None
    if known is not None:
        stated = Quantity(known, 0.0, (known, known), 0.95, estimate[quantity].unit)
        previous = replace(_as_estimate(old), quantities={quantity: stated})
    decision = gate(estimate, previous, rules)
    check = estimate.goodness_of_fit
    if (check is None or check.p_value < rules.least_p_value or estimate.flags) and advice:
        decision = GateDecision(decision.accepted, (*decision.reasons, f"where to look: {advice}"))
    new = replace(
        old,
        conditions={**old.conditions, condition: float(f"{value:.6g}")},
        date=datetime.date.today(),
    )
    return Proposal(role, old, new, decision, None if check is None else check.p_value)


def _calibration(
    old: Calibration,
    estimate: Estimate,
    wander: float,
    conditions: Mapping[str, float],
    today: datetime.date | None,
) -> Calibration:
    places = [estimate.names.index(name) for name in old.names]
    values = {name: estimate[name].value for name in old.names}
    covariance = np.array(estimate.covariance[np.ix_(places, places)])
    first = old.names[0]
    covariance[0, 0] += (wander * values[first]) ** 2
    low, high = old.domain
    if "P_sat" in values:
        spare = _KEEP_BELOW * estimate["P_sat"].std
        high = min(high, values["P_sat"] - spare)
    return replace(
        old,
        parameters=values,
        covariance=covariance,
        domain=(low, high),
        date=today or datetime.date.today(),
        conditions={**old.conditions, **conditions},
    )


def _as_estimate(calibration: Calibration) -> Estimate:
    """The calibration in use in the form that the gate compares with."""
    stds = np.sqrt(np.diag(calibration.covariance))
    quantities = {
        name: Quantity(value, std, (value - 2 * std, value + 2 * std), 0.95, "")
        for (name, value), std in zip(calibration.parameters.items(), stds.tolist(), strict=True)
    }
    return Estimate(
        estimator="calibration in use",
        shots=0,
        quantities=quantities,
        names=calibration.names,
        covariance=calibration.covariance,
        goodness_of_fit=None,
        diagnostics={},
        assumptions=(),
        identifiable=(-np.inf, np.inf),
    )
