"""The Ramsey protocol through the whole chain: second stage, reference, stop, and wrong wires.

A laboratory of 20 atoms in each ensemble keeps the exact tables small.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab.console import ramsey_report
from cavitylab.instruments.shipped import find_file
from cavitylab.instruments.station import Station
from cavitylab.instruments.station_file import load_station_file
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.engine import RunResult, run
from cavitylab.protocols.engine.result import stored_estimator, stored_records
from cavitylab.protocols.planning import make_plan

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "atoms_per_ensemble": 20,
    "preparation_rabi_hz": 2000.0,
    "block": 150,
    "coil_check": 0,
}
STATION = load_station_file(find_file("two_ensemble", ".yaml"))
TEXT = find_file("two_ensemble.lab.yaml", ".lab.yaml").read_text(encoding="utf-8")


def laboratory(folder: Path, *changes: tuple[str, str]) -> Path:
    """The shipped laboratory with fewer atoms and other texts changed, each found once."""
    text = TEXT
    for old, new in (("atoms_per_ensemble: 100", "atoms_per_ensemble: 20"), *changes):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path = folder / "laboratory.lab.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def rehearse(
    folder: Path, *changes: tuple[str, str], seed: int = 3, **settings: Any
) -> tuple[RunResult, RamseyEllipse]:
    """One run on that laboratory."""
    protocol = RamseyEllipse(**{**SMALL, **settings})
    with Station.open("two_ensemble", rehearse=laboratory(folder, *changes), seed=seed) as station:
        return run(protocol, station, data=folder / "data", seed=seed), protocol


def told(result: RunResult) -> str:
    """All flags of a run as one text."""
    assert result.estimate is not None
    return "\n".join(result.estimate.flags)


def test_two_stages_and_a_reference_from_the_wire_to_the_number(tmp_path):
    """Signal and phase within 4.5 standard deviations; the gain; a stored run fits to the same.

    Prepared shots come first at a phase of pi/4, then where the detector learns most; every other
    block is one of independent atoms. (False alarm 7e-6 for each of the two.)
    """
    result, protocol = rehearse(
        tmp_path, schedule="two_stage", reference="unsqueezed", shots=900, first_share=0.2
    )
    estimate, truth = result.estimate, result.truth
    assert estimate is not None and truth is not None and result.bounds is not None
    for name in ("signal", "phase"):
        assert abs(estimate[name].value - truth[name]) < 4.5 * estimate[name].std
    assert estimate["signal"].std == pytest.approx(result.bounds.cramer_rao_std, rel=0.15)
    plan = make_plan(protocol, STATION)
    assert plan.prediction is not None
    assert estimate["signal"].std == pytest.approx(plan.prediction.std, rel=0.15)
    assert estimate["preparation_gain"].value > 3 * estimate["preparation_gain"].std
    records = stored_records(result.run)
    kinds = records["setting"].astype(int)
    assert kinds[0] == 0
    assert set(kinds[records["prepared"] == 0]) == {kinds.max()}
    assert len(set(kinds[records["prepared"] == 1])) == 2
    assert np.sum(records["prepared"] == 0) == 450
    later = records["bias_phase"][(records["prepared"] == 1) & (kinds > 0)]
    assert 0.05 < later[0] < 0.5
    again = stored_estimator(result.run)
    again.update(records)
    assert again.estimate().to_json()["estimates"] == estimate.to_json()["estimates"]
    labels = [label for label, _ in ramsey_report.rows(result, protocol)]
    assert {"gain of the preparation", "the coil gives"} <= set(labels)


def test_the_predicted_precision_is_what_a_rehearsal_gives(tmp_path):
    """With one bias phase the printed standard deviation is within 15 % of it."""
    result, protocol = rehearse(tmp_path, shots=900)
    plan = make_plan(protocol, STATION)
    assert result.estimate is not None and plan.prediction is not None
    assert plan.prediction.quantity == "phase"
    assert result.estimate["phase"].std == pytest.approx(plan.prediction.std, rel=0.15)


def test_a_run_stops_when_the_interval_is_narrow_enough(tmp_path):
    """After the fewest shots that were asked for, and not before the precision is reached."""
    result, _ = rehearse(tmp_path, shots=3000, target_std=0.008, minimum_shots=200)
    assert result.estimate is not None
    assert result.shots % 150 == 0
    assert 200 <= result.shots < 600
    assert result.estimate["phase"].std < 1.05 * 0.008


def test_exchanged_cables_of_the_coil_turn_the_signal_round(tmp_path):
    """The counts are even in the phase: the signal comes out negative, and its range tells where.

    With the cables exchanged the detuning has the other sign, and so has the bias phase.
    """
    result, _ = rehearse(
        tmp_path,
        ("slope: {nominal: 250.0, spread: 0.015", "slope: {nominal: -250.0, spread: 0.0"),
        ("phase: {uniform: [0.02, 0.08]", "phase: {uniform: [0.08, 0.08]"),
        shots=600,
        bias_phase=0.3,
        signal_range=(0.0, 0.3),
    )
    assert result.estimate is not None
    assert result.estimate["signal"].value == pytest.approx(-0.08, abs=0.03)
    assert "cables of the gradient coil" in told(result)


COIL = (("slope: {nominal: 250.0, spread: 0.015", "slope: {nominal: -250.0, spread: 0.0"),)


@pytest.mark.parametrize("changes", [(), COIL])
def test_the_check_of_the_coil_needs_no_range(tmp_path, changes):
    """Exchanged cables of the coil are told by six pulses on one ensemble alone, in two stages too.

    A laboratory wired as meant is not flagged, the truth is where it was, and a stored run says
    the same again.
    """
    result, _ = rehearse(
        tmp_path, *changes, shots=100, block=100, schedule="two_stage", coil_check=6
    )
    assert result.estimate is not None and result.truth is not None
    assert result.shots == 106 and result.estimate.shots == 100
    reversed_ = "cables of the gradient coil (or two coils) exchanged" in told(result)
    assert reversed_ == bool(changes)
    if not changes:
        signal = result.estimate["signal"]
        assert abs(signal.value - result.truth["signal"]) < 4.5 * signal.std
    again = stored_estimator(result.run)
    again.update(stored_records(result.run))
    assert again.estimate().flags == result.estimate.flags


def test_a_signal_of_the_other_sign_is_seen_in_the_result(tmp_path):
    """Minus its true value within the interval's reach; its range says where to look."""
    result, _ = rehearse(
        tmp_path,
        ("phase: {uniform: [0.02, 0.08]", "phase: {uniform: [-0.08, -0.08]"),
        shots=600,
        bias_phase=0.3,
        signal_range=(0.0, 0.3),
    )
    assert result.estimate is not None and result.truth is not None
    signal = result.estimate["signal"]
    assert abs(signal.value + 0.08) < 4.5 * signal.std
    assert "the sign of what writes the signal" in told(result)


