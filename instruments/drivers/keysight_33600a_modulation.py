"""Modulation and frequency sweeps of one output of a Keysight 33500B / 33600A."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qcodes.instrument_drivers.Keysight import Keysight33xxxOutputChannel
from qcodes.validators import Enum, Numbers

from ..errors import LimitError
from .base import finite

if TYPE_CHECKING:
    from qcodes.parameters import Parameter

    from .keysight_33600a import Keysight33600A

SHAPES = ("SIN", "SQU", "TRI", "RAMP", "NRAM", "NOIS", "PRBS", "ARB")
"""What an internal modulation may look like."""
KINDS = ("AM", "FM", "PM", "SWE")


class ModulatedChannel(Keysight33xxxOutputChannel):
    """The part of an output that modulates and sweeps, by the generator's internal source.

    Only one of AM, FM, PM, sweep and burst is on at a time. The methods set all of one up and
    then switch it on; the output itself is switched by `output`.
    """

    _generator: Keysight33600A
    _source: str

    def _add_modulation(self) -> None:
        self.am_depth: Parameter = self._number("am_depth", "AM:DEPT", "%", 0.0, 100.0)
        """Depth of AM in percent; more than 100 would exceed the amplitude that was checked."""
        self.fm_deviation: Parameter = self._number("fm_deviation", "FM:DEV", "Hz", 0.0, 120e6)
        """Largest distance from the frequency with FM, in hertz."""
        self.pm_deviation: Parameter = self._number("pm_deviation", "PM:DEV", "deg", 0.0, 360.0)
        """Largest phase with PM, in degrees."""
        self.sweep_start: Parameter = self._number("sweep_start", "FREQ:STAR", "Hz", 1e-6, 120e6)
        """Frequency at which a sweep begins, in hertz."""
        self.sweep_stop: Parameter = self._number("sweep_stop", "FREQ:STOP", "Hz", 1e-6, 120e6)
        """Frequency at which a sweep ends, in hertz."""
        self.sweep_time: Parameter = self._number("sweep_time", "SWE:TIME", "s", 1e-3, 25e4)
        """Seconds from start to stop."""
        self.sweep_hold: Parameter = self._number("sweep_hold", "SWE:HTIM", "s", 0.0, 3600.0)
        """Seconds at stop."""
        self.sweep_return: Parameter = self._number("sweep_return", "SWE:RTIM", "s", 0.0, 3600.0)
        """Seconds back to start."""
        self.sweep_spacing: Parameter = self.add_parameter(
            "sweep_spacing",
            get_cmd=f"{self._source}:SWE:SPAC?",
            set_cmd=f"{self._source}:SWE:SPAC {{}}",
            vals=Enum("LIN", "LOG"),
        )
        """LIN: equal steps, LOG: equal factors."""
        self.modulation: Parameter = self.add_parameter(
            "modulation", get_cmd=self._modulation, set_cmd=False
        )
        """Which of AM, FM, PM and SWE is on; empty if none is."""

    def _number(self, name: str, command: str, unit: str, low: float, high: float) -> Parameter:
        question = f"{self._source}:{command}"
        return self.add_parameter(
            name,
            unit=unit,
            get_cmd=f"{question}?",
            get_parser=finite,
            set_cmd=f"{question} {{:.12g}}",
            vals=Numbers(low, high),
        )

    def _modulation(self) -> str:
        on = [kind for kind in KINDS if int(self.ask(f"{self._source}:{kind}:STAT?"))]
        return on[0] if on else ""

    def modulate_amplitude(self, depth: float, rate: float, shape: str = "SIN") -> None:
        """Switch AM on: amplitude times (1 + depth/100 m)/2, m from -1 to 1.

        Args:
            depth: Percent, 0 to 100.
            rate: Hertz of the modulating shape.
            shape: One of `SHAPES`.

        Raises:
            LimitError: If a value is not allowed; nothing was sent.
            InstrumentError: If the generator refuses.
        """
        self._modulate("AM", self.am_depth, depth, rate, shape)

    def modulate_frequency(self, deviation: float, rate: float, shape: str = "SIN") -> None:
        """Switch FM on: frequency + deviation m, in hertz; otherwise as `modulate_amplitude`.

        Raises:
            LimitError: Also if the deviation exceeds the frequency.
        """
        carrier = finite(self.ask(f"{self._source}:FREQ?"))
        if deviation > carrier:
            raise LimitError(
                f"{self.full_name}: a deviation of {deviation:g} Hz exceeds the frequency of "
                f"{carrier:g} Hz."
            )
        self._modulate("FM", self.fm_deviation, deviation, rate, shape)

    def modulate_phase(self, deviation: float, rate: float, shape: str = "SIN") -> None:
        """Switch PM on: phase + deviation m, in degrees; otherwise as `modulate_amplitude`."""
        self._modulate("PM", self.pm_deviation, deviation, rate, shape)

    def _modulate(
        self, kind: str, strength: Parameter, value: float, rate: float, shape: str
    ) -> None:
        self._refuse_unless(shape in SHAPES, f"shape must be one of {SHAPES}, but is {shape!r}")
        self._refuse_unless(1e-6 <= rate <= 5e6, f"rate must be 1e-6 to 5e6 Hz, but is {rate!r}")
        self._validate(strength, value)
        with self._generator.lock:
            self.unmodulated()
            self.write(f"{self._source}:{kind}:SOUR INT")
            self.write(f"{self._source}:{kind}:INT:FUNC {shape}")
            self.write(f"{self._source}:{kind}:INT:FREQ {rate:.12g}")
            strength(value)
            self._switch_on(kind)

    def sweep(
        self,
        start: float,
        stop: float,
        time: float,
        *,
        spacing: str = "LIN",
        hold: float = 0.0,
        back: float = 0.0,
        trigger: str = "IMM",
    ) -> None:
        """Switch a sweep of the frequency on.

        Args:
            start, stop: Hertz, either the larger.
            time, hold, back: Seconds from start to stop, at stop, and back to start.
            spacing: LIN or LOG.
            trigger: IMM: one after the other; EXT, BUS or TIM: one behind each trigger.

        Raises:
            LimitError: If a value is not allowed; nothing was sent.
            InstrumentError: If the generator refuses.
        """
        wanted = (
            (self.sweep_start, start),
            (self.sweep_stop, stop),
            (self.sweep_time, time),
            (self.sweep_hold, hold),
            (self.sweep_return, back),
            (self.sweep_spacing, spacing),
            (self.trigger_source, trigger),
        )
        for parameter, value in wanted:
            self._validate(parameter, value)
        with self._generator.lock:
            self.unmodulated()
            for parameter, value in wanted:
                parameter(value)
            self._switch_on("SWE")

    def unmodulated(self) -> None:
        """Switch AM, FM, PM and sweep off."""
        with self._generator.lock:
            for kind in KINDS:
                self.write(f"{self._source}:{kind}:STAT OFF")

    def _switch_on(self, kind: str) -> None:
        self.write(f"{self._source}:{kind}:STAT ON")
        self.parameters["burst_state"].cache.invalidate()

    def _validate(self, parameter: Parameter, value: object) -> None:
        try:
            parameter.validate(value)
        except (ValueError, TypeError) as error:
            raise LimitError(f"{self.full_name}: {error}") from error

    def _refuse_unless(self, sound: bool, rule: str) -> None:
        if not sound:
            raise LimitError(f"{self.full_name}: {rule}.")
