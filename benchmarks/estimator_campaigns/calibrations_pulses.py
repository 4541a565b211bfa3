"""Calibrations by pulses on atoms that start down: drive, detuning, detector, collective decay."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from cavitylab.estimators import (
    CountingBeliefs,
    DecayBeliefs,
    DecayCalibration,
    DetuningBeliefs,
    DriveBeliefs,
    DriveCalibration,
    Estimate,
    GainCalibration,
    SpectroscopyCalibration,
    decay_bounds,
    population_bounds,
)
from cavitylab.estimators.calibrations_flops import LevelCurve

from .campaign import Campaign, Records

Array = NDArray[np.float64]

ATOMS, GAIN, BACKGROUND = 100, 80.0, 60.0
COUNTING = CountingBeliefs(ATOMS, (50.0, 150.0), (12.5, 210.0))
DRIVE = DriveBeliefs(COUNTING, (30e3, 90e3), (0.8, 2.4), detuning=(0.0, 50.0))
DRIVEN = np.array([72e3, 1.28, 30.0, GAIN, BACKGROUND])
LINE = DetuningBeliefs(COUNTING, (120.0, 360.0), (-100.0, 100.0), (800.0, 2400.0))
DETUNED = np.array([240.0, 40.0, 1600.0, GAIN, BACKGROUND])
LEVELS = np.array([0.0, 0.02, 0.04, 0.08, 0.3])
FEW = CountingBeliefs(30, (50.0, 150.0), (12.5, 210.0))
DECAY = DecayBeliefs(FEW, (100.0, 300.0), (0.8, 2.4), (10e3, 30e3))
DECAYED = np.array([240.0, 1.28, 24e3, GAIN, BACKGROUND])


def _photons(p: Array, rng: np.random.Generator) -> Array:
    counts = rng.poisson(GAIN * rng.binomial(ATOMS, p[:, None], (p.size, 2)) + BACKGROUND)
    return counts.astype(np.float64)


def _fit(make: Callable[[], object]) -> Callable[..., Estimate]:
    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = make()
        estimator.update(records)  # type: ignore[attr-defined]
        return estimator.estimate(level)  # type: ignore[attr-defined,no-any-return]

    return fit


def _drive(shots: int) -> Campaign:
    power = np.repeat([0.065, 0.32, 0.6, 0.95], 8)
    believed = 60e3 * np.sin(0.5 * math.pi * np.sqrt(power / 1.6))
    time = np.tile([0.12, 0.25, 0.4, 0.6, 0.9, 1.3, 1.9, 2.8], 4) / believed
    power, time = np.r_[power, 0.065], np.r_[time, 0.0]
    number = np.r_[np.full(32, shots), 3 * shots]
    curve = DriveCalibration(DRIVE).curve(power, time)
    p = np.repeat(curve.populations(DRIVEN[:3])[0], number)
    settings = {"power": np.repeat(power, number), "pulse_time": np.repeat(time, number)}
    bound = population_bounds(curve, COUNTING, DRIVEN, 2.0 * number)

    def least_squares(records: Records) -> float:
        """Means at the middle of the ranges' start, gain and background free."""

        def law(_: Array, full: float, saturation: float, top: float, low: float) -> Array:
            angle = 0.5 * math.pi * np.sqrt(settings["power"] / saturation)
            wave: Array = np.sin(math.pi * full * np.sin(angle) * settings["pulse_time"]) ** 2
            return low + top * wave

        counts = np.asarray(records["counts"]).mean(axis=1)
        found, _ = curve_fit(law, settings["power"], counts, p0=[60e3, 1.6, 8e3, 60.0])
        return float(found[0])

    return Campaign(
        "drive from flops, photons",
        f"f_max 20 % off, {number.sum()} shots",
        float(DRIVEN[0]),
        lambda rng: {"counts": _photons(p, rng), **settings},
        _fit(lambda: DriveCalibration(DRIVE)),
        lambda _: math.sqrt(bound[0, 0]),
        limit=1.1,
        coverage_limit=0.945,
        peers={"curve_fit from the believed drive": least_squares},
        quantity="f_max",
    )


