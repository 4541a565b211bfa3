"""Damaged files: said aloud, never passed on as data, and never in the way of the rest."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from cavitylab.protocols.recording import MISSING, DamagedRunError, Run
from cavitylab.protocols.recording.creation import create_run
from cavitylab.protocols.recording.frames import encode, pack
from cavitylab.protocols.recording.publisher import Publisher


@pytest.fixture
def dead(tmp_path, known, started):
    """A run of five frames of 100 shots whose writer is gone; the first two are published."""
    made = create_run(tmp_path, "dead", known.streams, {}, "0", started)
    shot = made.schema["shot"]
    for seq in range(5):
        rows = list(encode(shot, known.shots(100 * seq, 100 * seq + 100)))
        made.journal.write([pack(shot, 100 * seq, rows, seq)])
        if seq == 1:
            Publisher.open(made.paths, made.journal.frames_after, made.schema).publish()
    made.journal.close()
    made.lock.release()
    return made.paths


def _change_frame(path: Path, seq: int, change) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        (payload,) = db.execute("SELECT payload FROM frame WHERE seq = ?", (seq,)).fetchone()
        db.execute("UPDATE frame SET payload = ? WHERE seq = ?", (change(payload), seq))


def _flip(data: bytes, bit: int) -> bytes:
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


@pytest.mark.parametrize("seq", [2, 3, 4])
def test_a_flipped_bit_in_a_frame_is_a_gap(dead, known, seq):
    """The frame's shots get status 255 and an entry in `gaps`; all others are untouched."""
    _change_frame(dead.journal, seq, lambda payload: _flip(payload, 1001))
    run = Run.open(dead.root)
    lost = np.zeros(500, bool)
    lost[100 * seq : 100 * seq + 100] = True
    rows, right = run.load("shot"), known.shots(0, 500)
    assert np.array_equal(rows["status"] == MISSING, lost)
    for name, column in right.items():
        assert np.array_equal(rows[name][~lost], column[~lost])
    (gap,) = run.gaps
    assert (gap["stream"], gap["first"], gap["end"]) == ("shot", 100 * seq, 100 * seq + 100)
    verification = run.verify()
    assert not verification.ok and f"rows {100 * seq}" in verification.problems[0]


def test_a_frame_cut_short_is_a_gap_of_known_length(dead):
    """The next sound frame shows how many shots are missing."""
    _change_frame(dead.journal, 3, lambda payload: payload[:50])
    run = Run.open(dead.root)
    status = run.load("shot")["status"]
    assert len(status) == 500 and np.all(status[300:400] == MISSING) and status[400] != MISSING


def test_a_deleted_frame_is_a_gap(dead):
    """Rows that ought to be in the journal and are not count as lost, not as never taken."""
    with contextlib.closing(sqlite3.connect(dead.journal, isolation_level=None)) as db:
        db.execute("DELETE FROM frame WHERE seq = 2")
    run = Run.open(dead.root)
    assert np.all(run.load("shot")["status"][200:300] == MISSING)
    assert not run.verify().ok


def test_a_missing_journal_leaves_the_published_rows(dead, known):
    """Without its journal a dead run keeps what was published, and says that more may be lost."""
    dead.journal.unlink()
    run = Run.open(dead.root)
    assert known.check_run(run) == 200
    assert run.state == "interrupted"
    assert "journal was missing" in run.verify().problems[0]


@pytest.mark.parametrize("size", [0, 50, 3000])
def test_a_truncated_journal_leaves_the_published_rows(dead, known, size):
    """A journal that SQLite cannot read is set aside for experts; the run opens all the same."""
    dead.journal.write_bytes(dead.journal.read_bytes()[:size])
    run = Run.open(dead.root)
    assert known.check_run(run) >= 200
    assert not run.verify().ok
    assert dead.damaged_journal.exists() and not dead.journal.exists()
    assert Run.open(dead.root).gaps == run.gaps


def test_damage_inside_the_journal_file_spares_the_other_frames(dead, known):
    """Garbage over one page of the journal costs the frames on it, and only those."""
    data = bytearray(dead.journal.read_bytes())
    page = int.from_bytes(data[16:18], "big")
    where = data.find(known.shots(300, 400)["counts"].astype("<i4").tobytes()[:64])
    start = where // page * page
    data[start : start + page] = b"\xff" * page
    dead.journal.write_bytes(bytes(data))
    run = Run.open(dead.root)
    rows = run.load("shot")
    good = rows["status"] != MISSING
    assert good[:200].all() and good.sum() >= 300
    right = known.shots(0, len(good))
    assert all(np.array_equal(rows[name][good], right[name][good]) for name in right)
    assert not run.verify().ok


@pytest.mark.parametrize("name", ["time", "status", "counts", "provenance_json"])
def test_a_flipped_bit_in_a_chunk_is_found(dead, name):
    """Every chunk has a checksum: `verify` names the array."""
    run = Run.open(dead.root)
    assert run.verify().ok
    (chunk,) = (dead.data / name).glob("c.*")
    chunk.write_bytes(_flip(chunk.read_bytes(), 77))
    problems = run.verify().problems
    assert problems and name in problems[0]


def test_a_missing_chunk_is_found(dead):
    """All chunks are written, so one that is not there was lost."""
    run = Run.open(dead.root)
    (dead.data / "counts" / "c.0.0").unlink()
    assert "c.0.0 of array 'counts' is missing" in run.verify().problems[0]


@pytest.mark.parametrize("harm", ["flip", "remove"])
def test_a_damaged_last_chunk_does_not_stop_recovery(dead, known, harm):
    """Its rows become missing, those in the journal are published, the rest stays."""
    chunk = dead.data / "counts" / "c.0.0"
    if harm == "flip":
        chunk.write_bytes(_flip(chunk.read_bytes(), 99))
    else:
        chunk.unlink()
    run = Run.open(dead.root)
    rows = run.load("shot")
    assert np.all(rows["status"][:200] == MISSING)
    assert np.array_equal(rows["counts"][200:], known.shots(200, 500)["counts"])
    assert run.gaps and not run.verify().ok


def test_stray_temporaries_are_swept_away(dead, known):
    """What a killed publisher left in `staging` neither confuses readers nor stays."""
    (dead.staging / "123-0.tmp").write_bytes(b"half a chunk")
    run = Run.open(dead.root)
    assert known.check_run(run) == 500
    assert not dead.staging.exists()
    assert "1 temporary files removed" in run.recovery.repaired


def test_root_metadata_that_is_not_json_is_refused_by_name(dead):
    """The one file that must be whole is named when it is not."""
    dead.commit.write_text("{")
    with pytest.raises(DamagedRunError, match=r"zarr\.json"):
        Run.open(dead.root)


def test_lagging_array_metadata_is_renewed_by_recovery(dead, known):
    """A publisher killed right after its commit leaves arrays' own metadata behind."""
    path = dead.data / "counts" / "zarr.json"
    stale = json.loads(path.read_text())
    stale["shape"][0] = 0
    path.write_text(json.dumps(stale))
    run = Run.open(dead.root)
    assert known.check_run(run) == 500 and run.verify().ok
    assert json.loads(path.read_text())["shape"] == [500, 2]
