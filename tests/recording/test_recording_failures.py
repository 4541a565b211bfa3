"""Locks, full disks, folders that cannot be written, newer formats: a typed error that helps."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from cavitylab.protocols.recording import (
    DiskFullError,
    FormatVersionError,
    ReadOnlyFolderError,
    RecordingError,
    Run,
    RunExistsError,
    RunNotFoundError,
    RunWriter,
    SchemaError,
    StorageError,
    WriterClosedError,
    layout,
    publish_thread,
)
from cavitylab.protocols.recording.journal import Journal


def test_a_second_run_of_the_same_name_is_refused(tmp_path, known, started):
    """Same second, title and id: the first run is not touched."""
    with RunWriter.create(tmp_path, "one", known.streams, run_id="x", started=started):
        with pytest.raises(RunExistsError, match="run_id"):
            RunWriter.create(tmp_path, "one", known.streams, run_id="x", started=started)


def test_a_live_run_is_not_recovered_by_its_readers(start_program, known, tmp_path):
    """While the writer lives, opening its run from elsewhere changes nothing."""
    process, pipe = start_program(
        "writing_program.py", root=str(tmp_path), seed=4, largest_block=5, pause=0.01
    )
    run = Run.open(pipe.recv())
    assert run.recovery.live and run.state == "running"
    assert process.is_alive() and run.verify().ok


def test_only_one_of_two_recoveries_works(writer, known):
    """The lock says who may: with it taken, the run counts as live."""
    writer.append("shot", known.shots(0, 5)).wait()
    with layout.try_writer_lock(layout.RunPaths(writer.path)) as free:
        assert not free


def test_no_run_and_a_newer_run_are_told_apart(tmp_path, writer, known):
    """A folder without a run, and a run from the future, each get their own error."""
    with pytest.raises(RunNotFoundError):
        Run.open(tmp_path / "nothing")
    writer.close()
    commit = writer.path / "data.zarr" / "zarr.json"
    document = json.loads(commit.read_text())
    document["attributes"]["cavitylab"]["format"] = 99
    commit.write_text(json.dumps(document))
    with pytest.raises(FormatVersionError, match="update"):
        Run.open(writer.path)


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_a_folder_that_cannot_be_written_is_named(start_program, tmp_path, known):
    """Creating a run there says which folder and what to do."""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o500)
    process, pipe = start_program("unprivileged_program.py", root=str(closed))
    kind, text = pipe.recv()
    assert kind == ReadOnlyFolderError.__name__
    assert str(closed) in text and "choose" in text.lower()


def test_a_disk_that_fills_up_loses_nothing_acknowledged(writer, known):
    """SQLite's own "disk is full": the caller is told, and every acknowledged shot is kept."""
    writer.append("shot", known.shots(0, 100)).wait()
    limit = writer._journal._db.execute("PRAGMA page_count").fetchone()[0]
    writer._journal._db.execute(f"PRAGMA max_page_count = {limit + 3}")
    tickets = [writer.append("shot", known.shots(100, 20_100))]
    with pytest.raises(DiskFullError, match="free"):
        tickets[0].wait(30)
    with pytest.raises(DiskFullError):
        writer.append("shot", known.shots(0, 1))
    with pytest.raises(OSError):
        writer.flush()
    acknowledged = writer.acknowledged["shot"]
    with pytest.raises(DiskFullError):
        writer.close()
    run = Run.open(writer.path)
    assert acknowledged == known.check_run(run) == 100
    assert run.state == "failed" and run.verify().ok


def test_room_is_made_once_before_giving_up(writer, known, monkeypatch):
    """A write refused once succeeds after publishing and deleting: nobody notices."""
    writer.append("shot", known.shots(0, 100)).wait()
    refused = []
    original = Journal.write

    def write(self, frames, delete_through=-1):
        if frames and not refused:
            refused.append(len(frames))
            raise sqlite3.OperationalError("database or disk is full")
        return original(self, frames, delete_through)

    monkeypatch.setattr(Journal, "write", write)
    writer.append("shot", known.shots(100, 200)).wait(30)
    assert refused
    writer.close()
    assert known.check_run(Run.open(writer.path)) == 200


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", [1, 4, 9])
def test_a_journal_that_fails_for_good_at_any_commit_keeps_what_it_acknowledged(
    writer, known, monkeypatch, number, call
):
    """From its k-th commit on the disk refuses: the caller is told, acknowledged rows stay."""
    original = Journal.write
    commits = []

    def failing(self, frames, delete_through=-1):
        commits.append(frames)
        if frames and len(commits) > call:
            raise OSError(number, os.strerror(number))
        return original(self, frames, delete_through)

    monkeypatch.setattr(Journal, "write", failing)
    with pytest.raises(StorageError):
        for k in range(100):
            writer.append("shot", known.shots(10 * k, 10 * k + 10)).wait(60)
    acknowledged = writer.acknowledged["shot"]
    with pytest.raises(StorageError):
        writer.append_row("shot", **{n: c[0] for n, c in known.shots(0, 1).items()})
    monkeypatch.undo()
    with pytest.raises(StorageError):
        writer.close()
    run = Run.open(writer.path)
    assert known.check_run(run) == acknowledged and run.verify().ok and run.state == "failed"


