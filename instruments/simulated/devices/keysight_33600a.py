"""Keysight 33500B / 33600A waveform generator: two channels of shaped voltage.

Simulated: standard functions, arbitrary waveforms and sequences from text or binary blocks,
bursts from every trigger source, amplitude in three units at any load, hard voltage limits,
sync; AM, FM, PM by the internal source, and sweeps. A continuous sine is on its line as an
`RFTone`, a modulated or swept one as tones in pieces; everything else as a voltage cut into
pieces. External modulation, noise and gated bursts are refused with -221.

Error numbers 785 and 786, the waveform's rest between bursts (its first point), the time that a
block takes, what depth means and what excludes what are a model: no manual is at hand.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..links import Link
from .generator_channel import Channel
from .generator_output import SOURCE, GeneratorOutputs
from .generator_settings import settings as generator_settings
from .generator_settings import shown_real, shown_whole
from .scpi_language import Call, ScpiError, Setting, choice, command, number
from .waveform_memory import DAC_FULL, MOST_TEXT_POINTS

FUNCTIONS = ("SINusoid", "SQUare", "TRIangle", "RAMP", "PULSe", "PRBS", "NOISe", "ARB", "DC")
CARRIERS = ("SIN", "SQU", "TRI", "RAMP")
SIMULATED = ("SIN", "SQU", "TRI", "RAMP", "PULS", "ARB", "DC")
BLOCK_RATE = 10e6
"""Bytes per second at which a block is taken in (model)."""


class Keysight33600A(GeneratorOutputs):
    """The generator: outputs `ch1`, `ch2`, `sync`; input `trigger` (the rear Ext Trig)."""

    latency = (3e-3, 1e-3)
    port = 5025
    no_error = '+0,"No error"'
    defaults: ClassVar[Mapping[str, Any]] = {
        "idn": "Agilent Technologies,33622A,MY00000001,A.01.10-2.25-03-64-02",
        "memory": 4_000_000,
        "input_impedance": 50.0,
    }
    plain: ClassVar[tuple[Setting, ...]] = generator_settings(120e6)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.channels: dict[int, Channel] = {}
        self.busy_until = 0.0
        super().__init__(*args, **kwargs)

    def reset(self) -> None:
        """As after *RST: 1 kHz sine, 100 mVpp, outputs off, volatile memory empty."""
        super().reset()
        count = 2 if self.settings["idn"].split(",")[1][3:4] == "2" else 1
        self.channels = {
            one: Channel(int(self.settings["memory"]), self.now()) for one in range(1, count + 1)
        }

    def idle_at(self) -> float:
        """*OPC? waits until blocks are taken in."""
        return self.busy_until

    def _channel(self, call: Call) -> Channel:
        try:
            return self.channels[call.numbers[0]]
        except KeyError:
            raise ScpiError(-113) from None

    @command("*TRG")
    def _bus_trigger(self, call: Call) -> None:
        waiting = [n for n in self.channels if self.value("TRIGger#:SOURce", n) == "BUS"]
        if not waiting:
            raise ScpiError(-211)
        for one in waiting:
            self._software_trigger(one)

    @command("TRIGger#[:IMMediate]")
    def _trigger_now(self, call: Call) -> None:
        self._channel(call)
        self._software_trigger(call.numbers[0])

    def _software_trigger(self, one: int) -> None:
        self.channels[one].trigger([self.now() + float(self.value("TRIGger#:DELay", one))])

    @command("PHASe:SYNChronize", "[SOURce#:]PHASe:SYNChronize")
    def _synchronize(self, call: Call) -> None:
        for channel in self.channels.values():
            channel.since = self.now()

    # -- function -----------------------------------------------------------------------

    @command("[SOURce#:]FUNCtion")
    def _set_function(self, call: Call) -> None:
        channel, word = self._channel(call), choice(call.text(), *FUNCTIONS)
        if word not in SIMULATED:
            raise ScpiError(-221, "Settings conflict; this function is not simulated")
        channel.function = word
        channel.modulation = channel.modulation if word in CARRIERS else ""
        channel.restart(self.now())

    @command("[SOURce#:]FUNCtion?")
    def _get_function(self, call: Call) -> str:
        return self._channel(call).function

    @command("[SOURce#:]FUNCtion:PULSe:PERiod")
    def _set_period(self, call: Call) -> None:
        self._channel(call)
        self.put(SOURCE + "FREQuency", 1.0 / call.number(1e-8, 1e6, "S"), call.numbers[0])

    @command("[SOURce#:]FUNCtion:PULSe:PERiod?")
    def _get_period(self, call: Call) -> str:
        self._channel(call)
        return shown_real(1.0 / self.of(call.numbers[0], "FREQuency"))

    @command("[SOURce#:]FUNCtion:PULSe:DCYCle")
    def _set_duty(self, call: Call) -> None:
        self._channel(call)
        width = call.number(0.01, 99.99) / 100.0 / self.of(call.numbers[0], "FREQuency")
        self.put(SOURCE + "FUNCtion:PULSe:WIDTh", width, call.numbers[0])

    @command("[SOURce#:]FUNCtion:PULSe:DCYCle?")
    def _get_duty(self, call: Call) -> str:
        one = call.numbers[0]
        self._channel(call)
        return shown_real(100.0 * self.of(one, "FUNCtion:PULSe:WIDTh") * self.of(one, "FREQuency"))

    @command("SYSTem:BEEPer[:IMMediate]", "DISPlay:TEXT", "DISPlay:TEXT:CLEar")
    def _front_panel(self, call: Call) -> None:
        """Nobody stands in front of it."""

    @command("[SOURce#:]BURSt:STATe")
    def _set_burst(self, call: Call) -> None:
        channel = self._channel(call)
        if self.value(SOURCE + "BURSt:MODE", call.numbers[0]) == "GAT":
            raise ScpiError(-221, "Settings conflict; gated bursts are not simulated")
        self.put(SOURCE + "BURSt:STATe", call.switch(), call.numbers[0])
        channel.modulation = "" if call.switch() else channel.modulation
        channel.restart(self.now())

    @command("[SOURce#:]AM:STATe")
    def _set_am(self, call: Call) -> None:
        self._modulate(call, "AM")

    @command("[SOURce#:]FM:STATe")
    def _set_fm(self, call: Call) -> None:
        self._modulate(call, "FM")

    @command("[SOURce#:]PM:STATe")
    def _set_pm(self, call: Call) -> None:
        self._modulate(call, "PM")

    @command("[SOURce#:]SWEep:STATe")
    def _set_sweep(self, call: Call) -> None:
        self._modulate(call, "SWE")

    def _modulate(self, call: Call, kind: str) -> None:
        """One of AM, FM, PM, sweep and burst at a time: the last one that is switched on."""
        channel, one, on = self._channel(call), call.numbers[0], call.switch()
        if not on:
            channel.modulation = "" if channel.modulation == kind else channel.modulation
            return
        if channel.function not in CARRIERS:
            raise ScpiError(-221, "Settings conflict; this carrier is not simulated modulated")
        if kind == "FM" and self.of(one, "FM[:DEViation]") > self.of(one, "FREQuency"):
            raise ScpiError(-221, "Settings conflict; the deviation exceeds the frequency")
        self.put(SOURCE + "BURSt:STATe", False, one)
        channel.modulation = kind
        channel.restart(self.now())

    @command("[SOURce#:]AM:STATe?")
    def _get_am(self, call: Call) -> str:
        return str(int(self._channel(call).modulation == "AM"))

    @command("[SOURce#:]FM:STATe?")
    def _get_fm(self, call: Call) -> str:
        return str(int(self._channel(call).modulation == "FM"))

    @command("[SOURce#:]PM:STATe?")
    def _get_pm(self, call: Call) -> str:
        return str(int(self._channel(call).modulation == "PM"))

    @command("[SOURce#:]SWEep:STATe?")
    def _get_sweep(self, call: Call) -> str:
        return str(int(self._channel(call).modulation == "SWE"))

    @command("[SOURce#:]AM:SOURce", "[SOURce#:]FM:SOURce", "[SOURce#:]PM:SOURce")
    def _set_modulation_source(self, call: Call) -> None:
        self._channel(call)
        if choice(call.text(), "INTernal", "EXTernal", "CH1", "CH2") != "INT":
            raise ScpiError(-221, "Settings conflict; only internal modulation is simulated")

    @command("[SOURce#:]AM:SOURce?", "[SOURce#:]FM:SOURce?", "[SOURce#:]PM:SOURce?")
    def _get_modulation_source(self, call: Call) -> str:
        self._channel(call)
        return "INT"

    # -- voltage ------------------------------------------------------------------------

    @command("OUTPut#[:STATe]")
    def _set_output(self, call: Call) -> None:
        self._channel(call).on = call.switch()

    @command("OUTPut#[:STATe]?")
    def _get_output(self, call: Call) -> str:
        return str(int(self._channel(call).on))

    @command("OUTPut#:LOAD")
    def _set_load(self, call: Call) -> None:
        load = number(call.text(), 1.0, 9.9e37, "OHM", 50.0)
        if 1e4 < load < 9e37:
            raise ScpiError(-222)
        self._channel(call).load = math.inf if load > 1e4 else load

    @command("OUTPut#:LOAD?")
    def _get_load(self, call: Call) -> str:
        return shown_real(self._channel(call).load)

    @command("[SOURce#:]VOLTage:UNIT")
    def _set_unit(self, call: Call) -> None:
        channel, unit = self._channel(call), call.choice("VPP", "VRMS", "DBM")
        if unit == "DBM" and math.isinf(channel.load):
            raise ScpiError(-221, "Settings conflict; dBm needs a load")
        channel.unit = unit

    @command("[SOURce#:]VOLTage:UNIT?")
    def _get_unit(self, call: Call) -> str:
        return self._channel(call).unit

    @command("[SOURce#:]VOLTage[:AMPLitude]")
    def _set_amplitude(self, call: Call) -> None:
        self._channel(call).set_amplitude(call, self._limits(call.numbers[0]))

    @command("[SOURce#:]VOLTage[:AMPLitude]?")
    def _get_amplitude(self, call: Call) -> str:
        return shown_real(self._channel(call).shown_amplitude())

    @command("[SOURce#:]VOLTage:OFFSet")
    def _set_offset(self, call: Call) -> None:
        self._channel(call).set_offset(call, self._limits(call.numbers[0]))

    @command("[SOURce#:]VOLTage:OFFSet?")
    def _get_offset(self, call: Call) -> str:
        channel = self._channel(call)
        return shown_real(channel.offset_emf * channel.divider)

    @command("[SOURce#:]VOLTage:HIGH")
    def _set_high_level(self, call: Call) -> None:
        channel = self._channel(call)
        low = channel.levels()[0]
        channel.set_levels(low, call.number(-10.0, 10.0, "V"), self._limits(call.numbers[0]))

    @command("[SOURce#:]VOLTage:LOW")
    def _set_low_level(self, call: Call) -> None:
        channel = self._channel(call)
        high = channel.levels()[1]
        channel.set_levels(call.number(-10.0, 10.0, "V"), high, self._limits(call.numbers[0]))

    @command("[SOURce#:]VOLTage:LOW?")
    def _get_low_level(self, call: Call) -> str:
        return shown_real(self._channel(call).levels()[0])

    @command("[SOURce#:]VOLTage:HIGH?")
    def _get_high_level(self, call: Call) -> str:
        return shown_real(self._channel(call).levels()[1])

    def _limits(self, one: int) -> tuple[float, float] | None:
        if not self.value(SOURCE + "VOLTage:LIMit:STATe", one):
            return None
        return self.channels[one].limits

    @command("[SOURce#:]VOLTage:LIMit:LOW")
    def _set_low(self, call: Call) -> None:
        channel = self._channel(call)
        channel.limits = (call.number(-10.0, channel.limits[1], "V"), channel.limits[1])

    @command("[SOURce#:]VOLTage:LIMit:HIGH")
    def _set_high(self, call: Call) -> None:
        channel = self._channel(call)
        channel.limits = (channel.limits[0], call.number(channel.limits[0], 10.0, "V"))

    @command("[SOURce#:]VOLTage:LIMit:LOW?")
    def _get_low(self, call: Call) -> str:
        return shown_real(self._channel(call).limits[0])

    @command("[SOURce#:]VOLTage:LIMit:HIGH?")
    def _get_high(self, call: Call) -> str:
        return shown_real(self._channel(call).limits[1])

    @command("[SOURce#:]VOLTage:LIMit:STATe")
    def _set_limit(self, call: Call) -> None:
        channel, on = self._channel(call), call.switch()
        if on and not channel.fits(channel.limits):
            raise ScpiError(-221, "Settings conflict; amplitude and offset exceed the limits")
        self.put(SOURCE + "VOLTage:LIMit:STATe", on, call.numbers[0])

    # -- waveforms ----------------------------------------------------------------------

    @command("[SOURce#:]DATA:VOLatile:CLEar")
    def _clear_memory(self, call: Call) -> None:
        channel = self._channel(call)
        channel.memory.clear()
        channel.select(None, self.now())

    @command("[SOURce#:]DATA:VOLatile:CATalog?")
    def _catalog(self, call: Call) -> str:
        return ",".join(f'"{name}"' for name in self._channel(call).memory.names())

    @command("[SOURce#:]DATA:VOLatile:FREE?")
    def _free(self, call: Call) -> str:
        return shown_whole(self._channel(call).memory.free)

    @command("[SOURce#:]DATA:ATTRibute:POINts?")
    def _points(self, call: Call) -> str:
        names = call.only(0, 1)
        channel = self._channel(call)
        return shown_whole(channel.memory.length((names or (channel.selected,))[0].strip('"')))

    @command("[SOURce#:]DATA:ARBitrary")
    def _load(self, call: Call) -> None:
        self._store(call, 1.0, "f4")

    @command("[SOURce#:]DATA:ARBitrary:DAC")
    def _load_dac(self, call: Call) -> None:
        self._store(call, DAC_FULL, "i2")

    def _store(self, call: Call, full: float, form: str) -> None:
        name, *data = call.only(2, 1 + 10 * MOST_TEXT_POINTS)
        raw = self.block(data[0])
        if raw is None:
            if len(data) > MOST_TEXT_POINTS:
                raise ScpiError(-223, "Too much data")
            points = np.array([number(one, -full, full) for one in data]) / full
        else:
            size = int(form[1])
            if len(data) > 1 or len(raw) % size:
                raise ScpiError(-161, "Invalid block data")
            order = ">" if self.value("FORMat:BORDer") == "NORM" else "<"
            points = np.frombuffer(raw, dtype=order + form).astype(np.float64) / full
            self.busy_until = max(self.busy_until, self.now()) + len(raw) / BLOCK_RATE
            if not np.all(np.isfinite(points)):
                raise ScpiError(-222)
        self._channel(call).memory.load(name.strip('"'), points)

    @command("[SOURce#:]DATA:SEQuence")
    def _load_sequence(self, call: Call) -> None:
        raw = self.block(call.text())
        if raw is None:
            raise ScpiError(-104)
        self._channel(call).memory.sequence(raw.decode("latin-1"))

    @command("[SOURce#:]FUNCtion:ARBitrary")
    def _select(self, call: Call) -> None:
        self._channel(call).select(call.text().strip('"'), self.now())

    @command("[SOURce#:]FUNCtion:ARBitrary?")
    def _selected(self, call: Call) -> str:
        return f'"{self._channel(call).selected}"'

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """`memory_overflow`: the waveform memory is full."""
        if kind == "memory_overflow":
            for channel in self.channels.values():
                channel.memory.capacity -= channel.memory.free
        super().trip(kind, value, link)
