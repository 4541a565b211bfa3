"""Delta Elektronika SM15K supply driving a coil with high current, with its watchdog.

Simulated: set values of current, voltage and power with their ranges and steps, limits,
output, source of programming, the watchdog, the status registers, a sequencer without
jumps, and the coil. Voltage is never negative: a falling current decays through the coil.
The settings `resistance` and `inductance` are the coil's.

Numbers of the errors, the state words of the sequencer and the time of a command (5 ms) are
a model: the page at hand does not state them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from ..lines import Stretch
from ..links import Answer, Link
from ..shots import Shot
from .coil import Coil
from .delta_sequencer import Sequencer
from .scpi import ScpiDevice
from .scpi_language import Call, ScpiError, Setting, command, number

SETTLED = 1e-6
"""Fraction of the rating below which the current no longer moves."""
STEPS = 65535
QUEUE_DEPTH = 10
SOURCES = (
    "REMote",
    "LOCal",
    "FROnt",
    "WEB",
    "SEQuencer",
    "ETHernet",
    "SLOT1",
    "SLOT2",
    "SLOT3",
    "SLOT4",
)
QUANTITIES = {"CUR": "A", "VOL": "V", "POW": "W"}
A_BITS = {"CV": 1, "CC": 2, "CP": 4, "DCF": 64, "INTERLOCK": 2048, "RSD": 4096, "OUTPUT": 8192}


def _local_or_remote(word: str) -> str:
    return "Local" if word in ("LOC", "FRO") else "Remote"


class DeltaSM15K(ScpiDevice):
    """The supply; its terminal `output` is the current in the coil."""

    outputs = ("output",)
    latency = (5e-3, 1e-3)
    port = 8462
    ieee488 = False
    no_error = "0,None"
    defaults: ClassVar[Mapping[str, Any]] = {
        "idn": "DELTA ELEKTRONIKA BV,SM70-CP-450,000010207248,H0_P0150,0",
        "rated_current": 450.0,
        "rated_voltage": 70.0,
        "rated_power": 15e3,
        "resistance": 0.05,
        "inductance": 1e-3,
        "loop_time": 2e-3,
        "noise": 1e-4,
    }
    plain: ClassVar[tuple[Setting, ...]] = (
        Setting("SYSTem:FROntpanel[:STAtus]", True),
        Setting("SYSTem:FROntpanel:CONtrols", True),
        *(
            Setting(f"SYSTem:REMote:{kind}[:STAtus]", "ETH", SOURCES, shown=_local_or_remote)
            for kind in ("CC", "CV", "CP")
        ),
    )

    def reset(self) -> None:
        """As after *RST and after power-on: everything 0, output off."""
        super().reset()
        s = self.settings
        self.rated = {"CUR": s["rated_current"], "VOL": s["rated_voltage"],
                      "POW": s["rated_power"]}  # fmt: skip
        if not hasattr(self, "coil"):
            self.coil = Coil(s["resistance"], s["inductance"], s["loop_time"], lowest=0.0)
            self.watchdog = 0.0
            self.fed = self.now()
            self.expired = False
        self.level = {name: 0.0 for name in self.rated}
        self.negative = {"CUR": 0.0, "POW": 0.0}
        self.limits = {name: (value, False) for name, value in self.rated.items()}
        self.output = False
        self.shut_down = False
        self.hot = False
        self.sequencer = Sequencer(self._step)
        self._apply()

    # -- the coil -----------------------------------------------------------------------

    def current(self) -> float:
        """True current in the coil now, ampere."""
        self._advance(self.now())
        return self.coil.at(self.now())

    def _advance(self, time: float) -> None:
        """The watchdog and the sequencer up to `time`."""
        due = self.fed + self.watchdog if self.watchdog > 0 else math.inf
        self.sequencer.run_until(min(time, due))
        if time >= due:
            self.watchdog, self.expired = 0.0, True
            self._off(due)
            self.sequencer.stop()

    def _off(self, time: float) -> None:
        self.output = False
        self._apply(time)

    def _step(self, name: str, value: float, time: float) -> None:
        """The sequencer sets something."""
        if name in self.level:
            self.level[name] = min(max(value, 0.0), self.rated[name])
            self._apply(time)

    def ceiling(self) -> float:
        """The current that the power limit allows in the end, ampere."""
        return math.sqrt(self.level["POW"] / self.settings["resistance"])

    def _apply(self, time: float | None = None) -> None:
        time = self.now() if time is None else time
        if not self.output or self.shut_down:
            self.coil.want(time, 0.0, "off", 0.0)
        else:
            target = min(self.level["CUR"], self.ceiling())
            self.coil.want(time, target, "current", self.level["VOL"])

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """The current at the start of the shot, taken as constant during it."""
        self._advance(shot.start)
        return (Stretch(0.0, shot.period, self.coil.at(shot.start)),)

    def steady(self, shot: Shot) -> bool:
        """The current stays as it is, and nothing is about to change it."""
        moving = abs(self.coil.at(shot.start) - self.coil.final())
        quiet = self.watchdog == 0 and not self.sequencer.running
        return quiet and bool(moving < SETTLED * self.rated["CUR"])

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """`coil_hot`: the interlock switches the output off until it is set on again."""
        if kind == "coil_hot":
            self._advance(self.now())
            self.hot = True
            self._off(self.now())
        super().trip(kind, value, link)

    # -- messages -----------------------------------------------------------------------

    def handle(self, message: str, link: Link) -> Answer:
        """Obey; a message without mistake feeds the watchdog."""
        self._advance(self.now())
        before = len(self.queue(link))
        asked = message.upper().startswith("SYST") and "ERR" in message.upper()
        answer = super().handle(message, link)
        if asked or len(self.queue(link)) <= before:
            self.fed = self.now()
        return answer

    def error(self, link: Link | None, code: int, text: str | None = None) -> None:
        """An entry without quotes; the queue holds ten, later ones are dropped."""
        if len(self.queue(link)) >= QUEUE_DEPTH:
            return
        super().error(link, code, text)
        self.queue(link)[-1] = self.queue(link)[-1].replace('"', "")

    def _quantity(self, name: str, call: Call) -> None:
        source = {"CUR": "CC", "VOL": "CV", "POW": "CP"}[name]
        if self.source(source) != "ETH":
            raise ScpiError(-221, f"Settings conflict {source} is not remote")
        limit, on = self.limits[name]
        top = min(self.rated[name], limit) if on else self.rated[name]
        step = self.rated[name] / STEPS
        self.level[name] = round(call.number(0.0, top, QUANTITIES[name]) / step) * step
        self._apply()

    @command("SOURce:CURrent")
    def _set_current(self, call: Call) -> None:
        self._quantity("CUR", call)

    @command("SOURce:VOLtage")
    def _set_voltage(self, call: Call) -> None:
        self._quantity("VOL", call)

    @command("SOURce:POWer")
    def _set_power(self, call: Call) -> None:
        self._quantity("POW", call)

    @command("SOURce:CURrent?")
    def _get_current(self, call: Call) -> str:
        return _shown(self.level["CUR"])

    @command("SOURce:VOLtage?")
    def _get_voltage(self, call: Call) -> str:
        return _shown(self.level["VOL"])

    @command("SOURce:POWer?")
    def _get_power(self, call: Call) -> str:
        return _shown(self.level["POW"])

    @command("SOURce:CURrent:NEGative")
    def _set_negative_current(self, call: Call) -> None:
        self.negative["CUR"] = call.number(-self.rated["CUR"], 0.0, "A")

    @command("SOURce:CURrent:NEGative?")
    def _get_negative_current(self, call: Call) -> str:
        return _shown(self.negative["CUR"])

    @command("SOURce:POWer:NEGative")
    def _set_negative_power(self, call: Call) -> None:
        self.negative["POW"] = call.number(-self.rated["POW"], 0.0, "W")

    @command("SOURce:POWer:NEGative?")
    def _get_negative_power(self, call: Call) -> str:
        return _shown(self.negative["POW"])

    @command("SOURce:CURrent:MAXimum?")
    def _most_current(self, call: Call) -> str:
        return _shown(self.rated["CUR"])

    @command("SOURce:VOLtage:MAXimum?")
    def _most_voltage(self, call: Call) -> str:
        return _shown(self.rated["VOL"])

    @command("SOURce:POWer:MAXimum?")
    def _most_power(self, call: Call) -> str:
        return _shown(self.rated["POW"])

    @command("SOURce:CURrent:STEpsize?")
    def _current_step(self, call: Call) -> str:
        return f"{self.rated['CUR'] / STEPS:.6f}"

    # -- measuring ----------------------------------------------------------------------

    def _noisy(self, value: float, name: str) -> str:
        return _shown(value + self.rng.normal(0.0, self.settings["noise"] * self.rated[name]))

    @command("MEASure:CURrent?")
    def _measure_current(self, call: Call) -> str:
        return self._noisy(self.current(), "CUR")

    @command("MEASure:VOLtage?")
    def _measure_voltage(self, call: Call) -> str:
        return self._noisy(self.coil.voltage(self.now()), "VOL")

    @command("MEASure:POWer?")
    def _measure_power(self, call: Call) -> str:
        return self._noisy(self.current() * self.coil.voltage(self.now()), "POW")

    # -- output, limits, remote -----------------------------------------------------------

    @command("OUTPut")
    def _set_output(self, call: Call) -> None:
        self.output = call.switch()
        if self.output:
            self.hot = self.expired = False
        self._apply()

    @command("OUTPut?")
    def _get_output(self, call: Call) -> str:
        return str(int(self.output))

    @command("SYSTem:RSD[:STAtus]")
    def _set_shut_down(self, call: Call) -> None:
        self.shut_down = call.switch()
        self._apply()

    @command("SYSTem:RSD[:STAtus]?")
    def _get_shut_down(self, call: Call) -> str:
        return str(int(self.shut_down))

    @command("SYSTem:LIMits:CURrent")
    def _limit_current(self, call: Call) -> None:
        self._limit("CUR", call)

    @command("SYSTem:LIMits:VOLtage")
    def _limit_voltage(self, call: Call) -> None:
        self._limit("VOL", call)

    @command("SYSTem:LIMits:POWer")
    def _limit_power(self, call: Call) -> None:
        self._limit("POW", call)

    def _limit(self, name: str, call: Call) -> None:
        value, switch = call.only(2)
        on = Call((switch,), (), call.link).switch()
        limit = number(value, 0.0, self.rated[name], QUANTITIES[name])
        if on and self.level[name] > limit:
            raise ScpiError(-221, "Settings conflict set value above limit")
        self.limits[name] = (limit, on)

    @command("SYSTem:LIMits:CURrent?")
    def _get_limit_current(self, call: Call) -> str:
        value, on = self.limits["CUR"]
        return f"{_shown(value)},{'ON' if on else 'OFF'}"

    def source(self, kind: str) -> str:
        """What sets CC, CV or CP: ETH, SEQ, FRO, ..."""
        word = str(self.value(f"SYSTem:REMote:{kind}[:STAtus]"))
        return {"REM": "ETH", "LOC": "FRO"}.get(word, word)

    # -- watchdog -----------------------------------------------------------------------

    @command("SYSTem:COMmunicate:WATchdog")
    def _set_watchdog(self, call: Call) -> Answer:
        words = [one.upper() for one in call.only(1, 2)]
        if words[0] == "SET?":
            return str(round(self.watchdog * 1e3))
        if words[0] == "SET" and len(words) == 2:
            self.watchdog = int(number(words[1], 20, 10_000)) * 1e-3
        elif words == ["TEST"]:
            self.watchdog = 2.5e-3
        elif words == ["STOP"]:
            self.watchdog = 0.0
        else:
            raise ScpiError(-224)
        self.expired = False
        return None

    @command("SYSTem:COMmunicate:WATchdog?")
    def _get_watchdog(self, call: Call) -> str:
        if self.expired:
            self.expired = False
            return "0"
        if self.watchdog == 0:
            return "-1"
        return str(max(round((self.fed + self.watchdog - self.now()) * 1e3), 1))

    # -- status -------------------------------------------------------------------------

    @command("STATus:REGister:A?")
    def _register_a(self, call: Call) -> str:
        flags = {"INTERLOCK": self.hot, "RSD": self.shut_down}
        on = self.output and not self.shut_down
        flags |= {"OUTPUT": on, "DCF": not on}
        wanted, ceiling = self.level["CUR"], self.ceiling()
        reached = self.level["VOL"] / self.settings["resistance"]
        kind = min((reached, "CV"), (wanted, "CC"), (ceiling, "CP"))[1] if on else "CC"
        flags[kind] = True
        return str(sum(A_BITS[name] for name, set_ in flags.items() if set_))

    @command("STATus:REGister:B?")
    def _register_b(self, call: Call) -> str:
        bits = {"CV": 1, "CC": 2, "CP": 4}
        remote = sum(bit for kind, bit in bits.items() if self.source(kind) != "FRO")
        run = 8 * self.sequencer.running | 16 * self.sequencer.waiting
        return str(remote | run)

    # -- sequencer ----------------------------------------------------------------------

    @command("PROGram:SELected:NAMe")
    def _select(self, call: Call) -> None:
        self.sequencer.select(call.text())

    @command("PROGram:SELected:NAMe?")
    def _selected(self, call: Call) -> str:
        return self.sequencer.selected

    @command("PROGram:CATalog?")
    def _catalog(self, call: Call) -> str:
        return ",".join(self.sequencer.programs)

    @command("PROGram:CATalog:DELete")
    def _delete(self, call: Call) -> None:
        self.sequencer.delete(call.only(0, 1))

    @command("PROGram:SELected:STEp")
    def _edit(self, call: Call) -> Answer:
        place, _, text = call.text().partition(" ")
        if place.endswith("?"):
            return f"{place[:-1]} {self.sequencer.step(place[:-1])}"
        self.sequencer.edit(place, text)
        return None

    @command("PROGram:SELected:STAte")
    def _run_program(self, call: Call) -> None:
        word = call.choice("RUN", "PAUSe", "CONTinue", "NEXT", "STOP")
        if word == "RUN" and self.source("CC") != "SEQ":
            raise ScpiError(-221, "Settings conflict source is not the sequencer")
        self.sequencer.obey(word, self.now())

    @command("PROGram:SELected:STAte?")
    def _program_state(self, call: Call) -> str:
        return self.sequencer.state

    @command("TRIGger:IMMediate")
    def _trigger(self, call: Call) -> None:
        if not self.sequencer.waiting:
            raise ScpiError(-211)
        self.sequencer.trigger(self.now())


def _shown(value: float) -> str:
    return f"{value:.4f}"
