"""Dissipative preparation from the wire to the number: blind runs, wrong wires, the command."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import binom, chi2

from cavitylab import Station, run
from cavitylab.instruments.shipped import find_file
from cavitylab.protocols import DissipativePreparation
from cavitylab.protocols.engine import (
    RunResult,
    stored_estimator,
    stored_records,
)
from cavitylab.protocols.engine.shots import ApparatusRefusal
from cavitylab.protocols.planning import plan_by_name
from cavitylab.protocols.recording import Run

SHORT = {
    "atoms_per_ensemble": 2,
    "preparation_rabi_hz": 300.0,
    "detuning_hz": 300.0,
    "holds": 8,
    "last_hold": 5e-3,
    "shots_per_hold": 60,
    "passes": 2,
    "angles": 4,
    "shots_per_angle": 60,
    "length_shots": 60,
}
"""780 shots of two times two atoms."""

RATES = ("collective_decay", "rabi_frequency", "detuning_difference")
SAID = (*RATES, "gain", "background", "xi2_db", "dark_output")


SHIPPED = "dissipative_preparation"
WATCHED = "dissipative_preparation_light"
"""Station and laboratory whose cavity's output is counted."""


def laboratory(folder: Path, *changes: tuple[str, str], shipped: str = SHIPPED) -> Path:
    """The shipped laboratory with two atoms in each ensemble and some of its text replaced."""
    text = find_file(shipped, ".lab.yaml").read_text(encoding="utf-8")
    for old, new in (("atoms_per_ensemble: 6", "atoms_per_ensemble: 2"), *changes):
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "small.lab.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def rehearse(folder: Path, seed: int, *changes: tuple[str, str], **settings: object) -> RunResult:
    """A run on the shipped station and a small laboratory drawn from `seed`."""
    folder.mkdir(exist_ok=True)
    shipped = WATCHED if settings.get("cavity_output") else SHIPPED
    lab = laboratory(folder, *changes, shipped=shipped)
    with Station.open(shipped, rehearse=lab, seed=seed) as station:
        protocol = DissipativePreparation(**{**SHORT, **settings})
        return run(protocol, station, data=folder, seed=seed)


def pulls(result: RunResult) -> list[float]:
    """Each quantity's distance from the truth in its standard deviations."""
    assert result.estimate is not None and result.truth is not None
    return [
        (result.estimate[name].value - result.truth[name]) / result.estimate[name].std
        for name in SAID
    ]


def test_hidden_rates_and_squeezing_are_found(tmp_path: Path) -> None:
    """A laboratory: squared pulls follow chi-square (false alarm 1e-4 in all).

    Every rate, gain and background are off by a few per cent; drifts are on. More laboratories
    are among the slow tests.
    """
    results = [rehearse(tmp_path, 40)]
    found = np.array([pulls(result) for result in results])
    assert not any(result.estimate.flags for result in results if result.estimate)
    limit = chi2.isf(1e-4 / len(SAID), len(found))
    assert (np.sum(found**2, axis=0) < limit).all(), found


EXCHANGE = ("    signal: ", "    full_exchange: {nominal: 60.0, unit: Hz}\n    signal: ")


@pytest.mark.slow
def test_an_exchange_is_found_and_the_spins_are_read_along_their_axis(tmp_path: Path) -> None:
    """chi/2pi of 30 Hz, believed to be 20 +- 30: squared pulls follow chi-square (1e-4).

    The dark state's spins are turned by the exchange, and the pulses turn about where they are
    believed to be: squeezing and its truth agree there.
    """
    result = rehearse(tmp_path, 43, EXCHANGE, exchange_hz=20.0, exchange_std_hz=30.0)
    assert result.estimate is not None and result.truth is not None
    found = np.array([*pulls(result), result.estimate["exchange"].value - result.truth["exchange"]])
    found[-1] /= result.estimate["exchange"].std
    assert 20.0 < result.truth["exchange"] < 40.0 and result.estimate["exchange"].std < 25.0
    assert np.sum(found**2) < chi2.isf(1e-4, found.size), found
    assert not result.estimate.flags


