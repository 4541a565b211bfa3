"""`cavitylab serve`: the simulated instruments on loopback TCP, for any client."""

from __future__ import annotations

import signal
import threading


def serve(laboratory: str, seed: int | None, native: bool, drifts: bool) -> None:
    """Serve until Ctrl-C or SIGTERM; one line for each instrument, then ``ready``."""
    from ..instruments.clock import RealClock
    from ..instruments.shipped import find_file
    from ..instruments.simulated.registry import Options, open_laboratory
    from ..instruments.simulated.server import LaboratoryServer

    file = find_file(laboratory, ".lab.yaml")
    options = Options(seed=seed, virtual=False, drifts=drifts)
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    with LaboratoryServer(open_laboratory(str(file), options, RealClock()), native) as server:
        for end in server.endpoints:
            print(f"{end.name}  {end.host}:{end.port}  {end.visa_address}", flush=True)
        print("ready; Ctrl-C ends it", flush=True)
        over.wait()
