"""What the guardian does after the engine's death: open the links, make safe what answers."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pyvisa

from ...instruments.journal import Journal, Message
from ...instruments.roles.base import Role
from ...instruments.station_file import Entry, StationFile, load_station_file
from ...instruments.station_lock import StationBusy, station_lock
from ...instruments.validated_station import ValidatedStation

FIRST_ROUND = 1.5
"""Time in s that an instrument has to answer before others are made safe without waiting for it."""

LAST_CALL = 30.0
"""Time in s after which an instrument that has not answered is given up."""

LOCK_PATIENCE = 5.0
"""Time in s for the operating system to free the dead engine's lock of the station."""

UNSAFE = 4
"""Exit code: not everything could be made safe."""


class _Link(threading.Thread):
    """Opens one instrument beside the others: a dead one costs its own time only."""

    def __init__(self, station: ValidatedStation, entry: Entry, journal: Journal) -> None:
        super().__init__(name=entry.name, daemon=True)
        self.entry = entry
        self.error: BaseException | None = None
        self.answered = False
        self._station = station
        self._options: dict[str, Any] = {}
        if "journal" in getattr(entry.kind.__init__, "__annotations__", {}):
            self._options["journal"] = journal

    def run(self) -> None:
        try:
            self._station.load_instrument(self.entry.name, update_snapshot=False, **self._options)
            self.answered = True
        except BaseException as error:  # whatever it is, the others go on
            self.error = error

    def why_not(self) -> str:
        """What stands in the way, in words."""
        if self.error is None:
            return "no answer yet"
        return f"{type(self.error).__name__}: {self.error}"


class Rescue:
    """Makes one station safe after the process that had it died.

    Args:
        station: The station file; it is read now, so that later edits do not matter.
        log: Text file to which everything is appended.
        pid: Number of the process that had the station.

    Raises:
        StationFileError: The file cannot be used.
    """

    def __init__(self, station: Path, log: Path, pid: int) -> None:
        self._file: StationFile = load_station_file(station)
        self._station = ValidatedStation(self._file)
        self._log = log
        self._pid = pid
        self._began = time.monotonic()
        # Finding the VISA library takes a while the first time; it opens no link.
        self._manager = pyvisa.ResourceManager()

    def act(self) -> int:
        """Make safe everything that answers, in order, and say so; the exit code."""
        self._began = time.monotonic()
        self._say(
            f"process {self._pid} died without having made {self._file.path} safe: doing it now"
        )
        try:
            with self._locked():
                unsafe = self._make_safe()
        except StationBusy as error:
            unsafe = [f"nothing was touched: {error}"]
        except Exception as error:
            unsafe = [f"making safe broke off: {type(error).__name__}: {error}"]
        for line in unsafe:
            self._say(f"NOT SAFE: {line}")
        if unsafe:
            self._say("look at these instruments NOW")
            return UNSAFE
        self._say("everything is safe")
        return 0

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """The station's lock, which the dead process held until the kernel freed it.

        Whoever else has taken it in between has the instruments, and the duty.
        """
        addresses = [str(entry.address) for entry in self._file.instruments]
        deadline = time.monotonic() + LOCK_PATIENCE
        with contextlib.ExitStack() as held:
            while True:
                try:
                    held.enter_context(station_lock(self._file.path, addresses))
                    break
                except StationBusy:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)
            yield

    def _make_safe(self) -> list[str]:
        """Open all links at once; one sentence for each role that is not safe in the end."""
        journal = Journal()
        journal.add_listener(self._note)
        links = {e.name: _Link(self._station, e, journal) for e in self._file.instruments}
        for link in links.values():
            link.start()
        unsafe: list[str] = []
        waiting = sorted(self._file.roles, key=_order)
        for patience in (FIRST_ROUND, LAST_CALL):
            deadline = self._began + patience
            late: list[Entry] = []
            for entry in waiting:
                link = links[_instrument_of(entry)]
                link.join(max(0.0, deadline - time.monotonic()))
                if link.answered:
                    unsafe.extend(self._role_safe(entry))
                elif link.is_alive():
                    late.append(entry)
                else:
                    unsafe.append(f"{entry.name}: {link.why_not()}")
            waiting = late
        unsafe.extend(f"{e.name}: {links[_instrument_of(e)].why_not()}" for e in waiting)
        return unsafe

    def _role_safe(self, entry: Entry) -> list[str]:
        """Make one role safe; what stood in the way, if anything did."""
        options: dict[str, Any] = {}
        if entry.name in self._file.calibrations:
            options["calibration"] = self._file.calibrations[entry.name]
        try:
            role = self._station.load_instrument(entry.name, update_snapshot=False, **options)
        except Exception as error:
            return [f"{entry.name}: {type(error).__name__}: {error}"]
        if not isinstance(role, Role):
            return [f"{entry.name} is no role but {type(role).__name__}"]
        result = role.safe()
        if not result.ok:
            return [f"{result.role}: {result.message}"]
        self._say(f"{result.role}: {result.message}")
        return []

    def _note(self, message: Message) -> None:
        self._append(str(message))

    def _say(self, text: str) -> None:
        print(f"guardian: {text}", file=sys.stderr, flush=True)
        self._append(text)

    def _append(self, line: str) -> None:
        """A full disk, or a folder that is gone, does not keep anything from being made safe."""
        since = time.monotonic() - self._began
        with contextlib.suppress(OSError), self._log.open("a", encoding="utf-8") as log:
            log.write(f"{datetime.now().astimezone().isoformat()} +{since:.3f} s  {line}\n")


def _order(entry: Entry) -> int:
    return int(getattr(entry.kind, "safe_order", 100))


def _instrument_of(entry: Entry) -> str:
    """Name of the instrument behind a role."""
    return str(entry.init["source"]).split(".")[0]
