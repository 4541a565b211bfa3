"""TOPTICA DLC pro laser controller: one or two diode lasers.

The command line is Scheme-like and answers with a prompt, LF `>` space. VISA
watches one byte only, so it is told to stop at a space, and the answer is
complete when it ends with the whole prompt.

A diode current moves in small steps, never above the smallest of the unit's
clip and the laboratory's limit; clip, factory settings and user level are
never written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, TypeVar

from qcodes.instrument import InstrumentChannel, VisaInstrumentKWArgs
from qcodes.validators import Bool, Numbers

from ..errors import InstrumentError, LimitError
from ..journal import Journal
from .base import CavityLabInstrument, Refusal, finite
from .linked import Identity
from .wire import ends_with

if TYPE_CHECKING:
    from qcodes.parameters import Parameter
    from typing_extensions import Unpack

T = TypeVar("T")
Value = bool | int | float | str

UNVERIFIED: tuple[str, ...] = (
    "Answer time of the unit; nothing here depends on it but the time-out.",
    "The values of `dl:lock:state`: the text `dl:lock:state-txt` is used instead.",
    "That `uptime` counts seconds since power-on: a smaller value than before is taken as a "
    "restart.",
    "That `health` is 0 when good: the text `health-txt` is given to the user.",
)
"""What no source at hand states; to be tried on the real unit."""

PROMPT = "\n> "
DEFAULT_STEP = 1e-3
"""Largest step of a diode current, amperes."""
DEFAULT_STEP_TIME = 0.02
"""Seconds between two steps."""


class DLCproLaser(InstrumentChannel["TopticaDLCpro"]):
    """One laser of the unit.

    The parameter tree depends on firmware and head: each name is tried once on
    connecting. One that the unit does not have is listed in `missing`, left out
    of snapshots, and raises `InstrumentError` when used.

    Args:
        parent: The unit.
        name: `laser1` or `laser2`, the prefix on the wire.
        max_current: Limit of the laboratory for the diode current, in amperes.
    """

    def __init__(self, parent: TopticaDLCpro, name: str, max_current: float | None) -> None:
        super().__init__(parent, name)
        self._prefix = name
        self.max_current = math.inf if max_current is None else max_current
        """Limit of the laboratory in amperes; the unit's clip holds as well."""
        self.missing: tuple[str, ...] = ()
        self._optional: dict[str, str] = {}
        self._add_states()
        self._add_diode()
        self._add_lock()

    def _add_states(self) -> None:
        self.emission = self._reading("emission", "emission", _boolean)
        """Whether light is possible; the only proof of it."""
        self.health_text = self._reading("health_text", "health-txt", _text, optional=True)
        """Health of the laser in words."""
        self.product_name = self._reading("product_name", "product-name", _text, optional=True)
        """Name of the laser head."""
        self.temperature = self._reading(
            "temperature", "dl:tc:temp-act", finite, "degC", optional=True
        )
        """Temperature of the diode."""
        self.temperature_ready = self._reading(
            "temperature_ready", "dl:tc:ready", _boolean, optional=True
        )
        """Whether the temperature is settled; False is a reason to stop."""
        self.wavelength = self._reading(
            "wavelength", "ctl:wavelength-act", _nanometres, "m", optional=True
        )
        """Wavelength in metres; heads of type CTL only."""

    def _add_diode(self) -> None:
        cc = "dl:cc:"
        self.current_enabled: Parameter[bool, DLCproLaser] = self.add_parameter(
            "current_enabled",
            get_cmd=lambda: self._read(cc + "enabled", _boolean),
            set_cmd=lambda on: self._write(cc + "enabled", on),
            vals=Bool(),
        )
        """The diode current, on or off."""
        self.current_set: Parameter[float, DLCproLaser] = self.add_parameter(
            "current_set",
            unit="A",
            get_cmd=lambda: self._read(cc + "current-set", _milliamperes),
            set_cmd=self.ramp_current,
            vals=Numbers(min_value=0.0),
        )
        """Diode current that is set; setting it ramps there (`ramp_current`)."""
        self.current_act = self._reading("current_act", cc + "current-act", _milliamperes, "A")
        """Diode current that flows."""
        self.current_clip = self._reading("current_clip", cc + "current-clip", _milliamperes, "A")
        """The unit's own limit of the diode current; never written by this driver."""

    def _add_lock(self) -> None:
        self._optional["lock_enabled"] = "dl:lock:lock-enabled"
        self.lock_enabled: Parameter[bool, DLCproLaser] = self.add_parameter(
            "lock_enabled",
            get_cmd=lambda: self._read("dl:lock:lock-enabled", _boolean),
            set_cmd=lambda on: self._write("dl:lock:lock-enabled", on),
            vals=Bool(),
        )
        """Whether the lock is engaged; see `lock_state_text` for whether it holds."""
        self.lock_state_text = self._reading(
            "lock_state_text", "dl:lock:state-txt", _text, optional=True
        )
        """State of the lock in words."""

    def ramp_current(
        self, target: float, step: float = DEFAULT_STEP, step_time: float = DEFAULT_STEP_TIME
    ) -> None:
        """Move the diode current to `target` in equal steps, and read it back.

        Args:
            target: Amperes.
            step: Largest step in amperes.
            step_time: Seconds between two steps.

        Raises:
            LimitError: If `target` is above the unit's clip or the laboratory's limit.
            InstrumentError: If the unit refuses, or reads back another current.
        """
        if not (math.isfinite(step) and step > 0):
            raise LimitError(f"{self.full_name}: the step must be > 0 A, but is {step!r}.")
        with self.parent.lock:
            clip = min(self.current_clip(), self.max_current)
            if not 0.0 <= target <= clip:
                raise LimitError(
                    f"{self.full_name}: the diode current must be 0 to {1e3 * clip:g} mA (clip of "
                    f"the unit and limit of the laboratory), but is {1e3 * target:g} mA."
                )
            start = self.current_set()
            steps = max(1, math.ceil(abs(target - start) / step - 1e-6))
            for number in range(1, steps + 1):
                current = start + (target - start) * number / steps
                self._write("dl:cc:current-set", 1e3 * current)
                self.parent.clock.wait(step_time)
            found = self._read("dl:cc:current-set", _milliamperes)
            if abs(found - target) > 1e-5:
                raise InstrumentError(
                    f"{self.full_name}: {1e3 * target:g} mA were set, but {1e3 * found:g} mA are "
                    "read back. Ramp down and check the unit."
                )
            self.current_set.cache.set(target)

    def probe(self) -> None:
        """Try each name of the tree that not every unit has, once, and keep what is missing."""
        missing = []
        for name, path in self._optional.items():
            try:
                self.parent.parameter_text(f"{self._prefix}:{path}")
            except InstrumentError:
                missing.append(name)
                self.parameters[name]._snapshot_get = False
        self.missing = tuple(missing)

    def _reading(
        self,
        name: str,
        path: str,
        parser: Callable[[str], T],
        unit: str = "",
        optional: bool = False,
    ) -> Parameter[T, DLCproLaser]:
        if optional:
            self._optional[name] = path
        parameter: Parameter[T, DLCproLaser] = self.add_parameter(
            name, unit=unit, get_cmd=lambda: self._read(path, parser), set_cmd=False
        )
        return parameter

    def _read(self, path: str, parser: Callable[[str], T]) -> T:
        return self.parent.param_ref(f"{self._prefix}:{path}", parser)

    def _write(self, path: str, value: Value) -> None:
        self.parent.param_set(f"{self._prefix}:{path}", value)


