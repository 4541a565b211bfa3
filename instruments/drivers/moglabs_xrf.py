"""MOGLabs XRF agile RF synthesizer: two channels of RF for AOMs, steady or from tables.

Every line sent gets exactly one line back; a refused command answers `ERR`.
Two commands do more than they say: `MODE` switches the channel's output off,
and `TABLE,ARM` switches it on. The last entry of a table stays after it, so a
table must end dark here. `LIMIT` is not obeyed in every mode, so this driver
compares each power with it before sending.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from qcodes.instrument import InstrumentChannel, VisaInstrumentKWArgs
from qcodes.validators import Enum, Numbers

from ..errors import InstrumentError, LimitError
from ..journal import Journal
from .base import CavityLabInstrument, Refusal
from .linked import Identity
from .moglabs_xrf_language import (
    ChannelStatus,
    TableEntry,
    is_refusal,
    parse_acknowledgement,
    parse_frequency,
    parse_info,
    parse_mode,
    parse_phase,
    parse_power,
    parse_status,
)

if TYPE_CHECKING:
    from qcodes.parameters import Parameter
    from typing_extensions import Unpack

__all__ = ["UNVERIFIED", "ChannelStatus", "MOGLabsXRF", "TableEntry", "XRFChannel"]

T = TypeVar("T")

UNVERIFIED: tuple[str, ...] = (
    "Wording of the answer to TABLE,STATUS: given to the user as text.",
    "Form of the answers to MODE,ch and LIMIT,ch: read like the other questions.",
    "Form of INFO and VERSION: model and serial number are searched in the text.",
    "ON and OFF as the switch of TABLE,REARM.",
    "Answer time of a command; nothing here depends on it but the time-out.",
)
"""What no source at hand states; to be tried on the real unit."""

MODES = ("NSB", "NSA", "TSB", "TPA")
LOWEST_FREQUENCY, HIGHEST_FREQUENCY = 20e6, 400e6
LOWEST_POWER, HIGHEST_POWER = -50.0, 36.0
"""dBm; the limit set on the unit lies below."""
HIGHEST_POWER_021 = 16.0
"""dBm, for models without the 4 W amplifiers."""
LONGEST_TABLE = 8191
DURATION_GRID = 1e-6
"""Seconds; durations of the entries of a simple table (TSB)."""
LONGEST_DURATION = (2**20 - 1) * DURATION_GRID
LONGEST_DURATION_IOSET = (2**16 - 1) * DURATION_GRID
DARK = "0x0"
"""Amplitude register of an entry without RF."""


class XRFChannel(InstrumentChannel["MOGLabsXRF"]):
    """One RF output."""

    def __init__(self, parent: MOGLabsXRF, number: int) -> None:
        super().__init__(parent, f"ch{number}")
        self.number = number
        self._table_is_ours = False
        self._known: dict[str, str | float] = {}
        self.frequency: Parameter[float, XRFChannel] = self.add_parameter(
            "frequency",
            unit="Hz",
            get_cmd=lambda: self._read("FREQ", parse_frequency, "a frequency"),
            set_cmd=lambda hertz: self._send("FREQ", f"{hertz / 1e6:.9f}MHz"),
            vals=Numbers(LOWEST_FREQUENCY, HIGHEST_FREQUENCY),
        )
        """Frequency in Hz, rounded by the unit to steps of 0.23 Hz."""
        self.power: Parameter[float, XRFChannel] = self.add_parameter(
            "power",
            unit="dBm",
            get_cmd=lambda: self._read("POW", parse_power, "a power"),
            set_cmd=self._set_power,
            vals=Numbers(LOWEST_POWER, HIGHEST_POWER),
        )
        """Power in dBm; above `limit` it is refused and nothing is sent."""
        self.phase: Parameter[float, XRFChannel] = self.add_parameter(
            "phase",
            unit="deg",
            get_cmd=lambda: self._read("PHASE", parse_phase, "a phase"),
            set_cmd=lambda degrees: self._send("PHASE", f"{degrees % 360.0:.4f}deg"),
            vals=Numbers(),
        )
        """Phase in degrees, wrapped into 0 to 360."""
        self.limit: Parameter[float, XRFChannel] = self.add_parameter(
            "limit",
            unit="dBm",
            get_cmd=self._get_limit,
            set_cmd=self._set_limit,
            vals=Numbers(LOWEST_POWER, HIGHEST_POWER),
        )
        """Ceiling of the power in dBm; lowering it lowers the present power too."""
        self.mode: Parameter[str, XRFChannel] = self.add_parameter(
            "mode", get_cmd=self._get_mode, set_cmd=self._set_mode, vals=Enum(*MODES)
        )
        """NSB basic, NSA direct, TSB simple table, TPA advanced table. **Setting it switches
        the channel's output off**, also to the mode it is in."""

    # ---- output ----------------------------------------------------------------------

    def on(self) -> None:
        """Signal and amplifier on; the amplifier takes 2 s to settle. Never repeated."""
        self.parent.write(f"ON,{self.number}")

    def off(self) -> None:
        """Signal and amplifier off."""
        self.parent.write(f"OFF,{self.number}")

    def signal(self, on: bool) -> None:
        """The RF switch alone, while the amplifier stays as it is."""
        self.parent.write(f"{'ON' if on else 'OFF'},{self.number},SIG")

    def status(self) -> ChannelStatus:
        """Whether signal and amplifier are on."""
        return self._read("STATUS", parse_status, "a status with SIG and POW")

    def forward_power(self) -> float:
        """Measured forward power in dBm."""
        return self.parent.ask_parsed(f"ADC,{self.number},F", parse_power, "a power")

    # ---- tables ----------------------------------------------------------------------

    def load_table(self, entries: Sequence[TableEntry]) -> None:
        """Replace the channel's table; it is not started, and the output stays off.

        The channel is put into mode TSB if it is in another.

        Args:
            entries: 1 to 8191 entries, the last one dark.

        Raises:
            LimitError: If an entry is out of range, or the last one is not dark;
                nothing was sent.
            InstrumentError: If the unit refuses.
        """
        lines = [f"TABLE,APPEND,{self.number},{text}" for text in self._checked_entries(entries)]
        with self.parent.group():
            if self.mode() != "TSB":
                self.mode("TSB")
            self._table_is_ours = False
            self.parent.write(f"TABLE,CLEAR,{self.number}")
            for line in lines:
                self.parent.write(line)
            self._table_is_ours = True

    def arm(self) -> None:
        """Make the table ready for a falling edge on SEQ. **Switches the RF on.** Never repeated.

        Raises:
            InstrumentError: If this session loaded no table, or the unit refuses.
        """
        if not self._table_is_ours:
            raise InstrumentError(
                f"{self.full_name}: this session loaded no table, and arming switches the RF on "
                "with whatever table is there. Call load_table first."
            )
        self.parent.write(f"TABLE,ARM,{self.number}")

    def rearm(self, on: bool) -> None:
        """Whether the table arms itself again when it has ended."""
        self.parent.write(f"TABLE,REARM,{self.number},{'ON' if on else 'OFF'}")

    def start(self) -> None:
        """Start the armed table at once. Never repeated."""
        self.parent.write(f"TABLE,START,{self.number}")

    def stop(self) -> None:
        """Stop the table; **the RF stays as the current entry left it**, see `off`."""
        self.parent.write(f"TABLE,STOP,{self.number}")

    def table_status(self) -> str:
        """State of the table in the unit's words."""
        return self.parent.ask(f"TABLE,STATUS,{self.number}")

    # ---- details ---------------------------------------------------------------------

    def forget(self) -> None:
        """After a restart of the unit: no table of ours, no known setting."""
        self._table_is_ours = False
        self._known.clear()

    def changed_settings(self) -> list[str]:
        """Settings that are no longer what this session last saw, in words."""
        found: dict[str, str | float] = {}
        known = dict(self._known)
        if "mode" in known:
            found["mode"] = self._get_mode()
        if "limit" in known:
            found["limit"] = self._get_limit()
        return [
            f"{name} of {self.short_name} is {value}, was {known[name]}"
            for name, value in found.items()
            if value != known[name]
        ]

    def _set_power(self, dbm: float) -> None:
        self._refuse_power(dbm, "power")
        self._send("POW", f"{dbm:.3f}dBm")

    def _set_limit(self, dbm: float) -> None:
        if dbm > self.parent.highest_power:
            raise LimitError(
                f"{self.full_name}: the limit must be at most {self.parent.highest_power:g} dBm "
                f"on this model, but is {dbm:g} dBm."
            )
        self._known.pop("limit", None)
        self._send("LIMIT", f"{dbm:.3f}dBm")
        found = self._get_limit()
        if found > dbm + 0.05:
            raise InstrumentError(
                f"{self.full_name}: the limit was set to {dbm:g} dBm, but the unit answers "
                f"{found:g} dBm. Keep the output off and check the unit."
            )

    def _get_limit(self) -> float:
        limit = self._read("LIMIT", parse_power, "a power")
        self._known["limit"] = limit
        return limit

    def _set_mode(self, mode: str) -> None:
        self._known.pop("mode", None)
        self._table_is_ours = False
        self._send("MODE", mode)
        self._known["mode"] = mode

    def _get_mode(self) -> str:
        mode = self._read("MODE", parse_mode, "one of the modes")
        self._known["mode"] = mode
        return mode

    def _refuse_power(self, dbm: float, where: str) -> None:
        limit = min(float(self.limit.cache.get()), self.parent.highest_power)
        if not LOWEST_POWER <= dbm <= limit + 1e-9:
            raise LimitError(
                f"{self.full_name}: {where} must be {LOWEST_POWER:g} to {limit:g} dBm (limit of "
                f"the channel), but is {dbm:g} dBm."
            )

    def _checked_entries(self, entries: Sequence[TableEntry]) -> list[str]:
        if not 1 <= len(entries) <= LONGEST_TABLE:
            raise LimitError(
                f"{self.full_name}: a table has 1 to {LONGEST_TABLE} entries, not {len(entries)}."
            )
        if entries[-1].power is not None:
            raise LimitError(
                f"{self.full_name}: the last entry of a table stays after it, so it must be dark "
                f"(power None), but has {entries[-1].power:g} dBm. Append a dark entry."
            )
        return [self._entry_text(number, entry) for number, entry in enumerate(entries, 1)]

    def _entry_text(self, number: int, entry: TableEntry) -> str:
        where = f"{self.full_name}: entry {number}"
        if not LOWEST_FREQUENCY <= entry.frequency <= HIGHEST_FREQUENCY:
            raise LimitError(f"{where}: frequency {entry.frequency!r} Hz is not in 20 to 400 MHz.")
        if entry.power is not None:
            self._refuse_power(entry.power, f"power of entry {number}")
        if not math.isfinite(entry.phase):
            raise LimitError(f"{where}: phase {entry.phase!r} deg is not finite.")
        longest = LONGEST_DURATION_IOSET if "IOSET" in entry.flags else LONGEST_DURATION
        ticks = round(entry.duration / DURATION_GRID) if math.isfinite(entry.duration) else 0
        if not (
            DURATION_GRID <= ticks * DURATION_GRID <= longest * (1 + 1e-12)
            and abs(entry.duration - ticks * DURATION_GRID) <= 1e-9
        ):
            raise LimitError(
                f"{where}: duration must be a multiple of 1 us, 1 us to {longest:g} s, but is "
                f"{entry.duration!r} s."
            )
        power = DARK if entry.power is None else f"{entry.power:.3f}dBm"
        text = f"{entry.frequency / 1e6:.9f}MHz,{power},{entry.phase % 360.0:.4f}deg,{ticks}us"
        return f"{text},{entry.flags}" if entry.flags else text

    def _read(self, command: str, parser: Callable[[str], T], expected: str) -> T:
        return self.parent.ask_parsed(f"{command},{self.number}", parser, expected)

    def _send(self, command: str, value: str) -> None:
        self.parent.write(f"{command},{self.number},{value}")


