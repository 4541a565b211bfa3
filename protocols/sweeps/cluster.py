"""Tasks on a Dask cluster, one of our own on this computer or any that already runs.

Dask repeats a task whose worker died; it gives a task up only when that happened many times, and
then the task has failed, not the sweep. Workers of our own that died for good are replaced.
"""

from __future__ import annotations

import logging
import os
import queue
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...instruments.errors import CavityLabError
from .outcome import TaskOutcome
from .task import TaskOrder, perform

Future: TypeAlias = Any
"""Dask's future of a `TaskOutcome`: most of its methods carry no types."""

DEATHS_ALLOWED = 10
"""How many workers may die of one task before it is given up (on a cluster of our own)."""

CONNECT_WITHIN = 20.0
"""Longest wait for a scheduler, in s."""

_ASK_EVERY = 0.2
"""Time between two looks at whether the user wants to stop, in s."""

_LOOK_AFTER = 2.0
"""Time without news after which the workers are counted, in s."""


class MissingExtraError(CavityLabError, ImportError):
    """An optional dependency is not installed; says which extra brings it."""


class SchedulerError(CavityLabError, ConnectionError):
    """The scheduler cannot be reached, or was lost."""


def usable_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def require_dask() -> Any:
    """The library `distributed`.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError(
            "sweeps run on Dask, which is not installed: pip install 'cavitylab[sweep]'"
        ) from error
    return distributed


@dataclass(frozen=True, slots=True)
class Workforce:
    """A client, and the cluster behind it where it is ours.

    Attributes:
        client: Client of the scheduler.
        cluster: The cluster that was started for this sweep; None for a scheduler by address.
        wanted: Number of its workers.
    """

    client: Any
    cluster: Any
    wanted: int

    def outcomes(
        self, orders: Iterable[TaskOrder], stopping: Callable[[], bool]
    ) -> Iterator[TaskOutcome]:
        """The outcome of every order, as they come in; what is not consumed is cancelled.

        Args:
            orders: What is to be done.
            stopping: Asked several times a second whether the user wants to stop.

        Raises:
            SchedulerError: The scheduler was lost.
            KeyboardInterrupt: The user wants to stop.
        """
        ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        numbers: dict[Future, int] = {}
        try:
            for order in orders:
                key = f"{order.sweep_id}-{order.task}"
                future = self.client.submit(perform, order, key=key, pure=False)
                numbers[future] = order.task
                future.add_done_callback(ended.put)
            quiet = 0.0
            while numbers:
                if stopping():
                    raise KeyboardInterrupt
                try:
                    future = ended.get(timeout=_ASK_EVERY)
                except queue.Empty:
                    quiet += _ASK_EVERY
                    if quiet >= _LOOK_AFTER:
                        self._replace_lost_workers()
                        quiet = 0.0
                    continue
                quiet = 0.0
                outcome = _outcome(future, numbers[future])
                del numbers[future]
                yield outcome
        finally:
            self.client.cancel(list(numbers))

    def _replace_lost_workers(self) -> None:
        """A worker that dies while it starts is given up by Dask: ask for another."""
        if self.cluster is not None and len(self.cluster.scheduler.workers) < self.wanted:
            self.cluster.scale(self.wanted)


@contextmanager
def workforce(scheduler: str | None, workers: int | None, tasks: int) -> Iterator[Workforce]:
    """The workers of the scheduler at an address, or processes that end with the sweep.

    Args:
        scheduler: Address of a scheduler, e.g. ``tcp://node1:8786``; None starts workers here.
        workers: Number of worker processes to start here; as many as there are cores by default.
        tasks: Number of tasks: never more workers than that.

    Raises:
        MissingExtraError: Dask is not installed.
        SchedulerError: Nobody answers at the address.
    """
    distributed = require_dask()
    wanted = max(1, min(workers or usable_cores(), tasks))
    with ExitStack() as stack:
        cluster = stack.enter_context(_own_cluster(wanted)) if scheduler is None else None
        try:
            client = distributed.Client(
                cluster or scheduler, timeout=CONNECT_WITHIN, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise SchedulerError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        yield Workforce(stack.enter_context(client), cluster, wanted)


@contextmanager
def _own_cluster(workers: int) -> Iterator[Any]:
    """So many worker processes of one thread each, on this computer only."""
    import dask.config

    distributed = require_dask()
    settings = {
        # Workers must be able to have processes of their own, which daemons may not.
        "distributed.worker.daemon": False,
        "distributed.scheduler.allowed-failures": DEATHS_ALLOWED,
    }
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


def _outcome(future: Future, task: int) -> TaskOutcome:
    if future.status in ("cancelled", "lost"):
        raise SchedulerError("the Dask scheduler was lost; continue the sweep when it is back")
    error = future.exception()
    if error is None:
        result: TaskOutcome = future.result()
        return result
    if type(error).__name__ == "KilledWorker":
        text = "every worker that tried it died (out of memory?)"
    else:
        text = f"{type(error).__name__}: {error}"
    return TaskOutcome(task, "failed", message=text)
