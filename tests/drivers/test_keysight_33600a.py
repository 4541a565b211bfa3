"""Keysight 33600A: our driver, QCoDeS' own, and the simulated generator in conversation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from qcodes.instrument_drivers.Keysight import Keysight33622A

from cavitylab.instruments.drivers.keysight_33600a import Keysight33600A, SequenceStep
from cavitylab.instruments.drivers.srs_dg645 import SRSDG645
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError
from cavitylab.instruments.simulated.lines import value_at
from cavitylab.instruments.simulated.registry import laboratory_named

ADDRESS = "TCPIP0::10.0.0.6::5025::SOCKET"
Bench = Callable[..., str]
RAMP = np.linspace(-1.0, 1.0, 1000)


def open_generator(library: str, **kwargs: object) -> Keysight33600A:
    return Keysight33600A("generator", ADDRESS, visalib=library, **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def generator(bench: Bench) -> Keysight33600A:
    return open_generator(bench(), voltage_limits=(0.0, 2.0))


class TestStockDriver:
    """What nobody here wrote runs unchanged."""

    def test_every_parameter_of_qcodes(self, bench: Bench) -> None:
        """Keysight33622A of QCoDeS: opens, reads all, sets all, and no error is left."""
        stock = Keysight33622A("stock", ADDRESS, silent=True, visalib=bench())
        stock.ch1.function_type("SQU")
        stock.ch1.frequency(2e6)
        stock.ch1.amplitude_unit("VPP")
        stock.ch1.amplitude(0.5)
        stock.ch1.offset(0.1)
        stock.ch1.burst_mode("N Cycle")
        stock.ch1.burst_ncycles(3)
        stock.ch1.burst_state("ON")
        stock.ch1.burst_int_period(1e-3)
        stock.ch1.trigger_source("EXT")
        stock.ch1.trigger_delay(1e-6)
        stock.ch1.trigger_count(2)
        stock.ch1.frequency_mode("SWEEP")
        stock.ch2.ramp_symmetry(30.0)
        stock.ch2.pulse_width(1e-6)
        stock.ch2.output_polarity("INV")
        stock.ch2.output("ON")
        stock.sync.source(2)
        stock.sync.output("OFF")
        stock.sync_channel_phases()
        stock.snapshot(update=True)
        assert stock.error() == (0, "No error")
        assert (stock.ch1.burst_ncycles(), stock.ch1.frequency()) == (3, 2e6)
        assert (stock.ch2.output(), stock.sync.source()) == ("ON", 2)

    def test_infinity(self, bench: Bench) -> None:
        """9.9E37 is infinity to QCoDeS."""
        stock = Keysight33622A("stock", ADDRESS, silent=True, visalib=bench())
        stock.ch1.burst_ncycles("INF")
        assert math.isinf(stock.ch1.burst_ncycles())

    def test_ours_is_one_of_theirs(self, generator: Keysight33600A) -> None:
        """Everything of the stock driver is there."""
        theirs = {"frequency", "phase", "burst_phase", "trigger_timer", "ramp_symmetry"}
        assert theirs <= set(generator.ch1.parameters)
        generator.ch2.frequency(120e6)
        assert generator.ch2.frequency() == 120e6


class TestModels:
    """Which generators are known."""

    def test_model_unknown_to_qcodes(self, bench: Bench) -> None:
        """A 33621A has one channel and 120 MHz."""
        fault = "{device: generator, kind: wrong_value, match: IDN, value: '33621'}"
        generator = open_generator(bench(fault))
        assert generator.IDN()["model"] == "33621A"
        assert not hasattr(generator, "ch2")
        generator.ch1.frequency(120e6)

    def test_loading_only_asks(self, generator: Keysight33600A) -> None:
        """Nothing is written on connecting."""
        assert all(line.endswith("?") for line in generator.journal.sent())


class TestVoltage:
    """Limits of the laboratory, on the load that is set."""

    def test_window(self, generator: Keysight33600A) -> None:
        """0 to 2 V: a sine around 0 V is refused before anything is sent."""
        with pytest.raises(LimitError, match="-0.25 to 0.25 V"):
            generator.ch1.amplitude(0.5)
        assert not any(line.startswith("SOUR1:VOLT ") for line in generator.journal.sent())
        generator.ch1.offset(1.0)
        generator.ch1.amplitude(2.0)
        with pytest.raises(LimitError):
            generator.ch1.offset(1.1)

    def test_output_on_is_checked(self, generator: Keysight33600A) -> None:
        """What someone set on the front panel does not come out."""
        with pytest.raises(LimitError):
            generator.ch1.output("ON")
        assert generator.ch1.output() == "OFF"

    def test_only_volts_peak_to_peak(self, generator: Keysight33600A) -> None:
        """In other units the peak is not known."""
        generator.ch1.amplitude_unit("DBM")
        with pytest.raises(LimitError, match="VPP"):
            generator.ch1.amplitude(0.0)

    def test_protect(self, generator: Keysight33600A) -> None:
        """The generator refuses as well, whoever asks; the limits only narrow."""
        generator.ch1.offset(1.0)
        generator.ch1.protect()
        with pytest.raises(InstrumentError, match="-222"):
            generator.write("SOUR1:VOLT 3")
        generator.ch1.protect(high=1.5)
        with pytest.raises(LimitError, match="wider"):
            generator.ch1.protect(high=2.5)

    def test_protect_refuses_what_is_set(self, generator: Keysight33600A) -> None:
        """Amplitude and offset outside: the generator says so."""
        with pytest.raises(InstrumentError, match="-221"):
            generator.ch1.protect()

    def test_load(self, bench: Bench) -> None:
        """Without load the same setting shows twice the volts."""
        generator = open_generator(bench())
        generator.ch1.amplitude(10.0)
        with pytest.raises(LimitError, match="10 Vpp"):
            generator.ch1.amplitude(11.0)
        generator.ch1.load(math.inf)
        assert generator.ch1.amplitude() == pytest.approx(20.0)
        assert math.isinf(generator.ch1.load())

    def test_obstinate_amplitude(self, bench: Bench) -> None:
        """An amplitude that reads back otherwise is an error."""
        fault = "{device: generator, kind: wrong_value, match: 'SOUR1:VOLT\\?', value: '9.5'}"
        with pytest.raises(InstrumentError, match="9.5"):
            open_generator(bench(fault)).ch1.amplitude(0.5)

    @pytest.mark.parametrize("limits", [(1.0, 1.0), (0.0, math.inf), (2.0, -2.0)])
    def test_senseless_limits(self, bench: Bench, limits: tuple[float, float]) -> None:
        """Refused before the link is opened."""
        with pytest.raises(LimitError, match="voltage_limits"):
            open_generator(bench(), voltage_limits=limits)


class TestWaveforms:
    """Binary upload, segments, pulses."""

    def test_upload(self, generator: Keysight33600A) -> None:
        """A block of 4 bytes a point; the generator counts them."""
        before = generator.ch1.free_points()
        generator.ch1.upload("ramp", RAMP)
        assert "ramp" in generator.ch1.catalog()
        assert before - generator.ch1.free_points() == 1000
        assert "SOUR1:DATA:ARB ramp,<4006 bytes>" in generator.journal.sent()

    @pytest.mark.parametrize(
        ("name", "points"),
        [
            ("ramp", np.zeros(7)),
            ("ramp", np.full(8, 1.01)),
            ("ramp", np.full(8, np.nan)),
            ("ramp", np.zeros((2, 8))),
            ("two words", np.zeros(8)),
            ("much_too_long", np.zeros(8)),
        ],
    )
    def test_what_cannot_be_played(
        self, generator: Keysight33600A, name: str, points: np.ndarray
    ) -> None:
        """Refused before anything is sent."""
        count = len(generator.journal.sent())
        with pytest.raises(LimitError):
            generator.ch1.upload(name, points)
        assert len(generator.journal.sent()) == count

    def test_used_name(self, generator: Keysight33600A) -> None:
        """The generator's error names command and remedy; after clearing it works."""
        generator.ch1.upload("ramp", RAMP)
        with pytest.raises(InstrumentError, match="already exists"):
            generator.ch1.upload("ramp", RAMP)
        generator.ch1.clear_waveforms()
        generator.ch1.upload("ramp", RAMP)

    def test_full_memory(self, bench: Bench) -> None:
        """No point too many."""
        fault = "{device: generator, kind: memory_overflow, match: 'FORM:BORD', nth: 1}"
        with pytest.raises(InstrumentError, match="-225"):
            open_generator(bench(fault)).ch1.upload("ramp", RAMP)

    def test_lost_block_is_not_sent_again(self, bench: Bench) -> None:
        """The link drops with the block: an error, and one block on the wire."""
        fault = "{device: generator, kind: drop, match: 'DATA:ARB ', nth: 1}"
        generator = open_generator(bench(fault))
        with pytest.raises(LinkError):
            generator.ch1.upload("ramp", RAMP)
        assert sum("DATA:ARB " in line for line in generator.journal.sent()) == 1

    def test_triggered_pulse(self, bench: Bench) -> None:
        """A ramp of 100 us at each edge of the delay generator."""
        library = bench()
        generator = open_generator(library, voltage_limits=(0.0, 2.0))
        generator.ch1.offset(1.0)
        generator.ch1.amplitude(2.0)
        generator.ch1.protect()
        generator.ch1.upload("ramp", RAMP)
        generator.ch1.prepare_pulse("ramp", rate=1e7)
        generator.ch1.output("ON")
        laboratory = laboratory_named(library.removesuffix("@cavitylab"))
        box = SRSDG645("box", "TCPIP0::10.0.0.2::5025::SOCKET", visalib=library)
        box.set_delays({"A": ("T0", 1e-3), "B": ("A", 1e-3)})
        burst = laboratory.fire("timing_box", laboratory.now(), 10e-3, 1)
        assert burst is not None
        shot = laboratory._shot(burst, 0)
        line = laboratory.devices["generator"].signal("ch1", shot)
        seen = [value_at(line, 1e-3 + t) for t in (-1e-6, 50.05e-6, 99.95e-6, 101e-6)]
        assert seen == pytest.approx([0.0, 1.0, 2.0, 0.0], abs=2e-3)

    def test_sequence(self, generator: Keysight33600A) -> None:
        """Segments are played in order; the sequence is selected like a waveform."""
        generator.ch1.upload("up", RAMP)
        generator.ch1.upload("flat", np.ones(100))
        steps = [SequenceStep("up"), SequenceStep("flat", 5, "repeat")]
        generator.ch1.upload_sequence("both", steps)
        generator.ch1.waveform("both")
        assert generator.ch1.waveform() == "both"
        assert generator.ask("SOUR1:DATA:ATTR:POIN? both") == "+1500"

    def test_sequence_of_unknown_waveforms(self, generator: Keysight33600A) -> None:
        """The generator refuses it."""
        with pytest.raises(InstrumentError, match="does not exist"):
            generator.ch1.upload_sequence("both", [SequenceStep("nowhere")])

    def test_senseless_steps(self, generator: Keysight33600A) -> None:
        """No step, unknown play, no repeat."""
        with pytest.raises(LimitError):
            generator.ch1.upload_sequence("both", [])
        with pytest.raises(LimitError):
            SequenceStep("up", play="twice")
        with pytest.raises(LimitError):
            SequenceStep("up", repeats=0)
