"""The simulated Delta SM15K: set values, coil, watchdog, status, sequencer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from cavitylab.instruments.simulated.devices.coil import Coil
from cavitylab.instruments.simulated.devices.delta_sm15k import DeltaSM15K


@pytest.fixture
def unit(device_bench: Callable[..., Any]) -> Any:
    """A supply on 50 milliohm and 1 mH."""
    return device_bench(DeltaSM15K)


def switch_on(unit: Any, amperes: float = 100.0) -> None:
    unit.send("SOUR:VOL 20", "SOUR:POW 10000", f"SOUR:CUR {amperes}", "OUTP ON")


class TestLanguage:
    """Its own dialect."""

    def test_identity(self, unit: Any) -> None:
        """Five fields."""
        assert len(unit.ask("*IDN?").split(",")) == 5

    @pytest.mark.parametrize("header", ["SOUR:CUR", "source:current", "Source:Cur"])
    def test_short_and_long(self, unit: Any, header: str) -> None:
        """Any case."""
        unit.send(f"{header} 12")
        assert float(unit.ask(f"{header}?")) == pytest.approx(12.0, abs=450 / 65535)

    def test_errors_without_quotes(self, unit: Any) -> None:
        """`0,None` or number and text; ten entries, later ones dropped."""
        assert unit.ask("SYST:ERR?") == "0,None"
        unit.send(*["FOO"] * 12)
        answers = [unit.ask("SYST:ERR?") for _ in range(11)]
        assert answers == ["-113,Undefined header"] * 10 + ["0,None"]

    def test_sixteen_bits(self, unit: Any) -> None:
        """A value goes to the nearest of 65536 steps."""
        unit.send("SOUR:CUR 1.001")
        step = 450 / 65535
        found = float(unit.ask("SOUR:CUR?"))
        assert abs(found - 1.001) <= step / 2 + 1e-4
        assert float(unit.ask("SOUR:CUR:STE?")) == pytest.approx(step, rel=1e-3)

    @pytest.mark.parametrize(
        "message",
        ["SOUR:CUR 451", "SOUR:CUR -1", "SOUR:VOL 71", "SYST:COM:WAT SET,19", "OUTP", "TRIG:IMM"],
    )
    def test_refusals(self, unit: Any, message: str) -> None:
        """Out of range, nothing to trigger, no parameter."""
        assert unit.error_after(message) != "0"

    def test_limits(self, unit: Any) -> None:
        """SYST:LIM:CUR <A>,ON holds for what is set later."""
        unit.send("SYST:LIM:CUR 50,ON")
        assert unit.ask("SYST:LIM:CUR?") == "50.0000,ON"
        assert unit.error_after("SOUR:CUR 51") == "-222"

    def test_other_source(self, unit: Any) -> None:
        """While the front panel is the source, this link sets nothing."""
        unit.send("SYST:REM:CC Local")
        assert unit.ask("SYST:REM:CC?") == "Local"
        assert unit.error_after("SOUR:CUR 1") == "-221"


class TestCurrent:
    """What flows."""

    def test_no_power_no_current(self, unit: Any) -> None:
        """After *RST the power is 0 W."""
        unit.send("SOUR:VOL 20", "SOUR:CUR 100", "OUTP ON")
        unit.wait(1.0)
        assert unit.device.current() == 0.0

    def test_current_flows(self, unit: Any) -> None:
        """With all three set."""
        switch_on(unit)
        unit.wait(1.0)
        assert unit.device.current() == pytest.approx(100.0, abs=450 / 65535)
        assert float(unit.ask("MEAS:CUR?")) == pytest.approx(100.0, abs=6 * 450e-4)
        assert float(unit.ask("MEAS:VOL?")) == pytest.approx(5.0, abs=6 * 70e-4)

    def test_power_limits(self, unit: Any) -> None:
        """125 W in 50 milliohm are 50 A: constant power."""
        switch_on(unit)
        unit.send("SOUR:POW 125")
        unit.wait(1.0)
        assert unit.device.current() == pytest.approx(50.0, rel=1e-3)
        assert int(unit.ask("STAT:REG:A?")) & 4

    def test_voltage_limits(self, unit: Any) -> None:
        """2 V on 50 milliohm are 40 A: constant voltage."""
        switch_on(unit)
        unit.send("SOUR:VOL 2")
        unit.wait(1.0)
        assert unit.device.current() == pytest.approx(40.0, rel=1e-3)
        assert int(unit.ask("STAT:REG:A?")) & 1

    def test_falling_current_decays_through_the_coil(self, unit: Any) -> None:
        """The voltage is never negative: L/R = 20 ms sets the pace."""
        switch_on(unit)
        unit.wait(1.0)
        unit.send("SOUR:CUR 0")
        unit.wait(20e-3)
        assert unit.device.current() == pytest.approx(100.0 / math.e, rel=1e-3)

    def test_unipolar_closed_form(self) -> None:
        """The current agrees with a fine integration of L dI/dt = V - R I, 0 <= V, to 0.1 %."""
        coil = Coil(resistance=0.8, inductance=4e-3, loop_time=1e-3, lowest=0.0)
        coil.want(0.0, 10.0, "current", 12.0)
        coil.want(20e-3, 2.0, "current", 12.0)
        current, step = coil.current, 1e-7
        for number in range(60_000):
            wish = 0.8 * 2.0 + (2.0 - current) * 4e-3 / 1e-3
            voltage = max(0.0, min(12.0, wish))
            current += step * (voltage - 0.8 * current) / 4e-3
            if number % 10_000 == 9_999:
                assert coil.at(20e-3 + (number + 1) * step) == pytest.approx(current, rel=1e-3)

    def test_shot_sees_the_current(self, unit: Any) -> None:
        """The line carries what flows at the start of the shot."""
        switch_on(unit)
        unit.wait(1.0)
        unit.laboratory.connect([("unit.output", "gradient.current")])
        unit.shots(3)
        (portion,) = unit.laboratory.burst.portions
        assert portion.timeline["gradient.current"][0].value == pytest.approx(100.0, abs=0.01)

    def test_hot_coil(self, unit: Any) -> None:
        """The interlock switches off and shows in the register."""
        switch_on(unit)
        unit.device.trip("coil_hot", None, unit.link)
        assert unit.ask("OUTP?") == "0"
        assert int(unit.ask("STAT:REG:A?")) & 2048

    def test_register(self, unit: Any) -> None:
        """66 = constant current and DC fail while off."""
        assert unit.ask("STAT:REG:A?") == "66"
        assert unit.ask("STAT:REG:B?") == "7"


class TestWatchdog:
    """Silence switches the output off."""

    def test_expiry(self, unit: Any) -> None:
        """0.5 s of silence: off at that moment, told once, then -1."""
        switch_on(unit)
        unit.wait(1.0)
        unit.send("SYST:COM:WAT SET,500")
        unit.wait(0.52)
        assert unit.device.current() == pytest.approx(100.0 / math.e, rel=1e-2)
        assert unit.ask("OUTP?") == "0"
        assert unit.ask("SYST:COM:WAT?") == "0"
        assert unit.ask("SYST:COM:WAT?") == "-1"

    def test_valid_commands_feed_it(self, unit: Any) -> None:
        """A question every 0.4 s keeps it alive; nonsense does not."""
        switch_on(unit)
        unit.send("SYST:COM:WAT SET,500")
        for _ in range(5):
            unit.wait(0.4)
            unit.ask("MEAS:CUR?")
        assert unit.ask("OUTP?") == "1"
        unit.wait(0.4)
        unit.send("FOO")
        unit.wait(0.2)
        assert unit.ask("OUTP?") == "0"

    def test_remaining_time(self, unit: Any) -> None:
        """In milliseconds; STOP ends it."""
        unit.send("SYST:COM:WAT SET,500")
        unit.wait(0.1)
        assert unit.ask("SYST:COM:WAT?") == "400"
        unit.send("SYST:COM:WAT STOP")
        assert unit.ask("SYST:COM:WAT?") == "-1"

    def test_expiry_within_a_burst(self, unit: Any) -> None:
        """Shots before it see the current, shots after it see the decay."""
        switch_on(unit)
        unit.wait(1.0)
        unit.laboratory.connect([("unit.output", "gradient.current")])
        unit.send("SYST:COM:WAT SET,1000")
        unit.laboratory.fire("box", unit.laboratory.now(), 0.1, 30)
        unit.wait(3.0)
        unit.laboratory.freeze()
        portions = unit.laboratory.burst.portions
        currents = [one.timeline["gradient.current"][0].value for one in portions]
        assert portions[0].stop in (10, 11)
        assert currents[0] == pytest.approx(100.0, abs=0.01)
        assert currents[-1] == pytest.approx(0.0, abs=1e-3)


class TestSequencer:
    """Programs of steps."""

    def load(self, unit: Any, *steps: str) -> None:
        unit.send("PROG:SEL:NAM ramp")
        unit.send(*(f"PROG:SEL:STE {n} {text}" for n, text in enumerate(steps, start=1)))

    def test_steps_and_waits(self, unit: Any) -> None:
        """10 A for 0.1 s, then 20 A; the last step stays."""
        switch_on(unit, 0.0)
        self.load(unit, "SC=10", "W=0.1", "SC=20")
        unit.send("SYST:REM:CC SEQ", "PROG:SEL:STA RUN")
        unit.wait(0.09)
        assert unit.device.current() == pytest.approx(10.0, rel=1e-2)
        unit.wait(0.1)
        assert unit.device.current() == pytest.approx(20.0, rel=1e-2)
        assert unit.ask("PROG:SEL:STA?") == "STOP"

    def test_trigger(self, unit: Any) -> None:
        """TRG waits for TRIG:IMM."""
        switch_on(unit, 0.0)
        self.load(unit, "TRG", "SC=20")
        unit.send("SYST:REM:CC SEQ", "PROG:SEL:STA RUN")
        unit.wait(1.0)
        assert int(unit.ask("STAT:REG:B?")) & 16
        unit.send("TRIG:IMM")
        unit.wait(0.1)
        assert unit.device.current() == pytest.approx(20.0, rel=1e-2)

    @pytest.mark.parametrize("step", ["SC", "SC=x", "JP=1", "2001 SC=1"])
    def test_unknown_steps(self, unit: Any, step: str) -> None:
        """Refused; jumps are not simulated."""
        unit.send("PROG:SEL:NAM ramp")
        assert unit.error_after(f"PROG:SEL:STE 1 {step}") == "-224"

    def test_read_back(self, unit: Any) -> None:
        """A step answers with its number."""
        self.load(unit, "SC=10")
        assert unit.ask("PROG:SEL:STE 1?") == "1 SC=10"

    def test_source_must_be_the_sequencer(self, unit: Any) -> None:
        """Otherwise RUN is refused."""
        self.load(unit, "SC=10")
        assert unit.error_after("PROG:SEL:STA RUN") == "-221"
