"""Sweep: create one, run it, continue it after an interruption, read its answers."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from filelock import FileLock, Timeout

from ...instruments.errors import CavityLabError
from ..engine.interrupts import Interrupts
from ..recording import Run, RunExistsError, find_runs
from .catalogue import Catalogue
from .cluster import require_dask, workforce
from .outcome import RUNS, TaskOutcome, begin_marks
from .plan import SweepPlan, SweepSettingsError, settings_text
from .results import results_of
from .task import TaskOrder

if TYPE_CHECKING:
    import xarray as xr

    from ..protocol import ExperimentProtocol

_log = logging.getLogger(__name__)


class SweepBusyError(CavityLabError, RuntimeError):
    """Another process is running this sweep."""


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        done: Tasks done, those of earlier sessions included.
        failed: Tasks that failed in this session.
        total: All tasks.
        elapsed: Time since the workers were asked, in s.
        remaining: Expected further time in s; None before the first task.
        outcome: The task that has just ended; None at the beginning.
        text: Its settings and seed, in words.
    """

    done: int
    failed: int
    total: int
    elapsed: float
    remaining: float | None
    outcome: TaskOutcome | None = None
    text: str = ""


OnProgress: TypeAlias = Callable[[SweepProgress], None]


class SweepRuns(Mapping[int, Run]):
    """The runs that count, by number of their task; each is opened when it is asked for."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def __getitem__(self, task: int) -> Run:
        outcome = self._catalogue.outcomes.get(task)
        if outcome is None or outcome.state != "done" or outcome.run is None:
            raise KeyError(f"task {task} has no finished run")
        return Run.open(self._catalogue.path / outcome.run)

    def __iter__(self) -> Iterator[int]:
        done = (one.task for one in self._catalogue.outcomes.values() if one.state == "done")
        return iter(sorted(done))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def at(self, **coordinates: Any) -> Run:
        """The run at these settings and this seed, e.g. ``at(detuning_hz=1e3, seed=4)``."""
        return self[self._catalogue.number_of(coordinates)]


class Sweep:
    """A sweep on disk; make it with `Sweep.create` or `Sweep.open`."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    @classmethod
    def create(cls, data: str | Path, plan: SweepPlan, title: str | None = None) -> Self:
        """Check a plan and make the folder ``<data>/<date>/<time>_<title>_<id>``; starts nothing.

        Raises:
            SweepSettingsError: A combination of settings cannot run; nothing was made.
        """
        files = plan.check()
        now = datetime.now().astimezone()
        title = title or f"{plan.protocol.rpartition(':')[2]}_sweep"
        sweep_id = uuid.uuid4().hex[:8]
        slug = "".join(sign if sign.isalnum() else "-" for sign in title.lower())
        path = Path(data).resolve() / f"{now:%Y-%m-%d}" / f"{now:%H%M%S}_{slug}_{sweep_id}"
        try:
            path.mkdir(parents=True)
        except FileExistsError as error:
            raise RunExistsError(f"{path} is there already") from error
        begin_marks(path)
        from ... import __version__

        catalogue = Catalogue(
            path=path,
            sweep_id=sweep_id,
            title=title,
            started=now.isoformat(),
            version=__version__,
            plan=plan,
            files=files,
            descriptions=_descriptions(plan),
        )
        catalogue.write()
        return cls(catalogue)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open the folder of a sweep, finished or not.

        Raises:
            RunNotFoundError, FormatVersionError, DamagedRunError: There is none that can be read.
        """
        catalogue = Catalogue.read(path)
        catalogue.catch_up()
        return cls(catalogue)

    @property
    def path(self) -> Path:
        """The sweep's folder."""
        return self._catalogue.path

    @property
    def plan(self) -> SweepPlan:
        """What is swept."""
        return self._catalogue.plan

    @property
    def title(self) -> str:
        """What it is called."""
        return self._catalogue.title

    @property
    def outcomes(self) -> tuple[TaskOutcome, ...]:
        """What became of every task, in order."""
        return tuple(self._catalogue.outcome(task) for task in range(len(self.plan)))

    @property
    def done(self) -> bool:
        """Whether every task has its run."""
        return len(self.runs) == len(self.plan)

    @property
    def failed(self) -> tuple[TaskOutcome, ...]:
        """The tasks that failed; continuing the sweep tries them again."""
        return tuple(one for one in self.outcomes if one.state == "failed")

    @property
    def results(self) -> xr.Dataset:
        """Estimates, bounds and durations over settings and seeds, see `results_of`."""
        return results_of(self._catalogue)

    @property
    def runs(self) -> SweepRuns:
        """The runs that count, by number of their task."""
        return SweepRuns(self._catalogue)

    @property
    def abandoned(self) -> tuple[Path, ...]:
        """Folders of runs that do not count: their worker died, or the run failed."""
        counting = {self.path / one.run for one in self.outcomes if one.state == "done" and one.run}
        return tuple(run for run in find_runs(self.path / RUNS) if run not in counting)

    def continue_(
        self,
        scheduler: str | None = None,
        workers: int | None = None,
        progress: OnProgress | None = None,
    ) -> Self:
        """Run every task that is not done, and return when all have ended.

        An exception, Ctrl-C among them, leaves a sweep that can be continued.

        Args:
            scheduler: Address of a Dask scheduler; None starts worker processes here.
            workers: Number of worker processes to start here; one for each core by default.
            progress: Called in the beginning and after every task; its errors are logged only.

        Raises:
            MissingExtraError: Dask is not installed.
            SweepBusyError: Another process is running this sweep.
            SweepSettingsError: The station or laboratory has changed since the sweep was created.
        """
        require_dask()
        if workers is not None and workers < 1:
            raise SweepSettingsError(f"Argument `workers` must be at least 1, but is {workers}")
        with _alone(self.path):
            self._catalogue.catch_up()
            self._check_unchanged()
            orders = list(self._orders())
            if orders:
                self._work_off(orders, scheduler, workers, progress or _quiet)
        return self

    def _work_off(
        self, orders: list[TaskOrder], scheduler: str | None, workers: int | None, tell: OnProgress
    ) -> None:
        before, failed = len(self.plan) - len(orders), 0
        by_number = {order.task: order for order in orders}
        # A KeyboardInterrupt out of nowhere could be lost inside Dask: signals leave a request.
        interrupts = Interrupts(can_pause=False)
        with interrupts.installed(), workforce(scheduler, workers, len(orders)) as crew:
            begun = time.monotonic()
            _tell(tell, SweepProgress(before, 0, len(self.plan), 0.0, None))
            try:
                for ended, outcome in enumerate(
                    crew.outcomes(orders, lambda: bool(interrupts.request)), start=1
                ):
                    self._catalogue.note(outcome)
                    failed += outcome.state == "failed"
                    elapsed = time.monotonic() - begun
                    left = elapsed / ended * (len(orders) - ended)
                    order = by_number[outcome.task]
                    state = SweepProgress(
                        before + ended - failed,
                        failed,
                        len(self.plan),
                        elapsed,
                        left,
                        outcome,
                        f"{settings_text(order.settings)}, seed={order.seed}",
                    )
                    _tell(tell, state)
            finally:
                self._catalogue.catch_up()
                self._catalogue.write()

    def _orders(self) -> Iterator[TaskOrder]:
        plan = self.plan
        for task in plan.tasks():
            if self._catalogue.outcome(task.index).state != "done":
                yield TaskOrder(
                    sweep=str(self.path),
                    sweep_id=self._catalogue.sweep_id,
                    version=self._catalogue.version,
                    task=task.index,
                    protocol=plan.protocol,
                    settings=dict(task.settings),
                    seed=task.seed,
                    station=plan.station,
                    laboratory=plan.laboratory,
                    options=dict(plan.options),
                    until=plan.until,
                    level=plan.level,
                )

    def _check_unchanged(self) -> None:
        """Equal (settings, seed) only mean equal runs on an equal laboratory."""
        now, before = self.plan.check(), dict(self._catalogue.files)
        changed = sorted(k for k in {*now, *before} if now.get(k) != before.get(k))
        if changed:
            raise SweepSettingsError(
                f"{', '.join(changed)} changed since {self.path} was created: its tasks would "
                "belong to two laboratories. Put the file back, or start a new sweep"
            )

    def __repr__(self) -> str:
        return f"Sweep({str(self.path)!r}, {len(self.runs)} of {len(self.plan)} tasks done)"


