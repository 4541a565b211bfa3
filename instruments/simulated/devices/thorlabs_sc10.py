"""Thorlabs SC10 shutter controller with its shutter.

The unit echoes each command, answers, and shows its prompt. The shutter needs `open_delay`
seconds from the command until light passes and `close_delay` until it is dark. Light that
comes in at the terminal `beam` leaves at the terminal `beam` while the shutter is open;
`shutter` tells whether it is open. In mode 5 the input `gate` opens it while enabled.

Simulated: all five modes, external trigger of the timed ones, the stored settings. Behaviour
that the pages at hand do not state (defaults, delays) is a model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from ..lines import Stretch, clip, tidy
from ..links import Link
from ..shots import Shot
from .base import SimulatedDevice, rising_edges

MANUAL, AUTO, SINGLE, REPEAT, GATE = range(1, 6)
RANGES = {
    "mode": (1, 5), "trig": (0, 1), "xto": (0, 1), "open": (0, 999_999), "shut": (0, 999_999),
    "rep": (1, 99), "baud": (0, 1),
}  # fmt: skip
DEFAULTS = {"mode": 1, "trig": 0, "xto": 0, "open": 1000, "shut": 1000, "rep": 1, "baud": 0}
MOST_WINDOWS = 200
"""Openings of an automatic or repeated program that are worked out ahead."""


class ThorlabsSC10(SimulatedDevice):
    """The controller: outputs `beam`, `shutter`; inputs `beam`, `gate`, `trigger`."""

    outputs = ("beam", "shutter")
    inputs = ("beam", "gate", "trigger")
    latency = (15e-3, 3e-3)
    port = 9600
    defaults: ClassVar[Mapping[str, Any]] = {
        "identity": "THORLABS SC10 VERSION 1.07",
        "open_delay": 8e-3,
        "close_delay": 6e-3,
        "interlock_tripped": False,
        "echo": True,
        "prompt": ">",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.values = dict(DEFAULTS)
        self.stored = dict(DEFAULTS)
        self.enabled_at: float | None = None
        self.started_at: float | None = None
        self._past: list[tuple[float, float]] = []
        self._shot: tuple[Stretch, ...] = ()
        self._pending_error: str | None = None

    # -- the shutter ----------------------------------------------------------------------

    def _program(self) -> list[tuple[float, float]]:
        """Openings commanded since it was enabled: from, to, seconds on the clock."""
        if self.started_at is None:
            return []
        mode, begin = self.values["mode"], self.started_at
        opened, shut = self.values["open"] * 1e-3, self.values["shut"] * 1e-3
        if mode == MANUAL:
            return [(begin, math.inf)]
        count = {SINGLE: 1, REPEAT: self.values["rep"], AUTO: MOST_WINDOWS}.get(mode, 0)
        cycle = max(opened + shut, 1e-3)
        if mode == AUTO:  # far in the past nothing is asked for
            done = max(math.floor((self.now() - begin) / cycle) - 2, 0)
            begin += done * cycle
        return [(begin + n * cycle, begin + n * cycle + opened) for n in range(count)]

    def _finished_at(self) -> float:
        """When a single or repeated program is over; inf if never."""
        if self.started_at is None or self.values["mode"] not in (SINGLE, REPEAT):
            return math.inf
        last = self._program()[-1][1]
        return last + (self.values["shut"] * 1e-3 if self.values["mode"] == REPEAT else 0.0)

    def _settle(self, time: float) -> None:
        """A program that is over disables the shutter."""
        end = self._finished_at()
        if time >= end:
            self._stop(end)

    def _stop(self, time: float) -> None:
        commanded = [(a, min(b, time)) for a, b in self._program() if a < time]
        self._past = [*self._past, *commanded][-8:]
        self.enabled_at = self.started_at = None

    def open_windows(self) -> list[tuple[float, float]]:
        """When light passes: commanded openings, late by the shutter's delays."""
        if self.settings["interlock_tripped"]:
            return []
        late = (self.settings["open_delay"], self.settings["close_delay"])
        commanded = [*self._past, *self._program()]
        return [(a + late[0], b + late[1]) for a, b in commanded if b + late[1] > a + late[0]]

    def is_open(self, time: float) -> bool:
        """Whether light passes at `time`."""
        self._settle(time)
        return any(a <= time < b for a, b in self.open_windows())

    def begin(self, shot: Shot) -> None:
        """Look at gate and trigger, then at the shutter."""
        self._settle(shot.start)
        waiting = self.enabled_at is not None and self.started_at is None
        if waiting and self.values["trig"] and self.values["mode"] in (AUTO, SINGLE, REPEAT):
            edges = rising_edges(shot.input(self.name, "trigger"), shot.period, shot.index == 0)
            if edges:
                self.started_at = shot.start + edges[0]
        if self.values["mode"] == GATE and self.enabled_at is not None:
            gate = shot.input(self.name, "gate") or ()
            windows = [(one.start, one.stop) for one in gate if one.value]
            late = (self.settings["open_delay"], self.settings["close_delay"])
            tripped = self.settings["interlock_tripped"]
            # A gate that stays high from shot to shot keeps the shutter open.
            always = len(windows) == 1 and windows[0] == (0.0, shot.period)
            shifts = (0.0, 0.0) if always else late
            spans = [] if tripped else [(a + shifts[0], b + shifts[1]) for a, b in windows]
        else:
            spans = [(a - shot.start, b - shot.start) for a, b in self.open_windows()]
        opened = [Stretch(a, b, True) for a, b in spans if b > a]
        self._shot = clip(opened, 0.0, shot.period)

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """The light that passes, or whether it would."""
        if terminal == "shutter":
            return self._shot
        light = shot.input(self.name, "beam") or ()
        return tidy(
            Stretch(max(beam.start, slot.start), min(beam.stop, slot.stop), beam.value)
            for beam in light
            for slot in self._shot
            if beam.stop > slot.start and beam.start < slot.stop
        )

    def steady(self, shot: Shot) -> bool:
        """Nothing moves, or only what the gate moves in every shot."""
        stop = shot.start + shot.period
        if self.values["mode"] == GATE:
            return not self._past or self._past[-1][1] < shot.start
        waiting = self.enabled_at is not None and self.started_at is None
        edges = [time for window in self.open_windows() for time in window]
        return (
            not waiting
            and not any(shot.start <= time < math.inf for time in edges)
            and (self.is_open(shot.start) == self.is_open(stop))
        )

    # -- messages -----------------------------------------------------------------------

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Lines that end with CR; a line feed is ignored."""
        *lines, rest = data.split(b"\r")
        return [one.strip(b"\n") for one in lines if one.strip(b"\n ")], rest

    def ending(self, link: Link) -> bytes:
        """The prompt."""
        return str(self.settings["prompt"]).encode()

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """`error_queue`: the next command is answered with an error."""
        if kind == "error_queue":
            self._pending_error = value or "CMD_NOT_DEFINED"

    def handle(self, message: str, link: Link) -> str:
        """Echo, answer."""
        self._settle(self.now())
        if self._pending_error is not None:
            error, self._pending_error = self._pending_error, None
            answer: str | None = f"Command error {error}"
        else:
            answer = self._obey(message.strip())
        echo = f"{message}\r" if self.settings["echo"] else ""
        return echo + (f"{answer}\r" if answer is not None else "")

    def _obey(self, message: str) -> str | None:
        match = re.fullmatch(r"([a-z]+)(?:(\?)|=(\S*))?", message)
        if match is None:
            return "Command error CMD_NOT_DEFINED"
        word, question, value = match.groups()
        if question:
            return self._answer(word)
        if value is not None:
            return self._set(word, value)
        return self._command(word)

    def _answer(self, word: str) -> str:
        computed = {
            "id": lambda: str(self.settings["identity"]),
            "ens": lambda: str(int(self.enabled_at is not None)),
            "closed": lambda: str(int(not self.is_open(self.now()))),
            "interlock": lambda: str(int(self.settings["interlock_tripped"])),
        }
        if word in computed:
            return computed[word]()
        return str(self.values[word]) if word in self.values else "Command error CMD_NOT_DEFINED"

    def _set(self, word: str, text: str) -> str | None:
        if word not in RANGES:
            return "Command error CMD_NOT_DEFINED"
        low, high = RANGES[word]
        if not text.isdigit() or not low <= int(text) <= high:
            return "Command error CMD_ARG_INVALID"
        if self.enabled_at is not None and word in ("mode", "trig"):
            self._stop(self.now())
        self.values[word] = int(text)
        return None

    def _command(self, word: str) -> str | None:
        if word == "ens":
            self._toggle()
        elif word == "savp":
            self.stored |= {
                key: self.values[key] for key in ("mode", "trig", "open", "shut", "rep")
            }
        elif word == "save":
            self.stored |= {key: self.values[key] for key in ("baud", "xto")}
        elif word == "resp":
            self.values = dict(self.stored)
        elif word == "default":
            self.values = dict(DEFAULTS)
        else:
            return "Command error CMD_NOT_DEFINED"
        return None

    def _toggle(self) -> None:
        if self.enabled_at is not None:
            self._stop(self.now())
            return
        if self.settings["interlock_tripped"]:
            return
        self.enabled_at = self.now()
        timed = self.values["mode"] in (AUTO, SINGLE, REPEAT)
        waits = timed and self.values["trig"] == 1 or self.values["mode"] == GATE
        self.started_at = None if waits else self.now()
