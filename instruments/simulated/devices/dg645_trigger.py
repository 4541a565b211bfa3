"""What another control system sends to the trigger input of a DG645: edges, fixed by the clock."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


class ForeignTrigger:
    """Rising edges at `first`, `first + period`, ... on the laboratory's clock.

    Args:
        settings: `trigger_period` [s] (0: nothing is plugged in), `trigger_first` [s] and
            `trigger_count`, the number of edges that ever come (0: they never stop).
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._period = float(settings["trigger_period"])
        self._first = float(settings["trigger_first"])
        self._count = int(settings["trigger_count"]) or math.inf
        self._sent = 0
        self._handing_out = False

    @property
    def connected(self) -> bool:
        """Whether anything is plugged in."""
        return self._period > 0

    def due(self, now: float) -> Iterator[float]:
        """Times of the edges up to `now` that were not handed out yet, oldest first."""
        if self._handing_out:  # an edge has started a shot, which looks at the clock again
            return
        self._handing_out = True
        try:
            while self._sent < self._count:
                time = self._first + self._sent * self._period
                if time > now:
                    return
                self._sent += 1
                yield time
        finally:
            self._handing_out = False
