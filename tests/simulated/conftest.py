"""One simulated instrument on a bench of its own, and a link to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from cavitylab.instruments.simulated.devices.base import SimulatedDevice
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.lines import Stretch
from cavitylab.instruments.simulated.links import Link, ReadEnd
from cavitylab.instruments.simulated.shots import Shot


class PulseBox(SimulatedDevice):
    """A timing device whose output `out` is high in `windows` of every shot."""

    outputs = ("out",)
    windows: tuple[tuple[float, float], ...] = ((0.0, 1e-3),)

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        """The windows."""
        return tuple(Stretch(start, stop, True) for start, stop in self.windows)


class DeviceBench:
    """A device called `unit`, a pulse box called `box`, and one link."""

    def __init__(
        self,
        model: type[SimulatedDevice],
        wires: Iterable[tuple[str, str]] = (),
        end: bytes = b"\n",
        **settings: Any,
    ) -> None:
        self.laboratory = Laboratory()
        self.device: Any = model("unit", self.laboratory, settings)
        self.box = PulseBox("box", self.laboratory)
        self.laboratory.add(self.box)
        self.laboratory.add(self.device)
        self.laboratory.connect(wires)
        self.end = end
        self.link = Link(self.laboratory, self.device, "here", framed=False)

    def send(self, *messages: str | bytes) -> None:
        """Send each with its terminator."""
        for message in messages:
            self.link.write((message.encode() if isinstance(message, str) else message) + b"\n")

    def ask(self, question: str) -> str:
        """The answer to a question, which must come."""
        self.link.write(question.encode() + b"\n")
        data, why = self.link.read(10_000_000, self.end[-1:], 1.0)
        assert why is ReadEnd.TERMINATOR, f"no answer to {question}"
        return data.removesuffix(self.end).decode("latin-1")

    def error_after(self, *messages: str | bytes) -> str:
        """The code of the error that the messages cause."""
        self.send(*messages)
        return self.ask("SYST:ERR?").split(",")[0]

    def shots(self, count: int = 1, period: float = 10e-3) -> None:
        """Run a burst of shots from now, to its end."""
        self.laboratory.fire("box", self.laboratory.now(), period, count)
        self.laboratory.clock.wait(count * period)
        self.laboratory.freeze()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.laboratory.clock.wait(seconds)


@pytest.fixture
def device_bench() -> Callable[..., DeviceBench]:
    """Builds a bench for a model."""
    return DeviceBench