@pytest.mark.slow
def test_intervals_cover_and_are_as_narrow_as_the_bound_allows(tmp_path: Path) -> None:
    """Over 8 laboratories: truth in the interval (false alarm 1e-4), width within 1.2 bounds."""
    results = [rehearse(tmp_path, seed, angles=0, passes=1) for seed in range(100, 108)]
    for name in RATES:
        inside = 0
        for result in results:
            assert result.estimate is not None and result.truth is not None
            low, high = result.estimate[name].interval
            inside += low <= result.truth[name] <= high
        assert inside >= binom.ppf(1e-4 / len(RATES), len(results), 0.945), name
    widths = []
    for result in results:
        assert result.estimate is not None and result.bounds is not None
        low, high = result.estimate["collective_decay"].interval
        widths.append((high - low) / (2 * 1.96 * result.bounds.cramer_rao_std))
    assert 0.8 < np.mean(widths) < 1.2


def test_a_stored_run_is_fitted_again_from_its_points(tmp_path: Path) -> None:
    """The table of points has hold, angle and phase of each; the refit is the same to the bit."""
    result = rehearse(tmp_path, 7, adaptive=True)
    protocol = DissipativePreparation(**SHORT)
    stored = Run.open(result.path)
    points = stored.load("point")
    assert np.allclose(points["hold"][:8], protocol.settings.hold_grid)
    assert np.allclose(points["angle"][8:12], protocol.settings.turns)
    assert points["pulse_phase"][12] == points["angle"][12] == pytest.approx(np.pi / 2)
    again = stored_estimator(stored)
    again.update(stored_records(stored))
    assert result.estimate is not None
    first, second = (e.to_json()["estimates"] for e in (result.estimate, again.estimate()))
    assert first == second


@pytest.mark.slow
def test_adaptive_passes_go_where_the_decay_rate_shows(tmp_path: Path) -> None:
    """As many shots, unevenly spread, and a narrower bound than the even spread has."""
    even, chosen = (rehearse(tmp_path, 9, adaptive=one, angles=0, passes=4) for one in (0, 1))
    assert even.shots == chosen.shots == 480
    assert even.estimate is not None and chosen.estimate is not None
    shots = chosen.estimate.diagnostics["hold_shots"]
    assert min(shots) == 15 and max(shots) > 120
    assert even.bounds is not None and chosen.bounds is not None
    assert chosen.bounds.cramer_rao_std < 0.95 * even.bounds.cramer_rao_std


@pytest.mark.slow
def test_the_light_of_the_cavity_is_counted_and_fitted(tmp_path: Path) -> None:
    """Rates, efficiency and what light remains (false alarm 1e-4); a refit gives the same.

    The populations are counted in the same shots; the light narrows the decay rate, and bounds
    what still leaves the cavity at the end of a long hold.
    """
    result = rehearse(tmp_path, 41, cavity_output=True)
    assert result.estimate is not None and result.truth is not None and result.bounds is not None
    names = (*SAID, "efficiency", "output_background", "remaining_light")
    found = [
        (result.estimate[name].value - result.truth[name]) / result.estimate[name].std
        for name in names
    ]
    assert np.sum(np.square(found)) < chi2.isf(1e-4, len(found)), found
    assert not result.estimate.flags
    low, high = result.estimate["remaining_light"].interval
    assert low == 0.0 and result.truth["remaining_light"] < high < 1.0
    dark = DissipativePreparation(**SHORT)
    stored = Run.open(result.path)
    with Station.open(SHIPPED, rehearse=laboratory(tmp_path), seed=1) as station:
        alone = dark.bounds(station.calibrations, result.estimate, result.shots)
    assert result.bounds.cramer_rao_std < 0.9 * alone.cramer_rao_std
    again = stored_estimator(stored)
    again.update(stored_records(stored))
    assert again.estimate().to_json()["estimates"] == result.estimate.to_json()["estimates"]


