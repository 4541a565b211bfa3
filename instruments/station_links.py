"""Opening the instruments of a station: beside one another, so that a dead one costs once.

Every driver identifies its instrument when it is opened, which takes a few
round trips on the wire; one that does not answer takes its whole time-out. On
real links all are opened at the same time. In a rehearsal on the virtual clock
waiting is free, and one after another keeps the order of messages, so that a
seed fixes the whole rehearsal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import pyvisa

from .station_file import Entry

__all__ = ["Connections", "connect", "library_name"]

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Connections:
    """What could be opened and what could not, in the order of the station file.

    Attributes:
        opened: Drivers by name.
        failed: The reason for each instrument that could not be opened, by name.
    """

    opened: dict[str, object] = field(default_factory=dict)
    failed: dict[str, Exception] = field(default_factory=dict)


def connect(
    entries: Iterable[Entry], load: Callable[[Entry], object], *, together: bool
) -> Connections:
    """Open the instruments of `entries`.

    Args:
        entries: Drivers of the station file.
        load: Opens one; may be called from several threads at once.
        together: All at the same time, or one after another.

    Raises:
        KeyboardInterrupt: After every attempt under way has ended, so that
            nothing is opened behind the caller's back.
    """
    ordered = list(entries)
    if not together or len(ordered) < 2:
        return _sorted(ordered, {entry.name: _attempt(load, entry) for entry in ordered})
    # leaving the pool waits for every attempt, also when Ctrl-C arrives meanwhile
    with ThreadPoolExecutor(len(ordered), thread_name_prefix="connect") as pool:
        futures: dict[str, Future[object]] = {
            entry.name: pool.submit(_attempt, load, entry) for entry in ordered
        }
    return _sorted(ordered, {name: future.result() for name, future in futures.items()})


def library_name(manager: pyvisa.ResourceManager) -> str:
    """The VISA library that pyvisa has chosen, by a name for which it need not search again."""
    library = manager.visalib
    package = type(library).__module__.partition(".")[0]
    backend = "ivi" if package == "pyvisa" else package.removeprefix("pyvisa_")
    return f"{library.library_path}@{backend}"


def _attempt(load: Callable[[Entry], object], entry: Entry) -> object:
    """The driver, or the exception that kept it from being opened."""
    try:
        return load(entry)
    except Exception as error:
        log.debug("%s could not be opened", entry.name, exc_info=True)
        return error


def _sorted(entries: list[Entry], results: dict[str, object]) -> Connections:
    links = Connections()
    for entry in entries:
        result = results[entry.name]
        if isinstance(result, Exception):
            links.failed[entry.name] = result
        else:
            links.opened[entry.name] = result
    return links
