"""May a new calibration replace the old one? A pure decision, with its reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .estimate import Estimate, Quantity


@dataclass(frozen=True, slots=True)
class Limits:
    """Rules for one quantity; None: no rule.

    Attributes:
        low: least value that is accepted.
        high: largest value that is accepted.
        largest_change: relative change from the previous value that is accepted, beyond two
            standard errors of the change.
        largest_relative_std: relative standard deviation that is accepted.

    Raises:
        ValueError: on an empty range or a negative limit.
    """

    low: float | None = None
    high: float | None = None
    largest_change: float | None = None
    largest_relative_std: float | None = None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"Limits must have low < high, but are {self.low!r}, {self.high!r}.")
        for name in ("largest_change", "largest_relative_std"):
            value = getattr(self, name)
            if value is not None and not value >= 0.0:
                raise ValueError(f"Argument `{name}` must not be negative, but is {value!r}.")


@dataclass(frozen=True, slots=True)
class GateRules:
    """When a calibration passes.

    Attributes:
        least_p_value: of the fit; a fit without a p-value does not pass.
        limits: by name of the quantity; a quantity that is named must be in the estimate.
        allow_flags: whether warnings of the fit may pass.
    """

    least_p_value: float = 1e-3
    limits: Mapping[str, Limits] = field(default_factory=dict)
    allow_flags: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.least_p_value < 1.0:
            raise ValueError(
                f"Argument `least_p_value` must lie in [0, 1), but is {self.least_p_value!r}."
            )


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Accepted or not; `reasons` says why not, one sentence for each rule that is broken."""

    accepted: bool
    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.accepted


def gate(estimate: Estimate, previous: Estimate | None, rules: GateRules) -> GateDecision:
    """Judge a calibration by its p-value, bounds, precision and change from the previous one.

    Args:
        estimate: the new calibration.
        previous: the one in use; None: there is none, and no rule of change applies.
        rules: what is asked.
    """
    reasons: list[str] = []
    check = estimate.goodness_of_fit
    if check is None:
        if rules.least_p_value > 0.0:
            reasons.append("the fit has no p-value: too few settings or shots to check it")
    elif not check.p_value >= rules.least_p_value:
        reasons.append(
            f"p-value {check.p_value:.2g} is below {rules.least_p_value:.2g}: the model does not "
            "describe the readings"
        )
    if estimate.flags and not rules.allow_flags:
        reasons.extend(f"the fit warns: {flag}" for flag in estimate.flags)
    for name, limits in rules.limits.items():
        if name not in estimate.quantities:
            reasons.append(f"{name} is not among {', '.join(estimate.quantities)}")
            continue
        old = previous.quantities.get(name) if previous is not None else None
        reasons.extend(_broken(name, estimate.quantities[name], old, limits))
    return GateDecision(not reasons, tuple(reasons))


def _broken(name: str, new: Quantity, old: Quantity | None, limits: Limits) -> list[str]:
    reasons, unit = [], f" {new.unit}" if new.unit else ""
    if limits.low is not None and not new.value >= limits.low:
        reasons.append(f"{name} = {new.value:.6g}{unit} is below its bound {limits.low:.6g}")
    if limits.high is not None and not new.value <= limits.high:
        reasons.append(f"{name} = {new.value:.6g}{unit} is above its bound {limits.high:.6g}")
    widest = limits.largest_relative_std
    if widest is not None and not new.std <= widest * abs(new.value):
        reasons.append(
            f"{name} is known to {_share(new.std, new.value)} only, {widest:.2%} is asked"
        )
    if limits.largest_change is not None and old is not None:
        change = abs(new.value - old.value)
        allowed = limits.largest_change * abs(old.value)
        if not change <= allowed + 2.0 * math.hypot(new.std, old.std):
            reasons.append(
                f"{name} changed from {old.value:.6g} to {new.value:.6g}{unit}, by "
                f"{_share(change, old.value)}; at most {limits.largest_change:.2%} is allowed"
            )
    return reasons


def _share(part: float, whole: float) -> str:
    return f"{part / abs(whole):.2%}" if whole else "any amount"