@pytest.mark.slow
def test_light_that_remains_and_light_of_another_hold_are_seen(tmp_path: Path) -> None:
    """A hold cut short: light above zero, said in words; the gate on the wrong cable: p-value."""
    short = {"tomography_hold": 1.2e-3, "output_window": 1e-3, "passes": 1}
    result = rehearse(tmp_path, 3, cavity_output=True, **short)
    assert result.estimate is not None and result.truth is not None
    left = result.estimate["remaining_light"]
    assert left.interval[0] > 0.0 and abs(left.value - result.truth["remaining_light"]) < (
        4.5 * left.std
    )
    assert any("light is still leaving" in flag for flag in result.estimate.flags)
    wrong = ("efficiency: {nominal: 0.3, spread: 0.05}", "efficiency: {nominal: 0.08}")
    result = rehearse(tmp_path, 3, wrong, cavity_output=True, passes=1, angles=0)
    assert result.estimate is not None
    assert any("where to look" in flag for flag in result.estimate.flags), result.estimate


def test_a_station_without_a_gate_for_the_light_is_told_from_one_with_it() -> None:
    """The plan says which gates are missing; a late window longer than its hold is refused."""
    plan = plan_by_name("dissipative_preparation", {"cavity_output": True})
    assert not plan.ok and any("cavity_output" in problem for problem in plan.problems)
    settings = {"cavity_output": True, "angles": 0}
    watched = plan_by_name("dissipative_preparation", settings, station=WATCHED)
    assert watched.ok and watched.prediction is not None
    with pytest.raises(ValidationError, match="output_window"):
        DissipativePreparation(cavity_output=True, output_window=1.0)


@pytest.mark.slow
def test_a_preparation_that_is_too_short_is_not_dark(tmp_path: Path) -> None:
    """In the burst light leaves the cavity: measured without a photodiode, and said in words.

    Before the shots of the spin length the squeezing is open, and its interval the whole range.
    """
    result = rehearse(tmp_path, 3, tomography_hold=1e-3, passes=1)
    assert result.estimate is not None and result.truth is not None
    dark = result.estimate["dark_output"]
    assert dark.interval[0] > 0.3 and abs(dark.value - result.truth["dark_output"]) < 4.5 * dark.std
    assert any("not dark" in flag for flag in result.estimate.flags)
    records = stored_records(Run.open(result.path))
    early = stored_estimator(Run.open(result.path))
    early.update({name: column[:600] for name, column in records.items()})
    assert early.estimate()["xi2"].interval == (0.0, 1e6)


def test_a_gate_during_the_preparation_is_refused(tmp_path: Path) -> None:
    """The wire of AB in the gate input: it would count while light acts; the fault says so."""
    change = ("timing_box.EF|GH, to: counter.gate", "timing_box.AB|EF, to: counter.gate")
    with pytest.raises(ApparatusRefusal, match=r"counter\.gate"):
        rehearse(tmp_path, 3, change)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"atoms_per_ensemble": 40, "angles": 4}, "more than 12 atoms"),
        ({"angles": 5}, "even"),
        ({"last_hold": 1e-4}, "longer than first_hold"),
        ({"pulse_rabi_hz": 2e3}, "too weak"),
        ({"passes": 1000}, "shots_per_hold"),
        ({"adaptive_for": "exchange"}, "exchange_std_hz"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, float], said: str) -> None:
    """Too many atoms, odd angles, holds that fall, a pulse that the detuning tilts."""
    with pytest.raises(ValidationError, match=said):
        DissipativePreparation(**settings)


def test_more_atoms_in_the_laboratory_than_can_be_followed_are_refused(tmp_path: Path) -> None:
    """The apparatus says what it can do and what to take instead."""
    change = ("atoms_per_ensemble: 2", "atoms_per_ensemble: 40")
    with pytest.raises(ApparatusRefusal, match="at most 12"):
        rehearse(tmp_path, 3, change)


