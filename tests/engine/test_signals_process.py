"""Real signals to a real process that runs a rehearsal: it ends safely and keeps its shots."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cavitylab.protocols.recording import Run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

PROGRAM = """
import json, sys, time
from cavitylab import Station, run
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.engine import events

data, settings, options, pause = sys.argv[1], *map(json.loads, sys.argv[2:5])

def say(text):
    print(text, flush=True)

def listen(event):
    if isinstance(event, events.BlockRecorded):
        say(f"acknowledged {event.acknowledged}")
        time.sleep(0.2)
    if isinstance(event, events.RunFinished):
        sent_when_safe.append(len(station.journal.sent()))

def on_pause(progress):
    say(f"paused {progress.shots}")
    return sys.stdin.readline().strip() == "go on"

sent_when_safe = []
laboratory = {"rehearse": "two_ensemble.lab.yaml", "seed": 4, "options": options}
with Station.open("two_ensemble", **laboratory) as station:
    station.journal.add_listener(lambda m: say("fired") if m.text == "*TRG" else None)
    result = run(RamseyEllipse(**settings), station, data=data, subscribers=(listen,),
                 on_pause=on_pause if pause else None)
    off = [
        not station.instruments["coil_supply"].output_enabled.cache.get(),
        len(station.journal.sent()) == sent_when_safe[0],
    ]
say(json.dumps({"state": result.state.value, "shots": result.shots, "unsafe": result.unsafe,
                "path": str(result.path), "off": off,
                "sent_later": len(station.journal.sent()) - sent_when_safe[0]}))
"""


class Rehearsal:
    """The process; its lines are read one by one."""

    def __init__(self, data: Path, settings: dict[str, Any], options: dict[str, str], pause: bool):
        arguments = [str(data), json.dumps(settings), json.dumps(options), json.dumps(pause)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def lines(self) -> Iterator[str]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield line.strip()

    def until(self, wanted: str) -> None:
        """Read up to a line that begins like this."""
        for line in self.lines():
            if line.startswith(wanted):
                return
        raise AssertionError(f"the process ended without saying {wanted!r}")

    def tell(self, *signals: signal.Signals) -> float:
        """Send signals; the time at which they were sent."""
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.3)
        return time.monotonic()

    def outcome(self) -> dict[str, Any]:
        """What the process says at its end."""
        *_, last = self.lines()
        assert self.process.wait(30) == 0
        result: dict[str, Any] = json.loads(last)
        return result


@pytest.fixture
def start(tmp_path) -> Iterator[Any]:
    """Start processes; those still alive at the end are killed."""
    started: list[Rehearsal] = []

    def begin(settings: dict[str, Any], options: dict[str, str], pause: bool = False) -> Rehearsal:
        started.append(Rehearsal(tmp_path, settings, options, pause))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.communicate()


def check_safe(outcome: dict[str, Any]) -> Run:
    """Everything off, nothing sent afterwards, the store in order with all counted shots."""
    assert outcome["unsafe"] == [] and outcome["off"] == [True, True]
    assert outcome["sent_later"] == 0
    stored = Run.open(outcome["path"])
    assert stored.state == "stopped" and stored.verify().ok
    assert stored.shots == outcome["shots"]
    return stored


@pytest.mark.slow
def test_ctrl_c_without_a_terminal_stops_after_the_block(start):
    """Whole blocks only, and every acknowledged one of them."""
    rehearsal = start({"shots": 2000, "block": 20, "coil_check": 0}, {})
    rehearsal.until("acknowledged 40")
    rehearsal.tell(signal.SIGINT)
    outcome = rehearsal.outcome()
    assert outcome["state"] == "stopped" and 40 <= outcome["shots"] < 2000
    assert outcome["shots"] % 20 == 0
    check_safe(outcome)


@pytest.mark.slow
@pytest.mark.parametrize("signals", [(signal.SIGTERM,), (signal.SIGINT,) * 5])
def test_sigterm_and_more_ctrl_c_stop_in_the_middle_of_a_block(start, signals):
    """On the real clock a block of 100 s is left at once; further Ctrl-C change nothing."""
    rehearsal = start({"shots": 2000, "block": 2000, "coil_check": 0}, {"clock": "real"})
    rehearsal.until("fired")
    sent = rehearsal.tell(*signals)
    outcome = rehearsal.outcome()
    assert time.monotonic() - sent < 20
    assert outcome["state"] == "stopped" and outcome["shots"] == 0
    check_safe(outcome)


@pytest.mark.slow
def test_ctrl_c_at_a_terminal_pauses_and_a_second_one_at_the_prompt_stops(start):
    """Going on takes further blocks; Ctrl-C at the prompt ends the question and the run."""
    rehearsal = start({"shots": 2000, "block": 20, "coil_check": 0}, {}, pause=True)
    rehearsal.until("acknowledged 20")
    rehearsal.tell(signal.SIGINT)
    rehearsal.until("paused")
    assert rehearsal.process.stdin is not None
    rehearsal.process.stdin.write("go on\n")
    rehearsal.process.stdin.flush()
    rehearsal.until("acknowledged")
    rehearsal.tell(signal.SIGINT)
    rehearsal.until("paused")
    rehearsal.tell(signal.SIGINT)
    outcome = rehearsal.outcome()
    assert outcome["state"] == "stopped" and outcome["shots"] >= 40
    assert "resumed" in [event["kind"] for event in check_safe(outcome).events()]
