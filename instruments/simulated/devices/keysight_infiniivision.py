"""Keysight InfiniiVision oscilloscope as digitiser of the cavity output.

Simulated: single, normal and averaged acquisition, segmented memory, edge trigger on a
channel or Ext Trig, forced and automatic trigger, the waveform in bytes, words and text with
its preamble, and `:DIGitize`, which holds the parser until the trigger comes, for ever
if it must. Noise is `noise` of the range; what is outside the range is clipped.

`:RUN` acquires once, like `:SINGle`. A trace reaches over the edges of its shot as if all
shots were like it. Sizes of the memory and of the noise are settings; the family's manual is
not at hand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..links import Answer, Link, Reply
from ..observing import input_voltage
from ..shots import Shot
from .base import TTL_HIGH, rising_edges
from .scope_settings import KEPT, Record, shown_real, shown_whole
from .scpi import ScpiDevice
from .scpi_language import Call, ScpiError, Setting, command

FULL_WORD = 65_536
AUTO_TRIGGER = 0.1
"""Seconds until the automatic trigger gives up waiting."""
NORMAL_POINTS = 62_500
TYPES = {"NORM": 0, "PEAK": 1, "AVER": 2, "HRES": 3}
FORMATS = {"BYTE": 0, "WORD": 1, "ASC": 4}
GRID = 20_001
"""Points at which a channel is searched for its trigger."""


class KeysightInfiniiVision(ScpiDevice):
    """The oscilloscope: inputs `ch1` to `ch4` and `ext`."""

    inputs = ("ch1", "ch2", "ch3", "ch4", "ext")
    latency = (5e-3, 2e-3)
    port = 5025
    no_error = '+0,"No error"'
    defaults: ClassVar[Mapping[str, Any]] = {
        "idn": "KEYSIGHT TECHNOLOGIES,DSO-X 3024A,MY00000001,02.50.2019022736",
        "memory": 1_000_000,
        "sample_rate": 4e9,
        "noise": 3e-3,
    }
    plain: ClassVar[tuple[Setting, ...]] = KEPT

    def reset(self) -> None:
        """As after *RST: channel 1 shown, nothing acquired, automatic trigger."""
        super().reset()
        model = re.search(r"(\d)[AGT]?,", str(self.settings["idn"]).split(" ", 1)[-1])
        self.count = int(model[1]) if model else 4
        self.shown = {1}
        self.records: list[Record] = []
        self.index = 1
        self.armed_at = math.inf
        self.armed_event = self.triggered_event = False
        self._held: list[tuple[str, Link]] = []
        self._digitizing = False

    # -- acquisition ----------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Armed, and not done."""
        return math.isfinite(self.armed_at)

    @property
    def points(self) -> int:
        """Samples of one record."""
        parts = self.wanted if self.value("ACQuire:MODE") == "SEGM" else 1
        span, rate = self.value("TIMebase:RANGe"), self.settings["sample_rate"]
        return int(max(min(self.settings["memory"] // parts, round(span * rate)), 100))

    @property
    def wanted(self) -> int:
        """Triggers of one acquisition."""
        if self.value("ACQuire:MODE") == "SEGM":
            return int(self.value("ACQuire:SEGMented:COUNt"))
        return int(self.value("ACQuire:COUNt")) if self.value("ACQuire:TYPE") == "AVER" else 1

    def origin(self) -> float:
        """Seconds from the trigger to the first sample."""
        before = {"LEFT": 0.1, "CENT": 0.5, "RIGH": 0.9}[self.value("TIMebase:REFerence")]
        return float(self.value("TIMebase:POSition") - before * self.value("TIMebase:RANGe"))

    def _arm(self) -> None:
        self.records, self.index = [], 1
        self.armed_at = self.now()
        self.armed_event, self.triggered_event = True, False

    def observe(self, shot: Shot) -> None:
        """Take a record if armed and the trigger comes in this shot."""
        if not self.waiting or shot.start < self.armed_at - 1e-9 or shot.source is None:
            return
        found = self._trigger_in(shot)
        if found is not None:
            self._take(shot, found)

    def steady(self, shot: Shot) -> bool:
        """While armed every shot is looked at."""
        return not self.waiting

    def _trigger_in(self, shot: Shot) -> float | None:
        """Seconds after T0 of the first edge."""
        source = self.value("TRIGger[:EDGE]:SOURce")
        terminal = "ext" if source == "EXT" else f"ch{source[-1]}"
        times = np.linspace(0.0, shot.period, GRID)[:-1]
        line = shot.input(self.name, terminal)
        rising = self.value("TRIGger[:EDGE]:SLOPe") == "POS"
        if line and all(isinstance(one.value, bool) for one in line) and rising:
            found = rising_edges(line, shot.period, shot.index == 0)
            seen = 0.0 <= self.value("TRIGger[:EDGE]:LEVel") < TTL_HIGH
            return found[0] if found and seen else None
        if line is not None:  # steps are found where they are
            steps = [edge for one in line for edge in (one.start, one.stop) if edge < shot.period]
            times = np.unique(np.concatenate([times, np.array(steps, dtype=float)]))
        volts = input_voltage(self.laboratory, self.name, terminal, shot, times)
        above = volts > self.value("TRIGger[:EDGE]:LEVel")
        if not rising:
            above = ~above
        edges = np.flatnonzero(above & ~np.roll(above, 1))
        return float(times[edges[0]]) if len(edges) else None

    def _take(self, shot: Shot, trigger: float) -> None:
        step = self.value("TIMebase:RANGe") / self.points
        times = trigger + self.origin() + step * np.arange(self.points)
        folded = np.mod(times, shot.period)
        order = np.argsort(folded, kind="stable")
        words = {}
        for one in self.shown:
            volts = np.empty(len(times))
            volts[order] = input_voltage(
                self.laboratory, self.name, f"ch{one}", shot, folded[order]
            )
            words[one] = self._digitized(one, volts)
        self._keep(Record(shot.start + trigger, words))
        self.triggered_event = True
        done = len(self.records) if self.value("ACQuire:MODE") == "SEGM" else (
            self.records[0].averaged
        )  # fmt: skip
        if done >= self.wanted:
            self.armed_at = math.inf

    def _keep(self, record: Record) -> None:
        averaging = self.value("ACQuire:TYPE") == "AVER"
        if self.value("ACQuire:MODE") == "SEGM" or not averaging or not self.records:
            self.records.append(record)
            return
        mean = self.records[0]
        mean.averaged += 1
        for one, words in record.words.items():
            mean.words[one] += (words - mean.words[one]) / mean.averaged

    def _digitized(self, one: int, volts: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.value("CHANnel#:COUPling", one) == "AC":
            volts = volts - np.mean(volts)
        span = self.value("CHANnel#:RANGe", one)
        noise = self.rng.normal(0.0, self.settings["noise"] * span, len(volts))
        fine = 16 if self.value("ACQuire:TYPE") == "HRES" else 256
        if fine == 16:
            noise *= 0.25
        level = (volts + noise - self.value("CHANnel#:OFFSet", one)) / span * FULL_WORD
        words = np.round((level + FULL_WORD / 2) / fine) * fine
        return np.asarray(np.clip(words, 256, FULL_WORD - 256))

    def _progress(self) -> None:
        """The automatic trigger, when nobody else gives one."""
        if not self.waiting or self.value("TRIGger:SWEep") != "AUTO":
            return
        if self.now() >= self.armed_at + AUTO_TRIGGER:
            self._force()

    def _force(self) -> None:
        while self.waiting:
            shot = self.laboratory.glimpse(max(float(self.value("TIMebase:RANGe")), 1e-9))
            if shot is None:
                return
            self._take(shot, -self.origin())

    def complete_at(self) -> float:
        """When the acquisition will be over (0: already, inf: no trigger in sight)."""
        self.laboratory.freeze()
        self._progress()
        if not self.waiting:
            return 0.0
        burst = self.laboratory.burst
        if burst is not None and burst.finish > self.now():
            return min(burst.finish, self.now() + burst.period)
        return self.armed_at + AUTO_TRIGGER if self.value("TRIGger:SWEep") == "AUTO" else math.inf

    def idle_at(self) -> float:
        """*OPC? waits for the acquisition."""
        return self.complete_at()

    # -- messages -----------------------------------------------------------------------

    def handle(self, message: str, link: Link) -> Answer:
        """Obey; behind :DIGitize everything waits for the trigger."""
        self._progress()
        if self._digitizing and self.complete_at() > self.now():
            if "?" not in message:
                self._held.append((message, link))
                return None
            return Reply(lambda: self._answer_late(message, link), self.complete_at)
        self._release()
        return super().handle(message, link)

    def _release(self) -> None:
        self._digitizing = False
        held, self._held = self._held, []
        for message, link in held:
            super().handle(message, link)

    def _answer_late(self, message: str, link: Link) -> bytes:
        self._release()
        answer = super().handle(message, link)
        if isinstance(answer, Reply):
            return answer.data()
        return (answer or "").encode() if not isinstance(answer, bytes) else answer

    def clear(self, link: Link) -> None:
        """Device clear ends a digitize."""
        self._held, self._digitizing = [], False
        self.armed_at = math.inf

    @command("SINGle")
    def _single(self, call: Call) -> None:
        self._arm()

    @command("RUN")
    def _run_continuously(self, call: Call) -> None:
        self._arm()

    @command("STOP")
    def _stop(self, call: Call) -> None:
        self.armed_at = math.inf

    @command("DIGitize")
    def _digitize(self, call: Call) -> None:
        for text in call.only(0, self.count):
            match = re.fullmatch(r"CHAN(?:NEL)?([1-4])", text.upper())
            if match is None or int(match[1]) > self.count:
                raise ScpiError(-224)
            self.shown.add(int(match[1]))
        self._arm()
        self._digitizing = True

    @command("TRIGger:FORCe")
    def _force_trigger(self, call: Call) -> None:
        self._force()

    @command("*TRG")
    def _bus_trigger(self, call: Call) -> None:
        self._arm()

    @command("AER?")
    def _armed(self, call: Call) -> str:
        event, self.armed_event = self.armed_event, False
        return shown_whole(event)

    @command("TER?")
    def _triggered(self, call: Call) -> str:
        event, self.triggered_event = self.triggered_event, False
        return shown_whole(event)

    @command("OPERegister:CONDition?")
    def _operation(self, call: Call) -> str:
        return shown_whole(8 * self.waiting | 32 * self.waiting)

    # -- settings that hang together ------------------------------------------------------

    def _number(self, call: Call) -> int:
        if not 1 <= call.numbers[0] <= self.count:
            raise ScpiError(-113)
        return call.numbers[0]

    @command("CHANnel#:DISPlay")
    def _set_display(self, call: Call) -> None:
        one = self._number(call)
        self.shown = self.shown | {one} if call.switch() else self.shown - {one}

    @command("CHANnel#:DISPlay?")
    def _get_display(self, call: Call) -> str:
        return str(int(self._number(call) in self.shown))

    @command("CHANnel#:SCALe")
    def _set_scale(self, call: Call) -> None:
        self.put("CHANnel#:RANGe", 8 * call.number(1e-3, 5.0, "V"), self._number(call))

    @command("CHANnel#:SCALe?")
    def _get_scale(self, call: Call) -> str:
        return shown_real(self.value("CHANnel#:RANGe", self._number(call)) / 8)

    @command("TIMebase:SCALe")
    def _set_time_scale(self, call: Call) -> None:
        self.put("TIMebase:RANGe", 10 * call.number(2e-9, 50.0, "S"))

    @command("TIMebase:SCALe?")
    def _get_time_scale(self, call: Call) -> str:
        return shown_real(self.value("TIMebase:RANGe") / 10)

    @command("ACQuire:SRATe[:ANALog]?")
    def _sample_rate(self, call: Call) -> str:
        return shown_real(self.points / self.value("TIMebase:RANGe"))

    @command("ACQuire:POINts[:ANALog]?")
    def _record_points(self, call: Call) -> str:
        return shown_whole(self.points)

    @command("ACQuire:SEGMented:INDex")
    def _set_index(self, call: Call) -> None:
        self.index = int(call.number(1, max(len(self.records), 1)))

    @command("ACQuire:SEGMented:INDex?")
    def _get_index(self, call: Call) -> str:
        return shown_whole(self.index)

    # -- the waveform ---------------------------------------------------------------------

    def _record(self) -> Record:
        segmented = self.value("ACQuire:MODE") == "SEGM"
        place = self.index - 1 if segmented else 0
        if place >= len(self.records) or self._source() not in self.records[place].words:
            raise ScpiError(-230)
        return self.records[place]

    def _source(self) -> int:
        return int(self.value("WAVeform:SOURce")[-1])

    def _thinned(self) -> tuple[NDArray[np.float64], int]:
        """Words to transfer, and how many samples each stands for."""
        words = self._record().words[self._source()]
        mode = self.value("WAVeform:POINts:MODE")
        most = int(self.value("WAVeform:POINts"))
        most = min(most, NORMAL_POINTS) if mode == "NORM" else most
        stride = max(math.ceil(len(words) / most), 1)
        return words[::stride], stride

    def _scaling(self) -> tuple[float, float, int]:
        """Volts for one count, volts at the reference, reference count."""
        span = float(self.value("CHANnel#:RANGe", self._source()))
        full = FULL_WORD if self.value("WAVeform:FORMat") == "WORD" else 256
        reference = full // 2 if self.value("WAVeform:UNSigned") else 0
        return span / full, float(self.value("CHANnel#:OFFSet", self._source())), reference

    @command("WAVeform:PREamble?")
    def _preamble(self, call: Call) -> str:
        words, stride = self._thinned()
        step = self.value("TIMebase:RANGe") / self.points * stride
        volts, offset, reference = self._scaling()
        return (
            f"{shown_whole(FORMATS[self.value('WAVeform:FORMat')])},"
            f"{shown_whole(TYPES[self.value('ACQuire:TYPE')])},{shown_whole(len(words))},"
            f"{shown_whole(self._record().averaged)},{step:+.8E},{self.origin():+.8E},+0,"
            f"{volts:+.8E},{offset:+.5E},{shown_whole(reference)}"
        )

    @command("WAVeform:DATA?")
    def _data(self, call: Call) -> bytes:
        words, _ = self._thinned()
        form, (volts, offset, _) = self.value("WAVeform:FORMat"), self._scaling()
        if form == "ASC":
            values = (words / 256 - 128) * volts + offset
            body = ",".join(f"{one:+.6E}" for one in values).encode()
        else:
            counts = np.floor(words if form == "WORD" else words / 256)
            if not self.value("WAVeform:UNSigned"):
                counts = counts - (FULL_WORD // 2 if form == "WORD" else 128)
            sign = "u" if self.value("WAVeform:UNSigned") else "i"
            order = "<" if self.value("WAVeform:BYTeorder") == "LSBF" else ">"
            body = counts.astype(f"{order}{sign}{2 if form == 'WORD' else 1}").tobytes()
        return f"#8{len(body):08d}".encode() + body

    @command("WAVeform:SEGMented:COUNt?")
    def _segments(self, call: Call) -> str:
        segmented = self.value("ACQuire:MODE") == "SEGM"
        return shown_whole(len(self.records) if segmented else 0)

    @command("WAVeform:SEGMented:TTAG?")
    def _time_tag(self, call: Call) -> str:
        return f"{self._record().time - self.records[0].time:+.12E}"
