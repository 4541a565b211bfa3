"""Blind calibration of a two-ensemble station: coverage and width over many laboratories.

Every laboratory hides scales that are off by 20 % from what the station's files say, up or down
at random, and an offset of the detuning of up to 60 Hz. Each calibration runs through the whole
chain: steps, compiled sequences, simulated instruments, recorder, estimator, gate. The bound is
the Cramer-Rao bound of the exact counting law at the hidden truth, priors included.

    python benchmarks/calibrations.py [--seeds 200] [--quick] [--drifts off] [--only calibrate_rabi]
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cavitylab import Station, run
from cavitylab.estimators.calibrations_flops import flopped
from cavitylab.instruments.shipped import find_file
from cavitylab.protocols import protocol_by_name
from cavitylab.protocols.calibration import PulseCalibration
from cavitylab.protocols.protocol import Calibrations

OFF = 0.2
OFFSET_HZ = 60.0
LARGEST_CHANGE = 0.3
"""What the gate is told to let pass: more than the laboratories hide."""

CALIBRATIONS: Mapping[str, tuple[str, ...]] = {
    "calibrate_rabi": ("f_max", "P_sat"),
    "calibrate_detuning": ("slope", "offset"),
    "calibrate_detector": ("gain", "background"),
    "calibrate_coupling": ("G_max", "P_sat"),
}
"""What each protocol calibrates."""

WANTED_COVERAGE, WANTED_WIDTH = 177 / 200, 1.2

_SCALES = (
    ("full_rabi", 60.0e3, "Hz", "{nominal: 60.0e3, spread: 0.02, unit: Hz}"),
    ("full_decay", 200.0, "Hz", "{nominal: 200.0, spread: 0.02, unit: Hz}"),
    ("saturation_power", 1.6, "W", "{nominal: 1.6, spread: 0.02, unit: W}"),
    ("saturation_power", 1.6, "W", "{nominal: 1.6, spread: 0.02, unit: W}"),
    ("slope", 250.0, "Hz/A", "{nominal: 250.0, spread: 0.015, unit: Hz/A}"),
    ("rate_per_atom", 20.0e3, "1/s", "{nominal: 20.0e3, spread: 0.03, unit: 1/s}"),
    ("background_rate", 10.0e3, "1/s", "{nominal: 10.0e3, spread: 0.05, unit: 1/s}"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One quantity of one laboratory."""

    inside: bool
    width: float
    bound: float
    error: float
    p_value: float
    accepted: bool


def hidden_laboratory(folder: Path, seed: int) -> Path:
    """A laboratory file whose scales are off by 20 %, each up or down at random."""
    rng = np.random.default_rng([20, seed])
    text = find_file("two_ensemble", ".lab.yaml").read_text(encoding="utf-8")
    for name, believed, unit, written in _SCALES:
        true = believed * (1 + OFF * float(rng.choice((-1.0, 1.0))))
        old, new = f"{name}: {written}", f"{name}: {{nominal: {true!r}, unit: {unit}}}"
        if old not in text:
            raise SystemExit(f"the shipped laboratory no longer says {old!r}")
        text = text.replace(old, new, 1)
    offset = float(rng.uniform(-OFFSET_HZ, OFFSET_HZ))
    text = text.replace("offset: {nominal: 0.0,", f"offset: {{nominal: {offset!r},", 1)
    path = folder / f"hidden_{seed}.lab.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def all_numbers(
    protocol: PulseCalibration, calibrations: Calibrations, truth: Mapping[str, float]
) -> NDArray[np.float64]:
    """Every number of the protocol's fit at the truth, in the order of the fit."""

    def true_rabi(believed: float) -> float:
        power = calibrations["drive"].inverse(believed)
        angle = 0.5 * math.pi * math.sqrt(power / truth["drive_saturation_power"])
        return truth["drive_full_rabi"] * math.sin(angle)

    offset, ends = truth["gradient_offset"], [truth["gain"], truth["background"]]
    if protocol.name == "calibrate_rabi":
        own = [truth["drive_full_rabi"], truth["drive_saturation_power"], offset]
    elif protocol.name == "calibrate_detuning":
        own = [truth["gradient_slope"], offset, true_rabi(protocol.settings.rabi_hz)]
    elif protocol.name == "calibrate_coupling":
        own = [truth["coupling_full_decay"], truth["coupling_saturation_power"]]
        own.append(true_rabi(protocol.settings.rabi_hz))
    else:
        lit = sorted(
            (point.values["level"], point)
            for point in protocol.points(calibrations)
            if point.amplitude_hz
        )
        rabi = math.tau * true_rabi(protocol.settings.rabi_hz)
        times = np.array([point.time for _, point in lit])
        p, _, _ = flopped(np.full(times.size, rabi), np.full(times.size, math.pi * offset), times)
        own = p.tolist()
    return np.array([*own, *ends])


