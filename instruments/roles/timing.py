"""The timing box: windows of light and gates as delays after T0, shots as cycles of one burst.

The burst is started here, or by another control system for which the box is armed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..calibration import Calibration
from ..drivers.srs_dg645 import SPOILING_EVENTS, SRSDG645
from ..errors import InstrumentError, LimitError
from ..timeline import Window
from .base import Health, Role, RoleSettings
from .external_trigger import ExternalTrigger, TriggerWatch

__all__ = ["Timing", "TimingProgram", "TimingSettings"]

Output = Literal["AB", "CD", "EF", "GH"]
OUTPUTS: tuple[Output, ...] = ("AB", "CD", "EF", "GH")

DELAY_GRID = 5e-12
PERIOD_GRID = 1e-8
LONGEST_DELAY = 2000.0
REST = 1e-3
"""Seconds between the end of the last window and the next T0, for tables and box to re-arm."""
LONGEST_PERIOD = 42.9
MOST_CYCLES = 2**32 - 1
LATE = 2e-3
"""Seconds waited beyond a burst's nominal end before the box is asked whether it is done."""
CLOCK_ERROR = 1e-4
"""Largest relative difference between the computer's clock and the box's."""


class TimingSettings(RoleSettings):
    """Station file entries of a `Timing`.

    Attributes:
        outputs: The output of the box for each window.
        external: How another control system starts the shots; without it the box is
            triggered here.
    """

    outputs: Annotated[dict[str, Output], Field(min_length=1)]
    external: ExternalTrigger | None = None

    def problems(self, calibration: Calibration | None) -> Mapping[str, str]:
        """Two windows cannot share one output."""
        used = list(self.outputs.values())
        twice = sorted({output for output in used if used.count(output) > 1})
        if twice:
            return {"outputs": f"gives {', '.join(twice)} to more than one window"}
        return {}


@dataclass(frozen=True, slots=True)
class TimingProgram:
    """Delays and burst of one block.

    Attributes:
        delays: (channel, reference, seconds): the start of each output after
            T0, its end after its start.
        shots: Cycles of the burst.
        period: Seconds from T0 to T0.
    """

    delays: tuple[tuple[str, str, float], ...]
    shots: int
    period: float

    @property
    def duration(self) -> float:
        """Seconds that the burst takes."""
        return self.shots * self.period


