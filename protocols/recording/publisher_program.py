"""The publisher process: publishes when its writer says so, and outlives it by one recovery.

When the writer dies, this program's input ends: it then brings the run to its end like anybody
who opens it, and exits.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import RecordingError, RunNotFoundError
from .finalise import recover
from .journal import Journal
from .layout import RunPaths, publisher_lock
from .publisher import Publisher

_LOCK_SECONDS = 30.0
_ORPHAN_CHECK_SECONDS = 1.0


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
            _answer(_published(paths, int(command.split()[1])))
    try:
        recover(paths)
    except RunNotFoundError:  # somebody has removed the run
        return 0
    except RecordingError as error:
        print(f"recovering {paths.root}: {error}", file=sys.stderr)
        return 1
    return 0


class _Served:
    """The publisher between two requests, and the journal that it reads."""

    publisher: Publisher | None = None
    journal: Journal | None = None


def _published(paths: RunPaths, wanted: int) -> dict[str, Any]:
    try:
        if _Served.journal is None:
            _Served.journal = Journal.open(paths.journal, read_only=True)
        if _Served.publisher is None:
            source = _Served.journal.frames_after
            _Served.publisher = Publisher.open(paths, source, _Served.journal.schema())
        _Served.publisher.publish_through(wanted)
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
