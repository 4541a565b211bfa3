"""`cavitylab predict`: every model by name, with units and sources, strict about its input."""

import csv
import io
import json
import re
import subprocess
import sys

import pytest

from cavitylab.console.predict import MODEL_LINES, describe_model
from cavitylab.models.predictions import MODELS, PredictionError, model


def predict(*args):
    """The finished process of one call."""
    return subprocess.run(
        [sys.executable, "-m", "cavitylab", "predict", *args],
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_model_answers_its_own_example(name):
    """The example of each model gives quantities with a source, in strict JSON."""
    chosen = model(name)
    document = chosen.predict(chosen.example).to_json()
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["model"] == name
    assert document["quantities"]
    for key, one in document["quantities"].items():
        assert {"value", "unit", "source"} <= set(one), key
        assert one["source"], key
        assert one["value"] is not None or one["remark"], key


@pytest.mark.parametrize("name", MODELS)
def test_every_model_refuses_what_it_does_not_know(name):
    """Missing, unknown and unreadable parameters are reported together, by name."""
    chosen = model(name)
    first = next(p for p in chosen.parameters if p.kind == "number" and not p.optional)
    broken = {**chosen.example, "nonsense": "1", first.name: "many"}
    with pytest.raises(PredictionError, match="nonsense") as caught:
        chosen.predict(broken)
    assert first.name in str(caught.value)
    if first.default is None:
        with pytest.raises(PredictionError, match=f"`{first.name}` is missing"):
            chosen.predict({k: v for k, v in chosen.example.items() if k != first.name})


def test_json_form_is_the_stable_one():
    """A script finds model, parameters and quantities with value, unit and source."""
    done = predict("two_ensembles", "S=50", "Omega=100", "Delta=10", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["parameters"]["S"] == 50.0
    assert document["quantities"]["xi2"]["source"] == "Chu Eq. 12"
    assert 0 < document["quantities"]["xi2"]["value"] < 1


def test_scan_prints_a_table_and_draws_it(tmp_path):
    """A scan is CSV on standard output and, on request, a figure."""
    picture = tmp_path / "scan.png"
    done = predict(
        "two_ensembles", "S=20", "Omega=40", "--scan", "Delta=1:40:5log", "--figure", str(picture)
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [float(r["Delta"]) for r in rows][::4] == [1.0, pytest.approx(40.0)]
    assert all(float(r["qfi"]) > 0 for r in rows)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["two_ensemble", "S=1"], "two_ensembles"),
        (["two_ensembles", "S=1", "Omga=2"], "Omega"),
        (["two_ensembles", "S"], "key=value"),
        (["two_ensembles", "S=0.3", "Omega=1", "Delta=1"], "0.3"),
        (["two_ensembles", "S=1", "Omega=1", "--scan", "Delta=1:2"], "first:last:number"),
    ],
)
def test_mistakes_are_named_with_exit_code_2(arguments, words):
    """Typos get a suggestion, refusals name the argument and its value."""
    done = predict(*arguments)
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr


def test_without_arguments_models_and_parameters_are_listed():
    """`predict` lists the models, `predict MODEL` its parameters with units."""
    models = predict().stdout
    assert all(name in models for name in MODELS)
    listing = predict("two_ensembles").stdout
    assert "Rabi frequency" in listing and "Example:" in listing
    assert listing == predict("two_ensembles", "--help").stdout