class Timing(Role):
    """Windows after T0, and the burst that repeats them.

    Station file: `source` (the timing box) and `outputs`, e.g.
    ``{preparation: AB, pulse: CD, ensemble_1: EF, ensemble_2: GH}``. With
    `external`, e.g. ``{starts: shot, edge: rising, timeout: 60.0}``, another control
    system starts the shots: `fire` arms the box and `wait_done` waits for the edges.
    """

    settings_model: ClassVar[type[RoleSettings]] = TimingSettings
    safe_order: ClassVar[int] = 50
    sources = MappingProxyType({"SRSDG645": ()})

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._box = cast(SRSDG645, self.source)
        self._prepared = False
        self._program: TimingProgram | None = None
        self._ends_at: float | None = None
        self._events: set[str] | None = None
        self._external: ExternalTrigger | None = self.settings.external
        self._watch: TriggerWatch | None = None

    @property
    def outputs(self) -> Mapping[str, str]:
        """The output of the box for each window."""
        return MappingProxyType(dict(self.settings.outputs))

    @property
    def awaits_triggers(self) -> bool:
        """Whether another control system starts the shots."""
        return self._external is not None

    def compile(self, windows: Sequence[Window], shots: int, period: float) -> TimingProgram:
        """Delays for `windows` in cycles of `period` [s]; asks and sends nothing.

        An output that no window uses gets no pulse (a width of 0).

        Raises:
            LimitError: With everything that cannot be: windows without an
                output, named twice or too long, a period too short, too many shots.
        """
        problems = [*self._window_problems(windows), *_burst_problems(windows, shots, period)]
        if problems:
            raise LimitError(f"{self.name} cannot time this shot: " + "; ".join(problems))
        spans = {self.settings.outputs[window.name]: window for window in windows}
        delays: list[tuple[str, str, float]] = []
        for output in OUTPUTS:
            window = spans.get(output)
            start, duration = (window.start, window.duration) if window else (0.0, 0.0)
            delays.append((output[0], "T0", _on_grid(start, DELAY_GRID)))
            delays.append((output[1], output[0], _on_grid(duration, DELAY_GRID)))
        return TimingProgram(tuple(delays), shots, _on_grid(period, PERIOD_GRID))

    def _window_problems(self, windows: Sequence[Window]) -> list[str]:
        problems = []
        names = [window.name for window in windows]
        known = self.settings.outputs
        for name in sorted(set(names)):
            if name not in known:
                problems.append(
                    f"the window {name!r} has no output of the box (those with one: "
                    f"{', '.join(known)})"
                )
            elif names.count(name) > 1:
                problems.append(f"the window {name!r} is given {names.count(name)} times")
        for window in windows:
            if window.stop > LONGEST_DELAY:
                problems.append(
                    f"the window {window.name!r} ends at {window.stop:g} s, the longest delay is "
                    f"{LONGEST_DELAY:g} s"
                )
            if window.duration < DELAY_GRID:
                problems.append(f"the window {window.name!r} is shorter than the grid of 5 ps")
        return problems

    def upload(self, program: TimingProgram) -> None:
        """Send what differs from the program uploaded before.

        Raises:
            InstrumentError: If a burst is running: writing would abort it.
        """
        self._settings_were_lost()
        if program is self._program or program == self._program:
            return
        if self._box.busy():
            raise InstrumentError(
                f"{self.name}: the box is running a burst, and writing a delay would abort it: "
                "wait until it is done"
            )
        before, prepared = self._program, self._prepared
        self.forget()
        known = set(before.delays) if before is not None else set()
        changed = {
            channel: (after, s)
            for channel, after, s in program.delays
            if (channel, after, s) not in known
        }
        with self._box.group():
            if not prepared:
                self._send_preparation()
            if changed:
                self._box.set_delays(changed, idle=True)
            if before is None or before.shots != program.shots:
                self._box.burst_count.set(self._cycles(program))
            if before is None or before.period != program.period:
                self._box.burst_period.set(program.period)
        self._prepared, self._program = True, program

    def _cycles(self, program: TimingProgram) -> int:
        """Shots that one trigger starts."""
        one_each = self._external is not None and self._external.starts == "shot"
        return 1 if one_each else program.shots

    def _send_preparation(self) -> None:
        """What is the same for every sequence: single bursts, a falling T0 in every cycle."""
        if self._external is not None:
            self._box.trigger_level.set(self._external.level)
        self._box.trigger_source.set("single" if self._external is None else self._external.source)
        self._box.outputs["T0"].polarity.set(0)
        for output in OUTPUTS:
            self._box.outputs[output].polarity.set(1)
        self._box.burst_enabled.set(True)
        self._box.burst_delay.set(0.0)
        self._box.burst_t0_first_only.set(False)

    def fire(self) -> None:
        """Start the burst, or arm the box for another control system's trigger.

        Raises:
            LimitError: If no program was uploaded.
        """
        if self._settings_were_lost() or self._program is None:
            raise LimitError(f"{self.name}: upload a program before firing")
        program, self._watch, self._events = self._program, None, None
        length = program.duration * (1 + CLOCK_ERROR) + LATE
        if self._external is None:
            self._ends_at = self.clock.now() + length
        else:
            cycles = self._cycles(program)
            self._watch = TriggerWatch(
                self.name, self._box, self._external,
                program.shots // cycles, cycles * program.period, self.clock,
            )  # fmt: skip
        self._box.trigger(fresh=True)
        if self._external is None:
            # Counted from the box's answer: on a busy machine or network the trigger may have
            # taken its time, and it cannot have come later than that.
            self._ends_at = self.clock.now() + length

    def wait_done(self, obey: Callable[[], None] = lambda: None) -> None:
        """Return when all shots are over: after their known duration, or as triggers come.

        Args:
            obey: Called while triggers are waited for; may raise to leave.

        Raises:
            InstrumentError: If the box is still busy then.
            TriggerTimeout: If another control system's trigger does not come in time.
        """
        if self._watch is not None:
            self._watch.follow(LATE, obey)
            return
        if self._ends_at is None:
            return
        self.clock.wait(max(0.0, self._ends_at - self.clock.now()))
        # One question tells that the burst is over and what happened meanwhile; only a box that
        # does not know of its end (its trigger was lost, or it runs on) is asked for its state.
        self._events = self._box.take_events()
        if "END_OF_BURST" not in self._events and self._box.busy():
            raise InstrumentError(
                f"{self.name}: the burst should have ended {LATE * 1e3:g} ms ago, but the box is "
                "still busy. Check its trigger source, burst settings and inhibit input."
            )
        self._ends_at = None

    def check(self) -> None:
        """Read what happened since `fire`.

        Raises:
            InstrumentError: If a trigger came too early, a delay was aborted,
                triggers were inhibited or a clock lost its lock: reject the block.
        """
        events, self._events = self._events, None
        if events is None:
            events = self._box.take_events()
        if self._watch is not None:
            events |= self._watch.events
        bad = sorted(events & SPOILING_EVENTS)
        if bad:
            reasons = "; ".join(f"{name}: {REASONS.get(name, 'see the manual')}" for name in bad)
            raise InstrumentError(f"{self.name}: the burst went wrong ({reasons}). Repeat it.")

    def starts(self) -> NDArray[np.float64] | None:
        """When another control system started each shot of the block, in s after `fire`.

        Known to the 5 ms between two looks at the box. None for shots that were started
        here: they follow `fire` at once, one period apart.
        """
        watch, program = self._watch, self._program
        if watch is None or program is None:
            return None
        cycles = self._cycles(program)
        within = program.period * np.arange(cycles)
        return (np.array(watch.seen)[:, None] - watch.armed + within).ravel()

    def forget(self) -> None:
        """Send everything again next time."""
        self._prepared = False
        self._program = None

    def _make_safe(self) -> str:
        if self._external is not None:
            self._box.trigger_source.set("single")  # from here on no edge starts anything
        # Asked even when no burst was started here: somebody before us may have left one running,
        # and a box that does not answer is not known to be at rest.
        running = self._box.busy()
        if running:
            self._box.burst_enabled.set(False)
        self._ends_at = None
        done = "burst stopped" if running else "no burst running"
        return done if self._external is None else f"{done}, external trigger disarmed"

    def _examine(self) -> Health:
        return Health(True, "running a burst" if self._box.busy() else "idle")


REASONS: Mapping[str, str] = MappingProxyType(
    {
        "RATE": "a trigger came before the cycle was over",
        "INHIBIT": "a trigger was inhibited",
        "ABORT_DELAY": "a setting was written during a cycle",
        "PLL_UNLOCK": "the timebase lost its lock",
    }
)


def _burst_problems(windows: Sequence[Window], shots: int, period: float) -> list[str]:
    problems = []
    last = max((window.stop for window in windows), default=0.0)
    if not period >= last + REST:
        problems.append(
            f"the period of {period:g} s must be at least {REST * 1e3:g} ms longer than the last "
            f"window, which ends at {last:.9g} s"
        )
    if not period <= LONGEST_PERIOD:
        problems.append(f"the period of {period:g} s must be at most {LONGEST_PERIOD:g} s")
    if not 1 <= shots <= MOST_CYCLES:
        problems.append(f"the number of shots must be from 1 to {MOST_CYCLES}, but is {shots}")
    return problems


def _on_grid(seconds: float, grid: float) -> float:
    # dividing by a whole number gives the float nearest to the decimal that is written on the wire
    return round(seconds / grid) / round(1 / grid)
