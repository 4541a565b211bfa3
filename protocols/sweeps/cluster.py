"""Tasks on a Dask cluster, one of our own on this computer or any that already runs.

Dask repeats a task whose worker died; it gives a task up only when that happened many times, and
then the task has failed, not the sweep.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ...instruments.errors import CavityLabError
from .outcome import TaskOutcome
from .task import TaskOrder, perform

if TYPE_CHECKING:
    from distributed import Client

DEATHS_ALLOWED = 10
"""How many workers may die of one task before it is given up (on a cluster of our own)."""

CONNECT_WITHIN = 20.0
"""Longest wait for a scheduler, in s."""


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


@contextmanager
def dask_client(scheduler: str | None, workers: int | None, tasks: int) -> Iterator[Client]:
    """A client of the scheduler at an address, or of a cluster of processes that ends with it.

    Args:
        scheduler: Address of a scheduler, e.g. ``tcp://node1:8786``; None starts workers here.
        workers: Number of worker processes to start here; as many as there are cores by default.
        tasks: Number of tasks: never more workers than that.

    Raises:
        MissingExtraError: Dask is not installed.
        SchedulerError: Nobody answers at the address.
    """
    distributed = require_dask()
    import dask

    with ExitStack() as stack:
        if scheduler is None:
            # Workers must be able to have processes of their own, which daemons may not.
            settings = {
                "distributed.worker.daemon": False,
                "distributed.scheduler.allowed-failures": DEATHS_ALLOWED,
            }
            stack.enter_context(dask.config.set(settings))
            address: Any = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=max(1, min(workers or usable_cores(), tasks)),
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
            )
        else:
            address = scheduler
        try:
            client: Client = distributed.Client(
                address, timeout=CONNECT_WITHIN, set_as_default=False
            )
        except (OSError, ValueError) as error:
            raise SchedulerError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        yield stack.enter_context(client)


def outcomes(client: Client, orders: Iterable[TaskOrder]) -> Iterator[TaskOutcome]:
    """The outcome of every order, as they come in; what is not consumed is cancelled.

    Raises:
        SchedulerError: The scheduler was lost.
    """
    distributed = require_dask()
    numbers = {
        client.submit(perform, order, key=f"{order.sweep_id}-{order.task}", pure=False): order.task
        for order in orders
    }
    waiting = distributed.as_completed(list(numbers), loop=client.loop)
    try:
        for future in waiting:
            yield _outcome(future, numbers.pop(future))
            future.release()
    finally:
        client.cancel(list(numbers))  # type: ignore[no-untyped-call]


def _outcome(future: Any, task: int) -> TaskOutcome:
    if future.status == "cancelled":
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
