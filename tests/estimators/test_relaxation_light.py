"""Rates from populations and the cavity's light: precision, weights, refusals."""

import math

import numpy as np
import pytest
from scipy.stats import chi2, kstest

from cavitylab.estimators import (
    Calibrated,
    LightBeliefs,
    RecordError,
    RelaxationLight,
    draw_relaxation_light,
    relaxation_bounds,
)
from cavitylab.estimators.relaxation_light import LightPosterior

BELIEFS = LightBeliefs(
    1.0,
    Calibrated(100.0, 3.0),
    Calibrated(300.0, 7.0),
    Calibrated(300.0, 6.0),
    Calibrated(60.0, 1.8),
    Calibrated(30.0, 1.5),
    efficiency=Calibrated(0.4, 0.02),
    output_background=Calibrated(100.0, 5.0),
)
HOLDS = np.linspace(0.4e-3, 5e-3, 6)
TRUTH = {
    "collective_decay": 104.0,
    "rabi_frequency": 290.0,
    "detuning_difference": 306.0,
    "gain": 61.0,
    "background": 29.5,
    "efficiency": 0.41,
    "output_background": 98.0,
}


def records(seed, shots=60):
    """The same number of shots at every hold."""
    rng = np.random.default_rng(seed)
    return draw_relaxation_light(1.0, TRUTH, np.repeat(HOLDS, shots), rng)


def fitted(data):
    estimator = RelaxationLight(BELIEFS)
    estimator.update(data)
    return estimator.estimate()


def test_rates_are_found_as_well_as_light_and_populations_allow():
    """Four data sets: squared pulls follow chi-square (1e-4), widths are the bound's.

    The light narrows the decay rate by more than a fifth.
    """
    found = [fitted(records(seed)) for seed in range(4)]
    pulls = [[(one[k].value - TRUTH[k]) / one[k].std for k in TRUTH] for one in found]
    squares = np.sum(np.square(pulls), axis=0)
    assert (squares < chi2.isf(1e-4 / len(TRUTH), len(found))).all(), squares
    assert min(one.goodness_of_fit.p_value for one in found) > 1e-5
    times = np.repeat(HOLDS, 60)
    bound = relaxation_bounds(BELIEFS, TRUTH, times)
    for name in TRUTH:
        width = np.mean([one[name].std for one in found])
        assert 0.8 < width / bound[name] < 1.2, name
    dark = relaxation_bounds(BELIEFS.populations, TRUTH, times)
    assert bound["collective_decay"] < 0.8 * dark["collective_decay"]


def test_light_that_no_relaxation_gives_is_refused_by_its_p_value():
    """A gate that opens at the wrong time counts background only; blocks make no difference."""
    data = records(9)
    order = np.random.default_rng(0).permutation(len(data["time"]))
    parts = RelaxationLight(BELIEFS)
    for block in np.array_split(order, 5):
        parts.update({name: column[block] for name, column in data.items()})
    whole, other = fitted(data), parts.estimate()
    for name, quantity in whole.quantities.items():
        assert abs(other[name].value - quantity.value) < 1e-9 * quantity.value
    data["light"] = np.random.default_rng(1).poisson(100.0 * data["time"]).astype(float)
    assert fitted(data).goodness_of_fit.p_value < 1e-6


def test_the_score_is_the_slope_of_the_likelihood():
    """Gradient against central differences, 1e-4 of each curvature; bunched light counts less."""
    data = records(6, shots=10)
    table = np.column_stack([data["time"], data["counts"], data["light"]])
    shots, repeats = np.unique(table, axis=0, return_counts=True)
    posterior = LightPosterior(BELIEFS, BELIEFS.coordinates(), shots, repeats.astype(float))
    x = posterior.coordinates.centre.copy()
    x[:3] = np.log([100.0, 300.0, 300.0])
    posterior.weigh(x)
    x += 0.01
    point = posterior.evaluate(x)
    for index in range(x.size):
        curvature = point.information[index, index]
        step = np.eye(x.size)[index] * 1e-3 / math.sqrt(curvature)
        ends = [posterior.evaluate(x + side * step).value for side in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step[index])
        assert abs(slope - point.gradient[index]) < 1e-4 * math.sqrt(curvature)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("light", None, "`light`"),
        ("light", 0.5, "whole numbers"),
        ("light", -1.0, "within"),
        ("light", math.nan, "finite"),
        ("time", 5.0, "within"),
        ("glow", 1.0, "`glow` is not known"),
    ],
)
def test_columns_that_cannot_be_are_refused(column, value, said):
    """Missing and impossible light: nothing of the block is kept."""
    data = dict(records(1, shots=2))
    if value is None:
        del data[column]
    else:
        data[column] = np.full(len(data["time"]), value)
    estimator = RelaxationLight(BELIEFS)
    with pytest.raises(RecordError, match=said):
        estimator.update(data)
    assert estimator.shots == 0


def test_too_little_and_beliefs_that_cannot_be():
    """Few shots give the calibrations and say so; an efficiency above one is refused."""
    few = fitted({"counts": np.ones((3, 2)), "light": np.zeros(3), "time": np.full(3, 1e-3)})
    assert "not determined" in few.flags[0] and few["efficiency"].interval[0] < 0.4
    with pytest.raises(ValueError, match="efficiency"):
        LightBeliefs(
            **{name: getattr(BELIEFS, name) for name in ("spin", *list(TRUTH)[:5])},
            efficiency=Calibrated(1.2, 0.1),
            output_background=Calibrated(1.0, 0.1),
        )


@pytest.mark.slow
def test_p_values_are_uniform():
    """Twenty data sets, Kolmogorov's test (false alarm 1e-4)."""
    checks = [fitted(records(100 + seed)).goodness_of_fit for seed in range(20)]
    assert kstest([check.p_value for check in checks], "uniform").pvalue > 1e-4
