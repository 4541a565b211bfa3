"""Keysight InfiniiVision: driver and simulated oscilloscope in conversation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cavitylab.instruments.drivers.infiniivision_trace import counts_of, parse_preamble
from cavitylab.instruments.drivers.keysight_33600a import Keysight33600A
from cavitylab.instruments.drivers.keysight_infiniivision import KeysightInfiniiVision
from cavitylab.instruments.errors import InstrumentError, LimitError, LinkError
from cavitylab.instruments.simulated.registry import laboratory_named

ADDRESS = "TCPIP0::10.0.0.8::5025::SOCKET"
GENERATOR = "TCPIP0::10.0.0.6::5025::SOCKET"
Bench = Callable[..., str]


def open_scope(library: str) -> KeysightInfiniiVision:
    return KeysightInfiniiVision("digitiser", ADDRESS, visalib=library)


def shots(library: str, count: int) -> None:
    """Run `count` shots of 10 ms."""
    laboratory = laboratory_named(library.removesuffix("@cavitylab"))
    laboratory.fire("timing_box", laboratory.now(), 10e-3, count)
    laboratory.clock.wait(count * 10e-3)


def ready(library: str) -> KeysightInfiniiVision:
    """A scope on a generator's 1 kHz sine of 2 Vpp, triggered by T0."""
    generator = Keysight33600A("generator", GENERATOR, visalib=library)
    generator.ch1.amplitude(2.0)
    generator.ch1.output("ON")
    scope = open_scope(library)
    scope.trigger_source("EXT")
    scope.trigger_level(1.0)
    scope.trigger_sweep("NORM")
    scope.time_range(4e-3)
    scope.channels[0].range(4.0)
    return scope


class TestOneShot:
    """Arm, run, wait, read."""

    def test_loading_only_asks(self, bench: Bench) -> None:
        """Nothing is written on connecting."""
        assert all(line.endswith("?") for line in open_scope(bench()).journal.sent())

    def test_trace(self, bench: Bench) -> None:
        """The generator's sine, in seconds and volts."""
        library = bench()
        scope = ready(library)
        scope.arm()
        assert scope.busy()
        shots(library, 1)
        scope.wait()
        trace = scope.read(1)
        expected = np.sin(2 * np.pi * 1e3 * trace.times)
        assert trace.volts.shape == (10_000,)
        assert np.sqrt(np.mean((trace.volts - expected) ** 2)) < 0.03
        assert (trace.clipped, trace.averages) == (0, 1)

    def test_parameter_with_setpoints(self, bench: Bench) -> None:
        """The trace as a parameter has its time axis; a snapshot leaves both out."""
        library = bench()
        scope = ready(library)
        scope.arm()
        shots(library, 1)
        scope.wait()
        scope.read(1, points=500)
        volts = scope.channels[0].trace()
        assert scope.points() == len(volts) == len(scope.time_axis())
        scope.channels[0].trace.validate(volts)
        assert (
            "value" not in scope.snapshot(update=True)["submodules"]["ch1"]["parameters"]["trace"]
        )

    def test_clipped_samples_are_counted(self, bench: Bench) -> None:
        """A range too small: their volts are wrong, and known to be."""
        library = bench()
        scope = ready(library)
        scope.channels[0].range(1.0)
        scope.arm()
        shots(library, 1)
        scope.wait()
        assert scope.read(1).clipped > 1000

    def test_trigger_that_does_not_come(self, bench: Bench) -> None:
        """A time-out that says so; `stop` ends the waiting."""
        scope = ready(bench())
        scope.arm()
        with pytest.raises(InstrumentError, match="trigger on EXT did not come"):
            scope.wait(patience=2.0)
        scope.stop()
        assert not scope.busy()

    def test_automatic_sweep_is_refused(self, bench: Bench) -> None:
        """It would give traces of no shot."""
        scope = open_scope(bench())
        with pytest.raises(InstrumentError, match="AUTO"):
            scope.arm()

    def test_reading_nothing(self, bench: Bench) -> None:
        """No trace: an error, never an old or empty one."""
        scope = ready(bench())
        with pytest.raises(LinkError):
            scope.read(1)

    @pytest.mark.parametrize(("channel", "points"), [(0, 1000), (5, 1000), (1, 99)])
    def test_senseless_reading(self, bench: Bench, channel: int, points: int) -> None:
        """Refused before anything is sent."""
        with pytest.raises(LimitError):
            open_scope(bench()).read(channel, points)

    @pytest.mark.parametrize("message", ["DIG", ":DIG CHAN1", "WAV:POIN 500;:DIG"])
    def test_blocking_command_is_never_sent(self, bench: Bench, message: str) -> None:
        """`:DIGitize` without trigger ends every conversation."""
        with pytest.raises(LimitError):
            open_scope(bench()).write(message)

    def test_two_channel_model(self, bench: Bench) -> None:
        """Channels that are not there are not offered."""
        fault = "{device: scope, kind: wrong_value, match: IDN, value: '3022'}"
        assert len(open_scope(bench(fault)).channels) == 2


