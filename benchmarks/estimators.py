"""Every estimator on exactly simulated data, beside its peers: one table.

    python benchmarks/estimators.py [--rows WORD ...] [--replicates N] [--long] [--seconds T]
                                    [--workers 2] [--figure FILE] [--json FILE [--resume]] [--list]
    python benchmarks/estimators.py --read FILE [--pages docs/estimators]

bias/sigma, rmse/bound (Cramer-Rao, all free parameters), coverage of the 68 % and 95 % intervals,
failures and the median processor time of a fit, each with its Monte-Carlo standard error. A row
passes when its limit lies within three standard errors of the figure, or beyond. --long takes 1000
replicates of a row whose fit takes under 50 ms, else 200; without it 60 and 20; fewer where they
would take more than --seconds a row (2, or 300 with --long). A peer that is not installed has a row
that says so. Exit status 1 when a row that is judged misses its limit.

No row takes much more than --seconds of processor time (three replicates at least), so that the
whole takes at most rows x seconds / workers; that and the time left are printed as it goes. The
JSON file is written anew after every row: whatever happens later, the rows so far are there, and
--resume goes on after them. A row that cannot be measured says why and counts as missed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import pkgutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import estimator_campaigns  # noqa: E402  (after the number of threads is fixed)
from estimator_campaigns import pages  # noqa: E402
from estimator_campaigns.campaign import (  # noqa: E402
    Campaign,
    Row,
    Sample,
    broken,
    replicate,
    summarise,
)

FAST = 0.05  # seconds; below it a fit is repeated often
SHORT, LONG = (60, 20), (1000, 200)
SECONDS = (2.0, 300.0)  # of a row, short and long
PROBES = 3
PAGES = Path(__file__).parents[1] / "docs" / "estimators"
FEWEST = PROBES


def discover() -> list[tuple[str, Campaign]]:
    """(module, row) of every module of `estimator_campaigns`, in the order of their names."""
    found: list[tuple[str, Campaign]] = []
    for module in sorted(pkgutil.iter_modules(estimator_campaigns.__path__), key=lambda m: m.name):
        loaded = importlib.import_module(f"estimator_campaigns.{module.name}")
        if hasattr(loaded, "rows"):
            found.extend((module.name, row) for row in loaded.rows())
    return found


def chosen(rows: list[Campaign], words: list[str]) -> list[Campaign]:
    """Rows whose name or range holds any of the words; all of them without words."""
    wanted = [word.lower() for word in words]
    return [
        row
        for row in rows
        if not wanted or any(word in f"{row.name} {row.range}".lower() for word in wanted)
    ]


_ROWS: list[Campaign] = []  # read by forked workers, who cannot be sent closures
_SEED = 0


def _one(task: tuple[int, int]) -> Sample:
    row, number = task
    return replicate(_ROWS[row], _SEED, number)


def measure(index: int, number: int, long: bool, seconds: float, pool: Any) -> list[Row]:
    """All replicates of one row; how many follows from the time of the first few."""
    campaign = _ROWS[index]
    campaign.bound(campaign.truth)  # may be kept for the next call: not part of a replicate
    start = time.process_time()
    samples = [_one((index, k)) for k in range(PROBES)]
    each = (time.process_time() - start) / PROBES
    if not number:
        median = statistics.median(sample.seconds for sample in samples)
        number = (LONG if long else SHORT)[0 if median < FAST else 1]
        if long and campaign.replicates:
            number = campaign.replicates
        number = min(number, max(FEWEST, int(seconds / max(each, 1e-6))))
    tasks = [(index, k) for k in range(PROBES, number)]
    rest = pool.map(_one, tasks, chunksize=4) if pool else [_one(task) for task in tasks]
    return summarise(campaign, samples + list(rest))


def measured(index: int, number: int, long: bool, seconds: float, pool: Any) -> list[Row]:
    """`measure`; a row that cannot be measured is a row that says why."""
    try:
        return measure(index, number, long, seconds, pool)
    except Exception as error:  # one campaign's mistake must not lose the others
        return [broken(_ROWS[index], f"{type(error).__name__}: {error}")]


def resumed(options: argparse.Namespace) -> bool:
    """Whether there are rows to go on after."""
    return bool(options.resume and options.json and options.json.exists())


def keep(rows: list[dict[str, Any]], path: Path) -> None:
    """Write beside the file and put it in its place: never half a file."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_text(json.dumps(rows, indent=1))
    beside.replace(path)


def clock(seconds: float) -> str:
    """Hours and minutes, or seconds."""
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60:02d} min"


def announce(text: str) -> None:
    """Progress, beside the table."""
    print(text, file=sys.stderr, flush=True)


