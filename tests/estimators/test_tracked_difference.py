"""A signal against a drifting reference: the exact answer of a random walk, and its coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from cavitylab.estimators.tracked_difference import TrackedSeries

RANGE = (1e-4, 1e2)


def series(
    seed: int, q: float, every: int = 3, rounds: int = 18, share: float = 1.0
) -> TrackedSeries:
    """Rounds a second apart, every third the reference; D = 2, s as given."""
    rng = np.random.default_rng(seed)
    time = np.arange(float(rounds + 1))
    walk = 5.0 + np.cumsum(math.sqrt(q) * rng.standard_normal(time.size))
    reference = np.arange(time.size) % every == 0
    std = np.where(reference, 0.3, 0.5)
    value = np.where(reference, walk, 2.0 + share * walk) + std * rng.standard_normal(time.size)
    return TrackedSeries(time, value, std, reference, share)


def test_the_difference_is_covered_whatever_the_drift() -> None:
    """95 % intervals of 80 walks hold D as often as they say (false alarm 1e-4 for both)."""
    for q in (0.01, 1.0):
        inside = 0
        for seed in range(80):
            found = series(seed, q, share=0.7).estimate(RANGE).difference
            assert found is not None
            inside += found.interval[0] <= 2.0 <= found.interval[1]
        low, high = (binom.ppf(tail, 80, 0.95) for tail in (2.5e-5, 1 - 2.5e-5))
        assert low <= inside <= high, (q, inside)


def test_without_drift_it_is_the_difference_of_two_means() -> None:
    """Weighted means; the diffusion is then at its lower end, the reference its mean."""
    data = series(1, 0.0)
    found = data.estimate((1e-9, 1e-8))
    assert found.difference is not None and found.reference is not None
    ref = data.is_reference
    assert found.difference.value == pytest.approx(
        data.value[~ref].mean() - data.value[ref].mean(), abs=1e-5
    )
    assert found.difference.std == pytest.approx(
        math.hypot(0.5 / math.sqrt(np.sum(~ref)), 0.3 / math.sqrt(np.sum(ref))), rel=1e-4
    )
    assert data.difference_std(1e-9) == pytest.approx(found.difference.std, rel=1e-4)


def test_what_is_known_of_the_drift_grows_and_order_does_not_matter() -> None:
    """The expected diffusion falls from the range's own mean; any order gives the same answer."""
    data = series(2, 0.01, rounds=30)
    few = series(2, 0.01, rounds=1).estimate(RANGE)
    many = data.estimate(RANGE)
    assert few.expected_diffusion > 5.0 > 0.5 > many.expected_diffusion
    mixed = np.random.default_rng(3).permutation(data.time.size)
    again = TrackedSeries(
        data.time[mixed], data.value[mixed], data.std[mixed], data.is_reference[mixed]
    ).estimate(RANGE)
    assert again.difference is not None and many.difference is not None
    assert again.difference.value == pytest.approx(many.difference.value, rel=1e-9)


def test_what_is_not_there_is_not_told() -> None:
    """No reference: nothing; no signal: no difference; widths that cannot be are refused."""
    data = series(4, 0.1)
    ref = data.is_reference
    alone = TrackedSeries(data.time[~ref], data.value[~ref], data.std[~ref], ref[~ref])
    assert alone.estimate(RANGE).difference is None
    other = TrackedSeries(data.time[ref], data.value[ref], data.std[ref], ref[ref]).estimate(RANGE)
    assert other.difference is None and other.reference is not None
    with pytest.raises(ValueError, match="above zero"):
        TrackedSeries(data.time, data.value, 0.0 * data.std, ref)
    with pytest.raises(ValueError, match="one column each"):
        TrackedSeries(data.time[:3], data.value, data.std, ref)
