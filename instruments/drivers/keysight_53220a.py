"""Keysight (Agilent) 53220A universal counter as a gated photon counter.

One reading per pulse on Gate In: `configure_gated_totalize`, `initiate`, then
drain with `read_available` while the delay generator runs. A number of readings
that does not match shots x gates means a lost or an extra gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray
from qcodes.instrument import InstrumentChannel, VisaInstrumentKWArgs
from qcodes.validators import Enum, Numbers

from ..errors import InstrumentError, LimitError
from ..journal import Journal
from .linked import Identity
from .scpi import ScpiInstrument, block_data, block_is_complete
from .wire import Wire, WireFailure

if TYPE_CHECKING:
    from qcodes.parameters import Parameter
    from typing_extensions import Unpack

UNVERIFIED: tuple[str, ...] = (
    "One reading per gate pulse: follows from the trigger model; confirm on the real unit "
    "with a known pulse train.",
    "Execution time of a command: no source states it; nothing here depends on it.",
    "USB vendor and product codes 0x0957 and 0x1807.",
)
"""What no source at hand states; to be tried on the real unit."""

MEMORY_READINGS = 1_000_000
"""Readings that the memory holds; then the oldest are overwritten."""
LARGEST_DRAIN = 50_000
"""Readings fetched by one `R?`."""
NO_DATA = 9.9e37
"""Values from here on mean "no data" (9.91E37) or infinity (9.9E37)."""
MEASURING_BITS = 0b11_0000
"""Measuring, or waiting for a trigger, of `STAT:OPER:COND?`."""
QUESTIONABLE: dict[int, str] = {
    0: "OVERLOAD",
    9: "TOTALIZE_ROLLED_OVER",
    10: "TIMEBASE",
    14: "MEMORY_OVERFLOW",
}


class CounterInput(InstrumentChannel["Keysight53220A"]):
    """One of the two inputs."""

    def __init__(self, parent: Keysight53220A, number: int) -> None:
        super().__init__(parent, f"input{number}")
        prefix = f"INP{number}"
        self.coupling: Parameter[str, CounterInput] = self.add_parameter(
            "coupling",
            get_cmd=f"{prefix}:COUP?",
            set_cmd=f"{prefix}:COUP {{}}",
            vals=Enum("AC", "DC"),
        )
        """AC or DC; DC for photon pulses."""
        self.impedance: Parameter[float, CounterInput] = self.add_parameter(
            "impedance",
            unit="Ohm",
            get_cmd=f"{prefix}:IMP?",
            get_parser=float,
            set_cmd=f"{prefix}:IMP {{:g}}",
            vals=Enum(50.0, 1e6),
        )
        """50 ohm (opens a relay above about 10 V) or 1 megohm."""
        self.range: Parameter[float, CounterInput] = self.add_parameter(
            "range",
            unit="V",
            get_cmd=f"{prefix}:RANG?",
            get_parser=float,
            set_cmd=f"{prefix}:RANG {{:g}}",
            vals=Enum(5.0, 50.0),
        )
        """Full range, 5 or 50 V."""
        self.threshold: Parameter[float, CounterInput] = self.add_parameter(
            "threshold",
            unit="V",
            get_cmd=f"{prefix}:LEV?",
            get_parser=float,
            set_cmd=f"{prefix}:LEV {{:.4f}}",
            vals=Numbers(-51.25, 51.25),
        )
        """Threshold; about half the pulse. +-5.125 V on the 5 V range."""
        self.slope: Parameter[str, CounterInput] = self.add_parameter(
            "slope",
            get_cmd=f"{prefix}:SLOP?",
            set_cmd=f"{prefix}:SLOP {{}}",
            vals=Enum("POS", "NEG"),
        )
        """The edge that is counted."""


class Keysight53220A(ScpiInstrument):
    """53220A over a raw socket (port 5025, not the telnet port 5024), USB or GPIB.

    Facts no source states are listed in `UNVERIFIED`.

    Args:
        name: Name of the instrument in QCoDeS.
        address: For instance `TCPIP0::192.168.1.30::5025::SOCKET`.
        journal: Register of the messages.
        **kwargs: Passed on to `VisaInstrument`.
    """

    joined_by = ";:"
    never_repeat = (
        *ScpiInstrument.never_repeat,
        r"R\?",
        r"READ\?",
        r"MEAS",
        r"DATA:REM\w*\?",
    )

    def __init__(
        self,
        name: str,
        address: str,
        *,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        super().__init__(name, address, journal=journal, **kwargs)
        self.input1 = CounterInput(self, 1)
        """Input 1."""
        self.input2 = CounterInput(self, 2)
        """Input 2."""
        self.add_submodule("input1", self.input1)
        self.add_submodule("input2", self.input2)
        self.function: Parameter[str, Keysight53220A] = self.add_parameter(
            "function", get_cmd="FUNC?", get_parser=_unquoted, set_cmd=False
        )
        """What is measured, such as TOT; read only."""
        self.gate_source: Parameter[str, Keysight53220A] = self.add_parameter(
            "gate_source",
            get_cmd="TOT:GATE:SOUR?",
            set_cmd="TOT:GATE:SOUR {}",
            vals=Enum("TIME", "EXT", "INP1", "INP2", "ADV"),
        )
        """What opens the gate; EXT is the Gate In connector."""
        self.gate_polarity: Parameter[str, Keysight53220A] = self.add_parameter(
            "gate_polarity",
            get_cmd="TOT:GATE:POL?",
            set_cmd="TOT:GATE:POL {}",
            vals=Enum("POS", "NEG"),
        )
        """POS: open while Gate In is high."""
        self.samples: Parameter[int, Keysight53220A] = self.add_parameter(
            "samples", get_cmd="SAMP:COUN?", get_parser=_integer, set_cmd=False
        )
        """Gates per trigger; set by `configure_gated_totalize`."""
        self.reference: Parameter[str, Keysight53220A] = self.add_parameter(
            "reference",
            get_cmd="ROSC:SOUR?",
            set_cmd="ROSC:SOUR {}",
            vals=Enum("INT", "EXT"),
        )
        """Reference oscillator."""
        self.connect_message()

    # ---- gated counting --------------------------------------------------------------

    def configure_gated_totalize(
        self,
        readings: int,
        channel: int = 1,
        gate_polarity: str = "POS",
        threshold_V: float = 1.25,
    ) -> None:
        """Prepare one reading per pulse on Gate In; nothing is started.

        Args:
            readings: How many, shots x gates, 1 to 1 000 000 (the memory).
            channel: Input that is counted, 1 or 2, set to DC, 50 ohm, 5 V range.
            gate_polarity: POS counts while Gate In is high.
            threshold_V: About half the height of a photon pulse.

        Raises:
            LimitError: If an argument is out of range; nothing was sent.
            InstrumentError: If the counter refuses.
        """
        self._check_gated(readings, channel, gate_polarity, threshold_V)
        inp = f"INP{channel}"
        with self.group():
            for command in (
                "ABOR",
                "*CLS",
                f"{inp}:COUP DC",
                f"{inp}:IMP 50",
                f"{inp}:RANG 5",
                f"{inp}:FILT OFF",
                f"{inp}:SLOP POS",
                f"CONF:TOT:TIM 1E-3,(@{channel})",
                # After CONF, which switches auto-level off but leaves the level where it was.
                f"{inp}:LEV:AUTO OFF",
                f"{inp}:LEV {threshold_V:.4f}",
                "OUTP OFF",
                "TOT:GATE:SOUR EXT",
                f"TOT:GATE:POL {gate_polarity}",
                "TRIG:SOUR IMM",
                "TRIG:COUN 1",
                f"SAMP:COUN {readings}",
                "FORM REAL,64",
                "FORM:BORD NORM",
            ):
                self.write(command)
        self._forget_what_configure_sets()

    def initiate(self) -> None:
        """Empty the memory and wait for gates. Sent once, never repeated."""
        self.write_together(("INIT",))

    def available(self) -> int:
        """How many readings are in the memory."""
        return self.ask_parsed("DATA:POIN?", _integer, "a number of readings")

    def read_available(self) -> NDArray[np.float64]:
        """Take all readings that are there, oldest first, out of the memory.

        Asked once: an answer that is lost takes its readings with it.

        Returns:
            Shape (readings,), possibly empty; counts, exact up to 2^53.

        Raises:
            LinkError: If the block is damaged or lost.
            InstrumentError: If a reading timed out, or nothing was started.
        """
        with self.lock:
            return self.take(self.available())

    def take(self, waiting: int) -> NDArray[np.float64]:
        """Take so many readings, as `available` has just counted, out of the memory.

        Raises:
            LinkError, InstrumentError: As for `read_available`.
        """
        if waiting == 0:
            # `R?` with nothing started gives no answer at all, only error -230.
            return np.empty(0)
        parts = [LARGEST_DRAIN] * (waiting // LARGEST_DRAIN)
        if waiting % LARGEST_DRAIN:
            parts.append(waiting % LARGEST_DRAIN)
        with self.lock:
            blocks = [self._drain(part) for part in parts]
        readings = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        if np.any(np.abs(readings) >= NO_DATA):
            raise InstrumentError(
                f"{self.name} at {self.address}: {int(np.sum(np.abs(readings) >= NO_DATA))} of "
                f"{readings.size} readings hold no data (time-out of a measurement). Reject "
                "this block, and check SYST:TIM and the gate pulses."
            )
        return readings

    def measuring(self) -> bool:
        """Whether the counter measures, or waits for a trigger."""
        return bool(self.ask_int("STAT:OPER:COND?") & MEASURING_BITS)

    def abort(self) -> None:
        """Stop measuring; readings already taken stay."""
        self.write("ABOR")

    def take_questionable(self) -> set[str]:
        """Read and clear what makes readings questionable; names of `QUESTIONABLE`."""
        flags = self.ask_int("STAT:QUES?")
        return {name for bit, name in QUESTIONABLE.items() if flags >> bit & 1}

    # ---- details ---------------------------------------------------------------------

    def _check_gated(
        self, readings: int, channel: int, gate_polarity: str, threshold: float
    ) -> None:
        rules = (
            (1 <= readings <= MEMORY_READINGS, f"readings must be 1 to 1e6, not {readings!r}"),
            (channel in (1, 2), f"channel must be 1 or 2, but is {channel!r}"),
            (gate_polarity in ("POS", "NEG"), f"gate_polarity: POS or NEG, not {gate_polarity!r}"),
            (abs(threshold) <= 5.125, f"threshold_V must be within +-5.125, but is {threshold!r}"),
        )
        for fulfilled, complaint in rules:
            if not fulfilled:
                raise LimitError(f"{self.name}: argument {complaint}.")

    def _forget_what_configure_sets(self) -> None:
        for module in (self, self.input1, self.input2):
            for name, parameter in module.parameters.items():
                if name not in ("IDN", "timeout"):
                    parameter.cache.invalidate()

    def _drain(self, most: int) -> NDArray[np.float64]:
        """One `R?`: a definite block, read by its announced length."""
        end = self._reply_end.encode("ascii")

        def read(wire: Wire) -> NDArray[np.float64]:
            raw = wire.receive(lambda buffer: block_is_complete(buffer, end), longest=None)
            try:
                data = block_data(raw, end)
                readings = _readings(data)
            except ValueError as error:
                raise WireFailure(f"the answer is no block of readings: {error}", raw) from error
            self._note(f"<{readings.size} readings>", "<")
            return readings

        return cast("NDArray[np.float64]", self._exchange(f"R? {most}", read, repeat=False))

    def _check_identity(self, identity: Identity) -> None:
        if identity["model"] not in ("53220A", "53230A"):
            raise InstrumentError(
                f"{self.name} at {self.address} is no 53220A but {identity}. Check the address."
            )


def _readings(data: bytes) -> NDArray[np.float64]:
    """Readings of a block: text if it looks like text, else 64-bit big-endian numbers.

    The format is set by `configure_gated_totalize`, but another session may have
    changed it; a list of numbers in text cannot be mistaken for doubles, whose
    first byte of a count is 0x00, 0x3f or 0x40 ("@"), never a sign.
    """
    if not data:
        return np.empty(0)
    if data[:1] in (b"+", b"-"):
        return np.array([float(field) for field in data.decode("ascii").split(",")])
    return np.frombuffer(data, dtype=">f8").astype(np.float64)


def _integer(text: str) -> int:
    """An integer, also in the form +1.00000000000000E+003."""
    value = float(text)
    if value != int(value):
        raise ValueError(text)
    return int(value)


def _unquoted(text: str) -> str:
    return text.strip().strip('"').split(" ")[0]
