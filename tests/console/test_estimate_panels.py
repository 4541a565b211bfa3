"""The figure of `cavitylab estimate` for every estimator: fit, residuals in errors, a profile."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from cavitylab.console import refit_figure, refit_scans, refit_shots
from cavitylab.console.refit_figure import draw_refit
from cavitylab.console.refit_series import by_place, histogram

_SPEC = importlib.util.spec_from_file_location(
    "every_estimator_in_panels", Path(__file__).parents[1] / "estimators" / "every_estimator.py"
)
assert _SPEC is not None and _SPEC.loader is not None
every_estimator = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = every_estimator
_SPEC.loader.exec_module(every_estimator)

PANELS = {
    "combined_phase": refit_shots.combined,
    "decay_calibration": refit_scans.decay,
    "detector_calibration": refit_shots.mean_variance,
    "drift_filter": refit_shots.drift,
    "drive_calibration": refit_scans.drive,
    "gain_calibration": refit_scans.levels,
    "pumping_ramps": refit_scans.ramps,
    "pumping_sweeps": refit_scans.sweeps,
    "relaxation_cumulants": refit_scans.relaxation,
    "spectroscopy_calibration": refit_scans.spectroscopy,
    "squeezing_matrix": refit_shots.matrix,
    "squeezing_tomography": refit_shots.tomography,
    "string_order": refit_shots.strings,
    "wineland_from_shots": refit_shots.squeezed,
}


def _fitted(name, shots, seed=5):
    case = every_estimator.CASES[name]
    records = case.draw(np.random.default_rng(seed), shots)
    columns = {key: np.asarray(column, dtype=float) for key, column in records.items()}
    estimator = every_estimator.build(name)
    estimator.update(columns)
    return estimator, columns, estimator.estimate()


def _slow(*names):
    return [pytest.param(*name, marks=pytest.mark.slow) for name in names]


_SLOW = ("pumping_sweeps", "relaxation_cumulants")


@pytest.mark.parametrize(
    "name",
    [*(name for name in PANELS if name not in _SLOW), *_slow(*((name,) for name in _SLOW))],
)
def test_the_fit_lies_within_the_errors_of_the_data(name) -> None:
    """Residuals are of the size of one: the right law, in the right units, at the right place.

    False alarm: the mean square of 4 and more normal residuals beyond 7 is below 1e-4.
    """
    estimator, columns, found = _fitted(name, 8 if name == "pumping_sweeps" else 120)
    panel = PANELS[name](estimator, columns, found)
    deviations = np.concatenate([series.deviations() for series in panel.series])
    assert all(series.fit is not None for series in panel.series)
    assert deviations.size >= 3 and np.all(np.isfinite(deviations))
    assert np.mean(deviations**2) < 7.0
    assert panel.xlabel and panel.ylabel


@pytest.mark.parametrize(
    ("name", "shots"),
    [("aom_calibration", 40), *_slow(("gradient_curvature", 40), ("ellipse_schedule", 40))],
)
def test_three_panels_with_labels_are_drawn(name, shots, tmp_path, monkeypatch) -> None:
    """Data, residuals, profile: each with a title and both labels; the answer in the title."""
    seen = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *args, **kwargs: seen.append(self))
    estimator, columns, found = _fitted(name, shots)
    draw_refit(tmp_path / "fit.png", name, estimator, columns, found)
    axes = seen[0].axes
    assert len(axes) == 3
    for one in axes:
        assert one.get_title() and one.get_xlabel() and one.get_ylabel()
        assert one.lines or one.collections
    first = next(iter(found.quantities))
    assert f"{first} = " in seen[0].get_suptitle()


def test_a_profile_falls_to_both_sides_and_meets_the_interval() -> None:
    """Two standard deviations down where the interval of 95.4 % ends."""
    estimator, _, found = _fitted("aom_calibration", 40)
    name = "saturation_power"
    x, fall = refit_figure._from_intervals(estimator, name, found[name].value)
    assert np.all(np.diff(x) > 0.0) and fall.max() == 0.0
    ends = estimator.estimate(level=0.9545)[name].interval
    assert np.interp(-2.0, fall[:7], x[:7]) == pytest.approx(ends[0], rel=1e-3)
    assert np.interp(2.0, -fall[6:], x[6:]) == pytest.approx(ends[1], rel=1e-3)


def test_a_wrong_fit_stands_out_of_the_residuals() -> None:
    """Five errors off is seen as five, whatever the shots at the place."""
    x, rng = np.repeat([0.0, 1.0, 2.0], 4), np.random.default_rng(1)
    series = by_place(x, rng.normal(0.0, 1.0, 12), np.where(x == 1.0, 5.0, 0.0))
    assert abs(series.deviations()[1]) > 4.0
    wide = histogram(np.concatenate([rng.normal(0.0, 1.0, 400), rng.normal(0.0, 12.0, 40)]))
    assert np.abs(wide.deviations()).max() > 4.0
