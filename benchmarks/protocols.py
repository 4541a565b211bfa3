"""Blind tests of whole protocols: laboratories drawn at random, from the first step to the number.

Every seed is another laboratory: its calibrations are off as their stated uncertainties allow (a
few per cent, up to 10 % over many draws), and so is the quantity that is asked for. The protocol
runs through the simulated instruments and fits; only then is the truth revealed. The Cramér-Rao
bound is that of the truth, with all nuisances free within their calibrations. Printed, for each
protocol:

* how many 95 % intervals hold the truth (of 100 at least 87);
* the mean width of the interval over that which the bound gives (at most 1.2);
* the scatter of the errors and the mean printed standard deviation over what `cavitylab plan` had
  predicted beforehand (within 15 %);
* the same of the other quantities whose truth is revealed, and what a laboratory costs in CPU time.

    python benchmarks/protocols.py [NAME …] [--laboratories 100] [--quick] [--workers 1]
    python benchmarks/protocols.py --laboratories 100 --workers 2 --json blind.json
    python benchmarks/protocols.py --from-calibration --laboratories 100
    python benchmarks/protocols.py --first 4100 --laboratories 100 --json blind.json   100 more

``--from-calibration`` begins with wrong files: every scale of the laboratory is up to 10 % off what
the station believes, calibration protocols are run and written through the gate where there are
any, and then the protocol, with no more than they found (``blind_laboratories.py``). The plan is
then that of the calibrated station, laboratory by laboratory.

``--json`` keeps every laboratory as soon as it is done. With a file that is there already, only
laboratories that it lacks are run: a campaign that was stopped goes on where it was, further ones
are added by ``--first``, and the verdicts are those of all that the file holds of a name.

A protocol joins by a line in ``CASES``.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is fixed)

sys.path.insert(0, str(Path(__file__).parent))

from blind_laboratories import CHAINS, blind_station  # noqa: E402
from protocols_kept import Kept  # noqa: E402  (the files lie beside this one)
from protocols_verdict import Outcome, Verdict, judge  # noqa: E402

TELL = 20.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True, slots=True)
class Case:
    """One protocol as it is tested.

    Attributes:
        protocol: Its name.
        settings: What differs from the defaults.
        quantity: The number that counts; the protocol's first when None.
        from_calibration: Whether it begins with wrong files.
    """

    protocol: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    quantity: str | None = None
    from_calibration: bool = False


CASES: dict[str, Case] = {
    "dissipative_preparation": Case("dissipative_preparation", {"angles": 0}),
    "ramsey_ellipse": Case("ramsey_ellipse"),
    "ramsey_two_stage": Case("ramsey_ellipse", {"schedule": "two_stage"}),
    "ramsey_side_by_side": Case(
        "ramsey_ellipse", {"schedule": "two_stage", "reference": "unsqueezed"}
    ),
    "pumping_scan": Case("pumping_scan"),
    "pumping_adaptive": Case("pumping_adaptive"),
    "pumping_sweep": Case("pumping_sweep", {"points": 9, "shots_per_point": 60, "stair": 0.5}),
    "pumping_hold": Case("pumping_hold"),
    "calibrate_rabi": Case("calibrate_rabi"),
    "calibrate_detuning": Case("calibrate_detuning"),
    "calibrate_detector": Case("calibrate_detector"),
    "calibrate_coupling": Case("calibrate_coupling"),
    "calibrate_settling": Case("calibrate_settling"),
    "calibrate_atom_number": Case("calibrate_atom_number"),
}

PLANNED_WHOLE = ("calibrate_rabi", "calibrate_detuning", "calibrate_detector", "calibrate_coupling")
"""Calibrations whose quantities are the numbers of the fit: the plan is held against each."""


class Interrupted(Exception):
    """A run was stopped before its last shot: it is no laboratory of the campaign."""


def attempt(case: Case, seed: int) -> Outcome:
    """A blind run; one that fails is an outcome too, whose interval does not hold the truth."""
    begun, busy = time.perf_counter(), time.process_time()
    try:
        return blind_run(case, seed)
    except Interrupted:
        raise
    except Exception as error:
        nan = math.nan
        return Outcome(
            seed=seed,
            truth=nan,
            value=nan,
            std=nan,
            inside=False,
            width=nan,
            bound=nan,
            p_value=nan,
            wall=time.perf_counter() - begun,
            cpu=time.process_time() - busy,
            failure=f"{type(error).__name__}: {error}",
        )


def blind_run(case: Case, seed: int) -> Outcome:
    """Rehearse one protocol in the laboratory of one seed, and compare with its truth."""
    from cavitylab.protocols.order import Order, rehearse_and_run
    from cavitylab.protocols.planning import supposed

    begun, busy = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        order = Order(protocol=case.protocol, settings=case.settings, data=Path(folder), seed=seed)
        planned = math.nan
        if case.from_calibration:
            station, laboratory = blind_station(case.protocol, Path(folder), seed)
            order = replace(order, station=str(station), rehearse=str(laboratory))
            planned = next(iter(predicted_stds(case, station).values()))
        result, protocol, calibrations = rehearse_and_run(order, subscribers=())
    wall, cpu = time.perf_counter() - begun, time.process_time() - busy
    if result.state.value != "done":
        raise Interrupted(f"{case.protocol}, seed {seed}: {result.state.value} {result.reason}")
    estimate, truth = result.estimate, result.truth
    if estimate is None or truth is None:
        raise RuntimeError("the run gave no number")
    name = case.quantity or protocol.quantities[0]
    quantity = estimate[name]
    known = {key: truth.get(key, one.value) for key, one in estimate.quantities.items()}
    there = supposed(known, result.shots)
    if set(estimate.names) <= set(known):
        there = replace(there, names=estimate.names)
    bounds = protocol.bounds(calibrations, there, result.shots)
    low, high = quantity.interval
    fit = estimate.goodness_of_fit
    return Outcome(
        seed=seed,
        truth=float(truth[name]),
        value=quantity.value,
        std=quantity.std,
        inside=bool(low <= truth[name] <= high),
        width=high - low,
        bound=bounds.cramer_rao_std,
        p_value=math.nan if fit is None else fit.p_value,
        wall=wall,
        cpu=cpu,
        planned=planned,
        others={
            key: (
                float(truth[key]),
                one.value,
                one.std,
                bool(one.interval[0] <= truth[key] <= one.interval[1]),
            )
            for key, one in estimate.quantities.items()
            if key != name and key in truth
        },
    )


def predicted_stds(case: Case, station: Path | None = None) -> dict[str, float]:
    """What `cavitylab plan` promises before the first shot, by quantity, the leading one first.

    Plans name the leading quantity; the bounds of a calibration know all of its numbers.
    """
    from cavitylab.instruments.shipped import find_file
    from cavitylab.instruments.station_file import load_station_file
    from cavitylab.protocols import protocol_by_name, shipped_rehearsal
    from cavitylab.protocols.calibration import PulseCalibration
    from cavitylab.protocols.planning import predict

    protocol = protocol_by_name(case.protocol)(**case.settings)
    file = load_station_file(station or find_file(shipped_rehearsal(case.protocol)[0], ".yaml"))
    prediction = predict(protocol, file)
    if prediction is None:
        raise SystemExit(f"{case.protocol} does not say what it expects: no prediction to test")
    found = {prediction.quantity: prediction.std}
    if isinstance(protocol, PulseCalibration) and case.protocol in PLANNED_WHOLE:
        values = protocol.expected(file.calibrations)
        theta = np.array(list(values.values()))
        bound = protocol.covariance_bound(file.calibrations, theta, protocol.planned_shots)
        stds = np.sqrt(np.diag(bound)).tolist()
        found |= {key: std for key, std in zip(values, stds, strict=True) if key not in found}
    return found


def _task(given: tuple[Case, int]) -> Outcome:
    return attempt(*given)


def campaign(
    name: str, case: Case, laboratories: int, first: int, workers: int, kept: Kept
) -> Verdict | None:
    """The laboratories that are missing, each kept when it is done; the verdict on all there are.

    None when it was stopped before the first.
    """
    rows = {row["seed"]: Outcome(**row) for row in kept.rows(name, case.settings)}
    seeds = [seed for seed in range(first, first + laboratories) if seed not in rows]
    if len(seeds) < laboratories:
        print(f"  {name}: {laboratories - len(seeds)} laboratories are there", flush=True)
    stopped = False
    pool = ProcessPoolExecutor(workers)
    begun = told = time.perf_counter()
    try:
        pending = {pool.submit(_task, (case, seed)): seed for seed in seeds}
        for k, future in enumerate(as_completed(pending), 1):
            row = rows[pending[future]] = future.result()
            kept.add(name, case.settings, row)
            now = time.perf_counter()
            if now - told > TELL or k == len(seeds):
                told, left = now, (now - begun) / k * (len(seeds) - k)
                line = f"  {name}: {k}/{len(seeds)}, {now - begun:.0f} s, about {left:.0f} s left"
                print(line, flush=True)
    except (KeyboardInterrupt, Interrupted):
        stopped = True
    finally:
        pool.shutdown(cancel_futures=True)
    every = [rows[seed] for seed in sorted(rows)]
    _worst(every)
    verdict = judge(name, every, predicted_stds(case)) if every else None
    if verdict is not None:
        kept.judged(name, [list(line) for line in verdict.lines])
        print(verdict, flush=True)
    if stopped:
        raise SystemExit(f"{name} was stopped; the same command goes on if it had --json")
    return verdict


def _worst(rows: Sequence[Outcome]) -> None:
    """The laboratories to look at: those that failed, and the three that are furthest off."""
    for row in rows:
        if row.failure:
            print(f"  seed {row.seed}: {row.failure}")
    for row in sorted((row for row in rows if not row.failure), key=lambda row: -abs(row.off))[:3]:
        print(
            f"  seed {row.seed}: {row.value:.6g}, truth {row.truth:.6g}, {row.off:+.2f} bounds "
            f"off, p = {row.p_value:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Blind tests of whole protocols.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; all of them by default")
    parser.add_argument("--laboratories", type=int, default=100)
    parser.add_argument("--first", type=int, default=4000, help="seed of the first laboratory")
    parser.add_argument("--quick", action="store_true", help="eight laboratories")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--from-calibration", action="store_true", help="begin with wrong files")
    parser.add_argument("--json", type=Path, help="keep laboratories and verdicts here; goes on")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(CASES))
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    laboratories = 8 if options.quick else options.laboratories
    kept = Kept(options.json)
    cases = {name: CASES[name] for name in options.names or CASES}
    if options.from_calibration:
        cases = {
            f"{name} from calibration": replace(case, from_calibration=True)
            for name, case in cases.items()
            if case.protocol in CHAINS
        }
    verdicts = [
        campaign(name, case, laboratories, options.first, options.workers, kept)
        for name, case in cases.items()
    ]
    raise SystemExit(0 if all(one is not None and one.kept for one in verdicts) else 1)


if __name__ == "__main__":
    main()
