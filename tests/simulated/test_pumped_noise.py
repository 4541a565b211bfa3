"""Noise of the pumped cavity: off by default, and with its signature where it is on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from cavitylab.instruments.simulated.lines import LightState, RFTone, Stretch, Timeline
from cavitylab.instruments.simulated.pumped_cavity import PumpedCavity
from cavitylab.instruments.simulated.pumped_truth import PumpedDriftsEntry, PumpedTruth
from cavitylab.instruments.simulated.truth import BeamTruth, DriftEntry, LightNoiseEntry

TRUTH = PumpedTruth(
    atoms=20,
    pump=BeamTruth(20.0, 1.6, 80e6, 10e3),
    decay=5.0,
    rate_per_atom=40e3,
    background_rate=20e3,
)
PERIOD, SHOTS = 0.35, 20_000


def line(value: object, start: float = 0.0, stop: float = PERIOD) -> tuple[Stretch, ...]:
    return (Stretch(start, stop, value),)


def shot(rate: float = 5.0) -> Timeline:
    """Pumped at `rate` Hz from 50 us until after the gate of 50 us at 300 ms."""
    power = 1.6 * (2.0 / math.pi * math.asin(math.sqrt(rate / 20.0))) ** 2
    return {
        "pump.rf": line(RFTone(80e6, 10.0 * math.log10(power / 1e-3))),
        "pump.switch": line(True, 50e-6, 0.301),
        "light": line(LightState(emission=True, locked=True)),
        "probe": line(True, 0.30005, 0.3001),
        "counter.gate": line(True, 0.30005, 0.3001),
    }


def take(truth: PumpedTruth = TRUTH, shots: int = SHOTS, **noise: float) -> NDArray[np.int64]:
    drifts = PumpedDriftsEntry(shot_to_shot=LightNoiseEntry(**noise))
    cavity = PumpedCavity(truth, 2, drifts)
    return cavity.counts(shot(), range(shots), PERIOD * np.arange(shots))[:, 0]


def test_zeros_change_nothing() -> None:
    """A section of zeros, and no section at all, give the same counts."""
    times = PERIOD * np.arange(200)
    plain = PumpedCavity(TRUTH, 2).counts(shot(), range(200), times)
    assert np.array_equal(plain[:, 0], take(shots=200))


def test_pump_noise_widens_the_number_at_the_transition() -> None:
    """At the critical pump dn/dw is steep: 10 % of power noise show in the variance of n."""
    bright = replace(TRUTH, rate_per_atom=1e7, background_rate=0.0)
    calm, noisy = take(bright), take(bright, laser_power=0.1)
    assert noisy.var() > 1.1 * calm.var()
    assert abs(noisy.mean() - calm.mean()) < 0.03 * calm.mean()


def test_rf_noise_is_pump_noise() -> None:
    """The RF acts through the modulator's law: at half of the full rate it is felt as well."""
    bright = replace(TRUTH, rate_per_atom=1e7, background_rate=0.0)
    assert take(bright, rf_amplitude=0.1).var() > 1.1 * take(bright).var()


def test_background_noise_and_dead_time() -> None:
    """Var = m + (rms m)^2 of the background alone; dead time lowers mean and variance."""
    dark = replace(TRUTH, rate_per_atom=0.0, background_rate=20e6)
    counts = take(dark, background=0.1)
    squares = (counts - counts.mean()) ** 2
    expected = 1000.0 + (0.1 * 1000.0) ** 2
    assert abs(squares.mean() - expected) < 4.6 * squares.std() / math.sqrt(SHOTS)
    blind = take(replace(dark, dead_time=10e-9), shots=2000)
    assert blind.mean() == pytest.approx(1000.0 / 1.2, rel=0.01)
    assert blind.var() == pytest.approx(1000.0 / 1.2**3, rel=0.2)


def test_the_revealed_gain_is_told_with_its_noise() -> None:
    """What is revealed says how noise is meant, and that there is dead time."""
    drifts = PumpedDriftsEntry(
        shot_to_shot=LightNoiseEntry(laser_power=0.01),
        detection=DriftEntry(rms=0.01, correlation_time=10.0),
    )
    cavity = PumpedCavity(replace(TRUTH, dead_time=1e-8), 2, drifts)
    cavity.counts(shot(), range(20), PERIOD * np.arange(20))
    told = cavity.reveal()
    assert told["shots"] == 20
    assert any("laser power is new in every shot" in text for text in told["approximations"])
    assert any("1e-08 s of a count" in text for text in told["approximations"])


def test_what_the_pumped_cavity_has_not_is_refused() -> None:
    """There is no coil, and its atom number is constant."""
    with pytest.raises(ValueError):
        PumpedDriftsEntry.model_validate({"shot_to_shot": {"coil_current": 0.1}})
