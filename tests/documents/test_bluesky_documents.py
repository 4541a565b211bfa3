"""A stored run as Bluesky documents, checked against the schemas of event-model."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.errors import CavityLabError
from cavitylab.instruments.station import Station
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.documents import documents, emit
from cavitylab.protocols.engine import run
from cavitylab.protocols.recording import Field, Run, RunWriter, Stream

event_model = pytest.importorskip("event_model")

SMALL = {
    "atoms_per_ensemble": 20,
    "preparation_rabi_hz": 2.5e3,
    "bias_phase": 0.4,
    "block": 20,
    "coil_check": 0,
}


def checked(run: Run, **options: Any) -> list[tuple[str, dict[str, Any]]]:
    """All documents, each valid by the schema of its kind and linked to those before it."""
    found = list(documents(run, **options))
    for name, document in found:
        kind = event_model.DocumentNames[name]
        event_model.schema_validators[kind].validate(document)
    start, descriptors, stop = found[0][1], {}, found[-1][1]
    assert found[0][0] == "start" and found[-1][0] == "stop"
    assert stop["run_start"] == start["uid"]
    seen: Counter[str] = Counter()
    for name, document in found[1:-1]:
        if name == "descriptor":
            assert document["run_start"] == start["uid"]
            descriptors[document["uid"]] = document
            continue
        descriptor = descriptors[document["descriptor"]]
        assert set(document["data"]) == set(document["timestamps"]) == set(descriptor["data_keys"])
        lengths = {len(column) for column in document["data"].values()}
        assert lengths == {len(document["seq_num"])}
        stream = descriptor["name"]
        first = seen[stream] + 1
        seen[stream] += len(document["seq_num"])
        assert document["seq_num"] == list(range(first, seen[stream] + 1))
    assert stop["num_events"] == dict(seen)
    uids: list[str] = []
    for _, document in found:
        uid = document["uid"]
        uids.extend(uid if isinstance(uid, list) else [uid])
    assert len(set(uids)) == len(uids)
    return found


def primary(found: list[tuple[str, dict[str, Any]]], key: str) -> np.ndarray:
    """One column of the stream of shots."""
    uid = next(d["uid"] for n, d in found if n == "descriptor" and d["name"] == "primary")
    pages = [d for n, d in found if n == "event_page" and d["descriptor"] == uid]
    return np.concatenate([page["data"][key] for page in pages])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A complete run of the shipped rehearsal."""
    data = tmp_path_factory.mktemp("finished")
    with Station.open("two_ensemble", rehearse="two_ensemble.lab.yaml", seed=5) as station:
        return run(RamseyEllipse(**SMALL, shots=40), station, data=data, tags=("check",)).run


def test_a_finished_run_gives_valid_documents(finished):
    """Start, descriptors, pages and stop; the shots are those of the store, with units."""
    found = checked(finished)
    start, stop = found[0][1], found[-1][1]
    assert start["plan_name"] == "ramsey_ellipse" and start["plan_args"]["shots"] == 40
    assert start["tags"] == ["check"]
    assert stop["exit_status"] == "success" and stop["reason"] == ""
    assert stop["num_events"]["primary"] == 40 and stop["num_events"]["point"] == 1
    assert np.array_equal(primary(found, "counts"), finished.load("shot")["counts"])
    keys = {
        name: key
        for kind, document in found
        if kind == "descriptor"
        for name, key in document["data_keys"].items()
    }
    assert keys["counts"]["dtype"] == "array" and keys["counts"]["shape"] == [2]
    assert keys["counts"]["dims"] == ["detector"]
    assert keys["counts"]["detector_names"] == ["ensemble_1", "ensemble_2"]
    assert keys["detuning_difference"]["units"] == "Hz"
    assert keys["detuning_difference"]["dtype"] == "number"
    assert keys["text"]["dtype"] == "string"


def test_events_come_at_their_times(finished):
    """The time of an event document is that of the shot, in s since 1970."""
    found = checked(finished)
    pages = [document for name, document in found if name == "event_page"]
    shots = next(page for page in pages if "counts" in page["data"])
    assert np.allclose(shots["time"], finished.load("shot")["time"] * 1e-9, atol=1e-3)
    assert found[-1][1]["time"] >= max(shots["time"]) >= found[0][1]["time"]


