"""Rates from populations against hold time: precision, checks, refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, chi2, kstest

from cavitylab.estimators import (
    Calibrated,
    RecordError,
    RelaxationBeliefs,
    RelaxationTrace,
    relaxation_bounds,
)
from cavitylab.estimators.relaxation_trace import RelaxationPosterior
from cavitylab.models.relaxation_outcomes import relaxing_outcomes
from cavitylab.models.two_ensembles import TwoEnsembles

SPIN = 1.5
BELIEFS = RelaxationBeliefs(
    SPIN,
    Calibrated(100.0, 3.0),
    Calibrated(300.0, 7.0),
    Calibrated(300.0, 6.0),
    Calibrated(40.0, 1.2),
    Calibrated(20.0, 1.0),
)
HOLDS = np.linspace(0.4e-3, 5e-3, 8)
TRUTH = {
    "collective_decay": 104.0,
    "rabi_frequency": 290.0,
    "detuning_difference": 306.0,
    "gain": 40.8,
    "background": 19.5,
}


def draw(rng, times, truth, exchange=0.0):
    """Counts (shots, 2) of fresh shots at each hold."""
    rates = [2 * math.pi * truth[name] for name in TRUTH if "_" in name]
    pair = TwoEnsembles(SPIN, rates[1], rates[2], 2 * math.pi * exchange, rates[0])
    holds, place = np.unique(times, return_inverse=True)
    d = round(2 * SPIN) + 1
    tables = np.maximum(relaxing_outcomes(pair, holds).probability, 0.0).reshape(-1, d * d)
    ladders = np.cumsum(tables, axis=1)
    draws = rng.random(len(times)) * ladders[place, -1]
    cells = (draws[:, None] >= ladders[place]).sum(axis=1)
    atoms = np.stack(np.divmod(cells, d), axis=1)
    return rng.poisson(truth["gain"] * atoms + truth["background"])


def records(seed, shots=100, truth=TRUTH, exchange=0.0):
    """The same number of shots at every hold."""
    times = np.repeat(HOLDS, shots)
    return {"counts": draw(np.random.default_rng(seed), times, truth, exchange), "time": times}


def fitted(data, beliefs=BELIEFS):
    estimator = RelaxationTrace(beliefs)
    estimator.update(data)
    return estimator.estimate()


def pulls(estimate, truth=TRUTH):
    return [(estimate[name].value - truth[name]) / estimate[name].std for name in truth]


def test_rates_are_found_within_their_errors_and_as_well_as_the_bound_says():
    """Six data sets: squared pulls follow chi-square (false alarm 1e-4), widths are the bound's."""
    found = [fitted(records(seed)) for seed in range(6)]
    squares = np.sum(np.square([pulls(one) for one in found]), axis=0)
    assert (squares < chi2.isf(1e-4 / len(TRUTH), len(found))).all(), squares
    bound = relaxation_bounds(BELIEFS, TRUTH, np.repeat(HOLDS, 100))
    for name in TRUTH:
        width = np.mean([one[name].std for one in found])
        assert 0.85 < width / bound[name] < 1.15, name
        assert bound.independent_std[name] > 0.99 * bound[name]


@pytest.mark.slow
def test_coverage_p_values_and_their_mutation():
    """Forty fits: intervals cover, p is uniform, errors 1.6 times too small would show (1e-4)."""
    found = [fitted(records(100 + seed, shots=60)) for seed in range(40)]
    for name in TRUTH:
        low, high = np.transpose([one[name].interval for one in found])
        inside = int(np.sum((low <= TRUTH[name]) & (TRUTH[name] <= high)))
        assert inside >= binom.ppf(1e-4 / len(TRUTH), len(found), 0.945), name
    rates = [name for name in TRUTH if "_" in name]
    squares = sum(float(np.sum(np.square(pulls(one)[:3]))) for one in found)
    assert squares < chi2.isf(1e-4, len(rates) * len(found)) < 1.6**2 * squares
    assert kstest([one.goodness_of_fit.p_value for one in found], "uniform").pvalue > 1e-4


def test_blocks_make_no_difference():
    """Any division into blocks, and shots in any order, give the same answer."""
    data = records(5, shots=40)
    whole = fitted(data)
    order = np.random.default_rng(0).permutation(len(data["time"]))
    parts = RelaxationTrace(BELIEFS)
    for block in np.array_split(order, 7):
        parts.update({name: column[block] for name, column in data.items()})
    for name, quantity in whole.quantities.items():
        other = parts.estimate()[name]
        assert abs(other.value - quantity.value) < 1e-9 * quantity.value
        assert abs(other.std - quantity.std) < 1e-9 * quantity.value


