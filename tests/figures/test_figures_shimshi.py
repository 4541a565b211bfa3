"""The figures of Shimshi & Shahmoon are drawn, and show what their captions say."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "figures"


def script(name):
    """The figure script of that name, loaded from its file."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["shimshi_fig2", "shimshi_fig3", "shimshi_fig6"])
def test_each_quick_script_writes_a_picture(name, tmp_path):
    """`main(folder)` returns the path of a PNG that it wrote there."""
    path = script(name).main(tmp_path)
    assert path.parent == tmp_path
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_hysteresis_script_writes_a_picture(tmp_path):
    """Fig. 4 runs some 230 scans twice over, a few seconds."""
    path = script("shimshi_fig4").main(tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_fig2_the_gap_is_2_gamma_at_the_transition_and_below_eq_7_elsewhere():
    """The cumulant form is exact at w = gamma only; at |s| of 3 it is more than half too high."""
    found = script("shimshi_fig2").data()
    middle = int(np.flatnonzero(found["s"] == 0.0)[0])
    assert found["gap"][middle] == pytest.approx(2.0, rel=1e-10)
    assert np.argmin(np.abs(found["mean"])) == middle
    excess = found["Eq. 7"] / found["gap"] - 1.0
    assert np.all(excess > -1e-10)
    assert 0.5 < excess.max() < 0.6
    assert np.all(np.diff(found["mean"]) > 0.0)


def test_fig3_the_loop_encloses_the_steady_curve_and_is_wider_than_the_estimate():
    """Scans lag on both sides; H = 9.014 against 5.64 between the bounds w+-."""
    found = script("shimshi_fig3").data()
    assert np.all(found["up"] < found["steady"])
    assert np.all(found["down"] > found["steady"])
    assert found["loop"].width == pytest.approx(9.01378, abs=2e-5)
    assert 2.0 * found["bound"] < 2.0 * found["bound of the gap"] < found["loop"].width


def test_fig4_widths_of_all_n_collapse_and_the_power_keeps_falling():
    """Slow scans follow Eq. 8, N differs by O(1/N), and the slope passes 0.61 towards 1/2."""
    found = script("shimshi_fig4").data(rates=np.geomspace(0.01, 1e4, 19))
    assert found["limit"][0] == pytest.approx(0.01, rel=1e-4)
    for atoms, width in found["widths"].items():
        seen = np.isfinite(width)
        assert seen.sum() >= 9
        np.testing.assert_allclose(width[seen], found["limit"][seen], rtol=0.5 / atoms)
    slope = found["slope"]
    assert slope[0] == pytest.approx(1.0, abs=1e-3)
    assert np.all(np.diff(slope[3:]) < 0.0)
    assert 0.5 < slope[-1] < 0.57
    late = found["rates"] >= 100.0
    np.testing.assert_allclose(
        found["law"][found["fast"] >= 100.0], found["limit"][late], rtol=6e-3
    )


def test_fig6_the_rates_at_the_transition_are_l_times_l_plus_1():
    """0, 2, 6, 12, … gamma for the populations, gamma for the slowest coherence."""
    found = script("shimshi_fig6").data()
    middle = int(np.argmin(np.abs(found["w"] - 1.0)))
    modes = np.arange(found["rates"].shape[1])
    np.testing.assert_allclose(found["rates"][middle], modes * (modes + 1.0), rtol=1e-9, atol=1e-9)
    assert found["coherence"].min() == pytest.approx(1.0, rel=1e-4)
    gap = found["rates"][:, 1]
    assert np.all(gap > 1.9)
    np.testing.assert_allclose(found["rates"][0, 1], found["rates"][0, 2], rtol=1e-6)
