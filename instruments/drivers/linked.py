"""A QCoDeS `VisaInstrument` whose link is clean, or closed: nothing in between.

A time-out, a lost link or an unreadable answer makes the link *dirty*: it is
closed at once. Before the next exchange it is opened again, terminators and
time-out are restored, the identity is compared with the one at first
connection, and the driver looks whether its settings are still there. So a
late answer can never be taken for the answer to the next question.
"""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, TypeVar

from pyvisa.errors import Error as VisaError
from qcodes.instrument import VisaInstrument, VisaInstrumentKWArgs
from qcodes.utils import DelayedKeyboardInterrupt

from ..clock import clock_of
from ..errors import InstrumentError, LimitError, LinkError, StaleReply
from ..journal import Direction, Journal, printable
from .wire import Wire, WireFailure, ends_with, in_words, is_stream

if TYPE_CHECKING:
    from pyvisa.resources import MessageBasedResource
    from typing_extensions import Unpack

T = TypeVar("T")
Identity = dict[str, str | None]
sigint_handler = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)
"""`signal.getsignal` without the words for its answer, which take longer than the answer."""


class LinkedInstrument(VisaInstrument):
    """The link of a `CavityLabInstrument`: lock, journal, clock, dirty-link rule.

    Args:
        name: Name of the instrument in QCoDeS.
        address: VISA address.
        journal: Register of the messages; a private one if not given.
        **kwargs: Passed on to `VisaInstrument` (`visalib`, `timeout`, `metadata`, ...).

    Raises:
        LinkError: If the address cannot be opened.
    """

    write_end: ClassVar[str] = "\n"
    """Appended to each message."""
    read_end: ClassVar[str] = "\n"
    """Ends each answer; VISA watches its last character."""
    visa_read_end: ClassVar[str | None] = None
    """What VISA is told to watch, where `read_end` cannot be given to it."""
    encoding: ClassVar[str] = "ascii"
    """Of the answers."""
    baud_rate: ClassVar[int | None] = None
    """Of a serial line; None leaves VISA's 9600."""
    minimum_interval: ClassVar[float] = 0.0
    """Seconds between two messages that the instrument needs."""
    never_repeat: ClassVar[tuple[str, ...]] = ()
    """Beginnings of questions that change something: asked once, whatever happens."""
    forbidden: ClassVar[tuple[str, ...]] = ()
    """Beginnings of messages that are never sent, nor as part of a joined one."""
    survival_check_clears: ClassVar[bool] = False
    """Whether `_settings_survived` clears what it asks: a lost answer then proves nothing."""
    joined_by: ClassVar[str] = ""
    """Between commands in one line, which the journal shows one by one; empty where the manual
    does not say that they may be joined."""
    default_timeout = 2.0

    def __init__(
        self,
        name: str,
        address: str,
        *,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        self._wire: Wire | None = None
        self._closed = False
        self._timeout_s: float | None = self.default_timeout
        self._address_text = address
        self.journal = journal if journal is not None else Journal()
        self.lock = threading.RLock()
        self.restarts = 0
        self._identity: Identity | None = None
        self._dirty = ""
        self._reopening = False
        self._restart_in_doubt = False
        self._last_message_at = float("-inf")
        terminator = kwargs.get("terminator")
        self._terminator = terminator
        self._reply_end = terminator or self.read_end
        self._end_bytes = self._reply_end.encode("ascii")
        self._whole_line = ends_with(self._end_bytes)
        self._forbidden = _anywhere(self.forbidden)
        kwargs.setdefault("device_clear", not is_stream(address))
        super().__init__(name, address, **kwargs)
        self._lay_wire()

    def _lay_wire(self) -> Wire:
        """The wire over the opened resource.

        Laid by the constructor; a stock driver of QCoDeS between this class and
        `VisaInstrument`, whose own constructor already asks, lays it with its first message.

        Raises:
            LinkError: If the resource cannot be configured or does not greet.
        """
        if self._wire is None:
            self.clock = clock_of(self.visa_handle.visalib)
            self._wire = Wire(
                handle=self.visa_handle,
                clock=self.clock,
                read_end=self._terminator or self.visa_read_end or self.read_end,
                write_end=self._terminator or self.write_end,
                timeout=self._timeout_s,
                stream=is_stream(self._address_text),
                baud_rate=self.baud_rate,
            )
            try:
                self._wire.configure()
                self._greet()
            except WireFailure as failure:
                raise self._broken("", failure) from failure
        return self._wire

    # ---- what a driver states about its instrument -----------------------------------

    def _greet(self) -> None:
        """Read what the instrument says unasked after the link opens. Default: nothing."""

    def _read_errors(self) -> list[str]:
        """Read and empty the instrument's error queue. Default: it has none."""
        return []

    def _prepare_survival_check(self) -> None:
        """Ask, on connecting, what `_settings_survived` will compare with. Default: nothing."""

    def _settings_survived(self) -> str:
        """After a reopening: empty, or what shows that the instrument was restarted."""
        return ""

    def _check_identity(self, identity: Identity) -> None:
        """Raise `InstrumentError` if the instrument is not one this driver knows."""

    def get_idn(self) -> Identity:
        """Vendor, model, serial number and firmware; each driver says how to ask."""
        raise InstrumentError(f"{type(self).__name__} has no way to identify itself.")

    def _is_pure_question(self, message: str) -> bool:
        """Whether `message` only asks, so that it may be sent a second time."""
        parts = [part.strip().lstrip(":") for part in message.split(";")]
        return all(
            re.match(r"[*:\w]+\?", part) is not None and not _matches(part, self.never_repeat)
            for part in parts
        )

    @property
    def address(self) -> str:
        """The VISA address, also while the link is closed."""
        return self._address_text

    @property
    def link_is_dirty(self) -> bool:
        """Whether the next exchange will begin by opening the link again."""
        return bool(self._dirty)

    # ---- the rules -------------------------------------------------------------------

    def _exchange(
        self,
        cmd: str,
        read: Callable[[Wire], object] | None,
        repeat: bool | None,
        payload: bytes = b"",
    ) -> object:
        if self._forbidden is not None and self._forbidden.search(cmd):
            raise LimitError(
                f"{self.name} at {self.address}: {cmd!r} is never sent by this driver, "
                f"because it is dangerous to what is connected; see {type(self).__name__}."
            )
        with self.lock:
            if self._dirty:
                self._make_clean()
            try:
                return self._attempt(cmd, read, payload)
            except LinkError:
                allowed = self._is_pure_question(cmd) if repeat is None else repeat
                if self._reopening or not allowed:
                    raise
            self._note(f"asking again: {printable(cmd)}")
            self._make_clean()
            return self._attempt(cmd, read, payload)

    def _attempt(
        self, cmd: str, read: Callable[[Wire], object] | None, payload: bytes = b""
    ) -> object:
        wire = self._wire
        if wire is None or self._closed:
            wire = self._open_wire()
        try:
            if sigint_handler(signal.SIGINT) is not signal.default_int_handler:
                return self._converse(wire, cmd, read, payload)
            with DelayedKeyboardInterrupt(
                context={"instrument": self._called, "reason": "Visa Instrument exchange"}
            ):
                return self._converse(wire, cmd, read, payload)
        except WireFailure as failure:
            raise self._broken(cmd, failure) from failure
        except BaseException:
            self._mark_dirty("the exchange was interrupted")
            raise

    def _converse(
        self, wire: Wire, cmd: str, read: Callable[[Wire], object] | None, payload: bytes
    ) -> object:
        if self.minimum_interval > 0:
            self._keep_interval()
        shown = f"{cmd}<{len(payload)} bytes>" if payload else cmd
        if self.joined_by and self.joined_by in shown:
            for command in shown.split(self.joined_by):
                self._note(command, ">")
        else:
            self._note(shown, ">")
        wire.send(cmd.encode("utf-8") + payload)
        return None if read is None else read(wire)

    def _understand(self, raw: bytes, parser: Callable[[str], T], expected: str) -> T:
        """Decode a complete answer and parse it, or fail as garbage."""
        body = raw.removesuffix(self._end_bytes)
        try:
            text = body.decode(self.encoding)
            self._note(text, "<")
            return parser(text)
        except (UnicodeDecodeError, ValueError, KeyError, IndexError) as error:
            raise WireFailure(f"the answer is not {expected}", body) from error

    def _make_clean(self) -> None:
        """Reopen a dirty link, and make sure the same instrument is still behind it."""
        if not self._dirty or self._reopening:
            return
        self._reopening = True
        try:
            lost = self._reopen()
        except BaseException:
            # Half checked is not clean: the next exchange begins with the reopening again.
            if not self._dirty:
                self._mark_dirty("the check after reopening failed")
            raise
        finally:
            self._reopening = False
        if lost:
            self._forget_settings()
            raise InstrumentError(
                f"{self.name} at {self.address} was restarted ({lost}): its settings are lost. "
                "Set and upload everything again before the next shot."
            )

    def _reopen(self) -> str:
        """Open, identify, look for a restart; empty, or what shows that settings are lost."""
        self._note(f"reopening, because {self._dirty}")
        try:
            self._open_wire().reopen()
            self._dirty = ""
            self._greet()
        except WireFailure as failure:
            raise self._broken("", failure) from failure
        if self._identity is None:  # still connecting: nothing to compare with, nothing set
            return ""
        self._compare_identity(self._identity)
        doubt = "the answer to an earlier check was lost" if self._restart_in_doubt else ""
        self._restart_in_doubt = self.survival_check_clears
        lost = self._settings_survived() or doubt
        self._restart_in_doubt = False
        if not lost:
            for error in self._read_errors():
                self._note(f"error from before the reopening: {error}")
        return lost

    def _compare_identity(self, expected: Identity) -> None:
        identity = self.get_idn()
        if identity != expected:
            self._mark_dirty("another instrument answered")
            raise LinkError(
                f"{self.name} at {self.address}: after reopening the link {identity} answered "
                f"instead of {expected}. Check the address and the cabling."
            )

    def _forget_settings(self) -> None:
        """After a restart nothing that was set can be believed."""
        self.restarts += 1
        self._note("settings lost")
        for module in (self, *self.instrument_modules.values()):
            for name, parameter in module.parameters.items():
                if name not in ("IDN", "timeout"):
                    parameter.cache.invalidate()

    def _mark_dirty(self, reason: str) -> None:
        self._dirty = reason
        self._close_wire()

    def _close_wire(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def _open_wire(self) -> Wire:
        if self._closed:
            raise LinkError("This instrument was closed: open it again before using it.")
        return self._lay_wire()

    def _broken(self, cmd: str, failure: WireFailure) -> LinkError:
        """Mark the link dirty and say who, where, what was sent, what came, what to do."""
        self._mark_dirty(failure.reason)
        self._note(f"{failure.reason}; received {printable(failure.received)!r}")
        kind = StaleReply if failure.stale else LinkError
        sent = f"to {printable(cmd)!r}" if cmd else "on opening the link"
        return kind(
            f"{self.name} at {self.address}: {failure.reason} ({sent}; received so far: "
            f"'{printable(failure.received)}'). Check power, cable and address, and that no "
            "other program holds the link; the next exchange opens it again."
        )

    def _keep_interval(self) -> None:
        due = self._last_message_at + self.minimum_interval
        self.clock.wait(max(0.0, due - self.clock.now()))
        self._last_message_at = self.clock.now()

    def _note(self, text: str, direction: Direction = "!") -> None:
        self.journal.note(self.clock.now(), self._called, self._address_text, direction, text)

    @cached_property
    def _called(self) -> str:
        """QCoDeS puts the name together anew each time it is asked for."""
        return self.name

    # ---- QCoDeS ----------------------------------------------------------------------

    def _open_resource(self, address: str, visalib: str | None) -> MessageBasedResource:
        try:
            return super()._open_resource(address, visalib)
        except (VisaError, OSError) as error:
            raise _cannot_open(self._short_name, address, error) from error
        except Exception as error:
            if type(error) is not Exception:  # pyvisa-py raises exactly this type
                raise
            raise _cannot_open(self._short_name, address, error) from error

    def set_terminator(self, terminator: str | None) -> None:
        """Kept from QCoDeS; the driver's own terminators are set by the link."""
        if terminator is not None:
            super().set_terminator(terminator)

    def _set_visa_timeout(self, timeout: float | None) -> None:
        self._timeout_s = timeout
        if self._wire is not None:
            self._wire.timeout = timeout
        if not self._dirty:
            super()._set_visa_timeout(timeout)

    def _get_visa_timeout(self) -> float | None:
        return self._timeout_s

    def close(self) -> None:
        """Close the link and forget the instrument; a second call does nothing."""
        wire = getattr(self, "_wire", None)
        if wire is not None:
            with self.lock:
                wire.close()
                self._wire = None
        self._closed = True
        super().close()


def _cannot_open(name: str, address: str, error: BaseException) -> LinkError:
    return LinkError(
        f"{name} at {address}: the link could not be opened ({in_words(error)}). Check power, "
        "cable and address, and that no other program holds the link."
    )


def _anywhere(beginnings: tuple[str, ...]) -> re.Pattern[str] | None:
    """Finds one of these beginnings in a message, or in a part of a joined one."""
    if not beginnings:
        return None
    return re.compile(rf"(?:^|;)\s*:*(?:{'|'.join(beginnings)})", re.IGNORECASE)


def _matches(message: str, patterns: tuple[str, ...]) -> bool:
    return any(re.match(pattern, message, re.IGNORECASE) for pattern in patterns)
