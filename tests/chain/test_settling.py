"""The coil's settling from the wire to the calibration file."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from cavitylab import Station, run
from cavitylab.instruments.calibration import Calibration
from cavitylab.instruments.roles.gradient_coil import SETTLED_AFTER
from cavitylab.instruments.shipped import find_file
from cavitylab.protocols import CalibrateSettling
from cavitylab.protocols.engine import stored_estimator, stored_records
from cavitylab.protocols.recording import Run

SLOW = "settings: {resistance: 0.8, inductance: 80.0e-3, loop_time: 40.0e-3}"
TIME_CONSTANT = 1 / (0.8 / 80e-3 + 1 / 40e-3)
"""Time constant of that coil: 1/(R/L + 1/loop_time)."""


def test_a_slow_coil_is_found_out_and_waited_for(tmp_path: Path) -> None:
    """Twice as slow as shipped: found within 4.1 std (1e-4), written, obeyed by the role."""
    text = find_file("two_ensemble", ".lab.yaml").read_text("utf-8")
    old = "settings: {resistance: 0.8, inductance: 40.0e-3, loop_time: 20.0e-3}"
    assert old in text
    laboratory = tmp_path / "slow.lab.yaml"
    laboratory.write_text(text.replace(old, SLOW), "utf-8")
    shipped = find_file("two_ensemble", ".yaml")
    shutil.copytree(shipped.parent / "calibrations", tmp_path / "calibrations")
    station = Path(shutil.copy(shipped, tmp_path / "two_ensemble.yaml"))
    protocol: Any = CalibrateSettling(shots=8, times=(-0.06, -0.035, -0.01, 0.01, 0.03, 0.06, 0.12))
    with Station.open(station, rehearse=laboratory, seed=6) as opened:
        result = run(protocol, opened, data=tmp_path, seed=6)
        assert opened.roles["gradient"].settling_time == 0.2
        proposal = protocol.proposal(result.estimate, opened.calibrations)
    assert result.estimate is not None and result.truth is not None
    assert result.truth["time_constant"] == pytest.approx(TIME_CONSTANT)
    assert result.truth["settling_time"] == pytest.approx(TIME_CONSTANT * math.log(1e3))
    for name in ("time_constant", "settling_time"):
        found = result.estimate[name]
        assert abs(math.log(found.value / result.truth[name])) < 4.1 * found.std / found.value
    stored = Run.open(result.path)
    again = stored_estimator(stored)
    again.update(stored_records(stored))
    assert again.estimate().quantities == result.estimate.quantities
    assert proposal.decision, proposal.decision.reasons
    path = tmp_path / "calibrations" / "gradient_coil.yaml"
    before = Calibration.load(path)
    proposal.write(path)
    after = Calibration.load(path)
    assert after.parameters == before.parameters
    settled = result.estimate["settling_time"]
    assert after.conditions[SETTLED_AFTER] == pytest.approx(settled.value + 2 * settled.std, 1e-5)
    assert result.estimate is not None
    moved = CalibrateSettling(tolerance=1e-6).proposal(result.estimate, {"gradient": after})
    assert moved.decision
    with Station.open(station, rehearse=laboratory, seed=6) as opened:
        assert opened.roles["gradient"].settling_time == after.conditions[SETTLED_AFTER] > 0.2
