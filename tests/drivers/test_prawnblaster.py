"""PrawnBlaster: driver and simulated Pico in conversation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cavitylab.instruments.drivers.prawnblaster import ClockInstruction, PrawnBlaster
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.registry import laboratory_named

ADDRESS = "ASRL4::INSTR"
Bench = Callable[..., str]
THREE = ClockInstruction(1e-6, 3)


def open_pico(library: str) -> PrawnBlaster:
    return PrawnBlaster("pico", ADDRESS, visalib=library)


def laboratory(library: str) -> Laboratory:
    return laboratory_named(library.removesuffix("@cavitylab"))


@pytest.fixture
def pico(bench: Bench) -> PrawnBlaster:
    pico = open_pico(bench())
    pico.set_clocks(2)
    return pico


class TestPrograms:
    """Upload and read back."""

    def test_loading_only_asks(self, bench: Bench) -> None:
        """Nothing is set on connecting."""
        assert open_pico(bench()).journal.sent() == ["version"]

    def test_serial_line(self, pico: PrawnBlaster) -> None:
        """115200 baud."""
        assert pico.visa_handle.baud_rate == 115_200  # type: ignore[attr-defined]

    def test_upload(self, pico: PrawnBlaster) -> None:
        """In cycles of 10 ns, with a stop behind; the ends are read back."""
        pico.upload(1, [THREE, ClockInstruction.wait(1e-3), ClockInstruction(50e-9, 1)])
        answers = [pico.ask(f"get 1 {place}").strip() for place in range(4)]
        assert answers == ["100 3", "100000 0", "5 1", "0 0"]

    def test_many_instructions(self, pico: PrawnBlaster) -> None:
        """Nearly the whole memory of one of two clocks in one block."""
        pico.upload(0, [ClockInstruction(1e-6 + 1e-8 * (n % 90), 1) for n in range(14_000)])
        assert pico.ask("get 0 13999").strip() == f"{100 + 13999 % 90} 1"

    @pytest.mark.parametrize(
        ("clock", "program"),
        [
            (2, [THREE]),
            (0, []),
            (0, [THREE] * 15_000),
            (0, [ClockInstruction(40e-9, 1)]),
            (0, [ClockInstruction(43.0, 1)]),
            (0, [ClockInstruction(1.004e-6, 1)]),
            (0, [ClockInstruction(1e-6, -1)]),
            (0, [ClockInstruction.wait(50e-9)]),
            (0, [ClockInstruction(float("inf"), 0)]),
        ],
    )
    def test_impossible_programs(
        self, pico: PrawnBlaster, clock: int, program: list[ClockInstruction]
    ) -> None:
        """Unknown clock, empty, too long, too short, off the grid: no program is sent."""
        with pytest.raises(LimitError):
            pico.upload(clock, program)
        assert not any(line.startswith("setb") for line in pico.journal.sent())

    def test_number_of_clocks_first(self, bench: Bench) -> None:
        """The firmware cannot be asked for it."""
        with pytest.raises(LimitError, match="set_clocks"):
            open_pico(bench()).upload(0, [THREE])

    def test_other_order_of_numbers(self, bench: Bench) -> None:
        """A firmware that swaps half period and pulses is found out."""
        fault = "{device: prawn, kind: wrong_value, match: '^get 0 0', value: '3'}"
        pico = open_pico(bench(fault))
        pico.set_clocks(1)
        with pytest.raises(InstrumentError, match="order the two numbers"):
            pico.upload(0, [THREE])

    def test_refused_program(self, bench: Bench) -> None:
        """The words of the firmware; then the link is opened anew."""
        pico = open_pico(bench("{device: prawn, kind: error_queue, match: setb, nth: 1}"))
        pico.set_clocks(1)
        with pytest.raises(InstrumentError, match="invalid request"):
            pico.upload(0, [THREE])
        assert pico.link_is_dirty
        pico.upload(0, [THREE])

    def test_clock(self, pico: PrawnBlaster) -> None:
        """125 MHz: 8 ns a cycle; beyond 133 MHz nothing is sent."""
        pico.set_clock(125e6)
        assert pico.clock_frequency() == 125e6
        pico.upload(0, [ClockInstruction(80e-9, 1)])
        assert pico.ask("get 0 0").strip() == "10 1"
        with pytest.raises(LimitError):
            pico.set_clock(134e6)

    @pytest.mark.parametrize("message", ["program", "debug on"])
    def test_never_sent(self, pico: PrawnBlaster, message: str) -> None:
        """One leaves the firmware, the other spoils every answer."""
        with pytest.raises(LimitError):
            pico.write(message)


class TestRuns:
    """Start, trigger, wait, abort."""

    def test_start(self, pico: PrawnBlaster) -> None:
        """Runs and ends."""
        pico.upload(0, [ClockInstruction(1e-3, 10)])
        pico.start()
        assert pico.run_status() == "running"
        pico.wait(patience=1.0)
        assert pico.run_status() == "manual"

    def test_busy(self, pico: PrawnBlaster) -> None:
        """A second start is refused by the firmware, with its words."""
        pico.upload(0, [ClockInstruction(1e-3, 10)])
        pico.start()
        with pytest.raises(InstrumentError, match="Cannot execute command start"):
            pico.start()

    def test_trigger_that_does_not_come(self, pico: PrawnBlaster) -> None:
        """A time-out that says so; `abort` ends it, and may be repeated."""
        pico.upload(0, [THREE])
        pico.arm()
        with pytest.raises(InstrumentError, match="trigger did not come"):
            pico.wait(patience=1.0)
        pico.abort()
        pico.abort()
        with pytest.raises(InstrumentError, match="aborted"):
            pico.wait(patience=1.0)

    def test_waited(self, pico: PrawnBlaster) -> None:
        """A wait without trigger timed out: None. A wait that is not there: an error."""
        pico.upload(0, [ClockInstruction.wait(1e-3), THREE])
        pico.start()
        pico.wait(patience=1.0)
        assert pico.waited(0, 0, 1e-3) is None
        with pytest.raises(InstrumentError, match="not yet available"):
            pico.waited(0, 1, 1e-3)

    def test_levels_and_pins(self, pico: PrawnBlaster) -> None:
        """By hand."""
        pico.set_level(0, True)
        pico.set_pins(0, 18, 19)
        assert pico.ask("getoutpin 0").strip() == "18"
        with pytest.raises(InstrumentError, match="cannot be the same"):
            pico.set_pins(0, 19, 18)


class TestFaults:
    """Never a second start, never a forgotten program."""

    def test_lost_answer_to_start(self, bench: Bench) -> None:
        """Not sent again; the run is found running."""
        pico = open_pico(bench("{device: prawn, kind: mute, match: '^start', nth: 1}"))
        pico.set_clocks(1)
        pico.upload(0, [ClockInstruction(1e-3, 10_000)])
        with pytest.raises(LinkError):
            pico.start()
        assert pico.journal.sent().count("start") == 1
        assert pico.run_status() == "running"

    def test_restart_is_found_out(self, bench: Bench) -> None:
        """After power-on the programs are gone: compared after a lost answer."""
        library = bench("{device: prawn, kind: mute, match: '^status', nth: 1}")
        pico = open_pico(library)
        pico.set_clocks(1)
        pico.upload(0, [THREE])
        laboratory(library).devices["prawn"].power_on()  # type: ignore[attr-defined]
        with pytest.raises(InstrumentError, match="get 0 0 answers '0 0"):
            pico.run_status()
