"""Guards: spoiled shots are marked and repeated, within patience; nothing is dropped in silence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cavitylab.protocols.engine import CountsGuard, GuardError, ReadingGuard, State, run
from cavitylab.protocols.engine import events as heard
from cavitylab.protocols.engine.guards import Guards, HealthGuard
from cavitylab.protocols.engine.records import Status

SETTINGS: dict[str, Any] = {"shots": 120, "block": 40}


def guard_events(result: Any) -> list[dict[str, Any]]:
    """The guards' events of a run, in order."""
    return [event for event in result.run.events() if event["kind"] == "guard"]


def test_only_the_spoiled_shots_are_repeated(station, ramsey, tmp_path):
    """Shots with impossible counts stay on record, marked, and as many are taken again."""
    limit = 2600
    result = run(ramsey(**SETTINGS), station, data=tmp_path, guards=[CountsGuard(high=limit)])
    records = result.records
    total = records["counts"].values.sum(axis=1)
    status = records["status"].values
    assert np.array_equal(status == Status.SATURATED, total > limit) and (total > limit).any()
    assert result.shots == np.sum(status == Status.OK) == 120 == result.estimate.shots
    blocks = result.run.load("block")["block_shots"]
    assert blocks.sum() == len(status) and blocks[0] == 40 and blocks.min() < 40
    events = guard_events(result)
    assert sum(event["spoiled"] for event in events) == np.sum(status != Status.OK)
    assert events[0]["guards"] == ["atom number"]


def test_too_few_counts_abort_a_shot_and_columns_can_be_chosen():
    """Below the lower limit the atoms were not there; other columns are not looked at."""
    counts = np.array([[5, 900], [500, 1], [400, 2]], dtype=np.int32)
    mask, trip = CountsGuard(low=100, detectors=(0,)).spoiled(counts)
    assert mask.tolist() == [True, False, False] and trip.status is Status.ABORTED
    assert trip.text == "1 of 3 shots have counts outside [100, inf]"


def test_a_detector_may_watch_the_cavity():
    """Counts of transmitted light, in a column of their own, below what a locked cavity gives."""
    counts = np.array([[5, 900], [500, 1]], dtype=np.int32)
    guard = CountsGuard(low=100, detectors=(1,), too_few=Status.UNLOCKED, name="cavity lock")
    mask, trip = guard.spoiled(counts)
    assert mask.tolist() == [False, True]
    assert (trip.guard, trip.status) == ("cavity lock", Status.UNLOCKED)


def test_a_hazard_is_not_waited_out(station, ramsey, tmp_path):
    """What waiting makes worse ends the run at once, whatever patience is left."""
    station.hooks["timing.fire"] = lambda: setattr(station, "trouble", "the coil is hot")
    station.hazard = True
    with pytest.raises(GuardError, match="made safe at once.*the coil is hot"):
        run(ramsey(**SETTINGS), station, data=tmp_path, patience=1e4)
    assert station.clock.now() < 10.0 and station.diary[-1] == "make_safe"


def test_a_reading_out_of_its_limits_spoils_the_block(station, ramsey, tmp_path):
    """A coil that gets warm during the second block: its shots are marked, then it cools down."""
    warm = [25.0]

    class Thermometer:
        def get(self) -> float:
            return warm[0]

    station.roles["gradient"].parameters["temperature"] = Thermometer()

    def heat() -> None:
        if station.count("timing.fire") == 2:
            warm[0] = 70.0

    station.hooks["timing.fire"] = heat
    station.hooks["health"] = lambda: warm.__setitem__(0, max(25.0, warm[0] - 4.0))
    states: list[State] = []

    def listen(event: heard.RunEvent) -> None:
        if isinstance(event, heard.StateChanged):
            states.append(event.new)

    guards = [ReadingGuard("gradient", "temperature", high=50.0)]
    result = run(ramsey(**SETTINGS), station, data=tmp_path, guards=guards, subscribers=[listen])
    status = result.records["status"].values
    assert status.tolist() == [1] * 40 + [Status.ABORTED] * 40 + [1] * 80
    texts = [event["text"] for event in guard_events(result)]
    assert "gradient.temperature reads" in texts[0] and texts[1].startswith("waiting: ")
    assert texts[2] == "going on: gradient.temperature is well again"
    assert states[:3] == [State.RUNNING, State.PAUSED, State.RUNNING], "it pauses meanwhile"


def test_a_reading_that_cannot_be_had_is_a_trip(station):
    """A missing parameter or a driver that fails is not taken for good news."""
    (missing,) = ReadingGuard("gradient", "pressure").look(station)
    assert "the station has no gradient.pressure" in missing.text

    class Broken:
        def get(self) -> float:
            raise ConnectionError("no answer")

    station.roles["gradient"].parameters["pressure"] = Broken()
    (silent,) = ReadingGuard("gradient", "pressure").look(station)
    assert "cannot be read: no answer" in silent.text


def test_shots_without_lock_are_told_from_other_trouble(station):
    """A role that can be locked gives "unlocked", any other "aborted"."""
    station.trouble = "not locked"
    (trip,) = HealthGuard().look(station)
    assert trip.status is Status.UNLOCKED
    del station.roles["laser"].parameters["lock_ok"]
    (trip,) = HealthGuard().look(station)
    assert trip.status is Status.ABORTED


def test_patience_covers_repeats_as_well(station, ramsey, tmp_path):
    """A guard that every shot offends ends the run after the time budget, with all shots kept."""
    with pytest.raises(GuardError, match="too long"):
        run(ramsey(**SETTINGS), station, data=tmp_path, guards=[CountsGuard(high=1)], patience=7.0)
    assert 7.0 <= station.clock.now() < 12.0 and station.diary[-1] == "make_safe"
    assert station.count("detector.read") == 4  # blocks of 2 s


def test_an_operator_may_mend_the_laboratory_and_go_on(station, ramsey, tmp_path):
    """When patience ends somebody at the terminal is asked; then set-points are set again."""
    asked = []

    def fire() -> None:
        if station.count("timing.fire") == 2:
            station.trouble = "the output went off by itself"

    def on_pause(progress: heard.Progress) -> bool:
        asked.append(progress.shots)
        station.trouble = ""
        return True

    station.hooks["timing.fire"] = fire
    result = run(ramsey(**SETTINGS), station, data=tmp_path, on_pause=on_pause, patience=5.0)
    assert result.state is State.DONE and result.shots == 120 and asked == [40]
    assert station.count("gradient.set") == 2, "an interlock may have switched it off"


def test_without_an_operator_nothing_is_switched_on_again(station, ramsey, tmp_path):
    """What an interlock has switched off stays off until somebody looks at it."""
    station.hooks["timing.fire"] = lambda: setattr(station, "trouble", "output went off")
    with pytest.raises(GuardError, match="output went off"):
        run(ramsey(**SETTINGS), station, data=tmp_path, patience=5.0)
    assert station.count("gradient.set") == 1


def test_a_protocol_may_bring_its_guards(station, ramsey, tmp_path):
    """What a protocol knows to be impossible is guarded wherever it runs."""
    protocol = ramsey(**SETTINGS)
    protocol.guards = lambda calibrations: [CountsGuard(high=2600)]
    result = run(protocol, station, data=tmp_path)
    assert guard_events(result) and result.shots == 120


def test_what_is_no_guard_is_refused():
    """A mistake in the list of guards is said at once."""
    with pytest.raises(TypeError, match="is no guard"):
        Guards(["laser"])  # type: ignore[list-item]
