"""The best detuning ratio for a noisy detector."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models import TwoEnsembles, steady_state
from cavitylab.models.working_point import (
    detected_phase_variance,
    evaluate_working_point,
    summed_detection_noise,
    working_point,
)


@settings(max_examples=25, deadline=None)
@given(spin=st.integers(1, 2000).map(lambda n: n / 2), noise=st.floats(1e-2, 1e3))
def test_no_other_ratio_is_better(spin, noise):
    """A dense scan finds nothing below the optimum."""
    best = working_point(spin, noise)
    scan = [
        detected_phase_variance(steady_state(TwoEnsembles(spin, 1.0, ratio)), noise)
        for ratio in best.detuning_ratio * np.geomspace(0.01, 100, 101)
    ]
    assert best.phase_variance <= min(scan) * (1 + 1e-9)


def test_ratio_follows_the_noise():
    """For 1 << sigma_q << S^(2/3) the optimum is at Delta/Omega = sqrt(2) sigma_q / S."""
    assert working_point(1e6, 100.0).detuning_ratio == pytest.approx(math.sqrt(2) * 1e-4, rel=0.01)


def test_noise_adds_to_the_projection_noise():
    """At sigma_q -> 0 the detected squeezing is that of the state (Chu Eq. 12)."""
    point = evaluate_working_point(TwoEnsembles(50, 1.0, 0.1), 0.0)
    assert point.detected_xi2 == pytest.approx(point.state.xi2, rel=1e-14)
    noisy = evaluate_working_point(TwoEnsembles(50, 1.0, 0.1), 2.0)
    extra = 4.0 / point.state.spin_length**2
    assert noisy.phase_variance == pytest.approx(point.phase_variance + extra, rel=1e-14)
    assert noisy.gain_db == pytest.approx(-10 * math.log10(noisy.detected_xi2))


def test_sigma_per_ensemble():
    """Two counts with sigma atoms each: sqrt(2) sigma on their sum."""
    assert summed_detection_noise(3.0) == pytest.approx(3.0 * math.sqrt(2))


@pytest.mark.parametrize("exchange", [0.005, 0.1])
def test_exchange(exchange):
    """With exchange the optimum is found too; with much of it, at no detuning at all."""
    best = working_point(10, 1.0, exchange_ratio=exchange)
    scan = [
        evaluate_working_point(TwoEnsembles(10, 1.0, ratio, exchange), 1.0).phase_variance
        for ratio in [0.0, *np.geomspace(1e-3, 3, 200)]
    ]
    assert best.phase_variance <= min(scan) * (1 + 1e-9)
    assert (best.detuning_ratio == 0.0) == (exchange == 0.1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((10, 0.0), "detection_noise.*above zero"),
        ((10, -1.0), "detection_noise"),
        ((0.3, 1.0), "spin"),
    ],
)
def test_refusals(arguments, named):
    """A perfect detector has no optimum; wrong values are named."""
    with pytest.raises(ValueError, match=named):
        working_point(*arguments)
