"""Thousands of `kill -9` at random instants; stops at the first acknowledged shot that is lost.

    python benchmarks/recording_kills.py [--kills 2000] [--seed 0] [--folder /dev/shm]

The same campaign as in the tests (tests/recording/kill_campaign.py): a writer, its publisher,
both, or a recovery is killed; then the run is read by xarray and tensorstore, recovered, read
again by both, verified, and resumed. Needs the `test` extra.
"""

from __future__ import annotations

import argparse
import runpy
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

CAMPAIGN = Path(__file__).parents[1] / "tests" / "recording" / "kill_campaign.py"
BATCH = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    program = runpy.run_path(str(CAMPAIGN))
    processes = program["light_processes"]()
    tally: Counter[str] = Counter()
    started = time.perf_counter()
    for batch in range(-(-options.kills // BATCH)):
        kills = min(BATCH, options.kills - batch * BATCH)
        folder = Path(tempfile.mkdtemp(prefix="cavitylab-kills-", dir=options.folder))
        try:
            tally += program["campaign"](folder, options.seed + batch, kills, processes)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        seconds = time.perf_counter() - started
        print(
            f"{batch * BATCH + kills:5d} kills, {seconds:6.0f} s, {dict(tally)}, nothing lost",
            flush=True,
        )


if __name__ == "__main__":
    main()
