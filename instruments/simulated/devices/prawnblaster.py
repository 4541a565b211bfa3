"""PrawnBlaster: a Raspberry Pi Pico as pseudoclock, one to four outputs.

Answers are those of the firmware, mistakes included: during a run only `status`, `version`,
`abort`, `getwait` and `getfreqs` are obeyed. A software `start` begins a shot of its own if an
output is wired; after `hwstart` the run begins when the trigger input is high in a shot of
another device. Outputs `clock0` to `clock3`, inputs `trigger0` to `trigger3`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any, ClassVar

from ..lines import Stretch, tidy
from ..links import Link
from ..shots import Shot
from .base import SimulatedDevice
from .prawn_run import Instruction, Run

INSTRUCTIONS = 30_000
WAITS = 400
LEAST_HALF = 5
LEAST_WAIT = 6
MOST_PULSES = 20_000
"""Pulses of one output in one shot; a faster clock is reported, not drawn."""
MARGIN = 1e-6
"""Seconds that a shot of its own lasts beyond the program."""
RUNNING, ABORTED, MANUAL = 2, 5, 0
BUSY = "Cannot execute command {} during buffered execution. Check status first and wait for it to return 0 or 5 (stopped or aborted)."  # noqa: E501
BAD_CLOCK = "The specified pseudoclock must be between 0 and 3 (inclusive)"


class Refused(Exception):
    """The answer is an error text."""


class PrawnBlaster(SimulatedDevice):
    """The Pico with its firmware."""

    outputs = ("clock0", "clock1", "clock2", "clock3")
    inputs = ("trigger0", "trigger1", "trigger2", "trigger3")
    latency = (1e-3, 0.3e-3)
    port = 2101
    defaults: ClassVar[Mapping[str, Any]] = {"version": "1.2.0"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.power_on()

    def power_on(self) -> None:
        """100 MHz, one pseudoclock, no instructions."""
        self.frequency = 100_000_000
        self.external = 0
        self.count = 1
        self.programs: list[dict[int, Instruction]] = [{} for _ in range(4)]
        self.levels = [False] * 4
        self.pins = {"out": [9, 11, 13, 15], "in": [0, 2, 4, 6]}
        self.runs: list[Run] = []
        self.aborted = False
        self._pending_error: str | None = None
        self._expected: tuple[int, int, int] | None = None

    # -- wires --------------------------------------------------------------------------

    def begin(self, shot: Shot) -> None:
        """Run through the shot."""
        stop = shot.start + shot.period
        for number, run in enumerate(self.runs):
            line = shot.input(self.name, f"trigger{number}") or ()
            high = [(shot.start + one.start, shot.start + one.stop) for one in line if one.value]
            run.advance(stop, high)

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """The pulses, or the level set by hand."""
        number = int(terminal[-1])
        if number < len(self.runs):
            run, stop = self.runs[number], shot.start + shot.period
            if run.pulses(shot.start, stop) > MOST_PULSES:
                self.laboratory.report(
                    f"{self.name}: a clock of {terminal} is too fast to be drawn"
                )
                return ()
            return tidy(run.high(shot.start, stop))
        return (Stretch(0.0, shot.period, True),) if self.levels[number] else ()

    def steady(self, shot: Shot) -> bool:
        """Nothing runs, and nothing ran a moment ago."""
        return all(run.done_at < shot.start for run in self.runs)

    def status(self) -> int:
        """The number of `run-status`."""
        for run in self.runs:
            run.advance(self.now())
        if self.runs and any(run.done_at > self.now() for run in self.runs):
            return RUNNING
        return ABORTED if self.aborted else MANUAL

    def _start(self, armed: bool) -> str:
        self.aborted = False
        self.runs = [
            Run(self._program(number), float(self.frequency), self.now(), armed)
            for number in range(self.count)
        ]
        self.levels = [False] * 4
        wiring = self.laboratory.wiring
        wired = [*wiring.lines.values(), *wiring.inputs.values()]
        if not armed and any(one.device == self.name for one in wired):
            period = max(run.duration() for run in self.runs) + MARGIN
            self.laboratory.fire(self.name, self.now(), period, 1)
        return "ok"

    def _program(self, number: int) -> list[Instruction]:
        held = self.programs[number]
        program: list[Instruction] = []
        while program[-1:] != [(0, 0)] and len(program) < INSTRUCTIONS // self.count:
            program.append(held.get(len(program), (0, 0)))
        return program

    # -- messages -----------------------------------------------------------------------

    def decode(self, message: bytes) -> str:
        """Every byte is kept."""
        return message.decode("latin-1")

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Lines; behind `setb` as many bytes as it announced."""
        if self._expected is None:
            return super().split(data)
        size = 8 * self._expected[2]
        if len(data) < size:
            return [], data
        return [data[:size]], data[size:]

    def ending(self, link: Link) -> bytes:
        """CR LF."""
        return b"\r\n"

    def closed(self, link: Link) -> None:
        """Bytes that never came are not waited for by the next session."""
        self._expected = None

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """`error_queue`: the next line is refused."""
        if kind == "error_queue":
            self._pending_error = value or "invalid request"

    def handle(self, message: str, link: Link) -> str:
        """One line in, one or more lines out."""
        if self._expected is not None:
            return self._take_block(message.encode("latin-1"))
        if self._pending_error is not None:
            text, self._pending_error = self._pending_error, None
            return text
        words = message.split()
        try:
            return self._always(words) or self._manual(message, words)
        except Refused as refused:
            return str(refused)

    def _always(self, words: list[str]) -> str | None:
        """What is obeyed at any time; None if it is none of these."""
        word = words[0]
        if word == "status":
            return f"run-status:{self.status()} clock-status:{self.external}"
        if word == "version":
            return f"version: {self.settings['version']}"
        if word == "getfreqs":
            khz = self.frequency // 1000
            names = {"pll_sys": khz, "pll_usb": 48000, "rosc": 5500, "clk_sys": khz,
                     "clk_peri": khz, "clk_usb": 48000, "clk_adc": 48000}  # fmt: skip
            return "\r\n".join([*(f"{name} = {value}kHz" for name, value in names.items()), "ok"])
        if word == "abort":
            return self._abort()
        if word == "getwait":
            return self._get_wait(*_numbers(words, 2))
        return None

    def _abort(self) -> str:
        if self.status() != RUNNING:
            raise Refused(
                "Can only abort when status is 1 or 2 (transitioning to running or running)"
            )
        for run in self.runs:
            run.cut(self.now())
        burst = self.laboratory.burst
        if burst is not None and burst.source == self.name:
            self.laboratory.abort(burst)
        self.aborted = True
        return "ok"

    def _get_wait(self, clock: int, place: int) -> str:
        _check_clock(clock)
        if place > WAITS // self.count:
            raise Refused("invalid address")
        self.status()
        if clock >= len(self.runs) or place >= len(self.runs[clock].waits):
            raise Refused("wait not yet available")
        return str(self.runs[clock].waits[place])

    def _manual(self, message: str, words: list[str]) -> str:
        """What is obeyed only between runs."""
        if self.status() == RUNNING:
            raise Refused(BUSY.format(message))
        word = words[0]
        if word in ("start", "hwstart"):
            return self._start(armed=word == "hwstart")
        if word == "setnumpseudoclocks":
            (count,) = _numbers(words, 1)
            if not 1 <= count <= 4:
                raise Refused("The number of pseudoclocks must be between 1 and 4 (inclusive)")
            self.count = count
            self.programs = [{} for _ in range(4)]
            return "ok"
        if word in ("set", "get", "setb"):
            return self._instruction(word, words)
        if word == "setclock":
            return self._set_clock(*_numbers(words, 2))
        if word in ("setinpin", "setoutpin", "getinpin", "getoutpin"):
            return self._pin(word, words)
        if word == "go" and words[1:2] in (["high"], ["low"]):
            (number,) = _numbers(words[1:], 1)
            _check_clock(number)
            self.runs = []
            self.levels[number] = words[1] == "high"
            return "ok"
        if message in ("debug on", "debug off"):
            return "ok"
        raise Refused(f"invalid request: {message}")

    def _set_clock(self, source: int, frequency: int) -> str:
        if source > 2:
            raise Refused("invalid request")
        if source == 0 and (frequency % 1_000_000 or not 1_000_000 <= frequency <= 133_000_000):
            raise Refused("Failure. Cannot exactly achieve that clock frequency.")
        self.frequency, self.external = frequency, int(source > 0)
        return "ok"

    def _pin(self, word: str, words: list[str]) -> str:
        kind, other = ("in", "out") if word.endswith("inpin") else ("out", "in")
        number, *pin = _numbers(words, 1 if word.startswith("get") else 2)
        _check_clock(number)
        if not pin:
            return str(self.pins[kind][number])
        if pin[0] in self.pins[other]:
            raise Refused(
                f"{kind.upper()} pin cannot be the same as one of the {other.upper()} pins"
            )
        if pin[0] > 19 and not (kind == "out" and pin[0] == 25):
            raise Refused(f"{kind.upper()} pin must be between 0 and 19 (inclusive)")
        self.pins[kind][number] = pin[0]
        return "ok"

    def _instruction(self, word: str, words: list[str]) -> str:
        clock, place, *rest = _numbers(words, {"set": 4, "get": 2, "setb": 3}[word])
        _check_clock(clock)
        if word == "setb":
            if place + rest[0] >= INSTRUCTIONS:
                raise Refused(
                    f"Invalid address and/or too many instructions ({place} + {rest[0]})."
                )
            self._expected = (clock, place, rest[0])
            return "ready" if rest[0] else self._take_block(b"")
        if place >= INSTRUCTIONS:
            raise Refused("invalid address")
        if word == "get":
            half, count = self.programs[clock].get(place, (0, 0))
            return f"{half} {count}"
        self.programs[clock][place] = _stored(*rest)
        return "ok"

    def _take_block(self, data: bytes) -> str:
        """Half period and repetitions, 32 bits each, little-endian; bad ones are skipped."""
        clock, place, count = self._expected or (0, 0, 0)
        self._expected = None
        errors = []
        for half, repetitions in struct.iter_unpack("<II", data[: 8 * count]):
            try:
                self.programs[clock][place] = _stored(half, repetitions)
                place += 1
            except Refused as refused:
                errors.append(str(refused))
        if not errors:
            return "ready\r\nok" if not data else "ok"
        return "\r\n".join([*errors, f"Too short half-period in {len(errors)} instructions"])


def _stored(half: int, count: int) -> Instruction:
    """An instruction as the firmware gives it back: timeouts of waits are even."""
    if count == 0:
        if half == 0:
            return 0, 0
        if half < LEAST_WAIT:
            raise Refused("invalid request")
        return (half - 4) // 2 * 2 + 4, 0
    if half < LEAST_HALF:
        raise Refused("half-period too short")
    return half, count


def _numbers(words: list[str], count: int) -> tuple[int, ...]:
    texts = words[1 : 1 + count]
    if len(texts) < count or not all(text.isdigit() for text in texts):
        raise Refused("invalid request")
    numbers = tuple(int(text) for text in texts)
    if max(numbers) > math.pow(2, 32) - 1:
        raise Refused("invalid request")
    return numbers


def _check_clock(number: int) -> None:
    if number > 3:
        raise Refused(BAD_CLOCK)
