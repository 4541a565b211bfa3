"""What a run tells its subscribers, and how they are kept from disturbing it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...estimators import Estimate
from .states import State

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The run exists on disk and is about to touch the instruments.

    Attributes:
        run_id: Identity of the run.
        path: Its directory.
        protocol: Name of the protocol.
        settings: Settings of the protocol, JSON-able.
        planned: Shots planned.
        rehearsal: Whether a simulated laboratory answers.
        expected: Time that the steps will take in the laboratory, in s.
        done: Shots on disk from before, when an interrupted run goes on.
    """

    run_id: str
    path: Path
    protocol: str
    settings: dict[str, Any]
    planned: int
    rehearsal: bool
    expected: float = 0.0
    done: int = 0


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The run moved from one state to another."""

    old: State
    new: State


@dataclass(frozen=True, slots=True)
class BlockRecorded:
    """A block is durable on disk: every shot counted in ``acknowledged`` survives a power loss.

    Attributes:
        counts: Raw counts of the block, shape (shots, detectors).
        acknowledged: Good shots acknowledged so far.
        status: What became of each shot, shape (shots,); 1 is good.
    """

    counts: NDArray[np.int32]
    acknowledged: int
    status: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run is.

    Attributes:
        shots: Good shots taken.
        planned: Good shots planned.
        elapsed: Time since the start, in s of the laboratory's clock.
        remaining: Expected further time in s of the laboratory's clock; None before the first
            block.
        estimate: The running estimate; None before the first.
        wall: Time since the start, in s of this computer's clock (short in a rehearsal).
        wall_remaining: Expected further time on this computer's clock, in s.
    """

    shots: int
    planned: int
    elapsed: float
    remaining: float | None
    estimate: Estimate | None
    wall: float = 0.0
    wall_remaining: float | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """Something worth a line in the run's list of events: a note, a rejected block, a guard.

    Attributes:
        kind: One word: note, checkpoint, rejected, guard, paused, resumed, stopping, failed, ….
        text: One sentence.
        elapsed: When, in s of the laboratory's clock since the start.
        details: Further JSON-able facts.
    """

    kind: str
    text: str
    elapsed: float
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run is over and the instruments were made safe; the last event of every run.

    Attributes:
        state: DONE, STOPPED or FAILED.
        shots: Good shots taken.
        unsafe: One sentence for each role that could not be made safe.
        reason: Why it ended early; empty for a completed run.
    """

    state: State
    shots: int
    unsafe: tuple[str, ...]
    reason: str


RunEvent: TypeAlias = RunStarted | StateChanged | BlockRecorded | Progress | Incident | RunFinished
Subscriber: TypeAlias = Callable[[RunEvent], None]


class Subscribers:
    """Hands every event to every subscriber; one that fails is logged and left out from then on.

    Data taking never depends on a subscriber: a live page that crashes costs the page only.
    """

    def __init__(self, subscribers: Iterable[Subscriber]) -> None:
        self._subscribers = list(subscribers)

    def publish(self, event: RunEvent) -> None:
        """Call every subscriber with the event; never raises an Exception."""
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(event)
            except Exception:
                self._subscribers.remove(subscriber)
                _log.exception(
                    "subscriber %r failed on %s and gets no further events; the run goes on",
                    subscriber,
                    type(event).__name__,
                )
