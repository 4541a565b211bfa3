"""The simulated SC10: echo and prompt, five modes, the light behind the shutter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from cavitylab.instruments.simulated.devices.base import SimulatedDevice
from cavitylab.instruments.simulated.devices.thorlabs_sc10 import ThorlabsSC10
from cavitylab.instruments.simulated.lines import LightState, Stretch
from cavitylab.instruments.simulated.shots import Shot


class Lamp(SimulatedDevice):
    """Light that is always on."""

    outputs: ClassVar[tuple[str, ...]] = ("light",)

    def signal(self, terminal: str, shot: Shot) -> tuple[Stretch, ...]:
        return (Stretch(0.0, shot.period, LightState(True, True, 1e-3)),)


@pytest.fixture
def unit(device_bench: Callable[..., Any]) -> Any:
    """A shutter in a beam, gated and triggered by a pulse box; CR ends its commands."""
    bench = device_bench(ThorlabsSC10, end=b">", open_delay=8e-3, close_delay=6e-3)
    bench.laboratory.add(Lamp("lamp", bench.laboratory))
    bench.laboratory.connect(
        [("lamp.light", "unit.beam"), ("box.out", "unit.gate"), ("box.out", "unit.trigger"),
         ("unit.beam", "light")]
    )  # fmt: skip
    return bench


def say(unit: Any, command: str) -> str:
    """The whole answer, echo and prompt included."""
    unit.link.write(command.encode() + b"\r")
    data = b""
    while not data.endswith(b">"):
        piece, _ = unit.link.read(1000, b">", 1.0)
        assert piece
        data += piece
    return data.decode()


def light(unit: Any) -> list[tuple[float, float]]:
    """When light passes in a shot of 100 ms that begins now."""
    unit.shots(1, period=0.1)
    line = unit.laboratory.burst.portions[-1].timeline["light"]
    return [(one.start, one.stop) for one in line]


class TestLanguage:
    """Echo, answer, prompt."""

    def test_question(self, unit: Any) -> None:
        """The echo comes first, the prompt last."""
        assert say(unit, "ens?") == "ens?\r0\r>"

    def test_command(self, unit: Any) -> None:
        """A command only echoes."""
        assert say(unit, "mode=3") == "mode=3\r>"
        assert say(unit, "mode?") == "mode?\r3\r>"

    @pytest.mark.parametrize(
        ("command", "error"),
        [
            ("foo?", "CMD_NOT_DEFINED"),
            ("*IDN?", "CMD_NOT_DEFINED"),
            ("ens=1", "CMD_NOT_DEFINED"),
            ("mode=6", "CMD_ARG_INVALID"),
            ("open=1000000", "CMD_ARG_INVALID"),
            ("rep=0", "CMD_ARG_INVALID"),
            ("open=-1", "CMD_ARG_INVALID"),
        ],
    )
    def test_mistakes(self, unit: Any, command: str, error: str) -> None:
        """Answered with an error text; nothing changes."""
        assert error in say(unit, command)

    def test_stored_settings(self, unit: Any) -> None:
        """savp keeps them, default leaves them, resp brings them back."""
        for command in ("open=50", "savp", "default"):
            say(unit, command)
        assert say(unit, "open?") == "open?\r1000\r>"
        say(unit, "resp")
        assert say(unit, "open?") == "open?\r50\r>"


class TestModes:
    """When light passes."""

    def test_dark_at_power_on(self, unit: Any) -> None:
        """Closed until enabled."""
        assert say(unit, "closed?") == "closed?\r1\r>"
        assert light(unit) == []

    def test_manual(self, unit: Any) -> None:
        """Open 8 ms after `ens`, dark 6 ms after the next."""
        say(unit, "ens")
        assert say(unit, "closed?") == "closed?\r1\r>"
        assert light(unit) == [(pytest.approx(8e-3), pytest.approx(0.1))]
        assert light(unit) == [(0.0, pytest.approx(0.1))]
        say(unit, "ens")
        assert light(unit) == [(0.0, pytest.approx(6e-3))]
        assert light(unit) == []

    def test_steady_when_open(self, unit: Any) -> None:
        """A thousand shots cost one timeline."""
        say(unit, "ens")
        unit.wait(1.0)
        unit.shots(1000, period=1e-3)
        assert [one.stop for one in unit.laboratory.burst.portions] == [1000]

    def test_single(self, unit: Any) -> None:
        """Opens for the open time and disables itself."""
        for command in ("mode=3", "open=50", "ens"):
            say(unit, command)
        assert light(unit) == [(pytest.approx(8e-3), pytest.approx(56e-3))]
        assert say(unit, "ens?") == "ens?\r0\r>"

    def test_repeat(self, unit: Any) -> None:
        """Three openings of 10 ms, 20 ms apart."""
        for command in ("mode=4", "open=10", "shut=20", "rep=3", "ens"):
            say(unit, command)
        starts = [start for start, _ in light(unit)]
        assert starts == pytest.approx([8e-3, 38e-3, 68e-3])

    def test_external_gate(self, unit: Any) -> None:
        """Follows the gate, late by its delays, only while enabled."""
        unit.box.windows = ((20e-3, 60e-3),)
        say(unit, "mode=5")
        assert light(unit) == []
        say(unit, "ens")
        assert light(unit) == [(pytest.approx(28e-3), pytest.approx(66e-3))]

    def test_external_trigger(self, unit: Any) -> None:
        """Single mode waits for the edge."""
        for command in ("mode=3", "trig=1", "open=10", "ens"):
            say(unit, command)
        unit.box.windows = ((20e-3, 30e-3),)
        assert light(unit) == [(pytest.approx(28e-3), pytest.approx(36e-3))]

    def test_interlock(self, device_bench: Callable[..., Any]) -> None:
        """Tripped: `ens` does nothing."""
        unit = device_bench(ThorlabsSC10, end=b">", interlock_tripped=True)
        say(unit, "ens")
        assert say(unit, "ens?") == "ens?\r0\r>"
        assert say(unit, "interlock?") == "interlock?\r1\r>"