class TopticaDLCpro(CavityLabInstrument):
    """DLC pro over its command line, TCP port 1998.

    Facts no source states are listed in `UNVERIFIED`.

    Args:
        name: Name of the instrument in QCoDeS.
        address: For instance `TCPIP0::192.168.1.50::1998::SOCKET`.
        lasers: How many lasers the unit has, 1 or 2.
        max_current: Limit of the laboratory for the diode currents, in amperes.
        journal: Register of the messages.
        **kwargs: Passed on to `VisaInstrument`.
    """

    read_end = PROMPT
    visa_read_end = " "
    encoding = "utf-8"
    forbidden: ClassVar[tuple[str, ...]] = (
        r".*change-ul",
        r".*param-set!\s+'\S*(current-clip|factory-settings)",
    )

    def __init__(
        self,
        name: str,
        address: str,
        *,
        lasers: int = 1,
        max_current: float | None = None,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        if lasers not in (1, 2):
            raise LimitError(f"{name}: argument `lasers` must be 1 or 2, but is {lasers!r}.")
        super().__init__(name, address, journal=journal, **kwargs)
        self._uptime = -math.inf
        self.laser1 = DLCproLaser(self, "laser1", max_current)
        """The first laser."""
        self.add_submodule("laser1", self.laser1)
        if lasers == 2:
            self.laser2 = DLCproLaser(self, "laser2", max_current)
            """The second laser, on units that have one."""
            self.add_submodule("laser2", self.laser2)
        self.emission: Parameter[bool, TopticaDLCpro] = self.add_parameter(
            "emission", get_cmd=lambda: self.param_ref("emission", _boolean), set_cmd=False
        )
        """Whether any laser of the unit may emit."""
        self.interlock_open: Parameter[bool, TopticaDLCpro] = self.add_parameter(
            "interlock_open",
            get_cmd=lambda: self.param_ref("interlock-open", _boolean),
            set_cmd=False,
        )
        """Whether the interlock keeps all light off."""
        self.system_health_text: Parameter[str, TopticaDLCpro] = self.add_parameter(
            "system_health_text",
            get_cmd=lambda: self.param_ref("system-health-txt", _text),
            set_cmd=False,
        )
        """Health of the unit in words."""
        self.connect_message()

    # ---- the language ----------------------------------------------------------------

    def param_ref(self, name: str, parser: Callable[[str], T]) -> T:
        """The value of a parameter of the unit.

        Raises:
            InstrumentError: If the unit has no such parameter.
            LinkError: If the answer is not what `parser` expects.
        """
        question = f"(param-ref '{name})"

        def read(answer: str) -> T | Refusal:
            return Refusal(answer) if _is_error(answer) else parser(_last_line(answer))

        answer = self.ask_parsed(question, read, "a value of the expected kind")
        if isinstance(answer, Refusal):
            raise self._refused(question, answer)
        return answer

    def parameter_text(self, name: str) -> str:
        """The value of a parameter as the unit writes it."""
        return self.param_ref(name, str)

    def param_set(self, name: str, value: Value) -> None:
        """Write a parameter.

        Raises:
            InstrumentError: If the unit refuses; a negative status or an error text.
        """
        command = f"(param-set! '{name} {scheme(value)})"

        def read(answer: str) -> int | Refusal:
            return Refusal(answer) if _is_error(answer) else int(_last_line(answer))

        status = self.ask_parsed(command, read, "an integer status", repeat=False)
        if isinstance(status, Refusal) or status < 0:
            raise self._refused(command, status)

    def write(self, cmd: str) -> None:
        """Send a command; the unit answers each, and an error text is raised.

        Raises:
            InstrumentError: If the answer is an error or a negative status.
        """
        answer = self.ask_parsed(cmd, str, "text", repeat=False)
        if _is_error(answer) or re.fullmatch(r"-\d+", _last_line(answer)):
            raise self._refused(cmd, answer)

    def _refused(self, message: str, answer: object) -> InstrumentError:
        return InstrumentError(
            f"{self.name} at {self.address}: {message} was refused with {str(answer)!r}. Check "
            "the name against the unit's firmware, the value against its limits, the interlock."
        )

    # ---- the base class's questions --------------------------------------------------

    def get_idn(self) -> Identity:
        """Identity from `system-type`, `system-model`, `serial-number` and `fw-ver`."""
        return {
            "vendor": "TOPTICA",
            "model": " ".join(
                self.param_ref(name, _text) for name in ("system-type", "system-model")
            ).strip(),
            "serial": self.param_ref("serial-number", _text),
            "firmware": self.param_ref("fw-ver", _text),
        }

    def _greet(self) -> None:
        greeting = self._open_wire().receive(ends_with(PROMPT.encode("ascii")))
        self._note(greeting.decode("utf-8", "replace"), "<")

    def _is_pure_question(self, message: str) -> bool:
        return message.startswith(("(param-ref", "(param-gsv"))

    def _check_identity(self, identity: Identity) -> None:
        if "DLC" not in (identity["model"] or "").upper():
            raise InstrumentError(
                f"{self.name} at {self.address} is no DLC pro but {identity}. Check the address."
            )

    def _prepare_survival_check(self) -> None:
        self._uptime = self.param_ref("uptime", finite)
        for laser in self.instrument_modules.values():
            if isinstance(laser, DLCproLaser):
                laser.probe()

    def _settings_survived(self) -> str:
        before, self._uptime = self._uptime, self.param_ref("uptime", finite)
        return f"uptime fell to {self._uptime:g} s" if self._uptime < before else ""


def scheme(value: Value) -> str:
    """A value as the unit's language writes it."""
    if isinstance(value, bool):
        return "#t" if value else "#f"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value) if isinstance(value, int) else f"{value:.9g}"


def _is_error(answer: str) -> bool:
    return answer.lstrip().lower().startswith("error")


def _last_line(answer: str) -> str:
    return answer.strip().splitlines()[-1].strip()


def _boolean(text: str) -> bool:
    return {"#t": True, "#f": False}[text]


def _text(text: str) -> str:
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        raise ValueError(text)
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _milliamperes(text: str) -> float:
    return 1e-3 * finite(text)


def _nanometres(text: str) -> float:
    return 1e-9 * finite(text)
