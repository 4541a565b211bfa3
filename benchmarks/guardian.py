"""How long does a laboratory stay unsafe when the program that runs it is killed?

The simulated laboratory is served on loopback TCP from this process, a run on it is started in
another and killed with SIGKILL at a random instant, and the outputs are watched: RF off and out of
the table mode, coil off, no burst running. Printed: the time to safe of every kill, the worst, and
whether anything was written afterwards.

    python benchmarks/guardian.py [--kills 50] [--seed 1]
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cavitylab.instruments.clock import RealClock
from cavitylab.instruments.shipped import find_file
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.registry import Options, open_laboratory
from cavitylab.instruments.simulated.server import LaboratoryServer

PROMISE = 5.0
"""Time in s within which everything is safe."""

LONGEST_LIFE = 4.0
"""A run is killed within so many s of its beginning: coil ramping, tables loading, shots."""

RUN = """
import sys
from cavitylab import Station, run
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.engine import events

def say(event):
    if isinstance(event, events.RunStarted):
        print(f"run {event.path}", flush=True)
    if isinstance(event, events.BlockRecorded):
        print(f"acknowledged {event.acknowledged}", flush=True)

with Station.open(sys.argv[1]) as station:
    protocol = RamseyEllipse(shots=int(sys.argv[3]), block=10, shot_period=0.03, coil_check=0)
    result = run(protocol, station, data=sys.argv[2], subscribers=[say])
print(result.state.value, *result.unsafe, flush=True)
"""

_QUESTION = re.compile(
    r"INFO|VERSION|TEMP|VMON|.*\?.*|\(param-ref.*|(FREQ|POW|PHASE|LIMIT|MODE|STATUS)[^,]*,\d", re.I
)


class Table:
    """The laboratory, and what its outputs do at this moment."""

    def __init__(self, laboratory: Laboratory, station: Path) -> None:
        self.laboratory = laboratory
        self.station = station

    def unsafe(self) -> list[str]:
        """Outputs that are on; empty when the table is safe."""
        devices: dict[str, Any] = self.laboratory.devices
        with self.laboratory.lock:
            found = [
                f"rf channel {number}"
                for number, channel in devices["rf"].channels.items()
                if channel.signal or channel.power or channel.mode == "TSB"
            ]
            if devices["coil_supply"].output:
                found.append("coil")
            burst = self.laboratory.burst
            if burst is not None and self.laboratory.now() < burst.finish:
                found.append("burst")
        return found

    def await_safe(self, patience: float) -> float:
        """Seconds until everything is safe.

        Raises:
            TimeoutError: It is not; says what is on.
        """
        began = time.monotonic()
        while left := self.unsafe():
            if time.monotonic() - began > patience:
                raise TimeoutError(f"after {patience} s still on: {', '.join(left)}")
            time.sleep(0.005)
        return time.monotonic() - began

    def sent(self) -> list[str]:
        """Every message that the devices have seen, oldest first."""
        return [f"{m.instrument} {m.text}" for m in self.laboratory.journal if m.direction == ">"]

    def written(self) -> list[str]:
        """Those of them that do more than ask."""
        return [one for one in self.sent() if not _QUESTION.fullmatch(one.partition(" ")[2])]


@contextmanager
def table(folder: Path, without: str | None = None) -> Iterator[Table]:
    """Serve the shipped laboratory on free ports, with a station file that leads there.

    Args:
        folder: Where the station file is written.
        without: An instrument whose address leads nowhere.
    """
    source = find_file("two_ensemble", ".yaml")
    laboratory = open_laboratory(
        str(find_file("two_ensemble", ".lab.yaml")), Options(virtual=False), RealClock()
    )
    with LaboratoryServer(laboratory) as server:
        text = source.read_text(encoding="utf-8")
        for end, address in zip(server.endpoints, re.findall(r"address: (\S+)", text), strict=True):
            port = 1 if end.name == without else end.port
            text = text.replace(address, f"TCPIP0::127.0.0.1::{port}::SOCKET")
        # Amplifiers that settle at once, so that shots are taken within a kill's time.
        text = re.sub(r"( +)max_power: 30.0.*", r"\g<0>\n\1warm_up: 0.1", text)
        station = folder / "station.yaml"
        station.write_text(text, encoding="utf-8")
        (folder / "calibrations").mkdir(exist_ok=True)
        for file in (source.parent / "calibrations").glob("*.yaml"):
            (folder / "calibrations" / file.name).write_bytes(file.read_bytes())
        yield Table(laboratory, station)


def start_run(station: Path, data: Path, shots: int = 10_000) -> subprocess.Popen[str]:
    """A run in a process of its own, in which it has just begun (its guardian watches)."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(station), str(data), str(shots)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    line = process.stdout.readline() if process.stdout else ""
    if not line.startswith("run "):
        raise RuntimeError(f"the run did not begin: {line}{process.communicate()[1]}")
    return process


@dataclass(frozen=True, slots=True)
class Kill:
    """One killed run.

    Attributes:
        lived: How long the run had gone on, in s.
        was_on: Outputs that were on when it died.
        safe_after: Time from the kill until everything was safe, in s.
        written: Messages that the guardian sent to change something.
        written_later: Messages after everything was safe; the guardian may still be closing.
        said: What the guardian said.
    """

    lived: float
    was_on: tuple[str, ...]
    safe_after: float
    written: int
    written_later: int
    said: str


def kill_once(bench: Table, data: Path, lived: float, patience: float = 60.0) -> Kill:
    """Start a run, kill it after `lived` seconds, and watch the table until the guardian is done.

    Raises:
        TimeoutError: The table does not become safe.
    """
    process = start_run(bench.station, data)
    time.sleep(lived)
    before = len(bench.written())
    process.send_signal(signal.SIGKILL)
    died = time.monotonic()
    was_on = tuple(bench.unsafe())
    # Messages that were under way when the process died belong to it.
    bench.await_safe(patience)
    safe_after = time.monotonic() - died
    _, said = process.communicate(timeout=patience)  # ends when the guardian closes standard error
    if left := bench.unsafe():
        raise TimeoutError(f"safe for a while only: {left}")
    written = bench.written()[before:]
    time.sleep(0.3)
    later = len(bench.written()) - before - len(written)
    return Kill(lived, was_on, safe_after, len(written), later, said)


def main() -> None:
    """The table of the module's description."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    instants = random.Random(given.seed)
    kills: list[Kill] = []
    with tempfile.TemporaryDirectory() as folder, table(Path(folder)) as bench:
        for number in range(given.kills):
            kill = kill_once(bench, Path(folder) / "data", instants.uniform(0.0, LONGEST_LIFE))
            kills.append(kill)
            on = ", ".join(kill.was_on) or "nothing"
            print(
                f"{number + 1:3d}  killed after {kill.lived:5.2f} s with {on} on: safe after "
                f"{kill.safe_after:5.2f} s, {kill.written} messages, {kill.written_later} later",
                flush=True,
            )
    worst = max(kill.safe_after for kill in kills)
    late = sum(kill.safe_after > PROMISE for kill in kills)
    print(f"worst of {len(kills)}: {worst:.2f} s; later than {PROMISE:g} s: {late}")
    raise SystemExit(1 if late or any(kill.written_later for kill in kills) else 0)


if __name__ == "__main__":
    main()
