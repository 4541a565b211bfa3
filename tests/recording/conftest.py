"""A run with known rows: every test can say what row k must hold."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab.protocols.recording import Field, Run, RunWriter, Stream

START = 1_700_000_000_000_000_000


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one: a kill leaves the page cache alone, so these tests
    see the same there as on a disk, without waiting for somebody else's flushes."""
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="cavitylab-recording-", dir=memory))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


class KnownRows:
    """Streams of a two-detector run, and the one right content of each shot."""

    streams = (
        Stream("point", [Field("detuning", "f8", unit="Hz", long_name="detuning")]),
        Stream(
            "shot",
            [
                Field("time", "i8"),
                Field("status", "u1"),
                Field("point_index", "i4"),
                Field("counts", "i4", dims={"detector": ["north", "south"]}, long_name="counts"),
            ],
        ),
    )

    @staticmethod
    def shots(first: int, end: int) -> dict[str, np.ndarray]:
        k = np.arange(first, end)
        return {
            "time": START + 1000 * k,
            "status": 1 + k % 4,
            "point_index": k // 100,
            "counts": np.stack([k, 7 * k % 1_000_003], axis=1),
        }

    def check(self, columns: Any, first: int = 0) -> int:
        """Every row right, from row `first` on; how many there are."""
        count = len(columns["status"])
        for name, right in self.shots(first, first + count).items():
            found = np.asarray(columns[name])
            found = found.astype("i8") if found.dtype.kind == "M" else found
            assert np.array_equal(found, right), f"wrong rows of {name}"
        return count

    def check_run(self, run: Run) -> int:
        """All shots of a run right, read in both ways."""
        count = self.check(run.load("shot"))
        assert self.check(run.records) <= count
        return count


@pytest.fixture
def known() -> KnownRows:
    return KnownRows()


@pytest.fixture
def writer(tmp_path: Path, known: KnownRows) -> Iterator[RunWriter]:
    """A new run below `tmp_path`."""
    made = RunWriter.create(tmp_path, "known rows", known.streams)
    yield made
    made.close()


@pytest.fixture(scope="session")
def processes() -> multiprocessing.context.BaseContext:
    """Fresh processes; where the system can, forked from one that has done the imports."""
    context = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
    if sys.platform != "win32":
        context.set_forkserver_preload(["cavitylab.protocols.recording"])
    return context


@pytest.fixture
def start_program(
    processes: multiprocessing.context.BaseContext,
) -> Iterator[Callable[..., tuple[BaseProcess, Connection]]]:
    """Run a `*_program.py` of this folder in a process of its own, with a pipe to it."""
    started: list[BaseProcess] = []

    def start(name: str, **settings: Any) -> tuple[BaseProcess, Connection]:
        here, there = processes.Pipe(duplex=False)
        path = str(Path(__file__).with_name(name))
        process = processes.Process(
            target=runpy.run_path,
            args=(path,),
            kwargs={"init_globals": {"pipe": there, **settings}},
        )
        process.start()
        there.close()
        started.append(process)
        return process, here

    yield start
    for process in started:
        process.kill()
        process.join()


@pytest.fixture
def started() -> datetime:
    """A fixed start time, which names the run directory."""
    return datetime(2024, 5, 17, 13, 45, 10).astimezone()
