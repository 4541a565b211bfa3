"""SRS DG645 delay generator: the device that fires the shots.

Its language is not SCPI: four letters, parameters behind commas, error codes
in `LERR?`. Prescaling and the advanced trigger are kept but do not act.
Edges of another control system: `external_edge`, or by the clock (`dg645_trigger.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, ClassVar

from ..lines import Stretch, either
from ..links import Link
from ..shots import Burst, Shot
from .base import SimulatedDevice, logic
from .dg645_delays import Delays
from .dg645_settings import (
    EDGES,
    OUTPUTS,
    SETTINGS,
    Refused,
    Setting,
    channel_code,
    expect,
    integer,
    real,
    understood,
)
from .dg645_status import COMMON_BITS, Event, Status
from .dg645_trigger import ForeignTrigger

RECOVERY = 25e-9
SHORTEST_CYCLE = 100e-9
FREE_RUN = 2**31
_ENDS = re.compile(rb"[;\r\n]")


class SRSDG645(SimulatedDevice):
    """The delay generator: outputs T0, AB, CD, EF, GH; `EF|GH` is a rear OR output.

    The rear outputs are TTL whatever the levels and polarities in front.
    """

    outputs = OUTPUTS
    latency = (3.0e-3, 0.5e-3)
    port = 5025
    defaults: ClassVar[Mapping[str, Any]] = {
        "idn": "Stanford Research Systems,DG645,s/n001013,ver1.00.10A",
        "trigger_period": 0.0,
        "trigger_first": 0.0,
        "trigger_count": 0,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.status = Status()
        self.saved: dict[int, tuple[dict[tuple[str, int], float], Delays]] = {}
        self.owner: Link | None = None
        self.endings: dict[int, bytes] = {}
        self.burst: Burst | None = None
        self.armed = False
        self._reported: Burst | None = None
        self._ended = 0
        self._foreign = ForeignTrigger(self.settings)
        self.restless = self._foreign.connected
        self._reset()

    def _reset(self) -> None:
        self._shown: dict[Hashable, tuple[Stretch, ...]] = {}
        self.values: dict[tuple[str, int], float] = {
            (name, index): setting.reset
            for name, setting in SETTINGS.items()
            for index in setting.indices
        }
        self.delays = Delays()

    # -- messages -----------------------------------------------------------------------

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Commands end with `;`, CR or LF; more than 255 bytes without an end are lost."""
        *messages, rest = _ENDS.split(data)
        if len(rest) > 255:
            self.status.error(30)
            rest = b""
        return [one.strip() for one in messages if one.strip()], rest

    def ending(self, link: Link) -> bytes:
        """CR LF, unless the session has chosen otherwise with XTRM."""
        return self.endings.get(id(link), b"\r\n")

    def closed(self, link: Link) -> None:
        """A closed session gives up its lock."""
        self.endings.pop(id(link), None)
        if self.owner is link:
            self.owner = None

    def handle(self, message: str, link: Link) -> str | None:
        """Obey one command."""
        self._look()
        try:
            name, question, parameters = understood(message)
            return self._obey(name, question, list(parameters), link)
        except Refused as refused:
            self.status.error(refused.code)
            return None

    def _obey(self, name: str, question: bool, parameters: list[str], link: Link) -> str | None:
        if "" in parameters:
            raise Refused(114)
        if not question and self.owner not in (None, link) and name not in ("*CLS",):
            raise Refused(15)
        if name in SETTINGS:
            return self._setting(SETTINGS[name], question, parameters)
        method = _QUESTIONS.get(name) if question else _COMMANDS.get(name)
        if method is None:
            known = name in _QUESTIONS or name in _COMMANDS
            raise Refused((112 if question else 113) if known else 111)
        return method(self, parameters, link)

    def _setting(self, setting: Setting, question: bool, parameters: list[str]) -> str | None:
        index = setting.indices[0]
        if setting.indexed:
            if not parameters:
                raise Refused(116)
            index = integer(parameters.pop(0))
            if index not in setting.indices:
                raise Refused(10)
        if question:
            expect(parameters, 0)
            return setting.show(self.values[setting.name, index])
        expect(parameters, 1)
        value = setting.parse(parameters[0])
        if setting.name in ("LAMP", "LOFF"):
            other = self.values["LOFF" if setting.name == "LAMP" else "LAMP", index]
            if value + other >= 6.0:
                raise Refused(10)
        self._abort_if(setting.aborts)
        self._shown.clear()
        self.values[setting.name, index] = value
        if setting.name in ("TSRC", "TRAT", "BURM"):
            self._free_run()
        return None

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """`error_queue`: the error code `value`, or 40."""
        if kind == "error_queue":
            self.status.error(int(value or 40))

    # -- delays -------------------------------------------------------------------------

    @property
    def cycle(self) -> float:
        """Length of a delay cycle: T0 is high until its end, seconds."""
        return max(self.values["HOLD", 0], self.delays.longest() + RECOVERY, SHORTEST_CYCLE)

    def _set_delay(self, parameters: list[str], link: Link) -> None:
        expect(parameters, 3)
        channel, reference = channel_code(parameters[0]), channel_code(parameters[1])
        self._change(self.delays.relinked(channel, reference, real(parameters[2])))

    def _change(self, delays: Delays) -> None:
        self._abort_if(True)
        self._shown.clear()
        self.delays = delays

    def _set_link(self, parameters: list[str], link: Link) -> None:
        expect(parameters, 2)
        channel, reference = channel_code(parameters[0]), channel_code(parameters[1])
        after = self.delays.after.get(channel, 0.0)
        self._change(self.delays.relinked(channel, reference, after))

    def _get_delay(self, parameters: list[str], link: Link) -> str:
        expect(parameters, 1)
        channel = channel_code(parameters[0])
        if channel == 0:
            raise Refused(13)
        if channel == 1:
            return f"0,{self.cycle:+.12f}"
        return f"{self.delays.links[channel]},{self.delays.after[channel]:+.12f}"

    def _get_link(self, parameters: list[str], link: Link) -> str:
        expect(parameters, 1)
        channel = channel_code(parameters[0])
        if channel in (0, 1):
            raise Refused(13)
        return str(self.delays.links[channel])

    # -- triggers -----------------------------------------------------------------------

    def busy(self, time: float | None = None) -> tuple[bool, bool]:
        """Whether a delay cycle is running, now or at `time`, and whether a burst is."""
        burst, now = self.burst, self.now() if time is None else time
        if burst is None or now >= burst.finish:
            return False, False
        since = now - burst.start
        in_cycle = since >= 0 and since % burst.period < self.cycle
        return in_cycle, bool(self.values["BURM", 0])

    def _look(self) -> None:
        """Set the flags of what has happened since the last message."""
        burst = self.burst
        if burst is None or self._reported is burst:
            return
        ended = burst.begun(self.now() - self.cycle)
        if ended > self._ended:
            self._ended = ended
            self.status.instrument |= Event.END_OF_DELAY
        if self.now() >= burst.finish - 1e-12:
            self._reported = burst
            if self.values["BURM", 0]:
                self.status.instrument |= Event.END_OF_BURST

    def _abort_if(self, aborts: bool) -> None:
        if aborts and any(self.busy()) and self.burst is not None:
            self.laboratory.abort(self.burst)
            self._reported = self.burst
            self.status.instrument |= Event.ABORT_DELAY

    def _trigger(self, parameters: list[str], link: Link) -> None:
        source = self.values["TSRC", 0]
        if source in (3, 4):
            self.armed = True
        elif source == 5:
            self._fire()
        else:
            raise Refused(11)

    def catch_up(self) -> None:
        """Obey the edges that another control system has sent meanwhile."""
        for time in self._foreign.due(self.now()):
            self.external_edge(time=time)

    def external_edge(self, rising: bool = True, time: float | None = None) -> None:
        """An edge at the external trigger input, now or at `time`."""
        with self.laboratory.lock:
            self._look()
            source = self.values["TSRC", 0]
            wanted = (1, 3) if rising else (2, 4)
            if source not in wanted or (source in (3, 4) and not self.armed):
                return
            self.armed = False
            self._fire(time)

    def _fire(self, time: float | None = None) -> None:
        start = self.now() if time is None else time
        if any(self.busy(start)):
            self.status.instrument |= Event.RATE
            return
        count, period = 1, self.cycle
        if self.values["BURM", 0]:
            count, period = int(self.values["BURC", 0]), self.values["BURP", 0]
            start += self.values["BURD", 0]
            if period < self.cycle:
                # triggers that come during a cycle are lost
                self.status.instrument |= Event.RATE
                skip = math.ceil(self.cycle / period)
                count, period = math.ceil(count / skip), period * skip
        self._launch(start, period, count)

    def _launch(self, start: float, period: float, count: int) -> None:
        burst = self.laboratory.fire(self.name, start, period, count)
        if burst is not None:
            self.burst, self._ended = burst, 0
            self.status.instrument |= Event.TRIG

    def _free_run(self) -> None:
        """Internal trigger: cycles follow each other until the source is changed."""
        internal = self.values["TSRC", 0] == 0 and not self.values["BURM", 0]
        if internal:
            rate = self.values["TRAT", 0]
            skip = math.ceil(self.cycle * rate)
            if skip > 1:
                self.status.instrument |= Event.RATE
            self._launch(self.now(), max(skip, 1) / rate, FREE_RUN)

    # -- wires --------------------------------------------------------------------------

    def _window(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """When an output's pulse is there, whatever its levels."""
        if shot.source != self.name:
            return ()
        if terminal == "T0":
            first_only = self.values["BURM", 0] and self.values["BURT", 0]
            start, stop = 0.0, 0.0 if first_only and shot.index else self.cycle
        else:
            start, stop = sorted(self.delays.time_of(channel) for channel in EDGES[terminal])
        stop = min(stop, shot.period)
        return (Stretch(start, stop, True),) if stop > start else ()

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """What a TTL input sees of a front output; the same until a setting changes."""
        key = terminal, shot.period, shot.index > 0, shot.source == self.name
        if key not in self._shown:
            self._shown[key] = self._level(terminal, shot)
        return self._shown[key]

    def _level(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        output = OUTPUTS.index(terminal)
        low = self.values["LOFF", output]
        high = low + self.values["LAMP", output]
        inverted = self.values["LPOL", output] == 0
        return logic(self._window(terminal, shot), shot.period, low, high, inverted)

    def combined(self, terminals: tuple[str, ...], shot: Shot) -> tuple[Stretch, ...]:
        """A rear OR output."""
        key = terminals, shot.period, shot.index > 0, shot.source == self.name
        if key not in self._shown:
            self._shown[key] = either([self._window(terminal, shot) for terminal in terminals])
        return self._shown[key]

    def steady(self, shot: Shot) -> bool:
        """All cycles are alike, but a T0 that comes only in the first."""
        return shot.index > 0 or not self.values["BURT", 0]

    # -- common commands ----------------------------------------------------------------

    def _clear_status(self, parameters: list[str], link: Link) -> None:
        self.status = Status(events=0)

    def _take_instrument_status(self, parameters: list[str], link: Link) -> str:
        return str(self.status.take_instrument(integer(parameters[0]) if parameters else None))

    def _status_byte(self, parameters: list[str], link: Link) -> str:
        cycle, burst = self.busy()
        enabled = self.status.instrument & int(self.values["INSE", 0])
        byte = bool(enabled) | 2 * cycle | 4 * burst | 16 * link.pending
        byte |= 32 * bool(self.status.events & int(self.values["*ESE", 0]))
        return str(byte | 64 * bool(byte & int(self.values["*SRE", 0])))

    def _operation_complete(self, parameters: list[str], link: Link) -> None:
        self.status.events |= COMMON_BITS["OPC"]

    def _restore_defaults(self, parameters: list[str], link: Link) -> None:
        self._abort_if(True)
        self._reset()
        self.armed = False

    def _save(self, parameters: list[str], link: Link) -> None:
        expect(parameters, 1)
        slot = integer(parameters[0])
        if not 1 <= slot <= 9:
            raise Refused(10)
        self.saved[slot] = dict(self.values), self.delays

    def _recall(self, parameters: list[str], link: Link) -> None:
        expect(parameters, 1)
        slot = integer(parameters[0])
        if slot == 0:
            self._restore_defaults(parameters, link)
            return
        if slot not in self.saved:
            raise Refused(14)
        values, delays = self.saved[slot]
        self._change(delays)
        self.values = dict(values)

    def _lock(self, parameters: list[str], link: Link) -> str:
        if self.owner in (None, link):
            self.owner = link
        return str(int(self.owner is link))

    def _unlock(self, parameters: list[str], link: Link) -> str:
        released = self.owner in (None, link)
        if released:
            self.owner = None
        return str(int(released))

    def _set_terminator(self, parameters: list[str], link: Link) -> None:
        codes = [integer(one) for one in parameters]
        if not 1 <= len(codes) <= 3 or any(not 0 <= one < 256 for one in codes):
            raise Refused(10)
        self.endings[id(link)] = bytes(code for code in codes if code)


_Method = Callable[[SRSDG645, list[str], Link], str | None]


def _says(text: str | None) -> _Method:
    return lambda device, parameters, link: text


_D, _nothing = SRSDG645, _says(None)
_QUESTIONS: dict[str, _Method] = {
    "*IDN": lambda device, parameters, link: str(device.settings["idn"]),
    "LERR": lambda device, parameters, link: str(device.status.take_error()),
    "*ESR": lambda device, parameters, link: str(device.status.take_events()),
    "INSR": _D._take_instrument_status, "*STB": _D._status_byte, "DLAY": _D._get_delay,
    "LINK": _D._get_link, "LOCK": _D._lock, "UNLK": _D._unlock,
    "EMAC": _says("00:19:B3:00:00:01"), "DISP": _says("11,2"), "TIMB": _says("0"),
    "*OPC": _says("1"), "*TST": _says("0"), "*CAL": _says("0"),
}  # fmt: skip
_COMMANDS: dict[str, _Method] = {
    "*CLS": _D._clear_status, "*OPC": _D._operation_complete, "*RST": _D._restore_defaults,
    "*SAV": _D._save, "*RCL": _D._recall, "*TRG": _D._trigger, "*WAI": _nothing,
    "DLAY": _D._set_delay, "LINK": _D._set_link, "XTRM": _D._set_terminator,
    "REMT": _nothing, "LCAL": _nothing, "DISP": _nothing, "IFRS": _nothing,
}  # fmt: skip
