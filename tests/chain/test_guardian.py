"""A run is killed without a chance to say goodbye: the guardian leaves every output safe."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cavitylab.protocols.guardian import Guardian, GuardianError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

KILLS = 4
NO_PROCESS = str(2**22 + 1)
"""A process number that no Linux or macOS gives away."""


def load() -> ModuleType:
    """The campaign in `benchmarks/guardian.py`, of which the tests here are a short form."""
    path = Path(__file__).parents[2] / "benchmarks" / "guardian.py"
    spec = importlib.util.spec_from_file_location("guardian_campaign", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


campaign = load()


@pytest.fixture
def bench(tmp_path):
    """The shipped laboratory on TCP."""
    with campaign.table(tmp_path) as table:
        yield table


def guardian_of(run: subprocess.Popen[str]) -> int:
    """Process number of a run's guardian."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    for line in listed.splitlines():
        pid, parent, arguments = line.split(None, 2)
        if int(parent) == run.pid and "cavitylab.protocols.guardian" in arguments:
            return int(pid)
    raise AssertionError("the run has no guardian")


@pytest.mark.parametrize("number", range(KILLS))
def test_kill_9_leaves_every_output_safe(bench, tmp_path, number):
    """At a random instant, some of them in a burst; all safe, and nothing is written later.

    The promised 5 s are judged by `benchmarks/guardian.py`: here other tests have the processors.
    """
    lived = random.Random(1000 + number).uniform(0.0, campaign.LONGEST_LIFE)
    kill = campaign.kill_once(bench, tmp_path / "data", lived)
    assert kill.safe_after < 60.0 and kill.written_later == 0
    assert "everything is safe" in kill.said and "NOT SAFE" not in kill.said
    (log,) = (tmp_path / "data").glob("*/*/guardian.log")
    text = log.read_text()
    assert text.index("MODE,1,NSB") < text.index("OUTP OFF"), "RF first, then the coil"
    assert "everything is safe" in text


def test_a_living_engine_and_a_goodbye_are_respected(bench, tmp_path):
    """A stopped process lives; signals of the terminal pass by; after goodbye nothing is sent."""
    run = campaign.start_run(bench.station, tmp_path / "data", shots=40)
    guardian = guardian_of(run)
    assert os.getsid(guardian) != os.getsid(run.pid), "a session of its own"
    for number in (signal.SIGINT, signal.SIGHUP):
        os.kill(guardian, number)
    run.send_signal(signal.SIGSTOP)
    time.sleep(0.2)  # what was on the wire arrives
    before = bench.sent()
    time.sleep(1.0)
    assert bench.sent() == before
    run.send_signal(signal.SIGCONT)
    out, said = run.communicate(timeout=250)
    assert run.returncode == 0 and out.splitlines()[-1] == "done" and "guardian" not in said
    assert bench.unsafe() == []
    with pytest.raises(ProcessLookupError):
        os.kill(guardian, 0)
    assert not list((tmp_path / "data").glob("*/*/guardian.log"))


def rescue(station: Path, log: Path) -> subprocess.CompletedProcess[str]:
    """A guardian whose engine is dead from the beginning."""
    return subprocess.run(
        [sys.executable, "-m", "cavitylab.protocols.guardian", str(station), str(log), NO_PROCESS],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=250,
    )


def switch_everything_on(bench: Any) -> None:
    """Outputs as a dead run leaves them."""
    devices = bench.laboratory.devices
    with bench.laboratory.lock:
        for channel in devices["rf"].channels.values():
            channel.signal = channel.power = True
        coil = devices["coil_supply"]
        coil.mode, coil.level["CURR"], coil.output = "CURR", 2.0, True


def test_what_cannot_be_reached_is_named_and_the_rest_made_safe(tmp_path):
    """No answer from the coil supply: exit code 4, its name on standard error, RF off."""
    with campaign.table(tmp_path, without="coil_supply") as bench:
        switch_everything_on(bench)
        done = rescue(bench.station, tmp_path / "guardian.log")
        assert done.returncode == 4
        assert re.search(r"NOT SAFE: gradient: .*coil_supply.*127\.0\.0\.1::1::", done.stderr)
        assert "look at these instruments NOW" in done.stderr
        assert bench.unsafe() == ["coil"]
    assert "NOT SAFE: gradient" in (tmp_path / "guardian.log").read_text()


def test_a_station_that_somebody_else_has_by_then_is_left_alone(bench, tmp_path):
    """Whoever opened it after the death has the instruments, and the duty."""
    run = campaign.start_run(bench.station, tmp_path / "data")
    done = rescue(bench.station, tmp_path / "guardian.log")
    assert done.returncode == 4 and f"process {run.pid}" in done.stderr
    assert "nothing was touched" in done.stderr
    run.send_signal(signal.SIGTERM)
    out, _ = run.communicate(timeout=250)
    assert out.splitlines()[-1].startswith("stopped") and bench.unsafe() == []


def test_a_log_that_cannot_be_written_changes_nothing(bench, tmp_path):
    """The folder of the run is gone: said on standard error, made safe all the same."""
    switch_everything_on(bench)
    done = rescue(bench.station, tmp_path / "gone" / "guardian.log")
    assert done.returncode == 0 and "everything is safe" in done.stderr
    assert bench.unsafe() == []


def test_a_guardian_that_cannot_start_is_refused(tmp_path):
    """A station file that cannot be read: an error before anything is touched."""
    guardian = Guardian.start(tmp_path / "none.yaml", tmp_path)
    with pytest.raises(GuardianError, match="did not get ready"):
        guardian.await_ready()
    guardian.goodbye()
    assert not guardian.watches
