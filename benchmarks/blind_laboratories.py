"""Laboratories whose scales are up to 10 % off what the station's files say, and their stations.

A blind test begins here with wrong files, which admit 5 % on every scale; the hidden scales are
drawn from that (normal, cut at 10 %). Where calibration protocols exist (the stations of two
ensembles), they are run in the same laboratory one after the other, each answer goes through the
gate into the station's files, and the experiment that follows knows no more than they found. The
pumped cavities have none, and six atoms are too few to calibrate the coupling: there the
experiment itself has to live with the ignorance that the files admit.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

OFF = 0.10
"""Largest relative distance of a hidden scale from its file."""

ADMITTED = 0.05
"""Relative standard deviation that the files state for each scale, before any calibration."""

LARGEST_CHANGE = 0.2
"""What the gate is told to let pass: more than the laboratories hide."""

_SEED = 0x626C696E  # "blin": keeps this use of the seed apart from others
_SPREAD = re.compile(r"\{nominal: (?P<nominal>[^,]+), spread: [^,]+, unit: (?P<unit>[^}]+)\}")
_STATED = re.compile(r"relative_std: [0-9.e+-]+")


class NotCalibrated(RuntimeError):
    """A calibration of a blind laboratory did not pass the gate, with its reasons."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What has to be calibrated before a protocol.

    Attributes:
        station: Shipped station and laboratory.
        calibrations: Protocols in their order, and what differs from their defaults.
    """

    station: str
    calibrations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_THREE = ("calibrate_rabi", "calibrate_detuning", "calibrate_detector")
_SIX_ATOMS = {"atoms_per_ensemble": 6, "shots": 60}

CHAINS: Mapping[str, Chain] = {
    "ramsey_ellipse": Chain("two_ensemble", dict.fromkeys((*_THREE, "calibrate_coupling"), {})),
    "dissipative_preparation": Chain("dissipative_preparation", dict.fromkeys(_THREE, _SIX_ATOMS)),
    "pumping_scan": Chain("pumped_cavity"),
    "pumping_adaptive": Chain("pumped_cavity"),
    "pumping_sweep": Chain("pumped_cavity"),
    "pumping_hold": Chain("pumped_cavity_fluorescence"),
}
"""By protocol; a protocol that is not here is tested with the shipped files."""


def blind_station(protocol: str, folder: Path, seed: int) -> tuple[Path, Path]:
    """Station and laboratory file of one seed, calibrated where that can be done.

    Raises:
        NotCalibrated: The gate refused a calibration.
    """
    from cavitylab.instruments.shipped import shipped_folder

    chain = CHAINS[protocol]
    own = folder / "station"
    shutil.copytree(shipped_folder(), own, dirs_exist_ok=True)
    station, laboratory = own / f"{chain.station}.yaml", own / f"{chain.station}.lab.yaml"
    rng = np.random.default_rng([_SEED, seed])
    text = laboratory.read_text(encoding="utf-8")
    laboratory.write_text(_SPREAD.sub(lambda scale: _drawn(scale, rng), text), encoding="utf-8")
    for file in (own / "calibrations").glob("*.yaml"):
        stated = _STATED.sub(f"relative_std: {ADMITTED}", file.read_text(encoding="utf-8"))
        file.write_text(stated, encoding="utf-8")
    for name, settings in chain.calibrations.items():
        _calibrate(name, settings, station, laboratory, folder, seed)
    return station, laboratory


def _drawn(scale: re.Match[str], rng: np.random.Generator) -> str:
    """A hidden scale as the files' admitted ignorance has it, cut at 10 %."""
    while abs(off := float(rng.normal(0.0, ADMITTED))) > OFF:
        continue
    return f"{{nominal: {float(scale['nominal']) * (1 + off)!r}, unit: {scale['unit']}}}"


def _calibrate(
    name: str,
    settings: Mapping[str, Any],
    station: Path,
    laboratory: Path,
    folder: Path,
    seed: int,
) -> None:
    """Run one calibration and put its answer into the station's files, through the gate.

    What the gate refuses is taken again with four times the shots, once: what its messages tell
    an operator to do about an answer that is ambiguous.
    """
    from cavitylab.instruments.station_file import load_station_file

    for times in (1, 4):
        proposal = _proposed(name, settings, times, (station, laboratory), folder, seed)
        if proposal.decision:
            break
    else:
        raise NotCalibrated(f"{name}, seed {seed}: {'; '.join(proposal.decision.reasons)}")
    roles = {role.name: role for role in load_station_file(station).roles}
    proposal.write(station.parent / str(roles[proposal.role].init["calibration"]))


def _proposed(
    name: str,
    settings: Mapping[str, Any],
    times: int,
    files: tuple[Path, Path],
    folder: Path,
    seed: int,
) -> Any:
    """What a calibration proposes after so many times its usual shots."""
    from cavitylab import Station, run
    from cavitylab.protocols import protocol_by_name
    from cavitylab.protocols.calibration import PulseCalibration

    usual = protocol_by_name(name)(**settings)
    protocol = protocol_by_name(name)(**{**settings, "shots": times * usual.settings.shots})
    if not isinstance(protocol, PulseCalibration):
        raise TypeError(f"{name} is no calibration by pulses")
    station, laboratory = map(str, files)
    with Station.open(station, rehearse=laboratory, seed=seed) as opened:
        result = run(protocol, opened, data=folder / "data", seed=seed)
        calibrations = dict(opened.calibrations)
    if result.estimate is None:
        raise NotCalibrated(f"{name}, seed {seed}: no estimate")
    return protocol.proposal(result.estimate, calibrations, LARGEST_CHANGE)
