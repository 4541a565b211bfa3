"""The density matrix behind the wires against the model, and the course of a shot."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cavitylab.instruments.simulated.lines import ApparatusFault
from cavitylab.instruments.simulated.relaxing_decay import populations_with_decay
from cavitylab.instruments.simulated.relaxing_state import Step, evolve
from cavitylab.models.relaxation_outcomes import relaxed_state
from cavitylab.models.two_ensembles import TwoEnsembles, steady_state

GAMMA = 2 * math.pi * 100.0


def relaxing(duration: float, phase: float = 0.0) -> Step:
    """The shipped preparation: Omega = 6 Gamma, Delta = 4 Gamma."""
    return Step(6 * GAMMA, phase, GAMMA, 4 * GAMMA, duration)


@pytest.mark.parametrize("hold", [0.4e-3, 12e-3])
def test_the_state_is_that_of_the_model_which_goes_another_way(hold):
    """Product basis and coupled basis agree to 1e-10, also after many polynomials."""
    pair = TwoEnsembles(1.5, 6 * GAMMA, 4 * GAMMA, collective_decay=GAMMA)
    assert np.abs(evolve(1.5, [relaxing(hold)]) - relaxed_state(pair, hold)).max() < 1e-10


def test_exchange_of_either_sign_is_that_of_the_model():
    """chi = 0.5 Gamma one way and the other: the states agree, and the populations differ."""
    found = []
    for chi in (0.5 * GAMMA, -0.5 * GAMMA):
        step = replace(relaxing(1e-3), exchange=chi)
        pair = TwoEnsembles(1.5, 6 * GAMMA, 4 * GAMMA, chi, GAMMA)
        found.append(evolve(1.5, [step]))
        assert np.abs(found[-1] - relaxed_state(pair, 1e-3)).max() < 1e-10
    assert np.abs(np.diag(found[0] - found[1])).max() > 0.01


def test_holds_may_be_cut_into_pieces():
    """Two half holds are one hold; a drive of another phase prepares the same populations."""
    whole = evolve(1.0, [relaxing(2e-3)])
    assert np.abs(evolve(1.0, [relaxing(1e-3), relaxing(1e-3)]) - whole).max() < 1e-10
    turned = evolve(1.0, [relaxing(2e-3, 0.7)])
    assert np.abs(np.diag(turned) - np.diag(whole)).max() < 1e-10


def test_an_analysis_pulse_turns_about_the_axis_of_its_phase():
    """A quarter turn about x shows Jy, about y the spin length; a written phase rotates it."""
    spin = 1.0
    dark = steady_state(TwoEnsembles(spin, 6.0, 4.0))
    m = np.arange(3) - spin

    def seen(phase, written=0.0):
        quarter = Step(1e6, phase, 0.0, 0.0, 0.5 * math.pi / 1e6)
        steps = [relaxing(100e-3), Step(0, 0, 0, 0, 0, written=written), quarter]
        table = np.diag(evolve(spin, steps)).real.reshape(3, 3)
        total, difference = np.add.outer(m, m), np.subtract.outer(m, m)
        mean = float((table * total).sum())
        return mean, float((table * total**2).sum()) - mean**2, float((table * difference).sum())

    along_y = seen(0.0)
    assert along_y[1] == pytest.approx(dark.variance, abs=1e-6) and abs(along_y[2]) < 1e-6
    assert abs(seen(0.5 * math.pi)[2]) == pytest.approx(abs(dark.spin_length_x), abs=1e-6)
    assert abs(seen(0.0, 0.3)[0]) == pytest.approx(abs(dark.spin_length) * math.sin(0.3), abs=1e-6)


def test_single_atom_decay_acts_with_every_pulse_that_follows():
    """Too weak to matter it gives the density matrix's populations; strong, it shows."""
    quarter = Step(1e6, 0.7 + 0.5 * math.pi, 0.0, 4 * GAMMA, 0.5 * math.pi / 1e6)
    steps = (relaxing(2e-3, 0.7), Step(0, 0, 0, 4 * GAMMA, 4e-6), quarter)
    exact = np.diag(evolve(1.0, steps)).real.reshape(3, 3)
    assert np.abs(populations_with_decay(2, steps, 1e-9) - exact).max() < 1e-6
    assert np.abs(populations_with_decay(2, steps, 500.0) - exact).max() > 0.03


@pytest.mark.parametrize(
    ("number", "steps", "said"),
    [
        (9, (relaxing(1e-3),), "at most 8"),
        (2, (replace(relaxing(1e-3), exchange=1.0),), "exchange"),
        (2, (relaxing(1e-3), relaxing(1e-3, 0.1)), "several stretches"),
    ],
)
def test_what_cannot_be_followed_with_single_atom_decay_is_refused(number, steps, said):
    """The fault says what to change in the laboratory file."""
    with pytest.raises(ApparatusFault, match=said):
        populations_with_decay(number, steps, 10.0)


def test_without_coupling_the_atoms_are_independent():
    """Two pulses and a dark time between them: Ramsey fringes of product states."""
    rabi, dark, detuning = 1e5, 1e-3, 2 * math.pi * 300.0
    quarter = Step(rabi, 0.0, 0.0, 0.0, 0.5 * math.pi / rabi)
    table = np.diag(evolve(1.0, [quarter, Step(0, 0, 0, detuning, dark), quarter])).real
    up = (table.reshape(3, 3).sum(axis=1) @ np.arange(3)) / 2
    assert up == pytest.approx(math.cos(0.25 * detuning * dark) ** 2, abs=1e-9)
