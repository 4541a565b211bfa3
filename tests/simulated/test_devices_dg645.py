"""The simulated DG645 speaks the DG645's language, mistakes included."""

from __future__ import annotations

import pytest

from cavitylab.instruments.simulated.devices.srs_dg645 import SRSDG645
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.links import Link, ReadEnd


class Bench:
    """One DG645 and a link to it."""

    def __init__(self) -> None:
        self.laboratory = Laboratory()
        self.device = SRSDG645("timing", self.laboratory)
        self.laboratory.add(self.device)
        self.link = Link(self.laboratory, self.device, "here", framed=False)

    def send(self, *messages: str) -> None:
        for message in messages:
            self.link.write(message.encode() + b"\n")

    def ask(self, question: str) -> str:
        self.send(question)
        data, why = self.link.read(10_000, b"\n", 1.0)
        assert why is ReadEnd.TERMINATOR, f"no answer to {question}"
        assert data.endswith(b"\r\n")
        return data[:-2].decode()

    def error_after(self, message: str) -> int:
        """The error code that a message leaves."""
        self.send(message)
        return int(self.ask("LERR?"))


@pytest.fixture
def bench() -> Bench:
    """A DG645 as it comes from reset."""
    return Bench()


def test_identity_and_reset_state(bench: Bench) -> None:
    """Single shot, 2.5 V positive outputs, B follows A by 10 ns."""
    assert bench.ask("*IDN?").startswith("Stanford Research Systems,DG645,")
    assert [bench.ask(q) for q in ("TSRC?", "LAMP?1", "LPOL?0", "BURM?", "BURC?")] == [
        "5", "+2.50", "1", "0", "5",
    ]  # fmt: skip
    assert bench.ask("DLAY?2") == "0,+0.000000000000"
    assert bench.ask("DLAY?3") == "2,+0.000000010000"


def test_delay_is_printed_with_its_reference(bench: Bench) -> None:
    """`DLAY 3,2,1e-3` answers channel and twelve decimals; spaces and case do not matter."""
    bench.send("dlay 3, 2 ,1e-3")
    assert bench.ask("DLAY? 3") == "2,+0.001000000000"


def test_several_commands_in_a_line(bench: Bench) -> None:
    """`;` ends a command."""
    bench.send("BURC 7;BURM 1;TSRC 5")
    assert bench.ask("BURC?") == "7"


def test_links_resolve_through_channels(bench: Bench) -> None:
    """A moves everything that follows it."""
    bench.send("DLAY 2,0,1e-3", "DLAY 3,2,2e-3", "DLAY 4,3,3e-3")
    assert bench.device.delays.time_of(4) == pytest.approx(6e-3)
    bench.send("DLAY 2,0,5e-3")
    assert bench.device.delays.time_of(4) == pytest.approx(10e-3)


def test_delays_are_multiples_of_five_picoseconds(bench: Bench) -> None:
    """12 ps becomes 10 ps."""
    bench.send("DLAY 2,0,12E-12")
    assert bench.ask("DLAY?2") == "0,+0.000000000010"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("FOOO 1", 111),
        ("!", 110),
        ("*TRG?", 112),
        ("*IDN", 113),
        ("BURC", 116),
        ("BURC 1,2", 115),
        ("BURC x", 120),
        ("BURP x", 118),
        ("BURC 0", 10),
        ("LAMP 7,3", 10),
        ("LAMP 1,,3", 114),
        ("DLAY 0,2,1", 13),
        ("DLAY 2,3,1", 13),
        ("DLAY 2,0,2001", 12),
        ("DLAY 2,0,-1", 12),
        ("*RCL 3", 14),
    ],
)
def test_error_codes(bench: Bench, message: str, code: int) -> None:
    """Each mistake has the code of the manual, and is taken once."""
    assert bench.error_after(message) == code
    assert bench.ask("LERR?") == "0"


def test_amplitude_and_offset_stay_below_six_volts(bench: Bench) -> None:
    """4.5 V on top of 1.5 V is refused."""
    bench.send("LOFF 1,1.5")
    assert bench.error_after("LAMP 1,4.5") == 10


def test_twentieth_error_says_too_many(bench: Bench) -> None:
    """The queue holds 20; the last is 254."""
    bench.send(*["FOOO"] * 25)
    codes = [bench.ask("LERR?") for _ in range(21)]
    assert codes == ["111"] * 19 + ["254", "0"]


def test_event_status(bench: Bench) -> None:
    """Power-on bit first, then command and execution errors; reading clears."""
    assert bench.ask("*ESR?") == "128"
    bench.send("FOOO", "BURC 0")
    assert bench.ask("*ESR?") == str(32 + 16)
    assert bench.ask("*ESR?") == "0"


def test_trigger_needs_single_shot(bench: Bench) -> None:
    """`*TRG` in source 1 is error 11 and starts nothing."""
    bench.send("TSRC 1")
    assert bench.error_after("*TRG") == 11
    assert bench.ask("*STB?") == "0"


def start_burst(bench: Bench, count: int = 4, period: float = 0.1) -> None:
    bench.send("DLAY 3,2,20e-3", f"BURC {count}", f"BURP {period}", "BURM 1", "*TRG")


