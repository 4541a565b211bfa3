"""Calibrations whose signal falls, whose constant drifts, or whose detector saturates.

Settings come in turn, pass after pass, as the protocols take them: what wanders within a run is
spread over all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from disturbed_records import CLIPS, SMALL, Array, Disturbance, Records, ramp

from cavitylab.estimators import (
    AomCalibration,
    CountingBeliefs,
    DeadTimeCalibration,
    DecayBeliefs,
    DecayCalibration,
    DetectorCalibration,
    DetuningBeliefs,
    DetuningCalibration,
    DriveBeliefs,
    DriveCalibration,
    Estimate,
    GainCalibration,
    RabiBeliefs,
    RabiCalibration,
    RamseyBeliefs,
    SettlingCalibration,
    SpectroscopyCalibration,
)

ATOMS, GAIN, BACKGROUND = 20, 80.0, 60.0
COUNTING = CountingBeliefs(ATOMS, (50.0, 150.0), (12.5, 210.0))
FULL = GAIN * ATOMS + BACKGROUND
PARTS = 8  # in which a law that is dear to compute is held

Clean = Callable[..., Records]


def _three(
    label: str,
    clean: Clean,
    make: Callable[[], Any],
    quantity: str,
    full: float,
    fall: str,
    drift: str,
    column: str = "counts",
) -> Iterator[Disturbance]:
    """`clean(rng, fall=…, drift=…)`; readings, or those of ensemble 0, saturate below `full`."""

    def fit(records: Records, _: float) -> Estimate:
        estimator = make()
        estimator.update(records)
        found: Estimate = estimator.estimate()
        return found

    def clipped(size: float, rng: np.random.Generator) -> Records:
        found = clean(rng)
        values = np.array(found[column])
        port = values if values.ndim == 1 else values[:, 0]
        top = (1.0 - size) * full
        port[:] = np.minimum(port, round(top) if column == "counts" else top)
        return {**found, column: values}

    yield Disturbance(label, fall, SMALL, lambda s, rng: clean(rng, fall=s), fit, (quantity,))
    yield Disturbance(label, drift, SMALL, lambda s, rng: clean(rng, drift=s), fit, (quantity,))
    yield Disturbance(label, "detector saturates, below full", CLIPS, clipped, fit, (quantity,))


def _passes(number: int, *columns: Any) -> list[Array]:
    return [np.tile(np.asarray(column, dtype=float), number) for column in columns]


def rabi() -> Iterator[Disturbance]:
    """100 shots of 100 atoms, four passes of 25 lengths."""
    (time,) = _passes(4, np.linspace(0.0, 100e-6, 25))

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        omega, contrast = 1.26e5 * (1 + ramp(drift, 100)), 0.9 * (1 + ramp(-fall, 100))
        p = 0.5 - 0.5 * contrast * np.exp(-3e3 * time) * np.cos(omega * time)
        return {"counts": rng.binomial(100, np.clip(p, 0.0, 1.0)), "time": time}

    yield from _three(
        "Rabi flops",
        clean,
        lambda: RabiCalibration(RabiBeliefs(100, (1e4, 3e5))),
        "rabi_frequency",
        100.0,
        "contrast falls within the run",
        "drive drifts within the run",
    )


def detuning() -> Iterator[Disturbance]:
    """Two passes of 84 fringes to 20 ms; the drift in units of one turn at 20 ms."""
    axes = (np.geomspace(3e-4, 2e-2, 6), np.linspace(-3.0, 3.0, 7), [0.0, -0.5 * math.pi])
    grid = np.meshgrid(*axes, indexing="ij")
    time, current, phase = _passes(2, *(axis.ravel() for axis in grid))

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        offset, contrast = 41.0 + 50.0 * ramp(drift, 168), 0.9 * (1 + ramp(-fall, 168))
        wave = np.cos(math.tau * (offset - 183.0 * current) * time + phase)
        p = 0.5 + 0.5 * contrast * np.exp(-10.0 * time) * wave
        counts = rng.binomial(100, np.clip(p, 0.0, 1.0))
        return {"counts": counts, "time": time, "current": current, "bias_phase": phase}

    beliefs = RamseyBeliefs(100, (-500.0, 500.0), (-300.0, 300.0))
    yield from _three(
        "detuning against current",
        clean,
        lambda: DetuningCalibration(beliefs),
        "slope",
        100.0,
        "contrast falls within the run",
        "offset drifts, turns at 20 ms",
    )


def aom() -> Iterator[Disturbance]:
    """Five passes of 20 powers."""
    (power,) = _passes(5, np.linspace(0.02, 1.6, 20))

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        saturation, light = 1.6 * (1 + ramp(drift, 100)), 2.0 * (1 + ramp(-fall, 100))
        law = light * np.sin(0.5 * math.pi * np.sqrt(power / saturation)) ** 2 + 0.05
        return {"reading": law + 0.02 * rng.standard_normal(100), "power": power}

    for label, width in (("AOM, noise free", None), ("AOM, noise known", 0.02)):
        yield from _three(
            label,
            clean,
            lambda width=width: AomCalibration(reading_std=width),
            "saturation_power",
            2.05,
            "light falls within the run",
            "P_sat drifts within the run",
            "reading",
        )


def detector() -> Iterator[Disturbance]:
    """40 passes of eight levels."""
    (level,) = _passes(40, np.linspace(50.0, 900.0, 8))

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        atoms = rng.poisson(level * (1 + ramp(-fall, 320)))
        return {"counts": rng.poisson(20.0 * (1 + ramp(drift, 320)) * atoms + 200), "light": level}

    yield from _three(
        "detector, mean-variance",
        clean,
        DetectorCalibration,
        "gain",
        20.0 * 900.0 + 200.0,
        "light falls within the run",
        "gain drifts within the run",
    )


def dead_time() -> Iterator[Disturbance]:
    """30 passes of ten levels to 1.5 MHz, 50 ns, 5 ms; the law of a long gate."""
    (light,) = _passes(30, np.linspace(0.05, 1.0, 10))

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        rate = 1.5e6 * light * (1 + ramp(-fall, 300)) + 1e3
        alive = 1.0 / (1.0 + rate * 50e-9 * (1 + ramp(drift, 300)))
        mean = 5e-3 * rate * alive
        return {"counts": np.rint(rng.normal(mean, np.sqrt(mean) * alive)), "light": light}

    yield from _three(
        "dead time",
        clean,
        lambda: DeadTimeCalibration(5e-3),
        "dead_time",
        5e-3 * 1.5e6 / 1.075,
        "light falls within the run",
        "dead time drifts within the run",
    )


def settling() -> Iterator[Disturbance]:
    """Three steps of 50 readings; the coil's time constant may drift from step to step."""
    (time,) = _passes(3, np.linspace(-1e-3, 9e-3, 50))

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        height, tau = 4.0 * (1 + ramp(-fall, 150)), 1.2e-3 * (1 + ramp(drift, 150))
        law = height * (1.0 - np.exp(-np.maximum(time - 3e-4, 0.0) / tau))
        return {"reading": law + 0.05 * rng.standard_normal(150), "time": time}

    yield from _three(
        "settling",
        clean,
        SettlingCalibration,
        "time_constant",
        4.0,
        "height falls within the run",
        "time constant drifts within the run",
        "reading",
    )


