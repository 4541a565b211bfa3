"""Who is plugged into what: the wires of a laboratory file.

A wire runs from an output terminal of a device to a physical line
(`drive.rf`) or to an input terminal of another device (`rf.SEQ1`). Outputs of
one device joined by `|` are its OR (the DG645's rear outputs, `timing.EF|GH`).
`photons -> counter.in1` says which counter sees the detector, and `cavity.output ->
scope.ch1` which input sees the photodiode behind the cavity, as a voltage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from ..errors import StationFileError

PHOTONS = "photons"
"""The one source that is no device: the pulses of the photon detector."""


CAVITY_OUTPUT = "cavity.output"
"""The photodiode behind the cavity: a voltage in time, for digitisers."""


class Plugs(Protocol):
    """What the wiring asks of a device: the names of its terminals."""

    outputs: ClassVar[tuple[str, ...]]
    inputs: ClassVar[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Terminal:
    """Outputs `names` of `device`; more than one means their OR."""

    device: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.device}.{'|'.join(self.names)}"


class Wiring:
    """The wires, checked against the devices.

    Args:
        wires: Pairs (from, to).
        devices: Devices by name.

    Attributes:
        lines: Physical line -> the terminal that drives it.
        inputs: (device, input terminal) -> the terminal plugged in.
        counter: (device, input terminal) that sees the photons, or None.
        photodiode: (device, input terminal)s that see the photodiode behind the cavity.

    Raises:
        StationFileError: With every wire that cannot be laid, and why.
    """

    def __init__(self, wires: Iterable[tuple[str, str]], devices: Mapping[str, Plugs]) -> None:
        self.lines: dict[str, Terminal] = {}
        self.inputs: dict[tuple[str, str], Terminal] = {}
        self.counter: tuple[str, str] | None = None
        self.photodiode: set[tuple[str, str]] = set()
        self._devices = devices
        problems = []
        for source, target in wires:
            try:
                self._lay(source, target)
            except ValueError as problem:
                problems.append(f"wire {source} -> {target}: {problem}")
        if problems:
            raise StationFileError("\n".join(problems))

    def _lay(self, source: str, target: str) -> None:
        place, _, name = target.partition(".")
        into_device = place in self._devices
        if into_device and name not in self._devices[place].inputs:
            raise ValueError(
                f"`{place}` has no input `{name}`; it has {_listed(self._devices[place].inputs)}."
            )
        if source == PHOTONS:
            if not into_device:
                raise ValueError("photons can only be wired to the input of a counter.")
            if self.counter is not None:
                raise ValueError("the photons already go to another input.")
            self.counter = (place, name)
            return
        if source == CAVITY_OUTPUT and "cavity" not in self._devices:
            if not into_device:
                raise ValueError("the photodiode can only be wired to the input of a device.")
            self.photodiode.add((place, name))
            return
        terminal = self._terminal(source)
        if into_device:
            if (place, name) in self.inputs:
                raise ValueError("something is already plugged into this input.")
            self.inputs[place, name] = terminal
        elif target in self.lines:
            raise ValueError(f"`{self.lines[target]}` already drives this line.")
        else:
            self.lines[target] = terminal

    def _terminal(self, text: str) -> Terminal:
        place, _, names = text.partition(".")
        if place not in self._devices:
            raise ValueError(f"there is no device `{place}`; there are {_listed(self._devices)}.")
        outputs = self._devices[place].outputs
        wanted = tuple(names.split("|"))
        for name in wanted:
            if name not in outputs:
                raise ValueError(f"`{place}` has no output `{name}`; it has {_listed(outputs)}.")
        return Terminal(place, wanted)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
