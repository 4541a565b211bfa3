"""Every estimator of the registry with plausible records of any number of shots."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from cavitylab.estimators import (
    BiasSetting,
    Calibrated,
    ChainValues,
    CloudBeliefs,
    CountingBeliefs,
    DecayBeliefs,
    DetuningBeliefs,
    DriveBeliefs,
    DriveCalibration,
    EllipseAtoms,
    LightBeliefs,
    RampBeliefs,
    ScheduleBeliefs,
    SpectroscopyCalibration,
    SqueezingBeliefs,
    draw_ramps,
    draw_relaxation_clouds,
    draw_snapshots,
    draw_sweeps,
)
from cavitylab.estimators.registry import estimators

Records = dict[str, np.ndarray]
SQUEEZED = SqueezingBeliefs(50.0, 2, 100.0, 50.0)


@dataclass(frozen=True)
class Case:
    """An estimator, ready to be built, and what to feed it.

    Attributes:
        beliefs: keys of the registry.
        draw: records of about `shots` shots.
        column: the column that nothing can be said without.
        atoms: whether the number of atoms bounds the counts.
    """

    beliefs: Mapping[str, Any]
    draw: Callable[[np.random.Generator, int], Records]
    column: str = "counts"
    atoms: bool = True
    shots: int = 60


def ellipse(rng: np.random.Generator, shots: int, atoms: int = 20, gain: float = 0.0) -> np.ndarray:
    """Independent atoms of two ensembles at phi = 0.6."""
    theta = rng.uniform(0.0, 2.0 * math.pi, shots)
    counts = rng.binomial(atoms, 0.5 + 0.45 * np.sin(np.stack([0.6 + theta, 0.6 - theta], axis=1)))
    return rng.poisson(gain * counts) if gain else counts


def squeezed(rng: np.random.Generator, shots: int, settings: tuple[int, ...]) -> Records:
    """Atoms of two ensembles; setting 1 is the spin length."""
    setting = np.resize(settings, shots)
    sums, length = rng.normal(0.0, 3.0, shots), np.where(setting == 1, 90.0, 0.0)
    m = np.column_stack([sums + length, sums - length]) / 2.0
    return {"counts": rng.poisson(100.0 * (50.0 + m) + 50.0), "setting": setting}


def _phases(rng: np.random.Generator, shots: int) -> Records:
    return {"counts": ellipse(rng, shots), "bias_phase": np.zeros(shots)}


def _combined(rng: np.random.Generator, shots: int) -> Records:
    return {"counts": rng.poisson(100.0 * (50.0 + rng.normal(2.0, 3.0, (shots, 3))))}


def _four(rng: np.random.Generator, shots: int) -> Records:
    theta = rng.uniform(0.0, 2.0 * math.pi, (shots, 1))
    angle = theta + np.array([0.0, 0.5, 0.5, 0.0]) * math.pi + 0.1 * np.array([1.5, 0.5, -0.5, -1])
    return {"counts": rng.binomial(50, 0.5 + 0.45 * np.sin(angle))}


def _snapshots(rng: np.random.Generator, shots: int) -> Records:
    drawn = draw_snapshots(20, 1.0, 20.0, 5.0, np.linspace(0.7, 1.3, shots), rng)
    return {name: np.asarray(column) for name, column in drawn.items()}


def _adaptive(rng: np.random.Generator, shots: int) -> Records:
    records = _snapshots(rng, shots)
    return {**records, "counts": np.asarray(records["counts"]).reshape(shots, 1)}


def _sweeps(rng: np.random.Generator, shots: int) -> Records:
    values, reach = ChainValues(1.0, 1.0, 50.0, 5.0), np.resize([0.8, 1.2], 2 * shots)
    ramps = reach.reshape(shots, 2)
    ramps[1::2] = ramps[1::2, ::-1]
    drawn = draw_sweeps(20, values, ramps, 4.0, 10, rng)
    return {name: np.asarray(column) for name, column in drawn.items()}


RAMP = (0.6, 0.8, 1.0, 1.2, 1.4)
RAMPS = RampBeliefs(
    20, RAMP, RAMP[::-1], 0.4, 1.0, 1.0, Calibrated(20.0, 0.6), Calibrated(5.0, 0.5)
)


def _ramps(rng: np.random.Generator, shots: int) -> Records:
    way, stairs = np.resize([1.0, -1.0], shots), np.resize([1.0, 1.0, 3.0, 3.0, 4.0, 4.0], shots)
    return dict(draw_ramps(RAMPS, (1.0, 1.0, 20.0, 5.0), way, stairs, rng))


def _hold(rng: np.random.Generator, shots: int) -> Records:
    pump = np.resize([0.98, 1.02], shots)
    counts = rng.poisson(30.0 * (55.0 + 300.0 * (pump - 0.9)))
    return {"counts": counts, "pump": pump, "time": np.full(shots, 30.0)}


def _flops(rng: np.random.Generator, shots: int) -> Records:
    time = np.resize(np.linspace(0.0, 1e-4, 25), shots)
    return {"counts": rng.binomial(100, 0.5 - 0.45 * np.cos(1.26e5 * time)), "time": time}


def _detuning(rng: np.random.Generator, shots: int) -> Records:
    grid = np.meshgrid(np.geomspace(3e-4, 2e-2, 6), np.linspace(-3.0, 3.0, 5), [0.0, -1.57])
    time, current, phase = (np.resize(axis.ravel(), shots) for axis in grid)
    p = 0.5 + 0.45 * np.cos(math.tau * (41.0 - 183.0 * current) * time + phase)
    return {
        "counts": rng.binomial(100, p),
        "time": time,
        "current": current,
        "bias_phase": phase,
    }


def _aom(rng: np.random.Generator, shots: int) -> Records:
    power = np.resize(np.linspace(0.02, 1.6, 20), shots)
    law = 2.0 * np.sin(0.5 * math.pi * np.sqrt(power / 1.6)) ** 2
    return {"reading": law + 0.02 * rng.standard_normal(shots), "power": power}


def _light(rng: np.random.Generator, shots: int, poisson: bool = True) -> Records:
    light = np.resize(np.linspace(0.1, 1.0, 6), shots)
    if poisson:
        return {"counts": rng.poisson(20.0 * rng.poisson(900.0 * light) + 200.0), "light": light}
    rate = 5e-3 * 1.5e6 * light
    return {"counts": rng.poisson(rate / (1.0 + 1.5e6 * light * 50e-9)), "light": light}


def _step(rng: np.random.Generator, shots: int) -> Records:
    time = np.resize(np.linspace(-1e-3, 9e-3, 60), shots)
    law = 4.0 * (1.0 - np.exp(-np.maximum(time - 3e-4, 0.0) / 1.2e-3))
    return {"reading": law + 0.05 * rng.standard_normal(shots), "time": time}


def _walk(rng: np.random.Generator, shots: int) -> Records:
    value = np.cumsum(0.03 * rng.standard_normal(shots)) + 0.1 * rng.standard_normal(shots)
    return {"time": np.arange(shots) * 1.0, "value": value, "std": np.full(shots, 0.1)}


def _angles(rng: np.random.Generator, shots: int) -> Records:
    return {
        "x": rng.normal(0.1, 0.7, shots),
        "y": np.rint(np.clip(rng.normal(0.0, 0.8, shots), -6.0, 6.0)),
    }


def _tomography(rng: np.random.Generator, shots: int) -> Records:
    angle = np.resize(np.linspace(0.0, math.pi, 5)[:-1].repeat(2), shots)
    return {**squeezed(rng, shots, (0, 1)), "angle": angle}


def _relaxing(rng: np.random.Generator, shots: int) -> Records:
    time = np.resize(np.linspace(0.1, 2.0, 6), shots)
    atoms = rng.binomial(1, 0.4 * (1.0 - np.exp(-2.0 * time))[:, None], (shots, 2))
    return {"counts": rng.poisson(20.0 * atoms + 1.0), "time": time}


LIT = LightBeliefs(
    0.5,
    Calibrated(1.0, 0.1),
    Calibrated(2.0, 0.1),
    Calibrated(1.5, 0.1),
    Calibrated(20.0, 0.6),
    Calibrated(1.0, 0.1),
    efficiency=Calibrated(0.5, 0.05),
    output_background=Calibrated(0.5, 0.05),
)


def _lit(rng: np.random.Generator, shots: int) -> Records:
    records = _relaxing(rng, shots)
    return {**records, "light": rng.poisson(0.8 * np.asarray(records["time"]))}


CLOUDS = CloudBeliefs(
    40.0,
    Calibrated(1.0, 0.05),
    Calibrated(40.0, 2.0),
    Calibrated(20.0, 1.0),
    Calibrated(20.0, 0.6),
    Calibrated(5.0, 0.5),
    efficiency=Calibrated(0.5, 0.05),
    output_background=Calibrated(50.0, 5.0),
)


def _clouds(rng: np.random.Generator, shots: int) -> Records:
    rates = {"collective_decay": 1.0, "rabi_frequency": 40.0, "detuning_difference": 20.0}
    counters = {"gain": 20.0, "background": 5.0, "efficiency": 0.5, "output_background": 50.0}
    times = np.resize([0.003, 0.006, 0.009], shots)
    return dict(draw_relaxation_clouds(40.0, rates | counters, times, rng))


# ---- calibrations by pulses on atoms that start down: two ensembles of 10 atoms ------------------

COUNTING = CountingBeliefs(10, (50.0, 150.0), (12.5, 210.0))
DRIVE = DriveBeliefs(COUNTING, (30e3, 90e3), (0.8, 2.4), detuning=(0.0, 50.0))
SPECTROSCOPY = DetuningBeliefs(COUNTING, (100.0, 300.0), (-200.0, 200.0), (800.0, 2400.0))
DECAY = DecayBeliefs(COUNTING, (100.0, 300.0), (0.8, 2.4), (10e3, 30e3))


def _photons(rng: np.random.Generator, p: np.ndarray) -> np.ndarray:
    return rng.poisson(80.0 * rng.binomial(10, p[:, None], (p.size, 2)) + 60.0)


def _cycled(shots: int, rows: list[tuple[float, ...]]) -> list[np.ndarray]:
    """Columns of settings that come round and round, dark ones among them."""
    return [np.resize(column, shots).astype(float) for column in zip(*rows, strict=True)]


def _drive(rng: np.random.Generator, shots: int) -> Records:
    turns = [(power, turn / 40e3) for power in (0.1, 0.5, 0.9) for turn in (0.2, 0.6, 1.1, 2.0)]
    power, time = _cycled(shots, [(0.1, 0.0), *turns])
    p, _ = DriveCalibration(DRIVE).curve(power, time).populations(np.array([70e3, 1.3, 20.0]))
    return {"counts": _photons(rng, p), "power": power, "pulse_time": time}


def _spectroscopy(rng: np.random.Generator, shots: int) -> Records:
    pulses = [(current, 3e-4) for current in (-9.0, -5.0, -2.0, 0.0, 2.0, 5.0, 9.0)]
    current, time = _cycled(shots, [(0.0, 0.0), *pulses, (0.0, 1.5e-4)])
    curve = SpectroscopyCalibration(SPECTROSCOPY).curve(current, time)
    p, _ = curve.populations(np.array([220.0, 40.0, 1600.0]))
    return {"counts": _photons(rng, p), "current": current, "pulse_time": time}


def _levels(rng: np.random.Generator, shots: int) -> Records:
    (level,) = _cycled(shots, [(share,) for share in (0.0, 0.05, 0.1, 0.2, 0.5)])
    return {"counts": _photons(rng, level), "level": level}


def _decay(rng: np.random.Generator, shots: int) -> Records:
    flops = [(0.1, 0.0, turn / 20e3) for turn in (0.0, 0.25, 0.5, 0.75)]
    decays = [(power, time, 0.3 / 20e3) for power in (0.1, 0.9) for time in (1e-5, 4e-5, 1.6e-4)]
    power, decay_time, pulse = _cycled(shots, [*flops, *decays])
    rate = 200.0 * np.sin(0.5 * math.pi * np.sqrt(power / 1.4)) ** 2
    p = np.sin(math.pi * 23e3 * pulse) ** 2
    fall = np.exp(21.0 * math.tau * rate * decay_time)
    return {
        "counts": _photons(rng, 1.05 * p / (p + (1.05 - p) * fall)),  # mean of the decay
        "power": power,
        "decay_time": decay_time,
        "pulse_time": pulse,
    }


SCHEDULE = ScheduleBeliefs(
    5.0,
    1.0,
    math.pi / 2,
    100.0,
    50.0,
    np.diag([0.02, 0.02, 0.03, 2.5, 0.015, 0.02]) ** 2,
    (BiasSetting(True, 0.6, 0.5, -0.01), BiasSetting(False, 0.7, 0.7, -0.02)),
)


def _schedule(rng: np.random.Generator, shots: int) -> Records:
    counts = rng.poisson(100.0 * ellipse(rng, shots, atoms=10) + 50.0)
    return {"counts": counts, "setting": np.resize([0, 1], shots)}


_SQUEEZED = {"beliefs": SQUEEZED}
_FLOP_RANGE = (1e4, 3e5)
CASES: dict[str, Case] = {
    "adaptive_phase": Case({"atoms": 20}, _phases),
    "adaptive_pumping": Case(
        {
            "atoms": 20,
            "critical_range": (0.7, 1.4),
            "gain": 20.0,
            "gain_std": 0.6,
            "background": 5.0,
        },
        _adaptive,
    ),
    "aom_calibration": Case({}, _aom, "reading", atoms=False),
    "combined_phase": Case(
        {
            "direction": (1.0, -2.0, 1.0),
            "spins": (50.0,) * 3,
            "slopes": (-45.0,) * 3,
            "slope_stds": (0.5,) * 3,
            "gain": 100.0,
        },
        _combined,
    ),
    "dead_time_calibration": Case(
        {"gate": 5e-3}, lambda rng, n: _light(rng, n, poisson=False), atoms=False
    ),
    "decay_calibration": Case({"beliefs": DECAY}, _decay),
    "detector_calibration": Case({}, _light, atoms=False),
    "detuning_calibration": Case(
        {"atoms": 100, "slope_range": (-500.0, 500.0), "offset_range": (-300.0, 300.0)}, _detuning
    ),
    "drift_filter": Case({"diffusion": 1e-3, "start": (0.0, 1.0)}, _walk, "value", atoms=False),
    "drive_calibration": Case({"beliefs": DRIVE}, _drive),
    "ellipse_contrasts": Case({"atoms": (20, 20)}, lambda rng, n: {"counts": ellipse(rng, n)}),
    "ellipse_phase": Case(
        {
            "spin": 10.0,
            "detuning_ratio": 2.0,
            "pulse_area": math.pi / 2.0,
            "gain": 20.0,
            "background": 5.0,
            "detuning_ratio_std": 0.02,
            "pulse_area_std": 0.02,
            "gain_std": 0.02,
            "background_std": 1.0,
        },
        lambda rng, n: {"counts": ellipse(rng, n, gain=20.0)},
        atoms=False,  # a shot beyond all atoms is a stray shot: the fit goes on and says so
    ),
    "ellipse_schedule": Case({"beliefs": SCHEDULE}, _schedule, atoms=False),
    "gain_calibration": Case({"counting": COUNTING}, _levels),
    "gradient_curvature": Case({"atoms": 50.0}, _four),
    "joint_ellipses": Case(
        {"settings": (EllipseAtoms((20, 20)), EllipseAtoms((20, 20)))},
        lambda rng, n: {"counts": ellipse(rng, n), "setting": np.resize([0, 1], n)},
    ),
    "pumping_hold": Case(
        {
            "atoms": 100,
            "half_rate": Calibrated(50.0, 1.0),
            "background": Calibrated(5.0, 0.3),
            "decay": Calibrated(1.0, 0.1),
        },
        _hold,
        atoms=False,  # photons of a window: any number
    ),
    "pumping_ramps": Case({"beliefs": RAMPS}, _ramps, atoms=False),  # a stray count bends the fit
    "pumping_snapshots": Case({"atoms": 20}, _snapshots, atoms=False),  # the gain is free
    "pumping_sweeps": Case({"atoms": 20, "method": "moments"}, _sweeps, atoms=False, shots=3),
    "rabi_calibration": Case({"atoms": 100, "frequency_range": _FLOP_RANGE}, _flops),
    "relaxation_cumulants": Case({"beliefs": CLOUDS}, _clouds),
    "relaxation_light": Case({"beliefs": LIT}, _lit),
    "relaxation_trace": Case(
        {
            "spin": 0.5,
            "collective_decay": Calibrated(0.3, 0.02),
            "rabi_frequency": Calibrated(0.3, 0.02),
            "detuning_difference": Calibrated(0.2, 0.02),
            "gain": Calibrated(20.0, 0.4),
            "background": Calibrated(1.0, 0.1),
        },
        _relaxing,
    ),
    "settling_calibration": Case({}, _step, "reading", atoms=False),
    "spectroscopy_calibration": Case({"beliefs": SPECTROSCOPY}, _spectroscopy),
    "squeezing_certificate": Case(_SQUEEZED, lambda rng, n: squeezed(rng, n, (0, 1))),
    "squeezing_matrix": Case(
        {"atom_numbers": (100.0,) * 3, "lengths": (45.0,) * 3, "gain": 100.0},
        _combined,
    ),
    "squeezing_tomography": Case(_SQUEEZED, _tomography),
    "string_order": Case(
        {"spin": 0.5, "ensembles": 8, "distance": 1},
        lambda rng, n: {"counts": rng.integers(0, 2, (n, 8))},
    ),
    "two_mode_squeezing": Case(_SQUEEZED, lambda rng, n: squeezed(rng, n, (0, 3, 1))),
    "two_parameters": Case({"spin": 3.0, "squeezing": 0.6, "strength": 1.0}, _angles, "y"),
    "wineland_from_shots": Case(_SQUEEZED, lambda rng, n: squeezed(rng, n, (0, 1))),
}


def build(name: str) -> Any:
    """The estimator of a case, new."""
    return estimators()[name].build(dict(CASES[name].beliefs))
