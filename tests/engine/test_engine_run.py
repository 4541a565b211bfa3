"""The engine on doubles: order of actions, repeats, guards, stop conditions, the safe state."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.errors import InstrumentError, LinkError
from cavitylab.instruments.roles.base import ReadingsMismatch, SafeResult
from cavitylab.protocols.engine import (
    ApparatusRefusal,
    EstimateFailed,
    GuardError,
    MissingRole,
    State,
    UntilError,
    run,
    stored_beliefs,
)
from cavitylab.protocols.engine import events as heard
from cavitylab.protocols.recording import Run, RunWriter, StorageError
from cavitylab.protocols.sequence import SequenceError

SETTINGS: dict[str, Any] = {"shots": 200, "block": 50}


def failing(error: BaseException, times: int = 10**6) -> Callable[[], None]:
    """An action that fails the first `times` times."""
    left = [times]

    def act() -> None:
        if left[0] > 0:
            left[0] -= 1
            raise error

    return act


def only_run(data: Path) -> Run:
    """The one run in a data folder."""
    (found,) = data.glob("*/*/data.zarr")
    return Run.open(found.parent)


def kinds(run_: Run) -> list[str]:
    """The kinds of a run's events, in order."""
    return [event["kind"] for event in run_.events()]


def test_a_block_is_uploaded_armed_fired_and_read_in_this_order(station, ramsey, tmp_path):
    """Idle upload first, the counter armed before the tables, both before the trigger."""
    run(ramsey(shots=50, block=50), station, data=tmp_path)
    actions = [line for line in station.diary if line != "health"]
    assert actions == [
        "gradient.set",
        "drive.upload",
        "coupling.upload",
        "timing.upload",
        "detector.upload",
        "detector.arm",
        "drive.arm",
        "coupling.arm",
        "timing.fire",
        "timing.wait_done",
        "timing.check",
        "detector.read",
        "make_safe",
    ]


def test_a_run_answers_and_keeps_everything(station, ramsey, tmp_path):
    """The result, the records, the events and the file of fits tell one story."""
    result = run(ramsey(**SETTINGS), station, data=tmp_path, tags=("night",))
    assert result.state is State.DONE and result.shots == 200 and result.unsafe == ()
    phase = result.estimate["phase"]
    assert abs(phase.value - result.truth["phase"]) < 5 * phase.std  # false alarm 6e-7
    assert result.bounds.cramer_rao_std < result.bounds.standard_quantum_limit_std
    limit = result.bounds.standard_quantum_limit_std
    assert result.gain_db == pytest.approx(20 * np.log10(limit / phase.std))
    assert result.records["counts"].shape == (200, 2)
    assert result.records["status"].values.tolist() == [1] * 200
    assert list(result.records["counts"]["detector"].values) == ["ensemble_1", "ensemble_2"]
    times = result.records["time"].values.astype("int64")
    assert np.all(np.diff(times[:50]) == 50_000_000)
    stored = result.run
    assert stored.state == "complete" and stored.verify().ok
    assert kinds(stored)[0] == "checkpoint" and kinds(stored)[-1] == "finished"
    fits = json.loads((result.path / "estimates.json").read_text())
    assert fits["estimate"]["estimates"]["phase"]["value"] == phase.value
    assert stored.provenance["parameters"]["shots"] == 200
    assert stored.provenance["tags"] == ["night"]


def test_a_stored_run_is_fitted_again_with_the_beliefs_it_was_taken_with(station, ramsey, tmp_path):
    """Refitting the stored counts gives the same phase to the last digit that matters."""
    protocol = ramsey(**SETTINGS)
    result = run(protocol, station, data=tmp_path)
    beliefs = stored_beliefs(result.run)
    assert np.allclose(beliefs.covariance, protocol.beliefs(station.calibrations).covariance)
    again = protocol.estimator(station.calibrations)
    again.update(result.run.load("shot"))
    assert again.estimate()["phase"].value == pytest.approx(
        result.estimate["phase"].value, abs=1e-9
    )


def test_subscribers_hear_all_and_cannot_disturb(station, ramsey, tmp_path):
    """One that raises is left out from then on; the run and the others go on."""
    events: list[heard.RunEvent] = []
    calls = []

    def broken(event: heard.RunEvent) -> None:
        calls.append(event)
        raise RuntimeError("the page crashed")

    result = run(ramsey(**SETTINGS), station, data=tmp_path, subscribers=(broken, events.append))
    assert result.state is State.DONE and len(calls) == 1
    assert isinstance(events[0], heard.RunStarted) and events[0].planned == 200
    assert isinstance(events[-1], heard.RunFinished) and events[-1].state is State.DONE
    acknowledged = [e.acknowledged for e in events if isinstance(e, heard.BlockRecorded)]
    assert acknowledged == [50, 100, 150, 200]
    progress = [e for e in events if isinstance(e, heard.Progress)]
    # 200 shots of 50 ms, and the rehearsal's rest of 0.1 s before each of the 5 steps
    assert progress[-1].remaining == 0 and progress[0].remaining == pytest.approx(7.8)
    assert progress[-1].elapsed == pytest.approx(10.5)


