"""Sweeps in bins too long for the chain: the error is measured, widens, or the means answer."""

from __future__ import annotations

import numpy as np
import pytest

from cavitylab.estimators import ChainValues, PumpingSweeps, SweepBeliefs, draw_sweeps
from cavitylab.estimators.pumping_chain_bins import in_pairs, shift_by_bins, widened
from cavitylab.estimators.pumping_sweeps import SweepPosterior, sweep_coordinates
from cavitylab.estimators.scoring import maximise

FALSE_ALARM = 1e-4


def swept(atoms: int, rate: float, bins: int, sweeps: int, seed: int) -> PumpingSweeps:
    """Sweeps over half of the pump up and down, 4/gamma each; u_c and gamma are 1, b is 5."""
    ramps = [[0.7, 1.3], [1.3, 0.7]] * (sweeps // 2)
    rng = np.random.default_rng(seed)
    found = PumpingSweeps(SweepBeliefs(atoms))
    found.update(draw_sweeps(atoms, ChainValues(1.0, 1.0, rate, 5.0), ramps, 4.0, bins, rng))
    return found


@pytest.mark.parametrize(
    ("atoms", "rate", "sweeps"), [(20, 800.0, 20), (40, 400.0, 30), (6, 200.0, 40)]
)
def test_bins_that_are_too_long_leave_the_answer_to_the_means(atoms, rate, sweeps) -> None:
    """By the chain each would be 3 to 10 standard deviations off: said, and the truth is inside."""
    found = swept(atoms, rate, 40, sweeps, 1).estimate(1.0 - FALSE_ALARM)
    assert any("those of the mean counts" in flag for flag in found.flags)
    assert found.diagnostics["method"] == "moments"
    for name, true in (("critical_pump", 1.0), ("decay", 1.0), ("half_rate", rate)):
        assert found[name].interval[0] < true < found[name].interval[1], name


def test_short_bins_are_answered_by_the_chain() -> None:
    """Bins of .05/gamma with two counts: hardly widened, no flag."""
    found = swept(20, 50.0, 80, 24, 2).estimate()
    assert found.diagnostics["method"] == "chain" and not found.flags
    error = np.abs(found.diagnostics["error_of_the_bins"])
    assert 0.0 < error[0] < 0.2 * found["critical_pump"].std
    assert error[1] < 0.6 * found["decay"].std


def test_the_error_of_the_bins_widens_along_itself() -> None:
    """Variances grow by its square, and by nothing else; an odd bin is left out of the pairs."""
    estimator = swept(20, 50.0, 41, 8, 3)
    ramps = estimator._ramps()  # noqa: SLF001 - the posterior of the estimator itself
    coordinates = sweep_coordinates(estimator.beliefs, ramps)
    posterior = SweepPosterior(20, ramps, coordinates)
    optimum = maximise(posterior, np.array([0.0, 0.0, np.log(50.0), 5.0]))
    error = np.array([0.01, 0.2, -0.02, 0.5])
    grown = widened(optimum, error).covariance - optimum.covariance
    assert grown == pytest.approx(np.outer(error, error), rel=1e-6, abs=1e-9)
    pairs = in_pairs(ramps)
    assert [ramp.bins for ramp in pairs] == [20, 20]
    assert pairs[0].duration / pairs[0].bins == pytest.approx(2 * ramps[0].duration / 41)
    assert pairs[0].counts.sum() == ramps[0].counts[:, :40].sum()
    shift = shift_by_bins(lambda some: SweepPosterior(20, some, coordinates), ramps, optimum)
    assert np.all(np.isfinite(shift)) and np.abs(shift[0]) < 0.1
