"""Ranks of the truth in posteriors: of pairs, schedules, four ensembles, sweeps and ramps.

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

from cavitylab.estimators import (
    BiasSetting,
    Calibrated,
    ChainValues,
    EllipseBeliefs,
    RampBeliefs,
    ScheduleBeliefs,
    Stairs,
    draw_ramps,
    draw_sweeps,
)
from cavitylab.estimators.ellipse_posterior import EllipsePosterior, outlier_range
from cavitylab.estimators.gradient_curvature_model import (
    FourEnsembleBeliefs,
    FourEnsembleLikelihood,
)
from cavitylab.estimators.likelihood_table import TableLikelihood
from cavitylab.estimators.pumping_chain import Ramp, filter_sweeps, space_of
from cavitylab.estimators.pumping_ramps_model import RampLikelihood
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


def placed(logs: np.ndarray, place: int, rng: np.random.Generator) -> list[float]:
    """As `below`, for truths that are points of the grid; exactly uniform for any spacing."""
    found = []
    for power in (1.0, 1.3):
        weights = np.exp(power * (logs - logs.max()))
        share = weights[:place].sum() + rng.random() * weights[place]
        found.append(float(share / weights.sum()))
    return found


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


@pytest.mark.slow
def test_the_chain_of_sweeps_is_calibrated() -> None:
    """gamma of `PumpingSweeps`: 14 atoms, four sweeps up, four down, bins of .025 to .11/gamma."""
    atoms, ends, duration, bins, sets, sweeps = 14, (0.7, 1.4), 2.0, 40, 70, 4
    rng = np.random.default_rng(35)
    grid = np.geomspace(0.5, 2.2, 13)
    values = [ChainValues(1.0, decay, 50.0, 5.0) for decay in grid.tolist()]
    truth, few = np.repeat(np.arange(grid.size), sets), slice(0, None, 10)
    logs = np.zeros((truth.size + len(truth[few]), grid.size))
    for way in (ends, ends[::-1]):
        drawn = [
            draw_sweeps(atoms, one, [way] * (sets * sweeps), duration, bins, rng)["counts"]
            for one in values
        ]
        clean = np.concatenate(drawn).reshape(truth.size, sweeps, bins)
        stray = rng.random(clean[few].shape) < 0.05
        spoiled = np.where(stray, rng.integers(0, 30, stray.shape), clean[few])
        counts = np.concatenate([clean, spoiled]).reshape(-1, bins)
        blocks = [Ramp(*way, duration, block) for block in np.array_split(counts, 20)]
        for place, one in enumerate(values):
            space = space_of(atoms, 0.45 * atoms, one.half_rate / one.decay)
            found = [filter_sweeps(space, atoms, block, one).logs for block in blocks]
            logs[:, place] += np.concatenate(found).reshape(-1, sweeps).sum(axis=1)
    places = np.concatenate([truth, truth[few]]).tolist()
    pairs = [placed(row, place, rng) for row, place in zip(logs, places, strict=True)]
    judge(pairs[: truth.size])
    assert spread(np.array(pairs[truth.size :])[:, 0]) < FALSE_ALARM


@pytest.mark.slow
@pytest.mark.parametrize("quantity", [0, 1])
def test_ramps_are_calibrated(quantity: int) -> None:
    """u_c, or gamma, of `PumpingRamps`: 16 atoms, 48 snapshots along four stairs up and down."""
    up, gain, background = (0.6, 0.8, 1.0, 1.2, 1.4), Calibrated(20.0, 0.6), Calibrated(5.0, 0.5)
    beliefs = RampBeliefs(16, up, up[::-1], 0.4, 1.0, 1.0, gain, background)
    rng, sets, shots, top = np.random.default_rng(36), 60, 48, 480
    grid = np.linspace(0.8, 1.25, 21) if quantity == 0 else np.geomspace(0.3, 3.0, 21)
    way, stairs = np.resize([1.0, -1.0], shots), np.resize([1.0, 1, 2, 2, 3, 3, 4, 4], shots)
    shot_places = [Stairs(int(a), int(b)) for a, b in zip(way, stairs, strict=True)]
    places = sorted(set(shot_places))
    likelihood = RampLikelihood(beliefs, {place: dict.fromkeys(range(top), 1) for place in places})
    tables, counts = [], []
    for value in grid.tolist():
        values = (value, 1.0, 20.0, 5.0) if quantity == 0 else (1.0, value, 20.0, 5.0)
        tables.append(likelihood.evaluate(*values)[0].reshape(len(places), top))
        found = draw_ramps(beliefs, values, np.tile(way, sets), np.tile(stairs, sets), rng)
        counts.append(found["counts"].reshape(sets, shots).astype(int))
    row, table = np.array([places.index(place) for place in shot_places]), np.array(tables)

    def ranks(seen: np.ndarray) -> list[list[float]]:
        logs = table[:, row, np.minimum(seen, top - 1)].sum(axis=2).T
        truth = np.repeat(np.arange(grid.size), sets).tolist()
        return [placed(one, place, rng) for one, place in zip(logs, truth, strict=True)]

    clean = np.concatenate(counts)
    judge(ranks(clean))
    spoiled = np.where(rng.random(clean.shape) < 0.05, rng.integers(0, 400, clean.shape), clean)
    assert spread(np.array(ranks(spoiled))[:, 0]) < FALSE_ALARM
