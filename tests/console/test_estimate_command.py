"""`cavitylab estimate`: files, beliefs, refusals, figures, every estimator by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from cavitylab.console.cli import app
from cavitylab.estimators import PumpingSnapshots
from cavitylab.estimators.registry import BeliefError, estimators, find_estimator
from cavitylab.models.pumped_superradiance import PumpedEnsemble, populations

ELLIPSE = {
    "spin": 10,
    "detuning_ratio": 0.2,
    "pulse_area": 1.5707963,
    "gain": 100,
    "background": 50,
    "detuning_ratio_std": 0.02,
    "pulse_area_std": 0.01,
    "gain_std": 0.02,
    "background_std": 2.0,
}


def _run(*words):
    return CliRunner().invoke(app, ["estimate", *(str(word) for word in words)])


def _sets(beliefs):
    return [part for key, value in beliefs.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture
def ellipse_csv(tmp_path, ellipse_counts):
    """120 shots of an ellipse at 0.5 rad."""
    path = tmp_path / "shots.csv"
    rows = "\n".join(f"{a},{b},1" for a, b in ellipse_counts)
    path.write_text(f"counts_1,counts_2,status\n{rows}\n")
    return path


@pytest.fixture
def ellipse_counts():
    """Independent atoms are near enough to the weakly squeezed state of the beliefs."""
    rng = np.random.default_rng(1)
    common = rng.uniform(0.0, 2.0 * np.pi, 120)
    chance = 0.5 * (1.0 + 0.95 * np.sin(np.stack([0.5 + common, 0.5 - common], axis=1)))
    return rng.poisson(100 * rng.binomial(20, chance) + 50)


@pytest.fixture
def pumping_csv(tmp_path):
    """A scan of the pump with 100 atoms, critical setting 2."""
    rng = np.random.default_rng(2)
    pumps = np.repeat(np.linspace(1.8, 2.2, 12), 10)
    excited = [rng.choice(101, p=populations(PumpedEnsemble(100, u / 2.0))) for u in pumps]
    counts = rng.poisson(20.0 * np.array(excited) + 30.0)
    path = tmp_path / "scan.csv"
    path.write_text(
        "pump,counts_1\n" + "\n".join(f"{u},{y}" for u, y in zip(pumps, counts, strict=True))
    )
    return path


def test_ellipse_from_csv_and_npz_agree(ellipse_csv, ellipse_counts, tmp_path) -> None:
    """The same shots as CSV with --set and as NPZ with a beliefs file: one JSON answer."""
    beliefs = tmp_path / "beliefs.yaml"
    beliefs.write_text("\n".join(f"{key}: {value}" for key, value in ELLIPSE.items()))
    np.savez(tmp_path / "shots.npz", counts=ellipse_counts)
    one = _run(ellipse_csv, *_sets(ELLIPSE), "--json")
    two = _run(tmp_path / "shots.npz", "--beliefs", beliefs, "--json")
    assert one.exit_code == 0, one.output
    found = json.loads(one.stdout)["estimates"]["phase"]
    assert found == json.loads(two.stdout)["estimates"]["phase"]
    assert 0.4 < found["value"] < 0.6


def test_pumping_scan_with_figure(pumping_csv, tmp_path) -> None:
    """Any estimator by name; the figure of data, fit, residuals and profile is written."""
    figure = tmp_path / "fit.png"
    answer = _run(
        pumping_csv, "--estimator", "pumping_snapshots", "--set", "atoms=100",
        "--set", "gain=20+-1", "--figure", figure,
    )  # fmt: skip
    assert answer.exit_code == 0, answer.output
    assert "critical_pump = 2.0" in answer.output or "critical_pump = 1.9" in answer.output
    assert figure.read_bytes()[:4] == b"\x89PNG"


def test_adaptive_and_ellipse_figures(ellipse_csv, pumping_csv, tmp_path) -> None:
    """Posterior and profile likelihood are drawn as well."""
    words = ["--set", "atoms=100", "--set", "critical_range=1.6,2.4", "--set", "gain=20"]
    words += ["--set", "gain_std=1", "--set", "background=30"]
    one = _run(
        pumping_csv, "--estimator", "adaptive_pumping", *words, "--figure", tmp_path / "a.svg"
    )
    two = _run(ellipse_csv, *_sets(ELLIPSE), "--figure", tmp_path / "b.png")
    assert (one.exit_code, two.exit_code) == (0, 0), one.output + two.output
    assert (tmp_path / "a.svg").stat().st_size > 5000
    assert (tmp_path / "b.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("counts_1,counts_2\n", "no shots"),
        ("counts_1,counts_2\n3,x\n", ":2, column counts_2"),
        ("counts_1,counts_2\n3,nan\n", "not finite"),
        ("counts_1,counts_2\n3\n", "1 values for 2 columns"),
        ("counts_1,counts_1\n3,3\n", "twice"),
        ("counts_1,counts_3\n3,3\n", "without a gap"),
        ("counts_1,counts_2,colour\n3,3,1\n", "does not read the column colour"),
        ("counts_1,counts_2\n-3,3\n", "none negative"),
        ("counts_1,counts_2\n3.5,3\n", "whole numbers"),
    ],
)
def test_bad_files_are_refused_with_place_and_rule(tmp_path, text, words) -> None:
    """Exit code 2 and one sentence that says what and where."""
    path = tmp_path / "bad.csv"
    path.write_text(text)
    answer = _run(path, *_sets(ELLIPSE))
    assert answer.exit_code == 2
    assert words in " ".join(answer.output.split())


def test_missing_and_unknown_beliefs_are_named(ellipse_csv) -> None:
    """What is missing and what nobody knows."""
    answer = _run(ellipse_csv, "--set", "spin=10", "--set", "colour=3")
    assert answer.exit_code == 2
    shown = " ".join(answer.output.split())
    assert "missing" in shown and "gain" in shown and "unknown colour" in shown


def test_records_without_beliefs_and_missing_files_are_refused(ellipse_csv, tmp_path) -> None:
    """Counts alone fix no phase; a path that leads nowhere is said to."""
    assert "not enough" in " ".join(_run(ellipse_csv).output.split())
    assert "no such run or file" in " ".join(_run(tmp_path / "none.csv").output.split())


def test_unknown_estimators_are_answered_with_the_list(ellipse_csv) -> None:
    """The names that there are."""
    answer = _run(ellipse_csv, "--estimator", "crystal_ball")
    assert answer.exit_code == 2
    assert "pumping_snapshots" in answer.output


def test_every_estimator_describes_itself() -> None:
    """Columns and beliefs of each; each is built from text or says what is missing."""
    listed = _run("--describe", "all")
    assert listed.exit_code == 0
    for name, entry in estimators().items():
        assert name in listed.stdout
        described = _run("--describe", name)
        assert described.exit_code == 0 and "Columns:" in described.stdout
        if any(belief.needed for belief in entry.beliefs()):
            with pytest.raises(BeliefError, match="missing"):
                entry.build({})


def test_registry_builds_from_text_and_from_objects() -> None:
    """Value and std in one text; the estimator gets the beliefs it documents."""
    built = find_estimator("pumping_snapshots").build({"atoms": "100", "gain": "20±0.6"})
    assert isinstance(built, PumpingSnapshots)
    assert built.beliefs.gain is not None and built.beliefs.gain.std == 0.6
    with pytest.raises(BeliefError, match="value\\+-std"):
        find_estimator("pumping_snapshots").build({"atoms": "100", "gain": "20"})
    with pytest.raises(BeliefError, match="not a number"):
        find_estimator("pumping_snapshots").build({"atoms": "many"})
