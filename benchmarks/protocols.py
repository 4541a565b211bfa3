"""Blind tests of whole protocols: laboratories drawn at random, from the first step to the number.

Every seed is another laboratory: its calibrations are off as their stated uncertainties allow (a
few per cent, up to 10 % over many draws), and so is the quantity that is asked for. The protocol
runs through the simulated instruments and fits; only then is the truth revealed. The Cramér-Rao
bound is that of the truth, with all nuisances free within their calibrations. Printed, for each
protocol:

* how many 95 % intervals hold the truth (of 100 at least 87);
* the mean width of the interval over that which the bound gives (at most 1.2);
* the scatter of the errors and the mean printed standard deviation over what `cavitylab plan` had
  predicted beforehand (within 15 %).

    python benchmarks/protocols.py [NAME …] [--laboratories 100] [--quick] [--workers 1]

A protocol joins by a line in ``CASES``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is fixed)
from scipy.stats import binom, norm  # noqa: E402

LEVEL = 0.95
LEAST_COVERED = 87
"""Of 100 intervals of 95 %; an honest one fails this with probability 4e-4."""
WIDEST = 1.2
PREDICTED_WITHIN = 0.15


@dataclass(frozen=True, slots=True)
class Case:
    """One protocol as it is tested.

    Attributes:
        protocol: Its name.
        settings: What differs from the defaults.
        quantity: The number that counts; the protocol's first when None.
    """

    protocol: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    quantity: str | None = None


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
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one laboratory gave.

    Attributes:
        seed: Which laboratory.
        truth, value, std: Of the quantity, in its unit.
        inside: Whether the interval holds the truth.
        width: Width of the interval.
        bound: Standard deviation of the Cramér-Rao bound at the truth.
        p_value: Goodness of fit; NaN where there is none.
        wall: Time of the run, s.
    """

    seed: int
    truth: float
    value: float
    std: float
    inside: bool
    width: float
    bound: float
    p_value: float
    wall: float


def blind_run(case: Case, seed: int) -> Outcome:
    """Rehearse one protocol in the laboratory of one seed, and compare with its truth."""
    from cavitylab.console.execute import Order, rehearse_and_run
    from cavitylab.protocols.planning import supposed

    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        order = Order(protocol=case.protocol, settings=case.settings, data=Path(folder), seed=seed)
        result, protocol, calibrations = rehearse_and_run(order, subscribers=())
    wall = time.perf_counter() - begun
    estimate, truth = result.estimate, result.truth
    if estimate is None or truth is None:
        raise SystemExit(f"{case.protocol}, seed {seed}: the run gave no number")
    name = case.quantity or protocol.quantities[0]
    quantity = estimate[name]
    known = {key: truth.get(key, one.value) for key, one in estimate.quantities.items()}
    bounds = protocol.bounds(calibrations, supposed(known, result.shots), result.shots)
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
    )


