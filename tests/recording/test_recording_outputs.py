"""What can be done with a run afterwards: notes and tags, other formats, grids, archives."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import xarray as xr
import zarr

from cavitylab.console.cli import main
from cavitylab.protocols.recording import (
    Axis,
    Field,
    Run,
    RunExistsError,
    RunLockedError,
    RunWriter,
    SchemaError,
    Stream,
    annotate_run,
    compact_run,
    export_run,
    list_runs,
)
from cavitylab.protocols.recording.journal import Journal


@pytest.fixture
def finished(tmp_path, known):
    """A run of 300 shots at three points, with a note."""
    with RunWriter.create(tmp_path / "data", "finished", known.streams) as writer:
        for detuning in (1.0, 2.0, 3.0):
            writer.append_row("point", detuning=detuning)
        writer.append("shot", known.shots(0, 300))
        writer.annotate(note="during")
    return Run.open(writer.path)


def _cavitylab(capsys, *arguments):
    """The command in this process; its JSON."""
    with pytest.raises(SystemExit) as ended:
        main([*map(str, arguments), "--json"])
    assert ended.value.code in (0, None)
    return json.loads(capsys.readouterr().out)


# --- notes and tags -------------------------------------------------------------------------


def test_tags_are_events_and_root_attributes(tmp_path, known):
    """Tags given at the start, during the run and afterwards are one list, each once."""
    origins = {"tags": ["early"]}
    with RunWriter.create(tmp_path, "tagged", known.streams, provenance=origins) as writer:
        writer.tag("during", "early")
    annotate_run(writer.path, tags=["late"], note="looks right")
    run = Run.open(writer.path)
    assert run.attrs["cavitylab"]["tags"] == ["early", "during", "late"]
    assert [event["kind"] for event in run.events()] == ["tag", "tag", "tag", "note"]
    assert run.events()[-1]["note"] == "looks right" and run.events()[-1]["afterwards"]
    assert list_runs(tmp_path)[0].tags == ("early", "during", "late")


@pytest.mark.parametrize("state", ["complete", "stopped", "failed"])
def test_a_note_changes_neither_rows_nor_state(tmp_path, known, state):
    """Everything but the events stays as it was."""
    writer = RunWriter.create(tmp_path, "noted", known.streams)
    writer.append("shot", known.shots(0, 100))
    writer.close(state)
    annotate_run(writer.path, note="afterwards")
    run = Run.open(writer.path)
    assert run.state == state and known.check_run(run) == 100 and run.verify().ok


def test_a_live_run_and_an_empty_note_are_refused(writer, finished):
    """A writer's own run is annotated by the writer."""
    with pytest.raises(RunLockedError):
        annotate_run(writer.path, note="x")
    with pytest.raises(SchemaError):
        annotate_run(finished.path)
    with pytest.raises(SchemaError):
        annotate_run(finished.path, tags=[""])


def test_a_note_that_is_killed_halfway_leaves_the_run_ended_as_it_was(finished, monkeypatch):
    """Dead between journal and store: opening the run finishes the note."""

    def die(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "damage", die)
        with pytest.raises(KeyboardInterrupt):
            annotate_run(finished.path, note="halfway")
    run = Run.open(finished.path)
    assert run.state == "complete" and run.verify().ok
    assert [event.get("note") for event in run.events()] == ["during", "halfway"]


# --- other formats --------------------------------------------------------------------------


def test_csv_has_a_line_a_shot_with_its_set_points(finished, known, tmp_path):
    """Detectors by name, numbers as recorded, the point's set-point at the end."""
    with export_run(finished, tmp_path / "shots.csv").open(newline="") as file:
        head, *lines = csv.reader(file)
    assert head[:3] == ["time", "status", "point_index"]
    assert head[3:] == ["counts[north]", "counts[south]", "detuning"]
    assert len(lines) == 300
    right = known.shots(0, 300)
    assert [int(line[3]) for line in lines] == right["counts"][:, 0].tolist()
    assert [float(line[-1]) for line in lines] == (1.0 + right["point_index"]).tolist()