def one(name: str, seed: int, folder: Path, drifts: str) -> dict[str, Outcome]:
    """Calibrate one laboratory from wrong files, and hold the answer against its truth."""
    protocol = protocol_by_name(name)()
    if not isinstance(protocol, PulseCalibration):
        raise SystemExit(f"{name} is no calibration by pulses")
    laboratory = hidden_laboratory(folder, seed)
    options = {"drifts": drifts}
    with Station.open("two_ensemble", rehearse=laboratory, seed=seed, options=options) as station:
        result = run(protocol, station, data=folder, seed=seed)
        calibrations = dict(station.calibrations)
    estimate, truth = result.estimate, result.truth
    if estimate is None or truth is None:
        raise SystemExit(f"{name}, seed {seed}: no estimate")
    accepted = bool(protocol.proposal(estimate, calibrations, LARGEST_CHANGE).decision)
    theta = all_numbers(protocol, calibrations, truth)
    bounds = protocol.covariance_bound(calibrations, theta, result.shots)
    found = {}
    for quantity in CALIBRATIONS[name]:
        place, (low, high) = estimate.names.index(quantity), estimate[quantity].interval
        true = float(theta[place])
        check = estimate.goodness_of_fit
        found[quantity] = Outcome(
            inside=low <= true <= high,
            width=high - low,
            bound=math.sqrt(bounds[place, place]),
            error=estimate[quantity].value - true,
            p_value=math.nan if check is None else check.p_value,
            accepted=accepted,
        )
    return found


def rows(outcomes: Mapping[tuple[str, str], list[Outcome]]) -> Iterator[tuple[str, bool]]:
    """A line for each calibration, and whether it is as good as wanted."""
    yield (
        f"{'calibration':<32}{'covered':>10}{'width':>8}{'rmse':>8}{'p < .01':>9}{'gate':>6}",
        True,
    )
    for (name, quantity), found in outcomes.items():
        inside = sum(one.inside for one in found)
        width = float(np.mean([one.width / (2 * 1.959964 * one.bound) for one in found]))
        rmse = math.sqrt(float(np.mean([(one.error / one.bound) ** 2 for one in found])))
        poor = sum(one.p_value < 0.01 for one in found)
        passed = sum(one.accepted for one in found)
        good = inside >= WANTED_COVERAGE * len(found) and width <= WANTED_WIDTH
        yield (
            f"{name + ' ' + quantity:<32}{f'{inside}/{len(found)}':>10}{width:>8.3f}{rmse:>8.3f}"
            f"{poor:>9}{passed:>6}",
            good,
        )


def main() -> int:
    """Print the table; 1 when a row is not as good as wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=200, help="laboratories")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--quick", action="store_true", help="5 laboratories")
    parser.add_argument("--drifts", choices=("on", "off"), default="on")
    parser.add_argument("--only", choices=tuple(CALIBRATIONS), help="one calibration")
    given = parser.parse_args()
    seeds = range(given.first, given.first + (5 if given.quick else given.seeds))
    outcomes: dict[tuple[str, str], list[Outcome]] = {}
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for name in CALIBRATIONS if given.only is None else (given.only,):
            for seed in seeds:
                for quantity, outcome in one(name, seed, Path(folder), given.drifts).items():
                    outcomes.setdefault((name, quantity), []).append(outcome)
    good = True
    for line, fine in rows(outcomes):
        print(f"{line}{'' if fine else '   <- not as wanted'}")
        good = good and fine
    print(
        f"width and rmse in units of the Cramer-Rao bound (width: of 2 * 1.96 of it); wanted: "
        f"{WANTED_COVERAGE:.1%} covered, width <= {WANTED_WIDTH:g}; drifts {given.drifts}; "
        f"{time.process_time() - begun:.0f} s of CPU"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
