"""Delta SM15K: driver and simulated supply in conversation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cavitylab.instruments.drivers.delta_sm15k import DeltaSM15K
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.registry import laboratory_named

ADDRESS = "TCPIP0::10.0.0.7::8462::SOCKET"
Bench = Callable[..., str]


def open_coil(library: str, **kwargs: float) -> DeltaSM15K:
    limits = {"max_current": 200.0, "max_voltage": 30.0, "max_power": 6e3} | kwargs
    return DeltaSM15K("coil", ADDRESS, visalib=library, ramp_rate=200.0, **limits)  # type: ignore[arg-type]


@pytest.fixture
def coil(bench: Bench) -> DeltaSM15K:
    return open_coil(bench())


def switch_on(coil: DeltaSM15K) -> None:
    coil.voltage(20.0)
    coil.power(5e3)
    coil.output_enabled(True)


def laboratory(library: str) -> Laboratory:
    return laboratory_named(library.removesuffix("@cavitylab"))


class TestCurrent:
    """The way to a current, and back."""

    def test_loading_only_asks(self, coil: DeltaSM15K) -> None:
        """Nothing is written on connecting."""
        assert all(line.endswith("?") for line in coil.journal.sent())

    def test_current_flows(self, coil: DeltaSM15K) -> None:
        """After a ramp the measured current is the one that was set."""
        switch_on(coil)
        coil.ramp_current(100.0)
        coil.clock.wait(0.5)
        assert coil.current() == pytest.approx(100.0, abs=0.014)
        assert coil.measured_current() == pytest.approx(100.0, abs=0.3)
        assert coil.status() == {"constant current", "output on"}

    def test_ramp_is_made_of_steps(self, coil: DeltaSM15K) -> None:
        """From 0 to 10 A in steps of 1 A at 200 A/s."""
        switch_on(coil)
        coil.journal.clear()
        before = coil.clock.now()
        coil.current(10.0)
        levels = [float(line[9:]) for line in coil.journal.sent() if line.startswith("SOUR:CUR ")]
        assert levels == pytest.approx(list(range(1, 11)))
        assert coil.clock.now() - before == pytest.approx(10.0 / 200.0)

    def test_ramp_down_ends_off_at_zero(self, coil: DeltaSM15K) -> None:
        """And may be called again."""
        switch_on(coil)
        coil.ramp_current(20.0)
        coil.ramp_down()
        coil.ramp_down()
        assert coil.current() == 0.0
        assert coil.output_enabled() is False

    def test_output_goes_off_when_the_ramp_fails(self, bench: Bench) -> None:
        """The first step down is refused: the error is raised, and the output is off."""
        fault = "{device: big_supply, kind: error_queue, match: 'SOUR:CUR 19', nth: 2}"
        coil = open_coil(bench(fault))
        switch_on(coil)
        coil.ramp_current(20.0)
        with pytest.raises(InstrumentError):
            coil.ramp_down()
        assert coil.output_enabled() is False


class TestLimits:
    """Nothing dangerous is sent."""

    @pytest.mark.parametrize("current", [200.1, -0.1, float("nan"), float("inf")])
    def test_current_of_the_laboratory(self, coil: DeltaSM15K, current: float) -> None:
        """Not above the limit, not below zero."""
        with pytest.raises(LimitError):
            coil.ramp_current(current)
        assert not any(line.startswith("SOUR:CUR ") for line in coil.journal.sent())

    def test_limits_intersect(self, bench: Bench) -> None:
        """The supply's own ratings hold where the laboratory's are wider."""
        coil = open_coil(bench(), max_current=1000.0, max_power=1e6)
        assert coil.limits == {"CUR": 450.0, "VOL": 30.0, "POW": 15e3}

    def test_output_needs_voltage_and_power(self, coil: DeltaSM15K) -> None:
        """With 0 W no current flows: said before, not found out later."""
        coil.voltage(10.0)
        with pytest.raises(InstrumentError, match="power is set to 0"):
            coil.output_enabled(True)
        coil.power(100.0)
        coil.output_enabled(True)

    def test_output_needs_a_small_current(self, coil: DeltaSM15K) -> None:
        """A current set beforehand would jump."""
        coil.voltage(10.0)
        coil.power(100.0)
        coil.current(5.0)
        with pytest.raises(InstrumentError, match="4.9989 A are set"):
            coil.output_enabled(True)

    @pytest.mark.parametrize("message", ["*RST", "MEAS:CUR?;*RST", "SYST:COM:TER 1"])
    def test_never_sent(self, coil: DeltaSM15K, message: str) -> None:
        """A reset drops the current at once; another terminator ends the conversation."""
        with pytest.raises(LimitError):
            coil.write(message)

    def test_obstinate_current(self, bench: Bench) -> None:
        """A current that reads back otherwise is an error."""
        fault = "{device: big_supply, kind: wrong_value, match: 'SOUR:CUR\\?', nth: 2, value: '7'}"
        coil = open_coil(bench(fault))
        with pytest.raises(InstrumentError, match="7 A"):
            coil.ramp_current(3.0)

    def test_front_panel_is_the_source(self, coil: DeltaSM15K) -> None:
        """The supply refuses; `take_control` helps."""
        coil.write("SYST:REM:CC Local")
        with pytest.raises(InstrumentError, match="not remote"):
            coil.current(1.0)
        coil.take_control()
        coil.current(1.0)


class TestWatchdog:
    """Silence switches the output off."""

    def test_fed_by_a_slow_ramp(self, coil: DeltaSM15K) -> None:
        """No pause of a ramp outlasts half the watchdog."""
        switch_on(coil)
        coil.start_watchdog(0.1)
        coil.ramp_current(4.0, rate=2.0)
        assert coil.feed_watchdog() > 0.04
        assert coil.output_enabled() is True

    def test_silence(self, coil: DeltaSM15K) -> None:
        """Said with what to do; the output is off."""
        switch_on(coil)
        coil.start_watchdog(0.5)
        coil.clock.wait(1.0)
        with pytest.raises(InstrumentError, match="switched the output off"):
            coil.feed_watchdog()
        assert coil.output_enabled() is False

    def test_not_running(self, coil: DeltaSM15K) -> None:
        """Feeding none is an error, not a comfort."""
        coil.start_watchdog(0.5)
        coil.stop_watchdog()
        with pytest.raises(InstrumentError, match="not running"):
            coil.feed_watchdog()

    @pytest.mark.parametrize("seconds", [0.019, 10.1, float("nan")])
    def test_range(self, coil: DeltaSM15K, seconds: float) -> None:
        """20 ms to 10 s."""
        with pytest.raises(LimitError):
            coil.start_watchdog(seconds)

    def test_lost_link_is_told(self, bench: Bench) -> None:
        """After the time-out the output has gone off: the driver finds out and says so."""
        fault = "{device: big_supply, kind: mute, match: 'MEAS:CUR', nth: 1}"
        coil = open_coil(bench(fault))
        switch_on(coil)
        coil.start_watchdog(0.5)
        with pytest.raises(InstrumentError, match=r"OUTP\? answers '0' instead of '1'"):
            coil.measured_current()


class TestRestart:
    """Power-on clears everything."""

    def test_restart_is_found_out(self, bench: Bench) -> None:
        """After a lost answer the set values are compared."""
        fault = "{device: big_supply, kind: mute, match: 'MEAS:CUR', nth: 1}"
        library = bench(fault)
        coil = open_coil(library)
        switch_on(coil)
        device = laboratory(library).devices["big_supply"]
        device.reset()  # type: ignore[attr-defined]
        with pytest.raises(InstrumentError, match="was restarted"):
            coil.measured_current()
        assert coil.restarts == 1

    def test_lost_answer_alone_is_mended(self, bench: Bench) -> None:
        """Same settings as before: the question is asked again."""
        fault = "{device: big_supply, kind: mute, match: 'MEAS:CUR', nth: 1}"
        coil = open_coil(bench(fault))
        switch_on(coil)
        assert coil.measured_current() == pytest.approx(0.0, abs=0.3)

    def test_ramp_on_a_dead_link(self, bench: Bench) -> None:
        """A link that drops during the ramp is an error of the link."""
        fault = "{device: big_supply, kind: drop, match: 'SOUR:CUR 3', nth: 1}"
        coil = open_coil(bench(fault))
        switch_on(coil)
        with pytest.raises(LinkError):
            coil.ramp_current(5.0)
        coil.ramp_down()
        assert coil.output_enabled() is False


class TestSequencer:
    """Programs run in the supply."""

    def test_run(self, coil: DeltaSM15K) -> None:
        """Two currents, 0.1 s apart, then back under this link's control."""
        switch_on(coil)
        coil.upload_sequence("pulse", ["SP=5000", "SC=20", "W=0.1", "SC=0"])
        coil.run_sequence()
        coil.clock.wait(0.09)
        assert coil.measured_current() == pytest.approx(20.0, abs=0.5)
        coil.clock.wait(0.2)
        assert not coil.sequence_running()
        coil.stop_sequence()
        coil.current(1.0)

    def test_trigger(self, coil: DeltaSM15K) -> None:
        """Waits until told."""
        switch_on(coil)
        coil.upload_sequence("pulse", ["TRG", "SC=20"])
        coil.run_sequence()
        assert coil.sequence_running()
        coil.trigger_sequence()
        coil.clock.wait(0.1)
        assert not coil.sequence_running()

    @pytest.mark.parametrize("steps", [[], ["SC=201"], ["SC=-1"], ["JP=3"], ["SP=7000"], ["X"]])
    def test_refused_steps(self, coil: DeltaSM15K, steps: list[str]) -> None:
        """Limits hold for programs as well; nothing is sent."""
        count = len(coil.journal.sent())
        with pytest.raises(LimitError):
            coil.upload_sequence("pulse", steps)
        assert len(coil.journal.sent()) == count
