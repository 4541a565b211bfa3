"""A detuned pulse as three turns, against the matrix exponential."""

import math

import numpy as np
import pytest
import qutip
from hypothesis import given, settings
from hypothesis import strategies as st

from cavitylab.models import detuned_pulse

rates = st.floats(-5.0, 5.0)


def turn(axis, angle, spin=1.5):
    return (-1j * angle * qutip.jmat(spin, axis)).expm()


@given(rabi=rates, detuning=rates, duration=st.floats(0.0, 10.0))
@settings(deadline=None, max_examples=100, derandomize=True)
def test_three_turns_equal_the_pulse(rabi, detuning, duration):
    """Rz Rx Rz reproduces exp[-i t (Omega Sx + delta Sz)] up to a sign, for any pulse."""
    pulse = detuned_pulse(rabi, detuning, duration)
    product = turn("z", pulse.phase_after) * turn("x", pulse.area) * turn("z", pulse.phase_before)
    generator = rabi * qutip.jmat(1.5, "x") + detuning * qutip.jmat(1.5, "z")
    exact = (-1j * duration * generator).expm()
    overlap = abs((product.dag() * exact).tr()) / 4
    assert overlap == pytest.approx(1.0, abs=1e-9)


@given(detuning=rates, duration=st.floats(0.0, 1.0))
@settings(deadline=None, max_examples=50, derandomize=True)
def test_opposite_detunings_share_the_area_and_oppose_the_phase(detuning, duration):
    """The two ensembles see one pulse area and opposite phases."""
    plus = detuned_pulse(2.0, detuning, duration)
    minus = detuned_pulse(2.0, -detuning, duration)
    assert plus.area == minus.area
    assert plus.phase_before == -minus.phase_before
    assert plus.phase_before == plus.phase_after


def test_resonant_pulse_is_its_area():
    """On resonance area = Omega t, no phases."""
    pulse = detuned_pulse(2 * math.pi * 50e3, 0.0, 5e-6)
    assert pulse.area == pytest.approx(math.pi / 2)
    assert pulse.phase_before == 0.0


def test_phase_of_a_weakly_detuned_quarter_pulse():
    """To first order, phi gains tan(area/2) delta/Omega: one Omega^-1 per detuning at pi/2."""
    rabi, detuning = 2 * math.pi * 50e3, 2 * math.pi * 500.0
    pulse = detuned_pulse(rabi, detuning, 5e-6)
    assert pulse.phase_before == pytest.approx(detuning / rabi, rel=1e-4)
    assert pulse.area == pytest.approx(math.pi / 2, abs=1e-4)


def test_nothing_does_nothing():
    """No drive and no detuning leave the atoms alone."""
    pulse = detuned_pulse(0.0, 0.0, 1.0)
    np.testing.assert_array_equal([pulse.area, pulse.phase_before, pulse.phase_after], 0.0)


def test_refuses_bad_input():
    """Each refusal names the argument."""
    with pytest.raises(ValueError, match="`rabi` must be finite, but is nan"):
        detuned_pulse(math.nan, 0.0, 1.0)
    with pytest.raises(ValueError, match="`duration` must not be negative, but is -1.0"):
        detuned_pulse(1.0, 0.0, -1.0)
