"""Plans: limits, time and precision of a protocol on paper, and what rehearsals say of them."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import pyvisa
from qcodes.instrument import Instrument
from scipy.stats import norm

from cavitylab.console.cli import main
from cavitylab.instruments.shipped import find_file
from cavitylab.instruments.station import Station
from cavitylab.instruments.station_file import load_station_file
from cavitylab.protocols import PROTOCOLS, PumpingHold, PumpingScan, RamseyEllipse
from cavitylab.protocols.engine import run
from cavitylab.protocols.planning import make_plan, plan_by_name, supposed

TWO_ENSEMBLES = load_station_file(find_file("two_ensemble", ".yaml"))
PUMPED = load_station_file(find_file("pumped_cavity", ".yaml"))


@pytest.fixture
def no_link(monkeypatch):
    """Whoever opens a VISA library or writes a run fails."""

    def refuse(*_, **__):
        raise AssertionError("a plan opened a VISA library")

    monkeypatch.setattr(pyvisa, "ResourceManager", refuse)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_shipped_protocol_can_be_run_on_its_station(name, no_link, tmp_path, monkeypatch):
    """Its default settings lie within all limits; nothing is opened, named or written."""
    monkeypatch.chdir(tmp_path)
    plan = plan_by_name(name)
    assert plan.ok, plan.problems
    assert plan.shots > 0
    assert plan.duration > 0
    assert plan.reaches
    assert all(one.ok for one in plan.reaches)
    assert not list(tmp_path.iterdir())
    roles = load_station_file(plan.station).roles
    assert not any(Instrument.exist(entry.name) for entry in roles)
    json.dumps(plan.to_json(), allow_nan=False)


def test_the_prediction_stands_beside_its_bounds(no_link):
    """The gain over the standard quantum limit that the working point of the demo promises."""
    plan = make_plan(RamseyEllipse(), TWO_ENSEMBLES)
    known = plan.prediction
    assert known is not None
    assert (known.quantity, known.unit) == ("phase", "rad")
    assert known.std >= known.cramer_rao_std
    assert known.standard_quantum_limit_std == pytest.approx(1 / math.sqrt(200 * 2000))
    assert 6.0 < known.gain_db < 7.0
    assert "0.71 atoms" in plan.remarks[0]


def test_what_the_station_cannot_do_is_named_all_at_once(no_link):
    """Two set-points beyond their limits: both are told, with limits and where they are from."""
    plan = make_plan(RamseyEllipse(detuning_hz=4e3, pulse_rabi_hz=58e3), TWO_ENSEMBLES)
    assert not plan.ok
    told = "\n".join(plan.problems)
    assert "gradient.detuning_difference would be set to 4000 Hz" in told
    assert "drive.amplitude would be set to 58000 Hz, outside [745.075, 56782.5] Hz" in told
    outside = {(one.role, one.parameter) for one in plan.reaches if not one.ok}
    assert outside == {("gradient", "detuning_difference"), ("drive", "amplitude")}


def test_a_station_without_the_protocols_roles_is_told(no_link):
    """A pumping scan on the two-ensemble station: the missing role and those that there are."""
    with pytest.raises(Exception, match="role pump"):
        PumpingScan().beliefs(TWO_ENSEMBLES.calibrations)
    plan = make_plan(PumpingScan(points=3), TWO_ENSEMBLES)
    assert any("no role 'pump'" in problem for problem in plan.problems)
    assert plan.prediction is None


def test_the_best_of_the_tried_operating_points_is_no_worse(no_link):
    """Only a narrower scan of the pump does better; the settings it names give what it promises."""
    plan = make_plan(PumpingScan(), PUMPED, best=True)
    assert plan.best is not None
    assert plan.prediction is not None
    assert plan.best.std < plan.prediction.std
    assert plan.best.settings["span"] < PumpingScan().settings.span
    there = make_plan(PumpingScan(**plan.best.settings), PUMPED).prediction
    assert there is not None
    assert there.std == pytest.approx(plan.best.std)


def test_a_plan_can_be_made_while_the_station_is_open():
    """Paper roles take no name from the open station, and it works on afterwards."""
    with Station.open("pumped_cavity", rehearse="pumped_cavity", seed=1) as station:
        before = station.roles["pump"]
        assert make_plan(PumpingScan(), PUMPED).ok
        assert station.roles["pump"] is before
        assert Instrument.find_instrument("pump") is before


@pytest.mark.parametrize("seed", [3])
def test_the_planned_duration_is_that_of_the_rehearsals_clock(seed, tmp_path):
    """Within 3 %: amplifiers that warm up, questions and rests included."""
    protocol = PumpingScan(points=5, shots_per_point=6, passes=2)
    with Station.open("pumped_cavity", rehearse="pumped_cavity", seed=seed) as station:
        begun = station.clock.now()
        result = run(protocol, station, data=tmp_path, seed=seed)
        spent = station.clock.now() - begun
    plan = make_plan(protocol, PUMPED, seed=seed)
    assert (plan.shots, plan.blocks, plan.sequences) == (result.shots, 10, 5)
    assert plan.duration == pytest.approx(spent, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "file", "laboratories"),
    [(PumpingScan(), PUMPED, 5)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_predicted_precision_is_what_rehearsals_give(protocol, file, laboratories):
    """Mean printed standard deviation within 15 %, and the scatter not above it by chance.

    The printed ones differ by a few per cent between laboratories; the sum of squares of five
    pulls exceeds 27 with a probability of 6e-5.
    """
    plan = make_plan(protocol, file)
    assert plan.prediction is not None
    stds, pulls, times = [], [], []
    for seed in range(50, 50 + laboratories):
        with (
            tempfile.TemporaryDirectory() as folder,
            Station.open(file.path, rehearse=file.path.stem, seed=seed) as station,
        ):
            begun = station.clock.now()
            result = run(protocol, station, data=folder, seed=seed)
            times.append(station.clock.now() - begun)
        assert result.estimate is not None
        assert result.truth is not None
        quantity = result.estimate[plan.prediction.quantity]
        stds.append(quantity.std)
        pulls.append((quantity.value - result.truth[plan.prediction.quantity]) / quantity.std)
    assert np.mean(stds) == pytest.approx(plan.prediction.std, rel=0.15)
    assert np.sum(np.square(pulls)) < 12 + 3 * laboratories
    assert times[0] == pytest.approx(plan.duration, rel=0.03)


def test_a_value_that_is_not_known_is_averaged_over(no_link):
    """Of a held pump: the root mean square over where the transition may be, by its weights."""
    file = load_station_file(find_file("pumped_cavity_fluorescence", ".yaml"))
    protocol = PumpingHold(rounds=5, atoms=30)
    plan = make_plan(protocol, file)
    assert plan.prediction is not None
    cases, shots = protocol.possible(file.calibrations), protocol.planned_shots
    assert sum(weight for weight, _ in cases) == pytest.approx(1.0)
    variances = [
        protocol.bounds(file.calibrations, supposed(values, shots), shots).cramer_rao_std ** 2
        for _, values in cases
    ]
    expected = math.sqrt(sum(w * v for (w, _), v in zip(cases, variances, strict=True)))
    assert plan.prediction.std == pytest.approx(expected)
    assert min(variances) < plan.prediction.std**2 < max(variances)
    assert plan.prediction.supposed == 5.0


def test_bounds_are_asked_at_supposed_values():
    """A supposed estimate has values, and no width."""
    made = supposed({"phase": 0.2}, 100)
    assert made["phase"].interval == (0.2, 0.2)
    assert made.shots == 100


def outcome(blind, error: float) -> object:
    """A laboratory whose estimate is off by so many bounds."""
    inside = abs(error) < 1.96
    return blind.Outcome(1, 5.0, 5.0 + 0.01 * error, 0.01, inside, 0.0392, 0.01, 0.5, 1.0)


def test_the_blind_test_tells_honest_intervals_from_others():
    """Normal errors of one bound pass; errors of two bounds are missed, in coverage first."""
    path = Path(__file__).parents[2] / "benchmarks" / "protocols.py"
    spec = importlib.util.spec_from_file_location("blind_protocols", path)
    assert spec is not None and spec.loader is not None
    blind = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = blind
    spec.loader.exec_module(blind)
    errors = norm.ppf((np.arange(100) + 0.5) / 100)
    assert blind.judge("honest", [outcome(blind, e) for e in errors], 0.01).kept
    verdict = blind.judge("bold", [outcome(blind, 2 * e) for e in errors], 0.01)
    assert not verdict.kept
    assert not verdict.lines[0][-1]
    assert "MISSED" in str(verdict)


def call(*arguments: str) -> int:
    """Exit code of the command, in this process."""
    with pytest.raises(SystemExit) as left:
        main(["plan", *arguments])
    return int(left.value.code or 0)


def test_the_command_prints_limits_time_and_precision(capsys, no_link):
    """A reader finds every line; nothing is opened."""
    assert call("pumping_scan", "--no-best", "--set", "points=9") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "pump.amplitude: 3.75 to 6.25 Hz (allowed 0.0308267 to 13.9129): ok" in text
    assert "900 in 90 blocks of 9 sequences" in text
    for part in ("duration", "predicted precision", "Cramér-Rao bound", "standard quantum limit"):
        assert part in text


def test_the_command_gives_scripts_json_and_an_exit_code(capsys, no_link):
    """0 when it can be run, 1 with the reason when the station cannot do it, 2 for wrong use."""
    assert call("ramsey_ellipse", "--no-best", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["ok"] is True
    assert made["prediction"]["std"] < made["prediction"]["standard_quantum_limit_std"]
    assert call("ramsey_ellipse", "--no-best", "--json", "--set", "detuning_hz=4000") == 1
    made = json.loads(capsys.readouterr().out)
    assert made["ok"] is False
    assert "gradient" in made["problems"][0]
    assert call("ramsey_ellipse", "--set", "colour=red") == 2
    assert "colour" in capsys.readouterr().err
    assert call("nonsense") == 2
    assert call("pumping_scan", "--station", str(Path(sys.prefix) / "none.yaml")) == 2
