"""Calibrations from pulsed populations: the exact law of the counts, its score, its bound."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import binom, poisson

from cavitylab.estimators.calibrations_counting import CountingBeliefs, law_of_counts
from cavitylab.estimators.calibrations_flops import DetuningCurve, DriveCurve, LevelCurve, flopped
from cavitylab.estimators.calibrations_populations import (
    DriveBeliefs,
    DriveCalibration,
    GainCalibration,
    population_bounds,
)
from cavitylab.estimators.records import RecordError
from cavitylab.models.pulses import detuned_pulse

COUNTING = CountingBeliefs(100, gain_range=(50.0, 150.0), background_range=(12.5, 210.0))
GAIN, BACKGROUND = 80.0, 60.0
DRIVE = DriveBeliefs(COUNTING, (30e3, 90e3), (0.8, 2.4), detuning=(0.0, 50.0))
TRUTH = (72e3, 1.28, 30.0)
LEVELS = np.array([0.0, 0.02, 0.04, 0.08, 0.3])


def photons(rng: np.random.Generator, p: np.ndarray, atoms: int = 100) -> np.ndarray:
    """Counts of two ensembles at each of the probabilities."""
    up = rng.binomial(atoms, p[:, None], size=(p.size, 2))
    return rng.poisson(GAIN * up + BACKGROUND)


def flops(seed: int, atoms: int = 100, shots: int = 3) -> dict[str, np.ndarray]:
    """Flops at four powers, and dark shots."""
    power = np.repeat([0.065, 0.32, 0.6, 0.95], 8 * shots)
    believed = 60e3 * np.sin(0.5 * math.pi * np.sqrt(power / 1.6))
    turns = np.tile(np.repeat([0.12, 0.25, 0.4, 0.6, 0.9, 1.3, 1.9, 2.8], shots), 4)
    power, time = np.r_[power, np.full(10, 0.065)], np.r_[turns / believed, np.zeros(10)]
    p, _ = DriveCalibration(DRIVE).curve(power, time).populations(np.array(TRUTH))
    counts = photons(np.random.default_rng(seed), p, atoms)
    return {"power": power, "pulse_time": time, "counts": counts}


def found(records: dict[str, np.ndarray]):
    """The drive's calibration from all records at once."""
    estimator = DriveCalibration(DRIVE)
    estimator.update(records)
    return estimator.estimate()


def test_the_law_is_the_mixture_and_sums_to_one() -> None:
    """ln P against the explicit sum over atom numbers; all outcomes together have probability 1."""
    counts = np.arange(14_000.0)
    logs, _ = law_of_counts(counts, np.full(counts.size, 0.3), GAIN, BACKGROUND, 100)
    law = np.exp(logs - gammaln(counts + 1.0))
    assert law.sum() == pytest.approx(1.0, abs=1e-9)
    number = np.arange(101)
    for count in (0, 60, 2400, 9000):
        share = binom.pmf(number, 100, 0.3) @ poisson.pmf(count, GAIN * number + BACKGROUND)
        assert law[count] == pytest.approx(share, rel=1e-9, abs=1e-300)


def test_scores_are_the_slopes_of_the_law() -> None:
    """Against central differences in p, gain and background."""
    counts = np.array([30.0, 140.0, 700.0, 3300.0])
    at = np.array([0.05, GAIN, BACKGROUND])
    _, scores = law_of_counts(counts, np.full(4, at[0]), at[1], at[2], 100)
    for index, score in enumerate(scores):
        step = 1e-6 * at[index]
        ends = []
        for sign in (1, -1):
            p, gain, background = at + sign * step * (np.arange(3) == index)
            ends.append(law_of_counts(counts, np.full(4, p), gain, background, 100)[0])
        assert score == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8)


