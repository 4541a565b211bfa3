"""The station: every instrument and role of one laboratory, opened together, left safe.

```python
with Station.open("two_ensemble", rehearse="two_ensemble", seed=7) as station:
    station.roles["gradient"].detuning_difference(1000.0)
```

The file is checked before anything is opened, loading writes nothing to the
hardware, and leaving the context brings every role into its safe state, once.
For a rehearsal every instrument is opened through a laboratory file instead of
hardware; nothing else differs.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, cast

import pyvisa
from qcodes.instrument import Instrument, VisaInstrument

from .calibration import Calibration
from .clock import Clock, RealClock
from .errors import CavityLabError, InstrumentError, LinkError
from .journal import Journal, Message
from .rehearsal import Rehearsal, visa_library
from .roles.base import Health, Role, SafeResult
from .shipped import find_file
from .snapshots import strict_json
from .station_file import Entry, StationFile, load_station_file
from .station_links import connect, library_name
from .station_lock import StationBusy, station_lock
from .validated_station import ValidatedStation

__all__ = ["Station", "StationBusy"]

log = logging.getLogger(__name__)


class Station:
    """An open station; use `Station.open`.

    Attributes:
        file: The checked station file.
        instruments: Drivers by name.
        roles: Roles by name.
        calibrations: Calibration of each role that has one.
        journal: Every message to and from the instruments.
        rehearsal: Whether this is a simulated laboratory.
    """

    def __init__(
        self,
        file: StationFile,
        journal: Journal,
        rehearsal: Rehearsal | None,
        files: Mapping[str, str],
    ) -> None:
        self.file = file
        self.journal = journal
        self.calibrations: Mapping[str, Calibration] = MappingProxyType(dict(file.calibrations))
        self.rehearsal = rehearsal is not None
        self.files: Mapping[str, str] = MappingProxyType(dict(files))
        """sha256 of every file that the station was made of, by path"""
        self._rehearsal = rehearsal
        self._qcodes = ValidatedStation(file)
        self._exit = ExitStack()
        self._safe: list[SafeResult] | None = None
        self._closed = False
        self.instruments: Mapping[str, VisaInstrument] = MappingProxyType({})
        self.unreachable: Mapping[str, Exception] = MappingProxyType({})
        """Why an instrument of a station that was opened in part could not be reached, by name"""
        self.roles: Mapping[str, Role] = MappingProxyType({})

    @classmethod
    def open(
        cls,
        path: str | Path,
        rehearse: str | Path | None = None,
        seed: int | None = None,
        options: Mapping[str, str] | None = None,
        journal: Journal | None = None,
        partial: bool = False,
    ) -> Station:
        """Check a station file, then connect to all its instruments, at the same time.

        Args:
            path: Station file, or the name of a shipped one, e.g. ``"two_ensemble"``.
            rehearse: Laboratory file (or the name of a shipped one) to rehearse
                on; None opens the hardware.
            seed: Seed of the rehearsal in place of the laboratory file's own.
            options: Of the rehearsal: ``latency``, ``clock``, ``drifts``, ...
            journal: Register of the messages; a new one if not given.
            partial: Go on with the instruments that answer, to make them safe; what
                cannot be reached is in `unreachable`.

        Raises:
            StationFileError: With every mistake of the files; nothing was opened.
            StationBusy: If this station is open already, here or elsewhere.
            LinkError: With every instrument that could not be reached, unless `partial`.
        """
        file = load_station_file(find_file(path, ".yaml"))
        rehearsal, files = None, dict(file.files)
        if rehearse is not None:
            laboratory = find_file(rehearse, ".lab.yaml")
            rehearsal = Rehearsal(visa_library(laboratory, seed, options or {}))
            text = laboratory.read_text(encoding="utf-8")
            files[laboratory.name] = hashlib.sha256(text.encode()).hexdigest()
        elif seed is not None or options:
            raise CavityLabError(
                "Arguments `seed` and `options` belong to a rehearsal: give the laboratory file "
                "as `rehearse`, or leave them out for hardware"
            )
        station = cls(file, journal if journal is not None else Journal(), rehearsal, files)
        try:
            station._open_all(partial)
        except BaseException:
            station._release()
            raise
        return station

    # ---- opening ---------------------------------------------------------------------

    def _open_all(self, partial: bool) -> None:
        names = [entry.name for entry in (*self.file.instruments, *self.file.roles)]
        taken = [name for name in names if Instrument.exist(name)]
        if taken:
            raise StationBusy(
                f"{', '.join(taken)} of {self.file.path} {'is' if len(taken) == 1 else 'are'} "
                "open in this process already. Close the other station (or instrument) first: "
                "one process has one station."
            )
        if not self.rehearsal:
            addresses = [str(entry.address) for entry in self.file.instruments]
            self._exit.enter_context(station_lock(self.file.path, addresses))
        self._exit.callback(self._close_all)
        self._connect(partial)
        self._make_roles()
        self.journal.add_listener(self._heed)
        self._exit.callback(self.journal.remove_listener, self._heed)

    def _connect(self, partial: bool) -> None:
        # pyvisa's own search for a library takes a tenth of a second, for every instrument anew
        manager = pyvisa.ResourceManager(self._rehearsal.visalib if self._rehearsal else "")
        visalib = self._rehearsal.visalib if self._rehearsal else library_name(manager)

        def load(entry: Entry) -> VisaInstrument:
            options: dict[str, Any] = {"visalib": visalib}
            if _takes_journal(entry.kind):
                options["journal"] = self.journal
            driver = self._qcodes.load_instrument(entry.name, update_snapshot=False, **options)
            return cast(VisaInstrument, driver)

        self._qcodes.load_config_files()
        virtual = self._rehearsal is not None and self._rehearsal.virtual
        links = connect(self.file.instruments, load, together=not virtual)
        self.instruments = MappingProxyType(cast(dict[str, VisaInstrument], links.opened))
        self.unreachable = MappingProxyType(links.failed)
        if links.failed and not partial:
            raise _unreachable(self.file, links.failed)

    def _make_roles(self) -> None:
        roles: dict[str, Role] = {}
        for entry in self.file.roles:
            options: dict[str, Any] = {}
            if entry.name in self.calibrations:
                options["calibration"] = self.calibrations[entry.name]
            if str(entry.init["source"]).partition(".")[0] in self.unreachable:
                continue
            role = self._qcodes.load_instrument(entry.name, update_snapshot=False, **options)
            roles[entry.name] = cast(Role, role)
        self.roles = MappingProxyType(roles)

    def _close_all(self) -> None:
        """Close roles and drivers, the last opened first; one that fails keeps none open."""
        for name in reversed(list(self._qcodes.components)):
            try:
                self._qcodes.close_and_remove_instrument(name)
            except Exception:
                log.exception("%s of %s could not be closed", name, self.file.path)

    def _heed(self, message: Message) -> None:
        """Whatever is sent after the safe state was reached, may have left it."""
        if message.direction == ">" and message.instrument in self.instruments:
            self._safe = None

    # ---- what it is ------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The station file's name without its ending."""
        return self.file.path.stem

    @property
    def clock(self) -> Clock:
        """The clock that the instruments wait on; a free one in rehearsals."""
        for driver in self.instruments.values():
            clock = getattr(driver, "clock", None)
            if isinstance(clock, Clock):
                return clock
        return RealClock()

    @property
    def hash(self) -> str:
        """sha256 over the station file and its calibration files."""
        content = json.dumps(dict(self.file.files), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def options(self) -> dict[str, str]:
        """Seed and options of the laboratory of a rehearsal, as asked for; empty on hardware."""
        return {} if self._rehearsal is None else self._rehearsal.options

    def health(self) -> dict[str, Health]:
        """How each role is; asks the instruments, never raises."""
        return {name: role.health() for name, role in self.roles.items()}

    def snapshot(self) -> dict[str, Any]:
        """What is known of every instrument and role, in JSON's types; asks no instrument."""
        return {
            "station": str(self.file.path),
            "sha256": self.hash,
            "rehearsal": self.rehearsal,
            "files": dict(self.files),
            "options": self.options,
            "instruments": {
                name: strict_json(driver.snapshot(update=False))
                for name, driver in self.instruments.items()
            },
            "roles": {
                name: strict_json(
                    {**role.settings.model_dump(), **role.snapshot(update=False)["parameters"]}
                )
                for name, role in self.roles.items()
            },
            "calibrations": {
                name: {"hash": one.hash, **one.to_json()} for name, one in self.calibrations.items()
            },
        }

    def reveal(self) -> dict[str, Any] | None:
        """The hidden truth of a rehearsal; None on hardware. For after the run, not for protocols.

        Also after the station was closed.
        """
        return None if self._rehearsal is None else self._rehearsal.reveal()

    def apparatus_faults(self) -> tuple[str, ...]:
        """What the physics of a rehearsal could not answer for; empty on hardware."""
        return () if self._rehearsal is None else self._rehearsal.apparatus_faults()

    # ---- leaving ---------------------------------------------------------------------

    def make_safe(self) -> list[SafeResult]:
        """Bring every role into its safe state, in order; never raises.

        RF off first, then the coil to 0 A and off, then the laser as the
        station file says. A role that fails does not keep the others from being
        made safe. A second call does nothing unless something was sent since.
        """
        if self._safe is not None or self._closed:
            return list(self._safe or [])
        results = [self._make_one_safe(entry) for entry in _in_safe_order(self.file.roles)]
        for result in results:
            log.log(
                logging.INFO if result.ok else logging.ERROR,
                "safe state of %s: %s",
                result.role,
                result.message,
            )
        self._safe = results
        return list(results)

    def _make_one_safe(self, entry: Entry) -> SafeResult:
        role = self.roles.get(entry.name)
        if role is not None:
            return role.safe()
        source = str(entry.init["source"]).partition(".")[0]
        return SafeResult(
            entry.name, False, f"{source} could not be reached: {self.unreachable.get(source)}"
        )

    def leave_as_is(self) -> None:
        """Close every link and free the station; outputs stay as they are. Never raises.

        For looking at a station, and for setting it up before a run; `close` and
        the end of a ``with`` block do nothing afterwards.
        """
        if not self._closed:
            self._safe = []
            self._release()

    def close(self) -> None:
        """Make safe (unless that is done), close every link, free the station. Never raises."""
        if self._closed:
            return
        results = self.make_safe()
        self._release()
        self._safe = results

    def _release(self) -> None:
        self._closed = True
        try:
            self._exit.close()
        except Exception:
            log.exception("not every link of %s could be closed", self.file.path)

    def __enter__(self) -> Station:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        world = "rehearsal" if self.rehearsal else "hardware"
        return f"<Station {self.file.path.name} ({world}): {', '.join(self.roles)}>"


def _takes_journal(kind: type[Any]) -> bool:
    return "journal" in getattr(kind.__init__, "__annotations__", {})


def _in_safe_order(roles: Sequence[Entry]) -> list[Entry]:
    return sorted(roles, key=lambda entry: cast(type[Role], entry.kind).safe_order)


def _unreachable(
    file: StationFile, failures: Mapping[str, Exception]
) -> LinkError | InstrumentError:
    """One error for all instruments that could not be opened."""
    total = len(file.instruments)
    addresses = {entry.name: entry.address for entry in file.instruments}
    lines = [
        f"{len(failures)} of the {total} instruments of {file.path} could not be opened; "
        "nothing was written to any:",
        *(f"{name} ({addresses[name]}): {error}" for name, error in failures.items()),
    ]
    wrong = all(isinstance(error, InstrumentError) for error in failures.values())
    return (InstrumentError if wrong else LinkError)("\n  ".join(lines))
