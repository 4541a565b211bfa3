"""The likelihood of a sweep: the chain's filter, its exact limit, scores and probabilities."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import chi2

from cavitylab.estimators import (
    ChainValues,
    draw_sweeps,
)
from cavitylab.estimators import pumping_chain as chain
from cavitylab.estimators.pumping_chain import Ramp, filter_sweeps, space_of
from cavitylab.models.pumped_superradiance_counts import FluorescenceReadout
from cavitylab.models.pumped_superradiance_records import filter_swept_records

FALSE_ALARM = 1e-4
ATOMS = 60
TRUTH = ChainValues(1.003, 1.0, 50.0, 5.0)
REACH, DURATION, BINS = 12.0, 6.0, 60  # r = 4, bins of 0.1/gamma
LOW, HIGH = 1 - 2 * REACH / ATOMS, 1 + 2 * REACH / ATOMS


def _draw(sweeps: int, seed: int, truth: ChainValues = TRUTH) -> dict[str, np.ndarray]:
    """As many sweeps up as down."""
    ramps = [[LOW, HIGH]] * sweeps + [[HIGH, LOW]] * sweeps
    return draw_sweeps(ATOMS, truth, ramps, DURATION, BINS, np.random.default_rng(seed))


def _generator(atoms: int, pump: float) -> np.ndarray:
    """dp/dt = M p of the levels, w = pump and gamma = 1, written down level by level."""
    matrix = np.zeros((atoms + 1, atoms + 1))
    for n in range(atoms + 1):
        up, down = pump * (atoms - n) * (n + 1), n * (atoms - n + 1)
        matrix[n, n] -= up + down
        if n < atoms:
            matrix[n + 1, n] += up
        if n:
            matrix[n - 1, n] += down
    return matrix


def _exact_log_likelihood(counts: np.ndarray, atoms: int, ramp: Ramp, a: float, b: float) -> float:
    """ln P(counts): counts of a bin are the coefficient of z^y of exp(int [M + (z - 1) R])."""
    x = 2 * np.arange(atoms + 1) / atoms - 1
    rates = np.diag(a * (1 + x) + b)
    points, fine = 32, 8
    roots = np.exp(2j * np.pi * np.arange(points) / points)
    state = ramp.start ** np.arange(atoms + 1.0)
    state = (state / state.sum()).astype(complex)
    bin_time = ramp.duration / ramp.bins
    for k, y in enumerate(counts):
        moved = np.zeros(atoms + 1, dtype=complex)
        for z in roots:
            vector = state
            for j in range(fine):
                pump = ramp.pump((k + (j + 0.5) / fine) / ramp.bins)
                step = (_generator(atoms, pump) + (z - 1) * rates) * (bin_time / fine)
                vector = expm(step) @ vector
            moved += vector * z ** (-y) / points
        state = moved
    return math.log(state.sum().real)


@pytest.mark.parametrize(("bin_time", "error"), [(0.05, 0.15), (0.025, 0.02)])
def test_the_filter_tends_to_the_exact_likelihood(bin_time: float, error: float) -> None:
    """Against generating functions, few atoms that jump within the bins: faster than dt^2."""
    atoms, values = 8, ChainValues(1.0, 1.0, 30.0, 5.0)
    for seed in range(2):
        counts = np.random.default_rng(seed).poisson(35 * bin_time, 4) * 1.0
        ramp = Ramp(0.6, 1.4, 4 * bin_time, counts[None, :])
        found = filter_sweeps(space_of(atoms, 2.0, 30.0), atoms, ramp, values).logs[0]
        exact = _exact_log_likelihood(counts, atoms, ramp, 30.0, 5.0)
        assert found == pytest.approx(exact, abs=error)


def test_bins_of_a_tenth_of_the_relaxation_time_do_not_bias() -> None:
    """Score at the truth over 1200 sweeps, bins of 0.1/gamma: zero within its noise."""
    records = _draw(600, 21)
    score, information = np.zeros(4), np.zeros((4, 4))
    for rows, start, stop in ((slice(0, 600), LOW, HIGH), (slice(600, 1200), HIGH, LOW)):
        ramp = Ramp(start, stop, DURATION, records["counts"][rows])
        found = filter_sweeps(space_of(ATOMS, REACH, 50.0), ATOMS, ramp, TRUTH)
        score += found.scores.sum(axis=0)
        information += found.information
    assert score @ np.linalg.solve(information, score) < chi2.isf(FALSE_ALARM, 4)


def test_short_bins_agree_with_the_filter_of_the_models() -> None:
    """Bins of 0.01/gamma, where the place of the counts within a bin does not matter."""
    records = draw_sweeps(ATOMS, TRUTH, [[LOW, HIGH]] * 6, 6.0, 600, np.random.default_rng(1))
    ramp = Ramp(LOW, HIGH, 6.0, records["counts"])
    values = ChainValues(1.0, 1.0, 45.0, 6.0)
    found = filter_sweeps(space_of(ATOMS, REACH, 45.0), ATOMS, ramp, values)
    readout = FluorescenceReadout(45.0, 6.0)
    counts = records["counts"].astype(int)
    other = filter_swept_records(ATOMS, -REACH, 4.0, readout, counts, 0.01)
    assert found.logs == pytest.approx(other.log_likelihood, abs=0.05)


def test_levels_and_polynomials_numpy_and_numba_agree(monkeypatch) -> None:
    """Four ways to run one filter."""
    records = _draw(3, 2)
    ramp = Ramp(LOW, HIGH, DURATION, records["counts"][:3])
    levels = space_of(ATOMS, REACH, 50.0)
    monkeypatch.setattr(chain, "_LEVELS", 10)
    modes = space_of(ATOMS, REACH, 50.0)
    assert levels.basis is None and modes.basis is not None
    first = filter_sweeps(levels, ATOMS, ramp, TRUTH)
    for space, compiled in ((levels, False), (modes, True), (modes, False)):
        other = filter_sweeps(space, ATOMS, ramp, TRUTH, use_numba=compiled)
        assert other.logs == pytest.approx(first.logs, abs=1e-8)
        assert other.scores == pytest.approx(first.scores, rel=1e-7, abs=1e-6)


def test_few_polynomials_stand_for_many_atoms(monkeypatch) -> None:
    """N = 500 in about a hundred modes gives the likelihood of 501 levels."""
    low, high = 1 - 24 / 500, 1 + 24 / 500
    rng = np.random.default_rng(3)
    records = draw_sweeps(500, TRUTH, [[low, high]] * 2, DURATION, BINS, rng)
    ramp = Ramp(low, high, DURATION, records["counts"])
    modes = space_of(500, REACH, 50.0)
    assert modes.x.size < 150
    monkeypatch.setattr(chain, "_LEVELS", 1000)
    levels = filter_sweeps(space_of(500, REACH, 50.0), 500, ramp, TRUTH)
    found = filter_sweeps(modes, 500, ramp, TRUTH)
    assert found.logs == pytest.approx(levels.logs, abs=1e-6)
    assert found.scores == pytest.approx(levels.scores, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("background", [0.0, 0.02, 0.6])
def test_counts_where_none_are_expected_are_improbable(background: float) -> None:
    """Without background and excited atoms; slopes of the logarithms by differences."""
    counts, space = np.arange(6.0), space_of(20, 4.0, 50.0)

    def logs(decay: float, rate: float, extra: float) -> np.ndarray:
        values = ChainValues(1.0, decay, rate, extra)
        weights, top, _ = chain.emission(space, 20, counts, values, 0.1)
        return np.log(weights) + top[:, None]

    here = np.array([1.0, 50.0, max(background, 1e-3)])
    slopes = chain.emission(space, 20, counts, ChainValues(1.0, *here), 0.1)[2]
    for index, (slope, scale) in enumerate(zip(slopes, (1.0, 50.0, 1.0), strict=True)):
        step = np.zeros(3)
        step[index] = 1e-6 * here[index]
        found = (logs(*(here + step)) - logs(*(here - step))) / (2e-6 * here[index])
        assert found * scale == pytest.approx(slope, rel=1e-4, abs=1e-5)
    assert logs(1.0, 50.0, background).max() < 0.0
    if background < 0.1:
        assert logs(1.0, 50.0, background)[1:, 0].max() < math.log(0.01)


def test_scores_are_the_derivatives_and_their_steps_add_up_to_the_information() -> None:
    """Central differences; and Cov(score) over 400 sweeps within 5 standard errors."""
    records = _draw(400, 4)
    ramp = Ramp(LOW, HIGH, DURATION, records["counts"][:400])
    space = space_of(ATOMS, REACH, 50.0)
    found = filter_sweeps(space, ATOMS, ramp, TRUTH)
    few = Ramp(LOW, HIGH, DURATION, records["counts"][:5])
    for index in range(4):
        ends = []
        for sign in (1, -1):
            values = np.array([TRUTH.critical, TRUTH.decay, TRUTH.half_rate, TRUTH.background])
            values[index] = (
                values[index] + sign * 1e-5 if index == 3 else values[index] * math.exp(sign * 1e-5)
            )
            ends.append(filter_sweeps(space, ATOMS, few, ChainValues(*values)).logs)
        slopes = (ends[0] - ends[1]) / 2e-5
        assert found.scores[:5, index] == pytest.approx(slopes, rel=1e-5, abs=1e-5)
    scale = np.sqrt(np.diag(found.information))
    outer = found.scores.T @ found.scores
    assert np.abs((outer - found.information) / np.outer(scale, scale)).max() < 0.36
    assert np.sum(found.scores, axis=0) @ np.linalg.solve(
        found.information, np.sum(found.scores, axis=0)
    ) < chi2.isf(FALSE_ALARM, 4)


def test_probabilities_of_all_counts_add_up_to_one() -> None:
    """Of one bin given x: to the order in which the bin's own motion is taken."""
    space = space_of(ATOMS, REACH, 50.0)
    weights, top, _ = chain.emission(space, ATOMS, np.arange(200.0), TRUTH, 0.1)
    total = (weights * np.exp(top)[:, None]).sum(axis=0)
    assert total == pytest.approx(np.ones(ATOMS + 1), abs=5e-3)
