"""`cavitylab predict --figure` without a scan: the paper's figure with the user's point on it."""

import math
import subprocess
import sys
import time

import numpy as np
import pytest
from matplotlib.figure import Figure

from cavitylab.console import paper_figures
from cavitylab.console.paper_figures_curves import sampled
from cavitylab.models.predictions import MODELS, model


class Kept(Figure):
    """A figure that remembers the last one made."""

    last: "Kept"

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        Kept.last = self


def drawn(name, path, monkeypatch, **given):
    """The figure of a model at the given parameters (its example where none are)."""
    monkeypatch.setattr(paper_figures, "Figure", Kept)
    chosen = model(name)
    prediction = chosen.predict(given or chosen.example)
    paper_figures.draw_paper_figure(path, chosen, prediction)
    return Kept.last, prediction


def stars(axes):
    """Where the user's point is marked."""
    marks = [line for line in axes.get_lines() if line.get_marker() == "*"]
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in marks]


PLACES = {
    "two_ensembles": (1, 50.0, "qfi"),
    "many_ensembles": (0, 30.0, None),
    "chain": (1, 20.0, "string_length"),
    "two_mode_squeezing": (0, 1.0, "xi2"),
    "squeezed_reservoir": (0, 1.14, None),
    "pumped_superradiance": (0, 1.0, "mean_jz"),
    "multi_ensemble_superradiance": (1, 0.3, "mssc"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_users_point_lies_on_the_papers_curve(name, tmp_path, monkeypatch):
    """The star stands at the given parameter, at the predicted value, and on a drawn curve."""
    path = tmp_path / "figure.png"
    started = time.process_time()
    figure, prediction = drawn(name, path, monkeypatch)
    assert time.process_time() - started < 5.0
    assert path.read_bytes().startswith(b"\x89PNG")
    panel, x, quantity = PLACES[name]
    axes = figure.axes[panel]
    at, height = stars(axes)[0]
    assert at == pytest.approx(x)
    if quantity:
        assert height == pytest.approx(prediction.quantities[quantity].value, rel=1e-9, abs=1e-9)
    curves = [line for line in axes.get_lines() if len(line.get_xdata()) > 4]
    near = [
        float(np.interp(at, line.get_xdata(), line.get_ydata()))
        for line in curves
        if np.all(np.diff(line.get_xdata()) > 0.0)
    ]
    assert any(value == pytest.approx(height, rel=1e-6, abs=1e-6) for value in near)
    assert model(name).title in figure.get_suptitle()
    assert prediction.model == name


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("two_ensembles", {"S": 20, "Omega": 10, "Delta": 0, "chi": 1}),
        ("two_ensembles", {"S": 0.5, "Omega": 1, "Delta": -3}),
        ("many_ensembles", {"S": 30, "Omega": "inf", "chi": 1, "deltas": "3,4,-4,-3"}),
        ("many_ensembles", {"S": 1, "Omega": 3, "chi": 0, "deltas": "1,-1"}),
        ("many_ensembles", {"S": 0.5, "Omega": "inf", "chi": -1, "deltas": "1,-1,2,-2"}),
        ("chain", {"S": 30, "Omega": "inf", "chi": -1, "Delta_e": 0, "Delta_b": -1.4}),
        ("chain", {"S": 1, "Omega": "inf", "chi": 1, "Delta_e": 2, "Delta_b": 0}),
        ("two_mode_squeezing", {"S": 0.5, "r": 0, "gamma_z": 0.1}),
        ("squeezed_reservoir", {"N": 1, "r": 0}),
        ("squeezed_reservoir", {"N": 20, "r": 0.8, "eta": 0.8, "shift": 1}),
        ("pumped_superradiance", {"N": 10**9, "w": 1}),
        ("pumped_superradiance", {"N": 1, "w": 0}),
        ("pumped_superradiance", {"N": 1000, "w": 5, "rate": 100}),
        ("multi_ensemble_superradiance", {"N": 9, "fractions": 1, "couplings": 1, "K": 1}),
    ],
)
def test_extreme_parameters_are_drawn_too(name, given, tmp_path, monkeypatch):
    """Infinite drives, single atoms, the largest ensembles: a picture each, without warnings."""
    path = tmp_path / "figure.svg"
    figure, _ = drawn(name, path, monkeypatch, **given)
    assert path.stat().st_size > 5000
    for axes in figure.axes:
        for line in axes.get_lines():
            heights = np.asarray(line.get_ydata(), dtype=float)
            assert np.any(np.isfinite(heights)), line.get_label()


def test_a_slow_curve_is_cut_to_the_time_that_there_is():
    """However slow a point, the ends and the middle are there; refused points are left out."""

    def slow(x):
        time.sleep(0.02)
        return [x * x]

    x, rows = sampled(slow, np.linspace(0.0, 1.0, 401), budget=0.0)
    assert x.size == 5 and {0.0, 0.5, 1.0} <= set(x)
    assert rows[:, 0] == pytest.approx(x**2)
    x, _ = sampled(slow, np.linspace(0.0, 1.0, 401), 0.123, budget=0.0)
    assert 0.123 in x
    x, rows = sampled(lambda x: [math.sqrt(x)], [-1.0, 4.0, 9.0, 9.0])
    assert x.tolist() == [4.0, 9.0] and rows[:, 0].tolist() == [2.0, 3.0]


def test_the_command_writes_the_picture_and_still_prints_the_quantities(tmp_path):
    """`predict MODEL key=value --figure F` prints as without it and writes F."""
    path = tmp_path / "state.pdf"
    command = [sys.executable, "-m", "cavitylab", "predict", "two_mode_squeezing", "S=5", "r=1"]
    plain = subprocess.run(command, capture_output=True, text=True, timeout=250, check=True)
    done = subprocess.run(
        [*command, "--figure", str(path)], capture_output=True, text=True, timeout=250, check=True
    )
    assert done.stdout == plain.stdout
    assert path.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("place", "words"), [("figure.txt", ".png, .pdf, .svg"), ("nowhere/figure.png", "no folder")]
)
def test_a_picture_that_cannot_be_written_is_refused_first(place, words, tmp_path):
    """A wrong ending or a missing folder is a usage error, before anything is computed."""
    command = [sys.executable, "-m", "cavitylab", "predict", "two_mode_squeezing", "S=5", "r=1"]
    done = subprocess.run(
        [*command, "--figure", str(tmp_path / place)], capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 2
    assert words in done.stderr and done.stdout == ""
