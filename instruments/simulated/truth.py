"""Hidden truth of a simulated laboratory: what the station believes, and how far off it may be.

A laboratory file writes each quantity in one of three ways:

    atoms_per_ensemble: 100                                  exactly this
    full_rabi: {nominal: 60.0e3, spread: 0.02, unit: Hz}     normal, relative std 2 %
    phase: {uniform: [0.02, 0.08], unit: rad}                anywhere in between, equally likely

For a seed every quantity is drawn once, each from a generator of its own, so that a
quantity added to the file leaves the others as they were. Over many seeds the truth is
spread as the station's calibrations say it is: a fair draw from what is believed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from .draws import keyed_generator

ABSURD_DEVIATIONS = 5.0
"""Normal draws further from the nominal value than this many standard deviations are redrawn."""

MOST_ATOMS = 300
"""Largest ensemble: solving its table of 301 x 301 outcomes costs a good part of a second."""


class FilePart(BaseModel):
    """A part of a laboratory file: no unknown keys, no text where a number belongs."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, populate_by_name=True
    )


class Quantity(FilePart):
    """One hidden number as the laboratory file states it.

    Attributes:
        nominal: The value that the station believes.
        spread: Standard deviation relative to `nominal`, below 0.2; 0 is exact.
        uniform: In place of the two: lower and upper end of a range.
        unit: The unit it is written in, checked against the one expected.
    """

    nominal: float | None = None
    spread: float = Field(default=0.0, ge=0.0, lt=0.2)
    uniform: Annotated[tuple[float, float], Field(strict=False)] | None = None
    unit: str | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Quantity:
        if (self.nominal is None) == (self.uniform is None):
            raise ValueError("give either nominal (with spread) or uniform: [low, high]")
        if self.uniform is not None and (self.spread or self.uniform[0] > self.uniform[1]):
            raise ValueError("uniform needs [low, high] with low <= high, and no spread")
        return self

    def draw(self, rng: np.random.Generator) -> float:
        """One true value; `nominal` itself when nothing is spread."""
        if self.uniform is not None:
            return float(rng.uniform(*self.uniform))
        nominal = self.nominal or 0.0
        if self.spread == 0.0:
            return nominal
        deviation = rng.standard_normal()
        while abs(deviation) > ABSURD_DEVIATIONS:
            deviation = rng.standard_normal()
        return nominal * (1.0 + self.spread * float(deviation))

    @property
    def least(self) -> float:
        """The smallest value stated: the nominal one, or the lower end of the range."""
        return self.uniform[0] if self.uniform is not None else self.nominal or 0.0


def _as_quantity(given: Any) -> Any:
    number = isinstance(given, int | float) and not isinstance(given, bool)
    return {"nominal": given} if number else given


@dataclass(frozen=True, slots=True)
class _Expect:
    """What a quantity of the file must be: its unit, and its sign."""

    unit: str
    least: float = 0.0
    allow_least: bool = False

    def __call__(self, given: Quantity) -> Quantity:
        if given.unit not in (None, self.unit):
            raise ValueError(f"must be written in {self.unit}")
        if given.least < self.least or (given.least == self.least and not self.allow_least):
            rule = "at least" if self.allow_least else "above"
            raise ValueError(f"must be {rule} {self.least:g} {self.unit}")
        return given


def _a_share(given: Quantity) -> Quantity:
    high = given.uniform[1] if given.uniform is not None else given.least
    if given.unit is not None or given.least <= 0.0 or high > 1.0:
        raise ValueError("must be a share above 0 and at most 1, without a unit")
    return given


_NUMBER = BeforeValidator(_as_quantity)
Frequency = Annotated[Quantity, AfterValidator(_Expect("Hz")), _NUMBER]
Offset = Annotated[Quantity, AfterValidator(_Expect("Hz", -math.inf)), _NUMBER]
Power = Annotated[Quantity, AfterValidator(_Expect("W")), _NUMBER]
Slope = Annotated[Quantity, AfterValidator(_Expect("Hz/A", -math.inf)), _NUMBER]
Rate = Annotated[Quantity, AfterValidator(_Expect("1/s")), _NUMBER]
DarkRate = Annotated[Quantity, AfterValidator(_Expect("1/s", allow_least=True)), _NUMBER]
Duration = Annotated[Quantity, AfterValidator(_Expect("s", allow_least=True)), _NUMBER]
Share = Annotated[Quantity, AfterValidator(_a_share), _NUMBER]
Angle = Annotated[Quantity, AfterValidator(_Expect("rad", -math.inf)), _NUMBER]


