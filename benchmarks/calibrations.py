"""Blind calibration of a two-ensemble station: coverage and width over many laboratories.

Every laboratory hides scales that are off by 20 % from what the station's files say, up or down
at random, and an offset of the detuning of up to 60 Hz. Each calibration runs through the whole
chain: steps, compiled sequences, simulated instruments, recorder, estimator, gate. The bound is
the Cramer-Rao bound of the exact counting law at the hidden truth, priors included.

Two calibrations need others before them. Their laboratories hide a coil of 8 to 24 ms, or 80 to
120 atoms where 100 are believed, behind scales that are off as the files say (gain 3 %). The
bound of the settling is that of Gaussian counts. "tracked" is the difference of two equal
measurements of a Rabi frequency that drifts by 2 % within 20 s, against its own error.

    python benchmarks/calibrations.py [--seeds 200] [--quick] [--drifts off] [--only calibrate_rabi]
                                      [--workers 2] [--json FILE]

Progress goes to standard error; FILE is written anew after every laboratory.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavitylab import Station, run
from cavitylab.estimators.calibrations_flops import flopped
from cavitylab.instruments.shipped import find_file
from cavitylab.protocols import protocol_by_name
from cavitylab.protocols.calibration import PulseCalibration
from cavitylab.protocols.composition import Tracked
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
    "calibrate_settling": ("settling_time",),
    "calibrate_atom_number": ("atoms", "atoms_1", "atoms_2"),
    "tracked": ("difference",),
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


def hidden_laboratory(folder: Path, seed: int, name: str = "") -> Path:
    """A laboratory file whose scales are off by 20 %, each up or down at random.

    Another coil, another number of atoms or a faster drift for the calibrations that are about
    that; the scales are then off as the shipped file says.
    """
    rng = np.random.default_rng([20, seed])
    text = find_file("two_ensemble", ".lab.yaml").read_text(encoding="utf-8")
    path = folder / f"hidden_{name}_{seed}.lab.yaml"
    if name in OTHERS:
        old, new = OTHERS[name](rng)
        if old not in text:
            raise SystemExit(f"the shipped laboratory no longer says {old!r}")
        path.write_text(text.replace(old, new, 1).replace(*FINE), encoding="utf-8")
        return path
    for name, believed, unit, written in _SCALES:
        true = believed * (1 + OFF * float(rng.choice((-1.0, 1.0))))
        old, new = f"{name}: {written}", f"{name}: {{nominal: {true!r}, unit: {unit}}}"
        if old not in text:
            raise SystemExit(f"the shipped laboratory no longer says {old!r}")
        text = text.replace(old, new, 1)
    offset = float(rng.uniform(-OFFSET_HZ, OFFSET_HZ))
    text = text.replace("offset: {nominal: 0.0,", f"offset: {{nominal: {offset!r},", 1)
    path.write_text(text, encoding="utf-8")
    return path


FINE = ("step: 20.0 ", "step: 2.0 ")
"""Drifts that are constant for two seconds."""


def _other_coil(rng: np.random.Generator) -> tuple[str, str]:
    rate = 1 / float(rng.uniform(8e-3, 24e-3))
    return (
        "{resistance: 0.8, inductance: 40.0e-3, loop_time: 20.0e-3}",
        f"{{resistance: 0.8, inductance: 40.0e-3, loop_time: {1 / (rate - 20.0)!r}}}",
    )


def _other_number(rng: np.random.Generator) -> tuple[str, str]:
    return "atoms_per_ensemble: 100", f"atoms_per_ensemble: {rng.integers(80, 121)}"


def _faster_drift(rng: np.random.Generator) -> tuple[str, str]:
    del rng
    old = "drive_amplitude: {rms: 2.0e-3, correlation_time: 120.0}"
    return old, "drive_amplitude: {rms: 2.0e-2, correlation_time: 20.0}"


OTHERS = {
    "calibrate_settling": _other_coil,
    "calibrate_atom_number": _other_number,
    "tracked": _faster_drift,
}


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
    protocol: Any = _tracked() if name == "tracked" else protocol_by_name(name)()
    laboratory = hidden_laboratory(folder, seed, name)
    options = {"drifts": drifts}
    with Station.open("two_ensemble", rehearse=laboratory, seed=seed, options=options) as station:
        result = run(protocol, station, data=folder, seed=seed)
        calibrations = dict(station.calibrations)
    laboratory.unlink()
    estimate, truth = result.estimate, result.truth
    if estimate is None or truth is None:
        raise SystemExit(f"{name}, seed {seed}: no estimate")
    accepted = name == "tracked"
    if not accepted:
        accepted = bool(protocol.proposal(estimate, calibrations, LARGEST_CHANGE).decision)
    check = estimate.goodness_of_fit
    found = {}
    known = _known(name, protocol, calibrations, result)
    for quantity, (true, bound) in known.items():
        low, high = estimate[quantity].interval
        found[quantity] = Outcome(
            inside=low <= true <= high,
            width=high - low,
            bound=bound,
            error=estimate[quantity].value - true,
            p_value=math.nan if check is None else check.p_value,
            accepted=accepted,
        )
    return found


def _tracked() -> Tracked:
    both: list[Any] = [
        protocol_by_name("calibrate_atom_number")(shots=6, dark_shots=2, turns=(0.25, 0.5, 0.75))
        for _ in range(2)
    ]
    rabi = "rabi_frequency"
    return Tracked(
        *both, rounds=10, diffusion=(1.0, 1e5), signal_quantity=rabi, reference_quantity=rabi
    )


def _known(
    name: str, protocol: Any, calibrations: Calibrations, result: Any
) -> dict[str, tuple[float, float]]:
    """The truth of each quantity and its bound there."""
    estimate, truth = result.estimate, result.truth
    if name == "tracked":
        return {"difference": (0.0, estimate["difference"].std)}
    if name == "calibrate_settling":
        rest = (estimate[one].value for one in ("delay", "before", "after", "reading_std"))
        theta = np.array([truth["time_constant"], *rest])
        bounds = protocol.covariance_bound(calibrations, theta, result.shots)
        turns = math.log(1 / protocol.settings.tolerance)
        return {"settling_time": (truth["settling_time"], turns * math.sqrt(bounds[0, 0]))}
    if name == "calibrate_atom_number":
        atoms, rabi = float(truth["atoms"]), estimate["rabi_frequency"].value
        theta = np.array([atoms, atoms, rabi, truth["gain"], truth["background"]])
        bounds = protocol.covariance_bound(calibrations, theta, result.shots)
        mean = 0.5 * math.sqrt(float(bounds[:2, :2].sum()))
        stds = (mean, math.sqrt(bounds[0, 0]), math.sqrt(bounds[1, 1]))
        return {one: (atoms, std) for one, std in zip(CALIBRATIONS[name], stds, strict=True)}
    theta = all_numbers(protocol, calibrations, truth)
    bounds = protocol.covariance_bound(calibrations, theta, result.shots)
    found = {}
    for quantity in CALIBRATIONS[name]:
        place = estimate.names.index(quantity)
        found[quantity] = float(theta[place]), math.sqrt(bounds[place, place])
    return found


def timed(name: str, seed: int, drifts: str) -> tuple[str, int, dict[str, Outcome], float]:
    """One laboratory in a folder of its own, and the CPU seconds it took."""
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        found = one(name, seed, Path(folder), drifts)
    return name, seed, found, time.process_time() - begun


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


def finished(
    orders: list[tuple[str, int]], drifts: str, workers: int
) -> Iterator[tuple[str, int, dict[str, Outcome], float]]:
    """Laboratories as they are done."""
    if workers < 2:
        for name, seed in orders:
            yield timed(name, seed, drifts)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(timed, name, seed, drifts) for name, seed in orders]
        for future in as_completed(futures):
            yield future.result()


def keep(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file anew, whole or not at all."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(draft, path)


def main() -> int:
    """Print the table; 1 when a row is not as good as wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=200, help="laboratories")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--quick", action="store_true", help="5 laboratories")
    parser.add_argument("--drifts", choices=("on", "off"), default="on")
    parser.add_argument(
        "--only", choices=tuple(CALIBRATIONS), action="append", help="this one; may be repeated"
    )
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--json", type=Path, help="file of all outcomes, kept up to date")
    given = parser.parse_args()
    seeds = range(given.first, given.first + (5 if given.quick else given.seeds))
    names = tuple(CALIBRATIONS) if given.only is None else tuple(given.only)
    orders = [(name, seed) for name in names for seed in seeds]
    outcomes: dict[tuple[str, str], list[Outcome]] = {
        (name, quantity): [] for name in names for quantity in CALIBRATIONS[name]
    }
    stored: dict[str, dict[str, Any]] = {name: {} for name in names}
    seconds: defaultdict[str, float] = defaultdict(float)
    for number, (name, seed, found, spent) in enumerate(
        finished(orders, given.drifts, given.workers), 1
    ):
        seconds[name] += spent
        stored[name][str(seed)] = {quantity: asdict(one) for quantity, one in found.items()}
        for quantity, outcome in found.items():
            outcomes[name, quantity].append(outcome)
        inside = all(outcome.inside for outcome in found.values())
        print(
            f"{number}/{len(orders)} {name} {seed}: {'covered' if inside else 'MISSED'}, "
            f"{spent:.1f} s",
            file=sys.stderr,
            flush=True,
        )
        if given.json is not None:
            keep(given.json, {"drifts": given.drifts, "cpu_s": seconds, "outcomes": stored})
    good = True
    for line, fine in rows(outcomes):
        print(f"{line}{'' if fine else '   <- not as wanted'}")
        good = good and fine
    each = ", ".join(f"{name} {seconds[name] / len(seeds):.1f} s" for name in names)
    print(
        f"width and rmse in units of the Cramer-Rao bound (width: of 2 * 1.96 of it); wanted: "
        f"{WANTED_COVERAGE:.1%} covered, width <= {WANTED_WIDTH:g}; drifts {given.drifts}; "
        f"CPU of a laboratory: {each}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
