"""MOGLabs XRF421 agile RF synthesizer: two channels, one answer for each line.

Simulated: basic mode (NSB) and simple tables (TSB) in full text form. Analogue
modulation, automatic power, advanced tables, loops and binary upload are
refused with ``ERR``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar
from zlib import crc32

from ..lines import Stretch
from ..links import Link
from ..shots import Shot
from .base import SimulatedDevice, falling_edges
from .xrf_channel import Entry, Words, XRFChannel, amplitude_word, power_of_word
from .xrf_words import (
    Refused,
    amplitude_of,
    entry_of,
    frequency_of,
    phase_of,
    shown_frequency,
    shown_phase,
    shown_power,
    whole,
)

LARGEST_TABLE = 8191


class MOGLabsXRF(SimulatedDevice):
    """The synthesizer: outputs `ch1`, `ch2`, inputs `SEQ1`, `SEQ2` (TTL)."""

    outputs = ("ch1", "ch2")
    inputs = ("SEQ1", "SEQ2")
    latency = (1.0e-3, 0.3e-3)
    port = 7802
    defaults: ClassVar[Mapping[str, Any]] = {
        "info": "MOGLabs XRF421 agile RF synthesizer, serial {serial}",
        "version": "UNIT: XRF421 v1.12.2, FPGA: 1.4, serial: {serial}",
        "serial": "",  # empty: one that follows from the name, so that no two units share it
        "limit_dbm": 30.0,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._power_on()

    def _power_on(self) -> None:
        limit = float(self.settings["limit_dbm"])
        self.channels = {1: XRFChannel(limit), 2: XRFChannel(limit)}
        self.saved: dict[tuple[int, int], list[Entry]] = {}
        self.external_clock = False
        self._shot: dict[int, tuple[Stretch, ...]] = {}
        self._steady = True
        self._pending_error: str | None = None

    # -- wires --------------------------------------------------------------------------

    def begin(self, shot: Shot) -> None:
        """Run both channels through the shot."""
        before = [one.fingerprint(shot.start) for one in self.channels.values()]
        for number, channel in self.channels.items():
            edges: list[float] = []
            if shot.source is not None:
                edges = falling_edges(shot.input(self.name, f"SEQ{number}"), shot.period)
            self._shot[number] = channel.run(shot.start, shot.period, edges)
        after = [one.fingerprint(shot.start + shot.period) for one in self.channels.values()]
        self._steady = before == after

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """RF tones of a channel."""
        return self._shot.get(int(terminal[2:]), ())

    def steady(self, shot: Shot) -> bool:
        """Both channels end the shot as they began it."""
        return self._steady

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """`error_queue`: there is no queue here, the next line is refused."""
        if kind == "error_queue":
            self._pending_error = value or "Internal communication failure"

    # -- lines --------------------------------------------------------------------------

    def ending(self, link: Link) -> bytes:
        """CR LF."""
        return b"\r\n"

    def handle(self, message: str, link: Link) -> str | None:
        """One line in, one line out."""
        fields = [field.strip() for field in message.upper().split(",")]
        if self._pending_error is not None:
            text, self._pending_error = self._pending_error, None
            return f"ERR: {text}"
        try:
            method = _LINES.get(fields[0])
            if method is None:
                raise Refused(f"Unrecognised command: {fields[0]}")
            for channel in self.channels.values():
                channel.settle(self.now())
            return method(self, fields[1:])
        except Refused as refused:
            return f"ERR: {refused}"

    def _channel(self, fields: list[str]) -> XRFChannel:
        if not fields or fields[0] not in ("1", "2"):
            raise Refused(f"Invalid channel, {fields[0] if fields else 'none'}")
        return self.channels[int(fields[0])]

    def _with_serial(self, answer: str) -> str:
        serial = str(self.settings["serial"]) or f"A{crc32(self.name.encode()) % 100_000:05d}"
        return str(self.settings[answer]).replace("{serial}", serial)

    def _info(self, fields: list[str]) -> str:
        return self._with_serial("info")

    def _version(self, fields: list[str]) -> str:
        return self._with_serial("version")

    def _temperature(self, fields: list[str]) -> str:
        return "CH1: 41.2 degC, CH2: 41.9 degC, PSU: 36.0 degC"

    def _voltages(self, fields: list[str]) -> str:
        return "+5V: 5.02, +3V3: 3.31, +24V: 24.1"

    def _mode(self, fields: list[str]) -> str:
        channel = self._channel(fields)
        if len(fields) == 1:
            return channel.mode
        if fields[1] not in ("NSB", "NSA", "TSB", "TPA"):
            raise Refused(f"Unknown mode, {fields[1]}")
        channel.set_mode(fields[1])
        return f"OK: CH{fields[0]} mode is {fields[1]}, output off"

    def _on(self, fields: list[str]) -> str:
        return self._switch(fields, True)

    def _off(self, fields: list[str]) -> str:
        return self._switch(fields, False)

    def _switch(self, fields: list[str], on: bool) -> str:
        channel = self._channel(fields)
        which = fields[1] if len(fields) > 1 else "ALL"
        if which not in ("SIG", "POW", "ALL"):
            raise Refused(f"Unknown output, {which}")
        if which in ("SIG", "ALL"):
            channel.signal = on
        if which in ("POW", "ALL"):
            channel.power = on
        return f"OK: CH{fields[0]} {which} {'ON' if on else 'OFF'}"

    def _status(self, fields: list[str]) -> str:
        numbers = [fields[0]] if fields else ["1", "2"]
        shown = []
        for number in numbers:
            channel = self._channel([number])
            signal, power = ("ON" if one else "OFF" for one in (channel.signal, channel.power))
            shown.append(f"CH{number} SIG: {signal}, POW: {power}")
        return "; ".join(shown)

    def _frequency(self, fields: list[str]) -> str:
        channel = self._channel(fields)
        if len(fields) == 1:
            return shown_frequency(channel.words)
        if channel.mode not in ("NSB", "TPA"):
            raise Refused(f"Command not available in mode {channel.mode}")
        old = channel.words
        channel.words = Words(frequency_of(fields[1]), old.amplitude, old.phase)
        return f"OK: CH{fields[0]} freq now {shown_frequency(channel.words)}"

    def _power(self, fields: list[str]) -> str:
        channel = self._channel(fields)
        if len(fields) == 1:
            return shown_power(channel.words)
        old = channel.words
        channel.words = Words(old.frequency, amplitude_of(fields[1], channel.limit_dbm), old.phase)
        return f"OK: CH{fields[0]} power now {shown_power(channel.words)}"

    def _phase(self, fields: list[str]) -> str:
        channel = self._channel(fields)
        if len(fields) == 1:
            return shown_phase(channel.words)
        old = channel.words
        channel.words = Words(old.frequency, old.amplitude, phase_of(fields[1]))
        return f"OK: CH{fields[0]} phase now {shown_phase(channel.words)}"

    def _limit(self, fields: list[str]) -> str:
        channel = self._channel(fields)
        if len(fields) > 1:
            channel.limit_dbm = power_of_word(amplitude_of(fields[1], 36.0))
            if channel.words.dbm > channel.limit_dbm:
                old = channel.words
                word = amplitude_word(channel.limit_dbm)
                channel.words = Words(old.frequency, word, old.phase)
        word = amplitude_word(channel.limit_dbm)
        shown = f"{channel.limit_dbm:+.2f} dBm (0x{word:04X})"
        return shown if len(fields) == 1 else f"OK: CH{fields[0]} limit now {shown}"

    def _clock_source(self, fields: list[str]) -> str:
        if not fields:
            return "EXT" if self.external_clock else "INT"
        if fields[0] not in ("INT", "EXT"):
            raise Refused(f"Unknown clock source, {fields[0]}")
        self.external_clock = fields[0] == "EXT"
        return f"OK: clock source {fields[0]}"

    def _clock_report(self, fields: list[str]) -> str:
        return "PLL1: LOCKED, PLL2: LOCKED, DDS: LOCKED"

    def _accept(self, fields: list[str]) -> str:
        return "OK"

    def _extio(self, fields: list[str]) -> str:
        if len(fields) >= 4 and fields[0] == "MODE":
            channel = self._channel(fields[1:])
            if fields[3] == "AUTO":
                channel.manual_pins.discard(fields[2])
            else:
                channel.manual_pins.add(fields[2])
        return "OK"

    # -- tables -------------------------------------------------------------------------

    def _table(self, fields: list[str]) -> str:
        word = fields[0] if fields else ""
        method = _TABLE.get(word)
        if method is None:
            raise Refused(f"TABLE,{word} not recognised")
        return method(self, self._channel(fields[1:]), fields[1:])

    def _clear_table(self, channel: XRFChannel, fields: list[str]) -> str:
        channel.stop(self.now())
        channel.table = []
        return "OK: table cleared"

    def _append(self, channel: XRFChannel, fields: list[str]) -> str:
        if len(channel.table) >= LARGEST_TABLE:
            raise Refused(f"Table full, {LARGEST_TABLE} entries")
        channel.table.append(entry_of(fields[1:], channel))
        return f"OK: entry {len(channel.table)}"

    def _set_entry(self, channel: XRFChannel, fields: list[str]) -> str:
        number = whole(fields, 1, 1, LARGEST_TABLE)
        if len(fields) == 2:
            if number > len(channel.table):
                raise Refused(f"No entry {number}")
            entry = channel.table[number - 1]
            return (
                f"{shown_frequency(entry.words)}, {shown_power(entry.words)}, "
                f"{shown_phase(entry.words)}, {entry.microseconds} us"
            )
        entry = entry_of(fields[2:], channel)
        while len(channel.table) < number:
            channel.table.append(entry)
        channel.table[number - 1] = entry
        return f"OK: entry {number}"

    def _entries(self, channel: XRFChannel, fields: list[str]) -> str:
        if len(fields) == 1:
            return str(len(channel.table))
        number = whole(fields, 1, 0, LARGEST_TABLE)
        if number > len(channel.table):
            raise Refused(f"Only {len(channel.table)} entries defined")
        del channel.table[number:]
        return f"OK: {number} entries"

    def _arm(self, channel: XRFChannel, fields: list[str]) -> str:
        if channel.mode != "TSB":
            raise Refused(f"Cannot arm in mode {channel.mode}")
        if not channel.table:
            raise Refused("Table is empty")
        if channel.manual_pins:
            raise Refused(f"IO pin {min(channel.manual_pins)} is not in AUTO mode")
        channel.arm()
        return f"OK: CH{fields[0]} armed"

    def _rearm(self, channel: XRFChannel, fields: list[str]) -> str:
        if len(fields) == 1:
            return "ON" if channel.rearm else "OFF"
        if fields[1] not in ("ON", "OFF", "1", "0"):
            raise Refused(f"Invalid argument, {fields[1]}")
        channel.rearm = fields[1] in ("ON", "1")
        return f"OK: rearm {'ON' if channel.rearm else 'OFF'}"

    def _start(self, channel: XRFChannel, fields: list[str]) -> str:
        if not channel.start(self.now()):
            raise Refused("Table not armed")
        return "OK: table started"

    def _stop(self, channel: XRFChannel, fields: list[str]) -> str:
        channel.stop(self.now())
        return "OK: table stopped"

    def _table_status(self, channel: XRFChannel, fields: list[str]) -> str:
        if channel.started is not None:
            return "RUNNING"
        return "ARMED" if channel.armed else "IDLE"

    def _save(self, channel: XRFChannel, fields: list[str]) -> str:
        self.saved[int(fields[0]), whole(fields, 1, 1, 4)] = list(channel.table)
        return "OK: saved"

    def _load(self, channel: XRFChannel, fields: list[str]) -> str:
        slot = int(fields[0]), whole(fields, 1, 1, 4)
        if slot not in self.saved:
            raise Refused(f"Slot {slot[1]} is empty")
        channel.stop(self.now())
        channel.table = list(self.saved[slot])
        return "OK: loaded"

    def _not_simulated(self, channel: XRFChannel, fields: list[str]) -> str:
        raise Refused("Not available on this simulated unit")


_X = MOGLabsXRF
_LINES: dict[str, Callable[[MOGLabsXRF, list[str]], str]] = {
    "INFO": _X._info, "VERSION": _X._version, "TEMP": _X._temperature, "VMON": _X._voltages,
    "MODE": _X._mode, "ON": _X._on, "OFF": _X._off, "STATUS": _X._status,
    "FREQ": _X._frequency, "FREQUENCY": _X._frequency, "POW": _X._power, "POWER": _X._power,
    "PHASE": _X._phase, "PHAS": _X._phase, "LIMIT": _X._limit, "LIM": _X._limit,
    "CLKSRC": _X._clock_source, "CLKDIAG": _X._clock_report, "EXTIO": _X._extio,
    "DEBOUNCE": _X._accept, "SYNC": _X._accept, "PHRESET": _X._accept, "TABLE": _X._table,
}  # fmt: skip
_TABLE: dict[str, Callable[[MOGLabsXRF, XRFChannel, list[str]], str]] = {
    "CLEAR": _X._clear_table, "APPEND": _X._append, "ENTRY": _X._set_entry,
    "ENTRIES": _X._entries, "ARM": _X._arm, "REARM": _X._rearm, "START": _X._start,
    "STOP": _X._stop, "STATUS": _X._table_status, "SAVE": _X._save, "LOAD": _X._load,
    "NORESET": lambda device, channel, fields: "OK", "LOOP": _X._not_simulated,
    "RAMP": _X._not_simulated, "RESTART": _X._not_simulated, "SYNC": _X._not_simulated,
    "UPLOAD": _X._not_simulated, "DUMP": _X._not_simulated, "INSERT": _X._not_simulated,
    "DELETE": _X._not_simulated, "XPARAM": _X._not_simulated,
}  # fmt: skip