def test_pages_are_cut_and_ids_are_stable(finished):
    """Small pages hold the same events; a second telling is the same, ids included."""
    whole, cut = checked(finished), checked(finished, page_rows=7)
    pages = [document for name, document in cut if name == "event_page"]
    assert max(len(page["seq_num"]) for page in pages) == 7
    assert np.array_equal(primary(whole, "counts"), primary(cut, "counts"))
    assert list(documents(finished)) == whole
    with pytest.raises(ValueError, match="page_rows"):
        next(documents(finished, page_rows=0))


def test_a_router_of_event_model_takes_them(finished):
    """The library's own router unpacks the pages into single events."""
    events: list[dict[str, Any]] = []

    class Reader(event_model.SingleRunDocumentRouter):
        def event(self, document):
            events.append(document)

        def event_page(self, document):
            events.extend(event_model.unpack_event_page(document))

    router = Reader()
    emit(finished, router)
    streams = Counter(router.get_stream_name(event) for event in events)
    assert streams["primary"] == 40 and streams["point"] == 1 and streams["event"] >= 3


def test_a_failed_run_says_why(tmp_path):
    """Exit status "fail" with the reason; the shots before the failure are there."""
    with (
        Station.open("two_ensemble", rehearse="two_ensemble.lab.yaml", seed=3) as station,
        pytest.raises(CavityLabError, match="too short"),
    ):
        run(RamseyEllipse(shots=20, hold=7.05e-3), station, data=tmp_path)
    (folder,) = tmp_path.glob("*/*")
    stop = checked(Run.open(folder))[-1][1]
    assert stop["exit_status"] == "fail" and "too short" in stop["reason"]


STREAMS = [
    Stream("point", [Field("detuning", "f8", unit="Hz")]),
    Stream(
        "shot",
        [
            Field("time", "i8"),
            Field("status", "u1"),
            Field("point_index", "i4"),
            Field("counts", "i4", dims={"detector": ["north"]}),
        ],
    ),
]


def append(writer: RunWriter, first: int, rows: int) -> None:
    """Some shots at one new scan point each time."""
    point = writer.append_row("point", detuning=float("nan") if first == 0 else 1e3).first
    shots = np.arange(first, first + rows)
    columns = {
        "time": 1_700_000_000_000_000_000 + shots * 50_000_000,
        "status": np.ones(rows, dtype=np.uint8),
        "point_index": np.full(rows, point, dtype=np.int32),
        "counts": shots[:, np.newaxis],
    }
    writer.append("shot", columns).wait(60)


DYING = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from test_bluesky_documents import STREAMS, append
from cavitylab.protocols.recording import RunWriter
writer = RunWriter.create({data!r}, "dying", STREAMS, provenance={{}})
append(writer, 0, 30)
append(writer, 30, 12)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_an_interrupted_run_is_an_abort_with_every_acknowledged_shot(tmp_path):
    """A process that was killed: exit status "abort", and nothing acknowledged is missing."""
    script = DYING.format(folder=str(Path(__file__).parent), data=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=250)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    (folder,) = tmp_path.glob("*/*")
    found = checked(Run.open(folder))
    stop = found[-1][1]
    assert stop["exit_status"] == "abort" and "died" in stop["reason"]
    assert primary(found, "counts")[:, 0].tolist() == list(range(42))
    pages = [document["data"] for name, document in found if name == "event_page"]
    assert sum((page["detuning"] for page in pages if "detuning" in page), []) == [None, 1e3]


def test_a_live_run_is_followed_until_it_ends(tmp_path):
    """Documents come while the run grows; in the end they are those of the stored run."""
    with RunWriter.create(tmp_path, "live", STREAMS, provenance={}) as writer:
        append(writer, 0, 5)
        live: list[tuple[str, dict[str, Any]]] = []
        half = threading.Event()

        def listen() -> None:
            for document in documents(Run.open(writer.path)):
                live.append(document)
                if document[0] == "event_page" and "counts" in document[1]["data"]:
                    half.set()

        listener = threading.Thread(target=listen)
        listener.start()
        assert half.wait(60), "no document while the run was live"
        append(writer, 5, 8)
        writer.annotate(kind="note", text="half way")
        append(writer, 13, 4)
        writer.close("stopped")
    listener.join(60)
    assert not listener.is_alive()
    stored = checked(Run.open(writer.path))
    assert live[0] == stored[0] and live[-1] == stored[-1]
    assert live[-1][1]["exit_status"] == "abort"
    assert primary(live, "counts")[:, 0].tolist() == list(range(17))
