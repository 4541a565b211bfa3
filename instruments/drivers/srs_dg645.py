"""Stanford Research Systems DG645 digital delay generator: the hardware timing of a shot.

T0 and four pulses AB, CD, EF, GH. Delays are relative to another channel, in
seconds; writing one during a delay cycle aborts the cycle, so this driver
refuses to while the instrument is busy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from qcodes.instrument import InstrumentChannel, VisaInstrumentKWArgs
from qcodes.validators import Enum, Ints, Numbers

from ..errors import InstrumentError, LimitError
from ..journal import Journal
from .base import CavityLabInstrument
from .linked import Identity
from .srs_dg645_language import error_in_words
from .wire import Wire, is_stream

if TYPE_CHECKING:
    from qcodes.parameters import Parameter
    from typing_extensions import Unpack

UNVERIFIED: tuple[str, ...] = (
    "Execution time of a command: no source states it; nothing here depends on it.",
    "Burst periods above 42.9 s: the specification ends there, the command text at 2000 s; "
    "the driver allows 2000 s and leaves the refusal to the instrument.",
    "Whether an external edge sets RATE while a box in the single external sources is not armed: "
    "here it does not.",
)
"""What no source at hand states; to be tried on the real unit."""

CHANNELS: Mapping[str, int] = MappingProxyType(
    {name: code for code, name in enumerate(("T0", "T1", *"ABCDEFGH"))}
)
"""Channel names and their codes on the wire."""

OUTPUTS: tuple[str, ...] = ("T0", "AB", "CD", "EF", "GH")
"""Front-panel outputs, in the order of their codes."""

TRIGGER_SOURCES: Mapping[str, int] = MappingProxyType(
    {
        "internal": 0,
        "external_rising": 1,
        "external_falling": 2,
        "single_external_rising": 3,
        "single_external_falling": 4,
        "single": 5,
        "line": 6,
    }
)

EVENTS: tuple[str, ...] = (
    "TRIG",
    "RATE",
    "END_OF_DELAY",
    "END_OF_BURST",
    "INHIBIT",
    "ABORT_DELAY",
    "PLL_UNLOCK",
    "RB_UNLOCK",
)
"""Flags of `INSR?`, bit 0 first."""

SPOILING_EVENTS: frozenset[str] = frozenset({"RATE", "INHIBIT", "ABORT_DELAY", "PLL_UNLOCK"})
"""Events after which the shots just taken cannot be trusted."""

LONGEST_DELAY = 2000.0
"""Seconds."""
BUSY_BITS = 0b110
"""BUSY and BURST of `*STB?`."""
POWER_ON_BIT = 1 << 7


class DG645Output(InstrumentChannel["SRSDG645"]):
    """One front-panel output: amplitude and offset into 50 ohm, polarity."""

    def __init__(self, parent: SRSDG645, name: str, code: int) -> None:
        super().__init__(parent, f"output_{name.lower()}")
        self.amplitude: Parameter[float, DG645Output] = self.add_parameter(
            "amplitude",
            unit="V",
            get_cmd=f"LAMP?{code}",
            get_parser=float,
            set_cmd=lambda volts: self._set_level("LAMP", code, volts, self.offset()),
            vals=Numbers(0.5, 5.0),
        )
        """Step of the pulse in volts, 0.5 to 5; amplitude + offset stays below 6 V."""
        self.offset: Parameter[float, DG645Output] = self.add_parameter(
            "offset",
            unit="V",
            get_cmd=f"LOFF?{code}",
            get_parser=float,
            set_cmd=lambda volts: self._set_level("LOFF", code, volts, self.amplitude()),
            vals=Numbers(-2.0, 2.0),
        )
        """Level outside the pulse in volts."""
        self.polarity: Parameter[int, DG645Output] = self.add_parameter(
            "polarity",
            get_cmd=f"LPOL?{code}",
            get_parser=int,
            set_cmd=f"LPOL {code},{{}}",
            vals=Enum(0, 1),
        )
        """1 positive; 0 negative: the pulse begins with a falling edge."""

    def _set_level(self, command: str, code: int, volts: float, other: float) -> None:
        if volts + other >= 6.0:
            raise LimitError(
                f"{self.full_name}: amplitude + offset must be below 6 V, but would be "
                f"{volts + other:g} V. Lower one of them first."
            )
        self.parent.write(f"{command} {code},{volts:.2f}")


class SRSDG645(CavityLabInstrument):
    """DG645 over a raw socket (port 5025), VXI-11, GPIB or RS-232.

    Facts no source states are listed in `UNVERIFIED`.

    Args:
        name: Name of the instrument in QCoDeS.
        address: For instance `TCPIP0::192.168.1.20::5025::SOCKET`.
        journal: Register of the messages.
        **kwargs: Passed on to `VisaInstrument`.
    """

    read_end = "\r\n"
    survival_check_clears = True
    joined_by = ";"
    error_question = "LERR?"
    never_repeat = (r"LERR\?", r"INSR\?", r"\*(ESR|TST|CAL)\?", r"LOCK\?", r"UNLK\?")

    def __init__(
        self,
        name: str,
        address: str,
        *,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        super().__init__(name, address, journal=journal, **kwargs)
        outputs: dict[str, DG645Output] = {}
        for code, output in enumerate(OUTPUTS):
            outputs[output] = DG645Output(self, output, code)
            self.add_submodule(outputs[output].short_name, outputs[output])
        self.outputs: Mapping[str, DG645Output] = MappingProxyType(outputs)
        """The outputs by name: T0, AB, CD, EF, GH."""
        self._add_trigger_parameters()
        self._add_burst_parameters()
        self.connect_message()

    def _add_trigger_parameters(self) -> None:
        self.trigger_source: Parameter[str, SRSDG645] = self.add_parameter(
            "trigger_source",
            get_cmd="TSRC?",
            get_parser=int,
            set_cmd="TSRC {}",
            val_mapping=dict(TRIGGER_SOURCES),
        )
        """One of `TRIGGER_SOURCES`; "single" waits for `trigger()`."""
        self.trigger_rate: Parameter[float, SRSDG645] = self.add_parameter(
            "trigger_rate",
            unit="Hz",
            get_cmd="TRAT?",
            get_parser=float,
            set_cmd="TRAT {:.6f}",
            vals=Numbers(100e-6, 10e6),
        )
        """Rate of the internal trigger."""
        self.trigger_level: Parameter[float, SRSDG645] = self.add_parameter(
            "trigger_level",
            unit="V",
            get_cmd="TLVL?",
            get_parser=float,
            set_cmd="TLVL {:.2f}",
            vals=Numbers(-3.5, 3.5),
        )
        """Threshold of the external trigger."""
        self.inhibit: Parameter[int, SRSDG645] = self.add_parameter(
            "inhibit", get_cmd="INHB?", get_parser=int, set_cmd="INHB {}", vals=Enum(*range(6))
        )
        """What the rear inhibit input stops: 0 nothing, 1 triggers, 2..5 AB .. AB-GH."""
        self.timebase: Parameter[str, SRSDG645] = self.add_parameter(
            "timebase",
            get_cmd="TIMB?",
            get_parser=int,
            val_mapping={"internal": 0, "ocxo": 1, "rubidium": 2, "external": 3},
            set_cmd=False,
        )
        """The clock in use; read only."""

    def _add_burst_parameters(self) -> None:
        self.burst_enabled: Parameter[bool, SRSDG645] = self.add_parameter(
            "burst_enabled",
            get_cmd="BURM?",
            get_parser=int,
            set_cmd="BURM {}",
            val_mapping={True: 1, False: 0},
        )
        """Whether a trigger starts a burst of delay cycles."""
        self.burst_count: Parameter[int, SRSDG645] = self.add_parameter(
            "burst_count",
            get_cmd="BURC?",
            get_parser=int,
            set_cmd="BURC {}",
            vals=Ints(1, 2**32 - 1),
        )
        """Delay cycles per trigger: the shots of a block."""
        self.burst_period: Parameter[float, SRSDG645] = self.add_parameter(
            "burst_period",
            unit="s",
            get_cmd="BURP?",
            get_parser=float,
            set_cmd="BURP {:.8f}",
            vals=Numbers(100e-9, 2000.0),
        )
        """Time from one cycle to the next, on a grid of 10 ns."""
        self.burst_delay: Parameter[float, SRSDG645] = self.add_parameter(
            "burst_delay",
            unit="s",
            get_cmd="BURD?",
            get_parser=float,
            set_cmd="BURD {:.12f}",
            vals=Numbers(0.0, LONGEST_DELAY),
        )
        """Time from the trigger to the first cycle."""
        self.burst_t0_first_only: Parameter[bool, SRSDG645] = self.add_parameter(
            "burst_t0_first_only",
            get_cmd="BURT?",
            get_parser=int,
            set_cmd="BURT {}",
            val_mapping={True: 1, False: 0},
        )
        """Whether T0 comes in the first cycle only instead of in each."""

    # ---- delays ----------------------------------------------------------------------

    def set_delay(self, channel: str, reference: str, seconds: float) -> None:
        """Let `channel` happen `seconds` after `reference`.

        Args:
            channel: A to H, or T1.
            reference: T0, T1 or another of A to H.
            seconds: 0 to 2000, on a grid of 5 ps.

        Raises:
            LimitError: If an argument is out of range.
            InstrumentError: If a cycle is running, or the instrument refuses.
        """
        self.set_delays({channel: (reference, seconds)})

    def set_delays(self, delays: Mapping[str, tuple[str, float]], *, idle: bool = False) -> None:
        """Set several delays, joined in as few lines as the command buffer allows.

        Args:
            delays: `{channel: (reference, seconds)}`.
            idle: The caller has just seen that nothing runs; else the instrument is asked.

        Raises:
            LimitError: If an argument is out of range; nothing was sent.
            InstrumentError: If a cycle is running, or the instrument refuses.
        """
        commands = [self._delay_command(channel, *delay) for channel, delay in delays.items()]
        with self.lock:
            if not idle:
                self._refuse_while_busy()
            self.write_together(commands)

    def get_delay(self, channel: str) -> tuple[str, float]:
        """The reference of `channel` and the delay after it in seconds."""
        return self.ask_parsed(
            f"DLAY?{self._code(channel)}", _parse_delay, "a channel code and a delay"
        )

    def _delay_command(self, channel: str, reference: str, seconds: float) -> str:
        code, origin = self._code(channel), self._code(reference)
        if channel == "T0" or channel == reference:
            raise LimitError(
                f"{self.name}: channel {channel} cannot be delayed after {reference}. "
                "Choose a channel A to H and another one as its reference."
            )
        if not 0.0 <= seconds <= LONGEST_DELAY:
            raise LimitError(
                f"{self.name}: the delay of {channel} after {reference} must be 0 to "
                f"{LONGEST_DELAY:g} s, but is {seconds!r} s."
            )
        return f"DLAY {code},{origin},{seconds:.12f}"

    def _code(self, channel: str) -> int:
        if channel not in CHANNELS:
            raise LimitError(
                f"{self.name}: no channel {channel!r}; choose one of {', '.join(CHANNELS)}."
            )
        return CHANNELS[channel]

    def _refuse_while_busy(self) -> None:
        if self.busy():
            raise InstrumentError(
                f"{self.name} at {self.address}: a delay cycle or burst is running, and writing a "
                "delay would abort it. Wait until busy() is False."
            )

    # ---- shots -----------------------------------------------------------------------

    def trigger(self, *, fresh: bool = False) -> None:
        """Start one cycle or burst (source "single"), or arm for the next external edge.

        Sent once: after a `LinkError` it is unknown whether it started.

        Args:
            fresh: Clear the event flags before, in the same line where the link is a byte
                stream: the next `take_events` then tells of this trigger alone.

        Raises:
            InstrumentError: In the other trigger sources (error 11).
        """
        with self.lock:
            if fresh and is_stream(self.address):
                self._group_messages.append("*TRG")
                self._judge(cast(str, self._exchange("INSR?;*TRG;LERR?", self._two, repeat=False)))
                return
            if fresh:
                self.take_events()
            self.write_together(("*TRG",))

    def _two(self, wire: Wire) -> str:
        """The answers to `INSR?` and `LERR?`; the flags are old and forgotten."""

        def error_of(answers: str) -> str:
            flags, error = answers.split(self._reply_end)
            int(flags)
            return self._error_in(error)

        raw = wire.receive(lambda buffer: buffer.count(self._end_bytes) >= 2)
        return self._understand(raw, error_of, "event flags and an error code, a line each")

    def busy(self) -> bool:
        """Whether a delay cycle or a burst is running."""
        return bool(self.ask_int("*STB?") & BUSY_BITS)

    def take_events(self) -> set[str]:
        """Read and clear the event flags; names of `EVENTS`."""
        flags = self.ask_int("INSR?")
        return {name for bit, name in enumerate(EVENTS) if flags >> bit & 1}

    # ---- the base class's questions --------------------------------------------------

    def _check_identity(self, identity: Identity) -> None:
        if identity["model"] != "DG645":
            raise InstrumentError(
                f"{self.name} at {self.address} is no DG645 but {identity}. Check the address."
            )

    def _prepare_survival_check(self) -> None:
        self.ask_parsed("*ESR?", int, "an integer", repeat=True)

    def _error_in(self, answer: str) -> str:
        code = int(answer)
        return error_in_words(code) if code else ""

    def _settings_survived(self) -> str:
        status = self.ask_int("*ESR?")
        return "the power-on bit of *ESR? is set" if status & POWER_ON_BIT else ""


def _parse_delay(text: str) -> tuple[str, float]:
    match = re.fullmatch(r"\s*(\d+)\s*,\s*([+-]?\d+(?:\.\d*)?)\s*", text)
    if match is None or int(match[1]) >= len(CHANNELS):
        raise ValueError(text)
    return tuple(CHANNELS)[int(match[1])], float(match[2])
