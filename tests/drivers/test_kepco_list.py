"""Lists of the Kepco BOP: refused where they would jump, played where they are sound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cavitylab.instruments.drivers.kepco_bop import KepcoBOP
from cavitylab.instruments.errors import InstrumentError, LimitError
from cavitylab.instruments.simulated.lines import value_at
from cavitylab.instruments.simulated.registry import laboratory_named
from cavitylab.instruments.simulated.shots import Shot

ADDRESS = "TCPIP0::10.0.0.4::5025::SOCKET"
Bench = Callable[..., str]
TRIANGLE = [0.0, 0.05, 0.1, 0.05, 0.0]


@pytest.fixture
def library(bench: Bench) -> str:
    return bench()


@pytest.fixture
def coil(library: str) -> KepcoBOP:
    """On, at 0 A; steps of 0.1 A at most, at 10 A/s at most."""
    supply = KepcoBOP(
        "coil", ADDRESS, visalib=library, max_current=12.0, max_compliance=20.0, ramp_rate=10.0
    )
    supply.mode("current")
    supply.compliance(10.0)
    supply.output_enabled(True)
    return supply


class TestLoading:
    """What may be loaded."""

    @pytest.mark.parametrize(
        ("currents", "dwell", "repeats"),
        [
            ([0.0], 0.1, 1),
            ([0.0] * 1003, 0.1, 1),
            (TRIANGLE, 1e-4, 1),
            (TRIANGLE, 11.0, 1),
            (TRIANGLE, 0.1, 256),
            ([0.0, 0.2, 0.0], 1.0, 1),
            ([0.0, 0.05], 1e-3, 1),
            ([0.0, 13.0], 1.0, 1),
            ([0.0, 0.1, 0.2], 0.1, 2),
            ([0.0, float("nan")], 0.1, 1),
        ],
    )
    def test_refused_before_anything_is_sent(
        self, coil: KepcoBOP, currents: list[float], dwell: float, repeats: int
    ) -> None:
        """Number, dwell time, repeats, steps, rate, limits, and the jump of a repeat."""
        coil.journal.clear()
        with pytest.raises(LimitError):
            coil.list.load(currents, dwell, repeats)
        assert coil.journal.sent() == []

    def test_long_lists_come_in_short_lines(self, coil: KepcoBOP) -> None:
        """Below 200 characters each, all points arrive, and nothing moves."""
        coil.list.load([0.001 * k for k in range(100)] + [0.0], 0.05)
        lines = [line for line in coil.journal.sent() if line.startswith("LIST:CURR ")]
        assert len(lines) > 2
        assert max(map(len, lines)) <= 200
        assert coil.list.duration == pytest.approx(101 * 0.05)
        assert coil.current() == 0.0


class TestPlaying:
    """From start to end."""

    def test_the_current_follows(self, coil: KepcoBOP) -> None:
        """Steps on the clock; at the end the current set before."""
        coil.list.load(TRIANGLE, 0.2, repeats=2)
        coil.list.run()
        assert coil.list.running
        coil.clock.wait(0.5)
        assert coil.measured_current() == pytest.approx(0.1, abs=0.05)
        coil.list.finish()
        assert not coil.list.running
        assert coil.current() == 0.0

    def test_it_must_begin_and_end_where_the_current_is(self, coil: KepcoBOP) -> None:
        """Leaving the list mode goes back: a list to elsewhere would jump."""
        coil.list.load([0.0, 0.1, 0.2], 0.1)
        with pytest.raises(InstrumentError, match=r"ends at 0\.2 A"):
            coil.list.run()
        coil.ramp_current(1.0)
        coil.list.load(TRIANGLE, 0.1)
        with pytest.raises(InstrumentError, match="begins at 0 A"):
            coil.list.run()
        assert "CURR:MODE LIST" not in coil.journal.sent()

    def test_not_without_a_list_or_output(self, coil: KepcoBOP) -> None:
        """Nothing loaded, or nothing on."""
        with pytest.raises(InstrumentError, match="no list was loaded"):
            coil.list.run()
        coil.list.load(TRIANGLE, 0.1)
        coil.ramp_down()
        with pytest.raises(InstrumentError, match="output is off"):
            coil.list.run()

    def test_no_ramp_meanwhile_but_always_safe(self, coil: KepcoBOP) -> None:
        """A ramp is refused; ramping down stops the list first, and the output is off."""
        coil.list.load(TRIANGLE, 1.0)
        coil.list.run()
        for forbidden in (lambda: coil.ramp_current(1.0), coil.list.run):
            with pytest.raises(InstrumentError, match="running"):
                forbidden()
        coil.ramp_down()
        assert not coil.output_enabled()
        assert not coil.list.running
        sent = coil.journal.sent()
        assert sent.index("CURR:MODE FIX") < sent.index("OUTP OFF")


def test_a_shot_sees_the_steps(coil: KepcoBOP, library: str) -> None:
    """What is on the wire changes within a shot, also when the shot is looked at later."""
    supply = laboratory_named(library.removesuffix("@cavitylab")).devices["coil_supply"]
    coil.list.load(TRIANGLE, 0.1)
    coil.list.run()
    started = supply.played[1].since
    shot = Shot(0, started, 0.5, "timing_box", lambda device, terminal: None)
    ends = [0.099, 0.199, 0.299, 0.399, 0.499]
    early = supply.signal("output", shot)
    assert [value_at(early, time) for time in ends] == pytest.approx(TRIANGLE, abs=1e-3)
    within = value_at(early, 0.1 + supply.coil.time_constant)
    assert within == pytest.approx(0.05 * (1.0 - np.exp(-1.0)), rel=0.1)
    coil.clock.wait(2.0)
    assert supply.signal("output", shot) == early
