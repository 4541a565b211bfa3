"""p-values are uniform where the model is true: estimators whose other tests do not ask for it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest

_SPEC = importlib.util.spec_from_file_location(
    "every_estimator", Path(__file__).with_name("every_estimator.py")
)
assert _SPEC is not None and _SPEC.loader is not None
every_estimator = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = every_estimator
_SPEC.loader.exec_module(every_estimator)

FALSE_ALARM = 1e-4
SHOTS = {"settling_calibration": 180}  # readings of one moment are compared with each other


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("combined_phase", 200),
        ("dead_time_calibration", 60),
        ("detuning_calibration", 40),
        ("drive_calibration", 25),
        ("gain_calibration", 40),
        ("settling_calibration", 60),
        ("spectroscopy_calibration", 25),
        ("squeezing_matrix", 200),
        ("string_order", 200),
    ],
)
def test_p_values_are_uniform(name: str, runs: int) -> None:
    """Kolmogorov's test of as many runs (false alarm 1e-4 each)."""
    case, p_values = every_estimator.CASES[name], []
    shots = SHOTS.get(name, case.shots)
    for seed in range(runs):
        estimator = every_estimator.build(name)
        estimator.update(case.draw(np.random.default_rng([41, seed]), shots))
        p_values.append(estimator.estimate().goodness_of_fit.p_value)
    assert kstest(p_values, "uniform").pvalue > FALSE_ALARM
