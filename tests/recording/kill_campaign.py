"""`kill -9` of everything that touches a run, at random instants, over several resumes.

Loaded by a test (some hundred kills) and by benchmarks/recording_kills.py (thousands).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections import Counter
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore
import xarray as xr

from cavitylab.protocols.recording import Run

_START = 1_700_000_000_000_000_000
_ANSWER_SECONDS = 120.0
_RESUMES = 5
_VICTIMS = ["writer", "publisher", "both", "recovery"]


def light_processes() -> Any:
    """Fresh processes forked from one that has done the imports, where the system can."""
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload(["cavitylab.protocols.recording"])
    return context


def campaign(folder: Path, seed: int, kills: int, processes: Any) -> Counter[str]:
    """So many kills, five to a run; how often who died. AssertionError at the first loss."""
    rng = np.random.default_rng(seed)
    tally: Counter[str] = Counter()
    path: Path | None = None
    rows = 0
    for kill in range(kills):
        if kill % _RESUMES == 0:
            path, rows = None, 0
        victim = str(rng.choice(_VICTIMS, p=[0.6, 0.1, 0.1, 0.2]))
        path, acknowledged = _write_and_die(folder, path, rng, victim, processes, tally)
        rows = check_dead_run(path, max(rows, acknowledged), victim, rng, processes, tally)
    return tally


def check_dead_run(
    path: Path, least: int, victim: str, rng: np.random.Generator, processes: Any,
    tally: Counter[str],
) -> int:  # fmt: skip
    """Readable before recovery and after; every acknowledged row there, right and in order."""
    before = _check_readable(path)
    if victim == "recovery":
        _recover_and_die(path, rng, processes)
        tally["recovery"] += 1
        assert _check_readable(path) >= before, "shorter after a killed recovery"
    run = Run.open(path)
    verification = run.verify()
    assert run.state == "interrupted" and verification.ok, verification.problems
    rows = _check_readable(path)
    assert rows == run.shots >= max(before, least), f"{rows} of {least} acknowledged shots"
    assert _right(run.load("shot"), rows) == rows
    return rows


def _check_readable(path: Path) -> int:
    """Both libraries open the store and see right rows; how many (xarray)."""
    data = path / "data.zarr"
    with xr.open_zarr(data, chunks=None) as dataset:
        count = _right(dataset, dataset.sizes["shot"])
    for name in ("counts", "time"):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{data}/{name}/"}}
        array = np.asarray(tensorstore.open(spec, open=True, read=True).result()[...])
        assert np.array_equal(array, _shots(len(array))[name]), f"tensorstore: wrong {name}"
    return count


def _shots(count: int) -> dict[str, Any]:
    k = np.arange(count)
    return {
        "time": _START + 1000 * k,
        "status": 1 + k % 4,
        "point_index": k // 100,
        "counts": np.stack([k, 7 * k % 1_000_003], axis=1),
    }


def _right(columns: Any, count: int) -> int:
    for name, right in _shots(count).items():
        found = np.asarray(columns[name])
        found = found.astype("i8") if found.dtype.kind == "M" else found
        assert np.array_equal(found, right), f"wrong rows of {name}"
    return count


def _write_and_die(
    folder: Path, path: Path | None, rng: np.random.Generator, victim: str, processes: Any,
    tally: Counter[str],
) -> tuple[Path, int]:  # fmt: skip
    """Kill a writing process, its publisher, or both; its run and what it was told is safe."""
    in_process = victim in ("publisher", "both") or rng.random() < 0.05
    process, pipe = start_program(
        processes, "writing_program.py", root=str(folder), path=str(path or ""),
        seed=int(rng.integers(1 << 31)), largest_block=int(10 ** rng.uniform(0, 4)),
        pause=float(rng.choice([0.0005, 0.005])),
        publisher="process" if in_process else "thread",
    )  # fmt: skip
    assert pipe.poll(_ANSWER_SECONDS), "the writer did not start"
    name, publisher = pipe.recv()
    acknowledged = 0
    if victim in ("publisher", "both"):
        acknowledged = _listen(pipe, rng.uniform(0.2, 1.2), acknowledged)
        with contextlib.suppress(ProcessLookupError):
            os.kill(publisher, signal.SIGKILL)
        tally["publisher"] += 1
    if victim != "both":
        acknowledged = _listen(pipe, rng.uniform(0.0, 0.4), acknowledged)
    process.kill()
    process.join()
    tally["writer"] += 1
    with contextlib.suppress(EOFError):
        while pipe.poll(0):
            acknowledged = pipe.recv()
    pipe.close()
    return Path(name), acknowledged


def _listen(pipe: Connection, seconds: float, acknowledged: int) -> int:
    """Hear what is acknowledged for some time."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if pipe.poll(left):
            acknowledged = pipe.recv()
    return acknowledged


def _recover_and_die(path: Path, rng: np.random.Generator, processes: Any) -> None:
    """Recovery killed before one of its file operations, drawn at random."""
    die_at = int(rng.integers(0, 40))
    process, pipe = start_program(processes, "recovering_program.py", path=str(path), die_at=die_at)
    process.join()
    pipe.close()


def start_program(processes: Any, name: str, **settings: Any) -> tuple[BaseProcess, Connection]:
    """Run a `*_program.py` of this folder in a process of its own, with a pipe to it."""
    here, there = processes.Pipe(duplex=False)
    process = processes.Process(
        target=runpy.run_path,
        args=(str(Path(__file__).with_name(name)),),
        kwargs={"init_globals": {"pipe": there, **settings}},
    )
    process.start()
    there.close()
    return process, here
