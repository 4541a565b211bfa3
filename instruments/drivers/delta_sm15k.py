"""Delta Elektronika SM15K as high-current coil supply, with its watchdog.

The driver protects the coil: a new current is always reached by a ramp, the output is
switched on only near zero amperes with voltage and power set, and everything that is set
is read back. With the watchdog on, the supply switches itself off when this computer
falls silent. Its voltage is never negative: a gradient is reversed by a relay, at 0 A.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qcodes.instrument import VisaInstrumentKWArgs
from qcodes.validators import Numbers

from ..errors import InstrumentError, LimitError
from ..journal import Journal
from .base import LONGEST_ERROR_QUEUE, finite, flag
from .current_ramp import checked_rate, current_ramp, output_disobeyed
from .delta_sm15k_language import REGISTER_A, STEP_PATTERN, parse_error, parse_idn
from .linked import Identity
from .remembering import RememberingInstrument

if TYPE_CHECKING:
    from qcodes.parameters import Parameter
    from typing_extensions import Unpack

UNVERIFIED: tuple[str, ...] = (
    "Execution time of a command: no source states it; nothing here depends on it but the "
    "time-out and the shortest useful watchdog.",
    "Numbers of the errors: shown as they come.",
    "The words of PROG:SEL:STA?: given to the user as text; anything but RUN, PAUSE or WAIT "
    "counts as stopped.",
    "The words of SYST:REM:CC?: `take_control` writes them, and trusts the values read back.",
    "Jumps of the sequencer (JP, CJE, CJG): the driver does not use them.",
    "That other SM units with Ethernet understand the same commands.",
)
"""What no source at hand states; to be tried on the real unit."""

SHORTEST_WATCHDOG, LONGEST_WATCHDOG = 0.02, 10.0
"""Seconds."""
SETTING_STEPS = 65535
"""Set values have 16 bits."""
MOST_STEPS = 2000


class DeltaSM15K(RememberingInstrument):
    """SM15K over its Ethernet socket (port 8462).

    Facts no source states are listed in `UNVERIFIED`.

    Args:
        name: Name of the instrument in QCoDeS.
        address: For instance `TCPIP0::192.168.1.60::8462::SOCKET`.
        max_current: Limit of the laboratory in amperes; the supply's own holds as well.
        max_voltage: Limit of the laboratory in volts, likewise.
        max_power: Limit of the laboratory in watts, likewise.
        ramp_step: Largest step of the current in amperes.
        ramp_rate: Rate of a ramp in amperes per second.
        journal: Register of the messages.
        **kwargs: Passed on to `VisaInstrument`.
    """

    never_repeat = (r"SYST\w*:ERR", r"SYST\w*:COM\w*:WAT\w*\?")
    forbidden = (r"\*RST", r"SYST\w*:COM\w*:TER")

    def __init__(
        self,
        name: str,
        address: str,
        *,
        max_current: float | None = None,
        max_voltage: float | None = None,
        max_power: float | None = None,
        ramp_step: float = 1.0,
        ramp_rate: float = 20.0,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        for argument, value in (("ramp_step", ramp_step), ("ramp_rate", ramp_rate)):
            if not (math.isfinite(value) and value > 0):
                raise LimitError(f"{name}: argument `{argument}` must be > 0, but is {value!r}.")
        self.ramp_step = ramp_step
        self.ramp_rate = ramp_rate
        self.limits = {
            "CUR": math.inf if max_current is None else abs(max_current),
            "VOL": math.inf if max_voltage is None else abs(max_voltage),
            "POW": math.inf if max_power is None else abs(max_power),
        }
        """Largest current [A], voltage [V] and power [W]: laboratory and instrument together."""
        self.rated = dict.fromkeys(self.limits, math.inf)
        """The instrument's own, asked on connecting."""
        self.watchdog_time: float | None = None
        """Seconds of the watchdog that this driver has started."""
        super().__init__(name, address, journal=journal, **kwargs)
        self._add_settings()
        self._add_readings()
        self.connect_message()

    def _add_settings(self) -> None:
        self.current: Parameter[float, DeltaSM15K] = self.add_parameter(
            "current",
            unit="A",
            get_cmd="SOUR:CUR?",
            get_parser=finite,
            set_cmd=self.ramp_current,
            vals=Numbers(min_value=0.0),
        )
        """The current that is set; setting it ramps there (`ramp_current`)."""
        self.voltage: Parameter[float, DeltaSM15K] = self.add_parameter(
            "voltage",
            unit="V",
            get_cmd="SOUR:VOL?",
            get_parser=finite,
            set_cmd=lambda volts: self._set("VOL", volts, "V"),
            vals=Numbers(min_value=0.0),
        )
        """Largest voltage on the coil; the limit of every rise of the current."""
        self.power: Parameter[float, DeltaSM15K] = self.add_parameter(
            "power",
            unit="W",
            get_cmd="SOUR:POW?",
            get_parser=finite,
            set_cmd=lambda watts: self._set("POW", watts, "W"),
            vals=Numbers(min_value=0.0),
        )
        """Largest power; 0 W after power-on, and then no current flows."""
        self.output_enabled: Parameter[bool, DeltaSM15K] = self.add_parameter(
            "output_enabled", get_cmd="OUTP?", get_parser=flag, set_cmd=self._set_output
        )
        """The output; on only near 0 A, off only after a ramp to 0 A."""

    def _add_readings(self) -> None:
        self.measured_current = self._reading("measured_current", "A", "CUR")
        """What flows, in amperes."""
        self.measured_voltage = self._reading("measured_voltage", "V", "VOL")
        """What lies across the coil, in volts."""
        self.measured_power = self._reading("measured_power", "W", "POW")
        """What the supply gives, in watts."""

    def _reading(self, name: str, unit: str, word: str) -> Parameter[float, DeltaSM15K]:
        return self.add_parameter(
            name,
            unit=unit,
            get_cmd=f"MEAS:{word}?",
            get_parser=finite,
            set_cmd=False,
            snapshot_get=False,
        )

    # ---- current ---------------------------------------------------------------------

    def take_control(self) -> None:
        """Make this link the source of current, voltage and power (`SYST:REM`)."""
        with self.group():
            for kind in ("CC", "CV", "CP"):
                self.write(f"SYST:REM:{kind} Remote")

    def ramp_current(self, target: float, rate: float | None = None) -> None:
        """Move the set current to `target` in equal steps, and read it back.

        Args:
            target: Amperes, not negative.
            rate: Amperes per second; `ramp_rate` if not given.

        Raises:
            LimitError: If `target` or `rate` is out of range; nothing was sent.
            InstrumentError: If the supply refuses, or reads back another current.
        """
        self._check("CUR", target, "A")
        rate = checked_rate(self.name, self.ramp_rate if rate is None else rate)
        # No pause may outlast the watchdog.
        pause = math.inf if self.watchdog_time is None else 0.5 * self.watchdog_time
        with self.group():
            start = self.ask_float("SOUR:CUR?")
            ramp = current_ramp(
                self.name, start, target, rate=rate, step=self.ramp_step, longest_pause=pause
            )
            self._forget("SOUR:CUR?")
            for amperes in ramp.currents:
                self.write(f"SOUR:CUR {amperes:.4f}")
                self.clock.wait(ramp.pause)
        self._confirm("CUR", target, "A")
        self.current.cache.set(target)

    def ramp_down(self) -> None:
        """Ramp to 0 A, then switch the output off. Safe to call at any time, and twice.

        The output is switched off even if the ramp fails; its error is then raised.
        """
        try:
            self.ramp_current(0.0)
        finally:
            self._switch(False)

    def status(self) -> set[str]:
        """What the supply says of itself: the words of `REGISTER_A` whose bits are set."""
        bits = self.ask_int("STAT:REG:A?")
        return {text for bit, text in REGISTER_A.items() if bits >> bit & 1}

    # ---- watchdog --------------------------------------------------------------------

    def start_watchdog(self, seconds: float) -> None:
        """From now on the output goes off when no valid command comes for `seconds`.

        Any question feeds it; `feed_watchdog` asks whether it has struck.

        Raises:
            LimitError: If `seconds` is not within 0.02 to 10; nothing was sent.
            InstrumentError: If the supply does not start it.
        """
        if not SHORTEST_WATCHDOG <= seconds <= LONGEST_WATCHDOG:
            raise LimitError(
                f"{self.name}: the watchdog takes {SHORTEST_WATCHDOG:g} to {LONGEST_WATCHDOG:g} "
                f"s, not {seconds!r} s."
            )
        with self.lock:
            self.write(f"SYST:COM:WAT SET,{round(seconds * 1e3)}")
            self.watchdog_time = seconds
            self.feed_watchdog()

    def feed_watchdog(self) -> float:
        """Restart the time; the seconds that were left.

        Raises:
            InstrumentError: If it has struck (the output is off), or is not running.
        """
        left = self.ask_int("SYST:COM:WAT?")
        if left > 0:
            return left * 1e-3
        self.watchdog_time = None
        self.output_enabled.cache.invalidate()
        self._forget("OUTP?")
        if left == 0:
            raise InstrumentError(
                f"{self.name} at {self.address}: the watchdog has switched the output off, "
                "because no command came in time. Set the current to 0 A, find out why this "
                "computer fell silent, then switch on again."
            )
        raise InstrumentError(
            f"{self.name} at {self.address}: the watchdog is not running: start_watchdog first."
        )

    def stop_watchdog(self) -> None:
        """The supply no longer minds silence."""
        self.write("SYST:COM:WAT STOP")
        self.watchdog_time = None

    # ---- sequencer -------------------------------------------------------------------

    def upload_sequence(self, name: str, steps: Sequence[str]) -> None:
        """Write a program of `SC=<A>`, `SV=<V>`, `SP=<W>`, `W=<s>` and `TRG` steps.

        About 125 us a step besides the waits. Power is 0 W in a program as well until an `SP=`.

        Raises:
            LimitError: If a step is unknown or beyond the limits; nothing was sent.
            InstrumentError: If the supply refuses.
        """
        if re.fullmatch(r"\w{1,16}", name) is None or not 1 <= len(steps) <= MOST_STEPS:
            raise LimitError(f"{self.name}: a sequence needs a name and 1 to {MOST_STEPS} steps.")
        for text in steps:
            if re.fullmatch(STEP_PATTERN, text) is None:
                raise LimitError(f"{self.name}: {text!r} is no step of a sequence.")
            word, _, value = text.partition("=")
            quantity = {"SC": ("CUR", "A"), "SV": ("VOL", "V"), "SP": ("POW", "W")}.get(word)
            if quantity is not None:
                self._check(quantity[0], float(value), quantity[1])
        with self.group():
            self.write(f"PROG:SEL:NAM {name}")
            for number, text in enumerate(steps, start=1):
                self.write(f"PROG:SEL:STE {number} {text}")

    def run_sequence(self) -> None:
        """Hand the source over to the sequencer and start the program selected. Sent once."""
        self._forget("SOUR:CUR?")
        self._forget("SOUR:VOL?")
        self._forget("SOUR:POW?")
        with self.group():
            for kind in ("CC", "CV", "CP"):
                self.write(f"SYST:REM:{kind} Sequencer")
            self.write("PROG:SEL:STA RUN")

    def trigger_sequence(self) -> None:
        """Go on from a `TRG` step. Sent once."""
        self.write("TRIG:IMM")

    def sequence_running(self) -> bool:
        """Whether a program runs or waits."""
        return self.ask("PROG:SEL:STA?").upper().startswith(("RUN", "PAUS", "WAIT"))

    def stop_sequence(self) -> None:
        """Stop the program; the values of its last step stay, and this link sets them again."""
        self.write("PROG:SEL:STA STOP")
        self.take_control()

    # ---- details ---------------------------------------------------------------------

    def _set_output(self, on: bool) -> None:
        if not on:
            self.ramp_down()
            return
        with self.lock:
            current = self.ask_float("SOUR:CUR?")
            if current > self.ramp_step + self._resolution("CUR"):
                raise self._unsafe(f"{current:g} A are set", "set current to 0")
            for word, name in (("VOL", "voltage"), ("POW", "power")):
                value = self.ask_float(f"SOUR:{word}?")
                if not 0 < value <= self.limits[word] * (1 + 1e-6):
                    raise self._unsafe(f"the {name} is set to {value:g}", f"set {name}")
            self._switch(True)

    def _switch(self, on: bool) -> None:
        word = "ON" if on else "OFF"
        self._forget("OUTP?")
        self.write(f"OUTP {word}")
        if self._remember("OUTP?").strip() != str(int(on)):
            self._forget("OUTP?")
            raise output_disobeyed(self.name, self.address, word)
        self.output_enabled.cache.set(on)

    def _set(self, word: str, value: float, unit: str) -> None:
        self._check(word, value, unit)
        self._forget(f"SOUR:{word}?")
        self.write(f"SOUR:{word} {value:.4f}")
        self._confirm(word, value, unit)

    def _check(self, word: str, value: float, unit: str) -> None:
        if not 0.0 <= value <= self.limits[word]:
            raise LimitError(
                f"{self.name}: SOUR:{word} must be within 0 and {self.limits[word]:g} {unit} "
                f"(laboratory and instrument), but is {value!r} {unit}. A negative current needs "
                "a relay."
            )

    def _resolution(self, word: str) -> float:
        """What a set value may be rounded by."""
        rated = self.rated[word]
        return 1e-3 if math.isinf(rated) else max(1e-3, 2.0 * rated / SETTING_STEPS)

    def _confirm(self, word: str, wanted: float, unit: str) -> None:
        question = f"SOUR:{word}?"
        found = finite(self._remember(question))
        if abs(found - wanted) > self._resolution(word):
            self._forget(question)
            raise InstrumentError(
                f"{self.name} at {self.address}: {wanted:g} {unit} were set, but {question} "
                f"answers {found:g} {unit}. Ramp down; is this link the source (take_control)?"
            )

    def _unsafe(self, why: str, remedy: str) -> InstrumentError:
        return InstrumentError(f"{self.name} at {self.address}: refused, because {why}: {remedy}.")

    def _read_errors(self) -> list[str]:
        errors: list[str] = []
        while len(errors) < LONGEST_ERROR_QUEUE:
            code, text = self.ask_parsed("SYST:ERR?", parse_error, "a number and a text")
            if code == 0:
                break
            errors.append(f"{code} {text}")
        return errors

    def get_idn(self) -> Identity:
        """Vendor, model, serial number, firmware; the answer has a fifth field.

        Raises:
            LinkError: If there is no answer of five fields.
        """
        return self.ask_parsed("*IDN?", parse_idn, "five fields")

    def _check_identity(self, identity: Identity) -> None:
        model = (identity["model"] or "").upper()
        if "DELTA" not in (identity["vendor"] or "").upper() or not model.startswith("SM"):
            raise InstrumentError(
                f"{self.name} at {self.address} is no Delta Elektronika SM supply but {identity}. "
                "Check the address."
            )

    def _forget_settings(self) -> None:
        super()._forget_settings()
        self.watchdog_time = None

    def _prepare_survival_check(self) -> None:
        for word in self.limits:
            self.rated[word] = self.ask_float(f"SOUR:{word}:MAX?")
            self.limits[word] = min(self.limits[word], self.rated[word])
