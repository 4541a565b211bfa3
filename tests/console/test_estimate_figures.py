"""Figures and beliefs of `cavitylab estimate` for estimators beside the prepared ellipse."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cavitylab.console.cli import app
from cavitylab.console.refit_curves import fitted_means

_SPEC = importlib.util.spec_from_file_location(
    "every_estimator_drawn", Path(__file__).parents[1] / "estimators" / "every_estimator.py"
)
assert _SPEC is not None and _SPEC.loader is not None
every_estimator = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = every_estimator
_SPEC.loader.exec_module(every_estimator)

CURVES = (
    "rabi_calibration",
    "detuning_calibration",
    "aom_calibration",
    "settling_calibration",
    "dead_time_calibration",
    "pumping_snapshots",
)


def _run(*words):
    return CliRunner().invoke(app, ["estimate", *(str(word) for word in words)])


@pytest.mark.parametrize("name", CURVES)
def test_the_drawn_mean_is_that_of_the_data(name) -> None:
    """What is left after the fitted mean is a small part of what the setting does."""
    case = every_estimator.CASES[name]
    records = {k: np.asarray(v, float) for k, v in case.draw(np.random.default_rng(3), 60).items()}
    estimator = every_estimator.build(name)
    estimator.update(records)
    mean = fitted_means(estimator, name, records, estimator.estimate())
    seen = records[case.column].reshape(len(records[case.column]))
    assert mean is not None and mean.shape == seen.shape
    share = 0.97 if name == "pumping_snapshots" else 0.2  # atoms of a snapshot scatter themselves
    assert np.std(seen - mean) < share * np.std(seen)


def test_several_ellipses_from_a_file_of_settings_are_fitted_and_drawn(tmp_path) -> None:
    """YAML holds the list of settings; one that no shot has is left out without harm."""
    counts = every_estimator.ellipse(np.random.default_rng(4), 150, atoms=60)
    (tmp_path / "shots.csv").write_text(
        "counts_1,counts_2\n" + "\n".join(f"{a},{b}" for a, b in counts)
    )
    (tmp_path / "beliefs.yaml").write_text(
        "settings:\n  - atoms: [60, 60]\n  - {atoms: [60, 60], contrasts: [0.9, 0.9]}\n"
    )
    done = _run(
        tmp_path / "shots.csv",
        *("--estimator", "joint_ellipses", "--beliefs", tmp_path / "beliefs.yaml", "--json"),
        *("--figure", tmp_path / "fit.svg"),
    )
    assert done.exit_code == 0, done.output
    assert 0.5 < json.loads(done.stdout)["estimates"]["phase"]["value"] < 0.7
    assert "distance from the ellipse" in (tmp_path / "fit.svg").read_text() or (
        (tmp_path / "fit.svg").stat().st_size > 10_000
    )


def test_a_number_where_several_are_wanted_is_refused_with_the_key(tmp_path) -> None:
    """`atoms=100` for two ensembles: the message says how to write two."""
    (tmp_path / "shots.csv").write_text("counts_1,counts_2\n1,2\n")
    where = (tmp_path / "shots.csv", "--estimator", "ellipse_contrasts")
    done = _run(*where, "--set", "atoms=100")
    assert done.exit_code == 2
    assert "atoms" in done.output and "commas" in done.output