@pytest.mark.parametrize("chi_std", [0.0, 20.0])
def test_the_score_is_the_slope_of_the_likelihood(chi_std):
    """Gradient against central differences, 1e-5 of each curvature."""
    beliefs = RelaxationBeliefs(
        **{name: getattr(BELIEFS, name) for name in ("spin", *TRUTH)}, exchange_std=chi_std
    )
    data = records(6, shots=20)
    shots, repeats = np.unique(
        np.column_stack([data["time"], data["counts"]]), axis=0, return_counts=True
    )
    posterior = RelaxationPosterior(
        beliefs, beliefs.coordinates(), shots.astype(float), repeats.astype(float)
    )
    x = posterior.start + 0.01
    point = posterior.evaluate(x)
    for index in range(x.size):
        curvature = point.information[index, index]
        step = 1e-3 / math.sqrt(curvature)
        shift = np.eye(x.size)[index] * step
        ends = [posterior.evaluate(x + side * shift).value for side in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert abs(slope - point.gradient[index]) < 1e-4 * math.sqrt(curvature)


def test_exchange_shows_in_the_two_populations_with_its_sign():
    """chi is found where it is free; the model without it is refused by its p-value."""
    data = records(7, shots=150, exchange=-100.0)
    beliefs = RelaxationBeliefs(
        **{name: getattr(BELIEFS, name) for name in ("spin", *TRUTH)}, exchange_std=100.0
    )
    free = fitted(data, beliefs)
    assert abs(free["exchange"].value + 100.0) < 4.5 * free["exchange"].std < 80.0
    assert free.goodness_of_fit.p_value > 1e-4
    assert fitted(data).goodness_of_fit.p_value < 1e-6
    assert any("does not describe" in flag for flag in fitted(data).flags)


def test_an_exchange_that_the_counts_hardly_tell_is_said_to_be_so():
    """Believed to 2 Hz, measured to some 20: the answer is the belief, and a flag names it."""
    beliefs = RelaxationBeliefs(
        **{name: getattr(BELIEFS, name) for name in ("spin", *TRUTH)}, exchange_std=2.0
    )
    told = fitted(records(7, shots=20), beliefs)
    assert any("exchange is hardly determined" in flag for flag in told.flags)


def test_a_dead_detector_is_flagged():
    """Ensemble 2 reads background only: no set of rates describes that."""
    data = records(8)
    data["counts"][:, 1] = np.random.default_rng(1).poisson(20.0, len(data["time"]))
    estimate = fitted(data)
    assert estimate.goodness_of_fit.p_value < 1e-8 and estimate.flags


def test_atoms_that_are_too_many_show_against_the_calibrated_rates():
    """Five atoms believed, three there: other rates fit as well, the calibrations do not."""
    data, many = records(9), replace(BELIEFS, spin=2.5)
    assert fitted(data, many).goodness_of_fit.p_value > 1e-4
    assert fitted(data, replace(many, use_rates=True)).goodness_of_fit.p_value < 1e-6
    assert fitted(data, replace(BELIEFS, use_rates=True)).goodness_of_fit.p_value > 1e-4


def test_holds_that_leave_rates_open_are_said_to():
    """Shots long after the steady state say nothing of Gamma: flagged, interval the whole range."""
    times = np.full(400, 0.06)
    data = {"counts": draw(np.random.default_rng(3), times, TRUTH), "time": times}
    estimate = fitted(data)
    assert any("undetermined" in flag for flag in estimate.flags)
    decay = estimate["collective_decay"]
    assert decay.interval[1] / decay.interval[0] > 2.0
    assert "shots" not in estimate.flags


def test_calibrations_can_be_part_of_the_answer():
    """With the rates' calibrations as priors the error is smaller than either alone."""
    held = RelaxationBeliefs(
        **{name: getattr(BELIEFS, name) for name in ("spin", *TRUTH)}, use_rates=True
    )
    alone, joined = fitted(records(9)), fitted(records(9), held)
    for name in ("collective_decay", "rabi_frequency", "detuning_difference"):
        prior = getattr(BELIEFS, name).std
        assert joined[name].std < min(alone[name].std, prior)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"time": None}, "column `time`"),
        ({"time": -1.0}, "within"),
        ({"time": 5.0}, "within"),
        ({"time": math.nan}, "finite"),
        ({"counts": 0.5}, "whole numbers"),
        ({"counts": 400}, "atom number"),
        ({"hold": 1.0}, "`hold` is not known"),
    ],
)
def test_columns_that_cannot_be_are_refused(change, said):
    """Missing, mistyped and impossible columns: nothing of the block is kept."""
    data = dict(records(1, shots=5))
    for name, value in change.items():
        if value is None:
            del data[name]
        else:
            data[name] = np.full_like(np.asarray(data.get(name, data["time"]), float), value)
    estimator = RelaxationTrace(BELIEFS)
    with pytest.raises(RecordError, match=said):
        estimator.update(data)
    assert estimator.shots == 0


def test_too_little_gives_the_calibrations_and_says_so():
    """No shots, too few, all equal, no hold at all: flagged, never a narrow interval."""
    cases = [
        {"counts": np.zeros((0, 2)), "time": np.zeros(0)},
        {"counts": np.full((3, 2), 20), "time": np.full(3, 1e-3)},
        {"counts": np.full((50, 2), 20), "time": np.full(50, 1e-3)},
        {"counts": np.full((50, 2), 20), "time": np.zeros(50)},
    ]
    for data in cases:
        estimate = fitted(data)
        assert "not determined" in estimate.flags[0] and estimate.goodness_of_fit is None
        low, high = estimate["collective_decay"].interval
        assert high / low > 2.0


@pytest.mark.parametrize(
    "change",
    [{"spin": 20.0}, {"spin": 0.3}, {"gain": Calibrated(0.0, 1.0)}, {"exchange_std": -1.0}],
)
def test_beliefs_outside_the_rules_are_refused(change):
    """Spins that cannot be followed, gains of nothing, negative errors."""
    given = {name: getattr(BELIEFS, name) for name in ("spin", *TRUTH)}
    with pytest.raises(ValueError, match=next(iter(change))):
        RelaxationBeliefs(**{**given, **change})
