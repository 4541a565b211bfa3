"""The simulated XRF: one answer a line, words of the registers, the table's state machine."""

from __future__ import annotations

import pytest

from cavitylab.instruments.simulated.devices.moglabs_xrf import MOGLabsXRF
from cavitylab.instruments.simulated.devices.xrf_channel import (
    Entry,
    Words,
    XRFChannel,
    amplitude_word,
    frequency_word,
)
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.lines import Stretch
from cavitylab.instruments.simulated.links import Link, ReadEnd


class Bench:
    """One XRF and a link to it."""

    def __init__(self) -> None:
        self.laboratory = Laboratory()
        self.device = MOGLabsXRF("rf", self.laboratory)
        self.laboratory.add(self.device)
        self.link = Link(self.laboratory, self.device, "here", framed=False)

    def ask(self, line: str) -> str:
        self.link.write(line.encode() + b"\r\n")
        data, why = self.link.read(10_000, b"\n", 1.0)
        assert why is ReadEnd.TERMINATOR
        assert data.endswith(b"\r\n")
        return data[:-2].decode()

    def table(self, *entries: str, rearm: bool = True) -> None:
        lines = ["MODE,1,TSB", "TABLE,CLEAR,1"]
        lines += [f"TABLE,APPEND,1,{entry}" for entry in entries]
        lines += [f"TABLE,REARM,1,{'on' if rearm else 'off'}", "TABLE,ARM,1"]
        for line in lines:
            assert self.ask(line).startswith("OK"), line


@pytest.fixture
def bench() -> Bench:
    """An XRF just switched on."""
    return Bench()


@pytest.mark.parametrize(
    "line", ["FREQ,1,80MHz", "ON,1", "nonsense", "FREQ,7", "STATUS", "TABLE,CLEAR,2", "INFO"]
)
def test_each_line_gets_exactly_one_line(bench: Bench, line: str) -> None:
    """Commands, questions and mistakes alike."""
    bench.ask(line)
    assert not bench.link.pending


def test_frequency_is_rounded_to_the_register(bench: Bench) -> None:
    """80 MHz becomes the word 0x147AE148, in the acknowledgement and in the question."""
    acknowledged = bench.ask("FREQ,1,80MHz")
    assert acknowledged == "OK: CH1 freq now 80.00000007 MHz (0x147AE148)"
    assert bench.ask("freq,1") == "80.00000007 MHz (0x147AE148)"


@pytest.mark.parametrize("text", ["80", "80 MHz", "80000kHz", "8e7Hz", "0x147AE148"])
def test_frequency_units(bench: Bench, text: str) -> None:
    """MHz unless it says otherwise; 0x is the word itself."""
    assert bench.ask(f"FREQ,2,{text}").endswith("(0x147AE148)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("24", "+24.00"), ("24 dBm", "+24.00"), ("250mW", "+23.98"), ("1 W", "+30.00")],
)
def test_power_units_and_sign(bench: Bench, text: str, shown: str) -> None:
    """dBm unless it says otherwise; the sign is always printed."""
    bench.ask(f"POW,1,{text}")
    assert bench.ask("POW,1").startswith(f"{shown} dBm (0x")
    assert bench.ask("POW,1,24") == "OK: CH1 power now +24.00 dBm (0x1000)"


@pytest.mark.parametrize(
    "line",
    ["FREQ,1,10MHz", "FREQ,1,80 parsec", "POW,1,31", "FREQ,3", "MODE,1,XYZ", "TABLE,FOO,1",
     "TABLE,START,1", "TABLE,ARM,1", "ON,1,LASER"],
)  # fmt: skip
def test_refusals_begin_with_err(bench: Bench, line: str) -> None:
    """Out of range, unknown, or not possible now."""
    assert bench.ask(line).startswith("ERR: ")


def test_lowering_the_limit_lowers_the_power(bench: Bench) -> None:
    """The ceiling holds for what is set already and for what comes."""
    bench.ask("POW,1,29")
    assert bench.ask("LIMIT,1,20dBm").startswith("OK")
    assert bench.ask("POW,1").startswith("+20.00")
    assert bench.ask("POW,1,21").startswith("ERR")
    assert bench.ask("MODE,1,TSB").startswith("OK")
    assert bench.ask("TABLE,APPEND,1,80MHz,21dBm,0,1us").startswith("ERR")


def test_mode_switches_off_and_arm_switches_on(bench: Bench) -> None:
    """The two commands that change the RF without saying so."""
    bench.ask("ON,1")
    assert "SIG: ON" in bench.ask("STATUS,1")
    bench.ask("MODE,1,TSB")
    assert "SIG: OFF" in bench.ask("STATUS,1")
    bench.ask("TABLE,APPEND,1,80MHz,20dBm,0deg,10us")
    assert bench.ask("TABLE,ARM,1").startswith("OK")
    assert "SIG: ON" in bench.ask("STATUS,1")


