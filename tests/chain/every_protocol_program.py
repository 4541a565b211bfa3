"""A program for tests: takes a run of any registered protocol in a forked child, in trouble.

Reads one JSON order a line, forks a child that obeys it, and answers with one JSON line: how the
child ended, and what it said. Imports are paid for once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

import cavitylab.instruments.simulated.visa  # noqa: F401  (or every child would import it)
from cavitylab import Station, run
from cavitylab.protocols import protocol_by_name, shipped_rehearsal
from cavitylab.protocols.engine import events, resume_options
from cavitylab.protocols.engine.guards import Trip
from cavitylab.protocols.engine.records import Status

SEED = 5


class OnceUnfit:
    """A guard that finds the laboratory unfit at its second and third look."""

    def __init__(self) -> None:
        self._looks = 0

    def look(self, station: Any) -> list[Trip]:
        del station
        self._looks += 1
        return [Trip("door", "the door is open", Status.ABORTED)] if self._looks in (2, 3) else []


class OnceSpoiled:
    """A guard that spoils the first shot of the second block."""

    def __init__(self) -> None:
        self._blocks = 0

    def spoiled(self, counts: np.ndarray) -> tuple[np.ndarray, Trip]:
        self._blocks += 1
        mask = np.zeros(len(counts), dtype=bool)
        mask[0] = self._blocks == 2
        return mask, Trip("cosmic ray", "one shot is spoiled", Status.SATURATED)


def after(blocks: int, number: signal.Signals) -> Any:
    """A subscriber that sends this process a signal when so many blocks are durable."""
    seen = [0]

    def listen(event: events.RunEvent) -> None:
        if isinstance(event, events.BlockRecorded):
            seen[0] += 1
            if seen[0] == blocks:
                os.kill(os.getpid(), number)

    return listen


def obey(order: dict[str, Any]) -> dict[str, Any]:
    """Take the run, or what is left of it."""
    protocol = protocol_by_name(order["protocol"])(**order["settings"])
    station_file, _ = shipped_rehearsal(order["protocol"])
    resume = order["resume"]
    listeners = []
    if "signal" in order:
        listeners = [after(order["after"], signal.Signals[order["signal"]])]
    guards = [OnceUnfit(), OnceSpoiled()] if order.get("trouble") else []
    options = resume_options(resume) if resume else {"seed": str(SEED)}
    writes: list[str] = []
    with Station.open(station_file, rehearse=order["laboratory"], options=options) as station:
        safe = station.make_safe

        def counted() -> Any:
            writes.append("safe")
            return safe()

        station.make_safe = counted  # type: ignore[method-assign]
        result = run(
            protocol,
            station,
            data=order["data"],
            seed=None if resume else SEED,
            resume=resume,
            guards=guards,
            subscribers=listeners,
        )
        made_safe = len(writes)
    return {
        "state": result.state.name,
        "shots": result.shots,
        "planned": protocol.planned_shots,
        "unsafe": list(result.unsafe),
        "made_safe": made_safe,
    }


def main() -> None:
    """Serve orders until the input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        said = Path(order["said"])
        child = os.fork()
        if child == 0:
            code = 1
            try:
                said.write_text(json.dumps(obey(order)))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        told = json.loads(said.read_text()) if said.exists() else None
        said.unlink(missing_ok=True)
        print(json.dumps([os.waitstatus_to_exitcode(status), told]), flush=True)


if __name__ == "__main__":
    main()
