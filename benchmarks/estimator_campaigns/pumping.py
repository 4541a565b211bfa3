"""Pumping scans: snapshots, sweeps by chain and by means, holds, beside fits to mean curves."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from cavitylab.estimators.estimate import Estimate
from cavitylab.estimators.pumping_beliefs import (
    Calibrated,
    HoldBeliefs,
    SnapshotBeliefs,
    SweepBeliefs,
)
from cavitylab.estimators.pumping_bounds import (
    hold_bounds,
    ramp_bounds,
    snapshot_bounds,
    sweep_bounds,
)
from cavitylab.estimators.pumping_chain import ChainValues
from cavitylab.estimators.pumping_hold import PumpingHold
from cavitylab.estimators.pumping_ramps import PumpingRamps
from cavitylab.estimators.pumping_ramps_model import RampBeliefs, Stairs
from cavitylab.estimators.pumping_sampling import draw_ramps, draw_snapshots, draw_sweeps
from cavitylab.estimators.pumping_snapshots import PumpingSnapshots
from cavitylab.estimators.pumping_sweeps import PumpingSweeps

from .campaign import Campaign, Records

Array = NDArray[np.float64]

CRITICAL = 1.003
SWEEPS = 20  # in each direction
BIN = {"chain": 0.07, "moments": 0.1}  # of 1/gamma; slow sweeps tell the chain what .1 costs
HOLD = (0.02, 0.05, 0.1)  # relative std of the calibrations of a, b, gamma
SNAPSHOTS = (
    (100, 2.0, 5.0, 500),
    (300, 50.0, 20.0, 1000),
    (1000, 0.5, 3.0, 1000),
    (100, 50.0, 20.0, 500),
    (100, 0.5, 3.0, 500),
    (300, 0.5, 3.0, 1000),
    (1000, 2.0, 5.0, 1000),
    (1000, 50.0, 20.0, 1000),
)
SCANS = ((1.0, 10.0), (4.0, 14.0), (16.0, 30.0))


def rows() -> list[Campaign]:
    """All rows of the pumping estimators."""
    found = [_snapshots(*case) for case in SNAPSHOTS]
    for rate, reach in SCANS:
        found.extend(_sweeps(rate, reach, method) for method in ("chain", "moments"))
    return [*found, _ramps(40, 400), _hold()]


def _snapshots(atoms: int, gain: float, background: float, shots: int) -> Campaign:
    pumps = np.repeat(np.linspace(1.0 - 12.0 / atoms, 1.0 + 12.0 / atoms, 25), shots // 25)
    beliefs = SnapshotBeliefs(atoms)

    def draw(rng: np.random.Generator) -> Records:
        return draw_snapshots(atoms, CRITICAL, gain, background, pumps, rng)

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = PumpingSnapshots(beliefs)
        estimator.update(records)
        return estimator.estimate(level)

    return Campaign(
        name="pumping, snapshots",
        range=f"N = {atoms}, gain {gain:g}, background {background:g}, {shots} shots",
        truth=CRITICAL,
        draw=draw,
        fit=fit,
        bound=lambda truth: snapshot_bounds(beliefs, truth, gain, background, pumps)[
            "critical_pump"
        ],
        limit=1.06,
        coverage_limit=0.95,
        peers={"logistic least squares": _logistic, "half crossing": _half},
        time_limit=0.15,
    )


def _sweeps(rate: float, reach: float, method: str) -> Campaign:
    atoms, truth = 100, ChainValues(CRITICAL, 1.0, 50.0, 5.0)
    low, high = 1.0 - 2.0 * reach / atoms, 1.0 + 2.0 * reach / atoms
    ramps = [[low, high]] * SWEEPS + [[high, low]] * SWEEPS
    duration = 2.0 * reach / rate
    bins = math.ceil(duration / BIN[method])
    beliefs = SweepBeliefs(atoms)

    @functools.cache
    def bound(_: float) -> float:
        rng = np.random.default_rng(17)
        return sweep_bounds(beliefs, truth, ramps, duration, bins, rng, simulated=2000)[
            "critical_pump"
        ]

    def draw(rng: np.random.Generator) -> Records:
        return draw_sweeps(atoms, truth, ramps, duration, bins, rng)

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = PumpingSweeps(beliefs, method)
        estimator.update(records)
        return estimator.estimate(level)

    chain = method == "chain"
    return Campaign(
        name=f"pumping, sweeps ({method})",
        range=f"N = {atoms}, r = {rate:g}, {SWEEPS} up and {SWEEPS} down",
        truth=CRITICAL,
        draw=draw,
        fit=fit,
        bound=bound,
        limit=1.12 if chain else None,
        coverage_limit=0.94,
        peers={"logistic, up and down": _swept(_logistic), "crossings": _swept(_half)}
        if chain
        else {},
        time_limit=3.0 if chain else 0.5,
        replicates=200 if chain else 400,
    )


def _hold() -> Campaign:
    atoms, truth = 100, ChainValues(CRITICAL, 1.0, 50.0, 5.0)
    pumps, window = np.repeat([0.99, 1.01], 10), 30.0
    centre = np.array([truth.half_rate, truth.background, truth.decay])

    def beliefs(values: Array) -> HoldBeliefs:
        a, b, decay = (
            Calibrated(float(value), share * float(middle))
            for value, share, middle in zip(values, HOLD, centre, strict=True)
        )
        return HoldBeliefs(atoms, a, b, decay)

    def draw(rng: np.random.Generator) -> Records:
        held = np.column_stack([pumps, pumps])
        swept = draw_sweeps(atoms, truth, held, window, 4, rng)
        calibrated = centre * (1.0 + np.array(HOLD) * rng.standard_normal(3))
        return {
            "counts": np.asarray(swept["counts"]).sum(axis=1),
            "pump": pumps,
            "time": np.full(pumps.size, window),
            "calibrated": calibrated,
        }

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = PumpingHold(beliefs(records["calibrated"]))
        estimator.update(records)
        return estimator.estimate(level)

    return Campaign(
        name="pumping, hold",
        range="N = 100, 20 windows of 30/gamma, a, b, gamma calibrated to 2, 5, 10 %",
        truth=CRITICAL,
        draw=draw,
        fit=fit,
        bound=lambda critical: hold_bounds(beliefs(centre), truth, pumps, window)["critical_pump"],
        limit=1.1,
        coverage_limit=0.945,
        time_limit=0.15,
    )


def _ramps(atoms: int, shots: int) -> Campaign:
    """Snapshots after stairs up and down; gain and background off by their calibrations."""
    reach = 12.0 / atoms
    up = tuple(np.linspace(1.0 - reach, 1.0 + reach, 9).tolist())
    beliefs = RampBeliefs(
        atoms, up, up[::-1], 0.25, 1.2, 1.0, Calibrated(20.0, 0.6), Calibrated(5.0, 0.5)
    )
    truth = (1.0 + 1.0 / atoms, 1.0, 20.0, 5.0)
    way = np.repeat([1.0, -1.0], shots // 2)
    stairs = np.resize(np.arange(1.0, 9.0), shots // 2)
    stairs = np.concatenate([stairs, stairs])
    places = Counter(Stairs(int(a), int(b)) for a, b in zip(way, stairs, strict=True))

    def draw(rng: np.random.Generator) -> Records:
        gain, background = 20.0 + 0.6 * rng.standard_normal(), 5.0 + 0.5 * rng.standard_normal()
        return draw_ramps(beliefs, (*truth[:2], gain, background), way, stairs, rng)

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = PumpingRamps(beliefs)
        estimator.update(records)
        return estimator.estimate(level)

    return Campaign(
        "pumping, ramps by stairs",
        f"N = {atoms}, 8 stairs up and down, {shots} shots",
        truth[0],
        draw,
        fit,
        lambda _: ramp_bounds(beliefs, truth, places)["critical_pump"],
        limit=1.12,
        coverage_limit=0.94,
        quantity="critical_pump",
        replicates=200,
    )


def _logistic(records: Mapping[str, Array]) -> float:
    """Middle of a logistic curve fitted to the counts by least squares."""
    pump, counts = np.asarray(records["pump"]), np.asarray(records["counts"]).ravel()

    def curve(u: Array, middle: float, width: float, low: float, high: float) -> Array:
        steps: Array = low + (high - low) / (1.0 + np.exp(-np.clip((u - middle) / width, -50, 50)))
        return steps

    span = float(np.ptp(pump))
    start = [float(pump.mean()), span / 8.0, float(counts.min()), float(counts.max())]
    found, _ = curve_fit(curve, pump, counts, p0=start, maxfev=5000)
    return float(found[0])


def _half(records: Mapping[str, Array]) -> float:
    """Where the mean counts cross the middle between their lowest and their highest."""
    knobs, place = np.unique(np.asarray(records["pump"]), return_inverse=True)
    means = np.bincount(place, np.asarray(records["counts"]).ravel()) / np.bincount(place)
    off = means - 0.5 * (means.min() + means.max())
    changes = np.flatnonzero((off[1:] > 0.0) & (off[:-1] <= 0.0))
    if not changes.size:
        return math.nan
    share = off[changes] / (off[changes] - off[changes + 1])
    return float(np.mean(knobs[changes] + share * (knobs[changes + 1] - knobs[changes])))


def _swept(
    answer: Callable[[Mapping[str, Array]], float],
) -> Callable[[Mapping[str, Array]], float]:
    """The mean of the answers for the mean curves up and down, which removes the lag."""

    def middle(records: Mapping[str, Array]) -> float:
        counts, pump = np.asarray(records["counts"]), np.asarray(records["pump"])
        bins = counts.shape[1]
        fractions = (np.arange(bins) + 0.5) / bins
        answers = []
        for up in (True, False):
            chosen = (pump[:, 1] > pump[:, 0]) == up
            first, last = pump[chosen][0]
            knob = first + (last - first) * fractions
            answers.append(answer({"pump": knob, "counts": counts[chosen].mean(axis=0)}))
        return float(np.mean(answers))

    return middle
