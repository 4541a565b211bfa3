"""One signal from several bias phases, with independent atoms beside prepared ones."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest, poisson

from cavitylab.estimators import BiasSetting, EllipseSchedule, ScheduleBeliefs, schedule_bounds
from cavitylab.estimators.product_table import ProductTable
from cavitylab.estimators.records import RecordError
from cavitylab.estimators.schedule_bounds import pulls, table_of
from cavitylab.estimators.schedule_posterior import SchedulePosterior, SettingShots
from cavitylab.models.ellipse import sample

SETTINGS = (
    BiasSetting(True, math.pi / 4, 0.78, -0.01),
    BiasSetting(True, 0.25, 0.24, -0.01),
    BiasSetting(False, 0.735, 0.73, -0.02),
)
SHOTS = {0: 80, 1: 260, 2: 260}


def beliefs(spin: float = 5.0) -> ScheduleBeliefs:
    """Coil 1.5 %, drive 2 % in preparation and pulse, gain 3 %, background 5 %."""
    turn = np.array([[1, -1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 0, 1.0]])
    covariance = turn @ np.diag([0.015, 0.02, 0.02]) ** 2 @ turn.T
    covariance[2, 2], covariance[3, 3] = 0.03**2, 2.5**2
    return ScheduleBeliefs(spin, 1.0, math.pi / 2, 100.0, 50.0, covariance, SETTINGS)


def laboratory(rng: np.random.Generator) -> tuple[ScheduleBeliefs, float]:
    """A truth that the calibrations allow: values, bias phases, and the signal."""
    believed = beliefs()
    off = believed.directions @ rng.standard_normal(believed.directions.shape[1])
    true = replace(
        believed,
        detuning_ratio=believed.detuning_ratio * math.exp(off[0]),
        pulse_area=believed.pulse_area * math.exp(off[1]),
        gain=believed.gain * math.exp(off[2]),
        background=believed.background + off[3],
        settings=tuple(
            replace(one, bias_phase=one.bias_phase + float(one.slopes @ off[4:]))
            for one in believed.settings
        ),
    )
    return true, float(rng.uniform(0.1, 0.2))


def blocks(true: ScheduleBeliefs, signal: float, rng: np.random.Generator):
    """Records of each setting in turn."""
    for number, shots in SHOTS.items():
        setting = true.settings[number]
        table = table_of(true, setting.prepared)
        law = table.tables(signal + setting.bias_phase, true.shared.centre)[0]
        counts = rng.poisson(true.gain * sample(law, shots, rng) + true.background)
        yield {"counts": counts, "setting": np.full(shots, number)}


@pytest.mark.parametrize("phase", [0.2, 1.2, -0.4])
def test_the_table_of_independent_atoms_is_a_distribution_with_its_slopes(phase):
    """Adds to one; derivatives by phase and pulse area are those of finite differences."""
    table = ProductTable(beliefs().shared)
    centre = beliefs().shared.centre + np.array([0.0, 0.03, 0.0, 0.0])
    plain, by_phase, by_ratio, by_area = table.tables(phase, centre)
    assert plain.sum() == pytest.approx(1.0, abs=1e-12)
    step = 1e-5
    moved = [table.tables(phase + side * step, centre)[0] for side in (1, -1)]
    assert np.allclose((moved[0] - moved[1]) / (2 * step), by_phase, atol=1e-8)
    shift = np.array([0.0, step, 0.0, 0.0])
    moved = [table.tables(phase, centre + side * shift)[0] for side in (1, -1)]
    assert np.allclose((moved[0] - moved[1]) / (2 * step), by_area, atol=1e-8)
    assert not by_ratio.any()


@pytest.mark.parametrize("known", [False, True])
def test_counts_of_independent_atoms_follow_their_own_table(known):
    """Densities, scan and cells are folds of the table, also where no nuisance is free."""
    shared = replace(beliefs(), gain=2.0, background=1.0).shared
    if known:
        shared = replace(shared, covariance=np.zeros((4, 4)))
    table, atoms = ProductTable(shared), np.arange(11.0)
    counts = np.argwhere(np.ones((60, 60))).astype(float)
    kernel = np.asarray(poisson.pmf(np.arange(60.0)[:, None], 2.0 * atoms + 1.0))
    wanted = kernel @ table.tables(0.7, shared.centre)[0] @ kernel.T
    density, slopes = table.evaluate(counts, 0.7, shared.centre)
    assert np.allclose(density, wanted.ravel(), atol=1e-12)
    scanned = table.scan(counts, np.array([0.7]), shared.centre)
    assert np.allclose(scanned[:, 0], wanted.ravel(), atol=1e-12)
    up = table.evaluate(counts, 0.7 + 1e-6, shared.centre)[0]
    assert np.allclose(slopes[:, 0], (up - density) / 1e-6, atol=1e-6)
    edges = np.arange(61.0)
    cells, _ = table.cell_probabilities(0.7, shared.centre, (edges, edges))
    assert np.allclose(cells, wanted, atol=1e-12)


def test_the_gradient_is_that_of_the_objective():
    """Signal, nuisances and knobs, which all bias phases share, and the stray shots."""
    rng = np.random.default_rng(3)
    true, signal = laboratory(rng)
    parts = [
        SettingShots(
            beliefs().settings[number],
            table_of(beliefs(), beliefs().settings[number].prepared),
            np.asarray(block["counts"], dtype=float)[:40],
        )
        for number, block in enumerate(blocks(true, signal, rng))
    ]
    posterior = SchedulePosterior(beliefs(), parts)
    x = posterior.start(signal, 0.01)
    x[1:-1] = 0.3 * rng.standard_normal(x.size - 2)
    gradient = posterior.evaluate(x).gradient
    for k in range(x.size):
        step = np.zeros(x.size)
        step[k] = 1e-6
        up, down = (posterior.evaluate(x + side * step).value for side in (1, -1))
        assert gradient[k] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=2e-3)


def test_the_signal_is_found_as_well_as_its_bound_says():
    """Four laboratories: printed std within 15 % of the bound, chi-square of the pulls.

    Chi-square of four exceeds 23.5 with a probability of 1e-4.
    """
    total = 0.0
    for seed in range(4):
        rng = np.random.default_rng([seed, 11])
        true, signal = laboratory(rng)
        estimator = EllipseSchedule(beliefs())
        for block in blocks(true, signal, rng):
            estimator.update(block)
        found = estimator.estimate()
        bound = schedule_bounds(true, signal, SHOTS).cramer_rao_std
        assert found["signal"].std == pytest.approx(bound, rel=0.15)
        total += ((found["signal"].value - signal) / bound) ** 2
        assert found.goodness_of_fit is not None
        assert found.goodness_of_fit.p_value > 1e-5
        assert max(map(abs, pulls(beliefs(), found).values())) < 5
    assert total < 23.5


@pytest.mark.slow
def test_p_values_are_uniform():
    """Sixty laboratories, Kolmogorov's test (false alarm 1e-4)."""
    p_values = []
    for seed in range(60):
        rng = np.random.default_rng([seed, 21])
        true, signal = laboratory(rng)
        estimator = EllipseSchedule(beliefs())
        for block in blocks(true, signal, rng):
            estimator.update(block)
        p_values.append(estimator.estimate().goodness_of_fit.p_value)
    assert kstest(p_values, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("off", [3.0, -3.0])
def test_a_gain_far_from_its_calibration_is_moved(off):
    """Counting noise .1 atoms, gain 3 std off: no shot is stray (all were called so before)."""
    believed = replace(beliefs(20.0), detuning_ratio=0.1, gain=2000.0, background=1000.0)
    true, signal = replace(believed, gain=2000.0 * math.exp(0.03 * off)), 0.15
    rng = np.random.default_rng(7)
    estimator = EllipseSchedule(believed)
    for number in (0, 1):
        setting = true.settings[number]
        table = table_of(true, setting.prepared)
        law = table.tables(signal + setting.bias_phase, true.shared.centre)[0]
        counts = rng.poisson(true.gain * sample(law, 60, rng) + true.background)
        estimator.update({"counts": counts, "setting": np.full(60, number)})
    found = estimator.estimate(1.0 - 1e-4)
    assert found["signal"].interval[0] < signal < found["signal"].interval[1]
    assert found["signal"].std < 0.02
    assert found["gain"].value == pytest.approx(true.gain, rel=0.01)
    assert found.diagnostics["outlier_fraction"] < 0.05


def test_two_bias_phases_measure_the_knob_that_writes_them():
    """The signal's bound with two biases is below that of the coil's calibration alone."""
    alone = schedule_bounds(beliefs(), 0.15, {1: 200_000}).cramer_rao_std
    both = schedule_bounds(beliefs(), 0.15, {0: 100_000, 1: 100_000}).cramer_rao_std
    assert both < 0.6 * alone


def test_block_by_block_is_all_at_once():
    """Neither the order of blocks nor their size changes the answer."""
    rng = np.random.default_rng(8)
    true, signal = laboratory(rng)
    taken = list(blocks(true, signal, rng))
    first, second = EllipseSchedule(beliefs()), EllipseSchedule(beliefs())
    for block in taken:
        first.update(block)
    whole = {name: np.concatenate([block[name] for block in reversed(taken)]) for name in taken[0]}
    second.update({**whole, "status": np.ones(len(whole["counts"]))})
    assert first.estimate().to_json() == second.estimate().to_json()
    gain = first.estimate()["preparation_gain"]
    assert gain.unit == "dB"
    assert gain.interval[0] < gain.value < gain.interval[1]


def test_few_shots_and_unknown_settings_are_refused():
    """The whole range for too few shots; a setting that there is not is an error."""
    estimator = EllipseSchedule(beliefs())
    found = estimator.estimate()
    assert found["signal"].interval == beliefs().signal_range
    assert "not determined" in found.flags[0]
    with pytest.raises(RecordError, match="setting"):
        estimator.update({"counts": np.full((2, 2), 500), "setting": np.array([0, 3])})
    with pytest.raises(ValueError, match="at most pi wide"):
        replace(beliefs(), signal_range=(0.0, 4.0))


def test_beliefs_survive_the_way_through_json():
    """As a run keeps them."""
    import dataclasses
    import json

    stored = dataclasses.asdict(beliefs())
    stored["covariance"] = np.asarray(stored["covariance"]).tolist()
    back = ScheduleBeliefs.from_json(json.loads(json.dumps(stored)))
    assert back.settings == beliefs().settings
    assert np.array_equal(np.asarray(back.covariance), np.asarray(beliefs().covariance))
