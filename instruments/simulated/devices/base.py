"""What every simulated instrument has: a name, terminals, messages in, answers out.

A device parses its instrument's own language, keeps its settings and errors,
and says what it puts on its output terminals during a shot. It knows no other
device; it sees the others only through its input terminals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import StationFileError
from ..lines import RFTone, Stretch, complement, either
from ..links import Answer, Link
from ..shots import Shot

if TYPE_CHECKING:
    from ..laboratory import Laboratory

LOGIC_THRESHOLD = 1.4
"""Volts: TTL inputs see True above."""
TTL_HIGH = 3.3
"""Volts of a logic output that says no more than high."""


class SimulatedDevice:
    """Base of the simulated instruments.

    Args:
        name: Name in the laboratory file.
        laboratory: Gives clock, lock, random generators and the other ends of the wires.
        settings: Options of the laboratory file; the keys of `defaults` only.

    Raises:
        StationFileError: Unknown setting, or one of the wrong type.
    """

    outputs: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[str, ...]] = ()
    latency: ClassVar[tuple[float, float]] = (1e-3, 0.0)
    """Mean and standard deviation [s] of the time a command takes."""
    port: ClassVar[int] = 5025
    """The instrument's own TCP port."""
    ieee488: ClassVar[bool] = False
    """A new message discards an answer that was not read (on GPIB, USB, VXI-11)."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    restless: bool = False
    """Time alone makes it do something: `catch_up` is called before anything changes."""

    def __init__(
        self, name: str, laboratory: Laboratory, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.name = name
        self.laboratory = laboratory
        self.settings = _checked(name, type(self).__name__, settings or {}, self.defaults)
        self.rng = laboratory.generator("device", name)

    # -- messages -----------------------------------------------------------------------

    def split(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Cut a stream into complete messages and the rest; here: lines, empty ones ignored."""
        *lines, rest = data.split(b"\n")
        return [line.strip(b"\r") for line in lines if line.strip(b"\r ")], rest

    def decode(self, message: bytes) -> str:
        """A message as text; instruments that take binary blocks keep every byte (latin-1)."""
        return message.decode("utf-8", errors="replace")

    def handle(self, message: str, link: Link) -> Answer:
        """Obey one message; the answer without its terminator, or None."""
        raise TypeError(f"{type(self).__name__} does not understand messages: {message!r}")

    def ending(self, link: Link) -> bytes:
        """What the device puts behind each answer."""
        return b"\n"

    def opened(self, link: Link) -> bytes:
        """A new link: the greeting, if the instrument has one."""
        return b""

    def closed(self, link: Link) -> None:
        """A link was closed."""

    def clear(self, link: Link) -> None:
        """Device clear (GPIB, USB, VXI-11)."""

    def interrupted(self, link: Link) -> None:
        """A new message came before the answer to the last one was read."""

    def trip(self, kind: str, value: str | None, link: Link | None) -> None:
        """Something goes wrong inside: a fault rule of kind `kind` strikes."""

    # -- wires --------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Do what time has brought since the last call (restless devices only)."""

    def begin(self, shot: Shot) -> None:
        """A shot begins: work out what the outputs do during it."""

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """What output `terminal` does during `shot`."""
        return ()

    def combined(self, terminals: tuple[str, ...], shot: Shot) -> tuple[Stretch, ...]:
        """The OR of several outputs."""
        return either([self.signal(terminal, shot) for terminal in terminals])

    def voltage(self, terminal: str, shot: Shot, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Volts at output `terminal`, `times` seconds after T0 (for a digitiser wired to it)."""
        return volts_of(self.signal(terminal, shot), times)

    def observe(self, shot: Shot) -> None:
        """All outputs of this shot are worked out: look at the inputs, if this device records."""

    def counting(self, shot: Shot) -> tuple[Stretch, ...]:
        """When this device counts photons during `shot` (counters only)."""
        return ()

    def reveal(self) -> dict[str, float]:
        """What it hides that an experiment may find out, by name."""
        return {}

    def steady(self, shot: Shot) -> bool:
        """The next shot will be like this one, unless a message changes something."""
        return True

    # -- for subclasses -----------------------------------------------------------------

    def now(self) -> float:
        """Seconds on the laboratory's clock."""
        return self.laboratory.now()


def logic(
    windows: tuple[Stretch, ...], period: float, low: float, high: float, inverted: bool
) -> tuple[Stretch, ...]:
    """What a TTL input sees of an output that steps between two voltages.

    Args:
        windows: When the output is active.
        period: End of the shot.
        low: Voltage while the pulse is away (positive polarity).
        high: Voltage during the pulse.
        inverted: Negative polarity: high outside the windows.
    """
    active = complement(windows, 0.0, period) if inverted else either([list(windows)])
    seen_high, seen_low = high > LOGIC_THRESHOLD, low > LOGIC_THRESHOLD
    if seen_high and not seen_low:
        return active
    return (Stretch(0.0, period, True),) if seen_low else ()


def volts_of(stretches: tuple[Stretch, ...], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Volts on a 50 ohm load at `times`: TTL 3.3 V, numbers as they are, RF tones as sines."""
    volts = np.zeros(len(times))
    for one in stretches:
        inside = (times >= one.start) & (times < one.stop)
        if isinstance(one.value, RFTone):
            peak = float(np.sqrt(2.0 * one.value.power * 50.0))
            phase = np.deg2rad(one.value.phase_deg)
            volts[inside] = peak * np.sin(2 * np.pi * one.value.frequency * times[inside] + phase)
        elif isinstance(one.value, bool):
            volts[inside] = TTL_HIGH * one.value
        elif isinstance(one.value, int | float):
            volts[inside] = float(one.value)
    return volts


def rising_edges(
    line: tuple[Stretch, ...] | None, period: float, first: bool = False
) -> list[float]:
    """Times at which a logic line of equal shots rises; none without a wire.

    A line that is high at T0 rises there, unless it was high at the end of the shot before.
    One that is high all the time rises at the T0 of the `first` shot of a burst.
    """
    if not line:
        return []
    high = either([[Stretch(one.start, one.stop, _is_high(one.value)) for one in line]])
    edges = [one.start for one in high]
    throughout = len(high) == 1 and first
    if high and high[0].start < 1e-12 and high[-1].stop >= period - 1e-12 and not throughout:
        edges = edges[1:]
    return edges


def _is_high(value: object) -> bool:
    if isinstance(value, bool):
        return value
    return isinstance(value, int | float) and value > LOGIC_THRESHOLD


def falling_edges(line: tuple[Stretch, ...] | None, period: float) -> list[float]:
    """Times at which a logic line of equal shots falls.

    A line that is high at the end of one shot and low at the start of the next
    falls at the T0 of the next. An input with nothing plugged in is pulled
    high and never falls.
    """
    if not line:
        return []
    edges = [one.stop for one in line if one.stop < period - 1e-12]
    high_before = line[-1].stop >= period - 1e-12
    if high_before and line[0].start > 1e-12:
        edges.insert(0, 0.0)
    return edges


def _checked(
    name: str, model: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    checked = dict(defaults)
    problems = []
    for key, value in settings.items():
        if key not in defaults:
            known = ", ".join(sorted(defaults)) or "none"
            problems.append(f"device `{name}` ({model}) has no setting `{key}`; it has: {known}.")
            continue
        wanted = type(defaults[key])
        if wanted is float and type(value) is int:
            value = float(value)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            problems.append(
                f"device `{name}`: setting `{key}` must be a {wanted.__name__}, but is {value!r}."
            )
            continue
        checked[key] = value
    if problems:
        raise StationFileError("\n".join(problems))
    return checked
