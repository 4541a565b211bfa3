"""The timing role: windows become delays after T0, shots cycles of a burst."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qcodes.instrument import InstrumentBase

from cavitylab.instruments.clock import VirtualClock
from cavitylab.instruments.errors import InstrumentError, LimitError
from cavitylab.instruments.roles import Timing
from cavitylab.instruments.timeline import Window

OUTPUTS = {"preparation": "AB", "pulse": "CD", "ensemble_1": "EF", "ensemble_2": "GH"}
WINDOWS = [
    Window("preparation", 50e-6, 12e-3),
    Window("pulse", 12.1e-3, 5e-6),
    Window("ensemble_1", 12.2e-3, 5e-3),
    Window("ensemble_2", 17.3e-3, 5e-3),
]


class Box(InstrumentBase):
    """Double of the timing box: remembers what it is told, runs its burst on a virtual clock."""

    def __init__(self) -> None:
        super().__init__("timing_box")
        self.clock = VirtualClock()
        self.calls: list[tuple[Any, ...]] = []
        self.events: set[str] = set()
        self.runs_until = -1.0
        self.length = 0.0
        self.outputs = {name: InstrumentBase(name) for name in ("T0", "AB", "CD", "EF", "GH")}
        for name, output in self.outputs.items():
            self._add(output, f"{name}.polarity", "polarity")
        for name in ("trigger_source", "burst_enabled", "burst_count", "burst_period"):
            self._add(self, name, name)
        for name in ("burst_delay", "burst_t0_first_only"):
            self._add(self, name, name)

    def _add(self, owner: InstrumentBase, what: str, name: str) -> None:
        owner.add_parameter(name, set_cmd=lambda value: self.calls.append((what, value)))

    @contextmanager
    def group(self) -> Iterator[None]:
        yield

    def busy(self) -> bool:
        return self.clock.now() < self.runs_until

    def set_delays(self, delays: dict[str, tuple[str, float]], *, idle: bool = False) -> None:
        self.calls.extend((channel, *delay) for channel, delay in delays.items())

    def take_events(self) -> set[str]:
        events, self.events = self.events, set()
        return events

    def trigger(self, *, fresh: bool = False) -> None:
        self.events = set() if fresh else self.events
        self.calls.append(("trigger",))
        self.runs_until = self.clock.now() + self.length


@pytest.fixture
def box() -> Box:
    """A timing box."""
    return Box()


@pytest.fixture
def timing(box: Box) -> Iterator[Timing]:
    """The four windows of a two-ensemble shot."""
    role = Timing("timing", source=box, outputs=OUTPUTS)
    yield role
    role.close()


def test_a_window_is_a_start_after_t0_and_an_end_after_the_start(timing: Timing) -> None:
    """A = T0 + start, B = A + duration, and so on."""
    program = timing.compile(WINDOWS, shots=200, period=50e-3)
    assert program.delays == (
        ("A", "T0", 50e-6),
        ("B", "A", 12e-3),
        ("C", "T0", 12.1e-3),
        ("D", "C", 5e-6),
        ("E", "T0", 12.2e-3),
        ("F", "E", 5e-3),
        ("G", "T0", 17.3e-3),
        ("H", "G", 5e-3),
    )
    assert program.duration == pytest.approx(10.0)


@given(start=st.floats(0, 1), duration=st.floats(1e-9, 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_delays_are_on_the_grid_of_5_ps(timing: Timing, start: float, duration: float) -> None:
    """Every delay is the multiple of 5 ps nearest to what was asked for."""
    program = timing.compile([Window("pulse", start, duration)], 1, 3.0)
    delays = {channel: seconds for channel, _, seconds in program.delays}
    for wanted, given_ in ((start, delays["C"]), (duration, delays["D"])):
        assert abs(wanted - given_) <= 2.5e-12 * (1 + 1e-3)
        assert given_ * 2e11 == pytest.approx(round(given_ * 2e11), abs=1e-4)


def test_an_unused_output_gives_no_pulse(timing: Timing) -> None:
    """Outputs without a window have no width, so an old window cannot stay by mistake."""
    delays = timing.compile(WINDOWS[:1], 1, 50e-3).delays
    assert ("H", "G", 0.0) in delays


def test_everything_that_cannot_be_timed_is_named(timing: Timing) -> None:
    """Unknown and repeated windows, a period too short, no shots: one message."""
    windows = [*WINDOWS, Window("ensemble_3", 0.0, 1e-3), WINDOWS[1]]
    with pytest.raises(LimitError) as caught:
        timing.compile(windows, shots=0, period=23e-3)
    text = str(caught.value)
    assert "'ensemble_3' has no output" in text
    assert "'pulse' is given 2 times" in text
    assert "at least 1 ms longer than the last window, which ends at 0.0223 s" in text
    assert "number of shots must be from 1" in text


def test_only_what_changed_is_uploaded(timing: Timing, box: Box) -> None:
    """First everything, then one delay, then nothing."""
    timing.upload(timing.compile(WINDOWS, 200, 50e-3))
    assert ("T0.polarity", 0) in box.calls
    assert ("trigger_source", "single") in box.calls
    assert ("burst_count", 200) in box.calls
    box.calls.clear()
    timing.upload(timing.compile([*WINDOWS[:1], Window("pulse", 12.2e-3, 5e-6)], 200, 50e-3))
    assert ("C", "T0", 12.2e-3) in box.calls
    assert all(call[0] in "CEFGH" for call in box.calls)
    box.calls.clear()
    timing.upload(timing.compile([*WINDOWS[:1], Window("pulse", 12.2e-3, 5e-6)], 200, 50e-3))
    assert box.calls == []


def test_nothing_is_written_while_a_burst_runs(timing: Timing, box: Box) -> None:
    """Writing a delay would abort the burst."""
    box.length = 10.0
    timing.upload(timing.compile(WINDOWS, 200, 50e-3))
    timing.fire()
    box.calls.clear()
    with pytest.raises(InstrumentError, match="running a burst"):
        timing.upload(timing.compile(WINDOWS, 100, 50e-3))
    assert box.calls == []


def test_a_burst_is_waited_for_on_the_clock(timing: Timing, box: Box) -> None:
    """Only its known duration is waited; a box that is still busy is an error."""
    timing.upload(timing.compile(WINDOWS, 200, 50e-3))
    box.length = 10.0
    timing.fire()
    box.clock.wait(4.0)
    timing.wait_done()
    assert box.clock.now() == pytest.approx(10.0, abs=5e-3)
    box.length = 11.0
    timing.fire()
    with pytest.raises(InstrumentError, match="still busy"):
        timing.wait_done()


@pytest.mark.parametrize("event", ["RATE", "ABORT_DELAY", "INHIBIT", "PLL_UNLOCK"])
def test_a_spoiled_burst_is_an_error(timing: Timing, box: Box, event: str) -> None:
    """What happened before firing is not blamed on the burst; what happened since is."""
    timing.upload(timing.compile(WINDOWS, 200, 50e-3))
    box.events = {event}
    timing.fire()
    timing.check()
    box.events = {"TRIG", "END_OF_DELAY", event}
    with pytest.raises(InstrumentError, match=event):
        timing.check()


def test_firing_needs_a_program(timing: Timing) -> None:
    """No burst with settings of an earlier session."""
    with pytest.raises(LimitError, match="upload a program before firing"):
        timing.fire()


def test_safe_stops_a_running_burst_only(timing: Timing, box: Box) -> None:
    """A box at rest is left alone."""
    assert timing.safe().message == "no burst running"
    timing.upload(timing.compile(WINDOWS, 200, 50e-3))
    box.length = 10.0
    timing.fire()
    assert timing.safe().message == "burst stopped"
    assert box.calls[-1] == ("burst_enabled", False)


def test_two_windows_cannot_share_an_output(box: Box) -> None:
    """The mapping of the station file is checked."""
    with pytest.raises(LimitError, match="AB to more than one window"):
        Timing("timing", source=box, outputs={"preparation": "AB", "pulse": "AB"})
