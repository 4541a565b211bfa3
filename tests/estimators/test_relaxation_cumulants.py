"""Rates of large ensembles from populations and light: precision, checks, validity, refusals."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom, chi2

from cavitylab.estimators import (
    Calibrated,
    CloudBeliefs,
    RelaxationCumulants,
    draw_relaxation,
    draw_relaxation_clouds,
    relaxation_cumulants_bounds,
)
from cavitylab.estimators.records import RecordError
from cavitylab.estimators.relaxation_clouds import allowance, count_moments
from cavitylab.estimators.relaxation_gaussian import GaussianPosterior, HoldSums

ATOMS = 2000.0
BELIEFS = CloudBeliefs(
    ATOMS,
    Calibrated(0.104, 0.005),
    Calibrated(194.0, 10.0),
    Calibrated(103.0, 5.0),
    Calibrated(40.0, 1.2),
    Calibrated(200.0, 10.0),
)
LIGHT = replace(
    BELIEFS, efficiency=Calibrated(0.3, 0.015), output_background=Calibrated(1e4, 500.0)
)
TRUTH = {
    "collective_decay": 0.1,
    "rabi_frequency": 200.0,
    "detuning_difference": 100.0,
    "gain": 40.8,
    "background": 195.0,
}
COUNTED = LIGHT.output_background
COUNTER = {"efficiency": 0.31, "output_background": 1.02e4}
RATES = ("collective_decay", "rabi_frequency", "detuning_difference")
HOLDS = np.linspace(0.4e-3, 4.8e-3, 8)  # Omega t up to 6


def records(seed, shots=60, truth=TRUTH, atoms=ATOMS, holds=HOLDS):
    """The same number of shots at every hold."""
    times = np.repeat(holds, shots)
    return draw_relaxation_clouds(atoms, truth, times, np.random.default_rng(seed))


def fitted(data, beliefs=BELIEFS):
    estimator = RelaxationCumulants(beliefs)
    estimator.update(data)
    return estimator.estimate()


def pulls(estimate, truth):
    return [(estimate[name].value - truth[name]) / estimate[name].std for name in truth]


@pytest.mark.slow
def test_rates_are_found_within_their_errors_and_as_well_as_the_bound_says():
    """Eight data sets: squared pulls follow chi-square (false alarm 1e-4), widths are the
    bound's; errors half as large would show."""
    found = [fitted(records(seed)) for seed in range(8)]
    squares = np.sum(np.square([pulls(one, TRUTH) for one in found]), axis=0)
    assert (squares < chi2.isf(1e-4 / len(TRUTH), len(found))).all(), squares
    rates = float(squares[:3].sum())
    assert chi2.isf(1 - 1e-4, 24) < rates < chi2.isf(1e-4, 24) < 2.0**2 * rates
    bound = relaxation_cumulants_bounds(BELIEFS, TRUTH, np.repeat(HOLDS, 60))
    for name in TRUTH:
        width = np.mean([one[name].std for one in found])
        assert 0.9 < width / bound[name] < 1.1, name
    low = sum(one.goodness_of_fit.p_value < 0.05 for one in found)
    assert low <= binom.isf(1e-4, len(found), 0.05)
    assert not any(one.flags for one in found)


def test_exact_shots_of_twelve_atoms():
    """Counts of the exact master equation at the lower end: two data sets, chi-square (1e-4)."""
    atoms, rates = 12.0, {"collective_decay": 100.0, "rabi_frequency": 1200.0}
    truth = {**rates, "detuning_difference": 600.0, "gain": 40.0, "background": 20.0}
    beliefs = CloudBeliefs(
        atoms,
        Calibrated(104.0, 5.0),
        Calibrated(1164.0, 60.0),
        Calibrated(618.0, 30.0),
        Calibrated(40.0, 1.2),
        Calibrated(20.0, 1.0),
    )
    times = np.repeat(np.linspace(8e-5, 6e-4, 6), 100)  # Omega t up to 4.5
    data = draw_relaxation(6.0, truth, np.tile(times, 2), np.random.default_rng(3))
    squares = np.zeros(len(truth))
    for part in (slice(0, times.size), slice(times.size, None)):
        found = fitted({name: column[part] for name, column in data.items()}, beliefs)
        squares += np.square(pulls(found, truth))
        assert found.goodness_of_fit.p_value > 1e-4
    assert (squares < chi2.isf(1e-4 / len(truth), 2)).all(), squares