def test_csv_of_another_stream(finished, tmp_path):
    """Points and events are tables too."""
    lines = export_run(finished, tmp_path / "p.csv", stream="point").read_text().split()
    assert lines == ["detuning", "1.0", "2.0", "3.0"]
    assert "during" in export_run(finished, tmp_path / "e.csv", stream="event").read_text()


def test_npz_has_every_field(finished, known, tmp_path):
    """Without pickles: plain arrays, JSON for the rest."""
    with np.load(export_run(finished, tmp_path / "run.npz")) as stored:
        known.check({name: stored[f"shot.{name}"] for name in known.shots(0, 1)})
        assert json.loads(str(stored["attributes"]))["title"] == "finished"
        assert json.loads(str(stored["event.json"][0]))["note"] == "during"


def test_netcdf_opens_in_xarray(finished, known, tmp_path):
    """Times, names and units survive."""
    pytest.importorskip("h5netcdf")
    path = export_run(finished, tmp_path / "run.nc")
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        assert known.check(dataset) == 300
        assert dataset.detuning.attrs["units"] == "Hz"
        assert dataset.counts.sel(detector="south").shape == (300,)
        assert json.loads(dataset.attrs["cavitylab"])["run_id"] == finished.run_id


def test_exports_replace_nothing_and_leave_nothing_half_done(finished, tmp_path, monkeypatch):
    """An existing file, an unknown ending, a failure in the middle."""
    target = tmp_path / "shots.csv"
    target.write_text("mine")
    with pytest.raises(RunExistsError):
        export_run(finished, target)
    with pytest.raises(SchemaError, match=r"\.csv"):
        export_run(finished, tmp_path / "shots.xyz")
    with pytest.raises(SchemaError, match="no stream"):
        export_run(finished, tmp_path / "other.csv", stream="nothing")
    assert target.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"data", "shots.csv"}


def test_a_compact_copy_has_the_same_content_in_fewer_files(tmp_path):
    """Shards: same values, attributes and dimensions, readable by xarray."""
    stream = Stream("shot", [Field("status", "u1"), Field("trace", "i2", dims={"sample": 4000})])
    rng = np.random.default_rng(1)
    trace = rng.integers(-99, 99, (3000, 4000), np.int16)
    with RunWriter.create(tmp_path, "big", [stream]) as writer:
        writer.append("shot", {"status": np.ones(3000, int), "trace": trace})
    run = Run.open(writer.path)
    copy = compact_run(run, tmp_path / "archive.zarr")
    dataset = xr.open_zarr(copy, chunks=None)
    assert np.array_equal(dataset.trace.values, trace)
    assert dict(zarr.open_group(copy, mode="r").attrs) == run.attrs
    files = [sum(p.is_file() for p in folder.rglob("c*")) for folder in (copy, run.path)]
    assert files[0] < files[1]
    with pytest.raises(RunExistsError):
        compact_run(run, copy)


def test_a_live_run_is_not_compacted(writer, tmp_path):
    """Its store would be a snapshot that looks final."""
    with pytest.raises(RunLockedError):
        compact_run(Run.open(writer.path), tmp_path / "copy.zarr")


# --- traces and grids -----------------------------------------------------------------------


