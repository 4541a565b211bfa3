"""Two Raman tones, a quarter of a turn apart: the chiral exchange chi of the ensembles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field
from qcodes.parameters import Parameter
from qcodes.validators import Numbers

from ..calibration import Calibration
from ..laws import RamanExchange
from ..timeline import Tone
from .base import Limits, RoleSettings
from .two_tone_drive import TwoToneDrive, TwoToneSettings

__all__ = ["ExchangeDrive", "ExchangeDriveSettings"]


class ExchangeDriveSettings(TwoToneSettings):
    """Station file entries of an `ExchangeDrive`; ordinary frequencies in Hz.

    Attributes:
        minus: Name of the AOM role of the tone Omega.
        plus: The same of the tone i Omega, a quarter of a turn later.
        coupling: G, half the single-atom vacuum Rabi splitting.
        excited_detuning: delta_e of the tones from the excited state, of either sign.
        cavity_detuning: delta_c of the Raman transition from the cavity; its sign is
            that of chi.
        max_exchange: Largest magnitude of chi.
    """

    coupling: Annotated[float, Field(gt=0)]
    excited_detuning: float
    cavity_detuning: float
    max_exchange: Annotated[float, Field(gt=0)]

    def problems(self, calibration: Calibration | None) -> Mapping[str, str]:
        """Two modulators, and nothing resonant."""
        found = dict(super().problems(calibration))
        for key in ("excited_detuning", "cavity_detuning"):
            if getattr(self, key) == 0:
                found[key] = "must not be 0: on resonance nothing may be eliminated"
        return found

    def bounds(self, calibration: Calibration | None) -> Mapping[str, Limits]:
        """chi in Hz that the file allows; the modulators' own limits hold as well."""
        ends = (0.0, math.copysign(self.max_exchange, self.cavity_detuning))
        return {"exchange": (min(ends), max(ends))}


class ExchangeDrive(TwoToneDrive):
    """chi of the ensembles at one distance, over two AOM roles.

    Station file: `source` (the synthesizer), `minus`, `plus` (AOM roles), `coupling`,
    `excited_detuning`, `cavity_detuning`, `max_exchange` [Hz]. Every distance between
    ensembles needs a pair of tones of its own, as far apart as their splitting.
    """

    settings_model: ClassVar[type[RoleSettings]] = ExchangeDriveSettings

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        given = self.settings
        self._scheme = RamanExchange(given.coupling, given.excited_detuning, given.cavity_detuning)
        self.exchange: Parameter = self.add_parameter(
            "exchange",
            label="exchange",
            unit="Hz",
            get_cmd=self._get_exchange,
            set_cmd=self._set_exchange,
            vals=Numbers(),
            snapshot_get=False,
        )
        """chi/2pi of the two steady tones in Hz; setting makes both equally strong"""

    def amplitudes(self, exchange: float) -> tuple[float, float]:
        """Rabi frequencies in Hz of both tones for chi/2pi [Hz]; asks and sends nothing.

        Raises:
            LimitError: If chi or the amplitude is outside its limits.
        """
        self._check("exchange", exchange)
        rabi = self._scheme.rabi_frequency(exchange)
        return self._within_power(rabi, rabi)

    def _set_exchange(self, exchange: float) -> None:
        minus, plus = self.amplitudes(exchange)
        self._modulator("minus").amplitude.set(minus)
        self._modulator("plus").amplitude.set(plus)

    def _get_exchange(self) -> float:
        minus = float(self._modulator("minus").amplitude.get())
        return self._scheme.exchange(minus, float(self._modulator("plus").amplitude.get()))

    def exchange_std(self, exchange: float) -> float:
        """Standard deviation of chi in Hz from both modulators' calibrations."""
        minus, plus = self.amplitudes(exchange)
        parts = self._relative_std("minus", minus), self._relative_std("plus", plus)
        return abs(exchange) * math.hypot(*parts)

    def tones(
        self, exchange: float, start: float, duration: float
    ) -> Mapping[str, tuple[Tone, ...]]:
        """Tones of a sequence, by the name of each AOM role: both on from `start` [s].

        Raises:
            LimitError: As `amplitudes`.
        """
        minus, plus = self.amplitudes(exchange)
        return {
            self.settings.minus: (Tone(start, duration, minus),),
            self.settings.plus: (Tone(start, duration, plus, math.pi / 2),),
        }
