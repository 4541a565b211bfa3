"""Calibrations: efficient, covering, honest about what the settings leave open; the gate."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kstest

from cavitylab.estimators import Estimate
from cavitylab.estimators.calibrations_aom import AomCalibration, AomCurve, aom_bounds
from cavitylab.estimators.calibrations_detector import (
    DeadTimeCalibration,
    DeadTimeCurve,
    DetectorCalibration,
    LineCurve,
    detector_bounds,
)
from cavitylab.estimators.calibrations_fit import Groups, log_likelihood
from cavitylab.estimators.calibrations_gate import GateRules, Limits, gate
from cavitylab.estimators.calibrations_rabi import (
    FlopCurve,
    RabiBeliefs,
    RabiCalibration,
    fit_flops,
    rabi_bounds,
)
from cavitylab.estimators.calibrations_ramsey import (
    DetuningCalibration,
    FringeCurve,
    RamseyBeliefs,
    detuning_bounds,
)
from cavitylab.estimators.calibrations_settling import SettlingCalibration, StepCurve
from cavitylab.estimators.records import RecordError

FALSE_ALARM, BAND = 1e-4, 3.9
OMEGA = math.tau * 2e4
TIMES = np.repeat(np.linspace(0.0, 100e-6, 25), 4)
FLOP = (OMEGA, 0.9, 0.5, 3e3)
BELIEFS = RabiBeliefs(100, (1e4, 3e5))
RAMSEY = RamseyBeliefs(100, (-500.0, 500.0), (-300.0, 300.0))


def flop(rng: np.random.Generator, time: np.ndarray = TIMES, theta=FLOP, atoms: int = 100) -> dict:
    """Atoms counted after pulses of these lengths."""
    omega, contrast, offset, rate = theta
    p = offset - 0.5 * contrast * np.exp(-rate * time) * np.cos(omega * time)
    return {"counts": rng.binomial(atoms, p), "time": time}


def estimate(estimator, records: dict, level: float = 0.95) -> Estimate:
    estimator.update(records)
    return estimator.estimate(level)


def campaign(
    draw: Callable[[np.random.Generator], dict],
    make: Callable[[], object],
    name: str,
    truth: float,
    bound: float,
    replicates: int,
) -> None:
    """Unbiased, within 1.1 of the bound, covering .945, p-values uniform; each at 1e-4."""
    rng = np.random.default_rng(7)
    found = [estimate(make(), draw(rng)) for _ in range(replicates)]
    errors = np.array([f[name].value - truth for f in found])
    assert abs(errors.mean()) < BAND * errors.std() / math.sqrt(replicates)
    rmse = math.sqrt(float(np.mean(errors**2)))
    assert rmse < 1.1 * bound * (1.0 + BAND / math.sqrt(2.0 * replicates))
    inside = sum(f[name].interval[0] <= truth <= f[name].interval[1] for f in found)
    assert inside >= replicates * 0.945 - BAND * math.sqrt(replicates * 0.945 * 0.055)
    p_values = [f.goodness_of_fit.p_value for f in found]
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM


def test_rabi_frequency_is_efficient_and_covers() -> None:
    """A flop of 100 shots at the bound, over a range with many aliases."""
    bound = math.sqrt(rabi_bounds(BELIEFS, FLOP, TIMES)[0, 0])
    campaign(flop, lambda: RabiCalibration(BELIEFS), "rabi_frequency", OMEGA, bound, 60)


def test_aom_gain_and_settling_find_their_parameters() -> None:
    """Each at its bound with free nuisances; short versions of the benchmark's rows."""
    power = np.repeat(np.linspace(0.02, 2.4, 20), 3)

    def light(rng: np.random.Generator) -> dict:
        wave = np.sin(0.5 * math.pi * np.sqrt(power / 1.6)) ** 2
        return {"reading": 2.0 * wave + 0.05 + 0.02 * rng.standard_normal(60), "power": power}

    bound = math.sqrt(aom_bounds((1.6, 2.0, 0.05), power, 0.02)[0, 0])
    campaign(light, AomCalibration, "saturation_power", 1.6, bound, 30)

    number = np.linspace(50.0, 900.0, 8)

    def levels(rng: np.random.Generator) -> dict:
        atoms = rng.poisson(np.repeat(number, 40))
        return {"counts": rng.poisson(20.0 * atoms + 200.0), "light": np.repeat(np.arange(8), 40)}

    bound = math.sqrt(detector_bounds(20.0, 200.0, 20.0 * number, 40)[0, 0])
    campaign(levels, DetectorCalibration, "gain", 20.0, bound, 30)


