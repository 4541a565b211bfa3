"""What is known beforehand about two large relaxing ensembles, and their moments in counts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..models.cumulant_populations import (
    ClosureError,
    CloudMoments,
    RelaxingClouds,
    closure_error,
    cloud_moments,
)
from .pumping_beliefs import Calibrated
from .pumping_posterior import Coordinate, Coordinates
from .relaxation_beliefs import RATES
from .relaxation_clouds_light import light_known

Array = NDArray[np.float64]

FEWEST_ATOMS = 12
"""Fewer atoms are solved exactly by `RelaxationTrace`; the closure and the Gaussian need more."""

_LEAST_ROOM = math.log(1.5)  # half width of the range of a rate, in its logarithm
_DEVIATIONS = 8.0  # of a calibration, that its range reaches at least
_ROOM = math.log(3.0)  # of the efficiency
_TWO_PI = 2.0 * math.pi


@dataclass(frozen=True, slots=True)
class CloudBeliefs:
    """Beliefs for populations (and light) of large ensembles against hold time.

    Rates are ordinary frequencies: Gamma/2pi, Omega/2pi, Delta/2pi, chi/2pi and gamma/2pi in the
    inverse unit of the hold times (Hz for s).

    Args:
        atoms: N of each ensemble, 12 or more.
        collective_decay, rabi_frequency, detuning_difference: the calibrations. Where the fit
            starts, and how far it looks: 8 standard deviations, a factor 1.5 at least.
        gain: counts per atom.
        background: counts of a gate without atoms in the counted state.
        use_rates: whether the calibrations of the rates enter the answer as Gaussian priors.
        atoms_std: standard deviation of N, alike in both ensembles; 0 takes it as known. Only
            N Gamma and N g show in the counts, so it goes into the error of Gamma.
        atoms_spread: rms of N from shot to shot over N, alike in both ensembles; known.
        exchange, exchange_std: chi/2pi, signed; a std of 0 takes it as known.
        single_spin_decay, single_spin_decay_std: gamma/2pi; a std of 0 takes it as known.
        efficiency: eta of a counter behind the cavity; None where there is none.
        output_background: its counts in a unit of the hold time without any photon.

    Raises:
        ValueError: on values outside these rules.
    """

    atoms: float
    collective_decay: Calibrated
    rabi_frequency: Calibrated
    detuning_difference: Calibrated
    gain: Calibrated
    background: Calibrated
    use_rates: bool = False
    atoms_std: float = 0.0
    atoms_spread: float = 0.0
    exchange: float = 0.0
    exchange_std: float = 0.0
    single_spin_decay: float = 0.0
    single_spin_decay_std: float = 0.0
    efficiency: Calibrated | None = None
    output_background: Calibrated | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.atoms) and self.atoms >= FEWEST_ATOMS):
            raise ValueError(
                f"Argument `atoms` must be at least {FEWEST_ATOMS}, but is {self.atoms!r}: fewer "
                "atoms are solved exactly, use RelaxationTrace."
            )
        for name in (*RATES, "gain"):
            if not getattr(self, name).value > 0.0:
                raise ValueError(
                    f"Argument `{name}` must be above zero, but is {getattr(self, name).value!r}."
                )
        for name in (
            *("atoms_std", "atoms_spread", "exchange_std"),
            *("single_spin_decay", "single_spin_decay_std"),
        ):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0.0):
                raise ValueError(
                    f"Argument `{name}` must be finite and not negative, but is "
                    f"{getattr(self, name)!r}."
                )
        if not math.isfinite(self.exchange):
            raise ValueError(f"Argument `exchange` must be finite, but is {self.exchange!r}.")
        if (self.efficiency is None) != (self.output_background is None):
            raise ValueError("Give both `efficiency` and `output_background`, or neither.")
        if self.efficiency is not None and not 0.0 < self.efficiency.value <= 1.0:
            raise ValueError(
                "Argument `efficiency` must be above 0 and at most 1, but is "
                f"{self.efficiency.value!r}."
            )

    @property
    def largest_mean(self) -> float:
        """Mean counts of one ensemble with every atom in the counted state."""
        return self.gain.value * self.atoms + self.background.value

    @property
    def lit(self) -> bool:
        """Whether the cavity's light is counted."""
        return self.efficiency is not None

    @property
    def rates(self) -> dict[str, float]:
        """Names of the free rates, with 1 for a logarithm and the believed error otherwise."""
        found: dict[str, float] = dict.fromkeys(RATES, 1.0)
        if self.exchange_std > 0.0:
            found["exchange"] = self.exchange_std
        if self.single_spin_decay_std > 0.0:
            found["single_spin_decay"] = self.single_spin_decay_std
        return found

    @property
    def slopes(self) -> tuple[str, ...]:
        """By what the moments are differentiated: the free rates, and N where it is free."""
        return (*self.rates, *(("atoms",) if self.atoms_std > 0.0 else ()))

    def coordinates(self) -> Coordinates:
        """ln of the rates, chi less its belief, gamma, ln N, the counters."""
        found = [self._logarithmic(name, "Hz", self.use_rates) for name in RATES]
        if self.exchange_std > 0.0:
            room, prior = 10.0 * self.exchange_std, Calibrated(0.0, self.exchange_std)
            found.append(Coordinate("exchange", "Hz", -room, room, prior, linear=True))
        if self.single_spin_decay_std > 0.0:
            prior = Calibrated(self.single_spin_decay, self.single_spin_decay_std)
            top = prior.value + 10.0 * prior.std
            found.append(Coordinate("single_spin_decay", "Hz", 0.0, top, prior, linear=True))
        if self.atoms_std > 0.0:
            prior, middle = Calibrated(self.atoms, self.atoms_std), math.log(self.atoms)
            room = max(_LEAST_ROOM, _DEVIATIONS * prior.std / prior.value)
            low = max(middle - room, math.log(0.5 * FEWEST_ATOMS))
            found.append(Coordinate("atoms", "", low, middle + room, prior))
        if self.efficiency is not None and self.output_background is not None:
            middle, dark = math.log(self.efficiency.value), self.output_background
            top = min(middle + _ROOM, 0.0)
            found += [
                Coordinate("efficiency", "", middle - _ROOM, top, self.efficiency),
                Coordinate(
                    "output_background", "1/s", 0.0, dark.value + 10.0 * dark.std, dark, linear=True
                ),
            ]
        background = self.background
        top = background.value + max(10.0 * background.std, 0.5 * self.gain.value)
        found += [
            self._logarithmic("gain", "counts/atom", True),
            Coordinate("background", "counts", 0.0, top, background, linear=True),
        ]
        return Coordinates(found)

    def clouds(self, values: dict[str, float]) -> RelaxingClouds:
        """The clouds at values of the coordinates by name (chi less its belief)."""
        return RelaxingClouds(
            values.get("atoms", self.atoms),
            _TWO_PI * values["rabi_frequency"],
            _TWO_PI * values["detuning_difference"],
            _TWO_PI * (self.exchange + values.get("exchange", 0.0)),
            _TWO_PI * values.get("single_spin_decay", self.single_spin_decay),
            _TWO_PI * values["collective_decay"],
        )

    def _logarithmic(self, name: str, unit: str, prior: bool) -> Coordinate:
        value: Calibrated = getattr(self, name)
        room = max(_LEAST_ROOM, _DEVIATIONS * value.std / value.value)
        middle = math.log(value.value)
        return Coordinate(name, unit, middle - room, middle + room, value if prior else None)