def test_acknowledged_shots_are_on_disk_when_they_are_announced(station, ramsey, tmp_path):
    """Another reader finds at least as many shots as were acknowledged, at that very moment."""
    seen = []

    def look(event: heard.RunEvent) -> None:
        if isinstance(event, heard.BlockRecorded):
            shots = len(only_run(tmp_path).load("shot")["status"])
            seen.append(shots >= event.acknowledged)

    run(ramsey(**SETTINGS), station, data=tmp_path, subscribers=(look,))
    assert seen == [True] * 4


def test_a_block_with_missing_readings_is_repeated(station, ramsey, tmp_path):
    """Rejected twice, taken the third time; nothing of a rejected block is recorded as a shot."""
    station.hooks["detector.read"] = failing(ReadingsMismatch("199 readings instead of 200"), 2)
    result = run(ramsey(**SETTINGS), station, data=tmp_path)
    assert result.shots == 200 and len(result.records["status"]) == 200
    assert kinds(result.run).count("rejected") == 2
    assert station.count("timing.safe") == 2  # no burst runs on while the block is repeated


def test_a_block_that_never_works_fails_the_run_safely(station, ramsey, tmp_path):
    """After three repeats the error is raised, with the place of the data; all is made safe."""
    station.hooks["timing.fire"] = failing(LinkError("no answer"))
    with pytest.raises(LinkError, match="no answer"):
        run(ramsey(**SETTINGS), station, data=tmp_path)
    assert station.count("timing.fire") == 4
    assert station.diary[-1] == "make_safe" and station.count("make_safe") == 1
    stored = only_run(tmp_path)
    assert stored.state == "failed" and kinds(stored)[-1] == "failed"


def test_what_the_simulated_apparatus_refuses_is_not_tried_again(station, ramsey, tmp_path):
    """A shot without an honest answer stops a rehearsal at once and says why."""
    station.faults = ["the hold of 1 ms is too short"]
    station.hooks["detector.read"] = failing(ReadingsMismatch("0 readings instead of 100"))
    with pytest.raises(ApparatusRefusal, match="too short"):
        run(ramsey(**SETTINGS), station, data=tmp_path)
    assert station.count("timing.fire") == 1 and station.diary[-1] == "make_safe"


@pytest.mark.parametrize(
    "action", ["gradient.set", "timing.upload", "drive.arm", "timing.fire", "timing.wait_done"]
)
def test_any_exception_of_a_driver_ends_in_the_safe_state(station, ramsey, tmp_path, action):
    """Whatever is raised wherever: safe once, last of all, and the error gets through."""
    station.hooks[action] = failing(ZeroDivisionError("a bug in a driver"))
    events: list[heard.RunEvent] = []
    with pytest.raises(ZeroDivisionError):
        run(ramsey(**SETTINGS), station, data=tmp_path, subscribers=(events.append,))
    assert station.diary[-1] == "make_safe" and station.count("make_safe") == 1
    assert isinstance(events[-1], heard.RunFinished) and events[-1].state is State.FAILED
    assert only_run(tmp_path).state == "failed"


def test_even_system_exit_is_made_safe_first(station, ramsey, tmp_path):
    """SystemExit out of a driver is no shortcut past the safe state."""
    station.hooks["timing.check"] = failing(SystemExit(7))
    with pytest.raises(SystemExit):
        run(ramsey(**SETTINGS), station, data=tmp_path)
    assert station.diary[-1] == "make_safe"


def test_what_could_not_be_made_safe_is_said(station, ramsey, tmp_path):
    """A good run reports it in its result, a failed one in a note of its error."""
    station.safe_results = [
        SafeResult("gradient", False, "no answer"),
        SafeResult("drive", True, ""),
    ]
    result = run(ramsey(shots=50, block=50), station, data=tmp_path)
    assert result.unsafe == ("gradient: no answer",)
    station.hooks["timing.fire"] = failing(ValueError("bug"))
    with pytest.raises(ValueError) as caught:
        run(ramsey(shots=50, block=50), station, data=tmp_path)
    assert "NOT SAFE: gradient: no answer" in caught.value.__notes__