@pytest.mark.slow
def test_detuning_is_found_among_a_thousand_fringes() -> None:
    """Coarse to fine: no fringe is miscounted, the slope is at its bound."""
    axes = np.meshgrid(
        np.geomspace(3e-4, 2e-2, 6), np.linspace(-3, 3, 7), [0.0, -math.pi / 2], indexing="ij"
    )
    time, current, phase = (axis.ravel() for axis in axes)
    theta = (-183.0, 41.0, 0.9, 0.5, 10.0)

    def fringes(rng: np.random.Generator) -> dict:
        angle = math.tau * (theta[1] + theta[0] * current) * time + phase
        p = 0.5 + 0.45 * np.exp(-10.0 * time) * np.cos(angle)
        counts = rng.binomial(100, p)
        return {"counts": counts, "time": time, "current": current, "bias_phase": phase}

    bound = math.sqrt(detuning_bounds(RAMSEY, theta, time, current, phase)[0, 0])
    campaign(fringes, lambda: DetuningCalibration(RAMSEY), "slope", -183.0, bound, 120)


def test_a_detuning_without_a_second_phase_has_two_answers() -> None:
    """cos is even: with both signs in range the interval holds both, and a flag says so."""
    rng = np.random.default_rng(3)
    time, current = (a.ravel() for a in np.meshgrid(np.geomspace(3e-4, 5e-3, 6), np.arange(-3, 4)))
    p = 0.5 + 0.45 * np.cos(math.tau * (41.0 - 183.0 * current) * time)
    records = {"counts": rng.binomial(100, p), "time": time, "current": current.astype(float)}
    found = estimate(DetuningCalibration(RAMSEY), records)
    assert any("ambiguous" in flag for flag in found.flags)
    low, high = found["slope"].interval
    assert low < -183.0 and high > 183.0


def test_an_alias_is_broken_by_a_second_flop() -> None:
    """Times on one grid cannot tell Omega from 2 pi/dt - Omega; two grids can."""
    rng = np.random.default_rng(4)
    one, two = np.arange(25) * 41e-6, np.arange(25) * 37e-6
    theta = (OMEGA, 0.9, 0.5, 100.0)
    alone = estimate(RabiCalibration(BELIEFS), flop(rng, one, theta))
    assert any("ambiguous" in flag for flag in alone.flags)
    assert alone["rabi_frequency"].interval[0] < OMEGA < alone["rabi_frequency"].interval[1]
    joint = estimate(RabiCalibration(BELIEFS), flop(rng, np.concatenate([one, two]), theta))
    assert not any("ambiguous" in flag for flag in joint.flags)
    assert abs(joint["rabi_frequency"].value - OMEGA) < BAND * joint["rabi_frequency"].std


def test_photon_counts_free_the_gain_within_its_calibration() -> None:
    """Gain 3 % off its belief: the frequency does not care, the gain moves with its prior."""
    rng = np.random.default_rng(5)
    beliefs = RabiBeliefs(100, (1e4, 3e5), (50.0, 1.5), (30.0, 2.0))
    records = flop(rng)
    records["counts"] = rng.poisson(51.5 * records["counts"] + 30.0)
    found = estimate(RabiCalibration(beliefs), records, 1.0 - FALSE_ALARM)
    for name, true in (("rabi_frequency", OMEGA), ("gain", 51.5)):
        assert found[name].interval[0] < true < found[name].interval[1]


def test_dead_time_is_separated_from_the_background() -> None:
    """Counts that bend with light: tau inside its interval; without bending it reaches zero."""
    rng = np.random.default_rng(6)
    light = np.repeat(np.linspace(0.05, 1.0, 10), 40)
    for tau in (50e-9, 0.0):
        rate = 1.5e6 * light + 1e3
        live = 1.0 / (1.0 + rate * tau)
        counts = np.rint(rng.normal(5e-3 * rate * live, np.sqrt(5e-3 * rate * live**3)))
        found = estimate(DeadTimeCalibration(5e-3), {"counts": counts, "light": light}, 0.9999)
        low, high = found["dead_time"].interval
        assert low <= tau <= high and high < 80e-9


