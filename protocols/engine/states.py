"""The states of a run and the moves allowed between them."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum


class State(Enum):
    """Where a run is; the value is the word shown to the operator."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"
    MAKING_SAFE = "making safe"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.IDLE: frozenset({State.RUNNING, State.MAKING_SAFE}),
    # A guard that trips pauses at once; the operator's pause waits for the block.
    State.RUNNING: frozenset({State.PAUSING, State.PAUSED, State.STOPPING, State.MAKING_SAFE}),
    State.PAUSING: frozenset({State.PAUSED, State.STOPPING, State.MAKING_SAFE}),
    State.PAUSED: frozenset({State.RUNNING, State.STOPPING, State.MAKING_SAFE}),
    State.STOPPING: frozenset({State.MAKING_SAFE}),
    State.MAKING_SAFE: frozenset({State.DONE, State.STOPPED, State.FAILED}),
    State.DONE: frozenset(),
    State.STOPPED: frozenset(),
    State.FAILED: frozenset(),
}
"""Every exit leads through MAKING_SAFE, and nothing leads back into it."""


class StateMachine:
    """Holds the state, refuses moves that the table does not allow, and reports each move.

    Args:
        on_change: Called with the old and the new state after every move.
    """

    def __init__(self, on_change: Callable[[State, State], None]) -> None:
        self._state = State.IDLE
        self._on_change = on_change

    @property
    def state(self) -> State:
        """The present state."""
        return self._state

    def to(self, new: State) -> None:
        """Move to ``new``; raises RuntimeError when the table does not allow it."""
        old = self._state
        if new not in TRANSITIONS[old]:
            raise RuntimeError(f"a run that is {old.value} cannot become {new.value}")
        self._state = new
        self._on_change(old, new)
