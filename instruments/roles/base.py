"""What every role is: a QCoDeS instrument in a physicist's units, with a safe state.

A role owns no link. It names its source (a driver or one of its channels) and,
where a number has to be translated, its calibration. Its limits are the
narrowest of three: where the calibration holds, what the station file allows,
what the driver allows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from qcodes.instrument import Instrument, InstrumentBase

from ..calibration import Calibration
from ..clock import Clock, RealClock
from ..errors import CalibrationError, InstrumentError, LimitError

__all__ = ["Health", "ReadingsMismatch", "Role", "RoleSettings", "SafeResult"]

Limits = tuple[float, float]


@dataclass(frozen=True, slots=True)
class SafeResult:
    """Whether one role reached its safe state, and what was done or what stood in the way."""

    role: str
    ok: bool
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a role is fit for a shot, in words.

    Attributes:
        ok: It is.
        text: How it is.
        hazard: Waiting would make it worse: the station must be made safe.
    """

    ok: bool
    text: str
    hazard: bool = False


class ReadingsMismatch(InstrumentError):
    """The number of readings does not fit the shots: the block must be rejected and repeated."""


class RoleSettings(BaseModel):
    """What the station file says under `init:`; unknown keys and wrong types are refused.

    Attributes:
        source: The driver or its channel, e.g. ``rf.ch1``.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    source: str

    def problems(self, calibration: Calibration | None) -> Mapping[str, str]:
        """Impossible limits: the key and what is wrong with it, given the calibration."""
        return {}

    def bounds(self, calibration: Calibration | None) -> Mapping[str, Limits]:
        """What the files alone allow for each parameter that can be set, in its unit."""
        return {}


class Role(Instrument):
    """Base class of the roles.

    Args:
        name: Name of the role, e.g. ``"drive"``.
        source: The driver or channel, or its name in QCoDeS, e.g. ``"rf.ch1"``.
        calibration: A calibration or the path of its file, for roles that have one.
        **settings: The other entries of `settings_model`.

    Raises:
        InstrumentError: If the source does not exist.
        CalibrationError: If the calibration is missing or of the wrong kind.
    """

    settings_model: ClassVar[type[RoleSettings]] = RoleSettings
    safe_order: ClassVar[int] = 100
    """Roles are made safe in ascending order."""
    calibration_kinds: ClassVar[tuple[str, ...]] = ()
    """Kinds of calibration that fit; empty: this role has none."""
    calibration_units: ClassVar[tuple[str, str] | None] = None
    """Units of the calibration's two sides that this role works in."""
    calibration_optional: ClassVar[bool] = False
    partners: ClassVar[Mapping[str, type[Role]]] = MappingProxyType({})
    """Settings that name another role of the station, with its kind."""
    partner_calibrations: ClassVar[tuple[str, ...]] = ()
    """Kinds of calibration that those roles must have; empty: any."""
    sources: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
    """Drivers of this package that fit, with the channels to choose from (none: the driver)."""

    def __init__(
        self,
        name: str,
        *,
        source: str | InstrumentBase,
        calibration: Calibration | str | Path | None = None,
        **settings: Any,
    ) -> None:
        self.source = find_source(source)
        self._calibration = self._fitting(name, calibration)
        stated = {"source": str(self.source.full_name), **settings}
        if "calibration" in self.settings_model.model_fields:
            stated["calibration"] = str(calibration) if calibration is not None else None
        self.settings: Any = self.settings_model.model_validate(stated)
        for key, text in self.settings.problems(self._calibration).items():
            raise LimitError(f"{name}: `{key}` {text}")
        self._restarts_seen = 0
        self._root = self.source.root_instrument
        self._seen_clock: object = None
        self._clock: Clock = RealClock()
        self._narrowed: dict[str, Limits] = {}
        super().__init__(name)

    @classmethod
    def _fitting(
        cls, name: str, calibration: Calibration | str | Path | None
    ) -> Calibration | None:
        if calibration is None:
            if cls.calibration_kinds and not cls.calibration_optional:
                raise CalibrationError(
                    f"{name}: a calibration of kind {' or '.join(cls.calibration_kinds)} is needed"
                )
            return None
        if not isinstance(calibration, Calibration):
            calibration = Calibration.load(calibration)
        problem = cls.misfit(calibration)
        if problem:
            raise CalibrationError(f"{name}: {problem}")
        return calibration

    @classmethod
    def misfit(cls, calibration: Calibration) -> str | None:
        """Why a calibration cannot serve this role, or None."""
        if calibration.kind not in cls.calibration_kinds:
            wanted = " or ".join(cls.calibration_kinds) or "none"
            return f"the calibration must be of kind {wanted}, but is {calibration.kind}"
        units = (calibration.input_unit, calibration.output_unit)
        if cls.calibration_units is not None and units != cls.calibration_units:
            wanted = " to ".join(cls.calibration_units)
            return f"the calibration must go from {wanted}, but goes from {' to '.join(units)}"
        return None

    @property
    def calibration(self) -> Calibration:
        """The role's calibration.

        Raises:
            CalibrationError: If it has none.
        """
        if self._calibration is None:
            raise CalibrationError(f"{self.name} has no calibration in the station file")
        return self._calibration

    @property
    def has_calibration(self) -> bool:
        """Whether the station file gives this role a calibration."""
        return self._calibration is not None

    @property
    def clock(self) -> Clock:
        """The clock of the driver behind the role; waiting costs nothing in a rehearsal."""
        clock = getattr(self._root, "clock", None)
        if clock is not self._seen_clock:  # looked at closely once: that takes its time
            self._seen_clock = clock
            self._clock = clock if isinstance(clock, Clock) else RealClock()
        return self._clock

    def get_idn(self) -> dict[str, str | None]:
        """What the role is made of; asks the instrument nothing."""
        kind, source = type(self).__name__, str(self.source.full_name)
        return {"vendor": "cavitylab", "model": kind, "serial": source, "firmware": None}

    # ---- limits ----------------------------------------------------------------------

    def narrow(self, parameter: str, low: float = -inf, high: float = inf) -> Limits:
        """Narrow the limits of a parameter, in its unit, for as long as the station is open.

        Limits can only become narrower: those of calibration, station file and
        driver hold as well, and an earlier narrowing stays.

        Returns:
            What was asked for in all, the limits from elsewhere left aside.

        Raises:
            LimitError: If nothing would be left, or the role has no such limits.
        """
        bounds = self.settings.bounds(self._calibration)
        if parameter not in bounds:
            known = ", ".join(bounds) or "none"
            raise LimitError(
                f"{self.name} has no limits of `{parameter}` to narrow (those with limits: {known})"
            )
        new = intersection(self.narrowed(parameter), (low, high))
        left = intersection(new, bounds[parameter])
        if not left[0] <= left[1]:
            before = intersection(self.narrowed(parameter), bounds[parameter])
            raise LimitError(
                f"{self.name}: [{low:g}, {high:g}] leaves nothing of the limits of `{parameter}`, "
                f"which are [{before[0]:g}, {before[1]:g}]"
            )
        self._narrowed[parameter] = new
        return new

    def narrowed(self, parameter: str) -> Limits:
        """What `narrow` has left of a parameter's values so far."""
        return self._narrowed.get(parameter, (-inf, inf))

    # ---- what was sent, and whether it is still there --------------------------------

    def forget(self) -> None:
        """Believe no longer that the instrument holds what was uploaded: send all next time."""

    def _settings_were_lost(self) -> bool:
        """Whether the driver found its instrument restarted since the last call; forgets if so."""
        restarts = int(getattr(self._root, "restarts", 0))
        lost = restarts != self._restarts_seen
        self._restarts_seen = restarts
        if lost:
            self.forget()
        return lost

    # ---- safety ----------------------------------------------------------------------

    def safe(self) -> SafeResult:
        """Bring the role into its safe state; may be called at any time, never raises.

        Tried twice, because the first exchange after a fault of the link may
        only clean the link.
        """
        self.forget()
        try:
            return SafeResult(self.name, True, self._make_safe())
        except Exception as error:
            self.log.warning("%s: not yet safe, trying once more: %s", self.name, error)
        try:
            return SafeResult(self.name, True, self._make_safe())
        except Exception as error:
            self.log.exception("%s could not be made safe", self.name)
            return SafeResult(self.name, False, f"{type(error).__name__}: {error}")

    def health(self) -> Health:
        """Whether the role is fit for a shot; asks the instrument, never raises."""
        try:
            return self._examine()
        except Exception as error:
            return Health(False, f"{type(error).__name__}: {error}")

    @abstractmethod
    def _make_safe(self) -> str:
        """Reach the safe state and say in words what it is."""

    @abstractmethod
    def _examine(self) -> Health:
        """Ask the instrument how it is."""


def find_source(source: str | InstrumentBase) -> InstrumentBase:
    """The open driver or channel called `source`, e.g. ``"rf.ch1"``.

    Raises:
        InstrumentError: If no such instrument or channel is open.
    """
    if not isinstance(source, str):
        return source
    first, *rest = source.split(".")
    if not Instrument.exist(first):
        raise InstrumentError(f"source `{source}`: no instrument called `{first}` is open")
    found: InstrumentBase = Instrument.find_instrument(first)
    for part in rest:
        if part not in found.submodules:
            channels = ", ".join(found.submodules) or "none"
            raise InstrumentError(
                f"source `{source}`: {found.full_name} has no channel `{part}` (it has: {channels})"
            )
        found = _as_instrument(found.submodules[part], source)
    return found


def _as_instrument(module: object, source: str) -> InstrumentBase:
    if not isinstance(module, InstrumentBase):
        raise InstrumentError(f"source `{source}` is a list of channels: name one of them")
    return module


def intersection(*limits: Limits) -> Limits:
    """The narrowest of several limits (smallest, largest)."""
    return max(low for low, _ in limits), min(high for _, high in limits)
