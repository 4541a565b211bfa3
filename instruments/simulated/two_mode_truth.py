"""Hidden truth of the two-mode squeezing laboratory: Raman tones, reservoirs, pulses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from .draws import keyed_generator
from .truth import (
    BeamTruth,
    DarkRate,
    DetectorEntry,
    DriveEntry,
    FilePart,
    Frequency,
    GradientEntry,
    Offset,
    Quantity,
)

MOST_ATOMS = 30
"""Largest ensemble: its sector of zero charge difference takes some seconds for each light."""

RAMAN = ("lowering_a", "raising_a", "lowering_b", "raising_b")
"""Beams of the engineered dissipation, by cavity mode; `_a` lowers ensemble 1 and lifts 2."""

ANALYSIS = ("analysis_1", "analysis_2")
"""Beams that turn ensemble 1 and 2, for the gradient parts their resonances."""


class RamanCavityEntry(FilePart):
    """The cavity and its excited states, ordinary frequencies in Hz; H = (Omega/2)|e><s| + h.c.

    Attributes:
        coupling: g of one atom.
        linewidth: kappa of both modes, the full width.
        mode_splitting: Distance of the two modes, to which the gradient must be set.
        detuning_minus, detuning_plus: Of lowering and raising tones from the excited state.
        excited_linewidth: Of the excited state; 0: it scatters nothing.
    """

    coupling: Frequency
    linewidth: Frequency
    mode_splitting: Frequency
    detuning_minus: Offset
    detuning_plus: Offset
    excited_linewidth: Offset = Quantity(nominal=0.0)

    @model_validator(mode="after")
    def _one_side(self) -> RamanCavityEntry:
        if self.detuning_minus.least * self.detuning_plus.least <= 0.0:
            raise ValueError("detuning_minus and detuning_plus must have one sign, and not be 0")
        return self


class TwoModeTruthEntry(FilePart):
    """Section `apparatus: truth:` of a laboratory file with the two-mode cavity.

    Attributes:
        atoms: In ensemble 1 and in ensemble 2.
        lowering_a, raising_a: Rabi frequencies of the tones of cavity mode a: G_- on O1, G_+ on
            O2^+.
        lowering_b, raising_b: The same of mode b, ensembles exchanged.
        analysis_1, analysis_2: Rabi frequencies of the tones that turn one ensemble each.
        atom_decay: Rate 1/s at which a single atom leaves the counted state, from the last light
            on.
    """

    atoms: Annotated[tuple[int, int], Field(strict=False)]
    lowering_a: DriveEntry
    raising_a: DriveEntry
    lowering_b: DriveEntry
    raising_b: DriveEntry
    analysis_1: DriveEntry
    analysis_2: DriveEntry
    cavity: RamanCavityEntry
    gradient: GradientEntry
    detector: DetectorEntry
    atom_decay: DarkRate = Quantity(nominal=0.0)

    @field_validator("atoms")
    @classmethod
    def _tractable(cls, atoms: tuple[int, int]) -> tuple[int, int]:
        if not all(1 <= number <= MOST_ATOMS for number in atoms):
            raise ValueError(f"must be from 1 to {MOST_ATOMS} in each ensemble")
        return atoms


@dataclass(frozen=True, slots=True)
class RamanCavityTruth:
    """The drawn cavity; see `RamanCavityEntry`."""

    coupling: float
    linewidth: float
    mode_splitting: float
    detuning_minus: float
    detuning_plus: float
    excited_linewidth: float = 0.0


@dataclass(frozen=True, slots=True)
class TwoModeTruth:
    """The drawn truth of the two-mode cavity, ordinary frequencies in Hz.

    Attributes:
        atoms: In ensemble 1 and 2.
        beams: Rabi frequencies, by the names of `RAMAN` and `ANALYSIS`.
        cavity: Modes and excited states.
        slope, offset: Difference of the ensembles' resonances per current [Hz/A], and at 0 A.
        rate_per_atom, background_rate: Counts per second.
        dead_time: Of the detector, s.
        atom_decay: 1/s.
    """

    atoms: tuple[int, int]
    beams: dict[str, BeamTruth]
    cavity: RamanCavityTruth
    slope: float
    offset: float
    rate_per_atom: float
    background_rate: float
    dead_time: float = 0.0
    atom_decay: float = 0.0


def draw_two_mode_truth(entry: TwoModeTruthEntry, seed: int) -> TwoModeTruth:
    """The truth of one seed: every spread quantity of the file drawn once."""

    def of(section: str, name: str) -> float:
        part = getattr(entry, section) if section else entry
        quantity: Quantity = getattr(part, name)
        return quantity.draw(keyed_generator(seed, f"truth.two_mode.{section}.{name}"))

    beam = ("full_rabi", "saturation_power", "centre_frequency", "bandwidth")
    return TwoModeTruth(
        atoms=entry.atoms,
        beams={
            section: BeamTruth(*(of(section, name) for name in beam))
            for section in (*RAMAN, *ANALYSIS)
        },
        cavity=RamanCavityTruth(*(of("cavity", name) for name in RamanCavityEntry.model_fields)),
        slope=of("gradient", "slope"),
        offset=of("gradient", "offset"),
        rate_per_atom=of("detector", "rate_per_atom"),
        background_rate=of("detector", "background_rate"),
        dead_time=of("detector", "dead_time"),
        atom_decay=of("", "atom_decay"),
    )
