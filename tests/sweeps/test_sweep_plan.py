"""What a sweep may be: the grid, its order, and everything that is refused before it starts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cavitylab.console.sweep import parse_grid, parse_seeds
from cavitylab.instruments.errors import StationFileError
from cavitylab.protocols import RamseyEllipse, UnknownProtocolError
from cavitylab.protocols.engine import UntilError
from cavitylab.protocols.sweeps import Sweep, SweepPlan, SweepSettingsError


def test_lists_are_axes_and_the_seed_runs_fastest(plan):
    """Tasks are numbered in C order over the axes as they were named, then the seeds."""
    made = plan(seeds=range(2), detuning_hz=[900.0, 1000.0], shots=np.array([40, 60]))
    assert made.shape == (2, 2, 2) and len(made) == 8
    assert list(made.axes) == ["shots", "detuning_hz"]
    tasks = list(made.tasks())
    assert [task.seed for task in tasks] == [0, 1] * 4
    assert [task.index for task in tasks] == list(range(8))
    assert [task.settings["shots"] for task in tasks] == [40] * 4 + [60] * 4
    assert all(task.settings["block"] == 20 for task in tasks)


def test_a_plan_survives_its_json(plan):
    """What is stored gives the same tasks when it is read again."""
    made = plan(seeds=[4, 2], dark_time=[None, 2e-4], shots=40)
    again = SweepPlan.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made and list(again.tasks()) == list(made.tasks())


def test_a_class_is_found_by_its_registered_name():
    """The class and its name mean the same sweep."""
    assert SweepPlan.of(RamseyEllipse, {}, 1).protocol == "ramsey_ellipse"


def test_a_class_that_no_worker_could_import_is_refused():
    """A class inside a function has no place from which to import it."""

    class Mine(RamseyEllipse):
        pass

    with pytest.raises(SweepSettingsError, match="file of its own"):
        SweepPlan.of(Mine, {}, 1, station="two_ensemble", laboratory="two_ensemble")


@pytest.mark.parametrize(
    ("settings", "seeds", "match"),
    [
        ({"shots": []}, 1, "at least one value"),
        ({"shots": [40, 40]}, 1, "different values"),
        ({"shots": [float("nan")]}, 1, "cannot be stored"),
        ({}, [], "at least one seed"),
        ({}, [1, 1], "different numbers"),
        ({}, [-1], "different numbers"),
        ({"shots": range(1, 2000)}, range(1000), "at most"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(settings, seeds, match):
    """Each mistake has a message that names it."""
    with pytest.raises(SweepSettingsError, match=match):
        SweepPlan.of("ramsey_ellipse", settings, seeds)


def test_hardware_is_never_swept():
    """A station without a laboratory file would be hardware."""
    with pytest.raises(SweepSettingsError, match="hardware"):
        SweepPlan.of("ramsey_ellipse", {}, 1, station="two_ensemble")


def test_unknown_names_are_refused():
    """Protocol, station file and stop condition are looked at before anything is made."""
    with pytest.raises(UnknownProtocolError):
        SweepPlan.of("ramsey", {}, 1)
    with pytest.raises(StationFileError, match="no file"):
        SweepPlan.of("ramsey_ellipse", {}, 1, station="nowhere", laboratory="two_ensemble")
    with pytest.raises(UntilError):
        SweepPlan.of("ramsey_ellipse", {}, 1, until="std(nothing) < 1").check()


def test_bad_settings_are_all_told_and_nothing_is_made(tmp_path, plan):
    """Every impossible combination is listed with its reason; the data folder stays empty."""
    bad = plan(shots=[40, 0], detuning_hz=[1000.0, 9e3], hold=12e-3, colour="red")
    with pytest.raises(SweepSettingsError, match="4 of the 4"):
        Sweep.create(tmp_path, bad)
    bad = plan(shots=40, detuning_hz=[1000.0, 5e3])
    with pytest.raises(SweepSettingsError, match=r"1 of the 2 .*nothing was(.|\n)*calibration"):
        Sweep.create(tmp_path, bad)
    assert list(tmp_path.iterdir()) == []


def test_a_station_cannot_play_is_found_before_the_start(tmp_path, plan):
    """The steps are compiled against the station: a gate longer than the shot is refused."""
    with pytest.raises(SweepSettingsError, match="nothing was"):
        Sweep.create(tmp_path, plan(gate=[5e-3, 60e-3]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("shots=40", 40),
        ("shots=40,60", [40, 60]),
        ("hold=1:2:3", [1.0, 1.5, 2.0]),
        ("hold=1:100:3log", [1.0, 10.0, 100.0]),
        ("dark_time=null,1e-4", [None, 1e-4]),
        ("mode=exact,ring", ["exact", "ring"]),
        ("phases=[1,2]", [1, 2]),
        ("phases=[1,2],[3,4]", [[1, 2], [3, 4]]),
    ],
)
def test_settings_on_the_command_line(text, values):
    """One value is fixed, several are an axis, and a span is evenly spaced."""
    assert list(parse_grid([text]).values())[0] == values


@pytest.mark.parametrize("text", ["shots", "=4", "shots=", "hold=1:2:1", "hold=-1:2:3log"])
def test_unreadable_settings_are_refused(text):
    """The message repeats what was written."""
    with pytest.raises(SweepSettingsError, match="--set"):
        parse_grid([text])


def test_a_setting_given_twice_is_refused():
    """The second would silently win."""
    with pytest.raises(SweepSettingsError, match="twice"):
        parse_grid(["shots=1", "shots=2"])


def test_seeds_on_the_command_line():
    """Spans exclude their end, as in Python."""
    assert parse_seeds("2:5") == [2, 3, 4]
    assert parse_seeds("7") == [7] and parse_seeds("7,3") == [7, 3]
    with pytest.raises(SweepSettingsError, match="--seeds"):
        parse_seeds("a:b")
