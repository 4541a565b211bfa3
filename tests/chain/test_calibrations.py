"""A station calibrated from scratch through the wire: blind, judged, and written by the gate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from cavitylab import Station, run
from cavitylab.console.cli import main
from cavitylab.console.reports import report_of
from cavitylab.instruments.calibration import Calibration
from cavitylab.instruments.shipped import find_file
from cavitylab.instruments.station_file import load_station_file
from cavitylab.protocols import CalibrateRabi, protocol_by_name
from cavitylab.protocols.calibration import PulseCalibration
from cavitylab.protocols.engine import RunResult, stored_estimator, stored_records
from cavitylab.protocols.recording import Run

QUANTITIES = {
    "calibrate_rabi": ("f_max", "P_sat"),
    "calibrate_detuning": ("slope", "offset"),
    "calibrate_detector": ("gain", "background"),
    "calibrate_coupling": ("G_max", "P_sat"),
}
SCALES = (
    ("full_rabi: {nominal: 60.0e3, spread: 0.02", 60e3),
    ("saturation_power: {nominal: 1.6, spread: 0.02", 1.6),
    ("full_decay: {nominal: 200.0, spread: 0.02", 200.0),
    ("saturation_power: {nominal: 1.6, spread: 0.02", 1.6),
    ("slope: {nominal: 250.0, spread: 0.015", 250.0),
    ("rate_per_atom: {nominal: 20.0e3, spread: 0.03", 20e3),
    ("background_rate: {nominal: 10.0e3, spread: 0.05", 10e3),
)


def hidden(folder: Path, seed: int) -> Path:
    """The shipped laboratory with every scale off by 20 %, up or down, and an offset of 40 Hz."""
    signs = np.random.default_rng([9, seed]).choice((-1, 1), len(SCALES) + 1)
    text = find_file("two_ensemble", ".lab.yaml").read_text(encoding="utf-8")
    for (old, believed), sign in zip(SCALES, signs, strict=False):
        assert old in text
        new = f"{old.partition(':')[0]}: {{nominal: {believed * (1 + 0.2 * float(sign))!r}"
        text = text.replace(old, new, 1)
    text = text.replace("offset: {nominal: 0.0", f"offset: {{nominal: {40.0 * float(signs[-1])!r}")
    path = folder / f"hidden_{seed}.lab.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def calibrated(
    name: str, folder: Path, laboratory: Path, seed: int, station: str | Path = "two_ensemble"
) -> RunResult:
    """One run of a calibration on a laboratory."""
    with Station.open(station, rehearse=laboratory, seed=seed) as opened:
        return run(protocol_by_name(name)(), opened, data=folder, seed=seed)


def own_station(folder: Path) -> Path:
    """A station file whose calibrations may be written."""
    shipped = find_file("two_ensemble", ".yaml")
    shutil.copytree(shipped.parent / "calibrations", folder / "calibrations")
    return Path(shutil.copy(shipped, folder / "two_ensemble.yaml"))


def squared_pulls(name: str, result: RunResult) -> list[float]:
    """Squared distances from the truth in standard deviations."""
    assert result.estimate is not None and result.truth is not None
    return [
        ((result.estimate[one].value - result.truth[one]) / result.estimate[one].std) ** 2
        for one in QUANTITIES[name]
    ]


def test_truths_that_are_far_off_are_found(tmp_path: Path) -> None:
    """20 % off, drifts on: within the error (false alarm 1e-4); the stored run says the same."""
    name = "calibrate_rabi"
    result = calibrated(name, tmp_path, hidden(tmp_path, 1), 1)
    assert max(squared_pulls(name, result)) < chi2.isf(1e-4 / 4, 1)
    assert result.estimate is not None and not result.estimate.flags
    stored = Run.open(result.path)
    again = stored_estimator(stored)
    again.update(stored_records(stored))
    assert again.estimate().quantities == result.estimate.quantities
    protocol = protocol_by_name(name)()
    figure = report_of(protocol).figure(tmp_path / "flops.png", result, protocol, [])
    assert figure is not None and figure.stat().st_size > 5_000


def test_a_modulator_far_in_saturation_is_refused_with_the_reason(tmp_path: Path) -> None:
    """P_sat at a third of what the file says lies outside what is searched: nothing passes."""
    text = find_file("two_ensemble", ".lab.yaml").read_text(encoding="utf-8")
    old = "saturation_power: {nominal: 1.6, spread: 0.02"
    laboratory = tmp_path / "saturated.lab.yaml"
    laboratory.write_text(text.replace(old, "saturation_power: {nominal: 0.5"), encoding="utf-8")
    result = calibrated("calibrate_rabi", tmp_path, laboratory, 2)
    assert result.estimate is not None
    with Station.open("two_ensemble", rehearse=laboratory) as station:
        proposal = CalibrateRabi().proposal(result.estimate, station.calibrations)
    assert not proposal.decision
    assert any("model does not describe" in reason for reason in proposal.decision.reasons)
    assert "where to look" in proposal.decision.reasons[-1]


def test_the_gate_writes_a_new_version_or_says_why_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the run to the file: refused by size, by origin, accepted, refused as out of date."""
    station = own_station(tmp_path)
    result = calibrated("calibrate_detector", tmp_path, hidden(tmp_path, 3), 3, station)
    assert max(squared_pulls("calibrate_detector", result)) < chi2.isf(1e-4 / 2, 1)
    path = tmp_path / "calibrations" / "detector.yaml"
    before = path.read_text(encoding="utf-8")

    def update(*words: object) -> tuple[int, dict]:
        with pytest.raises(SystemExit) as caught:
            main(
                ["station", "calibrations", str(station), "--update", str(result.path), "--json"]
                + [str(word) for word in words]
            )
        return int(caught.value.code or 0), json.loads(capsys.readouterr().out)

    code, said = update()
    assert code == 1 and not said["written"]
    assert any("gain changed from 100" in reason for reason in said["reasons"])
    assert any("simulated laboratory" in reason for reason in said["reasons"])
    allowed = ("--largest-change", 0.3, "--from-rehearsal")
    code, said = update(*allowed, "--dry-run")
    assert code == 0 and said["accepted"] and not said["written"]
    assert path.read_text(encoding="utf-8") == before

    code, said = update(*allowed)
    assert code == 0 and said["written"]
    new = Calibration.load(path)
    assert result.estimate is not None
    assert new.parameters["gain"] == pytest.approx(result.estimate["gain"].value)
    assert new.conditions == {"gate_time": 5e-3}
    assert "calibrate_detector, run" in path.read_text(encoding="utf-8")
    assert Path(said["kept"]).read_text(encoding="utf-8") == before
    code, said = update(*allowed)
    assert code == 1 and any("another version" in reason for reason in said["reasons"])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", QUANTITIES)
