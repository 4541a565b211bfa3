"""Kepco BOP bipolar supply (BIT 4886 or BIT 802E card) driving a gradient coil.

The driver protects the coil: a new current is always reached by a ramp, the
output is switched on only in current mode, near zero amperes and with a
compliance voltage set, and `DIAG:TST?` (which swings the output over its full
range) is never sent. On a lost link the supply keeps its last current: only a
hardware interlock can help there.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from qcodes.instrument import VisaInstrumentKWArgs
from qcodes.validators import Numbers

from ..errors import InstrumentError, LimitError
from ..journal import Journal
from .base import finite, flag
from .current_ramp import checked_rate, current_ramp, output_disobeyed
from .kepco_list import CurrentList
from .linked import Identity
from .scpi import ScpiInstrument

if TYPE_CHECKING:
    from qcodes.parameters import Parameter
    from typing_extensions import Unpack

UNVERIFIED: tuple[str, ...] = (
    "Which OUTP:MODE (ACTIVE, RESISTIVE, BATTERY) suits a coil while the output is off: the "
    "driver leaves it as it is set on the unit.",
    "Codes of CURR:RANG (1, 4): the driver does not use it.",
    "That a software limit is asked back with CURR:LIM:POS? and NEG?.",
    "That leaving the list mode goes back to the current set before (manual of another card).",
    "That 25 ms between commands are enough for cards other than BIT 802E; `minimum_interval`.",
)
"""What no source at hand states; to be tried on the real unit."""

MODES = {"voltage": 0, "current": 1}


class KepcoBOP(ScpiInstrument):
    """BOP supply over a raw socket (port 5025), GPIB or RS-232.

    Facts no source states are listed in `UNVERIFIED`.

    Args:
        name: Name of the instrument in QCoDeS.
        address: For instance `TCPIP0::192.168.1.40::5025::SOCKET`.
        max_current: Limit of the laboratory in amperes; the instrument's rating
            (from its model, BOP volts-amperes) holds as well.
        max_compliance: Limit of the laboratory in volts, likewise.
        ramp_step: Largest step of the current in amperes.
        ramp_rate: Rate of a ramp in amperes per second.
        list_step: Largest step within a list in amperes; `ramp_step` if not given.
        journal: Register of the messages.
        **kwargs: Passed on to `VisaInstrument`.
    """

    minimum_interval = 0.025
    forbidden = (r"DIAG\w*:TST", r"\*TST")

    def __init__(
        self,
        name: str,
        address: str,
        *,
        max_current: float | None = None,
        max_compliance: float | None = None,
        ramp_step: float = 0.1,
        ramp_rate: float = 2.0,
        list_step: float | None = None,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        list_step = ramp_step if list_step is None else list_step
        for argument, value in (
            ("ramp_step", ramp_step),
            ("ramp_rate", ramp_rate),
            ("list_step", list_step),
        ):
            if not (math.isfinite(value) and value > 0):
                raise LimitError(f"{name}: argument `{argument}` must be > 0, but is {value!r}.")
        super().__init__(name, address, journal=journal, **kwargs)
        self.ramp_step = ramp_step
        self.ramp_rate = ramp_rate
        self.list_step = list_step
        self.max_current = math.inf if max_current is None else abs(max_current)
        """Largest magnitude of the current in amperes: laboratory and instrument together."""
        self.max_compliance = math.inf if max_compliance is None else abs(max_compliance)
        """Largest compliance voltage: laboratory and instrument together."""
        self.list = CurrentList(self)
        """Currents that the supply plays by itself."""
        self._add_settings()
        self._add_readings()
        self.connect_message()

    def _add_settings(self) -> None:
        self.mode: Parameter[str, KepcoBOP] = self.add_parameter(
            "mode",
            get_cmd="FUNC:MODE?",
            get_parser=int,
            set_cmd=self._set_mode,
            val_mapping=MODES,
        )
        """Either "voltage" or "current"; changed only while the output is off."""
        self.current: Parameter[float, KepcoBOP] = self.add_parameter(
            "current",
            unit="A",
            get_cmd="CURR?",
            get_parser=finite,
            set_cmd=self.ramp_current,
            vals=Numbers(),
        )
        """The current that is set; setting it ramps there (`ramp_current`)."""
        self.compliance: Parameter[float, KepcoBOP] = self.add_parameter(
            "compliance",
            unit="V",
            get_cmd="VOLT?",
            get_parser=finite,
            set_cmd=self._set_compliance,
            vals=Numbers(min_value=0.0),
        )
        """Largest voltage that the current source may use; the limit of every slew."""
        self.current_limit: Parameter[float, KepcoBOP] = self.add_parameter(
            "current_limit",
            unit="A",
            get_cmd="CURR:LIM:POS?",
            get_parser=finite,
            set_cmd=self._set_current_limit,
            vals=Numbers(min_value=0.0),
            snapshot_get=False,
        )
        """The supply's own limit of the current, both signs (not on every model)."""
        self.output_enabled: Parameter[bool, KepcoBOP] = self.add_parameter(
            "output_enabled",
            get_cmd="OUTP?",
            get_parser=flag,
            set_cmd=self._set_output,
        )
        """The output; on only in current mode near 0 A, off only after a ramp to 0 A."""

    def _add_readings(self) -> None:
        self.measured_current: Parameter[float, KepcoBOP] = self.add_parameter(
            "measured_current",
            unit="A",
            get_cmd="MEAS:CURR?",
            get_parser=finite,
            set_cmd=False,
            snapshot_get=False,
        )
        """What flows, in amperes."""
        self.measured_voltage: Parameter[float, KepcoBOP] = self.add_parameter(
            "measured_voltage",
            unit="V",
            get_cmd="MEAS:VOLT?",
            get_parser=finite,
            set_cmd=False,
            snapshot_get=False,
        )
        """What lies across the coil, in volts."""

    # ---- current ---------------------------------------------------------------------

    def ramp_current(self, target: float, rate: float | None = None) -> None:
        """Move the set current to `target` in equal steps, and read it back.

        From one set current to another the number of messages is always the same.

        Args:
            target: Amperes.
            rate: Amperes per second; `ramp_rate` if not given.

        Raises:
            LimitError: If `target` or `rate` is out of range; nothing was sent.
            InstrumentError: If the supply refuses, or reads back another current.
        """
        self.check_current(target)
        if self.list.running:
            raise self.refusal("a list is running", "wait for it with list.finish(), or stop it")
        rate = checked_rate(self.name, self.ramp_rate if rate is None else rate)
        with self.group():
            start = self.ask_float("CURR?")
            ramp = current_ramp(
                self.name, start, target, rate=rate, step=self.ramp_step, longest_pause=math.inf
            )
            for amperes in ramp.currents:
                self.write(f"CURR {amperes:.6f}")
                self.clock.wait(ramp.pause)
        self._confirm("CURR?", target, self._current_tolerance(), "A")
        self.current.cache.set(target)

    def ramp_down(self) -> None:
        """Stop a list, ramp to 0 A, switch the output off. Safe to call at any time, and twice.

        The output is switched off even if the ramp fails; its error is then raised.
        """
        try:
            self.list.stop()
            self.ramp_current(0.0)
        finally:
            self._switch(False)

    # ---- details ---------------------------------------------------------------------

    def _set_output(self, on: bool) -> None:
        if not on:
            self.ramp_down()
            return
        with self.lock:
            if self.ask_int("FUNC:MODE?") != MODES["current"]:
                raise self.refusal("it is in voltage mode", "set mode to current")
            current = self.ask_float("CURR?")
            if abs(current) > self.ramp_step + self._current_tolerance():
                raise self.refusal(f"{current:g} A are set", "set current to 0")
            voltage = self.ask_float("VOLT?")
            if not 0 < voltage <= self.max_compliance * (1 + 1e-6):
                raise self.refusal(f"the compliance voltage is {voltage:g} V", "set compliance")
            self._switch(True)

    def _switch(self, on: bool) -> None:
        word = "ON" if on else "OFF"
        self.write(f"OUTP {word}")
        if self.ask_bool("OUTP?") is not on:
            raise output_disobeyed(self.name, self.address, word)
        self.output_enabled.cache.set(on)

    def _set_mode(self, code: int) -> None:
        with self.lock:
            if self.ask_bool("OUTP?") and self.ask_int("FUNC:MODE?") != code:
                raise self.refusal("the output is on", "switch it off to change the mode")
            self.write(f"FUNC:MODE {'CURR' if code else 'VOLT'}")

    def _set_compliance(self, volts: float) -> None:
        if volts > self.max_compliance:
            raise LimitError(
                f"{self.name}: the compliance voltage must be at most {self.max_compliance:g} V "
                f"(laboratory and instrument), but is {volts!r} V."
            )
        self.write(f"VOLT {volts:.4f}")
        self._confirm("VOLT?", volts, 1e-3 * max(1.0, volts), "V")

    def _set_current_limit(self, amperes: float) -> None:
        self.check_current(amperes)
        self.write(f"CURR:LIM {amperes:.4f}")

    def check_current(self, amperes: float) -> None:
        """Raise LimitError for a current beyond the limits of laboratory and instrument."""
        if not abs(amperes) <= self.max_current:
            raise LimitError(
                f"{self.name}: the current must be within +-{self.max_current:g} A (laboratory and "
                f"instrument), but is {amperes!r} A."
            )

    def _current_tolerance(self) -> float:
        """What a set current may be rounded by, in amperes."""
        return 2e-3 if math.isinf(self.max_current) else max(1e-3, 5e-4 * self.max_current)

    def _confirm(self, question: str, wanted: float, tolerance: float, unit: str) -> None:
        found = self.ask_float(question)
        if abs(found - wanted) > tolerance:
            raise InstrumentError(
                f"{self.name} at {self.address}: {wanted:g} {unit} were set, but {question} "
                f"answers {found:g} {unit}. Ramp down and check the supply."
            )

    def refusal(self, why: str, remedy: str) -> InstrumentError:
        """The error for what this driver does not do to a coil."""
        return InstrumentError(f"{self.name} at {self.address}: refused, because {why}: {remedy}.")

    def _check_identity(self, identity: Identity) -> None:
        model = identity["model"] or ""
        if (identity["vendor"] or "").upper() != "KEPCO" or "BOP" not in model.upper():
            raise InstrumentError(
                f"{self.name} at {self.address} is no Kepco BOP but {identity}. Check the address."
            )
        rating = re.search(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", model)
        if rating is not None:
            self.max_compliance = min(self.max_compliance, float(rating[1]))
            self.max_current = min(self.max_current, float(rating[2]))
