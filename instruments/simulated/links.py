"""A link: one open session to one simulated device, with honest buffers.

Every answer carries the time at which it is ready. A read waits for it, or for
its time-out, on the laboratory's clock; a late answer stays in the queue and
meets the next question, as on a real socket.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from ..journal import printable

if TYPE_CHECKING:
    from .devices.base import SimulatedDevice
    from .laboratory import Laboratory

LONGEST_NAP = 0.02
"""Seconds between two looks at an answer whose time is not yet known (real clock)."""

SOCKET_DRAIN = 0.1
"""Seconds for which clearing a socket waits for bytes still on their way."""


class ReadEnd(Enum):
    """Why a read came back."""

    COUNT = "count"
    TERMINATOR = "terminator"
    END = "end"
    TIMEOUT = "timeout"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is not ready at once.

    Attributes:
        data: Called when the answer leaves the device; without terminator.
        ready: The time on the clock at which it will be ready, as far as known
            now: 0 when it is, inf while nothing that would complete it is under way.
    """

    data: Callable[[], bytes]
    ready: Callable[[], float]


Answer = str | bytes | Reply | None


class _Pending(NamedTuple):
    """An answer on its way: its bytes and the time it is ready, or what will tell them."""

    data: bytes | Callable[[], bytes]
    ready: float | Callable[[], float]

    def due(self) -> float:
        """Time on the clock at which it leaves the device."""
        return self.ready() if callable(self.ready) else self.ready

    def taken(self) -> bytes:
        """The bytes, terminator included."""
        return self.data if isinstance(self.data, bytes) else self.data()


