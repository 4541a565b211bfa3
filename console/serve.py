"""`cavitylab serve`: the simulated instruments on loopback TCP, for any client."""

from __future__ import annotations

import signal
import threading
from pathlib import Path


def serve(laboratory: Path, seed: int | None, native: bool, drifts: bool) -> None:
    """Serve until Ctrl-C or SIGTERM; one line for each instrument, then ``ready``."""
    from ..instruments.simulated.server import LaboratoryServer

    server = LaboratoryServer(laboratory, seed=seed, native=native, drifts=drifts)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    endpoints = server.start()
    try:
        for end in endpoints:
            print(f"{end.name}  {end.host}:{end.port}  {end.address}", flush=True)
        print("ready; Ctrl-C ends it", flush=True)
        over.wait()
    finally:
        server.stop()
