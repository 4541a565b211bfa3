"""One shot as an immutable timeline in physical units, and its way to the instruments.

A :class:`Sequence` says what the atoms should see. :func:`compile_sequence` asks each role for its
part (tables, delays, counter settings) without touching an instrument; the engine uploads the
parts that changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from ..instruments.errors import CavityLabError
from ..instruments.timeline import Tone, Window
from .sequence_checks import (
    MINIMUM_WINDOW,
    RECOVERY,
    SLACK,
    covered,
    overlaps,
    too_long,
    too_short,
    when,
)

__all__ = [
    "MINIMUM_WINDOW",
    "RECOVERY",
    "CompiledSequence",
    "PulseSequence",
    "PumpSequence",
    "Sequence",
    "SequenceError",
    "ShotSequence",
    "compile_sequence",
]

PREPARATION = "preparation"
PULSE = "pulse"
LIGHT = (PREPARATION, PULSE)
PUMP = "pump"


class SequenceError(CavityLabError, ValueError):
    """A sequence that no laboratory should run; names every offending time."""


class ShotSequence(Protocol):
    """What engine and compiler ask of one shot; a frozen dataclass, so that it can be compared."""

    @property
    def period(self) -> float:
        """Time from one T0 to the next, in s."""
        ...

    @property
    def tones(self) -> Mapping[str, tuple[Tone, ...]]:
        """Tones of each modulator, by the name of its role, in the order of uploading."""
        ...

    @property
    def windows(self) -> tuple[Window, ...]:
        """Windows of light and counting gates."""
        ...

    @property
    def gates(self) -> tuple[Window, ...]:
        """The counting gates, in order of time."""
        ...

    def check(self) -> None:
        """Raise SequenceError with all problems at once when there are any."""
        ...


class _Timeline(ABC):
    """What every sequence does with its windows."""

    __slots__ = ()
    light: ClassVar[tuple[str, ...]] = LIGHT
    """Names of the windows that let light through; the others are counting gates."""

    windows: tuple[Window, ...]

    @property
    def gates(self) -> tuple[Window, ...]:
        """The counting gates, in order of time."""
        gates = (window for window in self.windows if window.name not in self.light)
        return tuple(sorted(gates, key=lambda gate: gate.start))

    @abstractmethod
    def problems(self) -> list[str]:
        """Everything that is wrong with the timeline, one sentence each; empty when it is sound."""

    def check(self) -> None:
        """Raise SequenceError with all problems at once when there are any."""
        problems = self.problems()
        if problems:
            raise SequenceError("the sequence cannot be run: " + "; ".join(problems))


@dataclass(frozen=True, slots=True)
class Sequence(_Timeline):
    """One shot: tones of the two modulators, windows of light and of counting, and its period.

    Times are in s after T0, amplitudes in Hz. The windows ``"preparation"`` and ``"pulse"`` let the
    drive's light through; all later windows are counting gates, one per ensemble, in order.

    Args:
        drive: Tones of the common drive (amplitude: Rabi frequency).
        coupling: Tones of the coupling to the cavity (amplitude: collective decay rate).
        windows: Light windows and counting gates.
        period: Time from one T0 to the next, in s.
    """

    drive: tuple[Tone, ...]
    coupling: tuple[Tone, ...]
    windows: tuple[Window, ...]
    period: float

    def window(self, name: str) -> Window:
        """The window of that name; raises SequenceError when there is none."""
        for window in self.windows:
            if window.name == name:
                return window
        raise SequenceError(
            f"the sequence has no window {name!r}; it has "
            f"{', '.join(window.name for window in self.windows) or 'none'}"
        )

    @property
    def tones(self) -> Mapping[str, tuple[Tone, ...]]:
        """Tones of each modulator, by the name of its role."""
        return MappingProxyType({"drive": self.drive, "coupling": self.coupling})

    @property
    def dark_time(self) -> float:
        """Time between the end of the preparation and the start of the pulse, in s."""
        return self.window(PULSE).start - self.window(PREPARATION).stop

    def problems(self) -> list[str]:
        """Everything that is wrong with the timeline, one sentence each; empty when it is sound."""
        return [
            *self._window_problems(),
            *self._order_problems(),
            *overlaps("tones of the drive", self.drive),
            *overlaps("tones of the coupling", self.coupling),
            *self._light_problems(),
            *self._period_problems(),
        ]

    def _window_problems(self) -> Iterator[str]:
        names = [window.name for window in self.windows]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"window {name!r} is given {names.count(name)} times"
        for name in LIGHT:
            if name not in names:
                yield f"window {name!r} is missing"
        if not set(names) - set(LIGHT):
            yield "there is no counting gate"
        yield from too_short(self.windows)
        yield from overlaps("windows", self.windows)

    def _order_problems(self) -> Iterator[str]:
        starts = {window.name: window.start for window in self.windows}
        if set(LIGHT) <= set(starts) and starts[PULSE] < starts[PREPARATION]:
            yield (
                f"the pulse at {when(starts[PULSE])} comes before the preparation at "
                f"{when(starts[PREPARATION])}"
            )
        for gate in self.gates:
            if PULSE in starts and gate.start < starts[PULSE]:
                yield (
                    f"counting gate {gate.name!r} at {when(gate.start)} comes before the pulse "
                    f"at {when(starts[PULSE])}"
                )

    def _light_problems(self) -> Iterator[str]:
        for window in self.windows:
            if window.name in LIGHT and not covered(window, self.drive):
                yield (
                    f"no single tone of the drive lasts through window {window.name!r} "
                    f"({when(window.start)} to {when(window.stop)})"
                )
            if window.name == PREPARATION and not covered(window, self.coupling):
                yield (
                    "no single tone of the coupling lasts through the preparation "
                    f"({when(window.start)} to {when(window.stop)})"
                )
            if window.name == PULSE:
                for tone in self.coupling:
                    if tone.start < window.stop and window.start < tone.stop:
                        yield (
                            f"the coupling's tone at {when(tone.start)} reaches into the pulse at "
                            f"{when(window.start)}: the cavity must be decoupled by then"
                        )

    def _period_problems(self) -> Iterator[str]:
        yield from too_long([*self.drive, *self.coupling, *self.windows], self.period)


@dataclass(frozen=True, slots=True)
class PumpSequence(_Timeline):
    """One shot of a pumped ensemble: the pump's tones, its light, and the gate that counts.

    The window ``"pump"`` lets the pump's light through; the one other window lights the probe and
    opens the counter. The pump stays on until that is over: without it the atoms would decay
    together while they are counted.

    Args:
        pump: Tones of the pump (amplitude: pumping rate over 2 pi).
        windows: The pump's window and the counting gate.
        period: Time from one T0 to the next, in s.
    """

    light: ClassVar[tuple[str, ...]] = (PUMP,)

    pump: tuple[Tone, ...]
    windows: tuple[Window, ...]
    period: float

    @property
    def tones(self) -> Mapping[str, tuple[Tone, ...]]:
        """Tones of the pump's modulator, by the name of its role."""
        return MappingProxyType({PUMP: self.pump})

    def problems(self) -> list[str]:
        """Everything that is wrong with the timeline, one sentence each; empty when it is sound."""
        return [
            *too_short(self.windows),
            *self._light_problems(),
            *overlaps("tones of the pump", self.pump),
            *too_long([*self.pump, *self.windows], self.period),
        ]

    def _light_problems(self) -> Iterator[str]:
        light = [window for window in self.windows if window.name == PUMP]
        if len(light) != 1:
            yield f"there must be one window {PUMP!r}, but there are {len(light)}"
        if len(self.gates) != 1:
            yield (
                f"there must be one counting gate, but there are {len(self.gates)}: counting "
                "destroys the state"
            )
        for gate in self.gates:
            if not any(
                one.start <= gate.start + SLACK and gate.stop <= one.stop + SLACK for one in light
            ):
                yield (
                    f"the pump is not on throughout the gate {gate.name!r} ({when(gate.start)} to "
                    f"{when(gate.stop)})"
                )
            if not covered(gate, self.pump):
                yield (
                    f"no single tone of the pump lasts through the gate {gate.name!r} "
                    f"({when(gate.start)} to {when(gate.stop)})"
                )


