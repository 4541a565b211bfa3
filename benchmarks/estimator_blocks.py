"""Does every estimator absorb a block of 1000 shots in under 10 ms?

    python benchmarks/estimator_blocks.py [--shots 1000] [--blocks 10]

Median processor time of `update` over blocks, and of `estimate` after them; blocks are given in
turn, as a run does. Exit status 1 when a median is above 10 ms.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import sys
import time
from pathlib import Path
from types import ModuleType

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import numpy as np  # noqa: E402  (after the number of threads is fixed)

LIMIT = 0.010  # seconds
CASES = Path(__file__).parents[1] / "tests" / "estimators" / "every_estimator.py"
SWEEPS = 20  # a block of sweeps: each is a row of bins, not a shot


def every_estimator() -> ModuleType:
    """The cases of the tests: every estimator with records that suit it."""
    spec = importlib.util.spec_from_file_location("every_estimator", CASES)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(CASES)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def measure(cases: ModuleType, name: str, shots: int, blocks: int) -> float:
    """Median seconds of an update."""
    case, rng = cases.CASES[name], np.random.default_rng(1)
    count = SWEEPS if name == "pumping_sweeps" else shots
    estimator, seconds = cases.build(name), []
    for number in range(blocks):
        records = dict(case.draw(rng, count))
        if name == "drift_filter":  # the one whose times must rise from block to block
            records["time"] = records["time"] + number * count
        start = time.process_time()
        estimator.update(records)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def main(argv: list[str] | None = None) -> int:
    """Print a line for every estimator; 1 when one is slower than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shots", type=int, default=1000)
    parser.add_argument("--blocks", type=int, default=10)
    options = parser.parse_args(argv)
    cases, slow = every_estimator(), 0
    for name in cases.CASES:
        seconds = measure(cases, name, options.shots, options.blocks)
        slow += seconds > LIMIT
        unit = f"{SWEEPS} sweeps" if name == "pumping_sweeps" else f"{options.shots} shots"
        print(f"{name:<24} {unit:<12} {1e3 * seconds:8.3f} ms{'  too slow' * (seconds > LIMIT)}")
    print(f"{slow} slower than {1e3 * LIMIT:g} ms")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
