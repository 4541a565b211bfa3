"""One signal from several bias phases, prepared pairs and independent atoms in turn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from cavitylab.estimators import (
    BiasSetting,
    EllipseSchedule,
    Estimate,
    ScheduleBeliefs,
    schedule_bounds,
)
from cavitylab.estimators.schedule_bounds import table_of
from cavitylab.models.ellipse import sample

from .campaign import Campaign, Records

SETTINGS = (
    BiasSetting(True, math.pi / 4, 0.78, -0.01),
    BiasSetting(True, 0.25, 0.24, -0.01),
    BiasSetting(False, 0.735, 0.73, -0.02),
)
SHOTS = {0: 80, 1: 260, 2: 260}
SIGNAL = 0.15


def beliefs() -> ScheduleBeliefs:
    """Coil 1.5 %, drive 2 % in preparation and pulse, gain 3 %, background 5 %."""
    turn = np.array([[1, -1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1.0]])
    covariance = turn @ np.diag([0.015, 0.02, 0.02]) ** 2 @ turn.T
    covariance[2, 2], covariance[3, 3] = 0.03**2, 2.5**2
    return ScheduleBeliefs(5.0, 1.0, math.pi / 2, 100.0, 50.0, covariance, SETTINGS)


def _laboratory(rng: np.random.Generator) -> ScheduleBeliefs:
    """A truth that the calibrations allow."""
    believed = beliefs()
    off = believed.directions @ rng.standard_normal(believed.directions.shape[1])
    moved = [
        replace(one, bias_phase=one.bias_phase + float(one.slopes @ off[4:]))
        for one in believed.settings
    ]
    return replace(
        believed,
        detuning_ratio=believed.detuning_ratio * math.exp(off[0]),
        pulse_area=believed.pulse_area * math.exp(off[1]),
        gain=believed.gain * math.exp(off[2]),
        background=believed.background + off[3],
        settings=tuple(moved),
    )


def _draw(rng: np.random.Generator) -> Records:
    true, counts, numbers = _laboratory(rng), [], []
    for number, shots in SHOTS.items():
        setting = true.settings[number]
        law = table_of(true, setting.prepared).tables(
            SIGNAL + setting.bias_phase, true.shared.centre
        )[0]
        counts.append(rng.poisson(true.gain * sample(law, shots, rng) + true.background))
        numbers.append(np.full(shots, number))
    return {"counts": np.concatenate(counts), "setting": np.concatenate(numbers)}


def _fit(records: Records, level: float = 0.95) -> Estimate:
    estimator = EllipseSchedule(beliefs())
    estimator.update(records)
    return estimator.estimate(level)


def rows() -> list[Campaign]:
    """Two biases of prepared pairs and one of independent atoms; knobs within calibrations."""
    return [
        Campaign(
            "one signal, three bias phases, S=5",
            f"signal {SIGNAL:g}, {sum(SHOTS.values())} shots",
            SIGNAL,
            _draw,
            _fit,
            lambda truth: schedule_bounds(beliefs(), truth, SHOTS).cramer_rao_std,
            limit=1.1,
            coverage_limit=0.94,
            quantity="signal",
            replicates=200,
        )
    ]
