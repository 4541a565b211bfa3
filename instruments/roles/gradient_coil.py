"""A coil whose field gradient sets the difference of the two ensembles' detunings."""

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
from ..drivers.delta_sm15k import DeltaSM15K
from ..drivers.kepco_bop import KepcoBOP
from ..errors import InstrumentError, LimitError
from ..laws import COLD, copper_temperature
from ..timeline import Tone
from .base import Health, Limits, Role, RoleSettings, intersection

__all__ = ["CoilProgram", "GradientCoil", "GradientCoilSettings"]

COMPLAINTS = frozenset(
    {"DC fail", "AC fail", "over-temperature", "interlock", "remote shut-down", "power limit"}
)
"""Words of a SM15K's status with which no shot is good."""
TELLING = 0.05
"""Part of `max_current` below which current and voltage are too small to tell a temperature."""


READINGS = 3
"""Readings of the current that must all be off before a run fails: one may be noise."""
SETTLED_AFTER = "settled_after"
"""Condition of the calibration: seconds after the last change from which on its law holds."""


@dataclass(frozen=True, slots=True)
class CoilProgram:
    """Currents in A that the supply plays by itself from `GradientCoil.arm` on, each as long.

    Attributes:
        currents: In order; the supply stays at the last one.
        dwell: Seconds for each.
    """

    currents: tuple[float, ...]
    dwell: float


class GradientCoilSettings(RoleSettings):
    """Station file entries of a `GradientCoil`.

    Attributes:
        calibration: File of kind ``linear``, from A to Hz.
        max_current: Largest current, of either sign, in A.
        compliance: Voltage in V up to which the supply drives that current.
        ramp_rate: A/s, for every change of the current; the supply's own `ramp_rate`
            holds as well.
        settle_time: Seconds to wait at the end of a ramp; longer where the calibration's
            condition `settled_after` says so.
        tolerance: Largest difference between current set and measured, in A.
        cold_resistance: Ohm of copper coil and leads at 20 degC, as the supply's own
            voltage and current readings give it; tells the coil's temperature.
        hottest: Temperature in degC above which the coil is no longer fit; needs
            `cold_resistance`.
    """

    calibration: str
    max_current: Annotated[float, Field(gt=0)]
    compliance: Annotated[float, Field(gt=0)]
    ramp_rate: Annotated[float, Field(gt=0)] = 4.0
    settle_time: Annotated[float, Field(ge=0)] = 0.2
    tolerance: Annotated[float, Field(gt=0)] = 0.05
    cold_resistance: Annotated[float, Field(gt=0)] | None = None
    hottest: Annotated[float, Field(gt=COLD, le=250)] | None = None

    def problems(self, calibration: Calibration | None) -> MappingProxyType[str, str]:
        """A current limit outside the calibration's domain, a temperature that nobody can tell."""
        found = {}
        if self.hottest is not None and self.cold_resistance is None:
            found["hottest"] = (
                "needs `cold_resistance`: the temperature is told by the coil's resistance"
            )
        low, high = (0.0, 0.0) if calibration is None else calibration.domain
        if low > self.max_current or high < -self.max_current:
            found["max_current"] = (
                f"of {self.max_current:g} A excludes the calibration's domain "
                f"[{low:g}, {high:g}] A: nothing could be set"
            )
        return MappingProxyType(found)

    def bounds(self, calibration: Calibration | None) -> MappingProxyType[str, Limits]:
        """Detuning differences in Hz that calibration and `max_current` allow."""
        if calibration is None or self.problems(calibration):
            return MappingProxyType({})
        most = (-self.max_current, self.max_current)
        return MappingProxyType({"detuning_difference": _between(calibration, most)})


