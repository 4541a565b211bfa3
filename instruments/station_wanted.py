"""Wanted values of a station: how far the instruments are from them, and how to get there.

The station file may say under `wanted:` what a role's parameters should be
before a run. Loading never sets them: the difference is looked at first, and
applied only on request.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from qcodes.instrument import InstrumentBase

from .errors import InstrumentError
from .roles.base import Role

if TYPE_CHECKING:
    from .station import Station

__all__ = ["TOLERANCE", "Difference", "apply", "differences", "set_and_confirm", "unit_of"]

TOLERANCE = 2e-3
"""Relative difference between set and found that resolution and rounding explain.

The coarsest is RF power in steps of 0.01 dB, half of which is 0.12 %.
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """One wanted value beside what the instrument says.

    Attributes:
        role, parameter: Where it belongs.
        wanted: The value of the station file.
        found: The instrument's; None if it could not be asked.
        unit: Of both.
        problem: Why it could not be asked; empty if it could.
    """

    role: str
    parameter: str
    wanted: float
    found: float | None
    unit: str
    problem: str = ""

    @property
    def name(self) -> str:
        """Role and parameter, as the commands take them."""
        return f"{self.role}.{self.parameter}"

    @property
    def agrees(self) -> bool:
        """Whether the instrument has the wanted value already."""
        return self.found is not None and agree(self.found, self.wanted)


def agree(found: float, wanted: float) -> bool:
    """Whether two values are the same up to resolution and rounding."""
    return math.isclose(found, wanted, rel_tol=TOLERANCE, abs_tol=1e-9)


def differences(station: Station) -> list[Difference]:
    """Every wanted value of the station file beside what its instrument says now; only asks."""
    found = []
    for entry in station.file.roles:
        role = station.roles.get(entry.name)
        for name, wanted in entry.wanted.items():
            value, unit, problem = None, "", "its instrument could not be reached"
            if role is not None:
                unit = unit_of(role, name)
                try:
                    value, problem = float(role.parameters[name].get()), ""
                except Exception as error:
                    problem = f"{type(error).__name__}: {error}"
            found.append(Difference(entry.name, name, float(wanted), value, unit, problem))
    return found


def apply(station: Station, wanted: Sequence[Difference]) -> list[Difference]:
    """Set what differs, lasers and coils before the RF, and say how it is afterwards.

    Raises:
        LimitError: If a limit has been narrowed below a wanted value; the others
            before it are set.
        InstrumentError: If an instrument does not hold what was set.
        LinkError: If an instrument does not answer.
    """
    kinds = {entry.name: cast(type[Role], entry.kind) for entry in station.file.roles}
    # the reverse of the safe order: light of the RF comes last
    for one in sorted(wanted, key=lambda one: -kinds[one.role].safe_order):
        if not one.agrees:
            set_and_confirm(station.roles[one.role], one.parameter, one.wanted)
    return differences(station)


def set_and_confirm(role: Role, parameter: str, value: float) -> float:
    """Set a parameter within its limits and read it back from the instrument.

    Returns:
        What the instrument says.

    Raises:
        LimitError: If the value lies outside the limits; nothing was sent.
        InstrumentError: If the instrument says something else afterwards.
    """
    role.parameters[parameter].set(value)
    found = float(role.parameters[parameter].get())
    if not agree(found, value):
        unit = unit_of(role, parameter)
        raise InstrumentError(
            f"{role.name}.{parameter} was set to {value:g} {unit}, but the instrument says "
            f"{found:g} {unit}: look at its own limits and at its front panel"
        )
    return found


def unit_of(owner: InstrumentBase, parameter: str) -> str:
    """The unit of a parameter; empty if it has none."""
    return str(getattr(owner.parameters[parameter], "unit", ""))
