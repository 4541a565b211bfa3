"""Sweeps on real Dask clusters: killed workers, ended clients, other schedulers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import xarray as xr

from cavitylab.protocols.sweeps import Sweep, SweepProgress, run_sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]  # a busy computer only takes longer

SEEDS = range(2)
CHANGES = ("duration", "laboratory_duration", "run_path")
"""What two equal sweeps may differ in: times on the wall, and names of folders."""


@pytest.fixture(scope="module")
def grid(small: dict[str, Any]) -> dict[str, Any]:
    """Four combinations of settings."""
    return {**small, "shots": [40, 60], "detuning_hz": [1000.0, 1100.0]}


@pytest.fixture(scope="module")
def undisturbed(grid: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The sweep with which nothing interfered, on two workers."""
    seen: list[SweepProgress] = []
    data = tmp_path_factory.mktemp("undisturbed")
    sweep = run_sweep("ramsey_ellipse", grid, SEEDS, data=data, workers=2, progress=seen.append)
    assert [one.done for one in seen] == list(range(9))
    assert seen[0].remaining is None and seen[-1].remaining == 0.0
    return sweep


def records_of(sweep: Sweep) -> list[dict[str, np.ndarray]]:
    """Every recorded array of the runs that count; times from the first shot on."""
    found = []
    for run in sweep.runs.values():
        assert run.state == "complete"
        shots = run.load("shot")
        shots["time"] = shots["time"] - shots["time"][0]
        found.append({**shots, **run.load("point")})
    return found


