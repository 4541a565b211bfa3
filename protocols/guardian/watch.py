"""The engine's side: start the guardian, wait until it watches, say goodbye."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from ...instruments.errors import CavityLabError

LOG_FILE = "guardian.log"
"""Name of the guardian's log in the directory of a run; it exists only when it had to act."""

GOODBYE = "goodbye"
"""The one word that ends a guardian: the engine has made everything safe itself."""

READY = "ready"
"""What the guardian says when every import is done and it watches."""

READY_WITHIN = 60.0
"""Longest wait for a guardian to be ready, in s; a busy computer takes some for the imports."""

_LEAVE_WITHIN = 10.0


class GuardianError(CavityLabError, RuntimeError):
    """The guardian could not be started: nothing would make the station safe after a `kill -9`."""


class Guardian:
    """A guardian process that watches this process; use `Guardian.start`.

    The pipe to its standard input is the thread it hangs on: the operating system closes it when
    this process ends, however it ends.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @classmethod
    def start(cls, station_file: Path, run_directory: Path) -> Guardian:
        """Start a guardian of a station, and return while it is still loading.

        Args:
            station_file: The file that the station was opened from.
            run_directory: Where it leaves its log if it has to act.

        Raises:
            GuardianError: The process could not be started.
        """
        log = run_directory / LOG_FILE
        command = [sys.executable, "-m", __package__, str(station_file), str(log), str(os.getpid())]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                # A session of its own: Ctrl-C and hang-up of the engine's terminal pass it by.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except OSError as error:
            raise GuardianError(f"the guardian could not be started: {error}") from error
        return cls(process)

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._process.pid

    @property
    def watches(self) -> bool:
        """Whether its process lives."""
        return self._process.poll() is None

    def await_ready(self, timeout: float = READY_WITHIN) -> None:
        """Return when it watches.

        Raises:
            GuardianError: It ended, or said nothing for `timeout` seconds; it is then stopped.
        """
        said: queue.Queue[str] = queue.Queue()
        out = self._pipe(self._process.stdout)
        # In a thread, because a pipe has no time-out on every system.
        threading.Thread(target=lambda: said.put(out.readline()), daemon=True).start()
        try:
            line = said.get(timeout=timeout)
        except queue.Empty:
            line = ""
        if line.strip() != READY:
            self._process.kill()
            code = self._process.wait()
            raise GuardianError(
                f"the guardian did not get ready within {timeout:g} s (exit code {code}); what it "
                "said is on standard error. Mend that, or run without it: guardian=False"
            )

    def goodbye(self) -> None:
        """Everything is safe: it ends without touching an instrument. A second call does nothing.

        Never raises; a guardian that does not leave is ended, for it must not act any more.
        """
        pipe = self._pipe(self._process.stdin)
        if pipe.closed:
            return
        try:
            pipe.write(f"{GOODBYE}\n")
            pipe.close()
        except OSError:  # it is gone already
            pass
        try:
            self._process.wait(_LEAVE_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._pipe(self._process.stdout).close()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        if pipe is None:
            raise GuardianError("the guardian was started without its pipes")
        return pipe
