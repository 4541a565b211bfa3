"""The light behind the cavity: traces of shots, and the level that tells whether it is locked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field
from qcodes.parameters import Parameter

from ..calibration import Calibration
from ..drivers.keysight_infiniivision import KeysightInfiniiVision, Trace
from ..errors import InstrumentError, LimitError
from .base import Health, ReadingsMismatch, Role, RoleSettings

__all__ = ["CavityTrace", "CavityTraceSettings", "TraceProgram"]

GLANCE = 500
"""Samples of a level."""
SCREEN = 1.25
"""Height of the screen over `volts`: what touches its edges is lost."""


class CavityTraceSettings(RoleSettings):
    """Station file entries of a `CavityTrace`.

    Attributes:
        channel: Input of the oscilloscope that sees the photodiode.
        volts: Largest voltage in V; the screen reaches an eighth of it further, and as
            much below 0 V.
        duration: Length of a trace in s.
        start: Seconds from the trigger to the beginning of a trace.
        trigger: Where the shot's edge comes in.
        trigger_level: Threshold of that edge in V.
        points: Most samples of a trace.
        impedance: Of the input: ``FIFT`` (50 Ohm) for a fast photodiode.
        locked_above: Level in V that only a locked cavity transmits; without it the
            role does not look at the lock.
    """

    channel: Literal[1, 2, 3, 4] = 1
    volts: Annotated[float, Field(ge=8e-3, le=32)]
    duration: Annotated[float, Field(ge=20e-9, le=500)]
    start: Annotated[float, Field(ge=-400, le=400)] = 0.0
    trigger: Literal["EXT", "CHAN1", "CHAN2", "CHAN3", "CHAN4"] = "EXT"
    trigger_level: Annotated[float, Field(ge=-40, le=40)] = 1.0
    points: Annotated[int, Field(ge=100, le=8_000_000)] = 10_000
    impedance: Literal["ONEM", "FIFT"] = "ONEM"
    locked_above: float | None = None

    def problems(self, calibration: Calibration | None) -> Mapping[str, str]:
        """Levels that the screen cannot show tell nothing."""
        found = {}
        if self.locked_above is not None and not 0 < self.locked_above < self.volts:
            found["locked_above"] = (
                f"of {self.locked_above:g} V must lie within the screen, from 0 to {self.volts:g} V"
            )
        if self.impedance == "FIFT" and self.volts > 5.0:
            found["volts"] = f"of {self.volts:g} V: at 50 Ohm the input bears at most 5 V"
        return found


@dataclass(frozen=True, slots=True)
class TraceProgram:
    """One trace for each of `shots` triggers."""

    shots: int


class CavityTrace(Role):
    """Traces of the cavity's output, one a shot, and its level between shots.

    Station file: `source` (the oscilloscope), `volts`, `duration`, and optionally
    `channel`, `start`, `trigger`, `trigger_level`, `points`, `impedance`, `locked_above`.

    For shots: `compile`, `upload`, `arm`, then the burst, then `read`.
    """

    settings_model: ClassVar[type[RoleSettings]] = CavityTraceSettings
    safe_order: ClassVar[int] = 70
    sources = MappingProxyType({"KeysightInfiniiVision": ()})

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._scope = cast(KeysightInfiniiVision, self.source)
        self._program: TraceProgram | None = None
        self._prepared = False
        self._armed = False
        self.level: Parameter = self.add_parameter(
            "level",
            label="transmission",
            unit="V",
            get_cmd=self._glance,
            set_cmd=False,
            snapshot_get=False,
        )
        """Mean voltage of the photodiode now, without a trigger; traces taken before are lost"""
        if self.settings.locked_above is not None:
            self.lock_ok: Parameter = self.add_parameter(
                "lock_ok", get_cmd=self._is_locked, set_cmd=False, snapshot_get=False
            )
            """Whether the cavity transmits as only a locked one does"""

    # ---- shots -----------------------------------------------------------------------

    def compile(self, shots: int) -> TraceProgram:
        """One trace for each of `shots` shots; asks and sends nothing.

        Raises:
            LimitError: If there is no shot.
        """
        if shots < 1:
            raise LimitError(f"{self.name}: at least 1 shot, not {shots!r}")
        return TraceProgram(shots)

    def upload(self, program: TraceProgram) -> None:
        """Set the oscilloscope up, unless it already is so."""
        self._settings_were_lost()
        if program == self._program:
            return
        self.forget()
        self._prepare()
        if program.shots == 1:
            self._scope.acquisition_mode.set("RTIM")
        else:
            self._scope.configure_segments(program.shots)
        self._program = program

    def arm(self) -> None:
        """Take a trace at each trigger from now on.

        Raises:
            LimitError: If no program was uploaded.
        """
        if self._settings_were_lost() or self._program is None:
            raise LimitError(f"{self.name}: upload a program before arming")
        self._scope.arm()
        self._armed = True

    def read(self, patience: float = 5.0) -> Trace:
        """The traces of the finished block: `times` (points,), `volts` (shots, points).

        Args:
            patience: Seconds to wait for the oscilloscope after the last shot.

        Raises:
            ReadingsMismatch: If a trigger was missed; the oscilloscope is then stopped.
            InstrumentError: If the light went beyond the screen: those samples are lost.
        """
        program, settings = self._program, self.settings
        if program is None or not self._armed:
            raise LimitError(f"{self.name}: arm before reading")
        try:
            self._scope.wait(patience)
        except InstrumentError as error:
            self._stop()
            raise ReadingsMismatch(f"{self.name}: {error}") from error
        self._armed = False
        if program.shots == 1:
            trace = self._scope.read(settings.channel, settings.points)
            trace = replace(trace, volts=trace.volts[None, :])
        else:
            trace = self._scope.read_segments(settings.channel, settings.points)
        if len(trace.volts) != program.shots:
            raise ReadingsMismatch(
                f"{self.name}: {len(trace.volts)} traces of {program.shots} shots: a trigger was "
                "missed. Repeat the block."
            )
        if trace.clipped:
            raise InstrumentError(
                f"{self.name}: {trace.clipped} samples lie beyond the screen of "
                f"{settings.volts:g} V: raise `volts` in the station file, or attenuate the light."
            )
        return trace

    def forget(self) -> None:
        """Set the oscilloscope up again next time."""
        self._prepared, self._program = False, None

    def _prepare(self) -> None:
        """Input, time axis and trigger, as the station file says."""
        scope, settings = self._scope, self.settings
        channel = scope.channels[settings.channel - 1]
        channel.shown.set(True)
        channel.coupling.set("DC")
        channel.impedance.set(settings.impedance)
        channel.range.set(SCREEN * settings.volts)
        channel.offset.set(settings.volts / 2)
        scope.time_range.set(settings.duration)
        scope.time_position.set(settings.start + settings.duration / 2)
        scope.trigger_source.set(settings.trigger)
        scope.trigger_level.set(settings.trigger_level)
        scope.trigger_slope.set("POS")
        scope.trigger_sweep.set("NORM")
        self._prepared = True

    # ---- level -----------------------------------------------------------------------

    def _glance(self) -> float:
        if self._armed:
            raise InstrumentError(
                f"{self.name}: armed for shots: read them, or make the role safe, before the level"
            )
        if self._settings_were_lost() or not self._prepared:
            self._prepare()
        return float(self._scope.glance(self.settings.channel, GLANCE).volts.mean())

    def _is_locked(self) -> bool:
        return bool(self.level.get() >= self.settings.locked_above)

    def _stop(self) -> None:
        self._armed = False
        self._scope.stop()

    def _make_safe(self) -> str:
        if not self._armed:
            return "no trace awaited"
        self._stop()
        return "waiting for traces stopped"

    def _examine(self) -> Health:
        least = self.settings.locked_above
        if least is None or self._armed:
            busy = self._scope.busy()
            return Health(True, "waiting for triggers" if busy else "idle")
        level = float(self.level.get())
        good = level >= least
        text = f"{level:.3g} V behind the cavity"
        return Health(good, text if good else f"{text}, locked is above {least:g} V")
