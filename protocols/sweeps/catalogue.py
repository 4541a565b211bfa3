"""`sweep.json`: what the sweep is, and which run counts for which task.

Only the process that runs the sweep writes it, whole or not at all. It may be behind the end marks
of the tasks by a few seconds; opening for continuing catches up.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ..recording import DamagedRunError, FormatVersionError, RunNotFoundError
from .outcome import TaskOutcome, marked_tasks, read_outcome
from .plan import SweepPlan, settings_text

FORMAT = 1
FILE = "sweep.json"

_SHARE = 20.0
"""Writing the catalogue may take one part in so many of the time."""

_INTERVAL = 0.5
"""Least time between two writings while tasks come in, in s."""


@dataclass(slots=True)
class Catalogue:
    """The content of `sweep.json`.

    Attributes:
        path: Folder of the sweep.
        sweep_id: Identity of the sweep.
        title: What it is called.
        started: When it was created, ISO 8601.
        version: Version of cavitylab that created it.
        plan: What is swept.
        files: sha256 of the station's files by name.
        descriptions: What each axis is, in words.
        outcomes: What became of each task so far, by number; tasks not named wait.
    """

    path: Path
    sweep_id: str
    title: str
    started: str
    version: str
    plan: SweepPlan
    files: Mapping[str, str]
    descriptions: Mapping[str, str] = field(default_factory=dict)
    outcomes: dict[int, TaskOutcome] = field(default_factory=dict)
    _written: float = 0.0
    _cost: float = 0.0

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """The catalogue of a sweep's folder (or of its `sweep.json`).

        Raises:
            RunNotFoundError: There is no sweep.
            FormatVersionError: It was written by a newer version.
            DamagedRunError: It cannot be understood.
        """
        path = Path(folder)
        path = path.parent if path.name == FILE else path
        try:
            text = (path / FILE).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RunNotFoundError(f"there is no sweep in {path}: no {FILE}") from error
        try:
            stored = json.loads(text)
            version = int(stored["format"])
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedRunError(f"{path / FILE} is damaged: {error}") from error
        if version > FORMAT:
            raise FormatVersionError(
                f"{path / FILE} has format {version}, and this cavitylab knows {FORMAT}: "
                "use a newer one"
            )
        try:
            return cls._of(path.resolve(), stored)
        except (KeyError, TypeError, AttributeError) as error:
            raise DamagedRunError(f"{path / FILE} is damaged: {error!r}") from error

    @classmethod
    def _of(cls, path: Path, stored: Mapping[str, Any]) -> Self:
        rows = (TaskOutcome.from_json(row) for row in stored["tasks"])
        return cls(
            path=path,
            sweep_id=stored["sweep_id"],
            title=stored["title"],
            started=stored["started"],
            version=stored["cavitylab"],
            plan=SweepPlan.from_json(stored["plan"]),
            files=stored["files"],
            descriptions=stored["descriptions"],
            outcomes={row.task: row for row in rows if row.state != "waiting"},
        )

    def to_json(self) -> dict[str, Any]:
        """The whole content in JSON's types; every task has its row."""
        return {
            "format": FORMAT,
            "cavitylab": self.version,
            "sweep_id": self.sweep_id,
            "title": self.title,
            "started": self.started,
            "plan": self.plan.to_json(),
            "files": dict(self.files),
            "descriptions": dict(self.descriptions),
            "tasks": [
                {
                    **self.outcome(task.index).to_json(),
                    "settings": dict(task.settings),
                    "seed": task.seed,
                }
                for task in self.plan.tasks()
            ],
        }

    def outcome(self, task: int) -> TaskOutcome:
        """What became of a task; one that nothing is known of waits."""
        return self.outcomes.get(task) or TaskOutcome(task, "waiting")

    def note(self, outcome: TaskOutcome) -> None:
        """Take in an outcome and write the catalogue, unless that was done just now."""
        self.outcomes[outcome.task] = outcome
        if time.monotonic() - self._written >= max(_INTERVAL, _SHARE * self._cost):
            self.write()

    def write(self) -> None:
        """Replace `sweep.json`, durable on return."""
        begun = time.monotonic()
        draft = self.path / f"{FILE}.part"
        with draft.open("w", encoding="utf-8") as file:
            json.dump(self.to_json(), file, indent=1, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / FILE)
        self._written = time.monotonic()
        self._cost = self._written - begun

    def catch_up(self) -> None:
        """Take in end marks that appeared after the last writing: their tasks are done."""
        for task in marked_tasks(self.path):
            if self.outcome(task).state != "done" and task < len(self.plan):
                found = read_outcome(self.path, task)
                if found is not None:
                    self.outcomes[task] = found

    def number_of(self, coordinates: Mapping[str, Any]) -> int:
        """The task at these values of the axes and this seed; the only seed may be left out.

        Raises:
            KeyError: No task, or more than one, is there.
        """
        unknown = set(coordinates) - {*self.plan.axes, *self.plan.fixed, "seed"}
        if unknown:
            axes = ", ".join((*self.plan.axes, "seed"))
            raise KeyError(f"{', '.join(sorted(unknown))}: the sweep's axes are {axes}")
        found = [
            task.index
            for task in self.plan.tasks()
            if all(
                value == (task.seed if name == "seed" else task.settings[name])
                for name, value in coordinates.items()
            )
        ]
        if len(found) != 1:
            which = "no task" if not found else f"{len(found)} tasks"
            raise KeyError(f"{which} with {settings_text(coordinates)}")
        return found[0]