def test_light_and_free_exchange():
    """With light efficiency and exchange are found too, with its sign; light sharpens Gamma."""
    beliefs = replace(LIGHT, exchange_std=0.02)
    truth = TRUTH | COUNTER | {"exchange": -0.03}
    found = fitted(records(4, truth=truth, holds=HOLDS[::2]), beliefs)
    assert set(found.quantities) == set(truth)
    assert max(np.abs(pulls(found, truth))) < 4.5
    assert found["exchange"].value < -5.0 * found["exchange"].std
    lit = relaxation_cumulants_bounds(LIGHT, TRUTH | COUNTER, np.repeat(HOLDS, 60))
    dark = relaxation_cumulants_bounds(BELIEFS, TRUTH, np.repeat(HOLDS, 60))
    assert lit["collective_decay"] < 0.95 * dark["collective_decay"]


def test_the_score_is_the_slope_of_the_likelihood():
    """Gradient against central differences, with light, exchange, single decay and atoms free."""
    beliefs = replace(
        LIGHT,
        exchange_std=0.01,
        single_spin_decay=2.0,
        single_spin_decay_std=1.0,
        atoms_std=40.0,
        atoms_spread=0.01,
    )
    truth = TRUTH | COUNTER | {"single_spin_decay": 2.0}
    data = records(6, shots=20, truth=truth, holds=HOLDS[1::3])
    rows = np.column_stack([data["time"], data["counts"], data["light"]])
    coordinates, sums = beliefs.coordinates(), HoldSums.of(rows)
    x = coordinates.centre + 0.02 / np.sqrt(1.0 + coordinates.weight)
    posterior = GaussianPosterior(
        coordinates,
        lambda at, holds: count_moments(beliefs, at, holds),
        sums,
        allowance(beliefs, x, sums.holds),
    )
    point = posterior.evaluate(x)
    for k in range(x.size):
        step = np.zeros(x.size)
        step[k] = 1e-3 / np.sqrt(point.information[k, k])
        ends = [posterior.evaluate(x + side * step).value for side in (1, -1)]
        slope = (ends[0] - ends[1]) / (2.0 * step[k])
        scale = np.sqrt(point.information[k, k])
        assert abs(slope - point.gradient[k]) < 2e-3 * scale + 1e-4 * abs(slope), k


def test_what_cannot_be_told_is_said():
    """One short hold leaves a combination open; long holds of few atoms are left out."""
    short = fitted(records(7, shots=40, holds=np.array([0.2e-3])))
    assert any("undetermined" in flag or "not determined" in flag for flag in short.flags)
    few = {"collective_decay": Calibrated(10.0, 0.5), "detuning_difference": Calibrated(50.0, 2.5)}
    beliefs = replace(BELIEFS, atoms=20.0, **few)
    allowed = allowance(beliefs, beliefs.coordinates().centre, np.array([1e-3, 1e-2]))
    assert allowed.trusted.tolist() == [True, False]
    rates = TRUTH | {"collective_decay": 10.0, "detuning_difference": 50.0}
    data = records(8, shots=30, truth=rates, atoms=20.0, holds=HOLDS[:4])
    late = {"counts": data["counts"], "time": data["time"] + 1e-2}
    assert fitted(late, beliefs).flags[0].startswith("not determined: the cumulant equations")
    mixed = {k: np.concatenate([data[k][::2], late[k][:5]]) for k in data}
    found = fitted(mixed, beliefs)
    assert found.diagnostics["shots_left_out"] == 5
    assert any("left out" in flag for flag in found.flags)


