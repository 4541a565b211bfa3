"""Thorlabs SC10: driver and simulated shutter in conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cavitylab.instruments.drivers.thorlabs_sc10 import ThorlabsSC10
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError, StaleReply
from cavitylab.instruments.simulated.registry import laboratory_named

ADDRESS = "ASRL3::INSTR"
Bench = Callable[..., str]


def open_shutter(library: str) -> ThorlabsSC10:
    return ThorlabsSC10("blocker", ADDRESS, visalib=library)


@pytest.fixture
def shutter(bench: Bench) -> ThorlabsSC10:
    return open_shutter(bench())


class TestShutter:
    """Open and closed."""

    def test_loading_only_asks(self, shutter: ThorlabsSC10) -> None:
        """Nothing is written on connecting."""
        assert all(line.endswith("?") for line in shutter.journal.sent())

    def test_serial_line(self, shutter: ThorlabsSC10) -> None:
        """9600 baud."""
        assert shutter.visa_handle.baud_rate == 9600  # type: ignore[attr-defined]

    def test_toggle_only_if_needed(self, shutter: ThorlabsSC10) -> None:
        """`ens` is sent once for two wishes to open."""
        shutter.enabled(True)
        shutter.enabled(True)
        assert shutter.journal.sent().count("ens") == 1
        assert shutter.enabled() is True

    def test_open_and_close(self, shutter: ThorlabsSC10) -> None:
        """After its delay it is open; closing waits until it is dark, and may be repeated."""
        shutter.enabled(True)
        assert shutter.closed() is True
        shutter.clock.wait(0.1)
        assert shutter.closed() is False
        shutter.close_shutter()
        assert shutter.closed() is True
        shutter.close_shutter()

    def test_opening_by_hand_waits_whatever_program_ran(self, shutter: ThorlabsSC10) -> None:
        """A program under way is ended; the beam passes when the call returns."""
        shutter.mode("auto")
        shutter.enabled(True)
        shutter.open_shutter()
        assert (shutter.mode(), shutter.closed()) == ("manual", False)

    def test_blade_that_stays_closed(self, bench: Bench) -> None:
        """An open shutter is never believed without its sensor."""
        fault = "{device: shutter, kind: wrong_value, match: '^closed', value: '1'}"
        shutter = open_shutter(bench(fault))
        with pytest.raises(InstrumentError, match="does not open"):
            shutter.open_shutter()

    def test_settings(self, shutter: ThorlabsSC10) -> None:
        """In seconds; each is read back."""
        shutter.mode("repeat")
        shutter.open_time(0.25)
        shutter.shut_time(0.05)
        shutter.repetitions(3)
        shutter.external_trigger(True)
        assert (shutter.mode(), shutter.open_time()) == ("repeat", pytest.approx(0.25))
        assert "open=250" in shutter.journal.sent()

    def test_single_ends_by_itself(self, shutter: ThorlabsSC10) -> None:
        """No error although it is disabled soon after."""
        shutter.mode("single")
        shutter.open_time(0.0)
        shutter.enabled(True)
        assert shutter.enabled() is False

    def test_mode_needs_a_disabled_shutter(self, shutter: ThorlabsSC10) -> None:
        """Otherwise light would come and go unasked."""
        shutter.enabled(True)
        with pytest.raises(InstrumentError, match="is enabled"):
            shutter.mode("auto")

    @pytest.mark.parametrize("seconds", [-0.1, 1000.0])
    def test_times_out_of_range(self, shutter: ThorlabsSC10, seconds: float) -> None:
        """Six digits of milliseconds."""
        with pytest.raises(ValueError, match="open_time"):
            shutter.open_time(seconds)

    def test_baud_rate_is_never_changed(self, shutter: ThorlabsSC10) -> None:
        """It would end the conversation."""
        with pytest.raises(LimitError):
            shutter.write("baud=1")

    def test_jammed_shutter(self, bench: Bench) -> None:
        """One that stays open is said loudly."""
        fault = "{device: shutter, kind: wrong_value, match: '^closed', value: '0'}"
        shutter = open_shutter(bench(fault))
        with pytest.raises(InstrumentError, match="does not close"):
            shutter.close_shutter()


def test_prompt_with_a_space(bench: Bench) -> None:
    """On a serial line a space behind the prompt does no harm."""
    library = bench()
    laboratory = laboratory_named(library.removesuffix("@cavitylab"))
    laboratory.devices["shutter"].settings["prompt"] = "> "
    shutter = open_shutter(library)
    shutter.enabled(True)
    assert (shutter.enabled(), shutter.mode()) == (True, "manual")


class TestFaults:
    """Never a wrong answer."""

    def test_refusal(self, shutter: ThorlabsSC10) -> None:
        """The unit's words, the command, the remedy."""
        with pytest.raises(InstrumentError, match="CMD_NOT_DEFINED.*'foo'"):
            shutter.write("foo")
        with pytest.raises(InstrumentError, match="CMD_NOT_DEFINED"):
            shutter.ask("foo?")

    def test_lost_echo_of_a_toggle(self, bench: Bench) -> None:
        """`ens` is not sent twice; afterwards the state is asked."""
        fault = "{device: shutter, kind: mute, match: '^ens$', nth: 1}"
        shutter = open_shutter(bench(fault))
        with pytest.raises(LinkError):
            shutter.enabled(True)
        assert shutter.journal.sent().count("ens") == 1
        assert shutter.enabled() is True

    def test_echo_of_another_command(self, serve: Callable[..., Any]) -> None:
        """A late answer is known by its echo, and thrown away."""
        lines = iter([b"id?\rSC10\r>", b"mode?\r2\r>", b"id?\rSC10\r>", b"ens?\r1\r>"])
        server = serve(lambda line: [next(lines)])

        class OnSocket(ThorlabsSC10):
            write_end = "\r\n"

        shutter = OnSocket("blocker", server.address, visalib="@py")
        with pytest.raises(StaleReply, match="echo"):
            shutter.ask_raw("ens?")
        assert shutter.enabled() is True

    def test_restart_is_found_out(self, bench: Bench) -> None:
        """Power-on brings the stored settings back: compared after a lost answer."""
        fault = "{device: shutter, kind: mute, match: 'closed', nth: 1}"
        library = bench(fault)
        shutter = open_shutter(library)
        shutter.open_time(0.25)
        laboratory = laboratory_named(library.removesuffix("@cavitylab"))
        laboratory.devices["shutter"].values["open"] = 1000  # type: ignore[attr-defined]
        with pytest.raises(InstrumentError, match=r"open\? answers '1000' instead of '250'"):
            shutter.closed()
