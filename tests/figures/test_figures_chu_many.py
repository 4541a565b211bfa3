"""The figures of many ensembles and chains (Chu 4-9) are drawn and say what they should."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "figures"


def script(number):
    """The figure's script as a module."""
    path = FOLDER / f"chu_fig{number}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_picture(path, folder):
    """Whether a PNG of some size lies in the folder."""
    content = path.read_bytes()
    return path.parent == folder and content.startswith(b"\x89PNG") and len(content) > 10_000


@pytest.mark.parametrize("number", [8, 9])
def test_quick_figures_are_drawn(number, tmp_path):
    """The quick scripts write their picture into the folder they are given."""
    assert is_picture(script(number).main(tmp_path), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [4, 5, 6, pytest.param(7, marks=pytest.mark.long)])
def test_longer_figures_are_drawn(number, tmp_path):
    """So do the longer ones."""
    assert is_picture(script(number).main(tmp_path), tmp_path)


def test_ellipse_information_approaches_the_quantum_bound_at_small_ratio():
    """Fig. 4c, S = 100: up to 99 % of the quantum information at 1/S, 77 % at 1/sqrt(S)."""
    found = script(4).data(phases=np.array([0.01, 0.1, 0.4, 0.78]))
    assert found["table"].sum() == pytest.approx(1.0, abs=1e-10)
    for name, reference in (
        ("1/S", [0.80, 0.96, 0.99, 0.993]),
        ("1/sqrt(S)", [0.27, 0.57, 0.72, 0.774]),
    ):
        ratio = found[name]["cfi"] / found[name]["qfi"]
        assert ratio[:4] == pytest.approx(reference, abs=0.006), name
        assert (found[name]["noisy"] < found[name]["cfi"]).all(), name


def test_information_is_the_same_on_both_sides_of_the_circle():
    """Fig. 4c draws the half above pi/4 as a mirror image: it is one, with noise as well."""
    phases = np.array([0.3, math.pi / 2.0 - 0.3])
    found = script(4)._scan(20.0, 0.2, phases, 1.0)
    assert found["cfi"][0] == pytest.approx(found["cfi"][1], rel=1e-9)
    assert found["noisy"][0] == pytest.approx(found["noisy"][1], rel=1e-9)


def test_counting_noise_of_one_atom_takes_the_gain_at_mid_phase():
    """Fig. 4c, dotted: near pi/4 at 1/S less than twice the standard quantum limit is left."""
    found = script(4).data(phases=np.array([0.78]))
    assert found["1/S"]["cfi"][0] > 100.0 * found["standard quantum limit"]
    assert found["1/S"]["noisy"][0] < 2.0 * found["standard quantum limit"]


def test_the_ellipse_passes_through_likely_outcomes():
    """Fig. 4b: the mean ellipse of Eq. 17 lies inside the unit square, tilted to p1 + p2 = 1."""
    found = script(4).data(spin=5.0, phases=np.array([0.3]))
    p1, p2 = found["ellipse"]
    assert 0.0 < min(p1.min(), p2.min()) and max(p1.max(), p2.max()) < 1.0
    assert np.corrcoef(p1, p2)[0, 1] < -0.9


def test_paired_detunings_leave_pairs_and_crossed_ones_entangle_all():
    """Fig. 5: S_12 = 0 for neighbours that pair, above zero for crossed pairs."""
    found = script(5).data(spin=3.0, drives=np.array([0.3, 3.0, 9.0]))
    assert np.abs(found["paired"][:, 0]).max() < 1e-10
    assert found["paired"][:, 1] == pytest.approx(found["paired"][:, 2], abs=1e-10)
    assert (found["crossed"][2] > 1.0).all()
    assert found["crossed all down"][0] > 0.8 and found["crossed all down"][2] < 1e-3


def test_entropies_at_spin_ten_are_those_of_the_reference():
    """Fig. 5 at Omega = 15 chi: 2.19 for the pairs, 3.02, 2.77 and 2.48 nat when crossed."""
    found = script(5).data(drives=np.array([15.0]))
    assert found["paired"][0] == pytest.approx([0.0, 2.19, 2.19], abs=0.006)
    assert found["crossed"][0] == pytest.approx([3.02, 2.77, 2.48], abs=0.006)


