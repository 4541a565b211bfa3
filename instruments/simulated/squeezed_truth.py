"""Hidden truth of an ensemble on a squeezed waveguide: its OPO, its coupling, its detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import field_validator

from .truth import (
    Angle,
    BeamTruth,
    DetectorEntry,
    DriveEntry,
    FilePart,
    Frequency,
    Offset,
    Power,
    Quantity,
    Share,
    drawn,
    drawn_beam,
)

MOST_ATOMS = 200
"""Largest ensemble: with loss its density matrix takes a second beyond."""


class SqueezerEntry(FilePart):
    """The OPO and its pump: e^(-r) = (1-s)/(1+s), s = full_pump sin((pi/2) sqrt(P/P_sat)).

    Attributes:
        full_pump: s, the pump's amplitude over that at threshold, at the modulator's saturation.
        saturation_power: RF power of the modulator's best diffraction, W.
        centre_frequency: RF frequency at which the carrier is on the bare atoms' resonance, Hz.
        bandwidth: Half width of RF around it within which the OPO squeezes as stated, Hz.
        transmission: eta, the share of the squeezed light's power that reaches the atoms.
        phase_offset: alpha at an RF phase of 0, rad.
        order: Diffraction order times passes: what an RF frequency and phase do to the pump's.
    """

    full_pump: Share
    saturation_power: Power
    centre_frequency: Frequency = Quantity(nominal=80e6)
    bandwidth: Frequency = Quantity(nominal=1e6)
    transmission: Share
    phase_offset: Angle = Quantity(nominal=0.0)
    order: Literal[-2, -1, 1, 2] = 1


class WaveguideEntry(FilePart):
    """Atoms and waveguide, while the light that couples them is on.

    Attributes:
        collective_decay: A/2pi, the decay rate of one atom into the waveguide, Hz.
        shift: Delta_N/2pi that the waveguide gives the atoms' resonance, Hz.
    """

    collective_decay: Frequency
    shift: Offset = Quantity(nominal=0.0)


class SqueezedTruthEntry(FilePart):
    """Section `apparatus: truth:` of a laboratory file with a squeezed waveguide."""

    atoms: int
    squeezer: SqueezerEntry
    waveguide: WaveguideEntry
    drive: DriveEntry
    detector: DetectorEntry

    @field_validator("atoms")
    @classmethod
    def _tractable(cls, atoms: int) -> int:
        if not 1 <= atoms <= MOST_ATOMS:
            raise ValueError(f"must be from 1 to {MOST_ATOMS}")
        return atoms


@dataclass(frozen=True, slots=True)
class SqueezedTruth:
    """The drawn truth of a squeezed waveguide; ordinary frequencies in Hz.

    Attributes:
        atoms: N.
        squeezer: Of the OPO's pump; its full strength is s, without a unit.
        transmission: eta.
        phase_offset: alpha at an RF phase of 0.
        order: What an RF frequency and phase do to the pump's.
        decay: A over 2 pi.
        shift: Delta_N over 2 pi with the carrier on the bare resonance.
        drive: Rabi frequency of the analysis pulse.
        rate_per_atom, background_rate: Counts per second.
        dead_time: Of the detector, seconds.
    """

    atoms: int
    squeezer: BeamTruth
    transmission: float
    phase_offset: float
    order: int
    decay: float
    shift: float
    drive: BeamTruth
    rate_per_atom: float
    background_rate: float
    dead_time: float = 0.0

    @property
    def atom_decay(self) -> float:
        """Single atoms do not decay by themselves."""
        return 0.0


def draw_squeezed_truth(entry: SqueezedTruthEntry, seed: int) -> SqueezedTruth:
    """The truth of one seed: every spread quantity of the file drawn once."""
    squeezer, waveguide, detector = entry.squeezer, entry.waveguide, entry.detector
    return SqueezedTruth(
        atoms=entry.atoms,
        squeezer=drawn_beam(squeezer, "full_pump", seed),
        transmission=min(drawn(squeezer, "transmission", seed), 1.0),
        phase_offset=drawn(squeezer, "phase_offset", seed),
        order=squeezer.order,
        decay=drawn(waveguide, "collective_decay", seed),
        shift=drawn(waveguide, "shift", seed),
        drive=drawn_beam(entry.drive, "full_rabi", seed),
        rate_per_atom=drawn(detector, "rate_per_atom", seed),
        background_rate=drawn(detector, "background_rate", seed),
        dead_time=drawn(detector, "dead_time", seed),
    )
