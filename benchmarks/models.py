"""The models beside plain QuTiP (or scipy), in the same run, on one core: one table.

    python benchmarks/models.py [--long] [--only WORD]

Seconds of this package are medians of up to five runs. Each peer (models_peers.py) solves the
same equations at the same accuracy in a process of its own, limited to 60 s (600 s with --long)
and 8 GiB; "not run" means that this run holds no number for it. `deviation` is the largest
difference between the two results over the largest value (for random runs: of the two means, in
standard errors). Targets are ratios (x) or seconds; they were set beside peers at those sizes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is fixed)
from models_rows import Row, all_rows  # noqa: E402

PEERS = Path(__file__).with_name("models_peers.py")
SIGMAS = 4.5


def timed(own: Callable[[], Sequence[float]]) -> tuple[float, list[float]]:
    """Median seconds of up to five runs (fast ones in loops of 20 ms), and the numbers."""
    begun = time.perf_counter()
    values = list(own())
    first = time.perf_counter() - begun
    loops = max(1, min(1000, int(0.02 / max(first, 1e-6))))
    taken = [first] if first > 2.0 else []
    while len(taken) < 5 and sum(taken) * loops < 4.0:
        begun = time.perf_counter()
        for _ in range(loops):
            own()
        taken.append((time.perf_counter() - begun) / loops)
    return statistics.median(taken), values


def ask_peer(peer: tuple[str, list[Any]], limit: float) -> tuple[float | None, list[float], str]:
    """Seconds, numbers and, where there are none, why."""
    command = [sys.executable, str(PEERS), peer[0], json.dumps(peer[1])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return None, [], f"over {limit:g} s"
    if done.returncode != 0 or not done.stdout.strip():
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        short = any(word in done.stderr for word in ("MemoryError", "allocate", "memory"))
        return None, [], "over 8 GiB" if short or done.returncode < 0 else f"failed: {last[:60]}"
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    return answer["seconds"], answer["values"], ""


def deviation(row: Row, own: Sequence[float], peer: Sequence[float]) -> tuple[str, bool]:
    """The difference as printed, and whether the results agree."""
    if row.random:
        sigmas = abs(own[0] - peer[0]) / math.hypot(own[1], peer[1])
        return f"{sigmas:.1f} s.e.", sigmas < SIGMAS
    a, b = np.asarray(own), np.asarray(peer)
    worst = float(np.max(np.abs(a - b)) / np.max(np.abs(b)))
    return f"{worst:.0e}", worst < row.agreement


def verdict(row: Row, seconds: float, ratio: float | None) -> tuple[str, str]:
    """The target in words, and met, missed or not run."""
    if row.target is None:
        return "-", "-"
    number, unit = row.target
    if unit == "x":
        met = None if ratio is None else ratio >= number
        words = f">= {number:g} x"
    elif unit == "s":
        met, words = seconds <= number, f"<= {number:g} s"
    else:
        met, words = 1.0 / seconds >= number, f">= {number:.0e}/s"
    return words, "not run" if met is None else "met" if met else "MISSED"


def measure(row: Row, long: bool) -> tuple[list[str], bool]:
    """One line of the table, and whether nothing in it failed."""
    seconds, values = timed(row.own)
    seconds /= row.per[0]
    theirs, note, ratio, differs, agrees = None, "not run", None, "-", True
    if row.peer is not None and (long or row.long != "peer"):
        theirs, numbers, note = ask_peer(row.peer, 600.0 if long else 60.0)
        if theirs is not None:
            theirs /= row.per[1]
            note, ratio = f"{theirs:.2g}", theirs / seconds
            differs, agrees = deviation(row, values, numbers)
    words, met = verdict(row, seconds, ratio)
    if not agrees:
        met = "DISAGREE"
    shown = "-" if ratio is None else f"{ratio:.3g} x"
    cells = [row.name, f"{seconds:.2g}", note, shown, words, met, differs, row.growth]
    return cells, met not in ("MISSED", "DISAGREE")


def main() -> int:
    """Print the table; 1 where a target is missed or results disagree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="peers of minutes, too")
    parser.add_argument("--only", default="", metavar="WORD", help="rows whose name holds WORD")
    options = parser.parse_args()
    head = ["computation", "s", "peer s", "ratio", "target", "", "deviation"]
    head.append("how cost grows, this | peer")
    widths = (50, 8, 10, 10, 11, 9, 10, 0)
    line = "".join(f"{{:<{w}}} " if w else "{}" for w in widths)
    print(line.format(*head), flush=True)
    good = True
    for row in all_rows():
        if options.only not in row.name or (row.long is True and not options.long):
            continue
        cells, fine = measure(row, options.long)
        good = good and fine
        print(line.format(*cells), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
