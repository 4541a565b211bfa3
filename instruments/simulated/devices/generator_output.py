"""What a waveform generator puts on its output terminals during a shot."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..lines import RFTone, Stretch, tidy
from ..shots import Shot
from .base import falling_edges, rising_edges
from .generator_channel import Channel
from .generator_modulation import Carrier, Modulation, Sweep
from .scpi_blocks import BlockScpiDevice
from .waveform_output import (
    MOST_STRETCHES,
    Part,
    Playing,
    Samples,
    Shape,
    boundaries,
    bursts,
    values,
)

SOURCE = "[SOURce#:]"


class GeneratorOutputs(BlockScpiDevice):
    """The physical half of the generator: outputs `ch1`, `ch2`, `sync`; input `trigger`."""

    outputs = ("ch1", "ch2", "sync")
    inputs = ("trigger",)
    channels: dict[int, Channel]

    def of(self, one: int, name: str) -> Any:
        """The setting `SOURce<one>:<name>`."""
        return self.value(SOURCE + name, one)

    def parts(self, one: int) -> tuple[Part, ...]:
        """What a trigger plays on channel `one`."""
        channel = self.channels[one]
        cycles = float(self.of(one, "BURSt:NCYCles"))
        cycles = math.inf if cycles > 1e30 else cycles
        if channel.function != "ARB":
            phase = self.of(one, "BURSt:PHASe" if self.of(one, "BURSt:STATe") else "PHASe")
            return (Part(self._shape(one, phase / 360.0), cycles),)
        rate, memory = float(self.of(one, "FUNCtion:ARBitrary:SRATe")), channel.memory
        steps = memory.steps_of(channel.selected)
        if len(steps) == 1 and steps[0].play == "ONCE":
            return (Part(Samples(memory.waveform(steps[0].name), rate), cycles),)
        return tuple(
            Part(
                Samples(memory.waveform(step.name), rate),
                {"REPEAT": float(step.repeats), "REPEATINF": math.inf}.get(step.play, 1.0),
                waits=step.play == "ONCEWAITTRIG",
                until_trigger=step.play == "REPEATTILTRIG",
            )
            for step in steps
        )

    def _shape(self, one: int, phase: float) -> Shape:
        channel = self.channels[one]
        frequency = float(self.of(one, "FREQuency"))
        duty = self.of(one, "FUNCtion:SQUare:DCYCle") / 100.0
        if channel.function == "PULS":
            duty = min(self.of(one, "FUNCtion:PULSe:WIDTh") * frequency, 1.0)
        symmetry = self.of(one, "FUNCtion:RAMP:SYMMetry") / 100.0
        return Shape(channel.function, frequency, phase, symmetry, duty)

    def carrier(self, one: int) -> Carrier | None:
        """The modulation or sweep of channel `one`, in seconds on the clock less `since`."""
        channel, kind = self.channels[one], self.channels[one].modulation
        if not kind:
            return None
        if kind == "SWE":
            triggers, source = None, self.value("TRIGger#:SOURce", one)
            if source in ("EXT", "BUS"):
                triggers = tuple(time - channel.since for time in channel.triggers)
            return Sweep(
                float(self.of(one, "FREQuency:STARt")),
                float(self.of(one, "FREQuency:STOP")),
                float(self.of(one, "SWEep:TIME")),
                float(self.of(one, "SWEep:HTIMe")),
                float(self.of(one, "SWEep:RTIMe")),
                self.of(one, "SWEep:SPACing") == "LOG",
                triggers,
                float(self.value("TRIGger#:TIMer", one)) if source == "TIM" else 0.0,
            )
        name, unit = {
            "AM": ("AM[:DEPTh]", 100.0),
            "FM": ("FM[:DEViation]", 1.0),
            "PM": ("PM[:DEViation]", 360.0),
        }[kind]
        return Modulation(
            kind,
            float(self.of(one, "FREQuency")),
            float(self.of(one, name)) / unit,
            str(self.of(one, f"{kind}:INTernal:FUNCtion")),
            float(self.of(one, f"{kind}:INTernal:FREQuency")),
        )

    def playing(self, one: int, start: float, stop: float) -> list[Playing]:
        """What channel `one` plays between two times on the clock."""
        channel, parts = self.channels[one], self.parts(one)
        if not self.of(one, "BURSt:STATe"):
            triggers = [channel.since]
            if len(parts) == 1:
                parts = (Part(parts[0].wave, math.inf),)
            else:
                triggers += channel.triggers
            return bursts(parts, triggers)
        triggers = list(channel.triggers)
        source = self.value("TRIGger#:SOURce", one)
        if source in ("IMM", "TIM"):
            timer = self.value("TRIGger#:TIMer", one)
            period = float(timer if source == "TIM" else self.of(one, "BURSt:INTernal:PERiod"))
            reach = sum(min(part.repeats * part.wave.duration, stop) for part in parts)
            first = max(math.floor((start - reach - channel.since) / period), 0)
            last = math.floor((stop - channel.since) / period)
            triggers = [channel.since + period * n for n in range(first, last + 1)]
        return [played for played in bursts(parts, triggers) if played.stop > start]

    def begin(self, shot: Shot) -> None:
        """Register the edges on Ext Trig during this shot."""
        line = shot.input(self.name, "trigger")
        for one, channel in self.channels.items():
            if self.value("TRIGger#:SOURce", one) != "EXT":
                continue
            rising = self.value("TRIGger#:SLOPe", one) == "POS"
            edges = (
                rising_edges(line, shot.period, shot.index == 0)
                if rising
                else falling_edges(line, shot.period)
            )
            delay = float(self.value("TRIGger#:DELay", one))
            channel.trigger([shot.start + edge + delay for edge in edges])

    def _level(self, one: int, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Volts on the load of channel `one` at `times` on the clock."""
        channel = self.channels[one]
        if not channel.on:
            return np.zeros(len(times))
        shape, carrier = np.zeros(len(times)), self.carrier(one)
        if carrier is not None:
            elapsed = times - channel.since
            turned = carrier.turns(elapsed) + float(self.of(one, "PHASe")) / 360.0
            once = replace(self._shape(one, 0.0), frequency=1.0)
            shape = carrier.factor(elapsed) * once.at(turned)
        elif channel.function != "DC":
            rest = float(self.parts(one)[0].wave.at(np.zeros(1))[0])
            playing = self.playing(one, float(times[0]), float(times[-1]) + 1e-12)
            shape = values(playing, rest, times)
        if self.value("OUTPut#:POLarity", one) == "INV":
            shape = -shape
        load = self.settings["input_impedance"]
        volts = channel.offset_emf + 0.5 * channel.amplitude_emf * shape
        return np.asarray(volts * load / (load + 50.0))

    def voltage(self, terminal: str, shot: Shot, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """The voltage itself, not its pieces."""
        if terminal == "sync":
            return super().voltage(terminal, shot, times)
        return self._level(int(terminal[2:]), shot.start + times)

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """A tone, or volts in pieces; sync is high while its channel plays a burst."""
        if terminal == "sync":
            return self._sync(shot)
        one = int(terminal[2:])
        if one not in self.channels or not self.channels[one].on:
            return ()
        tone = self._tone(one)
        if tone is not None:
            return (Stretch(0.0, shot.period, tone),)
        carrier = self.carrier(one)
        if carrier is not None and self._is_radio(one):
            return self._tones(one, carrier, shot)
        stop = shot.start + shot.period
        edges = boundaries(self.playing(one, shot.start, stop), shot.start, stop)
        volts = self._level(one, 0.5 * (edges[1:] + edges[:-1]))
        return tidy(
            Stretch(float(a) - shot.start, float(b) - shot.start, float(v))
            for a, b, v in zip(edges[:-1], edges[1:], volts, strict=True)
        )

    def _is_radio(self, one: int) -> bool:
        """A sine without offset that no burst cuts."""
        channel = self.channels[one]
        burst = self.of(one, "BURSt:STATe")
        return not (channel.function != "SIN" or burst or channel.offset_emf)

    def _tone(self, one: int) -> RFTone | None:
        """A continuous sine without offset is radio frequency."""
        if not self._is_radio(one) or self.carrier(one) is not None:
            return None
        return self._at(one, float(self.of(one, "FREQuency")), 1.0)

    def _at(self, one: int, frequency: float, factor: float, turned: float = 0.0) -> RFTone:
        """The tone with a factor on its amplitude, ahead by some cycles."""
        load = self.settings["input_impedance"]
        peak = 0.5 * abs(factor) * self.channels[one].amplitude_emf * load / (load + 50.0)
        dbm = 10.0 * math.log10(max(peak, 1e-12) ** 2 / (2.0 * load) / 1e-3)
        ahead = 360.0 * turned + (180.0 if factor < 0.0 else 0.0)
        return RFTone(frequency, dbm, float(self.of(one, "PHASe")) + ahead)

    def _tones(self, one: int, carrier: Carrier, shot: Shot) -> tuple[Stretch, ...]:
        """A modulated or swept sine: tones in pieces, each as in its middle."""
        count = math.ceil(min(shot.period / carrier.grid, MOST_STRETCHES))
        edges = np.linspace(0.0, shot.period, count + 1)
        middle = shot.start - self.channels[one].since + 0.5 * (edges[1:] + edges[:-1])
        frequencies, factors = carrier.frequency(middle), carrier.factor(middle)
        ahead = np.zeros(count)
        if isinstance(carrier, Modulation) and carrier.kind == "PM":
            ahead = carrier.turns(middle) - carrier.carrier * middle
        rows = zip(
            edges[:-1].tolist(), edges[1:].tolist(), frequencies.tolist(), factors.tolist(),
            ahead.tolist(), strict=True,
        )  # fmt: skip
        return tidy(
            Stretch(begin, end, self._at(one, frequency, factor, turned))
            for begin, end, frequency, factor, turned in rows
        )

    def _sync(self, shot: Shot) -> tuple[Stretch, ...]:
        one = 2 if self.value("OUTPut:SYNC:SOURce") == "CH2" else 1
        if not self.value("OUTPut:SYNC") or not self.of(one, "BURSt:STATe"):
            return ()
        stop = shot.start + shot.period
        windows = self.playing(one, shot.start, stop)
        return tidy(
            Stretch(max(w.start, shot.start) - shot.start, min(w.stop, stop) - shot.start, True)
            for w in windows
            if w.start < stop
        )

    def steady(self, shot: Shot) -> bool:
        """Each shot sees the same: nothing runs but tones and bursts that the shot starts."""
        return all(self._repeats(one, shot) for one in self.channels)

    def _repeats(self, one: int, shot: Shot) -> bool:
        channel = self.channels[one]
        if not channel.on or channel.function == "DC" or self._tone(one) is not None:
            return True
        carrier = self.carrier(one)
        if isinstance(carrier, Sweep) and carrier.triggers is not None:
            inside = [time - shot.start for time in channel.triggers if time >= shot.start]
            return all(time + carrier.length <= shot.period for time in inside)
        if not self.of(one, "BURSt:STATe"):
            return False
        if self.value("TRIGger#:SOURce", one) not in ("EXT", "BUS"):
            return False
        stop = shot.start + shot.period
        return all(w.stop <= stop for w in self.playing(one, shot.start, stop))
