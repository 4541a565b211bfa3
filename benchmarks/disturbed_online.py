"""Schedules of bias phases, adaptive phase and pumping, and the drift filter, of disturbed runs."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from disturbed_records import (
    BACKGROUND,
    GAIN,
    PARTS,
    SMALL,
    Array,
    Disturbance,
    Records,
    family,
    fitted,
    ramp,
    read_out,
)

from cavitylab.estimators import (
    AdaptivePhase,
    AdaptivePumping,
    BiasSetting,
    DriftFilter,
    EllipseBeliefs,
    EllipseSchedule,
    Estimate,
    PhaseTable,
    ScheduleBeliefs,
    draw_snapshots,
    state_table,
)
from cavitylab.estimators.schedule_bounds import table_of
from cavitylab.models.ellipse import EllipseReadout, sample
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state


def schedule() -> Iterator[Disturbance]:
    """S = 10, Delta/Omega = .5, biases pi/4 and .25 prepared, .735 not; 600 shots, signal .15."""
    settings = (
        BiasSetting(True, math.pi / 4, 0.78, -0.01),
        BiasSetting(True, 0.25, 0.24, -0.01),
        BiasSetting(False, 0.735, 0.73, -0.02),
    )
    known = np.diag([0.025, 0.025, 0.03, 2.5, 0.015, 0.02]) ** 2
    beliefs = ScheduleBeliefs(10.0, 0.5, math.pi / 2, GAIN, BACKGROUND, known, settings)
    setting = np.resize([0, 1, 2], 600)

    @functools.cache
    def law(number: int, signal: float) -> Array:
        one = settings[number]
        table = table_of(beliefs, one.prepared)
        return table.tables(signal + one.bias_phase, beliefs.shared.centre)[0]

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        atoms = np.empty((600, 2))
        parts = np.array_split(np.arange(600), PARTS)
        for part, moved in zip(parts, ramp(drift, PARTS), strict=True):
            for number in range(3):
                rows = part[setting[part] == number]
                atoms[rows] = sample(law(number, 0.15 + float(moved)), rows.size, rng)
        return {"counts": read_out(atoms, fall, rng), "setting": setting}

    def fit(records: Records, excess: float) -> Estimate:
        believed = replace(beliefs, spin=round(20.0 * (1.0 + excess)) / 2.0)
        return fitted(EllipseSchedule(believed), records)

    full, drift = GAIN * 20.0 + BACKGROUND, "signal drifts within the run, rad"
    excess = (0.05, 0.1, 0.2, 0.3)
    yield from family("schedule", clean, fit, ("signal",), full, drift, excess)


@functools.cache
def _table(spin: float) -> PhaseTable:
    return state_table(EllipseBeliefs(spin, 0.3, math.pi / 2, GAIN, BACKGROUND, np.zeros((4, 4))))


def adaptive_phase() -> Iterator[Disturbance]:
    """S = 20, Delta/Omega = .3, signal .4, two biases in turn, 300 shots, nuisances known."""
    spin, ratio, shots = 20.0, 0.3, 300
    weights = steady_state(TwoEnsembles(spin, 1.0, ratio)).weights
    readout = EllipseReadout(spin, weights.size - 1)
    bias = AdaptivePhase(_table(spin)).nearest_bias(0.5)

    @functools.cache
    def law(phase: float) -> Array:
        return readout.distribution(weights, phase, math.pi / 2)

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        phases = np.repeat(0.4 + ramp(drift, PARTS), shots // PARTS)
        phases[1::2] += bias
        atoms = np.empty((shots, 2))
        for phase in np.unique(phases):
            rows = phases == phase
            atoms[rows] = sample(law(float(phase)), int(rows.sum()), rng)
        biases = np.resize([0.0, bias], shots)
        return {"counts": read_out(atoms, fall, rng), "bias_phase": biases}

    def fit(records: Records, excess: float) -> Estimate:
        table = _table(round(2.0 * spin * (1.0 + excess)) / 2.0)
        estimator = AdaptivePhase(table)
        nearest = [estimator.nearest_bias(float(b)) for b in records["bias_phase"]]
        return fitted(estimator, {**records, "bias_phase": np.array(nearest)})

    full, drift = GAIN * 2.0 * spin + BACKGROUND, "signal drifts within the run, rad"
    excess = (0.025, 0.05, 0.1, 0.2)
    yield from family("adaptive phase", clean, fit, ("signal",), full, drift, excess)


def adaptive_pumping() -> Iterator[Disturbance]:
    """N = 100, gain 2 to 3 %, background 5, 20 passes of nine pumps about the transition."""
    pumps = np.tile(np.linspace(0.96, 1.04, 9), 20)

    def clean(rng: np.random.Generator, fall: float = 0.0, drift: float = 0.0) -> Records:
        gains: Any = 2.0 * (1.0 + ramp(-fall, pumps.size))
        moved = pumps / (1.0 + ramp(drift, pumps.size))
        drawn = draw_snapshots(100, 1.003, gains, 5.0, moved, rng)
        return {"counts": np.asarray(drawn["counts"]).reshape(-1, 1), "pump": pumps}

    def fit(records: Records, excess: float) -> Estimate:
        atoms = round(100 * (1.0 + excess))
        return fitted(AdaptivePumping(atoms, (0.9, 1.1), 2.0, 0.06, 5.0), records)

    drift, names = "u_c drifts within the run", ("critical_pump",)
    yield from family("adaptive pumping", clean, fit, names, 205.0, drift)


def drifting() -> Iterator[Disturbance]:
    """200 values, errors .1, steps of .03; diffusion within a range."""

    def clean(
        rng: np.random.Generator, small: float = 0.0, step: float = 0.0, stray: float = 0.0
    ) -> Records:
        walk, noise = np.cumsum(0.03 * rng.standard_normal(200)), 0.1 * rng.standard_normal(200)
        noise[rng.random(200) < stray] *= 5.0
        walk[:190] -= step  # what is asked, the last value, stays
        given = np.full(200, 0.1 * (1.0 - small))
        return {"time": np.arange(200.0), "value": walk + noise, "std": given}

    def fit(records: Records, _: float) -> Estimate:
        return fitted(DriftFilter((1e-5, 1e-1), (0.0, 1.0)), records)

    for name, draw in (
        ("errors given too small", lambda s, rng: clean(rng, small=s)),
        ("a step ten values before the end, of 3", lambda s, rng: clean(rng, step=3.0 * s)),
        ("strays of five errors, share", lambda s, rng: clean(rng, stray=s)),
    ):
        yield Disturbance("drift", name, SMALL, draw, fit, ("value",))


def disturbances() -> Iterator[Disturbance]:
    """Of what is estimated while it is measured."""
    for one in (schedule, adaptive_phase, adaptive_pumping, drifting):
        yield from one()
