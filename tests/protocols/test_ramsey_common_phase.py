"""Settings of the common phase, and shots in a row that resemble each other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from cavitylab.estimators import EllipseBeliefs, EllipsePhase, Estimate, GoodnessOfFit
from cavitylab.instruments.shipped import find_file
from cavitylab.instruments.station_file import load_station_file
from cavitylab.models.ellipse import EllipseReadout, sample
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.planning import supposed
from cavitylab.protocols.ramsey_ellipse_drift import CommonPhaseMemory
from cavitylab.protocols.steps import Shots

CALIBRATIONS = load_station_file(find_file("two_ensemble", ".yaml")).calibrations


def test_a_narrow_one_reads_both_sides_of_the_fringe() -> None:
    """Blocks in turn with the pulse's phase at 0 and pi, one bias phase; the signal comes first."""
    protocol = RamseyEllipse(common_phase="narrow", shots=400, block=100, coil_check=0)
    blocks = [one for one in protocol.steps(CALIBRATIONS, 1) if isinstance(one, Shots)]
    assert [one.point for one in blocks] == [0, 1, 0, 1]
    phases = [one.sequence.tones["drive"][1].phase_rad for one in blocks]
    assert phases == [0.0, math.pi, 0.0, math.pi]
    assert protocol.quantities[0] == "signal"
    beliefs = protocol.beliefs(CALIBRATIONS)
    first, second = beliefs.settings
    assert second.bias_phase - first.bias_phase == pytest.approx(math.pi)
    assert "both sides" in " ".join(protocol.remarks(CALIBRATIONS))


@pytest.mark.parametrize("more", [{"schedule": "two_stage"}, {"reference": "unsqueezed"}])
def test_a_narrow_one_takes_one_bias_phase(more: dict[str, str]) -> None:
    """What is not modelled is refused with what to do."""
    with pytest.raises(ValidationError, match="narrow takes one bias phase"):
        RamseyEllipse(common_phase="narrow", **more)


def test_a_drifting_one_is_fitted_as_uniform_and_says_so() -> None:
    """The same beliefs as for a uniform one; the plan's remarks say when that holds."""
    protocol = RamseyEllipse(common_phase="drifting")
    assert type(protocol.beliefs(CALIBRATIONS)) is type(RamseyEllipse().beliefs(CALIBRATIONS))
    assert "through all phases many times" in " ".join(protocol.remarks(CALIBRATIONS))


def judged(theta: np.ndarray) -> Estimate:
    """An estimate of a chi-square of 90 of 60 degrees, after shots at these common phases."""
    memory = CommonPhaseMemory()
    rng = np.random.default_rng(1)
    angles = np.stack([0.3 + theta, 0.3 - theta], axis=1)
    for part in np.array_split(np.arange(len(theta)), 3):
        memory.take({"counts": rng.poisson(100 * (10 + 6 * np.sin(angles[part])) + 50)})
    bare = supposed({"signal": 0.1}, len(theta))
    quantities = {"goodness_of_fit": GoodnessOfFit(200.0, 1e-16, 60, "chi-square")}
    flags = ["the model does not describe the counts (p = 1e-16)"]
    return memory.judged(replace(bare, **quantities, diagnostics={"flags": flags}))


def test_shots_that_know_nothing_of_each_other_are_judged_as_before() -> None:
    """A uniform phase, new in every shot (false alarm 3e-7)."""
    rng = np.random.default_rng(2)
    found = judged(rng.uniform(0, math.tau, 600))
    assert found.goodness_of_fit is not None and found.goodness_of_fit.p_value == 1e-16
    assert "common_phase_memory" not in found.diagnostics


def test_a_walk_through_all_phases_is_no_misfit() -> None:
    """Steps of 0.9 rad: a chi-square three times its degrees is what such shots give."""
    rng = np.random.default_rng(2)
    found = judged(np.cumsum(0.9 * rng.normal(size=3000)))
    assert 2.0 < found.diagnostics["common_phase_memory"] < 9.0
    assert found.goodness_of_fit is not None
    assert found.goodness_of_fit.statistic < 200.0
    assert not any("hardly moves" in flag for flag in found.flags)


def test_a_phase_that_hardly_moves_is_flagged() -> None:
    """Steps of 0.05 rad: a handful of independent phases make no uniform law."""
    rng = np.random.default_rng(2)
    found = judged(np.cumsum(0.05 * rng.normal(size=900)))
    assert any("hardly moves" in flag and "where to look" in flag for flag in found.flags)


def test_scores_that_add_up_widen_the_interval() -> None:
    """Every shot five times over is known no better than once: about the root of five wider.

    Exactly that is not asked for: repeated shots are a coarser extreme than any walk.
    """
    protocol = RamseyEllipse(atoms_per_ensemble=20, preparation_rabi_hz=2000.0)
    beliefs = protocol.beliefs(CALIBRATIONS)
    assert isinstance(beliefs, EllipseBeliefs)
    state = steady_state(TwoEnsembles(10.0, 1.0, beliefs.detuning_ratio))
    rng = np.random.default_rng(6)
    table = EllipseReadout(10.0, state.weights.size - 1).distribution(state, 0.3, math.pi / 2)
    counts = np.repeat(rng.poisson(100.0 * sample(table, 120, rng) + 50.0), 5, axis=0)
    estimator = protocol.estimator(CALIBRATIONS)
    estimator.update({"counts": counts})
    plain = EllipsePhase(beliefs)
    plain.update({"counts": counts})
    narrow, wide = plain.estimate()["phase"], estimator.estimate()["phase"]
    assert wide.value == narrow.value
    assert 1.6 < wide.std / narrow.std < 2.8
    assert wide.interval[0] < narrow.interval[0] < narrow.interval[1] < wide.interval[1]
