"""Publishing in a process of its own, so that a fast run does not wait for the compression.

The writer sends one line, "publish" and a frame's number; the child (`publisher_program`)
answers with one line of JSON: the last frame in the store and the seconds it took, or what
failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from typing import Any

from .errors import StorageError, storage_error
from .layout import RunPaths

_ANSWER_SECONDS = 60.0
_EXIT_SECONDS = 10.0
_PROGRAM = f"{__package__}.publisher_program"


class PublisherProcess:
    """The writer's end. One request at a time."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", _PROGRAM, str(paths.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            **_own_group(),
        )
        self._answers: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, name="publisher answers", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def publish(self, wanted: int) -> tuple[int, float]:
        """Publish up to frame `wanted` at least: the last frame, the seconds it took.

        Raises RecordingError kinds for what the child reports, and PublisherLostError when it
        is dead or does not answer; it is certainly dead then.
        """
        line = self._ask(b"publish %d\n" % wanted)
        if not line:
            self.stop(kill=True)
            raise PublisherLostError(
                f"the publisher process of {self._paths.root} is gone (exit code "
                f"{self._process.returncode})"
            )
        answer = json.loads(line)
        if "error" in answer:
            failure = OSError(answer["errno"], answer["error"])
            raise storage_error(failure, "publishing", self._paths.root)
        return int(answer["seq"]), float(answer["seconds"])

    def stop(self, *, kill: bool = False) -> None:
        """End the child and wait until it is gone."""
        if kill:
            self._process.kill()
        else:
            with contextlib.suppress(OSError, ValueError):  # it is dead already
                self._tell(b"stop\n")
        try:
            self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # the other end is gone
                    pipe.close()

    def _ask(self, command: bytes) -> bytes:
        """Send a command; the answer, empty when there will be none."""
        try:
            self._tell(command)
            return self._answers.get(timeout=_ANSWER_SECONDS)
        except (OSError, ValueError, queue.Empty):  # dead, or hanging
            return b""

    def _tell(self, command: bytes) -> None:
        pipe = self._process.stdin
        if pipe is not None:
            pipe.write(command)
            pipe.flush()

    def _listen(self) -> None:
        pipe = self._process.stdout
        if pipe is not None:
            try:
                for line in pipe:
                    self._answers.put(line)
            except ValueError:  # closed under us
                return
        self._answers.put(b"")


class PublisherLostError(StorageError):
    """The publisher process has died or hangs; nothing is lost, somebody else can publish."""


def _own_group() -> dict[str, Any]:
    """Ctrl-C goes to all processes of a terminal's group; it is not meant for the child."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
