"""TOPTICA DLC pro: driver and simulated controller in conversation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cavitylab.instruments.drivers.toptica_dlcpro import TopticaDLCpro
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError

ADDRESS = "TCPIP0::10.0.0.5::1998::SOCKET"
Bench = Callable[..., str]


@pytest.fixture
def unit(bench: Bench) -> TopticaDLCpro:
    return TopticaDLCpro("unit", ADDRESS, visalib=bench(), max_current=0.15)


class TestReadings:
    """What the unit says of itself and of its laser."""

    def test_identity(self, unit: TopticaDLCpro) -> None:
        """Built from the root parameters."""
        identity = unit.IDN()
        assert identity["vendor"] == "TOPTICA"
        assert "DLC" in identity["model"].upper()
        assert identity["serial"] and identity["firmware"]

    def test_loading_only_asks(self, unit: TopticaDLCpro) -> None:
        """Nothing is written on connecting."""
        assert all(line.startswith("(param-ref") for line in unit.journal.sent())

    def test_states_of_the_laser(self, unit: TopticaDLCpro) -> None:
        """Emission, lock and health, in words where numbers would have to be guessed."""
        laser = unit.laser1
        assert isinstance(laser.emission(), bool)
        assert isinstance(laser.lock_enabled(), bool)
        assert "locked" in laser.lock_state_text().lower()
        assert laser.health_text()

    def test_currents_are_amperes(self, unit: TopticaDLCpro) -> None:
        """The wire has milliamperes."""
        assert 0.0 < unit.laser1.current_set() < 1.0
        assert unit.laser1.current_act() == pytest.approx(unit.laser1.current_set(), rel=0.05)

    def test_missing_names_are_found_on_connecting(self, unit: TopticaDLCpro) -> None:
        """A head without wavelength keeps its snapshot clean, and says what is missing."""
        for name in unit.laser1.missing:
            with pytest.raises(InstrumentError, match="param-ref"):
                unit.laser1.parameters[name]()
        unit.snapshot(update=True)


class TestCurrent:
    """The diode current."""

    def test_ramp_in_small_steps(self, unit: TopticaDLCpro) -> None:
        """At most 1 mA every 20 ms, on the clock, read back at the end."""
        start = unit.laser1.current_set()
        unit.journal.clear()
        before = unit.clock.now()
        unit.laser1.current_set(start - 5e-3)
        sent = [line for line in unit.journal.sent() if "current-set" in line and "set!" in line]
        assert len(sent) == 5
        assert unit.clock.now() - before >= 0.0999
        assert unit.laser1.current_set() == pytest.approx(start - 5e-3, abs=1e-6)

    @pytest.mark.parametrize("current", [-1e-3, 0.151, float("nan")])
    def test_limits(self, unit: TopticaDLCpro, current: float) -> None:
        """Neither negative nor above clip and laboratory; nothing is sent."""
        with pytest.raises((LimitError, ValueError)):
            unit.laser1.current_set(current)
        with pytest.raises(LimitError):
            unit.laser1.ramp_current(current)
        assert not any("set!" in line for line in unit.journal.sent())

    def test_clip_is_never_written(self, unit: TopticaDLCpro) -> None:
        """Nor the user level."""
        for message in ("(param-set! 'laser1:dl:cc:current-clip 200)", '(exec \'change-ul 1 "x")'):
            with pytest.raises(LimitError):
                unit.write(message)

    def test_switch(self, unit: TopticaDLCpro) -> None:
        """Current off means no emission."""
        unit.laser1.current_enabled(False)
        assert unit.laser1.current_enabled() is False
        assert unit.laser1.emission() is False


class TestLanguage:
    """Refusals and framing."""

    def test_unknown_name(self, unit: TopticaDLCpro) -> None:
        """An error text becomes an error, and the link stays clean."""
        with pytest.raises(InstrumentError, match="no-such-thing"):
            unit.parameter_text("laser1:no-such-thing")
        assert not unit.link_is_dirty

    def test_read_only_name(self, unit: TopticaDLCpro) -> None:
        """A negative status is a refusal."""
        with pytest.raises(InstrumentError, match="refused"):
            unit.param_set("laser1:emission", True)

    def test_prompt_inside_an_answer(self, serve: Callable[..., object]) -> None:
        """Spaces and > inside an answer end nothing; only LF > space does."""
        values = {
            "system-type": '"DLC pro"',
            "system-model": '"DLC > pro"',
            "serial-number": '"1"',
            "fw-ver": '"3.3.3"',
            "uptime": "12",
        }

        def respond(line: str) -> list[object]:
            name = line.removeprefix("(param-ref '").rstrip(")")
            text = values.get(name, "Error: -3 unknown parameter")
            half = len(text) // 2
            return [text[:half].encode(), 0.02, text[half:].encode() + b"\n> "]

        server = serve(respond, greeting=b"Welcome to DLC pro\n> ")
        unit = TopticaDLCpro("unit", server.address, visalib="@py")  # type: ignore[attr-defined]
        assert unit.IDN()["model"] == "DLC pro DLC > pro"
        assert "lock_state_text" in unit.laser1.missing


class TestFaults:
    """What the link and the laser may do."""

    def test_lost_answer_is_asked_again_after_the_greeting(self, bench: Bench) -> None:
        """The reopened link greets again, and the question gets its own answer."""
        unit = TopticaDLCpro(
            "unit",
            ADDRESS,
            visalib=bench("{device: laser_head, kind: mute, match: 'current-act', nth: 1}"),
        )
        assert unit.laser1.current_act() > 0

    def test_command_is_not_repeated(self, bench: Bench) -> None:
        """A lost status of a write is an error."""
        unit = TopticaDLCpro(
            "unit",
            ADDRESS,
            visalib=bench("{device: laser_head, kind: mute, match: 'set!.*enabled', nth: 1}"),
        )
        with pytest.raises(LinkError):
            unit.laser1.current_enabled(True)
        assert sum("set!" in line for line in unit.journal.sent()) == 1

    def test_lost_lock_is_seen(self, bench: Bench) -> None:
        """The text of the lock state changes; nothing relocks it behind the user's back."""
        unit = TopticaDLCpro(
            "unit",
            ADDRESS,
            visalib=bench(
                "{device: laser_head, kind: laser_unlocked, match: 'health-txt', nth: 2}"
            ),
        )
        before = unit.laser1.lock_state_text()
        unit.laser1.health_text()
        assert unit.laser1.lock_state_text() != before