# ---- by pulses on atoms that start down ----------------------------------------------------------


def _photons(p: Array, fall: float, rng: np.random.Generator) -> Array:
    atoms = rng.binomial(ATOMS, np.clip(p, 0.0, 1.0)[:, None], (p.size, 2))
    return rng.poisson(GAIN * (1 + ramp(-fall, p.size))[:, None] * atoms + BACKGROUND)


def drive() -> Iterator[Disturbance]:
    """Eight passes of four powers by eight lengths, and darkness."""
    power = np.repeat([0.065, 0.32, 0.6, 0.95], 8)
    believed = 60e3 * np.sin(0.5 * math.pi * np.sqrt(power / 1.6))
    time = np.tile([0.12, 0.25, 0.4, 0.6, 0.9, 1.3, 1.9, 2.8], 4) / believed
    power, time = _passes(8, np.r_[power, 0.065], np.r_[time, 0.0])

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        full = 72e3 * (1 + ramp(drift, power.size))
        p = np.sin(math.pi * full * np.sin(0.5 * math.pi * np.sqrt(power / 1.28)) * time) ** 2
        return {"counts": _photons(p, fall, rng), "power": power, "pulse_time": time}

    beliefs = DriveBeliefs(COUNTING, (30e3, 90e3), (0.8, 2.4))
    yield from _three(
        "drive from flops",
        clean,
        lambda: DriveCalibration(beliefs),
        "f_max",
        FULL,
        "gain falls within the run",
        "drive drifts within the run",
    )


