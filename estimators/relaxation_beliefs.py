"""What is known beforehand about two relaxing ensembles, for the relaxation estimators."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..models.relaxation_outcomes import LARGEST_SPIN
from .pumping_beliefs import Calibrated
from .pumping_posterior import Coordinate, Coordinates

RATES = ("collective_decay", "rabi_frequency", "detuning_difference")
"""Names of the rates that are always free, in the order of the slopes of the model."""

_LEAST_ROOM = math.log(1.5)  # half width of the range of a rate, in its logarithm
_DEVIATIONS = 8.0  # of a calibration, that its range reaches at least


@dataclass(frozen=True, slots=True)
class RelaxationBeliefs:
    """Beliefs for populations against hold time.

    Rates are ordinary frequencies: Gamma/2pi, Omega/2pi, Delta/2pi and chi/2pi in the inverse
    unit of the hold times (Hz for s).

    Args:
        spin: S of each ensemble, known.
        collective_decay, rabi_frequency, detuning_difference: the calibrations, ordinary
            frequencies (Hz for times in s). Where the fit starts, and how far it looks: 8
            standard deviations, a factor 1.5 at least.
        gain: counts per atom.
        background: counts of a gate without atoms in the counted state.
        use_rates: whether the calibrations of the rates enter the answer as Gaussian priors;
            without it the rates rest on the counts alone.
        exchange: chi/2pi, signed.
        exchange_std: its standard deviation; 0 takes it as known.

    Raises:
        ValueError: on values outside these rules.
    """

    spin: float
    collective_decay: Calibrated
    rabi_frequency: Calibrated
    detuning_difference: Calibrated
    gain: Calibrated
    background: Calibrated
    use_rates: bool = False
    exchange: float = 0.0
    exchange_std: float = 0.0

    def __post_init__(self) -> None:
        doubled = 2.0 * self.spin
        if not (0.0 < self.spin <= LARGEST_SPIN and doubled == round(doubled)):
            raise ValueError(
                f"Argument `spin` must be a multiple of 1/2 up to {LARGEST_SPIN:g}, but is "
                f"{self.spin!r}: the joint distribution of more relaxing atoms is not solved."
            )
        for name in (*RATES, "gain"):
            if not getattr(self, name).value > 0.0:
                raise ValueError(
                    f"Argument `{name}` must be above zero, but is {getattr(self, name).value!r}."
                )
        for name in ("exchange", "exchange_std"):
            value = getattr(self, name)
            if not math.isfinite(value) or (name == "exchange_std" and value < 0.0):
                raise ValueError(
                    f"Argument `{name}` must be finite{', not negative' * (name[-1] == 'd')}, "
                    f"but is {value!r}."
                )

    @property
    def atoms(self) -> int:
        """2S of each ensemble."""
        return round(2.0 * self.spin)

    @property
    def free_exchange(self) -> bool:
        """Whether chi is fitted."""
        return self.exchange_std > 0.0

    @property
    def largest_mean(self) -> float:
        """Mean counts of one ensemble with every atom in the counted state."""
        return self.gain.value * self.atoms + self.background.value

    def coordinates(self) -> Coordinates:
        """ln of the rates, chi less its believed value, ln gain, background."""
        found = [self._rate(name) for name in RATES]
        if self.free_exchange:
            room = 10.0 * self.exchange_std
            prior = Calibrated(0.0, self.exchange_std)
            found.append(Coordinate("exchange", "Hz", -room, room, prior, linear=True))
        gain, background = self.gain, self.background
        room = max(_LEAST_ROOM, _DEVIATIONS * gain.std / gain.value)
        middle = math.log(gain.value)
        top = background.value + max(10.0 * background.std, 0.5 * gain.value)
        found += [
            Coordinate("gain", "counts/atom", middle - room, middle + room, gain),
            Coordinate("background", "counts", 0.0, top, background, linear=True),
        ]
        return Coordinates(found)

    def _rate(self, name: str) -> Coordinate:
        rate: Calibrated = getattr(self, name)
        room = max(_LEAST_ROOM, _DEVIATIONS * rate.std / rate.value)
        middle = math.log(rate.value)
        prior = rate if self.use_rates else None
        return Coordinate(name, "Hz", middle - room, middle + room, prior)
