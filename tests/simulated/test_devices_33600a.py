"""The simulated waveform generator: blocks, memory, voltages, bursts, sequences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cavitylab.instruments.simulated.devices.keysight_33600a import Keysight33600A
from cavitylab.instruments.simulated.devices.scpi_blocks import BlockScpiDevice
from cavitylab.instruments.simulated.devices.waveform_output import Part, Samples, bursts
from cavitylab.instruments.simulated.laboratory import Laboratory
from cavitylab.instruments.simulated.lines import RFTone, value_at

RAMP = np.linspace(-1.0, 1.0, 11)


@pytest.fixture
def unit(device_bench: Callable[..., Any]) -> Any:
    """A generator whose Ext Trig is wired to a pulse box."""
    return device_bench(Keysight33600A, [("box.out", "unit.trigger")], memory=1000)


def block(points: Any, form: str = "<f4") -> bytes:
    data = np.asarray(points).astype(form).tobytes()
    length = str(len(data))
    return f"#{len(length)}{length}".encode() + data


def load(unit: Any, name: str, points: Any) -> None:
    unit.send("FORM:BORD SWAP", f"SOUR1:DATA:ARB {name},".encode() + block(points))


def arm(unit: Any, name: str = "ramp", cycles: str = "1") -> None:
    """2 Vpp on 50 ohm, 1 MSa/s, burst at each rising edge."""
    unit.send(f"FUNC:ARB {name};:FUNC ARB;:FUNC:ARB:SRAT 1E6;:VOLT 2;:BURS:NCYC {cycles}")
    unit.send("TRIG1:SOUR EXT;:BURS:STAT ON;:OUTP1 ON")


def wire_in_shot(unit: Any, terminal: str = "ch1", period: float = 10e-3) -> Any:
    """What the output does in a shot that begins now."""
    burst = unit.laboratory.fire("box", unit.laboratory.now(), period, 1)
    shot = unit.laboratory._shot(burst, 0)
    return unit.device.signal(terminal, shot)


class TestBlocks:
    """Any byte may be inside a block."""

    def test_floats_in_both_orders(self, unit: Any) -> None:
        """Little-endian after FORM:BORD SWAP, big-endian as after reset."""
        unit.send(b"SOUR1:DATA:ARB big," + block(RAMP, ">f4"))
        load(unit, "little", RAMP)
        assert unit.ask("SYST:ERR?") == '+0,"No error"'
        waveforms = unit.device.channels[1].memory.waveforms
        assert waveforms["big"] == pytest.approx(RAMP, abs=1e-6)
        assert waveforms["little"] == pytest.approx(RAMP, abs=1e-6)

    def test_dac_words(self, unit: Any) -> None:
        """16-bit integers, full scale 32767; as text too."""
        unit.send(b"SOUR1:DATA:ARB:DAC words," + block(RAMP * 32767, ">i2"))
        unit.send("SOUR1:DATA:ARB:DAC text," + ",".join(str(int(32767 * v)) for v in RAMP))
        waveforms = unit.device.channels[1].memory.waveforms
        assert waveforms["words"] == pytest.approx(RAMP, abs=1e-4)
        assert waveforms["text"] == pytest.approx(RAMP, abs=1e-4)

    def test_line_feeds_and_quotes_inside(self, unit: Any) -> None:
        """Bytes 0x0A and 0x22 in the data end nothing; the next message is understood."""
        tricky = np.frombuffer(b"\x0a\x0a\x22\x3e" * 8, dtype="<f4")
        load(unit, "tricky", tricky)
        assert unit.ask("DATA:ATTR:POIN? tricky") == "+8"

    @given(st.lists(st.binary(max_size=40), max_size=4), st.integers(1, 7))
    def test_any_blocks_in_any_pieces(self, blocks: list[bytes], size: int) -> None:
        """However the stream is cut, each message arrives whole."""
        device = BlockScpiDevice("unit", Laboratory(), None)
        messages = [b"X " + f"#{len(str(len(one)))}{len(one)}".encode() + one for one in blocks]
        stream, rest, found = b"".join(one + b"\n" for one in messages), b"", []
        for place in range(0, len(stream), size):
            complete, rest = device.split(rest + stream[place : place + size])
            found += complete
        assert (found, rest) == (messages, b"")

    def test_announced_too_long_waits(self, unit: Any) -> None:
        """A block that is not all there is not obeyed."""
        unit.send(b"SOUR1:DATA:ARB a,#240" + b"\0" * 10)
        assert "a" not in unit.device.channels[1].memory.waveforms

    def test_not_a_whole_number_of_points(self, unit: Any) -> None:
        """7 bytes are no floats."""
        assert unit.error_after(b"SOUR1:DATA:ARB a,#17abcdefg") == "-161"


class TestMemory:
    """What fits, and what is refused."""

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ("SOUR1:DATA:ARB a,0,0,0,0,0,0,0", "-222"),
            ("SOUR1:DATA:ARB a,0,0,0,0,0,0,0,1.1", "-222"),
            ("SOUR1:DATA:ARB a_name_too_long,0,0,0,0,0,0,0,0", "-151"),
            ("SOUR1:FUNC:ARB nothing", "+785"),
            ("SOUR3:DATA:VOL:CLE", "-113"),
        ],
    )
    def test_refusals(self, unit: Any, message: str, code: str) -> None:
        """Few points, large values, long names, unknown names."""
        assert unit.error_after(message) == code

    def test_known_name(self, unit: Any) -> None:
        """A name is used once until the memory is cleared."""
        load(unit, "ramp", RAMP)
        load(unit, "ramp", RAMP)
        assert unit.ask("SYST:ERR?").startswith("+786")
        unit.send("SOUR1:DATA:VOL:CLE")
        load(unit, "ramp", RAMP)
        assert unit.ask("SYST:ERR?") == '+0,"No error"'

    def test_full_memory(self, unit: Any) -> None:
        """1000 points here; the other channel has its own."""
        load(unit, "a", np.zeros(600))
        assert unit.ask("DATA:VOL:FREE?") == "+400"
        load(unit, "b", np.zeros(600))
        assert unit.ask("SYST:ERR?").startswith("-225")
        assert unit.ask("SOUR2:DATA:VOL:FREE?") == "+1000"

    def test_opc_waits_for_the_block(self, unit: Any) -> None:
        """*OPC? answers when the block is taken in."""
        load(unit, "a", np.zeros(1000))
        before = unit.laboratory.now()
        assert unit.ask("*OPC?") == "1"
        assert unit.laboratory.now() - before == pytest.approx(4000 / 10e6)


class TestVoltage:
    """Amplitude, offset, load, limits."""

    def test_load_changes_only_what_is_shown(self, unit: Any) -> None:
        """2 Vpp on 50 ohm are 4 Vpp without load; 9.9E37 means infinity."""
        unit.send("VOLT 2", "OUTP1:LOAD INF")
        assert float(unit.ask("VOLT?")) == pytest.approx(4.0)
        assert float(unit.ask("OUTP1:LOAD?")) == 9.9e37

    def test_units(self, unit: Any) -> None:
        """A sine of 0 dBm is 0.2236 Vrms, 0.632 Vpp."""
        unit.send("VOLT:UNIT DBM", "VOLT 0")
        answers = []
        for name in ("VRMS", "VPP"):
            unit.send(f"VOLT:UNIT {name}")
            answers.append(float(unit.ask("VOLT?")))
        assert answers == pytest.approx([0.2236, 0.6325], rel=1e-3)
        unit.send("VOLT 100 mVpp")
        assert float(unit.ask("VOLT?")) == pytest.approx(0.1)

    def test_offset_gives_way(self, unit: Any) -> None:
        """5 V peak on 50 ohm: a larger amplitude pushes the offset, and says so."""
        unit.send("VOLT:OFFS 4")
        assert unit.error_after("VOLT 4") == "-221"
        assert float(unit.ask("VOLT:OFFS?")) == pytest.approx(3.0)

    def test_hard_limits(self, unit: Any) -> None:
        """Beyond the limits nothing changes."""
        unit.send("VOLT:LIM:LOW -1;HIGH 1;STAT ON")
        assert unit.error_after("VOLT 3") == "-222"
        assert float(unit.ask("VOLT?")) == pytest.approx(0.1)

    def test_sine_is_a_tone(self, unit: Any) -> None:
        """10 MHz, 1 Vpp on 50 ohm: 3.98 dBm on the wire."""
        unit.send("FREQ 10 MHZ;:VOLT 1;:OUTP ON")
        tone = wire_in_shot(unit)[0].value
        assert isinstance(tone, RFTone)
        assert (tone.frequency, tone.power_dbm) == pytest.approx((10e6, 3.979), rel=1e-3)

    def test_off_means_nothing(self, unit: Any) -> None:
        """No stretch on the line."""
        assert wire_in_shot(unit) == ()

    def test_high_impedance_doubles(self, device_bench: Callable[..., Any]) -> None:
        """A modulator input of 1 megohm sees twice the volts programmed for 50 ohm."""
        unit = device_bench(Keysight33600A, input_impedance=1e6)
        unit.send("FUNC DC;:VOLT:OFFS 1;:OUTP ON")
        assert wire_in_shot(unit)[0].value == pytest.approx(2.0, rel=1e-3)


class TestBursts:
    """What the trigger starts."""

    def test_ramp_at_the_edge(self, unit: Any) -> None:
        """1 us a point from the edge at 2 ms; before and after it rests at the first point."""
        load(unit, "ramp", RAMP)
        unit.box.windows = ((2e-3, 3e-3),)
        arm(unit)
        line = wire_in_shot(unit)
        seen = [value_at(line, 2e-3 + (n + 0.5) * 1e-6) for n in range(11)]
        assert seen == pytest.approx(RAMP, abs=1e-6)
        assert value_at(line, 1e-3) == value_at(line, 5e-3) == pytest.approx(-1.0)

    def test_falling_edge_and_delay(self, unit: Any) -> None:
        """TRIG:SLOP NEG starts at 3 ms, the delay adds."""
        load(unit, "ramp", RAMP)
        unit.box.windows = ((2e-3, 3e-3),)
        arm(unit)
        unit.send("TRIG1:SLOP NEG;DEL 1E-3")
        line = wire_in_shot(unit)
        assert value_at(line, 4e-3 + 10.5e-6) == pytest.approx(1.0)

    def test_trigger_while_busy_is_lost(self, unit: Any) -> None:
        """The second edge comes during the burst."""
        load(unit, "ramp", RAMP)
        unit.box.windows = ((0.0, 2e-6), (5e-6, 7e-6))
        arm(unit)
        line = wire_in_shot(unit)
        assert value_at(line, 10.5e-6) == pytest.approx(1.0)
        assert value_at(line, 15.5e-6) == pytest.approx(-1.0)

    def test_bus_trigger(self, unit: Any) -> None:
        """*TRG starts it; with another source it is ignored."""
        load(unit, "ramp", RAMP)
        arm(unit)
        assert unit.error_after("*TRG") == "-211"
        unit.send("TRIG1:SOUR BUS", "*TRG")
        shot = unit.laboratory.glimpse(20e-6)
        assert value_at(unit.device.signal("ch1", shot), 10.5e-6) == pytest.approx(1.0)

    def test_sync_follows_the_burst(self, unit: Any) -> None:
        """High while the burst plays."""
        load(unit, "ramp", RAMP)
        unit.box.windows = ((2e-3, 3e-3),)
        arm(unit, cycles="2")
        (window,) = wire_in_shot(unit, "sync")
        assert (window.start, window.stop) == pytest.approx((2e-3, 2.022e-3))

    def test_equal_shots_cost_one_timeline(self, unit: Any) -> None:
        """A burst that ends within its shot makes every shot the same."""
        load(unit, "ramp", RAMP)
        arm(unit)
        unit.laboratory.connect([("box.out", "unit.trigger"), ("unit.ch1", "drive.am")])
        unit.shots(1000)
        assert len(unit.laboratory.burst.portions) == 1
        assert unit.laboratory.burst.portions[0].stop == 1000

    @pytest.mark.parametrize(
        "message", ["FUNC NOIS", "AM:SOUR EXT", "FUNC PULS;:FM:STAT ON", "BURS:MODE GAT;STAT ON"]
    )
    def test_what_is_not_simulated_is_refused(self, unit: Any, message: str) -> None:
        """Honestly, with -221."""
        assert unit.error_after(message) == "-221"


class TestSequences:
    """Segments in order, repeats, waits."""

    def test_steps(self, unit: Any) -> None:
        """Twice a, then b, from one trigger."""
        load(unit, "a", np.full(10, 0.5))
        load(unit, "b", np.full(10, -0.5))
        text = b"both,a,2,repeat,lowAtStart,4,b,1,once,lowAtStart,4"
        unit.send(b"SOUR1:DATA:SEQ #2" + str(len(text)).encode() + text)
        assert unit.ask("DATA:ATTR:POIN? both") == "+30"
        arm(unit, "both")
        line = wire_in_shot(unit)
        seen = [value_at(line, t) for t in (5e-6, 15e-6, 25e-6)]
        assert seen == pytest.approx([0.5, 0.5, -0.5])

    def test_unknown_waveform(self, unit: Any) -> None:
        """Waveforms come first."""
        text = b"both,a,2,repeat,lowAtStart,4"
        message = b"SOUR1:DATA:SEQ #2" + str(len(text)).encode() + text
        assert unit.error_after(message) == "+785"

    def test_waiting_for_the_next_trigger(self) -> None:
        """The first part is held until the second trigger."""
        first = Part(Samples(np.array([0.0, 1.0]), 1.0), waits=True)
        second = Part(Samples(np.array([3.0, 4.0]), 1.0))
        played = bursts([first, second], [0.0, 1.0, 5.0])
        spans = [(one.start, one.stop) for one in played]
        assert spans == [(0.0, 2.0), (2.0, 5.0), (5.0, 7.0)]
        assert float(played[1].wave.at(np.array([1.5]))[0]) == 1.0

    def test_until_the_trigger(self) -> None:
        """Repeated without end, then the trigger goes on."""
        loop = Part(Samples(np.array([0.0, 1.0]), 1.0), until_trigger=True)
        last = Part(Samples(np.array([3.0]), 1.0))
        spans = [(one.start, one.stop) for one in bursts([loop, last], [0.0, 7.0])]
        assert spans == [(0.0, 7.0), (7.0, 8.0)]