def test_curves_have_the_slopes_that_they_say() -> None:
    """Against central differences; the detuned pulse agrees with the model of the pulse."""
    time = np.array([3e-6, 2e-5, 4e-4])
    power, current = np.array([0.1, 0.5, 0.9]), np.array([-7.0, 3.0, 9.0])
    for curve, truth in (
        (DriveCurve(power, time, (1, 9e4), (0.1, 3), (0, 9)), TRUTH),
        (DetuningCurve(current, time, (1, 400), (-9, 9), (1, 9e3)), (240.0, 40.0, 1600.0)),
    ):
        theta = np.array(truth, dtype=float)
        _, slopes = curve.populations(theta)
        for index in range(3):
            step = 1e-6 * theta[index] * (np.arange(3) == index)
            change = curve.populations(theta + step)[0] - curve.populations(theta - step)[0]
            assert slopes[index] == pytest.approx(
                change / (2 * step[index]), rel=2e-4, abs=1e-7 / abs(theta[index])
            )
    p, _, _ = flopped(np.array([9e3]), np.array([4e3]), np.array([4e-4]))
    assert p[0] == pytest.approx(math.sin(0.5 * detuned_pulse(9e3, 4e3, 4e-4).area) ** 2)


def test_the_bound_is_the_information_of_simulated_counts() -> None:
    """Mean outer product of scores over 16 000 simulated readings a level, within 5 %."""
    curve = LevelCurve.of(LEVELS)
    truth = np.array([*LEVELS[1:], GAIN, BACKGROUND])
    bound = population_bounds(curve, COUNTING, truth, np.full(5, 100.0))
    rng, information = np.random.default_rng(2), np.zeros((6, 6))
    for index, p in enumerate(LEVELS):
        same = np.full(8_000, max(p, 1e-9))
        counts = photons(rng, same).ravel().astype(float)
        _, scores = law_of_counts(counts, np.repeat(same, 2), GAIN, BACKGROUND, 100)
        turn = np.zeros((6, 3))
        if index:
            turn[index - 1, 0] = 1.0
        turn[4, 1] = turn[5, 2] = 1.0
        information += turn @ (scores @ scores.T / counts.size * 100) @ turn.T
    assert np.sqrt(np.diag(np.linalg.inv(information))) == pytest.approx(
        np.sqrt(np.diag(bound)), rel=0.05
    )


def test_a_drive_that_is_far_off_is_found_in_any_portions() -> None:
    """+20 % and -20 %, from the file's ranges alone (false alarm 1e-4); blocks do not matter."""
    records = flops(3)
    estimate = found(records)
    for name, true in zip(("f_max", "P_sat"), TRUTH, strict=False):
        assert abs(estimate[name].value - true) < 4.1 * estimate[name].std
    assert not estimate.flags and estimate.shots == 106
    assert estimate.goodness_of_fit is not None and estimate.goodness_of_fit.p_value > 1e-4
    portions = DriveCalibration(DRIVE)
    for start, stop in pairwise((0, 7, 60, 106)):
        portions.update({name: values[start:stop] for name, values in records.items()})
    assert portions.estimate()["f_max"] == estimate["f_max"]


def test_a_wrong_atom_number_is_seen() -> None:
    """With 150 atoms where 100 are believed the scatter is too small: the gate will refuse."""
    check = found(flops(4, atoms=150, shots=12)).goodness_of_fit
    assert check is not None and check.p_value < 1e-3


def test_the_gain_is_found_from_the_peaks_of_few_atoms() -> None:
    """Far from the middle of their ranges, pulses 30 % too strong (false alarm 1e-4)."""
    shares = np.repeat(LEVELS, 40)
    estimator = GainCalibration(COUNTING)
    estimator.update({"level": shares, "counts": photons(np.random.default_rng(5), 1.3 * shares)})
    estimate = estimator.estimate()
    assert next(iter(estimate.quantities)) == "gain"
    for name, true in (("gain", GAIN), ("background", BACKGROUND)):
        assert abs(estimate[name].value - true) < 4.1 * estimate[name].std
    assert estimate["gain"].std < 0.01 * GAIN


def test_what_cannot_be_is_refused() -> None:
    """Ranges, priors, columns, counts beyond all atoms."""
    for wrong in (
        {"atoms": 0},
        {"gain_range": (5.0, 5.0)},
        {"background_range": (0.0, 5.0)},
        {"gain": (500.0, 1.0)},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
            replace(COUNTING, **wrong)
    estimator = DriveCalibration(DRIVE)
    with pytest.raises(RecordError, match="puls_time"):
        estimator.update({"counts": np.ones(3), "power": np.ones(3), "puls_time": np.ones(3)})
    with pytest.raises(RecordError, match="must not exceed"):
        estimator.update(
            {"counts": np.full(3, 10**6), "power": np.ones(3), "pulse_time": np.ones(3)}
        )
