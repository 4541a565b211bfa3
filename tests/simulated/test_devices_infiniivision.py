"""The simulated oscilloscope: trigger, records, formats, segments, the photodiode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cavitylab.instruments.simulated.devices.keysight_33600a import Keysight33600A
from cavitylab.instruments.simulated.devices.keysight_infiniivision import KeysightInfiniiVision
from cavitylab.instruments.simulated.lines import Timeline
from cavitylab.instruments.simulated.links import ReadEnd


class Pulse:
    """An apparatus whose photodiode gives a pulse of `height` volts at 2 ms, 0.5 ms wide."""

    def gates(self, timeline: Timeline) -> tuple[tuple[float, float, int | None], ...]:
        return ()

    def counts(
        self, timeline: Timeline, shots: range, times: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        return np.zeros((len(shots), 0), dtype=np.int64)

    def cavity_output(
        self, timeline: Timeline, shot: int, time: float, times: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return (1.0 + 0.1 * shot) * np.exp(-(((times - 2e-3) / 0.5e-3) ** 2))

    def reveal(self) -> dict[str, Any]:
        return {}


@pytest.fixture
def unit(device_bench: Callable[..., Any]) -> Any:
    """A scope: photodiode on ch1, pulse box on ch2 and Ext Trig."""
    bench = device_bench(KeysightInfiniiVision, memory=2000, noise=1e-4)
    bench.laboratory.apparatus = Pulse()
    bench.laboratory.connect(
        [("cavity.output", "unit.ch1"), ("box.out", "unit.ch2"), ("box.out", "unit.ext")]
    )
    bench.send(
        ":TIM:RANG 10E-3;POS 4E-3;:CHAN1:RANG 4;OFFS 1",
        ":TRIG:EDGE:SOUR EXT;LEV 1;SLOP POS;:TRIG:SWE NORM",
        ":WAV:FORM WORD;BYT LSBF;UNS 1;POIN:MODE RAW;:WAV:POIN 8000000",
    )
    return bench


def read(unit: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds and volts, by the preamble."""
    fields = [float(one) for one in unit.ask(":WAV:PRE?").split(",")]
    unit.link.write(b":WAV:DATA?\n")
    raw, why = unit.link.read(int(2 * fields[2] + 11), None, 1.0)
    assert why is ReadEnd.COUNT
    assert raw[:2] == b"#8"
    assert int(raw[2:10]) == 2 * fields[2]
    counts = np.frombuffer(raw[10:-1], dtype="<u2").astype(float)
    _, _, _, _, dx, x0, xr, dy, y0, yr = fields
    return (np.arange(len(counts)) - xr) * dx + x0, (counts - yr) * dy + y0


class TestSingle:
    """One shot, one trace."""

    def test_pulse_on_the_screen(self, unit: Any) -> None:
        """The photodiode's pulse, in seconds after the trigger and in volts."""
        unit.send(":SING")
        assert (unit.ask(":AER?"), unit.ask(":AER?")) == ("+1", "+0")
        assert int(unit.ask(":OPER:COND?")) & 8
        unit.shots(1)
        assert int(unit.ask(":OPER:COND?")) & 8 == 0
        assert (unit.ask(":TER?"), unit.ask(":TER?")) == ("+1", "+0")
        times, volts = read(unit)
        assert len(times) == 2000
        expected = np.exp(-(((times - 2e-3) / 0.5e-3) ** 2))
        assert np.max(np.abs(volts - expected)) < 2 * 4 / 256

    def test_first_shot_after_arming(self, unit: Any) -> None:
        """Shots before are not seen; later ones neither."""
        unit.shots(3)
        unit.send(":SING")
        unit.shots(3)
        assert np.max(read(unit)[1]) == pytest.approx(1.3, abs=0.05)

    def test_no_trigger(self, unit: Any) -> None:
        """It waits, and there is no trace: -230 and no answer."""
        unit.box.windows = ()
        unit.send(":SING")
        unit.shots(3)
        assert int(unit.ask(":OPER:COND?")) & 8
        unit.send(":STOP", ":WAV:DATA?")
        assert unit.link.read(100, b"\n", 1.0)[1] is ReadEnd.TIMEOUT
        assert unit.ask(":SYST:ERR?").startswith("-230")

    def test_level_on_a_channel(self, unit: Any) -> None:
        """The pulse triggers itself where it crosses the level."""
        unit.send(":TRIG:EDGE:SOUR CHAN1;LEV 0.5;:TIM:POS 0", ":SING")
        unit.shots(1)
        times, volts = read(unit)
        assert volts[np.argmin(np.abs(times))] == pytest.approx(0.5, abs=0.05)

    def test_falling_edge(self, unit: Any) -> None:
        """1 ms after T0: the pulse is 1 ms later."""
        unit.send(":TRIG:EDGE:SLOP NEG", ":SING")
        unit.shots(1)
        times, volts = read(unit)
        assert times[np.argmax(volts)] == pytest.approx(1e-3, abs=5e-5)

    def test_clipping(self, unit: Any) -> None:
        """What leaves the range stays at its end."""
        unit.send(":CHAN1:RANG 0.4;OFFS 0", ":SING")
        unit.shots(1)
        assert np.max(read(unit)[1]) == pytest.approx(0.2, rel=0.02)

    def test_average(self, unit: Any) -> None:
        """Four shots of rising height: their mean; the preamble counts them."""
        unit.send(":ACQ:TYPE AVER;COUN 4", ":SING")
        unit.shots(4)
        assert unit.ask(":WAV:PRE?").split(",")[3] == "+4"
        assert np.max(read(unit)[1]) == pytest.approx(1.15, abs=0.03)

    def test_automatic_trigger(self, unit: Any) -> None:
        """After 0.1 s without edge a trace of nothing."""
        unit.laboratory.apparatus = None
        unit.send(":TRIG:SWE AUTO", ":SING")
        unit.wait(0.05)
        assert int(unit.ask(":OPER:COND?")) & 8
        unit.wait(0.06)
        assert int(unit.ask(":OPER:COND?")) & 8 == 0
        assert np.max(np.abs(read(unit)[1])) < 0.05

    def test_apparatus_without_output(self, unit: Any) -> None:
        """Dark, and the laboratory says why."""
        unit.laboratory.apparatus = None
        unit.send(":SING")
        unit.shots(1)
        assert np.max(np.abs(read(unit)[1])) < 0.05
        assert "photodiode" in unit.laboratory.faults[0]

    def test_waveform_generator_on_the_screen(self, device_bench: Callable[..., Any]) -> None:
        """A 1 kHz sine of 2 Vpp, sampled finer than its line."""
        unit = device_bench(KeysightInfiniiVision, memory=1000, noise=1e-4)
        unit.laboratory.add(Keysight33600A("awg", unit.laboratory))
        unit.laboratory.connect([("awg.ch1", "unit.ch1"), ("box.out", "unit.ext")])
        awg = unit.laboratory.devices["awg"].channels[1]
        awg.on, awg.amplitude_emf = True, 4.0
        unit.send(":TIM:RANG 4E-3;:CHAN1:RANG 4;:TRIG:EDGE:SOUR EXT;LEV 1;:TRIG:SWE NORM")
        unit.send(":WAV:FORM WORD;BYT LSBF;POIN:MODE RAW;:WAV:POIN 10000", ":SING")
        unit.shots(1)
        _, volts = read(unit)
        assert (np.max(volts), np.std(volts)) == pytest.approx((1.0, np.sqrt(0.5)), abs=0.02)


