"""Sweeps of the pump: exact likelihood, score, efficiency, coverage, checks, unusable data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import binom, chi2, kstest

from cavitylab.estimators import (
    Calibrated,
    ChainValues,
    PumpingSweeps,
    RecordError,
    SweepBeliefs,
    draw_sweeps,
    sweep_bounds,
    sweep_mean_bounds,
)
from cavitylab.estimators import pumping_chain as chain
from cavitylab.estimators.pumping_chain import Ramp, filter_sweeps, space_of
from cavitylab.estimators.pumping_moments import area_moments, expected_counts, merged
from cavitylab.models.pumped_superradiance_counts import FluorescenceReadout, sweep_inversion
from cavitylab.models.pumped_superradiance_records import filter_swept_records

FALSE_ALARM = 1e-4
ATOMS = 60
TRUTH = ChainValues(1.003, 1.0, 50.0, 5.0)
NAMES = {"critical_pump": 1.003, "decay": 1.0, "half_rate": 50.0, "background": 5.0}
REACH, DURATION, BINS = 12.0, 6.0, 60  # r = 4, bins of 0.1/gamma
LOW, HIGH = 1 - 2 * REACH / ATOMS, 1 + 2 * REACH / ATOMS


def _draw(sweeps: int, seed: int, truth: ChainValues = TRUTH) -> dict[str, np.ndarray]:
    """As many sweeps up as down."""
    ramps = [[LOW, HIGH]] * sweeps + [[HIGH, LOW]] * sweeps
    return draw_sweeps(ATOMS, truth, ramps, DURATION, BINS, np.random.default_rng(seed))


def _estimate(records, method="chain", beliefs=None):
    estimator = PumpingSweeps(beliefs or SweepBeliefs(ATOMS), method)
    estimator.update(records)
    return estimator.estimate()


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


@pytest.mark.parametrize("seed", [1, 8])
def test_few_atoms_and_few_sweeps_do_not_pull_the_background_to_zero(seed: int) -> None:
    """Eight sweeps of 20 atoms: converged, no p-value out of range, intervals hold the truth.

    A bin with next to no counts is beyond the expansion for motion within bins: taken beyond,
    one count there was certain at a background of zero, and the decay 1.44 +- .003.
    """
    rng = np.random.default_rng(seed)
    ramps = [[0.7, 1.4], [1.4, 0.7]] * 4
    estimator = PumpingSweeps(SweepBeliefs(20))
    estimator.update(draw_sweeps(20, ChainValues(1.0, 1.0, 50.0, 5.0), ramps, 4.0, 40, rng))
    found = estimator.estimate(1.0 - FALSE_ALARM)
    assert found.diagnostics["converged"] and found.diagnostics["method"] == "chain"
    assert 0.1 < found["decay"].std < 0.6 and found["background"].std > 0.5
    for name, true in {**NAMES, "critical_pump": 1.0}.items():
        assert found[name].interval[0] <= true <= found[name].interval[1], name
    assert found.goodness_of_fit is not None and found.goodness_of_fit.p_value > FALSE_ALARM


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


def test_moments_of_the_bins_are_those_of_the_models() -> None:
    """Means, covariances of int x dt, and slopes along a shift of the pump."""
    for start, stop in ((LOW, HIGH), (HIGH, LOW)):
        ramp = merged(Ramp(start, stop, DURATION, np.zeros((1, BINS))))
        found = area_moments(ATOMS, ramp, ChainValues(1.0, 1.0, 1.0, 0.0), covariance=True)
        s = 0.5 * ATOMS * (start + (stop - start) * ramp.edges - 1.0)
        model = sweep_inversion(ATOMS, s, 4.0)
        assert found.areas == pytest.approx(model.areas, abs=1e-3 * ramp.durations[0])
        assert found.covariance is not None
        largest = model.covariance.max()
        assert found.covariance == pytest.approx(model.covariance, abs=0.01 * largest)
        step = 1e-4
        ends = [
            area_moments(
                ATOMS,
                ramp,
                ChainValues(math.exp(sign * step), 1.0, 1.0, 0.0),
                covariance=False,
                steps_for=TRUTH,
            ).areas
            for sign in (1, -1)
        ]
        slopes = area_moments(ATOMS, ramp, ChainValues(1.0, 1.0, 1.0, 0.0), covariance=False)
        assert slopes.slopes[:, 0] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=2e-3)


def test_simulated_sweeps_have_the_expected_means_and_covariances() -> None:
    """Jump-by-jump sweeps against the equations: chi-square of the means, total variance."""
    records = _draw(600, 5)
    ramp = merged(Ramp(LOW, HIGH, DURATION, records["counts"][:600]))
    mean, _, noise = expected_counts(ATOMS, ramp, TRUTH, covariance=True)
    off = ramp.means - mean
    statistic = 600 * off @ np.linalg.solve(noise, off)
    assert statistic < chi2.isf(FALSE_ALARM, mean.size)
    total = records["counts"][:600].sum(axis=1)
    assert total.var() == pytest.approx(noise.sum(), rel=4 * math.sqrt(2 / 600))


def _campaign(replicates: int, sweeps: int, method: str, seed: int) -> None:
    """Bands with a false alarm of 1e-4 each around rmse/bound <= 1.12, coverage, p-values."""
    beliefs = SweepBeliefs(ATOMS)
    ramps = [[LOW, HIGH]] * sweeps + [[HIGH, LOW]] * sweeps
    if method == "chain":
        rng = np.random.default_rng(6)
        bounds = sweep_bounds(beliefs, TRUTH, ramps, DURATION, BINS, rng)
    else:
        bounds = sweep_mean_bounds(beliefs, TRUTH, ramps, DURATION, BINS)
    errors, hits, p_values = [], 0, []
    for k in range(replicates):
        found = _estimate(_draw(sweeps, 1000 * seed + k), method)
        errors.append((found["critical_pump"].value - 1.003) / bounds["critical_pump"])
        low, high = found["critical_pump"].interval
        hits += low <= 1.003 <= high
        assert found.goodness_of_fit is not None
        p_values.append(found.goodness_of_fit.p_value)
    most = 1.12 * math.sqrt(chi2.isf(FALSE_ALARM, replicates) / replicates)
    assert math.sqrt(float(np.mean(np.square(errors)))) < most
    assert hits >= binom.ppf(FALSE_ALARM, replicates, 0.935)
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM


@pytest.mark.parametrize("method", ["chain", "moments"])
def test_estimates_reach_the_bound_and_cover(method: str) -> None:
    """12 sweeps up and 12 down; the fast path against the bound of mean counts."""
    _campaign(8, 12, method, seed=7)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["chain", "moments"])
def test_campaign_of_sweeps(method: str) -> None:
    """More replicates."""
    _campaign(30, 20, method, seed=8)


def test_the_full_likelihood_tells_more_than_the_means() -> None:
    """The bound of mean counts lies above that of the chain for each of the four numbers."""
    ramps = [[LOW, HIGH]] * 20 + [[HIGH, LOW]] * 20
    beliefs = SweepBeliefs(ATOMS)
    full = sweep_bounds(beliefs, TRUTH, ramps, DURATION, BINS, np.random.default_rng(9))
    means = sweep_mean_bounds(beliefs, TRUTH, ramps, DURATION, BINS)
    assert all(means[name] > 0.97 * full[name] for name in NAMES)
    assert means["decay"] > 1.2 * full["decay"]
    assert means["critical_pump"] < 1.4 * full["critical_pump"]


def test_blocks_and_order_do_not_matter() -> None:
    """Any division into blocks, sweeps in any order, down before up: the same answer."""
    records = _draw(6, 10)
    whole = _estimate(records)
    order = np.random.default_rng(11).permutation(12)[::-1]
    estimator = PumpingSweeps(SweepBeliefs(ATOMS))
    for part in np.split(order, [1, 5]):
        estimator.update({name: column[part] for name, column in records.items()})
        estimator.quick()
    parted = estimator.estimate()
    for name in NAMES:
        assert parted[name].value == pytest.approx(whole[name].value, rel=1e-9, abs=1e-9)
        assert parted[name].interval == pytest.approx(whole[name].interval, rel=1e-9, abs=1e-9)


def test_units_of_time_and_knob_carry_through() -> None:
    """Milliseconds for seconds, watts for volts: rates and u_c scale, nothing else."""
    records = _draw(6, 12)
    plain = _estimate(records)
    scaled = _estimate({**records, "time": 1e3 * records["time"], "pump": 0.2 * records["pump"]})
    factors = {"critical_pump": 0.2, "decay": 1e-3, "half_rate": 1e-3, "background": 1e-3}
    for name, factor in factors.items():
        assert scaled[name].value == pytest.approx(factor * plain[name].value, rel=1e-3)
    assert scaled.diagnostics["log_likelihood"] == pytest.approx(
        plain.diagnostics["log_likelihood"], abs=1e-3
    )


def test_sweeps_up_and_down_are_not_exchanged_by_reversal() -> None:
    """A record read backwards as a sweep of the other direction is refused by the p-value."""
    records = _draw(5, 13)
    backwards = {
        **records,
        "counts": records["counts"][:, ::-1],
        "pump": records["pump"][:, ::-1],
    }
    right, wrong = _estimate(records), _estimate(backwards)
    assert right.goodness_of_fit is not None and wrong.goodness_of_fit is not None
    assert right.goodness_of_fit.p_value > 1e-4 > wrong.goodness_of_fit.p_value
    assert any("does not describe" in flag for flag in wrong.flags)


def test_a_wrong_atom_number_and_saturation_are_flagged() -> None:
    """Twice the atoms, a saturated detector: p below 1e-4, from variance and correlation."""
    records = _draw(40, 16)
    twice = _estimate(records, beliefs=SweepBeliefs(2 * ATOMS))
    lost = np.minimum(records["counts"], 8.0)
    saturated = _estimate({**records, "counts": lost})
    for found in (twice, saturated):
        assert found.goodness_of_fit is not None and found.goodness_of_fit.p_value < 1e-4


def test_one_direction_long_bins_and_few_sweeps_are_flagged() -> None:
    """Each in words."""
    records = _draw(4, 15)
    up = {name: column[:4] for name, column in records.items()}
    assert any("one direction" in flag for flag in _estimate(up, "moments").flags)
    assert any("sweeps: the intervals" in flag for flag in _estimate(up, "moments").flags)
    coarse = {**records, "counts": records["counts"].reshape(8, 15, 4).sum(axis=2)}
    assert any("too long for the chain" in flag for flag in _estimate(coarse).flags)


def test_calibrations_enter_as_priors() -> None:
    """A calibrated decay narrows it, and a wrong one is noticed."""
    records = _draw(20, 16)
    free = _estimate(records, "moments")
    known = _estimate(records, "moments", SweepBeliefs(ATOMS, decay=Calibrated(1.0, 0.02)))
    wrong = _estimate(records, "moments", SweepBeliefs(ATOMS, half_rate=Calibrated(70.0, 0.7)))
    assert known["decay"].std < 0.025 < free["decay"].std
    assert wrong.goodness_of_fit is not None and wrong.goodness_of_fit.p_value < 1e-4


def test_poisson_law_alone_would_be_too_sure() -> None:
    """The atoms' own fluctuations make the errors larger than Poisson's law alone."""
    ramp = merged(Ramp(LOW, HIGH, DURATION, np.zeros((1, BINS))))
    mean, slopes, noise = expected_counts(ATOMS, ramp, TRUTH, covariance=True)
    full = np.linalg.inv(slopes.T @ np.linalg.solve(noise, slopes))
    naive = np.linalg.inv((slopes.T / mean) @ slopes)
    assert full[0, 0] > 1.5**2 * naive[0, 0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": None}, "counts"),
        ({"pump": None}, "pump"),
        ({"time": None}, "time"),
        ({"counts": np.ones((2, 3))}, "4 bins"),
        ({"counts": np.ones(8)}, "shape"),
        ({"counts": np.full((2, 8), 0.5)}, "whole"),
        ({"counts": np.full((2, 8), -1)}, "negative"),
        ({"pump": [[0.9, 1.1]]}, "shape"),
        ({"pump": [[0.9, 1.1], [np.nan, 1.0]]}, "shot 1"),
        ({"pump": [[0.9, 1.1], [1.0, 1.0]]}, "different"),
        ({"time": [1.0, 0.0]}, "shot 1"),
    ],
)
def test_unusable_records_are_refused(change, words: str) -> None:
    """Missing columns, shapes and values are named; nothing of the block is kept."""
    records = {
        "counts": np.ones((2, 8)),
        "pump": [[0.9, 1.1], [1.1, 0.9]],
        "time": [1.0, 1.0],
        **change,
    }
    records = {name: column for name, column in records.items() if column is not None}
    estimator = PumpingSweeps(SweepBeliefs(ATOMS))
    with pytest.raises(RecordError, match=words):
        estimator.update(records)
    assert estimator.shots == 0


@pytest.mark.parametrize("counts", [None, np.zeros((4, 20)), np.full((4, 20), 3)])
def test_data_without_an_answer_give_the_whole_range(counts) -> None:
    """No sweep, no counts, constant counts."""
    estimator = PumpingSweeps(SweepBeliefs(ATOMS))
    if counts is not None:
        pump = [[0.9, 1.1], [1.1, 0.9]] * 2
        estimator.update({"counts": counts, "pump": pump, "time": np.ones(4)})
    found = estimator.estimate()
    assert found.flags and found["critical_pump"].interval == pytest.approx(found.identifiable)


def test_beliefs_and_methods_outside_their_rules_are_refused() -> None:
    """Each with its name and value."""
    with pytest.raises(ValueError, match="whole"):
        SweepBeliefs(10.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="decay"):
        SweepBeliefs(10, decay=Calibrated(0.0, 1.0))
    with pytest.raises(ValueError, match="method"):
        PumpingSweeps(SweepBeliefs(10), "guess")