def line(row: Row) -> str:
    """One line of the table."""
    verdict = row.note if not row.judged else "pass" if not row.misses else "; ".join(row.misses)
    seconds = "-"
    if row.seconds.value == row.seconds.value:
        seconds = f"{1e3 * row.seconds.value:.3g}±{1e3 * row.seconds.error:.2g}"
    return (
        f"{row.name:<44} {row.range:<26} {row.replicates:>5} {row.bias!s:>14} "
        f"{row.efficiency!s:>14} {row.coverage[0]!s:>12} {row.coverage[1]!s:>12} "
        f"{row.failures:>5} {seconds:>14}  {verdict}"
    )


HEADING = (
    f"{'estimator':<44} {'range':<26} {'repl.':>5} {'bias/sigma':>14} {'rmse/bound':>14} "
    f"{'68 %':>12} {'95 %':>12} {'fail':>5} {'time, ms':>14}  limit"
)


def in_order(stored: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(module, a row with its peers) in the campaigns' order, whatever order they were measured in.

    A row that no campaign has any more is left out, and said.
    """
    found = discover()
    places = {f"{row.name}|{row.range}": place for place, (_, row) in enumerate(found)}
    groups: dict[int, list[dict[str, Any]]] = {}
    place: int | None = None
    for row in stored:
        key = f"{row['name']}|{row['range']}"
        if not row["name"].startswith(" "):  # peers are indented
            place = places.get(key)
            if place is None:
                announce(f"left out, no campaign has it any more: {key}")
        if place is not None:
            groups.setdefault(place, []).append(row)
    return [(found[place][0], groups[place]) for place in sorted(groups)]


def write_pages(stored: list[dict[str, Any]], folder: Path) -> None:
    """A figure for every module of campaigns, and the table in the README."""
    chapters: dict[str, list[dict[str, Any]]] = {}
    for name, rows in in_order(stored):
        chapters.setdefault(name, []).extend(rows)
    (folder / "figures").mkdir(exist_ok=True)
    for name, rows in chapters.items():
        pages.draw(rows, folder / "figures" / f"{name}.png")
    pages.write_table([row for rows in chapters.values() for row in rows], folder / "README.md")


def main(argv: list[str] | None = None) -> int:
    """Measure the chosen rows; 1 when one that is judged misses its limit."""
    global _SEED
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", nargs="*", default=[], metavar="WORD")
    parser.add_argument("--replicates", type=int, default=0)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.0, help="most of a row")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--read", type=Path, help="rows stored by --json: only write --pages")
    parser.add_argument("--pages", type=Path, default=PAGES, help="of --read: docs/estimators")
    parser.add_argument("--json", type=Path, help="rows so far, written anew after every row")
    parser.add_argument("--resume", action="store_true", help="leave out the rows of --json")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    options = parser.parse_args(argv)
    _SEED = options.seed
    if options.read:
        stored = json.loads(options.read.read_text())
        write_pages(stored, options.pages)
        return 0
    _ROWS.extend(chosen([row for _, row in discover()], options.rows))
    if options.list:
        print("\n".join(f"{row.name:<44} {row.range}" for row in _ROWS))
        return 0
    if not _ROWS:
        print(f"no row holds any of {options.rows}; --list names them", file=sys.stderr)
        return 2
    seconds = options.seconds or SECONDS[options.long]
    done = json.loads(options.json.read_text()) if resumed(options) else []
    done = [row for row in done if row["note"] != "not measured"]
    known = {f"{row['name']}|{row['range']}" for row in done}
    wanted = [k for k, row in enumerate(_ROWS) if f"{row.name}|{row.range}" not in known]
    announce(f"{len(wanted)} rows, at most {clock(len(wanted) * seconds / options.workers)}")
    pool = None
    if options.workers > 1:
        pool = multiprocessing.get_context("fork").Pool(options.workers)
    print(HEADING)
    begun, number = time.monotonic(), max(options.replicates, 0)
    for place, index in enumerate(wanted, start=1):
        found = measured(index, number, options.long, seconds, pool)
        for row in found:
            print(line(row), flush=True)
            for reason in row.reasons:
                print(f"    failure: {reason}")
        done.extend(row.to_json() for row in found)
        if options.json:
            keep(done, options.json)
        passed = time.monotonic() - begun
        left = passed / place * (len(wanted) - place)
        announce(f"{place} of {len(wanted)} rows, {clock(passed)} passed, about {clock(left)} left")
    if pool:
        pool.close()
        pool.join()
    if options.figure:
        pages.draw(done, options.figure)
    missed = sum(bool(row["misses"]) for row in done)
    print(f"{sum(row['judged'] for row in done)} rows judged, {missed} missed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
