"""Shots that another control system starts: armed here, waited for, and missed aloud."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..clock import Clock
from ..drivers.srs_dg645 import SRSDG645
from ..errors import CavityLabError, InstrumentError

__all__ = ["ExternalTrigger", "TriggerTimeout", "TriggerWatch"]

POLL = 5e-3
"""Seconds between two looks at the box; a trigger is dated to so much."""

Obey = Callable[[], None]


class TriggerTimeout(CavityLabError, TimeoutError):
    """Another control system's trigger has stopped coming; to repeat the block is no remedy."""


class ExternalTrigger(BaseModel):
    """Station file entries under `external:` of a `Timing`.

    Attributes:
        starts: What one edge starts: ``shot`` (the box is armed anew for each, the
            other system traps and cools in between) or ``block``.
        edge: The edge that counts.
        level: Threshold in V.
        timeout: Longest wait for an edge in s.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    starts: Literal["shot", "block"] = "shot"
    edge: Literal["rising", "falling"] = "rising"
    level: Annotated[float, Field(ge=-3.5, le=3.5)] = 1.0
    timeout: Annotated[float, Field(gt=0)] = 60.0

    @property
    def source(self) -> str:
        """The box's trigger source: one edge after each arming, no other."""
        return f"single_external_{self.edge}"


class TriggerWatch:
    """One block of shots that another control system starts.

    Args:
        name: Name of the role, for messages.
        box: The timing box, with its program and trigger source.
        settings: Of the station file.
        bursts: Edges that the block takes.
        length: Seconds from an edge until the box is at rest again.
        clock: The box's clock.
    """

    def __init__(
        self,
        name: str,
        box: SRSDG645,
        settings: ExternalTrigger,
        bursts: int,
        length: float,
        clock: Clock,
    ) -> None:
        self._name, self._box, self._settings = name, box, settings
        self._bursts, self._length, self._clock = bursts, length, clock
        self.armed = clock.now()
        """When the box was armed first, on its clock"""
        self.seen: list[float] = []
        """When each trigger was seen, on the box's clock"""
        self.events: set[str] = set()
        """Everything that the box has told since"""

    def follow(self, late: float, obey: Obey) -> None:
        """Return when every burst has been triggered and is over; the first is armed already.

        Args:
            late: Seconds granted beyond a burst's nominal end.
            obey: Called between two looks at the box; may raise to leave.

        Raises:
            TriggerTimeout: An edge did not come in time; the box is still armed.
            InstrumentError: A burst did not end.
        """
        for burst in range(self._bursts):
            if burst:
                self._box.trigger()
            self._await_edge(obey)
            self._await_rest(late, obey)

    def _await_edge(self, obey: Obey) -> None:
        armed = self._clock.now()
        while True:
            obey()
            events = self._box.take_events()
            self.events |= events
            now = self._clock.now()
            if "TRIG" in events:
                self.seen.append(now)
                return
            if now - armed >= self._settings.timeout:
                raise TriggerTimeout(self._missing(armed))
            self._clock.wait(POLL)

    def _await_rest(self, late: float, obey: Obey) -> None:
        deadline = self._clock.now() + self._length + late
        while self._box.busy():
            if self._clock.now() > deadline:
                raise InstrumentError(
                    f"{self._name}: the box is still busy {self._length + late:g} s after its "
                    "trigger. Check its burst settings and inhibit input."
                )
            obey()
            self._clock.wait(POLL)

    def _missing(self, armed: float) -> str:
        edge = f"{self._settings.edge} edge at {self._settings.level:g} V"
        came = f"{len(self.seen)} of the {self._bursts} triggers of this block came"
        if self.seen:
            came += f", the last one {self._clock.now() - self.seen[-1]:.3g} s ago"
        return (
            f"{self._name}: no external trigger within {self._clock.now() - armed:.3g} s ({came}). "
            f"Check that the other control system runs, and its cable to the box ({edge})."
        )
