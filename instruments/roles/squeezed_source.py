"""Squeezed light from an OPO whose pump passes an AOM: r, phase alpha, carrier."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field
from qcodes.parameters import Parameter
from qcodes.validators import Numbers

from ..calibration import Calibration
from ..drivers.moglabs_xrf import XRFChannel
from ..errors import LimitError
from .aom import dbm, watt
from .base import Health, Limits, Role, RoleSettings, intersection

__all__ = ["SqueezedSource", "SqueezedSourceSettings"]

LOWEST, HIGHEST = 20e6, 400e6
"""RF frequencies in Hz that the synthesizer gives."""


class SqueezedSourceSettings(RoleSettings):
    """Station file entries of a `SqueezedSource`.

    Attributes:
        calibration: File of kind ``opo_squeezing``, from W of RF to r.
        frequency: RF frequency in Hz at which the squeezed light's carrier is on the
            atoms' resonance.
        max_power: Largest RF power in dBm that the AOM bears.
        max_squeezing: Largest r.
        max_carrier: Largest distance of the carrier from the resonance in Hz, of either
            sign; within it the AOM's angle and efficiency hold.
        order: Diffraction order times passes through the AOM: what an RF frequency and
            phase do to the pump's.
        phase_offset: alpha in rad at an RF phase of 0.
    """

    calibration: str
    frequency: Annotated[float, Field(ge=LOWEST, le=HIGHEST)]
    max_power: Annotated[float, Field(ge=-50, le=36)]
    max_squeezing: Annotated[float, Field(gt=0, le=3)] = 2.0
    max_carrier: Annotated[float, Field(ge=0)] = 0.0
    order: Literal[-2, -1, 1, 2] = 1
    phase_offset: float = 0.0

    def problems(self, calibration: Calibration | None) -> Mapping[str, str]:
        """Limits that leave nothing to set."""
        found = {}
        if calibration is not None and watt(self.max_power) < calibration.domain[0]:
            found["max_power"] = (
                f"of {self.max_power:g} dBm lies below the calibration's domain, which begins at "
                f"{dbm(calibration.domain[0]):.3g} dBm: nothing could be set"
            )
        elif calibration is not None and self.max_squeezing < calibration.range[0]:
            found["max_squeezing"] = (
                f"of {self.max_squeezing:g} lies below the calibration's range, which begins at "
                f"{calibration.range[0]:.3g}: nothing could be set"
            )
        reach = 2.0 * self.max_carrier / abs(self.order)
        if not LOWEST <= self.frequency - reach <= self.frequency + reach <= HIGHEST:
            found["max_carrier"] = (
                f"of {self.max_carrier:g} Hz needs RF from {self.frequency - reach:g} to "
                f"{self.frequency + reach:g} Hz, beyond the synthesizer's"
            )
        return found

    def bounds(self, calibration: Calibration | None) -> Mapping[str, Limits]:
        """What the files allow of r and of the carrier in Hz."""
        if calibration is None or self.problems(calibration):
            return {}
        low, high = intersection(calibration.domain, (0.0, watt(self.max_power)))
        ends = calibration.forward(low), calibration.forward(high)
        return {
            "squeezing": intersection(ends, (-math.inf, self.max_squeezing)),
            "carrier": (-self.max_carrier, self.max_carrier),
        }


class SqueezedSource(Role):
    """Squeezed vacuum on the atoms: r, alpha and carrier of its broad spectrum.

    The pump has twice the light's frequency and drives an OPO below threshold; its power
    sets r, its phase alpha, and half its frequency is the carrier.

    Station file: `source` (a channel of the synthesizer), `calibration`, `frequency`
    [Hz], `max_power` [dBm], and optionally `max_squeezing`, `max_carrier` [Hz], `order`,
    `phase_offset` [rad].
    """

    settings_model: ClassVar[type[RoleSettings]] = SqueezedSourceSettings
    safe_order: ClassVar[int] = 10
    calibration_kinds: ClassVar[tuple[str, ...]] = ("opo_squeezing",)
    calibration_units: ClassVar[tuple[str, str] | None] = ("W", "1")
    sources = MappingProxyType({"MOGLabsXRF": ("ch1", "ch2")})

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._channel = cast(XRFChannel, self.source)
        self.squeezing: Parameter = self._number(
            "squeezing", "", "squeezing r", self._get_squeezing, self._set_squeezing
        )
        """r of the squeezed vacuum, through the calibration"""
        self.alpha: Parameter = self._number(
            "alpha", "rad", "squeezing phase", self._get_alpha, self._set_alpha
        )
        """Phase of the squeezing parameter r e^(i alpha), in (-pi, pi]"""
        self.carrier: Parameter = self._number(
            "carrier", "Hz", "carrier offset", self._get_carrier, self._set_carrier
        )
        """Distance of the squeezed light's carrier from the atoms' resonance in Hz"""

    def _number(self, name: str, unit: str, label: str, get: Any, put: Any) -> Parameter:
        parameter: Parameter = self.add_parameter(
            name, unit=unit, label=label, get_cmd=get, set_cmd=put, vals=Numbers(),
            snapshot_get=False,
        )  # fmt: skip
        return parameter

    def limits(self, parameter: str) -> Limits:
        """Smallest and largest value of ``squeezing`` or ``carrier``, driver included."""
        allowed = intersection(
            self.settings.bounds(self._calibration)[parameter], self.narrowed(parameter)
        )
        if parameter == "squeezing":
            low, high = intersection(
                self.calibration.domain, (0.0, watt(float(self._channel.limit.cache.get())))
            )
            if low > high:
                raise LimitError(
                    f"{self.name}: the synthesizer's power limit lies below the calibration's "
                    "domain: nothing can be set"
                )
            ends = self.calibration.forward(low), self.calibration.forward(high)
            allowed = intersection(allowed, ends)
        return allowed

    def _checked(self, parameter: str, value: float, unit: str = "") -> float:
        low, high = self.limits(parameter)
        slack = 1e-9 * (high - low)
        if not low - slack <= value <= high + slack:
            raise LimitError(
                f"{self.name}: {parameter} {value:g}{unit} lies outside [{low:.6g}, {high:.6g}]"
                f"{unit}, given by calibration, station file and synthesizer"
            )
        return min(max(value, low), high)

    def _set_squeezing(self, squeezing: float) -> None:
        power = self.calibration.inverse(self._checked("squeezing", squeezing))
        self._channel.power.set(dbm(power))

    def _get_squeezing(self) -> float:
        return self.calibration.forward(watt(float(self._channel.power.get())))

    def _set_carrier(self, carrier: float) -> None:
        offset = 2.0 * self._checked("carrier", carrier, " Hz") / self.settings.order
        self._channel.frequency.set(self.settings.frequency + offset)

    def _get_carrier(self) -> float:
        offset = float(self._channel.frequency.get()) - self.settings.frequency
        return float(0.5 * self.settings.order * offset)

    def _set_alpha(self, alpha: float) -> None:
        turned = (alpha - self.settings.phase_offset) / self.settings.order
        self._channel.phase.set(math.degrees(turned) % 360.0)

    def _get_alpha(self) -> float:
        turned = int(self.settings.order) * math.radians(float(self._channel.phase.get()))
        alpha = turned + float(self.settings.phase_offset)
        return float(alpha - math.tau * math.ceil(alpha / math.tau - 0.5))

    def squeezing_std(self, squeezing: float) -> float:
        """Standard deviation of r from the calibration's covariance."""
        return self.calibration.std(self.calibration.inverse(squeezing))

    def start(self) -> None:
        """RF on: light as it is set. The amplifier takes 2 s to settle, which is waited for."""
        self._channel.on()
        self.clock.wait(2.0)

    def _make_safe(self) -> str:
        self._channel.off()
        return "pump off: vacuum"

    def _examine(self) -> Health:
        status = self._channel.status()
        if not (status.signal and status.amplifier):
            return Health(True, "pump off: vacuum")
        # whoever has set them: light beyond the limits is not what the station file promises
        squeezing = self._checked("squeezing", self._get_squeezing())
        carrier = self._checked("carrier", self._get_carrier(), " Hz")
        return Health(True, f"r = {squeezing:.3g}, carrier at {carrier:+.4g} Hz")
