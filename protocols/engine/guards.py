"""Guards: what must hold for a shot to count, looked at before and after every block.

A guard that trips marks the spoiled shots with a status, never drops them; the engine waits until
the laboratory is fit again and repeats them, within the run's patience.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...instruments.errors import CavityLabError
from .records import Status


class GuardError(CavityLabError):
    """The laboratory stayed unfit for shots longer than the run's patience."""


@dataclass(frozen=True, slots=True)
class Trip:
    """What a guard has found.

    Attributes:
        guard: Name of the guard.
        text: What is wrong, in one sentence.
        status: What becomes of the spoiled shots.
        hazard: Waiting would make it worse: the run ends in the safe state at once.
    """

    guard: str
    text: str
    status: Status
    hazard: bool = False


@runtime_checkable
class StationGuard(Protocol):
    """Looks at the station: a trip spoils every shot of the block."""

    def look(self, station: Any) -> list[Trip]:
        """What is wrong now; empty when all is well. Asks instruments, never raises."""
        ...


@runtime_checkable
class ShotGuard(Protocol):
    """Looks at what was counted: a trip spoils single shots."""

    def spoiled(self, counts: NDArray[np.int32]) -> tuple[NDArray[np.bool_], Trip]:
        """Which rows of ``counts`` (shots, detectors) are spoiled, and what to say of them."""
        ...


Guard: TypeAlias = StationGuard | ShotGuard


@dataclass(frozen=True, slots=True)
class HealthGuard:
    """Every role must be healthy: lasers locked, currents flowing, instruments answering.

    A role that can be locked and is unhealthy spoils shots as "unlocked", any other as "aborted".
    """

    def look(self, station: Any) -> list[Trip]:
        """One trip for each unhealthy role."""
        return [
            Trip(
                f"health of {role}",
                f"{role}: {health.text}",
                _status_of(station.roles.get(role)),
                health.hazard,
            )
            for role, health in station.health().items()
            if not health.ok
        ]


@dataclass(frozen=True, slots=True)
class ReadingGuard:
    """A parameter of a role must read between two limits: a temperature, a power, a pressure.

    Args:
        role: Name of the role.
        parameter: Its parameter, read before and after each block.
        low: Smallest good value, in the parameter's unit.
        high: Largest good value.
    """

    role: str
    parameter: str
    low: float = -math.inf
    high: float = math.inf

    def look(self, station: Any) -> list[Trip]:
        """A trip when it reads outside, or cannot be read."""
        name = f"{self.role}.{self.parameter}"
        try:
            value = float(station.roles[self.role].parameters[self.parameter].get())
        except KeyError:
            text = f"the station has no {name}: take the guard away or add the role"
        except Exception as error:
            text = f"{name} cannot be read: {error}"
        else:
            if self.low <= value <= self.high:
                return []
            text = f"{name} reads {value:g}, outside [{self.low:g}, {self.high:g}]"
        return [Trip(name, text, Status.ABORTED)]


@dataclass(frozen=True, slots=True)
class CountsGuard:
    """The counts of a shot, summed over its detectors, must lie between two limits.

    Too few mean that the atoms were not there, too many that the detector saw what no atoms give.
    Choose limits that good shots do not reach: a limit within their distribution biases every
    estimate.

    Args:
        low: Smallest good sum of raw counts.
        high: Largest good sum.
        detectors: Columns of the counts; all of them by default.
        too_few: What becomes of shots below: "aborted", or "unlocked" where the detector watches
            the light that a locked cavity transmits.
        name: What the counts stand for.
    """

    low: float = -math.inf
    high: float = math.inf
    detectors: tuple[int, ...] | None = None
    too_few: Status = Status.ABORTED
    name: str = "atom number"

    def spoiled(self, counts: NDArray[np.int32]) -> tuple[NDArray[np.bool_], Trip]:
        """Shots outside the limits; "saturated" when all of them are above, else `too_few`."""
        chosen = counts if self.detectors is None else counts[:, list(self.detectors)]
        total = chosen.sum(axis=1, dtype=np.int64)
        few, many = total < self.low, total > self.high
        outside: NDArray[np.bool_] = few | many
        status = Status.SATURATED if many.any() and not few.any() else self.too_few
        text = (
            f"{int(outside.sum())} of {len(counts)} shots have counts outside "
            f"[{self.low:g}, {self.high:g}]"
        )
        return outside, Trip(self.name, text, status)


def station_guards(station: Any) -> list[Guard]:
    """What the station file guards besides the roles' health: the counts of its detectors."""
    stated = (getattr(role, "settings", None) for role in station.roles.values())
    limits = (getattr(settings, "counts_between", None) for settings in stated)
    return [CountsGuard(low, high) for low, high in filter(None, limits)]


class Guards:
    """All guards of a run.

    Args:
        guards: Those of the protocol and of the operator; roles' health is always guarded.

    Raises:
        TypeError: Something is neither a StationGuard nor a ShotGuard.
    """

    def __init__(self, guards: Iterable[Guard]) -> None:
        given = list(guards)
        for one in given:
            if not isinstance(one, StationGuard | ShotGuard):
                raise TypeError(f"{one!r} is no guard: it has neither `look` nor `spoiled`")
        self._station: list[StationGuard] = [HealthGuard()]
        self._station += [one for one in given if isinstance(one, StationGuard)]
        self._shots = [one for one in given if isinstance(one, ShotGuard)]

    def look(self, station: Any) -> list[Trip]:
        """What is wrong with the station now."""
        return [trip for guard in self._station for trip in guard.look(station)]

    def judge(
        self, station: Any, counts: NDArray[np.int32]
    ) -> tuple[NDArray[np.uint8], list[Trip]]:
        """Status of each shot of a block just taken, shape (shots,), and why it is not all ok."""
        status = np.full(len(counts), Status.OK, dtype=np.uint8)
        trips: list[Trip] = []
        for guard in self._shots:
            mask, trip = guard.spoiled(counts)
            if mask.any():
                status[mask] = trip.status
                trips.append(trip)
        station_trips = self.look(station)
        if station_trips:
            status[:] = station_trips[0].status
        return status, [*station_trips, *trips]


def in_words(trips: Sequence[Trip]) -> str:
    """All trips in one sentence; empty for none."""
    return "; ".join(trip.text for trip in trips)


def _status_of(role: Any) -> Status:
    lockable = "lock_ok" in getattr(role, "parameters", {})
    return Status.UNLOCKED if lockable else Status.ABORTED
