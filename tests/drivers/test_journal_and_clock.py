"""The register of messages, the clocks and the errors that all drivers share."""

from __future__ import annotations

from pathlib import Path

import pytest

from cavitylab.instruments.clock import Clock, RealClock, VirtualClock, clock_of
from cavitylab.instruments.errors import CavityLabError, LimitError, LinkError
from cavitylab.instruments.journal import Journal, Message, printable


def message(text: str, direction: str = ">", instrument: str = "rf") -> Message:
    return Message(1.5, instrument, "TCPIP0::x::1::SOCKET", direction, text)  # type: ignore[arg-type]


class TestJournal:
    """What was said, by whom, when."""

    def test_texts_by_direction_and_instrument(self) -> None:
        """Sent, received and remarks are told apart, for one instrument or all."""
        journal = Journal()
        for one in (message("FREQ,1"), message("80 MHz", "<"), message("ON", ">", "coil")):
            journal.append(one)
        assert journal.sent() == ["FREQ,1", "ON"]
        assert journal.sent("rf") == ["FREQ,1"]
        assert journal.received() == ["80 MHz"]
        assert journal.remarks() == []

    def test_oldest_messages_are_forgotten(self) -> None:
        """A run of days does not fill the memory."""
        journal = Journal(capacity=2)
        for text in "abc":
            journal.append(message(text))
        assert journal.sent() == ["b", "c"]

    def test_listeners_hear_every_message(self) -> None:
        """Until they are removed."""
        journal = Journal()
        heard: list[Message] = []
        journal.add_listener(heard.append)
        journal.append(message("a"))
        journal.remove_listener(heard.append)
        journal.append(message("b"))
        assert [one.text for one in heard] == ["a"]

    def test_trace_is_one_line_a_message(self, tmp_path: Path) -> None:
        """Control characters are escaped, so that a line stays a line."""
        journal = Journal()
        with journal.stream_to(tmp_path / "live.txt"):
            journal.append(message("a\r\nb"))
        journal.write_trace(tmp_path / "after.txt")
        live = (tmp_path / "live.txt").read_text()
        assert live == (tmp_path / "after.txt").read_text()
        assert live.splitlines() == [live.rstrip("\n")]
        assert r"> a\r\nb" in live

    def test_printable_escapes_and_cuts(self) -> None:
        """Bytes are never hidden, long answers are counted."""
        assert printable(b"\xff\n") == r"\xff\n"
        assert printable("x" * 300, 10) == "xxxxxxxxxx... (300 characters)"


class TestClocks:
    """Waiting, for real or not."""

    def test_virtual_clock_moves_when_waited_on(self) -> None:
        """Three hours pass at once."""
        clock = VirtualClock(5.0)
        clock.wait(3 * 3600)
        assert clock.now() == 5.0 + 3 * 3600

    def test_real_clock_takes_its_time(self) -> None:
        """It sleeps at least as long as asked."""
        clock = RealClock()
        before = clock.now()
        clock.wait(0.02)
        assert clock.now() - before >= 0.019

    @pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
    @pytest.mark.parametrize("clock", [RealClock(), VirtualClock()])
    def test_impossible_waits_are_refused(self, clock: Clock, seconds: float) -> None:
        """A deadline in the past must be clipped by the caller, who knows what it means."""
        with pytest.raises(ValueError, match="seconds"):
            clock.wait(seconds)

    def test_clock_of_a_library(self) -> None:
        """A library that brings a clock is waited on with it, any other with the real one."""

        class Library:
            clock = VirtualClock()

        assert clock_of(Library()) is Library.clock
        assert isinstance(clock_of(object()), RealClock)


def test_errors_are_what_a_stranger_expects() -> None:
    """Each error is also the built-in one, and reads as one sentence after QCoDeS added its."""
    assert issubclass(LinkError, ConnectionError)
    assert issubclass(LimitError, ValueError)
    error = LimitError("too much")
    error.args = (*error.args, "setting coil_current to 99")
    assert str(error) == "too much; setting coil_current to 99"
    assert isinstance(error, CavityLabError)