def test_traces_have_sample_times_and_physical_units(tmp_path):
    """The native ADC numbers are stored; xarray scales them; counts may stand beside them."""
    shot = Stream(
        "shot",
        [
            Field("status", "u1"),
            Field("counts", "i4", dims={"detector": 2}),
            Field(
                "trace", "i2", dims={"sample": 1000}, unit="V",
                attributes={"scale_factor": 1e-3, "add_offset": 0.5},
            ),
        ],
    )  # fmt: skip
    times = Axis("sample_time", "sample", np.arange(1000) * 1e-6, unit="s")
    raw = np.arange(3000, dtype=np.int16).reshape(3, 1000)
    with RunWriter.create(tmp_path, "traces", [shot], axes=[times]) as writer:
        for row in raw:
            writer.append_row("shot", status=1, counts=[1, 2], trace=row)
    run = Run.open(writer.path)
    assert np.array_equal(run.load("shot")["trace"], raw)
    records = run.records
    assert np.allclose(records.trace.values, 0.5 + 1e-3 * raw)
    assert records.trace.sample_time.values[-1] == pytest.approx(999e-6)
    assert records.sample_time.attrs == {"units": "s"} and run.verify().ok
    with RunWriter.resume(writer.path) as again:
        again.append_row("shot", status=1, counts=[1, 2], trace=raw[0])
    assert "sample_time" in Run.open(writer.path).records.coords


@pytest.mark.parametrize(
    "axis",
    [Axis("t", "sample", [1.0, 2.0]), Axis("t", "other", [1.0]), Axis("y", "sample", [1.0] * 3)],
    ids=["length", "dimension", "name"],
)
def test_an_axis_that_fits_nothing_is_refused(tmp_path, axis):
    """Before anything is made."""
    stream = Stream("shot", [Field("y", "f8", dims={"sample": 3})])
    with pytest.raises(SchemaError, match="axis"):
        RunWriter.create(tmp_path, "x", [stream], axes=[axis])
    assert not list(tmp_path.iterdir())


def test_a_grid_scan_becomes_an_array_over_its_axes(tmp_path):
    """Shots by point and repetition, coordinates from the set-points, holes marked."""
    streams = [
        Stream("point", [Field("detuning", "f8", unit="Hz"), Field("power", "f8")]),
        Stream("shot", [Field("status", "u1"), Field("point_index", "i4"), Field("counts", "i4")]),
    ]
    scan = {"planned": 6, "grid_shape": {"detuning": 3, "power": 2}}
    with RunWriter.create(tmp_path, "grid", streams, provenance={"scan": scan}) as writer:
        for k in range(5):  # stopped before the last point
            writer.append_row("point", detuning=10.0 * (k // 2), power=float(k % 2))
        for repetition in range(4):
            for k in range(5):
                if (k, repetition) != (4, 3):
                    writer.append_row("shot", status=1, point_index=k, counts=10 * k + repetition)
    grid = Run.open(writer.path).to_grid()
    assert grid.counts.dims == ("detuning", "power", "repetition") and grid.counts.shape == (
        3,
        2,
        4,
    )
    assert grid.detuning.values.tolist() == [0, 10, 20] and grid.power.values.tolist() == [0, 1]
    assert grid.detuning.attrs["units"] == "Hz"
    assert grid.counts.sel(detuning=10, power=1).values.tolist() == [30, 31, 32, 33]
    assert (grid.status.sel(detuning=20, power=1) == 255).all()
    assert grid.status.sel(detuning=20, power=0).values.tolist() == [1, 1, 1, 255]


def test_a_run_that_was_no_grid_scan_says_so(finished):
    """Planned, adaptive and open-ended scans are lists of points."""
    with pytest.raises(SchemaError, match="no grid scan"):
        finished.to_grid()


# --- command line ---------------------------------------------------------------------------


def test_the_command_line_exports_and_annotates(finished, tmp_path, capsys):
    """`runs export` and `runs annotate`."""
    data, target = finished.path.parents[1], tmp_path / "a.csv"
    done = _cavitylab(capsys, "runs", "export", finished.run_id, "--data", data, "--to", target)
    assert done["shots"] == 300 and target.read_text().count("\n") == 301
    words = ["--tag", "good", "--tag", "fibre", "--note", "x"]
    done = _cavitylab(capsys, "runs", "annotate", finished.path, *words)
    assert done["tags"] == ["good", "fibre"]
