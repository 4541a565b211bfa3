"""Station files: what is on the table, checked before any instrument is opened.

The form is that of the QCoDeS Station. Drivers have an address; roles name
their source and calibration under `init:`

```yaml
instruments:
  rf:
    type: cavitylab.instruments.drivers.moglabs_xrf.MOGLabsXRF
    address: TCPIP0::192.168.10.21::7802::SOCKET
  drive:
    type: cavitylab.instruments.roles.aom.Aom
    init: {source: rf.ch1, calibration: calibrations/drive_aom.yaml, frequency: 80.0e+6,
           max_power: 30.0}
    wanted: {amplitude: 10.0e+3}     # optional: compared on request, never set on loading
```

A file with mistakes is refused with all of them at once, each with file and line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from qcodes.instrument import VisaInstrument
from ruamel.yaml.comments import CommentedMap

from .calibration import Calibration
from .calibration_file import parse_calibration
from .entry_checks import (
    WORDS,
    address_problem,
    driver_options,
    fits,
    source_problems,
    wanted_problems,
)
from .errors import StationFileError
from .known_types import find_type, known_types
from .roles.base import Role
from .yaml_lines import Problems, line_of, plain, read_mapping, suggestion, validated

__all__ = ["Entry", "StationFile", "load_station_file"]

_NAME = re.compile(r"[A-Za-z]\w*")
_DRIVER_KEYS = ("type", "address", "init")
_ROLE_KEYS = ("type", "init", "wanted")

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "limits": "QCoDeS would replace the driver's limits by these, which could widen them; "
        "state the limits of a role under its `init:` (e.g. `max_power`, `max_current`)",
        "scale": "QCoDeS' `scale` is applied behind the validator, so no limit would hold; "
        "a change of units belongs into a calibration",
        "offset": "QCoDeS' `offset` is applied behind the validator, so no limit would hold; "
        "a change of zero belongs into a calibration",
        "set_initial_values_on_load": "loading a station never writes to the hardware",
        "initial_value": "loading a station never writes to the hardware; set values from a "
        "protocol or with `cavitylab station set`",
        "parameters": "QCoDeS would change the driver's parameters behind its limits; state what "
        "belongs to a role under its `init:`",
        "add_parameters": "a role adds the parameters a physicist needs; write one instead",
        "visalib": "which VISA library is used, and so whether this is a rehearsal, is decided "
        "when the station is opened",
        "driver": "give the whole class under `type`",
        "enable_forced_reconnect": "a station opens each instrument once",
    }
)
"""Keys that QCoDeS knows and this loader refuses, with the reason."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One instrument or role of the file.

    Attributes:
        name: Its name.
        kind: Its class.
        line: Where it begins in the file, from 1.
        address: VISA address; None for a role.
        init: What the file says under `init:`.
        wanted: Values that a role's parameters should have before a run, in their units.
    """

    name: str
    kind: type[VisaInstrument] | type[Role]
    line: int
    address: str | None
    init: Mapping[str, Any]
    wanted: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StationFile:
    """A station file without mistakes.

    Attributes:
        path: Absolute path.
        text: Its content.
        instruments: Drivers, in the order of the file.
        roles: Roles, in the order of the file.
        calibrations: Calibration of each role that has one.
        files: sha256 of the station file and of every calibration file, by
            path relative to the station file's folder.
    """

    path: Path
    text: str
    instruments: tuple[Entry, ...]
    roles: tuple[Entry, ...]
    calibrations: Mapping[str, Calibration]
    files: Mapping[str, str]


def load_station_file(path: str | Path) -> StationFile:
    """Read and check a station file and its calibration files; opens no instrument.

    Raises:
        StationFileError: With every mistake, each with file and line.
    """
    source = Path(path).resolve()
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StationFileError(f"Station file {source} cannot be read: {error}") from error
    problems = Problems()
    reader = _Reader(source, problems)
    node = read_mapping(source, text, problems)
    if node is not None:
        reader.read(node)
    problems.raise_as(StationFileError, f"Station file {source} cannot be used")
    files = {source.name: _sha256(text), **reader.files}
    drivers = tuple(entry for entry in reader.entries if entry.address is not None)
    roles = tuple(entry for entry in reader.entries if entry.address is None)
    return StationFile(source, text, drivers, roles, reader.calibrations, MappingProxyType(files))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class _Reader:
    """Goes through a station file and collects entries and mistakes."""

    def __init__(self, path: Path, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self.entries: list[Entry] = []
        self.calibrations: dict[str, Calibration] = {}
        self.files: dict[str, str] = {}
        self._node = CommentedMap()
        self._kinds: dict[str, type[Any] | None] = {}
        self._seen: dict[str, str] = {}
        self._calibration_files: dict[str, Calibration | None] = {}

    def complain(self, location: tuple[str, ...], text: str) -> None:
        """One mistake at `location` of the file."""
        self.problems.add(self.path, line_of(self._node, location), text)

    def read(self, node: CommentedMap) -> None:
        """Everything in the file."""
        self._node = node
        for key in node:
            if key != "instruments":
                self.complain((key,), _unknown_key(key, ["instruments"]))
        section = node.get("instruments")
        if not isinstance(section, CommentedMap) or not section:
            self.complain(("instruments",), "`instruments:` must name at least one instrument")
            return
        for name, entry in section.items():
            self._kinds[str(name)] = self._kind_of(str(name), entry)
        for name, entry in section.items():
            if isinstance(entry, CommentedMap):
                self._read_entry(str(name), entry)
        for role in self.entries:
            if _is_role(role.kind):
                self._check_partners(role)

    # ---- what an entry is ------------------------------------------------------------

    def _kind_of(self, name: str, entry: Any) -> type[Any] | None:
        here = ("instruments", name)
        if not _NAME.fullmatch(name):
            self.complain(
                here, f"the name `{name}` must begin with a letter and have letters, digits and _"
            )
        if not isinstance(entry, CommentedMap):
            self.complain(here, f"`{name}` must be a mapping with `type` and more, but is {entry}")
            return None
        path = entry.get("type")
        if not isinstance(path, str):
            words = "is missing" if path is None else f"must be text, but is {path!r}"
            self.complain((*here, "type"), f"{name}: key `type` {words}")
            return None
        kind = find_type(path)
        if kind is None:
            hint = suggestion(path, known_types())
            self.complain((*here, "type"), f"{name}: unknown driver or role `{path}`{hint}")
        return kind

    def _read_entry(self, name: str, entry: CommentedMap) -> None:
        here = ("instruments", name)
        kind = self._kinds[name]
        allowed = _ROLE_KEYS if _is_role(kind) else _DRIVER_KEYS
        for key in entry:
            if key not in allowed:
                self.complain((*here, str(key)), f"{name}: {_unknown_key(key, allowed)}")
        init = entry.get("init")
        if init is None:
            init = CommentedMap()
            init.lc.line = entry.lc.line
        if not isinstance(init, CommentedMap):
            self.complain((*here, "init"), f"{name}: `init` must be a mapping, but is {init!r}")
            return
        if kind is None:
            return
        line = line_of(self._node, here)
        if _is_role(kind):
            wanted = self._read_role(name, cast(type[Role], kind), entry, init)
            self.entries.append(Entry(name, kind, line, None, plain(init), wanted))
        else:
            self._read_driver(name, kind, entry, init)
            address = str(entry.get("address", ""))
            self.entries.append(Entry(name, kind, line, address, plain(init)))

    # ---- drivers ---------------------------------------------------------------------

    def _read_driver(
        self, name: str, kind: type[Any], entry: CommentedMap, init: CommentedMap
    ) -> None:
        here = ("instruments", name)
        address = entry.get("address")
        if not isinstance(address, str):
            words = "is missing" if address is None else f"must be text, but is {address!r}"
            self.complain((*here, "address"), f"{name}: key `address` {words}")
        else:
            problem = address_problem(address)
            if problem:
                self.complain((*here, "address"), f"{name}: {problem}")
            elif address.upper() in self._seen:
                other = self._seen[address.upper()]
                self.complain((*here, "address"), f"{name}: {address} is the address of `{other}`")
            else:
                self._seen[address.upper()] = name
        possible = driver_options(kind)
        for key, value in init.items():
            if key not in possible:
                self.complain((*here, "init", str(key)), f"{name}: {_unknown_key(key, possible)}")
            elif not fits(value, possible[key]):
                wanted = WORDS[possible[key]]
                text = f"{name}: `{key}` must be {wanted}, but is {plain(value)!r}"
                self.complain((*here, "init", key), text)

    # ---- roles -----------------------------------------------------------------------

    def _read_role(
        self, name: str, kind: type[Role], entry: CommentedMap, init: CommentedMap
    ) -> Mapping[str, float]:
        here = ("instruments", name, "init")
        for key in init:
            if key in REFUSED and key not in kind.settings_model.model_fields:
                self.complain((*here, str(key)), f"{name}: {_unknown_key(key, ())}")
        rest = CommentedMap((key, init[key]) for key in init if key not in REFUSED)
        rest.lc.line = init.lc.line
        if init:
            rest.lc.data = init.lc.data
        settings = validated(kind.settings_model, rest, self.path, self.problems, f"{name}: ")
        self._check_source(name, kind, init.get("source"))
        calibration = self._calibration(name, kind, init.get("calibration"))
        problems = {} if settings is None else settings.problems(calibration)
        for key, text in problems.items():
            self.complain((*here, key), f"{name}: `{key}` {text}")
        missing = init.get("calibration") is not None and calibration is None
        bounds = None if settings is None or problems or missing else settings.bounds(calibration)
        wanted = entry.get("wanted")
        for key, text in wanted_problems(wanted, bounds):
            self.complain(("instruments", name, "wanted", key), f"{name}: {text}")
        return MappingProxyType(dict(plain(wanted))) if isinstance(wanted, CommentedMap) else {}

    def _check_source(self, name: str, kind: type[Role], source: Any) -> None:
        if not isinstance(source, str):
            return  # complained of by the settings
        here = ("instruments", name, "init", "source")
        instrument, _, channel = source.partition(".")
        drivers = [one for one, its in self._kinds.items() if its is None or not _is_role(its)]
        if instrument not in drivers:
            what = "a role" if instrument in self._kinds else "not in this file"
            hint = suggestion(instrument, drivers)
            self.complain(here, f"{name}: source `{source}`: `{instrument}` is {what}{hint}")
            return
        for problem in source_problems(kind, self._kinds[instrument], channel):
            self.complain(here, f"{name}: source `{source}`: {problem}")
        if f"source {source}" in self._seen:
            other = self._seen[f"source {source}"]
            self.complain(here, f"{name}: source `{source}` belongs to `{other}` already")
        self._seen[f"source {source}"] = name

    def _check_partners(self, entry: Entry) -> None:
        """Other roles that a role names: of this file, of the right kind, calibrated alike."""
        kind = cast(type[Role], entry.kind)
        for key, wanted in kind.partners.items():
            stated = entry.init.get(key)
            if not isinstance(stated, str):
                continue  # complained of by the settings
            known = {name: its for name, its in self._kinds.items() if its is not None}
            calibration = self.calibrations.get(stated)
            kinds = kind.partner_calibrations
            if stated not in known or not issubclass(known[stated], wanted):
                fitting = [name for name, its in known.items() if issubclass(its, wanted)]
                text = f"must name a role of the kind {wanted.__name__} of this file, but is "
                text += f"`{stated}`{suggestion(stated, fitting)}"
            elif calibration is not None and kinds and calibration.kind not in kinds:
                text = f"names `{stated}`, whose calibration is of kind {calibration.kind}, but "
                text += f"must be of kind {' or '.join(kinds)}"
            else:
                continue
            here = ("instruments", entry.name, "init", key)
            self.complain(here, f"{entry.name}: `{key}` {text}")

    def _calibration(self, name: str, kind: type[Role], stated: Any) -> Calibration | None:
        if not isinstance(stated, str) or not kind.calibration_kinds:
            return None
        here = ("instruments", name, "init", "calibration")
        stated = stated.replace("\\", "/")
        path = self.path.parent / stated
        if stated not in self._calibration_files:
            self._calibration_files[stated] = self._read_calibration(name, here, stated, path)
        calibration = self._calibration_files[stated]
        if calibration is None:
            return None
        misfit = kind.misfit(calibration)
        if misfit:
            self.complain(here, f"{name}: {misfit} ({stated})")
            return None
        self.calibrations[name] = calibration
        return calibration

    def _read_calibration(
        self, name: str, here: tuple[str, ...], stated: str, path: Path
    ) -> Calibration | None:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            hint = ""
            if not path.exists():
                folder = path.parent.glob("*.yaml") if path.parent.is_dir() else ()
                known = [Path(stated).with_name(one.name).as_posix() for one in folder]
                hint = suggestion(stated, known)
            reason = "does not exist" if not path.exists() else f"cannot be read: {error}"
            self.complain(here, f"{name}: calibration file {path} {reason}{hint}")
            return None
        self.files[stated] = _sha256(text)
        return parse_calibration(path, text, self.problems)


def _is_role(kind: type[Any] | None) -> bool:
    return kind is not None and issubclass(kind, Role)


def _unknown_key(key: Any, possible: Any) -> str:
    reason = REFUSED.get(str(key))
    if reason is not None:
        return f"key `{key}` is refused: {reason}"
    return f"unknown key `{key}`{suggestion(key, possible)}"
