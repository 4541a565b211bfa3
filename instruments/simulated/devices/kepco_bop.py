"""Kepco BOP four-quadrant supply driving a gradient coil.

Simulated: voltage and current mode with compliance, software limits and
protection, finite lists of currents, the error queue, and the coil itself (`coil.py`).
The settings `resistance` and `inductance` are the cold coil's; it warms by `heat_rise` K/W
within `heat_time` seconds, which its voltage shows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from ..lines import Stretch, tidy
from ..links import Answer, Link
from ..shots import Shot
from .coil import Coil, CoilHeat
from .scpi import ScpiDevice
from .scpi_language import Call, ScpiError, Setting, command, number

SETTLED = 1e-6
"""Fraction of the rating below which the current no longer moves."""
LIST_POINTS = 1002


def _scientific(value: float) -> str:
    """A number as the supply prints it: `2.71E1`."""
    mantissa, exponent = f"{value:.5E}".split("E")
    digits = mantissa.rstrip("0")
    return f"{digits}{'0' if digits.endswith('.') else ''}E{int(exponent)}"


class KepcoBOP(ScpiDevice):
    """The supply; its terminal `output` is the current in the coil."""

    outputs = ("output",)
    latency = (30e-3, 2e-3)
    port = 5025
    defaults: ClassVar[Mapping[str, Any]] = {
        "idn": "KEPCO,BOP36-28MG,A000001,3.05",
        "rated_current": 28.0,
        "rated_voltage": 36.0,
        "resistance": 0.8,
        "inductance": 4e-3,
        "loop_time": 1e-3,
        "noise": 2e-4,
        "heat_rise": 0.0,
        "heat_time": 60.0,
    }
    plain: ClassVar[tuple[Setting, ...]] = (
        Setting("OUTPut:MODE", "ACT", ("ACTive", "RESistive", "BATTery")),
        Setting("CURRent:RANGe", 1, low=1, high=4),
        Setting("CURRent:RANGe:AUTO", False),
        Setting("TRIGger:SOURce", "BUS", ("BUS", "IMMediate", "EXTernal")),
        Setting("INITiate:CONTinuous", False),
        Setting("LIST:COUNt", 1, low=1, high=255),
        Setting("LIST:DIRection", "UP", ("UP", "DOWN")),
        Setting("LIST:GENeration", "DSEQ", ("DSEQuence", "SEQuence")),
    )

    def reset(self) -> None:
        """As after *RST: voltage mode, all zero, output off."""
        super().reset()
        s = self.settings
        self.rated = {"CURR": s["rated_current"], "VOLT": s["rated_voltage"]}
        if not hasattr(self, "coil"):
            self.coil = Coil(s["resistance"], s["inductance"], s["loop_time"])
            self.heat = CoilHeat(s["resistance"], s["heat_rise"], s["heat_time"])
        self.mode = "VOLT"
        self.level = {"CURR": 0.0, "VOLT": 0.0}
        self.limits = {"CURR": [-self.rated["CURR"], self.rated["CURR"]],
                       "VOLT": [-self.rated["VOLT"], self.rated["VOLT"]]}  # fmt: skip
        self.protection = dict(self.rated)
        self.output = False
        self.points: list[float] = []
        self.dwell: list[float] = [1e-3]
        self.steps: deque[tuple[float, float]] = deque()
        self.list_running = False
        self.before_list = 0.0
        self.played: list[Coil] = []
        """The coil after each step of the list that plays: shots look back at it."""
        self._apply()

    # -- the coil -----------------------------------------------------------------------

    def current(self) -> float:
        """True current in the coil now, ampere."""
        self._play()
        return self.coil.at(self.now())

    def _play(self) -> None:
        while self.steps and self.steps[0][0] <= self.now():
            time, value = self.steps.popleft()
            self.level["CURR"] = value
            self._apply(time)
            self.played.append(replace(self.coil))

    def _apply(self, time: float | None = None) -> None:
        time = self.now() if time is None else time
        self.heat.advance(time, self.coil.at(time))
        if not self.output:
            self.coil.want(time, 0.0, "off", 0.0)
        elif self.mode == "CURR":
            compliance = min(abs(self.level["VOLT"]), self.protection["VOLT"])
            self.coil.want(time, self.level["CURR"], "current", compliance)
        else:
            self.coil.want(time, self.level["VOLT"], "voltage", 0.0)

    def settled(self) -> bool:
        """The current has arrived."""
        return bool(abs(self.current() - self.coil.final()) < SETTLED * self.rated["CURR"])

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """The current during the shot, in stairs while it moves."""
        self._play()
        coils = [*self.played, self.coil]
        now = replace(self.coil)
        for time, level in self.steps:
            now.want(time, level, "current", now.limit)
            coils.append(replace(now))
        ends = [*(one.since - shot.start for one in coils[1:]), shot.period]
        pieces: list[Stretch] = []
        begin = 0.0
        for one, end in zip(coils, ends, strict=True):
            stop = min(end, shot.period)
            pieces.extend(one.followed(shot.start, begin, stop, SETTLED * self.rated["CURR"]))
            begin = max(begin, stop)
        return tidy(pieces)

    def reveal(self) -> dict[str, float]:
        """How fast the current follows, seconds."""
        return {"coil_time_constant": self.coil.time_constant}

    def steady(self, shot: Shot) -> bool:
        """The current stays as it is."""
        moving = abs(self.coil.at(shot.start) - self.coil.final())
        return bool(not self.steps and moving < SETTLED * self.rated["CURR"])

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """`coil_hot`: the interlock switches the output off."""
        if kind == "coil_hot":
            self.output = False
            self.steps.clear()
            self._apply()
            self.error(link, 10101, "Over-temperature")
        super().trip(kind, value, link)

    # -- levels -------------------------------------------------------------------------

    @command("[SOURce:]FUNCtion:MODE")
    def _set_mode(self, call: Call) -> None:
        self.mode = call.choice("VOLTage", "CURRent")
        self._apply()

    @command("[SOURce:]FUNCtion:MODE?")
    def _get_mode(self, call: Call) -> str:
        return "1" if self.mode == "CURR" else "0"

    def _set_level(self, quantity: str, call: Call) -> None:
        if self.list_running:
            raise ScpiError(-221)
        low, high = self.limits[quantity]
        value = number(call.text(), low, high, "A" if quantity == "CURR" else "V")
        self._play()
        self.level[quantity] = value
        self._apply()

    @command("[SOURce:]CURRent[:LEVel][:IMMediate][:AMPLitude]")
    def _set_current(self, call: Call) -> None:
        self._set_level("CURR", call)

    @command("[SOURce:]VOLTage[:LEVel][:IMMediate][:AMPLitude]")
    def _set_voltage(self, call: Call) -> None:
        self._set_level("VOLT", call)

    @command("[SOURce:]CURRent[:LEVel][:IMMediate][:AMPLitude]?")
    def _get_current(self, call: Call) -> str:
        self._play()
        return self._level_or_extreme("CURR", call)

    @command("[SOURce:]VOLTage[:LEVel][:IMMediate][:AMPLitude]?")
    def _get_voltage(self, call: Call) -> str:
        return self._level_or_extreme("VOLT", call)

    def _level_or_extreme(self, quantity: str, call: Call) -> str:
        words = call.only(0, 1)
        extremes = {"MIN": -self.rated[quantity], "MAX": self.rated[quantity]}
        if words:
            return _scientific(number(words[0], extremes["MIN"], extremes["MAX"]))
        return _scientific(self.level[quantity])

    @command("[SOURce:]CURRent:LIMit")
    def _limit_current_both(self, call: Call) -> None:
        limit = call.number(0.0, self.rated["CURR"], "A")
        self.limits["CURR"] = [-limit, limit]

    @command("[SOURce:]CURRent:LIMit:POSitive")
    def _limit_current(self, call: Call) -> None:
        self.limits["CURR"][1] = call.number(0.0, self.rated["CURR"], "A")

    @command("[SOURce:]CURRent:LIMit:NEGative")
    def _limit_current_negative(self, call: Call) -> None:
        self.limits["CURR"][0] = -abs(call.number(-self.rated["CURR"], self.rated["CURR"], "A"))

    @command("[SOURce:]CURRent:LIMit[:POSitive]?")
    def _get_limit_current(self, call: Call) -> str:
        return _scientific(self.limits["CURR"][1])

    @command("[SOURce:]CURRent:LIMit:NEGative?")
    def _get_limit_negative(self, call: Call) -> str:
        return _scientific(self.limits["CURR"][0])

    @command("[SOURce:]VOLTage:LIMit")
    def _limit_voltage(self, call: Call) -> None:
        limit = call.number(0.0, self.rated["VOLT"], "V")
        self.limits["VOLT"] = [-limit, limit]

    @command("[SOURce:]VOLTage:LIMit?")
    def _get_limit_voltage(self, call: Call) -> str:
        return _scientific(self.limits["VOLT"][1])

    @command("[SOURce:]VOLTage:PROTection[:LIMit]")
    def _protect_voltage(self, call: Call) -> None:
        self.protection["VOLT"] = call.number(0.0, self.rated["VOLT"], "V")
        self._apply()

    @command("[SOURce:]VOLTage:PROTection[:LIMit]?")
    def _get_protect_voltage(self, call: Call) -> str:
        return _scientific(self.protection["VOLT"])

    @command("[SOURce:]CURRent:PROTection[:LIMit]")
    def _protect_current(self, call: Call) -> None:
        self.protection["CURR"] = call.number(0.0, self.rated["CURR"], "A")

    @command("[SOURce:]CURRent:PROTection[:LIMit]?")
    def _get_protect_current(self, call: Call) -> str:
        return _scientific(self.protection["CURR"])

    @command("OUTPut[:STATe]")
    def _set_output(self, call: Call) -> None:
        self.output = call.switch()
        self._apply()

    @command("OUTPut[:STATe]?")
    def _get_output(self, call: Call) -> str:
        return str(int(self.output))

    @command("MEASure[:SCALar]:CURRent[:DC]?")
    def _measure_current(self, call: Call) -> str:
        noise = self.rng.normal(0.0, self.settings["noise"] * self.rated["CURR"])
        return _scientific(self.current() + noise)

    @command("MEASure[:SCALar]:VOLTage[:DC]?")
    def _measure_voltage(self, call: Call) -> str:
        noise = self.rng.normal(0.0, self.settings["noise"] * self.rated["VOLT"])
        current = self.current()
        self.heat.advance(self.now(), current)
        volts = self.coil.voltage(self.now()) + current * self.heat.added_resistance
        return _scientific(volts + noise)

    @command("STATus:QUEStionable:CONDition?")
    def _questionable(self, call: Call) -> str:
        return "0" if self.settled() else "3"

    # -- lists --------------------------------------------------------------------------

    def _list_free(self) -> None:
        self._play()
        if self.steps:
            raise ScpiError(-221)

    @command("LIST:CLEar")
    def _clear_list(self, call: Call) -> None:
        self._list_free()
        self.points = []

    @command("LIST:CURRent")
    def _append_list(self, call: Call) -> None:
        self._list_free()
        low, high = self.limits["CURR"]
        values = [number(one, low, high, "A") for one in call.only(1, LIST_POINTS)]
        if len(self.points) + len(values) > LIST_POINTS:
            raise ScpiError(-223, "Too much data")
        self.points += values

    @command("LIST:DWELl")
    def _set_dwell(self, call: Call) -> None:
        self._list_free()
        self.dwell = [number(one, 5e-4, 10.0, "S") for one in call.only(1, LIST_POINTS)]

    @command("LIST:CURRent:POINts?")
    def _count_list(self, call: Call) -> str:
        return str(len(self.points))

    @command("LIST:DWELl:POINts?")
    def _count_dwell(self, call: Call) -> str:
        return str(len(self.dwell))

    @command("[SOURce:]CURRent:MODE")
    def _run_list(self, call: Call) -> None:
        word = call.choice("FIXed", "LIST", "HALT")
        if word == "LIST":
            self._start_list()
            return
        self._play()
        self.steps.clear()
        if self.list_running:
            self.level["CURR"] = self.before_list
        self.list_running = False
        self.played.clear()
        self._apply()

    @command("[SOURce:]CURRent:MODE?")
    def _list_mode(self, call: Call) -> str:
        return "LIST" if self.list_running else "FIXED"

    def _start_list(self) -> None:
        if len(self.dwell) not in (1, len(self.points)):
            raise ScpiError(-226, "Not Same Length")
        if not self.points or self.mode != "CURR":
            raise ScpiError(-221)
        if not self.list_running:
            self.before_list = self.level["CURR"]
        self.played = [replace(self.coil)]
        points = self.points if self.value("LIST:DIRection") == "UP" else self.points[::-1]
        dwell = self.dwell * len(points) if len(self.dwell) == 1 else self.dwell
        time = self.now()
        for _ in range(int(self.value("LIST:COUNt"))):
            for value, seconds in zip(points, dwell, strict=True):
                self.steps.append((time, value))
                time += seconds
        self.list_running = True
        self._play()

    @command("ABORt")
    def _abort(self, call: Call) -> None:
        self.steps.clear()

    @command("SYSTem:ERRor:ALL?")
    def _all_errors(self, call: Call) -> Answer:
        queue = self.queue(call.link)
        shown = ",".join(queue) or self.no_error
        queue.clear()
        return shown
