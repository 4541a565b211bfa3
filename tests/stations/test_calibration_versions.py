"""New versions of calibration files: whole, readable, and the old ones kept."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cavitylab.estimators import GateDecision
from cavitylab.instruments.calibration import Calibration
from cavitylab.instruments.calibration_versions import as_text, versions_of, write_version
from cavitylab.instruments.errors import CalibrationError
from cavitylab.instruments.shipped import shipped_folder
from cavitylab.protocols.calibration_proposal import CalibrationRefused, Proposal

SHIPPED = shipped_folder() / "calibrations"
NAMES = sorted(path.name for path in SHIPPED.glob("*.yaml"))


def own_copy(folder: Path, name: str = "drive_aom.yaml") -> Path:
    """A calibration file that may be written."""
    path = folder / name
    path.write_bytes((SHIPPED / name).read_bytes())
    return path


def improved(old: Calibration) -> Calibration:
    """Other numbers, correlated, with a tiny variance beside a large one."""
    values = {name: value * 1.02 + 1e-3 for name, value in old.parameters.items()}
    spread = np.array([2e-3 * abs(value) for value in values.values()])
    covariance = np.outer(spread, spread) * np.array([[1.0, -0.6], [-0.6, 1.0]])
    today = datetime.date(2026, 11, 21)
    return replace(old, parameters=values, covariance=covariance, date=today)


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_reads_back_as_it_was_written(name: str, tmp_path: Path) -> None:
    """Values, covariance, domain, conditions and date survive the file."""
    path = own_copy(tmp_path, name)
    new = improved(Calibration.load(path))
    write_version(path, new, note='said: "good"')
    found = Calibration.load(path)
    assert found.parameters == pytest.approx(dict(new.parameters), rel=1e-11)
    assert np.allclose(found.covariance, new.covariance, rtol=1e-7, atol=0)
    assert (found.domain, found.date, found.conditions) == (new.domain, new.date, new.conditions)


def test_old_versions_are_numbered_and_kept(tmp_path: Path) -> None:
    """The file as a person wrote it, comments included, is version 1; the next is 2."""
    path = own_copy(tmp_path)
    first, old = path.read_text(encoding="utf-8"), Calibration.load(path)
    assert versions_of(path) == []
    assert write_version(path, improved(old)).name == "drive_aom.1.yaml"
    second = path.read_text(encoding="utf-8")
    write_version(path, improved(improved(old)))
    kept = [one.read_text(encoding="utf-8") for one in versions_of(path)]
    assert kept == [first, second]
    assert not list(tmp_path.glob("*.part"))


def test_what_must_not_be_written_is_not(tmp_path: Path) -> None:
    """Package data, another kind, a file with mistakes."""
    shipped = SHIPPED / "drive_aom.yaml"
    drive = Calibration.load(shipped)
    with pytest.raises(CalibrationError, match="travels with the package"):
        write_version(shipped, improved(drive))
    detector = own_copy(tmp_path, "detector.yaml")
    with pytest.raises(CalibrationError, match="is of kind 'counts'"):
        write_version(detector, improved(drive))
    broken = tmp_path / "broken.yaml"
    broken.write_text(as_text(drive).replace("P_sat", "P_sta"), encoding="utf-8")
    with pytest.raises(CalibrationError, match="P_sta"):
        write_version(broken, improved(drive))
    assert versions_of(detector) == versions_of(broken) == []


def test_only_what_the_gate_accepts_is_written(tmp_path: Path) -> None:
    """A refused proposal leaves the file as it is and says every reason."""
    path = own_copy(tmp_path)
    before, old = path.read_text(encoding="utf-8"), Calibration.load(path)
    refused = GateDecision(False, ("p-value 1e-9 is below 0.001", "f_max changed"))
    with pytest.raises(CalibrationRefused, match=r"p-value .*; f_max changed"):
        Proposal("drive", old, improved(old), refused, 1e-9).write(path)
    assert path.read_text(encoding="utf-8") == before
    Proposal("drive", old, improved(old), GateDecision(True, ()), 0.5).write(path, "a run")
    assert "a run" in path.read_text(encoding="utf-8")
