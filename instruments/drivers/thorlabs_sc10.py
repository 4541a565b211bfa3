"""Thorlabs SC10 shutter controller: blocks a beam between runs, never for microseconds.

The unit echoes every command and ends every answer with a prompt. The echo is compared
with what was sent, so that an answer to another command is never taken. `ens` toggles: the
driver asks before, toggles only if needed, and asks again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from qcodes.instrument import VisaInstrumentKWArgs
from qcodes.validators import Ints, Numbers

from ..errors import InstrumentError
from ..journal import Journal
from .base import Refusal, flag
from .linked import Identity
from .remembering import RememberingInstrument
from .wire import WireFailure

if TYPE_CHECKING:
    from qcodes.parameters import Parameter
    from typing_extensions import Unpack

T = TypeVar("T")

UNVERIFIED: tuple[str, ...] = (
    "Whether a space follows the prompt `>`: answers end with `>` here, and a space before the "
    "next echo is ignored on a serial line.",
    "That `ens` toggles in every firmware (one known driver writes ens=0 and ens=1).",
    "Wording of the errors (Command error CMD_NOT_DEFINED, CMD_ARG_INVALID): every answer to a "
    "command without a question is taken as a refusal.",
    "Form of the answer to `id?`: the letters SC10 are searched in it.",
    "Mechanical delays of the shutter: calibrate them and put them into the shot.",
)
"""What no source at hand states; to be tried on the real unit."""

MODES = {"manual": 1, "auto": 2, "single": 3, "repeat": 4, "external_gate": 5}
LONGEST = 999.999
"""Seconds of `open_time` and `shut_time`."""
HOLDS = ("manual", "auto", "external_gate")
"""Modes that stay enabled until they are disabled."""


class ThorlabsSC10(RememberingInstrument):
    """SC10 on a serial line, 9600 baud 8N1.

    Facts no source states are listed in `UNVERIFIED`.

    Args:
        name: Name of the instrument in QCoDeS.
        address: For instance `ASRL3::INSTR`.
        journal: Register of the messages.
        **kwargs: Passed on to `VisaInstrument`.
    """

    write_end = "\r"
    read_end = ">"
    baud_rate = 9600
    forbidden = (r"baud=",)

    def __init__(
        self,
        name: str,
        address: str,
        *,
        journal: Journal | None = None,
        **kwargs: Unpack[VisaInstrumentKWArgs],
    ) -> None:
        super().__init__(name, address, journal=journal, **kwargs)
        self._add_settings()
        self._add_readings()
        self.connect_message()

    def _add_settings(self) -> None:
        self.enabled: Parameter[bool, ThorlabsSC10] = self.add_parameter(
            "enabled", get_cmd="ens?", get_parser=flag, set_cmd=self._set_enabled
        )
        """Manual: open. Else: the program runs, or waits for gate or trigger."""
        self.mode: Parameter[str, ThorlabsSC10] = self.add_parameter(
            "mode",
            get_cmd="mode?",
            get_parser=int,
            set_cmd=lambda code: self._set("mode", code),
            val_mapping=MODES,
        )
        """One of `MODES`; changed only while the shutter is disabled."""
        self.external_trigger: Parameter[bool, ThorlabsSC10] = self.add_parameter(
            "external_trigger",
            get_cmd="trig?",
            get_parser=flag,
            set_cmd=lambda on: self._set("trig", int(on)),
        )
        """Whether auto, single and repeat wait for the trigger input."""
        self.output_follows_controller: Parameter[bool, ThorlabsSC10] = self.add_parameter(
            "output_follows_controller",
            get_cmd="xto?",
            get_parser=flag,
            set_cmd=lambda on: self._set("xto", int(on)),
        )
        """Trigger output: False follows the shutter, True the controller."""
        self.repetitions: Parameter[int, ThorlabsSC10] = self.add_parameter(
            "repetitions",
            get_cmd="rep?",
            get_parser=int,
            set_cmd=lambda count: self._set("rep", count),
            vals=Ints(1, 99),
        )
        """Openings in mode repeat."""
        self.open_time = self._duration("open_time", "open")
        """Seconds it is open in auto, single and repeat, in milliseconds' steps."""
        self.shut_time = self._duration("shut_time", "shut")
        """Seconds it is shut in between, likewise."""

    def _duration(self, name: str, word: str) -> Parameter[float, ThorlabsSC10]:
        return self.add_parameter(
            name,
            unit="s",
            get_cmd=f"{word}?",
            get_parser=lambda text: int(text) * 1e-3,
            set_cmd=lambda seconds: self._set(word, round(seconds * 1e3)),
            vals=Numbers(0.0, LONGEST),
        )

    def _add_readings(self) -> None:
        self.closed: Parameter[bool, ThorlabsSC10] = self.add_parameter(
            "closed", get_cmd="closed?", get_parser=flag, set_cmd=False, snapshot_get=False
        )
        """Whether the shutter is closed now."""
        self.interlock_tripped: Parameter[bool, ThorlabsSC10] = self.add_parameter(
            "interlock_tripped", get_cmd="interlock?", get_parser=flag, set_cmd=False
        )
        """Whether the interlock holds the shutter closed."""

    def open_shutter(self) -> None:
        """Open by hand (mode "manual"), wait until it is open.

        Raises:
            InstrumentError: If it is still closed after half a second.
        """
        with self.lock:
            if self.mode() != "manual":
                self.enabled(False)
                self.mode("manual")
            self.enabled(True)
        if not self._reaches(closed=False):
            raise InstrumentError(
                f"{self.name} at {self.address}: the shutter does not open (interlock tripped: "
                f"{self.interlock_tripped()}). Look at its cable and at the unit."
            )

    def close_shutter(self) -> None:
        """Disable, wait until it is closed. Safe to call at any time, and twice.

        Raises:
            InstrumentError: If it is still open after half a second.
        """
        self.enabled(False)
        if not self._reaches(closed=True):
            raise InstrumentError(
                f"{self.name} at {self.address}: the shutter does not close. Block the beam by "
                "hand, then look at the shutter's cable and at the unit."
            )

    def _reaches(self, closed: bool) -> bool:
        """Whether the blade gets there within half a second."""
        for _ in range(10):
            if self.closed() is closed:
                return True
            self.clock.wait(0.05)
        return False

    def store(self) -> None:
        """Keep mode, trigger and times over a power cycle (`savp`)."""
        self.write("savp")

    # ---- messages --------------------------------------------------------------------

    def write(self, cmd: str) -> None:
        """Send a command; anything but its echo is a refusal.

        Raises:
            LinkError: If the echo does not come; it is unknown whether the command was obeyed.
            InstrumentError: If the unit refused the command.
        """
        answer = self.ask_parsed(cmd, str, "an echo", repeat=False)
        if answer:
            raise self._refused(cmd, answer)

    def ask_parsed(
        self, cmd: str, parser: Callable[[str], T], expected: str, *, repeat: bool | None = None
    ) -> T:
        """As in `CavityLabInstrument`, with the echo compared and taken away.

        Raises:
            StaleReply: If the echo is that of another command.
            InstrumentError: If the unit refused the question.
        """

        def understand(text: str) -> T | Refusal:
            body = _without_echo(cmd, text)
            return Refusal(body) if body.startswith("Command error") else parser(body)

        answer = super().ask_parsed(cmd, understand, expected, repeat=repeat)
        if isinstance(answer, Refusal):
            raise self._refused(cmd, answer)
        return answer

    def _refused(self, cmd: str, answer: str) -> InstrumentError:
        return InstrumentError(
            f"{self.name} at {self.address} answered {answer!r} to {cmd!r}. The setting was not "
            "taken: check the value, and the firmware of the unit."
        )

    def get_idn(self) -> Identity:
        """Vendor, model and firmware from `id?`; the unit has no serial number to ask.

        Raises:
            LinkError: If there is no answer.
        """
        text = self.ask_parsed("id?", _identity, "a text with SC10 in it")
        return {"vendor": "Thorlabs", "model": "SC10", "serial": None, "firmware": text}

    # ---- details ---------------------------------------------------------------------

    def _set(self, word: str, value: int) -> None:
        with self.lock:
            if word == "mode" and self.ask_bool("ens?"):
                raise InstrumentError(
                    f"{self.name} at {self.address}: refused, because the shutter is enabled: set "
                    "enabled to False before the mode is changed."
                )
            self._forget(f"{word}?")
            self.write(f"{word}={value}")
            found = self._remember(f"{word}?").strip()
        if found != str(value):
            self._forget(f"{word}?")
            raise InstrumentError(
                f"{self.name} at {self.address}: {word} was set to {value}, but {word}? answers "
                f"{found!r}."
            )

    def _set_enabled(self, on: bool) -> None:
        with self.lock:
            if self.ask_bool("ens?") is bool(on):
                return
            self.write("ens")
            lasts = not on or self.mode() in HOLDS
            if lasts and self.ask_bool("ens?") is not bool(on):
                raise InstrumentError(
                    f"{self.name} at {self.address}: the shutter did not obey `ens` "
                    f"(interlock tripped: {self.interlock_tripped()}). Close the interlock."
                )


def _without_echo(cmd: str, text: str) -> str:
    """The answer behind the echo of `cmd`.

    Raises:
        WireFailure: If the echo is that of another command.
    """
    echo, _, body = text.replace("\n", "").lstrip().partition("\r")
    if echo.strip() != cmd:
        raise WireFailure("the echo is not that of the command", text.encode("ascii"), stale=True)
    return body.strip()


def _identity(text: str) -> str:
    if "SC10" not in text.upper():
        raise ValueError(text)
    return text
