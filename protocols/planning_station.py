"""A station on paper: the roles of a checked station file without their instruments.

They compile sequences and know their limits as far as the files say them. Nothing is opened and
no name is taken from a station that is open in the same process.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

from qcodes.instrument import InstrumentBase

from ..instruments.calibration import Calibration
from ..instruments.clock import VirtualClock
from ..instruments.errors import CavityLabError
from ..instruments.roles import Aom, GradientCoil
from ..instruments.roles.base import Limits, Role, intersection
from ..instruments.station_file import Entry, StationFile

SWITCHING_ON = 0.475
"""Time in s that a coil's supply takes beside the ramp: commands and questions, 25 ms apart."""

QUESTIONS = 0.1
"""Time in s that a coil's supply takes to be asked how it is, before and after a block."""


class PaperSource(InstrumentBase):
    """Stands where a driver would: it has the limits that the file gives the driver, no link."""

    def __init__(self, name: str, stated: Mapping[str, Any]) -> None:
        super().__init__(name)
        self.max_current = abs(float(stated.get("max_current", math.inf)))
        self.ramp_rate = float(stated.get("ramp_rate", math.inf))
        # the synthesizer's own limit is on the instrument: here only the files limit the power
        self.limit = self.add_parameter(
            "limit", unit="dBm", initial_cache_value=math.inf, get_cmd=None, set_cmd=None
        )


class PaperStation:
    """Roles, limits and a virtual clock of a station that is not there.

    Args:
        file: A checked station file.

    Attributes:
        roles: By name, made when first asked for.
        calibrations: As for an open station.
        clock: Goes on by what steps would take.
    """

    rehearsal = True

    def __init__(self, file: StationFile) -> None:
        self.file = file
        self.calibrations: Mapping[str, Calibration] = file.calibrations
        self.clock = VirtualClock()
        self.roles: Mapping[str, Role] = PaperRoles(file)
        self._set: dict[tuple[str, str], float] = {}
        self._warm: set[str] = set()

    def limits(self, role: str, parameter: str) -> Limits | None:
        """What calibration and station file leave of a parameter, in its unit; None: no limits."""
        one = self.roles[role]
        calibration = self.calibrations.get(role)
        found = one.settings.bounds(calibration).get(parameter)
        if found is None:
            return None
        narrower = getattr(one, "limits", None)
        return found if narrower is None else intersection(found, narrower)

    def unit(self, role: str, parameter: str) -> str:
        """The unit of a role's parameter; "" where it has none."""
        known = self.roles[role].parameters.get(parameter)
        return "" if known is None else str(getattr(known, "unit", ""))

    def set(self, role: str, parameter: str, value: float) -> None:
        """Let the clock go on by what setting a parameter takes."""
        before = self._set.get((role, parameter))
        one = self.roles[role]
        if isinstance(one, GradientCoil):
            start = 0.0 if before is None else one.current_of(before)
            self.clock.wait(abs(one.current_of(value) - start) / one.ramp_rate)
            self.clock.wait(one.settling_time + SWITCHING_ON)
        self._set[role, parameter] = value

    def take(self, played: Mapping[str, Any], duration: float) -> None:
        """Let the clock go on by a block: amplifiers that warm up the first time, questions, shots.

        Args:
            played: Names of the roles whose tables the block uses.
            duration: Of the shots, s.
        """
        for name in played:
            one = self.roles[name]
            if isinstance(one, Aom) and name not in self._warm:
                self.clock.wait(float(one.settings.warm_up))
                self._warm.add(name)
            if isinstance(one, GradientCoil):  # back to where its list begins
                self.clock.wait(one.settling_time + QUESTIONS)
        coils = sum(parameter == "detuning_difference" for _, parameter in self._set)
        self.clock.wait(QUESTIONS * coils + duration)


class PaperRoles(Mapping[str, Role]):
    """Roles of a station file by name, each made without its instrument when first asked for."""

    def __init__(self, file: StationFile) -> None:
        self._entries = {entry.name: entry for entry in file.roles}
        self._drivers = {entry.name: entry for entry in file.instruments}
        self._calibrations = file.calibrations
        self._made: dict[str, Role] = {}

    def __getitem__(self, name: str) -> Role:
        if name not in self._made:
            self._made[name] = self._make(self._entries[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _make(self, entry: Entry) -> Role:
        stated = dict(entry.init)
        driver = str(stated.pop("source")).partition(".")[0]
        source = PaperSource(driver, self._drivers[driver].init)
        if entry.name in self._calibrations:
            stated["calibration"] = self._calibrations[entry.name]
        try:
            # not `kind(...)`: QCoDeS would enter the name into its register of open instruments
            return cast(Role, type.__call__(entry.kind, entry.name, source=source, **stated))
        except AttributeError as error:
            raise CavityLabError(
                f"role {entry.name!r} ({entry.kind.__name__}) cannot be examined without its "
                f"instrument: {error}"
            ) from error