@dataclass(frozen=True, slots=True)
class PulseSequence(_Timeline):
    """One shot of atoms that nothing prepares: at most one pulse of the drive, then counting.

    After the pulse the window ``"preparation"`` may let the coupling's light alone reach the atoms,
    for them to decay together; the drive's table must be dark by then. Without it the coupling's
    table stays dark, so that no tone of an earlier sequence reaches the atoms.

    Args:
        drive: Tones of the common drive (amplitude: Rabi frequency); none for dark counts.
        windows: The window ``"pulse"`` if there is a tone, and the counting gates.
        period: Time from one T0 to the next, in s.
        coupling: Tones of the coupling to the cavity (amplitude: collective decay rate).
    """

    drive: tuple[Tone, ...]
    windows: tuple[Window, ...]
    period: float
    coupling: tuple[Tone, ...] = ()

    @property
    def tones(self) -> Mapping[str, tuple[Tone, ...]]:
        """Tones of each modulator, by the name of its role."""
        return MappingProxyType({"drive": self.drive, "coupling": self.coupling})

    def problems(self) -> list[str]:
        """Everything that is wrong with the timeline, one sentence each; empty when it is sound."""
        return [
            *too_short(self.windows),
            *overlaps("windows", self.windows),
            *overlaps("tones of the drive", self.drive),
            *self._pulse_problems(),
            *self._decay_problems(),
            *too_long([*self.drive, *self.coupling, *self.windows], self.period),
        ]

    def _pulse_problems(self) -> Iterator[str]:
        pulses = [window for window in self.windows if window.name == PULSE]
        if len(pulses) > 1:
            yield f"there must be at most one window {PULSE!r}, but there are {len(pulses)}"
        for pulse in pulses:
            if not covered(pulse, self.drive):
                yield f"no single tone of the drive lasts through the pulse at {when(pulse.start)}"
            for later in self.windows:
                if later is not pulse and later.start < pulse.stop:
                    yield (
                        f"window {later.name!r} at {when(later.start)} comes before the end of "
                        f"the pulse at {when(pulse.stop)}"
                    )

    def _decay_problems(self) -> Iterator[str]:
        for decay in self.windows:
            if decay.name == PREPARATION and not covered(decay, self.coupling):
                yield (
                    f"no single tone of the coupling lasts through the decay at {when(decay.start)}"
                )
            for tone in self.drive:
                if decay.name == PREPARATION and decay.start < tone.stop:
                    yield f"the drive's tone lasts into the decay at {when(decay.start)}"


