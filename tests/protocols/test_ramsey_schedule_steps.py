"""The Ramsey protocol's schedule without a laboratory: kinds of shots, turns, and the choice."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from pydantic import ValidationError

from cavitylab.estimators import ScheduleBeliefs
from cavitylab.instruments.shipped import find_file
from cavitylab.instruments.station_file import load_station_file
from cavitylab.protocols import RamseyEllipse
from cavitylab.protocols.ramsey_ellipse_schedule import choose_kind
from cavitylab.protocols.ramsey_ellipse_settings import folded
from cavitylab.protocols.ramsey_ellipse_shots import kinds_of
from cavitylab.protocols.sequence import SequenceError
from cavitylab.protocols.steps import Note, Shots

CALIBRATIONS = load_station_file(find_file("two_ensemble", ".yaml")).calibrations
SMALL = {
    "atoms_per_ensemble": 20,
    "preparation_rabi_hz": 2000.0,
    "schedule": "two_stage",
    "coil_check": 0,
}


def test_two_stages_and_a_reference_take_turns():
    """First stage at pi/4, a note with the choice, then one kind; references in between."""
    protocol = RamseyEllipse(**SMALL, reference="unsqueezed", shots=1000, block=100)
    steps = list(protocol.steps(CALIBRATIONS, seed=1))
    blocks = [(step.point, step.shots) for step in steps if isinstance(step, Shots)]
    last = len(kinds_of(protocol.settings)) - 1
    assert blocks[:4] == [(0, 75), (last, 100), (blocks[2][0], 100), (last, 100)]
    assert {point for point, _ in blocks} == {0, blocks[2][0], last}
    assert sum(shots for _, shots in blocks) == 1000
    assert sum(shots for point, shots in blocks if point == last) == 500
    assert any(isinstance(step, Note) and "second stage" in step.text for step in steps)


def test_every_kind_of_shot_is_sound_and_has_the_bias_it_says():
    """A reference is two pulses without coupling; each bias is written by dark time and pulses."""
    protocol = RamseyEllipse(**SMALL, reference="unsqueezed")
    kinds = kinds_of(protocol.settings)
    assert kinds[0].bias_phase == pytest.approx(math.pi / 4)
    assert [kind.prepared for kind in kinds[:-1]] == [True] * (len(kinds) - 1)
    assert not kinds[-1].prepared
    assert len(list(protocol.reachable(CALIBRATIONS))) == len(kinds)
    independent = protocol.sequence(len(kinds) - 1)
    assert independent.coupling == ()
    with pytest.raises(SequenceError, match="must see no light of the coupling"):
        replace(independent, coupling=protocol.sequence(0).coupling).check()
    turn = protocol.settings.pulse().phase_before
    for kind in (kinds[1], kinds[-1]):
        written = math.pi * 1e3 * kind.dark_time + kind.pulses * turn
        assert written == pytest.approx(kind.bias_phase, abs=1e-9)


def test_the_choice_keeps_clear_of_the_folds_and_follows_the_signal():
    """Six standard deviations from a fold; another signal moves the bias by as much."""
    protocol = RamseyEllipse(**SMALL)
    believed = protocol.beliefs(CALIBRATIONS)
    assert isinstance(believed, ScheduleBeliefs)
    kinds = kinds_of(protocol.settings)

    def phase(signal: float, std: float) -> float:
        chosen = choose_kind(protocol.settings, believed, signal, std, 0.003)
        return folded(signal + kinds[chosen].bias_phase)

    assert phase(0.0, 0.01) == pytest.approx(phase(0.1, 0.01), abs=0.05)
    for std in (0.005, 0.02, 0.06):
        assert 6 * std < phase(0.05, std) < math.pi / 2 - 6 * std


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"signal_range": (0.0, 4.0)}, "at most pi wide"),
        ({"schedule": "two_stage", "atoms_per_ensemble": 300}, "too many for several bias"),
        ({"schedule": "three_stage"}, "two_stage"),
        ({"target_std": 0.0}, "greater than 0"),
    ],
)
def test_schedules_that_cannot_be_are_refused(settings, complaint):
    """With the setting's name and what would do."""
    with pytest.raises(ValidationError, match=complaint):
        RamseyEllipse(**settings)


def test_the_first_quantity_is_what_the_schedule_measures():
    """One bias gives the phase, several the signal; units are known for both."""
    assert RamseyEllipse().quantities[0] == "phase"
    assert RamseyEllipse(**SMALL).quantities[0] == "signal"
    assert "preparation_gain" in RamseyEllipse(reference="unsqueezed").quantities
    names = [point.name for point in RamseyEllipse(**SMALL).set_points]
    assert {"setting", "prepared", "bias_phase"} <= set(names)
    assert set(RamseyEllipse(**SMALL).point(3, CALIBRATIONS)) == set(names)
