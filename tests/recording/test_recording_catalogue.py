"""The data folder, and where runs come from."""

from __future__ import annotations

import json
import subprocess

import pytest

from cavitylab.protocols.recording import (
    RunCatalogue,
    RunNotFoundError,
    RunWriter,
    git_state,
    list_runs,
    provenance,
)


def test_runs_are_listed_oldest_first_with_state_and_shots(tmp_path, known, started):
    """Finished, live, dead and unreadable runs: one line each, none of them touched."""
    later = [started.replace(second=second) for second in (10, 20, 30)]
    origins = {"protocol": "ramsey_ellipse", "tags": ["a"]}
    with RunWriter.create(
        tmp_path, "first", known.streams, provenance=origins, run_id="aa", started=later[0]
    ) as first:
        first.append("shot", known.shots(0, 12))
    broken = RunWriter.create(tmp_path, "broken", known.streams, run_id="bb", started=later[1])
    broken.close()
    (broken.path / "data.zarr" / "zarr.json").write_text("{")
    with RunWriter.create(tmp_path, "live", known.streams, run_id="cc", started=later[2]):
        runs = list_runs(tmp_path)
        assert [run.state for run in runs] == ["complete", "unreadable", "running"]
    assert (runs[0].run_id, runs[0].protocol, runs[0].shots) == ("aa", "ramsey_ellipse", 12)
    assert json.dumps([run.to_json() for run in runs])
    assert "zarr.json" in (runs[1].problem or "")


def test_a_dead_run_is_listed_as_interrupted_and_not_recovered(start_program, tmp_path):
    """Listing only looks: the journal is still there afterwards."""
    process, pipe = start_program(
        "writing_program.py", root=str(tmp_path), seed=9, largest_block=5, pause=0.01
    )
    path = pipe.recv()
    process.kill()
    process.join()
    (run,) = list_runs(tmp_path)
    assert run.state == "interrupted" and str(run.path) == path
    assert (run.path / "journal.sqlite").exists()


def test_a_run_is_opened_by_the_beginning_of_its_name(tmp_path, known):
    """Id, directory name, or enough of either; otherwise the error lists what there is."""
    for name in ("ab12", "ab34"):
        RunWriter.create(tmp_path, "t", known.streams, run_id=name).close()
    catalogue = RunCatalogue(tmp_path)
    assert catalogue.open("ab3").run_id == "ab34"
    with pytest.raises(RunNotFoundError, match="several.*ab12"):
        catalogue.open("ab")
    with pytest.raises(RunNotFoundError, match="no run is"):
        catalogue.open("zz")


def test_an_empty_or_missing_folder_has_no_runs(tmp_path):
    """Nothing there is no error."""
    assert list_runs(tmp_path) == [] == list_runs(tmp_path / "missing")


def _git(folder, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_git_state_tells_commit_and_changes(tmp_path):
    """A clean tree has a commit; an edited one is dirty, with a hash of the difference."""
    (tmp_path / "code.py").write_text("a = 1\n")
    _git(tmp_path, "init")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-m", "one")
    clean = git_state(tmp_path)
    assert len(clean["commit"]) == 40 and clean["dirty"] is False
    (tmp_path / "code.py").write_text("a = 2\n")
    edited = git_state(tmp_path)
    assert edited["dirty"] and edited["commit"] == clean["commit"] and edited["diff_sha256"]


def test_a_repository_that_only_surrounds_the_files_is_not_theirs(tmp_path):
    """An environment inside somebody's repository says nothing about our code."""
    _git(tmp_path, "init")
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "code.py").write_text("a = 1\n")
    assert git_state(tmp_path / "site-packages")["commit"] is None


def test_git_state_without_git(tmp_path, monkeypatch):
    """No git program, no error."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == {"commit": None, "dirty": None, "diff_sha256": None}
    assert provenance.versions()["python"]
