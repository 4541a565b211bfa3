"""The publisher in a process of its own: it may die, hang, or outlive its writer."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time

import pytest

from cavitylab.protocols.recording import Run, RunLockedError, RunWriter, StorageError
from cavitylab.protocols.recording.layout import RunPaths, publisher_lock

PATIENCE = 120.0
"""Seconds after which something that should happen is taken not to happen."""


@pytest.fixture
def remote(tmp_path, known):
    """A run with a publisher process."""
    writer = RunWriter.create(tmp_path, "remote", known.streams, publisher="process")
    yield writer
    writer.close()


def _until(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


def test_a_publisher_process_moves_the_rows_and_ends_with_the_run(remote, known):
    """Another process publishes; the writer closes it and finishes the store."""
    pid = remote.publisher_pid
    assert pid is not None and pid != os.getpid()
    remote.append("shot", known.shots(0, 5000))
    remote.flush(publish=True, timeout=PATIENCE)
    assert known.check(Run.open(remote.path).records) == 5000
    remote.append("shot", known.shots(5000, 6000))
    remote.close()
    assert remote.publisher_pid is None
    run = Run.open(remote.path)
    assert known.check_run(run) == 6000 and run.verify().ok and run.state == "complete"


def test_a_fast_run_moves_to_a_process_and_a_slow_one_does_not(writer, known, monkeypatch):
    """By default the rate of the run decides."""
    writer.append("shot", known.shots(0, 100))
    writer.flush(publish=True)
    assert writer.publisher_pid is None
    monkeypatch.setattr("cavitylab.protocols.recording.publish_thread.FAST_BYTES", 100)
    row = 100
    deadline = time.monotonic() + PATIENCE
    while writer.publisher_pid is None:
        assert time.monotonic() < deadline
        writer.append("shot", known.shots(row, row + 100)).wait()
        row += 100
    writer.append("shot", known.shots(row, row + 100))
    writer.flush(publish=True, timeout=PATIENCE)
    assert known.check(Run.open(writer.path).records) == row + 100


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_publisher_is_replaced_by_a_thread(remote, known):
    """The run goes on, and nothing is missing."""
    remote.append("shot", known.shots(0, 100))
    remote.flush(publish=True)
    os.kill(remote.publisher_pid, signal.SIGKILL)
    remote.append("shot", known.shots(100, 200))
    remote.flush(publish=True)
    assert remote.publisher_pid is None
    assert known.check(Run.open(remote.path).records) == 200


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_publisher_that_hangs_is_killed_and_replaced(remote, known, monkeypatch):
    """A stopped process answers nothing: the writer does not wait for ever."""
    remote.flush(publish=True)
    os.kill(remote.publisher_pid, signal.SIGSTOP)
    monkeypatch.setattr("cavitylab.protocols.recording.publish_process._ANSWER_SECONDS", 0.2)
    remote.append("shot", known.shots(0, 100))
    remote.flush(publish=True)
    assert known.check(Run.open(remote.path).records) == 100


def test_what_the_publisher_process_cannot_do_is_reported(remote, known):
    """Its error is the writer's; once the cause is gone, it publishes everything."""
    remote.flush(publish=True)
    staging = RunPaths(remote.path).staging
    shutil.rmtree(staging)
    remote.append("shot", known.shots(0, 100))
    with pytest.raises(StorageError, match="staging"):
        remote.flush(publish=True)
    staging.mkdir()
    remote.flush(publish=True)
    assert known.check(Run.open(remote.path).records) == 100
    assert remote.publisher_pid is not None


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_orphaned_publisher_finishes_the_run_and_exits(start_program, known, tmp_path):
    """Nobody opens the dead run: its publisher brings it to its end, then is gone."""
    process, pipe = start_program(
        "writing_program.py", root=str(tmp_path), seed=6, largest_block=50, pause=0.001,
        publisher="process",
    )  # fmt: skip
    path, publisher = pipe.recv()
    acknowledged = 0
    while acknowledged < 200:
        acknowledged = pipe.recv()
    process.kill()
    process.join()
    _until(lambda: _gone(publisher))
    assert not RunPaths.of(path).journal.exists()
    run = Run.open(path, recover_dead=False)
    assert run.attrs["cavitylab_commit"]["state"] == "interrupted"
    assert known.check_run(run) >= acknowledged and run.verify().ok


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_two_never_publish_at_once(start_program, known, tmp_path, monkeypatch):
    """A dead writer's publisher that hangs keeps others from the store, by name."""
    process, pipe = start_program(
        "writing_program.py", root=str(tmp_path), seed=6, largest_block=50, pause=0.001,
        publisher="process",
    )  # fmt: skip
    path, publisher = pipe.recv()
    paths = RunPaths.of(path)

    def held():
        with publisher_lock(paths, 0.0) as free:
            return not free

    _until(held)
    os.kill(publisher, signal.SIGSTOP)
    process.kill()
    process.join()
    monkeypatch.setattr("cavitylab.protocols.recording.finalise._PUBLISHER_PATIENCE", 0.1)
    try:
        with pytest.raises(RunLockedError, match="publisher"):
            Run.open(path)
        with pytest.raises(RunLockedError, match="publisher"):
            RunWriter.resume(path)
    finally:
        os.kill(publisher, signal.SIGCONT)
    _until(lambda: _gone(publisher))
    assert known.check_run(Run.open(path)) > 0