class TestSegments:
    """Many shots on board."""

    def test_segments(self, bench: Bench) -> None:
        """Five shots: five rows and their times."""
        library = bench()
        scope = ready(library)
        scope.configure_segments(5)
        scope.arm()
        shots(library, 5)
        scope.wait()
        trace = scope.read_segments(1)
        assert trace.volts.shape == (5, 2000)
        assert trace.tags == pytest.approx([0.0, 0.01, 0.02, 0.03, 0.04])

    def test_missing_trigger(self, bench: Bench) -> None:
        """Four of five came: the waiting says so; what is there can be read."""
        library = bench()
        scope = ready(library)
        scope.configure_segments(5)
        scope.arm()
        shots(library, 4)
        with pytest.raises(InstrumentError, match="often enough"):
            scope.wait(patience=1.0)
        scope.stop()
        assert len(scope.read_segments(1).volts) == 4

    def test_no_segment(self, bench: Bench) -> None:
        """Nothing acquired is an error."""
        scope = ready(bench())
        scope.configure_segments(2)
        with pytest.raises(InstrumentError, match="no segment"):
            scope.read_segments(1)

    def test_too_few(self, bench: Bench) -> None:
        """One segment is no segmented memory."""
        with pytest.raises(LimitError):
            open_scope(bench()).configure_segments(1)


class TestDamage:
    """A damaged block is never read as volts."""

    @pytest.mark.parametrize("kind", ["truncate", "garbage", "mute", "drop"])
    def test_one_bad_block_is_asked_again(self, bench: Bench, kind: str) -> None:
        """The trace stays in the oscilloscope: a second question is harmless."""
        library = bench(f"{{device: scope, kind: {kind}, match: 'WAV:DATA', nth: 1}}")
        scope = ready(library)
        scope.arm()
        shots(library, 1)
        scope.wait()
        assert scope.read(1).volts.shape == (10_000,)

    def test_wrong_preamble(self, bench: Bench) -> None:
        """More points than bytes: an error."""
        fault = "{device: scope, kind: wrong_value, match: 'WAV:PRE', value: '+0'}"
        library = bench(fault)
        scope = ready(library)
        scope.arm()
        shots(library, 1)
        scope.wait()
        with pytest.raises(LinkError):
            scope.read(1)

    @pytest.mark.parametrize(
        "text",
        ["", "1,2,3", "0,0,10,1,1,0,0,1,0,0", "1,0,0,1,1,0,0,1,0,0", "1,0,9,1,nan,0,0,1,0,0"],
    )
    def test_preambles(self, text: str) -> None:
        """Other formats, no points, no numbers."""
        with pytest.raises(ValueError, match=r".*"):
            parse_preamble(text)

    def test_length(self) -> None:
        """Two bytes a point."""
        with pytest.raises(ValueError, match="7 bytes"):
            counts_of(bytes(7), 4)


def test_average(bench: Bench) -> None:
    """The number of averages is the oscilloscope's."""
    library = bench()
    scope = ready(library)
    scope.acquisition_type("AVER")
    scope.averages(4)
    scope.arm()
    shots(library, 4)
    scope.wait()
    assert scope.read(1).averages == 4
