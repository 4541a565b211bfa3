"""Refusals shared by the models: each names the argument, the rule and the value."""

from __future__ import annotations

import math


def dimension_of(spin: float, name: str = "spin") -> int:
    """Return 2S+1 for a positive multiple of one half; raise ValueError otherwise."""
    value = float(spin)
    doubled = 2.0 * value
    if not math.isfinite(value) or value <= 0.0 or doubled != round(doubled):
        raise ValueError(f"Argument `{name}` must be a positive multiple of 1/2, but is {spin!r}.")
    return round(doubled) + 1


def finite(value: float, name: str) -> float:
    """Return a finite float; raise ValueError otherwise."""
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"Argument `{name}` must be finite, but is {value!r}.")
    return number


def positive(value: float, name: str) -> float:
    """Return a finite float above zero; raise ValueError otherwise."""
    number = finite(value, name)
    if number <= 0.0:
        raise ValueError(f"Argument `{name}` must be above zero, but is {value!r}.")
    return number


def not_negative(value: float, name: str) -> float:
    """Return a finite float of at least zero; raise ValueError otherwise."""
    number = finite(value, name)
    if number < 0.0:
        raise ValueError(f"Argument `{name}` must not be negative, but is {value!r}.")
    return number


def between(value: float, low: float, high: float, name: str) -> float:
    """Return a float strictly between two bounds; raise ValueError otherwise."""
    number = finite(value, name)
    if not low < number < high:
        raise ValueError(
            f"Argument `{name}` must lie strictly between {low:g} and {high:g}, but is {value!r}."
        )
    return number


def whole(value: int, name: str, least: int = 0) -> int:
    """Return an integer of at least `least`; raise ValueError otherwise."""
    number = float(value)
    if not math.isfinite(number) or number != round(number) or number < least:
        raise ValueError(
            f"Argument `{name}` must be a whole number of at least {least}, but is {value!r}."
        )
    return round(number)