@dataclass(frozen=True, slots=True, eq=False)
class CountMoments:
    """Means and covariances of the counts (y1, y2[, light]) of one shot at each hold.

    Attributes:
        mean: (T, d).
        covariance: (T, d, d).
        mean_slopes: (k, T, d) by the coordinates.
        covariance_slopes: (k, T, d, d).
    """

    mean: Array
    covariance: Array
    mean_slopes: Array = field(repr=False)
    covariance_slopes: Array = field(repr=False)


def count_moments(beliefs: CloudBeliefs, x: Array, holds: Array) -> CountMoments:
    """Moments of the counts at x, with slopes by every coordinate; atoms_spread left out."""
    coordinates = beliefs.coordinates()
    natural = coordinates.natural(x)
    values = dict(zip(coordinates.names, map(float, natural), strict=True))
    solved = cloud_moments(beliefs.clouds(values), holds, beliefs.slopes)
    return counted(beliefs, coordinates.names, values, solved)


def counted(
    beliefs: CloudBeliefs, names: tuple[str, ...], values: dict[str, float], solved: CloudMoments
) -> CountMoments:
    """Counts from atoms and photons: y = Poisson(g n + b), light thinned by eta, beta t added."""
    size, holds = (3 if beliefs.lit else 2), solved.times
    gain, background = values["gain"], values["background"]
    scale, offset = np.array([gain, gain, 0.0]), np.zeros((holds.size, 3))
    offset[:, :2] = background
    if beliefs.lit:
        scale[2] = values["efficiency"]
        offset[:, 2] = values["output_background"] * holds
    both, eye = np.outer(scale, scale), np.eye(3)
    mean = scale * solved.mean + offset
    covariance = both * solved.covariance + eye * mean[:, None, :]
    by_mean = np.zeros((len(names), *mean.shape))
    by_covariance = np.zeros((len(names), *covariance.shape))
    for row, name in enumerate(solved.names):
        unit = _TWO_PI if name in ("exchange", "single_spin_decay") else 1.0
        place = names.index(name)
        by_mean[place] = unit * scale * solved.mean_slopes[row]
        by_covariance[place] = unit * both * solved.covariance_slopes[row]
    for name, on in (("gain", (1.0, 1.0, 0.0)), ("efficiency", (0.0, 0.0, 1.0))):
        if name in names:
            place, part = names.index(name), np.array(on)
            by_mean[place] = part * scale * solved.mean
            weight = part[:, None] + part[None, :]
            by_covariance[place] = weight * both * solved.covariance
    by_mean[names.index("background"), :, :2] = 1.0
    if beliefs.lit:
        by_mean[names.index("output_background"), :, 2] = holds
    by_covariance += eye * by_mean[:, :, None, :]
    return CountMoments(
        mean[:, :size],
        covariance[:, :size, :size],
        by_mean[:, :, :size],
        by_covariance[:, :, :size, :size],
    )


