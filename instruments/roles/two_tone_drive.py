"""Two tones of one synthesizer that act together, each through a modulator of its own."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from qcodes.instrument import Instrument

from ..calibration import Calibration
from ..errors import InstrumentError, LimitError
from .aom import Aom
from .base import Health, Role, RoleSettings, intersection

__all__ = ["TwoToneDrive", "TwoToneSettings"]


class TwoToneSettings(RoleSettings):
    """Station file entries of every two-tone drive.

    Attributes:
        minus: Name of the AOM role of the first tone, its amplitude a Rabi frequency.
        plus: The same of the second tone.
    """

    minus: str
    plus: str

    def problems(self, calibration: Calibration | None) -> Mapping[str, str]:
        """Two tones need two modulators."""
        if self.minus != self.plus:
            return {}
        return {"plus": f"names `{self.plus}`, as `minus` does: two tones need two modulators"}


class TwoToneDrive(Role):
    """Over two AOM roles, which keep their own calibrations, limits and tables."""

    settings_model: ClassVar[type[RoleSettings]] = TwoToneSettings
    safe_order: ClassVar[int] = 5
    partners = MappingProxyType({"minus": Aom, "plus": Aom})
    partner_calibrations: ClassVar[tuple[str, ...]] = ("aom_amplitude",)
    sources = MappingProxyType({"MOGLabsXRF": ()})

    def _tone(self, key: str) -> Aom:
        name = str(getattr(self.settings, key))
        found = Instrument.find_instrument(name) if Instrument.exist(name) else None
        if not isinstance(found, Aom):
            raise InstrumentError(f"{self.name}: `{key}` names `{name}`, which is no open AOM role")
        return found

    def _modulator(self, key: str) -> Aom:
        """The role of a tone, whose amplitude must be a Rabi frequency."""
        found = self._tone(key)
        kind = found.calibration.kind
        if kind not in self.partner_calibrations:
            raise InstrumentError(
                f"{self.name}: the calibration of `{found.name}` is of kind {kind}, but must give "
                "a Rabi frequency: aom_amplitude"
            )
        return found

    def _check(self, parameter: str, value: float) -> None:
        """Refuse what the station file, or a narrowing since, does not allow.

        Raises:
            LimitError: It lies outside.
        """
        low, high = intersection(self.settings.bounds(None)[parameter], self.narrowed(parameter))
        if not low <= value <= high or value == 0:
            raise LimitError(
                f"{self.name}: {parameter} {value:g} lies outside [{low:g}, {high:g}], which the "
                "station file allows; 0 is for the safe state"
            )

    def _within_power(self, minus: float, plus: float) -> tuple[float, float]:
        """The two Rabi frequencies in Hz, if both modulators can give them.

        Raises:
            LimitError: With the name of the one that cannot.
        """
        self._modulator("minus").power_of(minus)
        self._modulator("plus").power_of(plus)
        return minus, plus

    def _relative_std(self, key: str, amplitude: float) -> float:
        """Relative standard deviation of a Rabi frequency, from its calibration."""
        calibration = self._modulator(key).calibration
        return calibration.relative_std(calibration.inverse(amplitude))

    # ---- safety ----------------------------------------------------------------------

    def _make_safe(self) -> str:
        # the raising tone first: alone it would drive the atoms up without end
        failures = [
            result.message
            for result in (self._tone("plus").safe(), self._tone("minus").safe())
            if not result.ok
        ]
        if failures:
            raise InstrumentError("; ".join(failures))
        return "both tones off"

    def _examine(self) -> Health:
        parts = {key: self._modulator(key).health() for key in ("minus", "plus")}
        text = "; ".join(f"{key}: {one.text}" for key, one in parts.items())
        return Health(all(one.ok for one in parts.values()), text)
