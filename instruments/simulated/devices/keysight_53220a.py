"""Keysight 53220A universal counter, as gated photon counter.

Simulated: the input settings that matter for TTL pulses, totalize with a timed
or an external gate, continuous totalize as far as its data, the trigger model,
the reading memory and the ways to read it. Other measurement functions answer
with error -221.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..lines import Stretch, complement
from ..links import Answer, Link, Reply
from ..shots import GateCursor, Shot
from .counter_settings import KEPT, MEASUREMENT, MEMORY, shown_real
from .scpi import ScpiDevice
from .scpi_language import Call, ScpiError, choice, command, number

NO_DATA = 9.91e37


class Keysight53220A(ScpiDevice):
    """The counter. Inputs `in1`, `in2` (photon pulses) and `gate` (Gate In)."""

    inputs = ("in1", "in2", "gate")
    latency = (4e-3, 1e-3)
    port = 5025
    no_error = '+0,"No error"'
    defaults: ClassVar[Mapping[str, Any]] = {
        "idn": "AGILENT TECHNOLOGIES,53220A,MY00000001,1.00-1.00-01-1",
        "pulse_amplitude": 2.5,
    }

    plain = (*KEPT, *MEASUREMENT)

    def reset(self) -> None:
        """As after *RST: frequency function, AC, 1 Mohm, gate polarity NEG."""
        super().reset()
        self.function = "FREQ"
        self.form = "ASC"
        self.gate_source = "TIME"
        self.channel = 1
        self._forget()

    def _forget(self) -> None:
        self.running = False
        self.started = False
        self.memory: deque[int] = deque(maxlen=MEMORY)
        self.taken = 0
        self.cursor = GateCursor()
        self.armed_at = math.inf
        self.questionable = 0
        self.missed = 0

    def queue(self, link: Link | None) -> deque[str]:
        """One error queue per session, as in the instrument."""
        return self._queues.setdefault(id(link) if link is not None else 0, deque())

    def closed(self, link: Link) -> None:
        """The session's queue goes with it."""
        self._queues.pop(id(link), None)

    def clear(self, link: Link) -> None:
        """Device clear aborts the measurement; settings and errors stay."""
        self._abort()

    # -- photons ------------------------------------------------------------------------

    def counting(self, shot: Shot) -> tuple[Stretch, ...]:
        """The gate is open: Gate In high (POS) or low (NEG).

        With NEG a shot that ends with the gate open closes it at the next T0,
        and one that begins with it open is taken as not opened.
        """
        gate = shot.input(self.name, "gate")
        if gate is None or self.gate_source != "EXT":
            return ()
        if self.value("[SENSe:]TOTalize:GATE:POLarity") == "POS":
            return gate
        low = complement(gate, 0.0, shot.period)
        return tuple(one for one in low if one.start > 0.0)

    @property
    def wanted(self) -> int:
        """Readings of one measurement."""
        return int(self.value("SAMPle:COUNt") * self.value("TRIGger:COUNt"))

    def collect(self) -> None:
        """Move the readings that are complete by now into the memory."""
        if not self.running:
            return
        if self.gate_source == "TIME":
            self._collect_timed()
        elif self.gate_source == "EXT":
            left = self.wanted - self.taken
            counts, _, self.cursor = self.laboratory.photons(self.cursor, self.armed_at, left)
            self._remember(counts)
        self.running = self.taken < self.wanted

    def _collect_timed(self) -> None:
        while self.taken < self.wanted and self.armed_at + self.gate_time <= self.now() + 1e-9:
            count = self.laboratory.photons_now(self.gate_time)
            self.armed_at += self.gate_time
            if count is None:
                self.running = False
                return
            self._remember(np.array([count]))

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """`gate_lost` and `memory_overflow`; a number of readings that tells."""
        if kind == "gate_lost":
            self.missed += 1
        if kind == "memory_overflow":
            self.collect()
            self._erase(1)
            self.questionable |= 1 << 14
        super().trip(kind, value, link)

    def _remember(self, counts: NDArray[np.int64]) -> None:
        lost = min(self.missed, len(counts))
        self.missed -= lost
        counts = counts[lost:]
        if self.laboratory.wiring.counter != (self.name, f"in{self.channel}"):
            counts = np.zeros_like(counts)
        if not self._threshold_good():
            counts = np.zeros_like(counts)
        if len(self.memory) + len(counts) > MEMORY:
            self.questionable |= 1 << 14
        self.memory.extend(int(count) for count in counts)
        self.taken += len(counts)

    def _threshold_good(self) -> bool:
        if self.value("INPut#:LEVel:AUTO", self.channel):
            return True
        matched = self.value("INPut#:IMPedance", self.channel) == 50.0
        top = self.settings["pulse_amplitude"] * (1.0 if matched else 2.0)
        return bool(0.02 < self.value("INPut#:LEVel[:ABSolute]", self.channel) < 0.98 * top)

    @property
    def gate_time(self) -> float:
        """Seconds; inf for a gate that stays open."""
        seconds = float(self.value("[SENSe:]TOTalize:GATE:TIME"))
        return seconds if seconds <= 1000.0 else math.inf

    def complete_at(self) -> float:
        """Time when the measurement will be over (0: already, inf: nothing under way)."""
        self.collect()
        if not self.running:
            return 0.0
        if self.gate_source == "TIME":
            return self.armed_at + (self.wanted - self.taken) * self.gate_time
        burst = self.laboratory.burst
        if burst is None or burst.finish <= self.now():
            return math.inf
        return burst.finish

    def idle_at(self) -> float:
        """*OPC? waits for the measurement."""
        return self.complete_at()

    # -- trigger model ------------------------------------------------------------------

    @command("INITiate[:IMMediate]")
    def initiate(self, call: Call) -> None:
        """Empty the memory and wait for the trigger."""
        self.collect()
        if self.running:
            raise ScpiError(-213)
        if self.function != "TOT":
            raise ScpiError(-221, "Settings conflict; only totalize is simulated")
        if self.gate_source == "EXT" and self.value("OUTPut[:STATe]"):
            raise ScpiError(-221, "Settings conflict; gate in and gate out")
        self._forget()
        self.running = self.started = True
        if self.value("TRIGger:SOURce") == "IMM":
            self._trigger()

    def _trigger(self) -> None:
        self.armed_at = self.now() + self.value("TRIGger:DELay")
        self.cursor = self.laboratory.cursor()

    @command("*TRG")
    def _software_trigger(self, call: Call) -> None:
        waiting = self.running and math.isinf(self.armed_at)
        if not waiting or self.value("TRIGger:SOURce") != "BUS":
            raise ScpiError(-211)
        self._trigger()

    @command("ABORt")
    def _abort_command(self, call: Call) -> None:
        self._abort()

    def _abort(self) -> None:
        self.collect()
        self.running = False

    @command("CONFigure:TOTalize:TIMed")
    def _configure_timed(self, call: Call) -> None:
        texts = list(call.only(0, 2))
        channel = _channel(texts.pop()) if texts and texts[-1].startswith("(") else 1
        gate = number(texts[0], 1e-4, 9.9e37, "S", 0.1) if texts and texts[0] else 0.1
        self._forget()
        for setting in MEASUREMENT:
            self.put(setting.header, setting.reset)
        self.function, self.channel, self.gate_source = "TOT", channel, "TIME"
        self.put("[SENSe:]TOTalize:GATE:TIME", gate)
        self.put("INPut#:LEVel:AUTO", False, channel)

    @command("CONFigure?")
    def _configuration(self, call: Call) -> str:
        if self.function != "TOT":
            return '"FREQ +1.0E+007"'
        return f'"TOT:TIM {shown_real(self.gate_time)},(@{self.channel})"'

    @command("[SENSe:]FUNCtion[:ON]?")
    def _function(self, call: Call) -> str:
        return f'"{self.function}"'

    @command("[SENSe:]TOTalize:GATE:SOURce")
    def _set_gate_source(self, call: Call) -> None:
        source = call.choice("TIME", "EXTernal", "INPut1", "INPut2", "ADVanced")
        if source not in ("TIME", "EXT"):
            raise ScpiError(-221, "Settings conflict; this gate source is not simulated")
        self.gate_source = source

    @command("[SENSe:]TOTalize:GATE:SOURce?")
    def _get_gate_source(self, call: Call) -> str:
        return self.gate_source

    # -- inputs -------------------------------------------------------------------------

    @command("INPut#:LEVel[:ABSolute]")
    def _set_level(self, call: Call) -> None:
        channel = _input(call)
        level = call.number(-5.125, 5.125, "V", 0.0)
        self.put("INPut#:LEVel[:ABSolute]", round(level / 2.5e-3) * 2.5e-3, channel)
        self.put("INPut#:LEVel:AUTO", False, channel)

    @command("INPut#:LEVel:AUTO")
    def _set_auto_level(self, call: Call) -> None:
        channel = _input(call)
        once = call.text().upper() == "ONCE"
        self.put("INPut#:LEVel:AUTO", False if once else call.switch(), channel)
        if once:
            self.put("INPut#:LEVel[:ABSolute]", self.settings["pulse_amplitude"] / 2, channel)

    @command("INPut#:PROTection?")
    def _protection(self, call: Call) -> str:
        return "0"

    @command("INPut#:PROTection:CLEar")
    def _clear_protection(self, call: Call) -> None:
        _input(call)

    # -- reading ------------------------------------------------------------------------

    def _start_needed(self) -> None:
        if not self.started:
            raise ScpiError(-230)

    @command("FETCh?")
    def _fetch(self, call: Call) -> Answer:
        self._start_needed()
        return Reply(lambda: self._formatted(list(self.memory)), self.complete_at)

    @command("READ?")
    def _read(self, call: Call) -> Answer:
        self.initiate(call)
        return self._fetch(call)

    @command("R?")
    def _read_and_erase(self, call: Call) -> bytes:
        texts = call.only(0, 1)
        most = int(number(texts[0], 1, MEMORY)) if texts else MEMORY
        self.collect()
        self._start_needed()
        return self._block(self._erase(min(most, len(self.memory))))

    @command("DATA:REMove?")
    def _remove(self, call: Call) -> Answer:
        texts = call.only(1, 2)
        count = int(number(texts[0], 1, MEMORY))
        self.collect()
        self._start_needed()
        if len(texts) == 1:
            if len(self.memory) < count:
                raise ScpiError(-222)
            return self._block(self._erase(count))
        choice(texts[1], "WAIT")
        return Reply(lambda: self._block(self._erase(count)), lambda: self._filled_at(count))

    def _filled_at(self, count: int) -> float:
        self.collect()
        return 0.0 if len(self.memory) >= count else self.complete_at()

    def _erase(self, count: int) -> list[int]:
        return [self.memory.popleft() for _ in range(min(count, len(self.memory)))]

    @command("DATA:POINts?")
    def _points(self, call: Call) -> str:
        self.collect()
        return f"{len(self.memory):+d}"

    @command("DATA:LAST?")
    def _last(self, call: Call) -> str:
        self.collect()
        return shown_real(self.memory[-1] if self.memory else NO_DATA)

    @command("FORMat[:DATA]")
    def _set_format(self, call: Call) -> None:
        self.form = choice(call.only(1, 2)[0], "ASCii", "REAL")

    @command("FORMat[:DATA]?")
    def _get_format(self, call: Call) -> str:
        return "ASC,15" if self.form == "ASC" else "REAL,64"

    def _formatted(self, readings: Sequence[float]) -> bytes:
        if self.form == "ASC":
            return ",".join(shown_real(one) for one in (readings or [NO_DATA])).encode()
        return b"#0" + self._binary(readings)

    def _binary(self, readings: Sequence[float]) -> bytes:
        order = ">f8" if self.value("FORMat:BORDer") == "NORM" else "<f8"
        return np.array(readings, dtype=order).tobytes()

    def _block(self, readings: list[int]) -> bytes:
        if self.form == "ASC":
            data = ",".join(shown_real(one) for one in readings).encode()
        else:
            data = self._binary(readings)
        length = str(len(data))
        return f"#{len(length)}{length}".encode() + data

    # -- status -------------------------------------------------------------------------

    @command("STATus:OPERation:CONDition?")
    def _operation(self, call: Call) -> str:
        self.collect()
        waiting = self.running and math.isinf(self.armed_at)
        condition = 16 * (self.running and not waiting) | 32 * waiting | 512
        condition |= 4096 * (len(self.memory) >= self.value("DATA:POINts:EVENt:THReshold"))
        return f"{condition | 8192 * bool(self.queue(call.link)):+d}"

    @command("STATus:QUEStionable[:EVENt]?")
    def _questionable(self, call: Call) -> str:
        status, self.questionable = self.questionable, 0
        return f"{status:+d}"


def _channel(text: str) -> int:
    if text.replace(" ", "") not in ("(@1)", "(@2)"):
        raise ScpiError(-224)
    return int(text.replace(" ", "")[2])


def _input(call: Call) -> int:
    if call.numbers[0] not in (1, 2):
        raise ScpiError(-113)
    return call.numbers[0]
