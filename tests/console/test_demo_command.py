"""The commands as an operator uses them: real processes, real signals, real files."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr
from typer.testing import CliRunner

from cavitylab.console.cli import app

COMMAND = [sys.executable, "-m", "cavitylab"]


def cavitylab(*args):
    """Run the command in a process of its own, which must end well."""
    done = subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr + done.stdout
    return done


def called(*args, code=0):
    """The command within this process, where only what it says and its exit code matter."""
    done = CliRunner().invoke(app, [str(word) for word in args])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """One short demo with a figure: its JSON document and its trace."""
    folder = tmp_path_factory.mktemp("demo")
    trace = folder / "wire.txt"
    done = cavitylab(
        "demo", "--seed", 3, "--shots", 400, "--data", folder / "data", "--trace", trace, "--json"
    )
    return json.loads(done.stdout), trace.read_text(encoding="utf-8")


def test_demo_prints_the_stable_json_form(demo):
    """A script finds the run, the estimates, the revealed truth, the bounds and the gain."""
    document, _ = demo
    assert {"run", "shots", "estimates", "truth", "bounds", "gain_db"} <= set(document)
    assert document["shots"] == 408  # with the eight of the coil's check
    phase = document["estimates"]["phase"]
    assert set(phase) == {"value", "std", "interval", "level", "unit"}
    assert set(document["bounds"]) == {"cramer_rao_std", "standard_quantum_limit_std"}
    assert phase["level"] == 0.95 and phase["unit"] == "rad"


def test_demo_finds_the_hidden_phase(demo):
    """The estimate lies within 5 standard deviations of the truth (false alarm 6e-7)."""
    document, _ = demo
    phase = document["estimates"]["phase"]
    assert abs(phase["value"] - document["truth"]["phase"]) < 5 * phase["std"]


def test_demo_draws_its_figure(demo):
    """The figure lies beside the data, and is a real picture."""
    document, _ = demo
    figure = Path(document["run"]) / "figure.png"
    assert figure.read_bytes().startswith(b"\x89PNG") and figure.stat().st_size > 20_000


def test_trace_shows_the_real_command_strings(demo):
    """The wire carries what the instruments' manuals say, and ends in the safe state."""
    _, wire = demo
    for text in (
        "TABLE,APPEND,1,",
        "TABLE,REARM,1,",
        "DLAY ",
        "BURC ",
        "*TRG",
        "TOT:GATE:SOUR EXT",
        "SAMP:COUN ",
        "CURR ",
        "(param-ref 'laser1:emission)",
        "OFF,1",
        "OUTP OFF",
    ):
        assert text in wire, text
    assert wire.rindex("OFF,1") > wire.rindex("*TRG")
    assert wire.rindex("OUTP OFF") > wire.rindex("*TRG")


def test_runs_list_show_and_verify_know_the_demo(demo):
    """The data folder can be listed, shown and verified."""
    document, _ = demo
    run = Path(document["run"])
    listed = json.loads(called("runs", "list", "--data", run.parents[1], "--json").stdout)
    assert [Path(row["run"]).name for row in listed] == [run.name]
    assert listed[0]["shots"] == 408
    shown = json.loads(called("runs", "show", run, "--json").stdout)
    assert shown["protocol"] == "ramsey_ellipse"
    verified = json.loads(called("runs", "verify", run, "--json").stdout)
    assert verified["ok"] and verified["shots"] == 408


def test_estimate_refits_the_stored_run_to_the_same_answer(demo):
    """Refitting what was stored gives the number that the run printed."""
    document, _ = demo
    again = json.loads(cavitylab("estimate", document["run"], "--json").stdout)
    old, new = document["estimates"]["phase"], again["estimates"]["phase"]
    assert new["value"] == pytest.approx(old["value"], abs=2e-2 * old["std"])
    assert new["std"] == pytest.approx(old["std"], rel=2e-2)
    assert 0 <= again["goodness_of_fit"]["p_value"] <= 1


