"""`python -m cavitylab.protocols.guardian STATION LOG PID`: started by the engine, not by hand."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from .watch import GOODBYE, READY

LOOK_EVERY = 0.1
"""Time between two looks at whether the engine still lives, in s."""


class Engine:
    """The process that is watched.

    Args:
        pid: Its number.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._farewell = False
        self._silent = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self._farewell = self._farewell or line.strip() == GOODBYE
        self._silent.set()

    def _lives(self) -> bool:
        """Whether it is still this process' parent: orphans get another one.

        Windows keeps the old number; there the closed pipe alone tells.
        """
        return sys.platform != "win32" and os.getppid() == self._pid

    def await_end(self) -> bool:
        """Return when it said goodbye (True) or died without (False).

        A closed pipe of a living process is not its death, and a process that died while a
        child of its own holds the pipe open is dead nevertheless.
        """
        while True:
            closed = self._silent.wait(LOOK_EVERY)
            if self._farewell:
                return True
            if sys.platform == "win32":
                if closed:
                    return False
                continue
            if not self._lives():
                self._silent.wait(LOOK_EVERY)  # a last word may still be in the pipe
                return self._farewell
            if closed:
                threading.Event().wait(LOOK_EVERY)


def main(station: str, log: str, pid: int) -> int:
    """Watch, and act if need be; the exit code: 0, or 4 when not everything could be made safe."""
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    engine = Engine(pid)
    # Loaded now, not when seconds count.
    from .rescue import Rescue

    rescue = Rescue(Path(station), Path(log), pid)
    print(READY, flush=True)
    if engine.await_end():
        return 0
    return rescue.act()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