def assert_equal_sweeps(one: Sweep, other: Sweep) -> None:
    """Answers and records are the same, bit by bit."""
    left, right = (sweep.results.drop_vars(CHANGES) for sweep in (one, other))
    xr.testing.assert_identical(left.drop_attrs(), right.drop_attrs())
    mine, yours = records_of(one), records_of(other)
    assert len(mine) == len(yours) == len(one.plan)
    for here, there in zip(mine, yours, strict=True):
        assert here.keys() == there.keys()
        assert all(np.array_equal(here[name], there[name]) for name in here)


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The worker processes that a client has started."""
    return [
        child
        for child in process.children(recursive=True)
        if any("spawn_main" in word for word in child.cmdline())
    ]


def test_the_grid_is_all_there(undisturbed, grid):
    """Every task once, each in its place: the records have the shots that their place says."""
    assert undisturbed.done and undisturbed.failed == () and undisturbed.abandoned == ()
    results = undisturbed.results
    assert results.sizes == {"shots": 2, "detuning_hz": 2, "seed": 2, "quantity": 6}
    assert (results["good_shots"] == results["shots"]).all()
    for shots in grid["shots"]:
        run = undisturbed.runs.at(shots=shots, detuning_hz=1100.0, seed=1)
        assert run.shots == shots and run.load("point")["detuning_difference"][0] == 1100.0
    catalogue = json.loads((undisturbed.path / "sweep.json").read_text())
    assert [row["state"] for row in catalogue["tasks"]] == ["done"] * 8
    assert len({row["run"] for row in catalogue["tasks"]}) == 8


def test_killed_workers_change_nothing(undisturbed, grid, tmp_path):
    """`kill -9` of every worker, twice, in the middle of their runs: the same sweep in the end."""
    killed: list[int] = []

    def kill(state: SweepProgress) -> None:
        if state.done in (1, 4):
            for worker in workers_of(psutil.Process()):
                killed.append(worker.pid)
                worker.kill()

    sweep = run_sweep("ramsey_ellipse", grid, SEEDS, data=tmp_path, workers=2, progress=kill)
    assert len(killed) >= 2 and sweep.done
    assert_equal_sweeps(sweep, undisturbed)
    counting = {one.run for one in sweep.outcomes}
    assert len(counting) == 8
    assert not any(str(run.relative_to(sweep.path)) in counting for run in sweep.abandoned)


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_an_ended_client_is_continued(undisturbed, grid, tmp_path, ending):
    """Ctrl-C or `kill -9` of `cavitylab sweep`: `--resume` runs only what was not done."""
    words = [sys.executable, "-m", "cavitylab", "sweep"]
    sets = [
        f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in grid.items()
    ]
    options = [word for text in sets for word in ("--set", text)]
    begin = [*words, "ramsey_ellipse", *options, "--seeds", "0:2", "--data", str(tmp_path)]
    client = subprocess.Popen(
        [*begin, "--workers", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    workers = ended_after(client, lines=2, ending=ending)
    errors = client.communicate(timeout=250)[1]
    (folder,) = tmp_path.glob("*/*")
    if ending is signal.SIGINT:
        assert client.returncode == 3, errors
        assert f"--resume {folder}" in errors
    assert all(gone(worker) for worker in workers), "workers outlived their client"
    first = {one.task: one.run for one in Sweep.open(folder).outcomes if one.state == "done"}
    assert 1 <= len(first) < 8
    done = subprocess.run(
        [*words, "--resume", str(folder), "--workers", "2", "--json"],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["done"] == document["tasks"] == 8 and document["failed"] == []
    sweep = Sweep.open(folder)
    assert {task: sweep.outcomes[task].run for task in first} == first
    assert_equal_sweeps(sweep, undisturbed)


def ended_after(
    client: subprocess.Popen[str], *, lines: int, ending: signal.Signals
) -> list[psutil.Process]:
    """Wait for so many lines of progress, then end the client; returns its workers."""
    if client.stdout is None:
        raise RuntimeError("the client has no standard output")
    for _ in range(lines):
        client.stdout.readline()
    workers = workers_of(psutil.Process(client.pid))
    if ending is signal.SIGINT:  # a terminal sends it to everybody in the foreground
        os.killpg(client.pid, ending)
    else:
        os.kill(client.pid, ending)
    return workers


def gone(process: psutil.Process, within: float = 60.0) -> bool:
    """Whether a process ends by itself."""
    end = time.monotonic() + within
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_a_scheduler_that_runs_already_is_used(undisturbed, grid, tmp_path):
    """By address, with workers of two threads; the cluster is left running."""
    distributed = pytest.importorskip("distributed")
    part = {**grid, "shots": [40]}
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=True,
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
    ) as cluster:
        sweep = run_sweep(
            "ramsey_ellipse", part, SEEDS, data=tmp_path, scheduler=cluster.scheduler_address
        )
        assert len(cluster.scheduler.workers) == 1
    assert sweep.done
    mine = sweep.results.drop_vars(CHANGES).drop_attrs()
    theirs = undisturbed.results.sel(shots=[40]).drop_vars(CHANGES).drop_attrs()
    xr.testing.assert_identical(mine, theirs)


def test_tasks_that_fail_are_told_and_tried_again(small, tmp_path):
    """A combination that the laboratory refuses fails alone, with the reason and exit code 1."""
    words = [sys.executable, "-m", "cavitylab", "sweep", "ramsey_ellipse"]
    settings = {**small, "shots": 20, "preparation_rabi_hz": 1e4, "atoms_per_ensemble": 100}
    # 7.05 ms is just long enough by the calibrations, and too short in this laboratory
    sets = [f"{key}={value}" for key, value in settings.items()] + ["hold=7.05e-3,12e-3"]
    options = [word for text in sets for word in ("--set", text)]
    done = subprocess.run(
        [*words, *options, "--seeds", "3", "--workers", "1", "--data", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 1, done.stderr
    assert "too short" in done.stdout and "--resume" in done.stdout
    (folder,) = Path(tmp_path).glob("*/*")
    sweep = Sweep.open(folder)
    assert [one.state for one in sweep.outcomes] == ["failed", "done"]
    assert sweep.failed[0].run in {str(run.relative_to(folder)) for run in sweep.abandoned}


def test_nobody_at_the_address_is_told(small, tmp_path):
    """The scheduler's address is in the message."""
    from cavitylab.protocols.sweeps.cluster import SchedulerError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cavitylab.protocols.sweeps.cluster.CONNECT_WITHIN", 0.5)
        with pytest.raises(SchedulerError, match="127.0.0.1:9"):
            run_sweep(
                "ramsey_ellipse",
                {**small, "shots": 20},
                1,
                data=tmp_path,
                scheduler="tcp://127.0.0.1:9",
            )
