"""Ranks of the truth in the posteriors of one pair, of a schedule of biases, of four ensembles.

Truths come from the prior, shots from the model, one shot in a hundred is a stray: the
posterior probability below the truth must be uniform. Every test also sharpens the
log-likelihood by 1.3 and asks that this is found, and adds five strays in a hundred that the
likelihood does not know.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import chi2, kstest

from cavitylab.estimators import BiasSetting, EllipseBeliefs, ScheduleBeliefs
from cavitylab.estimators.ellipse_posterior import EllipsePosterior, outlier_range
from cavitylab.estimators.gradient_curvature_model import (
    FourEnsembleBeliefs,
    FourEnsembleLikelihood,
)
from cavitylab.estimators.likelihood_table import TableLikelihood
from cavitylab.estimators.schedule_bounds import table_of
from cavitylab.estimators.schedule_posterior import SchedulePosterior, SettingShots
from cavitylab.models.ellipse import sample

FALSE_ALARM = 1e-4
GAIN, BACKGROUND = 2.0, 1.0
SETTINGS = (BiasSetting(True, math.pi / 4), BiasSetting(True, 0.25), BiasSetting(False, 0.735))


def below(logs: np.ndarray, grid: np.ndarray, truth: float) -> list[float]:
    """Posterior probability below the truth, and that of the posterior^1.3."""
    found = []
    for power in (1.0, 1.3):
        weights = np.exp(power * (logs - logs.max()))
        edges = np.concatenate([[0.0], np.cumsum(0.5 * (weights[1:] + weights[:-1]))])
        found.append(float(np.interp(truth, grid, edges / edges[-1])))
    return found


def spread(values: np.ndarray) -> float:
    """p-value of the ranks' spread: their normal scores have the variance 1."""
    squares = float(np.sum(ndtri(np.clip(values, 1e-9, 1.0 - 1e-9)) ** 2))
    return 2.0 * min(chi2.sf(squares, values.size), chi2.cdf(squares, values.size))


def judge(pairs: list[list[float]]) -> None:
    """Plain ranks are uniform (false alarm 1e-4 each), sharpened ones are not."""
    plain, sharpened = np.array(pairs).T
    assert kstest(plain, "uniform").pvalue > FALSE_ALARM
    assert spread(plain) > FALSE_ALARM
    assert spread(sharpened) < FALSE_ALARM


def counted(
    law: np.ndarray,
    shots: int,
    beliefs: EllipseBeliefs,
    rng: np.random.Generator,
    strays: float = 0.01,
) -> np.ndarray:
    """Counts of atom numbers from the table `law`; a share `strays` is anything in reach."""
    side = outlier_range(beliefs)
    atoms = sample(np.maximum(law, 0.0), shots, rng)
    counts = np.minimum(rng.poisson(GAIN * atoms + BACKGROUND), side - 1)
    lost = rng.random(len(counts)) < strays
    counts[lost] = rng.integers(0, side, (int(lost.sum()), 2))
    return counts


def test_the_phase_of_one_pair_is_calibrated() -> None:
    """Exact table, S = 5, counting noise of two atoms, the whole range of phases."""
    beliefs = EllipseBeliefs(5.0, 1.0, math.pi / 2, GAIN, BACKGROUND, np.zeros((4, 4)))
    likelihood = TableLikelihood(beliefs)  # that of `EllipsePhase`
    rng, grid = np.random.default_rng(31), np.linspace(0.0, math.pi / 2, 161)
    pairs, spoiled = [], []
    for run in range(1800):
        phase = rng.uniform(0.0, math.pi / 2)
        law = likelihood.tables(phase, beliefs.centre)[0]
        counts = counted(law, 20, beliefs, rng).astype(float)
        posterior = EllipsePosterior(likelihood, beliefs, counts)
        pairs.append(below(posterior.scan(grid, beliefs.centre), grid, phase))
        if run < 150:  # five strays in a hundred, and a likelihood that knows of none
            counts = counted(law, 20, beliefs, rng, 0.05).astype(float)
            density = np.maximum(likelihood.scan(counts, grid, beliefs.centre), 1e-30)
            spoiled.append(below(np.log(density).sum(axis=0), grid, phase)[0])
    judge(pairs)
    assert spread(np.array(spoiled)) < FALSE_ALARM


def test_the_signal_of_a_schedule_is_calibrated() -> None:
    """Two biases of prepared pairs and one of independent atoms: signals of either sign."""
    beliefs = ScheduleBeliefs(5.0, 1.0, math.pi / 2, GAIN, BACKGROUND, np.zeros((6, 6)), SETTINGS)
    rng, grid = np.random.default_rng(32), np.linspace(-0.7, 0.7, 141)
    posterior = SchedulePosterior(beliefs, [])
    side = outlier_range(beliefs.shared)
    outcomes = np.argwhere(np.ones((side, side))).astype(float)
    tables, laws, ignorant = [], [], []  # the last of a likelihood that knows of no strays
    for setting in SETTINGS:
        likelihood = table_of(beliefs, setting.prepared)
        part = SettingShots(setting, likelihood, outcomes)
        rows = [posterior.scores(posterior.start(s, 0.01), part)[0] for s in grid]
        mixed = np.array(rows).T
        tables.append(np.log(mixed))
        ignorant.append(np.log(np.maximum((mixed - 0.01 * posterior.stray) / 0.99, 1e-30)))
        laws.append(
            [likelihood.tables(s + setting.bias_phase, beliefs.shared.centre)[0] for s in grid]
        )

    def rank(known: list[np.ndarray], strays: float) -> list[float]:
        place = int(rng.integers(1, grid.size - 1))
        logs = np.zeros(grid.size)
        for table, law in zip(known, laws, strict=True):
            counts = counted(law[place], 10, beliefs.shared, rng, strays)
            logs += table[side * counts[:, 0] + counts[:, 1]].sum(axis=0)
        return below(logs, grid, float(grid[place]))

    judge([rank(tables, 0.01) for _ in range(2000)])
    spoiled = [rank(ignorant, 0.05)[0] for _ in range(150)]
    assert spread(np.array(spoiled)) < FALSE_ALARM


@pytest.mark.parametrize("index", [0, 1])
def test_gradient_and_curvature_are_calibrated(index: int) -> None:
    """Each with the other known: 40 atoms in each ensemble, 10 shots, signs included."""
    beliefs = FourEnsembleBeliefs(40.0, contrast_std=1e-9, offset_std=1e-9, gain=5.0)
    rng, grid = np.random.default_rng(33 + index), np.linspace(-0.5, 0.5, 61)
    runs, shots, spoiled = 2000, 8, 150
    model, x = FourEnsembleLikelihood(beliefs, np.zeros((1, 4))), np.full(10, 0.0)
    x[1 - index] = 0.15
    truths, drawn = rng.uniform(-0.5, 0.5, runs + spoiled), []
    for truth in truths:
        x[index] = truth
        drawn.append(model.draw(x, shots, rng))
    model.counts = np.concatenate(drawn)
    stray = np.flatnonzero(rng.random(spoiled * shots) < 0.05) + runs * shots
    model.counts[stray] = rng.integers(0, 201, (stray.size, 4))
    logs = []
    for value in grid:
        x[index] = value
        logs.append(model.shots(x)[0].reshape(-1, shots).sum(axis=1))
    rows = np.array(logs).T
    pairs = [below(row, grid, truth) for row, truth in zip(rows, truths.tolist(), strict=True)]
    judge(pairs[:runs])
    assert spread(np.array(pairs[runs:])[:, 0]) < FALSE_ALARM
