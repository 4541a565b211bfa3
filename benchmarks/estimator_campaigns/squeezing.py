"""Squeezing from shots: the Wineland parameter and its tomography, beside plug-in answers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from cavitylab.estimators import (
    Estimate,
    SqueezingBeliefs,
    SqueezingTomography,
    TwoModeSqueezing,
    WinelandFromShots,
    squeezing_bounds,
    tomography_bounds,
)

from .campaign import Campaign, Records
from .certificate import certificates

SPIN, GAIN, BACKGROUND, LENGTH, LENGTH_SHOTS = 50.0, 100.0, 50.0, 90.0, 200
BELIEFS = SqueezingBeliefs(SPIN, 2, GAIN, BACKGROUND)
DETECTION = (2.0 * SPIN * GAIN + 2.0 * BACKGROUND) / GAIN**2  # atoms^2
ANGLES = np.linspace(0.0, math.pi, 9)[:-1]
MIDDLE, WAVE, TURN = 40.0, 36.0, 0.4  # V = MIDDLE + WAVE cos 2(phi - TURN), atoms^2


def _counts(
    sums: np.ndarray, rng: np.random.Generator, difference: float | np.ndarray = 0.0
) -> np.ndarray:
    m = np.column_stack([sums + difference, sums - difference]) / 2.0
    return rng.poisson(GAIN * np.clip(SPIN + m, 0.0, 2.0 * SPIN) + BACKGROUND)


def _with_length(counts: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    long = _counts(rng.standard_normal(LENGTH_SHOTS), rng, LENGTH)
    return {
        "counts": np.concatenate([counts, long]),
        "setting": np.repeat([0, 1], [len(counts), LENGTH_SHOTS]),
    }


def _tailed(n: int, tail: float, rng: np.random.Generator) -> np.ndarray:
    """Unit variance; kurtosis 3 (tail 0) or 6 (tail .1 of the shots with a wider Gaussian)."""
    if not tail:
        return rng.standard_normal(n)
    share, wide = tail, 1.0 + math.sqrt((1.0 - tail) / tail)  # E z^4/3 = 2: kurtosis 6
    narrow = (1.0 - share * wide) / (1.0 - share)
    return np.sqrt(np.where(rng.random(n) < share, wide, narrow)) * rng.standard_normal(n)


def _wineland(xi2: float, n: int, tail: float = 0.0, known: float = 0.0) -> Campaign:
    def draw(rng: np.random.Generator) -> Records:
        sigma = math.sqrt(xi2 * LENGTH**2 / (4.0 * SPIN))
        return _with_length(_counts(sigma * _tailed(n, tail, rng), rng), rng)

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = WinelandFromShots(replace(BELIEFS, least_kurtosis=known))
        estimator.update(records)
        return estimator.estimate(level)

    def raw(records: Records) -> float:
        counts, long = (records["counts"][records["setting"] == k] for k in (0, 1))
        length = float((long[:, 0] - long[:, 1]).mean())
        return 4.0 * SPIN * float(counts.sum(axis=1).var()) / length**2

    length_std = math.hypot(2.0, math.sqrt(DETECTION)) / math.sqrt(LENGTH_SHOTS)

    def bound(truth: float) -> float:
        return squeezing_bounds(truth, 4.0 * SPIN, LENGTH, DETECTION, n, length_std=length_std)

    kurtosis = 6 if tail else 3
    return Campaign(
        "xi^2 from shots",
        f"{xi2:g}, n={n}, kurtosis {kurtosis}{', known' if known else ''}",
        xi2,
        draw,
        fit,
        bound,
        coverage_limit=0.945,
        peers={"biased variance, nothing subtracted": raw},
        quantity="xi2",
        time_limit=0.005,
    )


def _tomography(n: int) -> Campaign:
    phi = np.repeat(ANGLES, n)
    truth = 4.0 * SPIN * (MIDDLE - WAVE) / LENGTH**2

    def draw(rng: np.random.Generator) -> Records:
        sigma = np.sqrt(MIDDLE + WAVE * np.cos(2.0 * (phi - TURN)))
        records = _with_length(_counts(sigma * rng.standard_normal(phi.size), rng), rng)
        return {**records, "angle": np.concatenate([phi, np.zeros(LENGTH_SHOTS)])}

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = SqueezingTomography(BELIEFS)
        estimator.update(records)
        return estimator.estimate(level)

    def bound(_: float) -> float:
        wave = (MIDDLE, WAVE * math.cos(2.0 * TURN), WAVE * math.sin(2.0 * TURN))
        covariance = tomography_bounds(wave, phi, DETECTION)
        direction = np.array([1.0, -math.cos(2.0 * TURN), -math.sin(2.0 * TURN)])
        return math.sqrt(direction @ covariance @ direction) * 4.0 * SPIN / LENGTH**2

    def least_angle(records: Records) -> float:
        counts, angle = (records[k][records["setting"] == 0] for k in ("counts", "angle"))
        least = min(float(counts[angle == a].sum(axis=1).var(ddof=1)) for a in ANGLES)
        return 4.0 * SPIN * (least / GAIN**2 - DETECTION) / LENGTH**2

    peers: dict[str, Callable[[Records], float]] = {"smallest of the sample variances": least_angle}
    return Campaign(
        "squeezing tomography, least variance",
        f"{truth:.3g}, 8 angles x {n}",
        truth,
        draw,
        fit,
        bound,
        limit=1.1,
        coverage_limit=0.94,
        peers=peers,
        quantity="xi2",
    )


def _two_mode(n: int) -> Campaign:
    """Both quadratures squeezed alike; the length along the sum."""
    xi2 = 0.3

    def draw(rng: np.random.Generator) -> Records:
        sigma = math.sqrt(xi2 * LENGTH**2 / (4.0 * SPIN))
        quiet, loud = sigma * rng.standard_normal((2, n)), 8.0 * rng.standard_normal((2, n))
        long = LENGTH + rng.standard_normal(LENGTH_SHOTS)
        sums = np.concatenate([quiet[0], loud[0], long])
        off = np.concatenate([loud[1], quiet[1], rng.standard_normal(LENGTH_SHOTS)])
        return {
            "counts": _counts(sums, rng, off),
            "setting": np.repeat([0, 3, 1], [n, n, LENGTH_SHOTS]),
        }

    def fit(records: Records, level: float = 0.95) -> Estimate:
        estimator = TwoModeSqueezing(BELIEFS)
        estimator.update(records)
        return estimator.estimate(level)

    length_std = math.hypot(1.0, math.sqrt(DETECTION)) / math.sqrt(LENGTH_SHOTS)
    return Campaign(
        "two-mode squeezing, second quadrature",
        f"{xi2:g}, n = {n} each",
        xi2,
        draw,
        fit,
        lambda truth: squeezing_bounds(
            truth, 4.0 * SPIN, LENGTH, DETECTION, n, length_std=length_std
        ),
        limit=1.12,
        coverage_limit=0.945,
        quantity="xi2_b",
        time_limit=0.01,
    )


def rows() -> list[Campaign]:
    """The Wineland parameter from 30 shots on; tomography; two modes; the certificate."""
    return [
        _wineland(0.2, 30),
        _wineland(0.2, 200),
        _wineland(1.0, 30),
        _wineland(0.2, 100, tail=0.1),
        _wineland(0.2, 100, tail=0.1, known=6.0),
        _wineland(0.2, 1000, tail=0.1),
        _tomography(40),
        _tomography(200),
        _two_mode(200),
        *certificates(),
    ]
