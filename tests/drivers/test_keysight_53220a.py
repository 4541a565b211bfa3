"""Keysight 53220A: driver and simulated counter in conversation, and raw blocks on a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cavitylab.instruments.drivers.keysight_53220a import Keysight53220A
from cavitylab.instruments.drivers.srs_dg645 import SRSDG645
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError

ADDRESS = "TCPIP0::10.0.0.3::5025::SOCKET"
Bench = Callable[..., str]


@pytest.fixture
def counter(bench: Bench) -> Keysight53220A:
    return Keysight53220A("counter", ADDRESS, visalib=bench())


class TestConfiguration:
    """What is set before gated counting."""

    def test_loading_only_asks(self, counter: Keysight53220A) -> None:
        """Nothing is written on connecting."""
        assert all(line.endswith("?") for line in counter.journal.sent())

    def test_gated_totalize(self, counter: Keysight53220A) -> None:
        """Every setting is as the photon pulses need it, without an error."""
        counter.configure_gated_totalize(40, channel=1, gate_polarity="POS", threshold_V=1.0)
        assert counter.samples() == 40
        assert counter.gate_source() == "EXT"
        assert counter.gate_polarity() == "POS"
        inp = counter.input1
        assert (inp.coupling(), inp.impedance(), inp.range(), inp.slope()) == (
            "DC",
            50.0,
            5.0,
            "POS",
        )
        assert inp.threshold() == pytest.approx(1.0, abs=3e-3)

    def test_errors_are_read_once(self, counter: Keysight53220A) -> None:
        """The whole group costs one look at the queue."""
        counter.journal.clear()
        counter.configure_gated_totalize(40)
        assert counter.journal.sent().count("SYST:ERR?") == 1

    @pytest.mark.parametrize(
        "arguments",
        [
            {"readings": 0},
            {"readings": 1_000_001},
            {"readings": 10, "channel": 3},
            {"readings": 10, "gate_polarity": "UP"},
            {"readings": 10, "threshold_V": 6.0},
            {"readings": 10, "threshold_V": float("nan")},
        ],
    )
    def test_impossible_arguments(self, counter: Keysight53220A, arguments: Any) -> None:
        """Refused before anything is sent."""
        with pytest.raises(LimitError):
            counter.configure_gated_totalize(**arguments)
        assert "ABOR" not in counter.journal.sent()


class TestReading:
    """Waiting for gates, and taking readings."""

    def test_nothing_started_gives_nothing(self, counter: Keysight53220A) -> None:
        """`R?` would hang and leave an error; it is not sent."""
        assert counter.read_available().size == 0
        assert not any(line.startswith("R?") for line in counter.journal.sent())

    def test_gates_of_a_burst_are_counted(self, bench: Bench) -> None:
        """Two gates a shot: twice as many readings, none negative, all whole."""
        library = bench()
        counter = Keysight53220A("counter", ADDRESS, visalib=library)
        box = SRSDG645("box", "TCPIP0::10.0.0.2::5025::SOCKET", visalib=library)
        box.trigger_source("single")
        box.burst_enabled(True)
        box.burst_count(20)
        box.burst_period(0.05)
        box.set_delays({"E": ("T0", 10e-3), "F": ("E", 5e-3), "G": ("T0", 20e-3), "H": ("G", 5e-3)})
        counter.configure_gated_totalize(40, threshold_V=1.0)
        counter.initiate()
        assert counter.measuring()
        box.trigger()
        box.clock.wait(1.2)
        assert counter.available() == 40
        readings = counter.read_available()
        assert readings.shape == (40,)
        assert np.all(readings >= 0) and np.all(readings == np.floor(readings))
        assert counter.available() == 0
        counter.abort()
        assert not counter.measuring()

    @pytest.mark.parametrize("kind", ["mute", "garbage", "truncate", "drop"])
    def test_start_is_never_repeated(self, bench: Bench, kind: str) -> None:
        """INIT empties the memory: whatever happens to the link, it is sent once."""
        counter = Keysight53220A(
            "counter",
            ADDRESS,
            visalib=bench(
                f"{{device: counter, kind: {kind}, match: '^INIT', nth: 1}}",
                f"{{device: counter, kind: {kind}, match: 'SYST:ERR', nth: 3}}",
            ),
        )
        counter.configure_gated_totalize(4)
        with pytest.raises(LinkError):
            counter.initiate()
        assert counter.journal.sent().count("INIT") == 1


class TestBlocks:
    """Definite blocks over a real socket, where nothing but their length says the end."""

    @staticmethod
    def counter_that_answers(serve: Callable[..., Any], block: list[Any]) -> Keysight53220A:
        answers = {
            "*IDN?": [b"AGILENT TECHNOLOGIES,53220A,MY1,1.00\n"],
            "*ESR?": [b"0\n"],
            "SYST:ERR?": [b'+0,"No error"\n'],
            "DATA:POIN?": [b"+5\n"],
        }
        server = serve(lambda line: block if line.startswith("R?") else answers.get(line, []))
        return Keysight53220A("counter", server.address, visalib="@py", timeout=0.4)

    def test_binary_with_line_ends_inside(self, serve: Callable[..., Any]) -> None:
        """Bytes 0x0A in the data end nothing, also when the block comes in pieces."""
        wanted = np.array([10.0, 2570.0, 168430090.0, 5.0, 0.0])
        data = wanted.astype(">f8").tobytes()
        data = data.replace(b"\x00\x00\x00\x00\x00\x00", b"\x00\n\n\x00\x00\x00", 1)
        wanted = np.frombuffer(data, ">f8")
        raw = b"#2%d" % len(data) + data + b"\n"
        counter = self.counter_that_answers(serve, [raw[:1], 0.05, raw[1:17], 0.05, raw[17:]])
        assert np.array_equal(counter.read_available(), wanted)

    def test_text_is_understood_too(self, serve: Callable[..., Any]) -> None:
        """Another session may have set the format to text."""
        text = b"+1.00000000000000E+001,+2.00000000000000E+000,+3.0"
        counter = self.counter_that_answers(serve, [b"#2%d" % len(text) + text + b"\n"])
        assert counter.read_available().tolist() == [10.0, 2.0, 3.0]

    @pytest.mark.parametrize(
        "block",
        [
            [b"+5\n"],
            [b"#15abc\n"],
            [b"#13abcd\n"],
            [b"#18\x00\x00\x00"],
            [b"#216\x00\x00", "hang up"],
            [b"#13abc\n"],
        ],
    )
    def test_damaged_blocks(self, serve: Callable[..., Any], block: list[Any]) -> None:
        """Never read as numbers, never asked for again: the readings are lost."""
        counter = self.counter_that_answers(serve, block)
        with pytest.raises(LinkError):
            counter.read_available()
        assert sum(line.startswith("R?") for line in counter.journal.sent()) == 1
        assert counter.available() == 5

    def test_reading_without_data(self, serve: Callable[..., Any]) -> None:
        """9.91E37 is no count."""
        data = np.array([1.0, 9.91e37]).astype(">f8").tobytes()
        counter = self.counter_that_answers(serve, [b"#216" + data + b"\n"])
        with pytest.raises(InstrumentError, match="1 of 2"):
            counter.read_available()
