"""Atom numbers from the wire to the calibration file, and calibrations that were stopped early."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cavitylab import Station, run
from cavitylab.estimators.calibrations_atoms import AtomBeliefs, AtomNumbers
from cavitylab.instruments.shipped import find_file
from cavitylab.protocols import CalibrateAtomNumber, CalibrateRabi, protocol_by_name
from cavitylab.protocols.calibration import ATOMS, CalibrationSettingsError
from cavitylab.protocols.engine import stored_estimator, stored_records
from cavitylab.protocols.engine.events import BlockRecorded
from cavitylab.protocols.engine.states import State
from cavitylab.protocols.recording import Run

KNOWN: dict[str, Any] = {
    "gain": (100.0, 0.5),
    "background": (50.0, 1.0),
    "rabi_range": (14e3, 26e3),
}


def test_another_number_of_atoms_is_found_and_held_against_the_settings(tmp_path: Path) -> None:
    """83 atoms where 100 are believed: within 4.1 std (1e-4); written; others are then refused."""
    text = find_file("two_ensemble", ".lab.yaml").read_text("utf-8")
    assert "atoms_per_ensemble: 100" in text
    laboratory = tmp_path / "fewer.lab.yaml"
    laboratory.write_text(text.replace("atoms_per_ensemble: 100", "atoms_per_ensemble: 83"))
    protocol: Any = CalibrateAtomNumber()
    with Station.open("two_ensemble", rehearse=laboratory, seed=8) as station:
        result = run(protocol, station, data=tmp_path, seed=8)
        known = dict(station.calibrations)
    assert result.estimate is not None and result.truth is not None
    for name in ("atoms", "atoms_1", "atoms_2"):
        found = result.estimate[name]
        assert result.truth[name] == 83 and abs(found.value - 83) < 4.1 * found.std
    assert result.bounds is not None
    assert result.estimate["atoms"].std == pytest.approx(result.bounds.cramer_rao_std, rel=1e-3)
    assert 0.8 < result.estimate["atoms"].std / (0.03 * 83) < 1.1, "as the gain is known"
    stored = Run.open(result.path)
    again = stored_estimator(stored)
    again.update(stored_records(stored))
    assert again.estimate().quantities == result.estimate.quantities
    proposal = protocol.proposal(result.estimate, known)
    assert proposal.decision and proposal.new is not None
    assert proposal.new.parameters == known["detector"].parameters
    assert proposal.new.conditions[ATOMS] == pytest.approx(result.estimate["atoms"].value, 1e-5)
    counted = {**known, "detector": proposal.new}
    with pytest.raises(CalibrationSettingsError, match="set atoms_per_ensemble=8"):
        CalibrateRabi().beliefs(counted)
    CalibrateRabi(atoms_per_ensemble=83).beliefs(counted)


def counts_of(atoms: tuple[int, int], seed: int) -> dict[str, Any]:
    """Records of 40 shots at each of four lengths and without a pulse."""
    rng = np.random.default_rng(seed)
    time = np.repeat([0.0, 15e-6, 22e-6, 27e-6, 37e-6], 40)
    p = np.sin(np.pi * 20e3 * time) ** 2
    up = np.stack([rng.binomial(number, p) for number in atoms], axis=1)
    return {"counts": rng.poisson(100.0 * up + 50.0), "pulse_time": time}


def test_ensembles_that_differ_are_told() -> None:
    """The gain that both share does not hide it; alike ones are not suspected."""
    for atoms, told in (((100, 100), False), ((100, 90), True)):
        estimator = AtomNumbers(
            AtomBeliefs.from_json(json.loads(json.dumps({**KNOWN, "most": 1e4})))
        )
        estimator.update(counts_of(atoms, 3))
        found = estimator.estimate()
        assert any("ensembles differ" in flag for flag in found.flags) is told
        assert found["atoms"].value == pytest.approx(sum(atoms) / 2, abs=2.5)
        assert found.shots == 200
    with pytest.raises(ValueError, match="rabi_range"):
        AtomBeliefs(**{**KNOWN, "rabi_range": (2e4, 1e4)})
    with pytest.raises(CalibrationSettingsError, match="states no error"):
        protocol = CalibrateAtomNumber()
        with Station.open("two_ensemble", rehearse="two_ensemble") as station:
            calibrations = dict(station.calibrations)
        sure = dataclasses.replace(calibrations["detector"], covariance=np.zeros((2, 2)))
        protocol.beliefs({**calibrations, "detector": sure})


@pytest.mark.parametrize("name", ["calibrate_rabi", "calibrate_settling", "calibrate_atom_number"])
def test_stopped_too_early_a_calibration_is_undetermined_and_writes_nothing(
    name: str, tmp_path: Path
) -> None:
    """Ctrl-C after two blocks: stopped, not failed; the gate is closed and says what is missing."""
    blocks = []

    def stop(event: object) -> None:
        if isinstance(event, BlockRecorded):
            blocks.append(event)
            if len(blocks) == 2:
                signal.raise_signal(signal.SIGINT)

    protocol: Any = protocol_by_name(name)()
    with Station.open("two_ensemble", rehearse="two_ensemble", seed=2) as station:
        result = run(protocol, station, data=tmp_path, seed=2, subscribers=[stop])
        calibrations = dict(station.calibrations)
    assert result.state is State.STOPPED and result.estimate is not None
    proposal = protocol.proposal(result.estimate, calibrations)
    assert not proposal.decision
    assert any("settings" in reason for reason in proposal.decision.reasons), proposal.decision
