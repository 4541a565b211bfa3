"""Reading while it grows: never an exception, never a wrong value, never shorter."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cavitylab.protocols.recording import Run

PATIENCE = 120.0
"""Seconds after which a run that should grow is taken not to."""


def test_another_process_reads_a_growing_store(start_program, known, tmp_path):
    """Plain `xr.open_zarr` sees consistent, right, never shrinking rows during the run."""
    process, pipe = start_program(
        "writing_program.py", root=str(tmp_path), seed=1, largest_block=400, pause=0.002
    )
    data = Path(pipe.recv()) / "data.zarr"
    lengths = [0]
    deadline = time.monotonic() + PATIENCE
    while lengths[-1] <= 1000 or len(set(lengths)) < 6:
        assert time.monotonic() < deadline, "the store does not grow"
        dataset = xr.open_zarr(data, chunks=None)
        lengths.append(known.check(dataset))
        assert lengths[-1] >= lengths[-2]
        time.sleep(0.01)
    # A Dataset opened long ago keeps its length and its values.
    assert known.check(dataset) == lengths[-1]


def test_another_process_loads_what_was_just_acknowledged(start_program, known, tmp_path):
    """`load` is at least as long as what the writer had been told was safe before."""
    process, pipe = start_program(
        "writing_program.py", root=str(tmp_path), seed=2, largest_block=20, pause=0.001
    )
    run = Run.open(pipe.recv())
    acknowledged, before = 0, 0
    deadline = time.monotonic() + PATIENCE
    while before <= 1000:
        assert time.monotonic() < deadline, "nothing is acknowledged"
        while pipe.poll(0):
            acknowledged = pipe.recv()
        count = known.check(run.load("shot"))
        assert count >= max(acknowledged, before)
        before = count
    assert run.state == "running"


def test_follow_gives_every_row_once_while_a_run_is_written(writer, known):
    """Following in the writer's own process: all rows, in order, then the end of the run."""
    blocks = Run.open(writer.path).follow("shot", poll=0.005)
    position = 0
    for first in range(0, 600, 60):
        writer.append("shot", known.shots(first, first + 60))
        writer.flush(publish=first % 120 == 0)
        position += known.check(next(blocks), first=position)
    assert position == 600
    writer.close()
    assert list(blocks) == []


def test_rows_do_not_vanish_while_they_move_to_the_store(writer, known, monkeypatch):
    """Published and gone from the journal between a reader's two looks: it looks again."""
    monkeypatch.setattr("cavitylab.protocols.recording.publish_thread.INTERVAL_SECONDS", 60)
    writer.append("shot", known.shots(0, 100)).wait()
    original = Run._journal_tail

    def late(self, stream, seq):
        writer.close()
        return original(self, stream, seq)

    monkeypatch.setattr(Run, "_journal_tail", late)
    assert known.check(Run.open(writer.path).load("shot")) == 100


def test_follow_can_start_in_the_middle(writer, known):
    """`start` skips rows that somebody has seen already."""
    writer.append("shot", known.shots(0, 50))
    writer.close()
    (block,) = Run.open(writer.path).follow("shot", start=30)
    assert known.check(block, first=30) == 20


def test_records_are_lazy(writer, known):
    """Opening a run reads no counts: a damaged chunk is met only where it is looked at."""
    writer.append("shot", known.shots(0, 10))
    writer.close()
    (writer.path / "data.zarr" / "counts" / "c.0.0").write_bytes(b"nothing of use")
    records = Run.open(writer.path).records
    assert np.array_equal(records.point_index.values, np.zeros(10))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_reader_of_a_million_shots_sees_a_growing_right_prefix(start_program, known, tmp_path):
    """Ten looks a second during a fast run with a publisher process: never torn, never shorter."""
    total = 1_000_000
    process, pipe = start_program(
        "writing_program.py", root=str(tmp_path), seed=1, largest_block=2000, pause=0.002,
        publisher="process", stop_at=total,
    )  # fmt: skip
    path, _ = pipe.recv()
    threading.Thread(target=_drain, args=(pipe,), daemon=True).start()
    length, looks = 0, 0
    while process.is_alive():
        with xr.open_zarr(Path(path) / "data.zarr", chunks=None) as dataset:
            now = dataset.sizes["shot"]
            assert now >= length
            known.check(dataset.isel(shot=slice(length, now)), first=length)
        length, looks = now, looks + 1
        time.sleep(0.1)
    run = Run.open(path)
    assert looks > 5 and run.state == "complete" and known.check_run(run) >= total


def _drain(pipe) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.recv()