@dataclass(frozen=True, slots=True, eq=False)
class Allowance:
    """What the closure may be wrong by in counts, and what the number of atoms adds.

    Attributes:
        mean: (T, d, d) covariance of the means' error, the same in every shot of a hold.
        relative: (T,) relative error of the covariances.
        spread: (T, d, d) covariance from the number of atoms, shot by shot.
        trusted: (T,) whether a hold can be used at all.
        lit: (T,) whether its light can be used.
    """

    mean: Array
    relative: Array
    spread: Array
    trusted: NDArray[np.bool_]
    lit: NDArray[np.bool_]

    def kept(self, mask: NDArray[np.bool_]) -> Allowance:
        """Some of the holds."""
        return Allowance(
            self.mean[mask],
            self.relative[mask],
            self.spread[mask],
            self.trusted[mask],
            self.lit[mask],
        )


SAFETY = 2.0
"""Closure errors are taken this much larger than they are measured."""

_LEAST_RELATIVE = 2.0  # times N^-1/2: seen of variances where an ensemble turns around
_UNKNOWN_LIGHT = 1e12  # counts^2: variance that leaves light without a weight
_LARGEST = 0.5  # closure error over the state's own standard deviation, or of its variance


def allowance(beliefs: CloudBeliefs, x: Array, holds: Array) -> Allowance:
    """The closure's error at x, twice what `closure_error` says, and the atoms' spread."""
    coordinates = beliefs.coordinates()
    values = dict(zip(coordinates.names, map(float, coordinates.natural(x)), strict=True))
    clouds, size = beliefs.clouds(values), (3 if beliefs.lit else 2)
    solved = cloud_moments(clouds, holds, ("atoms",) if beliefs.atoms_spread else ())
    wrong: ClosureError = closure_error(clouds, holds)
    variance = np.diagonal(solved.covariance, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        room = np.sqrt(np.maximum(variance[:, :2], 0.25))
        relative = SAFETY * (
            np.diagonal(wrong.covariance, axis1=1, axis2=2) / np.maximum(variance[:, :2], 0.25)
        ).max(axis=1)
        off = (SAFETY * wrong.mean[:, :2] / room).max(axis=1)
        trusted = solved.physical & (off < _LARGEST) & (relative < 2.0 * _LARGEST)
    scale = np.array([values["gain"]] * 2 + [values.get("efficiency", 0.0)])[:size]
    error = np.where(trusted[:, None], SAFETY * wrong.mean[:, :size] * scale, 0.0)
    mean = error[:, :, None] * error[:, None, :]
    if clouds.exchange != 0.0:
        mean *= np.eye(size)
    elif size == 3:
        mean[:, :2, 2] = mean[:, 2, :2] = 0.0
    spread = np.zeros_like(mean)
    if beliefs.atoms_spread:
        by = beliefs.atoms_spread * scale * solved.mean_slopes[0][:, :size]
        spread = by[:, :, None] * by[:, None, :]
    relative = np.maximum(relative, _LEAST_RELATIVE / math.sqrt(clouds.atoms))
    lit = trusted.copy()
    if size == 3:
        lit &= light_known(clouds, holds, values["efficiency"])
        spread[~lit, 2, 2] += _UNKNOWN_LIGHT
    return Allowance(mean, np.where(trusted, relative, 0.0), spread, trusted, lit)
