"""Going on with a run: the next row follows the last one, whatever happened before."""

from __future__ import annotations

import numpy as np
import pytest

from cavitylab.protocols.recording import (
    Field,
    Run,
    RunLockedError,
    RunNotFoundError,
    RunWriter,
    SchemaError,
    Stream,
)
from cavitylab.protocols.recording.journal import Journal
from cavitylab.protocols.recording.layout import RunPaths


def _run(tmp_path, known, state="stopped"):
    """A run of 1500 shots that has ended."""
    writer = RunWriter.create(tmp_path, "first", known.streams)
    writer.append_row("point", detuning=1.0)
    writer.append("shot", known.shots(0, 1500))
    writer.annotate(note="before")
    writer.close(state)
    return writer.path


@pytest.mark.parametrize("state", ["complete", "stopped", "failed"])
def test_a_resumed_run_goes_on_with_the_next_row(tmp_path, known, state):
    """Rows, points and events of both parts are one table each; the way it ended is kept."""
    path = _run(tmp_path, known, state)
    with RunWriter.resume(path) as writer:
        assert writer.appended["shot"] == 1500 == writer.acknowledged["shot"]
        assert Run.open(path).state == "running"
        assert writer.append("shot", known.shots(1500, 1600)).first == 1500
        writer.append_row("point", detuning=2.0)
        writer.flush()
        assert known.check(Run.open(path).load("shot")) == 1600
    run = Run.open(path)
    assert known.check_run(run) == 1600 and run.verify().ok and run.state == "complete"
    assert run.load("point")["detuning"].tolist() == [1.0, 2.0]
    assert [event["kind"] for event in run.events()] == ["note", "resumed"]
    assert run.events()[1]["previous_state"] == state


def test_a_run_may_be_resumed_again_and_again(tmp_path, known):
    """Chunks that are half full go on filling; no seam shows."""
    path = _run(tmp_path, known)
    for first in range(1500, 2000, 100):
        with RunWriter.resume(path, known.streams) as writer:
            writer.append("shot", known.shots(first, first + 100))
    assert known.check_run(Run.open(path)) == 2000 and Run.open(path).verify().ok


def test_a_live_run_is_not_resumed(writer):
    """Whoever writes it goes on undisturbed."""
    with pytest.raises(RunLockedError, match="live"):
        RunWriter.resume(writer.path)


def test_nothing_is_not_resumed(tmp_path):
    """A folder without a run says so."""
    with pytest.raises(RunNotFoundError):
        RunWriter.resume(tmp_path)


def test_a_stream_that_changed_is_refused_and_the_run_stays_as_it_was(tmp_path, known):
    """Same schema: another type of a field is an error, and the lock is free again."""
    path = _run(tmp_path, known)
    with pytest.raises(SchemaError, match="'point'"):
        RunWriter.resume(path, [Stream("point", [Field("detuning", "f4")])])
    assert Run.open(path).state == "stopped"
    RunWriter.resume(path).close()


def test_a_new_stream_may_come_with_a_resumed_run(tmp_path, known):
    """Its rows begin at zero; the other streams go on."""
    path = _run(tmp_path, known)
    monitor = Stream("monitor", [Field("temperature", "f8", unit="K")])
    with RunWriter.resume(path, [monitor]) as writer:
        assert writer.append_row("monitor", temperature=300.0).first == 0
    with RunWriter.resume(path) as writer:
        assert writer.append_row("monitor", temperature=301.0).first == 1
    run = Run.open(path)
    assert run.records.temperature.values.tolist() == [300.0, 301.0]
    assert known.check_run(run) == 1500 and run.verify().ok


def test_a_killed_run_is_recovered_before_it_goes_on(start_program, known, tmp_path):
    """Every acknowledged row of the dead writer comes before the first of the new one."""
    process, pipe = start_program(
        "writing_program.py", root=str(tmp_path), seed=5, largest_block=50, pause=0.001
    )
    path, acknowledged = pipe.recv(), 0
    while acknowledged < 500:
        acknowledged = pipe.recv()
    process.kill()
    process.join()
    with RunWriter.resume(path) as writer:
        first = writer.appended["shot"]
        assert first >= acknowledged
        writer.append("shot", known.shots(first, first + 10))
    assert known.check_run(Run.open(path)) == first + 10


def test_a_resume_that_dies_before_it_is_done_leaves_the_run_as_it_ended(tmp_path, known):
    """A new journal without a row changes nothing."""
    path = _run(tmp_path, known, "stopped")
    paths = RunPaths.of(path)
    schema = {stream.name: stream for stream in known.streams}
    paths.staging.mkdir()
    Journal.create(paths.journal, "x", schema).close()
    run = Run.open(path)
    assert run.state == "stopped" and known.check_run(run) == 1500 and run.verify().ok
    assert np.array_equal(run.gaps, [])
