"""One task, its end mark, and the catalogue: done without a cluster."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cavitylab.instruments.station import Station
from cavitylab.protocols import RamseyEllipse, sweeps
from cavitylab.protocols.engine import run
from cavitylab.protocols.recording import DamagedRunError, FormatVersionError, RunNotFoundError
from cavitylab.protocols.sweeps import Sweep, SweepBusyError, SweepSettingsError, TaskOutcome
from cavitylab.protocols.sweeps.outcome import put_outcome, read_outcome
from cavitylab.protocols.sweeps.task import perform


def test_a_task_is_the_single_run(created, order, small, tmp_path):
    """Counts, estimates, bounds and truth are those of `run` with the same settings and seed."""
    outcome = perform(order(created, 3))
    assert outcome.state == "done" and outcome.shots == 40 and outcome.seconds > 0
    with Station.open("two_ensemble", rehearse="two_ensemble.lab.yaml", seed=4) as station:
        alone = run(RamseyEllipse(**small, shots=40), station, data=tmp_path, seed=4)
    sweep = Sweep.open(created.path)
    mine = sweep.runs.at(shots=40, seed=4)
    assert np.array_equal(mine.load("shot")["counts"], alone.run.load("shot")["counts"])
    assert mine.state == "complete" and mine.verify().ok
    found = sweep.results.sel(shots=40, seed=4)
    phase = found.sel(quantity="phase")
    assert float(phase["estimate"]) == alone.estimate["phase"].value
    assert float(phase["std"]) == alone.estimate["phase"].std
    assert (float(phase["interval_low"]), float(phase["interval_high"])) == (
        alone.estimate["phase"].interval
    )
    assert float(phase["truth"]) == alone.truth["phase"]
    assert float(found["cramer_rao_std"]) == alone.bounds.cramer_rao_std
    assert float(found["gain_db"]) == alone.gain_db
    # 40 shots of 50 ms in two blocks, on the laboratory's clock
    assert 2.0 <= float(found["laboratory_duration"]) < 60.0


def test_results_say_what_is_not_there(created, order):
    """Tasks that wait are NaN with state "waiting"; axes are described by the protocol."""
    perform(order(created, 0))
    results = Sweep.open(created.path).results
    assert results["estimate"].dims == ("shots", "seed", "quantity")
    assert results["shots"].attrs["long_name"] == "good shots to take"
    assert results["task_state"].values.tolist() == [["done", "waiting"], ["waiting", "waiting"]]
    assert np.isfinite(results["std"].sel(shots=20, seed=3)).all()
    assert np.isnan(results["std"].sel(shots=40)).all()
    assert dict(zip(results["quantity"].values, results["unit"].values, strict=True))["phase"] == (
        "rad"
    )


def test_a_task_that_is_done_is_not_done_again(created, order):
    """A second worker with the same order reports the first one's run, and makes none."""
    first = perform(order(created, 1))
    assert perform(order(created, 1)) == first
    assert Sweep.open(created.path).abandoned == ()


def test_the_first_end_mark_stays(created):
    """Of many workers that finish the same task at once, exactly one run counts for all."""
    ready = threading.Barrier(8)

    def finish(number: int) -> TaskOutcome:
        ready.wait()
        return put_outcome(created.path, TaskOutcome(0, "done", run=f"runs/d/{number}"))

    with ThreadPoolExecutor(8) as pool:
        winners = set(pool.map(finish, range(8)))
    assert len(winners) == 1 and read_outcome(created.path, 0) in winners
    assert [path.name for path in (created.path / "tasks").iterdir()] == ["000000.json"]


def test_a_run_that_fails_is_an_outcome(created, order):
    """The reason travels to the catalogue, the failed run does not count, the task stays open."""
    outcome = perform(order(created, 0, settings={"shots": 20, "hold": 7.05e-3}))
    assert outcome.state == "failed" and "ApparatusRefusal" in outcome.message
    assert outcome.run is not None and (created.path / outcome.run).is_dir()
    assert read_outcome(created.path, 0) is None
    assert len(Sweep.open(created.path).abandoned) == 1


def test_a_worker_of_another_version_refuses(created, order):
    """Equal orders mean equal runs only with equal code."""
    outcome = perform(order(created, 0, version="0.0.1"))
    assert outcome.state == "failed" and "same version" in outcome.message


def test_threads_of_one_worker_take_turns(created, order):
    """One process has one station: tasks side by side in threads all succeed."""
    with ThreadPoolExecutor(3) as pool:
        states = list(pool.map(perform, [order(created, k) for k in range(3)]))
    assert [one.state for one in states] == ["done"] * 3


def test_the_catalogue_catches_up_with_the_end_marks(created, order):
    """A sweep whose client died before writing the catalogue knows its finished tasks again."""
    done = perform(order(created, 2))
    assert json.loads((created.path / "sweep.json").read_text())["tasks"][2]["state"] == "waiting"
    opened = Sweep.open(created.path / "sweep.json")
    assert opened.outcomes[2] == done and list(opened.runs) == [2] and not opened.done
    with pytest.raises(KeyError, match="no finished run"):
        opened.runs[0]
    with pytest.raises(KeyError, match="axes are"):
        opened.runs.at(colour="red")
    with pytest.raises(KeyError, match="2 tasks"):
        opened.runs.at(seed=3)


def test_a_damaged_sweep_is_told(created, tmp_path):
    """No catalogue, an unreadable one, one from the future, and a torn end mark."""
    with pytest.raises(RunNotFoundError, match=r"no sweep\.json"):
        Sweep.open(tmp_path / "nowhere")
    (created.path / "tasks" / "000001.json").write_text("{")
    with pytest.raises(DamagedRunError, match="repeats the task"):
        Sweep.open(created.path)
    catalogue = created.path / "sweep.json"
    stored = json.loads(catalogue.read_text())
    catalogue.write_text(json.dumps({**stored, "format": 99}))
    with pytest.raises(FormatVersionError, match="newer"):
        Sweep.open(created.path)
    del stored["plan"]["seeds"]
    catalogue.write_text(json.dumps(stored))
    with pytest.raises(DamagedRunError, match="seeds"):
        Sweep.open(created.path)
    catalogue.write_text("[")
    with pytest.raises(DamagedRunError, match="damaged"):
        Sweep.open(created.path)


def test_a_laboratory_that_changed_is_not_continued(created):
    """The rest of the tasks would answer from another laboratory."""
    catalogue = created.path / "sweep.json"
    stored = json.loads(catalogue.read_text())
    stored["files"]["two_ensemble.lab.yaml"] = "0" * 64
    catalogue.write_text(json.dumps(stored))
    with pytest.raises(SweepSettingsError, match=r"two_ensemble\.lab\.yaml changed"):
        Sweep.open(created.path).continue_()


def test_one_process_at_a_time_runs_a_sweep(created):
    """A second one is refused while the first holds the sweep."""
    from cavitylab.protocols.sweeps.sweep import _alone

    with _alone(created.path), pytest.raises(SweepBusyError, match="another process"):
        Sweep.open(created.path).continue_()


def test_without_dask_the_extra_is_named(monkeypatch, tmp_path, created):
    """Nothing is made before it is known that the sweep could run."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(sweeps.MissingExtraError, match=r"cavitylab\[sweep\]"):
        sweeps.run_sweep("ramsey_ellipse", {}, 1, data=tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(sweeps.MissingExtraError):
        created.continue_()