def test_a_saturated_modulator_of_the_drive_contradicts_its_calibration(tmp_path):
    """Saturation at 0.9 W, not 1.6 W: the pulse is no pi/2 pulse, and the flag names the AOM."""
    result, _ = rehearse(
        tmp_path,
        (
            "full_rabi: {nominal: 60.0e3, spread: 0.02, unit: Hz}\n"
            "      saturation_power: {nominal: 1.6, spread: 0.02, unit: W}",
            "full_rabi: {nominal: 60.0e3, spread: 0.0, unit: Hz}\n"
            "      saturation_power: {nominal: 0.9, spread: 0.0, unit: W}",
        ),
        shots=900,
        schedule="two_stage",
    )
    assert "modulator" in told(result)


SIGNAL = "    signal:             # the phase"


@pytest.mark.parametrize("signal", ["-0.08", "0.06"])
def test_a_narrow_common_phase_tells_the_sign_of_the_signal(tmp_path, signal):
    """Both sides of the fringe in turn; truth within 4.5 standard deviations, as planned (15 %)."""
    result, protocol = rehearse(
        tmp_path,
        (SIGNAL, "    common_phase: {std: 0.1}\n" + SIGNAL),
        ("phase: {uniform: [0.02, 0.08]", f"phase: {{uniform: [{signal}, {signal}]"),
        shots=600,
        common_phase="narrow",
    )
    assert result.estimate is not None and result.estimate.goodness_of_fit is not None
    found, plan = result.estimate["signal"], make_plan(protocol, STATION)
    assert abs(found.value - float(signal)) < 4.5 * found.std
    assert plan.prediction is not None
    assert found.std == pytest.approx(plan.prediction.std, rel=0.15)
    assert result.estimate.goodness_of_fit.p_value > 1e-5


def test_a_drifting_common_phase_is_judged_by_the_shots_that_are_independent(tmp_path):
    """A walk of 0.9 rad a shot: truth within 4.5 standard deviations, and no misfit is found."""
    result, _ = rehearse(
        tmp_path,
        (SIGNAL, "    common_phase: {walk: 0.9}\n" + SIGNAL),
        shots=900,
        common_phase="drifting",
    )
    assert result.estimate is not None and result.truth is not None
    phase = result.estimate["phase"]
    assert abs(phase.value - result.truth["phase"]) < 4.5 * phase.std
    assert result.estimate.diagnostics["common_phase_memory"] > 2
    assert not any("does not describe" in flag for flag in result.estimate.flags)


def test_a_gate_wired_to_the_other_ensemble_changes_nothing():
    """The ellipse is the same with its ensembles exchanged: nothing to catch, nothing to fear."""
    protocol = RamseyEllipse(**SMALL)
    calibrations = STATION.calibrations
    rng = np.random.default_rng(5)
    turned, straight = (protocol.estimator(calibrations) for _ in range(2))
    theta = rng.uniform(0, 2 * math.pi, 200)
    phases = np.stack([0.3 + theta, 0.3 - theta], axis=1)
    counts = rng.poisson(100 * (10 + 6 * np.sin(phases)) + 50)
    straight.update({"counts": counts})
    turned.update({"counts": counts[:, ::-1]})
    assert turned.quick()["phase"].value == pytest.approx(straight.quick()["phase"].value, abs=1e-4)