class DriveEntry(FilePart):
    """The drive's beam: Rabi frequency = full_rabi * sin((pi/2) sqrt(P / saturation_power)).

    Attributes:
        full_rabi: Rabi frequency at saturation, Hz.
        saturation_power: RF power of the modulator's best diffraction, W.
        centre_frequency: RF frequency at which the light is on resonance, Hz.
        bandwidth: Half width around it within which that is near enough, Hz. A drive off
            resonance detunes both ensembles alike and prepares another, mixed state.
    """

    full_rabi: Frequency
    saturation_power: Power
    centre_frequency: Frequency = Quantity(nominal=80e6)
    bandwidth: Frequency = Quantity(nominal=5.0)


class CouplingEntry(FilePart):
    """The coupling's beam: Gamma/2pi = full_decay * sin^2((pi/2) sqrt(P / saturation_power))."""

    full_decay: Frequency
    saturation_power: Power
    centre_frequency: Frequency = Quantity(nominal=80e6)
    bandwidth: Frequency = Quantity(nominal=10e3)


class GradientEntry(FilePart):
    """The coil: detuning difference Delta/2pi = slope * current + offset, in Hz."""

    slope: Slope
    offset: Offset = Quantity(nominal=0.0)


class DetectorEntry(FilePart):
    """Photon counts per second: of one atom in the counted state, and of no atom at all.

    Attributes:
        rate_per_atom: Of an atom that is lit.
        background_rate: While the gate is open.
        dead_time: Seconds for which the detector misses everything behind each count.
    """

    rate_per_atom: Rate
    background_rate: DarkRate
    dead_time: Duration = Quantity(nominal=0.0)


class SignalEntry(FilePart):
    """The phase to be measured, written between preparation and pulse, in radians."""

    phase: Angle


class CommonPhaseEntry(FilePart):
    """The common phase of the last pulse against the atoms, radians; without it, uniform.

    Attributes:
        mean: Where the tones of the synthesizer have equal phases.
        std: Of the noise that is new in every shot.
        walk: Of the step from each shot to the next, that adds up: a slow drift.
    """

    mean: Angle = Quantity(nominal=0.0)
    std: float = Field(default=0.0, ge=0.0, le=10.0)
    walk: float = Field(default=0.0, ge=0.0, le=10.0)


class TwoEnsembleTruthEntry(FilePart):
    """Section `apparatus: truth:` of a laboratory file with the two-ensemble cavity.

    Attributes:
        atom_decay: Rate 1/s at which a single atom leaves the counted state, from the last light
            of the drive on.
        common_phase: Of prepared pairs; uniform and new in every shot if not stated.
    """

    atoms_per_ensemble: int
    drive: DriveEntry
    coupling: CouplingEntry
    gradient: GradientEntry
    detector: DetectorEntry
    signal: SignalEntry
    atom_decay: DarkRate = Quantity(nominal=0.0)
    common_phase: CommonPhaseEntry | None = None

    @field_validator("atoms_per_ensemble")
    @classmethod
    def _tractable(cls, atoms: int) -> int:
        if not 1 <= atoms <= MOST_ATOMS:
            raise ValueError(
                f"must be from 1 to {MOST_ATOMS}: the exact outcome table of more atoms takes "
                "longer to solve than the shots take"
            )
        return atoms


class DriftEntry(FilePart):
    """A slow change with the clock, relative to the value itself.

    Attributes:
        rms: Root mean square of the relative change; 0 switches it off.
        correlation_time: Seconds over which it changes; 0: new in every step.
    """

    rms: float = Field(default=0.0, ge=0.0, le=0.1)
    correlation_time: float = Field(default=0.0, ge=0.0)


Rms = Annotated[float, Field(ge=0.0, le=0.2)]


class LightNoiseEntry(FilePart):
    """Noise that is new in every shot; root mean squares relative to the value itself, 0 is off.

    Attributes:
        laser_power: Of the light that drives: the Rabi frequency goes with its square root, a
            pumping rate with the power itself.
        rf_amplitude: Of the RF behind the synthesizer, before the modulator's law.
        detection: Of the share of photons that are counted.
        background: Of the background's rate.
        laser_frequency: Of the light on which atoms are counted, in half widths of their line: an
            atom off by x scatters 1 / (1 + x^2).
    """

    laser_power: Rms = 0.0
    rf_amplitude: Rms = 0.0
    detection: Rms = 0.0
    background: Rms = 0.0
    laser_frequency: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0


