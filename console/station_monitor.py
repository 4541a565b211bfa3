"""`cavitylab station monitor`: running counts and health while the operator aligns.

Each point is a short burst in which only the counting gates open: probe light
on each ensemble, no drive, no preparation. What goes wrong in a point is shown
beside the health, and the next point is tried.
"""

from __future__ import annotations

import json as jsonlib
import math
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .exits import ExitCode
from .station import operated, say_unsafe

if TYPE_CHECKING:
    from ..instruments.roles import Detector, Timing
    from ..instruments.station import Station
    from ..instruments.timeline import Window
    from ..protocols.engine.interrupts import Interrupts

GAP = 1e-4
"""Seconds between two gates: a counter tells them apart, and the light switches."""
PERIOD_REST = 1.1e-3
"""Seconds from the last gate to the next shot."""
BAR = 30
LOOK_EVERY = 0.05
"""Seconds between looks at whether a signal came."""


@dataclass(frozen=True, slots=True)
class MonitorOrder:
    """What the operator asked for.

    Attributes:
        station, rehearse: Station file, and laboratory file or None for hardware.
        shots: Shots averaged in each point.
        gate: Seconds of each gate; None for that of the calibration.
        points: Points to take; 0 until stopped.
        interval: Seconds between points.
    """

    station: str
    rehearse: str | None = None
    shots: int = 20
    gate: float | None = None
    points: int = 0
    interval: float = 0.2


@dataclass(frozen=True, slots=True)
class Point:
    """What one burst gave.

    Attributes:
        number: From 1.
        counts: Mean counts of each gate, by the detector's name of it.
        std: Standard deviation between the shots.
        rates: Counts per second of gate.
        health: Role, whether it is well, and words.
        problem: Why there are no counts; empty if there are.
    """

    number: int
    counts: dict[str, float] = field(default_factory=dict)
    std: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    health: dict[str, tuple[bool, str]] = field(default_factory=dict)
    problem: str = ""

    @property
    def well(self) -> bool:
        """Whether there are counts and every role is healthy."""
        return not self.problem and all(ok for ok, _ in self.health.values())


def monitor(order: MonitorOrder, *, as_json: bool) -> ExitCode:
    """Take points until enough, Ctrl-C or SIGTERM; then everything is made safe."""
    from ..instruments.station import Station
    from ..protocols.engine.interrupts import Interrupts

    stop = Interrupts(can_pause=False)
    with stop.installed():
        with operated(Station.open(order.station, rehearse=order.rehearse)) as station:
            bench = Bench(station, order)
            show = _shown(as_json)
            with show:
                number = 0
                while not stop.request and (order.points == 0 or number < order.points):
                    number += 1
                    show(bench.take(number))
                    if number != order.points:
                        _rest(stop, order.interval)
        results = station.make_safe()
    unsafe = say_unsafe(results)
    if unsafe is not ExitCode.DONE:
        return unsafe
    if not as_json:
        print("everything is safe", flush=True)
    return ExitCode.STOPPED if stop.request else ExitCode.DONE


def _rest(interrupts: Interrupts, seconds: float) -> None:
    """Wait between two points, or until a signal came."""
    end = time.monotonic() + seconds
    while not interrupts.request and (left := end - time.monotonic()) > 0.0:
        time.sleep(min(left, LOOK_EVERY))