@pytest.mark.parametrize("call", range(0, 24, 6))
@pytest.mark.parametrize("operation", ["stage", "rename", "sync_directory"])
def test_an_error_at_any_call_of_the_publisher_loses_nothing(
    writer, known, monkeypatch, operation, call
):
    """ENOSPC at its k-th file operation, once: the next publish makes up for it."""
    original = getattr(layout.DurableFiles, operation)
    calls = []

    def failing(self, *arguments):
        calls.append(arguments)
        if len(calls) == call + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, *arguments)

    monkeypatch.setattr(layout.DurableFiles, operation, failing)
    for first in range(0, 500, 100):
        writer.append("shot", known.shots(first, first + 100)).wait()
        try:
            writer.flush(publish=True)
        except DiskFullError:
            assert known.check(Run.open(writer.path).records) <= first + 100
    writer.close()
    run = Run.open(writer.path)
    assert known.check_run(run) == 500 and run.verify().ok


def test_a_disk_that_stays_full_while_closing_leaves_a_run_to_recover(writer, known, monkeypatch):
    """`close` raises, every ticket is settled, and opening the run later completes it."""

    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    ticket = writer.append("shot", known.shots(0, 500))
    with monkeypatch.context() as patch:
        patch.setattr(layout.DurableFiles, "stage", full)
        with pytest.raises(DiskFullError):
            writer.close()
    assert ticket.done() and ticket.settled()
    run = Run.open(writer.path)
    assert known.check_run(run) == 500
    assert run.state == "complete" and run.verify().ok


def test_too_little_space_is_said_before_the_run_starts(tmp_path, known, monkeypatch):
    """Below the stop level no run is begun."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1000, 999, 1))
    with pytest.raises(DiskFullError, match="before starting"):
        RunWriter.create(tmp_path, "full", known.streams)


def test_a_disk_that_runs_low_is_said_and_one_that_is_nearly_full_stops_the_run(
    writer, known, monkeypatch, caplog
):
    """Below 5 % a warning, once; below 1 % recording ends while it still can cleanly."""
    free = [100]
    monkeypatch.setattr(publish_thread, "free_space", lambda paths: (free[0], 50, 10))
    monkeypatch.setattr(publish_thread, "SPACE_SECONDS", 0.0)
    writer.append("shot", known.shots(0, 10)).wait()
    free[0] = 40
    _until(lambda: "left" in caplog.text)
    writer.append("shot", known.shots(10, 20)).wait()
    free[0] = 5
    with pytest.raises(DiskFullError, match="acknowledged is kept"):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            writer.flush()
            writer.append("shot", known.shots(0, 0))
            time.sleep(0.01)
    with pytest.raises(DiskFullError):
        writer.close()
    run = Run.open(writer.path)
    assert known.check_run(run) == 20 and run.state == "failed"


def _until(condition) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.01)


def test_a_network_folder_is_refused(tmp_path, known, monkeypatch):
    """SQLite's log needs a local disk."""
    monkeypatch.setattr(
        "cavitylab.protocols.recording.creation.network_file_system", lambda path: "nfs4"
    )
    with pytest.raises(StorageError, match="nfs4"):
        RunWriter.create(tmp_path, "far", known.streams)
    assert layout.network_file_system(tmp_path) is None


def test_single_rows_and_blocks_mix_in_any_order(writer, known):
    """The quick way for single rows and the way for blocks fill one table."""
    rng = np.random.default_rng(4)
    row, tickets = 0, []
    while row < 5000:
        count = int(rng.choice([1, 1, 1, 1, 70]))
        rows = known.shots(row, row + count)
        if count == 1 and rng.random() < 0.9:
            tickets.append(writer.append_row("shot", **{n: c[0] for n, c in rows.items()}))
        else:
            tickets.append(writer.append("shot", rows))
        assert (tickets[-1].first, tickets[-1].end) == (row, row + count)
        row += count
    writer.close()
    assert all(ticket.done() for ticket in tickets)
    assert known.check_run(Run.open(writer.path)) == row


@pytest.mark.parametrize(
    "values",
    [{"status": 0}, {"status": 1.5}, {"counts": [1]}, {"counts": [1, 2**31]}, {"time": "now"}],
    ids=["status zero", "fraction", "short", "overflow", "text"],
)
def test_a_single_row_that_does_not_fit_is_refused_and_leaves_nothing(writer, known, values):
    """The quick way refuses what the other refuses, with the same error."""
    right = {n: c[0] for n, c in known.shots(0, 1).items()}
    with pytest.raises(SchemaError, match="stream 'shot'"):
        writer.append_row("shot", **{**right, **values})
    with pytest.raises(SchemaError, match="stream 'shot'"):
        writer.append_row("shot", **{**right, "extra": 1})
    with pytest.raises(SchemaError, match="stream 'shot'"):
        writer.append_row("shot", status=1)
    assert writer.append_row("shot", **right).first == 0


