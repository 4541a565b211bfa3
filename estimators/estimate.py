"""What an estimator hands back: numbers with intervals, a check, and what was assumed."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TINY = 1e-3  # below it numbers are written with a power of ten
POOR_FIT = 1e-4  # p-value below which no interval can be relied on


@dataclass(frozen=True, slots=True)
class Quantity:
    """One estimated number.

    Attributes:
        value: the estimate, in `unit`.
        std: its standard deviation, in `unit`.
        interval: (low, high) of the confidence interval at `level`; need not be symmetric.
        level: confidence level of `interval`, in (0, 1).
        unit: unit of value, std and interval; "" for a pure number.

    Raises:
        ValueError: when a number is not finite, the std is negative, the interval is
            reversed or the level is not a probability. An undetermined quantity has its
            whole range as interval, not an infinite one.
    """

    value: float
    std: float
    interval: tuple[float, float]
    level: float
    unit: str = ""

    def __post_init__(self) -> None:
        numbers = (self.value, self.std, *self.interval)
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"A quantity must be finite, but has {numbers}; give its range.")
        if self.std < 0.0 or self.interval[0] > self.interval[1]:
            raise ValueError(f"A quantity must have std >= 0 and low <= high, but has {numbers}.")
        if not 0.0 < self.level < 1.0:
            raise ValueError(f"Argument `level` must lie in (0, 1), but is {self.level!r}.")

    def to_json(self) -> dict[str, Any]:
        """The value, std, interval, level and unit as plain JSON values."""
        return {
            "value": float(self.value),
            "std": float(self.std),
            "interval": [float(self.interval[0]), float(self.interval[1])],
            "level": float(self.level),
            "unit": self.unit,
        }

    def __str__(self) -> str:
        text = _with_uncertainty(self.value, self.std)
        return f"{text} {self.unit}" if self.unit else text


@dataclass(frozen=True, slots=True)
class GoodnessOfFit:
    """A test of the measurement model: statistic and its p-value (small: the model is wrong)."""

    statistic: float
    p_value: float
    degrees_of_freedom: int
    test: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """The answer of an estimator.

    Attributes:
        estimator: name of the measurement model.
        shots: number of shots used.
        quantities: the numbers by name.
        names: names of the rows of `covariance`.
        covariance: posterior covariance of the quantities `names`, in their units.
        goodness_of_fit: the check, or None where the shots are too few for one.
        diagnostics: plain facts about the fit; "flags" lists everything to worry about. A poor
            fit (p < 1e-4) is added to them where the estimator has not said so itself.
        assumptions: what was assumed, known and left free, in words.
        identifiable: range of the leading quantity that the data can tell apart.
    """

    estimator: str
    shots: int
    quantities: Mapping[str, Quantity]
    names: tuple[str, ...]
    covariance: NDArray[np.float64] = field(repr=False)
    goodness_of_fit: GoodnessOfFit | None
    diagnostics: Mapping[str, Any]
    assumptions: tuple[str, ...]
    identifiable: tuple[float, float]

    def __post_init__(self) -> None:
        check, flags = self.goodness_of_fit, self.flags
        if check is not None and check.p_value < POOR_FIT and not any("(p =" in f for f in flags):
            poor = (
                f"the model does not describe the records (p = {check.p_value:.1e}); the intervals "
                "cannot be relied on"
            )
            object.__setattr__(self, "diagnostics", {**self.diagnostics, "flags": (*flags, poor)})

    def __getitem__(self, name: str) -> Quantity:
        try:
            return self.quantities[name]
        except KeyError:
            known = ", ".join(self.quantities)
            raise KeyError(f"no quantity {name!r} in this estimate; it has {known}") from None

    @property
    def flags(self) -> tuple[str, ...]:
        """Warnings of the fit in words; empty when there is nothing to worry about."""
        return tuple(self.diagnostics.get("flags", ()))

    def to_json(self) -> dict[str, Any]:
        """The stable JSON form; strict JSON, what is not finite becomes null."""
        check = self.goodness_of_fit
        return {
            "estimator": self.estimator,
            "shots": int(self.shots),
            "estimates": {name: q.to_json() for name, q in self.quantities.items()},
            "goodness_of_fit": {
                "statistic": _plain(check.statistic) if check else None,
                "p_value": _plain(check.p_value) if check else None,
            },
            "covariance": {"names": list(self.names), "matrix": _plain(self.covariance)},
            "assumptions": list(self.assumptions),
            "identifiable": _plain(self.identifiable),
            "diagnostics": _plain(dict(self.diagnostics)),
        }

    def plot(self) -> Figure:
        """Every quantity with its std (thick) and interval (thin); needs matplotlib."""
        from matplotlib.figure import Figure

        count = len(self.quantities)
        figure = Figure(figsize=(6.0, 0.7 + 0.75 * count), layout="constrained")
        panels = np.atleast_1d(figure.subplots(count, 1))
        for axes, (name, quantity) in zip(panels, self.quantities.items(), strict=True):
            low, high = quantity.interval
            axes.plot([low, high], [0.0, 0.0], color="tab:blue", lw=1.2)
            ends = [quantity.value - quantity.std, quantity.value + quantity.std]
            axes.plot(ends, [0.0, 0.0], color="tab:blue", lw=4.0, alpha=0.5)
            axes.plot([quantity.value], [0.0], "o", color="tab:blue")
            axes.set_yticks([])
            label = f"{name} ({quantity.unit})" if quantity.unit else name
            axes.set_title(f"{label} = {quantity}", fontsize=9, loc="left")
        check = self.goodness_of_fit
        fit = "" if check is None else f", p = {check.p_value:.2g}"
        figure.suptitle(f"{self.estimator}, {self.shots} shots{fit}", fontsize=10)
        return figure

    def __str__(self) -> str:
        lines = [f"{name} = {quantity}" for name, quantity in self.quantities.items()]
        if self.goodness_of_fit is not None:
            lines.append(f"goodness of fit: p = {self.goodness_of_fit.p_value:.2g}")
        lines.extend(f"note: {flag}" for flag in self.flags)
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(q))}</td>"
            f"<td>[{q.interval[0]:.6g}, {q.interval[1]:.6g}] at {q.level:.3g}</td></tr>"
            for name, q in self.quantities.items()
        )
        check = self.goodness_of_fit
        fit = "" if check is None else f", goodness of fit p = {check.p_value:.2g}"
        title = html.escape(f"{self.estimator}, {self.shots} shots{fit}")
        notes = "".join(f"<li>{html.escape(flag)}</li>" for flag in self.flags)
        assumed = "; ".join(html.escape(line) for line in self.assumptions)
        return (
            f"<table><caption>{title}</caption>{rows}</table>"
            + (f"<ul>{notes}</ul>" if notes else "")
            + (f"<p><small>assumed: {assumed}</small></p>" if assumed else "")
        )


def _with_uncertainty(value: float, std: float) -> str:
    """Short form 0.4013(9): the digits in brackets are the std in the last place; 619 +- 21."""
    if std == 0.0:
        return f"{value:.10g}"
    if max(abs(value), std) < _TINY:
        power = math.floor(math.log10(max(abs(value), std)))
        return f"{_with_uncertainty(value / 10.0**power, std / 10.0**power)}e{power}"
    digits = -math.floor(math.log10(std))
    last = round(std * 10.0**digits)
    if last == 10:
        digits, last = digits - 1, 1
    if digits > 12:
        return f"{value:.6g} +- {std:.2g}"
    if digits <= 0:  # brackets would count in tens: both to the std's second digit
        second = 1 - math.floor(math.log10(std))
        if abs(value) >= 1e7:
            return f"{value:.6g} +- {std:.2g}"
        places = max(second, 0)
        return f"{round(value, second) + 0.0:.{places}f} +- {round(std, second):.{places}f}"
    return f"{value:.{digits}f}({last})"


def _plain(value: Any) -> Any:
    """Numbers, texts and containers that strict JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value if value is None else str(value)
