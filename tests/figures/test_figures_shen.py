"""Figures 2-4 of Shen et al.: each script draws its picture, and the data say what it shows."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "figures"


def script(name):
    """The figure script of that name as a module."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_png(path):
    """Whether a PNG of some size lies there."""
    return path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and path.stat().st_size > 10_000


def test_fig2_is_drawn_with_its_minima_at_a_few_curvatures(tmp_path):
    """Undriven minima lie where V is least nearby and K > 0; a drive puts one at any K."""
    figure = script("shen_fig2")
    assert is_png(figure.main(tmp_path))
    found = figure.data()
    assert np.array_equal(found["stable"], found["curvatures"] > 0.0)
    assert found["angles"][found["stable"]] == pytest.approx([0.0, 6.6576, 11.8853], abs=1e-4)
    for angle, height in zip(
        found["angles"][found["stable"]], found["heights"][found["stable"]], strict=True
    ):
        near = np.abs(found["theta"] - angle) < 0.3
        assert np.all(found["potential"][near] >= height - 1e-12)
    for curve in found["tilted"]:
        inside = np.abs(found["near"] - curve["theta"]) < 0.05
        assert np.all(curve["potential"][inside] >= curve["minimum"] - 1e-12)
        assert curve["drive"] < curve["critical"]


def test_fig3_squeezing_reaches_the_curvature_and_does_not_depend_on_the_split():
    """Exact xi2 tends to K with N, is one for all fractions, and follows no single power law."""
    found = script("shen_fig3").data(held_atoms=20, held=(0.3,), scaled=(10, 20, 50, 100, 100_000))
    deep = found["K"] > 0.5
    error = {
        n: np.abs(curve[0] / found["K"] - 1.0)[deep].max() for n, curve in found["equal"].items()
    }
    assert error[10_000] < 1e-4 < error[1000] < error[100] < error[10]
    for n, curve in found["unequal"].items():
        equal = found["equal"][n][:, 5::12]
        assert curve == pytest.approx(equal, rel=1e-9)
    assert found["held"][0] < found["held_steady"][0]
    short = found["N"] <= 100
    fit = np.polyfit(np.log(found["N"][short]), np.log(found["best"][short]), 1)[0]
    assert fit == pytest.approx(-0.22, abs=0.01)
    assert -1.0 / 3.0 < found["exponent"][-1] < fit
    large = found["N"] >= 50
    assert found["expanded"][large] == pytest.approx(found["best"][large], rel=5e-3)


def test_fig4_unequal_couplings_cost_squeezing_unless_the_fractions_follow():
    """K/xi2 falls with imbalance and small K; with better fractions N Var < K is possible."""
    figure = script("shen_fig4")
    found = figure.data(points=5, exact=(0.9,))
    ratios = [found["ratio"][r] for r in figure.RATIOS]
    assert ratios[0] == pytest.approx(np.ones(ratios[0].size), rel=1e-9)
    for more, less in zip(ratios[:-1], ratios[1:], strict=True):
        assert np.all(less[:-1] < more[:-1])
        assert np.all(np.diff(less) > 0.0)
        assert less[-1] == pytest.approx(1.0)
    near = np.argmin(np.abs(found["K"] - 0.3))
    assert found["ratio"][0.7][near] == pytest.approx(0.7547, abs=6e-3)
    gaussian = np.interp(0.9, found["K"], found["ratio"][0.7])
    assert found["exact"][0] == pytest.approx(gaussian, abs=5e-4)
    assert found["variance"][0.7][1] < 0.99
    assert found["variance"][1.0] == pytest.approx(np.ones(5), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shen_fig3", "shen_fig4"])
def test_the_longer_figures_are_drawn(name, tmp_path):
    """Each script leaves one PNG in the folder that it is given."""
    path = script(name).main(tmp_path)
    assert is_png(path)
    assert list(tmp_path.iterdir()) == [path]