class ShotNoiseEntry(LightNoiseEntry):
    """Section `drifts: shot_to_shot:` of two ensembles.

    Attributes:
        coil_current: Of the coil supply.
        atom_number: Of the ensembles, all alike.
    """

    coil_current: Rms = 0.0
    atom_number: Rms = 0.0


class DriftsEntry(FilePart):
    """Section `drifts:`; everything in it is a function of the clock and the seed.

    Attributes:
        drive_amplitude: Drift of the drive's Rabi frequency (laser power).
        coil_current: Noise of the coil current.
        detection: Drift of the share of photons that are counted.
        background: Drift of the background's rate.
        shot_to_shot: Noise that is new in every shot.
        step: Seconds for which all of them stay constant.
    """

    drive_amplitude: DriftEntry = DriftEntry()
    coil_current: DriftEntry = DriftEntry()
    detection: DriftEntry = DriftEntry()
    background: DriftEntry = DriftEntry()
    shot_to_shot: ShotNoiseEntry = ShotNoiseEntry()
    step: float = Field(default=10.0, gt=0.0)


@dataclass(frozen=True, slots=True)
class BeamTruth:
    """A beam behind its modulator: strength [Hz] at saturation_power [W], RF band [Hz]."""

    full_strength: float
    saturation_power: float
    centre_frequency: float
    bandwidth: float


@dataclass(frozen=True, slots=True)
class CommonPhaseTruth:
    """Common phase [rad]: mean, noise new in every shot, and step of its walk from shot to shot."""

    mean: float
    std: float
    walk: float


@dataclass(frozen=True, slots=True)
class TwoEnsembleTruth:
    """The drawn truth of the two-ensemble cavity, ordinary frequencies in Hz.

    Attributes:
        atoms: Atoms 2S in each ensemble.
        drive: Rabi frequency of the drive.
        coupling: Collective decay rate over 2 pi.
        slope, offset: Detuning difference per current [Hz/A], and at 0 A [Hz].
        rate_per_atom, background_rate: Counts per second.
        signal: Phase written between preparation and pulse, radians.
        dead_time: Of the detector, seconds.
        atom_decay: Rate at which a single atom leaves the counted state, 1/s.
        common_phase: Of the pulse against prepared atoms; None: uniform.
    """

    atoms: int
    drive: BeamTruth
    coupling: BeamTruth
    slope: float
    offset: float
    rate_per_atom: float
    background_rate: float
    signal: float
    dead_time: float = 0.0
    atom_decay: float = 0.0
    common_phase: CommonPhaseTruth | None = None

    @property
    def spin(self) -> float:
        """S of each ensemble."""
        return self.atoms / 2.0


def drawn(part: FilePart, name: str, seed: int, place: str = "") -> float:
    """The true value of one quantity of a part of the file, drawn for a seed.

    `place` tells parts of one kind from each other.
    """
    quantity: Quantity = getattr(part, name)
    return quantity.draw(keyed_generator(seed, f"truth.{type(part).__name__}{place}.{name}"))


def drawn_beam(part: FilePart, strength: str, seed: int, place: str = "") -> BeamTruth:
    """The true beam behind a modulator, `strength` naming its quantity at saturation."""
    names = (strength, "saturation_power", "centre_frequency", "bandwidth")
    return BeamTruth(*(drawn(part, name, seed, place) for name in names))


def draw_truth(entry: TwoEnsembleTruthEntry, seed: int) -> TwoEnsembleTruth:
    """The truth of one seed: every spread quantity of the file drawn once."""

    def of(part: FilePart, name: str) -> float:
        return drawn(part, name, seed)

    common = None
    if entry.common_phase is not None:
        given = entry.common_phase
        common = CommonPhaseTruth(of(given, "mean"), given.std, given.walk)
    return TwoEnsembleTruth(
        atoms=entry.atoms_per_ensemble,
        drive=drawn_beam(entry.drive, "full_rabi", seed),
        coupling=drawn_beam(entry.coupling, "full_decay", seed),
        slope=of(entry.gradient, "slope"),
        offset=of(entry.gradient, "offset"),
        rate_per_atom=of(entry.detector, "rate_per_atom"),
        background_rate=of(entry.detector, "background_rate"),
        signal=of(entry.signal, "phase"),
        dead_time=of(entry.detector, "dead_time"),
        atom_decay=of(entry, "atom_decay"),
        common_phase=common,
    )