def predicted_std(case: Case) -> float:
    """What `cavitylab plan` promises before the first shot."""
    from cavitylab.protocols.planning import plan_by_name

    prediction = plan_by_name(case.protocol, case.settings).prediction
    if prediction is None:
        raise SystemExit(f"{case.protocol} does not say what it expects: no prediction to test")
    return prediction.std


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures of one protocol and whether each keeps its limit.

    Attributes:
        lines: (what, figure, limit, kept).
    """

    name: str
    lines: tuple[tuple[str, str, str, bool], ...]

    @property
    def kept(self) -> bool:
        """Whether every limit is kept."""
        return all(good for *_, good in self.lines)

    def __str__(self) -> str:
        rows = [
            f"  {what:<44} {figure:<22} {limit:<18} {'ok' if good else 'MISSED'}"
            for what, figure, limit, good in self.lines
        ]
        return "\n".join([self.name, *rows])


def judge(name: str, rows: Sequence[Outcome], predicted: float) -> Verdict:
    """The table of one protocol.

    Fewer than 100 laboratories need so few intervals that an honest one fails once in 10^4.
    """
    n = len(rows)
    inside = sum(row.inside for row in rows)
    need = LEAST_COVERED if n == 100 else int(binom.ppf(1e-4, n, LEVEL))
    reach = 2 * float(norm.ppf(0.5 + LEVEL / 2))
    width = float(np.mean([row.width / (reach * row.bound) for row in rows]))
    errors = np.array([row.value - row.truth for row in rows])
    scatter = float(np.sqrt(np.mean(errors**2)))
    ratio = float(np.sqrt(np.mean((errors / [row.bound for row in rows]) ** 2)))
    spread = 1 / math.sqrt(2 * n)
    printed = float(np.sqrt(np.mean([row.std**2 for row in rows])))
    slack = PREDICTED_WITHIN + 3 * spread if n < 100 else PREDICTED_WITHIN
    bias = float(np.mean([(row.value - row.truth) / row.bound for row in rows]))
    poor = sum(row.p_value < 1e-3 for row in rows)
    covered = ("95 % intervals that hold the truth", f"{inside} of {n}", f"at least {need}")
    wide = ("interval / that of the Cramér-Rao bound", f"{width:.3f}", f"at most {WIDEST}")
    lines = (
        (*covered, inside >= need),
        (*wide, width <= WIDEST),
        ("rmse / Cramér-Rao bound", f"{ratio:.3f} ± {ratio * spread:.3f}", "", True),
        (
            "printed std / predicted by plan",
            f"{printed / predicted:.3f}",
            f"within {PREDICTED_WITHIN:.0%}",
            abs(printed / predicted - 1) <= PREDICTED_WITHIN,
        ),
        (
            "rmse / predicted by plan",
            f"{scatter / predicted:.3f} ± {scatter / predicted * spread:.3f}",
            f"within {slack:.0%}",
            abs(scatter / predicted - 1) <= slack,
        ),
        ("mean error / bound", f"{bias:+.3f} ± {1 / math.sqrt(n):.3f}", "", True),
        ("fits with p below 1e-3", f"{poor}", "", True),
        ("wall time of a run", f"{np.median([row.wall for row in rows]):.1f} s", "", True),
    )
    return Verdict(f"{name}: {n} laboratories", lines)


def _task(given: tuple[Case, int]) -> Outcome:
    return blind_run(*given)


def campaign(name: str, laboratories: int, first: int, workers: int) -> Verdict:
    """All laboratories of one protocol, and the verdict; a line of progress every tenth."""
    case = CASES[name]
    predicted = predicted_std(case)
    tasks = [(case, first + k) for k in range(laboratories)]
    begun = time.perf_counter()
    rows = []
    with ProcessPoolExecutor(workers) as pool:
        for k, row in enumerate(pool.map(_task, tasks), 1):
            rows.append(row)
            if k % 10 == 0:
                spent = time.perf_counter() - begun
                left = spent / k * (laboratories - k)
                print(
                    f"  {name}: {k}/{laboratories}, {spent:.0f} s, about {left:.0f} s left",
                    flush=True,
                )
    for row in sorted(rows, key=lambda row: -abs(row.value - row.truth) / row.bound)[:3]:
        off = (row.value - row.truth) / row.bound
        print(
            f"  seed {row.seed}: {row.value:.6g}, truth {row.truth:.6g}, {off:+.2f} bounds off, "
            f"p = {row.p_value:.3f}"
        )
    return judge(name, rows, predicted)


def main() -> None:
    parser = argparse.ArgumentParser(description="Blind tests of whole protocols.")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; all of them by default")
    parser.add_argument("--laboratories", type=int, default=100)
    parser.add_argument("--first", type=int, default=4000, help="seed of the first laboratory")
    parser.add_argument("--quick", action="store_true", help="eight laboratories")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the verdicts into this file")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(CASES))
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    laboratories = 8 if options.quick else options.laboratories
    verdicts = []
    for name in options.names or CASES:
        verdicts.append(campaign(name, laboratories, options.first, options.workers))
        print(verdicts[-1], flush=True)
    if options.json is not None:
        lines = {one.name: [list(line) for line in one.lines] for one in verdicts}
        options.json.write_text(json.dumps(lines, indent=1, ensure_ascii=False), encoding="utf-8")
    raise SystemExit(0 if all(one.kept for one in verdicts) else 1)


if __name__ == "__main__":
    main()