def test_all_tickets_are_settled_on_close(writer, known):
    """Closing acknowledges what was appended, whoever waits for it."""
    tickets = [writer.append("shot", known.shots(k, k + 1)) for k in range(200)]
    writer.close()
    assert all(ticket.done() for ticket in tickets)
    assert known.check_run(Run.open(writer.path)) == 200
    with pytest.raises(WriterClosedError):
        writer.append("shot", known.shots(0, 1))
    writer.close()


def test_a_stalled_disk_holds_the_caller_not_the_memory(tmp_path, known, monkeypatch):
    """The queue is bounded: `append` waits, and goes on when the disk does."""
    monkeypatch.setattr("cavitylab.protocols.recording.journal_thread.QUEUE_BYTES", 1000)
    go_on = threading.Event()
    original = Journal.write

    def stalled(self, frames, delete_through=-1):
        go_on.wait(30)
        return original(self, frames, delete_through)

    with RunWriter.create(tmp_path, "stalled", known.streams) as writer:
        monkeypatch.setattr(Journal, "write", stalled)
        appended = []
        thread = threading.Thread(
            target=lambda: [
                appended.append(writer.append("shot", known.shots(k, k + 1))) for k in range(300)
            ]
        )
        thread.start()
        thread.join(0.5)
        assert thread.is_alive() and len(appended) <= 60
        assert not appended[-1].done()
        with pytest.raises(TimeoutError):
            appended[-1].wait(0.01)
        go_on.set()
        thread.join(30)
    assert known.check_run(Run.open(writer.path)) == 300


def test_appends_from_several_threads_do_not_mix(tmp_path, known):
    """Blocks stay whole, and every ticket's rows are those of its own block."""
    with RunWriter.create(tmp_path, "threads", known.streams) as writer:
        tickets = []

        def append(thread: int) -> None:
            for k in range(50):
                first = 1000 * thread + 10 * k
                tickets.append((first, writer.append("shot", known.shots(first, first + 10))))

        threads = [threading.Thread(target=append, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    counts = Run.open(writer.path).load("shot")["counts"][:, 0]
    assert len(counts) == 2000
    for first, ticket in tickets:
        assert counts[ticket.first : ticket.end].tolist() == list(range(first, first + 10))


def test_durable_callbacks_hear_of_every_commit_and_may_fail(writer, known):
    """Acknowledged counts only grow, end at all rows, and a broken callback stops nothing."""
    heard: list[int] = []
    writer.on_durable(lambda rows: heard.append(rows["shot"]))
    writer.on_durable(lambda rows: 1 / 0)
    for k in range(50):
        writer.append("shot", known.shots(k, k + 1))
    writer.close()
    assert heard == sorted(heard) and heard[-1] == 50


@pytest.mark.parametrize(
    ("error", "state"),
    [(ValueError("a fault"), "failed"), (KeyboardInterrupt(), "stopped")],
    ids=["fault", "ctrl-c"],
)
def test_leaving_by_an_exception_keeps_the_rows_and_says_how_it_ended(
    tmp_path, known, error, state
):
    """The exception goes on to the caller; the run is whole and marked."""
    with pytest.raises(type(error)):
        with RunWriter.create(tmp_path, "left", known.streams) as writer:
            writer.append("shot", known.shots(0, 10))
            raise error
    run = Run.open(writer.path)
    assert run.state == state and known.check_run(run) == 10


def test_content_without_a_json_form_is_refused_by_name(writer):
    """An annotation must be JSON; what is not is named."""
    with pytest.raises(SchemaError, match=r"event\.laser"):
        writer.annotate(laser=object())


def test_windows_has_no_directory_flush(tmp_path, known, monkeypatch):
    """There, directories are never opened, and the run is the same."""
    monkeypatch.setattr(layout, "sys", SimpleNamespace(platform="win32"))
    original = os.open
    opened: list[str] = []

    def spy(path, *arguments, **keywords):
        opened.append(os.fspath(path))
        return original(path, *arguments, **keywords)

    monkeypatch.setattr(layout.os, "open", spy)
    with RunWriter.create(tmp_path, "windows", known.streams) as writer:
        writer.append("shot", known.shots(0, 10))
    assert known.check_run(Run.open(writer.path)) == 10
    assert not any(os.path.isdir(path) for path in opened)


def test_every_error_is_a_recording_error():
    """One `except RecordingError` is enough for all of them."""
    assert issubclass(DiskFullError, RecordingError) and issubclass(DiskFullError, OSError)
    assert issubclass(RunExistsError, FileExistsError)
