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
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from qcodes.instrument import InstrumentChannel, VisaInstrumentKWArgs
from qcodes.validators import Enum, Numbers

from ..errors import InstrumentError, LimitError
from ..journal import Journal
from .base import CavityLabInstrument, Refusal
from .linked import Identity
from .moglabs_xrf_language import (
    PURE_QUESTION,
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
from .moglabs_xrf_table import DARK, TableRecord, changed_channels, microseconds

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
    "That TABLE,STOP and TABLE,ENTRY leave the other entries as they are.",
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


class XRFChannel(InstrumentChannel["MOGLabsXRF"]):
    """One RF output."""

    def __init__(self, parent: MOGLabsXRF, number: int) -> None:
        super().__init__(parent, f"ch{number}")
        self.number = number
        self._table_is_ours = False
        self.table = TableRecord(number)
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

        Of a table that this session loaded and stopped, only the entries that differ are sent.

        The channel is put into mode TSB if it is in another.

        Args:
            entries: 1 to 8191 entries, the last one dark.

        Raises:
            LimitError: If an entry is out of range, or the last one is not dark;
                nothing was sent.
            InstrumentError: If the unit refuses.
        """
        lines = self._checked_entries(entries)
        with self.parent.group():
            if self.parent.link_is_dirty:
                self.table.forget()
            if not self.table.known and self.mode() != "TSB":
                self.mode("TSB")
            self._table_is_ours = False
            for message in self.table.messages(lines):
                self.parent.obey(message)
            self.table.kept(lines)
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
        self.table.started()
        self.parent.obey(f"TABLE,ARM,{self.number}")

    def rearm(self, on: bool) -> None:
        """Whether the table arms itself again when it has ended."""
        self.parent.obey(f"TABLE,REARM,{self.number},{'ON' if on else 'OFF'}")

    def start(self) -> None:
        """Start the armed table at once. Never repeated."""
        self.table.started()
        self.parent.obey(f"TABLE,START,{self.number}")

    def stop(self) -> None:
        """Stop the table; **the RF stays as the current entry left it**, see `off`."""
        self.parent.obey(f"TABLE,STOP,{self.number}")
        self.table.stopped()

    def table_status(self) -> str:
        """State of the table in the unit's words."""
        return self.parent.ask(f"TABLE,STATUS,{self.number}")

    # ---- details ---------------------------------------------------------------------

    def forget(self) -> None:
        """After a restart of the unit: no table of ours, no known setting."""
        self._table_is_ours = False
        self._known.clear()
        self.table.forget()

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
        limit = self.limit.cache.get()
        return [
            self.table.once((entry, limit), partial(self._entry_text, n, entry))
            for n, entry in enumerate(entries, 1)
        ]

    def _entry_text(self, number: int, entry: TableEntry) -> str:
        where = f"{self.full_name}: entry {number}"
        if not LOWEST_FREQUENCY <= entry.frequency <= HIGHEST_FREQUENCY:
            raise LimitError(f"{where}: frequency {entry.frequency!r} Hz is not in 20 to 400 MHz.")
        if entry.power is not None:
            self._refuse_power(entry.power, f"power of entry {number}")
        if not math.isfinite(entry.phase):
            raise LimitError(f"{where}: phase {entry.phase!r} deg is not finite.")
        ticks = microseconds(entry, where)
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
        self._forget_tables(changed_channels(cmd))
        self.obey(cmd)

    def obey(self, cmd: str) -> None:
        """`write` for the channels, which know what they change."""
        try:
            answer = super().ask_parsed(cmd, parse_acknowledgement, "OK or ERR", repeat=False)
            if is_refusal(answer):
                raise self._refusal(cmd, answer)
        except BaseException:
            self._forget_tables()
            raise

    def _forget_tables(self, channels: str = "12") -> None:
        for number in channels:
            (self.ch1 if number == "1" else self.ch2).table.forget()

    def ask_parsed(
        self, cmd: str, parser: Callable[[str], T], expected: str, *, repeat: bool | None = None
    ) -> T:
        """Ask a question; an answer `ERR` is raised as `InstrumentError`."""
        self._forget_tables(changed_channels(cmd))

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
        return re.fullmatch(PURE_QUESTION, message.strip(), re.IGNORECASE) is not None

    def _check_identity(self, identity: Identity) -> None:
        model = (identity["model"] or "").upper()
        if "RF" not in model:
            raise InstrumentError(
                f"{self.name} at {self.address} is no MOGLabs XRF but {identity}. Check "
                "the address."
            )
        self.highest_power = HIGHEST_POWER_021 if "021" in model else HIGHEST_POWER

    def _settings_survived(self) -> str:
        self._forget_tables()
        changed = [*self.ch1.changed_settings(), *self.ch2.changed_settings()]
        for channel in (self.ch1, self.ch2) if changed else ():
            channel.forget()
        return "; ".join(changed)
