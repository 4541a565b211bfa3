"""What every driver of this package does with its link: the rules, in one place.

* One re-entrant lock per instrument goes round every write and every question.
* A dirty link is closed, and reopened and checked before the next exchange
  (`LinkedInstrument`).
* A pure question is repeated once after a clean reopening. A command, a
  trigger, an arm, an output-on, and a question that clears what it reads, never.
* After each write, or each group of writes, the instrument's own error queue is
  read and raised as `InstrumentError`.
* Every line goes into a `Journal`, and every wait is on the clock of the VISA
  library (`self.clock`), so that a rehearsal takes no time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from qcodes.instrument import VisaInstrumentKWArgs

from ..errors import CavityLabError, InstrumentError
from ..journal import Journal, printable
from .linked import Identity, LinkedInstrument
from .wire import Wire

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")

LONGEST_ERROR_QUEUE = 32
"""An error queue that gives more entries than this in a row never ends."""
LONGEST_LINE = 200
"""Characters of joined commands; the smallest command buffer, that of a DG645, holds 255."""


class CavityLabInstrument(LinkedInstrument):
    """Base class of the drivers: commands that are checked, questions that are understood.

    Args:
        name: Name of the instrument in QCoDeS.
        address: VISA address.
        journal: Register of the messages; a private one if not given.
        **kwargs: Passed on to `VisaInstrument` (`visalib`, `timeout`, `metadata`, ...).

    Raises:
        LinkError: If the address cannot be opened.
    """

    error_question: ClassVar[str] = ""
    """Takes the oldest entry out of the error queue; empty where there is none."""

    def __init__(
        self,
        name: str,
        address: str,
        *,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        self._group_depth = 0
        self._group_messages: list[str] = []
        super().__init__(name, address, journal=journal, **kwargs)

    def write(self, cmd: str) -> None:
        """Send a command, then read the error queue (in a `group`: at its end).

        Raises:
            LinkError: If the link failed; it is unknown whether the command arrived.
            InstrumentError: If the instrument refused the command.
        """
        with self.group():
            self._group_messages.append(cmd)
            self._exchange(cmd, None, repeat=False)

    def write_together(self, commands: Sequence[str]) -> None:
        """Send commands that belong together, and read the error queue.

        Where the language can join commands, they share a line with the question for the
        error queue: one exchange, and its answer shows that the instrument has come so far.

        Raises:
            LinkError: If the link failed; it is unknown which commands arrived.
            InstrumentError: If the instrument refused one; later lines were not sent.
        """
        if not (self.joined_by and self.error_question):
            with self.group():
                for command in commands:
                    self.write(command)
            return
        with self.lock:
            for line in _lines(commands, self.joined_by):
                self._group_messages.append(line)
                self._judge(self._ask_error(f"{line}{self.joined_by}{self.error_question}"))

    def _ask_error(self, question: str) -> str:
        return self.ask_parsed(
            question, self._error_in, "an entry of the error queue", repeat=False
        )

    def _read_errors(self) -> list[str]:
        errors: list[str] = []
        while self.error_question and len(errors) < LONGEST_ERROR_QUEUE:
            error = self._ask_error(self.error_question)
            if not error:
                break
            errors.append(error)
        return errors

    def _error_in(self, answer: str) -> str:
        """The entry in an answer to `error_question`, in words; empty if there is none.

        Raises:
            ValueError: If the answer has another form.
        """
        raise ValueError(answer)

    def write_raw(self, cmd: str) -> None:
        """Send a command without reading the error queue."""
        self._exchange(cmd, None, repeat=False)

    def ask(self, cmd: str) -> str:
        """Ask a question; a pure one is repeated once after a clean reopening.

        Raises:
            LinkError: If there is no readable answer.
        """
        return self.ask_parsed(cmd, str, "text")

    def ask_raw(self, cmd: str) -> str:
        """Ask a question once."""
        return self.ask_parsed(cmd, str, "text", repeat=False)

    def ask_parsed(
        self, cmd: str, parser: Callable[[str], T], expected: str, *, repeat: bool | None = None
    ) -> T:
        """Ask a question whose answer `parser` must understand.

        Args:
            cmd: The question.
            parser: Turns the answer into a value; its `ValueError` means garbage.
            expected: What the answer should be, for the message.
            repeat: Whether a second attempt is allowed; None decides by the message.

        Raises:
            LinkError: If there is no answer that the parser understands.
        """

        def read(wire: Wire) -> T:
            raw = wire.receive(self._whole_line)
            return self._understand(raw, parser, expected)

        return cast(T, self._exchange(cmd, read, repeat))

    def ask_float(self, cmd: str) -> float:
        """Ask for a finite number."""
        return self.ask_parsed(cmd, finite, "a finite number")

    def ask_int(self, cmd: str) -> int:
        """Ask for an integer."""
        return self.ask_parsed(cmd, int, "an integer")

    def ask_bool(self, cmd: str) -> bool:
        """Ask for 0 or 1."""
        return self.ask_parsed(cmd, flag, "0 or 1")

    def get_idn(self) -> Identity:
        """Ask `*IDN?`.

        Raises:
            LinkError: If there is no answer of four fields.
        """
        return self.ask_parsed("*IDN?", parse_idn, "vendor, model, serial, firmware")

    @contextmanager
    def group(self) -> Iterator[None]:
        """Hold the link for several messages and read the error queue once, at the end."""
        with self.lock:
            self._group_depth += 1
            try:
                yield
            except BaseException:
                if self._group_depth == 1:
                    self._note_errors_of_failed_group()
                raise
            else:
                if self._group_depth == 1 and self._group_messages:
                    self.check_errors()
            finally:
                self._group_depth -= 1

    def _note_errors_of_failed_group(self) -> None:
        """Empty the error queue, so that its entries are not blamed on the next group."""
        sent, self._group_messages = self._group_messages, []
        if not sent or self.link_is_dirty:
            return
        try:
            for error in self._read_errors():
                self._note(f"error of the group that failed: {error}")
        except CavityLabError:
            self._note("the error queue of the group that failed could not be read")

    def check_errors(self) -> None:
        """Read the instrument's error queue.

        Raises:
            InstrumentError: If it holds anything; all entries are in the message.
        """
        with self.lock:
            sent, self._group_messages = self._group_messages, []
            self._refuse(self._read_errors(), sent)

    def _judge(self, error: str) -> None:
        """`check_errors` for an error queue whose first answer is already here."""
        sent, self._group_messages = self._group_messages, []
        if error:
            self._refuse([error, *self._read_errors()], sent)

    def _refuse(self, errors: list[str], sent: list[str]) -> None:
        if errors:
            raise InstrumentError(
                f"{self.name} at {self.address} reported {'; '.join(errors)} after "
                f"{_listed(sent)}. The setting may not have been taken: check the value "
                "and the state of the instrument, then set it again."
            )

    def connect_message(self, idn_param: str = "IDN", begin_time: float | None = None) -> None:
        """Identify the instrument and log it; called last by every driver.

        Old entries of the error queue are read and logged, so that they are not
        blamed on the first command of this session.

        Raises:
            LinkError: If it does not answer.
            InstrumentError: If it is another instrument.
        """
        try:
            identity = self.get_idn()
            self._check_identity(identity)
            self._prepare_survival_check()
            self._identity = identity
            for error in self._read_errors():
                self._note(f"error from before this session: {error}")
                self.log.warning("%s: error from before this session: %s", self.name, error)
        except BaseException:
            self._close_wire()
            raise
        self.parameters[idn_param].cache.set(identity)
        self.log.info("Connected to %s: %s", self.name, identity)


class Refusal(str):
    """An answer that is an error text, from instruments that answer with their errors."""


def finite(text: str) -> float:
    """A finite number.

    Raises:
        ValueError: If it is none.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def flag(text: str) -> bool:
    """0 or 1.

    Raises:
        ValueError: If it is neither.
    """
    if text.strip() not in ("0", "1"):
        raise ValueError(text)
    return text.strip() == "1"


def parse_idn(text: str) -> Identity:
    """The four comma-separated fields of `*IDN?`.

    Raises:
        ValueError: If there are not four.
    """
    fields = [field.strip() for field in text.split(",")]
    if len(fields) != 4 or not all(fields):
        raise ValueError(text)
    return dict(zip(("vendor", "model", "serial", "firmware"), fields, strict=True))


def _lines(commands: Sequence[str], joint: str) -> Iterator[str]:
    """The commands joined to lines of at most `LONGEST_LINE`, if each of them is shorter."""
    line = ""
    for command in commands:
        if line and len(line) + len(joint) + len(command) > LONGEST_LINE:
            yield line
            line = ""
        line = f"{line}{joint}{command}" if line else command
    if line:
        yield line


def _listed(messages: list[str]) -> str:
    shown = [repr(printable(message, 80)) for message in messages[-4:]]
    before = f"{len(messages) - len(shown)} messages, then " if len(messages) > 4 else ""
    return before + ", ".join(shown) if shown else "no command of this session"
