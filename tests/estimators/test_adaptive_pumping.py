"""The knob chosen shot by shot: populations, blocks, calibration, design, bad data."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom, chi2, kstest

from cavitylab.estimators import AdaptivePumping, RecordError
from cavitylab.estimators.adaptive_pumping import ladder_populations
from cavitylab.models.pumped_superradiance import PumpedEnsemble, populations, pumped_steady_state

FALSE_ALARM = 1e-4
ATOMS, GAIN, BACKGROUND = 40, 20.0, 50.0


def _new(**changes) -> AdaptivePumping:
    fields = {
        "atoms": ATOMS,
        "critical_range": (0.8, 1.25),
        "gain": GAIN,
        "gain_std": 0.03 * GAIN,
        "background": BACKGROUND,
    }
    return AdaptivePumping(**{**fields, **changes})


def _counts(knobs, critical, gain, rng, atoms=ATOMS):
    """Counts of fresh steady states, populations from the models."""
    table = {
        float(knob): populations(PumpedEnsemble(atoms, float(knob) / critical))
        for knob in np.unique(knobs)
    }
    excited = np.array([rng.choice(atoms + 1, p=table[float(knob)]) for knob in knobs])
    return rng.poisson(gain * excited + BACKGROUND)[:, None]


def _truth(rng):
    return math.exp(rng.uniform(math.log(0.8), math.log(1.25))), GAIN * math.exp(
        0.03 * rng.standard_normal()
    )


def _scan(critical, gain, rng, shots=60):
    knobs = np.repeat(np.linspace(0.75, 1.35, 20), shots // 20)
    return {"counts": _counts(knobs, critical, gain, rng), "pump": knobs}


def test_populations_are_those_of_the_model() -> None:
    """p_n ~ (u/u_c)^n, below, at and above the transition."""
    for ratio in (0.3, 0.99, 1.0, 1.02, 3.0):
        found = ladder_populations(np.array([math.log(ratio)]), ATOMS)[0]
        assert found == pytest.approx(populations(PumpedEnsemble(ATOMS, ratio)), abs=1e-12)


def test_any_split_and_any_order_give_the_same_answer() -> None:
    """All at once, in pieces with designs in between, and backwards: equal to 1e-9."""
    rng = np.random.default_rng(1)
    block = _scan(1.04, GAIN, rng)
    whole, pieces, backward = _new(), _new(), _new()
    whole.update(block)
    for k in range(0, 60, 7):
        pieces.update({name: column[k : k + 7] for name, column in block.items()})
        pieces.ask()
    backward.update({name: column[::-1] for name, column in block.items()})
    wanted = whole.estimate()
    for other in (pieces, backward):
        found = other.estimate()
        for name in ("critical_pump", "gain"):
            assert found[name].value == pytest.approx(wanted[name].value, rel=1e-9)
            assert found[name].interval == pytest.approx(wanted[name].interval, rel=1e-9)


def test_a_block_is_absorbed_in_ten_and_a_design_made_in_five_milliseconds() -> None:
    """Processor time, best of five."""
    rng = np.random.default_rng(2)
    block = _scan(1.0, GAIN, rng, shots=1000)
    estimator = _new()
    blocks, designs = [], []
    for _ in range(5):
        start = time.process_time()
        estimator.update(block)
        blocks.append(time.process_time() - start)
    single = _new()
    for _ in range(6):
        single.update({"counts": _counts([1.0], 1.0, GAIN, rng), "pump": [1.0]})
        start = time.process_time()
        single.ask()
        designs.append(time.process_time() - start)
    assert min(blocks) < 0.010
    assert min(designs) < 0.005


@pytest.mark.slow
def test_adaptive_runs_are_unbiased_and_near_the_best_fixed_setting() -> None:
    """60 shots: rmse within 1.2 of sqrt(1/(Var n shots)) at the transition; a scan is far off."""
    rng = np.random.default_rng(3)
    count, shots = 25, 60
    bound = 1.0 / math.sqrt(pumped_steady_state(PumpedEnsemble(ATOMS, 1.0)).variance * shots)
    errors, scans, hits = [], [], 0
    for _ in range(count):
        critical, gain = _truth(rng)
        estimator = _new()
        for _ in range(shots):
            knob = estimator.ask()
            estimator.tell({"counts": _counts([knob], critical, gain, rng), "pump": [knob]})
        found = estimator.estimate()["critical_pump"]
        errors.append(math.log(found.value / critical) / bound)
        hits += found.interval[0] <= critical <= found.interval[1]
        fixed = _new()
        fixed.update(_scan(critical, gain, rng, shots))
        scans.append(math.log(fixed.estimate()["critical_pump"].value / critical) / bound)
    rmse = float(np.sqrt(np.mean(np.square(errors))))
    assert rmse < 1.2 * math.sqrt(chi2.isf(FALSE_ALARM, count) / count)
    assert abs(float(np.mean(errors))) < 3.9 * 1.2 / math.sqrt(count)
    assert hits >= binom.ppf(FALSE_ALARM, count, 0.94)
    assert float(np.sqrt(np.mean(np.square(scans)))) > 1.3 * rmse


def _ranks(runs=650, strays=0.0):
    """Posterior probability below the truth, truths from the prior; and with posterior^1.3."""
    rng = np.random.default_rng(4)
    ranks = []
    for _ in range(runs):
        critical, gain = _truth(rng)
        knobs = np.repeat([0.85, 0.95, 1.0, 1.05, 1.15], 8)
        counts = _counts(knobs, critical, gain, rng)
        lost = rng.random(len(counts)) < strays
        counts[lost, 0] = rng.integers(0, round(GAIN * ATOMS + BACKGROUND), int(lost.sum()))
        estimator = _new()
        estimator.update({"counts": counts, "pump": knobs})
        grid = estimator.posterior()
        pair = []
        for sharpen in (1.0, 1.3):
            grid.absorb((sharpen - 1.0) * grid.log_weights)
            marginal = grid.refined(0)
            pair.append(float(marginal.weights[marginal.points < math.log(critical)].sum()))
        ranks.append(pair)
    return np.array(ranks).T


def _spread(ranks) -> float:
    squares = float(np.sum(ndtri(np.clip(ranks, 1e-9, 1.0 - 1e-9)) ** 2))
    return 2.0 * min(chi2.sf(squares, ranks.size), chi2.cdf(squares, ranks.size))


@pytest.mark.slow
def test_posterior_is_calibrated_and_the_test_sees_over_confidence() -> None:
    """Ranks uniform (false alarm 1e-4); with the posterior ^1.3, or 5 % strays, they are not."""
    ranks, sharpened = _ranks()
    assert kstest(ranks, "uniform").pvalue > FALSE_ALARM
    assert _spread(ranks) > FALSE_ALARM
    assert _spread(sharpened) < FALSE_ALARM
    assert _spread(_ranks(350, strays=0.05)[0]) < FALSE_ALARM


def test_p_values_are_uniform_and_small_for_a_wrong_atom_number() -> None:
    """Right model: uniform, or a little too large; 40 atoms taken for 60: flagged."""
    rng = np.random.default_rng(5)
    p_values = []
    for _ in range(60):
        critical, gain = _truth(rng)
        estimator = _new()
        estimator.update(_scan(critical, gain, rng, 200))
        p_values.append(estimator.estimate().goodness_of_fit.p_value)
    assert kstest(p_values, "uniform", alternative="greater").pvalue > FALSE_ALARM
    wrong = _new(atoms=60)
    wrong.update(_scan(1.0, GAIN, rng, 400))
    assert any("does not describe" in flag for flag in wrong.estimate().flags)


def test_no_shots_give_the_prior_and_say_so() -> None:
    """The interval is the range of the prior, flagged."""
    estimate = _new().estimate()
    low, high = estimate["critical_pump"].interval
    assert high - low > 0.4
    assert "no shots" in estimate.flags[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": [[9999]]}, "stay below"),
        ({"counts": [[-3]]}, "none negative"),
        ({"counts": [[math.nan]]}, "whole numbers"),
        ({"pump": [0.0]}, "pump"),
        ({"pump": [math.nan]}, "pump"),
        ({"knob": [1.0]}, "not known"),
    ],
)
def test_unusable_records_are_refused_by_name(change, words) -> None:
    """What, where, and the rule."""
    with pytest.raises(RecordError, match=words):
        _new().update({"counts": [[100]], "pump": [1.0], **change})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"atoms": 1}, "atoms"),
        ({"critical_range": (1.2, 0.8)}, "critical_range"),
        ({"gain_std": 0.0}, "gain_std"),
        ({"background": -1.0}, "background"),
    ],
)
def test_beliefs_outside_their_rules_are_refused(change, words) -> None:
    """The argument is named."""
    with pytest.raises(ValueError, match=words):
        _new(**change)