def test_settling_says_when_it_is_done() -> None:
    """Delay and time constant inside their intervals, and the time until 1e-3 is left."""
    rng, time = np.random.default_rng(8), np.linspace(-1e-3, 9e-3, 150)
    left = np.exp(-np.maximum(time - 0.3e-3, 0.0) / 1.2e-3)
    reading = 4.0 * (1.0 - left) + 0.05 * rng.standard_normal(150)
    found = estimate(SettlingCalibration(), {"reading": reading, "time": time}, 0.9999)
    done = 0.3e-3 + 1.2e-3 * math.log(1e3)
    for name, true in (("time_constant", 1.2e-3), ("delay", 0.3e-3), ("settled_after", done)):
        assert found[name].interval[0] < true < found[name].interval[1]
    nothing = estimate(SettlingCalibration(), {"reading": rng.standard_normal(150), "time": time})
    assert nothing.flags


def test_wrong_models_have_small_p_values() -> None:
    """A drifting frequency, a wrong atom number, a saturated detector are noticed."""
    rng = np.random.default_rng(9)
    slow = flop(rng, theta=(0.97 * OMEGA, 0.9, 0.5, 3e3))
    fast = flop(rng, theta=(1.03 * OMEGA, 0.9, 0.5, 3e3))
    both = {k: np.concatenate([slow[k], fast[k]]) for k in slow}
    wrong = flop(rng, atoms=50)
    wrong["counts"] = 2 * wrong["counts"]
    clipped = flop(rng)
    clipped["counts"] = np.minimum(clipped["counts"], 80)
    for records in (both, wrong, clipped):
        found = estimate(RabiCalibration(BELIEFS), records)
        assert found.goodness_of_fit.p_value < 1e-3


CURVES = [
    (FlopCurve(BELIEFS, TIMES, np.ones(100)), "binomial", FLOP, 100.0),
    (
        FlopCurve(RabiBeliefs(100, (1e4, 3e5), (50.0, 1.0), (30.0, 2.0)), TIMES, np.ones(100)),
        "gaussian",
        (*FLOP, 50.0, 30.0),
        100.0,
    ),
    (
        FringeCurve(RAMSEY, np.full(7, 2e-3), np.linspace(-3, 3, 7), np.zeros(7)),
        "binomial",
        (-183.0, 41.0, 0.9, 0.5, 10.0),
        100.0,
    ),
    (AomCurve(np.linspace(0.1, 2, 9), (0.1, 9.0), None, 2.0), "gaussian", (1.6, 2, 0.05, 0.2), 1.0),
    (LineCurve(np.array([900.0, 2e3]), 200.0, None, 99.0), "gaussian", (20, 200, 900, 2e3), 1.0),
    (
        DeadTimeCurve(np.linspace(0.1, 1, 5), 5e-3, 1e9, None),
        "gaussian",
        (5e-8, 1.5e6, 1e3),
        1.0,
    ),
    (StepCurve(np.linspace(0, 9e-3, 30), None, 4.0), "gaussian", (1.2e-3, 3e-4, 0, 4, 0.1), 1.0),
]


@pytest.mark.parametrize(("curve", "law", "theta", "trials"), CURVES)
def test_scores_are_the_slopes_of_the_likelihood(curve, law, theta, trials) -> None:
    """Analytic scores against central differences, data off the curve."""
    theta = np.array(theta, dtype=float)
    predicted = curve.evaluate(theta)
    size, rng = predicted.mean.size, np.random.default_rng(1)
    mean = predicted.mean * trials if law == "binomial" else predicted.mean
    total = 3.0 * mean * (1.0 + 0.05 * rng.standard_normal(size))
    groups = Groups({}, np.full(size, 3.0), total, 0.1 * np.abs(total) + 1.0, trials)
    score = log_likelihood(predicted, law, groups)[1]
    for index in range(theta.size):
        step = 1e-6 * (abs(theta[index]) or 1.0)
        ends = []
        for sign in (1.0, -1.0):
            moved = theta.copy()
            moved[index] += sign * step
            ends.append(log_likelihood(curve.evaluate(moved), law, groups)[0])
        slope = (ends[0] - ends[1]) / (2.0 * step)
        scale = max(abs(slope), 1e-6 * abs(ends[0]) / (abs(theta[index]) or 1.0))
        assert abs(score[index] - slope) < 1e-4 * scale