def test_a_failing_recorder_stops_the_run_safely(station, ramsey, tmp_path, monkeypatch):
    """Data that cannot be kept are not taken: safe state, and the disk's error."""
    append = RunWriter.append

    def full(self: RunWriter, stream: str, columns: Any) -> Any:
        if stream == "shot" and station.count("timing.fire") == 3:
            raise StorageError("the disk failed")
        return append(self, stream, columns)

    monkeypatch.setattr(RunWriter, "append", full)
    with pytest.raises(StorageError, match="disk failed"):
        run(ramsey(**SETTINGS), station, data=tmp_path)
    assert station.count("timing.fire") == 3 and station.diary[-1] == "make_safe"
    assert only_run(tmp_path).shots == 100


def test_a_lost_lock_marks_the_block_bad_and_repeats_it(station, ramsey, tmp_path):
    """The bad shots stay on record with status 4, and do not count."""
    fired = [0]

    def third_block() -> None:
        fired[0] += 1
        station.trouble = "not locked" if fired[0] == 3 else ""

    def relock() -> None:
        if station.clock.now() > 15.0:
            station.trouble = ""

    station.hooks["timing.fire"] = third_block
    station.hooks["health"] = relock
    result = run(ramsey(**SETTINGS), station, data=tmp_path)
    status = result.records["status"].values
    assert result.shots == 200 and len(status) == 250
    assert status[100:150].tolist() == [4] * 50 and np.sum(status == 1) == 200
    assert result.estimate.shots == 200
    assert "guard" in kinds(result.run)


def test_patience_ends(station, ramsey, tmp_path):
    """A laser that never locks again fails the run after the time budget, not at once."""
    station.trouble = "laser not locked"
    with pytest.raises(GuardError, match="laser not locked"):
        run(ramsey(**SETTINGS), station, data=tmp_path, patience=20.0)
    assert 20.0 <= station.clock.now() < 25.0 and station.count("timing.fire") == 0
    assert station.diary[-1] == "make_safe"


def test_until_ends_the_run_when_the_goal_is_reached(station, ramsey, tmp_path):
    """The estimate's std, or the shots, decide after each block."""
    result = run(ramsey(**SETTINGS), station, data=tmp_path, until="shots >= 100")
    assert result.shots == 100 and result.state is State.DONE
    assert result.reason == "reached shots >= 100" and result.run.state == "complete"
    precise = run(ramsey(**SETTINGS), station, data=tmp_path, until="std(phase) < 0.1")
    assert precise.shots == 50


def test_refusals_touch_nothing(station, ramsey, tmp_path):
    """A condition, a sequence or a station that cannot be: said before a run exists."""
    with pytest.raises(UntilError):
        run(ramsey(**SETTINGS), station, data=tmp_path, until="std(banana) < 1")
    with pytest.raises(SequenceError, match="shot period"):
        run(ramsey(shot_period=10e-3), station, data=tmp_path)
    gradient = station.roles.pop("gradient")
    with pytest.raises(MissingRole, match="gradient"):
        run(ramsey(**SETTINGS), station, data=tmp_path)
    assert station.diary == [] and list(tmp_path.iterdir()) == []
    gradient.parameters.clear()
    station.roles["gradient"] = gradient
    with pytest.raises(MissingRole, match="no parameter 'detuning_difference'"):
        run(ramsey(**SETTINGS), station, data=tmp_path)


def test_a_failing_running_estimate_costs_no_data(station, ramsey, tmp_path, monkeypatch):
    """Data taking goes on; only a failing final fit is an error, after the data are complete."""

    def broken(self: object, *args: object) -> None:
        raise FloatingPointError("overflow")

    protocol = ramsey(**SETTINGS)
    kind = type(protocol.estimator(station.calibrations))
    monkeypatch.setattr(kind, "quick", broken)
    result = run(protocol, station, data=tmp_path)
    assert result.shots == 200 and kinds(result.run).count("estimate_failed") == 4
    monkeypatch.setattr(kind, "estimate", broken)
    events: list[heard.RunEvent] = []
    with pytest.raises(EstimateFailed, match="overflow") as caught:
        run(protocol, station, data=tmp_path / "second", subscribers=(events.append,))
    assert "cavitylab estimate" in caught.value.__notes__[0]
    assert isinstance(events[-1], heard.RunFinished)
    assert only_run(tmp_path / "second").shots == 200


def test_an_instrument_error_outside_a_block_is_not_repeated(station, ramsey, tmp_path):
    """Only blocks are repeated: a coil that does not reach its current ends the run."""
    station.hooks["gradient.set"] = failing(InstrumentError("3.2 A flow"))
    with pytest.raises(InstrumentError, match=r"3\.2 A"):
        run(ramsey(**SETTINGS), station, data=tmp_path)
    assert station.count("gradient.set") == 1 and station.diary[-1] == "make_safe"
