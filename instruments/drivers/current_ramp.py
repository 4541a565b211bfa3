"""How the supply of a coil moves its current: in equal steps, at a rate that the coil bears."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import InstrumentError, LimitError

MOST_STEPS = 100_000
"""A ramp of more steps than this is a slip of the pen."""


@dataclass(frozen=True, slots=True)
class CurrentRamp:
    """A way from one current to another.

    Attributes:
        currents: To be set one after the other, A; the last is the target itself.
        pause: After each of them, s.
    """

    currents: tuple[float, ...]
    pause: float


def checked_rate(name: str, rate: float) -> float:
    """The rate of a ramp of supply `name`, A/s.

    Raises:
        LimitError: Unless it is positive and finite.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise LimitError(f"{name}: the ramp rate must be > 0 A/s, but is {rate!r}.")
    return rate


def current_ramp(
    name: str, start: float, target: float, *, rate: float, step: float, longest_pause: float
) -> CurrentRamp:
    """Equal steps of supply `name` from `start` to `target`.

    Args:
        name: Of the supply, for the error.
        start, target: A.
        rate: A/s, positive.
        step: The largest step, A.
        longest_pause: Between two steps, s; infinite where nothing waits for the next.

    Raises:
        LimitError: If it takes too many steps.
    """
    span = abs(target - start)
    # A rounding error of the set current must not cost a step more.
    steps = max(1, math.ceil(span / step - 1e-3), math.ceil(span / rate / longest_pause))
    if steps > MOST_STEPS:
        raise LimitError(f"{name}: a ramp to {target} A would take {steps} steps.")
    between = (start + (target - start) * done / steps for done in range(1, steps))
    return CurrentRamp((*between, target), span / steps / rate)


def output_disobeyed(name: str, address: str, word: str) -> InstrumentError:
    """The error of a supply whose output is not as `OUTP word` asked."""
    return InstrumentError(
        f"{name} at {address}: the output did not obey OUTP {word}. Look at the "
        "supply's front panel and its interlock."
    )
