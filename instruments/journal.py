"""The register of every message between this computer and the instruments.

Drivers write each line sent (`>`), each line received (`<`) and each remark on
the link (`!`: time-out, reopened, refused) into one `Journal`. Tests read it to
see what was really sent, `--trace` writes it to a file, and it is the first
thing to look at when an instrument misbehaves.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

Direction = Literal[">", "<", "!"]
Listener = Callable[["Message"], None]
_Line = tuple[float, str, str, Direction, str]

LONGEST_TEXT = 200
"""Characters of a message shown in a trace or in an error; the rest is counted."""


class Message(NamedTuple):
    """One line on the wire.

    Attributes:
        time: Seconds on the clock of the instrument's VISA library.
        instrument: Name of the driver instance.
        address: VISA address.
        direction: `>` to the instrument, `<` from it, `!` a remark on the link.
        text: The line without its terminator; binary data as `<n bytes>`.
    """

    time: float
    instrument: str
    address: str
    direction: Direction
    text: str

    def __str__(self) -> str:
        return f"{self.time:14.6f} {self.instrument:<16} {self.direction} {printable(self.text)}"


class Journal:
    """Keeps the latest messages and passes each on to its listeners. Thread-safe.

    Args:
        capacity: Number of messages kept; older ones are forgotten, so that a
            run of days does not fill the memory. Use `stream_to` to keep all.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        if capacity < 1:
            raise ValueError(f"Argument `capacity` must be at least 1, but is {capacity}.")
        # plain tuples: quicker made, and the garbage collector lets go of them
        self._messages: deque[_Line] = deque(maxlen=capacity)
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.RLock()

    def append(self, message: Message) -> None:
        """Register `message` and hand it to every listener, in the calling thread."""
        self.note(*message)

    def note(
        self, time: float, instrument: str, address: str, direction: Direction, text: str
    ) -> None:
        """`append` of a `Message` with these attributes."""
        line = (time, instrument, address, direction, text)
        if not self._listeners:
            self._messages.append(line)
            return
        with self._lock:
            self._messages.append(line)
            for listener in self._listeners:
                listener(Message._make(line))

    def add_listener(self, listener: Listener) -> None:
        """Call `listener(message)` for every message from now on."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

    def remove_listener(self, listener: Listener) -> None:
        """Stop calling `listener`; unknown listeners are ignored."""
        with self._lock:
            self._listeners = tuple(one for one in self._listeners if one != listener)

    def clear(self) -> None:
        """Forget the messages kept; listeners stay."""
        with self._lock:
            self._messages.clear()

    def __iter__(self) -> Iterator[Message]:
        return map(Message._make, self._lines())

    def _lines(self) -> tuple[_Line, ...]:
        while True:
            try:
                return tuple(self._messages)
            except RuntimeError:  # somebody wrote meanwhile: look again
                continue

    def __len__(self) -> int:
        return len(self._messages)

    def sent(self, instrument: str | None = None) -> list[str]:
        """Texts sent, oldest first, to one instrument or to all."""
        return self._texts(">", instrument)

    def received(self, instrument: str | None = None) -> list[str]:
        """Texts received, oldest first, from one instrument or from all."""
        return self._texts("<", instrument)

    def remarks(self, instrument: str | None = None) -> list[str]:
        """Remarks on the links (time-outs, reopenings), oldest first."""
        return self._texts("!", instrument)

    def write_trace(self, path: str | Path) -> None:
        """Write the messages kept as text, one a line."""
        lines = "".join(f"{message}\n" for message in self)
        Path(path).write_text(lines, encoding="utf-8")

    @contextmanager
    def stream_to(self, path: str | Path) -> Iterator[None]:
        """Within the context write every message to `path` as it happens, line by line."""
        with Path(path).open("w", encoding="utf-8", buffering=1) as trace:

            def write(message: Message) -> None:
                trace.write(f"{message}\n")

            self.add_listener(write)
            try:
                yield
            finally:
                self.remove_listener(write)

    def _texts(self, direction: Direction, instrument: str | None) -> list[str]:
        return [
            text
            for _, name, _, way, text in self._lines()
            if way == direction and instrument in (None, name)
        ]


def printable(text: str | bytes, longest: int = LONGEST_TEXT) -> str:
    """`text` with control characters escaped and cut to `longest` characters.

    Bytes that are not ASCII are shown as `\\xNN`, so nothing is hidden.
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    shown = text[:longest].encode("unicode_escape").decode("ascii")
    return shown if len(text) <= longest else f"{shown}... ({len(text)} characters)"
