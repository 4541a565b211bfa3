"""Modulation and sweeps of the simulated waveform generator, and of its driver."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qcodes.instrument import Instrument

from cavitylab.instruments.drivers.keysight_33600a import Keysight33600A as Driver
from cavitylab.instruments.errors import LimitError
from cavitylab.instruments.simulated.devices.generator_modulation import Modulation, Sweep, heard
from cavitylab.instruments.simulated.devices.keysight_33600a import Keysight33600A
from cavitylab.instruments.simulated.lines import RFTone, value_at

LABORATORY = """\
format: 1
title: A generator alone
seed: 1
devices:
  - {name: generator, model: keysight_33600a, addresses: ["TCPIP0::10.0.0.6::5025::SOCKET"]}
apparatus:
  kind: pumped_cavity
  truth:
    atoms: 2
    pump: {full_rate: 1.0, saturation_power: 1.0}
    cavity: {collective_decay: 1.0}
    detector: {rate_per_atom: 1.0, background_rate: 1.0}
"""


@pytest.fixture
def unit(device_bench: Callable[..., Any]) -> Any:
    """A generator whose Ext Trig is wired to a pulse box; 80 kHz, 2 Vpp, on."""
    bench = device_bench(Keysight33600A, [("box.out", "unit.trigger")])
    bench.send("FREQ 80E3;:VOLT 2;:OUTP1 ON")
    return bench


def tones(unit: Any, times: list[float], period: float = 20e-3) -> list[RFTone]:
    """What is on output 1 at these times of a shot that begins now."""
    burst = unit.laboratory.fire("box", unit.laboratory.now(), period, 1)
    shot = unit.laboratory._shot(burst, 0)
    unit.device.begin(shot)
    line = unit.device.signal("ch1", shot)
    return [value_at(line, time) for time in times]


def slopes(wave: Modulation | Sweep, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """The derivative of the phase in cycles."""
    step = 1e-9
    return (wave.turns(times + step) - wave.turns(times - step)) / (2 * step)


def test_amplitude_modulation_is_tones_of_changing_power(unit: Any) -> None:
    """Depth 50 % of 100 Hz: from a quarter to three quarters of the amplitude."""
    unit.send("AM:DEPT 50;:AM:INT:FREQ 100;:AM:STAT ON")
    low, high = tones(unit, [7.5e-3, 2.5e-3])
    full = 10 * math.log10(1.0 / 100.0 / 1e-3)
    assert low.power_dbm == pytest.approx(full + 20 * math.log10(0.25), abs=0.05)
    assert high.power_dbm == pytest.approx(full + 20 * math.log10(0.75), abs=0.05)
    assert {low.frequency, high.frequency} == {80e3}


def test_frequency_modulation_is_tones_of_changing_frequency(unit: Any) -> None:
    """A triangle of 50 Hz: from its lowest point up."""
    unit.send("FM:DEV 10E3;:FM:INT:FREQ 50;:FM:INT:FUNC TRI;:FM:STAT ON")
    found = [tone.frequency for tone in tones(unit, [1e-4, 5e-3, 10e-3, 15e-3])]
    assert found == pytest.approx([70.2e3, 80e3, 90e3, 80e3], abs=400.0)


def test_phase_modulation_is_tones_of_changing_phase(unit: Any) -> None:
    """A square of 90 degrees."""
    unit.send("PHAS 10;:PM:DEV 90;:PM:INT:FREQ 50;:PM:INT:FUNC SQU;:PM:STAT ON")
    found = [tone.phase_deg for tone in tones(unit, [5e-3, 15e-3])]
    assert found == pytest.approx([100.0, -80.0])


def test_a_triggered_sweep_starts_at_the_edge_and_rests_at_its_start(unit: Any) -> None:
    """1 to 2 MHz in 4 ms behind an edge at 2 ms, 1 ms hold, 2 ms back."""
    unit.box.windows = ((2e-3, 3e-3),)
    unit.send("FREQ:STAR 1E6;STOP 2E6;:SWE:TIME 4E-3;HTIM 1E-3;RTIM 2E-3")
    unit.send("TRIG1:SOUR EXT;:SWE:STAT ON")
    found = tones(unit, [1e-3, 4e-3, 6.5e-3, 8e-3, 12e-3])
    expected = [1.0e6, 1.5e6, 2.0e6, 1.5e6, 1.0e6]
    assert [one.frequency for one in found] == pytest.approx(expected, abs=1e4)


def test_one_thing_at_a_time(unit: Any) -> None:
    """The last one switched on stays; a burst and a function without modulation end it."""
    unit.send("AM:STAT ON;:FM:STAT ON")
    assert unit.ask("AM:STAT?;:FM:STAT?;:SWE:STAT?") == "0;1;0"
    unit.send("BURS:STAT ON")
    assert unit.ask("FM:STAT?;:BURS:STAT?") == "0;1"
    unit.send("SWE:STAT ON")
    assert unit.ask("SWE:STAT?;:BURS:STAT?") == "1;0"
    unit.send("FUNC PULS")
    assert unit.ask("SWE:STAT?") == "0"
    assert unit.error_after("FUNC SIN;:FM:DEV 1E6;:FM:STAT ON") == "-221"


@pytest.mark.parametrize(
    "wave",
    [
        Modulation("FM", 1e5, 3e4, "SIN", 700.0),
        Modulation("FM", 1e5, 3e4, "NRAM", 700.0),
        Modulation("PM", 1e5, 0.25, "SQU", 700.0),
        Sweep(1e5, 3e5, 2e-3, 1e-3, 1e-3),
        Sweep(3e5, 1e5, 2e-3, 0.0, 5e-4, logarithmic=True),
        Sweep(1e5, 3e5, 2e-3, triggers=(1e-3, 2e-3, 7e-3)),
        Sweep(1e5, 3e5, 2e-3, every=5e-3),
    ],
)
def test_the_phase_is_the_integral_of_the_frequency(wave: Modulation | Sweep) -> None:
    """Away from steps of the modulating shape."""
    times = 1e-2 * (np.arange(40) + 0.417) / 40
    assert slopes(wave, times) == pytest.approx(wave.frequency(times), rel=2e-3)


def test_a_trigger_during_a_sweep_is_lost() -> None:
    """As during a burst."""
    assert heard((3.0, 0.0, 1.0, 2.0), 2.0) == [0.0, 2.0]
    sweep = Sweep(1.0, 3.0, 2.0, triggers=())
    assert sweep.frequency(np.array([-1.0, 5.0])) == pytest.approx([1.0, 1.0])


def test_a_carrier_that_is_no_sine_is_a_voltage(unit: Any) -> None:
    """A square of 1 Vpp on 50 ohm at depth 100 %: from 0 to the whole amplitude."""
    unit.send("FUNC SQU;:AM:DEPT 100;:AM:INT:FREQ 100;:AM:STAT ON")
    burst = unit.laboratory.fire("box", unit.laboratory.now(), 20e-3, 1)
    shot = unit.laboratory._shot(burst, 0)
    volts = unit.device.voltage("ch1", shot, np.linspace(0.0, 10e-3, 20_001))
    assert np.max(volts) == pytest.approx(1.0, abs=1e-3)
    assert np.max(np.abs(volts[14_900:15_100])) < 2e-3


def test_the_driver_sets_up_one_modulation_and_reads_it_back(tmp_path: Any) -> None:
    """Nothing is sent that a limit forbids."""
    path = tmp_path / "generator.lab.yaml"
    path.write_text(LABORATORY, encoding="utf-8")
    generator = Driver("modulated", "TCPIP0::10.0.0.6::5025::SOCKET", visalib=f"{path}@cavitylab")
    try:
        channel = generator.ch1
        channel.frequency(1e6)
        channel.modulate_amplitude(60.0, 1e3, "TRI")
        assert channel.modulation() == "AM" and channel.am_depth() == 60.0
        channel.modulate_frequency(2e4, 50.0)
        assert channel.modulation() == "FM" and channel.fm_deviation() == 2e4
        channel.modulate_phase(45.0, 50.0)
        assert channel.modulation() == "PM" and channel.pm_deviation() == 45.0
        channel.sweep(1e6, 2e6, 5e-3, spacing="LOG", hold=1e-3, trigger="EXT")
        assert channel.modulation() == "SWE" and channel.sweep_stop() == 2e6
        assert channel.trigger_source() == "EXT" and channel.sweep_spacing() == "LOG"
        channel.unmodulated()
        assert channel.modulation() == ""
        before = len(generator.journal.sent())
        for refused in (
            lambda: channel.modulate_amplitude(120.0, 1e3),
            lambda: channel.modulate_amplitude(50.0, 1e3, "SINE"),
            lambda: channel.modulate_phase(50.0, 0.0),
            lambda: channel.sweep(1e6, 2e6, 0.0),
            lambda: channel.sweep(1e6, 2e6, 1.0, trigger="SOON"),
        ):
            with pytest.raises(LimitError):
                refused()
        assert len(generator.journal.sent()) == before
        with pytest.raises(LimitError, match="exceeds the frequency"):
            channel.modulate_frequency(2e6, 50.0)
    finally:
        Instrument.close_all()