class GradientCoil(Role):
    """Detuning difference of two ensembles from a coil current.

    Station file: `source` (the supply), `calibration`, `max_current` [A],
    `compliance` [V], and optionally `ramp_rate`, `settle_time`, `tolerance`,
    `cold_resistance` [Ohm] and `hottest` [degC]. A Delta SM15K gives one sign of the
    current only; its watchdog is left to its driver, for a block may outlast it.

    A sequence may hold tones of the gradient (amplitude: detuning difference): a Kepco supply
    plays them as a list, started by `arm` just before the shot, to some milliseconds.
    """

    settings_model: ClassVar[type[RoleSettings]] = GradientCoilSettings
    safe_order: ClassVar[int] = 20
    calibration_kinds: ClassVar[tuple[str, ...]] = ("linear",)
    calibration_units: ClassVar[tuple[str, str] | None] = ("A", "Hz")
    sources = MappingProxyType({"KepcoBOP": (), "DeltaSM15K": ()})

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._supply = cast("KepcoBOP | DeltaSM15K", self.source)
        self._driven = False
        self._program: CoilProgram | None = None
        self._playing = False
        self.detuning_difference: Parameter = self.add_parameter(
            "detuning_difference",
            label="detuning difference",
            unit="Hz",
            get_cmd=lambda: self.calibration.forward(float(self._supply.current.get())),
            set_cmd=self._set_detuning_difference,
            vals=Numbers(),
            snapshot_get=False,
        )
        """Difference of the ensembles' detunings in Hz; setting ramps the coil and settles"""
        if self.settings.cold_resistance is not None:
            self.temperature: Parameter = self.add_parameter(
                "temperature",
                label="coil temperature",
                unit="degC",
                get_cmd=self._temperature,
                set_cmd=False,
                snapshot_get=False,
            )
            """Mean temperature of the winding, from its resistance; nan at small currents"""

    @property
    def limits(self) -> Limits:
        """Smallest and largest detuning difference in Hz."""
        detunings = _between(self.calibration, self.currents)
        return intersection(detunings, self.narrowed("detuning_difference"))

    @property
    def currents(self) -> Limits:
        """Smallest and largest current in A of station file and supply; a SM15K has one sign."""
        supply, most = self._supply, float(self.settings.max_current)
        if isinstance(supply, DeltaSM15K):
            return 0.0, min(most, supply.limits["CUR"])
        most = min(most, supply.max_current)
        return -most, most

    def current_of(self, detuning: float) -> float:
        """Coil current in A that gives `detuning` in Hz.

        Raises:
            LimitError: If it is outside the limits.
        """
        low, high = self.limits
        slack = 1e-9 * (high - low)
        if not low - slack <= detuning <= high + slack:
            raise LimitError(
                f"{self.name}: detuning difference {detuning:g} Hz lies outside "
                f"[{low:.6g}, {high:.6g}] Hz, given by the calibration's domain, the station "
                f"file's max_current of {self.settings.max_current:g} A and the supply's limits, "
                f"together {self.currents[0]:g} to {self.currents[1]:g} A"
            )
        return self.calibration.inverse(min(max(detuning, low), high))

    def _set_detuning_difference(self, detuning: float) -> None:
        current = self.current_of(detuning)
        self._finish_list()
        if not self._supply.output_enabled.get():
            self._refuse_if_tripped()
            self._switch_on()
        self._driven = True
        self._supply.ramp_current(current, self.ramp_rate)
        self.clock.wait(self.settling_time)
        self._check_reached(current)

    @property
    def settling_time(self) -> float:
        """Seconds to wait after the last change of the current: of station file, calibration."""
        measured = self.calibration.conditions.get(SETTLED_AFTER, 0.0)
        return float(max(self.settings.settle_time, measured))

    def compile(self, tones: Sequence[Tone]) -> CoilProgram:
        """The currents of tones that follow each other from T0 on, all of one length.

        Raises:
            LimitError: If the supply plays no lists, or not these tones.
        """
        if isinstance(self._supply, DeltaSM15K):
            raise LimitError(f"{self.name}: a Delta SM15K plays no list of currents here")
        dwell = tones[0].duration if tones else 0.0
        starts = [number * dwell for number in range(len(tones))]
        if len(tones) < 2 or any(
            abs(tone.start - start) > 1e-9 or abs(tone.duration - dwell) > 1e-9
            for tone, start in zip(tones, starts, strict=True)
        ):
            raise LimitError(
                f"{self.name}: a list needs two tones or more, the first from T0 on, each of the "
                "same length and right behind the one before"
            )
        return CoilProgram(tuple(self.current_of(tone.amplitude_hz) for tone in tones), dwell)

    def upload(self, program: CoilProgram) -> None:
        """Load the list where it is another than before; the coil settles where the list begins.

        Raises:
            LimitError: If the list steps further or faster than the supply's driver allows.
        """
        supply = self._kepco()
        self._finish_list()
        if program != self._program:
            self._program = None
            supply.list.load(program.currents, program.dwell)
            self._program = program

    def arm(self) -> None:
        """Start the list: the supply plays it from now on.

        Raises:
            InstrumentError: If the output is off, or the current set is not where it begins.
        """
        self._kepco().list.run()
        self._playing = True

    def _kepco(self) -> KepcoBOP:
        if isinstance(self._supply, DeltaSM15K):
            raise InstrumentError(f"{self.name}: a Delta SM15K plays no list of currents here")
        return self._supply

    def _finish_list(self) -> None:
        """Back to the current set before, and settled there."""
        if self._playing:
            self._kepco().list.finish()
            self._playing = False
            self.clock.wait(self.settling_time)

    def _refuse_if_tripped(self) -> None:
        if self._driven:
            raise InstrumentError(
                f"{self.name}: the output went off by itself, so its interlock or a protection "
                "has tripped. Look at the coil's cooling and at the supply, then make the role "
                "safe: only after that it is switched on again."
            )

    def _temperature(self, measured: float | None = None) -> float:
        """Of a current at rest: while it changes, the coil's inductance adds to the voltage."""
        current = float(self._supply.measured_current.get()) if measured is None else measured
        if abs(current) < TELLING * self.settings.max_current:
            return math.nan
        voltage = float(self._supply.measured_voltage.get())
        return copper_temperature(voltage / current, self.settings.cold_resistance)

    @property
    def ramp_rate(self) -> float:
        """Largest slew of the current in A/s: the smaller of station file and supply."""
        supply = getattr(self._supply, "ramp_rate", self.settings.ramp_rate)
        return float(min(self.settings.ramp_rate, supply))

    def _switch_on(self) -> None:
        """Output on at 0 A, with the compliance set before."""
        supply, compliance = self._supply, self.settings.compliance
        if isinstance(supply, DeltaSM15K):
            supply.take_control()
            supply.voltage.set(compliance)
            # its power is limited too: by what the coil can take at these limits
            supply.power.set(min(supply.limits["POW"], compliance * self.currents[1]))
        else:
            supply.mode.set("current")
            supply.compliance.set(compliance)
        supply.current.set(0.0)
        supply.output_enabled.set(True)

    def _check_reached(self, current: float) -> None:
        measured = [float(self._supply.measured_current.get())]
        while abs(measured[-1] - current) > self.settings.tolerance:
            if len(measured) == READINGS:
                raise InstrumentError(
                    f"{self.name}: {measured[-1]:.4g} A flow, {self.settling_time:g} s after "
                    f"{current:.4g} A were set (tolerance {self.settings.tolerance:g} A). Check "
                    "the coil's connection and interlock, the compliance voltage and "
                    "`settle_time`."
                )
            measured.append(float(self._supply.measured_current.get()))

    def _trouble(self) -> list[str]:
        """What the supply itself complains of, where it can."""
        if not isinstance(self._supply, DeltaSM15K):
            return []
        return sorted(self._supply.status() & COMPLAINTS)

    def _make_safe(self) -> str:
        self._driven = self._playing = False
        self._program = None
        self._supply.ramp_down()
        return "current ramped to 0 A, output off"

    def _examine(self) -> Health:
        if not self._supply.output_enabled.get():
            if self._driven:
                return Health(False, "the output went off by itself: look at the interlock")
            return Health(True, "output off")
        if self._playing:
            return Health(True, "playing a list of currents")
        measured = float(self._supply.measured_current.get())
        wanted = float(self._supply.current.get())
        trouble = self._trouble()
        good = abs(measured - wanted) <= self.settings.tolerance and not trouble
        text = ", ".join([f"{measured:.4g} A flow of {wanted:.4g} A set", *trouble])
        if self.settings.cold_resistance is None:
            return Health(good, text)
        temperature = self._temperature(measured)
        hottest = math.inf if self.settings.hottest is None else self.settings.hottest
        if temperature > hottest:
            text += f"; the coil is at {temperature:.0f} degC, above {hottest:g} degC"
            return Health(False, f"{text}: let it cool, look at its cooling", hazard=True)
        return Health(good, text + ("" if math.isnan(temperature) else f", {temperature:.0f} degC"))


def _between(calibration: Calibration, currents: Limits) -> Limits:
    """Detuning differences in Hz at the ends of `currents` within the calibration's domain."""
    low, high = intersection(calibration.domain, currents)
    ends = calibration.forward(low), calibration.forward(high)
    return min(ends), max(ends)