def test_arm_needs_pins_in_auto(bench: Bench) -> None:
    """A pin under manual control forbids arming."""
    bench.ask("MODE,1,TSB")
    bench.ask("TABLE,APPEND,1,80MHz,20dBm,0deg,10us")
    bench.ask("EXTIO,MODE,1,SEQ,MANUAL")
    assert bench.ask("TABLE,ARM,1").startswith("ERR")
    bench.ask("EXTIO,MODE,1,SEQ,AUTO")
    assert bench.ask("TABLE,ARM,1").startswith("OK")


@pytest.mark.parametrize("entry", ["80,20,0,0us", "80,20,0,2s", "80,20,0", "80,20,0,10us,TRIG"])
def test_bad_entries_are_refused(bench: Bench, entry: str) -> None:
    """Durations off the range, missing fields, flags that are not simulated."""
    bench.ask("MODE,1,TSB")
    assert bench.ask(f"TABLE,APPEND,1,{entry}").startswith("ERR")
    assert bench.ask("TABLE,ENTRIES,1") == "0"


def test_table_started_by_command(bench: Bench) -> None:
    """START runs the table once; then the last entry is held and the table is idle."""
    bench.table("80MHz,20dBm,0deg,300us", "80MHz,10dBm,0deg,1us", rearm=False)
    assert bench.ask("TABLE,STATUS,1") == "ARMED"
    assert bench.ask("TABLE,START,1").startswith("OK")
    assert bench.ask("TABLE,STATUS,1") == "RUNNING"
    bench.laboratory.clock.wait(1e-3)
    assert bench.ask("TABLE,STATUS,1") == "IDLE"
    held = bench.device.channels[1].held
    assert held is not None
    assert held.power_dbm == pytest.approx(10.0, abs=0.01)


def tone(dbm: float = 20.0) -> Words:
    return Words(frequency_word(80e6), amplitude_word(dbm), 0)


def armed_channel(*microseconds: int, rearm: bool = True, dark_end: bool = True) -> XRFChannel:
    channel = XRFChannel(30.0)
    channel.set_mode("TSB")
    channel.rearm = rearm
    channel.table = [Entry(tone(20.0 - number), us) for number, us in enumerate(microseconds)]
    if dark_end:
        channel.table.append(Entry(Words(0, 0, 0), 1))
    channel.arm()
    return channel


def windows(stretches: tuple[Stretch, ...]) -> list[tuple[float, float]]:
    return [(round(one.start, 9), round(one.stop, 9)) for one in stretches]


def test_entries_last_their_durations_from_the_edge() -> None:
    """Entry i begins where entry i-1 ends, on the grid of 1 us, counted from the start edge."""
    played = armed_channel(100, 50).run(0.0, 1e-2, [2e-3])
    assert windows(played) == [(2e-3, 2.1e-3), (2.1e-3, 2.15e-3)]


def test_rearmed_table_plays_every_shot() -> None:
    """With REARM each T0 starts it again; without, only the first."""
    again, once = armed_channel(100), armed_channel(100, rearm=False)
    for number in range(3):
        assert windows(again.run(number * 1e-2, 1e-2, [0.0])) == [(0.0, 1e-4)]
        assert windows(once.run(number * 1e-2, 1e-2, [0.0])) == (
            [(0.0, 1e-4)] if not number else []
        )


def test_last_entry_is_held() -> None:
    """A table that does not end dark leaves its last tone on, shot after shot."""
    channel = armed_channel(100, 50, dark_end=False)
    first = channel.run(0.0, 1e-2, [0.0])
    assert first[-1].stop == 1e-2
    second = channel.run(1e-2, 1e-2, [5e-3])
    assert second[0].value == first[-1].value
    assert windows(second)[0] == (0.0, 5e-3)


def test_edges_during_a_table_do_nothing() -> None:
    """A table longer than the period goes on through the next T0."""
    channel = armed_channel(15_000)
    assert windows(channel.run(0.0, 1e-2, [0.0])) == [(0.0, 1e-2)]
    assert windows(channel.run(1e-2, 1e-2, [0.0])) == [(0.0, 5e-3)]
    assert windows(channel.run(2e-2, 1e-2, [0.0])) == [(0.0, 1e-2)]


def test_no_edge_no_table() -> None:
    """Armed but never triggered stays dark."""
    assert armed_channel(100).run(0.0, 1e-2, []) == ()


def test_switched_off_channel_is_dark() -> None:
    """OFF after ARM: the table runs, nothing leaves the switch."""
    channel = armed_channel(100)
    channel.signal = False
    assert channel.run(0.0, 1e-2, [0.0]) == ()


def test_off_flag_is_dark() -> None:
    """An entry flagged OFF is a gap."""
    channel = armed_channel(100, 100, 100)
    channel.table[1] = Entry(tone(), 100, off=True)
    assert windows(channel.run(0.0, 1e-2, [0.0])) == [(0.0, 1e-4), (2e-4, 3e-4)]