def run_sweep(
    protocol: str | Callable[..., ExperimentProtocol],
    settings: Mapping[str, Any],
    seeds: int | Iterable[int],
    *,
    station: str | Path | None = None,
    laboratory: str | Path | None = None,
    data: str | Path = "data",
    scheduler: str | None = None,
    workers: int | None = None,
    progress: OnProgress | None = None,
    options: Mapping[str, str] | None = None,
    until: str | None = None,
    level: float = 0.95,
    title: str | None = None,
) -> Sweep:
    """Rehearse a protocol with every combination of settings and seeds, in parallel.

    ```python
    sweep = run_sweep("ramsey_ellipse", {"detuning_hz": [500, 1000], "shots": 400}, range(20))
    sweep.results["std"].sel(quantity="phase").mean("seed")
    ```

    A script that calls this needs ``if __name__ == "__main__":``, because the workers import it.
    Arguments are those of `SweepPlan.of`, `Sweep.create` and `Sweep.continue_`.

    Returns:
        The sweep; `failed` says which tasks failed.
    """
    require_dask()
    plan = SweepPlan.of(
        protocol,
        settings,
        seeds,
        station=station,
        laboratory=laboratory,
        options=options,
        until=until,
        level=level,
    )
    return Sweep.create(data, plan, title).continue_(scheduler, workers, progress)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    lock = FileLock(path / "sweep.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise SweepBusyError(f"{path} is being run by another process") from error
    try:
        yield
    finally:
        lock.release()


def _descriptions(plan: SweepPlan) -> dict[str, str]:
    """What the protocol says of the settings that vary."""
    protocol = plan.make(next(plan.combinations()))
    fields = getattr(type(protocol.settings), "model_fields", {})
    found = {name: getattr(fields.get(name), "description", None) for name in plan.axes}
    return {name: text for name, text in found.items() if text}


def _tell(tell: OnProgress, state: SweepProgress) -> None:
    try:
        tell(state)
    except Exception:
        _log.exception("the progress of the sweep could not be shown; the sweep goes on")


def _quiet(_: SweepProgress) -> None:
    """Nobody wants to know."""
