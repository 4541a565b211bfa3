"""One block of shots on the instruments: upload, arm, fire, wait, read, check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...instruments.clock import Clock
from ...instruments.errors import InstrumentError
from ..sequence import CompiledSequence

SLICE = 0.1
"""Longest wait without looking at the operator's requests, in s."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One block.

    Attributes:
        counts: Raw counts, shape (shots, detectors).
        fired: What the laboratory's clock showed when the first shot was fired, or the timing
            box armed for it.
        starts: When each shot began, in s after `fired`; None for shots one period apart.
    """

    counts: NDArray[np.int32]
    fired: float
    starts: NDArray[np.float64] | None


def take_block(
    compiled: CompiledSequence,
    roles: Mapping[str, Any],
    clock: Clock,
    obey: Callable[[], None],
    on_fire: Callable[[int], None],
) -> Taken:
    """Take one block of shots.

    Everything is uploaded while the timing box is idle; roles send only what changed. The counter
    is armed before the tables, and both before the first trigger. Where another control system
    starts the shots, the timing box is armed last, and its triggers are waited for.

    Args:
        compiled: What to upload.
        roles: Roles by name.
        clock: The laboratory's clock.
        obey: Looks at the operator's requests between two actions; raises to stop at once.
        on_fire: Told the number of shots just before they are triggered.

    Raises:
        InstrumentError, LinkError: The block is worthless; it may be repeated.
        TriggerTimeout: Another control system's trigger has stopped coming.
    """
    timing = roles["timing"]
    _upload(compiled, roles, obey)
    roles["detector"].arm()
    _arm_tables(compiled, roles)
    obey()
    fired = clock.now()
    on_fire(compiled.shots)
    timing.fire()
    starts = None
    if timing.awaits_triggers:
        timing.wait_done(obey)
        starts = timing.starts()
    else:
        rest(compiled.duration, clock, obey)
        timing.wait_done()
    timing.check()
    counts = _as_counts(np.asarray(roles["detector"].read()), compiled.shots)
    return Taken(counts, fired, starts)


def prepare(compiled: CompiledSequence, roles: Mapping[str, Any], obey: Callable[[], None]) -> None:
    """Bring the instruments to where a block of this kind leaves them, without a shot."""
    _upload(compiled, roles, obey)
    _arm_tables(compiled, roles)


def _upload(compiled: CompiledSequence, roles: Mapping[str, Any], obey: Callable[[], None]) -> None:
    for name, program in compiled.programs.items():
        obey()
        roles[name].upload(program)
    obey()


def _arm_tables(compiled: CompiledSequence, roles: Mapping[str, Any]) -> None:
    for name in compiled.programs:
        if name not in ("detector", "timing"):
            roles[name].arm()


def rest(seconds: float, clock: Clock, obey: Callable[[], None]) -> None:
    """Wait on the laboratory's clock, looking at the operator's requests meanwhile."""
    deadline = clock.now() + seconds
    while (left := deadline - clock.now()) > 0:
        obey()
        clock.wait(min(left, SLICE))
    obey()


def abandon_block(roles: Mapping[str, Any]) -> None:
    """After a block that went wrong: no burst runs on, the counter waits for nothing.

    The roles forget what they uploaded, so that the next block starts from known settings.
    """
    for name in ("timing", "detector"):
        roles[name].safe()


def _as_counts(counts: NDArray[Any], shots: int) -> NDArray[np.int32]:
    if len(counts) != shots:
        raise InstrumentError(
            f"the detector gave counts of {len(counts)} shots where {shots} were taken"
        )
    if counts.size and int(counts.max()) > np.iinfo(np.int32).max:
        raise InstrumentError(
            f"the counter reports {int(counts.max())} counts in one gate, more than any detector "
            "gives: check its input and threshold"
        )
    return counts.astype(np.int32)