@pytest.mark.slow
def test_errors_follow_the_covariance_and_overconfidence_is_found() -> None:
    """Squared pulls of all four parameters are chi-square; with the log-likelihood x 1.3 not."""
    rng, squares = np.random.default_rng(11), []
    for _ in range(400):
        theta = np.array([OMEGA * rng.uniform(0.9, 1.1), rng.uniform(0.7, 0.9), 0.5, 3e3])
        readings = RabiCalibration(BELIEFS)
        readings.update(flop(rng, theta=theta))
        fitted = fit_flops(BELIEFS, readings.groups())
        off = fitted.theta - theta
        squares.append(
            off / theta @ np.linalg.solve(fitted.covariance / np.outer(theta, theta), off / theta)
        )
    assert kstest(squares, "chi2", args=(4,)).pvalue > FALSE_ALARM
    assert kstest(1.3 * np.array(squares), "chi2", args=(4,)).pvalue < FALSE_ALARM


def test_blocks_and_order_do_not_matter() -> None:
    """Any split and any order of the shots: the same to 1e-9."""
    records, rng = flop(np.random.default_rng(12)), np.random.default_rng(13)
    whole = estimate(RabiCalibration(BELIEFS), records)
    split = RabiCalibration(BELIEFS)
    order = rng.permutation(100)
    for part in np.array_split(order, [1, 40, 41]):
        split.update({name: column[part] for name, column in records.items()})
    for name, quantity in split.estimate().quantities.items():
        assert quantity.value == pytest.approx(whole[name].value, rel=1e-9)
        assert quantity.interval == pytest.approx(whole[name].interval, rel=1e-9)


def test_the_scale_of_time_does_not_matter() -> None:
    """Microseconds or seconds: the phase per pulse is what is fitted."""
    records = flop(np.random.default_rng(14))
    seconds = estimate(RabiCalibration(BELIEFS), records)
    scaled = estimate(
        RabiCalibration(RabiBeliefs(100, (1e-2, 3e-1))), {**records, "time": records["time"] * 1e6}
    )
    ratio = scaled["rabi_frequency"].value / seconds["rabi_frequency"].value
    assert ratio == pytest.approx(1e-6, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"counts": np.full(100, 101.0)}, "exceed 100"),
        ({"counts": np.full(100, -1.0)}, "none negative"),
        ({"counts": np.full(100, np.nan)}, "whole numbers"),
        ({"time": np.full(100, np.inf)}, "finite"),
        ({"time": np.full(99, 1.0)}, "shape"),
        ({"tme": np.full(100, 1.0)}, "not known"),
    ],
)
def test_bad_readings_are_refused(change: dict, words: str) -> None:
    """The message names the column, the value and the rule."""
    with pytest.raises(RecordError, match=words):
        RabiCalibration(BELIEFS).update({**flop(np.random.default_rng(1)), **change})


def test_empty_and_constant_data_never_give_a_confident_number() -> None:
    """No shots: refused. A flat flop: the frequency is flagged."""
    with pytest.raises(RecordError, match="good shot"):
        RabiCalibration(BELIEFS).estimate()
    flat = estimate(RabiCalibration(BELIEFS), {"counts": np.full(100, 50), "time": TIMES})
    assert flat.flags


def test_the_gate_says_why_it_refuses() -> None:
    """Bounds, change, precision, p-value, flags: one reason for each rule that is broken."""
    rng = np.random.default_rng(15)
    new = estimate(RabiCalibration(BELIEFS), flop(rng))
    old = estimate(RabiCalibration(BELIEFS), flop(rng, theta=(0.8 * OMEGA, 0.9, 0.5, 3e3)))
    limits = Limits(low=1e5, high=2e5, largest_change=0.5, largest_relative_std=0.05)
    assert gate(new, old, GateRules(limits={"rabi_frequency": limits}))
    strict = Limits(low=1.5e5, largest_change=0.05, largest_relative_std=1e-6)
    refused = gate(new, old, GateRules(limits={"rabi_frequency": strict, "gain": Limits()}))
    text = " | ".join(refused.reasons)
    assert not refused and len(refused.reasons) == 4
    for words in ("below its bound", "changed from", "known to", "gain is not among"):
        assert words in text
    drifting = gate(new, None, GateRules(least_p_value=0.999999))
    assert "p-value" in drifting.reasons[0]
    with pytest.raises(ValueError, match="low < high"):
        Limits(low=2.0, high=1.0)
