"""The data folder: which runs there are. Looking touches nothing and recovers nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import RecordingError, RunNotFoundError
from .layout import FINAL_STATES, RunPaths, read_commit
from .run import Run


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line of a listing. `state` may also be "unreadable"; `problem` then says why."""

    path: Path
    run_id: str
    title: str
    protocol: str | None
    started: str | None
    state: str
    shots: int
    tags: tuple[str, ...] = ()
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.path),
            "run_id": self.run_id,
            "title": self.title,
            "protocol": self.protocol,
            "started": self.started,
            "state": self.state,
            "shots": self.shots,
            "tags": list(self.tags),
            "problem": self.problem,
        }


class RunCatalogue:
    """The runs below a data folder, oldest first."""

    def __init__(self, data_dir: str | Path) -> None:
        self.path = Path(data_dir)

    def __iter__(self) -> Iterator[RunSummary]:
        for folder in find_runs(self.path):
            yield _summary(RunPaths(folder))

    def open(self, name: str) -> Run:
        """The run with that id, directory name, or unambiguous beginning of either.

        Raises RunNotFoundError naming what there is.
        """
        if (RunPaths.of(name).data).is_dir():
            return Run.open(name)
        runs = list(self)
        exact = [run for run in runs if name in (run.run_id, run.path.name)]
        found = exact or [
            run for run in runs if run.run_id.startswith(name) or run.path.name.startswith(name)
        ]
        if len(found) == 1:
            return Run.open(found[0].path)
        which = ", ".join(run.path.name for run in (found or runs)[-5:]) or "no run at all"
        raise RunNotFoundError(
            f"{'several runs are' if found else 'no run is'} called {name!r} in {self.path}; "
            f"there is {which}"
        )


def find_runs(data_dir: str | Path) -> Iterator[Path]:
    """The run directories below `data_dir`, oldest first (not those killed while being created)."""
    for folder in sorted(Path(data_dir).glob("*/*")):
        if RunPaths(folder).commit.is_file():
            yield folder


def list_runs(data_dir: str | Path) -> list[RunSummary]:
    """All runs below `data_dir`, oldest first; an unreadable one is listed as such."""
    return list(RunCatalogue(data_dir))


def _summary(paths: RunPaths) -> RunSummary:
    try:
        attributes = read_commit(paths)["attributes"]
    except RecordingError as error:
        name = paths.root.name
        return RunSummary(paths.root, name[-8:], name, None, None, "unreadable", 0, (), str(error))
    origin, commit = attributes["cavitylab"], attributes["cavitylab_commit"]
    state = str(commit["state"])
    if state not in FINAL_STATES:
        state = Run.open(paths.root, recover_dead=False).state
    tags = origin.get("tags") or ()
    return RunSummary(
        paths.root,
        str(origin["run_id"]),
        str(attributes.get("title", "")),
        origin.get("protocol"),
        origin.get("started"),
        state,
        int(commit["rows"].get("shot", 0)),
        tuple(map(str, tags)),
    )
