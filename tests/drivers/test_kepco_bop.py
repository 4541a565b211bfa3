"""Kepco BOP: driver and simulated supply in conversation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cavitylab.instruments.drivers.kepco_bop import KepcoBOP
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError

ADDRESS = "TCPIP0::10.0.0.4::5025::SOCKET"
Bench = Callable[..., str]


def open_coil(library: str) -> KepcoBOP:
    return KepcoBOP("coil", ADDRESS, visalib=library, max_current=12.0, max_compliance=20.0)


@pytest.fixture
def coil(bench: Bench) -> KepcoBOP:
    return open_coil(bench())


def switch_on(coil: KepcoBOP) -> None:
    coil.mode("current")
    coil.compliance(10.0)
    coil.output_enabled(True)


class TestCurrent:
    """The way to a current, and back."""

    def test_loading_only_asks(self, coil: KepcoBOP) -> None:
        """Nothing is written on connecting."""
        assert all(line.endswith("?") for line in coil.journal.sent())

    def test_current_flows(self, coil: KepcoBOP) -> None:
        """After a ramp the measured current is the one that was set."""
        switch_on(coil)
        coil.ramp_current(4.0, rate=4.0)
        coil.clock.wait(0.5)
        assert coil.current() == pytest.approx(4.0)
        assert coil.measured_current() == pytest.approx(4.0, abs=0.05)

    def test_ramp_is_made_of_equal_steps_on_the_clock(self, coil: KepcoBOP) -> None:
        """From 0 to 1 A in steps of 0.1 A at 2 A/s: ten commands in half a second."""
        switch_on(coil)
        coil.journal.clear()
        before = coil.clock.now()
        coil.ramp_current(1.0, rate=2.0)
        levels = [float(line[5:]) for line in coil.journal.sent() if line.startswith("CURR ")]
        assert levels == pytest.approx([0.1 * step for step in range(1, 11)])
        assert coil.clock.now() - before >= 0.5

    def test_ramp_always_takes_the_same_messages(self, coil: KepcoBOP) -> None:
        """Noise of the measurement never changes their number."""
        switch_on(coil)
        counts = []
        for _ in range(3):
            coil.journal.clear()
            coil.ramp_current(-1.23)
            coil.ramp_current(4.56)
            counts.append(len(coil.journal.sent()))
        coil.ramp_current(-1.23)
        assert counts[1] == counts[2]

    def test_setting_the_parameter_ramps(self, coil: KepcoBOP) -> None:
        """No way to a jump."""
        switch_on(coil)
        coil.journal.clear()
        coil.current(1.0)
        assert sum(line.startswith("CURR ") for line in coil.journal.sent()) == 10

    def test_ramp_down_ends_off_at_zero(self, coil: KepcoBOP) -> None:
        """And may be called again."""
        switch_on(coil)
        coil.ramp_current(2.0)
        coil.ramp_down()
        coil.ramp_down()
        assert coil.current() == 0.0
        assert coil.output_enabled() is False

    def test_commands_keep_their_distance(self, coil: KepcoBOP) -> None:
        """25 ms between two messages, on the clock."""
        times = [message.time for message in coil.journal if message.direction == ">"]
        assert all(
            later - sooner >= 0.0249 for sooner, later in zip(times, times[1:], strict=False)
        )


class TestLimits:
    """Nothing dangerous is sent."""

    @pytest.mark.parametrize("current", [12.1, -12.1, float("nan"), float("inf")])
    def test_current_of_the_laboratory(self, coil: KepcoBOP, current: float) -> None:
        """The smaller of laboratory and rating holds, for both signs."""
        with pytest.raises(LimitError):
            coil.ramp_current(current)
        assert not any(line.startswith("CURR ") for line in coil.journal.sent())

    def test_rating_of_the_model(self, bench: Bench) -> None:
        """Without a limit of the laboratory the model's own rating holds."""
        coil = KepcoBOP("coil", ADDRESS, visalib=bench())
        assert (coil.max_compliance, coil.max_current) == (36.0, 28.0)

    def test_compliance_of_the_laboratory(self, coil: KepcoBOP) -> None:
        """20 V at most here."""
        with pytest.raises(LimitError, match="20 V"):
            coil.compliance(21.0)

    def test_output_needs_current_mode_and_compliance(self, coil: KepcoBOP) -> None:
        """Mode and compliance come before the output."""
        with pytest.raises(InstrumentError, match="voltage mode"):
            coil.output_enabled(True)
        coil.mode("current")
        with pytest.raises(InstrumentError, match="compliance"):
            coil.output_enabled(True)
        assert not any(line.startswith("OUTP ON") for line in coil.journal.sent())

    def test_output_starts_near_zero(self, coil: KepcoBOP) -> None:
        """A current that is set already would jump into the coil."""
        coil.mode("current")
        coil.compliance(10.0)
        coil.current(3.0)
        with pytest.raises(InstrumentError, match="3 A"):
            coil.output_enabled(True)

    def test_mode_stays_while_the_output_is_on(self, coil: KepcoBOP) -> None:
        """Voltage mode on a coil is a short circuit."""
        switch_on(coil)
        with pytest.raises(InstrumentError, match="output is on"):
            coil.mode("voltage")

    @pytest.mark.parametrize("message", ["DIAG:TST?", "DIAGnostic:TST?", ":diag:tst?", "*TST?"])
    def test_self_test_is_never_sent(self, coil: KepcoBOP, message: str) -> None:
        """It swings the output over the full range."""
        with pytest.raises(LimitError):
            coil.ask(message)
        assert message not in coil.journal.sent()


class TestFaults:
    """What the link and the supply may do."""

    def test_refused_step_is_an_error(self, bench: Bench) -> None:
        """The supply's queue is read after the ramp."""
        coil = open_coil(bench("{device: coil_supply, kind: error_queue, match: '^CURR 0.5'}"))
        switch_on(coil)
        with pytest.raises(InstrumentError, match="-310"):
            coil.ramp_current(1.0)

    def test_lost_step_is_noticed(self, bench: Bench) -> None:
        """The last command of a ramp is not obeyed: the current read back is another."""
        coil = open_coil(bench("{device: coil_supply, kind: trigger_lost, match: '^CURR 1.0'}"))
        switch_on(coil)
        with pytest.raises(InstrumentError, match="1 A were set"):
            coil.ramp_current(1.0)

    def test_output_on_is_never_repeated(self, bench: Bench) -> None:
        """Whether it went on is unknown; the driver does not try again by itself."""
        coil = open_coil(bench("{device: coil_supply, kind: drop, match: 'OUTP ON'}"))
        with pytest.raises(LinkError):
            switch_on(coil)
        assert coil.journal.sent().count("OUTP ON") == 1
        coil.ramp_down()
        assert coil.output_enabled() is False

    def test_hot_coil_is_reported(self, bench: Bench) -> None:
        """The interlock's entry in the error queue stops the ramp."""
        coil = open_coil(bench("{device: coil_supply, kind: coil_hot, match: '^CURR 0.5'}"))
        switch_on(coil)
        with pytest.raises(InstrumentError, match="Over-temperature"):
            coil.ramp_current(1.0)
        assert coil.output_enabled() is False
