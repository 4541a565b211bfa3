"""Prepared pairs with a narrow common phase: the signal with its sign, at its bound."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import chi2

from cavitylab.estimators import BiasSetting, CommonPhase, EllipseSchedule, ScheduleBeliefs
from cavitylab.estimators import schedule_bounds as bounds
from cavitylab.estimators.oriented_table import OrientedTable
from cavitylab.models.ellipse import sample
from cavitylab.models.ellipse_oriented import OrientedReadout
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

SPIN, RATIO, COMMON = 5.0, 0.35, CommonPhase(0.0, 0.2)
COVARIANCE = np.diag([0.02, 0.02, 0.03, 2.5, 0.015, 0.02]) ** 2
SIDES = (BiasSetting(True, 0.06, 0.06, 0.0), BiasSetting(True, 0.06 + math.pi, 0.06, 0.0))
BELIEFS = ScheduleBeliefs(
    SPIN, RATIO, math.pi / 2, 100.0, 50.0, COVARIANCE, SIDES, (-0.7, 0.7), COMMON
)
STATE = steady_state(TwoEnsembles(SPIN, 1.0, RATIO))


def shots(signal: float, number: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """So many shots of each side of the fringe; the gain is off by its calibration's error."""
    gain = 100.0 * (1 + 0.03 * rng.normal())
    counts = [
        rng.poisson(
            gain
            * sample(
                OrientedReadout(STATE, signal + one.bias_phase).distribution(0.0, 0.2), number, rng
            )
            + 50.0
        )
        for one in SIDES
    ]
    return {"counts": np.concatenate(counts), "setting": np.repeat([0.0, 1.0], number)}


def test_the_signal_comes_with_its_sign_and_at_its_bound() -> None:
    """Eight runs of either sign: squared pulls follow chi-square (1e-4), errors are the bound's.

    The detector's gain is off by 3 %, which on one side of the fringe alone would look like a
    phase of 0.06 rad.
    """
    rng = np.random.default_rng(8)
    pulls, p_values = [], []
    for number in range(8):
        signal = 0.15 * (-1) ** number
        estimator = EllipseSchedule(BELIEFS)
        estimator.update(shots(signal, 100, rng))
        found = estimator.estimate()
        bound = bounds(BELIEFS, signal, {0: 100, 1: 100}).cramer_rao_std
        assert found["signal"].std == pytest.approx(bound, rel=0.25)
        assert found.goodness_of_fit is not None
        p_values.append(found.goodness_of_fit.p_value)
        pulls.append((found["signal"].value - signal) / found["signal"].std)
    assert chi2.ppf(5e-5, 8) < np.sum(np.square(pulls)) < chi2.isf(5e-5, 8)
    assert min(p_values) > 1e-6 and max(p_values) > 0.05


def test_portions_of_the_data_give_the_same_answer() -> None:
    """Block by block, to 1e-9, and beliefs survive their JSON form."""
    records = shots(-0.1, 60, np.random.default_rng(3))
    whole = EllipseSchedule(BELIEFS)
    whole.update(records)
    stored = {**asdict(BELIEFS), "covariance": COVARIANCE.tolist()}
    parts = EllipseSchedule(ScheduleBeliefs.from_json(stored))
    for part in (slice(70, 120), slice(0, 70)):
        parts.update({name: column[part] for name, column in records.items()})
    ours, theirs = whole.estimate()["signal"], parts.estimate()["signal"]
    assert theirs.value == pytest.approx(ours.value, rel=1e-9)
    assert theirs.interval == pytest.approx(ours.interval, rel=1e-9)


def test_the_density_is_one_and_its_slopes_are_differences() -> None:
    """Over all counts of a dim detector, and against central differences."""
    table = OrientedTable(BELIEFS.shared, COMMON)
    phase, centre = 0.2, BELIEFS.shared.centre.copy()
    centre[2:] = math.log(0.5), 0.3
    counts = np.stack(np.meshgrid(np.arange(30.0), np.arange(30.0)), axis=-1).reshape(-1, 2)
    density, slopes = table.evaluate(counts, phase, centre)
    assert density.sum() == pytest.approx(1.0, abs=1e-6)
    for index in range(5):
        step = np.zeros(5)
        step[index] = 1e-5
        up, down = (
            table.evaluate(counts, phase + side * step[0], centre + side * step[1:])[0]
            for side in (+1, -1)
        )
        assert slopes[:, index] == pytest.approx((up - down) / 2e-5, abs=1e-7)


def test_independent_atoms_are_refused() -> None:
    """There is another estimator for them."""
    mixed = ScheduleBeliefs(
        SPIN, RATIO, 1.5, 100.0, 50.0, COVARIANCE, (BiasSetting(False, 0.1),), (-0.7, 0.7), COMMON
    )
    with pytest.raises(ValueError, match="EllipseContrasts"):
        bounds(mixed, 0.1, {0: 10})
