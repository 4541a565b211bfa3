"""Recover a dead run, but die by `kill -9` before its file operation number `die_at`.

Given: pipe (unused), path, die_at; with `resume` the run is resumed and closed.
"""

import itertools
import os
import signal
from typing import Any

from cavitylab.protocols.recording import Run, RunWriter
from cavitylab.protocols.recording.layout import DurableFiles

settings: dict[str, Any] = globals()
operations = itertools.count()


def mortal(method: Any) -> Any:
    def run(*arguments: Any) -> Any:
        if next(operations) == settings["die_at"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*arguments)

    return run


for name in ("stage", "rename", "remove", "sync_directory", "clear_staging"):
    setattr(DurableFiles, name, mortal(getattr(DurableFiles, name)))
if settings.get("resume"):
    RunWriter.resume(settings["path"], publisher="thread").close("stopped")
else:
    Run.open(settings["path"])
