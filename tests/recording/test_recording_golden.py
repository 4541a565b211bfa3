"""Runs of every format that was ever written go on being read (made by golden_runs.py)."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from cavitylab.protocols.recording import Run, RunWriter
from cavitylab.protocols.recording.layout import FORMAT

HERE = Path(__file__).parent
FORMATS = sorted((HERE / "golden").glob("format-*"))


@pytest.fixture(scope="module")
def shots():
    return runpy.run_path(str(HERE / "golden_runs.py"))["shots"]


def _copy(tmp_path, folder, name):
    return Path(shutil.copytree(folder / name, tmp_path / name))


def _check(columns, right):
    for name, column in right.items():
        found = np.asarray(columns[name])
        found = found.astype("i8") if found.dtype.kind == "M" else found
        assert np.array_equal(found, column), name


def test_there_is_a_golden_run_of_the_present_format():
    """Who raises the format's number makes golden runs of it."""
    assert HERE / "golden" / f"format-{FORMAT}" in FORMATS


@pytest.mark.parametrize("folder", FORMATS, ids=lambda folder: folder.name)
def test_a_golden_finished_run_reads_as_it_was_written(tmp_path, folder, shots):
    """Rows, set-points, traces with their times, events, provenance."""
    run = Run.open(_copy(tmp_path, folder, "finished"))
    assert run.state == "complete" and run.recovery.repaired == () and run.verify().ok
    _check(run.load("shot"), shots(0, 12))
    records = run.records
    assert records.sizes["shot"] == 12 and records.sample_time.attrs["units"] == "s"
    assert np.allclose(records.trace.values, 0.001 * shots(0, 12)["trace"])
    assert records.detuning.values.tolist() == [1.0, 2.0, 3.0]
    assert [event["note"] for event in run.events()] == ["Γ/2π"]
    assert run.provenance["parameters"] == {"shots": 12}
    assert run.to_grid().counts.shape == (3, 4, 2)


@pytest.mark.parametrize("folder", FORMATS, ids=lambda folder: folder.name)
def test_a_golden_dead_run_is_recovered_and_resumed(tmp_path, folder, shots):
    """Its journal is of that version too: every row comes back, and the next one follows."""
    path = _copy(tmp_path, folder, "dead")
    with xr.open_zarr(path / "data.zarr", chunks=None, decode_times=False) as dataset:
        assert dataset.sizes["shot"] == 8
    run = Run.open(path)
    assert run.state == "interrupted" and run.verify().ok
    _check(run.load("shot"), shots(0, 12))
    with RunWriter.resume(path) as writer:
        writer.append("shot", shots(12, 20))
    _check(Run.open(path).load("shot"), shots(0, 20))


def test_reading_a_finished_run_changes_nothing_on_disk(tmp_path, shots):
    """It needs no lock, so that an archive may be read-only."""
    path = _copy(tmp_path, FORMATS[-1], "finished")
    before = sorted(path.rglob("*"))
    _check(Run.open(path).load("shot"), shots(0, 12))
    assert sorted(path.rglob("*")) == before


def test_a_process_that_only_records_imports_little():
    """Starting to record must be quick: no plotting, no instruments, no xarray, no scipy."""
    code = (
        "import sys, cavitylab.protocols.recording; "
        "print([m for m in ('qcodes', 'xarray', 'scipy', 'pandas', 'matplotlib', 'qutip', 'dask') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