@dataclass(frozen=True, slots=True)
class CompiledSequence:
    """Programs by role in the order of uploading, for ``shots`` repetitions.

    Attributes:
        programs: What each role made of its part; equal programs need no new upload.
        shots: Repetitions in the block.
        duration: Time the block takes in the laboratory, in s.
    """

    programs: Mapping[str, Any]
    shots: int
    duration: float


def compile_sequence(
    sequence: ShotSequence, roles: Mapping[str, Any], shots: int
) -> CompiledSequence:
    """Check a sequence and let each role translate its part; nothing is sent to an instrument.

    The order of the programs is the order of uploading: tables of the modulators first, then the
    timing box (idle at that moment, for a delay written during a burst aborts it), then the
    counter.

    Args:
        sequence: The shot.
        roles: Roles by name; those of its tones, ``"timing"`` and ``"detector"`` are used.
        shots: Repetitions in a block.

    Raises:
        SequenceError: The timeline is unsound, the station lacks a role, or a role refuses.
    """
    if shots < 1:
        raise SequenceError(f"a block needs at least one shot, got {shots}")
    sequence.check()
    tones = sequence.tones
    needed = (*tones, "timing", "detector")
    missing = [name for name in needed if name not in roles]
    if missing:
        raise SequenceError(
            f"the station has no role {', '.join(map(repr, missing))}; it has "
            f"{', '.join(sorted(roles)) or 'none'}: add it to the station file"
        )
    programs = {
        **{name: roles[name].compile(played) for name, played in tones.items()},
        "timing": roles["timing"].compile(sequence.windows, shots, sequence.period),
        "detector": roles["detector"].compile(sequence.gates, shots),
    }
    return CompiledSequence(MappingProxyType(programs), shots, shots * sequence.period)
