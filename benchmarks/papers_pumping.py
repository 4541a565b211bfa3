"""Shimshi & Shahmoon's collectively pumped superradiance through the whole chain, not the model.

    python benchmarks/papers_pumping.py            both checks, some minutes
    python benchmarks/papers_pumping.py --quick    a short form

Each row is a run in rehearsal: tables and delays on the wire, counts drawn by the simulated
laboratory, the estimate of the protocol. Drifts are off, truths drawn from the file's spreads.

* Hysteresis against rate (Fig. 4): width where up and down pass the half level, in units of
  2 gamma/N, beside the exact width of an endless ramp of as many atoms.
* Critical pumping (below Eq. 5): its error times N, which must not depend on N.
"""

from __future__ import annotations

import argparse
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cavitylab import Station, run
from cavitylab.instruments.shipped import find_file
from cavitylab.models.pumped_superradiance_hysteresis import hysteresis
from cavitylab.protocols import PumpingScan, PumpingSweep

RATES = (0.3, 1.0, 3.0, 10.0, 30.0)
ATOMS = (30, 100, 300)


@dataclass(frozen=True)
class Width:
    """One sweep: measured and exact width at the true speed, in units of 2 gamma/N."""

    rate: float
    measured: float
    std: float
    exact: float


@dataclass(frozen=True)
class Error:
    """Scans of one atom number.

    Attributes:
        atoms: N.
        scaled: Mean relative std of the critical pump, times N, times the root of the shots.
        pull: Root mean square distance from the truth in standard deviations.
    """

    atoms: int
    scaled: float
    pull: float


def hysteresis_widths(folder: Path, rates: Sequence[float], shots: int, seed: int) -> list[Width]:
    """A sweep up and down at each rate."""
    found = []
    for number, rate in enumerate(rates):
        protocol = PumpingSweep(
            rate=rate,
            gate=20e-6,
            points=13,
            shots_per_point=shots,
            passes=1,
            stair=min(0.25, 0.25 * rate),
            decay_relative_std=1e-3,  # dense: straight lines are to find the half level
        )
        result = rehearse(protocol, folder, find_file("pumped_cavity", ".lab.yaml"), seed + number)
        width, truth = result.estimate["hysteresis_width"], result.truth
        unit = 2.0 * truth["critical_pump"] / 100
        believed = protocol.settings
        speed = believed.stair / believed.stair_time * 5.0 / truth["critical_pump"]
        exact = hysteresis(100, speed / (2 * math.pi * truth["collective_decay"])).width
        found.append(Width(rate, width.value / unit, width.std / unit, exact))
    return found


def critical_errors(
    folder: Path, numbers: Sequence[int], laboratories: int, shots: int, seed: int
) -> list[Error]:
    """Scans over the same range in units of the transition's width, for each atom number."""
    shipped = find_file("pumped_cavity", ".lab.yaml").read_text(encoding="utf-8")
    found = []
    for atoms in numbers:
        laboratory = folder / f"{atoms}.lab.yaml"
        text = shipped.replace("    atoms: 100", f"    atoms: {atoms}")
        # The scan must meet a transition that is 1/N wide: pump and decay are known as well.
        text = re.sub(r"(full_rate|saturation_power)(.*)spread: 0.02", r"\1\2spread: 0.002", text)
        text = re.sub(r"(collective_decay)(.*)spread: 0.03", r"\1\2spread: 0.002", text)
        laboratory.write_text(text, encoding="utf-8")
        protocol = PumpingScan(
            atoms=atoms, span=9.0 / atoms, points=13, shots_per_point=shots, passes=1
        )
        scaled, pulls = [], []
        for number in range(laboratories):
            result = rehearse(protocol, folder, laboratory, seed + number)
            critical, truth = result.estimate["critical_pump"], result.truth["critical_pump"]
            scaled.append(critical.std / truth * atoms * math.sqrt(result.shots))
            pulls.append((critical.value - truth) / critical.std)
        found.append(
            Error(atoms, float(np.mean(scaled)), float(np.sqrt(np.mean(np.square(pulls)))))
        )
    return found


def rehearse(protocol: Any, folder: Path, laboratory: Path, seed: int) -> Any:
    """One run on a laboratory of that seed."""
    options = {"seed": str(seed), "drifts": "off"}
    with Station.open("pumped_cavity", rehearse=laboratory, options=options) as station:
        return run(protocol, station, data=folder / "data", seed=seed)


def main(words: Sequence[str] | None = None) -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short form")
    quick = parser.parse_args(words).quick
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rates, shots = ((1.0, 10.0), 40) if quick else (RATES, 120)
        print("r/gamma   H measured        H exact   ratio")
        for row in hysteresis_widths(folder, rates, shots, 21):
            measured = f"{row.measured:6.3f} +- {row.std:.3f}"
            ratio = row.measured / row.exact
            print(f"{row.rate:7.2g}   {measured}   {row.exact:7.3f}   {ratio:.3f}")
        print("\nN      error x N x sqrt(shots)   rms pull")
        numbers, laboratories = (ATOMS[:2], 1) if quick else (ATOMS, 8)
        for error in critical_errors(folder, numbers, laboratories, 20 if quick else 60, 31):
            print(f"{error.atoms:4d}   {error.scaled:21.3f}   {error.pull:8.2f}")


if __name__ == "__main__":
    main()
