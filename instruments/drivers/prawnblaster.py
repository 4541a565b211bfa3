"""PrawnBlaster: a Raspberry Pi Pico with labscript's firmware as pseudoclock.

One to four outputs, each a list of pulse trains and waits on a grid of 10 ns. A run is
started by `start`, or by a high level on the trigger inputs after `arm`. During a run the
firmware answers little more than its status.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from qcodes.instrument import VisaInstrumentKWArgs

from ..errors import InstrumentError, LimitError
from ..journal import Journal
from .linked import Identity
from .remembering import RememberingInstrument
from .wire import Wire, ends_with

if TYPE_CHECKING:
    from qcodes.parameters import Parameter
    from typing_extensions import Unpack

__all__ = ["UNVERIFIED", "ClockInstruction", "PrawnBlaster"]

UNVERIFIED: tuple[str, ...] = (
    "Order of the two numbers of an instruction behind `setb`: the firmware's source reads the "
    "half period first, the page at hand names it second. The first instruction is read back.",
    "Whether a second wait behind a wait that was triggered is skipped: end waits singly.",
    "That opening the serial line does not restart the Pico.",
)
"""What no source at hand states, or where two contradict; to be tried on the real unit."""

INSTRUCTIONS = 30_000
"""Of all pseudoclocks together."""
LEAST_HALF = 5
LEAST_WAIT = 6
MOST = 2**32 - 1
HIGHEST_CLOCK = 133_000_000
TIMED_OUT = MOST
RUN_STATUS = {
    0: "manual", 1: "starting", 2: "running", 3: "abort requested", 4: "aborting", 5: "aborted",
    6: "stopping",
}  # fmt: skip
IDLE = ("manual", "aborted")
CLOCK_SOURCES = {"internal": 0, "GPIO20": 1, "GPIO22": 2}
QUESTIONS = ("status", "version", "getfreqs", "getwait", "get", "getinpin", "getoutpin")
POLL_INTERVAL = 0.02


@dataclass(frozen=True, slots=True)
class ClockInstruction:
    """Pulses, or a wait for the trigger.

    Attributes:
        half_period: Seconds that a pulse is high, and then low; of a wait: its time-out.
        pulses: How many; 0 waits.
    """

    half_period: float
    pulses: int

    @classmethod
    def wait(cls, timeout: float) -> ClockInstruction:
        """Low until the trigger input is high, at most `timeout` seconds."""
        return cls(timeout, 0)

    def cycles(self, frequency: float) -> tuple[int, int]:
        """Half period in cycles of the clock, and pulses.

        Raises:
            LimitError: If it is off the range, or off the grid by more than 1 % of a cycle.
        """
        exact = self.half_period * frequency
        half = round(exact) if math.isfinite(exact) else 0
        least = LEAST_HALF if self.pulses else LEAST_WAIT
        if not least <= half <= MOST or not 0 <= self.pulses <= MOST:
            raise LimitError(
                f"PrawnBlaster: a half period (or time-out) must be {least} to 2^32 - 1 cycles of "
                f"{frequency:g} Hz and pulses 0 to 2^32 - 1, but this is {self}."
            )
        if self.pulses and abs(exact - half) > 0.01:
            raise LimitError(
                f"PrawnBlaster: {self.half_period!r} s is no multiple of {1 / frequency:g} s: the "
                f"nearest is {half / frequency!r} s."
            )
        # the firmware counts waits in loops of two cycles
        return (half if self.pulses else half // 2 * 2), self.pulses


class PrawnBlaster(RememberingInstrument):
    """PrawnBlaster on its USB serial line.

    Facts no source states are listed in `UNVERIFIED`.

    Args:
        name: Name of the instrument in QCoDeS.
        address: For instance `ASRL4::INSTR`.
        journal: Register of the messages.
        **kwargs: Passed on to `VisaInstrument`.
    """

    write_end = "\r\n"
    baud_rate = 115_200
    forbidden = (r"program", r"debug")

    def __init__(
        self,
        name: str,
        address: str,
        *,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        super().__init__(name, address, journal=journal, **kwargs)
        self.clocks: int | None = None
        """Pseudoclocks in use; None until `set_clocks`: the firmware has no question for it."""
        self.run_status: Parameter[str, PrawnBlaster] = self.add_parameter(
            "run_status", get_cmd=lambda: self._status()[0], set_cmd=False
        )
        """One of `RUN_STATUS`."""
        self.external_clock: Parameter[bool, PrawnBlaster] = self.add_parameter(
            "external_clock", get_cmd=lambda: self._status()[1], set_cmd=False
        )
        """Whether the external clock is in use; it falls back when that stops."""
        self.clock_frequency: Parameter[float, PrawnBlaster] = self.add_parameter(
            "clock_frequency", unit="Hz", get_cmd=self._frequency, set_cmd=False
        )
        """Of the system clock, measured by the Pico to 1 kHz."""
        self.connect_message()

    # ---- programming -----------------------------------------------------------------

    def set_clocks(self, count: int) -> None:
        """Use `count` pseudoclocks (1 to 4), 30000 / count instructions each; erases all."""
        if count not in (1, 2, 3, 4):
            raise LimitError(f"{self.name}: 1 to 4 pseudoclocks, not {count!r}.")
        self._remembered.clear()
        self.write(f"setnumpseudoclocks {count}")
        self.clocks = count

    def set_clock(self, frequency: float, source: str = "internal") -> None:
        """Choose the system clock, and measure it.

        Raises:
            LimitError: Above 133 MHz, or no known source; nothing was sent.
            InstrumentError: If the Pico refuses, or does not reach it.
        """
        if source not in CLOCK_SOURCES or not 1e6 <= frequency <= HIGHEST_CLOCK:
            raise LimitError(
                f"{self.name}: the clock must be 1 MHz to 133 MHz from one of "
                f"{', '.join(CLOCK_SOURCES)}, but is {frequency!r} Hz from {source!r}."
            )
        self.write(f"setclock {CLOCK_SOURCES[source]} {round(frequency)}")
        found = self.clock_frequency()
        if abs(found - frequency) > 2e3 + 1e-4 * frequency:
            raise InstrumentError(
                f"{self.name} at {self.address}: {frequency:g} Hz were set, but the Pico measures "
                f"{found:g} Hz. Check the external reference."
            )

    def upload(self, clock: int, instructions: Sequence[ClockInstruction]) -> None:
        """Write the program of one pseudoclock, a stop behind it, and read its ends back.

        Raises:
            LimitError: Unknown clock, too many instructions, or times off range or grid;
                nothing was sent.
            InstrumentError: If the Pico refuses, or reads back something else.
        """
        if self.clocks is None:
            raise LimitError(f"{self.name}: call set_clocks before uploading.")
        most = INSTRUCTIONS // self.clocks - 2
        if clock not in range(self.clocks) or not 1 <= len(instructions) <= most:
            raise LimitError(
                f"{self.name}: clock must be 0 to {self.clocks - 1}, with 1 to {most} "
                f"instructions, but is {clock!r} with {len(instructions)}."
            )
        with self.lock:
            frequency = self._frequency()
            program = [*(one.cycles(frequency) for one in instructions), (0, 0)]
            for place in (0, len(program) - 2):
                self._forget(f"get {clock} {place}")
            self._send_program(clock, program)
            for place in sorted({0, len(program) - 2}):
                self._confirm(clock, place, program[place])

    def _send_program(self, clock: int, program: Sequence[tuple[int, int]]) -> None:
        data = b"".join(struct.pack("<II", half, pulses) for half, pulses in program)

        def talk(wire: Wire) -> str:
            first = self._understand(wire.receive(ends_with(b"\n")), str.strip, "text")
            if first != "ready":
                return first
            self._note(f"<{len(data)} bytes>", ">")
            wire.send(data, end=b"")
            return self._understand(wire.receive(ends_with(b"\n")), str.strip, "text")

        command = f"setb {clock} 0 {len(program)}"
        answer = cast(str, self._exchange(command, talk, repeat=False))
        if answer != "ok":
            # More lines of complaint may follow: the link is opened anew.
            self._mark_dirty("a program was refused")
            raise self._refused(command, answer)

    def _confirm(self, clock: int, place: int, wanted: tuple[int, int]) -> None:
        found = self._remember(f"get {clock} {place}").strip()
        if found != f"{wanted[0]} {wanted[1]}":
            self._forget(f"get {clock} {place}")
            raise InstrumentError(
                f"{self.name} at {self.address}: instruction {place} of clock {clock} should be "
                f"'{wanted[0]} {wanted[1]}' (half period, pulses), but is {found!r}. Does this "
                "firmware order the two numbers otherwise?"
            )

    # ---- running ---------------------------------------------------------------------

    def start(self) -> None:
        """Run the programs now. Sent once."""
        self.write("start")

    def arm(self) -> None:
        """Run the programs when the trigger inputs are high. Sent once."""
        self.write("hwstart")

    def abort(self) -> None:
        """End a run; the outputs go low. Safe to call when nothing runs."""
        with self.lock:
            if self.run_status() in ("starting", "running"):
                self.write("abort")

    def wait(self, patience: float) -> None:
        """Wait until the run is over.

        Args:
            patience: Seconds.

        Raises:
            InstrumentError: If it was aborted, or is not over by then (a trigger is missing).
        """
        started = self.clock.now()
        while (status := self.run_status()) not in IDLE:
            if self.clock.now() - started >= patience:
                raise InstrumentError(
                    f"{self.name} at {self.address}: still {status} after {patience:g} s: the "
                    "trigger did not come, or the program is longer. Check the cable of the "
                    "trigger; `abort` ends the run."
                )
            self.clock.wait(POLL_INTERVAL)
        if status == "aborted":
            raise InstrumentError(f"{self.name} at {self.address}: the run was aborted.")

    def waited(self, clock: int, number: int, timeout: float) -> float | None:
        """Seconds that wait `number` of the last run took; None if it timed out.

        Args:
            clock: The pseudoclock.
            number: 0 for the first wait.
            timeout: The time-out of that wait, seconds.

        Raises:
            InstrumentError: If that wait is not over, or there is none.
        """
        text = self.ask(f"getwait {clock} {number}").strip()
        if not text.isdigit():
            raise self._refused(f"getwait {clock} {number}", text)
        left = int(text)
        if left == TIMED_OUT:
            return None
        return timeout - left / self._frequency()

    def set_level(self, clock: int, high: bool) -> None:
        """Hold an output high or low, until the next run."""
        self.write(f"go {'high' if high else 'low'} {clock}")

    def set_pins(self, clock: int, output: int, trigger: int) -> None:
        """Use these GPIO numbers for a pseudoclock."""
        self.write(f"setoutpin {clock} {output}")
        self.write(f"setinpin {clock} {trigger}")

    # ---- messages --------------------------------------------------------------------

    def write(self, cmd: str) -> None:
        """Send a command that must be answered with `ok`.

        Raises:
            LinkError: If no answer comes; it is unknown whether the command was obeyed.
            InstrumentError: If the Pico refused it.
        """
        answer = self.ask_parsed(cmd, str.strip, "ok", repeat=False)
        if answer != "ok":
            raise self._refused(cmd, answer)

    def _is_pure_question(self, message: str) -> bool:
        return message.split(" ")[0] in QUESTIONS

    def _refused(self, cmd: str, answer: str) -> InstrumentError:
        return InstrumentError(
            f"{self.name} at {self.address} answered {answer!r} to {cmd!r}. Wait for the end of "
            "a run (run_status), or correct the program."
        )

    def get_idn(self) -> Identity:
        """Firmware from `version`; the Pico has no serial number to ask.

        Raises:
            LinkError: If there is no such answer.
        """
        firmware = self.ask_parsed("version", _version, "version: <number>")
        return {
            "vendor": "labscript-suite", "model": "PrawnBlaster", "serial": None,
            "firmware": firmware,
        }  # fmt: skip

    def _status(self) -> tuple[str, bool]:
        return self.ask_parsed("status", _run_status, "run-status and clock-status")

    def _frequency(self) -> float:
        """Hertz, of the lines that end with `ok`."""

        def read(wire: Wire) -> float:
            raw = wire.receive(lambda buffer: re.search(rb"(^|\n)ok\r?\n$", buffer) is not None)
            return self._understand(raw, _system_clock, "a list of frequencies")

        return cast(float, self._exchange("getfreqs", read, repeat=True))

    def _forget_settings(self) -> None:
        super()._forget_settings()
        self.clocks = None

    def _settings_survived(self) -> str:
        if self._status()[0] not in IDLE:
            return ""  # what runs was not restarted, and would refuse to be asked
        return super()._settings_survived()


def _run_status(text: str) -> tuple[str, bool]:
    match = re.fullmatch(r"run-status:(\d) clock-status:([01])", text.strip())
    if match is None:
        raise ValueError(text)
    return RUN_STATUS[int(match[1])], match[2] == "1"


def _version(text: str) -> str:
    match = re.fullmatch(r"version: (\S+)", text.strip())
    if match is None:
        raise ValueError(text)
    return match[1]


def _system_clock(text: str) -> float:
    match = re.search(r"clk_sys = (\d+)kHz", text)
    if match is None:
        raise ValueError(text)
    return 1e3 * int(match[1])
