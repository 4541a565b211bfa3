"""One output of a Keysight 33500B / 33600A: voltage window, waveforms, sequences, pulses."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from qcodes.validators import Enum, Numbers

from ..errors import InstrumentError, LimitError
from .base import finite
from .keysight_33600a_modulation import ModulatedChannel

if TYPE_CHECKING:
    from qcodes.parameters import Parameter

    from .keysight_33600a import Keysight33600A

LEAST_POINTS = 8
NAME_PATTERN = r"[A-Za-z]\w{0,11}"
HIGHEST_EMF = 10.0
"""Volts without load, peak."""
INFINITE_LOAD = 9.9e37
UPLOAD_SECONDS_PER_BYTE = 1e-6
"""How long *OPC? may take after a block, per byte, besides the usual time-out."""
PLAYS = ("once", "onceWaitTrig", "repeat", "repeatInf", "repeatTilTrig")


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """One step of a sequence.

    Attributes:
        waveform: Name of a waveform that is loaded.
        repeats: How often it is played, for `play="repeat"`.
        play: `once`, `onceWaitTrig` (then wait for a trigger), `repeat`, `repeatInf`, or
            `repeatTilTrig` (until a trigger).
        marker: What sync does at the start: `maintain`, `lowAtStart`, `highAtStart` or
            `highAtStartGoLow`.
        marker_point: Point at which `highAtStartGoLow` ends; 4 to length - 3.
    """

    waveform: str
    repeats: int = 1
    play: str = "once"
    marker: str = "lowAtStart"
    marker_point: int = 4

    def __post_init__(self) -> None:
        if self.play not in PLAYS:
            raise LimitError(f"SequenceStep: play must be one of {PLAYS}, but is {self.play!r}.")
        if not 1 <= self.repeats <= 1_000_000:
            raise LimitError(f"SequenceStep: repeats must be 1 to 1e6, but is {self.repeats!r}.")

    def __str__(self) -> str:
        repeats = self.repeats if self.play == "repeat" else 1
        return f"{self.waveform},{repeats},{self.play},{self.marker},{self.marker_point}"


class Keysight33600AChannel(ModulatedChannel):
    """One output: all of QCoDeS' channel, with voltages that are checked and read back.

    Args:
        parent: The generator.
        number: 1 or 2.
    """

    def __init__(self, parent: Keysight33600A, number: int) -> None:
        super().__init__(parent, f"ch{number}", number)
        self._generator = parent
        self._source = f"SOUR{number}"
        self._output = f"OUTP{number}"
        self._add_voltages()
        self._add_waveforms()
        self._add_modulation()

    def _replace(self, name: str) -> None:
        """Take a parameter of the stock channel out, to add it again with checks."""
        del self.parameters[name]
        delattr(self, name)

    def _add_voltages(self) -> None:
        for name in ("amplitude", "offset", "output"):
            self._replace(name)
        self.amplitude: Parameter = self.add_parameter(
            "amplitude",
            label=f"{self.short_name} amplitude",
            get_cmd=f"{self._source}:VOLT?",
            get_parser=finite,
            set_cmd=self._set_amplitude,
            vals=Numbers(),
        )
        """Amplitude in `amplitude_unit` (Vpp after reset), on the load set by `load`."""
        self.offset: Parameter = self.add_parameter(
            "offset",
            unit="V",
            get_cmd=f"{self._source}:VOLT:OFFS?",
            get_parser=finite,
            set_cmd=self._set_offset,
            vals=Numbers(-HIGHEST_EMF, HIGHEST_EMF),
        )
        """Offset in volts, on the load set by `load`."""
        self.output: Parameter = self.add_parameter(
            "output",
            get_cmd=f"{self._output}?",
            set_cmd=self._switch,
            val_mapping={"ON": 1, "OFF": 0},
        )
        """The output; on only if amplitude and offset fit the laboratory's limits."""
        self.load: Parameter = self.add_parameter(
            "load",
            unit="Ohm",
            get_cmd=f"{self._output}:LOAD?",
            get_parser=_load,
            set_cmd=self._set_load,
            vals=Numbers(1.0, math.inf),
        )
        """What is connected, 1 ohm to 10 kohm or inf; only changes how voltages are shown."""

    def _add_waveforms(self) -> None:
        function = f"{self._source}:FUNC:ARB"
        self.waveform: Parameter = self.add_parameter(
            "waveform",
            get_cmd=f"{function}?",
            get_parser=lambda text: text.strip().strip('"'),
            set_cmd=f"{function} {{}}",
        )
        """The waveform or sequence that function ARB plays."""
        self.sample_rate: Parameter = self.add_parameter(
            "sample_rate",
            unit="Sa/s",
            get_cmd=f"{function}:SRAT?",
            get_parser=finite,
            set_cmd=f"{function}:SRAT {{:.9g}}",
            vals=Numbers(1e-6, 1e9),
        )
        """Points played per second; the model may reach less."""
        self.filter: Parameter = self.add_parameter(
            "filter",
            get_cmd=f"{function}:FILT?",
            set_cmd=f"{function}:FILT {{}}",
            vals=Enum("NORM", "STEP", "OFF"),
        )
        """NORM: flat; STEP: no overshoot; OFF: points are held."""
        self.advance: Parameter = self.add_parameter(
            "advance",
            get_cmd=f"{function}:ADV?",
            set_cmd=f"{function}:ADV {{}}",
            vals=Enum("TRIG", "SRAT"),
        )
        """A point for each trigger, or at the sample rate."""
        self.free_points: Parameter = self.add_parameter(
            "free_points", get_cmd=f"{self._source}:DATA:VOL:FREE?", get_parser=_integer,
            set_cmd=False,
        )  # fmt: skip
        """Points that still fit into the memory."""

    # ---- voltage ---------------------------------------------------------------------

    def protect(self, low: float | None = None, high: float | None = None) -> None:
        """Switch the generator's own voltage limits on, and read them back.

        Args:
            low: Volts; the laboratory's limit if not given, which may only be narrowed.
            high: Likewise.

        Raises:
            LimitError: No limits are known, or wider ones are asked for; nothing was sent.
            InstrumentError: Present amplitude and offset exceed them, or they were not taken.
        """
        known = self._generator.voltage_limits or (-math.inf, math.inf)
        low, high = known[0] if low is None else low, known[1] if high is None else high
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise LimitError(f"{self.full_name}: voltage limits must be finite, low < high.")
        if low < known[0] or high > known[1]:
            raise LimitError(
                f"{self.full_name}: {low:g} to {high:g} V is wider than the laboratory's limits "
                f"{known[0]:g} to {known[1]:g} V."
            )
        with self._generator.group():
            self.write(f"{self._source}:VOLT:LIM:STAT OFF")
            # The two never cross on the way, whatever was set before.
            self.write(f"{self._source}:VOLT:LIM:LOW {-HIGHEST_EMF:g}")
            self.write(f"{self._source}:VOLT:LIM:HIGH {high:.6g}")
            self.write(f"{self._source}:VOLT:LIM:LOW {low:.6g}")
            self.write(f"{self._source}:VOLT:LIM:STAT ON")
        for word, wanted in (("LOW", low), ("HIGH", high)):
            self._confirm(f"{self._source}:VOLT:LIM:{word}?", wanted)

    def _set_amplitude(self, value: float) -> None:
        with self._generator.lock:
            unit = self._unit()
            highest = 2 * HIGHEST_EMF * self._divider()
            if unit == "VPP" and not 0 < value <= highest * (1 + 1e-9):
                raise LimitError(
                    f"{self.full_name}: the amplitude must be > 0 and at most {highest:g} Vpp on "
                    f"the load that is set, but is {value!r}."
                )
            if self._generator.voltage_limits is not None:
                self._check_window(value, finite(self.ask(f"{self._source}:VOLT:OFFS?")), unit)
            self.write(f"{self._source}:VOLT {value:.8g}")
            self._confirm(f"{self._source}:VOLT?", value)

    def _set_offset(self, value: float) -> None:
        with self._generator.lock:
            if self._generator.voltage_limits is not None:
                amplitude = finite(self.ask(f"{self._source}:VOLT?"))
                self._check_window(amplitude, value, self._unit())
            self.write(f"{self._source}:VOLT:OFFS {value:.8g}")
            self._confirm(f"{self._source}:VOLT:OFFS?", value)

    def _set_load(self, ohms: float) -> None:
        if not (ohms <= 1e4 or math.isinf(ohms)):
            raise LimitError(f"{self.full_name}: the load must be 1 to 1e4 ohm, or inf.")
        self.write(f"{self._output}:LOAD {'INF' if math.isinf(ohms) else f'{ohms:g}'}")
        for name in ("amplitude", "offset"):
            self.parameters[name].cache.invalidate()

    def _switch(self, code: int) -> None:
        with self._generator.lock:
            if code and self._generator.voltage_limits is not None:
                amplitude = finite(self.ask(f"{self._source}:VOLT?"))
                offset = finite(self.ask(f"{self._source}:VOLT:OFFS?"))
                self._check_window(amplitude, offset, self._unit())
            self.write(f"{self._output} {'ON' if code else 'OFF'}")
            if int(self.ask(f"{self._output}?")) != code:
                raise InstrumentError(
                    f"{self.full_name} at {self._generator.address}: the output did not obey. "
                    "Look at the front panel (overload?)."
                )

    def _check_window(self, amplitude: float, offset: float, unit: str) -> None:
        """Refuse what leaves the laboratory's voltage limits on the load that is set."""
        limits = cast("tuple[float, float]", self._generator.voltage_limits)
        if unit != "VPP":
            raise LimitError(
                f"{self.full_name}: with voltage limits the amplitude must be in VPP, but the "
                f"unit is {unit}: set amplitude_unit to VPP."
            )
        low, high = offset - amplitude / 2, offset + amplitude / 2
        if low < limits[0] - 1e-9 or high > limits[1] + 1e-9:
            raise LimitError(
                f"{self.full_name}: {low:g} to {high:g} V would leave the laboratory's limits "
                f"{limits[0]:g} to {limits[1]:g} V."
            )

    def _unit(self) -> str:
        return str(self.ask(f"{self._source}:VOLT:UNIT?")).strip()

    def _divider(self) -> float:
        load = _load(self.ask(f"{self._output}:LOAD?"))
        return 1.0 if math.isinf(load) else load / (load + 50.0)

    def _confirm(self, question: str, wanted: float) -> None:
        found = finite(self.ask(question))
        if abs(found - wanted) > 1e-3 + 1e-3 * abs(wanted):
            raise InstrumentError(
                f"{self.full_name} at {self._generator.address}: {wanted:g} was set, but "
                f"{question} answers {found:g}. Switch the output off and look at the generator."
            )

    # ---- waveforms -------------------------------------------------------------------

    def catalog(self) -> list[str]:
        """Names of all waveforms and sequences in the memory."""
        text = str(self.ask(f"{self._source}:DATA:VOL:CAT?"))
        return re.findall(r'"([^"]*)"', text)

    def clear_waveforms(self) -> None:
        """Empty the channel's memory; needed before a name is used again."""
        self.write(f"{self._source}:DATA:VOL:CLE")
        self.parameters["waveform"].cache.invalidate()

    def upload(self, name: str, points: ArrayLike) -> None:
        """Load a waveform as a binary block, wait until it is taken in, and count its points.

        Args:
            name: New name, a letter and up to 11 letters, digits or underscores.
            points: Values -1 to 1 (of half the amplitude, around the offset), 8 or more.

        Raises:
            LimitError: If name or points are not allowed; nothing was sent.
            InstrumentError: If the generator refuses (known name, full memory).
        """
        values = self._checked(name, points)
        data = values.astype("<f4").tobytes()
        generator = self._generator
        with generator.lock:
            with generator.group():
                generator.write("FORM:BORD SWAP")
                generator.write_block(f"{self._source}:DATA:ARB {name},", data)
                self._wait_for_block(len(data))
            self._confirm_points(name, len(values))

    def upload_sequence(self, name: str, steps: Sequence[SequenceStep]) -> None:
        """Load a sequence of waveforms that are already in the memory.

        Raises:
            LimitError: If the name is not allowed, or there is no step; nothing was sent.
            InstrumentError: If the generator refuses.
        """
        self._check_name(name)
        if not steps:
            raise LimitError(f"{self.full_name}: a sequence needs at least one step.")
        text = ",".join([name, *(str(step) for step in steps)])
        with self._generator.group():
            self._generator.write_block(f"{self._source}:DATA:SEQ ", text.encode("ascii"))
            self._wait_for_block(len(text))

    def prepare_pulse(
        self, name: str, rate: float, cycles: int = 1, slope: str = "POS", delay: float = 0.0
    ) -> None:
        """Play a loaded waveform `cycles` times at each edge on Ext Trig; no output is switched.

        Args:
            name: Waveform or sequence.
            rate: Points per second.
            cycles: Passes for each trigger.
            slope: POS or NEG.
            delay: Seconds from edge to start.

        Raises:
            InstrumentError: If the generator refuses; it is then not armed.
        """
        generator = self._generator
        with generator.lock:
            self.waveform(name)
            self.function_type("ARB")
            self.sample_rate(rate)
            self.burst_mode("N Cycle")
            self.burst_ncycles(cycles)
            self.trigger_source("EXT")
            self.trigger_slope(slope)
            if "trigger_delay" in self.parameters:
                self.parameters["trigger_delay"](delay)
            self.burst_state("ON")
            generator.ask_parsed("*OPC?", int, "1", repeat=True)

    def _wait_for_block(self, size: int) -> None:
        generator = self._generator
        usual = generator.timeout()
        patience = (usual or 0.0) + UPLOAD_SECONDS_PER_BYTE * size + 5.0
        with generator.timeout.set_to(None if usual is None else patience):
            generator.ask_parsed("*OPC?", int, "1", repeat=False)

    def _confirm_points(self, name: str, wanted: int) -> None:
        found = _integer(self.ask(f"{self._source}:DATA:ATTR:POIN? {name}"))
        if found != wanted:
            raise InstrumentError(
                f"{self.full_name} at {self._generator.address}: {wanted} points of {name} were "
                f"sent, but {found} arrived. Clear the waveforms and upload again."
            )

    def _check_name(self, name: str) -> None:
        if re.fullmatch(NAME_PATTERN, name) is None:
            raise LimitError(
                f"{self.full_name}: {name!r} is no name of a waveform: a letter, then up to 11 "
                "letters, digits or underscores."
            )

    def _checked(self, name: str, points: ArrayLike) -> NDArray[np.float64]:
        self._check_name(name)
        values = np.asarray(points, dtype=np.float64)
        if values.ndim != 1 or len(values) < LEAST_POINTS:
            raise LimitError(f"{self.full_name}: a waveform needs one row of 8 points or more.")
        if not np.all(np.abs(values) <= 1.0):
            raise LimitError(
                f"{self.full_name}: the points of a waveform must lie within -1 to 1 (half the "
                "amplitude around the offset)."
            )
        return values


def _load(text: str) -> float:
    """Ohms; inf for high impedance."""
    value = float(text)
    return math.inf if value >= INFINITE_LOAD else value


def _integer(text: str) -> int:
    """An integer, also in the form +1.00E+03.

    Raises:
        ValueError: If it is none.
    """
    value = float(text)
    if value != int(value):
        raise ValueError(text)
    return int(value)
