"""Resuming: what is compared before, what is refused, and that only the missing is taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.clock import VirtualClock
from cavitylab.protocols.engine import ResumeError, State, read_past, resume_options, run
from cavitylab.protocols.engine.interrupts import Interrupts, Request
from cavitylab.protocols.engine.run_time import wait_until
from cavitylab.protocols.recording import Field, Run, RunWriter, Stream

SETTINGS: dict[str, Any] = {"shots": 200, "block": 50}


def interrupted(station: Any, protocol: Any, data: Path, *, after: int = 2, **orders: Any) -> Path:
    """A run that failed when the trigger after `after` blocks was due; its directory."""

    def fail() -> None:
        if station.count("timing.fire") > after:
            raise ZeroDivisionError("a bug in a driver")

    station.hooks["timing.fire"] = fail
    with pytest.raises(ZeroDivisionError):
        run(protocol, station, data=data, **orders)
    (found,) = data.glob("*/*/data.zarr")
    return found.parent


@pytest.fixture
def again(station):
    """A fresh laboratory for the second part, opened as the run's options ask."""

    def build(path: Path) -> Any:
        fresh = type(station)(seed=2, options=resume_options(path))
        return fresh

    return build


def test_only_the_missing_shots_are_taken(station, again, ramsey, tmp_path):
    """Two blocks of four are on disk: set-points are restored, two triggers follow."""
    path = interrupted(station, ramsey(**SETTINGS), tmp_path)
    first = Run.open(path).load("shot")["counts"]
    second = again(path)
    result = run(ramsey(**SETTINGS), second, resume=path)
    assert result.state is State.DONE and result.path == path and result.shots == 200
    assert second.count("timing.fire") == 2 and second.count("gradient.set") == 1
    counts = result.records["counts"].values
    assert len(counts) == 200 and np.array_equal(counts[:100], first)
    assert result.estimate.shots == 200 and result.run.state == "complete"
    times = result.records["time"].values.astype("int64")
    assert np.all(np.diff(times) > 0)
    kinds = [event["kind"] for event in result.run.events()]
    assert "resumed" in kinds and kinds[-1] == "finished"


def test_every_difference_is_named(station, again, ramsey, tmp_path):
    """Setting, seed, stop condition, a file of the station: all in one refusal."""
    path = interrupted(station, ramsey(**SETTINGS), tmp_path, seed=7, until="shots >= 150")
    second = again(path)
    second.files = {"station.yaml": "2" * 64, "coil.yaml": "3" * 64}
    with pytest.raises(ResumeError) as caught:
        run(ramsey(shots=300, block=50), second, resume=path, seed=8, until="shots >= 9")
    for part in (
        "setting shots was 200 and is now 300",
        "its seed was 7 and is now 8",
        "its stop condition was 'shots >= 150' and is now 'shots >= 9'",
        "file station.yaml has changed since",
        "file coil.yaml was not part of its station",
    ):
        assert part in str(caught.value)
    assert second.diary == [] and Run.open(path).state == "failed"


def test_seed_and_stop_condition_come_from_the_run(station, again, ramsey, tmp_path):
    """What is not given again is as it was."""
    path = interrupted(station, ramsey(**SETTINGS), tmp_path, seed=7, until="shots >= 150")
    result = run(ramsey(**SETTINGS), again(path), resume=path)
    assert result.shots == 150 and result.reason == "reached shots >= 150"


def test_a_rehearsal_must_stand_where_it_was_interrupted(station, again, ramsey, tmp_path):
    """A laboratory that would draw the same random numbers again is refused, with the remedy."""
    path = interrupted(station, ramsey(**SETTINGS), tmp_path)
    with pytest.raises(ResumeError, match=r"shot=100.*resume_options"):
        run(ramsey(**SETTINGS), type(station)(), resume=path)
    used = again(path)
    used.clock.wait(100.0)
    with pytest.raises(ResumeError, match="has been used since it was opened"):
        run(ramsey(**SETTINGS), used, resume=path)
    hardware = again(path)
    hardware.rehearsal = False
    with pytest.raises(ResumeError, match="it was a rehearsal, this station is on hardware"):
        run(ramsey(**SETTINGS), hardware, resume=path)


def test_a_complete_run_has_nothing_to_resume(station, ramsey, tmp_path):
    """Said, not repeated."""
    result = run(ramsey(shots=50, block=50), station, data=tmp_path)
    with pytest.raises(ResumeError, match="is complete"):
        read_past(result.path)


def test_a_store_without_blocks_is_refused(tmp_path):
    """A run that the engine did not take does not say which step took what."""
    with RunWriter.create(tmp_path, "by hand", [Stream("shot", [Field("status", "u1")])]) as writer:
        with pytest.raises(ResumeError, match="being written"):
            read_past(writer.path)
        writer.close("stopped")
    with pytest.raises(ResumeError, match="no table of blocks"):
        read_past(writer.path)


def test_a_protocol_that_asks_for_something_else_is_found_out(station, again, ramsey, tmp_path):
    """The same settings, but other code behind them: refused before anything is touched."""
    path = interrupted(station, ramsey(**SETTINGS), tmp_path)
    second = again(path)
    protocol = ramsey(**SETTINGS)
    other = ramsey(**SETTINGS, bias_phase=0.2).sequence()
    protocol.sequence = lambda kind=0: other
    with pytest.raises(ResumeError, match="does not ask for the same again: step 2"):
        run(protocol, second, resume=path)
    assert second.diary == ["make_safe"]


def test_a_stopped_run_goes_on_too(station, again, ramsey, tmp_path):
    """Ctrl-C yesterday, resumed today; a run with nothing left to take touches no output."""

    def stop() -> None:
        if station.count("detector.read") == 1:
            interrupts[0].ask(Request.STOP_AFTER_BLOCK)

    interrupts: list[Interrupts] = []
    original = Interrupts.__init__

    def remember(self: Interrupts, **options: Any) -> None:
        interrupts.append(self)
        original(self, **options)

    station.hooks["detector.read"] = stop
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Interrupts, "__init__", remember)
        result = run(ramsey(**SETTINGS), station, data=tmp_path)
    assert result.state is State.STOPPED and result.shots == 50
    second = run(ramsey(**SETTINGS), again(result.path), resume=result.path)
    assert second.state is State.DONE and second.shots == 200


def test_a_run_killed_during_its_fit_touches_nothing_when_resumed(
    station, again, ramsey, tmp_path, monkeypatch
):
    """All shots are there: the estimate is made, nothing is set, armed or fired."""
    protocol = ramsey(**SETTINGS)
    kind = type(protocol.estimator(station.calibrations))
    with monkeypatch.context() as patch:
        patch.setattr(kind, "estimate", lambda self, level: 1 / 0)
        with pytest.raises(Exception, match="the fit failed"):
            run(protocol, station, data=tmp_path)
    (found,) = tmp_path.glob("*/*/data.zarr")
    second = again(found.parent)
    result = run(ramsey(**SETTINGS), second, resume=found.parent)
    assert result.shots == 200 and result.estimate.shots == 200
    assert second.diary == ["make_safe"]


def test_a_virtual_clock_is_brought_to_a_time_to_the_last_bit():
    """From anywhere before, whatever the numbers (2000 pairs, seeded)."""
    rng = np.random.default_rng(3)
    for start, span in zip(rng.uniform(0, 50, 2000), rng.exponential(1e3, 2000), strict=True):
        clock = VirtualClock(float(start))
        wait_until(clock, float(start + span))
        assert clock.now() == float(start + span)