class MOGLabsXRF(CavityLabInstrument):
    """XRF421 or XRF021 over TCP port 7802 or its USB serial port.

    Facts no source states are listed in `UNVERIFIED`.

    Args:
        name: Name of the instrument in QCoDeS.
        address: For instance `TCPIP0::192.168.1.10::7802::SOCKET`.
        journal: Register of the messages.
        **kwargs: Passed on to `VisaInstrument`.
    """

    write_end = "\r\n"
    read_end = "\r\n"
    forbidden = (r"REBOOT",)

    def __init__(
        self,
        name: str,
        address: str,
        *,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        super().__init__(name, address, journal=journal, **kwargs)
        self.highest_power = HIGHEST_POWER
        """Largest power of this model in dBm."""
        self.ch1 = XRFChannel(self, 1)
        """Channel 1."""
        self.ch2 = XRFChannel(self, 2)
        """Channel 2."""
        self.add_submodule("ch1", self.ch1)
        self.add_submodule("ch2", self.ch2)
        self.connect_message()

    def write(self, cmd: str) -> None:
        """Send a command and take its answer.

        Raises:
            LinkError: If there is no answer, or one that is neither `OK` nor `ERR`; it
                is unknown whether the command was obeyed.
            InstrumentError: If the answer is `ERR`.
        """
        answer = super().ask_parsed(cmd, parse_acknowledgement, "OK or ERR", repeat=False)
        if is_refusal(answer):
            raise self._refusal(cmd, answer)

    def ask_parsed(
        self, cmd: str, parser: Callable[[str], T], expected: str, *, repeat: bool | None = None
    ) -> T:
        """Ask a question; an answer `ERR` is raised as `InstrumentError`."""

        def read(answer: str) -> T | Refusal:
            return Refusal(answer) if is_refusal(answer) else parser(answer)

        value = super().ask_parsed(cmd, read, expected, repeat=repeat)
        if isinstance(value, Refusal):
            raise self._refusal(cmd, value)
        return value

    def get_idn(self) -> Identity:
        """Identity from `INFO` and `VERSION`, since there is no `*IDN?`."""
        identity = self.ask_parsed("INFO", parse_info, "text naming an XRF or ARF")
        return identity | {"firmware": " ".join(self.ask("VERSION").split())}

    def _refusal(self, cmd: str, answer: str) -> InstrumentError:
        return InstrumentError(
            f"{self.name} at {self.address} refused {cmd!r}: {answer}. Check the value against "
            "the channel's mode and limit."
        )

    def _is_pure_question(self, message: str) -> bool:
        pure = (
            r"(INFO|VERSION|TEMP|VMON|(FREQ|POW|PHASE|LIMIT|MODE|STATUS|TABLE,STATUS),\d|ADC,\d,F)"
        )
        return re.fullmatch(pure, message.strip(), re.IGNORECASE) is not None

    def _check_identity(self, identity: Identity) -> None:
        model = (identity["model"] or "").upper()
        if "RF" not in model:
            raise InstrumentError(
                f"{self.name} at {self.address} is no MOGLabs XRF but {identity}. Check "
                "the address."
            )
        self.highest_power = HIGHEST_POWER_021 if "021" in model else HIGHEST_POWER

    def _settings_survived(self) -> str:
        changed = [*self.ch1.changed_settings(), *self.ch2.changed_settings()]
        if changed:
            self.ch1.forget()
            self.ch2.forget()
        return "; ".join(changed)
