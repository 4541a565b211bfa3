"""`cavitylab run --resume`: a killed rehearsal is taken up again by its path alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cavitylab.console.cli import app
from cavitylab.protocols.recording import Run

COMMAND = [sys.executable, "-m", "cavitylab", "run"]
SETTINGS = ["--set", "shots=400", "--set", "block=40", "--set", "coil_check=0", "--seed", "4"]
SETTINGS += ["--no-figure"]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command, from a folder in which nothing is."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_killed_run_is_taken_up_again_by_its_path(tmp_path):
    """Same counts as the undisturbed run; another setting is refused by name; then it is done."""
    begun = subprocess.Popen(
        [*COMMAND, "ramsey_ellipse", *SETTINGS, "--data", str(tmp_path / "a"), "--note", "cold"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert begun.stdout is not None
    lines = [begun.stdout.readline()]
    while not lines[-1].startswith("acknowledged 80"):
        lines.append(begun.stdout.readline())
    begun.kill()
    begun.communicate()
    assert "400 shots, about 20 s in the laboratory" in lines[1]
    (found,) = (tmp_path / "a").glob("*/*/data.zarr")
    refused = run("--resume", str(found.parent), "--set", "shots=500", folder=tmp_path)
    assert refused.returncode == 2
    assert "setting shots was 400 and is now 500" in refused.stderr
    done = run("--resume", str(found.parent), "--no-figure", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shots"] == 400
    whole = run("ramsey_ellipse", *SETTINGS, "--data", str(tmp_path / "b"), folder=tmp_path)
    assert whole.returncode == 0, whole.stderr
    (other,) = (tmp_path / "b").glob("*/*/data.zarr")
    first, second = Run.open(found.parent), Run.open(other.parent)
    assert np.array_equal(first.load("shot")["counts"], second.load("shot")["counts"])
    assert "cold" in [event.get("text") for event in first.events()]
    nothing = run("--resume", str(found.parent), folder=tmp_path)
    assert nothing.returncode == 2 and "is complete" in nothing.stderr


def test_a_protocol_or_a_run_must_be_named(tmp_path, monkeypatch):
    """Neither, or both, is wrong usage; so is a run that is not there."""
    monkeypatch.chdir(tmp_path)

    def said(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["run", *arguments])
        assert done.exit_code == 2, done.output
        return done.stderr

    said()
    assert "--resume RUN" in said("ramsey_ellipse", "--resume", "x")
    assert "holds no run" in said("--resume", str(tmp_path / "none"))
