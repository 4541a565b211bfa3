"""The figure scripts of Mamaev et al. run, and what they draw is the physics they name."""

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


def drawn(module, folder, found, monkeypatch):
    """Whether main() leaves a picture of data that were already computed."""
    monkeypatch.setattr(module, "data", lambda: found)
    return module.main(folder).read_bytes().startswith(PNG)


def slope(x, y):
    """Power between neighbouring points."""
    return np.diff(np.log(y)) / np.diff(np.log(x))


def test_variances_part_and_settle_at_the_closed_form(tmp_path, monkeypatch):
    """Fig. 1b: from S both run to e^{-2r} B and e^{2r} B, never below the uncertainty limit."""
    module = script("mamaev_fig1")
    found = module.data()
    quiet, loud = found["squeezed"], found["antisqueezed"]
    assert quiet[0] == loud[0] == pytest.approx(4.5, rel=1e-12)
    assert (quiet[-1], loud[-1]) == pytest.approx(found["steady"], rel=1e-5)
    assert found["steady"][1] / found["steady"][0] == pytest.approx(math.exp(3.0), rel=1e-12)
    assert np.all(np.diff(quiet) < 0.0)
    assert np.all(np.diff(loud) > 0.0)
    assert drawn(module, tmp_path, found, monkeypatch)


def test_squeezing_ends_at_three_over_n_plus_four(tmp_path, monkeypatch):
    """Fig. 2: xi^2 lies above e^{-2r} and 3/(N+4) and reaches both; the states are as named."""
    module = script("mamaev_fig2")
    found = module.data()
    for n, xi2 in found["xi2"].items():
        assert np.all(xi2 >= np.maximum(np.exp(-2.0 * found["squeezing"]), 3.0 / (n + 4)) - 1e-15)
        assert xi2[0] == pytest.approx(1.0, rel=1e-12)
        assert xi2[-1] == pytest.approx(3.0 / (n + 4), rel=0.01)
    sizes = found["amplitudes"]
    for amplitudes in sizes.values():
        assert np.sum(amplitudes**2) == pytest.approx(1.0, rel=1e-12)
    assert np.ptp(sizes["squeezed"]) < 1e-12
    ratio = sizes["optimum"] / sizes["optimum"][0]
    assert ratio == pytest.approx([math.comb(30, m) for m in range(31)], rel=1e-9)
    assert np.all(np.diff(sizes["twisted"][:25]) < 0.0)
    assert drawn(module, tmp_path, found, monkeypatch)


@pytest.mark.slow
@pytest.mark.long
def test_squeezing_against_cooperativity_has_no_threshold(tmp_path, monkeypatch):
    """Fig. 3: squeezed at every C, nowhere below the limits of large N or of infinite C."""
    module = script("mamaev_fig3")
    found = module.data()
    limits = {
        "relaxation": module.squeezing_from_relaxation,
        "dephasing": module.squeezing_from_dephasing,
    }
    for name, limit in limits.items():
        cooperativity, curves = found[name]
        bound = np.array([limit(float(c)) for c in cooperativity])
        for n, xi2 in curves.items():
            assert np.all(xi2 < 1.0)
            assert np.all(np.diff(xi2) < 1e-5)
            assert np.all(xi2 > 0.99 * bound)
            assert np.all(xi2 > 0.97 * 9.90 / (n + 4))
    cooperativity, curves = found["relaxation"]
    below = (cooperativity > 3.0) & (cooperativity < 1e5)
    powers = slope(cooperativity[below], curves[1_000_000][below])
    assert -1.0 < powers.min() < -0.95
    assert powers[0] > -0.85
    assert powers[-1] > -0.85
    assert drawn(module, tmp_path, found, monkeypatch)


