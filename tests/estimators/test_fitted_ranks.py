"""Errors of fits whose answer is a maximum and its covariance: neither too small nor too large.

Calibrations (priors) are drawn round the truth, the shots from the model. The squared distance of
the answer from the truth, in its own covariance, is chi-square with as many degrees of freedom as
there are numbers. The sum over all fits must not contradict that (false alarm 1e-4), and must when
the log-likelihood is sharpened by 1.3, which makes every squared distance 1.3 times as large.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from cavitylab.estimators import (
    Calibrated,
    ChainValues,
    Estimate,
    HoldBeliefs,
    PumpingHold,
    RelaxationBeliefs,
    RelaxationTrace,
    TwoParameterBeliefs,
    TwoParameters,
    draw_relaxation,
    draw_sweeps,
)
from cavitylab.models.two_mode_squeezing_readout import SequentialReadout

FALSE_ALARM = 1e-4
Generator = np.random.Generator


def distance(estimate: Estimate, truth: Mapping[str, float]) -> float:
    """Squared distance from the truth in the covariance of the named quantities."""
    places = [estimate.names.index(name) for name in truth]
    off = np.array([estimate[name].value - value for name, value in truth.items()])
    covariance = np.asarray(estimate.covariance)[np.ix_(places, places)]
    scale = np.sqrt(np.diag(covariance))
    return float(off / scale @ np.linalg.solve(covariance / np.outer(scale, scale), off / scale))


def near(value: float, std: float, rng: Generator) -> Calibrated:
    """A calibration that is off by its own error."""
    return Calibrated(value + std * float(rng.standard_normal()), std)


def held(rng: Generator) -> tuple[Estimate, dict[str, float]]:
    """Twenty windows of 30/gamma at two pumps, exact paths."""
    pumps = np.repeat([0.985, 1.01], 10)
    ramps = np.column_stack([pumps, pumps])
    truth = ChainValues(1.0, 1.0, 50.0, 5.0)
    counts = draw_sweeps(100, truth, ramps, 30.0, 2, rng)["counts"].sum(axis=1)
    hold = PumpingHold(
        HoldBeliefs(
            100,
            half_rate=near(50.0, 1.0, rng),
            background=near(5.0, 0.25, rng),
            decay=near(1.0, 0.05, rng),
        )
    )
    hold.update({"counts": counts, "pump": pumps, "time": np.full(pumps.size, 30.0)})
    values = {"critical_pump": 1.0, "half_rate": 50.0, "background": 5.0, "decay": 1.0}
    return hold.estimate(), values


def relaxed(rng: Generator) -> tuple[Estimate, dict[str, float]]:
    """One atom in each of the two ensembles, eight holds of forty shots."""
    truth = {
        "collective_decay": 100.0,
        "rabi_frequency": 300.0,
        "detuning_difference": 300.0,
        "gain": 40.0,
        "background": 20.0,
    }
    times = np.repeat(np.linspace(0.4e-3, 5e-3, 8), 60)
    records = draw_relaxation(0.5, truth, times, rng)
    trace = RelaxationTrace(
        RelaxationBeliefs(
            0.5,
            collective_decay=near(100.0, 5.0, rng),
            rabi_frequency=near(300.0, 15.0, rng),
            detuning_difference=near(300.0, 15.0, rng),
            gain=near(40.0, 1.2, rng),
            background=near(20.0, 1.0, rng),
        )
    )
    trace.update(records)
    return trace.estimate(), truth


def turned(rng: Generator) -> tuple[Estimate, dict[str, float]]:
    """Two small angles of a two-mode squeezed pair of eight atoms."""
    pair = TwoParameterBeliefs(spin=4, squeezing=1.0, strength=1.1)
    first, second = rng.uniform(-0.02, 0.02, 2)
    shots = SequentialReadout(pair.spin, pair.squeezing, pair.strength).sample(
        first, second, 200, rng
    )
    angles = TwoParameters(pair, "linear")
    angles.update({"x": shots.x, "y": shots.y1 - shots.y2})
    found = angles.estimate()
    return found, dict(zip(found.names, (first, second), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "fits"),
    [pytest.param(held, 150, marks=pytest.mark.long), (relaxed, 120), (turned, 1000)],
)
def test_errors_follow_the_covariance(
    run: Callable[[Generator], tuple[Any, dict[str, float]]], fits: int
) -> None:
    """Plain distances are chi-square; those of a log-likelihood times 1.3 are not."""
    rng, squares, numbers = np.random.default_rng(17), [], 0
    for _ in range(fits):
        estimate, truth = run(rng)
        squares.append(distance(estimate, truth))
        numbers = len(truth)
    total, freedom = math.fsum(squares), fits * numbers
    low, high = (float(chi2.ppf(q, freedom)) for q in (0.5 * FALSE_ALARM, 1 - 0.5 * FALSE_ALARM))
    assert low < total < high
    assert 1.3 * total > high
