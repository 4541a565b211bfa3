"""Hidden truth of the pumped cavity: one ensemble, its pump, its collective decay, its detector."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, field_validator, model_validator

from .draws import keyed_generator
from .truth import (
    BeamTruth,
    DarkRate,
    DriftEntry,
    Duration,
    FilePart,
    Frequency,
    LightNoiseEntry,
    Power,
    Quantity,
    Rate,
)

MOST_ATOMS = 2000
"""Largest ensemble: following the populations of a short hold takes seconds beyond it."""

MOST_DROOPING = 300
"""Largest ensemble with a droop of the pump, whose short holds are solved as whole matrices."""


class PumpEntry(FilePart):
    """The pump's beam: w/2pi = full_rate * sin^2((pi/2) sqrt(P / saturation_power)).

    Attributes:
        full_rate: Collective pumping rate w/2pi at saturation, Hz.
        saturation_power: RF power of the modulator's best diffraction, W.
        centre_frequency: RF frequency of the two-photon resonance, Hz.
        bandwidth: Half width around it within which the rate is the stated one, Hz.
        droop: gamma_r/(2 delta) of the three-level scheme: the rate out of n excited atoms is
            the stated one over 1 + (droop (n+1))^2. 0: the same for all n.
    """

    full_rate: Frequency
    saturation_power: Power
    centre_frequency: Frequency = Quantity(nominal=80e6)
    bandwidth: Frequency = Quantity(nominal=10e3)
    droop: float = Field(default=0.0, ge=0.0, le=0.1)


class CavityEntry(FilePart):
    """The cavity: collective decay rate gamma/2pi into it, Hz."""

    collective_decay: Frequency


class PumpedDetectorEntry(FilePart):
    """Photon counts per second.

    Attributes:
        rate_per_atom: Of each excited atom under probe light.
        background_rate: While the gate is open.
        fluorescence_rate: Of each excited atom without probe light: what it emits off the axis
            of the cavity, times the detection efficiency.
        dead_time: Seconds for which the detector misses everything behind each count.
    """

    rate_per_atom: Rate
    background_rate: DarkRate
    fluorescence_rate: DarkRate = Quantity(nominal=0.0)
    dead_time: Duration = Quantity(nominal=0.0)


class PumpedTruthEntry(FilePart):
    """Section `apparatus: truth:` of a laboratory file with the pumped cavity."""

    atoms: int
    pump: PumpEntry
    cavity: CavityEntry
    detector: PumpedDetectorEntry

    @model_validator(mode="after")
    def _droop_tractable(self) -> PumpedTruthEntry:
        if self.pump.droop > 0.0 and self.atoms > MOST_DROOPING:
            raise ValueError(f"with a droop of the pump, atoms must be at most {MOST_DROOPING}")
        return self

    @field_validator("atoms")
    @classmethod
    def _tractable(cls, atoms: int) -> int:
        if not 2 <= atoms <= MOST_ATOMS:
            raise ValueError(f"must be from 2 to {MOST_ATOMS}")
        return atoms


class PumpedDriftsEntry(FilePart):
    """Section `drifts:`; everything in it is a function of the clock and the seed.

    Attributes:
        pump_power: Drift of the pump's optical power, and with it of the pumping rate.
        detection: Drift of the share of photons that are counted.
        background: Drift of the background's rate.
        shot_to_shot: Noise that is new in every shot.
        step: Seconds for which all of them stay constant.
    """

    pump_power: DriftEntry = DriftEntry()
    detection: DriftEntry = DriftEntry()
    background: DriftEntry = DriftEntry()
    shot_to_shot: LightNoiseEntry = LightNoiseEntry()
    step: float = Field(default=10.0, gt=0.0)


@dataclass(frozen=True, slots=True)
class PumpedTruth:
    """The drawn truth of the pumped cavity, ordinary frequencies in Hz.

    Attributes:
        atoms: N.
        pump: Collective pumping rate over 2 pi.
        decay: Collective decay rate over 2 pi.
        rate_per_atom, background_rate: Counts per second.
        fluorescence_rate: Counts per second of each excited atom without probe light.
        droop: How the pump's rate falls with the number of excited atoms.
        dead_time: Of the detector, seconds.
    """

    atoms: int
    pump: BeamTruth
    decay: float
    rate_per_atom: float
    background_rate: float
    droop: float = 0.0
    fluorescence_rate: float = 0.0
    dead_time: float = 0.0

    @property
    def atom_decay(self) -> float:
        """Single atoms do not decay by themselves."""
        return 0.0


def draw_pumped_truth(entry: PumpedTruthEntry, seed: int) -> PumpedTruth:
    """The truth of one seed: every spread quantity of the file drawn once."""

    def of(part: FilePart, name: str) -> float:
        quantity: Quantity = getattr(part, name)
        # Named as when the entries were shared: a seed keeps its laboratory.
        section = type(part).__name__.removeprefix("Pumped")
        return quantity.draw(keyed_generator(seed, f"truth.{section}.{name}"))

    names = ("full_rate", "saturation_power", "centre_frequency", "bandwidth")
    return PumpedTruth(
        atoms=entry.atoms,
        pump=BeamTruth(*(of(entry.pump, name) for name in names)),
        decay=of(entry.cavity, "collective_decay"),
        rate_per_atom=of(entry.detector, "rate_per_atom"),
        background_rate=of(entry.detector, "background_rate"),
        droop=entry.pump.droop,
        fluorescence_rate=of(entry.detector, "fluorescence_rate"),
        dead_time=of(entry.detector, "dead_time"),
    )
