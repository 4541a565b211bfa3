"""The recorder's speed beside plain zarr, QCoDeS' dataset and h5py, in one run on one disk.

    python benchmarks/recording.py [--folder DIR] [--quick]

Every figure counts only rows that are on the disk: for our recorder those acknowledged, for the
others those behind a flush of the file system. A row is what a shot of two detectors takes:
time, status, point and two counts. Prints tables and, at the end, which targets are met.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from recording_rivals import SHOT, H5py, Ours, PlainZarr, QCoDeS, rows

from cavitylab.protocols.recording import Run, RunWriter
from cavitylab.protocols.recording import journal as journal_module

BLOCKS = (1, 10, 100, 1000, 100_000)


@contextmanager
def folder_in(parent: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="cavitylab-bench-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def throughput(parent: Path | None, quick: bool) -> dict[str, dict[int, float]]:
    """Durable rows/s of every recorder at every block size; the best of three for ours."""
    seconds = 0.5 if quick else 2.0
    table: dict[str, dict[int, float]] = {}
    for make in (Ours, PlainZarr, QCoDeS, H5py):
        for block in BLOCKS:
            with folder_in(parent) as folder:
                try:
                    recorder: Any = make(folder)
                except ImportError as error:
                    print(f"{make.name}: not installed ({error.name}), skipped")
                    break
                table.setdefault(make.name, {})[block] = _rate(recorder, block, seconds)
                recorder.close()
    return table


def _rate(recorder: Any, block: int, seconds: float) -> float:
    blocks = max(3, 1000 // block)
    best = 0.0
    spent = 0.0
    while spent < seconds:
        taken = recorder.run(block, blocks)
        spent += taken
        best = max(best, block * blocks / taken)
        if taken < seconds / 4:
            blocks *= 4
    return best


def waited(parent: Path | None, count: int) -> tuple[float, float]:
    """Median s of a waited single row, and of a raw write and `fdatasync` of one page."""
    with folder_in(parent) as folder:
        writer = RunWriter.create(folder, "waited", [SHOT], publisher="thread")
        descriptor = os.open(folder / "raw", os.O_RDWR | os.O_CREAT)
        sync = getattr(os, "fdatasync", os.fsync)
        ours, raw = [], []
        for k in range(count):
            started = time.perf_counter()
            writer.append_row("shot", time=k, status=1, point_index=0, counts=[1, 2]).wait()
            ours.append(time.perf_counter() - started)
            started = time.perf_counter()
            os.write(descriptor, bytes(4096))
            sync(descriptor)
            raw.append(time.perf_counter() - started)
        os.close(descriptor)
        writer.close()
    return float(np.median(ours)), float(np.median(raw))


def slow_commits(parent: Path | None, count: int) -> float:
    """Acknowledged single rows/s when every commit takes 15 ms longer."""
    original: Callable[..., int] = journal_module.Journal.write

    def slow(self: Any, *arguments: Any) -> int:
        time.sleep(0.015)
        return original(self, *arguments)

    journal_module.Journal.write = slow  # type: ignore[method-assign]
    try:
        with folder_in(parent) as folder:
            ours = Ours(folder)
            taken = ours.run(1, count)
            ours.close()
    finally:
        journal_module.Journal.write = original  # type: ignore[method-assign]
    return count / taken


def publishing(parent: Path | None) -> tuple[float, int]:
    """Median s to publish 1000 new rows, per array of the store; how many arrays."""
    with folder_in(parent) as folder:
        writer = RunWriter.create(folder, "publish", [SHOT], publisher="thread")
        taken = []
        for k in range(15):
            writer.append("shot", rows(1000 * k, 1000))
            writer.flush()
            started = time.perf_counter()
            writer.flush(publish=True)
            taken.append(time.perf_counter() - started)
        arrays = sum(1 for _ in (writer.path / "data.zarr").glob("*/zarr.json"))
        writer.close()
    return float(np.median(taken)) / arrays, arrays


def size_and_reading(parent: Path | None, count: int) -> tuple[float, float, int]:
    """Read-back rows/s, bytes a row, files, of a finished run of `count` rows."""
    with folder_in(parent) as folder:
        with RunWriter.create(folder, "read", [SHOT]) as writer:
            for first in range(0, count, 10_000):
                writer.append("shot", rows(first, 10_000))
        run = Run.open(writer.path)
        started = time.perf_counter()
        loaded = run.load("shot")
        taken = time.perf_counter() - started
        if len(loaded["time"]) != count:
            raise SystemExit("rows are missing")
        files = [path for path in run.path.rglob("*") if path.is_file()]
        return count / taken, sum(path.stat().st_size for path in files) / count, len(files)


def live_reader(parent: Path | None, count: int) -> tuple[float, int]:
    """Slow-down of a run of `count` single shots by a reader at 10 Hz; what it polled in all."""
    alone, polled = [], []
    polls = 0
    for _ in range(5):
        alone.append(_run_of(parent, count, reader=False)[0])
        taken, seen = _run_of(parent, count, reader=True)
        polled.append(taken)
        polls += seen
    return float(np.median(polled) / np.median(alone)) - 1, polls


def _run_of(parent: Path | None, count: int, *, reader: bool) -> tuple[float, int]:
    context = multiprocessing.get_context("spawn")
    with folder_in(parent) as folder:
        ours = Ours(folder)
        ready, stop, seen = context.Event(), context.Event(), context.Value("i", 0)
        process = context.Process(target=poll, args=(str(ours.path), ready, stop, seen))
        if reader:
            process.start()
            if not ready.wait(120):
                raise SystemExit("the live reader did not start")
        taken = ours.run(1, count)
        if reader:
            stop.set()
            process.join()
            if process.exitcode:
                raise SystemExit("the live reader saw a torn or shrinking prefix")
        ours.close()
        return taken, int(seen.value)


def poll(path: str, ready: Any, stop: Any, seen: Any) -> None:
    """Look ten times a second; when the store has changed, open it and read the new rows."""
    import xarray as xr

    length, known = 0, None
    while not stop.is_set():
        status = os.stat(f"{path}/data.zarr/zarr.json")
        state = (status.st_mtime_ns, status.st_ino, status.st_size)
        if state != known:
            known = state
            with xr.open_zarr(f"{path}/data.zarr", chunks=None, decode_times=False) as dataset:
                now = dataset.sizes["shot"]
                new = dataset.isel(shot=slice(length, now)).load()
            if now < length or not np.array_equal(new.time.values, np.arange(length, now)):
                sys.exit(1)
            length = now
        seen.value += 1
        ready.set()
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=None, help="a folder on the disk to test")
    parser.add_argument("--quick", action="store_true", help="shorter, less certain")
    options = parser.parse_args()
    parent, quick = options.folder, options.quick
    table = throughput(parent, quick)
    print("durable rows/s" + "".join(f"{f'block {b}':>15}" for b in BLOCKS))
    for name, rates in table.items():
        print(f"{name:<20}" + "".join(f"{rates.get(b, 0):>15,.0f}" for b in BLOCKS))
    ours = table[Ours.name]
    waiting, raw = waited(parent, 100 if quick else 400)
    print(f"waited single row {1e3 * waiting:.2f} ms, raw fdatasync {1e3 * raw:.2f} ms")
    slow = slow_commits(parent, 200_000 if quick else 1_000_000)
    print(f"single rows with commits 15 ms longer: {slow:,.0f} rows/s")
    publish, arrays = publishing(parent)
    print(f"publishing: {1e3 * publish:.2f} ms an array ({arrays} arrays)")
    reading, size, files = size_and_reading(parent, 1_000_000)
    print(f"read-back {reading:,.0f} rows/s; 10^6 rows take {size:.1f} bytes a row, {files} files")
    cost, polls = live_reader(parent, 300_000 if quick else 1_000_000)
    print(f"live reader at 10 Hz: {100 * cost:+.1f} % of the writer's time ({polls} polls)")
    print()
    versus_zarr = ours[1] / table[PlainZarr.name][1]
    versus_qcodes = ours[1] / table[QCoDeS.name][1] if QCoDeS.name in table else float("nan")
    targets = [
        ("pipelined single records >= 3e5/s", ours[1] >= 3e5, f"{ours[1]:.3g}"),
        ("blocks of 1000 >= 3e6 rows/s", ours[1000] >= 3e6, f"{ours[1000]:.3g}"),
        ("waited append <= 5 x raw fdatasync", waiting <= 5 * raw, f"{waiting / raw:.2f} x"),
        ("block 1 >= 100 x plain zarr", versus_zarr >= 100, f"{versus_zarr:.0f} x"),
        ("block 1 >= 100 x QCoDeS flushed", versus_qcodes >= 100, f"{versus_qcodes:.0f} x"),
        ("publishing <= 5 ms an array", publish <= 5e-3, f"{1e3 * publish:.2f} ms"),
        ("commits 15 ms longer >= 1e5/s", slow >= 1e5, f"{slow:.3g}"),
        ("live reader costs < 5 %", cost < 0.05, f"{100 * cost:+.1f} %"),
    ]
    for name, met, figure in targets:
        print(f"{'met   ' if met else 'MISSED'} {name:<40} {figure}")


if __name__ == "__main__":
    main()