def test_estimate_reads_counts_from_anywhere(demo, tmp_path):
    """A CSV of counts and a file of beliefs is all that a lab without the rest needs."""
    document, _ = demo
    counts = xr.open_zarr(Path(document["run"]) / "data.zarr")["counts"].values
    counts = counts[8:]  # those before are the coil's check
    table = tmp_path / "counts.csv"
    rows = "\n".join(f"{a},{b}" for a, b in counts)
    table.write_text(f"counts_1,counts_2\n{rows}\n", encoding="utf-8")
    beliefs = tmp_path / "beliefs.yaml"
    beliefs.write_text(
        "spin: 50\ndetuning_ratio: 0.1\npulse_area: 1.5708\ngain: 100\nbackground: 50\n"
        "detuning_ratio_std: 0.03\npulse_area_std: 0.02\ngain_std: 0.03\nbackground_std: 2.5\n",
        encoding="utf-8",
    )
    found = json.loads(called("estimate", table, "--beliefs", beliefs, "--json").stdout)
    phase = found["estimates"]["phase"]
    assert abs(phase["value"] - document["truth"]["phase"]) < 5 * phase["std"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "counts_1"),
        ("a,b\n1,2\n", "counts_1"),
        ("counts_1,counts_2\n", "no shots"),
        ("counts_1,counts_2\n10,nan\n", "line"),
        ("counts_1,counts_2\n10,-3\n", "line"),
    ],
)
def test_estimate_refuses_a_broken_table(tmp_path, content, message):
    """A table without columns, shots or counts is refused with the place; exit code 2."""
    table = tmp_path / "counts.csv"
    table.write_text(content, encoding="utf-8")
    beliefs = tmp_path / "beliefs.yaml"
    beliefs.write_text(
        "spin: 50\ndetuning_ratio: 0.1\npulse_area: 1.5708\ngain: 100\nbackground: 50\n"
        "detuning_ratio_std: 0.03\npulse_area_std: 0.02\ngain_std: 0.03\nbackground_std: 2.5\n",
        encoding="utf-8",
    )
    done = called("estimate", table, "--beliefs", beliefs, code=2)
    assert message in done.stderr or f"{table}:" in done.stderr


def test_wrong_setting_is_refused_before_anything_opens(tmp_path):
    """An unknown or absurd setting names itself and the rule; exit code 2, no run on disk."""
    done = called("run", "ramsey_ellipse", "--set", "shotz=5", "--data", tmp_path / "d", code=2)
    assert "shotz" in done.stderr
    done = called("run", "ramsey", "--data", tmp_path / "d", code=2)
    assert "ramsey_ellipse" in done.stderr
    assert not (tmp_path / "d").exists()


def test_station_check_identifies_every_instrument():
    """The shipped station, connected to its laboratory, tells who answers and that all is well."""
    document = json.loads(
        called(
            "station", "check", "two_ensemble", "--rehearse", "two_ensemble.lab.yaml", "--json"
        ).stdout
    )
    assert document["ok"]
    assert set(document["instruments"]) == {
        "rf",
        "timing_box",
        "counter",
        "coil_supply",
        "laser_head",
    }


def _start_long_demo(folder):
    process = subprocess.Popen(
        [*COMMAND, "demo", "--seed", "5", "--shots", "200000", "--data", str(folder / "data")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    run, acknowledged = None, 0
    for line in process.stdout:
        if line.startswith("run "):
            run = Path(line.removeprefix("run ").strip())
        if line.startswith("acknowledged "):
            acknowledged = int(line.split()[1])
            if acknowledged >= 600:
                break
    assert run is not None, process.stderr.read()
    return process, run, acknowledged


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_kill_9_loses_no_acknowledged_shot(tmp_path):
    """After kill -9 the store opens in xarray, and verify brings back every acknowledged shot."""
    process, run, acknowledged = _start_long_demo(tmp_path)
    process.kill()
    rest, _ = process.communicate()
    told = [int(x.split()[1]) for x in rest.splitlines() if x.startswith("acknowledged ")]
    acknowledged = max([acknowledged, *told])
    before = xr.open_zarr(run / "data.zarr")
    assert before.sizes["shot"] >= 0
    verified = json.loads(cavitylab("runs", "verify", run, "--json").stdout)
    assert verified["ok"] and verified["shots"] >= acknowledged
    after = xr.open_zarr(run / "data.zarr")
    assert after.sizes["shot"] == verified["shots"]
    assert (after["counts"].values[:acknowledged] >= 0).all()


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_without_a_terminal_stops_safely(tmp_path):
    """Ctrl-C in a pipe ends after the block with exit code 3, a closed run and its estimate."""
    process, run, acknowledged = _start_long_demo(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=250)
    assert process.returncode == 3, err
    verified = json.loads(cavitylab("runs", "verify", run, "--json").stdout)
    assert verified["ok"] and verified["shots"] >= acknowledged
    assert "phase φ" in out