def test_the_plan_names_precision_and_the_best_drive() -> None:
    """Nothing is touched; the remark for a cooperativity names drive, detuning and hold."""
    plan = plan_by_name("dissipative_preparation", {"cooperativity": 2.0, "atoms_per_ensemble": 2})
    assert plan.ok and plan.prediction is not None
    assert 0.01 < plan.prediction.std / plan.prediction.supposed < 0.1
    assert plan.prediction.gain_db > 0.3
    assert "for C = 2" in plan.remarks[-1] and "preparation_rabi_hz" in plan.remarks[-1]
    assert plan_by_name("dissipative_preparation", {"angles": 0}).remarks


@pytest.mark.slow
def test_the_command_works_out_of_the_box(tmp_path: Path) -> None:
    """One JSON object, a figure beside the data, and an answer within 5 sigma of the truth."""
    words = ["--set", "holds=6", "--set", "passes=1", "--set", "shots_per_hold=60", "--json"]
    arguments = ["run", "dissipative_preparation", "--data", str(tmp_path), "--seed", "5", *words]
    done = subprocess.run(
        [sys.executable, "-m", "cavitylab", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    document = json.loads(done.stdout)
    for name in (*RATES, "xi2"):
        quantity = document["estimates"][name]
        assert abs(quantity["value"] - document["truth"][name]) < 5 * quantity["std"]
    figure = Path(document["run"]) / "figure.png"
    assert figure.read_bytes().startswith(b"\x89PNG") and figure.stat().st_size > 20_000


@pytest.mark.slow
def test_the_pages_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The python block of docs/protocols/dissipative_preparation.md runs as it stands."""
    page = Path(__file__).parents[2] / "docs" / "protocols" / "dissipative_preparation.md"
    (block,) = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.M)
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(page), "exec"), {"__name__": "page"})  # our own page
    assert "Hz" in capsys.readouterr().out


@pytest.mark.slow
def test_squeezing_follows_detuning_and_cooperativity_as_the_paper_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two of each through the whole chain: the benchmark's short form (false alarm 2e-4)."""
    path = Path(__file__).parents[2] / "benchmarks" / "papers_preparation.py"
    found = runpy.run_path(str(path))["main"](["--quick"])
    assert found == 0, capsys.readouterr().out


MANY = "dissipative_preparation_many"
CLOUDS = {
    "atoms_per_ensemble": 2000,
    "holds": 4,
    "last_hold": 4e-4,
    "shots_per_hold": 40,
    "passes": 2,
}


def test_many_atoms_from_the_wire_to_the_number(tmp_path: Path) -> None:
    """Two thousand atoms: only their number is set; pulls within 4.7 (false alarm 1e-5), a stored
    run is fitted again to the same numbers, and adaptive passes have holds to choose."""
    with Station.open(MANY, rehearse=MANY, seed=5) as station:
        result = run(
            DissipativePreparation(**CLOUDS, adaptive=True), station, data=tmp_path, seed=5
        )
    assert result.estimate is not None and result.truth is not None and result.bounds is not None
    names = (*RATES, "gain", "background")
    for name in names:
        found = result.estimate[name]
        assert abs(found.value - result.truth[name]) < 4.7 * found.std, name
    assert not result.estimate.flags
    assert result.estimate["collective_decay"].std < 1.2 * result.bounds.cramer_rao_std
    again = stored_estimator(Run.open(result.path))
    again.update(stored_records(Run.open(result.path)))
    value = again.estimate()["collective_decay"].value
    assert value == pytest.approx(result.estimate["collective_decay"].value, rel=1e-9)


def test_the_plan_of_many_atoms() -> None:
    """The station reaches every set-point; what is not described for many is refused."""
    plan = plan_by_name("dissipative_preparation", CLOUDS, station=MANY)
    assert plan.ok and plan.prediction is not None
    assert 0.002 < plan.prediction.std / plan.prediction.supposed < 0.05
    for more in ({"angles": 4}, {"cavity_output": True}):
        with pytest.raises(ValidationError, match="must be"):
            DissipativePreparation(**CLOUDS, **more)
    chosen = DissipativePreparation(atoms_per_ensemble=1000, preparation_rabi_hz=500.0).settings
    assert chosen.collective_decay_hz == 0.5 and chosen.detuning_hz == 250.0
