"""An AOM driven by one channel of the RF synthesizer: Rabi frequency, or rate, from RF power.

The synthesizer's table runs on a grid of 1 us from the edge of T0; the light's
edges are cut exactly by RF switches that the timing box drives. So a tone's
amplitude may stay on beyond the tone, and must, for the table's grid and
latency not to show: it reaches to the middle of the gap before the next tone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, cast

from pydantic import Field
from qcodes.parameters import Parameter
from qcodes.validators import Numbers

from ..calibration import Calibration
from ..drivers.moglabs_xrf import TableEntry, XRFChannel
from ..errors import LimitError
from ..timeline import Tone
from .base import Health, Limits, Role, RoleSettings, intersection

__all__ = ["Aom", "AomProgram", "AomSettings", "dbm", "watt"]

GRID = 1e-6
"""Seconds: durations of table entries."""
SMALLEST_GAP = 2e-6
"""Seconds between two tones: the change in between must fall clear of both."""
LONGEST_ENTRY = 2**20 - 1
"""Microseconds in one table entry; longer tones take several."""
_TICK = 1e-9  # seconds: rounding of times that were meant to be equal


def dbm(power: float) -> float:
    """Power in dBm of `power` in W."""
    return 10 * math.log10(power / 1e-3)


def watt(power_dbm: float) -> float:
    """Power in W of `power_dbm` in dBm."""
    return float(1e-3 * 10 ** (power_dbm / 10))


class AomSettings(RoleSettings):
    """Station file entries of an `Aom`.

    Attributes:
        calibration: File of kind ``aom_amplitude`` or ``aom_power``.
        frequency: RF frequency in Hz.
        max_power: Largest RF power in dBm that the AOM bears.
        warm_up: Seconds that the amplifier settles after it was switched on.
        hold_after: Seconds that the last tone's amplitude stays on behind the closed RF
            switch: so much later may the timing box open it, and still find the tone.
    """

    calibration: str
    frequency: Annotated[float, Field(ge=20e6, le=400e6)]
    max_power: Annotated[float, Field(ge=-50, le=36)]
    warm_up: Annotated[float, Field(ge=0)] = 2.0
    hold_after: Annotated[float, Field(ge=1e-6, le=0.1)] = 2e-6

    def problems(self, calibration: Calibration | None) -> MappingProxyType[str, str]:
        """A power limit below the calibration's domain leaves nothing to set."""
        found = {}
        if calibration is not None and watt(self.max_power) < calibration.domain[0]:
            found["max_power"] = (
                f"of {self.max_power:g} dBm lies below the calibration's domain, which begins at "
                f"{dbm(calibration.domain[0]):.3g} dBm: nothing could be set"
            )
        return MappingProxyType(found)

    def bounds(self, calibration: Calibration | None) -> MappingProxyType[str, Limits]:
        """Amplitudes in Hz that calibration and `max_power` allow."""
        if calibration is None or self.problems(calibration):
            return MappingProxyType({})
        low, high = intersection(calibration.domain, (0.0, watt(self.max_power)))
        return MappingProxyType(
            {"amplitude": (calibration.forward(low), calibration.forward(high))}
        )


@dataclass(frozen=True, slots=True)
class AomProgram:
    """Table of one channel: what `Aom.compile` makes of the tones."""

    entries: tuple[TableEntry, ...]

    @property
    def duration(self) -> float:
        """Seconds that the table runs after T0."""
        return math.fsum(entry.duration for entry in self.entries)


