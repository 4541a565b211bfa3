"""A flipped bit in SQLite's write-ahead log: noticed, and the rows behind it kept.

SQLite itself stops reading its log at the first bad checksum and drops the rest in silence.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct

import numpy as np
import pytest

from cavitylab.protocols.recording import MISSING, Run, RunWriter
from cavitylab.protocols.recording.journal_log import LogCheck, check_log


@pytest.fixture
def dead(tmp_path, known, monkeypatch):
    """A run as a kill leaves it: 40 frames of 50 shots in the log, none of them published."""
    monkeypatch.setattr("cavitylab.protocols.recording.publish_thread.INTERVAL_SECONDS", 600)
    writer = RunWriter.create(tmp_path / "alive", "dead", known.streams)
    for first in range(0, 2000, 50):
        writer.append("shot", known.shots(first, first + 50)).wait()
    copy = tmp_path / "copy" / "run"
    shutil.copytree(writer.path, copy)
    writer.close()
    return copy


def _flip(path, byte, bit=0x10):
    data = bytearray(path.read_bytes())
    data[byte] ^= bit
    path.write_bytes(data)


def _log(run):
    return run / "journal.sqlite-wal"


def _pages(run):
    """Where the pages of the log start, frame header first."""
    data = _log(run).read_bytes()
    (size,) = struct.unpack(">I", data[8:12])
    return range(32, len(data) - size, size + 24)


def test_a_log_as_a_kill_leaves_it_is_sound(dead, known):
    """Nothing to report, nothing changed."""
    before = _log(dead).read_bytes()
    assert check_log(dead / "journal.sqlite") == LogCheck()
    assert _log(dead).read_bytes() == before
    assert known.check_run(Run.open(dead)) == 2000


@pytest.mark.parametrize("place", ["page", "checksum", "salt", "header", "last page"])
def test_a_flipped_bit_in_the_log_costs_at_most_the_page_it_is_on(dead, known, place):
    """Rows behind it are there; lost ones have status 255; opening says what it found."""
    pages = _pages(dead)
    middle = pages[len(pages) // 2]
    # In a page: inside the payload, which SQLite fills from the end.
    where = {
        "page": middle + 24 + 4000, "checksum": middle + 16, "salt": middle + 8,
        "header": 17, "last page": pages[-1] + 24 + 4090,
    }  # fmt: skip
    _flip(_log(dead), where[place])
    run = Run.open(dead)
    assert any("journal's log" in line for line in run.recovery.repaired)
    rows = run.load("shot")
    good = rows["status"] != MISSING
    assert good.sum() >= 1900
    if place != "last page":  # its frame has no successor that would show how long it was
        assert len(good) == 2000
    right = known.shots(0, len(good))
    for name, column in right.items():
        assert np.array_equal(rows[name][good], column[good])
    assert good.all() or not run.verify().ok
    if place in ("checksum", "salt", "header"):
        assert good.all()


def test_every_single_bit_is_noticed_or_harmless(dead, known, tmp_path):
    """Bits at random places of the log: no run opens with rows silently gone (seeded)."""
    rng = np.random.default_rng(8)
    size = _log(dead).stat().st_size
    for k, byte in enumerate(rng.integers(0, size, 25)):
        run = tmp_path / str(k)
        shutil.copytree(dead, run)
        _flip(_log(run), int(byte), 1 << int(rng.integers(8)))
        opened = Run.open(run)
        rows = opened.load("shot")
        good = rows["status"] != MISSING
        right = known.shots(0, len(good))
        assert all(np.array_equal(rows[name][good], right[name][good]) for name in right)
        assert good.sum() == 2000 or not opened.verify().ok, f"byte {byte}"


def test_without_sqlites_index_the_loss_is_said(dead, known):
    """A run copied without its `-shm` file: what lies behind the bit is lost, and reported."""
    (dead / "journal.sqlite-shm").unlink()
    pages = _pages(dead)
    _flip(_log(dead), pages[len(pages) // 2] + 500)
    run = Run.open(dead)
    assert known.check_run(run) < 2000
    verification = run.verify()
    assert not verification.ok and "commits lie behind it" in verification.problems[0]
    assert (dead / "journal.damaged.sqlite").exists()


def test_a_log_cut_short_is_said(dead, known):
    """Pages that SQLite's index knows of and the file has not are lost, aloud."""
    data = _log(dead).read_bytes()
    _log(dead).write_bytes(data[: len(data) * 2 // 3])
    run = Run.open(dead)
    assert known.check_run(run) < 2000
    assert "pages shorter" in run.verify().problems[0]


def test_a_transaction_cut_by_a_power_failure_is_no_damage(tmp_path):
    """Pages after the last flush that arrived out of order were never acknowledged."""
    path = tmp_path / "journal.sqlite"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE t (x)")
    db.execute("INSERT INTO t VALUES (1)")
    before = path.with_name("journal.sqlite-shm").read_bytes()
    db.execute("INSERT INTO t VALUES (?)", (b"x" * 20_000,))
    log = path.with_name("journal.sqlite-wal").read_bytes()
    cut = tmp_path / "cut"
    cut.mkdir()
    shutil.copy(path, cut / path.name)
    db.close()
    (cut / "journal.sqlite-shm").write_bytes(before)
    torn = bytearray(log)
    torn[-3 * 4120 : -2 * 4120] = bytes(4120)
    (cut / "journal.sqlite-wal").write_bytes(torn)
    assert check_log(cut / "journal.sqlite") == LogCheck()
    (cut / "journal.sqlite-shm").unlink()
    found = check_log(cut / "journal.sqlite")
    assert found.loss is None and "torn" in str(found.doubt)
