"""`cavitylab serve`: the simulated instruments on loopback TCP, for any client."""

from __future__ import annotations

import signal
import time
from types import FrameType

LOOK_EVERY = 0.1
"""Seconds between looks at whether a signal came."""


def serve(laboratory: str, seed: int | None, native: bool, drifts: bool) -> None:
    """Serve until Ctrl-C or SIGTERM; one line for each instrument, then ``ready``."""
    from ..instruments.clock import RealClock
    from ..instruments.shipped import find_file
    from ..instruments.simulated.registry import Options, open_laboratory
    from ..instruments.simulated.server import LaboratoryServer

    file = find_file(laboratory, ".lab.yaml")
    options = Options(seed=seed, virtual=False, drifts=drifts)
    over: list[int] = []  # a plain list: an Event's lock could be held where the signal comes

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        over.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    with LaboratoryServer(open_laboratory(str(file), options, RealClock()), native) as server:
        for point in server.endpoints:
            print(f"{point.name}  {point.host}:{point.port}  {point.visa_address}", flush=True)
        print("ready; Ctrl-C ends it", flush=True)
        while not over:
            time.sleep(LOOK_EVERY)
