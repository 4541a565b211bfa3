"""One output of a waveform generator: its voltage settings, its waveforms, its triggers."""

from __future__ import annotations

import math

from .scpi_language import Call, ScpiError
from .waveform_memory import BUILT_IN, WaveformMemory

OUTPUT_RESISTANCE = 50.0
HIGHEST_EMF = 10.0
"""Volts without load, peak, offset included."""
LEAST_EMF = 2e-3
"""Volts without load, peak to peak."""
MOST_TRIGGERS = 256
_RMS = {"SIN": 2.0 * math.sqrt(2.0), "TRI": 2.0 * math.sqrt(3.0), "RAMP": 2.0 * math.sqrt(3.0)}


class Channel:
    """Amplitude and offset are kept as open-circuit volts: a load only changes how they are shown.

    Attributes:
        modulation: AM, FM, PM or SWE, of which at most one is on; else empty.
        since: Time on the clock at which the present function began.
        triggers: Times of the latest triggers.
    """

    def __init__(self, capacity: int, now: float) -> None:
        self.memory = WaveformMemory(capacity)
        self.function = "SIN"
        self.selected = BUILT_IN
        self.on = False
        self.modulation = ""
        self.load = OUTPUT_RESISTANCE
        self.unit = "VPP"
        self.amplitude_emf = 0.2
        self.offset_emf = 0.0
        self.limits = (-HIGHEST_EMF, HIGHEST_EMF)
        self.since = now
        self.triggers: list[float] = []

    @property
    def divider(self) -> float:
        """Volts on the programmed load for one volt without load."""
        if math.isinf(self.load):
            return 1.0
        return self.load / (self.load + OUTPUT_RESISTANCE)

    def restart(self, now: float) -> None:
        """Something else is played from now on."""
        self.since = now
        self.triggers = []

    def trigger(self, times: list[float]) -> None:
        """Remember triggers."""
        self.triggers = [*self.triggers, *times][-MOST_TRIGGERS:]

    def select(self, name: str | None, now: float) -> None:
        """Play waveform or sequence `name`; None: the built-in one.

        Raises:
            ScpiError: +785 there is nothing of this name.
        """
        wanted = BUILT_IN if name is None else name
        self.memory.steps_of(wanted)
        self.selected = wanted
        self.restart(now)

    def fits(self, limits: tuple[float, float]) -> bool:
        """Whether the voltage on the load stays within `limits`."""
        offset, half = self.offset_emf * self.divider, 0.5 * self.amplitude_emf * self.divider
        return limits[0] - 1e-9 <= offset - half and offset + half <= limits[1] + 1e-9

    def shown_amplitude(self) -> float:
        """The amplitude in the unit chosen, on the programmed load."""
        volts = self.amplitude_emf * self.divider
        if self.unit == "VPP":
            return volts
        rms = volts / _RMS.get(self.function, 2.0)
        return rms if self.unit == "VRMS" else 10.0 * math.log10(rms**2 / self.load / 1e-3)

    def set_amplitude(self, call: Call, limits: tuple[float, float] | None) -> None:
        """Set it in the unit chosen, or in the unit given; the offset gives way.

        Raises:
            ScpiError: -222 out of range or of the limits, -221 the offset was changed.
        """
        volts = self._volts(call)
        if not LEAST_EMF - 1e-12 <= volts / self.divider <= 2 * HIGHEST_EMF + 1e-9:
            raise ScpiError(-222)
        before = self.amplitude_emf, self.offset_emf
        self.amplitude_emf = volts / self.divider
        room = HIGHEST_EMF - 0.5 * self.amplitude_emf
        self.offset_emf = max(-room, min(room, self.offset_emf))
        self._obey(limits, before)
        if self.offset_emf != before[1]:
            raise ScpiError(-221, "Settings conflict; offset changed due to amplitude")

    def set_offset(self, call: Call, limits: tuple[float, float] | None) -> None:
        """Set it in volts on the programmed load; the amplitude gives way.

        Raises:
            ScpiError: -222 out of range or of the limits, -221 the amplitude was changed.
        """
        highest = HIGHEST_EMF * self.divider
        offset = call.number(-highest, highest, "V", 0.0) / self.divider
        before = self.amplitude_emf, self.offset_emf
        room = 2.0 * (HIGHEST_EMF - abs(offset))
        if room < LEAST_EMF:
            raise ScpiError(-222)
        self.offset_emf = offset
        self.amplitude_emf = min(self.amplitude_emf, room)
        self._obey(limits, before)
        if self.amplitude_emf != before[0]:
            raise ScpiError(-221, "Settings conflict; amplitude changed due to offset")

    def levels(self) -> tuple[float, float]:
        """Lowest and highest volts on the programmed load."""
        offset, half = self.offset_emf * self.divider, 0.5 * self.amplitude_emf * self.divider
        return offset - half, offset + half

    def set_levels(self, low: float, high: float, limits: tuple[float, float] | None) -> None:
        """Amplitude and offset from lowest and highest volts.

        Raises:
            ScpiError: -222 out of range or of the limits.
        """
        least = LEAST_EMF * self.divider
        if high - low < least or max(abs(low), abs(high)) > HIGHEST_EMF * self.divider + 1e-9:
            raise ScpiError(-222)
        before = self.amplitude_emf, self.offset_emf
        self.amplitude_emf = (high - low) / self.divider
        self.offset_emf = 0.5 * (high + low) / self.divider
        self._obey(limits, before)

    def _obey(self, limits: tuple[float, float] | None, before: tuple[float, float]) -> None:
        if limits is not None and not self.fits(limits):
            self.amplitude_emf, self.offset_emf = before
            raise ScpiError(-222, "Data out of range; voltage limits")

    def _volts(self, call: Call) -> float:
        """Volts peak to peak on the programmed load."""
        text = call.text().upper().replace(" ", "")
        unit = self.unit
        for suffix in ("VPP", "VRMS", "DBM"):
            if text.endswith(suffix):
                unit = suffix
                text = text.removesuffix(suffix) + ("" if suffix == "DBM" else "V")
        wide = Call((text,), call.numbers, call.link)
        highest = 2 * HIGHEST_EMF * self.divider
        if unit == "DBM":
            if math.isinf(self.load):
                raise ScpiError(-221, "Settings conflict; dBm needs a load")
            value = wide.number(-1e3, 1e3)
            rms = math.sqrt(1e-3 * 10.0 ** (value / 10.0) * self.load)
            return rms * _RMS.get(self.function, 2.0)
        value = wide.number(LEAST_EMF * 1e-3, highest, "V", 0.1)
        return value * (_RMS.get(self.function, 2.0) if unit == "VRMS" else 1.0)
