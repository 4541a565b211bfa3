"""The end mark of a task: a small file that appears whole, once, when the task's run is complete.

A task may begin more than once: its worker may be killed, or be taken for dead while it goes on.
Whoever finishes first puts the end mark; everybody who finishes later reports the first one's run,
so that a task never has two runs that count.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from ..recording import DamagedRunError

RUNS = "runs"
"""Folder of the runs in a sweep's folder."""

_MARKS = "tasks"


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """What became of one task.

    Attributes:
        task: Number of the task.
        state: "done", "failed" or "waiting".
        run: The run's folder, relative to the sweep's; None when none was begun.
        shots: Good shots of the run.
        seconds: What the task took on its computer, in s.
        laboratory_seconds: What the run took on the laboratory's clock, in s.
        message: Why it failed.
    """

    task: int
    state: str
    run: str | None = None
    shots: int = 0
    seconds: float = 0.0
    laboratory_seconds: float = 0.0
    message: str = ""

    def to_json(self) -> dict[str, Any]:
        """The outcome in JSON's types."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The outcome that `to_json` stored; fields of later versions are left out."""
        return cls(**{key: stored[key] for key in cls.__dataclass_fields__ if key in stored})


def read_outcome(sweep: Path, task: int) -> TaskOutcome | None:
    """The end mark of a task, or None while there is none.

    Raises:
        DamagedRunError: There is one that cannot be understood.
    """
    path = _mark(sweep, task)
    try:
        return TaskOutcome.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise DamagedRunError(
            f"{path} is damaged ({error}); delete it, and continuing the sweep repeats the task"
        ) from error


def put_outcome(sweep: Path, outcome: TaskOutcome) -> TaskOutcome:
    """Put the end mark of a completed task, durable on return; the first one stays.

    Returns:
        The outcome that counts.
    """
    path = _mark(sweep, outcome.task)
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f"{path.stem}.{uuid.uuid4().hex[:8]}.part")
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(outcome.to_json(), file, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # unlike a rename, a link does not replace what is there
        except FileExistsError:
            first = read_outcome(sweep, outcome.task)
            return outcome if first is None else first
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)
    return outcome


def begin_marks(sweep: Path) -> None:
    """Make the folders of the runs and of the end marks."""
    (sweep / RUNS).mkdir(parents=True, exist_ok=True)
    (sweep / _MARKS).mkdir(exist_ok=True)


def marked_tasks(sweep: Path) -> list[int]:
    """Numbers of the tasks that have an end mark, ascending."""
    return sorted(int(path.stem) for path in (sweep / _MARKS).glob("*.json"))


def _mark(sweep: Path, task: int) -> Path:
    return sweep / _MARKS / f"{task:06d}.json"


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows has no fsync of folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
