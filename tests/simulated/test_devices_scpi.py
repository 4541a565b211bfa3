"""The simulated SCPI instruments: grammar, errors, the counter's memory, the coil's current."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavitylab.instruments.simulated.devices.coil import Coil
from cavitylab.instruments.simulated.devices.kepco_bop import KepcoBOP
from cavitylab.instruments.simulated.devices.keysight_53220a import Keysight53220A
from cavitylab.instruments.simulated.devices.scpi import ScpiDevice
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.links import Link, ReadEnd


class Bench:
    """One instrument and a link to it."""

    def __init__(self, model: type[ScpiDevice]) -> None:
        self.laboratory = Laboratory()
        self.device = model("unit", self.laboratory)
        self.laboratory.add(self.device)
        self.link = self.open()

    def open(self) -> Link:
        return Link(self.laboratory, self.device, "here", framed=False)

    def send(self, *messages: str) -> None:
        for message in messages:
            self.link.write(message.encode() + b"\n")

    def ask(self, question: str, link: Link | None = None) -> str:
        link = link or self.link
        link.write(question.encode() + b"\n")
        data, why = link.read(1_000_000, b"\n", 1.0)
        assert why is ReadEnd.TERMINATOR, f"no answer to {question}"
        return data[:-1].decode()

    def error_after(self, message: str) -> str:
        self.send(message)
        return self.ask("SYST:ERR?").split(",")[0]


@pytest.fixture
def counter() -> Bench:
    """A counter after reset."""
    return Bench(Keysight53220A)


@pytest.fixture
def supply() -> Bench:
    """A coil supply after reset."""
    return Bench(KepcoBOP)


class TestGrammar:
    """What every SCPI instrument understands."""

    @pytest.mark.parametrize(
        "header",
        ["SAMP:COUN", "SAMPLE:COUNT", ":samp:count", "Sample:Coun"],
    )
    def test_short_and_long_forms(self, counter: Bench, header: str) -> None:
        """Short or long, any case, with or without the leading colon."""
        counter.send(f"{header} 12")
        assert counter.ask(f"{header}?") == "+12"

    @pytest.mark.parametrize("header", ["SAMPL:COUN", "SAMP:COUNTS", "SAM:COUN", "FOO"])
    def test_nothing_in_between(self, counter: Bench, header: str) -> None:
        """Half words are undefined headers."""
        assert counter.error_after(f"{header} 12") == "-113"

    def test_optional_nodes(self, counter: Bench) -> None:
        """`SENS:` and `:ABS` may be left out."""
        counter.send("SENS:TOT:GATE:POL POS")
        assert counter.ask("TOT:GATE:POL?") == "POS"
        counter.send("INP2:LEV:ABS 0.5")
        assert float(counter.ask("INP2:LEV?")) == 0.5

    def test_compound_messages(self, counter: Bench) -> None:
        """After `;` the path goes on; a colon returns to the root; answers are joined."""
        assert counter.ask("INP1:COUP DC;IMP 50;:SAMP:COUN 3;:INP1:COUP?;IMP?;:SAMP:COUN?") == (
            "DC;+5.00000000000000E+001;+3"
        )
        assert counter.error_after("INP1:COUP AC;SAMP:COUN 4") == "-113"

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("10ms", 0.01),
            ("10 MS", 0.01),
            ("2", 2.0),
            ("1e-3 S", 1e-3),
            ("MAX", 3600.0),
            ("MIN", 0),
        ],
    )
    def test_units(self, counter: Bench, text: str, value: float) -> None:
        """M is milli; MIN and MAX stand for the ends of the range."""
        counter.send(f"TRIG:DEL {text}")
        assert float(counter.ask("TRIG:DEL?")) == pytest.approx(value)

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ("SAMP:COUN", "-109"),
            ("SAMP:COUN 1,2", "-108"),
            ("SAMP:COUN many", "-104"),
            ("SAMP:COUN 0", "-222"),
            ("TRIG:DEL 1 V", "-131"),
            ("TRIG:SOUR MOON", "-224"),
            ("INP3:COUP DC", "-113"),
        ],
    )
    def test_errors(self, counter: Bench, message: str, code: str) -> None:
        """Each mistake has its code; the queue is empty afterwards."""
        assert counter.error_after(message) == code
        assert counter.ask("SYST:ERR?") == '+0,"No error"'

    def test_queue_overflow(self, supply: Bench) -> None:
        """Twenty entries, the last says overflow."""
        supply.send(*["FOO"] * 30)
        codes = [supply.ask("SYST:ERR?").split(",")[0] for _ in range(21)]
        assert codes[18:] == ["-113", "-350", "0"]

    def test_event_status(self, supply: Bench) -> None:
        """Power on, then command and execution errors."""
        assert supply.ask("*ESR?") == "128"
        supply.send("FOO", "CURR 1000")
        assert supply.ask("*ESR?") == str(32 + 16)

    @given(st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=30))
    def test_any_text_is_survived(self, text: str) -> None:
        """Whatever is sent, the instrument answers the next question."""
        bench = Bench(KepcoBOP)
        bench.link.write(text.encode() + b"\n*CLS\n")
        bench.link.clear()
        assert bench.ask("SYST:ERR?") == '0,"No error"'


class TestCounter:
    """What only the 53220A does."""

    def test_errors_are_kept_for_each_session(self, counter: Bench) -> None:
        """Another session does not see my mistakes."""
        other = counter.open()
        counter.send("FOO")
        assert counter.ask("SYST:ERR?", other) == '+0,"No error"'
        assert counter.ask("SYST:ERR?").startswith("-113")

    def test_configure_resets_gate_and_samples(self, counter: Bench) -> None:
        """CONF leaves coupling and impedance, switches auto-level off, resets the rest."""
        counter.send("INP1:COUP DC;IMP 50", "TOT:GATE:SOUR EXT", "SAMP:COUN 9", "CONF:TOT:TIM 1E-3")
        answers = [counter.ask(f"{q}?") for q in ("INP1:COUP", "INP1:LEV:AUTO", "TOT:GATE:SOUR")]
        assert answers == ["DC", "0", "TIME"]
        assert (counter.ask("SAMP:COUN?"), counter.ask("TOT:GATE:POL?")) == ("+1", "NEG")

    def test_nothing_started_gives_no_answer(self, counter: Bench) -> None:
        """`R?` before INIT: error -230 and silence."""
        counter.send("CONF:TOT:TIM 1E-3", "R?")
        assert counter.link.read(100, b"\n", 1.0)[1] is ReadEnd.TIMEOUT
        assert counter.ask("SYST:ERR?").startswith("-230")

    def test_empty_block(self, counter: Bench) -> None:
        """`R?` while waiting for gates answers an empty block."""
        counter.send("CONF:TOT:TIM 1E-3", "TOT:GATE:SOUR EXT", "INIT")
        assert counter.ask("R?") == "#10"
        assert counter.ask("DATA:POIN?") == "+0"

    def test_second_init_is_ignored(self, counter: Bench) -> None:
        """INIT while measuring is error -213."""
        counter.send("CONF:TOT:TIM 1E-3", "TOT:GATE:SOUR EXT", "INIT")
        assert counter.error_after("INIT") == "-213"
        counter.send("ABOR", "INIT")
        assert counter.ask("SYST:ERR?") == '+0,"No error"'

    def test_fetch_without_gates_never_answers(self, counter: Bench) -> None:
        """Nothing under way: FETC? waits to the time-out."""
        counter.send("CONF:TOT:TIM 1E-3", "TOT:GATE:SOUR EXT", "INIT", "FETC?")
        assert counter.link.read(100, b"\n", 5.0)[1] is ReadEnd.TIMEOUT
        assert counter.laboratory.now() == pytest.approx(5.0)

    def test_gate_in_excludes_gate_out(self, counter: Bench) -> None:
        """The BNC is one or the other."""
        counter.send("CONF:TOT:TIM 1E-3", "TOT:GATE:SOUR EXT", "OUTP ON")
        assert counter.error_after("INIT") == "-221"

    def test_level_on_its_grid(self, counter: Bench) -> None:
        """2.5 mV steps; setting it switches auto-level off."""
        counter.send("INP1:LEV 1.0013")
        assert float(counter.ask("INP1:LEV?")) == pytest.approx(1.0025)
        assert counter.ask("INP1:LEV:AUTO?") == "0"

    def test_only_totalize_is_simulated(self, counter: Bench) -> None:
        """After reset the function is frequency: INIT is refused honestly."""
        assert counter.error_after("INIT") == "-221"


class TestCoil:
    """The supply and the current it drives."""

    def test_identity_and_numbers(self, supply: Bench) -> None:
        """Short mantissas, exponents without zeros."""
        assert supply.ask("*IDN?").startswith("KEPCO,BOP")
        supply.send("FUNC:MODE CURR", "CURR -2.71")
        assert supply.ask("CURR?") == "-2.71E0"
        assert supply.ask("FUNC:MODE?") == "1"

    def test_output_must_be_on(self, supply: Bench) -> None:
        """A set current flows only with the output on and a compliance voltage."""
        supply.send("FUNC:MODE CURR", "VOLT 10", "CURR 4")
        supply.laboratory.clock.wait(1.0)
        assert supply.device.current() == 0.0
        supply.send("OUTP ON")
        supply.laboratory.clock.wait(1.0)
        assert supply.device.current() == pytest.approx(4.0, abs=1e-6)
        assert float(supply.ask("MEAS:CURR?")) == pytest.approx(4.0, abs=6 * 28 * 2e-4)
        assert float(supply.ask("MEAS:VOLT?")) == pytest.approx(3.2, abs=6 * 36 * 2e-4)

    def test_settling_is_shown(self, supply: Bench) -> None:
        """Bits 0 and 1 of the condition register are set while the current moves."""
        supply.send("FUNC:MODE CURR", "VOLT 10", "CURR 4", "OUTP ON")
        assert supply.ask("STAT:QUES:COND?") == "3"
        supply.laboratory.clock.wait(1.0)
        assert supply.ask("STAT:QUES:COND?") == "0"

    @pytest.mark.parametrize("message", ["CURR 29", "VOLT 37", "CURR -29", "LIST:CURR 1,2,30"])
    def test_above_rating(self, supply: Bench, message: str) -> None:
        """Refused with -222; the old value stays."""
        assert supply.error_after(message) == "-222"
        assert supply.ask("CURR?") == "0.0E0"

    def test_software_limits(self, supply: Bench) -> None:
        """CURR:LIM holds for both signs, POS and NEG for one."""
        supply.send("CURR:LIM 5", "CURR:LIM:NEG -1")
        assert supply.error_after("CURR 5.1") == "-222"
        assert supply.error_after("CURR -1.1") == "-222"
        supply.send("CURR 4.9")
        assert supply.ask("SYST:ERR?") == '0,"No error"'

    def test_list(self, supply: Bench) -> None:
        """A list runs its dwell times and stays at the last step; no LIST command meanwhile."""
        supply.send("FUNC:MODE CURR;:VOLT 20;:OUTP ON", "LIST:CLE", "LIST:DWEL 0.1")
        supply.send("LIST:CURR 1,2", "LIST:CURR 3", "CURR:MODE LIST")
        assert supply.error_after("LIST:CLE") == "-221"
        for expected in (1.0, 2.0, 3.0, 3.0):
            supply.laboratory.clock.wait(0.0999)
            assert supply.device.current() == pytest.approx(expected, abs=1e-3)

    def test_list_lengths_must_agree(self, supply: Bench) -> None:
        """One dwell time, or one each."""
        supply.send("FUNC:MODE CURR", "LIST:CURR 1,2,3", "LIST:DWEL 0.1,0.1")
        assert supply.error_after("CURR:MODE LIST") == "-226"

    def test_closed_form_solves_the_circuit(self) -> None:
        """The current agrees with a fine integration of L dI/dt = V - R I to 0.1 %."""
        coil = Coil(resistance=0.8, inductance=4e-3, loop_time=1e-3)
        coil.want(0.0, 10.0, "current", 12.0)
        current, step = 0.0, 1e-7
        for number in range(60_000):
            wish = 0.8 * 10.0 + (10.0 - current) * 4e-3 / 1e-3
            voltage = max(-12.0, min(12.0, wish))
            current += step * (voltage - 0.8 * current) / 4e-3
            if number % 10_000 == 9_999:
                assert coil.at((number + 1) * step) == pytest.approx(current, rel=1e-3)

    def test_slewing_is_limited_by_the_compliance(self) -> None:
        """The first millisecond of a large step rises by V t / L."""
        coil = Coil(resistance=0.0 + 1e-9, inductance=10e-3, loop_time=1e-4)
        coil.want(0.0, 5.0, "current", 10.0)
        assert coil.at(1e-3) == pytest.approx(1.0, rel=1e-3)

    def test_compliance_below_the_need(self) -> None:
        """With 2 V on 1 ohm a wish of 5 A ends at 2 A."""
        coil = Coil(resistance=1.0, inductance=1e-3, loop_time=1e-3)
        coil.want(0.0, 5.0, "current", 2.0)
        assert coil.at(1.0) == pytest.approx(2.0)

    def test_output_off_decays(self, supply: Bench) -> None:
        """After OUTP OFF the current decays with L/R = 5 ms."""
        supply.send("FUNC:MODE CURR;:VOLT 10;:CURR 4;:OUTP ON")
        supply.laboratory.clock.wait(1.0)
        supply.send("OUTP OFF")
        supply.laboratory.clock.wait(5e-3)
        assert supply.device.current() == pytest.approx(4.0 / math.e, rel=1e-3)