class Aom(Role):
    """Light through an AOM: `amplitude` in Hz, and timed tones.

    Station file: `source` (a channel of the synthesizer), `calibration`,
    `frequency` [Hz], `max_power` [dBm], and optionally `warm_up` and
    `hold_after` [s].
    """

    settings_model: ClassVar[type[RoleSettings]] = AomSettings
    safe_order: ClassVar[int] = 10
    calibration_kinds: ClassVar[tuple[str, ...]] = ("aom_amplitude", "aom_power")
    calibration_units: ClassVar[tuple[str, str] | None] = ("W", "Hz")
    sources = MappingProxyType({"MOGLabsXRF": ("ch1", "ch2")})

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._channel = cast(XRFChannel, self.source)
        self._uploaded: AomProgram | None = None
        self._table_mode = False
        self._warm = False
        self.amplitude: Parameter = self.add_parameter(
            "amplitude",
            label=self.calibration.output_name or "amplitude",
            unit="Hz",
            get_cmd=self._get_amplitude,
            set_cmd=self._set_amplitude,
            vals=Numbers(),
            snapshot_get=False,
        )
        """Amplitude of the steady tone outside sequences, in Hz, through the calibration"""

    @property
    def limits(self) -> Limits:
        """Smallest and largest amplitude in Hz: calibration, station file and driver together."""
        driver = watt(float(self._channel.limit.cache.get()))
        low, high = intersection(
            self.calibration.domain, (0.0, watt(self.settings.max_power)), (0.0, driver)
        )
        if low > high:
            raise LimitError(
                f"{self.name}: the synthesizer's power limit of {dbm(driver):.4g} dBm lies below "
                f"the calibration's domain, which begins at {dbm(low):.4g} dBm"
            )
        ends = self.calibration.forward(low), self.calibration.forward(high)
        return intersection(ends, self.narrowed("amplitude"))

    def power_of(self, amplitude: float) -> float:
        """RF power in dBm that gives `amplitude` in Hz.

        Raises:
            LimitError: If it is outside the limits.
        """
        low, high = self.limits
        if not low * (1 - 1e-9) <= amplitude <= high * (1 + 1e-9):
            raise LimitError(
                f"{self.name}: {self.amplitude.label} {amplitude:g} Hz lies outside "
                f"[{low:.6g}, {high:.6g}] Hz, given by the calibration's domain, the station "
                f"file's max_power of {self.settings.max_power:g} dBm and the synthesizer's limit"
            )
        return dbm(self.calibration.inverse(min(max(amplitude, low), high)))

    def _get_amplitude(self) -> float:
        return self.calibration.forward(watt(float(self._channel.power.get())))

    def _set_amplitude(self, amplitude: float) -> None:
        power = self.power_of(amplitude)
        self._channel.frequency.set(self.settings.frequency)
        self._channel.power.set(power)

    def compile(self, tones: Sequence[Tone]) -> AomProgram:
        """Table entries for `tones`; asks and sends nothing.

        Raises:
            LimitError: With every overlap, every gap of less than 2 us and every
                amplitude outside the limits, each with its time.
        """
        ordered = sorted(tones, key=lambda tone: tone.start)
        problems = [*self._gap_problems(ordered), *self._amplitude_problems(ordered)]
        if problems:
            raise LimitError(f"{self.name} cannot play these tones: " + "; ".join(problems))
        entries: list[TableEntry] = []
        begun = 0
        for index, tone in enumerate(ordered):
            following = ordered[index + 1] if index + 1 < len(ordered) else None
            end = (
                (tone.stop + following.start) / 2
                if following
                else tone.stop + self.settings.hold_after
            )
            # the last change may be late by part of the grid, never early
            tick = round(end / GRID) if following else math.ceil((end - _TICK) / GRID)
            phase = math.degrees(tone.phase_rad) % 360
            power, frequency = self.power_of(tone.amplitude_hz), self.settings.frequency
            entries.extend(_entries(frequency + tone.offset_hz, power, phase, tick - begun))
            begun = tick
        entries.append(TableEntry(self.settings.frequency, None, 0.0, GRID))
        return AomProgram(tuple(entries))

    def _gap_problems(self, ordered: Sequence[Tone]) -> list[str]:
        problems = []
        for tone, following in zip(ordered, ordered[1:], strict=False):
            gap = following.start - tone.stop
            times = f"the tone ending at {tone.stop:.9g} s and the one from {following.start:.9g} s"
            if gap < -_TICK:
                problems.append(f"{times} overlap by {-gap * 1e6:.4g} us")
            elif gap < SMALLEST_GAP - _TICK:
                problems.append(
                    f"{times} are {gap * 1e6:.4g} us apart, at least {SMALLEST_GAP * 1e6:g} us "
                    "are needed"
                )
        return problems

    def _amplitude_problems(self, ordered: Sequence[Tone]) -> list[str]:
        problems = []
        for tone in ordered:
            try:
                self.power_of(tone.amplitude_hz)
            except LimitError as error:
                problems.append(f"the tone at {tone.start:.9g} s: {error}")
        return problems

    def upload(self, program: AomProgram) -> None:
        """Load the table, unless the synthesizer already holds it; leaves the channel's RF off."""
        self._settings_were_lost()
        if program == self._uploaded:
            return
        self._uploaded = None
        if self._table_mode:
            # the signal only: the amplifier stays on and need not settle again
            self._channel.stop()
            self._channel.signal(False)
        else:
            self._warm = False
            self._channel.mode.set("TSB")
            self._table_mode = True
        self._channel.load_table(program.entries)
        self._channel.rearm(True)
        self._uploaded = program

    def arm(self) -> None:
        """Make the table start at every T0 from now on. Switches the channel's RF on.

        The first time this waits until the amplifier has settled.

        Raises:
            LimitError: If no program was uploaded.
        """
        if self._settings_were_lost() or self._uploaded is None:
            raise LimitError(f"{self.name}: upload a program before arming")
        self._channel.arm()
        if not self._warm:
            self.clock.wait(self.settings.warm_up)
            self._warm = True

    def forget(self) -> None:
        """Upload the table again next time, whatever it is."""
        self._uploaded = None
        self._table_mode = False
        self._warm = False

    def _make_safe(self) -> str:
        self._channel.off()
        # out of the table mode no edge of T0 can start the table and its RF again
        self._channel.mode.set("NSB")
        return "RF off"

    def _examine(self) -> Health:
        status = self._channel.status()
        signal = "on" if status.signal else "off"
        return Health(True, f"signal {signal}, amplifier {'on' if status.amplifier else 'off'}")


def _entries(frequency: float, power: float, phase: float, ticks: int) -> list[TableEntry]:
    parts = []
    while ticks > 0:
        part = min(ticks, LONGEST_ENTRY)
        # division by 1e6 gives the nearest float to the decimal number, times 1e-6 does not
        parts.append(TableEntry(frequency, power, phase, part / 1e6))
        ticks -= part
    return parts
