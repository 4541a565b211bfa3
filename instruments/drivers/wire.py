"""Bytes to and from one VISA resource, with an end to every wait.

`Wire` knows nothing of instruments. It sends bytes, collects an answer until a
rule says that it is complete, and turns every way in which that can fail
(time-out, refusal, reset, a peer that went away) into one exception,
`WireFailure`, which carries the bytes received so far.

Two habits of pyvisa-py's sockets are worked around here, because both end in
a hanging or lying measurement:

* a peer that closes makes a read spin at full processor load until the
  time-out, and a refused connection is noticed only by the first write. The
  socket below is therefore asked (`select`, `MSG_PEEK`) before each write and
  before each read;
* on a time-out the bytes already received are dropped, and a peer that goes on
  talking without an end mark is listened to for ever. Only bytes that are
  already there are therefore asked for.
"""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from pyvisa.constants import StatusCode
from pyvisa.errors import Error as VisaError
from pyvisa.errors import VisaIOError
from pyvisa.resources import MessageBasedResource, SerialInstrument

from ..clock import Clock

CHUNK_BYTES = 1 << 16
SOCKET_BYTES = 4096
"""What pyvisa-py takes from its socket at once."""
LONGEST_LINE_BYTES = 1 << 20
"""An answer without its end mark longer than this is noise, not an answer."""

EXPECTED = (StatusCode.success_device_not_present, StatusCode.success_max_count_read)
"""What VISA calls a warning and is none here: more bytes are to come."""

Complete = Callable[[bytearray], bool]