def test_help_lists_every_model_with_one_line():
    """`predict --help` has the usage and, for each model, its title and paper on one line."""
    done = predict("--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout and "--scan" in done.stdout and "--figure" in done.stdout
    listed = done.stdout.partition("Models:")[2].splitlines()
    lines = {line.split()[0]: line for line in listed if line.startswith("  ")}
    assert set(MODEL_LINES) == set(MODELS)
    for name in MODELS:
        one = model(name)
        assert MODEL_LINES[name] == f"{one.title} ({one.paper})"
        assert lines[name].endswith(MODEL_LINES[name])
    assert predict("-h").stdout == done.stdout


def test_the_example_of_the_help_is_shown_as_typed_and_runs():
    """No emoji is made of its colons (as of `:100:`), and the command in it works."""
    shown = " ".join(predict("--help").stdout.split())
    example = "two_ensembles S=50 Omega=100 --scan Delta=1:80:50log"
    assert example in shown
    done = predict(*example.split())
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 51


@pytest.mark.parametrize("name", MODELS)
def test_help_of_a_model_lists_all_that_it_takes_and_gives(name, capsys):
    """Every parameter with unit, meaning and default, every quantity with unit and source."""
    assert describe_model(name) == 0
    text = capsys.readouterr().out
    chosen = model(name)
    parameters, rest = text.split("Quantities:")
    quantities, example = rest.split("Example:")
    rows = {line.split()[0]: line for line in parameters.splitlines() if line.startswith("  ")}
    assert list(rows) == [p.name for p in chosen.parameters]
    for p in chosen.parameters:
        row = rows[p.name]
        assert row.split()[1] == (p.unit or "-") and p.meaning in row
        assert ("(optional)" in row) == p.optional
        assert ("inf allowed" in row) == p.infinite
        assert ("a list" in row) == (p.kind == "list")
        assert p.default is None or f"[default {p.default}]" in row
    rows = {line.split()[0]: line for line in quantities.splitlines() if line.startswith("  ")}
    found = chosen.predict(chosen.example).quantities
    assert list(rows) == list(found)
    for key, one in found.items():
        assert one.source in rows[key] and f" {one.unit or '-'} " in rows[key]
    words = example.split()
    assert words[:3] == ["cavitylab", "predict", name]
    assert chosen.predict(dict(word.split("=") for word in words[3:])).quantities


def test_help_of_an_unknown_model_suggests_one():
    """A typo before --help is told like any other, with exit code 2."""
    done = predict("chian", "--help")
    assert done.returncode == 2 and "did you mean `chain`" in done.stderr


def test_the_list_of_models_loads_nothing_heavy():
    """`predict --help` is as light as the other help pages."""
    code = (
        "import sys\n"
        "from cavitylab.console.cli import main\n"
        "try:\n    main(['predict', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sorted({'numpy', 'scipy', 'matplotlib', 'qutip'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip().splitlines()[-1] == "LOADED"


WRONG = {
    "two_ensembles": {"S": "0.3", "Omega": "-1", "Delta": "0", "Gamma": "0", "gamma": "-1"},
    "many_ensembles": {"S": "0.3", "Omega": "0", "deltas": "1,2", "Gamma": "0"},
    "chain": {"S": "0.3", "Omega": "-1", "chi": "0", "cells": "0", "L": "7"},
    "two_mode_squeezing": {"S": "0", "r": "200", "gamma_minus": "-1", "gamma_z": "-1"},
    "squeezed_reservoir": {"N": "0.5", "r": "-1", "eta": "2"},
    "pumped_superradiance": {"N": "0", "w": "-1", "rate": "0"},
    "multi_ensemble_superradiance": {
        "N": "0",
        "fractions": "0.5,0.6",
        "couplings": "1",
        "K": "2",
        "direction": "0,0",
        "Gamma": "-1",
    },
}


@pytest.mark.parametrize("name", MODELS)
def test_refusals_speak_the_command_lines_language(name):
    """What a model refuses is said with the names that were typed, and with those only."""
    chosen = model(name)
    known = {p.name for p in chosen.parameters}
    for key, wrong in WRONG[name].items():
        with pytest.raises(PredictionError) as caught:
            chosen.predict({**chosen.example, key: wrong})
        named = re.findall(r"`(\w+)`", str(caught.value))
        assert key in named and set(named) <= known, str(caught.value)


def test_both_names_of_a_rule_are_translated():
    """A rule about two arguments names both as they are typed."""
    with pytest.raises(PredictionError, match="`Delta` must not be 0 when `chi` is 0"):
        model("two_ensembles").predict({"S": 1, "Omega": 1, "Delta": 0})
    with pytest.raises(PredictionError, match="`deltas` must neither .* when `chi` is 0"):
        model("many_ensembles").predict({"S": 1, "Omega": 1, "chi": 0, "deltas": "0,0"})


def test_what_would_not_fit_into_memory_is_refused():
    """Spins far beyond any experiment are a usage error, not a crash."""
    with pytest.raises(PredictionError, match="`S` must be at most 1e"):
        model("two_ensembles").predict({"S": 1e12, "Omega": 1, "Delta": 1})
    with pytest.raises(PredictionError, match="S up to 1000"):
        model("many_ensembles").predict({"S": 1e5, "Omega": "inf", "chi": 1, "deltas": "1,2,-2,-1"})
    with pytest.raises(PredictionError, match="`S` must be at most 1000"):
        model("chain").predict({"S": 1e5, "Omega": "inf", "chi": 1, "Delta_e": 0, "Delta_b": 1})
