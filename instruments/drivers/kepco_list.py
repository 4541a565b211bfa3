"""Lists of a Kepco BOP: currents that the supply plays by itself, faster than commands come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import InstrumentError, LimitError

if TYPE_CHECKING:
    from .kepco_bop import KepcoBOP

MOST_POINTS = 1002
"""Of the smallest card; 1 kW supplies take more."""
SHORTEST_DWELL, LONGEST_DWELL = 0.5e-3, 10.0
MOST_REPEATS = 255
LONGEST_LINE = 200
"""Characters that a LIST:CURR line may have."""
LATE = 5e-3
"""Seconds waited beyond the list's nominal end."""


class CurrentList:
    """The list of one supply: `coil.list`.

    The supply goes back to the current set before when it leaves the list mode. A list must
    therefore begin and end within a step (`list_step`, a ramp step if not stated) of that current,
    and make no larger steps in between: so that the coil never sees a jump.

    Args:
        supply: Whose list it is.
    """

    def __init__(self, supply: KepcoBOP) -> None:
        self._supply = supply
        self._currents: tuple[float, ...] = ()
        self._duration = 0.0
        self._ends_at: float | None = None

    @property
    def running(self) -> bool:
        """Whether the supply is in the list mode, as far as this session put it there."""
        return self._ends_at is not None

    @property
    def duration(self) -> float:
        """Seconds that the loaded list takes, with its repeats."""
        return self._duration

    def load(self, currents: Sequence[float], dwell: float, repeats: int = 1) -> None:
        """Replace the list; the output stays as it is.

        Args:
            currents: Amperes, 2 to 1002.
            dwell: Seconds for each, 0.5 ms to 10 s.
            repeats: How often it is played, 1 to 255.

        Raises:
            LimitError: Out of range, or a step larger than `list_step` or faster than
                `ramp_rate`; nothing was sent.
            InstrumentError: The supply refuses, holds another number of points, or plays a list.
        """
        supply = self._supply
        self._check(currents, dwell, repeats)
        with supply.group():
            self._refuse_running("a list is running")
            supply.write("LIST:CLE")
            supply.write(f"LIST:DWEL {dwell:.6g}")
            for line in _lines(currents):
                supply.write(f"LIST:CURR {line}")
            supply.write(f"LIST:COUN {repeats}")
            found = supply.ask_int("LIST:CURR:POIN?")
        if found != len(currents):
            self._currents = ()
            raise InstrumentError(
                f"{supply.name} at {supply.address}: {len(currents)} points were sent, but the "
                f"list holds {found}. Load it again."
            )
        self._currents, self._duration = tuple(currents), len(currents) * dwell * repeats

    def run(self) -> None:
        """Start the loaded list. Sent once, never repeated.

        Raises:
            InstrumentError: No list was loaded, it is running, the output is off or not in
                current mode, or the list does not begin and end at the current that is set.
        """
        supply = self._supply
        with supply.lock:
            self._refuse_running("the list is running already")
            if not self._currents:
                raise supply.refusal("no list was loaded by this session", "load one")
            if supply.ask_int("FUNC:MODE?") != 1 or not supply.ask_bool("OUTP?"):
                raise supply.refusal("the output is off or in voltage mode", "switch it on first")
            present = supply.ask_float("CURR?")
            for place, word in ((0, "begins"), (-1, "ends")):
                if abs(self._currents[place] - present) > supply.list_step * (1 + 1e-6) + 1e-3:
                    raise supply.refusal(
                        f"the list {word} at {self._currents[place]:g} A, more than a step "
                        f"({supply.list_step:g} A) from the {present:g} A that are set",
                        "ramp there before, or change the list",
                    )
            self._ends_at = supply.clock.now() + self._duration + LATE
            supply.write("CURR:MODE LIST")

    def finish(self) -> None:
        """Wait on the clock until the list has ended, then go back to the set current."""
        if self._ends_at is not None:
            clock = self._supply.clock
            clock.wait(max(0.0, self._ends_at - clock.now()))
            self.stop()

    def stop(self) -> None:
        """Leave the list mode at once; the supply goes back to the current set before."""
        if self.running:
            self._supply.write("CURR:MODE FIX")
            self._ends_at = None

    def _refuse_running(self, why: str) -> None:
        if self.running:
            raise self._supply.refusal(why, "wait for it with list.finish(), or stop it")

    def _check(self, currents: Sequence[float], dwell: float, repeats: int) -> None:
        name, supply = self._supply.name, self._supply
        rules = (
            (2 <= len(currents) <= MOST_POINTS, f"needs 2 to {MOST_POINTS} currents"),
            (SHORTEST_DWELL <= dwell <= LONGEST_DWELL, "needs a dwell time of 0.5 ms to 10 s"),
            (1 <= repeats <= MOST_REPEATS, f"is played 1 to {MOST_REPEATS} times"),
        )
        for fulfilled, complaint in rules:
            if not fulfilled:
                raise LimitError(f"{name}: a list {complaint}.")
        for current in currents:
            supply.check_current(current)
        largest = min(supply.list_step, supply.ramp_rate * dwell) * (1 + 1e-6)
        again = [currents[0]] if repeats > 1 else []
        for before, after in zip(currents, [*currents[1:], *again], strict=False):
            if abs(after - before) > largest:
                raise LimitError(
                    f"{name}: the list steps from {before:g} A to {after:g} A within "
                    f"{dwell:g} s; with list_step {supply.list_step:g} A and ramp_rate "
                    f"{supply.ramp_rate:g} A/s steps of {largest:.4g} A are allowed."
                )


def _lines(currents: Sequence[float]) -> list[str]:
    """The currents as texts short enough for one command each."""
    lines: list[str] = []
    for current in currents:
        text = f"{current:.5g}" if math.isfinite(current) else "nan"
        if lines and len(lines[-1]) + len(text) + 1 <= LONGEST_LINE - len("LIST:CURR "):
            lines[-1] += f",{text}"
        else:
            lines.append(text)
    return lines