def spectroscopy() -> Iterator[Disturbance]:
    """Eight passes of 13 currents, a shorter pulse and darkness; drift in units of 1/(300 us)."""
    current, time = _passes(
        8, np.r_[np.linspace(-9.0, 9.0, 13), 0.0, 0.0], np.r_[np.full(13, 3e-4), 1.5e-4, 0.0]
    )

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        offset = 40.0 + ramp(drift, current.size) / 3e-4
        swing = np.hypot(1600.0, 0.5 * (240.0 * current + offset))
        p = (1600.0 / swing * np.sin(math.pi * swing * time)) ** 2
        return {"counts": _photons(p, fall, rng), "current": current, "pulse_time": time}

    beliefs = DetuningBeliefs(COUNTING, (120.0, 360.0), (-300.0, 300.0), (800.0, 2400.0))
    yield from _three(
        "detuning from weak pulses",
        clean,
        lambda: SpectroscopyCalibration(beliefs),
        "slope",
        FULL,
        "gain falls within the run",
        "offset drifts, of 3.3 kHz",
    )


def gain() -> Iterator[Disturbance]:
    """40 passes of five levels."""
    (level,) = _passes(40, [0.0, 0.05, 0.1, 0.2, 0.5])

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        return {"counts": _photons(level * (1 + ramp(drift, 200)), fall, rng), "level": level}

    yield from _three(
        "detector from peaks",
        clean,
        lambda: GainCalibration(COUNTING),
        "gain",
        FULL,
        "gain falls within the run",
        "levels drift within the run",
    )


def decay() -> Iterator[Disturbance]:
    """20 passes of five flops and six decays; ten atoms in each ensemble."""
    few = CountingBeliefs(10, (50.0, 150.0), (12.5, 210.0))
    beliefs = DecayBeliefs(few, (100.0, 300.0), (0.8, 2.4), (10e3, 30e3))
    flops = [(0.12, 0.0, turn / 20e3) for turn in (0.0, 0.25, 0.5, 0.75, 1.2)]
    power = np.repeat([0.12, 0.5, 0.95], 2)
    rate = 200.0 * np.sin(0.5 * math.pi * np.sqrt(power / 1.6)) ** 2
    wait = np.tile([0.6, 1.4], 3) / (20.0 * math.pi * rate)
    decays = np.column_stack([power, wait, np.full(6, 0.3 / 20e3)])
    table = np.array([*flops, *decays])
    curve = DecayCalibration(beliefs).curve(*table.T)
    power, wait, pulse = _passes(24, *table.T)

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        up = []
        for turn in ramp(drift, PARTS) + 1.0:
            law = curve.shares(np.array([240.0 * turn, 1.28, 24e3, GAIN, BACKGROUND]))[0]
            law /= law.sum(axis=1, keepdims=True)
            up += [rng.choice(21, p=row) for _ in range(24 // PARTS) for row in law]
        both = np.array(up)
        first = rng.hypergeometric(both, 20 - both, 10)
        atoms = np.stack([first, both - first], axis=1)
        gains = GAIN * (1 + ramp(-fall, both.size))[:, None]
        counts = rng.poisson(gains * atoms + BACKGROUND)
        return {"counts": counts, "power": power, "decay_time": wait, "pulse_time": pulse}

    yield from _three(
        "collective decay",
        clean,
        lambda: DecayCalibration(beliefs),
        "G_max",
        GAIN * 10 + BACKGROUND,
        "gain falls within the run",
        "decay drifts within the run",
    )


def disturbances() -> Iterator[Disturbance]:
    """Of every calibration."""
    for one in (rabi, detuning, aom, detector, dead_time, settling):
        yield from one()
    for one in (drive, spectroscopy, gain, decay):
        yield from one()
