"""The sequencer of a Delta SM15K: programs of steps that set current, voltage, power, wait.

`SC=`, `SV=`, `SP=` and their negative kin, `W=<s>` and `TRG`; jumps are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from .scpi_language import ScpiError

STEP_TIME = 125e-6
MOST_STEPS = 2000
MOST_PROGRAMS = 25
_SETS = {"SC": "CUR", "SV": "VOL", "SP": "POW", "SCN": "-CUR", "SPN": "-POW"}
_STEP = re.compile(r"(SC|SV|SP|SCN|SPN|W)=([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)|(TRG)|(END)", re.I)


class Sequencer:
    """Programs by name, and the one that runs.

    Args:
        set_value: Called with name, value and time of every step that sets something.

    Attributes:
        running: A program runs, or waits for a trigger.
        waiting: It waits for a trigger.
    """

    def __init__(self, set_value: Callable[[str, float, float], None]) -> None:
        self._set = set_value
        self.programs: dict[str, dict[int, str]] = {}
        self.selected = ""
        self.running = self.waiting = self.paused = False
        self._place = 1
        self._due = math.inf

    @property
    def state(self) -> str:
        """In one word."""
        if self.waiting:
            return "WAITING"
        if not self.running:
            return "STOP"
        return "PAUSE" if self.paused else "RUN"

    def select(self, name: str) -> None:
        """Choose a program, a new one if there is none of this name."""
        if name not in self.programs and len(self.programs) >= MOST_PROGRAMS:
            raise ScpiError(-223, "Too much data")
        self.programs.setdefault(name, {})
        self.selected = name

    def delete(self, names: tuple[str, ...]) -> None:
        """Forget one program, or the one selected."""
        name = names[0] if names else self.selected
        if name not in self.programs:
            raise ScpiError(-224)
        del self.programs[name]
        self.stop()

    def edit(self, place: str, text: str) -> None:
        """Write one step of the program selected."""
        if self.running:
            raise ScpiError(-221, "Settings conflict program runs")
        if not place.isdigit() or not 1 <= int(place) <= MOST_STEPS:
            raise ScpiError(-222)
        if _STEP.fullmatch(text.strip()) is None:
            raise ScpiError(-224)
        self._steps()[int(place)] = text.strip().upper()

    def step(self, place: str) -> str:
        """One step of the program selected."""
        if not place.isdigit() or int(place) not in self._steps():
            raise ScpiError(-222)
        return self._steps()[int(place)]

    def _steps(self) -> dict[int, str]:
        if self.selected not in self.programs:
            raise ScpiError(-221, "Settings conflict no program selected")
        return self.programs[self.selected]

    def obey(self, word: str, now: float) -> None:
        """RUN, PAUS, CONT, NEXT or STOP."""
        if word == "RUN":
            if not self._steps():
                raise ScpiError(-221, "Settings conflict program is empty")
            self.running, self.waiting, self.paused = True, False, False
            self._place, self._due = 1, now
        elif word == "STOP":
            self.stop()
        elif not self.running:
            raise ScpiError(-221, "Settings conflict no program runs")
        elif word == "PAUS":
            self.paused, self._due = True, math.inf
        else:
            self.paused = False
            self.trigger(now)

    def stop(self) -> None:
        """Leave the program; what it set stays."""
        self.running = self.waiting = self.paused = False
        self._due = math.inf

    def trigger(self, now: float) -> None:
        """Go on."""
        self.waiting, self._due = False, now

    def run_until(self, time: float) -> None:
        """Take every step that is due by `time`."""
        while self.running and not self.waiting and self._due <= time:
            steps = self.programs.get(self.selected, {})
            if self._place not in steps or steps[self._place] == "END":
                self.stop()
                return
            self._take(steps[self._place])
            self._place += 1

    def _take(self, text: str) -> None:
        name, _, value = text.partition("=")
        if name == "TRG":
            self.waiting, self._due = True, math.inf
            return
        if name in _SETS:
            self._set(_SETS[name], float(value), self._due)
        self._due += float(value) if name == "W" else STEP_TIME
