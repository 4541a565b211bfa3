"""A laboratory whose common phase is narrow or drifts: the tables' phases count, signs show."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from cavitylab.instruments.simulated.common_phase import CommonPhases
from cavitylab.instruments.simulated.truth import CommonPhaseTruth
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

STATE = steady_state(TwoEnsembles(10.0, 1.0, 0.5))
QUIET: dict[str, Any] = {"atoms": 20, "rate_per_atom": 4e6, "background_rate": 0.0, "shots": 600}


def atoms(bench: Any, phase_deg: float, **truth: Any) -> Any:
    """Atoms found, with the pulse's tone turned by so much against the preparation's."""
    wires = bench.wires(
        preparation_tone=bench.tone(2 / 60), pulse_tone=bench.tone(50 / 60, phase_deg)
    )
    counts, revealed = bench.take(wires, **{**QUIET, **truth})
    return np.round(counts / 20e3), revealed


@pytest.mark.parametrize(("phase_deg", "mean"), [(0.0, 0.0), (180.0, 0.0), (60.0, 0.3)])
def test_populations_follow_the_tables_phase(bench: Any, phase_deg: float, mean: float) -> None:
    """n_j = S + (X/2) sin(phi +- theta) exp(-std^2/2), theta = mean + phase (false alarm 1e-4)."""
    found, truth = atoms(bench, phase_deg, common_phase=CommonPhaseTruth(mean, 0.2, 0.0))
    theta = mean + math.radians(phase_deg)
    for column, side in zip(found.T, (+1, -1), strict=True):
        turned = math.sin(truth["phase"] + side * theta) * math.exp(-0.02)
        expected = 10.0 + 0.5 * STATE.spin_length * math.sin(truth["pulse_area"]) * turned
        reach = norm.isf(1e-4 / 12) * column.std() / math.sqrt(len(column)) + 0.02
        assert abs(column.mean() - expected) < reach


def test_without_it_the_tables_phase_changes_nothing(bench: Any) -> None:
    """A uniform common phase: the same counts to the last photon."""
    straight, turned = atoms(bench, 0.0)[0], atoms(bench, 77.0)[0]
    assert np.array_equal(straight, turned)


def test_a_walk_is_keyed_by_the_shot() -> None:
    """Any portion, in any order, is that of the whole; steps add up."""
    truth = CommonPhaseTruth(0.1, 0.0, 0.3)
    whole = CommonPhases(truth, 5).of(range(400))
    parts = CommonPhases(truth, 5)
    assert np.array_equal(parts.of(range(300, 400)), whole[300:])
    assert np.array_equal(parts.of(range(0, 50)), whole[:50])
    steps = np.diff(whole)
    assert abs(steps.std() / 0.3 - 1) < norm.isf(5e-5) / math.sqrt(2 * len(steps))
    still = CommonPhases(replace(truth, walk=0.0, std=0.0), 5).of(range(3))
    assert still.tolist() == [0.1, 0.1, 0.1]