def test_twisting_is_behind_the_dissipative_state(tmp_path, monkeypatch):
    """Fig. S1: one axis N^(-2/3) from above, two axes 5.3/N from below, both above 3/(N+4)."""
    module = script("mamaev_figS1")
    found = module.data()
    n = found["atoms"]
    assert found["xi2"].min() == pytest.approx(found["best"][1], rel=1e-3)
    assert np.all(found["two axes"] < found["one axis"])
    assert np.all(found["dissipative"] < found["two axes"])
    assert n[-1] * found["two axes"][-1] == pytest.approx(5.29, abs=0.01)
    assert n[-1] ** (2 / 3) * found["one axis"][-1] == pytest.approx(1.87, abs=0.01)
    for sizes in found["amplitudes"].values():
        assert np.sum(sizes**2) == pytest.approx(1.0, rel=1e-10)
    assert drawn(module, tmp_path, found, monkeypatch)


def test_unequal_ensembles_stay_squeezed_but_not_the_same(tmp_path, monkeypatch):
    """Fig. S2: the published 0.125, 0.284, 0.397 at N = 20; for large N the imbalance decides."""
    module = script("mamaev_figS2")
    found = module.data()
    assert found["exact"][20][1][:3] == pytest.approx([0.125, 0.284, 0.397], abs=1e-3)
    for curves in found.values():
        for _, least in curves.values():
            assert np.all(np.diff(least) > 0.0)
            assert least[-1] < 1.0
    merged = [np.interp(0.3, *found["mean field"][n]) for n in (1000, 10_000)]
    assert merged[0] == pytest.approx(merged[1], rel=0.02)
    assert drawn(module, tmp_path, found, monkeypatch)


def test_infidelity_falls_at_the_gap_of_its_sector(tmp_path, monkeypatch):
    """Fig. S4: late decays run at the gap, which falls as e^{-2r} and grows with S."""
    module = script("mamaev_figS4")
    found = module.data()
    for times, lost, gap in (*found["by r"].values(), *found["by S"].values()):
        late = (times * gap > 9.0) & (times * gap < 13.0)
        rates = -np.diff(np.log(lost[late])) / np.diff(times[late])
        assert rates == pytest.approx(gap, rel=0.04)
    strong = found["squeezing"] > 1.9
    falling = np.diff(np.log(found["gap over r"][strong])) / np.diff(found["squeezing"][strong])
    assert falling == pytest.approx(-2.0, abs=0.02)
    powers = slope(found["spins"], found["gap over S"][2.5])
    assert np.all(np.diff(powers) > 0.0)
    assert 1.7 < powers[-1] < 2.0
    assert drawn(module, tmp_path, found, monkeypatch)


def test_mean_field_is_good_until_the_squeezing_nears_the_atom_number(tmp_path, monkeypatch):
    """Fig. S5: agreement for e^{2r} << N, <X+^2> -> 1/2 beyond, least xi^2 3.30 times too high."""
    module = script("mamaev_figS5")
    found = module.data()
    early = found["squeezing"] < 1.05
    for name in ("polarisation", "variance", "xi2"):
        exact, mean = found[name]
        assert mean[early] == pytest.approx(exact[early], rel=0.02)
    assert found["variance"][1][-1] == pytest.approx(0.5, rel=0.01)
    exact, mean = found["least"]
    assert mean[-1] / exact[-1] == pytest.approx(3.30, abs=0.01)
    assert drawn(module, tmp_path, found, monkeypatch)


@pytest.mark.slow
def test_dephasing_is_slow(tmp_path, monkeypatch):
    """Fig. S6: a plateau at the clean value from 10/(N gamma) on, lost after about N/gamma_z."""
    module = script("mamaev_figS6")
    found = module.data()
    times = found["times"]
    losses = []
    for n in (200, 2000):
        xi2 = found["xi2"][n]
        plateau = (times > 20.0 / n) & (times < 0.003 * n / module.DEPHASING)
        assert xi2[plateau] == pytest.approx(found["clean"][n], rel=0.01)
        assert xi2[-1] > 1.05 * found["clean"][n]
        middle = 0.5 * (xi2[-1] + xi2[plateau].min())
        losses.append(times[np.flatnonzero(xi2 < middle)[-1]])
    assert losses[1] / losses[0] == pytest.approx(10.0, rel=0.3)
    assert drawn(module, tmp_path, found, monkeypatch)