def test_blind_laboratories_are_covered_at_the_width_of_the_bound(
    name: str, tmp_path: Path
) -> None:
    """Laboratories 20 % off: squared pulls follow chi-square (false alarm 1e-4 in all).

    Intervals are on average at most 1.2 times as wide as the Cramér-Rao bound implies.
    """
    seeds = range(20, 23)
    results = [calibrated(name, tmp_path, hidden(tmp_path, seed), seed) for seed in seeds]
    sums = np.sum([squared_pulls(name, result) for result in results], axis=0)
    assert (sums < chi2.isf(1e-4 / 8, len(results))).all(), sums
    widths = []
    for result in results:
        assert result.estimate is not None and result.bounds is not None
        low, high = result.estimate[QUANTITIES[name][0]].interval
        widths.append((high - low) / (2 * 1.959964 * result.bounds.cramer_rao_std))
    assert np.mean(widths) < 1.2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_station_that_was_wrong_measures_a_phase_once_it_is_calibrated(tmp_path: Path) -> None:
    """All four files 20 % off: first the calibrations, each written, then a phase that is right.

    Phase and signal lie within their errors (false alarm 1e-4).
    """
    station, laboratory = own_station(tmp_path), hidden(tmp_path, 7)
    for name in QUANTITIES:
        result = calibrated(name, tmp_path, laboratory, 7, station)
        protocol = protocol_by_name(name)()
        assert isinstance(protocol, PulseCalibration) and result.estimate is not None
        file = load_station_file(station)
        proposal = protocol.proposal(result.estimate, file.calibrations, largest_change=0.3)
        (stated,) = [r.init["calibration"] for r in file.roles if r.name == proposal.role]
        proposal.write(tmp_path / str(stated))
    still = {"drifts": "off"}  # one exact table instead of one for each step of the drifts
    with Station.open(station, rehearse=laboratory, seed=7, options=still) as opened:
        final = run(protocol_by_name("ramsey_ellipse")(shots=200), opened, data=tmp_path, seed=7)
    assert final.estimate is not None and final.truth is not None
    assert final.estimate.goodness_of_fit is not None
    assert final.estimate.goodness_of_fit.p_value > 1e-4
    for name in ("phase", "signal"):
        off = final.estimate[name].value - final.truth[name]
        assert abs(off) < 4.1 * final.estimate[name].std
