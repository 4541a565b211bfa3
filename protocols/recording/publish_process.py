"""Publishing in a process of its own, so that a fast run does not wait for the compression.

The writer sends one line, "publish"; the child answers with one line of JSON: the last frame in
the store and the seconds it took, or what failed. When the writer dies, the child's input ends:
the child then brings the run to its end like anybody who opens it, and exits.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import RecordingError, StorageError, storage_error
from .finalise import recover
from .journal import Journal
from .layout import RunPaths, publisher_lock
from .publisher import Publisher

_ANSWER_SECONDS = 60.0
_EXIT_SECONDS = 10.0
_LOCK_SECONDS = 30.0
_ORPHAN_CHECK_SECONDS = 1.0


class PublisherProcess:
    """The writer's end. One request at a time."""

    def __init__(self, paths: RunPaths) -> None:
        self._paths = paths
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(paths.root)],
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

    def publish(self) -> tuple[int, float]:
        """Everything in the journal is in the store: the last frame, the seconds it took.

        Raises RecordingError kinds for what the child reports, and PublisherLostError when it
        is dead or does not answer; it is certainly dead then.
        """
        line = self._ask(b"publish\n")
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


# --- the child ------------------------------------------------------------------------------


def main(run: str) -> int:
    """Serve until told to stop, or until the writer is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    paths = RunPaths(Path(run))
    with publisher_lock(paths, _LOCK_SECONDS) as locked:
        if not locked:
            return 1
        for command in _commands():
            if command == b"stop":
                return 0
            if command == b"publish":
                _answer(_published(paths))
    try:
        recover(paths)
    except RecordingError as error:
        print(f"recovering {paths.root}: {error}", file=sys.stderr)
        return 1
    return 0


class _Served:
    """The publisher between two requests, and the journal that it reads."""

    publisher: Publisher | None = None
    journal: Journal | None = None


def _published(paths: RunPaths) -> dict[str, Any]:
    try:
        if _Served.journal is None:
            _Served.journal = Journal.open(paths.journal, read_only=True)
        if _Served.publisher is None:
            source = _Served.journal.frames_after
            _Served.publisher = Publisher.open(paths, source, _Served.journal.schema())
        while _Served.publisher.publish():
            pass
        return {"seq": _Served.publisher.seq, "seconds": _Served.publisher.seconds}
    except Exception as error:  # the writer decides what to do about it
        _Served.publisher = None
        if _Served.journal is not None:
            _Served.journal.close()
            _Served.journal = None
        number = error.errno if isinstance(error, OSError) else None
        return {"error": str(error), "errno": number or 0}


def _answer(content: dict[str, Any]) -> None:
    try:
        os.write(sys.stdout.fileno(), json.dumps(content).encode() + b"\n")
    except BrokenPipeError:
        return  # the writer is gone, as the end of the input will say


def _commands() -> Iterator[bytes]:
    """Lines from the writer, until it is gone."""
    source, parent, rest = sys.stdin.fileno(), os.getppid(), b""
    while True:
        while sys.platform != "win32":
            ready, _, _ = select.select([source], [], [], _ORPHAN_CHECK_SECONDS)
            if ready:
                break
            if os.getppid() != parent:  # a copy of the writer (fork) may hold the pipe open
                return
        data = os.read(source, 4096)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
