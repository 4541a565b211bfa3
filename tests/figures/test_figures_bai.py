"""The figure scripts of Bai & An run, and what they draw is the physics they name."""

import math
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "examples" / "figures"
PNG = b"\x89PNG"


def script(name):
    """The script's module, without running it as a program."""
    spec = spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn(module, folder):
    """Whether main() left a picture."""
    return module.main(folder).read_bytes().startswith(PNG)


def test_every_start_ends_in_one_steady_state(tmp_path):
    """Fig. 1: all |j, m> reach the gain of Eq. 8, and r = 0.8 passes a squeezing it cannot keep."""
    module = script("bai_fig1")
    found = module.data()
    for gain in found["from m"].values():
        assert gain[-1] == pytest.approx(found["steady"][module.SQUEEZING], rel=1e-6)
    for r, gain in found["from below"].items():
        assert gain[-1] == pytest.approx(found["steady"][r], rel=1e-6)
    assert found["from below"][0.8].max() > 1.7 > 1.0 > found["steady"][0.8]
    assert drawn(module, tmp_path)


def test_husimi_function_is_normalised_and_narrow_along_the_squeezed_axis(tmp_path):
    """Fig. 2: Q holds one spin, round at first, then narrowest along the axis of the moments."""
    module = script("bai_fig2")
    found = module.data(points=301)
    line = found["line"]
    x, y = np.meshgrid(line, line)
    inside = np.hypot(x, y) < 0.99  # the projection is singular at the rim
    height = np.sqrt(np.where(inside, 1.0 - x**2 - y**2, np.inf))
    for k, q in enumerate(found["Q"]):
        weight = np.nan_to_num(q) / height * (line[1] - line[0]) ** 2
        assert weight.sum() == pytest.approx(1.0, abs=0.01)
        covariance = np.array([[(weight * a * b).sum() for b in (x, y)] for a in (x, y)])
        values, vectors = np.linalg.eigh(covariance)
        if k == 0:
            assert values[1] == pytest.approx(values[0], rel=1e-4)
        else:
            narrow = math.atan2(vectors[1, 0], vectors[0, 0]) % math.pi
            assert narrow == pytest.approx(found["axis"][k], abs=0.01)
    assert np.all(np.diff(found["xi2"]) < 0.0)
    assert drawn(module, tmp_path)


def test_published_fit_holds_at_a_hundred_atoms():
    """Fig. 3c-d at small sizes: Eq. 9 to 1 % at N = 100, 4 % low at 10, r_opt to 0.01 at 100."""
    found = script("bai_fig3").data(atoms=(10, 100), range_atoms=(10, 100))
    ratio = found["xi2"] / (1.64 * found["N"] ** -0.54)
    assert ratio == pytest.approx([1.045, 1.002], abs=2e-3)
    assert found["r_opt"][1] == pytest.approx(0.27 * math.log(100) - 0.11, abs=0.01)
    assert np.all(found["r_max"] > found["r_opt"]) and found["r_max"][1] > found["r_max"][0]
    for atoms, gain in found["exact"].items():
        assert gain == pytest.approx(found["evolved"][atoms], abs=1e-6)


@pytest.mark.slow
def test_scaling_turns_to_the_inverse_root(tmp_path):
    """Fig. 3c: between N = 1000 and 10 000 the exponent is -0.51, not -0.54."""
    module = script("bai_fig3")
    found = module.data()
    by_atoms = dict(zip(found["N"].tolist(), found["xi2"], strict=True))
    assert math.log10(by_atoms[10000] / by_atoms[1000]) == pytest.approx(-0.510, abs=2e-3)
    assert drawn(module, tmp_path)


def test_displaced_chain_has_a_plateau_and_an_unsqueezed_end():
    """Fig. 4 with three chains: nearly the ideal gain at A t = 10, none in the steady state."""
    found = script("bai_fig4").data(configurations=3, displacements=(0.03,))
    assert found["collective"] == pytest.approx(1.149, abs=1e-3)
    assert np.all(found["plateau"][0.03] > 1.05)
    assert np.all(found["plateau"][0.03] <= found["collective"])
    assert np.all(found["steady"][0.03] < 0.85)
    assert found["evolution"][0.03].shape == (3, found["times"].size)


@pytest.mark.slow
@pytest.mark.long
def test_squeezing_of_displaced_chains_falls_with_the_displacement(tmp_path, monkeypatch):
    """Fig. 4d: the plateau falls with w and the steady state is below 1 at every w."""
    module = script("bai_fig4")
    found = module.data()
    monkeypatch.setattr(module, "data", lambda: found)
    plateau = [values.mean() for values in found["plateau"].values()]
    assert plateau == sorted(plateau, reverse=True)
    assert plateau[1] == pytest.approx(1.126, abs=0.02)  # 50 configurations gave 1.126
    assert all(values.mean() < 0.85 for values in found["steady"].values())
    assert drawn(module, tmp_path)