def test_each_detuning_favours_its_pattern():
    """Fig. 6a: +-+- wins for a large outer detuning, +--+ for a large inner one."""
    found = script(6).maps(detunings=np.array([0.0, 8.0]))
    outer, inner = (0, 1), (1, 0)  # rows Delta_B, columns Delta_A
    assert found["+-+-"][outer] > 10.0 * found["+--+"][outer]
    assert found["+--+"][inner] > 1.4 * found["+-+-"][inner]


def test_greatest_information_scales_as_the_square_of_the_spin():
    """Fig. 6b: +-+- nears 64 S(S+1)/3, +--+ stays at 0.71 of it without a finite drive."""
    found = script(6).scaling(spins=(10.0, 50.0, 100.0), finite_spins=(10.0,))
    assert (found["+-+-"] / found["limit"]) == pytest.approx([0.930, 0.982, 0.990], abs=2e-3)
    assert (found["+--+"] / found["limit"]) == pytest.approx([0.705, 0.706, 0.706], abs=2e-3)
    assert found["+--+ finite drive"][0] / found["limit"][0] == pytest.approx(0.759, abs=2e-3)


def test_curvature_survives_common_and_gradient_noise():
    """Fig. 6c at S = 10, Omega = 30 chi: 1768, 1762 and 1604, a loss below 10 %."""
    found = script(6).noise(drives=np.array([30.0]))
    values = [found[name][0] for name in ("pure", "common", "both")]
    assert values == pytest.approx([1768, 1762, 1604], abs=1.0)


def test_aklt_time_is_that_of_the_reference_on_both_paths():
    """Fig. 7c: L = 4 takes 31/Gamma at Omega = chi and 82 at 2 chi, by modes and by steps."""
    figure = script(7)
    assert figure.time_by_modes(4, 1.0, 0.9) == pytest.approx(31.07, abs=0.01)
    assert figure.time_by_modes(4, 2.0, 0.8) == pytest.approx(81.92, abs=0.01)
    assert figure.time_by_steps(4, 2.0, 0.8) == pytest.approx(81.92, abs=0.01)


def test_fidelity_with_aklt_rises_with_drive_and_falls_with_length():
    """Fig. 7c, right: a stronger drive and a shorter chain are closer to the AKLT state."""
    found = script(7).fidelities(lengths=(4, 10), drives=np.array([2.0, 5.0, 20.0]))
    assert (np.diff(found[4]) > 0.0).all() and (np.diff(found[10]) > 0.0).all()
    assert (found[10] < found[4]).all() and found[4][-1] > 0.99


def test_string_order_peaks_at_aklt_and_vanishes_for_integer_spins_at_pi():
    """Fig. 8: 4/9 at the AKLT detunings, none at pi for S = 1 and 2, lengths 0 on the lines."""
    figure = script(8)
    maps = figure.maps(detunings=np.array([0.0, math.sqrt(2.0), math.sqrt(8.0)]))
    assert maps["order"][1, 0] == pytest.approx(4.0 / 9.0) == maps["order"].max()
    assert maps["length"][1, 0] == pytest.approx(2.0 / math.log(3.0))
    assert maps["length"].diagonal() == pytest.approx(0.0, abs=0.1)
    assert maps["length"][2, 0] == pytest.approx(0.0, abs=0.1)
    curves = figure.curves(angles=np.array([math.pi]))
    assert curves[1.0][0] < 1e-20 and curves[2.0][0] < 1e-20
    assert curves[0.5][0] == pytest.approx(4.0 / 9.0) and curves[1.5][0] > 0.4


def test_best_string_order_lies_between_dimer_and_aklt():
    """Fig. 8c: the best detunings reach AKLT for S = 1/2 and about half of it for large S."""
    found = script(8).scaling(spins=(0.5, 2.0, 20.0))
    assert found["best"][0] == pytest.approx(found["aklt"][0], rel=1e-6)
    assert (found["dimer"] < found["best"]).all()
    assert found["best"][2] / found["aklt"][2] == pytest.approx(0.523, abs=2e-3)


def test_string_length_grows_as_the_square_of_the_drive():
    """Fig. 9: (2/3)(Omega/chi)^2, and one curve of fidelity against L/L_string."""
    found = script(9).data(drives=np.array([5.0, 20.0, 50.0]), lengths=(58, 354))
    assert found["string"] == pytest.approx(2.0 / 3.0 * found["drives"] ** 2, rel=5e-3)
    assert found[58][1] == pytest.approx(0.9, abs=0.01)
    assert found[354][2] == pytest.approx(0.9, abs=0.01)