class Link:
    """One session.

    Args:
        laboratory: Gives lock, clock and journal.
        device: The device at the other end.
        address: The name under which it was opened.
        framed: True on GPIB, USB and VXI-11, which mark the end of a message;
            False on sockets and serial lines, which do not.
    """

    def __init__(
        self, laboratory: Laboratory, device: SimulatedDevice, address: str, framed: bool
    ) -> None:
        self.laboratory = laboratory
        self.device = device
        self.address = address
        self.framed = framed
        self.dead = False
        self.refused = False
        self._input = b""
        self._queue: deque[_Pending] = deque()
        self._arrived: deque[bytearray] = deque()
        self._free_at = 0.0

    # -- to the device ------------------------------------------------------------------

    def write(self, data: bytes, end: bool = False) -> None:
        """Send bytes; complete messages are obeyed at once.

        Args:
            data: Any part of a message, or several.
            end: The transport marks the end of the message here.

        Raises:
            ConnectionRefusedError: The device refused the link when it was opened.
            BrokenPipeError: The device has closed the link.
        """
        if self.refused:
            raise ConnectionRefusedError(f"connection to {self.address} refused")
        if self.dead:
            raise BrokenPipeError(f"{self.address} has closed the link")
        lab, device = self.laboratory, self.device
        with lab.lock:
            messages, self._input = device.split(self._input + data if self._input else data)
            if end and self._input:
                messages.append(self._input)
                self._input = b""
            if self.framed and messages and device.ieee488 and self.pending:
                self._queue.clear()
                self._arrived.clear()
                device.interrupted(self)
            for message in messages:
                self._obey(device.decode(message))
        if lab.adversary:
            time.sleep(1e-4)

    def greet(self) -> None:
        """Queue what the device says on its own when a link is opened."""
        greeting = self.device.opened(self)
        if greeting:
            self._queue.append(_Pending(greeting, 0.0))

    def _obey(self, message: str) -> None:
        lab, device = self.laboratory, self.device
        now = lab.clock.now()
        lab.journal.note(now, device.name, self.address, ">", message[:1000])
        lab.touch()
        if lab.faults_on_purpose.expected:
            self._obey_spoiled(message)
            return
        free_at = now if now > self._free_at else self._free_at
        self._free_at = free_at = free_at if lab.prompt else free_at + lab.latency_of(device)
        answer = device.handle(message, self)
        if answer is None or self.dead:
            return
        end = device.ending(self)
        if isinstance(answer, Reply):
            reply = answer
            self._queue.append(
                _Pending(lambda: _as_bytes(reply.data()) + end, lambda: max(free_at, reply.ready()))
            )
        else:
            self._queue.append(_Pending(_as_bytes(answer) + end, free_at))

    def _obey_spoiled(self, message: str) -> None:
        """Obey a message in a laboratory with faults on purpose."""
        lab, device = self.laboratory, self.device
        struck = lab.faults_on_purpose.strike(device.name, message)
        kinds = {rule.kind for rule in struck}
        for rule in struck:
            device.trip(rule.kind, rule.value, self)
        late = lab.latency_of(device)
        self._free_at = max(lab.now(), self._free_at) + late
        answer = None if "trigger_lost" in kinds else device.handle(message, self)
        if "trigger_doubled" in kinds:
            device.handle(message, self)
        if "drop" in kinds:
            self.dead = True
        if answer is None or "mute" in kinds or self.dead:
            return
        delay = sum(rule.seconds for rule in struck if rule.kind == "slow")
        end = device.ending(self)

        def data() -> bytes:
            body = _as_bytes(answer.data() if isinstance(answer, Reply) else answer)
            old = lab.faults_on_purpose.stuck(device.name, message)
            whole = (old if old is not None else body) + end
            for rule in struck:
                whole = lab.faults_on_purpose.spoil(rule, message, whole.removesuffix(end), end)
            return whole

        free_at = self._free_at + delay
        if isinstance(answer, Reply):
            later = answer.ready
            self._queue.append(_Pending(data, lambda: max(free_at, later() + delay)))
        else:
            self._queue.append(_Pending(data(), free_at))

    # -- from the device ----------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Answers are queued or waiting to be read."""
        return bool(self._queue or self._arrived)

    def next_ready(self) -> float:
        """Time of the next answer on the clock; inf when none is under way."""
        with self.laboratory.lock:
            return self._queue[0].due() if self._queue else math.inf

    def arrived(self) -> bytes:
        """Take every byte that is ready now (for a byte stream, such as a TCP server)."""
        with self.laboratory.lock:
            self._pump()
            data = b"".join(self._arrived)
            self._arrived.clear()
            return data

    def read(self, count: int, terminator: bytes | None, timeout: float) -> tuple[bytes, ReadEnd]:
        """Wait for an answer, at most `timeout` seconds (inf allowed), on the clock.

        Args:
            count: Largest number of bytes.
            terminator: Stop after this byte (None: do not look for one).
            timeout: Seconds.

        Returns:
            The bytes and why the read came back. After a time-out what had
            arrived of an unfinished answer is lost, as with a real socket.
        """
        lab = self.laboratory
        clock = lab.clock
        begun = clock.now()
        deadline = begun + timeout
        while True:
            with lab.lock:
                if terminator is not None and (line := self._whole_line(begun, terminator, count)):
                    return line, ReadEnd.TERMINATOR
                self._pump()
                taken = self._take(count, terminator)
                if taken is not None:
                    return taken
                ready = self.next_ready()
            now = clock.now()
            if now >= deadline or (math.isinf(deadline) and math.isinf(ready)):
                return self._lost(), ReadEnd.TIMEOUT
            self._wait(min(ready, deadline) - now)

    def _whole_line(self, now: float, terminator: bytes, count: int) -> bytes | None:
        """The next answer if it is ready, not begun yet, and one line: as most answers are."""
        if not self._queue or self._arrived or self.dead:
            return None
        data, ready = self._queue[0]
        if not isinstance(data, bytes) or not isinstance(ready, float) or ready > now + 1e-12:
            return None
        if len(data) > count or data.find(terminator) != len(data) - len(terminator):
            return None
        self._queue.popleft()
        self.laboratory.journal.note(now, self.device.name, self.address, "<", _shown(data))
        return data

    def _wait(self, seconds: float) -> None:
        if not self.laboratory.virtual:
            seconds = min(seconds, LONGEST_NAP)
        self.laboratory.clock.wait(max(seconds, 0.0))

    def _pump(self) -> None:
        queue = self._queue
        if not queue:
            return
        lab = self.laboratory
        now = lab.clock.now() + 1e-12
        while queue and not self.dead and queue[0].due() <= now:
            data = queue.popleft().taken()
            lab.journal.note(now, self.device.name, self.address, "<", _shown(data))
            if self.framed or not self._arrived:
                self._arrived.append(bytearray(data))
            else:
                self._arrived[0].extend(data)

    def _take(self, count: int, terminator: bytes | None) -> tuple[bytes, ReadEnd] | None:
        if not self._arrived:
            return None
        head = self._arrived[0]
        place = head.find(terminator) if terminator is not None else -1
        if 0 <= place < count:
            length, why = place + 1, ReadEnd.TERMINATOR
        elif len(head) >= count:
            length, why = count, ReadEnd.COUNT
        elif self.framed:
            length, why = len(head), ReadEnd.END
        else:
            return None
        if length < len(head):
            data = bytes(head[:length])
            del head[:length]
            return data, why
        self._arrived.popleft()
        if self.framed and why is ReadEnd.COUNT:
            why = ReadEnd.END
        return bytes(head), why

    def _lost(self) -> bytes:
        with self.laboratory.lock:
            data = b"".join(self._arrived)
            self._arrived.clear()
            return data

    def clear(self) -> None:
        """Device clear; on a socket it only drains what arrives within 0.1 s."""
        lab = self.laboratory
        with lab.lock:
            self._arrived.clear()
            if self.framed:
                self._queue.clear()
                self._input = b""
                self.device.clear(self)
                return
        until = lab.now() + SOCKET_DRAIN
        while True:
            self._wait(max(min(self.next_ready(), until) - lab.now(), 0.0))
            if self.arrived():
                until = lab.now() + SOCKET_DRAIN
            elif lab.now() >= until - 1e-9:
                return

    def close(self) -> None:
        """Hang up."""
        with self.laboratory.lock:
            self.dead = True
            self.device.closed(self)


def _as_bytes(answer: str | bytes) -> bytes:
    return answer.encode() if isinstance(answer, str) else answer


def _shown(data: bytes) -> str:
    return _shown_short(data) if len(data) <= 200 else f"<{len(data)} bytes>"


@lru_cache(maxsize=1024)
def _shown_short(data: bytes) -> str:
    return printable(data)
