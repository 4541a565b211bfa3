"""What the operator asks of a run, and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .events import Progress
from .states import State
from .until import Until

OnPause = Callable[[Progress], bool]
"""Asks the operator of a paused run; True goes on, False stops."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What the operator asked of one run, besides its protocol and station.

    Attributes:
        seed: Seed of the protocol's random numbers.
        until: Stop condition, looked at after each estimate.
        on_pause: Asks the operator of a paused run; None where there is none.
        patience: Time that guards may cost in all, in s of the laboratory's clock.
    """

    seed: int
    until: Until | None = None
    on_pause: OnPause | None = None
    patience: float = 300.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the steps ended.

    Attributes:
        state: DONE, STOPPED or FAILED.
        shots: Good shots recorded.
        reason: Why it ended early, or which goal was reached; empty for a complete run.
        error: What failed; None unless FAILED.
        unsafe: One sentence for each role that could not be made safe.
    """

    state: State
    shots: int
    reason: str
    error: BaseException | None
    unsafe: tuple[str, ...]
