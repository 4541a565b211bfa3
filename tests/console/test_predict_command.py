"""`cavitylab predict`: every model by name, with units and sources, strict about its input."""

import csv
import io
import json
import subprocess
import sys

import pytest

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
    assert all(name in predict().stdout for name in MODELS)
    listing = predict("two_ensembles").stdout
    assert "Rabi frequency" in listing and "Example:" in listing
