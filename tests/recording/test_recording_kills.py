"""`kill -9` at random instants: what was acknowledged is there, and right."""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cavitylab.protocols.recording import Run

CAMPAIGN = Path(__file__).with_name("kill_campaign.py")
from_seed = np.random.default_rng


def _acknowledged_until_killed(start_program, root: Path, seed: int) -> tuple[Path, int]:
    """Kill a writing process; its run and the shots it had been told are safe."""
    rng = from_seed(seed)
    process, pipe = start_program(
        "writing_program.py",
        root=str(root),
        seed=seed,
        largest_block=int(rng.choice([1, 30, 3000])),
        pause=float(rng.choice([0.0, 0.002])),
    )
    assert pipe.poll(60)
    path = Path(pipe.recv())
    deadline = time.monotonic() + rng.uniform(0.0, 0.7)
    acknowledged = 0
    while (left := deadline - time.monotonic()) > 0:
        if pipe.poll(left):
            acknowledged = pipe.recv()
    process.kill()
    process.join()
    try:
        while pipe.poll(0):
            acknowledged = pipe.recv()
    except EOFError:
        pass
    return path, acknowledged


@pytest.mark.parametrize("seed", range(5))
def test_kill_loses_no_acknowledged_shot(start_program, known, tmp_path, seed):
    """After a kill, opening the run gives every acknowledged shot, each as it was taken."""
    path, acknowledged = _acknowledged_until_killed(start_program, tmp_path, seed)
    run = Run.open(path)
    assert run.state == "interrupted"
    assert known.check_run(run) == run.shots >= acknowledged
    assert run.verify().ok, run.verify().problems
    assert sorted(file.name for file in path.iterdir()) == [
        "data.zarr",
        "publisher.lock",
        "run.lock",
    ]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("seed", range(10))
def test_hundreds_of_kills_over_resumes_lose_no_acknowledged_shot(processes, tmp_path, seed):
    """Writer, publisher, both, or recovery; xarray and tensorstore read it each time."""
    pytest.importorskip("tensorstore")
    tally = runpy.run_path(str(CAMPAIGN))["campaign"](tmp_path, seed, 20, processes)
    assert tally["writer"] == 20


def test_the_store_is_readable_before_recovery(start_program, known, tmp_path):
    """A dead run that nobody recovered is still a sound zarr store with a prefix of the rows."""
    path, _ = _acknowledged_until_killed(start_program, tmp_path, 7)
    run = Run.open(path, recover_dead=False)
    assert run.state == "interrupted"
    assert known.check(run.records) == run.shots
    assert known.check_run(Run.open(path)) >= run.shots


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL from within")
def test_recovery_may_be_killed_at_every_step(start_program, known, tmp_path):
    """Killed before each of its file operations in turn, recovery still ends in the same run."""
    path, acknowledged = _acknowledged_until_killed(start_program, tmp_path, 11)
    step, finished = 0, False
    while not finished:
        process, pipe = start_program("recovering_program.py", path=str(path), die_at=step)
        process.join(60)
        finished = process.exitcode == 0
        assert finished or process.exitcode == -9
        assert known.check(Run.open(path, recover_dead=False).records) >= 0
        step += 1
    assert step > 10
    run = Run.open(path)
    assert known.check_run(run) >= acknowledged
    assert run.state == "interrupted" and run.verify().ok


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL from within")
def test_resuming_may_be_killed_at_every_step(start_program, known, tmp_path):
    """Killed before each file operation of a resume, its first publish and its end."""
    path, acknowledged = _acknowledged_until_killed(start_program, tmp_path, 12)
    rows = known.check_run(Run.open(path))
    step, finished = 0, False
    while not finished:
        process, pipe = start_program(
            "recovering_program.py", path=str(path), die_at=step, resume=True
        )
        process.join(120)
        finished = process.exitcode == 0
        assert finished or process.exitcode == -9
        run = Run.open(path)
        assert known.check_run(run) == rows >= acknowledged and run.verify().ok
        step += 1
    assert step > 20 and run.state == "stopped"


def test_follow_survives_the_death_of_the_writer(start_program, known, tmp_path):
    """Somebody who follows a run whose writer dies gets every acknowledged row, then the end."""
    process, pipe = start_program(
        "writing_program.py", root=str(tmp_path), seed=3, largest_block=50, pause=0.002
    )
    path = Path(pipe.recv())
    position = acknowledged = 0
    for block in Run.open(path).follow("shot", poll=0.01):
        position += known.check(block, first=position)
        if position > 2000:
            process.kill()
    while pipe.poll(0):
        try:
            acknowledged = pipe.recv()
        except EOFError:
            break
    assert position >= acknowledged
    assert Run.open(path).shots == position