class WireFailure(Exception):
    """The exchange failed.

    Args:
        reason: What happened, in words.
        received: The bytes that had arrived until then.
        stale: Whether bytes lay on the link that belong to no question.
    """

    def __init__(self, reason: str, received: bytes = b"", stale: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.received = received
        self.stale = stale


@dataclass(slots=True)
class Wire:
    """One VISA resource, its end mark and its time-out.

    Attributes:
        handle: The pyvisa resource; the same object lives through reopenings.
        clock: Bounds the time an unfinished answer may take.
        read_end: The last character of it is given to VISA as terminator.
        write_end: Appended to every message.
        timeout: Seconds to wait for an answer; None waits for ever.
        stream: A raw socket or a serial line: no END mark, no useful device clear.
        baud_rate: Of a serial line; None leaves VISA's 9600.
    """

    handle: MessageBasedResource
    clock: Clock
    read_end: str
    write_end: str
    timeout: float | None
    stream: bool
    baud_rate: int | None = None
    _below: socket.socket | None = field(default=None, init=False)

    def configure(self) -> None:
        """Give VISA the terminators and the time-out; needed after every opening."""
        self.handle.read_termination = self.read_end
        self.handle.write_termination = self.write_end
        self.handle.timeout = float("inf") if self.timeout is None else 1000.0 * self.timeout
        if self.baud_rate is not None and isinstance(self.handle, SerialInstrument):
            self.handle.baud_rate = self.baud_rate
        self._below = self._socket()

    def reopen(self) -> None:
        """Open the closed resource again, with terminators and time-out restored.

        Raises:
            WireFailure: If it cannot be opened.
        """
        try:
            self.handle.open()
            self.configure()
            if not self.stream:
                self.handle.clear()
        except (VisaError, OSError) as error:
            raise WireFailure(in_words(error)) from error
        except Exception as error:
            if type(error) is not Exception:  # pyvisa-py raises exactly this type
                raise
            raise WireFailure(in_words(error)) from error

    def close(self) -> None:
        """Close the resource; a link that is already dead makes no noise."""
        self._below = None
        try:
            self.handle.close()
        except (VisaError, OSError):
            # Closing talks to the session, which may be gone. Forget it either way, or
            # the next `open` would leave it behind.
            self.handle.session = None

    def send(self, message: bytes, end: bytes | None = None) -> None:
        """Send `message` and the write terminator, or `end` in its place.

        Raises:
            WireFailure: If the link is dead, refused, or holds an unread answer.
        """
        try:
            if self._below is not None:
                self._refuse_dead_or_talking()
            last = self.write_end.encode("ascii") if end is None else end
            self.handle.visalib.write(self.handle.session, message + last)
        except (VisaError, OSError) as error:
            raise WireFailure(in_words(error)) from error

    def receive(self, complete: Complete, longest: int | None = LONGEST_LINE_BYTES) -> bytes:
        """Collect bytes until `complete(bytes so far)`.

        Args:
            complete: Says whether the answer is whole.
            longest: More bytes than this are refused, and the whole answer must
                come within the time-out; None (blocks of announced length) asks
                only that some bytes come within each time-out.

        Raises:
            WireFailure: On a time-out, a lost link, or an endless answer.
        """
        buffer = bytearray()
        try:
            library = self.handle.visalib
            if not library.issue_warning_on:
                self._collect(buffer, complete, longest)
            else:
                with library.ignore_warning(self.handle.session, *EXPECTED):
                    self._collect(buffer, complete, longest)
        except (VisaError, OSError) as error:
            raise WireFailure(in_words(error, self.timeout), bytes(buffer)) from error
        except WireFailure as failure:
            failure.received = bytes(buffer)
            raise
        return bytes(buffer)

    def _collect(self, buffer: bytearray, complete: Complete, longest: int | None) -> None:
        read, session = self.handle.visalib.read, self.handle.session
        started = self.clock.now()
        while not complete(buffer):
            if buffer and longest is not None:
                self._refuse_endless(buffer, longest, self.clock.now() - started)
            chunk, status = read(
                session, CHUNK_BYTES if self._below is None else self._wait_for_bytes()
            )
            buffer.extend(chunk)
            if not self.stream and status == StatusCode.success:
                break  # END: GPIB, USB and VXI-11 say where an answer ends

    def _refuse_endless(self, buffer: bytearray, longest: int, elapsed: float) -> None:
        if len(buffer) > longest:
            raise WireFailure(f"more than {longest} bytes arrived without the end mark")
        if buffer and self.timeout is not None and elapsed > self.timeout:
            raise WireFailure(f"the answer was not finished within {self.timeout:g} s")

    def _refuse_dead_or_talking(self) -> None:
        """Before sending: nothing may be waiting on the link, and the peer must be there."""
        sock = self._below
        if sock is None:
            return
        if self._pending():
            raise WireFailure("an unread answer was waiting", self._pending(), stale=True)
        if select.select([sock], [], [], 0.0)[0]:
            waiting = sock.recv(256, socket.MSG_PEEK)
            if not waiting:
                raise WireFailure("the instrument closed the link")
            raise WireFailure("an unasked answer was waiting", waiting, stale=True)

    def _wait_for_bytes(self) -> int:
        """Wait until bytes are there, without load; how many to read without blocking."""
        sock = self._below
        if sock is None:
            return CHUNK_BYTES
        if pending := self._pending():
            return len(pending)
        if not select.select([sock], [], [], self.timeout)[0]:
            raise WireFailure(f"no answer within {self.timeout:g} s")
        there = len(sock.recv(SOCKET_BYTES, socket.MSG_PEEK))
        if there == 0:
            raise WireFailure("the instrument closed the link")
        return there

    def _session(self) -> object | None:
        sessions = getattr(self.handle.visalib, "sessions", None)
        return sessions.get(self.handle.session) if isinstance(sessions, dict) else None

    def _socket(self) -> socket.socket | None:
        """The socket under a pyvisa-py TCPIP::SOCKET session; None for every other link."""
        session = self._session()
        below = getattr(session, "interface", None)
        plain = isinstance(below, socket.socket) and hasattr(session, "_pending_buffer")
        return below if plain else None

    def _pending(self) -> bytes:
        return bytes(getattr(self._session(), "_pending_buffer", b""))


def is_stream(address: str) -> bool:
    """Whether a VISA address names a raw socket or a serial line."""
    return bool(re.search(r"SOCKET$|^ASRL", address.strip(), re.IGNORECASE))


def ends_with(mark: bytes) -> Complete:
    """The rule of text answers: complete when they end with `mark`."""
    return lambda buffer: buffer.endswith(mark)


def in_words(error: BaseException, timeout: float | None = None) -> str:
    """One phrase for what the VISA library or the operating system reported."""
    if isinstance(error, VisaIOError) and error.error_code == StatusCode.error_timeout:
        return "no answer within the time-out" if timeout is None else f"no answer in {timeout:g} s"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, ConnectionError):
        return f"the link was lost ({type(error).__name__})"
    return f"{type(error).__name__}: {error}"
