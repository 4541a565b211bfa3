"""What can be said of a protocol on a station before anything is touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...instruments.errors import CavityLabError
from ..protocol import ExperimentProtocol
from ..sequence import compile_sequence
from ..steps import Set, Shots, Wait


class MissingRole(CavityLabError):
    """The protocol addresses a role, or a parameter of one, that the station does not have."""

    @classmethod
    def of(cls, name: str, roles: Iterable[str]) -> MissingRole:
        """The error for one name, with the roles that there are."""
        return cls(
            f"the protocol needs role {name!r}, the station has {', '.join(sorted(roles))}: add it "
            "to the station file"
        )


def check_steps(protocol: ExperimentProtocol, station: Any, seed: int) -> float:
    """Compile every sequence of a protocol and look up every role; touches nothing.

    Adaptive protocols are followed as if no estimate ever came.

    Returns:
        Time that blocks and waits take in the laboratory, in s; ramps and uploads come on top.

    Raises:
        SequenceError, LimitError: A sequence that the station cannot play.
        MissingRole: A step addresses a role that the station does not have.
    """
    seconds = 0.0
    checked: set[tuple[Any, int]] = set()
    for step in protocol.steps(station.calibrations, seed):
        if isinstance(step, Set) and step.role not in station.roles:
            raise MissingRole.of(step.role, station.roles)
        if isinstance(step, Wait):
            seconds += step.seconds
        if isinstance(step, Shots):
            seconds += step.duration
            if (step.sequence, step.shots) not in checked:
                compile_sequence(step.sequence, station.roles, step.shots)
                checked.add((step.sequence, step.shots))
    return seconds