class TestFormats:
    """The same samples in each form."""

    def test_bytes_and_text(self, unit: Any) -> None:
        """BYTE, signed BYTE and ASC agree with WORD to one step."""
        unit.send(":SING")
        unit.shots(1)
        _, words = read(unit)
        unit.send(":WAV:FORM ASC")
        text = unit.ask(":WAV:DATA?")
        values = np.array([float(one) for one in text[10:].split(",")])
        assert values == pytest.approx(words, abs=1.01 * 4 / 256)

    def test_points(self, unit: Any) -> None:
        """Fewer points mean larger steps."""
        unit.send(":SING")
        unit.shots(1)
        unit.send(":WAV:POIN 500")
        times, _ = read(unit)
        assert len(times) == 500
        assert times[1] - times[0] == pytest.approx(4 * 5e-6)

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            (":CHAN5:RANG 1", "-113"),
            (":CHAN1:RANG 100", "-222"),
            (":DIG CHAN7", "-224"),
            (":WAV:FORM REAL", "-224"),
            (":ACQ:SEGM:COUN 1", "-222"),
        ],
    )
    def test_mistakes(self, unit: Any, message: str, code: str) -> None:
        """Refused with the codes of SCPI."""
        assert unit.error_after(message) == code

    def test_scale_is_range(self, unit: Any) -> None:
        """Eight divisions of volts, ten of time."""
        unit.send(":CHAN1:SCAL 0.1;:TIM:SCAL 1E-3")
        assert float(unit.ask(":CHAN1:RANG?")) == pytest.approx(0.8)
        assert float(unit.ask(":TIM:RANG?")) == pytest.approx(10e-3)


class TestSegments:
    """Many shots on board."""

    def test_one_segment_a_shot(self, unit: Any) -> None:
        """Each has its own trace and time tag."""
        unit.send(":ACQ:MODE SEGM;SEGM:COUN 5", ":SING")
        unit.shots(3)
        assert unit.ask(":WAV:SEGM:COUN?") == "+3"
        assert int(unit.ask(":OPER:COND?")) & 8
        unit.shots(2)
        assert int(unit.ask(":OPER:COND?")) & 8 == 0
        heights, tags = [], []
        for index in range(1, 6):
            unit.send(f":ACQ:SEGM:IND {index}")
            heights.append(np.max(read(unit)[1]))
            tags.append(float(unit.ask(":WAV:SEGM:TTAG?")))
        assert heights == pytest.approx([1.0, 1.1, 1.2, 1.3, 1.4], abs=0.05)
        assert tags == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.04])

    def test_memory_is_shared(self, unit: Any) -> None:
        """2000 points in five segments: 400 each."""
        unit.send(":ACQ:MODE SEGM;SEGM:COUN 5")
        assert unit.ask(":ACQ:POIN?") == "+400"


class TestDigitize:
    """The command that blocks."""

    def test_blocks_until_the_trigger(self, unit: Any) -> None:
        """The next answer comes after the shot; settings in between are kept for later."""
        unit.send(":DIG CHAN1", ":WAV:POIN 500")
        unit.link.write(b":WAV:POIN?\n")
        assert unit.link.read(100, b"\n", 1.0)[1] is ReadEnd.TIMEOUT
        unit.shots(1)
        assert unit.link.read(100, b"\n", 1.0)[0] == b"+500\n"
        assert len(read(unit)[0]) == 500

    def test_for_ever(self, unit: Any) -> None:
        """Without trigger there is no answer at all."""
        unit.send(":DIG")
        unit.link.write(b"*IDN?\n")
        assert unit.link.read(100, b"\n", 1000.0)[1] is ReadEnd.TIMEOUT
