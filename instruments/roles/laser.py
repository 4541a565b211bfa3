"""A laser: whether it emits, is locked and is healthy; its diode current within limits."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field
from qcodes.parameters import Parameter
from qcodes.validators import Numbers

from ..calibration import Calibration
from ..drivers.toptica_dlcpro import DLCproLaser
from ..errors import LimitError
from .base import Health, Limits, Role, RoleSettings, intersection

__all__ = ["Laser", "LaserSettings"]


class LaserSettings(RoleSettings):
    """Station file entries of a `Laser`.

    Attributes:
        max_current: Largest diode current in A.
        max_power: Largest optical power in W; needs a calibration.
        calibration: Optional file of kind ``linear``, from A to W of optical power.
        locked: Whether a good laser must be locked.
        when_safe: What the safe state is: ``keep`` leaves the emission as it is
            (a laser takes long to settle), ``off`` switches the diode current off.
    """

    max_current: Annotated[float, Field(gt=0)]
    max_power: Annotated[float, Field(gt=0)] | None = None
    calibration: str | None = None
    locked: bool = True
    when_safe: Literal["keep", "off"] = "keep"

    def problems(self, calibration: Calibration | None) -> Mapping[str, str]:
        """A limit of the power means nothing without a calibration, or below its range."""
        if self.max_power is None:
            return {}
        if self.calibration is None:
            return {
                "max_power": "needs a `calibration` from A to W: without one nobody knows the power"
            }
        if calibration is not None and self.max_power < calibration.range[0]:
            return {
                "max_power": f"of {self.max_power:g} W lies below the calibration's range, which "
                f"begins at {calibration.range[0]:g} W: nothing could be set"
            }
        return {}

    def bounds(self, calibration: Calibration | None) -> Mapping[str, Limits]:
        """Diode currents in A, and with a calibration powers in W, that the files allow."""
        if calibration is None:
            return {"current": (0.0, self.max_current)}
        if self.problems(calibration):
            return {}
        currents = intersection(calibration.domain, (0.0, self.max_current))
        if currents[0] > currents[1]:
            return {}
        most = inf if self.max_power is None else self.max_power
        ends = sorted(calibration.forward(current) for current in currents)
        powers = intersection((ends[0], ends[1]), (-inf, most))
        held = sorted(calibration.inverse(power) for power in powers)
        return {"current": (held[0], held[1]), "power": powers}


class Laser(Role):
    """Emission, lock and power of one laser.

    Station file: `source` (a laser of the controller), `max_current` [A], and
    optionally `calibration`, `locked`, `when_safe`.
    """

    settings_model: ClassVar[type[RoleSettings]] = LaserSettings
    safe_order: ClassVar[int] = 40
    calibration_kinds: ClassVar[tuple[str, ...]] = ("linear",)
    calibration_units: ClassVar[tuple[str, str] | None] = ("A", "W")
    calibration_optional: ClassVar[bool] = True
    sources = MappingProxyType({"TopticaDLCpro": ("laser1", "laser2")})

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._laser = cast(DLCproLaser, self.source)
        self.emission: Parameter = self.add_parameter(
            "emission", get_cmd=self._laser.emission.get, set_cmd=False, snapshot_get=False
        )
        """Whether the laser emits: the only proof that light is possible"""
        self.lock_ok: Parameter = self.add_parameter(
            "lock_ok", get_cmd=self._is_locked, set_cmd=False, snapshot_get=False
        )
        """Whether the laser is locked to its reference"""
        self.current: Parameter = self.add_parameter(
            "current",
            label="diode current",
            unit="A",
            get_cmd=lambda: float(self._laser.current_set.get()),
            set_cmd=self._set_current,
            vals=Numbers(),
            snapshot_get=False,
        )
        """Diode current in A, within the station file's and the controller's limits"""
        if self.has_calibration:
            self.power: Parameter = self.add_parameter(
                "power",
                label="optical power",
                unit="W",
                get_cmd=lambda: self.calibration.forward(float(self._laser.current_set.get())),
                set_cmd=lambda power: self._set_current(self.calibration.inverse(power)),
                vals=Numbers(),
                snapshot_get=False,
            )
            """Optical power in W, through the calibration"""

    @property
    def limits(self) -> Limits:
        """Smallest and largest diode current in A; the driver keeps its own limits too."""
        bounds = self.settings.bounds(self._calibration)
        if not bounds:
            raise LimitError(
                f"{self.name}: max_current, max_power and the calibration's domain leave no current"
            )
        low, high = intersection(bounds["current"], self.narrowed("current"))
        if "power" in bounds:
            powers = intersection(bounds["power"], self.narrowed("power"))
            ends = sorted(self.calibration.inverse(power) for power in powers)
            return intersection((low, high), (ends[0], ends[1]))
        return low, high

    def _set_current(self, current: float) -> None:
        low, high = self.limits
        if not low <= current <= high:
            raise LimitError(
                f"{self.name}: diode current {current:g} A lies outside [{low:g}, {high:g}] A, "
                "given by the station file's max_current and max_power and the calibration"
            )
        self._laser.current_set.set(current)

    def _is_locked(self) -> bool:
        return self._laser.lock_state_text.get().strip().lower() == "locked"

    def _make_safe(self) -> str:
        if self.settings.when_safe == "keep":
            return "emission left as it is"
        self._laser.current_enabled.set(False)
        return "diode current off"

    def _examine(self) -> Health:
        emission = bool(self.emission.get())
        locked = bool(self.lock_ok.get())
        good = emission and (locked or not self.settings.locked)
        words = ["emitting" if emission else "dark", "locked" if locked else "not locked"]
        return Health(good, f"{', '.join(words)}; {self._laser.health_text.get()}")
