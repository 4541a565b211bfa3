"""What a protocol asks for: frozen, typed, serialisable steps.

A protocol is a generator of these steps. It addresses instruments by the name of their role, does
no input or output and reads no clock, so the same list can be printed, checked, timed, rehearsed
and executed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias

from .sequence import ShotSequence


def _plain(value: object) -> Any:
    """The value in terms of JSON's types: dataclasses become dicts, tuples become lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


class _Serialisable:
    """Gives every step the same plain form, which names the step."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The step as JSON-able dict, with its kind under ``"step"``."""
        return {"step": type(self).__name__, **_plain(self)}


@dataclass(frozen=True, slots=True)
class Set(_Serialisable):
    """Set one parameter of a role, in that parameter's unit (the role checks the limits)."""

    role: str
    parameter: str
    value: float


@dataclass(frozen=True, slots=True)
class Shots(_Serialisable):
    """Take a block: ``shots`` repetitions of ``sequence``, recorded under scan point ``point``."""

    sequence: ShotSequence
    shots: int
    point: int = 0

    def __post_init__(self) -> None:
        if self.shots < 1:
            raise ValueError(f"a block needs at least one shot, got {self.shots}")

    @property
    def duration(self) -> float:
        """Time the block takes in the laboratory, in s, without uploading."""
        return self.shots * self.sequence.period


@dataclass(frozen=True, slots=True)
class Wait(_Serialisable):
    """Let the laboratory rest for ``seconds`` of its clock."""

    seconds: float

    def __post_init__(self) -> None:
        if not self.seconds >= 0:
            raise ValueError(f"cannot wait for {self.seconds} s: give a time of zero or more")


@dataclass(frozen=True, slots=True)
class Checkpoint(_Serialisable):
    """A named place where everything recorded so far is durable and a pause is welcome."""

    name: str


@dataclass(frozen=True, slots=True)
class TakeEstimate(_Serialisable):
    """Ask for the running estimate; the engine sends it back into the generator."""


@dataclass(frozen=True, slots=True)
class Note(_Serialisable):
    """A remark for the run's list of events."""

    text: str


Step: TypeAlias = Set | Shots | Wait | Checkpoint | TakeEstimate | Note
