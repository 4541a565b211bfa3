"""What goes in comes out: values, order, types, units, names, texts, provenance."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cavitylab.protocols.recording import Field, Run, RunWriter, SchemaError, Stream


@pytest.mark.parametrize("block", [1, 7, 1000, 10_000])
def test_blocks_of_any_size_come_back_in_order(writer, known, block):
    """Rows are the same however they were cut into appends."""
    total = max(100, 3 * block)
    for first in range(0, total, block):
        writer.append("shot", known.shots(first, min(first + block, total)))
    writer.close()
    run = Run.open(writer.path)
    assert known.check_run(run) == total == run.shots
    assert run.state == "complete" and run.verify().ok


def test_a_ticket_names_its_rows(writer, known):
    """The ticket of an append says which rows it promises, and when they are safe."""
    writer.append("shot", known.shots(0, 5))
    ticket = writer.append("shot", known.shots(5, 9))
    assert (ticket.first, ticket.end) == (5, 9)
    ticket.wait(10)
    assert ticket.done() and writer.acknowledged["shot"] == 9


def test_times_units_and_detector_names_come_back(tmp_path, known):
    """xarray shows times as times, detectors by name, set-points with their units."""
    with RunWriter.create(tmp_path, "units", known.streams) as writer:
        writer.append_row("point", detuning=-1.5e3)
        writer.append("shot", known.shots(0, 3))
    records = Run.open(writer.path).records
    assert records.time.dtype == "datetime64[ns]"
    assert records.time.values[0] == np.datetime64(1_700_000_000_000_000_000, "ns")
    assert records.counts.sel(detector="south").values.tolist() == [0, 7, 14]
    assert records.detuning.attrs == {"units": "Hz", "long_name": "detuning"}
    assert records.status.attrs["flag_meanings"].split()[-1] == "missing"
    assert set(records.coords) == {"time", "point_index", "detector"}


def test_any_zarr_reader_reads_a_finished_run(tmp_path, known):
    """With consolidated metadata or without, by xarray or by zarr alone."""
    with RunWriter.create(tmp_path, "plain", known.streams) as writer:
        writer.append("shot", known.shots(0, 2500))
    data = writer.path / "data.zarr"
    for consolidated in (True, False):
        assert known.check(xr.open_zarr(data, consolidated=consolidated, chunks=None)) == 2500
    assert zarr.open_group(data, mode="r")["counts"].shape == (2500, 2)


def test_a_run_is_readable_before_its_first_row(writer):
    """`create` leaves an empty store that everybody can open."""
    run = Run.open(writer.path)
    assert run.state == "running" and run.is_live
    assert run.records.sizes["shot"] == 0
    assert run.load("shot")["counts"].shape == (0, 2)
    assert run.events() == []


def test_rows_can_be_loaded_before_they_are_published(writer, known):
    """`load` adds the journal's tail to the committed rows; `last` counts from the end."""
    writer.append("shot", known.shots(0, 300))
    writer.flush(publish=True)
    writer.append("shot", known.shots(300, 450))
    writer.flush()
    run = Run.open(writer.path)
    assert known.check(run.load("shot")) == 450
    assert known.check(run.load("shot", last=200), first=250) == 200
    assert known.check(run.load("shot", last=20), first=430) == 20
    assert len(run.load("shot", last=9999)["time"]) == 450


def test_events_keep_their_order_and_their_text(writer):
    """Annotations of any JSON content, with time and kind added, published or not."""
    writer.annotate(note="Γ/2π = 100 Hz", value=math.nan, limit=math.inf)
    writer.flush(publish=True)
    writer.annotate(kind="guard", role="laser", shots=[0, 1, 2], time=5)
    writer.annotate(note="")
    writer.flush()
    for events in (Run.open(writer.path).events(), _closed(writer).events()):
        assert [event["kind"] for event in events] == ["note", "guard", "note"]
        assert events[0]["note"] == "Γ/2π = 100 Hz"
        assert events[0]["value"] is None and events[0]["limit"] == "Infinity"
        assert events[1]["time"] == 5 and events[1]["shots"] == [0, 1, 2]


def test_provenance_comes_back_and_its_summary_is_in_the_root(tmp_path, known):
    """All of it is stored; protocol, parameters, seeds and tags are root attributes too."""
    given = {
        "protocol": "ramsey_ellipse",
        "parameters": {"shots": np.int64(2000), "hold": 12e-3},
        "seeds": {"run": 7},
        "tags": ("test",),
        "station": {"roles": {"drive": {"calibration": "a" * 5000}}},
    }
    with RunWriter.create(tmp_path, "origins", known.streams, provenance=given) as writer:
        pass
    run = Run.open(writer.path)
    assert run.provenance["station"] == given["station"]
    summary = run.attrs["cavitylab"]
    assert summary["parameters"] == {"shots": 2000, "hold": 0.012}
    assert summary["run_id"] == writer.run_id and summary["tags"] == ["test"]
    assert len(summary["station_sha256"]) == 64 and "numpy" in summary["versions"]
    assert len(json.dumps(summary)) < 5000


