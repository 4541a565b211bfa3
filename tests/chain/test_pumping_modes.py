"""Ways to scan the pump, from the wire to the number: adaptive, swept, drooping, photon-poor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, chi2, norm

from cavitylab import Station, run
from cavitylab.console.exits import ExitCode
from cavitylab.console.refit import Refit, refit
from cavitylab.instruments.shipped import find_file
from cavitylab.protocols import PumpingAdaptive, PumpingHold, PumpingScan, PumpingSweep
from cavitylab.protocols.engine import RunResult, stored_estimator, stored_records
from cavitylab.protocols.recording import Run

SWEEP: dict[str, Any] = {
    "atoms": 30,
    "rate": 4.0,
    "points": 7,
    "shots_per_point": 40,
    "passes": 1,
    "stair": 0.5,
}
ADAPTIVE: dict[str, Any] = {"rounds": 12, "shots_per_round": 10, "hold": 0.15}
SCAN: dict[str, Any] = {"points": 7, "shots_per_point": 60, "passes": 1, "hold": 0.15}


def rehearse(
    protocol: Any, folder: Path, seed: int, laboratory: str | Path = "pumped_cavity"
) -> RunResult:
    """On the shipped station and a laboratory drawn from `seed`; drifts are off."""
    options = {"seed": str(seed), "drifts": "off"}
    with Station.open("pumped_cavity", rehearse=laboratory, options=options) as station:
        return run(protocol, station, data=folder, seed=seed)


def pull(result: RunResult, name: str) -> float:
    """Distance from the truth in standard deviations."""
    assert result.estimate is not None and result.truth is not None
    quantity = result.estimate[name]
    return (quantity.value - result.truth[name]) / quantity.std


FAR = norm.isf(0.5e-5)
"""Standard deviations: false alarm 1e-5 for each number looked at."""


def test_the_adaptive_pump_goes_where_the_transition_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a range of 25 widths to within a few; the stored run gives the same answer again."""
    result = rehearse(PumpingAdaptive(**ADAPTIVE), tmp_path, 4)
    assert abs(pull(result, "critical_pump")) < FAR
    assert result.truth is not None and result.estimate is not None and result.bounds is not None
    pumps = Run.open(result.path).load("point")["pump"]
    assert pumps.min() >= 3.75 and pumps.max() <= 6.25
    width = 2 * 5.0 / 100
    assert np.abs(pumps[4:] - result.truth["critical_pump"]).max() < 4 * width
    capsys.readouterr()
    assert refit(Refit(result.path, "auto", 0.95, as_json=True)) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out) == result.estimate.to_json()
    assert result.bounds.cramer_rao_std < result.estimate["critical_pump"].std * 1.25


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A short sweep of 30 atoms, 560 shots."""
    folder = tmp_path_factory.mktemp("sweep")
    text = find_file("pumped_cavity", ".lab.yaml").read_text(encoding="utf-8")
    laboratory = folder / "few.lab.yaml"
    laboratory.write_text(text.replace("    atoms: 100", "    atoms: 30", 1), encoding="utf-8")
    return rehearse(PumpingSweep(**SWEEP), folder, 6, laboratory)


def test_up_and_down_lag_to_both_sides_and_their_middle_does_not(swept: RunResult) -> None:
    """Critical pump, gamma from the lag alone, hysteresis, its middle: each within 1e-5."""
    assert swept.estimate is not None and swept.truth is not None
    for name in ("critical_pump", "collective_decay", "hysteresis_width", "midpoint"):
        assert abs(pull(swept, name)) < FAR, name
    crossings = swept.estimate.diagnostics["crossings"]
    assert crossings["down"][0] < swept.truth["critical_pump"] < crossings["up"][0]
    # the width is many of its errors: an up sweep alone would be wrong by half of it
    assert swept.estimate["hysteresis_width"].value > 10 * swept.estimate["midpoint"].std
    assert not swept.estimate.flags


def test_a_stored_sweep_is_fitted_again(swept: RunResult) -> None:
    """From the beliefs that the run keeps; stairs and directions are in its table of points."""
    stored = Run.open(swept.path)
    points = stored.load("point")
    assert set(points["direction"]) == {1.0, -1.0} and points["stairs"].min() >= 1
    again = stored_estimator(stored)
    again.update(stored_records(stored))
    assert swept.estimate is not None
    quick = again.quick()  # type: ignore[attr-defined]
    assert quick.shots == swept.shots
    # the half level of the quick answer is that of the calibrations, not of the fit
    assert quick["hysteresis_width"].value == pytest.approx(
        swept.estimate["hysteresis_width"].value, abs=0.5 * quick["hysteresis_width"].std
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": 300.0, "gate": 1e-6}, "too fast for 100 atoms"),
        ({"rate": 100.0}, "gate = 5e-05 s is too long"),
        ({"settle": 1e-3}, "settle = 0.001 s is too short"),
        ({"start": 5.0}, "begin further out"),
    ],
)
def test_a_sweep_that_cannot_be_answered_for_is_refused(
    settings: dict[str, float], words: str
) -> None:
    """Each with what to do about it."""
    with pytest.raises(ValueError, match=words):
        PumpingSweep(**settings)


def test_a_sweep_reaches_to_where_the_transition_may_be() -> None:
    """Both directions count six widths and half of the lag beyond it; ramps begin outside."""
    for unsure in (0.01, 0.1):
        chosen = PumpingSweep(decay_relative_std=unsure).settings
        ends = {way: chosen.ramp(way) for way in (1, -1)}
        pumps = [ends[place.direction][place.climbed] for place in chosen.places()]
        assert min(pumps) < 5.0 * (1 - unsure - 0.11) and max(pumps) > 5.0 * (1 + unsure + 0.11)
        assert ends[1][0] < min(pumps) and ends[-1][0] > max(pumps)


def test_a_held_pump_follows_the_critical_point(tmp_path: Path) -> None:
    """Light of 120 long windows; the pump comes within a width and a half of the truth."""
    protocol = PumpingHold(rounds=6, shots_per_round=20)
    options = {"seed": "11", "drifts": "off"}
    name = "pumped_cavity_fluorescence"
    with Station.open(name, rehearse=name, options=options) as station:
        result = run(protocol, station, data=tmp_path, seed=11)
    assert result.estimate is not None and result.truth is not None and result.bounds is not None
    for quantity in ("critical_pump", "half_rate"):
        assert abs(pull(result, quantity)) < FAR
    pumps = Run.open(result.path).load("point")["pump"]
    off = np.abs(pumps - result.truth["critical_pump"])
    assert off[0] > 0.2 and np.median(off) < 0.15
    assert 0.8 < result.estimate["critical_pump"].std / result.bounds.cramer_rao_std < 1.25
    assert result.estimate.diagnostics["readout"] == "resolved"


def drooping(folder: Path) -> Path:
    """The shipped laboratory with a pump that slows down as atoms are excited."""
    text = find_file("pumped_cavity", ".lab.yaml").read_text(encoding="utf-8")
    path = folder / "droop.lab.yaml"
    path.write_text(text.replace("    pump:  ", "    pump:\n      droop: 3.5e-3\n      #", 1))
    return path


def test_a_finite_detuning_moves_the_transition_and_is_accounted_for(tmp_path: Path) -> None:
    """About (droop N)^2/3, 4 %, of the pump: right when believed, many sigma off when ignored."""
    laboratory = drooping(tmp_path)
    known = rehearse(PumpingScan(**SCAN, pump_droop=3.5e-3), tmp_path, 8, laboratory)
    assert known.estimate is not None and known.truth is not None
    assert abs(pull(known, "critical_pump")) < FAR
    assert abs(pull(known, "half_excited_pump")) < FAR
    moved = known.truth["half_excited_pump"] / known.truth["critical_pump"] - 1
    assert moved == pytest.approx(0.35**2 / 3, rel=0.2)
    ignored = rehearse(PumpingScan(**SCAN), tmp_path, 8, laboratory)
    assert pull(ignored, "critical_pump") > 4.0


def test_few_photons_are_said_to_be_the_limit(tmp_path: Path) -> None:
    """A gate fifty times shorter: still right, with a wider interval and the reason for it."""
    settings = {**SCAN, "gate": 1e-6}
    result = rehearse(PumpingScan(**settings), tmp_path, 9)
    assert result.estimate is not None and result.bounds is not None
    assert abs(pull(result, "critical_pump")) < FAR
    assert result.estimate.diagnostics["readout"] == "photon-poor"
    assert result.estimate["critical_pump"].std > 0.8 * result.bounds.cramer_rao_std


@pytest.mark.slow
def test_adaptive_intervals_cover_and_are_as_narrow_as_the_bound_allows(tmp_path: Path) -> None:
    """Eight laboratories: pulls follow chi-square, most intervals cover (1e-4 each)."""
    protocol = PumpingAdaptive(**ADAPTIVE)
    results = [rehearse(protocol, tmp_path, seed) for seed in range(60, 68)]
    found = np.array([pull(result, "critical_pump") for result in results])
    assert np.sum(found**2) < chi2.isf(1e-4, len(found)), found
    assert np.sum(np.abs(found) < 1.96) >= binom.ppf(1e-4, len(found), 0.95)
    widths = [
        result.estimate["critical_pump"].std / result.bounds.cramer_rao_std
        for result in results
        if result.estimate is not None and result.bounds is not None
    ]
    assert 0.8 < np.mean(widths) < 1.2, widths
