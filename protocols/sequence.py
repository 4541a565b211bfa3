"""One shot as an immutable timeline in physical units, and its way to the instruments.

A :class:`Sequence` says what the atoms should see. :func:`compile_sequence` asks each role for its
part (tables, delays, counter settings) without touching an instrument; the engine uploads the
parts that changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from ..instruments.errors import CavityLabError
from ..instruments.timeline import Tone, Window

__all__ = [
    "CompiledSequence",
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

MINIMUM_WINDOW = 100e-9
"""Shortest window, in s: an acousto-optic modulator needs about this long to rise."""

RECOVERY = 1e-3
"""Rest at the end of each period, in s: the timing box must finish and the tables be re-armed."""

_SLACK = 1e-12  # rounding of sums of times in s


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


@dataclass(frozen=True, slots=True)
class Sequence:
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
    def gates(self) -> tuple[Window, ...]:
        """The counting gates, in order of time."""
        gates = (window for window in self.windows if window.name not in LIGHT)
        return tuple(sorted(gates, key=lambda gate: gate.start))

    @property
    def dark_time(self) -> float:
        """Time between the end of the preparation and the start of the pulse, in s."""
        return self.window(PULSE).start - self.window(PREPARATION).stop

    def problems(self) -> list[str]:
        """Everything that is wrong with the timeline, one sentence each; empty when it is sound."""
        return [
            *self._window_problems(),
            *self._order_problems(),
            *_overlaps("tones of the drive", self.drive),
            *_overlaps("tones of the coupling", self.coupling),
            *self._light_problems(),
            *self._period_problems(),
        ]

    def check(self) -> None:
        """Raise SequenceError with all problems at once when there are any."""
        problems = self.problems()
        if problems:
            raise SequenceError("the sequence cannot be run: " + "; ".join(problems))

    def _window_problems(self) -> Iterator[str]:
        names = [window.name for window in self.windows]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"window {name!r} is given {names.count(name)} times"
        for name in LIGHT:
            if name not in names:
                yield f"window {name!r} is missing"
        if not set(names) - set(LIGHT):
            yield "there is no counting gate"
        yield from _too_short(self.windows)
        yield from _overlaps("windows", self.windows)

    def _order_problems(self) -> Iterator[str]:
        starts = {window.name: window.start for window in self.windows}
        if set(LIGHT) <= set(starts) and starts[PULSE] < starts[PREPARATION]:
            yield (
                f"the pulse at {_time(starts[PULSE])} comes before the preparation at "
                f"{_time(starts[PREPARATION])}"
            )
        for gate in self.gates:
            if PULSE in starts and gate.start < starts[PULSE]:
                yield (
                    f"counting gate {gate.name!r} at {_time(gate.start)} comes before the pulse "
                    f"at {_time(starts[PULSE])}"
                )

    def _light_problems(self) -> Iterator[str]:
        for window in self.windows:
            if window.name in LIGHT and not _covered(window, self.drive):
                yield (
                    f"no single tone of the drive lasts through window {window.name!r} "
                    f"({_time(window.start)} to {_time(window.stop)})"
                )
            if window.name == PREPARATION and not _covered(window, self.coupling):
                yield (
                    "no single tone of the coupling lasts through the preparation "
                    f"({_time(window.start)} to {_time(window.stop)})"
                )
            if window.name == PULSE:
                for tone in self.coupling:
                    if tone.start < window.stop and window.start < tone.stop:
                        yield (
                            f"the coupling's tone at {_time(tone.start)} reaches into the pulse at "
                            f"{_time(window.start)}: the cavity must be decoupled by then"
                        )

    def _period_problems(self) -> Iterator[str]:
        yield from _too_long([*self.drive, *self.coupling, *self.windows], self.period)


@dataclass(frozen=True, slots=True)
class PumpSequence:
    """One shot of a pumped ensemble: the pump's tones, its light, and the gate that counts.

    The window ``"pump"`` lets the pump's light through; the one other window lights the probe and
    opens the counter. The pump stays on until that is over: without it the atoms would decay
    together while they are counted.

    Args:
        pump: Tones of the pump (amplitude: pumping rate over 2 pi).
        windows: The pump's window and the counting gate.
        period: Time from one T0 to the next, in s.
    """

    pump: tuple[Tone, ...]
    windows: tuple[Window, ...]
    period: float

    @property
    def tones(self) -> Mapping[str, tuple[Tone, ...]]:
        """Tones of the pump's modulator, by the name of its role."""
        return MappingProxyType({PUMP: self.pump})

    @property
    def gates(self) -> tuple[Window, ...]:
        """The counting gates, in order of time."""
        gates = (window for window in self.windows if window.name != PUMP)
        return tuple(sorted(gates, key=lambda gate: gate.start))

    def problems(self) -> list[str]:
        """Everything that is wrong with the timeline, one sentence each; empty when it is sound."""
        return [
            *_too_short(self.windows),
            *self._light_problems(),
            *_overlaps("tones of the pump", self.pump),
            *_too_long([*self.pump, *self.windows], self.period),
        ]

    def check(self) -> None:
        """Raise SequenceError with all problems at once when there are any."""
        problems = self.problems()
        if problems:
            raise SequenceError("the sequence cannot be run: " + "; ".join(problems))

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
                one.start <= gate.start + _SLACK and gate.stop <= one.stop + _SLACK for one in light
            ):
                yield (
                    f"the pump is not on throughout the gate {gate.name!r} ({_time(gate.start)} to "
                    f"{_time(gate.stop)})"
                )
            if not _covered(gate, self.pump):
                yield (
                    f"no single tone of the pump lasts through the gate {gate.name!r} "
                    f"({_time(gate.start)} to {_time(gate.stop)})"
                )


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


def _too_short(windows: Iterable[Window]) -> Iterator[str]:
    for window in windows:
        if window.duration < MINIMUM_WINDOW - _SLACK:
            yield (
                f"window {window.name!r} at {_time(window.start)} lasts "
                f"{_time(window.duration)}, less than the minimum {_time(MINIMUM_WINDOW)}"
            )


def _too_long(parts: Iterable[Tone | Window], period: float) -> Iterator[str]:
    last = max((part.stop for part in parts), default=0.0)
    if last + RECOVERY > period + _SLACK:
        yield (
            f"the last event ends at {_time(last)}; with {_time(RECOVERY)} to recover it does "
            f"not fit into the shot period of {_time(period)}"
        )


def _covered(window: Window, tones: tuple[Tone, ...]) -> bool:
    return any(
        tone.start <= window.start + _SLACK and window.stop <= tone.stop + _SLACK for tone in tones
    )


def _overlaps(what: str, parts: Iterable[Tone | Window]) -> Iterator[str]:
    ordered = sorted(parts, key=lambda part: part.start)
    for earlier, later in zip(ordered, ordered[1:], strict=False):
        if later.start < earlier.stop - _SLACK:
            yield (
                f"{what} overlap: {_name(earlier)} until {_time(earlier.stop)} and "
                f"{_name(later)} from {_time(later.start)}"
            )


def _name(part: Tone | Window) -> str:
    return repr(part.name) if isinstance(part, Window) else f"{part.amplitude_hz:g} Hz"


def _time(seconds: float) -> str:
    """A time with a unit that keeps it readable: '12.05 ms', '5 us'."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if abs(seconds) >= scale:
            return f"{seconds / scale:.6g} {unit}"
    return f"{seconds / 1e-9:.6g} ns"
