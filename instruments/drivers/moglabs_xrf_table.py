"""What the table of one XRF channel is known to hold, so that only what is new is sent."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Sequence

from ..errors import LimitError
from .moglabs_xrf_language import TableEntry

DARK = "0x0"
"""Amplitude register of an entry without RF."""
MOST_TEXTS = 1 << 14
DURATION_GRID = 1e-6
"""Seconds; durations of the entries of a simple table (TSB)."""
LONGEST_DURATION = (2**20 - 1) * DURATION_GRID
LONGEST_DURATION_IOSET = (2**16 - 1) * DURATION_GRID
_CHANGES = re.compile(
    r"\s*(?:TABLE\s*,\s*(?!STATUS|REARM)\w*\s*,?\s*|MODE\s*,\s*(?=\d\s*,))(\d?)", re.IGNORECASE
)


class TableRecord:
    """The lines of a channel's table as this session left them.

    Known from a complete upload on, until anything happens that could change them without
    this record: an error, a reopened link, a restart, a change of mode, or a message about
    tables that does not come from the channel itself. A table that may be running is never
    changed line by line: it is cleared, which stops it.

    Args:
        channel: Number of the channel.
    """

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._lines: tuple[str, ...] | None = None
        self._may_run = True
        self._texts: dict[Hashable, str] = {}

    @property
    def known(self) -> bool:
        """Whether the unit's mode and table are those of the last upload, and at rest."""
        return self._lines is not None and not self._may_run

    def forget(self) -> None:
        """From here on the next upload sends everything."""
        self._lines = None
        self._may_run = True

    def started(self) -> None:
        """The table may run from here on."""
        self._may_run = True

    def stopped(self) -> None:
        """The table is at rest."""
        self._may_run = False

    def kept(self, lines: Sequence[str]) -> None:
        """The unit has taken all of `messages(lines)`."""
        self._lines = tuple(lines)
        self._may_run = False

    def once(self, entry: Hashable, text_of: Callable[[], str]) -> str:
        """The text of an entry, checked and written once: settings of a scan come again."""
        if entry not in self._texts:
            if len(self._texts) >= MOST_TEXTS:
                self._texts.clear()
            self._texts[entry] = text_of()
        return self._texts[entry]

    def messages(self, lines: Sequence[str]) -> list[str]:
        """What makes the table hold `lines`: the new ones where the rest is known."""
        if self._lines is None or self._may_run:
            old: tuple[str, ...] = ()
            sent = [f"TABLE,CLEAR,{self._channel}"]
        else:
            old = self._lines
            sent = [
                f"TABLE,ENTRY,{self._channel},{number},{new}"
                for number, (before, new) in enumerate(zip(old, lines, strict=False), 1)
                if new != before
            ]
            if len(lines) < len(old):
                sent.append(f"TABLE,ENTRIES,{self._channel},{len(lines)}")
        return [*sent, *(f"TABLE,APPEND,{self._channel},{new}" for new in lines[len(old) :])]


def microseconds(entry: TableEntry, where: str) -> int:
    """The duration of an entry on the table's grid.

    Raises:
        LimitError: If it is not on the grid, or too long.
    """
    longest = LONGEST_DURATION_IOSET if "IOSET" in entry.flags else LONGEST_DURATION
    ticks = round(entry.duration / DURATION_GRID) if math.isfinite(entry.duration) else 0
    if not (
        DURATION_GRID <= ticks * DURATION_GRID <= longest * (1 + 1e-12)
        and abs(entry.duration - ticks * DURATION_GRID) <= 1e-9
    ):
        raise LimitError(
            f"{where}: duration must be a multiple of 1 us, 1 us to {longest:g} s, but is "
            f"{entry.duration!r} s."
        )
    return ticks


def changed_channels(message: str) -> str:
    """Numbers of the channels whose `TableRecord` a message may make untrue."""
    match = _CHANGES.match(message)
    if match is None:
        return ""
    alone = match[1] in ("1", "2") and "SYNC" not in message.upper()  # which starts both
    return match[1] if alone else "12"
