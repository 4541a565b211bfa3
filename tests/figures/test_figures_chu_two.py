"""The figures of two ensembles (Chu 2, 3, 10, 11) are drawn and say what they should."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

from cavitylab.models.cumulants import DecayingEnsembles
from cavitylab.models.cumulants_trajectory import cumulant_trajectory
from cavitylab.models.dissipative_gap import dissipative_gap
from cavitylab.models.relaxation import relaxation
from cavitylab.models.relaxation_secular import secular_relaxation_time
from cavitylab.models.two_ensembles import TwoEnsembles, relaxation_time_bound, steady_state

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


def test_quick_figure_is_drawn(tmp_path):
    """Figure 2 writes its picture into the folder it is given."""
    assert is_picture(script(2).main(tmp_path), tmp_path)


@pytest.mark.slow
def test_gap_figure_is_drawn(tmp_path):
    """Figure 11 at a smaller spin than when drawn by hand."""
    figure = script(11)
    full = figure.data
    figure.data = lambda: full(spin=2.0)
    assert is_picture(figure.main(tmp_path), tmp_path)


@pytest.mark.slow
def test_cumulant_figure_is_drawn(tmp_path):
    """Figure 10 at a smaller spin and with fewer runs than when drawn by hand."""
    figure = script(10)
    full = figure.data
    figure.data = lambda: full(spin=8.0, runs=10, strengths=np.array([10.0, 100.0]))
    assert is_picture(figure.main(tmp_path), tmp_path)


@pytest.mark.slow
def test_figure_of_times_is_drawn(tmp_path):
    """Figure 3 with the quickest of its points."""
    figure = script(3)
    full = figure.data
    cases = {0.1: (100.0,), 1.0: (30.0,), 10.0: (30.0,)}
    figure.data = lambda: full(strengths=(40.0,), cases=cases)
    assert is_picture(figure.main(tmp_path), tmp_path)


def test_amplitudes_alternate_and_move_out_with_the_detuning():
    """Fig. 2c: signs (-1)^J; the peak lies at J = 0 for 1/S and beyond for larger ratios."""
    found = script(2).data(spins=np.array([1.0]))
    for name, peak in (("1/S", 0), ("1/sqrt(S)", 6), ("1", 44)):
        amplitudes = found[name]["amplitudes"]
        assert np.argmax(np.abs(amplitudes)) == peak, name
        assert np.abs(amplitudes.imag).max() < 1e-15
        signed = amplitudes.real * (-1.0) ** np.arange(amplitudes.size)
        assert (signed >= 0.0).all() and (signed**2).sum() == pytest.approx(1.0), name


def test_information_scales_as_spin_to_two_three_halves_and_one():
    """Fig. 2d: powers 2, 3/2 and 1 of S, above 4S and below 16 S(S+1)/3."""
    found = script(2).data(spins=np.array([1e3, 1e4]))
    for name, power in (("1/S", 2.0), ("1/sqrt(S)", 1.5), ("1", 1.0)):
        values = found[name]["qfi"]
        assert math.log10(values[1] / values[0]) == pytest.approx(power, abs=0.01), name
        assert (values > found["standard quantum limit"]).all(), name
        assert (values < found["strong drive"]).all(), name
    assert found["1/S"]["qfi"] / found["strong drive"] == pytest.approx(0.806, abs=1e-3)
    assert (found["strong drive"] < found["Heisenberg limit"]).all()


def test_times_obey_the_bound_and_not_one_over_variance():
    """Fig. 3b: every time lies above the bound, hence above 1/Var; the kept ones as well."""
    figure = script(3)
    times = {(5.0, one): t for one, (t, _) in figure.best_drive(strengths=(2.0, 5.0)).items()}
    times |= {(10.0, one): t for one, t in figure.strong_drive(10.0, (2.0, 5.0, 10.0)).items()}
    times |= {(30.0, one): t for one, t in figure.KEPT.items()}
    for (spin, strength), time in times.items():
        state = steady_state(figure.pair(spin, strength))
        assert time > 2.0 * relaxation_time_bound(state)
        assert 4.0 < time * state.variance < 12.5
    assert times[10.0, 5.0] * steady_state(figure.pair(10.0, 5.0)).variance == pytest.approx(
        5.82, abs=0.01
    )


def test_best_drive_lies_near_twice_the_collective_rate():
    """Fig. 3b: neither the weakest nor the strongest drive is the fastest."""
    found = script(3).best_drive(strengths=(2.0, 5.0))
    assert {drive for _, drive in found.values()} <= {1.5, 2.0}


@pytest.mark.slow
def test_time_of_spin_thirty_is_that_of_the_reference():
    """Fig. 3b: 6.10/Var at S = 30, S Delta/Omega = 20."""
    pair = script(3).pair(30.0, 20.0)
    product = secular_relaxation_time(pair) * steady_state(pair).variance
    assert product == pytest.approx(6.10, abs=0.01)


@pytest.mark.slow
def test_best_squeezing_falls_as_the_root_of_the_collective_cooperativity():
    """Fig. 3c: xi^2 sqrt(SC) stays within 2.1 to 2.8 for C of 0.1 and 1."""
    found = script(3).optima({0.1: (100.0, 300.0), 1.0: (30.0, 100.0)})
    for cooperativity, (spins, least) in found.items():
        scaled = least * np.sqrt(spins * cooperativity)
        assert (scaled > 2.1).all() and (scaled < 2.8).all(), cooperativity


def test_exact_squeezing_from_runs_is_that_of_the_density_matrix():
    """Fig. 10a, the exact band at S = 3: within 5 standard errors (false alarm below 1e-4)."""
    figure = script(10)
    times = np.array([0.5, 1.0, 2.0])
    found = figure.evolution(spin=3.0, runs=400, exact_times=times)
    pair = TwoEnsembles(3.0, figure.DRIVE * 3.0, figure.DRIVE * figure.STRENGTH)
    mean, error = found["exact"]
    assert (np.abs(mean - relaxation(pair, times).xi2) < 5.0 * error + 1e-4).all()


def test_cumulants_relax_late_to_the_right_squeezing():
    """Fig. 10a: at Gamma t = 1 above the exact 0.180, in the end within 1 % of 0.1752."""
    figure = script(10)
    rates = figure.DRIVE * figure.SPIN, figure.DRIVE * figure.STRENGTH
    found = cumulant_trajectory(DecayingEnsembles(figure.SPIN, *rates), [1.0, 20.0])
    exact = steady_state(TwoEnsembles(figure.SPIN, *rates)).xi2
    assert exact == pytest.approx(0.1752, abs=1e-4)
    assert found.large_spin_xi2[0] > 1.2 * 0.180
    assert found.large_spin_xi2[1] == pytest.approx(exact, rel=0.01)


def test_decay_makes_the_best_squeezing_a_matter_of_time():
    """Fig. 10a: for C = 1 the least xi^2 comes before the exact t_ss = 1.33/Gamma."""
    figure = script(10)
    rates = figure.DRIVE * figure.SPIN, figure.DRIVE * figure.STRENGTH
    found = cumulant_trajectory(DecayingEnsembles(figure.SPIN, *rates, 1.0), figure.TIMES)
    place = int(np.argmin(found.large_spin_xi2))
    assert figure.TIMES[place] < 1.0
    assert found.large_spin_xi2[-1] > 2.0 * found.large_spin_xi2[place]


def test_steady_cumulants_hold_down_to_the_heisenberg_regime():
    """Fig. 10b: within 3 % of Eq. 12 at S Delta/Omega of 10 and more."""
    found = script(10).steady(strengths=np.array([10.0, 100.0]))
    assert found["cumulants"] == pytest.approx(found["exact"], rel=0.03)


def test_exact_gap_in_blocks_is_the_limit_of_the_gap_at_finite_drive():
    """Fig. 11a: the lower of both blocks equals the gap of the whole Liouvillian, S = 1 and 2."""
    gap = script(11).exact_gap
    for spin, ratio in ((1.0, 0.5), (1.0, 4.0), (2.0, 0.4), (2.0, 1.5)):
        whole = dissipative_gap(TwoEnsembles(spin, 2000.0, 2000.0 * ratio))
        assert min(gap(spin, ratio, 0), gap(spin, ratio, 1)) == pytest.approx(whole, rel=1e-4)


@pytest.mark.slow
def test_perturbation_theory_holds_for_populations_up_to_strength_three():
    """Fig. 11a at S = 5: ratios of the reference, and coherences slower from about 2.5 on."""
    strengths = np.array([0.3, 1.0, 2.0, 3.0, 10.0])
    found = script(11).data(strengths=strengths, spins=np.array([1.0]))
    ratios = found["perturbative"] / found["populations"]
    assert ratios == pytest.approx([1.0007, 1.007, 1.033, 1.091, 2.02], abs=2e-3)
    assert (found["populations"] < found["coherences"]).tolist() == [True] * 3 + [False] * 2


def test_perturbative_gap_grows_as_the_square_with_a_slow_logarithm():
    """Fig. 11b: 0.234, 0.203, 0.193, 0.182 and 0.177 times (2S+1)^2."""
    spins = np.array([5.0, 30.0, 100.0, 1e3, 1e4])
    found = script(11).data(spin=1.0, strengths=np.array([1.0]), spins=spins)
    constants = found["scaled"] / (2.0 * spins + 1.0) ** 2
    assert constants == pytest.approx([0.234, 0.203, 0.193, 0.182, 0.177], abs=1e-3)
