"""Hidden truth of several ensembles in one bad cavity: couplings, drive, analysis, detector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, field_validator

from .truth import (
    Angle,
    BeamTruth,
    DetectorEntry,
    DriveEntry,
    FilePart,
    Frequency,
    Power,
    Quantity,
    drawn,
    drawn_beam,
)

MOST_ENSEMBLES = 6
LEAST_ATOMS = 30
"""Smallest ensemble that is followed by its moments: they are good to about 1/N."""
MOST_STATES = 125
"""Largest product of all N_k + 1 for which the density matrix is followed: a second or two."""


class EnsembleEntry(FilePart):
    """One ensemble and the light that couples it: c = full_coupling sin((pi/2) sqrt(P/P_sat)).

    Attributes:
        atoms: N_k.
        full_coupling: c/2pi, half the splitting of one atom and the cavity, at saturation, Hz.
        saturation_power: RF power of the modulator's best diffraction, W.
        centre_frequency: RF frequency at which the ensemble is on the cavity's resonance, Hz.
        bandwidth: Half width around it within which that is near enough, Hz.
        phase: What the field to be sensed writes about z between hold and analysis, rad.
    """

    atoms: Annotated[int, Field(ge=1, le=1_000_000)]
    full_coupling: Frequency
    saturation_power: Power
    centre_frequency: Frequency = Quantity(nominal=80e6)
    bandwidth: Frequency = Quantity(nominal=5.0)
    phase: Angle = Quantity(nominal=0.0)


class CavityDriveEntry(FilePart):
    """Light that drives the cavity: amplitude = full_drive sin((pi/2) sqrt(P/P_sat)).

    Attributes:
        full_drive: e/2pi in H = i e (a^+ - a), at saturation, Hz.
        saturation_power: RF power of the modulator's best diffraction, W.
        centre_frequency: RF frequency of the cavity's resonance, Hz.
        bandwidth: Half width around it within which that is near enough, Hz.
        linewidth: kappa/2pi of the cavity's energy, Hz.
    """

    full_drive: Frequency
    saturation_power: Power
    centre_frequency: Frequency = Quantity(nominal=80e6)
    bandwidth: Frequency = Quantity(nominal=5.0)
    linewidth: Frequency


class SuperradiantTruthEntry(FilePart):
    """Section `apparatus: truth:` of a laboratory file with several ensembles in one cavity.

    Attributes:
        ensembles: In the order of the lines `coupling_1.rf`, `probe.1` and so on.
        cavity: And what drives it.
        analysis: Light on all atoms alike, beside the cavity.
        detector: Of all ensembles, one after the other.
    """

    ensembles: Annotated[
        tuple[EnsembleEntry, ...], Field(strict=False, min_length=2, max_length=MOST_ENSEMBLES)
    ]
    cavity: CavityDriveEntry
    analysis: DriveEntry
    detector: DetectorEntry

    @field_validator("ensembles")
    @classmethod
    def _tractable(cls, given: tuple[EnsembleEntry, ...]) -> tuple[EnsembleEntry, ...]:
        atoms = [one.atoms for one in given]
        if min(atoms) < LEAST_ATOMS and math.prod(n + 1 for n in atoms) > MOST_STATES:
            raise ValueError(
                f"must have at least {LEAST_ATOMS} atoms each, or so few that there are no more "
                f"than {MOST_STATES} states in all, but have {atoms}"
            )
        return given


@dataclass(frozen=True, slots=True)
class SuperradiantTruth:
    """The drawn truth of several ensembles in one cavity; ordinary frequencies in Hz.

    Attributes:
        atoms: N_k.
        couplings: c_k behind the modulator of each.
        phases: Written about z between hold and analysis, rad.
        drive: e of the light that drives the cavity.
        linewidth: kappa.
        analysis: Rabi frequency of the pulse on all atoms.
        rate_per_atom, background_rate: Counts per second.
        dead_time: Of the detector, seconds.
    """

    atoms: tuple[int, ...]
    couplings: tuple[BeamTruth, ...]
    phases: tuple[float, ...]
    drive: BeamTruth
    linewidth: float
    analysis: BeamTruth
    rate_per_atom: float
    background_rate: float
    dead_time: float = 0.0

    @property
    def few(self) -> bool:
        """Whether there are so few atoms that their density matrix is followed."""
        return math.prod(n + 1 for n in self.atoms) <= MOST_STATES

    @property
    def atom_decay(self) -> float:
        """Single atoms do not decay by themselves."""
        return 0.0


def draw_superradiant_truth(entry: SuperradiantTruthEntry, seed: int) -> SuperradiantTruth:
    """The truth of one seed: every spread quantity of the file drawn once."""
    members = [(one, f".{place}") for place, one in enumerate(entry.ensembles, 1)]
    detector = entry.detector
    return SuperradiantTruth(
        atoms=tuple(one.atoms for one, _ in members),
        couplings=tuple(drawn_beam(one, "full_coupling", seed, place) for one, place in members),
        phases=tuple(drawn(one, "phase", seed, place) for one, place in members),
        drive=drawn_beam(entry.cavity, "full_drive", seed),
        linewidth=drawn(entry.cavity, "linewidth", seed),
        analysis=drawn_beam(entry.analysis, "full_rabi", seed),
        rate_per_atom=drawn(detector, "rate_per_atom", seed),
        background_rate=drawn(detector, "background_rate", seed),
        dead_time=drawn(detector, "dead_time", seed),
    )
