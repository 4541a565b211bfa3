"""Calibrations: Rabi flops, detuning, AOM, detector, dead time, settling; beside curve_fit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import curve_fit

from cavitylab.estimators import Estimate
from cavitylab.estimators.calibrations_aom import AomCalibration, aom_bounds
from cavitylab.estimators.calibrations_detector import (
    DeadTimeCalibration,
    DeadTimeCurve,
    DetectorCalibration,
    dead_time_bounds,
    detector_bounds,
)
from cavitylab.estimators.calibrations_rabi import RabiBeliefs, RabiCalibration, rabi_bounds
from cavitylab.estimators.calibrations_ramsey import (
    DetuningCalibration,
    RamseyBeliefs,
    detuning_bounds,
)
from cavitylab.estimators.calibrations_settling import SettlingCalibration, settling_bounds

from .campaign import Campaign, Records

Make = Callable[[], object]

LIMIT, COVERAGE = 1.1, 0.945


def _fit(make: Callable[[], object]) -> Callable[..., Estimate]:
    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = make()
        estimator.update(records)  # type: ignore[attr-defined]
        return estimator.estimate(level)  # type: ignore[attr-defined,no-any-return]

    return fit


def _row(
    name: str,
    words: str,
    truth: float,
    draw: Callable[[np.random.Generator], Records],
    make: Make,
    std: float,
    quantity: str,
    peer: Callable[[Records], float] | None = None,
) -> Campaign:
    return Campaign(
        name,
        words,
        truth,
        draw,
        _fit(make),
        lambda _: std,
        limit=LIMIT,
        coverage_limit=COVERAGE,
        peers={} if peer is None else {"scipy curve_fit": peer},
        quantity=quantity,
    )


def _flop(theta: tuple[float, ...], time: np.ndarray, drive: np.ndarray | float) -> np.ndarray:
    omega, contrast, offset, rate = theta[:4]
    return offset - 0.5 * contrast * np.exp(-rate * time) * np.cos(omega * drive * time)


def rabi(photons: bool, joint: bool, atoms: int = 100) -> Campaign:
    """100 shots of 100 atoms; photons with gain and background off their calibrations."""
    omega = math.tau * 2e4
    if joint:  # each flop alone is sampled below its alias frequency
        time = np.concatenate([np.arange(25) * 41e-6, np.arange(25) * 37e-6])
        drive = np.repeat([1.0, 1.0], 25)
    else:
        time = np.repeat(np.linspace(0.0, 100e-6, 25), 4)
        drive = np.ones(100)
    gain, background = (50.0, 1.0), (30.0, 2.0)
    beliefs = RabiBeliefs(atoms, (1e4, 3e5), gain if photons else None, background)
    theta = (omega, 0.9, 0.5, 500.0 if joint else 3e3)

    def draw(rng: np.random.Generator) -> Records:
        counts = rng.binomial(atoms, _flop(theta, time, drive))
        if photons:
            off = rng.standard_normal(2)
            counts = rng.poisson(
                (gain[0] + gain[1] * off[0]) * counts + background[0] + background[1] * off[1]
            )
        return {"counts": counts, "time": time, "drive": drive}

    def peer(records: Records) -> float:
        def law(t: np.ndarray, w: float, c: float, o: float, r: float) -> np.ndarray:
            return _flop((w, c, o, r), t, drive)

        share = records["counts"] / atoms
        found = curve_fit(law, time, share, p0=(1.01 * omega, 0.9, 0.5, 1e3))[0]
        return float(found[0])

    full = (*theta, gain[0], background[0]) if photons else theta
    std = math.sqrt(rabi_bounds(beliefs, full, time, drive)[0, 0])
    words = "photons" if photons else "atoms resolved"
    return _row(
        "Rabi flops, joint" if joint else "Rabi flops",
        f"{words}, {time.size} shots",
        omega,
        draw,
        lambda: RabiCalibration(beliefs),
        std,
        "rabi_frequency",
        None if photons else peer,
    )


def detuning() -> Campaign:
    """Five currents, five Ramsey times, two phases: two thousand fringes in the range."""
    beliefs = RamseyBeliefs(100, (-500.0, 500.0), (-300.0, 300.0))
    times, currents = np.geomspace(3e-4, 2e-2, 6), np.linspace(-3.0, 3.0, 7)
    grid = np.meshgrid(times, currents, [0.0, -0.5 * math.pi], indexing="ij")
    time, current, phase = (axis.ravel() for axis in grid)
    truth = (-183.0, 41.0, 0.9, 0.5, 10.0)

    def draw(rng: np.random.Generator) -> Records:
        angle = math.tau * (truth[1] + truth[0] * current) * time + phase
        p = truth[3] + 0.5 * truth[2] * np.exp(-truth[4] * time) * np.cos(angle)
        return {
            "counts": rng.binomial(100, p),
            "time": time,
            "current": current,
            "bias_phase": phase,
        }

    std = math.sqrt(detuning_bounds(beliefs, truth, time, current, phase)[0, 0])
    return _row(
        "detuning against current",
        f"{time.size} shots",
        truth[0],
        draw,
        lambda: DetuningCalibration(beliefs),
        std,
        "slope",
    )


def aom(top: float) -> Campaign:
    """Powers up to `top` of saturation; the noise is free."""
    power = np.repeat(np.linspace(0.02, top * 1.6, 20), 5)
    truth, width = (1.6, 2.0, 0.05), 0.02

    def law(x: np.ndarray, saturation: float, a: float, b: float) -> np.ndarray:
        value: np.ndarray = a * np.sin(0.5 * math.pi * np.sqrt(x / saturation)) ** 2 + b
        return value

    def draw(rng: np.random.Generator) -> Records:
        return {"reading": law(power, *truth) + width * rng.standard_normal(100), "power": power}

    def peer(records: Records) -> float:
        return float(curve_fit(law, power, records["reading"], p0=(2.0, 1.5, 0.0))[0][0])

    std = math.sqrt(aom_bounds(truth, power, width)[0, 0])
    return _row(
        "AOM sin^2 law",
        f"to {top:g} P_sat, 100 readings",
        truth[0],
        draw,
        AomCalibration,
        std,
        "saturation_power",
        peer,
    )


def detector(atoms: float | None, shots: int) -> Campaign:
    """Eight levels; the background from the line alone."""
    gain, background = 20.0, 200.0
    number = np.linspace(50.0, 900.0, 8)
    light = np.repeat(np.arange(8.0), shots)

    def draw(rng: np.random.Generator) -> Records:
        means = np.repeat(number, shots)
        n = rng.poisson(means) if atoms is None else rng.binomial(int(atoms), means / atoms)
        return {"counts": rng.poisson(gain * n + background), "light": light}

    def peer(records: Records) -> float:
        rows = records["counts"].reshape(8, shots)
        mean, variance = rows.mean(axis=1), rows.var(axis=1, ddof=1)
        if atoms is not None:
            return math.nan
        return float(np.polyfit(mean, variance, 1)[0] - 1.0)

    std = math.sqrt(detector_bounds(gain, background, gain * number, shots, atoms)[0, 0])
    return _row(
        "detector gain, mean-variance line",
        f"{'Poisson' if atoms is None else 'binomial'} atoms, 8 x {shots}",
        gain,
        draw,
        lambda: DetectorCalibration(atoms),
        std,
        "gain",
        peer,
    )


def dead_time() -> Campaign:
    """Ten light levels to 1.5 MHz, 50 ns, simulated pulse by pulse through its renewal law."""
    light, gate, truth = np.repeat(np.linspace(0.05, 1.0, 10), 30), 5e-3, (50e-9, 1.5e6, 1e3)

    def draw(rng: np.random.Generator) -> Records:
        counts = np.empty(light.size)
        for shot, level in enumerate(light):
            rate = truth[1] * level + truth[2]
            steps = rng.exponential(1.0 / rate, int(gate * rate * 1.1) + 200) + truth[0]
            # The process is stationary: it has run before the gate opens.
            begin = rng.uniform(0.0, 20.0 * (1.0 / rate + truth[0]))
            arrivals = np.cumsum(steps)
            counts[shot] = np.searchsorted(arrivals, begin + gate) - np.searchsorted(
                arrivals, begin
            )
        return {"counts": counts, "light": light}

    curve = DeadTimeCurve(np.linspace(0.05, 1.0, 10), gate, 1e9, None)
    std = math.sqrt(dead_time_bounds(curve, truth, 30)[0, 0])
    return _row(
        "dead time",
        "50 ns at 1.5 MHz, 300 shots",
        truth[0],
        draw,
        lambda: DeadTimeCalibration(gate),
        std,
        "dead_time",
    )


def settling() -> Campaign:
    """A coil that waits .3 ms and settles with 1.2 ms; the noise is free."""
    time = np.linspace(-1e-3, 9e-3, 150)
    truth, width = (1.2e-3, 0.3e-3, 0.0, 4.0), 0.05

    def law(t: np.ndarray, tau: float, delay: float, y0: float, y1: float) -> np.ndarray:
        value: np.ndarray = y1 + (y0 - y1) * np.exp(-np.maximum(t - delay, 0.0) / tau)
        return value

    def draw(rng: np.random.Generator) -> Records:
        return {"reading": law(time, *truth) + width * rng.standard_normal(150), "time": time}

    def peer(records: Records) -> float:
        start = (1e-3, 1e-4, 0.1, 3.9)
        return float(curve_fit(law, time, records["reading"], p0=start)[0][0])

    std = math.sqrt(settling_bounds(truth, time, width)[0, 0])
    return _row(
        "settling after a step",
        "150 readings",
        truth[0],
        draw,
        SettlingCalibration,
        std,
        "time_constant",
        peer,
    )


def rows() -> list[Campaign]:
    """Every calibration at a working point of the demonstration."""
    return [
        rabi(photons=False, joint=False),
        rabi(photons=True, joint=False),
        rabi(photons=False, joint=True),
        detuning(),
        aom(1.0),
        aom(0.4),
        detector(None, 60),
        detector(1000.0, 60),
        dead_time(),
        settling(),
    ]
