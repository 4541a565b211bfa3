"""The engine of the SCPI instruments: dispatch, status, error queue.

Commands are methods marked with their header, ``@command("INITiate[:IMMediate]")``;
a question is a separate command ending in ``?``. What only has to be kept is a
`Setting` in the list `plain`.
"""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache, partial
from typing import Any, ClassVar

from ..links import Answer, Link, Reply
from .base import SimulatedDevice
from .scpi_language import (
    ERRORS,
    Call,
    Handler,
    ScpiError,
    Setting,
    command,
    commands_in,
    header_key,
    header_pattern,
)

QUEUE_DEPTH = 20
HEADERS_KEPT = 4096
"""Headers remembered in the form in which they came: most messages are questions asked before."""

Table = list[tuple[re.Pattern[str], Handler]]


class ScpiDevice(SimulatedDevice):
    """A SCPI instrument: subclasses add commands and `reset`."""

    ieee488 = True
    no_error = '0,"No error"'
    plain: ClassVar[tuple[Setting, ...]] = ()
    """Settings that only have to be kept."""

    _table: ClassVar[Table] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._table = _table(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._find = lru_cache(HEADERS_KEPT)(partial(_found, self._table))
        self._queues: dict[int, deque[str]] = {}
        self.event_status = 128
        self.event_enable = 0
        self.service_enable = 0
        self.reset()

    def reset(self) -> None:
        """Settings as after *RST."""
        self._values: dict[tuple[str, int], bool | int | float | str] = {}
        self._resets = {one.header: one.reset for one in self.plain}

    def value(self, header: str, copy: int = 1) -> Any:
        """The present value of a plain setting."""
        return self._values.get((header, copy), self._resets[header])

    def put(self, header: str, value: bool | int | float | str, copy: int = 1) -> None:
        """Change a plain setting from inside."""
        self._values[header, copy] = value

    def idle_at(self) -> float:
        """Time at which pending operations are over (0: already, inf: not known now)."""
        return 0.0

    # -- messages -----------------------------------------------------------------------

    def handle(self, message: str, link: Link) -> Answer:
        """Obey a compound message; its answers come back as one line joined by `;`."""
        answers: list[str | bytes | Reply] = []
        for header, parameters in commands_in(message):
            try:
                answer = self._run(header, parameters, link)
            except ScpiError as error:
                self.error(link, error.code, error.text)
                if error.code in (-102, -113):
                    break
                continue
            if answer is not None:
                answers.append(answer)
        return answers[0] if len(answers) == 1 else _joined(answers)

    def _run(self, header: str, parameters: tuple[str, ...], link: Link) -> Answer:
        found = self._find(header)
        if found is None:
            raise ScpiError(-113)
        method, numbers = found
        return method(self, Call(parameters, numbers, link))

    # -- errors and status --------------------------------------------------------------

    def queue(self, link: Link | None) -> deque[str]:
        """The error queue that `link` sees; here one for all."""
        return self._queues.setdefault(0, deque())

    def error(self, link: Link | None, code: int, text: str | None = None) -> None:
        """Report an error."""
        queue = self.queue(link)
        shown = text if text is not None else ERRORS.get(code, "Device specific error")
        if len(queue) >= QUEUE_DEPTH:
            queue[-1] = f'-350,"{ERRORS[-350]}"'
        else:
            plus = "+" if code > 0 and self.no_error.startswith("+") else ""
            queue.append(f'{plus}{code},"{shown}"')
        bit = {1: 5, 2: 4, 3: 3, 4: 2}.get(abs(code) // 100 if code < 0 else 3, 3)
        self.event_status |= 1 << bit

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """`error_queue`: an entry that nobody caused (`value`: `code,text`)."""
        if kind == "error_queue":
            code, _, text = (value or "-310").partition(",")
            self.error(link, int(code), text.strip().strip('"') or None)

    def interrupted(self, link: Link) -> None:
        """The unread answer is gone."""
        self.error(link, -410)

    @command("SYSTem:ERRor[:NEXT]?")
    def _next_error(self, call: Call) -> str:
        queue = self.queue(call.link)
        return queue.popleft() if queue else self.no_error

    @command("*CLS")
    def _clear_status(self, call: Call) -> None:
        self.queue(call.link).clear()
        self.event_status = 0

    @command("*ESR?")
    def _event_status(self, call: Call) -> str:
        status, self.event_status = self.event_status, 0
        return str(status)

    @command("*ESE")
    def _set_event_enable(self, call: Call) -> None:
        self.event_enable = int(call.number(0, 255))

    @command("*ESE?")
    def _get_event_enable(self, call: Call) -> str:
        return str(self.event_enable)

    @command("*SRE")
    def _set_service_enable(self, call: Call) -> None:
        self.service_enable = int(call.number(0, 255))

    @command("*SRE?")
    def _get_service_enable(self, call: Call) -> str:
        return str(self.service_enable)

    @command("*STB?")
    def _status_byte(self, call: Call) -> str:
        byte = 4 * bool(self.queue(call.link)) | 16 * call.link.pending
        byte |= 32 * bool(self.event_status & self.event_enable)
        return str(byte | 64 * bool(byte & self.service_enable))

    @command("*IDN?")
    def _identity(self, call: Call) -> str:
        return str(self.settings["idn"])

    @command("*OPC?")
    def _complete_question(self, call: Call) -> Answer:
        return Reply(lambda: b"1", self.idle_at)

    @command("*OPC")
    def _complete(self, call: Call) -> None:
        self.event_status |= 1

    @command("*WAI")
    def _wait(self, call: Call) -> None:
        """Commands are obeyed in order here anyway."""

    @command("*TST?")
    def _self_test(self, call: Call) -> str:
        return "0"

    @command("*RST")
    def _reset(self, call: Call) -> None:
        self.reset()

    @command("SYSTem:VERSion?")
    def _scpi_version(self, call: Call) -> str:
        return "1999.0"


def _joined(answers: list[str | bytes | Reply]) -> Answer:
    if len(answers) < 2:
        return answers[0] if answers else None

    def data() -> bytes:
        parts = [one.data() if isinstance(one, Reply) else one for one in answers]
        return b";".join(one.encode() if isinstance(one, str) else one for one in parts)

    late = [one.ready for one in answers if isinstance(one, Reply)]
    return Reply(data, lambda: max((ready() for ready in late), default=0.0))


def _found(table: Table, header: str) -> tuple[Handler, tuple[int, ...]] | None:
    """The command of a header as it came, and the numbers in it; None if there is none."""
    key = header_key(header)
    for pattern, method in table:
        match = pattern.fullmatch(key)
        if match:
            return method, tuple(int(text or 1) for text in match.groups())
    return None


def _table(cls: type[ScpiDevice]) -> Table:
    table: dict[str, tuple[re.Pattern[str], Handler]] = {}
    for parent in reversed(cls.__mro__):
        for method in vars(parent).values():
            for header in getattr(method, "scpi_headers", ()):
                table[header] = (header_pattern(header), method)
    for setting in cls.plain:
        question = setting.header + "?"
        table.setdefault(setting.header, (header_pattern(setting.header), _setter(setting)))
        table.setdefault(question, (header_pattern(question), _getter(setting)))
    return list(table.values())


def _setter(setting: Setting) -> Handler:
    def store(device: ScpiDevice, call: Call) -> None:
        device.put(setting.header, setting.parse(call), _copy(setting, call))

    return store


def _getter(setting: Setting) -> Handler:
    def answer(device: ScpiDevice, call: Call) -> str:
        return setting.show(device.value(setting.header, _copy(setting, call)))

    return answer


def _copy(setting: Setting, call: Call) -> int:
    copy = call.numbers[0] if call.numbers else 1
    if not 1 <= copy <= setting.copies:
        raise ScpiError(-113)
    return copy
