"""SRS DG645: driver and simulated delay generator in conversation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cavitylab.instruments.drivers.srs_dg645 import SPOILING_EVENTS, SRSDG645, TRIGGER_SOURCES
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError

ADDRESS = "TCPIP0::10.0.0.2::5025::SOCKET"
Bench = Callable[..., str]


@pytest.fixture
def box(bench: Bench) -> SRSDG645:
    return SRSDG645("box", ADDRESS, visalib=bench())


def prepare_burst(box: SRSDG645, shots: int = 10, period: float = 0.05) -> None:
    box.trigger_source("single")
    box.burst_enabled(True)
    box.burst_count(shots)
    box.burst_period(period)


class TestSettings:
    """Delays, outputs, trigger, burst."""

    def test_identity(self, box: SRSDG645) -> None:
        """Model and serial number."""
        assert box.IDN()["model"] == "DG645"

    def test_loading_only_asks(self, box: SRSDG645) -> None:
        """Nothing is written on connecting."""
        assert all(line.endswith("?") for line in box.journal.sent())

    def test_delays_keep_their_reference(self, box: SRSDG645) -> None:
        """B follows A: both times and the reference come back."""
        box.set_delay("A", "T0", 100e-6)
        box.set_delay("B", "A", 12e-3)
        assert box.get_delay("A") == ("T0", 100e-6)
        assert box.get_delay("B") == ("A", 12e-3)

    def test_delay_text(self, box: SRSDG645) -> None:
        """Channel codes and seconds with twelve decimals, on one look at the errors."""
        box.journal.clear()
        box.set_delays({"C": ("T0", 12.3e-3), "D": ("C", 5e-6)})
        assert box.journal.sent() == [
            "*STB?",
            "DLAY 4,0,0.012300000000",
            "DLAY 5,4,0.000005000000",
            "LERR?",
        ]

    @pytest.mark.parametrize(
        ("channel", "reference", "seconds"),
        [("A", "T0", -1e-6), ("A", "T0", 2001.0), ("A", "T0", float("nan")), ("T0", "A", 0.0),
         ("A", "A", 0.0), ("X", "T0", 0.0), ("A", "X", 0.0)],
    )  # fmt: skip
    def test_impossible_delays(
        self, box: SRSDG645, channel: str, reference: str, seconds: float
    ) -> None:
        """Refused before anything is sent."""
        with pytest.raises(LimitError):
            box.set_delays({"B": ("A", 1e-3), channel: (reference, seconds)})
        assert not any(line.startswith("DLAY") for line in box.journal.sent())

    def test_circle_of_delays_is_refused_by_the_box(self, box: SRSDG645) -> None:
        """A after B after A: error 13, with its words."""
        with pytest.raises(InstrumentError, match="illegal link"):
            box.set_delays({"B": ("A", 1e-3), "A": ("B", 1e-3)})

    def test_outputs(self, box: SRSDG645) -> None:
        """Amplitude, offset and polarity of each output, limited together."""
        output = box.outputs["T0"]
        output.polarity(0)
        output.amplitude(4.0)
        output.offset(1.0)
        assert (output.polarity(), output.amplitude(), output.offset()) == (0, 4.0, 1.0)
        with pytest.raises(LimitError, match="below 6 V"):
            output.offset(2.0)
        assert box.outputs["AB"].polarity() == 1

    @pytest.mark.parametrize("source", TRIGGER_SOURCES)
    def test_trigger_sources(self, box: SRSDG645, source: str) -> None:
        """Names instead of codes, both ways."""
        box.trigger_source(source)
        assert box.trigger_source() == source

    def test_burst(self, box: SRSDG645) -> None:
        """Count, period, delay, and T0 in every cycle."""
        prepare_burst(box, 500, 0.05)
        box.burst_delay(0.0)
        box.burst_t0_first_only(False)
        assert (box.burst_enabled(), box.burst_count(), box.burst_period()) == (True, 500, 0.05)
        assert (box.burst_delay(), box.burst_t0_first_only()) == (0.0, False)

    @pytest.mark.parametrize("period", [50e-9, 2001.0])
    def test_burst_period_has_limits(self, box: SRSDG645, period: float) -> None:
        """QCoDeS' validator refuses with the range."""
        with pytest.raises(ValueError, match="between"):
            box.burst_period(period)


class TestShots:
    """Trigger, busy, events."""

    def test_burst_runs_and_ends(self, box: SRSDG645) -> None:
        """Busy until the burst is over, then a clean end."""
        prepare_burst(box)
        box.take_events()
        box.trigger()
        assert box.busy()
        box.clock.wait(0.6)
        assert not box.busy()
        events = box.take_events()
        assert {"TRIG", "END_OF_BURST"} <= events
        assert not events & SPOILING_EVENTS

    def test_events_are_cleared_by_reading(self, box: SRSDG645) -> None:
        """The second reading is empty."""
        prepare_burst(box)
        box.trigger()
        box.clock.wait(0.6)
        box.take_events()
        assert box.take_events() == set()

    def test_trigger_in_another_source_is_an_error(self, box: SRSDG645) -> None:
        """Error 11, with its words."""
        box.trigger_source("internal")
        with pytest.raises(InstrumentError, match="illegal mode"):
            box.trigger()

    def test_delays_are_not_written_during_a_burst(self, box: SRSDG645) -> None:
        """They would abort it."""
        prepare_burst(box)
        box.trigger()
        with pytest.raises(InstrumentError, match="running"):
            box.set_delay("A", "T0", 1e-3)
        box.clock.wait(0.6)
        assert not box.take_events() & SPOILING_EVENTS


class TestFaults:
    """What the link may do."""

    def test_trigger_is_never_repeated(self, bench: Bench) -> None:
        """The link drops on *TRG: one trigger was sent, no more."""
        box = SRSDG645(
            "box", ADDRESS, visalib=bench(r"{device: timing_box, kind: drop, match: '\*TRG'}")
        )
        prepare_burst(box)
        with pytest.raises(LinkError):
            box.trigger()
        assert box.journal.sent().count("*TRG") == 1

    def test_events_are_not_asked_twice(self, bench: Bench) -> None:
        """INSR? clears what it reads; a lost answer is an error."""
        box = SRSDG645(
            "box", ADDRESS, visalib=bench("{device: timing_box, kind: mute, match: INSR, nth: 1}")
        )
        with pytest.raises(LinkError):
            box.take_events()
        assert box.journal.sent().count("INSR?") == 1

    def test_lost_error_answer_is_an_error(self, bench: Bench) -> None:
        """Whether the setting was taken is unknown, and is said so."""
        box = SRSDG645(
            "box", ADDRESS, visalib=bench("{device: timing_box, kind: mute, match: LERR, nth: 2}")
        )
        with pytest.raises(LinkError, match="LERR"):
            box.burst_count(5)
        box.burst_count(6)
        assert box.burst_count() == 6