def test_light_that_the_equations_do_not_know_is_left_out():
    """Twelve atoms, the last hold at Omega t = 6: its light says nothing, its atoms do.

    Whatever that light is, the answer is the same, and so is the goodness of fit.
    """
    few = {"collective_decay": Calibrated(8.3, 0.4), "detuning_difference": Calibrated(60.0, 3.0)}
    beliefs = replace(LIGHT, atoms=12.0, **few)
    allowed = allowance(beliefs, beliefs.coordinates().centre, HOLDS[[0, 3, 7]])
    assert allowed.trusted.all() and allowed.lit.tolist() == [True, True, False]
    rates = TRUTH | COUNTER | {"collective_decay": 8.3, "detuning_difference": 60.0}
    data = records(8, shots=30, truth=rates, atoms=12.0)
    last = data["time"] == HOLDS[-1]
    found = fitted(data, beliefs)
    other = fitted(data | {"light": np.where(last, 7.0, data["light"])}, beliefs)
    assert any("light of 30 shots is left out" in flag for flag in found.flags)
    assert found.diagnostics["light_left_out"] == 30 and found.diagnostics["shots_left_out"] == 0
    assert other.goodness_of_fit.p_value == pytest.approx(found.goodness_of_fit.p_value, abs=1e-4)
    assert found.goodness_of_fit.p_value > 1e-4
    for name in RATES:
        assert other[name].value == pytest.approx(found[name].value, rel=1e-4)
    many = allowance(LIGHT, LIGHT.coordinates().centre, HOLDS)
    assert many.lit.all()


def test_atom_numbers_that_fluctuate_are_seen_or_allowed_for():
    """Six per cent from shot to shot: flagged by the p-value, and described where it is known."""
    data = records(9, truth=TRUTH | {"atoms_spread": 0.06}, holds=HOLDS[::2])
    assert fitted(data).goodness_of_fit.p_value < 1e-4
    allowed = fitted(data, replace(BELIEFS, atoms_spread=0.06))
    assert allowed.goodness_of_fit.p_value > 1e-4
    assert max(np.abs(pulls(allowed, TRUTH))) < 4.5


def test_unknown_atom_number_goes_into_the_decay():
    """Only N Gamma and N g show: five per cent of N are five per cent of Gamma."""
    beliefs = replace(BELIEFS, atoms_std=0.05 * ATOMS)
    wide = relaxation_cumulants_bounds(beliefs, TRUTH, np.repeat(HOLDS, 600))
    narrow = relaxation_cumulants_bounds(BELIEFS, TRUTH, np.repeat(HOLDS, 600))
    assert narrow["collective_decay"] < 0.01 * TRUTH["collective_decay"]
    assert 0.02 < wide["collective_decay"] / TRUTH["collective_decay"] < 0.06
    assert wide["rabi_frequency"] < 0.02 * TRUTH["rabi_frequency"]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"atoms": 8.0}, "RelaxationTrace"),
        ({"atoms_std": -1.0}, "atoms_std"),
        ({"exchange": np.nan}, "exchange"),
        ({"efficiency": Calibrated(0.3, 0.1)}, "output_background"),
        ({"rabi_frequency": Calibrated(0.0, 0.1)}, "rabi_frequency"),
    ],
)
def test_beliefs_outside_the_rules(changes, word):
    """What cannot be believed is named."""
    with pytest.raises(ValueError, match=word):
        replace(BELIEFS, **changes)


def test_records_that_cannot_be():
    """Light without its counter, holds in mistaken units, fractions of photons."""
    data = records(1, shots=2, truth=TRUTH | COUNTER, holds=HOLDS[:2])
    with pytest.raises(RecordError, match="light"):
        RelaxationCumulants(BELIEFS).update(data)
    with pytest.raises(RecordError, match="time"):
        RelaxationCumulants(LIGHT).update(data | {"time": data["time"] * 1e6})
    with pytest.raises(RecordError, match="whole"):
        RelaxationCumulants(LIGHT).update(data | {"light": data["light"] + 0.5})
