"""Many demos with hidden truths drawn anew: does the number at the end keep its promise?

Every seed draws the laboratory's truth (calibrations off by their stated uncertainties), runs
the whole protocol through the simulated instruments and fits. Printed: how many 95 % intervals
hold the revealed phase, the scatter of the estimates over a Cramér-Rao bound computed by other
code than the estimator's (independent_bound.py; nuisances and priors included), the printed
standard deviation against the scatter, and the printed gain against the scattered one.

    python benchmarks/demo.py [--seeds 200] [--shots 2000] [--workers 2]
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is fixed)
from independent_bound import cramer_rao_std  # noqa: E402
from scipy.stats import binom, chi2, norm  # noqa: E402

ATOMS = 100


def one_seed(task: tuple[int, int]) -> dict[str, float]:
    """Run one demo and its independent bound; everything the table needs, as plain numbers."""
    seed, shots = task
    from cavitylab.console.execute import run_document
    from cavitylab.protocols.order import Order, rehearse_and_run

    with tempfile.TemporaryDirectory() as folder:
        order = Order(
            protocol="ramsey_ellipse", settings={"shots": shots}, data=Path(folder), seed=seed
        )
        begun = time.perf_counter()
        result, protocol, calibrations = rehearse_and_run(order, subscribers=())
        wall = time.perf_counter() - begun
        document = run_document(result)
    truth, phase = document["truth"], document["estimates"]["phase"]
    believed = protocol.estimator(calibrations).beliefs
    bound = cramer_rao_std(
        ATOMS / 2,
        np.array(
            [
                truth["phase"],
                math.log(truth["detuning_ratio"]),
                math.log(truth["pulse_area"]),
                math.log(truth["gain"]),
                truth["background"],
            ]
        ),
        np.asarray(believed.covariance),
        shots,
        np.random.default_rng([seed, 77]),
        samples=12000,
    )
    low, high = phase["interval"]
    return {
        "seed": seed,
        "truth": truth["phase"],
        "error": phase["value"] - truth["phase"],
        "std": phase["std"],
        "bound": bound,
        "stated_bound": document["bounds"]["cramer_rao_std"],
        "inside": float(low <= truth["phase"] <= high),
        "gain_db": document["gain_db"],
        "p_value": result.estimate.goodness_of_fit.p_value,
        "wall": wall,
    }


def table(rows: list[dict[str, float]], shots: int) -> bool:
    """Print the figures and whether each meets its limit; True when all do."""
    n = len(rows)
    column = {k: np.array([r[k] for r in rows]) for k in rows[0]}
    inside = int(column["inside"].sum())
    ratio = float(np.sqrt(np.mean((column["error"] / column["bound"]) ** 2)))
    pull = float(np.sqrt(np.mean((column["error"] / column["std"]) ** 2)))
    ratio_error = ratio / math.sqrt(2 * n)
    sql = 1.0 / math.sqrt(2 * ATOMS * shots)
    scatter = float(np.sqrt(np.mean(column["error"] ** 2)))
    scattered_db = 20 * math.log10(sql / scatter)
    db_error = 20 / math.log(10) / math.sqrt(2 * n)
    printed_db = float(np.mean(column["gain_db"]))
    need = int(binom.ppf(1e-4, n, 0.95))
    bias = float(np.mean(column["error"] / column["bound"]))
    q = np.sort(column["p_value"])
    ks = float(np.max(np.abs(q - (np.arange(n) + 0.5) / n)) * math.sqrt(n))
    lines = [
        (
            "95 % intervals that hold the truth",
            f"{inside} of {n}",
            f"at least {need}",
            inside >= need,
        ),
        (
            "rmse / independent Cramér-Rao bound",
            f"{ratio:.3f} ± {ratio_error:.3f}",
            "at most 1.15",
            ratio <= 1.15,
        ),
        (
            "rmse / printed standard deviation",
            f"{pull:.3f} ± {ratio_error:.3f}",
            "0.85 to 1.15",
            0.85 <= pull <= 1.15,
        ),
        ("gain over the SQL, printed", f"{printed_db:.2f} dB", "", True),
        (
            "gain over the SQL, from the scatter",
            f"{scattered_db:.2f} ± {db_error:.2f} dB",
            "within 3 s.e.",
            abs(scattered_db - printed_db) <= 3 * db_error,
        ),
        ("mean error / bound", f"{bias:+.3f} ± {1 / math.sqrt(n):.3f}", "", True),
        (
            "printed bound / independent bound",
            f"{np.mean(column['stated_bound'] / column['bound']):.3f}",
            "",
            True,
        ),
        ("√n · KS distance of the p-values", f"{ks:.2f}", "1.63 is the 1 % point", True),
        (
            "wall time per demo run",
            f"{np.median(column['wall']):.1f} s (worst {column['wall'].max():.1f} s)",
            "",
            True,
        ),
    ]
    print(f"{n} seeds, {shots} shots each")
    for what, value, limit, good in lines:
        print(f"  {what:<40} {value:<24} {limit:<22} {'ok' if good else 'MISSED'}")
    worst = sorted(rows, key=lambda r: -abs(r["error"] / r["bound"]))[:5]
    for r in worst:
        print(
            f"  seed {int(r['seed'])}: error {r['error']:+.2e} = "
            f"{r['error'] / r['bound']:+.2f} bounds, printed std {r['std']:.2e}, "
            f"p = {r['p_value']:.3f}"
        )
    chance = chi2.sf(n * ratio**2, n)
    print(
        f"  (an efficient estimator scatters as much or more with probability {chance:.2g}; "
        f"two-sided z of the bias {2 * norm.sf(abs(bias) * math.sqrt(n)):.2g})"
    )
    return all(good for *_, good in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--shots", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    tasks = [(options.first + k, options.shots) for k in range(options.seeds)]
    begun = time.perf_counter()
    rows = []
    with ProcessPoolExecutor(options.workers) as pool:
        for k, row in enumerate(pool.map(one_seed, tasks), 1):
            rows.append(row)
            if k % 20 == 0:
                spent = time.perf_counter() - begun
                print(
                    f"  {k}/{len(tasks)} seeds, {spent:.0f} s, about "
                    f"{spent / k * (len(tasks) - k):.0f} s left",
                    flush=True,
                )
    raise SystemExit(0 if table(rows, options.shots) else 1)


if __name__ == "__main__":
    main()