class Bench:
    """Opens the gates of a station in short bursts and reads the counter.

    Args:
        station: An open station; without timing and detector only its health is shown.
        order: What the operator asked for.
    """

    def __init__(self, station: Station, order: MonitorOrder) -> None:
        from ..instruments.roles import Detector, Timing

        self._station = station
        self._shots = order.shots
        roles = list(station.roles.values())
        self._detectors: list[Detector] = [role for role in roles if isinstance(role, Detector)]
        self._timing: Timing | None = next((r for r in roles if isinstance(r, Timing)), None)
        self._gate = order.gate

    def take(self, number: int) -> Point:
        """One burst and the health of every role; instrument errors become words."""
        from ..instruments.errors import CavityLabError

        results: dict[str, Any] = {}
        try:
            if self._timing is not None:
                for detector in self._detectors:
                    results = _merged(results, self._burst(self._timing, detector))
            problem = ""
        except CavityLabError as error:
            problem = str(error)
            self._forget()
        health = {name: (h.ok, h.text) for name, h in self._station.health().items()}
        return Point(number, **results, health=health, problem=problem)

    def _forget(self) -> None:
        """After an error nothing is known of what counter and timing box still do."""
        for role in (self._timing, *self._detectors):
            if role is not None:
                role.safe()

    def _burst(self, timing: Timing, detector: Detector) -> dict[str, dict[str, float]]:
        gate = self._gate
        if gate is None:
            gate = detector.calibration.conditions["gate_time"]
        windows = _gates(detector.detectors, gate)
        timing.upload(timing.compile(windows, self._shots, windows[-1].stop + PERIOD_REST))
        detector.upload(detector.compile(windows, self._shots))
        detector.arm()
        timing.fire()
        timing.wait_done()
        timing.check()
        counts = detector.read()
        names = detector.detectors
        means = dict(zip(names, map(float, counts.mean(axis=0)), strict=True))
        spread = counts.std(axis=0, ddof=1) if self._shots > 1 else [math.nan] * len(names)
        return {
            "counts": means,
            "std": dict(zip(names, map(float, spread), strict=True)),
            "rates": {name: mean / gate for name, mean in means.items()},
        }


def _gates(names: tuple[str, ...], gate: float) -> tuple[Window, ...]:
    from ..instruments.timeline import Window

    return tuple(Window(name, GAP + index * (gate + GAP), gate) for index, name in enumerate(names))


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    return {key: {**first.get(key, {}), **value} for key, value in second.items()}


# ---- showing ------------------------------------------------------------------------


def _shown(as_json: bool) -> Any:
    if as_json:
        return _Lines(_json_line)
    if sys.stdout.isatty():
        return _Live()
    return _Lines(_plain_line)


class _Lines:
    """A line for each point, at once, also through a pipe."""

    def __init__(self, line: Any) -> None:
        self._line = line

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, point: Point) -> None:
        print(self._line(point), flush=True)


def _json_line(point: Point) -> str:
    document = {
        "point": point.number,
        "counts": point.counts,
        "std": {name: None if math.isnan(s) else s for name, s in point.std.items()},
        "rates": point.rates,
        "health": {name: {"ok": ok, "text": text} for name, (ok, text) in point.health.items()},
        "problem": point.problem or None,
    }
    return jsonlib.dumps(document)


def _plain_line(point: Point) -> str:
    parts = [
        f"{name} {mean:.1f} +- {point.std[name]:.1f} ({point.rates[name]:.4g}/s)"
        for name, mean in point.counts.items()
    ]
    parts += [f"NOT OK {name}: {text}" for name, (ok, text) in point.health.items() if not ok]
    if point.problem:
        parts.append(f"NO COUNTS: {point.problem}")
    elif point.well:
        parts.append("all roles ok")
    return f"point {point.number}: " + "; ".join(parts)


class _Live:
    """The latest point, with bars against the largest counts seen so far."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(auto_refresh=False)
        self._largest: dict[str, float] = {}

    def __enter__(self) -> None:
        self._live.__enter__()

    def __exit__(self, *details: Any) -> None:
        self._live.__exit__(*details)

    def __call__(self, point: Point) -> None:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table("", "counts", "per second", "", box=None)
        for name, mean in point.counts.items():
            largest = self._largest[name] = max(mean, self._largest.get(name, 0.0), 1e-9)
            bar = "█" * round(BAR * mean / largest)
            shown = f"{mean:.1f} ± {point.std[name]:.1f}"
            table.add_row(name, shown, f"{point.rates[name]:.4g}", f"{bar} best {largest:.1f}")
        for name, (ok, text) in point.health.items():
            table.add_row(name, Text("ok" if ok else "not ok", "green" if ok else "red"), "", text)
        words = point.problem or f"point {point.number}; Ctrl-C stops, everything goes safe"
        self._live.update(
            Group(table, Text(words, "red" if point.problem else "dim")), refresh=True
        )