def test_the_store_has_the_names_that_the_specification_gives(tmp_path, known, started):
    """Directory, chunk files and arrays are where other programs look for them."""
    writer = RunWriter.create(
        tmp_path, "Ramsey: Δ/Ω = 0.1 ?", known.streams, run_id="ab12", started=started
    )
    with writer:
        writer.append("shot", known.shots(0, 1))
    expected = tmp_path.absolute() / f"{started:%Y-%m-%d}" / f"{started:%H%M%S}_ramsey-0-1_ab12"
    assert writer.path == expected
    assert (writer.path / "data.zarr" / "counts" / "c.0.0").is_file()
    assert {path.name for path in (writer.path / "data.zarr").iterdir()} == {
        *("zarr.json", "time", "status", "point_index", "counts", "detuning"),
        *("event_json", "event_end", "provenance_json"),
    }


@pytest.mark.parametrize(
    "columns",
    [
        {"status": [0]},
        {"counts": [[2**31, 0]]},
        {"counts": [[1.5, 0.0]]},
        {"counts": [1, 2]},
        {"status": [1, 1]},
        {"extra": [1]},
    ],
    ids=["status zero", "overflow", "fraction", "shape", "length", "unknown"],
)
def test_rows_that_do_not_fit_are_refused_and_leave_nothing(writer, known, columns):
    """A wrong append raises SchemaError, and the next right one is row 0."""
    with pytest.raises(SchemaError, match="stream 'shot'"):
        writer.append("shot", {**known.shots(0, 1), **columns})
    assert writer.append("shot", known.shots(0, 1)).first == 0


@pytest.mark.parametrize(
    "streams",
    [
        [Stream("a", [Field("x", "f8")]), Stream("b", [Field("x", "f8")])],
        [Stream("a", [Field("x", "f8", dims={"d": 2})]), Stream("b", [Field("y", "f8", {"d": 3})])],
        [Stream("event", [Field("x", "f8")])],
        [Stream("a", [Field("x", "f8")]), Stream("a", [Field("y", "f8")])],
    ],
    ids=["array twice", "two lengths", "reserved", "stream twice"],
)
def test_streams_that_collide_are_refused_before_anything_is_made(tmp_path, streams):
    """All arrays share one group: clashing names are found before the directory exists."""
    with pytest.raises(SchemaError):
        RunWriter.create(tmp_path, "clash", streams)
    assert not list(tmp_path.iterdir())


def test_traces_and_chunk_boundaries(tmp_path):
    """Wide rows get chunks of their own length; rows run over chunk ends without a seam."""
    trace = Stream("shot", [Field("status", "u1"), Field("trace", "i2", dims={"sample": 50_000})])
    rng = np.random.default_rng(3)
    right = rng.integers(-30_000, 30_000, (150, 50_000), np.int16)
    with RunWriter.create(tmp_path, "traces", [trace]) as writer:
        for first in range(0, 150, 37):
            block = right[first : first + 37]
            writer.append("shot", {"status": np.ones(len(block), int), "trace": block})
    run = Run.open(writer.path)
    assert np.array_equal(run.records.trace.values, right)
    assert len(list((run.path / "data.zarr" / "trace").glob("c.*"))) == math.ceil(150 / 32)


_TYPES = st.sampled_from(["u1", "i2", "i4", "i8", "u8", "f4", "f8", "?"])
_BLOCKS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 40), st.booleans()), max_size=12
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(types=st.tuples(_TYPES, _TYPES, _TYPES), blocks=_BLOCKS, seed=st.integers(0, 2**32 - 1))
def test_appends_in_any_order_are_a_list_per_stream(tmp_path, types, blocks, seed):
    """However two streams are interleaved, cut and published, each is the list of its appends."""
    rng = np.random.default_rng(seed)
    streams = [
        Stream("a", [Field("x", types[0]), Field("y", types[1], dims={"d": 3})]),
        Stream("b", [Field("z", types[2])]),
    ]
    shapes = {"a": {"x": (types[0], ()), "y": (types[1], (3,))}, "b": {"z": (types[2], ())}}
    model: dict[str, list[np.ndarray]] = {"x": [], "y": [], "z": []}
    with RunWriter.create(tmp_path, "model", streams) as writer:
        for stream, count, publish in blocks:
            rows = {n: _random(rng, t, (count, *s)) for n, (t, s) in shapes[stream].items()}
            writer.append(stream, rows)
            for name, column in rows.items():
                model[name].append(column)
            if publish:
                writer.flush(publish=True)
    run = Run.open(writer.path)
    for stream, fields in shapes.items():
        loaded = run.load(stream)
        for name, (kind, shape) in fields.items():
            right = np.concatenate([np.empty((0, *shape), kind), *model[name]])
            assert loaded[name].dtype == np.dtype(kind)
            assert np.array_equal(loaded[name], right)
    assert run.verify().ok


def _random(rng: np.random.Generator, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Any values of a type, its extremes included."""
    dtype = np.dtype(kind)
    if dtype.kind == "f":
        return rng.normal(size=shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def _closed(writer: RunWriter) -> Run:
    writer.close()
    return Run.open(Path(writer.path))