def test_burst_runs_its_time(bench: Bench) -> None:
    """BUSY while a cycle runs, BURST to the end; flags are set once by each event."""
    start_burst(bench)
    assert bench.ask("*STB?") == "6"
    bench.laboratory.clock.wait(0.05)
    assert bench.ask("*STB?") == "4"
    assert bench.ask("INSR?") == str(1 + 4)
    assert bench.ask("INSR?") == "0"
    bench.laboratory.clock.wait(0.36)
    assert bench.ask("*STB?") == "0"
    assert bench.ask("INSR?") == str(4 + 8)
    assert bench.laboratory.next_shot == 4


def test_writing_a_delay_aborts_the_burst(bench: Bench) -> None:
    """ABORT_DELAY, and the shots not yet begun never happen."""
    start_burst(bench)
    bench.laboratory.clock.wait(0.15)
    bench.send("DLAY 2,0,1e-3")
    assert int(bench.ask("INSR?")) & 32
    assert bench.ask("*STB?") == "0"
    assert bench.laboratory.next_shot == 2


def test_refused_delay_aborts_nothing(bench: Bench) -> None:
    """A command in error does not disturb the burst."""
    start_burst(bench)
    assert bench.error_after("DLAY 2,0,-1") == 12
    assert not int(bench.ask("INSR?")) & 32


def test_trigger_while_busy_sets_rate(bench: Bench) -> None:
    """A second trigger during a burst is not obeyed."""
    start_burst(bench)
    bench.send("*TRG")
    assert int(bench.ask("INSR?")) & 2
    assert bench.laboratory.next_shot == 4


def test_period_shorter_than_the_cycle_loses_triggers(bench: Bench) -> None:
    """With 15 ms period and a 20 ms cycle every second trigger is lost, and RATE says so."""
    start_burst(bench, count=6, period=15e-3)
    assert int(bench.ask("INSR?")) & 2
    burst = bench.laboratory.burst
    assert burst is not None
    assert (burst.count, burst.period) == (3, pytest.approx(30e-3))


def test_external_edges(bench: Bench) -> None:
    """Source 3 is armed by `*TRG` for one rising edge."""
    bench.send("TSRC 3")
    bench.device.external_edge()
    assert bench.laboratory.next_shot == 0
    bench.send("*TRG")
    bench.device.external_edge(rising=False)
    assert bench.laboratory.next_shot == 0
    bench.device.external_edge()
    bench.device.external_edge()
    assert bench.laboratory.next_shot == 1


def test_lock_keeps_other_sessions_out(bench: Bench) -> None:
    """While one session owns the unit, commands of others are error 15."""
    other = Link(bench.laboratory, bench.device, "there", framed=False)
    assert bench.ask("LOCK?") == "1"
    other.write(b"BURC 9\n")
    assert bench.ask("LERR?") == "15"
    assert bench.ask("BURC?") == "5"
    assert bench.ask("UNLK?") == "1"


def test_save_and_recall(bench: Bench) -> None:
    """A stored setting comes back; `*RCL 0` is the reset state."""
    bench.send("BURC 9", "DLAY 2,0,1e-3", "*SAV 2", "*RST")
    assert bench.ask("BURC?") == "5"
    bench.send("*RCL 2")
    assert (bench.ask("BURC?"), bench.ask("DLAY?2")) == ("9", "0,+0.001000000000")
    bench.send("*RCL 0")
    assert bench.ask("DLAY?2") == "0,+0.000000000000"


def test_terminator_can_be_chosen(bench: Bench) -> None:
    """`XTRM 10` makes this session's answers end with LF alone."""
    bench.send("XTRM 10")
    bench.link.write(b"BURC?\n")
    assert bench.link.read(100, b"\n", 1.0)[0] == b"5\n"


def plugged(period: float, first: float, count: int = 0) -> Bench:
    """A DG645 with another control system at its trigger input."""
    bench = Bench()
    settings = {"trigger_period": period, "trigger_first": first, "trigger_count": count}
    bench.laboratory = Laboratory()
    bench.device = SRSDG645("timing", bench.laboratory, settings)
    bench.laboratory.add(bench.device)
    bench.link = Link(bench.laboratory, bench.device, "here", framed=False)
    return bench


def test_edges_of_another_control_system_come_by_the_clock() -> None:
    """Armed at 0.3 s, the burst begins with the edge at 0.5 s, however late it is looked at."""
    bench = plugged(period=0.4, first=0.1)
    bench.send("TSRC 3", "BURM 1", "BURC 3", "BURP 0.01")
    bench.laboratory.clock.wait(0.3)
    bench.send("*TRG")
    bench.laboratory.clock.wait(0.1)
    assert int(bench.ask("INSR?")) & 1 == 0
    bench.laboratory.clock.wait(5.0)
    assert int(bench.ask("INSR?")) & 1
    burst = bench.laboratory.burst
    assert burst is not None
    assert (burst.start, burst.count) == (pytest.approx(0.5), 3)
    assert bench.laboratory.next_shot == 3


def test_a_box_that_is_not_armed_singly_obeys_every_edge_until_they_stop() -> None:
    """Source 1: a cycle for each of the edges that came since, none after the fifth."""
    bench = plugged(period=0.2, first=0.0, count=5)
    bench.send("TSRC 1")
    for _ in range(30):
        bench.laboratory.clock.wait(0.05)
        bench.ask("*STB?")
    assert bench.laboratory.next_shot == 4, "the edge at 0 s came before the source was chosen"
