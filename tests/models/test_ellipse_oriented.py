"""Counts at a known or narrow common phase: against quadrature, differences and the uniform law."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cavitylab.models.ellipse import EllipseReadout
from cavitylab.models.ellipse_oriented import OrientedReadout
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

STATE = steady_state(TwoEnsembles(4.0, 1.0, 0.4))
AREA = 1.4


def test_one_common_phase_is_that_of_the_plain_readout() -> None:
    """The same table as `EllipseReadout.distribution_at`."""
    plain = EllipseReadout(4.0, STATE.weights.size - 1)
    for theta in (0.0, 0.7, -2.0):
        there = plain.distribution_at(STATE, 0.3, theta, AREA)
        assert OrientedReadout(STATE, 0.3, AREA).at(theta) == pytest.approx(there, abs=1e-12)


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.3), (0.4, 1.0)])
def test_a_normal_common_phase_is_its_average(mean: float, std: float) -> None:
    """Against Gauss-Hermite quadrature over the phase; probabilities add to one."""
    readout = OrientedReadout(STATE, -0.2, AREA)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights /= weights.sum()
    average = sum(w * readout.at(mean + std * x) for x, w in zip(nodes, weights, strict=True))
    table = readout.distribution(mean, std)
    assert table == pytest.approx(average, abs=1e-9)
    assert table.sum() == pytest.approx(1.0, abs=1e-9)


def test_a_wide_one_is_uniform() -> None:
    """At ten radians nothing is left of the mean."""
    plain = EllipseReadout(4.0, STATE.weights.size - 1).distribution(STATE, 0.3, AREA)
    assert OrientedReadout(STATE, 0.3, AREA).distribution(1.0, 10.0) == pytest.approx(
        plain, abs=1e-12
    )


def test_derivatives_are_those_of_the_table() -> None:
    """By phase, pulse area and ln(Delta/Omega), against central differences."""
    found = OrientedReadout(STATE, 0.3, AREA).derivatives(0.2, 0.5)
    step = 1e-5

    def table(phase: float = 0.3, area: float = AREA, ratio: float = 0.4) -> np.ndarray:
        state = steady_state(TwoEnsembles(4.0, 1.0, ratio))
        return OrientedReadout(state, phase, area).distribution(0.2, 0.5)

    up, down = 0.4 * math.exp(step), 0.4 * math.exp(-step)
    for exact, difference in (
        (found.d_phase, table(phase=0.3 + step) - table(phase=0.3 - step)),
        (found.d_pulse_area, table(area=AREA + step) - table(area=AREA - step)),
        (found.d_log_ratio, table(ratio=up) - table(ratio=down)),
    ):
        assert exact == pytest.approx(difference / (2 * step), abs=1e-8)


def test_the_sign_of_the_phase_shows() -> None:
    """Mean of n1 and n2 is S + (X/2) sin(phi +- theta); at theta = 0 it has a slope in phi."""
    atoms = np.arange(9.0)
    for phase in (0.3, -0.3):
        table = OrientedReadout(STATE, phase).at(0.0)
        mean = float(table.sum(axis=1) @ atoms)
        assert mean == pytest.approx(4.0 + 0.5 * STATE.spin_length * math.sin(phase))
