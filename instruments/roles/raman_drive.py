"""Two Raman tones on one cavity: squeezing r and decay gamma from two Rabi frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from qcodes.parameters import Parameter
from qcodes.validators import Numbers

from ..calibration import Calibration
from ..errors import CalibrationError, InstrumentError
from ..laws import TwoModeRaman
from ..timeline import Tone
from .base import Limits, RoleSettings
from .two_tone_drive import TwoToneDrive, TwoToneSettings

__all__ = ["RamanDrive", "RamanDriveSettings"]


class RamanDriveSettings(TwoToneSettings):
    """Station file entries of a `RamanDrive`; ordinary frequencies in Hz.

    Attributes:
        minus: Name of the AOM role of the tone that lowers (coupling G_- to O_1).
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

    coupling: Annotated[float, Field(gt=0)]
    linewidth: Annotated[float, Field(gt=0)]
    detuning_minus: float
    detuning_plus: float
    rabi_convention: Literal["half", "full"] = "half"
    max_squeezing: Annotated[float, Field(gt=0, le=5)] = 2.0
    max_decay: Annotated[float, Field(gt=0)]

    def problems(self, calibration: Calibration | None) -> Mapping[str, str]:
        """Two tones, on the same side of the excited state."""
        found = dict(super().problems(calibration))
        if self.detuning_minus * self.detuning_plus <= 0:
            found["detuning_plus"] = (
                f"of {self.detuning_plus:g} Hz must have the sign of detuning_minus, "
                f"{self.detuning_minus:g} Hz, and neither may be 0"
            )
        return found

    def bounds(self, calibration: Calibration | None) -> Mapping[str, Limits]:
        """What the file allows of r and gamma; the modulators' own limits hold as well."""
        return {"squeezing": (0.0, self.max_squeezing), "decay": (0.0, self.max_decay)}


class RamanDrive(TwoToneDrive):
    """r and gamma of the two-mode scheme, over two AOM roles with their own calibrations.

    Station file: `source` (the synthesizer), `minus`, `plus` (AOM roles), `coupling`,
    `linewidth`, `detuning_minus`, `detuning_plus`, `max_decay` [Hz], and optionally
    `rabi_convention`, `max_squeezing`.

    Both pairs of beams of a two-mode cavity need their own drive, with the same r.
    """

    settings_model: ClassVar[type[RoleSettings]] = RamanDriveSettings

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

    # ---- rates -----------------------------------------------------------------------

    def amplitudes(self, squeezing: float, decay: float) -> tuple[float, float]:
        """Rabi frequencies in Hz of both tones for r and gamma/2pi [Hz]; asks and sends nothing.

        Raises:
            LimitError: If r, gamma or one of the two amplitudes is outside its limits.
        """
        self._check("squeezing", squeezing)
        self._check("decay", decay)
        return self._within_power(*self._scheme.rabi_frequencies(squeezing, decay))

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
        return self._scheme.squeezing_std(
            squeezing, self._relative_std("minus", minus), self._relative_std("plus", plus)
        )

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
