"""Two Raman tones on one cavity: squeezing r and decay gamma from two Rabi frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from qcodes.instrument import Instrument
from qcodes.parameters import Parameter
from qcodes.validators import Numbers

from ..calibration import Calibration
from ..errors import CalibrationError, InstrumentError, LimitError
from ..laws import TwoModeRaman
from ..timeline import Tone
from .aom import Aom
from .base import Health, Limits, Role, RoleSettings, intersection

__all__ = ["RamanDrive", "RamanDriveSettings"]


class RamanDriveSettings(RoleSettings):
    """Station file entries of a `RamanDrive`; ordinary frequencies in Hz.

    Attributes:
        minus: Name of the AOM role of the tone that lowers (coupling G_- to O_1), its
            amplitude a Rabi frequency.
        plus: The same of the tone that raises (G_+ to O_2^+).
        coupling: g of one atom and the cavity.
        linewidth: kappa, the full width of the cavity.
        detuning_minus: Delta_- of the tone from the excited state, of either sign.
        detuning_plus: Delta_+.
        rabi_convention: ``half``: H = (Omega/2)|e><s| + h.c., so that Omega is what a
            Rabi oscillation shows; ``full``: H = Omega |e><s| + h.c.
        max_squeezing: Largest r: a relative error of the amplitudes' ratio moves r by
            sinh(2r)/2 times itself.
        max_decay: Largest gamma.
    """

    minus: str
    plus: str
    coupling: Annotated[float, Field(gt=0)]
    linewidth: Annotated[float, Field(gt=0)]
    detuning_minus: float
    detuning_plus: float
    rabi_convention: Literal["half", "full"] = "half"
    max_squeezing: Annotated[float, Field(gt=0, le=5)] = 2.0
    max_decay: Annotated[float, Field(gt=0)]

    def problems(self, calibration: Calibration | None) -> Mapping[str, str]:
        """Two tones, on the same side of the excited state."""
        found = {}
        if self.minus == self.plus:
            found["plus"] = f"names `{self.plus}`, as `minus` does: two tones need two modulators"
        if self.detuning_minus * self.detuning_plus <= 0:
            found["detuning_plus"] = (
                f"of {self.detuning_plus:g} Hz must have the sign of detuning_minus, "
                f"{self.detuning_minus:g} Hz, and neither may be 0"
            )
        return found

    def bounds(self, calibration: Calibration | None) -> Mapping[str, Limits]:
        """What the file allows of r and gamma; the modulators' own limits hold as well."""
        return {"squeezing": (0.0, self.max_squeezing), "decay": (0.0, self.max_decay)}


