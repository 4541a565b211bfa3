"""What is wrong, how far the answer is off by then, and when the p-value says so.

    python benchmarks/estimator_disturbances.py [--rows WORD ...] [--runs 12] [--quick]

For pumping, relaxing ensembles, squeezing, phases, chains and calibrations, each disturbance is
made larger step by step, with the same random numbers at every step. Printed: the size at which
half of the runs have p < 1e-3, the bias there in standard deviations of a clean run, and the size
at which the bias is one. With several quantities the one that is farthest off counts. A disturbance
is "told" when it is flagged before the bias exceeds one, "harmless" when the bias stays below one
at all sizes; the others only another measurement tells. --quick takes four runs and every other
step.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import disturbed_calibrations  # noqa: E402  (after the number of threads is fixed)
import disturbed_ensembles  # noqa: E402
import disturbed_online  # noqa: E402
import disturbed_scans  # noqa: E402
import disturbed_squeezing  # noqa: E402
import numpy as np  # noqa: E402
from disturbed_records import SMALL, Array, Disturbance, Records, family, ramp  # noqa: E402

from cavitylab.estimators import (  # noqa: E402
    Calibrated,
    ChainValues,
    Estimate,
    HoldBeliefs,
    PumpingHold,
    PumpingSnapshots,
    RecordError,
    RelaxationBeliefs,
    RelaxationTrace,
    SnapshotBeliefs,
    SqueezingBeliefs,
    SqueezingTomography,
    WinelandFromShots,
    draw_relaxation,
    draw_snapshots,
    draw_sweeps,
)

FLAG = 1e-3
RATES = ("collective_decay", "rabi_frequency", "detuning_difference")


def snapshots(calibrated: bool) -> Iterator[Disturbance]:
    """N = 100, gain 2, background 5, 20 passes of a scan with 25 pumps."""
    atoms, critical, gain, background = 100, 1.003, 2.0, 5.0
    pumps = np.tile(np.linspace(0.88, 1.12, 25), 20)
    known: dict[str, Any] = {}
    if calibrated:
        known = {"gain": Calibrated(gain, 0.06), "background": Calibrated(background, 0.5)}

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        gains: Any = gain * (1.0 + ramp(-fall, pumps.size))
        moved = pumps / (1.0 + ramp(drift, pumps.size))
        return {
            **draw_snapshots(atoms, critical, gains, background, moved, rng),
            "pump": pumps,
        }

    def fit(records: Records, excess: float) -> Estimate:
        estimator = PumpingSnapshots(SnapshotBeliefs(round(atoms * (1.0 + excess)), **known))
        estimator.update(records)
        return estimator.estimate()

    label = "snapshots, calibrated" if calibrated else "snapshots, all free"
    full = gain * atoms + background
    yield from family(label, clean, fit, ("critical_pump",), full, "u_c drifts within the run")


def holds() -> Iterator[Disturbance]:
    """N = 100, 20 windows of 30/gamma at two pumps in turn; a, b, gamma to 2, 5, 10 %."""
    atoms, window, pumps = 100, 30.0, np.tile([0.99, 1.01], 10)
    known = {
        "half_rate": Calibrated(50.0, 1.0),
        "background": Calibrated(5.0, 0.25),
        "decay": Calibrated(1.0, 0.1),
    }

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        rates = 50.0 * (1.0 + ramp(-fall, pumps.size))
        held = pumps / (1.0 + ramp(drift, pumps.size))
        counts = [
            draw_sweeps(atoms, ChainValues(1.003, 1.0, float(rate), 5.0), [[u, u]], window, 1, rng)[
                "counts"
            ].sum()
            for rate, u in zip(rates, held, strict=True)
        ]
        return {"counts": np.array(counts), "pump": pumps, "time": np.full(pumps.size, window)}

    def fit(records: Records, excess: float) -> Estimate:
        estimator = PumpingHold(HoldBeliefs(round(atoms * (1.0 + excess)), **known))
        estimator.update(records)
        return estimator.estimate()

    full = (2.0 * 50.0 + 5.0) * window
    drift, clips = "u_c drifts within the run", (0.2, 0.3, 0.35, 0.4, 0.45, 0.5)
    yield from family("hold", clean, fit, ("critical_pump",), full, drift, clips=clips)


def relaxation() -> Iterator[Disturbance]:
    """S = 3/2, 8 holds in turn, 800 shots; gain and background to 3 and 5 %."""
    spin, gain, background = 1.5, 100.0, 50.0
    values = {"collective_decay": 100.0, "rabi_frequency": 300.0, "detuning_difference": 300.0}
    times = np.tile(np.linspace(0.4e-3, 5e-3, 8), 100)
    parts = np.array_split(np.arange(times.size), 10)  # between which the drive changes

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        gains, turns = 1.0 + ramp(-fall, times.size), 1.0 + ramp(drift, len(parts))
        blocks = []
        for rows, turn in zip(parts, turns, strict=True):
            moved: Any = {
                **values,
                "rabi_frequency": 300.0 * turn,
                "gain": gain * gains[rows, None],
                "background": background,
            }
            blocks.append(draw_relaxation(spin, moved, times[rows], rng)["counts"])
        return {"counts": np.concatenate(blocks), "time": times}

    rates = [Calibrated(value, 0.05 * value) for value in values.values()]
    beliefs = RelaxationBeliefs(
        spin, *rates, Calibrated(gain, 0.03 * gain), Calibrated(background, 2.5)
    )

    def fit(records: Records, excess: float) -> Estimate:
        estimator = RelaxationTrace(replace(beliefs, spin=spin * (1.0 + excess)))
        estimator.update(records)
        return estimator.estimate()

    full = gain * 2.0 * spin + background
    yield from family(
        "relaxation", clean, fit, RATES, full, "drive drifts within the run", (1 / 3, 2 / 3)
    )


def squeezing(tomography: bool) -> Iterator[Disturbance]:
    """S = 50, gain 100, L = 90, xi^2 = .2: 200 shots, or 8 angles of 40; 200 shots of L."""
    spin, gain, background, length = 50.0, 100.0, 50.0, 90.0
    full = 2.0 * spin * gain + background
    angles = np.tile(np.linspace(0.0, math.pi, 9)[:-1], 40) if tomography else np.zeros(200)
    least = 0.2 * length**2 / (4.0 * spin)
    spread = least + 72.0 * np.sin(angles) ** 2

    def clean(
        rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0, short: float = 0.0
    ) -> Records:
        shots = angles.size
        noise = np.sqrt(spread) * rng.standard_normal(shots) + ramp(drift, shots) * 20.0
        differences = np.concatenate([np.zeros(shots), np.full(200, (1.0 - short) * length)])
        sums = np.concatenate([noise, rng.standard_normal(200)])
        atoms = spin + 0.5 * np.column_stack([sums + differences, sums - differences])
        # A run takes settings in turn: both fall alike.
        gains = gain * (1.0 + np.concatenate([ramp(-fall, shots), ramp(-fall, 200)]))
        counts = rng.poisson(gains[:, None] * np.clip(atoms, 0.0, 2.0 * spin) + background)
        records = {"counts": counts, "setting": np.repeat([0.0, 1.0], [shots, 200])}
        if tomography:
            records["angle"] = np.concatenate([angles, np.zeros(200)])
        return records

    def fit(records: Records, excess: float) -> Estimate:
        beliefs = SqueezingBeliefs(spin * (1.0 + excess), 2, gain, background)
        estimator: Any = (SqueezingTomography if tomography else WinelandFromShots)(beliefs)
        estimator.update(records)
        return estimator.estimate()

    label = "squeezing, tomography" if tomography else "squeezing, one angle"
    drift = "mean drifts within the run, of 20 atoms"
    yield from family(label, clean, fit, ("xi2",), full, drift)
    yield Disturbance(
        label,
        "contrast lower where L is read",
        SMALL,
        lambda s, rng: clean(rng, short=s),
        fit,
        ("xi2",),
    )


def disturbances() -> Iterator[Disturbance]:
    """All of them."""
    for calibrated in (False, True):
        yield from snapshots(calibrated)
    yield from holds()
    yield from relaxation()
    for tomography in (False, True):
        yield from squeezing(tomography)
    for other in (
        disturbed_squeezing,
        disturbed_scans,
        disturbed_ensembles,
        disturbed_online,
        disturbed_calibrations,
    ):
        yield from other.disturbances()


@dataclass(frozen=True)
class Response:
    """At each size: share of runs that are flagged, and the largest bias in clean deviations."""

    sizes: tuple[float, ...]
    flagged: Array
    bias: Array

    def size_flagged(self) -> float:
        """Where the flagged share passes one half, between steps; nan if it does not."""
        return _crossing(self.sizes, self.flagged, 0.5)

    def size_of_one(self) -> float:
        """Where the bias passes one standard deviation."""
        return _crossing(self.sizes, np.abs(self.bias), 1.0)

    def bias_when_flagged(self) -> float:
        """Bias at that size, or at the largest size where nothing is flagged."""
        size = self.size_flagged()
        at = self.sizes[-1] if math.isnan(size) else size
        known = np.isfinite(self.bias)
        sizes = np.array([0.0, *np.array(self.sizes)[known]])
        return float(np.interp(at, sizes, [0.0, *self.bias[known]]))

    @property
    def verdict(self) -> str:
        """ "told" before the bias exceeds one, "harmless" at all sizes, or "NOT TOLD"."""
        if abs(self.bias_when_flagged()) >= 1.0:
            return "NOT TOLD"
        return "harmless" if math.isnan(self.size_flagged()) else "told"


def _crossing(sizes: tuple[float, ...], values: Array, level: float) -> float:
    """First size at which the values pass the level, linear between the steps."""
    last = (0.0, 0.0)
    for size, value in zip(sizes, values.tolist(), strict=True):
        if value >= level:
            share = (level - last[1]) / (value - last[1])
            return last[0] + share * (size - last[0])
        if math.isfinite(value):
            last = (size, value)
    return math.nan


def respond(case: Disturbance, runs: int, sizes: tuple[float, ...]) -> Response:
    """Fits at every size, the same seeds at each."""

    def fits(size: float) -> list[Estimate | None]:
        drawn = (case.draw(size, np.random.default_rng([7, k])) for k in range(runs))
        return [_fitted(case, records, size if case.atoms else 0.0) for records in drawn]

    clean = fits(0.0)
    stds = {n: np.mean([one[n].std for one in clean if one]) for n in case.quantities}
    flagged, bias = [], []
    for size in sizes:
        found = fits(size)
        flagged.append(np.mean([is_flagged(one) for one in found]))
        rows = []
        for name in case.quantities:
            off = [
                (one[name].value - whole[name].value) / stds[name]
                for one, whole in zip(found, clean, strict=True)
                if one and whole and one.goodness_of_fit is not None
            ]
            rows.append(float(np.mean(off)) if off else math.nan)
        bias.append(max(rows, key=abs))
    return Response(sizes, np.array(flagged), np.array(bias))


def _fitted(case: Disturbance, records: Records, excess: float) -> Estimate | None:
    """None where the records are refused, which tells as well."""
    try:
        return case.fit(records, excess)
    except RecordError:
        return None


def is_flagged(estimate: Estimate | None) -> bool:
    """p < 1e-3, or no answer."""
    check = estimate.goodness_of_fit if estimate else None
    return check is None or check.p_value < FLAG


def line(case: Disturbance, response: Response) -> str:
    """One row of the table."""
    size, one = response.size_flagged(), response.size_of_one()
    at = "not flagged" if math.isnan(size) else f"flagged at {size:.2g}"
    bias = response.bias_when_flagged()
    reach = f" at {response.sizes[-1]:.2g}" * math.isnan(size)
    from_one = "" if math.isnan(one) else f"one sigma at {one:.2g}"
    return (
        f"{case.estimator:<22} {case.name:<39} {at:<17} {bias:+7.2f} sigma{reach:<8} "
        f"{from_one:<18} {response.verdict}"
    )


def main(argv: list[str] | None = None) -> int:
    """Print a line for every disturbance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", nargs="*", default=[], metavar="WORD")
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args(argv)
    verdicts: list[str] = []
    for case in disturbances():
        name = f"{case.estimator} {case.name}".lower()
        if options.rows and not any(word.lower() in name for word in options.rows):
            continue
        sizes = case.sizes[1::2] if options.quick and not case.atoms else case.sizes
        response = respond(case, 4 if options.quick else options.runs, sizes)
        print(line(case, response), flush=True)
        verdicts.append(response.verdict)
    missed = verdicts.count("NOT TOLD")
    print(f"{missed} of {len(verdicts)} bias by more than one standard deviation before a flag")
    return 0


if __name__ == "__main__":
    sys.exit(main())