def _spectroscopy(shots: int) -> Campaign:
    current = np.r_[np.linspace(-9.0, 9.0, 13), 0.0, 0.0]
    time = np.r_[np.full(13, 3e-4), 1.5e-4, 0.0]
    number = np.r_[np.full(14, shots), 3 * shots]
    curve = SpectroscopyCalibration(LINE).curve(current, time)
    p = np.repeat(curve.populations(DETUNED[:3])[0], number)
    settings = {"current": np.repeat(current, number), "pulse_time": np.repeat(time, number)}
    bound = population_bounds(curve, COUNTING, DETUNED, 2.0 * number)
    return Campaign(
        "detuning from weak pulses, photons",
        f"slope 0 to 50 % off, {number.sum()} shots",
        float(DETUNED[0]),
        lambda rng: {"counts": _photons(p, rng), **settings},
        _fit(lambda: SpectroscopyCalibration(LINE)),
        lambda _: math.sqrt(bound[0, 0]),
        limit=1.1,
        coverage_limit=0.945,
        quantity="slope",
    )


def _gain(shots: int) -> Campaign:
    level = np.repeat(LEVELS, shots)
    truth = np.array([*LEVELS[1:], GAIN, BACKGROUND])
    bound = population_bounds(
        LevelCurve.of(LEVELS), COUNTING, truth, np.full(LEVELS.size, 2.0 * shots)
    )

    def line(records: Records) -> float:
        """Slope of variance less mean against mean, the binomial share neglected."""
        counts = np.asarray(records["counts"])
        means = np.array([counts[level == one].mean() for one in LEVELS])
        excess = np.array([counts[level == one].var(ddof=1) for one in LEVELS]) - means
        return float(np.polyfit(means[:4], excess[:4], 1)[0])

    return Campaign(
        "detector from the peaks of few atoms",
        f"5 levels x {shots}",
        GAIN,
        lambda rng: {"counts": _photons(level, rng), "level": level},
        _fit(lambda: GainCalibration(COUNTING)),
        lambda _: math.sqrt(bound[-2, -2]),
        limit=1.1,
        coverage_limit=0.945,
        peers={"mean-variance line": line},
        quantity="gain",
    )


@functools.cache
def _decay_curve() -> tuple[object, Array, Array]:
    """The curve at all settings, shots of each, probabilities of atoms up."""
    flops = [(0.12, 0.0, turn / 20e3, 12) for turn in (0.0, 0.25, 0.5, 0.75, 1.2)]
    decays = [
        (power, depth / (60.0 * math.pi * rate), 0.3 / 20e3, 40)
        for power in (0.12, 0.5, 0.95)
        for rate in [200.0 * math.sin(0.5 * math.pi * math.sqrt(power / 1.6)) ** 2]
        for depth in (0.4, 0.8, 1.6)
    ]
    table = np.array([*flops, *decays])
    curve = DecayCalibration(DECAY).curve(*table[:, :3].T)
    return curve, table, curve.shares(DECAYED)[0]


def _decay() -> Campaign:
    curve, table, share = _decay_curve()
    number = table[:, 3].astype(int)
    columns = ("power", "decay_time", "pulse_time")
    settings = {name: np.repeat(table[:, k], number) for k, name in enumerate(columns)}

    def draw(rng: np.random.Generator) -> Records:
        up = [
            rng.choice(row.size, p=row / row.sum(), size=shots)
            for row, shots in zip(share, number, strict=True)
        ]
        both = np.concatenate(up)
        first = rng.hypergeometric(both, 2 * FEW.atoms - both, FEW.atoms)
        atoms = np.stack([first, both - first], axis=1)
        return {"counts": rng.poisson(GAIN * atoms + BACKGROUND), **settings}

    return Campaign(
        "collective decay from pulses, photons",
        f"N = 2 x {FEW.atoms}, {number.sum()} shots",
        float(DECAYED[0]),
        draw,
        _fit(lambda: DecayCalibration(DECAY)),
        lambda _: math.sqrt(decay_bounds(curve, DECAYED, number)[0, 0]),  # type: ignore[arg-type]
        limit=1.1,
        coverage_limit=0.945,
        quantity="G_max",
    )


def rows() -> list[Campaign]:
    """The four calibrations of a two-ensemble station, about as its protocols take them."""
    return [_drive(6), _spectroscopy(8), _gain(40), _decay()]