class RamanDrive(Role):
    """r and gamma of the two-mode scheme, over two AOM roles with their own calibrations.

    Station file: `source` (the synthesizer), `minus`, `plus` (AOM roles), `coupling`,
    `linewidth`, `detuning_minus`, `detuning_plus`, `max_decay` [Hz], and optionally
    `rabi_convention`, `max_squeezing`.

    Both pairs of beams of a two-mode cavity need their own drive, with the same r.
    """

    settings_model: ClassVar[type[RoleSettings]] = RamanDriveSettings
    safe_order: ClassVar[int] = 5
    partners = MappingProxyType({"minus": Aom, "plus": Aom})
    sources = MappingProxyType({"MOGLabsXRF": ()})

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        given = self.settings
        self._scheme = TwoModeRaman(
            given.coupling,
            given.linewidth,
            (given.detuning_minus, given.detuning_plus),
            given.rabi_convention == "half",
        )
        self.squeezing: Parameter = self.add_parameter(
            "squeezing",
            label="squeezing r",
            get_cmd=lambda: self.rates()[0],
            set_cmd=lambda r: self.set_rates(r, self.rates()[1]),
            vals=Numbers(),
            snapshot_get=False,
        )
        """r of the two steady tones; setting keeps gamma (use `set_rates` from the dark)"""
        self.decay: Parameter = self.add_parameter(
            "decay",
            label="collective decay",
            unit="Hz",
            get_cmd=lambda: self.rates()[1],
            set_cmd=lambda decay: self.set_rates(self.rates()[0], decay),
            vals=Numbers(),
            snapshot_get=False,
        )
        """gamma/2pi of the two steady tones in Hz; setting keeps r"""

    def _modulator(self, key: str) -> Aom:
        name = str(getattr(self.settings, key))
        found = Instrument.find_instrument(name) if Instrument.exist(name) else None
        if not isinstance(found, Aom):
            raise InstrumentError(f"{self.name}: `{key}` names `{name}`, which is no open AOM role")
        if found.calibration.kind != "aom_amplitude":
            raise InstrumentError(
                f"{self.name}: the calibration of `{name}` is of kind {found.calibration.kind}, "
                "but must give a Rabi frequency: aom_amplitude"
            )
        return found

    # ---- rates -----------------------------------------------------------------------

    def amplitudes(self, squeezing: float, decay: float) -> tuple[float, float]:
        """Rabi frequencies in Hz of both tones for r and gamma/2pi [Hz]; asks and sends nothing.

        Raises:
            LimitError: If r, gamma or one of the two amplitudes is outside its limits.
        """
        bounds = self.settings.bounds(None)
        for key, value in (("squeezing", squeezing), ("decay", decay)):
            low, high = intersection(bounds[key], self.narrowed(key))
            if not (low <= value <= high and value > 0):
                raise LimitError(
                    f"{self.name}: {key} {value:g} lies outside ({low:g}, {high:g}], which the "
                    "station file allows"
                )
        minus, plus = self._scheme.rabi_frequencies(squeezing, decay)
        self._modulator("minus").power_of(minus)
        self._modulator("plus").power_of(plus)
        return minus, plus

    def set_rates(self, squeezing: float, decay: float) -> None:
        """Set both steady tones; on the way the scheme is never closer to instability.

        Raises:
            LimitError: As `amplitudes`; nothing was sent.
        """
        minus, plus = self.amplitudes(squeezing, decay)
        lowering, raising = self._modulator("minus").amplitude, self._modulator("plus").amplitude
        try:
            weaker = plus <= float(raising.get())
        except CalibrationError:  # it was set by somebody else, to what no calibration tells
            weaker = True
        steps = [(raising, plus), (lowering, minus)]
        for amplitude, value in steps if weaker else reversed(steps):
            amplitude.set(value)

    def rates(self) -> tuple[float, float]:
        """(r, gamma/2pi [Hz]) of the two steady tones, read from the synthesizer.

        Raises:
            InstrumentError: If the raising tone is too strong for a steady state.
        """
        minus = float(self._modulator("minus").amplitude.get())
        plus = float(self._modulator("plus").amplitude.get())
        try:
            return self._scheme.rates(minus, plus)
        except ValueError as error:
            raise InstrumentError(f"{self.name}: {error}: use set_rates") from error

    def squeezing_std(self, squeezing: float, decay: float) -> float:
        """Standard deviation of r from both modulators' calibrations."""
        minus, plus = self.amplitudes(squeezing, decay)
        parts = []
        for key, amplitude in (("minus", minus), ("plus", plus)):
            calibration = self._modulator(key).calibration
            parts.append(calibration.relative_std(calibration.inverse(amplitude)))
        return self._scheme.squeezing_std(squeezing, parts[0], parts[1])

    def tones(
        self, squeezing: float, decay: float, start: float, duration: float
    ) -> Mapping[str, tuple[Tone, ...]]:
        """Tones of a sequence, by the name of each AOM role: both on from `start` [s].

        Raises:
            LimitError: As `amplitudes`.
        """
        minus, plus = self.amplitudes(squeezing, decay)
        return {
            self.settings.minus: (Tone(start, duration, minus),),
            self.settings.plus: (Tone(start, duration, plus),),
        }

    # ---- safety ----------------------------------------------------------------------

    def _make_safe(self) -> str:
        # the raising tone first: alone it would drive the atoms up without end
        failures = [
            result.message
            for result in (self._modulator("plus").safe(), self._modulator("minus").safe())
            if not result.ok
        ]
        if failures:
            raise InstrumentError("; ".join(failures))
        return "both tones off"

    def _examine(self) -> Health:
        parts = {key: self._modulator(key).health() for key in ("minus", "plus")}
        text = "; ".join(f"{key}: {one.text}" for key, one in parts.items())
        return Health(all(one.ok for one in parts.values()), text)
